"""The answer as data: what the page shows and the JSON holds, and the limits of the answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from autoscaler_env.advice.compare import Candidate, Comparison, loses_service
from autoscaler_env.advice.decisions import decisions
from autoscaler_env.advice.deploy import how_to
from autoscaler_env.advice.objective import objective_sentence
from autoscaler_env.advice.plausibility import assumptions
from autoscaler_env.advice.recommend import Recommendation, is_simpler, must_change, recommend, without_own_loop
from autoscaler_env.advice.setup import TODAY
from autoscaler_env.advice.text import (
    DAYS_A_YEAR,
    headline,
    instead,
    method,
    no_saving,
    reason,
    requests_sentence,
    sacrifice,
    saving_sentence,
    stands_for_a_year,
    undecided,
)
from autoscaler_env.evaluation.objective import per_1000_and_minute
from autoscaler_env.evaluation.statistics import MINIMUM_EFFECT, Interval, is_very_skewed, mean_interval
from autoscaler_env.policies.oracle import OPTIMUM
from autoscaler_env.policies.registry import LEARNERS, label_of
from autoscaler_env.service import Service
from autoscaler_env.text import counted, dollars, listed, percent
from autoscaler_env.traffic.trace import Trace

FEW_DAYS = 14
"""With fewer held-out days than this, two of each day of the week, the page warns."""

ROUGH_DAYS = 10
"""Held-out days below which intervals are rough; see `evaluation.statistics.mean_interval`."""

OTHER_LEVEL = 0.1
"""Difference between the levels of the held-out part and the first part, as a share, above which we say so."""

OTHER_SHAPE = 0.7
"""Below this rank correlation of the mean days of the two parts, the page warns that the shape of the day changed."""

COARSE_SECONDS = 900
"""Length of a step from which on we say that bursts within it cannot be seen."""


@dataclass(frozen=True)
class Answer:
    """The comparison, what is recommended, and the words for it."""

    comparison: Comparison
    recommendation: Recommendation
    saved: dict[str, Interval]
    """What each policy saves against today's rule, by name, the optimum among them: dollars a day."""
    headline: str
    reason: str
    requests: str
    """What the recommended policy and today's rule do to the requests, in words."""
    sacrifice: str
    """What a cheaper policy would do to the requests, in words; empty if there is none."""
    no_saving: str
    """Why no saving against today's rule is named; empty where one may be named."""
    limits: list[str]
    """What limits the answer, a sentence or two each; may be empty."""
    why: list[str]
    """Why the recommended policy scaled on the worst day, a sentence or two for each decision."""

    @property
    def policies(self) -> dict[str, Candidate]:
        """All policies by name: those that can be deployed, then the optimum if it is known."""
        optimum = self.comparison.optimum
        return self.comparison.candidates | ({OPTIMUM: optimum} if optimum else {})

    @property
    def text(self) -> str:
        """The answer as a few lines of text."""
        return "\n".join(filter(None, (self.headline, self.requests, self.reason, self.no_saving, self.sacrifice)))

    @property
    def pending(self) -> str:
        """What is still to come, in a sentence; empty for a whole answer."""
        if not self.comparison.pending:
            return ""
        learners = listed([label_of(name) for name in self.comparison.pending])
        are = "are" if self.comparison.pending[1:] else "is"
        return f"This answer is not complete: {learners} {are} still being trained."

    @property
    def worst_day(self) -> int:
        """Index of the held-out day that cost most under today's rule."""
        return worst_day(self.comparison)

    @property
    def is_yearly(self) -> bool:
        """Whether there are enough held-out days for yearly figures."""
        return stands_for_a_year(len(self.comparison.days.later), self.comparison.days)

    def worst_day_cost(self, policy: str) -> float:
        """Return what a policy, of a learner the training to deploy, costs on the worst day."""
        return float(self.comparison.candidates[policy].trajectory.cost[self.worst_day].sum())

    @property
    def beside(self) -> str:
        """The policy that is shown beside today's rule: the recommended one, or the cheapest other."""
        chosen, candidates = self.recommendation.policy, self.comparison.candidates
        others = [name for name in candidates if name != TODAY]
        return chosen if chosen != TODAY else min(others, key=lambda name: candidates[name].cost.mean)

    @property
    def fallback(self) -> str | None:
        """What to deploy instead; `None` where nothing stands beside the recommended policy.

        Where a learner is recommended, it is the cheapest rule that may be; where the recommended rule needs a control
        loop of its own, what the user's autoscaler can run.
        """
        chosen, candidates = self.recommendation, self.comparison.candidates
        if chosen.policy not in LEARNERS:
            return None if self.no_saving else without_own_loop(self.comparison, chosen)
        rules = [name for name in candidates if name not in LEARNERS and name not in chosen.refused]
        return min(rules, key=lambda name: candidates[name].cost.mean)

    @property
    def least_in_time(self) -> float:
        """The share of the requests in time that a policy should keep: today's, less what the limits allow."""
        return least_in_time(self.comparison)

    def keeps_service(self, policy: str) -> bool:
        """Return whether a policy keeps today's service on the held-out days; see `loses_service`."""
        candidates, setup = self.comparison.candidates, self.comparison.setup
        return not loses_service(candidates[policy], candidates[TODAY], setup.limits, setup.objective)

    def above_optimum(self, policy: str) -> float | None:
        """Return how much a policy costs above the optimum, as a share; `None` where there is none, or it costs $0."""
        optimum = self.comparison.optimum
        if optimum is None or optimum.cost.mean <= 0:
            return None
        return self.policies[policy].cost.mean / optimum.cost.mean - 1

    def cost_of(self, policy: str) -> Interval:
        """Return what a policy costs, dollars a day, with an interval that holds no cost which is impossible.

        The fleet is never below `min_instances`, and a fixed fleet costs what its instances cost.
        """
        candidate, service = self.policies[policy], self.comparison.service
        fixed = min(candidate.settings.get("instances", 0.0), service.max_instances)
        instances = max(float(service.min_instances), fixed)
        least = instances * service.instance_price * service.steps_per_episode
        cost = candidate.cost
        return cost._replace(low=max(cost.low, min(least, cost.mean)))

    def as_dict(self) -> dict[str, Any]:
        """Return the answer as values that JSON can hold; money in dollars, rounded to a hundredth of a cent."""
        comparison, chosen = self.comparison, self.recommendation
        days = comparison.days
        held_out = days.labels[days.first_days :]
        return {
            "service": {"name": comparison.setup.name, "today": dict(comparison.setup.today)}
            | comparison.service.as_dict()
            | {"as_written": dict(comparison.setup.fields)},
            "traffic": {
                "days": len(days.requests),
                "first_days": days.first_days,
                "held_out": list(held_out),
                "notes": list(days.notes),
            },
            "recommendation": {
                "policy": chosen.policy,
                "setting": comparison.candidates[chosen.policy].description,
                "headline": self.headline,
                "reason": self.reason,
                "requests": self.requests,
                "sacrifice": self.sacrifice or None,
                "saved_a_day": None if self.no_saving else _plain(chosen.saving),
                "no_saving": self.no_saving or None,
                "experiment": chosen.policy in LEARNERS,
                "cheapest": chosen.cheapest,
                "refused": dict(chosen.refused),
                "unconfirmed": chosen.unconfirmed or None,
                "dearer_than_cheapest": round(chosen.extra_share, 6),
                "dearer_than_cheapest_a_day": _plain(chosen.extra),
                "simpler_and_dearer": list(chosen.passed_over),
                "minimum_effect": chosen.least,
            },
            "plausibility": comparison.plausibility,
            "assumptions": assumptions(comparison.service),
            "doubts": list(comparison.doubts),
            "policies": {name: self._policy_as_dict(name) for name in self.policies},
            "cheaper_settings": {name: _setting_as_dict(rule) for name, rule in comparison.cheaper.items()},
            "limits_of_service": dataclasses.asdict(comparison.setup.limits),
            "objective": self._objective_as_dict(),
            "no_optimum": comparison.no_optimum or None,
            "lower_bound_a_day": None if comparison.lower_bound is None else round(comparison.lower_bound, 4),
            "worst_day": {"day": held_out[self.worst_day]}
            | {name: self._worst_day_as_dict(name) for name in (TODAY, self.beside)},
            "why_did_it_scale": self.why,
            "how_to": how_to(comparison, chosen.policy)._asdict(),
            "fallback": self.fallback,
            "how_to_fall_back": how_to(comparison, self.fallback)._asdict() if self.fallback else None,
            "method": method(comparison),
            "limits": self.limits,
            "pending": list(comparison.pending),
            "days_a_year": DAYS_A_YEAR,
            "seed": comparison.seed,
        }

    def _objective_as_dict(self) -> dict[str, Any] | None:
        """Return the objective, and for each policy its share in time, whether it kept the objective, and its price."""
        objective = self.comparison.setup.objective
        if objective is None:
            return None
        policies = {}
        for name, policy in self.comparison.candidates.items():
            share = policy.in_time_interval
            price = policy.late_price * per_1000_and_minute(self.comparison.service)
            policies[name] = {
                "share": _plain(share),
                "verdict": objective.verdict(share),
                "late_price_per_1000_per_minute": round(price, 6) if np.isfinite(price) else None,
            }
        return dataclasses.asdict(objective) | {"policies": policies}

    def _policy_as_dict(self, name: str) -> dict[str, Any]:
        policy, saved, above = self.policies[name], self.saved[name], self.above_optimum(name)
        return {
            "label": label_of(name),
            "setting": policy.description,
            "settings": dict(policy.settings),
            "dollars_a_day": _plain(self.cost_of(name)),
            "dollars_a_year": _plain(self.cost_of(name).times(DAYS_A_YEAR)) if self.is_yearly else None,
            "saved_a_day": None if self.no_saving else _plain(saved),
            "saved_a_year": _plain(saved.times(DAYS_A_YEAR)) if self.is_yearly and not self.no_saving else None,
            "trainings": len(policy.trainings) or None,
            "above_optimum": None if above is None else round(above, 6),
            "in_time_share": round(policy.in_time_share, 6),
            "late_share": round(policy.late_share, 6),
            "dropped_share": round(policy.drop_share, 6),
            "wait_p95_seconds": policy.wait_p95,
            "scaling_actions_a_day": round(policy.actions, 2),
            "costs": [round(float(cost), 4) for cost in policy.costs],
        }

    def _worst_day_as_dict(self, policy: str) -> dict[str, Any]:
        """Return the worst day step by step: arrivals, fleet, queue, drops and cost."""
        trajectory, day = self.comparison.candidates[policy].trajectory, self.worst_day
        counts = {name: getattr(trajectory, name)[day].tolist() for name in ("arrivals", "fleet", "queue", "dropped")}
        return counts | {"cost": np.round(trajectory.cost[day], 6).tolist()}


def _setting_as_dict(rule: Candidate) -> dict[str, Any]:
    """Return a setting that costs less and serves fewer requests in time."""
    return {
        "setting": rule.description,
        "settings": dict(rule.settings),
        "dollars_a_day": _plain(rule.cost),
        "in_time_share": round(rule.in_time_share, 6),
        "late_share": round(rule.late_share, 6),
        "dropped_share": round(rule.drop_share, 6),
    }


def _plain(interval: Interval) -> dict[str, float | None]:
    ends = interval._asdict()
    del ends["n"]
    return {name: round(value, 4) if np.isfinite(value) else None for name, value in ends.items()}


def worst_day(comparison: Comparison) -> int:
    """Return the index of the held-out day that cost most under today's rule."""
    return int(np.argmax(comparison.candidates[TODAY].costs))


def answer_of(comparison: Comparison) -> Answer:
    """Draw the conclusion from a comparison."""
    recommendation = recommend(comparison)
    nothing_saved, keeps_today = no_saving(comparison), recommendation.policy == TODAY
    today = comparison.candidates[TODAY].costs_by_training
    policies = comparison.candidates | ({OPTIMUM: comparison.optimum} if comparison.optimum else {})
    saved = {name: mean_interval(today - policy.costs_by_training) for name, policy in policies.items()}
    if OPTIMUM in saved:  # nothing costs less: it cannot save less than nothing
        saved[OPTIMUM] = saved[OPTIMUM]._replace(low=max(saved[OPTIMUM].low, 0.0))
    return Answer(
        comparison,
        recommendation,
        saved,
        headline(comparison, recommendation),
        ""
        if keeps_today and (nothing_saved or must_change(comparison))
        else " ".join(filter(None, (reason(recommendation), instead(comparison, recommendation)))),
        objective_sentence(comparison, recommendation.policy) or requests_sentence(comparison, recommendation.policy),
        sacrifice(comparison, recommendation),
        nothing_saved,
        limits_of(comparison, recommendation),
        decisions(
            comparison.candidates[recommendation.policy],
            comparison.days.later,
            worst_day(comparison),
            comparison.service,
        ),
    )


def least_in_time(comparison: Comparison) -> float:
    """Return the share of the requests in time that a policy should keep: today's, less what the limits allow."""
    today, objective = comparison.candidates[TODAY], comparison.setup.objective
    if objective is not None:
        return objective.served_in_time
    return comparison.setup.limits.level(today.in_time_share, today.drop_share).in_time


def limits_of(comparison: Comparison, recommendation: Recommendation) -> list[str]:
    """Return the limits of an answer, a sentence or two each; may be empty."""
    unsaved = no_saving(comparison) and recommendation.policy == TODAY
    limits = [] if unsaved else [*_costs_more(recommendation)]
    limits += _rough_intervals(comparison, recommendation)
    limits += comparison.days.doubts
    limits += traffic_limits(comparison.days, comparison.service)
    if recommendation.policy in LEARNERS:
        limits.append(
            "A learned policy is an experiment, not something to run unattended: it has no fallback of its own. The "
            f"best rule's instructions stand beside it. Its numbers are means over {recommendation.trainings} "
            "trainings; the model is the training that did best on the first part of the days."
        )
    if comparison.quick:
        limits.append("The learners had small budgets, for a quick answer. With full budgets they may do better.")
    if comparison.optimum is None:
        text = f"No optimum is shown. {comparison.no_optimum[0].upper()}{comparison.no_optimum[1:]}."
        if comparison.lower_bound is not None:
            text += (
                f" A lower bound is {dollars(comparison.lower_bound)} a day: nothing can cost less, and the optimum "
            )
            text += "may cost more."
        limits.append(text)
    return limits


def _costs_more(recommendation: Recommendation) -> Iterator[str]:
    """Yield why the recommended policy is not the cheapest, if the cheapest costs much less."""
    if recommendation.extra_share <= MINIMUM_EFFECT:
        return
    extra, policy, cheapest = recommendation.extra, recommendation.policy, recommendation.cheapest
    named, verb = ("Today's rule", "stays") if policy == TODAY else ("The recommended policy", "is recommended")
    text = (
        f"{named} costs {percent(recommendation.extra_share)} more on these days than the cheapest. "
        f"{saving_sentence(extra, cheapest, policy, recommendation.trainings)}. "
    )
    if recommendation.steady:
        text += (
            f"It {verb} all the same: the traffic is steady, it needs the same fleet in every hour, and the "
            "difference is the most that an autoscaler could save."
        )
    elif recommendation.choices_differ:
        text += f"Today's rule stays: {undecided(extra.n)}. The table's intervals do not count that choice."
    elif extra.low > 0:
        least = percent(recommendation.least)
        text += f"But on the days of the choice that extra saving was not certain, or below your limit of {least}."
    else:
        text += f"It {verb} all the same: {counted(extra.n, 'day')} cannot tell that from chance"
        text += f"{', and it is simpler' if is_simpler(policy, cheapest, recommendation.own) else ''}."
    yield text


def _rough_intervals(comparison: Comparison, recommendation: Recommendation) -> Iterator[str]:
    """Yield why the intervals may be narrower than they should be."""
    held_out = len(comparison.days.later)
    if 1 < held_out < ROUGH_DAYS:
        yield (
            f"Intervals from {counted(held_out, 'day')} are rough. From fewer than {ROUGH_DAYS} days a 95 % interval "
            "can be too narrow: where a few days cost far more than the others, as few as 83 % of such intervals hold "
            "the true mean."
        )
    costs, policy = comparison.costs, recommendation.policy
    for other in dict.fromkeys((TODAY, recommendation.cheapest)):
        if other != policy and is_very_skewed((costs[other] - costs[policy]).to_numpy()):
            yield (
                f"A few days dominate the cost difference between the recommended policy and {label_of(other)}: its "
                "95 % interval may be too narrow."
            )


def traffic_limits(days: Trace, service: Service) -> list[str]:
    """Return the limits that come from the traffic and the service, a sentence or two each."""
    return [
        *_few_days(days),
        *_changed_traffic(days),
        *_slow_boot(service),
        *_coarse_steps(service),
        *_beyond_the_fleet(days, service),
        *_beyond_the_scale(days, service),
        *_small_changes(days, service),
    ]


def _few_days(days: Trace) -> Iterator[str]:
    held_out = len(days.later)
    if held_out == 1:
        yield (
            "Only 1 day is held out: no interval can be given, and the answer may hold for that day only. Bring at "
            "least two weeks."
        )
    elif held_out < FEW_DAYS:
        weekdays = ", which do not cover each day of the week" if held_out < 7 else ""
        yield (
            f"The days are few: {counted(days.first_days, 'day')} to calibrate and train on, {held_out} held out"
            f"{weekdays}. So few days hold no rare events, and their intervals are wide. Two months say more."
        )


def _changed_traffic(days: Trace) -> Iterator[str]:
    earlier, later = days.earlier, days.later
    change = later.mean() / max(earlier.mean(), 1e-9) - 1
    if abs(change) > OTHER_LEVEL:
        yield (
            f"The held-out days carry {percent(abs(change), 0)} {'more' if change > 0 else 'less'} traffic than the "
            "days before: settings from the first part may not suit what comes next. Run this again with newer traffic."
        )
    likeness = _likeness(earlier, later)
    if likeness < OTHER_SHAPE:
        yield (
            "The shape of the day differs between the held-out part and the first part (rank correlation of the mean "
            f"days {likeness:.2f})."
        )
    if later.max() > 1.25 * earlier.max():
        yield (
            f"The highest held-out step, {later.max():,} requests, is {later.max() / max(earlier.max(), 1):.1f} times "
            "the highest step that policies were calibrated or trained on."
        )


def _likeness(earlier: np.ndarray, later: np.ndarray) -> float:
    """Return the rank correlation of the mean days of the two parts; 1 if the day is almost flat."""
    first = earlier.mean(axis=0)
    if first.std() < 0.1 * max(first.mean(), 1e-9) or np.ptp(later.mean(axis=0)) == 0:
        return 1.0
    return float(stats.spearmanr(first, later.mean(axis=0)).statistic)


def _slow_boot(service: Service) -> Iterator[str]:
    if service.boot_steps > 1:
        yield (
            f"An instance boots for {service.boot_delay / 60:.3g} min, longer than a step of "
            f"{service.step_seconds / 60:g} min: a rule that only reacts comes {service.boot_steps} steps late."
        )


def _coarse_steps(service: Service) -> Iterator[str]:
    if service.step_seconds >= COARSE_SECONDS:
        yield (
            f"A step is {service.step_seconds / 60:g} min long: bursts within it cannot be seen, and real waits are "
            "longer than the simulated ones."
        )


def _beyond_the_fleet(days: Trace, service: Service) -> Iterator[str]:
    over = int((days.later > service.max_instances * service.capacity_per_instance).sum())
    if over:
        yield (
            f"In {counted(over, 'held-out step')}, {service.max_instances} instances (max_instances) cannot serve all "
            "requests."
        )


def _beyond_the_scale(days: Trace, service: Service) -> Iterator[str]:
    over = int((days.later > service.arrivals_scale).sum())
    if over:
        yield (
            f"In {counted(over, 'held-out step')} the traffic is more than twice the highest of the first part; there "
            f"policies are shown at most {service.arrivals_scale:,} requests."
        )


def _small_changes(days: Trace, service: Service) -> Iterator[str]:
    rise = int(np.percentile(np.diff(days.requests.reshape(-1)), 99) / service.capacity_per_instance)
    most = max(service.fleet_changes)
    if rise > most:
        yield (
            f"In one step in a hundred, traffic rises by the work of {rise} instances, but fleet_changes lets the "
            f"fleet grow by at most {most} in a step: no policy can follow."
        )
