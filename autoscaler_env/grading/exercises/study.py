"""The code exercises of notebook 9: estimates over trainings."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.evaluation.statistics import interquartile_mean
from autoscaler_env.grading.judging import equals, judge_function

CASES = 20
"""Hidden inputs of each exercise."""

Array = NDArray[np.float64]


def share_of_pairs(ours: Array, theirs: Array) -> float:
    """Return the share of all pairs of trainings in which ours is cheaper; a tie counts half.

    Args:
        ours: The cost of each training of one learner, $ a day.
        theirs: The cost of each training of another, $ a day; their number may differ.
    """
    difference = theirs - ours[:, np.newaxis]
    return float(((difference > 0) + 0.5 * (difference == 0)).mean())


def check_interquartile_mean(answer: Any) -> str:
    """Return whether a function computes the mean of the middle half.

    Args:
        answer: Anything; asked for is a function of an array of costs, in any order.
    """
    rng = np.random.default_rng(91)
    cases = [(rng.lognormal(5, 0.2, int(n)).round(2),) for n in rng.integers(3, 25, CASES)]
    hints = (
        "which trainings are left out? They do not come in the order of their costs",
        "how many are a quarter of ten, rounded down? So many are left out at each end",
    )
    return judge_function(answer, cases, equals(interquartile_mean), *hints)


def check_share_of_pairs(answer: Any) -> str:
    """Return whether a function computes how often a training of one learner is cheaper than one of another.

    Args:
        answer: Anything; asked for is a function of two arrays of costs, as `share_of_pairs`.
    """
    rng = np.random.default_rng(92)
    cases = [
        (rng.integers(140, 150, n).astype(float), rng.integers(141, 153, m).astype(float))
        for n, m in rng.integers(3, 12, (CASES, 2))
    ]
    hints = (
        "seed 0 of one learner has nothing to do with seed 0 of the other: how many pairs are there?",
        "compare each of ours with each of theirs; what does a pair of equal costs count?",
    )
    ties = "only pairs of equal costs are wrong: what does such a pair count?"
    faults = [
        (lambda ours, theirs: share_of_pairs(theirs, ours), "this is the share of pairs in which theirs is cheaper"),
        (_without_ties, ties),
        (lambda ours, theirs: 1 - _without_ties(theirs, ours), ties),
    ]
    return judge_function(answer, cases, equals(share_of_pairs, *faults), *hints)


def _without_ties(ours: Array, theirs: Array) -> float:
    """Return the share of pairs in which ours is cheaper; a tie counts nothing."""
    return float((theirs > ours[:, np.newaxis]).mean())
