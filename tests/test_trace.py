"""Traces: read strictly, cut into days, split by time, smoothed and scaled where asked."""

import re
from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction

import numpy as np
import pytest
from cases import cases

from autoscaler_env.service import Service
from autoscaler_env.traffic.patterns import day_seeds
from autoscaler_env.traffic.reading import Traffic
from autoscaler_env.traffic.trace import Trace, cut_days

SMALL = Service(steps_per_episode=4, peak_arrivals=100)
GOOD = "step,requests\n" + "".join(f"{i},{10 + i}\n" for i in range(8))


@pytest.fixture
def read(tmp_path):
    """Return a function that writes text or bytes to a file and reads it as a trace."""

    def read_text(content, service=SMALL, **options):
        path = tmp_path / "traffic.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return Trace.from_csv(path, service, **options)

    return read_text


def steps(requests):
    return "step,requests\n" + "".join(f"{i},{count}\n" for i, count in enumerate(requests))


def times(moments):
    return "timestamp,requests\n" + "".join(f"{moment},{5}\n" for moment in moments)


def all_days(trace):
    return np.concatenate([trace.earlier, trace.later])


MALFORMED = {
    "no requests column": ("step,count\n0,1\n", "row 1", "requests"),
    "no clock column": ("time,requests\n0,1\n", "row 1", "timestamp"),
    "no header": ("0,12\n1,13\n", "row 1", "requests"),
    "negative": (GOOD.replace("13", "-13"), "row 5", "'-13'"),
    "nan": (GOOD.replace("13", "nan"), "row 5", "'nan'"),
    "infinite": (GOOD.replace("13", "inf"), "row 5", "'inf'"),
    "minus infinite": (GOOD.replace("13", "-inf"), "row 5", "'-inf'"),
    "too large for a float": (GOOD.replace("13", "1e999"), "row 5", "'1e999'"),
    "not a number": (GOOD.replace("13", "many"), "row 5", "'many'"),
    "empty cell": (GOOD.replace("3,13", "3,"), "row 5", "''"),
    "step not a number": (GOOD.replace("3,13", "x,13"), "row 5", "'x'"),
    "step not whole": (GOOD.replace("3,13", "3.5,13"), "row 5", "'3.5'"),
    "step nan": (GOOD.replace("3,13", "nan,13"), "row 5", "'nan'"),
    "gap in steps": (GOOD.replace("3,13\n", ""), "row 5", "4"),
    "repeated step": (GOOD.replace("3,13", "2,13"), "row 5", "2"),
    "steps backwards": (GOOD.replace("3,13", "1,13"), "row 5", "1"),
    "too few fields": (GOOD.replace("3,13", "3"), "row 5", "fields"),
    "too many fields": (GOOD.replace("3,13", "3,13,1"), "row 5", "fields"),
    "blank line": (GOOD.replace("3,13\n", "\n3,13\n"), "row 5", "fields"),
    "semicolons": (GOOD.replace(",", ";"), "row 1", "requests"),
    "time not a time": (times(["2024-01-01T00:00", "noon"]), "row 3", "'noon'"),
    "gap in time": (times(["2024-01-01T00:00", "2024-01-01T00:10"]), "row 3", "00:10"),
    "repeated time": (times(["2024-01-01T00:00", "2024-01-01T00:00"]), "row 3", "00:00"),
    "wrong step length": (times(["2024-01-01T00:00", "2024-01-01T00:01"]), "row 3", "300 s"),
}


@cases("case", MALFORMED)
def test_malformed_row_is_refused_in_one_line_with_file_row_and_reason(read, case):
    content, row, reason = MALFORMED[case]
    with pytest.raises(ValueError, match=r"traffic\.csv") as caught:
        read(content)
    message = str(caught.value)
    assert "\n" not in message and row in message and reason in message


UNREADABLE = {
    "empty": ("", "empty"),
    "header only": ("step,requests\n", "0 rows"),
    "one row": ("step,requests\n0,1\n", "1 rows"),
    "one step short of two days": (steps(range(7)), "7 rows"),
    "not UTF-8": (b"step,requests\n0,\xff\n", "UTF-8"),
    "UTF-16": (GOOD.encode("utf-16"), "UTF-8"),
    "nothing but zeros": (steps([0] * 8), "99th percentile"),
}


@cases("case", UNREADABLE)
def test_unusable_file_is_refused_in_one_line_with_file_and_reason(read, case):
    content, reason = UNREADABLE[case]
    with pytest.raises(ValueError, match=r"traffic\.csv") as caught:
        read(content, rescale=True)
    assert "\n" not in str(caught.value) and reason in str(caught.value)


@cases("name", ["nowhere.csv", "."])
def test_a_missing_file_and_a_folder_are_refused_by_name(tmp_path, name):
    with pytest.raises(ValueError, match=re.escape(str(tmp_path / name))):
        Trace.from_csv(tmp_path / name, SMALL)


@cases("count", ["1e30", "1e300", "9223372036854775808"])
def test_counts_beyond_all_integers_are_refused(read, count):
    with pytest.raises(ValueError, match=r"traffic\.csv"):
        read(GOOD.replace("13", count))


@cases("count", ["1e30", "1e300", "9223372036854775808"])
def test_counts_beyond_all_integers_can_be_scaled_down(read, count):
    days = all_days(read(GOOD.replace("13", count), rescale=True))
    assert days.ravel().tolist() == [0, 0, 0, 108, 0, 0, 0, 0]


@cases("smooth", [0, -3])
def test_smoothing_over_less_than_a_step_is_refused(read, smooth):
    with pytest.raises(ValueError, match=f"smooth = {smooth}.*at least 1"):
        read(GOOD, smooth=smooth)


def test_smoothing_over_half_steps_is_refused(read):
    with pytest.raises((ValueError, TypeError)):
        read(GOOD, smooth=2.5)


def test_a_step_file_keeps_its_counts_in_order(read):
    assert all_days(read(GOOD)).tolist() == [[10, 11, 12, 13], [14, 15, 16, 17]]


def test_steps_may_start_anywhere(read):
    shifted = "step,requests\n" + "".join(f"{i + 500},{i}\n" for i in range(8))
    assert all_days(read(shifted)).ravel().tolist() == list(range(8))


def test_columns_may_come_in_any_order_with_others_between(read):
    content = "requests,host,step\r\n" + "".join(f'{i},"a, b",{i}\r\n' for i in range(8))
    assert all_days(read(content)).ravel().tolist() == list(range(8))


def test_a_byte_order_mark_and_capitals_in_the_header_do_no_harm(read):
    content = b"\xef\xbb\xbf" + GOOD.replace("step,requests", " Step , Requests").encode()
    assert all_days(read(content)).shape == (2, 4)


@cases("form", ["{:%Y-%m-%d %H:%M:%S}", "{:%Y-%m-%dT%H:%M}", "{:%Y-%m-%dT%H:%M:%SZ}"])
def test_timestamps_of_the_usual_forms_are_read(read, form):
    start = datetime(2024, 2, 28, 23, 50)
    moments = [form.format(start + i * timedelta(minutes=5)) for i in range(8)]
    assert all_days(read(times(moments))).tolist() == [[5] * 4] * 2


def test_timestamps_with_offsets_are_compared_in_universal_time(read):
    start = datetime(2024, 3, 31, 0, 45, tzinfo=UTC)  # clocks in Berlin jump from 02:00 to 03:00 at 01:00 UTC
    moments = [start + i * timedelta(minutes=5) for i in range(8)]
    berlin = [m.astimezone(timezone(timedelta(hours=1 if m.hour == 0 else 2))).isoformat() for m in moments]
    assert all_days(read(times(berlin))).shape == (2, 4)


@cases("seconds", [300, 60, 7, 420])
@cases("offset", [0, 1, 7, 123])
def test_timestamps_need_not_fall_on_round_steps(read, seconds, offset):
    start = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=offset)
    moments = [(start + i * timedelta(seconds=seconds)).isoformat() for i in range(400)]
    trace = read(times(moments), Service(steps_per_episode=4, step_seconds=seconds))
    assert all_days(trace).shape == (100, 4)


def test_the_step_between_timestamps_is_compared_exactly(read):
    # here the seconds since 1970 pass 2**24 steps, so a quotient in floating point changes its precision
    start = datetime(2001, 11, 24, 20, 13, 2, tzinfo=UTC)
    moments = [(start + i * timedelta(minutes=1)).isoformat() for i in range(8)]
    assert all_days(read(times(moments), Service(steps_per_episode=4, step_seconds=60))).shape == (2, 4)


def test_partial_days_are_dropped_at_the_end(read):
    assert all_days(read(steps(range(11)))).tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_half_requests_are_rounded_to_whole_ones(read):
    days = all_days(read(steps([0.4, 0.6, 1.2, 7, 1, 1, 1, 1])))
    assert days.dtype == np.int64 and days[0].tolist() == [0, 1, 1, 7]


def test_smoothing_is_a_centred_average_of_the_steps_that_exist(read):
    # (0+6)/2, (0+6+12)/3, (6+12+6)/3, (12+6+0)/3, (6+0+6)/3, ..., (6+12)/2 by hand
    days = all_days(read(steps([0, 6, 12, 6, 0, 6, 12, 6]), smooth=3))
    assert days.ravel().tolist() == [3, 6, 8, 6, 4, 6, 8, 9]


def test_smoothing_over_five_steps_by_hand(read):
    days = all_days(read(steps([0, 0, 60, 0, 0, 0, 0, 60]), smooth=5))
    assert days.ravel().tolist() == [20, 15, 12, 12, 12, 12, 15, 20]


def test_smoothing_over_one_step_changes_nothing(read):
    assert np.array_equal(all_days(read(GOOD, smooth=1)), all_days(read(GOOD)))


@cases("smooth", [9, 12, 25, 1000])
def test_smoothing_never_invents_steps(read, smooth):
    try:
        trace = read(GOOD, smooth=smooth)
    except ValueError:
        return  # refusing is as good
    assert all_days(trace).shape == (2, 4)


def test_a_trace_is_scaled_so_that_its_99th_percentile_is_the_peak(read):
    # of 0, 1, ..., 100 the 99th percentile is 99; the peak is 198, so everything doubles
    service = Service(steps_per_episode=25, peak_arrivals=198)
    for scaled in (read(steps(range(101)), service, rescale=True), read(steps(range(101)), service, rescale=198)):
        assert all_days(scaled).ravel().tolist() == list(range(0, 200, 2))
        assert scaled.notes == ("Scaled by 2, as asked, so that its 99th percentile is 198 requests a step.",)


def test_scaling_happens_after_smoothing(read):
    trace = read(steps([0, 3] * 8), Service(steps_per_episode=8, peak_arrivals=150), smooth=2, rescale=True)
    assert np.percentile(all_days(trace), 99) == 150


def test_nothing_is_scaled_unless_asked(read):
    # 300 requests a step stay 300, though the service's peak is 4,350
    trace = read(steps([300] * 8), Service(steps_per_episode=4))
    assert np.all(all_days(trace) == 300) and trace.notes == ()


@cases("rescale", [0, -1, 2**31, float("nan")])
def test_a_peak_that_cannot_be_scaled_to_is_refused(read, rescale):
    with pytest.raises(ValueError, match=rf"rescale = {rescale}: must be above 0 and at most 1073741824 requests"):
        read(GOOD, rescale=rescale)


@cases("days", range(2, 41))
def test_sixty_percent_of_the_days_come_before_the_split(days):
    trace = Trace("toy", np.repeat(np.arange(days), 4).reshape(days, 4))
    earlier = max(1, int(Fraction(6, 10) * days))
    assert trace.earlier[:, 0].tolist() == list(range(earlier))
    assert trace.later[:, 0].tolist() == list(range(earlier, days))


@cases("days", [0, 1])
def test_a_trace_needs_a_day_to_train_on_and_one_to_evaluate_on(days):
    with pytest.raises(ValueError, match=r"toy.*at least 2"):
        Trace("toy", np.zeros((days, 4), dtype=np.int64))


def test_evaluation_days_come_each_once_and_in_order():
    trace = Trace("toy", np.repeat(np.arange(10), 4).reshape(10, 4))
    assert trace.evaluation_days(1000)[:, 0].tolist() == [6, 7, 8, 9]
    assert trace.evaluation_days(2)[:, 0].tolist() == [6, 7]


@cases("purpose", ["training", "calibration", "selection"])
def test_days_to_learn_from_are_the_earlier_ones(purpose):
    trace = Trace("toy", np.repeat(np.arange(10), 4).reshape(10, 4))
    assert set(trace.draw(day_seeds(purpose, 200))[:, 0]) == set(range(6))


def test_evaluation_seeds_draw_the_later_days():
    trace = Trace("toy", np.repeat(np.arange(10), 4).reshape(10, 4))
    assert trace.draw(day_seeds("evaluation", 8))[:, 0].tolist() == [6, 7, 8, 9, 6, 7, 8, 9]


def test_a_trace_draws_equal_days_for_equal_seeds_alone_or_in_company(read):
    trace, seeds = read(steps(range(40))), day_seeds("training", 9)
    alone = np.concatenate([trace.draw(seeds[i : i + 1]) for i in range(9)])
    assert np.array_equal(trace.draw(seeds), alone)


def test_a_trace_is_named_after_its_file(read):
    assert read(GOOD).name == "traffic"


# --- days cut at midnight --------------------------------------------------------------------------------------------

MONDAY = datetime(2026, 5, 4)


def traffic(requests, interval=3600, start=MONDAY):
    return Traffic("traffic.csv", interval, start, np.array(requests, dtype=float), ())


def test_days_are_cut_at_midnight():
    trace = cut_days(traffic(range(60), start=MONDAY + timedelta(hours=18)))
    assert trace.labels == ("2026-05-05", "2026-05-06") and trace.requests[0].tolist() == list(range(6, 30))
    assert trace.weekdays == (1, 2) and trace.name == "traffic" and trace.step_seconds == 3600


def test_days_with_long_gaps_are_left_out_and_named():
    requests = np.arange(96.0)
    requests[27:31] = np.nan
    trace = cut_days(traffic(requests))
    assert trace.labels == ("2026-05-04", "2026-05-06", "2026-05-07")
    assert trace.notes == ("1 day left out for gaps: 2026-05-05.",)


def test_counts_are_added_up_to_longer_steps():
    trace = cut_days(traffic([1, 2, 3, 4] * 48, 900), 3600)
    assert trace.step_seconds == 3600 and (trace.requests == 10).all() and "added up" in trace.notes[0]


def test_counts_are_spread_over_shorter_steps():
    trace = cut_days(traffic([40] * 48), 900)
    assert trace.requests.shape == (2, 96) and (trace.requests == 10).all() and "spread evenly" in trace.notes[0]


@cases(("interval", "step", "reason"), [(3600, 7, "a day must be"), (600, 900, "a multiple"), (900, 600, "divide")])
def test_a_step_that_does_not_fit_is_refused(interval, step, reason):
    with pytest.raises(ValueError, match=reason):
        cut_days(traffic([1] * 400, interval), step)


def test_counts_are_smoothed_and_scaled_only_where_asked():
    assert cut_days(traffic(range(48))).requests.reshape(-1).tolist() == list(range(48))
    assert np.percentile(cut_days(traffic(range(48)), rescale=4700).requests, 99) == pytest.approx(4700, rel=0.01)
    assert cut_days(traffic([0, 6, 12, 6] * 12), smooth=3).requests[0, :4].tolist() == [3, 6, 8, 6]


def test_smoothing_leaves_gaps_and_averages_beside_them():
    requests = np.arange(72.0)
    requests[30:34] = np.nan
    trace = cut_days(traffic(requests), smooth=3)
    assert trace.labels == ("2026-05-04", "2026-05-06") and trace.requests[0, 23] == round((22 + 23 + 24) / 3)


def test_fewer_than_two_whole_days_are_refused_in_one_line():
    with pytest.raises(ValueError, match=r"^traffic\.csv: 1 whole day of 24 steps [^\n]*$"):
        cut_days(traffic(range(40)))
