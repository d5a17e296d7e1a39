"""Look after a notebook's run from outside: end it in time, and with it everything that it started.

Find and end what a process has started.
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

from autoscaler_env.grading.sandbox import MEGABYTE, Limits, Wall, place_for_kernel


def descendants(process: psutil.Process) -> list[psutil.Process]:
    """Return the processes that one has started, and those that they have; none where it has ended."""
    try:
        return list(process.children(recursive=True))
    except psutil.Error:
        return []


def memory(process: psutil.Process) -> int:
    """Return the memory that a process occupies, in bytes; 0 where it has ended."""
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def end_descendants(process: psutil.Process) -> None:
    """End all that a process has started, however fast that starts more."""
    for _ in range(100):
        found = descendants(process)
        if not found:
            return
        for each in found:
            end(each)
        psutil.wait_procs(found, timeout=1)


def end(process: psutil.Process) -> None:
    """End a process at once."""
    try:
        process.kill()
    except psutil.Error:  # it has ended
        return


_LOOK_SECONDS = 0.1
"""How long something may go on between two looks."""

_SPARE_DISK_MB = 1_024
"""A run ends when it leaves less than this free where temporary files lie."""

_RUNNER_MEMORY_MB = 2_048
"""What our own side of a run may use, whatever a kernel sends it."""


@dataclass(frozen=True)
class Run:
    """How one notebook's run ended."""

    error: str | None
    """What stopped it; `None` if nothing did."""
    notebook: nbformat.NotebookNode | None
    """The notebook with its outputs, as far as it came; `None` if it never began."""
    seconds: float


class Runner:
    """Executes notebooks behind a wall, one after the other, within limits, and leaves nothing of them running.

    Args:
        wall: What surrounds each kernel.
        limits: What each notebook may use.
        cancelled: Ends a run when it is set.
    """

    def __init__(self, wall: Wall, limits: Limits, cancelled: threading.Event | None = None) -> None:
        self._wall = wall
        self._limits = limits
        self._cancelled = cancelled or threading.Event()
        self._process: psutil.Popen | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop()

    def run(self, notebook: nbformat.NotebookNode, parameters: dict[str, Any], reference: Path | None = None) -> Run:
        """Execute one notebook.

        Args:
            notebook: What to execute.
            parameters: Given to it by papermill; `output` becomes its scratch folder.
            reference: A folder whose content its scratch folder starts with.
        """
        if self._cancelled.is_set():
            return Run("it was cancelled", None, 0.0)
        with place_for_kernel(reference) as place, place_for_kernel() as ours:
            enclosed = self._wall.around(place, self._limits)
            scratch = {"output": str(self._wall.scratch(place))}
            source, executed, result = (ours.sockets / name for name in ("source.ipynb", "run.ipynb", "result.json"))
            nbformat.write(notebook, source)
            place.give_to(enclosed.user)
            job = {
                "notebook": str(source),
                "executed": str(executed),
                "result": str(result),
                "parameters": parameters | (scratch if "output" in parameters else {}),
                "enclosed": asdict(enclosed),
                "connection": str(place.connection),
                "output_bytes": self._limits.output_mb * MEGABYTE,
            }
            try:
                runner = self._ready()
                started = time.perf_counter()
                runner.stdin.write(json.dumps(job) + "\n")
                runner.stdin.flush()
                error = self._look_after(runner, result)
            except BaseException:
                self._stop()
                raise
            finally:
                if enclosed.afterwards:
                    subprocess.run(enclosed.afterwards, capture_output=True, check=False)
            if error is None:
                error = json.loads(result.read_text(encoding="utf-8"))["error"]
            else:
                self._stop()
            return Run(error, _read_notebook(executed), time.perf_counter() - started)

    def _look_after(self, runner: psutil.Popen, result: Path) -> str | None:
        """Wait for the result of a job; return which limit it passed, `None` if it came to its end."""
        limits, until = self._limits, time.monotonic() + self._limits.seconds
        while not result.exists():
            children = descendants(runner)
            if runner.poll() is not None:
                return f"what runs it ended (exit status {runner.returncode})"
            if time.monotonic() > until:
                return f"it took longer than {limits.seconds} s"
            if sum(map(memory, children)) > limits.memory_mb * MEGABYTE:
                return f"it used more than {limits.memory_mb} MB of memory"
            if memory(runner) > _RUNNER_MEMORY_MB * MEGABYTE:
                return "it sent more than can be kept"
            if len(children) > limits.processes:
                return f"it ran more than {limits.processes} processes"
            if shutil.disk_usage(result.parent).free < _SPARE_DISK_MB * MEGABYTE:
                return "it filled the disk"
            if self._cancelled.is_set():
                return "it was cancelled"
            time.sleep(_LOOK_SECONDS)
        return None

    def _ready(self) -> psutil.Popen:
        """Return the process that does jobs; start one where there is none."""
        if self._process is None or self._process.poll() is not None:
            self._process = psutil.Popen(
                [sys.executable, "-P", "-m", "autoscaler_env.grading.runner"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                text=True,
            )
            self._process.stdout.readline()  # it has imported what it needs: the notebook's time begins
        return self._process

    def _stop(self) -> None:
        """End the process that runs notebooks, and all that it started.

        What it started goes first, as long as there is something: that process is where orphans come to. Behind a wall
        they end together, with the first process of their name space.
        """
        if self._process is not None:
            end_descendants(self._process)
            end(self._process)
            self._process.wait()
            for stream in (self._process.stdin, self._process.stdout):
                with contextlib.suppress(OSError):
                    stream.close()
            self._process = None


def _read_notebook(executed: Path) -> nbformat.NotebookNode | None:
    try:
        return nbformat.read(executed, as_version=4)
    except (OSError, ValueError, nbformat.validator.NotebookValidationError):
        return None
