"""The policy protocol, and the counts behind an observation."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.service import Service

OPTIMUM = "optimum"
"""The name of the optimum in tables. It is a bound rather than a policy: nobody can deploy it."""

FORECAST = "forecast"
"""The name of the rule that forecasts from earlier days, in tables and on the command line."""

RECOGNISE = "recognise"
"""The name of the rule that recognises the pattern, in tables and on the command line."""


@runtime_checkable
class Policy(Protocol):
    """A policy scales a batch of services, one step after another.

    A caller calls `reset(days)` once, then `predict(observations)` for each step in order. A policy may have a memory,
    which lasts from one `reset` to the next.
    """

    name: str

    def reset(self, days: NDArray[np.int64]) -> None:
        """Prepare for a batch of days.

        Args:
            days: The arrivals of the days, shape (n, steps). Only a clairvoyant policy may use more than the shape.
        """
        ...

    def predict(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        """Choose an action for each service.

        Args:
            observations: One of each service, float32 of shape (n, 7).

        Returns:
            Indices into `service.fleet_changes`, shape (n,).
        """
        ...


class Counts(NamedTuple):
    """The counts behind observations, each of shape (n,): instances, requests, and the utilisation from 0 to 1."""

    ready: NDArray[np.int64]
    booting: NDArray[np.int64]
    utilisation: NDArray[np.float64]
    queue: NDArray[np.int64]
    arrivals: NDArray[np.int64]
    change: NDArray[np.int64]
    spare_capacity: NDArray[np.int64]


def decode(observations: NDArray[np.float32], service: Service) -> Counts:
    """Recover the counts behind observations, exactly, by rounding.

    A rule that compared the float32 entries themselves would decide wrongly at boundaries and lose dollars.

    Args:
        observations: float32 of shape (n, 7).
        service: The service observed.

    Returns:
        Instances, requests and the utilisation, each of shape (n,). Clipped arrivals, changes and spare capacities stay
        clipped.
    """
    from autoscaler_env.policies.loops import counted  # here: numba, which a set-up that is refused need not load

    most, arrivals = service.max_instances, service.arrivals_scale
    scales = np.array([most, most, 1, max(service.queue_limit, 1), arrivals, arrivals, service.spare_capacity_scale])
    values = np.asarray(observations.T, dtype=np.float64, order="C")
    (ready, booting, queue, came, change, spare), utilisation = counted(values, scales, service.capacity_per_instance)
    return Counts(ready, booting, utilisation, queue, came, change, spare)


def step_toward(wanted: NDArray[Any], fleet: NDArray[np.int64], service: Service) -> NDArray[np.int64]:
    """Choose, for each service, the action that brings its fleet nearest to a wanted fleet.

    Args:
        wanted: The wanted fleet, in instances, shape (n,).
        fleet: Instances ready or booting, shape (n,).
        service: Gives the changes that actions ask for, and the limits of the fleet: no change beyond them is chosen.
            With (-1, 0, +1) this is one step toward the target.

    Returns:
        Actions, shape (n,). Of two that are equally near, the smaller change is chosen.
    """
    from autoscaler_env.policies.loops import nearest

    smallest_first, changes = _smallest_first(service.fleet_changes)
    wanted = np.asarray(wanted, dtype=np.float64, order="C")
    if wanted.shape != fleet.shape:
        wanted = np.array(np.broadcast_to(wanted, fleet.shape))
    limits = (service.min_instances, service.max_instances)
    actions: NDArray[np.int64] = nearest(wanted, np.ascontiguousarray(fleet), smallest_first, changes, *limits)
    return actions


@lru_cache(maxsize=64)
def _smallest_first(fleet_changes: tuple[int, ...]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the actions from the smallest change to the largest, and their changes."""
    changes = np.array(fleet_changes)
    order = np.argsort(np.abs(changes), kind="stable")
    return order, changes[order]


def ticks(step: int, step_seconds: int, period: int) -> list[int]:
    """Return when a controller acts between two observations, in seconds before the later one: from old to new.

    It acts at the start of a day and every `period` seconds from then on, whatever the length of a step.

    Args:
        step: How many observations of the day there were before the later one; at 0 a new controller acts once.
        step_seconds: Length of a step.
        period: Seconds from one action to the next, at least 1.

    Example:
        >>> ticks(1, 60, 15), ticks(2, 20, 15), ticks(1, 10, 15)
        ([45, 30, 15, 0], [10], [])
    """
    if step == 0:
        return [0]
    now = step * step_seconds
    first = (now - step_seconds) // period + 1
    return [now - tick * period for tick in range(first, now // period + 1)]


class ForeignPolicy:
    """A model with stable-baselines3's `predict(observation, deterministic)` as one of our policies.

    Args:
        model: The model; its observations are those of the environment.
        name: What tables call it.
    """

    def __init__(self, model: Any, name: str) -> None:
        self.name = name
        self._model = model

    def reset(self, days: NDArray[np.int64]) -> None:
        """Do nothing: such a model has no memory."""

    def predict(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the model's deterministic actions, shape (n,)."""
        return np.asarray(self._model.predict(observations, deterministic=True)[0])
