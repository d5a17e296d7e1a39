"""Calibrate every rival of the learners with the same effort: once for all patterns, and once for each.

`VENDOR_GRIDS` has the rules as vendors run them, with their own clocks: they are calibrated when a user names them.

Each rule is tried on a grid of its settings and then in fine steps around the best of them, on calibration days, which
evaluation never uses. `python -m autoscaler_env.evaluation.rivals` does it for the reference service and writes
`results/calibrated_rules.csv`. The same effort means: a grid of 150 to 156 settings, then `REFINED` fine steps on
either side of two settings, at most 81 more. The table has the number of settings that were tried.

`results/calibration.csv` keeps the settings of target tracking that all trainings were compared with: the grid alone,
without fine steps.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections import ChainMap
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autoscaler_env.evaluation.calibration import RESERVES, TARGETS, setting_costs
from autoscaler_env.evaluation.grids import RULE_GRIDS, RuleGrid, Settings
from autoscaler_env.paths import Folders
from autoscaler_env.policies.aws import AwsStepScaling, AwsTargetTracking
from autoscaler_env.policies.base import Policy
from autoscaler_env.policies.behaviour import Behaviour
from autoscaler_env.policies.knative import Kpa
from autoscaler_env.policies.kubernetes import HpaCpu, HpaDemand
from autoscaler_env.service import Service
from autoscaler_env.storage.files import write_text
from autoscaler_env.text import counted, not_a_choice, percent
from autoscaler_env.traffic.patterns import MIXED, PATTERNS, Workload, as_workload, day_seeds

TOLERANCES = (0.0, 0.05, 0.1)
"""Tolerances of HPA that are tried: none, half of Kubernetes' default, and the default."""

WINDOWS = (0, 1, 3, 12)
"""Downscale windows of HPA that are tried, in steps of the service."""

STABLE_STEPS = (1, 2, 3, 4, 6, 12)
"""Stable windows of KPA that are tried, in steps of the service."""


def _thresholds(service: Service) -> list[tuple[float, ...]]:
    """Return pairs of utilisations, also close to each other and to full use, where the cheapest are."""
    utilisations = np.append(np.round(np.arange(0.2, 0.96, 0.05), 2), (0.97, 0.99)).tolist()
    return [(add, remove) for add in utilisations[3:] for remove in utilisations if remove < add]


def _hpa_grid(make: type[HpaCpu] | type[HpaDemand], first: float) -> RuleGrid:
    """Return the grid of HPA on a metric, with 13 targets from `first` on."""
    targets = np.round(first + 0.05 * np.arange(13), 2).tolist()
    return RuleGrid(
        make.name,
        ("target", "tolerance", "downscale_window"),
        lambda service: list(product(targets, TOLERANCES, [float(n * service.step_seconds) for n in WINDOWS])),
        (0.01, 0.01, 0.0),
        make,
        _describe_hpa,
    )


def _describe_hpa(settings: Settings) -> str:
    return (
        f"target {percent(settings['target'])}, tolerance {percent(settings['tolerance'])}, "
        f"window {settings['downscale_window']:.0f} s"
    )


def _describe_kpa(settings: Settings) -> str:
    return f"target {percent(settings['target'])}, stable window {counted(round(settings['stable_steps']), 'step')}"


RIVAL_GRIDS: dict[str, RuleGrid] = {
    "threshold": dataclasses.replace(RULE_GRIDS["threshold"], grid=_thresholds),
    HpaCpu.name: _hpa_grid(HpaCpu, 0.4),
    HpaDemand.name: _hpa_grid(HpaDemand, 0.6),
    Kpa.name: RuleGrid(
        Kpa.name,
        ("target", "stable_steps"),
        lambda service: [
            (float(target), float(steps))
            for target in np.round(np.arange(0.5, 1.11, 0.025), 3)
            for steps in STABLE_STEPS
        ],
        (0.005, 1.0),
        Kpa,
        _describe_kpa,
    ),
    "target-tracking": RuleGrid(
        "target-tracking",
        ("target", "reserve"),
        lambda service: list(product(TARGETS.tolist(), RESERVES.astype(float).tolist())),
        (0.01, 0.25),
        RULE_GRIDS["target-tracking"].make,
        RULE_GRIDS["target-tracking"].describe,
    ),
}
"""The rules that are calibrated, by name, with what is tried."""

VENDOR_WINDOWS = (0.0, 60.0, 300.0, 900.0)
"""Downscale windows that are tried of HPA with its own clocks, in seconds."""


def _clocked(grid: RuleGrid, name: str) -> RuleGrid:
    """Return the grid of HPA with Kubernetes' clocks and rate limits, on the targets and tolerances of another."""

    def settings(service: Service) -> list[tuple[float, ...]]:
        pairs = list(dict.fromkeys(values[:2] for values in grid.grid(service)))
        return [(*pair, window) for pair in pairs for window in VENDOR_WINDOWS]

    make = partial(grid.make, behaviour=Behaviour())
    return dataclasses.replace(grid, name=name, grid=settings, make=make)


def _cooldowns(service: Service) -> list[tuple[float, ...]]:
    targets = np.round(np.arange(0.35, 0.96, 0.05), 2).tolist()
    return list(product(targets, (60.0, 300.0, 600.0), (0.0, 120.0, 300.0, 900.0)))


_STEPS = (("add", "above"), ("jump", "above"), ("remove", "below"), ("drop", "below"))
"""The steps of step scaling: the names of their settings, and where the utilisation is."""


def _adjustments(service: Service) -> list[tuple[float, ...]]:
    """Return step scaling with thresholds in even distances, and three sizes of steps."""
    thresholds = product(np.round(np.arange(0.5, 0.981, 0.04), 2).tolist(), (0.4, 0.6, 0.8, 0.9))
    return [
        (
            add,
            percent,
            round((1 + add) / 2, 3),
            3.0 * percent,
            round(add * share, 3),
            percent,
            round(add * share / 2, 3),
            50.0,
        )
        for (add, share), percent in product(thresholds, (5.0, 10.0, 25.0))
    ]


def _describe_aws(settings: Settings) -> str:
    return (
        f"target {percent(settings['target'])}, cooldown {settings['scale_out_cooldown']:.0f} s out and "
        f"{settings['scale_in_cooldown']:.0f} s in"
    )


def _describe_steps(settings: Settings) -> str:
    return ", ".join(
        f"{sign}{settings[f'{name}_percent']:g} % {side} {percent(settings[f'{name}_{side}'])}"
        for (name, side), sign in zip(_STEPS, "++--", strict=True)
    )


VENDOR_GRIDS: dict[str, RuleGrid] = {
    "kubernetes-hpa-cpu": _clocked(RIVAL_GRIDS["hpa-cpu"], "kubernetes-hpa-cpu"),
    "kubernetes-hpa-demand": _clocked(RIVAL_GRIDS["hpa-demand"], "kubernetes-hpa-demand"),
    AwsTargetTracking.name: RuleGrid(
        AwsTargetTracking.name,
        ("target", "scale_out_cooldown", "scale_in_cooldown"),
        _cooldowns,
        (0.01, 0.0, 15.0),
        AwsTargetTracking,
        _describe_aws,
    ),
    AwsStepScaling.name: RuleGrid(
        AwsStepScaling.name,
        tuple(f"{name}_{what}" for name, side in _STEPS for what in (side, "percent")),
        _adjustments,
        (0.01, 0.0, 0.0, 0.0, 0.01, 0.0, 0.0, 0.0),
        AwsStepScaling,
        _describe_steps,
    ),
}
"""The rules as vendors run them, by name, with what is tried: as many settings as of the others."""

GRIDS: Mapping[str, RuleGrid] = ChainMap(RIVAL_GRIDS, VENDOR_GRIDS)
"""All rules that can be calibrated on patterns, by name."""

TUNED = tuple(name for name in RIVAL_GRIDS if name != "target-tracking")
"""The rules whose calibrated settings are in `results/calibrated_rules.csv` alone."""


class CalibratedRule(NamedTuple):
    """The cheapest setting of a rule that was found."""

    rule: str
    """The name of the rule: one of `GRIDS`."""
    settings: dict[str, float]
    """Its settings by name."""
    cost: float
    """Mean over the calibration days, in dollars a day."""
    tried: int
    """How many settings were tried."""

    def policy(self, service: Service | None = None, name: str | None = None) -> Policy:
        """Return the rule with this setting."""
        return GRIDS[self.rule].policy(service or Service(), self.settings, name)

    def describe(self) -> str:
        """Return the setting in words."""
        return GRIDS[self.rule].describe(self.settings)


def calibrate_rule(
    rule: str,
    patterns: Sequence[str | Workload] = (MIXED, *PATTERNS),
    service: Service | None = None,
    days: int = 100,
) -> dict[str, CalibratedRule]:
    """Find the cheapest setting of a rule for each of some patterns: on its grid, then in fine steps around the best.

    Args:
        rule: One of `GRIDS`.
        patterns: Names of patterns, or workloads. `MIXED` is one setting for the six patterns, which count alike.
        service: The reference service by default.
        days: Calibration days of each pattern, at least 1.

    Returns:
        A setting for each pattern, by its name. Of settings with equal costs, the first that was tried.

    Raises:
        ValueError: There is no such rule, no pattern, or no day to calibrate on.
    """
    if rule not in GRIDS:
        raise ValueError(not_a_choice("rule", rule, (*RIVAL_GRIDS, *VENDOR_GRIDS)))
    if not patterns or days < 1:
        raise ValueError(f"patterns = {list(patterns)}, days = {days}: must be at least one pattern and one day")
    service, grid = service or Service(), GRIDS[rule]
    members = [
        [as_workload(name, service) for name in (PATTERNS if pattern == MIXED else (pattern,))] for pattern in patterns
    ]
    names = [pattern if isinstance(pattern, str) else pattern.name for pattern in patterns]
    drawn = {one.name: one.draw(day_seeds("calibration", days)) for workloads in members for one in workloads}
    coarse = grid.grid(service)
    coarse_costs = {name: _mean_costs(grid, coarse, each, service) for name, each in drawn.items()}
    found = {}
    for pattern, workloads in zip(names, members, strict=True):
        total = np.mean([coarse_costs[one.name] for one in workloads], axis=0)
        best, cost = coarse[int(np.argmin(total))], float(total.min())
        near = grid.near(service, dict(zip(grid.settings, best, strict=True)))
        total = np.mean([_mean_costs(grid, near, drawn[one.name], service) for one in workloads], axis=0)
        if total.min() < cost - 1e-9:
            best, cost = near[int(np.argmin(total))], float(total.min())
        settings = dict(zip(grid.settings, best, strict=True))
        found[pattern] = CalibratedRule(rule, settings, cost, len(coarse) + len(near))
    return found


def _mean_costs(
    grid: RuleGrid, settings: Sequence[tuple[float, ...]], days: NDArray[np.int64], service: Service
) -> NDArray[np.float64]:
    """Return what each setting costs on some days, in dollars a day: shape (settings,)."""
    return setting_costs(grid, settings, days, service).mean(axis=1)


def calibrated_rules_path(folders: Folders) -> Path:
    """Return where the table of calibrated rules is written."""
    return folders.results / "calibrated_rules.csv"


def save_calibrated_rules(rules: dict[str, dict[str, CalibratedRule]], folders: Folders) -> Path:
    """Write settings, by rule and pattern, to `results/calibrated_rules.csv`; return its path."""
    rows = [
        {
            "rule": rule,
            "pattern": pattern,
            "settings": json.dumps(one.settings),
            "cost": one.cost,
            "tried": one.tried,
        }
        for rule, by_pattern in rules.items()
        for pattern, one in by_pattern.items()
    ]
    path = calibrated_rules_path(folders)
    write_text(path, pd.DataFrame(rows).to_csv(index=False))
    return path


def read_calibrated_rules(folders: Folders) -> dict[str, dict[str, CalibratedRule]]:
    """Return the settings in `results/calibrated_rules.csv`, by rule and pattern; `MIXED` is one for all patterns.

    Raises:
        FileNotFoundError: The file is missing; the message has the command that makes it.
    """
    command = "python -m autoscaler_env.evaluation.rivals"
    path = folders.made(folders.find("results/calibrated_rules.csv"), command)
    rules: dict[str, dict[str, CalibratedRule]] = {}
    for row in pd.read_csv(path).to_dict("records"):
        one = CalibratedRule(row["rule"], json.loads(row["settings"]), row["cost"], row["tried"])
        rules.setdefault(one.rule, {})[row["pattern"]] = one
    return rules


def cheapest_rules(folders: Folders) -> dict[str, CalibratedRule]:
    """Return, for each of the six patterns, the rule with the lowest cost on the calibration days.

    Raises:
        FileNotFoundError: As `read_calibrated_rules`.
    """
    rules = read_calibrated_rules(folders).values()
    return {pattern: min((found[pattern] for found in rules), key=lambda one: one.cost) for pattern in PATTERNS}


def tuned_rule(
    rule: str, pattern: str, folders: Folders, service: Service | None = None, name: str | None = None
) -> Policy:
    """Return a rule with the setting calibrated on a pattern, named `RULE-PATTERN` by default.

    Args:
        rule: One of `RIVAL_GRIDS`.
        pattern: A pattern's name, or `MIXED` for the setting for all patterns.
        folders: Where the table of calibrated rules is.
        service: The service to scale; the reference service by default.
        name: What tables call it.

    Raises:
        FileNotFoundError: As `read_calibrated_rules`.
    """
    return read_calibrated_rules(folders)[rule][pattern].policy(service, name or f"{rule}-{pattern.lower()}")


def main() -> None:
    """Calibrate and write every rule for the reference service; print the settings for all patterns, and the time."""
    rules = {}
    for rule in RIVAL_GRIDS:
        begin = time.perf_counter()
        rules[rule] = calibrate_rule(rule)
        one, seconds = rules[rule][MIXED], time.perf_counter() - begin
        print(f"{rule:<16} ${one.cost:.2f} a day: {one.describe()}; {one.tried} settings, {seconds:.1f} s", flush=True)
    folders = Folders()
    print(f"Wrote {folders.shown(save_calibrated_rules(rules, folders))}.")


if __name__ == "__main__":
    main()
