"""A run that was killed, interrupted or out of disk goes on as if nothing had happened."""

import contextlib
import dataclasses
import errno
import itertools
import json
import multiprocessing
import os
import random
import shlex
import shutil
import signal
import sys
import time

import numpy as np
import pytest

from autoscaler_env.cli.main import main
from autoscaler_env.paths import Folders
from autoscaler_env.service import Service
from autoscaler_env.storage.models import load_policy, read_description
from autoscaler_env.training import checkpoint, config, deep, tabular
from autoscaler_env.training.checkpoint import Unfinished, read_tree, write_tree
from autoscaler_env.training.config import DQN_PRESET, PPO_LONG_PRESET, PPO_PRESET, TrainingConfig
from autoscaler_env.training.deep import learner_state, restore_generators, restore_learner
from autoscaler_env.training.train import train


def small(preset, **settings):
    """Return a preset with short trajectories, so that a short run has many."""
    return dataclasses.replace(preset, environments=8, batch_size=64, settings=preset.settings | settings)


PRESETS = {
    "dqn": small(DQN_PRESET, buffer_size=800, learning_starts=200, target_update_interval=100, gradient_steps=1),
    "ppo": small(PPO_PRESET, n_steps=16, n_epochs=2),
    "ppo_long": dataclasses.replace(small(PPO_LONG_PRESET, n_steps=16, n_epochs=2), imitation_days=1),
}
"""DQN's buffer is full before the run is over; PPO's long preset normalises rewards, and begins with imitation here."""

SHORT = Service(steps_per_episode=24)
BUDGETS = {"q-learning": 3_000, "dqn": 1_600, "ppo": 1_600, "ppo_long": 1_600}
NAMES = list(BUDGETS)


def run_of(name, **changes):
    """Return the run that a test is about."""
    algorithm = {"q-learning": "q-learning"}.get(name, name[:3])
    return TrainingConfig(algorithm, "SPIKE", BUDGETS[name], name=name, service=SHORT, **changes)


@pytest.fixture(autouse=True)
def frequent_states(monkeypatch):
    """Let every run save its state often, and wait for no disk: a kill spares what the system has not written yet."""
    monkeypatch.setattr(deep, "CHECKPOINT_TIMESTEPS", 200)
    monkeypatch.setattr(tabular, "STATE_SECONDS", 0.0)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def small_presets(request, monkeypatch):
    """Let the run of the test's name be small."""
    for name in ("dqn", "ppo", request.node.callspec.params.get("name", "ppo")):
        if name in PRESETS:
            monkeypatch.setitem(config.PRESETS, name[:3], PRESETS[name])


def left_by(folders):
    """Return what a run left, by file: all of it but dates and durations."""
    return {path.relative_to(folders.root).as_posix(): content_of(path) for path in files_of(folders)}


def files_of(folders):
    return [path for path in folders.root.rglob("*") if path.is_file() and path.name != "progress.csv"]


def content_of(path):
    if path.suffix == ".json":
        content = json.loads(path.read_text())
        for row in content["curve"]:
            del row["seconds"]
        return {name: value for name, value in content.items() if name not in ("date", "commit")}
    if path.name == "selection.csv":
        return [(row.split(",")[0], row.split(",")[2]) for row in path.read_text().splitlines()]
    return path.read_bytes()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """Return a function that returns what a run leaves that nothing interrupted."""
    done = {}

    def leaves(name):
        if name not in done:
            folders = Folders(tmp_path_factory.mktemp(name))
            done[name] = train(run_of(name), folders, progress=False), left_by(folders)
        return done[name]

    return leaves


class BrokeOff(Exception):
    """Stands for whatever ends a process."""


@pytest.fixture
def break_off(monkeypatch):
    """Return a function that trains until a state has been saved some times, then breaks off."""
    save = Unfinished.save

    def train_until(saves, run, folders, **options):
        counted = iter(range(saves - 1))

        def save_or_break(self, *arguments):
            save(self, *arguments)
            if next(counted, None) is None:
                raise BrokeOff

        monkeypatch.setattr(Unfinished, "save", save_or_break)
        with pytest.raises(BrokeOff):
            train(run, folders, progress=False, **options)
        monkeypatch.setattr(Unfinished, "save", save)

    return train_until


# --- bit for bit -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("small_presets")
def test_a_run_that_broke_off_twice_ends_as_if_it_never_had(name, uninterrupted, break_off, tmp_path):
    folders = Folders(tmp_path)
    break_off(3, run_of(name), folders)
    np.random.seed(99)  # noqa: NPY002 - whoever resumes has other global generators
    random.seed(99)
    break_off(3, run_of(name), folders, resume=True)
    trained = train(run_of(name), folders, progress=False, resume=True)
    whole, left = uninterrupted(name)
    assert left_by(folders) == left
    assert trained.curve.drop(columns="seconds").equals(whole.curve.drop(columns="seconds"))
    if name == "q-learning":
        assert np.array_equal(trained.policy.visits, whole.policy.visits)


@pytest.mark.parametrize(
    "described", [pytest.param(count, marks=[] if count % 7 == 0 else pytest.mark.slow) for count in range(18)]
)
def test_a_run_that_broke_off_between_a_model_and_its_description_ends_the_same(
    described, uninterrupted, monkeypatch, tmp_path
):
    run, folders, counted = run_of("q-learning"), Folders(tmp_path), iter(range(described))
    save = checkpoint.save_description

    def save_or_break(path, description):
        if next(counted, None) is None:
            raise BrokeOff
        save(path, description)

    monkeypatch.setattr(checkpoint, "save_description", save_or_break)
    with pytest.raises(BrokeOff):
        train(run, folders, progress=False)
    monkeypatch.setattr(checkpoint, "save_description", save)
    train(run, folders, progress=False, resume=True)
    assert left_by(folders) == uninterrupted("q-learning")[1]


KILLED = """
import os

from autoscaler_env.training import presets
from autoscaler_env.training import deep, tabular, train

deep.CHECKPOINT_TIMESTEPS, tabular.STATE_SECONDS, os.fsync = 200, 0.0, lambda descriptor: None
config.PRESETS.update(small)
train(run, folders, progress=False, resume=resume)
"""


@pytest.fixture(scope="module")
def context():
    """Return a way to start processes that have imported torch already."""
    if sys.platform == "win32":
        pytest.skip("there is no fork on Windows")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["autoscaler_env.training.deep", "torch._dynamo"])  # what an optimizer imports
    return context


def train_and_kill(context, run, folders, small, moment):
    """Train in a process of its own; kill it a moment after some saved states; return whether it was killed."""
    path = Unfinished(run, folders).path
    arguments = {"run": run, "folders": folders, "small": small, "resume": path.exists()}
    process = context.Process(target=exec, args=(KILLED, arguments))
    process.start()
    seen, states = None, moment.randint(1, 3)
    while process.is_alive() and states:
        with contextlib.suppress(FileNotFoundError):  # none is saved yet; or the run is ending, and none is needed
            now = path.stat().st_mtime_ns
            states -= now != seen
            seen = now
        time.sleep(0.001)
    time.sleep(moment.uniform(0, 0.05))
    process.kill()
    process.join()
    return process.exitcode == -signal.SIGKILL


def check_kills(name, kills, seed, context, uninterrupted, folders):
    """Kill a run at random moments; compare what it leaves with an uninterrupted run."""
    moment = random.Random(seed)
    small = {name[:3]: PRESETS[name]} if name in PRESETS else {}
    killed = sum(train_and_kill(context, run_of(name), folders, small, moment) for _ in range(kills))
    if Unfinished(run_of(name), folders).path.exists():
        train(run_of(name), folders, progress=False, resume=True)
    assert killed >= min(kills, 2) and left_by(folders) == uninterrupted(name)[1]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("small_presets")
def test_a_run_killed_at_random_moments_ends_as_if_it_never_was(name, context, uninterrupted, tmp_path):
    check_kills(name, 2, 0, context, uninterrupted, Folders(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 6))
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("small_presets")
def test_many_kills_change_nothing(name, seed, context, uninterrupted, tmp_path):
    check_kills(name, 8, seed, context, uninterrupted, Folders(tmp_path))


def test_a_better_best_model_is_never_replaced(break_off, tmp_path):
    folders, elsewhere = Folders(tmp_path / "ours"), Folders(tmp_path / "better")
    run = run_of("q-learning")
    train(dataclasses.replace(run, budget=20_000), elsewhere, progress=False)
    break_off(2, run, folders)
    shutil.copy(run.best_path(elsewhere), run.best_path(folders))
    train(run, folders, progress=False, resume=True)
    assert run.best_path(folders).read_bytes() == run.best_path(elsewhere).read_bytes()


def test_a_damaged_best_model_is_said_and_replaced(break_off, tmp_path, capsys):
    folders, run = Folders(tmp_path), run_of("q-learning")
    break_off(2, run, folders)
    run.best_path(folders).write_bytes(b"damaged")
    train(run, folders, progress=False, resume=True)
    assert "best_model.pkl: not a Q-table" in capsys.readouterr().out
    assert load_policy(run.best_path(folders), SHORT)


def test_a_run_begun_anew_starts_from_no_best_model(tmp_path):
    folders, run = Folders(tmp_path), run_of("q-learning")
    train(dataclasses.replace(run, budget=20_000), folders, progress=False)
    train(dataclasses.replace(run, budget=30), folders, progress=False)
    steps = {int(path.stem.split("_")[-2]) for path in folders.checkpoints.iterdir()}
    assert max(steps) == 30 * 24 and read_description(run.best_path(folders))["timesteps"] <= 30 * 24


# --- the state -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("small_presets")
def test_a_state_is_numbers_and_json_out_of_models_and_goes_with_the_run(name, break_off, tmp_path):
    folders, unfinished = Folders(tmp_path), Unfinished(run_of(name), Folders(tmp_path))
    break_off(5, run_of(name), folders)
    assert unfinished.folder == tmp_path / "logs" / name / "state"
    for path in unfinished.folder.iterdir():
        with np.load(path, allow_pickle=False) as archive:
            assert all(archive[member].dtype.kind in "biuf" for member in archive.files)
    train(run_of(name), folders, progress=False, resume=True)
    assert not unfinished.folder.exists()


@pytest.mark.parametrize("name", ["dqn"])
@pytest.mark.usefixtures("small_presets")
def test_a_replay_buffer_is_written_once_and_forgotten_with_its_rows(name, break_off, tmp_path):
    folder = Unfinished(run_of(name), Folders(tmp_path)).folder
    break_off(8, run_of(name), Folders(tmp_path))
    rows = sorted(tuple(map(int, path.stem.split("_")[1:])) for path in folder.glob("replay_*"))
    assert all(end == first for (_, end), (first, _) in itertools.pairwise(rows))
    assert rows[0][0] > 0 and rows[0][1] > rows[-1][1] - 800 // 8 >= rows[0][0]


@pytest.mark.parametrize("name", list(PRESETS))
@pytest.mark.usefixtures("small_presets")
def test_a_restored_learner_is_the_saved_one_in_everything(name, break_off, monkeypatch, tmp_path):
    run, models = run_of(name), []
    build = deep.build_learner
    monkeypatch.setattr(deep, "build_learner", lambda *a, **options: models.append(build(*a, **options)) or models[0])
    break_off(4, run, Folders(tmp_path))
    saved = Unfinished(run, Folders(tmp_path)).load()["learner"]
    model = build(run.algorithm, run.preset, run.pattern, run.service, seed=99, device="cpu")
    restore_learner(model, saved)
    restore_generators(model, saved)
    assert plain(learner_state(model)) == plain(saved) and numbers(model) == numbers(models[0])


def numbers(model):
    """Return all numbers that a learner has of its own, but those that `learn` sets when it begins."""
    begun = ("seed", "start_time", "_total_timesteps", "_num_timesteps_at_start", "_custom_logger")
    return {name: value for name, value in vars(model).items() if isinstance(value, int | float) and name not in begun}


def plain(tree):
    """Return a tree with arrays as their types and bytes, to compare."""
    if isinstance(tree, dict):
        return {str(name): plain(value) for name, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [plain(value) for value in tree]
    return (tree.dtype.str, tree.shape, tree.tobytes()) if isinstance(tree, np.ndarray) else tree


def test_a_tree_comes_back_as_it_was_written(tmp_path):
    tree = {"a": [1, 0.1, None, 2**120], "b": {"c": np.arange(6.0).reshape(2, 3), "d": [np.array(7, dtype=np.uint8)]}}
    write_tree(tmp_path / "tree.npz", tree)
    back = read_tree(tmp_path / "tree.npz", "tree.npz")
    assert back["a"] == tree["a"] and np.array_equal(back["b"]["c"], tree["b"]["c"])
    assert back["b"]["d"][0].dtype == np.uint8 and back["b"]["d"][0].shape == ()


@pytest.mark.parametrize("value", [print, np.array([print], dtype=object), {1, 2}])
def test_a_tree_of_anything_else_is_not_written(value, tmp_path):
    with pytest.raises(TypeError, match="arrays of numbers"):
        write_tree(tmp_path / "tree.npz", {"a": value})
    assert list(tmp_path.iterdir()) == []


def test_code_in_a_state_never_runs(tmp_path):
    class Marker:
        def __reduce__(self):
            return (open, (str(tmp_path / "marker"), "w"))

    np.savez(tmp_path / "evil.npz", text=np.array([Marker()], dtype=object))
    with pytest.raises(ValueError, match=r"evil\.npz is damaged"):
        read_tree(tmp_path / "evil.npz", "evil.npz")
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_damaged_state_is_said_in_one_line(share, break_off, tmp_path):
    path = Unfinished(run_of("q-learning"), Folders(tmp_path)).path
    break_off(2, run_of("q-learning"), Folders(tmp_path))
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(ValueError, match=r"state\.npz is damaged: .*--overwrite") as caught:
        train(run_of("q-learning"), Folders(tmp_path), resume=True)
    assert len(str(caught.value).splitlines()) == 1


# --- the command -----------------------------------------------------------------------------------------------------

COMMAND = ["train", "q-learning", "--episodes", "3000", "--pattern", "SPIKE", "--name", "q-learning"]


@pytest.fixture
def command(tmp_path):
    """Return a function that runs the command for the run `q_learning`; it returns the exit status."""
    service = tmp_path / "my service.toml"  # a name that a shell must be told apart
    service.write_text("steps_per_episode = 24\n")
    return lambda *more: main([*COMMAND, "--service", str(service), "--output", str(tmp_path), *more])


def interrupt_at(monkeypatch, saves):
    """Let somebody press Ctrl-C when a state has been saved some times."""
    save, counted = Unfinished.save, iter(range(saves - 1))

    def save_and_interrupt(self, *arguments):
        save(self, *arguments)
        if next(counted, None) is None:
            monkeypatch.setattr(Unfinished, "save", save)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Unfinished, "save", save_and_interrupt)


def test_ctrl_c_saves_and_says_the_command_that_goes_on(command, uninterrupted, monkeypatch, tmp_path, capsys):
    interrupt_at(monkeypatch, 3)
    assert command() == 130
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("autoscaler: interrupted after 12,000 of 72,000 timesteps; go on with: autoscaler train ")
    assert main(shlex.split(said.partition("go on with: autoscaler ")[2])) == 0
    assert "Going on after 12,000 of 72,000 timesteps." in capsys.readouterr().out
    (tmp_path / "my service.toml").unlink()
    left = left_by(Folders(tmp_path))
    assert left == uninterrupted("q-learning")[1]


@pytest.mark.parametrize("name", ["dqn", "ppo"])
@pytest.mark.usefixtures("small_presets")
def test_ctrl_c_ends_a_network_where_it_can_be_saved(name, uninterrupted, monkeypatch, tmp_path):
    interrupt_at(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        train(run_of(name), Folders(tmp_path), progress=False)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert Unfinished(run_of(name), Folders(tmp_path)).load()["timesteps"] > 200  # a trajectory after the second state
    train(run_of(name), Folders(tmp_path), progress=False, resume=True)
    assert left_by(Folders(tmp_path)) == uninterrupted(name)[1]


def test_a_second_ctrl_c_interrupts_at_once(monkeypatch, tmp_path):
    def press_twice(self, *arguments):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        pytest.fail("the second was not heard")

    monkeypatch.setattr(Unfinished, "save", press_twice)
    with pytest.raises(KeyboardInterrupt):
        train(run_of("q-learning"), Folders(tmp_path), progress=False)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--resume", "--seed", "1"], "--resume: the unfinished q_learning is another run: seed 0, now 1"),
        (["--resume", "--overwrite"], "--resume and --overwrite: only one of them"),
        ([], "q_learning is unfinished, 7,200 of 72,000 timesteps are done; give --resume to go on, or --overwrite"),
        (["--resume", "--name", "other"], "--resume: there is no unfinished run of other; leave it out to begin one"),
    ],
)
def test_an_unfinished_run_is_neither_mistaken_nor_lost(options, says, command, break_off, tmp_path, capsys):
    break_off(2, run_of("q-learning"), Folders(tmp_path))
    before = left_by(Folders(tmp_path))
    assert command(*options) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.startswith(f"autoscaler: {says}") and printed.err.count("\n") == 1
    assert left_by(Folders(tmp_path)) == before


def test_a_finished_run_has_nothing_to_resume(command, tmp_path, capsys):
    assert command() == 0
    before = left_by(Folders(tmp_path))
    capsys.readouterr()
    assert command("--resume") == 0
    assert capsys.readouterr().out.endswith("q_learning.pkl is finished: there is nothing to resume.\n")
    assert left_by(Folders(tmp_path)) == before


def test_overwrite_begins_an_unfinished_run_anew(command, break_off, uninterrupted, tmp_path):
    break_off(5, run_of("q-learning", seed=7), Folders(tmp_path))
    assert command("--overwrite") == 0
    (tmp_path / "my service.toml").unlink()
    assert left_by(Folders(tmp_path)) == uninterrupted("q-learning")[1]


@pytest.mark.parametrize(
    ("options", "differs"),
    [
        (["--seed", "1"], "seed 0, now 1"),
        (["--pattern", "STEADY"], "pattern SPIKE, now STEADY; other traffic"),
        (["--episodes", "30"], "episodes 3000, now 30"),
    ],
)
def test_a_model_made_otherwise_is_not_replaced_unasked(options, differs, command, tmp_path, capsys):
    assert command() == 0
    before = left_by(Folders(tmp_path))
    assert command(*options) == 2
    assert f"made otherwise ({differs}" in capsys.readouterr().err
    assert left_by(Folders(tmp_path)) == before
    assert command(*options, "--overwrite") == 0


def test_a_model_is_made_again_the_same_way_without_asking(command, tmp_path):
    assert command() == 0
    before = left_by(Folders(tmp_path))
    assert command() == 0
    assert left_by(Folders(tmp_path)) == before


@pytest.mark.parametrize("change", ["no description", "another file"])
def test_a_model_of_unknown_making_is_not_replaced_unasked(change, command, tmp_path, capsys):
    assert command() == 0
    path = run_of("q-learning").model_path(Folders(tmp_path))
    if change == "no description":
        path.with_suffix(".json").unlink()
    else:
        path.write_bytes(path.read_bytes() + b" ")
    assert command() == 2 and "made otherwise (" in capsys.readouterr().err


# --- no room ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "writes", [pytest.param(count, marks=[] if count % 9 == 1 else pytest.mark.slow) for count in range(1, 38)]
)
def test_a_full_disk_is_one_line_and_what_was_saved_is_whole(
    writes, command, uninterrupted, monkeypatch, tmp_path, capsys
):
    counted = iter(range(writes))

    def full(descriptor):
        if next(counted, None) is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    assert command() == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("autoscaler: No space left on device; ")
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    assert command(*(["--resume"] if "--resume" in error else [])) == 0
    (tmp_path / "my service.toml").unlink()
    assert left_by(Folders(tmp_path)) == uninterrupted("q-learning")[1]


@pytest.mark.parametrize("name", ["ppo"])
@pytest.mark.usefixtures("small_presets")
def test_a_quota_that_a_network_passes_is_an_error_of_the_disk(name, break_off, uninterrupted, tmp_path):
    resource = pytest.importorskip("resource")
    break_off(2, run_of(name), Folders(tmp_path))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            train(run_of(name), Folders(tmp_path), progress=False, resume=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    train(run_of(name), Folders(tmp_path), progress=False, resume=True)
    assert left_by(Folders(tmp_path)) == uninterrupted(name)[1]


@pytest.mark.parametrize("folder", ["models", "logs"])
def test_a_folder_that_cannot_be_written_is_one_line(folder, command, tmp_path, capsys):
    (tmp_path / folder).write_text("no folder")
    assert command() == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("autoscaler: ")
    assert (tmp_path / folder).read_text() == "no folder"
