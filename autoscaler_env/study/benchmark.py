"""The benchmark of a study: the days that every policy is measured on, and what the baselines cost there."""

from __future__ import annotations

import dataclasses
import hashlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm.auto import tqdm

from autoscaler_env.evaluation.calibration import Calibration, calibrate, read_calibrations, save_calibrations
from autoscaler_env.evaluation.metrics import EPISODES, measure
from autoscaler_env.evaluation.rivals import TUNED, CalibratedRule, calibrate_rule, read_calibrated_rules
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
"""Mean requests in a step below which a trace is smoothed, because scaling it up would scale its counting noise up."""

SMOOTHED_OVER = 6
"""Steps of the moving average over such a trace."""

ONE_SETTING = "target-tracking-mixed"
"""Target tracking with one setting for all patterns."""

PER_PATTERN = "target-tracking-per-pattern"
"""Target tracking with the setting calibrated for the pattern that it is tested on."""


@dataclass(frozen=True)
class Benchmark:
    """Workloads, and the number of evaluation days of each; the same days for every policy."""

    workloads: tuple[str | Workload, ...] = PATTERNS
    """Names of patterns, or traces."""
    episodes: int = EPISODES
    """Evaluation days of each workload, at most."""

    def identity(self) -> dict[str, Any]:
        """Return, as plain values, everything that decides what is measured."""
        return {
            "workloads": [
                workload if isinstance(workload, str) else _content_of(workload) for workload in self.workloads
            ],
            "episodes": self.episodes,
        }

    def measure(self, policy: Policy, service: Service) -> list[dict[str, Any]]:
        """Let a policy scale all days of the benchmark.

        Returns:
            A row per workload: tested_on, days, the means of the columns of `evaluation.metrics.measure`, and
            late_share (share of the arrivals that were served in a later step or dropped).
        """
        rows: list[dict[str, Any]] = []
        for name_or_workload in self.workloads:
            workload = as_workload(name_or_workload, service)
            days = workload.evaluation_days(self.episodes)
            episodes = measure(simulate(policy, days, service))
            means = {str(column): float(mean) for column, mean in episodes.mean().items()}
            shares = {"late_share": 1.0 - means["in_time"]}
            rows.append({"tested_on": workload.name, "days": len(days)} | means | shares)
        return rows


def trace_benchmark(folder: Path, service: Service, episodes: int = EPISODES) -> tuple[Benchmark, dict[str, int]]:
    """Return the benchmark on the traces in a folder.

    Each trace is scaled so that its 99th percentile is the peak of the service; a trace of small counts is smoothed
    first. Nothing is trained or calibrated on any of them: policies are only measured on their evaluation days, the
    later 40 %. A file that is not a trace, or is too short, is left out with a message on stderr.

    Args:
        folder: Holds CSV files as `Trace.from_csv` takes them.
        service: Gives the steps of a day and the peak.
        episodes: Evaluation days of each trace, at most.

    Returns:
        The benchmark, and the steps over which each trace is smoothed (1 means not smoothed), by its name.

    Raises:
        ValueError: The folder does not exist, or holds no trace.
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
    return Benchmark(tuple(traces), episodes), smoothing


def _content_of(workload: Workload) -> str:
    """Return the name of a workload and a hash of its evaluation days."""
    days = workload.evaluation_days(EPISODES)
    return f"{workload.name} {hashlib.sha256(days.tobytes()).hexdigest()[:16]}"


def calibrations(service: Service, folders: Folders, days: int = 100) -> dict[str, Calibration]:
    """Return the cheapest settings of target tracking on calibration days, by pattern; `MIXED` is the one for all.

    For the reference service they are read from `results/calibration.csv`; if it is missing, they are computed and
    written there. For any other service they are computed.

    Args:
        service: The service to scale.
        folders: Where the table is.
        days: Calibration days of each pattern, where the settings must be computed.
    """
    if service == Service() and folders.find("results/calibration.csv").exists():
        return read_calibrations(folders)
    print("Calibrating target tracking.", file=sys.stderr)
    settings = {pattern: calibrate((pattern,), service, days) for pattern in (MIXED, *PATTERNS)}
    if service == Service():
        save_calibrations(settings, folders)
    return settings


def tuned_rules(service: Service, folders: Folders, days: int = 100) -> dict[str, dict[str, CalibratedRule]]:
    """Return the cheapest settings of the other rules on calibration days, by rule and pattern.

    For the reference service they are read from `results/calibrated_rules.csv`, if it is there. Otherwise they are
    computed.

    Args:
        service: The service to scale.
        folders: Where the table is.
        days: Calibration days of each pattern, where the settings must be computed.
    """
    if service == Service() and folders.find("results/calibrated_rules.csv").exists():
        known = read_calibrated_rules(folders)
        return {rule: known[rule] for rule in TUNED}
    print(f"Calibrating {', '.join(TUNED)}.", file=sys.stderr)
    return {rule: calibrate_rule(rule, service=service, days=days) for rule in TUNED}


def measure_baselines(
    benchmark: Benchmark,
    service: Service,
    settings: dict[str, Calibration],
    optimum: Sequence[dict[str, Any]],
    tuned: Mapping[str, Mapping[str, CalibratedRule]] | None = None,
) -> pd.DataFrame:
    """Measure every rule, the autoscalers of Kubernetes and the calibrated rules, beside the optimum.

    On traces a forecast from the days before is measured too.

    Args:
        benchmark: The days to measure on.
        service: The service to scale.
        settings: What `calibrations` returns.
        optimum: What the clairvoyant optimum costs on the benchmark: what `ResultStore.optimum` returns.
        tuned: The other calibrated rules: what `tuned_rules` returns.

    Returns:
        A row per policy and workload: policy, tested_on, days, regret ($ a day above the optimum) and the other
        columns of `Benchmark.measure`. Rules with the setting for the workload are included on patterns only.
    """
    tuned = tuned or {}
    fixed = [make(service) for name, make in BASELINES.items() if name != Optimum.name]
    fixed.append(settings[MIXED].rule(service, ONE_SETTING))
    fixed += [by_pattern[MIXED].policy(service, f"{rule}-mixed") for rule, by_pattern in tuned.items()]
    rows: list[dict[str, Any]] = []
    for workload in tqdm(benchmark.workloads, desc="baselines", unit="workload", leave=False, disable=None):
        alone = dataclasses.replace(benchmark, workloads=(workload,))
        for policy in (*fixed, *_policies_for(workload, service, settings, tuned)):
            rows += [{"policy": policy.name} | row for row in alone.measure(policy, service)]
    table = pd.DataFrame(rows + [{"policy": Optimum.name} | row for row in optimum])
    cheapest = {row["tested_on"]: row["cost"] for row in optimum}
    table.insert(3, "regret", table["cost"] - table["tested_on"].map(cheapest))
    return table


def _policies_for(
    workload: str | Workload,
    service: Service,
    settings: dict[str, Calibration],
    tuned: Mapping[str, Mapping[str, CalibratedRule]],
) -> list[Policy]:
    """Return the baselines that exist for this workload only."""
    if not isinstance(workload, str):
        return [Forecast(service, workload)] if isinstance(workload, Trace) else []
    return [
        settings[workload].rule(service, PER_PATTERN),
        *(by_pattern[workload].policy(service, f"{rule}-per-pattern") for rule, by_pattern in tuned.items()),
    ]


def measure_on_traces(
    folder: Path, policies: Sequence[Policy], settings: dict[str, Calibration], episodes: int = EPISODES
) -> pd.DataFrame:
    """Measure policies and all baselines on the evaluation days of the traces in a folder.

    Args:
        folder: Holds CSV files as `Trace.from_csv` takes them; see `trace_benchmark`.
        policies: Such as trained models, for the reference service.
        settings: What `calibrations` returns: computed on synthetic days.
        episodes: Evaluation days of each trace, at most.

    Returns:
        Indexed by trace and policy: days, smooth (steps), seeds (0 for a baseline, 1 for a model), cost, regret ($ a
        day), low, high (NaN: a single training has no interval) and late_share, as `study.analysis.traces_table`.
    """
    service = Service()
    benchmark, smoothing = trace_benchmark(folder, service, episodes)
    optimum = benchmark.measure(Optimum(service), service)
    table = measure_baselines(benchmark, service, settings, optimum).assign(seeds=0)
    rows = [
        {"policy": policy.name, "seeds": 1} | row for policy in policies for row in benchmark.measure(policy, service)
    ]
    table = pd.concat([table, pd.DataFrame(rows)], ignore_index=True).rename(columns={"tested_on": "trace"})
    best = table[table["policy"] == Optimum.name].set_index("trace")["cost"]
    table["regret"] = table["cost"] - table["trace"].map(best)
    table = table.assign(smooth=table["trace"].map(smoothing), low=float("nan"), high=float("nan"))
    columns = ["days", "smooth", "seeds", "cost", "regret", "low", "high", "late_share"]
    return table.set_index(["trace", "policy"])[columns].sort_index(level="trace", sort_remaining=False, kind="stable")
