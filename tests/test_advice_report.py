"""The answer as data, its sentences and its limits."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from advice_cases import WIDE, answer_for, shop_answer, wavy

from autoscaler_env.advice.recommend import choose
from autoscaler_env.advice.report import limits_of, traffic_limits
from autoscaler_env.advice.setup import Setup
from autoscaler_env.advice.text import reason, saving_sentence
from autoscaler_env.evaluation.statistics import Interval, mean_interval
from autoscaler_env.traffic.trace import Trace


@pytest.fixture(scope="module")
def answer():
    """Return the answer for the shop."""
    return shop_answer()


def test_the_json_holds_the_arithmetic(answer):
    plain = json.loads(json.dumps(answer.as_dict(), allow_nan=False))
    today = np.array(plain["policies"]["today"]["costs"])
    for policy in plain["policies"].values():
        costs = np.array(policy["costs"])
        assert policy["dollars_a_day"]["mean"] == pytest.approx(costs.mean(), abs=1e-3)
        assert policy["saved_a_day"]["mean"] == pytest.approx((today - costs).mean(), abs=1e-3)
        assert policy["saved_a_day"]["low"] <= policy["saved_a_day"]["mean"] <= policy["saved_a_day"]["high"]
    assert len(today) == len(plain["traffic"]["held_out"]) == 4
    worst = plain["worst_day"]
    assert plain["traffic"]["held_out"][int(np.argmax(today))] == worst["day"]
    assert sum(worst["today"]["cost"]) == pytest.approx(today.max(), abs=1e-3)


def test_from_six_held_out_days_the_json_has_yearly_figures_and_below_it_has_none():
    for days, yearly in ((12, False), (15, True)):  # 5 and 6 held out
        plain = answer_for(wavy(days)).as_dict()
        for policy in plain["policies"].values():
            for name in ("dollars", "saved"):
                year, day = policy[f"{name}_a_year"], policy[f"{name}_a_day"]
                assert (year["mean"] == pytest.approx(365 * day["mean"], abs=0.1)) if yearly else year is None


def test_each_saving_has_the_one_interval_of_the_project(answer):
    costs = answer.comparison.costs
    for name in costs:
        assert answer.saved[name] == mean_interval((costs["today"] - costs[name]).to_numpy())
    assert answer.recommendation.saving == answer.saved[answer.recommendation.policy]


def test_what_a_policy_does_to_the_requests_stands_beside_its_cost_with_todays(answer):
    plain = answer.as_dict()
    for name, policy in answer.policies.items():
        shares = plain["policies"][name]
        counted = policy.in_time.sum() / policy.trajectory.arrivals.sum()
        assert shares["in_time_share"] == pytest.approx(counted, abs=1e-6), name
        assert shares["in_time_share"] + shares["late_share"] + shares["dropped_share"] == pytest.approx(1, abs=3e-6)
    today = plain["policies"]["today"]
    assert f"Today's rule: {100 * today['in_time_share']:.2f} % of the requests in time, " in answer.requests
    assert plain["recommendation"]["requests"] == answer.requests


def test_what_a_cheaper_policy_would_sacrifice_is_told():
    answer = answer_for(wavy(20), today={"rule": "hpa-demand", "target": 0.6})
    chosen = answer.policies[answer.recommendation.policy]
    cheap = min(answer.comparison.cheaper.values(), key=lambda each: each.cost.mean)
    assert answer.sacrifice.startswith("Cheaper, but worse for your requests: ")
    assert f"({cheap.description}) would cost ${cheap.cost.mean:,.2f} a day" in answer.sacrifice
    assert f"{100 * cheap.in_time_share:.2f} % of the requests in time" in answer.sacrifice
    assert "It is not recommended." in answer.sacrifice and cheap.cost.mean < chosen.cost.mean


# --- sentences -------------------------------------------------------------------------------------------------------


def test_the_cheaper_policy_comes_first_when_two_cannot_be_told_apart():
    costs = pd.DataFrame({"today": [10.0, 10.0, 10.0], "ppo": [9.0, 11.0, 13.0]})
    text = reason(choose(costs))
    assert (
        "Today's rule and PPO cannot be told apart: today's rule saves +$1.00 a day" in text and "saves -$" not in text
    )
    assert saving_sentence(Interval(3, -2.0, -3.0, -1.0), "ppo", "today").startswith("PPO is dearer than today's rule")


def test_the_reason_says_when_a_certain_saving_is_too_small():
    today = np.linspace(90, 110, 30)
    text = reason(choose(pd.DataFrame({"today": today, "ppo": today * 0.995})))
    assert "simplest policy within 1 % of the cheapest. PPO is cheaper than today's rule by $0.50 a day" in text
    assert "too little to pay for a more complex policy" in text and "do not need reinforcement" not in text


def test_the_reason_says_what_learning_is_worth():
    today = np.linspace(90, 110, 30)
    text = reason(choose(pd.DataFrame({"fixed": 2 * today, "today": today, "ppo": today * 0.9})))
    assert "fixed fleet and today's rule cost more, beyond doubt and by at least 1 %" in text
    assert "PPO is cheaper than today's rule by $10.00 a day" in text and "learning is worth $3,650 a year here" in text


# --- limits ----------------------------------------------------------------------------------------------------------


def limits(requests, fields=None):
    days = Trace("traffic", requests, 3600)
    return " ".join(traffic_limits(days, Setup(fields=WIDE | (fields or {})).service_for(days)))


def test_few_days_are_a_limit():
    assert "3 days to calibrate and train on, 2 held out, which do not cover each day of the week" in limits(wavy(5))
    assert "The days are few" not in limits(wavy(40))
    assert "Only 1 day is held out" in limits(wavy(2))


def test_intervals_from_fewer_than_ten_days_are_called_rough():
    for days, rough in ((22, True), (25, False), (2, False)):  # 9, 10 and 1 held out
        text = " ".join(answer_for(wavy(days)).limits)
        assert ("are rough" in text) == rough, days


def test_a_saving_that_one_day_dominates_is_a_limit():
    usual = answer_for(wavy(25))
    for drops, warned in ((1_000_000, True), (0, False)):
        today = usual.comparison.candidates["today"]
        dropped = today.trajectory.dropped.copy()
        dropped[0, 0] += drops
        today = dataclasses.replace(today, trajectory=dataclasses.replace(today.trajectory, dropped=dropped))
        candidates = usual.comparison.candidates | {"today": today}
        comparison = dataclasses.replace(usual.comparison, candidates=candidates)
        text = " ".join(limits_of(comparison, choose(comparison.costs)))
        assert ("A few days dominate the cost difference" in text) == warned, drops
        assert ("its 95 % interval may be too narrow" in text) == warned, drops


def test_a_held_out_part_unlike_the_first_is_a_limit():
    grown, turned = wavy(40), wavy(40)
    grown[24:] *= 2
    turned[24:] = np.roll(turned[24:], 12, axis=1)
    assert "more traffic than the days before" in limits(grown)
    assert "shape of the day differs" in limits(turned)
    assert "traffic" not in limits(wavy(40)) and "shape" not in limits(wavy(40))


def test_coarse_steps_slow_boots_a_small_fleet_and_small_changes_are_limits():
    assert "60 min long: bursts within it" in limits(wavy())
    assert "10 instances (max_instances) cannot serve all" in limits(wavy(), {"max_instances": 10})
    assert "longer than a step" in limits(wavy(), {"boot_steps": 2})
    jumpy = np.tile([100, 3000] * 12, (10, 1))
    assert "fleet_changes lets the fleet grow by at most 1" in limits(jumpy, {"fleet_changes": [-1, 0, 1]})


def test_a_recommended_policy_that_costs_more_than_the_cheapest_is_a_limit():
    answer = answer_for(wavy(4))
    dearer = {"extra": Interval(2, 3.0, -1.0, 7.0), "extra_share": 0.03}
    usual, steady, near = (
        " ".join(limits_of(answer.comparison, dataclasses.replace(answer.recommendation, **dearer | more)))
        for more in ({}, {"steady": True}, {"extra_share": 0.009})
    )
    assert "costs 3 % more on these days than the cheapest" in usual and "2 days cannot tell that from chance" in usual
    assert "the traffic is steady" in steady and "than the cheapest" not in near
