"""The configuration of a training: its checks, its settings, and the command that it stands for."""

import dataclasses
import re
import shlex
from typing import Annotated

import pytest

from autoscaler_env.cli.main import parse
from autoscaler_env.service import Service
from autoscaler_env.traffic.trace import Trace
from autoscaler_env.training import config
from autoscaler_env.training.config import PRESETS, TrainingConfig, command_options

BAD = {
    "algorithm": ("sarsa", "one of q-learning, dqn, ppo"),
    "pattern": ("NOISE", "one of STEADY"),
    "timesteps": (0, "an integer of at least 1"),
    "seed": (-1, "an integer of at least 0"),
    "device": ("tpu", "auto, cpu, cuda or mps"),
    "learning_rate": (0.0, "above 0 and below 1"),
    "batch_size": (1, "at least 2"),
    "discount": (1.0, "below 1"),
    "imitation_days": (-1, "at least 0"),
    "widths": ((64, 0), "at least 1 unit"),
    "name": ("../evil", "a plain file name"),
}


def test_a_bad_field_is_named_with_its_value_and_the_allowed_values():
    for name, (value, allowed) in BAD.items():
        with pytest.raises(ValueError, match=rf"^{name} = {re.escape(repr(value))}: must be .*{allowed}") as caught:
            TrainingConfig(**{"algorithm": "ppo"} | {name: value})
        assert len(str(caught.value).splitlines()) == 1, name


def test_a_setting_of_another_learner_is_refused():
    for algorithm, setting, learners in (
        ("q-learning", {"learning_rate": 0.1}, "dqn and ppo"),
        ("q-learning", {"batch_size": 9}, "dqn and ppo"),
        ("q-learning", {"discount": 0.0}, "dqn and ppo"),
        ("q-learning", {"widths": (8,)}, "dqn and ppo"),
        ("q-learning", {"timesteps": 5}, "dqn and ppo, not for q-learning; give episodes"),
        ("ppo", {"episodes": 5}, "q-learning, not for ppo; give timesteps"),
        ("dqn", {"imitation_days": 1}, "ppo"),
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


def test_a_setting_needs_one_field_and_nothing_else(monkeypatch):
    """A new field is checked, reaches stable-baselines3, and is an option and a part of the command."""

    @dataclasses.dataclass(frozen=True)
    class Extended(TrainingConfig):
        ent_coef: Annotated[float | None, config._number("X")] = config._setting(
            "at least 0", lambda value: value >= 0, "ppo"
        )

    limits = {"ent_coef": Extended.__dataclass_fields__["ent_coef"].metadata["limits"]}
    monkeypatch.setattr(config, "_LIMITS", config._LIMITS | limits)
    extended = Extended("ppo", ent_coef=0.25)
    assert extended.preset.settings == PRESETS["ppo"].settings | {"ent_coef": 0.25}
    assert extended.command().endswith(" --ent-coef 0.25")
    with pytest.raises(ValueError, match="ent_coef = -1: must be at least 0"):
        Extended("ppo", ent_coef=-1)
    with pytest.raises(ValueError, match=r"ent_coef = 0\.1: is for ppo, not for dqn"):
        Extended("dqn", ent_coef=0.1)


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
