"""The answer as plain values: what the page shows and the JSON holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from autoscaler_env.advice.compare import Contest, Entry
from autoscaler_env.advice.deploy import how_to
from autoscaler_env.advice.limits import limits_of
from autoscaler_env.advice.recommend import (
    DAYS_A_YEAR,
    ORDER,
    Interval,
    Recommendation,
    bootstrap_interval,
    recommend,
)
from autoscaler_env.advice.setup import TODAY
from autoscaler_env.traffic.reading import numbered
from autoscaler_env.advice.text import LABELS, headline, reason
from autoscaler_env.policies.registry import LEARNERS
from autoscaler_env.policies.oracle import OPTIMUM

METHOD = (
    "The days were split by time. On the first {first}, every setting of a fixed fleet, a threshold, HPA, target "
    "tracking and a forecast was tried, and {learners} were trained on days drawn from them, shifted and perturbed. "
    "All policies then ran through the {held_out} held out, one day after the other, on the same simulated "
    "service: fleet and queue go over midnight. The optimum knew that traffic beforehand: nothing can cost less. "
    "Intervals are 95 % bootstrap intervals over the held-out days; of differences, paired by day. A year is 365 such "
    "days. Recommended is the simplest policy whose bill cannot be told from the cheapest, in the order: {order}. "
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
        return int(np.argmax(self.contest.entries[TODAY].bills))

    @property
    def beside(self) -> str:
        """The policy that the worst day shows beside today's rule: the recommended one, or the cheapest other."""
        chosen, bills = self.recommendation.policy, self.contest.bills
        others = [name for name in self.contest.entries if name != TODAY]
        return chosen if chosen != TODAY else min(others, key=lambda name: bills[name].to_numpy().mean())

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
    """Return the mean bill of a policy with its interval, dollars a day."""
    return bootstrap_interval(entry.bills, seed)


def method_of(contest: Contest) -> str:
    """Return how the answer was found, in sentences."""
    learners = [LABELS[name] for name in LEARNERS if name in contest.entries]
    return METHOD.format(
        first=numbered(contest.days.first_days, "day"),
        held_out=numbered(len(contest.days.later), "day"),
        learners=f"{', '.join(learners[:-1])} and {learners[-1]}"
        if learners[1:]
        else "".join(learners) or "no learner",
        order=", ".join(LABELS[name] for name in ORDER if name in contest.entries),
    )


def as_plain(found: Answer) -> dict[str, Any]:
    """Return the answer as values that JSON can hold; money in dollars, rounded to a hundredth of a cent."""
    contest, chosen = found.contest, found.recommendation
    optimum = contest.optimum
    today = contest.entries[TODAY].bills
    policies = {}
    for name, entry in [*contest.entries.items(), *([(OPTIMUM, optimum)] if optimum else [])]:
        saved = bootstrap_interval(today - entry.bills, found.seed)
        policies[name] = {
            "label": LABELS[name],
            "setting": entry.setting,
            "settings": dict(entry.settings),
            "dollars_a_day": _plain(interval_of(entry, found.seed)),
            "dollars_a_year": _plain(interval_of(entry, found.seed).yearly),
            "saved_a_day": _plain(saved),
            "saved_a_year": _plain(saved.yearly),
            "above_optimum": round(float(entry.bills.mean() / optimum.bills.mean() - 1), 6) if optimum else None,
            "late_share": round(entry.late_share, 6),
            "dropped_share": round(entry.drop_share, 6),
            "wait_p95_seconds": entry.wait_p95,
            "scaling_actions_a_day": round(entry.actions, 2),
            "bills": [round(float(bill), 4) for bill in entry.bills],
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
    """Return the worst day slot by slot: what arrived, the fleet, what waited, and the bill."""
    rollout, day = found.contest.entries[policy].rollout, found.worst_day
    counts = {name: getattr(rollout, name)[day].tolist() for name in ("arrivals", "fleet", "queue", "dropped")}
    return counts | {"bill": np.round(rollout.bill[day], 6).tolist()}


def _plain(interval: Interval) -> dict[str, float | None]:
    return {name: round(value, 4) if np.isfinite(value) else None for name, value in interval._asdict().items()}
