"""A call in a limited child cannot use more than its limits, stop other calls, or leave a process behind."""

import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
import uuid
from operator import mul
from pathlib import Path

import pytest

from autoscaler_env.policies.q_learning import QTable
from autoscaler_env.storage.models import save_q_table
from autoscaler_env.verification import workers as module
from autoscaler_env.verification.workers import WorkerError, Workers, missing_safeguards

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks at /proc")

PATIENT = 60
"""Seconds for a call that ends by itself: a machine that runs tests may be busy."""


@pytest.fixture(scope="module")
def workers():
    """Return the processes that all tests share."""
    with Workers(networks=False) as shared:
        shared.start()
        yield shared


def failure(workers, function, *arguments, seconds=PATIENT, **limits):
    """Return the message of a call that fails, and check that the next call works."""
    with pytest.raises(WorkerError) as caught:
        workers.call(function, *arguments, seconds=seconds, **limits)
    assert workers.call(mul, 6, 7, seconds=PATIENT) == 42
    assert str(caught.value).isprintable()
    return str(caught.value)


def test_a_copy_has_processes_of_its_own(workers):
    workers.start()
    with pickle.loads(pickle.dumps(workers)) as copy:
        assert copy.pid is None
        assert copy.call(mul, 6, 7, seconds=PATIENT) == 42
        assert copy.pid != workers.pid


def test_a_call_returns_a_value_or_the_error_of_its_function(workers):
    assert workers.call(mul, [1, "a"], 2, seconds=PATIENT) == [1, "a", 1, "a"]
    assert failure(workers, mul, "a", "b") == "TypeError: can't multiply sequence by non-int of type 'str'"


def test_a_crash_a_time_limit_a_memory_limit_and_a_long_answer_are_one_line_each(workers):
    assert failure(workers, os.abort) == "it crashed its process (SIGABRT)"
    assert failure(workers, os._exit, 0) == "it crashed its process (its answer is not complete)"
    assert failure(workers, time.sleep, 600, seconds=0.2) == "it took longer than 0.2 s"
    assert failure(workers, mul, "a", 200 * 2**20, megabytes=100) == "it needs more memory than it may use"
    assert failure(workers, mul, "a", module.MAX_ANSWER_BYTES * 3) == "its answer is longer than 64 KiB"


def test_a_child_writes_no_files_and_has_no_streams(workers, tmp_path):
    (tmp_path / "source").write_text("text")
    assert "File too large" in failure(workers, shutil.copyfile, str(tmp_path / "source"), str(tmp_path / "copy"))
    assert [workers.call(os.readlink, f"/proc/self/fd/{stream}", seconds=PATIENT) for stream in range(3)] == [
        "/dev/null"
    ] * 3


def test_the_prepared_process_has_one_thread_when_it_forks_and_serves_all_calls(workers):
    assert workers.threads == 1
    pid = workers.pid
    assert {workers.call(os.getppid, seconds=PATIENT) for _ in range(30)} == {pid} == {workers.pid}


def test_a_prepared_process_that_dies_costs_one_call(workers):
    os.killpg(workers.pid, signal.SIGKILL)
    assert failure(workers, os.getpid) == "the process that reads model files ended"


SCRIPT = """
print("main")
import os
from autoscaler_env.verification.workers import Workers
with Workers(networks=False) as workers:
    for _ in range(2):
        workers.call(os.getpid, seconds=60)
print("done")
"""


def test_neither_the_main_script_nor_modules_in_the_working_directory_are_imported(tmp_path):
    """A script without a guard for `__main__` runs once, wherever it lies and however it is started."""
    (tmp_path / "script.py").write_text(SCRIPT)
    files = tmp_path / "files"
    files.mkdir()
    for name in ("numpy", "torch", "json", "socket", "tqdm", "multiprocessing"):
        (files / f"{name}.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w')")
    for arguments in (["-P", "-c", SCRIPT], [str(tmp_path / "script.py")]):
        done = subprocess.run([sys.executable, *arguments], cwd=files, capture_output=True, text=True, check=False)
        assert (done.stdout, done.stderr) == ("main\ndone\n", "")
    assert not (tmp_path / "imported").exists()


def test_where_processes_cannot_be_forked_or_memory_cannot_be_limited_that_is_reported(monkeypatch, tmp_path):
    """As on macOS, then as on Windows."""
    monkeypatch.setattr(module, "_STATM", tmp_path / "missing")
    assert "only the time of each check is limited" in missing_safeguards()[0]
    monkeypatch.setattr(module, "can_fork", lambda: False)
    assert "cannot fork limited processes" in missing_safeguards()[0]
    with Workers() as workers:
        assert workers.call(os.getpid) == os.getpid()
        with pytest.raises(WorkerError, match="TypeError"):
            workers.call(mul, "a", "b")


def processes_with(mark):
    """Return the ids of the processes that have a mark in their environment."""
    marked = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark.encode() in path.read_bytes():
                marked.append(int(path.parent.name))
        except OSError:  # it has ended, or belongs to another user
            continue
    return marked


@pytest.mark.slow
@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, -15), (signal.SIGKILL, -9)])
def test_an_interrupted_check_leaves_no_processes(sent, status, tmp_path):
    for number in range(300):
        save_q_table(QTable.zeros(), tmp_path / f"{number}.pkl")
    mark, deadline = uuid.uuid4().hex, time.monotonic() + 300
    command = [sys.executable, "-u", "-m", "autoscaler_env.cli.main", "verify", str(tmp_path), "--seconds", "60"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | {"MARK": mark}
    ) as run:
        assert run.stdout.readline().startswith(b"poor    0.pkl")
        assert len(processes_with(mark)) >= 2
        run.send_signal(sent)
        assert run.wait(300) == status
    while processes_with(mark) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not processes_with(mark)
