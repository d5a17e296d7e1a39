"""Model files: the description beside a model, the file of a Q-table, and the only loader of models."""

from __future__ import annotations

import contextlib
import hashlib
import json
import pickle
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.policies.base import Policy
from autoscaler_env.policies.q_learning import DecisionCells, Discretisation, QTable
from autoscaler_env.policies.recognise import Recogniser
from autoscaler_env.service import Service
from autoscaler_env.storage import networks
from autoscaler_env.storage.files import read_file, write_atomically, write_json
from autoscaler_env.storage.foreign import HEAD_BYTES, OTHER_ENDINGS, SAVE_TABLE, other_file, other_pickle
from autoscaler_env.storage.pickles import IN_DATA, names_in, read_values
from autoscaler_env.text import printable

FIELDS = (
    "algorithm",
    "preset",
    "pattern",
    "service",
    "budget",
    "seed",
    "versions",
    "commit",
    "date",
    "evaluation",
    "sha256",
)
"""Fields that every description has."""

LARGEST_DESCRIPTION = 2**20
"""Largest size of a description, in bytes."""


def save_description(model: Path, description: dict[str, Any]) -> None:
    """Write the description of a model beside it, with the hash of the model's file."""
    write_json(model.with_suffix(".json"), description | {"sha256": hashlib.sha256(model.read_bytes()).hexdigest()})


def read_description(model: str | Path) -> dict[str, Any] | None:
    """Return the description of a model, from the `.json` beside it; `None` if there is none.

    Raises:
        ValueError: The file is no description; one line names the file and the reason.
    """
    model = Path(model)
    path = model.with_suffix(".json")
    if not path.exists() and not path.is_symlink():
        return None
    try:
        description = json.loads(read_file(path, LARGEST_DESCRIPTION))
        if not isinstance(description, dict):
            raise ValueError(f"it holds a {type(description).__name__}, not an object with names")
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{printable(path)}: not a description of a model: {printable(error)}") from None
    return description


def fits(description: dict[str, Any], sha256: str) -> bool:
    """Return whether a description belongs to the file with this hash, and not to an older file of the same name."""
    return description.get("sha256") == sha256


def is_described(model: Path) -> bool:
    """Return whether the description beside a model belongs to it.

    Raises:
        ValueError: The file beside it is no description.
    """
    return fits(read_description(model) or {}, hashlib.sha256(model.read_bytes()).hexdigest())


def missing_fields(description: dict[str, Any]) -> list[str]:
    """Return the names in `FIELDS` that a description lacks."""
    return [name for name in FIELDS if name not in description]


LARGEST_TABLE = 4 * 2**20
"""Largest size of a Q-table's file, in bytes: some 200,000 values. The course's tables have 405."""

_EDGES = ("spare_capacities", "changes", "levels")
_DECISION_EDGES = ("spare_capacities", "expected_spares")


def save_q_table(table: QTable, path: str | Path) -> None:
    """Save a Q-table as a pickle of lists, strings and numbers.

    The file holds the values, the discretisation (a recogniser of patterns is part of it in a table over what a
    decision needs) and, if the table was trained, the number of timesteps.
    """
    content: dict[str, Any] = {"values": table.values.tolist()}
    cells = table.discretisation
    edges = _DECISION_EDGES if isinstance(cells, DecisionCells) else _EDGES
    content |= {name: list(getattr(cells, name)) for name in edges}
    if isinstance(cells, DecisionCells):
        content["recogniser"] = [[array.tolist() for array in arrays] for arrays in cells.recogniser.state()]
    if timesteps := int(table.visits.sum()):
        content["timesteps"] = timesteps
    write_atomically(Path(path), lambda file: pickle.dump(content, file))


def parse_q_table(content: bytes, service: Service, name: str) -> tuple[QTable, int | None]:
    """Return the table in a file's content, and its number of training timesteps if the file holds it.

    Raises:
        ValueError: The content is no Q-table, or the table does not fit the service.
    """
    try:
        values = read_values(content)
        names = set(values) - {"timesteps"} if isinstance(values, dict) else set()
        discretisation: Discretisation | DecisionCells
        if names == {"values", *_EDGES}:
            discretisation = Discretisation(*(_edges(name, values[name]) for name in _EDGES))
        elif names == {"values", "recogniser", *_DECISION_EDGES}:
            edges = (_edges(name, values[name]) for name in _DECISION_EDGES)
            discretisation = DecisionCells(_recogniser(values["recogniser"]), *edges)
        else:
            raise ValueError(f"it must hold values, spare_capacities, changes and levels: {SAVE_TABLE}")
        array = _array(values["values"])
        timesteps = values.get("timesteps")
        if timesteps is not None and (type(timesteps) is not int or timesteps < 1):
            raise ValueError("timesteps must be an integer of at least 1")
    except ValueError as error:
        raise ValueError(f"not a Q-table: {_other_pickle(content) or error}") from None
    return QTable(array, service, discretisation, name), timesteps


def _other_pickle(content: bytes) -> str | None:
    """Return what a pickle that is no Q-table holds; `None` if that is not known."""
    with contextlib.suppress(ValueError):
        return other_pickle(names_in(content), IN_DATA)
    return None


def _array(rows: Any) -> NDArray[np.float64]:
    if type(rows) is not list or not rows or any(type(row) is not list for row in rows):
        raise ValueError("its values must be a list of rows")
    if len({len(row) for row in rows}) != 1:
        raise ValueError("its rows differ in length")
    if any(type(value) is not float for row in rows for value in row):
        raise ValueError("its values must be floating-point numbers")
    return np.array(rows, dtype=np.float64)


def _recogniser(lists: Any) -> Recogniser:
    """Return the recogniser whose weights and biases these lists hold, a matrix and a row for each layer."""
    if type(lists) is not list or [type(each) for each in lists] != [list, list]:
        raise ValueError("its recogniser must be a list of weights and one of biases")
    weights = tuple(_array(rows).astype(np.float32) for rows in lists[0])
    biases = tuple(_array([row])[0].astype(np.float32) for row in lists[1])
    if len(weights) != len(biases) or not weights:
        raise ValueError("its recogniser must have as many layers of biases as of weights, at least one")
    if not all(np.isfinite(array).all() for array in (*weights, *biases)):
        raise ValueError("its recogniser must have finite numbers only")
    try:
        return networks.checked_recogniser(weights, biases)
    except ValueError as error:
        raise ValueError(f"its recogniser: {error}") from None


def _edges(name: str, edges: Any) -> tuple[float, ...]:
    numbers = type(edges) is list and all(type(edge) in (int, float) and isfinite(edge) for edge in edges)
    if not numbers or any(low >= high for low, high in pairwise(edges)):
        raise ValueError(f"{name} must be rising numbers")
    return tuple(edges)


@dataclass(frozen=True)
class ModelFile:
    """The content of a model file."""

    policy: Policy
    kind: str
    """Kind of model, such as `PPO 20-64-64-3`: inputs, units of the hidden layers, actions."""
    timesteps: int | None
    """Number of training timesteps in the file; `None` if there is none."""
    sha256: str
    """The hash of the file."""
    notes: tuple[str, ...] = ()
    """Further remarks about the file, a sentence each."""


def load_policy(path: str | Path, service: Service | None = None) -> Policy:
    """Load a model file as a policy, without running any code in it.

    Args:
        path: A `.pkl` of a Q-table or a `.zip` of a DQN or PPO network; no link.
        service: The service to scale; the reference service by default.

    Returns:
        The policy, with the name of the file.

    Raises:
        ValueError: The file is missing, is no model, or does not fit the service; one line names it and the reason.
    """
    return read_model(Path(path), service).policy


def read_model(path: Path, service: Service | None = None) -> ModelFile:
    """Load a model file as `load_policy` does; return its kind and its number of training timesteps too.

    Raises:
        ValueError: As for `load_policy`.
    """
    service = service or Service()
    try:
        ending = path.suffix.lower()
        if ending not in (".pkl", ".zip", *OTHER_ENDINGS):
            raise ValueError("not a model file; a Q-table is a .pkl, a DQN or PPO network a .zip")
        most = networks.MOST_BYTES if ending == ".zip" else LARGEST_TABLE
        other = ending in OTHER_ENDINGS
        content = read_file(path, HEAD_BYTES if other else most, head=other)
        if not content:
            raise ValueError("not a model file: it is empty")
        if line := other_file(content, path.name):
            raise ValueError(line)
        return _parse(content, path, service)
    except ValueError as error:
        raise ValueError(f"{printable(path)}: {printable(error)}") from None
    except RecursionError:
        raise ValueError(f"{printable(path)}: not a model file: it is nested too deeply") from None


def _parse(content: bytes, path: Path, service: Service) -> ModelFile:
    name, sha256 = printable(path.stem), hashlib.sha256(content).hexdigest()
    if path.suffix.lower() == ".pkl":
        table, timesteps = parse_q_table(content, service, name)
        cells, actions = table.values.shape
        return ModelFile(table, f"Q-table of {cells} cells x {actions} actions", timesteps, sha256)
    network = networks.parse_network(content, service, name)
    learner = "policy iteration" if network.algorithm == "policy-iteration" else network.algorithm.upper()
    kind = f"{learner} {'-'.join(map(str, network.sizes))}"
    return ModelFile(network.policy, kind, network.timesteps, sha256, network.notes)
