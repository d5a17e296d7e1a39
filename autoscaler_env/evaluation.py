"""Bills, waits and intervals: what a policy costs, and how sure we are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from autoscaler_env.policies.base import Policy
from autoscaler_env.rollouts import Rollout, roll_out
from autoscaler_env.service import Service
from autoscaler_env.waits import wait_percentiles
from autoscaler_env.workloads import Workload, as_workload

EPISODES = 2_000
"""Evaluation days per pattern, unless told otherwise."""


def measure(rollout: Rollout) -> pd.DataFrame:
    """Sum a rollout up, one row per episode.

    Returns:
        Columns: bill, instance_cost, late_cost, drop_cost ($); arrivals, served, late, dropped (requests; late ones
        were not served in the slot they came in); in_time (share of arrivals served in their slot); wait_p95,
        wait_p99 (s); mean_queue, peak_queue (requests); mean_fleet (instances); utilisation (mean load);
        scaling_actions.
    """
    queue_before = np.hstack([np.zeros((len(rollout.queue), 1), dtype=np.int64), rollout.queue[:, :-1]])
    in_time = np.maximum(rollout.served - queue_before, 0).sum(axis=1)
    arrivals = rollout.arrivals.sum(axis=1)
    dropped = rollout.dropped.sum(axis=1)
    waits = wait_percentiles(rollout.arrivals, rollout.served, rollout.dropped, rollout.service.slot_seconds)
    return pd.DataFrame(
        {
            "bill": rollout.bill.sum(axis=1),
            "instance_cost": rollout.instance_cost.sum(axis=1),
            "late_cost": rollout.late_cost.sum(axis=1),
            "drop_cost": rollout.drop_cost.sum(axis=1),
            "arrivals": arrivals,
            "served": rollout.served.sum(axis=1),
            "late": arrivals - dropped - in_time,
            "dropped": dropped,
            "in_time": in_time / np.maximum(arrivals, 1),
            "wait_p95": waits[:, 0],
            "wait_p99": waits[:, 1],
            "mean_queue": rollout.queue.mean(axis=1),
            "peak_queue": rollout.queue.max(axis=1),
            "mean_fleet": rollout.fleet.mean(axis=1),
            "utilisation": rollout.load.mean(axis=1),
            "scaling_actions": rollout.scaled.sum(axis=1),
        }
    )


def evaluate(
    policies: Sequence[Policy],
    pattern: str | Workload,
    episodes: int = EPISODES,
    service: Service | None = None,
) -> pd.DataFrame:
    """Let each policy scale the same evaluation days.

    Args:
        policies: Each with a name of its own.
        pattern: A pattern's name or a workload; a trace has as many evaluation days as it has.
        episodes: Days, at most.
        service: The reference service by default.

    Returns:
        One row per policy and episode: policy, pattern, episode, and the columns of `measure`.

    Raises:
        ValueError: Two policies have the same name, or there is nothing to evaluate.
    """
    service = service or Service()
    names = [policy.name for policy in policies]
    if not names or len(set(names)) != len(names):
        raise ValueError(f"policies = {names}: must be one or more, each with a name of its own")
    if episodes < 1:
        raise ValueError(f"episodes = {episodes}: must be at least 1")
    workload = as_workload(pattern, service)
    days = workload.evaluation_days(episodes)
    frames = []
    for policy in policies:
        frame = measure(roll_out(policy, days, service))
        frame.insert(0, "policy", policy.name)
        frame.insert(1, "pattern", workload.name)
        frame.insert(2, "episode", np.arange(len(days)))
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def evaluate_patterns(
    policies: Callable[[str], Sequence[Policy]],
    patterns: Iterable[str],
    episodes: int = EPISODES,
    service: Service | None = None,
) -> pd.DataFrame:
    """Evaluate on several patterns; `policies(pattern)` returns the policies to play on each."""
    return pd.concat([evaluate(policies(name), name, episodes, service) for name in patterns], ignore_index=True)


def mean_interval(values: np.ndarray, confidence: float = 0.95) -> tuple[float, float, float]:
    """Return mean, lower and upper end of Student's interval for the mean of independent values.

    Example:
        >>> [round(x, 2) for x in mean_interval(np.array([1.0, 2.0, 3.0]))]
        [2.0, -0.48, 4.48]
    """
    mean = float(np.mean(values))
    if len(values) < 2 or np.ptp(values) == 0:
        return mean, mean, mean
    half = float(stats.sem(values) * stats.t.ppf((1 + confidence) / 2, len(values) - 1))
    return mean, mean - half, mean + half


def summarise(episodes: pd.DataFrame) -> pd.DataFrame:
    """Return one row per policy and pattern: the mean of each column, and the 95 % interval of the mean bill over days.

    Args:
        episodes: What `evaluate` returns.

    Returns:
        Indexed by policy and pattern, in the order in which they came; columns as before plus bill_low and bill_high.
    """
    groups = episodes.drop(columns="episode").groupby(["policy", "pattern"], sort=False)
    summary = groups.mean()
    intervals = groups["bill"].apply(lambda bills: mean_interval(bills.to_numpy())[1:])
    summary.insert(1, "bill_low", [low for low, _ in intervals])
    summary.insert(2, "bill_high", [high for _, high in intervals])
    return summary


def savings(episodes: pd.DataFrame, against: str) -> pd.DataFrame:
    """Return what each policy saves per day against one of them, paired on the same days.

    Args:
        episodes: What `evaluate` returns.
        against: The name of the policy that the others are compared with.

    Returns:
        Indexed by policy and pattern; columns saving, low, high ($ a day; 95 % interval over days).
    """
    bills = episodes.pivot(index=["pattern", "episode"], columns="policy", values="bill")
    if against not in bills:
        raise ValueError(f"against = {against!r}: must be one of {', '.join(bills.columns)}")
    rows = []
    for policy in episodes["policy"].unique():
        if policy == against:
            continue
        difference = (bills[against] - bills[policy]).dropna()
        for pattern in episodes["pattern"].unique():
            mean, low, high = mean_interval(difference.loc[pattern].to_numpy())
            rows.append({"policy": policy, "pattern": pattern, "saving": mean, "low": low, "high": high})
    return pd.DataFrame(rows).set_index(["policy", "pattern"])
