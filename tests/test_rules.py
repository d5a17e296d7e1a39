"""The rules: decisions worked by hand, and the returns that an independent implementation found."""

import math
from fractions import Fraction

import numpy as np
import pytest
from cases import cases, every_service

from autoscaler_env.evaluation.calibration import calibrate
from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.policies.base import ForeignPolicy, Policy, step_toward
from autoscaler_env.policies.rules import RULES, FixedFleet, Random, Static, TargetTracking, Threshold
from autoscaler_env.service import Service
from autoscaler_env.traffic.patterns import PATTERNS, Pattern, day_seeds

REMOVE, HOLD, ADD = 0, 1, 2

# Mean return of one day over 20,000 days, by an independent implementation; columns as in PATTERNS below.
COLUMNS = ("SINE_CURVE", "SINUSOIDAL", "STEADY", "SPIKE", "POISSON", "RANDOM")
RETURNS = {
    "random": (-799, -609, -681, -476, -676, -627),
    "static": (-753, -524, -578, -306, -575, -561),
    "threshold": (-215.4, -210.0, -192.2, -206.9, -196.7, -198.3),
    "target-tracking": (-146.1, -137.5, -140.3, -196.2, -141.4, -128.9),
}
CALIBRATED = (-144.9, -137.2, -136.2, -169.8, -139.4, -128.9)
STANDARD_ERROR = {"random": 3.6, "static": 3.6, "threshold": 0.5, "target-tracking": 0.5}


def observe(service=None, ready=25, booting=0, utilisation=0.5, queue=0, arrivals=0):
    """Return one observation of these counts, scaled as the environment's docstring says."""
    service = service or Service()
    scaled = [
        ready / service.max_instances,
        booting / service.max_instances,
        utilisation,
        queue / service.queue_limit,
        arrivals / (2 * service.peak_arrivals),
        0,
        0,
    ]
    return np.array([scaled], dtype=np.float32)


def returns_of(policy, pattern, batches):
    """Return minus the cost of each of 4,000 days a batch."""
    days = (Pattern(pattern, Service()).draw(day_seeds("evaluation", 4000, 4000 * i)) for i in range(batches))
    return -np.concatenate([simulate(policy, each).cost.sum(axis=1) for each in days])


def assert_agrees(returns, expected, expected_error):
    combined = math.hypot(returns.std() / math.sqrt(len(returns)), expected_error)
    assert returns.mean() == pytest.approx(expected, abs=3 * combined + 0.005 * abs(expected))


@cases("pattern", COLUMNS)
@cases("rule", RETURNS)
def test_a_rule_earns_what_an_independent_implementation_found(rule, pattern):
    returns = returns_of(RULES[rule](), pattern, batches=2 if rule in ("random", "static") else 1)
    assert_agrees(returns, RETURNS[rule][COLUMNS.index(pattern)], STANDARD_ERROR[rule])


@cases("pattern", COLUMNS)
def test_target_tracking_calibrated_per_pattern_earns_what_was_found(pattern):
    best = calibrate([pattern]).rule()
    assert_agrees(returns_of(best, pattern, batches=1), CALIBRATED[COLUMNS.index(pattern)], 0.5)


def test_the_table_has_every_pattern():
    assert set(COLUMNS) == set(PATTERNS)


# --- what every rule is ----------------------------------------------------------------------------------------------


@cases("name", RULES)
def test_a_rule_is_a_policy_by_its_name(name):
    assert isinstance(RULES[name](), Policy) and RULES[name]().name == name


@cases("name", RULES)
@every_service
def test_a_rule_answers_with_one_existing_action_per_service(name, any_service):
    rule = RULES[name](any_service)
    rule.reset(np.zeros((50, any_service.steps_per_episode), dtype=int))
    observations = np.random.default_rng(0).uniform(-1, 1, (50, 7)).astype(np.float32)
    actions = rule.predict(observations)
    assert actions.shape == (50,) and actions.dtype.kind in "iu"
    assert set(actions) <= set(range(len(any_service.fleet_changes)))


@cases("name", RULES)
def test_a_rule_without_a_service_has_the_reference_service(name):
    assert RULES[name]().service == Service()


@every_service
def test_static_always_holds(any_service):
    days = Pattern("SPIKE", any_service).draw(day_seeds("training", 3))
    assert np.all(simulate(Static(any_service), days, any_service).fleet == any_service.initial_instances)


def test_random_chooses_every_action_equally_often():
    rule = Random(Service(fleet_changes=(-5, -1, 0, 1, 5)))
    rule.reset(np.zeros((50_000, 1)))
    counts = np.bincount(rule.predict(np.zeros((50_000, 7))))
    assert len(counts) == 5 and np.abs(counts - 10_000).max() < 4 * math.sqrt(50_000 * 0.2 * 0.8)


def test_random_starts_its_draw_again_at_a_reset():
    rule, observations, days = Random(), np.zeros((20, 7)), np.zeros((20, 288))
    draws = []
    for _ in range(2):
        rule.reset(days)
        draws.append([rule.predict(observations).tolist() for _ in range(3)])
    assert draws[0] == draws[1] and draws[0][0] != draws[0][1]


def random_actions(days, seed):
    rule = Random(seed=seed)
    rule.reset(np.zeros((days, 3)))
    return np.array([rule.predict(np.zeros((days, 7))) for _ in range(3)])


def test_the_seed_of_random_matters():
    assert not np.array_equal(random_actions(100, seed=1), random_actions(100, seed=2))


def test_random_plays_a_day_alike_however_many_days_follow():
    assert np.array_equal(random_actions(100, seed=1)[:, :7], random_actions(7, seed=1))


# --- a fixed fleet ---------------------------------------------------------------------------------------------------


def test_a_fixed_fleet_goes_to_its_size_and_stays_there():
    service = Service(steps_per_episode=6)
    fleet = simulate(FixedFleet(service, np.array([23, 27])), np.full((2, 6), 999), service).fleet
    assert fleet.tolist() == [[24, 23, 23, 23, 23, 23], [26, 27, 27, 27, 27, 27]]


@cases("instances", [1, 101, np.array([50, 101])])
def test_a_fixed_fleet_that_the_service_cannot_have_is_refused(instances):
    with pytest.raises(ValueError, match=r"instances = .*: must be from min_instances = 2 to max_instances = 100"):
        FixedFleet(Service(), instances)


# --- threshold -------------------------------------------------------------------------------------------------------


@cases(("served", "action"), [(0, REMOVE), (347, REMOVE), (348, HOLD), (609, HOLD), (610, ADD), (870, ADD)])
def test_threshold_adds_above_70_and_removes_below_40_percent(served, action):
    # 10 instances serve at most 870: 40 % are 348, 70 % are 609
    assert Threshold().predict(observe(ready=10, utilisation=served / 870)).tolist() == [action]


@cases("limit", ["add_above", "remove_below"])
def test_threshold_holds_at_exactly_its_own_utilisation(limit):
    # 20 instances serve at most 1,740, so every multiple of 5 % is a whole number of requests
    def action(percent):
        rule = Threshold(**{"add_above": 1.0, "remove_below": 0.0} | {limit: percent / 100})
        return rule.predict(observe(ready=20, utilisation=87 * percent / 5 / (20 * 87)))[0]

    assert [percent for percent in range(5, 100, 5) if action(percent) != HOLD] == []


@cases(("add", "remove"), [(0.4, 0.5), (1.1, 0.5), (0.5, -0.1), (float("nan"), 0.1)])
def test_threshold_refuses_utilisations_out_of_order(add, remove):
    with pytest.raises(ValueError, match=f"add_above = {add}, remove_below = {remove}"):
        Threshold(add_above=add, remove_below=remove)


def test_threshold_takes_one_step_where_wide_ones_exist():
    service = Service(fleet_changes=(-5, -1, 0, 1, 5))
    utilisations = np.concatenate([observe(service, utilisation=utilisation) for utilisation in (0.9, 0.5, 0.1)])
    assert Threshold(service).predict(utilisations).tolist() == [3, 2, 1]


# --- target tracking -------------------------------------------------------------------------------------------------


@cases(
    ("counts", "action"),
    [
        # the fleet is 25: wanted are ceil(demand / 87 + 1) instances
        ({"arrivals": 2088}, HOLD),  # 24 x 87: wanted 25
        ({"arrivals": 2089}, ADD),  # wanted 26
        ({"arrivals": 2002}, HOLD),  # 23 x 87 + 1: wanted 25
        ({"arrivals": 2001}, REMOVE),  # wanted 24
        ({"arrivals": 2000, "queue": 88}, HOLD),  # a queue is demand too: 2,088
        ({"arrivals": 2000, "queue": 89}, ADD),
        ({"arrivals": 2088, "ready": 24, "booting": 1}, HOLD),  # what boots is fleet too
        ({"arrivals": 2088, "ready": 24, "booting": 2}, REMOVE),
        ({"arrivals": 2088, "ready": 20}, ADD),
        ({"arrivals": 0}, REMOVE),
    ],
)
def test_target_tracking_by_hand(counts, action):
    assert TargetTracking().predict(observe(**counts)).tolist() == [action]


@cases(("target", "reserve", "wanted"), [(1.0, 0, 20), (0.8, 0, 25), (0.8, 5, 30), (1.2, 2.5, 20)])
def test_target_and_reserve_by_hand(target, reserve, wanted):
    # 1,740 requests are 20 instances at full use, 25 at 80 %; at 120 % 16.67, and 2.5 more are 19.17
    rule = TargetTracking(target=target, reserve=reserve)
    fleets = [rule.predict(observe(ready=ready, arrivals=1740))[0] for ready in (wanted - 1, wanted, wanted + 1)]
    assert fleets == [ADD, HOLD, REMOVE]


@cases(("more", "action"), [(0, HOLD), (1, ADD)])
def test_target_tracking_is_exact_at_every_boundary(more, action):
    # the demand of n instances to the request wants the n + 1 that are there; one request more wants another
    boundaries = [observe(ready=n + 1, arrivals=87 * n + more) for n in range(2, 99)]
    assert set(TargetTracking().predict(np.concatenate(boundaries))) == {action}


@cases("target", ["0.8", "0.85", "0.9", "0.95", "1.05", "1.1", "1.15", "1.2"])
def test_target_tracking_rounds_up_exactly_for_every_target(target):
    # Where demand / (87 x target) is whole, one instance more would be wanted by an error of rounding
    wanted = [n for n in range(2, 100) if (87 * Fraction(target) * n).denominator == 1]
    demand = [int(87 * Fraction(target) * n) for n in wanted]
    observations = np.concatenate(
        [observe(ready=n, arrivals=min(d, 8700)) for n, d in zip(wanted, demand, strict=True)]
    )
    fits = np.array(demand) <= 8700
    actions = TargetTracking(target=float(target), reserve=0).predict(observations)
    assert len(wanted) > 3 and np.all(actions[fits] == HOLD)


@cases(("target", "reserve"), [(0, 1), (-1, 1), (1, -0.5), (float("nan"), 1), (1, float("nan"))])
def test_target_tracking_refuses_targets_and_reserves_that_make_no_sense(target, reserve):
    with pytest.raises(ValueError, match="target"):
        TargetTracking(target=target, reserve=reserve)


def test_target_tracking_follows_a_ramp_one_step_behind():
    # arrivals of 30, 31, ..., 50 instances; with reserve 2 nothing ever waits, so the fleet is the last arrivals plus 2
    arrivals = np.minimum(np.arange(30, 60), 50)
    service = Service(steps_per_episode=30, initial_instances=32)
    fleet = simulate(TargetTracking(service, reserve=2), 87 * arrivals[np.newaxis], service).fleet[0]
    assert fleet.tolist() == [32, *(arrivals[:-1] + 2)]


# --- steps toward a fleet --------------------------------------------------------------------------------------------


@cases(("gap", "change"), [(-40, -1), (-1, -1), (0, 0), (0.5, 0), (1, 1), (40, 1)])
def test_one_step_toward_the_wanted_fleet(gap, change):
    action = step_toward(np.array([50 + gap]), np.array([50]), Service())
    assert Service().fleet_changes[action[0]] == change


@cases(
    ("gap", "change"), [(-9, -5), (-4, -5), (-3, -1), (-2, -1), (0, 0), (1, 1), (2, 1), (3, 1), (4, 5), (5, 5), (99, 5)]
)
def test_a_wide_step_ends_nearest_and_of_two_the_smaller_wins(gap, change):
    # a gap of 3 is 2 from both 1 and 5
    service = Service(fleet_changes=(-5, -1, 0, 1, 5))
    action = step_toward(np.array([50 + gap]), np.array([50]), service)
    assert service.fleet_changes[action[0]] == change


@cases("changes", [(-1, 0, 1), (1, 0, -1), (5, -5, 1, 0, -1), (0,), (0, 10), (-3, 0, 2)])
def test_no_action_ends_nearer_than_the_step_chosen(changes):
    gaps = range(-12, 13)
    actions = step_toward(50 + np.array(gaps), np.full(25, 50), Service(fleet_changes=changes))
    for gap, action in zip(gaps, actions, strict=True):
        best = min(abs(gap - change) for change in changes)
        assert abs(gap - changes[action]) == best
        assert abs(changes[action]) == min(abs(change) for change in changes if abs(gap - change) == best)


def test_each_service_steps_toward_its_own_fleet():
    actions = step_toward(np.array([3, 50, 7]), np.array([5, 50, 1]), Service())
    assert actions.tolist() == [REMOVE, HOLD, ADD]


# --- foreign policies ------------------------------------------------------------------------------------------------


def test_a_foreign_model_is_asked_for_its_deterministic_actions():
    class Model:
        def predict(self, observation, deterministic=False):
            return np.full(len(observation), 2 if deterministic else 0), None

    policy = ForeignPolicy(Model(), "mine")
    policy.reset(np.zeros((4, 288)))
    assert isinstance(policy, Policy) and policy.name == "mine"
    assert policy.predict(np.zeros((4, 7))).tolist() == [2, 2, 2, 2]


def test_a_step_that_the_service_would_refuse_is_not_chosen():
    service = Service(fleet_changes=(-8, -4, -1, 0, 1, 8))
    fleet = np.array([9, 9, 98])
    actions = step_toward(np.array([1, 2, 105]), fleet, service)
    assert [service.fleet_changes[action] for action in actions] == [-4, -4, 1]
