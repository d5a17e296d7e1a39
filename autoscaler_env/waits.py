"""How long requests wait: first in, first out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.compiled import compiled


def wait_percentiles(
    arrivals: NDArray[np.integer],
    served: NDArray[np.integer],
    dropped: NDArray[np.integer],
    slot_seconds: int,
    percentiles: tuple[float, ...] = (95.0, 99.0),
) -> NDArray[np.float64]:
    """Return percentiles of the wait of each day's admitted requests, in seconds.

    Requests are served in the order they came. One served in the slot it came in has waited 0 s, one served k slots
    later k x `slot_seconds`. What still waits when the day ends counts with the wait it has had so far. Dropped
    requests, always of the newest arrivals, never waited.

    Args:
        arrivals: Requests that came, shape (n, slots).
        served: Requests served, shape (n, slots).
        dropped: Requests dropped, shape (n, slots).
        slot_seconds: Length of a slot.
        percentiles: From 0 to 100.

    Returns:
        Waits, shape (n, len(percentiles)); 0 for a day without requests.
    """
    n, slots = arrivals.shape
    histogram = np.zeros((n, slots + 1), dtype=np.int64)
    _count_waits(arrivals - dropped, served, histogram)
    cumulative = histogram.cumsum(axis=1)
    total = cumulative[:, -1:]
    waits = [np.argmax(cumulative >= np.ceil(total * percentile / 100), axis=1) for percentile in percentiles]
    return np.stack(waits, axis=1) * float(slot_seconds)


@compiled
def _count_waits(admitted, served, histogram):
    """Count the requests of each day by the slots that they waited: histogram[day, slots waited]."""
    n, slots = admitted.shape
    remaining = np.empty(slots, dtype=np.int64)
    for day in range(n):
        remaining[:] = admitted[day]
        oldest = 0
        for slot in range(slots):
            serving = served[day, slot]
            while serving > 0:
                taken = min(serving, remaining[oldest])
                histogram[day, slot - oldest] += taken
                remaining[oldest] -= taken
                serving -= taken
                if remaining[oldest] == 0 and serving > 0:
                    oldest += 1
        for slot in range(slots):
            histogram[day, slots - slot] += remaining[slot]
