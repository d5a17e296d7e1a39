"""The set-up of a user's service, and the days that learners are trained on."""

import tomllib

import numpy as np
import pytest

from autoscaler_env.advice.setup import Setup, template
from autoscaler_env.service import Service
from autoscaler_env.traffic.augment import ResampledDays
from autoscaler_env.traffic.patterns import Workload, day_seeds, random_training_seeds
from autoscaler_env.traffic.trace import Trace


@pytest.fixture
def setup_of(tmp_path):
    """Return a function that reads a set-up from text."""

    def read(text):
        path = tmp_path / "service.toml"
        path.write_text(text)
        return Setup.from_toml(path)

    return read


def test_the_template_is_a_set_up_and_comments_every_field(setup_of):
    setup = setup_of(template())
    assert setup.today == {"rule": "threshold", "add_above": 0.7, "remove_below": 0.4}
    left_out = {"steps_per_episode", "peak_arrivals"}  # they follow from the traffic
    assert not [name for name in Service().as_dict() if name not in template() and name not in left_out]
    assert all("#" in line for line in template().splitlines() if "=" in line)


@pytest.mark.parametrize("rule", ["hpa-cpu", "target-tracking", "fixed"])
def test_the_other_rules_of_the_template_work_when_uncommented(rule, setup_of):
    head, _, rules = template().partition("[today]\n")
    block = rules[rules.index(f'# rule = "{rule}"') :].split("\n\n")[0]
    setup = setup_of(f"{head}[today]\n" + "\n".join(line.removeprefix("# ") for line in block.splitlines()))
    assert setup.policy(Service()).name == "today" and setup.today["rule"] == rule


def test_the_service_follows_the_traffic(setup_of):
    requests = np.full((5, 24), 300)
    requests[1, 5], requests[4, 7] = 900, 5000
    service = setup_of("capacity_per_instance = 100\n").service_for(Trace("traffic", requests, 3600))
    assert (service.step_seconds, service.steps_per_episode) == (3600, 24)
    assert service.peak_arrivals == 900, "the highest of the first part; what is held out stays unseen"
    assert service.initial_instances == 3, "enough for the first step of a usual day"


BAD = {
    "not TOML": ("name = \n", "not TOML"),
    "unknown field": ("capacity = 3\n", "capacity = 3: no such field"),
    "bad value": ("boot_steps = 0\n", "boot_steps = 0"),
    "length of the day": ("steps_per_episode = 24\n", "steps_per_episode = 24: leave it out"),
    "unknown rule": ('[today]\nrule = "magic"\n', "today.rule = 'magic': must be one of fixed, threshold"),
    "no rule": ("[today]\ntarget = 1\n", "today.rule = None"),
    "setting of another rule": ('[today]\nrule = "fixed"\ntarget = 0.5\n', "fixed is set by instances, not by target"),
    "setting missing": ('[today]\nrule = "fixed"\n', "fixed is set by instances"),
    "setting of another kind": ('[today]\nrule = "fixed"\ninstances = "many"\n', "must be a number"),
    "setting out of range": ('[today]\nrule = "fixed"\ninstances = 500\n', "instances = 500"),
    "not a table": ('today = "threshold"\n', "must be a table"),
    "no name": ("name = 3\n", "name = 3"),
}


@pytest.mark.parametrize(("text", "says"), BAD.values(), ids=BAD)
def test_a_bad_set_up_costs_one_line_with_the_file(text, says, setup_of):
    with pytest.raises(ValueError) as error:
        setup_of(text)
    assert "service.toml: " in str(error.value) and says in str(error.value) and "\n" not in str(error.value)


def test_a_syntax_error_names_its_line(setup_of):
    with pytest.raises(ValueError, match="line 2"):
        setup_of("boot_steps = 1\nname = \n")


def test_what_the_template_sets_is_plain_toml():
    assert tomllib.loads(template())["fleet_changes"] == [-10, -5, -2, -1, 0, 1, 2, 5, 10]


RECORDED = Trace("traffic", np.arange(10)[:, None] * 1000 + 100 + np.arange(24)[None, :] * 10, 3600)


def test_resampled_days_are_a_workload_and_a_function_of_their_seed():
    workload = ResampledDays("traffic", RECORDED)
    assert isinstance(workload, Workload)
    seeds = random_training_seeds(np.random.default_rng(0), 50)
    drawn = workload.draw(seeds)
    assert np.array_equal(drawn[::-1], workload.draw(seeds[::-1])) and len(np.unique(drawn, axis=0)) == 50


def test_training_days_are_near_the_first_part_and_never_from_the_days_held_out():
    drawn = ResampledDays("traffic", RECORDED).draw(random_training_seeds(np.random.default_rng(0), 300))
    levels = drawn.mean(axis=1)
    assert levels.max() < 5230 * 1.6, "the first part ends at 5,330, the rest begins at 6,100"
    assert abs(np.corrcoef(np.arange(24), np.median(drawn, axis=0))[0, 1]) > 0.5


@pytest.mark.parametrize("purpose", ["calibration", "selection"])
def test_other_seeds_stand_for_recorded_days(purpose):
    drawn = ResampledDays("traffic", RECORDED).draw(day_seeds(purpose, 20))
    recorded = {day.tobytes() for day in RECORDED.earlier}
    assert {day.tobytes() for day in drawn} == recorded, "all of the first part, and nothing else"
    held_out = ResampledDays("traffic", RECORDED).draw(day_seeds("evaluation", 4))
    assert np.array_equal(held_out, RECORDED.later)


def test_a_single_day_is_enough_to_learn_from():
    drawn = ResampledDays("traffic", Trace("traffic", np.full((2, 24), 1000), 3600)).draw(day_seeds("training", 3))
    assert drawn.shape == (3, 24) and (drawn > 0).all()
