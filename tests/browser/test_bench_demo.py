"""The benchmark of the control room runs, and measures what it says."""

import subprocess
import sys

import pandas as pd
import pytest

from autoscaler_env.paths import project_root


@pytest.mark.browser
def test_the_benchmark_sees_steps_pass_in_both_places(browser, tmp_path):
    script = project_root() / "benchmarks" / "bench_demo.py"
    command = [sys.executable, str(script), "--quick", "--output", str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    table = pd.read_csv(tmp_path / "results" / "benchmark_demo.csv")
    assert table["place"].tolist() == ["page of make demo", "JupyterLab"]
    assert (table[["steps_per_s", "pictures_per_s", "median_lag_ms"]] > 0).all(axis=None)
    assert "asked_steps_per_s" in ran.stdout
