"""One interval that holds what it promises, and the training seed as the unit of replication."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from autoscaler_env.evaluation.statistics import (
    MINIMUM_EFFECT,
    Interval,
    comparison,
    estimate,
    estimates,
    interquartile_mean,
    is_very_skewed,
    is_worth_it,
    mean_interval,
    per_training,
    probability_of_improvement,
    sample_sizes,
)


def rows_of(costs, algorithm="ppo", patterns=("STEADY", "SPIKE")):
    """Return a study of one learner: a tuple of costs per training, one for each pattern."""
    return pd.DataFrame(
        {
            "algorithm": algorithm,
            "trained_on": "MIXED",
            "timesteps": 10,
            "seed": seed,
            "tested_on": pattern,
            "cost": float(cost),
        }
        for seed, several in enumerate(costs)
        for pattern, cost in zip(patterns, several, strict=True)
    )


STUDY = rows_of([(140, 150), (142, 152), (150, 154), (130, 120), (147, 149)])

# --- the interval of a mean ------------------------------------------------------------------------------------------


def normal(rng, shape):
    return rng.normal(5, 1, shape) - 5


def lognormal(sigma):
    return lambda rng, shape: rng.lognormal(0, sigma, shape) - math.exp(sigma**2 / 2)


def autoregressive(rng, shape):
    values = rng.normal(0, 1, shape)
    for column in range(1, shape[1]):
        values[:, column] = 0.5 * values[:, column - 1] + math.sqrt(0.75) * values[:, column]
    return values


def independent(values):
    return mean_interval(values, independent=True)


def percentile_bootstrap(values):
    means = np.random.default_rng(0).choice(values, (300, len(values))).mean(axis=1)
    return Interval(len(values), values.mean(), *np.percentile(means, [2.5, 97.5]))


def coverage(draw, n, interval=mean_interval, samples=4_000):
    """Return how often the interval of n values contains their true mean, 0."""
    drawn = draw(np.random.default_rng(n), (samples, n))
    return np.mean([one.low <= 0 <= one.high for one in map(interval, drawn)])


def test_interval_of_normal_values_covers_the_mean_in_93_percent_at_least():
    for interval in (mean_interval, independent):
        rates = {n: coverage(normal, n, interval, 2_000) for n in range(2, 31)}
        assert min(rates.values()) >= 0.93, rates


def test_interval_of_moderately_skewed_values_covers_the_mean_in_90_percent_at_least():
    for interval in (mean_interval, independent):
        rates = {n: coverage(lognormal(0.5), n, interval) for n in (3, 4, 5, 10, 30)}
        assert min(rates.values()) >= 0.90, rates


def test_interval_of_correlated_days_covers_the_mean_in_90_percent_at_least():
    rates = {n: coverage(autoregressive, n) for n in (10, 15, 30)}
    assert min(rates.values()) >= 0.90, rates
    assert coverage(autoregressive, 30, independent) < 0.80, "correlation does no harm: nothing to correct for"


def test_interval_of_very_skewed_values_covers_the_mean_as_rarely_as_documented():
    draw = lognormal(1.0)
    assert coverage(draw, 3) == pytest.approx(0.83, abs=0.02)
    assert [coverage(draw, n) for n in (10, 30)] == pytest.approx([0.90, 0.90], abs=0.02)
    rates = [coverage(draw, n, independent) for n in (5, 10, 30)]
    assert min(rates) == pytest.approx(0.82, abs=0.02) and max(rates) == pytest.approx(0.88, abs=0.02)
    rng = np.random.default_rng(0)
    assert is_very_skewed(rng.lognormal(0, 1, 300)) and not is_very_skewed(rng.normal(0, 1, 300))
    assert not is_very_skewed(rng.lognormal(0, 2, 7)) and not is_very_skewed(np.full(9, 3.0))


def test_plain_percentile_bootstrap_would_fail_these_simulations():
    assert coverage(normal, 5, percentile_bootstrap, 1_000) < 0.90
    assert coverage(lognormal(0.5), 5, percentile_bootstrap, 1_000) < 0.88


def test_interval_of_independent_values_is_student_s():
    values = np.random.default_rng(3).normal(100, 5, 10)
    low, high = stats.t.interval(0.95, 9, loc=values.mean(), scale=stats.sem(values))
    assert independent(values) == pytest.approx((10, values.mean(), low, high))
    assert mean_interval(values[:3]) == independent(values[:3]), "a correlation was estimated from three values"


def test_interval_of_one_value_is_infinite_and_of_equal_values_has_no_width():
    assert mean_interval(np.array([7.0])) == (1, 7, -math.inf, math.inf)
    assert mean_interval(np.full(5, 7.0)) == mean_interval(np.full(5, 7.0), independent=True) == (5, 7, 7, 7)
    with pytest.raises(ValueError, match="values: there must be at least one"):
        mean_interval(np.array([]))


def two_way(days, trainings, between):
    """Return a draw of trainings x days: effects of days, of trainings, and of both together."""

    def draw(rng, shape):
        samples, n = shape
        each = rng.normal(0, 1, (samples, trainings, n))
        return days * rng.normal(0, 1, (samples, 1, n)) + between * rng.normal(0, 1, (samples, trainings, 1)) + each / 3

    return draw


def test_interval_over_days_and_trainings_covers_the_mean_whichever_varies_more():
    for trainings in (3, 5):
        for days, between in ((1, 0), (1, 0.3), (1, 1), (0.3, 1), (0, 1)):
            rates = [coverage(two_way(days, trainings, between), n, samples=1_500) for n in (4, 6, 12)]
            assert min(rates) >= 0.94 - 0.01, (trainings, days, between, rates)
    alone = coverage(two_way(0.3, 3, 1), 12, lambda values: mean_interval(values.mean(axis=0)), 500)
    assert alone < 0.6, "an interval over days alone says nothing about another training"


def test_interval_over_days_and_trainings_joins_the_half_widths_of_both():
    rng = np.random.default_rng(0)
    values = rng.normal(10, 1, (3, 8)) + rng.normal(0, 1, (3, 1))
    both, days = mean_interval(values), mean_interval(values.mean(axis=0))
    trainings = mean_interval(values.mean(axis=1), independent=True)
    assert (both.n, both.mean) == (8, pytest.approx(values.mean()))
    assert both.high - both.mean == pytest.approx(both.mean - both.low)
    assert both.high - both.mean == pytest.approx(math.hypot(days.high - days.mean, trainings.high - trainings.mean))
    assert mean_interval(values[:1]) == mean_interval(values[0]), "one training: the interval is over days"
    assert mean_interval(np.tile(values[0], (3, 1))) == pytest.approx(mean_interval(values[0])), "equal trainings"
    assert mean_interval(values[:, :1]).high == math.inf, "one day says nothing about the next"


def test_order_matters_only_where_neighbours_are_alike():
    values = np.arange(20.0)
    alike, alternating = mean_interval(values), mean_interval(values.reshape(2, 10).T.ravel())
    assert alternating == pytest.approx(mean_interval(values.reshape(2, 10)[::-1].T.ravel()))
    assert alike.mean == alternating.mean and alike.high - alike.low > 2 * (alternating.high - alternating.low)
    assert independent(values) == pytest.approx(independent(np.random.default_rng(0).permutation(values)))


def test_interval_narrows_with_more_values_and_widens_with_more_confidence():
    values = np.random.default_rng(1).normal(100, 5, 80)
    widths = [one.high - one.low for one in (independent(values[:count]) for count in (5, 20, 80))]
    assert widths == sorted(widths, reverse=True)
    sure = mean_interval(values, 0.99)
    assert sure.low < mean_interval(values).low < sure.mean < mean_interval(values).high < sure.high


def test_multiple_of_an_interval_keeps_its_ends_in_order():
    assert Interval(5, 2, 1, 4).times(365) == (5, 730, 365, 1_460)
    assert Interval(5, 2, 1, 4).times(-1) == (5, -2, -4, -1)


# --- what an interval allows to say ----------------------------------------------------------------------------------


def test_saving_below_one_percent_is_not_worth_it_however_certain():
    assert MINIMUM_EFFECT == 0.01
    assert is_worth_it(Interval(5, 1.0, 0.9, 1.1), 100.0)
    assert not is_worth_it(Interval(5, 0.99, 0.98, 1.0), 100.0), "significant is not worth it"
    assert not is_worth_it(Interval(5, 5.0, -0.1, 10.1), 100.0), "large is not certain"


def test_comparison_of_a_single_training_says_that_nothing_is_known():
    sentence = comparison(mean_interval(np.array([2.0])), "PPO", "the rule", "1 training")
    assert sentence == (
        "PPO and the rule cannot be told apart: PPO saves +$2.00 a day "
        "(95 % interval -infinity to +infinity, 1 training)"
    )


# --- trainings -------------------------------------------------------------------------------------------------------


def test_training_counts_once_by_its_mean_over_workloads():
    assert per_training(STUDY, "cost").tolist() == [145, 147, 152, 125, 148]
    assert per_training(STUDY, "cost").index.names == ["algorithm", "trained_on", "timesteps", "seed"]


def test_episodes_where_trainings_are_expected_are_refused():
    episodes = pd.DataFrame({"policy": "ppo", "pattern": "STEADY", "episode": [0, 1], "cost": [1.0, 2.0]})
    with pytest.raises(ValueError, match="one row per episode; needed is one row per training seed"):
        per_training(episodes, "cost")
    repeated = pd.concat([STUDY, STUDY], ignore_index=True)  # several rows of one training
    for statistic in (lambda: estimates(repeated, "cost"), lambda: probability_of_improvement(repeated, STUDY)):
        with pytest.raises(ValueError, match="the training seed is the unit of replication, episodes are not"):
            statistic()


def test_plain_numbers_and_several_learners_are_no_trainings():
    both = pd.concat([STUDY, rows_of([(1, 2)], "dqn").assign(seed=9)])
    for numbers in (pd.Series(np.arange(2_000.0)), per_training(both, "cost")):
        with pytest.raises(ValueError, match="one number per training seed of one learner"):
            estimate(numbers)


def test_interval_over_trainings_takes_them_as_independent():
    costs = per_training(STUDY, "cost")
    assert estimate(costs) == independent(costs.to_numpy())
    assert estimate(costs) == pytest.approx(estimate(costs.sort_values())), "the order of seeds means something"
    assert estimate(per_training(rows_of([(140, 150)]), "cost")) == (1, 145, -math.inf, math.inf)


def test_interquartile_mean_is_the_mean_of_the_middle_half():
    assert interquartile_mean(np.array([8.0, 1, 2, 3, 4, 5, 6, 100])) == (3 + 4 + 5 + 6) / 4
    assert interquartile_mean(np.array([5.0, 1, 2, 3, 100])) == (2 + 3 + 5) / 3  # one of five at either end


def test_estimates_have_a_row_per_learner():
    table = estimates(pd.concat([STUDY, rows_of([(1, 2), (3, 4)], "dqn")]), "cost")
    assert table["seeds"].tolist() == [5, 2] and table["mean"].tolist() == [143.4, 2.5]
    row = table.loc[("ppo", "MIXED", 10)]
    assert tuple(row[["seeds", "mean", "low", "high"]]) == estimate(per_training(STUDY, "cost"))
    assert row["iqm"] == np.mean([145, 147, 148])


def test_probability_of_improvement_is_mann_and_whitney_s():
    ours = rows_of([(1,), (3,), (5,)], patterns=("STEADY",))
    theirs = rows_of([(2,), (4,), (5,), (9,)], "dqn", ("STEADY",))
    probability, low, high = probability_of_improvement(ours, theirs)
    statistic = stats.mannwhitneyu([1, 3, 5], [2, 4, 5, 9]).statistic  # pairs in which the first is larger, ties half
    assert math.isclose(probability, 1 - statistic / 12) and math.isclose(probability, (4 + 3 + 1.5) / 12)
    assert 0 <= low < probability < high <= 1
    assert probability_of_improvement(ours, theirs) == (probability, low, high), "the resamples are not seeded"


def test_probability_of_improvement_averages_workloads_and_knows_the_extremes():
    better, worse = rows_of([(1, 1), (2, 2)]), rows_of([(3, 3), (4, 4)], "dqn")
    assert probability_of_improvement(better, worse) == (1, 1, 1)
    assert probability_of_improvement(worse, better) == (0, 0, 0)
    assert probability_of_improvement(rows_of([(1, 9), (1, 9)]), rows_of([(5, 5), (5, 5)], "dqn"))[0] == 0.5
    single, low, high = probability_of_improvement(rows_of([(1, 1)]), worse)
    assert single == 1 and math.isnan(low) and math.isnan(high)
    with pytest.raises(ValueError, match="must be the same"):
        probability_of_improvement(better, rows_of([(3,)], "dqn", ("STEADY",)))


def test_larger_studies_have_narrower_intervals_that_keep_their_promise():
    savings = per_training(rows_of([(cost, cost) for cost in (1, 2, -1, 3, 4, 0, 2, 1)]), "cost")
    sizes = sample_sizes(savings, [3, 10, 30])
    assert sizes["half_width"].is_monotonic_decreasing and sizes["covered"].between(0.9, 1).all()
    assert sample_sizes(savings, [3]).equals(sizes.loc[[3]])
    assert not sample_sizes(savings, [3], seed=1).equals(sizes.loc[[3]])
    with pytest.raises(ValueError, match="at least 2"):
        sample_sizes(savings, [1, 5])


def test_savings_that_are_all_large_are_certain_though_they_fall_from_day_to_day():
    saved = np.array([351.0, 292.0, 231.0, 167.0, 115.0, 115.0, 115.0, 115.0])
    assert mean_interval(saved).low > 0 and is_worth_it(mean_interval(saved), 1_000.0)
