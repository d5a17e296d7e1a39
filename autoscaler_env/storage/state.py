"""Files of a training's state: arrays and plain values in one `.npz`, which is read without running anything in it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from autoscaler_env.storage.files import write_atomically
from autoscaler_env.text import one_line


def write_tree(path: Path, tree: dict[str, Any]) -> None:
    """Write nested dicts of arrays and plain values as one `.npz`: one member per array, and the rest as JSON.

    Raises:
        TypeError: A value is neither an array of numbers nor a value that JSON holds.
        OSError: The disk is full, or the folder cannot be written; an older file is unchanged.
    """
    arrays: list[np.ndarray] = []

    def reference(value: Any) -> dict[str, int]:
        if not isinstance(value, np.ndarray) or value.dtype.hasobject:
            raise TypeError(f"{type(value).__name__}: a state holds arrays of numbers and values that JSON holds")
        arrays.append(value)
        return {"array": len(arrays) - 1}

    text = np.frombuffer(json.dumps(tree, default=reference).encode(), dtype=np.uint8)
    write_atomically(path, lambda file: np.savez(file, *arrays, text=text))


def read_tree(path: Path, shown: str) -> dict[str, Any]:
    """Read what `write_tree` wrote; tuples come back as lists.

    Args:
        path: The file.
        shown: The file's name in messages.

    Raises:
        ValueError: The file is missing or damaged.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:

            def restored(value: dict[str, Any]) -> Any:
                return archive[f"arr_{value['array']}"] if value.keys() == {"array"} else value

            tree: dict[str, Any] = json.loads(archive["text"].tobytes(), object_hook=restored)
            return tree
    except FileNotFoundError:
        raise ValueError(f"{shown} is missing; give --overwrite to start again") from None
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{shown} is damaged: {one_line(error)}; give --overwrite to start again") from None
