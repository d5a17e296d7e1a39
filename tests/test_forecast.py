"""The forecast from the days before: by hand arithmetic, on traffic that repeats itself, and blind to the day."""

import numpy as np
import pytest
from cases import cases

from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.policies.base import Policy
from autoscaler_env.policies.forecast import Forecast
from autoscaler_env.policies.registry import find_policy
from autoscaler_env.policies.rules import TargetTracking
from autoscaler_env.service import Service
from autoscaler_env.traffic.trace import Trace

SMALL = Service(
    steps_per_episode=6,
    capacity_per_instance=10,
    peak_arrivals=1000,
    queue_limit=1000,
    step_seconds=1800,
    fleet_changes=tuple(range(-100, 101)),
)
"""An hour is two steps; the actuator sets any fleet, so that the fleet is what was wanted."""

SHAPE = np.array([100, 200, 300, 400, 300, 200])


def fleet(days, service=SMALL, played=-1, **options):
    """Return the fleet through one day of a trace, by default its last."""
    policy = Forecast(service, Trace("traffic", np.array(days)), **{"reserve": 0} | options)
    return simulate(policy, np.array(days)[[played]], service).fleet[0].tolist()


def test_the_next_step_is_forecast_from_the_day_before():
    # an order is ready a step later: of this step and the next the larger counts, in instances of 10
    assert fleet([SHAPE, SHAPE]) == [20, 30, 40, 40, 30, 20]


def test_capacity_is_booted_in_time():
    service = Service(**SMALL.as_dict() | {"boot_steps": 2, "fleet_changes": SMALL.fleet_changes})
    assert fleet([SHAPE, SHAPE], service) == [30, 40, 40, 40, 30, 20]


def test_the_day_before_and_the_week_before_count_alike():
    # days 0 to 6 and then the day played: day 6 is as SHAPE, day 0 three times as high, the others are not looked at
    days = [3 * SHAPE, *[0 * SHAPE] * 5, SHAPE, 2 * SHAPE]
    assert fleet(days) == [40, 60, 80, 80, 60, 40]


def test_today_s_level_scales_the_forecast():
    # twice as much as yesterday from the first step on
    assert fleet([SHAPE, 2 * SHAPE]) == [40, 60, 80, 80, 60, 40]


def test_the_level_is_that_of_the_last_hour():
    # Step 1 has as much as yesterday, steps 2 and 3 have half: then the last two steps say (200 + 150) / (200 + 300)
    # of 400, and (150 + 200) / (300 + 400) of 400
    today = np.array([100, 200, 150, 200, 150, 100])
    assert fleet([SHAPE, today])[3:5] == [28, 15]


def test_what_waits_is_added():
    # of the first 500, 25 instances serve 250; the rest waits: yesterday's 200 and 300, five times as high, plus 250
    days = [SHAPE, np.array([500, 0, 0, 0, 0, 0])]
    policy = Forecast(SMALL, Trace("traffic", np.array(days)), reserve=0)
    day = simulate(policy, np.array(days)[[1]], SMALL)
    assert day.queue[0, 0] == 250 and day.fleet[0, 1] == 100


@cases(("options", "first"), [({"target": 0.8}, 25), ({"reserve": 3}, 23), ({"target": 0.79}, 26)])
def test_target_and_reserve_by_hand(options, first):
    assert fleet([SHAPE, SHAPE], **options)[0] == first


def test_steps_without_traffic_the_day_before_are_no_level():
    # nothing came yesterday until step 3, so yesterday's 400 stand; 30, 60 and 80 wait by then, beyond what 2, 2 and 3
    # instances serve
    yesterday = np.array([0, 0, 0, 400, 300, 200])
    assert fleet([yesterday, np.array([50, 50, 50, 400, 300, 200])])[:4] == [2, 3, 46, 48]


def test_it_sees_no_more_of_the_day_than_has_passed():
    rng = np.random.default_rng(0)
    history = rng.integers(0, 900, (8, 6))
    for passed in range(1, 6):
        today, other = rng.integers(0, 900, (2, 6))
        other[:passed] = today[:passed]
        fleets = [fleet([*history, day]) for day in (today, other)]
        assert fleets[0][: passed + 1] == fleets[1][: passed + 1]


def test_any_days_of_the_trace_may_be_played_together():
    days = np.random.default_rng(1).integers(0, 900, (12, 6))
    trace = Trace("traffic", days)
    together = simulate(Forecast(SMALL, trace), days[[9, 3, 11]], SMALL).actions
    alone = [simulate(Forecast(SMALL, trace), days[[date]], SMALL).actions[0] for date in (9, 3, 11)]
    assert np.array_equal(together, alone)


def test_where_days_repeat_themselves_and_boots_are_slow_it_beats_target_tracking():
    service = Service(boot_steps=6)
    shape = 2175 * (1 - np.cos(2 * np.pi * np.arange(288) / 288))
    days = np.rint(np.outer(np.random.default_rng(2).uniform(0.5, 1, 20), shape)).astype(int)
    trace = Trace("traffic", days)
    forecast, tracking = (
        simulate(policy, trace.evaluation_days(99), service).cost.sum(axis=1)
        for policy in (Forecast(service, trace), TargetTracking(service))
    )
    assert np.all(forecast < tracking)


def test_it_is_found_by_its_name_where_there_is_a_trace():
    policy = find_policy("forecast", SMALL, workload=Trace("traffic", np.array([SHAPE, SHAPE])))
    assert isinstance(policy, Policy) and isinstance(policy, Forecast) and policy.name == "forecast"


@cases("workload", ["MIXED", "STEADY"])
def test_a_pattern_has_no_history(workload):
    with pytest.raises(ValueError, match=r"^policy = 'forecast': needs the days before .*--trace FILE.csv.*$"):
        find_policy("forecast", workload=workload)


@cases(("day", "reason"), [(SHAPE, "the first of its days"), (9 * SHAPE, "none of its days")])
def test_days_without_history_are_refused_in_a_line(day, reason):
    trace = Trace("traffic", np.array([SHAPE, 2 * SHAPE]))
    with pytest.raises(ValueError, match=f"^forecast: day 1 is {reason} in traffic; .*$"):
        Forecast(SMALL, trace).reset(np.array([2 * SHAPE, day]))


@cases("options", [{"target": 0}, {"reserve": -1}, {"reserve": float("nan")}])
def test_arguments_that_make_no_sense_are_refused(options):
    with pytest.raises(ValueError, match=r"target = 0|reserve = "):
        Forecast(SMALL, Trace("traffic", np.array([SHAPE, SHAPE])), **options)
