"""Training from a description to the files that it leaves."""

import hashlib
import importlib.metadata
import json
import re
import shlex
import zipfile

import numpy as np
import pytest
import torch

from autoscaler_env import training
from autoscaler_env.cli.main import parse
from autoscaler_env.device import Device
from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.paths import Folders
from autoscaler_env.service import Service
from autoscaler_env.storage.models import fits, load_policy, missing_fields, read_description
from autoscaler_env.traffic.patterns import Pattern, day_seeds
from autoscaler_env.traffic.trace import Trace
from autoscaler_env.training import deep as training_deep
from autoscaler_env.training.checkpoint import EVALUATIONS, SELECTION_DAYS, Judge
from autoscaler_env.training.config import TrainingConfig
from autoscaler_env.training.train import obtain, train

SHORT = Service(steps_per_episode=24)
RUNS = {
    "q-learning": TrainingConfig("q-learning", "STEADY", budget=105, service=SHORT),
    "dqn": TrainingConfig("dqn", "STEADY", budget=4_000, service=SHORT),
    "ppo": TrainingConfig("ppo", "STEADY", budget=4_000, service=SHORT),
}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Return where each of the runs wrote, and what it returned."""
    roots = {name: Folders(tmp_path_factory.mktemp(name)) for name in RUNS}
    return {name: (roots[name], train(run, roots[name], progress=False)) for name, run in RUNS.items()}


@pytest.fixture(params=RUNS)
def result(request, results):
    """Return the run, the folders and the result of each learner in turn."""
    return RUNS[request.param], *results[request.param]


def selection_return(policy, service=SHORT):
    """Return the mean return of a policy on the selection days of STEADY."""
    days = Pattern("STEADY", service).draw(day_seeds("selection", SELECTION_DAYS))
    return -simulate(policy, days, service).cost.sum(axis=1).mean()


def steps_of(paths):
    """Return the counts in the names of checkpoints, in order."""
    return sorted(int(re.fullmatch(r".*_(\d+)_steps", path.stem)[1]) for path in paths)


def checkpoints_of(folders):
    """Return the checkpoints in a folder, without their descriptions."""
    return [path for path in folders.checkpoints.iterdir() if path.suffix != ".json"]


def contents_of(path):
    """Return what a model file holds, without the times in a zip: its weights, or the bytes of a table."""
    if path.suffix == ".pkl":
        return path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        return archive.read("policy.pth")


def test_the_final_model_is_the_policy_that_is_returned(result):
    run, folders, trained = result
    loaded = load_policy(run.model_path(folders), SHORT)
    days = Pattern("STEADY", SHORT).draw(day_seeds("selection", 5))
    assert np.array_equal(simulate(loaded, days, SHORT).actions, simulate(trained.policy, days, SHORT).actions)
    assert loaded.name == trained.policy.name == run.model_name == f"{run.algorithm.replace('-', '_')}_steady"


def test_the_description_says_how_the_model_was_made(result):
    run, folders, trained = result
    path = run.model_path(folders)
    written = json.loads(path.with_suffix(".json").read_text())
    assert written["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (written["algorithm"], written["pattern"], written["seed"]) == (run.algorithm, "STEADY", 0)
    assert written["device"] == "cpu" and Service.from_dict(written["service"]) == SHORT
    assert written["versions"]["torch"] == importlib.metadata.version("torch")
    assert written["curve"] == trained.curve.to_dict("records")
    steps = run.budget * (24 if run.algorithm == "q-learning" else 1)
    assert written["budget"] == {"timesteps": steps} and written["timesteps"] >= steps


def test_every_model_file_is_described(result):
    run, folders, _ = result
    final, best = run.model_path(folders), run.best_path(folders)
    for path in (final, best, *checkpoints_of(folders)):
        description = read_description(path)
        assert missing_fields(description) == [] and description["seed"] == run.seed
        assert fits(description, hashlib.sha256(path.read_bytes()).hexdigest())
    for path in checkpoints_of(folders):
        assert [read_description(path)["timesteps"]] == steps_of([path])


def test_a_description_says_how_the_model_did_on_selection_days(result):
    run, folders, trained = result
    told = trained.description["evaluation"]
    curve = trained.curve.iloc[1:]
    assert (told["purpose"], told["days"]) == ("selection", SELECTION_DAYS)
    assert told["mean_return"] == curve["mean_return"].iloc[-1]
    best = curve.loc[curve["mean_return"].idxmax()]
    assert (told["best_mean_return"], told["best_timesteps"]) == (best["mean_return"], best["timesteps"])
    assert read_description(run.best_path(folders))["evaluation"]["mean_return"] == best["mean_return"]


def test_steps_are_counted_as_they_were_taken(result):
    run, _, trained = result
    steps = trained.description["timesteps"]
    assert steps == trained.curve["timesteps"].iloc[-1]
    assert steps == (105 * 24 if run.algorithm == "q-learning" else run.preset.whole_rollouts(24))


def test_models_are_judged_at_about_every_tenth_of_the_budget(result):
    _, _, trained = result
    counts = trained.curve["timesteps"].to_numpy()
    tenth = trained.description["timesteps"] / EVALUATIONS
    assert EVALUATIONS < len(counts) <= EVALUATIONS + 2
    assert np.diff(counts[:-1]).max() <= tenth + 64  # the last may come a trajectory later


def test_checkpoints_of_a_network_lie_at_about_every_so_many_steps(tmp_path, monkeypatch):
    monkeypatch.setattr("autoscaler_env.training.deep.CHECKPOINT_TIMESTEPS", 1_000)
    trained = train(TrainingConfig("ppo", budget=4_000, service=SHORT), Folders(tmp_path), progress=False)
    counts = steps_of(checkpoints_of(Folders(tmp_path)))
    assert counts == [1_024, 2_048, 3_008, trained.description["timesteps"]]  # 64 services move at once


def test_a_checkpoint_is_the_model_of_its_step(result):
    run, folders, trained = result
    path = max(checkpoints_of(folders), key=lambda path: steps_of([path]))
    assert selection_return(load_policy(path, SHORT)) == selection_return(load_policy(run.model_path(folders), SHORT))
    earlier = min(checkpoints_of(folders), key=lambda path: steps_of([path]))
    row = trained.curve[trained.curve["timesteps"] == steps_of([earlier])[0]].iloc[0]
    assert selection_return(load_policy(earlier, SHORT)) == pytest.approx(row["mean_return"], abs=6e-4)


def test_the_last_point_of_the_curve_is_the_final_model(result):
    _, _, trained = result
    assert selection_return(trained.policy) == pytest.approx(trained.curve["mean_return"].iloc[-1], abs=6e-4)


def test_the_best_model_is_that_of_the_best_point(result):
    run, folders, trained = result
    best = folders.best / run.model_name / f"best_model{run.model_path(folders).suffix}"
    highest = trained.curve["mean_return"].iloc[1:].max()
    assert selection_return(load_policy(best, SHORT)) == pytest.approx(highest, abs=6e-4)


def test_the_curve_begins_untrained_and_time_passes(result):
    _, folders, trained = result
    curve = trained.curve
    assert curve.columns.tolist() == ["timesteps", "seconds", "mean_return"] and curve["timesteps"].iloc[0] == 0
    assert curve["timesteps"].is_monotonic_increasing and curve["seconds"].is_monotonic_increasing
    written = next((folders.logs / trained.policy.name).glob("selection.csv"))
    assert np.genfromtxt(written, delimiter=",", names=True)["mean_return"].tolist() == curve["mean_return"].tolist()


def test_stable_baselines_own_log_is_kept(results):
    for name in ("dqn", "ppo"):
        assert (results[name][0].logs / f"{name}_steady" / "progress.csv").exists()


@pytest.mark.parametrize("name", list(RUNS))
def test_equal_runs_write_equal_files(results, tmp_path, name):
    folders = Folders(tmp_path)
    train(RUNS[name], folders, progress=False)
    content = RUNS[name].model_path(folders).read_bytes()
    assert content == RUNS[name].model_path(results[name][0]).read_bytes() and b" at 0x" not in content


def test_obtain_uses_the_model_that_is_there_and_says_so(results, capsys):
    folders, trained = results["q-learning"]
    before = RUNS["q-learning"].model_path(folders).stat().st_mtime_ns
    obtained = obtain(RUNS["q-learning"], folders)
    date = trained.description["date"]
    assert capsys.readouterr().out == f"Using models/q_learning_steady.pkl, trained {date} with seed 0.\n"
    assert np.array_equal(obtained.policy.values, trained.policy.values) and obtained.curve.equals(trained.curve)
    assert RUNS["q-learning"].model_path(folders).stat().st_mtime_ns == before


def test_obtain_without_a_model_says_what_makes_it(tmp_path):
    command = "autoscaler train ppo --pattern MIXED --seed 3"
    with pytest.raises(FileNotFoundError, match=f"^models/ppo_mixed.zip is missing; make it with: {command}$"):
        obtain(TrainingConfig("ppo", seed=3), Folders(tmp_path))


def test_obtain_trains_when_asked(tmp_path):
    run = TrainingConfig("q-learning", "STEADY", budget=3, service=SHORT)
    obtain(run, Folders(tmp_path), retrain=True, progress=False)
    assert run.model_path(Folders(tmp_path)).exists()


def test_training_leaves_only_what_it_says(results):
    folders, _ = results["ppo"]
    found = {str(path.relative_to(folders.root)) for path in folders.root.rglob("*") if path.is_file()}
    found = {path for path in found if "checkpoints" not in path}
    assert found == {
        "models/ppo_steady.zip",
        "models/ppo_steady.json",
        "models/best/ppo_steady/best_model.zip",
        "models/best/ppo_steady/best_model.json",
        "logs/ppo_steady/selection.csv",
        "logs/ppo_steady/progress.csv",
    }


def test_a_learner_is_judged_on_selection_days_of_all_six_patterns():
    class Watcher:
        name = "watcher"

        def reset(self, days):
            self.days = days

        def predict(self, observations):
            return np.ones(len(observations), dtype=int)

    watcher = Watcher()
    Judge(TrainingConfig("ppo")).judge(watcher, 0)
    assert len(watcher.days) == 6 * SELECTION_DAYS
    steady = Pattern("STEADY", Service()).draw(day_seeds("selection", SELECTION_DAYS))
    assert np.array_equal(watcher.days[:SELECTION_DAYS], steady)


def test_a_trace_can_be_trained_on(tmp_path):
    trace = Trace("recorded", np.random.default_rng(0).poisson(1500, (6, 24)))
    run = TrainingConfig("q-learning", trace, budget=20, service=SHORT)
    trained = train(run, Folders(tmp_path), progress=False)
    assert trained.policy.name == "q_learning_recorded" and trained.description["pattern"] == "recorded"


@pytest.fixture
def cuda_without_memory(monkeypatch):
    """Let this machine have a cuda device that runs out of memory, and remember where training was tried."""
    tried = []

    def build(*args, device, **options):
        tried.append(device)
        if device == "cuda":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(*args, device=device, **options)

    real = training_deep.build_learner
    monkeypatch.setattr(training_deep, "build_learner", build)

    def choose(requested, **work):
        return Device("cuda", "enough work") if requested in ("auto", "cuda") else Device("cpu", "as asked")

    monkeypatch.setattr(training_deep, "choose_device", choose)
    return tried


def test_out_of_memory_under_auto_goes_on_on_the_cpu(cuda_without_memory, tmp_path, capsys):
    run = TrainingConfig("ppo", "STEADY", budget=100, service=SHORT)
    trained = train(run, Folders(tmp_path), progress=False)
    assert cuda_without_memory == ["cuda", "cpu"] and trained.description["device"] == "cpu"
    assert capsys.readouterr().out == "cuda ran out of memory; starting again on the CPU.\n"


def test_out_of_memory_on_a_forced_device_is_an_error(cuda_without_memory, tmp_path):
    with pytest.raises(torch.OutOfMemoryError):
        train(TrainingConfig("ppo", "STEADY", budget=100, device="cuda"), Folders(tmp_path), progress=False)
    assert cuda_without_memory == ["cuda"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a cuda device")
def test_a_forced_device_that_is_missing_is_refused(tmp_path):
    with pytest.raises(ValueError, match="device = 'cuda': not on this machine; available are cpu"):
        train(TrainingConfig("dqn", device="cuda"), Folders(tmp_path), progress=False)


BAD = {
    "algorithm": ("sarsa", "q-learning, dqn, ppo"),
    "pattern": ("NOISE", "STEADY"),
    "budget": (0, "at least 1"),
    "learning_rate": (0.0, "between 0 and 1"),
    "batch_size": (1, "at least 2"),
    "discount": (1.0, "below 1"),
    "widths": ((64, 0), "at least 1 unit"),
    "name": ("../evil", "plain file name"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_field_is_named_with_what_is_allowed(name):
    value, allowed = BAD[name]
    with pytest.raises(ValueError, match=rf"{name} = {re.escape(repr(value))}: .*{allowed}") as caught:
        TrainingConfig(**{"algorithm": "ppo"} | {name: value})
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("setting", [{"learning_rate": 0.1}, {"batch_size": 9}, {"discount": 0.0}, {"widths": (8,)}])
def test_settings_of_a_network_are_not_for_a_table(setting):
    with pytest.raises(ValueError, match="not for q-learning"):
        TrainingConfig("q-learning", **setting)


def test_own_settings_replace_those_of_the_preset():
    preset = TrainingConfig("dqn", budget=7, learning_rate=0.5, batch_size=9, widths=(8,)).preset
    assert (preset.timesteps, preset.learning_rate, preset.batch_size, preset.widths) == (7, 0.5, 9, (8,))
    assert TrainingConfig("q-learning", budget=7).preset.episodes == 7


def test_package_offers_what_notebooks_import():
    assert set(training.__all__) == {"Algorithm", "Trained", "TrainingConfig", "obtain", "train"}


def test_the_command_that_is_written_down_makes_the_same_model():
    run = TrainingConfig("ppo", "SPIKE", 5_000, "mine", 2, "cpu", 0.01, 256, 0.8, 3, (32, 16))
    name, *words = shlex.split(run.command())
    assert name == "autoscaler" and parse(words).training_run() == run
    short = TrainingConfig("q-learning", budget=7)
    assert parse(shlex.split(short.command())[1:]).training_run() == short
