"""The files of Q-tables: pickles of plain values."""

from __future__ import annotations

import pickle
from itertools import pairwise
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.policies.q_learning import Discretisation, QTable
from autoscaler_env.service import Service
from autoscaler_env.storage.pickles import read_values
from autoscaler_env.storage.files import write_atomically

MOST_BYTES = 4 * 2**20
"""Size of a Q-table's file, at most: some 200,000 values. The course's have 405."""

_EDGES = ("headrooms", "changes", "levels")


def save_q_table(table: QTable, path: Path) -> None:
    """Save a Q-table as a pickle that holds lists, strings and numbers only.

    Beside values and discretisation it says how many slots the table was trained for, if it was trained here.
    """
    content: dict[str, Any] = {"values": table.values.tolist()}
    content |= {name: list(getattr(table.discretisation, name)) for name in _EDGES}
    if slots := int(table.visits.sum()):
        content["slots"] = slots
    write_atomically(path, lambda file: pickle.dump(content, file))


def parse_q_table(content: bytes, service: Service, name: str) -> tuple[QTable, int | None]:
    """Return the table in a file's content, and for how many slots it was trained, if it says so.

    Raises:
        ValueError: It is none, or does not fit the service.
    """
    try:
        values = read_values(content)
        if not isinstance(values, dict) or not {"values", *_EDGES} <= set(values) <= {"values", "slots", *_EDGES}:
            raise ValueError("it must hold values, headrooms, changes and levels")
        array = _array(values["values"])
        discretisation = Discretisation(*(_edges(each, values[each]) for each in _EDGES))
        slots = values.get("slots")
        if slots is not None and (type(slots) is not int or slots < 1):
            raise ValueError("slots must be an integer of at least 1")
    except ValueError as error:
        raise ValueError(f"not a Q-table: {error}") from None
    return QTable(array, service, discretisation, name), slots


def _array(rows: Any) -> NDArray[np.float64]:
    if type(rows) is not list or not rows or any(type(row) is not list for row in rows):
        raise ValueError("its values must be a list of rows")
    if len({len(row) for row in rows}) != 1:
        raise ValueError("its rows differ in length")
    if any(type(value) is not float for row in rows for value in row):
        raise ValueError("its values must be floating-point numbers")
    return np.array(rows, dtype=np.float64)


def _edges(name: str, edges: Any) -> tuple[float, ...]:
    numbers = type(edges) is list and all(type(edge) in (int, float) and isfinite(edge) for edge in edges)
    if not numbers or any(low >= high for low, high in pairwise(edges)):
        raise ValueError(f"{name} must be rising numbers")
    return tuple(edges)
