"""The exercises of notebook 12: a step backwards under chance, the exact gradient, and where exact advantages exist."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.grading.judging import equals, judge_function, judge_names

CASES = 20
"""Hidden inputs of each exercise."""

Array = NDArray[np.float64]


def cheapest_before(chances: Array, outcomes: Array) -> Array:
    """Return the lowest expected cost before the arrivals are known, by the arrivals of the step before.

    Args:
        chances: Probabilities of the next arrivals, shape (last, next).
        outcomes: What an action costs in all if these arrivals come, shape (actions, next).
    """
    return (chances @ outcomes.T).min(axis=1)


def knows_before(chances: Array, outcomes: Array) -> Array:
    """Return what the clairvoyant expects: it sees the arrivals, and then chooses."""
    return chances @ outcomes.min(axis=0)


def exact_gradient(preferences: Array, costs: Array) -> Array:
    """Return the derivative of the expected cost of a softmax policy by its preferences."""
    probabilities = np.exp(preferences - preferences.max())
    probabilities /= probabilities.sum()
    return probabilities * (costs - probabilities @ costs)


def uniform_baseline(preferences: Array, costs: Array) -> Array:
    """Return probability times label: it lacks that more of one action is less of the others."""
    probabilities = np.exp(preferences) / np.exp(preferences).sum()
    return probabilities * (costs - costs.mean())


def check_cheapest_before(answer: Any) -> str:
    """Return whether a function makes one step of backward induction with chances."""
    rng = np.random.default_rng(121)
    cases = []
    for _ in range(CASES):
        last, after, actions = rng.integers(2, 6, 3)
        chances = rng.random((last, after))
        cases.append((chances / chances.sum(axis=1, keepdims=True), rng.uniform(0, 9, (actions, after))))
    hints = (
        "which comes first, the action or the arrivals? And what is the expected cost of one action?",
        "the mean over the next arrivals belongs inside: first the mean for each action, then the smallest",
    )
    faults = [(knows_before, "you choose after you have seen the arrivals; who can do that?")]
    return judge_function(answer, cases, equals(cheapest_before, *faults), *hints)


def check_exact_gradient(answer: Any) -> str:
    """Return whether a function computes the gradient of the expected cost of a softmax policy."""
    rng = np.random.default_rng(122)
    cases = [(rng.normal(size=n), rng.uniform(0, 200, n)) for n in rng.integers(2, 6, size=CASES)]
    hints = (
        "the expected cost is the sum of probability times cost; how does it change with one preference?",
        "when one preference grows, the other probabilities fall: compare the action with what the policy costs",
    )
    faults = [(uniform_baseline, "which mean makes the sum of the gradient 0: that of the actions, or of the policy?")]
    return judge_function(answer, cases, equals(exact_gradient, *faults), *hints)


def check_exogenous(answer: Any) -> str:
    """Return whether the letters are those of the problems whose inputs do not react to actions."""
    hints = (
        "in which of them would the recorded data be the same if another action had been taken?",
        "ask of each: who answers the action, a price and a demand of the market, or an opponent, a visitor, a client?",
    )
    return judge_names(answer, ("a", "d"), *hints)
