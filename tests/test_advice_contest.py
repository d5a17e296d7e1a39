"""The contest on held-out days, and the recommendation, on traffic whose answer is known by construction."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from autoscaler_env.advice.compare import BUDGETS, hold_contest
from autoscaler_env.advice.recommend import ORDER, Interval, bootstrap_interval, choose, is_steady
from autoscaler_env.advice.report import answer, as_plain, limits_of, traffic_limits
from autoscaler_env.advice.setup import Setup
from autoscaler_env.advice.text import reason
from autoscaler_env.evaluation.calibration import RULE_GRIDS, cheapest_setting, forecast_grid
from autoscaler_env.evaluation.simulation import by_day, simulate, simulate_through
from autoscaler_env.policies.rules import Static, TargetTracking
from autoscaler_env.traffic.trace import Trace

CHANGES = [-32, -16, -8, -4, -2, -1, 0, 1, 2, 4, 8, 16, 32]
WIDE = {"capacity_per_instance": 100, "fleet_changes": CHANGES, "max_instances": 40, "queue_limit": 2000}
"""A service whose fleet gets anywhere within a step or two."""

RNG = np.random.default_rng(0)


def wavy(days=10, steps=24):
    """Return days with a smooth course of their own: arrivals, shape (days, steps)."""
    hours = np.arange(steps) * 24 / steps
    levels = RNG.uniform(800, 1200, days)
    return np.rint(levels[:, None] * (1 + 0.6 * np.sin(2 * np.pi * (hours - 9) / 24))).astype(np.int64)


def found(requests, fields=None, today=None, **options):
    """Return the answer for days of one-hour steps, without learners."""
    setup = Setup("shop", WIDE | (fields or {}), today or {"rule": "threshold", "add_above": 0.7, "remove_below": 0.4})
    days = Trace("traffic", requests, 86_400 // requests.shape[1])
    return answer(hold_contest(setup, days, **{"budgets": {}} | options))


def test_days_in_a_row_are_one_long_day():
    days, service = wavy(4), Setup(fields=WIDE).service_for(Trace("traffic", wavy(4), 3600))
    through = simulate_through(TargetTracking(service), days, service)
    single = simulate(TargetTracking(service), days, service)
    cut = by_day(through, service)
    assert np.array_equal(cut.fleet[0], single.fleet[0]) and cut.cost.sum() == pytest.approx(through.cost.sum())
    assert np.array_equal(
        cut.ready[1:, 0],
        cut.ready[:-1, -1] + cut.booting[:-1, -1] + np.minimum(np.array(service.fleet_changes)[cut.actions[1:, 0]], 0),
    ), "the fleet goes over midnight"


@pytest.mark.parametrize("name", [*RULE_GRIDS, "forecast"])
def test_calibration_finds_what_trying_one_by_one_finds(name):
    days = wavy(4)
    service = Setup(fields=WIDE).service_for(Trace("traffic", days, 3600))
    grid = forecast_grid(Trace("t", days)) if name == "forecast" else RULE_GRIDS[name]
    some = dataclasses.replace(grid, grid=lambda service: grid.grid(service)[::9])
    settings, cost = cheapest_setting(some, days[1:], service)

    def cost(values):
        each = dict(zip(some.settings, values, strict=True))
        return simulate_through(some.policy(service, each), days[1:], service).cost.sum() / 3

    coarse = min(some.grid(service), key=cost)
    fine = min(some.near(service, dict(zip(some.settings, coarse, strict=True))), key=cost)
    assert cost == pytest.approx(min(cost(coarse), cost(fine))) == cost(tuple(settings.values()))


def test_calibration_looks_at_the_first_part_alone():
    requests = wavy(5)
    other = requests.copy()
    other[3:] = RNG.integers(0, 3000, other[3:].shape)
    one, two = found(requests).contest, found(other).contest
    for name in one.entries:
        assert one.entries[name].settings == two.entries[name].settings


def test_the_optimum_costs_no_more_than_any_policy():
    contest = found(wavy()).contest
    assert contest.optimum is not None
    assert contest.optimum.costs.sum() <= contest.costs.sum().min() + 1e-9


def test_every_cost_is_that_of_a_plain_trajectory_of_the_held_out_days():
    contest = found(wavy()).contest
    rule = TargetTracking(contest.service, **contest.entries["target-tracking"].settings)
    days = contest.days.later.reshape(1, -1)
    service = dataclasses.replace(contest.service, steps_per_episode=days.size)
    assert contest.costs["target-tracking"].sum() == pytest.approx(simulate(rule, days, service).cost.sum())


# --- answers known by construction ---------------------------------------------------------------------------------


def test_constant_load_gets_a_fixed_fleet():
    told = found(np.full((10, 24), 950))
    assert told.recommendation.policy == "fixed"
    assert "fixed fleet of 10 instances" in told.headline, "950 requests, 100 for each instance"


def test_noise_about_a_constant_level_is_steady_and_a_rush_is_not():
    service = Setup(fields=WIDE).service_for(Trace("traffic", wavy(), 3600))
    service = dataclasses.replace(service, step_seconds=300, steps_per_episode=288)
    noisy = np.random.default_rng(0).poisson(2000, (30, 288))
    rush = noisy.copy()
    rush[::7, 100:104] += 3000  # 20 minutes a week
    assert is_steady(noisy, service) and not is_steady(rush, service)
    assert is_steady(np.random.default_rng(0).integers(0, 200, (30, 288)), service), "two instances serve it always"


def test_constant_load_gets_a_fixed_fleet_of_the_old_size_where_it_runs_already():
    told = found(np.full((10, 24), 950), today={"rule": "fixed", "instances": 10})
    assert told.recommendation.policy == "today" and told.headline.startswith("Keep today's rule")


def test_demand_that_steps_at_random_gets_a_rule_that_follows_demand():
    # Levels last for hours and come without warning: nobody can do better than follow. Waiting is cheap and short.
    levels = np.repeat(np.random.default_rng(1).integers(3, 36, (20, 6)) * 100, 16, axis=1)
    told = found(levels, {"late_price": 1e-6})
    assert told.recommendation.policy in ("hpa-demand", "target-tracking")
    assert told.contest.costs["today"].mean() > 1.2 * told.contest.costs[told.recommendation.policy].mean()
    best = told.contest.costs.mean().min()
    assert told.contest.costs[told.recommendation.policy].mean() <= 1.01 * best


RUSH = {"boot_steps": 3, "queue_limit": 100, "drop_price": 0.05, "late_price": 0.01}


def rush():
    """Return days with a rush that is over before an instance ordered at its beginning has booted."""
    requests = np.full((20, 96), 300)
    requests[:, 40:44] = 3000
    return requests


def test_a_rush_at_the_same_hour_every_day_gets_a_forecast():
    told = found(rush(), RUSH)
    assert told.recommendation.policy == "forecast"
    assert "longer than the interval" in " ".join(told.limits)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("requests", "fields", "best"),
    [(rush(), RUSH, "forecast"), (np.full((20, 96), 950), {}, "fixed")],
    ids=["rush", "constant"],
)
def test_learners_do_not_talk_it_out_of_an_answer_known_by_construction(requests, fields, best):
    told = found(requests, fields, budgets=BUDGETS[True])
    assert set(told.contest.entries) >= {"q-learning", "dqn", "ppo"} and told.recommendation.policy == best


def test_ppo_begins_by_imitating_where_its_budget_holds_a_day_of_that():
    days = wavy()
    imitating, alone = (
        found(days, budgets={"ppo": steps}).contest.entries["ppo"].setting for steps in (64 * 24 + 1, 64 * 24)
    )
    assert "begun by imitating target tracking" in imitating and "imitating" not in alone


def test_the_setting_of_todays_rule_is_all_that_changes_where_that_is_best():
    levels = np.repeat(np.random.default_rng(1).integers(3, 36, (20, 6)) * 100, 16, axis=1)
    told = found(levels, {"late_price": 1e-6}, {"rule": "target-tracking", "target": 0.4, "reserve": 9})
    assert told.recommendation.policy == "target-tracking" and told.recommendation.saving.low > 0
    assert told.headline.startswith("Keep your rule and change its setting to target ")


# --- the rule of the recommendation ----------------------------------------------------------------------------------


def table(**costs):
    return pd.DataFrame(costs)


def test_the_simplest_policy_whose_interval_reaches_the_best_is_chosen():
    noise = RNG.normal(0, 5, 30)
    best = 100 + RNG.normal(0, 20, 30)
    costs = table(
        today=best + 30, threshold=best + 3, **{"target-tracking": best + noise - noise.mean() + 0.2}, ppo=best
    )
    chosen = choose(costs)
    assert (chosen.policy, chosen.cheapest, chosen.refused) == ("target-tracking", "ppo", ("today", "threshold"))
    assert chosen.extra.low < 0 < chosen.extra.high and chosen.extra.mean == pytest.approx(0.2)


def test_a_learner_is_chosen_where_every_rule_is_dearer_beyond_doubt():
    best = 100 + RNG.normal(0, 20, 30)
    wobble = RNG.normal(0, 0.1, 30)
    assert choose(table(fixed=best + 9, today=best + 5, threshold=best + 1 + wobble, ppo=best)).policy == "ppo"


def test_steady_traffic_gets_a_fixed_fleet_unless_todays_rule_is_cheaper_beyond_doubt():
    costs = table(fixed=[10.0, 10.0], today=[12.0, 12.0], ppo=[9.0, 9.0])
    assert choose(costs, steady=True).policy == "fixed" and choose(costs).policy == "ppo"
    assert choose(costs, steady=True).extra_share == pytest.approx(1 / 9)
    assert choose(costs.assign(today=9.5), steady=True).policy == "ppo"


def test_a_learner_that_is_dearer_on_average_is_not_said_to_save_less_than_nothing():
    costs = table(today=[10.0, 10.0, 10.0], ppo=[9.0, 11.0, 13.0])
    told = reason(SimpleNamespace(costs=costs), choose(costs))
    assert "the best learner, PPO, cost $1.00 a day more" in told and "would save, -$" not in told


@pytest.mark.parametrize("name", ORDER)
def test_of_equals_the_simplest_is_chosen(name):
    equals = ORDER[ORDER.index(name) :]
    costs = {each: [10.0, 12.0, 11.0] for each in equals} | {"today": [10.0, 12.0, 11.0]}
    assert choose(table(**costs)).policy == (name if name == "fixed" else "today")


@pytest.mark.parametrize("days", [6, 12, 40])
def test_the_interval_of_normal_paired_days_is_students(days):
    draw = np.random.default_rng(3)
    costs, saving = draw.normal(1000, 300, days), draw.normal(2, 1, days)
    mean, low, high = bootstrap_interval(costs - (costs - saving))
    half = stats.t.ppf(0.975, days - 1) * stats.sem(saving)
    assert mean == pytest.approx(saving.mean())
    assert high - low == pytest.approx(2 * half, rel=0.12)


def test_the_interval_is_the_same_for_the_same_seed_and_reaches_everywhere_for_one_day():
    values = RNG.normal(0, 1, 12)
    assert bootstrap_interval(values, 1) == bootstrap_interval(values, 1) != bootstrap_interval(values, 2)
    assert bootstrap_interval(np.array([5.0]))[1:] == (-np.inf, np.inf)


# --- limits ---------------------------------------------------------------------------------------------------------


def limits(requests, fields=None):
    days = Trace("traffic", requests, 3600)
    return " ".join(traffic_limits(days, Setup(fields=WIDE | (fields or {})).service_for(days)))


def test_few_days_are_a_limit():
    assert "3 days to learn from, 2 held out and do not hold each day of the week" in limits(wavy(5))
    assert "The days are few" not in limits(wavy(40))
    assert "Only 1 day is held out" in limits(wavy(2))


def test_a_held_out_part_unlike_the_first_is_a_limit():
    grown, turned = wavy(40), wavy(40)
    grown[24:] *= 2
    turned[24:] = np.roll(turned[24:], 12, axis=1)
    assert "more traffic than those before" in limits(grown)
    assert "course of the day is another" in limits(turned)
    assert "traffic" not in limits(wavy(40)) and "course" not in limits(wavy(40))


def test_coarse_steps_a_small_fleet_and_small_steps_are_limits():
    assert "60 min long: bursts within it" in limits(wavy())
    assert "10 instances (max_instances) cannot serve all" in limits(wavy(), {"max_instances": 10})
    assert "longer than the interval" in limits(wavy(), {"boot_steps": 2})
    jumpy = np.tile([100, 3000] * 12, (10, 1))
    assert "fleet_changes lets the fleet grow by 1 at most" in limits(jumpy, {"fleet_changes": [-1, 0, 1]})


def test_a_recommended_policy_that_is_dearer_than_the_cheapest_is_said():
    told = found(wavy(4))
    dearer = {"extra": Interval(3.0, -1.0, 7.0), "extra_share": 0.03}
    said, steady, near = (
        " ".join(limits_of(told.contest, dataclasses.replace(told.recommendation, **dearer | more)))
        for more in ({}, {"steady": True}, {"extra_share": 0.009})
    )
    assert "cost 3.0% more on these days than the cheapest" in said and "cannot tell that from chance" in said
    assert "the traffic is steady" in steady and "than the cheapest" not in near


def test_a_service_with_too_many_states_has_no_optimum_and_says_so():
    told = found(wavy(4), {"boot_steps": 9})
    assert told.contest.optimum is None and "No optimum is shown" in " ".join(told.limits)
    assert as_plain(told)["no_optimum"]


def test_more_than_can_be_played_in_one_piece_costs_one_line():
    service = Setup().service_for(Trace("traffic", np.ones((2, 1440)), 60))
    with pytest.raises(ValueError, match="set step_seconds"):
        simulate_through(Static(service), np.ones((100, 1440), dtype=np.int64), service)
