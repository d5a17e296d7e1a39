"""How the time of a study falls with the number of workers on this machine.

`make bench` prints the table and saves it as `results/benchmark_study.csv`. The same runs, small trainings of PPO with
their measuring, are done with 1, 2, 4, ... workers, up to the number of processors, each time into an empty folder;
seconds are medians over repetitions, taken in turns, and hold the start of the workers. `--quick` shows in a minute
that everything runs; its numbers mean little.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median

import pandas as pd
from dask.system import CPU_COUNT

from autoscaler_env.paths import Folders
from autoscaler_env.study.analysis import write_table
from autoscaler_env.study.benchmark import Exam
from autoscaler_env.study.cluster import Store, complete, connect
from autoscaler_env.training.config import TrainingConfig


def seconds_of_study(runs: list[TrainingConfig], exam: Exam, workers: int) -> float:
    with tempfile.TemporaryDirectory() as root:
        begun = time.perf_counter()
        complete({run: [exam] for run in runs}, Store(Folders(root)), workers=workers)
        return time.perf_counter() - begun


def seconds_to_start(workers: int) -> float:
    begun = time.perf_counter()
    with connect(workers):
        return time.perf_counter() - begun


def worker_counts(most: int) -> list[int]:
    """Return 1, 2, 4, ... and the most."""
    return sorted({2**power for power in range(most.bit_length()) if 2**power <= most} | {most})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few and tiny runs")
    parser.add_argument("--workers", type=int, default=CPU_COUNT, help="most workers (default: one per processor)")
    parser.add_argument("--output", type=Path, help="another root to write under")
    given = parser.parse_args()
    count, steps, repetitions = (4, 2_048, 1) if given.quick else (16, 50_000, 3)
    runs = [TrainingConfig("ppo", timesteps=steps, seed=seed, device="cpu") for seed in range(count)]
    exam = Exam(episodes=10 if given.quick else 200)
    counts = worker_counts(given.workers)
    starts: dict[int, list[float]] = {workers: [] for workers in counts}
    times: dict[int, list[float]] = {workers: [] for workers in counts}
    for _ in range(repetitions):
        for workers in counts:
            starts[workers].append(seconds_to_start(workers))
            times[workers].append(seconds_of_study(runs, exam, workers))
    rows = [
        {
            "workers": workers,
            "runs": count,
            "start_seconds": median(starts[workers]),
            "seconds": median(times[workers]),
            "times_faster": median(times[1]) / median(times[workers]),
            "processors": CPU_COUNT,
        }
        for workers in counts
    ]
    table = pd.DataFrame(rows)
    print(table.round(2).to_string(index=False))
    folders = Folders(given.output)
    path = folders.results / "benchmark_study.csv"
    write_table(path, table)
    print(f"Wrote {folders.shown(path)}.")


if __name__ == "__main__":
    main()
