"""The answer key: one run of the course's own notebooks, kept ready to check the answers of submissions.

The run is kept in a folder for gradings to come, as long as the course, the package and the budgets stay the same.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import queue
import secrets
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tqdm.auto import tqdm

from autoscaler_env.compiled import package_fingerprint
from autoscaler_env.grading.notebooks import CourseNotebook
from autoscaler_env.storage.files import take_lock

REPLY_SECONDS = 120
"""Time limit for the reply to one check. The checker limits the check itself; this is for a checker that hangs."""

_LOCK_SECONDS = 0.2
"""Time between two looks whether another grader has run the course."""


class GraderError(Exception):
    """A fault of the grader or its machine, not of a submission; the message is one line."""


class AnswerKey:
    """Runs the course when it is first needed, in a `checker` process, and checks answers there.

    Args:
        notebooks: The course's notebooks, in order.
        parameters: Given to each notebook that has a parameter of the name. The value of `output` becomes a folder of
            the kept run.
        kept: The folder for runs that are kept; nobody but this user can read or change it.
    """

    def __init__(self, notebooks: Sequence[CourseNotebook], parameters: dict[str, Any], kept: Path) -> None:
        self._notebooks = list(notebooks)
        self._parameters = parameters
        self._kept = kept
        self._folder: Path | None = None
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._problem: str | None = None
        self._cancelled = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop()
        if self._folder is not None and not (self._folder / "variables" / "complete").exists():
            shutil.rmtree(self._folder, ignore_errors=True)

    def cancel(self) -> None:
        """End the checker for good; threads that wait for it get an error."""
        self._cancelled = True
        if (process := self._process) is not None:
            _kill(process)

    def workspace(self) -> Path:
        """Return the folder with the files that the course has written.

        Raises:
            GraderError: The course does not run here.
        """
        with self._lock:
            self._started()
            assert self._folder is not None
            return self._folder / "workspace"

    def check(self, notebook: str, exercise: str, answers: dict[str, Any]) -> str:
        """Return what the course's check prints for answers, in one line.

        Args:
            notebook: The name of the notebook.
            exercise: The name of the exercise, such as 03.1.
            answers: What a submission sent, by variable; JSON, possibly forged.
        """
        with self._lock:
            process = self._started()
            assert process.stdin is not None
            try:
                request = json.dumps({"notebook": notebook, "exercise": exercise, "answers": answers})
            except RecursionError:
                return "not yet: the answer is nested too deeply"
            try:
                process.stdin.write(request + "\n")
                process.stdin.flush()
                result: str = json.loads(self._lines.get(timeout=REPLY_SECONDS))["result"]
                return result
            except (queue.Empty, OSError, ValueError):
                self._stop()  # the next answer needs a new run of the course
                return "not yet: the check of this answer did not end"

    def _started(self) -> subprocess.Popen[str]:
        """Return the checker; start it and run the course if it does not run."""
        if self._cancelled:
            raise GraderError("it was cancelled")
        if self._problem is not None:
            raise GraderError(self._problem)
        if self._process is not None:
            return self._process
        with self._alone():
            return self._start()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Wait for another grader that runs the course in this folder, to use its run; keep others away."""
        while (lock := take_lock(self._kept / "run.lock")) is None:
            time.sleep(_LOCK_SECONDS)
            if self._cancelled:
                raise GraderError("it was cancelled")
        with lock:
            yield

    def _start(self) -> subprocess.Popen[str]:
        """Start the checker, and run the course or read what is kept of a run."""
        self._folder = self._folder or self._find_folder()
        workspace, variables = self._folder / "workspace", self._folder / "variables"
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "autoscaler_env.grading.checker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=dict(os.environ) | self._variables(),
            start_new_session=True,  # a Ctrl-C reaches the main process only, which ends this one
        )
        if self._cancelled:  # in the meantime
            _kill(self._process)
        self._lines = queue.SimpleQueue()
        threading.Thread(target=_forward, args=(self._process.stdout, self._lines), daemon=True).start()
        parameters = self._parameters | ({"output": str(workspace)} if "output" in self._parameters else {})
        job = {
            "notebooks": [str(notebook.path.resolve()) for notebook in self._notebooks],
            "parameters": parameters,
            "workspace": str(workspace),
            "kept": str(variables),
        }
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        for notebook in tqdm(self._notebooks, desc="answer key", unit="notebook"):
            error = json.loads(self._lines.get() or '{"error": "the process ended"}')["error"]
            if error is not None:
                self._stop()
                self._problem = f"the course itself does not run here: {notebook.name}: {error}"
                raise GraderError(self._problem)
        if not self._lines.get():
            self._stop()
            self._problem = "the course itself does not run here: its variables cannot be kept"
            raise GraderError(self._problem)
        return self._process

    def _find_folder(self) -> Path:
        """Return the folder of a complete run of this course, or a new one for the run that begins."""
        self._kept.mkdir(parents=True, exist_ok=True)
        self._kept.chmod(0o711)  # a kernel with another user id must reach the workspace, and nothing else
        digest = hashlib.sha256(json.dumps([sys.version, package_fingerprint(), self._parameters]).encode())
        for path in (notebook.path for notebook in self._notebooks):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
        prefix = digest.hexdigest()[:16]
        for folder in sorted(self._kept.glob(f"{prefix}-*")):
            if (folder / "variables" / "complete").exists() and _is_private(folder / "variables"):
                return folder
        folder = self._kept / f"{prefix}-{secrets.token_hex(8)}"  # another grader may run the course at this moment
        for path, mode in ((folder, 0o711), (folder / "workspace", 0o755), (folder / "variables", 0o700)):
            path.mkdir()
            path.chmod(mode)
        return folder

    def _variables(self) -> dict[str, str]:
        """Return the environment variables of the checker. Like a kernel in a sandbox, it sees no GPU."""
        assert self._folder is not None
        return {
            "NUMBA_CACHE_DIR": str(self._folder / "workspace" / ".numba"),
            "MPLBACKEND": "Agg",
            "OMP_NUM_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": "",
        }

    def _stop(self) -> None:
        if self._process is not None:
            _kill(self._process)
            self._process.wait()
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    stream.close()
            self._process = None


def _is_private(folder: Path) -> bool:
    """Return whether a folder is this user's, and nobody else can read or change it: what is in it is trusted."""
    state = folder.lstat()
    return not hasattr(os, "geteuid") or (state.st_uid == os.geteuid() and not stat.S_IMODE(state.st_mode) & 0o077)


def _kill(process: subprocess.Popen[str]) -> None:
    """End a process that has a session of its own, with its children."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


def _forward(stream: Any, lines: queue.SimpleQueue[str]) -> None:
    """Put each line of a process's output into a queue, and an empty line at the end."""
    try:
        for line in stream:
            lines.put(line)
    except ValueError:  # the stream was closed
        pass
    lines.put("")
