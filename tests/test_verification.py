"""Every model file gets one verdict in one line, whatever is in it, from a process that is limited and then gone."""

import json
import os
import pickle
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from autoscaler_env.cli.main import main
from autoscaler_env.paths import Folders
from autoscaler_env.policies.q_learning import QTable
from autoscaler_env.service import Service
from autoscaler_env.storage.models import save_description, save_q_table
from autoscaler_env.training.config import TrainingConfig
from autoscaler_env.training.train import train
from autoscaler_env.verification import workers
from autoscaler_env.verification.check import Verdict, as_table, model_files, overall, summary
from autoscaler_env.verification.report import verify, verify_one_by_one
from autoscaler_env.verification.workers import Children, missing_safeguards

linux = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks at /proc")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return folders with a small Q-table, its best version and its checkpoints."""
    folders = Folders(tmp_path_factory.mktemp("trained"))
    train(TrainingConfig("q-learning", episodes=60), folders, progress=False)
    return folders


@pytest.fixture(scope="module")
def checkers():
    """Return children that all tests share."""
    with Children(networks=False) as shared:
        yield shared


@pytest.fixture
def check(checkers):
    """Return a function that verifies a folder, patiently: a machine that runs tests may be busy."""

    def verify_folder(folder, episodes=1, seconds=60, **limits):
        return verify(folder, episodes=episodes, seconds=seconds, progress=False, children=checkers, **limits)

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
    sound, told = overall(verdicts)
    assert sound and told.startswith("PASS: 12 model files; final: 1 ok; best, checkpoints and others: ")


def test_a_table_that_learned_nothing_is_poor_and_what_it_never_does_is_said(tmp_path, verdict_on):
    save_q_table(QTable.zeros(), tmp_path / "empty.pkl")
    verdict = verdict_on(tmp_path / "empty.pkl")
    assert verdict.status == "poor" and verdict.reason.startswith("not cheaper than random and threshold")
    assert verdict.unused == (0, 1) and "never asks for +0, +1 instances" in verdict.reason


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.pkl", b""),
        ("text.pkl", b"hello"),
        ("code.pkl", pickle.dumps(print)),
        ("list.pkl", pickle.dumps([1, 2])),
        ("empty.zip", b""),
        ("text.zip", b"hello\nthere"),
        ("\x1b[31mred\n.pkl", b"hello"),
    ],
)
def test_a_broken_file_costs_one_line(name, content, tmp_path, verdict_on):
    (tmp_path / name).write_bytes(content)
    verdict = verdict_on(tmp_path / name)
    assert (verdict.file, verdict.status, verdict.cost) == (ascii(name)[1:-1], "broken", None)
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


def test_a_stale_description_is_said_and_not_fatal(tmp_path, verdict_on):
    path, table = tmp_path / "newer.pkl", QTable.zeros()
    save_q_table(table, path)
    save_description(path, {"service": Service().as_dict(), "seed": 1})
    table.values[0, 0] = 1.0
    save_q_table(table, path)
    verdict = verdict_on(path)
    assert verdict.status == "poor" and "newer.json is stale" in verdict.reason


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 10**5, json.dumps({"service": {"nope": 1}, "sha256": ""})])
def test_a_damaged_description_is_said_and_not_fatal(text, tmp_path, verdict_on):
    save_q_table(QTable.zeros(), tmp_path / "mine.pkl")
    (tmp_path / "mine.json").write_text(text)
    verdict = verdict_on(tmp_path / "mine.pkl")
    assert verdict.status == "poor" and "mine.json is damaged" in verdict.reason


def test_what_a_description_lacks_is_said(tmp_path, verdict_on):
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


@pytest.mark.parametrize("options", [{"episodes": 0}, {"seconds": 0}, {"megabytes": 0}])
def test_a_limit_that_is_none_is_refused_by_name(options, tmp_path):
    with pytest.raises(ValueError, match=f"{next(iter(options))} = 0"):
        verify(tmp_path, progress=False, **options)


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
        Verdict("a.pkl", "ok", "fine", 1.0, 3.0, 2.0, kind="Q-table", steps=2_880, unused=(-1,)),
        Verdict("b" * 90 + ".zip", "broken", "cut"),
        Verdict("checkpoints/a_288_steps.pkl", "poor", "dear", 4.0, 3.0, 2.0, place="checkpoint"),
    ]
    assert as_table(verdicts)["status"].tolist() == ["ok", "broken", "poor"]
    heading, first, second = summary(verdicts).splitlines()
    assert "never asks for" in heading and max(map(len, (heading, first, second))) < 140
    assert first.split() == ["a.pkl", "ok", "Q-table", "2,880", "1.00", "3.00", "2.00", "-1"]
    assert "..." in second and "broken" in second and summary(verdicts[2:]) == "No final models."


# --- the processes that check -----------------------------------------------------------------------------------------


@linux
def test_the_prepared_process_has_one_thread_when_it_forks(checkers):
    checkers.start()
    assert checkers.threads == 1


def test_a_check_that_takes_too_long_is_ended(tmp_path, check):
    path = tmp_path / "slow.pkl"
    service = Service(steps_per_episode=86_400)
    save_q_table(QTable.zeros(service), path)
    save_description(path, {"service": service.as_dict()})
    (verdict,) = check(tmp_path, seconds=0.2)
    assert verdict.status == "broken" and verdict.reason == "its check took longer than 0.2 seconds"


@linux
def test_a_check_that_needs_too_much_memory_is_ended(tmp_path, check):
    path = tmp_path / "large.pkl"
    service = Service(steps_per_episode=86_400)
    save_q_table(QTable.zeros(service), path)
    save_description(path, {"service": service.as_dict()})
    (verdict,) = check(tmp_path, megabytes=20)
    assert verdict.status == "broken" and "memory" in verdict.reason


def test_a_module_in_the_working_directory_is_not_imported(tmp_path, monkeypatch):
    for name in ("numpy", "torch", "json", "tqdm"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w')")
    (tmp_path / "junk.pkl").write_bytes(b"junk")
    monkeypatch.chdir(tmp_path)
    (verdict,) = verify(".", seconds=60, progress=False)
    assert verdict.status == "broken" and not (tmp_path / "imported").exists()


def test_a_prepared_process_that_dies_costs_one_line(trained, checkers):
    whole = trained.models / "q_learning_mixed.pkl"
    checkers.start()
    os.killpg(checkers.pid, signal.SIGKILL)
    assert checkers.check(whole, "final", 1, seconds=60)["reason"] == "the checking process died of it"
    assert checkers.check(whole, "final", 1, seconds=60)["status"] == "ok"


def test_without_fork_files_are_checked_here_and_that_is_said(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(workers, "_can_fork", lambda: False)
    (tmp_path / "model.pkl").write_bytes((trained.models / "q_learning_mixed.pkl").read_bytes())
    (tmp_path / "junk.pkl").write_bytes(b"junk")
    assert main(["verify", str(tmp_path)]) == 1
    printed = capsys.readouterr()
    assert "broken  junk.pkl" in printed.out and "\nok      model.pkl" in printed.out
    assert "cannot fork" in printed.err


def test_where_memory_cannot_be_limited_that_is_said(monkeypatch, tmp_path):
    """As on macOS."""
    monkeypatch.setattr(workers, "_STATM", tmp_path / "missing")
    assert missing_safeguards() == [
        "This system does not say how much memory a process has: checks are limited in time only."
    ]


def with_mark(mark):
    """Return the numbers of processes that have a mark in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:  # gone, or somebody else's
            continue
    return found


def gone_within(seconds, mark):
    """Return whether no process has a mark any more, after waiting a little."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and with_mark(mark):
        time.sleep(0.1)
    return not with_mark(mark)


@linux
@pytest.mark.slow
@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, -15), (signal.SIGKILL, -9)])
def test_an_interrupted_check_leaves_no_processes(sent, status, trained, tmp_path):
    for number in range(300):
        (tmp_path / f"{number}.pkl").write_bytes((trained.models / "q_learning_mixed.pkl").read_bytes())
    mark = uuid.uuid4().hex
    command = [sys.executable, "-u", "-m", "autoscaler_env.cli.main", "verify", str(tmp_path), "--seconds", "60"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | {"MARK": mark}
    ) as run:
        assert run.stdout.readline().startswith(b"ok      0.pkl")
        assert len(with_mark(mark)) >= 2
        run.send_signal(sent)
        assert run.wait(60) == status
    assert gone_within(20, mark)


@pytest.mark.slow
def test_two_hundred_files_take_minutes_at_most(trained, tmp_path):
    for number in range(200):
        (tmp_path / f"{number}.pkl").write_bytes((trained.models / "q_learning_mixed.pkl").read_bytes())
    begun = time.perf_counter()
    assert len(list(verify_one_by_one(tmp_path, seconds=60))) == 200
    assert time.perf_counter() - begun < 240
