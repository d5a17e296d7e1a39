"""Run the course's own notebooks once, and judge answers in what they leave; a process without foreign code.

It starts with a line of JSON on standard input, `{"notebooks": [...], "parameters": {...}, "workspace": FOLDER}`, and
says with a line for each notebook how it ran. Then each line asks for one check, `{"notebook": ..., "exercise": ...,
"answers": {...}}`, and is answered by one, `{"said": ...}`: what the course's check cell printed, given those answers.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, TextIO

from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from autoscaler_env.grading.answers import received
from autoscaler_env.grading.notebooks import Cell, CourseNotebook


class Marker:
    """The course's notebooks, each with the variables that it has before its exercises.

    Args:
        parameters: Given to each notebook that has one of the name.
    """

    def __init__(self, parameters: dict[str, Any]) -> None:
        self._parameters = parameters
        self._notebooks: dict[str, tuple[CourseNotebook, InteractiveShell]] = {}

    def run(self, path: Path) -> str | None:
        """Run a notebook up to its last exercise, the exercises left open; return what stopped it."""
        course = CourseNotebook(path)
        shell = InteractiveShell(config=Config({"HistoryManager": {"enabled": False}}))
        self._notebooks[course.name] = course, shell
        for cell in _before_the_end(course.cells):
            if error := _error(shell.run_cell(cell.source)):
                return error
            if "parameters" in cell.tags:
                shell.push({name: value for name, value in self._parameters.items() if name in course.parameters})
            if "matplotlib.pyplot" in sys.modules:
                sys.modules["matplotlib.pyplot"].close("all")
        return None

    def check(self, notebook: str, exercise: str, told: dict[str, Any]) -> str:
        """Return what the course's check says to answers, in one line.

        Args:
            notebook: Whose exercise it is.
            exercise: Its name, such as 03.1.
            told: What a submission told, by variable; JSON of any origin.
        """
        course, shell = self._notebooks[notebook]
        (asked,) = [each for each in course.exercises if each.name == exercise]
        try:
            given = {name: received(told[name]) for name in asked.variables if name in told}
        except ValueError as error:
            return f"not yet: {error}"
        before = dict(shell.user_ns)
        printed = io.StringIO()
        try:
            shell.push(given)
            with contextlib.redirect_stdout(printed):
                problem = _error(shell.run_cell(asked.check))
        finally:
            shell.user_ns.clear()
            shell.user_ns.update(before)
        return f"not yet: {problem}" if problem else " ".join(printed.getvalue().split()) or "not yet"


def _before_the_end(cells: list[Cell]) -> list[Cell]:
    """Return the code cells up to the last exercise, without the checks; all where there are no exercises."""
    last = max((place for place, cell in enumerate(cells) if "exercise-check" in cell.tags), default=len(cells))
    return [cell for cell in cells[:last] if cell.kind == "code" and "exercise-check" not in cell.tags]


def _error(result: Any) -> str | None:
    error = result.error_before_exec or result.error_in_exec
    return f"{type(error).__name__}: {error}" if error is not None else None


def _speak_alone() -> TextIO:
    """Return our standard output, and let what notebooks print go nowhere."""
    ours = os.fdopen(os.dup(1), "w")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    return ours


def main() -> None:
    """Run the course; answer requests until there are no more."""
    speak = _speak_alone()
    asked = json.loads(sys.stdin.readline())
    os.umask(0o022)
    os.chdir(asked["workspace"])
    marker = Marker(asked["parameters"])
    for name in asked["notebooks"]:
        started = time.perf_counter()
        error = marker.run(Path(name))
        print(json.dumps({"error": error, "seconds": time.perf_counter() - started}), file=speak, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        said = marker.check(request["notebook"], request["exercise"], request["answers"])
        print(json.dumps({"said": said}), file=speak, flush=True)


if __name__ == "__main__":
    main()
