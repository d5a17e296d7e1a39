"""From the text of a file to a table: CSV with any delimiter, the JSON of monitoring systems, access logs."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter

from autoscaler_env.text import counted, one_line
from autoscaler_env.traffic.json_forms import parsed_json, table_of_json
from autoscaler_env.traffic.logs import LOG_SECONDS, is_log, table_of_log
from autoscaler_env.traffic.names import MISSING, TIME_NAMES, TOTAL_NAMES, plain_name
from autoscaler_env.traffic.tables import RowNumber, Table, in_long_form, minutes_of, with_date_of_title
from autoscaler_env.traffic.times import as_number, is_time

_LINE_PROTOCOL = re.compile(
    r"(?P<measurement>(?:\\.|[^\s,\\])+)(?P<tags>(?:,(?:\\.|[^\s,=\\])+=(?:\\.|[^\s,\\])+)*)"
    r" +(?P<fields>[^\s,=]+=[^\s,]+(?:,[^\s,=]+=[^\s,]+)*) +(?P<time>\d{10,19})"
)
"""A line of InfluxDB's line protocol; its fields are numbers."""
_SAMPLE = 200  # lines that the delimiter is told by
_FEW = 0.2  # share of these lines: in fewer, a mark is no delimiter


def table_of(text: str, name: str, row_seconds: int | None = None) -> Table:
    """Return the table that a text holds.

    Args:
        text: The content of the file.
        name: The file, for messages.
        row_seconds: Seconds that the lines of an access log are counted over; 60 by default.

    Raises:
        ValueError: The text is of no known form, or a row has more or fewer fields than the others.
    """
    if is_log(text):
        return table_of_log(text, name, row_seconds or LOG_SECONDS)
    start = text.lstrip()
    if start[0] in "[{" and (parsed := parsed_json(start)) is not None:
        return table_of_json(parsed, name)
    if re.match(r"[\[{]\s*[\"'{\[]", start):
        raise ValueError(f"{name}: it begins as JSON does, and is none, or is cut off")
    if _LINE_PROTOCOL.fullmatch(start.splitlines()[0].strip()):
        return _of_line_protocol(text, name)
    return with_date_of_title(in_long_form(_of_csv(text, name), name))


def csv_rows(text: str, name: str, delimiter: str) -> list[tuple[int, list[str]]]:
    """Return the rows of a CSV with their numbers, the first row being 1."""
    try:
        return list(enumerate(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), 1))
    except csv.Error as error:
        raise ValueError(f"{name}: not CSV: {error}") from None


def _of_csv(text: str, name: str) -> Table:
    lines = re.split(r"\r\n|\r|\n", text.replace("\u2502", "|"))  # a box that some programs draw
    comments = [line.lstrip("# ") for line in lines if line.startswith("#")]
    skipped = re.compile(r"#|sep=.$|\(?\d+ rows?(?:\)| in set)|\+[-+]+\+\s*$|[\u2500-\u257f]+\s*$")
    content = "\n".join("" if skipped.match(line) else line for line in lines)
    if not content.strip():
        raise ValueError(f"{name}: it has comments and no rows")
    delimiter, width = _delimiter(content, name)
    mark = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", " ": "spaces"}[delimiter]
    if delimiter == " " and (aligned := _aligned(content)):
        (content, width), delimiter = aligned, "\t"
    elif delimiter == " ":
        content = "\n".join(re.sub(" +", " ", line.strip()) for line in content.split("\n"))
        delimiter, width = _delimiter(content, name)
    rows = [
        (i, [one_line(cell) if "\n" in cell else cell.strip() for cell in row])
        for i, row in csv_rows(content, name, delimiter)
    ]
    rows = [(i, row) for i, row in rows if any(row)]
    if mark == "spaces":  # some programs write 1772409600: 5, or 5 @[1772409600]
        rows = [(i, [re.sub(r"^@\[(.*)\]$|^([\d.]+):$", r"\1\2", cell) for cell in row]) for i, row in rows]
    first = _first_data(rows, width)
    leading = [row for _, row in rows[:first] if len(row) == width]
    if first == len(rows):
        few = (
            "it has one row, or a heading and no rows"
            if len(rows) < 2
            else f"none of its {len(rows):,} rows has a time or a count"
        )
        raise ValueError(f"{name}: {few}")
    named = (row for row in leading if any(plain_name(cell) in TIME_NAMES for cell in row))
    heading = next((row for row in named if not any(map(_is_number, row))), leading[0] if leading else [])
    hints = [*comments, *(cell for _, row in rows[:first] if row is not heading for cell in row)]
    before = next((row for _, row in rows[:first] if len(row) == width - 1), [])
    if not heading and any(plain_name(cell) in TIME_NAMES for cell in before):  # rows have names, their column has none
        heading = ["", *before]
    if not heading and comments and len(last := next(csv.reader([comments[-1]], delimiter=delimiter))) == width > 1:
        heading = [cell.strip() for cell in last]
    again = [cell.lower() for cell in heading or [""]]
    data = [
        (i, row) for i, row in rows[first:] if row[0].lower() != again[0] or [cell.lower() for cell in row] != again
    ]
    data, notes = _without_totals(data, width)
    for i, row in data:
        if len(row) != width:
            raise ValueError(f"{name}, row {i}: {len(row)} fields; the first row has {width}")
    cells = [row for _, row in data]
    return Table(f"CSV with {mark}", heading, cells, [i for i, _ in data], " ".join(hints), tuple(notes))


def _without_totals(data: list[tuple[int, list[str]]], width: int) -> tuple[list[tuple[int, list[str]]], list[str]]:
    """Return the rows that hold data, and a note about each of the others: totals, and texts below the last row."""
    notes = []
    time = next((i for i, cell in enumerate(data[0][1]) if is_time(cell)), None)
    while len(data) > 1:
        i, row = data[-1]
        whole = len(row) == width
        if any(plain_name(cell) in TOTAL_NAMES for cell in row[:2]):
            notes.append(f"Row {i} is a total; it is left out.")
        elif time is not None and whole and not row[time]:
            notes.append(f"Row {i} has no time, as a total; it is left out.")
        elif not whole and not any(is_time(cell) or _is_number(cell) for cell in row):
            notes.append(f"Row {i} is a text below the table; it is left out.")
        else:
            break
        data = data[:-1]
    words = (
        [(i, row[time]) for i, row in data if len(row) == width and row[time][:1].isalpha()] if time is not None else []
    )
    if totals := [i for i, word in words if plain_name(word) in TOTAL_NAMES]:
        notes.append(
            f"{counted(len(totals), 'row')} between the others, the first in row {totals[0]}, left out as totals."
        )
        data = [(i, row) for i, row in data if i not in {*totals}]
    return data, notes


def _aligned(content: str) -> tuple[str, int] | None:
    """Return a table whose columns two spaces or more part, with tabs instead, and its width; `None` if it is none."""
    lines = [re.sub(r"(?<=\S) {2,}(?=\S)", "\t", line.strip()) for line in content.split("\n")]
    widths = Counter(line.count("\t") + 1 for line in lines if line)
    width, count = widths.most_common(1)[0]
    return ("\n".join(lines), width) if width > 1 and count >= 0.8 * widths.total() else None


def _delimiter(content: str, name: str) -> tuple[str, int]:
    """Return what separates the cells, and how many cells most rows have."""
    sample = "\n".join([line for line in content.splitlines() if line.strip()][:_SAMPLE])
    best, best_score, best_width = ",", (0, 0), 1
    for delimiter in ";\t|, ":
        if delimiter == " " and best_width > 1:
            break
        try:
            widths = Counter(len(row) for row in csv.reader(io.StringIO(sample), delimiter=delimiter) if row)
        except csv.Error as error:
            raise ValueError(f"{name}: not CSV: {error}") from None
        width, count = max(widths.items(), key=lambda item: (item[0] > 1, item[1]))
        if count < _FEW * widths.total():
            continue
        score = (count if width > 1 else 0, delimiter != ",")
        if score > best_score:
            best, best_score, best_width = delimiter, score, width
    return best, best_width


def _first_data(rows: list[tuple[int, list[str]]], width: int) -> int:
    """Return the place of the first row that is neither a title nor a heading nor units."""
    timed = any(is_time(cell) for _, row in rows[:_SAMPLE] if len(row) == width for cell in row)
    for i, (_, row) in enumerate(rows):
        if len(row) != width or any(plain_name(cell) in TIME_NAMES for cell in row):  # a heading, also one of dates
            continue
        numeric = [
            as_number(cell) is not None or cell.lower() in MISSING or minutes_of(cell) is not None for cell in row
        ]
        if any(is_time(cell) for cell in row) or (all(numeric) if timed else any(map(_is_number, row))):
            return i
    return len(rows)


def _is_number(cell: str) -> bool:
    return as_number(cell) is not None and cell.lower() not in MISSING


def _of_line_protocol(text: str, name: str) -> Table:
    """Return the points of InfluxDB's line protocol; measurement, tags and fields are columns."""
    points: list[dict[str, str]] = []
    numbers: list[RowNumber] = []
    for i, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        if (match := _LINE_PROTOCOL.fullmatch(line.strip())) is None:
            raise ValueError(f"{name}, row {i}: not a line of InfluxDB's line protocol, whose fields are numbers")
        tags = dict(re.findall(r",((?:\\.|[^,=\\])+)=((?:\\.|[^,\\])+)", match["tags"]))
        fields = dict(each.split("=", 1) for each in match["fields"].split(","))
        fields = {key: value.rstrip("iu") for key, value in fields.items()}
        points.append({"time": match["time"], "measurement": match["measurement"]} | tags | fields)
        numbers.append(i)
    heading = list(dict.fromkeys(key for point in points for key in point))
    rows = [[point.get(key, "") for key in heading] for point in points]
    names = {point["measurement"] for point in points}
    metric = names.pop() if len(names) == 1 else ""
    return Table("InfluxDB's line protocol", heading, rows, numbers, "", metric=metric)
