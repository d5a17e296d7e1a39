"""The runs of a study on Dask, on this machine or on a running cluster, and the store of their results.

A run is one training with its measurements. It takes and returns plain values and bytes and keeps its files in a
temporary folder, so a worker on another machine needs this package and no shared disk. The client writes the results.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from autoscaler_env.cluster import RETRIES, connect, worker_folder
from autoscaler_env.compiled import code_fingerprint
from autoscaler_env.paths import Folders
from autoscaler_env.policies.oracle import Optimum
from autoscaler_env.service import Service
from autoscaler_env.storage.files import write_atomically, write_json
from autoscaler_env.storage.models import load_policy
from autoscaler_env.study.benchmark import Benchmark
from autoscaler_env.training.checkpoint import RunFolder
from autoscaler_env.training.config import TrainingConfig
from autoscaler_env.training.train import train

MEASURING_SECONDS = 10
"""Processor seconds that measuring a model takes, roughly."""

TIMESTEPS_A_SECOND = {"q-learning": 1_440_000, "dqn": 10_000, "ppo": 10_000, "policy-iteration": 120_000}
"""Timesteps of training in a processor second, roughly."""

_ONE_AT_A_TIME = threading.Lock()
"""The random state of torch belongs to the process: two trainings in its threads would disturb each other."""


@dataclass(frozen=True)
class Model:
    """A trained model as bytes."""

    file_name: str
    content: bytes
    description: dict[str, Any]
    """How it was made, as the training wrote it beside the model."""


@dataclass(frozen=True)
class RunResult:
    """The model of a run, and what was measured."""

    model: Model
    rows: list[list[dict[str, Any]]]
    """What `Benchmark.measure` returned, for each benchmark."""


class RunsFailed(RuntimeError):
    """Some runs failed in every attempt; the results of the others are kept."""


def perform(
    run: TrainingConfig, benchmarks: Sequence[Benchmark], model: Model | None = None, code: str | None = None
) -> RunResult:
    """Train a model unless there is one, and measure it on every benchmark.

    The saved model is read back and measured, so that measuring it again later gives the same numbers.

    Args:
        run: The training.
        benchmarks: The benchmarks to measure the model on.
        model: The model of the run, if it was trained before.
        code: The fingerprint of the client's code; `None` where client and worker are the same process.

    Raises:
        ValueError: The worker has another version of the package than the client.
    """
    if code not in (None, code_fingerprint()):
        raise ValueError("the worker has another version of autoscaler_env than the client; install the same on both")
    tqdm.set_lock(threading.RLock())  # its own is a semaphore of the system, which a killed worker would leave behind
    with _ONE_AT_A_TIME, tempfile.TemporaryDirectory(dir=worker_folder()) as scratch:
        folders = Folders(scratch)
        path = RunFolder(run, folders).model
        if model is None:
            description = train(run, folders, progress=False).description
            model = Model(path.name, path.read_bytes(), description)
        else:
            path.parent.mkdir(parents=True)
            path.write_bytes(model.content)
        policy = load_policy(path, run.service)
        return RunResult(model, [benchmark.measure(policy, run.service) for benchmark in benchmarks])


class ResultStore:
    """Models and results of single runs, below `build/study`; each file is written completely or not at all.

    Names carry the fingerprint of the training (`TrainingConfig.fingerprint`) and of the benchmark. Both change with
    the code that decides the numbers, so an edited simulator makes everything stale. A folder of `models` that was
    copied from another machine with the same code counts as trained here. To measure all models again, delete
    `results`.

    Args:
        folders: Their root holds `build/study`.
    """

    def __init__(self, folders: Folders) -> None:
        self.root = folders.root / "build" / "study"

    def model(self, run: TrainingConfig) -> Model | None:
        """Return the model of a run; `None` if it is missing, or is not the one that its description names."""
        file = self._model_path(run)
        description_path = file.with_suffix(".json")
        if not file.exists() or not description_path.exists():
            return None
        content = file.read_bytes()
        description = json.loads(description_path.read_text(encoding="utf-8"))
        if hashlib.sha256(content).hexdigest() != description.get("sha256"):
            return None
        return Model(file.name, content, description)

    def result(self, run: TrainingConfig, benchmark: Benchmark) -> dict[str, Any]:
        """Return description and rows of a run that was measured."""
        result: dict[str, Any] = json.loads(self.result_path(run, benchmark).read_text(encoding="utf-8"))
        return result

    def result_path(self, run: TrainingConfig, benchmark: Benchmark) -> Path:
        """Return where the result of a run is, once it is done."""
        return self.root / "results" / f"{_name_of(run)}_{_fingerprint(benchmark.identity())}.json"

    def optimum(self, benchmark: Benchmark, service: Service) -> list[dict[str, Any]]:
        """Return what the clairvoyant optimum costs on a benchmark: computed once, then read."""
        fingerprint = _fingerprint(service.as_dict(), benchmark.identity())
        path = self.root / "results" / f"optimum_{fingerprint}.json"
        if not path.exists():
            count = len(benchmark.workloads)
            print(f"Computing the optimum on {benchmark.episodes:,} days of {count} workloads.", file=sys.stderr)
            write_json(path, benchmark.measure(Optimum(service), service))
        rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        return rows

    def save(self, run: TrainingConfig, benchmarks: Sequence[Benchmark], result: RunResult) -> None:
        """Write model and results; the results last, because they say that the run is done."""
        model = result.model
        if self.model(run) is None:
            path = self._model_path(run)
            digest = {"sha256": hashlib.sha256(model.content).hexdigest()}
            write_atomically(path, lambda file: file.write(model.content))
            write_json(path.with_suffix(".json"), model.description | digest)
        for benchmark, rows in zip(benchmarks, result.rows, strict=True):
            write_json(self.result_path(run, benchmark), {"description": model.description, "rows": rows})

    def _model_path(self, run: TrainingConfig) -> Path:
        return RunFolder(run, Folders(self.root / "models" / _name_of(run))).model


def _name_of(run: TrainingConfig) -> str:
    """Return the name of a run: what it is, for people, and the fingerprint that identifies it."""
    return f"{run.model_name}_{run.seed}_{run.fingerprint()}"


def _fingerprint(*contents: Any) -> str:
    """Return twelve characters that stand for plain values and for the code that decides what a policy costs."""
    return hashlib.sha256(json.dumps([*contents, code_fingerprint()], sort_keys=True).encode()).hexdigest()[:12]


def complete(
    runs: Mapping[TrainingConfig, Sequence[Benchmark]],
    store: ResultStore,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
) -> None:
    """Perform the runs that have no result yet; each result is written as soon as it is there.

    Args:
        runs: The trainings, and the benchmarks to measure each model on.
        store: Where models and results are kept.
        workers: Processes of the local cluster; one per processor by default.
        scheduler: Address of a running Dask scheduler, instead of a local cluster.

    Raises:
        ValueError: Dask is not installed, or the cluster has no suitable worker.
        RunsFailed: The message has the first error.
    """
    missing = {
        run: [benchmark for benchmark in benchmarks if not store.result_path(run, benchmark).exists()]
        for run, benchmarks in runs.items()
    }
    models = {run: store.model(run) for run, benchmarks in missing.items() if benchmarks}
    if not models:
        return
    efforts = {run: effort(run, trained=model is not None) for run, model in models.items()}
    longest_first = sorted(models, key=lambda run: -efforts[run])  # so that no worker idles at the end
    failures: list[str] = []
    with connect(workers, scheduler) as client, _progress_bar(len(models), sum(efforts.values())) as bar:
        from dask.distributed import as_completed

        code = code_fingerprint()
        pending = {
            client.submit(perform, run, missing[run], models[run], code, pure=False, retries=RETRIES): run
            for run in longest_first
        }
        for done, future in enumerate(as_completed(list(pending)), start=1):
            run = pending.pop(future)
            error = future.exception()
            if error is None:
                store.save(run, missing[run], future.result())
            else:
                failures.append(f"{run.model_name}, seed {run.seed}: {type(error).__name__}: {error}")
            bar.set_description_str(f"{done} of {len(models)} runs", refresh=False)
            bar.update(efforts[run])
    if failures:
        raise RunsFailed(f"{len(failures)} of {len(models)} runs failed, the others are kept; {failures[0]}")


def effort(run: TrainingConfig, *, trained: bool = False) -> int:
    """Return roughly how many processor seconds a run takes; the progress bar computes the time left from it."""
    training = 0 if trained else run.total_timesteps // TIMESTEPS_A_SECOND[run.algorithm]
    return MEASURING_SECONDS + training


def _progress_bar(runs: int, total: int) -> Any:
    """Return a progress bar that advances with the effort done, and shows the time left."""
    layout = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}, {remaining} left"
    return tqdm(total=total, desc=f"0 of {runs} runs", bar_format=layout, smoothing=0.1)
