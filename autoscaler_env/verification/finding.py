"""Find the model files below a folder, without following links."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from autoscaler_env.policies.registry import MODEL_ENDINGS
from autoscaler_env.verification.verdicts import Place

MOST_FILES = 10_000
"""Model files that are looked for below a folder; from there on one line says that there are more."""

_PLACES: dict[str, Place] = {"best": "best", "checkpoints": "checkpoint"}


class Found(NamedTuple):
    """What may be a model file."""

    path: Path
    place: Place
    problem: str | None = None
    """Why it is not even looked into; `None` if it is."""


def model_files(folder: Path) -> list[Path]:
    """Return the model files of a folder: final models, `best/`, then `checkpoints/` by their steps."""
    return [found.path for found in find(folder) if found.problem is None]


def find(folder: Path) -> list[Found]:
    """Return what may be a model file below a folder, or below its folder `models` if it has one.

    Hidden files, such as killed writers leave them, are none. A folder that is a link or cannot be opened is named.
    """
    inner = folder / "models"
    if inner.is_symlink():
        return [Found(inner, "other", "a link; links are not followed, name the folder itself")]
    models = inner if inner.is_dir() else folder
    found: list[Found] = []
    waiting = [models]
    while waiting:
        here = waiting.pop()
        try:
            entries = sorted(os.scandir(here), key=lambda entry: entry.name)
        except OSError as error:
            found.append(Found(here, "other", f"a folder that cannot be opened: {error.strerror or error}"))
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            path = here / entry.name
            if path.suffix in MODEL_ENDINGS:
                found.append(Found(path, _place(path, models)))
            elif entry.is_symlink() and path.is_dir():
                found.append(Found(path, "other", "a link to a folder; links are not followed"))
            elif entry.is_dir(follow_symlinks=False):
                waiting.append(path)
        if len(found) > MOST_FILES:
            del found[MOST_FILES:]
            found.append(Found(here, "other", f"more than {MOST_FILES:,} model files; the rest was not looked at"))
            break
    return sorted(found, key=lambda each: _order(each, models))


def _place(path: Path, models: Path) -> Place:
    first, *rest = path.relative_to(models).parts
    return _PLACES.get(first, "other") if rest else "final"


def _order(found: Found, models: Path) -> tuple[int, str, int, str]:
    """Order by place, then by model, then by steps as numbers."""
    places = ("final", "best", "checkpoint", "other")
    path = found.path
    match = re.fullmatch(r"(.*)_(\d{1,15})_steps", path.stem)
    name, steps = (match[1], int(match[2])) if match else (path.stem, 0)
    below = str(path.parent.relative_to(models)) if path.is_relative_to(models) and path != models else ""
    return places.index(found.place), below + "/" + name, steps, path.name


def owner_of(path: Path, place: Place) -> Path:
    """Return the final model that a checkpoint or a best version belongs to, or the file itself."""
    if place == "checkpoint":
        return path.parent.parent / (re.sub(r"_\d+_steps$", "", path.stem) + path.suffix)
    if place == "best" and path.parent.parent.name == "best":
        return path.parent.parent.parent / f"{path.parent.name}{path.suffix}"
    return path
