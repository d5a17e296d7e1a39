"""Programs of information relaxation: the cheapest way to scale a service for somebody who is told more than a policy.

Each is solved backwards on the lattice of `evaluation.expectation`, and played forwards on the true service. `limits`
says what is told on which pattern.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.compiled import compiled
from autoscaler_env.dynamics import advance, constants_of, cost_of, parameters_of
from autoscaler_env.evaluation.expectation import (
    WIDER,
    Lattice,
    add_step,
    after_arrivals,
    best,
    between,
    cheapest_action,
    first_action,
    follow,
    lattice_of,
    normal,
    poisson,
)
from autoscaler_env.service import Service
from autoscaler_env.traffic.draws import poisson_small
from autoscaler_env.traffic.patterns import CALM, CROWDS, LOWEST, NOISE, WALK, add_crowd

_LONGEST = 400  # points of a distribution on the lattice, at most
_SPARE = 15  # instances above the demand, and half as many below it, that fleets may have
_FAR = 16  # steps before the end of a day from which on RANDOM is played as if the end were this far


class Bound(NamedTuple):
    """What days cost in a relaxed program, in dollars a day, each of shape (n,)."""

    expected: NDArray[np.float64]
    """Expected from the first step on, on the lattice."""
    played: NDArray[np.float64]
    """Paid on the day's own arrivals by the program's policy, on the true service; nan if it was not played."""


def _fleets(smallest: float, largest: float, service: Service) -> tuple[int, int]:
    """Return the range of fleets to consider for a range of demands in requests."""
    low = min(int(smallest / service.capacity_per_instance) - _SPARE // 2, service.initial_instances)
    high = max(math.ceil(largest / service.capacity_per_instance) + _SPARE, service.initial_instances)
    return low, high


@compiled
def _step_cost(ready, queue, change, arrivals, parameters):
    """Move the true service by one step; return instances in the next step, queue and cost."""
    ready, booting, queue, _, _, dropped, _, _ = advance(ready, 0, queue, 0, change, arrivals, parameters)
    return ready + booting, queue, cost_of(ready, booting, queue, dropped, parameters)


# --- independent noise around known arrivals: SINUSOIDAL, POISSON -----------------------------------------------------


def known_means(
    days: NDArray[np.int64],
    means: NDArray[np.float64],
    noise: float | None,
    service: Service,
    units: int,
    narrower: float = WIDER,
) -> Bound:
    """Solve each day for somebody who knows the mean of each step's arrivals, and the noise only when it has come.

    Args:
        days: Arrivals, shape (n, steps).
        means: Means of the arrivals in requests, shape (n, steps).
        noise: Standard deviation as a share of the mean, for normal noise; `None` for Poisson numbers.
        service: The service to scale.
        units: Units of the lattice in one instance's worth of requests.
        narrower: How the distributions are put on the lattice: `WIDER` or `NARROWER`.
    """
    changes = np.array(service.fleet_changes, dtype=np.int64)
    expected, played = np.empty(len(days)), np.empty(len(days))
    for i, (day, mean) in enumerate(zip(days, means, strict=True)):
        lattice = lattice_of(service, units, *_fleets(mean.min(), mean.max(), service))
        share = -1.0 if noise is None else noise
        expected[i], played[i] = _solve_known(
            day,
            mean,
            share,
            lattice.low,
            lattice.moves,
            lattice.queues,
            lattice.columns,
            lattice.unit,
            units,
            narrower,
            lattice.constants,
            changes,
            constants_of(service),
        )
    return Bound(expected, played)


@compiled
def _solve_known(
    day, mean, share, low, moves, queues, columns, unit, units, narrower, constants, changes, true_constants
):
    """Return the expected cost of a day with known means, and the cost of playing it."""
    steps, fleets = len(day), len(moves)
    values = np.zeros((fleets, queues))
    costs = np.full((steps, fleets, columns), np.inf)
    scratch, probabilities = np.empty((fleets, columns + _LONGEST)), np.empty(_LONGEST)
    first, count, begin, end = 0, 0, 0, fleets
    initial, capacity = parameters_of(true_constants).initial_instances - low, unit * units
    for t in range(steps - 1, 0, -1):
        if share >= 0:
            first, count = normal(mean[t] / unit, share * mean[t] / unit, 0.0, np.inf, narrower, probabilities)
        elif t == steps - 1 or mean[t] != mean[t + 1]:
            first, count = poisson(mean[t], unit, narrower, probabilities)
        costs[t, begin:end] = 0.0
        add_step(
            1.0,
            first,
            count,
            probabilities,
            low + begin,
            values[begin:end],
            constants,
            scratch[begin:end],
            costs[t, begin:end],
        )
        best(costs[t], low, moves, constants, values)
        # Only fleets near the demand of the step count, and those on the way there from the initial one.
        near = int(mean[t] / capacity) - low
        begin = min(max(min(near - _SPARE // 2, initial + t), 0), fleets - 1)
        end = min(max(near + 1 + _SPARE, initial + 1 - t, begin + 1), fleets)
        values[:begin], values[end:] = np.inf, np.inf
    action, expected = first_action(values, low, moves, day[0], changes, true_constants, unit)
    parameters = parameters_of(true_constants)
    ready, queue, played = _step_cost(parameters.initial_instances, 0, changes[action], day[0], parameters)
    for t in range(1, steps):
        action = cheapest_action(costs[t], low, moves, ready, queue, unit, units, parameters.instance_price)
        ready, queue, cost = _step_cost(ready, queue, changes[action], day[t], parameters)
        played += cost
    return expected, played


# --- a random walk whose level is seen: RANDOM ------------------------------------------------------------------------


class Walk(NamedTuple):
    """The solution for RANDOM, by level on the lattice."""

    lattice: Lattice
    units: int
    lowest: int
    """The first level on the lattice, in units."""
    second: NDArray[np.float64]
    """Values before the second step, shape (levels, fleets, queues)."""
    costs: NDArray[np.float32]
    """Costs expected with 1, 2, ... steps left, shape (`_FAR`, levels, fleets, columns)."""


def solve_walk(service: Service, units: int, narrower: float = WIDER) -> Walk:
    """Solve RANDOM for somebody who knows the level of the step before, as every policy does.

    Args:
        service: The service to scale.
        units: As in `known_means`.
        narrower: As in `known_means`.
    """
    peak = float(service.peak_arrivals)
    lattice = lattice_of(service, units, service.min_instances, _fleets(0.0, peak, service)[1])
    lowest, highest = math.floor(LOWEST * peak / lattice.unit), math.ceil(peak / lattice.unit)
    shape = (highest - lowest + 1, len(lattice.moves))
    costs = np.zeros((_FAR, *shape, lattice.columns), dtype=np.float32)
    second = _solve_walk(
        peak / lattice.unit,
        lowest,
        highest,
        service.steps_per_episode,
        lattice.low,
        lattice.moves,
        lattice.queues,
        narrower,
        lattice.constants,
        costs,
    )
    return Walk(lattice, units, lowest, second, costs)


@compiled
def _solve_walk(peak, lowest, highest, steps, low, moves, queues, narrower, constants, costs):
    """Return the values before the second step; write the costs expected in the last steps."""
    levels, fleets, columns = costs.shape[1:]
    values = np.zeros((levels, fleets, queues))
    ahead = np.empty((levels, fleets, columns))
    expected = np.empty((fleets, columns))
    distributions = np.zeros((levels, _LONGEST))
    firsts, counts = np.empty(levels, dtype=np.int64), np.empty(levels, dtype=np.int64)
    for level in range(levels):
        firsts[level], counts[level] = normal(
            float(lowest + level), WALK * peak, LOWEST * peak, peak, narrower, distributions[level]
        )
    for t in range(steps - 1, 0, -1):
        for j in range(levels):
            after_arrivals(lowest + j, low, values[j], constants, ahead[j])
        for level in range(levels):
            expected[:] = 0.0
            for j in range(counts[level]):
                share, after = distributions[level, j], ahead[firsts[level] + j - lowest]
                for i in range(fleets):
                    for c in range(columns):
                        expected[i, c] += share * after[i, c]
            if steps - t <= len(costs):
                costs[steps - t - 1, level] = expected
            best(expected, low, moves, constants, values[level])
    return values


def play_walk(walk: Walk, days: NDArray[np.int64], service: Service) -> Bound:
    """Play the solution of RANDOM on days, shape (n, steps).

    With more than `_FAR` steps left it acts as if they were `_FAR`: that far from the end nothing changes any more.
    """
    expected, played = np.empty(len(days)), np.empty(len(days))
    changes, lattice = np.array(service.fleet_changes, dtype=np.int64), walk.lattice
    _play_walk(
        days,
        walk.second,
        walk.costs,
        walk.lowest,
        lattice.low,
        lattice.moves,
        lattice.unit,
        walk.units,
        changes,
        constants_of(service),
        expected,
        played,
    )
    return Bound(expected, played)


@compiled
def _play_walk(days, second, costs, lowest, low, moves, unit, units, changes, constants, expected, played):
    parameters = parameters_of(constants)
    levels, steps = second.shape[0], days.shape[1]
    for i in range(len(days)):
        level = min(max(days[i, 0] / unit - lowest, 0.0), levels - 1.0)
        below = min(int(level), levels - 2)
        _, at_below = first_action(second[below], low, moves, days[i, 0], changes, constants, unit)
        action, at_above = first_action(second[below + 1], low, moves, days[i, 0], changes, constants, unit)
        expected[i] = at_below + (level - below) * (at_above - at_below)
        ready, queue, played[i] = _step_cost(parameters.initial_instances, 0, changes[action], days[i, 0], parameters)
        for t in range(1, steps):
            left = min(steps - t, costs.shape[0]) - 1
            level = min(max(days[i, t - 1] / unit - lowest, 0.0), levels - 1.0)
            below = min(int(level), levels - 2)
            action, cheapest = 0, np.inf
            for k in range(moves.shape[1]):
                after, booting = moves[ready - low, k]
                if after >= 0:
                    place = queue / unit + units * booting
                    at_below = between(costs[left, below, after], place)
                    at_above = between(costs[left, below + 1, after], place)
                    cost = at_below + (level - below) * (at_above - at_below)
                    cost += parameters.instance_price * (low + after)
                    if cost < cheapest:
                        action, cheapest = k, cost
            ready, queue, cost = _step_cost(ready, queue, changes[action], days[i, t], parameters)
            played[i] += cost


# --- flash crowds out of the blue: SPIKE ------------------------------------------------------------------------------


class Crowds(NamedTuple):
    """The solution for SPIKE in the calm, by step."""

    lattice: Lattice
    units: int
    narrower: float
    values: NDArray[np.float64]
    """Values before each step, and 0 after the last: shape (steps + 1, fleets, queues)."""
    costs: NDArray[np.float64]
    """Costs expected of each step, shape (steps, fleets, columns)."""


def solve_crowds(
    service: Service,
    units: int,
    scenarios: int,
    seed: int = 0,
    narrower: float = WIDER,
    guide: Crowds | None = None,
) -> Crowds:
    """Solve SPIKE for somebody who is told, once a crowd is seen, all that is to be expected until calm returns.

    In the calm only the rate of crowds is known. What may begin in each step is a sample of its own.

    Args:
        service: The service to scale.
        units: As in `known_means`.
        scenarios: Size of the sample of each step.
        seed: Seeds the samples.
        narrower: As in `known_means`.
        guide: Another solution, which then acts in the calm. What that costs above the solution of the same sample is
            on average at least what it costs above the true one (Mak, Morton and Wood, "Monte Carlo bounding techniques
            for determining solution quality in stochastic programs", Operations Research Letters 24, 1999).
    """
    peak, steps = float(service.peak_arrivals), service.steps_per_episode
    lattice = lattice_of(service, units, *_fleets(CALM * peak, 1.3 * peak, service))
    values = np.zeros((steps + 1, len(lattice.moves), lattice.queues))
    costs = np.zeros((steps, len(lattice.moves), lattice.columns))
    _solve_crowds(
        peak,
        scenarios,
        np.array([seed], dtype=np.uint64),
        lattice.low,
        lattice.moves,
        lattice.unit,
        narrower,
        lattice.constants,
        np.empty((0, 0, 0)) if guide is None else guide.costs,
        values,
        costs,
    )
    return Crowds(lattice, units, narrower, values, costs)


@compiled
def _draw_run(rng, peak, first, arrivals):
    """Write what to expect once a crowd is first visible in step `first`; return the step in which calm returns.

    A crowd that starts in step s is visible from s + 1 on. Crowds that become visible before calm returns join the run.
    """
    steps = len(arrivals)
    rate = CROWDS / steps
    arrivals[:] = CALM * peak
    count = 0
    while count == 0:  # at least one starts
        count = poisson_small(rng, rate)
    end = first
    for start in range(first - 1, steps):
        for _ in range(count):
            end = max(end, add_crowd(rng, peak, start, arrivals))
        if start + 1 >= end:
            break
        count = poisson_small(rng, rate)
    return end


@compiled
def _solve_run(first, end, arrivals, low, moves, unit, narrower, constants, values, scratch, probabilities, run, costs):
    """Solve a run of crowds that is known from the action of step `first` on; write the costs expected of its steps.

    Args:
        first: The first step whose action knows the run.
        end: The step in which calm returns.
        arrivals: What to expect of each step, in requests.
        low: Instances of the first fleet.
        moves: As in `Lattice`.
        unit: Requests of one unit.
        narrower: As in `known_means`.
        constants: The service in units.
        values: Values before each step in the calm, shape (steps + 1, fleets, queues); those after `end` are read.
        scratch: Overwritten.
        probabilities: Overwritten.
        run: Written: values before step `first`.
        costs: Written from `first` to `end`, shape (steps, fleets, columns).
    """
    steps = len(arrivals)
    run[:] = values[min(end + 1, steps)]
    for t in range(min(end, steps - 1), first - 1, -1):
        points, count = normal(arrivals[t] / unit, NOISE * arrivals[t] / unit, 0.0, np.inf, narrower, probabilities)
        costs[t] = 0.0
        add_step(1.0, points, count, probabilities, low, run, constants, scratch, costs[t])
        best(costs[t], low, moves, constants, run)


@compiled
def _solve_crowds(peak, scenarios, rng, low, moves, unit, narrower, constants, guide, values, costs):
    """Write values and costs in the calm, from the last step to the first."""
    steps, fleets, columns = costs.shape
    scratch, probabilities = np.empty((fleets, columns + _LONGEST)), np.empty(_LONGEST)
    run, of_run, arrivals = np.empty(values.shape[1:]), np.empty(costs.shape), np.empty(steps)
    begins = 1.0 - math.exp(-CROWDS / steps)
    for t in range(steps - 1, -1, -1):
        calm = 1.0 - begins if t > 0 else 1.0
        points, count = normal(CALM * peak / unit, NOISE * CALM * peak / unit, 0.0, np.inf, narrower, probabilities)
        add_step(calm, points, count, probabilities, low, values[t + 1], constants, scratch, costs[t])
        for _ in range(scenarios if t > 0 else 0):
            end = _draw_run(rng, peak, t, arrivals)
            _solve_run(
                t + 1, end, arrivals, low, moves, unit, narrower, constants, values, scratch, probabilities, run, of_run
            )
            points, count = normal(arrivals[t] / unit, NOISE * arrivals[t] / unit, 0.0, np.inf, narrower, probabilities)
            share = begins / scenarios
            add_step(share, points, count, probabilities, low, run, constants, scratch, costs[t])
        if len(guide):
            follow(guide[t], costs[t], low, moves, constants, values[t])
        else:
            best(costs[t], low, moves, constants, values[t])


def play_crowds(crowds: Crowds, days: NDArray[np.int64], means: NDArray[np.float64], service: Service) -> Bound:
    """Play the solution of SPIKE on days.

    Args:
        crowds: The solution.
        days: Arrivals, shape (n, steps).
        means: The same days without noise, shape (n, steps): they tell where runs of crowds begin, and what follows.
        service: The service to scale.
    """
    expected, played = np.empty(len(days)), np.empty(len(days))
    changes, lattice = np.array(service.fleet_changes, dtype=np.int64), crowds.lattice
    _play_crowds(
        days,
        means,
        CALM * service.peak_arrivals,
        crowds.values,
        crowds.costs,
        lattice.low,
        lattice.moves,
        lattice.unit,
        crowds.units,
        crowds.narrower,
        lattice.constants,
        changes,
        constants_of(service),
        expected,
        played,
    )
    return Bound(expected, played)


@compiled
def _play_crowds(
    days,
    means,
    calm,
    values,
    costs,
    low,
    moves,
    unit,
    units,
    narrower,
    constants,
    changes,
    true_constants,
    expected,
    played,
):
    parameters = parameters_of(true_constants)
    steps, fleets, columns = costs.shape
    scratch, probabilities = np.empty((fleets, columns + _LONGEST)), np.empty(_LONGEST)
    run, of_run = np.empty(values.shape[1:]), np.empty(costs.shape)
    for i in range(len(days)):
        action, expected[i] = first_action(values[1], low, moves, days[i, 0], changes, true_constants, unit)
        ready, queue, played[i] = _step_cost(parameters.initial_instances, 0, changes[action], days[i, 0], parameters)
        known = 0  # the last step of a run that is known
        for t in range(1, steps):
            guide = of_run if t <= known else costs
            action = cheapest_action(guide[t], low, moves, ready, queue, unit, units, parameters.instance_price)
            ready, queue, cost = _step_cost(ready, queue, changes[action], days[i, t], parameters)
            played[i] += cost
            if means[i, t] > calm and t > known:
                known = t
                while known < steps and means[i, known] > calm:
                    known += 1
                _solve_run(
                    t + 1,
                    known,
                    means[i],
                    low,
                    moves,
                    unit,
                    narrower,
                    constants,
                    values,
                    scratch,
                    probabilities,
                    run,
                    of_run,
                )
