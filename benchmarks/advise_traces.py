"""What `autoscaler advise` finds on recorded traffic: everything made on the first days of a trace, charged on the rest.

    python benchmarks/advise_traces.py TRACES --seeds 5

TRACES is a folder of request counts (CSV, a row per five minutes). The service is the one that `autoscaler advise
--init` writes; each trace is scaled so that one step in a hundred has more than 2,000 requests. Rules are calibrated
and learners trained as `advise` does it, with full budgets (`--quick`: with small ones), once for each seed. The table,
a row per trace, seed and policy, is saved as `results/advice_traces.csv`.
"""

from __future__ import annotations

import argparse
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

from autoscaler_env.advice.compare import BUDGETS, hold_contest
from autoscaler_env.advice.recommend import recommend
from autoscaler_env.advice.setup import Setup, write_template
from autoscaler_env.paths import Folders
from autoscaler_env.policies.oracle import OPTIMUM
from autoscaler_env.study.analysis import write_table
from autoscaler_env.traffic.reading import read_traffic
from autoscaler_env.traffic.trace import Trace, cut_days

STEP_SECONDS = 300
PEAK = 2_000
"""Requests a step that one step in a hundred passes."""

FEWEST_DAYS = 5
"""A shorter trace is left out: two days held out are the least that differ."""


def days_of(path: Path) -> Trace:
    return cut_days(read_traffic(str(path), STEP_SECONDS), STEP_SECONDS, rescale=PEAK)


def costs_of(path: Path, seed: int, quick: bool) -> list[dict[str, Any]]:
    """Return what each policy paid on the days held out, and whether it was recommended."""
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "service.toml"
        write_template(written)
        setup = Setup.from_toml(written)
    contest = hold_contest(setup, days_of(path), budgets=BUDGETS[quick], seed=seed)
    chosen = recommend(contest, seed).policy
    entries = contest.entries | ({OPTIMUM: contest.optimum} if contest.optimum else {})
    made = {"trace": path.stem, "days": len(contest.days.later), "seed": seed}
    return [
        made | {"policy": name, "cost": entry.costs.mean(), "recommended": name == chosen}
        for name, entry in entries.items()
    ]


def long_enough(path: Path) -> bool:
    try:
        found = len(days_of(path).requests)
    except ValueError as error:
        print(f"Left out: {error}", file=sys.stderr)
        return False
    if found < FEWEST_DAYS:
        print(f"Left out: {path}: {found} days; {FEWEST_DAYS} are needed.", file=sys.stderr)
    return found >= FEWEST_DAYS


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
        parser.error(f"{given.traces}: {len(paths)} traces to be used, --seeds {given.seeds}: both must be at least 1")
    with ProcessPoolExecutor(given.workers, get_context("spawn")) as pool:
        jobs = [pool.submit(costs_of, path, seed, given.quick) for path, seed in product(paths, range(given.seeds))]
        rows = [row for job in tqdm(as_completed(jobs), total=len(jobs), unit="contest") for row in job.result()]
    table = pd.DataFrame(rows).sort_values(["trace", "seed"], kind="stable")
    folders = Folders(given.output)
    path = folders.results / "advice_traces.csv"
    write_table(path, table)
    print(table.pivot_table(index="policy", columns="trace", values="cost").round(2).to_string())
    print(f"Wrote {folders.shown(path)}.")


if __name__ == "__main__":
    main()
