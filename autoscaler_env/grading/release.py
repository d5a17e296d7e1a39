"""Copy the course for students: as it is, or in a version whose checks do not show answers, without outputs.

Neither has solutions. `copy_course` copies the notebooks as they are, also out of an installed package.

A check that calls the course's package on hidden inputs stays as it is. A check that names its right answer gets seals
in place of it (`sealed`). A check that computes the right answer from the notebook's own results would show how: it
becomes a note, and only the grader judges the answer. The grader checks with the course itself, so it takes both
versions.
"""

from __future__ import annotations

import ast
import os
import re
import secrets
import shutil
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat

from autoscaler_env.course import course_notebooks
from autoscaler_env.grading import sealed
from autoscaler_env.grading.notebooks import CourseNotebook
from autoscaler_env.paths import GIVEN_COURSE, checkout_root, project_root
from autoscaler_env.service import Service
from autoscaler_env.storage.files import check_new_folder, write_text
from autoscaler_env.text import counted

ENTRIES = (
    *("autoscaler_env", "docs", "examples", "figures", "models", "results"),
    *("ASSIGNMENT.md", "CHANGELOG.md", "LICENSE", "Makefile", "README.md", ".gitignore"),
    *("constraints.txt", "environment.yml", "MANIFEST.in", "pyproject.toml", "requirements.txt", "setup.py"),
)
"""What the students get beside the notebooks. Solutions, tests and executed notebooks have answers and are left out."""

ASSIGNMENT = "ASSIGNMENT.md"
"""The file that says what students submit."""

_INSTRUCTORS = "# For instructors"
"""The heading in ASSIGNMENT.md with which the part for instructors begins."""


@dataclass
class Released:
    """The exercises of a students' version, by what became of their checks."""

    hidden_inputs: list[str] = field(default_factory=list)
    """Those whose check calls the package."""
    sealed: list[str] = field(default_factory=list)
    """Those whose check has seals in place of the answer."""
    noted: list[str] = field(default_factory=list)
    """Those that only the grader judges."""


def release(folder: Path, root: Path | None = None) -> Released:
    """Write the students' version of the course, completely or not at all.

    Args:
        folder: A new or an empty folder.
        root: The course; the project's own by default.

    Raises:
        ValueError: The folder is not empty, or an exercise of the course is answered.
    """
    folder, root = folder.absolute(), root or checkout_root("release")
    check_new_folder(folder)
    temporary = folder.parent / f".{folder.name}-{secrets.token_hex(8)}.autoscaler.tmp"
    try:
        temporary.mkdir(parents=True)
        for name in ENTRIES:
            if (root / name).is_dir():
                shutil.copytree(root / name, temporary / name, ignore=_left_out)
            elif (root / name).exists():
                shutil.copy(root / name, temporary / name)
        released = Released()
        for path in sorted((root / "notebooks").glob("[0-9][0-9]_*.ipynb")):
            text = nbformat.writes(released_notebook(path, released)) + "\n"
            for place in ("notebooks", GIVEN_COURSE):  # `autoscaler check` compares with the second one
                write_text(temporary / place / path.name, text)
        if (temporary / "models").exists():  # a student may train into that folder
            shutil.copytree(temporary / "models", temporary / GIVEN_COURSE / "models")
        _adapt_texts(temporary)
        if folder.exists():
            folder.rmdir()
        temporary.rename(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return released


def _left_out(folder: str, names: list[str]) -> set[str]:
    """Return the entries of a folder that no student needs: what programs leave, and training's own folders."""
    own = {"checkpoints", "best"} if Path(folder).name == "models" else set()
    return {name for name in names if name.startswith(".") or name == "__pycache__" or name in own}


def _adapt_texts(folder: Path) -> None:
    """Let the texts speak of what the students have: no executed notebooks, no part for instructors."""
    for path in (folder / "README.md", *sorted((folder / "docs").glob("*.md"))):
        if path.exists():
            write_text(path, path.read_text(encoding="utf-8").replace("notebooks/executed/", "notebooks/"))
    if (folder / ASSIGNMENT).exists():
        write_text(folder / ASSIGNMENT, students_assignment(folder))


def students_assignment(root: Path) -> str:
    """Return the assignment without its part for instructors.

    Args:
        root: The folder of ASSIGNMENT.md.
    """
    text = (root / ASSIGNMENT).read_text(encoding="utf-8")
    return re.split(rf"^{_INSTRUCTORS}$", text, flags=re.MULTILINE)[0].rstrip() + "\n"


def copy_course(folder: Path) -> list[Path]:
    """Copy the notebooks and the assignment into a folder; no file that exists is changed.

    Args:
        folder: Gets `notebooks/` and `ASSIGNMENT.md`; it is made if it does not exist.

    Returns:
        The notebooks, in the order of the course.

    Raises:
        ValueError: A file or a link has the place of one of them; nothing is written.
        FileNotFoundError: The package came without the course.
    """
    texts = {f"notebooks/{path.name}": path.read_text(encoding="utf-8") for path in course_notebooks()}
    texts[ASSIGNMENT] = students_assignment(project_root())
    present = [name for name in texts if os.path.lexists(folder / name)]
    if present:
        more = f" and {counted(len(present) - 1, 'other file')} of the course" if len(present) > 1 else ""
        raise ValueError(f"folder = {str(folder)!r}: has {present[0]}{more}, and is left as it is; name another folder")
    for name, text in texts.items():
        write_text(folder / name, text)
    return [folder / name for name in texts if name != ASSIGNMENT]


def released_notebook(path: Path, released: Released) -> nbformat.NotebookNode:
    """Return the students' version of a notebook.

    Args:
        path: The course's notebook.
        released: Is told what became of each check.

    Raises:
        ValueError: An exercise is answered.
    """
    for exercise in CourseNotebook(path).exercises:
        if not exercise.is_open:
            raise ValueError(f"{path.name}: exercise {exercise.name} is answered; it would be released with the answer")
    notebook = nbformat.read(path, as_version=4)
    count = 0
    for cell in (cell for cell in notebook.cells if cell.cell_type == "code"):
        cell.outputs, cell.execution_count = [], None
        tags = cell.metadata.get("tags", [])
        if "exercise" in tags:
            count += 1
        elif "exercise-check" in tags:
            kind, cell.source = released_check(cell.source)
            getattr(released, kind).append(f"{path.name[:2]}.{count}")
    return notebook


def released_check(source: str) -> tuple[str, str]:
    """Return what becomes of a check, as the name of a field of `Released`, and its source for students.

    Example:
        >>> kind, source = released_check("print(judging.judge_number(answer_1, saved.max(), 'look again'))")
        >>> print(kind, source.splitlines()[-1].strip())
        noted print(sealed.note(answer_1, 'number'))
    """
    nodes = list(ast.walk(ast.parse(source)))
    answers = [node.id for node in nodes if isinstance(node, ast.Name) and re.fullmatch(r"answer_\d+", node.id)]
    answer = answers[0] if answers else "answer_1"
    called = [node.func for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    if any(ast.unparse(function).startswith("exercises.") for function in called):
        return "hidden_inputs", source
    kinds = [function.attr.removeprefix("judge_") for function in called if function.attr.startswith("judge_")]
    kind = kinds[0] if len(kinds) == 1 and kinds[0] in sealed.KINDS else ""
    if kind and (call := _judged(source, answer, kind)) is not None:
        return "sealed", _check_source(answer, _sealed_call(answer, kind, *call))
    return "noted", _check_source(answer, [f"print(sealed.note({answer}{f', {kind!r}' if kind else ''}))"])


class _Judging:
    """Takes the place of `judging` in a check: notes what an answer is compared with."""

    def __init__(self) -> None:
        self.call: tuple[tuple[Any, ...], dict[str, Any]] | None = None

    def __getattr__(self, name: str) -> Callable[..., str]:
        """Return a function that notes its arguments."""

        def judge(*arguments: Any, **named: Any) -> str:
            self.call = arguments, named
            return ""

        return judge


def _judged(source: str, answer: str, kind: str) -> tuple[Any, tuple[str, ...], float] | None:
    """Return the right answer that a check names, its hints and its tolerance; `None` if it needs results.

    The check runs here, without the results of its notebook. It is the course's own code.
    """
    judging = _Judging()
    known = {"judging": judging, answer: 0, "print": lambda *_: None, "service": Service()}
    try:
        exec(compile(source, "check", "exec"), known)
    except Exception:  # it needs what its notebook has computed
        return None
    if judging.call is None:
        return None
    (_, wanted, *hints), named = judging.call
    return wanted, tuple(hints), float(named.get("within", 0.0))


def _sealed_call(answer: str, kind: str, wanted: Any, hints: tuple[str, ...], within: float) -> list[str]:
    """Return the lines that compare an answer with seals."""
    salt, seals = sealed.seal(kind, wanted, within)
    rows = textwrap.wrap(" ".join(seals), 100)
    tolerance = f", within={within!r}" if within else ""
    return [
        "seals = (",
        *(f'    "{row} "' for row in rows),
        ").split()",
        "hints = (",
        *(f"    {hint!r}," for hint in hints),
        ")",
        f"print(sealed.judge_sealed({answer}, {kind!r}, {salt!r}, seals, *hints{tolerance}))",
    ]


def _check_source(answer: str, lines: list[str]) -> str:
    head = [f"if {answer} is None:", '    print("not attempted")', "else:"]
    body = ["from autoscaler_env.grading import sealed", "", *lines]
    return "\n".join([*head, *(f"    {line}" if line else "" for line in body)])
