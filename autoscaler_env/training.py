"""Train a learner, keep checkpoints and the best model, and say how it was made."""

from __future__ import annotations

import dataclasses
import platform
import subprocess
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure
from tqdm.auto import tqdm

from autoscaler_env.device import Device, choose_device, is_out_of_memory
from autoscaler_env.paths import Folders, project_root
from autoscaler_env.policies.base import Policy
from autoscaler_env.policies.deep import PRESETS, DeepPolicy, DeepPreset, build_learner, count_weights, one_thread
from autoscaler_env.policies.q_learning import QLearningPreset, QTable, learn
from autoscaler_env.rollouts import roll_out
from autoscaler_env.service import Service
from autoscaler_env.storage import load_policy, read_description, save_description, save_q_table, write_atomically
from autoscaler_env.workloads import MIXED, PATTERNS, Workload, as_workload, day_seeds, random_training_seeds

Algorithm = Literal["q-learning", "dqn", "ppo"]

SELECTION_DAYS = 20
"""Selection days of each pattern on which a model is judged while it trains."""

EVALUATIONS = 10
"""How often a model is judged, and a checkpoint kept, in the course of its training."""


@dataclass(frozen=True)
class TrainingRun:
    """One training, wholly described: the same run gives the same model (CPU, one thread, same versions).

    Raises `ValueError` naming field, value and what is allowed.
    """

    algorithm: Algorithm
    """q-learning, dqn or ppo."""
    pattern: str | Workload = MIXED
    """What it trains on."""
    budget: int | None = None
    """Episodes for Q-learning, slots for DQN and PPO; the preset's by default."""
    name: str | None = None
    """Name of the model; ALGORITHM_PATTERN by default."""
    seed: int = 0
    """Seeds everything that is drawn."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    learning_rate: float | None = None
    """Instead of the preset's (DQN, PPO)."""
    batch_size: int | None = None
    """Instead of the preset's (DQN, PPO)."""
    widths: tuple[int, ...] | None = None
    """Instead of the preset's hidden layers (DQN, PPO)."""
    service: Service = field(default_factory=Service)
    """The service to scale."""

    def __post_init__(self) -> None:
        if self.algorithm not in get_args(Algorithm):
            raise ValueError(f"algorithm = {self.algorithm!r}: must be one of {', '.join(get_args(Algorithm))}")
        as_workload(self.pattern, self.service)
        if self.budget is not None and self.budget < 1:
            raise ValueError(f"budget = {self.budget}: must be at least 1")
        if self.learning_rate is not None and not 0 < self.learning_rate < 1:
            raise ValueError(f"learning_rate = {self.learning_rate}: must lie between 0 and 1")
        if self.batch_size is not None and self.batch_size < 2:
            raise ValueError(f"batch_size = {self.batch_size}: must be at least 2")
        if self.algorithm == "q-learning" and (self.learning_rate or self.batch_size or self.widths):
            raise ValueError("learning_rate, batch_size and widths are for dqn and ppo; q-learning has none of them")
        if self.name is not None and (not self.name or Path(self.name).name != self.name or self.name.startswith(".")):
            raise ValueError(f"name = {self.name!r}: must be a plain file name without an ending")

    @property
    def pattern_name(self) -> str:
        """The name of the pattern or trace."""
        return self.pattern if isinstance(self.pattern, str) else self.pattern.name

    @property
    def model_name(self) -> str:
        """The model's file name, without its ending."""
        return self.name or f"{self.algorithm.replace('-', '_')}_{self.pattern_name.lower()}"

    @property
    def preset(self) -> QLearningPreset | DeepPreset:
        """How the learner is trained, this run's own settings included."""
        if self.algorithm == "q-learning":
            return QLearningPreset() if self.budget is None else QLearningPreset(episodes=self.budget)
        changed = {
            "timesteps": self.budget,
            "learning_rate": self.learning_rate,
            "batch_size": self.batch_size,
            "widths": self.widths,
        }
        return dataclasses.replace(PRESETS[self.algorithm], **{k: v for k, v in changed.items() if v is not None})

    def model_path(self, folders: Folders) -> Path:
        """Return where the model lies."""
        return folders.models / f"{self.model_name}{'.pkl' if self.algorithm == 'q-learning' else '.zip'}"

    def command(self) -> str:
        """Return the command line that makes this model."""
        unit = "episodes" if self.algorithm == "q-learning" else "timesteps"
        budget = f" --{unit} {self.budget}" if self.budget else ""
        return f"autoscaler train {self.algorithm} --pattern {self.pattern_name}{budget} --seed {self.seed}"


@dataclass(frozen=True)
class Trained:
    """What a training left."""

    policy: Policy
    description: dict[str, Any]
    """How the model was made, as it stands in the `.json` beside it."""
    curve: pd.DataFrame
    """How it did on selection days while it trained: steps (slots), seconds, mean_return ($ a day)."""


def train(run: TrainingRun, folders: Folders | None = None, *, progress: bool = True) -> Trained:
    """Train a model and write it, its description, its checkpoints, its best version and its learning curve.

    Args:
        run: What to train.
        folders: Where to write; the project's folders by default.
        progress: Whether to show a progress bar.

    Returns:
        The trained policy, its description and its learning curve.

    Raises:
        ValueError: The device asked for is not there.
    """
    folders = folders or Folders()
    if run.algorithm == "q-learning":
        return _train_q_learning(run, folders, progress)
    return _train_deep(run, folders, progress)


def obtain(run: TrainingRun, folders: Folders | None = None, *, retrain: bool = False, progress: bool = True) -> Trained:
    """Return the model that is there, or train it if `retrain`; say which.

    Raises:
        FileNotFoundError: There is no such model and it is not to be trained; the message has the command that makes it.
    """
    folders = folders or Folders()
    if retrain:
        return train(run, folders, progress=progress)
    path = run.model_path(folders)
    description = read_description(path)
    curve = folders.logs / run.model_name / "selection.csv"
    if not path.exists() or description is None:
        raise FileNotFoundError(f"{folders.shown(path)} is missing; make it with: {run.command()}")
    print(f"Using {folders.shown(path)}, trained {description['date']} with seed {description['seed']}.")
    saved = description["curve"] if not curve.exists() else pd.read_csv(curve)
    return Trained(load_policy(path, run.service), description, pd.DataFrame(saved))


class _Judge:
    """Judges a policy on selection days as it trains; keeps the curve."""

    def __init__(self, run: TrainingRun) -> None:
        workload = as_workload(run.pattern, run.service)
        names: list[str | Workload] = list(PATTERNS) if run.pattern == MIXED else [workload]
        seeds = day_seeds("selection", SELECTION_DAYS)
        self._days = np.vstack([as_workload(name, run.service).draw(seeds) for name in names])
        self._service = run.service
        self._started = time.perf_counter()
        self._judging = 0.0
        self.rows: list[dict[str, float]] = []
        self.best = -np.inf

    def judge(self, policy: Policy, steps: int) -> bool:
        """Add a point to the curve; return whether the policy is the best so far."""
        begun = time.perf_counter()
        mean_return = -float(roll_out(policy, self._days, self._service).bill.sum(axis=1).mean())
        seconds = begun - self._started - self._judging
        self._judging += time.perf_counter() - begun
        self.rows.append({"steps": steps, "seconds": round(seconds, 3), "mean_return": round(mean_return, 3)})
        if mean_return <= self.best:
            return False
        self.best = mean_return
        return True


def _train_q_learning(run: TrainingRun, folders: Folders, progress: bool) -> Trained:
    preset = run.preset
    assert isinstance(preset, QLearningPreset)
    rng = np.random.default_rng(run.seed)
    workload = as_workload(run.pattern, run.service)
    table = QTable.zeros(run.service)
    table.name = run.model_name
    judge = _Judge(run)
    judge.judge(table, 0)
    epsilon = preset.epsilon(preset.episodes)
    ends = np.unique(np.linspace(0, preset.episodes, EVALUATIONS + 1).astype(int)[1:])
    best = folders.best / run.model_name / "best_model.pkl"
    with tqdm(total=preset.episodes, desc=run.model_name, unit="day", disable=not progress) as bar:
        begin = 0
        for end in ends:
            for first in range(begin, end, 500):
                last = min(first + 500, end)
                days = workload.draw(random_training_seeds(rng, last - first))
                learn(table, days, epsilon[first:last], preset.rate_exponent, preset.discount, rng)
                bar.update(last - first)
            begin = end
            steps = int(end) * run.service.slots_per_episode
            save_q_table(table, folders.checkpoints / f"{run.model_name}_{steps}_steps.pkl")
            if judge.judge(table, steps):
                save_q_table(table, best)
    path = run.model_path(folders)
    save_q_table(table, path)
    return _finish(run, folders, table, judge, preset.episodes * run.service.slots_per_episode, Device("cpu", "a table"))


def _train_deep(run: TrainingRun, folders: Folders, progress: bool) -> Trained:
    preset = run.preset
    assert isinstance(preset, DeepPreset)
    one_thread()
    weights = count_weights(preset.widths, len(run.service.fleet_changes))
    device = choose_device(run.device, weights=weights, batch_size=preset.batch_size)
    try:
        return _learn(run, preset, folders, device, progress)
    except RuntimeError as error:
        if run.device != "auto" or device.name == "cpu" or not is_out_of_memory(error):
            raise
        print(f"{device.name} ran out of memory; starting again on the CPU.")
        return _learn(run, preset, folders, Device("cpu", f"{device.name} ran out of memory"), progress)


def _learn(run: TrainingRun, preset: DeepPreset, folders: Folders, device: Device, progress: bool) -> Trained:
    model = build_learner(run.algorithm, preset, run.pattern, run.service, seed=run.seed, device=device.name)
    log = folders.logs / run.model_name
    log.mkdir(parents=True, exist_ok=True)
    model.set_logger(configure(str(log), ["csv"]))
    judge = _Judge(run)
    policy = DeepPolicy(model.policy, run.service, run.model_name)
    judge.judge(policy, 0)
    keeper = _Keeper(run, folders, judge, policy, preset.timesteps // EVALUATIONS)
    with tqdm(total=preset.timesteps, desc=run.model_name, unit="slot", disable=not progress) as bar:
        model.learn(preset.timesteps, callback=[keeper, _Progress(bar)])
    if judge.rows[-1]["steps"] != model.num_timesteps:
        keeper.keep()
    save_learner(model, run.model_path(folders))
    return _finish(run, folders, policy, judge, model.num_timesteps, device)


def save_learner(model: BaseAlgorithm, path: Path) -> None:
    """Write a stable-baselines3 model atomically."""
    write_atomically(path, model.save)


class _Keeper(BaseCallback):
    """Keeps a checkpoint, and the best model, about every so many slots."""

    def __init__(self, run: TrainingRun, folders: Folders, judge: _Judge, policy: DeepPolicy, every: int) -> None:
        super().__init__()
        self._run = run
        self._folders = folders
        self._judge = judge
        self._policy = policy
        self._every = max(every, 1)
        self._next = self._every

    def _on_step(self) -> bool:
        if self.num_timesteps >= self._next:
            self.keep()
            self._next = self.num_timesteps - self.num_timesteps % self._every + self._every
        return True

    def keep(self) -> None:
        """Write a checkpoint; judge the model, and write it again if it is the best."""
        name = self._run.model_name
        save_learner(self.model, self._folders.checkpoints / f"{name}_{self.num_timesteps}_steps.zip")
        self.model.policy.set_training_mode(False)
        if self._judge.judge(self._policy, self.num_timesteps):
            save_learner(self.model, self._folders.best / name / "best_model.zip")


class _Progress(BaseCallback):
    """Moves a progress bar."""

    def __init__(self, bar: Any) -> None:
        super().__init__()
        self._bar = bar

    def _on_step(self) -> bool:
        self._bar.update(min(self.num_timesteps, self._bar.total) - self._bar.n)
        return True


def _finish(run: TrainingRun, folders: Folders, policy: Policy, judge: _Judge, steps: int, device: Device) -> Trained:
    """Write the learning curve and the model's description."""
    curve = pd.DataFrame(judge.rows)
    log = folders.logs / run.model_name / "selection.csv"
    write_atomically(log, lambda file: file.write(curve.to_csv(index=False).encode()))
    description = {
        "algorithm": run.algorithm,
        "pattern": run.pattern_name,
        "steps": steps,
        "seed": run.seed,
        "device": device.name,
        "preset": dataclasses.asdict(run.preset),
        "service": run.service.as_dict(),
        "command": run.command(),
        "date": datetime.now(UTC).date().isoformat(),
        "commit": _commit(),
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("numpy", "numba", "gymnasium", "stable-baselines3", "torch")},
        "curve": judge.rows,
    }
    save_description(run.model_path(folders), description)
    return Trained(policy, description, curve)


def _commit() -> str | None:
    """Return the commit of the checkout; `None` outside one."""
    try:
        command = ["git", "rev-parse", "--short", "HEAD"]
        return subprocess.run(command, cwd=project_root(), capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
