"""Read what a study found: many trainings, with intervals over training seeds.

The training seed is the unit of replication: a training counts once, by its mean over days and workloads, since another
day with the same model says nothing about another training. Intervals come from the bootstrap over trainings, and the
interquartile mean stands beside the mean (Agarwal et al., "Deep reinforcement learning at the edge of the statistical
precipice", NeurIPS 2021). From few trainings plain percentiles are too narrow, so they are moved outwards
(`bootstrap_level`); `sample_sizes` shows what such an interval still holds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from autoscaler_env.paths import Folders
from autoscaler_env.text import dollars

RESAMPLES = 9_999
"""Resamples of a bootstrap."""

LEARNER = ["algorithm", "trained_on", "timesteps"]
"""The columns that tell one learner from another; the trainings of a learner differ by their seed."""


class Interval(NamedTuple):
    """A mean of independent or mildly correlated values, with its 95 % interval, in the unit of the values."""

    n: int
    """How many values the mean is of: days, or trainings."""
    mean: float
    low: float
    high: float

    def times(self, factor: float) -> Interval:
        """Return the interval of a multiple, such as dollars a year from dollars a day."""
        low, high = sorted((factor * self.low, factor * self.high))
        return Interval(self.n, factor * self.mean, low, high)


def mean_interval(values: NDArray[np.float64], confidence: float = 0.95) -> Interval:
    """Return the mean of values in the order of time, and its interval.

    Student's interval, with an effective number of values in place of their number, since days that follow each other
    resemble each other. The correlation r of neighbours is estimated, corrected for its bias, (n r + 1) / (n - 3), and
    floored at 1 / n; then n values are worth n / (1 + 2 sum_k (1 - k / n) r^k) independent ones. Their variance is
    corrected for the correlation too. Below four values the correlation cannot be estimated and counts as none.

    How often such an interval holds the true mean (`tests/test_statistics.py` simulates it): at least 93 % on normal
    values from 2 to 30, at least 90 % on lognormal values of sigma 0.5, and at least 90 % on values that follow each
    other with AR(1) 0.5, from 10 on. On very skewed values (lognormal, sigma 1) it is 83 % at 3 values, 87 % at 10 and
    90 % at 30: see `is_very_skewed`.

    Args:
        values: One number for each day or training, shape (n,). The order matters only where neighbours are alike.
        confidence: The share that the interval promises.

    Returns:
        The number of values, their mean and the ends. Equal values have an interval without width; of a single value the interval is
        infinitely wide, since nothing is known about the next.

    Raises:
        ValueError: There is no value.

    Source:
        Bias of the correlation: Marriott and Pope, Biometrika 41, 1954. Effective number: Bayley and Hammersley,
        Journal of the Royal Statistical Society Supplement 8, 1946.

    Example:
        >>> [round(x, 2) for x in mean_interval(np.array([1.0, 2.0, 3.0]))]
        [3, 2.0, -0.48, 4.48]
    """
    values = np.asarray(values, dtype=np.float64)
    n = len(values)
    if n == 0:
        raise ValueError("values: there must be at least one")
    mean = float(values.mean())
    if n == 1:
        return Interval(1, mean, -math.inf, math.inf)
    if np.ptp(values) == 0:
        return Interval(n, mean, mean, mean)
    deviations = values - mean
    squares = float(deviations @ deviations)
    effective = float(n)
    if n >= 4:
        alike = float(deviations[1:] @ deviations[:-1]) / squares
        correlation = min(max((n * alike + 1) / max(n - 3, 1), 1 / n), 0.9)
        lags = np.arange(1, n)
        effective = max(n / (1 + 2 * float(((1 - lags / n) * correlation**lags).sum())), 2.0)
    variance = squares / n / (1 - 1 / effective)
    half = math.sqrt(variance / effective) * float(stats.t.ppf((1 + confidence) / 2, effective - 1))
    return Interval(n, mean, mean - half, mean + half)


SKEWED = 2.0
"""Skewness of a sample from which on `is_very_skewed` warns."""


def is_very_skewed(values: NDArray[np.float64]) -> bool:
    """Return whether a few large values dominate, so that the interval of the mean promises more than it keeps.

    Args:
        values: As for `mean_interval`; below 8 values skewness says nothing, and the answer is no.
    """
    return bool(len(values) >= 8 and np.ptp(values) > 0 and abs(stats.skew(values)) > SKEWED)


MINIMUM_EFFECT = 0.01
"""The least saving, as a share of the cost, that is worth a change. A smaller saving can be certain and not matter."""


def is_worth_it(saved: Interval, cost: float) -> bool:
    """Return whether a saving justifies a change: it is beyond doubt, and at least `MINIMUM_EFFECT` of the cost.

    Args:
        saved: What the change saves, with its interval.
        cost: What is paid without the change, in the same unit.

    Example:
        >>> is_worth_it(Interval(30, 2.0, 1.5, 2.5), 100.0), is_worth_it(Interval(30, 0.2, 0.1, 0.3), 100.0)
        (True, False)
    """
    return saved.low > 0 and saved.mean >= MINIMUM_EFFECT * cost


def comparison(saved: Interval, what: str, other: str, basis: str) -> str:
    """Say what one policy saves a day against another, in words that the interval allows.

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
    """
    if saved.low > 0 or saved.high < 0:
        word = "cheaper" if saved.mean > 0 else "dearer"
        nearest, farthest = (dollars(end) for end in sorted((abs(saved.low), abs(saved.high))))
        return (
            f"{what} is {word} than {other} by {dollars(abs(saved.mean))} a day "
            f"(95 % interval {nearest} to {farthest}, {basis})"
        )
    low, mean, high = (dollars(value, sign=True) for value in (saved.low, saved.mean, saved.high))
    return (
        f"{what} and {other} cannot be told apart: {what} saves {mean} a day (95 % interval {low} to {high}, {basis})"
    )


class Estimate(NamedTuple):
    """What several trainings say about a quantity, with 95 % intervals over trainings."""

    seeds: int
    mean: float
    low: float
    high: float
    iqm: float
    """The mean of the middle half."""
    iqm_low: float
    iqm_high: float


def read_study(name: str, folders: Folders) -> pd.DataFrame:
    """Return the table of a study: a row per run and tested pattern.

    Raises:
        FileNotFoundError: The study has not been run; the message has the command that does.
    """
    return _read(f"study_{name}.csv", name, folders)


def read_opponents(setting: str, folders: Folders) -> pd.DataFrame:
    """Return what rules and the clairvoyant optimum pay: a row per policy and workload.

    Args:
        setting: Empty for the reference service and the six patterns, `wide` or `traces`.
        folders: Where the tables lie.

    Raises:
        FileNotFoundError: The study has not been run; the message has the command that does.
    """
    return _read(
        f"study_{setting}_opponents.csv" if setting else "study_opponents.csv", setting or "opponents", folders
    )


def read_curves(name: str, algorithm: str, folders: Folders) -> list[pd.DataFrame]:
    """Return the learning curves of one learner in a study, one per training seed.

    Args:
        name: The study.
        algorithm: q-learning, dqn or ppo.
        folders: Where the tables lie.

    Returns:
        Per seed: timesteps, seconds, mean_return ($ a day on selection days).

    Raises:
        FileNotFoundError: The study has not been run; the message has the command that does.
    """
    points = _read(f"study_{name}_curves.csv", name, folders)
    points = points[points["algorithm"] == algorithm].drop(columns="timesteps").rename(columns={"at": "timesteps"})
    return [
        curve[["timesteps", "seconds", "mean_return"]].reset_index(drop=True) for _, curve in points.groupby("seed")
    ]


def _read(file: str, name: str, folders: Folders) -> pd.DataFrame:
    path = folders.results / file
    if not path.exists():
        needs = " --traces FOLDER" if name == "traces" else ""
        raise FileNotFoundError(f"{folders.shown(path)} is missing; make it with: autoscaler study {name}{needs}")
    return pd.read_csv(path)


def per_training(study: pd.DataFrame, column: str) -> pd.Series:
    """Return one number per training: the mean of a column over the workloads that it was tested on.

    Args:
        study: A row per training and workload, as `read_study` returns it, or some of these rows.
        column: Such as `cost` or `regret`.

    Returns:
        Indexed by algorithm, trained_on, timesteps and seed, in the order in which they came.

    Raises:
        ValueError: The rows are not those of trainings, such as the episodes of one model.
    """
    keys = [*LEARNER, "seed"]
    lacking = [name for name in (*keys, "tested_on", column) if name not in study]
    if lacking or "episode" in study:
        found = "one row per episode" if "episode" in study else f"no column {', '.join(lacking)}"
        raise ValueError(f"study: {found}; needed is one row per training seed and workload, as read_study returns it")
    twice = study.duplicated([*keys, "tested_on"])
    if twice.any():
        row = study.loc[twice, [*keys, "tested_on"]].iloc[0].to_dict()
        raise ValueError(
            f"study: several rows for {row}; the training seed is the unit of replication, episodes are not"
        )
    return study.groupby(keys, sort=False)[column].mean()


def estimate(trainings: pd.Series) -> Estimate:
    """Return mean and interquartile mean over trainings, with 95 % bootstrap intervals.

    Args:
        trainings: One number per training of one learner: what `per_training` returns, or a difference of two.

    Raises:
        ValueError: The numbers are not indexed by training seed, or are of several learners.

    Example:
        >>> study = pd.DataFrame({"algorithm": "ppo", "trained_on": "MIXED", "timesteps": 1, "seed": range(4)})
        >>> found = estimate(per_training(study.assign(tested_on="SPIKE", cost=[1.0, 2.0, 3.0, 10.0]), "cost"))
        >>> found.seeds, found.mean, found.iqm, found.low < 4 < found.high
        (4, 4.0, 2.5, True)
    """
    values = _values_of(trainings)
    mean, low, high = _bootstrap(values, np.mean)
    return Estimate(len(values), mean, low, high, *_bootstrap(values, interquartile_mean))


def interquartile_mean(values: NDArray[np.float64], axis: int = -1) -> Any:
    """Return the mean of the middle half; a quarter, rounded down, is cut off at either end."""
    return stats.trim_mean(values, 0.25, axis=axis)


def estimates(study: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return `estimate` of a column for each learner of a study, indexed by algorithm, trained_on and timesteps."""
    return _by_learner(per_training(study, column))


def savings_over_seeds(study: pd.DataFrame, against: str) -> pd.DataFrame:
    """Return what each learner saves a day against another policy on the same days.

    Args:
        study: What `read_study` returns, or some of its rows.
        against: A column with the other's cost: `one_setting_cost`, `per_pattern_cost` or `optimum_cost`.

    Returns:
        Indexed by algorithm, trained_on and timesteps: seeds, cost, rule (the other's cost), saving, low, high, iqm,
        iqm_low, iqm_high ($ a day; 95 % intervals over trainings).
    """
    costs, others = per_training(study, "cost"), per_training(study, against)
    table = _by_learner(others - costs).rename(columns={"mean": "saving"})
    table.insert(1, "cost", costs.groupby(level=LEARNER, sort=False).mean())
    table.insert(2, "rule", others.groupby(level=LEARNER, sort=False).mean())
    return table


def probability_of_improvement(
    first: pd.DataFrame, second: pd.DataFrame, column: str = "cost"
) -> tuple[float, float, float]:
    """Return how probably a training of one learner ends cheaper than one of another, on a workload of the study.

    For each workload the share of pairs of trainings in which the first is lower, a tie counting half (Mann and
    Whitney's U over its largest value), averaged over workloads. One half says that neither is better.

    Args:
        first: Rows of one learner, tested on some workloads.
        second: Rows of another, tested on the same.
        column: What is compared; lower is better.

    Returns:
        Probability, and the ends of its 95 % bootstrap interval over the trainings of both.

    Raises:
        ValueError: The rows are not those of trainings, of several learners, or tested on different workloads.
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

    def share(rows: NDArray[np.int64], columns: NDArray[np.int64], axis: int = -1) -> Any:
        return wins[rows[..., :, np.newaxis], columns[..., np.newaxis, :]].mean(axis=(-2, -1))

    places = (np.arange(len(ours)), np.arange(len(theirs)))
    low, high = _interval(places, share)
    return float(wins.mean()), low, high


def sample_sizes(trainings: pd.Series, counts: Sequence[int], repetitions: int = 300, seed: int = 0) -> pd.DataFrame:
    """Return what studies with fewer or more trainings would have found, by drawing them from the trainings there are.

    Args:
        trainings: One number per training of one learner, such as what it saves.
        counts: Numbers of trainings, each at least 2.
        repetitions: Studies of each size, drawn with replacement.
        seed: Seeds the draw.

    Returns:
        Indexed by the number of trainings: half_width (mean half width of a study's 95 % bootstrap interval of the
        mean) and covered (share of the studies whose interval holds the mean of all trainings; 95 % is promised).

    Raises:
        ValueError: The numbers are not one per training, or a count is below 2.
    """
    values = _values_of(trainings)
    if min(counts) < 2:
        raise ValueError(f"counts = {list(counts)}: each must be at least 2 trainings")
    truth = values.mean()
    rng = np.random.default_rng(seed)
    rows = {}
    for count in counts:
        drawn = rng.choice(values, (repetitions, count))
        again = rng.integers(count, size=(1_000, count))
        tail = 50 * (1 - bootstrap_level(count))
        low, high = np.percentile(drawn[:, again].mean(axis=2), [tail, 100 - tail], axis=1)
        covered = (low <= truth) & (truth <= high)
        rows[count] = {"half_width": float(((high - low) / 2).mean()), "covered": float(covered.mean())}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("trainings")


def bootstrap_level(trainings: int) -> float:
    """Return the level of the percentile interval that comes near to 95 % with so many trainings.

    Resampling n values underestimates their spread by (n - 1) / n, and knows nothing of Student's heavier tails. For a
    mean, the percentiles that make up for both are those of a normal variable at -+ sqrt(n / (n - 1)) t: the "expanded
    percentiles" of Hesterberg, "What teachers should know about the bootstrap", The American Statistician 69, 2015.

    Args:
        trainings: How many, at least 2.

    Example:
        >>> [round(bootstrap_level(n), 4) for n in (5, 10, 100)]
        [0.9981, 0.9829, 0.9539]
    """
    return float(2 * stats.norm.cdf(math.sqrt(trainings / (trainings - 1)) * stats.t.ppf(0.975, trainings - 1)) - 1)


def _by_learner(trainings: pd.Series) -> pd.DataFrame:
    groups = trainings.groupby(level=LEARNER, sort=False)
    table = pd.DataFrame({key: estimate(group)._asdict() for key, group in groups}).T
    table.index = pd.MultiIndex.from_tuples(table.index, names=LEARNER)
    return table.astype({"seeds": int})


def _values_of(trainings: pd.Series) -> NDArray[np.float64]:
    """Return the numbers of one learner's trainings, each seed once."""
    index = trainings.index.to_frame(index=False)
    seeds = index.pop("seed") if "seed" in index else None
    if seeds is None or seeds.duplicated().any() or index.nunique().gt(1).any():
        raise ValueError("trainings: must be one number per training seed of one learner, as per_training returns them")
    return trainings.to_numpy(dtype=np.float64)


def _bootstrap(values: NDArray[np.float64], statistic: Callable[..., Any]) -> tuple[float, float, float]:
    low, high = _interval((values,), statistic)
    return float(statistic(values)), low, high


def _interval(samples: tuple[NDArray[Any], ...], statistic: Callable[..., Any]) -> tuple[float, float]:
    """Return the ends of the 95 % bootstrap interval; a single training says nothing of its spread."""
    fewest = min(len(sample) for sample in samples)
    if fewest < 2:
        return float("nan"), float("nan")
    options: dict[str, Any] = {"n_resamples": RESAMPLES, "method": "percentile", "vectorized": True}
    options |= {"confidence_level": bootstrap_level(fewest), "random_state": np.random.default_rng(0)}
    found = stats.bootstrap(samples, statistic, **options).confidence_interval
    return float(found.low), float(found.high)
