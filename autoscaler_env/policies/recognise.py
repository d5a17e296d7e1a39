"""Recognise, then act: guess the pattern of the day from its arrivals so far, and play the rule calibrated for it.

No reinforcement learning: a small classifier learns from days whose pattern is known, without any service, and the
rules are calibrated as always. So it is the bar for a learner on `MIXED`: a learner that cannot pass it has found
nothing that recognition and calibration do not find in a few seconds.

The classifier is trained where it is needed, and kept for the process. A training takes seconds and depends on the
service and the seed only, so there is no file that could be missing, out of date, or from a stranger.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.policies.base import RECOGNISE as RECOGNISE
from autoscaler_env.policies.base import Policy
from autoscaler_env.policies.inputs import INPUTS_WITH_LEVELS, Inputs, observed_arrivals
from autoscaler_env.service import Service
from autoscaler_env.threads import one_blas_thread, one_thread
from autoscaler_env.traffic.patterns import PATTERNS, Pattern, random_training_seeds

DAYS = 1_500
"""Training days of the classifier, equally many of each pattern."""

WIDTH = 64
"""Units of each of the two hidden layers."""

_EPOCHS, _BATCH, _RATE = 6, 512, 3e-3
_FIRST = 5  # the inputs before this one describe fleet and queue; the others describe arrivals


class Recogniser(NamedTuple):
    """A network of two hidden layers, from what is remembered of the arrivals to a number for each pattern."""

    weights: tuple[NDArray[np.float32], ...]
    """One matrix for each layer, shape (inputs, outputs)."""
    biases: tuple[NDArray[np.float32], ...]
    """One row for each layer, shape (outputs,)."""

    def chances(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return how likely each of `PATTERNS` is, shape (n, 6), from the inputs of deep learners with levels."""
        return self.chances_of(np.ascontiguousarray(inputs[:, _FIRST:]))

    @one_blas_thread
    def chances_of(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return how likely each of `PATTERNS` is, shape (n, 6), from what the network was trained on, shape (n, k)."""
        for weights, biases in zip(self.weights[:-1], self.biases[:-1], strict=True):
            x = np.maximum(x @ weights + biases, 0)
        x = x @ self.weights[-1] + self.biases[-1]
        likelihoods = np.exp(x - x.max(axis=1, keepdims=True))
        chances: NDArray[np.float32] = likelihoods / likelihoods.sum(axis=1, keepdims=True)
        return chances

    def state(self) -> list[list[NDArray[np.float32]]]:
        """Return weights and biases as lists, for `from_state`."""
        return [list(self.weights), list(self.biases)]

    @classmethod
    def from_state(cls, state: list[list[NDArray[np.float32]]]) -> Recogniser:
        """Return the recogniser of which `state` returned the weights and biases."""
        weights, biases = state
        return cls(tuple(weights), tuple(biases))


class Recognise:
    r"""Play, in every step, the rule of the likeliest pattern.

    A classifier reads the arrivals since midnight and says how likely each pattern is. The rule that was calibrated for
    the likeliest one chooses the action.

    Args:
        service: The service to scale.
        recogniser: What `train_recogniser` returns.
        rules: A rule for each of `PATTERNS`. All of them watch the whole day, so that one with a memory has it.

    Equation:
        a_t = \pi_{\hat p}(o_t), \qquad \hat p = \arg\max_p P(p \mid o_1, \dots, o_t)

    Source:
        Ours: a classifier and calibrated rules, as a bar for learners that do not know the pattern.
    """

    name = RECOGNISE

    def __init__(self, service: Service, recogniser: Recogniser, rules: Mapping[str, Policy]) -> None:
        self.service = service
        self._recogniser = recogniser
        self._rules = [rules[pattern] for pattern in PATTERNS]
        self._inputs = Inputs(service, levels=True)

    def reset(self, days: NDArray[np.int64]) -> None:
        """Clear the memory."""
        self._inputs.start()
        for rule in self._rules:
            rule.reset(days)

    def predict(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the actions of the likeliest patterns' rules, shape (n,)."""
        likeliest = self._recogniser.chances(self._inputs(observations)).argmax(axis=1)
        actions = np.stack([rule.predict(observations) for rule in self._rules])
        return actions[likeliest, np.arange(len(likeliest))]


def days_of_patterns(service: Service, days: int, seed: int) -> NDArray[np.int64]:
    """Draw training days to learn patterns from, as many of one pattern as of another, in the order of `PATTERNS`.

    Args:
        service: Gives the scale of the patterns.
        days: Days in all, rounded down; at least 6.
        seed: Seeds the choice of days.

    Raises:
        ValueError: There are too few days.
    """
    if days < len(PATTERNS):
        raise ValueError(f"days = {days}: must be at least {len(PATTERNS)}, one of each pattern")
    rng, each = np.random.default_rng(seed), days // len(PATTERNS)
    return np.concatenate([Pattern(name, service).draw(random_training_seeds(rng, each)) for name in PATTERNS])


def labelled_days(service: Service, days: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return what a recogniser sees in each step of some training days, and their patterns.

    Args:
        service: Gives the scale of the arrivals.
        days: As for `days_of_patterns`.
        seed: As for `days_of_patterns`.

    Returns:
        Inputs of deep learners with levels, float32 of shape (steps x n, inputs), where those that describe fleet and
        queue mean nothing; and indices into `PATTERNS`, shape (steps x n,).
    """
    arrivals = days_of_patterns(service, days, seed)
    inputs = Inputs(service, levels=True)
    looked_at = np.stack([inputs(seen) for seen in observed_arrivals(service, arrivals)])
    labels = np.tile(np.repeat(np.arange(len(PATTERNS)), len(arrivals) // len(PATTERNS)), len(looked_at))
    return looked_at.reshape(-1, INPUTS_WITH_LEVELS), labels


@functools.cache
def train_recogniser(service: Service, seed: int = 0, days: int = DAYS) -> Recogniser:
    """Train a classifier of patterns on training days: seconds on one core. Equal seeds give equal weights.

    Args:
        service: Gives the scale of the patterns.
        seed: Seeds the days, the first weights and the order of the steps.
        days: Training days, at least 6.

    Raises:
        ValueError: There are too few days.
    """
    inputs, labels = labelled_days(service, days, seed)
    return fit_recogniser(np.ascontiguousarray(inputs[:, _FIRST:]), labels, seed)


def fit_recogniser(inputs: NDArray[np.float32], labels: NDArray[np.int64], seed: int) -> Recogniser:
    """Train a classifier of patterns on steps whose pattern is known.

    Args:
        inputs: What is known in each step, shape (n, k).
        labels: Indices into `PATTERNS`, shape (n,).
        seed: Seeds the first weights and the order of the steps.
    """
    import torch  # here: rules need none

    one_thread()
    x, y = torch.from_numpy(inputs), torch.from_numpy(labels)
    generator = torch.Generator().manual_seed(seed)
    sizes = (x.shape[1], WIDTH, WIDTH, len(PATTERNS))
    parameters = []
    for before, after in pairwise(sizes):
        parameters.append(torch.randn((before, after), generator=generator) * (2.0 / before) ** 0.5)
        parameters.append(torch.zeros(after))
    for parameter in parameters:
        parameter.requires_grad_()
    optimiser = torch.optim.Adam(parameters, _RATE)
    batches = -(-len(y) // _BATCH)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda done: 1.0 - done / (_EPOCHS * batches))
    for _ in range(_EPOCHS):
        for chosen in torch.randperm(len(y), generator=generator).split(_BATCH):
            hidden = x[chosen]
            for layer in range(0, len(parameters) - 2, 2):
                hidden = torch.relu(hidden @ parameters[layer] + parameters[layer + 1])
            loss = torch.nn.functional.cross_entropy(hidden @ parameters[-2] + parameters[-1], y[chosen])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
    arrays = [parameter.detach().numpy().copy() for parameter in parameters]
    return Recogniser(tuple(arrays[::2]), tuple(arrays[1::2]))
