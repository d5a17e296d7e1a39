"""Cut traffic into the steps and days of a service.

Days to learn from: as many as a learner asks for, made from the few that there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.traffic.patterns import purpose_of
from autoscaler_env.traffic.reading import DAY, Traffic, numbered
from autoscaler_env.traffic.trace import LARGEST_COUNT, TRAINING_SHARE

FEWEST_DAYS = 2
"""Whole days without which nothing can be held out."""


@dataclass(frozen=True)
class CutDays:
    """Whole days, in the order of time, the first part to learn from and the rest held out."""

    step_seconds: int
    """Length of a step."""
    requests: NDArray[np.int64]
    """Arrivals, shape (days, steps)."""
    labels: tuple[str, ...]
    """What each day is called: its date, or its number where the file has no times."""
    weekdays: tuple[int | None, ...]
    """Of each day, Monday being 0; `None` where the file has no times."""
    notes: tuple[str, ...]
    """What was done to the traffic, a sentence each."""

    @classmethod
    def of(cls, requests: NDArray[np.int64], step_seconds: int) -> CutDays:
        """Return days that are cut already: arrivals of shape (days, steps)."""
        labels = tuple(f"day {i + 1}" for i in range(len(requests)))
        return cls(step_seconds, np.asarray(requests, dtype=np.int64), labels, (None,) * len(requests), ())

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


def cut_days(
    traffic: Traffic, step_seconds: int | None = None, *, smooth: int = 1, rescale: int | None = None
) -> CutDays:
    """Bring traffic to the steps of a service, and cut it into days at midnight.

    Args:
        traffic: What was read.
        step_seconds: Length of a step: a multiple of the interval (counts are added up) or a part of it (they are
            spread evenly). The interval itself by default.
        smooth: Steps of a centred moving average; 1 for none.
        rescale: The 99th percentile that the traffic is scaled to, in requests a step; `None` leaves it as it is.

    Raises:
        ValueError: The interval does not fit the step or the day, the average is longer than the traffic, or fewer than
            two whole days are left.
    """
    step = step_seconds or traffic.interval
    notes = list(traffic.notes)
    if DAY % step:
        raise ValueError(
            f"{traffic.name}: steps of {step} s: a day must be whole steps, as with step_seconds = 60, 300 or 3600"
        )
    requests, skipped = _from_midnight(traffic)
    if step > traffic.interval:
        if step % traffic.interval:
            raise ValueError(
                f"step_seconds = {step}: must be a multiple of the interval of {traffic.name}, {traffic.interval} s"
            )
        whole = len(requests) // (step // traffic.interval) * (step // traffic.interval)
        requests = requests[:whole].reshape(-1, step // traffic.interval).sum(axis=1)
        notes.append(f"Counts of {traffic.interval} s are added up to steps of {step} s.")
    elif step < traffic.interval:
        if traffic.interval % step:
            raise ValueError(f"step_seconds = {step}: must divide the interval of {traffic.name}, {traffic.interval} s")
        requests = np.repeat(requests / (traffic.interval // step), traffic.interval // step)
        notes.append(f"Counts of {traffic.interval} s are spread evenly over steps of {step} s.")
    if smooth > len(requests):
        raise ValueError(f"smooth = {smooth}: {traffic.name} has only {len(requests):,} steps")
    if smooth > 1:
        requests = _smoothed(requests, smooth)
        notes.append(f"Smoothed by a moving average over {smooth} steps, as asked.")
    if rescale is not None:
        requests = _rescaled(requests, rescale, notes)
    return _whole_days(requests, step, _midnight(traffic, skipped), traffic.name, notes)


def _from_midnight(traffic: Traffic) -> tuple[NDArray[np.float64], int]:
    """Return the counts from the first midnight on, and how many intervals were skipped for it."""
    if traffic.start is None:
        return traffic.requests, 0
    clock = traffic.start
    past = (clock.hour * 3600 + clock.minute * 60 + clock.second) // traffic.interval
    skipped = 0 if past == 0 else -(-DAY // traffic.interval) - past
    return traffic.requests[skipped:], skipped


def _midnight(traffic: Traffic, skipped: int) -> datetime | None:
    return traffic.start and traffic.start + timedelta(seconds=skipped * traffic.interval)


def _smoothed(requests: NDArray[np.float64], smooth: int) -> NDArray[np.float64]:
    known = np.isfinite(requests)
    weights = np.ones(smooth)
    sums = np.convolve(np.where(known, requests, 0), weights, "same")
    return np.where(known, sums / np.maximum(np.convolve(known, weights, "same"), 1), np.nan)


def _rescaled(requests: NDArray[np.float64], to: int, notes: list[str]) -> NDArray[np.float64]:
    high = float(np.nanpercentile(requests, 99)) if np.isfinite(requests).any() else 0.0
    if high == 0:
        raise ValueError(f"rescale = {to}: the 99th percentile of the traffic is 0, so it cannot be scaled")
    notes.append(f"Scaled by {to / high:.3g}, as asked, so that its 99th percentile is {to:,} requests a step.")
    return requests * (to / high)


def _whole_days(
    requests: NDArray[np.float64], step: int, start: datetime | None, name: str, notes: list[str]
) -> CutDays:
    steps = DAY // step
    count = len(requests) // steps
    days = requests[: count * steps].reshape(count, steps)
    kept = [bool(np.isfinite(day).all()) for day in days]
    middle = [start + timedelta(days=i, hours=12) if start else None for i in range(count)]
    labels = [when.date().isoformat() if when else f"day {i + 1}" for i, when in enumerate(middle)]
    if not all(kept):
        lost = [label for label, whole in zip(labels, kept, strict=True) if not whole]
        notes.append(
            f"{numbered(len(lost), 'day')} left out for gaps: {', '.join(lost[:5])}{', ...' * (len(lost) > 5)}."
        )
    if sum(kept) < FEWEST_DAYS:
        raise ValueError(
            f"{name}: {numbered(sum(kept), 'whole day')} of {steps} steps without long gaps; at least "
            f"{FEWEST_DAYS} are needed, to learn from one and to hold one out"
        )
    if days[kept].max() > LARGEST_COUNT:
        raise ValueError(f"{name}: {days[kept].max():.3g} requests in a step; at most {LARGEST_COUNT} can be simulated")
    return CutDays(
        step,
        np.rint(days[kept]).astype(np.int64),
        tuple(label for label, whole in zip(labels, kept, strict=True) if whole),
        tuple(when.weekday() if when else None for when, whole in zip(middle, kept, strict=True) if whole),
        tuple(notes),
    )


SHIFT_SECONDS = 3_600
"""How far a training day is shifted in time, at most, either way."""

LEVEL_SPREAD = 0.1
"""Standard deviation of the logarithm of the level that a training day is scaled by."""

WOBBLE_SPREAD = 0.05
"""Standard deviation of the logarithm of what a training day is multiplied by from hour to hour."""

_WOBBLE_SECONDS = 7_200
_GOLDEN = 0.6180339887498949


class ResampledDays:
    """Training days that are like a user's, and real ones to calibrate, select and evaluate on.

    A training day is a stretch of the first part that begins within an hour of a midnight drawn at random, scaled as a
    whole and, slowly changing, by parts, so that a learner meets the shape of the user's days but never twice the same
    numbers. It is a pure function of its day seed. Calibration and selection seeds stand for the days of the first part
    as they are, spread over it; evaluation seeds for the days held out.

    Args:
        name: What tables call it.
        days: The user's days.
    """

    def __init__(self, name: str, days: CutDays) -> None:
        self.name = name
        self._earlier, self._later = days.earlier, days.later
        self._steps = days.requests.shape[1]
        self._line = days.earlier.reshape(-1)
        self._shift = min(SHIFT_SECONDS // days.step_seconds, self._steps - 1) if len(days.earlier) > 1 else 0
        nodes = np.arange(0, self._steps + 1, max(_WOBBLE_SECONDS // days.step_seconds, 1))
        self._nodes = np.append(nodes, self._steps + 1)

    def draw(self, seeds: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the day that each day seed stands for: shape (n, steps)."""
        drawn = np.empty((len(seeds), self._steps), dtype=np.int64)
        for i, seed in enumerate(seeds):
            purpose, number = purpose_of(seed), int(seed) % 2**62
            if purpose == "training":
                drawn[i] = self._made_up(int(seed))
            elif purpose == "evaluation":
                drawn[i] = self._later[number % len(self._later)]
            else:
                drawn[i] = self._earlier[int((number * _GOLDEN % 1) * len(self._earlier))]
        return drawn

    def evaluation_days(self, episodes: int) -> NDArray[np.int64]:
        """Return the days held out, each once and in order, at most `episodes` of them: shape (n, steps)."""
        return self._later[:episodes]

    def _made_up(self, seed: int) -> NDArray[np.int64]:
        rng = np.random.default_rng(seed)
        first = rng.integers(len(self._earlier)) * self._steps + rng.integers(-self._shift, self._shift + 1)
        first = min(max(int(first), 0), len(self._line) - self._steps)
        wobble = np.interp(np.arange(self._steps), self._nodes, rng.normal(0, WOBBLE_SPREAD, len(self._nodes)))
        factor = np.exp(rng.normal(0, LEVEL_SPREAD) + wobble)
        return np.rint(self._line[first : first + self._steps] * factor).astype(np.int64)
