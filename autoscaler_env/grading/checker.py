"""Run the course's own notebooks once and check answers with their variables; no submitted code runs here.

`answer_key` starts this process. It reads one line of JSON from standard input, `{"notebooks": [...], "parameters":
{...}, "workspace": FOLDER}`, and writes one line for each notebook: `{"error": ..., "seconds": ...}`. After that each
line asks for one check, `{"notebook": ..., "exercise": ..., "answers": {...}}`. The reply is `{"result": ...}`, with
what the course's check cell printed for these answers.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import io
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, TextIO

import tqdm
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from autoscaler_env.grading.answers import restore
from autoscaler_env.grading.judging import forget_misses
from autoscaler_env.grading.notebooks import Cell, CourseNotebook
from autoscaler_env.text import one_line
from autoscaler_env.verification.workers import can_fork, in_child

CHECK_SECONDS = 60
"""A check that takes longer on an answer has failed."""

MAX_MESSAGE = 2_000
"""Characters of what a check prints that are kept."""


class Checker:
    """The course's notebooks, each with the variables that it has before its exercises are answered.

    Args:
        parameters: Given to each notebook that has a parameter of the name.
        watched: File descriptors; this process ends if one of them becomes readable during a check (see `in_child`).
    """

    def __init__(self, parameters: dict[str, Any], watched: tuple[int, ...] = ()) -> None:
        self._parameters = parameters
        self._watched = watched
        self._notebooks: dict[str, tuple[CourseNotebook, InteractiveShell]] = {}

    def run(self, path: Path) -> str | None:
        """Run a notebook up to its last exercise, leaving the exercises open; return what stopped it, or `None`."""
        course = CourseNotebook(path)
        shell = InteractiveShell(config=Config({"HistoryManager": {"enabled": False}}))
        self._notebooks[course.name] = course, shell
        for cell in _cells_to_run(course.cells):
            if error := _error(shell.run_cell(cell.source)):
                return error
            if "parameters" in cell.tags:
                shell.push({name: value for name, value in self._parameters.items() if name in course.parameters})
            if "matplotlib.pyplot" in sys.modules:
                sys.modules["matplotlib.pyplot"].close("all")
        return None

    def check(self, notebook: str, exercise: str, answers: dict[str, Any]) -> str:
        """Return what the course's check prints for answers, in one line.

        Each check works on a fresh copy of the variables: a check runs in a forked child of this process. Where the
        system cannot fork, the variables that can be copied are restored after the check.

        Args:
            notebook: The name of the notebook.
            exercise: The name of the exercise, such as 03.1.
            answers: What a submission sent, by variable; JSON, possibly forged.
        """
        course, shell = self._notebooks[notebook]
        (chosen,) = [other for other in course.exercises if other.name == exercise]
        try:
            values = {name: restore(answers[name]) for name in chosen.variables if name in answers}
        except ValueError as error:
            return f"not yet: {error}"
        if can_fork():
            result = in_child(lambda _: _run_check(shell, chosen.check, values), CHECK_SECONDS, self._watched)
            return str(result["value"]) if "value" in result else f"not yet: the check failed: {result['error']}"
        hidden = shell.user_ns_hidden  # IPython's own variables, which refer to the shell
        variables = {name: value if name in hidden else _copied(value) for name, value in shell.user_ns.items()}
        try:
            return _run_check(shell, chosen.check, values)
        finally:
            shell.user_ns.clear()
            shell.user_ns.update(variables)


def _run_check(shell: InteractiveShell, check: str, values: dict[str, Any]) -> str:
    printed = io.StringIO()
    forget_misses()  # of the submission before, where the system cannot fork
    shell.push(values)
    with contextlib.redirect_stdout(printed):
        error = _error(shell.run_cell(check))
    message = f"not yet: {error}" if error else one_line(printed.getvalue()) or "not yet"
    return message[:MAX_MESSAGE]


def _copied(value: Any) -> Any:
    """Return a deep copy of a value; the value itself if it cannot be copied, such as a module."""
    try:
        return copy.deepcopy(value)
    except Exception:
        return value


def _cells_to_run(cells: list[Cell]) -> list[Cell]:
    """Return the code cells up to the last exercise without the checks; all of them if there are no exercises."""
    end = max((index for index, cell in enumerate(cells) if "exercise-check" in cell.tags), default=len(cells))
    return [cell for cell in cells[:end] if cell.kind == "code" and "exercise-check" not in cell.tags]


def _error(result: Any) -> str | None:
    error = result.error_before_exec or result.error_in_exec
    return f"{type(error).__name__}: {error}" if error is not None else None


def _reserve_stdout() -> TextIO:
    """Return standard output for this module alone; what notebooks print is lost."""
    replies = os.fdopen(os.dup(1), "w")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    return replies


def main() -> None:
    """Run the course; answer requests until there are no more."""
    replies = _reserve_stdout()
    reply = functools.partial(print, file=replies, flush=True)
    tqdm.tqdm.monitor_interval = 0  # no thread of a progress bar: this process forks
    job = json.loads(sys.stdin.readline())
    os.umask(0o022)
    os.chdir(job["workspace"])
    checker = Checker(job["parameters"], watched=(0,))
    for name in job["notebooks"]:
        start = time.perf_counter()
        error = checker.run(Path(name))
        reply(json.dumps({"error": error, "seconds": time.perf_counter() - start}))
    for line in sys.stdin:
        request = json.loads(line)
        result = checker.check(request["notebook"], request["exercise"], request["answers"])
        reply(json.dumps({"result": result}))


if __name__ == "__main__":
    main()
