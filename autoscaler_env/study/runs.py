"""One run of the study: train a model, or take the one that is there, and measure it. Runs anywhere.

A run gets and returns plain values and bytes, and keeps its files in a temporary folder: a worker on another machine
needs the package and nothing else. Whoever asked for the run writes what comes back.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from autoscaler_env.paths import Folders
from autoscaler_env.service import Service
from autoscaler_env.storage.models import load_policy
from autoscaler_env.study.exams import Exam
from autoscaler_env.training.config import TrainingRun
from autoscaler_env.training import train
from autoscaler_env.training.presets import DeepPreset, QLearningPreset

_ONE_AT_A_TIME = threading.Lock()
"""Torch's random numbers belong to the process: two trainings in its threads would disturb each other."""


@dataclass(frozen=True)
class Model:
    """A trained model as bytes."""

    file_name: str
    content: bytes
    description: dict[str, Any]
    """How it was made; see `training.record.describe`."""


@dataclass(frozen=True)
class Outcome:
    """What a run leaves."""

    model: Model
    rows: list[list[dict[str, Any]]]
    """What `Exam.measure` returned, for each exam."""


def identity_of(description: dict[str, Any]) -> dict[str, Any] | None:
    """Return, as plain values, all that decides what a model learned; `None` if this version has no such settings.

    A setting that the description lacks is one that was added later, and counts with its default.

    Args:
        description: What stands beside a model, or `describe` says of a run.
    """
    preset_class = QLearningPreset if description.get("algorithm") == "q-learning" else DeepPreset
    try:
        preset = dataclasses.asdict(preset_class(**description["preset"]))
        sizes = dict(description["service"])
        service = Service(**sizes | {"fleet_changes": tuple(sizes["fleet_changes"])}).as_dict()
        plain = {key: description[key] for key in ("algorithm", "pattern", "seed")}
    except (KeyError, TypeError, ValueError):
        return None
    identity: dict[str, Any] = json.loads(json.dumps(plain | {"preset": preset, "service": service}))
    return identity


def describe(run: TrainingRun) -> dict[str, Any]:
    """Return the part of a model's description that is known before the training."""
    return {
        "algorithm": run.algorithm,
        "pattern": run.pattern_name,
        "seed": run.seed,
        "preset": dataclasses.asdict(run.preset),
        "service": run.service.as_dict(),
    }


def fingerprint(*contents: Any) -> str:
    """Return twelve characters that stand for plain values."""
    return hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()[:12]


def key_of(run: TrainingRun) -> str:
    """Return the name of a run: for people what it is, with a fingerprint of all its settings."""
    return f"{run.model_name}_{run.seed}_{fingerprint(identity_of(describe(run)))}"


def perform(run: TrainingRun, exams: Sequence[Exam], model: Model | None = None) -> Outcome:
    """Train a model unless there is one, and measure it on every exam.

    What is measured is the saved model, read back, so that measuring it again later gives the same numbers.

    Args:
        run: What to train.
        exams: What to measure on.
        model: The model that the run would give, if it is known already.
    """
    tqdm.set_lock(threading.RLock())  # its own is a semaphore of the system, which a killed worker would leave behind
    with _ONE_AT_A_TIME, tempfile.TemporaryDirectory(dir=_scratch()) as scratch:
        folders = Folders(scratch)
        path = run.model_path(folders)
        if model is None:
            description = train(run, folders, progress=False).description
            model = Model(path.name, path.read_bytes(), description)
        else:
            path.parent.mkdir(parents=True)
            path.write_bytes(model.content)
        policy = load_policy(path, run.service)
        return Outcome(model, [exam.measure(policy, run.service) for exam in exams])


def _scratch() -> Path | None:
    """Return the folder of this Dask worker, which Dask removes even after a kill; elsewhere the system's choice."""
    from dask.distributed import get_worker

    try:
        return Path(get_worker().local_directory)
    except ValueError:
        return None
