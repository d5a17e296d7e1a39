"""The text of what a user names: files, plain or compressed, standard input; several of them as one table."""

from __future__ import annotations

import gzip
import io
import re
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from autoscaler_env.text import listed, one_line
from autoscaler_env.traffic.columns import Unit
from autoscaler_env.traffic.formats import RowNumber, Table, is_log, table_of
from autoscaler_env.traffic.units import unit_in

_LETTERS = re.compile(rb"(?<=[A-Za-z])[\xc0-\xff]+|[\xc0-\xff]+(?=[A-Za-z])|(?<=\d)\xa0(?=\d)")
"""Letters beside others, and spaces within numbers, as Excel writes them on Windows in Western Europe."""


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
        source: The file, UTF-8 or UTF-16, plain or compressed by gzip, or Parquet; `-` is standard input.
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
    if raw[:2] == b"\x1f\x8b":
        try:
            raw = gzip.decompress(raw)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"{name}: not a whole gzip file: {error}") from None
    if raw[:4] == b"PAR1":
        return Content(name, _csv_of_parquet(raw, name), note="The file is Parquet; its table is read like one of CSV.")
    if raw[:4] == b"PK\x03\x04":
        raise ValueError(f"{name}: this is an Excel workbook or a zip archive; save the sheet as CSV, or unpack it")
    wide = stdin and raw[:2] in (b"\xff\xfe", b"\xfe\xff")
    note = ""
    try:
        text = raw.decode("utf-16" if wide else "utf-8-sig")
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
    return Content(name, text, note=note)


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
