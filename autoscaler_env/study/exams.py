"""What a policy is measured on: evaluation days of patterns or traces, the same for everyone."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoscaler_env.evaluation.metrics import EPISODES, measure
from autoscaler_env.policies.base import Policy
from autoscaler_env.evaluation.metrics.simulation import roll_out
from autoscaler_env.service import Service
from autoscaler_env.traffic.trace import Trace
from autoscaler_env.traffic.patterns import PATTERNS, Workload, as_workload

SMALL_COUNT = 100.0
"""Requests in a slot, on average, below which a trace is smoothed: its counting noise would be scaled up with it."""

SMOOTHED_OVER = 6
"""Slots of the moving average over such a trace."""


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
            what arrived, served in a later slot or dropped).
        """
        rows: list[dict[str, Any]] = []
        for each in self.workloads:
            workload = as_workload(each, service)
            days = workload.evaluation_days(self.episodes)
            episodes = measure(roll_out(policy, days, service))
            means = {str(column): float(mean) for column, mean in episodes.mean().items()}
            shares = {"late_share": 1.0 - means["in_time"]}
            rows.append({"tested_on": workload.name, "days": len(days)} | means | shares)
        return rows


def trace_exam(folder: Path, service: Service, episodes: int = EPISODES) -> tuple[Exam, dict[str, int]]:
    """Return the exam on the traces in a folder, and over how many slots each is smoothed (1 is not at all).

    Each trace is scaled so that its 99th percentile is the service's peak; one of small counts is smoothed before.
    Nothing is trained or calibrated on any of them: their evaluation days, the later 40 %, are only played. A file that
    is no trace, or too short, is said on stderr and left out.

    Args:
        folder: Holds CSV files as `Trace.from_csv` takes them.
        service: Gives the slots of a day and the peak.
        episodes: Evaluation days of each, at most.

    Raises:
        ValueError: There is no such folder, or no trace in it.
    """
    if not folder.is_dir():
        raise ValueError(f"traces = {str(folder)!r}: there is no such folder")
    traces, smoothing = [], {}
    for path in sorted(folder.glob("*.csv")):
        try:
            raw = Trace.from_csv(path, service, rescale=False)
        except ValueError as error:
            print(f"Left out: {error}.", file=sys.stderr)
            continue
        smoothing[raw.name] = SMOOTHED_OVER if raw.earlier.mean() < SMALL_COUNT else 1
        traces.append(Trace.from_csv(path, service, smooth=smoothing[raw.name]))
    if not traces:
        raise ValueError(f"traces = {str(folder)!r}: no trace there (CSV files with the columns step and requests)")
    return Exam(tuple(traces), episodes), smoothing


def _content_of(workload: Workload) -> str:
    """Return the name of a workload and a hash of its evaluation days."""
    days = workload.evaluation_days(EPISODES)
    return f"{workload.name} {hashlib.sha256(days.tobytes()).hexdigest()[:16]}"
