"""Train DQN and PPO: stable-baselines3's own classes, in our environment, with a preset's settings."""

from __future__ import annotations

import dataclasses
import functools
import operator
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from stable_baselines3 import DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import CSVOutputFormat, Logger, configure
from stable_baselines3.common.vec_env import VecEnvWrapper, VecNormalize
from tqdm.auto import tqdm

from autoscaler_env.device import Device, choose_device, is_out_of_memory
from autoscaler_env.envs.sb3 import AutoscalerVecEnv
from autoscaler_env.policies.decision_inputs import DECISION_INPUTS, DecisionInputs, fit_recogniser_of_outlooks
from autoscaler_env.policies.deep import DeepPolicy, count_weights
from autoscaler_env.policies.inputs import INPUTS, INPUTS_WITH_LEVELS
from autoscaler_env.policies.recognise import Recogniser
from autoscaler_env.policies.rules import TargetTracking
from autoscaler_env.service import Service
from autoscaler_env.storage.networks import load_weights, save_learner
from autoscaler_env.threads import one_thread
from autoscaler_env.traffic.patterns import Workload
from autoscaler_env.training.checkpoint import (
    EVALUATIONS,
    Interruption,
    RunFolder,
    SelectionEvaluator,
    Trained,
)
from autoscaler_env.training.imitation import Teacher, calibrated_rules, imitate, play_rules, rule_to_beat
from autoscaler_env.training.learner_env import LearnerVecEnv
from autoscaler_env.training.learner_state import ReplayParts, learner_state, restore_generators, restore_learner
from autoscaler_env.training.presets import DECISION, DeepPreset

CHECKPOINT_TIMESTEPS = 10_000
"""Timesteps between two checkpoints, and between two saved states, at least."""

WARM_EPSILON = 0.1
"""Share of random actions with which DQN begins after a warm start or after imitation, instead of 1."""

_CLASSES: dict[str, Callable[..., BaseAlgorithm]] = {"dqn": DQN, "ppo": PPO}


def train_deep(run: RunFolder, progress: bool, state: dict[str, Any] | None = None) -> Trained:
    """Train DQN or PPO, from the start or from a saved state; see `train`."""
    config = run.config
    preset = config.preset
    assert isinstance(preset, DeepPreset)
    one_thread()
    begun = time.process_time() - (state["cpu_seconds"] if state is not None else 0.0)
    # A resumed training stays on the device that `auto` chose when it began.
    requested = state["device"] if state is not None and config.device == "auto" else config.device
    weights = weights_of_preset(preset, config.service)
    device = choose_device(requested, weights=weights, batch_size=preset.batch_size)
    recogniser = Recogniser.from_state(state["recogniser"]) if state is not None and "recogniser" in state else None
    if preset.inputs == DECISION and recogniser is None:
        recogniser = fit_recogniser_of_outlooks(config.service, config.seed, preset.recogniser_days)
    try:
        return _train_on(device, run, preset, progress, state, recogniser, begun)
    except RuntimeError as error:
        if config.device != "auto" or device.name == "cpu" or not is_out_of_memory(error):
            raise
        print(f"{device.name} ran out of memory; starting again on the CPU.")
        cpu = Device("cpu", f"{device.name} ran out of memory")
        return _train_on(cpu, run, preset, progress, None, recogniser, begun)


def _train_on(
    device: Device,
    run: RunFolder,
    preset: DeepPreset,
    progress: bool,
    state: dict[str, Any] | None,
    recogniser: Recogniser | None,
    begun: float,
) -> Trained:
    config = run.config
    rules = calibrated_rules(config.pattern, config.service) if preset.imitation_days else []
    if config.start is not None and config.algorithm == "dqn":
        preset = dataclasses.replace(preset, settings=preset.settings | {"exploration_initial_eps": WARM_EPSILON})
    model = build_learner(
        config.algorithm,
        preset,
        config.pattern,
        config.service,
        seed=config.seed,
        device=device.name,
        rule=rule_to_beat(rules),
        recogniser=recogniser,
    )
    policy = DeepPolicy(model.policy, config.service, config.model_name, recogniser)
    teacher = None
    if isinstance(model, DQN) and rules and config.start is None:  # a resumed training needs what the rules played too
        teacher = Teacher(model, play_rules(rules, preset, config.seed, recogniser), preset)
    with Interruption() as interruption:
        callback = CheckpointCallback(run, model, policy, interruption, begun, recogniser)
        if state is None:
            run.start()
            if config.start is not None:
                load_weights(model, config.start.path)
            callback.evaluator.evaluate(policy, 0)
            if rules and (config.start is None or config.algorithm == "ppo"):
                if teacher is not None:
                    teacher.begin()
                else:
                    imitate(cast(PPO, model), rules, preset, config.seed, recogniser)
                callback.evaluate()
        else:
            callback.restore(state)
        done = model.num_timesteps
        model.set_logger(open_log(run.logs, done))
        try:
            with tqdm(
                total=preset.timesteps, initial=done, desc=config.model_name, unit="timestep", disable=not progress
            ) as bar:
                callbacks = [callback, _ProgressCallback(bar), *([teacher] if teacher is not None else [])]
                model.learn(preset.timesteps - done, callbacks, reset_num_timesteps=False)
            callback.evaluate()
            callback.save_checkpoint()
        finally:
            model.logger.close()
    counted = None
    if recogniser is not None:
        simulated = config.simulated_timesteps(model.num_timesteps)
        counted = {"simulated": simulated, "cpu_seconds": time.process_time() - begun}
    return run.finish(policy, callback.save_model, model.num_timesteps, callback.evaluator, device.name, counted)


def build_learner(
    algorithm: str,
    preset: DeepPreset,
    pattern: str | Workload,
    service: Service,
    *,
    seed: int,
    device: str,
    rule: TargetTracking | None = None,
    recogniser: Recogniser | None = None,
) -> BaseAlgorithm:
    """Return an untrained learner in its environment.

    Args:
        algorithm: `dqn` or `ppo`.
        preset: Its settings.
        pattern: What it is trained on: a pattern's name or a workload.
        service: The service to scale.
        seed: Seeds the network, the exploration and the days.
        device: `cpu`, `cuda` or `mps`.
        rule: The rule that its rewards are measured against; see `LearnerVecEnv`.
        recogniser: The recogniser of patterns, if it sees the inputs that a decision needs; `None` for others.
    """
    services = AutoscalerVecEnv(preset.environments, pattern, service)
    inputs = True if recogniser is None else DecisionInputs(service, recogniser)
    env: VecEnvWrapper = LearnerVecEnv(services, preset.levels, rule, inputs=inputs)
    if preset.normalise_reward:
        env = VecNormalize(env, norm_obs=False, gamma=preset.discount, clip_reward=100.0)
    warm = {"exploration_initial_eps": WARM_EPSILON} if algorithm == "dqn" and preset.imitation_days else {}
    return _CLASSES[algorithm](
        "MlpPolicy",
        env,
        learning_rate=falling(preset.learning_rate),
        batch_size=preset.batch_size,
        gamma=preset.discount,
        seed=seed,
        device=device,
        policy_kwargs={"net_arch": list(preset.widths)},
        **preset.settings | warm,
    )


def falling(learning_rate: float) -> Callable[[float], float]:
    """Return a schedule for stable-baselines3 that falls linearly to 0.

    It is no lambda: saved with a model, a lambda would contain the path of this file.
    """
    schedule = functools.partial(operator.mul, learning_rate)
    vars(schedule)  # stable-baselines3 does this when it saves, and the pickle is another from then on
    return schedule


def weights_of_preset(preset: DeepPreset, service: Service) -> int:
    """Return the number of weights of one network of a preset, for `device.choose_device`."""
    usual = INPUTS_WITH_LEVELS if preset.levels else INPUTS
    inputs = DECISION_INPUTS if preset.inputs == DECISION else usual
    return count_weights(preset.widths, len(service.fleet_changes), inputs)


def open_log(folder: Path, done: int) -> Logger:
    """Return a logger that writes stable-baselines3's own `progress.csv`, after its rows up to `done` timesteps."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "progress.csv"
    rows = [line.split(",") for line in path.read_text().splitlines()] if done and path.exists() else []
    logger = configure(str(folder), ["csv"])
    if rows and "time/total_timesteps" in rows[0]:
        log = cast(CSVOutputFormat, logger.output_formats[0])
        log.keys = rows[0]
        column = rows[0].index("time/total_timesteps")
        whole = [row for row in rows[1:] if len(row) == len(rows[0])]  # a kill may have left half a row
        earlier = [rows[0], *(row for row in whole if int(row[column]) <= done)]
        log.file.writelines(",".join(row) + "\n" for row in earlier)
    return logger


class CheckpointCallback(BaseCallback):
    """Saves checkpoints and states about every 10,000 timesteps, and evaluates the model about ten times.

    Args:
        run: The files of the training.
        model: The learner.
        policy: The learner as a policy.
        interruption: Whether the training should stop.
        begun: Processor seconds of this process at the training's begin, less those before it was resumed.
        recogniser: The recogniser that some of its inputs come from, if there is one.
    """

    def __init__(
        self,
        run: RunFolder,
        model: BaseAlgorithm,
        policy: DeepPolicy,
        interruption: Interruption,
        begun: float,
        recogniser: Recogniser | None = None,
    ) -> None:
        super().__init__()
        self.evaluator = SelectionEvaluator(run.config)
        self._run = run
        self._learner = model
        self._policy = policy
        self._interruption = interruption
        self._begun, self._recogniser = begun, recogniser
        self._replay = None
        if isinstance(model, DQN):
            assert model.replay_buffer is not None
            self._replay = ReplayParts(model.replay_buffer, run.state_folder)
        self._total = run.config.total_timesteps
        self._interval = max(self._total // EVALUATIONS, 1)
        self._next = {"evaluation": self._interval, "checkpoint": CHECKPOINT_TIMESTEPS, "state": 0}
        self._restored: dict[str, Any] | None = None

    def _on_rollout_start(self) -> None:
        # Between two rollouts the learner's state is complete: nothing is half collected.
        if self._restored is not None:
            restore_generators(self.model, self._restored["learner"])  # here, where nothing draws before the rollout
            self._restored = None
        if self._interruption.requested:
            self.save_state()
            raise KeyboardInterrupt
        if self.model.num_timesteps >= self._next["state"]:
            self.save_state()

    def _on_step(self) -> bool:
        # In the last rollout nothing is saved: the final model is saved after its last update.
        if self._next["evaluation"] <= self.num_timesteps < self._total:
            self.evaluate()
        if self._next["checkpoint"] <= self.num_timesteps < self._total:
            self.save_checkpoint()
            self._next["checkpoint"] = next_multiple(self.num_timesteps, CHECKPOINT_TIMESTEPS)
        return True

    def save_model(self, path: Path) -> None:
        """Write the model."""
        save_learner(self._learner, path, self._recogniser)

    def save_checkpoint(self) -> None:
        """Write a checkpoint; its name holds the true number of timesteps."""
        timesteps, device = self._learner.num_timesteps, self._learner.device.type
        self._run.save_checkpoint(self.save_model, timesteps, self.evaluator, device)

    def evaluate(self) -> None:
        """Evaluate the model on selection days; save it if it is the best so far."""
        timesteps, device = self._learner.num_timesteps, self._learner.device.type
        self._next["evaluation"] = next_multiple(timesteps, self._interval)
        self._learner.policy.set_training_mode(False)
        if self.evaluator.evaluate(self._policy, timesteps):
            self._run.save_best(self.save_model, timesteps, self.evaluator, device)

    def save_state(self) -> None:
        """Save the complete state of the training, at the start of a rollout."""
        timesteps = self._learner.num_timesteps
        self._next["state"] = next_multiple(timesteps, CHECKPOINT_TIMESTEPS)
        state = {
            "timesteps": timesteps,
            "of": self._total,
            "device": self._learner.device.type,
            "cpu_seconds": time.process_time() - self._begun,
            "learner": learner_state(self._learner),
            "evaluator": self.evaluator.state(),
            "next": self._next,
        }
        if self._recogniser is not None:
            state["recogniser"] = self._recogniser.state()
        if self._replay is None:
            self._run.save_state(state)
            return
        state["replay"] = self._replay.write(timesteps // self._learner.n_envs)
        self._run.save_state(state, self._replay.names)

    def restore(self, state: dict[str, Any]) -> None:
        """Restore a saved state; the random generators follow when the rollout starts."""
        restore_learner(self._learner, state["learner"])
        self.evaluator.restore(state["evaluator"], self._run.best)
        self._next = state["next"]
        if self._replay is not None:
            self._replay.read(state["timesteps"] // self._learner.n_envs, state["replay"])
        self._restored = state


def next_multiple(count: int, factor: int) -> int:
    """Return the first multiple of a factor above a count."""
    return count - count % factor + factor


class _ProgressCallback(BaseCallback):
    """Moves a progress bar."""

    def __init__(self, bar: Any) -> None:
        super().__init__()
        self._bar = bar

    def _on_step(self) -> bool:
        self._bar.update(min(self.num_timesteps, self._bar.total) - self._bar.n)
        return True
