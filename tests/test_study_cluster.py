"""Many runs on Dask lose nothing: a worker is killed, a study interrupted, a cluster joined."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import dask.distributed
import pandas as pd
import psutil
import pytest

from autoscaler_env.cli.main import main
from autoscaler_env.paths import Folders
from autoscaler_env.study.benchmark import Exam
from autoscaler_env.study.cluster import RunsFailed, Store, complete, connect, effort, perform
from autoscaler_env.study.plan import trainings
from autoscaler_env.traffic.patterns import PATTERNS
from autoscaler_env.training.config import TrainingConfig

SAME_PATH = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
PATIENCE = 240  # seconds, for a machine that is busy
EXAM = Exam(("STEADY", "SPIKE"), 5)
RUNS = [TrainingConfig("q-learning", "STEADY", episodes=8_000, seed=seed) for seed in range(4)]  # a second or so each


def wait_for(condition):
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
    return found


def results_below(root):
    return lambda: sorted((root / "build" / "study" / "results").glob("*_mixed_*.json"))


@pytest.fixture
def processes():
    """Return a list of processes to end with the test, with all that they started."""
    started = []
    yield started
    for process in started:
        if process.poll() is None:
            for child in psutil.Process(process.pid).children(recursive=True):
                child.kill()
            process.kill()
        process.communicate()


@pytest.mark.slow
def test_killed_worker_s_run_is_done_again_and_nothing_twice(tmp_path):
    store = Store(Folders(tmp_path))
    done = lambda: list((store.root / "results").glob("q_learning_steady_*.json"))  # noqa: E731
    killed = []

    def kill_a_worker():
        wait_for(done)
        workers = [child for child in psutil.Process().children(recursive=True) if "spawn_main" in str(child.cmdline())]
        workers[0].send_signal(signal.SIGKILL)
        killed.append(len(done()))

    killer = threading.Thread(target=kill_a_worker)
    killer.start()
    complete({run: [EXAM] for run in RUNS}, store, workers=2)
    killer.join()
    assert killed and killed[0] < len(RUNS), "no worker was killed in the middle"
    assert len(done()) == len(RUNS) and all(store.result_path(run, EXAM).exists() for run in RUNS)
    assert len(list((store.root / "models").glob("*/models/*.pkl"))) == len(RUNS)
    expected = perform(RUNS[-1], [EXAM])
    assert store.result(RUNS[-1], EXAM)["rows"] == expected.rows[0], "a result differs from an undisturbed run's"


@pytest.mark.slow
def test_interrupted_study_goes_on_where_it_was(tmp_path, processes):
    command = ["study", "budgets", "--profile", "quick", "--seeds", "2", "--workers", "1", "--output", str(tmp_path)]
    program = [sys.executable, "-m", "autoscaler_env.cli.main", *command]
    listens = {
        "preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    }  # also where tests run in the background
    study = subprocess.Popen(program, env=SAME_PATH, stderr=subprocess.PIPE, text=True, **listens)
    processes.append(study)
    wait_for(results_below(tmp_path))
    study.send_signal(signal.SIGINT)
    _, complaint = study.communicate(timeout=PATIENCE)
    before = {path: path.stat().st_mtime_ns for path in results_below(tmp_path)()}
    assert study.returncode == 130 and complaint.endswith("autoscaler: interrupted\n")
    assert 1 <= len(before) < 6 and not list((tmp_path / "results").glob("study_*.csv"))

    assert main(command) == 0
    after = {path: path.stat().st_mtime_ns for path in results_below(tmp_path)()}
    assert len(after) == 6 and before.items() <= after.items(), "a run that was done has been done again"
    table = pd.read_csv(tmp_path / "results" / "study_budgets.csv")
    assert len(table) == 6 * len(PATTERNS) and not table.duplicated(["algorithm", "seed", "tested_on"]).any()


@pytest.mark.slow
def test_study_joins_a_scheduler_and_workers_that_are_processes_of_their_own(tmp_path, processes, monkeypatch):
    contact = tmp_path / "scheduler.json"
    common = ["--scheduler-file", str(contact), "--no-dashboard"]
    for program in (["dask_scheduler", "--port", "0"], *(["dask_worker", "--nthreads", "1"],) * 2):
        command = [sys.executable, "-m", f"distributed.cli.{program[0]}", *program[1:], *common]
        processes.append(subprocess.Popen(command, cwd=tmp_path, env=SAME_PATH, **QUIET))
    wait_for(contact.exists)
    address = json.loads(contact.read_text())["address"]

    monkeypatch.setattr(dask.distributed, "LocalCluster", lambda *_, **__: pytest.fail("started a cluster of its own"))
    out = tmp_path / "out"
    options = ["--profile", "quick", "--seeds", "1", "--scheduler", address, "--output", str(out)]
    assert main(["study", "budgets", *options]) == 0
    assert len(pd.read_csv(out / "results" / "study_budgets.csv")) == 3 * len(PATTERNS)
    assert len(list((out / "build" / "study" / "models").glob("*/models/*.json"))) == 3


@pytest.mark.slow
def test_failed_runs_are_told_and_the_others_kept(tmp_path):
    store = Store(Folders(tmp_path))
    good, bad = TrainingConfig("q-learning", "STEADY", episodes=20), TrainingConfig("q-learning", "STEADY", episodes=21)
    unheard = Exam(("UNHEARD_OF",), 5)
    with pytest.raises(RunsFailed, match=r"1 of 2 runs failed, the others are kept; .* pattern = 'UNHEARD_OF'"):
        complete({good: [EXAM], bad: [unheard]}, store, workers=1)
    assert store.result_path(good, EXAM).exists() and not store.result_path(bad, unheard).exists()


@pytest.mark.slow
def test_workers_with_several_threads_are_refused():
    with (
        dask.distributed.LocalCluster(n_workers=1, threads_per_worker=3, dashboard_address=":0") as cluster,
        pytest.raises(ValueError, match=r"3 threads.*--nthreads 1"),
        connect(scheduler=cluster.scheduler_address),
    ):
        pass


def test_study_that_is_done_starts_no_cluster(tmp_path, monkeypatch):
    store = Store(Folders(tmp_path))
    run = TrainingConfig("q-learning", "STEADY", episodes=20)
    store.keep(run, [EXAM], perform(run, [EXAM]))
    monkeypatch.setattr(dask.distributed, "LocalCluster", lambda *_, **__: pytest.fail("started a cluster"))
    complete({run: [EXAM]}, store)


def test_number_of_workers_is_checked():
    with pytest.raises(ValueError, match="workers = 0: must be at least 1"), connect(workers=0):
        pass


def test_longer_trainings_count_for_more_time():
    short, long = trainings("budgets")[2], trainings("long")[0]
    assert effort(long) > 5 * effort(short) > effort(long, trained=True) > 0
