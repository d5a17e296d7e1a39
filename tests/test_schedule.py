"""A schedule around a rule: the fewest instances by time of day and weekday."""

import numpy as np
import pytest
from cases import cases

from autoscaler_env.evaluation.simulation import simulate, simulate_through
from autoscaler_env.policies.kubernetes import HpaDemand
from autoscaler_env.policies.rules import Static, TargetTracking
from autoscaler_env.policies.schedule import Scheduled, read_schedule, weekdays_of
from autoscaler_env.service import Service
from autoscaler_env.traffic.trace import Trace

HOURS = Service(step_seconds=3600, steps_per_episode=24, initial_instances=4, fleet_changes=tuple(range(-99, 100)))


def entry(minimum, first, last, days=None):
    return {"minimum": minimum, "from": first, "to": last} | ({"days": days} if days else {})


def fleets(rule, days, *entries, weekdays=None):
    """Return the fleet in each hour of days in a row."""
    scheduled = Scheduled(rule, HOURS, read_schedule(entries), weekdays)
    return simulate_through(scheduled, days, HOURS).fleet[0].tolist()


def test_the_fleet_is_never_below_the_minimum_of_the_hour_and_the_rule_goes_on():
    quiet = np.full((1, 24), 1)
    rule = TargetTracking(HOURS, 1.0, 2.0)  # wants 3
    assert fleets(rule, quiet, entry(10, "08:00", "20:00")) == [3] * 8 + [10] * 12 + [3] * 4
    # two entries: the larger counts, also past midnight
    both = entry(10, "08:00", "20:00"), entry(6, "18:00", "02:00")
    assert fleets(rule, quiet, *both) == [6] * 2 + [3] * 6 + [10] * 12 + [6] * 4
    # a rule without a fleet of its own is raised once, and holds
    assert fleets(Static(HOURS), quiet, entry(10, "08:00", "20:00")) == [4] * 8 + [10] * 16


def test_a_rule_that_wants_more_gets_more():
    busy = np.full((1, 24), 87 * 12 * 40)
    raised = fleets(HpaDemand(HOURS, 0.8), busy, entry(10, "08:00", "20:00"))
    assert raised == simulate_through(HpaDemand(HOURS, 0.8), busy, HOURS).fleet[0].tolist() and min(raised) > 10


def test_weekdays_come_from_the_dates_of_the_traffic():
    days = np.arange(1, 9)[:, np.newaxis] * np.ones((8, 24), dtype=np.int64)
    trace = Trace("shop", days, 3600, labels=[f"2026-11-{day:02}" for day in range(20, 28)])  # a Friday and on
    office = entry(10, "08:00", "20:00", "mon-fri"), entry(5, "00:00", "24:00", "sat, sun")
    hours = np.array(fleets(TargetTracking(HOURS, 1.0, 2.0), trace.later, *office, weekdays=weekdays_of(trace)))
    noons, nights = hours.reshape(-1, 24)[:, 12], hours.reshape(-1, 24)[:, 3]
    weekdays = [weekdays_of(trace)[day.tobytes()] for day in trace.later]
    assert noons.tolist() == [10 if day < 5 else 5 for day in weekdays]
    assert nights.tolist() == [3 if day < 5 else 5 for day in weekdays]


def test_days_side_by_side_have_their_own_weekdays():
    days = np.arange(1, 3)[:, np.newaxis] * np.ones((2, 24), dtype=np.int64)
    known = {days[0].tobytes(): 4, days[1].tobytes(): 5}
    rule = Scheduled(TargetTracking(HOURS, 1.0, 2.0), HOURS, read_schedule([entry(9, "00:00", "24:00", "fri")]), known)
    assert simulate(rule, days, HOURS).fleet[:, 12].tolist() == [9, 3]


@cases(
    ("tables", "message"),
    [
        ("mon", "schedule = 'mon': must be a list of tables"),
        ([], "must be a list of tables"),
        ([{"from": "08:00", "to": "20:00"}], "an entry has from, to and minimum, and may have days"),
        ([entry(1, "8", "20:00")], 'from = \'8\': must be a time from "00:00" to "24:00"'),
        ([entry(1, "08:00", "24:01")], "to = '24:01': must be a time"),
        ([entry(1, "08:00", "20:00", "weekdays")], "days = 'weekdays': must be weekdays such as"),
        ([entry(1.5, "08:00", "20:00")], "minimum = 1.5: must be an integer of at least 0"),
    ],
)
def test_a_bad_schedule_costs_one_clear_line(tables, message):
    with pytest.raises(ValueError, match=message) as caught:
        read_schedule(tables)
    assert "\n" not in str(caught.value)


def test_a_weekday_that_is_needed_and_unknown_is_refused():
    with pytest.raises(ValueError, match="schedule: its days differ, and the weekday of a day is unknown"):
        fleets(Static(HOURS), np.ones((1, 24), dtype=np.int64), entry(9, "08:00", "20:00", "sat"))
    with pytest.raises(ValueError, match="minimum = 101: must be at most max_instances = 100"):
        fleets(Static(HOURS), np.ones((1, 24), dtype=np.int64), entry(101, "08:00", "20:00"))
