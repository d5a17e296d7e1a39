"""Take the parts out of the PPO that notebook 5 writes, one at a time, and measure what each variant costs.

    nice python benchmarks/ablations_ppo.py
    python benchmarks/ablations_ppo.py --seeds 1 --timesteps 3072 --days 2 --output build/ablations

Every variant is trained with the same seeds, by the functions of the notebook, and costed on the same days. All
variants are trained at the tuned step size, and those in `HARDER` also at a step size five times as large. One row for
each training is saved as `results/ablations_ppo.csv`: step size, variant, seed and mean cost in dollars a day. Five
seeds take about six minutes on one core.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import pandas as pd

from autoscaler_env.course import notebook_definitions
from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.paths import Folders, notebook_sources
from autoscaler_env.service import Service
from autoscaler_env.storage.files import write_text
from autoscaler_env.threads import one_thread
from autoscaler_env.traffic.patterns import PATTERNS, Pattern, day_seeds

STEP_SIZES = (1e-3, 5e-3)
"""The preset's step size, and one that is five times as large."""

HARDER = (
    *("full", "without clip", "without advantage normalisation", "one epoch", "default weights", "large weights"),
    *("plain reward", "raw observations"),
)
"""The variants that are trained with the large step size too."""


def main() -> None:
    """Train and evaluate all variants."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="trainings of each variant")
    parser.add_argument("--timesteps", type=int, default=80_000, help="timesteps of each training")
    parser.add_argument("--days", type=int, default=100, help="evaluation days of each pattern")
    parser.add_argument("--output", help="folder to write under")
    options = parser.parse_args()
    one_thread()
    notebook = notebook_definitions(notebook_sources() / "05_train_ppo.ipynb")
    draws = [Pattern(name, Service()).draw(day_seeds("evaluation", options.days)) for name in PATTERNS]
    days, rows = np.vstack(draws), []
    for step_size in STEP_SIZES:
        for variant, changes in notebook["VARIANTS"].items():
            if step_size != STEP_SIZES[0] and variant not in HARDER:
                continue
            started = time.process_time()
            for seed in range(options.seeds):
                settings = {"learning_rate": step_size, **changes}
                policy = notebook["train_variant"](settings, options.timesteps, seed)
                cost = float(simulate(policy, days).cost.sum(axis=1).mean())
                rows.append({"learning_rate": step_size, "variant": variant, "seed": seed, "cost": round(cost, 4)})
            costs = [row["cost"] for row in rows[-options.seeds :]]
            print(f"{step_size} {variant}: {costs} $ a day, {time.process_time() - started:.1f} CPU s", flush=True)
    folders = Folders(options.output)
    path = folders.results / "ablations_ppo.csv"
    write_text(path, pd.DataFrame(rows).to_csv(index=False))
    print(f"Written: {folders.shown(path)}")


if __name__ == "__main__":
    main()
