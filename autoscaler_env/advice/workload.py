"""Days to learn from: as many as a learner asks for, made from the few that there are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.traffic.days import CutDays
from autoscaler_env.traffic.patterns import purpose_of

SHIFT_SECONDS = 3_600
"""How far a training day is shifted in time, at most, either way."""

LEVEL_SPREAD = 0.1
"""Standard deviation of the logarithm of the level that a training day is scaled by."""

WOBBLE_SPREAD = 0.05
"""Standard deviation of the logarithm of what a training day is multiplied by from hour to hour."""

_WOBBLE_SECONDS = 7_200
_GOLDEN = 0.6180339887498949


class ResampledDays:
    """Training days that are like a user's, and real ones to calibrate, select and evaluate on.

    A training day is a stretch of the first part that begins within an hour of a midnight drawn at random, scaled as a
    whole and, slowly changing, by parts, so that a learner meets the shape of the user's days but never twice the same
    numbers. It is a pure function of its day seed. Calibration and selection seeds stand for the days of the first part
    as they are, spread over it; evaluation seeds for the days held out.

    Args:
        name: What tables call it.
        days: The user's days.
    """

    def __init__(self, name: str, days: CutDays) -> None:
        self.name = name
        self._earlier, self._later = days.earlier, days.later
        self._slots = days.requests.shape[1]
        self._line = days.earlier.reshape(-1)
        self._shift = min(SHIFT_SECONDS // days.slot_seconds, self._slots - 1) if len(days.earlier) > 1 else 0
        nodes = np.arange(0, self._slots + 1, max(_WOBBLE_SECONDS // days.slot_seconds, 1))
        self._nodes = np.append(nodes, self._slots + 1)

    def draw(self, seeds: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the day that each day seed stands for: shape (n, slots)."""
        drawn = np.empty((len(seeds), self._slots), dtype=np.int64)
        for i, seed in enumerate(seeds):
            purpose, number = purpose_of(seed), int(seed) % 2**62
            if purpose == "training":
                drawn[i] = self._made_up(int(seed))
            elif purpose == "evaluation":
                drawn[i] = self._later[number % len(self._later)]
            else:
                drawn[i] = self._earlier[int((number * _GOLDEN % 1) * len(self._earlier))]
        return drawn

    def evaluation_days(self, episodes: int) -> NDArray[np.int64]:
        """Return the days held out, each once and in order, at most `episodes` of them: shape (n, slots)."""
        return self._later[:episodes]

    def _made_up(self, seed: int) -> NDArray[np.int64]:
        rng = np.random.default_rng(seed)
        first = rng.integers(len(self._earlier)) * self._slots + rng.integers(-self._shift, self._shift + 1)
        first = min(max(int(first), 0), len(self._line) - self._slots)
        wobble = np.interp(np.arange(self._slots), self._nodes, rng.normal(0, WOBBLE_SPREAD, len(self._nodes)))
        factor = np.exp(rng.normal(0, LEVEL_SPREAD) + wobble)
        return np.rint(self._line[first : first + self._slots] * factor).astype(np.int64)
