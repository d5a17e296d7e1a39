"""Take inputs away from policy iteration, or its exact advantages, and measure what each variant costs on MIXED.

    nice python benchmarks/ablations_iteration.py
    python benchmarks/ablations_iteration.py --seeds 1 --iterations 1 --timesteps 3072 --days 2 --output build/ablations

Inputs are taken away by weights of the first layer that are 0 and stay 0. Without exact advantages the same inputs go
to PPO with its long preset, which takes about as many seconds. All variants are costed on the same days. One row for
each training is saved as `results/ablations_iteration.csv`: variant, seed, mean cost in dollars a day, that of each
pattern, and CPU seconds without those of the recogniser, which all variants share.
"""

from __future__ import annotations

import argparse
import dataclasses
import time

import numpy as np
import pandas as pd
import torch
from stable_baselines3 import PPO

from autoscaler_env.envs.sb3 import AutoscalerVecEnv
from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.paths import Folders
from autoscaler_env.policies.decision_inputs import (
    DECISION_INPUTS,
    FLEET_INPUTS,
    GROUPS,
    DecisionInputs,
    recogniser_of_outlooks,
)
from autoscaler_env.policies.deep import DeepPolicy
from autoscaler_env.service import Service
from autoscaler_env.storage.files import write_text
from autoscaler_env.threads import one_thread
from autoscaler_env.traffic.patterns import MIXED, PATTERNS, Pattern, day_seeds
from autoscaler_env.training.deep import falling
from autoscaler_env.training.learner_env import LearnerVecEnv
from autoscaler_env.training.policy_iteration import PolicyIteration
from autoscaler_env.training.presets import PPO_LONG_PRESET, IterationPreset

SERVICE = Service()
_CYCLES = (*GROUPS["cycles"], *range(5, FLEET_INPUTS - 2))  # the fleet against what the cycles expect, too
VARIANTS: dict[str, tuple[int, ...]] = {
    "all inputs": (),
    "without chances": GROUPS["chances"],
    "without cycles": _CYCLES,
    "without fleet against expectations": GROUPS["fleet against expectations"],
    "without calm": GROUPS["calm"],
    "without clock": GROUPS["clock"],
    "without any of these": (
        *(place for name in ("chances", "cycles", "calm", "clock") for place in GROUPS[name]),
        *GROUPS["fleet against expectations"],
    ),
}
"""The places of the inputs that are taken away."""

WITHOUT_ADVANTAGES = "without exact advantages (PPO)"


def by_iteration(taken: tuple[int, ...], preset: IterationPreset, seed: int) -> DeepPolicy:
    """Train by policy iteration, with some inputs taken away."""
    recogniser = recogniser_of_outlooks(SERVICE)
    learner = PolicyIteration(MIXED, SERVICE, preset, seed, recogniser)
    weight = learner.model.policy.mlp_extractor.policy_net[0].weight
    kept = torch.ones(DECISION_INPUTS)
    kept[list(taken)] = 0
    with torch.no_grad():
        weight *= kept
    weight.register_hook(lambda gradient: gradient * kept)
    for _ in range(preset.iterations):
        learner.iterate()
    return DeepPolicy(learner.model.policy, SERVICE, "policy-iteration", recogniser)


def by_ppo(timesteps: int, seed: int) -> DeepPolicy:
    """Train PPO with its long preset on the inputs that a decision needs."""
    preset, recogniser = PPO_LONG_PRESET, recogniser_of_outlooks(SERVICE)
    services = AutoscalerVecEnv(preset.environments, MIXED, SERVICE)
    model = PPO(
        "MlpPolicy",
        LearnerVecEnv(services, inputs=DecisionInputs(SERVICE, recogniser)),
        learning_rate=falling(preset.learning_rate),
        batch_size=preset.batch_size,
        gamma=preset.discount,
        seed=seed,
        device="cpu",
        policy_kwargs={"net_arch": list(preset.widths)},
        **preset.settings,
    )
    model.learn(timesteps)
    return DeepPolicy(model.policy, SERVICE, "ppo", recogniser)


def main() -> None:
    """Train and cost all variants."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each variant")
    parser.add_argument("--iterations", type=int, default=10, help="iterations of each training")
    parser.add_argument("--timesteps", type=int, default=400_000, help="timesteps of PPO")
    parser.add_argument("--days", type=int, default=500, help="evaluation days of each pattern")
    parser.add_argument("--output", help="folder to write under")
    options = parser.parse_args()
    one_thread()
    preset = dataclasses.replace(IterationPreset(), iterations=options.iterations)
    days = {name: Pattern(name, SERVICE).draw(day_seeds("evaluation", options.days)) for name in PATTERNS}
    path, rows = Folders(options.output).results / "ablations_iteration.csv", []
    recogniser_of_outlooks(SERVICE)
    for seed in range(options.seeds):
        for variant in (*VARIANTS, WITHOUT_ADVANTAGES):
            started = time.process_time()
            if variant == WITHOUT_ADVANTAGES:
                policy = by_ppo(options.timesteps, seed)
            else:
                policy = by_iteration(VARIANTS[variant], preset, seed)
            seconds = time.process_time() - started
            costs = {
                name: float(simulate(policy, drawn, SERVICE).cost.sum(axis=1).mean()) for name, drawn in days.items()
            }
            rows.append({"variant": variant, "seed": seed, "cost": float(np.mean(list(costs.values())))} | costs)
            rows[-1]["cpu_seconds"] = seconds
            print(f"{variant}, seed {seed}: {rows[-1]['cost']:.2f} $ a day, {seconds:.0f} CPU s", flush=True)
            write_text(path, pd.DataFrame(rows).to_csv(index=False, float_format="%.6g"))


if __name__ == "__main__":
    main()
