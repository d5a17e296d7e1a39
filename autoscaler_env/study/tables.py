"""The tables that are committed: a row per run and workload, or per policy and workload."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from autoscaler_env.paths import Folders
from autoscaler_env.policies.oracle import OPTIMUM
from autoscaler_env.evaluation.metrics.statistics import read_study, savings_over_seeds
from autoscaler_env.storage.files import write_text
from autoscaler_env.study.benchmark import ONE_SETTING, PER_PATTERN
from autoscaler_env.study.plan import STUDIES

REFERENCES = {ONE_SETTING: "one_setting_bill", PER_PATTERN: "per_pattern_bill", OPTIMUM: "optimum_bill"}
"""Policies whose bill on the same days stands beside every learner's, and the columns it stands in."""


def study_table(results: Sequence[Mapping[str, Any]], opponents: pd.DataFrame) -> pd.DataFrame:
    """Return one tidy table of what runs left: the training seed is the unit of replication.

    Args:
        results: Description and rows of each run, as `Store.result` returns them.
        opponents: What `opponents.measure_opponents` returns, for the same exam and service.

    Returns:
        A row per run and workload: algorithm, trained_on, steps (slots of training), seed, tested_on, days, the bill
        of each of the `REFERENCES` on the same days, regret ($ a day above the optimum) and the columns of
        `Exam.measure`.
    """
    rows = [_key_of(result["description"]) | row for result in results for row in result["rows"]]
    table = pd.DataFrame(rows)
    bills = opponents.pivot(index="tested_on", columns="policy", values="bill")
    references = {
        column: table["tested_on"].map(bills[policy]) for policy, column in REFERENCES.items() if policy in bills
    }
    keys = ["algorithm", "trained_on", "steps", "seed", "tested_on", "days"]
    regret = {"regret": table["bill"] - references["optimum_bill"]}
    return pd.concat([table[keys], pd.DataFrame(references | regret), table.drop(columns=keys)], axis=1)


def curves_table(results: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return the learning curves of runs: a row per run and point, at (slots), seconds and mean_return ($ a day)."""
    return pd.DataFrame(
        _key_of(result["description"])
        | {"at": point["steps"], "seconds": point["seconds"], "mean_return": point["mean_return"]}
        for result in results
        for point in result["description"]["curve"]
    )


def report(name: str, folders: Folders) -> str:
    """Return what the trainings of a study save against target tracking, ready to print; nothing where none are.

    Args:
        name: A study whose tables have been written.
        folders: Where they lie.
    """
    if name not in STUDIES:
        return ""
    table, against, rule = read_study(name, folders), "one_setting_bill", "with one setting for all patterns"
    if name == "patterns":
        table = table[table["trained_on"] == table["tested_on"]]
        against, rule = "per_pattern_bill", "calibrated for the pattern that the model was trained and tested on"
    saved = savings_over_seeds(table, against).round(2).to_string()
    return f"\n{name}: saved against target tracking {rule}, $ a day, 95 % intervals over trainings\n{saved}\n"


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV, atomically."""
    write_text(path, table.to_csv(index=False, float_format="%.6g"))


def _key_of(description: Mapping[str, Any]) -> dict[str, Any]:
    """Return what tells one run of a study from the others."""
    made = {"algorithm": description["algorithm"], "trained_on": description["pattern"]}
    return made | {"steps": description["steps"], "seed": description["seed"]}
