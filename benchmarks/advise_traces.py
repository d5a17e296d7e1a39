"""What `autoscaler advise` recommends on recorded traffic: made on the first days of a trace, evaluated on the rest.

    python benchmarks/advise_traces.py TRACES --seeds 5
    python benchmarks/advise_traces.py TRACES --objective 0.99 60 --quick --seeds 3

TRACES is a folder of request counts (CSV, a row per five minutes). The service is the one that `autoscaler advise
--init` writes; each trace is scaled so that one step in a hundred has more than 2,000 requests. Rules are calibrated
and learners trained as in `advise`, with full budgets (`--quick`: with small ones), once for each seed; HPA acts once a
step. The table, a row per trace, seed and policy, is saved as `results/advice_traces.csv`; and what policy iteration
and the cheapest rule cost on each held-out day as `results/advice_days.csv`, a row per trace, seed and day.

With `--objective SHARE SECONDS` the service has that objective instead of a late price. The table, a row per trace and
policy, says whether the policy kept it on the later days, and is saved as `results/objective_traces.csv`; the numbers
of a learner are those of all its trainings together.

    python benchmarks/advise_traces.py TRACES --seconds

With `--seconds` the command itself is measured, on each trace, with that service and scale, one run at a time: the CPU
seconds of `autoscaler advise --no-learners`, which ends with the rules' answer, and those of `autoscaler advise`, whose
learners have full budgets (`--quick`: small ones). Files that the command refuses are left out. The table, a row per
trace, is saved as `results/advice_seconds.csv`. The first run of all is not counted, as it may compile the simulator.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd
from dask.system import CPU_COUNT
from tqdm.auto import tqdm

from autoscaler_env.advice.compare import Candidate, compare_candidates
from autoscaler_env.advice.learners import BUDGETS
from autoscaler_env.advice.recommend import recommend
from autoscaler_env.advice.report import answer_of
from autoscaler_env.advice.setup import TODAY, Limits, Setup, write_template
from autoscaler_env.evaluation.objective import Objective, per_1000_and_minute
from autoscaler_env.evaluation.statistics import mean_interval
from autoscaler_env.paths import Folders
from autoscaler_env.study.analysis import write_table
from autoscaler_env.traffic.reading import read_traffic
from autoscaler_env.traffic.trace import Trace, cut_days
from autoscaler_env.training.config import LENGTH, Algorithm

ITERATION: Algorithm = "policy-iteration"

STEP_SECONDS = 300
PEAK = 2_000
"""99th percentile that a trace is scaled to, in requests a step."""

THREADS = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}

FEWEST_DAYS = 5
"""A shorter trace is left out: two held-out days are the fewest that give an interval."""


def days_of(path: Path) -> Trace:
    return cut_days(read_traffic(str(path), STEP_SECONDS), STEP_SECONDS, rescale=PEAK)


def template_setup() -> Setup:
    with tempfile.TemporaryDirectory() as folder:
        template = Path(folder) / "service.toml"
        write_template(template)
        return Setup.from_toml(template)


def costs_of(
    path: Path, seed: int, budgets: Mapping[Algorithm, int]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the mean cost of each policy on the held-out days, with whether it is recommended; and rows of days."""
    setup, days = template_setup(), days_of(path)
    today = {name: value for name, value in setup.today.items() if name != "hpa"}  # HPA acts once a step
    # A rule is calibrated by its cost alone.
    setup = dataclasses.replace(setup, today=today, limits=Limits(fewer_in_time=1, dropped=1))
    comparison = compare_candidates(setup, days, budgets=budgets, seed=seed)
    answer = answer_of(comparison)
    row = {"trace": path.stem, "days": len(days.later), "seed": seed}
    rows = [
        row | {"policy": name, "cost": policy.cost.mean, "recommended": name == answer.recommendation.policy}
        for name, policy in answer.policies.items()
    ]
    if ITERATION not in budgets:
        return rows, []
    return rows, days_rows(path.stem, seed, comparison.candidates)


def days_rows(trace: str, seed: int, candidates: Mapping[str, Candidate]) -> list[dict[str, Any]]:
    """Return what policy iteration and the cheapest rule cost on each held-out day."""
    rule = min(candidates.keys() - set(LENGTH), key=lambda name: candidates[name].cost.mean)
    pairs = zip(candidates[rule].costs, candidates[ITERATION].costs, strict=True)
    return [
        {"trace": trace, "seed": seed, "day": day, "rule": rule, "rule_cost": round(before, 4), "cost": round(own, 4)}
        for day, (before, own) in enumerate(pairs)
    ]


def objectives_of(
    path: Path, objective: Objective, seeds: int, budgets: Mapping[Algorithm, int]
) -> list[dict[str, Any]]:
    """Return for each policy which share of the held-out requests it served in time, whether that keeps the objective,
    and what it costs beyond today's rule."""
    days = days_of(path)
    fields = {name: value for name, value in template_setup().fields.items() if not name.startswith("late_price")}
    setup = dataclasses.replace(template_setup(), fields=fields, objective=objective)
    setup = dataclasses.replace(setup, today={name: value for name, value in setup.today.items() if name != "hpa"})
    comparison = compare_candidates(setup, days, budgets=budgets, trainings=seeds)
    best = recommend(comparison).policy
    rows = []
    for name, policy in comparison.candidates.items():
        share = policy.in_time_interval
        extra = mean_interval(policy.costs_by_training - comparison.candidates[TODAY].costs_by_training)
        rows.append(
            {
                "trace": path.stem,
                "days": len(days.later),
                "served_in_time": objective.served_in_time,
                "within_seconds": objective.within_seconds,
                "policy": name,
                "trainings": len(policy.trainings),
                "share": round(share.mean, 6),
                "share_low": round(share.low, 6),
                "share_high": round(share.high, 6),
                "verdict": objective.verdict(share),
                "cost": round(policy.cost.mean, 4),
                "extra": round(extra.mean, 4),
                "extra_low": round(extra.low, 4),
                "extra_high": round(extra.high, 4),
                "late_price_per_1000_per_minute": round(policy.late_price * per_1000_and_minute(comparison.service), 6),
                "recommended": name == best,
            }
        )
    return rows


def cpu_seconds_of(path: Path, *options: str) -> float | None:
    """Return the CPU seconds of `autoscaler advise` on a trace, with one thread; `None` if it refuses the file."""
    with tempfile.TemporaryDirectory() as folder:
        setup = Path(folder) / "service.toml"
        write_template(setup)
        command = [sys.executable, "-m", "autoscaler_env.cli.main", "advise", str(path), "--service", str(setup)]
        command += [
            "--row-seconds",
            str(STEP_SECONDS),
            "--rescale",
            str(PEAK),
            "--output",
            f"{folder}/advice",
            *options,
        ]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        ran = subprocess.run(command, capture_output=True, text=True, env=os.environ | THREADS, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if ran.returncode:
        print(f"Left out: {ran.stderr.strip()}", file=sys.stderr)
        return None
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def seconds_of(path: Path, quick: bool) -> dict[str, Any]:
    """Return the CPU seconds until the rules' answer and until the end on a trace, and its days."""
    rules = cpu_seconds_of(path, "--no-learners")
    whole = None if rules is None else cpu_seconds_of(path, *(["--quick"] if quick else []))
    days = len(days_of(path).requests)
    return {"trace": path.stem, "days": days, "rules_cpu_seconds": rules, "whole_cpu_seconds": whole}


def long_enough(path: Path) -> bool:
    try:
        days = len(days_of(path).requests)
    except ValueError as error:
        print(f"Left out: {error}", file=sys.stderr)
        return False
    if days < FEWEST_DAYS:
        print(f"Left out: {path}: {days} days; {FEWEST_DAYS} are needed.", file=sys.stderr)
    return days >= FEWEST_DAYS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("traces", type=Path, help="folder of request counts, *.csv")
    parser.add_argument("--seeds", type=int, default=5, help="trainings of each learner (default: 5)")
    parser.add_argument(
        "--objective", type=float, nargs=2, metavar=("SHARE", "SECONDS"), help="instead of a late price"
    )
    parser.add_argument("--quick", action="store_true", help="small budgets")
    parser.add_argument("--seconds", action="store_true", help="measure the CPU seconds of the command instead")
    parser.add_argument("--workers", type=int, default=CPU_COUNT, help="processes (default: one per processor)")
    parser.add_argument("--output", type=Path, help="another root to write under")
    given = parser.parse_args()
    paths = [path for path in sorted(given.traces.glob("*.csv")) if long_enough(path)]
    if not paths or given.seeds < 1:
        parser.error(f"{given.traces}: {len(paths)} usable traces, --seeds {given.seeds}: both must be at least 1")
    folders = Folders(given.output)
    if given.seconds:
        cpu_seconds_of(paths[0], "--no-learners")
        table = pd.DataFrame([seconds_of(path, given.quick) for path in paths]).dropna().round(1)
        write_table(folders.results / "advice_seconds.csv", table)
        print(f"{table.to_string(index=False)}\nWrote {folders.shown(folders.results / 'advice_seconds.csv')}.")
        return
    with ProcessPoolExecutor(given.workers, get_context("spawn")) as pool:
        budgets = BUDGETS["quick" if given.quick else "full"]
        if given.objective:
            objective, name = Objective(*given.objective), "objective_traces.csv"
            jobs = [pool.submit(objectives_of, path, objective, given.seeds, budgets) for path in paths]
        else:
            name = "advice_traces.csv"
            jobs = [pool.submit(costs_of, path, seed, budgets) for path, seed in product(paths, range(given.seeds))]
        results = [job.result() for job in tqdm(as_completed(jobs), total=len(jobs), unit="comparison")]
    if given.objective:
        table = pd.DataFrame([row for rows in results for row in rows]).sort_values("trace", kind="stable")
    else:
        tables = (pd.DataFrame([row for result in results for row in result[part]]) for part in (0, 1))
        table, by_days = (each.sort_values(["trace", "seed"], kind="stable") if len(each) else each for each in tables)
        if len(by_days):
            write_table(folders.results / "advice_days.csv", by_days)
    path = folders.results / name
    write_table(path, table)
    print(
        table.pivot_table(index="policy", columns="trace", values="share" if given.objective else "cost")
        .round(4)
        .to_string()
    )
    print(f"Wrote {folders.shown(path)}.")


if __name__ == "__main__":
    main()
