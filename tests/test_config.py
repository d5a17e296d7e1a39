"""The configuration of a training: its checks, its settings, and the command that it stands for."""

import dataclasses
import re
import shlex
from typing import Annotated

import pytest

from autoscaler_env.cli.main import parse
from autoscaler_env.policies.registry import command_for
from autoscaler_env.service import Service
from autoscaler_env.traffic.trace import Trace
from autoscaler_env.training import config
from autoscaler_env.training.config import TrainingConfig, command_options
from autoscaler_env.training.deep import build_learner
from autoscaler_env.training.presets import PRESETS

BAD = {
    "algorithm": ("sarsa", "one of q-learning, dqn, ppo"),
    "pattern": ("NOISE", "one of STEADY"),
    "timesteps": (0, "an integer of at least 1"),
    "seed": (-1, "an integer of at least 0"),
    "device": ("tpu", "auto, cpu, cuda, mps"),
    "learning_rate": (0.0, "above 0 and below 1"),
    "batch_size": (1, "at least 2"),
    "discount": (1.0, "below 1"),
    "imitation_days": (-1, "at least 0"),
    "widths": ((64, 0), "at least 1 unit"),
    "clip_range": (0.0, "a number above 0"),
    "ent_coef": (-0.1, "a number of at least 0"),
    "gae_lambda": (1.1, "a number from 0 to 1"),
    "n_steps": (0, "an integer of at least 1"),
    "n_epochs": (1.5, "an integer of at least 1"),
    "name": ("../evil", "a plain file name"),
}


def test_a_bad_field_is_named_with_its_value_and_the_allowed_values():
    for name, (value, allowed) in BAD.items():
        with pytest.raises(ValueError, match=rf"^{name} = {re.escape(repr(value))}: must be .*{allowed}") as caught:
            TrainingConfig(**{"algorithm": "ppo"} | {name: value})
        assert len(str(caught.value).splitlines()) == 1, name


def test_what_is_no_number_is_refused_like_a_wrong_number():
    for value in ("0.2", float("nan"), True, [1]):
        for algorithm, name in (("ppo", "clip_range"), ("dqn", "learning_rate"), ("q-learning", "first_epsilon")):
            with pytest.raises(ValueError, match=rf"^{name} = {re.escape(repr(value))}: must be "):
                TrainingConfig(algorithm, **{name: value})


def test_batches_of_ppo_that_do_not_fill_a_rollout_are_refused_in_one_line():
    with pytest.raises(ValueError, match=r"^batch_size = 1024: must divide .* n_steps x 64 = 1536$"):
        TrainingConfig("ppo", n_steps=24)
    assert TrainingConfig("ppo", n_steps=24, batch_size=512).preset.rollout == 1536


def test_settings_of_dqn_and_q_learning_are_checked():
    for name in ("buffer_size", "target_update_interval", "gradient_steps"):
        with pytest.raises(ValueError, match=f"^{name} = 0: must be an integer of at least 1$"):
            TrainingConfig("dqn", **{name: 0})
    for name in ("first_epsilon", "last_epsilon", "rate_exponent"):
        with pytest.raises(ValueError, match=f"^{name} = 1.5: must be a number from 0 to 1$"):
            TrainingConfig("q-learning", **{name: 1.5})
    with pytest.raises(ValueError, match=r"^discount = 1: must be at least 0 and below 1$"):
        TrainingConfig("q-learning", discount=1)


def test_a_setting_of_another_learner_is_refused():
    for algorithm, setting, learners in (
        ("q-learning", {"learning_rate": 0.1}, "dqn, ppo and policy-iteration"),
        ("q-learning", {"batch_size": 9}, "dqn, ppo and policy-iteration"),
        ("q-learning", {"clip_range": 0.1}, "ppo"),
        ("dqn", {"n_steps": 8}, "ppo"),
        ("ppo", {"buffer_size": 8}, "dqn"),
        ("ppo", {"first_epsilon": 0.5}, "q-learning"),
        ("q-learning", {"widths": (8,)}, "dqn, ppo and policy-iteration"),
        ("q-learning", {"timesteps": 5}, "dqn and ppo, not for q-learning; give episodes"),
        ("ppo", {"episodes": 5}, "q-learning, not for ppo; give timesteps"),
        ("q-learning", {"imitation_days": 1}, "dqn and ppo"),
    ):
        (name, value), *_ = setting.items()
        with pytest.raises(ValueError, match=f"^{name} = {re.escape(repr(value))}: is for {learners}"):
            TrainingConfig(algorithm, **setting)


def test_a_table_is_trained_on_the_cpu():
    with pytest.raises(ValueError, match="device = 'cuda': must be auto or cpu; a table"):
        TrainingConfig("q-learning", device="cuda")


def test_settings_replace_those_of_the_preset():
    preset = TrainingConfig("dqn", timesteps=7, learning_rate=0.5, batch_size=9, widths=(8,)).preset
    assert (preset.timesteps, preset.learning_rate, preset.batch_size, preset.widths) == (7, 0.5, 9, (8,))
    assert preset.settings == PRESETS["dqn"].settings
    assert TrainingConfig("q-learning", episodes=7).preset.episodes == 7


LAB = {
    "ppo": {"clip_range": 0.1, "ent_coef": 0.02, "gae_lambda": 0.9, "n_steps": 16, "n_epochs": 3},
    "dqn": {"buffer_size": 5_000, "target_update_interval": 640, "gradient_steps": 1},
    "q-learning": {"discount": 0.5, "first_epsilon": 0.9, "last_epsilon": 0.01, "rate_exponent": 1.0},
}
"""Settings that the notebooks teach, by learner, each with a value that is not the default."""


def setting_of(preset, name):
    """Return a setting of a preset, its own or one of stable-baselines3."""
    return getattr(preset, name) if hasattr(preset, name) else preset.settings[name]


def test_what_the_notebooks_teach_can_be_changed():
    for algorithm, settings in LAB.items():
        for name, value in settings.items():
            changed = TrainingConfig(algorithm, **{name: value})
            assert setting_of(changed.preset, name) == value, name
            assert changed.identity() != TrainingConfig(algorithm).identity(), name
            _, *words = shlex.split(changed.command())
            assert parse(words).training_config() == changed, name


def test_a_setting_with_its_default_is_the_same_training():
    for algorithm, settings in LAB.items():
        default = TrainingConfig(algorithm)
        for name in settings:
            value = 0.2 if name == "clip_range" else setting_of(default.preset, name)
            same = TrainingConfig(algorithm, **{name: value})
            assert (same.identity(), same.fingerprint()) == (default.identity(), default.fingerprint()), name


def test_the_learner_is_built_with_the_settings():
    parts = {"pattern": "STEADY", "service": Service(), "seed": 0, "device": "cpu"}
    ppo = build_learner("ppo", TrainingConfig("ppo", **LAB["ppo"]).preset, **parts)
    assert ppo.clip_range(1.0) == 0.1
    assert (ppo.ent_coef, ppo.gae_lambda, ppo.n_steps, ppo.n_epochs) == (0.02, 0.9, 16, 3)
    dqn = build_learner("dqn", TrainingConfig("dqn", **LAB["dqn"]).preset, **parts)
    assert (dqn.buffer_size, dqn.gradient_steps) == (5_000, 1)


def test_q_learning_explores_with_the_epsilon_that_is_given():
    preset = TrainingConfig("q-learning", episodes=4, **LAB["q-learning"]).preset
    assert preset.epsilon(4).tolist() == pytest.approx([0.9, 0.455, 0.01, 0.01])


def test_a_setting_needs_one_field_and_nothing_else(monkeypatch):
    """A new field is checked, reaches stable-baselines3, and is an option and a part of the command."""

    @dataclasses.dataclass(frozen=True)
    class Extended(TrainingConfig):
        max_grad_norm: Annotated[float | None, config._number("X")] = config._setting(
            "at least 0", lambda value: value >= 0, "ppo"
        )

    limits = {"max_grad_norm": Extended.__dataclass_fields__["max_grad_norm"].metadata["limits"]}
    monkeypatch.setattr(config, "_LIMITS", config._LIMITS | limits)
    extended = Extended("ppo", max_grad_norm=0.25)
    assert extended.preset.settings == PRESETS["ppo"].settings | {"max_grad_norm": 0.25}
    assert extended.command().endswith(" --max-grad-norm 0.25")
    with pytest.raises(ValueError, match="max_grad_norm = -1: must be at least 0"):
        Extended("ppo", max_grad_norm=-1)
    with pytest.raises(ValueError, match=r"max_grad_norm = 0\.1: is for ppo, not for dqn"):
        Extended("dqn", max_grad_norm=0.1)


def test_the_command_line_gives_the_configuration_back():
    for written in (
        TrainingConfig(
            "ppo",
            "SPIKE",
            timesteps=5_000,
            name="mine",
            seed=2,
            device="cpu",
            learning_rate=0.01,
            batch_size=256,
            discount=0.8,
            imitation_days=3,
            widths=(32, 16),
        ),
        TrainingConfig("q-learning", episodes=7),
    ):
        program, *words = shlex.split(written.command())
        assert program == "autoscaler" and parse(words).training_config() == written


def test_every_field_is_an_option():
    fields = [field.name for field in dataclasses.fields(TrainingConfig) if field.name not in ("algorithm", "service")]
    values = {"pattern": "SPIKE", "name": "mine", "seed": 3, "device": "cpu", "widths": (3, 4), "learning_rate": 0.5}
    shown = command_options(dataclasses.replace(TrainingConfig("ppo"), **values), always=fields)
    assert [word for word in shown if word.startswith("--")] == [f"--{name.replace('_', '-')}" for name in fields]


def test_files_stand_in_the_command_by_a_name():
    trace = Trace("shop", [[1] * 24] * 2)
    command = TrainingConfig("dqn", trace, service=Service(steps_per_episode=24)).command()
    assert command == "autoscaler train dqn --trace shop.csv --seed 0 --service SERVICE.toml"


def test_the_algorithm_is_accepted_in_any_spelling():
    for spelling in ("q-learning", "qlearning", "q_learning", "Q-Learning", "QLEARNING"):
        assert parse(["train", spelling]).training_config() == TrainingConfig("q-learning")
    assert parse(["train", "PPO", "--pattern", "spike"]).training_config() == TrainingConfig("ppo", "SPIKE")


def test_inputs_of_a_decision_have_a_preset_a_name_and_a_command_of_their_own():
    for learner in ("q-learning", "dqn", "ppo"):
        config = TrainingConfig(learner, inputs="decision")
        assert config.preset.inputs == "decision" and TrainingConfig(learner).preset.inputs == "usual"
        assert config.model_name == f"{learner.replace('-', '_')}_mixed_decision"
        _, *words = shlex.split(command_for(config.model_name))
        assert parse(words).training_config() == config
    long = TrainingConfig("ppo", timesteps=400_000, inputs="decision").preset
    assert (long.inputs, long.normalise_reward, long.levels) == ("decision", True, False)
    for arguments, message in {
        ("ppo", ("inputs", "all")): "inputs = 'all': must be usual or decision",
        ("ppo", ("recogniser_days", 60)): "recogniser_days = 60: needs inputs = 'decision'",
        ("policy-iteration", ("inputs", "decision")): "inputs = 'decision': is for q-learning, dqn and ppo, not for",
    }.items():
        learner, (name, value) = arguments
        with pytest.raises(ValueError, match=re.escape(message)):
            TrainingConfig(learner, **{name: value})
