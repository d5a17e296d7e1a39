import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from autoscaler_env.evaluation.objective import Objective
from autoscaler_env.paths import project_root


def run(script, *arguments):
    command = [sys.executable, str(project_root() / "benchmarks" / script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_tuning_compares_other_settings_with_the_present_preset(tmp_path):
    for algorithm, budget in (("q-learning", 20), ("ppo", 3_072)):
        ran = run("tune.py", algorithm, "--trials", 2, "--seeds", 1, "--budget", budget, "--output", tmp_path)
        assert ran.returncode == 0, ran.stderr
        (table,) = (tmp_path / "results").glob(f"tuning_{algorithm.replace('-', '_')}_*.csv")
        trials = pd.read_csv(table)
        assert len(trials) == 2 and trials["note"].eq("preset").sum() == 1, algorithm
        assert trials["cost"].is_monotonic_increasing, algorithm


@pytest.mark.slow
def test_speed_benchmark_compares_everything_it_names(tmp_path):
    ran = run("bench_speed.py", "--quick", "--output", tmp_path)
    assert ran.returncode == 0, ran.stderr
    table = pd.read_csv(tmp_path / "results" / "benchmark_speed.csv")
    in_c = 1 if shutil.which("cc") else 0
    assert len(table) == 1 + 4 + in_c + 2 + 4 and (table["ratio"] > 0).all()


def test_the_committed_benchmark_holds_the_speeds_that_were_promised():
    """Ratios of one run: a batch against gymnasium's vectorised CartPole, and the step alone against plain C."""
    table = pd.read_csv(project_root() / "results" / "benchmark_speed.csv").set_index("what")
    assert table.loc["gymnasium.make_vec, 1,024 services, MIXED", "ratio"] >= 5
    assert table.loc["gymnasium.make_vec, 16,384 services, MIXED", "ratio"] >= 3
    assert table.loc["transition function alone, 1,024 services", "ratio"] >= 50 / 90
    assert table.loc["Q-learning, 10,000 episodes", "ours"].max() <= 0.15


@pytest.mark.slow
def test_learning_curves_count_cpu_seconds_at_every_evaluation(tmp_path):
    ran = run("learning_curves.py", "--quick", "--output", tmp_path)
    assert ran.returncode == 0, ran.stderr
    table = pd.read_csv(tmp_path / "results" / "learning_seconds.csv")
    assert table["algorithm"].unique().tolist() == ["q-learning", "dqn", "ppo", "policy-iteration"]
    for _, points in table.groupby("algorithm"):
        assert points["at"].iloc[0] == 0 and points["at"].iloc[-1] == points["timesteps"].iloc[-1]
        assert points["at"].is_monotonic_increasing and points["cpu_seconds"].is_monotonic_increasing
    fitted = table[(table["algorithm"] == "policy-iteration") & (table["at"] == 0)]
    assert fitted["cpu_seconds"].item() > 0.1, "the recogniser is fitted before the first timestep"


@pytest.mark.slow
def test_advice_on_traces_costs_everyone_on_the_days_held_out(tmp_path):
    hours = np.arange(6 * 288) / 12
    requests = np.rint(1_000 * (1 + 0.8 * np.sin(2 * np.pi * hours / 24))).astype(int)
    pd.DataFrame({"step": range(len(requests)), "requests": requests}).to_csv(tmp_path / "daily.csv", index=False)
    (tmp_path / "short.csv").write_text("step,requests\n0,7\n1,8\n")
    ran = run("advise_traces.py", tmp_path, "--seeds", 1, "--quick", "--workers", 1, "--output", tmp_path)
    assert ran.returncode == 0 and "Left out" in ran.stderr, ran.stderr
    table = pd.read_csv(tmp_path / "results" / "advice_traces.csv").set_index("policy")
    assert set(table["trace"]) == {"daily"} and set(table["days"]) == {3} and table["recommended"].sum() == 1
    assert {"today", "target-tracking", "forecast", "q-learning", "dqn", "ppo"} < set(table.index)
    assert table["cost"].idxmin() == "optimum"


@pytest.mark.slow
def test_what_is_trained_on_generated_days_is_compared_with_both_kinds_of_rules(tmp_path):
    hours = np.arange(10 * 288) / 12
    requests = np.rint(1_000 * (1 + 0.8 * np.sin(2 * np.pi * hours / 24)) + 50 * (hours // 24)).astype(int)
    pd.DataFrame({"step": range(len(requests)), "requests": requests}).to_csv(tmp_path / "daily.csv", index=False)
    options = ("--seeds", 2, "--iterations", 1, "--rows", 1, "--output", tmp_path)
    ran = run("generated_traffic.py", tmp_path, *options)
    assert ran.returncode == 0, ran.stderr
    table = pd.read_csv(tmp_path / "results" / "generated_traces.csv").set_index("calibrated_on")
    assert table.index.tolist() == ["first days", "generated days"] and set(table["days"]) == {4}
    assert (table["optimum_cost"] <= table["rule_cost"]).all() and table["cost"].nunique() == 1
    assert table["saved"].to_numpy() == pytest.approx((table["rule_cost"] - table["cost"]).to_numpy(), abs=1e-3)
    assert (table["saved_low"] <= table["saved"]).all() and (table["saved"] <= table["saved_high"]).all()


@pytest.mark.slow
def test_starts_are_compared_within_the_first_days_of_a_trace(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(project_root() / "benchmarks")
    from started_traces import rows_of

    hours = np.arange(9 * 288) / 12
    requests = np.rint(1_000 * (1 + 0.8 * np.sin(2 * np.pi * hours / 24))).astype(int)
    pd.DataFrame({"step": range(len(requests)), "requests": requests}).to_csv(tmp_path / "daily.csv", index=False)
    table = pd.DataFrame(rows_of(tmp_path / "daily.csv", iterations=1))
    assert table["start"].tolist() == [
        "imitated rule",
        "generated traffic",
        "generated traffic alone",
        "the days played",
    ]
    assert set(table["days"]) == {2}, "of nine days five are the first, of which two are held out again"
    assert table["cost"].nunique() >= 2 and (table["optimum_cost"] < table["cost"]).all()
    gap = table["rule_cost"] - table["optimum_cost"]
    assert table["way"].to_numpy() == pytest.approx(((table["rule_cost"] - table["cost"]) / gap).to_numpy(), abs=0.01)


def test_an_objective_on_traces_is_judged_on_the_days_held_out(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(project_root() / "benchmarks")
    from advise_traces import objectives_of

    hours = np.arange(6 * 288) / 12
    requests = np.rint(1_000 * (1 + 0.8 * np.sin(2 * np.pi * hours / 24))).astype(int)
    pd.DataFrame({"step": range(len(requests)), "requests": requests}).to_csv(tmp_path / "daily.csv", index=False)
    table = pd.DataFrame(objectives_of(tmp_path / "daily.csv", Objective(0.99, 60), 1, {})).set_index("policy")
    assert {"today", "fixed", "target-tracking", "forecast"} < set(table.index) and set(table["days"]) == {3}
    assert table["recommended"].sum() == 1 and table.loc["today", "extra"] == 0
    low, high = table["share_low"] >= 0.99, table["share_high"] < 0.99
    assert (table["verdict"] == np.where(low, "kept", np.where(high, "missed", "in doubt"))).all()
    assert (table["verdict"] == "kept").any()
    assert (table["cost"] - table.loc["today", "cost"]).to_numpy() == pytest.approx(table["extra"].to_numpy(), abs=1e-3)


@pytest.mark.slow
def test_study_benchmark_measures_one_worker_and_more(tmp_path):
    ran = run("bench_study.py", "--quick", "--workers", 2, "--output", tmp_path)
    assert ran.returncode == 0, ran.stderr
    table = pd.read_csv(tmp_path / "results" / "benchmark_study.csv")
    assert table["workers"].tolist() == [1, 2] and (table["seconds"] > 0).all() and table["times_faster"].iloc[0] == 1


@pytest.mark.slow
def test_ablations_compare_each_variant_with_the_full_learner_seed_by_seed(tmp_path):
    options = ("--seeds", 2, "--timesteps", 640, "--days", 2, "--output", tmp_path)
    ran = run("ablations_dqn.py", *options)
    assert ran.returncode == 0, ran.stderr
    table = pd.read_csv(tmp_path / "results" / "ablations_dqn.csv").set_index(["setting", "variant"])
    assert len(table) == 7 + 4 and set(table["seeds"]) == {2}
    for setting, rows in table.groupby(level="setting"):
        full = rows.loc[(setting, "full")]
        assert full[["more", "low", "high"]].eq(0).all()
        assert rows["more"].to_numpy() == pytest.approx((rows["cost"] - full["cost"]).to_numpy(), abs=0.01)
