"""The clairvoyant optimum: the lowest possible cost of a day whose arrivals are known, and the actions that reach it.

No policy without foresight can cost less, so the difference to this optimum bounds what any policy could save. Dynamic
programming over the steps finds it exactly, with the dynamics of the environment.

A state is the instances (ready, and ordered, by the step they are due in) and the queue. Several paths may reach the
same instances at the same step. A path can be dropped if another has a queue that is no longer and a cost so far that
is no higher. Both can continue with the same actions, since the queue does not decide whether an action is refused; and
the longer queue never leads to a shorter queue or fewer drops later, at prices that are never negative. For each set of
instances a frontier remains, with rising queues and falling costs. On the reference service it has a handful of paths,
not thousands, and a day takes about a hundredth of a second.

Source: Ours; labels with dominance are textbook (Desrochers and Soumis, "A generalized permanent labelling algorithm
for the shortest path problem with time windows", INFOR 26, 1988).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from autoscaler_env.compiled import compiled
from autoscaler_env.dynamics import advance, boots_whole_steps, constants_of, cost_of, parameters_of
from autoscaler_env.policies.base import OPTIMUM as OPTIMUM
from autoscaler_env.service import Service

LARGEST_CONFIGURATIONS = 100_000
"""The largest number of sets of instances (ready, and due in each coming step) that the search allows."""

LARGEST_LABELS = 30_000_000
"""The largest number of paths that the search remembers over a day: about 150 MB."""


class Plan(NamedTuple):
    """The cheapest actions of some days, and their costs."""

    actions: NDArray[np.int64]
    """Indices into `service.fleet_changes`, shape (n, steps)."""
    costs: NDArray[np.float64]
    """Dollars a day, shape (n,)."""


def cheapest_plan(days: NDArray[np.int64], service: Service | None = None) -> Plan:
    """Find the lowest possible cost of each day, given its arrivals, and actions that reach it.

    Args:
        days: Arrivals in requests, shape (n, steps).
        service: The reference service by default.

    Returns:
        Actions and costs. If several plans cost the same, one of them.

    Raises:
        ValueError: The service has too many states for the search.

    Example:
        >>> service = Service(steps_per_episode=4, initial_instances=2)
        >>> plan = cheapest_plan(np.array([[174, 174, 261, 261]]), service)
        >>> plan.actions.tolist(), plan.costs.round(3).tolist()  # a third instance is ordered a step ahead
        ([[1, 2, 1, 1]], [0.176])
    """
    service = service or Service()
    changes, sizes = np.array(service.fleet_changes, dtype=np.int64), _order_sizes(service)
    constants = constants_of(service)
    after = _transitions(_check_size(service), changes, sizes, constants)
    days = np.asarray(days, dtype=np.int64)
    actions = np.empty(days.shape, dtype=np.int64)
    costs = np.empty(len(days))
    for i, day in enumerate(tqdm(days, unit="day", desc="optimum", delay=2, leave=False, disable=None)):
        costs[i] = _solve(day, after, changes, sizes, constants, LARGEST_LABELS, actions[i])
        if costs[i] < 0:
            raise ValueError(
                f"optimum: more than {LARGEST_LABELS:,} states a day must be remembered for this service; "
                "allowed are fewer, by fewer boot_steps, fleet_changes or max_instances, or a smaller queue_limit"
            )
    return Plan(actions, costs)


def _order_sizes(service: Service) -> NDArray[np.int64]:
    """Return the numbers of instances that one step may order: 0 and each positive change, rising."""
    return np.unique(np.maximum(service.fleet_changes, 0))


def _check_size(service: Service) -> int:
    """Return the number of sets of instances; raise `ValueError` if it is too large."""
    sizes = len(_order_sizes(service))
    count = (service.max_instances - service.min_instances + 1) * sizes ** max(service.boot_steps - 1, 0)
    if count > LARGEST_CONFIGURATIONS:
        raise ValueError(
            f"optimum: boot_steps = {service.boot_steps} with {sizes - 1} sizes of order among fleet_changes make "
            f"{count:,} sets of instances; allowed are {LARGEST_CONFIGURATIONS:,}, by fewer of either or of "
            "max_instances"
        )
    return count


class Optimum:
    r"""Play the cheapest plan of each day: a policy that reads the day before it begins.

    It is a bound rather than a policy: nobody can deploy it.

    Args:
        service: The service to scale; the reference service by default.

    Equation:
        \min_{a_1, \dots, a_T} \sum_{t=1}^{T} \text{cost}(s_t, a_t), \qquad
        s_{t+1} = f(s_t, a_t, \text{arrivals}_t)

    Raises:
        ValueError: The service has too many states for the search, here or at `reset`.
    """

    name = OPTIMUM

    def __init__(self, service: Service | None = None) -> None:
        self.service = service or Service()
        _check_size(self.service)
        self._actions = iter(np.empty((0, 0), dtype=np.int64))

    def reset(self, days: NDArray[np.int64]) -> None:
        """Read the days, shape (n, steps), and find the cheapest plan of each."""
        self._actions = iter(cheapest_plan(days, self.service).actions.T)

    def predict(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the planned actions of the next step, shape (n,)."""
        return next(self._actions)


# --- the search, compiled --------------------------------------------------------------------------------------------
# A configuration is the instances just before an action, when those whose boot has ended are ready, as one number:
#     (ready - min_instances) x sizes^pending + orders.
# `orders` has base `sizes` and a digit for each of the `pending` earlier steps whose orders still boot, the first to be
# due the lowest; a digit is the index of an order's size. The reference service has no such digit: an instance that is
# ordered now is ready at the next action. A boot that ends within a step has a digit for each of its whole steps, since
# what is due in a step becomes ready only after the action.


@compiled
def _pending(parameters):
    """Return how many earlier steps have orders that still boot when a step's action is chosen."""
    return parameters.boot_steps - 1 if boots_whole_steps(parameters) else parameters.boot_steps


@compiled
def _unpack(configuration, sizes, parameters):
    """Return instances ready, instances booting, the number of the orders, and instances due within the step."""
    pending = _pending(parameters)
    places = len(sizes) ** pending
    ready, orders = parameters.min_instances + configuration // places, configuration % places
    booting, rest = 0, orders
    for _ in range(pending):
        booting += sizes[rest % len(sizes)]
        rest //= len(sizes)
    due = 0 if boots_whole_steps(parameters) else sizes[orders % len(sizes)]
    return ready, booting, orders, due


@compiled
def _transitions(count, changes, sizes, constants):
    """Return the next configuration for each configuration and action; -1 where the action is refused."""
    parameters = parameters_of(constants)
    whole, places = boots_whole_steps(parameters), len(sizes) ** _pending(parameters)
    after = np.full((count, len(changes)), -1, dtype=np.int64)
    for i in range(count):
        ready, booting, orders, due = _unpack(i, sizes, parameters)
        if ready + booting > parameters.max_instances:
            continue
        for k in range(len(changes)):
            ready_now, _, _, ordered, _, _, refused, _ = advance(ready, booting, 0, due, changes[k], 0, parameters)
            if not refused:
                digit = 0
                while sizes[digit] < ordered:
                    digit += 1
                on_their_way = orders + digit * places
                if whole:  # what is due next is ready before the next action
                    ready_now += sizes[on_their_way % len(sizes)]
                after[i, k] = (ready_now - parameters.min_instances) * places + on_their_way // len(sizes)
    return after


@compiled
def _grown(array, length):
    """Return an array of at least this length that begins with the entries of the given one."""
    if length <= len(array):
        return array
    longer = np.empty(max(length, 2 * len(array)), dtype=array.dtype)
    longer[: len(array)] = array
    return longer


@compiled
def _extend(first, queues, costs, after, changes, arrivals, parameters, sizes):
    """Let every label take every action; return the new labels, grouped by configuration.

    Returns:
        Where each configuration begins; and for each new label its queue, cost, source label and action.
    """
    count = len(after)
    new_first = np.zeros(count + 1, dtype=np.int64)
    for i in range(count):
        for k in range(len(changes)):
            if after[i, k] >= 0:
                new_first[after[i, k] + 1] += first[i + 1] - first[i]
    new_first = np.cumsum(new_first)
    filled, tried = new_first[:-1].copy(), new_first[-1]
    new_queues, new_costs = np.empty(tried, dtype=np.int64), np.empty(tried)
    sources, actions = np.empty(tried, dtype=np.int32), np.empty(tried, dtype=np.int16)
    for i in range(count):
        if first[i] == first[i + 1]:
            continue
        ready, booting, _, due = _unpack(i, sizes, parameters)
        for k in range(len(changes)):
            if after[i, k] < 0:
                continue
            for label in range(first[i], first[i + 1]):
                ready_now, booting_now, queue, _, _, dropped, _, _ = advance(
                    ready, booting, queues[label], due, changes[k], arrivals, parameters
                )
                place = filled[after[i, k]]
                filled[after[i, k]] += 1
                new_queues[place] = queue
                new_costs[place] = costs[label] + cost_of(ready_now, booting_now, queue, dropped, parameters)
                sources[place], actions[place] = label, k
    return new_first, new_queues, new_costs, sources, actions


@compiled
def _rising(values, low, high):
    """Return the places from `low` to `high`, sorted by value (merge sort: few values, mostly in order)."""
    order = np.arange(low, high)
    other = np.empty_like(order)
    width = 1
    while width < len(order):
        for begin in range(0, len(order), 2 * width):
            x, y, end = begin, min(begin + width, len(order)), min(begin + 2 * width, len(order))
            middle = y
            for place in range(begin, end):
                if x < middle and (y == end or values[order[x]] <= values[order[y]]):
                    other[place] = order[x]
                    x += 1
                else:
                    other[place] = order[y]
                    y += 1
        order, other = other, order
        width *= 2
    return order


@compiled
def _frontier(first, queues, costs):
    """Return the labels to keep, and where each configuration begins among them: queues rising, costs falling."""
    keep, new_first = np.empty(len(queues), dtype=np.int64), np.zeros_like(first)
    kept = 0
    for j in range(len(first) - 1):
        begin = kept
        for place in _rising(queues, first[j], first[j + 1]):
            if kept > begin and costs[place] >= costs[keep[kept - 1]]:
                continue
            if kept > begin and queues[place] == queues[keep[kept - 1]]:
                kept -= 1  # an equal queue at a lower cost
            keep[kept] = place
            kept += 1
        new_first[j + 1] = kept
    return keep[:kept], new_first


@compiled
def _solve(day, after, changes, sizes, constants, most, actions):
    """Write the cheapest actions of a day; return its cost in dollars, or -1 if that takes too many labels.

    A label is a path to a state: its queue, its cost so far, the label before it, and the action in between. The labels
    of a step are grouped by configuration: those of configuration i lie from `first[i]` to `first[i + 1]`. Sources and
    actions of all steps are remembered, those of step t from `begins[t]` on, to follow the path back at the end.
    """
    parameters = parameters_of(constants)
    first = np.zeros(len(after) + 1, dtype=np.int64)
    start = (parameters.initial_instances - parameters.min_instances) * len(sizes) ** _pending(parameters)
    first[start + 1 :] = 1
    queues, costs = np.zeros(1, dtype=np.int64), np.zeros(1)
    begins = np.zeros(len(day) + 1, dtype=np.int64)
    past_sources, past_actions = np.empty(1024, dtype=np.int32), np.empty(1024, dtype=np.int16)
    for t in range(len(day)):
        first, queues, costs, sources, chosen = _extend(first, queues, costs, after, changes, day[t], parameters, sizes)
        keep, first = _frontier(first, queues, costs)
        queues, costs = queues[keep], costs[keep]
        begin, end = begins[t], begins[t] + len(keep)
        if end > most or len(keep) * len(changes) > most:
            return -1.0
        begins[t + 1] = end
        past_sources, past_actions = _grown(past_sources, end), _grown(past_actions, end)
        past_sources[begin:end], past_actions[begin:end] = sources[keep], chosen[keep]
    label = np.argmin(costs)
    cost = costs[label]
    for t in range(len(day) - 1, -1, -1):
        actions[t] = past_actions[begins[t] + label]
        label = past_sources[begins[t] + label]
    return cost
