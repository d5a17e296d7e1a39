"""Train DQN and PPO."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, cast

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure
from tqdm.auto import tqdm

from autoscaler_env.device import Device, choose_device, is_out_of_memory
from autoscaler_env.paths import Folders
from autoscaler_env.policies.deep import DeepPolicy, build_learner, count_weights, one_thread
from autoscaler_env.policies.inputs import INPUTS, INPUTS_WITH_LEVELS
from autoscaler_env.policies.presets import DeepPreset
from autoscaler_env.storage import write_atomically
from autoscaler_env.training.record import EVALUATIONS, Judge, finish
from autoscaler_env.training.run import Trained, TrainingRun

CHECKPOINT_SLOTS = 10_000
"""Slots between two checkpoints, at least."""


def train_deep(run: TrainingRun, folders: Folders, progress: bool) -> Trained:
    """Train DQN or PPO; see `train`."""
    preset = run.preset
    assert isinstance(preset, DeepPreset)
    one_thread()
    inputs = INPUTS_WITH_LEVELS if preset.levels else INPUTS
    weights = count_weights(preset.widths, len(run.service.fleet_changes), inputs)
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
    judge = Judge(run)
    policy = DeepPolicy(model.policy, run.service, run.model_name)
    judge.judge(policy, 0)
    keeper = _Keeper(run, folders, judge, policy, preset.timesteps)
    try:
        with tqdm(total=preset.timesteps, desc=run.model_name, unit="slot", disable=not progress) as bar:
            model.learn(preset.timesteps, callback=[keeper, _Progress(bar)])
        keeper.checkpoint()
        keeper.judge()
    finally:
        model.logger.close()
    save_learner(model, run.model_path(folders))
    return finish(run, folders, policy, judge, model.num_timesteps, device.name)


def save_learner(model: BaseAlgorithm, path: Path) -> None:
    """Write a stable-baselines3 model atomically."""
    write_atomically(path, lambda file: model.save(cast(io.BufferedIOBase, file)))


class _Keeper(BaseCallback):
    """Keeps checkpoints, about every 10,000 slots, and the best model, judged at about every tenth of the budget."""

    def __init__(self, run: TrainingRun, folders: Folders, judge: Judge, policy: DeepPolicy, budget: int) -> None:
        super().__init__()
        self._run = run
        self._folders = folders
        self._judge = judge
        self._policy = policy
        self._budget = budget
        self._every = max(budget // EVALUATIONS, 1)
        self._next = self._every
        self._next_checkpoint = CHECKPOINT_SLOTS

    def _on_step(self) -> bool:
        # From the budget on the end is near: the final model is kept after its last update, not before.
        if self._next_checkpoint <= self.num_timesteps < self._budget:
            self.checkpoint()
            self._next_checkpoint = next_multiple(self.num_timesteps, CHECKPOINT_SLOTS)
        if self._next <= self.num_timesteps < self._budget:
            self.judge()
            self._next = next_multiple(self.num_timesteps, self._every)
        return True

    def checkpoint(self) -> None:
        """Write a checkpoint; its name holds the true number of slots."""
        name = f"{self._run.model_name}_{self.num_timesteps}_steps.zip"
        save_learner(self.model, self._folders.checkpoints / name)

    def judge(self) -> None:
        """Judge the model on selection days; write it if it is the best so far."""
        self.model.policy.set_training_mode(False)
        if self._judge.judge(self._policy, self.num_timesteps):
            save_learner(self.model, self._folders.best / self._run.model_name / "best_model.zip")


def next_multiple(count: int, of: int) -> int:
    """Return the first multiple above a count."""
    return count - count % of + of


class _Progress(BaseCallback):
    """Moves a progress bar."""

    def __init__(self, bar: Any) -> None:
        super().__init__()
        self._bar = bar

    def _on_step(self) -> bool:
        self._bar.update(min(self.num_timesteps, self._bar.total) - self._bar.n)
        return True
