"""A recorded workload: request counts cut into whole days, split by time; smoothed or rescaled where asked.

`ResampledDays` makes as many training days as a learner asks for from the few that were recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.service import LARGEST_COUNT, Service
from autoscaler_env.text import counted
from autoscaler_env.traffic.doubts import part_of_a_week
from autoscaler_env.traffic.reading import DAY, Traffic, read_traffic

TRAINING_SHARE = 0.6
"""Share of the days, counted from the first, that training, calibration and selection may use."""

FEWEST_DAYS = 2
"""Whole days that are needed: one to learn from and one to hold out."""

MOST_ROUNDED = 0.1
"""Share of all requests that rounding to whole requests in a step may add or lose."""


class Trace:
    """Whole days of recorded request counts, in the order of time.

    The first 60 % of the days are for training, calibration and selection, the rest for evaluation. The split is by
    time, since days drawn at random would let a policy train on the neighbours of the days it is evaluated on.

    Args:
        name: What tables call it.
        days: Arrivals in requests, whole numbers of shape (days, steps), in the order of time.
        step_seconds: Length of a step.
        labels: What each day is called, such as its date; its number by default.
        weekdays: The weekday of each day, Monday being 0; `None` where it is unknown.
        notes: What was done to the counts, a sentence each.
        doubts: Those of the notes that say what may be a mistake of the counts.

    Raises:
        ValueError: There are fewer than two days, so that nothing could be held out.

    Example:
        >>> trace = Trace("shop", np.arange(40).reshape(10, 4))
        >>> len(trace.earlier), len(trace.later), trace.labels[0]
        (6, 4, 'day 1')
    """

    def __init__(
        self,
        name: str,
        days: NDArray[np.int64],
        step_seconds: int = Service.step_seconds,
        *,
        labels: Sequence[str] | None = None,
        weekdays: Sequence[int | None] | None = None,
        notes: Sequence[str] = (),
        doubts: Sequence[str] = (),
    ) -> None:
        if len(days) < FEWEST_DAYS:
            raise ValueError(
                f"{name}: {len(days)} whole days; at least {FEWEST_DAYS} are needed, to train on one and evaluate on "
                "another"
            )
        self.name = name
        self.requests = np.asarray(days, dtype=np.int64)
        self.step_seconds = step_seconds
        self.labels = tuple(labels or (f"day {i + 1}" for i in range(len(days))))
        self.weekdays = tuple(weekdays or (None,) * len(days))
        self.notes = tuple(notes)
        self.doubts = tuple(doubts)

    @classmethod
    def from_csv(cls, path: str | Path, service: Service, *, smooth: int = 1, rescale: bool | float = False) -> Trace:
        """Read a trace strictly: one row per step, columns `step,requests` or `timestamp,requests`.

        Days are counted from the first row on. Rows after the last whole day are dropped.

        Args:
            path: The CSV file, UTF-8, with a header.
            service: Gives the steps of a day, their length, and the peak that the trace may be scaled to.
            smooth: Steps of a centred moving average (an even number reaches half a step further back); 1 for none.
                Smooth counts that are small before scaling them up: their counting noise grows with the scale.
            rescale: Requests a step to scale the 99th percentile of the trace to; true for the service's
                `peak_arrivals`, false to leave the counts as they are.

        Raises:
            ValueError: The file is malformed or too short; the message names file, row and reason.
        """
        if smooth < 1:
            raise ValueError(f"smooth = {smooth}: must be a number of steps, at least 1")
        traffic = read_traffic(path, service.step_seconds, strict=True)
        requests, steps = traffic.requests, service.steps_per_episode
        if len(requests) < FEWEST_DAYS * steps:
            raise ValueError(
                f"{path}: {len(requests)} rows are too short; {FEWEST_DAYS} days of {steps} steps are needed"
            )
        notes: list[str] = []
        peak = (service.peak_arrivals if rescale else None) if isinstance(rescale, bool) else rescale
        requests = _prepared(requests, traffic.name, smooth, peak, notes)
        return cls(Path(path).stem, _whole(_by_day(requests, steps), traffic.name), service.step_seconds, notes=notes)

    @property
    def first_days(self) -> int:
        """Days to learn from: the first 60 %, at least one."""
        return max(1, int(TRAINING_SHARE * len(self.requests)))

    @property
    def earlier(self) -> NDArray[np.int64]:
        """The days to learn from, shape (n, steps)."""
        return self.requests[: self.first_days]

    @property
    def later(self) -> NDArray[np.int64]:
        """The days held out, shape (n, steps)."""
        return self.requests[self.first_days :]

    def draw(self, seeds: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the day that each day seed stands for: shape (n, steps).

        An evaluation seed stands for a later day, any other for an earlier one.
        """
        from autoscaler_env.traffic.patterns import purpose_of  # here: it compiles functions, which no reading needs

        earlier, later = self.earlier, self.later
        days = np.empty((len(seeds), self.requests.shape[1]), dtype=np.int64)
        for i, seed in enumerate(seeds):
            pool = later if purpose_of(seed) == "evaluation" else earlier
            days[i] = pool[int(seed) % 2**62 % len(pool)]
        return days

    def evaluation_days(self, episodes: int) -> NDArray[np.int64]:
        """Return the later days, each once and in order, at most `episodes` of them: shape (n, steps)."""
        return self.later[:episodes]


def cut_days(
    traffic: Traffic, step_seconds: int | None = None, *, smooth: int = 1, rescale: int | None = None
) -> Trace:
    """Bring counts to the steps of a service, and cut them into days at midnight; days with long gaps are left out.

    Args:
        traffic: What was read.
        step_seconds: Length of a step: a multiple of the interval (counts are added up) or a part of it (counts are
            spread evenly). The interval itself by default.
        smooth: Steps of a centred moving average; 1 for none.
        rescale: Requests a step to scale the 99th percentile to; `None` leaves the counts as they are.

    Raises:
        ValueError: The interval does not fit the step or the day, the average is longer than the traffic, or fewer than
            two whole days are left.
    """
    step = step_seconds or traffic.interval
    notes = [*traffic.understood, *traffic.notes]
    if DAY % step:
        raise ValueError(
            f"{traffic.name}: steps of {step} s: a day must be whole steps, as with step_seconds = 60, 300 or 3600"
        )
    requests, start = _from_midnight(traffic)
    requests = _to_steps(requests, traffic, step, notes)
    requests = _prepared(requests, traffic.name, smooth, rescale, notes)
    days = _by_day(requests, DAY // step)
    complete = np.isfinite(days).all(axis=1)
    noons = [start + timedelta(days=i, hours=12) if start else None for i in range(len(days))]
    labels = [noon.date().isoformat() if noon else f"day {i + 1}" for i, noon in enumerate(noons)]
    if not complete.all():
        lost = [labels[i] for i in np.flatnonzero(~complete)]
        notes.append(
            f"{counted(len(lost), 'day')} left out for gaps: {', '.join(lost[:5])}{', ...' * (len(lost) > 5)}."
        )
    if complete.sum() < FEWEST_DAYS:
        raise ValueError(
            f"{traffic.name}: {counted(int(complete.sum()), 'whole day')} of {DAY // step} steps without long gaps; at "
            f"least {FEWEST_DAYS} are needed, to learn from one and to hold one out"
            f"{' (a counter: its first row gives no count)' if traffic.unit == 'counter' else ''}"
        )
    kept = np.flatnonzero(complete)
    weekdays = [noons[i].weekday() if start else None for i in kept]  # type: ignore[union-attr]
    doubts = [*traffic.doubts, *part_of_a_week(weekdays)]
    notes += doubts[len(traffic.doubts) :]
    return Trace(
        Path(traffic.name).stem,
        _whole(days[kept], traffic.name),
        step,
        labels=[labels[i] for i in kept],
        weekdays=weekdays,
        notes=notes,
        doubts=doubts,
    )


def _from_midnight(traffic: Traffic) -> tuple[NDArray[np.float64], datetime | None]:
    """Return the counts from the first midnight on, and when that is."""
    if traffic.start is None:
        return traffic.requests, None
    clock = traffic.start
    past = (clock.hour * 3600 + clock.minute * 60 + clock.second) // traffic.interval
    skipped = 0 if past == 0 else -(-DAY // traffic.interval) - past
    return traffic.requests[skipped:], traffic.start + timedelta(seconds=skipped * traffic.interval)


def _to_steps(requests: NDArray[np.float64], traffic: Traffic, step: int, notes: list[str]) -> NDArray[np.float64]:
    """Return counts by interval as counts by step: added up, or spread evenly."""
    interval = traffic.interval
    if step > interval:
        if step % interval:
            raise ValueError(
                f"step_seconds = {step}: must be a multiple of the interval of {traffic.name}, {interval} s"
            )
        parts = step // interval
        notes.append(f"Counts of {interval} s are added up to steps of {step} s.")
        return requests[: len(requests) // parts * parts].reshape(-1, parts).sum(axis=1)
    if step < interval:
        if interval % step:
            raise ValueError(f"step_seconds = {step}: must divide the interval of {traffic.name}, {interval} s")
        parts = interval // step
        notes.append(f"Counts of {interval} s are spread evenly over steps of {step} s.")
        return np.repeat(requests / parts, parts)
    return requests


def _prepared(
    requests: NDArray[np.float64], name: str, smooth: int, peak: float | None, notes: list[str]
) -> NDArray[np.float64]:
    """Smooth counts and then scale them, where asked; note what was done."""
    if smooth > 1:
        if smooth > len(requests):
            raise ValueError(f"smooth = {smooth}: {name} has only {len(requests):,} steps")
        requests = _smoothed(requests, smooth)
        notes.append(f"Smoothed by a moving average over {smooth} steps, as asked.")
    if peak is None:
        return requests
    if not 0 < peak <= LARGEST_COUNT:
        raise ValueError(f"rescale = {peak}: must be above 0 and at most {LARGEST_COUNT} requests a step")
    high = float(np.nanpercentile(requests, 99)) if np.isfinite(requests).any() else 0.0
    if high == 0:
        raise ValueError(f"{name}: the 99th percentile of its requests is 0, so it cannot be scaled to {peak:,}")
    notes.append(f"Scaled by {peak / high:.3g}, as asked, so that its 99th percentile is {peak:,} requests a step.")
    return requests * (peak / high)


def _smoothed(requests: NDArray[np.float64], smooth: int) -> NDArray[np.float64]:
    """Return a centred moving average; at the ends and beside gaps it covers the steps that exist."""
    known = np.isfinite(requests)
    weights = np.ones(smooth)
    sums = np.convolve(np.where(known, requests, 0), weights, "same")
    return np.where(known, sums / np.maximum(np.convolve(known, weights, "same"), 1), np.nan)


def _by_day(requests: NDArray[np.float64], steps: int) -> NDArray[np.float64]:
    """Return the whole days, shape (days, steps); what is left at the end is dropped."""
    count = len(requests) // steps
    return requests[: count * steps].reshape(count, steps)


def _whole(days: NDArray[np.float64], name: str) -> NDArray[np.int64]:
    """Round to whole requests, unless that would lose many."""
    if days.max() > LARGEST_COUNT:
        raise ValueError(f"{name}: {days.max():.3g} requests in a step; at most {LARGEST_COUNT} can be simulated")
    whole = np.rint(days)
    if abs(whole.sum() - days.sum()) > MOST_ROUNDED * days.sum():
        raise ValueError(
            f"{name}: {days.mean():.3g} requests a step on average; in whole requests {days.sum():,.0f} become "
            f"{whole.sum():,.0f}; choose longer steps with step_seconds, or say what the numbers are with --unit"
        )
    return whole.astype(np.int64)


SHIFT_SECONDS = 3_600
"""How far a training day is shifted in time, at most, either way."""

LEVEL_SPREAD = 0.1
"""Standard deviation of the logarithm of the factor that scales a whole training day."""

WOBBLE_SPREAD = 0.05
"""Standard deviation of the logarithm of the factor that scales parts of a training day and changes slowly."""

_WOBBLE_SECONDS = 7_200
_GOLDEN = 0.6180339887498949


class ResampledDays:
    """A workload that trains on variations of recorded days and evaluates on the days held out.

    A training day is a stretch of the earlier days that begins within an hour of a midnight drawn at random. One random
    factor scales all of it, another, which changes slowly over the day, its parts. So a learner sees the shape of the
    recorded days but never the same numbers twice. A day is a pure function of its day seed. Calibration and selection
    seeds stand for the earlier days as they are, spread over all of them; evaluation seeds for the days held out.

    Args:
        name: What tables call it.
        trace: The recorded days.
    """

    def __init__(self, name: str, trace: Trace) -> None:
        self.name = name
        self.earlier = trace.earlier
        """The days to learn from, in the order of time, shape (n, steps)."""
        self._later = trace.later
        self._steps = trace.requests.shape[1]
        self._line = trace.earlier.reshape(-1)
        self._shift = min(SHIFT_SECONDS // trace.step_seconds, self._steps - 1) if len(trace.earlier) > 1 else 0
        nodes = np.arange(0, self._steps + 1, max(_WOBBLE_SECONDS // trace.step_seconds, 1))
        self._nodes = np.append(nodes, self._steps + 1)

    def draw(self, seeds: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the day that each day seed stands for: shape (n, steps)."""
        from autoscaler_env.traffic.patterns import purpose_of  # here: as above

        days = np.empty((len(seeds), self._steps), dtype=np.int64)
        for i, seed in enumerate(seeds):
            purpose, number = purpose_of(seed), int(seed) % 2**62
            if purpose == "training":
                days[i] = self._variation(int(seed))
            elif purpose == "evaluation":
                days[i] = self._later[number % len(self._later)]
            else:
                days[i] = self.earlier[int((number * _GOLDEN % 1) * len(self.earlier))]
        return days

    def evaluation_days(self, episodes: int) -> NDArray[np.int64]:
        """Return the days held out, each once and in order, at most `episodes` of them: shape (n, steps)."""
        return self._later[:episodes]

    def _variation(self, seed: int) -> NDArray[np.int64]:
        rng = np.random.default_rng(seed)
        first = rng.integers(len(self.earlier)) * self._steps + rng.integers(-self._shift, self._shift + 1)
        first = min(max(int(first), 0), len(self._line) - self._steps)
        wobble = np.interp(np.arange(self._steps), self._nodes, rng.normal(0, WOBBLE_SPREAD, len(self._nodes)))
        factor = np.exp(rng.normal(0, LEVEL_SPREAD) + wobble)
        return np.rint(self._line[first : first + self._steps] * factor).astype(np.int64)


def recorded_days(workload: object, boot_steps: int) -> NDArray[np.int64] | None:
    """Return the days in a row that a workload recorded and that may be learned from, shape (n, steps).

    Args:
        workload: A workload, or the name of a pattern.
        boot_steps: Steps of a boot.

    Returns:
        `None` for what has no calendar, such as a pattern; and where there is one day alone, or a day has so few steps
        that it cannot forecast the next.
    """
    if not isinstance(workload, Trace | ResampledDays):
        return None
    days = workload.earlier
    return days if len(days) > 1 and days.shape[1] >= boot_steps + FEWEST_STEPS else None


FEWEST_STEPS = 5
"""Steps that a day of a recording needs beyond those of a boot."""
