"""Training lines from recorded traffic, for policy iteration: days in a row, varied, and what a policy knows of them.

A recording has few days, and a network soon knows them by heart. So it is never trained on the days as they are. Each
line is all training days in a row, with one random factor for the whole line and one that changes slowly. And in some
of its parts the fast changes come from another day: a line is its mean over three hours times the ratio to it, and
parts of this ratio are exchanged with those of another day at nearly the same time. So no crowd stays at its date. But
where fast changes come at the same time each day, as departures by a timetable do, a part keeps its time: else the
network would learn not to expect them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.policies.recorded_inputs import RECORDED_ARRIVALS, Recording, known_of, looked_back
from autoscaler_env.service import Service
from autoscaler_env.traffic.trace import LEVEL_SPREAD, WOBBLE_SPREAD

_SLOW_SECONDS = 7_200
_PART_SECONDS = 10_800
_SHIFT_SECONDS = 3_600
_REPEATS = 0.5
"""Correlation of the fast changes of a day with those of the day before, from which on parts keep their time.

It is 0.8 for taxi rides and for flights, whose hours have a course, and 0.0 for mentions of companies and for a load
balancer, whose crowds come at any time.
"""


class Lines(NamedTuple):
    """Recorded days in a row, without the first, which is history alone."""

    arrivals: NDArray[np.int64]
    """Requests, shape (n, steps)."""
    known: NDArray[np.float32]
    """The inputs that depend on the arrivals, shape (n, steps, RECORDED_ARRIVALS)."""
    expected: NDArray[np.float32]
    """The arrivals last seen and what is expected, in instances, shape (n, steps, 7)."""


def lines_of(lines: NDArray[np.int64], recording: Recording, service: Service) -> Lines:
    """Return what a policy knows before each step of lines, shape (n, days x steps), from their second day on."""
    day = service.steps_per_episode
    n, steps = lines.shape[0], lines.shape[1] - day
    known = np.empty((n, steps, RECORDED_ARRIVALS), dtype=np.float32)
    expected = np.empty((n, steps, 7), dtype=np.float32)
    for i, line in enumerate(lines):
        raw = looked_back(line, day, steps, service)
        known[i], expected[i] = known_of(raw, line[day - 1 : -1], recording, service)
    return Lines(np.ascontiguousarray(lines[:, day:]), known, expected)


def varied(
    days: NDArray[np.int64], count: int, swapped: float, service: Service, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return variations of recorded days in a row, shape (count, days x steps).

    Args:
        days: Requests, shape (days, steps).
        count: How many lines.
        swapped: Share of the parts of three hours whose fast changes come from another day.
        service: Gives the length of a step, and the largest count that is observed.
        rng: Draws the variations.
    """
    line = days.reshape(-1)
    total, day = len(line), days.shape[1]
    slow, part, shift = (
        max(seconds // service.step_seconds, 1) for seconds in (_SLOW_SECONDS, _PART_SECONDS, _SHIFT_SECONDS)
    )
    kernel = np.ones(min(part, total))
    level = (np.convolve(line, kernel, "same") + 1.0) / np.convolve(np.ones(total), kernel, "same")
    ratio = line / level
    if _repeats(np.log(line + 1.0) - np.log(level + 1.0), day):
        shift = 0
    nodes = np.arange(0, total + slow, slow)
    lines = np.empty((count, total), dtype=np.int64)
    for i in range(count):
        wobble = np.interp(np.arange(total), nodes, rng.normal(0, WOBBLE_SPREAD, len(nodes)))
        factor = np.exp(rng.normal(0, LEVEL_SPREAD) + wobble)
        source = np.arange(total)
        for begin in np.arange(0, total, part)[rng.random(len(range(0, total, part))) < swapped]:
            away = rng.integers(len(days)) * day + rng.integers(-shift, shift + 1)
            source[begin : begin + part] = (source[begin : begin + part] + away) % total
        lines[i] = np.rint(level * ratio[source] * factor)
    return np.minimum(lines, service.arrivals_scale)


def _repeats(changes: NDArray[np.float64], day: int) -> bool:
    """Return whether fast changes, shape (days x day,), come at the same time each day."""
    after, before = changes[day:], changes[:-day]
    if len(after) == 0 or min(after.std(), before.std()) == 0:
        return False
    return bool(np.corrcoef(after, before)[0, 1] >= _REPEATS)
