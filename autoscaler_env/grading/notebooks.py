"""Prepare the notebooks of a submission for their execution, and judge how they ran.

A student's own notebook runs: each of its cells, in its order, also after a cell that failed. Only the cells that check
exercises are left out. In their place a cell of ours sends the answers, and one more at the end proves that the run
came that far. The answers are checked elsewhere, in the course's own notebook (`answer_key`). So nothing in a submitted
notebook can reach the checks.
"""

from __future__ import annotations

import ast
import re
import secrets
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import nbformat

from autoscaler_env.address import INSTALL_TAG
from autoscaler_env.course import unexecuted
from autoscaler_env.grading import answers
from autoscaler_env.grading.cells import Cell, read_cells
from autoscaler_env.grading.supervisor import KERNEL_ENDED, NotebookRun
from autoscaler_env.paths import project_root
from autoscaler_env.text import one_line, printable

_LONGEST_SHOWN = 4_000
"""Characters of a cell or a traceback in a report."""

_MOST_FAILURES = 5
"""Cells that failed in a report; most follow from the first one."""


@dataclass(frozen=True)
class Exercise:
    """An exercise of the course."""

    name: str
    """Number of the notebook and of the exercise, such as 03.1."""
    answer: Cell
    """The cell with the answer, which is still open."""
    check: Cell
    """The cell that checks it."""
    title: str = ""
    """The beginning of its text."""

    @property
    def variables(self) -> tuple[str, ...]:
        """The variables that hold the answer."""
        return tuple(sorted(self.answer.assigned))

    @property
    def is_open(self) -> bool:
        """Whether it has no answer: its variables are `None`."""
        return all(
            isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and node.value.value is None
            for node in ast.parse(self.answer.source).body
        )


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
        number = self.name.split("_")[0]
        return [
            Exercise(f"{number}.{count}", self.cells[index], self.cells[index + 1], _title(self.cells[index - 1]))
            for count, index in enumerate(indices, start=1)
        ]

    @cached_property
    def parameters(self) -> set[str]:
        """The names of its parameters."""
        return {name for cell in self.cells if "parameters" in cell.tags for name in cell.assigned}

    @cached_property
    def fixed(self) -> list[Cell]:
        """The code cells that a student must not change."""
        changeable = {"parameters", "exercise", "exercise-check", INSTALL_TAG}
        return [cell for cell in self.cells if cell.kind == "code" and not changeable & set(cell.tags)]


def _title(cell: Cell) -> str:
    """Return the beginning of the text above an answer, without its number and marks."""
    text = cell.source if cell.kind == "markdown" else ""
    text = re.split(r"\*\*\d+\.?", text)[-1]
    return textwrap.shorten(re.sub(r"[*`]", "", text), 120, placeholder=" ...")


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


def prepare(submitted: Sequence[Cell], course: CourseNotebook, needed: set[str]) -> Prepared:
    """Return a submitted notebook, ready to be executed.

    An answer is the value of its variable where the check of the exercise stands. Where the check is gone, it is the
    value after the last cell that assigns the variable.

    Args:
        submitted: The cells of the submitted file.
        course: The course's notebook of the same name.
        needed: The parameters that it will get.
    """
    places = {exercise.name: _place(submitted, exercise) for exercise in course.exercises}
    parameters = _parameters_cell(submitted, course, needed)
    new_cells, answer_cells = [], {}
    for index, cell in enumerate(submitted):
        here = [exercise for exercise in course.exercises if places[exercise.name] == index]
        if _runs(cell, course):
            new = getattr(nbformat.v4, f"new_{cell.kind}_cell")(cell.source)
            new.metadata["tags"] = ["parameters"] if index == parameters else []
            new_cells.append(new)
        for exercise in here:
            new_cells.append(nbformat.v4.new_code_cell(_answer_source(exercise)))
            answer_cells[exercise.name] = new_cells[-1].id
    password = secrets.token_hex(16)
    new_cells.append(nbformat.v4.new_code_cell(f"print({password!r})"))
    notebook = nbformat.v4.new_notebook(cells=new_cells)
    problem = _problem(submitted, course, needed, parameters)
    return Prepared(notebook, answer_cells, new_cells[-1].id, password, problem)


def judge(run: NotebookRun, prepared: Prepared) -> str | None:
    """Return the reason why a notebook did not pass, in one line; `None` if it passed.

    It passed if nothing stopped it, every code cell was executed, no cell ended in an error, and the cell at its end
    printed the password.
    """
    failed = _first_error(run.notebook) if run.notebook is not None else None
    if run.error is not None:
        stopped = printable(one_line(run.error)) + _ended_in(run, prepared)
        return f"{failed}; later it was stopped: {stopped}" if failed else stopped
    if run.notebook is None:
        return "it did not start"
    if failed:
        return failed
    if missing := unexecuted(run.notebook):
        return missing
    ends = [cell for cell in run.notebook.cells if cell.id == prepared.last_cell]
    if not ends or prepared.password not in "".join(output.get("text", "") for output in ends[0].outputs):
        return "it did not come to its end"
    return prepared.problem


def _ended_in(run: NotebookRun, prepared: Prepared) -> str:
    """Return where the kernel of a run ended: after which cell of the student's; empty if that is unknown."""
    if run.error != KERNEL_ENDED or run.notebook is None:
        return ""
    ours = {*prepared.answer_cells.values(), prepared.last_cell}
    begun = [
        cell.source
        for cell in run.notebook.cells
        if cell.cell_type == "code" and cell.id not in ours and cell.metadata.get("papermill", {}).get("start_time")
    ]
    return f"; the last cell that ran begins with {_beginning(begun[-1])}" if begun else ""


def _first_error(notebook: nbformat.NotebookNode) -> str | None:
    """Return the error of the first cell that failed, in one line; `None` if none failed."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                error = printable(one_line(f"{output.get('ename')}: {output.get('evalue')}").removesuffix(":"), 200)
                return f"a cell ended in {error}; the cell begins with {_beginning(cell.source)}"
    return None


def failures(notebook: nbformat.NotebookNode) -> list[tuple[str, str]]:
    """Return the cells that failed, each with its source and its traceback, without the paths of this machine."""
    found = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                lines = "\n".join(map(str, output.get("traceback", [])))
                found.append((cell.source[:_LONGEST_SHOWN], plain_text(lines)[-_LONGEST_SHOWN:]))
    return found[:_MOST_FAILURES]


def for_the_student(notebook: nbformat.NotebookNode, prepared: Prepared) -> nbformat.NotebookNode:
    """Return an executed notebook without what the grader added and without the paths of this machine."""
    ours = {*prepared.answer_cells.values(), prepared.last_cell}
    added = {"injected-parameters", "papermill-error-cell-tag"}
    cells = [cell for cell in notebook.cells if cell.id not in ours and not added & set(cell.metadata.get("tags", []))]
    copy = nbformat.from_dict(notebook | {"cells": cells, "metadata": {"language_info": {"name": "python"}}})
    text = nbformat.writes(copy).encode(errors="replace").decode()  # a lone surrogate cannot be written, nor escaped
    return nbformat.reads(without_paths(text), as_version=4)


def plain_text(text: str) -> str:
    """Return a text without colours and without the paths of this machine."""
    return without_paths(re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text))


def without_paths(text: str) -> str:
    """Return a text in which the folders of this machine have general names."""
    folders = {sys.prefix: "<python>", sys.base_prefix: "<python>", str(project_root()): "<course>"}
    folders |= {str(Path.home()): "<home>"} if len(Path.home().parts) > 1 else {}
    for folder in sorted(folders, key=len, reverse=True):
        text = text.replace(folder, folders[folder])
    return text


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


def attempted(submitted: Sequence[Cell], course: CourseNotebook) -> int:
    """Return how many exercises of the course a submitted notebook has an answer to."""
    written = {hashed for cell in submitted if set(cell.assigned) for hashed in cell.statements}
    assigned = {name for cell in submitted for name in cell.assigned}
    return sum(
        set(exercise.variables) <= assigned and not set(exercise.answer.statements) <= written
        for exercise in course.exercises
    )


def answer_source(submitted: Sequence[Cell], exercise: Exercise) -> str:
    """Return the code of the last cell that assigns the variables of an exercise; an empty text if none does."""
    sources = [cell.source for cell in submitted if set(exercise.variables) & set(cell.assigned)]
    return sources[-1][:_LONGEST_SHOWN] if sources else ""


def resemblance(submitted: Sequence[Cell], course: CourseNotebook) -> float:
    """Return which share of the statements of the course's own cells a notebook contains, from 0 to 1."""
    own = {hashed for cell in course.fixed for hashed in cell.statements}
    return len(own & {hashed for cell in submitted for hashed in cell.statements}) / max(len(own), 1)


def _place(submitted: Sequence[Cell], exercise: Exercise) -> int:
    """Return the index of the cell after which an answer is sent.

    It is the check of the exercise, found by its id, else by its code, wherever it stands. If nothing before it
    answers, or it is gone, it is the last cell that assigns the variables; else the last cell of all.
    """
    check = exercise.check
    code = [(index, cell) for index, cell in enumerate(submitted) if cell.kind == "code"]
    found = [index for index, cell in code if check.id and cell.id == check.id]
    found = found or [index for index, cell in code if _contains(cell.statements, check.statements)]
    assigning = [index for index, cell in code if set(exercise.variables) & set(cell.assigned)]
    answering = [index for index in assigning if submitted[index].statements != exercise.answer.statements]
    if found and (not answering or answering[0] <= found[-1]):
        return found[-1]
    return max(answering or found or assigning or [len(submitted) - 1])


def _contains(statements: Sequence[str], part: Sequence[str]) -> bool:
    """Return whether statements contain others, in one piece."""
    size = len(part)
    return any(tuple(statements[at : at + size]) == tuple(part) for at in range(len(statements) - size + 1))


def _runs(cell: Cell, course: CourseNotebook) -> bool:
    """Return whether a cell of a submission is executed: all but checks. A check cell that got an answer runs, too."""
    checks = [exercise.check for exercise in course.exercises]
    is_check = "exercise-check" in cell.tags or any(
        (check.id and cell.id == check.id) or cell.statements == check.statements for check in checks
    )
    answered = {name for exercise in course.exercises for name in exercise.variables} & set(cell.assigned)
    return not is_check or bool(answered)


def _parameters_cell(submitted: Sequence[Cell], course: CourseNotebook, needed: set[str]) -> int | None:
    """Return the index of the cell with the parameters, by its tag, its id or its names; `None` if there is none."""
    ids = {cell.id for cell in course.cells if "parameters" in cell.tags} - {""}
    code = [(index, cell) for index, cell in enumerate(submitted) if cell.kind == "code"]
    found = [index for index, cell in code if "parameters" in cell.tags and needed <= set(cell.assigned)]
    found = found or [index for index, cell in code if cell.id in ids]
    found = found or [index for index, cell in code if needed and needed <= set(cell.assigned)]
    return found[0] if found else None


def _problem(submitted: Sequence[Cell], course: CourseNotebook, needed: set[str], parameters: int | None) -> str | None:
    """Return a reason why a notebook cannot pass, before it has run."""
    if needed and parameters is None:
        return f"no cell sets the parameters {', '.join(sorted(needed))}"
    if parameters is not None and (missing := needed - set(submitted[parameters].assigned)):
        return f"its parameters lack {', '.join(sorted(missing))}"
    rest = _statements(submitted)
    for cell in course.fixed:
        for statement in cell.statements:
            if statement not in rest:  # this consumes `rest` as far as the statement, so the order counts
                return (
                    "one of the course's own cells was changed, moved or removed, or the notebook belongs to another "
                    f"version of the course; the cell begins with {_beginning(cell.source)}"
                )
    return None


def _statements(cells: Sequence[Cell]) -> Iterator[str]:
    return (statement for cell in cells for statement in cell.statements)


def _beginning(source: str) -> str:
    return repr(printable(next((line for line in source.splitlines() if line.strip()), ""), 60))


def _answer_source(exercise: Exercise) -> str:
    """Return the source of a cell that sends the answer to an exercise; names of the notebook cannot disturb it."""
    return (
        "from builtins import globals as _globals\n"
        "from IPython.display import display as _display\n"
        "from autoscaler_env.grading import answers as _answers\n"
        f"_sent = _answers.collect(_globals(), {list(exercise.variables)!r}, {exercise.check.source!r})\n"
        "_display({_answers.MIME: _sent}, raw=True)"
    )
