"""The names of columns that exports have, one table for all programs; and what they write for a missing count."""

from __future__ import annotations

import re

TIME_NAMES = (
    *("timestamp", "time", "datetime", "date", "ts", "period", "step", "slot", "timestamputc", "timeutc", "dateutc"),
    *("timegenerated", "eventtime", "starttime", "minute", "hour", "day", "ds", "zeit", "zeitpunkt", "datum", "fecha"),
)
"""Headings that name the column of times, in small letters and digits only."""

COUNT_NAMES = (
    *(
        "requests",
        "requestcount",
        "numrequests",
        "totalrequests",
        "nrequests",
        "count",
        "hits",
        "pageviews",
        "views",
        "doccount",
    ),
    *("value", "sum", "total", "samplecount", "rps", "qps", "rpm", "anfragen", "peticiones"),
)
"""Headings that name the column of counts, in small letters and digits only; the first one in this order is taken."""

LABEL_NAMES = (
    *("status", "statuscode", "code", "port", "pid", "table", "result", "instance", "index", "id", "year", "month"),
    *("day", "hour", "minute", "weekday", "dayofweek", "start", "stop", "series", "metric", "unit", "unnamed0"),
    *("span", "spandays", "preview", "offset", "lastrow"),
)
"""Headings of columns that hold numbers and count nothing."""

METRIC_NAMES = ("metric", "metricname", "name", "measurement", "field")
"""Headings of labels that tell metrics apart, and not series of one metric."""

TOTAL_NAMES = ("total", "totals", "grandtotal", "sum", "average", "gesamt", "summe", "subtotal", "subtotals")
"""What stands in the first cells of a last row, or in place of a time, where a row adds up others."""

MISSING = (
    *("", "nan", "null", "none", "nil", "n/a", "na", "#n/a", "<na>", "\\n", "-", "--", "\u2013", "\u2014"),
    *("undefined", "no data", "missing"),
)
"""What exports write where nothing was measured, in any case."""


def plain_name(heading: str) -> str:
    """Return a heading in small letters and digits only.

    Example:
        >>> plain_name("@Time_Stamp (UTC)")
        'timestamputc'
    """
    return re.sub(r"[^a-z0-9]+", "", heading.lower())
