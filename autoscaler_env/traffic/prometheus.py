"""Traffic from a running Prometheus: its range query, read only, in pieces that it answers."""

from __future__ import annotations

import json
import os
import re
import time
import urllib.parse
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from autoscaler_env.text import one_line
from autoscaler_env.traffic.sources import Content

if TYPE_CHECKING:
    from collections.abc import Iterator

    from autoscaler_env.traffic.columns import Unit

MOST_POINTS = 10_000
"""Points of a series in one answer; Prometheus refuses more than 11,000."""

MOST_SERIES = 100
"""Series of an answer from which on the query should add them up."""

TIMEOUT = 60.0
"""Seconds that an answer may take."""

AUTHORIZATION = "PROMETHEUS_AUTHORIZATION"
"""The variable of the environment that holds the header Authorization: never an option, which others could see."""

_DAY = 86_400
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": _DAY}
_SIMPLE = re.compile(
    r"(?:sum\s*(?:(?:by|without)\s*\([^()]*\)\s*)?\(\s*)?(i?rate|increase)\s*\(\s*([a-zA-Z_:][\w:]*)?[^()]*\[(\d+)([smhd])\]\s*\)\s*\)?"
    r"(?:\s*(?:by|without)\s*\([^()]*\))?"
)


@dataclass(frozen=True)
class Query:
    """A range query to a Prometheus server; nothing is sent before `fetch`.

    Raises:
        ValueError: A value is not allowed.
    """

    url: str
    """Address of the server, such as `http://prometheus:9090`."""
    query: str
    """The query, such as `sum(rate(http_requests_total[5m]))`."""
    days: int = 30
    """Whole days before now."""
    row_seconds: int | None = None
    """Seconds from point to point: by default the window of the rate or increase, or a minute."""

    def __post_init__(self) -> None:
        parts = urllib.parse.urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ValueError(f"prometheus = {self.url!r}: must be an address such as http://localhost:9090")
        if parts.username or parts.password:
            raise ValueError(f"prometheus: leave user and password out of the address; {AUTHORIZATION} holds them")
        if not self.query.strip():
            raise ValueError("query = '': must be a query such as sum(rate(http_requests_total[5m]))")
        if self.days < 2:
            raise ValueError(f"days = {self.days}: must be at least 2")
        if self.row_seconds is not None and self.row_seconds < 1:
            raise ValueError(f"row_seconds = {self.row_seconds}: must be at least 1")
        function, _, window = self._function
        if function == "increase" and self.row_seconds not in (None, window):
            raise ValueError(
                f"row_seconds = {self.row_seconds}: increase counts over {window} s here; leave --row-seconds out, or "
                "query a rate"
            )

    @property
    def _function(self) -> tuple[Literal["rate", "increase", ""], str, int]:
        """What the query counts with, its metric, and its window in seconds; empty where it is of another form."""
        match = _SIMPLE.fullmatch(self.query.strip())
        if match is None:
            return "", "", 0
        return "increase" if match[1] == "increase" else "rate", match[2] or "", int(match[3]) * _SECONDS[match[4]]

    def fetch(self) -> Content:
        """Return the points of the last days as one JSON of `query_range`.

        A rate or an increase looks back: its points get the time at which their row begins.

        Raises:
            ValueError: The server cannot be reached, refuses the query, or has no points; the message is one line.
        """
        function, metric, window = self._function
        step = self.row_seconds or window or 60
        end = int(time.time()) // step * step
        start = (end - self.days * _DAY) // _DAY * _DAY - _DAY  # a day more, since midnight may be that of another zone
        start -= start % step
        shift = step if function else 0
        series: dict[str, dict[str, Any]] = {}
        for first in range(start, end + 1, MOST_POINTS * step):
            for result in self._ask(first, min(first + (MOST_POINTS - 1) * step, end), step):
                labels = {"__name__": metric} | result.get("metric", {}) if metric else result.get("metric", {})
                known = series.setdefault(json.dumps(labels, sort_keys=True), {"metric": labels, "values": []})
                known["values"] += [[moment - shift, value] for moment, value in result["values"]]
                if len(series) > MOST_SERIES:
                    raise ValueError(
                        f"{self._name}: more than {MOST_SERIES} series; add them up in the query, as in "
                        f"sum({self.query})"
                    )
        if not series:
            raise ValueError(f"{self._name}: the query gives no points in the last {self.days} days: {self.query}")
        text = json.dumps({"status": "success", "data": {"result": list(series.values())}})
        units: dict[str, Unit] = {"rate": "per-second", "increase": "count"}
        return Content(self._name, text, units.get(function))

    @property
    def _name(self) -> str:
        return f"Prometheus at {urllib.parse.urlsplit(self.url).netloc.rpartition('@')[2]}"

    def _ask(self, start: int, end: int, step: int) -> Iterator[dict[str, Any]]:
        """Yield the series of one answer."""
        values = {"query": self.query, "start": start, "end": end, "step": step}
        address = f"{self.url.rstrip('/')}/api/v1/query_range?{urllib.parse.urlencode(values)}"
        raw = self._get(address)
        try:
            yield from json.loads(raw)["data"]["result"]
        except (ValueError, KeyError, TypeError, RecursionError):
            why = _reason(raw) or "it is no answer of query_range; is this the address of a Prometheus?"
            raise ValueError(f"{self._name}: {one_line(why)}") from None

    def _get(self, address: str) -> bytes:
        """Return what the server answers."""
        import http.client  # here: both are slow to import, and most traffic comes from files
        import urllib.request

        try:
            request = urllib.request.Request(address)
            if secret := _authorization():
                request.add_unredirected_header("Authorization", secret)  # and so to no other server
            with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                why = f"it answers {error.code}: {one_line(_reason(error.read()) or error.reason)}"
            if error.code in (401, 403):
                why += f"; {AUTHORIZATION} in the environment names you, such as 'Bearer TOKEN'"
        except (OSError, http.client.HTTPException, UnicodeError) as error:  # URLError is an OSError
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            why = f"cannot be reached: {one_line(getattr(reason, 'strerror', None) or str(reason))}"
            if "WRONG_VERSION_NUMBER" in str(reason):
                why = "this address speaks http, not https"
            if isinstance(reason, TimeoutError):
                why = f"no answer within {TIMEOUT:g} s"
        raise ValueError(f"{self._name}: {why}")


def _authorization() -> str:
    """Return what the user is known by, from the environment; an empty text for nobody.

    Raises:
        ValueError: It cannot be sent; the message does not hold it.
    """
    secret = os.environ.get(AUTHORIZATION, "").strip()
    if secret and not (secret.isascii() and secret.isprintable() and " " in secret):
        raise ValueError(
            f"{AUTHORIZATION}: must be one line such as 'Bearer TOKEN', or 'Basic ' and base64 of USER:PASSWORD"
        )
    return secret


def _reason(raw: bytes) -> str:
    """Return the error that Prometheus names in an answer; an empty text if there is none."""
    try:
        return str(json.loads(raw)["error"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
