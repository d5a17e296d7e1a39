"""Take the parts out of the DQN that notebook 4 writes, one at a time, and see what each is for.

    python benchmarks/ablations_dqn.py --seeds 5

Every variant trains with the same seeds, timesteps and training days; only the named part differs. The learner is the
one in notebook 4: its cells with the tag `learner` are executed, so the table is about the code that readers see. The
cost of a training is its mean over evaluation days of the six patterns. A variant is compared seed by seed with the
full learner: the difference with Student's interval, and the number of trainings that failed. A failed training costs
over 5 % more than the full learner's mean. `results/ablations_dqn.csv` has a row for each variant, in two settings:
`tuned` is the notebook's; `harder` has a step size five times as large and a discount of 0.99, for DQN's precautions.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import nbformat
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from tqdm.auto import tqdm

from autoscaler_env.envs.sb3 import AutoscalerVecEnv
from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.evaluation.statistics import mean_interval
from autoscaler_env.paths import Folders, notebook_sources
from autoscaler_env.policies.deep import NetworkPolicy
from autoscaler_env.service import Service
from autoscaler_env.storage.files import write_text
from autoscaler_env.threads import one_thread
from autoscaler_env.traffic.patterns import PATTERNS, Pattern, day_seeds
from autoscaler_env.training.learner_env import LearnerVecEnv

FAILED = 1.05
"""A training that costs more than this times the full learner's mean has failed."""

SETTINGS: dict[str, dict[str, Any]] = {"tuned": {}, "harder": {"rate": 1e-2, "discount": 0.99}}

VARIANTS: dict[str, dict[str, Any]] = {
    "full": {},
    "without target network": {"target_interval": 1},
    "without buffer": {"buffer_size": 64},
    "without both": {"target_interval": 1, "buffer_size": 64},
    "plain reward": {"paired": False},
    "raw observations": {"inputs": False},
    "discount 0.99": {"discount": 0.99},
}
"""What each variant changes. Without target network it is refreshed before every update; without buffer it holds the
last step of the 64 services and nothing older."""

PRECAUTIONS = ("full", "without target network", "without buffer", "without both")
"""The variants that are trained in the harder setting too."""


def learner() -> dict[str, Any]:
    """Return the functions and classes in the learner's cells of notebook 4, by name."""
    notebook = nbformat.read(notebook_sources() / "04_train_dqn.ipynb", as_version=4)
    names: dict[str, Any] = {"np": np, "torch": torch}
    for cell in notebook.cells:
        if "learner" in cell.metadata.get("tags", []):
            exec(cell.source, names)
    return names


def train(
    names: dict[str, Any], timesteps: int, seed: int, *, paired: bool = True, inputs: bool = True, **settings: Any
) -> NetworkPolicy:
    """Return the network of one training as a policy."""
    env = LearnerVecEnv(AutoscalerVecEnv(64), paired=paired, inputs=inputs)
    q_net = names["train_dqn"](env, timesteps, seed, **settings)
    return NetworkPolicy(q_net, "DQN", inputs=inputs)


def table_of(costs: dict[tuple[str, str], NDArray[np.float64]], seconds: dict[tuple[str, str], float]) -> pd.DataFrame:
    """Return a row for each variant.

    Args:
        costs: Dollars a day of each seed, by setting and variant; each setting has a variant `full`.
        seconds: Processor seconds of one training, by the same names.
    """
    rows = []
    for (setting, variant), cost in costs.items():
        full = costs[setting, "full"]
        more = mean_interval(cost - full, independent=True)
        ends = {"seeds": len(cost), "cost": cost.mean(), "lowest": cost.min(), "highest": cost.max()}
        difference = {"more": more.mean, "low": more.low, "high": more.high}
        failed = {"failed": int((cost > FAILED * full.mean()).sum()), "cpu_seconds": seconds[setting, variant]}
        rows.append({"setting": setting, "variant": variant} | ends | difference | failed)
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5, help="trainings of each variant")
    parser.add_argument("--timesteps", type=int, default=100_000, help="of each training")
    parser.add_argument("--days", type=int, default=100, help="evaluation days of each pattern")
    parser.add_argument("--output", help="folder whose results/ the table is written to; the project by default")
    arguments = parser.parse_args()
    one_thread()
    names, service, day = learner(), Service(), day_seeds("evaluation", arguments.days)
    days = np.vstack([Pattern(name, service).draw(day) for name in PATTERNS])
    runs = [("tuned", variant) for variant in VARIANTS] + [("harder", variant) for variant in PRECAUTIONS]
    costs, seconds = {}, {}
    for setting, variant in tqdm(runs, unit="variant"):
        begun = time.process_time()
        settings = SETTINGS[setting] | VARIANTS[variant]
        policies = [train(names, arguments.timesteps, seed, **settings) for seed in range(arguments.seeds)]
        seconds[setting, variant] = (time.process_time() - begun) / arguments.seeds
        costs[setting, variant] = np.array([simulate(one, days, service).cost.sum(axis=1).mean() for one in policies])
        table = table_of(costs, seconds)
        path = Folders(arguments.output).results / "ablations_dqn.csv"
        write_text(path, table.to_csv(index=False, float_format="%.6g"))
    print(table.to_string(index=False, float_format="%.4g"))


if __name__ == "__main__":
    main()
