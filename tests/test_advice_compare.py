"""The comparison on held-out days, on traffic whose best policy is known by construction."""

import dataclasses
import io
from typing import ClassVar

import numpy as np
import pytest
from advice_cases import SHOP, SHOP_DAYS, answer_for, wavy
from tqdm import tqdm

from autoscaler_env.advice import compare
from autoscaler_env.advice.compare import MARGIN, compare_candidates, loses_service
from autoscaler_env.advice.deploy import how_to
from autoscaler_env.advice.learners import BUDGETS, training_config, training_in_words
from autoscaler_env.advice.recommend import ORDER
from autoscaler_env.advice.setup import Limits
from autoscaler_env.advice.text import headline, method
from autoscaler_env.evaluation.simulation import simulate, simulate_through
from autoscaler_env.policies.kubernetes import HpaDemand
from autoscaler_env.policies.rules import TargetTracking
from autoscaler_env.traffic.trace import Trace


@pytest.fixture(scope="module")
def wavy_answer():
    """Return the answer for ten wavy days."""
    return answer_for(wavy())


def test_calibration_uses_the_first_part_alone():
    requests = wavy(5)
    other = requests.copy()
    other[3:] = np.random.default_rng(1).integers(0, 3000, other[3:].shape)
    one, two = (answer_for(days).comparison.candidates for days in (requests, other))
    assert {name: one[name].settings for name in one} == {name: two[name].settings for name in two}


def test_calibration_keeps_todays_service_and_the_cheapest_setting_stands_apart():
    answer = answer_for(wavy(), today={"rule": "hpa-demand", "target": 0.6})
    days, service = answer.comparison.days.earlier, answer.comparison.service
    least = in_time(HpaDemand(service, 0.6), days, service) - MARGIN * 0.001
    chosen, cheaper = answer.comparison.candidates["hpa-demand"], answer.comparison.cheaper["hpa-demand"]
    assert in_time(HpaDemand(service, chosen.settings["target"]), days, service) >= least
    assert in_time(HpaDemand(service, cheaper.settings["target"]), days, service) < least
    assert cheaper.cost.mean < chosen.cost.mean
    free = answer_for(wavy(), today={"rule": "hpa-demand", "target": 0.6}, limits=Limits(1, 1)).comparison
    assert free.candidates["hpa-demand"].settings == cheaper.settings, "no limit, no difference"
    assert MARGIN == 0.5 and "hpa-demand" not in free.cheaper


def in_time(policy, days, service):
    """Return the share of the requests that is served in time, counted request by request."""
    trajectory = simulate_through(policy, days, service)
    queue, punctual = 0, 0
    for arrivals, served, dropped in zip(
        trajectory.arrivals[0].tolist(), trajectory.served[0].tolist(), trajectory.dropped[0].tolist(), strict=True
    ):
        punctual += max(served - queue, 0)
        queue += arrivals - served - dropped
    return punctual / days.sum()


def test_a_loss_of_service_counts_beyond_the_limit():
    answer = answer_for(wavy(20))
    today = answer.comparison.candidates["today"]
    daily = today.trajectory.arrivals.sum(axis=1)
    for lost, beyond in ((0.0, False), (0.0005, False), (0.0009, False), (0.0012, True), (0.02, True)):
        worse = dataclasses.replace(today, in_time=today.in_time - np.rint(lost * daily).astype(int))
        assert loses_service(worse, today, Limits()) == beyond, lost
    once = today.in_time.copy()
    once[0] -= 0.0015 * daily.sum()  # all on one day: an interval over eight days would reach zero
    assert loses_service(dataclasses.replace(today, in_time=once), today, Limits())
    dropped = today.trajectory.dropped.copy()
    dropped[:, 5] += 1_000
    drops = dataclasses.replace(today, trajectory=dataclasses.replace(today.trajectory, dropped=dropped))
    assert loses_service(drops, today, Limits()) and not loses_service(drops, today, Limits(dropped=0.5))


def test_the_optimum_costs_no_more_than_any_policy(wavy_answer):
    comparison = wavy_answer.comparison
    assert comparison.optimum is not None
    assert comparison.optimum.costs.sum() <= comparison.costs.sum().min() + 1e-9


def test_every_cost_is_that_of_a_plain_simulation_of_the_held_out_days(wavy_answer):
    comparison = wavy_answer.comparison
    rule = TargetTracking(comparison.service, **comparison.candidates["target-tracking"].settings)
    days = comparison.days.later.reshape(1, -1)
    service = dataclasses.replace(comparison.service, steps_per_episode=days.size)
    assert comparison.costs["target-tracking"].sum() == pytest.approx(simulate(rule, days, service).cost.sum())


def test_constant_traffic_gets_a_fixed_fleet_or_keeps_it():
    days = np.full((10, 24), 950)
    answer = answer_for(days)
    assert answer.recommendation.policy == "fixed"
    assert "fixed fleet of 10 instances" in answer.headline, "950 requests, 100 for each instance"
    kept = answer_for(days, today={"rule": "fixed", "instances": 10})
    assert kept.recommendation.policy == "today" and kept.headline.startswith("Keep today's rule")


@pytest.fixture(scope="module")
def random_levels():
    """Return days whose levels last for hours and change without warning: no policy can do better than follow."""
    return np.repeat(np.random.default_rng(1).integers(3, 36, (20, 6)) * 100, 16, axis=1)


def test_demand_that_changes_at_random_gets_a_rule_that_follows_demand(random_levels):
    answer = answer_for(random_levels, {"late_price": 1e-6}, limits=Limits(1, 1))  # waiting is cheap, and may be
    policy, costs = answer.recommendation.policy, answer.comparison.costs.mean()
    assert policy in ("hpa-demand", "target-tracking")
    assert costs["today"] > 1.2 * costs[policy] and costs[policy] <= 1.01 * costs.min()


def test_only_the_setting_changes_where_todays_kind_of_rule_is_best(random_levels):
    today = {"rule": "hpa-demand", "target": 0.4}
    answer = answer_for(random_levels, {"late_price": 1e-6}, today, Limits(1, 1))
    assert answer.recommendation.policy == "hpa-demand" and answer.recommendation.saving.low > 0
    assert answer.headline.startswith("Keep your rule and change its setting to target ")


RUSH = {"boot_steps": 3, "queue_limit": 100, "drop_price": 0.005, "late_price": 0.01}


def rush():
    """Return days with a rush that is over before an instance ordered at its beginning has booted."""
    requests = np.full((20, 96), 300)
    requests[:, 40:44] = 3000
    return requests


def test_a_rush_at_the_same_hour_every_day_gets_a_forecast():
    answer = answer_for(rush(), RUSH)
    assert answer.recommendation.policy == "forecast"
    assert "longer than a step" in " ".join(answer.limits)


@pytest.mark.slow
def test_learners_do_not_change_an_answer_known_by_construction():
    small = {"q-learning": 100, "dqn": 1_000, "ppo": 2_000}
    for requests, fields, budgets, best in (
        (rush(), RUSH, BUDGETS["quick"], "forecast"),
        (np.full((20, 24), 950), {}, small, "fixed"),
    ):
        answer = answer_for(requests, fields, budgets=budgets)
        assert set(answer.comparison.candidates) >= {"q-learning", "dqn", "ppo"}
        assert answer.recommendation.policy == best, best


def test_what_a_search_found_does_side_by_side_what_it_does_alone(wavy_answer):
    comparison = wavy_answer.comparison
    for name, candidate in comparison.candidates.items():
        alone = simulate_through(candidate.policy, comparison.days.later, comparison.service)
        assert candidate.trajectory.cost.sum() == pytest.approx(alone.cost.sum()), name
    for name in set(comparison.candidates) - {"today"}:
        costs, in_time = comparison.candidates[name].sweep.T
        assert 1 <= len(costs) <= compare.SWEPT and ((in_time > 0) & (in_time <= 1)).all() and (costs > 0).all()


def test_after_the_rules_and_after_each_learner_but_the_last_what_is_known_is_shown():
    shown = []
    budgets = {"q-learning": 2, "dqn": 100}
    whole = compare_candidates(SHOP, Trace("traffic", SHOP_DAYS, 3600), budgets=budgets, show=shown.append)
    assert [comparison.pending for comparison in (*shown, whole)] == [("q-learning", "dqn"), ("dqn",), ()]
    rules, one = shown
    assert rules.optimum is not None and not {"q-learning", "dqn"} & set(rules.candidates)
    assert set(one.candidates) - set(rules.candidates) == {"q-learning"} and "dqn" in whole.candidates
    assert all(one.candidates[name] is whole.candidates[name] for name in one.candidates)


def test_ppo_first_imitates_where_its_budget_holds_a_day_of_that():
    days = Trace("traffic", wavy(), 3600)
    for budget, imitates in ((64 * 24 + 1, True), (64 * 24, False)):
        config = training_config("ppo", budget, days, SHOP.service_for(days), 0)
        assert config.imitation_days == (1 if imitates else None)
        assert ("begun by imitating target tracking" in training_in_words(config)) == imitates


def test_the_progress_bar_counts_the_planned_work_and_names_each_step(monkeypatch):
    class Bar(tqdm):
        made: ClassVar[list] = []

        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options | {"disable": False, "file": io.StringIO()})
            self.steps = []
            self.made.append(self)

        def set_description(self, desc=None, refresh=True):
            self.steps.append(desc)

    monkeypatch.setattr(compare, "tqdm", Bar)
    compare_candidates(SHOP, Trace("traffic", SHOP_DAYS, 3600), budgets={"q-learning": 2}, progress=True)
    bar = Bar.made[0]
    assert bar.n == pytest.approx(bar.total), "each step moves the bar by what was planned for it"
    assert bar.steps == [
        *(f"calibrating {name}" for name in ("fixed", "threshold", "hpa-cpu", "hpa-demand")),
        *("calibrating target-tracking", "calibrating forecast", "finding the optimum", "training q-learning"),
    ]


def test_a_service_with_too_many_states_has_no_optimum_and_the_answer_says_so():
    answer = answer_for(wavy(4), {"boot_steps": 9})
    assert answer.comparison.optimum is None and "No optimum is shown" in " ".join(answer.limits)
    plain = answer.as_dict()
    assert plain["no_optimum"] and "optimum" not in plain["policies"]
    cheapest = min(np.mean(policy["costs"]) for policy in plain["policies"].values())
    assert 0.5 * cheapest < plain["lower_bound_a_day"] < cheapest
    assert f"A lower bound is ${plain['lower_bound_a_day']:.2f} a day" in " ".join(answer.limits)


def test_all_rules_are_compared_if_asked_for_and_hpa_then_acts_by_kubernetes_clocks():
    few = answer_for(wavy(5, 48))
    answer = answer_for(wavy(5, 48), all_rules=True)
    more = {"kpa", "aws-step-scaling", "aws-target-tracking", "ideal-target-tracking"}
    assert set(answer.comparison.candidates) == set(few.comparison.candidates) - {"target-tracking"} | more
    assert "Option --all-rules adds Knative KPA, AWS step scaling and AWS target tracking." in method(few.comparison)
    assert "HPA, Knative KPA, AWS step scaling, AWS target tracking, ideal target" in method(answer.comparison)
    assert "every 15 s" in answer.comparison.candidates["hpa-cpu"].description
    for name, words in (("kpa", "Use Knative's KPA (target "), ("aws-step-scaling", "Use AWS step scaling (+")):
        recommended = dataclasses.replace(answer.recommendation, policy=name)
        assert headline(answer.comparison, recommended).startswith(words)
    assert all(name in ORDER and how_to(answer.comparison, name).text for name in answer.comparison.candidates)
    own = answer_for(wavy(5, 48), today={"rule": "target-tracking", "target": 0.8, "reserve": 1}, all_rules=True)
    assert "target-tracking" in own.comparison.candidates and "kpa" in own.comparison.candidates
