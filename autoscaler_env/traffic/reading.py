"""A user's own traffic: request counts at even intervals, with what was wrong about them said.

Find the times and the counts in a CSV of requests, whatever it was exported from.
"""

from __future__ import annotations

import csv
import math
import re
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

TIME_NAMES = ("timestamp", "@timestamp", "time", "datetime", "date", "ts", "period", "step", "step")
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


DAY = 86_400
"""Seconds of a day."""

FILLED_SECONDS = 3600
"""Gaps up to this long are filled in a straight line; the day of a longer one is left out."""

_HOUR = 3600
_LONGEST = 10_000_000  # intervals: a hundred years of five minutes
_INTERVALS = np.array([seconds for seconds in range(1, DAY + 1) if DAY % seconds == 0])  # a day is whole steps


@dataclass(frozen=True)
class Traffic:
    """Requests at even intervals, in the order of time."""

    name: str
    """What messages call it: the file as it was named, or standard input."""
    interval: int
    """Seconds from one count to the next."""
    start: datetime | None
    """When the first interval begins, by the clock of the file; `None` where it has steps only."""
    requests: NDArray[np.float64]
    """Requests of each interval, NaN where the file has a gap too long to fill; shape (intervals,)."""
    notes: tuple[str, ...]
    """What was found and done, a sentence each: gaps, changes of the clock, sums over finer rows."""


def read_traffic(source: str | Path, step_seconds: int | None = None) -> Traffic:
    """Read request counts from a CSV file, or from standard input where the source is `-`.

    The interval is found out from times; rows at a finer interval are added up to the coarser one. Daylight saving is
    recognised: time runs on evenly through it.

    Args:
        source: The file; see `columns.read_columns` for what it may look like.
        step_seconds: Length of a step, in seconds, for a file that has steps instead of times.

    Raises:
        ValueError: The file cannot be read or is malformed; the message names file, row and reason.
    """
    if str(source) == "-":
        shown, raw = "standard input", sys.stdin.buffer.read()
    else:
        path = Path(source)
        shown = str(path)
        try:
            raw = path.read_bytes()
        except OSError as error:
            raise ValueError(f"{path}: {error.strerror or error}") from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = raw.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{shown}, row {row}: not UTF-8 text") from None
    if "\0" in text:
        row = text.count("\n", 0, text.index("\0")) + 1
        raise ValueError(f"{shown}, row {row}: not text: it holds a zero byte")
    columns = read_columns(text, shown)
    if len(columns.counts) < 2:
        raise ValueError(f"{shown}, row {columns.rows[0]}: the only row; two whole days are needed")
    if columns.timed:
        return _of_times(columns, shown)
    if step_seconds is None:
        raise ValueError(f"{shown}: it has steps and no times; say by step_seconds in the set-up how long a step is")
    _check_order(np.array(columns.times), columns, shown)
    notes: list[str] = []
    requests = _onto_grid(np.array(columns.times), 1, columns, shown)
    return Traffic(shown, step_seconds, None, _fill(requests, step_seconds, shown, notes), tuple(notes))


def _of_times(columns: Columns, shown: str) -> Traffic:
    notes: list[str] = []
    times = np.array(columns.times)
    positive = np.diff(times)[np.diff(times) > 0]
    if not len(positive):
        raise ValueError(
            f"{shown}, row {columns.rows[1]}: its time is not after the row's before; rows must be in the order of time"
        )
    usual = _usual(positive)
    times = _through_clock_changes(times, usual, columns, notes)
    _check_order(times, columns, shown)
    coarse = _coarsest(np.diff(times), usual)
    if coarse > usual:
        notes.append(f"Rows come every {usual} s and every {coarse} s; the finer ones are added up.")
        requests = _added_up(times, usual, coarse, columns)
    else:
        requests = _onto_grid(times, coarse, columns, shown)
    zone = columns.offsets[0] if columns.offsets else 0
    start = datetime.fromtimestamp(times[0] + zone, UTC).replace(tzinfo=None)
    return Traffic(shown, coarse, start, _fill(requests, coarse, shown, notes), tuple(notes))


def _check_order(times: NDArray[np.float64], columns: Columns, shown: str) -> None:
    late = np.flatnonzero(np.diff(times) <= 0)
    if len(late):
        row = columns.rows[late[0] + 1]
        what = "the same time as" if times[late[0] + 1] == times[late[0]] else "earlier than"
        raise ValueError(f"{shown}, row {row}: {what} the row before; rows must be in the order of time, each once")


def _usual(steps: NDArray[np.float64]) -> int:
    """Return the most frequent step in whole seconds; one that is nearly a whole part of a day is taken for it."""
    values, counts = np.unique(np.maximum(np.rint(steps), 1), return_counts=True)
    usual = int(values[np.argmax(counts)])
    nearest = int(_INTERVALS[np.argmin(np.abs(_INTERVALS - usual))])
    return nearest if abs(nearest - usual) <= 0.02 * usual else usual


def _coarsest(steps: NDArray[np.float64], usual: int) -> int:
    """Return the coarsest interval of the file: one of many rows in a line, for a good part of the time it covers.

    A longer step that is rare, or that stands among others, is a gap.
    """
    coarsest = usual
    for step in np.unique(steps):
        alike = steps == step
        in_line = (alike[1:] & alike[:-1]).sum()
        if step > usual and step % usual == 0 and in_line >= 10 and alike.sum() * step >= 0.1 * steps.sum():
            coarsest = int(step)
    return coarsest


def _through_clock_changes(
    times: NDArray[np.float64], usual: int, columns: Columns, notes: list[str]
) -> NDArray[np.float64]:
    """Let time run on evenly where clocks were put forward or back; say where that was."""
    if columns.offsets is not None:
        for i in np.flatnonzero(np.diff(columns.offsets)):
            hours = (columns.offsets[i + 1] - columns.offsets[i]) / _HOUR
            notes.append(_clock_note(columns.rows[i + 1], hours))
        return times
    steps = np.diff(times)
    times = times.copy()
    for i in np.flatnonzero((steps == usual - _HOUR) | (steps == usual + _HOUR)):
        forward = bool(steps[i] > usual)
        clock = datetime.fromtimestamp(columns.times[i], UTC)
        # A missing hour is daylight saving only in such a night; an hour told twice by night is nothing else.
        if 3 < clock.hour < 23 or (forward and not (clock.weekday() >= 4 and clock.month in (3, 4, 9, 10))):
            continue
        times[i + 1 :] += -_HOUR if forward else _HOUR
        notes.append(_clock_note(columns.rows[i + 1], 1.0 if forward else -1.0))
    return times


def _clock_note(row: int, hours: float) -> str:
    way, later = ("forward", "later") if hours > 0 else ("back", "earlier")
    return (
        f"Row {row}: clocks go {way} by {abs(hours):g} h (daylight saving). Time runs on evenly, so by the clock the "
        f"days from there on begin {abs(hours):g} h {later}."
    )


def _onto_grid(times: NDArray[np.float64], interval: int, columns: Columns, shown: str) -> NDArray[np.float64]:
    """Return requests by interval, NaN where there is no row or no count; rows may be a little off the beat."""
    places = np.rint((times - times[0]) / interval).astype(np.int64)
    if places[-1] >= _LONGEST:
        worst = int(np.argmax(np.diff(times)))
        raise ValueError(
            f"{shown}, row {columns.rows[worst + 1]}: {np.diff(places)[worst]:,} intervals after the row before"
        )
    twice = np.flatnonzero(np.diff(places) == 0)
    if len(twice):
        raise ValueError(
            f"{shown}, row {columns.rows[twice[0] + 1]}: {times[twice[0] + 1] - times[twice[0]]:g} s after the row "
            f"before, while most rows are {interval} s apart"
        )
    requests = np.full(places[-1] + 1, np.nan)
    requests[places] = columns.counts
    return requests


def _added_up(times: NDArray[np.float64], fine: int, coarse: int, columns: Columns) -> NDArray[np.float64]:
    """Return requests by the coarse interval: of its own rows, and of finer rows where they are all there."""
    steps = np.diff(times)
    steps = np.append(steps, steps[-1])
    first_coarse = int(np.flatnonzero(steps == coarse)[0])
    places = np.floor((times - times[first_coarse]) / coarse + 1e-6).astype(np.int64)
    places -= places[0]
    counts = np.array(columns.counts)
    rows, sums = np.zeros(places[-1] + 1), np.zeros(places[-1] + 1)
    np.add.at(rows, places, 1)
    np.add.at(sums, places, counts)
    whole = rows == coarse // fine
    whole[places[steps >= coarse]] |= rows[places[steps >= coarse]] == 1
    return np.where(whole, sums, np.nan)


def _fill(requests: NDArray[np.float64], interval: int, shown: str, notes: list[str]) -> NDArray[np.float64]:
    """Fill short gaps in a straight line; say how many there are, and how many are too long."""
    missing = np.isnan(requests)
    if missing.all():
        raise ValueError(f"{shown}: no row has a count")
    if (requests[~missing] % 1 != 0).any():
        notes.append("Counts have fractions; they are rounded to whole requests in a step.")
    edges = np.flatnonzero(np.diff(np.concatenate(([0], missing.astype(np.int8), [0]))))
    firsts, ends = edges[::2], edges[1::2]
    longest = max(1, FILLED_SECONDS // interval)
    short = (ends - firsts <= longest) & (firsts > 0) & (ends < len(requests))
    known = np.flatnonzero(~missing)
    filled = np.interp(np.arange(len(requests)), known, requests[known])
    for first, end in zip(firsts[~short], ends[~short], strict=True):
        filled[first:end] = np.nan
    if short.any():
        notes.append(
            f"{numbered(int(short.sum()), 'gap')} of at most {longest * interval / 60:g} min "
            f"({numbered(int((ends - firsts)[short].sum()), 'interval')} in all) filled in a straight line."
        )
    if not short.all():
        hours = (ends - firsts)[~short].max() * interval / _HOUR
        notes.append(f"{numbered(int((~short).sum()), 'longer gap')} (up to {hours:.1f} h); their days are left out.")
    return filled


def numbered(count: int, what: str) -> str:
    """Return a count with what is counted, in the plural where that is right.

    Example:
        >>> numbered(1, "gap"), numbered(1200, "gap")
        ('1 gap', '1,200 gaps')
    """
    return f"{count:,} {what}{'' if count == 1 else 's'}"
