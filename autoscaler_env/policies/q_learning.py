"""Tabular Q-learning: a table of action values, and the update that fills it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from autoscaler_env import dynamics
from autoscaler_env.compiled import compiled
from autoscaler_env.policies.base import decode
from autoscaler_env.policies.decision_inputs import ARRIVALS_INPUTS, EXPECTED, Outlook, outlook_on
from autoscaler_env.policies.recognise import Recogniser
from autoscaler_env.service import Service
from autoscaler_env.traffic.workload import PATTERNS

SPARE_CAPACITIES = (-8, -4, -2, -1, 0, 0.5, 1, 1.5, 2, 3, 4, 6, 9, 12)
"""Spare capacity, in instances, at which one cell ends and the next begins."""

CHANGES = (-2.5, -1.5, -0.75, -0.25, 0.25, 0.75, 1.5, 2.5)
"""Change of arrivals, in instances' worth of requests per step, at which one cell ends and the next begins."""

LEVELS: tuple[float, ...] = ()
"""Arrivals, as a share of the peak, at which one cell ends and the next begins; empty: the level does not count."""

EXPECTED_SPARES = (-6, -3, -1.5, -0.5, 0.5, 1.5, 3, 6)
"""Fleet minus the demand that is expected when an instance ordered now is ready, in instances: ends of cells."""

_READY = 1 + EXPECTED.index("order ready")


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

    def of_arrivals(self, days: NDArray[np.int64], service: Service) -> OfArrivals:
        """Return the part of each cell that the arrivals decide alone, before each step of some days and at the end."""
        part = np.empty((len(days), days.shape[1] + 1), dtype=np.int32)
        _find_parts(days, self.edges(self.changes, service), self.level_edges(service), part)
        return OfArrivals(part, self.shape[1] * self.shape[2], np.zeros((1, 1), dtype=np.float32), np.zeros(0))


@dataclass(frozen=True, eq=False)
class DecisionCells:
    """Divide what a decision needs into the cells of a table; see `policies/decision_inputs.py`.

    Three quantities decide the cell: the spare capacity; the fleet minus the demand that is expected in the step in
    which an instance ordered now serves first; and the likeliest pattern of the day. The last two need the day's
    arrivals so far, which an `Outlook` remembers.
    """

    recogniser: Recogniser
    """Says how likely each of `PATTERNS` is."""
    spare_capacities: tuple[float, ...] = SPARE_CAPACITIES
    expected_spares: tuple[float, ...] = EXPECTED_SPARES

    @property
    def shape(self) -> tuple[int, int, int]:
        """Cells along spare capacity, expected spare capacity and pattern."""
        return len(self.spare_capacities) + 1, len(self.expected_spares) + 1, len(PATTERNS)

    def cells(self, observations: NDArray[np.float32], service: Service, outlook: Outlook) -> NDArray[np.int64]:
        """Add observations to what is remembered; return the cell of each: a row of the table, shape (n,)."""
        known = np.empty((len(observations), ARRIVALS_INPUTS), dtype=np.float32)
        expected = np.empty((len(observations), 1 + len(EXPECTED)), dtype=np.float32)
        outlook(observations, known, expected)
        counts = decode(observations, service)
        edges = np.array(self.spare_capacities, dtype=np.float64) * service.capacity_per_instance
        now = np.searchsorted(edges, counts.spare_capacity, side="right")
        later = np.searchsorted(
            np.array(self.expected_spares, dtype=np.float64),
            counts.ready + counts.booting - expected[:, _READY],
            side="right",
        )
        return (now * self.shape[1] + later) * self.shape[2] + self.recogniser.chances_of(known).argmax(axis=1)

    def of_arrivals(self, days: NDArray[np.int64], service: Service) -> OfArrivals:
        """Return the part of each cell that the arrivals decide alone, before each step of some days and at the end."""
        one_more = np.concatenate([days, days[:, -1:]], axis=1)  # the last observation shows the step before
        known, expected = outlook_on(service, one_more)
        part = (
            self.recogniser.chances_of(known.reshape(-1, ARRIVALS_INPUTS))
            .argmax(axis=1)
            .astype(np.int32)
            .reshape(one_more.shape)
        )
        edges = np.array(self.expected_spares, dtype=np.float64)
        return OfArrivals(part, len(PATTERNS), np.ascontiguousarray(expected[:, :, _READY]), edges)


class OfArrivals(NamedTuple):
    """What the arrivals of some days decide about the cells, before each step and after the last."""

    part: NDArray[np.int32]
    """What is added to the cell, shape (n, steps + 1)."""
    parts: int
    """How many values `part` can have."""
    expected: NDArray[np.float32]
    """Demand that the fleet is compared with, in instances, shape (n, steps + 1); of no meaning without `edges`."""
    edges: NDArray[np.float64]
    """Fleet minus this demand at which one cell ends and the next begins; empty where it does not count."""


class QTable:
    r"""A table of action values, and the policy that takes the best action of each cell.

    Spare capacity and change of the arrivals are cut into cells. For each cell and action the table holds the return
    that was learned for it. While it learns, it mostly takes the best action and sometimes a random one.

    Args:
        values: Estimated return of each action in each cell, dollars, shape (cells, actions).
        service: The service to scale.
        discretisation: Divides observations into cells; or what a decision needs.
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

    def __init__(
        self,
        values: NDArray[np.float64],
        service: Service | None = None,
        discretisation: Discretisation | DecisionCells | None = None,
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
        self._outlook = Outlook(self.service)

    @classmethod
    def zeros(
        cls, service: Service | None = None, discretisation: Discretisation | DecisionCells | None = None
    ) -> QTable:
        """Return a table that has not learned anything yet."""
        service = service or Service()
        discretisation = discretisation or Discretisation()
        values = np.zeros((int(np.prod(discretisation.shape)), len(service.fleet_changes)))
        return cls(values, service, discretisation)

    def reset(self, days: NDArray[np.int64]) -> None:
        """Forget the day before; only a table over what a decision needs remembers any of it."""
        self._outlook.start()

    @property
    def preferences_are(self) -> str:
        """The quantity that `preferences` returns, in dollars.

        `returns`; for a table over what a decision needs `savings` against target tracking, on which it is trained.
        """
        return "savings" if isinstance(self.discretisation, DecisionCells) else "returns"

    def predict(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the best action of each cell, shape (n,)."""
        cells = self.discretisation
        if isinstance(cells, DecisionCells):
            self._cells = cells.cells(observations, self.service, self._outlook)
        else:
            self._cells = cells.cells(observations, self.service)
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
    rule_costs: NDArray[np.float64] | None = None,
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
        rule_costs: What a rule costs in each step of the same days, dollars, shape (n, steps). A reward is then what is
            saved against it (an input-dependent baseline; see `LearnerVecEnv`).

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
        np.array(table.discretisation.spare_capacities, dtype=np.float64) * service.capacity_per_instance,
        table.discretisation.of_arrivals(days, service),
        np.zeros(days.shape) if rule_costs is None else rule_costs,
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
def _find_parts(days, changes, levels, part):
    """Write the part of each cell that change and level decide, before each step of some days and after the last."""
    change_index, level_index = _index_edges(changes), _index_edges(levels)
    level_cells = levels.shape[0] + 1
    for day in range(days.shape[0]):
        last_arrivals = days[day, 0]
        part[day, 0] = _cell_of(0, change_index) * level_cells + _cell_of(last_arrivals, level_index)
        for step in range(days.shape[1]):
            arrivals = days[day, step]
            change_cell = _cell_of(arrivals - last_arrivals, change_index)
            part[day, step + 1] = change_cell * level_cells + _cell_of(arrivals, level_index)
            last_arrivals = arrivals


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
    of_arrivals,
    rule_costs,
    returns,
):
    """Play each day and learn from it: the compiled part of `learn`."""
    parameters = dynamics.parameters_of(constants)
    actions, steps = values.shape[1], days.shape[1]
    orders = np.zeros(dynamics.order_rows(parameters), dtype=np.int64)
    spare_index = _index_edges(spare_capacities)
    part, parts, expected, edges = of_arrivals.part, of_arrivals.parts, of_arrivals.expected, of_arrivals.edges
    expected_cells = edges.shape[0] + 1
    against_expected = expected_cells > 1
    for day in range(days.shape[0]):
        ready, booting, queue = parameters.initial_instances, 0, 0
        orders[:] = 0
        due = 0
        total = 0.0
        share = epsilon[day]
        spare = parameters.capacity * ready - days[day, 0]
        cell = _cell_of(spare, spare_index)
        if against_expected:
            passed = np.searchsorted(edges, ready - expected[day, 0], side="right")
            cell = cell * expected_cells + passed
        cell = cell * parts + part[day, 0]
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
            fleet = ready + booting
            spare = parameters.capacity * fleet - arrivals - queue
            following = _cell_of(spare, spare_index)
            if against_expected:
                passed = np.searchsorted(edges, fleet - expected[day, step + 1], side="right")
                following = following * expected_cells + passed
            following = following * parts + part[day, step + 1]
            _, value = _best(values, following)
            visits[cell, action] += 1
            rate = visits[cell, action] ** -rate_exponent
            target = reward + rule_costs[day, step] + discount * value
            values[cell, action] += rate * (target - values[cell, action])
            cell = following
            total += reward
        returns[day] = total
