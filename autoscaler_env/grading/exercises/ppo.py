"""The code exercises of notebook 5: what each function must return on hidden inputs.

Everything is numpy. A rollout has shape (steps, services), a batch has one entry or row for each step.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.grading.judging import equals, judge_function, shape_fault

CASES = 20
"""Hidden inputs of each exercise."""

Array = NDArray[np.float64]


def reinforce_step(preference: Array, arm: int, advantage: float, rate: float) -> Array:
    """Return the preferences after one step along the gradient of the arm's log-probability, times its advantage."""
    probability = np.exp(preference - preference.max())
    probability /= probability.sum()
    return preference + rate * advantage * (np.eye(len(preference))[arm] - probability)


def advantages(
    reward: Array, value: Array, ended: Array, last_value: Array, discount: float, gae_lambda: float
) -> Array:
    """Return the generalised advantage estimate of every step; nothing is carried over the end of a day."""
    result, following_value, following = np.zeros_like(reward), last_value, np.zeros_like(last_value)
    for t in reversed(range(len(reward))):
        goes_on = 1 - ended[t]
        td_error = reward[t] + discount * goes_on * following_value - value[t]
        following = result[t] = td_error + discount * gae_lambda * goes_on * following
        following_value = value[t]
    return result


def clipped_loss(ratio: Array, advantage: Array, clip_range: float) -> float:
    """Return minus the mean of the smaller of the plain and the clipped objective."""
    clipped = np.clip(ratio, 1 - clip_range, 1 + clip_range)
    return float(-np.minimum(ratio * advantage, clipped * advantage).mean())


def entropy(logits: Array) -> float:
    """Return the mean entropy of the policies whose logits are the rows."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probability = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return float(-(np.exp(log_probability) * log_probability).sum(axis=1).mean())


def is_flat(ratio: Array, advantage: Array, clip_range: float) -> Array:
    """Return 1 for each step whose clipped objective has no gradient, else 0."""
    too_likely = (advantage > 0) & (ratio > 1 + clip_range)
    too_rare = (advantage < 0) & (ratio < 1 - clip_range)
    return (too_likely | too_rare).astype(float)


def check_reinforce(answer: Any) -> str:
    """Return whether a function makes one step of REINFORCE."""
    rng = np.random.default_rng(51)
    cases = [
        (rng.normal(size=n), int(rng.integers(n)), float(rng.normal()), float(rng.uniform(0.01, 0.5)))
        for n in rng.integers(2, 6, size=CASES)
    ]
    hints = (
        "what happens to the arms that were not pulled?",
        "the gradient of the log-probability is 1 at the pulled arm and 0 elsewhere, minus all the probabilities",
    )
    return judge_function(answer, cases, equals(reinforce_step), *hints)


def check_gae(answer: Any) -> str:
    """Return whether a function computes the generalised advantage estimate."""
    rng = np.random.default_rng(52)
    cases = []
    for _ in range(CASES):
        reward, value = rng.normal(size=(2, 30, 4))
        ended = (rng.random((30, 4)) < 0.1).astype(float)
        cases.append((reward, value, ended, rng.normal(size=4), float(rng.uniform(0.9, 1)), float(rng.uniform(0, 1))))
    hints = (
        "an end cuts the value and the advantage that follow it",
        "go from the last step to the first; the first value that follows is last_value, the first advantage is 0",
    )
    return judge_function(answer, cases, equals(advantages), *hints)


def check_clipped_loss(answer: Any) -> str:
    """Return whether a function computes PPO's clipped loss."""
    hints = (
        "choose the smaller in each row, then take the mean; and mind the sign",
        "compute ratio x advantage twice, with the ratio and with the clipped ratio; a loss is made small",
    )
    return judge_function(answer, _ratios(53), equals(clipped_loss), *hints)


def check_entropy(answer: Any) -> str:
    """Return whether a function computes the mean entropy, for policies that are certain too."""
    rng = np.random.default_rng(54)
    cases = [(rng.normal(size=(16, 3)) * (1_000 if number % 2 else 1),) for number in range(CASES)]
    hints = (
        "the probabilities of a row add up to 1; neither log 0 nor exp of a thousand may appear",
        "subtract the largest logit of each row first; the log of the softmax needs no division",
    )
    return judge_function(answer, cases, equals(entropy), *hints)


def check_minibatches(answer: Any) -> str:
    """Return whether a function puts each row into one minibatch, shuffled."""
    rng = np.random.default_rng(55)
    cases = []
    for _ in range(CASES):
        size = int(rng.integers(2, 20))
        cases.append((size * int(rng.integers(3, 12)), size, np.random.default_rng(int(rng.integers(1_000)))))

    def accepts(case: tuple[Any, ...], value: Array) -> bool | str:
        n, size, _ = case
        rows = value.ravel()
        once = np.array_equal(np.sort(rows), np.arange(n))
        return shape_fault(value, (n // size, size)) or (once and not np.array_equal(rows, np.arange(n)))

    hints = (
        "each row stands in one minibatch, once; is the order random?",
        "shuffle the numbers 0 to n - 1 as a whole, then change only their shape",
    )
    return judge_function(answer, cases, accepts, *hints)


def check_flat(answer: Any) -> str:
    """Return whether a function finds the steps whose objective is flat."""
    hints = (
        "which sign of the advantage belongs to which side of the range?",
        "there are two cases: a good action that is already probable enough, and a bad one that is rare enough",
    )
    return judge_function(answer, _ratios(56), equals(is_flat), *hints)


def _ratios(seed: int) -> list[tuple[Array, Array, float]]:
    """Return batches of ratios on both sides of the clip range, with advantages of both signs."""
    rng = np.random.default_rng(seed)
    return [(rng.uniform(0.4, 2, 64), rng.normal(size=64), float(rng.uniform(0.1, 0.3))) for _ in range(CASES)]
