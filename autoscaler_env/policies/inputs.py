"""The inputs of the deep learners: the observation at useful resolutions, and a memory of past steps.

The environment's observation describes one step, and each entry is linear in a count. A small network learns faster
when the decisive quantities have a useful resolution, and it can anticipate only what it remembers. All inputs are
computed from observations, as an operator sees them; nothing here knows the pattern or the future.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.compiled import compiled
from autoscaler_env.dynamics import OBSERVATION_NAMES
from autoscaler_env.service import Service

AVERAGES = (2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
"""Time constants of the moving averages in the memory, in steps."""

_ARRIVALS, _CHANGE = OBSERVATION_NAMES.index("arrivals"), OBSERVATION_NAMES.index("change")
_RECENT = 4
_LEVELS = 25
_FARTHEST = 6.0  # distance in bumps beyond which an input is 0; there it would be 1.5e-8
_SLOW = len(AVERAGES)
_SMOOTH = 3  # index of the average that defines the level: over 16 steps
MEMORY = _SLOW + 2 + 2 + _RECENT
"""Numbers that a service remembers: averages, two noise levels, lowest and highest arrivals, recent changes."""

INPUTS = 6 + _SLOW + 2 + 2 + _RECENT
"""Number of inputs for each service."""

INPUTS_WITH_LEVELS = INPUTS + _LEVELS
"""Number of inputs for each service, with those that describe the level."""


class Inputs:
    """Turn the observations of a batch of services, step after step, into the inputs of a network.

    Per service: spare capacity (at a coarse and a fine resolution), queue (logarithm), booting instances, ready
    instances, arrivals. Then, from the memory and in instances' worth of requests: arrivals minus their moving averages
    over 2 to 64 steps, how strongly they change lately and over the day, their minimum and maximum so far, their last
    four changes.

    With `levels`, also the position of the average over 16 steps between 0 and the peak, as 25 overlapping bumps
    (radial basis functions): a small network can then learn what follows a particular level. That takes more training.

    Args:
        service: The service to scale.
        levels: Whether to add the 25 inputs that describe the level.
    """

    def __init__(self, service: Service, levels: bool = False) -> None:
        self.count = INPUTS_WITH_LEVELS if levels else INPUTS
        """Number of inputs for each service."""
        self._memory: NDArray[np.float64] | None = None
        self._weights = 1.0 / np.array(AVERAGES)
        self._scales = input_scales(service)

    def start(self) -> None:
        """Clear the memory: the next observations are the first of a day."""
        self._memory = None

    def state(self) -> dict[str, Any]:
        """Return the memory, for `restore`."""
        return {"memory": None if self._memory is None else self._memory.copy()}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue with the memory that `state` returned."""
        self._memory = state["memory"]

    def __call__(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        """Add observations, shape (n, 7), to the memory; return the inputs, float32 of shape (n, count)."""
        n = len(observations)
        first = self._memory is None or len(self._memory) != n
        if first:
            self._memory = np.zeros((n, MEMORY))
        inputs = np.empty((n, self.count), dtype=np.float32)
        look(observations, first, self._scales, self._weights, self._memory, inputs)
        return inputs


def observed_arrivals(service: Service, days: NDArray[np.int64]) -> Iterator[NDArray[np.float32]]:
    """Yield what is observed of the arrivals before each step of some days; entries of fleet and queue are 0.

    Args:
        service: Gives the scale of the arrivals.
        days: Arrivals, shape (n, steps).

    Yields:
        Observations, shape (n, 7). The array is used again for the next step.
    """
    seen = np.zeros((len(days), len(OBSERVATION_NAMES)), dtype=np.float32)
    before = days[:, 0]  # the first observation shows the first step's arrivals
    for now in (before, *days.T[:-1]):
        seen[:, _ARRIVALS] = np.minimum(now / service.arrivals_scale, 1.0)
        seen[:, _CHANGE] = np.clip((now - before) / service.arrivals_scale, -1.0, 1.0)
        yield seen
        before = now


def input_scales(service: Service) -> NDArray[np.float64]:
    """Return the factor of each entry of an observation, and the peak, shape (8,).

    The factors lead to instances, to waiting requests, and to instances' worth of requests.
    """
    capacity = service.capacity_per_instance
    return np.array(
        [
            service.max_instances,
            service.max_instances,
            1.0,
            max(service.queue_limit, 1),
            service.arrivals_scale / capacity,
            service.arrivals_scale / capacity,
            service.spare_capacity_scale / capacity,
            service.peak_arrivals / capacity,
        ]
    )


@compiled
def look(observations, first, scales, weights, memory, inputs):
    """Update the memory with observations, and write the inputs; arrivals are in instances' worth of requests."""
    peak_fleet = scales[7]
    for i in range(inputs.shape[0]):
        ready = observations[i, 0] * scales[0]
        booting = observations[i, 1] * scales[1]
        queue = observations[i, 3] * scales[3]
        level = observations[i, 4] * scales[4]
        step = observations[i, 5] * scales[5]
        spare = observations[i, 6] * scales[6]
        past = memory[i]
        if first:
            past[:_SLOW] = level
            past[_SLOW + 2 : _SLOW + 4] = level
        else:
            for k in range(_SLOW):
                past[k] += weights[k] * (level - past[k])
            past[_SLOW] += 0.125 * (abs(step) - past[_SLOW])
            past[_SLOW + 1] += 0.02 * (abs(step) - past[_SLOW + 1])
            past[_SLOW + 2] = min(past[_SLOW + 2], level)
            past[_SLOW + 3] = max(past[_SLOW + 3], level)
            for k in range(MEMORY - 1, _SLOW + 4, -1):
                past[k] = past[k - 1]
            past[_SLOW + 4] = step

        inputs[i, 0] = min(max(spare / 10.0, -3.0), 3.0)
        inputs[i, 1] = math.tanh(spare / 2.0)
        inputs[i, 2] = math.log1p(queue) / 4.0
        inputs[i, 3] = booting
        inputs[i, 4] = ready / peak_fleet
        inputs[i, 5] = level / peak_fleet
        for k in range(_SLOW):
            inputs[i, 6 + k] = math.tanh((level - past[k]) / (1.0 + k))
        inputs[i, 6 + _SLOW] = math.log1p(4.0 * past[_SLOW])
        inputs[i, 7 + _SLOW] = math.log1p(4.0 * past[_SLOW + 1])
        inputs[i, 8 + _SLOW] = (level - past[_SLOW + 2]) / peak_fleet
        inputs[i, 9 + _SLOW] = (past[_SLOW + 3] - level) / peak_fleet
        for k in range(_RECENT):
            inputs[i, 10 + _SLOW + k] = math.tanh(past[_SLOW + 4 + k] / 2.0)
        for k in range(inputs.shape[1] - INPUTS):
            away = past[_SMOOTH] / peak_fleet * (_LEVELS - 1) - k
            # 0 far away: numbers near the smallest float32 make training more than twice as slow.
            inputs[i, INPUTS + k] = math.exp(-0.5 * away * away) if abs(away) < _FARTHEST else 0.0
