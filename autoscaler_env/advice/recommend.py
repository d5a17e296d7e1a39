"""Choose what to deploy, by a written rule, and measure what it saves on days that the choice has not seen.

Who may be recommended: a policy that keeps today's service on the held-out days (`compare.loses_service`), unless a
simpler one that keeps it too costs no more there and serves no fewer requests in time. A learner needs its full
training budget and at least three trainings besides, each of which keeps the service. Where it costs more to serve a
request than to lose it, nothing is.

The rule: change nothing unless the change is worth it. It is if it saves beyond doubt, so that the 95 % interval of the
differences of the daily costs lies above zero (of a learner: over days and trainings), and if it saves at least 1 % of
today's cost (`[limits] least_saving`).
Of the policies that are worth it, the simplest is chosen that the cheapest of them does not beat likewise: beyond doubt
and by at least 1 %. From simple to complex: a fixed fleet, the rule of today with another setting, a threshold, HPA on
utilisation, HPA on demand, Knative's KPA, AWS' step scaling and target tracking, our target tracking, a forecast,
Q-learning, DQN, PPO, policy iteration.

One exception: steady traffic gets a fixed fleet or keeps today's rule. If traffic is constant but for its noise,
switching the last instance off and on while requests wait may save more than 1 %; that alone is no reason to run an
autoscaler. If today's rule already saves enough against a fixed fleet, the plain rule applies.

With an objective (`[objective]`), a policy must keep it on the held-out days instead of today's service. If today's
rule misses it, the rule may not stay: then the simplest policy is chosen that the cheapest does not beat, whatever it
costs.

The saving that is quoted comes from days that the choice was not made on. From ten held-out days on, the choice is made
on the first half, and its saving is measured on the second. Below ten, each day is left out in turn: the saving on it
is that of the policy which the other days choose. If the saving is not worth it there, nothing is changed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autoscaler_env.advice.compare import Candidate, Comparison, loses_service
from autoscaler_env.advice.plausibility import losing_is_cheaper
from autoscaler_env.advice.setup import TODAY
from autoscaler_env.evaluation.objective import Objective
from autoscaler_env.evaluation.statistics import MINIMUM_EFFECT, Interval, is_worth_it, mean_interval
from autoscaler_env.policies.registry import LEARNERS, label_of
from autoscaler_env.service import Service
from autoscaler_env.text import percent

ORDER = (
    "fixed",
    TODAY,
    "threshold",
    "hpa-cpu",
    "hpa-demand",
    "kpa",
    "aws-step-scaling",
    "aws-target-tracking",
    "target-tracking",
    "ideal-target-tracking",
    "forecast",
    *LEARNERS,
)
"""The policies from simple to complex; see `simplicity` for the place of today's kind of rule."""

HALVES = 10
"""Held-out days from which on the choice is made on the first half and measured on the second."""

FEWEST_TRAININGS = 3
"""Trainings of a learner, with different seeds, below which it is not recommended."""

AUTOSCALERS = (("hpa-cpu", "hpa-demand"), ("aws-target-tracking", "aws-step-scaling"), ("kpa",))
"""The rules that Kubernetes, AWS and Knative can run, by their autoscaler."""

OWN_LOOP = ("threshold", "target-tracking", "ideal-target-tracking", "forecast")
"""The rules that none of these runs: they need a control loop of one's own."""

STEADY = 1.0
"""Traffic is steady if its hours differ by at most this many instances' worth of requests ..."""

STEADY_SHARE = 0.04
"""... or by at most this share of the median, if that is more."""


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
    """The policy with the lowest mean cost of those that may be recommended."""
    saving: Interval
    """What the recommended policy saves against today's rule."""
    extra: Interval
    """What the recommended policy costs more than the cheapest; all 0 if they are the same."""
    extra_share: float
    """The mean of `extra` as a share of the cheapest cost."""
    cost: float
    """What the recommended policy costs on those days."""
    passed_over: tuple[str, ...]
    """Simpler policies that cost more: beyond doubt, and by at least 1 %."""
    rival: Rival | None = None
    """What learning is worth; `None` if nothing was trained."""
    steady: bool = False
    """Whether a fixed fleet is recommended because the traffic is steady."""
    refused: dict[str, str] = field(default_factory=dict)
    """Policies that may not be recommended, by name, and why."""
    unconfirmed: str = ""
    """The policy that was chosen, but whose saving the days that had not been seen did not confirm."""
    unconfirmed_saving: Interval | None = None
    """What that policy saved against today's rule on the days of the choice, which are all days below `HALVES`."""
    choices_differ: bool = False
    """Whether nothing is changed because the days, each left out in turn, choose different policies."""
    own: str = ""
    """The kind of today's rule: it decides which policies are simpler."""
    least: float = MINIMUM_EFFECT
    """Share of today's cost that a change must save."""
    trainings: int = 1
    """Trainings of each learner that the numbers are over."""


def recommend(comparison: Comparison) -> Recommendation:
    """Apply the written rule to a comparison; quote what it saves on days that the choice was not made on."""
    least = comparison.setup.limits.least_saving
    own = comparison.setup.today["rule"]
    steady = is_steady(comparison.days.requests, comparison.service)
    refused = refusals(comparison)
    allowed = [name for name in ORDER if name in comparison.candidates and name not in refused]
    must = must_change(comparison) and allowed != [TODAY]

    def choice(days: pd.DataFrame) -> Recommendation:
        return choose(days, own, steady and not must, allowed=allowed, least=least, must=must)

    return dataclasses.replace(quoted(comparison.costs_by_training, choice, allowed, must=must), refused=refused)


def without_own_loop(comparison: Comparison, recommendation: Recommendation) -> str | None:
    """Return what to deploy instead of a rule that needs a new control loop.

    Those are the rules of the user's autoscaler; where it is not known, today's rule with another setting. Of those
    that keep today's service (or the objective) and are worth it on all held-out days, the simplest is chosen that the
    cheapest does not beat.

    Returns:
        Its name in tables; `None` where the recommended policy needs no such loop, or no such rule is worth it.
    """
    setup, candidates, policy = comparison.setup, comparison.candidates, recommendation.policy
    own = setup.today["rule"]
    if policy not in OWN_LOOP or policy == own:
        return None
    today, costs, least = candidates[TODAY], comparison.costs_by_training, setup.limits.least_saving

    def pays(now: str, then: str) -> bool:
        return is_worth_it(_saved(costs, now, then), _mean(costs, now), least)

    able = [
        name
        for name in simplicity(own)
        if name in candidates
        and name in next((rules for rules in AUTOSCALERS if own in rules), (own,))
        and not loses_service(candidates[name], today, setup.limits, setup.objective)
        and pays(TODAY, name)
    ]
    return next((name for name in able if not pays(name, _cheapest(costs, able))), None)


def must_change(comparison: Comparison) -> bool:
    """Return whether today's rule misses the objective on the held-out days, so that it may not stay."""
    today, setup = comparison.candidates[TODAY], comparison.setup
    return setup.objective is not None and loses_service(today, today, setup.limits, setup.objective)


def quoted(
    costs: pd.DataFrame,
    choice: Callable[[pd.DataFrame], Recommendation],
    allowed: Collection[str] | None = None,
    *,
    must: bool = False,
) -> Recommendation:
    """Return a choice, with what it saves on days that it was not made on.

    Args:
        costs: As for `choose`.
        choice: Returns the recommendation that a table of costs leads to.
        allowed: As for `choose`.
        must: As for `choose`.

    Returns:
        The choice, with the numbers and the cheapest policy of the days that it was not made on; `today`, if its saving
        is not worth it on those.
    """
    days = len(costs)
    if days >= HALVES:
        chosen = choice(costs.iloc[: days // 2])
        unseen = costs.iloc[days // 2 :]
        saving = _saved(unseen, TODAY, chosen.policy)
    else:
        chosen, unseen = choice(costs), costs
        others = [choice(costs.drop(costs.index[day])).policy if days > 1 else TODAY for day in range(days)]
        saved = [(_by_training(costs, TODAY) - _by_training(costs, other))[:, i] for i, other in enumerate(others)]
        saving = mean_interval(np.array(np.broadcast_arrays(*saved)).T)
    policy, unconfirmed = chosen.policy, ""
    if policy != TODAY and not must and not is_worth_it(saving, _mean(unseen, TODAY), chosen.least):
        policy, unconfirmed = TODAY, policy
    names = [name for name in ORDER if name in costs]
    able = [name for name in names if name == TODAY or allowed is None or name in allowed]
    cheapest = _cheapest(unseen, [name for name in able if name != TODAY or not must])
    extra = _saved(unseen, policy, cheapest)
    return dataclasses.replace(
        chosen,
        policy=policy,
        cheapest=cheapest,
        saving=saving if policy != TODAY else _saved(unseen, TODAY, TODAY),
        extra=extra,
        extra_share=extra.mean / max(_mean(unseen, cheapest), 1e-12),
        cost=_mean(unseen, policy),
        passed_over=() if unconfirmed else chosen.passed_over,
        rival=_rival(unseen, names, policy),
        steady=chosen.steady and not unconfirmed,
        unconfirmed=unconfirmed,
        unconfirmed_saving=chosen.saving if unconfirmed else None,
        choices_differ=bool(unconfirmed) and days < HALVES,
    )


def refusals(comparison: Comparison) -> dict[str, str]:
    """Return the policies that may not be recommended, by name, and why."""
    today, refused = comparison.candidates[TODAY], {}
    for name, candidate in comparison.candidates.items():
        if name == TODAY:
            continue
        if losing_is_cheaper(comparison.service):
            refused[name] = "with these prices it is cheaper to lose requests"
        elif loses_service(candidate, today, comparison.setup.limits, comparison.setup.objective):
            refused[name] = _worse(candidate, today, comparison.setup.objective)
        elif name in LEARNERS and comparison.quick:
            refused[name] = "had a small training budget (--quick)"
        elif name in LEARNERS and len(candidate.trainings) < FEWEST_TRAININGS:
            refused[name] = f"was trained with fewer than {FEWEST_TRAININGS} seeds"
    order = [name for name in simplicity(comparison.setup.today["rule"]) if name in comparison.candidates]
    able = [name for name in order if name != TODAY and name not in refused]
    for place, name in enumerate(able):
        candidate = comparison.candidates[name]
        for simpler in able[:place]:
            other = comparison.candidates[simpler]
            if other.cost.mean <= candidate.cost.mean and other.in_time_share >= candidate.in_time_share:
                refused.setdefault(
                    name,
                    f"costs no less than {label_of(simpler)} on all held-out days, and {label_of(simpler)} is simpler "
                    "and serves no fewer requests in time",
                )
    return refused


def simplicity(own: str) -> list[str]:
    """Return the policies from simple to complex; another setting of today's rule is the simplest change of a rule.

    Args:
        own: The kind of today's rule; empty if it is of none of these kinds.

    Example:
        >>> simplicity("hpa-demand")[:4]
        ['fixed', 'today', 'hpa-demand', 'threshold']
        >>> simplicity("fixed")[:3]
        ['today', 'fixed', 'threshold']
    """
    order = [name for name in ORDER if name != own]
    if own:
        order.insert(order.index(TODAY) + 1, own)
    return order


def is_simpler(policy: str, other: str, own: str) -> bool:
    """Return whether a policy is simpler than another one, where today's rule is of the kind `own`.

    Example:
        >>> is_simpler("today", "hpa-cpu", ""), is_simpler("today", "fixed", ""), is_simpler("today", "fixed", "fixed")
        (True, False, True)
    """
    order = simplicity(own)
    return order.index(policy) < order.index(other)


def _worse(candidate: Candidate, today: Candidate, objective: Objective | None) -> str:
    """Return how a policy serves fewer requests than it must, as the end of a sentence about the policy."""
    if objective is not None:
        return f"misses the objective: {100 * candidate.in_time_share:.2f} % in time"
    if candidate.drop_share > today.drop_share and candidate.in_time_share >= today.in_time_share:
        return (
            f"drops {percent(candidate.drop_share, 2)} of the requests (today's rule: {percent(today.drop_share, 2)})"
        )
    in_time, now = (f"{100 * each.in_time_share:.2f} %" for each in (candidate, today))
    return f"serves only {in_time} of the requests in time (today's rule: {now})"


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


def choose(
    costs: pd.DataFrame,
    own: str = "",
    steady: bool = False,
    *,
    allowed: Collection[str] | None = None,
    least: float = MINIMUM_EFFECT,
    must: bool = False,
) -> Recommendation:
    """Apply the written rule to a table of costs; the saving is that on the same days.

    Args:
        costs: Dollars; a row per held-out day, in the order of time, and a column per policy, or per policy and
            training (two levels). `today` is one of them.
        own: The kind of today's rule: another setting of it is the simplest change of a rule.
        steady: Whether the traffic is steady.
        allowed: The policies that may be recommended, besides today's rule; all by default.
        least: Share of the cost that a change must save.
        must: Whether today's rule may not stay; then a change need not save anything.

    Example:
        >>> days = {"fixed": [9.0, 9.1, 9.2], "today": [7.0, 7.3, 7.1], "ppo": [6.98, 7.29, 7.06]}
        >>> choose(pd.DataFrame(days)).policy
        'today'
    """

    def pays(now: str, then: str) -> bool:
        return is_worth_it(_saved(costs, now, then), _mean(costs, now), least)

    names = [name for name in simplicity(own) if name in costs]
    order = [name for name in names if name == TODAY or allowed is None or name in allowed]
    if must:
        order.remove(TODAY)
    cheapest = _cheapest(costs, order)
    steady = steady and "fixed" in order and not pays("fixed", TODAY)
    pool = [name for name in order if name in ("fixed", TODAY)] if steady else order
    worth_it = [name for name in pool if name != TODAY and (must or pays(TODAY, name))]
    best = _cheapest(costs, worth_it or [TODAY])
    policy = next(name for name in worth_it or [TODAY] if not pays(name, best))
    extra = _saved(costs, policy, cheapest)
    return Recommendation(
        policy,
        cheapest,
        saving=_saved(costs, TODAY, policy),
        extra=extra,
        extra_share=extra.mean / max(_mean(costs, cheapest), 1e-12),
        cost=_mean(costs, policy),
        passed_over=tuple(name for name in pool[: pool.index(policy)] if pays(name, policy)),
        rival=_rival(costs, names, policy),
        steady=steady and (policy == "fixed" or own == "fixed"),
        own=own,
        least=least,
        trainings=max(len(_by_training(costs, name)) for name in names),
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


def _by_training(costs: pd.DataFrame, name: str) -> NDArray[np.float64]:
    """Return the costs of a policy, shape (trainings, days)."""
    return costs[name].to_numpy(dtype=np.float64).reshape(len(costs), -1).T


def _saved(costs: pd.DataFrame, now: str, then: str) -> Interval:
    """Return what the step from one policy to another saves a day; two learners are paired by their seeds."""
    return mean_interval(_by_training(costs, now) - _by_training(costs, then))


def _mean(costs: pd.DataFrame, name: str) -> float:
    return float(_by_training(costs, name).mean())


def _cheapest(costs: pd.DataFrame, names: Sequence[str]) -> str:
    return min(names, key=lambda name: _mean(costs, name))
