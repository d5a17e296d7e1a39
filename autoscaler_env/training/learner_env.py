"""The environment in which DQN and PPO are trained."""

from __future__ import annotations

from typing import Any, cast

import gymnasium
import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnvWrapper

from autoscaler_env.envs.sb3 import AutoscalerVecEnv
from autoscaler_env.envs.vector import AutoscalerVectorEnv
from autoscaler_env.policies.decision_inputs import DecisionInputs
from autoscaler_env.policies.inputs import Inputs
from autoscaler_env.policies.rules import TargetTracking


class LearnerVecEnv(VecEnvWrapper):
    """Give a learner its inputs, and as reward what it saves against a rule on the same days.

    The reward is that of the learner minus that of target tracking, which scales a second batch of services through the
    same days. The subtracted reward depends on the arrivals but not on the learner's actions, so the best policy stays
    the best. But most of the luck of the day cancels, and the rest is the effect of the learner's own actions (an
    input-dependent baseline: Mao et al., "Variance reduction for reinforcement learning in input-driven environments",
    ICLR 2019).

    Args:
        services: The batch to train on.
        levels: Whether the usual inputs contain the recent level of the arrivals; see `Inputs`.
        rule: The rule; target tracking with its defaults if not given.
        paired: Whether the rule's reward is subtracted; without it the rule does not play, and the reward is that of
            the services alone.
        inputs: Whether the learner gets its usual inputs; without them it gets the seven observations as they are. Or
            other inputs, to be used in their place.
    """

    def __init__(
        self,
        services: AutoscalerVecEnv,
        levels: bool = False,
        rule: TargetTracking | None = None,
        paired: bool = True,
        inputs: bool | DecisionInputs = True,
    ) -> None:
        batch = self._batch = services.batch
        self._inputs = Inputs(batch.service, levels) if isinstance(inputs, bool) else inputs
        self._paired, self._with_inputs = paired, inputs is not False
        space = gymnasium.spaces.Box(-np.inf, np.inf, (self._inputs.count,), np.float32)
        super().__init__(services, observation_space=space if self._with_inputs else services.observation_space)
        self._rule_batch = AutoscalerVectorEnv(services.num_envs, batch.workload, batch.service)
        self._rule = rule or TargetTracking(batch.service)
        self._rule_observations = np.zeros((services.num_envs, 7), dtype=np.float32)
        self.observations = np.zeros((services.num_envs, 7), dtype=np.float32)
        """The present observations of the services, before they become inputs, shape (num_envs, 7)."""

    def reset(self) -> NDArray[np.float32]:
        """Start a day in every service."""
        self.observations = cast(NDArray[np.float32], self.venv.reset())
        if self._paired:
            self._rule_observations = self._rule_batch.start_days(self._batch.arrivals)
        self._inputs.start()
        return self._seen(self.observations)

    def _seen(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what the learner sees of observations."""
        return self._inputs(observations) if self._with_inputs else observations

    def step_wait(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Advance the services of the learner and of the rule by one step."""
        seen, rewards, truncated, infos = self.venv.step_wait()
        self.observations = cast(NDArray[np.float32], seen)
        if self._paired:
            rule_actions = self._rule.predict(self._rule_observations)
            self._rule_observations, rule_rewards, *_ = self._rule_batch.step(rule_actions)
            rewards = (rewards - rule_rewards).astype(np.float32)
        if truncated[0]:
            if self._paired:
                self._rule_observations = self._rule_batch.start_days(self._batch.arrivals)
            last = np.array([info["terminal_observation"] for info in infos])
            for info, inputs in zip(infos, self._seen(last), strict=True):
                info["terminal_observation"] = inputs
            self._inputs.start()
        return self._seen(self.observations), rewards, truncated, infos

    def state(self) -> dict[str, Any]:
        """Return the state between two steps, for `restore`: arrays, and values that JSON holds."""
        return {
            "services": cast(AutoscalerVecEnv, self.venv).state(),
            "rule_batch": self._rule_batch.state(),
            "rule_observations": self._rule_observations.copy(),
            "inputs": self._inputs.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Restore the state of another environment with the same size, pattern and service."""
        cast(AutoscalerVecEnv, self.venv).restore(state["services"])
        self._rule_batch.restore(state["rule_batch"])
        self._rule_observations = state["rule_observations"]
        self._inputs.restore(state["inputs"])
