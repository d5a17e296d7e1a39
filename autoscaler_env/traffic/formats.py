"""From the text of a file to a table: CSV with any delimiter, the JSON of monitoring systems, access logs."""

from __future__ import annotations

import csv
import functools
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, NamedTuple

from autoscaler_env.traffic.names import MISSING, TIME_NAMES, TOTAL_NAMES, plain_name
from autoscaler_env.traffic.times import as_number, is_time

RowNumber = int | str
"""The number of a row in its file, the first being 1; where several files are read, such as `3 of b.csv`."""

LOG_SECONDS = 60
"""Seconds that the lines of an access log are counted over."""

_METHOD = "(?:GET|POST|PUT|HEAD|DELETE|PATCH|OPTIONS|CONNECT|TRACE)"
_REQUEST = re.compile(
    rf'[ "]{_METHOD} \S+ HTTP/\d|\] ".*" \d{{3}} |method={_METHOD}\b|"[^"]*method"\s*:\s*"{_METHOD}"', re.IGNORECASE
)
"""What shows that a line is a request."""
_COUNTS = re.compile(r'"(?:count|requests|request_count|value|hits|doc_count|total|sum)"\s*:', re.IGNORECASE)
"""What shows that a line of JSON counts requests."""
_W3C = re.compile(r"#Fields:.*\bcs-method\b")
"""The comment that names the fields of a log in the form of the W3C, as IIS and CloudFront write it."""
_LOG_TIMES = tuple(
    map(
        re.compile,
        (
            r"\d{1,2}/[A-Za-z]{3}/\d{4}:\d{2}:\d{2}:\d{2}(?: [+-]\d{4})?",
            r"\d{4}-\d{2}-\d{2}[T\s]\d{2}:\d{2}:\d{2}(?:[.,]\d+)?(?:Z\b|[+-]\d{2}:?\d{2}\b)?",
            r'(?<="ts":)\s*\d{10}\b|(?<="time":)\s*\d{10}\b|(?<="timestamp":)\s*\d{10}\b',
        ),
    )
)
"""How logs write the time of a request; the first of these forms that a line has is taken."""
LONGEST = 10_000_000
"""Intervals that requests are counted over, at most."""
_LOG_HEAD = 20_000  # characters that tell whether a text is a log
_HOUR = re.compile(r"(?:[01]?\d|2[0-4])(?:h|:[0-5]\d(?::00)?)?")
"""An hour as it stands above its column, or beside its row."""
_WEEKDAY = re.compile(r"(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?", re.IGNORECASE)
_SAMPLE = 200  # lines that the delimiter is told by


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
        return _of_log(text, name, row_seconds or LOG_SECONDS)
    start = text.lstrip()
    if start[0] in "[{" and (parsed := _json(start)) is not None:
        return _of_json(parsed, name)
    return _in_long_form(_of_csv(text, name), name)


def is_log(text: str) -> bool:
    """Return whether a text begins as an access log does: with a line that is a request and has a time."""
    lines = re.finditer(r"[^\r\n]+", text[:_LOG_HEAD])
    first = next((line[0] for line in lines if not line[0].startswith("#")), "")
    if _time_in(first) is None or (first.startswith("{") and _COUNTS.search(first)):
        return False
    return bool(_REQUEST.search(first) or _W3C.search(text[:_LOG_HEAD]))


def _time_in(line: str) -> str | None:
    """Return the time that stands in a line of a log; `None` if there is none."""
    return next((found[0].strip() for form in _LOG_TIMES if (found := form.search(line))), None)


@functools.cache
def _log_time(text: str) -> tuple[int, str]:
    """Return the time of a line of a log, in seconds since 1970 by UTC, and the zone as it stands there.

    Raises:
        ValueError: It is no time.
    """
    if text.isdigit():
        return int(text), "+0000"
    if "/" in text:
        moment = datetime.strptime(text if " " in text else f"{text} +0000", "%d/%b/%Y:%H:%M:%S %z")
        return int(moment.timestamp()), text[-5:] if " " in text else ""
    moment = datetime.fromisoformat(text.replace(",", "."))
    zone = "" if moment.tzinfo is None else f"{moment:%z}"[:5]
    return int((moment if zone else moment.replace(tzinfo=UTC)).timestamp()), zone


# --- CSV -------------------------------------------------------------------------------------------------------------


def csv_rows(text: str, name: str, delimiter: str) -> list[tuple[int, list[str]]]:
    """Return the rows of a CSV with their numbers, the first row being 1."""
    try:
        return list(enumerate(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), 1))
    except csv.Error as error:
        raise ValueError(f"{name}: not CSV: {error}") from None


def _of_csv(text: str, name: str) -> Table:
    lines = re.split(r"\r\n|\r|\n", text)
    comments = [line.lstrip("# ") for line in lines if line.startswith("#")]
    skipped = re.compile(r"#|sep=.$|\(?\d+ rows?(?:\)| in set)|\+[-+]+\+\s*$")
    content = "\n".join("" if skipped.match(line) else line for line in lines)
    if not content.strip():
        raise ValueError(f"{name}: it has comments and no rows")
    delimiter, width = _delimiter(content, name)
    rows = [(i, [cell.strip() for cell in row]) for i, row in csv_rows(content, name, delimiter)]
    rows = [(i, row) for i, row in rows if any(row)]
    first = _first_data(rows, width)
    leading = [row for _, row in rows[:first] if len(row) == width]
    if first == len(rows):
        few = (
            "it has a heading and no rows" if len(rows) < 2 else f"none of its {len(rows):,} rows has a time or a count"
        )
        raise ValueError(f"{name}: {few}")
    named = (row for row in leading if any(plain_name(cell) in TIME_NAMES for cell in row))
    heading = next((row for row in named if not any(map(_is_number, row))), leading[0] if leading else [])
    hints = [*comments, *(cell for _, row in rows[:first] if row is not heading for cell in row)]
    if not heading and comments and len(last := next(csv.reader([comments[-1]], delimiter=delimiter))) == width > 1:
        heading = [cell.strip() for cell in last]
    data = [(i, row) for i, row in rows[first:] if row != heading]
    notes = []
    while data and any(plain_name(cell) in TOTAL_NAMES for cell in data[-1][1][:2]):
        notes.append(f"Row {data[-1][0]} is a total; it is left out.")
        data.pop()
    for i, row in data:
        if len(row) != width:
            raise ValueError(f"{name}, row {i}: {len(row)} fields; the first row has {width}")
    mark = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", " ": "spaces"}[delimiter]
    cells = [row for _, row in data]
    return Table(f"CSV with {mark}", heading, cells, [i for i, _ in data], " ".join(hints), tuple(notes))


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
        score = (count if width > 1 else 0, delimiter != ",")
        if score > best_score:
            best, best_score, best_width = delimiter, score, width
    return best, best_width


def _first_data(rows: list[tuple[int, list[str]]], width: int) -> int:
    """Return the place of the first row that is neither a title nor a heading nor units."""
    timed = any(is_time(cell) for _, row in rows[:_SAMPLE] for cell in row)
    for i, (_, row) in enumerate(rows):
        if len(row) != width or any(plain_name(cell) in TIME_NAMES for cell in row):  # a heading, also one of dates
            continue
        numeric = [as_number(cell) is not None or cell.lower() in MISSING for cell in row]
        if any(is_time(cell) for cell in row) or (all(numeric) if timed else any(map(_is_number, row))):
            return i
    return len(rows)


def _is_number(cell: str) -> bool:
    return as_number(cell) is not None and cell.lower() not in MISSING


def _in_long_form(table: Table, name: str) -> Table:
    """Return a table with a row for each time; one with a column for each hour, or for each day, is turned into it."""
    days = [i for i, cell in enumerate(table.heading) if _is_date(cell)]
    hours = [i for i, cell in enumerate(table.heading) if _HOUR.fullmatch(cell)]
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
    if places is hours and (minutes := [_minutes(heads[i]) for i in places])[-1] == 1440 and minutes[0]:
        length = 1440 // len(places)
        heads = {i: f"{(m - length) // 60:02}:{m % 60:02}" for i, m in zip(places, minutes, strict=True)}
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


def _minutes(hour: str) -> int:
    """Return the minutes from midnight to an hour of a heading, such as 13, 13h or 13:30."""
    hours, *minutes = re.findall(r"\d+", hour)
    return 60 * int(hours) + int(minutes[0] if minutes else 0)


def _is_date(cell: str) -> bool:
    return as_number(cell) is None and ":" not in cell and is_time(cell)


# --- JSON ------------------------------------------------------------------------------------------------------------


def _json(text: str) -> Any:
    """Return what a text holds as JSON, or as JSON a line; `None` if it is neither."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    except (ValueError, RecursionError):
        return None


def _of_json(parsed: Any, name: str) -> Table:
    """Return the points of a JSON file: of a known call, or of any list of objects."""
    if isinstance(parsed, dict) and parsed.get("status") == "error":
        raise ValueError(f"{name}: the answer is an error: {parsed.get('error', 'no reason given')}")
    forms = {"CloudWatch": _cloudwatch, "Prometheus": _prometheus, "Azure Monitor": _azure, "a list": _any_list}
    form, points = next(((form, points) for form, of in forms.items() if (points := _points(of, parsed))), ("", []))
    if not points:
        keys = ", ".join(list(parsed)[:5]) if isinstance(parsed, dict) else "a list"
        raise ValueError(
            f"{name}: JSON of an unknown form ({keys}); known are CloudWatch, Prometheus' query_range, Azure Monitor, "
            'and lists of objects such as {"timestamp": ..., "requests": ...}'
        )
    heading = list(dict.fromkeys(key for point in points for key in point))
    cells = [["" if point.get(key) is None else str(point[key]) for key in heading] for point in points]
    units = {str(point["Unit"]) for point in points if "Unit" in point}
    named = ("series",) if form == "CloudWatch" else ("__name__", "metric")
    metrics = {str(point[key]) for point in points for key in named if key in point}
    if isinstance(parsed, dict) and isinstance(parsed.get("Label"), str):
        metrics.add(parsed["Label"])
    metric = metrics.pop() if len(metrics) == 1 else ""
    numbers: list[RowNumber] = list(range(1, len(cells) + 1))
    return Table(f"JSON of {form}", heading, cells, numbers, " ".join(sorted(units)), metric=metric)


def _points(of: Callable[[Any], Iterator[dict[str, Any]]], parsed: Any) -> list[dict[str, Any]]:
    """Return the points that a form finds; none where the file is of another form."""
    try:
        points = list(of(parsed))
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
        return []
    return points if all(isinstance(point, dict) for point in points) else []


def _cloudwatch(parsed: Any) -> Iterator[dict[str, Any]]:
    """Yield the points of get-metric-statistics or get-metric-data."""
    if isinstance(parsed, dict) and isinstance(parsed.get("Datapoints"), list):
        yield from parsed["Datapoints"]
    elif isinstance(parsed, dict) and isinstance(parsed.get("MetricDataResults"), list):
        for result in parsed["MetricDataResults"]:
            label = result.get("Label", result.get("Id", ""))
            for moment, value in zip(result["Timestamps"], result["Values"], strict=True):
                yield {"timestamp": moment, "value": value, "series": label}


def _prometheus(parsed: Any) -> Iterator[dict[str, Any]]:
    """Yield the points of query_range; each label is a column."""
    data = parsed.get("data") if isinstance(parsed, dict) else None
    if isinstance(data, dict) and isinstance(data.get("result"), list):
        for result in data["result"]:
            for moment, value in result.get("values", []):
                yield {"timestamp": moment, "value": value} | result.get("metric", {})


def _azure(parsed: Any) -> Iterator[dict[str, Any]]:
    """Yield the points of a metric of Azure Monitor; each dimension is a column."""
    metrics = parsed.get("value") if isinstance(parsed, dict) else None
    for metric in metrics if isinstance(metrics, list) else []:
        for series in metric.get("timeseries", []) if isinstance(metric, dict) else []:
            labels = {label["name"]["value"]: label["value"] for label in series.get("metadatavalues", [])}
            for point in series.get("data", []):
                named = {"metric": metric.get("name", {}).get("value", ""), "Unit": metric.get("unit", "")}
                yield point | named | labels


def _any_list(parsed: Any, labels: Mapping[str, Any] = MappingProxyType({})) -> Iterator[dict[str, Any]]:
    """Yield the points of any lists: of objects, of pairs of time and value, or of values by their times."""
    if isinstance(parsed, list) and parsed and all(isinstance(point, dict) for point in parsed):
        points = [_flat(point) for point in parsed]
        if len(points) > 1 and all(any(is_time(str(value)) for value in point.values()) for point in points):
            yield from (dict(labels) | point for point in points)
            return
    if isinstance(parsed, list) and parsed and all(isinstance(pair, list) and len(pair) == 2 for pair in parsed):
        for first, second in parsed:
            moment, value = (first, second) if is_time(str(first)) else (second, first)
            yield {"timestamp": moment, "value": value, **labels}
    elif isinstance(parsed, list):
        for part in parsed:
            yield from _any_list(part, labels)
    elif isinstance(parsed, dict) and parsed and all(is_time(key) for key in parsed):
        for moment, value in parsed.items():
            if isinstance(value, int | float):
                yield {"timestamp": moment, "value": value, **labels}
    elif isinstance(parsed, dict) and _is_pair(parsed.get("timestamps"), parsed.get("values")):
        named = parsed["metric"] if isinstance(parsed.get("metric"), dict) else {}
        for moment, value in zip(parsed["timestamps"], parsed["values"], strict=True):
            yield {"timestamp": moment, "value": value, **labels, **named}
    elif isinstance(parsed, dict):
        for part in parsed.values():
            texts = {key: value for key, value in _scalars(parsed).items() if isinstance(value, str)}
            yield from _any_list(part, dict(labels) | texts)


def _is_pair(first: Any, second: Any) -> bool:
    """Return whether two values are lists of the same length."""
    return isinstance(first, list) and isinstance(second, list) and len(first) == len(second)


def _flat(point: Mapping[str, Any]) -> dict[str, Any]:
    """Return the scalars of a point, and those of the objects in it; of a list with one object, those of that object.

    Example:
        >>> _flat({"sum": {"requests": 5}, "time": 1, "results": [{"count": 7}]})
        {'time': 1, 'requests': 5, 'count': 7}
    """
    flat = _scalars(point)
    for part in point.values():
        if isinstance(part, list) and len(part) == 1:
            (part,) = part
        if isinstance(part, dict):
            flat |= {key: value for key, value in _scalars(part).items() if key not in flat}
    return flat


def _scalars(point: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in point.items() if not isinstance(value, list | dict)}


# --- access logs -----------------------------------------------------------------------------------------------------


def _of_log(text: str, name: str, seconds: int) -> Table:
    """Count the lines of an access log, each of which is a request; an interval without lines counts 0."""
    counts: Counter[int] = Counter()
    zones: dict[int, str] = {}
    odd = []
    w3c = bool(_W3C.search(text[:_LOG_HEAD]))
    for i, line in enumerate(text.splitlines(), 1):
        moment = _time_in(line)
        if line.startswith("#") or not line.strip():
            continue
        if moment is None or not (w3c or _REQUEST.search(line)):
            odd.append(i)
            continue
        try:
            second, zone = _log_time(moment)
        except ValueError:
            odd.append(i)
            continue
        counts[second // seconds] += 1
        zones.setdefault(second // seconds, "+0000" if w3c else zone)  # the W3C's logs are in UTC
    if len(odd) > 0.1 * (len(odd) + counts.total()):
        raise ValueError(f"{name}, row {odd[0]}: not a line of an access log: it has no time or no request")
    first, last = min(counts), max(counts)
    if last - first >= LONGEST:
        raise ValueError(f"{name}: an access log of {last - first:,} intervals of {seconds} s is too long")
    rows, zone = [], zones[first]
    for place in range(first, last + 1):
        zone = zones.get(place, zone)
        sign = 1 if zone[:1] == "+" else -1
        offset = sign * timedelta(hours=int(zone[1:3]), minutes=int(zone[3:])) if zone else timedelta()
        local = datetime.fromtimestamp(place * seconds, UTC) + offset
        rows.append([f"{local:%Y-%m-%dT%H:%M:%S}{zone}", str(counts[place])])
    notes = (f"{len(odd)} lines of another form left out, the first in row {odd[0]}.",) if odd else ()
    numbers: list[RowNumber] = list(range(1, len(rows) + 1))
    return Table(f"access log, {counts.total():,} lines", ["timestamp", "requests"], rows, numbers, "", notes)
