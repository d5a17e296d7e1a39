"""Every model file gets one verdict in one line, whatever is in it."""

import json
import pickle

import numpy as np
import pytest

from autoscaler_env.paths import Folders
from autoscaler_env.policies.q_learning import QTable
from autoscaler_env.service import Service
from autoscaler_env.storage import save_description, save_q_table
from autoscaler_env.training import TrainingRun, train
from autoscaler_env.verification import as_table, model_files, overall, verify


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return folders with a small Q-table, its best version and its checkpoints."""
    folders = Folders(tmp_path_factory.mktemp("trained"))
    train(TrainingRun("q-learning", budget=60), folders, progress=False)
    return folders


def verdict_on(path):
    """Return the one verdict on a folder that holds one file."""
    (verdict,) = verify(path.parent, episodes=1, progress=False)
    return verdict


def test_final_best_and_checkpoints_are_found_in_order(trained):
    files = [path.relative_to(trained.models).as_posix() for path in model_files(trained.models)]
    assert files[:2] == ["q_learning_mixed.pkl", "best/q_learning_mixed/best_model.pkl"]
    steps = [int(name.split("_")[-2]) for name in files[2:]]
    assert steps == sorted(steps) and len(steps) == 10
    assert model_files(trained.root) == model_files(trained.models)


def test_trained_tables_are_sound(trained):
    verdicts = verify(trained.models, episodes=2, progress=False)
    assert {verdict.status for verdict in verdicts} <= {"ok", "poor"}
    final = verdicts[0]
    assert final.status == "ok" and final.bill < final.threshold < final.random
    sound, told = overall(verdicts)
    assert sound and told.startswith("12 model files:")


def test_a_table_that_learned_nothing_is_poor(tmp_path):
    save_q_table(QTable.zeros(), tmp_path / "empty.pkl")
    verdict = verdict_on(tmp_path / "empty.pkl")
    assert verdict.status == "poor" and verdict.reason.startswith("not cheaper than random and threshold")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.pkl", b""),
        ("text.pkl", b"hello"),
        ("code.pkl", pickle.dumps(print)),
        ("list.pkl", pickle.dumps([1, 2])),
        ("empty.zip", b""),
        ("text.zip", b"hello\nthere"),
    ],
)
def test_a_broken_file_costs_one_line(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    verdict = verdict_on(tmp_path / name)
    assert (verdict.file, verdict.status, verdict.bill) == (name, "broken", None)
    assert verdict.reason and "\n" not in verdict.reason and str(tmp_path) not in verdict.reason


def test_a_cut_file_is_broken_and_the_others_are_still_checked(trained, tmp_path):
    whole = trained.models / "q_learning_mixed.pkl"
    (tmp_path / "cut.pkl").write_bytes(whole.read_bytes()[:1000])
    (tmp_path / "whole.pkl").write_bytes(whole.read_bytes())
    verdicts = verify(tmp_path, episodes=1, progress=False)
    assert [verdict.status for verdict in verdicts] == ["broken", "ok"]
    assert not overall(verdicts)[0]


def test_values_that_are_not_finite_are_broken(tmp_path):
    table = QTable.zeros()
    table.values[3, 1] = np.nan
    save_q_table(table, tmp_path / "nan.pkl")
    assert verdict_on(tmp_path / "nan.pkl").status == "broken"


def test_a_model_is_played_on_the_service_it_was_trained_for(tmp_path):
    service = Service(fleet_changes=(-2, -1, 0, 1, 2), slots_per_episode=24)
    path = tmp_path / "five.pkl"
    save_q_table(QTable.zeros(service), path)
    assert verdict_on(path).status == "broken"
    save_description(path, {"service": service.as_dict()})
    assert verdict_on(path).status == "poor"


def test_a_file_other_than_its_description_says_is_broken(tmp_path):
    path = tmp_path / "swapped.pkl"
    save_q_table(QTable.zeros(), path)
    save_description(path, {"service": Service().as_dict()})
    table = QTable.zeros()
    table.values[0, 0] = 1.0
    save_q_table(table, path)
    assert "SHA-256" in verdict_on(path).reason


@pytest.mark.parametrize("text", ["", "{", "[]", json.dumps({"service": {"nope": 1}, "sha256": ""})])
def test_a_damaged_description_is_named(text, tmp_path):
    save_q_table(QTable.zeros(), tmp_path / "mine.pkl")
    (tmp_path / "mine.json").write_text(text)
    assert "mine.json is damaged" in verdict_on(tmp_path / "mine.pkl").reason


def test_an_empty_folder_is_not_sound(tmp_path):
    assert overall(verify(tmp_path)) == (False, "No model files found.")


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no such folder"):
        verify(tmp_path / "nope")


def test_the_table_has_a_row_per_file(tmp_path):
    (tmp_path / "empty.pkl").write_bytes(b"")
    table = as_table(verify(tmp_path, progress=False))
    assert table.loc["empty.pkl", "status"] == "broken"
