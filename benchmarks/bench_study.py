"""How the time of a study falls with the number of workers on this machine.

`make bench` prints the table and saves it as `results/benchmark_study.csv`. The same runs, small trainings of PPO with
their measurements, are performed with 1, 2, 4, ... workers, up to the number of processors, each time into an empty
folder. Seconds are medians over repetitions, taken in turns, and include the start of the workers. `--quick` shows in a
minute that everything runs; its numbers mean little.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median

import pandas as pd
from dask.system import CPU_COUNT

from autoscaler_env.cluster import connect
from autoscaler_env.paths import Folders
from autoscaler_env.study.analysis import write_table
from autoscaler_env.study.benchmark import Benchmark
from autoscaler_env.study.cluster import ResultStore, complete
from autoscaler_env.traffic.patterns import MIXED
from autoscaler_env.training.config import TrainingConfig


def seconds_of_study(runs: list[TrainingConfig], benchmark: Benchmark, workers: int) -> tuple[float, float]:
    """Return the seconds until the workers had started, and until everything was done."""
    with tempfile.TemporaryDirectory() as root:
        begun = time.perf_counter()
        with connect(workers) as client:
            started = time.perf_counter() - begun
            store = ResultStore(Folders(root))
            complete({run: [benchmark] for run in runs}, store, scheduler=client.scheduler.address)
        return started, time.perf_counter() - begun


def worker_counts(most: int) -> list[int]:
    """Return 1, 2, 4, ... and the most."""
    return sorted({2**power for power in range(most.bit_length()) if 2**power <= most} | {most})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few and tiny runs")
    parser.add_argument("--workers", type=int, default=CPU_COUNT, help="most workers (default: one per processor)")
    parser.add_argument("--output", type=Path, help="another root to write under")
    arguments = parser.parse_args()
    count, timesteps, repetitions = (4, 2_048, 1) if arguments.quick else (16, 50_000, 3)
    runs = [TrainingConfig("ppo", MIXED, timesteps=timesteps, seed=seed, device="cpu") for seed in range(count)]
    benchmark = Benchmark(episodes=10 if arguments.quick else 200)
    counts = worker_counts(arguments.workers)
    starts: dict[int, list[float]] = {workers: [] for workers in counts}
    times: dict[int, list[float]] = {workers: [] for workers in counts}
    for _ in range(repetitions):
        for workers in counts:
            started, seconds = seconds_of_study(runs, benchmark, workers)
            starts[workers].append(started)
            times[workers].append(seconds)
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
    folders = Folders(arguments.output)
    path = folders.results / "benchmark_study.csv"
    write_table(path, table)
    print(f"Wrote {folders.shown(path)}.")


if __name__ == "__main__":
    main()
