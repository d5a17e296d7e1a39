"""All that DQN or PPO is at the start of a rollout, beyond what stable-baselines3 saves with a model.

With it, and the same versions on the CPU with one thread, a learner goes on as if it had never stopped, bit for bit.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.vec_env import VecNormalize

from autoscaler_env.training.learner_env import LearnerVecEnv
from autoscaler_env.training.checkpoint import read_tree, write_tree

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

    A row is what all services did in one slot. Saving costs what is new, not what is there: a hundred thousand slots
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
