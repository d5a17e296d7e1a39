"""Find the times and the counts in a CSV of requests, whatever it was exported from."""

from __future__ import annotations

import csv
import math
import re
from datetime import UTC, datetime
from typing import NamedTuple

TIME_NAMES = ("timestamp", "@timestamp", "time", "datetime", "date", "ts", "period", "step", "slot")
"""Headings that name the column of times, in small letters."""

COUNT_NAMES = ("requests", "request_count", "requestcount", "count", "hits", "value", "sum", "total", "rps")
"""Headings that name the column of counts, in small letters; the first that is there is taken."""

MISSING = ("", "nan", "null", "none", "n/a", "-")
"""What exports write, in any case, where nothing was measured."""

LARGEST_COUNT = 2.0**40
"""Requests in a row beyond which a count is surely an error."""

_EARLIEST_EPOCH = 1e8  # seconds: the year 1973; smaller numbers count steps


class Columns(NamedTuple):
    """The rows of a file, in its order."""

    times: list[float]
    """Seconds: of the wall clock where the file names no zone, else of UTC; steps where the file has no times."""
    offsets: list[int] | None
    """Seconds from UTC to the wall clock of each row; `None` where the file names no zone."""
    counts: list[float]
    """Requests; NaN where nothing was measured."""
    rows: list[int]
    """Number of each row in the file, the first line of it being 1."""
    timed: bool
    """Whether the file has times, rather than steps."""


def read_columns(text: str, source: str) -> Columns:
    """Read a CSV: commas, semicolons or tabs; with a heading or without; times or steps, or counts alone.

    Args:
        text: The file's content.
        source: What messages call it.

    Raises:
        ValueError: The content is malformed; the message names source, row and reason.
    """
    first = next((line for line in text.splitlines() if line.strip()), "")
    if not first:
        raise ValueError(f"{source}: it is empty")
    delimiter = max(",;\t", key=first.count)
    try:
        numbered = [(i, row) for i, row in enumerate(csv.reader(text.splitlines(), delimiter=delimiter), 1) if row]
    except csv.Error as error:
        raise ValueError(f"{source}: not CSV: {error}") from None
    heading = [cell.strip() for cell in numbered[0][1]]
    if any(_looks_like_data(cell) for cell in heading):
        heading = []
    else:
        numbered = numbered[1:]
    if not numbered:
        raise ValueError(f"{source}: it has a heading and no rows")
    width = len(heading) or len(numbered[0][1])
    time_column, count_column = _choose(heading, width, [cell.strip() for cell in numbered[0][1]], source)
    times: list[float] = []
    offsets: list[int | None] = []
    counts: list[float] = []
    kinds: set[str] = set()
    for i, (number, row) in enumerate(numbered):
        where = f"{source}, row {number}"
        if len(row) != width:
            raise ValueError(f"{where}: {len(row)} fields; the first row has {width}")
        kind, moment, offset = ("step", float(i), None) if time_column is None else _moment(row[time_column], where)
        kinds.add(kind)
        if len(kinds) > 1:
            raise ValueError(f"{where}: {row[time_column or 0]!r} is a {kind}; the rows before have another kind")
        times.append(moment)
        offsets.append(offset)
        counts.append(_count(row[count_column], where))
    zoned = [offset for offset in offsets if offset is not None]
    return Columns(times, zoned or None, counts, [number for number, _ in numbered], kinds != {"step"})


def _looks_like_data(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return _as_datetime(cell) is not None
    return True


def _choose(heading: list[str], width: int, first: list[str], source: str) -> tuple[int | None, int]:
    """Return the columns of times and of counts; `None` for times where there are counts alone."""
    if width == 1:
        return None, 0
    names = [name.lower() for name in heading]
    time = next((names.index(name) for name in TIME_NAMES if name in names), None)
    if time is None:
        time = next((i for i in range(width) if i < len(first) and _looks_like_data(first[i])), 0)
    named = [names.index(name) for name in COUNT_NAMES if name in names and names.index(name) != time]
    others = [i for i in range(width) if i != time]
    if named:
        return time, named[0]
    if len(others) == 1:
        return time, others[0]
    told = ", ".join(heading) or f"{width} without names"
    raise ValueError(f"{source}, row 1: the columns are {told}; which of them counts? Call it requests")


def _as_datetime(text: str) -> datetime | None:
    """Return the time that a text names, ISO 8601 or a near relation of it; `None` for anything else."""
    plain = text.strip().replace("/", "-")
    plain = re.sub(r"\s*(?:UTC|GMT)$", "+00:00", plain)
    plain = re.sub(r"\s+([+-]\d\d:?\d\d)$", r"\1", plain)
    if not re.match(r"\d{4}-\d\d-\d\d", plain):
        return None
    try:
        return datetime.fromisoformat(plain)
    except ValueError:
        return None


def _moment(cell: str, where: str) -> tuple[str, float, int | None]:
    """Return what a cell of the column of times is, when that is, and its zone's offset in seconds."""
    text = cell.strip()
    try:
        number = float(text)
    except ValueError:
        moment = _as_datetime(text)
        if moment is None:
            raise ValueError(f"{where}: {cell!r} is neither a step nor a time such as 2026-03-01 14:05:00") from None
        if moment.tzinfo is None:
            return "time without a zone", moment.replace(tzinfo=UTC).timestamp(), None
        offset = moment.utcoffset()
        assert offset is not None
        return "time with a zone", moment.timestamp(), int(offset.total_seconds())
    if not -_EARLIEST_EPOCH < number < math.inf:
        raise ValueError(f"{where}: {cell!r} is neither a step nor a time")
    if abs(number) < _EARLIEST_EPOCH:
        if number != int(number):
            raise ValueError(f"{where}: step {cell!r} is not a whole number")
        return "step", number, None
    while number >= 1e11:  # milliseconds, microseconds, nanoseconds
        number /= 1000
    return "Unix time", number, 0


def _count(cell: str, where: str) -> float:
    text = cell.strip()
    if text.lower() in MISSING:
        return math.nan
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{where}: requests {cell!r} is not a number") from None
    if not 0 <= value <= LARGEST_COUNT:
        raise ValueError(f"{where}: requests {cell!r} must be from 0 to {LARGEST_COUNT:.0f}")
    return value
