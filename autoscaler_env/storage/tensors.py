"""Read untrusted zips, and the arrays in files of torch, without torch.

A file of torch is a zip of raw numbers with a pickle that lists the arrays. The reader makes an array only from bytes
that are in the file, after it has checked type and shape; `torch.load` would first make any array that the file asks
for. Of a zip, it reads only known members, which must be stored without compression. Only the outer zip of a model may
have been unzipped and zipped again, as people and browsers do: deflated, in a folder, with the files that systems add.
"""

from __future__ import annotations

import io
import math
import re
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.storage.pickles import check_names, read_values
from autoscaler_env.text import printable

MOST_MEMBERS = 2_000
"""Largest number of members of a zip."""

_ENTRY, _END = b"PK\x01\x02", b"PK\x05\x06"
_END_BYTES = 22


def read_archive(content: bytes, known: re.Pattern[str], most: int | None = None) -> dict[str, bytes]:
    """Return the members of a zip by their names.

    stable-baselines3 and torch store members without compression, so no member can be larger than the file.

    Args:
        content: The zip.
        known: Allowed names of members, matched completely.
        most: Bytes that all members may have together if the zip was made anew, by hand: its members may be deflated
            and lie in one folder, and folders and what systems add (`__MACOSX`, `.DS_Store`) are left out. `None`: it
            must be as stable-baselines3 or torch wrote it.

    Raises:
        ValueError: The content is no zip or a damaged one; a member is unknown, there twice, encrypted, compressed in
            another way or larger than allowed; or there are bytes before or after the zip.
    """
    if content.count(_ENTRY) > MOST_MEMBERS:  # checked before they are parsed
        raise ValueError(f"more than {MOST_MEMBERS:,} members")
    if not content.startswith(b"PK"):
        raise ValueError("not a zip")
    if content[-_END_BYTES:][:4] != _END:
        raise ValueError("a zip that is cut off, or followed by something else")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries: dict[str, zipfile.ZipInfo] = {}
            for entry in archive.infolist():
                if entries.setdefault(entry.orig_filename, entry) is not entry:
                    raise ValueError(f"its member {printable(entry.orig_filename)} is there twice")
            if most is not None:
                entries = _without_folder(entries)
            _check(entries, known, len(content), most)
            return {name: _read(archive, entry) for name, entry in entries.items()}
    except (ValueError, MemoryError):
        raise
    except Exception as error:  # a damaged zip raises anything
        raise ValueError(f"a damaged zip: {printable(error)}") from None


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """Return the content of a member: as many bytes as it states, whatever is in it; more are never inflated."""
    with archive.open(entry) as file:
        return file.read(entry.file_size)


_ADDED = re.compile(r"(.*/)?(\._[^/]*|\.DS_Store|Thumbs\.db|desktop\.ini)")
"""What macOS and Windows add to zips and folders."""

_FOLDER = re.compile(r"([^/\\:\x00-\x1f]+/){1,3}")


def _without_folder(entries: dict[str, zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    """Return the files of a zip, without the folder in their names if all lie in the same one."""
    files = {
        name: entry
        for name, entry in entries.items()
        if not (name.endswith("/") and entry.file_size == 0) and not _ADDED.fullmatch(name)
    }
    folders = {name[: name.rfind("/") + 1] for name in files}
    folder = folders.pop() if len(folders) == 1 else ""
    if not _FOLDER.fullmatch(folder) or {".", ".."} & set(folder.split("/")):
        return files
    return {name.removeprefix(folder): entry for name, entry in files.items()}


def _check(entries: dict[str, zipfile.ZipInfo], known: re.Pattern[str], size: int, most: int | None) -> None:
    for name, entry in entries.items():
        if not known.fullmatch(name):
            raise ValueError(f"it has a member {printable(repr(name))}, which no DQN or PPO model has")
        stored = entry.compress_type == zipfile.ZIP_STORED and entry.file_size == entry.compress_size
        deflated = entry.compress_type == zipfile.ZIP_DEFLATED and most is not None
        if entry.flag_bits & 1 or not (stored or deflated):
            how = "stored as they are" if most is None else "stored or deflated"
            raise ValueError(f"its member {name} is compressed or encrypted; models are {how}")
    total = sum(entry.file_size for entry in entries.values())
    if total > (size if most is None else most):
        raise ValueError(
            "its members claim to be larger than the file"
            if most is None
            else f"its members have {total:,} bytes; at most {most:,} are read"
        )


MOST_WEIGHTS = 4_000_000
"""Largest number of weights in a file. The course's networks have some 11,000."""

_MEMBERS = re.compile(
    r"\w[\w-]*/(data\.pkl|byteorder|version|\.format_version|\.storage_alignment|data/\d+|\.data/serialization_id)"
)
_STORAGES = ("FloatStorage", "DoubleStorage", "HalfStorage", "BFloat16Storage", "LongStorage", "BoolStorage")
_NAMES = frozenset(
    {f"torch {storage}" for storage in _STORAGES}
    | {"torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter", "collections OrderedDict"}
)
"""Names in a sound file of torch."""

Array = NDArray[np.float32]


def read_tensors(content: bytes) -> dict[str, Array]:
    """Return the named arrays in a file of torch: float32, dense, finite, of limited size.

    An array is refused if its strides repeat numbers, or if it does not use exactly its own bytes.

    Raises:
        ValueError: The content is no such file.
    """
    members = _members(content)

    def storage(reference: Any) -> Array:
        if type(reference) is not tuple or len(reference) != 5:
            raise ValueError("a tensor has no numbers")
        kind, dtype, key, _device, count = reference
        if kind != "storage" or dtype is not _float_storage:
            raise ValueError("a tensor is not of float32")
        if type(key) is not str or type(count) is not int or f"data/{key}" not in members:
            raise ValueError("a tensor has no numbers")
        numbers = members[f"data/{key}"]
        if len(numbers) != 4 * count:
            raise ValueError(f"a tensor of {count:,} numbers has {len(numbers):,} bytes")
        return np.frombuffer(numbers, dtype="<f4")

    names: dict[str, Callable[..., Any]] = {
        "torch FloatStorage": _float_storage,
        "torch._utils _rebuild_tensor_v2": _tensor,
        "collections OrderedDict": _empty_dict,
    }
    tensors = read_values(members["data.pkl"], names, storage)
    if type(tensors) is not dict or not all(isinstance(array, np.ndarray) for array in tensors.values()):
        raise ValueError("it does not hold named tensors only")
    total = sum(array.size for array in tensors.values())
    if total > MOST_WEIGHTS:
        raise ValueError(f"it holds {total:,} numbers; at most {MOST_WEIGHTS:,} are read")
    for name, array in tensors.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{name} is not finite: it holds NaN or infinity")
    return tensors


def check_tensors(content: bytes) -> None:
    """Check a file of torch whose arrays are not needed; raise `ValueError` if torch would not have written it."""
    check_names(_members(content)["data.pkl"], _NAMES, references=True)


def _members(content: bytes) -> dict[str, bytes]:
    """Return the members of a file of torch, without the folder in their names."""
    members = read_archive(content, _MEMBERS)
    plain = {name.partition("/")[2]: member for name, member in members.items()}
    if len(plain) != len(members) or "data.pkl" not in plain:
        raise ValueError("not a file of torch")
    if plain.get("byteorder", b"little") != b"little":
        raise ValueError("its numbers are not little-endian")
    return plain


def _float_storage() -> None:
    """Stand for the type of float32 numbers; it is never called."""
    raise TypeError


def _empty_dict() -> dict[str, Any]:
    return {}


def _tensor(numbers: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> Array:
    """Stand for the function of torch that gives numbers a shape."""
    if not isinstance(numbers, np.ndarray):
        raise TypeError
    if type(shape) is not tuple or not all(type(size) is int and 0 < size <= MOST_WEIGHTS for size in shape):
        raise ValueError("a tensor has an impossible shape")
    dense = tuple(math.prod(shape[place + 1 :]) for place in range(len(shape)))
    if type(offset) is not int or offset != 0 or strides != dense or math.prod(shape) != numbers.size:
        raise ValueError(f"a tensor of shape {shape} is not dense: its {numbers.size:,} numbers have another layout")
    return numbers.reshape(shape)
