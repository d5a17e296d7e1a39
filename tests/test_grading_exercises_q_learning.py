"""Which functions the code exercises of notebook 3 accept."""

import numpy as np
import pytest
import torch
from grader import graded

from autoscaler_env.grading.exercises import q_learning
from autoscaler_env.grading.judging import forget_misses


def update(change):
    """Return a function that changes one entry of a table by some rule."""

    def q_update(values, cell, action, reward, following, rate, discount):
        values[cell, action] = change(values, cell, action, reward, following, rate, discount)
        return values

    return q_update


def explore_together(values, epsilon, rng):
    if rng.random() < epsilon:
        return rng.integers(3, size=len(values))
    return values.argmax(axis=1)


def explore_apart(values, epsilon, rng):
    random = rng.random(len(values)) < epsilon
    return np.where(random, rng.integers(3, size=len(values)), values.argmax(axis=1))


CHECKS = [
    (
        q_learning.check_q_update,
        update(lambda v, s, a, r, s2, rate, g: (1 - rate) * v[s, a] + rate * (r + g * max(v[s2]))),
        [
            update(lambda v, s, a, r, s2, rate, g: v[s, a] + rate * (r + g * v[s2, a] - v[s, a])),
            update(lambda v, s, a, r, s2, rate, g: v[s, a] + rate * (r + g * v.max() - v[s, a])),
            update(lambda v, s, a, r, s2, rate, g: rate * (r + g * v[s2].max() - v[s, a])),
            update(lambda v, s, a, r, s2, rate, g: v[s, a] + rate * (r + v[s2].max() - v[s, a])),
            lambda v, s, a, r, s2, rate, g: v[s, a] + rate * (r + g * v[s2].max() - v[s, a]),
        ],
    ),
    (
        q_learning.check_epsilon_greedy,
        explore_apart,
        [
            explore_together,
            lambda v, e, rng: v.argmax(axis=1),
            lambda v, e, rng: explore_apart(v, 1 - e, rng),
            lambda v, e, rng: np.where(rng.random(len(v)) < e, rng.integers(2, size=len(v)), v.argmax(axis=1)),
            lambda v, e, rng: np.where(rng.random(len(v)) < e, (v.argmax(axis=1) + 1) % 3, v.argmax(axis=1)),
        ],
    ),
    (
        q_learning.check_sarsa_target,
        lambda r, v, a, g: torch.tensor(r + g * v[a]),
        [lambda r, v, a, g: r + g * v.max(), lambda r, v, a, g: r + v[a], lambda r, v, a, g: g * (r + v[a])],
    ),
    (
        q_learning.check_cell,
        lambda s, c, ss, cc: np.digitize(s, ss) * (len(cc) + 1) + np.digitize(c, cc),
        [
            lambda s, c, ss, cc: np.searchsorted(ss, s) * (len(cc) + 1) + np.searchsorted(cc, c),
            lambda s, c, ss, cc: np.digitize(s, ss) * len(cc) + np.digitize(c, cc),
            lambda s, c, ss, cc: np.digitize(c, cc) * (len(ss) + 1) + np.digitize(s, ss),
        ],
    ),
]


@pytest.mark.parametrize(("check", "right", "wrong"), CHECKS, ids=lambda item: getattr(item, "__name__", None))
def test_an_exercise_accepts_the_right_function_and_no_plausible_wrong_one(check, right, wrong):
    for judge in (check, lambda answer: graded(check, answer)):
        assert judge(right) == "right"
        assert [judge(answer)[:7] for answer in wrong] == ["not yet"] * len(wrong)
        assert judge(5) == "a function, please: its name, without brackets or quotes"


@pytest.mark.parametrize(("check", "right", "wrong"), CHECKS, ids=lambda item: getattr(item, "__name__", None))
def test_a_second_miss_gets_the_second_hint(check, right, wrong):
    forget_misses()
    first, second, again = (check(answer) for answer in (wrong[0], wrong[1], wrong[0]))
    assert first == again != second and first.startswith("not yet: ") and second.startswith("not yet: ")


def test_references_are_those_of_hand_worked_cases():
    table = q_learning.q_update(np.array([[-1.2, 0.0], [-1.0, -2.0]]), 0, 0, -0.5, 1, 0.5, 0.9)
    assert table.tolist() == [[pytest.approx(-1.3), 0.0], [-1.0, -2.0]]
    assert q_learning.sarsa_target(-1.0, np.array([4.0, 2.0, 6.0]), 1, 0.5) == 0.0
    # Three cells of spare capacity (below 0, 0 to 2, from 2) with two cells of change each: 2 is at an edge.
    cells = [
        q_learning.cell_of(spare, change, np.array([0.0, 2.0]), np.array([1.0])) for spare, change in ((2, 1), (-1, 0))
    ]
    assert cells == [5, 0]
