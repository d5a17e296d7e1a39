"""The written rule: the simplest policy whose cost cannot be told from the cheapest, and a minimum effect."""

import dataclasses
import re

import numpy as np
import pandas as pd
import pytest
from advice_cases import WIDE, answer_for, recommending, wavy

from autoscaler_env.advice.compare import over_trainings
from autoscaler_env.advice.page import page
from autoscaler_env.advice.recommend import ORDER, choose, is_steady, quoted, recommend, refusals
from autoscaler_env.advice.report import answer_of, limits_of
from autoscaler_env.advice.setup import TODAY_RULES, Setup
from autoscaler_env.advice.text import headline, reason, stands_for_a_year
from autoscaler_env.evaluation.statistics import MINIMUM_EFFECT, mean_interval
from autoscaler_env.policies.registry import LEARNERS
from autoscaler_env.text import percent
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


def test_every_rule_and_every_learner_can_be_recommended():
    today, cheap = [10.0, 10.1, 9.9, 10.0], [7.0, 7.1, 6.9, 7.0]
    for name in (*(rule for rule in TODAY_RULES), *LEARNERS):
        assert choose(pd.DataFrame({"today": today, name: cheap})).policy == name


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


def test_of_policies_like_the_cheapest_one_that_beats_today_beyond_doubt_is_preferred():
    today = np.full(6, 100.0)
    doubtful = today - np.array([30.0, -9.0, 25.0, -8.0, 20.0, -4.0])  # the cheapest on average, or dearer than today
    certain = today - np.array([5.0, 6.0, 5.5, 6.5, 5.0, 6.0])
    chosen = choose(table(today=today, threshold=doubtful, target_tracking=certain))
    assert (chosen.policy, chosen.cheapest) == ("target-tracking", "threshold") and chosen.saving.low > 0
    assert choose(table(today=today, threshold=doubtful)).policy == "today", "no change without a certain saving"


def test_a_policy_that_may_not_be_recommended_is_not_and_the_least_saving_can_be_set():
    today = np.linspace(90, 110, 30)
    costs = table(today=today, threshold=today * 0.97, target_tracking=today * 0.95, ppo=today * 0.9)
    assert choose(costs, allowed=("threshold", "target-tracking")).policy == "target-tracking"
    assert choose(costs, allowed=()).policy == "today"
    assert choose(costs, allowed=("threshold",), least=0.04).policy == "today"


def test_from_ten_days_the_choice_is_made_on_the_first_half_and_measured_on_the_second():
    today = np.full(12, 100.0)
    costs = table(today=today, threshold=today - np.r_[[20.0] * 6, [5.0] * 6] - np.arange(12) / 100)
    chosen = quoted(costs, choose)
    assert chosen.policy == "threshold"
    assert chosen.saving == pytest.approx(mean_interval(5 + np.arange(6, 12) / 100)), "the first six days do not count"
    faded = quoted(costs.assign(threshold=today - np.r_[[20.0] * 6, [0.0] * 6]), choose)
    assert (faded.policy, faded.unconfirmed) == ("today", "threshold") and faded.saving.mean == 0
    assert "looked cheaper, but on days that this choice had not seen" in reason(faded)


def test_below_ten_days_each_day_is_measured_by_the_choice_of_the_others():
    today = np.full(6, 100.0)
    costs = table(today=today, threshold=today - 10 - np.arange(6) / 10)
    chosen = quoted(costs, choose)
    assert chosen.policy == "threshold" and chosen.saving == pytest.approx(mean_interval(10 + np.arange(6) / 10))
    asked = []

    def choice(days):
        asked.append(list(days.index))
        return choose(days)

    quoted(costs, choice)
    assert asked == [list(range(6)), *([other for other in range(6) if other != day] for day in range(6))]
    assert quoted(costs.iloc[:1], choose).policy == "today", "one day says nothing about another"


@pytest.fixture(scope="module")
def learned():
    """Return a comparison in which a learner does what the best rule does with half the fleet; three trainings."""
    comparison = answer_for(wavy(25)).comparison
    rule = comparison.candidates[comparison.costs.mean().idxmin()]
    learner = dataclasses.replace(with_fleet(rule, 0.5), name="ppo")
    return trained(comparison, learner, learner, learner)


def with_fleet(candidate, share):
    """Return a policy that does the same with a share of its instances."""
    ready = np.rint(share * candidate.trajectory.ready).astype(int)
    return dataclasses.replace(candidate, trajectory=dataclasses.replace(candidate.trajectory, ready=ready))


def trained(comparison, *trainings, **fields):
    """Return the comparison with these trainings of a learner."""
    learner = over_trainings(trainings[0], trainings)
    return dataclasses.replace(comparison, candidates=comparison.candidates | {"ppo": learner}, **fields)


def test_a_learner_is_recommended_only_from_three_trainings_that_save_enough_beyond_their_own_chance(learned):
    good, *_ = learned.candidates["ppo"].trainings
    assert recommend(learned).policy == "ppo"
    for other, chosen in ((1.1, True), (2.0, False), (4.0, False)):
        unlike = recommend(trained(learned, good, good, with_fleet(good, other)))
        assert (unlike.policy == "ppo") == chosen, "days alone would be certain for all three"
    assert recommend(trained(learned, good, good)).refused["ppo"] == "was trained with fewer than 3 seeds"
    assert recommend(trained(learned, good, good, good, quick=True)).policy not in LEARNERS


def test_the_saving_of_a_learner_is_the_mean_of_its_trainings_with_an_interval_over_days_and_trainings(learned):
    good, *_ = learned.candidates["ppo"].trainings
    trainings = (good, with_fleet(good, 1.2), with_fleet(good, 0.8))
    chosen = recommend(trained(learned, *trainings))
    days = slice(len(learned.costs) // 2, None)
    today = learned.candidates["today"].costs[days]
    saved = np.array([today - training.costs[days] for training in trainings])
    assert chosen.saving == mean_interval(saved) and chosen.trainings == 3
    assert chosen.saving.low < mean_interval(saved.mean(axis=0)).low
    assert "5 paired days, 3 trainings)" in headline(learned, chosen)


def test_a_training_that_serves_fewer_requests_in_time_refuses_its_learner(learned):
    good, *_ = learned.candidates["ppo"].trainings
    late = dataclasses.replace(good, in_time=(good.in_time * 0.9).astype(int), late_share=0.1)
    assert recommend(trained(learned, good, good, late)).policy not in LEARNERS


def test_the_headline_calls_a_learner_an_experiment_and_credits_calibration_with_its_part(learned):
    chosen = recommend(learned)
    text = headline(learned, chosen)
    unseen = learned.costs.iloc[len(learned.costs) // 2 :]
    rule = chosen.rival.name
    calibration, learning = (unseen["today"] - unseen[rule]).mean(), (unseen[rule] - unseen["ppo"]).mean()
    assert text.startswith("An experiment: the PPO policy")
    assert f"saves ${calibration:,.2f} a day, learning ${learning:,.2f}." in text


def test_a_policy_that_serves_fewer_requests_in_time_is_not_recommended(learned):
    rule = dataclasses.replace(learned.candidates["ppo"].trainings[0], name="threshold")
    late = dataclasses.replace(rule, in_time=(rule.in_time * 0.9).astype(int), late_share=0.1, drop_share=0)
    chosen = recommend(dataclasses.replace(learned, candidates=learned.candidates | {"threshold": late}))
    assert chosen.policy != "threshold"
    assert chosen.refused["threshold"].startswith("serves only 90.00 % of the requests in time (today's rule: ")


def test_a_policy_is_not_recommended_where_a_simpler_one_costs_no_more_and_serves_no_fewer(learned):
    rule = learned.candidates["hpa-demand"]
    daily = rule.trajectory.arrivals.sum(axis=1)
    in_time = {"hpa-cpu": 0.999, "hpa-demand": 0.9995, "target-tracking": 0.9992, "forecast": 0.9996}
    rules = {
        name: dataclasses.replace(
            with_fleet(rule, 1.2 if name == "hpa-cpu" else 1),
            name=name,
            in_time=np.rint(share * daily).astype(int),
            late_share=1 - share,
            drop_share=0.0,
        )
        for name, share in in_time.items()
    }
    now = learned.candidates["today"]
    refused = refusals(dataclasses.replace(learned, candidates={"today": now} | rules))
    assert list(refused) == ["target-tracking"], "HPA on CPU is dearer, and the forecast serves more in time"
    assert refused["target-tracking"].startswith("costs no less than HPA on demand on all held-out days")


def test_another_setting_of_todays_rule_is_the_simplest_change_of_a_rule(best):
    costs = table(fixed=best + 9, today=best + 5, threshold=best, hpa_cpu=best, target_tracking=best)
    for own, chosen in (("threshold", "threshold"), ("target-tracking", "target-tracking"), ("fixed", "threshold")):
        assert choose(costs, own).policy == chosen, own


def test_where_each_days_choice_differs_todays_rule_stays_and_the_texts_do_not_speak_of_chance(learned):
    saved = np.array([1.5, 0.9, 0.9, 0.9, 0.95, 0.95])  # 1.02 % on average; without the first day 0.92 %
    chosen = quoted(table(today=np.full(6, 100.0), threshold=100 - saved), choose)
    assert (chosen.policy, chosen.unconfirmed, chosen.choices_differ) == ("today", "threshold", True)
    assert chosen.extra.low > 0, "the table's interval excludes zero"
    assert "which policy is best depends on the days" in headline(learned, chosen)
    assert "The table's intervals do not count that" in reason(chosen)
    (text,) = (limit for limit in limits_of(learned, chosen) if "costs 1 % more" in limit)
    assert "Today's rule stays: which policy is best depends" in text and "chance" not in text


def test_where_todays_rule_drops_many_requests_the_headline_asks_for_the_set_up_and_names_no_dollars():
    answer = answer_for(wavy(25), None, {"rule": "fixed", "instances": 2})
    dropped = percent(answer.comparison.candidates["today"].drop_share)
    assert answer.headline.startswith(
        f"Check the set-up first: in the simulation today's rule drops {dropped}. If that is true, "
    )
    assert answer.headline.endswith(" serves them.") and "$" not in answer.headline
    assert answer.no_saving.startswith(f"No saving is named: a saving against a rule that drops {dropped} of the")
    plain = answer.as_dict()
    assert plain["recommendation"]["saved_a_day"] is None and plain["recommendation"]["no_saving"] == answer.no_saving
    assert all(policy["saved_a_day"] is policy["saved_a_year"] is None for policy in plain["policies"].values())
    html = page(answer).replace("\N{NO-BREAK SPACE}", " ")
    tiles = re.findall(r'<div class="tile">.*?<b>(.*?)</b>', html)
    served = [f"{100 * answer.policies[name].in_time_share:.2f} %" for name in ("today", "fixed")]
    assert tiles[:2] == [f"{share} <small>in time</small>" for share in served], "no dollars come first"
    assert "a year</span>" not in html and "saves $" not in html and answer.no_saving.replace("'", "&#39;") in html


def test_a_rule_that_drops_as_much_as_todays_is_no_remedy_and_a_fleet_that_is_too_small_is_named():
    fields = {"max_instances": 8, "min_instances": 1}  # eight of 100 a step, for some 1,000
    answer = answer_for(wavy(), fields, {"rule": "threshold", "add_above": 0.9, "remove_below": 0.3})
    assert answer.comparison.candidates["today"].drop_share > 0.1
    hardly = "hardly changes it: check max_instances = 8."
    assert answer.headline.endswith(hardly) == (answer.recommendation.policy != "today")
    assert headline(answer.comparison, recommending(answer, "fixed").recommendation).endswith(hardly)


def test_days_of_one_weekday_stand_for_no_year():
    days = Trace("traffic", np.full((20, 24), 500), 3600, weekdays=[0] * 20)
    assert not stands_for_a_year(8, days) and not stands_for_a_year(5, Trace("traffic", days.requests))
    assert stands_for_a_year(8, Trace("traffic", days.requests, weekdays=[i % 7 for i in range(20)]))
    assert stands_for_a_year(8, Trace("traffic", days.requests)), "weekdays are unknown"


def test_where_losing_a_request_is_cheaper_than_serving_it_nothing_is_recommended_and_that_comes_first():
    answer = answer_for(wavy(), {"drop_price": 0.00001})
    assert answer.recommendation.policy == "today" and not answer.reason + answer.sacrifice
    assert answer.no_saving.startswith("No saving is named: with these prices") and answer.no_saving in answer.text
    assert answer.headline.startswith("With these prices it is cheaper to lose requests: $0.00")
    assert "to drop one. Give other prices first. Until then: keep today's rule" in answer.headline
    said = answer.headline.partition(" Give")[0]
    html = page(answer)
    assert answer.comparison.doubts[0].startswith(said) and html.count(said) == 1, "the page says it once"
    assert "today&#39;s rule (stays)" in html and "(recommended)" not in html


def test_traffic_that_one_instance_serves_has_nothing_to_save_and_its_units_are_doubted():
    answer = answer_for(
        np.full((10, 24), 4), {"min_instances": 1, "initial_instances": 1}, {"rule": "fixed", "instances": 1}
    )
    assert answer.headline.startswith(
        "This traffic needs 0.04 instances at its peak: check the units. There is nothing to save above min_instances."
    )


def test_the_days_that_a_saving_is_measured_on_stand_beside_the_saving_on_all_days():
    answer = answer_for(wavy(25), None, {"rule": "fixed", "instances": 40})  # 10 held out, 5 of them unseen
    costs = answer.comparison.costs
    on_all = (costs["today"] - costs[answer.recommendation.policy]).mean()
    assert "measured on the 5 days that the choice has not seen; on all 10 held-out days it is " in answer.headline
    assert f"it is ${on_all:,.2f} a day." in answer.headline


def test_one_held_out_day_proves_nothing_and_has_no_interval():
    answer = answer_for(wavy(2), None, {"rule": "fixed", "instances": 40})
    plain = answer.as_dict()
    assert plain["how_to"]["text"] == "Change nothing yet: one held-out day proves nothing."
    assert "infinity" not in answer.text and "infinity" not in page(answer) and "no interval from 1 day" in page(answer)


def test_below_six_days_no_yearly_saving_is_quoted():
    for days, yearly in ((12, False), (15, True), (25, False)):  # measured on 5, 6, and 5 of 10 held-out days
        answer = answer_for(wavy(days), None, {"rule": "fixed", "instances": 40})
        assert answer.recommendation.policy != "today" and ("a year" in answer.headline) == yearly, days


def test_steady_traffic_gets_a_fixed_fleet_unless_todays_rule_saves_enough_against_it():
    costs = table(fixed=[10.0, 10.0], today=[12.0, 12.0], ppo=[9.0, 9.0])
    assert choose(costs, steady=True).policy == "fixed" and choose(costs).policy == "ppo"
    assert choose(costs, steady=True).extra_share == pytest.approx(1 / 9)
    assert choose(costs.assign(today=9.5), steady=True).policy == "ppo"
    assert choose(costs.assign(today=9.95), steady=True).policy == "today", "half a percent is not enough"


def test_of_equal_policies_the_simplest_is_chosen_and_a_fixed_fleet_of_today_is_kept():
    for name in ORDER:
        equals = ORDER[ORDER.index(name) :]
        costs = table(**{each: [10.0, 12.0, 11.0] for each in equals} | {"today": [10.0, 12.0, 11.0]})
        assert choose(costs).policy == "today", name
        assert choose(costs, own="fixed").policy == "today", name


def test_what_learning_is_worth_is_measured_against_the_best_policy_of_the_other_kind(best):
    rules = {"fixed": best + 9, "today": best + 5, "threshold": best + 4}
    learner = choose(table(**rules, dqn=best + 2, ppo=best)).rival
    assert (learner.name, learner.saved.mean) == ("threshold", pytest.approx(4))
    rule = choose(table(**rules, target_tracking=best, dqn=best + 2, ppo=best + 3)).rival
    assert (rule.name, rule.saved.mean) == ("dqn", pytest.approx(-2))
    assert choose(table(**rules, ppo=best + 2, policy_iteration=best)).policy == "policy-iteration"
    assert choose(table(**rules)).rival is None


def test_noise_about_a_constant_level_is_steady_and_a_rush_is_not():
    service = Setup(fields=WIDE).service_for(Trace("traffic", wavy(), 3600))
    service = dataclasses.replace(service, step_seconds=300, steps_per_episode=288)
    noisy = np.random.default_rng(0).poisson(2000, (30, 288))
    rush = noisy.copy()
    rush[::7, 100:104] += 3000  # 20 minutes a week
    assert is_steady(noisy, service) and not is_steady(rush, service)
    assert is_steady(np.random.default_rng(0).integers(0, 200, (30, 288)), service), "two instances always serve it"


def test_what_a_few_days_cannot_confirm_is_told_with_its_size():
    answer = answer_for(wavy(4), None, {"rule": "fixed", "instances": 40})  # 2 held out
    chosen, costs = answer.recommendation, answer.comparison.costs
    assert chosen.policy == "today" and chosen.choices_differ
    other = chosen.unconfirmed
    saved = (costs["today"] - costs[other]).mean()
    setting = answer.comparison.candidates[other].description
    assert "2 days cannot confirm a saving. " in answer.headline and "depends on the days" not in answer.headline
    assert (
        f"({setting}) would have saved ${saved:,.2f} a day on these 2 days: run this again with two" in answer.headline
    )
    assert answer.as_dict()["how_to"]["text"] == "Change nothing yet: 2 held-out days prove little."
    html = page(answer)
    assert "Its best setting" not in html and "Today&#39;s rule, calibrated on 2 days" in html


def test_below_ten_days_a_change_is_to_be_repeated_with_more_days():
    for days, few in ((15, True), (25, False)):
        answer = answer_for(wavy(days), None, {"rule": "fixed", "instances": 40})
        assert answer.recommendation.policy != "today"
        assert answer.headline.endswith("This is from 6 days: repeat it with more days before you change.") == few


def test_where_the_fewest_instances_are_all_of_the_cost_that_is_named():
    requests = np.full((12, 24), 180)
    fields = {"min_instances": 3, "initial_instances": 3}
    answer = answer_for(requests, fields, {"rule": "hpa-cpu", "target": 0.8})
    cost = 3 * 24 * 0.192
    assert f": all of the ${cost:.2f} a day is min_instances = 3, and nothing costs less unless" in answer.headline
    assert "simpler" not in answer.reason
    for name in ("today", "optimum"):
        assert answer.cost_of(name).low == pytest.approx(cost)


def test_no_interval_reaches_what_is_impossible(learned):
    answer = answer_of(learned)
    fixed, service = learned.candidates["fixed"], learned.service
    least = fixed.settings["instances"] * service.instance_price * service.steps_per_episode
    wide = dataclasses.replace(fixed.trajectory, dropped=fixed.trajectory.dropped.copy())
    wide.dropped[0, 0] += 10**6
    wide = dataclasses.replace(fixed, trajectory=wide)
    changed = dataclasses.replace(learned, candidates=learned.candidates | {"fixed": wide})
    assert wide.cost.low < least == pytest.approx(answer_of(changed).cost_of("fixed").low)
    plain = answer_of(changed).as_dict()["policies"]
    assert plain["fixed"]["dollars_a_day"]["low"] == pytest.approx(least, abs=1e-3)
    assert all(policy["saved_a_day"]["low"] >= 0 for name, policy in plain.items() if name == "optimum")
    assert answer.cost_of("today").low >= service.min_instances * service.instance_price * service.steps_per_episode


def test_an_optimum_that_costs_nothing_has_no_share_above_it():
    requests = wavy(5)
    requests[3:] = 0
    answer = answer_for(requests, {"min_instances": 0, "initial_instances": 0}, {"rule": "hpa-cpu", "target": 0.8})
    assert answer.comparison.optimum.cost.mean == 0 and answer.above_optimum("today") is None and page(answer)


def test_where_a_wait_costs_more_than_a_drop_no_saving_is_named_and_no_optimum_shown():
    answer = answer_for(wavy(8), {"late_price": 0.3})
    assert answer.recommendation.policy == "today" and not answer.sacrifice and answer.comparison.optimum is None
    assert answer.no_saving.startswith("No saving is named: with these prices")
    assert answer.headline.startswith("With these prices it is cheaper to lose requests than to serve them late: ")
    assert "may be $" not in answer.text and "Give other prices first. Until then: keep" in answer.headline
