"""Have files checked by limited children of one prepared process.

The prepared process: it imports and compiles what checks need, once, and forks a limited child for each file.

It talks to `children.Children` over its standard input and output, a line of JSON each way. It has one thread when it
forks: a lock that another thread held would stay locked in the child for ever.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import json
import os
import resource
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
from autoscaler_env.policies.base import Policy
from autoscaler_env.service import Service
from autoscaler_env.text import printable
from autoscaler_env.verification.check import YARDSTICKS, Findings, Place, check, play, yardstick

MOST_ANSWER = 2**16
"""Bytes of an answer, at most."""


def main(networks: str) -> None:
    """Prepare, say so, then check files until the other side closes.

    Args:
        networks: Whether networks will come, as JSON.
    """
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)  # whatever prints, prints there
    _prepare(json.loads(networks))
    gc.collect()
    gc.freeze()  # so that children share memory instead of copying what a collection touches
    print(json.dumps({"threads": _threads()}), file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        for name in YARDSTICKS:
            yardstick(name, Service(), request["episodes"])  # once for all children
        print(json.dumps(_in_child(request)), file=answers, flush=True)


def _prepare(networks: bool) -> None:
    """Import, and call what is compiled at its first call."""
    from autoscaler_env.policies.q_learning import QTable

    policies: list[Policy] = [QTable.zeros()]
    if networks:
        from autoscaler_env.policies.deep import DeepPolicy, build_network
        from autoscaler_env.policies.inputs import INPUTS

        policies += [DeepPolicy(build_network(name, INPUTS, 3, [4]), Service(), name) for name in ("dqn", "ppo")]
    for policy in policies:
        play(policy, Service(), 1)


def _threads() -> int | None:
    """Return how many threads this process has; `None` where the system does not tell."""
    tasks = Path("/proc/self/task")
    return len(list(tasks.iterdir())) if tasks.is_dir() else None


def _in_child(request: dict[str, Any]) -> dict[str, Any]:
    """Return what a child finds about a file, or how the child ended."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _be_child(request, writer)
    os.close(writer)
    try:
        answer = _await(reader, time.monotonic() + request["seconds"])
    finally:
        os.close(reader)
        os.kill(child, signal.SIGKILL)  # it is not waited for yet, so the number is still its own
        _, ended = os.waitpid(child, 0)
    if answer is None or (os.WIFSIGNALED(ended) and os.WTERMSIG(ended) in (signal.SIGXCPU, signal.SIGALRM)):
        return {"status": "broken", "reason": f"its check took longer than {request['seconds']:g} seconds"}
    try:
        return dataclasses.asdict(Findings(**json.loads(answer)))
    except (ValueError, TypeError):
        how = signal.Signals(os.WTERMSIG(ended)).name if os.WIFSIGNALED(ended) else f"status {os.WEXITSTATUS(ended)}"
        return {"status": "broken", "reason": f"its check crashed ({how})"}


def _await(reader: int, deadline: float) -> bytes | None:
    """Return all that a child writes; `None` if it is not done in time. Give up if nobody listens any more."""
    answer = b""
    while len(answer) < MOST_ANSWER:
        left = deadline - time.monotonic()
        readable, _, _ = select.select([reader, 0], [], [], max(left, 0))
        if 0 in readable:  # the next request comes after this answer: so this is the end of the other side
            raise SystemExit
        if not readable:
            return None
        part = os.read(reader, MOST_ANSWER)
        if not part:
            break
        answer += part
    return answer


def _be_child(request: dict[str, Any], writer: int) -> None:
    """Check a file within limits, write what was found, and end."""
    try:
        _limit(request["seconds"], request["megabytes"])
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nowhere, stream)
        os.closerange(3, writer)  # the line to the other side among them
        os.closerange(writer + 1, writer + 64)
        findings = dataclasses.asdict(check(Path(request["path"]), request["place"], request["episodes"]))
        os.write(writer, json.dumps(findings).encode("ascii"))
    except BaseException as error:
        complaint = f"its check failed: {type(error).__name__}: {error}"
        os.write(writer, json.dumps({"status": "broken", "reason": printable(complaint)}).encode("ascii"))
    finally:
        os._exit(0)


def _limit(seconds: float, megabytes: int) -> None:
    """Limit this process: memory on top of what it has, time, no files written, no core dumps."""
    limits = {resource.RLIMIT_CPU: int(seconds) + 1, resource.RLIMIT_FSIZE: 0, resource.RLIMIT_CORE: 0}
    used = Path("/proc/self/statm")
    if used.exists():  # elsewhere the limit on addresses counts nothing, or other things
        pages = int(used.read_text().split()[0])
        limits[resource.RLIMIT_AS] = pages * resource.getpagesize() + megabytes * 2**20
    for which, most in limits.items():
        _, hard = resource.getrlimit(which)
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)  # a stricter limit stays
        resource.setrlimit(which, (allowed, allowed))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(int(seconds) + 2)  # should nobody be left to end it


SECONDS = 8.0
"""Time that the check of one file may take."""

MEGABYTES = 1_024
"""Memory that the check of one file may use on top of what it starts with."""

_START = """
import sys
sys.path.insert(0, sys.argv[1])
from autoscaler_env.verification.workers import main
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
