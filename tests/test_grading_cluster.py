"""Submissions are graded on a Dask cluster, and by several graders in one folder: each one once, none is lost."""

import csv
import signal
import threading
from pathlib import Path

import nbformat
import psutil
import pytest
from clusters import cluster_workers, wait_for

from autoscaler_env.grading import execution, remote
from autoscaler_env.grading.answer_key import GraderError
from autoscaler_env.grading.grade import Course, Grading
from autoscaler_env.grading.gradebook import Gradebook, write_gradebook
from autoscaler_env.grading.report import read_report
from autoscaler_env.grading.rubric import Costs, Late, Models, Rubric
from autoscaler_env.grading.sandbox import NO_SANDBOX, Sandbox

RUBRIC = Rubric(models=Models(expected=()), costs=Costs(seed=1))
CHECK = "print('not attempted' if answer_1 is None else 'right' if answer_1 == 4 else 'not yet')"

WAITS = """
import os, pathlib, time
first = not list(pathlib.Path(FOLDER).glob("run-*"))
pathlib.Path(FOLDER, f"run-{os.getpid()}").touch()
while first:  # until its worker is killed
    time.sleep(0.05)
"""


def write(path, *cells):
    path.parent.mkdir(parents=True, exist_ok=True)
    new = nbformat.v4.new_code_cell
    cells = [*map(new, cells[:-1]), new(cells[-1], metadata={"tags": ["exercise"]})]
    cells.append(new(CHECK, metadata={"tags": ["exercise-check"]}))
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path.parent.parent


@pytest.fixture
def grading(tmp_path):
    """Return a grading of a course with one notebook, for code that is trusted."""
    course = tmp_path / "course" / "notebooks" / "01_tiny.ipynb"
    write(course, "answer_1 = None")
    return Grading(tmp_path / "out", RUBRIC, NO_SANDBOX, course=Course((course,), tmp_path / "no models"))


@pytest.mark.slow
@pytest.mark.notebook
def test_a_submission_whose_worker_is_killed_is_graded_by_another(grading, cluster, tmp_path, capfd):
    cells = {"ann": ["answer_1 = 4"], "slow": [f"FOLDER = {str(tmp_path)!r}", WAITS, "answer_1 = 4"]}
    cells["bo"] = ["answer_1 = 5"]
    sources = [write(tmp_path / name / "notebooks" / "01_tiny.ipynb", *cells[name]) for name in cells]
    killed = []

    def kill_the_worker_of_the_slow_one():
        (run,) = wait_for(lambda: list(tmp_path.glob("run-*")))
        kernel = psutil.Process(int(run.name.removeprefix("run-")))
        (worker,) = {parent.pid for parent in kernel.parents()} & {worker.pid for worker in cluster_workers()}
        psutil.Process(worker).send_signal(signal.SIGKILL)
        killed.append(kernel)

    killer = threading.Thread(target=kill_the_worker_of_the_slow_one)
    killer.start()
    numbers = []

    def write_rows(reports):
        write_gradebook(Gradebook(Late()).rows(reports), tmp_path / "gradebook.csv")
        with (tmp_path / "gradebook.csv").open(newline="") as file:
            numbers.append(len(list(csv.DictReader(file))))

    reports = grading.run(sources, scheduler=cluster, when_graded=write_rows)
    killer.join()
    assert [(report.name, report.points("exercises")) for report in reports] == [("ann", 50), ("slow", 50), ("bo", 0)]
    assert [report.points("notebooks") for report in reports] == [10, 10, 10]
    assert reports == [read_report(tmp_path / "out" / name) for name in cells]
    assert numbers == [1, 2, 3], "the gradebook does not grow"
    assert len(list(tmp_path.glob("run-*"))) == 2, "the submission of the killed worker has not run twice"
    wait_for(lambda: not killed[0].is_running())
    lines = [line for line in capfd.readouterr().err.splitlines() if " of 3: " in line]
    assert [line.split(":")[0] for line in lines] == ["1 of 3", "2 of 3", "3 of 3"]
    assert [line.endswith(" left") for line in lines] == [False, True, False]  # from the second one on it is known


@pytest.mark.slow
def test_a_worker_with_another_version_is_a_fault_of_the_grader(cluster, tmp_path, monkeypatch):
    (tmp_path / "ann").mkdir()
    monkeypatch.setattr(remote, "installed", lambda: "another version")
    alone = Grading(tmp_path / "out", RUBRIC, NO_SANDBOX, course=Course((), tmp_path / "no models"))
    with pytest.raises(GraderError, match="a worker has another version of the project than the grader"):
        alone.run([tmp_path / "ann"], scheduler=cluster, progress=False)
    assert not (tmp_path / "out" / "ann").exists()


@pytest.mark.slow
@pytest.mark.notebook
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full disk to try")
def test_a_fault_of_a_worker_is_no_mark(grading, cluster, tmp_path, monkeypatch):
    source = write(tmp_path / "ann" / "notebooks" / "01_tiny.ipynb", "answer_1 = 4")
    course = Course((tmp_path / "course" / "notebooks" / "01_tiny.ipynb",), tmp_path / "no models")
    no_program = Sandbox("bubblewrap", "Not installed on the worker.", str(tmp_path / "bwrap"))
    broken = Grading(tmp_path / "out", RUBRIC, no_program, course=course)
    with pytest.raises(GraderError, match="the course's own notebook 01_tiny cannot be graded here"):
        broken.run([source], scheduler=cluster, progress=False)
    with monkeypatch.context() as patch:
        patch.setattr(remote, "_contents", lambda folder: {"/dev/full": b"the worker writes this to its disk"})
        with pytest.raises(GraderError, match=r"on the cluster: OSError.*No space left"):
            grading.run([source], scheduler=cluster, progress=False)
    assert read_report(tmp_path / "out" / "ann") is None
    mended = Grading(tmp_path / "out", RUBRIC, NO_SANDBOX, course=course)
    assert [report.points() for report in mended.run([source], scheduler=cluster, progress=False)] == [60]


@pytest.mark.slow
def test_two_graders_in_one_folder_grade_each_submission_once(tmp_path, monkeypatch):
    graded, release = [], threading.Event()
    real = execution.grade_models

    def grade_models(submission, *rest):
        graded.append(submission.name)
        if submission.name == "ann":
            release.wait()
        return real(submission, *rest)

    monkeypatch.setattr(execution, "grade_models", grade_models)
    sources = [tmp_path / "ann", tmp_path / "bo"]
    for source in sources:
        source.mkdir()
    course = Course((), tmp_path / "no models")
    first, second = (Grading(tmp_path / "out", RUBRIC, NO_SANDBOX, course=course) for _ in range(2))
    reports = {}
    graders = [
        threading.Thread(target=lambda: reports.update(first=first.run(sources[:1], progress=False))),
        threading.Thread(target=lambda: reports.update(second=second.run(sources, progress=False))),
    ]
    graders[0].start()
    wait_for(lambda: graded)
    graders[1].start()  # it finds that ann is being graded, goes on with bo, and then waits
    wait_for(lambda: read_report(tmp_path / "out" / "bo"))
    release.set()
    for grader in graders:
        grader.join()
    assert graded == ["ann", "bo"]
    assert reports["second"] == [*reports["first"], read_report(tmp_path / "out" / "bo")]
