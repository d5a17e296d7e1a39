"""Where outputs go, and where the course's own files lie."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import autoscaler_env
from autoscaler_env.paths import Folders, notebook_sources, output_root, project_root
from autoscaler_env.policies.registry import find_policy, model_names

CHECKOUT = Path(autoscaler_env.__file__).resolve().parent.parent


@pytest.fixture
def checkout(tmp_path):
    """Return another checkout of the project, with a folder in it."""
    folder = tmp_path / "checkout"
    (folder / "notebooks" / "deep").mkdir(parents=True)
    (folder / "pyproject.toml").write_text('[project]\nname = "smart-autoscaler"\n')
    return folder


def test_outputs_go_to_the_checkout_one_stands_in_or_else_to_the_current_folder(checkout, tmp_path, monkeypatch):
    other = tmp_path / "other"
    other.mkdir()
    (other / "pyproject.toml").write_text('[project]\nname = "other"\n')
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "pyproject.toml").write_text("no TOML")
    for place, root in (
        (checkout, checkout),
        (checkout / "notebooks" / "deep", checkout),
        (other, other),
        (broken, broken),
        (tmp_path, tmp_path),
    ):
        monkeypatch.chdir(place)
        assert output_root() == Folders().root == root
    assert Folders(other).root == other, "a folder that is named counts first"


def test_the_course_lies_with_the_package_wherever_one_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert project_root() == Folders.course().root == CHECKOUT
    assert notebook_sources() == CHECKOUT / "notebooks"


def test_models_are_looked_for_among_the_reference_models_too_unless_a_root_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Folders().model_folders == (tmp_path / "models", CHECKOUT / "models")
    assert Folders(tmp_path).model_folders == (tmp_path / "models",)
    assert Folders(CHECKOUT).model_folders == Folders.course().model_folders == (CHECKOUT / "models",)
    assert find_policy("q_learning_mixed").name == "q_learning_mixed" and "q_learning_mixed" in model_names()
    searched, command = f"{tmp_path / 'models'}", "autoscaler train ppo --pattern MIXED"
    with pytest.raises(ValueError, match=f"ppo_mixed is missing in {searched}; make it with: {command}$"):
        find_policy("ppo_mixed", folders=Folders(tmp_path))
    elsewhere = Folders(tmp_path / "run 7")
    with pytest.raises(ValueError, match=f"in {elsewhere.models}; .* --pattern MIXED --output '{elsewhere.root}'$"):
        find_policy("ppo_mixed", folders=elsewhere)


def test_a_training_elsewhere_writes_there_and_not_into_the_checkout(tmp_path):
    before = {path: path.stat().st_mtime_ns for path in (CHECKOUT / "models").iterdir()}
    program = [sys.executable, "-m", "autoscaler_env.cli.main", "train", "q-learning", "--episodes", "2"]
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    result = subprocess.run(
        [*program, "--name", "elsewhere"], cwd=tmp_path, capture_output=True, text=True, timeout=600, env=environment
    )
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "models" / "elsewhere.pkl").exists() and (tmp_path / "logs" / "elsewhere").is_dir()
    assert result.stdout.splitlines()[0].endswith(f"logs/elsewhere/ in {tmp_path}.")
    assert {path: path.stat().st_mtime_ns for path in (CHECKOUT / "models").iterdir()} == before
