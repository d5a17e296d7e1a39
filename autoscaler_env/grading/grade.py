"""Grade submissions: each on its own, several at once, whatever one of them does."""

from __future__ import annotations

import contextlib
import hashlib
import json
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
from typing import Any

from tqdm.auto import tqdm

import autoscaler_env
from autoscaler_env.course import FULL, QUICK, Profile, course_notebooks
from autoscaler_env.grading.answer_key import Reference
from autoscaler_env.grading.model_score import grade_models
from autoscaler_env.grading.notebooks import CourseNotebook, judge, one_line, prepare, told_answers
from autoscaler_env.grading.report import Item, Report, prints, read_report, write_report
from autoscaler_env.grading.rubric import Rubric
from autoscaler_env.grading.sandbox import Wall
from autoscaler_env.grading.submission import Submission, take_in
from autoscaler_env.grading.supervisor import Runner
from autoscaler_env.paths import Folders
from autoscaler_env.storage.files import write_json


@dataclass(frozen=True)
class Course:
    """What submissions are held against."""

    notebooks: tuple[Path, ...] = field(default_factory=lambda: tuple(course_notebooks()))
    """Its notebooks, in order."""
    models: Path = field(default_factory=lambda: Folders.course().models)
    """The models that it ships."""

    @cached_property
    def read(self) -> list[CourseNotebook]:
        """The notebooks, read."""
        return [CourseNotebook(path) for path in self.notebooks]

    @property
    def files(self) -> list[Path]:
        """The notebooks and the models."""
        models = self.models.glob("*.*") if self.models.is_dir() else ()
        return [*self.notebooks, *(path for path in models if path.is_file())]

    @cached_property
    def fingerprint(self) -> str:
        """A short hash of its version and its notebooks."""
        digest = hashlib.sha256(autoscaler_env.__version__.encode())
        for path in self.notebooks:
            digest.update(path.name.encode() + path.read_bytes())
        return digest.hexdigest()[:16]


class Grading:
    """One run of the grader.

    Args:
        output: Where the reports go.
        rubric: What earns points.
        wall: What the notebooks run behind.
        profile: The budgets that they run with.
        course: What they are held against; the project's own by default.
    """

    def __init__(
        self, output: Path, rubric: Rubric, wall: Wall, profile: Profile = "quick", course: Course | None = None
    ) -> None:
        self.output = output
        self._rubric = rubric
        self._wall = wall
        self._profile: Profile = profile
        self._course = course or Course()
        self._parameters = dict(QUICK if profile == "quick" else FULL) | {"output": ""}
        self._seed = rubric.costs.seed if rubric.costs.seed is not None else _kept_seed(output)
        self._cancelled = threading.Event()

    def run(self, sources: Sequence[Path], workers: int = 1, *, progress: bool = True) -> list[Report]:
        """Grade submissions, and write a report of each as soon as it is done.

        A submission that was graded before, with the same content, rubric, course and wall, is not graded again.

        Args:
            sources: Folders or zips.
            workers: How many are graded at once.
            progress: Whether to show a progress bar.

        Returns:
            A report of each, in the order of the sources.
        """
        names = _own_names(sources)
        reports: dict[str, Report] = {}
        with (
            Reference(self._course.read, self._parameters) as reference,
            self._runners(workers) as runners,
            ThreadPoolExecutor(workers) as pool,
        ):
            jobs = [
                pool.submit(self._one, source, name, reference, runners)
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
                reference.end()  # jobs may be waiting for it, and the pool waits for jobs
                raise
        return [reports[name] for name in names]

    def earlier(self, reports: Sequence[Report]) -> list[Report]:
        """Return the output folder's reports beside those of a run: made alike, or of what could not be graded.

        Late submissions are graded alone, and belong into one gradebook with the others, whose copies they may be.
        """
        names, alike = {report.name for report in reports}, self._made_alike().items()
        others = sorted(path.parent for path in self.output.glob("*/report.json") if path.parent.name not in names)
        found = [read_report(folder) for folder in others]
        return [report for report in found if report and (not report.key or alike <= report.key.items())]

    @contextlib.contextmanager
    def _runners(self, count: int) -> Iterator[queue.SimpleQueue[Runner]]:
        """Keep as many processes that run notebooks as there are workers."""
        free: queue.SimpleQueue[Runner] = queue.SimpleQueue()
        with contextlib.ExitStack() as stack:
            for _ in range(count):
                free.put(stack.enter_context(Runner(self._wall, self._rubric.limits, self._cancelled)))
            yield free

    def _one(self, source: Path, name: str, reference: Reference, runners: queue.SimpleQueue[Runner]) -> Report:
        """Grade one submission, whatever it does."""
        folder = self.output / name
        key: dict[str, str] = {}
        try:
            with tempfile.TemporaryDirectory(prefix="handed-in-") as copy:
                submission = take_in(source, Path(copy))
                key = self._key(submission)
                before = read_report(folder)
                if before is not None and before.key == key:
                    return before
                report = self._graded(submission, name, key, reference, runners)
        except Exception as error:  # the next submission has its turn
            failed = None if isinstance(error, ValueError) else type(error).__name__
            said = one_line(f"{failed}: {error}" if failed else str(error))
            report = Report(name, str(source), {}, self._wall.told, self._profile, notes=(f"not graded: {said}",))
        if not self._cancelled.is_set():
            write_report(report, folder)
        return report

    def _key(self, submission: Submission) -> dict[str, str]:
        """Return all that a report depends on."""
        return {"submission": submission.fingerprint} | self._made_alike()

    def _made_alike(self) -> dict[str, str]:
        """Return what all reports of a run have in common."""
        return {
            "rubric": self._rubric.fingerprint,
            "course": self._course.fingerprint,
            "profile": self._profile,
            "wall": self._wall.kind,
            "days": hashlib.sha256(str(self._seed).encode()).hexdigest()[:16],
        }

    def _graded(
        self,
        submission: Submission,
        name: str,
        key: dict[str, str],
        reference: Reference,
        runners: queue.SimpleQueue[Runner],
    ) -> Report:
        notebooks, exercises = self._notebooks(submission, reference, runners)
        if self._cancelled.is_set():
            raise ValueError("it was cancelled")
        models, costs, acts = grade_models(submission, self._rubric, self._seed, self._course.models)
        return Report(
            name,
            str(submission.source),
            key,
            self._wall.told,
            self._profile,
            {"notebooks": notebooks, "exercises": exercises, "models": models, "costs": costs},
            submission.notes,
            prints(submission.files, self._course.files) | acts,
        )

    def _notebooks(
        self, submission: Submission, reference: Reference, runners: queue.SimpleQueue[Runner]
    ) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
        """Run the notebooks in order; return an item for each, and for each exercise."""
        course, files = self._course.read, submission.files
        worth = self._rubric.worth("notebooks", [notebook.name for notebook in course])
        each = self._rubric.worth("exercises", [exercise.name for one in course for exercise in one.exercises])
        ran, answered = [], []
        for notebook in course:
            path = files.get(f"notebooks/{notebook.name}.ipynb")
            if path is None:
                ran.append(Item(notebook.name, "not handed in", "", 0, worth[notebook.name]))
                answered += [Item(one.name, "not attempted", "", 0, each[one.name]) for one in notebook.exercises]
                continue
            problem, told, seconds = self._run_notebook(path, notebook, reference, runners)
            earned = 0 if problem else worth[notebook.name]
            state = "failed" if problem else "passed"
            ran.append(Item(notebook.name, state, problem or f"in {seconds:.0f} s", earned, worth[notebook.name]))
            answered += self._exercises(notebook, told, each, reference)
        return tuple(ran), tuple(answered)

    def _run_notebook(
        self, path: Path, notebook: CourseNotebook, reference: Reference, runners: queue.SimpleQueue[Runner]
    ) -> tuple[str | None, dict[str, dict[str, Any]], float]:
        """Return what kept a notebook from passing, what it told of its answers, and how many seconds it took."""
        parameters = {name: value for name, value in self._parameters.items() if name in notebook.parameters}
        try:
            prepared = prepare(path.read_bytes(), notebook, set(parameters))
        except ValueError as error:
            return one_line(str(error)), {}, 0.0
        workspace = reference.workspace()
        runner = runners.get()
        try:
            run = runner.run(prepared.notebook, parameters, workspace)
        finally:
            runners.put(runner)
        return judge(run, prepared), told_answers(run, prepared), run.seconds

    def _exercises(
        self,
        notebook: CourseNotebook,
        told: dict[str, dict[str, Any]],
        worth: dict[str, float],
        reference: Reference,
    ) -> Iterator[Item]:
        """Yield an item for each exercise of a notebook."""
        for exercise in notebook.exercises:
            of = worth[exercise.name]
            if exercise.name not in told:
                yield Item(exercise.name, "not reached", "the notebook stopped before it, or lacks its cell", 0, of)
                continue
            said = one_line(reference.check(notebook.name, exercise.name, told[exercise.name]))
            state = next((state for state in ("right", "not attempted") if said.startswith(state)), "not yet")
            reason = said.removeprefix(state).removeprefix(":").strip()
            yield Item(exercise.name, state, reason, of if state == "right" else 0, of)


def _own_names(sources: Sequence[Path]) -> list[str]:
    """Return a name for the report of each source: of its file, safe as a folder's, and no name twice.

    Example:
        >>> _own_names([Path("a/ann.zip"), Path("b/ann"), Path("=cmd")])
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


def _kept_seed(output: Path) -> int:
    """Return which secret days this output folder's submissions are charged on; drawn once."""
    path = output / "secret_days.json"
    if not path.exists():
        write_json(path, {"seed": secrets.randbelow(2**61)})
        path.chmod(0o600)
    with contextlib.suppress(ValueError, KeyError, TypeError):
        seed = json.loads(path.read_text(encoding="utf-8"))["seed"]
        if type(seed) is int and 0 <= seed < 2**61:
            return seed
    raise ValueError(f"{path}: does not hold the number of the evaluation days; remove it, and they are drawn anew")
