"""Lenient reading of request counts: any CSV, its interval recognised; an error is one line with row and reason."""

import io
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from cases import cases

from autoscaler_env.traffic.columns import Reading
from autoscaler_env.traffic.reading import read_traffic
from autoscaler_env.traffic.trace import cut_days

START = datetime(2026, 5, 4)  # a Monday


@pytest.fixture
def read(tmp_path):
    """Return a function that writes text to a file and reads it leniently, as counts: many of them only rise here."""

    def read_text(text, unit="count", zone=None, **options):
        path = tmp_path / "traffic.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_traffic(path, how=Reading(unit=unit, zone=zone), **options)

    return read_text


def rows(moments, counts=None, heading="timestamp,requests"):
    counts = range(len(moments)) if counts is None else counts
    return "\n".join([heading, *(f"{moment},{count}" for moment, count in zip(moments, counts, strict=True))]) + "\n"


def every(seconds, count, start=START):
    return [start + timedelta(seconds=seconds * i) for i in range(count)]


@cases("seconds", [10, 60, 300, 900, 3600])
def test_the_interval_is_recognised(read, seconds):
    traffic = read(rows(every(seconds, 50)))
    assert traffic.interval == seconds and traffic.start == START and traffic.notes == ()
    assert traffic.requests.tolist() == list(range(50))


SAME = {
    "iso with a zone": rows([f"{moment.isoformat()}Z" for moment in every(300, 4)]),
    "cloudwatch": rows([f"{moment} +0000" for moment in every(300, 4)], heading="Timestamp,Sum"),
    "slashes": rows([f"{moment:%Y/%m/%d %H:%M}" for moment in every(300, 4)]),
    "unix seconds": rows([1_777_852_800 + 300 * i for i in range(4)], heading="time,value"),
    "unix milliseconds": rows([1000 * (1_777_852_800 + 300 * i) for i in range(4)], heading="Time,Value"),
    "semicolons": rows(every(300, 4)).replace(",", ";"),
    "tabs and a third column": "\n".join(f"{m}\t{i}\tweb" for i, m in enumerate(["time", *every(300, 4)]))
    .replace("time\t0\tweb", "time\tcount\thost")
    .replace("\t1\t", "\t0\t")
    .replace("\t2\t", "\t1\t")
    .replace("\t3\t", "\t2\t")
    .replace("\t4\t", "\t3\t"),
    "no heading": rows(every(300, 4)).partition("\n")[2],
    "byte order mark": "\ufeff" + rows(every(300, 4)),
    "windows line ends": rows(every(300, 4)).replace("\n", "\r\n"),
}


@cases("text", SAME.values())
def test_exports_of_many_programs_are_read_alike(read, text):
    traffic = read(text)
    assert (traffic.interval, traffic.requests.tolist()) == (300, [0, 1, 2, 3])
    assert traffic.start == START


def test_steps_need_a_length(read):
    assert read("step,requests\n0,5\n1,6\n", step_seconds=60).interval == 60
    assert read("5\n6\n", step_seconds=60).requests.tolist() == [5, 6]
    with pytest.raises(ValueError, match="step_seconds"):
        read("step,requests\n0,5\n1,6\n")


def test_standard_input_is_read(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(rows(every(60, 3)).encode())))
    assert read_traffic("-").requests.tolist() == [0, 1, 2]


def test_short_gaps_are_filled_in_a_straight_line_with_a_note(read):
    moments, counts = every(300, 6), [0, 10, 20, 30, 40, 50]
    traffic = read(rows(moments[:2] + moments[4:], counts[:2] + counts[4:]))
    assert traffic.requests.tolist() == counts and "1 gap of at most 60 min (2 intervals in all)" in traffic.notes[0]


def test_a_missing_count_is_a_gap(read):
    assert read(rows(every(300, 3), [10, "NaN", 30])).requests.tolist() == [10, 20, 30]


def berlin(first, days):
    """Return the local time in Berlin, hour by hour, through the days from a date on, and its offsets from UTC."""
    change = {3: datetime(2026, 3, 29, 1), 10: datetime(2026, 10, 25, 1)}[first.month]  # UTC
    before, after = {3: (1, 2), 10: (2, 1)}[first.month]
    instants = [first - timedelta(hours=before) + timedelta(hours=i) for i in range(24 * days)]
    return [
        (utc + timedelta(hours=before if utc < change else after), before if utc < change else after)
        for utc in instants
    ]


@cases(("month", "day", "way"), [(3, 28, "forward"), (10, 24, "back")])
def test_every_day_begins_at_midnight_through_a_change_of_the_clock_of_a_named_zone(read, month, day, way):
    clock = berlin(datetime(2026, month, day), 3)
    plain = read(rows([local for local, _ in clock]), zone="Europe/Berlin")
    texts = [local.replace(tzinfo=timezone(timedelta(hours=offset))).isoformat() for local, offset in clock]
    utc = [local - timedelta(hours=offset) for local, offset in clock]
    unix = read(rows([int(moment.replace(tzinfo=UTC).timestamp()) for moment in utc]), zone="Europe/Berlin")
    for traffic in (plain, read(rows(texts)), unix):
        # hours 0, 1, ... by the clock: in spring hour 26 does not exist, and in autumn it comes twice
        expected = [*range(26), 25.5, *range(26, 72)] if way == "forward" else [*range(26), 26.5, *range(28, 72)]
        assert traffic.requests.tolist() == expected and traffic.start == datetime(2026, month, day)
        assert f"clocks go {way} by 1 h" in traffic.notes[-1]


def test_without_a_zone_a_missing_hour_is_a_gap_and_midnight_stays_midnight(read):
    # hours miss on Saturday 02:00 and Sunday 01:00 of one weekend in September: no clock does that
    moments = [moment for i, moment in enumerate(every(3600, 72, datetime(2026, 9, 11))) if i not in (26, 49)]
    traffic = read(rows(moments, [moment.hour for moment in moments]))
    assert traffic.requests.tolist() == [*range(24)] * 3 and traffic.start == datetime(2026, 9, 11)
    assert len(traffic.notes) == 1 and "2 gaps" in traffic.notes[0]


def test_an_hour_that_the_clocks_of_a_zone_do_not_show_doubts_the_zone(read):
    with pytest.raises(ValueError, match="is Europe/Berlin the zone of the file"):
        read(rows(every(3600, 72, datetime(2026, 3, 28))), zone="Europe/Berlin")


def test_an_hour_that_comes_twice_asks_for_the_zone(read):
    clock = [local for local, _ in berlin(datetime(2026, 10, 24), 3)]
    with pytest.raises(ValueError, match="--zone Europe/Berlin"):
        read(rows(clock))


def test_a_missing_hour_by_day_is_a_gap_and_no_change_of_the_clock(read):
    moments = every(300, 288)
    traffic = read(rows(moments[:120] + moments[132:]))
    assert len(traffic.requests) == 288 and "1 gap" in traffic.notes[0]


def test_finer_rows_are_added_up_to_the_coarser_ones(read):
    fine, coarse = every(60, 100), every(300, 40, START + timedelta(seconds=6000))
    traffic = read(rows(fine + coarse, [1] * 100 + [5] * 40))
    assert traffic.interval == 300 and traffic.requests.tolist() == [5] * 60
    assert "every 60 s and every 300 s" in traffic.notes[0]


def test_rows_at_slightly_irregular_times_are_read(read):
    jitter = np.random.default_rng(0).integers(-3, 4, 200)
    moments = [moment + timedelta(seconds=int(off)) for moment, off in zip(every(300, 200), jitter, strict=True)]
    traffic = read(rows(moments))
    assert traffic.interval == 300 and traffic.requests.tolist() == list(range(200)) and traffic.notes == ()


GOOD = rows(every(300, 5))
LONG = rows(every(300, 8))
MALFORMED = {
    "empty": ("", "empty"),
    "heading alone": ("timestamp,requests\n", "no rows"),
    "one row": (rows(every(300, 1)), "row 2"),
    "negative": (GOOD.replace(",3\n", ",-3\n"), "row 5: requests '-3'"),
    "not a number": (GOOD.replace(",3\n", ",many\n"), "row 5: requests 'many' is not a number"),
    "infinite": (GOOD.replace(",3\n", ",inf\n"), "row 5: requests 'inf'"),
    "no time": (GOOD.replace("2026-05-04 00:15:00", "noon"), "row 5: 'noon'"),
    "between": (LONG.replace("00:15:00", "00:17:00"), "row 5: 420 s after the row before, while most rows are 300 s"),
    "out of place": (LONG.replace("00:15:00", "00:07:00"), "row 5: 120 s after the row before, while most rows are"),
    "twice": (GOOD.replace("00:15:00", "00:10:00"), "row 5: the same time as another row, with other numbers"),
    "mixed": (GOOD.replace("2026-05-04 00:15:00", "3"), "row 5: '3' is a step"),
    "ragged": (GOOD.replace(",3\n", "\n"), "row 5: 1 fields; the first row has 2"),
    "which column": ("timestamp,web,api\n2026-05-04,1,2\n", "row 1: the columns are timestamp, web, api"),
    "no count at all": (rows(every(300, 2), ["", ""]), "no row has a count"),
    "not text": (b"timestamp,requests\n\xff\xfe,1\n", "row 2: not UTF-8 text"),
    "zero bytes": ("timestamp,requests\n2026-05-04,1\n\0\0\n", "row 3: not text"),
    "a time before Unix time": ("time,requests\n-1000000000000,1\n-999999999700,2\n", "row 2: '-1000000000000'"),
    "a typing error in the year": (GOOD.replace("2026-05-04 00:20", "9026-05-04 00:20"), "row 6"),
}


@cases(("text", "says"), MALFORMED.values())
def test_bad_input_is_refused_in_one_line_with_file_row_and_reason(read, text, says):
    with pytest.raises(ValueError) as error:
        read(text)
    assert "traffic.csv" in str(error.value) and says in str(error.value) and "\n" not in str(error.value)


def test_a_missing_file_is_refused_in_one_line():
    with pytest.raises(ValueError, match=r"nowhere\.csv: No such file"):
        read_traffic("nowhere.csv")


def test_strict_reading_needs_the_length_of_a_step(read):
    with pytest.raises(ValueError, match="step_seconds is needed"):
        read("step,requests\n0,5\n1,6\n", strict=True)


def test_strict_reading_refuses_what_lenient_reading_repairs(read):
    for text in (GOOD.replace(",3\n", ",\n"), GOOD.replace("2026-05-04 00:15:00,3\n", ""), GOOD.replace(",", ";")):
        assert len(read(text).requests) == 5
        with pytest.raises(ValueError, match=r"traffic\.csv, row \d"):
            read(text, step_seconds=300, strict=True)
    strict, lenient = read(GOOD, step_seconds=300, strict=True), read(GOOD)
    assert strict.requests.tolist() == lenient.requests.tolist() and strict.start == lenient.start


@cases("form", ["20260504T00{:02}", "2026/05/04 00:{:02} UTC", "2026-05-04 00:{:02}"])
def test_both_ways_of_reading_know_the_same_times(read, form):
    times = [form.format(minute) for minute in (0, 5, 10)]
    for strict in (False, True):
        assert read(rows(times), step_seconds=300, strict=strict).start == START


def test_rows_of_0_between_high_ones_are_doubted_where_0_is_rare(read):
    counts = np.full(3 * 288, 900)
    counts[400:404] = 0
    moments = every(300, 864, datetime(2026, 9, 1))
    traffic = read(rows(moments, counts))
    doubt = "4 rows of 0 from 2026-09-02 09:20, between rows of 900 and 900: if the meter was down, leave them empty."
    assert traffic.doubts == (doubt,) and doubt in traffic.notes and cut_days(traffic).doubts == (doubt,)
    counts[600:640] = 0
    counts[650:660] = 0
    assert read(rows(moments, counts)).doubts == (), "0 is not rare here"


def test_a_day_of_0_and_a_lone_peak_are_doubted_but_no_quiet_night(read):
    moments, counts = every(300, 4 * 288, datetime(2026, 9, 1)), np.full(4 * 288, 900)
    counts.reshape(4, 288)[:, :80] = 0
    assert read(rows(moments, counts)).doubts == (), "every night is quiet"
    counts[500] = 4600
    counts[501] = 2000
    counts[864:] = 0
    peak, zeros = read(rows(moments, counts)).doubts
    assert peak == "The highest count, 4,600, is 5 times the 99th percentile: check it."
    assert "All counts are 0 for 17.3 h from 2026-09-04 06:40, where other days have 900 on average" in zeros
    counts[500:503] = 4600
    assert not any("highest" in doubt for doubt in read(rows(moments, counts)).doubts), "a peak that lasts"
