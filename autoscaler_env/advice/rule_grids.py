"""The kinds of rule that are calibrated on a user's traffic: what can be set about each, and what is tried."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
    """The threshold rule with loads of its own for each service of a batch."""

    def __init__(self, service: Service, add_above: Any, remove_below: Any) -> None:
        for add, remove in zip(np.atleast_1d(add_above), np.atleast_1d(remove_below), strict=True):
            super().__init__(service, float(add), float(remove))
        self._add_above, self._remove_below = add_above, remove_below


class _Forecasts(Forecast):
    """The forecast over days in a row, with a target and a headroom of its own for each service of a batch."""

    def __init__(self, service: Service, trace: Trace, target: Any, headroom: Any) -> None:
        super().__init__(service, trace, float(np.min(target)), float(np.min(headroom)))
        self.target, self.headroom = target, headroom

    def reset(self, days: NDArray[np.int64]) -> None:
        """Find what came before each of the days, shape (n, days x slots)."""
        slots, usual = self.service.slots_per_episode, []
        for first in range(0, days.shape[1], slots):
            super().reset(days[:, first : first + slots])
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


def _loads(service: Service) -> list[tuple[float, ...]]:
    loads = np.append(np.round(np.arange(0.1, 0.96, 0.05), 2), 0.99)
    return [(float(add), float(remove)) for add in loads[4:] for remove in loads if remove < add - 0.04]


def _targets(service: Service) -> list[tuple[float, ...]]:
    return [(float(target),) for target in np.round(np.arange(0.3, 1.301, 0.02), 2)]


def _targets_and_headrooms(service: Service) -> list[tuple[float, ...]]:
    targets = np.round(np.concatenate((np.arange(0.5, 0.8, 0.1), np.arange(0.8, 1.201, 0.05), (1.3, 1.5, 2.0, 3.0))), 2)
    headrooms = (0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 25, 30, 40)
    return [(float(target), float(headroom)) for target in targets for headroom in headrooms]


def _target_tracking(service: Service, target: Any, headroom: Any) -> Policy:
    return TargetTracking(service, target, headroom)


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
            _loads,
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
            ("target", "headroom"),
            _targets_and_headrooms,
            (0.01, 0.25),
            _target_tracking,
            lambda to: f"target {percent(to['target'])}, headroom {to['headroom']:g}",
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
        ("target", "headroom"),
        _targets_and_headrooms,
        (0.01, 0.25),
        lambda service, target, headroom: _Forecasts(service, trace, target, headroom),
        FAMILIES["target-tracking"].tell,
    )
