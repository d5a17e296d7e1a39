"""Copy the notebooks and models of a submission: a folder or a zip that may contain anything.

Only notebooks and model files are copied, as plain files and under names that `_target` accepts. Links, pipes, paths
that lead out of the submission and files beyond the limits are left out, with a note.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from autoscaler_env.grading.sandbox import MEGABYTE
from autoscaler_env.policies.registry import MODEL_ENDINGS
from autoscaler_env.text import one_line, printable

MAX_FILES = 2_000
"""Entries of a folder or zip that are read."""

MAX_NOTEBOOK_MB = 10
"""A larger notebook is left out. Only outputs make a notebook so large, and they do not count."""

MAX_MODEL_MB = 50
"""A larger model is left out; the course's own have less than one megabyte."""

_NAME = re.compile(r"[\w][\w.+ -]{0,99}")
_CHUNK = 64 * 1024

_Entry = tuple[PurePosixPath, int, Callable[[], BinaryIO]]
"""A plain file: its path in the submission, its stated size in bytes, and a function that opens it."""


@dataclass(frozen=True)
class Submission:
    """The work of one student."""

    name: str
    """The name of the folder or zip, without ending."""
    source: Path
    """The folder or zip."""
    folder: Path
    """The copy, with `notebooks/` and `models/`."""
    notes: tuple[str, ...]
    """What was left out and why, one line each."""

    @property
    def files(self) -> dict[str, Path]:
        """The copied files, by their paths in the copy."""
        paths = sorted(path for path in self.folder.rglob("*") if path.is_file())
        return {path.relative_to(self.folder).as_posix(): path for path in paths}

    @property
    def fingerprint(self) -> str:
        """A hash of the names and contents of all copied files."""
        digest = hashlib.sha256()
        for name, path in self.files.items():
            content = path.read_bytes()
            digest.update(f"{len(name)} {name} {len(content)} ".encode())
            digest.update(content)
        return digest.hexdigest()


def copy_submission(source: Path, folder: Path) -> Submission:
    """Copy the notebooks and models of a submission.

    Args:
        source: A folder or a zip. It contains `notebooks/` and `models/`, or one folder that contains them.
        folder: An empty folder for the copy.

    Raises:
        ValueError: The source is neither folder nor zip, or cannot be read.
    """
    notes: list[str] = []
    entries = _folder_entries(source, notes) if source.is_dir() else _zip_entries(source, notes)
    try:
        for count, (path, size, opener) in enumerate(entries):
            if count == MAX_FILES:
                notes.append(f"it contains more than {MAX_FILES:,} files; the rest was not read")
                break
            if target := _target(path):
                problem = _copy(opener, size, folder / target)
                notes += [f"{_quoted(path)} {problem}; it was left out"] if problem else []
    except (OSError, zipfile.BadZipFile, NotImplementedError) as error:
        raise ValueError(f"submission = {_quoted(source)}: {printable(one_line(error))}") from None
    name = source.resolve().name
    return Submission(name[:-4] if name.lower().endswith(".zip") else name, source, folder, tuple(notes))


def _folder_entries(source: Path, notes: list[str]) -> Iterator[_Entry]:
    for parent, folders, files in os.walk(source):  # it does not follow links to folders
        descend = len(Path(parent).relative_to(source).parts) < 2  # deeper files are never copied
        folders[:] = sorted(name for name in folders if descend and not name.startswith("."))
        for name in sorted(files):
            path = Path(parent, name)
            relative = PurePosixPath(path.relative_to(source).as_posix())
            state = path.lstat()
            if stat.S_ISREG(state.st_mode):
                yield relative, state.st_size, lambda path=path: _open(path)  # type: ignore[misc]
            elif _target(relative):
                notes.append(f"{_quoted(relative)} is not a plain file; it was left out")


def _open(path: Path) -> BinaryIO:
    """Open a plain file; refuse another kind of file that has replaced it since."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    file = os.fdopen(os.open(path, flags), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(f"{path.name} is not a plain file")
    return file


def _zip_entries(source: Path, notes: list[str]) -> Iterator[_Entry]:
    if not source.is_file() or not zipfile.is_zipfile(source):
        raise ValueError(f"submission = {_quoted(source)}: must be a folder or a zip")
    with zipfile.ZipFile(source) as archive:
        for entry in archive.infolist():
            path = PurePosixPath(entry.filename.replace("\\", "/"))
            kind = stat.S_IFMT(entry.external_attr >> 16)
            if path.is_absolute() or ".." in path.parts or ":" in entry.filename:
                notes.append(f"{_quoted(path)} leads out of the zip; it was left out")
            elif kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                notes.append(f"{_quoted(path)} is not a plain file; it was left out")
            elif not entry.is_dir():
                yield path, entry.file_size, lambda entry=entry: archive.open(entry)  # type: ignore[misc]


def _target(path: PurePosixPath) -> PurePosixPath | None:
    """Return the path in the copy, `notebooks/NAME.ipynb` or `models/NAME`; `None` for a file that is not copied."""
    *folders, name = path.parts
    if not _NAME.fullmatch(name) or len(folders) > 2 or "__MACOSX" in folders:
        return None
    if name.endswith(".ipynb") and (len(folders) < 2 or folders[-1] == "notebooks"):
        return PurePosixPath("notebooks", name)
    if name.endswith((*MODEL_ENDINGS, ".json")) and folders and folders[-1] == "models":
        return PurePosixPath("models", name)
    return None


def _copy(opener: Callable[[], BinaryIO], size: int, target: Path) -> str | None:
    """Copy a file and return the problem with it, or `None`. The stated size is not trusted."""
    limit_mb = MAX_NOTEBOOK_MB if target.suffix == ".ipynb" else MAX_MODEL_MB
    left = limit_mb * MEGABYTE
    too_large = f"is larger than {limit_mb} MB"
    if target.exists():
        return "exists twice"
    if size > left:
        return too_large
    target.parent.mkdir(exist_ok=True)
    try:
        with opener() as source, target.open("xb") as file:
            while chunk := source.read(_CHUNK):
                left -= len(chunk)
                if left < 0:
                    raise ValueError(too_large)
                file.write(chunk)
    except Exception as error:  # a zip may have anything: a wrong checksum, a password, an unknown compression
        target.unlink(missing_ok=True)
        return str(error) if isinstance(error, ValueError) else f"cannot be read ({printable(one_line(error), 80)})"
    return None


def _quoted(path: Path | PurePosixPath) -> str:
    return repr(printable(one_line(path), 120))
