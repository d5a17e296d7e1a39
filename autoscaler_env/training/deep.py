"""Train DQN and PPO."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from stable_baselines3 import DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import CSVOutputFormat, Logger, configure
from tqdm.auto import tqdm

from autoscaler_env.device import Device, choose_device, is_out_of_memory
from autoscaler_env.paths import Folders
from autoscaler_env.policies.deep import DeepPolicy, one_thread
from autoscaler_env.training.deep_state import ReplayParts, learner_state, restore_generators, restore_learner
from autoscaler_env.training.imitation import imitate, rule_to_beat, teachers
from autoscaler_env.training.interruption import Interruption
from autoscaler_env.training.learners import build_learner, weights_of_preset
from autoscaler_env.training.model_file import save_learner
from autoscaler_env.training.presets import DeepPreset
from autoscaler_env.training.record import EVALUATIONS, Judge, describe, finish
from autoscaler_env.training.config import Trained, TrainingRun
from autoscaler_env.training.checkpoint import Unfinished, clear

CHECKPOINT_SLOTS = 10_000
"""Slots between two checkpoints, and between two saved states, at least."""


def train_deep(run: TrainingRun, folders: Folders, progress: bool, saved: dict[str, Any] | None = None) -> Trained:
    """Train DQN or PPO, from the start or from a saved state; see `train`."""
    preset = run.preset
    assert isinstance(preset, DeepPreset)
    one_thread()
    # What `auto` chose when the run began stays chosen.
    wanted = saved["device"] if saved is not None and run.device == "auto" else run.device
    device = choose_device(wanted, weights=weights_of_preset(preset, run.service), batch_size=preset.batch_size)
    try:
        return _learn(run, preset, folders, device, progress, saved)
    except RuntimeError as error:
        if run.device != "auto" or device.name == "cpu" or not is_out_of_memory(error):
            raise
        print(f"{device.name} ran out of memory; starting again on the CPU.")
        return _learn(run, preset, folders, Device("cpu", f"{device.name} ran out of memory"), progress, None)


def _learn(
    run: TrainingRun,
    preset: DeepPreset,
    folders: Folders,
    device: Device,
    progress: bool,
    saved: dict[str, Any] | None,
) -> Trained:
    taught = teachers(run.pattern, run.service) if preset.imitation_days else []
    model = build_learner(
        run.algorithm,
        preset,
        run.pattern,
        run.service,
        seed=run.seed,
        device=device.name,
        rule=rule_to_beat(taught),
    )
    policy = DeepPolicy(model.policy, run.service, run.model_name)
    unfinished = Unfinished(run, folders)
    with Interruption() as interruption:
        keeper = _Keeper(run, folders, model, policy, unfinished, interruption)
        if saved is None:
            clear(run, folders)
            keeper.judge_untrained()
            if taught:
                imitate(cast(PPO, model), taught, preset, run.seed)
                keeper.judge()
        else:
            keeper.restore(saved)
        done = model.num_timesteps
        model.set_logger(open_log(folders.logs / run.model_name, done))
        try:
            with tqdm(
                total=preset.timesteps, initial=done, desc=run.model_name, unit="slot", disable=not progress
            ) as bar:
                model.learn(preset.timesteps - done, [keeper, _Progress(bar)], reset_num_timesteps=False)
            keeper.judge()
            keeper.checkpoint()
        finally:
            model.logger.close()
    save_learner(model, run.model_path(folders))
    trained = finish(run, folders, policy, keeper.judged, model.num_timesteps, device.name)
    unfinished.remove()
    return trained


def open_log(folder: Path, done: int) -> Logger:
    """Return stable-baselines3's own log, `progress.csv`, with its rows up to `done` slots kept."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "progress.csv"
    rows = [line.split(",") for line in path.read_text().splitlines()] if done and path.exists() else []
    logger = configure(str(folder), ["csv"])
    if rows and "time/total_timesteps" in rows[0]:
        log = cast(CSVOutputFormat, logger.output_formats[0])
        log.keys = rows[0]
        column = rows[0].index("time/total_timesteps")
        whole = [row for row in rows[1:] if len(row) == len(rows[0])]  # a kill may have left half a row
        kept = [rows[0], *(row for row in whole if int(row[column]) <= done)]
        log.file.writelines(",".join(row) + "\n" for row in kept)
    return logger


class _Keeper(BaseCallback):
    """Keeps checkpoints and states, about every 10,000 slots, and the best model, judged at about every tenth."""

    def __init__(
        self,
        run: TrainingRun,
        folders: Folders,
        model: BaseAlgorithm,
        policy: DeepPolicy,
        unfinished: Unfinished,
        interruption: Interruption,
    ) -> None:
        super().__init__()
        self.judged = Judge(run)
        self._run = run
        self._folders = folders
        self._learner = model
        self._policy = policy
        self._unfinished = unfinished
        self._interruption = interruption
        self._replay = None
        if isinstance(model, DQN):
            assert model.replay_buffer is not None
            self._replay = ReplayParts(model.replay_buffer, unfinished.folder)
        self._every = max(run.slots // EVALUATIONS, 1)
        self._next = {"judgement": self._every, "checkpoint": CHECKPOINT_SLOTS, "state": 0}
        self._saved: dict[str, Any] | None = None

    def _on_rollout_start(self) -> None:
        # Between two rollouts a learner is all in its state: nothing is half collected.
        if self._saved is not None:
            restore_generators(self.model, self._saved["learner"])  # here, where nothing draws before the rollout does
            self._saved = None
        if self._interruption.asked:
            self.save()
            raise KeyboardInterrupt
        if self.model.num_timesteps >= self._next["state"]:
            self.save()

    def _on_step(self) -> bool:
        # From the budget on the end is near: the final model is kept after its last update, not before.
        if self._next["judgement"] <= self.num_timesteps < self._run.slots:
            self.judge()
        if self._next["checkpoint"] <= self.num_timesteps < self._run.slots:
            self.checkpoint()
            self._next["checkpoint"] = next_multiple(self.num_timesteps, CHECKPOINT_SLOTS)
        return True

    def checkpoint(self) -> None:
        """Write a checkpoint; its name holds the true number of slots."""
        self._keep(self._run.checkpoint_path(self._folders, self._learner.num_timesteps))

    def judge_untrained(self) -> None:
        """Begin the curve."""
        self.judged.judge(self._policy, 0)

    def judge(self) -> None:
        """Judge the model on selection days; write it if it is the best so far."""
        self._next["judgement"] = next_multiple(self._learner.num_timesteps, self._every)
        self._learner.policy.set_training_mode(False)
        if self.judged.judge(self._policy, self._learner.num_timesteps):
            self._keep(self._run.best_path(self._folders))

    def _keep(self, path: Path) -> None:
        save_learner(self._learner, path)
        describe(path, self._run, self.judged, self._learner.num_timesteps, self._learner.device.type)

    def save(self) -> None:
        """Save all that the run is, at the start of a rollout."""
        steps = self._learner.num_timesteps
        self._next["state"] = next_multiple(steps, CHECKPOINT_SLOTS)
        state = {
            "steps": steps,
            "of": self._run.slots,
            "device": self._learner.device.type,
            "learner": learner_state(self._learner),
            "judge": self.judged.state(),
            "next": self._next,
        }
        if self._replay is None:
            self._unfinished.save(state)
            return
        state["replay"] = self._replay.write(steps // self._learner.n_envs)
        self._unfinished.save(state, self._replay.names)

    def restore(self, saved: dict[str, Any]) -> None:
        """Become what was saved; the generators follow when the rollout starts."""
        restore_learner(self._learner, saved["learner"])
        self.judged.restore(saved["judge"], self._run.best_path(self._folders))
        self._next = saved["next"]
        if self._replay is not None:
            self._replay.read(saved["steps"] // self._learner.n_envs, saved["replay"])
        self._saved = saved


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
