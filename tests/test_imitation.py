"""Imitation: what the rules show, what the network learns, and that it counts as training."""

import dataclasses

import numpy as np
import pytest
import torch

from autoscaler_env.evaluation.calibration import calibrate
from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.paths import Folders
from autoscaler_env.policies.deep import DeepPolicy, one_thread
from autoscaler_env.policies.inputs import INPUTS, Inputs
from autoscaler_env.policies.rules import TargetTracking
from autoscaler_env.service import Service
from autoscaler_env.traffic.patterns import MIXED, PATTERNS, Pattern, day_seeds
from autoscaler_env.training.config import TrainingConfig
from autoscaler_env.training.deep import build_learner
from autoscaler_env.training.imitation import calibrated_rules, demonstrate, imitate
from autoscaler_env.training.presets import PPO_PRESET
from autoscaler_env.training.train import train

SHORT = Service(steps_per_episode=24)
PRESET = dataclasses.replace(PPO_PRESET, imitation_days=30, batch_size=512)


@pytest.fixture(scope="module")
def rules():
    """Return the rules for MIXED."""
    return calibrated_rules(MIXED, SHORT)


@pytest.fixture(scope="module")
def rule():
    """Return a rule for SPIKE that is imitated."""
    return TargetTracking(SHORT, reserve=4.0)


@pytest.fixture(scope="module")
def imitator(rule):
    """Return a learner that has imitated the rule."""
    return imitator_of([(Pattern("SPIKE", SHORT), rule)], "SPIKE")


def imitator_of(rules, pattern, seed=0, preset=PRESET):
    """Return a learner that has imitated rules."""
    one_thread()
    model = build_learner("ppo", preset, pattern, SHORT, seed=seed, device="cpu")
    imitate(model, rules, preset, seed)
    return model


def test_the_rules_to_imitate_are_calibrated_for_each_pattern(rules):
    assert [workload.name for workload, _ in rules] == list(PATTERNS)
    settings = [calibrate([workload], SHORT) for workload, _ in rules]
    assert [(rule.target, rule.reserve) for _, rule in rules] == [(each.target, each.reserve) for each in settings]
    assert len({(rule.target, rule.reserve) for _, rule in rules}) > 1


class Recorded(TargetTracking):
    """Target tracking that remembers what it saw and did."""

    def __init__(self, service):
        super().__init__(service)
        self.saw, self.did = [], []

    def predict(self, observations):
        self.saw.append(observations.copy())
        self.did.append(super().predict(observations))
        return self.did[-1]


def test_demonstrations_are_what_the_rule_saw_and_did():
    rule = Recorded(SHORT)
    seen, chosen = demonstrate(Pattern("SPIKE", SHORT), rule, 4, 3, False, np.random.default_rng(0))
    assert np.array_equal(chosen, np.concatenate(rule.did)) and len(rule.did) == 3 * 24
    days = []
    for day in range(3):
        inputs = Inputs(SHORT)
        days += [inputs(observations) for observations in rule.saw[24 * day : 24 * (day + 1)]]
    assert np.array_equal(seen, np.concatenate(days)) and seen.shape == (3 * 24 * 4, INPUTS)


def test_demonstrations_reach_states_that_the_rule_alone_does_not():
    seen, _ = demonstrate(Pattern("STEADY", SHORT), TargetTracking(SHORT), 8, 5, False, np.random.default_rng(0))
    alone = simulate(TargetTracking(SHORT), Pattern("STEADY", SHORT).draw(day_seeds("training", 40)), SHORT)
    settled = alone.fleet[:, 12:]
    assert np.ptp(seen[:, 4] * SHORT.peak_arrivals / SHORT.capacity_per_instance) > np.ptp(settled, axis=1).max()


def test_an_imitator_costs_as_much_as_the_rule_on_new_days(imitator, rule):
    days = Pattern("SPIKE", SHORT).draw(day_seeds("selection", 50))
    costs = [
        simulate(policy, days, SHORT).cost.sum(axis=1).mean()
        for policy in (DeepPolicy(imitator.policy, SHORT, "imitator"), rule)
    ]
    untrained = build_learner("ppo", PRESET, "SPIKE", SHORT, seed=0, device="cpu")
    worst = simulate(DeepPolicy(untrained.policy, SHORT, "untrained"), days, SHORT).cost.sum(axis=1).mean()
    assert costs[0] == pytest.approx(costs[1], rel=0.02) and worst > 1.2 * costs[1]


def test_an_imitator_goes_on_exploring():
    imitator = imitator_of([(Pattern("STEADY", SHORT), TargetTracking(SHORT))], "STEADY")
    imitator.policy.set_training_mode(False)
    observations = torch.as_tensor(imitator.get_env().reset())
    probabilities = imitator.policy.get_distribution(observations).distribution.probs
    assert probabilities.min().item() > 0.01 and probabilities.max(dim=1).values.max().item() < 0.99


def test_imitated_timesteps_count_as_training(tmp_path):
    config = TrainingConfig("ppo", "SPIKE", timesteps=5_000, imitation_days=1, service=SHORT, device="cpu")
    trained = train(config, Folders(tmp_path), progress=False)
    steps = [row["timesteps"] for row in trained.description["curve"]]
    imitated, rollout = 64 * 24, 64 * 48
    assert steps[:2] == [0, imitated] and trained.description["timesteps"] == imitated + 2 * rollout
    assert trained.description["preset"]["imitation_days"] == 1


def test_equal_seeds_imitate_equally(rules):
    small = dataclasses.replace(PRESET, imitation_days=2)
    models = [imitator_of(rules, MIXED, seed, small) for seed in (3, 3, 4)]
    weights = [torch.cat([each.flatten() for each in model.policy.parameters()]) for model in models]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
