"""Learning from rules before rewards: what is shown, what is learned, what it costs of the budget."""

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
from autoscaler_env.training.config import PPO_PRESET, TrainingConfig
from autoscaler_env.training.deep import build_learner
from autoscaler_env.training.imitation import demonstrate, imitate, teachers
from autoscaler_env.training.train import train

SHORT = Service(steps_per_episode=24)
PRESET = dataclasses.replace(PPO_PRESET, imitation_days=30, batch_size=512)


@pytest.fixture(autouse=True)
def _one_thread():
    one_thread()


def an_imitator(taught, pattern, seed=0):
    model = build_learner("ppo", PRESET, pattern, SHORT, seed=seed, device="cpu")
    imitate(model, taught, PRESET, seed)
    return model


def test_teachers_are_the_rules_calibrated_for_each_pattern():
    found = teachers(MIXED, SHORT)
    assert [workload.name for workload, _ in found] == list(PATTERNS)
    for workload, rule in found:
        setting = calibrate([workload], SHORT)
        assert (rule.target, rule.reserve) == (setting.target, setting.reserve)
    assert len({(rule.target, rule.reserve) for _, rule in found}) > 1


class Recorded(TargetTracking):
    """Target tracking that remembers what it saw and did."""

    def __init__(self, service):
        super().__init__(service)
        self.saw, self.did = [], []

    def predict(self, observations):
        self.saw.append(observations.copy())
        self.did.append(super().predict(observations))
        return self.did[-1]


def test_what_is_shown_is_what_the_rule_saw_and_did():
    rule = Recorded(SHORT)
    seen, chosen = demonstrate(Pattern("SPIKE", SHORT), rule, 4, 3, False, np.random.default_rng(0))
    assert np.array_equal(chosen, np.concatenate(rule.did)) and len(rule.did) == 3 * 24
    days = []
    for day in range(3):
        inputs = Inputs(SHORT)
        days += [inputs(observations) for observations in rule.saw[24 * day : 24 * (day + 1)]]
    assert np.array_equal(seen, np.concatenate(days)) and seen.shape == (3 * 24 * 4, INPUTS)


def test_demonstrations_go_where_the_rule_alone_would_not():
    seen, _ = demonstrate(Pattern("STEADY", SHORT), TargetTracking(SHORT), 8, 5, False, np.random.default_rng(0))
    alone = simulate(TargetTracking(SHORT), Pattern("STEADY", SHORT).draw(day_seeds("training", 40)), SHORT)
    settled = alone.fleet[:, 12:]
    assert np.ptp(seen[:, 4] * SHORT.peak_arrivals / SHORT.capacity_per_instance) > np.ptp(settled, axis=1).max()


def test_an_imitator_does_on_new_days_what_the_rule_does():
    taught = [(Pattern("SPIKE", SHORT), TargetTracking(SHORT, reserve=4.0))]
    model = an_imitator(taught, "SPIKE")
    days = Pattern("SPIKE", SHORT).draw(day_seeds("selection", 50))
    costs = [
        simulate(policy, days, SHORT).cost.sum(axis=1).mean()
        for policy in (DeepPolicy(model.policy, SHORT, "imitator"), taught[0][1])
    ]
    untrained = build_learner("ppo", PRESET, "SPIKE", SHORT, seed=0, device="cpu")
    worst = simulate(DeepPolicy(untrained.policy, SHORT, "untrained"), days, SHORT).cost.sum(axis=1).mean()
    assert costs[0] == pytest.approx(costs[1], rel=0.02) and worst > 1.2 * costs[1]


def test_an_imitator_goes_on_exploring():
    model = an_imitator([(Pattern("STEADY", SHORT), TargetTracking(SHORT))], "STEADY")
    model.policy.set_training_mode(False)
    observations = torch.as_tensor(model.get_env().reset())
    chances = model.policy.get_distribution(observations).distribution.probs
    assert chances.min().item() > 0.01 and chances.max(dim=1).values.max().item() < 0.99


def test_the_steps_that_rules_play_count_as_training(tmp_path):
    run = TrainingConfig("ppo", "SPIKE", 5_000, imitation_days=1, service=SHORT, device="cpu")
    trained = train(run, Folders(tmp_path), progress=False)
    steps = [row["timesteps"] for row in trained.description["curve"]]
    imitated, trajectory = 64 * 24, 64 * 48
    assert steps[:2] == [0, imitated] and trained.description["timesteps"] == imitated + 2 * trajectory
    assert trained.description["preset"]["imitation_days"] == 1


def test_equal_seeds_imitate_equally():
    models = [an_imitator(teachers(MIXED, SHORT), MIXED, seed) for seed in (3, 3, 4)]
    weights = [torch.cat([each.flatten() for each in model.policy.parameters()]) for model in models]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize(
    ("algorithm", "days", "reason"), [("dqn", 1, "is for ppo, not for dqn"), ("ppo", -1, "must be at least 0")]
)
def test_imitation_that_cannot_be_is_refused(algorithm, days, reason):
    with pytest.raises(ValueError, match=f"imitation_days = {days}: {reason}"):
        TrainingConfig(algorithm, imitation_days=days)
