"""Print a month of made-up requests to a large language model, as bursty as recorded ones: CSV, a row per 10 s.

    python examples/llm_serving.py > build/llm.csv
    autoscaler evaluate target-tracking --pattern autoscaler_env:LlmDays --service examples/llm_serving.toml

`autoscaler_env.LlmDays` is the same traffic as a workload; its module says how it is made and what it is fitted to.
`python examples/llm_serving.py --measure CHATS.csv CODE.csv` compares it with recorded counts.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.traffic.presets import BIN, llm_parts

HOUR = slice(6570, 6930)
"""The counts of a day that lie in the recorded hour, 18:15 to 19:15."""

START = datetime(2026, 3, 2)
"""First day of the month, a Monday."""


def measures(counts: NDArray[np.int64]) -> dict[str, float]:
    """Return mean, burstiness and memory of counts of 10 s, shape (n,), n above 36.

    The index of dispersion is the variance divided by the mean: 1 for independent requests, more for bursts.
    """
    away = counts - counts.mean()
    minutes = counts[: len(counts) // 6 * 6].reshape(-1, 6).sum(axis=1)
    measured = {"mean in 10 s": counts.mean(), "variance in 10 s": counts.var()}
    measured["index of dispersion, 10 s"] = counts.var() / counts.mean()
    measured["index of dispersion, 60 s"] = minutes.var() / minutes.mean()
    for lag in (1, 6, 30):
        measured[f"autocorrelation, {lag * BIN} s"] = np.mean(away[:-lag] * away[lag:]) / counts.var()
    measured["share of empty counts"] = np.mean(counts == 0)
    return {name: float(value) for name, value in measured.items()}


def generated(hours: int = 200) -> list[dict[str, float]]:
    """Return the measures of the chats and of the code requests: means over the recorded hour of working days.

    Args:
        hours: Working days, at least 1.
    """
    days = [llm_parts(seed) for seed in range(2 * hours) if seed % 7 < 5][:hours]
    every = [[measures(day[kind][HOUR]) for day in days] for kind in (0, 1)]
    return [{name: float(np.mean([one[name] for one in kind])) for name in kind[0]} for kind in every]


def print_measures(paths: Sequence[str]) -> None:
    """Print a table of the measures of recorded counts and of the generated ones.

    Args:
        paths: Files of chats and of code requests, with the heading `step,requests` and a row per 10 s.
    """
    recorded = [measures(np.loadtxt(path, delimiter=",", skiprows=1, dtype=np.int64)[:, 1]) for path in paths]
    print("| | chats, recorded | chats, generated | code, recorded | code, generated |\n|---|---|---|---|---|")
    made = generated()
    for name in made[0]:
        row = [f"{of[kind][name]:,.2f}" for kind in (0, 1) for of in (recorded, made)]
        print(f"| {name} | {' | '.join(row)} |")


def print_month(days: int, seed: int) -> None:
    """Print days as CSV: time and requests, a row per 10 s."""
    print("timestamp,requests")
    for day in range(days):
        counts = np.add(*llm_parts(7_000 * seed + day)).tolist()
        for i, count in enumerate(counts):
            print(f"{START + timedelta(days=day, seconds=BIN * i)},{count}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--days", type=int, default=28, help="days to print (default: 28)")
    parser.add_argument("--seed", type=int, default=0, help="another seed gives another month (default: 0)")
    parser.add_argument("--measure", nargs=2, metavar=("CHATS", "CODE"), help="compare with recorded counts instead")
    options = parser.parse_args()
    if options.measure:
        print_measures(options.measure)
    else:
        print_month(options.days, options.seed)
