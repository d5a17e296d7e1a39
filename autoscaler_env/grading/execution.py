"""Execute what a submission holds: its notebooks in a sandbox, its models in processes with limits.

Nothing here knows an answer of the course or the folder of the grader, so a worker of a cluster can do it (`remote`).
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import nbformat

from autoscaler_env.grading.answer_key import GraderError
from autoscaler_env.grading.cells import Cell
from autoscaler_env.grading.model_score import grade_models
from autoscaler_env.grading.notebooks import (
    CourseNotebook,
    failures,
    for_the_student,
    judge,
    prepare,
    sent_answers,
)
from autoscaler_env.grading.report import Failure, Item
from autoscaler_env.grading.rubric import Rubric
from autoscaler_env.grading.sandbox import Limits, Sandbox, closed_folder
from autoscaler_env.grading.submission import Submission
from autoscaler_env.grading.supervisor import Supervisor
from autoscaler_env.verification.workers import Workers


@dataclass(frozen=True)
class Settings:
    """What all submissions of a grading have in common."""

    notebooks: tuple[CourseNotebook, ...]
    """The course's notebooks, in order."""
    models: Path
    """The folder of the models that the course ships."""
    workspace: Path | None
    """The folder with what the course's notebooks have written; each kernel gets a copy. `None` if there are none."""
    parameters: dict[str, Any]
    """Given to each notebook that has a parameter of the name."""
    rubric: Rubric
    seed: int
    """Of the secret days, from 0 to 2**61 - 1."""


@dataclass(frozen=True)
class ExecutedNotebook:
    """What became of one notebook of a submission; plain data, which the submission may have forged."""

    problem: str | None
    """Why it did not pass, in one line; `None` if it passed."""
    seconds: float
    answers: dict[str, dict[str, Any]]
    """What was sent for each exercise, by variable; JSON."""
    failures: tuple[Failure, ...]
    """The cells that failed."""
    executed: str | None
    """The executed notebook for the student, as JSON; `None` if it did not start."""


@dataclass(frozen=True)
class Execution:
    """What became of the notebooks and models of one submission."""

    notebooks: dict[str, ExecutedNotebook]
    """By the name of the course's notebook; those that were not submitted are missing."""
    models: tuple[Item, ...]
    """For each expected model whether it works."""
    costs: tuple[Item, ...]
    """For each expected model its cost."""
    fingerprints: dict[str, str]
    """By model a hash of its actions."""


class _Processes(NamedTuple):
    """The processes that execute one submission at a time."""

    supervisor: Supervisor
    workers: Workers


class Executor:
    """Executes submissions on this machine, several at the same time. Use it as a context manager.

    Before the first submission, the first notebook of the course itself goes the whole way: what fails then is not a
    student's fault.

    Args:
        count: Submissions that are executed at the same time, at least 1; other threads wait.
        sandbox: The sandbox that notebooks run in.
        limits: What each notebook may use.
    """

    def __init__(self, count: int, sandbox: Sandbox, limits: Limits) -> None:
        self.count = count
        self._sandbox = sandbox
        self._cancelled = threading.Event()
        self._processes = [_Processes(Supervisor(sandbox, limits, self._cancelled), Workers()) for _ in range(count)]
        self._free: queue.SimpleQueue[_Processes] = queue.SimpleQueue()
        for each in self._processes:
            self._free.put(each)
        self._tried = threading.Lock()
        self._works = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with contextlib.ExitStack() as stack:
            for each in self._processes:
                stack.push(each.supervisor)
                stack.push(each.workers)

    def cancel(self) -> None:
        """End what runs, for good; threads that wait for it get an error."""
        self._cancelled.set()
        for each in self._processes:
            each.workers.cancel()

    @contextlib.contextmanager
    def reader(self) -> Iterator[Workers]:
        """Lend a process that reads what was handed in within limits."""
        with self._lent() as processes:
            yield processes.workers

    def execute(self, submission: Submission, settings: Settings) -> Execution:
        """Run the notebooks of a submission in the course's order, then play its models.

        Args:
            submission: The submission; its models are read from their copies.
            settings: What all submissions have in common.

        Raises:
            GraderError: The course's own notebook cannot be executed here, or `cancel` was called.
            OSError: This machine has a fault, such as a full disk.
        """
        with self._lent() as processes:
            self._try_course(settings, processes.supervisor)
            notebooks = {
                notebook.name: _execute(submission.notebooks[notebook.name], notebook, settings, processes.supervisor)
                for notebook in settings.notebooks
                if notebook.name in submission.notebooks
            }
            if self._cancelled.is_set():
                raise GraderError("it was cancelled")
            models = grade_models(submission, settings.rubric, settings.seed, settings.models, processes.workers)
            return Execution(notebooks, *models)

    @contextlib.contextmanager
    def _lent(self) -> Iterator[_Processes]:
        processes = self._free.get()
        try:
            yield processes
        finally:
            self._free.put(processes)

    def _try_course(self, settings: Settings, supervisor: Supervisor) -> None:
        """Execute the first notebook of the course, once.

        Raises:
            GraderError: It does not pass, or its answers do not arrive, or kernels cannot reach what they need.
        """
        with self._tried:
            if self._works or not settings.notebooks:
                return
            seen = settings.workspace if self._sandbox.kind == "user" else None
            if seen is not None and (closed := closed_folder(seen)):
                raise GraderError(
                    f"notebooks run with a user id of their own, which cannot pass through {closed}: let all users "
                    f"pass (chmod o+x {closed}), or choose another --output"
                )
            notebook = settings.notebooks[0]
            ran = _execute(notebook.cells, notebook, settings, supervisor)
            if self._cancelled.is_set():
                raise GraderError("it was cancelled")
            lost = [exercise.name for exercise in notebook.exercises if exercise.name not in ran.answers]
            if ran.problem or lost:
                reason = ran.problem or f"the answers of {', '.join(lost)} do not arrive"
                raise GraderError(f"the course's own notebook {notebook.name} cannot be graded here: {reason}")
            self._works = True


def _execute(
    cells: Sequence[Cell], notebook: CourseNotebook, settings: Settings, supervisor: Supervisor
) -> ExecutedNotebook:
    """Execute a submitted notebook."""
    parameters = {name: value for name, value in settings.parameters.items() if name in notebook.parameters}
    prepared = prepare(cells, notebook, set(parameters))
    run = supervisor.run(prepared.notebook, parameters, settings.workspace)
    failed, executed = [], None
    if run.notebook is not None:
        failed = [Failure(notebook.name, *texts) for texts in failures(run.notebook)]
        executed = nbformat.writes(for_the_student(run.notebook, prepared))
    return ExecutedNotebook(judge(run, prepared), run.seconds, sent_answers(run, prepared), tuple(failed), executed)
