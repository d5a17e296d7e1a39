"""Play days with a policy and keep what happened in every step.

How long requests wait: first in, first out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autoscaler_env import dynamics
from autoscaler_env.compiled import compiled
from autoscaler_env.envs.single import check_days
from autoscaler_env.policies.base import Policy
from autoscaler_env.service import Service


@dataclass(frozen=True)
class Trajectory:
    """What happened on a batch of days; every array has shape (n, steps)."""

    service: Service
    arrivals: NDArray[np.int64]
    actions: NDArray[np.int32]
    ready: NDArray[np.int32]
    booting: NDArray[np.int32]
    queue: NDArray[np.int32]
    served: NDArray[np.int32]
    dropped: NDArray[np.int32]
    scaled: NDArray[np.int32]
    refused: NDArray[np.int32]

    @property
    def fleet(self) -> NDArray[np.int64]:
        """Instances ready or booting."""
        return self.ready + self.booting

    @property
    def instance_cost(self) -> NDArray[np.float64]:
        """Dollars for instances."""
        return np.multiply(self.service.instance_price, self.fleet, dtype=np.float64)

    @property
    def late_cost(self) -> NDArray[np.float64]:
        """Dollars for requests waiting at the end of the step."""
        return np.multiply(self.service.late_price, self.queue, dtype=np.float64)

    @property
    def drop_cost(self) -> NDArray[np.float64]:
        """Dollars for dropped requests."""
        return np.multiply(self.service.drop_price, self.dropped, dtype=np.float64)

    @property
    def cost(self) -> NDArray[np.float64]:
        """Dollars for the step: instances, lateness and drops."""
        return self.instance_cost + self.late_cost + self.drop_cost

    @property
    def utilisation(self) -> NDArray[np.float64]:
        """Utilisation: requests served over capacity."""
        return self.served / (self.service.capacity_per_instance * self.ready)


def simulate(policy: Policy, days: NDArray[np.int64], service: Service | None = None) -> Trajectory:
    """Let a policy scale a service through each of the days.

    Args:
        policy: Reset once, then asked for the actions of all days, step by step.
        days: Arrivals, whole numbers of shape (n, steps_per_episode).
        service: The reference service by default.

    Returns:
        What happened in every step.

    Raises:
        ValueError: The days do not fit the service, or the policy returns an action that does not exist.
    """
    service = service or Service()
    days = check_days(days, service)
    n, steps = days.shape
    arrivals = np.ascontiguousarray(days.T)
    fleet_changes = np.array(service.fleet_changes, dtype=np.int64)
    constants = dynamics.constants_of(service)
    state = dynamics.new_state(service, n)
    columns = np.empty((7, n), dtype=np.float32)
    rewards = np.empty(n)
    actions_taken = np.empty((steps, n), dtype=np.int32)
    # The rows of the state that a trajectory keeps, in the order of its fields from `ready` on.
    kept = [
        dynamics.READY,
        dynamics.BOOTING,
        dynamics.QUEUE,
        dynamics.SERVED,
        dynamics.DROPPED,
        dynamics.SCALED,
        dynamics.REFUSED,
    ]
    history = np.empty((len(kept), steps, n), dtype=np.int32)  # counts fit; half the memory
    policy.reset(days)
    dynamics.start_all(state, arrivals[0], constants, columns)
    for step in range(steps):
        actions = check_actions(policy, policy.predict(columns.T), n)
        columns = np.empty((7, n), dtype=np.float32)  # a policy may keep what it saw
        bad = dynamics.advance_all(state, step, actions, fleet_changes, arrivals[step], constants, columns, rewards)
        if bad >= 0:
            raise ValueError(
                f"policy {policy.name!r} chose action {actions[bad]}: must be from 0 to {len(fleet_changes) - 1}"
            )
        actions_taken[step] = actions
        history[:, step] = state[kept]
    return Trajectory(service, days, actions_taken.T, *(rows.T for rows in history))


def check_actions(policy: Policy, actions: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Return a policy's actions as compiled code reads them, or raise `ValueError` if they are not n integers."""
    actions = np.asarray(actions)
    if actions.shape != (n,) or actions.dtype.kind not in "iu":
        raise ValueError(
            f"policy {policy.name!r} returned {actions.dtype} of shape {actions.shape}: must be integers, ({n},)"
        )
    return np.ascontiguousarray(actions, dtype=np.int64)


def wait_percentiles(
    arrivals: NDArray[np.integer],
    served: NDArray[np.integer],
    dropped: NDArray[np.integer],
    step_seconds: int,
    percentiles: tuple[float, ...] = (95.0, 99.0),
) -> NDArray[np.float64]:
    """Return percentiles of the wait of each day's admitted requests, in seconds.

    Requests are served in the order they came. One served in the step it came in has waited 0 s, one served k steps
    later k x `step_seconds`. What still waits when the day ends counts with the wait it has had so far. Dropped
    requests, always of the newest arrivals, never waited.

    Args:
        arrivals: Requests that came, shape (n, steps).
        served: Requests served, shape (n, steps).
        dropped: Requests dropped, shape (n, steps).
        step_seconds: Length of a step.
        percentiles: From 0 to 100.

    Returns:
        Waits, shape (n, len(percentiles)); 0 for a day without requests.
    """
    n, steps = arrivals.shape
    histogram = np.zeros((n, steps + 1), dtype=np.int64)
    _count_waits(arrivals - dropped, served, histogram)
    cumulative = histogram.cumsum(axis=1)
    total = cumulative[:, -1:]
    waits = [np.argmax(cumulative >= np.ceil(total * percentile / 100), axis=1) for percentile in percentiles]
    return np.stack(waits, axis=1) * float(step_seconds)


@compiled
def _count_waits(admitted, served, histogram):
    """Count the requests of each day by the steps that they waited: histogram[day, steps waited]."""
    n, steps = admitted.shape
    remaining = np.empty(steps, dtype=np.int64)
    for day in range(n):
        remaining[:] = admitted[day]
        oldest = 0
        for step in range(steps):
            serving = served[day, step]
            while serving > 0:
                taken = min(serving, remaining[oldest])
                histogram[day, step - oldest] += taken
                remaining[oldest] -= taken
                serving -= taken
                if remaining[oldest] == 0 and serving > 0:
                    oldest += 1
        for step in range(steps):
            histogram[day, steps - step] += remaining[step]
