"""The kinds of rule that are calibrated on a user's traffic: what can be set about each, and what is tried.

Play a user's days with a policy, one running into the next, and find the cheapest setting of a rule on them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.evaluation.simulation import Trajectory, simulate
from autoscaler_env.policies.base import Policy, decode, step_toward
from autoscaler_env.policies.forecast import Forecast
from autoscaler_env.policies.kubernetes import HpaCpu, HpaDemand
from autoscaler_env.policies.rules import TargetTracking, Threshold
from autoscaler_env.service import Service
from autoscaler_env.traffic.trace import Trace

REFINED = 4
"""Fine steps to either side of the best setting of the grid that are tried after it."""

Settings = Mapping[str, Any]
"""A setting by name; each a number, or an array with one for each service of a batch."""


class FixedFleet:
    """Go to a number of instances and stay there.

    Args:
        service: The service to scale.
        instances: How many; an array of shape (n,) gives each service its own.

    Raises:
        ValueError: The fleet cannot have that size.
    """

    name = "fixed"

    def __init__(self, service: Service, instances: float | NDArray[np.float64]) -> None:
        wanted = np.asarray(instances)
        if not np.all((wanted >= service.min_instances) & (wanted <= service.max_instances)):
            raise ValueError(
                f"instances = {instances}: must be from min_instances = {service.min_instances} to max_instances = "
                f"{service.max_instances}"
            )
        self._service = service
        self._instances = np.rint(wanted).astype(np.int64)

    def reset(self, days: NDArray[np.int64]) -> None:
        """Do nothing: there is no memory."""

    def predict(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return actions, shape (n,)."""
        counts = decode(observations, self._service)
        fleet = counts.ready + counts.booting
        return step_toward(np.broadcast_to(self._instances, fleet.shape), fleet, self._service)


class _Thresholds(Threshold):
    """The threshold rule with utilisations of its own for each service of a batch."""

    def __init__(self, service: Service, add_above: Any, remove_below: Any) -> None:
        for add, remove in zip(np.atleast_1d(add_above), np.atleast_1d(remove_below), strict=True):
            super().__init__(service, float(add), float(remove))
        self._add_above, self._remove_below = add_above, remove_below


class _Forecasts(Forecast):
    """The forecast over days in a row, with a target and a reserve of its own for each service of a batch."""

    def __init__(self, service: Service, trace: Trace, target: Any, reserve: Any) -> None:
        super().__init__(service, trace, float(np.min(target)), float(np.min(reserve)))
        self.target, self.reserve = target, reserve

    def reset(self, days: NDArray[np.int64]) -> None:
        """Find what came before each of the days, shape (n, days x steps)."""
        steps, usual = self.service.steps_per_episode, []
        for first in range(0, days.shape[1], steps):
            super().reset(days[:, first : first + steps])
            usual.append(self._usual)
        self._usual = np.concatenate(usual, axis=1)


@dataclass(frozen=True)
class Family:
    """Rules of one kind, which differ by their settings."""

    name: str
    """What tables and set-ups call it."""
    settings: tuple[str, ...]
    """The names of what can be set."""
    grid: Callable[[Service], list[tuple[float, ...]]]
    """Returns the settings that are tried first for a service."""
    fine: tuple[float, ...]
    """Steps in which each setting is then varied about the best of those."""
    make: Callable[..., Policy]
    """Returns a policy; called with the service and the settings, each a number or an array over the batch."""
    tell: Callable[[Settings], str]
    """Says a setting in words."""

    def policy(self, service: Service, settings: Settings, name: str | None = None) -> Policy:
        """Return the rule with a setting, under a name for tables.

        Raises:
            ValueError: A setting is unknown, missing or not allowed.
        """
        if set(settings) != set(self.settings):
            raise ValueError(
                f"{self.name} is set by {' and '.join(self.settings)}, not by {', '.join(settings) or '-'}"
            )
        policy = self.make(service, **settings)
        policy.name = name or self.name
        return policy

    def near(self, service: Service, settings: Settings) -> list[tuple[float, ...]]:
        """Return the settings that are tried about the best of the grid: up to `REFINED` fine steps off, if allowed."""
        offsets = [np.arange(-REFINED, REFINED + 1) * step for step in self.fine]
        about = [np.unique(np.round(settings[name] + off, 6)) for name, off in zip(self.settings, offsets, strict=True)]
        return [values for values in product(*(each.tolist() for each in about)) if self._allowed(service, values)]

    def _allowed(self, service: Service, values: tuple[float, ...]) -> bool:
        try:
            self.make(service, **dict(zip(self.settings, values, strict=True)))
        except ValueError:
            return False
        return True


def percent(share: float) -> str:
    """Return a share in percent.

    Example:
        >>> percent(0.85)
        '85 %'
    """
    return f"{round(100 * share, 1):g} %"


def _fleets(service: Service) -> list[tuple[float, ...]]:
    fleets = np.linspace(service.min_instances, service.max_instances, 200)
    return [(float(fleet),) for fleet in np.unique(np.rint(fleets))]


def _utilisations(service: Service) -> list[tuple[float, ...]]:
    utilisations = np.append(np.round(np.arange(0.1, 0.96, 0.05), 2), 0.99)
    return [(float(add), float(remove)) for add in utilisations[4:] for remove in utilisations if remove < add - 0.04]


def _targets(service: Service) -> list[tuple[float, ...]]:
    return [(float(target),) for target in np.round(np.arange(0.3, 1.301, 0.02), 2)]


def _targets_and_reserves(service: Service) -> list[tuple[float, ...]]:
    targets = np.round(np.concatenate((np.arange(0.5, 0.8, 0.1), np.arange(0.8, 1.201, 0.05), (1.3, 1.5, 2.0, 3.0))), 2)
    reserves = (0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 25, 30, 40)
    return [(float(target), float(reserve)) for target in targets for reserve in reserves]


def _target_tracking(service: Service, target: Any, reserve: Any) -> Policy:
    return TargetTracking(service, target, reserve)


FAMILIES = {
    family.name: family
    for family in (
        Family(
            "fixed",
            ("instances",),
            _fleets,
            (1.0,),
            FixedFleet,
            lambda to: f"{to['instances']:.0f} instances",
        ),
        Family(
            "threshold",
            ("add_above", "remove_below"),
            _utilisations,
            (0.01, 0.01),
            _Thresholds,
            lambda to: f"add above {percent(to['add_above'])}, remove below {percent(to['remove_below'])}",
        ),
        Family(
            "hpa-cpu",
            ("target",),
            _targets,
            (0.01,),  # Kubernetes knows whole percent
            lambda service, target: HpaCpu(service, target),
            lambda to: f"target {percent(to['target'])}",
        ),
        Family(
            "hpa-demand",
            ("target",),
            _targets,
            (0.005,),
            lambda service, target: HpaDemand(service, target),
            lambda to: f"target {percent(to['target'])}",
        ),
        Family(
            "target-tracking",
            ("target", "reserve"),
            _targets_and_reserves,
            (0.01, 0.25),
            _target_tracking,
            lambda to: f"target {percent(to['target'])}, reserve {to['reserve']:g}",
        ),
    )
}
"""The kinds of rule, by name, from the simplest on."""


def forecast_family(trace: Trace) -> Family:
    """Return the rule that forecasts traffic from its own past; it plays days of the trace, not the first.

    Args:
        trace: The traffic, all days of it; of each day only those before it are read.
    """
    return Family(
        "forecast",
        ("target", "reserve"),
        _targets_and_reserves,
        (0.01, 0.25),
        lambda service, target, reserve: _Forecasts(service, trace, target, reserve),
        FAMILIES["target-tracking"].tell,
    )


LONGEST = 86_400
"""Steps that can be played in one piece."""

_CELLS = 4_000_000  # steps of all services that are played side by side: what fits into a few hundred megabytes


class EachDay:
    """A policy that forgets the past at midnight, as a learner does that was trained on single days.

    Args:
        policy: The policy.
        steps: Steps of a day.
    """

    def __init__(self, policy: Policy, steps: int) -> None:
        self.name = policy.name
        self._policy, self._steps = policy, steps
        self._days = np.empty((0, 0), dtype=np.int64)
        self._step = 0

    def reset(self, days: NDArray[np.int64]) -> None:
        """Prepare for days in a row, shape (n, days x steps)."""
        self._days, self._step = days, 0

    def predict(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the policy's actions, shape (n,)."""
        if self._step % self._steps == 0:
            self._policy.reset(self._days[:, self._step : self._step + self._steps])
        self._step += 1
        return self._policy.predict(observations)


def play_through(policy: Policy, days: NDArray[np.int64], service: Service) -> Trajectory:
    """Let a policy scale a service through days in a row: fleet and queue go over midnight as they are.

    Args:
        policy: Starts with `initial_instances` on the first day.
        days: Arrivals, shape (n, steps).
        service: Its episode is a day.

    Returns:
        One row that holds all steps, shape (1, n x steps); `by_day` cuts it again.

    Raises:
        ValueError: There are more steps than can be played in one piece.
    """
    if days.size > LONGEST:
        raise ValueError(
            f"{len(days):,} days of {days.shape[1]:,} steps are {days.size:,} steps; at most {LONGEST:,} can be played "
            "in one piece: set step_seconds to several times what it is, such as 300, and counts are added up"
        )
    return simulate(policy, days.reshape(1, -1), dataclasses.replace(service, steps_per_episode=days.size))


def by_day(trajectory: Trajectory, service: Service) -> Trajectory:
    """Return days in a row as a row for each day, shape (n, steps)."""
    rows = {
        field.name: getattr(trajectory, field.name).reshape(-1, service.steps_per_episode)
        for field in dataclasses.fields(trajectory)
        if field.name != "service"
    }
    return Trajectory(service, **rows)


def calibrate_family(family: Family, days: NDArray[np.int64], service: Service) -> tuple[dict[str, float], float]:
    """Find the cheapest setting of a rule on days in a row: on its grid, and then in fine steps about the best.

    Args:
        family: The kind of rule.
        days: Arrivals, shape (n, steps).
        service: Its episode is a day.

    Returns:
        The setting, and its cost in dollars a day. Of settings that cost the same the first of the grid.
    """
    settings, cost = _cheapest(family, family.grid(service), days, service)
    finer, lower = _cheapest(family, family.near(service, settings), days, service)
    return (finer, lower) if lower < cost - 1e-9 else (settings, cost)


def _cheapest(
    family: Family, settings: list[tuple[float, ...]], days: NDArray[np.int64], service: Service
) -> tuple[dict[str, float], float]:
    """Return the cheapest of some settings, and its cost in dollars a day; all of them are played side by side."""
    tried = np.array(settings)
    long_service = dataclasses.replace(service, steps_per_episode=days.size)
    line = days.reshape(1, -1)
    costs: list[NDArray[np.float64]] = []
    for some in np.array_split(tried, -(-len(tried) * days.size // _CELLS)):
        values: dict[str, Any] = dict(zip(family.settings, some.T, strict=True))
        trajectory = simulate(family.policy(service, values), np.repeat(line, len(some), axis=0), long_service)
        costs.append(trajectory.cost.sum(axis=1))
    totals = np.concatenate(costs)
    best = int(np.argmin(totals))
    return dict(zip(family.settings, tried[best].tolist(), strict=True)), float(totals[best]) / len(days)
