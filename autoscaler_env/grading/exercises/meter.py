"""The exercises of notebook 10: the broken meter by hand, a policy that exploits it, and probes that find it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.envs.single import AutoscalerEnv
from autoscaler_env.grading.judging import (
    NO_FUNCTION,
    as_array,
    equals,
    judge_function,
    judge_number,
    judge_truth,
    miss,
)
from autoscaler_env.service import Service
from autoscaler_env.traffic.patterns import day_seeds

CASES = 20
"""Hidden inputs of each exercise."""

Array = NDArray[np.float64]

Meter = Callable[[Sequence[int]], Array]
"""From the number of instances in each step to the dollars counted in each step."""


def ordered_dollars(hours: int) -> float:
    """Return what the broken meter counts for an instance that was ordered, by its full hours."""
    return Service().instance_price_per_hour * sum(range(1, hours + 1))


def lost_requests(arrivals: Array, served: Array, dropped: Array, queue: Array) -> Array:
    """Return the requests that are missing in each step; the queue is that at its end, empty before the first."""
    return arrivals - served - dropped - np.diff(queue, prepend=0)


@dataclass(frozen=True)
class Ages:
    """A meter that counts an instance when it reaches certain ages; the defaults are the broken meter."""

    at_start: int = Service.initial_instances
    """Instances that exist before the first step."""
    first_price: float = float(Service.capacity_per_instance)
    """Dollars an hour for those."""
    every: int = 12
    """Steps between two counts of an instance."""
    again: bool = True
    """Whether each count has the whole age of the instance, not only the steps since the count before."""
    oldest: bool = True
    """Whether a removal takes the oldest instance; else the newest."""
    price: float = Service.instance_price_per_hour
    """Dollars an hour for the instances that are ordered."""

    def __call__(self, fleet: Sequence[int]) -> Array:
        """Return the dollars counted in each step."""
        running, counted = deque([(0, self.first_price)] * self.at_start), np.zeros(len(fleet))
        for step, instances in enumerate([*fleet, 0]):  # after the last step all instances are removed
            while len(running) < instances:
                running.append((step, self.price))
            while len(running) > instances:
                born, price = running.popleft() if self.oldest else running.pop()
                ages = np.arange(self.every, step - born + 1, self.every)
                counted[born + ages - 1] += price * (ages if self.again else self.every) / 12
        return counted


def sound_meter(price: float) -> Meter:
    """Return a meter that counts each step of each instance once, at one price in dollars an hour."""
    return lambda fleet: price / 12 * np.asarray(fleet, dtype=np.float64)


def meters() -> list[tuple[Meter, bool]]:
    """Return hidden meters, and whether each is sound."""
    price = Service.instance_price_per_hour
    return [
        (sound_meter(price), True),
        (Ages(), False),
        (Ages(first_price=price), False),
        (sound_meter(0.5), True),
        (Ages(again=False), False),
        (Ages(first_price=price, again=False), False),
        (Ages(first_price=price, again=False, oldest=False), False),
        (Ages(first_price=price, every=1, again=False), True),
        (Ages(first_price=2 * price, every=1, again=False), False),
    ]


def check_lifetime(answer: Any) -> str:
    """Return whether a number is what the broken meter counts for 5 hours and 55 minutes, in dollars."""
    hints = ("which hours are full?", "at each full hour the meter counts the whole age again, from the order on")
    return judge_number(answer, ordered_dollars(5), *hints, within=0.0005)


def check_lost(answer: Any) -> str:
    """Return whether a function finds the requests that were lost or invented in each step."""
    rng = np.random.default_rng(101)
    cases = []
    for _ in range(CASES):
        arrivals, served, dropped = rng.integers(0, 500, (3, 40)).astype(float)
        queue = rng.integers(0, 500, 40).astype(float)
        cases.append((arrivals, served, dropped, queue))
    hints = (
        "a request that waits is not lost; how much did the queue grow in the step?",
        "how long was the queue before the first step?",
    )
    faults = [(lambda *day: -lost_requests(*day), "the size is right; which sign has a request that is missing?")]
    return judge_function(answer, cases, equals(lost_requests, *faults), *hints)


def check_actions(answer: Any) -> str:
    """Return whether 288 actions cost less than half of alternate's by the broken meter, on a `SINE_CURVE` day."""
    service = Service()
    steps, actions = service.steps_per_episode, as_array(answer)
    if actions is None or actions.shape != (steps,) or not np.isin(actions, (0, 1, 2)).all():
        return f"{steps} actions, please, in a list or an array; each is 0, 1 or 2"
    by_meter, by_ours = _costs(actions.astype(np.int64))
    mark, _ = _costs(np.tile([2, 0], steps // 2))
    costs = f"${by_meter:,.0f} by the broken meter (alternate ${mark:,.0f}); by ours your day costs ${by_ours:,.0f}"
    if by_meter < mark / 2:
        return f"right: {costs}"
    hints = (
        "which instances are dear by this meter, and from which age on?",
        "which instances does a removal take first, and what does the meter count for one that is never an hour old?",
    )
    return f"{miss(actions.tolist(), *hints)} ({costs})"


def check_probe(answer: Any) -> str:
    """Return whether a function tells sound meters from broken ones."""
    if not callable(answer):
        return NO_FUNCTION
    for meter, sound in meters():
        try:
            value = answer(meter)
        except (Exception, SystemExit) as error:
            return f"not yet: your function raised {type(error).__name__}: {error}"
        told = judge_truth(value, sound, "")
        if told.startswith("not yet"):
            hints = (
                "one fleet is not enough: which two fleets did the third and the fourth probe use?",
                "a meter of full hours is right if instances live for full hours; a sound meter may have any price",
            )
            return miss(answer, *hints)
        if told != "right":
            return f"not yet: your function should return {told.removesuffix(', please')}"
    return "right"


def _costs(actions: NDArray[np.int64]) -> tuple[float, float]:
    """Return the cost of the first `SINE_CURVE` day by the broken meter and by ours, in dollars."""
    env = AutoscalerEnv("SINE_CURVE")
    env.reset(options={"day_seed": int(day_seeds("evaluation", 1)[0])})
    steps = [env.step(action)[-1] for action in actions]
    fleet = [int(step["ready"] + step["booting"]) for step in steps]
    waiting = sum(float(step["late_cost"] + step["drop_cost"]) for step in steps)
    instances = sum(float(step["instance_cost"]) for step in steps)
    return float(Ages()(fleet).sum()) + waiting, instances + waiting
