"""What a file leaves open, which is asked; and which counts may be mistakes, which are noted and left as they are."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.text import counted

MOST_ZEROS = 0.05
"""Share of the counts that are 0, up to which 0 is rare."""

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
    return [*_outlier(requests), *_zeros(requests, interval, start)]


def _outlier(requests: NDArray[np.float64]) -> Iterator[str]:
    """Yield a note about a count far above all others: it may be a mistake of the export."""
    known = requests[np.isfinite(requests)]
    if len(known) < 100:
        return
    high = np.percentile(known, 99)
    if high > 0 and known.max() > 20 * high:
        most = float(known.max())
        yield f"The highest count, {most:,.0f}, is {most / high:,.0f} times the 99th percentile: check it."


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
    when = f"row {first + 1}" if start is None else f"{start + timedelta(seconds=first * interval):%Y-%m-%d %H:%M}"
    before, after = requests[first - 1], requests[end]
    others = f", and {counted(len(runs) - 1, 'more such place')}" if runs[1:] else ""
    yield (
        f"{counted(end - first, 'row')} of 0 from {when}, between rows of {before:,.0f} and {after:,.0f}{others}: if "
        "the meter was down, leave them empty."
    )
