"""Many trainings, one tidy table: the training seed is the unit of replication.

    python -m autoscaler_env.study budgets

trains and evaluates every run of one of the `STUDIES`, writes each result as it comes, and gathers them in
`results/study_NAME.csv` and `results/study_NAME_curves.csv`. What is there already is not done again, so an
interrupted study goes on where it was. The models stay under `build/study`; they are not committed.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import pandas as pd
from dask.distributed import Client, LocalCluster, as_completed
from tqdm.auto import tqdm

from autoscaler_env.calibration import calibrated_rule
from autoscaler_env.evaluation import evaluate
from autoscaler_env.paths import Folders
from autoscaler_env.seeds import read_study, savings_over_seeds
from autoscaler_env.storage import write_atomically, write_json
from autoscaler_env.training import Algorithm, TrainingRun, train
from autoscaler_env.workloads import MIXED, PATTERNS

MIXED_SEEDS = 10
"""Trainings of each learner on `MIXED`."""

PATTERN_SEEDS = 5
"""Trainings on each single pattern."""

LONG = 1_000_000
"""Slots of PPO's long trainings on `MIXED`."""

SPECIALIST = 1_000_000
"""Slots of PPO's trainings on a single pattern."""

DISCOUNTS = {"SPIKE": 0.99}
"""Where selection days asked for another horizon than the preset's: what a flash crowd costs comes late."""

EPISODES = 2_000
"""Evaluation days of each pattern."""

STUDIES: dict[str, list[TrainingRun]] = {
    "budgets": [TrainingRun(name, seed=seed) for seed in range(MIXED_SEEDS) for name in get_args(Algorithm)],
    "long": [TrainingRun("ppo", budget=LONG, seed=seed) for seed in range(MIXED_SEEDS)],
    "patterns": [
        TrainingRun("ppo", name, SPECIALIST, seed=seed, discount=DISCOUNTS.get(name))
        for seed in range(PATTERN_SEEDS)
        for name in PATTERNS
    ],
}
"""The three learners on `MIXED` with the published budgets; PPO on `MIXED` for longer; PPO on each single pattern."""


def result_path(run: TrainingRun, folders: Folders, episodes: int = EPISODES) -> Path:
    """Return where the result of a run lies: named for what it is, with a fingerprint of its settings."""
    settings = json.dumps([run.command(), repr(run.preset), run.service.as_dict(), episodes])
    fingerprint = hashlib.sha256(settings.encode()).hexdigest()[:8]
    budget = run.budget or "default"
    name = f"{run.algorithm}_{run.pattern_name.lower()}_{budget}_{run.seed}_{fingerprint}.json"
    return folders.results / name


def perform(run: TrainingRun, calibrations: Path, build: Path, episodes: int = EPISODES) -> str:
    """Train one model, play the evaluation days with it and with the calibrated rules, and write what came of it.

    A model trained on `MIXED` plays all six patterns, one trained on a single pattern that one.

    Args:
        run: What to train.
        calibrations: Root of the folders that hold `results/calibration.csv`.
        build: Root to write under.
        episodes: Evaluation days of each pattern.

    Returns:
        The path of the result.
    """
    folders = Folders(build)
    path = result_path(run, folders, episodes)
    if path.exists():
        return str(path)
    models = Folders(build / "models" / path.stem)
    trained = train(run, models, progress=False)
    rows = []
    for pattern in PATTERNS if run.pattern == MIXED else (run.pattern_name,):
        rules = [calibrated_rule(name, Folders(calibrations), run.service) for name in (MIXED, pattern)]
        means = (
            evaluate([trained.policy, *rules], pattern, episodes, run.service).groupby("policy").mean(numeric_only=True)
        )
        own = means.loc[trained.policy.name].drop("episode")
        bills = {"one_setting_bill": means["bill"][rules[0].name], "per_pattern_bill": means["bill"][rules[1].name]}
        rows.append({"tested_on": pattern, "days": episodes} | bills | own.to_dict())
    write_json(path, {"description": trained.description, "rows": rows})
    return str(path)


def run_study(
    name: str,
    runs: Sequence[TrainingRun],
    folders: Folders,
    *,
    episodes: int = EPISODES,
    workers: int = 2,
    scheduler: str | None = None,
) -> None:
    """Perform every run that has no result yet, on Dask; gather the table.

    Args:
        name: What the tables are called.
        runs: The trainings.
        folders: Where the tables are written; results and models lie under its `build/study`.
        episodes: Evaluation days of each pattern.
        workers: Processes of the local cluster.
        scheduler: Address of a running Dask scheduler, instead of a local cluster.
    """
    build = folders.root / "build" / "study"
    waiting = [run for run in runs if not result_path(run, Folders(build), episodes).exists()]
    if waiting:
        cluster = None if scheduler else LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=":0")
        with Client(scheduler or cluster) as client:
            futures = [
                client.submit(perform, run, folders.root, build, episodes, pure=False, retries=2) for run in waiting
            ]
            for future in tqdm(as_completed(futures), total=len(futures), unit="run"):
                future.result()
        if cluster is not None:
            cluster.close()
    gather(name, runs, folders, episodes)


def gather(name: str, runs: Sequence[TrainingRun], folders: Folders, episodes: int = EPISODES) -> None:
    """Write `study_NAME.csv`, a row per run and tested pattern, and `study_NAME_curves.csv`, a row per point."""
    build = Folders(folders.root / "build" / "study")
    rows: list[dict[str, Any]] = []
    curves: list[dict[str, Any]] = []
    for run in runs:
        result = json.loads(result_path(run, build, episodes).read_text(encoding="utf-8"))
        made = result["description"]
        key = {
            "algorithm": made["algorithm"],
            "trained_on": made["pattern"],
            "steps": made["steps"],
            "seed": made["seed"],
        }
        rows += [key | row for row in result["rows"]]
        curves += [
            key | {"at": point["steps"]} | {k: point[k] for k in ("seconds", "mean_return")} for point in made["curve"]
        ]
    write_table(folders.results / f"study_{name}.csv", pd.DataFrame(rows))
    write_table(folders.results / f"study_{name}_curves.csv", pd.DataFrame(curves))


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV, atomically."""
    text = table.to_csv(index=False, float_format="%.6g")
    write_atomically(path, lambda file: file.write(text.encode()))


def main(name: str) -> None:
    """Run one of the `STUDIES` and print what its learners save, with intervals over training seeds."""
    if name not in STUDIES:
        raise SystemExit(f"study = {name!r}: must be one of {', '.join(STUDIES)}")
    folders = Folders()
    run_study(name, STUDIES[name], folders)
    table = read_study(name, folders)
    for against in ("one_setting_bill", "per_pattern_bill"):
        print(f"Saved against target tracking, {against.removesuffix('_bill').replace('_', ' ')} ($ a day):")
        print(savings_over_seeds(table, against).round(2).to_string(), end="\n\n")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "")
