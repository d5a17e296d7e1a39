"""What the learners are compared with: rules, calibrated and not, and the limit.

What a policy is measured on: evaluation days of patterns or traces, the same for everyone.
"""

from __future__ import annotations

import dataclasses
import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm.auto import tqdm

from autoscaler_env.evaluation.calibration import Calibration, calibrate, read_calibrations, save_calibrations
from autoscaler_env.evaluation.metrics import EPISODES, measure
from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.paths import Folders
from autoscaler_env.policies.base import Policy
from autoscaler_env.policies.forecast import Forecast
from autoscaler_env.policies.oracle import Optimum
from autoscaler_env.policies.registry import BASELINES
from autoscaler_env.service import Service
from autoscaler_env.traffic.patterns import MIXED, PATTERNS, Workload, as_workload
from autoscaler_env.traffic.trace import Trace

SMALL_COUNT = 100.0
"""Requests in a step, on average, below which a trace is smoothed: its counting noise would be scaled up with it."""

SMOOTHED_OVER = 6
"""Steps of the moving average over such a trace."""


@dataclass(frozen=True)
class Exam:
    """Workloads and how many evaluation days of each."""

    workloads: tuple[str | Workload, ...] = PATTERNS
    """Names of patterns, or traces."""
    episodes: int = EPISODES
    """Evaluation days of each, at most."""

    def identity(self) -> dict[str, Any]:
        """Return, as plain values, all that decides what is measured."""
        return {
            "workloads": [each if isinstance(each, str) else _content_of(each) for each in self.workloads],
            "episodes": self.episodes,
        }

    def measure(self, policy: Policy, service: Service) -> list[dict[str, Any]]:
        """Let a policy scale all days of the exam.

        Returns:
            A row per workload: tested_on, days, the means of what `evaluation.measure` returns, and late_share (of
            what arrived, served in a later step or dropped).
        """
        rows: list[dict[str, Any]] = []
        for each in self.workloads:
            workload = as_workload(each, service)
            days = workload.evaluation_days(self.episodes)
            episodes = measure(simulate(policy, days, service))
            means = {str(column): float(mean) for column, mean in episodes.mean().items()}
            shares = {"late_share": 1.0 - means["in_time"]}
            rows.append({"tested_on": workload.name, "days": len(days)} | means | shares)
        return rows


def trace_exam(folder: Path, service: Service, episodes: int = EPISODES) -> tuple[Exam, dict[str, int]]:
    """Return the exam on the traces in a folder, and over how many steps each is smoothed (1 is not at all).

    Each trace is scaled so that its 99th percentile is the service's peak; one of small counts is smoothed before.
    Nothing is trained or calibrated on any of them: their evaluation days, the later 40 %, are only played. A file that
    is no trace, or too short, is said on stderr and left out.

    Args:
        folder: Holds CSV files as `Trace.from_csv` takes them.
        service: Gives the steps of a day and the peak.
        episodes: Evaluation days of each, at most.

    Raises:
        ValueError: There is no such folder, or no trace in it.
    """
    if not folder.is_dir():
        raise ValueError(f"traces = {str(folder)!r}: there is no such folder")
    traces, smoothing = [], {}
    for path in sorted(folder.glob("*.csv")):
        try:
            raw = Trace.from_csv(path, service)
        except ValueError as error:
            print(f"Left out: {error}.", file=sys.stderr)
            continue
        smoothing[raw.name] = SMOOTHED_OVER if raw.earlier.mean() < SMALL_COUNT else 1
        traces.append(Trace.from_csv(path, service, smooth=smoothing[raw.name], rescale=True))
    if not traces:
        raise ValueError(f"traces = {str(folder)!r}: no trace there (CSV files with the columns step and requests)")
    return Exam(tuple(traces), episodes), smoothing


def _content_of(workload: Workload) -> str:
    """Return the name of a workload and a hash of its evaluation days."""
    days = workload.evaluation_days(EPISODES)
    return f"{workload.name} {hashlib.sha256(days.tobytes()).hexdigest()[:16]}"


ONE_SETTING = "target-tracking-mixed"
"""Target tracking with one setting for all patterns."""

PER_PATTERN = "target-tracking-per-pattern"
"""Target tracking with a setting for the pattern that it is tested on."""


def calibrations(service: Service, folders: Folders, days: int = 100) -> dict[str, Calibration]:
    """Return target tracking's cheapest settings on calibration days, by pattern; `MIXED` is the one for all.

    For the reference service they stand in `results/calibration.csv`; if they do not yet, they are found and written
    there. For any other service they are found anew.

    Args:
        service: The service to scale.
        folders: Where the table lies.
        days: Calibration days of each pattern, if they must be found.
    """
    written = folders.results / "calibration.csv"
    if service == Service() and written.exists():
        return read_calibrations(folders)
    print("Calibrating target tracking.", file=sys.stderr)
    found = {pattern: calibrate((pattern,), service, days) for pattern in (MIXED, *PATTERNS)}
    if service == Service():
        save_calibrations(found, folders)
    return found


def measure_opponents(
    exam: Exam, service: Service, settings: dict[str, Calibration], limit: Sequence[dict[str, Any]]
) -> pd.DataFrame:
    """Measure every rule, Kubernetes' autoscalers and target tracking as it was calibrated, beside the optimum.

    On traces a forecast from the days before plays too.

    Args:
        exam: What to measure on.
        service: The service to scale.
        settings: What `calibrations` returns.
        limit: What `Store.limit` returns.

    Returns:
        A row per policy and workload: policy, tested_on, days, regret ($ a day above the optimum) and the other
        columns of `Exam.measure`. Target tracking with the setting for the workload is there where that is a pattern.
    """
    fixed = [make(service) for name, make in BASELINES.items() if name != Optimum.name]
    fixed.append(settings[MIXED].rule(service, ONE_SETTING))
    rows: list[dict[str, Any]] = []
    for each in tqdm(exam.workloads, desc="opponents", unit="workload", leave=False, disable=None):
        alone = dataclasses.replace(exam, workloads=(each,))
        for policy in (*fixed, *_for_workload(each, service, settings)):
            rows += [{"policy": policy.name} | row for row in alone.measure(policy, service)]
    table = pd.DataFrame(rows + [{"policy": Optimum.name} | row for row in limit])
    cheapest = {row["tested_on"]: row["cost"] for row in limit}
    table.insert(3, "regret", table["cost"] - table["tested_on"].map(cheapest))
    return table


def play_traces(
    folder: Path, policies: Sequence[Policy], settings: dict[str, Calibration], episodes: int = EPISODES
) -> pd.DataFrame:
    """Let policies, and all opponents, scale the evaluation days of the traces in a folder.

    Args:
        folder: Holds CSV files as `Trace.from_csv` takes them; see `exams.trace_exam`.
        policies: Such as trained models, for the reference service.
        settings: What `calibrations` returns: found on synthetic days.
        episodes: Evaluation days of each trace, at most.

    Returns:
        Indexed by trace and policy: days, smooth (steps), seeds (0 for an opponent, 1 for a model), cost, regret ($ a
        day), low, high (unknown: one training has no interval) and late_share, as `findings.on_traces`.
    """
    service = Service()
    exam, smoothing = trace_exam(folder, service, episodes)
    table = measure_opponents(exam, service, settings, exam.measure(Optimum(service), service)).assign(seeds=0)
    rows = [{"policy": policy.name, "seeds": 1} | row for policy in policies for row in exam.measure(policy, service)]
    table = pd.concat([table, pd.DataFrame(rows)], ignore_index=True).rename(columns={"tested_on": "trace"})
    best = table[table["policy"] == Optimum.name].set_index("trace")["cost"]
    table["regret"] = table["cost"] - table["trace"].map(best)
    table = table.assign(smooth=table["trace"].map(smoothing), low=float("nan"), high=float("nan"))
    columns = ["days", "smooth", "seeds", "cost", "regret", "low", "high", "late_share"]
    return table.set_index(["trace", "policy"])[columns].sort_index(level="trace", sort_remaining=False, kind="stable")


def _for_workload(workload: str | Workload, service: Service, settings: dict[str, Calibration]) -> list[Policy]:
    """Return the policies that exist for this workload alone."""
    if isinstance(workload, str):
        return [settings[workload].rule(service, PER_PATTERN)]
    return [Forecast(service, workload)] if isinstance(workload, Trace) else []
