"""Write files completely or not at all; read untrusted files within limits.

A kill or a crash at any moment leaves the old file or the new one. Reading an untrusted file follows no link, waits for
nothing, and stops at a limit. The state of a training is one `.npz` of arrays and plain values; reading it runs
nothing.
"""

from __future__ import annotations

import errno
import functools
import json
import os
import secrets
import stat
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from autoscaler_env.text import one_line, printable

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]
    import msvcrt

_KINDS = {
    stat.S_IFLNK: "a link; links are not followed, put the file itself there",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def read_file(path: Path, most: int, *, head: bool = False) -> bytes:
    """Return the content of a regular file.

    Args:
        path: The file. A link is refused, because it could lead to any file outside the folder. Everything else that is
            no regular file is refused before it is opened, because opening a pipe may wait for ever.
        most: Largest allowed size, in bytes.
        head: Whether only so many bytes of a larger file are wanted.

    Raises:
        ValueError: The file is missing, no regular file, too large or unreadable.
    """
    # Windows has no such links and no pipes in folders, and lacks these flags.
    flags = os.O_RDONLY
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_NOCTTY", "O_BINARY"):
        flags |= getattr(os, name, 0)
    try:
        _check_kind(path.lstat())
        with os.fdopen(os.open(path, flags), "rb") as file:
            state = os.fstat(file.fileno())
            _check_kind(state)  # of the opened file: the name may belong to another file by now
            if head:
                return file.read(most)
            if state.st_size > most:
                raise ValueError(f"{state.st_size:,} bytes large; at most {most:,} are read")
            content = file.read(most + 1)
    except FileNotFoundError:
        raise ValueError("no such model file") from None
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror or error}") from None
    if len(content) > most:
        raise ValueError(f"more than {most:,} bytes large")
    return content


def _check_kind(state: os.stat_result) -> None:
    if not stat.S_ISREG(state.st_mode):
        raise ValueError(f"not a regular file but {_KINDS.get(stat.S_IFMT(state.st_mode), 'something else')}")


_ENDING = ".autoscaler.tmp"
"""Ending of the names of temporary files; the names begin with a dot."""

_UNSYNCED = "files survive a kill, but after a power cut an older version may return"
"""What it means that a folder cannot be synced."""

_UNSYNCABLE = (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES, errno.EPERM)
"""Errors of systems that cannot sync this folder at all."""


def write_atomically(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Write a file so that a crash at any moment leaves the complete old file or the complete new one.

    The content goes to a hidden file beside it, which is then renamed. File and folder are synced, so that this holds
    for a power cut too. A kill leaves the hidden file; the first write into a folder removes such files.

    Args:
        path: The file; its folder is made if it is missing.
        write: Writes the content to an open file.
    """
    _make_folder(path.parent)
    _sweep_once(path.parent)
    temporary, descriptor = _new_temporary(path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
            if fcntl:  # it is locked while it is open, so that no other process removes it
                temporary.replace(path)
        if not fcntl:  # Windows renames closed files only
            temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:  # a full disk does not say which file is meant
            error.filename = str(path)
        raise
    _sync_folder(path.parent)


def check_new_folder(folder: Path) -> None:
    """Refuse a folder that something is in.

    Raises:
        ValueError: It is a file, or not empty.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"folder = {str(folder)!r}: must be a new or an empty folder")


def write_text(path: Path, text: str) -> None:
    """Write a text as UTF-8 atomically; line ends are not changed."""
    write_atomically(path, lambda file: file.write(text.encode()))


def write_json(path: Path, content: Any) -> None:
    """Write plain values as JSON, atomically."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def sweep(folder: Path) -> int:
    """Remove the temporary files that killed writers left in a folder; return their number.

    The file of a running writer is locked, and stays.
    """
    removed = 0
    try:
        for path in folder.glob(f".*{_ENDING}"):
            removed += _remove_if_abandoned(path)
    except OSError:  # the folder cannot be read, or another process has removed the file
        pass
    return removed


@functools.cache
def _sweep_once(folder: Path) -> None:
    sweep(folder)


def _new_temporary(folder: Path) -> tuple[Path, int]:
    """Return a new file and its descriptor, locked; its mode follows the user's umask."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
    while True:
        path = folder / f".{secrets.token_hex(8)}{_ENDING}"
        descriptor = os.open(path, flags, 0o666)
        if not fcntl:
            return path, descriptor
        _lock(descriptor)
        if path.exists():
            return path, descriptor
        os.close(descriptor)  # another process has removed it before it was locked: try again


def _lock(descriptor: int, *, wait: bool = True) -> bool:
    """Lock an open file until it is closed or its process ends; return whether that was possible."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:  # another process has the lock; or the file system has no locks, and no file is removed
        return False
    return True


def take_lock(path: Path) -> BinaryIO | None:
    """Lock a file without waiting; return `None` if somebody else has the lock.

    The lock holds among threads, processes and machines that share the folder. It ends when the returned file is closed
    or its process ends, so a killed process leaves no lock behind. Where the file system has no locks, everybody gets
    the lock, and a line on standard error says so.

    Args:
        path: The file; it is made if it is missing, and it stays.

    Raises:
        OSError: The file cannot be made.
    """
    _make_folder(path.parent)
    file = path.open("ab")
    try:
        if sys.platform == "win32":
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        file.close()
        return None
    except OSError as error:
        reason = f"{printable(path.parent)} has no locks ({error.strerror})"
        _warn_once(f"{reason}: let only one process work in it")
    return file


def _remove_if_abandoned(path: Path) -> bool:
    if not fcntl:  # on Windows an open file cannot be removed
        try:
            path.unlink()
        except OSError:
            return False
        return True
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if not _lock(descriptor, wait=False):
            return False
        path.unlink(missing_ok=True)
        return True
    finally:
        os.close(descriptor)


def _make_folder(folder: Path) -> None:
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make a new name in a folder survive a power cut; print a warning if the system cannot do that."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except AttributeError:  # Windows opens no folders
        _warn_once(f"this system does not sync folders: {_UNSYNCED}")
    except OSError as error:
        if error.errno not in _UNSYNCABLE:
            raise
        _warn_once(f"{printable(folder)} cannot be synced ({error.strerror}): {_UNSYNCED}")


@functools.cache
def _warn_once(warning: str) -> None:
    print(f"autoscaler: {warning}", file=sys.stderr)


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
