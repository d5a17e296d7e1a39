"""Files of the kinds that engineers have: each is read rightly, or one line asks for what it leaves open."""

import bz2
import io
import json
import lzma
import zipfile
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from cases import cases

from autoscaler_env.traffic.columns import Reading
from autoscaler_env.traffic.reading import read_traffic
from autoscaler_env.traffic.trace import cut_days

COUNTS = [200, 422, 934, 1446, 1668, 1395, 917, 439, 251, 473, 900, 1412, 1634, 1446, 968, 405]
"""Requests, a count every three hours over two days: 932 on average."""

START = datetime(2026, 3, 2)
MOMENTS = [START + timedelta(hours=3 * i) for i in range(16)]
EVERY_HOUR = [START + timedelta(hours=i) for i in range(16)]
EPOCHS = [int(moment.replace(tzinfo=UTC).timestamp()) for moment in MOMENTS]
RATES = [count / 10_800 for count in COUNTS]


@pytest.fixture
def read(tmp_path):
    """Return a function that writes text to a file and reads it leniently."""

    def read_text(text, **how):
        path = tmp_path / "traffic.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_traffic(path, how=Reading(**how))

    return read_text


def table(heading, *columns, form="{}", delimiter=","):
    rows = [delimiter.join(form.format(cell) for cell in row) for row in zip(*columns, strict=True)]
    return "\n".join([heading, *rows] if heading else rows) + "\n"


def prometheus(*series):
    result = [
        {"metric": {"job": job}, "values": [[e, str(v)] for e, v in zip(EPOCHS, values, strict=True)]}
        for job, values in series
    ]
    return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}})


def cloudwatch_data(values):
    moments = [f"{moment.isoformat()}+00:00" for moment in MOMENTS]
    result = {"Id": "m1", "Label": "RequestCount", "Timestamps": moments[::-1], "Values": values[::-1]}
    return json.dumps({"Messages": [], "MetricDataResults": [result]})


def azure(values):
    data = [{"timeStamp": f"{m.isoformat()}Z", "total": v} for m, v in zip(MOMENTS, values, strict=True)]
    metric = {"name": {"value": "Requests"}, "unit": "Count", "timeseries": [{"metadatavalues": [], "data": data}]}
    return json.dumps({"cost": 0, "timespan": "", "value": [metric]})


def us(moment, comma=""):
    return f"{moment.month}/{moment.day}/{moment.year}{comma} {moment.hour % 12 or 12}:00{moment:%p}"


def zipped(*texts):
    """Return a zip archive of these texts."""
    box = io.BytesIO()
    with zipfile.ZipFile(box, "w") as archive:
        for i, text in enumerate(texts):
            archive.writestr(f"{i}.csv", text)
    return box.getvalue()


MILLIS = [1000 * e for e in EPOCHS]
FIELDS = [{"name": "Time", "type": "time"}, {"name": "requests", "type": "number"}]
SHUFFLED = [int(i) for i in np.random.default_rng(0).permutation(16)]
STATISTICS = [{"Timestamp": f"{MOMENTS[i].isoformat()}+00:00", "Sum": COUNTS[i], "Unit": "Count"} for i in SHUFFLED]
INFLUX = (
    "#group,false,false,true,true,false,false,true\n"
    "#datatype,string,long,dateTime:RFC3339,dateTime:RFC3339,dateTime:RFC3339,double,string\n"
    "#default,_result,,,,,,\n"
    ",result,table,_start,_stop,_time,_value,_field\n"
)
BOX = "+---------------------+----------+\n"
WIDE = "date,{}\n" + "".join(f"2026-03-0{2 + i},{','.join(map(str, COUNTS[8 * i : 8 * i + 8]))}\n" for i in (0, 1))
READ = {
    "CloudWatch, get-metric-statistics": json.dumps({"Label": "RequestCount", "Datapoints": STATISTICS}),
    "CloudWatch, get-metric-data": cloudwatch_data(COUNTS),
    "Prometheus": prometheus(("shop", COUNTS)),
    "Azure Monitor": azure(COUNTS),
    "US dates": table("Timestamp,RequestCount", [f"{us(m)[:-2]}:00 {m:%p}" for m in MOMENTS], COUNTS),
    "European dates": table("Datum;Anfragen", [f"{m:%d.%m.%Y %H:%M}" for m in MOMENTS], COUNTS, delimiter=";"),
    "European dates with slashes": table("date,count", [f"{m:%d/%m/%Y %H:%M}" for m in MOMENTS], COUNTS),
    "month names": table("time,count", [f"{m:%d %b %Y %H:%M}" for m in MOMENTS], COUNTS),
    "semicolons and decimal commas": table("Zeit;Anfragen", MOMENTS, [f"{c},0" for c in COUNTS], delimiter=";"),
    "thousands": table("time,requests", MOMENTS, [f"{c:,}" for c in COUNTS], form='"{}"'),
    "German thousands": table("Zeit;Anfragen", MOMENTS, [f"{c:,}.0".replace(",", " ") for c in COUNTS], delimiter=";"),
    "newest first": table("timestamp,requests", MOMENTS[::-1], COUNTS[::-1]),
    "repeated rows": table("timestamp,requests", MOMENTS[:5] + MOMENTS[3:], COUNTS[:5] + COUNTS[3:]),
    "Azure portal": '"Chart Title: Sum Requests for shop"\n'
    + table('"Time","Requests (Sum), shop"', [us(m, ",") for m in MOMENTS], COUNTS, form='"{}"'),
    "Datadog": table(
        '"","time","sum:trace.http.request.hits{service:shop}.as_count()"',
        range(16),
        [1000 * e for e in EPOCHS],
        COUNTS,
    ),
    "GCP": '"TimeSeries ID","shop"\n"metric.type","request_count"\n'
    + table("", [f"{m:%a %b %d %Y %H:%M:%S} GMT+0000 (Coordinated Universal Time)" for m in MOMENTS], COUNTS),
    "year, month, day, hour": table(
        "year,month,day,hour,requests", *zip(*((m.year, m.month, m.day, m.hour) for m in MOMENTS), strict=True), COUNTS
    ),
    "French date and hour": table(
        "Date;Heure;Requêtes",
        [f"{m:%d/%m/%Y}" for m in MOMENTS],
        [f"{m:%H:%M}" for m in MOMENTS],
        COUNTS,
        delimiter=";",
    ),
    "date and hour": table("date,hour,requests", [f"{m:%Y-%m-%d}" for m in MOMENTS], [m.hour for m in MOMENTS], COUNTS),
    "InfluxDB": INFLUX
    + table(
        "",
        [""] * 16,
        [""] * 16,
        [0] * 16,
        [f"{START.isoformat()}Z"] * 16,
        ["2026-03-04T00:00:00Z"] * 16,
        [f"{m.isoformat()}Z" for m in MOMENTS],
        COUNTS,
        ["count"] * 16,
    ),
    "Wikimedia": json.dumps(
        {
            "items": [
                {"article": "A", "timestamp": f"{m:%Y%m%d%H}", "views": c} for m, c in zip(MOMENTS, COUNTS, strict=True)
            ]
        }
    ),
    "compact": table("time,requests", [f"{m:%Y%m%d%H%M}" for m in MOMENTS], COUNTS),
    "microseconds": table("ts,requests", [e * 10**6 for e in EPOCHS], COUNTS),
    "nanoseconds": table("ts,requests", [e * 10**9 for e in EPOCHS], COUNTS),
    "a temperature beside": table("date_time,temp,traffic_count,requests", MOMENTS, [280.5] * 16, [1] * 16, COUNTS),
    "comments, bars, a total": "# made by hand\n" + table("time|requests", MOMENTS, COUNTS, delimiter="|"),
    "units in cells": table("Time,shop", MOMENTS, [f"{c / 1000} K" for c in COUNTS]),
    "CloudWatch console": table("Full label,RequestCount\nPeriod,10800", MOMENTS, COUNTS),
    "a total below": table("time,requests", MOMENTS, COUNTS) + "Total,14911\n",
    "spaces": table("", EPOCHS, COUNTS, delimiter=" "),
    "two times and errors": table(
        "start_time,end_time,num_requests,num_errors",
        MOMENTS,
        [m + timedelta(hours=3) for m in MOMENTS],
        COUNTS,
        [1, 2] * 8,
    ),
    "Datadog, JSON": json.dumps(
        {"series": [{"metric": "hits", "pointlist": [[1e3 * e, c] for e, c in zip(EPOCHS, COUNTS, strict=True)]}]}
    ),
    "Elasticsearch": json.dumps(
        {
            "aggregations": {
                "by_hour": {"buckets": [{"key": 1000 * e, "doc_count": c} for e, c in zip(EPOCHS, COUNTS, strict=True)]}
            }
        }
    ),
    "Cloudflare": json.dumps(
        {
            "data": {
                "groups": [
                    {"dimensions": {"datetime": f"{m.isoformat()}Z"}, "sum": {"bytes": 7 * c, "requests": c}}
                    for m, c in zip(MOMENTS, COUNTS, strict=True)
                ]
            }
        }
    ),
    "New Relic, JSON": json.dumps(
        {
            "timeSeries": [
                {"beginTimeSeconds": e, "inspectedCount": 9 * c, "results": [{"count": c}]}
                for e, c in zip(EPOCHS, COUNTS, strict=True)
            ]
        }
    ),
    "Splunk, JSON": "\n".join(
        json.dumps({"offset": i, "result": {"_time": f"{m.isoformat()}.000+0000", "count": str(c), "_span": "10800"}})
        for i, (m, c) in enumerate(zip(MOMENTS, COUNTS, strict=True))
    ),
    "VictoriaMetrics": json.dumps(
        {"metric": {"__name__": "http_requests_per_second"}, "values": RATES, "timestamps": [1000 * e for e in EPOCHS]}
    ),
    "psql": " bucket | requests \n--------+----------\n"
    + table("", [f" {m}+00 " for m in MOMENTS], [f" {c:8} " for c in COUNTS], delimiter="|")
    + "(16 rows)\n",
    "Kibana": table(
        '"at per 3 hours","Count of records"',
        [f"Mar {m.day}, 2026 @ {m:%H:%M:%S}.000" for m in MOMENTS],
        COUNTS,
        form='"{}"',
    ),
    "JSON by time": json.dumps({f"{m.isoformat()}": c for m, c in zip(MOMENTS, COUNTS, strict=True)}),
    "JSON lines": "\n".join(json.dumps({"ts": m.isoformat(), "hits": c}) for m, c in zip(MOMENTS, COUNTS, strict=True)),
    "New Relic": table(
        "Begin time,End time,Throughput (rpm)", EPOCHS, [e + 10_800 for e in EPOCHS], [rate * 60 for rate in RATES]
    ),
    "per minute in the heading": "# unit: requests per minute\n"
    + table("timestamp,requests_per_minute", MOMENTS, [rate * 60 for rate in RATES]),
    "per hour in the heading": table("time,requests_per_hour", MOMENTS, [rate * 3600 for rate in RATES]),
    "per hour in the cells": table("time,shop", MOMENTS, [f"{rate * 3600:.3f} req/h" for rate in RATES]),
    "per second in the cells": table("Time,shop", MOMENTS, [f"{rate:.6f} req/s" for rate in RATES]),
    "per second in the heading": table("Time,rps", MOMENTS, RATES),
    "per second in German": table("Zeit;Anfragen je Sekunde", MOMENTS, RATES, delimiter=";"),
    "a column for each hour": WIDE.format(",".join(map(str, range(0, 24, 3)))),
    "a column for each hour that ends": WIDE.format(",".join(f"{hour}:00" for hour in range(3, 25, 3))),
    "a column for each day": table("time,02/03/2026,03/03/2026", range(0, 24, 3), COUNTS[:8], COUNTS[8:]),
    "days of Excel": table("Time,Requests", [f"{46083 + i / 8:.6f}" for i in range(16)], COUNTS),
    "mysql": f"{BOX}| hour | requests |\n{BOX}"
    + "".join(f"| {m} | {c:8} |\n" for m, c in zip(MOMENTS, COUNTS, strict=True))
    + f"{BOX}16 rows in set (0.01 sec)\n",
    "Grafana's frames": json.dumps({"frames": [{"schema": {"fields": FIELDS}, "data": {"values": [MILLIS, COUNTS]}}]}),
    "Grafana's panel": json.dumps(
        [{"fields": [f | {"values": v} for f, v in zip(FIELDS, [MILLIS, COUNTS], strict=True)]}]
    ),
    "Datadog, version 2": json.dumps(
        {"attributes": {"series": [{"group_tags": []}], "times": MILLIS, "values": [COUNTS]}}
    ),
    "InfluxDB, JSON": json.dumps(
        {"columns": ["time", "n", "requests"], "values": [[e, 1, c] for e, c in zip(EPOCHS, COUNTS, strict=False)]}
    ),
    "two lists": json.dumps({"x": [m.isoformat() for m in MOMENTS], "y": COUNTS}),
    "pandas, columns": json.dumps({"ts": dict(enumerate(MILLIS)), "requests": dict(enumerate(COUNTS))}),
    "pandas, index": json.dumps({e: {"requests": c} for e, c in zip(MILLIS, COUNTS, strict=False)}),
    "pandas, split": json.dumps({"columns": ["n"], "index": MILLIS, "data": [[c] for c in COUNTS]}),
    "CloudWatch Logs": json.dumps(
        {
            "results": [
                [{"field": "bin(3h)", "value": f"{m}"}, {"field": "n", "value": f"{c}"}]
                for m, c in zip(MOMENTS, COUNTS, strict=False)
            ]
        }
    ),
    "samples counted beside a sum": table("ts,count,min,max,sum", MILLIS, [60] * 16, [1] * 16, [9] * 16, COUNTS),
    "line protocol": "".join(
        f"requests,host=a value={c}i,x=1 {e}000000000\n" for e, c in zip(EPOCHS, COUNTS, strict=False)
    ),
    "a column for each hour, in words": WIDE.format("12 AM,3 AM,6 AM,9 AM,12 PM,3 PM,6 PM,9 PM"),
    "a column for each interval": WIDE.format(",".join(f"{h:02}:00-{h + 3:02}:00" for h in range(0, 24, 3))),
    "subtotals and a text below": table("time,requests", MOMENTS[:8], COUNTS[:8])
    + f"Subtotal,9\n{table('Time,Requests', MOMENTS[8:], COUNTS[8:])},99\nMade by hand\n",
    "aligned by spaces": "hour                 requests\n"
    + table("", MOMENTS, COUNTS, delimiter="     ")
    + "16 rows selected.\n",
    "rrdtool": table("", [f"{e}:" for e in EPOCHS], [f"{c:.6e}" for c in COUNTS], delimiter=" "),
    "begin and end in a cell": table(
        "when,requests", [f"{m:%Y-%m-%d %H:%M} - {m + timedelta(hours=3):%H:%M}" for m in MOMENTS], COUNTS
    ),
    "months in German": table(
        "Zeit;Anfragen", [f"{m.day}. M\u00e4rz 2026 {m:%H:%M}" for m in MOMENTS], COUNTS, delimiter=";"
    ),
    "Swiss thousands": table(
        "Zeit;Anfragen", MOMENTS, [f"{c:,}".replace(",", "\u2019") for c in COUNTS], delimiter=";"
    ),
    "points for thousands": table(
        "Zeit;Anfragen", MOMENTS, [f"{c:,}".replace(",", ".") for c in COUNTS], delimiter=";"
    ),
    "days of Excel with commas": table(
        "Zeit;Anfragen", [f"{46083 + i / 8:.6f}".replace(".", ",") for i in range(16)], COUNTS, delimiter=";"
    ),
    "dates of C": table("time,requests", [f"{m:%a %b %d %H:%M:%S} UTC {m:%Y}" for m in MOMENTS], COUNTS),
    "dates of Oracle": table("TS,CNT", [f"{m:%d-%b-%y %I.%M.%S.000000000 %p}".upper() for m in MOMENTS], COUNTS),
    "hours as intervals": table(
        "Datum;Stunde;Anfragen",
        [f"{m:%d.%m.%Y}" for m in MOMENTS],
        [f"{m:%H}:00-{m + timedelta(hours=3):%H}:00" for m in MOMENTS],
        COUNTS,
        delimiter=";",
    ),
    "names of rows": '"time" "requests"\n' + table("", range(16), [f'"{m}"' for m in MOMENTS], COUNTS, delimiter=" "),
    "commas between lines of JSON": "".join(
        json.dumps({"time": f"{m}", "requests": c}) + ",\n" for m, c in zip(MOMENTS, COUNTS, strict=True)
    ),
    "a drawn box": "\u250c\u2500\u2510\n"
    + "".join(f"\u2502 {m} \u2502 {c} \u2502\n" for m, c in zip(["time", *MOMENTS], ["requests", *COUNTS], strict=True))
    + "\u2514\u2500\u2518\n",
    "two bytes a character": table("time,requests", MOMENTS, COUNTS).encode("utf-16-le"),
    "bzip2": bz2.compress(table("time,requests", MOMENTS, COUNTS).encode()),
    "xz": lzma.compress(table("time,requests", MOMENTS, COUNTS).encode()),
    "zip": zipped(table("time,requests", MOMENTS, COUNTS)),
    "Western European letters": table("Zeit;Aufrufe Z\xfcrich", MOMENTS, COUNTS, delimiter=";").encode("latin-1"),
}


@cases("text", READ.values())
def test_these_kinds_are_read_as_they_are(read, text):
    traffic = read(text)
    assert traffic.interval == 10_800 and traffic.start == START
    assert np.rint(traffic.requests).tolist() == COUNTS
    days = cut_days(traffic)
    assert days.requests.shape == (2, 8) and round(days.requests.mean()) == 932


GRAFANA = table('"Time","{code=""200""}","{code=""404""}"', MOMENTS, [r * 0.9 for r in RATES], [r * 0.1 for r in RATES])
LONG = table(
    "timestamp,service,requests", np.repeat(MOMENTS, 2), ["cart", "web"] * 16, [n for c in COUNTS for n in (c // 2, c)]
)
COUNTER = table("timestamp,http_requests", EPOCHS, np.cumsum(COUNTS))
ASKED = {  # the text, what the question names, the answer, the first counts then
    "a rate in JSON": (prometheus(("shop", RATES)), "--unit per-second", {"unit": "per-second"}, COUNTS[:2]),
    "a rate below one": (table("timestamp,requests", MOMENTS, RATES), "--unit", {"unit": "per-second"}, COUNTS[:2]),
    "a rate above one": (
        table("timestamp,requests", MOMENTS, [rate * 60 for rate in RATES]),
        "--unit per-minute",
        {"unit": "per-minute"},
        COUNTS[:2],
    ),
    "a column per status": (
        GRAFANA,
        "--column '{code=\"200\"}', or add them up: --column all",
        {"column": "all", "unit": "per-second"},
        COUNTS[:2],
    ),
    "two services": (LONG, "--where service=web, or add them up with --sum", {"where": ("service=web",)}, COUNTS[:2]),
    "two jobs": (
        prometheus(("a", COUNTS), ("b", COUNTS)),
        "--where job=b",
        {"sum": True},
        [400, 844],
    ),
    "a rate of two jobs, in one round": (
        prometheus(("a", RATES), ("b", RATES)),
        "row 17: the same time as another row, since job is a, b; choose with --where job=b, or add them up with "
        "--sum; and: value lies between 0.0185 and 0.154: this looks like a share, not a count",
        {"sum": True, "unit": "per-second"},
        [400, 844],
    ),
    "a row for each request": (
        table(
            "timeStamp,elapsed,success",
            [EPOCHS[0] * 1000 + 250 * i**2 for i in range(30)],
            [9, 8] * 15,
            [1] * 30,
        ),
        "if each row is a request, say --column rows",
        {"column": "rows"},
        [16, 6],
    ),
    "a one for each request": (
        table("metric,time,value", ["http_reqs"] * 30, range(EPOCHS[0], EPOCHS[0] + 300, 10), [1] * 30),
        "value is always 1: if each row is a request, say --column rows",
        {"column": "rows"},
        [6, 6],
    ),
    "a counter": (COUNTER, "--unit counter", {"unit": "counter"}, COUNTS[1:3]),
    "a zone beside each time": (
        table("time,requests", [f"{m} America/New_York" for m in MOMENTS], COUNTS),
        "--zone America/New_York",
        {"zone": "America/New_York"},
        COUNTS[:2],
    ),
    "no heading": (table("", MOMENTS, COUNTS, [7, 8] * 8), "--column 2", {"column": "2"}, COUNTS[:2]),
    "a load test": (
        table("Timestamp,User Count,Requests/s", EPOCHS, [10, 11] * 8, RATES),
        "--column Requests/s",
        {"column": "Requests/s"},
        COUNTS[:2],
    ),
    "a zone cut short": (
        table("time,requests", [f"{m:%Y-%m-%d %H:%M} CET" for m in MOMENTS], COUNTS),
        "--zone Europe/Berlin",
        {"zone": "Europe/Berlin"},
        COUNTS[:2],
    ),
    "thousands or fractions": (
        table("time;requests", MOMENTS, [f"{c % 9 + 1},{c % 900 + 100}" for c in COUNTS], delimiter=";"),
        "--decimal comma",
        {"decimal": "point"},
        [3300, 9522],
    ),
}


@cases(("text", "question", "answer", "first"), ASKED.values())
def test_what_a_file_leaves_open_is_asked_in_one_line_and_the_answer_is_taken(read, text, question, answer, first):
    with pytest.raises(ValueError) as error:
        read(text)
    assert question in str(error.value) and "traffic.csv" in str(error.value) and "\n" not in str(error.value)
    assert np.rint(read(text, **answer).requests[:2]).tolist() == first


def at(*moments):
    """Return times of one morning, from minutes and seconds such as "0:30"."""
    return [f"2026-03-02T10:0{moment}Z" for moment in moments]


def test_equal_rows_count_where_each_is_a_request_or_a_series_and_once_where_the_export_repeats_them(read):
    names = ["http_req_duration", *["http_reqs"] * 6]
    moments = at("0:00", "0:00", "0:00", "0:00", "0:30", "1:10", "1:10")
    k6 = table("metric_name,timestamp,metric_value,method", names, moments, [9.5, *[1] * 6], ["GET"] * 7)
    only = {"where": ("metric_name=http_reqs",)}
    for how in (only, only | {"sum": True, "unit": "count"}):
        with pytest.raises(
            ValueError, match="always 1, and 3 rows equal to a row before: if each row is a request, say"
        ):
            read(k6, **how)
    traffic = read(k6, **only, column="rows")
    assert traffic.requests.tolist() == [4, 2] and "0 repeated rows dropped." in traffic.understood[1]
    # two servers whose names were left out: every minute has two rows, also where the servers served alike
    servers = table("timestamp,requests", at("0:00", "0:00", "1:00", "1:00", "2:00", "2:00"), [5, 5, 4, 6, 7, 7])
    traffic = read(servers, sum=True, unit="count")
    assert traffic.requests.tolist() == [10, 10, 14]
    assert "0 repeated rows dropped, 2 equal rows counted." in traffic.understood[1]
    # an export that holds the middle minute twice
    twice = at("0:00", "0:00", "1:00", "1:00", "1:00", "1:00", "2:00", "2:00")
    labelled = table("timestamp,service,requests", twice, ["a", "b"] * 4, [5, 5, 4, 6, 4, 6, 7, 7])
    plain = table("timestamp,requests", twice, [5, 8, 4, 6, 4, 6, 7, 9])
    for text, counts in ((labelled, [10, 10, 14]), (plain, [13, 10, 16])):
        traffic = read(text, sum=True, unit="count")
        assert traffic.requests.tolist() == counts and "2 repeated rows dropped." in traffic.understood[1]
    # an odd number of rows, some of them equal: it cannot be known
    unclear = table("timestamp,requests", at("0:00", "0:00", "1:00", "2:00", "2:00", "2:00"), [5, 8, 4, 7, 7, 9])
    with pytest.raises(
        ValueError, match=r"or leave out one; and: .*row 6: the same as a row before .* say --repeats count"
    ):
        read(unclear, unit="count")
    with pytest.raises(ValueError, match=r"traffic\.csv: all its rows are of one time"):
        read(table("timestamp,requests", at("0:00", "0:00"), [5, 8]), sum=True, unit="count")
    for repeats, last in (("count", 23), ("drop", 16)):
        assert read(unclear, sum=True, unit="count", repeats=repeats).requests.tolist() == [13, 4, last]


SLIPS = {
    "did you mean requests?": {"column": "request"},
    "columns timestamp, service, requests, did you mean service?": {"where": ("servce=web",)},
    "service is cart, web, did you mean web?": {"where": ("service=wep",)},
    "Europe/Berlin or UTC, did you mean Europe/Berlin?": {"zone": "Europe/Berln"},
    "unit = 'persecond': must be one of count, per-second, per-minute, per-hour, counter, did": {"unit": "persecond"},
    "dates = 'eu': must be one of us, european": {"dates": "eu"},
    "decimal = 'coma': must be one of point, comma, did you mean comma?": {"decimal": "coma"},
}


def test_a_misspelt_answer_is_met_with_the_one_that_was_meant(read):
    for message, slip in SLIPS.items():
        with pytest.raises(ValueError) as error:
            read(LONG, **slip)
        assert message in str(error.value) and "\n" not in str(error.value)


HOURS = [START + timedelta(hours=i) for i in range(48)]
CPU = [round(40 + 30 * np.sin(i / 4)) for i in range(48)]
DOUBTFUL = {
    "whole percent": (table("time,value", HOURS, CPU), "a count, or a percentage such as CPU? Say --unit count"),
    "percent with fractions": (table("time,value", HOURS, [c + 0.4 for c in CPU]), "say --unit per-second"),
    "megabytes": (table("time,value", HOURS, [900 + c + 0.4 for c in CPU]), "or --unit count"),
    "no heading": (table("", HOURS, CPU), "Say --unit count"),
}


@cases(("text", "question"), DOUBTFUL.values())
def test_numbers_that_may_be_a_gauge_are_asked_about_where_no_name_says_what_they_count(read, text, question):
    with pytest.raises(ValueError) as error:
        read(text)
    assert question in str(error.value) and "\n" not in str(error.value)
    assert len(read(text, unit="count").requests) == 48
    assert len(read(table("time,requests", HOURS, CPU)).requests) == 48, "a name that says it is believed"


def test_the_name_of_a_metric_beside_its_numbers_says_what_they_are(read):
    def named(metric, values):
        points = [[1000 * 60 * i + 1_772_409_600, str(value)] for i, value in enumerate(values)]
        return json.dumps({"data": {"result": [{"metric": {"__name__": metric}, "values": points}]}})

    for metric, reason in (("response_bytes", "bytes"), ("cpu_utilisation", "cpu"), ("latency_seconds", "latency")):
        with pytest.raises(ValueError, match=rf": {metric} counts no requests \({reason}\)"):
            read(named(metric, CPU))
    assert "unit counter" in read(named("http_requests_total", np.cumsum(CPU))).understood[0]
    with pytest.raises(ValueError, match="--unit counter"):  # counts of durations are counts of requests
        read(named("http_request_duration_seconds_count", np.cumsum(CPU)))
    assert len(read(named("nginx_ingress_controller_requests", CPU)).requests) == 48
    assert len(read(named("requests_in_a_minute", CPU)).requests) == 48
    cpu = {
        "Label": "CPUUtilization",
        "Datapoints": [{"Timestamp": f"{m}Z", "Sum": c} for m, c in zip(HOURS, CPU, strict=True)],
    }
    with pytest.raises(ValueError, match="CPUUtilization counts no requests"):
        read(json.dumps(cpu))


def test_the_order_of_day_and_month_is_asked_where_the_column_leaves_it_open(read):
    hours = [f"3/3/2026 {hour}:00" for hour in range(24)]
    counts = [5 + hour % 3 for hour in range(24)]
    with pytest.raises(ValueError, match="--dates us or --dates european"):
        read(table("time,requests", hours, counts))
    assert read(table("time,requests", hours, counts), dates="us").start == datetime(2026, 3, 3)


REFUSED = {
    "a share": (table("timestamp,requests", MOMENTS, np.array(COUNTS) / 2000), "looks like a share"),
    "percent": (table("timestamp,load", MOMENTS, [f"{c % 100} %" for c in COUNTS]), "load is in %"),
    "bytes": (table("timestamp,bytes_sent", MOMENTS, COUNTS), "counts no requests (bytes)"),
    "requests in flight": (table("timestamp,inflight_requests", MOMENTS, COUNTS), "counts no requests (inflight)"),
    "requests in progress": (table("timestamp,requests_in_progress", MOMENTS, COUNTS), "no requests (in_progress)"),
    "a queue": (table("timestamp,queue_depth", MOMENTS, COUNTS), "counts no requests (queue)"),
    "a count that waits": (table("timestamp,pending_count", MOMENTS, COUNTS), "counts no requests (pending)"),
    "kilobytes": (table("timestamp,sent_kb", MOMENTS, COUNTS), "counts no requests (kb)"),
    "users": (table("timestamp,active_users", MOMENTS, COUNTS), "counts no requests (active)"),
    "numbers of users": (table("id,ts,user_id", COUNTS, MOMENTS, COUNTS), "which of them counts? Call it requests"),
    "egress": (table("timestamp,egress_total", MOMENTS, COUNTS), "counts no requests (egress)"),
    "network": (table("timestamp,network_in", MOMENTS, COUNTS), "counts no requests (network)"),
    "percent with fractions": (
        table("timestamp,value", MOMENTS, [10.2, 100.0, 55.5, 31.3] * (len(MOMENTS) // 4)),
        "up to 100: if it is a percentage, it counts no requests",
    ),
    "zeros": (table("timestamp,requests", MOMENTS, [0] * len(MOMENTS)), "no requests in the file: every count is 0"),
    "a counter of each day": (
        table("timestamp,requests", HOURS, [100 + 50 * (hour % 24) for hour in range(len(HOURS))]),
        "rises and starts again 1 time: say --unit counter",
    ),
    "concurrent requests": (table("timestamp,concurrent_requests", MOMENTS, COUNTS), "no requests (concurrent)"),
    "a gauge": (table("timestamp,cpu_utilization", MOMENTS, COUNTS), "counts no requests"),
    "daily totals": (table("date,requests", [f"2026-03-{i + 1:02}" for i in range(28)], [9, 5, 7, 8] * 7), "1 d apart"),
    "JSON of another form": ('{"kind": "Pod", "spec": {}}', "JSON of an unknown form (kind, spec)"),
    "empty JSON": ("[]", "JSON of an unknown form (a list)"),
    "CloudWatch without points": ('{"Datapoints": ["a"]}', "JSON of an unknown form (Datapoints)"),
    "Prometheus without pairs": ('{"data": {"result": [{"values": [3]}]}}', "JSON of an unknown form (data)"),
    "Prometheus' error": ('{"status": "error", "error": "bad query"}', "the answer is an error: bad query"),
    "JSON without end": ("[" * 5000, "traffic.csv"),
    "a year that is none": (table("time,requests", ["0001-01-01 00:00", "0001-01-01 01:00"], [5, 6]), "1900 and 2200"),
    "offsets of many places": (
        table(
            "time,requests",
            [f"{m + timedelta(hours=i % 2)}{('Z', '+01:00')[i % 2]}" for i, m in enumerate(EVERY_HOUR)],
            COUNTS,
        ),
        "--zone UTC",
    ),
    "a mean week": (
        table("hour,Mon,Tue,Wed,Thu,Fri", range(24), *[range(5, 29)] * 5),
        "a table by weekday has no dates",
    ),
    "rows without times": (table("step,requests", range(16), COUNTS), "--column rows needs the time of each row"),
    "a damaged zip": (b"PK\x03\x04\x14", "a zip archive that cannot be read"),
    "half a bzip2": (bz2.compress(b"time,requests" * 99)[:-9], "traffic.csv: not a whole bzip2 file"),
    "two files in a zip": (zipped("a", "b"), "a zip archive of 2 files; unpack it, and name them"),
    "an old workbook": (b"\xd0\xcf\x11\xe0\xa1\xb1", "this is an Excel workbook; save the sheet as CSV"),
    "a page": (
        "\n<!DOCTYPE html><html><body>",
        "this is HTML, perhaps the page of a login; export CSV or JSON instead",
    ),
    "half a JSON": ('[{"time": "2026-03-02", "requests": 5}, {"ti', "begins as JSON does, and is none, or is cut off"),
    "thousands": (
        table("time,requests (thousands)", MOMENTS, RATES),
        "in thousands; write whole requests into the file",
    ),
    "a scrape": ("# HELP http_requests_total x\nhttp_requests_total 5\n", "one scrape of Prometheus"),
    "no times": (table("server,sessions,bytes", "abc", [5, 3, 9], [1, 2, 3]), "no column tells the time: server, sess"),
    "no dates": (
        table("time,requests", [f"{h:02}:00" for h in range(24)], range(24)),
        "'00:00' is a time without a date",
    ),
    "lost digits": (
        table("ts,requests", [f"{e:.5E}" for e in MILLIS], COUNTS),
        "has lost its last digits, as in Excel",
    ),
    "no such zone": (table("timestamp,requests", MOMENTS, COUNTS), "zone = 'Mars'"),
    "no such column": (table("timestamp,requests", MOMENTS, COUNTS), "--column hits: must be columns"),
}


@cases(("text", "reason"), REFUSED.values())
def test_what_counts_no_requests_is_refused_with_the_reason(read, text, reason):
    column = next((column for column in ("hits", "rows") if f"--column {column}" in reason), None)
    with pytest.raises(ValueError) as error:
        read(text, column=column, zone="Mars" if "Mars" in reason else None)
    assert reason in str(error.value) and "\n" not in str(error.value)


def test_the_date_of_hours_is_that_of_the_title(read):
    for hours in (range(24), [f"{h:02}:00" for h in range(24)], [f"{h % 12 or 12} {'AP'[h > 11]}M" for h in range(24)]):
        traffic = read("Report for 2026-03-02\n" + table("hour,requests", hours, range(200, 224)), unit="count")
        assert (
            traffic.start == START and traffic.interval == 3600 and traffic.requests.tolist() == list(range(200, 224))
        )
        assert "All rows are of the day of the title, 2026-03-02." in traffic.notes


def test_a_counter_is_differenced_and_its_restart_counts_from_zero(read):
    # 100, 130, restart, 20, 50: it rose by 30, by 20 since the restart, by 30
    counts = [100, 130, 20, 50, *range(60, 160, 10)]
    moments = [START + timedelta(minutes=i) for i in range(len(counts))]
    traffic = read(table("timestamp,http_requests_total", moments, counts))
    assert traffic.requests.tolist() == [30, 20, 30, *[10] * 10] and "it restarted 1 time" in traffic.notes[0]


def test_a_gap_of_a_counter_is_what_it_rose_by_spread_evenly(read):
    moments = [START + timedelta(minutes=i) for i in (0, 1, 4, 5)]
    traffic = read(table("timestamp,requests", moments, [0, 10, 70, 80]), unit="counter")
    assert traffic.requests.tolist() == [10, 20, 20, 20, 10]


def test_counters_of_two_instances_are_differenced_before_they_are_added_up(read):
    moments = [START + timedelta(minutes=i) for i in range(4)]
    text = table(
        "time,pod,requests_total", np.repeat(moments, 2), ["a", "b"] * 4, [10, 1000, 20, 1001, 5, 1002, 9, 1003]
    )
    traffic = read(text, unit="counter", sum=True)  # a rises by 10, 5 after its restart, 4; b always by 1
    assert traffic.requests.tolist() == [11, 6, 5]


@cases("end", ["", ' "https://shop.example/" "Mozilla/5.0 (X11; Linux)"'])
def test_the_lines_of_an_access_log_are_counted_by_the_minute(read, end):
    seconds = [0, 10, 59, 61, 190]
    lines = [
        f'10.0.0.{i} - frank [02/Mar/2026:10:0{s // 60}:{s % 60:02} +0100] "GET /a HTTP/1.1" 200 23{end}'
        for i, s in enumerate(seconds)
    ]
    traffic = read("\n".join(lines))
    assert traffic.requests.tolist() == [3, 1, 0, 1] and traffic.start == datetime(2026, 3, 2, 10)
    assert "access log, 5 lines" in traffic.understood[0]
    assert read("\n".join(lines), row_seconds=120).requests.tolist() == [4, 1]


LOG_LINES = {
    "AWS load balancer": "http {m:%Y-%m-%dT%H:%M:%S}.186641Z app/lb/50 10.0.0.1:28 10.0.0.2:80 0.0 0.1 0.0 200 "
    '"GET http://shop.example:80/ HTTP/1.1" "curl/7.46.0" - {m:%Y-%m-%dT%H:%M:%S}.186000Z "forward"',
    "HAProxy": "Mar  2 {m:%H:%M:%S} lb haproxy[14]: 10.0.1.2:33 [{m:%d/%b/%Y:%H:%M:%S}.655] in static/s1 10/0/30/69/9 "
    '200 2750 - - ---- 1/1/1/1/0 0/0 "GET /index.html HTTP/1.1"',
    "Heroku": "{m:%Y-%m-%dT%H:%M:%S}.449+00:00 heroku[router]: at=info method=GET path=/ service=18ms status=200",
    "Envoy": '[{m:%Y-%m-%dT%H:%M:%S}.310Z] "POST /api HTTP/2" 200 - 0 154 226 100 "10.0.35.28" "tcp://10.0.2.1:80"',
    "nginx, ISO": "{m:%Y-%m-%dT%H:%M:%S}+00:00 10.0.0.1 GET /api HTTP/1.1 200 512 0.003",
    "nginx, JSON": '{{"time_local":"{m:%d/%b/%Y:%H:%M:%S} +0000","request":"GET / HTTP/1.1","status":"200"}}',
    "Caddy": '{{"level":"info","ts":{m:%s}.25,"msg":"handled request","request":{{"method":"GET"}},"status":200}}',
    "IIS": "{m:%Y-%m-%d %H:%M:%S} 10.0.0.4 GET /default.aspx - 443 203.0.113.5 200 15",
    "CloudFront": "{m:%Y-%m-%d}\t{m:%H:%M:%S}\tLAX1\t23\t192.0.2.2\tGET\td1.cloudfront.net\t/index.html\t200",
}


def test_the_lines_of_logs_of_many_servers_are_counted(read):
    for name, form in LOG_LINES.items():
        moments = [datetime(2026, 3, 2, 10, s // 60, s % 60, tzinfo=UTC) for s in (0, 10, 59, 61, 190)]
        lines = [form.replace("{m:%s}", f"{m.timestamp():.0f}").format(m=m) for m in moments]
        fields = ["#Version: 1.0", "#Fields: date time cs-method"] if name in ("IIS", "CloudFront") else []
        traffic = read("\n".join([*fields, *lines]))
        assert traffic.requests.tolist() == [3, 1, 0, 1] and traffic.start == datetime(2026, 3, 2, 10), name
    with pytest.raises(ValueError, match="row 2: not a line of an access log"):
        read("\n".join([lines[0].replace("LAX1", '"GET / HTTP/1.1"'), "hello", "hello"]))
    rows = [
        json.dumps({"time": m.isoformat(), "method": "GET", "count": c}) for m, c in zip(MOMENTS, COUNTS, strict=True)
    ]
    assert read("\n".join(rows)).requests.tolist() == COUNTS, "counts of a method are no log"


def test_two_lines_say_how_a_file_was_understood(read):
    first, second = read(READ["repeated rows"], zone="Europe/Berlin").understood
    assert first.endswith("traffic.csv as CSV with commas: requests counts (unit count), timestamp tells the time.")
    assert second == (
        "18 rows every 10800 s from 2026-03-02 00:00:00, clock: Europe/Berlin; 0 gaps filled, 2 repeated rows dropped."
    )


def test_a_row_is_as_long_as_the_user_says_and_a_step_as_long_as_the_service_says(tmp_path):
    path = tmp_path / "steps.csv"
    path.write_text(table("step,requests", range(2880), [2, 4] * 1440))
    traffic = read_traffic(path, 300, how=Reading(row_seconds=60))
    assert traffic.interval == 60 and cut_days(traffic, 300).requests[0, :2].tolist() == [14, 16]
    path.write_text(READ["newest first"])
    with pytest.raises(ValueError, match=r"row_seconds = 60: the rows of .* are 10800 s apart"):
        read_traffic(path, how=Reading(row_seconds=60))


def test_what_rounds_to_nothing_is_refused(read):
    text = table("timestamp,requests", [START + timedelta(hours=i) for i in range(48)], [1, 2] * 24)
    with pytest.raises(ValueError, match=r"in whole requests 72 become 0; choose longer steps"):
        cut_days(read(text), 60)


def test_a_count_far_above_all_others_is_noted(read):
    counts = [10] * 150
    counts[70] = 900_000
    assert (
        "90,000 times the 99th percentile"
        in read(table("time,requests", [START + timedelta(minutes=i) for i in range(150)], counts)).notes[-1]
    )


def test_thousandths_are_read_and_a_counter_that_is_short_by_its_first_row_says_so(read):
    text = table("Time,checkout", MOMENTS, ["580 mreq/s"] * 16)
    assert read(text).requests[0] == pytest.approx(0.58 * 10_800)
    with pytest.raises(ValueError, match="counts no requests"):
        read(table("Time,checkout", MOMENTS, ["580 m/s"] * 16))
    counter = read(table("timestamp,http_requests_total", MOMENTS, np.cumsum(COUNTS).tolist()))
    with pytest.raises(ValueError, match=r"1 whole day .*\(a counter: its first row gives no count\)"):
        cut_days(counter)
