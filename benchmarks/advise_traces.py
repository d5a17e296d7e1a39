"""What `autoscaler advise` recommends on recorded traffic: made on the first days of a trace, evaluated on the rest.

    python benchmarks/advise_traces.py TRACES --seeds 5

TRACES is a folder of request counts (CSV, a row per five minutes). The service is the one that `autoscaler advise
--init` writes; each trace is scaled so that one step in a hundred has more than 2,000 requests. Rules are calibrated
and learners trained as in `advise`, with full budgets (`--quick`: with small ones), once for each seed; HPA acts once a
step. The table, a row per trace, seed and policy, is saved as `results/advice_traces.csv`.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd
from dask.system import CPU_COUNT
from tqdm.auto import tqdm

from autoscaler_env.advice.compare import compare_candidates
from autoscaler_env.advice.learners import BUDGETS
from autoscaler_env.advice.report import answer_of
from autoscaler_env.advice.setup import Limits, Setup, write_template
from autoscaler_env.paths import Folders
from autoscaler_env.study.analysis import write_table
from autoscaler_env.traffic.reading import read_traffic
from autoscaler_env.traffic.trace import Trace, cut_days

STEP_SECONDS = 300
PEAK = 2_000
"""99th percentile that a trace is scaled to, in requests a step."""

FEWEST_DAYS = 5
"""A shorter trace is left out: two held-out days are the fewest that give an interval."""


def days_of(path: Path) -> Trace:
    return cut_days(read_traffic(str(path), STEP_SECONDS), STEP_SECONDS, rescale=PEAK)


def costs_of(path: Path, seed: int, quick: bool) -> list[dict[str, Any]]:
    """Return the mean cost of each policy on the held-out days, and whether it is recommended."""
    with tempfile.TemporaryDirectory() as folder:
        template = Path(folder) / "service.toml"
        write_template(template)
        setup = Setup.from_toml(template)
    days = days_of(path)
    budgets = BUDGETS["quick" if quick else "full"]
    today = {name: value for name, value in setup.today.items() if name != "hpa"}  # HPA acts once a step
    # A rule is calibrated by its cost alone.
    setup = dataclasses.replace(setup, today=today, limits=Limits(fewer_in_time=1, dropped=1))
    answer = answer_of(compare_candidates(setup, days, budgets=budgets, seed=seed))
    row = {"trace": path.stem, "days": len(days.later), "seed": seed}
    return [
        row | {"policy": name, "cost": policy.cost.mean, "recommended": name == answer.recommendation.policy}
        for name, policy in answer.policies.items()
    ]


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
    parser.add_argument("--quick", action="store_true", help="small budgets")
    parser.add_argument("--workers", type=int, default=CPU_COUNT, help="processes (default: one per processor)")
    parser.add_argument("--output", type=Path, help="another root to write under")
    given = parser.parse_args()
    paths = [path for path in sorted(given.traces.glob("*.csv")) if long_enough(path)]
    if not paths or given.seeds < 1:
        parser.error(f"{given.traces}: {len(paths)} usable traces, --seeds {given.seeds}: both must be at least 1")
    with ProcessPoolExecutor(given.workers, get_context("spawn")) as pool:
        jobs = [pool.submit(costs_of, path, seed, given.quick) for path, seed in product(paths, range(given.seeds))]
        rows = [row for job in tqdm(as_completed(jobs), total=len(jobs), unit="comparison") for row in job.result()]
    table = pd.DataFrame(rows).sort_values(["trace", "seed"], kind="stable")
    folders = Folders(given.output)
    path = folders.results / "advice_traces.csv"
    write_table(path, table)
    print(table.pivot_table(index="policy", columns="trace", values="cost").round(2).to_string())
    print(f"Wrote {folders.shown(path)}.")


if __name__ == "__main__":
    main()
