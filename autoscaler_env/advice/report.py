"""The answer as plain values: what the page shows and the JSON holds.

What an answer cannot know, said plainly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from autoscaler_env.advice.compare import Contest, Entry
from autoscaler_env.advice.deploy import how_to
from autoscaler_env.advice.recommend import (
    DAYS_A_YEAR,
    NEAR,
    ORDER,
    Interval,
    Recommendation,
    bootstrap_interval,
    recommend,
)
from autoscaler_env.advice.setup import TODAY
from autoscaler_env.advice.text import between, dollars, headline, reason
from autoscaler_env.policies.oracle import OPTIMUM
from autoscaler_env.policies.registry import LEARNERS, label_of
from autoscaler_env.service import Service
from autoscaler_env.text import counted
from autoscaler_env.traffic.trace import Trace

FEW_DAYS = 14
"""Days held out below which we say that they are few: two of each day of the week."""

UNLIKE = 0.1
"""By how much the level of the held-out part may differ from the first, as a share, before we say so."""

ANOTHER_COURSE = 0.7
"""Rank correlation of the mean days of the two parts below which we say that they take another course."""

COARSE_SECONDS = 900
"""Length of a step from which on we say that bursts within it cannot be seen."""


def limits_of(contest: Contest, recommendation: Recommendation) -> list[str]:
    """Return the limits of an answer, a sentence or two each; none where nothing is to be said."""
    found = [_dearer(contest, recommendation), *traffic_limits(contest.days, contest.service)]
    if recommendation.policy in LEARNERS:
        found.append(
            "The policy comes from one training. The intervals are over days, not over trainings: another seed "
            "(--seed) gives another policy, and may give another answer."
        )
    if contest.quick:
        found.append("The learners had small budgets, for a quick answer: in full ones they may do better.")
    if contest.optimum is None:
        found.append(f"No optimum is shown. {contest.no_optimum[0].upper()}{contest.no_optimum[1:]}.")
    return [text for text in found if text]


def traffic_limits(days: Trace, service: Service) -> list[str]:
    """Return what the traffic leaves open for a service, a sentence or two each."""
    found = [
        _few_days(days),
        *_unlike(days),
        _boot(service),
        _coarse(service),
        _beyond_the_fleet(days, service),
        _clipped(days, service),
        _steps(days, service),
    ]
    return [text for text in found if text]


def _dearer(contest: Contest, recommendation: Recommendation) -> str:
    if recommendation.extra_share <= NEAR:
        return ""
    extra, held_out = recommendation.extra, counted(len(contest.days.later), "day")
    told = (
        f"The recommended policy cost {recommendation.extra_share:.1%} more on these days than the cheapest, "
        f"{label_of(recommendation.cheapest)}: {dollars(extra.mean)} a day, 95 % interval {between(extra)}. "
    )
    if recommendation.steady:
        return (
            f"{told}It is recommended all the same: the traffic is steady, it asks for the same fleet hour after hour, "
            "and the difference is all that an autoscaler could earn within the hours."
        )
    return told + f"It is recommended all the same: {held_out} cannot tell that from chance, and it is simpler."


def _few_days(days: Trace) -> str:
    held_out = len(days.later)
    if held_out >= FEW_DAYS:
        return ""
    if held_out == 1:
        return "Only 1 day is held out: no interval can be given, and the answer may be that day's. Bring two weeks."
    weekdays = " and do not hold each day of the week" if held_out < 7 else ""
    return (
        f"The days are few: {counted(days.first_days, 'day')} to learn from, {held_out} held out{weekdays}. Rare "
        "events are not among so few, and intervals are wide. Two months say more."
    )


def _unlike(days: Trace) -> list[str]:
    earlier, later = days.earlier, days.later
    found = []
    change = later.mean() / max(earlier.mean(), 1e-9) - 1
    if abs(change) > UNLIKE:
        found.append(
            f"The held-out days carry {abs(change):.0%} {'more' if change > 0 else 'less'} traffic than those before: "
            "settings found on the first part may not suit what comes next. Run this again with newer traffic."
        )
    likeness = _likeness(earlier, later)
    if likeness < ANOTHER_COURSE:
        found.append(
            "The course of the day is another in the held-out part than in the first (rank correlation of the mean "
            f"days {likeness:.2f})."
        )
    if later.max() > 1.25 * earlier.max():
        found.append(
            f"The highest step held out, {later.max():,} requests, is {later.max() / max(earlier.max(), 1):.1f} times "
            "the highest that anything was calibrated or trained on."
        )
    return found


def _likeness(earlier: np.ndarray, later: np.ndarray) -> float:
    """Return the rank correlation of the mean days of the two parts; 1 where a day has hardly a course."""
    first = earlier.mean(axis=0)
    if first.std() < 0.1 * max(first.mean(), 1e-9) or np.ptp(later.mean(axis=0)) == 0:
        return 1.0
    return float(stats.spearmanr(first, later.mean(axis=0)).statistic)


def _boot(service: Service) -> str:
    if service.boot_steps <= 1:
        return ""
    return (
        f"An instance boots for {service.boot_steps * service.step_seconds / 60:g} min, longer than the interval of "
        f"{service.step_seconds / 60:g} min: whatever only reacts comes {service.boot_steps} steps late, and the "
        "optimum, which knows the traffic, is further out of reach."
    )


def _coarse(service: Service) -> str:
    if service.step_seconds < COARSE_SECONDS:
        return ""
    return (
        f"A step is {service.step_seconds / 60:g} min long: bursts within it cannot be seen, and real waits are longer "
        "than the simulated ones."
    )


def _beyond_the_fleet(days: Trace, service: Service) -> str:
    over = int((days.later > service.max_instances * service.capacity_per_instance).sum())
    if not over:
        return ""
    return f"In {counted(over, 'step')} held out, {service.max_instances} instances (max_instances) cannot serve all."


def _clipped(days: Trace, service: Service) -> str:
    over = int((days.later > service.arrivals_scale).sum())
    if not over:
        return ""
    return (
        f"In {counted(over, 'step')} held out the traffic was more than twice the highest seen before; policies saw "
        f"{service.arrivals_scale:,} requests there, however many came."
    )


def _steps(days: Trace, service: Service) -> str:
    rise = int(np.percentile(np.diff(days.requests.reshape(-1)), 99) / service.capacity_per_instance)
    most = max(service.fleet_changes)
    if rise <= most:
        return ""
    return (
        f"One step in a hundred brings {rise} instances' worth of traffic more than the one before, but fleet_changes "
        f"lets the fleet grow by {most} at most: no policy can follow."
    )


METHOD = (
    "The days were split by time. On the first {first}, every setting of a fixed fleet, a threshold, HPA, target "
    "tracking and a forecast was tried, and {learners} were trained on days drawn from them, shifted and perturbed. "
    "All policies then ran through the {held_out} held out, one day after the other, on the same simulated "
    "service: fleet and queue go over midnight. The optimum knew that traffic beforehand: nothing can cost less. "
    "Intervals are 95 % bootstrap intervals over the held-out days; of differences, paired by day. A year is 365 such "
    "days. Recommended is the simplest policy whose cost cannot be told from the cheapest, in the order: {order}. "
    "It was chosen by the same days that its saving is told for, which flatters it a little."
)


@dataclass(frozen=True)
class Answer:
    """What was found, what is recommended, and the words for it."""

    contest: Contest
    recommendation: Recommendation
    headline: str
    reason: str
    limits: list[str]
    seed: int

    @property
    def worst_day(self) -> int:
        """The held-out day that was the dearest for today's rule."""
        return int(np.argmax(self.contest.entries[TODAY].costs))

    @property
    def beside(self) -> str:
        """The policy that the worst day shows beside today's rule: the recommended one, or the cheapest other."""
        chosen, costs = self.recommendation.policy, self.contest.costs
        others = [name for name in self.contest.entries if name != TODAY]
        return chosen if chosen != TODAY else min(others, key=lambda name: costs[name].to_numpy().mean())

    def best_setting(self) -> str:
        """Return the calibrated rule of the kind that runs today, by its name in tables."""
        return str(self.contest.setup.today["rule"])


def answer(contest: Contest, seed: int = 0) -> Answer:
    """Draw the conclusion from a contest.

    Args:
        contest: What every policy cost on the held-out days.
        seed: Seeds the intervals.
    """
    recommendation = recommend(contest, seed)
    return Answer(
        contest,
        recommendation,
        headline(contest, recommendation),
        reason(contest, recommendation, seed),
        limits_of(contest, recommendation),
        seed,
    )


def interval_of(entry: Entry, seed: int) -> Interval:
    """Return the mean cost of a policy with its interval, dollars a day."""
    return bootstrap_interval(entry.costs, seed)


def method_of(contest: Contest) -> str:
    """Return how the answer was found, in sentences."""
    learners = [label_of(name) for name in LEARNERS if name in contest.entries]
    return METHOD.format(
        first=counted(contest.days.first_days, "day"),
        held_out=counted(len(contest.days.later), "day"),
        learners=f"{', '.join(learners[:-1])} and {learners[-1]}"
        if learners[1:]
        else "".join(learners) or "no learner",
        order=", ".join(label_of(name) for name in ORDER if name in contest.entries),
    )


def as_plain(found: Answer) -> dict[str, Any]:
    """Return the answer as values that JSON can hold; money in dollars, rounded to a hundredth of a cent."""
    contest, chosen = found.contest, found.recommendation
    optimum = contest.optimum
    today = contest.entries[TODAY].costs
    policies = {}
    for name, entry in [*contest.entries.items(), *([(OPTIMUM, optimum)] if optimum else [])]:
        saved = bootstrap_interval(today - entry.costs, found.seed)
        policies[name] = {
            "label": label_of(name),
            "setting": entry.setting,
            "settings": dict(entry.settings),
            "dollars_a_day": _plain(interval_of(entry, found.seed)),
            "dollars_a_year": _plain(interval_of(entry, found.seed).yearly),
            "saved_a_day": _plain(saved),
            "saved_a_year": _plain(saved.yearly),
            "above_optimum": round(float(entry.costs.mean() / optimum.costs.mean() - 1), 6) if optimum else None,
            "late_share": round(entry.late_share, 6),
            "dropped_share": round(entry.drop_share, 6),
            "wait_p95_seconds": entry.wait_p95,
            "scaling_actions_a_day": round(entry.actions, 2),
            "costs": [round(float(cost), 4) for cost in entry.costs],
        }
    held_out = contest.days.labels[contest.days.first_days :]
    return {
        "service": {"name": contest.setup.name, "today": dict(contest.setup.today)} | contest.service.as_dict(),
        "traffic": {
            "days": len(contest.days.requests),
            "first_days": contest.days.first_days,
            "held_out": list(held_out),
            "notes": list(contest.days.notes),
        },
        "recommendation": {
            "policy": chosen.policy,
            "setting": contest.entries[chosen.policy].setting,
            "headline": found.headline,
            "reason": found.reason,
            "cheapest": chosen.cheapest,
            "dearer_than_cheapest": round(chosen.extra_share, 6),
            "dearer_than_cheapest_a_day": _plain(chosen.extra),
            "simpler_and_dearer": list(chosen.refused),
        },
        "policies": policies,
        "no_optimum": contest.no_optimum or None,
        "worst_day": {"day": held_out[found.worst_day]} | {name: _day(found, name) for name in (TODAY, found.beside)},
        "how_to": how_to(contest, chosen.policy)._asdict(),
        "method": method_of(contest),
        "limits": found.limits,
        "days_a_year": DAYS_A_YEAR,
        "seed": found.seed,
    }


def _day(found: Answer, policy: str) -> dict[str, Any]:
    """Return the worst day step by step: what arrived, the fleet, what waited, and the cost."""
    trajectory, day = found.contest.entries[policy].trajectory, found.worst_day
    counts = {name: getattr(trajectory, name)[day].tolist() for name in ("arrivals", "fleet", "queue", "dropped")}
    return counts | {"cost": np.round(trajectory.cost[day], 6).tolist()}


def _plain(interval: Interval) -> dict[str, float | None]:
    return {name: round(value, 4) if np.isfinite(value) else None for name, value in interval._asdict().items()}
