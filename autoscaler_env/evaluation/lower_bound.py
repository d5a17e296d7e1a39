"""A lower bound on the cost of a day where the service is too large for the exact optimum: a linear program.

The program knows all arrivals, as the optimum does, and may do more than the service can: order and remove fractions of
an instance, mix the changes that the actions ask for, serve less than it could, and drop a request before the queue is
full. Whatever the service does on a day is among the program's choices, at the same cost:

- instances: what is ready or booting after each step follows from orders and removals by the same sums, orders and
  removals are a mixture of the changes of `fleet_changes`, and the limits of the fleet hold;
- requests: each is served, waits or is dropped; no more are served than the capacity, which a boot that ends within a
  step only lowers by whole requests; no more wait than the queue holds, and no fewer than would wait if the fleet grew
  as fast as it can.

So no policy, not even the optimum, can cost less than the program's cheapest choice. The bound is close where fleets
are large, since fractions of an instance then hardly matter, and further away where an early drop would pay.

Source: ours; relaxing whole numbers to fractions is textbook. HiGHS solves it (Huangfu and Hall, "Parallelizing the
dual revised simplex method", Mathematical Programming Computation 10, 2018).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, sparse
from tqdm.auto import tqdm

from autoscaler_env.service import Service

LOWER_BOUND = "lower bound"
"""What tables and pages call it; never "optimum": no plan may reach it."""


def lower_bounds(days: NDArray[np.int64], service: Service | None = None) -> NDArray[np.float64]:
    """Return a bound below every possible cost of each day, given its arrivals, in dollars, shape (n,).

    Args:
        days: Arrivals in requests, shape (n, steps).
        service: The reference service by default.

    Raises:
        ValueError: A program was not solved.

    Example:
        >>> service = Service(steps_per_episode=4, initial_instances=2)
        >>> lower_bounds(np.array([[174, 174, 261, 261]]), service).round(3).tolist()  # the optimum: 0.176
        [0.176]
    """
    service = service or Service()
    days = np.asarray(days, dtype=np.int64)
    program = _program(service, days.shape[1])
    shortest = _shortest_queues(days, service)
    bar = tqdm(days, unit="day", desc=LOWER_BOUND, delay=2, leave=False, disable=None)
    return np.array([_solve(day, queues, service, program) for day, queues in zip(bar, shortest, strict=True)])


def _shortest_queues(days: NDArray[np.int64], service: Service) -> NDArray[np.int64]:
    """Return the queue that no way to scale a day can avoid, shape (n, steps).

    It is the queue of a fleet that grows by the largest order in every step: more capacity in every step never leads
    to a longer queue.
    """
    whole_steps, most = int(service.boot_delay // service.step_seconds), max(max(service.fleet_changes), 0)
    queues, queue = np.empty_like(days), np.zeros(len(days), dtype=np.int64)
    for step in range(days.shape[1]):
        largest = service.initial_instances + most * max(step + 1 - whole_steps, 0)
        capacity = service.capacity_per_instance * min(largest, service.max_instances)
        queue = np.clip(queue + days[:, step] - capacity, 0, service.queue_limit)
        queues[:, step] = queue
    return queues


def _program(service: Service, steps: int) -> dict[str, Any]:
    """Return what the programs of all days have in common, as `linprog` takes it.

    Variables of each step, side by side: ready, ordered, removed, served, queue, dropped.
    """
    boots, rest = divmod(service.boot_delay, service.step_seconds)
    boots = min(int(boots), steps)
    whole = boots > 0 and rest == 0
    ready, ordered, removed, served, queue, dropped = (sparse.eye_array(6 * steps).tocsr()[i::6] for i in range(6))
    before = sparse.eye_array(steps, k=-1)
    finished = sparse.eye_array(steps, k=-boots) @ ordered
    booting = sum((sparse.eye_array(steps, k=-k) @ ordered for k in range(boots)), sparse.csr_array(ordered.shape))
    within = finished * (0.0 if whole else 1.0)
    lost = within * (rest / service.step_seconds)
    most, fewest = max(max(service.fleet_changes), 0), max(-min(service.fleet_changes), 0)
    capacity = service.capacity_per_instance
    # A step orders or removes: a mixture of changes lies below the line from the largest order to the largest removal.
    either = ordered / max(most, 1) + removed / max(fewest, 1)
    cost = service.instance_price * (ready + booting) + service.late_price * queue + service.drop_price * dropped
    return {
        "c": cost.sum(axis=0),
        "A_eq": sparse.vstack([ready - before @ ready - finished + removed, queue - before @ queue + served + dropped]),
        "A_ub": sparse.vstack([served - capacity * (ready - lost), ready + booting, within - ready, either]),
        "b_ub": np.repeat([0.0, service.max_instances, -service.min_instances, 1.0], steps),
        "bounds": np.array(
            [
                (service.min_instances, np.inf),
                (0, most),
                (0, fewest),
                (0, np.inf),
                (0, service.queue_limit),
                (0, np.inf),
            ]
            * steps
        ),
    }


def _solve(day: NDArray[np.int64], queues: NDArray[np.int64], service: Service, program: dict[str, Any]) -> float:
    """Return the lowest cost of a day in dollars; `queues` is the shortest that each step may have."""
    start, bounds = np.zeros(len(day)), program["bounds"].copy()
    start[0], bounds[4::6, 0] = service.initial_instances, queues
    solved = optimize.linprog(**program | {"bounds": bounds}, b_eq=np.concatenate([start, day]), method="highs")
    if solved.status != 0:
        raise ValueError(f"lower bound: a day of {day.sum():,} requests was not solved: {solved.message}")
    return float(solved.fun)
