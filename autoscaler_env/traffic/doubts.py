"""What a file leaves open, which is asked; and which counts may be mistakes, which are noted and left as they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.text import counted, listed

MOST_ZEROS = 0.05
"""Share of the counts that are 0, up to which 0 is rare."""

HIGHEST = "The highest count"
"""How a note about a count that may be a mistake begins."""

ALONE = 5
"""A count so many times as high as all others but its neighbours may be a mistake."""

OUTAGE_HOURS = 6
"""Hours of 0 from which on an outage is noted, if other days have high counts at these times."""

HIGH = 20
"""Requests of an interval: where so many come in on average, none do by chance once in a hundred million intervals."""


class Question(ValueError):
    """What a file leaves open, in one line that names the option; with an answer, by which reading can go on."""

    def __init__(self, message: str, **answer: Any) -> None:
        """Keep the answer: fields of `columns.Reading`, used only to find out what else is open."""
        super().__init__(message)
        self.answer = answer


def doubts_of(requests: NDArray[np.float64], interval: int, start: datetime | None) -> list[str]:
    """Return what may be a mistake of the counts, a sentence each.

    Args:
        requests: Requests of each interval, shape (n,); NaN where nothing is known.
        interval: Seconds of an interval.
        start: When the first begins; `None` where the file has steps only.
    """
    return [*_outlier(requests), *_zeros(requests, interval, start), *_outages(requests, interval, start)]


def _outlier(requests: NDArray[np.float64]) -> Iterator[str]:
    """Yield a note about a count far above all others: it may be a mistake of the export."""
    known = requests[np.isfinite(requests)]
    if len(known) < 100:
        return
    high = np.percentile(known, 99)
    place = int(np.nanargmax(requests))
    others = np.delete(requests, slice(max(place - 1, 0), place + 2))  # a real peak lifts its neighbours
    alone = requests[place] > ALONE * np.nanmax(others)
    if high > 0 and (known.max() > 20 * high or alone):
        most = float(known.max())
        yield f"{HIGHEST}, {most:,.0f}, is {most / high:,.0f} times the 99th percentile: check it."


def _outages(requests: NDArray[np.float64], interval: int, start: datetime | None) -> Iterator[str]:
    """Yield a note about hours of 0 at times of the day at which other days have high counts."""
    steps = 86_400 // interval
    whole = requests[: len(requests) // steps * steps].reshape(-1, steps)
    if len(whole) < 3:
        return
    usual = np.tile(np.median(np.nan_to_num(whole), axis=0), len(whole) + 1)[: len(requests)]
    odd = (requests == 0) & (usual >= HIGH)
    edges = np.flatnonzero(np.diff(np.concatenate(([0], odd.astype(np.int8), [0]))))
    for first, end in zip(edges[::2], edges[1::2], strict=True):
        if (end - first) * interval >= OUTAGE_HOURS * 3600:
            since = f"{(end - first) * interval / 3600:.3g} h from {_when(first, interval, start)}"
            yield (
                f"All counts are 0 for {since}, where other days have {usual[first:end].mean():,.0f} on average: "
                "if the service or the meter was down, leave them empty."
            )


def _zeros(requests: NDArray[np.float64], interval: int, start: datetime | None) -> Iterator[str]:
    """Yield a note about counts of 0 between high ones, where 0 is rare: the meter may have been down."""
    zero = requests == 0
    if not 0 < zero.sum() <= MOST_ZEROS * np.isfinite(requests).sum():
        return
    edges = np.flatnonzero(np.diff(np.concatenate(([0], zero.astype(np.int8), [0]))))
    runs = [
        (int(first), int(end))
        for first, end in zip(edges[::2], edges[1::2], strict=True)
        if first > 0 and end < len(requests) and min(requests[first - 1], requests[end]) >= HIGH
    ]
    if not runs:
        return
    first, end = max(runs, key=lambda run: run[1] - run[0])
    when = _when(first, interval, start)
    before, after = requests[first - 1], requests[end]
    others = f", and {counted(len(runs) - 1, 'more such place')}" if runs[1:] else ""
    yield (
        f"{counted(end - first, 'row')} of 0 from {when}, between rows of {before:,.0f} and {after:,.0f}{others}: if "
        "the meter was down, leave them empty."
    )


def _when(place: int, interval: int, start: datetime | None) -> str:
    """Return when an interval begins: its row where the file has steps only."""
    return f"row {place + 1}" if start is None else f"{start + timedelta(seconds=int(place) * interval):%Y-%m-%d %H:%M}"


_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def missing_weekdays(weekdays: Sequence[int | None]) -> list[str]:
    """Return the weekdays that are not among those of the traffic; none where these are unknown.

    Args:
        weekdays: Of each day, Monday being 0.

    Example:
        >>> missing_weekdays([0, 1, 2, 3, 4, 0])
        ['Saturday', 'Sunday']
    """
    return [] if None in weekdays else [name for i, name in enumerate(_WEEKDAYS) if i not in weekdays]


def part_of_a_week(weekdays: Sequence[int | None]) -> Iterator[str]:
    """Yield a note if seven days or more of traffic lack a weekday."""
    missing = missing_weekdays(weekdays)
    if missing and len(weekdays) >= 7:
        yield f"The traffic has no {listed(missing, 'and no')}: an answer does not hold there, nor for a year."
