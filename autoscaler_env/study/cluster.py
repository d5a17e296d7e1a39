"""Many runs on Dask: on this machine's processors, or on a cluster that is there."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from tqdm.auto import tqdm

from autoscaler_env.study.exams import Exam
from autoscaler_env.study.runs import perform
from autoscaler_env.study.store import Store
from autoscaler_env.training.config import TrainingRun
from autoscaler_env.training.presets import DeepPreset

if TYPE_CHECKING:
    from dask.distributed import Client

WORKER_SECONDS = 60
"""How long to wait for the first worker of a cluster."""

RETRIES = 2
"""How often a run that failed is tried again. A run whose worker died is done again by Dask itself."""


class RunsFailed(RuntimeError):
    """Some runs failed, again and again; the results of the others are kept."""


def complete(
    runs: Mapping[TrainingRun, Sequence[Exam]],
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


def effort(run: TrainingRun, *, trained: bool = False) -> int:
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
