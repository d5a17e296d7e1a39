"""Simulate days: let a policy scale them, record every step, and count how long requests wait."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autoscaler_env import dynamics
from autoscaler_env.compiled import compiled
from autoscaler_env.envs.single import check_days
from autoscaler_env.policies.base import Policy
from autoscaler_env.service import Service

LONGEST = 86_400
"""Steps that can be simulated without a break."""


ITEMS = ("instance_cost", "late_cost", "drop_cost")
"""The items of a cost, in dollars, as `Trajectory` and the tables call them."""


@dataclass(frozen=True)
class Trajectory:
    """What happened on a batch of days; every array has shape (n, steps)."""

    service: Service
    arrivals: NDArray[np.int64]
    """Requests that came in."""
    actions: NDArray[np.int32]
    """Indices into `service.fleet_changes`."""
    ready: NDArray[np.int32]
    """Instances that served, for the whole step or the rest of it."""
    booting: NDArray[np.int32]
    """Instances ordered and not ready yet."""
    queue: NDArray[np.int32]
    """Requests waiting at the end of the step."""
    served: NDArray[np.int32]
    """Requests served."""
    dropped: NDArray[np.int32]
    """Requests dropped."""
    scaled: NDArray[np.int32]
    """Whether the action changed the fleet: 0 or 1."""
    refused: NDArray[np.int32]
    """Whether the action was refused: 0 or 1."""
    lost: NDArray[np.int32]
    """Requests that instances could not serve because they became ready within the step."""

    def row(self, row: int) -> Trajectory:
        """Return one of the rows alone; every array has shape (1, steps)."""
        return Trajectory(
            self.service,
            *(
                getattr(self, column.name)[row : row + 1]
                for column in dataclasses.fields(self)
                if column.name != "service"
            ),
        )

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
    def capacity(self) -> NDArray[np.int64]:
        """Requests that could have been served in the step."""
        return self.service.capacity_per_instance * self.ready.astype(np.int64) - self.lost

    @property
    def utilisation(self) -> NDArray[np.float64]:
        """Utilisation: requests served over capacity. Without capacity 1 if requests came in or wait, else 0."""
        without = (self.arrivals + self.queue > 0).astype(np.float64)
        capacity = self.capacity
        return np.divide(self.served, capacity, out=without, where=capacity > 0)


def simulate(policy: Policy, days: NDArray[np.int64], service: Service | None = None) -> Trajectory:
    """Let a policy scale a service through each of the days, which run side by side.

    Args:
        policy: `reset` is called once, then `predict` in each step, for all days at once.
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
    arrivals = np.ascontiguousarray(days.T, dtype=np.int32)
    fleet_changes = np.array(service.fleet_changes, dtype=np.int64)
    constants = dynamics.constants_of(service)
    state = dynamics.new_state(service, n)
    columns = np.empty((7, n), dtype=np.float32)
    rewards = np.empty(n)
    actions_taken = np.empty((steps, n), dtype=np.int32)
    # The rows of the state that a trajectory records, in the order of its fields from `ready` on.
    rows = [
        dynamics.READY,
        dynamics.BOOTING,
        dynamics.QUEUE,
        dynamics.SERVED,
        dynamics.DROPPED,
        dynamics.SCALED,
        dynamics.REFUSED,
        dynamics.LOST,
    ]
    history = np.empty((len(rows), steps, n), dtype=np.int32)  # counts fit; half the memory
    policy.reset(days)
    dynamics.start_all(state, arrivals[0], constants, columns)
    for step in range(steps):
        actions = check_actions(policy, policy.predict(columns.T), n)
        columns = np.empty((7, n), dtype=np.float32)  # a policy may hold on to what it saw
        bad = dynamics.advance_all(state, step, actions, fleet_changes, arrivals[step], constants, columns, rewards)
        if bad >= 0:
            raise ValueError(
                f"policy {policy.name!r} chose action {actions[bad]}: must be from 0 to {len(fleet_changes) - 1}"
            )
        actions_taken[step] = actions
        history[:, step] = state[rows]
    return Trajectory(service, days, actions_taken.T, *(column.T for column in history))


def simulate_through(policy: Policy, days: NDArray[np.int64], service: Service, copies: int = 1) -> Trajectory:
    """Let a policy scale a service through days in a row: fleet and queue pass midnight unchanged.

    Args:
        policy: Starts with `initial_instances` on the first day.
        days: Arrivals, shape (n, steps).
        service: Its episode is a day.
        copies: How many services run side by side through the same days, such as one for each setting of the policy.

    Returns:
        A row with all steps for each copy, shape (copies, n x steps); `by_day` cuts a row into days.

    Raises:
        ValueError: There are more steps than can be simulated without a break.
    """
    if days.size > LONGEST:
        raise ValueError(
            f"{len(days):,} days of {days.shape[1]:,} steps are {days.size:,} steps; at most {LONGEST:,} can be "
            "simulated without a break: set step_seconds to several times its value, such as 300, and counts are added "
            "up"
        )
    through = np.tile(days.reshape(1, -1), (copies, 1))
    return simulate(policy, through, dataclasses.replace(service, steps_per_episode=days.size))


def by_day(trajectory: Trajectory, service: Service) -> Trajectory:
    """Return what `simulate_through` returned with a row for each day, shape (n, steps)."""
    columns = {
        field.name: getattr(trajectory, field.name).reshape(-1, service.steps_per_episode)
        for field in dataclasses.fields(trajectory)
        if field.name != "service"
    }
    return Trajectory(service, **columns)


class ResetDaily:
    """A policy that is reset at midnight, as suits a learner that was trained on single days.

    Args:
        policy: The policy.
        steps: Steps of a day.
    """

    def __init__(self, policy: Policy, steps: int) -> None:
        self.name = policy.name
        self._policy, self._steps = policy, steps
        self._days = np.empty((0, 0), dtype=np.int64)
        self._step = 0

    def reset(self, days: NDArray[np.int64]) -> None:
        """Prepare for days in a row, shape (n, days x steps)."""
        self._days, self._step = days, 0

    def predict(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the policy's actions, shape (n,)."""
        if self._step % self._steps == 0:
            self._policy.reset(self._days[:, self._step : self._step + self._steps])
        self._step += 1
        return self._policy.predict(observations)


def through_days(policy: Policy, steps: int) -> Policy:
    """Return a learner's policy for days in a row: as it is if it remembers days, otherwise reset at midnight.

    Args:
        policy: The policy.
        steps: Steps of a day.
    """
    return policy if getattr(policy, "remembers_days", False) else ResetDaily(policy, steps)


def check_actions(policy: Policy, actions: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Return a policy's actions as compiled code reads them.

    Raises:
        ValueError: They are not n integers.
    """
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

    Requests are served in the order of their arrival. A request that is served in the step of its arrival waits 0 s;
    one that is served k steps later waits k x `step_seconds`. A request that still waits when the day ends counts with
    its wait so far. Dropped requests, always the newest arrivals, do not count.

    Args:
        arrivals: Requests that came in, shape (n, steps).
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


_MILLIONTH = 1e-6  # of a request: what rounding may decide


def served_within(trajectory: Trajectory, seconds: float) -> NDArray[np.float64]:
    """Return how many of the requests that arrived in each step were served within some seconds, shape (n, steps).

    Requests are taken for a fluid within a step: they come in evenly over the step, the capacity of the step serves
    them at a constant rate, in the order of their arrival, and the newest of the step are those that are dropped. So
    waits shorter than a step are known as well, but for the bursts within a step, which make real waits somewhat longer
    where few requests come in a step. Requests that are dropped or still wait at the end of the last step are
    not served. What waits before the first step is served first, and counts in no step.

    Args:
        trajectory: What happened; its rows are days, or days in a row.
        seconds: The longest wait that counts, at least 0.

    Raises:
        ValueError: The seconds are negative or not finite.

    Example:
        >>> from autoscaler_env.policies.rules import Static
        >>> sizes = {"step_seconds": 60, "steps_per_episode": 3, "capacity_per_instance": 10}
        >>> one = Service(min_instances=1, initial_instances=1, **sizes)
        >>> day = simulate(Static(one), np.array([[20, 0, 0]]), one)  # the last is served 60 s after it came
        >>> [served_within(day, seconds)[0].round(3).tolist() for seconds in (60, 30)]
        [[20.0, 0.0, 0.0], [10.0, 0.0, 0.0]]
    """
    if not 0 <= seconds < float("inf"):
        raise ValueError(f"seconds = {seconds!r}: must be a finite number of at least 0")
    in_time = np.empty(trajectory.arrivals.shape)
    _count_within(
        seconds / trajectory.service.step_seconds,
        trajectory.arrivals,
        trajectory.queue.astype(np.int64),
        trajectory.served.astype(np.int64),
        trajectory.dropped.astype(np.int64),
        trajectory.capacity,
        in_time,
    )
    return in_time


@compiled
def _where(value, slope, low, high):
    """Return the part of an interval on which `value + slope x` is not negative, or an empty one."""
    value += _MILLIONTH
    if slope == 0.0:
        return (low, high) if value >= 0.0 else (low, low)
    zero = -value / slope
    return (max(low, zero), high) if slope > 0.0 else (low, min(high, zero))


@compiled
def _count_within(wait, arrivals, queue, served, dropped, capacity, in_time):
    """Write the requests of each step that are served within `wait` steps; all arrays have the shape (n, steps)."""
    steps = arrivals.shape[1]
    whole = int(min(wait, float(steps)))
    part = min(wait, float(steps)) - whole
    served_before = np.zeros(steps + 1, dtype=np.int64)
    for day in range(len(arrivals)):
        for step in range(steps):
            served_before[step + 1] = served_before[step] + served[day, step]
        for step in range(steps):
            coming, lost = arrivals[day, step], dropped[day, step]
            in_time[day, step] = 0.0
            if coming == lost:
                continue
            last = (coming - lost) / coming  # the moment, as a share of the step, after which requests are dropped
            # The request that comes in at the moment x is number `ahead + coming * x` in the order of service.
            ahead = served_before[step] + queue[day, step] + served[day, step] + lost - coming
            for following in range(2):  # its time is over in one of two steps
                then = step + whole + following
                low, high = (0.0, 1.0 - part) if following == 0 else (1.0 - part, 1.0)
                high = min(high, last)
                if then >= steps:  # nothing is known beyond the end: served until then, or not at all
                    low, high = _where(float(served_before[steps] - ahead), -float(coming), low, high)
                else:
                    # By the moment y of that step so many are served: the least of what the capacity allows and what
                    # has come in. So the moments x whose request is among them are an interval.
                    shift = part - following
                    done = served_before[then] - ahead
                    rate, more, less = capacity[day, then], arrivals[day, then], dropped[day, then]
                    waiting = queue[day, then] + served[day, then] + less - more
                    low, high = _where(done + rate * shift, float(rate - coming), low, high)
                    low, high = _where(done + waiting + more * shift, float(more - coming), low, high)
                    low, high = _where(float(done + waiting + more - less), -float(coming), low, high)
                in_time[day, step] += coming * max(high - low, 0.0)
