"""No untrusted model file runs code, hangs, or stops the check of other files; sound models are accepted."""

import contextlib
import io
import json
import os
import pickle
import zipfile

import bad_models
import pytest
import torch
from bad_networks import Donor
from bad_pickles import CODE, SILENT, table
from stable_baselines3 import DQN, PPO

from autoscaler_env import AutoscalerEnv
from autoscaler_env.paths import Folders
from autoscaler_env.service import Service
from autoscaler_env.storage.networks import save_learner
from autoscaler_env.training.deep import build_learner
from autoscaler_env.training.presets import PRESETS
from autoscaler_env.verification.report import overall, verify, verify_one_by_one
from autoscaler_env.verification.workers import Workers

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes and sockets in folders")


def saved(learner):
    """Return what stable-baselines3 writes for a learner."""
    buffer = io.BytesIO()
    learner.save(buffer)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def donors():
    """Return a sound network of each algorithm."""
    learners = {
        name: build_learner(name, preset, "SPIKE", Service(), seed=0, device="cpu") for name, preset in PRESETS.items()
    }
    return {name: Donor(saved(learner)) for name, learner in learners.items()}


@pytest.fixture(scope="module")
def workers():
    """Return child processes for the checks, which all tests share."""
    with Workers() as shared:
        shared.start()
        yield shared


@pytest.fixture
def corpus(tmp_path, donors, monkeypatch):
    """Return a function that writes the corpus, or each n-th of it: the names, the folder, and where payloads go."""

    def write(every=1):
        models, made = tmp_path / "models", tmp_path / "made"
        models.mkdir()
        made.mkdir()
        (tmp_path / "sound.pkl").write_bytes(table())
        names = bad_models.write_corpus(models, donors, lambda name: str(made / name), tmp_path / "sound.pkl", every)
        return names, models, made

    monkeypatch.chdir(tmp_path)
    return write


def check_all_are_refused(workers, names, models, made):
    """Verify a folder of bad models; check that each is refused in one printable line, and runs nothing."""
    verdicts = list(verify_one_by_one(models, seconds=30, workers=workers))
    assert len(verdicts) == len(names)
    assert [verdict.file for verdict in verdicts if verdict.status != "broken"] == []
    assert all(verdict.reason and verdict.reason.isprintable() and verdict.file.isprintable() for verdict in verdicts)
    assert not [verdict.reason for verdict in verdicts if "crash" in verdict.reason or "longer" in verdict.reason]
    assert list(made.iterdir()) == []


def test_a_sample_of_the_corpus_is_refused_and_runs_nothing(corpus, workers):
    check_all_are_refused(workers, *corpus(every=25))


@pytest.mark.corpus
def test_the_whole_corpus_is_refused_and_runs_nothing(corpus, workers):
    names, models, made = corpus()
    assert len(names) >= 300
    check_all_are_refused(workers, names, models, made)


def test_the_code_in_the_corpus_runs_in_the_default_loaders(donors, tmp_path):
    for route in (route for route in CODE if route not in SILENT):
        made = tmp_path / f"unpickled_{route}"
        with contextlib.suppress(TypeError):  # some routes call the code and then fail with its result
            pickle.loads(CODE[route](str(made)))
        assert made.is_dir(), route
    for route in ("global", "newobj", "build", "function_by_value"):
        made = tmp_path / f"settings_{route}"
        content = donors["ppo"].with_pickle(CODE[route](str(made)))
        with contextlib.suppress(Exception):
            PPO.load(io.BytesIO(content), device="cpu")
        assert made.is_dir(), route
    for place in ("policy.pth", "policy.optimizer.pth", "pytorch_variables.pth"):
        made = tmp_path / f"tensors_{place}"
        spoiled = Donor(donors["dqn"].with_member_of(place, data__pkl=CODE["exec"](str(made))), weights=False)
        torch.load(io.BytesIO(spoiled.members[place]), weights_only=False)
        assert made.is_dir(), place


def settings(path):
    """Return the settings in a network's file."""
    with zipfile.ZipFile(path) as archive:
        return archive.read("data")


def plain_learners():
    """Yield learners as a student may set them up with stable-baselines3 alone."""
    env = AutoscalerEnv()
    options = {"learning_rate": lambda left: 1e-3 * left, "device": "cpu"}
    yield "ppo", PPO("MlpPolicy", env, n_steps=64, device="cpu")
    yield "dqn", DQN("MlpPolicy", env, buffer_size=500, learning_starts=50, device="cpu")
    yield "wide", PPO("MlpPolicy", env, n_steps=64, policy_kwargs={"net_arch": {"pi": [32], "vf": [8, 8]}}, **options)
    adamw = {"net_arch": [], "optimizer_class": torch.optim.AdamW, "activation_fn": torch.nn.ReLU}
    yield "narrow", DQN("MlpPolicy", env, buffer_size=500, learning_starts=50, policy_kwargs=adamw, **options)


def test_models_that_stable_baselines3_or_we_save_after_some_learning_are_accepted(tmp_path, workers):
    for name, learner in plain_learners():
        learner.learn(100)
        learner.save(tmp_path / f"{name}.zip")
        assert {"ep_info_buffer", "_last_obs", "start_time"} <= set(json.loads(settings(tmp_path / f"{name}.zip")))
        save_learner(learner, tmp_path / f"own_{name}.zip")
    (tmp_path / "table.pkl").write_bytes(table())
    verdicts = verify(tmp_path, episodes=1, seconds=60, progress=False, workers=workers)
    assert len(verdicts) == 9 and overall(verdicts)[0], [verdict.reason for verdict in verdicts]


def test_the_models_of_the_project_are_accepted(workers):
    verdicts = verify(Folders.course().models, episodes=1, seconds=60, progress=False, workers=workers)
    assert len(verdicts) >= 3 and overall(verdicts)[0]
