"""The JSON of monitoring systems, and of any list of objects, as a table."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from autoscaler_env.traffic.tables import RowNumber, Table
from autoscaler_env.traffic.times import is_time


def parsed_json(text: str) -> Any:
    """Return what a text holds as JSON, or as JSON a line; `None` if it is neither."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return [json.loads(line.rstrip().rstrip(",")) for line in text.splitlines() if line.strip()]
    except (ValueError, RecursionError):
        return None


def table_of_json(parsed: Any, name: str) -> Table:
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


def _columns(parsed: Any) -> list[dict[str, Any]]:
    """Return the points of an object that holds a table, by its columns or by its rows; none of any other.

    Example:
        >>> _columns({"x": ["2026-03-02", "2026-03-03"], "y": [5, 7]})
        [{'x': '2026-03-02', 'y': 5}, {'x': '2026-03-03', 'y': 7}]
        >>> _columns({"columns": ["time", "n"], "data": [["2026-03-02", 5], ["2026-03-03", 7]]})
        [{'time': '2026-03-02', 'n': 5}, {'time': '2026-03-03', 'n': 7}]
        >>> _columns({"time": {"0": "2026-03-02", "1": "2026-03-03"}, "n": {"0": 5, "1": 7}})
        [{'time': '2026-03-02', 'n': 5}, {'time': '2026-03-03', 'n': 7}]
    """
    if not isinstance(parsed, dict) or _is_pair(parsed.get("timestamps"), parsed.get("values")):
        return []
    return _by_names(parsed) or _by_lists(parsed) or _by_keys(parsed)


def _by_names(parsed: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the points of a table that names its columns: a frame of Grafana, rows of pandas, Kusto or InfluxDB."""
    schema = parsed["schema"] if isinstance(parsed.get("schema"), dict) else parsed
    fields: list[Any] = schema.get("fields", schema.get("columns", []))
    names = [str(each.get("name")) if isinstance(each, dict) else str(each) for each in fields]
    values: Any = next((parsed[key] for key in ("data", "rows", "values") if key in parsed), None)
    if not names:
        return []
    if isinstance(values, dict):
        return _transposed(names, values.get("values"))
    if values is None:
        return _transposed(names, [each.get("values") if isinstance(each, dict) else None for each in fields])
    if not _are_lists(values) or not all(len(row) == len(names) for row in values):
        return []
    points: list[dict[str, Any]] = [dict(zip(names, row, strict=True)) for row in values]
    index: Any = parsed.get("index")
    if _is_pair(index, points) and all(is_time(str(each)) for each in index):
        return [{"timestamp": each} | point for each, point in zip(index, points, strict=True)]
    return points


def _by_lists(parsed: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the points of lists of the same length, one of which holds times; or of such times and several series."""
    lists = {key: part for key, part in parsed.items() if isinstance(part, list) and len(part) > 1}
    times = next((part for part in lists.values() if all(is_time(str(each)) for each in part)), None)
    if times is None:
        return []
    alike = {key: part for key, part in lists.items() if len(part) == len(times)}
    alike = {key: part for key, part in alike.items() if not any(isinstance(each, dict | list) for each in part)}
    values: Any = parsed.get("values")
    if len(alike) > 1 or not _are_lists(values) or not all(len(each) == len(times) for each in values):
        return _transposed(list(alike), list(alike.values())) if len(alike) > 1 else []
    named: Any = parsed.get("series")
    tags = [each.get("group_tags", []) for each in named] if _is_pair(named, values) else [[]] * len(values)
    return [
        {"timestamp": moment, "value": value, "series": "+".join(map(str, tag))}
        for tag, each in zip(tags, values, strict=True)
        for moment, value in zip(times, each, strict=True)
    ]


def _by_keys(parsed: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the points of objects with the same keys: a point for each time, or a column for each name."""
    parts = list(parsed.values())
    if len(parts) < 2 or not all(isinstance(part, dict) and part.keys() == parts[0].keys() for part in parts):
        return []
    if all(is_time(key) for key in parsed):
        return [{"timestamp": moment} | _flat(point) for moment, point in parsed.items()]
    if len(parts[0]) > 1 and any(all(is_time(str(value)) for value in part.values()) for part in parts):
        return [{name: part[key] for name, part in parsed.items()} for key in parts[0]]
    return []


def _are_lists(values: Any) -> bool:
    return isinstance(values, list) and bool(values) and all(isinstance(each, list) for each in values)


def _transposed(names: list[str], columns: Any) -> list[dict[str, Any]]:
    """Return the rows of columns; none if these are not as many as the names, or of different lengths."""
    if not _are_lists(columns) or len(columns) != len(names) or len({len(column) for column in columns}) != 1:
        return []
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _any_list(parsed: Any, labels: Mapping[str, Any] = MappingProxyType({})) -> Iterator[dict[str, Any]]:
    """Yield the points of any lists: of objects, of pairs of time and value, or of values by their times."""
    if isinstance(parsed, list) and parsed and all(isinstance(point, dict) for point in parsed):
        points = [_flat(point) for point in parsed]
        if len(points) > 1 and all(any(is_time(str(value)) for value in point.values()) for point in points):
            yield from (dict(labels) | point for point in points)
            return
    if table := _columns(parsed):
        yield from (dict(labels) | point for point in table)
        return
    if isinstance(parsed, list) and parsed and all(_is_named_values(point) for point in parsed):
        yield from _any_list([{each["field"]: each["value"] for each in point} for point in parsed], labels)
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


def _is_named_values(point: Any) -> bool:
    """Return whether a point is a list of objects, each with the name of a field and its value."""
    return (
        isinstance(point, list)
        and bool(point)
        and all(isinstance(each, dict) and each.keys() == {"field", "value"} for each in point)
    )


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
