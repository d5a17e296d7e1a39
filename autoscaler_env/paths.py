"""Where files lie: the outputs of a command, and the course's own files. The only module that knows folders."""

from __future__ import annotations

import tomllib
from pathlib import Path

from autoscaler_env.text import shown

_PROJECT = "smart-autoscaler"
"""The project's name in its pyproject.toml."""


def output_root() -> Path:
    """Return the folder that outputs go to unless the user names one.

    It is the checkout of this project that contains the working directory, if there is one, and otherwise the working
    directory itself.
    """
    working = Path.cwd()
    return next((folder for folder in (working, *working.parents) if _is_checkout(folder)), working)


def project_root() -> Path:
    """Return the folder of the course's own files: its notebooks, reference models and committed results.

    It is the checkout that contains this package, or `output_root()` if the package is installed without a checkout.
    """
    checkout = Path(__file__).resolve().parent.parent
    return checkout if _is_checkout(checkout) else output_root()


def _is_checkout(folder: Path) -> bool:
    """Return whether a folder is a checkout of this project."""
    try:
        content = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    project = content.get("project")
    return isinstance(project, dict) and project.get("name") == _PROJECT


class Folders:
    """The folders that commands write to and read from, below one root.

    Args:
        root: `output_root()` by default.
    """

    def __init__(self, root: str | Path | None = None) -> None:
        self.root = Path(root).resolve() if root else output_root()
        self.models = self.root / "models"
        self.model_folders = (self.models,) if root else tuple(dict.fromkeys((self.models, project_root() / "models")))
        """Where models are looked for: here and, if no root was named, among the course's reference models."""
        self.checkpoints = self.models / "checkpoints"
        self.best = self.models / "best"
        self.logs = self.root / "logs"
        self.figures = self.root / "figures"
        self.results = self.root / "results"
        self.executed = self.root / "notebooks" / "executed"
        self.html = self.root / "build" / "html"

    @classmethod
    def course(cls) -> Folders:
        """Return the folders of the course's own files, to read committed models and results; see `project_root`."""
        return cls(project_root())

    def shown(self, path: Path) -> str:
        """Return a path for people: relative to the root if it lies below the root."""
        return shown(path, self.root)


def notebook_sources() -> Path:
    """Return the folder of the course's notebooks, as they are committed.

    Raises:
        FileNotFoundError: The package is installed without the course.
    """
    folder = project_root() / "notebooks"
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no notebooks here; run this in a checkout of the project")
    return folder
