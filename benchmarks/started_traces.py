"""What a start from generated traffic is worth to policy iteration on recorded traffic: within the first days alone.

    nice python benchmarks/started_traces.py TRACES MORE.csv --workers 2

TRACES and MORE are files of request counts or folders of them, read and scaled as in `advise_traces.py`, with the same
service. By this comparison the start was chosen; so the days that `advise` holds out have no part in it. The first days
of a trace are cut again: rules are calibrated and policy iteration is trained on the first 60 % of them, and the rest
is played. The table, four rows per trace, is saved as `results/started_traces.csv`:

| column | content |
|---|---|
| trace, days | name, and days played |
| start | `imitated rule`; `generated traffic`; `generated traffic alone`, without a training; or `the days played` |
| rule, rule_cost, optimum_cost | the cheapest rule on these days; dollars a day of it and of the clairvoyant optimum |
| cost, way | dollars a day of policy iteration (seed 0), and which share of the way to the optimum it goes |

`the days played` is no result: a training, from generated traffic, on the days that are played. It shows how far a
network with these inputs comes that has seen the days before.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from advise_traces import days_of, long_enough, template_setup
from dask.system import CPU_COUNT
from generated_traffic import costs_on, with_memory_of
from tqdm.auto import tqdm

from autoscaler_env.advice.compare import compare_candidates
from autoscaler_env.advice.learners import BUDGETS, GENERATED_START, started, train_once, training_config
from autoscaler_env.advice.setup import Limits
from autoscaler_env.paths import Folders
from autoscaler_env.policies.deep import DeepPolicy
from autoscaler_env.storage.models import load_policy
from autoscaler_env.study.analysis import write_table
from autoscaler_env.traffic.trace import TRAINING_SHARE, ResampledDays, Trace

THE_DAYS_PLAYED = "the days played"


def rows_of(path: Path, iterations: int) -> list[dict[str, Any]]:
    """Return the rows of a trace."""
    days, setup = Trace(path.stem, days_of(path).earlier), template_setup()
    today = {name: value for name, value in setup.today.items() if name != "hpa"}
    setup = dataclasses.replace(setup, today=today, limits=Limits(fewer_in_time=1, dropped=1))
    comparison = compare_candidates(setup, days, budgets={})
    assert comparison.optimum is not None
    rules = {name: candidate.cost.mean for name, candidate in comparison.candidates.items()}
    rule, optimum = min(rules, key=lambda name: rules[name]), comparison.optimum.cost.mean
    config = training_config("policy-iteration", iterations, days, comparison.service, seed=0)
    known = _seen(days)
    seen = dataclasses.replace(config, pattern=ResampledDays("traffic", known))
    alone = cast(DeepPolicy, load_policy(GENERATED_START, comparison.service))
    policies = {
        "imitated rule": train_once(config, progress=False).policy,
        "generated traffic": train_once(started(config, days), progress=False).policy,
        "generated traffic alone": with_memory_of(alone, days),
        THE_DAYS_PLAYED: with_memory_of(
            cast(DeepPolicy, train_once(started(seen, known), progress=False).policy), days
        ),
    }
    rows = []
    for start, policy in policies.items():
        cost = float(costs_on(policy, days).mean())
        rows.append(
            {
                "trace": path.stem,
                "days": len(days.later),
                "start": start,
                "rule": rule,
                "rule_cost": round(rules[rule], 4),
                "optimum_cost": round(optimum, 4),
                "cost": round(cost, 4),
                "way": round((rules[rule] - cost) / (rules[rule] - optimum), 4),
            }
        )
    return rows


def _seen(days: Trace) -> Trace:
    """Return a trace whose first days are the day before those that are played, and those."""
    known = np.concatenate([days.earlier[-1:], days.later])
    more = math.ceil(len(known) / TRAINING_SHARE) - len(known)
    seen = Trace(days.name, np.concatenate([known, np.resize(days.later, (more, known.shape[1]))]))
    assert np.array_equal(seen.earlier, known)
    return seen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("traces", type=Path, nargs="+", help="files or folders of request counts, *.csv")
    parser.add_argument(
        "--iterations", type=int, default=BUDGETS["full"]["policy-iteration"], help="length of a training"
    )
    parser.add_argument("--workers", type=int, default=CPU_COUNT, help="processes (default: one per processor)")
    parser.add_argument("--output", type=Path, help="another root to write under")
    given = parser.parse_args()
    files = [path for each in given.traces for path in (sorted(each.glob("*.csv")) if each.is_dir() else [each])]
    paths = [path for path in files if long_enough(path)]
    if not paths or given.iterations < 1:
        parser.error(f"{len(paths)} usable traces, --iterations {given.iterations}: both must be at least 1")
    with ProcessPoolExecutor(given.workers, get_context("spawn")) as pool:
        jobs = pool.map(rows_of, paths, [given.iterations] * len(paths))
        table = pd.DataFrame([row for rows in tqdm(jobs, total=len(paths), unit="trace") for row in rows])
    folders = Folders(given.output)
    path = folders.results / "started_traces.csv"
    write_table(path, table)
    print(table.pivot_table(index="start", columns="trace", values="way", sort=False).to_string())
    print(f"Wrote {folders.shown(path)}.")


if __name__ == "__main__":
    main()
