"""Print a month of a made-up small web service that nobody calls at night: CSV, a row per minute.

    python examples/small_web_service.py > build/small.csv
    autoscaler advise build/small.csv --service examples/small_web_service.toml --no-learners

`autoscaler_env.WebDays` draws such days as a workload.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import datetime, timedelta

import numpy as np

from autoscaler_env.traffic.presets import web_day

FIRST = datetime(2026, 3, 2)
"""A Monday."""

DAYS = 28


def month(seed: int = 0) -> Iterator[tuple[datetime, int]]:
    """Yield the rows: time and requests."""
    rng = np.random.default_rng(seed)
    for day in range(DAYS):
        for minute, count in enumerate(web_day(rng, day).tolist()):
            yield FIRST + timedelta(days=day, minutes=minute), count


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0, help="another seed gives another month (default: 0)")
    print("timestamp,requests")
    for when, count in month(parser.parse_args().seed):
        print(f"{when},{count}")
