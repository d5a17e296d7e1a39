"""What the deep learners look at: the observation, spread out, with a memory of past slots.

The environment's observation is one slot, each entry linear in a count. A small network learns faster when the
quantities that decide arrive at a useful resolution, and it can only anticipate what it can remember. All inputs are
computed from what an operator sees; nothing here knows the pattern or the future.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.compiled import compiled
from autoscaler_env.policies.base import decode
from autoscaler_env.service import Service

AVERAGES = (2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
"""Time constants, in slots, of the moving averages that the memory keeps."""

_RECENT = 4
_SLOW = len(AVERAGES)
_MEMORY = _SLOW + 2 + 2 + _RECENT  # averages, two noise levels, lowest and highest influx, recent changes
INPUTS = 6 + _SLOW + 2 + 2 + _RECENT
"""How many numbers a learner sees for each service."""


class Inputs:
    """Turn the observations of a batch of services, slot after slot, into what a network sees.

    Per service: headroom (at a coarse and a fine resolution), queue (logarithm), instances booting, instances ready,
    influx; then, from memory and in instances' worth of requests: influx minus its moving averages over 2 to 64
    slots, how strongly it has been changing lately and all day, its lowest and highest so far, its last four changes.

    Args:
        service: The service observed.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._memory: NDArray[np.float64] | None = None
        self._peak_fleet = service.peak_influx / service.capacity_per_instance
        self._weights = 1.0 / np.array(AVERAGES)

    def start(self) -> None:
        """Forget the past: the next observations are the first of a day."""
        self._memory = None

    def __call__(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        """Remember these observations and return the inputs, float32 of shape (n, INPUTS)."""
        inputs, self._memory = self.look(observations)
        return inputs

    def look(self, observations: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Return the inputs and the memory as they would be after these observations, changing nothing."""
        counts = decode(observations, self._service)
        n = len(observations)
        first = self._memory is None
        memory = np.zeros((n, _MEMORY)) if self._memory is None else self._memory.copy()
        inputs = np.empty((n, INPUTS), dtype=np.float32)
        capacity = float(self._service.capacity_per_instance)
        _look(
            counts.ready, counts.booting, counts.queue, counts.influx, counts.change, counts.headroom,
            first, capacity, self._peak_fleet, self._weights, memory, inputs,
        )  # fmt: skip
        return inputs, memory


@compiled
def _look(ready, booting, queue, influx, change, headroom, first, capacity, peak_fleet, weights, memory, inputs):
    for i in range(inputs.shape[0]):
        level = influx[i] / capacity  # everything below is counted in instances' worth of requests
        step = change[i] / capacity
        spare = headroom[i] / capacity
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
            for k in range(_MEMORY - 1, _SLOW + 4, -1):
                past[k] = past[k - 1]
            past[_SLOW + 4] = step

        inputs[i, 0] = min(max(spare / 10.0, -3.0), 3.0)
        inputs[i, 1] = math.tanh(spare / 2.0)
        inputs[i, 2] = math.log1p(queue[i]) / 4.0
        inputs[i, 3] = booting[i]
        inputs[i, 4] = ready[i] / peak_fleet
        inputs[i, 5] = level / peak_fleet
        for k in range(_SLOW):
            inputs[i, 6 + k] = math.tanh((level - past[k]) / (1.0 + k))
        inputs[i, 6 + _SLOW] = math.log1p(4.0 * past[_SLOW])
        inputs[i, 7 + _SLOW] = math.log1p(4.0 * past[_SLOW + 1])
        inputs[i, 8 + _SLOW] = (level - past[_SLOW + 2]) / peak_fleet
        inputs[i, 9 + _SLOW] = (past[_SLOW + 3] - level) / peak_fleet
        for k in range(_RECENT):
            inputs[i, 10 + _SLOW + k] = math.tanh(past[_SLOW + 4 + k] / 2.0)
