"""Execute submissions on the workers of a Dask cluster, which need this project and no shared disk.

A worker gets what was found in a submission, and returns what became of it; both are plain data. Dask repeats a
submission whose worker died. Answers, reports and secret files stay with the grader.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import secrets
import shutil
import tempfile
import threading
from asyncio import CancelledError
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from autoscaler_env.cluster import RETRIES, connect, worker_folder
from autoscaler_env.compiled import package_fingerprint
from autoscaler_env.grading.answer_key import GraderError
from autoscaler_env.grading.execution import Execution, Executor, Settings
from autoscaler_env.grading.sandbox import Sandbox
from autoscaler_env.grading.submission import Submission
from autoscaler_env.paths import Folders
from autoscaler_env.text import one_line, printable
from autoscaler_env.verification.workers import Workers

if TYPE_CHECKING:
    from dask.distributed import Client, Future

IDLE_SECONDS = 60
"""A worker that has nothing to execute for this time ends the processes that it keeps ready."""

_CANCEL_SECONDS = 0.5
"""Time between two looks whether the grading was cancelled."""


@dataclass(frozen=True)
class _Shared:
    """What all submissions of a grading have in common, with the files that it names."""

    settings: Settings
    sandbox: Sandbox
    workspace: dict[str, bytes]
    """By path."""
    models: dict[str, bytes]
    """By path."""
    installed: str
    """The fingerprint of the client's project."""
    id: str
    """Different for each grading."""


@functools.cache
def installed() -> str:
    """Return sixteen characters that identify the package and the course's models and results on this machine."""
    course = Folders.course()
    digest = hashlib.sha256(package_fingerprint().encode())
    for folder in (course.models, course.results):
        for path in sorted(path for path in folder.glob("*.*") if path.is_file()):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


class RemoteExecutor:
    """Executes submissions on a cluster. Use it as a context manager.

    Args:
        scheduler: Address of a running Dask scheduler.
        sandbox: The sandbox that notebooks run in, the same on each worker.
        readers: Processes on this machine that read what was handed in.

    Raises:
        ValueError: Dask is not installed, or the cluster has no worker, or one with several threads.
    """

    def __init__(self, scheduler: str, sandbox: Sandbox, readers: int) -> None:
        self._sandbox = sandbox
        self._stack = contextlib.ExitStack()
        self._client: Client = self._stack.enter_context(connect(scheduler=scheduler))
        self.count = 2 * max(len(self._client.nthreads()), 1)
        """Submissions at the same time: one for each worker, and one that waits for it."""
        self._readers = threading.Semaphore(readers)
        self._idle_readers = [self._stack.enter_context(Workers()) for _ in range(readers)]
        self._lock = threading.Lock()
        self._shared: Future[_Shared] | None = None
        self._cancelled = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    def cancel(self) -> None:
        """Stop waiting for workers, for good; a worker ends what it began, and nobody reads it."""
        self._cancelled.set()
        for reader in list(self._idle_readers):
            reader.cancel()

    @contextlib.contextmanager
    def reader(self) -> Iterator[Workers]:
        """Lend a process of this machine that reads what was handed in within limits."""
        with self._readers:
            reader = self._idle_readers.pop()
            try:
                yield reader
            finally:
                self._idle_readers.append(reader)

    def execute(self, submission: Submission, settings: Settings) -> Execution:
        """Have a worker execute a submission; see `Executor.execute`.

        Raises:
            GraderError: The worker has a fault, or the cluster is lost.
        """
        folders = {path.parent for path in submission.models.values()}
        files = {path.name: path.read_bytes() for folder in folders for path in folder.iterdir() if path.is_file()}
        try:
            future = self._client.submit(perform, self._share(settings), submission, files, pure=False, retries=RETRIES)
            ended = threading.Event()
            future.add_done_callback(lambda _: ended.set())
            while not ended.wait(_CANCEL_SECONDS):
                if self._cancelled.is_set():
                    raise GraderError("it was cancelled")
            execution: Execution = future.result()
            return execution
        except GraderError:
            raise
        except (Exception, CancelledError) as error:
            reason = printable(one_line(f"{type(error).__name__}: {error}"))
            raise GraderError(f"{submission.name}: on the cluster: {reason}") from error

    def _share(self, settings: Settings) -> Future[_Shared]:
        """Return what all submissions have in common, on the cluster; it is sent once, and to each worker once."""
        with self._lock:
            if self._shared is None:
                files = _contents(settings.workspace), _contents(settings.models)
                shared = _Shared(settings, self._sandbox, *files, installed(), secrets.token_hex(8))
                # A task and no scattered data: where its worker dies, Dask makes it again.
                self._shared = self._client.submit(_same, shared, pure=False)
            return self._shared


def _same(shared: _Shared) -> _Shared:
    return shared


def _contents(folder: Path | None) -> dict[str, bytes]:
    """Return the files below a folder by path."""
    if folder is None:
        return {}
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _write(contents: dict[str, bytes], folder: Path) -> None:
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


# What follows runs on a worker.


class _Ready:
    """The processes that a worker keeps ready for the grading that it works for.

    Args:
        shared: What the submissions of the grading have in common.
    """

    def __init__(self, shared: _Shared) -> None:
        if shared.installed != installed():
            raise GraderError("a worker has another version of the project than the grader; install the same on both")
        self.id = shared.id
        self.folder = Path(tempfile.mkdtemp(prefix="grading-", dir=worker_folder()))
        self.folder.chmod(0o711)  # a kernel with another user id must reach the workspace
        workspace, models = self.folder / "workspace", self.folder / "models"
        for folder, contents in ((workspace, shared.workspace), (models, shared.models)):
            folder.mkdir()
            folder.chmod(0o755)
            _write(contents, folder)
        self.settings = replace(shared.settings, workspace=workspace, models=models)
        self.executor = Executor(1, shared.sandbox, shared.settings.rubric.limits)

    def close(self) -> None:
        """End the processes, and remove the files."""
        with self.executor:
            pass
        shutil.rmtree(self.folder, ignore_errors=True)


_lock = threading.Lock()
_ready: _Ready | None = None
_timer: threading.Timer | None = None


def perform(shared: _Shared, submission: Submission, files: dict[str, bytes]) -> Execution:
    """Execute a submission on this worker.

    Args:
        shared: What all submissions of the grading have in common.
        submission: The submission.
        files: Its models and their descriptions, by file name.

    Raises:
        GraderError: This worker has another version of the project, or cannot execute the course's own notebook.
    """
    global _ready, _timer
    with _lock, tempfile.TemporaryDirectory(prefix="submission-", dir=worker_folder()) as copy:
        if _timer is not None:
            _timer.cancel()
        if _ready is not None and _ready.id != shared.id:
            _ready.close()
            _ready = None
        _ready = _ready or _Ready(shared)
        _write(files, Path(copy))
        models = {name: Path(copy, path.name) for name, path in submission.models.items()}
        try:
            return _ready.executor.execute(replace(submission, models=models), _ready.settings)
        finally:
            _timer = threading.Timer(IDLE_SECONDS, _close, [_ready])
            _timer.daemon = True
            _timer.start()


def _close(ready: _Ready) -> None:
    """End the processes of a grading that has nothing to execute."""
    global _ready
    with _lock:
        if _ready is ready:
            ready.close()
            _ready = None
