"""CPU seconds that `autoscaler grade` takes for one submission with the quick profile, by part.

`make bench` prints the table and saves it as `results/benchmark_grading.csv`. The submission is the course with its
solutions, and models that are trained here for a short time. CPU seconds are those of the grader and of all processes
that it starts, looked up four times a second; seconds are what a clock shows. The reference run and the course's own
notebook are needed once, not for each submission. `--only` grades only the notebooks that it names.
"""

from __future__ import annotations

import argparse
import re
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, TypeVar

import nbformat
import pandas as pd
import psutil

from autoscaler_env.course import QUICK, course_notebooks
from autoscaler_env.grading.answer_key import AnswerKey
from autoscaler_env.grading.execution import Executor, Settings
from autoscaler_env.grading.grade import Course
from autoscaler_env.grading.notebooks import CourseNotebook
from autoscaler_env.grading.report import Report, write_report
from autoscaler_env.grading.rubric import Models, Rubric
from autoscaler_env.grading.sandbox import find_sandbox
from autoscaler_env.grading.submission import find_work
from autoscaler_env.paths import Folders, project_root
from autoscaler_env.study.analysis import write_table
from autoscaler_env.training.config import Algorithm, TrainingConfig
from autoscaler_env.training.train import train

T = TypeVar("T")

INTERVAL_SECONDS = 0.25
"""Time between two looks at the processes."""

BUDGETS: dict[Algorithm, dict[str, int]] = {
    "q-learning": {"episodes": 2_000},
    "dqn": {"timesteps": 4_096},
    "ppo": {"timesteps": 4_096},
}
"""How long the models of the submission are trained."""


class Meter:
    """Counts the CPU seconds of this process and of all that it starts, without what the counting takes."""

    def __init__(self) -> None:
        self._seconds: dict[int, float] = {}
        self._own = 0.0
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self.rows: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()

    def measure(self, part: str, do: Callable[[], T]) -> T:
        """Do a part, and add a row about it."""
        cpu, start = self._look(), time.perf_counter()
        result = do()
        self.rows.append(
            {"part": part, "cpu_seconds": self._look() - cpu, "seconds": time.perf_counter() - start},
        )
        print(f"{part:<32}{self.rows[-1]['cpu_seconds']:8.1f} CPU s", flush=True)
        return result

    def _watch(self) -> None:
        while not self._ended.wait(INTERVAL_SECONDS):
            self._look()

    def _look(self) -> float:
        with self._lock:
            start = time.thread_time()
            this = psutil.Process()
            for process in (this, *this.children(recursive=True)):
                try:
                    times = process.cpu_times()
                except psutil.Error:  # it has ended; what it took until the last look counts
                    continue
                spent = times.user + times.system
                self._seconds[process.pid] = max(spent, self._seconds.get(process.pid, 0.0))
            self._own += time.thread_time() - start
            return sum(self._seconds.values()) - self._own


def solved(course: CourseNotebook) -> nbformat.NotebookNode:
    """Return a notebook of the course with the solutions in its answer cells."""
    text = (project_root() / "solutions" / f"{course.name}.py").read_text(encoding="utf-8")
    _, *parts = re.split(r"^# %% (\S+)\n", text, flags=re.MULTILINE)
    solutions = dict(zip(parts[::2], parts[1::2], strict=True))
    sources = {exercise.answer.id: solutions[exercise.name] for exercise in course.exercises}
    notebook = nbformat.read(course.path, as_version=4)
    for cell in notebook.cells:
        cell.source = sources.get(cell.id, cell.source)
    return notebook


def hand_in(course: Course, models: tuple[str, ...], folder: Path) -> Path:
    """Write a submission, and return its folder."""
    work = folder / "work"
    (work / "notebooks").mkdir(parents=True)
    for notebook in course.read:
        nbformat.write(solved(notebook), work / "notebooks" / notebook.path.name)
    for algorithm, budget in BUDGETS.items():
        if any(name.startswith(algorithm.replace("-", "_")) for name in models):
            train(TrainingConfig(algorithm, seed=11, **budget), Folders(work), progress=False)
    return work


def measure(only: tuple[str, ...], models: tuple[str, ...], output: Path) -> list[dict[str, Any]]:
    """Return the rows of the table."""
    course = Course(tuple(course_notebooks(only)))
    rubric = replace(Rubric(), models=Models(expected=models))
    without_models = replace(rubric, models=Models(expected=()))
    parameters = QUICK | {"output": ""}
    with tempfile.TemporaryDirectory() as place, Meter() as meter:
        folder = Path(place)
        source = hand_in(course, models, folder)
        (folder / "models").mkdir()
        with (
            AnswerKey(course.read, parameters, output / "build" / "benchmark_grading") as key,
            Executor(1, find_sandbox(), rubric.limits) as executor,
        ):
            workspace = meter.measure("reference run (once)", key.workspace)
            settings = Settings(tuple(course.read), course.models, workspace, parameters, without_models, seed=0)
            with executor.reader() as reader:
                meter.measure("prepared process (once)", reader.start)
                found = meter.measure(
                    "find the work",
                    lambda: find_work(source, folder / "models", course.read, models, course.models, reader),
                )
            nothing = replace(found, notebooks={}, models={})
            meter.measure("course's own notebook (once)", lambda: executor.execute(nothing, settings))
            answers = {}
            for name, cells in found.notebooks.items():
                one = replace(nothing, notebooks={name: cells})
                ran = meter.measure(name, lambda one=one: executor.execute(one, settings))  # type: ignore[misc]
                answers[name] = ran.notebooks[name].answers

            def check() -> list[str]:
                return [key.check(name, exercise, sent) for name in answers for exercise, sent in answers[name].items()]

            verdicts = meter.measure("check the answers", check)
            played = replace(found, notebooks={})
            with_models = replace(settings, rubric=rubric)
            execution = meter.measure("play the models", lambda: executor.execute(played, with_models))
            report = Report("work", "work", {}, "", "quick", {"models": execution.models, "costs": execution.costs})
            meter.measure("write the report", lambda: write_report(report, folder / "report"))
    wrong = [verdict for verdict in verdicts if not verdict.startswith("right")]
    if wrong:
        raise SystemExit(f"{len(wrong)} of {len(verdicts)} solutions are not right: {wrong[0]}")
    each = [row for row in meter.rows if "(once)" not in row["part"]]
    total = {"part": "one submission"} | {
        column: sum(row[column] for row in each) for column in ("cpu_seconds", "seconds")
    }
    return [*meter.rows, total]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=(), metavar="NOTEBOOK", help="the notebooks to grade")
    parser.add_argument("--models", nargs="*", default=Models().expected, metavar="NAME", help="the models to grade")
    parser.add_argument("--quick", action="store_true", help="only notebook 1 and no model")
    parser.add_argument("--output", type=Path, help="another root to write under")
    arguments = parser.parse_args()
    only = (course_notebooks()[0].stem,) if arguments.quick else tuple(arguments.only)
    folders = Folders(arguments.output)
    models = () if arguments.quick else tuple(arguments.models)
    table = pd.DataFrame(measure(only, models, folders.root)).round(1)
    print(table.to_string(index=False))
    path = folders.results / "benchmark_grading.csv"
    write_table(path, table)
    print(f"Wrote {folders.shown(path)}.")


if __name__ == "__main__":
    main()
