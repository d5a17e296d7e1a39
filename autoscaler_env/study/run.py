"""Run studies: complete their trainings and measurements, then write their tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from autoscaler_env.evaluation.metrics import EPISODES
from autoscaler_env.paths import Folders
from autoscaler_env.policies.oracle import OPTIMUM
from autoscaler_env.service import Service
from autoscaler_env.study.analysis import write_table
from autoscaler_env.study.benchmark import (
    ONE_SETTING,
    PER_PATTERN,
    Benchmark,
    calibrations,
    measure_baselines,
    trace_benchmark,
    tuned_rules,
)
from autoscaler_env.study.cluster import ResultStore, complete
from autoscaler_env.study.plan import BASELINES, TRACES, WIDE, WIDE_BASELINES, check_study, trainings
from autoscaler_env.training.config import TrainingConfig

QUICK_EPISODES = 40
"""Evaluation days of each workload in the quick profile."""

QUICK_CALIBRATION = 10
"""Calibration days of each pattern in the quick profile, where the rules must be calibrated."""

REFERENCE_COSTS = {ONE_SETTING: "one_setting_cost", PER_PATTERN: "per_pattern_cost", OPTIMUM: "optimum_cost"}
"""Baselines whose cost on the same days is in every row of a study, and the columns of that cost."""


@dataclass(frozen=True)
class Study:
    """What one study trains, what it measures on, for which service, and where the costs of its baselines are."""

    runs: list[TrainingConfig]
    benchmark: Benchmark
    service: Service = field(default_factory=Service)
    baselines: str = BASELINES
    """Name of the table of baselines; studies with the same benchmark and service share it."""
    smoothing: dict[str, int] = field(default_factory=dict)
    """Steps over which each trace was smoothed."""


def run_studies(
    names: Sequence[str],
    folders: Folders,
    *,
    seeds: int | None = None,
    quick: bool = False,
    workers: int | None = None,
    scheduler: str | None = None,
    traces: Path | None = None,
) -> list[Path]:
    """Perform every run of some studies that is not done yet, on Dask, and write their tables.

    Args:
        names: Some of `plan.NAMES`.
        folders: Where the tables are written; results and models of single runs go to `build/study` below its root.
        seeds: Trainings of each learner on each pattern; each study has its own number by default.
        quick: Whether to train on tiny budgets, and to measure on few days.
        workers: Processes of the local cluster; one per processor by default.
        scheduler: Address of a running Dask scheduler, instead of a local cluster.
        traces: A folder of traces, for the study of that name.

    Returns:
        The tables written: `results/study_NAME.csv`, and `results/study_NAME_curves.csv` where something is trained.

    Raises:
        ValueError: A study is unknown, or it needs a folder of traces.
        RunsFailed: Some runs failed; the results of the others are kept, and no table is written.
    """
    studies = {name: define_study(name, seeds, quick=quick, traces=traces) for name in names}
    benchmarks: dict[TrainingConfig, list[Benchmark]] = {}
    for study in studies.values():
        for run in study.runs:
            known = benchmarks.setdefault(run, [])
            known += [] if study.benchmark in known else [study.benchmark]
    store = ResultStore(folders)
    complete(benchmarks, store, workers=workers, scheduler=scheduler)
    baselines: dict[str, pd.DataFrame] = {}
    tables: dict[str, pd.DataFrame] = {}
    for name, study in studies.items():
        if study.baselines not in baselines:
            days = [QUICK_CALIBRATION] if quick else []
            settings = calibrations(study.service, folders, *days)
            optimum = store.optimum(study.benchmark, study.service)
            tuned = tuned_rules(study.service, folders, *days)
            baselines[study.baselines] = measure_baselines(study.benchmark, study.service, settings, optimum, tuned)
            tables[study.baselines] = _with_smoothing(baselines[study.baselines], study.smoothing)
        if not study.runs:
            continue
        results = [store.result(run, study.benchmark) for run in study.runs]
        tables[name] = _with_smoothing(study_table(results, baselines[study.baselines]), study.smoothing)
        if name != TRACES:
            tables[f"{name}_curves"] = curves_table(results)
    paths = {folders.results / f"study_{name}.csv": table for name, table in tables.items()}
    for path, table in paths.items():
        write_table(path, table)
    return list(paths)


def define_study(name: str, seeds: int | None = None, *, quick: bool = False, traces: Path | None = None) -> Study:
    """Return what a study consists of; see `run_studies`.

    Raises:
        ValueError: There is no such study, or it needs a folder of traces.
    """
    check_study(name)
    episodes = QUICK_EPISODES if quick else EPISODES
    if name == BASELINES:
        return Study([], Benchmark(episodes=episodes))
    if name == WIDE_BASELINES:
        return Study([], Benchmark(episodes=episodes), WIDE, WIDE_BASELINES)
    if name == TRACES:
        if traces is None:
            raise ValueError("study = 'traces': needs recorded traffic; give its folder with --traces FOLDER")
        benchmark, smoothing = trace_benchmark(traces, Service(), episodes)
        runs = [run for study in ("budgets", "long") for run in trainings(study, seeds, quick=quick)]
        return Study(list(dict.fromkeys(runs)), benchmark, baselines="traces_baselines", smoothing=smoothing)
    runs = trainings(name, seeds, quick=quick)
    if name == "wide":
        return Study(runs, Benchmark(episodes=episodes), WIDE, WIDE_BASELINES)
    return Study(runs, Benchmark(episodes=episodes))


def study_table(results: Sequence[Mapping[str, Any]], baselines: pd.DataFrame) -> pd.DataFrame:
    """Return the results of runs as one tidy table; the training seed is the unit of replication.

    Args:
        results: Description and rows of each run, as `ResultStore.result` returns them.
        baselines: What `measure_baselines` returns, for the same benchmark and service.

    Returns:
        A row per run and workload: algorithm, trained_on, timesteps, seed, tested_on, days, the columns of
        `REFERENCE_COSTS`, regret ($ a day above the optimum), what else the learner counted, and the other columns of
        `Benchmark.measure`.
    """
    rows = [
        _key_of(result["description"]) | result["description"].get("counted", {}) | row
        for result in results
        for row in result["rows"]
    ]
    table = pd.DataFrame(rows)
    costs = baselines.pivot(index="tested_on", columns="policy", values="cost")
    references = {
        column: table["tested_on"].map(costs[policy]) for policy, column in REFERENCE_COSTS.items() if policy in costs
    }
    keys = ["algorithm", "trained_on", "timesteps", "seed", "tested_on", "days"]
    regret = {"regret": table["cost"] - references["optimum_cost"]}
    return pd.concat([table[keys], pd.DataFrame(references | regret), table.drop(columns=keys)], axis=1)


def curves_table(results: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return the learning curves of runs.

    Returns:
        A row per run and point: algorithm, trained_on, timesteps (of the whole training), seed, at (timesteps of the
        point), seconds and mean_return ($ a day).
    """
    return pd.DataFrame(
        _key_of(result["description"])
        | {"at": point["timesteps"], "seconds": point["seconds"], "mean_return": point["mean_return"]}
        for result in results
        for point in result["description"]["curve"]
    )


def _key_of(description: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns that tell one run of a study from the others."""
    made = {"algorithm": description["algorithm"], "trained_on": description["pattern"]}
    return made | {"timesteps": description["timesteps"], "seed": description["seed"]}


def _with_smoothing(table: pd.DataFrame, smoothing: dict[str, int]) -> pd.DataFrame:
    """Add over how many steps each trace was smoothed, where there are traces."""
    if smoothing:
        table = table.copy()
        table.insert(table.columns.get_loc("days"), "smooth", table["tested_on"].map(smoothing))  # type: ignore[arg-type]
    return table
