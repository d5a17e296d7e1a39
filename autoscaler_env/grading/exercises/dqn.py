"""The code exercises of notebook 4: what each function must return on hidden inputs.

Everything is numpy: batches of transitions have one row each, and an action is the index of a column.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.grading.judging import call, equals, judge_function, miss, shape_fault

CASES = 20
"""Hidden inputs of each exercise."""

Array = NDArray[np.float64]


def td_target(reward: Array, next_values: Array, terminated: Array, truncated: Array, discount: float) -> Array:
    """Return DQN's target of each row: a true end stops the sum, the clock does not."""
    target: Array = reward + discount * (1 - terminated) * next_values.max(axis=1)
    return target


def double_target(reward: Array, next_values: Array, next_target_values: Array, discount: float) -> Array:
    """Return double DQN's target of each row: the network chooses, the target network says what it is worth."""
    rows = np.arange(len(reward))
    target: Array = reward + discount * next_target_values[rows, next_values.argmax(axis=1)]
    return target


def epsilon_at(turn: int, turns: int, first: float, last: float, share: float) -> float:
    """Return epsilon at a turn: a straight line over the first share of the turns, then constant."""
    return first + min(turn / (share * turns), 1.0) * (last - first)


def refresh(weights: Array, target_weights: Array, update: int, interval: int) -> Array:
    """Return the target network's weights before an update: a copy of the network's if the update is due."""
    return weights.copy() if update % interval == 0 else target_weights


def check_td_target(answer: Any) -> str:
    """Return whether a function computes DQN's target."""
    rng = np.random.default_rng(41)
    cases = []
    for _ in range(CASES):
        end = rng.integers(3, size=32)  # 0: the day goes on
        terminated, truncated = (end == 1).astype(float), (end == 2).astype(float)
        discount = float(rng.uniform(0.8, 1))
        cases.append((rng.normal(size=32), rng.normal(size=(32, 3)), terminated, truncated, discount))
    hints = (
        "which of the two ends means that nothing follows? Each row has a best next value of its own",
        "one of the two flags takes the discounted value away, row by row; the other is not used",
    )
    return judge_function(answer, cases, equals(td_target), *hints)


def check_double_target(answer: Any) -> str:
    """Return whether a function computes double DQN's target."""
    rng = np.random.default_rng(42)
    cases = [
        (rng.normal(size=32), rng.normal(size=(32, 3)), rng.normal(size=(32, 3)), float(rng.uniform(0.8, 1)))
        for _ in range(CASES)
    ]
    hints = (
        "one network chooses the column, the other fills it",
        "find the best column of each row in next_values; then take this entry of the same row of the other array",
    )
    return judge_function(answer, cases, equals(double_target), *hints)


def check_epsilon(answer: Any) -> str:
    """Return whether a function computes the schedule of epsilon."""
    rng = np.random.default_rng(43)
    cases = []
    for _ in range(CASES):
        turns, first, last = int(rng.integers(50, 500)), *rng.uniform([0.5, 0], [1, 0.2])
        cases.append((int(rng.integers(turns)), turns, float(first), float(last), float(rng.uniform(0.2, 0.6))))
    hints = (
        "try turn 0, the end of the fall, and the last turn",
        "which share of the fall is behind us, at most 1? It moves epsilon from first toward last",
    )
    return judge_function(answer, cases, equals(epsilon_at), *hints)


def check_refresh(answer: Any) -> str:
    """Return whether a function keeps the target network's weights as it should over a training.

    The weights are changed in place after each call, as an optimizer changes them: weights that are returned and not
    copied change with them.
    """
    for interval in (1, 3, 7):
        weights, kept, wanted = np.zeros(4), np.full(4, 9.0), np.full(4, 9.0)
        for update, change in enumerate(np.random.default_rng(interval).normal(size=(CASES, 4))):
            wanted = refresh(weights, wanted, update, interval)
            value, problem = call(answer, weights, kept, update, interval)
            if value is None:
                return problem
            if value.shape != wanted.shape:
                return f"not yet: {shape_fault(value, wanted.shape)}"
            if not np.allclose(value, wanted):
                hints = (
                    "the first update has number 0; between two refreshes the target network stays as it is",
                    "an update is due where the remainder of its number, divided by the interval, is zero",
                )
                return miss(answer, *hints)
            kept = value
            weights += change
            if not np.allclose(kept, wanted):
                hints = (
                    "the optimizer changes the array in place after your call: what happens to an array you returned?",
                    "the target network's weights change with the network's: they must not be the same array",
                )
                return miss(answer, *hints)
    return "right"


def check_sample(answer: Any) -> str:
    """Return whether a function draws rows of a buffer that are filled, each as likely."""
    rng = np.random.default_rng(44)
    cases = [(added, 50, 2_000, np.random.default_rng(int(rng.integers(1_000)))) for added in (1, 7, 49, 50, 51, 400)]

    def accepts(case: tuple[Any, ...], value: Array) -> bool | str:
        added, size, n, _ = case
        filled = min(added, size)
        if value.shape != (n,):
            return shape_fault(value, (n,))
        if (value != np.floor(value)).any() or value.min() < 0 or value.max() >= filled:
            return False
        counts = np.bincount(value.astype(int), minlength=filled)
        return bool(np.abs(counts - n / filled).max() < 6 * (n / filled) ** 0.5 + 1)

    hints = (
        "how many rows are filled, before the buffer is full and after? Every one of them must be as likely",
        "the filled rows are the first ones; their number grows with every row added, up to the size of the buffer",
    )
    return judge_function(answer, cases, accepts, *hints)
