"""The PPO that notebook 5 writes out, its exercises, and the table of its variants."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from stable_baselines3.common.buffers import RolloutBuffer

from autoscaler_env.course import notebook_definitions
from autoscaler_env.envs.sb3 import AutoscalerVecEnv
from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.grading.exercises import ppo
from autoscaler_env.grading.judging import forget_misses
from autoscaler_env.paths import Folders, notebook_sources, project_root
from autoscaler_env.policies.deep import NetworkPolicy
from autoscaler_env.service import Service
from autoscaler_env.threads import one_thread
from autoscaler_env.traffic.patterns import MIXED, Pattern, day_seeds
from autoscaler_env.training.learner_env import LearnerVecEnv
from autoscaler_env.training.presets import PRESETS


@pytest.fixture(scope="module")
def written():
    """Return the functions of notebook 5."""
    one_thread()
    return notebook_definitions(notebook_sources() / "05_train_ppo.ipynb")


def tensors(*arrays):
    return [torch.as_tensor(np.asarray(array, dtype=np.float32)) for array in arrays]


def test_gae_is_the_sum_of_discounted_td_errors_and_stops_at_the_end_of_a_day(written):
    reward, value, ended = tensors([[1], [2], [3]], [[10], [20], [30]], [[0], [1], [0]])
    advantage = written["gae"](reward, value, ended, torch.tensor([40.0]), 0.5, 0.5)
    # TD errors: 1 + 0.5 x 20 - 10 = 1; the day ends: 2 - 20 = -18; 3 + 0.5 x 40 - 30 = -7
    assert advantage[:, 0].tolist() == [1 + 0.25 * -18, -18, -7]


def test_gae_equals_that_of_stable_baselines(written):
    rng, shape = np.random.default_rng(3), (20, 5)
    rewards, values = rng.normal(size=(2, *shape)).astype(np.float32)
    ended = (rng.random(shape) < 0.2).astype(np.float32)
    last = torch.as_tensor(rng.normal(size=5).astype(np.float32))
    env = AutoscalerVecEnv(5, MIXED)
    buffer = RolloutBuffer(20, env.observation_space, env.action_space, "cpu", 0.9, 0.97, 5)
    buffer.rewards, buffer.values, buffer.episode_starts[1:] = rewards, values, ended[:-1]
    buffer.compute_returns_and_advantage(last, ended[-1])
    assert np.allclose(written["gae"](*tensors(rewards, values, ended), last, 0.97, 0.9), buffer.advantages, atol=1e-5)


def test_loss_is_that_worked_out_by_hand(written):
    actor = lambda state: torch.zeros(2, 2)  # noqa: E731  # both actions have probability one half
    critic = lambda state: torch.tensor([[1.0], [3.0]])  # noqa: E731
    batch = {
        "state": torch.zeros(2, 1),
        "action": torch.tensor([0, 1]),
        "log_probability": torch.log(torch.tensor([0.25, 0.25])),  # both ratios are 2
        "advantage": torch.tensor([1.0, -1.0]),
        "value_target": torch.tensor([2.0, 5.0]),
    }
    loss = written["ppo_loss"](actor, critic, batch, 0.2, vf_coef=0.5, ent_coef=0.1, normalise=False)
    # policy: -(1.2 - 2) / 2 = 0.4; critic: 0.5 x (1 + 4) / 2 = 1.25; entropy: 0.1 x log 2
    assert loss.item() == pytest.approx(0.4 + 1.25 - 0.1 * np.log(2))


def test_normalised_advantages_ignore_the_unit_of_the_reward(written):
    torch.manual_seed(0)
    actor, critic = written["network"](3, 1.0, seen=2), written["network"](1, 1.0, seen=2)
    batch = {
        "state": torch.randn(8, 2),
        "action": torch.randint(3, (8,)),
        "log_probability": torch.zeros(8),
        "advantage": torch.randn(8),
        "value_target": torch.zeros(8),
    }
    dollars, cents = batch, batch | {"advantage": 100 * batch["advantage"]}
    first, second = (written["ppo_loss"](actor, critic, each).item() for each in (dollars, cents))
    assert first == pytest.approx(second, rel=1e-5)


def test_orthogonal_weights_have_rows_at_right_angles_and_an_undecided_actor(written):
    torch.manual_seed(0)
    layer, *_, last = written["network"](3, 0.01, "orthogonal", 64)
    rows = layer.weight @ layer.weight.T
    assert torch.allclose(rows, 2 * torch.eye(64), atol=1e-4) and layer.bias.abs().sum() == 0
    assert last.weight.abs().max() < 0.011
    with pytest.raises(ValueError, match="weights = 'zero': must be orthogonal, default or large"):
        written["network"](3, 0.01, "zero")


def test_a_rollout_adds_the_critic_s_value_where_a_day_ends_by_the_clock(written):
    service = Service(steps_per_episode=6)
    actor, critic = written["network"](3, 0.01), lambda state: torch.full((len(state), 1), 5.0)
    plays = []
    for discount in (0.0, 0.5):
        torch.manual_seed(1)
        env = LearnerVecEnv(AutoscalerVecEnv(2, "STEADY", service))
        env.seed(1)
        plays.append(written["collect"](env, actor, critic, env.reset(), 8, discount)[0])
    assert plays[0]["ended"].sum(dim=1).tolist() == [0, 0, 0, 0, 0, 2, 0, 0]
    added = (plays[1]["reward"] - plays[0]["reward"]).numpy()
    assert added == pytest.approx(2.5 * plays[0]["ended"].numpy(), abs=1e-5)


def test_defaults_of_the_written_learner_are_those_of_the_preset(written):
    preset = PRESETS["ppo"]
    names = written["train_ppo"].__code__.co_varnames[3 : written["train_ppo"].__code__.co_argcount]
    defaults = dict(zip(names, written["train_ppo"].__defaults__, strict=True))
    assert (defaults["learning_rate"], defaults["discount"]) == (preset.learning_rate, preset.discount)
    assert {name: defaults[name] for name in ("n_steps", "gae_lambda")} == {
        name: preset.settings[name] for name in ("n_steps", "gae_lambda")
    }


def test_equal_seeds_give_equal_actors_and_training_improves(written):
    days = Pattern("STEADY", Service()).draw(day_seeds("selection", 5))

    def train(timesteps, seed=0):
        return written["train_variant"]({}, timesteps, seed)

    short, again, other = train(3_072), train(3_072), train(3_072, 1)
    vectors = [torch.nn.utils.parameters_to_vector(policy.network.parameters()) for policy in (short, again, other)]
    assert torch.equal(vectors[0], vectors[1]) and not torch.equal(vectors[0], vectors[2])
    short_cost, long_cost = (simulate(policy, days).cost.sum(axis=1).mean() for policy in (short, train(18_432)))
    assert long_cost < short_cost


@pytest.mark.slow
def test_every_variant_trains(written):
    for name, changes in written["VARIANTS"].items():
        policy = written["train_variant"](changes, 3_072, 0)
        assert isinstance(policy, NetworkPolicy), name


def test_imitation_copies_actions_that_depend_on_one_input(written):
    torch.manual_seed(0)
    seen = torch.randn(4_000, ppo_inputs := written["inputs"].INPUTS)
    actions = (seen[:, 0] > 0).long() * 2
    copy = written["imitate"](seen, actions, seed=0)
    fresh = torch.randn(500, ppo_inputs)
    agreement = (copy(fresh).argmax(dim=1) == (fresh[:, 0] > 0).long() * 2).double().mean()
    assert agreement > 0.9


def test_a_baseline_makes_more_runs_end_on_the_better_arm(written):
    ends = {
        with_baseline: np.mean([written["reinforce"](np.random.default_rng(n), with_baseline)[-1] for n in range(40)])
        for with_baseline in (False, True)
    }
    assert ends[True] > 0.9 > ends[False]


def solutions():
    """Return the functions of the solutions."""
    source = (project_root() / "solutions" / "05_train_ppo.py").read_text(encoding="utf-8")
    namespace = {"np": np, "preset": PRESETS["ppo"]}
    exec(source, namespace)
    return [namespace[f"answer_{number}"] for number in range(3, 9)]


CHECKS = [
    ppo.check_reinforce,
    ppo.check_gae,
    ppo.check_clipped_loss,
    ppo.check_entropy,
    ppo.check_minibatches,
    ppo.check_flat,
]


def without_softmax(preference, arm, advantage, rate):
    return preference + rate * advantage * np.eye(len(preference))[arm]


def one_td_error(reward, value, ended, last_value, discount, gae_lambda):
    return reward + discount * (1 - ended) * np.vstack([value[1:], last_value[None]]) - value


def always_clipped(ratio, advantage, clip_range):
    return -(np.clip(ratio, 1 - clip_range, 1 + clip_range) * advantage).mean()


def of_the_whole(logits):
    p = np.exp(logits) / np.exp(logits).sum()
    return -(p * np.log(p)).sum()


def in_order(n, size, rng):
    return np.arange(n).reshape(-1, size)


def outside(ratio, advantage, clip_range):
    return (np.abs(ratio - 1) > clip_range).astype(int)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # the wrong answers overflow
def test_each_check_accepts_its_solution_and_refuses_a_known_mistake():
    mistakes = (without_softmax, one_td_error, always_clipped, of_the_whole, in_order, outside)
    for check, solution, mistake in zip(CHECKS, solutions(), mistakes, strict=True):
        assert check(solution) == "right", check.__name__
        forget_misses()
        told = [check(mistake), check(lambda *arguments: np.zeros(1)), check(mistake)]
        assert told[0] == told[2] != told[1] and all(line.startswith("not yet: ") for line in told), check.__name__


def test_no_check_raises_and_a_wrong_type_is_told_what_is_wanted():
    def broken(*arguments):
        raise KeyError("no")

    for check in CHECKS:
        assert check("gae") == check([1.0]) == "a function, please: its name, without brackets or quotes"
        assert "KeyError" in check(broken)
        assert "a number or an array, please" in check(lambda *arguments: "text")
        assert check(lambda *arguments: np.zeros(1)).startswith("not yet")


@pytest.mark.slow
def test_ablations_train_every_variant_with_every_seed(tmp_path, written):
    script = project_root() / "benchmarks" / "ablations_ppo.py"
    options = ["--seeds", "2", "--timesteps", "3072", "--days", "1", "--output", str(tmp_path)]
    ran = subprocess.run([sys.executable, str(script), *options], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    table = pd.read_csv(tmp_path / "results" / "ablations_ppo.csv")
    assert set(table["variant"]) == set(written["VARIANTS"]) and (table["cost"] > 0).all()
    assert table.groupby(["learning_rate", "variant"])["seed"].apply(list).map(lambda seeds: seeds == [0, 1]).all()


@pytest.fixture(scope="module")
def more():
    """Return what each variant costs beyond the full learner with the same seed, by step size, variant and seed."""
    table = pd.read_csv(Folders(project_root()).results / "ablations_ppo.csv")
    cost = table.set_index(["learning_rate", "variant", "seed"])["cost"]
    return cost - cost.xs("full", level="variant").reindex(cost.index.droplevel("variant")).to_numpy()


def test_prose_of_notebook_5_on_its_variants_is_true_of_the_table(more):
    tuned, large = more[0.001], more[0.005]
    assert set(more.index.get_level_values("seed")) == set(range(5))
    for part in ("large weights", "one epoch", "plain reward", "raw observations", "lambda 0"):
        assert (tuned[part] > 0).all(), part
    assert (large["without clip"] > 0).all() and large["without clip"].mean() > 100
    assert (large["without clip"] > 0.05 * 144.8).sum() == 4 and (large["without advantage normalisation"] > 0).all()
    for part in ("without clip", "without advantage normalisation", "default weights", "without entropy"):
        assert abs(tuned[part].mean()) < 1, part
    assert tuned.groupby("variant").mean().nlargest(3).index.tolist() == ["large weights", "lambda 0", "one epoch"]
