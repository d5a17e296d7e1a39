"""Imitation: what the rules show, what the network learns, and that it counts as training."""

import dataclasses

import numpy as np
import pytest
import torch

from autoscaler_env.evaluation.calibration import calibrate
from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.paths import Folders
from autoscaler_env.policies.deep import DeepPolicy
from autoscaler_env.policies.inputs import INPUTS, Inputs
from autoscaler_env.policies.rules import TargetTracking
from autoscaler_env.service import Service
from autoscaler_env.threads import one_thread
from autoscaler_env.traffic.patterns import MIXED, PATTERNS, Pattern, day_seeds
from autoscaler_env.training.config import TrainingConfig
from autoscaler_env.training.deep import build_learner
from autoscaler_env.training.imitation import (
    MARGIN,
    Teacher,
    calibrated_rules,
    demonstrate,
    imitate,
    margin_loss,
    play_rules,
    rule_to_beat,
)
from autoscaler_env.training.presets import DQN_PRESET, PPO_PRESET
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


SMALL_DQN = dataclasses.replace(DQN_PRESET, imitation_days=12)


@pytest.fixture(scope="module")
def taught(rule):
    """Return a DQN that a teacher has pre-trained with the rule, and its teacher."""
    return taught_by([(Pattern("SPIKE", SHORT), rule)], "SPIKE", SMALL_DQN)


def taught_by(rules, pattern, preset):
    """Return a DQN that has been pre-trained with rules, and its teacher."""
    one_thread()
    model = build_learner("dqn", preset, pattern, SHORT, seed=0, device="cpu", rule=rule_to_beat(rules))
    teacher = Teacher(model, play_rules(rules, preset, 0), preset)
    teacher.begin()
    return model, teacher


def test_dqn_that_was_taught_costs_as_much_as_the_rule_on_new_days(taught, rule):
    days = Pattern("SPIKE", SHORT).draw(day_seeds("selection", 50))
    policy = DeepPolicy(taught[0].policy, SHORT, "taught")
    costs = [simulate(one, days, SHORT).cost.sum(axis=1).mean() for one in (policy, rule)]
    assert costs[0] == pytest.approx(costs[1], rel=0.02)


def test_what_rules_played_is_in_the_replay_buffer_in_its_order_with_the_rewards_of_the_environment(rule):
    preset = dataclasses.replace(SMALL_DQN, environments=3, imitation_days=2)
    model, _ = taught_by([(Pattern("SPIKE", SHORT), rule)], "SPIKE", preset)
    buffer, rows = model.replay_buffer, 2 * 24
    assert buffer.pos == rows and model.num_timesteps == rows * 3 and not buffer.full
    assert buffer.timeouts[:rows].sum(axis=1).nonzero()[0].tolist() == [23, 47], "days end where they end"
    assert np.array_equal(buffer.observations[1:24], buffer.next_observations[:23])
    assert not np.array_equal(buffer.observations[24], buffer.next_observations[23]), "the next day is another"
    (shown,) = play_rules([(Pattern("SPIKE", SHORT), rule)], preset, 0)
    as_the_rule = (shown.taken == shown.actions).mean()
    assert 0.85 < as_the_rule < 1.0 and np.array_equal(buffer.actions[:rows, :, 0], shown.taken)
    assert np.array_equal(buffer.rewards[:rows], shown.rewards)
    first_day_of_one = shown.taken[:24, 0]
    assert shown.rewards[:, 0][: int((first_day_of_one != shown.actions[:24, 0]).argmax())] == pytest.approx(0.0)
    assert shown.rewards.any(), "random actions earn other rewards than the rule"


def test_the_margin_is_what_a_rule_action_lacks():
    values = torch.tensor([[1.0, 0.97, 0.5], [1.0, 0.9, 0.5], [0.0, 0.0, 0.0]])
    lacking = [margin_loss(values[[row]], torch.tensor([0])).item() for row in range(3)]
    assert lacking == pytest.approx([0.97 + MARGIN - 1.0, 0.0, MARGIN], abs=1e-6)
    assert margin_loss(values[[2]], torch.tensor([0]), 0.3).item() == pytest.approx(0.3)
    assert margin_loss(values, torch.tensor([2, 2, 2])).item() == pytest.approx((2 * (0.5 + MARGIN) + MARGIN) / 3)


def test_a_teacher_goes_on_while_dqn_learns(taught):
    model, teacher = taught
    before = [parameter.clone() for parameter in model.q_net.parameters()]
    teacher.on_rollout_end()
    assert any(not torch.equal(*pair) for pair in zip(before, model.q_net.parameters(), strict=True))
    assert model.exploration_initial_eps < 0.5, "it does not begin with random actions"


def test_normalised_rewards_are_divided_by_the_spread_of_the_returns_that_rules_earned(rule):
    preset = dataclasses.replace(SMALL_DQN, environments=3, imitation_days=2, normalise_reward=True)
    model, _ = taught_by([(Pattern("SPIKE", SHORT), rule)], "SPIKE", preset)
    (shown,) = play_rules([(Pattern("SPIKE", SHORT), rule)], preset, 0)
    returns = np.zeros((2, 24, 3))
    for day in range(2):
        for step in range(24):
            earlier = returns[day, step - 1] if step else 0.0
            returns[day, step] = preset.discount * earlier + shown.rewards[24 * day + step]
    assert model.get_vec_normalize_env().ret_rms.var == pytest.approx(returns.var(), rel=0.01)
    stored = model.replay_buffer.rewards[:48]
    assert np.array_equal(stored, shown.rewards), "the buffer holds dollars; they are divided when a batch is drawn"
