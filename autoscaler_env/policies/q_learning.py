"""Tabular Q-learning: a table of situations and actions, and the update that fills it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autoscaler_env import dynamics
from autoscaler_env.compiled import compiled
from autoscaler_env.policies.base import decode
from autoscaler_env.service import Service

HEADROOMS = (-8, -4, -2, -1, 0, 0.5, 1, 1.5, 2, 3, 4, 6, 9, 12)
"""Headroom, in instances, at which one cell ends and the next begins."""

CHANGES = (-2.5, -1.5, -0.75, -0.25, 0.25, 0.75, 1.5, 2.5)
"""Change of influx, in instances' worth of requests per slot, at which one cell ends and the next begins."""

LEVELS: tuple[float, ...] = ()
"""Influx, as a share of the peak, at which one cell ends and the next begins; none: the level is not asked."""


@dataclass(frozen=True)
class Discretisation:
    """Cut what an operator sees into the cells of a table.

    Three questions decide the cell: how much capacity is to spare, is traffic rising or falling, and how much traffic
    is there? Values below the first edge share a cell, so n edges make n + 1 cells.
    """

    headrooms: tuple[float, ...] = HEADROOMS
    changes: tuple[float, ...] = CHANGES
    levels: tuple[float, ...] = LEVELS

    @property
    def shape(self) -> tuple[int, int, int]:
        """Cells along headroom, change and level."""
        return len(self.headrooms) + 1, len(self.changes) + 1, len(self.levels) + 1

    def cells(self, observations: NDArray[np.float32], service: Service) -> NDArray[np.int64]:
        """Return the cell of each observation: a row of the table, shape (n,)."""
        counts = decode(observations, service)
        headroom = np.searchsorted(self.edges(self.headrooms, service), counts.headroom, side="right")
        change = np.searchsorted(self.edges(self.changes, service), counts.change, side="right")
        level = np.searchsorted(self.level_edges(service), counts.influx, side="right")
        return (headroom * self.shape[1] + change) * self.shape[2] + level

    def edges(self, edges: tuple[float, ...], service: Service) -> NDArray[np.float64]:
        """Return edges given in instances as edges in requests, shape (edges,)."""
        return np.array(edges, dtype=np.float64) * service.capacity_per_instance

    def level_edges(self, service: Service) -> NDArray[np.float64]:
        """Return the edges of the level in requests per slot, shape (edges,)."""
        return np.array(self.levels, dtype=np.float64) * service.peak_influx


class QTable:
    """A table of action values, and the policy that takes the best action of each cell.

    Args:
        values: Estimated return of each action in each cell, dollars, shape (cells, actions).
        service: The service observed.
        discretisation: How observations become cells.
        name: What tables call it.

    Raises:
        ValueError: The shape does not fit, or a value is not finite.
    """

    preferences_are = "returns"

    def __init__(
        self,
        values: NDArray[np.float64],
        service: Service | None = None,
        discretisation: Discretisation | None = None,
        name: str = "q-learning",
    ) -> None:
        self.service = service or Service()
        self.discretisation = discretisation or Discretisation()
        wanted = (int(np.prod(self.discretisation.shape)), len(self.service.fleet_changes))
        if values.shape != wanted:
            raise ValueError(f"Q-table of shape {values.shape}: must be {wanted}, cells by actions")
        if not np.isfinite(values).all():
            raise ValueError("Q-table: every value must be finite")
        self.values = values
        self.visits = np.zeros(values.shape)
        self.name = name
        self._cells = np.zeros(0, dtype=np.int64)

    @classmethod
    def zeros(cls, service: Service | None = None, discretisation: Discretisation | None = None) -> QTable:
        """Return a table that has learned nothing yet."""
        service = service or Service()
        discretisation = discretisation or Discretisation()
        values = np.zeros((int(np.prod(discretisation.shape)), len(service.fleet_changes)))
        return cls(values, service, discretisation)

    def reset(self, days: NDArray[np.int64]) -> None:
        """Do nothing: a table has no memory."""

    def predict(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the best action of each cell, shape (n,)."""
        self._cells = self.discretisation.cells(observations, self.service)
        return np.argmax(self.values[self._cells], axis=1)

    def preferences(self) -> NDArray[np.float64]:
        """Return the values that the last `predict` chose by: dollars, shape (n, actions)."""
        return self.values[self._cells]


def learn(
    table: QTable,
    days: NDArray[np.int64],
    epsilon: NDArray[np.float64],
    rate_exponent: float,
    discount: float,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Train a table on days, one after another, epsilon-greedily; change it in place.

    Args:
        table: Updated by Q(s, a) += rate * (reward + discount * max Q(s', .) - Q(s, a)), where the rate of an entry's
            n-th update is n ** -rate_exponent. The last slot of a day bootstraps like any other: the day ends by the
            clock.
        days: Arrivals, shape (n, slots).
        epsilon: Share of random actions on each day, shape (n,).
        rate_exponent: How fast the step size falls, above 0.5 and at most 1.
        discount: Weight of the next slot's value, from 0 to 1.
        rng: Draws the exploration.

    Returns:
        The return of each day as it was played, exploring included: dollars, shape (n,).

    Raises:
        ValueError: There is not one epsilon for each day.
    """
    if len(epsilon) != len(days):
        raise ValueError(f"epsilon of {len(epsilon)} days: must have one entry for each of the {len(days)} days")
    service = table.service
    draws = rng.random((*days.shape, 2))
    returns = np.empty(len(days))
    discretisation = table.discretisation
    learn_days(
        table.values,
        table.visits,
        days,
        draws,
        epsilon,
        rate_exponent,
        discount,
        np.array(service.fleet_changes),
        dynamics.constants_of(service),
        discretisation.edges(discretisation.headrooms, service),
        discretisation.edges(discretisation.changes, service),
        discretisation.level_edges(service),
        returns,
    )
    return returns


@compiled
def _cell(fleet, queue, influx, change, capacity, headrooms, changes, levels):
    headroom = capacity * fleet - influx - queue
    h = np.searchsorted(headrooms, headroom, side="right")
    c = np.searchsorted(changes, change, side="right")
    level = np.searchsorted(levels, influx, side="right")
    return (h * (changes.shape[0] + 1) + c) * (levels.shape[0] + 1) + level


@compiled
def learn_days(
    values,
    visits,
    days,
    draws,
    epsilon,
    rate_exponent,
    discount,
    fleet_changes,
    constants,
    headrooms,
    changes,
    levels,
    returns,
):
    """Play and learn from each day; the compiled heart of `learn`."""
    law = dynamics.law_of(constants)
    actions = values.shape[1]
    orders = np.zeros(law.boot_slots, dtype=np.int64)
    for day in range(days.shape[0]):
        ready, booting, queue, influx = law.initial_instances, 0, 0, days[day, 0]
        orders[:] = 0
        total = 0.0
        cell = _cell(ready, queue, influx, 0, law.capacity, headrooms, changes, levels)
        for slot in range(days.shape[1]):
            if draws[day, slot, 0] < epsilon[day]:
                action = int(draws[day, slot, 1] * actions)
            else:
                action = np.argmax(values[cell])
            arrivals = days[day, slot]
            due = slot % law.boot_slots
            ready, booting, queue, ordered, _, dropped, _ = dynamics.advance(
                ready, booting, queue, orders[due], fleet_changes[action], arrivals, law
            )
            orders[due] = ordered
            reward = -dynamics.bill_of(ready, booting, queue, dropped, law)
            change = arrivals - influx
            influx = arrivals
            following = _cell(ready + booting, queue, influx, change, law.capacity, headrooms, changes, levels)
            target = reward + discount * values[following].max()
            visits[cell, action] += 1
            values[cell, action] += visits[cell, action] ** -rate_exponent * (target - values[cell, action])
            cell = following
            total += reward
        returns[day] = total
