"""What an answer cannot know, said plainly."""

from __future__ import annotations

import numpy as np
from scipy import stats

from autoscaler_env.advice.compare import Contest
from autoscaler_env.traffic.days import CutDays
from autoscaler_env.advice.recommend import NEAR, Recommendation
from autoscaler_env.traffic.reading import numbered
from autoscaler_env.advice.text import LABELS, between, dollars
from autoscaler_env.policies.registry import LEARNERS
from autoscaler_env.service import Service

FEW_DAYS = 14
"""Days held out below which we say that they are few: two of each day of the week."""

UNLIKE = 0.1
"""By how much the level of the held-out part may differ from the first, as a share, before we say so."""

ANOTHER_COURSE = 0.7
"""Rank correlation of the mean days of the two parts below which we say that they take another course."""

COARSE_SECONDS = 900
"""Length of a slot from which on we say that bursts within it cannot be seen."""


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


def traffic_limits(days: CutDays, service: Service) -> list[str]:
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
    extra, held_out = recommendation.extra, numbered(len(contest.days.later), "day")
    told = (
        f"The recommended policy cost {recommendation.extra_share:.1%} more on these days than the cheapest, "
        f"{LABELS[recommendation.cheapest]}: {dollars(extra.mean)} a day, 95 % interval {between(extra)}. "
    )
    if recommendation.steady:
        return (
            f"{told}It is recommended all the same: the traffic is steady, it asks for the same fleet hour after hour, "
            "and the difference is all that an autoscaler could earn within the hours."
        )
    return told + f"It is recommended all the same: {held_out} cannot tell that from chance, and it is simpler."


def _few_days(days: CutDays) -> str:
    held_out = len(days.later)
    if held_out >= FEW_DAYS:
        return ""
    if held_out == 1:
        return "Only 1 day is held out: no interval can be given, and the answer may be that day's. Bring two weeks."
    weekdays = " and do not hold each day of the week" if held_out < 7 else ""
    return (
        f"The days are few: {numbered(days.first_days, 'day')} to learn from, {held_out} held out{weekdays}. Rare "
        "events are not among so few, and intervals are wide. Two months say more."
    )


def _unlike(days: CutDays) -> list[str]:
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
            f"The highest slot held out, {later.max():,} requests, is {later.max() / max(earlier.max(), 1):.1f} times "
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
    if service.boot_slots <= 1:
        return ""
    return (
        f"An instance boots for {service.boot_slots * service.slot_seconds / 60:g} min, longer than the interval of "
        f"{service.slot_seconds / 60:g} min: whatever only reacts comes {service.boot_slots} slots late, and the "
        "optimum, which knows the traffic, is further out of reach."
    )


def _coarse(service: Service) -> str:
    if service.slot_seconds < COARSE_SECONDS:
        return ""
    return (
        f"A slot is {service.slot_seconds / 60:g} min long: bursts within it cannot be seen, and real waits are longer "
        "than the simulated ones."
    )


def _beyond_the_fleet(days: CutDays, service: Service) -> str:
    over = int((days.later > service.max_instances * service.capacity_per_instance).sum())
    if not over:
        return ""
    return f"In {numbered(over, 'slot')} held out, {service.max_instances} instances (max_instances) cannot serve all."


def _clipped(days: CutDays, service: Service) -> str:
    over = int((days.later > service.influx_scale).sum())
    if not over:
        return ""
    return (
        f"In {numbered(over, 'slot')} held out the traffic was more than twice the highest seen before; policies saw "
        f"{service.influx_scale:,} requests there, however many came."
    )


def _steps(days: CutDays, service: Service) -> str:
    rise = int(np.percentile(np.diff(days.requests.reshape(-1)), 99) / service.capacity_per_instance)
    most = max(service.fleet_changes)
    if rise <= most:
        return ""
    return (
        f"One slot in a hundred brings {rise} instances' worth of traffic more than the one before, but fleet_changes "
        f"lets the fleet grow by {most} at most: no policy can follow."
    )
