"""Costs, waits and savings: by hand arithmetic, and with intervals that this file computes a second time."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from cases import cases, every_service
from scipy import stats

from autoscaler_env.evaluation.metrics import (
    compare_policies,
    evaluate,
    evaluate_patterns,
    mean_over_patterns,
    measure,
    save_evaluation,
    savings,
    summarise,
    verdict,
)
from autoscaler_env.evaluation.report import standing
from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.evaluation.statistics import mean_interval
from autoscaler_env.paths import Folders
from autoscaler_env.policies.rules import Static, TargetTracking, Threshold
from autoscaler_env.service import Service
from autoscaler_env.traffic.patterns import Pattern, day_seeds

SMALL = Service(
    capacity_per_instance=10,
    min_instances=1,
    max_instances=5,
    initial_instances=1,
    queue_limit=20,
    steps_per_episode=5,
)
# One instance serves 10. Step 1: 10 of 35 served, 20 wait, 5 dropped. Step 2 orders an instance, step 4 retires one.
ARRIVALS = [10, 35, 0, 0, 5]
CHANGES = [0, 0, 1, 0, -1]
WANTED = {
    "cost": 0.132,
    "instance_cost": 7 * 0.016,  # fleet 1, 1, 2, 2, 1
    "late_cost": (20 + 10) * 0.00025,
    "drop_cost": 5 * 0.0025,
    "arrivals": 50,
    "served": 45,  # 10, 10, 10, 10, 5
    "late": 20,
    "dropped": 5,
    "in_time": 0.5,  # 10, 10, 0, 0, 5 of 50
    "wait_p95": 600,  # of 45: 25 at once, 10 after 300 s, 10 after 600 s
    "wait_p99": 600,
    "mean_queue": 6,
    "peak_queue": 20,
    "mean_fleet": 1.4,
    "utilisation": 0.8,  # 1, 1, 1, 0.5, 0.5
    "scaling_actions": 2,
}


class Days:
    """A workload of given days."""

    name = "given"

    def __init__(self, days):
        self._days = np.array(days)

    def draw(self, seeds):
        raise AssertionError("evaluation draws its days from evaluation_days")

    def evaluation_days(self, episodes):
        return self._days[:episodes]


@pytest.fixture
def small_day(script):
    """Return what was measured on the day above."""
    actions = [[SMALL.fleet_changes.index(change) for change in CHANGES]]
    return measure(simulate(script(actions), np.array([ARRIVALS]), SMALL)).iloc[0]


def test_a_small_day_by_hand(small_day):
    assert small_day.to_dict() == pytest.approx(WANTED, rel=1e-12)


@every_service
def test_items_and_requests_add_up_on_any_service(any_service, random_trajectory):
    trajectory = random_trajectory(any_service)
    rows = measure(trajectory)
    assert np.allclose(rows["cost"], rows[["instance_cost", "late_cost", "drop_cost"]].sum(axis=1), rtol=1e-12)
    assert np.array_equal(rows["arrivals"] - rows["served"] - rows["dropped"], trajectory.queue[:, -1])
    assert (rows["late"] >= 0).all() and rows["in_time"].between(0, 1).all() and rows["utilisation"].between(0, 1).all()


def test_evaluate_plays_the_same_days_with_each_policy():
    rows = evaluate([Static(SMALL), Threshold(SMALL)], Days([ARRIVALS, [5] * 5]), 2, SMALL)
    assert rows["policy"].tolist() == ["static"] * 2 + ["threshold"] * 2
    assert rows["episode"].tolist() == [0, 1] * 2 and set(rows["pattern"]) == {"given"}
    assert rows["arrivals"].tolist() == [50, 25] * 2


def test_evaluate_equals_trajectories_on_evaluation_days():
    rows = evaluate([TargetTracking()], "SPIKE", 3)
    days = Pattern("SPIKE", Service()).draw(day_seeds("evaluation", 3))
    assert rows["cost"].tolist() == simulate(TargetTracking(), days).cost.sum(axis=1).tolist()


def test_evaluate_takes_as_many_days_as_there_are():
    assert len(evaluate([Static(SMALL)], Days([ARRIVALS]), 99, SMALL)) == 1


@cases("policies", [[], [Static(SMALL), Static(SMALL)]])
def test_policies_need_different_names(policies):
    with pytest.raises(ValueError, match=r"policies = .*different names"):
        evaluate(policies, Days([ARRIVALS]), 1, SMALL)


def test_fewer_than_one_episode_is_refused():
    with pytest.raises(ValueError, match=r"episodes = 0.*at least 1"):
        evaluate([Static(SMALL)], Days([ARRIVALS]), 0, SMALL)


def test_each_pattern_may_have_its_own_policies():
    rows = evaluate_patterns(lambda name: [TargetTracking(name=f"for-{name}")], ["STEADY", "SPIKE"], 2)
    assert rows["policy"].tolist() == ["for-STEADY"] * 2 + ["for-SPIKE"] * 2


def interval_of(values):
    """Return the mean and its 95 % interval, computed one term at a time.

    The values count as n / (1 + 2 sum over lags of (1 - lag / n) r^lag) independent ones; r is the correlation of
    neighbours, corrected for its bias and at least 1 / n. With fewer than four values there is no such correction.
    """
    values = [float(value) for value in values]
    n, mean = len(values), math.fsum(values) / len(values)
    errors = [value - mean for value in values]
    squares, effective = math.fsum(error**2 for error in errors), float(n)
    if n >= 4:
        correlation = math.fsum(errors[i] * errors[i + 1] for i in range(n - 1)) / squares
        correlation = min(max((n * correlation + 1) / (n - 3), 1 / n), 0.9)
        effective = max(4.0, n / (1 + 2 * sum((1 - lag / n) * correlation**lag for lag in range(1, n))))
    variance = squares / n * effective / (effective - 1)
    half = stats.t(effective - 1).ppf(0.975) * math.sqrt(variance / effective)
    return mean, mean - half, mean + half


def test_the_second_computation_is_student_s_for_few_values_and_wider_for_more():
    few, many = [3.0, 5.0, 4.5], [3.0, 5.0, 4.5, 4.0, 6.0]
    assert interval_of(few)[1:] == pytest.approx(tuple(stats.ttest_1samp(few, 0).confidence_interval()))
    _, low, high = interval_of(many)
    student = stats.ttest_1samp(many, 0).confidence_interval()
    assert low < student.low and high > student.high


def students_interval(values):
    """Return the mean and its 95 % interval for independent values, as scipy has it."""
    interval = stats.ttest_1samp(values, 0).confidence_interval()
    return float(np.mean(values)), interval.low, interval.high


def test_days_of_a_pattern_are_independent_and_recorded_days_are_not():
    costs = [140.0, 143.0, 141.5, 147.0, 150.0, 149.0, 152.0, 158.0]
    days = pd.DataFrame({"policy": "rule", "episode": range(8), "cost": costs})
    for pattern, interval in {"SPIKE": students_interval, "MEAN": students_interval, "a trace": interval_of}.items():
        row = summarise(days.assign(pattern=pattern)).iloc[0]
        assert row[["cost", "cost_low", "cost_high"]].tolist() == pytest.approx(interval(costs)), pattern


@pytest.fixture(scope="module")
def episodes():
    """Return three rules on two patterns, six days each."""
    rules = [TargetTracking(), Static(), Threshold()]
    return evaluate_patterns(lambda name: rules, ["STEADY", "SPIKE"], 6)


def test_summary_holds_means_and_the_interval_of_the_cost(episodes):
    row = summarise(episodes).loc[("threshold", "SPIKE")]
    days = episodes[(episodes["policy"] == "threshold") & (episodes["pattern"] == "SPIKE")]
    assert row[["cost", "cost_low", "cost_high"]].tolist() == pytest.approx(students_interval(days["cost"]))
    assert row["wait_p95"] == pytest.approx(days["wait_p95"].mean())


def test_summary_keeps_the_order_in_which_policies_came(episodes):
    assert list(summarise(episodes).index.unique("policy")) == ["target-tracking", "static", "threshold"]


def test_savings_are_paired_on_the_same_days(episodes):
    row = savings(episodes, "threshold").loc[("target-tracking", "STEADY")]
    costs = episodes[episodes["pattern"] == "STEADY"].pivot(index="episode", columns="policy", values="cost")
    assert row.tolist() == pytest.approx(students_interval(costs["threshold"] - costs["target-tracking"]))


def test_savings_do_not_depend_on_the_order_of_rows(episodes):
    shuffled = episodes.sample(frac=1, random_state=0)
    one, other = savings(episodes, "static").sort_index(), savings(shuffled, "static").sort_index()
    pd.testing.assert_frame_equal(one, other)


def test_there_are_no_savings_against_itself(episodes):
    assert "static" not in savings(episodes, "static").index.get_level_values("policy")


def test_savings_against_an_unknown_policy_are_refused(episodes):
    with pytest.raises(ValueError, match=r"against = 'nobody'.*static"):
        savings(episodes, "nobody")


def test_savings_of_a_policy_that_played_one_pattern_only(episodes):
    partly = episodes[(episodes["policy"] != "static") | (episodes["pattern"] == "SPIKE")]
    assert savings(partly, "threshold").loc["static"].index.tolist() == ["SPIKE"]


# --- over patterns ---------------------------------------------------------------------------------------------------


def costs_of(**costs):
    """Return episodes of policies on two patterns: costs by policy, a list per pattern."""
    rows = [
        {"policy": policy, "pattern": pattern, "episode": episode, "cost": cost}
        for policy, columns in costs.items()
        for pattern, column in zip(("STEADY", "SPIKE"), columns, strict=True)
        for episode, cost in enumerate(column)
    ]
    return pd.DataFrame(rows)


def test_the_mean_over_patterns_averages_within_an_episode_first():
    means = mean_over_patterns(costs_of(a=[[1.0, 2.0], [5.0, 8.0]], b=[[0.0, 0.0], [2.0, 4.0]]))
    assert means["pattern"].unique().tolist() == ["MEAN"]
    assert means.set_index(["policy", "episode"])["cost"].to_dict() == {
        ("a", 0): 3,
        ("a", 1): 5,
        ("b", 0): 1,
        ("b", 1): 2,
    }


def test_an_episode_that_a_pattern_lacks_is_left_out_of_the_mean():
    means = mean_over_patterns(costs_of(a=[[1.0, 2.0, 9.0], [5.0, 8.0]]))
    assert means["episode"].tolist() == [0, 1]


def test_a_saving_that_may_be_zero_is_not_claimed():
    played = costs_of(a=[[1.0, 2.0, 3.0], [4.0, 5.0, 7.0]], b=[[2.0, 1.0, 3.0], [5.0, 4.0, 7.0]])
    sentence = verdict(played, "a", "b")
    _, low, high = interval_of([1.0, -1.0, 0.0])  # b costs 3.5, 2.5, 5.0 and a 2.5, 3.5, 5.0
    assert sentence.startswith("a and b cannot be told apart")
    assert f"-${-low:.2f} to +${high:.2f}" in sentence
    assert sentence.endswith("3 paired days on each of 2 patterns).")


@pytest.mark.parametrize("pattern", ["STEADY", "office-day", "recorded.csv"])
def test_a_sentence_and_the_tables_give_one_saving_the_same_interval(pattern):
    dearer = [1.0, 1.5, 2.5, 4.0, 5.0, 5.5, 4.5, 3.0]  # neighbours are alike
    played = costs_of(rule=[dearer, []], model=[[0.0] * 8, []]).assign(pattern=pattern)
    _, low, high = savings(played, "rule").loc[("model", pattern)]
    assert f"(95 % interval ${low:.2f} to ${high:.2f}, 8 paired days)" in verdict(played, "model", "rule")
    assert standing(played, "model").loc["rule", ["saving", "low", "high"]].tolist()[1:] == pytest.approx([low, high])
    is_independent = mean_interval(np.array(dearer), independent=True)
    assert (high == pytest.approx(is_independent.high)) == (pattern == "STEADY"), "only our patterns are independent"


def test_the_json_holds_what_the_table_holds(tmp_path, episodes):
    table, results = save_evaluation(episodes, Folders(tmp_path), against="threshold")
    written, rows = json.loads(results.read_text()), pd.read_csv(table, index_col=["policy", "pattern"])
    assert written["episodes"] == 6 and set(written["patterns"]) == {"STEADY", "SPIKE"}
    saved = written["patterns"]["SPIKE"]["static"]
    assert saved == pytest.approx(rows.loc[("static", "SPIKE")].to_dict())
    assert saved["saving"] == pytest.approx(savings(episodes, "threshold").loc[("static", "SPIKE"), "saving"], abs=1e-4)
    mean = np.mean([written["patterns"][name]["static"]["cost"] for name in ("STEADY", "SPIKE")])
    assert written["mean"]["static"]["cost"] == pytest.approx(mean, abs=1e-4)
    assert written["mean"]["threshold"]["saving"] is None


def test_policies_are_compared_in_one_call_and_one_alone_has_no_saving():
    table = compare_policies([Threshold(), TargetTracking()], ["STEADY", "SPIKE"], 6)
    alone = evaluate([TargetTracking()], "SPIKE", 6)["cost"]
    row = table.loc[("target-tracking", "SPIKE")]
    assert row["cost"] == pytest.approx(alone.mean()) and row["saving_low"] < row["saving"] < row["saving_high"]
    assert row["saving"] == pytest.approx(table.loc[("threshold", "SPIKE"), "cost"] - row["cost"])
    assert table.index.unique("pattern").tolist() == ["STEADY", "SPIKE", "MEAN"]
    single = compare_policies([Threshold()], ["SPIKE"], 6)
    assert len(single) == 1 and single["saving"].isna().all() and single["cost"].notna().all()
