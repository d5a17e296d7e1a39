"""Run notebooks from outside their sandbox: end each run in time, with everything that it started.

The notebook is executed by `runner`, in a process of its own, which `Supervisor` watches.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import nbformat
import psutil

from autoscaler_env.grading.sandbox import MEGABYTE, Limits, Sandbox, shared_folders

_CHECK_INTERVAL_SECONDS = 0.25
"""Time between two checks of the limits. Each looks at all processes of the machine, which takes CPU time."""

_RESULT_INTERVAL_SECONDS = 0.05
"""Time between two looks for the result."""

_FREE_DISK_MB = 1_024
"""A run ends if the disk with temporary files has less free space than this."""

_RUNNER_MEMORY_MB = 2_048
"""Memory limit of the runner, which a kernel could fill with messages."""


KERNEL_ENDED = "its kernel ended: a cell crashed it, or ended it"
"""The error of a run whose kernel ended before the notebook did."""


@dataclass(frozen=True)
class NotebookRun:
    """The result of the execution of one notebook."""

    error: str | None
    """What stopped it; `None` if nothing did."""
    notebook: nbformat.NotebookNode | None
    """The notebook with the outputs that it has so far; `None` if it did not start."""
    seconds: float


class Supervisor:
    """Executes notebooks in a sandbox, one after the other, within limits. It leaves no process of theirs running.

    Args:
        sandbox: What surrounds each kernel.
        limits: What each notebook may use.
        cancelled: Setting this event ends the current run.
    """

    def __init__(self, sandbox: Sandbox, limits: Limits, cancelled: threading.Event | None = None) -> None:
        self._sandbox = sandbox
        self._limits = limits
        self._cancelled = cancelled or threading.Event()
        self._runner: psutil.Popen | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop()

    def run(
        self, notebook: nbformat.NotebookNode, parameters: dict[str, Any], workspace: Path | None = None
    ) -> NotebookRun:
        """Execute one notebook.

        Args:
            notebook: The notebook.
            parameters: Its parameters, which papermill injects. The value of `output` becomes its scratch folder.
            workspace: A folder; its content is copied to the scratch folder first.
        """
        if self._cancelled.is_set():
            return NotebookRun("it was cancelled", None, 0.0)
        with shared_folders(workspace) as shared, shared_folders() as private:
            launch = self._sandbox.launch(shared, self._limits)
            scratch = {"output": str(self._sandbox.scratch(shared))}
            source, executed, result = (private.sockets / name for name in ("source.ipynb", "run.ipynb", "result.json"))
            nbformat.write(notebook, source)
            shared.give_to(launch.user)
            job = {
                "notebook": str(source),
                "executed": str(executed),
                "result": str(result),
                "parameters": parameters | (scratch if "output" in parameters else {}),
                "launch": asdict(launch),
                "connection": str(shared.connection),
                "output_bytes": self._limits.output_mb * MEGABYTE,
            }
            try:
                runner = self._started()
                start = time.perf_counter()
                runner.stdin.write(json.dumps(job) + "\n")
                runner.stdin.flush()
                error = self._wait(runner, result)
            except BaseException:
                self._stop()
                raise
            finally:
                if launch.cleanup:
                    subprocess.run(launch.cleanup, capture_output=True, check=False)
            if error is None:
                error = json.loads(result.read_text(encoding="utf-8"))["error"]
            else:
                self._stop()
            return NotebookRun(error, _read_notebook(executed), time.perf_counter() - start)

    def _wait(self, runner: psutil.Popen, result: Path) -> str | None:
        """Wait for the result of a job; return the limit that it passed, or `None` if it passed none."""
        limits, deadline = self._limits, time.monotonic() + self._limits.seconds
        next_check = time.monotonic()
        while not result.exists():
            time.sleep(_RESULT_INTERVAL_SECONDS)
            if time.monotonic() < next_check:
                continue
            next_check = time.monotonic() + _CHECK_INTERVAL_SECONDS
            children = descendants(runner)
            if runner.poll() is not None:
                return f"the process that executes it ended (exit status {runner.returncode})"
            if time.monotonic() > deadline:
                return f"it took longer than {limits.seconds} s"
            if sum(map(_memory, children)) > limits.memory_mb * MEGABYTE:
                return f"it used more than {limits.memory_mb} MB of memory"
            if _memory(runner) > _RUNNER_MEMORY_MB * MEGABYTE:
                return "it sent more output than fits into memory"
            if len(children) > limits.processes:
                return f"it ran more than {limits.processes} processes"
            if shutil.disk_usage(result.parent).free < _FREE_DISK_MB * MEGABYTE:
                if self._sandbox.kind == "bubblewrap":  # nothing in it can write to this disk
                    raise OSError(f"less than {_FREE_DISK_MB:,} MB are free on the disk of {result.parent.parent}")
                return "it filled the disk"
            if self._cancelled.is_set():
                return "it was cancelled"
        return None

    def _started(self) -> psutil.Popen:
        """Return the process that executes notebooks; start it if it does not run."""
        if self._runner is None or self._runner.poll() is not None:
            self._runner = psutil.Popen(
                [sys.executable, "-P", "-m", "autoscaler_env.grading.runner"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                text=True,
            )
            self._runner.stdout.readline()  # its imports are done: they do not count as time of the notebook
        return self._runner

    def _stop(self) -> None:
        """End the process that executes notebooks and everything that it started.

        First its descendants, as long as there are any: orphans of a kernel become children of that process. In a
        sandbox they all end with the first process of their namespace.
        """
        if self._runner is not None:
            end_descendants(self._runner)
            _end(self._runner)
            self._runner.wait()
            for stream in (self._runner.stdin, self._runner.stdout):
                with contextlib.suppress(OSError):
                    stream.close()
            self._runner = None


def _read_notebook(executed: Path) -> nbformat.NotebookNode | None:
    try:
        return nbformat.read(executed, as_version=4)
    except (OSError, ValueError, nbformat.validator.NotebookValidationError):
        return None


def descendants(process: psutil.Process) -> list[psutil.Process]:
    """Return the processes that a process has started, directly or through others; none if it has ended."""
    try:
        return list(process.children(recursive=True))
    except psutil.Error:
        return []


def end_descendants(process: psutil.Process) -> None:
    """End all descendants of a process, even if they start new ones quickly."""
    for _ in range(100):
        processes = descendants(process)
        if not processes:
            return
        for child in processes:
            _end(child)
        psutil.wait_procs(processes, timeout=1)


def _end(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.Error:  # it has ended
        return


def _memory(process: psutil.Process) -> int:
    """Return the memory of a process in bytes; 0 if it has ended."""
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0
