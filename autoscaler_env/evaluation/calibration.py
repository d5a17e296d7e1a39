"""Find the setting of a rule that is cheapest on days that evaluation never uses.

`setting_costs` simulates many settings of a rule side by side. Two searches use it: `calibrate` finds one setting of
target tracking for synthetic patterns, on calibration days, and `cheapest_setting` finds that of any rule on recorded
days in a row, on a grid and then in fine steps around the best.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autoscaler_env.evaluation.grids import RULE_GRIDS, RuleGrid
from autoscaler_env.evaluation.metrics import served_in_time
from autoscaler_env.evaluation.objective import Objective, share_interval
from autoscaler_env.evaluation.simulation import Trajectory, simulate
from autoscaler_env.paths import Folders
from autoscaler_env.policies.rules import TargetTracking
from autoscaler_env.service import Service
from autoscaler_env.storage.files import write_text
from autoscaler_env.traffic.patterns import MIXED, PATTERNS, Workload, as_workload, day_seeds

_CELLS = 4_000_000  # steps of all services that are simulated side by side: a few hundred megabytes


def setting_costs(
    grid: RuleGrid, settings: Sequence[tuple[float, ...]], days: NDArray[np.int64], service: Service
) -> NDArray[np.float64]:
    """Simulate each setting of a rule on the same days, side by side, and return their costs.

    Args:
        grid: The kind of rule.
        settings: Values of `grid.settings`, one tuple for each setting.
        days: Arrivals, shape (n, steps); a row may hold several days of the service.
        service: The service to scale.

    Returns:
        Dollars of each row, shape (settings, n).
    """
    parts = _simulated(grid, settings, days, service)
    return np.concatenate([part.cost.sum(axis=1).reshape(-1, len(days)) for part in parts])


def _simulated(
    grid: RuleGrid, settings: Sequence[tuple[float, ...]], days: NDArray[np.int64], service: Service
) -> Iterator[Trajectory]:
    """Yield what happened with some of the settings at a time: for each setting, a row for each of the days."""
    values = np.array(settings, dtype=np.float64)
    simulated = dataclasses.replace(service, steps_per_episode=days.shape[1])
    for part in np.array_split(values, -(-len(values) * days.size // _CELLS)):
        columns = {name: np.repeat(column, len(days)) for name, column in zip(grid.settings, part.T, strict=True)}
        yield simulate(grid.policy(service, columns), np.tile(days, (len(part), 1)), simulated)


class ServiceLevel(NamedTuple):
    """What a policy must do for the requests."""

    in_time: float
    """Smallest share of the requests that are served in time."""
    dropped: float
    """Largest share of the requests that are dropped."""
    objective: Objective | None = None
    """What in time means, and that the share must be sure (`Objective.surely`); by default in the step of arrival."""


class _Tried(NamedTuple):
    """Settings of a rule, and what each of them did on days in a row; arrays of shape (settings,)."""

    settings: list[tuple[float, ...]]
    cost: NDArray[np.float64]
    """Dollars a day."""
    in_time: NDArray[np.float64]
    """Share of the requests that were served in time."""
    dropped: NDArray[np.float64]
    """Share of the requests that were dropped."""
    sure: NDArray[np.float64]
    """The share in time that a level is compared with: with an objective the one that is likely to hold."""
    waiting: NDArray[np.float64]
    """Requests that waited at the end of a step, summed over the steps of a day."""

    def best(self, level: ServiceLevel | None) -> tuple[int, float, float]:
        """Return the index of the cheapest setting that keeps a level, by how much it breaks it, and its cost.

        If none keeps it, that is the setting that breaks it least; with an objective, the cheapest of those that break
        it by about as little (`Objective.slack`). Of equals it is the first.
        """
        broken = np.zeros(len(self.cost))
        if level is not None:
            broken = np.maximum(level.in_time - self.sure, 0) + np.maximum(self.dropped - level.dropped, 0)
        broken = np.round(broken, 9)
        if level is not None and level.objective is not None and (least := broken.min()) > 0:
            broken[broken <= least + level.objective.slack] = least
        index = int(np.lexsort((self.cost, broken))[0])
        return index, float(broken[index]), float(self.cost[index])

    def implied_price(self, in_time: float) -> float:
        """Return the late price from which on the cheapest setting has a sure share in time; nan if none does.

        In dollars for a request that waits at the end of a step: as it rises, the cheapest setting lets fewer wait.
        """
        price, cheapest = 0.0, int(np.lexsort((self.waiting, self.cost))[0])
        while self.sure[cheapest] < in_time:
            shorter = np.flatnonzero(self.waiting < self.waiting[cheapest])
            if not len(shorter):
                return np.nan
            prices = (self.cost[shorter] - self.cost[cheapest]) / (self.waiting[cheapest] - self.waiting[shorter])
            price = float(prices.min())  # the next setting that a rising price makes the cheapest
            cheapest = int(shorter[np.lexsort((self.waiting[shorter], prices))[0]])
        return price


def cheapest_setting(grid: RuleGrid, days: NDArray[np.int64], service: Service) -> tuple[dict[str, float], float]:
    """Find the cheapest setting of a rule on days in a row: on its grid, then in fine steps around the best.

    Args:
        grid: The kind of rule.
        days: Arrivals, shape (n, steps); fleet and queue pass midnight unchanged.
        service: Its episode is a day.

    Returns:
        The settings by name, and their cost in dollars a day. Of settings with equal costs, the first of the grid.
    """
    (best,), _ = _searched(grid, days, service, (None,))
    return best


class Search(NamedTuple):
    """What a search among the settings of a rule found."""

    keeping: dict[str, float]
    """The cheapest setting that keeps a service level, or the one that breaks it least if none keeps it."""
    cheapest: dict[str, float]
    """The cheapest setting of all."""
    frontier: list[dict[str, float]]
    """Settings of which no other that was tried is both cheaper and serves more requests in time; cheapest first."""
    late_price: float = np.nan
    """With an objective: the late price from which on the cheapest setting keeps it; nan if none does."""


def settings_that_keep(
    grid: RuleGrid, days: NDArray[np.int64], service: Service, level: ServiceLevel, *, in_a_row: bool = True
) -> Search:
    """Find the cheapest setting of a rule that keeps a service level, and the cheapest of all.

    Args:
        grid: The kind of rule.
        days: Arrivals, shape (n, steps).
        service: Its episode is a day.
        level: What the rule must do for the requests on these days.
        in_a_row: Whether the days follow each other, so that fleet and queue pass midnight unchanged; else each begins
            anew.
    """
    ((keeping, _), (cheapest, _)), tried = _searched(grid, days, service, (level, None), in_a_row)
    order = np.lexsort((-tried.in_time, tried.cost))
    rises = np.diff(np.maximum.accumulate(tried.in_time[order]), prepend=-1.0) > 0
    frontier = [dict(zip(grid.settings, tried.settings[index], strict=True)) for index in order[rises]]
    return Search(
        keeping, cheapest, frontier, np.nan if level.objective is None else tried.implied_price(level.in_time)
    )


def _searched(
    grid: RuleGrid,
    days: NDArray[np.int64],
    service: Service,
    levels: Sequence[ServiceLevel | None],
    in_a_row: bool = True,
) -> tuple[list[tuple[dict[str, float], float]], _Tried]:
    """Return the best setting for each level, with its cost, and all that was tried: a grid, then fine steps around."""
    objective = next((level.objective for level in levels if level is not None), None)
    coarse = _tried(grid, grid.grid(service), days, service, objective, in_a_row)
    starts = [coarse.best(level) for level in levels]
    named = [dict(zip(grid.settings, coarse.settings[index], strict=True)) for index, _, _ in starts]
    near = dict.fromkeys(point for settings in named for point in grid.near(service, settings))
    fine = _tried(grid, list(near), days, service, objective, in_a_row)
    found = []
    for level, settings, (_, broken, cost) in zip(levels, named, starts, strict=True):
        index, less_broken, lower = fine.best(level)
        if (less_broken, lower) < (broken, cost - 1e-9):
            found.append((dict(zip(grid.settings, fine.settings[index], strict=True)), lower))
        else:
            found.append((settings, cost))
    columns = (np.concatenate(pair) for pair in zip(coarse[1:], fine[1:], strict=True))
    return found, _Tried(coarse.settings + fine.settings, *columns)


def _tried(
    grid: RuleGrid,
    settings: list[tuple[float, ...]],
    days: NDArray[np.int64],
    service: Service,
    objective: Objective | None,
    in_a_row: bool,
) -> _Tried:
    """Return what each of some settings does on the same days; an objective says what in time means."""
    total, arrivals = max(int(days.sum()), 1), days.sum(axis=1)
    columns = []
    for part in _simulated(grid, settings, days.reshape(1, -1) if in_a_row else days, service):
        in_time = served_in_time(part) if objective is None else objective.in_time(part)
        cost, served, dropped, queue = (
            each.reshape(-1, days.size).sum(axis=1) for each in (part.cost, in_time, part.dropped, part.queue)
        )
        share = sure = served / total
        if objective is not None:
            daily = in_time.reshape(-1, *days.shape).sum(axis=2)
            sure = np.array([objective.surely(share_interval(row, arrivals)) for row in daily])
        columns.append([cost / len(days), share, dropped / total, sure, queue / len(days)])
    return _Tried(settings, *np.concatenate(columns, axis=1))


TARGETS = np.round(np.arange(0.80, 1.201, 0.05), 2)
"""Target utilisations that `calibrate` tries."""

RESERVES = np.arange(0, 17)
"""Reserves that `calibrate` tries, in instances."""


class Calibration(NamedTuple):
    """The cheapest setting of target tracking that was found."""

    target: float
    """Target utilisation."""
    reserve: float
    """Instances kept beyond the demand."""
    cost: float
    """Mean over the calibration days, in dollars a day."""

    def rule(self, service: Service | None = None, name: str = "target-tracking") -> TargetTracking:
        """Return target tracking with this setting."""
        return TargetTracking(service, self.target, self.reserve, name)


def calibrate(patterns: Sequence[str | Workload], service: Service | None = None, days: int = 100) -> Calibration:
    """Find the setting with the lowest mean cost on calibration days, among `TARGETS` and `RESERVES`.

    Args:
        patterns: One or more names of patterns, or workloads; all count alike. `MIXED` stands for the six patterns.
        service: The reference service by default.
        days: Calibration days of each pattern, at least 1.

    Raises:
        ValueError: There is no pattern or no day to calibrate on.
    """
    costs = calibration_grid(patterns, service, days).to_numpy()
    row, column = divmod(int(np.argmin(costs)), costs.shape[1])
    return Calibration(float(TARGETS[row]), float(RESERVES[column]), float(costs[row, column]))


def calibration_grid(
    patterns: Sequence[str | Workload],
    service: Service | None = None,
    days: int = 100,
    targets: Sequence[float] | NDArray[np.float64] | None = None,
    reserves: Sequence[float] | NDArray[np.int64] | None = None,
) -> pd.DataFrame:
    """Return the mean cost of every setting of target tracking on a grid, on the same calibration days.

    Args:
        patterns: One or more names of patterns, or workloads; all count alike. `MIXED` stands for the six patterns.
        service: The reference service by default.
        days: Calibration days of each pattern, at least 1.
        targets: Target utilisations, above 0; `TARGETS` by default.
        reserves: Instances kept beyond the demand, at least 0; `RESERVES` by default.

    Returns:
        Dollars a day; a row per target utilisation, a column per reserve (instances).

    Raises:
        ValueError: There is no pattern or no day to calibrate on, or no setting to try.
    """
    if not patterns or days < 1:
        raise ValueError(f"patterns = {list(patterns)}, days = {days}: must be at least one pattern and one day")
    service = service or Service()
    targets = TARGETS if targets is None else targets
    reserves = RESERVES if reserves is None else reserves
    settings = list(product(map(float, targets), map(float, reserves)))
    if not settings:
        raise ValueError(f"targets = {list(targets)}, reserves = {list(reserves)}: must be at least one of each")
    single = [name for pattern in patterns for name in (PATTERNS if pattern == MIXED else (pattern,))]
    costs = np.zeros(len(settings))
    for pattern in single:
        drawn = as_workload(pattern, service).draw(day_seeds("calibration", days))
        costs += setting_costs(RULE_GRIDS["target-tracking"], settings, drawn, service).mean(axis=1)
    rows, columns = pd.Index(targets, name="target"), pd.Index(reserves, name="reserve")
    return pd.DataFrame((costs / len(single)).reshape(len(rows), len(columns)), rows, columns)


def save_calibrations(calibrations: dict[str, Calibration], folders: Folders) -> Path:
    """Write settings by pattern to `results/calibration.csv`; return its path."""
    path = folders.results / "calibration.csv"
    table = pd.DataFrame.from_dict(calibrations, orient="index", columns=Calibration._fields)
    write_text(path, table.to_csv(index_label="pattern"))
    return path


def read_calibrations(folders: Folders) -> dict[str, Calibration]:
    """Return the settings in `results/calibration.csv`, by pattern; `MIXED` is the one for all patterns.

    Raises:
        FileNotFoundError: The file is missing; the message has the command that makes it.
    """
    path = folders.made(folders.find("results/calibration.csv"), "autoscaler run --only 02_set_baselines")
    table = pd.read_csv(path, index_col="pattern")
    return {str(pattern): Calibration(*table.loc[pattern, list(Calibration._fields)]) for pattern in table.index}


def calibrated_rule(
    pattern: str, folders: Folders, service: Service | None = None, name: str | None = None
) -> TargetTracking:
    """Return target tracking with the setting calibrated on a pattern, named `target-tracking-PATTERN` by default."""
    return read_calibrations(folders)[pattern].rule(service, name or f"target-tracking-{pattern.lower()}")
