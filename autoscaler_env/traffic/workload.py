"""What a workload is, and the names of the patterns: all that an option needs, without the code that draws days."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.text import not_a_choice

PATTERNS = ("STEADY", "SINE_CURVE", "SINUSOIDAL", "SPIKE", "POISSON", "RANDOM")
"""The six synthetic patterns, by the names that users type."""

MIXED = "MIXED"
"""One of the six patterns, drawn for each day."""

PATTERN_MEANING = {
    "STEADY": "baseline performance",
    "SINE_CURVE": "a predictable daily cycle",
    "SINUSOIDAL": "several overlapping cycles",
    "SPIKE": "flash crowds, viral content",
    "POISSON": "realistic arrivals",
    "RANDOM": "unpredictable traffic",
}


@runtime_checkable
class Workload(Protocol):
    """A source of days: a synthetic pattern or a recorded trace."""

    name: str

    def draw(self, seeds: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the days of these day seeds: arrivals in requests, shape (n, steps)."""
        ...

    def evaluation_days(self, episodes: int) -> NDArray[np.int64]:
        """Return the days that policies are compared on, at most `episodes` of them: shape (n, steps)."""
        ...


def check_workload(pattern: str | Workload) -> None:
    """Refuse what is neither the name of a pattern nor a workload.

    Raises:
        ValueError: There is no such pattern, or the argument is no workload.

    Example:
        >>> check_workload("SPIK")
        Traceback (most recent call last):
        ValueError: pattern = 'SPIK': must be one of STEADY, ..., RANDOM, MIXED, did you mean SPIKE?
    """
    known = (*PATTERNS, MIXED)
    if isinstance(pattern, str):
        if pattern not in known:
            raise ValueError(not_a_choice("pattern", pattern, known))
    elif not isinstance(pattern, Workload):
        missing = [part for part in ("name", "draw", "evaluation_days") if not hasattr(pattern, part)]
        raise ValueError(
            f"pattern = {type(pattern).__name__}: must be the name of a pattern, or a workload with name, draw(seeds) "
            f"and evaluation_days(episodes); it lacks {', '.join(missing)}"
        )
