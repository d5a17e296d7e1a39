"""The text of what a user names: files, plain or compressed, standard input; several of them as one table."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import sys
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from autoscaler_env.text import counted, listed, one_line
from autoscaler_env.traffic.columns import Unit
from autoscaler_env.traffic.formats import table_of
from autoscaler_env.traffic.logs import is_log
from autoscaler_env.traffic.tables import RowNumber, Table
from autoscaler_env.traffic.units import unit_in

_LETTERS = re.compile(rb"(?<=[A-Za-z])[\xc0-\xff]+|[\xc0-\xff]+(?=[A-Za-z])|(?<=\d)\xa0(?=\d)")
"""Letters beside others, and spaces within numbers, as Excel writes them on Windows in Western Europe."""


_PACKED: dict[bytes, tuple[str, Callable[[bytes], bytes]]] = {
    b"\x1f\x8b": ("gzip", gzip.decompress),
    b"BZh": ("bzip2", bz2.decompress),
    b"\xfd7zXZ\x00": ("xz", lzma.decompress),
}
"""How compressed files begin, and what unpacks them."""
_NO_TEXT = {
    rb"\xd0\xcf\x11\xe0": "an Excel workbook; save the sheet as CSV",
    rb"%PDF-": "a PDF; export its numbers as CSV",
    rb"\x28\xb5\x2f\xfd": "compressed by Zstandard; unpack it with: unzstd FILE",
    rb"7z\xbc\xaf\x27\x1c|Rar!": "an archive; unpack it",
    rb"\x89PNG|\xff\xd8\xff|GIF8": "a picture; export its numbers as CSV",
}
"""How files begin that hold no text, and what they are."""
_NO_TABLE = {
    r"<!doctype html|<html|<table|<head|<body": "HTML, perhaps the page of a login; export CSV or JSON instead",
    r"<[?a-z]": "XML; export CSV or JSON instead",
    r"# (?:HELP|TYPE) \S+ ": "one scrape of Prometheus, without a course in time; name its server with --prometheus",
}
"""How texts begin that are no tables, and what they are."""


class Content(NamedTuple):
    """The text of one source."""

    name: str
    """What messages call it."""
    text: str
    unit: Unit | None = None
    """What its numbers are, where the source knows it."""
    note: str = ""
    """How the file was read, where it is neither UTF-8 nor UTF-16."""


def content_of(source: str | Path, *, stdin: bool = True) -> Content:
    """Return the text of a file, or of standard input.

    Text that is no UTF-8, and whose other bytes can be letters of Western Europe, is read as such, with a note.

    Args:
        source: The file, UTF-8 or UTF-16, plain, compressed by gzip, bzip2 or xz, alone in a zip archive, or Parquet;
            `-` is standard input.
        stdin: Whether `-` is standard input; else it is a file, and must be UTF-8.

    Raises:
        ValueError: It cannot be read, is empty or is no text.
    """
    if str(source) == "-" and stdin:
        name, raw = "standard input", sys.stdin.buffer.read()
    else:
        path = Path(source)
        name = str(path)
        try:
            raw = path.read_bytes()
        except OSError as error:
            raise ValueError(f"{path}: {error.strerror or error}") from None
    raw = _unpacked(raw, name)
    if raw[:4] == b"PAR1":
        return Content(name, _csv_of_parquet(raw, name), note="The file is Parquet; its table is read like one of CSV.")
    for begin, what in _NO_TEXT.items():
        if re.match(begin, raw):
            raise ValueError(f"{name}: this is {what}")
    wide = _utf_16(raw) if stdin else None
    note = ""
    try:
        text = raw.decode(wide or "utf-8-sig")
    except UnicodeDecodeError as error:
        if wide or not stdin or not _LETTERS.sub(b"", raw).isascii():
            row = raw.count(b"\n", 0, error.start) + 1
            raise ValueError(f"{name}, row {row}: not UTF-8 text") from None
        text, note = raw.decode("latin-1"), "The text is not UTF-8; it is read as Western European."
    if "\0" in text:
        row = text.count("\n", 0, text.index("\0")) + 1
        raise ValueError(f"{name}, row {row}: not text: it holds a zero byte")
    if not text.strip():
        raise ValueError(f"{name}: the file is empty")
    for pattern, what in _NO_TABLE.items():
        if re.match(pattern, text.lstrip(), re.IGNORECASE):
            raise ValueError(f"{name}: this is {what}")
    return Content(name, text, note=note)


def _unpacked(raw: bytes, name: str) -> bytes:
    """Return the content of a compressed file, or of the only file in a zip archive; anything else as it is.

    Raises:
        ValueError: It is damaged, or an archive of several files, or a workbook.
    """
    for mark, (kind, unpack) in _PACKED.items():
        if raw.startswith(mark):
            try:
                return unpack(raw)
            except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
                raise ValueError(f"{name}: not a whole {kind} file: {error}") from None
    if not raw.startswith(b"PK\x03\x04"):
        return raw
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            members = [each for each in archive.namelist() if not each.endswith("/")]
            content = archive.read(members[0]) if len(members) == 1 else b""
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, RuntimeError) as error:
        raise ValueError(f"{name}: a zip archive that cannot be read: {one_line(error)}") from None
    if "[Content_Types].xml" in members:
        raise ValueError(f"{name}: this is an Excel workbook; save the sheet as CSV")
    if len(members) != 1:
        raise ValueError(f"{name}: a zip archive of {counted(len(members), 'file')}; unpack it, and name them")
    return content


def _utf_16(raw: bytes) -> str | None:
    """Return the codec of a text of two bytes a character; without a mark, one of its two bytes is mostly zero."""
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    head = raw[:2000]
    for first, codec in ((1, "utf-16-le"), (0, "utf-16-be")):
        zeros = head[first::2]
        if len(zeros) > 10 and zeros.count(0) > 0.9 * len(zeros) and 0 not in head[1 - first :: 2]:
            return codec
    return None


def _csv_of_parquet(raw: bytes, name: str) -> str:
    """Return a Parquet file as CSV; an index of times becomes a column.

    Raises:
        ValueError: Neither pyarrow nor fastparquet is installed, or the file is damaged.
    """
    import pandas  # slow to import, and few files are Parquet

    try:
        frame = pandas.read_parquet(io.BytesIO(raw))
    except ImportError:
        raise ValueError(
            f"{name}: this is Parquet; to read it, install the extra: pip install 'smart-autoscaler[parquet]'"
        ) from None
    except Exception as error:  # each reader has errors of its own
        raise ValueError(f"{name}: not a whole Parquet file: {one_line(error)}") from None
    if not isinstance(frame.index, pandas.RangeIndex):
        frame = frame.reset_index()
    return str(frame.to_csv(index=False))


def joined_name(contents: Sequence[Content]) -> str:
    """Return what messages call one or several sources."""
    names = [content.name for content in contents]
    return listed(names) if len(names) < 4 else f"{names[0]} and {len(names) - 1} more files"


def joined_table(contents: Sequence[Content], row_seconds: int | None) -> tuple[str, Table]:
    """Return what messages call one or several sources, and the table that they hold together.

    Args:
        contents: At least one. All have the same columns, in any order; access logs are counted as one.
        row_seconds: Seconds that the lines of an access log are counted over; 60 by default.

    Raises:
        ValueError: A text is of no known form, or the columns differ.
    """
    name = joined_name(contents)
    if len(contents) == 1 or all(is_log(content.text) for content in contents):
        return name, table_of("\n".join(content.text for content in contents), name, row_seconds)
    return name, _joined([(each.name, table_of(each.text, each.name, row_seconds)) for each in contents])


def _joined(tables: Sequence[tuple[str, Table]]) -> Table:
    """Return several tables one below the other; each row number names its file."""
    (first_name, first), *others = tables
    rows, notes = list(first.rows), list(first.notes)
    numbers: list[RowNumber] = [f"{number} of {first_name}" for number in first.numbers]
    for name, table in others:
        if sorted(table.heading) != sorted(first.heading) or len(table.rows[0]) != len(first.rows[0]):
            raise ValueError(
                f"{name}: its columns are {_columns(table)}, those of {first_name} are {_columns(first)}; "
                "files of one call must have the same columns"
            )
        if unit_in(table.hints) != unit_in(first.hints):
            units = [unit_in(each.hints) or "of no unit" for each in (table, first)]
            raise ValueError(f"{name}: its numbers are {units[0]}, those of {first_name} are {units[1]}")
        order = list(range(len(table.rows[0])))
        if table.heading != first.heading:
            order = [table.heading.index(column) for column in first.heading]
        rows += [[row[i] for i in order] for row in table.rows]
        numbers += [f"{number} of {name}" for number in table.numbers]
        notes += table.notes
    hints = " ".join(table.hints for _, table in tables)
    return first._replace(rows=rows, numbers=numbers, hints=hints, notes=tuple(notes))


def _columns(table: Table) -> str:
    return ", ".join(table.heading) or f"{len(table.rows[0])} without names"
