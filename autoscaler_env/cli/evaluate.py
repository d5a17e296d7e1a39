"""`autoscaler evaluate`: what policies cost on the same days."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from autoscaler_env.cli.console import cost_report, evaluate_all
from autoscaler_env.cli.options import (
    Output,
    PatternName,
    Rescale,
    ServiceFile,
    Smooth,
    TraceFile,
    service_of,
    workload_of,
)
from autoscaler_env.paths import Folders
from autoscaler_env.policies.registry import find_policies
from autoscaler_env.traffic.patterns import MIXED, PATTERNS


@dataclass(frozen=True)
class Evaluate:
    """Let policies scale the same evaluation days; print what they cost, in dollars a day."""

    policies: Annotated[Positional[tuple[str, ...]], arg(metavar="POLICY ...", help_behavior_hint="(one or more)")]
    """random, static, threshold, target-tracking, target-tracking-PATTERN (calibrated on it),
    target-tracking-calibrated (on the pattern, or the earlier days of the trace), hpa-cpu, hpa-demand, kpa, forecast
    (with --trace), optimum (knows the day), a model's name or file, or module:Class. The last policy is the baseline
    that the others are compared with."""
    pattern: PatternName = None
    trace: TraceFile = None
    smooth: Smooth = 1
    rescale: Rescale = None
    episodes: Annotated[int, arg(metavar="N")] = 2_000
    """Evaluation days of each pattern; of a trace, at most as many as it has."""
    service: ServiceFile = None
    csv: Annotated[Path | None, arg(metavar="FILE.csv", help_behavior_hint="(none)")] = None
    """Write one row per policy and day to this file."""
    output: Output = None

    def run(self) -> int:
        """Evaluate and print the table."""
        service = service_of(self.service)
        workload = workload_of(self.pattern, self.trace, self.smooth, service, self.rescale)
        if self.episodes < 1:
            raise ValueError(f"episodes = {self.episodes}: must be at least 1")
        if self.csv is not None and not self.csv.absolute().parent.is_dir():
            raise ValueError(f"csv = {str(self.csv)!r}: there is no such folder")
        from autoscaler_env.evaluation.metrics import verdict

        policies = find_policies(self.policies, service, Folders(self.output), workload)
        episodes = evaluate_all(policies, PATTERNS if workload == MIXED else [workload], self.episodes, service)
        print(cost_report(episodes))
        *others, last = episodes["policy"].unique()
        for policy in others:
            print(verdict(episodes, policy, last))
        if self.csv is not None:
            episodes.to_csv(self.csv, index=False)
            print(f"Wrote {len(episodes):,} rows to {self.csv}.")
        return 0
