"""Grade submissions, several at the same time. A submission cannot stop the grading of the others."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import queue
import re
import secrets
import tempfile
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from tqdm.auto import tqdm

import autoscaler_env
from autoscaler_env.course import FULL, QUICK, Profile, course_notebooks
from autoscaler_env.grading.answer_key import AnswerKey
from autoscaler_env.grading.cells import Cell
from autoscaler_env.grading.model_score import grade_models
from autoscaler_env.grading.notebooks import CourseNotebook, judge, prepare, sent_answers
from autoscaler_env.grading.report import Item, Report, read_report, write_report
from autoscaler_env.grading.rubric import Rubric
from autoscaler_env.grading.sandbox import Sandbox
from autoscaler_env.grading.submission import Submission, find_work, fingerprints
from autoscaler_env.grading.supervisor import Supervisor
from autoscaler_env.paths import Folders
from autoscaler_env.text import one_line, printable
from autoscaler_env.verification.workers import Workers


@dataclass(frozen=True)
class Course:
    """The course that submissions are compared with."""

    notebooks: tuple[Path, ...] = field(default_factory=lambda: tuple(course_notebooks()))
    """Its notebooks, in order."""
    models: Path = field(default_factory=lambda: Folders.course().models)
    """The folder of the models that it ships."""

    @cached_property
    def read(self) -> list[CourseNotebook]:
        """The contents of the notebooks."""
        return [CourseNotebook(path) for path in self.notebooks]

    @cached_property
    def fingerprint(self) -> str:
        """A short hash of its version and its notebooks."""
        digest = hashlib.sha256(autoscaler_env.__version__.encode())
        for path in self.notebooks:
            digest.update(path.name.encode() + path.read_bytes())
        return digest.hexdigest()[:16]


class _Processes(NamedTuple):
    """The processes that grade one submission at a time."""

    supervisor: Supervisor
    workers: Workers


class Grading:
    """One run of the grader.

    Args:
        output: The folder for the reports.
        rubric: What earns points.
        sandbox: The sandbox that notebooks run in.
        profile: The budgets that notebooks run with.
        course: The course; the project's own by default.
    """

    def __init__(
        self, output: Path, rubric: Rubric, sandbox: Sandbox, profile: Profile = "quick", course: Course | None = None
    ) -> None:
        self.output = output
        self._rubric = rubric
        self._sandbox = sandbox
        self._profile: Profile = profile
        self._course = course or Course()
        self._parameters = dict(QUICK if profile == "quick" else FULL) | {"output": ""}
        self._seed = rubric.costs.seed if rubric.costs.seed is not None else _secret_seed(output)
        self._cancelled = threading.Event()

    def run(self, sources: Sequence[Path], workers: int = 1, *, progress: bool = True) -> list[Report]:
        """Grade submissions, and write the report of each one as soon as it is graded.

        A submission that was graded before with the same content, rubric, course and sandbox is not graded again.

        Args:
            sources: Folders or zips.
            workers: How many submissions are graded at the same time.
            progress: Whether to show a progress bar.

        Returns:
            One report per submission, in the order of the sources.
        """
        names = _report_names(sources)
        reports: dict[str, Report] = {}
        with contextlib.ExitStack() as stack:
            answer_key = stack.enter_context(AnswerKey(self._course.read, self._parameters))
            free: queue.SimpleQueue[_Processes] = queue.SimpleQueue()
            processes = [
                _Processes(
                    stack.enter_context(Supervisor(self._sandbox, self._rubric.limits, self._cancelled)),
                    stack.enter_context(Workers()),
                )
                for _ in range(workers)
            ]
            for each in processes:
                free.put(each)
            pool = stack.enter_context(ThreadPoolExecutor(workers))
            jobs = [
                pool.submit(self._report, source, name, answer_key, free)
                for source, name in zip(sources, names, strict=True)
            ]
            try:
                bar = tqdm(as_completed(jobs), total=len(jobs), unit="submission", disable=None if progress else True)
                for job in bar:
                    reports[job.result().name] = job.result()
            except BaseException:
                self._cancelled.set()
                for job in jobs:
                    job.cancel()
                answer_key.cancel()  # jobs may wait for these processes, and the pool waits for its jobs
                for each in processes:
                    each.workers.cancel()
                raise
        return [reports[name] for name in names]

    def earlier(self, reports: Sequence[Report]) -> list[Report]:
        """Return other reports in the output folder: those with the same settings, and those of failed gradings.

        Late submissions are graded alone. They join the gradebook of the earlier ones, so that copying shows.
        """
        names, settings = {report.name for report in reports}, self._settings().items()
        folders = sorted(path.parent for path in self.output.glob("*/report.json") if path.parent.name not in names)
        others = [read_report(folder) for folder in folders]
        return [report for report in others if report and (not report.key or settings <= report.key.items())]

    def _report(self, source: Path, name: str, answer_key: AnswerKey, free: queue.SimpleQueue[_Processes]) -> Report:
        """Grade one submission, whatever it does, and write its report."""
        folder = self.output / name
        processes = free.get()
        try:
            with tempfile.TemporaryDirectory(prefix="submission-") as copy:
                expected, models = self._rubric.models.expected, self._course.models
                submission = find_work(source, Path(copy), self._course.read, expected, models, processes.workers)
                key = {"submission": submission.fingerprint} | self._settings()
                previous = read_report(folder)
                if previous is not None and previous.key == key:
                    return previous
                report = self._graded(submission, name, key, answer_key, processes)
        except Exception as error:  # the others must still be graded
            message = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
            note = f"not graded: {printable(one_line(message))}"
            report = Report(name, str(source), {}, self._sandbox.description, self._profile, notes=(note,))
        finally:
            free.put(processes)
        if not self._cancelled.is_set():
            write_report(report, folder)
        return report

    def _settings(self) -> dict[str, str]:
        """Return what all reports of a run depend on."""
        return {
            "rubric": self._rubric.fingerprint,
            "course": self._course.fingerprint,
            "profile": self._profile,
            "sandbox": self._sandbox.kind,
            "days": hashlib.sha256(str(self._seed).encode()).hexdigest()[:16],
        }

    def _graded(
        self, submission: Submission, name: str, key: dict[str, str], answer_key: AnswerKey, processes: _Processes
    ) -> Report:
        notebooks, exercises = self._grade_notebooks(submission, answer_key, processes.supervisor)
        if self._cancelled.is_set():
            raise ValueError("it was cancelled")
        models, costs, model_fingerprints = grade_models(
            submission, self._rubric, self._seed, self._course.models, processes.workers
        )
        return Report(
            name,
            str(submission.source),
            key,
            self._sandbox.description,
            self._profile,
            {"notebooks": notebooks, "exercises": exercises, "models": models, "costs": costs},
            submission.notes,
            fingerprints(submission, self._course.read, self._course.models) | model_fingerprints,
            submission.unused,
        )

    def _grade_notebooks(
        self, submission: Submission, answer_key: AnswerKey, supervisor: Supervisor
    ) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
        """Run the notebooks in order; return one item per notebook and one per exercise."""
        course = self._course.read
        notebook_points = self._rubric.worth("notebooks", [notebook.name for notebook in course])
        names = [exercise.name for notebook in course for exercise in notebook.exercises]
        exercise_points = self._rubric.worth("exercises", names)
        notebooks, exercises = [], []
        for notebook in course:
            points = notebook_points[notebook.name]
            cells = submission.notebooks.get(notebook.name)
            if cells is None:
                reason = submission.reason_without(notebook.name)
                notebooks.append(Item(notebook.name, "not submitted", reason, 0, points))
                exercises += [
                    Item(exercise.name, "not attempted", "", 0, exercise_points[exercise.name])
                    for exercise in notebook.exercises
                ]
                continue
            problem, answers, seconds = self._run_notebook(cells, notebook, answer_key, supervisor)
            state, earned = ("failed", 0.0) if problem else ("passed", points)
            notebooks.append(Item(notebook.name, state, problem or f"in {seconds:.0f} s", earned, points))
            exercises += self._grade_exercises(notebook, answers, exercise_points, answer_key)
        return tuple(notebooks), tuple(exercises)

    def _run_notebook(
        self, cells: Sequence[Cell], notebook: CourseNotebook, answer_key: AnswerKey, supervisor: Supervisor
    ) -> tuple[str | None, dict[str, dict[str, Any]], float]:
        """Return why a notebook did not pass (`None` if it did), the answers that it sent, and its time in seconds."""
        parameters = {name: value for name, value in self._parameters.items() if name in notebook.parameters}
        prepared = prepare(cells, notebook, set(parameters))
        run = supervisor.run(prepared.notebook, parameters, answer_key.workspace())
        return judge(run, prepared), sent_answers(run, prepared), run.seconds

    def _grade_exercises(
        self,
        notebook: CourseNotebook,
        answers: dict[str, dict[str, Any]],
        points: dict[str, float],
        answer_key: AnswerKey,
    ) -> Iterator[Item]:
        """Yield one item for each exercise of a notebook."""
        for exercise in notebook.exercises:
            of = points[exercise.name]
            if exercise.name not in answers:
                reason = "the notebook stopped before this exercise, or lacks its cell"
                yield Item(exercise.name, "not reached", reason, 0, of)
                continue
            result = printable(one_line(answer_key.check(notebook.name, exercise.name, answers[exercise.name])))
            state = next((state for state in ("right", "not attempted") if result.startswith(state)), "not yet")
            reason = result.removeprefix(state).removeprefix(":").strip()
            yield Item(exercise.name, state, reason, of if state == "right" else 0, of)


def _report_names(sources: Sequence[Path]) -> list[str]:
    """Return a different name for the report of each source: its file name, with what a folder's name may contain.

    Example:
        >>> _report_names([Path("a/ann.zip"), Path("b/ann"), Path("=cmd")])
        ['ann', 'ann-2', '_cmd']
    """
    names: list[str] = []
    for source in sources:
        plain = source.name if source.name not in ("", "..") else source.resolve().name
        base = re.sub(r"[^\w.-]", "_", re.sub(r"\.zip$", "", plain, flags=re.IGNORECASE)).strip(".")[:80] or "_"
        base = f"_{base[1:]}" if base.startswith("-") else base
        number = 1
        while (name := base if number == 1 else f"{base}-{number}") in names:
            number += 1
        names.append(name)
    return names


def _secret_seed(output: Path) -> int:
    """Return the seed of the secret days of this output folder; the first call draws and stores it.

    Only the current user can ever read the file, and it exists only when it is complete.
    """
    path = output / "secret_days.json"
    if not path.exists():
        output.mkdir(parents=True, exist_ok=True)
        temporary = output / f".{secrets.token_hex(8)}.autoscaler.tmp"  # a later run removes it if this one is killed
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                json.dump({"seed": secrets.randbelow(2**61)}, file)
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileExistsError):  # another run was faster: its days count
                _give_name(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    with contextlib.suppress(ValueError, KeyError, TypeError):
        seed = json.loads(path.read_text(encoding="utf-8"))["seed"]
        if type(seed) is int and 0 <= seed < 2**61:
            return seed
    raise ValueError(f"{path}: does not contain the number of the evaluation days; remove it to draw new days")


def _give_name(temporary: Path, path: Path) -> None:
    """Give a file its final name.

    Raises:
        FileExistsError: The name is taken.
    """
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        temporary.replace(path)
