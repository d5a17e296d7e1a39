"""DQN and PPO in stable-baselines3's own classes: they run, they repeat, and they act as they were trained."""

import dataclasses

import numpy as np
import pytest
import torch

from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.policies.deep import DeepPolicy, build_network, count_weights
from autoscaler_env.policies.inputs import INPUTS
from autoscaler_env.service import Service
from autoscaler_env.threads import one_thread
from autoscaler_env.traffic.patterns import Pattern, day_seeds
from autoscaler_env.training.deep import build_learner, falling, weights_of_preset
from autoscaler_env.training.presets import PRESETS

SHORT = Service(steps_per_episode=24)
STEPS = 2_500  # beyond the steps that DQN collects before it learns


def trained(algorithm, seed=0, steps=STEPS, service=SHORT, **changed):
    """Return a learner after a short training on the CPU."""
    one_thread()
    preset = dataclasses.replace(PRESETS[algorithm], timesteps=steps, **changed)
    learner = build_learner(algorithm, preset, "SPIKE", service, seed=seed, device="cpu")
    return learner.learn(steps)


def weights_of(learner):
    """Return all weights of a learner in one vector."""
    return torch.nn.utils.parameters_to_vector(learner.policy.parameters()).detach()


@pytest.fixture(scope="module")
def learners():
    """Return one trained learner of each kind."""
    return {algorithm: trained(algorithm) for algorithm in PRESETS}


@pytest.mark.parametrize("algorithm", PRESETS)
def test_equal_trainings_give_equal_weights_and_others_do_not(learners, algorithm):
    once, again, other = learners[algorithm], trained(algorithm), trained(algorithm, seed=1)
    fresh = build_learner(algorithm, PRESETS[algorithm], "SPIKE", SHORT, seed=0, device="cpu")
    assert torch.equal(weights_of(once), weights_of(again)) and torch.isfinite(weights_of(once)).all()
    assert not torch.allclose(weights_of(once), weights_of(other))
    assert not torch.allclose(weights_of(once), weights_of(fresh))


@pytest.mark.parametrize("algorithm", PRESETS)
def test_preset_reaches_the_library(algorithm):
    preset = PRESETS[algorithm]
    learner = build_learner(algorithm, preset, "SPIKE", SHORT, seed=0, device="cpu")
    assert (learner.n_envs, learner.gamma, learner.batch_size) == (
        preset.environments,
        preset.discount,
        preset.batch_size,
    )
    assert learner.lr_schedule(1.0) == preset.learning_rate and learner.lr_schedule(0.0) == 0
    for name, value in preset.settings.items():
        kept = getattr(learner, name)
        assert value in (kept, getattr(kept, "frequency", None)), name


@pytest.mark.parametrize("algorithm", PRESETS)
def test_other_action_sets_can_be_learned(algorithm):
    for changes in ((0, 1), (-5, -1, 0, 1, 5)):
        service = dataclasses.replace(SHORT, fleet_changes=changes, boot_steps=3)
        learner = build_learner(algorithm, PRESETS[algorithm], "MIXED", service, seed=0, device="cpu").learn(200)
        days = Pattern("MIXED", service).draw(day_seeds("selection", 5))
        trajectory = simulate(DeepPolicy(learner.policy, service, "learned"), days, service)
        assert trajectory.actions.max() < len(changes)


@pytest.mark.parametrize("algorithm", PRESETS)
def test_a_day_is_scaled_alike_alone_and_after_or_among_other_days(learners, algorithm):
    days = Pattern("RANDOM", SHORT).draw(day_seeds("selection", 6))
    policy = DeepPolicy(learners[algorithm].policy, SHORT, "learned")
    together = simulate(policy, days, SHORT).actions
    assert np.array_equal(simulate(policy, days[3:4], SHORT).actions[0], together[3])
    assert np.array_equal(simulate(policy, days, SHORT).actions, together)


def test_a_network_over_the_plain_observation_is_a_policy_too():
    days = Pattern("SPIKE", SHORT).draw(day_seeds("selection", 3))
    for algorithm in PRESETS:
        network = build_network(algorithm, 7, 3, [8])
        assert simulate(DeepPolicy(network, SHORT, "plain"), days, SHORT).actions.shape == (3, 24)


def test_a_network_acts_and_prefers_as_the_library_says():
    seen = np.random.default_rng(0).normal(size=(500, 7)).astype(np.float32)
    for algorithm in ("dqn", "ppo"):
        network = build_network(algorithm, 7, 3, [8])
        policy = DeepPolicy(network, SHORT, "plain")
        assert np.array_equal(policy.predict(seen), network.predict(seen, deterministic=True)[0])
    with torch.no_grad():
        expected = network.get_distribution(torch.from_numpy(seen)).distribution.probs
    assert np.array_equal(policy.preferences(), expected.double().numpy())


def test_weights_are_counted_as_the_library_builds_them():
    for widths in ((64, 64), (8,), (16, 8, 4)):
        q_network = build_network("dqn", INPUTS, 3, list(widths)).q_net
        assert count_weights(widths, 3) == sum(weights.numel() for weights in q_network.parameters())
    for levels in (False, True):
        preset = dataclasses.replace(PRESETS["dqn"], levels=levels)
        learner = build_learner("dqn", preset, "SPIKE", SHORT, seed=0, device="cpu")
        assert weights_of_preset(preset, SHORT) == sum(each.numel() for each in learner.policy.q_net.parameters())


def test_learning_rate_falls_linearly_to_nothing():
    schedule = falling(0.002)
    assert [schedule(left) for left in (1.0, 0.5, 0.0)] == [0.002, 0.001, 0]
