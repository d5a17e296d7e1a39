"""Compare policies on the same held-out days, after each has had the first part of the traffic to be calibrated on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import NoReturn

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm.auto import tqdm

from autoscaler_env.advice.learners import BUDGETS, started, train_for_objective, train_once, training_config
from autoscaler_env.advice.plausibility import (
    doubts,
    losing_is_cheaper,
    plausibility,
    setting_doubts,
    today_drops,
)
from autoscaler_env.advice.rule_grids import IDEAL
from autoscaler_env.advice.setup import TODAY, Limits, Setup
from autoscaler_env.evaluation.calibration import Search, ServiceLevel, settings_that_keep
from autoscaler_env.evaluation.grids import RuleGrid, forecast_grid
from autoscaler_env.evaluation.lower_bound import lower_bounds
from autoscaler_env.evaluation.metrics import measure, served_in_time
from autoscaler_env.evaluation.objective import Objective, share_interval
from autoscaler_env.evaluation.simulation import Trajectory, by_day, simulate_through
from autoscaler_env.evaluation.statistics import Interval, mean_interval
from autoscaler_env.policies.base import Policy
from autoscaler_env.policies.oracle import Optimum
from autoscaler_env.service import Service
from autoscaler_env.traffic.trace import Trace
from autoscaler_env.training.config import Algorithm
from autoscaler_env.training.objective import first_price

MARGIN = 0.5
"""Share of the limits that calibration uses, so that its settings usually keep the whole limits on later days."""

_BAR = "{desc:<29} {percentage:3.0f}%|{bar}| {elapsed}, about {remaining} left"


@dataclass(frozen=True)
class Candidate:
    """A policy of the comparison and its results on the held-out days."""

    name: str
    """What tables call it."""
    description: str
    """Its setting or its training, in words."""
    policy: Policy
    """The policy itself, for days in a row; of a learner, the training that did best on the first part."""
    trajectory: Trajectory
    """What it did: a row for each held-out day. Fleet and queue carry over from each day to the next."""
    late_share: float
    """Share of the requests that were not served in time and not dropped."""
    drop_share: float
    """Share of the requests that were dropped."""
    wait_p95: float
    """95th percentile of the wait of the admitted requests, in seconds."""
    actions: float
    """Changes of the fleet, a day."""
    in_time: NDArray[np.float64]
    """Requests of each held-out day that were served in time, shape (n,): within the seconds of the objective, or in
    the step of their arrival if there is none."""
    settings: Mapping[str, float] = field(default_factory=dict)
    """Its setting, by name; empty for learners and the optimum."""
    model: bytes | None = None
    """The model file of a learner; the policy was loaded from it."""
    trainings: tuple[Candidate, ...] = ()
    """Each training of a learner, with its own results. Costs and shares of a learner are means over them."""
    sweep: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 2)))
    """What other settings of a rule would do on the held-out days: dollars a day, share in time; shape (k, 2)."""
    late_price: float = np.nan
    """With an objective: the late price that makes the policy keep it on the first part, in dollars; nan if none."""

    @property
    def costs_by_training(self) -> NDArray[np.float64]:
        """Dollars of each held-out day for each training, shape (trainings, n); one row for anything but a learner."""
        several = [each.trajectory for each in self.trainings] or [self.trajectory]
        return np.array([trajectory.cost.sum(axis=1) for trajectory in several])

    @property
    def costs(self) -> NDArray[np.float64]:
        """Dollars of each held-out day, the mean over the trainings, shape (n,)."""
        return self.costs_by_training.mean(axis=0)

    @property
    def in_time_share(self) -> float:
        """Share of the requests that were served in time."""
        return 1 - self.late_share - self.drop_share

    @cached_property
    def in_time_interval(self) -> Interval:
        """Share of the requests served in time, with its interval over days and, where there are several, trainings."""
        several = np.array([each.in_time for each in self.trainings] or [self.in_time])
        return share_interval(several if len(several) > 1 else several[0], self.trajectory.arrivals.sum(axis=1))

    @cached_property
    def cost(self) -> Interval:
        """Mean cost with its interval over days, and over trainings if there are several; dollars a day."""
        return mean_interval(self.costs_by_training)


_ROUNDING = 1e-12


def loses_service(candidate: Candidate, today: Candidate, limits: Limits, objective: Objective | None = None) -> bool:
    """Return whether a policy serves the requests of the held-out days worse than today's rule and the limits allow.

    With an objective, that alone decides: whether fewer requests are served in time than it asks for.

    The shares are those of all requests of the held-out days. A learner loses service if any of its trainings does.

    Args:
        candidate: The policy.
        today: Today's rule on the same days.
        limits: The shares of the requests that a policy may serve late or drop.
        objective: What every policy must keep instead; `None` for today's service.
    """
    if candidate.trainings:
        return any(loses_service(each, today, limits, objective) for each in candidate.trainings)
    if objective is not None:
        return candidate.in_time_share < objective.served_in_time - _ROUNDING
    arrivals = max(int(today.trajectory.arrivals.sum()), 1)
    fewer = float((today.in_time - candidate.in_time).sum()) / arrivals
    dropped = int(candidate.trajectory.dropped.sum()) / arrivals
    most_dropped = max(limits.dropped, int(today.trajectory.dropped.sum()) / arrivals)
    return fewer > limits.fewer_in_time + _ROUNDING or dropped > most_dropped + _ROUNDING


@dataclass(frozen=True)
class Comparison:
    """The costs of all policies on the held-out days."""

    setup: Setup
    service: Service
    days: Trace
    candidates: dict[str, Candidate]
    """The policies that can be deployed, by name."""
    optimum: Candidate | None
    """The clairvoyant policy; `None` if the service has too many states to find it."""
    no_optimum: str = ""
    """Why there is no optimum."""
    lower_bound: float | None = None
    """Where there is no optimum: dollars a day on the held-out days that nothing can cost less than."""
    seed: int = 0
    """Seed of the trainings."""
    quick: bool = False
    """Whether a learner had less than its full budget."""
    plausibility: str = ""
    """Traffic, capacity, fleet and today's cost in one line, so that a wrong unit is seen."""
    cheaper: dict[str, Candidate] = field(default_factory=dict)
    """The rules with the setting that costs least whatever it does to the requests, where that is another setting."""
    doubts: tuple[str, ...] = ()
    """What is hard to believe about the set-up, a line each; may be empty."""
    pending: tuple[str, ...] = ()
    """The learners that are still to be trained, in this order."""

    @property
    def costs(self) -> pd.DataFrame:
        """Dollars of each held-out day: a row per day, a column per policy, without the optimum."""
        return self.costs_by_training.T.groupby(level="policy", sort=False).mean().T

    @property
    def costs_by_training(self) -> pd.DataFrame:
        """The same with a column per policy and training; anything but a learner has training 0 alone."""
        costs = {
            (name, training): row
            for name, candidate in self.candidates.items()
            for training, row in enumerate(candidate.costs_by_training)
        }
        table = pd.DataFrame(costs, index=list(self.days.labels[self.days.first_days :]))
        return table.rename_axis(columns=["policy", "training"])


def compare_candidates(
    setup: Setup,
    days: Trace,
    *,
    budgets: Mapping[Algorithm, int] | None = None,
    seed: int = 0,
    trainings: int = 1,
    all_rules: bool = False,
    progress: bool = False,
    report: Callable[[str], object] = lambda line: None,
    show: Callable[[Comparison], object] = lambda comparison: None,
) -> Comparison:
    """Calibrate the rules and train the learners on the first part of the days; simulate all of them on the rest.

    Args:
        setup: The user's service and today's rule.
        days: The traffic.
        budgets: Training budget of each learner, the full ones of `BUDGETS` by default. A learner that is not named is
            left out.
        seed: Seeds the trainings.
        trainings: How often each learner is trained, with different seeds, at least 1. The one that did best on the
            first part of the days is the one to deploy.
        all_rules: Whether the rules of AWS and Knative are compared whatever runs today.
        progress: Whether to show a progress bar (only in a terminal).
        report: Called before the long work with each doubt and with the line that shows whether the numbers fit.
        show: Called with what is known when the rules are done, and again after each learner but the last.

    Raises:
        ValueError: Set-up and traffic do not fit, or there is more traffic than can be simulated.
    """
    service = setup.service_for(days)
    budgets = BUDGETS["full"] if budgets is None else budgets
    later = days.later
    grids = setup.grids(days, every=all_rules)
    today = grids[setup.today["rule"]]
    if days.first_days > 1:  # a forecast needs a day before the first one that it is calibrated on
        grids["forecast"] = forecast_grid(days)
    described = f"{today.name}: {today.describe(setup.today_settings)}"
    objective = setup.objective
    rule = _evaluate(setup.policy(service, days), described, later, service, setup.today_settings, objective=objective)
    candidates, cheaper = {TODAY: rule}, {}
    doubted = (
        *doubts(service, days, setup.fields),
        *setting_doubts(setup.today_settings, dataclasses.asdict(setup.limits)),
        *today_drops(rule.drop_share),
    )
    plausible = plausibility(service, days, rule.cost.mean, rule.late_share, rule.drop_share)
    for line in (*doubted, plausible):
        report(line)
    planned = _planned_seconds(grids, days, {name: budget * trainings for name, budget in budgets.items()})
    levels: dict[int, ServiceLevel] = {}
    with tqdm(total=sum(planned.values()), bar_format=_BAR, leave=False, disable=None if progress else True) as bar:
        for name, grid in grids.items():
            with _step(bar, f"calibrating {name}", planned):
                calibration_days = days.earlier[1:] if name == "forecast" else days.earlier
                if objective is not None:
                    levels[len(calibration_days)] = ServiceLevel(objective.served_in_time, 1.0, objective)
                if len(calibration_days) not in levels:
                    now = _evaluate(setup.policy(service, days), described, calibration_days, service)
                    levels[len(calibration_days)] = setup.limits.level(now.in_time_share, now.drop_share, MARGIN)
                level = levels[len(calibration_days)]
                search = settings_that_keep(grid, calibration_days, service, level)
                candidates[name], cheapest = _evaluate_search(grid, search, later, service, objective)
                if cheapest is not None:
                    cheaper[name] = cheapest
        with _step(bar, "finding the optimum", planned):
            optimum, bound = None, None
            if objective is not None:
                reason = "an objective holds for all days together, and an optimum is computed from prices alone"
            elif losing_is_cheaper(service):
                reason = "with these prices it would lose requests"
            else:
                optimum, reason, bound = _optimum(later, service)
        quick = any(budget < BUDGETS["full"].get(algorithm, 0) for algorithm, budget in budgets.items())
        comparison = Comparison(
            setup,
            service,
            days,
            candidates,
            optimum,
            reason,
            bound,
            seed,
            quick,
            plausible,
            cheaper,
            doubted,
            tuple(budgets),
        )
        for algorithm, budget in budgets.items():
            show(comparison)
            with _step(bar, f"training {algorithm}", planned):
                seeds, shown = range(seed, seed + trainings), not bar.disable
                learner = _learner(algorithm, budget, days, service, seeds, shown, objective, candidates)
            comparison = dataclasses.replace(
                comparison,
                candidates=comparison.candidates | {algorithm: learner},
                pending=comparison.pending[1:],
            )
    return comparison


def _optimum(days: NDArray[np.int64], service: Service) -> tuple[Candidate | None, str, float | None]:
    """Return the optimum of days in a row; or `None`, why there is none, and a lower bound in dollars a day."""
    try:
        return _evaluate(Optimum(service), "knows the traffic", days, service), "", None
    except ValueError as error:
        return None, str(error), float(lower_bounds(days.reshape(1, -1), service)[0]) / len(days)


@contextmanager
def _step(bar: tqdm[NoReturn], name: str, planned: Mapping[str, float]) -> Iterator[None]:
    """Name a step on the progress bar while it runs; afterwards move the bar by what was planned for it."""
    bar.set_description(name)
    yield
    bar.update(planned[name])


def _evaluate(
    policy: Policy,
    description: str,
    days: NDArray[np.int64],
    service: Service,
    settings: Mapping[str, float] | None = None,
    model: bytes | None = None,
    objective: Objective | None = None,
) -> Candidate:
    """Simulate a policy on the held-out days, one day running into the next, and measure it."""
    (candidate,) = _measured(simulate_through(policy, days, service), [(policy, description)], service, objective)
    return dataclasses.replace(candidate, settings=dict(settings or {}), model=model)


SWEPT = 24
"""Settings of each rule that are simulated on the held-out days besides the chosen ones, to draw its frontier."""


def _evaluate_search(
    grid: RuleGrid, search: Search, days: NDArray[np.int64], service: Service, objective: Objective | None
) -> tuple[Candidate, Candidate | None]:
    """Simulate what a search has found, side by side; return the setting that keeps the service, and the cheapest.

    The cheapest is `None` if it is the same setting. The first has the sweep.
    """
    frontier = [search.frontier[i] for i in np.unique(np.linspace(0, len(search.frontier) - 1, SWEPT).astype(int))]
    settings = [search.keeping, search.cheapest, *frontier]
    rules = [(grid.policy(service, each), grid.describe(each)) for each in settings]
    columns = {name: np.array([each[name] for each in settings]) for name in grid.settings}
    through = simulate_through(grid.policy(service, columns), days, service, len(settings))
    keeping, cheapest, *others = (
        dataclasses.replace(candidate, settings=each)
        for candidate, each in zip(_measured(through, rules, service, objective), settings, strict=True)
    )
    sweep = np.array([(other.cost.mean, other.in_time_share) for other in others])
    keeping = dataclasses.replace(keeping, sweep=sweep, late_price=search.late_price)
    return keeping, cheapest if search.cheapest != search.keeping else None


def _measured(
    through: Trajectory, policies: Sequence[tuple[Policy, str]], service: Service, objective: Objective | None
) -> list[Candidate]:
    """Return what each policy did, given with its description, from a trajectory with a row for each of them."""
    table = measure(through)
    in_time = served_in_time(through) if objective is None else objective.in_time(through)
    candidates = []
    for row, (policy, description) in enumerate(policies):
        sums, days = table.iloc[row], by_day(through.row(row), service)
        candidates.append(
            Candidate(
                policy.name,
                description,
                policy,
                days,
                late_share=float((sums["arrivals"] - sums["dropped"] - in_time[row].sum()) / max(sums["arrivals"], 1)),
                drop_share=float(sums["dropped"] / max(sums["arrivals"], 1)),
                wait_p95=float(sums["wait_p95"]),
                actions=float(sums["scaling_actions"]) / len(days.arrivals),
                in_time=in_time[row].reshape(days.arrivals.shape).sum(axis=1),
            )
        )
    return candidates


def _learner(
    algorithm: Algorithm,
    budget: int,
    days: Trace,
    service: Service,
    seeds: Sequence[int],
    progress: bool,
    objective: Objective | None,
    rules: Mapping[str, Candidate],
) -> Candidate:
    """Train a learner once for each seed; return the one that did best on the first part, with means over all.

    With an objective, the late price that keeps it on the first part of the days is searched. The rules say where the
    first seed's search begins; each next one begins where the one before it ended, and can only rise.
    """
    tried: list[tuple[tuple[bool, float], Candidate]] = []
    price = np.nan
    if objective is not None:
        tracking = next(rules[name] for name in ("target-tracking", IDEAL) if name in rules)
        price = first_price(tracking.late_price, service)
    for seed in seeds:
        config = training_config(algorithm, budget, days, service, seed)
        if objective is None:
            learned = train_once(started(config, days), progress)
        else:
            config = dataclasses.replace(config, objective=objective)
            learned = train_for_objective(config, days, price, falls=seed == seeds[0])
            price = learned.late_price
        candidate = _evaluate(
            learned.policy, learned.words, days.later, service, model=learned.model, objective=objective
        )
        tried.append((learned.rank, dataclasses.replace(candidate, late_price=learned.late_price)))
    _, best = max(tried, key=lambda each: each[0])
    return over_trainings(best, [candidate for _, candidate in tried])


def over_trainings(best: Candidate, trainings: Sequence[Candidate]) -> Candidate:
    """Return a learner with the means over its trainings; its model, policy and trajectory are those of the best one.

    Args:
        best: The training to deploy.
        trainings: All trainings, the best one among them.
    """
    if len(trainings) == 1:
        return dataclasses.replace(best, trainings=tuple(trainings))

    def mean(of: Callable[[Candidate], float]) -> float:
        return float(np.mean([of(each) for each in trainings]))

    return dataclasses.replace(
        best,
        description=f"{best.description}; mean of {len(trainings)} trainings",
        late_share=mean(lambda each: each.late_share),
        drop_share=mean(lambda each: each.drop_share),
        wait_p95=mean(lambda each: each.wait_p95),
        actions=mean(lambda each: each.actions),
        trainings=tuple(trainings),
    )


def _planned_seconds(grids: Iterable[str], days: Trace, budgets: Mapping[Algorithm, int]) -> dict[str, float]:
    """Return the steps of a comparison and about how many seconds each takes on a slow core."""
    thousands = days.requests.size / 1000
    training = {"q-learning": 7e-7 * days.requests.shape[1], "dqn": 1.2e-4, "ppo": 1.1e-4, "policy-iteration": 2.2}
    seconds = {f"calibrating {name}": 0.2 + 0.2 * thousands for name in grids}
    for algorithm, budget in budgets.items():
        selection = 0.0 if algorithm in ("q-learning", "policy-iteration") else 0.3 * thousands
        seconds[f"training {algorithm}"] = 0.5 + training[algorithm] * budget + selection
    return seconds | {"finding the optimum": 0.5 + 0.1 * thousands}
