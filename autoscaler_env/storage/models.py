"""From a path to a policy: the only loader of model files."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from autoscaler_env.policies.base import Policy
from autoscaler_env.service import Service
from autoscaler_env.storage import networks, tables
from autoscaler_env.storage.reading import printable, read_file


@dataclass(frozen=True)
class ModelFile:
    """What was read from a model file."""

    policy: Policy
    kind: str
    """What it is, as in `PPO 20-64-64-3`: inputs, units of the hidden layers, actions."""
    slots: int | None
    """Slots it was trained for, as the file says; `None` if it does not."""
    sha256: str
    """The hash of the file."""
    notes: tuple[str, ...] = ()
    """What else should be known about it, a sentence each."""


def load_policy(path: Path, service: Service | None = None) -> Policy:
    """Load a model file as a policy, running nothing that it holds.

    Args:
        path: A `.pkl` of a Q-table or a `.zip` of a DQN or PPO network; no link.
        service: The service it will scale; the reference service by default.

    Returns:
        The policy, named as the file is.

    Raises:
        ValueError: The file is missing, is no model, or does not fit the service; the message names it and the reason.
    """
    return read_model(path, service).policy


def read_model(path: Path, service: Service | None = None) -> ModelFile:
    """Load a model file as `load_policy` does; return what it is and how long it was trained too."""
    service = service or Service()
    try:
        if path.suffix not in (".pkl", ".zip"):
            raise ValueError("not a model file; a Q-table is a .pkl, a DQN or PPO network a .zip")
        most = tables.MOST_BYTES if path.suffix == ".pkl" else networks.MOST_BYTES
        content = read_file(path, most)
        if not content:
            raise ValueError("not a model file: it is empty")
        return _parse(content, path, service)
    except ValueError as error:
        raise ValueError(f"{printable(path)}: {printable(error)}") from None
    except RecursionError:
        raise ValueError(f"{printable(path)}: not a model file: it is nested too deeply") from None


def _parse(content: bytes, path: Path, service: Service) -> ModelFile:
    name, sha256 = printable(path.stem), hashlib.sha256(content).hexdigest()
    if path.suffix == ".pkl":
        table, slots = tables.parse_q_table(content, service, name)
        cells, actions = table.values.shape
        return ModelFile(table, f"Q-table of {cells} cells x {actions} actions", slots, sha256)
    network = networks.parse_network(content, service, name)
    kind = f"{network.algorithm.upper()} {'-'.join(map(str, network.sizes))}"
    return ModelFile(network.policy, kind, network.slots, sha256, network.notes)
