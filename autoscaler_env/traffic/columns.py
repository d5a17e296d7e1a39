"""From a table to times and counts: which column is which, how its numbers are written, which series are wanted."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.text import listed, not_a_choice, suggestion
from autoscaler_env.traffic.doubts import Question
from autoscaler_env.traffic.logs import LOG_SECONDS, LONGEST
from autoscaler_env.traffic.names import COUNT_NAMES, LABEL_NAMES, MISSING, TIME_NAMES, plain_name
from autoscaler_env.traffic.tables import HOUR_NAMES, RowNumber, Table, clock_of, minutes_of
from autoscaler_env.traffic.times import EXCEL_DAYS, Times, as_number, is_time, read_times

Unit = Literal["count", "per-second", "per-minute", "per-hour", "counter"]
UNITS: tuple[Unit, ...] = get_args(Unit)
"""What `--unit` may say."""

_CHOICES = {"unit": UNITS, "dates": ("us", "european"), "decimal": ("point", "comma"), "repeats": ("drop", "count")}

YEARS = (-2_208_988_800, 7_258_118_400)
"""Seconds since 1970 at which the years 1900 and 2200 begin: other times are mistakes."""

_UNIT_OF_CELL = {
    **dict.fromkeys(("req/s", "reqs/s", "requests/s", "rps", "/s", "ops/s", "ops", "qps", "hits/s"), "per-second"),
    **dict.fromkeys(("req/min", "reqs/min", "requests/min", "rpm", "/min", "/m", "opm"), "per-minute"),
    **dict.fromkeys(("req/h", "reqs/h", "requests/h", "rph", "/h", "requests/hour", "/hour"), "per-hour"),
    **dict.fromkeys(("req", "reqs", "requests", "hits", "count"), "count"),
}
_CLOCK = re.compile(r"\d{1,2}:\d\d(?::\d\d(?:[.,]\d+)?)?(?: ?[AaPp]\.?[Mm]\.?)?")
_ID = re.compile(r"(?:^|[^A-Za-z])(?:id|ID|Id)$|[a-z]I[dD]$")
LIKELY = re.compile(r"request|reqs|hits|views|throughput|calls", re.IGNORECASE)
"""Names of what is most likely counted, among several."""
_SCALE = {"m": 1e-3, "k": 1e3, "K": 1e3, "M": 1e6, "Mil": 1e6, "Mio": 1e6, "G": 1e9, "Bil": 1e9}
_CELL = re.compile(
    r"\s*([-+]?[\d.,'\u2019\s\u00a0\u202f]*\d(?:[.,])?(?:[eE][-+]?\d+)?)\s*(Mil|Mio|Bil|[kKMG](?![a-zA-Z]))?\s*(.*?)\s*$"
)


@dataclass(frozen=True)
class Reading:
    """What the user says about a file, where the file does not say it."""

    column: str | None = None
    """The column that counts; several joined by `+` are added up, and `all` adds up every column of numbers.
    Its number, the first being 1, where the file has no heading. `rows` counts the rows: each is a request."""
    where: tuple[str, ...] = ()
    """Rows to keep, each as `column=value`."""
    sum: bool = False
    """Whether to add up rows of the same time."""
    unit: Unit | None = None
    """What the numbers are; `None` to find out, or to ask."""
    zone: str | None = None
    """The time zone of the clock, such as `Europe/Berlin`: it tells where clocks change."""
    dates: Literal["us", "european"] | None = None
    """The order of dates such as 3/2/2026, where the column leaves it open."""
    decimal: Literal["point", "comma"] | None = None
    """The decimal mark, where the column leaves it open."""
    row_seconds: int | None = None
    """Seconds from one row to the next, for a file that has steps and no times; requests that have a row or a line
    each are counted over them."""
    repeats: Literal["drop", "count"] | None = None
    """What rows are that equal a row before in every cell: repeats of the export, or rows that count."""

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            if value is not None and value not in choices:
                raise ValueError(not_a_choice(name, value, choices))


class Series(NamedTuple):
    """The rows of a file that were asked for, in its order."""

    times: Times
    """When each row is."""
    values: NDArray[np.float64]
    """What is counted, shape (rows, columns); NaN where nothing was measured."""
    keys: list[tuple[str, ...]]
    """The labels of each row, such as its service."""
    labels: list[str]
    """The names of the labels."""
    numbers: list[RowNumber]
    """The number of each row in the file."""
    column: str
    """What messages call the columns that are counted."""
    time_column: str
    """What messages call the column of times."""
    unit: str | None
    """The unit that stands in the cells, if any: a `Unit`, or a unit of something else."""
    dropped: int = 0
    """Repeated rows that were left out."""
    equal: int = 0
    """Rows that are equal to a row before, and count all the same."""
    cells: Sequence[Sequence[str]] = ()
    """The cells of each row; none where rows are counted."""


def series_of(table: Table, name: str, how: Reading) -> Series:
    """Find times and counts in a table.

    Raises:
        ValueError: A cell cannot be read, or it is open what is counted; the message names the option that says it.
    """
    table = _kept(table, name, how)
    times, time_columns = _times_of(table, name, steps=how.row_seconds is not None)
    if time_columns:
        moments = read_times(times, table.numbers, name, how.dates, how.zone)
        for i in np.flatnonzero((moments.seconds < YEARS[0]) | (moments.seconds > YEARS[1])).tolist():
            if moments.kind != "step":
                raise ValueError(f"{name}, row {table.numbers[i]}: {times[i]!r} is not between the years 1900 and 2200")
    else:
        moments = Times(np.arange(len(table.rows), dtype=float), None, "step")
    if how.column == "rows":
        return _of_requests(moments, table, time_columns, name, how.row_seconds or LOG_SECONDS)
    chosen = _choose(table, time_columns, moments, name, how)
    columns, units = zip(*(_numbers(table, i, name, how) for i in chosen), strict=True)
    labels = [
        i
        for i in range(len(table.rows[0]))
        if i not in {*chosen, *time_columns} and table.heading and _is_label(table, i)
    ]
    known = {unit for unit in units if unit}
    if len(known) > 1:
        raise ValueError(f"{name}: the columns have different units, {listed(sorted(known))}; choose with --column")
    names = [table.heading[i] if table.heading else f"column {i + 1}" for i in (*chosen, *time_columns)]
    return Series(
        moments,
        np.column_stack(columns),
        [tuple(row[i] for i in labels) for row in table.rows],
        [table.heading[i] for i in labels],
        table.numbers,
        "+".join(names[: len(chosen)]),
        "+".join(names[len(chosen) :]) or "the order of rows",
        next(iter(known), None),
        cells=table.rows,
    )


def _of_requests(moments: Times, table: Table, time_columns: list[int], name: str, seconds: int) -> Series:
    """Count the rows, each of which is a request; an interval without rows counts 0."""
    if moments.kind == "step":
        raise ValueError(f"{name}: --column rows needs the time of each row")
    places = np.floor_divide(moments.seconds, seconds).astype(np.int64)
    first, last = int(places.min()), int(places.max())
    if last - first >= LONGEST:
        raise ValueError(f"{name}: requests over {last - first:,} intervals of {seconds} s are too long a time")
    counts = np.bincount(places - first).astype(float)
    offsets = None
    if moments.offsets is not None:  # of the row before, where an interval has none
        order = np.argsort(moments.seconds, kind="stable")
        latest = np.searchsorted(moments.seconds[order], (np.arange(first, last + 1) + 1) * seconds, side="left") - 1
        offsets = moments.offsets[order][np.maximum(latest, 0)]
    times = moments._replace(seconds=np.arange(first, last + 1, dtype=float) * seconds, offsets=offsets)
    heading = "+".join(table.heading[i] for i in time_columns if table.heading) or "the only time"
    keys: list[tuple[str, ...]] = [()] * len(counts)
    numbers: list[RowNumber] = list(range(1, len(counts) + 1))
    return Series(times, counts[:, None], keys, [], numbers, "rows", heading, "count")


def _kept(table: Table, name: str, how: Reading) -> Table:
    """Return the table with the rows that `where` asks for."""
    for condition in how.where:
        column, equals, value = condition.partition("=")
        if not equals or column not in table.heading:
            raise ValueError(
                f"--where {condition}: must be column=value with one of the columns {', '.join(table.heading)}"
                f"{suggestion(column, table.heading)}"
            )
        i = table.heading.index(column)
        keep = [j for j, row in enumerate(table.rows) if row[i] == value]
        if not keep:
            values = sorted({row[i] for row in table.rows})
            raise ValueError(
                f"--where {condition}: {name} has no such row; {column} is {_some(values)}{suggestion(value, values)}"
            )
        table = table._replace(rows=[table.rows[j] for j in keep], numbers=[table.numbers[j] for j in keep])
    return table


def _some(values: Sequence[str]) -> str:
    return f"{', '.join(values[:5])}{', ...' if len(values) > 5 else ''}"


# --- times -----------------------------------------------------------------------------------------------------------


def _times_of(table: Table, name: str, *, steps: bool) -> tuple[list[str], list[int]]:
    """Return the cells that tell the time of each row, and the columns they come from.

    Args:
        table: The table.
        name: The file, for messages.
        steps: Whether rows may follow each other without times; then there may be no columns.

    Raises:
        ValueError: No column tells the time.
    """
    plain = [plain_name(cell) for cell in table.heading]
    parts = [plain.index(part) for part in ("year", "month", "day", "hour", "minute") if part in plain]
    if {"year", "month", "day"} <= set(plain):
        return [_from_parts([row[i] for i in parts]) for row in table.rows], parts
    first = table.rows[0]
    date = next((plain.index(part) for part in ("date", "datum", "fecha", "day") if part in plain), None)
    clock = next((plain.index(part) for part in HOUR_NAMES if part in plain), None)
    if date is None and not plain:  # a date and a clock side by side, as spaces part them
        beside = ((i, i + 1) for i in range(len(first) - 1) if is_time(first[i]) and _CLOCK.fullmatch(first[i + 1]))
        date, clock = next(beside, (None, None))
    if date is not None and (serial := _of_excel(first[date])):
        table = table._replace(rows=[[*row[:date], _of_excel(row[date]), *row[date + 1 :]] for row in table.rows])
        first = [*first[:date], serial, *first[date + 1 :]]
    if date is not None and clock is not None and is_time(first[date]):
        minutes = [minutes_of(row[clock]) for row in table.rows]
        if minutes[0] is not None or _CLOCK.match(first[clock]):
            clocks = [row[clock] if m is None else clock_of(m) for row, m in zip(table.rows, minutes, strict=True)]
            return [f"{row[date]} {time:0>5}" for row, time in zip(table.rows, clocks, strict=True)], [date, clock]
    if len(first) == 1:
        return [], []
    known = [plain.index(part) for part in TIME_NAMES if part in plain]
    time = next((i for i in known if is_time(first[i])), None)
    if time is None:
        time = next((i for i, cell in enumerate(first) if is_time(cell)), None)
    if time is None and known:
        time = known[0]
    if time is None:  # a clock without a date, which `read_times` tells
        time = next((i for i, cell in enumerate(first) if _CLOCK.fullmatch(cell)), None)
    if time is None:
        time = next((i for i, cell in enumerate(first) if as_number(cell) is not None), 0)
        if len(first) > 2 and not _rises(table, time):
            if steps:
                return [], []
            names = ", ".join(table.heading) or f"{len(first)} without names"
            raise ValueError(
                f"{name}: no column tells the time: {names}; if each row follows the row "
                "before, say how long a row is with --row-seconds"
            )
    return [row[time] for row in table.rows], [time]


def _of_excel(cell: str) -> str:
    """Return the date that a whole number of days of Excel is; empty for anything else."""
    days = as_number(cell)
    if days is None or days % 1 or not EXCEL_DAYS[0] <= days < EXCEL_DAYS[1]:
        return ""
    return f"{datetime(1899, 12, 30) + timedelta(days=days):%Y-%m-%d}"


def _rises(table: Table, i: int) -> bool:
    """Return whether a column counts steps: each of its numbers is above the one before."""
    numbers = [as_number(row[i]) for row in table.rows]
    return all(a is not None and b is not None and b > a for a, b in pairwise(numbers))


def _from_parts(parts: list[str]) -> str:
    year, month, day, hour, minute = [*parts, "0", "0"][:5]
    return f"{year:0>4}-{month:0>2}-{day:0>2} {hour:0>2}:{minute:0>2}"


# --- counts ----------------------------------------------------------------------------------------------------------


def _choose(table: Table, time_columns: list[int], moments: Times, name: str, how: Reading) -> list[int]:
    """Return the columns that count."""
    plain = [plain_name(cell) for cell in table.heading]
    others = [i for i in range(len(table.rows[0])) if i not in time_columns]
    numeric = [
        i
        for i in others
        if not _is_label(table, i) and not (plain and plain[i] in TIME_NAMES) and not is_time(table.rows[0][i])
    ]
    if how.column is not None:
        return _asked(table, numeric, how.column)
    statistics = {"min", "max"} <= set(plain) or {"minimum", "maximum"} <= set(plain)
    for known in ("sum", *COUNT_NAMES) if statistics else COUNT_NAMES:  # beside a minimum, a count is of samples
        if known in plain and plain.index(known) in others:
            return [plain.index(known)]
    if len(numeric) > 1:  # a column without a name beside the times counts rows
        numeric = [i for i in numeric if (plain and plain[i]) or not _counts_rows(table, i)]
    if len(numeric) == 1:
        return numeric
    if len(others) == 1:
        return others
    columns = ", ".join(table.heading) or f"{len(table.rows[0])} without names"
    options = [table.heading[i] for i in numeric] if table.heading else []
    if not options:
        way = "Call it requests" if table.heading else "Say its number, as in --column 2"
        way += "; if each row is a request, say --column rows"
        raise Question(f"{name}, row 1: the columns are {columns}; which of them counts? {way}", column="rows")
    likely = next((option for option in options if LIKELY.search(option)), None)
    alike = all(LIKELY.search(option) for option in options)
    together = (
        "" if likely and not alike else ", or add them up: --column all"
    )  # columns beside a likely one are something else
    if likely is None and at_any_time(moments):
        raise Question(
            f"{name}, row 1: the columns are {columns}; if each row is a request, say --column rows; if not, which one "
            f"counts, as in --column {shlex.quote(options[0])}",
            column="rows",
        )
    raise Question(
        f"{name}, row 1: the columns are {columns}; say which one counts, as in --column "
        f"{shlex.quote(likely or options[0])}{together}",
        column=likely or "all",
    )


def at_any_time(moments: Times) -> bool:
    """Return whether rows come at any time, as requests do, and not once in each interval."""
    steps = np.diff(np.unique(moments.seconds))
    if moments.kind == "step" or len(steps) < 2:
        return False
    values, counts = np.unique(np.maximum(np.rint(steps), 0), return_counts=True)
    return bool(values[np.argmax(counts)] == 0 or counts.max() < 0.5 * len(steps))


def _asked(table: Table, numeric: list[int], column: str) -> list[int]:
    """Return the columns that an option names."""
    width = len(table.rows[0])
    if not table.heading and re.fullmatch(r"[1-9]\d?", column) and int(column) <= width:
        return [int(column) - 1]
    if column in table.heading:
        return [table.heading.index(column)]
    if column == "all" and numeric:
        return numeric
    rest, chosen = column, []
    while rest:  # names may hold a plus themselves
        fits = [i for i, cell in enumerate(table.heading) if cell and (rest == cell or rest.startswith(f"{cell}+"))]
        if not fits:
            names = ", ".join(table.heading) or "without names"
            raise ValueError(
                f"--column {column}: must be columns of the file joined by +, or all; they are {names}"
                f"{suggestion(rest, filter(None, table.heading))}"
            )
        best = max(fits, key=lambda i: len(table.heading[i]))
        chosen.append(best)
        rest = rest[len(table.heading[best]) + 1 :]
    return chosen


def _is_label(table: Table, i: int) -> bool:
    """Return whether a column holds labels: texts, or numbers under a heading that counts nothing."""
    if table.heading and (plain_name(table.heading[i]) in LABEL_NAMES or _ID.search(table.heading[i])):
        return True
    cells = [row[i] for row in table.rows[:200] if row[i].lower() not in MISSING]
    return sum(_parts(cell) is not None for cell in cells) * 2 <= len(cells)


def _counts_rows(table: Table, i: int) -> bool:
    numbers = [as_number(row[i]) for row in table.rows[:200]]
    return all(b is not None and a is not None and b - a == 1 for a, b in pairwise(numbers))


def _parts(cell: str) -> tuple[str, str, str] | None:
    """Return the digits of a cell, its factor and its unit; `None` if it is no number."""
    match = _CELL.match(cell)
    if match is None or re.match(r"[-/:.]?\d", match[3]) or len(match[3]) > 20:
        return None
    factor, unit = match[2] or "", match[3]
    if re.match("m[a-z]", unit) and unit[1:].replace(" ", "") in _UNIT_OF_CELL:  # mreq/s: thousandths
        factor, unit = "m", unit[1:]
    return re.sub(r"[\s'\u2019\u00a0\u202f]", "", match[1]), factor, unit


def _numbers(table: Table, i: int, name: str, how: Reading) -> tuple[list[float], str | None]:
    """Return a column of counts and the unit in its cells."""
    cells = [row[i] for row in table.rows]
    plain = [as_number(cell) for cell in cells]
    units: set[str] = set()
    texts: list[tuple[str, float] | None] = []
    for cell, number, row in zip(cells, plain, table.numbers, strict=True):
        parts = _parts(cell)
        if cell.lower() in MISSING:
            texts.append(None)
        elif parts is None:
            if number is not None:  # infinite
                raise ValueError(f"{name}, row {row}: requests {cell!r} must be finite and not negative")
            raise ValueError(f"{name}, row {row}: requests {cell!r} is not a number")
        else:
            units |= {parts[2]} - {""}
            texts.append((parts[0], _SCALE.get(parts[1], 1.0)))
    comma = _decimal_comma([digits for digits, _ in filter(None, texts)], table.format, name, how)
    values = []
    for text, cell, row in zip(texts, cells, table.numbers, strict=True):
        if text is None:
            values.append(math.nan)
            continue
        digits = text[0].replace(".", "").replace(",", ".") if comma else text[0].replace(",", "")
        number = as_number(digits)
        if number is None:
            raise ValueError(f"{name}, row {row}: requests {cell!r} is not a number")
        if not math.isfinite(number) or number < 0:
            raise ValueError(f"{name}, row {row}: requests {cell!r} must be finite and not negative")
        values.append(number * text[1])
    known = {_UNIT_OF_CELL.get(unit.lower().replace(" ", ""), unit) for unit in units}
    if len(known) > 1:
        raise ValueError(f"{name}: the cells have different units: {_some(sorted(known))}")
    return values, next(iter(known), None)


def _decimal_comma(digits: list[str], form: str, name: str, how: Reading) -> bool:
    """Return whether the comma is the decimal mark of a column; the point is then the mark of thousands."""
    if how.decimal is not None:
        return how.decimal == "comma"
    both = [text for text in digits if "," in text and "." in text]
    if both:
        return both[0].rindex(",") > both[0].rindex(".")
    for mark, comma in ((",", True), (".", False)):  # `comma`: the answer if this mark is the decimal one
        marked = [text for text in digits if mark in text]
        if not marked:
            continue
        if any(text.count(mark) > 1 for text in marked):
            return not comma
        if not all(re.fullmatch(rf"-?[1-9]\d{{0,2}}{re.escape(mark)}\d{{3}}", text) for text in marked):
            return comma
        unmarked = [text for text in digits if mark not in text]
        if any(len(text) > 3 for text in unmarked) or (mark == "." and not unmarked):
            return comma
        hundreds = any(float(text) >= 100 for text in unmarked)  # below a thousand, no mark is needed
        if hundreds or (mark == "," and (unmarked or "commas" in form)):
            return not comma
        raise Question(
            f"{name}: is {marked[0]!r} a thousand or a fraction? Say --decimal point or --decimal comma",
            decimal="point",
        )
    return False
