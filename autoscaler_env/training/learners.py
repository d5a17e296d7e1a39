"""DQN and PPO as they are trained: stable-baselines3's own classes, in our environment, with a preset's settings."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

from stable_baselines3 import DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnvWrapper, VecNormalize

from autoscaler_env.policies.deep import count_weights
from autoscaler_env.policies.inputs import INPUTS, INPUTS_WITH_LEVELS
from autoscaler_env.policies.rules import TargetTracking
from autoscaler_env.envs.sb3 import AutoscalerVecEnv
from autoscaler_env.service import Service
from autoscaler_env.training.learner_env import LearnerVecEnv
from autoscaler_env.training.presets import DeepPreset

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
