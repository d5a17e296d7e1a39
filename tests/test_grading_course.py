"""The solutions earn all points, and the bare course earns the points of notebooks that run."""

import csv
import json
import re
import shutil
import subprocess
import sys

import nbformat
import pytest

from autoscaler_env.cli.main import main
from autoscaler_env.course import QUICK, course_notebooks
from autoscaler_env.grading import grade
from autoscaler_env.grading.notebooks import CourseNotebook
from autoscaler_env.grading.release import released_check
from autoscaler_env.grading.rubric import Rubric
from autoscaler_env.paths import Folders, project_root
from autoscaler_env.training.config import TrainingConfig
from autoscaler_env.training.train import train

SOLUTIONS = project_root() / "solutions"
COURSE = [CourseNotebook(path) for path in course_notebooks()]
RUBRIC = Rubric.read()
SMALL = QUICK | {"evaluation_days": 8, "calibration_days": 2}
"""The smallest budgets with which the checks of the course hold."""


def solutions(name):
    """Return the solutions of a notebook, by exercise."""
    text = (SOLUTIONS / f"{name}.py").read_text()
    _, *parts = re.split(r"^# %% (\S+)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def solved(course):
    """Return a notebook with the solutions in its answer cells."""
    notebook = nbformat.read(course.path, as_version=4)
    sources = {exercise.answer.id: solutions(course.name)[exercise.name] for exercise in course.exercises}
    for cell in notebook.cells:
        cell.source = sources.get(cell.id, cell.source)
    return notebook


def own_models(source, folder):
    """Write models as a student could: a Q-table of another seed, and networks that noise makes act differently."""
    import torch
    from stable_baselines3 import DQN, PPO

    train(TrainingConfig("q-learning", seed=11), Folders(folder.parent), progress=False)
    for name, learner, noise in (("dqn_mixed", DQN, 0.01), ("ppo_mixed", PPO, 0.4)):
        model = learner.load(source / name, device="cpu")  # the project's own file
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for weights in model.policy.parameters():
                weights *= 1 + noise * torch.randn(weights.shape, generator=generator)
        model.save(folder / name)


def test_every_exercise_has_a_solution_and_every_solution_an_exercise():
    assert {path.stem for path in SOLUTIONS.glob("*.py")} == {course.name for course in COURSE}
    for course in COURSE:
        assert list(solutions(course.name)) == [exercise.name for exercise in course.exercises], course.name


CHECK_SOLUTIONS = """
# Reads the notebooks, parameters and solutions as JSON; runs each notebook once, and checks its solutions there.
import json, os, sys
from pathlib import Path
from autoscaler_env.grading.answers import collect, restore
from autoscaler_env.grading.checker import Checker, _run_check
from autoscaler_env.verification.workers import in_child

job = json.load(sys.stdin)
results, released, replies = {}, {}, os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

def answers(shell, exercise, source):
    assert shell.run_cell(source).success
    sent = collect(shell.user_ns, list(exercise.variables), exercise.check.source)
    Path(exercise.name).write_text(json.dumps(sent))  # it may be longer than what a child returns

checker = Checker(job["parameters"])
for path in map(Path, job["notebooks"]):
    assert checker.run(path) is None, path
    course, shell = checker._notebooks[path.stem]
    for exercise in course.exercises:
        outcome = in_child(lambda _: answers(shell, exercise, job["solutions"][exercise.name]), 600)
        sent = json.loads(Path(exercise.name).read_text()) if "value" in outcome else {}
        results[exercise.name] = checker.check(path.stem, exercise.name, sent) if sent else outcome
        values = {name: restore(content) for name, content in sent.items()}
        outcome = in_child(lambda _: _run_check(shell, job["released"][exercise.name], values), 600)
        released[exercise.name] = outcome.get("value", outcome)
json.dump([results, released], replies)
"""


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """Return what the course's checks, and those of the students' version, say to the solutions, by exercise.

    Each notebook runs once with the course's own models; the grader's own checker judges the solutions.
    """
    tmp_path = tmp_path_factory.mktemp("judged")
    for name in ("models", "results"):
        shutil.copytree(getattr(Folders.course(), name), tmp_path / name)
    job = {
        "notebooks": [str(course.path) for course in COURSE],
        "parameters": SMALL | {"output": str(tmp_path), "retrain": False, "seed": 2},  # no notebook's own seed
        "solutions": {name: source for course in COURSE for name, source in solutions(course.name).items()},
        "released": {
            exercise.name: released_check(exercise.check.source)[1]
            for course in COURSE
            for exercise in course.exercises
        },
    }
    done = subprocess.run(
        [sys.executable, "-c", CHECK_SOLUTIONS],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.notebook
@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
def test_every_solution_is_right(judged):
    results, _ = judged
    assert list(results) == [exercise.name for course in COURSE for exercise in course.exercises]
    assert {name: result for name, result in results.items() if not str(result).startswith("right")} == {}


@pytest.mark.slow
@pytest.mark.notebook
@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
def test_every_solution_is_right_or_noted_in_the_students_version(judged):
    _, released = judged
    assert list(released) == [exercise.name for course in COURSE for exercise in course.exercises]
    assert {name: text for name, text in released.items() if not str(text).startswith(("right", "noted"))} == {}
    for course in COURSE:
        for exercise in course.exercises:
            kind, _ = released_check(exercise.check.source)
            assert released[exercise.name].startswith("noted") == (kind == "noted"), exercise.name


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """Grade the solutions and the bare course, for two notebooks that train nothing; return the folder of reports."""
    root = tmp_path_factory.mktemp("graded").resolve()
    few = [course for course in COURSE if course.name[:2] in ("01", "10")]
    for course in few:
        for name, notebook in {"solved": solved(course), "bare": nbformat.read(course.path, as_version=4)}.items():
            path = root / name / "notebooks" / course.path.name
            path.parent.mkdir(parents=True, exist_ok=True)
            nbformat.write(notebook, path)
    models = Folders.course().models
    own_models(models, root / "solved" / "models")
    (root / "bare" / "models").mkdir()
    for path in (path for path in models.glob("*.*") if path.is_file()):
        shutil.copy(path, root / "bare" / "models")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grade, "course_notebooks", lambda: [course.path for course in few])
        patch.setattr(grade, "QUICK", SMALL)
        # Where no sandbox works, our own solutions are code that we trust.
        command = ["grade", "--workers", "2", "--output", str(root / "out"), "--i-trust-this-code"]
        assert main([*command, str(root / "solved"), str(root / "bare")]) == 0
        yield root / "out"


def report(folder, name):
    return json.loads((folder / name / "report.json").read_text())


@pytest.mark.slow
@pytest.mark.notebook
@pytest.mark.filterwarnings("default")  # papermill's warnings are not ours
class TestGradedCourse:
    def test_solutions_earn_all_points(self, graded):
        items = [item for part in report(graded, "solved")["parts"].values() for item in part]
        lost = [(item["name"], item["state"], item["reason"]) for item in items if item["points"] < item["of"]]
        assert lost == []
        assert report(graded, "solved")["points"] == pytest.approx(100)

    def test_what_a_check_says_besides_right_is_reported_completely(self, graded):
        (last,) = [item for item in report(graded, "solved")["parts"]["exercises"] if item["name"] == "10.3"]
        assert last["reason"].count("$") >= 2 and "\n" not in last["reason"]

    def test_the_bare_course_earns_the_points_of_notebooks_that_run(self, graded):
        bare = report(graded, "bare")
        assert [item["state"] for item in bare["parts"]["notebooks"]] == ["passed"] * 2
        assert {item["state"] for item in bare["parts"]["exercises"]} == {"not attempted"}
        assert {item["state"] for item in bare["parts"]["models"]} == {"the course's own"}
        assert bare["points"] == pytest.approx(RUBRIC.points.notebooks)

    def test_reports_and_gradebook_agree(self, graded):
        with (graded / "gradebook.csv").open(newline="") as file:
            rows = {row["submission"]: row for row in csv.DictReader(file)}
        assert {name: float(row["points"]) for name, row in rows.items()} == {
            name: pytest.approx(report(graded, name)["points"], abs=0.01) for name in ("solved", "bare")
        }
        assert {row["identical"] for row in rows.values()} == {""}

    def test_an_unchanged_submission_is_not_graded_again(self, graded, capsys):
        before = (graded / "solved" / "report.json").stat().st_mtime_ns
        command = ["grade", str(graded.parent / "solved"), "--output", str(graded), "--i-trust-this-code"]
        assert main(command) == 0
        assert (graded / "solved" / "report.json").stat().st_mtime_ns == before
        assert "100.0 of 100  solved" in capsys.readouterr().out
