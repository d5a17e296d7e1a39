"""Model files: written whole or not at all, read without running anything in them.

A Q-table is a pickle of plain values (`.pkl`), a network is what stable-baselines3 saves (`.zip`). The default loaders
of both run code that a file may carry. Here a pickle is read by an unpickler that knows no names, and of a zip only
the weights are read, by torch's `weights_only`, into a network that we built.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import tempfile
import zipfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from autoscaler_env.dynamics import OBSERVATION_NAMES
from autoscaler_env.policies.base import Policy
from autoscaler_env.policies.inputs import INPUTS, INPUTS_WITH_LEVELS
from autoscaler_env.policies.q_learning import Discretisation, QTable
from autoscaler_env.service import Service


def write_atomically(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Write a file so that a crash at any moment leaves the old one or the new one, whole.

    Args:
        path: The file; its folder is made if it is missing.
        write: Given an open file, writes the content.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_json(path: Path, content: Any) -> None:
    """Write plain values as JSON, atomically."""
    text = json.dumps(content, indent=2) + "\n"
    write_atomically(path, lambda file: file.write(text.encode()))


def save_q_table(table: QTable, path: Path) -> None:
    """Save a Q-table as a pickle that holds lists, strings and numbers only."""
    discretisation = table.discretisation
    content = {
        "values": table.values.tolist(),
        "headrooms": list(discretisation.headrooms),
        "changes": list(discretisation.changes),
        "levels": list(discretisation.levels),
    }
    write_atomically(path, lambda file: pickle.dump(content, file))


def save_description(model: Path, description: dict[str, Any]) -> None:
    """Write how a model was made beside it, with the hash of its file."""
    write_json(model.with_suffix(".json"), description | {"sha256": hashlib.sha256(model.read_bytes()).hexdigest()})


def read_description(model: Path) -> dict[str, Any] | None:
    """Return what stands beside a model about how it was made; `None` where nothing does."""
    path = model.with_suffix(".json")
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def load_policy(path: Path, service: Service | None = None) -> Policy:
    """Load a model file as a policy, running nothing that it holds.

    Args:
        path: A `.pkl` of a Q-table or a `.zip` of a DQN or PPO network.
        service: The service it will scale; the reference service by default.

    Returns:
        The policy, named as the file is.

    Raises:
        ValueError: The file is missing, is no model, or does not fit the service; the message names it and the reason.
    """
    service = service or Service()
    if not path.is_file():
        raise ValueError(f"{path}: no such model file")
    if path.suffix not in (".pkl", ".zip"):
        raise ValueError(f"{path}: not a model file; a Q-table is a .pkl, a DQN or PPO network a .zip")
    try:
        return _load_q_table(path, service) if path.suffix == ".pkl" else _load_network(path, service)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


class _PlainUnpickler(pickle.Unpickler):
    """Reads plain values; refuses every name, so nothing can be called."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it names {module}.{name}; a Q-table holds plain values only")

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it refers to an object outside; a Q-table holds plain values only")


def _load_q_table(path: Path, service: Service) -> QTable:
    try:
        content = _PlainUnpickler(io.BytesIO(path.read_bytes())).load()
        discretisation = Discretisation(*(tuple(content[name]) for name in ("headrooms", "changes", "levels")))
        values = np.array(content["values"], dtype=np.float64)
    except Exception as error:  # a broken pickle raises anything
        raise ValueError(f"not a Q-table: {_in_one_line(error)}") from None
    for name in ("headrooms", "changes", "levels"):
        edges = getattr(discretisation, name)
        numbers = all(isinstance(edge, int | float) and np.isfinite(edge) for edge in edges)
        if not numbers or any(low >= high for low, high in pairwise(edges)):
            raise ValueError(f"not a Q-table: {name} = {edges}: must be rising numbers")
    return QTable(values, service, discretisation, path.stem)


def _in_one_line(error: Exception) -> str:
    """Return the kind of an error and the first line of what it says."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def _load_network(path: Path, service: Service) -> Policy:
    # Imported here: whoever loads a table should not wait for torch.
    import torch

    from autoscaler_env.policies.deep import DeepPolicy, build_network

    try:
        with zipfile.ZipFile(path) as archive:
            weights = torch.load(io.BytesIO(archive.read("policy.pth")), map_location="cpu", weights_only=True)
    except Exception as error:  # a broken archive raises anything
        raise ValueError(f"not a model of stable-baselines3: {_in_one_line(error)}") from None
    if not isinstance(weights, dict) or not all(isinstance(key, str) for key in weights):
        raise ValueError("not a model of stable-baselines3: its weights have no names")
    algorithm = "dqn" if any(key.startswith("q_net.") for key in weights) else "ppo"
    body = "q_net.q_net." if algorithm == "dqn" else "mlp_extractor.policy_net."
    try:
        layers = [weights[key] for key in weights if key.startswith(body) and key.endswith(".weight")]
        head = layers.pop() if algorithm == "dqn" else weights["action_net.weight"]
        inputs, actions, widths = layers[0].shape[1], head.shape[0], [layer.shape[0] for layer in layers]
        network = build_network(algorithm, inputs, actions, widths)
        network.load_state_dict(weights)
    except (KeyError, IndexError, AttributeError, TypeError, RuntimeError) as error:
        raise ValueError(f"not a DQN or PPO network of plain layers: {str(error).splitlines()[0]}") from None
    if inputs not in (INPUTS, INPUTS_WITH_LEVELS, len(OBSERVATION_NAMES)):
        raise ValueError(
            f"it has {inputs} inputs; learners of this version have {INPUTS} or {INPUTS_WITH_LEVELS}, observations 7"
        )
    if actions != len(service.fleet_changes):
        raise ValueError(f"it chooses among {actions} actions; this service has {len(service.fleet_changes)}")
    if not all(torch.isfinite(tensor).all() for tensor in weights.values()):
        raise ValueError("its weights are not all finite")
    network.set_training_mode(False)
    return DeepPolicy(network, service, path.stem)
