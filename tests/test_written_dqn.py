"""The DQN that notebook 4 writes out: its cells are executed and tested as they stand."""

import ast

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch

from autoscaler_env.envs.sb3 import AutoscalerVecEnv
from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.paths import Folders, notebook_sources
from autoscaler_env.policies.deep import NetworkPolicy
from autoscaler_env.policies.inputs import INPUTS
from autoscaler_env.service import Service
from autoscaler_env.threads import one_thread
from autoscaler_env.traffic.patterns import Pattern, day_seeds
from autoscaler_env.training.learner_env import LearnerVecEnv

CELLS = [
    cell.source
    for cell in nbformat.read(notebook_sources() / "04_train_dqn.ipynb", as_version=4).cells
    if "learner" in cell.metadata.get("tags", [])
]


@pytest.fixture(scope="module")
def dqn():
    """Return what the learner's cells define, by name."""
    one_thread()
    names = {"np": np, "torch": torch}
    for source in CELLS:
        exec(source, names)
    return names


def constant(dqn, values):
    """Return a network that gives the actions the same values in every state."""
    network = dqn["q_network"](1)
    for weights in network.parameters():
        weights.data.zero_()
    network[-1].bias.data = torch.tensor(values)
    return network


def batch_of(action, reward):
    zeros = torch.zeros(len(action), 1)
    return {"state": zeros, "next_state": zeros, "action": torch.tensor(action), "reward": torch.tensor(reward)}


def test_the_algorithm_has_forty_to_fifty_lines_in_small_cells():
    lines = [line for source in CELLS for line in ast.unparse(ast.parse(source)).splitlines() if line.strip()]
    code = [line for line in lines if not line.strip().startswith('"""')]
    assert 40 <= len(code) <= 50 and max(len(source.splitlines()) for source in CELLS) <= 20


def test_the_loss_is_that_worked_out_by_hand(dqn):
    values, target = constant(dqn, [1.0, 3.0, 2.0]), constant(dqn, [5.0, 4.0, 8.0])
    # The target is reward + 0.5 * 8. Errors: 4.1 - 1 = 3.1 and -1.5 + 4 - 2 = 0.5; Huber: 3.1 - 0.5 and 0.5^2 / 2.
    loss = dqn["td_loss"](values, target, batch_of([0.0, 2.0], [0.1, -1.5]), 0.5)
    assert loss.item() == pytest.approx((2.6 + 0.125) / 2, abs=1e-6)


def test_no_gradient_flows_through_the_target(dqn):
    values, target = constant(dqn, [1.0, 3.0, 2.0]), constant(dqn, [5.0, 4.0, 8.0])
    dqn["td_loss"](values, target, batch_of([0.0], [0.1]), 0.5).backward()
    assert values[-1].bias.grad is not None and all(weights.grad is None for weights in target.parameters())


def test_epsilon_is_the_share_of_random_actions(dqn):
    network, states = constant(dqn, [1.0, 3.0, 2.0]), np.zeros((30_000, 1), dtype=np.float32)
    for epsilon, best in ((0.0, 1.0), (0.3, 0.8), (1.0, 1 / 3)):  # a random action is the best one time in three
        actions = dqn["epsilon_greedy"](network, states, epsilon, np.random.default_rng(0))
        assert (actions == 1).mean() == pytest.approx(best, abs=0.01)


def test_a_full_buffer_replaces_its_oldest_rows(dqn):
    buffer = dqn["ReplayBuffer"](5, 1)
    for first in (0, 3, 6):
        number = np.arange(first, first + 3, dtype=np.float32)
        buffer.add(state=number[:, None], action=number, reward=number, next_state=number[:, None])
    assert sorted(buffer.rows["reward"].tolist()) == [4, 5, 6, 7, 8]
    drawn = buffer.sample(200)
    assert set(drawn["reward"].tolist()) == {4, 5, 6, 7, 8}
    assert torch.equal(drawn["state"][:, 0], drawn["action"]) and torch.equal(drawn["reward"], drawn["action"])


def test_rows_that_hold_nothing_yet_are_never_drawn(dqn):
    buffer = dqn["ReplayBuffer"](1_000, 1)
    buffer.add(state=np.ones((3, 1)), action=np.ones(3), reward=np.ones(3), next_state=np.ones((3, 1)))
    assert set(buffer.sample(500)["reward"].tolist()) == {1.0}


def train(dqn, timesteps=2_000, seed=0, **settings):
    return dqn["train_dqn"](LearnerVecEnv(AutoscalerVecEnv(16, "STEADY")), timesteps, seed, **settings)


def test_equal_seeds_give_equal_networks(dqn):
    one, same, other = (train(dqn, seed=seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_training_makes_a_policy_cheaper_than_the_untrained_one(dqn):
    days = Pattern("STEADY", Service()).draw(day_seeds("selection", 20))
    untrained, trained = dqn["q_network"](INPUTS), train(dqn, 8_000)
    costs = [simulate(NetworkPolicy(net, "net"), days).cost.sum(axis=1).mean() for net in (untrained, trained)]
    assert costs[1] < 200 < costs[0]


def test_committed_ablations_have_five_seeds_and_every_part():
    table = pd.read_csv(Folders.course().results / "ablations_dqn.csv").set_index(["setting", "variant"])
    precautions = {"full", "without target network", "without buffer", "without both"}
    assert set(table.loc["harder"].index) == precautions
    assert set(table.loc["tuned"].index) == precautions | {"plain reward", "raw observations", "discount 0.99"}
    assert set(table["seeds"]) == {5} and table["failed"].between(0, 5).all()
    assert (table["low"] <= table["more"]).all() and (table["more"] <= table["high"]).all()
    assert (table.xs("full", level="variant")[["more", "failed"]] == 0).all(axis=None)
