"""What people hand in as a model: the same true line everywhere, or the same actions as in stable-baselines3."""

import base64
import io
import json
import pickle
import re
import zipfile
from collections import defaultdict
from itertools import pairwise

import numpy as np
import pytest
import torch
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from autoscaler_env import AutoscalerEnv
from autoscaler_env.dynamics import OBSERVATION_HIGH, OBSERVATION_LOW
from autoscaler_env.grading.model_score import grade_models
from autoscaler_env.grading.rubric import Costs, Models, Rubric
from autoscaler_env.grading.submission import Submission, find_work
from autoscaler_env.paths import Folders
from autoscaler_env.policies.q_learning import QTable
from autoscaler_env.policies.registry import find_policy
from autoscaler_env.storage.models import read_model
from autoscaler_env.verification.report import verify
from autoscaler_env.verification.workers import Workers

SHIPPED = Folders.course().models
OWN_CLASS = "a class of yours can play a file that you trust (autoscaler evaluate module:Class)"


@pytest.fixture(scope="module")
def workers():
    """Return child processes that all tests share."""
    with Workers() as shared:
        yield shared


def saved(learner):
    """Return what stable-baselines3 writes for a learner."""
    buffer = io.BytesIO()
    learner.save(buffer)
    return buffer.getvalue()


def members_of(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(members, compression=zipfile.ZIP_STORED):
    """Return a zip of names and contents."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def pickled_weights(weights):
    """Return what torch writes for named tensors."""
    buffer = io.BytesIO()
    torch.save(weights, buffer)
    return buffer.getvalue()


def contrib(content, policy, shapes, **data):
    """Return a model as sb3-contrib writes it: the policy's module and name, weights of its kind, tensors in `data`."""
    members = members_of(content)
    settings = json.loads(members["data"])
    module, _, name = policy.rpartition(".")
    settings["policy_class"] = {
        ":type:": "<class 'abc.ABCMeta'>",
        ":serialized:": base64.b64encode(f"c{module}\n{name}\n.".encode()).decode(),
        "__module__": module,
    }
    for key, value in data.items():
        settings[key] = {":type:": str(type(value)), ":serialized:": base64.b64encode(pickle.dumps(value)).decode()}
    tensors = {name: torch.zeros(shape) for name, shape in shapes.items()}
    return zipped(members | {"data": json.dumps(settings), "policy.pth": pickled_weights(tensors)})


def layers(name, *sizes):
    """Return the names and shapes of linear layers with an activation between them."""
    pairs = list(enumerate(pairwise(sizes)))
    return {
        f"{name}.{2 * at}.{part}": shape
        for at, (before, after) in pairs
        for part, shape in (("weight", (after, before)), ("bias", (after,)))
    }


def lstm(name):
    """Return the names and shapes of torch's LSTM of 256 units over an observation."""
    return {
        f"{name}.{part}_l0": shape
        for part, shape in {
            "weight_ih": (1024, 7),
            "weight_hh": (1024, 256),
            "bias_ih": (1024,),
            "bias_hh": (1024,),
        }.items()
    }


def normalised():
    return VecNormalize(DummyVecEnv([AutoscalerEnv]))


def write_kinds(folder):
    """Write one file of each kind; return, for each, what its line must say."""
    env, cpu = AutoscalerEnv(), {"device": "cpu"}
    ppo = saved(PPO("MlpPolicy", env, n_steps=64, **cpu))
    dqn = saved(DQN("MlpPolicy", env, buffer_size=500, **cpu))
    wrapped = normalised()
    on_normalised = PPO("MlpPolicy", wrapped, n_steps=64, batch_size=64, **cpu).learn(64)
    dqn_on_normalised = DQN("MlpPolicy", normalised(), buffer_size=500, learning_starts=200, **cpu).learn(64)
    wrapped.save(folder / "vecnormalize.pkl")
    prelu = PPO("MlpPolicy", env, n_steps=64, policy_kwargs={"activation_fn": torch.nn.PReLU}, **cpu)
    table = QTable.zeros()
    content = {"values": table.values, "spare_capacities": [], "changes": [], "levels": []}
    numbers = torch.zeros(3)
    actor = {"action_net.weight": (3, 64), "action_net.bias": (3,), "value_net.weight": (1, 64), "value_net.bias": (1,)}
    heads = layers("mlp_extractor.policy_net", 256, 64, 64) | layers("mlp_extractor.value_net", 256, 64, 64) | actor
    files = {
        "pointer.zip": b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 172346\n",
        "pointer.pkl": b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 172346\n",
        "page.zip": b"\n\n<!DOCTYPE html>\n<html lang=en><title>Sign in</title>",
        "page.pkl": b"<html><body>Quota exceeded</body></html>",
        "array.npy": npy(table.values),
        "array.pkl": pickle.dumps(table.values),
        "fields.pkl": pickle.dumps(content),
        "numbers.pkl": pickle.dumps(content | {"values": [list(row) for row in table.values]}),
        "default.pkl": pickle.dumps(defaultdict(list, {"a": [1.0, 2.0, 3.0]})),
        "object.pkl": pickle.dumps(table),
        "network.pkl": ppo,
        "table.zip": pickle.dumps({"values": []}),
        "policy.pt": pickled_weights({"0.weight": numbers}),
        "weights.zip": pickled_weights({"0.weight": numbers}),
        "policy.pth": members_of(ppo)["policy.pth"],
        "prelu.zip": saved(prelu),
        "normalised.zip": saved(on_normalised),
        "normalised_dqn.zip": saved(dqn_on_normalised),
        "recurrent.zip": contrib(
            ppo,
            "sb3_contrib.common.recurrent.policies.RecurrentActorCriticPolicy",
            lstm("lstm_actor") | lstm("lstm_critic") | heads,
            _last_lstm_states=[numbers],
        ),
        "quantile.zip": contrib(
            dqn,
            "sb3_contrib.qrdqn.policies.QRDQNPolicy",
            layers("quantile_net.quantile_net", 7, 64, 64, 600)
            | layers("quantile_net_target.quantile_net", 7, 64, 64, 600),
        ),
        "random_search.zip": contrib(
            ppo, "sb3_contrib.ars.policies.ARSPolicy", layers("action_net", 7, 64, 64, 3), weights=numbers
        ),
    }
    for name, written in files.items():
        (folder / name).write_bytes(written)
    return {
        "pointer.zip": "a pointer of Git LFS, not the file of 172,346 bytes that it stands for: run git lfs pull",
        "pointer.pkl": "a pointer of Git LFS",
        "page.zip": "a web page (HTML), not a model",
        "page.pkl": "a web page (HTML), not a model",
        "array.npy": "an array of numpy, not a Q-table with its cells: write a Q-table with save_q_table(table, path)",
        "array.pkl": "not a Q-table: it holds arrays of numpy, and only lists are read (values.tolist())",
        "fields.pkl": "not a Q-table: it holds arrays of numpy",
        "numbers.pkl": "not a Q-table: it holds arrays of numpy",
        "default.pkl": "it holds list and defaultdict, and only plain dictionaries and lists are read",
        "object.pkl": "it holds objects of code (autoscaler_env.policies.decision_inputs.Outlook and autoscaler_env",
        "network.pkl": "a zip whose name ends in .pkl: the file of a network ends in .zip",
        "table.zip": "a pickle whose name ends in .zip: the file of a Q-table ends in .pkl",
        "vecnormalize.pkl": "not a Q-table: statistics of VecNormalize, without which a model that was trained with "
        f"norm_obs is not played; {OWN_CLASS}",
        "policy.pt": "a file of torch, not the .zip of a model: write a network with model.save(path)",
        "weights.zip": "a file of torch, not the .zip of a model: write a network with model.save(path)",
        "policy.pth": "a part of a network's file that was unzipped",
        "prelu.zip": f"its activation_fn is PReLU, which is not read here: {OWN_CLASS}",
        "normalised.zip": "it was trained on observations that VecNormalize normalised",
        "normalised_dqn.zip": "it was trained on observations that VecNormalize or another wrapper changed",
        "recurrent.zip": f"a model of RecurrentPPO (a recurrent network), which is not read here: {OWN_CLASS}",
        "quantile.zip": f"a model of QRDQN (a quantile network), which is not read here: {OWN_CLASS}",
        "random_search.zip": f"a model of ARS (without a network of values), which is not read here: {OWN_CLASS}",
    }


def npy(values):
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


def test_what_is_no_model_of_ours_gets_the_same_true_line_everywhere(tmp_path, workers):
    folder = tmp_path / "in" / "models"
    folder.mkdir(parents=True)
    expected = write_kinds(folder)
    said = {verdict.file: verdict.reason for verdict in verify(folder, progress=False, workers=workers)}
    assert {name: line for name, line in said.items() if expected[name] not in line} == {}
    assert set(said) == set(expected) and not [line for line in said.values() if "a sound file does not" in line]
    for name, line in said.items():
        with pytest.raises(ValueError) as caught:
            find_policy(str(folder / name))
        assert str(caught.value).endswith(f": {line}")
    models = {name: folder / name for name in expected if name.endswith((".pkl", ".zip"))}
    works, costs, _ = grade_models(
        Submission("ann", folder, {}, models),
        Rubric(models=Models(tuple(models)), costs=Costs(days=2)),
        0,
        SHIPPED,
        workers,
    )
    assert {item.name: item.reason for item in works} == {item.name: item.reason for item in costs}
    assert {item.name: item.reason for item in works} == {name: said[name] for name in models}
    copies = tmp_path / "copies"
    copies.mkdir()
    found = find_work(folder.parent, copies, [], ("ppo_mixed",), SHIPPED, workers)
    unused = {path.removeprefix("models/"): reason for path, reason in found.unused}
    assert {name: unused[name] for name in said} == said


def plain_learners():
    """Yield networks with activations and layers that stable-baselines3 offers, by what `verify` calls them."""
    env, nn = AutoscalerEnv(), torch.nn
    for learner, activation, layers_ in (
        (PPO, nn.ReLU, [64, 64]),
        (DQN, nn.Tanh, [64, 64]),
        (PPO, nn.GELU, {"pi": [32], "vf": [8, 8]}),
        (DQN, nn.LeakyReLU, [16, 8, 4]),
        (A2C, nn.SiLU, [8]),
    ):
        options = {"buffer_size": 500} if learner is DQN else {"n_steps": 64}
        policy_kwargs = {"activation_fn": activation, "net_arch": layers_}
        yield learner("MlpPolicy", env, policy_kwargs=policy_kwargs, device="cpu", seed=0, **options)


def random_observations(n=500):
    rng = np.random.default_rng(0)
    return rng.uniform(OBSERVATION_LOW, OBSERVATION_HIGH, (n, len(OBSERVATION_LOW))).astype(np.float32)


def actions_of(path):
    """Return what a model's file does on random observations."""
    policy = read_model(path).policy
    policy.reset(np.zeros((500, 1), dtype=np.int64))
    return policy.predict(random_observations())


def test_networks_are_built_with_the_activation_that_the_file_names(tmp_path):
    generator = torch.Generator().manual_seed(0)
    for learner in plain_learners():
        for weights in learner.policy.parameters():  # an untrained network hardly prefers one action
            weights.data.normal_(0.0, 1.0, generator=generator)
        learner.save(path := tmp_path / "model.zip")
        expected = learner.predict(random_observations(), deterministic=True)[0]
        assert len(set(expected)) > 1 and np.array_equal(actions_of(path), expected), type(learner)
        assert read_model(path).kind.startswith(f"{type(learner).__name__} 7-")


def rezipped(content, folder="", **added):
    """Return a model's zip as people make it anew: deflated, perhaps in a folder and with other files."""
    members = {f"{folder}{name}": member for name, member in members_of(content).items()}
    return zipped(members | {name.replace("_in_", "/"): member for name, member in added.items()}, zipfile.ZIP_DEFLATED)


def test_a_model_that_was_zipped_anew_is_read_within_limits(tmp_path):
    content, path = (SHIPPED / "ppo_mixed.zip").read_bytes(), tmp_path / "ppo_mixed.zip"
    expected = actions_of(SHIPPED / "ppo_mixed.zip")
    mac = {"__MACOSX_in_ppo_mixed_in_._data": b"\x00\x05\x16\x07", "ppo_mixed_in_": b"", "ppo_mixed_in_.DS_Store": b"x"}
    for sound in (rezipped(content), rezipped(content, "ppo_mixed/", **mac), rezipped(content, "a/b b/", Thumbs=b"")):
        path.write_bytes(sound.replace(b"Thumbs", b"._umbs"))
        assert np.array_equal(actions_of(path), expected)
    zeros = bytes(70 * 2**20)
    lying = rezipped(content, **{"policy.optimizer.pth": zeros})
    place = lying.rindex(b"PK\x01\x02", 0, lying.rindex(b"policy.optimizer.pth"))
    refused = {
        "bytes; at most 67,108,864 are read": rezipped(content, **{"policy.optimizer.pth": zeros}),
        "a damaged zip": lying[: place + 24] + (1000).to_bytes(4, "little") + lying[place + 28 :],
        "its member data is compressed or encrypted": zipped(members_of(content), zipfile.ZIP_BZIP2),
        "a member 'a/data'": rezipped(content, "a/", b_in_data=b"{}"),
        "a member '../data'": rezipped(content, "../"),
        "a member '__MACOSX/policy.pth'": rezipped(content, "", **{"__MACOSX_in_policy.pth": b"x"}),
        "a member 'x/'": rezipped(content, "", x_in_=b"more than a folder"),
        "policy.pth: its member": rezipped(content, **{"policy.pth": rezipped(members_of(content)["policy.pth"])}),
    }
    for line, hostile in refused.items():
        path.write_bytes(hostile)
        with pytest.raises(ValueError, match=re.escape(line)):
            read_model(path)
