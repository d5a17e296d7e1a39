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
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
from tqdm.auto import tqdm

import autoscaler_env
from autoscaler_env.course import FULL, QUICK, Profile, course_notebooks
from autoscaler_env.grading.answer_key import AnswerKey, GraderError
from autoscaler_env.grading.answers import shown_answer
from autoscaler_env.grading.cells import Cell
from autoscaler_env.grading.entries import UnreadableError
from autoscaler_env.grading.model_score import grade_models
from autoscaler_env.grading.notebooks import (
    CourseNotebook,
    Prepared,
    failures,
    for_the_student,
    judge,
    prepare,
    sent_answers,
)
from autoscaler_env.grading.report import Failure, Item, Report, read_report, write_report
from autoscaler_env.grading.rubric import Rubric
from autoscaler_env.grading.sandbox import Sandbox
from autoscaler_env.grading.submission import Submission, find_work, fingerprints
from autoscaler_env.grading.supervisor import NotebookRun, Supervisor
from autoscaler_env.paths import Folders
from autoscaler_env.storage.files import write_text
from autoscaler_env.text import listed, one_line, printable
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
        self._seed = rubric.costs.seed if rubric.costs.seed is not None else secret_seed(output)
        self._cancelled = threading.Event()
        self._again: set[str] = set()
        self._tried = threading.Lock()
        self._works = False
        self.remarks: list[str] = []
        """What a person should know about reports that were there before, one line each."""

    def run(
        self,
        sources: Sequence[Path],
        workers: int = 1,
        *,
        again: Collection[str] = (),
        progress: bool = True,
        when_graded: Callable[[Sequence[Report]], None] = lambda _: None,
    ) -> list[Report]:
        """Grade submissions, and write the report of each one as soon as it is graded.

        A submission that was graded before with the same content, rubric, course and sandbox is not graded again.
        Before the first one is graded, a notebook of the course itself goes the whole way.

        Args:
            sources: Folders or zips.
            workers: How many submissions are graded at the same time.
            again: Names of reports that are made anew in any case.
            progress: Whether to show a progress bar.
            when_graded: Called after each submission, with the reports so far.

        Returns:
            One report per submission, in the order of the sources.

        Raises:
            ValueError: `again` names none of the submissions.
            GraderError: The grader or its machine has a fault. Submissions without a report were not graded.
        """
        names = report_names(sources)
        for name in again:
            if name not in names:
                raise ValueError(f"again = {name!r}: must be one of {', '.join(names)}")
        self._again = set(again)
        reports: dict[str, Report] = {}
        with contextlib.ExitStack() as stack:
            answer_key = stack.enter_context(AnswerKey(self._course.read, self._parameters, self.output / "reference"))
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
                    when_graded([reports[name] for name in names if name in reports])
            except BaseException:
                self._cancelled.set()
                for job in jobs:
                    job.cancel()
                answer_key.cancel()  # jobs may wait for these processes, and the pool waits for its jobs
                for each in processes:
                    each.workers.cancel()
                raise
        return [reports[name] for name in names]

    def earlier(self, names: Collection[str]) -> list[Report]:
        """Return other reports in the output folder: those with the same settings, and those of failed gradings.

        Late submissions are graded alone. They join the gradebook of the earlier ones, so that copying shows.

        Args:
            names: The reports of this run, which are left out.
        """
        settings = self._settings().items()
        folders = sorted(path.parent for path in self.output.glob("*/report.json") if path.parent.name not in names)
        others = [read_report(folder) for folder in folders]
        kept = [report for report in others if report and (not report.key or settings <= report.key.items())]
        if left := [path.name for path in folders if path.name not in {report.name for report in kept}]:
            remark = f"not in gradebook.csv, because made with other settings or damaged: {listed(left)}"
            self.remarks += [remark] if remark not in self.remarks else []
        return kept

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
                if previous is not None and previous.key == key and name not in self._again:
                    return previous
                self._remark(name, key, previous, (folder / "report.json").exists())
                self._try_course(answer_key, processes)
                report = self._graded(submission, name, key, answer_key, processes)
            if not self._cancelled.is_set():
                write_report(report, folder)
            return report
        except UnreadableError as error:
            note = f"not graded: {printable(one_line(error))}"
            report = Report(name, str(source), {}, self._sandbox.description, self._profile, notes=(note,))
            write_report(report, folder)
            return report
        except GraderError:
            raise
        except Exception as error:  # not the student's: it must not become a mark
            raise GraderError(printable(one_line(f"{name}: {type(error).__name__}: {error}"))) from error
        finally:
            free.put(processes)

    def _remark(self, name: str, key: dict[str, str], previous: Report | None, exists: bool) -> None:
        """Say why a submission that has a report is graded again."""
        if previous is not None and previous.key:
            changed = [what for what, value in key.items() if previous.key.get(what) != value]
            self.remarks.append(f"{name}: graded again: {f'{listed(changed)} changed' if changed else 'as you asked'}")
        elif exists and previous is None:
            self.remarks.append(f"{name}: graded again: its report was damaged")

    def _try_course(self, answer_key: AnswerKey, processes: _Processes) -> None:
        """Send the first notebook of the course the whole way, once: what fails then is not a student's fault.

        Raises:
            GraderError: It does not pass, or its answers do not arrive.
        """
        with self._tried:
            if self._works or not self._course.read:
                return
            notebook = self._course.read[0]
            run, prepared = self._run_notebook(notebook.cells, notebook, answer_key, processes.supervisor)
            problem, answers = judge(run, prepared), sent_answers(run, prepared)
            if self._cancelled.is_set():
                raise GraderError("it was cancelled")
            states = {item.state for item in self._grade_exercises(notebook, answers, self._no_points, answer_key)}
            if problem or states - {"not attempted"}:
                reason = problem or f"its open exercises are said to be {listed(sorted(states))}"
                raise GraderError(f"the course's own notebook {notebook.name} cannot be graded here: {reason}")
            self._works = True

    @property
    def _no_points(self) -> dict[str, float]:
        return {exercise.name: 0.0 for notebook in self._course.read for exercise in notebook.exercises}

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
        notebooks, exercises, failed = self._grade_notebooks(submission, name, answer_key, processes.supervisor)
        if self._cancelled.is_set():
            raise GraderError("it was cancelled")
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
            failed,
        )

    def _grade_notebooks(
        self, submission: Submission, name: str, answer_key: AnswerKey, supervisor: Supervisor
    ) -> tuple[tuple[Item, ...], tuple[Item, ...], tuple[Failure, ...]]:
        """Run the notebooks in order; return one item per notebook and one per exercise, and the cells that failed.

        The executed notebooks are written beside the report.
        """
        course = self._course.read
        notebook_points = self._rubric.worth("notebooks", [notebook.name for notebook in course])
        names = [exercise.name for notebook in course for exercise in notebook.exercises]
        exercise_points = self._rubric.worth("exercises", names)
        notebooks, exercises, failed = [], [], []
        for notebook in course:
            points = notebook_points[notebook.name]
            cells = submission.notebooks.get(notebook.name)
            if cells is None:
                reason = submission.reason_without(notebook.name)
                notebooks.append(Item(notebook.name, "not submitted", reason, 0, points))
                exercises += [
                    Item(exercise.name, "not submitted", reason, 0, exercise_points[exercise.name], exercise.title)
                    for exercise in notebook.exercises
                ]
                continue
            run, prepared = self._run_notebook(cells, notebook, answer_key, supervisor)
            problem, answers = judge(run, prepared), sent_answers(run, prepared)
            if run.notebook is not None:
                failed += [Failure(notebook.name, *texts) for texts in failures(run.notebook)]
                executed = nbformat.writes(for_the_student(run.notebook, prepared))
                write_text(self.output / name / f"{notebook.name}.ipynb", executed)
            state, earned = ("failed", 0.0) if problem else ("passed", points)
            notebooks.append(Item(notebook.name, state, problem or f"in {run.seconds:.0f} s", earned, points))
            exercises += self._grade_exercises(notebook, answers, exercise_points, answer_key, problem or "")
        return tuple(notebooks), tuple(exercises), tuple(failed)

    def _run_notebook(
        self, cells: Sequence[Cell], notebook: CourseNotebook, answer_key: AnswerKey, supervisor: Supervisor
    ) -> tuple[NotebookRun, Prepared]:
        """Execute a submitted notebook."""
        parameters = {name: value for name, value in self._parameters.items() if name in notebook.parameters}
        prepared = prepare(cells, notebook, set(parameters))
        return supervisor.run(prepared.notebook, parameters, answer_key.workspace()), prepared

    def _grade_exercises(
        self,
        notebook: CourseNotebook,
        answers: dict[str, dict[str, Any]],
        points: dict[str, float],
        answer_key: AnswerKey,
        problem: str = "",
    ) -> Iterator[Item]:
        """Yield one item for each exercise of a notebook, in which there was perhaps a problem."""
        for exercise in notebook.exercises:
            of = points[exercise.name]
            if exercise.name not in answers:
                yield Item(exercise.name, "not reached", f"the notebook stopped: {problem}", 0, of, exercise.title)
                continue
            result = printable(one_line(answer_key.check(notebook.name, exercise.name, answers[exercise.name])))
            states = ("right", "noted", "not attempted")
            state = next((state for state in states if result.startswith(state)), "not yet")
            reason = result.removeprefix(state).removeprefix(":").strip()
            answer = "" if state == "not attempted" else shown_answer(answers[exercise.name])
            yield Item(exercise.name, state, reason, of if state == "right" else 0, of, exercise.title, answer)


def report_names(sources: Sequence[Path]) -> list[str]:
    """Return a different name for the report of each source: its file name, with what a folder's name may contain.

    Example:
        >>> report_names([Path("a/ann.zip"), Path("b/ann"), Path("=cmd")])
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


def secret_seed(output: Path) -> int:
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
