"""The law of motion: what one slot does to a service. Written once, compiled, called by everything else.

`advance` is the law, a pure function of numbers. The rest of the module applies it to many services that move side by
side, slot by slot. Their state is one int32 array of shape `(STATE_ROWS + boot_slots, n)`: a row per quantity, a column
per service. The scalar environment is the case n = 1.

| row | quantity | unit |
|---|---|---|
| READY | instances that serve | instances |
| BOOTING | instances ordered and not ready yet | instances |
| QUEUE | requests waiting at the end of the slot | requests |
| INFLUX | arrivals of the slot | requests |
| SERVED | requests served in the slot | requests |
| DROPPED | requests dropped in the slot | requests |
| SCALED | whether the slot's action changed the fleet | 0 or 1 |
| REFUSED | whether the slot's action was refused | 0 or 1 |
| CHANGE | arrivals minus those of the slot before | requests |
| STATE_ROWS ... | orders on their way, a ring: row `STATE_ROWS + slot % boot_slots` is due in that slot | instances |
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.compiled import compiled
from autoscaler_env.service import Service

READY, BOOTING, QUEUE, INFLUX, SERVED, DROPPED, SCALED, REFUSED, CHANGE = range(9)
STATE_ROWS = 9

OBSERVATION_NAMES = ("ready", "booting", "load", "queue", "influx", "change", "headroom")
OBSERVATION_LOW = np.array([0, 0, 0, 0, 0, -1, -1], dtype=np.float32)
OBSERVATION_HIGH = np.ones(7, dtype=np.float32)


class Law(NamedTuple):
    """The service's numbers, as compiled code uses them: counts as integers, prices per slot in dollars."""

    min_instances: int
    max_instances: int
    initial_instances: int
    capacity: int
    boot_slots: int
    queue_limit: int
    instance_price: float
    late_price: float
    drop_price: float
    influx_scale: float
    headroom_scale: float


def constants_of(service: Service) -> NDArray[np.float64]:
    """Return the service's numbers in the order of `Law`.

    One float64 array crosses into compiled code several times faster than a tuple; every integer of a valid service
    is exact in float64.
    """
    return np.array(
        [
            service.min_instances,
            service.max_instances,
            service.initial_instances,
            service.capacity_per_instance,
            service.boot_slots,
            service.queue_limit,
            service.instance_price,
            service.late_price,
            service.drop_price,
            service.influx_scale,
            service.headroom_scale,
        ],
        dtype=np.float64,
    )


@compiled
def law_of(constants):
    """Unpack what `constants_of` returns."""
    return Law(
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
    )


@compiled
def advance(ready, booting, queue, due, fleet_change, arrivals, law):
    """Move one service by one slot.

    In this order: instances whose boot has ended become ready; the fleet changes, or the change is refused; the
    arrivals come in, are served, wait, or are dropped.

    Args:
        ready: Instances that serve.
        booting: Instances ordered and not ready yet.
        queue: Requests waiting.
        due: Booting instances whose boot ends now.
        fleet_change: Instances to order (positive) or to retire (negative).
        arrivals: Requests that come in during this slot.
        law: The service's numbers.

    Returns:
        ready, booting, queue, ordered (instances), served (requests), dropped (requests), refused (bool).
    """
    ready += due
    booting -= due
    added = max(fleet_change, 0)
    removed = max(-fleet_change, 0)
    over = (added > 0) & (ready + booting + added > law.max_instances)
    under = (removed > 0) & (ready - removed < law.min_instances)
    refused = over | under  # bitwise, not `or`: without branches the loop over services is vectorised
    added = 0 if refused else added
    removed = 0 if refused else removed
    ready -= removed
    booting += added
    demand = queue + arrivals
    served = min(demand, law.capacity * ready)
    waiting = demand - served
    queue = min(waiting, law.queue_limit)
    return ready, booting, queue, added, served, waiting - queue, refused


@compiled
def bill_of(ready, booting, queue, dropped, law):
    """Return the bill of a slot, in dollars: instances, lateness, drops."""
    return law.instance_price * (ready + booting) + law.late_price * queue + law.drop_price * dropped


def new_state(service: Service, services: int) -> NDArray[np.int32]:
    """Allocate the state of `services` services; `start_all` fills it.

    int32: half the memory of int64 to move in every slot. All counts fit, see `service.LARGEST_OBSERVABLE_COUNT` and
    `traces.LARGEST_COUNT`.
    """
    return np.zeros((STATE_ROWS + service.boot_slots, services), dtype=np.int32)


@compiled
def observe_all(state, law, observations):
    """Write what an operator sees of each service into `observations`, float32 of shape (7, n)."""
    for i in range(state.shape[1]):
        ready = state[READY, i]
        booting = state[BOOTING, i]
        queue = state[QUEUE, i]
        influx = state[INFLUX, i]
        headroom = law.capacity * (ready + booting) - influx - queue
        observations[0, i] = ready / law.max_instances
        observations[1, i] = booting / law.max_instances
        observations[2, i] = state[SERVED, i] / (law.capacity * ready)
        observations[3, i] = queue / max(law.queue_limit, 1)
        observations[4, i] = min(influx / law.influx_scale, 1.0)
        observations[5, i] = min(max(state[CHANGE, i] / law.influx_scale, -1.0), 1.0)
        observations[6, i] = max(headroom / law.headroom_scale, -1.0)


@compiled
def start_all(state, first_influx, constants, observations):
    """Put every service at the start of a day.

    Args:
        state: Overwritten.
        first_influx: Arrivals of the first slot, int64 of shape (n,), shown as if they had been seen the slot before.
        constants: What `constants_of` returns.
        observations: Written, float32 of shape (7, n).
    """
    law = law_of(constants)
    state[:] = 0
    for i in range(state.shape[1]):
        state[READY, i] = law.initial_instances
        state[INFLUX, i] = first_influx[i]
        state[SERVED, i] = min(first_influx[i], law.capacity * law.initial_instances)
    observe_all(state, law, observations)


@compiled
def _advance_column(state, i, due_row, fleet_change, arrivals, law):
    """Apply the law to column `i`; return the slot's bill in dollars."""
    ready, booting, queue, ordered, served, dropped, refused = advance(
        state[READY, i], state[BOOTING, i], state[QUEUE, i], state[due_row, i], fleet_change, arrivals, law
    )
    state[READY, i] = ready
    state[BOOTING, i] = booting
    state[QUEUE, i] = queue
    state[due_row, i] = ordered
    state[SERVED, i] = served
    state[DROPPED, i] = dropped
    state[SCALED, i] = fleet_change != 0 and not refused
    state[REFUSED, i] = refused
    state[CHANGE, i] = arrivals - state[INFLUX, i]
    state[INFLUX, i] = arrivals
    return bill_of(ready, booting, queue, dropped, law)


@compiled
def advance_one(state, slot, fleet_change, arrivals, constants, observation):
    """Move a single service by one slot; write its observation, shape (7,); return the slot's bill in dollars."""
    law = law_of(constants)
    bill = _advance_column(state, 0, STATE_ROWS + slot % law.boot_slots, fleet_change, arrivals, law)
    observe_all(state, law, observation.reshape((7, 1)))
    return bill


@compiled
def advance_all(state, slot, actions, fleet_changes, arrivals, constants, observations, rewards):
    """Move every service by one slot.

    Args:
        state: The services, changed in place.
        slot: Slots that have passed since the start of the day.
        actions: Indices into `fleet_changes`, shape (n,).
        fleet_changes: Instances that each action asks for, int64.
        arrivals: Requests that come in during this slot, int64 of shape (n,).
        constants: What `constants_of` returns.
        observations: Written, float32 of shape (7, n).
        rewards: Written, float64 of shape (n,): minus the slot's bill, in dollars.

    Returns:
        The index of the first service whose action is out of range, or -1. Then no service has moved.
    """
    for i in range(state.shape[1]):
        if actions[i] < 0 or actions[i] >= fleet_changes.shape[0]:
            return i
    law = law_of(constants)
    due_row = STATE_ROWS + slot % law.boot_slots
    for i in range(state.shape[1]):
        rewards[i] = -_advance_column(state, i, due_row, fleet_changes[actions[i]], arrivals[i], law)
    observe_all(state, law, observations)
    return -1
