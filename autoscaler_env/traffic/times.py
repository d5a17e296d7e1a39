"""A column of times, understood as a whole: its style of dates, its clock, and its precision."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo, available_timezones

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.text import suggestion
from autoscaler_env.traffic.doubts import Question

Kind = Literal["step", "Unix time", "time with a zone", "time without a zone"]

EARLIEST_EPOCH = 1e8
"""Smallest number that is a time in seconds since 1970: the year 1973. Smaller numbers count steps."""

EXCEL_DAYS = (25_569, 109_575)
"""Days since 1899-12-30, as Excel numbers them: the years 1970 to 2199."""

_MONTHS = (
    *("jan ene gen", "feb fev fév", "mar mär", "apr avr abr", "may mai mag maj", "jun juin giu", "jul juil lug"),
    *("aug aoû aou ago", "sep set", "oct okt ott out", "nov", "dec dez déc dic"),
)
"""How the names of months begin in English, German, French, Spanish, Italian and Portuguese."""
_NUMBERS = re.compile(r"(\d{1,4})([-/.])(\d{1,2})\2(\d{1,4})")
_DAY_MONTH = re.compile(r"(?:[A-Za-z]{3,9},?\s+)?(\d{1,2})\.?[\s/-]+([^\W\d_]{3,10})\.?,?[\s/-]+(\d{4}|\d\d(?![\d:]))")
_MONTH_DAY = re.compile(r"(?:[A-Za-z]{3,9},?\s+)?([A-Za-z]{3,9})\.?\s+(\d{1,2}),?\s+(\d{4})")
_CLOCK = re.compile(
    r"(?:(?:\s*[T,:@\s]|\s+(?:at|um|à))\s*(\d{1,2})(?:[:.h](\d{2}))?(?:[:.](\d{2})(?:[.,](\d+))?)?(?:\s*([AaPp])\.?[Mm]\.?(?![A-Za-z]))?)?\s*(.*)$"
)
_CTIME = re.compile(
    r"(?:[A-Za-z]{3,9}\s+)?([A-Za-z]{3,9})\s+(\d{1,2})\s+(\d\d:\d\d:\d\d)\s+(?:([A-Z]{2,5})\s+)?(\d{4})"
)
_ZONES = {
    **dict.fromkeys(("PST", "PDT"), "America/Los_Angeles"),
    **dict.fromkeys(("MST", "MDT"), "America/Denver"),
    **dict.fromkeys(("CST", "CDT"), "America/Chicago"),
    **dict.fromkeys(("EST", "EDT"), "America/New_York"),
    **dict.fromkeys(("WET", "BST", "WEST"), "Europe/London"),
    **dict.fromkeys(("EET", "EEST"), "Europe/Helsinki"),
    "IST": "Asia/Kolkata",
    "JST": "Asia/Tokyo",
    "AEST": "Australia/Sydney",
    "AEDT": "Australia/Sydney",
}
"""A place that an abbreviation of a zone may mean, for a question."""
_OFFSET = re.compile(r"(?:UTC|GMT)?\s*([+-])(\d{1,2}):?(\d{2})?(?:\s*\(.*\))?$")
_INTERVAL = re.compile(
    r"(\S*\d\S*(?:\s+\d\S*)?(?:\s+[AaPp][Mm])?)\s+(?:-|\u2013|to|bis|\u2192)\s+\d.*|([^/\s]+T[^/\s]+)/\S+"
)
_COMPACT = {8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}


class Times(NamedTuple):
    """The times of the rows of a file, in its order."""

    seconds: NDArray[np.float64]
    """Seconds since 1970, shape (rows,): of UTC, or of the local clock for a time without a zone; else steps."""
    offsets: NDArray[np.int64] | None
    """Seconds from UTC to the clock of each row, shape (rows,); `None` where the file names no zone."""
    kind: Kind
    """What the column holds."""
    style: str = ""
    """How dates were understood, where they could be understood in two ways."""


class _Written(NamedTuple):
    """A time as it is written, before the order of day and month is known."""

    date: tuple[int, int, int]
    known: bool  # year, month and day in this order; else two numbers whose order is open, and the year
    dotted: bool
    halves: bool  # AM or PM
    seconds: float
    offset: int | None
    zone: str  # the abbreviation of a time zone


def as_datetime(text: str) -> datetime | None:
    """Return the time that a text names, in ISO 8601 or a similar form; `None` for anything else."""
    plain = text.strip().replace("/", "-")
    plain = re.sub(r"\s*(?:UTC|GMT)$", "+00:00", plain)
    plain = re.sub(r"\s+([+-]\d\d:?\d\d)$", r"\1", plain)
    try:
        return datetime.fromisoformat(plain)
    except ValueError:
        return None


def as_number(text: str) -> float | None:
    """Return the number that a cell of times holds; `None` for a text."""
    try:
        return float(text)
    except ValueError:
        return None


def is_time(cell: str) -> bool:
    """Return whether a cell alone is a time: a date in any form, or a number as large as a Unix time."""
    cell = begin_of(cell)
    number = as_number(cell)
    if number is None:
        return as_datetime(cell) is not None or _written(cell) is not None
    return EARLIEST_EPOCH <= number < 1e20 or _compact([cell]) is not None


def read_times(
    cells: Sequence[str], rows: Sequence[int | str], name: str, dates: str | None, zone: str | None
) -> Times:
    """Read a column of times.

    Args:
        cells: The column.
        rows: The number of each row, for messages.
        name: The file, for messages.
        dates: `us` for month/day/year, `european` for day/month/year; `None` to find out from the column.
        zone: The named time zone, if the user gave one; it stands for abbreviations such as CET.

    Raises:
        ValueError: A cell is no time, kinds are mixed, or the order of day and month is open.
    """
    if cells and (begin_of(cells[0]) != cells[0]):
        cells = [begin_of(cell) for cell in cells]
    if all(re.fullmatch(r"\d{5},\d+", cell) for cell in cells):  # days of Excel with a decimal comma
        cells = [cell.replace(",", ".") for cell in cells]
    numbers = [as_number(cell) for cell in cells]
    if not any(number is None for number in numbers):
        return _of_numbers(cells, rows, name)
    if any(number is not None for number in numbers):
        first = numbers[0] is None
        odd = next(i for i, number in enumerate(numbers) if (number is None) != first)
        if numbers[odd] is None and as_datetime(cells[odd]) is None and _written(cells[odd]) is None:
            raise _no_time(cells[odd], rows[odd], name)
        kind = "time" if numbers[odd] is None or abs(numbers[odd] or 0) >= EARLIEST_EPOCH else "step"
        raise ValueError(f"{name}, row {rows[odd]}: {cells[odd]!r} is a {kind}; the rows before have another kind")
    moments = [as_datetime(cell) for cell in cells]
    style = ""
    if any(moment is None for moment in moments):
        moments, style = _of_writing(cells, rows, name, dates, zone)
    zoned = [moment is not None and moment.tzinfo is not None for moment in moments]
    if any(zoned) and not all(zoned):
        odd = zoned.index(not zoned[0])
        kind = "time with a zone" if zoned[odd] else "time without a zone"
        raise ValueError(f"{name}, row {rows[odd]}: {cells[odd]!r} is a {kind}; the rows before have another kind")
    known = [moment for moment in moments if moment is not None]
    if not all(zoned):
        seconds = np.array([moment.replace(tzinfo=UTC).timestamp() for moment in known])
        return Times(seconds, None, "time without a zone", style)
    offsets = [moment.utcoffset() or timedelta() for moment in known]
    return Times(
        np.array([moment.timestamp() for moment in known]),
        np.array([int(offset.total_seconds()) for offset in offsets]),
        "time with a zone",
        style,
    )


def zone_of(name: str | None) -> ZoneInfo | None:
    """Return the time zone of a name; `None` for no name.

    Raises:
        ValueError: There is no such zone.
    """
    if name is None:
        return None
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # KeyError: no such zone
        meant = suggestion(name, sorted(available_timezones()))
        raise ValueError(f"zone = {name!r}: must be a time zone by name, such as Europe/Berlin or UTC{meant}") from None


def on_the_clock(times: Times, zone: ZoneInfo | None) -> tuple[NDArray[np.float64], NDArray[np.int64] | None]:
    """Return the times as a clock shows them, and its offset from UTC at each; `None` where it is unknown.

    Args:
        times: In the order of time, as far as their clock tells it.
        zone: Where the clock hangs. By default it is the clock of the file.

    Returns:
        Seconds of the local clock and seconds from UTC to it, both of shape (rows,).
    """
    if times.kind == "step" or (zone is None and times.offsets is None):
        return times.seconds, None
    if zone is None:
        assert times.offsets is not None
        return times.seconds + times.offsets, times.offsets
    offsets = np.empty(len(times.seconds), dtype=np.int64)
    before = -np.inf
    for i, seconds in enumerate(times.seconds.tolist()):
        if times.offsets is None:
            moment = datetime.fromtimestamp(seconds, UTC).replace(tzinfo=zone)
            offset = moment.utcoffset()
            if seconds <= before:  # the hour that comes twice, for the second time
                offset = moment.replace(fold=1).utcoffset()
            before = max(before, seconds)
        else:
            offset = datetime.fromtimestamp(seconds, zone).utcoffset()
        offsets[i] = int((offset or timedelta()).total_seconds())
    return times.seconds + (0 if times.offsets is None else offsets), offsets


# --- numbers ---------------------------------------------------------------------------------------------------------


def _of_numbers(cells: Sequence[str], rows: Sequence[int | str], name: str) -> Times:
    """Read steps, Unix times of any precision, or dates without separators."""
    compact = _compact(cells)
    if compact is not None:
        seconds = np.array([moment.replace(tzinfo=UTC).timestamp() for moment in compact])
        return Times(seconds, None, "time without a zone", "dates without separators")
    values = np.array([float(cell) for cell in cells])
    large = np.abs(values) >= EARLIEST_EPOCH
    for i in np.flatnonzero(~np.isfinite(values) | (values <= -EARLIEST_EPOCH) | (values >= 1e20)).tolist():
        raise ValueError(f"{name}, row {rows[i]}: {cells[i]!r} is neither a step nor a time")
    for i in np.flatnonzero(large != large[0]).tolist():
        kind = "Unix time" if large[i] else "step"
        raise ValueError(f"{name}, row {rows[i]}: {cells[i]!r} is a {kind}; the rows before have another kind")
    if not large[0]:
        if (values % 1 != 0).any() and values.min() >= EXCEL_DAYS[0] and values.max() < EXCEL_DAYS[1]:
            seconds = np.rint((values - EXCEL_DAYS[0]) * 86_400)
            return Times(seconds, None, "time without a zone", "days of Excel")
        for i in np.flatnonzero(values % 1 != 0).tolist():
            raise ValueError(f"{name}, row {rows[i]}: step {cells[i]!r} is not a whole number")
        return Times(values, None, "step")
    for cell, row in zip(cells, rows, strict=True):
        if (short := re.match(r"([\d.,]+)[eE]", cell)) and sum(char.isdigit() for char in short[1]) < 10:
            raise ValueError(f"{name}, row {row}: {cell!r} has lost its last digits, as in Excel; export it as a text")
    scale = 1.0
    while values.max() / scale >= 1e11:  # milliseconds, microseconds, nanoseconds
        scale *= 1000
    unit = {1: "", 1e3: "milliseconds", 1e6: "microseconds", 1e9: "nanoseconds"}.get(scale, "")
    return Times(values / scale, np.zeros(len(values), dtype=np.int64), "Unix time", unit)


def _compact(cells: Sequence[str]) -> list[datetime] | None:
    """Return dates without separators, such as 2026030214; `None` if any cell is something else."""
    length = len(cells[0].strip())
    if length not in _COMPACT:
        return None
    moments = []
    for cell in cells:
        text = cell.strip()
        if len(text) != length or not text.isdigit() or text[:2] not in ("19", "20"):
            return None
        parts = [int(text[:4]), *(int(text[i : i + 2]) for i in range(4, length, 2))]
        try:
            moments.append(datetime(*parts))  # type: ignore[arg-type]
        except ValueError:
            return None
    return moments


# --- dates -----------------------------------------------------------------------------------------------------------


def _of_writing(
    cells: Sequence[str], rows: Sequence[int | str], name: str, dates: str | None, zone: str | None
) -> tuple[list[datetime | None], str]:
    """Read dates as people write them; the whole column tells the order of day and month."""
    parsed = []
    for cell, row in zip(cells, rows, strict=True):
        written = _written(cell)
        if written is None:
            raise _no_time(cell, row, name)
        if written.zone and zone is None:
            zone = written.zone if "/" in written.zone else _ZONES.get(written.zone, "Europe/Berlin")
            raise Question(
                f"{name}, row {row}: the times are of the zone {written.zone}; name it, as in --zone {zone}", zone=zone
            )
        parsed.append(written)
    day_first, style = False, ""
    if not all(written.known for written in parsed):
        day_first = _day_first(parsed, cells, name, dates)
        style = "dates are day/month/year" if day_first else "dates are month/day/year"
    moments: list[datetime | None] = []
    for written, cell, row in zip(parsed, cells, rows, strict=True):
        moment = _moment(written, day_first)
        if moment is None:
            raise ValueError(f"{name}, row {row}: {cell!r} is no date where {style or 'a date is needed'}")
        moments.append(moment)
    return moments, style


def _day_first(parsed: Sequence[_Written], cells: Sequence[str], name: str, dates: str | None) -> bool:
    """Return whether the day stands before the month in a column."""
    if dates is not None:
        return dates == "european"
    open_dates = [written for written in parsed if not written.known]
    if any(written.date[0] > 12 for written in open_dates):
        return True
    if any(written.date[1] > 12 for written in open_dates):
        return False
    if open_dates[0].dotted:  # 02.03.2026 is written with the day first wherever it is written
        return True
    longest = {}
    for day_first in (False, True):  # dates that follow each other closely are the right ones
        moments = [_moment(written, day_first) for written in parsed]
        times = np.unique([moment.replace(tzinfo=UTC).timestamp() for moment in moments if moment])
        longest[day_first] = np.diff(times).max() if len(times) > 1 else 0.0
    if longest[True] > 2 * longest[False]:
        return False
    if longest[False] > 2 * longest[True]:
        return True
    if open_dates[0].halves:  # AM and PM are American
        return False
    raise Question(
        f"{name}: is {cells[0]!r} month/day or day/month? Say --dates us or --dates european", dates="european"
    )


def _moment(written: _Written, day_first: bool) -> datetime | None:
    first, second, third = written.date
    if written.known:
        year, month, day = first, second, third
    else:
        year, month, day = (third, second, first) if day_first else (third, first, second)
    try:
        moment = datetime(year, month, day) + timedelta(seconds=written.seconds)
    except (ValueError, OverflowError):
        return None
    if written.offset is None:
        return moment
    return moment.replace(tzinfo=timezone(timedelta(seconds=written.offset)))


def _written(cell: str) -> _Written | None:
    """Take a time apart; `None` if it is none."""
    text = cell.strip()
    if match := _CTIME.fullmatch(text):
        text = f"{match[1]} {match[2]}, {match[5]} {match[3]} {match[4] or ''}".strip()
    date: tuple[int, int, int]
    known, dotted = True, False
    if match := _NUMBERS.match(text):
        first, mark, second, third = match.groups()
        known = len(first) == 4
        dotted = mark == "."
        if len(first) == 3 or (not known and len(third) not in (2, 4)) or (known and len(third) > 2):
            return None
        date = (int(first), int(second), int(third) + (2000 if not known and len(third) == 2 else 0))
    elif (match := _DAY_MONTH.match(text)) and (month := _month(match[2])):
        date = (int(match[3]) + (2000 if len(match[3]) == 2 else 0), month, int(match[1]))
    elif (match := _MONTH_DAY.match(text)) and (month := _month(match[1])):
        date = (int(match[3]), month, int(match[2]))
    else:
        return None
    clock = _CLOCK.match(text[match.end() :])
    if clock is None:
        return None
    hour, minute, second_, fraction, half, tail = clock.groups()
    hours = int(hour or 0)
    if half and not 1 <= hours <= 12:
        return None
    if half:
        hours = hours % 12 + 12 * (half in "Pp")
    if hours > 24 or int(minute or 0) > 59 or int(second_ or 0) > 60:
        return None
    seconds = hours * 3600 + int(minute or 0) * 60 + int(second_ or 0) + float(f"0.{fraction or 0}")
    offset, zone = None, ""
    if tail in ("UTC", "GMT", "Z"):
        offset = 0
    elif sign := _OFFSET.match(tail):
        offset = (1 if sign[1] == "+" else -1) * (int(sign[2]) * 3600 + int(sign[3] or 0) * 60)
        if abs(offset) >= 86_400:
            return None
    elif re.fullmatch(r"[A-Z]{2,5}|[A-Z][a-z]+/[A-Za-z_/]+", tail):
        zone = tail
    elif tail:
        return None
    return _Written(date, known, dotted, bool(half), seconds, offset, zone)


def _month(name: str) -> int | None:
    """Return the number of a month by its name; `None` if it is none.

    Example:
        >>> _month("March"), _month("Juli"), _month("juin"), _month("Monday")
        (3, 7, 6, None)
    """
    plain = name.lower()
    return next(
        (i for i, begins in enumerate(_MONTHS, 1) if plain.startswith(tuple(begins.split()))),
        None,
    )


def begin_of(cell: str) -> str:
    """Return the first time of a cell that holds two, the begin and the end of an interval; any other cell as it is.

    Example:
        >>> begin_of("2026-03-02 00:00 - 01:00"), begin_of("2026-03-02T00:00/PT1H"), begin_of("2026-03-02")
        ('2026-03-02 00:00', '2026-03-02T00:00', '2026-03-02')
    """
    match = _INTERVAL.fullmatch(cell)
    return (match[1] or match[2]).strip() if match else cell


def _no_time(cell: str, row: int | str, name: str) -> ValueError:
    if re.fullmatch(r"\d{1,2}:\d\d(?::\d\d)?(?:\s*[AaPp]\.?[Mm]\.?)?", cell):
        return ValueError(
            f"{name}, row {row}: {cell!r} is a time without a date; write the date of the file into a line above the "
            "heading, as in # 2026-03-01, or before each time"
        )
    return ValueError(f"{name}, row {row}: {cell!r} is neither a step nor a time such as 2026-03-01 14:05:00")
