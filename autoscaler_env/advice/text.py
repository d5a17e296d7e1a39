"""Say the answer in words: what to do, why, and what each policy is called."""

from __future__ import annotations

import numpy as np

from autoscaler_env.advice.compare import Contest
from autoscaler_env.advice.recommend import Interval, Recommendation, bootstrap_interval
from autoscaler_env.advice.setup import TODAY
from autoscaler_env.policies.registry import LEARNERS, label_of


def dollars(value: float, digits: int = 2) -> str:
    """Return dollars with their sign in front.

    Example:
        >>> dollars(-1234.5), dollars(0.001), dollars(8600.4, 0)
        ('-$1,234.50', '$0.00', '$8,600')
    """
    if not np.isfinite(value):
        return f"{'-' if value < 0 else ''}infinity"
    rounded = round(value, digits)
    return f"{'-' if rounded < 0 else ''}${abs(rounded):,.{digits}f}"


def between(interval: Interval, digits: int = 2) -> str:
    """Return the ends of an interval in words."""
    return f"{dollars(interval.low, digits)} to {dollars(interval.high, digits)}"


def headline(contest: Contest, recommendation: Recommendation) -> str:
    """Return what to do, in a sentence, with what it saves."""
    return f"{_what_to_do(contest, recommendation.policy)}{_what_it_saves(recommendation)}."


def _what_to_do(contest: Contest, policy: str) -> str:
    entry = contest.entries[policy]
    same_kind = contest.setup.today["rule"] == policy
    if policy == TODAY:
        return f"Keep today's rule as it is ({entry.setting})"
    if policy == "fixed":
        switch = "" if same_kind else " and switch autoscaling off"
        return f"Run a fixed fleet of {entry.settings['instances']:.0f} instances{switch}"
    if policy in LEARNERS:
        return f"Deploy the {label_of(policy)} policy that was trained on your traffic"
    verb = "Keep your rule and change its setting to" if same_kind else f"Use {_with_article(policy)}"
    return f"{verb} {entry.setting}" if same_kind else f"{verb} ({entry.setting})"


def _with_article(policy: str) -> str:
    return {
        "threshold": "a threshold rule",
        "hpa-cpu": "Kubernetes' HPA on utilisation",
        "hpa-demand": "Kubernetes' HPA on demand (requests per pod)",
        "target-tracking": "target tracking",
        "forecast": "a forecast",
    }[policy]


def _what_it_saves(recommendation: Recommendation) -> str:
    if recommendation.policy == TODAY:
        return ""
    saving, year = recommendation.saving, recommendation.saving.yearly
    if saving.low <= 0 <= saving.high:
        return (
            f": it costs about what today's rule does (it saves {dollars(saving.mean)} a day, 95 % interval "
            f"{between(saving)})"
        )
    word = "saves" if saving.mean > 0 else "costs"
    ends = sorted((abs(year.low), abs(year.high)))
    more = "" if saving.mean > 0 else " more"
    return (
        f". It {word} {dollars(abs(saving.mean))} a day{more}, {dollars(abs(year.mean), 0)} a year (95 % "
        f"interval {dollars(ends[0], 0)} to {dollars(ends[1], 0)}), against today's rule"
    )


def reason(contest: Contest, recommendation: Recommendation, seed: int = 0) -> str:
    """Return why, in a sentence or two: the cheapest, the simpler ones refused, and what learning would bring."""
    policy, cheapest = recommendation.policy, recommendation.cheapest
    if recommendation.steady:
        return "The traffic is steady: it asks for the same fleet all the time, and an autoscaler has nothing to do."
    if policy == cheapest:
        told = "It was the cheapest of all policies on the days held out"
        told += f", and {_simpler(recommendation.refused)} beyond doubt." if recommendation.refused else "."
    else:
        told = (
            f"It is the simplest policy whose cost cannot be told from that of the cheapest, {label_of(cheapest)} "
            f"({dollars(recommendation.extra.mean)} a day more, 95 % interval {between(recommendation.extra)})."
        )
    return f"{told} {_learning(contest, policy, seed)}".strip()


def _simpler(names: tuple[str, ...]) -> str:
    if len(names) > 2:
        return f"all {len(names)} simpler ones cost more"
    return " and ".join(label_of(name) for name in names) + (" cost more" if len(names) > 1 else " costs more")


def _learning(contest: Contest, policy: str, seed: int) -> str:
    """Say whether learning pays: the best learner against the policy, or the best rule where a learner is it."""
    costs = contest.costs
    learners = [name for name in LEARNERS if name in costs]
    if not learners:
        return ""
    if policy in LEARNERS:
        rival = min(
            (name for name in contest.entries if name not in LEARNERS), key=lambda name: costs[name].to_numpy().mean()
        )
        more = bootstrap_interval((costs[rival] - costs[policy]).to_numpy(), seed)
        return (
            f"The best rule, {label_of(rival)}, costs {dollars(more.mean)} a day more (95 % interval {between(more)}), "
            f"{dollars(more.yearly.mean, 0)} a year: that is what learning is worth here."
        )
    best = min(learners, key=lambda name: costs[name].to_numpy().mean())
    less = bootstrap_interval((costs[policy] - costs[best]).to_numpy(), seed)
    if less.high < 0:
        return (
            f"Skip reinforcement learning: the best learner, {label_of(best)}, costs {dollars(-less.mean)} a day more."
        )
    if less.low > 0:
        return (
            f"The best learner, {label_of(best)}, would save {dollars(less.mean)} a day (95 % interval "
            f"{between(less)})."
        )
    if less.mean < 0:
        return (
            f"Skip reinforcement learning: the best learner, {label_of(best)}, cost {dollars(-less.mean)} a day more "
            f"(what it would save: 95 % interval {between(less)})."
        )
    return (
        f"Skip reinforcement learning: what the best learner, {label_of(best)}, would save, {dollars(less.mean)} a "
        f"day, cannot be told from nothing (95 % interval {between(less)})."
    )
