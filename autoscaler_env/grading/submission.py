"""Take in what was handed in: a folder or a zip, of any origin, nothing trusted.

Only notebooks and model files are taken, copied as plain files under names that we chose to accept. Links, pipes, names
that lead elsewhere and files beyond the limits are left where they are, and said.

Find the wall to grade behind: the strongest that works on this machine.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from autoscaler_env.grading.notebooks import one_line
from autoscaler_env.grading.sandbox import MEGABYTE, NO_WALL, Limits, Wall, place_for_kernel
from autoscaler_env.policies.registry import MODEL_ENDINGS

MOST_FILES = 2_000
"""Entries of a folder or zip that are looked at."""

MOST_NOTEBOOK_MB = 10
"""A notebook beyond this is left out: outputs make it large, and they are not looked at."""

MOST_MODEL_MB = 50
"""A model beyond this is left out; the course's have less than one megabyte."""

_NAME = re.compile(r"[\w][\w.+ -]{0,99}")
_CHUNK = 64 * 1024

_Entry = tuple[PurePosixPath, int, Callable[[], BinaryIO]]
"""A plain file: where it lies in the submission, its size in bytes as stated, and how to open it."""


@dataclass(frozen=True)
class Submission:
    """What was handed in by one student."""

    name: str
    """Of the folder or zip, without ending."""
    source: Path
    """Where it lies."""
    folder: Path
    """Our copy: `notebooks/` and `models/`."""
    notes: tuple[str, ...]
    """What was left out, and why; a line each."""

    @property
    def files(self) -> dict[str, Path]:
        """What was taken, by its path in the submission."""
        found = sorted(path for path in self.folder.rglob("*") if path.is_file())
        return {path.relative_to(self.folder).as_posix(): path for path in found}

    @property
    def fingerprint(self) -> str:
        """A hash of the content of all that was taken."""
        digest = hashlib.sha256()
        for name, path in self.files.items():
            content = path.read_bytes()
            digest.update(f"{len(name)} {name} {len(content)} ".encode())
            digest.update(content)
        return digest.hexdigest()


def take_in(source: Path, folder: Path) -> Submission:
    """Copy a submission's notebooks and models.

    Args:
        source: A folder or a zip. `notebooks/` and `models/` lie in it, or in a folder that it holds.
        folder: Where the copy goes; empty.

    Raises:
        ValueError: It is neither folder nor zip, or cannot be read.
    """
    notes: list[str] = []
    entries = _of_folder(source, notes) if source.is_dir() else _of_zip(source, notes)
    try:
        for count, (path, size, opened) in enumerate(entries):
            if count == MOST_FILES:
                notes.append(f"it holds more than {MOST_FILES:,} files; the rest was not looked at")
                break
            if place := _place(path):
                problem = _copy(opened, size, folder / place)
                notes += [f"{_shown(path)} {problem}; it was left out"] if problem else []
    except (OSError, zipfile.BadZipFile, NotImplementedError) as error:
        raise ValueError(f"submission = {_shown(source)}: {one_line(str(error))}") from None
    name = source.resolve().name
    return Submission(name[:-4] if name.lower().endswith(".zip") else name, source, folder, tuple(notes))


def _of_folder(source: Path, notes: list[str]) -> Iterator[_Entry]:
    for parent, folders, files in os.walk(source):  # links to folders are not followed
        near = len(Path(parent).relative_to(source).parts) < 2  # what we take lies no deeper
        folders[:] = sorted(name for name in folders if near and not name.startswith("."))
        for name in sorted(files):
            path = Path(parent, name)
            relative = PurePosixPath(path.relative_to(source).as_posix())
            state = path.lstat()
            if stat.S_ISREG(state.st_mode):
                yield relative, state.st_size, lambda path=path: _open(path)  # type: ignore[misc]
            elif _place(relative):
                notes.append(f"{_shown(relative)} is no plain file; it was left out")


def _open(path: Path) -> BinaryIO:
    """Open a plain file, and nothing that has taken its place since."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    file = os.fdopen(os.open(path, flags), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(f"{path.name} is no plain file")
    return file


def _of_zip(source: Path, notes: list[str]) -> Iterator[_Entry]:
    if not source.is_file() or not zipfile.is_zipfile(source):
        raise ValueError(f"submission = {_shown(source)}: must be a folder or a zip")
    with zipfile.ZipFile(source) as archive:
        for entry in archive.infolist():
            path = PurePosixPath(entry.filename.replace("\\", "/"))
            kind = stat.S_IFMT(entry.external_attr >> 16)
            if path.is_absolute() or ".." in path.parts or ":" in entry.filename:
                notes.append(f"{_shown(path)} leads elsewhere; it was left out")
            elif kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                notes.append(f"{_shown(path)} is no plain file; it was left out")
            elif not entry.is_dir():
                yield path, entry.file_size, lambda entry=entry: archive.open(entry)  # type: ignore[misc]


def _place(path: PurePosixPath) -> PurePosixPath | None:
    """Return where we keep a file, `notebooks/NAME.ipynb` or `models/NAME`; `None` for a file that we leave."""
    *folders, name = path.parts
    if not _NAME.fullmatch(name) or len(folders) > 2 or "__MACOSX" in folders:
        return None
    if name.endswith(".ipynb") and (len(folders) < 2 or folders[-1] == "notebooks"):
        return PurePosixPath("notebooks", name)
    if name.endswith((*MODEL_ENDINGS, ".json")) and folders and folders[-1] == "models":
        return PurePosixPath("models", name)
    return None


def _copy(opened: Callable[[], BinaryIO], size: int, target: Path) -> str | None:
    """Copy a file, however large it says it is; return what was wrong with it."""
    most = (MOST_NOTEBOOK_MB if target.suffix == ".ipynb" else MOST_MODEL_MB) * MEGABYTE
    if target.exists():
        return "is there twice"
    if size > most:
        return f"is larger than {most // MEGABYTE} MB"
    target.parent.mkdir(exist_ok=True)
    left = most
    try:
        with opened() as source, target.open("xb") as file:
            while chunk := source.read(_CHUNK):
                left -= len(chunk)
                if left < 0:
                    raise ValueError(f"is larger than {most // MEGABYTE} MB")
                file.write(chunk)
    except Exception as error:  # a zip may hold anything: a wrong sum, a password, a method that we do not have
        target.unlink(missing_ok=True)
        return str(error) if isinstance(error, ValueError) else f"cannot be read ({one_line(str(error), 80)})"
    return None


def _shown(path: Path | PurePosixPath) -> str:
    return repr(one_line(str(path), 120))


PROBE_SECONDS = 300
"""A wall that takes longer than this to start a Python does not work."""


def find_wall(container: str | None = None, trusted: bool = False) -> Wall:
    """Return the wall to grade behind.

    Args:
        container: An image with the course's dependencies; bubblewrap where it is `None`.
        trusted: Whether to do without a wall where none works.

    Raises:
        ValueError: No wall works here, and the code is not trusted; or there is nothing to run containers.
    """
    if container is not None:
        programs = [program for name in ("docker", "podman") if (program := shutil.which(name))]
        if not programs:
            raise ValueError(f"container = {container!r}: neither docker nor podman is installed")
        told = f"Wall: a container of {container}, without network, its file system read-only, processes of its own."
        return working([Wall("container", told, program, container) for program in programs])
    try:
        return working(bubblewraps())
    except ValueError as reason:
        if trusted:
            return replace(NO_WALL, told=f"{NO_WALL.told} ({reason})")
        raise ValueError(
            f"{reason}. Nothing would stand between the notebooks and this machine: install bubblewrap 0.7 or newer "
            "(Linux), name a --container, or say --i-trust-this-code"
        ) from None


def bubblewraps() -> list[Wall]:
    """Return the ways to start bubblewrap, the strongest first.

    Raises:
        ValueError: It is not here.
    """
    if sys.platform != "linux":
        raise ValueError(f"bubblewrap is for Linux only, and this is {sys.platform}")
    program = shutil.which("bwrap")
    if program is None:
        raise ValueError("bubblewrap is not installed")
    told = "Wall: bubblewrap; no network, the system read-only, writes to a scratch folder only, processes of its own"
    as_root = Wall("bubblewrap", f"{told}, a user id of its own.", program, as_root=True)
    return [*([as_root] if os.geteuid() == 0 else []), Wall("bubblewrap", f"{told}.", program)]


def working(walls: list[Wall]) -> Wall:
    """Return the first wall behind which a kernel's program starts.

    Raises:
        ValueError: None does; the message has what the last one said.
    """
    said = ""
    for wall in walls:
        with place_for_kernel() as place:
            enclosed = wall.around(place, Limits(), probe=True)
            place.give_to(enclosed.user)
            try:
                done = subprocess.run(
                    enclosed.command,
                    env=enclosed.environment,
                    capture_output=True,
                    text=True,
                    errors="replace",
                    timeout=PROBE_SECONDS,
                    check=False,
                )
            except (OSError, subprocess.TimeoutExpired) as error:
                said = type(error).__name__
                continue
        if done.returncode == 0:
            return wall
        said = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
    raise ValueError(f"{walls[-1].kind} is here but does not work: {said}")
