"""Print a month of made-up traffic of a web shop, as a monitoring system would export it: CSV, a row per 5 minutes.

    python examples/make_month.py > month.csv
    autoscaler advise month.csv --zone Europe/Berlin --service examples/service.toml

Working days have a peak at noon and a higher one in the evening, weekends have one long peak. Traffic grows by a tenth
over the month, and now and then a campaign brings a crowd. The times are those of a clock in Berlin, so one night
misses an hour; `--zone` tells `advise` that the clock did that. One morning the export failed for 20 minutes: a gap.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import numpy as np

FIRST = datetime(2026, 3, 2, tzinfo=timezone(timedelta(hours=1)))
"""A Monday; on the 29th the clocks go forward by an hour."""

SUMMER_TIME = datetime(2026, 3, 29, 1, tzinfo=UTC)
FAILED = datetime(2026, 3, 11, 8, 40), datetime(2026, 3, 11, 9, 0)
DAYS, STEP = 30, timedelta(minutes=5)


def month(seed: int = 0) -> Iterator[tuple[datetime, int]]:
    """Yield the rows: local time and requests."""
    rng = np.random.default_rng(seed)
    steps = DAYS * 288
    clock = [local(FIRST + i * STEP) for i in range(steps)]
    hour = np.array([moment.hour + moment.minute / 60 for moment in clock])
    weekend = np.array([moment.weekday() >= 5 for moment in clock])
    working_day = 700 + 1500 * bump(hour, 12.5, 2.5) + 2300 * bump(hour, 20, 2.2)
    level = np.where(weekend, 800 + 1900 * bump(hour, 16, 4), working_day)
    level *= np.linspace(1, 1.1, steps) * np.repeat(np.exp(rng.normal(0, 0.06, DAYS)), 288)
    for start in np.flatnonzero(rng.random(steps) < 0.4 / 288):
        crowd = np.arange(min(24, steps - start))
        level[start : start + len(crowd)] += rng.uniform(400, 1200) * np.clip(crowd / 4, 0, 1) * np.exp(-crowd / 10)
    requests = rng.poisson(level * np.exp(rng.normal(0, 0.02, steps)))
    for moment, count in zip(clock, requests.tolist(), strict=True):
        if not FAILED[0] <= moment < FAILED[1]:
            yield moment, count


def bump(hour: np.ndarray, at: float, width: float) -> np.ndarray:
    """Return a bell curve around an hour of the day, 1 at its top."""
    away = (hour - at + 12) % 24 - 12
    return np.asarray(np.exp(-0.5 * (away / width) ** 2))


def local(moment: datetime) -> datetime:
    """Return what a clock in Berlin shows."""
    return moment.astimezone(timezone(timedelta(hours=2 if moment >= SUMMER_TIME else 1))).replace(tzinfo=None)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0, help="another seed gives another month (default: 0)")
    print("timestamp,requests")
    for when, count in month(parser.parse_args().seed):
        print(f"{when},{count}")
