"""Where files lie: the outputs of a command, and the course's own files. The only module that knows folders."""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Sequence
from pathlib import Path

from autoscaler_env.text import shown

_PROJECT = "smart-autoscaler"
"""The project's name in its pyproject.toml."""

GIVEN_COURSE = ".autoscaler/course"
"""The folder of the notebooks and models as students got them, in a checkout that `autoscaler release` made."""

_CARRIED = "course_files"
"""The folder of an installed package with the course's files, laid out as in a checkout; setup.py puts them there."""


def output_root() -> Path:
    """Return the folder that outputs go to unless the user names one.

    It is the checkout of this project that contains the working directory, if there is one, and otherwise the working
    directory itself.
    """
    working = Path.cwd()
    return next((folder for folder in (working, *working.parents) if _is_checkout(folder)), working)


def project_root() -> Path:
    """Return the folder of the course's own files: its notebooks, reference models and committed results.

    It is the checkout that contains this package, else the one that contains the working directory, else the files that
    the installed package carries: read them, and write elsewhere.
    """
    package = Path(__file__).resolve().parent
    if _is_checkout(package.parent):
        return package.parent
    root, carried = output_root(), package / _CARRIED
    return carried if carried.is_dir() and not _is_checkout(root) else root


def checkout_root(purpose: str) -> Path:
    """Return the checkout with the course's own files, for what an installed package cannot do.

    Args:
        purpose: What needs it, such as the name of a command; the message begins with it.

    Raises:
        ValueError: There is no checkout.
    """
    root = project_root()
    if not _is_checkout(root):
        raise ValueError(f"{purpose}: needs a checkout of the course, and {root} is none")
    return root


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
        reads: Where models and results are looked for, in this order: `root` alone if it is named, otherwise also the
            course's own files.
    """

    def __init__(self, root: str | Path | None = None, reads: Sequence[Path] = ()) -> None:
        self.root = Path(root).resolve() if root else output_root()
        self.reads = tuple(reads) or ((self.root,) if root else tuple(dict.fromkeys((self.root, project_root()))))
        self.models = self.root / "models"
        self.checkpoints = self.models / "checkpoints"
        self.best = self.models / "best"
        self.logs = self.root / "logs"
        self.figures = self.root / "figures"
        self.results = self.root / "results"
        self.executed = self.root / "notebooks" / "executed"
        self.html = self.root / ("build/html" if _is_checkout(self.root) else "html")

    @classmethod
    def course(cls) -> Folders:
        """Return the folders of the course's own files, to read committed models and results; see `project_root`."""
        return cls(project_root())

    @classmethod
    def of_notebook(cls, output: str) -> Folders:
        """Return the folders of a notebook.

        Args:
            output: The folder of a whole run, which the notebook writes to and reads from. Empty for a notebook that
                a person opens: it reads the committed models and results and writes under `build/course`, so that no
                committed file changes.
        """
        if output:
            return cls(output)
        root = output_root() / "build" / "course"
        return cls(root, (project_root(), root))

    @property
    def own(self) -> Folders:
        """The folders of a reader's own models, apart from the reference models; git ignores them in a checkout."""
        return Folders(self.root / ("build/own" if _is_checkout(self.root) else "own"))

    @property
    def output_option(self) -> str:
        """What to append to a command so that it writes here: ` --output ROOT`, or nothing where it does by default."""
        return "" if self.root == output_root() else f" --output {shlex.quote(str(self.root))}"

    @property
    def model_folders(self) -> tuple[Path, ...]:
        """Where models are looked for, in this order."""
        return tuple(root / "models" for root in self.reads)

    def find(self, place: str) -> Path:
        """Return the file to read: the first that exists among `reads`, otherwise where it would be written.

        Args:
            place: The path below a root, such as `results/calibration.csv`.
        """
        return next((path for root in self.reads if (path := root / place).is_file()), self.root / place)

    def made(self, path: Path, command: str) -> Path:
        """Return the path of a file that a command makes.

        Args:
            path: The file.
            command: What makes it, for the message.

        Raises:
            FileNotFoundError: The file is missing; the message has the command.
        """
        if not path.exists():
            raise FileNotFoundError(f"{self.shown(path)} is missing; make it with: {command}")
        return path

    def shown(self, path: Path) -> str:
        """Return a path for people: relative to the first of the folders for reading, or the root, that contains it."""
        roots = [root for root in (*self.reads, self.root) if path.is_relative_to(root)]
        return shown(path, roots[0]) if roots else str(path)


def notebook_sources() -> Path:
    """Return the folder of the course's notebooks, as they are committed.

    Raises:
        FileNotFoundError: The package came without the course.
    """
    folder = project_root() / "notebooks"
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no notebooks here; run this in a checkout of the project")
    return folder
