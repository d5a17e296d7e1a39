"""What the numbers of a file are: counts, rates or a counter; anything else is refused with the reason."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.text import counted, percent
from autoscaler_env.traffic.columns import UNITS, Series, Unit, at_any_time
from autoscaler_env.traffic.doubts import Question
from autoscaler_env.traffic.names import plain_name
from autoscaler_env.traffic.tables import Table

RATE_SECONDS = {"per-second": 1, "per-minute": 60, "per-hour": 3600}
"""The seconds that a rate is per."""

_COUNTED = r"(?:requests?|reqs?|hits|calls|counts?|views|operations|ops|queries|unit\S*)"
_RATES: dict[Unit, str] = {
    "per-second": (
        r"per[_\s.-]*s(?:ec|econds?)?(?![a-z])|/\s*s(?:ec|econds?|ek|ekunde)?\b|as_rate|(?:\b|_)(?:rate|rps|qps)(?:\b|_)|"
        r"\b(?:je|pro|par|por)[_\s]+se[ckg]"
    ),
    "per-minute": r"per[_\s.-]*min(?:ute)?s?(?![a-z])|/\s*min(?:ute)?\b|\brpm\b|\b(?:je|pro|par|por)[_\s]+min",
    "per-hour": (
        r"per[_\s.-]*h(?:ou)?rs?(?![a-z])|/\s*h(?:our)?\b|\brph\b|\b(?:je|pro|par|por)[_\s]+(?:stunde|heure|hora)"
    ),
}
_NO_REQUESTS = re.compile(
    r"util(?:i[sz]ation)?|percent|%|cpu|memory|latency|duration|bytes?(?![a-z])|temperature|response.?time|gauge|average|avg|maximum|"
    r"minimum|p9\d|\bindex\b|quantile|milliseconds|connections|concurren(?:t|cy)?",
    re.IGNORECASE,
)
_GAUGE = re.compile(
    r"in[_\s.-]?flight|in[_\s.-]?progress|queue|depth|backlog|pending|running|size|(?<![a-z])[kmg]i?b(?![a-z])",
    re.IGNORECASE,
)
"""Names of what waits, runs or is large: no requests that arrive, even where the name speaks of requests."""
_OTHERS = re.compile(
    r"egress|ingress|network|(?<![a-z])(?:active|online|users?|replicas|pods|threads)(?![a-z])", re.IGNORECASE
)
"""Names of bytes, people and machines, unless they say that events are counted, as those of ingress controllers do."""
_EVENTS = re.compile(r"request|req|hits|calls|count", re.IGNORECASE)
_COUNTED_EVENTS = re.compile(r"_count$")  # Prometheus: how many durations or sizes were measured
_REQUESTS = re.compile(
    r"request|req|hits|views|visits|calls|count|quer|throughput|traffic|invocation|[rq]p[sm]\b|anfragen|peticiones",
    re.I,
)
"""Names that say that requests are counted; of any other, such as `value`, the numbers may be a gauge."""
_PERCENT = 100.0  # a gauge in percent goes no higher
_FEW_RISES = 12  # rows: below, a file that only rises is no sign of a counter
_SMALL = 100.0  # median: smaller numbers with fractions are rates as often as they are counts


def unit_of(series: Series, table: Table, name: str, asked: Unit | None, told: Unit | None = None) -> Unit:
    """Return what the numbers of a file are.

    Args:
        series: The rows.
        table: Has the comments, titles and units of the file, and the name of its metric.
        name: The file, for messages.
        asked: What the user says; it is believed.
        told: What the source says; it is believed unless the name of the metric contradicts it.

    Raises:
        ValueError: The numbers count no requests, or the file leaves it open; the message names the option.
    """
    if scale := re.search(
        r"\b(?:thousand|million)s?\b|\bx ?1,?000\b", f"{series.column} {table.metric}", re.IGNORECASE
    ):
        raise ValueError(f"{name}: {series.column} is in {scale[0]}; write whole requests into the file")
    if asked is not None:
        return asked
    if series.unit in UNITS:
        return series.unit
    if series.unit is not None:
        raise ValueError(f"{name}: {series.column} is in {series.unit}, which counts no requests")
    called = f"{series.column} {table.metric}".strip()
    units = " ".join(re.findall("Percent|Bytes|Milliseconds", table.hints))
    events = bool(_COUNTED_EVENTS.search(called))
    unfit = _NO_REQUESTS.search(units if events else f"{called} {units}")
    if unfit is None and not (events and re.search(r"_size|_bytes", called)):
        unfit = _GAUGE.search(called) or (None if _EVENTS.search(called) else _OTHERS.search(called))
    if unfit:
        rows = "if each row is a request, say --column rows; if not, " if at_any_time(series.times) else ""
        raise ValueError(
            f"{name}: {table.metric or series.column} counts no requests ({unfit[0]}); {rows}name another with "
            "--column, or say what it is with --unit"
        )
    if told is not None:
        return told
    for unit, pattern in _RATES.items():
        if re.search(pattern, called, re.IGNORECASE):
            return unit
    return unit_in(table.hints) or _told_by_numbers(series, called, name)


def unit_in(hints: str) -> Unit | None:
    """Return the rate that comments and titles name; `None` if they name none.

    Example:
        >>> unit_in("unit: requests per minute"), unit_in("made by hand")
        ('per-minute', None)
    """
    return next(
        (unit for unit, pattern in _RATES.items() if re.search(rf"{_COUNTED}\s*(?:{pattern})", hints, re.IGNORECASE)),
        None,
    )


def _told_by_numbers(series: Series, called: str, name: str) -> Unit:
    values = series.values[np.isfinite(series.values)]
    if not len(values):
        return "count"
    fractions = float((np.abs(values - np.rint(values)) > 1e-9 * np.maximum(values, 1)).mean())
    neutral = not _REQUESTS.search(called)
    if len(values) > 1 and (values == 1).all():
        raise Question(
            f"{name}: {series.column} is always 1: if each row is a request, say --column rows; if not, --unit count",
            column="rows",
        )
    if fractions and values.max() <= 1:
        raise Question(
            f"{name}: {series.column} lies between {values.min():.3g} and {values.max():.3g}: this looks like a share, "
            "not a count; if it is a rate, say --unit per-second or --unit per-minute",
            unit="per-second",
        )
    restarts = _restarts(series)
    if restarts is not None:
        if plain_name(called).endswith("total"):
            return "counter"
        rises = f"rises and starts again {counted(restarts, 'time')}" if restarts else "only rises"
        raise Question(
            f"{name}: {series.column} {rises}: say --unit counter if it counts since a start, or --unit count",
            unit="counter",
        )
    if fractions > 0.5 and (neutral or np.median(values) < _SMALL):
        doubt = "; up to 100: if it is a percentage, it counts no requests" if values.max() <= _PERCENT else ""
        raise Question(
            f"{name}: {series.column} has fractions ({percent(fractions, 0)} of the rows): say --unit per-second, "
            f"--unit per-minute, or --unit count{doubt}",
            unit="count",
        )
    if neutral and values.max() <= _PERCENT:
        raise Question(
            f"{name}: {series.column} lies between {values.min():.3g} and {values.max():.3g}: a count, or a percentage "
            "such as CPU? Say --unit count if it counts requests",
            unit="count",
        )
    return "count"


def _restarts(series: Series) -> int | None:
    """Return how often the longest series restarts, if it is a counter: it rises, save for restarts; else `None`."""
    keys = list(dict.fromkeys(series.keys))
    longest = max(keys, key=series.keys.count) if len(keys) < 100 else keys[0]
    rows = [i for i, key in enumerate(series.keys) if key == longest]
    values = series.values[rows, 0][np.argsort(series.times.seconds[rows], kind="stable")]
    values = values[np.isfinite(values)]
    steps = np.diff(values)
    falls = steps < 0
    restarts = values[1:][falls] < 0.5 * values[:-1][falls]
    rises = len(values) >= _FEW_RISES and falls.mean() <= 0.1 and (steps > 0).sum() >= 0.5 * len(steps)
    return int(falls.sum()) if rises and restarts.all() else None


_OTHER_LEVEL = 20.0
"""Two files whose means differ by more than this factor may count in different units."""


def other_levels(series: Series) -> Iterator[str]:
    """Yield a warning if files that are joined have means so different that one may hold counts, the other rates."""
    levels: dict[str, list[float]] = {}
    for number, values in zip(series.numbers, series.values, strict=True):
        levels.setdefault(str(number).partition(" of ")[2], []).append(float(np.nansum(values)))
    means = {name: float(np.mean(values)) for name, values in levels.items()}
    low, high = min(means, key=lambda name: means[name]), max(means, key=lambda name: means[name])
    if means[high] > _OTHER_LEVEL * means[low] > 0:
        yield (
            f"The mean of {high} is {means[high] / means[low]:,.0f} times that of {low}: is one of them a count, the "
            "other a rate?"
        )


def unwrapped(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], int]:
    """Return a counter as if it had never restarted, beginning at 0, and how often it restarted.

    Args:
        values: In the order of time, shape (rows,); NaN where nothing was measured.

    Example:
        >>> unwrapped(np.array([200.0, 622.0, 30.0, 50.0]))
        (array([  0., 422., 452., 472.]), 1)
    """
    known = np.flatnonzero(np.isfinite(values))
    counts = values[known]
    rises = np.diff(counts)
    restarts = rises < 0
    rises[restarts] = counts[1:][restarts]  # a restart counts from 0
    total = np.full(len(values), np.nan)
    total[known] = np.concatenate(([0.0], np.cumsum(rises)))[: len(known)]
    return total, int(restarts.sum())
