"""How a model was made: the `.json` beside it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from autoscaler_env.storage.reading import printable, read_file
from autoscaler_env.storage.files import write_json

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
"""What a description says, at least."""

MOST_BYTES = 2**20
"""Size of a description, at most."""


def save_description(model: Path, description: dict[str, Any]) -> None:
    """Write how a model was made beside it, with the hash of its file."""
    write_json(model.with_suffix(".json"), description | {"sha256": hashlib.sha256(model.read_bytes()).hexdigest()})


def read_description(model: Path) -> dict[str, Any] | None:
    """Return what stands beside a model about how it was made; `None` where nothing does.

    Raises:
        ValueError: Something stands there that is no description; one line names it and says why.
    """
    path = model.with_suffix(".json")
    if not path.exists() and not path.is_symlink():
        return None
    try:
        description = json.loads(read_file(path, MOST_BYTES))
        if not isinstance(description, dict):
            raise ValueError(f"it holds a {type(description).__name__}, not an object with names")
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{printable(path)}: not a description of a model: {printable(error)}") from None
    return description


def fits(description: dict[str, Any], sha256: str) -> bool:
    """Return whether a description is of the file with this hash, and not of an earlier one under its name."""
    return description.get("sha256") == sha256


def missing_fields(description: dict[str, Any]) -> list[str]:
    """Return which of `FIELDS` a description lacks."""
    return [name for name in FIELDS if name not in description]
