"""The table and its update: against plain Python, and where the answer is known."""

import math

import numpy as np
import pytest
from cases import cases, every_service

from autoscaler_env import dynamics
from autoscaler_env.envs.single import AutoscalerEnv
from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.policies import q_learning
from autoscaler_env.policies.decision_inputs import ARRIVALS_INPUTS
from autoscaler_env.policies.q_learning import SPARE_CAPACITIES, DecisionCells, Discretisation, QTable, learn
from autoscaler_env.policies.recognise import Recogniser
from autoscaler_env.policies.rules import TargetTracking, Threshold
from autoscaler_env.service import Service
from autoscaler_env.traffic.patterns import PATTERNS, Pattern, day_seeds
from autoscaler_env.training.presets import QLearningPreset

LEVELLED = Discretisation(levels=(0.3, 0.6))


def learn_slowly(table, days, epsilon, rate_exponent, discount, rng):
    """Learn in the scalar environment, in plain Python, from the observations alone."""
    draws = rng.random((*days.shape, 2))
    env = AutoscalerEnv("STEADY", table.service)
    for day, arrivals in enumerate(days):
        observation, _ = env.reset(options={"day": arrivals})
        for explore, which in draws[day]:
            cell = table.discretisation.cells(observation[np.newaxis], table.service)[0]
            action = (
                int(which * table.values.shape[1]) if explore < epsilon[day] else int(np.argmax(table.values[cell]))
            )
            observation, reward, *_ = env.step(action)
            following = table.discretisation.cells(observation[np.newaxis], table.service)[0]
            table.visits[cell, action] += 1
            rate = table.visits[cell, action] ** -rate_exponent
            target = reward + discount * table.values[following].max()
            table.values[cell, action] += rate * (target - table.values[cell, action])


@cases("discretisation", [Discretisation(), LEVELLED])
@every_service
def test_compiled_learning_equals_plain_python_in_the_scalar_environment(any_service, discretisation):
    days = Pattern("SPIKE", any_service).draw(day_seeds("training", 4))
    fast, slow = (QTable.zeros(any_service, discretisation) for _ in range(2))
    epsilon = np.array([1.0, 0.5, 0.5, 0.0])
    learn(fast, days, epsilon, 0.7, 0.9, np.random.default_rng(3))
    learn_slowly(slow, days, epsilon, 0.7, 0.9, np.random.default_rng(3))
    assert np.array_equal(fast.visits, slow.visits) and fast.visits.sum() == days.size
    assert fast.values == pytest.approx(slow.values, rel=1e-9, abs=1e-12)


def a_recogniser():
    """Return a recogniser with some weights, which finds several patterns likeliest."""
    rng = np.random.default_rng(0)
    sizes = ((ARRIVALS_INPUTS, 8), (8, len(PATTERNS)))
    weights = tuple(rng.normal(size=size).astype(np.float32) for size in sizes)
    return Recogniser(weights, tuple(np.zeros(size[1], dtype=np.float32) for size in sizes))


@every_service
def test_with_inputs_of_a_decision_compiled_learning_equals_a_table_that_observes_step_by_step(any_service):
    """The slow one asks the policy itself for its cells, in the environment, and a rule that plays beside it."""
    days = np.concatenate([Pattern(name, any_service).draw(day_seeds("training", 2)) for name in ("SPIKE", "RANDOM")])
    fast, slow = (QTable.zeros(any_service, DecisionCells(a_recogniser())) for _ in range(2))
    epsilon, rule = np.array([1.0, 0.5, 0.5, 0.0]), TargetTracking(any_service)
    rng = np.random.default_rng(3)
    learn(fast, days, epsilon, 0.7, 0.9, rng, simulate(rule, days, any_service).cost)
    draws = np.random.default_rng(3).random((*days.shape, 2))
    env, beside = AutoscalerEnv("STEADY", any_service), AutoscalerEnv("STEADY", any_service)
    for day, arrivals in enumerate(days):
        observation, _ = env.reset(options={"day": arrivals})
        other, _ = beside.reset(options={"day": arrivals})
        slow.reset(days[day : day + 1])
        greedy = int(slow.predict(observation[np.newaxis])[0])
        for explore, which in draws[day]:
            cell = int(slow._cells[0])
            action = int(which * slow.values.shape[1]) if explore < epsilon[day] else greedy
            observation, reward, *_ = env.step(action)
            other, rule_reward, *_ = beside.step(int(rule.predict(other[np.newaxis])[0]))
            slow.predict(observation[np.newaxis])
            best = slow.preferences()[0].max()
            slow.visits[cell, action] += 1
            rate = slow.visits[cell, action] ** -0.7
            slow.values[cell, action] += rate * (reward - rule_reward + 0.9 * best - slow.values[cell, action])
            greedy = int(np.argmax(slow.preferences()[0]))
    assert np.array_equal(fast.visits, slow.visits) and fast.visits.sum() == days.size
    assert len(np.unique(np.flatnonzero(fast.visits.sum(axis=1)) % len(PATTERNS))) > 1
    assert fast.values == pytest.approx(slow.values, rel=1e-9, abs=1e-12)


@every_service
def test_compiled_learning_equals_its_own_source(monkeypatch, any_service):
    days = Pattern("RANDOM", any_service).draw(day_seeds("training", 2))
    fast, slow = (QTable.zeros(any_service) for _ in range(2))
    one = learn(fast, days, np.full(2, 0.3), 0.7, 0.9, np.random.default_rng(0))
    with monkeypatch.context() as patch:
        patch.setattr(q_learning, "learn_days", q_learning.learn_days.py_func)
        other = learn(slow, days, np.full(2, 0.3), 0.7, 0.9, np.random.default_rng(0))
    assert fast.values == pytest.approx(slow.values, rel=1e-12) and one == pytest.approx(other, rel=1e-12)


@cases("edges", [(), (7.5,), (-3.0, -0.5, 0.0, 2.25), SPARE_CAPACITIES])
@cases("capacity", [1, 87, 10**6])
def test_the_index_of_edges_finds_what_a_search_finds(edges, capacity):
    edges = np.array(edges, dtype=np.float64) * capacity
    near = [math.floor(edge) + offset for edge in edges for offset in (-1, 0, 1)]
    index = q_learning._index_edges(edges)
    assert len(index[3]) <= q_learning._BUCKETS + 1
    for number in (-(2**30), *near, *range(-40, 40), 5 * capacity, 2**30):
        assert q_learning._cell_of(number, index) == np.searchsorted(edges, number, side="right")


@every_service
def test_returns_are_minus_the_costs_of_the_days_as_played(any_service):
    days = Pattern("SPIKE", any_service).draw(day_seeds("training", 3))
    table = QTable.zeros(any_service)
    table.values[:, any_service.hold] = 1e6  # so that nothing else is ever best
    returns = learn(table, days, np.zeros(3), 1.0, 1.0, np.random.default_rng(0))
    held = QTable.zeros(any_service)
    held.values[:, any_service.hold] = 1
    assert returns == pytest.approx(-simulate(held, days, any_service).cost.sum(axis=1), rel=1e-12)


def test_without_a_future_a_value_is_the_mean_of_its_rewards():
    service = Service(steps_per_episode=3, min_instances=1, initial_instances=2, max_instances=2)
    day = np.array([[100, 100, 100]])  # always the same cell after the first step: two instances serve 174
    table = QTable.zeros(service, Discretisation(spare_capacities=(), changes=()))
    learn(table, day, np.ones(1), 1.0, 0.0, np.random.default_rng(1))
    fleets = {0: [], 1: [], 2: []}
    env = AutoscalerEnv("STEADY", service)
    env.reset(options={"day": day[0]})
    for _, which in np.random.default_rng(1).random((1, 3, 2))[0]:
        fleets[int(which * 3)].append(float(env.step(int(which * 3))[1]))
    assert table.values[0] == pytest.approx([np.mean(seen) if seen else 0 for seen in fleets.values()])


def test_a_constant_reward_is_worth_reward_over_one_minus_discount():
    service = Service(min_instances=2, max_instances=2, initial_instances=2)  # nothing can be changed: $0.032 a step
    table = QTable.zeros(service, Discretisation(spare_capacities=(), changes=()))
    learn(table, np.zeros((40, 288), dtype=np.int64), np.ones(40), 0.6, 0.5, np.random.default_rng(0))
    assert table.values[0] == pytest.approx([-0.032 / 0.5] * 3, rel=1e-3)


def test_on_steady_traffic_a_small_budget_beats_the_threshold_rule():
    workload = Pattern("STEADY", Service())
    table = QTable.zeros()
    learn(table, workload.draw(day_seeds("training", 300)), np.full(300, 0.2), 0.7, 0.9, np.random.default_rng(0))
    days = workload.draw(day_seeds("selection", 50))
    learned, rule = (simulate(policy, days).cost.sum(axis=1).mean() for policy in (table, Threshold()))
    assert learned < 0.9 * rule


def test_equal_draws_give_equal_tables_and_others_do_not():
    days = Pattern("SPIKE", Service()).draw(day_seeds("training", 3))

    def values(seed):
        table = QTable.zeros()
        learn(table, days, np.full(3, 0.3), 0.7, 0.9, np.random.default_rng(seed))
        return table.values.tolist()

    assert values(0) == values(0) and values(0) != values(1)


def test_learning_may_be_cut_into_pieces():
    days, rng = Pattern("SPIKE", Service()).draw(day_seeds("training", 4)), np.random.default_rng(0)
    whole, pieces = QTable.zeros(), QTable.zeros()
    learn(whole, days, np.full(4, 0.3), 0.7, 0.9, np.random.default_rng(0))
    for part in (days[:1], days[1:]):
        learn(pieces, part, np.full(len(part), 0.3), 0.7, 0.9, rng)
    assert np.array_equal(whole.values, pieces.values)


def observation_of(service, ready, queue, arrivals, change):
    """Return the observation that stands for these counts, shape (1, 7)."""
    spare_capacity = service.capacity_per_instance * ready - arrivals - queue
    return np.array(
        [
            [
                ready / service.max_instances,
                0,
                0.5,
                queue / service.queue_limit,
                arrivals / service.arrivals_scale,
                change / service.arrivals_scale,
                spare_capacity / service.spare_capacity_scale,
            ]
        ],
        dtype=np.float32,
    )


@cases(
    ("spare_capacity", "change", "cell"),
    [
        (-1, 0, 0),  # below the first edge
        (0, 0, 0 + 2),  # an edge belongs to the cell above it
        (86, -87, 2),
        (87, -88, 4),  # one instance to spare
        (87, 87, 4 + 1),
    ],
)
def test_cells_by_hand(spare_capacity, change, cell):
    service = Service()
    grid = Discretisation(spare_capacities=(0, 1), changes=(1,))
    seen = observation_of(service, 20, 0, 20 * 87 - spare_capacity, change)
    assert grid.shape == (3, 2, 1) and grid.cells(seen, service).tolist() == [cell]


def test_level_cells_are_shares_of_the_peak():
    service, grid = Service(), Discretisation(spare_capacities=(), changes=(), levels=(0.5, 1.0))
    seen = [observation_of(service, 20, 0, arrivals, 0)[0] for arrivals in (2174, 2175, 4349, 4350)]
    assert grid.cells(np.array(seen), service).tolist() == [0, 1, 1, 2]


@every_service
def test_every_observation_has_a_cell(any_service):
    rng = np.random.default_rng(0)
    seen = rng.uniform(dynamics.OBSERVATION_LOW, dynamics.OBSERVATION_HIGH, (500, 7)).astype(np.float32)
    cells = LEVELLED.cells(seen, any_service)
    assert cells.min() >= 0 and cells.max() < np.prod(LEVELLED.shape)


def test_a_table_plays_the_best_action_of_the_cell():
    table = QTable.zeros(discretisation=Discretisation(spare_capacities=(0,), changes=()))
    table.values[:] = [[-3, -2, -1], [-1, -2, -3]]
    seen = np.vstack([observation_of(Service(), 20, 0, arrivals, 0) for arrivals in (20 * 87 + 1, 20 * 87 - 1)])
    assert table.predict(seen).tolist() == [2, 0]


@cases("shape", [(5, 3), (135, 2), (135,)])
def test_a_table_of_another_shape_is_refused(shape):
    with pytest.raises(ValueError, match=r"Q-table of shape .*: must be \(\d+, 3\), cells by actions"):
        QTable(np.zeros(shape))


@cases("value", [np.nan, np.inf])
def test_a_table_with_values_that_are_not_finite_is_refused(value):
    values = QTable.zeros().values
    values[0, 0] = value
    with pytest.raises(ValueError, match="finite"):
        QTable(values)


def test_exploration_falls_and_then_stays():
    preset = QLearningPreset(first_epsilon=0.4, last_epsilon=0.1, epsilon_days=0.5)
    assert preset.epsilon(8) == pytest.approx([0.4, 0.325, 0.25, 0.175, 0.1, 0.1, 0.1, 0.1])
