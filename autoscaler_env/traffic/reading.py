"""Request counts from a CSV file: found, checked, and brought to even intervals.

`read_traffic` reads a file in one of two ways. Strictly: columns have fixed names, and every row is exactly one step
after the row before; any other row is an error. Leniently, for the exports of many programs, as `autoscaler advise`
does: the reader recognises columns and interval and fills short gaps; the notes of the result say what was done.
"""

from __future__ import annotations

import csv
import io
import math
import re
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.text import counted

DAY = 86_400
"""Seconds of a day."""

TIME_NAMES = ("timestamp", "@timestamp", "time", "datetime", "date", "ts", "period", "step", "slot")
"""Headings that name the column of times, in small letters."""

COUNT_NAMES = ("requests", "request_count", "requestcount", "count", "hits", "value", "sum", "total", "rps")
"""Headings that name the column of counts, in small letters; the first one in the file is taken."""

MISSING = ("", "nan", "null", "none", "n/a", "-")
"""What exports write where nothing was measured, in any case."""

FILLED_SECONDS = 3600
"""Gaps up to this long are filled in a straight line; a day with a longer one is left out."""

_HOUR = 3600
_EARLIEST_EPOCH = 1e8  # seconds: the year 1973; smaller numbers count steps
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
    """When the first interval begins, by the clock of the file; `None` where the file has steps only."""
    requests: NDArray[np.float64]
    """Requests of each interval, shape (intervals,); NaN where the file has a gap too long to fill."""
    notes: tuple[str, ...]
    """What was found and done, a sentence each: gaps, changes of the clock, sums over finer rows."""


def read_traffic(source: str | Path, step_seconds: int | None = None, *, strict: bool = False) -> Traffic:
    """Read request counts from a CSV file.

    Args:
        source: The file, UTF-8; `-` is standard input, where reading is lenient.
        step_seconds: Length of a step, in seconds: needed to read strictly, and for a file that has steps and no times.
        strict: Whether to take only a file with the columns `step` or `timestamp` and `requests`, in which each row
            is one step after the row before and has a count. Otherwise the reader recognises commas, semicolons and
            tabs, a heading or none, many forms of times, and the interval; it adds rows at a finer interval up to the
            coarser one, lets time run on evenly through daylight saving, and fills short gaps.

    Raises:
        ValueError: The file cannot be read or is malformed; the message names file, row and reason.
    """
    name, text = _content_of(source, strict)
    if strict:
        if step_seconds is None:
            raise ValueError(f"{name}: step_seconds is needed to read it strictly")
        return _read_strictly(text, name, step_seconds)
    columns = _read_columns(text, name)
    if len(columns.counts) < 2:
        raise ValueError(f"{name}, row {columns.rows[0]}: the only row; two whole days are needed")
    if columns.timed:
        return _of_times(columns, name)
    if step_seconds is None:
        raise ValueError(f"{name}: it has steps and no times; step_seconds in the set-up must say how long a step is")
    _check_order(np.array(columns.times), columns, name)
    notes: list[str] = []
    requests = _onto_grid(np.array(columns.times), 1, columns, name)
    return Traffic(name, step_seconds, None, _fill(requests, step_seconds, name, notes), tuple(notes))


# --- both ways -------------------------------------------------------------------------------------------------------


def _content_of(source: str | Path, strict: bool) -> tuple[str, str]:
    """Return what messages call a source, and its text."""
    if str(source) == "-" and not strict:
        name, raw = "standard input", sys.stdin.buffer.read()
    else:
        path = Path(source)
        name = str(path)
        try:
            raw = path.read_bytes()
        except OSError as error:
            raise ValueError(f"{path}: {error.strerror or error}") from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = raw.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{name}, row {row}: not UTF-8 text") from None
    if "\0" in text:
        row = text.count("\n", 0, text.index("\0")) + 1
        raise ValueError(f"{name}, row {row}: not text: it holds a zero byte")
    if not text.strip():
        raise ValueError(f"{name}: the file is empty")
    return name, text


def _rows_of(text: str, name: str, delimiter: str) -> list[tuple[int, list[str]]]:
    """Return the rows of a CSV with their numbers, the first row being 1."""
    try:
        return list(enumerate(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), 1))
    except csv.Error as error:
        raise ValueError(f"{name}: not CSV: {error}") from None


def _as_datetime(text: str) -> datetime | None:
    """Return the time that a text names, in ISO 8601 or a similar form; `None` for anything else."""
    plain = text.strip().replace("/", "-")
    plain = re.sub(r"\s*(?:UTC|GMT)$", "+00:00", plain)
    plain = re.sub(r"\s+([+-]\d\d:?\d\d)$", r"\1", plain)
    try:
        return datetime.fromisoformat(plain)
    except ValueError:
        return None


def _count(cell: str, where: str) -> float:
    """Return the requests of a row."""
    try:
        value = float(cell)
    except ValueError:
        raise ValueError(f"{where}: requests {cell!r} is not a number") from None
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"{where}: requests {cell!r} must be finite and not negative")
    return value


# --- strictly --------------------------------------------------------------------------------------------------------


def _read_strictly(text: str, name: str, step_seconds: int) -> Traffic:
    """Return the counts of a file whose every row is checked."""
    (_, first), *rows = _rows_of(text, name, ",")
    heading = [cell.strip().lower() for cell in first]
    clock = next((column for column in ("step", "timestamp") if column in heading), None)
    if clock is None or "requests" not in heading:
        raise ValueError(f"{name}, row 1: the columns are {heading}; needed are step or timestamp, and requests")
    clock_column, requests_column = heading.index(clock), heading.index("requests")
    step = 1 if clock == "step" else timedelta(seconds=step_seconds)
    requests = np.empty(len(rows))
    moments: list[int | datetime] = []
    for i, (number, row) in enumerate(rows):
        where = f"{name}, row {number}"
        if len(row) != len(heading):
            raise ValueError(f"{where}: {len(row)} fields; the header has {len(heading)}")
        moments.append(_exact_moment(row[clock_column], clock, where))
        if i and moments[i] - moments[i - 1] != step:  # type: ignore[operator]
            raise ValueError(
                f"{where}: {clock} {row[clock_column]} is not one step of {step_seconds} s after the row before"
            )
        requests[i] = _count(row[requests_column], where)
    start = moments[0].replace(tzinfo=None) if moments and isinstance(moments[0], datetime) else None
    return Traffic(name, step_seconds, start, requests, ())


def _exact_moment(cell: str, clock: str, where: str) -> int | datetime:
    """Return when a row is: its step, or its time, which is compared without rounding."""
    if clock == "step":
        try:
            return int(cell)
        except ValueError:
            raise ValueError(f"{where}: step {cell!r} is not a whole number") from None
    moment = _as_datetime(cell)
    if moment is None:
        raise ValueError(f"{where}: timestamp {cell!r} is not an ISO 8601 time")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)  # without a zone there is no daylight saving either


# --- leniently -------------------------------------------------------------------------------------------------------


class _Columns(NamedTuple):
    """The rows of a file, in its order."""

    times: list[float]
    """Seconds: of the local clock where the file names no zone, else of UTC; steps where the file has no times."""
    offsets: list[int] | None
    """Seconds from UTC to the local clock of each row; `None` where the file names no zone."""
    counts: list[float]
    """Requests; NaN where nothing was measured."""
    rows: list[int]
    """Number of each row in the file, the first row being 1."""
    timed: bool
    """Whether the file has times, rather than steps."""


def _read_columns(text: str, name: str) -> _Columns:
    """Return the times and counts of a file in any of the forms that exports have."""
    first = next(line for line in text.splitlines() if line.strip())
    numbered = [(number, row) for number, row in _rows_of(text, name, max(",;\t", key=first.count)) if row]
    heading = [cell.strip() for cell in numbered[0][1]]
    if any(_looks_like_data(cell) for cell in heading):
        heading = []
    else:
        numbered = numbered[1:]
    if not numbered:
        raise ValueError(f"{name}: it has a heading and no rows")
    width = len(heading) or len(numbered[0][1])
    time_column, count_column = _choose(heading, width, [cell.strip() for cell in numbered[0][1]], name)
    times: list[float] = []
    offsets: list[int | None] = []
    counts: list[float] = []
    kinds: set[str] = set()
    for i, (number, row) in enumerate(numbered):
        where = f"{name}, row {number}"
        if len(row) != width:
            raise ValueError(f"{where}: {len(row)} fields; the first row has {width}")
        kind, moment, offset = ("step", float(i), None) if time_column is None else _moment(row[time_column], where)
        kinds.add(kind)
        if len(kinds) > 1:
            raise ValueError(f"{where}: {row[time_column or 0]!r} is a {kind}; the rows before have another kind")
        times.append(moment)
        offsets.append(offset)
        cell = row[count_column].strip()
        counts.append(math.nan if cell.lower() in MISSING else _count(cell, where))
    zoned = [offset for offset in offsets if offset is not None]
    return _Columns(times, zoned or None, counts, [number for number, _ in numbered], kinds != {"step"})


def _looks_like_data(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return _as_datetime(cell) is not None
    return True


def _choose(heading: list[str], width: int, first: list[str], name: str) -> tuple[int | None, int]:
    """Return the columns of times and of counts; `None` for times where there are counts alone."""
    if width == 1:
        return None, 0
    names = [cell.lower() for cell in heading]
    time = next((names.index(known) for known in TIME_NAMES if known in names), None)
    if time is None:
        time = next((i for i in range(width) if i < len(first) and _looks_like_data(first[i])), 0)
    named = [names.index(known) for known in COUNT_NAMES if known in names and names.index(known) != time]
    others = [i for i in range(width) if i != time]
    if named:
        return time, named[0]
    if len(others) == 1:
        return time, others[0]
    columns = ", ".join(heading) or f"{width} without names"
    raise ValueError(f"{name}, row 1: the columns are {columns}; which of them counts? Call it requests")


def _moment(cell: str, where: str) -> tuple[str, float, int | None]:
    """Return the kind of a cell in the column of times, its time in seconds or its step, and its offset from UTC."""
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


def _of_times(columns: _Columns, name: str) -> Traffic:
    """Return the counts of a file with times, at the interval that is found in it."""
    notes: list[str] = []
    times = np.array(columns.times)
    positive = np.diff(times)[np.diff(times) > 0]
    if not len(positive):
        raise ValueError(
            f"{name}, row {columns.rows[1]}: its time is not after that of the row before; rows must be in the order "
            "of time"
        )
    usual = _usual(positive)
    times = _through_clock_changes(times, usual, columns, notes)
    _check_order(times, columns, name)
    coarse = _coarsest(np.diff(times), usual)
    if coarse > usual:
        notes.append(f"Rows come every {usual} s and every {coarse} s; the finer ones are added up.")
        requests = _added_up(times, usual, coarse, columns)
    else:
        requests = _onto_grid(times, coarse, columns, name)
    zone = columns.offsets[0] if columns.offsets else 0
    start = datetime.fromtimestamp(times[0] + zone, UTC).replace(tzinfo=None)
    return Traffic(name, coarse, start, _fill(requests, coarse, name, notes), tuple(notes))


def _check_order(times: NDArray[np.float64], columns: _Columns, name: str) -> None:
    late = np.flatnonzero(np.diff(times) <= 0)
    if len(late):
        row = columns.rows[late[0] + 1]
        relation = "the same time as" if times[late[0] + 1] == times[late[0]] else "earlier than"
        raise ValueError(f"{name}, row {row}: {relation} the row before; rows must be in the order of time, each once")


def _usual(steps: NDArray[np.float64]) -> int:
    """Return the most frequent step in whole seconds; one close to a whole part of a day counts as that part."""
    values, counts = np.unique(np.maximum(np.rint(steps), 1), return_counts=True)
    usual = int(values[np.argmax(counts)])
    nearest = int(_INTERVALS[np.argmin(np.abs(_INTERVALS - usual))])
    return nearest if abs(nearest - usual) <= 0.02 * usual else usual


def _coarsest(steps: NDArray[np.float64], usual: int) -> int:
    """Return the coarsest interval of the file: that of many rows in sequence, over a good part of the time it covers.

    A longer step that is rare, or that stands among others, is a gap.
    """
    coarsest = usual
    for step in np.unique(steps):
        alike = steps == step
        in_sequence = (alike[1:] & alike[:-1]).sum()
        if step > usual and step % usual == 0 and in_sequence >= 10 and alike.sum() * step >= 0.1 * steps.sum():
            coarsest = int(step)
    return coarsest


def _through_clock_changes(
    times: NDArray[np.float64], usual: int, columns: _Columns, notes: list[str]
) -> NDArray[np.float64]:
    """Let time run on evenly where clocks were put forward or back; note where that was."""
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
        # A missing hour is daylight saving only in certain nights; an hour that comes twice by night is nothing else.
        if 3 < clock.hour < 23 or (forward and not (clock.weekday() >= 4 and clock.month in (3, 4, 9, 10))):
            continue
        times[i + 1 :] += -_HOUR if forward else _HOUR
        notes.append(_clock_note(columns.rows[i + 1], 1.0 if forward else -1.0))
    return times


def _clock_note(row: int, hours: float) -> str:
    way, later = ("forward", "later") if hours > 0 else ("back", "earlier")
    return (
        f"Row {row}: clocks go {way} by {abs(hours):g} h (daylight saving). Time runs on evenly, so by the clock the "
        f"days from this row on begin {abs(hours):g} h {later}."
    )


def _onto_grid(times: NDArray[np.float64], interval: int, columns: _Columns, name: str) -> NDArray[np.float64]:
    """Return requests by interval, NaN where there is no row or no count; times may be a little irregular."""
    places = np.rint((times - times[0]) / interval).astype(np.int64)
    if places[-1] >= _LONGEST:
        worst = int(np.argmax(np.diff(times)))
        raise ValueError(
            f"{name}, row {columns.rows[worst + 1]}: {np.diff(places)[worst]:,} intervals after the row before"
        )
    twice = np.flatnonzero(np.diff(places) == 0)
    if len(twice):
        raise ValueError(
            f"{name}, row {columns.rows[twice[0] + 1]}: {times[twice[0] + 1] - times[twice[0]]:g} s after the row "
            f"before, while most rows are {interval} s apart"
        )
    requests = np.full(places[-1] + 1, np.nan)
    requests[places] = columns.counts
    return requests


def _added_up(times: NDArray[np.float64], fine: int, coarse: int, columns: _Columns) -> NDArray[np.float64]:
    """Return requests by the coarse interval: its own rows, and sums of finer rows where all of them are present."""
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


def _fill(requests: NDArray[np.float64], interval: int, name: str, notes: list[str]) -> NDArray[np.float64]:
    """Fill short gaps in a straight line; note how many there are, and how many are too long."""
    missing = np.isnan(requests)
    if missing.all():
        raise ValueError(f"{name}: no row has a count")
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
            f"{counted(int(short.sum()), 'gap')} of at most {longest * interval / 60:g} min "
            f"({counted(int((ends - firsts)[short].sum()), 'interval')} in all) filled in a straight line."
        )
    if not short.all():
        hours = (ends - firsts)[~short].max() * interval / _HOUR
        notes.append(f"{counted(int((~short).sum()), 'longer gap')} (up to {hours:.1f} h); their days are left out.")
    return filled
