"""Grade submissions, several at the same time. A submission cannot stop the grading of the others."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import re
import secrets
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from tqdm.auto import tqdm

from autoscaler_env.compiled import package_fingerprint
from autoscaler_env.course import FULL, QUICK, Profile, course_notebooks
from autoscaler_env.grading.answer_key import AnswerKey, GraderError
from autoscaler_env.grading.answers import collect, shown_answer
from autoscaler_env.grading.entries import UnreadableError, name_of
from autoscaler_env.grading.execution import Execution, Executor, Settings
from autoscaler_env.grading.notebooks import CourseNotebook, answer_source
from autoscaler_env.grading.report import Item, Report, read_report, write_report
from autoscaler_env.grading.rubric import Rubric
from autoscaler_env.grading.sandbox import Sandbox
from autoscaler_env.grading.submission import Submission, find_work, fingerprints
from autoscaler_env.paths import Folders
from autoscaler_env.storage.files import take_lock, write_text
from autoscaler_env.text import duration, listed, not_a_choice, one_line, printable

if TYPE_CHECKING:
    from autoscaler_env.grading.remote import RemoteExecutor

AnyExecutor: TypeAlias = "Executor | RemoteExecutor"

RESERVED = frozenset(
    {
        *("reference", "locks", "secret_days.json", "gradebook.csv", "roster.csv", "adjust.csv"),
        *("canvas.csv", "moodle.csv", "leaderboard.csv", "names.csv", "report.json", "report.html", "results.json"),
    }
)
"""Files and folders that commands keep beside the reports: no report has such a name, in capital letters either."""

_LOCK_SECONDS = 0.2
"""Time between two looks whether another grader is done with a submission."""


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
        """A short hash of the package, which holds the checks, and of its notebooks."""
        digest = hashlib.sha256(package_fingerprint().encode())
        for path in self.notebooks:
            digest.update(path.name.encode() + path.read_bytes())
        return digest.hexdigest()[:16]


class _Done(NamedTuple):
    """A submission that has a report."""

    report: Report
    is_new: bool
    """Whether it was graded now; `False` if its report was there before."""


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
        self.left_out: dict[str, Path] = {}
        """The submissions whose reports `earlier` left out, by name."""

    def run(
        self,
        sources: Sequence[Path],
        workers: int = 1,
        *,
        scheduler: str | None = None,
        again: Collection[str] = (),
        progress: bool = True,
        when_graded: Callable[[Sequence[Report]], None] = lambda _: None,
    ) -> list[Report]:
        """Grade submissions, and write the report of each one as soon as it is graded.

        A submission that was graded before with the same content, rubric, course and sandbox is not graded again.
        Before the first one is graded, a notebook of the course itself goes the whole way. Several graders may work in
        one output folder: each submission is graded by one of them.

        Args:
            sources: Folders or zips.
            workers: How many submissions are graded at the same time on this machine.
            scheduler: Address of a running Dask scheduler, on whose workers submissions are executed instead.
            again: Names of reports that are made anew in any case.
            progress: Whether to show a progress bar, and a line for each submission.
            when_graded: Called after each submission, with the reports so far.

        Returns:
            One report per submission, in the order of the sources.

        Raises:
            ValueError: `again` names none of the submissions; or the cluster has no suitable worker.
            GraderError: The grader or its machine has a fault. Submissions without a report were not graded.
        """
        names = report_names(sources)
        for name in again:
            if name not in names:
                raise ValueError(not_a_choice("again", name, names))
        self._again = set(again)
        reports: dict[str, Report] = {}
        with contextlib.ExitStack() as stack:
            answer_key = stack.enter_context(AnswerKey(self._course.read, self._parameters, self.output / "reference"))
            executor = self._executor(workers, scheduler)
            stack.enter_context(executor)
            pool = stack.enter_context(ThreadPoolExecutor(executor.count))
            jobs = {
                pool.submit(self._report, source, name, answer_key, executor): (source, name)
                for source, name in zip(sources, names, strict=True)
            }
            try:
                for done in self._finished(jobs, pool, answer_key, executor, progress):
                    reports[done.report.name] = done.report
                    when_graded([reports[name] for name in names if name in reports])
            except BaseException:
                self._cancelled.set()
                for job in jobs:
                    job.cancel()
                answer_key.cancel()  # jobs may wait for these processes, and the pool waits for its jobs
                executor.cancel()
                raise
        return [reports[name] for name in names]

    def _executor(self, workers: int, scheduler: str | None) -> AnyExecutor:
        if scheduler is None:
            return Executor(workers, self._sandbox, self._rubric.limits)
        from autoscaler_env.grading.remote import RemoteExecutor

        return RemoteExecutor(scheduler, self._sandbox, workers)

    def _finished(
        self,
        jobs: dict[Future[_Done | None], tuple[Path, str]],
        pool: ThreadPoolExecutor,
        answer_key: AnswerKey,
        executor: AnyExecutor,
        progress: bool,
    ) -> Iterator[_Done]:
        """Yield the submissions as they get reports; those that another grader works on are waited for at the end."""
        total, new, start = len(jobs), 0, 0.0
        with tqdm(total=total, unit="submission", disable=None if progress else True) as bar:
            while jobs:
                for job in wait(jobs, return_when=FIRST_COMPLETED).done:
                    source, name = jobs.pop(job)
                    done = job.result()
                    if done is None:
                        jobs[pool.submit(self._report, source, name, answer_key, executor, patient=True)] = source, name
                        continue
                    yield done
                    bar.update()
                    # The time before the first one is that of the course, and of processes that start.
                    start, new = start or time.monotonic(), new + done.is_new
                    left = (time.monotonic() - start) / (new - 1) * len(jobs) if new > 1 else None
                    if progress:
                        bar.write(_progress_line(done, total - len(jobs), total, left), file=sys.stderr)

    def earlier(self, done: Collection[str]) -> list[Report]:
        """Return other reports in the output folder: those with the same settings, and those of failed gradings.

        Late submissions are graded alone. They join the gradebook of the earlier ones, so that copying shows.

        Args:
            done: The reports of this run, which are left out.
        """
        settings = self._settings().items()
        folders = sorted(path.parent for path in self.output.glob("*/report.json") if path.parent.name not in done)
        others = {folder.name: read_report(folder) for folder in folders}
        kept = [each for each in others.values() if each and (not each.key or settings <= each.key.items())]
        left = others.keys() - {report.name for report in kept}
        self.left_out = {name: Path(each.source if each else name) for name, each in others.items() if name in left}
        if left:
            names = listed(list(self.left_out))
            remark = f"without a mark until graded again, because made with other settings or damaged: {names}"
            self.remarks += [remark] if remark not in self.remarks else []
        return kept

    def _report(
        self, source: Path, name: str, answer_key: AnswerKey, executor: AnyExecutor, *, patient: bool = False
    ) -> _Done | None:
        """Grade one submission, whatever it does, and write its report.

        Args:
            source: A folder or a zip.
            name: The name of its report.
            answer_key: Checks its answers.
            executor: Executes it.
            patient: Whether to wait for another grader that works on it; if not, return `None` then.
        """
        try:
            with self._turn(name, patient) as is_ours:
                return self._done(source, name, answer_key, executor) if is_ours else None
        except GraderError:
            raise
        except Exception as error:  # not the student's: it must not become a mark
            raise GraderError(printable(one_line(f"{name}: {type(error).__name__}: {error}"))) from error

    @contextlib.contextmanager
    def _turn(self, name: str, patient: bool) -> Iterator[bool]:
        """Keep other graders from a submission; yield `False` if one of them works on it now."""
        path = self.output / "locks" / f"{name}.lock"
        while (lock := take_lock(path)) is None and patient:
            if self._cancelled.wait(_LOCK_SECONDS):
                raise GraderError("it was cancelled")
        with lock or contextlib.nullcontext():
            yield lock is not None

    def _done(self, source: Path, name: str, answer_key: AnswerKey, executor: AnyExecutor) -> _Done:
        folder = self.output / name
        try:
            with tempfile.TemporaryDirectory(prefix="submission-") as copy:
                expected, models = self._rubric.models.expected, self._course.models
                with executor.reader() as reader:
                    submission = find_work(source, Path(copy), self._course.read, expected, models, reader)
                key = {"submission": submission.fingerprint} | self._settings()
                previous = read_report(folder)
                if previous is not None and previous.key == key and name not in self._again:
                    return _Done(previous, is_new=False)
                self._remark(name, key, previous, (folder / "report.json").exists())
                self._try_answer_key(answer_key)
                execution = executor.execute(submission, self._shared(answer_key))
                report = self._graded(submission, name, key, answer_key, execution)
        except UnreadableError as error:
            note = f"not graded: {printable(one_line(error))}"
            report = Report(name, name_of(source), {}, self._sandbox.description, self._profile, notes=(note,))
        if not self._cancelled.is_set():
            write_report(report, folder)
        return _Done(report, is_new=True)

    def _remark(self, name: str, key: dict[str, str], previous: Report | None, exists: bool) -> None:
        """Say why a submission that has a report is graded again."""
        if previous is not None and previous.key:
            changed = [what for what, value in key.items() if previous.key.get(what) != value]
            self.remarks.append(f"{name}: graded again: {f'{listed(changed)} changed' if changed else 'as you asked'}")
        elif exists and previous is None:
            self.remarks.append(f"{name}: graded again: its report was damaged")

    def _try_answer_key(self, answer_key: AnswerKey) -> None:
        """Check the open answers of the course's first notebook, once: what fails then is not a student's fault.

        Raises:
            GraderError: An open answer does not count as not attempted.
        """
        with self._tried:
            if self._works or not self._course.read:
                return
            notebook = self._course.read[0]
            answers = {
                exercise.name: collect(dict.fromkeys(exercise.variables), list(exercise.variables), "")
                for exercise in notebook.exercises
            }
            states = {item.state for item in self._grade_exercises(notebook, answers, self._no_points, answer_key)}
            if states - {"not attempted"}:
                reason = f"its open exercises are said to be {listed(sorted(states))}"
                raise GraderError(f"the course's own notebook {notebook.name} cannot be graded here: {reason}")
            self._works = True

    @property
    def _no_points(self) -> dict[str, float]:
        return {exercise.name: 0.0 for notebook in self._course.read for exercise in notebook.exercises}

    def _settings(self) -> dict[str, str]:
        """Return what all reports of a run depend on.

        Students get it with their reports. So what depends on the days is hashed with a key that stays here.
        """
        return {
            "rubric": self._keyed(self._rubric.fingerprint),
            "course": self._course.fingerprint,
            "profile": self._profile,
            "sandbox": self._sandbox.kind,
            "days": self._keyed(str(self._seed)),
        }

    def _keyed(self, text: str) -> str:
        """Return a hash of a text that nobody can find by trying texts without the secret of the output folder."""
        return hmac.new(self._secret, text.encode(), "sha256").hexdigest()[:16]

    @cached_property
    def _secret(self) -> bytes:
        return str(secret_seed(self.output)).encode()

    def _shared(self, answer_key: AnswerKey) -> Settings:
        """Return what all submissions of this grading have in common."""
        course = self._course
        workspace = answer_key.workspace() if course.read else None
        return Settings(tuple(course.read), course.models, workspace, self._parameters, self._rubric, self._seed)

    def _graded(
        self, submission: Submission, name: str, key: dict[str, str], answer_key: AnswerKey, execution: Execution
    ) -> Report:
        notebooks, exercises = self._grade_notebooks(submission, name, answer_key, execution)
        if self._cancelled.is_set():
            raise GraderError("it was cancelled")
        course = self._course
        return Report(
            name,
            name_of(submission.source),
            key,
            self._sandbox.description,
            self._profile,
            {"notebooks": notebooks, "exercises": exercises, "models": execution.models, "costs": execution.costs},
            submission.notes,
            fingerprints(submission, course.read, course.models) | execution.fingerprints,
            submission.unused,
            tuple(failure for ran in execution.notebooks.values() for failure in ran.failures),
        )

    def _grade_notebooks(
        self, submission: Submission, name: str, answer_key: AnswerKey, execution: Execution
    ) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
        """Return one item per notebook and one per exercise; write the executed notebooks beside the report."""
        course = self._course.read
        notebook_points = self._rubric.worth("notebooks", [notebook.name for notebook in course])
        names = [exercise.name for notebook in course for exercise in notebook.exercises]
        exercise_points = self._rubric.worth("exercises", names)
        notebooks, exercises = [], []
        for notebook in course:
            points = notebook_points[notebook.name]
            ran = execution.notebooks.get(notebook.name)
            if ran is None:
                reason = submission.reason_without(notebook.name)
                notebooks.append(Item(notebook.name, "not submitted", reason, 0, points))
                exercises += [
                    Item(exercise.name, "not submitted", reason, 0, exercise_points[exercise.name], exercise.title)
                    for exercise in notebook.exercises
                ]
                continue
            if ran.executed is not None:
                write_text(self.output / name / f"{notebook.name}.ipynb", ran.executed)
            state, earned = ("failed", 0.0) if ran.problem else ("passed", points)
            notebooks.append(Item(notebook.name, state, ran.problem or f"in {ran.seconds:.0f} s", earned, points))
            cells = submission.notebooks[notebook.name]
            for item, exercise in zip(
                self._grade_exercises(notebook, ran.answers, exercise_points, answer_key, ran.problem or ""),
                notebook.exercises,
                strict=True,
            ):
                sent = ran.answers[exercise.name].values() if item.answer else ()
                is_code = any(isinstance(content, dict) and "returned" in content for content in sent)
                exercises.append(replace(item, code=answer_source(cells, exercise)) if is_code else item)
        return tuple(notebooks), tuple(exercises)

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


def _progress_line(done: _Done, number: int, total: int, left: float | None) -> str:
    """Return what to say about a submission that has a report.

    Args:
        done: The submission.
        number: How many have a report now.
        total: How many there are.
        left: Seconds until all have one, roughly; `None` if that is not known yet.
    """
    report = done.report
    points = f"{report.points():.1f} of {report.of():.0f}" if report.key else "not graded"
    unchanged = "" if done.is_new else ", unchanged"
    time_left = ""
    if left is not None and number < total:
        time_left = f"; about {duration(round(left) if left < 120 else 60 * round(left / 60))} left"
    return f"{number} of {total}: {report.name}: {points}{unchanged}{time_left}"


def report_names(sources: Sequence[Path]) -> list[str]:
    """Return a different name for the report of each source: its file name, with what a folder's name may contain.

    No name is one of the grader's own files (`RESERVED`), and none differs from another in case alone.

    Example:
        >>> report_names([Path("a/ann.zip"), Path("b/Ann"), Path("=cmd"), Path("Reference.zip")])
        ['ann', 'Ann-2', '_cmd', 'Reference-2']
    """
    names: list[str] = []
    taken = set(RESERVED)
    for source in sources:
        base = (
            re.sub(r"[^\w.-]", "_", re.sub(r"\.zip$", "", name_of(source), flags=re.IGNORECASE)).strip(".")[:80] or "_"
        )
        base = f"_{base[1:]}" if base.startswith("-") else base
        number = 1
        while (name := base if number == 1 else f"{base}-{number}").casefold() in taken:
            number += 1
        taken.add(name.casefold())
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
