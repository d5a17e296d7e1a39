"""AWS' rules: the examples of its user guide, its own benchmark, and alarms counted by hand."""

import numpy as np
import pytest
from cases import cases

from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.policies.aws import Alarms, AwsStepScaling, AwsTargetTracking, adjusted
from autoscaler_env.service import Service

CHANGES = tuple(range(-100, 101))
MINUTES = Service(step_seconds=60, steps_per_episode=240, capacity_per_instance=20, fleet_changes=CHANGES)
"""Steps as long as the periods of the metric; 25 instances serve 500 requests a minute."""


def days(*parts):
    """Return a day from pairs of minutes and requests a minute."""
    return np.concatenate([np.full(minutes, requests) for minutes, requests in parts])[np.newaxis]


def changes(rule, *parts, service=MINUTES):
    """Return when the fleet changes, in minutes, and to how many instances."""
    fleet = simulate(rule, days(*parts), service).fleet[0]
    minutes = np.flatnonzero(np.diff(fleet, prepend=service.initial_instances))
    return [(int(minute), int(fleet[minute])) for minute in minutes]


def test_a_rise_is_noticed_after_three_datapoints_and_their_delay():
    # 363 s in AWS' benchmark: three minutes, and 150 s more until an evaluation sees the third, after 360 s. Full use
    # at a target of half asks for twice the 25.
    rule = AwsTargetTracking(MINUTES, 0.5)
    assert changes(rule, (100, 250), (140, 900))[0] == (106, 50)
    # 86 s with datapoints of 20 s: here 80 s, in steps of 20 s
    short = Service(step_seconds=20, steps_per_episode=720, capacity_per_instance=20, fleet_changes=CHANGES)
    fast = AwsTargetTracking(short, 0.5, alarms=Alarms(period_seconds=20, metric_delay_seconds=20))
    assert changes(fast, (300, 250), (420, 900), service=short)[0] == (304, 50)


def test_two_datapoints_above_the_target_do_nothing():
    assert changes(AwsTargetTracking(MINUTES, 0.5), (100, 250), (2, 500), (138, 250)) == []
    assert changes(AwsTargetTracking(MINUTES, 0.5), (100, 250), (3, 300), (137, 250))[0] == (106, 30)  # 0.6 / 0.5


def test_what_was_added_counts_until_the_cooldown_ends():
    # the queue keeps utilisation at 1: twice the 25 that were there, not twice the 50, for 300 s
    assert changes(AwsTargetTracking(MINUTES, 0.5), (100, 250), (140, 2000)) == [(106, 50), (111, 100)]
    # without a cooldown it doubles each minute, long before a datapoint shows what it has added
    assert changes(AwsTargetTracking(MINUTES, 0.5, 0), (100, 250), (140, 2000)) == [(106, 50), (107, 100)]


def test_scaling_in_waits_for_fifteen_datapoints_below_nine_tenths_of_the_target():
    rule = AwsTargetTracking(MINUTES, 0.5)
    assert changes(rule, (100, 250), (140, 230)) == [], "46 % are above 45 %"
    # 40 %: minutes 100 to 114, and 150 s, rounded up; then 20 of 25 suffice
    assert changes(rule, (100, 250), (140, 200)) == [(118, 20)]
    # an EC2 group waits until 70 % of the target: 36 % are above 35 %
    assert changes(AwsTargetTracking(MINUTES, 0.5, alarms=Alarms(low_share=0.7)), (100, 250), (140, 180)) == []


def test_scaling_in_follows_the_highest_datapoint_and_waits_for_its_cooldown():
    # 20 % with 40 % in the first minute: 20 instances, and after 300 s what 25 % of 20 need
    assert changes(AwsTargetTracking(MINUTES, 0.5), (100, 250), (1, 200), (139, 100)) == [(118, 20), (123, 10)]
    slow = AwsTargetTracking(MINUTES, 0.5, scale_in_cooldown=900)
    assert changes(slow, (100, 250), (1, 200), (139, 100)) == [(118, 20), (133, 10)]


def test_datapoints_are_means_of_whole_periods():
    # of steps of 90 s the second minute is half in one and half in the next: 55 %, 60 %, 65 %, ...
    odd = Service(step_seconds=90, steps_per_episode=40, capacity_per_instance=20, fleet_changes=CHANGES)
    rule = AwsTargetTracking(odd, 0.5, alarms=Alarms(metric_delay_seconds=0, high_periods=1))
    # 24 steps, 36 minutes, at 50 %; then 90 s at 60 %: the minutes 37 (60 %) and 38 (55 % if its rest has 50 %)
    assert changes(rule, (24, 250), (1, 300), (15, 250), service=odd)[0] == (25, 30)
    long = Service(step_seconds=300, steps_per_episode=48, capacity_per_instance=20, fleet_changes=CHANGES)
    assert changes(AwsTargetTracking(long, 0.5), (20, 250), (28, 500), service=long)[0] == (22, 50), "440 s later"


def test_step_scaling_follows_the_example_of_the_user_guide():
    # 10 instances: 10 % at 60 % are 1, 30 % of 11 at 70 % are 3; 10 % of 14 at 40 % are 1, 30 % of 13 at 30 % are 3
    assert adjusted(np.array([10, 11, 14, 13]), np.array([10, 30, 10, 30])).tolist() == [1, 3, 1, 3]
    start = Service(**MINUTES.as_dict() | {"initial_instances": 10, "fleet_changes": CHANGES})
    quick = Alarms(metric_delay_seconds=0, high_periods=1, low_periods=1)
    rule = AwsStepScaling(start, scale_out_cooldown=120, scale_in_cooldown=120, alarms=quick)
    # for a minute each 60, 70, 40 and 30 % of what there is, in between about 50 %
    demand = (5, 100), (1, 120), (2, 110), (1, 154), (3, 140), (1, 112), (2, 130), (1, 78), (224, 100)
    assert changes(rule, *demand, service=start) == [(6, 11), (9, 14), (13, 13), (16, 10)]


def test_within_the_cooldown_only_a_larger_step_adds_its_difference():
    # 10 % of 10 at minute 5; a minute later 30 % of the same 10, less the 1 that was added
    start = Service(**MINUTES.as_dict() | {"initial_instances": 10, "fleet_changes": CHANGES})
    quick = Alarms(metric_delay_seconds=0, high_periods=1, low_periods=15)
    found = changes(AwsStepScaling(start, alarms=quick), (5, 100), (1, 120), (2, 160), (232, 120), service=start)
    assert found[:2] == [(6, 11), (7, 13)]


def test_settings_side_by_side_act_as_each_alone():
    # whole hours of any demand
    day = np.repeat(np.random.default_rng(2).integers(0, 2000, (1, 24)), 10, axis=1)
    targets, cooldowns = np.array([0.4, 0.8]), np.array([0.0, 600.0])
    together = simulate(AwsTargetTracking(MINUTES, targets, cooldowns, cooldowns), np.repeat(day, 2, axis=0), MINUTES)
    for row, (target, cooldown) in enumerate(zip(targets, cooldowns, strict=True)):
        alone = simulate(AwsTargetTracking(MINUTES, target, cooldown, cooldown), day, MINUTES)
        assert np.array_equal(alone.fleet[0], together.fleet[row]) and len(np.unique(alone.fleet)) > 5


@cases(
    ("make", "message"),
    [
        (lambda: AwsTargetTracking(target=0), "target = 0: must be above 0"),
        (lambda: AwsTargetTracking(scale_in_cooldown=-1), "scale_in_cooldown = -1: must be a number of seconds"),
        (lambda: AwsStepScaling(remove_below=0.6), "need 0 <= drop_below <= remove_below < add_above <= jump_above"),
        (lambda: AwsStepScaling(drop_percent=101), "drop_percent = 101: must be at least 0 and at most 100"),
        (lambda: Alarms(period_seconds=0), "period_seconds = 0: must be an integer of at least 1"),
        (lambda: Alarms(low_share=1.5), "low_share = 1.5: must be above 0 and at most 1"),
        (
            lambda: Alarms.from_table({"period": 60}),
            "cloudwatch.period = 60: no such setting of alarms, did you mean",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(make, message):
    with pytest.raises(ValueError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
