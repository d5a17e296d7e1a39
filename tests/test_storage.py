"""Model files: whole or not there, the same policy after loading, and nothing in them is ever run."""

import base64
import hashlib
import io
import json
import pickle
import shutil
import sys
import zipfile

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO

from autoscaler_env import AutoscalerEnv
from autoscaler_env.policies.base import ForeignPolicy
from autoscaler_env.policies.deep import DeepPolicy, build_learner
from autoscaler_env.policies.presets import PRESETS
from autoscaler_env.policies.q_learning import Discretisation, QTable, learn
from autoscaler_env.rollouts import roll_out
from autoscaler_env.service import Service
from autoscaler_env.storage import (
    load_policy,
    read_description,
    save_description,
    save_q_table,
    write_atomically,
    write_json,
)
from autoscaler_env.workloads import Pattern, day_seeds

SHORT = Service(slots_per_episode=48)
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


@pytest.mark.parametrize("kind", KINDS)
def test_a_loaded_policy_acts_as_the_saved_one(saved, kind):
    folder, policies = saved
    loaded = load_policy(folder / kind, SHORT)
    assert np.array_equal(roll_out(loaded, DAYS, SHORT).actions, roll_out(policies[kind], DAYS, SHORT).actions)
    assert loaded.name == kind.split(".")[0]


def test_a_loaded_table_is_the_saved_one(saved, table):
    loaded = load_policy(saved[0] / "table.pkl", SHORT)
    assert np.array_equal(loaded.values, table.values) and loaded.discretisation == table.discretisation


def test_a_pickle_that_calls_something_is_refused_and_calls_nothing(tmp_path):
    marker, path = tmp_path / "marker", tmp_path / "evil.pkl"
    path.write_bytes(pickle.dumps({"values": Marker(marker)}))
    assert "it names io.open, which a sound file does not" in refusal(path) and not marker.exists()
    pickle.loads(path.read_bytes())["values"].close()
    assert marker.exists()  # the payload is real


@pytest.mark.parametrize("kind", ["dqn.zip", "ppo.zip"])
def test_code_in_the_settings_of_a_zip_is_refused_and_never_runs(models, tmp_path, kind):
    marker = tmp_path / "marker"
    code = base64.b64encode(pickle.dumps(Marker(marker))).decode()
    change_settings(models / kind, lambda settings: settings | {"note": {":type:": "x", ":serialized:": code}})
    assert "data: note: it names io.open" in refusal(models / kind) and not marker.exists()


@pytest.mark.parametrize("kind", ["dqn.zip", "ppo.zip"])
def test_code_in_the_weights_of_a_zip_is_refused_and_never_runs(models, tmp_path, kind):
    marker = tmp_path / "marker"
    change_weights(models / kind, lambda weights: weights | {"extra": Marker(marker)})
    assert "policy.pth: it names io.open" in refusal(models / kind) and not marker.exists()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_truncated_file_is_refused_in_one_line(models, kind, share):
    content = (models / kind).read_bytes()
    (models / kind).write_bytes(content[: int(share * len(content))])
    assert "not a" in refusal(models / kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_something_else_is_refused(models, kind):
    (models / kind).write_bytes(b"no model at all\n" * 10)
    assert "not a" in refusal(models / kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_for_another_action_set_is_refused(models, kind):
    assert "3" in refusal(models / kind, Service(fleet_changes=(-2, -1, 0, 1, 2)))


@pytest.mark.parametrize("kind", ["dqn.zip", "ppo.zip"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_network_with_weights_that_are_no_numbers_is_refused(models, kind, value):
    change_weights(models / kind, lambda weights: weights | {k: v * value for k, v in list(weights.items())[:1]})
    assert "0.weight is not finite" in refusal(models / kind)


def test_a_table_with_values_that_are_no_numbers_is_refused(models, table):
    broken = QTable(table.values.copy(), SHORT, table.discretisation)
    broken.values[0, 0] = np.nan
    save_q_table(broken, models / "table.pkl")
    assert "finite" in refusal(models / "table.pkl")


@pytest.mark.parametrize("kind", ["dqn.zip", "ppo.zip"])
def test_a_zip_without_weights_is_refused(models, kind):
    repack(models / kind, lambda name, content: None if name == "policy.pth" else content)
    assert "policy.pth" in refusal(models / kind)


@pytest.mark.parametrize("kind", ["dqn.zip", "ppo.zip"])
@pytest.mark.parametrize("weights", [{}, {"a": torch.ones(2)}, torch.ones(3), [1, 2], {1: 2}])
def test_a_zip_of_other_weights_is_refused(models, kind, weights):
    change_weights(models / kind, lambda _: weights)
    assert "not a" in refusal(models / kind)


def test_a_network_over_other_inputs_is_refused_by_their_number(models):
    def narrowed(weights):
        return {k: v[:, :9].clone() if k.endswith("_net.0.weight") else v for k, v in weights.items()}

    change_weights(models / "ppo.zip", narrowed)
    assert "9 inputs" in refusal(models / "ppo.zip")


def test_a_network_whose_activation_is_not_the_usual_one_is_refused(models):
    """Its weights would load, and the network act silently wrong."""
    learner = PPO("MlpPolicy", AutoscalerEnv(), policy_kwargs={"activation_fn": torch.nn.ReLU}, device="cpu")
    learner.save(models / "relu.zip")
    assert "activation_fn is not PPO's usual Tanh" in refusal(models / "relu.zip")


@pytest.mark.parametrize("layers", [[], [8], {"pi": [4], "vf": [16, 8]}])
def test_any_plain_layers_of_stable_baselines3_are_read(tmp_path, layers):
    learner = PPO("MlpPolicy", AutoscalerEnv(service=SHORT), policy_kwargs={"net_arch": layers}, device="cpu")
    learner.save(tmp_path / "plain.zip")
    loaded = load_policy(tmp_path / "plain.zip", SHORT)
    assert np.array_equal(
        roll_out(loaded, DAYS, SHORT).actions, roll_out(ForeignPolicy(learner, "x"), DAYS, SHORT).actions
    )


NO_EDGES = {"headrooms": [], "changes": [], "levels": []}


@pytest.mark.parametrize("content", [[], {"values": [[1.0]]}, NO_EDGES | {"values": "x"}])
def test_a_pickle_of_other_plain_values_is_refused(tmp_path, content):
    path = tmp_path / "other.pkl"
    path.write_bytes(pickle.dumps(content))
    assert "Q-table" in refusal(path)


@pytest.mark.parametrize("edges", [["a"], [1, 0], [None], [float("nan")]])
def test_a_table_whose_edges_are_no_rising_numbers_is_refused(tmp_path, edges):
    path, cells = tmp_path / "edges.pkl", len(edges) + 1
    content = NO_EDGES | {"values": [[0.0] * 3] * cells, "headrooms": edges}
    path.write_bytes(pickle.dumps(content))
    assert "Q-table" in refusal(path)


def test_a_missing_file_and_an_unknown_ending_are_refused(tmp_path):
    (tmp_path / "model.onnx").touch()
    assert "no such model file" in refusal(tmp_path / "none.zip")
    assert "a .pkl, a DQN or PPO network a .zip" in refusal(tmp_path / "model.onnx")


def test_loading_a_table_leaves_nothing_imported_but_what_was_there(saved):
    before = set(sys.modules)
    load_policy(saved[0] / "table.pkl", SHORT)
    assert set(sys.modules) == before


# --- writing ---------------------------------------------------------------------------------------------------------


def test_a_writer_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "model.pkl"
    path.write_bytes(b"old")

    def fail(file):
        file.write(b"half of the n")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, fail)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_writing_replaces_the_old_file_and_makes_folders(tmp_path):
    path = tmp_path / "deep" / "down" / "model.pkl"
    for content in (b"old, and longer", b"new"):
        write_atomically(path, lambda file, content=content: file.write(content))
    assert path.read_bytes() == b"new" and list(path.parent.iterdir()) == [path]


def test_json_comes_back_as_it_was_written(tmp_path):
    content = {"a": [1, 2.5, None], "b": {"c": "ü"}}
    write_json(tmp_path / "x.json", content)
    assert json.loads((tmp_path / "x.json").read_text(encoding="utf-8")) == content


def test_a_description_holds_the_hash_of_its_model(models):
    path = models / "ppo.zip"
    save_description(path, {"seed": 3})
    assert read_description(path) == {"seed": 3, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    assert read_description(models / "dqn.zip") is None
