import json

import pandas as pd
import pytest

from autoscaler_env.paths import Folders, project_root
from autoscaler_env.report import bill_table, refresh_readme, results_markdown, seeds_markdown
from autoscaler_env.seeds import read_study, savings_over_seeds

MARKS = ("results", "seeds", "times")
COMMITTED = Folders(project_root())


def readme_block(mark):
    text = (COMMITTED.root / "README.md").read_text()
    return text.split(f"<!-- {mark}: begin -->\n")[1].split(f"\n<!-- {mark}: end -->")[0]


def test_readme_holds_the_committed_results():
    assert readme_block("results") == results_markdown(COMMITTED)


def test_readme_holds_the_committed_study():
    assert readme_block("seeds") == seeds_markdown(COMMITTED)


def test_reference_models_are_those_of_the_committed_results():
    results = json.loads((COMMITTED.results / "evaluation_results.json").read_text())
    for name in ("q_learning_mixed", "dqn_mixed", "ppo_mixed"):
        assert name in results["mean"] and json.loads((COMMITTED.models / f"{name}.json").read_text())["seed"] == 0


def test_refresh_changes_what_stands_between_the_marks_only(tmp_path):
    lines = ["before", *(f"<!-- {mark}: begin -->\nSTALE\n<!-- {mark}: end -->" for mark in MARKS), "after"]
    (tmp_path / "README.md").write_text("\n".join(lines))
    (tmp_path / "results").mkdir()
    for name in ("evaluation_results.json", "study_budgets.csv", "study_long.csv"):
        (tmp_path / "results" / name).write_bytes((COMMITTED.results / name).read_bytes())
    refresh_readme(Folders(tmp_path), {"01_first": 30.0, "02_second": 90.0})
    text = (tmp_path / "README.md").read_text()
    assert text.startswith("before\n") and text.endswith("\nafter") and "STALE" not in text
    assert "2.0 minutes" in text and "longest: notebook 02, 1.5 minutes" in text


def test_missing_results_are_said_with_the_command_that_makes_them(tmp_path):
    with pytest.raises(FileNotFoundError, match="autoscaler run --only 06_compare_policies"):
        bill_table(Folders(tmp_path))


def test_ppo_saves_money_against_the_rule_at_both_budgets():
    for name in ("budgets", "long"):
        table = savings_over_seeds(read_study(name, COMMITTED), "one_setting_bill").xs("ppo", level="algorithm")
        assert table["seeds"].item() == 10 and table["low"].item() > 0, f"{name}: the claim of the README does not hold"


def test_learners_lie_in_their_published_bands_and_in_the_expected_order():
    study = pd.read_csv(COMMITTED.results / "study_budgets.csv")
    bills = study.groupby(["algorithm", "seed"])["bill"].mean().groupby("algorithm").mean()
    bands = {"q-learning": (100, 300), "dqn": (50, 200), "ppo": (30, 150)}  # dollars a day
    assert all(low < bills[name] < high for name, (low, high) in bands.items())
    assert bills["ppo"] < bills["dqn"] < bills["q-learning"] < 200
