"""Search presets: the same number of random trials for each learner, compared on selection days.

    python benchmarks/tune.py ppo --trials 20 --seeds 2 --pattern MIXED
    python benchmarks/tune.py ppo --trials 8 --seeds 2 --pattern SPIKE --budget 995328
    python benchmarks/tune.py ppo --trials 8 --seeds 2 --pattern MIXED --budget 995328
    python benchmarks/tune.py ppo --trials 12 --seeds 2 --pattern MIXED --inputs decision

A trial draws one value for each setting below, trains with each seed, and is scored by its mean cost on selection days;
the first trial is the present preset. No evaluation day is used. The trials, best first, are saved as
`results/tuning_ALGORITHM_PATTERN.csv`, with the inputs or the budget in the name if they are not the usual ones.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from typing import Any, cast

import numpy as np
import pandas as pd
from stable_baselines3 import DQN, PPO
from tqdm.auto import tqdm

from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.paths import Folders
from autoscaler_env.policies.base import Policy
from autoscaler_env.policies.decision_inputs import recogniser_of_outlooks
from autoscaler_env.policies.deep import DeepPolicy
from autoscaler_env.service import Service
from autoscaler_env.storage.files import write_text
from autoscaler_env.threads import one_thread
from autoscaler_env.traffic.patterns import MIXED, PATTERNS, Pattern, day_seeds
from autoscaler_env.training.deep import build_learner
from autoscaler_env.training.imitation import Teacher, calibrated_rules, imitate, play_rules, rule_to_beat
from autoscaler_env.training.presets import (
    DECISION,
    LONG_TRAINING,
    USUAL,
    DeepPreset,
    deep_preset,
    q_learning_preset,
)
from autoscaler_env.training.tabular import fill_table, untrained_table

SERVICE = Service()
SELECTION_DAYS = 300
"""Selection days of each pattern."""

SPACE: dict[str, dict[str, list[Any]]] = {
    "q-learning": {
        "rate_exponent": [0.55, 0.6, 0.7, 0.8, 0.9],
        "discount": [0.7, 0.8, 0.85, 0.9, 0.95],
        "first_epsilon": [0.1, 0.3, 1.0],
        "last_epsilon": [0.01, 0.02, 0.05, 0.1],
        "epsilon_days": [0.25, 0.5, 0.9],
    },
    "dqn": {
        "learning_rate": [3e-4, 1e-3, 2e-3, 4e-3],
        "discount": [0.9, 0.95, 0.98],
        "batch_size": [256, 512, 1024],
        "settings.gradient_steps": [1, 2, 4],
        "settings.target_update_interval": [500, 1_000, 4_000],
        "settings.exploration_fraction": [0.1, 0.3, 0.6],
        "settings.exploration_final_eps": [0.01, 0.05, 0.1],
    },
    "ppo": {
        "learning_rate": [3e-4, 1e-3, 2e-3, 4e-3],
        "discount": [0.9, 0.95, 0.98, 0.99],
        "batch_size": [256, 512, 1024],
        "settings.n_steps": [16, 24, 48, 96],
        "settings.n_epochs": [4, 6, 10],
        "settings.gae_lambda": [0.9, 0.95, 0.98],
        "settings.ent_coef": [0.0, 0.001, 0.005, 0.02],
    },
}

DECISION_SPACE: dict[str, dict[str, list[Any]]] = {
    "q-learning": {"discount": [0.9, 0.95, 0.97, 0.98, 0.99], "last_epsilon": [0.02, 0.05, 0.1, 0.2]},
    "dqn": {
        "discount": [0.95, 0.97, 0.98, 0.99],
        "learning_rate": [5e-4, 1e-3, 2e-3],
        "batch_size": [256, 512],
        "settings.gradient_steps": [2, 4],
        "settings.n_steps": [3, 5, 10, 20],
        "settings.exploration_final_eps": [0.005, 0.01, 0.05],
        "imitation_days": [1, 2, 3],
    },
    "ppo": {"discount": [0.95, 0.98, 0.99, 0.995], "learning_rate": [5e-4, 1e-3, 2e-3]},
}
"""Where the search differs with the inputs that a decision needs: horizons are longer, as the inputs see farther."""


def long_space(pattern: str) -> dict[str, list[Any]]:
    """Return the search space of PPO with a long budget; on `MIXED` six teachers share the services, for more days."""
    days = [0, 6, 12, 24] if pattern == MIXED else [0, 2, 4, 8]
    return {"discount": [0.98, 0.99, 0.995, 0.998], "imitation_days": days}


def changed(preset: Any, values: dict[str, Any]) -> Any:
    """Return a preset with some of its fields, or of its settings, replaced."""
    fields = {name: value for name, value in values.items() if "." not in name}
    settings = {name.removeprefix("settings."): value for name, value in values.items() if "." in name}
    if settings:
        fields["settings"] = preset.settings | settings
    return dataclasses.replace(preset, **fields)


def train(algorithm: str, preset: Any, pattern: str, seed: int) -> Policy:
    """Train one model without writing anything."""
    if isinstance(preset, DeepPreset):
        rules = calibrated_rules(pattern, SERVICE) if preset.imitation_days else []
        recogniser = recogniser_of_outlooks(SERVICE, seed) if preset.inputs == DECISION else None
        model = build_learner(
            algorithm,
            preset,
            pattern,
            SERVICE,
            seed=seed,
            device="cpu",
            rule=rule_to_beat(rules),
            recogniser=recogniser,
        )
        teacher = None
        if rules and isinstance(model, DQN):
            teacher = Teacher(model, play_rules(rules, preset, seed, recogniser), preset)
            teacher.begin()
        elif rules:
            imitate(cast(PPO, model), rules, preset, seed, recogniser)
        model.learn(preset.timesteps - model.num_timesteps, teacher, reset_num_timesteps=False)
        return DeepPolicy(model.policy, SERVICE, algorithm, recogniser)
    recogniser = recogniser_of_outlooks(SERVICE, seed) if preset.inputs == DECISION else None
    table = untrained_table(SERVICE, preset, seed, recogniser)
    for _ in fill_table(table, preset, Pattern(pattern, SERVICE), np.random.default_rng(seed)):
        pass
    return table


def score(policy: Policy, pattern: str) -> float:
    """Return the mean cost on selection days, in dollars."""
    names = PATTERNS if pattern == MIXED else (pattern,)
    seeds = day_seeds("selection", SELECTION_DAYS)
    days = np.vstack([Pattern(name, SERVICE).draw(seeds) for name in names])
    return float(simulate(policy, days, SERVICE).cost.sum(axis=1).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("algorithm", choices=list(SPACE))
    parser.add_argument("--pattern", default=MIXED, help="the pattern to train on and to score by")
    parser.add_argument("--trials", type=int, default=20, help="settings to try, the present preset included")
    parser.add_argument("--seeds", type=int, default=2, help="trainings of each")
    parser.add_argument("--budget", type=int, help="episodes or steps of each training; the preset's by default")
    parser.add_argument("--inputs", choices=[USUAL, DECISION], default=USUAL, help="what the learner sees")
    parser.add_argument("--output", help="folder whose results/ the table is written to; the project by default")
    arguments = parser.parse_args()
    one_thread()
    space = SPACE[arguments.algorithm] | (DECISION_SPACE[arguments.algorithm] if arguments.inputs == DECISION else {})
    preset: Any
    if arguments.algorithm == "q-learning":
        preset = q_learning_preset(arguments.inputs)
        preset = dataclasses.replace(preset, episodes=arguments.budget or preset.episodes)
    else:
        preset = deep_preset(arguments.algorithm, arguments.budget, arguments.inputs)
        if arguments.algorithm == "ppo" and preset.timesteps >= LONG_TRAINING:
            space = long_space(arguments.pattern)
    budget = f"_{arguments.budget}" if arguments.budget else ""
    inputs = f"_{DECISION}" if arguments.inputs == DECISION else ""
    name = f"tuning_{arguments.algorithm.replace('-', '_')}_{arguments.pattern.lower()}{budget}{inputs}.csv"
    path = Folders(arguments.output).results / name
    rng = np.random.default_rng(0)
    rows = []
    for trial in tqdm(range(arguments.trials), unit="trial"):
        values = {name: choices[rng.integers(len(choices))] for name, choices in space.items()} if trial else {}
        begun = time.process_time()
        costs = [
            score(train(arguments.algorithm, changed(preset, values), arguments.pattern, seed), arguments.pattern)
            for seed in range(arguments.seeds)
        ]
        seconds = (time.process_time() - begun) / arguments.seeds
        rows.append(
            {"cost": np.mean(costs), "worst": max(costs), "cpu_seconds": seconds} | (values or {"note": "preset"})
        )
        table = pd.DataFrame(rows).sort_values("cost")
        write_text(path, table.to_csv(index=False, float_format="%.6g"))
    print(table.to_string(index=False, float_format="%.4g"))


if __name__ == "__main__":
    main()
