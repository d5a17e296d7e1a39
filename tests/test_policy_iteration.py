"""Policy iteration: exact advantages against environments that play every branch, and a model that plays as trained."""

import copy
import io
import shutil
import zipfile

import gymnasium
import numpy as np
import pandas as pd
import pytest
import torch
from cases import SERVICES
from stable_baselines3 import PPO

from autoscaler_env import dynamics
from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.paths import Folders
from autoscaler_env.policies.decision_inputs import ARRIVALS_INPUTS, DecisionInputs, Outlook, outlook_on
from autoscaler_env.policies.deep import DeepPolicy
from autoscaler_env.policies.recognise import Recogniser
from autoscaler_env.policies.rules import TargetTracking
from autoscaler_env.service import Service
from autoscaler_env.storage.models import load_policy, read_model
from autoscaler_env.traffic.patterns import PATTERNS, Pattern, day_seeds
from autoscaler_env.training.branches import advantages, branch, entries_of_state, preferences, visit
from autoscaler_env.training.checkpoint import RunFolder
from autoscaler_env.training.config import TrainingConfig
from autoscaler_env.training.policy_iteration import PolicyIteration
from autoscaler_env.training.presets import IterationPreset
from autoscaler_env.training.train import train

SHORT = Service(steps_per_episode=24)
SMALL = IterationPreset(iterations=2, days=12, labels=4, rule_iterations=1, epochs=1, batch_size=16, recogniser_days=6)
RULE = (0.9, 1.5)


def a_recogniser():
    """Return a recogniser with some weights."""
    rng = np.random.default_rng(0)
    sizes = ((ARRIVALS_INPUTS, 8), (8, 6))
    weights = tuple(rng.normal(size=size).astype(np.float32) for size in sizes)
    return Recogniser(weights, tuple(rng.normal(size=size[1]).astype(np.float32) for size in sizes))


def a_learner(service):
    """Return an untrained learner whose preferences differ much from state to state."""
    learner = PolicyIteration("SPIKE", service, SMALL, 0, a_recogniser())
    with torch.no_grad():
        for parameter in learner.model.policy.mlp_extractor.parameters():
            parameter *= 3
        learner.model.policy.action_net.weight *= 300
    return learner


def some_days(service, count=4):
    return np.concatenate([Pattern(name, service).draw(day_seeds("training", count)) for name in ("SPIKE", "RANDOM")])


def prepared(learner, days):
    """Return the days as compiled code plays them, and the inputs that depend on arrivals."""
    known, expected = outlook_on(learner.service, days)
    chances = learner.knowledge.chances_of(known.reshape(-1, ARRIVALS_INPUTS)).reshape(*days.shape, -1)
    rules = np.tile(RULE, (len(days), 1))
    return learner.compiled(days, np.concatenate([known, chances], axis=2), expected, rules)


def constants(service):
    changes = np.array(service.fleet_changes, dtype=np.int64)
    return Outlook(service).scales, changes, dynamics.constants_of(service)


def cost_to_the_end(env, policy, action, observation):
    """Take an action in a copy of an environment, then follow the policy to the end of the day; return the counts."""
    counts, over = np.zeros(3, dtype=np.int64), False
    while not over:
        observation, _, _, over, info = env.step(action)
        counts += np.array([info["ready"] + info["booting"], info["queue"], info["dropped"]])
        if not over:
            action = int(policy.predict(observation[np.newaxis])[0])
    return counts


@pytest.mark.parametrize("by_rule", [False, True])
def test_labels_are_what_environments_cost_that_play_every_branch_to_the_end_of_the_day(by_rule):
    for service in (SHORT, SERVICES["wide"], SERVICES["odd"], SERVICES["from zero, boots into a third step"]):
        learner = a_learner(service)
        n_actions, days = len(service.fleet_changes), some_days(service, 1)
        actor, played = prepared(learner, days)
        chosen = np.array([[0, 7, 19], [3, 12, service.steps_per_episode - 1]])
        states = np.empty((2, 3, entries_of_state(service)), dtype=np.int64)
        counts = np.empty((2, 3, n_actions, 3), dtype=np.int64)
        nothing = np.full(days.shape, -1)
        visit(played, actor, *constants(service), by_rule, nothing, chosen, states)
        steps = branch(played, actor, *constants(service), by_rule, chosen, states, counts)
        assert 0 < steps <= n_actions * sum(service.steps_per_episode - step for row in chosen for step in row)
        for day, row in enumerate(chosen):
            policy = (
                TargetTracking(service, *RULE)
                if by_rule
                else DeepPolicy(learner.model.policy, service, "it", learner.knowledge)
            )
            env = gymnasium.make("Autoscaler-v0", service=service).unwrapped
            observation, _ = env.reset(options={"day": days[day]})
            policy.reset(days[day : day + 1])
            for step in range(row[-1] + 1):
                action = int(policy.predict(observation[np.newaxis])[0])
                if step in row:
                    brute = np.array(
                        [
                            cost_to_the_end(copy.deepcopy(env), copy.deepcopy(policy), each, observation)
                            for each in range(n_actions)
                        ]
                    )
                    place = int(np.flatnonzero(row == step)[0])
                    assert np.array_equal(counts[day, place] - counts[day, place, 0], brute - brute[0])
                observation = env.step(action)[0]


def test_an_advantage_is_a_cost_minus_the_mean_of_all():
    counts = np.array([[10, 0, 0], [11, 100, 0], [12, 0, 4]])
    costs = np.array([0.16, 0.176 + 0.025, 0.192 + 0.01])
    assert advantages(counts, Service()) == pytest.approx(costs - costs.mean())


def test_compiled_networks_prefer_what_torch_prefers_and_play_the_same_days():
    for service in (SHORT, SERVICES["slow boot"]):
        learner, days = a_learner(service), some_days(service, 8)
        actor, played = prepared(learner, days)
        chosen = np.tile(np.arange(days.shape[1]), (len(days), 1))
        states = np.empty((*days.shape, entries_of_state(service)), dtype=np.int64)
        cost = visit(played, actor, *constants(service), False, np.full(days.shape, -1), chosen, states)
        policy = DeepPolicy(learner.model.policy, service, "it", learner.knowledge)
        trajectory = simulate(policy, days, service)
        for row, name in enumerate(("ready", "booting", "queue")):
            assert np.array_equal(states[:, 1:, row], getattr(trajectory, name)[:, :-1]), name
        assert cost == pytest.approx(trajectory.cost.sum())
        assert len(np.unique(trajectory.actions)) > 1
        # the last decision of each day, on which `policy` has just looked
        units, out = np.empty((2, 64), np.float32), np.empty(actor.last.shape[1], np.float32)
        with torch.no_grad():
            inputs = torch.from_numpy(policy._looked_at)
            logits = torch.log_softmax(policy.network.action_net(policy.network.mlp_extractor.forward_actor(inputs)), 1)
        for day in range(len(days)):
            look = states[day, -1], played.expected[day, -1], played.hidden[day, -1], Outlook(service).scales
            preferences(*look, actor, np.empty(17, np.float32), *units, out)
            compiled = torch.log_softmax(torch.from_numpy(out), 0).numpy()
            assert compiled == pytest.approx(logits[day].numpy(), rel=1e-5, abs=1e-4)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a small training and its folders."""
    folders = Folders(tmp_path_factory.mktemp("iteration"))
    return train(config(), folders, progress=False), folders


def config(**changes):
    small = {"iterations": 3, "days": 12, "labels": 4, "rule_iterations": 1, "recogniser_days": 12}
    return TrainingConfig("policy-iteration", "MIXED", service=SHORT, **small | changes)


def test_a_training_that_breaks_off_ends_as_without_interruption(trained, tmp_path, monkeypatch):
    save, saves = RunFolder.save_state, iter(range(1))

    def save_or_break(self, *arguments):
        save(self, *arguments)
        if next(saves, None) is None:
            raise InterruptedError

    monkeypatch.setattr(RunFolder, "save_state", save_or_break)
    with pytest.raises(InterruptedError):
        train(config(), Folders(tmp_path), progress=False)
    monkeypatch.undo()
    torch.manual_seed(99)
    train(config(), Folders(tmp_path), progress=False, resume=True)
    name = "policy_iteration_mixed.zip"
    assert (tmp_path / "models" / name).read_bytes() == (trained[1].models / name).read_bytes()


def test_a_training_counts_steps_visited_steps_of_branches_labels_and_seconds(trained):
    description = trained[0].description
    counted = description["counted"]
    assert description["timesteps"] == counted["visited"] == 3 * 12 * 24 == config().total_timesteps
    assert counted["labels"] == 3 * 12 * 4 and counted["branched"] > 3 * counted["labels"]
    assert counted["cpu_seconds"] > 0


def test_a_model_is_read_without_running_its_code_and_plays_as_trained(trained, tmp_path):
    result, folders = trained
    path = folders.models / "policy_iteration_mixed.zip"
    days = some_days(SHORT)
    played = simulate(result.policy, days, SHORT)
    assert np.array_equal(simulate(load_policy(path, SHORT), days, SHORT).actions, played.actions)
    assert read_model(path, SHORT).kind == "policy iteration 74-64-64-3"
    inputs, library = DecisionInputs(SHORT, result.policy._inputs._recogniser), PPO.load(path)
    first = inputs(np.zeros((2, 7), dtype=np.float32))
    assert np.array_equal(
        library.predict(first, deterministic=True)[0], result.policy.network.predict(first, deterministic=True)[0]
    )
    for change, message in (
        (lambda name, content: None if name == "recogniser.pt" else content, "needs a member recogniser.pt"),
        (lambda name, content: without_a_layer() if name == "recogniser.pt" else content, "outputs, not 6"),
    ):
        spoilt = shutil.copy(path, tmp_path / "spoilt.zip")
        repack(spoilt, change)
        with pytest.raises(ValueError, match=message):
            load_policy(spoilt, SHORT)


def repack(path, change):
    with zipfile.ZipFile(path) as archive:
        members = {name: change(name, archive.read(name)) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            if content is not None:
                archive.writestr(name, content)


def without_a_layer():
    """Return a member whose only layer ends at four patterns."""
    buffer = io.BytesIO()
    torch.save({"weights.0": torch.ones(ARRIVALS_INPUTS, 4), "biases.0": torch.ones(4)}, buffer)
    return buffer.getvalue()


def test_it_learns_what_the_rule_does_not_know():
    # demand jumps every day at the same step, faster than a fleet can grow: one must order before
    class Jump:
        name = "jump"

        def draw(self, seeds):
            days = np.full((len(seeds), 24), 870)
            days[:, 14:] = 1_740
            return days

        def evaluation_days(self, episodes):
            return self.draw(range(episodes))

    preset = IterationPreset(
        iterations=10, days=60, labels=8, rule_iterations=4, epochs=10, batch_size=64, learning_rate=3e-3,
        kl_weight=0.01, explored=0.2,
    )  # fmt: skip
    service = Service(steps_per_episode=24, initial_instances=10)
    learner = PolicyIteration(Jump(), service, preset, 0, a_recogniser())
    for _ in range(preset.iterations):
        learner.iterate()
    days = Jump().draw(range(1))
    rules = [TargetTracking(service, target, reserve) for target in (0.8, 0.9, 1.0, 1.1) for reserve in range(6)]
    cheapest = min(simulate(rule, days, service).cost.sum() for rule in rules)
    policy = DeepPolicy(learner.model.policy, service, "it", learner.knowledge)
    assert simulate(policy, days, service).cost.sum() < 0.85 * cheapest


def test_settings_that_do_not_fit_are_refused():
    for changes, message in (
        ({"widths": (64,)}, "two hidden layers"),
        ({"labels": 25}, "at most the steps of a day, 24"),
        ({"days": 5}, "days = 5: must be an integer of at least 6"),
        ({"kl_weight": 0.0}, "kl_weight = 0.0: must be a number above 0"),
        ({"timesteps": 5}, "is for dqn and ppo, not for policy-iteration; give iterations"),
        ({"device": "cuda"}, "policy-iteration is trained on the CPU"),
    ):
        with pytest.raises(ValueError, match=message):
            config(**changes)


def test_all_six_patterns_are_trained_on_equally_often():
    learner = PolicyIteration("MIXED", SHORT, SMALL, 0, a_recogniser())
    arrivals, _, _, rules = learner._draw()
    assert arrivals.shape == (12, 24) and len(np.unique(rules, axis=0)) <= len(PATTERNS)
    assert np.ptp(arrivals[:2], axis=1).tolist() == [0, 0] and (np.ptp(arrivals[2:], axis=1) > 0).all()


# --- the committed tables --------------------------------------------------------------------------------------------


def committed(name):
    return pd.read_csv(Folders().find(f"results/{name}.csv"))


def on_own_days():
    """Return the rows of workloads that were trained on and tested on, by name."""
    table = committed("policy_iteration")
    return table[table["trained_on"] == table["tested_on"]].set_index("trained_on")


def test_on_mixed_it_beats_the_rules_that_are_told_the_pattern_and_recognise_then_act():
    row = on_own_days().loc["MIXED"]
    assert row["trainings"] == 10 and row["cpu_seconds"] < 120
    assert row["cost"] <= 140.9 and row["high"] < min(row["told"], row["recognise"])
    assert row["limit_low"] <= row["low"]


def test_on_one_pattern_it_is_near_the_limit():
    table = on_own_days()
    assert (table["limit_low"] <= table["cost"]).all()
    assert table.loc["SINUSOIDAL", "cost"] <= 130.8 and table.loc["SPIKE", "cost"] <= 166.9
    assert table.loc["RANDOM", "saved_told_low"] >= -0.05
    simple = table.loc[["STEADY", "SINE_CURVE", "POISSON"]]
    assert (simple["cost"] <= simple["limit_high"] + 0.4).all()


def test_the_table_of_targets_comes_from_the_studies():
    table, studies = on_own_days(), [committed("study_iteration"), committed("study_iteration_patterns")]
    mixed = studies[0].groupby("seed")["cost"].mean()
    assert table.loc["MIXED", "cost"] == pytest.approx(mixed.mean(), abs=1e-3)
    own = studies[1].query("trained_on == tested_on").groupby("trained_on")["cost"].mean()
    assert table.loc[own.index, "cost"].tolist() == pytest.approx(own.tolist(), abs=1e-3)


def test_every_group_of_inputs_was_taken_away_once():
    table = committed("ablations_iteration")
    assert {"all inputs", "without chances", "without cycles", "without clock"} <= set(table["variant"])
    mean = table.groupby("variant")["cost"].mean()
    assert (
        mean["all inputs"] < mean["without any of these"] - 0.5 and mean["all inputs"] < mean.filter(like="PPO").min()
    )
