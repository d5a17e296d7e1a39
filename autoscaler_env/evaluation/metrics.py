"""Evaluate policies: costs, waits and savings on the same days, with intervals."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm.auto import tqdm

from autoscaler_env.evaluation.objective import Objective
from autoscaler_env.evaluation.simulation import Trajectory, simulate, wait_percentiles
from autoscaler_env.evaluation.statistics import Interval, comparison, mean_interval
from autoscaler_env.paths import Folders
from autoscaler_env.policies.base import Policy
from autoscaler_env.service import Service
from autoscaler_env.storage.files import write_json, write_text
from autoscaler_env.text import not_a_choice
from autoscaler_env.traffic.patterns import MIXED, PATTERNS, Workload, as_workload

EPISODES = 2_000
"""Evaluation days per pattern, by default."""

MEAN = "MEAN"
"""The entry of the column `pattern` for the mean over patterns."""


def served_in_time(trajectory: Trajectory) -> NDArray[np.int64]:
    """Return the requests that were served in the step of their arrival, shape (n, steps).

    The queue is served first, and each row begins without one.
    """
    queue_before = np.hstack([np.zeros((len(trajectory.queue), 1), dtype=np.int64), trajectory.queue[:, :-1]])
    return np.maximum(trajectory.served - queue_before, 0)


def measure(trajectory: Trajectory, objective: Objective | None = None) -> pd.DataFrame:
    """Summarise a trajectory, one row per episode.

    Args:
        trajectory: What happened.
        objective: Adds the column `served_within`: requests that were served within its seconds.

    Returns:
        Columns: cost, instance_cost, late_cost, drop_cost ($); arrivals, served, late, dropped (requests; late requests
        were served in a later step than that of their arrival, or still wait); in_time (share of arrivals served in the
        step of their arrival); wait_p95, wait_p99 (s); mean_queue, peak_queue (requests); mean_fleet (instances);
        utilisation (mean over steps); scaling_actions.
    """
    in_time = served_in_time(trajectory).sum(axis=1)
    arrivals = trajectory.arrivals.sum(axis=1)
    dropped = trajectory.dropped.sum(axis=1)
    waits = wait_percentiles(
        trajectory.arrivals, trajectory.served, trajectory.dropped, trajectory.service.step_seconds
    )
    table = pd.DataFrame(
        {
            "cost": trajectory.cost.sum(axis=1),
            "instance_cost": trajectory.instance_cost.sum(axis=1),
            "late_cost": trajectory.late_cost.sum(axis=1),
            "drop_cost": trajectory.drop_cost.sum(axis=1),
            "arrivals": arrivals,
            "served": trajectory.served.sum(axis=1),
            "late": arrivals - dropped - in_time,
            "dropped": dropped,
            "in_time": np.where(arrivals > 0, in_time / np.maximum(arrivals, 1), 1.0),
            "wait_p95": waits[:, 0],
            "wait_p99": waits[:, 1],
            "mean_queue": trajectory.queue.mean(axis=1),
            "peak_queue": trajectory.queue.max(axis=1),
            "mean_fleet": trajectory.fleet.mean(axis=1),
            "utilisation": trajectory.utilisation.mean(axis=1),
            "scaling_actions": trajectory.scaled.sum(axis=1),
        }
    )
    if objective is not None:
        table["served_within"] = objective.in_time(trajectory).sum(axis=1)
    return table


def evaluate(
    policies: Sequence[Policy],
    pattern: str | Workload,
    episodes: int = EPISODES,
    service: Service | None = None,
    objective: Objective | None = None,
) -> pd.DataFrame:
    """Let each policy scale the same evaluation days.

    Args:
        policies: One or more, with different names.
        pattern: A pattern's name or a workload; the number of evaluation days of a trace is limited.
        episodes: Days, at most.
        service: The reference service by default.
        objective: As for `measure`; the service must leave lateness to it (`Objective.check_service`).

    Returns:
        One row per policy and episode: policy, pattern, episode, and the columns of `measure`.

    Raises:
        ValueError: Two policies have the same name, there is nothing to evaluate, or objective and service contradict.
    """
    service = service or Service()
    if objective is not None:
        objective.check_service(service)
    names = [policy.name for policy in policies]
    if not names or len(set(names)) != len(names):
        raise ValueError(f"policies = {names}: must be one or more, with different names")
    if episodes < 1:
        raise ValueError(f"episodes = {episodes}: must be at least 1")
    workload = as_workload(pattern, service)
    days = workload.evaluation_days(episodes)
    frames = []
    for policy in policies:
        frame = measure(simulate(policy, days, service), objective)
        frame.insert(0, "policy", policy.name)
        frame.insert(1, "pattern", workload.name)
        frame.insert(2, "episode", np.arange(len(days)))
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def evaluate_patterns(
    policies: Callable[[str], Sequence[Policy]],
    patterns: Iterable[str | Workload],
    episodes: int = EPISODES,
    service: Service | None = None,
    *,
    progress: bool = False,
    objective: Objective | None = None,
) -> pd.DataFrame:
    """Evaluate on several patterns.

    Args:
        policies: Returns the policies for the name of a pattern.
        patterns: Names of patterns, or workloads.
        episodes: Evaluation days of each pattern.
        service: The reference service by default.
        progress: Whether to show a progress bar, where it takes more than a second in a terminal.
        objective: As for `measure`.

    Returns:
        The rows of `evaluate` for each pattern.
    """
    bar = tqdm(list(patterns), unit="pattern", delay=1, leave=False, disable=None if progress else True)
    names = ((pattern if isinstance(pattern, str) else pattern.name, pattern) for pattern in bar)
    return pd.concat(
        [evaluate(policies(name), pattern, episodes, service, objective) for name, pattern in names], ignore_index=True
    )


def summarise(episodes: pd.DataFrame) -> pd.DataFrame:
    """Return one row per policy and pattern: the mean of each column, and the 95 % interval of the mean cost over days.

    Args:
        episodes: What `evaluate` returns.

    Returns:
        Indexed by policy and pattern, in the order of the episodes; their columns, cost_low and cost_high.
    """
    groups = episodes.drop(columns="episode").groupby(["policy", "pattern"], sort=False)
    summary = groups.mean()
    intervals = [_interval_over_days(group["cost"], cast(tuple[str, str], key)[1]) for key, group in groups]
    summary.insert(1, "cost_low", [interval.low for interval in intervals])
    summary.insert(2, "cost_high", [interval.high for interval in intervals])
    return summary


def savings(episodes: pd.DataFrame, against: str) -> pd.DataFrame:
    """Return what each policy saves per day against a baseline, paired on the same days.

    Args:
        episodes: What `evaluate` returns.
        against: The name of the baseline, one of the policies.

    Returns:
        Indexed by policy and pattern; columns saving, low, high ($ a day; 95 % interval over days).
    """
    costs = episodes.pivot(index=["pattern", "episode"], columns="policy", values="cost")
    if against not in costs:
        raise ValueError(not_a_choice("against", against, costs.columns))
    rows = []
    for policy in episodes["policy"].unique():
        if policy == against:
            continue
        difference = (costs[against] - costs[policy]).dropna()
        played = difference.index.unique("pattern")
        for pattern in (pattern for pattern in episodes["pattern"].unique() if pattern in played):
            _, mean, low, high = _interval_over_days(difference.loc[pattern], pattern)
            rows.append({"policy": policy, "pattern": pattern, "saving": mean, "low": low, "high": high})
    columns = ["policy", "pattern", "saving", "low", "high"]  # named, for a policy that has none to compare with
    return pd.DataFrame(rows, columns=columns).set_index(["policy", "pattern"])


def _interval_over_days(values: pd.Series, pattern: str) -> Interval:
    """Return the interval over days.

    Days of our patterns are independent. Recorded days resemble the day before. Days of an own workload may do so too:
    we do not know how it draws them.
    """
    return mean_interval(values.to_numpy(), independent=pattern in (*PATTERNS, MIXED, MEAN))


def mean_over_patterns(episodes: pd.DataFrame) -> pd.DataFrame:
    """Average each policy's episodes over the patterns: episode i of one with episode i of the others.

    Days of different patterns with one seed are not independent. So an interval for the mean over patterns averages
    within an episode first, as here, and then uses the spread over episodes: pass the result to `summarise` or
    `savings`.

    Args:
        episodes: What `evaluate` returns, for several patterns.

    Returns:
        The same columns, one row per policy and episode, pattern `MEAN`; only episodes that every pattern has.
    """
    patterns = episodes["pattern"].nunique()
    groups = episodes.drop(columns="pattern").groupby(["policy", "episode"], sort=False)
    means = groups.mean()[groups.size() == patterns].reset_index()
    means.insert(1, "pattern", MEAN)
    return means


def verdict(episodes: pd.DataFrame, policy: str, against: str) -> str:
    """Return a sentence on how many dollars a day one policy saves against another, as a mean over the patterns.

    Args:
        episodes: What `evaluate` returns, for one or more patterns.
        policy: The policy that may save.
        against: The baseline.

    Example:
        >>> days = {"pattern": "STEADY", "episode": [0, 1, 2]}
        >>> rule, model = (pd.DataFrame({"policy": name} | days) for name in ("rule", "model"))
        >>> both = pd.concat([rule.assign(cost=[5.0, 6.0, 7.0]), model.assign(cost=[3.9, 5.0, 6.1])])
        >>> verdict(both, "model", "rule")
        'model is cheaper than rule by $1.00 a day (95 % interval $0.75 to $1.25, 3 paired days).'
        >>> verdict(both, "rule", "model")
        'rule is dearer than model by $1.00 a day (95 % interval $0.75 to $1.25, 3 paired days).'
    """
    pair = episodes[episodes["policy"].isin((policy, against))]
    patterns = pair["pattern"].nunique()
    means = mean_over_patterns(pair) if patterns > 1 else pair  # a single one keeps its name, and so its interval
    days = means["episode"].nunique()
    saved = Interval(days, *savings(means, against).to_numpy()[0])
    basis = f"{days:,} paired days" + (f" on each of {patterns} patterns" if patterns > 1 else "")
    return f"{comparison(saved, policy, against, basis)}."


def compare_policies(
    policies: Sequence[Policy],
    patterns: Iterable[str | Workload] = PATTERNS,
    episodes: int = EPISODES,
    service: Service | None = None,
    against: str | None = None,
) -> pd.DataFrame:
    """Let policies scale the same evaluation days; return what each costs and saves.

    Args:
        policies: One or more, with different names.
        patterns: Names of patterns, or workloads.
        episodes: Evaluation days of each, at most.
        service: The reference service by default.
        against: The name of the baseline for savings; the first policy by default.

    Returns:
        Indexed by policy and pattern (`MEAN` over patterns where there are several): cost, cost_low, cost_high ($ a
        day; 95 % interval over days), in_time (share of the requests), saving, saving_low, saving_high ($ a day against
        the baseline, paired by day).

    Raises:
        ValueError: As `evaluate`; or `against` is none of the policies.
    """
    played = pd.concat([evaluate(policies, pattern, episodes, service) for pattern in patterns], ignore_index=True)
    if played["pattern"].nunique() > 1:
        played = pd.concat([played, mean_over_patterns(played)], ignore_index=True)
    table = summarise(played)[["cost", "cost_low", "cost_high", "in_time"]]
    saved = savings(played, against or policies[0].name)
    table[["saving", "saving_low", "saving_high"]] = saved[["saving", "low", "high"]]
    return table


def save_evaluation(episodes: pd.DataFrame, folders: Folders, against: str | None = None) -> tuple[Path, Path]:
    """Write the results of an evaluation, as a table for people and as JSON for programs.

    Args:
        episodes: What `evaluate_patterns` returns.
        folders: Where to write: `results/evaluation_summary.csv` and `results/evaluation_results.json`.
        against: The name of the baseline for savings; without it there are none.

    Returns:
        The two paths. The CSV has a row per policy and pattern, and one per policy for the mean over patterns
        (`MEAN`); the JSON holds `episodes` (days per pattern), `mean` by policy and `patterns` by pattern and policy,
        each with the columns of `summarise` and, with a baseline, `saving`, `saving_low`, `saving_high` ($ a day).
    """
    together = pd.concat([episodes, mean_over_patterns(episodes)], ignore_index=True)
    summary = summarise(together)
    if against is not None:
        saved = savings(together, against)
        summary[["saving", "saving_low", "saving_high"]] = saved[["saving", "low", "high"]]
    table = folders.results / "evaluation_summary.csv"
    write_text(table, summary.round(4).to_csv())
    patterns: dict[str, dict[str, dict[str, float | None]]] = {name: {} for name in together["pattern"].unique()}
    for policy, pattern in summary.index:
        row = summary.loc[(policy, pattern)].round(4)
        patterns[pattern][policy] = {column: None if pd.isna(value) else float(value) for column, value in row.items()}
    mean = patterns.pop(MEAN)
    results = folders.results / "evaluation_results.json"
    write_json(results, {"episodes": int(episodes["episode"].nunique()), "mean": mean, "patterns": patterns})
    return table, results


def read_evaluation(folders: Folders) -> dict[str, Any]:
    """Return what notebook 6 measured, as `save_evaluation` wrote it.

    Raises:
        FileNotFoundError: Notebook 6 has not run; the message has the command that does.
    """
    path = folders.made(folders.results / "evaluation_results.json", "autoscaler run --only 06_compare_policies")
    results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return results
