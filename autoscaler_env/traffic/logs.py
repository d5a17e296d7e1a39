"""Access logs, each line of which is a request: the lines are counted."""

from __future__ import annotations

import functools
import re
from collections import Counter
from datetime import UTC, datetime, timedelta

from autoscaler_env.traffic.tables import RowNumber, Table

LOG_SECONDS = 60
"""Seconds that the lines of an access log are counted over."""

_METHOD = "(?:GET|POST|PUT|HEAD|DELETE|PATCH|OPTIONS|CONNECT|TRACE)"
_REQUEST = re.compile(
    rf'[ "]{_METHOD} \S+ HTTP/\d|"{_METHOD} \S+"|\bStarted {_METHOD} "|\] ".*" \d{{3}} |method={_METHOD}\b|'
    rf'"[^"]*method"\s*:\s*"{_METHOD}"',
    re.IGNORECASE,
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
            r"\d{1,2}/[A-Za-z]{3}/\d{4}[: ]\d{2}:\d{2}:\d{2}(?: [+-]\d{4})?",
            r"\d{4}-\d{2}-\d{2}[T\s]\d{2}:\d{2}:\d{2}(?:[.,]\d+)?(?:Z\b|[+-]\d{2}:?\d{2}\b)?",
            r'(?<="ts":)\s*\d{10}\b|(?<="time":)\s*\d{10}\b|(?<="timestamp":)\s*\d{10}\b',
        ),
    )
)
"""How logs write the time of a request; the first of these forms that a line has is taken."""
LONGEST = 1_000_000
"""Intervals that requests are counted over, at most."""
_LOG_HEAD = 20_000  # characters that tell whether a text is a log


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
        text = re.sub(r"(?<=/\d{4}) ", ":", text)
        moment = datetime.strptime(text if " " in text else f"{text} +0000", "%d/%b/%Y:%H:%M:%S %z")
        return int(moment.timestamp()), text[-5:] if " " in text else ""
    moment = datetime.fromisoformat(text.replace(",", "."))
    zone = "" if moment.tzinfo is None else f"{moment:%z}"[:5]
    return int((moment if zone else moment.replace(tzinfo=UTC)).timestamp()), zone


def table_of_log(text: str, name: str, seconds: int) -> Table:
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
        raise ValueError(
            f"{name}: an access log of {last - first:,} intervals of {seconds} s is too long; count its lines over "
            "longer ones, as with --row-seconds 3600, or correct the time that is wrong"
        )
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
