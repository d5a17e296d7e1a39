"""Request counts from a file: found, checked, and brought to even intervals.

`read_traffic` reads a file in one of two ways. Strictly: columns have fixed names, and every row is exactly one step
after the row before; any other row is an error. Leniently, for the exports of many programs, as `autoscaler advise`
does: it recognises format, columns, unit and interval, and says what it understood. What the file leaves open it asks,
naming the option that answers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.text import counted
from autoscaler_env.traffic.columns import Reading, Series, Unit, series_of
from autoscaler_env.traffic.doubts import Question, doubts_of
from autoscaler_env.traffic.formats import csv_rows
from autoscaler_env.traffic.prometheus import Query
from autoscaler_env.traffic.repeats import rows_of_one_time, without_repeats
from autoscaler_env.traffic.sources import Content, content_of, joined_name, joined_table
from autoscaler_env.traffic.tables import RowNumber
from autoscaler_env.traffic.times import as_datetime, on_the_clock, zone_of
from autoscaler_env.traffic.units import RATE_SECONDS, other_levels, unit_of, unwrapped

DAY = 86_400
"""Seconds of a day."""

FILLED_SECONDS = 3600
"""Gaps up to this long are filled in a straight line; a day with a longer one is left out."""

_HOUR = 3600
_OFF = 0.25  # intervals: a time so far from its place is between two places
_MOST_BETWEEN = 0.1  # share of the rows that may be
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
    understood: tuple[str, ...] = ()
    """How the file was understood, two lines; empty where it was read strictly."""
    doubts: tuple[str, ...] = ()
    """Those of the notes that say what may be a mistake of the meter or the export."""
    unit: Unit = "count"
    """What the numbers of the file were; a counter's first row gives no count."""


Source = str | Path | Sequence[str | Path] | Query
"""What traffic is read from: a file, several files, or a query to Prometheus; `-` is standard input."""


def read_traffic(
    source: Source,
    step_seconds: int | None = None,
    *,
    strict: bool = False,
    how: Reading = Reading(),  # noqa: B008
) -> Traffic:
    """Read request counts from a file, from several, or from Prometheus.

    Args:
        source: The file, UTF-8, plain or compressed; `-` is standard input, where reading is lenient. Several
            files are joined in time: they must have the same columns, and rows that two of them hold are taken once.
        step_seconds: Length of a step, in seconds: needed to read strictly. Where a file has steps and no times, and
            `how` does not say how long a row is, a row is a step.
        strict: Whether to take only a CSV with the columns `step` or `timestamp` and `requests`, in which each row is
            one step after the row before and has a count. Otherwise the reader recognises CSV of any kind, JSON of
            monitoring systems and access logs; it sorts rows, turns rates and counters into counts, adds rows at a
            finer interval up to the coarser one, and fills short gaps.
        how: What the user says about a file that is read leniently.

    Raises:
        ValueError: The file cannot be read or is malformed, or it is open how to read it; the message names file, row
            and reason, or the option that says it.
    """
    if not strict:
        sources = [source] if isinstance(source, str | Path | Query) else list(source)
        contents = [each.fetch() if isinstance(each, Query) else content_of(each) for each in sources]
        try:
            return _read_leniently(contents, step_seconds, how)
        except Question as question:
            raise _with_all_others(question, contents, step_seconds, how) from None
    if not isinstance(source, str | Path):
        raise ValueError(f"source = {source!r}: must be one file, to be read strictly")
    content = content_of(source, stdin=False)
    if step_seconds is None:
        raise ValueError(f"{content.name}: step_seconds is needed to read it strictly")
    return _read_strictly(content.text, content.name, step_seconds)


# --- strictly --------------------------------------------------------------------------------------------------------


def _read_strictly(text: str, name: str, step_seconds: int) -> Traffic:
    """Return the counts of a file whose every row is checked."""
    (_, first), *rows = csv_rows(text, name, ",")
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


def _count(cell: str, where: str) -> float:
    """Return the requests of a row."""
    try:
        value = float(cell)
    except ValueError:
        raise ValueError(f"{where}: requests {cell!r} is not a number") from None
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"{where}: requests {cell!r} must be finite and not negative")
    return value


def _exact_moment(cell: str, clock: str, where: str) -> int | datetime:
    """Return when a row is: its step, or its time, which is compared without rounding."""
    if clock == "step":
        try:
            return int(cell)
        except ValueError:
            raise ValueError(f"{where}: step {cell!r} is not a whole number") from None
    moment = as_datetime(cell)
    if moment is None:
        raise ValueError(f"{where}: timestamp {cell!r} is not an ISO 8601 time")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)  # without a zone there is no daylight saving either


# --- leniently -------------------------------------------------------------------------------------------------------


def _with_all_others(
    question: Question, contents: Sequence[Content], step_seconds: int | None, how: Reading
) -> ValueError:
    """Return a question with all that will be asked after it, so that one round answers them."""
    texts = [str(question)]
    while question.answer:
        how = replace(how, **question.answer)
        try:
            _read_leniently(contents, step_seconds, how)
            break
        except Question as another:
            question = another
            texts.append(str(another).removeprefix(joined_name(contents)).lstrip(":, "))
        except ValueError:  # only of this answer
            break
    return ValueError("; and: ".join(texts))


def _read_leniently(contents: Sequence[Content], step_seconds: int | None, how: Reading) -> Traffic:
    """Return the counts of files in any of the forms that exports have."""
    zone = zone_of(how.zone)
    if how.row_seconds is not None and how.row_seconds < 1:
        raise ValueError(f"row_seconds = {how.row_seconds}: must be at least 1")
    name, table = joined_table(contents, how.row_seconds or step_seconds)
    series = without_repeats(series_of(table, name, how), name, how)
    if len(contents) > 1 and series.times.kind == "step":
        raise ValueError(f"{name}: they have steps and no times, so their order in time is open; give one file")
    if len(series.values) < 2:
        raise ValueError(f"{name}, row {series.numbers[0]}: the only row; two whole days are needed")
    notes = [*(content.note for content in contents if content.note), *table.notes, *other_levels(series)]
    lines = _in_order(series, name, zone, how, notes)
    unit = unit_of(series, table, name, how.unit, contents[0].unit)
    if unit == "counter":
        lines = _without_restarts(series, lines, notes)
    timed = series.times.kind != "step"
    given = how.row_seconds or step_seconds
    if timed:
        interval, requests = _at_even_times(lines, unit, name, notes)
        if how.row_seconds not in (None, interval):
            raise ValueError(f"row_seconds = {how.row_seconds}: the rows of {name} are {interval} s apart")
    elif given is None:
        raise ValueError(
            f"{name}: it has steps and no times; say how long a row is with --row-seconds, or row_seconds in the "
            "set-up (step_seconds, if a row is a step)"
        )
    else:
        interval, requests = given, _onto_grid(lines, 1, name)
    requests = requests * (interval / RATE_SECONDS.get(unit, interval))
    requests, filled = _fill(requests, interval, name, notes)
    if np.nansum(requests) == 0:
        raise ValueError(f"{name}: no requests in the file: every count is 0")
    if unit == "counter":
        requests = np.diff(requests)
    start = None
    if timed:
        first = 0 if lines.offsets is None else int(lines.offsets[0])
        start = datetime.fromtimestamp(lines.seconds[0] + first, UTC).replace(tzinfo=None)
        requests = _through_clock_changes(requests, interval, lines, zone, name, notes)
    doubts = doubts_of(requests, interval, start)
    notes += doubts
    clock = how.zone or {"time without a zone": "the clock of the file, no zone", "step": "steps without times"}.get(
        series.times.kind, "UTC" if lines.offsets is None or not lines.offsets.any() else "the zone in the file"
    )
    equal = f", {counted(series.equal, 'equal row')} counted" if series.equal else ""
    length = f"{interval} s" + (" (step_seconds of the set-up)" if not timed and how.row_seconds is None else "")
    style = f" ({series.times.style})" if series.times.style else ""
    since = f" from {start}" if start else ""
    understood = (
        f"Read {name} as {table.format}: {series.column} counts (unit {unit}), {series.time_column} tells the "
        f"time{style}.",
        f"{counted(len(table.rows), 'row')} every {length}{since}, clock: {clock}; {counted(filled, 'gap')} filled, "
        f"{counted(series.dropped, 'repeated row')} dropped{equal}.",
    )
    return Traffic(name, interval, start, requests, tuple(notes), understood, tuple(doubts), unit)


@dataclass(frozen=True)
class _Lines:
    """One count for each time, in the order of time."""

    seconds: NDArray[np.float64]
    """Seconds: UTC where the offset is known, else of the clock of the file; or steps."""
    offsets: NDArray[np.int64] | None
    """Seconds from UTC to the clock of each row."""
    counts: NDArray[np.float64]
    """What was measured; NaN where nothing was."""
    rows: list[RowNumber]
    """The number of each row in the file."""
    moments: NDArray[np.float64]
    """The seconds of every row of the file, in its order, with those of one time apart."""


def _in_order(series: Series, name: str, zone: ZoneInfo | None, how: Reading, notes: list[str]) -> _Lines:
    """Sort rows by time, and add up those of one time where asked."""
    times = series.times
    raw = np.diff(times.seconds)
    order = np.arange(len(times.seconds))
    if (raw <= 0).all() and (raw < 0).any():
        order = order[::-1]
        notes.append("Rows were newest first; they are sorted by time.")
    elif (raw < 0).any() and (zone is None or times.offsets is not None):
        order = np.argsort(times.seconds, kind="stable")
        if len(dict.fromkeys(series.keys)) == 1:
            notes.append("Rows were not in the order of time; they are sorted.")
    keys = np.array([hash(series.keys[i]) for i in order])
    seconds = times.seconds[order].copy()
    offsets = None if times.offsets is None else times.offsets[order].copy()
    if times.kind != "step" and (zone or offsets is not None):
        known = np.zeros(len(seconds), dtype=np.int64) if offsets is None else offsets
        for key in np.unique(keys):
            own = np.flatnonzero(keys == key)
            part = times._replace(seconds=seconds[own], offsets=None if offsets is None else offsets[own])
            clock, shift = on_the_clock(part, zone)
            assert shift is not None
            seconds[own], known[own] = clock - shift, shift
        offsets = known
        again = np.argsort(seconds, kind="stable")
        order, seconds, offsets = order[again], seconds[again], offsets[again]
    elif (np.diff(seconds) < 0).any():
        again = np.argsort(seconds, kind="stable")
        order, seconds = order[again], seconds[again]
    values = series.values[order]
    counts = np.where(np.isnan(values).all(axis=1), np.nan, np.nansum(values, axis=1))
    rows = [series.numbers[i] for i in order]
    moments = np.empty(len(seconds))
    moments[order] = seconds
    unique, place = np.unique(seconds, return_inverse=True)
    if len(unique) == len(seconds):
        return _Lines(seconds, offsets, counts, rows, moments)
    if not how.sum:
        raise rows_of_one_time(series, order, seconds, name, how)
    sums = np.zeros(len(unique))
    np.add.at(sums, place, np.nan_to_num(counts))
    empty = np.ones(len(unique), dtype=bool)
    empty[place[np.isfinite(counts)]] = False
    firsts = np.searchsorted(seconds, unique)
    notes.append(f"{counted(len(seconds), 'row')} of {counted(len(unique), 'time')} are added up, as asked.")
    shifts = None if offsets is None else offsets[firsts]
    return _Lines(unique, shifts, np.where(empty, np.nan, sums), [rows[i] for i in firsts], moments)


def _without_restarts(series: Series, lines: _Lines, notes: list[str]) -> _Lines:
    """Return a counter, or the sum of several, as if none had ever restarted."""
    total, restarts = np.zeros(len(lines.seconds)), 0
    times = lines.moments
    keys = np.array([hash(key) for key in series.keys])
    for key in np.unique(keys):
        own = np.flatnonzero(keys == key)
        own = own[np.argsort(times[own], kind="stable")]
        for column in series.values.T:
            rising, times_restarted = unwrapped(column[own])
            known = np.isfinite(rising)
            if known.any():
                total += np.interp(lines.seconds, times[own][known], rising[known])
            restarts += times_restarted
    restarted = f"; it restarted {counted(restarts, 'time')}" if restarts else ""
    notes.append(f"The counter is turned into counts: each is what it rose by until the next row{restarted}.")
    return replace(lines, counts=np.where(np.isnan(lines.counts), np.nan, total))


def _at_even_times(lines: _Lines, unit: Unit, name: str, notes: list[str]) -> tuple[int, NDArray[np.float64]]:
    """Return the interval that is found in a file, in seconds, and what it has for each interval."""
    if len(lines.seconds) < 2:
        raise ValueError(f"{name}: all its rows are of one time; two whole days are needed")
    steps = np.diff(lines.seconds)
    usual = _usual(steps)
    if usual >= DAY:
        raise ValueError(
            f"{name}: rows are {usual / DAY:g} d apart, so no day's course is known; export a row an hour or finer"
        )
    if usual > _HOUR:
        notes.append(f"Rows are {usual / _HOUR:g} h apart: what happens between them is not in the file.")
    coarse = usual if unit == "counter" else _coarsest(steps, usual)
    if coarse == usual:
        return usual, _onto_grid(lines, usual, name)
    notes.append(f"Rows come every {usual} s and every {coarse} s; the finer ones are added up.")
    if unit in RATE_SECONDS:  # a mean of rates, weighed by how long each of them holds
        lengths = np.where(np.append(steps, steps[-1]) >= coarse, coarse, usual)
        lines = replace(lines, counts=lines.counts * lengths / coarse)
    return coarse, _added_up(lines, usual, coarse)


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
    requests: NDArray[np.float64], interval: int, lines: _Lines, zone: ZoneInfo | None, name: str, notes: list[str]
) -> NDArray[np.float64]:
    """Let every day begin at midnight of a clock that is put forward or back, as a zone or the file says.

    The hour that a day lacks is filled in a straight line; the hour that comes twice is counted once, by its mean.
    """
    if lines.offsets is None or not np.diff(lines.offsets).any() or _HOUR % interval:
        return requests
    instants = lines.seconds[0] + interval * np.arange(len(requests))
    if zone is None:
        offsets = lines.offsets[np.maximum(np.searchsorted(lines.seconds, instants + interval / 2) - 1, 0)]
    else:
        offsets = np.array([_offset(moment, zone) for moment in instants.tolist()])
    changes = np.flatnonzero(np.diff(offsets)) + 1
    if len(changes) > 2 + 2 * len(requests) * interval / (365 * DAY):
        raise ValueError(
            f"{name}: its times change their offset from UTC {len(changes)} times; name the zone, as in --zone UTC"
        )
    pieces = np.split(requests, changes)
    joined = pieces[0]
    for place, piece in zip(changes.tolist(), pieces[1:], strict=True):
        shift = int(offsets[place] - offsets[place - 1])
        rows = abs(shift) // interval
        clock = datetime.fromtimestamp(instants[place] + offsets[place - 1], UTC)
        way = "forward" if shift > 0 else "back"
        done = "the time that the day lacks is filled" if shift > 0 else "the time that comes twice is counted once"
        notes.append(f"{clock:%Y-%m-%d %H:%M}: clocks go {way} by {abs(shift) / _HOUR:g} h; {done}.")
        if shift > 0:
            joined = np.concatenate((joined, np.linspace(joined[-1], piece[0], rows + 2)[1:-1], piece))
        else:
            rows = min(rows, len(joined), len(piece))
            twice = (joined[len(joined) - rows :] + piece[:rows]) / 2
            joined = np.concatenate((joined[: len(joined) - rows], twice, piece[rows:]))
    return joined


def _offset(moment: float, zone: ZoneInfo) -> int:
    return int((datetime.fromtimestamp(moment, zone).utcoffset() or timedelta()).total_seconds())


def _onto_grid(lines: _Lines, interval: int, name: str) -> NDArray[np.float64]:
    """Return counts by interval, NaN where there is no row or no count; times may be a little irregular."""
    times = lines.seconds
    places = np.rint((times - times[0]) / interval).astype(np.int64)
    if places[-1] >= _LONGEST:
        worst = int(np.argmax(np.diff(times)))
        raise ValueError(
            f"{name}, row {lines.rows[worst + 1]}: {np.diff(places)[worst]:,} intervals after the row before"
        )
    twice = np.flatnonzero(np.diff(places) == 0)
    between = np.abs((times - times[0]) / interval - places) > _OFF
    if not len(twice) and between.mean() > _MOST_BETWEEN:
        twice = np.flatnonzero(between) - 1
    if len(twice):
        raise ValueError(
            f"{name}, row {lines.rows[twice[0] + 1]}: {times[twice[0] + 1] - times[twice[0]]:g} s after the row "
            f"before, while most rows are {interval} s apart; if each row is a request, say --column rows"
        )
    counts = np.full(places[-1] + 1, np.nan)
    counts[places] = lines.counts
    return counts


def _added_up(lines: _Lines, fine: int, coarse: int) -> NDArray[np.float64]:
    """Return counts by the coarse interval: its own rows, and sums of finer rows where all of them are present."""
    times = lines.seconds
    steps = np.diff(times)
    steps = np.append(steps, steps[-1])
    first_coarse = int(np.flatnonzero(steps == coarse)[0])
    places = np.floor((times - times[first_coarse]) / coarse + 1e-6).astype(np.int64)
    places -= places[0]
    rows, sums = np.zeros(places[-1] + 1), np.zeros(places[-1] + 1)
    np.add.at(rows, places, 1)
    np.add.at(sums, places, lines.counts)
    whole = rows == coarse // fine
    whole[places[steps >= coarse]] |= rows[places[steps >= coarse]] == 1
    return np.where(whole, sums, np.nan)


def _fill(requests: NDArray[np.float64], interval: int, name: str, notes: list[str]) -> tuple[NDArray[np.float64], int]:
    """Fill short gaps in a straight line, and count them; note how many there are, and how many are too long."""
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
    return filled, int(short.sum())
