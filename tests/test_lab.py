"""The hyperparameter lab: short trainings with several values of one setting."""

import pytest

from autoscaler_env.paths import Folders
from autoscaler_env.service import Service
from autoscaler_env.training.config import TrainingConfig, settings_of
from autoscaler_env.training.lab import numbers_in, try_values
from autoscaler_env.training.train import train

SHORT = Service(steps_per_episode=24)
CONFIG = TrainingConfig("q-learning", "STEADY", episodes=20, service=SHORT)


def test_each_value_is_trained_with_the_same_seeds_and_costs_what_such_a_training_costs(tmp_path):
    table = try_values(CONFIG, "discount", (0.0, 0.9), seeds=2)
    assert table[["value", "seed"]].to_numpy().tolist() == [[0.0, 0], [0.0, 1], [0.9, 0], [0.9, 1]]
    alone = TrainingConfig("q-learning", "STEADY", episodes=20, service=SHORT, discount=0.0, seed=1)
    curve = train(alone, Folders(tmp_path), progress=False).curve
    assert table["cost"][1] == -curve["mean_return"].iloc[-1]


@pytest.mark.slow
def test_the_number_of_processes_changes_nothing():
    alone, together = (try_values(CONFIG, "discount", "0.0, 0.9", 1, number) for number in (1, 2))
    assert alone.equals(together) and alone["cost"].nunique() == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("lambda", "0, 1"), "setting of q-learning = 'lambda': must be one of inputs, discount, "),
        (("episodes", "1, 2"), "setting of q-learning = 'episodes': must be one of"),
        (("clip_range", "0.2"), "setting of q-learning = 'clip_range': must be one of"),
        (("discount", "0.9, 1.0"), "discount = 1.0: must be at least 0 and below 1"),
        (("discount", "0.9; 0.8"), "values = '0.9; 0.8': must be numbers with commas between them"),
        (("discount", ""), "values = '': must be numbers with commas between them"),
        (("discount", "0.9", 0), "seeds = 0: must be an integer of at least 1"),
    ],
)
def test_what_is_not_allowed_is_told_in_one_line_and_nothing_is_trained(arguments, says):
    with pytest.raises(ValueError, match=says) as caught:
        try_values(TrainingConfig("q-learning", episodes=10**9), *arguments)
    assert "\n" not in str(caught.value)


def test_whole_numbers_stay_whole():
    assert [type(number) for number in numbers_in("24, 48.0,1e-3")] == [int, float, float]


def test_every_setting_is_a_field_of_the_configuration_and_no_length_is_one():
    for algorithm in ("q-learning", "dqn", "ppo"):
        names = settings_of(algorithm)
        assert set(names) <= set(TrainingConfig.__dataclass_fields__) and not {"timesteps", "episodes"} & set(names)
