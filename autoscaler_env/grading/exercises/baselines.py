"""The exercises of notebook 2: rules, written and tuned, on hidden observations and days."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.dynamics import OBSERVATION_HIGH, OBSERVATION_LOW
from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.grading.judging import equals, judge_function, judge_name, judge_number, miss
from autoscaler_env.grading.playing import Answered, RefusedError, daily_costs, made
from autoscaler_env.policies.rules import Threshold
from autoscaler_env.service import Service
from autoscaler_env.traffic.patterns import PATTERNS, Pattern, day_seeds

CASES = 20
"""Hidden inputs of each exercise."""

DAYS = 20
"""Hidden days of each pattern on which a rule is compared with the calibrated threshold rule."""

LEAST_SAVING = 0.5
"""By how many dollars a day the rule must be cheaper than the calibrated threshold rule."""

CALIBRATED = (0.98, 0.94)
"""The thresholds that calibration finds for all patterns: those of `results/calibrated_rules.csv`."""

Array = NDArray[np.float64]


def wanted(arrivals: Array, queue: Array, capacity: int, target: float, reserve: float) -> Array:
    """Return how many instances target tracking wants; arrivals and queue in requests, `capacity` requests a step."""
    return np.ceil((arrivals + queue) / (capacity * target) + reserve)


def band(observations: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the actions of a rule that keeps the work of one to three instances to spare."""
    service = Service()
    spare = observations[:, 6].astype(np.float64) * service.spare_capacity_scale / service.capacity_per_instance
    return np.where(spare < 1, 2, np.where(spare > 3, 0, 1))


def check_wanted_by_hand(answer: Any) -> str:
    """Return whether a number is the fleet that target tracking wants for 2,000 arrivals and a queue of 300."""
    right = float(wanted(np.array(2_000.0), np.array(300.0), Service().capacity_per_instance, 0.9, 2.0))
    return judge_number(answer, right, "does the queue count as well?", "where in the formula is the rounding?")


def check_direction(answer: Any) -> str:
    """Return whether a name says in which direction ten times the price of lateness moves the fleet."""
    hints = (
        "how many late requests cost as much as one instance now?",
        "calibrate target tracking twice, once for each service, and compare the two fleets at mean demand",
    )
    return judge_name(answer, "more", *hints)


def check_wanted(answer: Any) -> str:
    """Return whether a function computes the fleet that target tracking wants."""
    rng = np.random.default_rng(21)
    cases = [
        (
            rng.integers(0, 5_000, 50).astype(float),
            rng.integers(0, 4_000, 50).astype(float),
            87,
            float(rng.uniform(0.8, 1.2)),
            float(rng.uniform(0, 12)),
        )
        for _ in range(CASES)
    ]
    hints = (
        "at a target of 0.5 twice as many instances are wanted as at 1",
        "where is the rounding, before the reserve is added or after? try a reserve of 0.5",
    )
    return judge_function(answer, cases, equals(wanted), *hints)


def check_band(answer: Any) -> str:
    """Return whether a class is the rule that keeps the work of one to three instances to spare."""
    rng, service = np.random.default_rng(22), Service()
    try:
        policy = Answered(made(answer))
        for _ in range(CASES):
            observations = rng.uniform(OBSERVATION_LOW, OBSERVATION_HIGH, size=(50, 7)).astype(np.float32)
            halves = rng.integers(-20, 20, 50) + 0.5  # instances to spare; never at the limits of 1 and 3 themselves
            observations[:, 6] = halves * service.capacity_per_instance / service.spare_capacity_scale
            if not np.array_equal(policy.predict(observations), band(observations)):
                return miss(
                    answer,
                    "one number of the service turns column 6 into requests, another turns requests into instances",
                    "action 2 adds an instance, action 0 removes one; which belongs to a spare capacity below 1?",
                )
    except RefusedError as refused:
        return str(refused)
    return "right"


def check_rule(answer: Any) -> str:
    """Return whether a class is a rule that is cheaper than the calibrated threshold rule, on the same hidden days."""
    service = Service()
    days = np.concatenate([Pattern(name, service).draw(day_seeds("selection", DAYS, 20_000)) for name in PATTERNS])
    try:
        mine = daily_costs(Answered(made(answer)), days, service).mean()
    except RefusedError as refused:
        return str(refused)
    theirs = simulate(Threshold(service, *CALIBRATED), days, service).cost.sum(axis=1).mean()
    costs = f"your rule costs ${mine:.2f} a day, the calibrated threshold rule ${theirs:.2f}"
    if theirs - mine >= LEAST_SAVING:
        return f"right: {costs}"
    hints = (
        "what must a rule know: how busy the service is, or how many instances are to spare?",
        "draw the cost against the spare capacity below which your rule adds; where is the valley?",
    )
    return f"{miss(answer, *hints)} ({costs})"
