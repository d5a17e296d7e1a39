"""Begin where the rules are: let a network learn what calibrated rules do before it learns from rewards."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3 import PPO
from torch.distributions import Categorical

from autoscaler_env.envs.vector import AutoscalerVectorEnv
from autoscaler_env.evaluation.calibration import calibrate
from autoscaler_env.policies.inputs import Inputs
from autoscaler_env.policies.rules import TargetTracking
from autoscaler_env.service import Service
from autoscaler_env.traffic.patterns import MIXED, PATTERNS, Workload, as_workload
from autoscaler_env.training.config import DeepPreset

EPOCHS = 10
"""How often the network is shown each step of the rules' days."""

EXPLORED = 0.1
"""Share of random actions on those days, which show what a rule does where it would not get to by itself."""

DOUBT = 0.1
"""Probability that the network is to leave to the actions that the rule did not choose: it must go on exploring."""


def teachers(pattern: str | Workload, service: Service) -> list[tuple[Workload, TargetTracking]]:
    """Return what is worth imitating: each workload with target tracking as it was calibrated for that workload.

    On `MIXED` there are six, one for each pattern. They know which pattern a day has; the network does not, and has to
    learn to recognise it.

    Args:
        pattern: What is trained on.
        service: The service to scale.
    """
    workloads = [as_workload(each, service) for each in (PATTERNS if pattern == MIXED else (pattern,))]
    return [(workload, calibrate([workload], service).rule(service)) for workload in workloads]


def rule_to_beat(taught: list[tuple[Workload, TargetTracking]]) -> TargetTracking | None:
    """Return what rewards are best measured against: the rule that is imitated, if it is one; see `LearnerVecEnv`."""
    return taught[0][1] if len(taught) == 1 else None


def imitate(model: PPO, taught: list[tuple[Workload, TargetTracking]], preset: DeepPreset, seed: int) -> None:
    """Let the network of PPO learn to act as rules do (behavioural cloning).

    What is left to learn from rewards is how to do better than they. Without it a training of a million timesteps may not
    find fleets as large as rare events ask for. The timesteps that the rules played count as timesteps.

    Args:
        model: An untrained learner; its network and its count of timesteps are changed.
        taught: Workloads and the rules that play them, as `teachers` returns them.
        preset: How many services there are, which the rules share, and how many days they play.
        seed: Seeds the days and the random actions.
    """
    rng = np.random.default_rng(seed)
    shares = [len(part) for part in np.array_split(np.arange(preset.environments), len(taught))]
    played = [
        demonstrate(workload, rule, share, preset.imitation_days, preset.levels, rng)
        for (workload, rule), share in zip(taught, shares, strict=True)
        if share
    ]
    inputs, actions = (torch.as_tensor(np.concatenate(each), device=model.device) for each in zip(*played, strict=True))
    # An optimiser of its own: the one that learns from rewards starts afresh.
    optimiser = torch.optim.Adam(model.policy.parameters(), preset.learning_rate)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(actions)).to(model.device).split(preset.batch_size):
            chances = cast(Categorical, model.policy.get_distribution(inputs[batch]).distribution)
            loss = torch.nn.functional.cross_entropy(chances.logits, actions[batch], label_smoothing=DOUBT)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    model.num_timesteps = len(actions)


def demonstrate(
    workload: Workload, rule: TargetTracking, services: int, days: int, levels: bool, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Let a rule play, now and then disturbed.

    Args:
        workload: What it plays; training days of it.
        rule: The rule.
        services: How many it scales at a time.
        days: How many days it scales each for.
        levels: As in `Inputs`.
        rng: Draws the days and the disturbances.

    Returns:
        What a learner would have seen, shape (steps, inputs), and what the rule would do, shape (steps,).
    """
    service = rule.service
    batch, inputs = AutoscalerVectorEnv(services, workload, service), Inputs(service, levels)
    seen, chosen = [], []
    for _ in range(days):
        observations, _ = batch.reset(seed=int(rng.integers(2**31)))
        inputs.start()
        for _ in range(service.steps_per_episode):
            seen.append(inputs(observations))
            chosen.append(rule.predict(observations))
            disturbed = rng.random(services) < EXPLORED
            anything = rng.integers(len(service.fleet_changes), size=services)
            observations = batch.step(np.where(disturbed, anything, chosen[-1]))[0]
    return np.concatenate(seen), np.concatenate(chosen)
