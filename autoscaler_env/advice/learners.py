"""Train a learner for advice: on resampled days of the first part of the traffic."""

from __future__ import annotations

import dataclasses
import functools
import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from autoscaler_env.evaluation.calibration import calibrate
from autoscaler_env.evaluation.objective import Objective, price_in_words, share_interval
from autoscaler_env.evaluation.simulation import simulate_through, through_days
from autoscaler_env.evaluation.statistics import Interval
from autoscaler_env.paths import Folders
from autoscaler_env.policies.base import Policy
from autoscaler_env.policies.recorded_inputs import HISTORY, Recording
from autoscaler_env.service import Service
from autoscaler_env.storage.models import load_policy, read_description
from autoscaler_env.text import counted
from autoscaler_env.traffic.trace import ResampledDays, Trace, recorded_days
from autoscaler_env.training.checkpoint import RunFolder
from autoscaler_env.training.config import LENGTH, Algorithm, TrainingConfig, WarmStart
from autoscaler_env.training.objective import train_to_keep
from autoscaler_env.training.presets import DeepPreset, GeneratedPreset, RecordedPreset
from autoscaler_env.training.train import folder_of, train

BUDGETS: Mapping[str, dict[Algorithm, int]] = {
    "full": {"q-learning": 10_000, "dqn": 150_000, "ppo": 250_000, "policy-iteration": 16},
    "quick": {"q-learning": 1_000, "dqn": 15_000, "ppo": 30_000},
}
"""Training budget of each learner: days for Q-learning, iterations for policy iteration, timesteps for the others."""


GENERATED_START = Path(__file__).with_name("policy_iteration_generated.zip")
"""The network that policy iteration starts from, trained on generated traffic with the service of `advise --init`.

`python benchmarks/generated_traffic.py --start` makes it anew; the description beside it has its service.
"""

COMPARED_DAYS = 14
"""Training days, the last ones, on which it must be cheaper than calibrated target tracking to be started from."""


class Learned(NamedTuple):
    """A trained learner."""

    policy: Policy
    """The policy, for days in a row."""
    model: bytes
    """Its file."""
    rank: tuple[bool, float]
    """What chooses among trainings with different seeds: the highest is the best."""
    words: str
    """How it was trained."""
    late_price: float = math.nan
    """The late price that was searched for an objective, dollars for a request that waits at the end of a step."""


def training_config(algorithm: Algorithm, budget: int, days: Trace, service: Service, seed: int) -> TrainingConfig:
    """Return how a learner is trained. PPO first imitates calibrated target tracking for a day if its budget allows it.

    A small budget is better spent so: PPO need not learn from rewards what every rule knows.
    """
    length: dict[str, Any] = {LENGTH[algorithm]: budget}
    workload = ResampledDays("traffic", days)
    config = TrainingConfig(algorithm, workload, seed=seed, device="cpu", service=service, **length)
    if algorithm == "ppo":
        imitating = dataclasses.replace(config, imitation_days=1)
        if cast(DeepPreset, imitating.preset).imitated_timesteps(service.steps_per_episode) < budget:
            return imitating
    return config


def started(config: TrainingConfig, days: Trace) -> TrainingConfig:
    """Return a training that starts from the network trained on generated traffic, if it suits and it is one of those.

    Args:
        config: How a learner is trained, without an objective.
        days: The traffic.
    """
    if not isinstance(config.preset, RecordedPreset) or not suits(days, config.service):
        return config
    return dataclasses.replace(config, start=WarmStart.of(GENERATED_START), widths=GeneratedPreset.widths)


@functools.lru_cache(maxsize=4)
def suits(days: Trace, service: Service) -> bool:
    """Return whether policy iteration should start from the network that was trained on generated traffic.

    Its service must have steps of the same length and the same actions, and the network must already cost less than
    calibrated target tracking on the last training days. With other prices, sizes or traffic it may not.
    """
    from autoscaler_env.policies.deep import DeepPolicy  # here: a comparison of rules needs no torch

    recorded = recorded_days(days, service.boot_steps)
    description = read_description(GENERATED_START)
    assert description is not None
    made_for = Service.from_dict(description["service"])
    fits = (service.step_seconds, service.fleet_changes) == (made_for.step_seconds, made_for.fleet_changes)
    if not fits or recorded is None:
        return False
    policy = cast(DeepPolicy, load_policy(GENERATED_START, service))
    cut = max(len(recorded) - COMPARED_DAYS, 1)
    knowledge = cast(Recording, policy.knowledge)._replace(history=recorded[:cut][-HISTORY:].astype(np.float32))
    network = DeepPolicy(policy.network, service, policy.name, knowledge)
    rule = calibrate([ResampledDays("traffic", days)], service).rule(service)
    start, rules = (simulate_through(each, recorded[cut:], service).cost.sum() for each in (network, rule))
    return bool(start < rules)


def training_in_words(config: TrainingConfig) -> str:
    """Return how long a learner is trained, and how it begins."""
    unit = {"q-learning": "days", "policy-iteration": "iterations"}.get(config.algorithm, "timesteps")
    return (
        f"{getattr(config, LENGTH[config.algorithm]):,} {unit} of training"
        + (", begun by imitating target tracking" if config.imitation_days else "")
        + (", started from a network trained on generated traffic" if config.start else "")
    )


def train_once(config: TrainingConfig, progress: bool) -> Learned:
    """Train; return the better of the last and the best version, read back from its file."""
    with tempfile.TemporaryDirectory(prefix="advise") as folder:
        folders = Folders(folder)
        returns = train(config, folders, progress=progress).curve["mean_return"].to_numpy()
        best = int(returns[1:].argmax()) + 1
        files = RunFolder(config, folders)
        path = files.model if best == len(returns) - 1 else files.best
        policy = _for_days_in_a_row(load_policy(path, config.service), config)
        return Learned(policy, path.read_bytes(), (True, float(returns[best])), training_in_words(config))


def train_for_objective(config: TrainingConfig, days: Trace, first: float, *, falls: bool) -> Learned:
    """Train with the late price that keeps the objective on the first part of the days.

    Args:
        config: The training, with an objective.
        days: The traffic.
        first: The late price to begin with.
        falls: Whether lower ones are tried.

    Returns:
        The cheapest training of the search that keeps the objective there; its rank says whether it does, and what it
        costs, negative.
    """
    service, objective = config.service, cast(Objective, config.objective)

    def measure(policy: Policy) -> tuple[Interval, float]:
        trajectory = simulate_through(through_days(policy, service.steps_per_episode), days.earlier, service)
        in_time = objective.in_time(trajectory).reshape(days.earlier.shape).sum(axis=1)
        return share_interval(in_time, days.earlier.sum(axis=1)), float(trajectory.cost.sum()) / days.first_days

    with tempfile.TemporaryDirectory(prefix="advise") as folder:
        run = folder_of(config, Folders(folder))
        trained = train_to_keep(config, run.folders, progress=False, measure=measure, first=first, falls=falls)
        model = run.model.read_bytes()
    policy, late_price = trained.policy, trained.description["service"]["late_price"]
    shorter = len(trained.description["search"]) - 1
    words = f"{training_in_words(config)}, {counted(shorter, 'shorter one')} from its weights" if shorter else ""
    words = f"{words or training_in_words(config)}; late price {price_in_words(late_price, service)}"
    if not trained.description["keeps_objective"]:
        words += "; no price that was tried kept the objective on the first part of the days"
    rank = trained.description["keeps_objective"], -measure(policy)[1]
    return Learned(_for_days_in_a_row(policy, config), model, rank, words, late_price)


def _for_days_in_a_row(policy: Policy, config: TrainingConfig) -> Policy:
    policy.name = config.algorithm
    return through_days(policy, config.service.steps_per_episode)
