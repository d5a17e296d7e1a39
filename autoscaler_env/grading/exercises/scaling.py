"""The code exercises of notebook 7: a function on hidden inputs, and a policy on hidden days.

The second one has no reference: a policy is right if it is cheap enough on both kinds of days.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autoscaler_env.grading.judging import equals, judge_function, miss
from autoscaler_env.grading.playing import Answered, RefusedError, daily_costs, made
from autoscaler_env.service import Service
from autoscaler_env.traffic.patterns import Pattern, day_seeds

CASES = 30
"""Hidden inputs of the function."""

HIDDEN_DAYS, FIRST_HIDDEN_DAY = 50, 30_000
"""Selection days of each pattern on which a policy is judged, and the number of the first one."""

BOUND = 175.0
"""Dollars a day that a policy may cost: the threshold rule pays more on `SINE_CURVE`, target tracking on `SPIKE`."""


def first_order(need: int, fleet: int, boot_steps: int) -> int:
    """Return how many steps before a step the first order must go out; 0 if none is needed.

    Args:
        need: Instances that must be ready in that step.
        fleet: Instances that are ready today.
        boot_steps: Steps from an order to a ready instance; one order a step.

    Example:
        >>> first_order(need=26, fleet=25, boot_steps=1), first_order(need=50, fleet=25, boot_steps=1)
        (1, 25)
    """
    missing = need - fleet
    return missing - 1 + boot_steps if missing > 0 else 0


def check_first_order(answer: Any) -> str:
    """Return whether a function says when the first order must go out."""
    rng = np.random.default_rng(71)
    cases: list[tuple[int, ...]] = [(25, 25, 3), (20, 30, 2), (26, 25, 1)]
    cases += [tuple(rng.integers((2, 2, 1), (80, 60, 13)).tolist()) for _ in range(CASES)]
    return judge_function(
        answer,
        cases,
        equals(first_order),
        "the last order has to go out early enough to boot; how many orders are before it, one in each step?",
        "write down the steps for 3 missing instances and a boot delay of 2; then look at a fleet that is large enough",
    )


def check_policy(answer: Any) -> str:
    """Return whether a class makes policies that cost less than `BOUND` on smooth days and on days with crowds.

    Args:
        answer: A class, called with the service, whose objects have `reset(days)` and `predict(observations)`.
    """
    service, costs = Service(), {}
    try:
        for pattern in ("SINE_CURVE", "SPIKE"):
            days = Pattern(pattern, service).draw(day_seeds("selection", HIDDEN_DAYS, first=FIRST_HIDDEN_DAY))
            costs[pattern] = daily_costs(Answered(made(answer, service)), days, service).mean()
    except RefusedError as refused:
        return str(refused)
    dearer = max(costs, key=lambda pattern: costs[pattern])
    if costs[dearer] < BOUND:
        return f"right: {', '.join(f'${cost:.2f} a day on {pattern}' for pattern, cost in costs.items())}"
    verdict = miss(
        answer,
        "which of the two mistakes does your policy make there: too few instances, or too many?",
        "follow the demand, the queue included, with a reserve: small enough for smooth days, large enough for crowds",
    )
    return f"{verdict} (${costs[dearer]:.2f} a day on {dearer})"
