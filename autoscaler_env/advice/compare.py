"""Let every policy scale the same held-out days, each as good as the first part of the traffic could make it.

Say what is being done, how far it is, and how long the rest will take.
"""

from __future__ import annotations

import dataclasses
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autoscaler_env.advice.setup import TODAY, Setup
from autoscaler_env.evaluation.calibration import RULE_GRIDS, cheapest_setting, forecast_grid
from autoscaler_env.evaluation.metrics import measure
from autoscaler_env.evaluation.simulation import ResetDaily, Trajectory, by_day, simulate_through
from autoscaler_env.paths import Folders
from autoscaler_env.policies.base import Policy
from autoscaler_env.policies.oracle import Optimum
from autoscaler_env.service import Service
from autoscaler_env.storage.models import load_policy
from autoscaler_env.traffic.augment import ResampledDays
from autoscaler_env.traffic.trace import Trace
from autoscaler_env.training.checkpoint import RunFolder
from autoscaler_env.training.config import LENGTH, Algorithm, DeepPreset, TrainingConfig
from autoscaler_env.training.train import train


class Progress:
    """Steps, done one after another; each is announced with the time left.

    The time left starts from guesses, which only say how long the steps take in proportion; what the steps so far took
    corrects them.

    Args:
        seconds: How long each step may take, by its name, in the order of the steps.
        show: Whether to say anything.
    """

    def __init__(self, seconds: Mapping[str, float], show: bool = True) -> None:
        self._seconds = dict(seconds)
        self._show = show
        self._started = time.perf_counter()
        self._done: list[str] = []

    def begin(self, step: str) -> None:
        """Announce a step; those before it are done.

        Raises:
            KeyError: There is no such step.
        """
        names = list(self._seconds)
        number = names.index(step) if step in names else -1
        if number < 0:
            raise KeyError(step)
        passed = time.perf_counter() - self._started
        guessed = sum(self._seconds[name] for name in names[:number])
        left = sum(self._seconds[name] for name in names[number:])
        pace = (passed + 5) / (guessed + 5)  # as if five seconds had gone as guessed: the first step says little
        self._say(f"[{number + 1}/{len(names)}] {step}; about {in_words(left * pace)} left")

    def end(self) -> None:
        """Say how long all of it took."""
        self._say(f"Done in {in_words(time.perf_counter() - self._started)}.")

    def _say(self, text: str) -> None:
        if self._show:
            print(text, file=sys.stderr, flush=True)


def in_words(seconds: float) -> str:
    """Return a time as a person says it.

    Example:
        >>> in_words(8.4), in_words(75), in_words(240)
        ('8 s', '1 min 15 s', '4 min')
    """
    whole = max(round(seconds), 1)
    minutes, rest = divmod(whole, 60)
    return f"{rest} s" if not minutes else f"{minutes} min" + (f" {rest} s" if rest else "")


BUDGETS: Mapping[bool, dict[Algorithm, int]] = {
    False: {"q-learning": 10_000, "dqn": 150_000, "ppo": 250_000},
    True: {"q-learning": 1_000, "dqn": 15_000, "ppo": 30_000},
}
"""What is spent on each learner, days for Q-learning and steps for the others: in full, and where it must be quick."""


@dataclass(frozen=True)
class Entry:
    """A policy in the contest and what became of it."""

    name: str
    """What tables call it."""
    setting: str
    """How it is set, in words."""
    trajectory: Trajectory
    """What happened on the held-out days, a row for each, fleet and queue going over midnight as they were."""
    late_share: float
    """Share of the requests that were not served in the step they came in, and not dropped."""
    drop_share: float
    """Share of the requests that were dropped."""
    wait_p95: float
    """Seconds within which 95 % of the requests admitted were served."""
    actions: float
    """Changes of the fleet, a day."""
    settings: Mapping[str, float] = field(default_factory=dict)
    """How it is set, by name; empty for learners and the optimum."""
    model: bytes | None = None
    """The file of a learner's model, from which it was loaded to play."""

    @property
    def costs(self) -> NDArray[np.float64]:
        """Dollars of each held-out day, shape (n,)."""
        return self.trajectory.cost.sum(axis=1)


@dataclass(frozen=True)
class Contest:
    """What every policy cost on the days held out."""

    setup: Setup
    service: Service
    days: Trace
    entries: dict[str, Entry]
    """The policies that one can deploy, by name."""
    optimum: Entry | None
    """The clairvoyant one; `None` where the service has too many states to find it."""
    no_optimum: str = ""
    """Why there is no optimum."""
    quick: bool = False
    """Whether a learner had less than its full budget."""

    @property
    def costs(self) -> pd.DataFrame:
        """Dollars of each held-out day: a row per day, a column per policy, the optimum not among them."""
        costs = {name: entry.costs for name, entry in self.entries.items()}
        return pd.DataFrame(costs, index=list(self.days.labels[self.days.first_days :]))


def hold_contest(
    setup: Setup,
    days: Trace,
    *,
    budgets: Mapping[Algorithm, int] | None = None,
    seed: int = 0,
    progress: bool = False,
) -> Contest:
    """Calibrate the rules and train the learners on the first part of the days; cost all of them on the rest.

    Args:
        setup: The service as its owner describes it, and today's rule.
        days: The traffic.
        budgets: What to spend on each learner, see `BUDGETS`; a learner that is not named is left out.
        seed: Seeds the trainings.
        progress: Whether to show how far it is.

    Raises:
        ValueError: Set-up and traffic do not fit, or there is more traffic than can be played.
    """
    service = setup.service_for(days)
    budgets = BUDGETS[False] if budgets is None else budgets
    steps = Progress(_plan(days, budgets), progress)
    later = days.later
    entries = {TODAY: _play(setup.policy(service), _told_today(setup), later, service, setup.today_settings)}
    grids = dict(RULE_GRIDS)
    if days.first_days > 1:  # before the first day there is nothing to forecast from
        grids["forecast"] = forecast_grid(days)
    for name, grid in grids.items():
        steps.begin(f"calibrating {name}")
        learned_from = days.earlier[1:] if name == "forecast" else days.earlier
        settings, _ = cheapest_setting(grid, learned_from, service)
        entries[name] = _play(grid.policy(service, settings), grid.describe(settings), later, service, settings)
    with tempfile.TemporaryDirectory(prefix="advise") as folder:
        for algorithm, budget in budgets.items():
            steps.begin(f"training {algorithm}")
            run = _training(algorithm, budget, days, service, seed)
            policy, model = _train(run, Folders(folder), progress and sys.stderr.isatty())
            told = f"{budget:,} {'days' if algorithm == 'q-learning' else 'steps'} of training"
            told += ", begun by imitating target tracking" if run.imitation_days else ""
            entries[policy.name] = _play(policy, told, later, service, model=model)
    steps.begin("finding the optimum")
    try:
        optimum, reason = _play(Optimum(service), "knows the traffic", later, service), ""
    except ValueError as error:
        optimum, reason = None, str(error)
    steps.end()
    quick = any(budget < BUDGETS[False].get(algorithm, 0) for algorithm, budget in budgets.items())
    return Contest(setup, service, days, entries, optimum, reason, quick)


def _told_today(setup: Setup) -> str:
    grid = RULE_GRIDS[setup.today["rule"]]
    return f"{grid.name}: {grid.describe(setup.today_settings)}"


def _play(
    policy: Policy,
    setting: str,
    days: NDArray[np.int64],
    service: Service,
    settings: Mapping[str, float] | None = None,
    model: bytes | None = None,
) -> Entry:
    through = simulate_through(policy, days, service)
    sums = measure(through).iloc[0]
    return Entry(
        policy.name,
        setting,
        by_day(through, service),
        late_share=float(sums["late"] / max(sums["arrivals"], 1)),
        drop_share=float(sums["dropped"] / max(sums["arrivals"], 1)),
        wait_p95=float(sums["wait_p95"]),
        actions=float(sums["scaling_actions"]) / len(days),
        settings=dict(settings or {}),
        model=model,
    )


def _training(algorithm: Algorithm, budget: int, days: Trace, service: Service, seed: int) -> TrainingConfig:
    """Return how a learner is trained; PPO begins by imitating calibrated target tracking if its budget holds a day.

    A small budget is spent better so: rewards then need not teach it first what every rule knows.
    """
    length: dict[str, Any] = {LENGTH[algorithm]: budget}
    run = TrainingConfig(algorithm, ResampledDays("traffic", days), seed=seed, device="cpu", service=service, **length)
    if algorithm == "ppo":
        imitating = dataclasses.replace(run, imitation_days=1)
        if cast(DeepPreset, imitating.preset).imitated_timesteps(service.steps_per_episode) < budget:
            return imitating
    return run


def _train(run: TrainingConfig, folders: Folders, progress: bool) -> tuple[Policy, bytes]:
    """Train; return the better of the last and the best version, read back from its file, and the file."""
    curve = train(run, folders, progress=progress).curve
    best = int(curve["mean_return"].to_numpy()[1:].argmax()) + 1
    files = RunFolder(run, folders)
    path = files.model if best == len(curve) - 1 else files.best
    policy = load_policy(path, run.service)
    policy.name = run.algorithm
    return ResetDaily(policy, run.service.steps_per_episode), Path(path).read_bytes()


def _plan(days: Trace, budgets: Mapping[Algorithm, int]) -> dict[str, float]:
    """Return the steps and about how many seconds each takes on a slow core."""
    steps = days.requests.size / 1000
    training = {"q-learning": 7e-7 * days.requests.shape[1], "dqn": 1.2e-4, "ppo": 1.1e-4}
    grids = [*RULE_GRIDS, *(["forecast"] if days.first_days > 1 else [])]
    seconds = {f"calibrating {name}": 0.2 + 0.2 * steps for name in grids}
    for algorithm, budget in budgets.items():
        seconds[f"training {algorithm}"] = (
            0.5 + training[algorithm] * budget + 0.3 * steps * (algorithm != "q-learning")
        )
    return seconds | {"finding the optimum": 0.5 + 0.1 * steps}
