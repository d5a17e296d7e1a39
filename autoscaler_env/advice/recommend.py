"""Choose what to deploy, by a written rule.

The rule: recommend the simplest policy whose cost cannot be told from that of the cheapest. The cheapest policy has the
lowest mean cost over the held-out days. A simpler policy is passed over only if the cheapest saves enough against it,
and that takes two things (`evaluation.statistics.is_worth_it`): the saving is beyond doubt, so the 95 % interval of the
differences of their daily costs lies above zero, and it is at least 1 % of the simpler policy's cost. Below 1 % a
difference may be certain, but it does not pay for a more complex policy.

From simple to complex: today's rule if it is a fixed fleet, a fixed fleet, today's rule, a threshold, HPA on
utilisation, HPA on demand, target tracking, a forecast, Q-learning, DQN, PPO. So a learner is recommended only where
the cheapest learner saves enough against every rule.

One exception: steady traffic gets a fixed fleet. If traffic is constant but for its noise, switching the last instance
off and on while requests wait may save more than 1 %; that alone is no reason to run an autoscaler. If today's rule
already saves enough against a fixed fleet, the plain rule applies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autoscaler_env.advice.compare import Comparison
from autoscaler_env.advice.setup import TODAY
from autoscaler_env.evaluation.statistics import Interval, is_worth_it, mean_interval
from autoscaler_env.policies.registry import LEARNERS
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
"""The policies from simple to complex; today's rule comes first if it is a fixed fleet."""

STEADY = 1.0
"""Instances' worth of traffic by which the hours of steady traffic differ, at most, ..."""

STEADY_SHARE = 0.04
"""... or this share of its median, where that is more."""


class Rival(NamedTuple):
    """The best policy of the other kind, which shows what learning is worth."""

    name: str
    """The best learner if a rule is recommended, the best rule if a learner is."""
    saved: Interval
    """What the learner of the two saves against the rule, dollars a day."""


@dataclass(frozen=True)
class Recommendation:
    """What to deploy, and the numbers behind it; money in dollars a day."""

    policy: str
    """The recommended policy, by its name in tables."""
    cheapest: str
    """The policy with the lowest mean cost on the held-out days."""
    saving: Interval
    """What the recommended policy saves against today's rule."""
    extra: Interval
    """What the recommended policy costs more than the cheapest; all 0 if they are the same."""
    extra_share: float
    """The mean of `extra` as a share of the cheapest cost."""
    passed_over: tuple[str, ...]
    """Simpler policies that cost more: beyond doubt, and by at least 1 %."""
    rival: Rival | None = None
    """What learning is worth; `None` if nothing was trained."""
    steady: bool = False
    """Whether a fixed fleet is recommended because the traffic is steady."""


def recommend(comparison: Comparison) -> Recommendation:
    """Apply the written rule to the costs of a comparison."""
    steady = is_steady(comparison.days.requests, comparison.service)
    return choose(comparison.costs, comparison.setup.today["rule"] == "fixed", steady)


def is_steady(requests: NDArray[np.int64], service: Service) -> bool:
    """Return whether traffic needs the same fleet in every hour, whatever its noise from step to step.

    Args:
        requests: Arrivals, shape (days, steps).
        service: Gives the capacity of an instance and the fewest instances.
    """
    steps = max(1, 3600 // service.step_seconds)
    hours = requests[:, : requests.shape[1] // steps * steps].reshape(-1, steps).mean(axis=1)
    needed = np.maximum(hours / service.capacity_per_instance, service.min_instances)
    low, middle, high = np.percentile(needed, (0.1, 50, 99.9))
    return bool(high - low <= max(STEADY, STEADY_SHARE * middle))


def choose(costs: pd.DataFrame, today_is_fixed: bool = False, steady: bool = False) -> Recommendation:
    """Apply the written rule to a table of costs.

    Args:
        costs: Dollars; a row per held-out day, in the order of time, and a column per policy. `today` is one of them.
        today_is_fixed: Whether today's rule is a fixed fleet.
        steady: Whether the traffic is steady.

    Example:
        >>> days = {"fixed": [9.0, 9.1, 9.2], "today": [7.0, 7.3, 7.1], "ppo": [6.98, 7.29, 7.06]}
        >>> choose(pd.DataFrame(days)).policy
        'today'
    """
    order = [name for name in ORDER if name in costs]
    if today_is_fixed:
        order = [TODAY, *(name for name in order if name != TODAY)]
    cheapest = _cheapest(costs, order)
    steady = steady and not _pays(costs, "fixed", TODAY)
    candidates = [name for name in order if name == "fixed" or (today_is_fixed and name == TODAY)] if steady else order
    best = _cheapest(costs, candidates)
    policy = next(name for name in candidates if not _pays(costs, name, best))
    extra = _saved(costs, policy, cheapest)
    return Recommendation(
        policy,
        cheapest,
        saving=_saved(costs, TODAY, policy),
        extra=extra,
        extra_share=extra.mean / max(_mean(costs, cheapest), 1e-12),
        passed_over=tuple(candidates[: candidates.index(policy)]),
        rival=_rival(costs, order, policy),
        steady=steady,
    )


def _rival(costs: pd.DataFrame, names: Sequence[str], policy: str) -> Rival | None:
    learners = [name for name in names if name in LEARNERS]
    if not learners:
        return None
    if policy in LEARNERS:
        rule = _cheapest(costs, [name for name in names if name not in LEARNERS])
        return Rival(rule, _saved(costs, rule, policy))
    learner = _cheapest(costs, learners)
    return Rival(learner, _saved(costs, policy, learner))


def _pays(costs: pd.DataFrame, now: str, then: str) -> bool:
    """Return whether the step from one policy to another is worth it."""
    return is_worth_it(_saved(costs, now, then), _mean(costs, now))


def _saved(costs: pd.DataFrame, now: str, then: str) -> Interval:
    """Return what the step from one policy to another saves a day."""
    return mean_interval((costs[now] - costs[then]).to_numpy())


def _mean(costs: pd.DataFrame, name: str) -> float:
    return float(costs[name].to_numpy().mean())


def _cheapest(costs: pd.DataFrame, names: Sequence[str]) -> str:
    return min(names, key=lambda name: _mean(costs, name))
