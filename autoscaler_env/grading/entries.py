"""List and open the plain files of a folder or a zip that may contain anything, also in folders and zips within.

Links, pipes and paths that lead out are left out, and so are folders of tools, such as `.git` and `.venv`. What is left
out is reported with the reason.
"""

from __future__ import annotations

import functools
import os
import stat
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from autoscaler_env.grading.sandbox import MEGABYTE
from autoscaler_env.text import one_line, printable
from autoscaler_env.verification.workers import WorkerError, Workers

TOOLS = frozenset(
    {
        *(".git", ".svn", ".hg", ".venv", "venv", "site-packages", "node_modules", "__pycache__", "__MACOSX"),
        *(".autoscaler", ".ipynb_checkpoints", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".tox", ".idea"),
        *(".vscode", ".Trash"),
    }
)
"""Folders that programs fill: nothing in them is a student's work."""

MAX_ENTRIES = 200_000
"""Entries of a folder that are looked at, those in folders of tools too."""

MAX_ZIP_ENTRIES = 200_000
"""Entries that all zips of a submission may have together, those in folders of tools too."""

MAX_DIRECTORY_MB = 16
"""The list of the entries of a zip may have this size; it is read whole."""

MAX_DEPTH = 12
"""Folders within folders that are looked at."""

MAX_NESTED_ZIP_MB = 100
"""A larger zip within a zip or folder is not opened."""

_CHUNK = 64 * 1024

_COUNT_SECONDS = 60
_COUNT_MEGABYTES = 1_024

_END = b"PK\x05\x06"
_END_64 = b"PK\x06\x06"
_LONGEST_END = 2**16 + 22


@dataclass(frozen=True)
class Entry:
    """A plain file of a folder or zip."""

    path: PurePosixPath
    size: int
    """Bytes, as stated: a zip may lie."""
    open: Callable[[], BinaryIO]


class UnreadableError(ValueError):
    """A submission is neither a folder nor a zip that can be read; the message is one line that names it."""


class LimitError(ValueError):
    """A zip goes beyond the limits of its submission; the message is one line."""


Skip = Callable[[object, str], None]
"""What is told each path that is left out, and the reason."""


class Zips:
    """Opens the zips of one submission, within limits for all of them together.

    Args:
        workers: The process that reads files with limits: a list of entries can take much memory.
    """

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self._left = MAX_ZIP_ENTRIES

    def open(self, path: Path, stack: ExitStack) -> zipfile.ZipFile:
        """Open a zip, which the stack closes.

        Raises:
            LimitError: It has more entries than are left for it, or a list of them that is too large.
            ValueError: It cannot be read.
        """
        with path.open("rb") as file:
            size = _directory_bytes(file)
        if size is not None and size > MAX_DIRECTORY_MB * MEGABYTE:
            raise LimitError(f"the list of its entries is larger than {MAX_DIRECTORY_MB} MB")
        name = str(path.resolve())
        try:
            count = self._workers.call(count_entries, name, seconds=_COUNT_SECONDS, megabytes=_COUNT_MEGABYTES)
        except WorkerError as error:
            raise ValueError(str(error)) from None
        if count > self._left:
            raise LimitError(f"the zips of one submission may have {MAX_ZIP_ENTRIES:,} entries together")
        self._left -= count
        return stack.enter_context(zipfile.ZipFile(path))


def count_entries(path: str) -> int:
    """Return how many entries a zip has. It runs in a process with limits."""
    with zipfile.ZipFile(path) as archive:
        return len(archive.infolist())


def entries_of(source: Path, skip: Skip, stack: ExitStack, zips: Zips) -> list[Entry]:
    """Return the plain files of a folder or zip, those nearest to its top first.

    Args:
        source: A folder or a zip.
        skip: Is told what is left out.
        stack: Keeps a zip open.
        zips: Opens it.

    Raises:
        UnreadableError: It is neither, or cannot be read.
    """
    try:
        if source.is_dir():
            found = list(_in_folder(source, skip))
        elif source.is_file() and zipfile.is_zipfile(source):
            found = list(_in_zip(zips.open(source, stack), PurePosixPath(), skip))
        else:
            raise ValueError("must be a folder or a zip; it is neither, or a zip that was damaged")
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError) as error:
        raise UnreadableError(f"submission = {quoted(name_of(source))}: {printable(one_line(error))}") from None
    return sorted(found, key=lambda entry: (len(entry.path.parts), str(entry.path)))


def entries_of_zip(entry: Entry, skip: Skip, stack: ExitStack, zips: Zips) -> list[Entry]:
    """Return the plain files of a zip that lies within a folder or zip; a copy on the disk is read.

    Args:
        entry: The zip.
        skip: Is told what is left out.
        stack: Keeps the copy, and keeps it open.
        zips: Opens it.

    Raises:
        LimitError: It has more entries than are left for it.
        ValueError: It cannot be read.
    """
    if entry.size > MAX_NESTED_ZIP_MB * MEGABYTE:
        raise ValueError(f"is larger than {MAX_NESTED_ZIP_MB} MB")
    copy = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="zip-")), "inner.zip")
    with copy.open("xb") as file:
        for chunk in chunks_of(entry, MAX_NESTED_ZIP_MB * MEGABYTE + 1):
            file.write(chunk)
    if copy.stat().st_size > MAX_NESTED_ZIP_MB * MEGABYTE:
        raise ValueError(f"is larger than {MAX_NESTED_ZIP_MB} MB")
    archive = zips.open(copy, stack)
    try:
        return list(_in_zip(archive, entry.path, skip))
    except (OSError, zipfile.BadZipFile, NotImplementedError) as error:
        raise ValueError(f"cannot be read ({printable(one_line(error), 80)})") from None


def chunks_of(entry: Entry, most: int) -> Iterator[bytes]:
    """Yield the content of a file, as far as it goes; its stated size is not trusted.

    Args:
        entry: The file.
        most: Bytes that are read; one chunk more may come.

    Raises:
        ValueError: It cannot be read. A zip may have anything: a wrong checksum, a password, an unknown compression.
    """
    try:
        with entry.open() as file:
            while most > 0 and (chunk := file.read(_CHUNK)):
                most -= len(chunk)
                yield chunk
    except Exception as error:
        raise ValueError(f"cannot be read ({printable(one_line(error), 80)})") from None


def name_of(source: Path) -> str:
    """Return the name of the file or folder of a submission, without the folders above it, which are the grader's."""
    return source.name if source.name not in ("", "..") else source.resolve().name


def quoted(path: object) -> str:
    """Return a path in quotes, on one line."""
    return repr(printable(one_line(path), 120))


def _in_folder(source: Path, skip: Skip) -> Iterator[Entry]:
    count = 0
    for parent, folders, files in os.walk(source):  # it does not follow links to folders
        place = PurePosixPath(Path(parent).relative_to(source).as_posix())
        deep = len(place.parts) >= MAX_DEPTH
        for name in [name for name in folders if name in TOOLS or deep or Path(parent, name).is_symlink()]:
            reason = "a folder of tools" if name in TOOLS else "too deep" if deep else "not a plain folder"
            skip(place / name, reason)
            folders.remove(name)
        folders.sort()
        for name in sorted(files):
            count += 1
            if count > MAX_ENTRIES:
                skip("the rest", f"there are more than {MAX_ENTRIES:,} files")
                return
            path = Path(parent, name)
            state = path.lstat()
            if stat.S_ISREG(state.st_mode):
                yield Entry(place / name, state.st_size, functools.partial(_open, path))
            else:
                skip(place / name, "not a plain file")


def _open(path: Path) -> BinaryIO:
    """Open a plain file; refuse another kind of file that has replaced it since."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    file = os.fdopen(os.open(path, flags), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(f"{path.name} is not a plain file")
    return file


def _in_zip(archive: zipfile.ZipFile, place: PurePosixPath, skip: Skip) -> Iterator[Entry]:
    tools: set[PurePosixPath] = set()
    for entry in archive.infolist():
        path = PurePosixPath(entry.filename.replace("\\", "/"))
        kind = stat.S_IFMT(entry.external_attr >> 16)
        inner = next((at for at, part in enumerate(path.parts[:-1]) if part in TOOLS), None)
        if inner is not None:
            tools.add(place / PurePosixPath(*path.parts[: inner + 1]))
        elif path.is_absolute() or ".." in path.parts or ":" in entry.filename:
            skip(place / str(path).lstrip("/"), "leads out of the zip")
        elif kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            skip(place / path, "not a plain file")
        elif len(path.parts) > MAX_DEPTH:
            skip(place / path, "too deep")
        elif not entry.is_dir():
            yield Entry(place / path, entry.file_size, functools.partial(_open_in, archive, entry))
    for folder in sorted(tools):
        skip(folder, "a folder of tools")


def _open_in(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> BinaryIO:
    return cast(BinaryIO, archive.open(entry))


def _directory_bytes(file: BinaryIO) -> int | None:
    """Return the size of the list of entries that a zip states at its end; `None` if no end is found.

    `zipfile` reads the whole list before anything can be counted.
    """
    end = file.seek(0, os.SEEK_END)
    file.seek(max(end - _LONGEST_END - 100, 0))
    tail = file.read()
    at = tail.rfind(_END)
    if at < 0:
        return None
    size = int.from_bytes(tail[at + 12 : at + 16], "little")
    large = tail.rfind(_END_64, 0, at)
    return int.from_bytes(tail[large + 40 : large + 48], "little") if size == 0xFFFFFFFF and large >= 0 else size


def submissions_in(folder: Path) -> list[Path]:
    """Return the submissions in a folder: its folders and zips, in the order of their names.

    Raises:
        ValueError: There are none.
    """
    found = sorted(path for path in folder.glob("[!.]*") if path.is_dir() or path.suffix.lower() == ".zip")
    if not found:
        raise ValueError(f"folder = {str(folder)!r}: must be a folder with submissions, each a folder or a zip")
    return found
