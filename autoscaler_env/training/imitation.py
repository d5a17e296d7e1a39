"""Imitation: PPO's network learns what calibrated rules do before it learns from rewards."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3 import PPO
from torch.distributions import Categorical

from autoscaler_env.envs.vector import AutoscalerVectorEnv
from autoscaler_env.evaluation.calibration import calibrate
from autoscaler_env.policies.decision_inputs import DecisionInputs
from autoscaler_env.policies.inputs import Inputs
from autoscaler_env.policies.recognise import Recogniser
from autoscaler_env.policies.rules import TargetTracking
from autoscaler_env.service import Service
from autoscaler_env.traffic.patterns import MIXED, PATTERNS, Workload, as_workload
from autoscaler_env.training.presets import DeepPreset

EPOCHS = 10
"""How often the network is trained on each step of the rules' days."""

EXPLORED = 0.1
"""Share of random actions on these days. They lead to situations that the rule alone does not reach."""

LABEL_SMOOTHING = 0.1
"""Probability that the network keeps for actions that the rule did not choose: it must go on exploring."""


def calibrated_rules(pattern: str | Workload, service: Service) -> list[tuple[Workload, TargetTracking]]:
    """Return the rules to imitate: each workload with target tracking calibrated for it.

    On `MIXED` there are six, one for each pattern. They know the pattern of a day. The network does not, and has to
    learn to recognise it.

    Args:
        pattern: The workload that the network is trained on.
        service: The service to scale.
    """
    workloads = [as_workload(each, service) for each in (PATTERNS if pattern == MIXED else (pattern,))]
    return [(workload, calibrate([workload], service).rule(service)) for workload in workloads]


def rule_to_beat(rules: list[tuple[Workload, TargetTracking]]) -> TargetTracking | None:
    """Return the rule that rewards are measured against, the imitated rule if it is only one; see `LearnerVecEnv`."""
    return rules[0][1] if len(rules) == 1 else None


def imitate(
    model: PPO,
    rules: list[tuple[Workload, TargetTracking]],
    preset: DeepPreset,
    seed: int,
    recogniser: Recogniser | None = None,
) -> None:
    """Train the network of PPO to act as rules do (behavioural cloning).

    Rewards then need to teach only what is better than the rules. Without imitation, a training of a million timesteps
    may not find fleets as large as rare events need. The timesteps that the rules play count as timesteps.

    Args:
        model: An untrained learner; its network and its number of timesteps are changed.
        rules: Workloads and their rules, as `calibrated_rules` returns them.
        preset: The number of services, which the rules share, and the number of days.
        seed: Seeds the days and the random actions.
        recogniser: The recogniser of a network over the inputs that a decision needs; `None` for others.
    """
    rng = np.random.default_rng(seed)
    shares = [len(part) for part in np.array_split(np.arange(preset.environments), len(rules))]
    demonstrations = [
        demonstrate(workload, rule, share, preset.imitation_days, preset.levels, rng, recogniser)
        for (workload, rule), share in zip(rules, shares, strict=True)
        if share
    ]
    inputs, actions = (
        torch.as_tensor(np.concatenate(arrays), device=model.device) for arrays in zip(*demonstrations, strict=True)
    )
    # An optimiser of its own: the one that learns from rewards starts from zero.
    optimiser = torch.optim.Adam(model.policy.parameters(), preset.learning_rate)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(actions)).to(model.device).split(preset.batch_size):
            distribution = cast(Categorical, model.policy.get_distribution(inputs[batch]).distribution)
            loss = torch.nn.functional.cross_entropy(
                distribution.logits, actions[batch], label_smoothing=LABEL_SMOOTHING
            )
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    model.num_timesteps = len(actions)


def demonstrate(
    workload: Workload,
    rule: TargetTracking,
    services: int,
    days: int,
    levels: bool,
    rng: np.random.Generator,
    recogniser: Recogniser | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Let a rule scale services, with some random actions in between.

    Args:
        workload: The workload; training days are drawn from it.
        rule: The rule.
        services: Number of services side by side.
        days: Number of days of each service.
        levels: As in `Inputs`.
        rng: Draws the days and the random actions.
        recogniser: As in `imitate`.

    Returns:
        The inputs of a learner, shape (steps, inputs), and the rule's action for each, shape (steps,).
    """
    service = rule.service
    batch = AutoscalerVectorEnv(services, workload, service)
    inputs = Inputs(service, levels) if recogniser is None else DecisionInputs(service, recogniser)
    seen, chosen = [], []
    for _ in range(days):
        observations, _ = batch.reset(seed=int(rng.integers(2**31)))
        inputs.start()
        for _ in range(service.steps_per_episode):
            seen.append(inputs(observations))
            chosen.append(rule.predict(observations))
            explored = rng.random(services) < EXPLORED
            random_actions = rng.integers(len(service.fleet_changes), size=services)
            observations = batch.step(np.where(explored, random_actions, chosen[-1]))[0]
    return np.concatenate(seen), np.concatenate(chosen)
