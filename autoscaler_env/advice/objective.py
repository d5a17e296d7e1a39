"""Say whether an objective was kept on the held-out days, what that costs, and which late price it implies."""

from __future__ import annotations

import math
from collections.abc import Mapping

from autoscaler_env.advice.compare import Candidate, Comparison, loses_service
from autoscaler_env.advice.plausibility import MANY_DROPPED
from autoscaler_env.advice.recommend import must_change
from autoscaler_env.advice.setup import TODAY
from autoscaler_env.evaluation.objective import Objective, price_in_words
from autoscaler_env.evaluation.statistics import Interval, mean_interval
from autoscaler_env.policies.registry import label_of
from autoscaler_env.text import capital, dollars, listed


def objective_sentence(comparison: Comparison, policy: str) -> str:
    """Return whether the objective was kept on the held-out days, what is dropped, and the late price it implies.

    Where today's rule misses it, the sentences say what keeping it costs. Empty where the set-up has no objective.

    Args:
        comparison: The comparison.
        policy: The recommended policy.
    """
    objective = comparison.setup.objective
    if objective is None:
        return ""

    def kept(name: str) -> str:
        candidate = comparison.candidates[name]
        verdict = kept_in_words(name, candidate.in_time_interval, objective).removesuffix(".")
        return f"{verdict}, {100 * candidate.drop_share:.2f} % dropped."

    sentences = [f"The objective is {objective}.", kept(policy)]
    if policy == TODAY:
        return " ".join(sentences)
    extra = extra_cost(comparison, policy)
    # A saving against a rule that drops many requests says little.
    if extra.mean >= 0 or comparison.candidates[TODAY].drop_share < MANY_DROPPED:
        sentences.append(implied_price(comparison, comparison.candidates[policy]))
        if must_change(comparison):  # else the headline has said what it costs
            more, sign = ("more", 1) if extra.mean >= 0 else ("less", -1)
            extra = extra.times(sign)
            ends = f" (95 % interval {dollars(extra.low)} to {dollars(extra.high)})" if extra.n > 1 else ""
            sentences.append(f"It costs {dollars(extra.mean)} a day {more} than today's rule{ends}.")
    return " ".join([*sentences, kept(TODAY)])


def kept_in_words(name: str, share: Interval, objective: Objective) -> str:
    """Return in a sentence whether a policy kept an objective on the held-out days, and what later days may do.

    Args:
        name: The policy.
        share: The share of the requests that it served in time.
        objective: The objective.

    Example:
        >>> kept_in_words("forecast", Interval(9, 0.9951, 0.992, 0.998), Objective(0.99, 60))
        'Forecast keeps it: 99.51 % (95 % interval 99.20 % to 99.80 %).'
        >>> kept_in_words("today", Interval(9, 0.98998, 0.978, 1.0), Objective(0.99, 60))[-58:]
        'may keep it: 98.998 % (95 % interval 97.80 % to 100.00 %).'
    """
    verdict = {"kept": "keeps it", "missed": "misses it"}.get(objective.verdict(share))
    if verdict is None:
        here, later = ("keeps", "miss") if share.mean >= objective.served_in_time else ("misses", "keep")
        verdict = f"{here} it on the held-out days, but later days may {later} it"
    ends = f"95 % interval {100 * share.low:.2f} % to {100 * share.high:.2f} %" if share.n > 1 else "one day only"
    keeps = share.mean >= objective.served_in_time
    digits = next((n for n in (2, 3, 4) if (round(share.mean, n + 2) >= objective.served_in_time) == keeps), 5)
    return f"{capital(label_of(name))} {verdict}: {100 * share.mean:.{digits}f} % ({ends})."


def may_be_missed(comparison: Comparison, policy: str) -> str:
    """Return that later days may miss the objective, as a sentence after others; empty where nothing says so."""
    objective, share = comparison.setup.objective, comparison.candidates[policy].in_time_interval
    doubtful = objective is not None and objective.verdict(share) == "in doubt"
    return " Later days may still miss the objective." if doubtful else ""


def extra_cost(comparison: Comparison, policy: str) -> Interval:
    """Return what a policy costs beyond today's rule on the held-out days, dollars a day."""
    candidates = comparison.candidates
    return mean_interval(candidates[policy].costs_by_training - candidates[TODAY].costs_by_training)


def implied_price(comparison: Comparison, candidate: Candidate) -> str:
    """Return in a sentence which price of a late request a policy that was chosen for an objective implies."""
    price, first = candidate.late_price, "on the first part of the days"
    if math.isnan(price):
        return f"It implies no price of a late request: {first} it was not sure to keep the objective."
    if price == 0:
        return f"It implies no price of a late request: {first} its cheapest setting keeps the objective."
    words = f"It implies a late price of {price_in_words(price, comparison.service)}"
    if candidate.trainings:
        return f"{words}: with this price it was trained to keep the objective."
    return f"{words}: from this price on, its cheapest setting keeps the objective {first}."


def nobody_keeps(comparison: Comparison, objective: Objective, refused: Mapping[str, str]) -> str:
    """Return, where no policy that keeps the objective may be recommended, why not, or which policy comes nearest.

    Args:
        comparison: The comparison; today's rule misses the objective.
        objective: The objective.
        refused: The policies that may not be recommended, and why.
    """
    setup, today = comparison.setup, comparison.candidates[TODAY]
    others = [each for name, each in comparison.candidates.items() if name != TODAY]
    able = [each.name for each in others if not loses_service(each, today, setup.limits, objective)]
    if able:
        names, reasons = [label_of(name) for name in able], [f"{label_of(name)} {refused[name]}" for name in able]
        return (
            f"Of the policies that were tried, only {listed(names)} {'keep' if able[1:] else 'keeps'} the objective "
            f"({objective}), and cannot be recommended: {listed(reasons)}."
        )
    text = f"No policy that was tried keeps the objective ({objective})."
    most = max(each.in_time_share for each in others) - objective.slack
    if most <= today.in_time_share:
        return f"{text} None comes nearer than today's rule."
    nearest = min((each for each in others if each.in_time_share >= most), key=lambda each: each.cost.mean)
    extra = extra_cost(comparison, nearest.name).mean
    return (
        f"{text} Nearest comes {label_of(nearest.name)} ({nearest.description}) with "
        f"{100 * nearest.in_time_share:.2f} %, for {dollars(abs(extra))} a day {'more' if extra >= 0 else 'less'} than "
        "today's rule."
    )
