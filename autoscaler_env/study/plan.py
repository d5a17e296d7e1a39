"""The trainings of each study."""

from __future__ import annotations

from typing import Any

from autoscaler_env.service import Service
from autoscaler_env.text import not_a_choice
from autoscaler_env.traffic.workload import MIXED, PATTERNS
from autoscaler_env.training.config import LENGTH, Algorithm, TrainingConfig
from autoscaler_env.training.presets import DECISION

LEARNERS: tuple[Algorithm, ...] = ("q-learning", "dqn", "ppo")
"""The learners of the first studies; policy iteration has studies of its own."""

STUDIES = {
    "budgets": "the three learners on MIXED, with the published budgets",
    "long": "PPO on MIXED for a million timesteps",
    "patterns": "the three learners on each single pattern: the published budgets, PPO for a million timesteps",
    "wide": "PPO on MIXED for a million timesteps, with larger fleet changes",
    "inputs": "the three learners on MIXED, with the published budgets and the inputs that a decision needs",
    "iteration": "policy iteration on MIXED",
    "iteration_patterns": "policy iteration on each single pattern",
}
"""The studies that train, and what they train."""

BASELINES = "baselines"
"""The study of the rules and of the optimum; nothing is trained for it."""

WIDE_BASELINES = "wide_baselines"
"""The same with larger fleet changes."""

TRACES = "traces"
"""The study on recorded traffic, of what was trained and calibrated on synthetic days."""

NAMES = (*STUDIES, BASELINES, WIDE_BASELINES, TRACES)
"""All studies, by the names that users type."""

SEEDS = {"budgets": 10, "long": 10, "patterns": 5, "wide": 5, "inputs": 10, "iteration": 10, "iteration_patterns": 5}
"""Trainings of each learner on each pattern, by study: seeds 0, 1, 2, ..."""

LONG_TIMESTEPS = 54 * 64 * 288
"""Timesteps of the long trainings of PPO: 995,328, the largest number of whole rollouts (64 days) below a million."""

LONG_SETTINGS: dict[str, dict[str, Any]] = {
    MIXED: {"discount": 0.995, "imitation_days": 12},
    "SPIKE": {"discount": 0.998, "imitation_days": 4},
}
"""Settings of the long trainings of PPO that differ from the preset, by the workload trained on.

The names are those of `TrainingConfig`. The values were chosen on selection days
(`results/tuning_ppo_mixed_995328.csv`, `results/tuning_ppo_spike_995328.csv`). A flash crowd is rare, and its cost
comes late: therefore the horizon is longer, and the learner begins with the reserve of the calibrated rules, which it
does not find by itself. In single trials imitation made PPO worse on SINUSOIDAL and changed nothing on RANDOM, both at
the preset's discount; with larger fleet changes, the settings of MIXED changed nothing.
"""

WIDE = Service(fleet_changes=(-16, -8, -4, -2, -1, 0, 1, 2, 4, 8, 16))
"""The reference service with larger fleet changes in one step."""

QUICK = {"q-learning": 40, "dqn": 2_048, "ppo": 2_048}
"""Budgets of the quick profile: episodes for Q-learning, timesteps for the others, twice that for a long training.

They only show that everything runs.
"""


def check_study(name: str) -> None:
    """Refuse the name of a study that there is not.

    Raises:
        ValueError: There is no such study.

    Example:
        >>> check_study("budget")
        Traceback (most recent call last):
        ValueError: study = 'budget': must be one of budgets, ..., traces, all, did you mean budgets?
    """
    if name not in NAMES:
        raise ValueError(not_a_choice("study", name, (*NAMES, "all")))


def trainings(study: str, seeds: int | None = None, *, quick: bool = False) -> list[TrainingConfig]:
    """Return the trainings of a study, all on the CPU, where one seed gives one model.

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
        raise ValueError(not_a_choice("study", study, STUDIES))
    count = SEEDS[study] if seeds is None else seeds
    if count < 1:
        raise ValueError(f"seeds = {count}: must be at least 1")
    return [run for seed in range(count) for run in _trainings_of_seed(study, seed, quick)]


def _trainings_of_seed(study: str, seed: int, quick: bool) -> list[TrainingConfig]:
    if study == "budgets":
        return [_published(learner, MIXED, seed, quick) for learner in LEARNERS]
    if study == "inputs":
        settings: dict[str, Any] = {"inputs": DECISION} | ({"recogniser_days": 6} if quick else {})
        return [_published(learner, MIXED, seed, quick, **settings) for learner in LEARNERS]
    if study == "long":
        return [_long(MIXED, seed, quick, **LONG_SETTINGS[MIXED])]
    if study == "iteration":
        return [_iterated(MIXED, seed, quick)]
    if study == "iteration_patterns":
        return [_iterated(pattern, seed, quick) for pattern in PATTERNS]
    if study == "wide":
        return [_long(MIXED, seed, quick, name="ppo_wide", service=WIDE)]
    return [
        _long(pattern, seed, quick, **LONG_SETTINGS.get(pattern, {}))
        if learner == "ppo"
        else _published(learner, pattern, seed, quick)
        for pattern in PATTERNS
        for learner in LEARNERS
    ]


def _published(learner: Algorithm, pattern: str, seed: int, quick: bool, **settings: Any) -> TrainingConfig:
    """Return a training with the published budget, which is the preset's."""
    length: dict[str, Any] = {LENGTH[learner]: QUICK[learner]} if quick else {}
    return TrainingConfig(learner, pattern, seed=seed, device="cpu", **length, **settings)


def _long(pattern: str, seed: int, quick: bool, **settings: Any) -> TrainingConfig:
    """Return a long training of PPO."""
    timesteps = 2 * QUICK["ppo"] if quick else LONG_TIMESTEPS
    return TrainingConfig("ppo", pattern, timesteps=timesteps, seed=seed, device="cpu", **settings)


def _iterated(pattern: str, seed: int, quick: bool) -> TrainingConfig:
    """Return a training by policy iteration; on one pattern it has less to learn, and takes two thirds of the time."""
    settings: dict[str, Any] = {} if pattern == MIXED else {"iterations": 16}
    settings |= {"iterations": 1, "days": 6, "recogniser_days": 6} if quick else {}
    return TrainingConfig("policy-iteration", pattern, seed=seed, device="cpu", **settings)
