"""What is usual at a time of the day: recorded traffic repeats itself from day to day and from week to week.

The forecast of `policies/forecast` and the inputs of `policies/recorded_inputs` both stand on it.
"""

from __future__ import annotations

from autoscaler_env.compiled import compiled

WEEK = 7
"""Days from a day to the same weekday before it."""

AROUND = 3
"""Steps before and after the same time of the day that the mean of seven days takes in."""


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


@compiled
def usual_of_days(sums, step, steps, unit):
    """Return the mean of what came around this time of the day, in the last seven days or as many as are known.

    Args:
        sums: Cumulative sums of the requests of days in a row, beginning with 0 and a midnight, shape (k + 1,).
        step: The step, counted from the first of the counts; at least `steps` and below `k + steps`. It looks
            `AROUND` steps beyond the same time a day before; these must be known too.
        steps: Steps of a day.
        unit: Requests that count as 1, such as those that an instance serves in a step.
    """
    total, days = 0.0, 0
    for back in range(1, WEEK + 1):
        centre = step - back * steps
        if centre < 0:
            break
        low, high = max(centre - AROUND, 0), min(centre + AROUND + 1, sums.shape[0] - 1)
        total += (sums[high] - sums[low]) / (high - low)
        days += 1
    return total / (days * unit)
