"""Transition function of the environment: advances a service by one step. Written once, compiled, used everywhere.

`advance` is the transition function, a pure function of numbers. The rest of the module applies it to many services
side by side, step by step. Their state is one int32 array of shape `(STATE_ROWS + order_rows, n)`: a row per quantity,
a column per service. The scalar environment is the case n = 1.

A boot takes `boot_steps` whole steps and `boot_rest` seconds. If there is no rest, instances become ready at the start
of a step, before the action. Otherwise they become ready within a step, after its action, and serve for the rest of the
step: together they add the whole number of requests that they can serve in that time, rounded down. A boot below one
step has no whole steps: what a step orders becomes ready within it. A boot of no time at all serves for the whole step.

| row | quantity | unit |
|---|---|---|
| READY | instances that serve, at the end of the step | instances |
| BOOTING | instances ordered and not ready yet | instances |
| QUEUE | requests waiting at the end of the step | requests |
| ARRIVALS | arrivals of the step | requests |
| SERVED | requests served in the step | requests |
| DROPPED | requests dropped in the step | requests |
| SCALED | whether the step's action changed the fleet | 0 or 1 |
| REFUSED | whether the step's action was refused | 0 or 1 |
| CHANGE | arrivals minus those of the step before | requests |
| LOST | capacity of ready instances that the step did not have, as they became ready within it | requests |
| STATE_ROWS ... | orders, a ring: those in row `STATE_ROWS + step % order_rows` are due in that step | instances |

There are `order_rows` rows of orders: the whole steps of a boot, at least 1.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.compiled import compiled
from autoscaler_env.service import LARGEST_COUNT as LARGEST_COUNT
from autoscaler_env.service import Service

READY, BOOTING, QUEUE, ARRIVALS, SERVED, DROPPED, SCALED, REFUSED, CHANGE, LOST = range(10)
STATE_ROWS = 10

OBSERVATION_NAMES = ("ready", "booting", "utilisation", "queue", "arrivals", "change", "spare_capacity")
OBSERVATION_LOW = np.array([0, 0, 0, 0, 0, -1, -1], dtype=np.float32)
OBSERVATION_HIGH = np.ones(7, dtype=np.float32)


class Parameters(NamedTuple):
    """The service's numbers, as compiled code uses them: counts as integers, prices per step in dollars."""

    min_instances: int
    max_instances: int
    initial_instances: int
    capacity: int
    boot_steps: int
    """Whole steps of a boot."""
    queue_limit: int
    instance_price: float
    late_price: float
    drop_price: float
    arrivals_scale: float
    spare_capacity_scale: float
    boot_rest: float
    """Seconds of a boot beyond its whole steps."""
    step_seconds: float


def constants_of(service: Service) -> NDArray[np.float64]:
    """Return the service's numbers in the order of `Parameters`, float64.

    Compiled code takes one array several times faster than a tuple, and float64 holds every integer of a valid service
    exactly.
    """
    boot_steps, boot_rest = divmod(service.boot_delay, service.step_seconds)
    return np.array(
        [
            service.min_instances,
            service.max_instances,
            service.initial_instances,
            service.capacity_per_instance,
            boot_steps,
            service.queue_limit,
            service.instance_price,
            service.late_price,
            service.drop_price,
            service.arrivals_scale,
            service.spare_capacity_scale,
            boot_rest,
            service.step_seconds,
        ],
        dtype=np.float64,
    )


@compiled
def parameters_of(constants):
    """Return what `constants_of` returns as `Parameters`."""
    return Parameters(
        int(constants[0]),
        int(constants[1]),
        int(constants[2]),
        int(constants[3]),
        int(constants[4]),
        int(constants[5]),
        constants[6],
        constants[7],
        constants[8],
        constants[9],
        constants[10],
        constants[11],
        constants[12],
    )


@compiled
def boots_whole_steps(parameters):
    """Return whether instances become ready at the start of a step, rather than within one."""
    return (parameters.boot_rest == 0.0) & (parameters.boot_steps > 0)


@compiled
def order_rows(parameters):
    """Return how many steps of orders must be remembered, at least 1."""
    return max(parameters.boot_steps, 1)


@compiled
def capacity_lost(instances, parameters):
    """Return the requests that instances cannot serve in the step within which they become ready, rounded up."""
    seconds = parameters.step_seconds - parameters.boot_rest
    full = instances * parameters.capacity
    return full - int(full * seconds / parameters.step_seconds)


@compiled
def advance(ready, booting, queue, due, fleet_change, arrivals, parameters):
    """Move one service by one step.

    In this order: instances whose boot has ended become ready; the fleet changes, or the change is refused; instances
    whose boot ends within the step become ready; requests come in, and each is served, waits, or is dropped.

    Args:
        ready: Instances that serve.
        booting: Instances ordered and not ready yet.
        queue: Requests waiting.
        due: Booting instances whose boot ends at the start of this step or within it.
        fleet_change: Instances to order (positive) or to retire (negative).
        arrivals: Requests that come in during this step.
        parameters: The service's numbers.

    Returns:
        ready, booting, queue, ordered (instances that still boot), served (requests), dropped (requests), refused
        (bool), lost (requests that instances could not serve because they became ready within the step).
    """
    whole = boots_whole_steps(parameters)
    if whole:
        ready += due
        booting -= due
    added = max(fleet_change, 0)
    removed = max(-fleet_change, 0)
    over = (added > 0) & (ready + booting + added > parameters.max_instances)
    under = (removed > 0) & (ready - removed < parameters.min_instances)
    refused = over | under  # bitwise, not `or`: without branches the loop over services is vectorised
    added = 0 if refused else added
    removed = 0 if refused else removed
    ready -= removed
    booting += added
    lost = 0
    if not whole:
        if parameters.boot_steps == 0:
            due, added = added, 0
        ready += due
        booting -= due
        lost = capacity_lost(due, parameters)
    demand = queue + arrivals
    served = min(demand, parameters.capacity * ready - lost)
    waiting = demand - served
    queue = min(waiting, parameters.queue_limit)
    return ready, booting, queue, added, served, waiting - queue, refused, lost


@compiled
def cost_of(ready, booting, queue, dropped, parameters):
    """Return the cost of a step, in dollars: instances, lateness, drops."""
    return (
        parameters.instance_price * (ready + booting) + parameters.late_price * queue + parameters.drop_price * dropped
    )


def new_state(service: Service, services: int) -> NDArray[np.int32]:
    """Allocate the state of `services` services; `start_all` fills it.

    int32: half the memory of int64 to move in every step. All counts fit: see `LARGEST_OBSERVABLE_COUNT` in
    `service.py`, and `LARGEST_COUNT`.
    """
    return np.zeros((STATE_ROWS + order_rows(parameters_of(constants_of(service))), services), dtype=np.int32)


def allowed_actions(state: NDArray[np.int32], step: int, service: Service) -> NDArray[np.bool_]:
    """Return which actions `advance` would not refuse in the next step, shape (n, n_actions).

    Args:
        state: The services, before the step.
        step: Steps that have passed since the start of the day.
        service: Gives the limits of the fleet and the changes that actions ask for.
    """
    changes, parameters = np.array(service.fleet_changes), parameters_of(constants_of(service))
    due = state[STATE_ROWS + step % order_rows(parameters)] * boots_whole_steps(parameters)
    ready, fleet = (state[READY] + due)[:, np.newaxis], (state[READY] + state[BOOTING])[:, np.newaxis]
    return np.where(changes > 0, fleet + changes <= service.max_instances, ready + changes >= service.min_instances) | (
        changes == 0
    )


@compiled
def _observation(ready, booting, queue, arrivals, served, change, parameters):
    """Return the seven observations of a service, float32.

    Counts and scales are at most 2**24, or are clipped, so float32 holds them exactly, and a float32 quotient equals
    the rounded float64 quotient: float64 has more than twice the digits. Sixteen of them are divided at once.
    """
    fleet_scale, one = np.float32(parameters.max_instances), np.float32(1.0)
    arrivals_scale = np.float32(parameters.arrivals_scale)
    spare = np.int32(parameters.capacity * (ready + booting) - arrivals - queue)
    return (
        np.float32(ready) / fleet_scale,
        np.float32(booting) / fleet_scale,
        np.float32(served) / np.float32(np.int32(parameters.capacity * ready)),
        np.float32(queue) / np.float32(max(parameters.queue_limit, 1)),
        min(np.float32(arrivals) / arrivals_scale, one),
        min(max(np.float32(change) / arrivals_scale, -one), one),
        max(np.float32(spare) / np.float32(parameters.spare_capacity_scale), -one),
    )


@compiled
def _may_lack_capacity(parameters):
    """Return whether a service may have no ready instance, or lose capacity as instances become ready within a step."""
    return (parameters.min_instances == 0) | (not boots_whole_steps(parameters))


@compiled
def _utilisation(ready, queue, arrivals, served, lost, parameters):
    """Return the utilisation where capacity may be lost or zero: without any, 1 if requests came in or wait, else 0.

    So a rule that follows the utilisation starts an instance where one is needed, and none where nothing comes in.
    """
    capacity = parameters.capacity * ready - lost
    if capacity > 0:
        return served / capacity
    return 1.0 if queue + arrivals > 0 else 0.0


@compiled
def observe_all(state, parameters, observations):
    """Write what an operator sees of each service to `observations`, float32 of shape (7, n)."""
    _observe(
        state[READY],
        state[BOOTING],
        state[QUEUE],
        state[ARRIVALS],
        state[SERVED],
        state[CHANGE],
        parameters,
        observations[0],
        observations[1],
        observations[2],
        observations[3],
        observations[4],
        observations[5],
        observations[6],
    )
    if _may_lack_capacity(parameters):
        for i in range(state.shape[1]):
            observations[2, i] = _utilisation(
                state[READY, i], state[QUEUE, i], state[ARRIVALS, i], state[SERVED, i], state[LOST, i], parameters
            )


@compiled
def _observe(
    readies,
    bootings,
    queues,
    shown,
    served,
    change,
    parameters,
    seen_ready,
    seen_booting,
    utilisation,
    seen_queue,
    seen_arrivals,
    seen_change,
    spare_capacity,
):
    """Write the seven observations of each service, from rows of the state to rows of observations."""
    for i in range(readies.shape[0]):
        (
            seen_ready[i],
            seen_booting[i],
            utilisation[i],
            seen_queue[i],
            seen_arrivals[i],
            seen_change[i],
            spare_capacity[i],
        ) = _observation(readies[i], bootings[i], queues[i], shown[i], served[i], change[i], parameters)


@compiled
def start_all(state, first_arrivals, constants, observations):
    """Set every service to the start of a day.

    Args:
        state: Overwritten.
        first_arrivals: Arrivals of the first step, int32 of shape (n,), shown as if they had come in the step before.
        constants: What `constants_of` returns.
        observations: Written, float32 of shape (7, n).
    """
    parameters = parameters_of(constants)
    state[:] = 0
    for i in range(state.shape[1]):
        state[READY, i] = parameters.initial_instances
        state[ARRIVALS, i] = first_arrivals[i]
        state[SERVED, i] = min(first_arrivals[i], parameters.capacity * parameters.initial_instances)
    observe_all(state, parameters, observations)


@compiled
def advance_one(state, step, fleet_change, arrivals, constants, observation):
    """Move a single service by one step; write its observation, shape (7,); return the step's cost in dollars."""
    parameters = parameters_of(constants)
    due_row = STATE_ROWS + step % order_rows(parameters)
    ready, booting, queue, ordered, served, dropped, refused, lost = advance(
        state[READY, 0], state[BOOTING, 0], state[QUEUE, 0], state[due_row, 0], fleet_change, arrivals, parameters
    )
    state[READY, 0] = ready
    state[BOOTING, 0] = booting
    state[QUEUE, 0] = queue
    state[due_row, 0] = ordered
    state[SERVED, 0] = served
    state[DROPPED, 0] = dropped
    state[SCALED, 0] = fleet_change != 0 and not refused
    state[REFUSED, 0] = refused
    change = arrivals - state[ARRIVALS, 0]
    state[CHANGE, 0] = change
    state[ARRIVALS, 0] = arrivals
    state[LOST, 0] = lost
    (
        observation[0],
        observation[1],
        observation[2],
        observation[3],
        observation[4],
        observation[5],
        observation[6],
    ) = _observation(ready, booting, queue, arrivals, served, change, parameters)
    if _may_lack_capacity(parameters):
        observation[2] = _utilisation(ready, queue, arrivals, served, lost, parameters)
    return cost_of(ready, booting, queue, dropped, parameters)


# The step of many services is cut into passes over few rows, and rows are arguments of their own: only then does the
# compiler see that they do not overlap, and moves eight or sixteen services at once.


@compiled
def _first_bad(actions, count):
    """Return the index of the first action that is not from 0 to `count` - 1, or -1."""
    bad = False
    for i in range(actions.shape[0]):
        bad |= (actions[i] < 0) | (actions[i] >= count)
    if bad:
        for i in range(actions.shape[0]):
            if actions[i] < 0 or actions[i] >= count:
                return i
    return -1


@compiled
def _look_up(actions, fleet_changes, changes):
    """Write the fleet change that each service's action asks for."""
    for i in range(changes.shape[0]):
        changes[i] = fleet_changes[actions[i]]


@compiled
def _move(readies, bootings, queues, due, changes, arrivals, served, dropped, refused, parameters):
    """Advance all services; write the rows of the state that follow from `advance`."""
    for i in range(readies.shape[0]):
        readies[i], bootings[i], queues[i], due[i], served[i], dropped[i], refused[i], _ = advance(
            readies[i], bootings[i], queues[i], due[i], changes[i], arrivals[i], parameters
        )


@compiled
def _move_and_lose(readies, bootings, queues, due, changes, arrivals, served, dropped, refused, lost, parameters):
    """Do what `_move` does where boots end within a step; write the lost capacity too, which is otherwise always 0."""
    for i in range(readies.shape[0]):
        readies[i], bootings[i], queues[i], due[i], served[i], dropped[i], refused[i], lost[i] = advance(
            readies[i], bootings[i], queues[i], due[i], changes[i], arrivals[i], parameters
        )


@compiled
def _report(changes, arrivals, refused, scaled, change, shown):
    """Write whether each fleet changed, and the arrivals to show with their change."""
    for i in range(changes.shape[0]):
        scaled[i] = (changes[i] != 0) & (refused[i] == 0)
        change[i] = arrivals[i] - shown[i]
        shown[i] = arrivals[i]


@compiled
def _reward(readies, bootings, queues, dropped, parameters, rewards):
    """Write minus the cost of each service's step, in dollars."""
    for i in range(rewards.shape[0]):
        rewards[i] = -cost_of(readies[i], bootings[i], queues[i], dropped[i], parameters)


@compiled
def advance_all(state, step, actions, fleet_changes, arrivals, constants, observations, rewards):
    """Move every service by one step.

    Args:
        state: The services, changed in place.
        step: Steps that have passed since the start of the day.
        actions: Indices into `fleet_changes`, shape (n,).
        fleet_changes: Instances that each action asks for, int64.
        arrivals: Requests that come in during this step, int32 of shape (n,).
        constants: What `constants_of` returns.
        observations: Written, float32 of shape (7, n).
        rewards: Written, float64 of shape (n,): minus the step's cost, in dollars.

    Returns:
        The index of the first service whose action is out of range, or -1. Then no service has moved.
    """
    bad = _first_bad(actions, fleet_changes.shape[0])
    if bad >= 0:
        return bad
    parameters = parameters_of(constants)
    readies, bootings, queues, dropped, refused = (
        state[READY],
        state[BOOTING],
        state[QUEUE],
        state[DROPPED],
        state[REFUSED],
    )
    due = state[STATE_ROWS + step % order_rows(parameters)]
    changes = np.empty(state.shape[1], dtype=fleet_changes.dtype)
    _look_up(actions, fleet_changes, changes)
    served = state[SERVED]
    if boots_whole_steps(parameters):
        _move(readies, bootings, queues, due, changes, arrivals, served, dropped, refused, parameters)
    else:
        lost = state[LOST]
        _move_and_lose(readies, bootings, queues, due, changes, arrivals, served, dropped, refused, lost, parameters)
    _report(changes, arrivals, refused, state[SCALED], state[CHANGE], state[ARRIVALS])
    _reward(readies, bootings, queues, dropped, parameters, rewards)
    observe_all(state, parameters, observations)
    return -1
