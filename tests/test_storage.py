"""Model files: the same policy after loading, bad files refused in one line, and no code in them ever runs."""

import ast
import base64
import hashlib
import io
import json
import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO

import autoscaler_env
from autoscaler_env import AutoscalerEnv
from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.policies.base import ForeignPolicy
from autoscaler_env.policies.decision_inputs import ARRIVALS_INPUTS
from autoscaler_env.policies.deep import DeepPolicy
from autoscaler_env.policies.q_learning import DecisionCells, Discretisation, QTable, learn
from autoscaler_env.policies.recognise import Recogniser
from autoscaler_env.service import Service
from autoscaler_env.storage.models import (
    FIELDS,
    fits,
    is_described,
    load_policy,
    missing_fields,
    read_description,
    read_model,
    save_description,
    save_q_table,
)
from autoscaler_env.traffic.patterns import PATTERNS, Pattern, day_seeds
from autoscaler_env.training.deep import build_learner
from autoscaler_env.training.presets import PRESETS

SHORT = Service(steps_per_episode=48)
DAYS = Pattern("SPIKE", SHORT).draw(day_seeds("selection", 5))


class Marker:
    """When it is unpickled, a file appears."""

    def __init__(self, path):
        self._path = path

    def __reduce__(self):
        return (open, (str(self._path), "w"))


@pytest.fixture(scope="module")
def table():
    """Return a Q-table that has learned a little."""
    table = QTable.zeros(SHORT, Discretisation(levels=(0.4,)))
    learn(table, DAYS, np.full(5, 0.5), 0.7, 0.9, np.random.default_rng(0))
    return table


@pytest.fixture(scope="module")
def saved(tmp_path_factory, table):
    """Return a folder with a model file of each kind, and the policies that they hold."""
    folder = tmp_path_factory.mktemp("models")
    policies = {"table.pkl": table}
    save_q_table(table, folder / "table.pkl")
    for algorithm, preset in PRESETS.items():
        learner = build_learner(algorithm, preset, "SPIKE", SHORT, seed=0, device="cpu")
        learner.save(folder / f"{algorithm}.zip")
        policies[f"{algorithm}.zip"] = DeepPolicy(learner.policy, SHORT, algorithm)
    return folder, policies


@pytest.fixture
def models(saved, tmp_path):
    """Return a copy of that folder, to spoil."""
    return shutil.copytree(saved[0], tmp_path / "models")


def repack(path, change):
    """Rewrite a model's zip; `change(name, content)` returns the new content of each member, or None to drop it."""
    with zipfile.ZipFile(path) as archive:
        members = {name: change(name, archive.read(name)) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            if content is not None:
                archive.writestr(name, content)


def change_settings(path, change):
    """Rewrite the settings in a model's zip by `change(settings)`."""
    repack(path, lambda name, content: json.dumps(change(json.loads(content))) if name == "data" else content)


def change_weights(path, change):
    """Rewrite a model's weights by `change(weights)`."""

    def changed(name, content):
        if name != "policy.pth":
            return content
        buffer = io.BytesIO()
        torch.save(change(torch.load(io.BytesIO(content), weights_only=True)), buffer)
        return buffer.getvalue()

    repack(path, changed)


def refusal(path, service=SHORT):
    """Return the one line with which a file is refused."""
    with pytest.raises(ValueError) as caught:
        load_policy(path, service)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and len(message.splitlines()) == 1
    return message


KINDS = ("table.pkl", "dqn.zip", "ppo.zip")
NETWORKS = KINDS[1:]


def test_a_loaded_policy_acts_as_the_saved_one(saved, table):
    folder, policies = saved
    for kind in KINDS:
        loaded = load_policy(folder / kind, SHORT)
        assert np.array_equal(simulate(loaded, DAYS, SHORT).actions, simulate(policies[kind], DAYS, SHORT).actions)
        assert loaded.name == kind.split(".")[0]
    loaded = load_policy(folder / "table.pkl", SHORT)
    assert np.array_equal(loaded.values, table.values) and loaded.discretisation == table.discretisation


def test_a_pickle_that_calls_something_is_refused_and_calls_nothing(tmp_path):
    marker, path = tmp_path / "marker", tmp_path / "evil.pkl"
    path.write_bytes(pickle.dumps({"values": Marker(marker)}))
    assert "it names io.open, which a sound file does not" in refusal(path) and not marker.exists()
    pickle.loads(path.read_bytes())["values"].close()
    assert marker.exists()  # the payload is real


@pytest.mark.parametrize("kind", NETWORKS)
def test_code_in_a_zip_is_refused_and_never_runs(models, tmp_path, kind):
    marker, sound = tmp_path / "marker", (models / kind).read_bytes()
    code = base64.b64encode(pickle.dumps(Marker(marker))).decode()
    change_settings(models / kind, lambda settings: settings | {"note": {":type:": "x", ":serialized:": code}})
    assert "data: note: it names io.open" in refusal(models / kind) and not marker.exists()
    (models / kind).write_bytes(sound)
    change_weights(models / kind, lambda weights: weights | {"extra": Marker(marker)})
    assert "policy.pth: it names io.open" in refusal(models / kind) and not marker.exists()


@pytest.mark.parametrize("kind", KINDS)
def test_a_truncated_file_or_another_content_is_refused_in_one_line(models, kind):
    whole = (models / kind).read_bytes()
    for content in (*(whole[: int(share * len(whole))] for share in (0.0, 0.3, 0.99)), b"no model at all\n" * 10):
        (models / kind).write_bytes(content)
        assert "not a" in refusal(models / kind)


def test_a_model_for_another_action_set_is_refused(models):
    for kind in KINDS:
        assert "3" in refusal(models / kind, Service(fleet_changes=(-2, -1, 0, 1, 2)))


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_network_with_bad_weights_is_refused(models, kind):
    sound = (models / kind).read_bytes()
    for value in (np.nan, np.inf):
        change_weights(models / kind, lambda old, value=value: old | {k: v * value for k, v in list(old.items())[:1]})
        assert "0.weight is not finite" in refusal(models / kind)
        (models / kind).write_bytes(sound)
    for weights in ({}, {"a": torch.ones(2)}, torch.ones(3), [1, 2], {1: 2}):
        change_weights(models / kind, lambda _, weights=weights: weights)
        assert "not a" in refusal(models / kind)
        (models / kind).write_bytes(sound)
    repack(models / kind, lambda name, content: None if name == "policy.pth" else content)
    assert "policy.pth" in refusal(models / kind)


def test_a_table_with_values_that_are_not_finite_is_refused(models, table):
    broken = QTable(table.values.copy(), SHORT, table.discretisation)
    broken.values[0, 0] = np.nan
    save_q_table(broken, models / "table.pkl")
    assert "finite" in refusal(models / "table.pkl")


def test_a_network_over_other_inputs_is_refused_by_their_number(models):
    def narrowed(weights):
        return {k: v[:, :9].clone() if k.endswith("_net.0.weight") else v for k, v in weights.items()}

    change_weights(models / "ppo.zip", narrowed)
    assert "9 inputs" in refusal(models / "ppo.zip")


def test_any_plain_layers_of_stable_baselines3_are_read(tmp_path):
    for layers in ([], [8], {"pi": [4], "vf": [16, 8]}):
        learner = PPO("MlpPolicy", AutoscalerEnv(service=SHORT), policy_kwargs={"net_arch": layers}, device="cpu")
        learner.save(tmp_path / "plain.zip")
        loaded, foreign = load_policy(tmp_path / "plain.zip", SHORT), ForeignPolicy(learner, "x")
        assert np.array_equal(simulate(loaded, DAYS, SHORT).actions, simulate(foreign, DAYS, SHORT).actions)


def test_a_function_of_the_author_is_noted_and_one_of_python_is_refused(tmp_path):
    """A model with a learning rate of its own is a model; in neither case is anything imported."""
    own = PPO("MlpPolicy", AutoscalerEnv(service=SHORT), learning_rate=lambda left: float(np.exp(-left)), device="cpu")
    own.save(tmp_path / "own.zip")
    assert read_model(tmp_path / "own.zip", SHORT).notes == (
        "its data names cloudpickle.cloudpickle.subimport, which other loaders would import",
    )
    for module in ("my_schedules", "os"):
        named = base64.b64encode(f"c{module}\nlinear\n.".encode()).decode()
        shutil.copy(tmp_path / "own.zip", tmp_path / f"{module}.zip")
        change_settings(tmp_path / f"{module}.zip", lambda old, named=named: old | {"x": {":serialized:": named}})
    assert "my_schedules.linear" in read_model(tmp_path / "my_schedules.zip", SHORT).notes[0]
    assert "data: x: it names os.linear" in refusal(tmp_path / "os.zip")


NO_EDGES = {"spare_capacities": [], "changes": [], "levels": []}


def test_a_pickle_of_other_plain_values_is_refused(tmp_path):
    path = tmp_path / "other.pkl"
    contents = [[], {"values": [[1.0]]}, NO_EDGES | {"values": "x"}]
    for edges in (["a"], [1, 0], [None], [float("nan")]):
        contents.append(NO_EDGES | {"values": [[0.0] * 3] * (len(edges) + 1), "spare_capacities": edges})
    for content in contents:
        path.write_bytes(pickle.dumps(content))
        assert "Q-table" in refusal(path), content


def test_a_missing_file_and_an_unknown_ending_are_refused(tmp_path):
    (tmp_path / "model.txt").touch()
    assert "no such model file" in refusal(tmp_path / "none.zip")
    assert "a .pkl, a DQN or PPO network a .zip" in refusal(tmp_path / "model.txt")


def test_loading_a_table_imports_no_heavy_module(saved):
    code = "import sys; from pathlib import Path; from autoscaler_env.storage.models import load_policy\n"
    code += "from autoscaler_env.service import Service\n"
    code += "load_policy(Path(sys.argv[1]), Service(steps_per_episode=48)); print(*sys.modules)"
    path = str(saved[0] / "table.pkl")
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, timeout=600, check=True)
    assert not {"torch", "stable_baselines3", "pandas", "matplotlib"} & set(done.stdout.split())


def test_links_are_refused_even_to_a_sound_model(models):
    (models / "link.zip").symlink_to(models / "ppo.zip")
    assert "a link; links are not followed" in refusal(models / "link.zip")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes in folders")
def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.zip")
    (tmp_path / "folder.pkl").mkdir()
    assert "not a regular file but a pipe" in refusal(tmp_path / "pipe.zip")
    assert "not a regular file but a folder" in refusal(tmp_path / "folder.pkl")


def test_an_enormous_file_is_refused_unread(tmp_path):
    with (tmp_path / "hole.zip").open("wb") as file:
        file.truncate(2**40)
    assert "1,099,511,627,776 bytes large; at most" in refusal(tmp_path / "hole.zip")


def test_a_damaged_description_is_refused_in_one_line(tmp_path):
    for text in ("{", "[]", "\xff", "[" * 10**5, "9" * 5_000):
        (tmp_path / "model.json").write_bytes(text.encode("latin-1"))
        with pytest.raises(ValueError, match=r"model\.json: not a description of a model") as caught:
            read_description(tmp_path / "model.pkl")
        assert len(str(caught.value).splitlines()) == 1


def test_only_the_description_with_the_hash_of_the_file_fits():
    description = {"seed": 1, "sha256": "ab"}
    assert fits(description, "ab") and not fits(description, "cd") and not fits({}, "ab")
    assert missing_fields(description) == [name for name in FIELDS if name not in ("seed", "sha256")]


READERS = {"load", "loads", "Unpickler", "read_pickle", "load_replay_buffer", "load_from_zip_file"}
SAFE = {"json.load", "json.loads", "tomllib.load", "tomllib.loads"}
MODULES = {"cloudpickle", "dill", "joblib", "marshal", "shelve"}


def unsafe_readers(source):
    """Return what in a source might run what a file holds: calls with something to read, and imports."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in READERS
            and node.args
        ):
            name, given = ast.unparse(node.func), {each.arg: ast.unparse(each.value) for each in node.keywords}
            plain = name in ("np.load", "numpy.load") and given.get("allow_pickle") == "False"
            found += [] if name in SAFE or plain else [name]
        elif isinstance(node, ast.Import):
            found += MODULES & {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module in {"pickle", "torch", "numpy"} | MODULES:
            found += READERS & {alias.name for alias in node.names} or MODULES & {node.module}
    return found


def test_nothing_in_the_package_unpickles_or_calls_a_default_load():
    package = Path(autoscaler_env.__file__).parent
    sources = {path.relative_to(package).as_posix(): path.read_text() for path in package.rglob("*.py")}
    found = {name: calls for name, source in sources.items() if (calls := unsafe_readers(source))}
    # The grader reads back what it wrote itself, from a folder that only its user can read or change.
    assert found == {"grading/checker.py": ["cloudpickle", "cloudpickle.loads"]}


def test_that_test_would_notice():
    for source in (
        "pickle.load(file)",
        "from pickle import loads",
        "DQN.load(path)",
        "torch.load(path)",
        "np.load(path)",
        "import dill",
    ):
        assert unsafe_readers(source), source


def test_a_description_holds_the_hash_of_its_model(models):
    path = models / "ppo.zip"
    save_description(path, {"seed": 3})
    assert read_description(path) == {"seed": 3, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    assert is_described(path) and read_description(models / "dqn.zip") is None
    path.write_bytes(path.read_bytes() + b" ")
    assert not is_described(path)


def test_a_table_over_what_a_decision_needs_is_read_back_and_refused_if_its_recogniser_is_damaged(tmp_path):
    sizes = ((ARRIVALS_INPUTS, 4), (4, len(PATTERNS)))
    weights = tuple(np.full(size, 0.1, dtype=np.float32) for size in sizes)
    recogniser = Recogniser(weights, tuple(np.arange(size[1], dtype=np.float32) for size in sizes))
    table = QTable.zeros(SHORT, DecisionCells(recogniser))
    table.values[:] = np.random.default_rng(0).normal(size=table.values.shape)
    save_q_table(table, tmp_path / "table.pkl")
    loaded = load_policy(tmp_path / "table.pkl", SHORT)
    assert np.array_equal(loaded.values, table.values) and loaded.preferences_are == "savings"
    for before, after in zip(recogniser.state(), loaded.discretisation.recogniser.state(), strict=True):
        for one, other in zip(before, after, strict=True):
            assert np.array_equal(one, other) and one.dtype == other.dtype
    content = pickle.loads((tmp_path / "table.pkl").read_bytes())
    damaged = {
        "a list of weights": {"recogniser": 7},
        "as many layers": {"recogniser": [content["recogniser"][0], content["recogniser"][1][:1]]},
        "does not follow": {"recogniser": [content["recogniser"][0][1:], content["recogniser"][1][1:]]},
        "finite": {"recogniser": [content["recogniser"][0], [[float("nan")] * 4, content["recogniser"][1][1]]]},
        "rising": {"expected_spares": [1.0, 0.0]},
        "Q-table of shape": {"spare_capacities": [0.0]},
    }
    for message, change in damaged.items():
        (tmp_path / "bad.pkl").write_bytes(pickle.dumps(content | change))
        with pytest.raises(ValueError, match=message) as caught:
            load_policy(tmp_path / "bad.pkl", SHORT)
        assert "\n" not in str(caught.value)
