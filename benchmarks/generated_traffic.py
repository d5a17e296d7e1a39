"""Policy iteration that was trained on generated traffic alone, on recorded traffic, against the cheapest rules.

    nice python benchmarks/generated_traffic.py TRACES --seeds 5
    nice python benchmarks/generated_traffic.py --start

With `--start` it trains the network that `advise` starts policy iteration from, longer and with seed 0 alone, and
writes it into the package (`advice/learners.py` reads it). It takes about three CPU minutes.

TRACES is a folder of request counts, read and scaled as in `advise_traces.py`, with the same service. Policy iteration
is trained on generated days (`traffic/generated.py`) once for each seed, for all traces. Of a trace it gets the first
days as its memory, and nothing is fitted on them. It plays the days held out. The rules are calibrated twice: on the
first days of the trace itself, which is harder to beat, and on generated days, as the learner was.

The table, two rows per trace, is saved as `results/generated_traces.csv`:

| column | content |
|---|---|
| trace, days, trainings | name, days held out, trainings of policy iteration |
| calibrated_on | what the rules are calibrated on: `first days` of the trace, or `generated days` |
| rule, rule_cost | the rule that is cheapest on the days held out, and its dollars a day |
| cost, optimum_cost | dollars a day of policy iteration, the mean over trainings, and of the clairvoyant optimum |
| saved, saved_low, saved_high | what it saves against the rule, with the 95 % interval over trainings and days |
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from advise_traces import PEAK, STEP_SECONDS, days_of, long_enough, template_setup
from numpy.typing import NDArray
from tqdm.auto import tqdm

from autoscaler_env.advice.compare import compare_candidates
from autoscaler_env.advice.learners import GENERATED_START, train_once
from autoscaler_env.advice.setup import Limits
from autoscaler_env.evaluation.calibration import cheapest_setting
from autoscaler_env.evaluation.grids import RULE_GRIDS, forecast_grid
from autoscaler_env.evaluation.simulation import by_day, simulate_through
from autoscaler_env.evaluation.statistics import mean_interval
from autoscaler_env.paths import Folders
from autoscaler_env.policies.base import Policy
from autoscaler_env.policies.deep import DeepPolicy
from autoscaler_env.policies.recorded_inputs import HISTORY, Recording
from autoscaler_env.service import Service
from autoscaler_env.storage.models import read_description, save_description
from autoscaler_env.study.analysis import write_table
from autoscaler_env.study.generated import FIRST_DAYS, GENERATED_DAYS
from autoscaler_env.traffic.generated import HIGHEST, GeneratedDays
from autoscaler_env.traffic.patterns import day_seeds
from autoscaler_env.traffic.trace import Trace
from autoscaler_env.training.checkpoint import RunFolder
from autoscaler_env.training.config import TrainingConfig
from autoscaler_env.training.presets import GeneratedPreset
from autoscaler_env.training.train import train

START_ITERATIONS, START_DAYS = 32, 1_152
"""Length of the training that `advise` starts from: iterations, and days in each."""

CALIBRATED_ROWS = 10
"""Generated rows that the rules are calibrated on, from the second week on: a forecast looks back a week."""


def service_of(days: Trace) -> Service:
    return template_setup().service_for(days)


def service_of_generated() -> Service:
    """Return the service that policy iteration is trained with: a fleet of any trace, and no count is too high."""
    days = np.full((2, 86_400 // STEP_SECONDS), PEAK // 2)
    return dataclasses.replace(service_of(Trace("generated", days)), peak_arrivals=PEAK * HIGHEST // 2)


def trained(service: Service, seed: int, iterations: int) -> DeepPolicy:
    workload = GeneratedDays(service, peak=PEAK)
    config = TrainingConfig(
        "policy-iteration", workload, seed=seed, iterations=iterations, device="cpu", service=service
    )
    policy = train_once(config, progress=False).policy
    assert isinstance(policy, DeepPolicy)
    return policy


def write_start() -> Path:
    """Train the network that `advise` starts from, and write it with its description into the package."""
    service = service_of_generated()
    config = TrainingConfig(
        "policy-iteration",
        GeneratedDays(service, peak=PEAK),
        name=GENERATED_START.stem,
        iterations=START_ITERATIONS,
        days=START_DAYS,
        device="cpu",
        service=service,
    )
    with tempfile.TemporaryDirectory() as folder:
        run = RunFolder(config, Folders(folder))
        train(config, run.folders)
        description = read_description(run.model)
        assert description is not None
        shutil.copy(run.model, GENERATED_START)
        save_description(GENERATED_START, description | {"command": "python benchmarks/generated_traffic.py --start"})
    return GENERATED_START


def with_memory_of(policy: DeepPolicy, days: Trace) -> DeepPolicy:
    """Return a trained policy that begins with the first days of a trace as its memory."""
    assert isinstance(policy.knowledge, Recording)
    knowledge = policy.knowledge._replace(history=days.earlier[-HISTORY:].astype(np.float32))
    return DeepPolicy(policy.network, service_of(days), policy.name, knowledge)


def settings_on_generated(service: Service, rows: int) -> dict[str, dict[str, float]]:
    """Return the cheapest setting of each rule on generated days."""
    drawn = GeneratedDays(service, peak=PEAK).rows(day_seeds("calibration", rows))
    steps = drawn.shape[2]
    days = drawn[:, 7:].reshape(-1, steps)
    grids = RULE_GRIDS | {"forecast": forecast_grid(Trace("generated", drawn.reshape(-1, steps)))}
    bar = tqdm(grids.items(), desc="calibrating", disable=None)
    return {name: cheapest_setting(grid, days, service)[0] for name, grid in bar}


def costs_on(policy: Policy, days: Trace) -> NDArray[np.float64]:
    """Return dollars of each held-out day, shape (n,)."""
    service = service_of(days)
    costs: NDArray[np.float64] = by_day(simulate_through(policy, days.later, service), service).cost.sum(axis=1)
    return costs


def rows_of(path: Path, policies: list[DeepPolicy], settings: dict[str, dict[str, float]]) -> list[dict[str, Any]]:
    """Return both rows of a trace."""
    days, setup = days_of(path), template_setup()
    service = service_of(days)
    learned = np.array([costs_on(with_memory_of(policy, days), days) for policy in policies])
    # HPA acts once a step, and a rule is calibrated by its cost alone, as in `advise_traces.py`.
    today = {name: value for name, value in setup.today.items() if name != "hpa"}
    setup = dataclasses.replace(setup, today=today, limits=Limits(fewer_in_time=1, dropped=1))
    comparison = compare_candidates(setup, days, budgets={})
    assert comparison.optimum is not None
    grids = RULE_GRIDS | {"forecast": forecast_grid(days)}
    rules = {
        FIRST_DAYS: {name: candidate.costs for name, candidate in comparison.candidates.items()},
        GENERATED_DAYS: {
            name: costs_on(grids[name].policy(service, setting), days) for name, setting in settings.items()
        },
    }
    rows = []
    for calibrated_on, costs in rules.items():
        rule = min(costs, key=lambda name: float(costs[name].mean()))
        saved = mean_interval(costs[rule] - learned)
        rows.append(
            {
                "trace": path.stem,
                "days": len(days.later),
                "trainings": len(policies),
                "calibrated_on": calibrated_on,
                "rule": rule,
                "rule_cost": round(float(costs[rule].mean()), 4),
                "cost": round(float(learned.mean()), 4),
                "optimum_cost": round(comparison.optimum.cost.mean, 4),
                "saved": round(saved.mean, 4),
                "saved_low": round(saved.low, 4),
                "saved_high": round(saved.high, 4),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("traces", type=Path, nargs="?", help="folder of request counts, *.csv")
    parser.add_argument("--start", action="store_true", help="train what advise starts from, and nothing else")
    parser.add_argument("--seeds", type=int, default=5, help="trainings (default: 5)")
    parser.add_argument("--iterations", type=int, default=GeneratedPreset.iterations, help="length of a training")
    parser.add_argument("--rows", type=int, default=CALIBRATED_ROWS, help="generated rows that calibrate the rules")
    parser.add_argument("--output", type=Path, help="another root to write under")
    given = parser.parse_args()
    if given.start:
        print(f"Wrote {write_start()}.")
        return
    if given.traces is None:
        parser.error("give TRACES, a folder of request counts, or --start")
    paths = [path for path in sorted(given.traces.glob("*.csv")) if long_enough(path)]
    if not paths or given.seeds < 1 or given.rows < 1:
        parser.error(
            f"{given.traces}: {len(paths)} usable traces, --seeds {given.seeds}, --rows {given.rows}: all must be at "
            "least 1"
        )
    service = service_of_generated()
    seeds = tqdm(range(given.seeds), desc="training", disable=None)
    policies = [trained(service, seed, given.iterations) for seed in seeds]
    settings = settings_on_generated(service, given.rows)
    table = pd.DataFrame([row for path in paths for row in rows_of(path, policies, settings)])
    folders = Folders(given.output)
    path = folders.results / "generated_traces.csv"
    write_table(path, table)
    print(table.to_string(index=False))
    print(f"Wrote {folders.shown(path)}.")


if __name__ == "__main__":
    main()
