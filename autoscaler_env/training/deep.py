"""Train DQN and PPO.

DQN and PPO as they are trained: stable-baselines3's own classes, in our environment, with a preset's settings.

All that DQN or PPO is at the start of a rollout, beyond what stable-baselines3 saves with a model.

With it, and the same versions on the CPU with one thread, a learner goes on as if it had never stopped, bit for bit.
"""

from __future__ import annotations

import functools
import operator
import random
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import CSVOutputFormat, Logger, configure
from stable_baselines3.common.vec_env import VecEnvWrapper, VecNormalize
from tqdm.auto import tqdm

from autoscaler_env.device import Device, choose_device, is_out_of_memory
from autoscaler_env.envs.sb3 import AutoscalerVecEnv
from autoscaler_env.paths import Folders
from autoscaler_env.policies.deep import DeepPolicy, count_weights, one_thread
from autoscaler_env.policies.inputs import INPUTS, INPUTS_WITH_LEVELS
from autoscaler_env.policies.rules import TargetTracking
from autoscaler_env.service import Service
from autoscaler_env.storage.networks import save_learner
from autoscaler_env.training.checkpoint import (
    EVALUATIONS,
    Interruption,
    Judge,
    Unfinished,
    clear,
    describe,
    finish,
    read_tree,
    write_tree,
)
from autoscaler_env.training.config import DeepPreset, Trained, TrainingConfig
from autoscaler_env.training.imitation import imitate, rule_to_beat, teachers
from autoscaler_env.training.learner_env import LearnerVecEnv

_CLASSES: dict[str, Callable[..., BaseAlgorithm]] = {"dqn": DQN, "ppo": PPO}


def falling(learning_rate: float) -> Callable[[float], float]:
    """Return a schedule, as stable-baselines3 has it, that falls linearly to 0.

    No lambda: saved with a model, that would carry the path of this file.
    """
    schedule = functools.partial(operator.mul, learning_rate)
    vars(schedule)  # stable-baselines3 looks at it when it saves, and from then on it would be pickled otherwise
    return schedule


def build_learner(
    algorithm: str,
    preset: DeepPreset,
    pattern: Any,
    service: Service,
    *,
    seed: int,
    device: str,
    rule: TargetTracking | None = None,
) -> BaseAlgorithm:
    """Return an untrained learner in its environment.

    Args:
        algorithm: `dqn` or `ppo`.
        preset: How it is trained.
        pattern: What it is trained on: a pattern's name or a workload.
        service: The service to scale.
        seed: Seeds the network, the exploration and the days.
        device: `cpu`, `cuda` or `mps`.
        rule: What its rewards are measured against; see `LearnerVecEnv`.
    """
    services = AutoscalerVecEnv(preset.environments, pattern, service)
    env: VecEnvWrapper = LearnerVecEnv(services, preset.levels, rule)
    if preset.normalise_reward:
        env = VecNormalize(env, norm_obs=False, gamma=preset.discount, clip_reward=100.0)
    return _CLASSES[algorithm](
        "MlpPolicy",
        env,
        learning_rate=falling(preset.learning_rate),
        batch_size=preset.batch_size,
        gamma=preset.discount,
        seed=seed,
        device=device,
        policy_kwargs={"net_arch": list(preset.widths)},
        **preset.settings,
    )


def weights_of_preset(preset: DeepPreset, service: Service) -> int:
    """Return how many weights one network of a preset has: `device.choose_device` goes by them."""
    inputs = INPUTS_WITH_LEVELS if preset.levels else INPUTS
    return count_weights(preset.widths, len(service.fleet_changes), inputs)


_COUNTERS = (
    "num_timesteps",
    "_n_updates",
    "_episode_num",
    "_current_progress_remaining",
    "_n_calls",
    "exploration_rate",
)
_SEEN = ("_last_obs", "_last_original_obs", "_last_episode_starts")
_REPLAYED = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")


def learner_state(model: BaseAlgorithm) -> dict[str, Any]:
    """Return what a learner and its services are at the start of a rollout, the replay buffer of DQN aside.

    Returns:
        Arrays and plain values, for `restore_learner` and, when nothing draws any more, `restore_generators`.
    """
    services, normaliser = _environment(model)
    state = {
        "counters": {name: getattr(model, name) for name in _COUNTERS if hasattr(model, name)},
        "seen": {name: getattr(model, name) for name in _SEEN},
        "episodes": list(model.ep_info_buffer or ()),
        "parameters": _each(torch.Tensor, lambda tensor: tensor.detach().cpu().numpy(), model.get_parameters()),
        "services": services.state(),
        "generators": _generators(model),
    }
    if normaliser is not None:
        spread = normaliser.ret_rms
        moments = {name: float(getattr(spread, name)) for name in ("mean", "var", "count")}
        state["normaliser"] = {"returns": normaliser.returns, "spread": moments}
    return state


def restore_learner(model: BaseAlgorithm, state: dict[str, Any]) -> None:
    """Make a new learner what another was when `learner_state` was asked, its generators aside."""
    services, normaliser = _environment(model)
    for name, value in (state["counters"] | state["seen"]).items():
        setattr(model, name, value)
    model.ep_info_buffer = deque(state["episodes"], maxlen=model._stats_window_size)
    model.ep_success_buffer = deque(maxlen=model._stats_window_size)
    parameters = _each(np.ndarray, torch.from_numpy, state["parameters"])
    optimizer = parameters["policy.optimizer"]
    # JSON has neither numbers as names nor tuples.
    optimizer["state"] = {int(index): moments for index, moments in optimizer["state"].items()}
    for group in optimizer["param_groups"]:
        group["betas"] = tuple(group["betas"])
    model.set_parameters(parameters, device=model.device)
    services.restore(state["services"])
    if normaliser is not None:
        normaliser.returns = state["normaliser"]["returns"]
        for name, moment in state["normaliser"]["spread"].items():
            setattr(normaliser.ret_rms, name, np.float64(moment))


def _environment(model: BaseAlgorithm) -> tuple[LearnerVecEnv, VecNormalize | None]:
    env = model.get_env()
    if isinstance(env, VecNormalize):
        return cast(LearnerVecEnv, env.venv), env
    return cast(LearnerVecEnv, env), None


def _each(kind: type, change: Callable[[Any], Any], tree: Any) -> Any:
    """Return nested dicts and lists with every value of a kind changed."""
    if isinstance(tree, dict):
        return {name: _each(kind, change, value) for name, value in tree.items()}
    if isinstance(tree, list):
        return [_each(kind, change, value) for value in tree]
    return change(tree) if isinstance(tree, kind) else tree


def _generators(model: BaseAlgorithm) -> dict[str, Any]:
    kind, keys, *position = np.random.get_state(legacy=True)  # noqa: NPY002 - stable-baselines3 draws from it
    state = {
        "python": random.getstate(),
        "numpy": [kind, keys, *position],
        "torch": torch.get_rng_state().numpy(),
        "actions": model.action_space.np_random.bit_generator.state,
    }
    if model.device.type != "cpu":
        state[model.device.type] = getattr(torch, model.device.type).get_rng_state().cpu().numpy()
    return state


def restore_generators(model: BaseAlgorithm, state: dict[str, Any]) -> None:
    """Put the generators that a learner draws from, Python's, numpy's and torch's among them, where they were."""
    generators = state["generators"]
    version, internal, gauss = generators["python"]
    random.setstate((version, tuple(internal), gauss))
    np.random.set_state(tuple(generators["numpy"]))  # noqa: NPY002
    torch.set_rng_state(torch.from_numpy(generators["torch"]))
    model.action_space.np_random.bit_generator.state = generators["actions"]
    if model.device.type in generators:
        getattr(torch, model.device.type).set_rng_state(torch.from_numpy(generators[model.device.type]))


class ReplayParts:
    """A replay buffer in files, each of which holds the rows added since the one before and is never changed.

    A row is what all services did in one step. Saving costs what is new, not what is there: a hundred thousand timesteps
    are 18 MB.

    Args:
        buffer: The buffer.
        folder: Where the files lie.
    """

    def __init__(self, buffer: ReplayBuffer, folder: Path) -> None:
        self._buffer = buffer
        self._folder = folder
        self._parts: list[
            tuple[int, int]
        ] = []  # first row and the row after the last, counted since the training began

    @property
    def names(self) -> tuple[str, ...]:
        """The files that hold the buffer."""
        return tuple(f"replay_{first}_{end}.npz" for first, end in self._parts)

    def write(self, rows: int) -> list[tuple[int, int]]:
        """Write what has been added; forget the parts of which nothing is in the buffer any more.

        Args:
            rows: Rows added since the training began.

        Returns:
            The parts, for `read`.
        """
        oldest = max(rows - self._buffer.buffer_size, 0)
        first = max(self._parts[-1][1] if self._parts else 0, oldest)
        self._parts = [part for part in self._parts if part[1] > oldest]
        if first < rows:
            self._parts.append((first, rows))
            places = np.arange(first, rows) % self._buffer.buffer_size
            write_tree(self._folder / self.names[-1], {name: getattr(self._buffer, name)[places] for name in _REPLAYED})
        return self._parts

    def read(self, rows: int, parts: list[list[int]]) -> None:
        """Fill the buffer from its files.

        Args:
            rows: Rows added since the training began.
            parts: What `write` returned.

        Raises:
            ValueError: A file is damaged or missing.
        """
        size = self._buffer.buffer_size
        self._parts = [(first, end) for first, end in parts]
        for (first, end), name in zip(self._parts, self.names, strict=True):
            held = read_tree(self._folder / name, f"state/{name}")
            places = np.arange(first, end) % size
            for field in _REPLAYED:
                getattr(self._buffer, field)[places] = held[field]
        self._buffer.pos, self._buffer.full = rows % size, rows >= size


CHECKPOINT_TIMESTEPS = 10_000
"""Timesteps between two checkpoints, and between two saved states, at least."""


def train_deep(run: TrainingConfig, folders: Folders, progress: bool, saved: dict[str, Any] | None = None) -> Trained:
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
    run: TrainingConfig,
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
                total=preset.timesteps, initial=done, desc=run.model_name, unit="timestep", disable=not progress
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
    """Return stable-baselines3's own log, `progress.csv`, with its rows up to `done` timesteps kept."""
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
    """Keeps checkpoints and states, about every 10,000 timesteps, and the best model, judged at about every tenth."""

    def __init__(
        self,
        run: TrainingConfig,
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
        self._every = max(run.timesteps // EVALUATIONS, 1)
        self._next = {"judgement": self._every, "checkpoint": CHECKPOINT_TIMESTEPS, "state": 0}
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
        if self._next["judgement"] <= self.num_timesteps < self._run.timesteps:
            self.judge()
        if self._next["checkpoint"] <= self.num_timesteps < self._run.timesteps:
            self.checkpoint()
            self._next["checkpoint"] = next_multiple(self.num_timesteps, CHECKPOINT_TIMESTEPS)
        return True

    def checkpoint(self) -> None:
        """Write a checkpoint; its name holds the true number of timesteps."""
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
        timesteps = self._learner.num_timesteps
        self._next["state"] = next_multiple(timesteps, CHECKPOINT_TIMESTEPS)
        state = {
            "timesteps": timesteps,
            "of": self._run.timesteps,
            "device": self._learner.device.type,
            "learner": learner_state(self._learner),
            "judge": self.judged.state(),
            "next": self._next,
        }
        if self._replay is None:
            self._unfinished.save(state)
            return
        state["replay"] = self._replay.write(timesteps // self._learner.n_envs)
        self._unfinished.save(state, self._replay.names)

    def restore(self, saved: dict[str, Any]) -> None:
        """Become what was saved; the generators follow when the rollout starts."""
        restore_learner(self._learner, saved["learner"])
        self.judged.restore(saved["judge"], self._run.best_path(self._folders))
        self._next = saved["next"]
        if self._replay is not None:
            self._replay.read(saved["timesteps"] // self._learner.n_envs, saved["replay"])
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
