"""Have files checked by limited children of one prepared process."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import autoscaler_env
from autoscaler_env.storage.reading import printable
from autoscaler_env.verification.verdicts import Place

SECONDS = 8.0
"""Time that the check of one file may take."""

MEGABYTES = 1_024
"""Memory that the check of one file may use on top of what it starts with."""

_START = """
import sys
sys.path.insert(0, sys.argv[1])
from autoscaler_env.verification.prepared import main
main(sys.argv[2])
"""
_ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "MKL", "OPENBLAS", "VECLIB_MAXIMUM", "NUMEXPR")}
_STATM = Path("/proc/self/statm")
"""Where Linux tells how much memory a process has."""

_PATIENCE = 300.0
"""Seconds to wait for the prepared process: where nothing is compiled yet it takes a while."""


def missing_safeguards() -> list[str]:
    """Return what protects a check elsewhere and this system has not, a sentence each."""
    if not _can_fork():
        return ["This system cannot fork limited processes: files are checked in this one, without limits."]
    if not _STATM.exists():
        return ["This system does not say how much memory a process has: checks are limited in time only."]
    return []


def _can_fork() -> bool:
    try:
        import resource  # noqa: F401
    except ImportError:
        return False
    return hasattr(os, "fork")


class Children:
    """A prepared process and its children, to be used as a context; it starts with the first file.

    Args:
        networks: Whether networks will come: without them it starts faster.
    """

    def __init__(self, *, networks: bool = True) -> None:
        self._networks = networks
        self._process: subprocess.Popen[bytes] | None = None
        self._complaints: IO[bytes] | None = None
        self.threads: int | None = None
        """Threads of the prepared process when it was ready; `None` before, and where the system does not tell."""

    def __enter__(self) -> Children:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """The number of the prepared process, and of its group; `None` if it is not there."""
        return self._process.pid if self._process else None

    def check(
        self, path: Path, place: Place, episodes: int, *, seconds: float = SECONDS, megabytes: int = MEGABYTES
    ) -> dict[str, Any]:
        """Return what a child finds about a file: the fields of a `Verdict`.

        Args:
            path: The file.
            place: Where it lies among the models.
            episodes: Test days of each pattern.
            seconds: Time that the check may take.
            megabytes: Memory that it may use on top of what it starts with.
        """
        if not _can_fork():
            from autoscaler_env.verification.check import check

            return dataclasses.asdict(check(path, place, episodes))
        self.start()
        request = {"path": os.path.abspath(path), "place": place, "episodes": episodes}  # noqa: PTH100
        answer = self._ask(request | {"seconds": seconds, "megabytes": megabytes})
        if answer is None:
            self.close()  # the next file gets a new one
            return {"status": "broken", "reason": "the checking process died of it"}
        return answer

    def close(self) -> None:
        """End the prepared process and its child, if there is one, at once."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            for stream in (process.stdin, process.stdout):
                with contextlib.suppress(BrokenPipeError):
                    stream.close()  # type: ignore[union-attr]
        if self._complaints is not None:
            self._complaints.close()
            self._complaints = None

    def start(self) -> None:
        """Start the prepared process, if it is not there; that takes some seconds.

        Raises:
            OSError: It does not start.
        """
        if self._process is not None or not _can_fork():
            return
        # Without -P modules in the working directory, which may be a stranger's, would be imported in place of ours.
        home = Path(autoscaler_env.__file__).resolve().parent.parent
        command = [sys.executable, "-P", "-c", _START, str(home), json.dumps(self._networks)]
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            env=os.environ | _ONE_THREAD,
            start_new_session=True,  # a Ctrl-C comes to us alone; we end the whole group
        )
        ready = self._answer(_PATIENCE)
        if ready is None:
            self._complaints.seek(0)
            told = self._complaints.read()[-2000:].decode(errors="replace").strip().splitlines()
            self.close()
            raise OSError(f"the process for checks did not start: {printable(told[-1] if told else 'it said nothing')}")
        self.threads = ready["threads"]

    def _ask(self, request: dict[str, Any]) -> dict[str, Any] | None:
        assert self._process is not None and self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request).encode("ascii") + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return None
        return self._answer(request["seconds"] + 60)  # it keeps the time itself; this is for when it cannot

    def _answer(self, patience: float) -> dict[str, Any] | None:
        """Return the next line from the prepared process; `None` if it ends or keeps silent."""
        assert self._process is not None and self._process.stdout is not None
        stream = self._process.stdout.fileno()
        line, deadline = b"", time.monotonic() + patience
        while not line.endswith(b"\n"):
            readable, _, _ = select.select([stream], [], [], max(deadline - time.monotonic(), 0))
            part = os.read(stream, 2**16) if readable else b""
            if not part:
                return None
            line += part
        return json.loads(line)
