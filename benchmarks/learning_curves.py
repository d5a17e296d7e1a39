"""Measure the CPU seconds that each learner needs for the points of its learning curve.

    nice python benchmarks/learning_curves.py

The studies measure their curves by the clock on the wall, on workers that may wait for each other. This script trains
once as in the studies `budgets` and `iteration`, seed 0 on `MIXED`, in one process with one torch thread, and
counts CPU seconds. Evaluations on selection days do not count; what is fitted before the first timestep does, such as
the recogniser of policy iteration. Compiling does not. `results/learning_seconds.csv` has a row for each point:

| column | content |
|---|---|
| algorithm, timesteps | the learner and the timesteps of its whole training |
| at | timesteps of the point |
| cpu_seconds | CPU seconds of training until then |
"""

from __future__ import annotations

import argparse
import tempfile
import time

import pandas as pd

from autoscaler_env.paths import Folders
from autoscaler_env.storage.files import write_text
from autoscaler_env.study.plan import trainings
from autoscaler_env.threads import one_thread
from autoscaler_env.training.checkpoint import SelectionEvaluator
from autoscaler_env.training.config import TrainingConfig
from autoscaler_env.training.train import train

STUDIES = ("budgets", "iteration")


class CpuClock:
    """Count the CPU seconds of this process since a training began; the first reading starts its curve."""

    def __init__(self) -> None:
        self.begun = time.process_time()
        self.first: float | None = None

    def __call__(self) -> float:
        now = time.process_time() - self.begun
        self.first = now if self.first is None else self.first
        return now


def seconds_of(config: TrainingConfig) -> pd.DataFrame:
    """Train once; return a row for each point of the learning curve."""
    clock = CpuClock()
    SelectionEvaluator.clock = staticmethod(clock)
    with tempfile.TemporaryDirectory() as folder:
        curve = train(config, Folders(folder), progress=False).curve
    assert clock.first is not None
    rows = {"at": curve["timesteps"], "cpu_seconds": curve["seconds"] + clock.first}
    return pd.DataFrame({"algorithm": config.algorithm, "timesteps": int(curve["timesteps"].iloc[-1])} | rows)


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="tiny budgets: show that it runs")
    parser.add_argument("--output", help="folder to write under; the project by default")
    options = parser.parse_args()
    one_thread()
    for warm_up in trainings("budgets", 1, quick=True):
        seconds_of(warm_up)
    parts = []
    for study in STUDIES:
        for config in trainings(study, 1, quick=options.quick):
            parts.append(seconds_of(config))
            print(parts[-1].to_csv(index=False, header=False, float_format="%.3f"), flush=True)
    folders = Folders(options.output or ("build/quick" if options.quick else None))
    path = folders.results / "learning_seconds.csv"
    write_text(path, pd.concat(parts).to_csv(index=False, float_format="%.3f"))
    print(f"saved {folders.shown(path)}")


if __name__ == "__main__":
    main()
