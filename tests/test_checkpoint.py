"""A training that was killed, interrupted or stopped by a full disk continues as if nothing had happened."""

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

import numpy as np
import pytest

from autoscaler_env.cli.main import main
from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.paths import Folders
from autoscaler_env.service import Service
from autoscaler_env.storage.files import read_tree, sweep, write_tree
from autoscaler_env.storage.models import load_policy, read_description, read_model
from autoscaler_env.traffic.patterns import Pattern, day_seeds
from autoscaler_env.training import checkpoint, deep, presets, tabular
from autoscaler_env.training.checkpoint import RunFolder
from autoscaler_env.training.config import LENGTH, TrainingConfig
from autoscaler_env.training.learner_state import learner_state, restore_generators, restore_learner
from autoscaler_env.training.presets import DQN_PRESET, PPO_LONG_PRESET, PPO_PRESET
from autoscaler_env.training.train import train


def small(preset, **settings):
    """Return a preset with short rollouts, so that a short training has many."""
    return dataclasses.replace(preset, environments=8, batch_size=64, settings=preset.settings | settings)


PRESETS = {
    "dqn": small(DQN_PRESET, buffer_size=800, learning_starts=200, target_update_interval=100, gradient_steps=1),
    "ppo": small(PPO_PRESET, n_steps=16, n_epochs=2),
    "ppo_long": dataclasses.replace(small(PPO_LONG_PRESET, n_steps=16, n_epochs=2), imitation_days=1),
}
"""DQN's buffer is full before the run is over; PPO's long preset normalises rewards, and begins with imitation here."""

SHORT = Service(steps_per_episode=24)
LENGTHS = {"q-learning": 3_000, "dqn": 1_600, "ppo": 1_600, "ppo_long": 1_600}
NAMES = list(LENGTHS)


def config_of(name, **changes):
    """Return the training that a test is about."""
    algorithm = name if name == "q-learning" else name[:3]
    length = {LENGTH[algorithm]: LENGTHS[name]}
    return TrainingConfig(algorithm, "SPIKE", name=name, service=SHORT, **length | changes)


@pytest.fixture(autouse=True)
def frequent_states(monkeypatch):
    """Save states often, and wait for no disk: a kill does not lose what the system has not written yet."""
    monkeypatch.setattr(deep, "CHECKPOINT_TIMESTEPS", 200)
    monkeypatch.setattr(tabular, "STATE_SECONDS", 0.0)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def small_presets(request, monkeypatch):
    """Make the training of the test small."""
    for name in ("dqn", "ppo", request.node.callspec.params.get("name", "ppo")):
        if name in PRESETS:
            monkeypatch.setitem(presets.PRESETS, name[:3], PRESETS[name])


def left_by(folders):
    """Return the files of a training by name, without dates and durations."""
    return {path.relative_to(folders.root).as_posix(): content_of(path) for path in files_of(folders)}


def files_of(folders):
    return [path for path in folders.root.rglob("*") if path.is_file() and path.name != "progress.csv"]


def content_of(path):
    if path.suffix == ".json":
        content = json.loads(path.read_text())
        for row in content["curve"]:
            del row["seconds"]
        content.get("counted", {}).pop("cpu_seconds", None)
        return {name: value for name, value in content.items() if name not in ("date", "commit")}
    if path.name == "selection.csv":
        return [(row.split(",")[0], row.split(",")[2]) for row in path.read_text().splitlines()]
    return path.read_bytes()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """Return a function that returns the result and the files of a training without interruption."""
    done = {}

    def leaves(name):
        if name not in done:
            folders = Folders(tmp_path_factory.mktemp(name))
            done[name] = train(config_of(name), folders, progress=False), left_by(folders)
        return done[name]

    return leaves


class BrokeOff(Exception):
    """Stands for anything that ends a process."""


@pytest.fixture
def break_off(monkeypatch):
    """Return a function that trains until some states are saved, and then breaks off."""
    save = RunFolder.save_state

    def train_until(saves, config, folders, **options):
        counted = iter(range(saves - 1))

        def save_or_break(self, *arguments):
            save(self, *arguments)
            if next(counted, None) is None:
                raise BrokeOff

        monkeypatch.setattr(RunFolder, "save_state", save_or_break)
        with pytest.raises(BrokeOff):
            train(config, folders, progress=False, **options)
        monkeypatch.setattr(RunFolder, "save_state", save)

    return train_until


# --- bit for bit -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("small_presets")
def test_a_training_that_breaks_off_twice_ends_as_without_interruption(name, uninterrupted, break_off, tmp_path):
    folders = Folders(tmp_path)
    break_off(3, config_of(name), folders)
    np.random.seed(99)  # noqa: NPY002 - a new process has other global generators
    random.seed(99)
    break_off(3, config_of(name), folders, resume=True)
    trained = train(config_of(name), folders, progress=False, resume=True)
    whole, left = uninterrupted(name)
    assert left_by(folders) == left
    assert trained.curve.drop(columns="seconds").equals(whole.curve.drop(columns="seconds"))
    if name == "q-learning":
        assert np.array_equal(trained.policy.visits, whole.policy.visits)


@pytest.mark.parametrize("learner", ["q-learning", "dqn", "ppo"])
def test_with_inputs_of_a_decision_a_training_that_breaks_off_ends_as_without_interruption(
    learner, break_off, monkeypatch, tmp_path
):
    for name in ("dqn", "ppo"):
        more = {"n_steps": 3} if name == "dqn" else {}  # returns of steps and normalised rewards, as in its preset
        settings = PRESETS[name].settings | more
        preset = dataclasses.replace(PRESETS[name], inputs="decision", settings=settings, normalise_reward=bool(more))
        monkeypatch.setitem(presets.DECISION_PRESETS, name, preset)
    settings = {} if learner == "q-learning" else {"imitation_days": 1}
    config = TrainingConfig(
        learner,
        service=SHORT,
        inputs="decision",
        recogniser_days=6,
        device="cpu",
        **{LENGTH[learner]: 1_200},
        **settings,
    )
    broken, whole = Folders(tmp_path / "broken"), Folders(tmp_path / "whole")
    trained = train(config, whole, progress=False)
    break_off(3, config, broken)
    np.random.seed(99)  # noqa: NPY002
    train(config, broken, progress=False, resume=True)
    assert left_by(broken) == left_by(whole)
    days = Pattern("SPIKE", SHORT).draw(day_seeds("selection", 9))
    loaded = read_model(RunFolder(config, broken).model, SHORT)
    assert np.array_equal(simulate(loaded.policy, days, SHORT).actions, simulate(trained.policy, days, SHORT).actions)
    assert loaded.kind.startswith({"q-learning": "Q-table of 810 cells", "dqn": "DQN 74-", "ppo": "PPO 74-"}[learner])
    played = trained.description["timesteps"]
    imitated = 8 * 24 if learner == "ppo" else 0  # what DQN imitates has rewards, so two services play it
    assert trained.description["counted"]["simulated"] == 2 * played - imitated


def check_break_before_description(count, folders, monkeypatch):
    """Break off a training between a model and its description, after `count` descriptions; then resume it."""
    config, counted, save = config_of("q-learning"), iter(range(count)), checkpoint.save_description

    def save_or_break(path, description):
        if next(counted, None) is None:
            raise BrokeOff
        save(path, description)

    monkeypatch.setattr(checkpoint, "save_description", save_or_break)
    with pytest.raises(BrokeOff):
        train(config, folders, progress=False)
    monkeypatch.setattr(checkpoint, "save_description", save)
    train(config, folders, progress=False, resume=True)


def test_a_training_that_breaks_off_between_a_model_and_its_description_ends_the_same(
    uninterrupted, monkeypatch, tmp_path
):
    for count in (0, 7, 14):
        folders = Folders(tmp_path / str(count))
        check_break_before_description(count, folders, monkeypatch)
        assert left_by(folders) == uninterrupted("q-learning")[1], count


@pytest.mark.corpus
@pytest.mark.parametrize("count", range(18))
def test_a_training_that_breaks_off_before_any_description_ends_the_same(count, uninterrupted, monkeypatch, tmp_path):
    check_break_before_description(count, Folders(tmp_path), monkeypatch)
    assert left_by(Folders(tmp_path)) == uninterrupted("q-learning")[1]


# Trains in a process of its own, which kills itself at a file operation: a moment at which a written file has no name
# yet, has its name, or is about to be removed. Counting operations does not depend on the machine's speed.
KILLED = """
import os, signal
from pathlib import Path

from autoscaler_env.training import deep, presets, tabular
from autoscaler_env.training.train import train

deep.CHECKPOINT_TIMESTEPS, tabular.STATE_SECONDS = 200, 0.0
presets.PRESETS.update(small)
operations = iter(range(kill_at - 1))

def operate(*arguments):
    if next(operations, None) is None:
        os.kill(os.getpid(), signal.SIGKILL)

unlink = Path.unlink
os.fsync = operate
Path.unlink = lambda path, **options: (operate(), unlink(path, **options))
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


def train_and_kill(context, config, folders, small, kill_at):
    """Train in a process of its own, which kills itself at a file operation; return whether it did."""
    resume = RunFolder(config, folders).state_file.exists()
    arguments = {"run": config, "folders": folders, "small": small, "resume": resume, "kill_at": kill_at}
    process = context.Process(target=exec, args=(KILLED, arguments))
    process.start()
    process.join()
    return process.exitcode == -signal.SIGKILL


def check_kills(name, kills, seed, context, uninterrupted, folders):
    """Kill a training at random operations; compare its files with those of a training without interruption."""
    moments = random.Random(seed)
    small = {name[:3]: PRESETS[name]} if name in PRESETS else {}
    killed = [train_and_kill(context, config_of(name), folders, small, moments.randint(1, 12)) for _ in range(kills)]
    if RunFolder(config_of(name), folders).state_file.exists():
        train(config_of(name), folders, progress=False, resume=True)
    elif killed[-1]:  # before its first state
        train(config_of(name), folders, progress=False)
    for folder in (path for path in folders.root.rglob("*") if path.is_dir()):
        sweep(folder)
    assert sum(killed) >= min(kills, 2) and left_by(folders) == uninterrupted(name)[1]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in ("q-learning", "dqn") else pytest.mark.corpus) for name in NAMES]
)
@pytest.mark.usefixtures("small_presets")
def test_a_training_killed_at_random_moments_ends_as_without_interruption(name, context, uninterrupted, tmp_path):
    check_kills(name, 2, 0, context, uninterrupted, Folders(tmp_path))


@pytest.mark.corpus
@pytest.mark.parametrize("seed", range(1, 6))
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("small_presets")
def test_many_kills_change_nothing(name, seed, context, uninterrupted, tmp_path):
    check_kills(name, 8, seed, context, uninterrupted, Folders(tmp_path))


def test_a_better_best_model_is_never_replaced(break_off, tmp_path):
    config, longer = config_of("q-learning"), config_of("q-learning", episodes=20_000)
    run, better = RunFolder(config, Folders(tmp_path / "ours")), RunFolder(longer, Folders(tmp_path / "better"))
    train(longer, better.folders, progress=False)
    break_off(2, config, run.folders)
    shutil.copy(better.best, run.best)
    train(config, run.folders, progress=False, resume=True)
    assert run.best.read_bytes() == better.best.read_bytes()


def test_a_damaged_best_model_is_reported_and_replaced(break_off, tmp_path, capsys):
    run = RunFolder(config_of("q-learning"), Folders(tmp_path))
    break_off(2, run.config, run.folders)
    run.best.write_bytes(b"damaged")
    train(run.config, run.folders, progress=False, resume=True)
    assert "best_model.pkl: not a Q-table" in capsys.readouterr().out
    assert load_policy(run.best, SHORT)


def test_a_training_that_starts_again_starts_without_a_best_model(tmp_path):
    folders, config = Folders(tmp_path), config_of("q-learning", episodes=30)
    train(config_of("q-learning", episodes=20_000), folders, progress=False)
    train(config, folders, progress=False)
    steps = {int(path.stem.split("_")[-2]) for path in folders.checkpoints.iterdir()}
    best = read_description(RunFolder(config, folders).best)
    assert max(steps) == 30 * 24 and best["timesteps"] <= 30 * 24


# --- the state -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("small_presets")
def test_a_state_holds_numbers_and_json_and_is_removed_at_the_end(name, break_off, tmp_path):
    run = RunFolder(config_of(name), Folders(tmp_path))
    break_off(5, run.config, run.folders)
    assert run.state_folder == tmp_path / "logs" / name / "state"
    for path in run.state_folder.iterdir():
        with np.load(path, allow_pickle=False) as archive:
            assert all(archive[member].dtype.kind in "biuf" for member in archive.files)
    train(run.config, run.folders, progress=False, resume=True)
    assert not run.state_folder.exists()


@pytest.mark.parametrize("name", ["dqn"])
@pytest.mark.usefixtures("small_presets")
def test_rows_of_a_replay_buffer_are_written_once_and_removed_when_they_have_left_it(name, break_off, tmp_path):
    folder = RunFolder(config_of(name), Folders(tmp_path)).state_folder
    break_off(8, config_of(name), Folders(tmp_path))
    rows = sorted(tuple(map(int, path.stem.split("_")[1:])) for path in folder.glob("replay_*"))
    assert all(end == first for (_, end), (first, _) in itertools.pairwise(rows))
    assert rows[0][0] > 0 and rows[0][1] > rows[-1][1] - 800 // 8 >= rows[0][0]


@pytest.mark.parametrize("name", list(PRESETS))
@pytest.mark.usefixtures("small_presets")
def test_a_restored_learner_equals_the_saved_one(name, break_off, monkeypatch, tmp_path):
    config, models = config_of(name), []
    build = deep.build_learner
    monkeypatch.setattr(deep, "build_learner", lambda *a, **options: models.append(build(*a, **options)) or models[0])
    break_off(4, config, Folders(tmp_path))
    saved = RunFolder(config, Folders(tmp_path)).load_state()["learner"]
    model = build(config.algorithm, config.preset, config.pattern, config.service, seed=99, device="cpu")
    restore_learner(model, saved)
    restore_generators(model, saved)
    assert plain(learner_state(model)) == plain(saved) and numbers(model) == numbers(models[0])


def numbers(model):
    """Return all numbers of a learner, except those that `learn` sets when it begins."""
    begun = ("seed", "start_time", "_total_timesteps", "_num_timesteps_at_start", "_custom_logger")
    return {name: value for name, value in vars(model).items() if isinstance(value, int | float) and name not in begun}


def plain(tree):
    """Return a tree with arrays as their types and bytes, to compare."""
    if isinstance(tree, dict):
        return {str(name): plain(value) for name, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [plain(value) for value in tree]
    return (tree.dtype.str, tree.shape, tree.tobytes()) if isinstance(tree, np.ndarray) else tree


def test_a_tree_is_read_as_it_was_written(tmp_path):
    tree = {"a": [1, 0.1, None, 2**120], "b": {"c": np.arange(6.0).reshape(2, 3), "d": [np.array(7, dtype=np.uint8)]}}
    write_tree(tmp_path / "tree.npz", tree)
    back = read_tree(tmp_path / "tree.npz", "tree.npz")
    assert back["a"] == tree["a"] and np.array_equal(back["b"]["c"], tree["b"]["c"])
    assert back["b"]["d"][0].dtype == np.uint8 and back["b"]["d"][0].shape == ()


def test_a_tree_of_other_values_is_refused(tmp_path):
    for value in (print, np.array([print], dtype=object), {1, 2}):
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


def test_a_damaged_state_is_reported_in_one_line(break_off, tmp_path):
    path = RunFolder(config_of("q-learning"), Folders(tmp_path)).state_file
    break_off(2, config_of("q-learning"), Folders(tmp_path))
    content = path.read_bytes()
    for share in (0.0, 0.3, 0.9):
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(ValueError, match=r"state\.npz is damaged: .*--overwrite") as caught:
            train(config_of("q-learning"), Folders(tmp_path), resume=True)
        assert len(str(caught.value).splitlines()) == 1, share


def test_a_state_of_another_version_is_reported(break_off, monkeypatch, tmp_path):
    break_off(2, config_of("q-learning"), Folders(tmp_path))
    monkeypatch.setattr(checkpoint, "FORMAT", checkpoint.FORMAT + 1)
    with pytest.raises(ValueError, match="another version of this program saved it; give --overwrite"):
        train(config_of("q-learning"), Folders(tmp_path), resume=True)


# --- the command -----------------------------------------------------------------------------------------------------

COMMAND = ["train", "q-learning", "--episodes", "3000", "--pattern", "SPIKE", "--name", "q-learning"]


@pytest.fixture
def command(tmp_path):
    """Return a function that runs the command for the training `q-learning`; it returns the exit status."""
    service = tmp_path / "my service.toml"  # a shell needs quotes for this name
    service.write_text("steps_per_episode = 24\n")
    return lambda *more: main([*COMMAND, "--service", str(service), "--output", str(tmp_path), *more])


def interrupt_at(monkeypatch, saves):
    """Press Ctrl-C when a state has been saved some times."""
    save, counted = RunFolder.save_state, iter(range(saves - 1))

    def save_and_interrupt(self, *arguments):
        save(self, *arguments)
        if next(counted, None) is None:
            monkeypatch.setattr(RunFolder, "save_state", save)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(RunFolder, "save_state", save_and_interrupt)


def test_ctrl_c_saves_and_prints_the_command_that_resumes(command, uninterrupted, monkeypatch, tmp_path, capsys):
    interrupt_at(monkeypatch, 3)
    assert command() == 130
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith(
        "autoscaler: interrupted after 12,000 of 72,000 timesteps; resume with: autoscaler train "
    )
    assert main(shlex.split(message.partition("resume with: autoscaler ")[2])) == 0
    assert "Resuming after 12,000 of 72,000 timesteps." in capsys.readouterr().out
    (tmp_path / "my service.toml").unlink()
    assert left_by(Folders(tmp_path)) == uninterrupted("q-learning")[1]


@pytest.mark.parametrize("name", ["dqn", "ppo"])
@pytest.mark.usefixtures("small_presets")
def test_ctrl_c_stops_a_network_where_it_can_be_saved(name, uninterrupted, monkeypatch, tmp_path):
    interrupt_at(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        train(config_of(name), Folders(tmp_path), progress=False)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    state = RunFolder(config_of(name), Folders(tmp_path)).load_state()
    assert state["timesteps"] > 200  # a rollout after the second state
    train(config_of(name), Folders(tmp_path), progress=False, resume=True)
    assert left_by(Folders(tmp_path)) == uninterrupted(name)[1]


def test_a_second_ctrl_c_interrupts_at_once(monkeypatch, tmp_path):
    def press_twice(self, *arguments):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        pytest.fail("the second Ctrl-C had no effect")

    monkeypatch.setattr(RunFolder, "save_state", press_twice)
    with pytest.raises(KeyboardInterrupt):
        train(config_of("q-learning"), Folders(tmp_path), progress=False)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_unfinished_training_is_neither_confused_nor_lost(command, break_off, tmp_path, capsys):
    break_off(2, config_of("q-learning"), Folders(tmp_path))
    before = left_by(Folders(tmp_path))
    for options, message in (
        ("--resume --seed 1", "--resume: the unfinished q-learning is another training: seed 0, now 1"),
        ("--resume --overwrite", "--resume and --overwrite: give only one"),
        ("", "q-learning is unfinished: 7,200 of 72,000 timesteps are done; give --resume to continue, or --overwrite"),
        ("--resume --name other", "--resume: there is no unfinished training of other; leave it out to start one"),
    ):
        assert command(*options.split()) == 2
        printed = capsys.readouterr()
        assert printed.out == "" and printed.err.startswith(f"autoscaler: {message}") and printed.err.count("\n") == 1
        assert left_by(Folders(tmp_path)) == before


def test_overwrite_starts_an_unfinished_training_again(command, break_off, uninterrupted, tmp_path):
    break_off(5, config_of("q-learning", seed=7), Folders(tmp_path))
    assert command("--overwrite") == 0
    (tmp_path / "my service.toml").unlink()
    assert left_by(Folders(tmp_path)) == uninterrupted("q-learning")[1]


def test_a_finished_model_is_only_replaced_by_an_equal_one_or_on_request(command, tmp_path, capsys):
    assert command() == 0
    before = left_by(Folders(tmp_path))
    capsys.readouterr()
    assert command("--resume") == 0
    assert capsys.readouterr().out.endswith("q-learning.pkl is finished: there is nothing to resume.\n")
    for options, difference in (
        ("--seed 1", "seed 0, now 1"),
        ("--pattern STEADY", "pattern SPIKE, now STEADY; other arrivals"),
        ("--episodes 30", "episodes 3000, now 30"),
    ):
        assert command(*options.split()) == 2
        assert f"made differently ({difference}" in capsys.readouterr().err
        assert left_by(Folders(tmp_path)) == before
    assert command() == 0, "the same training gives the same model"
    assert left_by(Folders(tmp_path)) == before
    assert command("--seed", "1", "--overwrite") == 0
    assert left_by(Folders(tmp_path)) != before


def test_a_model_of_unknown_origin_is_not_replaced_without_request(command, tmp_path, capsys):
    assert command() == 0
    path = RunFolder(config_of("q-learning"), Folders(tmp_path)).model
    path.write_bytes(path.read_bytes() + b" ")
    assert command() == 2 and "made differently (its description is of another file)" in capsys.readouterr().err
    path.with_suffix(".json").unlink()
    assert command() == 2 and "made differently (it has no description)" in capsys.readouterr().err


# --- a full disk -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "writes", [pytest.param(count, marks=[] if count in (1, 19, 37) else pytest.mark.corpus) for count in range(1, 38)]
)
def test_a_full_disk_is_one_line_and_loses_no_saved_state(
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
def test_a_quota_that_is_too_small_for_a_network_is_an_error_of_the_disk(name, break_off, uninterrupted, tmp_path):
    resource = pytest.importorskip("resource")
    break_off(2, config_of(name), Folders(tmp_path))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            train(config_of(name), Folders(tmp_path), progress=False, resume=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    train(config_of(name), Folders(tmp_path), progress=False, resume=True)
    assert left_by(Folders(tmp_path)) == uninterrupted(name)[1]


def test_a_folder_that_cannot_be_written_is_one_line(command, tmp_path, capsys):
    for name in ("logs", "models"):
        (tmp_path / name).write_text("no folder")
        assert command() == 2
        assert capsys.readouterr().err.splitlines()[-1].startswith("autoscaler: ")
        assert (tmp_path / name).read_text() == "no folder"
        (tmp_path / name).unlink()
