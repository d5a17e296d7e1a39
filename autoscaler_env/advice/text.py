"""Put the answer into sentences: what to do, why, and how it was found."""

from __future__ import annotations

from autoscaler_env.advice.compare import MARGIN, Candidate, Comparison, loses_service
from autoscaler_env.advice.objective import may_be_missed, nobody_keeps
from autoscaler_env.advice.plausibility import (
    MANY_DROPPED,
    OTHER_PRICES,
    OTHER_WAITS,
    losing_is_cheaper,
    significant,
)
from autoscaler_env.advice.recommend import (
    FEWEST_TRAININGS,
    HALVES,
    Recommendation,
    is_simpler,
    must_change,
    simplicity,
    without_own_loop,
)
from autoscaler_env.advice.rule_grids import VENDOR_RULES
from autoscaler_env.advice.setup import TODAY
from autoscaler_env.evaluation import statistics
from autoscaler_env.evaluation.statistics import Interval
from autoscaler_env.policies.registry import LEARNERS, label_of
from autoscaler_env.text import capital, counted, dollars, listed, percent
from autoscaler_env.traffic.doubts import missing_weekdays
from autoscaler_env.traffic.trace import Trace

DAYS_A_YEAR = 365


def between(interval: Interval, digits: int = 2) -> str:
    """Return the ends of an interval, as dollars.

    Example:
        >>> between(Interval(9, 2.0, 1.5, 2.5))
        '$1.50 to $2.50'
    """
    if interval.n == 1:
        return "no interval from 1 day"
    return f"{dollars(interval.low, digits)} to {dollars(interval.high, digits)}"


def saving_sentence(saved: Interval, policy: str, other: str, trainings: int = 1) -> str:
    """Return a sentence, without its full stop, about what a policy saves against another.

    The policy that is cheaper on average comes first if the two cannot be told apart.

    Args:
        saved: What `policy` costs less than `other` on the same days, dollars a day.
        policy: Its name in tables.
        other: The name of the other.
        trainings: How many trainings a learner's interval is over.
    """
    if saved.mean < 0 and saved.high >= 0:
        saved, policy, other = saved.times(-1), other, policy
    if saved.n == 1:
        amount = f"{dollars(abs(saved.mean))} {'cheaper' if saved.mean >= 0 else 'dearer'}"
        return capital(
            f"{label_of(policy)} is {amount} than {label_of(other)} on one day; there is no interval from 1 day"
        )
    basis = counted(saved.n, "paired day")
    if trainings > 1 and {policy, other} & set(LEARNERS):
        basis += f", {trainings} trainings"
    return capital(statistics.comparison(saved, label_of(policy), label_of(other), basis))


FEWEST_DAYS_A_YEAR = 6
"""Days below which no yearly figure is given from them."""

_HARDLY = 0.9  # of the requests that today's rule drops: a rule that drops more than this does not help


def stands_for_a_year(count: int, days: Trace) -> bool:
    """Return whether a yearly figure may be given from so many days of the traffic: it must have each weekday."""
    return count >= FEWEST_DAYS_A_YEAR and not missing_weekdays(days.weekdays)


def undecided(days: int) -> str:
    """Return why today's rule stays if the days, each left out in turn, do not choose alike: the end of a sentence.

    Args:
        days: The held-out days. Of two, one alone can choose nothing.
    """
    if days <= 2:
        return f"{counted(days, 'day')} cannot confirm a saving"
    return "which policy is best depends on the days, so no saving is certain"


def no_saving(comparison: Comparison) -> str:
    """Return why no saving against today's rule is named, in a sentence; empty where one may be named.

    The cost of a rule that drops many requests depends on the price of a drop more than on the rule. Where losing a
    request is cheaper than serving it, the cheapest service is none.
    """
    if losing_is_cheaper(comparison.service):
        return "No saving is named: with these prices, a saving in dollars means nothing."
    dropped = comparison.candidates[TODAY].drop_share
    if dropped >= MANY_DROPPED:
        return f"No saving is named: a saving against a rule that drops {percent(dropped)} of the requests says little."
    return ""


def headline(comparison: Comparison, recommendation: Recommendation) -> str:
    """Return what to do and why: what it saves, or why nothing is changed, and what learning would add.

    What calibration saves stands apart from learning.
    """
    policy, saving, rival = recommendation.policy, recommendation.saving, recommendation.rival
    action = _what_to_do(comparison, policy)
    later = f"{action[0].lower()}{action[1:]}"
    objective = comparison.setup.objective
    if objective is not None and must_change(comparison) and not losing_is_cheaper(comparison.service):
        if policy == TODAY:
            return f"{nobody_keeps(comparison, objective, recommendation.refused)} Until then: {later}."
        text = f"{action}. On the held-out days it keeps the objective ({objective}), and today's rule does not."
        return text + may_be_missed(comparison, policy) + _repeat(comparison)
    if warning := losing_is_cheaper(comparison.service):
        first = warning.removesuffix(OTHER_PRICES).removesuffix(OTHER_WAITS)
        return f"{first}Give other prices first. Until then: {later}."
    if no_saving(comparison):
        dropped = comparison.candidates[TODAY].drop_share
        first = f"Check the set-up first: in the simulation today's rule drops {percent(dropped)}."
        if policy == TODAY:
            return f"{first} Until then: {later}."
        return f"{first} If that is true, {_serves(comparison.candidates[policy], comparison)}."
    peak = int(comparison.days.requests.max()) / comparison.service.capacity_per_instance
    if peak < 1 and policy == TODAY:
        return (
            f"This traffic needs {significant(peak)} instances at its peak: check the units. There is nothing to save "
            f"above min_instances. {action}."
        )
    if policy == TODAY:
        why = _all_is_the_floor(comparison) or _why_no_change(comparison, recommendation)
        return f"{action}: {why}. {_cheaper_learner(recommendation)}".strip()
    year = ""
    if stands_for_a_year(saving.n, comparison.days):
        year = f", {dollars(saving.times(DAYS_A_YEAR).mean, 0)} a year"
    text = f"{action}. {saving_sentence(saving, policy, TODAY, recommendation.trainings)}{year}."
    text += _on_all(comparison, recommendation) + may_be_missed(comparison, policy)
    if policy in LEARNERS and rival is not None:
        learned = dollars(rival.saved.mean)
        if rival.name == TODAY:
            text += " Calibration alone saves nothing; all of this comes from learning."
            return text + _repeat(comparison)
        calibrated = dollars(saving.mean - rival.saved.mean)
        text += f" Of this, calibration alone ({label_of(rival.name)}) saves {calibrated} a day, learning {learned}."
        return text + _repeat(comparison)
    return f"{text} {_cheaper_learner(recommendation)}".strip() + _repeat(comparison)


def _repeat(comparison: Comparison) -> str:
    """Return that few days can flip the choice, in a sentence after others; empty from `HALVES` days on."""
    days = len(comparison.days.later)
    if days >= HALVES:
        return ""
    return f" This is from {counted(days, 'day')}: repeat it with more days before you change."


def _all_is_the_floor(comparison: Comparison) -> str:
    """Return that today's rule costs no more than the fewest instances, as the end of a sentence; else nothing."""
    service, cost = comparison.service, comparison.candidates[TODAY].cost.mean
    least = service.min_instances * service.instance_price * service.steps_per_episode
    if least == 0 or round(cost - least, 2) != 0:
        return ""
    return (
        f"all of the {dollars(cost)} a day is min_instances = {service.min_instances}, and nothing costs less unless "
        "that is lowered"
    )


def _on_all(comparison: Comparison, recommendation: Recommendation) -> str:
    """Return on which days a saving was measured, where these are not all that the table shows."""
    costs, unseen = comparison.costs, recommendation.saving.n
    if unseen >= len(costs):
        return ""
    saved = float((costs[TODAY] - costs[recommendation.policy]).mean())
    return (
        f" This is measured on the {counted(unseen, 'day')} that the choice has not seen; on all {len(costs)} held-out "
        f"days it is {dollars(saved)} a day."
    )


def _serves(candidate: Candidate, comparison: Comparison) -> str:
    """Return what a policy does for requests that today's rule drops, and its setting."""
    setting = f"{label_of(candidate.name)} ({candidate.description})"
    if candidate.drop_share > _HARDLY * comparison.candidates[TODAY].drop_share:
        return f"{setting} hardly changes it: check max_instances = {comparison.service.max_instances:,}"
    if candidate.drop_share > MANY_DROPPED:
        return f"{setting} drops only {percent(candidate.drop_share)}"
    return f"{setting} serves them"


def _why_no_change(comparison: Comparison, recommendation: Recommendation) -> str:
    """Return why today's rule is kept, as the end of a sentence."""
    cheapest, extra, least = recommendation.cheapest, recommendation.extra, percent(recommendation.least)
    if recommendation.steady:
        return "the traffic is steady, so an autoscaler has nothing to do"
    if recommendation.choices_differ and recommendation.unconfirmed_saving is not None:
        saved, name = recommendation.unconfirmed_saving, recommendation.unconfirmed
        more = "two weeks of traffic" if saved.n < FEWEST_DAYS_A_YEAR else "more days"
        return (
            f"{undecided(saved.n)}. {capital(label_of(name))} ({comparison.candidates[name].description}) would have "
            f"saved {dollars(saved.mean)} a day on these {counted(saved.n, 'day')}: run this again with {more}"
        )
    if recommendation.unconfirmed:
        label = label_of(recommendation.unconfirmed)
        return f"the saving of {label} was not confirmed on days that the choice had not seen"
    if cheapest == TODAY:
        return "no policy that may be recommended is cheaper"
    if extra.low > 0 and recommendation.extra_share < recommendation.least:
        return f"the cheapest policy that may be recommended saves less than {least}"
    if extra.low > 0:
        return "no change was worth it on the days of the choice"
    return f"no change is certain to save {least} without harming requests"


def _cheaper_learner(recommendation: Recommendation) -> str:
    """Return why a learner that costs less beyond doubt is not recommended; empty if no learner does, or one is."""
    rival, policy = recommendation.rival, recommendation.policy
    if rival is None or policy in LEARNERS or round(rival.saved.mean, 2) <= 0 or rival.saved.low <= 0:
        return ""
    text = f"{capital(label_of(rival.name))} would cost {dollars(rival.saved.mean)} a day less ({between(rival.saved)})"
    if rival.name in recommendation.refused:
        return f"{text}, but it {recommendation.refused[rival.name]}."
    if recommendation.steady:
        return f"{text}, but steady traffic needs no autoscaler."
    if rival.saved.mean < recommendation.least * recommendation.cost:
        return f"{text}, but that is below {percent(recommendation.least)}: too little to pay for a learned policy."
    return f"{text}, but {_doubted(recommendation)}."


def _doubted(recommendation: Recommendation) -> str:
    """Return why an extra saving did not count on the days of the choice, as the end of a sentence."""
    return (
        "on the days of the choice that extra saving was not certain, or below your limit of "
        f"{percent(recommendation.least)}"
    )


def service_of(candidate: Candidate, *, short: bool = False) -> str:
    """Return what a policy does to the requests, in a few words, or as three numbers that follow such words."""
    shares = [f"{100 * share:.2f} %" for share in (candidate.in_time_share, candidate.late_share, candidate.drop_share)]
    if short:
        return listed(shares)
    return f"{shares[0]} of the requests in time, {shares[1]} late, {shares[2]} dropped"


def requests_sentence(comparison: Comparison, policy: str) -> str:
    """Return what a policy does to the requests on the held-out days, with today's rule beside it."""
    now = service_of(comparison.candidates[TODAY])
    if policy == TODAY:
        return f"Today's rule: {now}."
    return f"{capital(label_of(policy))}: {service_of(comparison.candidates[policy])}. Today's rule: {now}."


def sacrifice(comparison: Comparison, recommendation: Recommendation) -> str:
    """Return what the cheapest policy that breaks the limits would save and sacrifice; empty if there is none.

    A learner that the headline names is left out, and so is what saves too little to tempt anybody. Where losing a
    request is cheaper than serving it, there is nothing to tell: each dollar less is a request lost. With an objective
    lateness has no price, and a dollar less is requests that wait.
    """
    if losing_is_cheaper(comparison.service) or comparison.setup.objective is not None:
        return ""
    now, chosen = comparison.candidates[TODAY], comparison.candidates[recommendation.policy]
    told = recommendation.rival.name if recommendation.rival and _cheaper_learner(recommendation) else None
    table = comparison.candidates.values()
    worse = [
        each
        for each in (*comparison.cheaper.values(), *table)
        if each.name != told
        and each.cost.mean < (1 - recommendation.least) * chosen.cost.mean
        and loses_service(each, now, comparison.setup.limits, comparison.setup.objective)
        and not any(
            other is not each and other.cost.mean <= each.cost.mean and other.in_time_share >= each.in_time_share
            for other in table
        )
    ]
    if not worse:
        return ""
    cheap = min(worse, key=lambda each: each.cost.mean)
    return (
        f"Cheaper, but worse for your requests: {label_of(cheap.name)} ({cheap.description}) would cost "
        f"{dollars(cheap.cost.mean)} a day, {dollars(chosen.cost.mean - cheap.cost.mean)} less. It would serve "
        f"{service_of(cheap)} (today's rule: {service_of(now, short=True)}). It is not recommended."
    )


def _what_to_do(comparison: Comparison, policy: str) -> str:
    candidate = comparison.candidates[policy]
    same_kind = comparison.setup.today["rule"] == policy
    if policy == TODAY:
        return f"Keep today's rule as it is ({candidate.description})"
    if policy == "fixed":
        switch = "" if same_kind else " and switch autoscaling off"
        return f"Run a fixed fleet of {candidate.settings['instances']:.0f} instances{switch}"
    if policy in LEARNERS:
        return f"An experiment: the {label_of(policy)} policy that was trained on your traffic"
    if same_kind:
        return f"Keep your rule and change its setting to {candidate.description}"
    name = {
        "threshold": "a threshold rule",
        "hpa-cpu": "Kubernetes' HPA on CPU utilisation",
        "hpa-demand": "Kubernetes' HPA on demand",
        "kpa": "Knative's KPA",
        "aws-step-scaling": "AWS step scaling",
        "aws-target-tracking": "AWS target tracking",
        "target-tracking": (ideal := "the ideal target tracking, which needs a control loop of your own"),
        "ideal-target-tracking": ideal,
        "forecast": "a forecast",
    }[policy]
    setting = candidate.description
    if policy == "hpa-demand":
        service = comparison.service
        each = candidate.settings["target"] * service.capacity_per_instance / service.step_seconds
        setting += f", {significant(each)} requests per second for each pod"
    return f"Use {name} ({setting})"


def reason(recommendation: Recommendation) -> str:
    """Return why, in a few sentences: the cheapest policy, the simpler ones that cost more, what learning is worth."""
    policy, cheapest, extra = recommendation.policy, recommendation.cheapest, recommendation.extra
    least = percent(recommendation.least)
    versus = saving_sentence(extra, cheapest, policy, recommendation.trainings)
    if recommendation.steady:
        text = "The traffic is steady: it needs the same fleet all the time, so an autoscaler has nothing to do."
    elif recommendation.choices_differ:
        text = (
            f"{capital(label_of(recommendation.unconfirmed))} looked cheaper. The table's intervals do not count that "
            "the policy was chosen on the same days."
        )
    elif recommendation.unconfirmed:
        text = capital(
            f"{label_of(recommendation.unconfirmed)} looked cheaper, but on days that this choice had not seen its "
            f"saving is in doubt, or below {least} of today's cost."
        )
    elif policy == cheapest:
        text = "It is the cheapest of the policies that may be recommended"
        if recommendation.passed_over:
            text += f"; {_simpler(recommendation.passed_over)}, beyond doubt and by at least {least}"
        text += "."
    elif extra.low > 0 and recommendation.extra_share <= recommendation.least:
        text = (
            f"It is the simplest policy within {least} of the cheapest. {versus}: too little to pay for a more complex "
            "policy."
        )
    elif extra.low > 0:
        text = f"{versus}; but {_doubted(recommendation)}."
    elif cheapest in LEARNERS:
        text = f"{versus}."
    else:
        simpler = is_simpler(policy, cheapest, recommendation.own)
        if round(extra.mean, 2) <= 0:
            end = f"; {label_of(policy)} is simpler." if simpler else ": no reason to change."
            text = f"{capital(label_of(cheapest))} costs the same{end}"
        else:
            end = f"; {label_of(policy)} is simpler." if simpler else "."
            text = (
                f"{capital(label_of(cheapest))} may be {dollars(extra.mean)} a day cheaper, but "
                f"{counted(extra.n, 'day')} cannot show it{end}"
            )
    return f"{text} {_learning(recommendation)}".strip()


def instead(comparison: Comparison, recommendation: Recommendation) -> str:
    """Return what can be had without a new control loop, in a sentence; empty where none is needed."""
    other = without_own_loop(comparison, recommendation)
    if other is None or no_saving(comparison):
        return ""
    candidates, own = comparison.candidates, comparison.setup.today["rule"] == other
    now, then, less = (candidates[name].cost.mean for name in (TODAY, recommendation.policy, other))
    rule = "your own rule with another setting" if own else label_of(other)
    return (
        f"Without a new control loop: {rule} ({candidates[other].description}) saves {dollars(now - less)} a "
        f"day of the {dollars(now - then)} on all held-out days ({100 * candidates[other].in_time_share:.2f} % in "
        "time); see below."
    )


def _simpler(names: tuple[str, ...]) -> str:
    if len(names) > 2:
        return f"all {len(names)} simpler policies cost more"
    return f"{listed([label_of(name) for name in names])} {'cost' if len(names) > 1 else 'costs'} more"


def _learning(recommendation: Recommendation) -> str:
    """Return what learning is worth; nothing where the headline has said why a cheaper learner is not recommended."""
    rival, policy = recommendation.rival, recommendation.policy
    if rival is None:
        return ""
    if policy in LEARNERS:
        worth = ""
        if rival.saved.low > 0 and rival.saved.n >= FEWEST_DAYS_A_YEAR:
            worth = f": learning is worth {dollars(rival.saved.times(DAYS_A_YEAR).mean, 0)} a year here"
        return f"{saving_sentence(rival.saved, policy, rival.name, recommendation.trainings)}{worth}."
    if _cheaper_learner(recommendation):
        return ""
    in_doubt = round(rival.saved.mean, 2) > 0
    needless = "" if in_doubt else "You do not need reinforcement learning here."
    if rival.name == recommendation.cheapest:  # the sentence about the cheapest has said it
        return needless
    if in_doubt and rival.name in recommendation.refused:
        return ""
    text = f"{needless} {saving_sentence(rival.saved, rival.name, policy, recommendation.trainings)}.".strip()
    refused = recommendation.refused.get(rival.name, "")
    return f"{text} {capital(label_of(rival.name))} {refused}." if refused and "costs no less" not in refused else text


def method(comparison: Comparison) -> str:
    """Return how the answer was found."""
    days, limits, objective = comparison.days, comparison.setup.limits, comparison.setup.objective
    keeps = (
        f"It keeps today's service: at most {percent(limits.fewer_in_time, 2)} of the requests fewer in time, and at "
        f"most {percent(limits.dropped, 2)} dropped or what today's rule drops, on all held-out days together. ("
        f"Calibration uses {percent(MARGIN, 0)} of these allowances.)"
    )
    knows = "The optimum knows that traffic in advance: nothing can cost less. " if comparison.optimum else ""
    if objective is not None:
        knows = "Lateness costs nothing by itself. "
        keeps = (
            f"It keeps the objective ({objective}) on all held-out days together. (Requests come in evenly over a step "
            "and are served in turn; one that is dropped is not in time. Calibration keeps a margin: the lower end of "
            "the interval over days, or half of the requests that may miss the objective.)"
        )
    order = [name for name in simplicity(comparison.setup.today["rule"]) if name in comparison.candidates]
    learners = [label_of(name) for name in LEARNERS if name in comparison.candidates]
    trained = (
        f", and {listed(learners)} {'were' if learners[1:] else 'was'} trained on such days, shifted and perturbed"
    )
    vendors = [label_of(name) for name in VENDOR_RULES if name in comparison.candidates]
    tried = ["a fixed fleet", "a threshold", "HPA", *vendors, "ideal target tracking", "a forecast"]
    others = "" if vendors else f" Option --all-rules adds {listed([label_of(name) for name in VENDOR_RULES])}."
    return (
        f"The days were split by time. On the first {counted(days.first_days, 'day')}, every setting of "
        f"{listed(tried)} was tried{trained if learners else ''}.{others} Then each policy ran through the "
        f"{counted(len(days.later), 'held-out day')} on the same simulated service; fleet and queue carry over from "
        f"each day to the next. {knows}"
        "Intervals are 95 % intervals of the mean over the held-out days (Student's t). Neighbouring days resemble "
        f"each other, so they count as fewer. Differences are paired by day.{_over_seeds(comparison)} A year is "
        f"{DAYS_A_YEAR} such days. A change is recommended only if two things hold. First: {keeps} Second: its saving "
        f"is beyond doubt, and at least {percent(limits.least_saving)} of today's cost. Of such policies the simplest "
        "is chosen that cannot be told from the cheapest, or costs at most that share more. The order from simple to "
        f"complex is {listed([label_of(name) for name in order])}. A policy is left out if a simpler one costs no more "
        f"and serves no fewer requests in time.{_learners_rule(comparison)} {_unseen(len(days.later))}"
    )


def _learners_rule(comparison: Comparison) -> str:
    """Return when a learner is recommended, where one was trained or is still to be."""
    if not comparison.pending and not set(comparison.candidates) & set(LEARNERS):
        return ""
    return f" A learner is recommended only from at least {FEWEST_TRAININGS} trainings."


def _over_seeds(comparison: Comparison) -> str:
    """Return what the intervals of learners are over."""
    trainings = [len(candidate.trainings) for candidate in comparison.candidates.values() if candidate.trainings]
    if not trainings:
        return ""
    if max(trainings) == 1:
        return " Each learner was trained once, so its intervals say nothing about another training."
    return (
        f" Each learner was trained {max(trainings)} times, with different seeds; its numbers are means over the "
        "trainings, and its intervals are over days and trainings."
    )


def _unseen(days: int) -> str:
    """Return how the quoted saving was measured on days that the choice was not made on."""
    if days >= HALVES:
        return (
            f"The choice was made on the first {days // 2} held-out days, and its saving measured on the other "
            f"{days - days // 2}; the table shows all of them."
        )
    return (
        "The quoted saving on each held-out day is that of the policy which the other days choose; the table shows the "
        "saving of each policy on all of them."
    )
