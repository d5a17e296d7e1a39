"""What one run of the study is, what is kept of it, and what the tables say; no cluster here."""

import dataclasses
import json
import math
import shutil
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from autoscaler_env.evaluation.calibration import Calibration
from autoscaler_env.paths import Folders
from autoscaler_env.policies.rules import Static
from autoscaler_env.service import Service
from autoscaler_env.study import cluster as study_runs
from autoscaler_env.study.analysis import curves_table, study_table
from autoscaler_env.study.benchmark import Exam, measure_opponents, play_traces, trace_exam
from autoscaler_env.study.cluster import Store, describe, fingerprint, identity_of, key_of, perform
from autoscaler_env.study.plan import WIDE, trainings
from autoscaler_env.study.run import NAMES, setting
from autoscaler_env.traffic.patterns import MIXED, PATTERNS
from autoscaler_env.training.config import PPO_PRESET, TrainingConfig

RUN = TrainingConfig("q-learning", "STEADY", episodes=20)
EXAM = Exam(("STEADY", "SPIKE"), 5)
SETTINGS = dict.fromkeys((MIXED, *PATTERNS), Calibration(1.0, 1.0, 140.0))


@pytest.fixture(scope="module")
def outcome():
    """Return what one small training leaves."""
    return perform(RUN, [EXAM])


@pytest.fixture
def store(tmp_path, outcome):
    """Return a store that holds that training."""
    store = Store(Folders(tmp_path))
    store.keep(RUN, [EXAM], outcome)
    return store


@pytest.fixture
def no_training(monkeypatch):
    """Fail a test that trains."""
    monkeypatch.setattr(study_runs, "train", lambda *_, **__: pytest.fail("trained again"))


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


def test_no_two_runs_of_the_study_are_the_same():
    runs = [run for name in ("budgets", "long", "patterns", "wide") for run in trainings(name)]
    assert len({key_of(run) for run in runs}) == len(runs)


def test_wide_actions_contain_the_reference_s():
    assert set(Service().fleet_changes) < set(WIDE.fleet_changes)
    assert dataclasses.replace(WIDE, fleet_changes=Service().fleet_changes) == Service()


@pytest.mark.parametrize(("name", "seeds", "message"), [("budget", None, "study = 'budget'"), ("long", 0, "seeds = 0")])
def test_unknown_study_and_no_seeds_are_refused(name, seeds, message):
    with pytest.raises(ValueError, match=message):
        trainings(name, seeds)


def test_every_name_is_a_study(tmp_path):
    write_trace(tmp_path / "trace.csv", 2_000)
    assert all(setting(name, 1, traces=tmp_path).exam.episodes == 2_000 for name in NAMES)
    with pytest.raises(ValueError, match="--traces FOLDER"):
        setting("traces")


# --- one run ---------------------------------------------------------------------------------------------------------


def test_run_is_measured_on_every_workload_of_every_exam(outcome):
    (rows,) = outcome.rows
    assert [(row["tested_on"], row["days"]) for row in rows] == [("STEADY", 5), ("SPIKE", 5)]
    assert math.isclose(rows[0]["cost"], rows[0]["instance_cost"] + rows[0]["late_cost"] + rows[0]["drop_cost"])


def test_model_that_is_there_is_measured_again_without_training(outcome, no_training):
    assert perform(RUN, [EXAM], outcome.model) == outcome


def test_name_tells_runs_apart_by_all_their_settings():
    runs = [
        TrainingConfig("ppo", "SPIKE", timesteps=4_096, seed=3),
        TrainingConfig("ppo", "SPIKE", timesteps=4_096, seed=4),
        TrainingConfig("ppo", "SPIKE", timesteps=4_096, seed=3, discount=0.5),
        TrainingConfig("ppo", "SPIKE", timesteps=4_096, seed=3, service=Service(boot_steps=2)),
    ]
    assert len({key_of(run) for run in runs}) == 4
    assert all(key_of(run).startswith("ppo_spike_") for run in runs)


def test_setting_added_later_counts_with_its_default():
    described = describe(TrainingConfig("ppo"))
    now = identity_of(described)
    preset = {name: value for name, value in described["preset"].items() if name != "normalise_reward"}
    assert PPO_PRESET.normalise_reward is False
    assert identity_of(described | {"preset": preset}) == now
    assert identity_of(described | {"preset": preset | {"normalise_reward": True}}) != now


def test_description_of_other_settings_than_today_s_is_no_run():
    described = describe(TrainingConfig("ppo"))
    assert identity_of(described | {"preset": described["preset"] | {"unheard_of": 1}}) is None
    assert identity_of({"note": "no model"}) is None


# --- the store -------------------------------------------------------------------------------------------------------


def test_model_is_found_by_its_description_whatever_its_folder(store, outcome):
    folder = next((store.root / "models").iterdir())
    shutil.move(folder, folder.with_name("copied from elsewhere"))
    assert Store(Folders(store.root.parent.parent)).model(RUN).content == outcome.model.content


def test_model_of_another_run_is_not_taken(store):
    assert store.model(dataclasses.replace(RUN, seed=1)) is None
    assert store.model(dataclasses.replace(RUN, episodes=21)) is None


def test_model_whose_file_is_damaged_is_not_taken(store):
    (file,) = (store.root / "models").glob("*/models/*.pkl")
    file.write_bytes(file.read_bytes()[:-1])
    assert store.model(RUN) is None


def test_result_is_written_after_the_model_it_is_of(tmp_path, outcome, monkeypatch):
    store = Store(Folders(tmp_path))
    monkeypatch.setattr(Store, "result_path", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        store.keep(RUN, [EXAM], outcome)
    monkeypatch.undo()
    assert not store.result_path(RUN, EXAM).exists(), "a run that was stopped counts as done"
    assert Store(Folders(tmp_path)).model(RUN).content == outcome.model.content, "its training is lost"


def test_another_exam_of_a_run_has_a_result_of_its_own(store):
    assert store.result_path(RUN, EXAM).exists()
    assert not store.result_path(RUN, Exam(("STEADY", "SPIKE"), 6)).exists()
    assert not store.result_path(RUN, Exam(("STEADY",), 5)).exists()


def test_optimum_is_found_once(store, monkeypatch):
    first = store.limit(EXAM, Service())
    monkeypatch.setattr("autoscaler_env.study.cluster.Optimum", lambda *_: pytest.fail("found again"))
    assert store.limit(EXAM, Service()) == first


# --- traces ----------------------------------------------------------------------------------------------------------


def test_traces_of_small_counts_are_smoothed_and_all_scaled_to_the_peak(tmp_path):
    write_trace(tmp_path / "large.csv", 2_000)
    write_trace(tmp_path / "small.csv", 20)
    exam, smoothing = trace_exam(tmp_path, Service())
    assert smoothing == {"large": 1, "small": 6}
    for trace in exam.workloads:
        everything = np.vstack([trace.earlier, trace.later])
        assert np.percentile(everything, 99) == pytest.approx(Service().peak_arrivals, rel=0.02)


def test_trace_that_is_too_short_is_left_out_aloud(tmp_path, capsys):
    write_trace(tmp_path / "long.csv", 2_000)
    write_trace(tmp_path / "short.csv", 2_000, days=1)
    exam, _ = trace_exam(tmp_path, Service())
    assert [trace.name for trace in exam.workloads] == ["long"]
    assert "short.csv" in capsys.readouterr().err


def test_folder_without_traces_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no trace there"):
        trace_exam(tmp_path, Service())
    with pytest.raises(ValueError, match="no such folder"):
        trace_exam(tmp_path / "none", Service())


def test_exam_knows_the_days_of_a_trace_not_only_its_name(tmp_path):
    identities = []
    for level in (2_000, 2_100):
        write_trace(tmp_path / "trace.csv", level)
        identities.append(trace_exam(tmp_path, Service())[0].identity())
    assert fingerprint(identities[0]) != fingerprint(identities[1])


def test_models_play_traces_beside_all_opponents_and_a_forecast(tmp_path):
    write_trace(tmp_path / "busy.csv", 2_000, days=6)
    model = Static()
    model.name = "my_model"
    table = play_traces(tmp_path, [model], SETTINGS).xs("busy", level="trace")
    assert {"my_model", "forecast", "optimum", "hpa-demand", "target-tracking-mixed"} < set(table.index)
    assert table.loc["my_model", ["days", "seeds"]].tolist() == [3, 1] and table["seeds"].sum() == 1
    assert table.loc["my_model", "cost"] == table.loc["static", "cost"]
    assert table["regret"].min() == table.loc["optimum", "regret"] == 0


# --- tables ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def opponents(store):
    """Return the opponents' table on the same few days."""
    return measure_opponents(EXAM, Service(), SETTINGS, store.limit(EXAM, Service()))


def test_opponents_are_measured_on_every_workload_and_none_beats_the_optimum(opponents):
    assert set(opponents["policy"]) >= {"random", "static", "threshold", "target-tracking-mixed", "optimum"}
    assert (opponents.groupby("policy")["tested_on"].nunique() == 2).all()
    assert (opponents["regret"] >= -1e-9).all()
    (static,) = Exam(("SPIKE",), 5).measure(Static(), Service())
    row = opponents[(opponents["policy"] == "static") & (opponents["tested_on"] == "SPIKE")].iloc[0]
    assert row["cost"] == static["cost"]


def test_table_has_a_row_per_run_and_workload_beside_rules_on_the_same_days(store, opponents):
    table = study_table([store.result(RUN, EXAM)], opponents)
    assert table["tested_on"].tolist() == ["STEADY", "SPIKE"]
    assert table[["algorithm", "trained_on", "timesteps", "seed"]].iloc[0].tolist() == [
        "q-learning",
        "STEADY",
        20 * 288,
        0,
    ]
    spike = table.iloc[1]
    paid = opponents[opponents["tested_on"] == "SPIKE"].set_index("policy")["cost"]
    assert spike["one_setting_cost"] == paid["target-tracking-mixed"] and spike["optimum_cost"] == paid["optimum"]
    assert math.isclose(spike["regret"], spike["cost"] - paid["optimum"]) and spike["regret"] > 0


def test_curves_end_at_the_budget(store):
    curves = curves_table([store.result(RUN, EXAM)])
    assert curves["at"].iloc[0] == 0 and curves["at"].iloc[-1] == 20 * 288
    assert set(curves["seed"]) == {0}


def test_result_on_disk_is_plain_json(store):
    content = json.loads(store.result_path(RUN, EXAM).read_text())
    assert pd.DataFrame(content["rows"])["cost"].gt(0).all()
    assert content["description"]["preset"]["episodes"] == 20
