"""Where things lie. The only module that knows folders."""

from __future__ import annotations

from pathlib import Path


def project_root() -> Path:
    """Return the checkout that holds this package, or the working directory where the package is installed alone."""
    checkout = Path(__file__).resolve().parent.parent
    return checkout if (checkout / "pyproject.toml").exists() else Path.cwd()


class Folders:
    """The folders that a run writes to, below one root.

    Args:
        root: The project by default; quick runs and tests give a folder below `build/`.
    """

    def __init__(self, root: str | Path | None = None) -> None:
        self.root = Path(root).resolve() if root else project_root()
        self.models = self.root / "models"
        self.checkpoints = self.models / "checkpoints"
        self.best = self.models / "best"
        self.logs = self.root / "logs"
        self.figures = self.root / "figures"
        self.results = self.root / "results"
        self.executed = self.root / "notebooks" / "executed"
        self.html = self.root / "build" / "html"

    def shown(self, path: Path) -> str:
        """Return a path as a person reads it: relative to the root where it lies below."""
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)


def notebook_sources() -> Path:
    """Return the folder of the course's notebooks, as they are committed.

    Raises:
        FileNotFoundError: The package is installed without the course.
    """
    folder = project_root() / "notebooks"
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no notebooks here; run this in a checkout of the project")
    return folder
