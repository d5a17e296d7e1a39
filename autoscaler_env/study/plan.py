"""Which trainings the study consists of."""

from __future__ import annotations

import dataclasses
from typing import Any, get_args

from autoscaler_env.service import Service
from autoscaler_env.traffic.patterns import MIXED, PATTERNS
from autoscaler_env.training.config import LENGTH, Algorithm, TrainingConfig

STUDIES = {
    "budgets": "the three learners on MIXED, with the published budgets",
    "long": "PPO on MIXED for a million timesteps",
    "patterns": "the three learners on each single pattern: the published budgets, PPO for a million timesteps",
    "wide": "PPO on MIXED for a million timesteps, with an action set of wide steps",
}
"""The studies that train, and what they train."""

SEEDS = {"budgets": 10, "long": 10, "patterns": 5, "wide": 5}
"""Trainings of each learner on each pattern, by study: seeds 0, 1, 2, ..."""

LONG = 54 * 64 * 288
"""Steps of PPO's long trainings: 995,328, which is as many of its rollouts (64 days) as a million timesteps hold."""

SETTINGS: dict[str, dict[str, Any]] = {
    MIXED: {"discount": 0.995, "imitation_days": 12},
    "SPIKE": {"discount": 0.998, "imitation_days": 4},
}
"""PPO's settings other than the preset's, by what it is trained on, for long trainings of the reference service.

They are named as in `TrainingConfig`; selection days asked for them (`results/tuning_ppo_mixed_995328.csv`,
`results/tuning_ppo_spike_995328.csv`). A flash crowd is rare, and what it costs comes late: the horizon is longer, and
the learner begins with the reserve of the rules that were calibrated, which it does not find by itself. In single
trials imitation held PPO back on SINUSOIDAL and changed nothing on RANDOM, both at the preset's discount; where timesteps
are wide, the settings of MIXED changed nothing.
"""

WIDE = Service(fleet_changes=(-16, -8, -4, -2, -1, 0, 1, 2, 4, 8, 16))
"""The reference service with a stronger actuator: any of these timesteps in one step."""

QUICK = {"q-learning": 40, "dqn": 2_048, "ppo": 2_048}
"""Budgets of the quick profile, in days for Q-learning and in steps for the others; twice that for a long training.

They show that everything runs.
"""


def trainings(study: str, seeds: int | None = None, *, quick: bool = False) -> list[TrainingConfig]:
    """Return the trainings of a study.

    Args:
        study: One of `STUDIES`.
        seeds: Trainings of each learner on each pattern; `SEEDS` by default.
        quick: Whether to train on tiny budgets.

    Raises:
        ValueError: There is no such study, or the number of seeds is below 1.

    Example:
        >>> [run.seed for run in trainings("long", 3)]
        [0, 1, 2]
    """
    if study not in STUDIES:
        raise ValueError(f"study = {study!r}: must be one of {', '.join(STUDIES)}")
    count = SEEDS[study] if seeds is None else seeds
    if count < 1:
        raise ValueError(f"seeds = {count}: must be at least 1")
    runs = [run for seed in range(count) for run in _with_seed(study, seed)]
    return [_shortened(run) for run in runs] if quick else runs


def _shortened(run: TrainingConfig) -> TrainingConfig:
    """Return a training with the quick profile's budget."""
    length: dict[str, Any] = {LENGTH[run.algorithm]: QUICK[run.algorithm] * (2 if run.timesteps == LONG else 1)}
    return dataclasses.replace(run, **length)


def _with_seed(study: str, seed: int) -> list[TrainingConfig]:
    """Return a study's trainings of one seed; all on the CPU, where one seed gives one model."""
    common: dict[str, Any] = {"seed": seed, "device": "cpu"}
    learners = get_args(Algorithm)
    if study == "budgets":
        return [TrainingConfig(learner, **common) for learner in learners]
    if study == "long":
        return [TrainingConfig("ppo", MIXED, timesteps=LONG, **SETTINGS[MIXED], **common)]
    if study == "wide":
        return [TrainingConfig("ppo", timesteps=LONG, name="ppo_wide", service=WIDE, **common)]
    return [
        TrainingConfig("ppo", pattern, timesteps=LONG, **SETTINGS.get(pattern, {}), **common)
        if learner == "ppo"
        else TrainingConfig(learner, pattern, **common)
        for pattern in PATTERNS
        for learner in learners
    ]
