"""Tabular Q-learning: a table of action values, and the update that fills it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autoscaler_env import dynamics
from autoscaler_env.compiled import compiled
from autoscaler_env.policies.base import decode
from autoscaler_env.service import Service

SPARE_CAPACITIES = (-8, -4, -2, -1, 0, 0.5, 1, 1.5, 2, 3, 4, 6, 9, 12)
"""Spare capacity, in instances, at which one cell ends and the next begins."""

CHANGES = (-2.5, -1.5, -0.75, -0.25, 0.25, 0.75, 1.5, 2.5)
"""Change of arrivals, in instances' worth of requests per step, at which one cell ends and the next begins."""

LEVELS: tuple[float, ...] = ()
"""Arrivals, as a share of the peak, at which one cell ends and the next begins; empty: the level does not count."""


@dataclass(frozen=True)
class Discretisation:
    """Divide observations into the cells of a table.

    Three quantities decide the cell: the spare capacity, the change of the arrivals, and their level. Values below the
    first edge share a cell, so n edges make n + 1 cells.
    """

    spare_capacities: tuple[float, ...] = SPARE_CAPACITIES
    changes: tuple[float, ...] = CHANGES
    levels: tuple[float, ...] = LEVELS

    @property
    def shape(self) -> tuple[int, int, int]:
        """Cells along spare capacity, change and level."""
        return len(self.spare_capacities) + 1, len(self.changes) + 1, len(self.levels) + 1

    def cells(self, observations: NDArray[np.float32], service: Service) -> NDArray[np.int64]:
        """Return the cell of each observation: a row of the table, shape (n,)."""
        counts = decode(observations, service)
        spare_capacity = np.searchsorted(
            self.edges(self.spare_capacities, service), counts.spare_capacity, side="right"
        )
        change = np.searchsorted(self.edges(self.changes, service), counts.change, side="right")
        level = np.searchsorted(self.level_edges(service), counts.arrivals, side="right")
        return (spare_capacity * self.shape[1] + change) * self.shape[2] + level

    def edges(self, edges: tuple[float, ...], service: Service) -> NDArray[np.float64]:
        """Return edges given in instances as edges in requests, shape (edges,)."""
        return np.array(edges, dtype=np.float64) * service.capacity_per_instance

    def level_edges(self, service: Service) -> NDArray[np.float64]:
        """Return the edges of the level in requests per step, shape (edges,)."""
        return np.array(self.levels, dtype=np.float64) * service.peak_arrivals


class QTable:
    r"""A table of action values, and the policy that takes the best action of each cell.

    Spare capacity and change of the arrivals are cut into cells. For each cell and action the table holds the return
    that was learned for it. While it learns, it mostly takes the best action and sometimes a random one.

    Args:
        values: Estimated return of each action in each cell, dollars, shape (cells, actions).
        service: The service to scale.
        discretisation: Divides observations into cells.
        name: What tables call it.

    Equation:
        Q(s, a) \leftarrow Q(s, a) + \alpha_n \left( r + \gamma \max_{a'} Q(s', a') - Q(s, a) \right),
        \qquad \alpha_n = n^{-\text{rate exponent}}

        a_t = \arg\max_a Q(s_t, a)

    Source:
        Watkins and Dayan, "Q-learning", Machine Learning 8, 1992; the step sizes are those of Even-Dar and Mansour,
        "Learning rates for Q-learning", JMLR 5, 2003.

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
        """Return a table that has not learned anything yet."""
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
        """Return the values of each action in the last `predict`: dollars, shape (n, actions)."""
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
            n-th update is n ** -rate_exponent. The last step of a day bootstraps like any other, since the day ends by
            the clock.
        days: Arrivals, shape (n, steps).
        epsilon: Share of random actions on each day, shape (n,).
        rate_exponent: How fast the rate falls, above 0.5 and at most 1.
        discount: Weight of the next step's value, from 0 to 1.
        rng: Draws the exploration.

    Returns:
        The return of each day, with its exploration: dollars, shape (n,).

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
        discretisation.edges(discretisation.spare_capacities, service),
        discretisation.edges(discretisation.changes, service),
        discretisation.level_edges(service),
        returns,
    )
    return returns


_BUCKETS = 4096
"""Most entries of an index of edges."""


@compiled
def _index_edges(edges):
    """Return an index that finds the cell of a whole number without a search.

    Args:
        edges: Where cells end and the next begin, ascending, shape (edges,).

    Returns:
        The edges rounded up to whole numbers, with a last one that no number reaches; the lowest edge; by how many bits
        numbers are shifted, so that at most `_BUCKETS` buckets are left; and the first cell of each bucket.
    """
    count = edges.shape[0]
    whole = np.empty(count + 1, dtype=np.int64)
    for i in range(count):
        whole[i] = math.ceil(edges[i])
    whole[count] = np.iinfo(np.int64).max
    lowest = whole[0] if count else 0
    width = whole[count - 1] - lowest if count else 0
    shift = 0
    while width >> shift >= _BUCKETS:
        shift += 1
    first_cells = np.zeros((width >> shift) + 2, dtype=np.int64)
    for bucket in range(1, len(first_cells)):
        first_cells[bucket] = np.searchsorted(whole[:count], lowest + ((bucket - 1) << shift), side="right")
    return whole, lowest, shift, first_cells


@compiled
def _cell_of(number, index):
    """Return the cell of a whole number: how many edges are not above it."""
    edges, lowest, shift, first_cells = index
    bucket = ((number - lowest) >> shift) + 1
    cell = first_cells[min(max(bucket, 0), first_cells.shape[0] - 1)]
    while number >= edges[cell]:
        cell += 1
    return cell


@compiled
def _best(values, cell):
    """Return the first of the best actions in a cell, and its value."""
    best, value = 0, values[cell, 0]
    for action in range(1, values.shape[1]):
        better = values[cell, action] > value
        best = action if better else best
        value = values[cell, action] if better else value
    return best, value


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
    spare_capacities,
    changes,
    levels,
    returns,
):
    """Play each day and learn from it: the compiled part of `learn`."""
    parameters = dynamics.parameters_of(constants)
    actions, steps = values.shape[1], days.shape[1]
    orders = np.zeros(dynamics.order_rows(parameters), dtype=np.int64)
    spare_index, change_index, level_index = _index_edges(spare_capacities), _index_edges(changes), _index_edges(levels)
    change_cells, level_cells = changes.shape[0] + 1, levels.shape[0] + 1
    for day in range(days.shape[0]):
        ready, booting, queue, last_arrivals = parameters.initial_instances, 0, 0, days[day, 0]
        orders[:] = 0
        due = 0
        total = 0.0
        share = epsilon[day]
        spare = parameters.capacity * ready - last_arrivals
        cell = _cell_of(spare, spare_index) * change_cells + _cell_of(0, change_index)
        cell = cell * level_cells + _cell_of(last_arrivals, level_index)
        for step in range(steps):
            action, _ = _best(values, cell)
            if draws[day, step, 0] < share:
                action = int(draws[day, step, 1] * actions)
            arrivals = days[day, step]
            ready, booting, queue, ordered, _, dropped, _, _ = dynamics.advance(
                ready, booting, queue, orders[due], fleet_changes[action], arrivals, parameters
            )
            orders[due] = ordered
            due = due + 1 if due + 1 < orders.shape[0] else 0
            reward = -dynamics.cost_of(ready, booting, queue, dropped, parameters)
            spare = parameters.capacity * (ready + booting) - arrivals - queue
            change_cell = _cell_of(arrivals - last_arrivals, change_index)
            following = _cell_of(spare, spare_index) * change_cells + change_cell
            following = following * level_cells + _cell_of(arrivals, level_index)
            last_arrivals = arrivals
            _, value = _best(values, following)
            visits[cell, action] += 1
            rate = visits[cell, action] ** -rate_exponent
            values[cell, action] += rate * (reward + discount * value - values[cell, action])
            cell = following
            total += reward
        returns[day] = total
