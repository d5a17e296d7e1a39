"""The environment as DQN and PPO are trained in it."""

from __future__ import annotations

from typing import Any, cast

import gymnasium
import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnvWrapper

from autoscaler_env.envs.sb3 import AutoscalerVecEnv
from autoscaler_env.envs.vector import AutoscalerVectorEnv
from autoscaler_env.policies.inputs import Inputs
from autoscaler_env.policies.rules import TargetTracking


class LearnerVecEnv(VecEnvWrapper):
    """Show a learner its inputs, and pay it what it saves against a rule on the same days.

    The reward is the learner's minus that of target tracking, which scales a second batch of services through the very
    same days. What is subtracted depends on the arrivals but not on the learner's actions, so the best policy stays the
    best; but most of the luck of the day cancels, and what is left to learn from is the learner's own doing (an
    input-dependent baseline: Mao et al., "Variance reduction for reinforcement learning in input-driven environments",
    ICLR 2019).

    Args:
        services: The batch to train on.
        levels: Whether the inputs say where the level of traffic lies; see `Inputs`.
        rule: The rule; target tracking with its defaults if not given.
    """

    def __init__(self, services: AutoscalerVecEnv, levels: bool = False, rule: TargetTracking | None = None) -> None:
        batch = self._batch = services.batch
        self._inputs = Inputs(batch.service, levels)
        space = gymnasium.spaces.Box(-np.inf, np.inf, (self._inputs.count,), np.float32)
        super().__init__(services, observation_space=space)
        self._shadow = AutoscalerVectorEnv(services.num_envs, batch.workload, batch.service)
        self._rule = rule or TargetTracking(batch.service)
        self._shadow_sees = np.empty((services.num_envs, 7), dtype=np.float32)

    def reset(self) -> NDArray[np.float32]:
        """Start a day in every service."""
        observations = cast(NDArray[np.float32], self.venv.reset())
        self._shadow_sees = self._shadow.start_days(self._batch.arrivals)
        self._inputs.start()
        return self._inputs(observations)

    def step_wait(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Move the learner's services and the rule's by one step."""
        seen, rewards, truncated, infos = self.venv.step_wait()
        observations = cast(NDArray[np.float32], seen)
        self._shadow_sees, shadow_rewards, *_ = self._shadow.step(self._rule.predict(self._shadow_sees))
        if truncated[0]:
            self._shadow_sees = self._shadow.start_days(self._batch.arrivals)
            last = np.array([info["terminal_observation"] for info in infos])
            for info, inputs in zip(infos, self._inputs(last), strict=True):
                info["terminal_observation"] = inputs
            self._inputs.start()
        return self._inputs(observations), (rewards - shadow_rewards).astype(np.float32), truncated, infos

    def state(self) -> dict[str, Any]:
        """Return what this is between two steps, for `restore`: arrays, and what JSON holds."""
        return {
            "services": cast(AutoscalerVecEnv, self.venv).state(),
            "shadow": self._shadow.state(),
            "shadow_sees": self._shadow_sees.copy(),
            "inputs": self._inputs.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Become what another was when its `state` was asked; of equal size, pattern and service."""
        cast(AutoscalerVecEnv, self.venv).restore(state["services"])
        self._shadow.restore(state["shadow"])
        self._shadow_sees = state["shadow_sees"]
        self._inputs.restore(state["inputs"])
