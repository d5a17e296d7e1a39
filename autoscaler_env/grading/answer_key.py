"""The course's own run, that submissions are compared with: what it writes, and what its checks say to answers."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tqdm.auto import tqdm

from autoscaler_env.grading.notebooks import CourseNotebook

CHECK_SECONDS = 60
"""A check that takes longer than this on an answer has failed."""


class Reference:
    """Runs the course once, when it is first needed, and keeps it ready to check answers.

    Args:
        notebooks: The course's notebooks, in order.
        parameters: Given to each that has one of the name; `output` becomes a temporary folder.
    """

    def __init__(self, notebooks: Sequence[CourseNotebook], parameters: dict[str, Any]) -> None:
        self._notebooks = list(notebooks)
        self._parameters = parameters
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._flaw: str | None = None
        self._ended = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop()
        if self._folder is not None:
            self._folder.cleanup()

    def end(self) -> None:
        """End the course's process for good, whoever waits for it: they get an error."""
        self._ended = True
        if (process := self._process) is not None:
            process.kill()

    def workspace(self) -> Path:
        """Return the folder with what the course has written.

        Raises:
            ValueError: The course does not run here.
        """
        with self._lock:
            self._start()
            assert self._folder is not None
            return Path(self._folder.name)

    def check(self, notebook: str, exercise: str, told: dict[str, Any]) -> str:
        """Return what the course's check says to answers, in one line.

        Args:
            notebook: Whose exercise it is.
            exercise: Its name, such as 03.1.
            told: What a submission told, by variable; JSON of any origin.
        """
        with self._lock:
            process = self._start()
            assert process.stdin is not None
            try:
                request = json.dumps({"notebook": notebook, "exercise": exercise, "answers": told})
            except RecursionError:
                return "not yet: the answer is nested without end"
            try:
                process.stdin.write(request + "\n")
                process.stdin.flush()
                said: str = json.loads(self._lines.get(timeout=CHECK_SECONDS))["said"]
                return said
            except (queue.Empty, OSError, ValueError):
                self._stop()  # an answer that the check does not survive; the next one needs a fresh course
                return f"not yet: the check came to no end within {CHECK_SECONDS} s"

    def _start(self) -> subprocess.Popen[str]:
        """Run the course, unless it is there already."""
        if self._ended:
            raise ValueError("it was cancelled")
        if self._flaw is not None:
            raise ValueError(self._flaw)
        if self._process is not None:
            return self._process
        self._folder = self._folder or tempfile.TemporaryDirectory(prefix="course-")
        Path(self._folder.name).chmod(0o755)  # a kernel that is nobody has to read it
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "autoscaler_env.grading.checker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=dict(os.environ) | self._variables(),
            start_new_session=True,  # a Ctrl-C comes to us alone; we end it
        )
        if self._ended:  # since we looked
            self._process.kill()
        self._lines = queue.SimpleQueue()
        threading.Thread(target=_pass_on, args=(self._process.stdout, self._lines), daemon=True).start()
        parameters = self._parameters | ({"output": self._folder.name} if "output" in self._parameters else {})
        asked = {
            "notebooks": [str(notebook.path.resolve()) for notebook in self._notebooks],
            "parameters": parameters,
            "workspace": self._folder.name,
        }
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        for notebook in tqdm(self._notebooks, desc="the course itself", unit="notebook"):
            error = json.loads(self._lines.get() or '{"error": "it ended"}')["error"]
            if error is not None:
                self._stop()
                self._flaw = f"the course itself does not run here: {notebook.name}: {error}"
                raise ValueError(self._flaw)
        return self._process

    def _variables(self) -> dict[str, str]:
        """Return what the course's process has in its environment beyond ours: it compiles into its own folder."""
        assert self._folder is not None
        return {"NUMBA_CACHE_DIR": str(Path(self._folder.name, ".numba")), "MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1"}

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    stream.close()
            self._process = None


def _pass_on(stream: Any, lines: queue.SimpleQueue[str]) -> None:
    """Put each line of a process's output into a queue, and an empty one at its end."""
    try:
        for line in stream:
            lines.put(line)
    except ValueError:  # it was closed
        pass
    lines.put("")
