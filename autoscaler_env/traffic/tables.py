"""The cells of a file, before anything is known of its columns; a table of any shape gets a row for each time."""

from __future__ import annotations

import re
from typing import NamedTuple

from autoscaler_env.traffic.names import plain_name
from autoscaler_env.traffic.times import as_number, is_time

RowNumber = int | str
"""The number of a row in its file, the first being 1; where several files are read, such as `3 of b.csv`."""

_HOUR = re.compile(
    r"(?:h|hour|heure|hora|stunde)?[ _]?([01]?\d|2[0-4])(?:h|:([0-5]\d)(?::00)?)?(?: ?([ap])\.?m\.?)?"
    r"(?: ?(?:-|\u2013|to) ?\d{1,2}(?:h|:\d\d)?(?: ?[ap]\.?m\.?)?)?",
    re.IGNORECASE,
)
"""An hour as it stands above its column, or beside its row; of an interval, its begin."""
HOUR_NAMES = ("time", "hour", "clock", "zeit", "uhrzeit", "stunde", "heure", "hora")
"""Headings of the times of a day, in small letters and digits only."""
_DATE = re.compile(
    r"\d{4}([-/.])\d{1,2}\1\d{1,2}|\d{1,2}([-/.])\d{1,2}\2\d{4}|\d{1,2}\.? [^\W\d_]{3,10} \d{4}|"
    r"[^\W\d_]{3,10} \d{1,2}, \d{4}"
)
"""A date within a title."""
_WEEKDAY = re.compile(r"(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?", re.IGNORECASE)


class Table(NamedTuple):
    """The cells of a file, before anything is known of its columns."""

    format: str
    """What messages call the format."""
    heading: list[str]
    """The names of the columns; empty where the file has none."""
    rows: list[list[str]]
    """The cells, a list for each row, all of the same length."""
    numbers: list[RowNumber]
    """The number of each row in the file; in JSON, the number of the point."""
    hints: str
    """Comments, titles and units, in which the unit of the counts may stand."""
    notes: tuple[str, ...] = ()
    """What was left out, a sentence each."""
    metric: str = ""
    """The name of what is counted, where it stands beside the columns, such as `http_requests_total`."""


def in_long_form(table: Table, name: str) -> Table:
    """Return a table with a row for each time; one with a column for each hour, or for each day, is turned into it."""
    days = [i for i, cell in enumerate(table.heading) if _is_date(cell)]
    minutes = {i: found for i, cell in enumerate(table.heading) if (found := minutes_of(cell)) is not None}
    hours = list(minutes)
    weekdays = [cell for cell in (*table.heading, *(row[0] for row in table.rows)) if _WEEKDAY.fullmatch(cell)]
    if len(weekdays) >= 5 and not days and not any(_is_date(cell) for cell in table.rows[0]):
        raise ValueError(
            f"{name}: a table by weekday has no dates; write a row for each hour, such as 2026-03-02 14:00"
        )
    side = _is_date if len(hours) > 1 else _HOUR.fullmatch
    places = hours if len(hours) > 1 else days
    others = [i for i in range(len(table.heading)) if i not in places]
    beside = next((i for i in others if all(side(row[i]) for row in table.rows)), None)
    if len(places) < 2 or beside is None:
        return table
    kept, notes = [i for i in others if i != beside], table.notes
    heads = {i: table.heading[i] for i in places}
    ends = places is hours and minutes[hours[-1]] == 1440 and minutes[hours[0]] > 0
    if places is hours:
        length = 1440 // len(places) if ends else 0
        heads = {i: clock_of(minutes[i] - length) for i in places}
    if ends:
        notes += (f"{table.heading[places[-1]]} is taken for the hour that ends then, as there is no hour 0.",)
    cells = [
        (j, [row[beside], heads[i], row[i], *(row[k] for k in kept)])
        for j, row in enumerate(table.rows)
        for i in places
    ]
    if places is days:
        cells = [(j, [day, hour, *rest]) for j, (hour, day, *rest) in cells]
    heading = ["date", "hour", "count", *(table.heading[k] for k in kept)]
    form = f"{table.format}, a column for each {'hour' if places is hours else 'day'}"
    numbers = [table.numbers[j] for j, _ in cells]
    return table._replace(format=form, heading=heading, rows=[row for _, row in cells], numbers=numbers, notes=notes)


def minutes_of(cell: str) -> int | None:
    """Return the minutes from midnight to an hour, of an interval to its begin; `None` for anything else.

    Example:
        >>> [minutes_of(hour) for hour in ("13", "13:30", "H5", "12 AM", "1 pm", "01:00-02:00", "noon")]
        [780, 810, 300, 0, 780, 60, None]
    """
    if (match := _HOUR.fullmatch(cell)) is None:
        return None
    hours = int(match[1]) % 12 + 12 * (match[3] in "pP") if match[3] else int(match[1])
    return 60 * hours + int(match[2] or 0)


def clock_of(minutes: int) -> str:
    """Return minutes from midnight as a clock shows them, such as 13:30."""
    return f"{minutes // 60:02}:{minutes % 60:02}"


def with_date_of_title(table: Table) -> Table:
    """Return a table whose rows have the date of its title, where they have hours of one day and no date."""
    dates = {found[0] for found in _DATE.finditer(table.hints) if is_time(found[0])}
    if len(dates) != 1 or any(is_time(cell) for cell in table.rows[0]):
        return table
    for i, cell in enumerate(table.heading):
        minutes = [minutes_of(row[i]) for row in table.rows]
        hours = [each for each in minutes if each is not None]
        if plain_name(cell) in HOUR_NAMES and len(hours) == len(minutes) and hours == sorted(hours):
            (date,) = dates
            rows = [[date, clock_of(m), *row[:i], *row[i + 1 :]] for m, row in zip(hours, table.rows, strict=True)]
            heading = ["date", "hour", *table.heading[:i], *table.heading[i + 1 :]]
            notes = (*table.notes, f"All rows are of the day of the title, {date}.")
            return table._replace(heading=heading, rows=rows, notes=notes)
    return table


def _is_date(cell: str) -> bool:
    return as_number(cell) is None and ":" not in cell and is_time(cell)
