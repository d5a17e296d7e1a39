"""Find the setting of target tracking that is cheapest on calibration days."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.paths import Folders
from autoscaler_env.policies.rules import TargetTracking
from autoscaler_env.service import Service
from autoscaler_env.storage.files import write_text
from autoscaler_env.traffic.patterns import MIXED, PATTERNS, Workload, as_workload, day_seeds

TARGETS = np.round(np.arange(0.80, 1.201, 0.05), 2)
"""Target utilisations that are tried."""

RESERVES = np.arange(0, 17)
"""Reserves that are tried, in instances."""


class Calibration(NamedTuple):
    """The cheapest setting that was found."""

    target: float
    reserve: float
    cost: float
    """Mean over the calibration days, in dollars a day."""

    def rule(self, service: Service | None = None, name: str = "target-tracking") -> TargetTracking:
        """Return target tracking with this setting."""
        return TargetTracking(service, self.target, self.reserve, name)


def calibrate(patterns: Sequence[str | Workload], service: Service | None = None, days: int = 100) -> Calibration:
    """Try every setting of the grid on the same calibration days.

    Args:
        patterns: One or more; their mean cost counts. `MIXED` stands for the six of which it is made.
        service: The reference service by default.
        days: Calibration days of each pattern.

    Returns:
        The setting with the lowest mean cost.
    """
    grid = calibration_grid(patterns, service, days)
    costs = grid.to_numpy()
    row, column = divmod(int(np.argmin(costs)), costs.shape[1])
    return Calibration(float(TARGETS[row]), float(RESERVES[column]), float(costs[row, column]))


def calibration_grid(
    patterns: Sequence[str | Workload], service: Service | None = None, days: int = 100
) -> pd.DataFrame:
    """Return the mean cost of every setting of the grid on the same calibration days.

    Args:
        patterns: One or more; their mean cost counts. `MIXED` stands for the six of which it is made.
        service: The reference service by default.
        days: Calibration days of each pattern, at least 1.

    Returns:
        Dollars a day; a row per target utilisation, a column per reserve (instances).

    Raises:
        ValueError: There is no pattern or no day to calibrate on.
    """
    if not patterns or days < 1:
        raise ValueError(f"patterns = {list(patterns)}, days = {days}: must be at least one pattern and one day")
    service = service or Service()
    # Every setting on every day is one service, so that the whole grid is one trajectory.
    settings = np.array([(target, reserve) for target in TARGETS for reserve in RESERVES])
    target, reserve = (np.repeat(column, days) for column in settings.T)
    costs = np.zeros(len(settings))
    single = [each for pattern in patterns for each in (PATTERNS if pattern == MIXED else (pattern,))]
    for pattern in single:
        drawn = as_workload(pattern, service).draw(day_seeds("calibration", days))
        rule = TargetTracking(service, target, reserve)
        trajectory = simulate(rule, np.tile(drawn, (len(settings), 1)), service)
        costs += trajectory.cost.sum(axis=1).reshape(len(settings), days).mean(axis=1)
    rows = pd.Index(TARGETS, name="target")
    columns = pd.Index(RESERVES, name="reserve")
    return pd.DataFrame((costs / len(single)).reshape(len(rows), len(columns)), rows, columns)


def save_calibrations(calibrations: dict[str, Calibration], folders: Folders) -> Path:
    """Write the settings found, by pattern, to `results/calibration.csv`; return its path."""
    path = folders.results / "calibration.csv"
    table = pd.DataFrame.from_dict(calibrations, orient="index", columns=Calibration._fields)
    write_text(path, table.to_csv(index_label="pattern"))
    return path


def read_calibrations(folders: Folders) -> dict[str, Calibration]:
    """Return the settings in `results/calibration.csv`, by pattern; `MIXED` is the one for all patterns.

    Raises:
        FileNotFoundError: The file is missing; the message has the command that makes it.
    """
    path = folders.results / "calibration.csv"
    if not path.exists():
        raise FileNotFoundError(
            f"{folders.shown(path)} is missing; make it with: autoscaler run --only 02_set_yardsticks"
        )
    table = pd.read_csv(path, index_col="pattern")
    return {str(pattern): Calibration(*table.loc[pattern, list(Calibration._fields)]) for pattern in table.index}


def calibrated_rule(
    pattern: str, folders: Folders, service: Service | None = None, name: str | None = None
) -> TargetTracking:
    """Return target tracking with the setting calibrated on a pattern, named `target-tracking-PATTERN` by default."""
    return read_calibrations(folders)[pattern].rule(service, name or f"target-tracking-{pattern.lower()}")
