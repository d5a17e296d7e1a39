"""Make from a handed-in notebook the one that is run, and judge the run.

What is run is the student's own notebook: every cell of theirs, in their order. The cells that check exercises are left
out; in their place a cell of ours tells the answers, and one more at the end shows that the run came there. Whether an
answer is right is decided elsewhere (`reference`), in the course's own notebook. So the notebook that was handed in
has to run, and nothing in it can reach the checks.
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
from autoscaler_env.grading.supervisor import Run

MOST_CELLS = 500
"""Cells of a notebook; one with more is not read."""


@dataclass(frozen=True)
class Cell:
    """What we take from a cell."""

    kind: str
    """code, markdown or raw."""
    source: str
    tags: tuple[str, ...]
    identity: str = ""

    @property
    def does(self) -> str:
        """What its code does, whatever its comments and its layout: the text itself if it is no Python; or nothing."""
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
    """What the answer is assigned to."""
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
        places = [place for place, cell in enumerate(self.cells) if "exercise" in cell.tags]
        return [
            Exercise(
                f"{self.name.split('_')[0]}.{number}",
                self.cells[place].identity,
                tuple(sorted(_assigned(self.cells[place].source))),
                self.cells[place + 1].source,
            )
            for number, place in enumerate(places, start=1)
        ]

    @cached_property
    def parameters(self) -> set[str]:
        """The names of its parameters."""
        return set().union(*(_assigned(cell.source) for cell in self.cells if "parameters" in cell.tags))

    @cached_property
    def given(self) -> list[Cell]:
        """The code cells that a student leaves as they are."""
        theirs = {"parameters", "exercise", "exercise-check"}
        return [cell for cell in self.cells if cell.kind == "code" and not theirs & set(cell.tags)]


@dataclass(frozen=True)
class Prepared:
    """A handed-in notebook as it is run."""

    notebook: nbformat.NotebookNode
    telling: dict[str, str]
    """The ids of the cells that tell answers, by the exercise's name."""
    last: str
    """The id of the cell at the end."""
    word: str
    """What that cell prints; nobody knows it beforehand."""
    problem: str | None
    """What keeps the notebook from passing, however it runs; `None` if nothing does."""


def read_cells(content: bytes) -> list[Cell]:
    """Return the cells of a notebook file, whoever wrote it.

    Raises:
        ValueError: It is no notebook of format 4; one line says why.
    """
    try:
        notebook = json.loads(content)
        version = notebook["nbformat"]
        if version != 4:
            raise ValueError(f"its format is {version!r}, not 4: save it with a current JupyterLab")
        cells = notebook["cells"]
        if len(cells) > MOST_CELLS:
            raise ValueError(f"it has {len(cells):,} cells; the most is {MOST_CELLS}")
        return [_read_cell(cell) for cell in cells]
    except json.JSONDecodeError as error:
        raise ValueError(f"it is no JSON: {error.msg} in line {error.lineno}") from None
    except (TypeError, KeyError, AttributeError, RecursionError, UnicodeDecodeError) as error:
        raise ValueError(f"it is no notebook: {type(error).__name__}: {error}") from None


def _read_cell(cell: dict[str, Any]) -> Cell:
    source, kind = cell["source"], cell["cell_type"]
    text = source if isinstance(source, str) else "".join(source)
    tags = cell.get("metadata", {}).get("tags", [])
    if kind not in ("code", "markdown", "raw"):
        raise ValueError(f"it has a cell of type {kind!r}")
    return Cell(kind, text, tuple(str(tag) for tag in tags), str(cell.get("id", "")))


def prepare(content: bytes, course: CourseNotebook, needed: set[str]) -> Prepared:
    """Return a handed-in notebook as it will be run.

    Args:
        content: The file that was handed in.
        course: The course's notebook of the same name.
        needed: The parameters that will be given to it.

    Raises:
        ValueError: It cannot be read.
    """
    cells = read_cells(content)
    checks = {cell.identity for cell in course.cells if "exercise-check" in cell.tags} - {""}
    theirs = [cell for cell in cells if "exercise-check" not in cell.tags and cell.identity not in checks]
    answered = _match(theirs, course.exercises)
    made, telling = [], {}
    for place, cell in enumerate(theirs):
        new = getattr(nbformat.v4, f"new_{cell.kind}_cell")(cell.source)
        new.metadata["tags"] = [tag for tag in cell.tags if tag == "parameters"]
        made.append(new)
        if exercise := answered.get(place):
            made.append(nbformat.v4.new_code_cell(_telling(exercise)))
            telling[exercise.name] = made[-1].id
    word = secrets.token_hex(16)
    made.append(nbformat.v4.new_code_cell(f"print({word!r})"))
    notebook = nbformat.v4.new_notebook(cells=made)
    return Prepared(notebook, telling, made[-1].id, word, _problem(theirs, course, needed))


def judge(run: Run, prepared: Prepared) -> str | None:
    """Return why a notebook did not pass, in one line; `None` if it did.

    It passed if nothing stopped it, every code cell was executed, none ended in an error, and the cell at its end
    printed its word.
    """
    if run.error is not None:
        return one_line(run.error)
    if run.notebook is None:
        return "it never began"
    if missing := unexecuted(run.notebook):
        return missing
    for number, cell in enumerate(run.notebook.cells):
        if any(output.output_type == "error" for output in cell.get("outputs", [])):
            return f"cell {number} ended in an error"
    ends = [cell for cell in run.notebook.cells if cell.id == prepared.last]
    if not ends or prepared.word not in "".join(output.get("text", "") for output in ends[0].outputs):
        return "it did not come to its end"
    return prepared.problem


def told_answers(run: Run, prepared: Prepared) -> dict[str, dict[str, Any]]:
    """Return what a run told of its answers, by exercise: JSON of the submission's making."""
    if run.notebook is None:
        return {}
    names = {cell: name for name, cell in prepared.telling.items()}
    found: dict[str, dict[str, Any]] = {}
    for cell in run.notebook.cells:
        for output in cell.get("outputs", []):
            told = output.get("data", {}).get(answers.MIME)
            if cell.id in names and isinstance(told, dict):
                found.setdefault(names[cell.id], told)
    return found


def one_line(text: str, most: int = 300) -> str:
    """Return a text of any origin as one printable line."""
    plain = "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in " ".join(text.split()))
    return plain if len(plain) <= most else f"{plain[: most - 3]}..."


def _problem(cells: list[Cell], course: CourseNotebook, needed: set[str]) -> str | None:
    """Return what keeps a notebook from passing before it has run."""
    tagged = [cell for cell in cells if cell.kind == "code" and "parameters" in cell.tags]
    if len(tagged) != 1:
        return f"{len(tagged)} cells are tagged parameters; it takes one"
    if lacking := needed - _assigned(tagged[0].source):
        return f"its parameters lack {', '.join(sorted(lacking))}"
    left = iter([cell.does for cell in cells if cell.kind == "code"])
    for cell in course.given:
        if cell.does not in left:  # looks on from where the cell before it was found
            first = one_line(cell.source.splitlines()[0], 60)
            return (
                f"one of the course's own cells was changed, moved or removed, or the notebook is that of another "
                f"version of the course: {first!r}"
            )
    return None


def _match(cells: list[Cell], exercises: list[Exercise]) -> dict[int, Exercise]:
    """Return which exercise each place answers: by the cell's id, else the tagged cells in their order."""
    places = {cell.identity: place for place, cell in enumerate(cells) if cell.kind == "code" and cell.identity}
    found = {places[exercise.cell]: exercise for exercise in exercises if exercise.cell in places}
    rest = [place for place, cell in enumerate(cells) if "exercise" in cell.tags and cell.kind == "code"]
    open_places = [place for place in rest if place not in found]
    unanswered = [exercise for exercise in exercises if exercise not in found.values()]
    return found | dict(zip(open_places, unanswered, strict=False))


def _telling(exercise: Exercise) -> str:
    """Return the source of a cell that tells the answers to an exercise."""
    return (
        "from IPython.display import display as _show\n"
        "from autoscaler_env.grading import answers as _answers\n"
        f"_told = _answers.tell(globals(), {list(exercise.variables)!r}, {exercise.check!r})\n"
        "_show({_answers.MIME: _told}, raw=True)"
    )


def _assigned(source: str) -> set[str]:
    """Return the names that a cell assigns at its top level; none if it is no Python."""
    try:
        statements = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    targets = [target for statement in statements if isinstance(statement, ast.Assign) for target in statement.targets]
    return {target.id for target in targets if isinstance(target, ast.Name)}
