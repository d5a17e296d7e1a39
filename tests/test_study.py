"""What a study consists of, one run of it, the store of its results, and its tables; no cluster here."""

import dataclasses
import json
import math
import shutil
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from autoscaler_env import compiled
from autoscaler_env.evaluation.calibration import Calibration
from autoscaler_env.evaluation.rivals import TUNED, tuned_rule
from autoscaler_env.paths import Folders, project_root
from autoscaler_env.policies.oracle import Optimum
from autoscaler_env.policies.rules import Static
from autoscaler_env.service import Service
from autoscaler_env.study import cluster
from autoscaler_env.study.benchmark import Benchmark, measure_baselines, measure_on_traces, trace_benchmark, tuned_rules
from autoscaler_env.study.cluster import ResultStore, perform
from autoscaler_env.study.plan import NAMES, STUDIES, WIDE, trainings
from autoscaler_env.study.run import curves_table, define_study, study_table
from autoscaler_env.traffic.patterns import MIXED, PATTERNS
from autoscaler_env.training.config import TrainingConfig

RUN = TrainingConfig("q-learning", "STEADY", episodes=20)
BENCHMARK = Benchmark(("STEADY", "SPIKE"), 5)
SETTINGS = dict.fromkeys((MIXED, *PATTERNS), Calibration(1.0, 1.0, 140.0))


@pytest.fixture(scope="module")
def result():
    """Return the result of one small run."""
    return perform(RUN, [BENCHMARK])


@pytest.fixture
def store(tmp_path, result):
    """Return a store that holds that run."""
    store = ResultStore(Folders(tmp_path))
    store.save(RUN, [BENCHMARK], result)
    return store


@pytest.fixture
def change_code(monkeypatch):
    """Return a function that makes the package see other code than it was imported from."""

    def change(fingerprint="another code"):
        for name, module in list(sys.modules.items()):
            if name.startswith("autoscaler_env") and "code_fingerprint" in vars(module):
                monkeypatch.setattr(module, "code_fingerprint", lambda: fingerprint)

    return change


def write_trace(path, level, days=5):
    requests = np.random.default_rng(0).poisson(level, 288 * days)
    path.write_text("step,requests\n" + "\n".join(f"{step},{count}" for step, count in enumerate(requests)) + "\n")


# --- the plan --------------------------------------------------------------------------------------------------------


def test_ten_seeds_of_each_learner_on_mixed_and_five_on_each_pattern():
    seeds = Counter((run.algorithm, run.pattern) for run in trainings("budgets"))
    assert seeds == {(learner, MIXED): 10 for learner in ("q-learning", "dqn", "ppo")}
    assert Counter((run.algorithm, run.pattern) for run in trainings("patterns")) == {
        (learner, pattern): 5 for learner in ("q-learning", "dqn", "ppo") for pattern in PATTERNS
    }
    assert len(trainings("long")) == 10 and len(trainings("wide")) >= 3


def test_no_two_runs_of_the_studies_are_the_same():
    runs = [run for name in STUDIES for run in trainings(name)]
    assert len({run.fingerprint() for run in runs}) == len(runs)


def test_quick_runs_have_tiny_budgets_and_differ_too():
    runs = [run for name in STUDIES for run in trainings(name, 1, quick=True)]
    assert max(run.total_timesteps for run in runs) <= 40 * 288 and len({run.fingerprint() for run in runs}) == len(
        runs
    )


def test_wide_fleet_changes_contain_those_of_the_reference():
    assert set(Service().fleet_changes) < set(WIDE.fleet_changes)
    assert dataclasses.replace(WIDE, fleet_changes=Service().fleet_changes) == Service()


def test_baselines_with_larger_fleet_changes_are_made_without_a_training():
    alone, trained = define_study("wide_baselines"), define_study("wide")
    assert not alone.runs and trained.runs
    assert (alone.service, alone.benchmark, alone.baselines) == (WIDE, trained.benchmark, trained.baselines)


def test_unknown_study_and_no_seeds_are_refused():
    for name, seeds, message in (("budget", None, "study = 'budget': must be one of"), ("long", 0, "seeds = 0")):
        with pytest.raises(ValueError, match=message):
            trainings(name, seeds)
    with pytest.raises(ValueError, match=r"study = 'opponents': must be one of .*baselines.* all"):
        define_study("opponents")


def test_every_name_is_a_study(tmp_path):
    write_trace(tmp_path / "trace.csv", 2_000)
    assert all(define_study(name, 1, traces=tmp_path).benchmark.episodes == 2_000 for name in NAMES)
    with pytest.raises(ValueError, match="--traces FOLDER"):
        define_study("traces")


# --- one run ---------------------------------------------------------------------------------------------------------


def test_run_is_measured_on_every_workload_of_every_benchmark(result):
    (rows,) = result.rows
    assert [(row["tested_on"], row["days"]) for row in rows] == [("STEADY", 5), ("SPIKE", 5)]
    assert math.isclose(rows[0]["cost"], rows[0]["instance_cost"] + rows[0]["late_cost"] + rows[0]["drop_cost"])


def test_trained_model_is_measured_again_without_training(result, monkeypatch):
    monkeypatch.setattr(cluster, "train", lambda *_, **__: pytest.fail("trained again"))
    assert perform(RUN, [BENCHMARK], result.model) == result


def test_worker_with_other_code_than_the_client_refuses_a_run(result):
    with pytest.raises(ValueError, match="another version of autoscaler_env than the client"):
        perform(RUN, [BENCHMARK], result.model, "another code")


# --- the store -------------------------------------------------------------------------------------------------------


def test_names_tell_runs_apart_by_all_their_settings(store):
    runs = [
        TrainingConfig("ppo", "SPIKE", timesteps=4_096, seed=3),
        TrainingConfig("ppo", "SPIKE", timesteps=4_096, seed=4),
        TrainingConfig("ppo", "SPIKE", timesteps=4_096, seed=3, discount=0.5),
        TrainingConfig("ppo", "SPIKE", timesteps=4_096, seed=3, service=Service(boot_steps=2)),
    ]
    names = {store.result_path(run, BENCHMARK).name for run in runs}
    assert len(names) == 4 and all(name.startswith("ppo_spike_") for name in names)


def test_saved_run_is_found_again_and_another_is_not(store, result):
    again = ResultStore(Folders(store.root.parent.parent))
    assert again.model(RUN).content == result.model.content and again.result_path(RUN, BENCHMARK).exists()
    assert again.result(RUN, BENCHMARK)["rows"] == result.rows[0]
    for other in (dataclasses.replace(RUN, seed=1), TrainingConfig("q-learning", "STEADY", episodes=21)):
        assert again.model(other) is None and not again.result_path(other, BENCHMARK).exists()


def test_changed_code_makes_saved_models_results_and_optimum_stale(store, change_code, monkeypatch):
    """An edited simulator must not keep the numbers of the old one."""
    store.optimum(BENCHMARK, Service())
    change_code()
    assert store.model(RUN) is None and not store.result_path(RUN, BENCHMARK).exists()
    monkeypatch.setattr(Benchmark, "measure", lambda *_: [{"measured": "again"}])
    assert store.optimum(BENCHMARK, Service()) == [{"measured": "again"}]


def test_edited_simulator_is_other_code(tmp_path, monkeypatch):
    before = compiled.code_fingerprint()
    package = shutil.copytree(Path(compiled.__file__).parent, tmp_path / "package")
    monkeypatch.setattr(compiled, "__file__", str(package / "compiled.py"))
    assert compiled.code_fingerprint.__wrapped__() == before
    for name in ("dynamics.py", "traffic/patterns.py", "policies/rules.py"):
        with (package / name).open("a") as file:
            file.write("# edited\n")
        after = compiled.code_fingerprint.__wrapped__()
        assert after != before, name
        before = after


def test_model_whose_file_is_damaged_is_not_used(store):
    (path,) = (store.root / "models").glob("*/models/*.pkl")
    path.write_bytes(path.read_bytes()[:-1])
    assert store.model(RUN) is None


def test_result_is_written_after_the_model_it_is_of(tmp_path, result, monkeypatch):
    store = ResultStore(Folders(tmp_path))
    monkeypatch.setattr(ResultStore, "result_path", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        store.save(RUN, [BENCHMARK], result)
    monkeypatch.undo()
    assert not store.result_path(RUN, BENCHMARK).exists(), "a run that was stopped counts as done"
    assert ResultStore(Folders(tmp_path)).model(RUN).content == result.model.content, "its training is lost"


def test_another_benchmark_of_a_run_has_a_result_of_its_own(store):
    assert not store.result_path(RUN, Benchmark(("STEADY", "SPIKE"), 6)).exists()
    assert not store.result_path(RUN, Benchmark(("STEADY",), 5)).exists()


def test_optimum_is_computed_once(store, monkeypatch):
    first = store.optimum(BENCHMARK, Service())
    monkeypatch.setattr(cluster, "Optimum", lambda *_: pytest.fail("computed again"))
    assert store.optimum(BENCHMARK, Service()) == first


# --- traces ----------------------------------------------------------------------------------------------------------


def test_traces_of_small_counts_are_smoothed_and_all_scaled_to_the_peak(tmp_path):
    write_trace(tmp_path / "large.csv", 2_000)
    write_trace(tmp_path / "small.csv", 20)
    benchmark, smoothing = trace_benchmark(tmp_path, Service())
    assert smoothing == {"large": 1, "small": 6}
    for trace in benchmark.workloads:
        everything = np.vstack([trace.earlier, trace.later])
        assert np.percentile(everything, 99) == pytest.approx(Service().peak_arrivals, rel=0.02)


def test_trace_that_is_too_short_is_left_out_with_a_message(tmp_path, capsys):
    write_trace(tmp_path / "long.csv", 2_000)
    write_trace(tmp_path / "short.csv", 2_000, days=1)
    benchmark, _ = trace_benchmark(tmp_path, Service())
    assert [trace.name for trace in benchmark.workloads] == ["long"]
    assert "short.csv" in capsys.readouterr().err


def test_folder_without_traces_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no trace there"):
        trace_benchmark(tmp_path, Service())
    with pytest.raises(ValueError, match="no such folder"):
        trace_benchmark(tmp_path / "none", Service())


def test_benchmark_knows_the_days_of_a_trace_not_only_its_name(tmp_path):
    identities = []
    for level in (2_000, 2_100):
        write_trace(tmp_path / "trace.csv", level)
        identities.append(trace_benchmark(tmp_path, Service())[0].identity())
    assert identities[0] != identities[1]


def test_models_are_measured_on_traces_beside_all_baselines_and_a_forecast(tmp_path):
    write_trace(tmp_path / "busy.csv", 2_000, days=6)
    model = Static()
    model.name = "my_model"
    table = measure_on_traces(tmp_path, [model], SETTINGS).xs("busy", level="trace")
    assert {"my_model", "forecast", "optimum", "hpa-demand", "target-tracking-mixed"} < set(table.index)
    assert table.loc["my_model", ["days", "seeds"]].tolist() == [3, 1] and table["seeds"].sum() == 1
    assert table.loc["my_model", "cost"] == table.loc["static", "cost"]
    assert table["regret"].min() == table.loc["optimum", "regret"] == 0


# --- tables ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def baselines():
    """Return the table of baselines on the same few days."""
    optimum = BENCHMARK.measure(Optimum(), Service())
    return measure_baselines(BENCHMARK, Service(), SETTINGS, optimum, tuned_rules(Service(), Folders.course()))


def test_tuned_rules_are_measured_with_one_setting_and_with_that_of_each_pattern(baselines):
    costs = baselines.set_index(["policy", "tested_on"])["cost"]
    for rule in TUNED:
        for name, pattern in ((f"{rule}-mixed", MIXED), (f"{rule}-per-pattern", "SPIKE")):
            policy = tuned_rule(rule, pattern, Folders.course())
            (row,) = Benchmark(("SPIKE",), 5).measure(policy, Service())
            assert costs[name, "SPIKE"] == row["cost"]


def test_rules_are_calibrated_where_no_table_has_their_settings(tmp_path, capsys):
    small = Service(steps_per_episode=12, max_instances=30)
    for service in (Service(), small):
        found = tuned_rules(service, Folders(tmp_path), days=1)
        assert set(found) == set(TUNED) and set(found["kpa"]) == {MIXED, *PATTERNS}
    assert capsys.readouterr().err.count("Calibrating threshold, hpa-cpu, hpa-demand, kpa.") == 2


def test_baselines_are_measured_on_every_workload_and_none_beats_the_optimum(baselines):
    assert set(baselines["policy"]) >= {"random", "static", "threshold", "target-tracking-mixed", "optimum"}
    assert (baselines.groupby("policy")["tested_on"].nunique() == 2).all()
    assert (baselines["regret"] >= -1e-9).all()
    (static,) = Benchmark(("SPIKE",), 5).measure(Static(), Service())
    row = baselines[(baselines["policy"] == "static") & (baselines["tested_on"] == "SPIKE")].iloc[0]
    assert row["cost"] == static["cost"]


def test_table_has_a_row_per_run_and_workload_beside_baselines_on_the_same_days(store, baselines):
    table = study_table([store.result(RUN, BENCHMARK)], baselines)
    assert table["tested_on"].tolist() == ["STEADY", "SPIKE"]
    row = table[["algorithm", "trained_on", "timesteps", "seed"]].iloc[0]
    assert row.tolist() == ["q-learning", "STEADY", 20 * 288, 0]
    spike = table.iloc[1]
    costs = baselines[baselines["tested_on"] == "SPIKE"].set_index("policy")["cost"]
    assert spike["one_setting_cost"] == costs["target-tracking-mixed"] and spike["optimum_cost"] == costs["optimum"]
    assert math.isclose(spike["regret"], spike["cost"] - costs["optimum"]) and spike["regret"] > 0


def test_columns_of_the_committed_tables_are_those_that_a_study_writes(store, baselines):
    """The headings of results/study_*.csv are an interface: notebooks and documents read them."""
    results = Folders(project_root()).results
    tables = {"budgets": study_table([store.result(RUN, BENCHMARK)], baselines), "baselines": baselines}
    tables["budgets_curves"] = curves_table([store.result(RUN, BENCHMARK)])
    for name, table in tables.items():
        assert list(table) == list(pd.read_csv(results / f"study_{name}.csv", nrows=1)), name


def test_curves_end_at_the_budget(store):
    curves = curves_table([store.result(RUN, BENCHMARK)])
    assert curves["at"].iloc[0] == 0 and curves["at"].iloc[-1] == 20 * 288
    assert set(curves["seed"]) == {0}


def test_result_on_disk_is_plain_json(store):
    content = json.loads(store.result_path(RUN, BENCHMARK).read_text())
    assert pd.DataFrame(content["rows"])["cost"].gt(0).all()
    assert content["description"]["preset"]["episodes"] == 20
