"""Many runs on Dask lose nothing: a worker is killed, a study interrupted, a running cluster used.

All tests share one cluster, whose scheduler and workers are processes of their own.
"""

import signal
import subprocess
import sys
import threading

import dask.distributed
import pandas as pd
import pytest
from clusters import PATIENCE, SAME_PATH, cluster_workers, end, wait_for

from autoscaler_env.cli.main import main
from autoscaler_env.cluster import connect
from autoscaler_env.paths import Folders
from autoscaler_env.study.benchmark import Benchmark
from autoscaler_env.study.cluster import ResultStore, RunsFailed, complete, effort, perform
from autoscaler_env.study.plan import trainings
from autoscaler_env.traffic.patterns import PATTERNS
from autoscaler_env.training.config import TrainingConfig

BENCHMARK = Benchmark(("STEADY", "SPIKE"), 5)
RUNS = [TrainingConfig("q-learning", "STEADY", episodes=8_000, seed=seed) for seed in range(4)]  # a second or so each


def results_below(root):
    return sorted((root / "build" / "study" / "results").glob("q_learning_*.json"))


@pytest.fixture
def no_local_cluster(monkeypatch):
    """Fail a test that starts a cluster."""
    monkeypatch.setattr(dask.distributed, "LocalCluster", lambda *_, **__: pytest.fail("started a cluster"))


@pytest.mark.slow
def test_run_of_a_killed_worker_is_repeated_and_no_run_is_done_twice(tmp_path, cluster):
    store = ResultStore(Folders(tmp_path))
    killed = []

    def kill_a_worker():
        wait_for(lambda: results_below(tmp_path))
        cluster_workers()[0].send_signal(signal.SIGKILL)
        killed.append(len(results_below(tmp_path)))

    killer = threading.Thread(target=kill_a_worker)
    killer.start()
    complete({run: [BENCHMARK] for run in RUNS}, store, scheduler=cluster)
    killer.join()
    assert killed and killed[0] < len(RUNS), "no worker was killed in the middle"
    assert len(results_below(tmp_path)) == len(RUNS)
    assert all(store.result_path(run, BENCHMARK).exists() for run in RUNS)
    assert len(list((store.root / "models").glob("*/models/*.pkl"))) == len(RUNS)
    expected = perform(RUNS[-1], [BENCHMARK])
    assert store.result(RUNS[-1], BENCHMARK)["rows"] == expected.rows[0], "a result differs from an undisturbed run"


@pytest.mark.slow
def test_interrupted_study_continues_where_it_stopped(tmp_path, cluster, no_local_cluster):
    command = ["study", "budgets", "--profile", "quick", "--seeds", "2", "--output", str(tmp_path)]
    program = [sys.executable, "-m", "autoscaler_env.cli.main", *command, "--workers", "1"]
    listens = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}  # in the background too
    study = subprocess.Popen(program, env=SAME_PATH, stderr=subprocess.PIPE, text=True, **listens)
    try:
        wait_for(lambda: results_below(tmp_path))
        study.send_signal(signal.SIGINT)
        _, message = study.communicate(timeout=PATIENCE)
    finally:
        end(study)
    results = tmp_path / "build" / "study" / "results"
    before = {path: path.stat().st_mtime_ns for path in results.glob("*_mixed_*.json")}
    assert study.returncode == 130 and message.endswith("autoscaler: interrupted\n")
    assert 1 <= len(before) < 6 and not list((tmp_path / "results").glob("study_*.csv"))

    assert main([*command, "--scheduler", cluster]) == 0
    after = {path: path.stat().st_mtime_ns for path in results.glob("*_mixed_*.json")}
    assert len(after) == 6 and before.items() <= after.items(), "a finished run has been repeated"
    assert len(list((tmp_path / "build" / "study" / "models").glob("*/models/*.json"))) == 6
    table = pd.read_csv(tmp_path / "results" / "study_budgets.csv")
    assert len(table) == 6 * len(PATTERNS) and not table.duplicated(["algorithm", "seed", "tested_on"]).any()


@pytest.mark.slow
def test_failed_runs_are_reported_and_the_others_kept(tmp_path, cluster):
    store = ResultStore(Folders(tmp_path))
    good, bad = TrainingConfig("q-learning", "STEADY", episodes=20), TrainingConfig("q-learning", "STEADY", episodes=21)
    unknown = Benchmark(("UNHEARD_OF",), 5)
    with pytest.raises(RunsFailed, match=r"1 of 2 runs failed, the others are kept; .* pattern = 'UNHEARD_OF'"):
        complete({good: [BENCHMARK], bad: [unknown]}, store, scheduler=cluster)
    assert store.result_path(good, BENCHMARK).exists() and not store.result_path(bad, unknown).exists()


def test_workers_with_several_threads_are_refused():
    options = {"processes": False, "dashboard_address": ":0"}
    with (
        dask.distributed.LocalCluster(n_workers=1, threads_per_worker=3, **options) as cluster,
        pytest.raises(ValueError, match=r"3 threads.*--nthreads 1"),
        connect(scheduler=cluster.scheduler_address),
    ):
        pass


def test_finished_study_starts_no_cluster(tmp_path, no_local_cluster):
    store = ResultStore(Folders(tmp_path))
    run = TrainingConfig("q-learning", "STEADY", episodes=20)
    store.save(run, [BENCHMARK], perform(run, [BENCHMARK]))
    complete({run: [BENCHMARK]}, store)


def test_number_of_workers_is_checked():
    with pytest.raises(ValueError, match="workers = 0: must be at least 1"), connect(workers=0):
        pass


def test_longer_trainings_count_for_more_time():
    short, long = trainings("budgets")[2], trainings("long")[0]
    assert effort(long) > 5 * effort(short) > effort(long, trained=True) > 0
