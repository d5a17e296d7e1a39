import json
import math
from pathlib import Path

import pandas as pd
import pytest
from scipy import stats

from autoscaler_env.calibration import Calibration, save_calibrations
from autoscaler_env.paths import Folders
from autoscaler_env.seeds import read_curves, read_study, savings_over_seeds
from autoscaler_env.study import STUDIES, perform, result_path, run_study
from autoscaler_env.training import TrainingRun
from autoscaler_env.workloads import MIXED, PATTERNS


@pytest.fixture
def folders(tmp_path):
    settings = dict.fromkeys((MIXED, *PATTERNS), Calibration(1.0, 1.0, 140.0))
    save_calibrations(settings, Folders(tmp_path))
    return Folders(tmp_path)


def study_table(bills):
    rows = [
        {"algorithm": "ppo", "trained_on": "MIXED", "steps": 10, "seed": seed, "bill": bill, "one_setting_bill": 150.0}
        for seed, pair in enumerate(bills)
        for bill in pair
    ]
    return pd.DataFrame(rows)


def test_studies_have_ten_seeds_on_mixed_and_five_on_each_pattern():
    assert len(STUDIES["budgets"]) == 3 * 10 and len(STUDIES["long"]) == 10 and len(STUDIES["patterns"]) == 6 * 5
    runs = [run for study in STUDIES.values() for run in study]
    assert len({(run.algorithm, run.pattern_name, run.budget, run.seed) for run in runs}) == len(runs)


def test_saving_is_the_mean_over_seeds_with_students_interval():
    table = savings_over_seeds(study_table([(140, 150), (142, 152), (150, 154)]), "one_setting_bill")
    row = table.loc[("ppo", "MIXED", 10)]
    savings = [5.0, 3.0, -2.0]  # each run counts once, by its mean over the two patterns
    low, high = stats.t.interval(0.95, 2, loc=2.0, scale=stats.sem(savings))
    assert row["seeds"] == 3 and math.isclose(row["saving"], 2.0)
    assert math.isclose(row["low"], low) and math.isclose(row["high"], high)


def test_result_is_named_for_the_run_and_its_settings(folders):
    run = TrainingRun("ppo", "SPIKE", 4_096, seed=3)
    other = TrainingRun("ppo", "SPIKE", 4_096, seed=3, discount=0.5)
    assert result_path(run, folders).name.startswith("ppo_spike_4096_3_")
    assert result_path(run, folders) != result_path(other, folders)


def test_result_that_is_there_is_not_made_again(folders, tmp_path):
    run = TrainingRun("q-learning", "STEADY", 20)
    path = Path(perform(run, tmp_path, tmp_path / "build", 5))
    path.write_text(path.read_text() + " ")
    assert perform(run, tmp_path, tmp_path / "build", 5) == str(path)
    assert path.read_text().endswith(" "), "the result was written anew"


def test_result_holds_policy_and_rules_on_the_same_days(folders, tmp_path):
    path = Path(perform(TrainingRun("q-learning", "STEADY", 20), tmp_path, tmp_path / "build", 5))
    (row,) = json.loads(path.read_text())["rows"]
    assert row["tested_on"] == "STEADY" and row["days"] == 5
    assert row["one_setting_bill"] == row["per_pattern_bill"], "the two rules have one setting here"
    assert math.isclose(row["bill"], row["instance_cost"] + row["late_cost"] + row["drop_cost"])


@pytest.mark.slow
def test_study_on_two_workers_gathers_a_row_per_run_and_pattern(folders):
    runs = [TrainingRun("q-learning", budget=20, seed=seed) for seed in range(2)] + [TrainingRun("ppo", "SPIKE", 2_048)]
    run_study("small", runs, folders, episodes=5)
    table = read_study("small", folders)
    assert len(table) == 2 * len(PATTERNS) + 1
    assert set(table.loc[table["trained_on"] == "SPIKE", "tested_on"]) == {"SPIKE"}
    curves = read_curves("small", "q-learning", folders)
    assert [curve["steps"].iloc[-1] for curve in curves] == [20 * 288] * 2


def test_missing_study_is_said_with_the_command_that_runs_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"study_budgets.csv is missing; .*autoscaler_env.study budgets"):
        read_study("budgets", Folders(tmp_path))
