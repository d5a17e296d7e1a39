"""What `autoscaler advise` makes of a recording from elsewhere: the departures of US flights in 2001.

    npm pack vega-datasets@3.2.1 && tar xf vega-datasets-3.2.1.tgz package/data/flights-3m.parquet
    python benchmarks/flights.py package/data/flights-3m.parquet --seeds 5

The file has three million flights from January to June, by the minute of departure, from the Bureau of Transportation
Statistics; reading it needs the extra `parquet`. A flight is taken for a request. They are counted in steps of five
minutes (`build/us_flights_2001.csv`), and scaled as the traces of `advise_traces.py` are, for the same service. Rules
are calibrated and policy iteration is trained on the first 60 % of the days, once for each seed. The table has a row
per seed and held-out day, and is saved as `results/advice_flights.csv`:

| column | content |
|---|---|
| trace, seed, day | `us_flights_2001`, seed of the training, number of the day |
| rule, rule_cost | the rule that is cheapest on these days, and what it costs, dollars |
| cost, optimum_cost | what policy iteration and the clairvoyant optimum (its mean over the days) cost, dollars |
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pandas as pd
from advise_traces import ITERATION, STEP_SECONDS, costs_of
from tqdm.auto import tqdm

from autoscaler_env.advice.learners import BUDGETS
from autoscaler_env.paths import Folders
from autoscaler_env.policies.base import OPTIMUM
from autoscaler_env.study.analysis import write_table

NAME = "us_flights_2001"


def counted(flights: Path) -> pd.DataFrame:
    """Return how many flights depart in each step of the whole days, with the step's time."""
    times = pd.read_parquet(flights, columns=["date"])["date"]
    counts = times.dt.floor(f"{STEP_SECONDS}s").value_counts().sort_index()
    counts = counts[counts.index < times.max().normalize()]
    return counts.asfreq(f"{STEP_SECONDS}s", fill_value=0).rename_axis("timestamp").rename("requests").reset_index()


def rows_of(path: Path, seed: int) -> list[dict[str, Any]]:
    """Return a row for each held-out day."""
    costs, days = costs_of(path, seed, {ITERATION: BUDGETS["full"][ITERATION]})
    (optimum,) = (row["cost"] for row in costs if row["policy"] == OPTIMUM)
    return [row | {"optimum_cost": round(optimum, 4)} for row in days]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("flights", type=Path, help="flights-3m.parquet")
    parser.add_argument("--seeds", type=int, default=5, help="trainings (default: 5)")
    parser.add_argument("--output", type=Path, help="another root to write under")
    given = parser.parse_args()
    if given.seeds < 1:
        parser.error(f"--seeds {given.seeds}: must be at least 1")
    folders = Folders(given.output)
    counts = folders.root / "build" / f"{NAME}.csv"
    counts.parent.mkdir(parents=True, exist_ok=True)
    counted(given.flights).to_csv(counts, index=False)
    rows = [row for seed in tqdm(range(given.seeds), unit="training") for row in rows_of(counts, seed)]
    path = folders.results / "advice_flights.csv"
    write_table(path, pd.DataFrame(rows))
    print(f"Wrote {folders.shown(path)}.")


if __name__ == "__main__":
    main()
