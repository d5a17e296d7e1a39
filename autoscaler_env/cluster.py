"""Connect to Dask workers, on this machine or on a running cluster: for the runs of a study and for grading."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dask.distributed import Client

WORKER_SECONDS = 60
"""Seconds to wait for the first worker of a cluster."""

RETRIES = 2
"""How often a failed task is tried again. Dask itself repeats a task whose worker died."""


@contextmanager
def connect(workers: int | None = None, scheduler: str | None = None) -> Iterator[Client]:
    """Return a client of the cluster at an address, or of a local one that is started here and stopped afterwards.

    Args:
        workers: Processes of the local cluster; one per processor by default.
        scheduler: Address of a running Dask scheduler, instead of a local cluster.

    Raises:
        ValueError: Dask is not installed, or the cluster has no worker, or one with several threads.
    """
    if workers is not None and workers < 1:
        raise ValueError(f"workers = {workers}: must be at least 1")
    try:
        from dask.distributed import Client, LocalCluster
        from dask.system import CPU_COUNT
    except ImportError:
        raise ValueError("workers need Dask; install it with: pip install -e .[study]") from None
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
            raise ValueError(f"scheduler = {scheduler}: it has had no worker for {WORKER_SECONDS} s") from None
        for worker, threads in client.nthreads().items():
            if threads > 1:
                raise ValueError(
                    f"scheduler = {scheduler}: worker {worker} has {threads} threads, but each task needs a process; "
                    "start workers with --nthreads 1, and --nworkers as many as there are processors"
                )
        yield client


def worker_folder() -> Path | None:
    """Return the folder of this Dask worker, which Dask removes even after a kill; `None` outside of workers."""
    from dask.distributed import get_worker

    try:
        return Path(get_worker().local_directory)
    except ValueError:
        return None
