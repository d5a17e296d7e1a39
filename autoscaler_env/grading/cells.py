"""Read the cells of a notebook file, which may contain anything: only what grading needs, as plain data.

Outputs are left out: they do not count. Code is compared statement by statement, so comments, layout and how a notebook
divides its code into cells do not count either.
"""

from __future__ import annotations

import ast
import hashlib
import json
import warnings
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

MAX_CELLS = 2_000
"""A notebook with more cells is not read."""

MAX_SOURCE_BYTES = 2 * 2**20
"""A notebook with more code and text is not read. Outputs do not count."""

_LONGEST_PARSED = 20_000
"""Characters of a cell that is compared by its statements. A longer one is not the course's."""

_DIGEST_CHARACTERS = 16


@dataclass(frozen=True)
class Cell:
    """The parts of a cell that matter for grading."""

    kind: str
    """code, markdown or raw."""
    source: str
    tags: tuple[str, ...] = ()
    id: str = ""
    statements: tuple[str, ...] = ()
    """A hash of each statement of its code, without comments and layout."""
    assigned: tuple[str, ...] = ()
    """The names that its statements assign or define, at the top level."""
    repaired: bool = False
    """Whether it had characters that no file can hold (lone surrogates): they are written as escapes now."""


def read_cells(content: bytes) -> list[Cell]:
    """Return the cells of a notebook file.

    Raises:
        ValueError: It is not a notebook of format 4; the message is one line.
    """
    try:
        notebook = json.loads(content)
        version = notebook["nbformat"]
        if version != 4:
            raise ValueError(f"its format is {version!r}, not 4: save it with a current JupyterLab")
        cells = notebook["cells"]
        if len(cells) > MAX_CELLS:
            raise ValueError(f"it has {len(cells):,} cells; at most {MAX_CELLS:,} are allowed")
        sources = [_text(cell["source"]) for cell in cells]
        texts = [_writable(source) for source in sources]
        if sum(map(len, texts)) > MAX_SOURCE_BYTES:
            raise ValueError(f"its cells have more than {MAX_SOURCE_BYTES // 2**20} MB of code and text")
        read = [_read_cell(cell, text) for cell, text in zip(cells, texts, strict=True)]
        return [replace(cell, repaired=cell.source != source) for cell, source in zip(read, sources, strict=True)]
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON: {error.msg} in line {error.lineno}") from None
    except (TypeError, KeyError, AttributeError, RecursionError, UnicodeDecodeError) as error:
        raise ValueError(f"it is not a notebook: {type(error).__name__}: {error}") from None


def cells_as_data(path: str) -> list[list[Any]]:
    """Return the cells of a file as JSON can hold them, for a process with limits that reads what was handed in.

    Raises:
        ValueError: As `read_cells`.
    """
    return [list(astuple(cell)) for cell in read_cells(Path(path).read_bytes())]


def cells_from_data(rows: list[list[Any]]) -> list[Cell]:
    """Return the cells that `cells_as_data` returned."""
    return [
        Cell(kind, source, tuple(tags), name, tuple(hashes), tuple(assigned), repaired)
        for kind, source, tags, name, hashes, assigned, repaired in rows
    ]


def _text(source: Any) -> str:
    return source if isinstance(source, str) else "".join(source)


def _writable(text: str) -> str:
    r"""Return a text with lone surrogates as escapes, which mean the same in a text of Python: "\udcff"."""
    return text.encode(errors="backslashreplace").decode()


def _read_cell(cell: dict[str, Any], text: str) -> Cell:
    kind = cell["cell_type"]
    if kind not in ("code", "markdown", "raw"):
        raise ValueError(f"it has a cell of type {kind!r}")
    tags = tuple(_writable(str(tag)) for tag in cell.get("metadata", {}).get("tags", []))
    name = _writable(str(cell.get("id", "")))
    if kind != "code":
        return Cell(kind, text, tags, name)
    statements = _parse(text)
    if statements is None:  # not Python: it counts as one statement, letter by letter
        return Cell(kind, text, tags, name, (_digest(text.strip()),) if text.strip() else ())
    assigned = tuple(dict.fromkeys(name for statement in statements for name in _names(statement)))
    return Cell(kind, text, tags, name, tuple(_hash(statement, text) for statement in statements), assigned)


def _parse(source: str) -> list[ast.stmt] | None:
    """Return the statements of a cell; `None` if it is too long to parse, or no Python even without magics."""
    if len(source) > _LONGEST_PARSED:
        return None
    for code in (lambda: source, lambda: _without_magics(source)):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return ast.parse(code()).body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
    return None


def _without_magics(source: str) -> str:
    """Return a cell as IPython runs it: `%magic` and `!command` as calls."""
    from IPython.core.inputtransformer2 import TransformerManager

    return str(TransformerManager().transform_cell(source))


def _hash(statement: ast.stmt, source: str) -> str:
    try:
        return _digest(ast.dump(statement))
    except RecursionError:  # such as a sum of a thousand terms
        return _digest(ast.get_source_segment(source, statement) or source)


def _digest(text: str) -> str:
    return hashlib.sha256(_writable(text).encode()).hexdigest()[:_DIGEST_CHARACTERS]


def _names(statement: ast.stmt) -> list[str]:
    """Return the names that a statement assigns or defines."""
    match statement:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.Assign(targets=targets):
            return [name for target in targets for name in _targets(target)]
        case ast.AnnAssign(target=target) | ast.AugAssign(target=target):
            return _targets(target)
        case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
            return [(alias.asname or alias.name).split(".")[0] for alias in aliases]
    blocks = ("body", "orelse", "finalbody")
    inner = [each for block in blocks for each in getattr(statement, block, []) if isinstance(each, ast.stmt)]
    return [name for each in inner for name in _names(each)]


def _targets(target: ast.expr) -> list[str]:
    match target:
        case ast.Name(id=name):
            return [name]
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            return [name for part in parts for name in _targets(part)]
    return []
