"""The clairvoyant optimum: exhaustive searches on small services, and a linear relaxation below it.

None of them knows our search: the first plays every sequence of actions, the second goes through every state in plain
Python, the relaxation is solved by HiGHS.
"""

import functools
import itertools

import numpy as np
import pytest
from cases import cases, every_service

from autoscaler_env.evaluation.lower_bound import lower_bounds
from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.policies import oracle
from autoscaler_env.policies.base import Policy
from autoscaler_env.policies.knative import Kpa
from autoscaler_env.policies.kubernetes import HpaCpu, HpaDemand
from autoscaler_env.policies.oracle import Optimum, cheapest_plan
from autoscaler_env.policies.registry import find_policy
from autoscaler_env.policies.rules import RULES, TargetTracking
from autoscaler_env.service import Service
from autoscaler_env.traffic.patterns import PATTERNS, Pattern, day_seeds

BASE = {
    "capacity_per_instance": 10,
    "min_instances": 1,
    "max_instances": 6,
    "initial_instances": 3,
    "queue_limit": 30,
    "peak_arrivals": 50,
}
TINY = {
    "one step": Service(**BASE | {"steps_per_episode": 9}),
    "boots two steps": Service(**BASE | {"steps_per_episode": 9, "boot_steps": 2}),
    "boots longer than a day": Service(**BASE | {"steps_per_episode": 7, "boot_steps": 9}),
    "wide steps": Service(**BASE | {"steps_per_episode": 6, "fleet_changes": (-4, -1, 0, 1, 3)}),
    "wide steps, boots three steps": Service(
        **BASE | {"steps_per_episode": 6, "fleet_changes": (2, 0, 1, -3, 4), "boot_steps": 3}
    ),
    "no queue": Service(**BASE | {"steps_per_episode": 9, "queue_limit": 0}),
    "cheap drops": Service(**BASE | {"steps_per_episode": 9, "drop_price": 1e-4, "late_price": 1e-3}),
    "dear drops": Service(**BASE | {"steps_per_episode": 9, "drop_price": 0.1, "queue_limit": 7}),
    "free instances": Service(**BASE | {"steps_per_episode": 9, "instance_price_per_hour": 0.0}),
    "from zero": Service(**BASE | {"steps_per_episode": 7, "min_instances": 0, "initial_instances": 0}),
    "from zero, boots within a step": Service(
        **BASE | {"steps_per_episode": 7, "min_instances": 0, "initial_instances": 0, "boot_seconds": 90}
    ),
    "boots at once": Service(**BASE | {"steps_per_episode": 7, "boot_seconds": 0}),
    "from zero, wide steps, boots within a third step": Service(
        **BASE | {"steps_per_episode": 6, "min_instances": 0, "fleet_changes": (2, 0, 1, -3, 4), "boot_seconds": 700}
    ),
    "only shrinks": Service(**BASE | {"steps_per_episode": 9, "fleet_changes": (0, -2)}),
}


def some_days(service, count, seed=0):
    """Return days of random arrivals: quiet ones, busy ones, and far too many at times."""
    rng = np.random.default_rng(seed)
    shape = (count, service.steps_per_episode)
    return rng.poisson(rng.uniform(5, service.peak_arrivals, (count, 1)), shape) * rng.choice([0, 1, 1, 2], shape)


def cheapest_of_all(day, service, script):
    """Return the lowest cost of a day over every sequence of actions."""
    every = np.array(list(itertools.product(range(len(service.fleet_changes)), repeat=len(day))))
    return simulate(script(every), np.repeat(day[np.newaxis], len(every), axis=0), service).cost.sum(axis=1).min()


@cases("name", TINY)
def test_no_sequence_of_actions_is_cheaper(name, script):
    service = TINY[name]
    days = some_days(service, 5)
    costs = cheapest_plan(days, service).costs
    assert costs == pytest.approx([cheapest_of_all(day, service, script) for day in days], rel=1e-12)


def test_the_tiny_days_have_queues_and_drops():
    # otherwise exhaustive search would not have tested them
    service = TINY["one step"]
    best = simulate(Optimum(service), some_days(service, 5), service)
    assert best.queue.any() and best.dropped.any() and (best.ready > 3).any()


LONGER = {
    "one step": {},
    "boots three steps": {"boot_steps": 3},
    "wide steps, boots two steps": {"boot_steps": 2, "fleet_changes": (-3, -1, 0, 1, 4)},
    "from zero, boots within a second step": {"min_instances": 0, "boot_seconds": 333, "fleet_changes": (-2, 0, 1, 3)},
    "boots within a step": {"boot_seconds": 101},
    "boots at once": {"boot_seconds": 0},
    "late requests cost little": {"late_price": 1e-5},
    "drops cost less than waiting": {"late_price": 1e-3, "drop_price": 5e-4},
}


@cases("sizes", LONGER.values())
def test_a_search_through_every_state_finds_the_same(sizes):
    service = Service(**BASE | {"steps_per_episode": 40} | sizes)
    days = some_days(service, 3, seed=1)
    costs = cheapest_plan(days, service).costs
    assert costs == pytest.approx([cheapest_by_states(day.tolist(), service) for day in days], rel=1e-12)


def cheapest_by_states(day, service):
    """Return the lowest cost of a day: backward over every state, by the rules of a step as the design states them."""

    seconds = service.step_seconds

    @functools.cache
    def rest(step, ready, orders, queue):
        if step == len(day):
            return 0.0
        # an order is the second at which its instances are ready, and their number
        ready += sum(count for end, count in orders if end <= step * seconds)
        orders, waiting = tuple(order for order in orders if order[0] > step * seconds), queue + day[step]
        costs = []
        for change in service.fleet_changes:
            fleet, ordered, left = ready + sum(n for _, n in orders), max(change, 0), ready - max(-change, 0)
            if (ordered and fleet + ordered > service.max_instances) or (change < 0 and left < service.min_instances):
                continue
            boots = (*orders, (step * seconds + service.boot_delay, ordered)) if ordered else orders
            served_for = left * seconds + sum(max((step + 1) * seconds - end, 0) * count for end, count in boots)
            unserved = max(waiting - service.capacity_per_instance * served_for // seconds, 0)
            stays = min(unserved, service.queue_limit)
            cost = service.instance_price * (fleet + change)
            cost += service.late_price * stays + service.drop_price * (unserved - stays)
            costs.append(cost + rest(step + 1, left, boots, stays))
        return min(costs)

    return rest(0, service.initial_instances, (), 0)


@every_service
def test_the_plan_costs_what_it_says(any_service, random_trajectory):
    days = random_trajectory(any_service, days=4).arrivals
    plan = cheapest_plan(days, any_service)
    played = simulate(Optimum(any_service), days, any_service)
    assert played.cost.sum(axis=1) == pytest.approx(plan.costs, rel=1e-12)
    assert np.array_equal(played.actions, plan.actions) and not played.refused.any()


@cases("name", TINY)
def test_the_relaxation_lies_below_the_optimum_of_tiny_services(name):
    service = TINY[name]
    days = some_days(service, 5)
    assert np.all(lower_bounds(days, service) <= cheapest_plan(days, service).costs + 1e-9)


@cases("pattern", PATTERNS)
def test_the_optimum_lies_between_the_relaxation_and_every_rule(pattern):
    days = Pattern(pattern, Service()).evaluation_days(4)
    best = cheapest_plan(days).costs
    assert np.all(lower_bounds(days) <= best + 1e-9)
    for policy in (*RULES.values(), HpaCpu, HpaDemand, Kpa):
        assert np.all(best <= simulate(policy(), days).cost.sum(axis=1) + 1e-9)


@cases("pattern", PATTERNS)
def test_the_optimum_is_close_to_the_relaxation(pattern):
    days = Pattern(pattern, Service()).evaluation_days(8)
    assert np.all(cheapest_plan(days).costs < 1.05 * lower_bounds(days))


def test_large_fleets_with_slow_boots_have_a_lower_bound_and_no_optimum():
    changes = (-50, -5, -1, 0, 1, 5, 50)
    sizes = {"max_instances": 2_000, "initial_instances": 500, "peak_arrivals": 87_000, "queue_limit": 43_500}
    service = Service(**sizes, fleet_changes=changes, boot_steps=10)
    days = Pattern("STEADY", service).evaluation_days(2)
    with pytest.raises(ValueError, match=r"^optimum: boot_steps = 10"):
        cheapest_plan(days, service)
    costs = simulate(TargetTracking(service, 1.0, 0), days, service).cost.sum(axis=1)
    assert np.all((lower_bounds(days, service) < costs) & (costs < 1.2 * lower_bounds(days, service)))
    smaller = Service(**sizes | {"max_instances": 400, "initial_instances": 100}, fleet_changes=(-20, -1, 0, 1, 20))
    days = Pattern("SPIKE", smaller).evaluation_days(1) // 5
    gap = cheapest_plan(days, smaller).costs / lower_bounds(days, smaller) - 1
    assert 0 < gap < 0.02


@every_service
def test_no_rule_of_the_calibration_grid_is_cheaper_anywhere(any_service):
    days = Pattern("SPIKE", any_service).draw(day_seeds("calibration", 2))
    best = cheapest_plan(days, any_service).costs
    for target, reserve in itertools.product((0.8, 1.0, 1.2), (0, 2, 8)):
        rule = TargetTracking(any_service, target, reserve)
        assert np.all(best <= simulate(rule, days, any_service).cost.sum(axis=1) + 1e-9)


def test_wider_steps_and_faster_boots_never_cost_more():
    days = Pattern("SPIKE", Service()).evaluation_days(3)
    slow, usual, wide = (
        cheapest_plan(days, Service(boot_steps=boots, fleet_changes=changes)).costs
        for boots, changes in ((2, (-1, 0, 1)), (1, (-1, 0, 1)), (1, (-4, -1, 0, 1, 4)))
    )
    assert np.all(wide <= usual) and np.all(usual <= slow)


def test_without_traffic_it_shrinks_to_the_minimum():
    service = Service(steps_per_episode=30)
    fleet = simulate(Optimum(service), np.zeros((1, 30), dtype=int), service).fleet[0]
    assert fleet.tolist() == [*range(24, 2, -1), *[2] * 8]


def test_it_orders_a_boot_ahead_of_a_step():
    service = Service(steps_per_episode=12, initial_instances=10, boot_steps=3, fleet_changes=(-5, 0, 5))
    arrivals = np.array([[870] * 6 + [1305] * 6])
    day = simulate(Optimum(service), arrivals, service)
    assert np.flatnonzero(day.booting[0]).tolist() == [3, 4, 5] and not day.queue.any()


def test_it_is_a_policy_that_reads_the_days():
    days = Pattern("SPIKE", Service()).evaluation_days(2)
    policy = Optimum()
    policy.reset(days)
    first = policy.predict(np.zeros((2, 7), dtype=np.float32))
    assert isinstance(policy, Policy) and policy.name == "optimum"
    assert first.tolist() == cheapest_plan(days).actions[:, 0].tolist()


def test_it_is_found_by_its_name():
    service = Service(boot_steps=2)
    policy = find_policy("optimum", service)
    assert isinstance(policy, Optimum) and policy.service == service


def test_a_service_of_too_many_states_is_refused_in_one_line():
    with pytest.raises(ValueError, match=r"^optimum: boot_steps = 20 with 1 sizes of order .* allowed are 100,000.*$"):
        Optimum(Service(boot_steps=20))


def test_too_many_states_a_day_are_refused_in_one_line(monkeypatch):
    monkeypatch.setattr(oracle, "LARGEST_LABELS", 1000)
    with pytest.raises(ValueError, match=r"^optimum: more than 1,000 states a day .* allowed are fewer.*$"):
        cheapest_plan(Pattern("SPIKE", Service()).evaluation_days(1))
