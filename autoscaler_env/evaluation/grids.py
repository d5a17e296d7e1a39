"""The kinds of rule that can be calibrated, and which of their settings are tried.

A `RuleGrid` lists the settings of one kind of rule. `calibration` searches the cheapest of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.policies.base import Policy
from autoscaler_env.policies.forecast import Forecast
from autoscaler_env.policies.kubernetes import HpaCpu, HpaDemand
from autoscaler_env.policies.rules import FixedFleet, TargetTracking, Threshold
from autoscaler_env.service import Service
from autoscaler_env.text import percent
from autoscaler_env.traffic.trace import Trace

REFINED = 4
"""Fine steps on either side of the best setting of a grid that are tried after it."""

Settings = Mapping[str, Any]
"""Settings by name; each is a number, or an array with one number for each service of a batch."""


@dataclass(frozen=True)
class RuleGrid:
    """A kind of rule, the names of its settings, and the values to try."""

    name: str
    """The rule's name in tables and set-ups."""
    settings: tuple[str, ...]
    """The names of its settings."""
    grid: Callable[[Service], list[tuple[float, ...]]]
    """Returns the values that are tried first for a service."""
    fine: tuple[float, ...]
    """The fine step of each setting, in which it is then varied around the best of those."""
    make: Callable[..., Policy]
    """Returns a policy; called with the service and the settings, each a number or an array over the batch."""
    describe: Callable[[Settings], str]
    """Returns the settings in words."""

    def policy(self, service: Service, settings: Settings, name: str | None = None) -> Policy:
        """Return the rule with these settings.

        Args:
            service: The service to scale.
            settings: A value for each of `self.settings`.
            name: What tables call it; the name of the rule by default.

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
        """Return the allowed values within `REFINED` fine steps of these settings."""
        offsets = [np.arange(-REFINED, REFINED + 1) * step for step in self.fine]
        values = [
            np.unique(np.round(settings[name] + off, 6)) for name, off in zip(self.settings, offsets, strict=True)
        ]
        return [point for point in product(*(column.tolist() for column in values)) if self._allowed(service, point)]

    def _allowed(self, service: Service, values: tuple[float, ...]) -> bool:
        try:
            self.make(service, **dict(zip(self.settings, values, strict=True)))
        except ValueError:
            return False
        return True


class _Thresholds(Threshold):
    """The threshold rule with its own utilisations for each service of a batch."""

    def __init__(self, service: Service, add_above: Any, remove_below: Any) -> None:
        for add, remove in zip(np.atleast_1d(add_above), np.atleast_1d(remove_below), strict=True):
            super().__init__(service, float(add), float(remove))
        self._add_above, self._remove_below = add_above, remove_below


class _Forecasts(Forecast):
    """The forecast over days in a row, with its own target and reserve for each service of a batch."""

    def __init__(self, service: Service, trace: Trace, target: Any, reserve: Any) -> None:
        super().__init__(service, trace, float(np.min(target)), float(np.min(reserve)))
        self.target, self.reserve = target, reserve

    def reset(self, days: NDArray[np.int64]) -> None:
        """Find the days before each of the days, shape (n, days x steps)."""
        steps, usual = self.service.steps_per_episode, []
        for first in range(0, days.shape[1], steps):
            super().reset(days[:, first : first + steps])
            usual.append(self._usual)
        self._usual = np.concatenate(usual, axis=1)


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


def _describe_target(settings: Settings) -> str:
    return f"target {percent(settings['target'])}"


def _describe_target_and_reserve(settings: Settings) -> str:
    return f"target {percent(settings['target'])}, reserve {settings['reserve']:g}"


def _describe_thresholds(settings: Settings) -> str:
    return f"add above {percent(settings['add_above'])}, remove below {percent(settings['remove_below'])}"


RULE_GRIDS = {
    grid.name: grid
    for grid in (
        RuleGrid(
            FixedFleet.name,
            ("instances",),
            _fleets,
            (1.0,),
            FixedFleet,
            lambda settings: f"{settings['instances']:.0f} instances",
        ),
        RuleGrid(
            Threshold.name,
            ("add_above", "remove_below"),
            _utilisations,
            (0.01, 0.01),
            _Thresholds,
            _describe_thresholds,
        ),
        RuleGrid(HpaCpu.name, ("target",), _targets, (0.01,), HpaCpu, _describe_target),  # Kubernetes: whole percent
        RuleGrid(HpaDemand.name, ("target",), _targets, (0.005,), HpaDemand, _describe_target),
        RuleGrid(
            "target-tracking",
            ("target", "reserve"),
            _targets_and_reserves,
            (0.01, 0.25),
            TargetTracking,
            _describe_target_and_reserve,
        ),
    )
}
"""The kinds of rule that can be calibrated, by name, from the simplest on."""


def forecast_grid(trace: Trace) -> RuleGrid:
    """Return the grid of the forecast from earlier days; it can play every day of the trace but the first.

    Args:
        trace: The recorded days; to forecast a day, only the days before it are read.
    """
    return RuleGrid(
        Forecast.name,
        ("target", "reserve"),
        _targets_and_reserves,
        (0.01, 0.25),
        lambda service, target, reserve: _Forecasts(service, trace, target, reserve),
        _describe_target_and_reserve,
    )
