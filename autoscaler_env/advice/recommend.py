"""Choose what to deploy, by a written rule.

The rule: of the policies on offer take the simplest whose cost cannot be told from that of the cheapest. The cheapest
has the lowest mean cost over the held-out days. Another cannot be told from it where the 95 % bootstrap interval of the
difference of their costs, day by day, reaches zero. The simplest is the first in this order: the rule of today where it
is a fixed fleet, a fixed fleet, the rule of today, a threshold, HPA on utilisation, HPA on demand, target tracking,
a forecast, Q-learning, DQN, PPO. So a learner is recommended only where every rule is dearer beyond doubt.

One exception: steady traffic gets a fixed fleet. Where the load is constant but for its noise, switching the last
instance off and on while requests wait may cost less beyond doubt; nobody should run an autoscaler for that. (Whoever
runs one already that is cheaper beyond doubt gets the plain rule.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from autoscaler_env.advice.compare import Contest
from autoscaler_env.advice.setup import TODAY
from autoscaler_env.service import Service

ORDER = (
    "fixed",
    TODAY,
    "threshold",
    "hpa-cpu",
    "hpa-demand",
    "target-tracking",
    "forecast",
    "q-learning",
    "dqn",
    "ppo",
)
"""The policies from the simplest on; a fixed fleet of today comes before the calibrated one."""

NEAR = 0.01
"""How much dearer than the cheapest the recommended policy may be, as a share of its cost, before we say so."""

STEADY = 1.0
"""Instances' worth of traffic by which the hours of steady traffic differ, at most, ..."""

STEADY_SHARE = 0.04
"""... or this share of its median, where that is more."""

DAYS_A_YEAR = 365

_RESAMPLES = 9_999


class Interval(NamedTuple):
    """A mean over days with its 95 % interval; dollars a day."""

    mean: float
    low: float
    high: float

    @property
    def yearly(self) -> Interval:
        """The same in dollars a year."""
        return Interval(*(DAYS_A_YEAR * value for value in self))


def bootstrap_interval(values: NDArray[np.float64], seed: int = 0) -> Interval:
    """Return the mean of days and its 95 % bootstrap interval: percentiles of means of days drawn again.

    The plain percentiles of few days are too narrow. They are expanded so that normal values would give Student's
    interval: at n days the tails left out are Phi(-sqrt(n / (n - 1)) t) instead of 2.5 %, t being Student's quantile.

    Args:
        values: One number per day, shape (n,); of pairs, their differences.
        seed: Seeds the draw.

    Returns:
        For a single day the interval is infinitely wide: nothing is known about the next.

    Source:
        Hesterberg, "What teachers should know about the bootstrap", The American Statistician 69(4), 2015: the
        expanded percentile interval.

    Example:
        >>> bootstrap_interval(np.array([3.0, 3.0, 3.0]))
        Interval(mean=3.0, low=3.0, high=3.0)
    """
    mean, n = float(np.mean(values)), len(values)
    if n < 2:
        return Interval(mean, -np.inf, np.inf)
    tail = float(stats.norm.cdf(-np.sqrt(n / (n - 1)) * stats.t.ppf(0.975, n - 1)))
    found = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=_RESAMPLES,
        confidence_level=1 - 2 * tail,
        method="percentile",
        random_state=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(mean, float(found.low), float(found.high))


@dataclass(frozen=True)
class Recommendation:
    """What to deploy, and the numbers that say so."""

    policy: str
    """The policy recommended, by its name in tables."""
    cheapest: str
    """The policy with the lowest mean cost on the held-out days."""
    saving: Interval
    """What the recommended policy saves against today's rule."""
    extra: Interval
    """What the recommended policy costs more than the cheapest; all 0 where they are the same."""
    extra_share: float
    """The same as a share of the cheapest cost."""
    refused: tuple[str, ...]
    """Simpler policies that are dearer than the cheapest beyond doubt."""
    steady: bool = False
    """Whether a fixed fleet is recommended because the traffic is steady."""


def recommend(contest: Contest, seed: int = 0) -> Recommendation:
    """Apply the written rule to what the policies cost.

    Args:
        contest: The costs of the held-out days.
        seed: Seeds the intervals.
    """
    steady = is_steady(contest.days.requests, contest.service)
    return choose(contest.costs, contest.setup.today["rule"] == "fixed", steady, seed)


def is_steady(requests: NDArray[np.int64], service: Service) -> bool:
    """Return whether traffic asks for the same fleet hour after hour, whatever its noise from step to step.

    Args:
        requests: Arrivals, shape (days, steps).
        service: Says what an instance can serve, and the fewest there are.
    """
    steps = max(1, 3600 // service.step_seconds)
    hours = requests[:, : requests.shape[1] // steps * steps].reshape(-1, steps).mean(axis=1)
    needed = np.maximum(hours / service.capacity_per_instance, service.min_instances)
    low, middle, high = np.percentile(needed, (0.1, 50, 99.9))
    return bool(high - low <= max(STEADY, STEADY_SHARE * middle))


def choose(costs: pd.DataFrame, today_is_fixed: bool = False, steady: bool = False, seed: int = 0) -> Recommendation:
    """Apply the written rule to a table of costs.

    Args:
        costs: Dollars, a row per held-out day, a column per policy; today's rule is one of them.
        today_is_fixed: Whether today's rule is a fixed fleet.
        steady: Whether the traffic is.
        seed: Seeds the intervals.

    Example:
        >>> days = {"fixed": [9.0, 9.0, 9.0], "today": [7.0, 8.0, 9.0], "ppo": [7.5, 7.4, 8.9]}
        >>> choose(pd.DataFrame(days)).policy
        'today'
    """
    order = [name for name in ORDER if name in costs]
    if today_is_fixed:
        order = [TODAY, *(name for name in order if name != TODAY)]
    cheapest = _cheapest(costs, order)
    steady = steady and bootstrap_interval((costs["fixed"] - costs[TODAY]).to_numpy(), seed).low <= 0
    among = [name for name in order if name == "fixed" or (today_is_fixed and name == TODAY)] if steady else order
    best = _cheapest(costs, among)
    extra = {name: bootstrap_interval((costs[name] - costs[best]).to_numpy(), seed) for name in among}
    policy = next(name for name in among if extra[name].low <= 0)
    dearer = bootstrap_interval((costs[policy] - costs[cheapest]).to_numpy(), seed)
    return Recommendation(
        policy,
        cheapest,
        bootstrap_interval((costs[TODAY] - costs[policy]).to_numpy(), seed),
        dearer,
        dearer.mean / max(float(costs[cheapest].to_numpy().mean()), 1e-12),
        tuple(among[: among.index(policy)]),
        steady,
    )


def _cheapest(costs: pd.DataFrame, names: Sequence[str]) -> str:
    return min(names, key=lambda name: float(costs[name].to_numpy().mean()))
