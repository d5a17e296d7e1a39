"""The written rule: the simplest policy whose cost cannot be told from the cheapest, and a minimum effect."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from advice_cases import WIDE, wavy

from autoscaler_env.advice.recommend import ORDER, choose, is_steady
from autoscaler_env.advice.setup import Setup
from autoscaler_env.evaluation.statistics import MINIMUM_EFFECT
from autoscaler_env.traffic.trace import Trace

RNG = np.random.default_rng(0)


def table(**costs):
    return pd.DataFrame({name.replace("_", "-"): column for name, column in costs.items()})


@pytest.fixture
def best():
    """Return the costs of thirty days."""
    return 100 + RNG.normal(0, 20, 30)


def test_the_simplest_policy_whose_interval_reaches_the_best_is_chosen(best):
    noise = RNG.normal(0, 5, 30)
    costs = table(today=best + 30, threshold=best + 3, target_tracking=best + noise - noise.mean() + 0.2, ppo=best)
    chosen = choose(costs)
    assert (chosen.policy, chosen.cheapest, chosen.passed_over) == ("target-tracking", "ppo", ("today", "threshold"))
    assert chosen.extra.low < 0 < chosen.extra.high and chosen.extra.mean == pytest.approx(0.2)


def test_a_learner_is_chosen_where_every_rule_costs_more_beyond_doubt(best):
    wobble = RNG.normal(0, 0.1, 30)
    assert choose(table(fixed=best + 9, today=best + 5, threshold=best + 1.5 + wobble, ppo=best)).policy == "ppo"


def test_a_certain_saving_below_one_percent_does_not_pay_for_a_more_complex_policy():
    today = np.linspace(90, 110, 30)
    for saving, policy in ((0.002, "today"), (0.0099, "today"), (0.0101, "ppo"), (0.05, "ppo")):
        chosen = choose(table(fixed=today * 1.5, today=today, ppo=today * (1 - saving)))
        assert chosen.policy == policy, saving
        assert chosen.cheapest == "ppo" and choose(table(today=today, ppo=today * (1 - saving))).extra.low >= 0
    assert MINIMUM_EFFECT == 0.01


def test_a_large_saving_that_is_in_doubt_does_not_pay_either():
    today = np.array([100.0, 100.0, 100.0, 100.0, 100.0])
    chosen = choose(table(today=today, ppo=today - np.array([60.0, -20.0, 50.0, -30.0, 5.0])))
    assert chosen.policy == "today" and chosen.extra_share > 0.1


def test_steady_traffic_gets_a_fixed_fleet_unless_todays_rule_saves_enough_against_it():
    costs = table(fixed=[10.0, 10.0], today=[12.0, 12.0], ppo=[9.0, 9.0])
    assert choose(costs, steady=True).policy == "fixed" and choose(costs).policy == "ppo"
    assert choose(costs, steady=True).extra_share == pytest.approx(1 / 9)
    assert choose(costs.assign(today=9.5), steady=True).policy == "ppo"
    assert choose(costs.assign(today=9.95), steady=True).policy == "fixed", "half a percent is not enough"


def test_of_equal_policies_the_simplest_is_chosen_and_a_fixed_fleet_of_today_is_kept():
    for name in ORDER:
        equals = ORDER[ORDER.index(name) :]
        costs = table(**{each: [10.0, 12.0, 11.0] for each in equals} | {"today": [10.0, 12.0, 11.0]})
        assert choose(costs).policy == ("fixed" if name == "fixed" else "today"), name
        assert choose(costs, today_is_fixed=True).policy == "today", name


def test_what_learning_is_worth_is_measured_against_the_best_policy_of_the_other_kind(best):
    rules = {"fixed": best + 9, "today": best + 5, "threshold": best + 4}
    learner = choose(table(**rules, dqn=best + 2, ppo=best)).rival
    assert (learner.name, learner.saved.mean) == ("threshold", pytest.approx(4))
    rule = choose(table(**rules, target_tracking=best, dqn=best + 2, ppo=best + 3)).rival
    assert (rule.name, rule.saved.mean) == ("dqn", pytest.approx(-2))
    assert choose(table(**rules)).rival is None


def test_noise_about_a_constant_level_is_steady_and_a_rush_is_not():
    service = Setup(fields=WIDE).service_for(Trace("traffic", wavy(), 3600))
    service = dataclasses.replace(service, step_seconds=300, steps_per_episode=288)
    noisy = np.random.default_rng(0).poisson(2000, (30, 288))
    rush = noisy.copy()
    rush[::7, 100:104] += 3000  # 20 minutes a week
    assert is_steady(noisy, service) and not is_steady(rush, service)
    assert is_steady(np.random.default_rng(0).integers(0, 200, (30, 288)), service), "two instances always serve it"
