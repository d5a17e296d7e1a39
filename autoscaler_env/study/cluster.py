"""Many runs on Dask: on this machine's processors, or on a cluster that is there.

One run of the study: train a model, or take the one that is there, and measure it. Runs anywhere.

A run gets and returns plain values and bytes, and keeps its files in a temporary folder: a worker on another machine
needs the package and nothing else. Whoever asked for the run writes what comes back.

What is done: models and results of single runs, below `build/study`, written whole or not at all.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm.auto import tqdm

from autoscaler_env.paths import Folders
from autoscaler_env.policies.oracle import Optimum
from autoscaler_env.service import Service
from autoscaler_env.storage.files import write_atomically, write_json
from autoscaler_env.storage.models import load_policy
from autoscaler_env.study.benchmark import Exam
from autoscaler_env.training.checkpoint import RunFolder
from autoscaler_env.training.config import DeepPreset, QLearningPreset, TrainingConfig
from autoscaler_env.training.train import train

if TYPE_CHECKING:
    from dask.distributed import Client


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


def describe(run: TrainingConfig) -> dict[str, Any]:
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


def key_of(run: TrainingConfig) -> str:
    """Return the name of a run: for people what it is, with a fingerprint of all its settings."""
    return f"{run.model_name}_{run.seed}_{fingerprint(identity_of(describe(run)))}"


def perform(run: TrainingConfig, exams: Sequence[Exam], model: Model | None = None) -> Outcome:
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
        path = RunFolder(run, folders).model
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


class Store:
    """Models and results of the study's runs.

    A model is found by what stands beside it, whatever its folder is called: one that was copied here from another
    machine is used as if it had been trained here. To measure everything anew without training, delete `results`.

    Args:
        folders: Their root holds `build/study`.
    """

    def __init__(self, folders: Folders) -> None:
        self.root = folders.root / "build" / "study"

    @cached_property
    def _models(self) -> dict[str, Path]:
        """The descriptions that are there, by the fingerprint of what they describe."""
        found = {}
        for path in sorted(self.root.glob("models/*/models/*.json")):
            identity = identity_of(json.loads(path.read_text(encoding="utf-8")))
            if identity is not None:
                found[fingerprint(identity)] = path
        return found

    def model(self, run: TrainingConfig) -> Model | None:
        """Return the model of a run; `None` if it is not there, or its file is not the one that was described."""
        path = self._models.get(fingerprint(identity_of(describe(run))))
        if path is None:
            return None
        description = json.loads(path.read_text(encoding="utf-8"))
        file = path.with_suffix(run.ending)
        content = file.read_bytes() if file.exists() else b""
        if hashlib.sha256(content).hexdigest() != description.get("sha256"):
            return None
        return Model(file.name, content, description)

    def result(self, run: TrainingConfig, exam: Exam) -> dict[str, Any]:
        """Return description and rows of a run that was measured."""
        result: dict[str, Any] = json.loads(self.result_path(run, exam).read_text(encoding="utf-8"))
        return result

    def result_path(self, run: TrainingConfig, exam: Exam) -> Path:
        """Return where the result of a run lies, once it is done."""
        return self.root / "results" / f"{key_of(run)}_{fingerprint(exam.identity())}.json"

    def limit(self, exam: Exam, service: Service) -> list[dict[str, Any]]:
        """Return what the clairvoyant optimum pays on an exam's days: found once, since it never changes."""
        path = self.root / "results" / f"optimum_{fingerprint(service.as_dict(), exam.identity())}.json"
        if not path.exists():
            print(f"Finding the optimum on {exam.episodes:,} days of {len(exam.workloads)} workloads.", file=sys.stderr)
            write_json(path, exam.measure(Optimum(service), service))
        rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        return rows

    def keep(self, run: TrainingConfig, exams: Sequence[Exam], outcome: Outcome) -> None:
        """Write model and results; the results last, since they say that the run is done."""
        model = outcome.model
        if self.model(run) is None:
            folder = self.root / "models" / key_of(run) / "models"
            described = folder / f"{Path(model.file_name).stem}.json"
            digest = {"sha256": hashlib.sha256(model.content).hexdigest()}
            write_atomically(folder / model.file_name, lambda file: file.write(model.content))
            write_json(described, model.description | digest)
            self._models[fingerprint(identity_of(model.description))] = described
        for exam, rows in zip(exams, outcome.rows, strict=True):
            write_json(self.result_path(run, exam), {"description": model.description, "rows": rows})


WORKER_SECONDS = 60
"""How long to wait for the first worker of a cluster."""

RETRIES = 2
"""How often a run that failed is tried again. A run whose worker died is done again by Dask itself."""


class RunsFailed(RuntimeError):
    """Some runs failed, again and again; the results of the others are kept."""


def complete(
    runs: Mapping[TrainingConfig, Sequence[Exam]],
    store: Store,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
) -> None:
    """Do what has no result yet of every run; each result is written as it comes.

    Args:
        runs: What to train, and what to measure each model on.
        store: Where models and results are kept.
        workers: Processes of the local cluster; one per processor by default.
        scheduler: Address of a running Dask scheduler, instead of a local cluster.

    Raises:
        ValueError: Dask is not installed, or the cluster has no fitting worker.
        RunsFailed: The message has the first error.
    """
    missing = {
        run: [exam for exam in exams if not store.result_path(run, exam).exists()] for run, exams in runs.items()
    }
    known = {run: store.model(run) for run, exams in missing.items() if exams}
    if not known:
        return
    efforts = {run: effort(run, trained=model is not None) for run, model in known.items()}
    longest_first = sorted(known, key=lambda run: -efforts[run])  # so that no worker idles at the end
    failures: list[str] = []
    with connect(workers, scheduler) as client, _bar(len(known), sum(efforts.values())) as bar:
        from dask.distributed import as_completed

        asked = {
            client.submit(perform, run, missing[run], known[run], pure=False, retries=RETRIES): run
            for run in longest_first
        }
        for done, future in enumerate(as_completed(list(asked)), start=1):
            run = asked.pop(future)
            error = future.exception()
            if error is None:
                store.keep(run, missing[run], future.result())
            else:
                failures.append(f"{run.model_name}, seed {run.seed}: {type(error).__name__}: {error}")
            bar.set_description_str(f"{done} of {len(known)} runs", refresh=False)
            bar.update(efforts[run])
    if failures:
        raise RunsFailed(f"{len(failures)} of {len(known)} runs failed, the others are kept; {failures[0]}")


def effort(run: TrainingConfig, *, trained: bool = False) -> int:
    """Return about how many processor seconds a run takes; the estimate of the time left is made of them."""
    measuring = 10
    if trained:
        return measuring
    preset = run.preset
    return measuring + (preset.timesteps // 10_000 if isinstance(preset, DeepPreset) else preset.episodes // 5_000)


@contextmanager
def connect(workers: int | None = None, scheduler: str | None = None) -> Iterator[Client]:
    """Return a client of the cluster at an address, or of one that is started here and stopped afterwards.

    Raises:
        ValueError: Dask is not installed, or the cluster has no worker, or one with several threads.
    """
    if workers is not None and workers < 1:
        raise ValueError(f"workers = {workers}: must be at least 1")
    try:
        from dask.distributed import Client, LocalCluster
        from dask.system import CPU_COUNT
    except ImportError:
        raise ValueError("the study needs Dask; install it with: pip install -e .[study]") from None
    with ExitStack() as stack:
        if scheduler is None:
            quiet: dict[str, Any] = {"dashboard_address": ":0", "silence_logs": logging.CRITICAL}
            cluster = stack.enter_context(LocalCluster(n_workers=workers or CPU_COUNT, threads_per_worker=1, **quiet))
            yield stack.enter_context(Client(cluster))
            return
        client = stack.enter_context(Client(scheduler))
        try:
            client.wait_for_workers(1, timeout=WORKER_SECONDS)
        except TimeoutError:
            raise ValueError(f"scheduler = {scheduler}: no worker there within {WORKER_SECONDS} s") from None
        for worker, threads in client.nthreads().items():
            if threads > 1:
                raise ValueError(
                    f"scheduler = {scheduler}: worker {worker} has {threads} threads, but runs want a process each; "
                    "start workers with --nthreads 1, and --nworkers as many as there are processors"
                )
        yield client


def _bar(runs: int, total: int) -> Any:
    """Return a progress bar that moves with the effort done, and says the time left."""
    shown = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}, {remaining} left"
    return tqdm(total=total, desc=f"0 of {runs} runs", bar_format=shown, smoothing=0.1)
