"""Execute notebooks through papermill, their kernels behind a wall; a process of its own that `watch` looks after.

This process runs no code of the submission: papermill stays on our side and sends the kernel one cell at a time. From
the kernel come the messages of Jupyter's protocol alone, JSON over local sockets, so a submission cannot write the
executed notebook itself, nor end the program that judges it.
"""

from __future__ import annotations

import ctypes
import json
import os
import queue
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import papermill
import psutil
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines

from autoscaler_env.grading.sandbox import MEGABYTE, Enclosed
from autoscaler_env.grading.supervisor import end_descendants
from autoscaler_env.storage.files import write_json

START_SECONDS = 300
"""A kernel that has not answered after this long does not start."""

_PR_SET_CHILD_SUBREAPER = 36


class _TooMuch(Exception):
    """A notebook's outputs passed their limit."""


class _Manager(AsyncKernelManager):
    """Starts a kernel by the command that a wall gave, whatever kernels are installed."""

    enclosed: Enclosed

    @property
    def kernel_spec(self) -> KernelSpec:
        """What is started, instead of an installed kernel."""
        return KernelSpec(argv=list(self.enclosed.command), display_name="Python 3", language="python")


class _Client(PapermillNotebookClient):  # type: ignore[misc]  # papermill has no types
    """Papermill's client, with a kernel behind a wall, that gives up when outputs pass their limit.

    Args:
        enclosed: How to start the kernel.
        connection: Its connection file; the sockets lie beside it.
        most: Bytes that its messages may hold.
    """

    def __init__(self, manager: Any, enclosed: Enclosed, connection: Path, most: int, **options: Any) -> None:
        super().__init__(manager, **options)
        self._enclosed = enclosed
        self._connection = connection
        self._left = most

    def create_kernel_manager(self) -> AsyncKernelManager:
        """Return a manager that starts our kernel."""
        transport = "tcp" if sys.platform == "win32" else "ipc"  # files: a wall without network lets them through
        self.km = _Manager(transport=transport, connection_file=str(self._connection))
        self.km.enclosed = self._enclosed
        return self.km

    def start_new_kernel(self, **options: Any) -> None:
        """Start it, its own standard streams closed: what cells print comes as messages."""
        options |= {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        if self._enclosed.environment is not None:
            options["env"] = self._enclosed.environment
        super().start_new_kernel(**options)

    def start_new_kernel_client(self, **options: Any) -> Any:
        """Connect; then remove the folder of the sockets, before any cell runs.

        Both sides have their ends, and what a kernel wrote beside them would lie on our disk: in a folder that is gone
        nothing can be made, not even where it is still mounted. Without a wall the scratch folder is in it, and stays.
        """
        client = super().start_new_kernel_client(**options)
        if self._enclosed.apart:
            shutil.rmtree(self._connection.parent, ignore_errors=True)
        return client

    def process_message(self, msg: dict[str, Any], *rest: Any) -> Any:
        """Count what a message holds before it is kept; past the limit, wait for the cell no longer."""
        self._left -= len(json.dumps(msg["content"], default=str))
        if not self.passed_limit:
            return super().process_message(msg, *rest)
        if self.task_poll_for_reply is not None:
            self.task_poll_for_reply.cancel()  # the one way to end a cell: as if its kernel had died
        return None

    @property
    def passed_limit(self) -> bool:
        """Whether outputs were more than may be kept."""
        return self._left < 0


def run(job: dict[str, Any]) -> str | None:
    """Execute a notebook; return what stopped it, `None` if papermill saw nothing.

    Args:
        job: `notebook` and `executed` (files), `parameters`, `enclosed` (the fields of `Enclosed`), `connection` (the
            connection file), `output_bytes`.
    """
    enclosed = Enclosed(**job["enclosed"])

    class Engine(NBClientEngine):  # type: ignore[misc]
        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **unused: Any) -> Any:
            client = _Client(
                nb_man,
                enclosed,
                Path(job["connection"]),
                job["output_bytes"],
                timeout=None,  # `watch` keeps the time, of the whole notebook
                startup_timeout=START_SECONDS,
                kernel_name=kernel_name,
                iopub_timeout=START_SECONDS,
                force_raise_errors=True,
                store_widget_state=False,
                shutdown_kernel="immediate",
                ipython_hist_file="",
            )
            try:
                return client.execute()
            finally:
                if client.passed_limit:
                    raise _TooMuch(f"its outputs pass {job['output_bytes'] // MEGABYTE} MB")

    papermill_engines.register("walled", Engine)
    try:
        papermill.execute_notebook(
            job["notebook"],
            job["executed"],
            job["parameters"],
            engine_name="walled",
            kernel_name="python3",
            language="python",
            progress_bar=False,
        )
    except _TooMuch as failure:
        return str(failure)
    except papermill.PapermillExecutionError as failure:
        return f"{failure.ename}: {failure.evalue}"
    except Exception as failure:  # a dead kernel, a flood: whatever it is, it is the notebook's own
        return f"{type(failure).__name__}: {failure}"
    return None


def _listen(jobs: queue.SimpleQueue[str]) -> None:
    """Pass on the jobs; when there are no more, whoever gave them is gone, and what runs ends, in the middle of a job.

    `watch` may have been killed, or its terminal closed: then nobody keeps a notebook's time any more.
    """
    for line in sys.stdin:
        jobs.put(line)
    end_descendants(psutil.Process())
    os._exit(1)


def main() -> None:
    """Do the jobs that come on standard input, a line of JSON each; write how each ended to its file `result`.

    A line on standard output says that it is ready for them.
    """
    jobs: queue.SimpleQueue[str] = queue.SimpleQueue()
    if sys.platform == "linux":
        # What a kernel without a wall leaves behind becomes a child of this process, where it is found.
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    os.umask(0o077)
    print("ready", flush=True)
    threading.Thread(target=_listen, args=(jobs,), daemon=True).start()
    while True:
        job = json.loads(jobs.get())
        error = run(job)
        end_descendants(psutil.Process())
        write_json(Path(job["result"]), {"error": error})


if __name__ == "__main__":
    main()
