"""Statistics of costs: intervals of means, sentences that an interval allows, and estimates over trainings.

One interval serves the whole project: `mean_interval`. Its values are days where a policy is measured, and trainings
where a learner is: another day of the same model says nothing about another training, so a training counts once, by its
mean over days and workloads. The interquartile mean stands beside the mean of trainings (Agarwal et al., "Deep
reinforcement learning at the edge of the statistical precipice", NeurIPS 2021).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import scipy  # its parts are loaded at their first use
from numpy.typing import NDArray

from autoscaler_env.text import dollars

if TYPE_CHECKING:
    import pandas as pd

MINIMUM_EFFECT = 0.01
"""The smallest saving to act on, as a share of the cost; a smaller one is not worth a training or a change."""

LEARNER = ["algorithm", "trained_on", "timesteps"]
"""The columns that identify a learner; the trainings of a learner differ in their seed."""

RESAMPLES = 9_999
"""Resamples of the bootstrap in `probability_of_improvement`."""


class Interval(NamedTuple):
    """A mean of independent or mildly correlated values, with its 95 % interval, in the unit of the values."""

    n: int
    """The number of values: days, or trainings; of several trainings on the same days, the number of days."""
    mean: float
    low: float
    high: float

    def times(self, factor: float) -> Interval:
        """Return the interval of a multiple, such as dollars a year from dollars a day."""
        low, high = sorted((factor * self.low, factor * self.high))
        return Interval(self.n, factor * self.mean, low, high)


def mean_interval(values: NDArray[np.float64], confidence: float = 0.95, *, independent: bool = False) -> Interval:
    """Return the mean of values and its interval.

    For independent values this is Student's interval. For values in the order of time it is Student's interval with an
    effective number of values in place of their number, because days that follow each other resemble each other. The
    correlation r of neighbours is estimated, corrected for its bias, (n r + 1) / (n - 3), and limited to 1 / n from
    below and 0.9 from above; then n values are worth n / (1 + 2 sum_k (1 - k / n) r^k) independent ones, but at least
    four: fewer would make an interval that says nothing, wherever values rise or fall together. Their variance is
    corrected for the correlation too. Below four values the correlation cannot be estimated and is taken as zero.

    How often the interval contains the true mean (`tests/test_statistics.py` simulates it): at least 93 % for normal
    values from 2 to 30, at least 90 % for lognormal values of sigma 0.5 from 3 on, and at least 90 % for values with
    an AR(1) correlation of 0.5 from 10 on. For very skewed values (lognormal, sigma 1) it is only 83 % at 3 values and
    90 % from 10 to 30, and 82 to 88 % if they are taken as independent: see `is_very_skewed`.

    For several trainings of a learner on the same days, both the days and the trainings are drawn by chance. Each has
    its interval: that of the days' means over the trainings, and Student's of the trainings' means over the days. The
    half width is the root of the sum of their squares. That contains the true mean at least as often as either does
    alone, whichever of the two varies more (simulated: at least 94 % from 3 trainings on, for normal values).

    Args:
        values: One number for each day or training, shape (n,); or for each training and day, shape (trainings, n). The
            order of the days matters, because neighbours are alike.
        confidence: The share of intervals that should contain the true mean.
        independent: Whether the values have no order in time, such as trainings with different seeds. Then no
            correlation is estimated, and the interval is narrower.

    Returns:
        The number of values, their mean and the ends. Equal values have an interval of width zero. The interval of a
        single value is infinitely wide, because one value says nothing about the next.

    Raises:
        ValueError: There is no value.

    Source:
        Bias of the correlation: Marriott and Pope, Biometrika 41, 1954. Effective number: Bayley and Hammersley,
        Journal of the Royal Statistical Society Supplement 8, 1946. Two sources of chance: Banerjee, Sankhya 22, 1960.

    Example:
        >>> [round(x, 2) for x in mean_interval(np.array([1.0, 2.0, 3.0]))]
        [3, 2.0, -0.48, 4.48]
    """
    values = np.asarray(values, dtype=np.float64)
    if values.size == 0:
        raise ValueError("values: there must be at least one")
    if values.ndim == 2:
        days = mean_interval(values.mean(axis=0), confidence)
        if len(values) == 1:  # one training says nothing about the next: the interval is over days alone
            return days
        trainings = mean_interval(values.mean(axis=1), confidence, independent=True)
        half = math.hypot(days.high - days.mean, trainings.high - trainings.mean)
        return Interval(days.n, days.mean, days.mean - half, days.mean + half)
    n = len(values)
    mean = float(values.mean())
    if n == 1:
        return Interval(1, mean, -math.inf, math.inf)
    if np.ptp(values) == 0:
        return Interval(n, mean, mean, mean)
    deviations = values - mean
    squares = float(deviations @ deviations)
    effective = float(n)
    if n >= 4 and not independent:
        alike = float(deviations[1:] @ deviations[:-1]) / squares
        correlation = min(max((n * alike + 1) / (n - 3), 1 / n), 0.9)
        lags = np.arange(1, n)
        effective = max(n / (1 + 2 * float(((1 - lags / n) * correlation**lags).sum())), 4.0)
    variance = squares / n / (1 - 1 / effective)
    half = math.sqrt(variance / effective) * float(scipy.special.stdtrit(effective - 1, (1 + confidence) / 2))
    return Interval(n, mean, mean - half, mean + half)


SKEWED = 2.0
"""The skewness of a sample above which `is_very_skewed` is true."""


def is_very_skewed(values: NDArray[np.float64]) -> bool:
    """Return whether a few large values dominate, so that the interval of the mean is too narrow.

    Args:
        values: As for `mean_interval`. The skewness of fewer than 8 values says nothing, and the answer is false.
    """
    return bool(len(values) >= 8 and np.ptp(values) > 0 and abs(scipy.stats.skew(values)) > SKEWED)


def is_worth_it(saved: Interval, cost: float, least: float = MINIMUM_EFFECT) -> bool:
    """Return whether a saving is beyond doubt and large enough to act on.

    A saving of 0.2 % can be significant, and still does not pay for a training or for a more complex policy.

    Args:
        saved: Dollars a day that a policy costs less than the simpler one.
        cost: Dollars a day that the simpler one costs.
        least: The smallest share of the cost that is worth it.

    Returns:
        Whether the interval lies above zero and the mean is at least that share of the cost.

    Example:
        >>> is_worth_it(Interval(5, 2.0, 1.5, 2.5), 100.0), is_worth_it(Interval(5, 0.2, 0.1, 0.3), 100.0)
        (True, False)
        >>> is_worth_it(Interval(5, 2.0, -0.5, 4.5), 100.0)
        False
    """
    return saved.low > 0 and saved.mean >= least * cost


def who_is_cheaper(saved: Interval) -> str:
    """Return who is cheaper by the interval of what a learner saves: `learner`, `rule`; `neither` if it contains 0."""
    if saved.low > 0:
        return "learner"
    return "rule" if saved.high < 0 else "neither"


def comparison(saved: Interval, what: str, other: str, basis: str) -> str:
    """Say what one policy saves a day against another, in the words that the interval allows.

    Args:
        saved: Dollars a day that `what` costs less than `other`.
        what: The policy that may save.
        other: The policy it is compared with.
        basis: What the interval is over, such as `5 trainings` or `200 paired days`.

    Example:
        >>> comparison(Interval(5, 2.0, 1.5, 2.5), "PPO", "the rule", "5 trainings")
        'PPO is cheaper than the rule by $2.00 a day (95 % interval $1.50 to $2.50, 5 trainings)'
        >>> comparison(Interval(5, -2.0, -2.5, -1.5), "PPO", "the rule", "5 trainings")
        'PPO is dearer than the rule by $2.00 a day (95 % interval $1.50 to $2.50, 5 trainings)'
        >>> comparison(Interval(5, 0.1, -0.5, 0.7), "PPO", "the rule", "5 trainings")
        'PPO and the rule cannot be told apart: PPO saves +$0.10 a day (95 % interval -$0.50 to +$0.70, 5 trainings)'
        >>> comparison(Interval(5, -0.1, -0.7, 0.5), "the rule", "PPO", "5 trainings")
        'PPO and the rule cannot be told apart: PPO saves +$0.10 a day (95 % interval -$0.50 to +$0.70, 5 trainings)'
    """
    if saved.low > 0 or saved.high < 0:
        return f"{what} is {relation(saved, other, basis)}"
    if saved.mean < 0:  # named first is the policy that was cheaper
        what, other, saved = other, what, saved.times(-1)
    low, mean, high = (dollars(value, sign=True) for value in (saved.low, saved.mean, saved.high))
    return (
        f"{what} and {other} cannot be told apart: {what} saves {mean} a day (95 % interval {low} to {high}, {basis})"
    )


def relation(saved: Interval, other: str, basis: str = "") -> str:
    """Say how the cost of a policy compares with another's, without naming the policy.

    Args:
        saved: Dollars a day that the policy costs less than the other.
        other: The other policy.
        basis: What the interval is over, such as `5 trainings`; empty if the reader knows it.

    Example:
        >>> relation(Interval(5, -2.0, -2.5, -1.5), "the rule")
        'dearer than the rule by $2.00 a day (95 % interval $1.50 to $2.50)'
        >>> relation(Interval(5, 0.1, -0.5, 0.7), "the rule")
        'not to be told apart from the rule (saving +$0.10 a day, 95 % interval -$0.50 to +$0.70)'
    """
    over = f", {basis}" if basis else ""
    if saved.low > 0 or saved.high < 0:
        word = "cheaper" if saved.mean > 0 else "dearer"
        nearest, farthest = (dollars(end) for end in sorted((abs(saved.low), abs(saved.high))))
        difference = dollars(abs(saved.mean))
        return f"{word} than {other} by {difference} a day (95 % interval {nearest} to {farthest}{over})"
    low, mean, high = (dollars(value, sign=True) for value in (saved.low, saved.mean, saved.high))
    return f"not to be told apart from {other} (saving {mean} a day, 95 % interval {low} to {high}{over})"


def per_training(study: pd.DataFrame, column: str) -> pd.Series:
    """Return one number per training: the mean of a column over the workloads that it was tested on.

    Args:
        study: The table of a study, or some of its rows: a row per training and workload.
        column: Such as `cost` or `regret`.

    Returns:
        Indexed by algorithm, trained_on, timesteps and seed, in the order of the rows.

    Raises:
        ValueError: The rows are not trainings, but for example episodes of one model.
    """
    keys = [*LEARNER, "seed"]
    lacking = [name for name in (*keys, "tested_on", column) if name not in study]
    if lacking or "episode" in study:
        problem = "one row per episode" if "episode" in study else f"no column {', '.join(lacking)}"
        raise ValueError(f"study: {problem}; needed is one row per training seed and workload, as in study_*.csv")
    repeated = study.duplicated([*keys, "tested_on"])
    if repeated.any():
        row = study.loc[repeated, [*keys, "tested_on"]].iloc[0].to_dict()
        raise ValueError(
            f"study: several rows for {row}; the training seed is the unit of replication, episodes are not"
        )
    return study.groupby(keys, sort=False)[column].mean()


def estimate(trainings: pd.Series) -> Interval:
    """Return the mean over the trainings of one learner, and its interval.

    Args:
        trainings: One number per training: what `per_training` returns, or a difference of two of these.

    Raises:
        ValueError: The numbers are not indexed by training seed, or belong to several learners.

    Example:
        >>> import pandas as pd
        >>> study = pd.DataFrame({"algorithm": "ppo", "trained_on": "MIXED", "timesteps": 1, "seed": range(3)})
        >>> costs = per_training(study.assign(tested_on="SPIKE", cost=[1.0, 2.0, 3.0]), "cost")
        >>> [round(x, 2) for x in estimate(costs)]
        [3, 2.0, -0.48, 4.48]
    """
    return mean_interval(_values_of(trainings), independent=True)


def interquartile_mean(values: NDArray[np.float64]) -> float:
    """Return the mean of the middle half: a quarter of the values, rounded down, is cut off at each end."""
    return float(scipy.stats.trim_mean(values, 0.25))


def estimates(study: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return the mean of a column over the trainings of each learner of a study.

    Returns:
        Indexed by algorithm, trained_on and timesteps: seeds (number of trainings), mean, low, high (95 % interval)
        and iqm (interquartile mean).
    """
    import pandas

    rows = {}
    for learner, values in per_training(study, column).groupby(level=LEARNER, sort=False):
        seeds, mean, low, high = estimate(values)
        middle = interquartile_mean(values.to_numpy())
        rows[learner] = {"seeds": seeds, "mean": mean, "low": low, "high": high, "iqm": middle}
    table = pandas.DataFrame.from_dict(rows, orient="index")
    table.index = pandas.MultiIndex.from_tuples(table.index, names=LEARNER)
    return table.astype({"seeds": int})


def probability_of_improvement(
    first: pd.DataFrame, second: pd.DataFrame, column: str = "cost"
) -> tuple[float, float, float]:
    """Return the probability that a training of one learner ends cheaper than a training of another.

    For each workload it is the share of pairs of trainings in which the first is lower; a tie counts half (Mann and
    Whitney's U over its largest value). The result is the mean over workloads. One half says that neither is better.

    The interval comes from the bootstrap, since the probability is not a mean of trainings. Plain percentiles are too
    narrow for few trainings, so they are moved outwards: for n values the percentiles are those of a normal variable at
    -+ sqrt(n / (n - 1)) t, which would give Student's interval for the mean of normal values.

    Args:
        first: Rows of one learner, tested on some workloads.
        second: Rows of another, tested on the same.
        column: The column to compare; lower is better.

    Returns:
        The probability, and the ends of its 95 % interval over the trainings of both; the ends are NaN where a learner
        has a single training.

    Raises:
        ValueError: The rows are not trainings of one learner each, or were tested on different workloads.

    Source:
        Hesterberg, "What teachers should know about the bootstrap", The American Statistician 69, 2015: the expanded
        percentiles.
    """
    tables = []
    for study in (first, second):
        _values_of(per_training(study, column))
        tables.append(study.pivot(index="seed", columns="tested_on", values=column))
    ours, theirs = tables
    if set(ours.columns) != set(theirs.columns):
        raise ValueError(f"tested on {', '.join(ours.columns)} and on {', '.join(theirs.columns)}: must be the same")
    difference = theirs[ours.columns].to_numpy()[np.newaxis] - ours.to_numpy()[:, np.newaxis]
    wins = ((difference > 0) + 0.5 * (difference == 0)).mean(axis=2)
    fewest = min(wins.shape)
    if fewest < 2:
        return float(wins.mean()), math.nan, math.nan

    def share(rows: NDArray[np.int64], columns: NDArray[np.int64], axis: int = -1) -> Any:
        return wins[rows[..., :, np.newaxis], columns[..., np.newaxis, :]].mean(axis=(-2, -1))

    farther = math.sqrt(fewest / (fewest - 1)) * scipy.special.stdtrit(fewest - 1, 0.975)
    ends = scipy.stats.bootstrap(
        (np.arange(len(ours)), np.arange(len(theirs))),
        share,
        n_resamples=RESAMPLES,
        confidence_level=float(2 * scipy.stats.norm.cdf(farther) - 1),
        method="percentile",
        vectorized=True,
        random_state=np.random.default_rng(0),
    ).confidence_interval
    return float(wins.mean()), float(ends.low), float(ends.high)


def sample_sizes(trainings: pd.Series, counts: Sequence[int], repetitions: int = 300, seed: int = 0) -> pd.DataFrame:
    """Return how wide and how honest the intervals of smaller or larger studies would be.

    The trainings that exist are taken for all trainings there could be, and studies are drawn from them.

    Args:
        trainings: One number per training of one learner, such as what it saves.
        counts: Numbers of trainings, each at least 2.
        repetitions: Studies of each size, drawn with replacement.
        seed: Seeds the draw.

    Returns:
        Indexed by the number of trainings: half_width (mean half width of the 95 % interval of a study) and covered
        (share of the studies whose interval contains the mean of all trainings; it should be 95 %).

    Raises:
        ValueError: The numbers are not one per training, or a count is below 2.
    """
    import pandas

    values = _values_of(trainings)
    if min(counts) < 2:
        raise ValueError(f"counts = {list(counts)}: each must be at least 2 trainings")
    truth = values.mean()
    rng = np.random.default_rng(seed)
    rows = {}
    for count in counts:
        studies = [mean_interval(drawn, independent=True) for drawn in rng.choice(values, (repetitions, count))]
        rows[count] = {
            "half_width": float(np.mean([(study.high - study.low) / 2 for study in studies])),
            "covered": float(np.mean([study.low <= truth <= study.high for study in studies])),
        }
    return pandas.DataFrame.from_dict(rows, orient="index").rename_axis("trainings")


def _values_of(trainings: pd.Series) -> NDArray[np.float64]:
    """Return the numbers of the trainings of one learner, each seed once."""
    index = trainings.index.to_frame(index=False)
    seeds = index.pop("seed") if "seed" in index else None
    if seeds is None or seeds.duplicated().any() or index.nunique().gt(1).any():
        raise ValueError("trainings: must be one number per training seed of one learner, as per_training returns them")
    return trainings.to_numpy(dtype=np.float64)
