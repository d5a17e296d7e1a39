"""Truths about queues that know nothing of our code: recursions, formulas, and an independent simulator.

One instance of capacity c, held; nothing is dropped unless a test says so.
"""

import ciw
import numpy as np
import pytest
from cases import cases, every_service
from scipy import stats

from autoscaler_env.evaluation.simulation import served_within, simulate
from autoscaler_env.policies.rules import Static
from autoscaler_env.service import Service


def queue_of(arrivals, capacity, instances=1, limit=10**6):
    """Return the trajectory of a fleet that never changes."""
    service = Service(
        steps_per_episode=arrivals.shape[1],
        min_instances=instances,
        max_instances=instances,
        initial_instances=instances,
        capacity_per_instance=capacity,
        queue_limit=limit,
    )
    return simulate(Static(service), arrivals, service)


def poisson(mean, days, steps, seed=0):
    return np.random.default_rng(seed).poisson(mean, (days, steps))


def stationary_mean_queue(mean, variance, capacity):
    """Return E[Q] of the stepted queue with Poisson arrivals: roots of z^c = exp(mean (z - 1)) by iteration."""
    z = np.exp(2j * np.pi * np.arange(1, capacity) / capacity)
    unity = z.copy()
    for _ in range(10_000):
        z = unity * np.exp(mean * (z - 1) / capacity)
    assert np.abs(z).max() < 1 and np.abs(z**capacity - np.exp(mean * (z - 1))).max() < 1e-9
    roots = np.sum(1 / (1 - z)).real
    return variance / (2 * (capacity - mean)) - (mean + capacity - 1) / 2 + roots


def assert_mean_within(sample, expected, confidence=0.999):
    low, high = stats.t.interval(confidence, len(sample) - 1, np.mean(sample), stats.sem(sample))
    assert low <= expected <= high


def test_queue_follows_the_lindley_recursion():
    arrivals = poisson(86, 20, 2000)
    backlog, expected = np.zeros(20, dtype=int), []
    for step in arrivals.T:
        backlog = np.maximum(backlog + step - 87, 0)
        expected.append(backlog)
    assert np.array_equal(queue_of(arrivals, 87).queue.T, expected)


def test_queue_is_the_reflection_of_the_random_walk():
    # Q(t) = S(t) - min(0, min over u <= t of S(u)), S the sum of arrivals minus capacity
    arrivals = poisson(85, 20, 2000, seed=1)
    walk = np.cumsum(arrivals - 87, axis=1)
    lowest = np.minimum(np.minimum.accumulate(walk, axis=1), 0)
    assert np.array_equal(queue_of(arrivals, 87).queue, walk - lowest)


def test_everything_that_arrives_is_served_or_still_waits():
    arrivals = poisson(86, 20, 2000)
    day = queue_of(arrivals, 87)
    assert np.array_equal(day.served.sum(axis=1) + day.queue[:, -1], arrivals.sum(axis=1)) and not day.dropped.any()


@every_service
def test_idle_capacity_means_an_empty_queue(any_service, random_trajectory):
    for day in (queue_of(poisson(86, 20, 2000), 87), random_trajectory(any_service)):
        idle = day.served < day.capacity
        assert idle.any() and not day.queue[idle].any()


@every_service
def test_a_waiting_queue_means_full_use(any_service, random_trajectory):
    day = random_trajectory(any_service)
    waiting = day.queue > 0
    assert np.all(day.served[waiting] == day.capacity[waiting])


def test_constant_overload_grows_the_queue_linearly():
    # D/D/1: 100 arrive, 87 are served, 13 more wait after each step
    assert queue_of(np.full((1, 300), 100), 87).queue[0].tolist() == [13 * t for t in range(1, 301)]


def test_constant_overload_fills_a_limited_queue_and_then_drops_the_excess():
    # 13 a step into room for 130: full after ten steps, 13 dropped in each one after that
    day = queue_of(np.full((1, 20), 100), 87, limit=130)
    assert day.queue[0].tolist() == [13 * t for t in range(1, 11)] + [130] * 10
    assert day.dropped[0].tolist() == [0] * 10 + [13] * 10


@cases("backlog", [1, 6, 7, 8, 70, 699, 700, 701])
def test_a_backlog_drains_in_the_time_of_arithmetic(backlog):
    # D/D/1: 80 arrive, 87 are served: 7 fewer wait after each step, so ceil(backlog / 7) steps to empty
    arrivals = np.full((1, 150), 80)
    arrivals[0, 0] = 87 + backlog
    queue = queue_of(arrivals, 87).queue[0]
    assert queue[0] == backlog and np.argmax(queue == 0) == -(-backlog // 7)


def test_arrivals_of_exactly_the_capacity_never_wait():
    assert not queue_of(np.full((1, 300), 87 * 3), 87, instances=3).queue.any()


def test_the_formula_gives_the_published_number():
    assert stationary_mean_queue(80, 80, 87) == pytest.approx(2.11679, abs=5e-6)


@cases(("mean", "capacity", "instances", "warm"), [(80, 87, 1, 150), (5, 3, 2, 150), (18, 4, 5, 150)])
def test_stationary_queue_has_the_mean_of_theory(mean, capacity, instances, warm):
    # days are independent, so their means make an honest interval; a thousand steps on, the empty start is forgotten
    queue = queue_of(poisson(mean, 2000, 1000 + warm), capacity, instances).queue[:, warm:]
    assert_mean_within(queue.mean(axis=1), stationary_mean_queue(mean, mean, capacity * instances))


def test_stationary_throughput_equals_the_arrivals():
    day = queue_of(poisson(80, 2000, 500), 87)
    assert_mean_within(day.served[:, 150:].mean(axis=1), 80)


@cases("backlog", [1, 50, 400])
def test_a_busy_period_lies_within_its_bounds(backlog):
    # Wald: k / (c - mu) <= E[T] <= (k + c - 1) / (c - mu)
    arrivals = poisson(80, 4000, 400)
    arrivals[:, 0] = 87 + backlog
    queue = queue_of(arrivals, 87).queue
    lasted = np.argmax(queue == 0, axis=1)
    assert np.all(queue.min(axis=1) == 0) and queue[0, 0] == backlog
    slack = 3.3 * stats.sem(lasted)
    assert backlog / 7 - slack <= lasted.mean() <= (backlog + 86) / 7 + slack


def served_by_ciw(arrivals, servers):
    """Return requests served per step: a batch each step, every server busy just under one step with a request."""
    steps = len(arrivals)
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Deterministic(1.0)],
        batching_distributions=[ciw.dists.Sequential([int(count) for count in arrivals])],
        service_distributions=[ciw.dists.Deterministic(1 - 1e-6)],
        number_of_servers=[servers],
    )
    simulation = ciw.Simulation(network)
    simulation.simulate_until_max_time(steps + 1 - 1e-9)
    # the batch of step t comes at time t + 1; what ends before t + 2 was served in step t
    ends = [record.service_end_date for record in simulation.get_all_records()]
    return np.bincount(np.floor(ends).astype(int) - 1, minlength=steps)[:steps]


@cases(("mean", "capacity", "instances", "steps"), [(4.5, 5, 1, 4000), (5.6, 2, 3, 3000), (17.5, 6, 3, 4000)])
def test_an_independent_simulator_serves_as_many_in_every_step(mean, capacity, instances, steps):
    arrivals = poisson(mean, 1, steps, seed=7)
    ours = queue_of(arrivals, capacity, instances).served[0]
    assert np.array_equal(ours, served_by_ciw(arrivals[0], capacity * instances))


def test_an_independent_simulator_serves_as_many_in_time():
    # one server of 3 s a request, an hour of 115 % of its capacity and an hour of 75 % by turns: single random
    # requests against our counts in steps of 300 s, which do not know how requests gather within a step
    steps, rng = 288, np.random.default_rng(3)
    rate = np.where(np.arange(steps) // 12 % 2, 1.15, 0.75) * 100
    came = np.sort(np.concatenate([(t + rng.random(rng.poisson(mean))) * 300 for t, mean in enumerate(rate)]))
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Sequential([*np.diff(came, prepend=0.0), 1e9])],
        service_distributions=[ciw.dists.Deterministic(3.0)],
        number_of_servers=[1],
    )
    simulation = ciw.Simulation(network)
    simulation.simulate_until_max_time(steps * 300.0)
    waited = np.array([record.waiting_time for record in simulation.get_all_records()])
    day = queue_of(np.bincount((came // 300).astype(int), minlength=steps)[np.newaxis], 100)
    for seconds in (30, 60, 120, 300, 450):
        share = served_within(day, seconds).sum() / len(came)
        assert share == pytest.approx(np.sum(waited <= seconds) / len(came), abs=0.03)
