"""Execute notebooks with papermill and send their cells to a kernel in a sandbox; a process of its own.

`supervisor` starts this process and watches it. It runs no code of a submission: papermill stays outside the sandbox
and sends the kernel one cell at a time. The kernel returns only messages of Jupyter's protocol, as JSON over local
sockets. So a submission can neither write the executed notebook itself nor end the program that judges it.
"""

from __future__ import annotations

import ctypes
import functools
import json
import os
import queue
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import nbformat
import papermill
import psutil
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import DeadKernelError
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines

from autoscaler_env.grading.sandbox import MEGABYTE, Launch
from autoscaler_env.grading.supervisor import KERNEL_ENDED, end_descendants
from autoscaler_env.storage.files import write_json

START_SECONDS = 300
"""A kernel that does not answer within this time does not start."""

_PR_SET_CHILD_SUBREAPER = 36


class _OutputLimitError(Exception):
    """The outputs of a notebook passed their limit."""


class _Manager(AsyncKernelManager):
    """Starts a kernel with the command of the sandbox, whatever kernels are installed."""

    launch: Launch

    @property
    def kernel_spec(self) -> KernelSpec:
        """The command to start, in place of an installed kernel."""
        return KernelSpec(argv=list(self.launch.command), display_name="Python 3", language="python")


class _Client(PapermillNotebookClient):  # type: ignore[misc]  # papermill has no types
    """Papermill's client for a kernel in a sandbox; it gives up when the outputs pass their limit.

    Args:
        launch: How to start the kernel.
        connection: Its connection file; the sockets lie in the same folder.
        output_bytes: Limit for the size of all its messages.
    """

    def __init__(self, manager: Any, launch: Launch, connection: Path, output_bytes: int, **options: Any) -> None:
        super().__init__(manager, **options)
        self._launch = launch
        self._connection = connection
        self._bytes_left = output_bytes

    def create_kernel_manager(self) -> AsyncKernelManager:
        """Return a manager that starts the kernel in its sandbox."""
        transport = "tcp" if sys.platform == "win32" else "ipc"  # ipc uses files, so a sandbox needs no network
        self.km = _Manager(transport=transport, connection_file=str(self._connection))
        self.km.launch = self._launch
        return self.km

    def start_new_kernel(self, **options: Any) -> None:
        """Start it with closed standard streams: what cells print arrives as messages."""
        options |= {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        if self._launch.environment is not None:
            options["env"] = self._launch.environment
        super().start_new_kernel(**options)

    def start_new_kernel_client(self, **options: Any) -> Any:
        """Connect, then remove the folder of the sockets before any cell runs.

        Both sides keep their open sockets. Files that a kernel wrote in this folder would use the real disk, and in a
        removed folder nothing can be created, even where it is still mounted. Without a sandbox the folder contains the
        scratch folder, so it stays.
        """
        client = super().start_new_kernel_client(**options)
        if self._launch.hidden_scratch:
            shutil.rmtree(self._connection.parent, ignore_errors=True)
        return client

    def process_message(self, msg: dict[str, Any], *rest: Any) -> Any:
        """Count the size of a message before it is stored; past the limit, stop waiting for the cell."""
        self._bytes_left -= len(json.dumps(msg["content"], default=str))
        if not self.passed_limit:
            return super().process_message(msg, *rest)
        if self.task_poll_for_reply is not None:
            self.task_poll_for_reply.cancel()  # the only way to end a cell; it looks as if the kernel had died
        return None

    @property
    def passed_limit(self) -> bool:
        """Whether the outputs passed their limit."""
        return self._bytes_left < 0


def run(job: dict[str, Any]) -> str | None:
    """Execute a notebook; return what stopped it, or `None` if papermill reports nothing.

    Args:
        job: `notebook` and `executed` (files), `parameters`, `launch` (the fields of `Launch`), `connection` (the
            connection file), `output_bytes`.
    """
    launch = Launch(**job["launch"])

    class Engine(NBClientEngine):  # type: ignore[misc]
        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **unused: Any) -> Any:
            nb_man.save = functools.partial(_save, nb_man, Path(job["executed"]))
            client = _Client(
                nb_man,
                launch,
                Path(job["connection"]),
                job["output_bytes"],
                timeout=None,  # the supervisor watches the time of the whole notebook
                startup_timeout=START_SECONDS,
                kernel_name=kernel_name,
                iopub_timeout=START_SECONDS,
                allow_errors=True,  # a cell that fails costs the notebook's points, not the exercises after it
                on_cell_error=_keep_error,
                store_widget_state=False,
                shutdown_kernel="immediate",
                ipython_hist_file="",
            )
            try:
                return client.execute()
            finally:
                if client.passed_limit:
                    raise _OutputLimitError(f"its outputs pass {job['output_bytes'] // MEGABYTE} MB")

    papermill_engines.register("sandbox", Engine)
    try:
        papermill.execute_notebook(
            job["notebook"],
            job["executed"],
            job["parameters"],
            engine_name="sandbox",
            kernel_name="python3",
            language="python",
            progress_bar=False,
        )
    except _OutputLimitError as failure:
        return str(failure)
    except papermill.PapermillExecutionError:
        return None  # the errors of cells stand in the executed notebook
    except DeadKernelError:
        return KERNEL_ENDED
    except Exception as failure:  # a flood of messages: the notebook caused it
        return f"{type(failure).__name__}: {failure}"
    return None


def _keep_error(cell: nbformat.NotebookNode, execute_reply: dict[str, Any], **unused: Any) -> None:
    """Give a cell that failed an output with its error, if the kernel sent none.

    A kernel without memory may lose that message, and a notebook may suppress it. The reply to the cell still tells.

    Args:
        cell: The cell.
        execute_reply: The kernel's reply.
        unused: What nbclient passes on.
    """
    if any(output.output_type == "error" for output in cell.outputs):
        return
    reply = execute_reply["content"]
    texts = {name: str(reply.get(name, "unknown")) for name in ("ename", "evalue")}
    traceback = reply.get("traceback")
    lines = list(map(str, traceback)) if isinstance(traceback, list) else []
    cell.outputs.append(nbformat.v4.new_output("error", **texts, traceback=lines))


def _save(manager: Any, executed: Path, **unused: Any) -> None:
    """Save what is executed so far, after each cell.

    Papermill's own saving copies and lays out the whole notebook twice for each cell. Where a notebook sends large
    answers, that takes more than twice as long as its code.

    Args:
        manager: Papermill's manager of the notebook.
        executed: The file; it is replaced as a whole, because a limit can end this process at any moment.
        unused: What papermill passes on.
    """
    cells = manager.nb.cells
    if any(cell.metadata.papermill["status"] == manager.RUNNING for cell in cells):  # nothing is new yet
        return
    temporary = executed.with_suffix(".tmp")
    temporary.write_text(json.dumps(manager.nb), encoding="ascii")
    temporary.replace(executed)


def _receive(jobs: queue.SimpleQueue[str]) -> None:
    """Put the jobs from standard input into a queue. When it closes, end everything, even during a job.

    It closes if the supervisor was killed or its terminal was closed. Then no process would watch a notebook's time.
    """
    for line in sys.stdin:
        jobs.put(line)
    end_descendants(psutil.Process())
    os._exit(1)


def main() -> None:
    """Do the jobs that arrive on standard input, one line of JSON each; write each result to the job's file `result`.

    A line on standard output says that this process is ready.
    """
    jobs: queue.SimpleQueue[str] = queue.SimpleQueue()
    if sys.platform == "linux":
        # Without a sandbox, processes that a kernel leaves behind become children of this process, which finds them.
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    os.umask(0o077)
    print("ready", flush=True)
    threading.Thread(target=_receive, args=(jobs,), daemon=True).start()
    while True:
        job = json.loads(jobs.get())
        error = run(job)
        end_descendants(psutil.Process())
        write_json(Path(job["result"]), {"error": error})


if __name__ == "__main__":
    main()
