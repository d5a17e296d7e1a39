"""The training seed is the unit of replication, and the statistics over it are right."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from autoscaler_env.evaluation.statistics import (
    bootstrap_level,
    estimate,
    estimates,
    interquartile_mean,
    per_training,
    probability_of_improvement,
    read_curves,
    read_study,
    sample_sizes,
    savings_over_seeds,
)
from autoscaler_env.paths import Folders


def rows_of(costs, algorithm="ppo", patterns=("STEADY", "SPIKE")):
    """Return a study of one learner: a tuple of costs per training, one for each pattern; the rule pays 150."""
    return pd.DataFrame(
        {
            "algorithm": algorithm,
            "trained_on": "MIXED",
            "timesteps": 10,
            "seed": seed,
            "tested_on": pattern,
            "cost": float(cost),
            "one_setting_cost": 150.0,
        }
        for seed, several in enumerate(costs)
        for pattern, cost in zip(patterns, several, strict=True)
    )


STUDY = rows_of([(140, 150), (142, 152), (150, 154), (130, 120), (147, 149)])


def test_training_counts_once_by_its_mean_over_workloads():
    assert per_training(STUDY, "cost").tolist() == [145, 147, 152, 125, 148]
    assert per_training(STUDY, "cost").index.names == ["algorithm", "trained_on", "timesteps", "seed"]


def test_episodes_where_seeds_are_expected_are_refused():
    episodes = pd.DataFrame({"policy": "ppo", "pattern": "STEADY", "episode": [0, 1], "cost": [1.0, 2.0]})
    with pytest.raises(ValueError, match="one row per episode; needed is one row per training seed"):
        per_training(episodes, "cost")
    unnamed = pd.concat([STUDY, STUDY], ignore_index=True)  # several rows of one training, whatever they are
    for statistic in (estimates, savings_over_seeds):
        with pytest.raises(ValueError, match="the training seed is the unit of replication, episodes are not"):
            statistic(unnamed, "cost")
    with pytest.raises(ValueError, match="unit of replication"):
        probability_of_improvement(unnamed, STUDY)


def test_plain_numbers_and_several_learners_are_no_trainings():
    with pytest.raises(ValueError, match="one number per training seed of one learner"):
        estimate(pd.Series(np.arange(2_000.0)))
    both = pd.concat([STUDY, rows_of([(1, 2)], "dqn").assign(seed=9)])
    with pytest.raises(ValueError, match="one number per training seed of one learner"):
        estimate(per_training(both, "cost"))


def test_interquartile_mean_is_the_mean_of_the_middle_half():
    assert interquartile_mean(np.array([8.0, 1, 2, 3, 4, 5, 6, 100])) == (3 + 4 + 5 + 6) / 4
    assert interquartile_mean(np.array([5.0, 1, 2, 3, 100])) == (2 + 3 + 5) / 3  # one of five at either end


def test_interval_of_the_mean_is_that_of_every_resample():
    """Five values have 5^5 resamples: the bootstrap's percentiles are known exactly."""
    values = per_training(STUDY, "cost")
    every = np.array([np.mean(resample) for resample in itertools.product(values, repeat=5)])
    tail = 50 * (1 - bootstrap_level(5))
    found = estimate(values)
    assert found.mean == values.mean() and found.seeds == 5
    assert (found.low, found.high) == pytest.approx(np.percentile(every, [tail, 100 - tail]), abs=1.0)
    assert estimate(values) == found, "the same trainings gave another interval"


@pytest.mark.parametrize(("count", "least"), [(5, 0.88), (10, 0.91)])
def test_interval_holds_the_true_mean_about_as_often_as_it_says(count, least):
    rng = np.random.default_rng(2)
    found = [
        estimate(per_training(rows_of(rng.normal(100, 5, (count, 1)), patterns=("STEADY",)), "cost"))
        for _ in range(150)
    ]
    assert least <= np.mean([one.low <= 100 <= one.high for one in found]) <= 0.99


def test_interval_from_few_trainings_is_near_student_s():
    values = per_training(rows_of(np.random.default_rng(3).normal(100, 5, (10, 2))), "cost")
    low, high = stats.t.interval(0.95, 9, loc=values.mean(), scale=stats.sem(values))
    found = estimate(values)
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.1 * (high - low))


def test_interval_narrows_with_more_seeds_and_holds_the_mean():
    rng = np.random.default_rng(1)
    widths = []
    for count in (5, 20, 80):
        found = estimate(per_training(rows_of(rng.normal(100, 5, (count, 2))), "cost"))
        assert found.low < found.mean < found.high and found.iqm_low < found.iqm < found.iqm_high
        widths.append(found.high - found.low)
    assert widths == sorted(widths, reverse=True)


def test_one_training_has_no_interval():
    found = estimate(per_training(rows_of([(140, 150)]), "cost"))
    assert found.mean == 145 and math.isnan(found.low) and math.isnan(found.high)


def test_saving_is_paired_with_the_rule_on_the_same_days():
    row = savings_over_seeds(STUDY, "one_setting_cost").loc[("ppo", "MIXED", 10)]
    assert row["seeds"] == 5 and row["rule"] == 150
    assert math.isclose(row["saving"], np.mean([5, 3, -2, 25, 2])) and math.isclose(row["iqm"], np.mean([5, 3, 2]))
    assert row["low"] < row["saving"] < row["high"]


def test_probability_of_improvement_is_mann_and_whitney_s():
    ours, theirs = (
        rows_of([(1,), (3,), (5,)], patterns=("STEADY",)),
        rows_of([(2,), (4,), (5,), (9,)], "dqn", ("STEADY",)),
    )
    probability, low, high = probability_of_improvement(ours, theirs)
    statistic = stats.mannwhitneyu([1, 3, 5], [2, 4, 5, 9]).statistic  # pairs in which the first is larger, ties half
    assert math.isclose(probability, 1 - statistic / 12) and math.isclose(probability, (4 + 3 + 1.5) / 12)
    assert 0 <= low < probability < high <= 1


def test_probability_of_improvement_averages_workloads_and_knows_the_extremes():
    better, worse = rows_of([(1, 1), (2, 2)]), rows_of([(3, 3), (4, 4)], "dqn")
    assert probability_of_improvement(better, worse) == (1, 1, 1)
    assert probability_of_improvement(worse, better) == (0, 0, 0)
    assert probability_of_improvement(rows_of([(1, 9), (1, 9)]), rows_of([(5, 5), (5, 5)], "dqn"))[0] == 0.5
    with pytest.raises(ValueError, match="must be the same"):
        probability_of_improvement(better, rows_of([(3,)], "dqn", ("STEADY",)))


def test_more_seeds_would_have_found_more():
    savings = per_training(rows_of([(cost, cost) for cost in (1, 2, -1, 3, 4, 0, 2, 1)]), "cost")
    sizes = sample_sizes(savings, [3, 10, 30])
    assert sizes["half_width"].is_monotonic_decreasing
    assert sizes["covered"].loc[3] < sizes["covered"].loc[10] and sizes["covered"].loc[10:].between(0.9, 0.99).all()
    assert sample_sizes(savings, [3]).equals(sizes.loc[[3]])
    with pytest.raises(ValueError, match="at least 2"):
        sample_sizes(savings, [1, 5])


def test_curves_of_a_learner_are_one_per_seed(tmp_path):
    folders = Folders(tmp_path)
    folders.results.mkdir()
    points = [("ppo", 0, 5, -9.0), ("ppo", 1, 5, -8.0), ("dqn", 0, 5, -7.0), ("ppo", 0, 10, -6.0)]
    table = pd.DataFrame(points, columns=["algorithm", "seed", "at", "mean_return"]).assign(steps=10, seconds=1.0)
    table.to_csv(folders.results / "study_budgets_curves.csv", index=False)
    curves = read_curves("budgets", "ppo", folders)
    assert [curve["timesteps"].tolist() for curve in curves] == [[5, 10], [5]]


def test_missing_study_is_said_with_the_command_that_runs_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"study_budgets.csv is missing; .*: autoscaler study budgets"):
        read_study("budgets", Folders(tmp_path))
