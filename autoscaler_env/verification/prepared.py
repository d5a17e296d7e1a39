"""The prepared process: it imports and compiles what checks need, once, and forks a limited child for each file.

It talks to `children.Children` over its standard input and output, a line of JSON each way. It has one thread when it
forks: a lock that another thread held would stay locked in the child for ever.
"""

from __future__ import annotations

import dataclasses
import gc
import json
import os
import resource
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any

from autoscaler_env.policies.base import Policy
from autoscaler_env.service import Service
from autoscaler_env.storage.reading import printable
from autoscaler_env.verification.check import YARDSTICKS, Findings, check, play, yardstick

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
