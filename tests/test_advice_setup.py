"""The set-up of a user's service."""

import tomllib

import numpy as np
import pytest

from autoscaler_env.advice.setup import Setup, template
from autoscaler_env.service import Service
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


def test_the_other_rules_of_the_template_work_when_uncommented(setup_of):
    head, _, rules = template().partition("[today]\n")
    for rule in ("hpa-cpu", "target-tracking", "fixed"):
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
    "setting of another rule": (
        '[today]\nrule = "fixed"\ntarget = 0.5\n',
        "today: fixed is set by instances, not by target",
    ),
    "setting missing": ('[today]\nrule = "fixed"\n', "today: fixed is set by instances"),
    "setting of another kind": (
        '[today]\nrule = "fixed"\ninstances = "many"\n',
        "today.instances = 'many': must be a number",
    ),
    "setting out of range": ('[today]\nrule = "fixed"\ninstances = 500\n', "today: instances = 500"),
    "not a table": ('today = "threshold"\n', "today = 'threshold': must be a table"),
    "unknown limit": ("[limits]\nlate = 1\n", "limits = {'late': 1}: must be a table of fewer_in_time, dropped, "),
    "limit out of range": ("[limits]\ndropped = 10\n", "limits.dropped = 10: must be a share from 0 to 1"),
    "percentage for a share": (
        '[today]\nrule = "hpa-cpu"\ntarget = 70\n',
        "today: target = 70: is a share of an instance's capacity, so this is 7,000 %; for 70 % write 0.7",
    ),
    "no name": ("name = 3\n", "name = 3: must be a text that is not empty"),
}


def test_a_bad_set_up_costs_one_line_with_the_file(setup_of):
    for case, (text, message) in BAD.items():
        with pytest.raises(ValueError) as error:
            setup_of(text)
        assert str(error.value).partition("service.toml: ")[2].startswith(message), case
        assert "\n" not in str(error.value), case


def test_a_syntax_error_names_its_line(setup_of):
    with pytest.raises(ValueError, match="line 2"):
        setup_of("boot_steps = 1\nname = \n")


def test_what_the_template_sets_is_plain_toml():
    assert tomllib.loads(template())["fleet_changes"] == [-10, -5, -2, -1, 0, 1, 2, 5, 10]
