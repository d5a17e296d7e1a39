"""Find what keeps an objective: the setting of a rule, or the late price of a learner, since learners know prices only.

A higher late price makes a learner keep a larger fleet, so that fewer requests are late. The search trains once with
the whole budget, at the price that makes calibrated target tracking keep the objective, or at what it costs to serve a
request if that is more. Each next training has another price and a part of the budget, and starts from the weights of
the training before it (a warm start): the price rises by a large factor until a training keeps the objective, or falls
by it until one does not or saves nothing more; between a price that keeps it and one that does not, the middle on a
logarithmic scale is tried. The model is the cheapest training that keeps the objective.

All learners can start so: Q-learning from the values of the table, DQN and PPO from their networks, policy iteration
from its network and its recogniser. PPO, if it imitates rules, imitates those that are calibrated for the new price.
Step sizes, optimiser and replay buffer begin anew, since they hold what was learned with another price.

The trainings lie below `logs/NAME/search/` until the search ends, so that an interrupted search goes on where it was.
"""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.evaluation.calibration import ServiceLevel, settings_that_keep
from autoscaler_env.evaluation.grids import RULE_GRIDS, RuleGrid
from autoscaler_env.evaluation.objective import Objective, price_in_words
from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.evaluation.statistics import MINIMUM_EFFECT, Interval
from autoscaler_env.paths import Folders
from autoscaler_env.policies.base import Policy
from autoscaler_env.policies.rules import FixedFleet
from autoscaler_env.service import Service
from autoscaler_env.storage.files import write_json
from autoscaler_env.storage.models import is_described, load_policy, read_description, save_description
from autoscaler_env.text import counted, dollars, duration, one_line
from autoscaler_env.traffic.patterns import Workload, as_workload, day_seeds
from autoscaler_env.training.checkpoint import RunFolder, Trained, differences
from autoscaler_env.training.config import LENGTH, TrainingConfig, WarmStart
from autoscaler_env.training.once import train_once
from autoscaler_env.training.presets import LONG_TRAINING, DeepPreset

TRAININGS = 6
"""Trainings of a search, at most."""

PART = 4
"""Every training of a search but the first has this part of the budget: a quarter."""

FACTOR = 8.0
"""By how much the price rises until a training keeps the objective, or falls until one does not."""

CLOSE = 3.0
"""The search ends when a price that keeps the objective is at most this many times one that does not."""

DAYS = 60
"""Calibration days on which a training must keep the objective, and target tracking is calibrated."""


def rule_that_keeps(
    grid: RuleGrid,
    workloads: Sequence[Workload],
    service: Service,
    objective: Objective,
    name: str | None = None,
    days: int = DAYS,
) -> Policy:
    """Return a rule with the cheapest setting that keeps an objective, with the margin of `Objective.surely`.

    Args:
        grid: The kind of rule.
        workloads: One or more; their calibration days count alike.
        service: The service to scale; its late price must be 0.
        objective: What the rule must keep.
        name: What tables call it; the name of the rule by default.
        days: Calibration days of each workload, at least 1.

    Raises:
        ValueError: The service has a late price, or the objective does not fit its day.
    """
    objective.check_service(service)
    seeds = day_seeds("calibration", days)
    drawn = np.concatenate([workload.draw(seeds) for workload in workloads])
    level = ServiceLevel(objective.served_in_time, 1.0, objective)
    return grid.policy(service, settings_that_keep(grid, drawn, service, level, in_a_row=False).keeping, name)


# --- which price next ------------------------------------------------------------------------------------------------


class Trial(NamedTuple):
    """A training of a search, and what it reached."""

    late_price: float
    """Dollars for a request that waits at the end of a step."""
    timesteps: int
    """Its length, without those of the trainings that it started from."""
    share: float
    """Share of the requests of the search's days that it served in time."""
    sure: float
    """The share that is compared with the objective: `Objective.surely`."""
    cost: float
    """Dollars a day on the search's days; lateness costs nothing there."""

    def keeps(self, objective: Objective) -> bool:
        """Return whether it keeps the objective, with the margin."""
        return self.sure >= objective.served_in_time


def next_price(trials: Sequence[Trial], objective: Objective, first: float, falls: bool = True) -> float | None:
    """Return the late price of the next training of a search; `None` if the search is done.

    Args:
        trials: The trainings so far.
        objective: What is to be kept.
        first: The price to begin with, above 0.
        falls: Whether prices below the first may be tried.

    Example:
        >>> trials = []
        >>> while (price := next_price(trials, Objective(0.98), first=1.0)) is not None:
        ...     trials.append(Trial(price, 100, 0.97 + 0.001 * price, 0.97 + 0.001 * price, cost=40 + price))
        >>> [round(each.late_price, 1) for each in trials], round(chosen(trials, Objective(0.98)).late_price, 1)
        ([1.0, 8.0, 64.0, 22.6], 22.6)
    """
    if not trials:
        return first
    if len(trials) == TRAININGS:
        return None
    kept = [each for each in trials if each.keeps(objective)]
    if not kept:
        return max(each.late_price for each in trials) * FACTOR
    lowest = min(each.late_price for each in kept)
    below = [each.late_price for each in trials if each.late_price < lowest]
    if below:
        return math.sqrt(max(below) * lowest) if lowest > CLOSE * max(below) else None
    *_, before, last = [math.inf, *(each.cost for each in kept)]
    return lowest / FACTOR if falls and last < (1 - MINIMUM_EFFECT) * before else None


def chosen(trials: Sequence[Trial], objective: Objective) -> Trial:
    """Return the cheapest training that keeps an objective.

    If none keeps it, that is the cheapest of those that serve about as many requests in time as any.
    """
    kept = [each for each in trials if each.keeps(objective)]
    if not kept:
        most = max(each.sure for each in trials) - objective.slack
        kept = [each for each in trials if each.sure >= most]
    return min(kept, key=lambda each: each.cost)


def first_price(implied: float, service: Service) -> float:
    """Return the price to begin with: the one that a rule implies, or what it costs to serve a request if that is more.

    Args:
        implied: Dollars for a request that waits at the end of a step; nan or 0 if the rule implies none.
        service: The service to scale.
    """
    return max(implied if implied > 0 else 0.0, service.instance_price / service.capacity_per_instance, 1e-9)


# --- the files of a search -------------------------------------------------------------------------------------------


class SearchFolder(RunFolder):
    """The files of a training with an objective: those of any training, and those of its search.

    | file, below the root | content |
    |---|---|
    | `logs/NAME/search/search.json` | which search it is, and what each training reached |
    | `logs/NAME/search/N/` | the files of training N, as `RunFolder` lays them out |

    When the search ends, the files of the chosen training come into their places, and the folder is removed.

    Args:
        config: The training; it has an objective.
        folders: The root of the outputs; `paths.output_root()` by default.
    """

    def __init__(self, config: TrainingConfig, folders: Folders | None = None) -> None:
        super().__init__(config, folders)
        assert config.objective is not None
        self.objective = config.objective
        self.search = self.logs / "search"
        self.record = self.search / "search.json"

    def training(self, number: int, late_price: float) -> RunFolder:
        """Return the folder of a training with a late price.

        Args:
            number: From 1 on; the training starts from the one before it, whose model is there.
            late_price: Dollars for a request that waits at the end of a step.
        """
        service = dataclasses.replace(self.config.service, late_price=late_price)
        config = dataclasses.replace(self.config, objective=None, service=service)
        if number > 1:
            start = WarmStart.of(self._root(number - 1).models / self.model.name)
            length: dict[str, Any] = {LENGTH[config.algorithm]: shortened(config)}
            config = dataclasses.replace(config, start=start, **length)
        return RunFolder(config, self._root(number))

    def _root(self, number: int) -> Folders:
        return Folders(self.search / str(number))

    def save_trials(self, trials: Sequence[Trial]) -> None:
        """Write what the search has reached so far."""
        content = {"run": self.config.identity(), "trials": [each._asdict() for each in trials]}
        write_json(self.record, content)

    def load_state(self) -> dict[str, Any] | None:
        """Return the search so far, with its trials; `None` if there is no unfinished one.

        Raises:
            ValueError: The search is that of another training, or its file is damaged.
        """
        if self.progress() is None:
            return None
        content = self._read_record()
        if difference := differences(content["run"], self.config.identity()):
            raise ValueError(f"--resume: the unfinished {self.config.model_name} is another training: {difference}")
        return content

    def progress(self) -> str | None:
        """Return how far the search is, such as "1 training and 10,048 of 25,000 timesteps of the next"."""
        if not self.record.exists():
            return None
        done = len(self._read_record()["trials"])
        within = RunFolder(dataclasses.replace(self.config, objective=None), self._root(done + 1)).progress()
        if not done:
            return within and f"{within} of the first training"
        return counted(done, "training") + (f" and {within} of the next" if within else "")

    def resume_message(self) -> str:
        """Return where the search continues."""
        return f"Resuming the search of a late price after {self.progress()}."

    def _read_record(self) -> dict[str, Any]:
        try:
            content: dict[str, Any] = json.loads(self.record.read_text(encoding="utf-8"))
            content["run"], content["trials"] = content["run"], [Trial(**each) for each in content["trials"]]
        except (ValueError, KeyError, TypeError) as error:
            shown = self.folders.shown(self.record)
            raise ValueError(f"{shown}: damaged: {one_line(error)}; give --overwrite to start again") from None
        return content

    def start(self) -> None:
        """Remove what `RunFolder.start` removes, and what an earlier search left."""
        super().start()
        if self.search.exists():
            shutil.rmtree(self.search)

    def finish_search(self, trials: Sequence[Trial]) -> Trained:
        """Put the files of the chosen training in their places; say in each description what it was trained for."""
        best = chosen(trials, self.objective)
        root = self._root(trials.index(best) + 1).root
        for path in sorted(root.rglob("*")):
            if path.is_file():
                place = self.folders.root / path.relative_to(root)
                place.parent.mkdir(parents=True, exist_ok=True)
                path.replace(place)
        versions = self.folders.checkpoints.glob(f"{self.config.model_name}_*_steps{self.config.ending}")
        for path in (self.best, *versions):
            self._describe_objective(path)
        description = self._describe_objective(
            self.model,
            {"keeps_objective": best.keeps(self.objective), "search": [each._asdict() for each in trials]},
        )
        shutil.rmtree(self.search)
        return Trained(load_policy(self.model, Service.from_dict(description["service"])), description)

    def _describe_objective(self, model: Path, more: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Any]:
        """Write what a model was trained for into its description; return it. The price stands with the service."""
        description = read_description(model) or {}
        wanted = {name: value for name, value in self.config.identity().items() if name != "service"}
        description |= wanted | {"command": self.config.command(), **more}
        save_description(model, description)
        return description


# --- the search ------------------------------------------------------------------------------------------------------


def train_to_keep(
    config: TrainingConfig,
    folders: Folders | None = None,
    *,
    progress: bool = True,
    resume: bool = False,
    report: Callable[[str], object] = lambda line: None,
    measure: Callable[[Policy], tuple[Interval, float]] | None = None,
    first: float | None = None,
    falls: bool = True,
) -> Trained:
    """Search the late price with which a learner keeps its objective, and train it with that price.

    An interrupted search gives the same model as one without interruption. Where not even all instances keep the
    objective, the learner is trained once.

    Args:
        config: The training, with an objective; its service has no late price.
        folders: As for `train`, and so are `progress` and `resume`.
        progress: Whether to show a progress bar for each training.
        resume: Continue this search.
        report: Called with a line for each training, such as `print`.
        measure: Returns the share of the requests that a policy serves in time, with its interval over days, and its
            cost, dollars a day; by default on calibration days.
        first: The late price to begin with, dollars for a request that waits at the end of a step; by default the one
            that calibrated target tracking implies on calibration days.
        falls: Whether prices below the first may be tried.

    Returns:
        The chosen training. Its description has `keeps_objective` and `search`, a list of what each training reached.

    Raises:
        ValueError: As `train`.
        OSError: As `train`.
        KeyboardInterrupt: As `train`.
    """
    run = SearchFolder(config, folders)
    objective, trials = run.objective, []
    if resume:
        state = run.load_state()
        if state is None:
            raise ValueError(f"--resume: there is no unfinished training of {config.model_name}; start it without")
        trials = state["trials"]
    else:
        run.start()
        run.save_trials(trials)
    days = as_workload(config.pattern, config.service).draw(day_seeds("calibration", DAYS))

    def on_calibration_days(policy: Policy) -> tuple[Interval, float]:
        trajectory = simulate(policy, days, config.service)
        return objective.share(trajectory, independent=True), float(trajectory.cost.sum(axis=1).mean())

    measure = measure or on_calibration_days
    if first is None:
        first = trials[0].late_price if trials else _implied_price(days, config.service, objective)
    if impossible := _why_impossible(measure, config.service, objective):
        report(impossible)
    while (price := next_price(trials, objective, first, falls)) is not None and not (impossible and trials):
        training = run.training(len(trials) + 1, price)
        trained = _go_on(training, progress)
        share, cost = measure(trained.policy)
        trials.append(Trial(price, trained.description["timesteps"], share.mean, objective.surely(share), cost))
        run.save_trials(trials)
        report(_in_words(trials, config.service, objective))
    return run.finish_search(trials)


def _why_impossible(measure: Callable[[Policy], tuple[Interval, float]], service: Service, objective: Objective) -> str:
    """Return why nothing can keep the objective, if the fleet that grows as fast and as far as it may does not."""
    share, _ = measure(FixedFleet(service, service.max_instances))
    if share.mean >= objective.served_in_time:
        return ""
    return (
        f"Nothing can keep this objective: a fleet that grows to all {service.max_instances} instances as fast as it "
        f"may serves {100 * share.mean:.2f} % within {duration(objective.within_seconds)}. So the learner is trained "
        "once."
    )


def _go_on(training: RunFolder, progress: bool) -> Trained:
    """Run a training of a search: from the start, from its saved state, or not at all if it has ended."""
    described = read_description(training.model) if training.model.exists() else None
    unfinished = training.load_state() is not None
    if described is not None and not unfinished and is_described(training.model):
        return Trained(load_policy(training.model, training.config.service), described)
    return train_once(training.config, training.folders, progress=progress, resume=unfinished)


def _implied_price(days: NDArray[np.int64], service: Service, objective: Objective) -> float:
    """Return the late price with which calibrated target tracking keeps the objective on some days."""
    level = ServiceLevel(objective.served_in_time, 1.0, objective)
    tracking = settings_that_keep(RULE_GRIDS["target-tracking"], days, service, level, in_a_row=False)
    return first_price(tracking.late_price, service)


def _in_words(trials: Sequence[Trial], service: Service, objective: Objective) -> str:
    """Return what the last training of a search reached."""
    last = trials[-1]
    warm = " after a warm start" if len(trials) > 1 else ""
    return (
        f"Training {len(trials)}: late price {price_in_words(last.late_price, service)}; {last.timesteps:,} timesteps"
        f"{warm}; {100 * last.share:.2f} % within {duration(objective.within_seconds)}, "
        f"{'enough' if last.keeps(objective) else 'too few'}; {dollars(last.cost)} a day."
    )


def shortened(config: TrainingConfig) -> int:
    """Return the length of every training of a search but the first, in the unit of the learner.

    PPO stays on its long preset, whose network has more inputs. Where it imitates the rules that are calibrated for the
    price, it has at least one rollout after that.
    """
    whole, preset = budget_of(config), config.preset
    part = max(whole // PART, 1)
    if config.algorithm != "ppo" or not isinstance(preset, DeepPreset):
        return part
    imitated = preset.imitated_timesteps(config.service.steps_per_episode)
    return max(part, LONG_TRAINING if whole >= LONG_TRAINING else 1, imitated + 1 if imitated else 1)


def budget_of(config: TrainingConfig) -> int:
    """Return the length of a training in the unit of its learner, as `LENGTH` names it."""
    length: int = getattr(config.preset, LENGTH[config.algorithm])
    return length
