"""The complete state of a deep learner at the start of a rollout, beyond what stable-baselines3 saves with a model.

A learner that is restored from it continues bit for bit as if it had never stopped: on the same machine, on the CPU
with one thread, and with the same versions of the libraries.
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

from autoscaler_env.storage.files import read_tree, write_tree
from autoscaler_env.training.learner_env import LearnerVecEnv

_COUNTERS = (
    "num_timesteps",
    "_n_updates",
    "_episode_num",
    "_current_progress_remaining",
    "_n_calls",
    "exploration_rate",
)
_OBSERVED = ("_last_obs", "_last_original_obs", "_last_episode_starts")
_REPLAYED = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")


def learner_state(model: BaseAlgorithm) -> dict[str, Any]:
    """Return the state of a learner and its services at the start of a rollout, without the replay buffer of DQN.

    Returns:
        Arrays and plain values, for `restore_learner` and, when nothing draws random numbers any more,
        `restore_generators`.
    """
    services, normaliser = _environment(model)
    state = {
        "counters": {name: getattr(model, name) for name in _COUNTERS if hasattr(model, name)},
        "observed": {name: getattr(model, name) for name in _OBSERVED},
        "episodes": list(model.ep_info_buffer or ()),
        "parameters": _mapped(torch.Tensor, lambda tensor: tensor.detach().cpu().numpy(), model.get_parameters()),
        "services": services.state(),
        "generators": _generators(model),
    }
    if normaliser is not None:
        spread = normaliser.ret_rms
        moments = {name: float(getattr(spread, name)) for name in ("mean", "var", "count")}
        state["normaliser"] = {"returns": normaliser.returns, "spread": moments}
    return state


def restore_learner(model: BaseAlgorithm, state: dict[str, Any]) -> None:
    """Give a new learner the state of another, apart from its random generators."""
    services, normaliser = _environment(model)
    for name, value in (state["counters"] | state["observed"]).items():
        setattr(model, name, value)
    model.ep_info_buffer = deque(state["episodes"], maxlen=model._stats_window_size)
    model.ep_success_buffer = deque(maxlen=model._stats_window_size)
    parameters = _mapped(np.ndarray, torch.from_numpy, state["parameters"])
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


def _mapped(kind: type, function: Callable[[Any], Any], tree: Any) -> Any:
    """Return nested dicts and lists with a function applied to every value of a type."""
    if isinstance(tree, dict):
        return {name: _mapped(kind, function, value) for name, value in tree.items()}
    if isinstance(tree, list):
        return [_mapped(kind, function, value) for value in tree]
    return function(tree) if isinstance(tree, kind) else tree


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
    """Restore the random generators that a learner draws from, those of Python, numpy and torch among them."""
    generators = state["generators"]
    version, internal, gauss = generators["python"]
    random.setstate((version, tuple(internal), gauss))
    np.random.set_state(tuple(generators["numpy"]))  # noqa: NPY002
    torch.set_rng_state(torch.from_numpy(generators["torch"]))
    model.action_space.np_random.bit_generator.state = generators["actions"]
    if model.device.type in generators:
        getattr(torch, model.device.type).set_rng_state(torch.from_numpy(generators[model.device.type]))


class ReplayParts:
    """A replay buffer in files. Each file holds the rows that were added since the file before; it never changes.

    A row is one step of all services. Saving costs the new rows only: a hundred thousand timesteps are 18 MB.

    Args:
        buffer: The buffer.
        folder: Where the files lie.
    """

    def __init__(self, buffer: ReplayBuffer, folder: Path) -> None:
        self._buffer = buffer
        self._folder = folder
        # First row, and the row after the last, counted from the start of the training.
        self._parts: list[tuple[int, int]] = []

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the files that hold the buffer."""
        return tuple(f"replay_{first}_{end}.npz" for first, end in self._parts)

    def write(self, rows: int) -> list[tuple[int, int]]:
        """Write the new rows; forget the files whose rows have all left the buffer.

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
            content = read_tree(self._folder / name, f"state/{name}")
            places = np.arange(first, end) % size
            for field in _REPLAYED:
                getattr(self._buffer, field)[places] = content[field]
        self._buffer.pos, self._buffer.full = rows % size, rows >= size
