"""Prepare the notebooks of a submission for their execution, and judge how they ran.

A student's own notebook runs: each of its cells, in its order. Only the cells that check exercises are left out. In
their place a cell of ours sends the answers, and one more at the end proves that the run came that far. The answers are
checked elsewhere, in the course's own notebook (`answer_key`). So nothing in a submitted notebook can reach the checks.
"""

from __future__ import annotations

import ast
import json
import secrets
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import nbformat

from autoscaler_env.course import unexecuted
from autoscaler_env.grading import answers
from autoscaler_env.grading.supervisor import NotebookRun
from autoscaler_env.text import one_line, printable

MAX_CELLS = 500
"""A notebook with more cells is not read."""


@dataclass(frozen=True)
class Cell:
    """The parts of a cell that matter for grading."""

    kind: str
    """code, markdown or raw."""
    source: str
    tags: tuple[str, ...]
    id: str = ""

    @property
    def syntax(self) -> str:
        """Its code without comments and layout; the source itself if it is not Python; empty if it is no code."""
        if self.kind != "code":
            return ""
        try:
            tree = ast.parse(self.source)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return self.source.strip()
        return ast.dump(tree) if tree.body else ""


@dataclass(frozen=True)
class Exercise:
    """An exercise of the course."""

    name: str
    """Number of the notebook and of the exercise, such as 03.1."""
    cell: str
    """The id of the cell with the answer."""
    variables: tuple[str, ...]
    """The variables that hold the answer."""
    check: str
    """The source of the check."""


class CourseNotebook:
    """One of the course's own notebooks.

    Args:
        path: Its file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.stem
        self.cells = read_cells(path.read_bytes())

    @cached_property
    def exercises(self) -> list[Exercise]:
        """Its exercises, in order."""
        indices = [index for index, cell in enumerate(self.cells) if "exercise" in cell.tags]
        return [
            Exercise(
                f"{self.name.split('_')[0]}.{number}",
                self.cells[index].id,
                tuple(sorted(_assigned(self.cells[index].source))),
                self.cells[index + 1].source,
            )
            for number, index in enumerate(indices, start=1)
        ]

    @cached_property
    def parameters(self) -> set[str]:
        """The names of its parameters."""
        return set().union(*(_assigned(cell.source) for cell in self.cells if "parameters" in cell.tags))

    @cached_property
    def fixed(self) -> list[Cell]:
        """The code cells that a student must not change."""
        changeable = {"parameters", "exercise", "exercise-check"}
        return [cell for cell in self.cells if cell.kind == "code" and not changeable & set(cell.tags)]


@dataclass(frozen=True)
class Prepared:
    """A submitted notebook, ready to be executed."""

    notebook: nbformat.NotebookNode
    answer_cells: dict[str, str]
    """The ids of the cells that send answers, by the name of the exercise."""
    last_cell: str
    """The id of the cell at the end."""
    password: str
    """The text that the last cell prints; no notebook can know it before."""
    problem: str | None
    """A reason why the notebook cannot pass, however it runs; `None` if there is none."""


def read_cells(content: bytes) -> list[Cell]:
    """Return the cells of a notebook file, which may contain anything.

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
            raise ValueError(f"it has {len(cells):,} cells; at most {MAX_CELLS} are allowed")
        return [_read_cell(cell) for cell in cells]
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON: {error.msg} in line {error.lineno}") from None
    except (TypeError, KeyError, AttributeError, RecursionError, UnicodeDecodeError) as error:
        raise ValueError(f"it is not a notebook: {type(error).__name__}: {error}") from None


def _read_cell(cell: dict[str, Any]) -> Cell:
    source, kind = cell["source"], cell["cell_type"]
    text = source if isinstance(source, str) else "".join(source)
    tags = cell.get("metadata", {}).get("tags", [])
    if kind not in ("code", "markdown", "raw"):
        raise ValueError(f"it has a cell of type {kind!r}")
    return Cell(kind, text, tuple(str(tag) for tag in tags), str(cell.get("id", "")))


def prepare(content: bytes, course: CourseNotebook, needed: set[str]) -> Prepared:
    """Return a submitted notebook, ready to be executed.

    Args:
        content: The submitted file.
        course: The course's notebook of the same name.
        needed: The parameters that it will get.

    Raises:
        ValueError: It cannot be read.
    """
    submitted = read_cells(content)
    checks = {cell.id for cell in course.cells if "exercise-check" in cell.tags} - {""}
    cells = [cell for cell in submitted if "exercise-check" not in cell.tags and cell.id not in checks]
    exercises = _match(cells, course.exercises)
    new_cells, answer_cells = [], {}
    for index, cell in enumerate(cells):
        new = getattr(nbformat.v4, f"new_{cell.kind}_cell")(cell.source)
        new.metadata["tags"] = [tag for tag in cell.tags if tag == "parameters"]
        new_cells.append(new)
        if exercise := exercises.get(index):
            new_cells.append(nbformat.v4.new_code_cell(_answer_source(exercise)))
            answer_cells[exercise.name] = new_cells[-1].id
    password = secrets.token_hex(16)
    new_cells.append(nbformat.v4.new_code_cell(f"print({password!r})"))
    notebook = nbformat.v4.new_notebook(cells=new_cells)
    return Prepared(notebook, answer_cells, new_cells[-1].id, password, _problem(cells, course, needed))


def judge(run: NotebookRun, prepared: Prepared) -> str | None:
    """Return the reason why a notebook did not pass, in one line; `None` if it passed.

    It passed if nothing stopped it, every code cell was executed, no cell ended in an error, and the cell at its end
    printed the password.
    """
    if run.error is not None:
        return printable(one_line(run.error))
    if run.notebook is None:
        return "it did not start"
    if missing := unexecuted(run.notebook):
        return missing
    for number, cell in enumerate(run.notebook.cells):
        if any(output.output_type == "error" for output in cell.get("outputs", [])):
            return f"cell {number} ended in an error"
    ends = [cell for cell in run.notebook.cells if cell.id == prepared.last_cell]
    if not ends or prepared.password not in "".join(output.get("text", "") for output in ends[0].outputs):
        return "it did not come to its end"
    return prepared.problem


def sent_answers(run: NotebookRun, prepared: Prepared) -> dict[str, dict[str, Any]]:
    """Return the answers that a run sent, by exercise: JSON that the submission may have forged."""
    if run.notebook is None:
        return {}
    names = {cell: name for name, cell in prepared.answer_cells.items()}
    sent: dict[str, dict[str, Any]] = {}
    for cell in run.notebook.cells:
        for output in cell.get("outputs", []):
            content = output.get("data", {}).get(answers.MIME)
            if cell.id in names and isinstance(content, dict):
                sent.setdefault(names[cell.id], content)
    return sent


def _problem(cells: list[Cell], course: CourseNotebook, needed: set[str]) -> str | None:
    """Return a reason why a notebook cannot pass, before it has run."""
    tagged = [cell for cell in cells if cell.kind == "code" and "parameters" in cell.tags]
    if len(tagged) != 1:
        return f"{len(tagged)} cells have the tag parameters; there must be one"
    if missing := needed - _assigned(tagged[0].source):
        return f"its parameters lack {', '.join(sorted(missing))}"
    rest = iter([cell.syntax for cell in cells if cell.kind == "code"])
    for cell in course.fixed:
        if cell.syntax not in rest:  # this consumes `rest` as far as the cell, so the order counts
            first = printable(cell.source.splitlines()[0], 60)
            return (
                f"one of the course's own cells was changed, moved or removed, or the notebook belongs to another "
                f"version of the course: {first!r}"
            )
    return None


def _match(cells: list[Cell], exercises: list[Exercise]) -> dict[int, Exercise]:
    """Return the exercise that each cell answers, by index: first by the ids of cells, then tagged cells in order."""
    by_id = {cell.id: index for index, cell in enumerate(cells) if cell.kind == "code" and cell.id}
    matches = {by_id[exercise.cell]: exercise for exercise in exercises if exercise.cell in by_id}
    tagged = [index for index, cell in enumerate(cells) if "exercise" in cell.tags and cell.kind == "code"]
    other_cells = [index for index in tagged if index not in matches]
    other_exercises = [exercise for exercise in exercises if exercise not in matches.values()]
    return matches | dict(zip(other_cells, other_exercises, strict=False))


def _answer_source(exercise: Exercise) -> str:
    """Return the source of a cell that sends the answer to an exercise."""
    return (
        "from IPython.display import display as _display\n"
        "from autoscaler_env.grading import answers as _answers\n"
        f"_sent = _answers.collect(globals(), {list(exercise.variables)!r}, {exercise.check!r})\n"
        "_display({_answers.MIME: _sent}, raw=True)"
    )


def _assigned(source: str) -> set[str]:
    """Return the names that a cell assigns at its top level; none if it is not Python."""
    try:
        statements = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    targets = [target for statement in statements if isinstance(statement, ast.Assign) for target in statement.targets]
    return {target.id for target in targets if isinstance(target, ast.Name)}
