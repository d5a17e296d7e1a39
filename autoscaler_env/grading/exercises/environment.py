"""The exercises of notebook 1: one step and one day of the service, worked out anew on hidden inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.envs.single import AutoscalerEnv
from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.grading.judging import NO_FUNCTION, call, equals, judge_function, judge_number, miss
from autoscaler_env.policies.rules import Static
from autoscaler_env.service import Service
from autoscaler_env.traffic.patterns import Pattern, day_seeds

CASES = 20
"""Hidden inputs of each exercise."""

MOST_DOLLARS = 125.0
"""What the policy of the last exercise may cost on its day."""

FLEETS = range(2, 61)
"""The fixed fleets among which the cheapest is asked for, in instances."""


def step_cost() -> float:
    """Return the cost of a step with 12 ready instances, one ordered, 300 requests waiting and 1,000 arriving."""
    service = Service()
    late = 300 + 1_000 - 12 * service.capacity_per_instance
    return 13 * service.instance_price + late * service.late_price


def cheapest_fleet() -> int:
    """Return the size of the cheapest fixed fleet on the first evaluation day of `SPIKE`."""
    day = Pattern("SPIKE", Service()).draw(day_seeds("evaluation", 1))
    services = [Service(initial_instances=size) for size in FLEETS]
    costs = [float(simulate(Static(service), day, service).cost.sum()) for service in services]
    return FLEETS[int(np.argmin(costs))]


def change_fleet(ready: int, booting: int, change: int, least: int, most: int) -> tuple[int, int]:
    """Return ready and booting instances after a change of the fleet; a boot takes one step."""
    ready, booting = ready + booting, 0
    if change > 0 and ready + change <= most:
        booting = change
    if change < 0 and ready + change >= least:
        ready += change
    return ready, booting


def queue_of_day(arrivals: Sequence[int], capacity: Sequence[int], limit: int) -> tuple[list[int], list[int]]:
    """Return the queue at the end of each step of a day, and the requests dropped in it."""
    queue, queues, drops = 0, [], []
    for arriving, served in zip(arrivals, capacity, strict=True):
        waiting = max(queue + arriving - served, 0)
        queue = min(waiting, limit)
        queues.append(queue)
        drops.append(waiting - queue)
    return queues, drops


def check_step_cost(answer: Any) -> str:
    """Return whether a number is the cost of one step, in dollars."""
    hints = ("which instances cost, and who waits?", "an instance that boots costs too, but which instances serve?")
    return judge_number(answer, step_cost(), *hints, within=0.0005)


def check_fleet_size(answer: Any) -> str:
    """Return whether a number is the cheapest fixed fleet on the first `SPIKE` day."""
    hints = (
        "try every size, and look at the cost, not at the queue",
        f"is each of your sizes from {FLEETS[0]} to {FLEETS[-1]} the fleet that the day starts with, too?",
    )
    return judge_number(answer, cheapest_fleet(), *hints)


def check_change_fleet(answer: Any) -> str:
    """Return whether a function changes a fleet, near both of its limits too."""
    rng = np.random.default_rng(11)
    cases = []
    for number in range(CASES):
        ready = int(rng.integers(2, 5)) if number % 2 else int(rng.integers(94, 98))
        cases.append((ready, int(rng.integers(0, 3)), int(rng.integers(-3, 4)), 2, 100))
    hints = (
        "in which of the two numbers does an instance stand that was just ordered?",
        "a change that would pass a limit is refused as a whole; which instances are ready when that is decided?",
    )
    return judge_function(answer, cases, equals(change_fleet), *hints)


def check_queue_of_day(answer: Any) -> str:
    """Return whether a function follows the queue and the drops of a day."""
    rng = np.random.default_rng(12)
    cases = [
        (rng.integers(0, 200, 30).tolist(), rng.integers(60, 140, 30).tolist(), int(rng.integers(0, 150)))
        for _ in range(CASES)
    ]
    hints = (
        "what waits from the step before comes on top of what arrives",
        "work out two steps with a limit of 0: what is dropped, and what is never in the queue?",
    )
    return judge_function(answer, cases, equals(queue_of_day), *hints)


def check_policy(answer: Any) -> str:
    """Return whether a function from one observation to an action costs little on the first `SINE_CURVE` day."""
    if not callable(answer):
        return NO_FUNCTION
    env = AutoscalerEnv("SINE_CURVE")
    observation, _ = env.reset(options={"day_seed": int(day_seeds("evaluation", 1)[0])})
    total, ended = 0.0, False
    while not ended:
        value, problem = call(answer, observation.copy())
        if value is None:
            return problem
        action = _action(value, env.service)
        if action is None:
            return "not yet: your function returned something that is no action; an action is 0, 1 or 2"
        observation, reward, _, ended, _ = env.step(np.int64(action))
        total -= float(reward)
    if total < MOST_DOLLARS:
        return f"right: your day costs ${total:.2f}"
    hints = (
        "how many instances are to spare? multiply one of the seven numbers by what its 1 stands for",
        "draw the fleet and the demand of your day: does the fleet lag, or does it hold instances that nobody needs?",
    )
    return f"{miss(answer, *hints)} (your day costs ${total:.2f})"


def _action(value: NDArray[np.float64], service: Service) -> int | None:
    """Return a result as an action; `None` if it is none."""
    known = value.size == 1 and value.item() in range(len(service.fleet_changes))
    return int(value.item()) if known else None
