"""Batches of services for stable-baselines3, plain and as the deep learners see them."""

import numpy as np
import pytest
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.vec_env import VecMonitor

from autoscaler_env.envs.sb3 import AutoscalerVecEnv
from autoscaler_env.envs.vector import AutoscalerVectorEnv
from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.policies.inputs import INPUTS, Inputs
from autoscaler_env.policies.rules import TargetTracking
from autoscaler_env.service import Service
from autoscaler_env.traffic.trace import Trace
from autoscaler_env.training.learner_env import LearnerVecEnv

SHORT = Service(steps_per_episode=12)


def play(env, actions):
    """Play scripted actions, shape (steps, n); return what each step gave."""
    return [env.step(row) for row in actions]


def some_actions(steps, n, service=SHORT, seed=0):
    """Return random actions, shape (steps, n)."""
    return np.random.default_rng(seed).integers(len(service.fleet_changes), size=(steps, n))


# --- the plain batch -------------------------------------------------------------------------------------------------


def test_batch_for_stable_baselines_equals_that_for_gymnasium():
    ours, theirs = AutoscalerVectorEnv(3, "SPIKE", SHORT), AutoscalerVecEnv(3, "SPIKE", SHORT)
    theirs.seed(7)
    assert np.array_equal(theirs.reset(), ours.reset(seed=7)[0])
    for row in some_actions(30, 3):
        seen, reward, _, truncated, _ = ours.step(row)
        other_seen, other_reward, done, _ = theirs.step(row)
        assert np.array_equal(seen, other_seen) and np.array_equal(done, truncated)
        assert other_reward == pytest.approx(reward, rel=1e-6) and other_reward.dtype == np.float32


def test_a_day_that_ends_says_so_to_the_learner():
    env = AutoscalerVecEnv(2, "SPIKE", SHORT)
    env.reset()
    steps = play(env, some_actions(12, 2))
    assert not any(done.any() for _, _, done, _ in steps[:-1]) and not any(any(step[3]) for step in steps[:-1])
    observations, _, done, infos = steps[-1]
    assert done.tolist() == [True, True] and all(info["TimeLimit.truncated"] for info in infos)
    returns = np.sum([step[1] for step in steps], axis=0)
    assert [info["episode"]["r"] for info in infos] == pytest.approx(returns, rel=1e-5)
    assert all(info["episode"]["l"] == 12 for info in infos)
    assert not np.array_equal(observations[0], infos[0]["terminal_observation"])


def test_returns_start_again_with_each_day():
    env = AutoscalerVecEnv(2, "STEADY", SHORT)
    env.reset()
    steps = play(env, some_actions(24, 2))
    second = np.sum([step[1] for step in steps[12:]], axis=0)
    assert [info["episode"]["r"] for info in steps[-1][3]] == pytest.approx(second, rel=1e-5)


def test_stable_baselines_own_monitor_counts_the_same_returns():
    env = VecMonitor(AutoscalerVecEnv(2, "SPIKE", SHORT))
    inner = AutoscalerVecEnv(2, "SPIKE", SHORT)
    for each in (env, inner):
        each.seed(1)
        each.reset()
    actions = some_actions(12, 2)
    monitored, plain = play(env, actions)[-1][3], play(inner, actions)[-1][3]
    assert [i["episode"]["r"] for i in monitored] == pytest.approx([i["episode"]["r"] for i in plain], rel=1e-4)


def test_a_seed_counts_for_one_reset():
    env = AutoscalerVecEnv(2, "SPIKE", SHORT)
    env.seed(3)
    first, second = env.reset(), env.reset()
    env.seed(3)
    assert np.array_equal(env.reset(), first) and not np.array_equal(first, second)


def test_attributes_can_be_read_and_not_set():
    env = AutoscalerVecEnv(3, "SPIKE", SHORT)
    assert env.get_attr("service") == [SHORT] * 3 and env.get_attr("num_envs", [0, 2]) == [3, 3]
    assert env.env_is_wrapped(VecMonitor) == [False] * 3 and list(env.get_images()) == [None] * 3
    for refused in (lambda: env.set_attr("service", None), lambda: env.env_method("reset")):
        with pytest.raises(AttributeError):
            refused()


def test_stock_learners_train_in_it():
    for learner, settings in ((DQN, {"learning_starts": 100}), (PPO, {"n_steps": 24, "batch_size": 96})):
        model = learner("MlpPolicy", AutoscalerVecEnv(4, "SPIKE", SHORT), seed=0, device="cpu", **settings)
        before = [weights.clone() for weights in model.policy.parameters()]
        model.learn(300)
        assert any((one != other).any() for one, other in zip(before, model.policy.parameters(), strict=True))
        assert len(model.ep_info_buffer) > 0


# --- as the deep learners see it -------------------------------------------------------------------------------------


@pytest.fixture
def trace():
    """Return a workload of eight short days with bursts; a training day is drawn from them."""
    rng = np.random.default_rng(5)
    return Trace("bursts", rng.poisson(rng.uniform(500, 4000, (8, 12))))


class Shown:
    """A policy that plays scripted actions through `Inputs`, as a trained network would be shown them."""

    name = "shown"

    def __init__(self, actions, service):
        self._actions = iter(actions)
        self._inputs = Inputs(service)
        self.seen = []

    def reset(self, days):
        self._inputs.start()

    def predict(self, observations):
        self.seen.append(self._inputs(observations))
        return next(self._actions)


def start(pattern, seed=2, n=3, service=SHORT):
    """Return a learner's environment, its first inputs and the days that it plays, shape (n, steps)."""
    env = LearnerVecEnv(AutoscalerVecEnv(n, pattern, service))
    env.seed(seed)
    first = env.reset()
    return env, first, env.venv.batch.arrivals.T.copy()


def test_inputs_in_training_equal_inputs_at_deployment():
    env, first, days = start("SPIKE")
    actions = some_actions(12, 3)
    trained = [first, *(step[0] for step in play(env, actions))]
    deployed = Shown(actions, SHORT)
    simulate(deployed, days, SHORT)
    assert np.array_equal(trained[:12], deployed.seen)
    assert trained[0].shape == (3, INPUTS) and trained[0].dtype == np.float32 and np.isfinite(trained).all()


def test_inputs_of_the_second_day_know_nothing_of_the_first():
    env, _, _ = start("SPIKE")
    seen = play(env, some_actions(12, 3))[-1][0]
    fresh = Inputs(SHORT)
    batch = AutoscalerVectorEnv(3, "SPIKE", SHORT)
    assert np.array_equal(seen, fresh(batch.start_days(env.venv.batch.arrivals)))


def test_terminal_observation_is_what_the_true_last_one_looks_like():
    env, first, days = start("RANDOM")
    actions = some_actions(12, 3)
    infos = play(env, actions)[-1][3]
    batch, inputs = AutoscalerVectorEnv(3, "RANDOM", SHORT), Inputs(SHORT)
    inputs(batch.start_days(np.ascontiguousarray(days.T)))
    for row in actions[:-1]:
        inputs(batch.step(row)[0])
    wanted = inputs(batch.step(actions[-1])[4]["final_obs"])
    assert np.array_equal([info["terminal_observation"] for info in infos], wanted)
    assert not np.array_equal(wanted, first)


def saving_against_the_rule(policy, days):
    """Return what a policy saves against the rule on each day, from two separate simulations."""
    ours, rule = (simulate(each, days, SHORT).cost.sum(axis=1) for each in (policy, TargetTracking(SHORT)))
    return rule - ours


def test_paired_rewards_sum_to_the_difference_of_the_costs_on_every_day(script):
    env, _, _ = start("SPIKE")
    for seed in (0, 9):
        days, actions = env.venv.batch.arrivals.T.copy(), some_actions(12, 3, seed=seed)
        rewards = np.sum([step[1] for step in play(env, actions)], axis=0)
        assert rewards == pytest.approx(saving_against_the_rule(script(actions.T), days), abs=1e-4)


def test_a_learner_that_does_as_the_rule_earns_nothing():
    env, _, days = start("SPIKE")
    actions = simulate(TargetTracking(SHORT), days, SHORT).actions.T
    assert np.array([step[1] for step in play(env, actions)]) == pytest.approx(0, abs=1e-6)


def test_a_trace_can_be_trained_on(trace):
    _, first, days = start(trace)
    drawable = set(map(tuple, trace.draw(np.arange(99, dtype="u8"))))
    assert first.shape == (3, INPUTS) and set(map(tuple, days)) <= drawable


def test_inputs_of_a_service_do_not_depend_on_its_company():
    batch = AutoscalerVectorEnv(4, "SPIKE", SHORT)
    alone, together = Inputs(SHORT), Inputs(SHORT)
    observations, _ = batch.reset(seed=0)
    for row in some_actions(11, 4):
        assert np.array_equal(alone(observations[2:3]), together(observations)[2:3])
        observations = batch.step(row)[0]


def test_inputs_are_of_moderate_size(any_service, random_trajectory):
    trajectory = random_trajectory(any_service, days=5)
    shown = Shown(trajectory.actions.T, any_service)
    simulate(shown, trajectory.arrivals, any_service)
    assert np.isfinite(shown.seen).all() and np.abs(shown.seen).max() < 100


def test_without_pairing_the_reward_is_that_of_the_services_alone():
    env = LearnerVecEnv(AutoscalerVecEnv(3, "SPIKE", SHORT), paired=False)
    alone = AutoscalerVecEnv(3, "SPIKE", SHORT)
    for each in (env, alone):
        each.seed(4)
    assert env.reset().shape == (3, INPUTS) and alone.reset().shape == (3, 7)
    for row in some_actions(30, 3):
        assert np.array_equal(env.step(row)[1], alone.step(row)[1])


def test_without_inputs_a_learner_sees_the_observations_and_keeps_the_paired_reward():
    bare, usual = (LearnerVecEnv(AutoscalerVecEnv(3, "SPIKE", SHORT), inputs=shown) for shown in (False, True))
    alone = AutoscalerVecEnv(3, "SPIKE", SHORT)
    for each in (bare, usual, alone):
        each.seed(4)
    usual.reset()
    assert np.array_equal(bare.reset(), alone.reset()) and bare.observation_space == alone.observation_space
    for row in some_actions(30, 3):
        (seen, reward, _, infos), (true, _, _, true_infos) = bare.step(row), alone.step(row)
        assert np.array_equal(seen, true) and np.array_equal(reward, usual.step(row)[1])
        for info, true_info in zip(infos, true_infos, strict=True):
            assert np.array_equal(info.get("terminal_observation", 0), true_info.get("terminal_observation", 0))


def test_observations_that_a_learner_keeps_do_not_change_later():
    env = LearnerVecEnv(AutoscalerVecEnv(3, "SPIKE", SHORT), inputs=False)
    env.seed(4)
    kept = env.reset()
    before = kept.copy()
    play(env, some_actions(12, 3))
    assert np.array_equal(kept, before)
