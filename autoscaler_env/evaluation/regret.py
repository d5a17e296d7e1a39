"""Regret: the cost of a policy above the clairvoyant optimum of the same days, in dollars a day.

    python -m autoscaler_env.evaluation.regret

finds the optimum of the first 200 evaluation days of each pattern for the reference service and writes it to
`results/optimum.csv`, for later comparisons: the optimum of a day never changes.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from autoscaler_env.evaluation.metrics import mean_over_patterns, savings
from autoscaler_env.evaluation.simulation import ITEMS
from autoscaler_env.paths import Folders
from autoscaler_env.policies.oracle import Optimum, cheapest_plan
from autoscaler_env.service import Service
from autoscaler_env.storage.files import write_text
from autoscaler_env.traffic.patterns import PATTERNS, Workload, as_workload

OPTIMUM_DAYS = 200
"""Evaluation days of each pattern in `results/optimum.csv`."""

COMMAND = "python -m autoscaler_env.evaluation.regret"
"""The command that makes `results/optimum.csv`."""


def find_optima(
    patterns: Iterable[str | Workload] = PATTERNS, days: int = OPTIMUM_DAYS, service: Service | None = None
) -> pd.DataFrame:
    """Find the lowest possible cost of evaluation days.

    Args:
        patterns: Names of patterns, or workloads.
        days: Evaluation days of each, from the first on; of a trace, at most as many as it has.
        service: The reference service by default.

    Returns:
        A row per day: pattern, day, arrivals (requests, which identify the day), cost ($).
    """
    service = service or Service()
    tables = []
    for pattern in patterns:
        workload = as_workload(pattern, service)
        drawn = workload.evaluation_days(days)
        costs = cheapest_plan(drawn, service).costs
        columns = {"pattern": workload.name, "day": np.arange(len(drawn)), "arrivals": drawn.sum(axis=1), "cost": costs}
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def save_optima(optima: pd.DataFrame, folders: Folders) -> Path:
    """Write what `find_optima` returns to `results/optimum.csv`; return its path."""
    path = folders.results / "optimum.csv"
    write_text(path, optima.round(6).to_csv(index=False))
    return path


def read_optima(folders: Folders) -> pd.DataFrame:
    """Return the optima of the reference service's evaluation days, as `find_optima` does.

    Raises:
        FileNotFoundError: The file is missing; the message has the command that makes it.
    """
    return pd.read_csv(folders.made(folders.results / "optimum.csv", COMMAND))


def regret(episodes: pd.DataFrame, optima: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return what each policy costs a day above the optimum, paired on the days whose optimum is known.

    Args:
        episodes: What `metrics.evaluate` returns, for one or more patterns.
        optima: What `find_optima` or `read_optima` returns, for the same service; by default the rows of the policy
            `optimum` among the episodes.

    Returns:
        Indexed by policy and pattern (`MEAN` over patterns where there are several): days, and regret, low, high ($ a
        day; 95 % interval over days).

    Raises:
        ValueError: A pattern has no optimum, or the optima are of other days or of another service.

    Example:
        >>> days = {"pattern": "STEADY", "episode": [0, 1, 2], "arrivals": [10, 20, 30]}
        >>> rule = pd.DataFrame({"policy": "rule"} | days | {"cost": [5.0, 6.0, 7.0]})
        >>> best = pd.DataFrame({"pattern": "STEADY", "day": [0, 1], "arrivals": [10, 20], "cost": [4.0, 5.0]})
        >>> regret(rule, best).reset_index().to_dict("records")
        [{'policy': 'rule', 'pattern': 'STEADY', 'days': 2, 'regret': 1.0, 'low': 1.0, 'high': 1.0}]
    """
    columns = ["policy", "pattern", "episode", "arrivals", "cost"]
    if optima is None:
        best = episodes.loc[episodes["policy"] == Optimum.name, columns]
    else:
        best = optima.rename(columns={"day": "episode"}).assign(policy=Optimum.name)[columns]
    played = episodes.loc[episodes["policy"] != Optimum.name, columns]
    pairs = played.merge(best, on=["pattern", "episode"], suffixes=("", "_best"))
    for pattern in played["pattern"].unique():
        if pattern not in set(pairs["pattern"]):
            raise ValueError(
                f"optima: none of the days of {pattern!r}; evaluate the policy optimum too, or find_optima"
            )
    wrong = pairs[(pairs["arrivals"] != pairs["arrivals_best"]) | (pairs["cost"] < pairs["cost_best"] - 1e-6)]
    if len(wrong):
        row = wrong.iloc[0]
        raise ValueError(
            f"optima: not of these days or this service: on day {row['episode']} of {row['pattern']} {row['policy']} "
            f"pays {row['cost']:.2f} for {row['arrivals']} requests, the optimum {row['cost_best']:.2f} for "
            f"{row['arrivals_best']}; make them again"
        )
    known = best.merge(played[["pattern", "episode"]].drop_duplicates())
    paired = pd.concat([pairs[columns], known], ignore_index=True)
    if paired["pattern"].nunique() > 1:
        paired = pd.concat([paired, mean_over_patterns(paired)], ignore_index=True)
    saved = savings(paired, against=Optimum.name)
    days = paired.groupby(["policy", "pattern"]).size()
    return pd.DataFrame(
        {"days": days.loc[saved.index], "regret": -saved["saving"], "low": -saved["high"], "high": -saved["low"]}
    )


def losses(episodes: pd.DataFrame) -> pd.DataFrame:
    """Return the regret of each policy by item of the cost, on the days for which there is an optimum.

    Args:
        episodes: What `metrics.evaluate` returns, with the policy `optimum`; `regret` checks that the days match.

    Returns:
        Indexed by policy and pattern (`MEAN` over patterns where there are several): instance_cost, late_cost,
        drop_cost: what the policy pays for the item above the optimum ($ a day, negative where it pays less). The three
        add up to the regret.

    Raises:
        ValueError: As `regret`.
    """
    order = regret(episodes).index
    costs = list(ITEMS)
    rows = episodes[["policy", "pattern", "episode", *costs]]
    best = rows[rows["policy"] == Optimum.name].drop(columns="policy")
    pairs = rows[rows["policy"] != Optimum.name].merge(best, on=["pattern", "episode"], suffixes=("", "_best"))
    for cost in costs:
        pairs[cost] -= pairs.pop(f"{cost}_best")
    if pairs["pattern"].nunique() > 1:
        pairs = pd.concat([pairs, mean_over_patterns(pairs)], ignore_index=True)
    return pairs.groupby(["policy", "pattern"])[costs].mean().loc[order]


def main() -> None:
    """Find and write the optima of the reference service; print how long a day takes."""
    tables = []
    for pattern in PATTERNS:
        begin = time.perf_counter()
        tables.append(find_optima([pattern]))
        seconds = (time.perf_counter() - begin) / len(tables[-1])
        print(f"{pattern:<12} {tables[-1]['cost'].mean():8.2f} $ a day, {1000 * seconds:.1f} ms a day", flush=True)
    folders = Folders()
    print(f"Wrote {folders.shown(save_optima(pd.concat(tables), folders))}.")


if __name__ == "__main__":
    main()
