"""Read a file that a stranger may have made: never through a link, never waiting, never more than a limit."""

from __future__ import annotations

import os
import stat
from pathlib import Path

_KINDS = {
    stat.S_IFLNK: "a link; links are not followed, put the file itself there",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}

LONGEST_TEXT = 300
"""Characters of a stranger's text that are shown."""


def read_file(path: Path, most: int) -> bytes:
    """Return the content of a regular file.

    Args:
        path: The file. A link is refused, so that nobody's file outside the folder is read in its place; what is no
            regular file is refused before it is opened, because opening a pipe may wait for ever.
        most: Size from which on it is refused, in bytes.

    Raises:
        ValueError: It is missing, no regular file, too large or unreadable.
    """
    # Windows has neither links to stumble over nor pipes in folders, and lacks these flags.
    flags = os.O_RDONLY
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_NOCTTY", "O_BINARY"):
        flags |= getattr(os, name, 0)
    try:
        _check_kind(path.lstat())
        with os.fdopen(os.open(path, flags), "rb") as file:
            state = os.fstat(file.fileno())
            _check_kind(state)  # of what was opened: the name may have been given to something else meanwhile
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


def printable(text: object, most: int = LONGEST_TEXT) -> str:
    r"""Return a text on one line, without anything that a terminal would obey.

    Control characters, line breaks, marks that turn the direction of writing, and what is no character at all are
    written as escapes. A long text loses its middle.

    Example:
        >>> printable("model\n\x1b[31m.zip")
        'model\\n\\x1b[31m.zip'
    """
    shown = "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in str(text))
    half = (most - 3) // 2
    return shown if len(shown) <= most else f"{shown[:half]}...{shown[-half:]}"
