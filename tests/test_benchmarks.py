import subprocess
import sys

import pandas as pd
import pytest

from autoscaler_env.paths import project_root


def run(script, *arguments):
    command = [sys.executable, str(project_root() / "benchmarks" / script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize(("algorithm", "budget"), [("q-learning", 20), ("ppo", 3_072)])
def test_tuning_judges_the_present_preset_first(tmp_path, algorithm, budget):
    ran = run("tune.py", algorithm, "--trials", 2, "--seeds", 1, "--budget", budget, "--output", tmp_path)
    assert ran.returncode == 0, ran.stderr
    (table,) = (tmp_path / "results").glob("tuning_*.csv")
    trials = pd.read_csv(table)
    assert len(trials) == 2 and trials["note"].eq("preset").sum() == 1 and trials["bill"].is_monotonic_increasing


@pytest.mark.slow
def test_speed_benchmark_compares_everything_it_names(tmp_path):
    ran = run("bench_speed.py", "--quick", "--output", tmp_path)
    assert ran.returncode == 0, ran.stderr
    table = pd.read_csv(tmp_path / "results" / "benchmark_speed.csv")
    assert len(table) == 1 + 4 + 2 + 4 and (table["ratio"] > 0).all()


@pytest.mark.slow
def test_study_benchmark_measures_one_worker_and_more(tmp_path):
    ran = run("bench_study.py", "--quick", "--workers", 2, "--output", tmp_path)
    assert ran.returncode == 0, ran.stderr
    table = pd.read_csv(tmp_path / "results" / "benchmark_study.csv")
    assert table["workers"].tolist() == [1, 2] and (table["seconds"] > 0).all() and table["times_faster"].iloc[0] == 1
