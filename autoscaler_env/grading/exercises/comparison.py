"""The code exercises of notebook 6: backward induction, and the interval of a paired difference."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.evaluation.statistics import mean_interval
from autoscaler_env.grading.judging import equals, judge_function

CASES = 20
"""Hidden inputs of each exercise."""

Array = NDArray[np.float64]


def least_cost(cost: Array, following: NDArray[np.int64], start: int) -> float:
    """Return the least that a day costs, by backward induction.

    Args:
        cost: What action a costs in state s at step t, shape (steps, states, actions), in dollars.
        following: The state that action a leads to from state s, shape (states, actions).
        start: The state at the beginning of the day.
    """
    rest = np.zeros(len(following))
    for step in reversed(cost):
        rest = (step + rest[following]).min(axis=1)
    return float(rest[start])


def paired_interval(ours: Array, theirs: Array) -> Array:
    """Return both ends of Student's 95 % interval of the mean of `ours` minus `theirs`, a pair for each day."""
    return np.array(mean_interval(ours - theirs, independent=True)[2:])


def check_least_cost(answer: Any) -> str:
    """Return whether a function finds the least cost of a day in a small problem."""
    rng = np.random.default_rng(61)
    cases = []
    for _ in range(CASES):
        steps, states, actions = rng.integers([2, 3, 2], [8, 7, 4])
        cost = rng.integers(0, 50, (steps, states, actions)).astype(float)
        cases.append((cost, rng.integers(states, size=(states, actions)), int(rng.integers(states))))
    hints = (
        "begin after the last step, where nothing is left to pay; what is the least one step earlier?",
        "the cheapest action now may lead to a dear state: add what is still to be paid from the next state",
    )
    return judge_function(answer, cases, equals(least_cost), *hints)


def check_paired_interval(answer: Any) -> str:
    """Return whether a function computes Student's interval of paired differences."""
    rng = np.random.default_rng(62)
    cases = []
    for _ in range(CASES):
        dear = rng.normal(150, 30, int(rng.integers(3, 30)))  # a dear day is dear for both
        cases.append((dear + rng.normal(0, 3, len(dear)), dear + rng.normal(1, 3, len(dear))))
    hints = (
        "first the difference of each day; then one mean and one standard deviation, those of the differences",
        "divide by n - 1 in the standard deviation; take Student's factor for n - 1, and the root of n",
    )
    faults = [
        (lambda ours, theirs: paired_interval(theirs, ours), "wanted is ours minus theirs, not theirs minus ours"),
        (lambda ours, theirs: paired_interval(ours, theirs)[::-1], "the lower end comes first"),
    ]
    return judge_function(answer, cases, equals(paired_interval, *faults), *hints)
