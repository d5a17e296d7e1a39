"""Every model file gets one verdict in one line, whatever it contains."""

import json
import pickle

import pytest

from autoscaler_env.cli.main import main
from autoscaler_env.paths import Folders
from autoscaler_env.policies.q_learning import QTable
from autoscaler_env.service import Service
from autoscaler_env.storage.models import save_description, save_q_table
from autoscaler_env.training.config import TrainingConfig
from autoscaler_env.training.train import train
from autoscaler_env.verification import workers as module
from autoscaler_env.verification.check import Verdict
from autoscaler_env.verification.report import as_table, model_files, overall, summary, verify
from autoscaler_env.verification.workers import Workers


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return folders with a small Q-table, its best version and its checkpoints."""
    folders = Folders(tmp_path_factory.mktemp("trained"))
    train(TrainingConfig("q-learning", episodes=60), folders, progress=False)
    return folders


@pytest.fixture(scope="module")
def workers():
    """Return the processes that all tests share."""
    with Workers(networks=False) as shared:
        yield shared


@pytest.fixture
def check(workers):
    """Return a function that verifies a folder, patiently: a machine that runs tests may be busy."""

    def verify_folder(folder, episodes=1, seconds=60, **limits):
        return verify(folder, episodes=episodes, seconds=seconds, progress=False, workers=workers, **limits)

    return verify_folder


@pytest.fixture
def verdict_on(check):
    """Return a function that returns the one verdict on a folder that holds one file."""

    def only(path):
        (verdict,) = check(path.parent)
        return verdict

    return only


def test_final_best_and_checkpoints_are_found_in_order(trained):
    files = [path.relative_to(trained.models).as_posix() for path in model_files(trained.models)]
    assert files[:2] == ["q_learning_mixed.pkl", "best/q_learning_mixed/best_model.pkl"]
    steps = [int(name.split("_")[-2]) for name in files[2:]]
    assert steps == sorted(steps) and len(steps) == 10
    assert model_files(trained.root) == model_files(trained.models)


def test_trained_tables_are_sound_and_say_how_long_they_were_trained(trained, check):
    verdicts = check(trained.models, episodes=2)
    assert {verdict.status for verdict in verdicts} <= {"ok", "poor"}
    final = verdicts[0]
    assert final.status == "ok" and final.cost < final.threshold < final.random
    assert final.timesteps == 60 * 288 and "17,280 timesteps" in final.reason and len(final.costs) == 6
    assert verdicts[2].timesteps == 6 * 288
    sound, message = overall(verdicts)
    assert sound and message.startswith("PASS: 12 model files; final: 1 ok; best, checkpoints and others: ")


def test_a_table_that_learned_nothing_is_poor_and_its_unused_actions_are_named(tmp_path, verdict_on):
    save_q_table(QTable.zeros(), tmp_path / "empty.pkl")
    verdict = verdict_on(tmp_path / "empty.pkl")
    assert verdict.status == "poor" and verdict.reason.startswith("not cheaper than random and threshold")
    assert verdict.unused == (0, 1) and "unused actions: +0, +1 instances" in verdict.reason


BROKEN = {
    "empty.pkl": b"",
    "text.pkl": b"hello",
    "code.pkl": pickle.dumps(print),
    "list.pkl": pickle.dumps([1, 2]),
    "empty.zip": b"",
    "text.zip": b"hello\nthere",
    "\x1b[31mred\n.pkl": b"hello",
}


def test_a_broken_file_costs_one_line(tmp_path, check):
    for name, content in BROKEN.items():
        (tmp_path / name).write_bytes(content)
    verdicts = check(tmp_path)
    assert sorted(verdict.file for verdict in verdicts) == sorted(ascii(name)[1:-1] for name in BROKEN)
    for verdict in verdicts:
        assert (verdict.status, verdict.cost) == ("broken", None), verdict
        assert verdict.reason and verdict.reason.isprintable() and str(tmp_path) not in verdict.reason


def test_a_cut_file_is_broken_and_the_others_are_still_checked(trained, tmp_path, check):
    whole = trained.models / "q_learning_mixed.pkl"
    (tmp_path / "cut.pkl").write_bytes(whole.read_bytes()[:1000])
    (tmp_path / "whole.pkl").write_bytes(whole.read_bytes())
    verdicts = check(tmp_path)
    assert [verdict.status for verdict in verdicts] == ["broken", "ok"]
    assert overall(verdicts)[1].startswith("FAIL: ") and "Broken: cut.pkl." in overall(verdicts)[1]


def test_a_model_is_played_on_the_service_it_was_trained_for(tmp_path, verdict_on):
    service = Service(fleet_changes=(-2, -1, 0, 1, 2), steps_per_episode=24)
    path = tmp_path / "five.pkl"
    save_q_table(QTable.zeros(service), path)
    assert "must be (135, 3)" in verdict_on(path).reason
    save_description(path, {"service": service.as_dict()})
    assert verdict_on(path).status == "poor"


def test_a_checkpoint_is_played_on_the_service_of_its_model(tmp_path, check):
    service = Service(fleet_changes=(-2, -1, 0, 1, 2), steps_per_episode=24)
    for name in ("five.pkl", "checkpoints/five_48_steps.pkl", "best/five/best_model.pkl"):
        save_q_table(QTable.zeros(service), tmp_path / name)
    save_description(tmp_path / "five.pkl", {"service": service.as_dict()})
    verdicts = check(tmp_path)
    assert [verdict.status for verdict in verdicts] == ["poor"] * 3
    assert [verdict.place for verdict in verdicts] == ["final", "best", "checkpoint"]


def test_a_stale_description_is_reported_and_not_fatal(tmp_path, verdict_on):
    path, table = tmp_path / "newer.pkl", QTable.zeros()
    save_q_table(table, path)
    save_description(path, {"service": Service().as_dict(), "seed": 1})
    table.values[0, 0] = 1.0
    save_q_table(table, path)
    verdict = verdict_on(path)
    assert verdict.status == "poor" and "newer.json is stale" in verdict.reason


def test_a_damaged_description_is_reported_and_not_fatal(tmp_path, check):
    texts = ["", "{", "[]", "[" * 10**5, json.dumps({"service": {"nope": 1}, "sha256": ""})]
    for number, text in enumerate(texts):
        save_q_table(QTable.zeros(), tmp_path / f"{number}.pkl")
        (tmp_path / f"{number}.json").write_text(text)
    verdicts = check(tmp_path)
    assert [verdict.status for verdict in verdicts] == ["poor"] * len(texts)
    for number, verdict in enumerate(verdicts):
        assert f"{number}.json is damaged" in verdict.reason, texts[number]


def test_missing_facts_of_a_description_are_named(tmp_path, verdict_on):
    save_q_table(QTable.zeros(), tmp_path / "mine.pkl")
    save_description(tmp_path / "mine.pkl", {"algorithm": "q-learning", "service": {}})
    assert (
        "mine.json does not say: preset, pattern, budget, seed, versions, commit, date, evaluation"
        in verdict_on(tmp_path / "mine.pkl").reason
    )


def test_an_empty_folder_is_not_sound(tmp_path):
    assert overall(verify(tmp_path, progress=False)) == (False, "FAIL: No model files found.")


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no such folder"):
        verify(tmp_path / "nope")


def test_a_limit_below_its_minimum_is_refused_by_name(tmp_path):
    for name in ("episodes", "seconds", "megabytes"):
        with pytest.raises(ValueError, match=f"{name} = 0"):
            verify(tmp_path, progress=False, **{name: 0})


def test_hidden_files_are_none_and_other_folders_are_looked_into(tmp_path):
    for name in (".left.autoscaler.tmp", ".hidden.pkl", "deep/down/far.zip", "notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert model_files(tmp_path) == [tmp_path / "deep/down/far.zip"]


def test_linked_folders_are_named_and_not_followed(tmp_path, check):
    (tmp_path / "models" / "elsewhere").mkdir(parents=True)
    (tmp_path / "models" / "best").symlink_to(tmp_path / "models" / "elsewhere")
    (verdict,) = check(tmp_path)
    assert (verdict.file, verdict.status) == ("models/best", "broken") and "links are not followed" in verdict.reason


def test_one_file_may_be_named(trained, check):
    (verdict,) = check(trained.models / "q_learning_mixed.pkl")
    assert (verdict.file, verdict.status) == ("q_learning_mixed.pkl", "ok")


def test_tables_have_a_row_per_file_or_per_final_model():
    verdicts = [
        Verdict("a.pkl", "ok", "fine", 1.0, 3.0, 2.0, kind="Q-table", timesteps=2_880, unused=(-1,)),
        Verdict("b" * 90 + ".zip", "broken", "cut"),
        Verdict("checkpoints/a_288_steps.pkl", "poor", "dear", 4.0, 3.0, 2.0, place="checkpoint"),
    ]
    assert as_table(verdicts)["status"].tolist() == ["ok", "broken", "poor"]
    heading, first, second = summary(verdicts).splitlines()
    assert "unused actions" in heading and max(map(len, (heading, first, second))) < 140
    assert first.split() == ["a.pkl", "ok", "Q-table", "2,880", "1.00", "3.00", "2.00", "-1"]
    assert "..." in second and "broken" in second and summary(verdicts[2:]) == "No final models."


def test_a_check_that_needs_too_much_time_or_memory_is_ended(tmp_path, check):
    path = tmp_path / "large.pkl"
    service = Service(steps_per_episode=86_400)
    save_q_table(QTable.zeros(service), path)
    save_description(path, {"service": service.as_dict()})
    (verdict,) = check(tmp_path, seconds=0.2)
    assert verdict.status == "broken" and verdict.reason == "it took longer than 0.2 s"
    if module._STATM.exists():
        (verdict,) = check(tmp_path, megabytes=20)
        assert verdict.status == "broken" and "memory" in verdict.reason


def test_without_fork_files_are_checked_in_this_process_and_that_is_reported(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(module, "can_fork", lambda: False)
    (tmp_path / "model.pkl").write_bytes((trained.models / "q_learning_mixed.pkl").read_bytes())
    (tmp_path / "junk.pkl").write_bytes(b"junk")
    assert main(["verify", str(tmp_path)]) == 1
    printed = capsys.readouterr()
    assert "broken  junk.pkl" in printed.out and "\nok      model.pkl" in printed.out
    assert "cannot fork" in printed.err
