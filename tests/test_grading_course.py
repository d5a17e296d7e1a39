"""The solutions earn all points, the bare course what it deserves: the points of notebooks that run."""

import csv
import json
import re
import zipfile

import nbformat
import numpy as np
import pytest

from autoscaler_env.cli.main import main
from autoscaler_env.course import course_notebooks
from autoscaler_env.grading.notebooks import CourseNotebook
from autoscaler_env.grading.rubric import Rubric
from autoscaler_env.paths import Folders, project_root
from autoscaler_env.storage.models import load_policy, save_q_table

SOLUTIONS = project_root() / "solutions"
COURSE = [CourseNotebook(path) for path in course_notebooks()]
RUBRIC = Rubric.read()


def solutions(name):
    """Return the solutions of a notebook, by exercise."""
    text = (SOLUTIONS / f"{name}.py").read_text()
    _, *parts = re.split(r"^# %% (\S+)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def solved(course):
    """Return a notebook with the solutions in its answer cells."""
    notebook = nbformat.read(course.path, as_version=4)
    given = {exercise.cell: solutions(course.name)[exercise.name] for exercise in course.exercises}
    for cell in notebook.cells:
        cell.source = given.get(cell.id, cell.source)
    return notebook


def retouch(source, folder):
    """Write models that are the course's with slightly other numbers: as good, but not the same."""
    import torch
    from stable_baselines3 import DQN, PPO

    folder.mkdir(parents=True)
    table = load_policy(source / "q_learning_mixed.pkl")
    table.values *= 1 + 0.001 * np.random.default_rng(0).standard_normal(table.values.shape)
    save_q_table(table, folder / "q_learning_mixed.pkl")
    for name, learner in (("dqn_mixed", DQN), ("ppo_mixed", PPO)):
        model = learner.load(source / name, device="cpu")  # the project's own file
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for weights in model.policy.parameters():
                weights *= 1 + 0.01 * torch.randn(weights.shape, generator=generator)
        model.save(folder / name)


@pytest.mark.parametrize("course", COURSE, ids=lambda course: course.name)
def test_every_exercise_has_a_solution_and_every_solution_an_exercise(course):
    assert list(solutions(course.name)) == [exercise.name for exercise in course.exercises]


def test_every_solution_belongs_to_a_notebook():
    assert {path.stem for path in SOLUTIONS.glob("*.py")} == {course.name for course in COURSE}


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """Grade the solutions and the bare course; return the folder of the reports."""
    root = tmp_path_factory.mktemp("graded").resolve()
    for course in COURSE:
        path = root / "solved" / "notebooks" / course.path.name
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(solved(course), path)
    retouch(Folders.course().models, root / "solved" / "models")
    with zipfile.ZipFile(root / "bare.zip", "w") as archive:
        for path in (*course_notebooks(), *Folders.course().models.glob("*.*")):
            archive.write(path, f"course/{path.relative_to(project_root()).as_posix()}")
    command = ["grade", str(root / "solved"), str(root / "bare.zip"), "--workers", "2", "--output", str(root / "out")]
    # Where no wall works, our own solutions are code that we trust.
    assert main([*command, "--i-trust-this-code"]) == 0
    return root / "out"


def report(folder, name):
    return json.loads((folder / name / "report.json").read_text())


def lost(report):
    """Return what earned less than it could have."""
    items = [item for part in report["parts"].values() for item in part]
    return [(item["name"], item["state"], item["reason"]) for item in items if item["points"] < item["of"]]


@pytest.mark.slow
@pytest.mark.notebook
@pytest.mark.filterwarnings("default")  # what papermill warns about is its own
class TestGradedCourse:
    def test_solutions_earn_all_points(self, graded):
        assert lost(report(graded, "solved")) == []
        assert report(graded, "solved")["points"] == pytest.approx(100)

    def test_what_a_check_says_in_several_lines_is_told_whole(self, graded):
        (last,) = [item for item in report(graded, "solved")["parts"]["exercises"] if item["name"] == "10.3"]
        assert "by the broken meter" in last["reason"] and "by ours your day costs" in last["reason"]

    def test_bare_course_earns_the_points_of_notebooks_that_run(self, graded):
        bare = report(graded, "bare")
        assert [item["state"] for item in bare["parts"]["notebooks"]] == ["passed"] * len(COURSE)
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

    def test_what_was_graded_is_not_graded_again(self, graded, capsys):
        before = (graded / "solved" / "report.json").stat().st_mtime_ns
        command = ["grade", str(graded.parent / "solved"), "--output", str(graded), "--i-trust-this-code"]
        assert main(command) == 0
        assert (graded / "solved" / "report.json").stat().st_mtime_ns == before
        assert "100.0 of 100  solved" in capsys.readouterr().out
