"""As many training days as a learner asks for, made from the few that were recorded."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.traffic.patterns import purpose_of
from autoscaler_env.traffic.trace import Trace

SHIFT_SECONDS = 3_600
"""How far a training day is shifted in time, at most, either way."""

LEVEL_SPREAD = 0.1
"""Standard deviation of the logarithm of the factor that scales a whole training day."""

WOBBLE_SPREAD = 0.05
"""Standard deviation of the logarithm of the factor that scales parts of a training day and changes slowly."""

_WOBBLE_SECONDS = 7_200
_GOLDEN = 0.6180339887498949


class ResampledDays:
    """A workload that trains on variations of recorded days and evaluates on the days held out.

    A training day is a stretch of the earlier days that begins within an hour of a midnight drawn at random. One random
    factor scales all of it, another, which changes slowly over the day, its parts. So a learner sees the shape of the
    recorded days but never the same numbers twice. A day is a pure function of its day seed. Calibration and selection
    seeds stand for the earlier days as they are, spread over all of them; evaluation seeds for the days held out.

    Args:
        name: What tables call it.
        trace: The recorded days.
    """

    def __init__(self, name: str, trace: Trace) -> None:
        self.name = name
        self._earlier, self._later = trace.earlier, trace.later
        self._steps = trace.requests.shape[1]
        self._line = trace.earlier.reshape(-1)
        self._shift = min(SHIFT_SECONDS // trace.step_seconds, self._steps - 1) if len(trace.earlier) > 1 else 0
        nodes = np.arange(0, self._steps + 1, max(_WOBBLE_SECONDS // trace.step_seconds, 1))
        self._nodes = np.append(nodes, self._steps + 1)

    def draw(self, seeds: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the day that each day seed stands for: shape (n, steps)."""
        days = np.empty((len(seeds), self._steps), dtype=np.int64)
        for i, seed in enumerate(seeds):
            purpose, number = purpose_of(seed), int(seed) % 2**62
            if purpose == "training":
                days[i] = self._variation(int(seed))
            elif purpose == "evaluation":
                days[i] = self._later[number % len(self._later)]
            else:
                days[i] = self._earlier[int((number * _GOLDEN % 1) * len(self._earlier))]
        return days

    def evaluation_days(self, episodes: int) -> NDArray[np.int64]:
        """Return the days held out, each once and in order, at most `episodes` of them: shape (n, steps)."""
        return self._later[:episodes]

    def _variation(self, seed: int) -> NDArray[np.int64]:
        rng = np.random.default_rng(seed)
        first = rng.integers(len(self._earlier)) * self._steps + rng.integers(-self._shift, self._shift + 1)
        first = min(max(int(first), 0), len(self._line) - self._steps)
        wobble = np.interp(np.arange(self._steps), self._nodes, rng.normal(0, WOBBLE_SPREAD, len(self._nodes)))
        factor = np.exp(rng.normal(0, LEVEL_SPREAD) + wobble)
        return np.rint(self._line[first : first + self._steps] * factor).astype(np.int64)
