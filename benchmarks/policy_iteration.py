"""Hold policy iteration against the limit, the rules that are told the pattern, and "recognise, then act".

    nice python benchmarks/policy_iteration.py

Needs the tables of `autoscaler study iteration iteration_patterns` and of the limits. Rules and "recognise, then act"
are costed on the same evaluation days, which takes about a minute. One row for each workload that was trained on, and
for `MIXED` one for each pattern too, is saved as `results/policy_iteration.csv`:

| column | content |
|---|---|
| trained_on, tested_on | workloads; `MIXED` is the mean of the six patterns |
| trainings, cost, low, high | number of trainings, mean cost in dollars a day, 95 % interval over the trainings |
| limit_low, limit_high | both ends of the limit without foresight |
| told | the cheapest calibrated rule of the pattern |
| saved_told, saved_told_low, saved_told_high | what is saved against it, with the interval over the trainings |
| recognise | "recognise, then act" |
| saved_recognise, saved_recognise_low, saved_recognise_high | what is saved against it |
| visited, branched, labels, cpu_seconds | mean steps played, steps of branches, labels and CPU seconds of a training |
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd

from autoscaler_env.evaluation.limits import read_limits
from autoscaler_env.evaluation.metrics import EPISODES
from autoscaler_env.evaluation.rivals import cheapest_rules
from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.evaluation.statistics import mean_interval
from autoscaler_env.paths import Folders
from autoscaler_env.policies.base import Policy
from autoscaler_env.policies.registry import find_policy
from autoscaler_env.service import Service
from autoscaler_env.storage.files import write_text
from autoscaler_env.study.analysis import read_study
from autoscaler_env.threads import one_thread
from autoscaler_env.traffic.patterns import MIXED, PATTERNS, Pattern

SERVICE = Service()
COUNTED = ["visited", "branched", "labels", "cpu_seconds"]


def rivals_costs(episodes: int, folders: Folders) -> pd.DataFrame:
    """Return the mean costs of both rivals on each pattern and on `MIXED`: columns told and recognise."""
    rules, recognise = cheapest_rules(folders), find_policy("recognise", folders=folders)
    rows = {}
    for name in PATTERNS:
        days = Pattern(name, SERVICE).evaluation_days(episodes)
        policies: dict[str, Policy] = {"told": rules[name].policy(), "recognise": recognise}
        rows[name] = {key: simulate(policy, days, SERVICE).cost.sum(axis=1).mean() for key, policy in policies.items()}
    table = pd.DataFrame(rows).T
    return pd.concat([table, table.mean().to_frame(MIXED).T])


def row_of(trainings: pd.DataFrame, limits: pd.DataFrame, rivals: pd.DataFrame) -> dict[str, object]:
    """Return a row of the table from the rows of all trainings on one workload, tested on one."""
    trained_on, tested_on = trainings[["trained_on", "tested_on"]].iloc[0]
    costs = trainings["cost"].to_numpy()
    low, high = limits.loc["MEAN" if tested_on == MIXED else tested_on, ["low", "high"]]
    n, mean, least, most = mean_interval(costs, independent=True)
    row: dict[str, object] = {"trained_on": trained_on, "tested_on": tested_on, "trainings": n, "cost": mean}
    row |= {"low": least, "high": most, "limit_low": low, "limit_high": high}
    for rival in ("told", "recognise"):
        saved = mean_interval(rivals.loc[tested_on, rival] - costs, independent=True)
        row |= {rival: rivals.loc[tested_on, rival], f"saved_{rival}": saved.mean}
        row |= {f"saved_{rival}_low": saved.low, f"saved_{rival}_high": saved.high}
    return row | trainings[COUNTED].mean().to_dict()


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=EPISODES, help="evaluation days of each pattern for the rivals")
    parser.add_argument("--output", help="folder to read and write under; the project by default")
    options = parser.parse_args()
    one_thread()
    folders = Folders(options.output)
    mixed, alone = read_study("iteration", folders), read_study("iteration_patterns", folders)
    columns = ["trained_on", "seed", "tested_on", "cost", *COUNTED]
    means = mixed[columns].groupby(["trained_on", "seed"], as_index=False).mean(numeric_only=True)
    own = alone[alone["trained_on"] == alone["tested_on"]]
    table = pd.concat([means.assign(tested_on=MIXED), mixed, own])[columns]
    limits, rivals = read_limits(folders), rivals_costs(options.days, folders)
    order = [MIXED, *PATTERNS]
    rows = [
        row_of(group, limits, rivals)
        for trained_on in order
        for tested_on in order
        if len(group := table[(table["trained_on"] == trained_on) & (table["tested_on"] == tested_on)])
    ]
    path = folders.results / "policy_iteration.csv"
    result = pd.DataFrame(rows)
    write_text(path, result.to_csv(index=False, float_format=lambda value: f"{np.round(value, 4):.9g}"))
    print(result.to_string(index=False, float_format="%.3f"))


if __name__ == "__main__":
    main()
