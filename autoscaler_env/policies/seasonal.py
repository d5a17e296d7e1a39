"""What is usual at a time of the day: recorded traffic repeats itself from day to day and from week to week.

The forecast of `policies/forecast` and the inputs of `policies/recorded_inputs` both stand on it.
"""

from __future__ import annotations

from autoscaler_env.compiled import compiled

WEEK = 7
"""Days from a day to the same weekday before it."""


@compiled
def usual_at(counts, step, steps):
    """Return the mean of what came a day and a week before a step; what came a day before, where no week is known.

    Args:
        counts: Requests of days in a row, beginning with a midnight, shape (k,).
        step: The step, counted from the first of `counts`; at least `steps` and below `k + steps`.
        steps: Steps of a day.
    """
    before = float(counts[step - steps])
    if step < WEEK * steps:
        return before
    return (before + counts[step - WEEK * steps]) / 2.0
