"""Call functions that read untrusted model files, each call in a child process with limits on memory and time.

`Workers` starts one *prepared process*. The prepared process imports and compiles what the functions need, once; then
it forks a limited child for each call, which takes milliseconds. They exchange one line of JSON per call and direction.

`multiprocessing` with the start method `forkserver` does something similar, but it does not fit untrusted files: its
server imports modules such as `socket` from the working directory, which may hold a stranger's files; each child runs
the caller's main script again; the whole program shares one server and one list of modules to preload; and its children
live on when the program is killed.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import importlib.util
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NoReturn

import autoscaler_env
from autoscaler_env.text import one_line, printable

SECONDS = 8.0
"""Time limit of one call by default."""

MEGABYTES = 1_024
"""Memory that one call may use by default, in addition to the memory of the prepared process."""

MAX_ANSWER_BYTES = 2**16
"""A longer answer is an error by default."""

_START_SECONDS = 300.0
"""Time limit for the start of the prepared process. The first start on a machine compiles code, which takes longest."""

_WARM_UP = "autoscaler_env.verification.check:warm_up"
"""What the prepared process calls first, so that imports and compiled code are ready."""

_START = """
import sys
sys.path.insert(0, sys.argv[1])
from autoscaler_env.verification.workers import serve
serve()
"""
_ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "MKL", "OPENBLAS", "VECLIB_MAXIMUM", "NUMEXPR")}
_STATM = Path("/proc/self/statm")
"""Where Linux shows how much memory a process has."""


class WorkerError(RuntimeError):
    """A call did not return a value; the message is one printable line that says why."""


def no_such_folder(folder: Path) -> str:
    """Return the message about a folder of models that does not exist."""
    return (
        f"folder = {printable(repr(str(folder)))}: no such folder; "
        "train a model first, as in: autoscaler train q-learning"
    )


def missing_safeguards() -> list[str]:
    """Return the limits that this system cannot set, one sentence each."""
    if not can_fork():
        return ["This system cannot fork limited processes: model files are read in the main process, without limits."]
    if not _STATM.exists():
        return ["This system does not show how much memory a process has: only the time of each check is limited."]
    return []


def can_fork() -> bool:
    """Return whether this system can fork processes and limit them."""
    return hasattr(os, "fork") and importlib.util.find_spec("resource") is not None


class Workers:
    """A prepared process that runs each call in a limited child. Use it as a context manager.

    It starts at the first call. It does one call at a time; threads that call at the same time need one object each.

    Args:
        networks: Whether to prepare for neural networks. Without them the start is faster.
    """

    def __init__(self, *, networks: bool = True) -> None:
        self._networks = networks
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None
        self._cancelled = False
        self.threads: int | None = None
        """Threads of the prepared process when it was ready; `None` before, and where the system does not show it."""

    def __enter__(self) -> Workers:
        return self

    def __reduce__(self) -> tuple[Callable[..., Workers], tuple[()]]:
        """A copy, also one that pickle makes, starts processes of its own."""
        return functools.partial(Workers, networks=self._networks), ()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """The id of the prepared process and of its process group; `None` if it does not run."""
        return self._process.pid if self._process else None

    def call(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        prepare: functools.partial[Any] | None = None,
        seconds: float = SECONDS,
        megabytes: int = MEGABYTES,
        answer_bytes: int = MAX_ANSWER_BYTES,
    ) -> Any:
        """Return what a function returns when a limited child calls it.

        Where the system cannot fork, the function is called in this process, without limits (`missing_safeguards`).

        Args:
            function: A function of a module of this package. It returns what JSON can hold.
            arguments: Its arguments; JSON must be able to hold them.
            prepare: A call that the prepared process makes first. If its function caches what it returns, all children
                share the cache.
            seconds: Time limit.
            megabytes: Memory that the call may use, in addition to the memory of the prepared process.
            answer_bytes: A longer answer is an error.

        Raises:
            WorkerError: The call passed a limit, crashed or raised an exception.
            OSError: The prepared process does not start.
        """
        if self._cancelled:
            raise WorkerError("it was cancelled")
        if not can_fork():
            try:
                return function(*arguments)
            except Exception as error:
                raise WorkerError(_message(error)) from None
        self.start()
        limits = {"seconds": seconds, "megabytes": megabytes, "answer_bytes": answer_bytes}
        request = {"call": _named(function, *arguments)} | limits
        if prepare is not None:
            request["prepare"] = _named(prepare.func, *prepare.args)
        answer = self._ask(request, seconds + 60)  # the prepared process watches the time itself; this is a backup
        if answer is None:
            self.close()  # the next call starts a new one
            raise WorkerError("the process that reads model files ended")
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer["value"]

    def start(self) -> None:
        """Start the prepared process if it does not run. It takes some seconds.

        Raises:
            OSError: It does not start.
        """
        if self._process is not None or not can_fork():
            return
        # -P: otherwise Python would import modules from the working directory, which may hold a stranger's files.
        folder = Path(autoscaler_env.__file__).resolve().parent.parent
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _START, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=os.environ | _ONE_THREAD,
            start_new_session=True,  # a Ctrl-C reaches this process only, and this process ends the whole group
        )
        if self._cancelled:  # in the meantime
            _kill(self._process)
        ready = self._ask({"call": [_WARM_UP, self._networks]}, _START_SECONDS)
        if ready is None:
            self._errors.seek(0)
            lines = self._errors.read()[-2000:].decode(errors="replace").strip().splitlines()
            self.close()
            reason = printable(lines[-1]) if lines else "it printed no error"
            raise OSError(f"the process that reads model files did not start: {reason}")
        self.threads = ready["threads"]

    def close(self) -> None:
        """End the prepared process and its child at once."""
        process, self._process = self._process, None
        if process is not None:
            _kill(process)
            process.wait()
            for stream in (process.stdin, process.stdout):
                with contextlib.suppress(BrokenPipeError):
                    stream.close()  # type: ignore[union-attr]
        if self._errors is not None:
            self._errors.close()
            self._errors = None

    def cancel(self) -> None:
        """End the processes for good; calls of other threads raise `WorkerError`."""
        self._cancelled = True
        if (process := self._process) is not None:
            _kill(process)

    def _ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any] | None:
        """Send a request; return the answer, or `None` if the prepared process ends or does not answer in time."""
        assert self._process is not None and self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(request).encode("ascii") + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return None
        answer = _read(self._process.stdout.fileno(), time.monotonic() + seconds, until=b"\n")
        return json.loads(answer) if answer and answer.endswith(b"\n") else None


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a process that has a session of its own, with its children."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _named(function: Callable[..., Any], *arguments: Any) -> list[Any]:
    """Return a call as JSON: the name of the function, then its arguments."""
    return [f"{function.__module__}:{function.__qualname__}", *arguments]


def _message(error: BaseException) -> str:
    return printable(one_line(f"{type(error).__name__}: {error}"))


def _read(
    stream: int,
    deadline: float,
    *,
    until: bytes = b"",
    watched: tuple[int, ...] = (),
    most: int = MAX_ANSWER_BYTES,
) -> bytes | None:
    """Return what arrives on a file descriptor, or `None` if it is not complete in time.

    Args:
        stream: The file descriptor.
        deadline: The time limit on the monotonic clock, in seconds.
        until: The bytes that end the content. By default the content ends when the stream closes, or at `most`.
        watched: Other file descriptors; as soon as one of them is readable, this process ends.
        most: Bytes that are read if nothing else ends the content.
    """
    content = bytearray()
    while not content.endswith(until) if until else len(content) < most:
        readable, _, _ = select.select([stream, *watched], [], [], max(deadline - time.monotonic(), 0))
        if set(watched) & set(readable):
            raise SystemExit
        if not readable:
            return None
        part = os.read(stream, MAX_ANSWER_BYTES)
        if not part:
            break
        content += part
    return bytes(content)


# What follows runs in the prepared process and in its children.


def serve() -> None:
    """Answer requests on standard input, one line of JSON each, until it closes.

    The first request prepares this process. It must have one thread when it forks: a lock that another thread holds
    would stay locked in the child forever.
    """
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)  # what anything prints goes to standard error
    for number, line in enumerate(sys.stdin):
        request = json.loads(line)
        if number == 0:
            _make(request["call"])
            gc.collect()
            gc.freeze()  # children share this memory; without it a collection in a child would copy it
            answer: dict[str, Any] = {"threads": _threads()}
        else:
            if "prepare" in request:
                _make(request["prepare"])
            call = functools.partial(_within_limits, request)
            answer = in_child(call, request["seconds"], watched=(0,), answer_bytes=request["answer_bytes"])
        print(json.dumps(answer), file=answers, flush=True)


def _make(call: list[Any]) -> Any:
    """Make a call that `_named` describes."""
    module, _, function = call[0].partition(":")
    return getattr(importlib.import_module(module), function)(*call[1:])


def _threads() -> int | None:
    """Return how many threads this process has; `None` where the system does not show it."""
    tasks = Path("/proc/self/task")
    return len(list(tasks.iterdir())) if tasks.is_dir() else None


def in_child(
    function: Callable[[int], Any],
    seconds: float,
    watched: tuple[int, ...] = (),
    answer_bytes: int = MAX_ANSWER_BYTES,
) -> dict[str, Any]:
    """Fork this process, call a function in the child, and return its answer: `{"value": ...}` or `{"error": ...}`.

    Args:
        function: Returns what JSON can hold. Its argument is the file descriptor that the child must leave open.
        seconds: Time limit.
        watched: File descriptors that are quiet while the main program waits for this answer. If one of them becomes
            readable, the main program has ended; then the child and this process end too.
        answer_bytes: A longer answer is an error.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _be_child(function, writer)
    os.close(writer)
    try:
        answer = _read(reader, time.monotonic() + seconds, watched=watched, most=answer_bytes)
    finally:
        os.close(reader)
        os.kill(child, signal.SIGKILL)  # its id is still its own, because nobody has waited for it yet
        _, status = os.waitpid(child, 0)
    if answer is None or (os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGALRM)):
        return {"error": f"it took longer than {seconds:g} s"}
    if len(answer) >= answer_bytes:
        return {"error": f"its answer is longer than {answer_bytes // 1024} KiB"}
    try:
        value: dict[str, Any] = json.loads(answer)
    except ValueError:
        cause = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else "its answer is not complete"
        return {"error": f"it crashed its process ({cause})"}
    return value


def _be_child(function: Callable[[int], Any], writer: int) -> NoReturn:
    """Call a function, write the answer, and end."""
    try:
        answer = {"value": function(writer)}
    except MemoryError:
        answer = {"error": "it needs more memory than it may use"}
    except BaseException as error:
        answer = {"error": _message(error)}
    try:
        with os.fdopen(writer, "wb", closefd=False) as file:
            file.write(json.dumps(answer).encode("ascii"))
    finally:
        os._exit(0)


def _within_limits(request: dict[str, Any], writer: int) -> Any:
    """Make the call of a request with limits and without files or streams of the prepared process."""
    _set_limits(request["seconds"], request["megabytes"])
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    os.closerange(3, writer)  # among them the pipe to the main program
    os.closerange(writer + 1, writer + 64)
    return _make(request["call"])


def _set_limits(seconds: float, megabytes: int) -> None:
    """Limit this process: memory beyond what it has, time, no written files, no core dumps."""
    import resource  # Windows has no such module

    limits = {resource.RLIMIT_CPU: int(seconds) + 1, resource.RLIMIT_FSIZE: 0, resource.RLIMIT_CORE: 0}
    if _STATM.exists():  # on other systems the limit on addresses has no effect or another meaning
        pages = int(_STATM.read_text(encoding="ascii").split()[0])
        limits[resource.RLIMIT_AS] = pages * resource.getpagesize() + megabytes * 2**20
    for kind, limit in limits.items():
        _, hard = resource.getrlimit(kind)
        allowed = limit if hard == resource.RLIM_INFINITY else min(limit, hard)  # a stricter limit stays in force
        resource.setrlimit(kind, (allowed, allowed))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(int(seconds) + 2)  # in case the prepared process is gone
