"""The inputs of a decision on recorded traffic: the last counts, the clock, and what is usual at this time of the day.

The inputs of `policies/decision_inputs` suit the patterns: each day is new, and the question is which kind it is.
Recorded days follow each other, and repeat themselves. So these inputs look back over midnight, up to eight days:

| inputs | number | content |
|---|---|---|
| fleet and queue | 5 | as in `decision_inputs` |
| fleet against expectations | 12 | fleet minus each of six `EXPECTED_RECORDED`, coarse and fine |
| last counts | 4 | arrivals of the last four steps |
| means and spreads | 10 | means over 3 to 288 steps; standard deviations over 6 to 288 |
| last hour | 2 | highest and lowest arrivals of the last 12 steps |
| level | 3 | how much more came than usual, over 12 and 72 steps |
| seasonal forecasts | 11 | what is usual when an order made now is ready and later, times the level |
| error so far | 1 | how far the last 12 steps were from what is usual |
| clock | 10 | sine and cosine of a day, its half and third, of an hour and its half |
| fitted forecasts | 2 | arrivals when an order made now is ready, and 3 steps later |

Arrivals are in instances' worth of requests, as logarithms, and each input is centred and scaled by its mean and spread
on the training days. So an outlier of a recording does not flatten everything else. The fitted forecasts are ridge
regressions on all the inputs before them. Two means are called usual: that of the same step a day and a week before, as
in the rule `forecast`, and that of the last seven days, over seven steps each.

A `Recording` has what is fitted, and the last eight training days: a policy begins with them as its memory, and adds
what it sees. It belongs to the model and lies in its file.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.compiled import compiled
from autoscaler_env.dynamics import OBSERVATION_NAMES
from autoscaler_env.policies.decision_inputs import EXPECTED, FLEET_INPUTS, look_at_fleets
from autoscaler_env.policies.inputs import input_scales
from autoscaler_env.policies.seasonal import AROUND, WEEK, usual_at, usual_of_days
from autoscaler_env.service import Service
from autoscaler_env.threads import one_blas_thread

EXPECTED_RECORDED = (
    "fitted forecast, order ready",
    "fitted forecast, order ready + 3",
    "usual of seven days x level",
    "usual of day and week x level",
    "mean of six steps",
    "highest of the next seven, usual of seven days x level",
)
"""Demands that the fleet is compared with, in instances' worth of requests, as many as `decision_inputs.EXPECTED`."""

LOOKED_BACK = 41
"""Number of inputs that are computed from the counts alone, before the fitted forecasts."""

RECORDED_ARRIVALS = LOOKED_BACK + 2
"""Number of inputs that depend on the arrivals."""

RECORDED_INPUTS = FLEET_INPUTS + RECORDED_ARRIVALS
"""Number of inputs for each service."""

HISTORY = WEEK + 1
"""Days that a policy remembers at least; a model's file has as many, or all training days if those are fewer."""

_LEVEL, _LONG_LEVEL = 12, 72  # steps over which the level is measured
_FAR = 12  # the farthest forecast, in steps after an order is ready
_AHEAD = 3  # steps from the first fitted forecast to the second
_MEAN_OF_SIX, _USUAL_TWO, _USUAL_SEVEN, _HIGHEST = 5, 19, 20, 29  # places of what is expected among the inputs
_RIDGE = 42.0
_LEAST_SPREAD = 0.05
_FARTHEST = 4.0  # spreads from the mean at which an input is cut
_MOST = 5.0  # the largest logarithm of a fitted forecast: 147 instances' worth more than the largest seen
_ARRIVALS = OBSERVATION_NAMES.index("arrivals")
_FLEET_AND_QUEUE = [OBSERVATION_NAMES.index(name) for name in ("ready", "booting", "queue")]


class Recording(NamedTuple):
    """What a policy knows of the traffic that it was trained on; all arrays are float32."""

    history: NDArray[np.float32]
    """The last training days, requests of shape (days, steps); at least one and at most `HISTORY` days."""
    centre: NDArray[np.float32]
    """Mean of each input that is computed from the counts, shape (LOOKED_BACK,)."""
    spread: NDArray[np.float32]
    """Its standard deviation, above 0, shape (LOOKED_BACK,)."""
    forecasts: NDArray[np.float32]
    """Coefficients of the fitted forecasts, the constant last, shape (2, LOOKED_BACK + 1)."""
    high: NDArray[np.float32]
    """99th percentile of the arrivals, in instances' worth of requests, shape (1,)."""


def scales_of(service: Service, recording: Recording) -> NDArray[np.float64]:
    """Return the scales that `look_at_fleet` takes; a high fleet is that of the recording, not of its highest peak."""
    scales = np.append(input_scales(service), float(service.capacity_per_instance))
    scales[7] = max(float(recording.high[0]), 1.0)
    return scales


def steps_ahead(service: Service) -> int:
    """Return how far the farthest forecast looks, in steps after an order is ready.

    Raises:
        ValueError: A day has too few steps for its length of a boot.
    """
    far = min(_FAR, service.steps_per_episode - _boot(service) - AROUND - 1)
    if far < 1:
        raise ValueError(
            f"steps_per_episode = {service.steps_per_episode}: must be at least {_boot(service) + AROUND + 2} where an "
            f"instance boots for {service.boot_delay:g} s, so that a day forecasts the next"
        )
    return far


def _boot(service: Service) -> int:
    return math.ceil(service.boot_delay / service.step_seconds)


@one_blas_thread
def fit_recording(days: NDArray[np.int64], service: Service, near: Recording | None = None) -> Recording:
    """Return what a policy can know of training days in a row, or of many such rows together.

    Args:
        days: Requests of at least two days, the first of which is history alone; shape (days, steps), or
            (rows, days, steps). Of rows, the history is that of the last.
        service: Gives the length of a day and of a boot, and the capacity of an instance.
        near: What is known of other traffic, for a network that was trained on it: inputs are centred and scaled as
            there, and the ridge regressions shrink toward its forecasts, not toward 0.

    Raises:
        ValueError: There are fewer than two days, or a day has too few steps.
    """
    rows = days if days.ndim == 3 else days[np.newaxis]
    if rows.shape[1] < 2:
        raise ValueError(
            f"days: {rows.shape[1]} training day; at least 2 are needed, the first of which is history alone"
        )
    lines, steps, boot = rows.reshape(len(rows), -1), service.steps_per_episode, _boot(service)
    raw = [looked_back(line, steps, len(line) - steps, service) for line in lines]
    together = np.concatenate(raw)
    centre = together.mean(axis=0).astype(np.float32) if near is None else near.centre
    spread = (together.std(axis=0) + _LEAST_SPREAD).astype(np.float32) if near is None else near.spread
    before = np.zeros((2, LOOKED_BACK + 1)) if near is None else near.forecasts.astype(np.float64)
    high = np.array([np.percentile(lines, 99) / service.capacity_per_instance], dtype=np.float32)
    demand = np.log1p(lines / service.capacity_per_instance)[:, steps:]
    inputs = [np.clip((each - centre) / spread, -_FARTHEST, _FARTHEST) for each in raw]
    forecasts = []
    for ahead, towards in zip((boot, boot + _AHEAD), before, strict=True):
        seen = np.concatenate([each[: len(each) - ahead] for each in inputs])
        known = np.c_[seen, np.ones(len(seen))]
        penalty = np.diag([_RIDGE] * LOOKED_BACK + [1e-6])
        came = demand[:, ahead:].reshape(-1)
        forecasts.append(np.linalg.solve(known.T @ known + penalty, known.T @ came + penalty @ towards))
    return Recording(
        history=rows[-1, -HISTORY:].astype(np.float32),
        centre=centre,
        spread=spread,
        forecasts=np.array(forecasts, dtype=np.float32),
        high=high if near is None else near.high,
    )


def looked_back(line: NDArray[np.int64], first: int, rows: int, service: Service) -> NDArray[np.float64]:
    """Return the inputs that are computed from the counts alone, before centring, shape (rows, LOOKED_BACK).

    Args:
        line: Requests of days in a row, beginning with a midnight, shape (k,).
        first: The first step to decide in, at least a day; all counts before a step are known in it.
        rows: How many steps, at most `k + 1 - first`.
        service: Gives the length of a day and of a boot, and the capacity of an instance.
    """
    raw = np.empty((rows, LOOKED_BACK))
    hour = max(3600 // service.step_seconds, 1)
    _look_back(
        line, service.steps_per_episode, service.capacity_per_instance, _boot(service), steps_ahead(service), hour,
        first, raw,
    )  # fmt: skip
    return raw


@one_blas_thread
def known_of(
    raw: NDArray[np.float64], last: NDArray[np.int64], recording: Recording, service: Service
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the inputs that depend on the arrivals, and what is expected.

    Args:
        raw: What `looked_back` returns, shape (m, LOOKED_BACK).
        last: The arrivals last seen, requests of shape (m,).
        recording: What is known of the traffic.
        service: Gives the capacity of an instance.

    Returns:
        Inputs, float32 of shape (m, RECORDED_ARRIVALS); the last arrivals with what is `EXPECTED_RECORDED`, in
        instances, float32 of shape (m, 7).
    """
    known = np.empty((len(raw), RECORDED_ARRIVALS), dtype=np.float32)
    known[:, :LOOKED_BACK] = np.clip((raw - recording.centre) / recording.spread, -_FARTHEST, _FARTHEST)
    coefficients = recording.forecasts.T
    forecasts = np.clip(known[:, :LOOKED_BACK] @ coefficients[:-1] + coefficients[-1], 0.0, _MOST)
    known[:, LOOKED_BACK:] = (forecasts - recording.centre[0]) / recording.spread[0]
    expected = np.empty((len(raw), 1 + len(EXPECTED)), dtype=np.float32)
    expected[:, 0] = last / service.capacity_per_instance
    expected[:, 1:3] = np.expm1(forecasts)
    expected[:, 3:] = np.expm1(raw[:, [_USUAL_SEVEN, _USUAL_TWO, _MEAN_OF_SIX, _HIGHEST]])
    return known, expected


class RecordedInputs:
    """Turn the observations of a batch of services, step after step, into the inputs of a decision on recorded traffic.

    The memory begins with the last training days. It does not end at midnight. The first observation after `start`
    adds nothing: before the first step, an environment shows the arrivals of that step.

    Args:
        service: The service to scale.
        recording: What is known of the traffic.

    Raises:
        ValueError: The steps of a day are not those of the recording.
    """

    count = RECORDED_INPUTS
    """Number of inputs for each service."""

    def __init__(self, service: Service, recording: Recording) -> None:
        self._steps = recording.history.shape[1]
        if self._steps != service.steps_per_episode:
            raise ValueError(
                f"steps_per_episode = {service.steps_per_episode}: the model was trained on days of {self._steps} steps"
            )
        self._service = service
        self.recording = recording
        self._scales = scales_of(service, recording)
        self._days = np.zeros((0, self._steps), dtype=np.int64)
        self._dates: dict[bytes, int] = {}
        self.start()

    def start(self, days: NDArray[np.int64] | None = None) -> None:
        """Begin anew with the history of the recording, or with the days before these where `remember` told them.

        Args:
            days: The days to play side by side, shape (n, steps). Of them, only the dates are looked up.
        """
        self._counts = np.zeros((0, 0), dtype=np.int64)
        self._known = 0
        self._shown = False
        dates = [self._dates.get(day.tobytes(), 0) for day in np.ascontiguousarray([] if days is None else days)]
        length = min((*dates, HISTORY))
        if dates and length:
            self._begin(np.array([self._days[date - length : date].reshape(-1) for date in dates]))

    def remember(self, days: NDArray[np.int64]) -> None:
        """Take the days of a recording, in the order of time, so that `start` finds those before a day.

        Args:
            days: Requests, shape (n, steps).
        """
        self._days = np.asarray(days, dtype=np.int64)
        self._dates = {day.tobytes(): date for date, day in enumerate(self._days)}

    def start_at(self, step: int) -> None:
        """Bring the memory to a step of the day; what was not seen until then is filled with what is usual.

        Args:
            step: The step that is decided next, from 0 at midnight to the last of the day.

        Raises:
            ValueError: There is no such step.
        """
        if not 0 <= step < self._steps:
            raise ValueError(f"step = {step}: must be from 0 to {self._steps - 1}")
        if not len(self._counts):
            self._begin(self._recorded(1))
        missing = (step - int(self._shown) - self._known) % self._steps
        if self._shown and missing > self._steps // 2:  # asked twice in a step
            return
        for _ in range(missing):
            self._add(np.array([round(usual_at(each, self._known, self._steps)) for each in self._counts]))

    def state(self) -> dict[str, Any]:
        """Return the memory, for `restore`."""
        return {"counts": self._counts.copy(), "known": self._known, "shown": self._shown}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue with the memory that `state` returned."""
        self._counts, self._known, self._shown = state["counts"].copy(), state["known"], state["shown"]

    def __call__(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        """Add observations, shape (n, 7), to the memory; return the inputs, float32 of shape (n, count)."""
        if len(self._counts) != len(observations):
            self._begin(self._recorded(len(observations)))
        if self._shown:
            self._add(np.rint(observations[:, _ARRIVALS] * float(self._service.arrivals_scale)).astype(np.int64))
        self._shown = True
        raw = np.concatenate([looked_back(line[: self._known], self._known, 1, self._service) for line in self._counts])
        known, expected = known_of(raw, self._counts[:, self._known - 1], self.recording, self._service)
        inputs = np.empty((len(observations), RECORDED_INPUTS), dtype=np.float32)
        states = np.rint(observations[:, _FLEET_AND_QUEUE] * self._scales[_FLEET_AND_QUEUE]).astype(np.int64)
        look_at_fleets(states, expected, self._scales, inputs)
        inputs[:, FLEET_INPUTS:] = known
        return inputs

    def _begin(self, history: NDArray[np.int64]) -> None:
        """Fill the memory with the history of each service, shape (n, days x steps)."""
        services, length = history.shape
        self._counts = np.zeros((services, (HISTORY + 2) * self._steps), dtype=np.int64)
        self._counts[:, :length] = history
        self._known, self._shown = length, False

    def _recorded(self, services: int) -> NDArray[np.int64]:
        """Return the history of the recording for so many services."""
        return np.tile(self.recording.history.reshape(1, -1).astype(np.int64), (services, 1))

    def _add(self, counts: NDArray[np.int64]) -> None:
        """Add what came in a step; forget days before the last eight."""
        if self._known == self._counts.shape[1]:
            self._counts[:, : HISTORY * self._steps] = self._counts[:, 2 * self._steps :]
            self._known = HISTORY * self._steps
        self._counts[:, self._known] = counts
        self._known += 1


@compiled
def _log_mean(sums, step, window, capacity):
    """Return the logarithm of the mean over the last steps."""
    return math.log1p((sums[step] - sums[step - window]) / (window * capacity))


@compiled
def _look_back(counts, steps, capacity, boot, far, hour, first, raw):
    """Write the inputs that are computed from the counts alone: a row for each step from `first` on.

    Sums are over whole numbers, so that a row does not depend on where the counts begin.
    """
    n = counts.shape[0]
    last = first + raw.shape[0] - 1
    sums = np.zeros(n + 1, np.int64)
    squares = np.zeros(n + 1, np.float64)
    for t in range(n):
        sums[t + 1] = sums[t] + counts[t]
        squares[t + 1] = squares[t] + float(counts[t]) * counts[t]
    long = min(_LONG_LEVEL, steps - AROUND - 1)  # so that eight days of memory are enough
    begin = max(first - long, steps)
    end = last + boot + far + 1
    two = np.zeros(end, np.float64)
    seven = np.zeros(end, np.float64)
    for t in range(begin, end):
        two[t] = usual_at(counts, t, steps) / capacity
        seven[t] = usual_of_days(sums, t, steps, capacity)
    for t in range(first, last + 1):
        row = raw[t - first]
        k = 0
        for back in range(1, 5):
            row[k] = math.log1p(counts[t - back] / capacity)
            k += 1
        for window in (3, 6, 12, 24, 72, 288):
            row[k] = _log_mean(sums, t, min(window, steps), capacity)
            k += 1
        for window in (6, 24, 72, 288):
            width = min(window, steps)
            mean = (sums[t] - sums[t - width]) / width
            square = (squares[t] - squares[t - width]) / width
            row[k] = math.log1p(math.sqrt(max(square - mean * mean, 0.0)) / capacity)
            k += 1
        highest, lowest = counts[t - 1], counts[t - 1]
        error = 0.0
        came, usual_two, usual_seven = 0.0, 0.0, 0.0
        long_came, long_usual = 0.0, 0.0
        for back in range(1, long + 1):
            if t - back < steps:
                break
            now, usual = counts[t - back] / capacity, seven[t - back]
            long_came += now
            long_usual += usual
            if back <= _LEVEL:
                came += now
                usual_two += two[t - back]
                usual_seven += usual
                error += abs(math.log1p(now) - math.log1p(usual)) / _LEVEL
        for back in range(1, min(_LEVEL, steps) + 1):
            highest = max(highest, counts[t - back])
            lowest = min(lowest, counts[t - back])
        row[14] = math.log1p(highest / capacity)
        row[15] = math.log1p(lowest / capacity)
        level_two = min(max((came + 0.5) / (usual_two + 0.5), 0.2), 5.0)
        level = min(max((came + 0.5) / (usual_seven + 0.5), 0.2), 5.0)
        long_level = min(max((long_came + 0.5) / (long_usual + 0.5), 0.2), 5.0)
        row[16] = math.log(level_two)
        row[17] = math.log(level)
        row[18] = math.log(long_level)
        k = 19
        ready = t + boot
        for ahead in (0, min(4, far), far):
            row[k] = math.log1p(two[ready + ahead] * level_two)
            row[k + 1] = math.log1p(seven[ready + ahead] * level)
            row[k + 2] = math.log1p(seven[ready + ahead])
            k += 3
        row[28] = math.log1p(seven[ready] * long_level)
        most = 0.0
        for ahead in range(min(6, far) + 1):
            most = max(most, seven[ready + ahead] * level)
        row[29] = math.log1p(most)
        row[30] = error
        k = 31
        for cycle in range(5):
            length = steps / (cycle + 1.0) if cycle < 3 else hour / (cycle - 2.0)
            angle = 2.0 * math.pi * (t % steps) / length
            row[k] = math.sin(angle)
            row[k + 1] = math.cos(angle)
            k += 2
