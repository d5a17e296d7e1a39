"""The code exercises of notebook 3: what each function must return on hidden inputs.

Everything is numpy: a table of values has a row for each cell and a column for each action.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.grading.judging import equals, judge_function, shape_fault

CASES = 20
"""Hidden inputs of each exercise."""

ROWS = 3_000
"""Rows of values in each case of epsilon-greedy."""

Array = NDArray[np.float64]


def q_update(
    values: Array, cell: int, action: int, reward: float, following: int, rate: float, discount: float
) -> Array:
    """Return the table after one update: one entry moves toward its target by a share of the TD error."""
    target = reward + discount * values[following].max()
    values[cell, action] += rate * (target - values[cell, action])
    return values


def sarsa_target(reward: float, next_values: Array, next_action: int, discount: float) -> float:
    """Return the target of SARSA, which is on-policy: the next action is the one that will be taken."""
    return float(reward + discount * next_values[next_action])


def cell_of(spare: float, change: float, spare_edges: Array, change_edges: Array) -> int:
    """Return the row of the table: n edges make n + 1 cells, and a value at an edge belongs to the cell above."""
    along_spare = np.searchsorted(spare_edges, spare, side="right")
    along_change = np.searchsorted(change_edges, change, side="right")
    return int(along_spare * (len(change_edges) + 1) + along_change)


def check_q_update(answer: Any) -> str:
    """Return whether a function makes one update of Q-learning, and changes nothing else."""
    rng = np.random.default_rng(31)
    cases = []
    for _ in range(CASES):
        (cell, following), action = rng.integers(5, size=2).tolist(), int(rng.integers(3))
        rate, discount = rng.uniform([0.05, 0.5], [1, 1]).tolist()
        cases.append((rng.normal(size=(5, 3)), cell, action, float(rng.normal()), following, rate, discount))
    hints = (
        "first the target, then the TD error, then a share of the error; only one entry of the table changes",
        "the target needs the largest entry of one row: the row of the state that follows",
    )
    return judge_function(answer, cases, equals(q_update), *hints)


def check_epsilon_greedy(answer: Any) -> str:
    """Return whether a function explores with probability epsilon, each service for itself."""
    rng = np.random.default_rng(32)
    cases = [
        (rng.normal(size=(ROWS, 3)), epsilon, np.random.default_rng(int(rng.integers(1_000))))
        for epsilon in (0.0, 0.3, 1.0)
    ]

    def accepts(case: tuple[Any, ...], value: Array) -> bool | str:
        values, epsilon, _ = case
        if value.shape != (ROWS,):
            return shape_fault(value, (ROWS,))
        if not np.isin(value, (0, 1, 2)).all():
            return False
        if epsilon == 0:
            return np.array_equal(value, values.argmax(axis=1))
        from_best = (value.astype(int) - values.argmax(axis=1)) % 3  # 0 is the best action, 1 and 2 the others
        shares = np.bincount(from_best, minlength=3) / ROWS - [1 - 2 * epsilon / 3, epsilon / 3, epsilon / 3]
        each = np.bincount(value.astype(int), minlength=3) / ROWS - 1 / 3  # the best ones are random here
        return bool(max(np.abs(shares).max(), np.abs(each).max()) < 0.05)

    hints = (
        "each row decides for itself whether it explores; a random action may be the best one by chance",
        "draw one number from 0 to 1 for each row: for which share of the rows is it below epsilon?",
    )
    return judge_function(answer, cases, accepts, *hints)


def check_sarsa_target(answer: Any) -> str:
    """Return whether a function computes the target of SARSA."""
    rng = np.random.default_rng(33)
    cases = [
        (float(rng.normal()), rng.normal(size=3), int(rng.integers(3)), float(rng.uniform(0.5, 1)))
        for _ in range(CASES)
    ]
    hints = (
        "on-policy: which action will really be taken in the next state?",
        "where Q-learning takes the largest of the next values, SARSA takes one at a known place",
    )
    return judge_function(answer, cases, equals(sarsa_target), *hints)


def check_cell(answer: Any) -> str:
    """Return whether a function finds the row of the table for a spare capacity and a change."""
    rng = np.random.default_rng(34)
    cases = []
    for number in range(CASES):
        spare_edges = np.sort(rng.choice(np.arange(-9, 10), int(rng.integers(2, 7)), replace=False)).astype(float)
        change_edges = np.sort(rng.choice(np.arange(-5, 6), int(rng.integers(1, 5)), replace=False)).astype(float)
        spare, change = rng.uniform(-12, 12), rng.uniform(-7, 7)
        if number % 3 == 0:  # at an edge
            spare, change = rng.choice(spare_edges), rng.choice(change_edges)
        cases.append((float(spare), float(change), spare_edges, change_edges))
    hints = (
        "count the edges that are not above the value, for each quantity; then number the cells row by row",
        "n edges make n + 1 cells: how many rows of the table lie between two neighbours in spare capacity?",
    )
    return judge_function(answer, cases, equals(cell_of), *hints)
