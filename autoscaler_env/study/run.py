"""Conduct the study: complete its runs, then write its tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from autoscaler_env.evaluation.metrics import EPISODES
from autoscaler_env.paths import Folders
from autoscaler_env.service import Service
from autoscaler_env.study.analysis import curves_table, study_table, write_table
from autoscaler_env.study.benchmark import Exam, calibrations, measure_opponents, trace_exam
from autoscaler_env.study.cluster import Store, complete
from autoscaler_env.study.plan import STUDIES, WIDE, trainings
from autoscaler_env.training.config import TrainingConfig

OPPONENTS = "opponents"
"""The study of the rules and of the limit; nothing is trained for it."""

TRACES = "traces"
"""The study of what was trained and calibrated on synthetic days, on recorded traffic."""

NAMES = (*STUDIES, OPPONENTS, TRACES)
"""All studies, by the names that users type."""

QUICK_EPISODES = 40
"""Evaluation days of each workload in the quick profile."""

QUICK_CALIBRATION = 10
"""Calibration days of each pattern in the quick profile, where the rules must be calibrated."""


@dataclass(frozen=True)
class Setting:
    """One study: what is trained, what is measured, for which service, and with whom it is compared."""

    runs: list[TrainingConfig]
    exam: Exam
    service: Service = field(default_factory=Service)
    opponents: str = OPPONENTS
    """Name of the table of opponents: the same for studies of the same exam and service."""
    smoothing: dict[str, int] = field(default_factory=dict)
    """Steps over which each trace was smoothed."""


def conduct(
    names: Sequence[str],
    folders: Folders,
    *,
    seeds: int | None = None,
    quick: bool = False,
    workers: int | None = None,
    scheduler: str | None = None,
    traces: Path | None = None,
) -> list[Path]:
    """Do every run of some studies that is not done yet, on Dask, and write their tables.

    Args:
        names: Some of `NAMES`.
        folders: Where the tables are written; results and models of single runs lie under its `build/study`.
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
    settings = {name: setting(name, seeds, quick=quick, traces=traces) for name in names}
    exams: dict[TrainingConfig, list[Exam]] = {}
    for each in settings.values():
        for run in each.runs:
            known = exams.setdefault(run, [])
            known += [] if each.exam in known else [each.exam]
    store = Store(folders)
    complete(exams, store, workers=workers, scheduler=scheduler)
    compared: dict[str, pd.DataFrame] = {}
    written: dict[str, pd.DataFrame] = {}
    for name, each in settings.items():
        if each.opponents not in compared:
            rules = calibrations(each.service, folders, *([QUICK_CALIBRATION] if quick else []))
            limit = store.limit(each.exam, each.service)
            compared[each.opponents] = measure_opponents(each.exam, each.service, rules, limit)
            written[each.opponents] = _with_smoothing(compared[each.opponents], each.smoothing)
        if not each.runs:
            continue
        results = [store.result(run, each.exam) for run in each.runs]
        written[name] = _with_smoothing(study_table(results, compared[each.opponents]), each.smoothing)
        if name != TRACES:
            written[f"{name}_curves"] = curves_table(results)
    paths = {folders.results / f"study_{name}.csv": table for name, table in written.items()}
    for path, table in paths.items():
        write_table(path, table)
    return list(paths)


def setting(name: str, seeds: int | None = None, *, quick: bool = False, traces: Path | None = None) -> Setting:
    """Return what a study consists of; see `conduct`."""
    if name not in NAMES:
        raise ValueError(f"study = {name!r}: must be one of {', '.join(NAMES)}, or all")
    episodes = QUICK_EPISODES if quick else EPISODES
    if name == OPPONENTS:
        return Setting([], Exam(episodes=episodes))
    if name == TRACES:
        if traces is None:
            raise ValueError("study = 'traces': needs recorded traffic; give its folder with --traces FOLDER")
        exam, smoothing = trace_exam(traces, Service(), episodes)
        runs = [run for study in ("budgets", "long") for run in trainings(study, seeds, quick=quick)]
        return Setting(list(dict.fromkeys(runs)), exam, opponents="traces_opponents", smoothing=smoothing)
    runs = trainings(name, seeds, quick=quick)
    if name == "wide":
        return Setting(runs, Exam(episodes=episodes), WIDE, "wide_opponents")
    return Setting(runs, Exam(episodes=episodes))


def _with_smoothing(table: pd.DataFrame, smoothing: dict[str, int]) -> pd.DataFrame:
    """Add over how many steps each trace was smoothed, where there are traces."""
    if smoothing:
        table = table.copy()
        table.insert(table.columns.get_loc("days"), "smooth", table["tested_on"].map(smoothing))  # type: ignore[arg-type]
    return table
