"""A training from its configuration to its files."""

import dataclasses
import hashlib
import importlib.metadata
import json
import os
import re
import signal
import time

import numpy as np
import pytest
import torch
from jupyter_client.manager import start_new_kernel

from autoscaler_env.device import Device
from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.paths import Folders, project_root
from autoscaler_env.service import Service
from autoscaler_env.storage.models import is_described, load_policy, missing_fields, read_description
from autoscaler_env.traffic.patterns import Pattern, day_seeds
from autoscaler_env.traffic.trace import Trace
from autoscaler_env.training import deep, tabular
from autoscaler_env.training.checkpoint import EVALUATIONS, SELECTION_DAYS, RunFolder, SelectionEvaluator
from autoscaler_env.training.config import TrainingConfig
from autoscaler_env.training.train import Interrupted, obtain, train, train_own

SHORT = Service(steps_per_episode=24)
CONFIGS = {
    "q-learning": TrainingConfig("q-learning", "STEADY", episodes=105, service=SHORT),
    "dqn": TrainingConfig("dqn", "STEADY", timesteps=4_000, service=SHORT),
    "ppo": TrainingConfig("ppo", "STEADY", timesteps=4_000, service=SHORT),
}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Return the files and the result of one training of each learner."""
    runs = [RunFolder(config, Folders(tmp_path_factory.mktemp(name))) for name, config in CONFIGS.items()]
    return {run.config.algorithm: (run, train(run.config, run.folders, progress=False)) for run in runs}


def selection_return(policy, service=SHORT):
    """Return the mean return of a policy on the selection days of STEADY."""
    days = Pattern("STEADY", service).draw(day_seeds("selection", SELECTION_DAYS))
    return -simulate(policy, days, service).cost.sum(axis=1).mean()


def steps_of(path):
    """Return the number of timesteps in the name of a checkpoint."""
    return int(re.fullmatch(r".*_(\d+)_steps", path.stem)[1])


def checkpoints_of(run):
    """Return the checkpoints of a training by their timesteps, without their descriptions."""
    paths = [path for path in run.folders.checkpoints.iterdir() if path.suffix != ".json"]
    return sorted(paths, key=steps_of)


def test_the_final_model_is_the_policy_that_is_returned(results):
    days = Pattern("STEADY", SHORT).draw(day_seeds("selection", 5))
    for name, (run, trained) in results.items():
        loaded = load_policy(run.model, SHORT)
        actions = [simulate(policy, days, SHORT).actions for policy in (loaded, trained.policy)]
        assert np.array_equal(*actions), name
        assert loaded.name == trained.policy.name == run.config.model_name == f"{name.replace('-', '_')}_steady"


def test_the_description_says_how_the_model_was_made(results):
    for name, (run, trained) in results.items():
        description = json.loads(run.model.with_suffix(".json").read_text())
        assert {**trained.description, "sha256": description["sha256"]} == description
        assert trained.curve.to_dict("records") == description["curve"]
        assert description["sha256"] == hashlib.sha256(run.model.read_bytes()).hexdigest()
        assert (description["algorithm"], description["pattern"], description["seed"]) == (name, "STEADY", 0)
        assert description["device"] == "cpu" and Service.from_dict(description["service"]) == SHORT
        assert description["versions"]["torch"] == importlib.metadata.version("torch")
        requested = 105 * 24 if name == "q-learning" else 4_000
        assert description["budget"] == {"timesteps": requested}
        assert description["timesteps"] == trained.curve["timesteps"].iloc[-1]
        rounded = requested if name == "q-learning" else run.config.preset.whole_rollouts(24)
        assert description["timesteps"] == rounded


def test_every_model_file_is_described(results):
    for run, _ in results.values():
        for path in (run.model, run.best, *checkpoints_of(run)):
            assert is_described(path) and missing_fields(read_description(path)) == [], path
        for path in checkpoints_of(run):
            assert read_description(path)["timesteps"] == steps_of(path)


def test_a_description_has_the_results_on_selection_days(results):
    for run, trained in results.values():
        evaluation = trained.description["evaluation"]
        curve = trained.curve.iloc[1:]
        best = curve.loc[curve["mean_return"].idxmax()]
        assert (evaluation["purpose"], evaluation["days"]) == ("selection", SELECTION_DAYS)
        assert evaluation["mean_return"] == curve["mean_return"].iloc[-1]
        assert (evaluation["best_mean_return"], evaluation["best_timesteps"]) == (
            best["mean_return"],
            best["timesteps"],
        )
        assert read_description(run.best)["evaluation"]["mean_return"] == best["mean_return"]


def test_models_are_evaluated_about_ten_times_and_the_curve_starts_untrained(results):
    for run, trained in results.values():
        curve = trained.curve
        counts = curve["timesteps"].to_numpy()
        assert curve.columns.tolist() == ["timesteps", "seconds", "mean_return"] and counts[0] == 0
        assert EVALUATIONS < len(counts) <= EVALUATIONS + 2
        tenth = trained.description["timesteps"] / EVALUATIONS
        assert np.diff(counts[:-1]).max() <= tenth + 64  # the last may come a rollout later
        assert curve["timesteps"].is_monotonic_increasing and curve["seconds"].is_monotonic_increasing
        written = np.genfromtxt(run.logs / "selection.csv", delimiter=",", names=True)
        assert written["mean_return"].tolist() == curve["mean_return"].tolist()


def test_the_curve_holds_the_results_of_the_saved_models(results):
    for run, trained in results.values():
        curve = trained.curve.set_index("timesteps")["mean_return"]
        first, last = checkpoints_of(run)[0], checkpoints_of(run)[-1]
        expected = {
            first: curve[steps_of(first)],
            last: curve.iloc[-1],
            run.model: curve.iloc[-1],
            run.best: curve.iloc[1:].max(),
        }
        for path, mean_return in expected.items():
            assert selection_return(load_policy(path, SHORT)) == pytest.approx(mean_return, abs=6e-4), path


def test_checkpoints_of_a_network_lie_at_about_every_so_many_timesteps(tmp_path, monkeypatch):
    monkeypatch.setattr(deep, "CHECKPOINT_TIMESTEPS", 1_000)
    run = RunFolder(TrainingConfig("ppo", timesteps=4_000, service=SHORT), Folders(tmp_path))
    trained = train(run.config, run.folders, progress=False)
    counts = [steps_of(path) for path in checkpoints_of(run)]
    assert counts == [1_024, 2_048, 3_008, trained.description["timesteps"]]  # 64 services advance at once


def test_equal_configurations_write_equal_files(results, tmp_path):
    for name, (run, _) in results.items():
        again = RunFolder(run.config, Folders(tmp_path))
        train(again.config, again.folders, progress=False)
        content = again.model.read_bytes()
        assert content == run.model.read_bytes() and b" at 0x" not in content, name


def test_a_training_leaves_only_its_documented_files(results):
    run, _ = results["ppo"]
    paths = {str(path.relative_to(run.folders.root)) for path in run.folders.root.rglob("*") if path.is_file()}
    assert {path for path in paths if "checkpoints" not in path} == {
        "models/ppo_steady.zip",
        "models/ppo_steady.json",
        "models/best/ppo_steady/best_model.zip",
        "models/best/ppo_steady/best_model.json",
        "logs/ppo_steady/selection.csv",
        "logs/ppo_steady/progress.csv",
    }


def test_obtain_uses_the_model_that_is_there(results, capsys):
    run, trained = results["q-learning"]
    before = run.model.stat().st_mtime_ns
    obtained = obtain(run.config, run.folders)
    made = f"trained {trained.description['date']} with seed 0 for {trained.description['timesteps']:,} timesteps"
    assert capsys.readouterr().out == f"Using models/q_learning_steady.pkl, {made}.\n"
    assert np.array_equal(obtained.policy.values, trained.policy.values) and obtained.curve.equals(trained.curve)
    assert run.model.stat().st_mtime_ns == before


def test_obtain_without_a_model_names_the_files_and_the_command_or_trains(tmp_path, monkeypatch):
    config, file = TrainingConfig("ppo", seed=3), tmp_path / "models" / "ppo_mixed.zip"
    command = "autoscaler train ppo --pattern MIXED --seed 3"
    with pytest.raises(FileNotFoundError, match=f"^there is no {file}; make it with: {command} --output {tmp_path}$"):
        obtain(config, Folders(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=f"^there is no {file}; make it with: {command}$"):
        obtain(config, Folders(tmp_path))
    run = RunFolder(TrainingConfig("q-learning", "STEADY", episodes=3, service=SHORT), Folders(tmp_path))
    obtain(run.config, run.folders, retrain=True, progress=False)
    assert run.model.exists()


OWN = TrainingConfig("q-learning", "STEADY", episodes=40, seed=7, name="mine", service=SHORT)


def test_an_own_model_lies_apart_from_the_reference_and_its_parameters_are_told(tmp_path, capsys):
    reference = RunFolder(dataclasses.replace(OWN, name=None), Folders(tmp_path))
    train(reference.config, reference.folders, progress=False)
    before = reference.model.read_bytes()
    trained = train_own(dataclasses.replace(OWN, name=None, seed=8), Folders(tmp_path), progress=False)
    path = tmp_path / "own" / "models" / "q_learning_steady.pkl"
    told = f"Trained q_learning_steady with seed 8 for {trained.description['timesteps']:,} timesteps: {path}"
    assert capsys.readouterr().out == told + "\n"
    assert reference.model.read_bytes() == before != path.read_bytes()


def test_an_interrupted_own_training_says_what_is_saved_and_the_next_one_goes_on(tmp_path, capsys, monkeypatch):
    whole = train_own(OWN, Folders(tmp_path / "whole"), progress=False)
    folders, run = Folders(tmp_path), RunFolder(OWN, Folders(tmp_path).own)
    monkeypatch.setattr(tabular, "learn", interrupting(tabular.learn, after=3))
    with pytest.raises(Interrupted) as caught:
        train_own(OWN, folders, progress=False)
    done = run.progress()
    (line,) = caught.value._render_traceback_()
    assert line == f"Interrupted: {done} of mine are saved; run this cell again to go on."
    capsys.readouterr()
    monkeypatch.undo()
    resumed = train_own(OWN, folders, progress=False)
    assert capsys.readouterr().out.startswith(f"Resuming after {done}.\nTrained mine with seed 7")
    assert np.array_equal(resumed.policy.values, whole.policy.values)


def test_an_unfinished_training_of_another_seed_is_told_and_started_again(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(tabular, "learn", interrupting(tabular.learn, after=1))
    with pytest.raises(Interrupted):
        train_own(OWN, Folders(tmp_path), progress=False)
    monkeypatch.undo()
    capsys.readouterr()
    trained = train_own(dataclasses.replace(OWN, seed=9), Folders(tmp_path), progress=False)
    told = capsys.readouterr().out.splitlines()[0]
    assert told == "the unfinished mine is another training: seed 7, now 9; starting again."
    assert trained.description["seed"] == 9


def interrupting(function, after):
    """Return a function that sends this process a Ctrl-C in one of its calls."""
    calls = []

    def call(*arguments):
        calls.append(arguments)
        if len(calls) == after:
            signal.raise_signal(signal.SIGINT)
        return function(*arguments)

    return call


KERNEL_CODE = """
from autoscaler_env import Folders, TrainingConfig, train_own
train_own(TrainingConfig("q-learning", episodes={episodes}, name="mine"), Folders("."), progress=False);
"""


@pytest.mark.notebook
def test_a_kernel_that_is_interrupted_shows_one_line(tmp_path):
    """A real kernel, interrupted as the button of JupyterLab does it, once the training has saved its state."""
    manager, client = start_new_kernel(cwd=str(tmp_path), env=os.environ | {"PYTHONPATH": str(project_root())})
    try:
        state = tmp_path / "own" / "logs" / "mine" / "state" / "state.npz"
        sent = client.execute(KERNEL_CODE.format(episodes=1_000_000))
        while not state.exists():
            time.sleep(0.1)
        manager.interrupt_kernel()
        reply = client.get_shell_msg(timeout=120)
        while reply["parent_header"]["msg_id"] != sent:  # an answer to a question of the start
            reply = client.get_shell_msg(timeout=120)
        assert reply["content"]["status"] == "error"
        (line,) = reply["content"]["traceback"]
        assert re.fullmatch(r"Interrupted: .* timesteps of mine are saved; run this cell again to go on\.", line)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def test_a_learner_on_mixed_is_evaluated_on_selection_days_of_all_six_patterns():
    class Watcher:
        name = "watcher"

        def reset(self, days):
            self.days = days

        def predict(self, observations):
            return np.ones(len(observations), dtype=int)

    watcher = Watcher()
    SelectionEvaluator(TrainingConfig("ppo")).evaluate(watcher, 0)
    assert len(watcher.days) == 6 * SELECTION_DAYS
    steady = Pattern("STEADY", Service()).draw(day_seeds("selection", SELECTION_DAYS))
    assert np.array_equal(watcher.days[:SELECTION_DAYS], steady)


def test_a_trace_can_be_trained_on(tmp_path):
    trace = Trace("recorded", np.random.default_rng(0).poisson(1500, (6, 24)))
    config = TrainingConfig("q-learning", trace, episodes=20, service=SHORT)
    trained = train(config, Folders(tmp_path), progress=False)
    assert trained.policy.name == "q_learning_recorded" and trained.description["pattern"] == "recorded"


@pytest.fixture
def cuda_without_memory(monkeypatch):
    """Give this machine a cuda device that runs out of memory; return the list of devices that are tried."""
    tried = []

    def build(*args, device, **options):
        tried.append(device)
        if device == "cuda":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(*args, device=device, **options)

    real = deep.build_learner
    monkeypatch.setattr(deep, "build_learner", build)

    def choose(requested, **work):
        return Device("cuda", "enough work") if requested in ("auto", "cuda") else Device("cpu", "as asked")

    monkeypatch.setattr(deep, "choose_device", choose)
    return tried


def test_a_device_without_memory_is_replaced_by_the_cpu_under_auto_only(cuda_without_memory, tmp_path, capsys):
    with pytest.raises(torch.OutOfMemoryError):
        train(TrainingConfig("ppo", "STEADY", timesteps=100, device="cuda"), Folders(tmp_path), progress=False)
    assert cuda_without_memory == ["cuda"]
    config = TrainingConfig("ppo", "STEADY", timesteps=100, service=SHORT)
    trained = train(config, Folders(tmp_path), progress=False)
    assert cuda_without_memory[1:] == ["cuda", "cpu"] and trained.description["device"] == "cpu"
    assert capsys.readouterr().out == "cuda ran out of memory; starting again on the CPU.\n"
