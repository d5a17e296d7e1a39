"""Try every action at a step of a recorded day, and go on with a policy until nothing differs any more.

Arrivals do not react to what a policy does. So the future of a day is the same whatever is done in it, and the cost of
an action can be computed instead of estimated: from one state, a *branch* for each action plays the rest of the same
day, in all other steps with the same policy. Once the branches have met (the same instances, orders and queue) all that
follows is equal. The differences of their costs are the exact advantages of the actions on this day.

The policy is a network of two hidden layers over `policies/decision_inputs`, in compiled code, or target tracking.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from autoscaler_env import dynamics
from autoscaler_env.compiled import compiled
from autoscaler_env.policies.decision_inputs import FLEET_INPUTS, look_at_fleet
from autoscaler_env.service import Service

READY, BOOTING, QUEUE, ORDERS = range(4)
"""Entries of a state; from `ORDERS` on come the orders, a ring of `order_rows` entries, as in `dynamics`."""


def entries_of_state(service: Service) -> int:
    """Return the number of entries of a service's state."""
    return ORDERS + dynamics.new_state(service, 1).shape[0] - dynamics.STATE_ROWS


class Actor(NamedTuple):
    """A network's weights as compiled code reads them, float32."""

    fleet: NDArray[np.float32]
    """First layer, from the inputs that depend on fleet and queue, shape (FLEET_INPUTS, units)."""
    second: NDArray[np.float32]
    """Second layer, shape (units, units)."""
    second_bias: NDArray[np.float32]
    """Shape (units,)."""
    last: NDArray[np.float32]
    """Shape (units, actions)."""
    last_bias: NDArray[np.float32]
    """Shape (actions,)."""


class Days(NamedTuple):
    """Days to play, and all that a policy needs of their arrivals."""

    arrivals: NDArray[np.int64]
    """Requests, shape (n, steps)."""
    expected: NDArray[np.float32]
    """What `outlook_on` returns, shape (n, steps, 7)."""
    hidden: NDArray[np.float32]
    """First layer of the network before its activation, from bias and arrivals alone, shape (n, steps, units)."""
    rules: NDArray[np.float64]
    """Target and reserve of target tracking for each day, shape (n, 2)."""


@compiled
def _activate(x):
    """Replace x by its hyperbolic tangent, float32: a ratio of polynomials (as in Eigen), right to 3e-7."""
    for k in range(x.shape[0]):
        v = min(max(x[k], np.float32(-7.905311)), np.float32(7.905311))
        s = v * v
        p = np.float32(-2.76076847742355e-16)
        p = p * s + np.float32(2.00018790482477e-13)
        p = p * s + np.float32(-8.60467152213735e-11)
        p = p * s + np.float32(5.12229709037114e-08)
        p = p * s + np.float32(1.48572235717979e-05)
        p = p * s + np.float32(6.37261928875436e-04)
        p = p * s + np.float32(4.89352455891786e-03)
        q = np.float32(1.19825839466702e-06)
        q = q * s + np.float32(1.18534705686654e-04)
        q = q * s + np.float32(2.26843463243900e-03)
        q = q * s + np.float32(4.89352518554385e-03)
        x[k] = v * p / q


@compiled
def _add_product(x, weights, out):
    """Add x @ weights to out."""
    for j in range(x.shape[0]):
        factor = x[j]
        for k in range(out.shape[0]):
            out[k] += factor * weights[j, k]


@compiled
def preferences(state, expected, hidden, scales, actor, inputs, one, two, out):
    """Write the network's preference for each action to `out`; the other arrays are for its work."""
    look_at_fleet(state[READY], state[BOOTING], state[QUEUE], expected, scales, inputs)
    one[:] = hidden
    _add_product(inputs, actor.fleet, one)
    _activate(one)
    two[:] = actor.second_bias
    _add_product(one, actor.second, two)
    _activate(two)
    out[:] = actor.last_bias
    _add_product(two, actor.last, out)


@compiled
def _track(state, arrivals, target, reserve, fleet_changes, parameters):
    """Return the action of target tracking: see `policies.rules.TargetTracking` and `policies.base.step_toward`."""
    wanted = (arrivals + state[QUEUE]) / (parameters.capacity * target) + reserve
    wanted = np.ceil(np.round(wanted, 9))
    fleet = state[READY] + state[BOOTING]
    best, nearest, smallest = 0, np.inf, np.inf
    for action in range(fleet_changes.shape[0]):
        change = fleet_changes[action]
        after = fleet + change
        within = parameters.min_instances <= after <= parameters.max_instances
        if not (within or change == 0):
            continue
        distance = abs(wanted - after)
        if distance < nearest or (distance == nearest and abs(change) < smallest):
            best, nearest, smallest = action, distance, abs(change)
    return best


@compiled
def actions_of_rules(days, fleet_changes, constants, states, actions):
    """Write what the days' target tracking does in each step from the second on.

    Args:
        days: The days, `Days`.
        fleet_changes: Instances that each action asks for, int64.
        constants: What `dynamics.constants_of` returns.
        states: The state before each step but the first, int64 of shape (n, steps - 1, entries).
        actions: Written: int64 of shape (n, steps - 1).
    """
    parameters = dynamics.parameters_of(constants)
    for day in range(states.shape[0]):
        target, reserve = days.rules[day]
        for place in range(states.shape[1]):
            seen = days.arrivals[day, place]
            actions[day, place] = _track(states[day, place], seen, target, reserve, fleet_changes, parameters)


@compiled
def _work_arrays(actor):
    """Return the arrays that `preferences` works in: inputs, both layers, and the preferences."""
    units, actions = actor.last.shape
    return (
        np.empty(FLEET_INPUTS, np.float32),
        np.empty(units, np.float32),
        np.empty(units, np.float32),
        np.empty(actions, np.float32),
    )


@compiled
def _move(state, step, fleet_change, arrivals, parameters):
    """Advance a state by one step; return the requests dropped."""
    due = ORDERS + step % dynamics.order_rows(parameters)
    ready, booting, queue, ordered, _, dropped, _, _ = dynamics.advance(
        state[READY], state[BOOTING], state[QUEUE], state[due], fleet_change, arrivals, parameters
    )
    state[READY] = ready
    state[BOOTING] = booting
    state[QUEUE] = queue
    state[due] = ordered
    return dropped


@compiled
def visit(days, actor, scales, fleet_changes, constants, by_rule, explored, chosen, states):
    """Play days, and write the states before some steps.

    Args:
        days: The days, `Days`.
        actor: The network.
        scales: The scales of `Outlook`.
        fleet_changes: Instances that each action asks for, int64.
        constants: What `dynamics.constants_of` returns.
        by_rule: Whether the days' target tracking acts instead of the network.
        explored: The action that is taken whatever the policy prefers, int64 of shape (n, steps); -1 for none.
        chosen: The steps wanted of each day, in rising order, shape (n, m).
        states: Written: the state before each of these steps, int64 of shape (n, m, entries).

    Returns:
        The cost of all days, in dollars.
    """
    parameters = dynamics.parameters_of(constants)
    n, steps = days.arrivals.shape
    inputs, one, two, out = _work_arrays(actor)
    state = np.empty(ORDERS + dynamics.order_rows(parameters), np.int64)
    cost = 0.0
    for day in range(n):
        state[:] = 0
        state[READY] = parameters.initial_instances
        wanted = 0
        for step in range(steps):
            if wanted < chosen.shape[1] and chosen[day, wanted] == step:
                states[day, wanted] = state
                wanted += 1
            action = explored[day, step]
            if action < 0 and by_rule:
                seen = days.arrivals[day, max(step - 1, 0)]
                action = _track(state, seen, days.rules[day, 0], days.rules[day, 1], fleet_changes, parameters)
            elif action < 0:
                preferences(
                    state, days.expected[day, step], days.hidden[day, step], scales, actor, inputs, one, two, out
                )
                action = np.argmax(out)
            dropped = _move(state, step, fleet_changes[action], days.arrivals[day, step], parameters)
            cost += dynamics.cost_of(state[READY], state[BOOTING], state[QUEUE], dropped, parameters)
    return cost


@compiled
def branch(days, actor, scales, fleet_changes, constants, by_rule, chosen, states, counts):
    """Try every action in some states, each followed by the policy until the branches meet or the day ends.

    Args:
        days: The days, `Days`.
        actor: The network.
        scales: The scales of `Outlook`.
        fleet_changes: Instances that each action asks for, int64.
        constants: What `dynamics.constants_of` returns.
        by_rule: Whether the days' target tracking goes on instead of the network.
        chosen: Steps of each day, shape (n, m).
        states: The state before each of these steps, shape (n, m, entries).
        counts: Written: what each action leads to until the branches meet, int64 of shape (n, m, actions, 3):
            instances, waiting requests and dropped requests, each summed over the steps.

    Returns:
        How many steps the branches played.
    """
    parameters = dynamics.parameters_of(constants)
    n, steps = days.arrivals.shape
    inputs, one, two, out = _work_arrays(actor)
    actions = out.shape[0]
    played = 0
    now = np.empty((actions, ORDERS + dynamics.order_rows(parameters)), np.int64)
    doing = np.empty(actions, np.int64)
    for day in range(n):
        for place in range(chosen.shape[1]):
            total = counts[day, place]
            total[:] = 0
            now[:] = states[day, place]
            first = chosen[day, place]
            for step in range(first, steps):
                if step > first and _all_equal(now):
                    break
                for action in range(actions):
                    doing[action] = action if step == first else -1
                    for other in range(action):  # a branch that has met another does as that one does
                        if doing[action] < 0 and np.array_equal(now[action], now[other]):
                            doing[action] = doing[other]
                    if doing[action] >= 0:
                        continue
                    state = now[action]
                    if by_rule:
                        seen = days.arrivals[day, step - 1]
                        target, reserve = days.rules[day]
                        doing[action] = _track(state, seen, target, reserve, fleet_changes, parameters)
                    else:
                        preferences(
                            state, days.expected[day, step], days.hidden[day, step], scales, actor, inputs, one, two,
                            out,
                        )  # fmt: skip
                        doing[action] = np.argmax(out)
                for action in range(actions):
                    state = now[action]
                    dropped = _move(state, step, fleet_changes[doing[action]], days.arrivals[day, step], parameters)
                    total[action, 0] += state[READY] + state[BOOTING]
                    total[action, 1] += state[QUEUE]
                    total[action, 2] += dropped
                played += actions
    return played


@compiled
def _all_equal(states):
    """Return whether all states are the same."""
    for other in range(1, states.shape[0]):
        for k in range(states.shape[1]):
            if states[other, k] != states[0, k]:
                return False
    return True


def advantages(counts: NDArray[np.int64], service: Service) -> NDArray[np.float64]:
    """Return by how much each action is dearer than the mean of all, in dollars, shape (..., actions).

    Args:
        counts: What `branch` writes.
        service: Gives the prices.
    """
    prices = np.array([service.instance_price, service.late_price, service.drop_price])
    costs = counts @ prices
    centred: NDArray[np.float64] = costs - costs.mean(axis=-1, keepdims=True)
    return centred
