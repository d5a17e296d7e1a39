"""`autoscaler check`: a student checks own work before handing it in."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from autoscaler_env.paths import GIVEN_COURSE, output_root, project_root
from autoscaler_env.text import counted, listed

if TYPE_CHECKING:
    from autoscaler_env.grading.grade import Course
    from autoscaler_env.grading.report import Item, Report

_MOST_NAMED = 5
"""Unused files with one reason that are named; of more, only the number is said."""


@dataclass(frozen=True)
class Check:
    """Check your own work before you hand it in: the grader's checks, on your machine, without a sandbox.

    It finds your notebooks and models as the grader does, runs the notebooks with small budgets, checks the answers and
    verifies the models. The costs are those on ordinary evaluation days: the grader uses hidden days, so no points are
    promised.
    """

    work: Annotated[Positional[tuple[Path, ...]], arg(metavar="NOTEBOOK|FOLDER ...", help_behavior_hint="(.)")] = (
        Path(),
    )
    """Your notebooks, or a folder or zip as you will hand it in."""
    course: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="(those that you were given)")] = None
    """The course's notebooks as you got them, without answers."""
    output: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="(.autoscaler/check)")] = None
    """Folder for a run of the course, which is kept for the next check."""

    def run(self) -> int:
        """Check, and print a line for each part; return 0 if all is right, 1 if not, 3 if the check itself failed."""
        for path in self.work:
            if not path.exists():
                raise ValueError(f"work = {str(path)!r}: no such file or folder")
        notebooks = [path for path in self.work if path.suffix.lower() == ".ipynb" and path.is_file()]
        folders = [path for path in self.work if path not in notebooks]
        course = given_course(self.course)
        from autoscaler_env.grading.answer_key import GraderError

        try:
            with tempfile.TemporaryDirectory(prefix="check-") as place:
                reports = [self._report(folder, course) for folder in folders]
                if notebooks:
                    together = Path(place, "notebooks")
                    together.mkdir()
                    for path in notebooks:
                        shutil.copy(path, _free(together / path.name))
                    reports.append(self._report(together, needed_by(notebooks, course), models=False))
        except GraderError as fault:
            print(f"autoscaler: the check itself failed, not your work: {fault}", file=sys.stderr)
            return 3
        for report in reports:
            heading = [f"{report.name}:"] if len(reports) > 1 else []
            print("\n".join([*heading, *report_lines(report)]))
        return 0 if all(is_right(report) for report in reports) else 1

    def _report(self, source: Path, course: Course, *, models: bool = True) -> Report:
        """Grade a folder as the grader does, with ordinary days and without a sandbox."""
        from autoscaler_env.grading.grade import Grading, report_names
        from autoscaler_env.grading.rubric import Rubric
        from autoscaler_env.grading.sandbox import NO_SANDBOX

        rubric = Rubric.read()
        rubric = replace(
            rubric,
            costs=replace(rubric.costs, seed=0),
            models=rubric.models if models else replace(rubric.models, expected=()),
        )
        output = (self.output or output_root() / ".autoscaler" / "check").absolute()
        grading = Grading(output, rubric, NO_SANDBOX, course=course)
        (report,) = grading.run([source], again=report_names([source]))
        if not models:  # only what was named is asked for
            asked = {
                part: tuple(item for item in items if item.state != "not submitted")
                for part, items in report.parts.items()
            }
            report = replace(report, parts=asked)
        return report


def given_course(folder: Path | None) -> Course:
    """Return the course as students got it.

    Args:
        folder: Its notebooks, and perhaps its models in `models`; by default those that `autoscaler release` put
            aside, else those of the checkout.

    Raises:
        ValueError: There are no notebooks, or an exercise in them is answered.
    """
    root = project_root()
    places = [folder] if folder else [root / GIVEN_COURSE, root / "notebooks"]
    for place in places:
        paths = sorted(place.glob("[0-9][0-9]_*.ipynb"))
        if not paths:
            continue
        from autoscaler_env.grading.grade import Course  # slow to import

        course = Course(tuple(paths))
        if (place / "models").is_dir():
            course = replace(course, models=place / "models")
        for notebook in course.read:
            for exercise in notebook.exercises:
                if not exercise.is_open:
                    raise ValueError(
                        f"course = {str(place)!r}: exercise {exercise.name} is answered there; the check needs the "
                        "notebooks as you got them, such as those of a fresh copy: --course FOLDER"
                    )
        return course
    raise ValueError(f"course = {str(places[-1])!r}: has no notebooks of the course; name their folder with --course")


def needed_by(notebooks: Sequence[Path], course: Course) -> Course:
    """Return the part of a course that some notebooks belong to: their own, and those whose results they read."""
    from autoscaler_env.course import NEEDS
    from autoscaler_env.grading.cells import read_cells
    from autoscaler_env.grading.notebooks import resemblance

    wanted = set()
    for path in notebooks:
        try:
            cells = read_cells(path.read_bytes())
        except ValueError:
            continue  # the check of the folder says what is wrong with it
        own = max(course.read, key=lambda own: resemblance(cells, own)).name[:2]
        wanted |= {own, *NEEDS.get(own, ())}
    return replace(course, notebooks=tuple(path for path in course.notebooks if path.name[:2] in wanted))


def is_right(report: Report) -> bool:
    """Return whether nothing is left to do: each notebook passes, each answer is right, each model works."""
    fine = {"notebooks": ("passed",), "exercises": ("right", "noted"), "models": ("ok", "poor")}
    parts = [(part, item) for part, states in fine.items() for item in report.parts.get(part, ())]
    return bool(parts) and all(item.state in fine[part] for part, item in parts)


def report_lines(report: Report) -> Iterator[str]:
    """Yield what a student should know, line by line."""
    if not report.parts:
        yield from report.notes
        return
    for notebook in report.parts["notebooks"]:
        exercises = [item for item in report.parts["exercises"] if item.name[:2] == notebook.name[:2]]
        if notebook.state == "not submitted":
            yield f"{notebook.name}: not found, with {counted(len(exercises), 'exercise')}{_reason(notebook)}"
            continue
        yield f"{notebook.name}: {notebook.state}{_reason(notebook)}"
        for item in exercises:
            answer = f" (your answer: {item.answer})" if item.answer and item.state == "not yet" else ""
            yield f"  {item.name} {item.state}{_reason(item)}{answer}"
    costs = {item.name: item for item in report.parts["costs"]}
    for model in report.parts["models"]:
        state = "not found" if model.state == "not submitted" else model.state
        yield f"{model.name}: {state}{_reason(model)}"
        if costs[model.name].state.startswith("$"):
            yield f"  {costs[model.name].state}{_reason(costs[model.name])}"
    yield from report.notes
    by_reason: dict[str, list[str]] = defaultdict(list)
    for path, reason in report.unused:
        by_reason[reason].append(path)
    for reason, paths in by_reason.items():
        files = listed(paths) if len(paths) <= _MOST_NAMED else counted(len(paths), "file")
        yield f"not used: {files}: {reason}"
    if any(item.state.startswith("$") for item in costs.values()):
        yield "Costs are on ordinary evaluation days. The grader uses hidden days, so no points are promised."
    if any(item.state == "noted" for item in report.parts["exercises"]):
        yield "Answers that are noted depend on results, and only the grader judges them."


def _reason(item: Item) -> str:
    return f": {item.reason}" if item.reason else ""


def _free(path: Path) -> Path:
    """Return a path that no file has: the path itself, or one with a number."""
    number = 1
    while path.exists():
        number += 1
        path = path.with_stem(f"{path.stem}-{number}")
    return path
