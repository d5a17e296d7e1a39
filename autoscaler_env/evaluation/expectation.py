"""Dynamic programming when only the distribution of the arrivals is known: expected costs over fleet and queue.

It serves `evaluation.limits`. Requests are counted in units of `capacity_per_instance / units` requests, so that
arrivals, capacity and queue are whole numbers on one lattice, and nothing between its points has to be guessed. What
moves on it is the service itself, in these units, with the environment's transition function.

The arrivals' distribution is put on the lattice in two ways. `WIDER` splits each number of requests between the two
nearest points, so that its mean stays: the spread grows slightly. `NARROWER` first draws the numbers towards their mean
until the result, split in the same way, is a contraction of the original (smaller in convex order). Waiting costs are
convex in the arrivals, so that the costs of the two enclose the true one; that is exact but for the effect of whole
instances, which is far smaller.

Arrays: a value has the shape (fleets, queues): instances that are ready before the action, and queue. What an action
leads to depends on the instances that are ready in the next step and on `column`, the queue plus the capacity of those
that still boot: an instance that boots is like as much more demand.
"""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.compiled import compiled
from autoscaler_env.dynamics import advance, constants_of, cost_of, parameters_of
from autoscaler_env.service import Service

WIDER, NARROWER = 0.0, 5.0 / 12.0
"""The two ways to put a distribution on the lattice: variance that is taken off before splitting, in squared units.

Splitting adds 1/6 on average. That leaves 1/4 less than the original has, which is what convex order needs.
"""

_REACH = 5.0  # standard deviations of a normal distribution that are kept on either side


class Lattice(NamedTuple):
    """A service in units of the lattice, for fleets in a range."""

    service: Service
    """Sizes and prices in units."""
    unit: float
    """Requests of one unit."""
    constants: NDArray[np.float64]
    """The service's numbers for compiled code."""
    low: int
    """Fewest instances of the fleets that are considered."""
    moves: NDArray[np.int64]
    """For each fleet and action: the fleet in the next step counted from `low`, or -1; and instances that boot."""
    queues: int
    """Number of queues, from an empty one to a full one."""
    columns: int
    """Number of columns."""


def lattice_of(service: Service, units: int, low: int, high: int) -> Lattice:
    """Return a service in units of `capacity_per_instance / units` requests, for fleets from `low` to `high`.

    Raises:
        ValueError: A boot is not one step: the state would need the orders too, or the capacity parts of an instance.
    """
    if service.boot_delay != service.step_seconds:
        name = "boot_steps" if service.boot_seconds is None else "boot_seconds"
        must = "1" if service.boot_seconds is None else f"{service.step_seconds}, one step,"
        raise ValueError(f"{name} = {getattr(service, name)}: must be {must} for a limit without foresight")
    unit = service.capacity_per_instance / units
    small = dataclasses.replace(
        service,
        capacity_per_instance=units,
        queue_limit=round(service.queue_limit / unit),
        late_price=service.late_price * unit,
        drop_price=service.drop_price * unit,
        peak_arrivals=math.ceil(service.peak_arrivals / unit),
    )
    low, high = max(low, service.min_instances), min(high, service.max_instances)
    constants = constants_of(small)
    moves = _moves(low, high, np.array(service.fleet_changes, dtype=np.int64), constants)
    queues = small.queue_limit + 1
    return Lattice(small, unit, constants, low, moves, queues, queues + units * int(moves[:, :, 1].max()))


@compiled
def _moves(low, high, changes, constants):
    """Return for each fleet and action the next fleet, counted from `low` (-1 if it is refused), and the booting."""
    parameters = parameters_of(constants)
    moves = np.full((high - low + 1, len(changes), 2), -1, dtype=np.int64)
    for i in range(len(moves)):
        for k in range(len(changes)):
            ready, booting, _, _, _, _, refused, _ = advance(low + i, 0, 0, 0, changes[k], 0, parameters)
            if not refused and low <= ready + booting <= high:
                moves[i, k, 0] = ready + booting - low
                moves[i, k, 1] = booting
    return moves


# --- distributions on the lattice ------------------------------------------------------------------------------------


@compiled
def _below(x, mean, deviation):
    """Return the expected excess of x over a normal variable: E max(x - Z, 0)."""
    if deviation <= 0.0:
        return max(x - mean, 0.0)
    z = (x - mean) / deviation
    density = math.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
    return (x - mean) * 0.5 * math.erfc(-z / math.sqrt(2.0)) + deviation * density


@compiled
def _below_clipped(x, mean, deviation, lowest, highest):
    """Return the expected excess of x over a normal variable that is clipped."""
    if x <= lowest:
        return 0.0
    inside = _below(min(x, highest), mean, deviation) - _below(lowest, mean, deviation)
    return inside + max(x - highest, 0.0)


@compiled
def normal(mean, deviation, lowest, highest, narrower, probabilities):
    """Write the distribution of a clipped normal variable on the lattice; return its first point and its length.

    The probability of a point is the second difference of the expected excess: that is what splitting between the two
    nearest points amounts to.

    Args:
        mean: In units, as all others.
        deviation: Standard deviation.
        lowest: Smaller values become this one, at least 0.
        highest: Larger values become this one.
        narrower: `WIDER` or `NARROWER`.
        probabilities: Written; as long as the longest distribution.
    """
    deviation = math.sqrt(max(deviation * deviation - narrower, 0.0))
    first = max(math.floor(max(mean - _REACH * deviation, lowest)), 0)
    last = max(math.ceil(min(mean + _REACH * deviation, highest)), first)
    count, total = last - first + 1, 0.0
    for j in range(count):
        x = float(first + j)
        below = _below_clipped(x - 1.0, mean, deviation, lowest, highest)
        above = _below_clipped(x + 1.0, mean, deviation, lowest, highest)
        probabilities[j] = max(above - 2.0 * _below_clipped(x, mean, deviation, lowest, highest) + below, 0.0)
        total += probabilities[j]
    for j in range(count):
        probabilities[j] /= total
    return first, count


@compiled
def poisson(mean, unit, narrower, probabilities):
    """Write the distribution of a Poisson number on the lattice; return its first point and its length.

    Args:
        mean: In requests.
        unit: Requests of one unit.
        narrower: `WIDER` or `NARROWER`.
        probabilities: Written; as long as the longest distribution.
    """
    factor = math.sqrt(max(1.0 - narrower * unit * unit / mean, 0.0))
    reach = 6.0 * math.sqrt(mean) + 6.0
    smallest, largest = max(math.floor(mean - reach), 0), math.ceil(mean + reach)
    first = math.floor((mean + factor * (smallest - mean)) / unit)
    count, total = math.floor((mean + factor * (largest - mean)) / unit) + 2 - first, 0.0
    probabilities[:count] = 0.0
    for number in range(smallest, largest + 1):
        weight = math.exp(number * math.log(mean) - mean - math.lgamma(number + 1.0))
        place = (mean + factor * (number - mean)) / unit - first
        j = math.floor(place)
        probabilities[j] += weight * (j + 1 - place)
        probabilities[j + 1] += weight * (place - j)
        total += weight
    for j in range(count):
        probabilities[j] /= total
    return first, count


# --- one step backwards ----------------------------------------------------------------------------------------------


@compiled
def after_arrivals(first, low, values, constants, out):
    """Write what each demand costs from here on: waiting and drops of this step, and the value of what follows.

    Args:
        first: Smallest arrivals.
        low: Instances of the first fleet.
        values: Values of the next step, shape (fleets, queues).
        constants: The service in units.
        out: Written, shape (fleets, columns + distribution's length - 1): by fleet and by column plus arrivals.
    """
    parameters = parameters_of(constants)
    for i in range(out.shape[0]):
        for z in range(out.shape[1]):
            _, _, queue, _, _, dropped, _, _ = advance(low + i, 0, 0, 0, 0, first + z, parameters)
            out[i, z] = values[i, queue] + cost_of(0, 0, queue, dropped, parameters)


@compiled
def add_expected(weight, probabilities, count, ahead, expected):
    """Add to `expected`, shape (fleets, columns), `weight` times the mean of `ahead` over the arrivals."""
    columns = expected.shape[1]
    for i in range(expected.shape[0]):
        row = expected[i]
        j = 0
        while j + 4 <= count:  # four points at a time: the sum goes through memory once for all of them
            p_0, p_1 = weight * probabilities[j], weight * probabilities[j + 1]
            p_2, p_3 = weight * probabilities[j + 2], weight * probabilities[j + 3]
            shifted = ahead[i, j : j + columns + 3]
            for c in range(columns):
                row[c] += p_0 * shifted[c] + p_1 * shifted[c + 1] + p_2 * shifted[c + 2] + p_3 * shifted[c + 3]
            j += 4
        while j < count:
            share = weight * probabilities[j]
            shifted = ahead[i, j : j + columns]
            for c in range(columns):
                row[c] += share * shifted[c]
            j += 1


@compiled
def add_step(weight, first, count, probabilities, low, values, constants, scratch, expected):
    """Add to `expected` `weight` times the mean cost of a step's waiting and of all that follows, by column."""
    ahead = scratch[:, : expected.shape[1] + count - 1]
    after_arrivals(first, low, values, constants, ahead)
    add_expected(weight, probabilities, count, ahead, expected)


@compiled
def best(expected, low, moves, constants, values):
    """Write to `values`, shape (fleets, queues), the cheapest action's cost: instances, and what is expected."""
    parameters = parameters_of(constants)
    values[:] = np.inf
    for i in range(values.shape[0]):
        for k in range(moves.shape[1]):
            after, booting = moves[i, k]
            if after < 0:
                continue
            instances = cost_of(low + after, 0, 0, 0, parameters)
            shifted = expected[after, parameters.capacity * booting :]
            for q in range(values.shape[1]):
                values[i, q] = min(values[i, q], instances + shifted[q])


@compiled
def follow(guide, expected, low, moves, constants, values):
    """Write to `values` what is expected if each state takes the action that is the cheapest by another table.

    Args:
        guide: Costs that choose the action, shape (fleets, columns).
        expected: Costs that are paid, as in `best`.
        low: As in `best`.
        moves: As in `best`.
        constants: As in `best`.
        values: Written, shape (fleets, queues).
    """
    parameters = parameters_of(constants)
    for i in range(values.shape[0]):
        for q in range(values.shape[1]):
            k = cheapest_action(
                guide, low, moves, low + i, float(q), 1.0, parameters.capacity, parameters.instance_price
            )
            after, booting = moves[i, k]
            instances = cost_of(low + after, 0, 0, 0, parameters)
            values[i, q] = instances + expected[after, q + parameters.capacity * booting]


# --- the true service, guided by what is expected ---------------------------------------------------------------------


@compiled
def between(row, place):
    """Return the value of a row at a place between two of its entries, linearly."""
    j = min(max(int(place), 0), len(row) - 2)
    return row[j] + (place - j) * (row[j + 1] - row[j])


@compiled
def cheapest_action(expected, low, moves, ready, queue, unit, units, instance_price):
    """Return the action with the lowest expected cost in a state of the true service.

    Args:
        expected: Costs expected of a step, shape (fleets, columns).
        low: Instances of the first fleet.
        moves: As in `Lattice`.
        ready: Instances that are ready before the action.
        queue: In requests.
        unit: Requests of one unit.
        units: Units of one instance.
        instance_price: Dollars for one instance and step.
    """
    action, lowest = -1, np.inf
    for k in range(moves.shape[1]):
        after, booting = moves[ready - low, k]
        if after >= 0:
            cost = instance_price * (low + after) + between(expected[after], queue / unit + units * booting)
            if cost < lowest:
                action, lowest = k, cost
    return action


@compiled
def first_action(values, low, moves, arrivals, changes, constants, unit):
    """Return the cheapest first action and its cost: the first arrivals are seen before it.

    Args:
        values: Values of the second step, shape (fleets, queues).
        low: Instances of the first fleet.
        moves: As in `Lattice`.
        arrivals: Of the first step, in requests.
        changes: Instances that each action asks for.
        constants: The true service.
        unit: Requests of one unit.
    """
    parameters = parameters_of(constants)
    action, lowest = -1, np.inf
    for k in range(len(changes)):
        after = moves[parameters.initial_instances - low, k, 0]
        if after >= 0:
            ready, booting, queue, _, _, dropped, _, _ = advance(
                parameters.initial_instances, 0, 0, 0, changes[k], arrivals, parameters
            )
            cost = cost_of(ready, booting, queue, dropped, parameters) + between(values[after], queue / unit)
            if cost < lowest:
                action, lowest = k, cost
    return action, lowest
