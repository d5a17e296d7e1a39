"""Print a month of a made-up small web service that nobody calls at night: CSV, a row per minute.

    python examples/small_web_service.py > build/small.csv
    autoscaler advise build/small.csv --service examples/small_web_service.toml --no-learners

Visitors come from 7 to 22 o'clock, most of them before noon and in the afternoon; at the weekend a third as many.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import datetime, timedelta

import numpy as np

FIRST = datetime(2026, 3, 2)
"""A Monday."""

DAYS, MINUTES = 28, 1440

VISITS = {0: 0, 7: 0, 8.5: 900, 11: 1800, 12.5: 1200, 15: 1900, 18: 900, 22: 60, 22.01: 0, 24: 0}
"""Requests in a minute by hour of a working day; straight lines lie between."""

WEEKEND = 1 / 3
"""Requests of Saturday and Sunday, as a share of those of a working day."""


def month(seed: int = 0) -> Iterator[tuple[datetime, int]]:
    """Yield the rows: time and requests."""
    rng = np.random.default_rng(seed)
    level = np.interp(np.arange(MINUTES) / 60, list(VISITS), list(VISITS.values()))
    for day in range(DAYS):
        busy = np.exp(rng.normal(0, 0.1)) * (WEEKEND if day % 7 >= 5 else 1)
        for minute, count in enumerate(rng.poisson(level * busy * np.exp(rng.normal(0, 0.1, MINUTES))).tolist()):
            yield FIRST + timedelta(days=day, minutes=minute), count


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0, help="another seed gives another month (default: 0)")
    print("timestamp,requests")
    for when, count in month(parser.parse_args().seed):
        print(f"{when},{count}")
