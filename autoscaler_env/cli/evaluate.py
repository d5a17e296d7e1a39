"""`autoscaler evaluate`: what policies cost on the same days, as a table that `autoscaler train --eval` prints too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tqdm.auto import tqdm
from tyro.conf import Positional, arg

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
from autoscaler_env.policies.base import Policy
from autoscaler_env.policies.registry import find_policies
from autoscaler_env.service import Service
from autoscaler_env.traffic.patterns import MIXED, PATTERNS, Workload

if TYPE_CHECKING:
    import pandas as pd


_COLUMNS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "cost": ("cost", "{:.2f}".format),
    "interval": ("95 % interval", str),
    "instance_cost": ("instances", "{:.2f}".format),
    "late_cost": ("lateness", "{:.2f}".format),
    "drop_cost": ("drops", "{:.2f}".format),
    "in_time": ("in time", "{:.1%}".format),
    "wait_p95": ("p95 (s)", "{:.0f}".format),
    "wait_p99": ("p99 (s)", "{:.0f}".format),
    "peak_queue": ("peak queue", "{:,.0f}".format),
    "mean_fleet": ("fleet", "{:.1f}".format),
    "utilisation": ("utilisation", "{:.1%}".format),
    "scaling_actions": ("actions", "{:.1f}".format),
}
"""Columns of the table of costs: heading and format."""


def evaluate_all(
    policies: Sequence[Policy], workloads: Sequence[str | Workload], episodes: int, service: Service
) -> pd.DataFrame:
    """Return what `evaluation.metrics.evaluate` returns, for several workloads, with a progress bar."""
    import pandas

    from autoscaler_env.evaluation.metrics import evaluate

    pairs = [(policy, workload) for workload in workloads for policy in policies]
    bar = tqdm(pairs, unit="evaluation", delay=1, leave=False, disable=None)
    return pandas.concat(
        [evaluate([policy], workload, episodes, service) for policy, workload in bar], ignore_index=True
    )


def cost_report(episodes: pd.DataFrame) -> str:
    """Return the costs as text: a table for each pattern, and one for their mean if there are several.

    Args:
        episodes: What `evaluation.metrics.evaluate` returns, for one or more patterns.
    """
    import pandas

    from autoscaler_env.evaluation.metrics import MEAN, mean_over_patterns, summarise

    days = episodes.groupby("pattern", sort=False)["episode"].nunique()
    if len(days) > 1:
        episodes = pandas.concat([episodes, mean_over_patterns(episodes)], ignore_index=True)
    summary = summarise(episodes)
    summary["interval"] = [
        f"{low:.2f} to {high:.2f}" for low, high in zip(summary["cost_low"], summary["cost_high"], strict=True)
    ]
    headings = {name: heading for name, (heading, _) in _COLUMNS.items()}
    formatters = dict(_COLUMNS.values())
    lines = ["Means per day: cost and its three items in dollars, share served in time, wait, requests, instances."]
    for pattern in episodes["pattern"].unique():
        title = f"mean of {len(days)} patterns" if pattern == MEAN else f"{pattern}, {days[pattern]:,} evaluation days"
        table: pandas.DataFrame = summary.xs(pattern, level="pattern")[list(headings)]  # type: ignore[assignment]
        table = table.rename(columns=headings).rename_axis(index=None, columns="policy")
        lines += ["", title, table.to_string(formatters=formatters)]
    return "\n".join(lines)


@dataclass(frozen=True)
class Evaluate:
    """Let policies scale the same evaluation days; print what they cost, in dollars a day."""

    policies: Annotated[Positional[tuple[str, ...]], arg(metavar="POLICY ...", help_behavior_hint="(one or more)")]
    """random, static, threshold, target-tracking, hpa-cpu, hpa-demand, kpa, any of these but the first two as
    RULE-PATTERN (calibrated on it) or RULE-calibrated (on the pattern, or the earlier days of the trace), forecast
    (with --trace), recognise (guesses the pattern and plays the rule calibrated for it), optimum (knows the day), a
    model's name or file, or module:Class. The last policy is the baseline that the others are compared with."""
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
        policies = find_policies(self.policies, service, Folders(self.output), workload)
        from autoscaler_env.evaluation.metrics import verdict  # after all that may be refused: it is slow to import

        episodes = evaluate_all(policies, PATTERNS if workload == MIXED else [workload], self.episodes, service)
        print(cost_report(episodes))
        *others, last = episodes["policy"].unique()
        for policy in others:
            print(verdict(episodes, policy, last))
        if self.csv is not None:
            episodes.to_csv(self.csv, index=False)
            print(f"Wrote {len(episodes):,} rows to {self.csv}.")
        return 0
