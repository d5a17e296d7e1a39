"""Look into a zip that a stranger may have made: only members that are known, stored as they are, all in memory."""

from __future__ import annotations

import io
import re
import zipfile

from autoscaler_env.storage.reading import printable

MOST_MEMBERS = 2_000
"""Members of a zip, at most."""

_ENTRY, _END = b"PK\x01\x02", b"PK\x05\x06"
_END_BYTES = 22


def read_archive(content: bytes, known: re.Pattern[str]) -> dict[str, bytes]:
    """Return the members of a zip by their names.

    stable-baselines3 and torch store without compressing, so that no member can be larger than the file.

    Args:
        content: The zip.
        known: What a member's whole name may be.

    Raises:
        ValueError: It is no zip, or damaged, or a member is unknown, twice there, compressed, encrypted or larger than
            the file; or something precedes or follows the zip.
    """
    if content.count(_ENTRY) > MOST_MEMBERS:  # before anything is made of them
        raise ValueError(f"more than {MOST_MEMBERS:,} members")
    if not content.startswith(b"PK"):
        raise ValueError("not a zip")
    if content[-_END_BYTES:][:4] != _END:
        raise ValueError("a zip that is cut off, or followed by something else")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            _check(entries, known, len(content))
            return {entry.filename: archive.read(entry) for entry in entries}
    except (ValueError, MemoryError):
        raise
    except Exception as error:  # a damaged zip raises anything
        raise ValueError(f"a damaged zip: {printable(error)}") from None


def _check(entries: list[zipfile.ZipInfo], known: re.Pattern[str], size: int) -> None:
    seen: set[str] = set()
    for entry in entries:
        name = entry.orig_filename
        if not known.fullmatch(name):
            raise ValueError(f"it has a member {printable(repr(name))}, which no DQN or PPO model has")
        if name in seen:
            raise ValueError(f"its member {name} is there twice")
        seen.add(name)
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size or entry.flag_bits & 1:
            raise ValueError(f"its member {name} is compressed or encrypted; models are stored as they are")
    if sum(entry.file_size for entry in entries) > size:
        raise ValueError("its members claim to be larger than the file")
