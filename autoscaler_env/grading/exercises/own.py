"""The exercises of notebook 11: a workload and a policy of the student's own, and three open claims that are measured.

An open claim is measured on hidden days. A policy learns from its observations alone: `reset` gets days without
arrivals.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.evaluation.rivals import RIVAL_GRIDS, calibrate_rule
from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.evaluation.statistics import mean_interval
from autoscaler_env.grading.judging import miss, plain
from autoscaler_env.grading.playing import Answered, RefusedError, attribute, daily_costs, made, whole_numbers
from autoscaler_env.paths import Folders
from autoscaler_env.policies.base import decode, step_toward
from autoscaler_env.service import Service
from autoscaler_env.text import dollars, one_line, percent
from autoscaler_env.traffic.patterns import PATTERNS, Pattern, day_seeds

HIDDEN = 70_000
"""The first of the hidden evaluation days."""

DAYS_OF_PATTERN = 100
"""Hidden days of each of the six patterns on which a policy is compared with PPO."""

CALIBRATION_DAYS = 40
"""Days of a student's workload or service on which rules are calibrated."""

EVALUATION_DAYS = 60
"""Hidden days of a student's workload or service on which policies are compared."""

LEARNING_PAYS = 0.10
"""What a learner must save against the cheapest rule, as a share of its cost."""

RULE_WINS = 0.02
"""What a student's rule must save against the cheapest calibrated rule, as a share of its cost."""

LONGEST_DAY = 288
"""Steps of a day of a student's service, at most: what is recorded of an answer is limited."""

Array = NDArray[np.float64]


class Sale:
    """The reference workload: calm traffic, and one sale of two hours at a time that nobody knows before.

    Args:
        service: Gives the steps of a day.
    """

    name = "sale"

    def __init__(self, service: Service) -> None:
        self.steps = service.steps_per_episode

    def draw(self, seeds: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the days of these day seeds, shape (n, steps)."""
        return np.stack([self._day(np.random.default_rng(int(seed))) for seed in seeds])

    def evaluation_days(self, episodes: int) -> NDArray[np.int64]:
        """Return the first evaluation days, shape (episodes, steps)."""
        return self.draw(day_seeds("evaluation", episodes))

    def _day(self, rng: np.random.Generator) -> NDArray[np.int64]:
        mean = np.full(self.steps, 1_000)
        begin = rng.integers(24, 240)
        mean[begin : begin + 24] = 3_000
        return rng.poisson(mean)


class Trend:
    """The reference policy: order for the demand that is expected when an instance ordered now is ready.

    Args:
        service: The service to scale.
    """

    name = "trend"

    def __init__(self, service: Service) -> None:
        self.service = service

    def reset(self, days: NDArray[np.int64]) -> None:
        """Do nothing: there is no memory."""

    def predict(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return actions, shape (n,)."""
        counts = decode(observations, self.service)
        expected = counts.arrivals + counts.queue + self.service.boot_steps * counts.change
        wanted = np.ceil(expected / self.service.capacity_per_instance) + 1
        return step_toward(wanted, counts.ready + counts.booting, self.service)


class _Drawn:
    """A workload whose calibration days are drawn already."""

    def __init__(self, days: NDArray[np.int64]) -> None:
        self.name, self._days = "drawn", days

    def draw(self, seeds: NDArray[np.uint64]) -> NDArray[np.int64]:
        return self._days

    def evaluation_days(self, episodes: int) -> NDArray[np.int64]:
        return self._days


def _cheapest_rule(calibration: NDArray[np.int64], days: NDArray[np.int64], service: Service) -> tuple[str, Array]:
    """Return the rule that costs least on some days, calibrated on others, and what it costs on each day."""
    workload = _Drawn(calibration)
    costs = {}
    for name in RIVAL_GRIDS:
        (found,) = calibrate_rule(name, [workload], service, len(calibration)).values()
        costs[name] = daily_costs(found.policy(service), days, service)
    best = min(costs, key=lambda name: float(costs[name].mean()))
    return best, costs[best]


def _verdict(own: Array, rival: str, theirs: Array, least: float, *hints: str) -> str:
    """Return whether a claim holds: a saving of at least a share of the rival's cost, and above zero beyond doubt."""
    saved = mean_interval(theirs - own, independent=True)
    holds = saved.low > 0 and saved.mean >= least * theirs.mean()
    low, high = dollars(saved.low, sign=True), dollars(saved.high, sign=True)
    numbers = (
        f"yours costs {dollars(own.mean())} a day, {rival} {dollars(theirs.mean())} on {len(own)} hidden days; you "
        f"save {percent(saved.mean / theirs.mean())} (95 % interval {low} to {high} a day)"
    )
    if holds:
        return f"right: {numbers}"
    return miss(own.mean(), *hints).replace("not yet: ", f"not yet: {numbers}. ", 1)


def check_workload(answer: Any) -> str:
    """Return whether a class is the workload `Sale`: the same kind of day, drawn from its day seed alone."""
    service, seeds = Service(), day_seeds("evaluation", 40, first=HIDDEN)
    try:
        workload = made(answer, service)
        days = whole_numbers(workload, "draw", seeds)
        again = whole_numbers(workload, "draw", seeds[::-1][:20])
        first = whole_numbers(workload, "evaluation_days", 3)
        expected = whole_numbers(workload, "draw", day_seeds("evaluation", 3))
        kind = np.asarray(plain(made(workload.draw, seeds[:1]))).dtype.kind
        name = attribute(workload, "name")
    except RefusedError as refused:
        return str(refused)
    if kind not in "iu":
        return "not yet: requests are counted: draw must return integers, not floats"
    if name != Sale.name:
        return f"not yet: the attribute name must be {Sale.name!r}"
    if days.shape != (40, service.steps_per_episode):
        return f"not yet: draw must return a row of {service.steps_per_episode} steps for each seed"
    if not np.array_equal(again, days[::-1][:20]):
        return "not yet: a day must depend on its own seed alone, not on what was drawn before or beside it"
    if not np.array_equal(first, expected):
        return 'not yet: evaluation_days(3) must return the days of day_seeds("evaluation", 3)'
    return _sale_fault(days) or "right"


def _sale_fault(days: NDArray[np.int64]) -> str:
    """Return what is wrong with days of `Sale`; empty if nothing is."""
    busy = days > 2_000  # never reached at a mean of 1,000, always passed at 3,000
    begins = busy.argmax(axis=1)
    if not np.array_equal(busy.sum(axis=1), np.full(len(days), 24)):
        return "not yet: in how many steps does the sale last, and how many requests come in each of them?"
    if any(not busy[row, begin : begin + 24].all() for row, begin in enumerate(begins)):
        return "not yet: the sale is one stretch of two hours"
    if begins.min() < 24 or begins.max() > 239 or len(set(begins.tolist())) < 20:
        return "not yet: the sale begins at a step drawn from 24 to 239, another one for each day"
    spread = days[~busy].std(), days[busy].std()
    means = days[~busy].mean(), days[busy].mean()
    if not np.allclose(means, (1_000, 3_000), rtol=0.01) or not np.allclose(spread, np.sqrt((1_000, 3_000)), rtol=0.2):
        return "not yet: a Poisson number with the mean of the step comes in each step"
    return ""


class _Listener(Trend):
    """The reference policy, which writes down what it sees and does."""

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self.seen: list[tuple[NDArray[np.float32], NDArray[np.int64]]] = []

    def predict(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        actions = super().predict(observations)
        self.seen.append((observations.copy(), actions))
        return actions


def check_policy(answer: Any) -> str:
    """Return whether a class is the policy `Trend`, on services with short and long boots."""
    for boots, changes in ((1, (-1, 0, 1)), (6, (-3, -1, 0, 1, 3))):
        service = Service(boot_steps=boots, fleet_changes=changes, steps_per_episode=96)
        listener = _Listener(service)
        simulate(listener, Pattern("SINE_CURVE", service).draw(day_seeds("evaluation", 8, first=HIDDEN)), service)
        try:
            policy = Answered(made(answer, service), service)
            policy.reset(np.zeros((8, 96), dtype=np.int64))
            actions = np.array([policy.predict(observations) for observations, _ in listener.seen])
        except RefusedError as refused:
            return str(refused)
        if not np.array_equal(actions, [wanted for _, wanted in listener.seen]):
            return miss(
                actions.tolist(),
                "what will an instance meet that is ready in boot_steps steps? `decode` has the change of the arrivals",
                "expected = arrivals + queue + boot_steps x change; then whole instances, rounded up, and one more",
            )
    return "right"


def check_cheaper_than_ppo(answer: Any) -> str:
    """Return whether a policy costs less than the reference PPO on hidden days of the six patterns."""
    service, seeds = Service(), day_seeds("evaluation", DAYS_OF_PATTERN, first=HIDDEN)
    days = [Pattern(name, service).draw(seeds) for name in PATTERNS]
    try:
        policy = Answered(made(answer, service), service)
        own = np.mean([daily_costs(policy, drawn, service) for drawn in days], axis=0)
    except RefusedError as refused:
        return str(refused)
    from autoscaler_env.storage.models import load_policy  # here: torch, which the answers need not

    ppo = load_policy(Folders.course().find("models/ppo_mixed.zip"), service)
    theirs = np.mean([daily_costs(ppo, drawn, service) for drawn in days], axis=0)
    return _verdict(
        own,
        "the reference PPO",
        theirs,
        0.0,
        "Where does PPO lose most? Notebook 6 has the pattern",
        "A large reserve pays on one pattern and is wasted on the others; what does the first hour tell about the day?",
    )


def check_learning_pays(answer: Any) -> str:
    """Return whether a learner costs a tenth less than every calibrated rule on a student's workload.

    Args:
        answer: The class of the workload; its attribute `learner` is the trained policy, with `reset` and `predict`.
    """
    service = Service()
    try:
        workload = made(answer, service)
        calibration = whole_numbers(workload, "draw", day_seeds("calibration", CALIBRATION_DAYS))
        days = whole_numbers(workload, "draw", day_seeds("evaluation", EVALUATION_DAYS, first=HIDDEN))
        own = daily_costs(Answered(attribute(answer, "learner"), service), days, service)
        rule, theirs = _cheapest_rule(calibration, days, service)
    except RefusedError as refused:
        return str(refused)
    return _verdict(
        own,
        f"{rule}, calibrated on your workload,",
        theirs,
        LEARNING_PAYS,
        "What happens before a crowd on your days that a rule does not understand, and a learner could?",
        "A rule follows the demand; what if the demand falls before it grows?",
    )


def check_rule_wins(answer: Any) -> str:
    """Return whether a student's rule costs 2 % less than every calibrated rule on `SINE_CURVE`, on a service.

    Args:
        answer: The class of the rule; its attribute `changes` is a dictionary of the fields of the service that differ
            from the reference service.
    """
    try:
        changes = attribute(answer, "changes") if callable(answer) else made(answer)
        service = Service.from_dict(changes) if isinstance(changes, dict) else None
    except RefusedError as refused:
        return str(refused)
    except ValueError as error:
        return f"not yet: {one_line(error)}"
    if service is None:
        return 'not yet: changes must be a dictionary of fields of Service, such as {"boot_steps": 2}'
    if service.steps_per_episode > LONGEST_DAY:
        return f"not yet: steps_per_episode = {service.steps_per_episode}: must be at most {LONGEST_DAY} here"
    workload = Pattern("SINE_CURVE", service)
    days = workload.draw(day_seeds("evaluation", EVALUATION_DAYS, first=HIDDEN))
    try:
        own = daily_costs(Answered(made(answer, service), service), days, service)
        rule, theirs = _cheapest_rule(workload.draw(day_seeds("calibration", CALIBRATION_DAYS)), days, service)
    except RefusedError as refused:
        return str(refused)
    return _verdict(
        own,
        f"{rule}, calibrated for your service,",
        theirs,
        RULE_WINS,
        "What does your rule know that the others do not, and on which service is that worth most?",
        "The others order for the demand of now; how long does an instance take until it is ready?",
    )
