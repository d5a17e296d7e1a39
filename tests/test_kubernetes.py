"""Kubernetes' autoscalers: worked examples of their documented semantics, which an independent script confirmed.

HPA decides once a step here; `test_behaviour.py` has the examples of its own clocks.
"""

import numpy as np
import pytest
from cases import cases, every_service

from autoscaler_env.dynamics import OBSERVATION_NAMES
from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.policies.base import Policy
from autoscaler_env.policies.knative import Kpa, PanicMode, propose_by_windows
from autoscaler_env.policies.kubernetes import (
    HpaCpu,
    HpaDemand,
    percent_used,
    propose_by_pods,
    propose_by_total,
    stabilise,
)
from autoscaler_env.policies.registry import find_policy
from autoscaler_env.service import Service
from autoscaler_env.traffic.patterns import Pattern, day_seeds

AUTOSCALERS = {each.name: each for each in (HpaCpu, HpaDemand, Kpa)}

FREE = Service(fleet_changes=tuple(range(-100, 101)))
"""An actuator that sets any fleet, so that the action tells what is wanted."""


def observe(ready, booting=0, arrivals=0, queue=0, service=FREE):
    """Return one observation of a service that served what it could."""
    utilisation = min((arrivals + queue) / (service.capacity_per_instance * ready), 1)
    scales = (service.max_instances, service.max_instances, 1, service.queue_limit, 2 * service.peak_arrivals)
    entries = [
        count / scale for count, scale in zip((ready, booting, utilisation, queue, arrivals), scales, strict=True)
    ]
    return np.array([entries + [0] * (len(OBSERVATION_NAMES) - 5)], dtype=np.float32)


def wanted(policy, *observations):
    """Return the fleet that a policy on `FREE` wants after each of these observations of one day."""
    policy.reset(np.zeros((1, len(observations))))
    fleets = [round((seen[0, 0] + seen[0, 1]) * FREE.max_instances) for seen in observations]
    return [
        fleet + FREE.fleet_changes[policy.predict(seen)[0]] for fleet, seen in zip(fleets, observations, strict=True)
    ]


def pods(ratio, ready, unready=0):
    return propose_by_pods(np.array([ratio]), np.array([ready]), np.array([unready])).tolist()[0]


# --- HPA: the proposal -----------------------------------------------------------------------------------------------


@cases(("metric", "proposal"), [(200, 20), (50, 5)])
def test_pods_grow_and_shrink_with_the_ratio_of_metric_to_target(metric, proposal):
    assert pods(metric / 100, ready=10) == proposal


@cases(
    ("ready", "ratio", "proposal"),
    [(10, 1.10, 10), (10, 1.1000001, 12), (100, 0.91, 100), (100, 0.90, 100), (100, 0.89, 89), (10, 1.0, 10)],
)
def test_a_ratio_within_a_tenth_of_one_changes_nothing(ready, ratio, proposal):
    assert pods(ratio, ready) == proposal


@cases(("usage", "target"), [(88, 80), (72, 80), (66, 60), (54, 60)])
def test_the_ends_of_the_tolerance_change_nothing(usage, target):
    # 88/80 is 1.1, which |1 - ratio| <= 0.1 refuses in floats
    assert pods(usage / target, ready=20) == 20


@cases(("usage", "requested", "target", "ready", "proposal"), [(1699, 2000, 77, 20, 20), (100, 300, 50, 3, 2)])
def test_utilisation_is_truncated_to_whole_percent(usage, requested, target, ready, proposal):
    # 84.95 % counts as 84, and 84/77 lies within the tolerance; 33.3 % counts as 33
    percent = percent_used(np.array([usage]), np.array([requested]))[0]
    assert pods(percent / target, ready) == proposal


@cases(
    ("ratio", "ready", "unready", "proposal"),
    [
        (1.5, 3, 1, 5),  # with the fourth at 0 it is 1.125
        (1.5, 2, 2, 4),  # 0.75 is the other direction
        (3.0, 2, 4, 6),  # 1.0 is within the tolerance
        (2.0, 6, 4, 12),  # 1.2
        (0.5, 4, 4, 2),  # a ratio below 1 is of ready pods alone
        (1.0, 4, 4, 8),  # nothing changes: all stay
    ],
)
def test_unready_pods_count_as_idle_when_the_ratio_asks_for_more(ratio, ready, unready, proposal):
    assert pods(ratio, ready, unready) == proposal


@cases(
    ("total", "current", "proposal"),
    [(4350, 50, 72), (3045, 50, 50), (3300, 50, 50), (3350, 50, 56), (2000, 50, 33), (900 + 870, 10, 30)],
)
def test_a_total_is_shared_among_pods(total, current, proposal):
    # 70 % of 87 requests each
    assert propose_by_total(np.array([total]), 60.9, np.array([current])).tolist() == [proposal]


def test_a_whole_number_of_pods_is_not_rounded_up():
    # 60.9 is not exact in floats
    shares = np.arange(2, 100)
    assert propose_by_total(60.9 * shares, 60.9, np.ones(98, dtype=int)).tolist() == shares.tolist()


# --- HPA: stabilisation ----------------------------------------------------------------------------------------------


def follow(proposals, start, up, down):
    """Return the pods after each sync, the windows given in syncs before this one."""
    pods, current = [], start
    for i in range(len(proposals)):
        lately = [np.array(proposals[max(i - window, 0) : i + 1]) for window in (up, down)]
        current = stabilise(np.array([current]), lately[0].min(keepdims=True), lately[1].max(keepdims=True))[0]
        pods.append(current)
    return pods


def test_shrinking_follows_the_largest_proposal_of_the_window():
    # a sync a minute; of a window of 300 s those of 240 s count where the age must be below it
    proposals = [20, 12, 15, 9, 9, 9, 9, 9]
    assert follow(proposals, start=20, up=0, down=4) == [20, 20, 20, 20, 20, 15, 15, 9]


def test_growing_follows_the_smallest_proposal_of_the_window():
    # a sync every 15 s and 60 s of window; the last step is free of the rate limit that would make it 28
    assert follow([10, 30, 14, 30, 30, 30, 30], start=10, up=3, down=0) == [10, 10, 10, 10, 14, 14, 30]


def test_between_the_windows_pods_hold():
    assert stabilise(np.array([15]), np.array([10]), np.array([20])).tolist() == [15]


def demand(pods, ready):
    """Return an observation whose demand makes HPA at 70 % propose so many."""
    return observe(ready, arrivals=int(60.9 * pods))


def test_the_proposal_of_the_step_before_counts():
    # a step is as long as the window, and age <= window counts: 20, 20, 10
    assert wanted(HpaDemand(FREE, target=0.7), *(demand(pods, 20) for pods in (20, 10, 10))) == [20, 20, 10]


@cases(("window", "fleets"), [(0, [40, 10, 10, 10]), (299, [40, 10, 10, 10]), (600, [40, 20, 20, 10])])
def test_the_window_counts_whole_steps(window, fleets):
    policy = HpaDemand(FREE, target=0.7, downscale_window=window)
    assert wanted(policy, *(demand(pods, 20) for pods in (40, 10, 10, 10))) == fleets


def test_a_fresh_controller_does_not_shrink_for_a_window():
    # the fleet it finds is its first recommendation
    assert wanted(HpaDemand(FREE, target=0.7), *[demand(10, 25)] * 3) == [25, 25, 10]


def test_growth_is_never_held_back():
    assert wanted(HpaDemand(FREE, target=0.7), *(demand(pods, 20) for pods in (20, 50, 90))) == [20, 50, 90]


# --- HPA: the policies -----------------------------------------------------------------------------------------------


def test_cpu_saturates_where_demand_does_not():
    seen = observe(ready=10, arrivals=3000)
    assert wanted(HpaCpu(FREE, target=0.7), seen) == [15]
    assert wanted(HpaDemand(FREE, target=0.7), seen) == [50]


def test_cpu_truncates_what_it_sees():
    # 20 instances have room for 1,740; 1,478 of them are 84.94 %
    assert wanted(HpaCpu(FREE, target=0.77), observe(ready=20, arrivals=1478)) == [20]
    assert wanted(HpaCpu(FREE, target=0.77), observe(ready=20, arrivals=1479)) == [23]


def test_booting_instances_are_unready_pods():
    # 6 at full use and a target of 50 % want 12, but with 4 idle beside them 1.2 x 10
    assert wanted(HpaCpu(FREE, target=0.5), observe(ready=6, booting=4, arrivals=522)) == [12]
    assert wanted(HpaCpu(FREE, target=0.5), observe(ready=2, booting=4, arrivals=174)) == [6]


def test_the_default_of_cpu_is_eighty_percent():
    # 87 and 88 % of use: 87/80 is within the tolerance, and so is exactly 1.1; 89/80 is not
    seen = [observe(ready=100, arrivals=87 * percent) for percent in (87, 88)]
    assert [wanted(HpaCpu(FREE), each) for each in seen] == [[100], [100]]
    assert wanted(HpaCpu(FREE), observe(ready=50, arrivals=87 * 50 * 89 // 100 + 1)) == [56]


def test_from_a_target_of_91_percent_on_cpu_never_grows():
    full = observe(ready=10, arrivals=8700)
    assert wanted(HpaCpu(FREE, target=0.91), full) == [10] and wanted(HpaCpu(FREE, target=0.90), full) == [12]


# --- KPA -------------------------------------------------------------------------------------------------------------


def ticks(*metrics, target=10.0, window=30, max_up=1000.0):
    """Return what KPA wants at each tick of (stable, panic, ready), a fresh controller at the first."""
    mode, pods = None, []
    for stable, panic, ready in metrics:
        ready = np.array([ready])
        mode = mode or PanicMode(ready, window)
        pods += mode.decide(*propose_by_windows(np.array([stable]), np.array([panic]), ready, target, max_up)).tolist()
    return pods


def test_kpa_follows_the_stable_window():
    assert ticks((300, 300, 20)) == [30]


def test_kpa_panics_at_twice_its_pods():
    # 500 / 10 are 2.5 times the 20 ready, 400 / 10 twice, 390 / 10 less
    assert ticks((120, 500, 20)) == [50] and ticks((120, 400, 20)) == [40]
    assert ticks((120, 390, 1), (120, 390, 20)) == [39, 39]
    assert ticks(*[(20, 20, 2)] * 40, (120, 390, 20))[-1] == 12


def test_in_panic_kpa_does_not_shrink_until_a_stable_window_has_passed():
    # ticks of 2 s: a window of 60 s is 30 ticks, and the clock runs from the last tick over the threshold
    pods = ticks((120, 500, 20), (120, 500, 20), *[(100, 50, 50)] * 31)
    assert pods == [50] * 32 + [25]


def test_kpa_halves_at_most():
    assert ticks(*[(10, 10, 1)] * 40, (10, 10, 50))[-1] == 25


def test_kpa_grows_no_faster_than_its_limit():
    assert ticks((3, 3, 2), target=1.0, max_up=1.1) == [3]


def test_kpa_would_scale_to_zero():
    assert ticks((0, 0, 1)) == [0]


def test_a_fresh_kpa_starts_in_panic_with_the_pods_it_finds():
    assert ticks(*[(100, 100, 25)] * 32) == [25] * 31 + [12]
    assert ticks((1, 1, 1)) == [1]


def test_kpa_averages_its_steps_and_panics_on_the_last():
    # 609 requests are 10 instances at 70 %; of 25 no more than half go
    calm = [observe(ready=25, arrivals=609 * 3)] * 4
    assert wanted(Kpa(FREE), *calm, observe(ready=25, arrivals=609)) == [30, 30, 30, 30, 24]
    assert wanted(Kpa(FREE), *calm, observe(ready=25, arrivals=609 * 6)) == [30, 30, 30, 30, 60]


# --- all of them -----------------------------------------------------------------------------------------------------


@cases("name", AUTOSCALERS)
def test_it_is_a_policy_by_its_name(name):
    policy = find_policy(name, FREE)
    assert isinstance(policy, Policy) and type(policy) is AUTOSCALERS[name]
    assert policy.name == name and policy.service == FREE


@cases("name", AUTOSCALERS)
def test_the_bounds_of_the_service_hold(name):
    many, none = observe(ready=90, arrivals=8700, queue=4350), observe(ready=4)
    assert wanted(AUTOSCALERS[name](FREE), many)[0] == 100 or name == "hpa-cpu"
    assert wanted(AUTOSCALERS[name](FREE), *[none] * 5)[-1] == 2


@cases("name", AUTOSCALERS)
def test_the_reference_actuator_moves_one_instance_a_step(name):
    policy = AUTOSCALERS[name]()
    policy.reset(np.zeros((1, 1)))
    assert Service().fleet_changes[policy.predict(observe(ready=25, arrivals=4350))[0]] == 1


@cases("name", AUTOSCALERS)
def test_a_reset_forgets(name):
    policy, days = AUTOSCALERS[name](), Pattern("SPIKE", Service()).draw(day_seeds("training", 3))
    costs = [simulate(policy, days).cost.sum(axis=1).tolist() for _ in range(2)]
    assert costs[0] == costs[1]


@cases("name", AUTOSCALERS)
@every_service
def test_days_of_a_batch_do_not_touch_each_other(name, any_service):
    days = Pattern("SPIKE", any_service).draw(day_seeds("training", 4))
    together = simulate(AUTOSCALERS[name](any_service), days, any_service)
    alone = [simulate(AUTOSCALERS[name](any_service), day[np.newaxis], any_service).actions[0] for day in days]
    assert np.array_equal(together.actions, alone)


@cases("name", AUTOSCALERS)
def test_each_service_may_have_its_own_target(name):
    days = Pattern("SPIKE", Service()).draw(day_seeds("training", 1))
    targets = np.array([0.5, 0.9])
    together = simulate(AUTOSCALERS[name](target=targets), np.repeat(days, 2, axis=0))
    alone = [simulate(AUTOSCALERS[name](target=target), days).actions[0] for target in targets]
    assert np.array_equal(together.actions, alone) and not np.array_equal(*alone)


@cases("name", AUTOSCALERS)
@cases("target", [0, -0.5, float("nan")])
def test_a_target_must_be_above_zero(name, target):
    with pytest.raises(ValueError, match=r"target = .*: must be above 0"):
        AUTOSCALERS[name](target=target)


@cases("options", [{"tolerance": -0.1}, {"tolerance": 1}, {"downscale_window": -1}])
def test_hpa_refuses_what_makes_no_sense(options):
    with pytest.raises(ValueError, match=r"tolerance = .*, downscale_window = "):
        HpaDemand(**options)


def test_kpa_needs_a_window_and_a_grace_period():
    with pytest.raises(ValueError, match="grace_seconds = -1: must be a number of seconds"):
        Kpa(grace_seconds=-1)
    with pytest.raises(ValueError, match="stable_steps = 0: must be at least 1"):
        Kpa(stable_steps=0)


def test_hpa_on_cpu_keeps_one_instance_where_a_service_may_have_none_and_hpa_on_demand_none():
    sizes = {"min_instances": 0, "initial_instances": 0, "max_instances": 9, "steps_per_episode": 40}
    service = Service(**sizes, capacity_per_instance=10, queue_limit=200, peak_arrivals=90, boot_seconds=90)
    days = np.zeros((1, 40), dtype=int)
    days[0, 10:20] = 35
    cpu, demand = (simulate(make(service), days, service) for make in (HpaCpu, HpaDemand))
    assert not cpu.dropped.any() and cpu.fleet[0, 10:].min() == 1 == cpu.fleet[0, -1]
    assert not demand.dropped.any() and demand.fleet[0, 9] == demand.fleet[0, -1] == 0
