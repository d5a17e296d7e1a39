"""Many services at once for stable-baselines3: `AutoscalerVectorEnv` with the VecEnv interface, in this process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from autoscaler_env.envs.vector import AutoscalerVectorEnv
from autoscaler_env.service import Service
from autoscaler_env.traffic.patterns import MIXED, Workload


class AutoscalerVecEnv(VecEnv):
    """A batch of services for stable-baselines3's learners.

    When a day ends, `infos[i]["terminal_observation"]` holds its true last observation,
    `infos[i]["TimeLimit.truncated"]` is true, so that learners bootstrap, and `infos[i]["episode"]` holds return and
    length as stable-baselines3's Monitor would have written them.

    Args:
        num_envs: How many services.
        pattern: A name from `PATTERNS`, `MIXED`, or a workload such as a `Trace`.
        service: Sizes and prices; the reference service by default.

    Example:
        >>> AutoscalerVecEnv(4, "STEADY").reset().shape
        (4, 7)
    """

    def __init__(self, num_envs: int, pattern: str | Workload = MIXED, service: Service | None = None) -> None:
        self.batch = AutoscalerVectorEnv(num_envs, pattern, service)
        self.render_mode = None
        super().__init__(num_envs, self.batch.single_observation_space, self.batch.single_action_space)
        self._actions = np.zeros(num_envs, dtype=np.int64)
        self._returns = np.zeros(num_envs)

    def reset(self) -> NDArray[np.float32]:
        """Start a day in every service; `seed(s)` beforehand makes the days reproducible."""
        observations, _ = self.batch.reset(seed=self._seeds[0])
        self._reset_seeds()
        self._reset_options()
        self._returns[:] = 0
        return observations

    def step_async(self, actions: NDArray[np.int64]) -> None:
        """Store the actions for `step_wait`."""
        self._actions = actions

    def step_wait(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Move every service by one step; when the day ends, the next one starts."""
        observations, rewards, _, truncated, batch_infos = self.batch.step(self._actions)
        self._returns += rewards
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        if truncated[0]:
            steps = self.batch.service.steps_per_episode
            for i, info in enumerate(infos):
                info["terminal_observation"] = batch_infos["final_obs"][i]
                info["TimeLimit.truncated"] = True
                info["episode"] = {"r": float(self._returns[i]), "l": steps}
            self._returns[:] = 0
        return observations, rewards.astype(np.float32), truncated, infos

    def state(self) -> dict[str, Any]:
        """Return the whole state between two steps, for `restore`: arrays, and values that JSON can hold."""
        return {"batch": self.batch.state(), "returns": self._returns.copy()}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned, of an environment of equal size, pattern and service."""
        self.batch.restore(state["batch"])
        self._returns = state["returns"]

    def close(self) -> None:
        """Do nothing: there are no processes to end."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Return an attribute of the batch, once for each service asked for."""
        return [getattr(self.batch, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Refuse: the services of a batch share their settings; make a new batch instead."""
        raise AttributeError(f"{attr_name}: the services of a batch cannot be changed; make a new AutoscalerVecEnv")

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        """Return the action masks of the services asked for; refuse any other method, since services have none.

        `action_masks` is what learners that never choose a refused action ask for, such as sb3-contrib's MaskablePPO.
        """
        if method_name == "action_masks":
            masks = self.batch.action_masks()
            return [masks[i] for i in self._get_indices(indices)]
        raise AttributeError(f"{method_name}: the services of a batch have no methods of their own")

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:
        """Return false for each service asked for: none is wrapped."""
        return [False for _ in self._get_indices(indices)]

    def get_images(self) -> Sequence[NDArray[np.uint8] | None]:
        """Return no images: a batch is not rendered."""
        return [None] * self.num_envs
