"""The zip for Gradescope has the form that Gradescope publishes, no solutions, and the same days for all."""

import subprocess
import tomllib
import zipfile

import pytest

from autoscaler_env import paths
from autoscaler_env.cli.main import main
from autoscaler_env.grading.autograder import rubric_toml, write_autograder
from autoscaler_env.grading.rubric import Costs, Late, Rubric
from autoscaler_env.paths import project_root


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Return the path of a zip."""
    path = tmp_path_factory.mktemp("autograder") / "auto.zip"
    write_autograder(path, Rubric())
    return path


def test_the_two_programs_are_executable_and_lie_at_the_top(archive):
    with zipfile.ZipFile(archive) as file:
        for name in ("setup.sh", "run_autograder"):
            assert file.getinfo(name).external_attr >> 16 & 0o777 == 0o755
            assert file.read(name).startswith(b"#!/usr/bin/env bash\n")
            checked = subprocess.run(["bash", "-n"], input=file.read(name), capture_output=True, check=False)
            assert (checked.returncode, checked.stderr) == (0, b"")


def test_it_has_what_the_grader_needs_and_no_solution(archive, tmp_path):
    with zipfile.ZipFile(archive) as file:
        assert file.testzip() is None
        names = set(file.namelist())
        file.extractall(tmp_path)
    course = tmp_path / "course"
    for folder, pattern in (("notebooks", "*.ipynb"), ("models", "*.*"), ("results", "*.csv"), ("figures", "tour*")):
        ours = sorted(path.name for path in (project_root() / folder).glob(pattern))
        assert sorted(path.name for path in (course / folder).glob(pattern)) == ours
    assert {"pyproject.toml", "constraints.txt", "README.md", "LICENSE"} <= {path.name for path in course.iterdir()}
    assert (course / "autoscaler_env" / "grading" / "report.html").is_file()
    assert not [name for name in names if "solution" in name or "executed" in name or "__pycache__" in name]


def test_all_submissions_get_the_same_secret_days(archive, tmp_path):
    with zipfile.ZipFile(archive) as file:
        (tmp_path / "rubric.toml").write_bytes(file.read("rubric.toml"))
    drawn = Rubric.read(tmp_path / "rubric.toml")
    assert drawn.costs.seed is not None
    write_autograder(tmp_path / "other.zip", Rubric())
    with zipfile.ZipFile(tmp_path / "other.zip") as file:
        assert tomllib.loads(file.read("rubric.toml").decode())["costs"]["seed"] != drawn.costs.seed


def test_a_rubric_is_read_as_it_was_written(tmp_path):
    rubric = Rubric(weights={"01.3": 2, 'a "b"': 0}, costs=Costs(days=7, seed=5), late=Late(1.5))
    (tmp_path / "rubric.toml").write_text(rubric_toml(rubric))
    assert Rubric.read(tmp_path / "rubric.toml") == rubric


@pytest.mark.parametrize(("status", "mark"), [(0, True), (1, True), (3, False)])
def test_only_a_fault_of_the_grader_leaves_no_mark(archive, tmp_path, status, mark):
    """The program of the grader is a stand-in that ends as the real one does, because only the script is tested."""
    course, place, grades = (tmp_path / name for name in ("course", "autograder", "grades"))
    for folder in (course / ".venv" / "bin", place / "source", place / "submission", place / "results"):
        folder.mkdir(parents=True)
    (place / "results" / "results.json").write_text("of another run")
    program = course / ".venv" / "bin" / "autoscaler"
    program.write_text(
        f'#!/bin/sh\nmkdir -p "{grades}/submission"\necho "$@" > "{tmp_path}/words"\n'
        f'[ {status} = 3 ] || echo "{{}}" > "{grades}/submission/results.json"\nexit {status}\n'
    )
    program.chmod(0o755)
    with zipfile.ZipFile(archive) as file:
        script = file.read("run_autograder")
    places = {"AUTOGRADER": str(place), "COURSE": str(course), "GRADES": str(grades), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(["bash"], input=script, env=places, capture_output=True, check=False)
    assert done.returncode == (0 if mark else 3)
    assert (place / "results" / "results.json").exists() is mark
    assert "--own-user --format gradescope" in (tmp_path / "words").read_text()


def test_the_command_says_what_protects(tmp_path, capsys):
    assert main(["grade", "--autograder", str(tmp_path / "auto.zip")]) == 0
    said = capsys.readouterr().out
    assert "user id of their own" in said and "may reach the network" in said and (tmp_path / "auto.zip").exists()


def test_without_a_checkout_there_is_no_zip(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "project_root", lambda: tmp_path)
    with pytest.raises(ValueError, match="autograder: needs a checkout of the course"):
        write_autograder(tmp_path / "auto.zip", Rubric())
