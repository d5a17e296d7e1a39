"""The set-up of a user's service."""

import tomllib
from datetime import datetime

import numpy as np
import pytest

from autoscaler_env.advice.setup import Setup, template
from autoscaler_env.policies.behaviour import Behaviour
from autoscaler_env.service import NATURAL_UNITS, Service
from autoscaler_env.traffic.reading import Traffic
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
    rule = {"rule": "threshold", "add_above": 0.7, "remove_below": 0.4}
    assert setup.today == rule | {"hpa": {"sync_seconds": 15, "metric_delay_seconds": 30}}
    assert setup.behaviour == Behaviour(), "Kubernetes' defaults"
    left_out = {"steps_per_episode", "peak_arrivals"}  # they follow from the traffic
    assert not [name for name in Service().as_dict() if name not in template() and name not in left_out]
    assert all("#" in line for line in template().splitlines() if "=" in line)


def test_the_other_rules_of_the_template_work_when_uncommented(setup_of):
    head, _, rules = template().partition("[today]\n")
    for rule in ("hpa-cpu", "kpa", "aws-target-tracking", "aws-step-scaling", "target-tracking", "fixed"):
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


OLD = """
capacity_per_instance = 87
boot_steps = 2
queue_limit = 4350
late_price = 0.00025
drop_price = 0.0025
"""
NATURAL = """
requests_per_second_per_instance = 0.29
boot_seconds = 600
queue_seconds = 150
late_price_per_1000_per_minute = 0.05
drop_price_per_1000 = 2.5
"""


def test_numbers_of_a_step_mean_what_they_say_at_any_length_of_a_row(setup_of):
    setup, days = setup_of(OLD), Trace("traffic", np.full((5, 24), 300), 3600)
    assert setup.step_for(3600) == 3600 and setup.step_for(10) == 10
    assert setup.service_for(days) == Service(3600, 24, 2, 100, 4, 87, 2, 4350, 0.192, 0.00025, 0.0025, 300)


def test_natural_units_give_the_same_service_in_steps_of_five_minutes_as_numbers_of_a_step(setup_of):
    days = Trace("traffic", np.full((5, 288), 300), 300)
    assert setup_of(NATURAL).service_for(days) == setup_of(OLD).service_for(days)


def test_a_step_that_is_too_high_to_be_observed_is_shown_with_its_day_and_its_likely_causes():
    requests = np.full((4, 288), 500)
    requests[1, 7] = 10_000_000  # at most 2**23 can be observed exactly
    days = Trace("shop", requests, 300, labels=[f"2026-03-0{day}" for day in range(1, 5)])
    with pytest.raises(ValueError) as error:
        Setup().service_for(days)
    assert str(error.value) == (
        "shop: the highest step holds 10,000,000 requests (2026-03-02), 20,000 times the 99th percentile: an outlier, "
        "or bytes? At most 8,388,608 can be observed exactly. If it is right, shorten the step: --step-seconds 60."
    )


def test_natural_units_follow_the_length_of_a_step(setup_of):
    service = setup_of(NATURAL).service_for(Trace("traffic", np.full((5, 24), 300), 3600))
    # an hour: 0.29 x 3600 requests, a boot of 10 min rounds up, 150 s of 100 instances wait, 0.05 x 60 / 1000 dollars
    assert (service.capacity_per_instance, service.boot_steps, service.queue_limit) == (1044, 1, 4350)
    assert (service.late_price, service.drop_price) == (0.003, 0.0025)
    assert setup_of("").service_for(Trace("traffic", np.full((5, 24), 300), 3600)).capacity_per_instance == 1044


def test_a_step_is_a_minute_or_a_row_and_grows_until_an_instance_serves_twenty_requests(setup_of):
    fast, slow = (
        setup_of("requests_per_second_per_instance = 5\n"),
        setup_of("requests_per_second_per_instance = 0.05\n"),
    )
    assert [fast.step_for(row) for row in (1, 10, 60, 300, 3600)] == [60, 60, 60, 300, 3600]
    assert [fast.step_for(row) for row in (45, 7200)] == [90, 7200], "a day is whole steps, a step whole rows"
    assert [slow.step_for(row) for row in (1, 60, 300, 900)] == [480, 480, 600, 900]  # 400 s for 20 requests
    assert setup_of("requests_per_second_per_instance = 0.001\n").step_for(60) == 3600, "and not beyond an hour"
    assert setup_of("step_seconds = 300\n").step_for(1) == 300


def test_notes_say_what_a_step_hides_and_what_natural_units_mean_in_it(setup_of):
    setup = setup_of("requests_per_second_per_instance = 0.29\nqueue_seconds = 60\n")
    assert setup.notes(60) == [
        "Steps of 2 min hide bursts that are shorter; in shorter ones an instance would serve fewer than 20 requests.",
        "In a step, an instance serves 35 requests (requests_per_second_per_instance = 0.29); at most 1,750 "
        "requests wait (queue_seconds = 60).",
    ]
    (text,) = setup_of(OLD).notes(900)
    assert text.startswith("Steps of 15 min hide bursts that are shorter; a step is a row, since the set-up counts per")
    rough = setup_of("requests_per_second_per_instance = 0.004\n").notes(300)[1]
    assert rough.startswith("An instance serves only 14.4 requests in a step, counted as 14")


def test_rows_of_a_second_are_cut_into_steps_of_five_minutes(setup_of):
    traffic = Traffic("rows", 1, datetime(2026, 3, 2), np.ones(2 * 86_400), ())
    days = setup_of(f"step_seconds = 300{NATURAL}").cut(traffic)
    assert days.requests.tolist() == [[300] * 288] * 2 and days.step_seconds == 300
    assert days.notes[-2].startswith("Steps of 5 min hide bursts that are shorter; the length is set by step_seconds")


def test_another_step_is_refused_where_the_set_up_counts_per_step(setup_of):
    assert setup_of(NATURAL).with_step(60).step_for(300) == 60 and setup_of(OLD).with_step(60).step_for(300) == 60
    with pytest.raises(ValueError, match=r"step_seconds = 60: the set-up counts per step of 300 s \(capacity_per_inst"):
        setup_of(f"step_seconds = 300{OLD}").with_step(60)


TRACKING = 'rule = "aws-target-tracking"\ntarget = 0.5\nscale_out_cooldown = 300\nscale_in_cooldown = 300\n'
STEPS = """
rule = "aws-step-scaling"
add_above = 0.6
add_percent = 0.1
jump_above = 0.7
jump_percent = 0.3
remove_below = 0.4
remove_percent = 0.1
drop_below = 0.3
drop_percent = 0.3
"""
BAD = {
    **{
        f"{field} twice": (f"{name} = 1\n{field} = 1\n", f"{name} and {field}: two forms of one quantity")
        for name, field in {**NATURAL_UNITS, "boot_seconds": "boot_steps"}.items()
    },
    "no rate": (
        "requests_per_second_per_instance = 0\n",
        "requests_per_second_per_instance = 0: must be a finite number",
    ),
    "no number": ('boot_seconds = "90"\n', "boot_seconds = '90': must be a finite number of at least 0"),
    "no row": ("row_seconds = 0\n", "row_seconds = 0: must be an integer of at least 1"),
    "no step": ("step_seconds = 0\n", "step_seconds = 0: must be an integer of at least 1"),
    "not TOML": ("name = \n", "not TOML"),
    "unknown field": (
        "capacity = 3\n",
        "capacity = 3: no such name in a set-up, did you mean capacity_per_instance? There are ",
    ),
    "a slip": (
        "requests_per_second_per_instnace = 3\n",
        "requests_per_second_per_instnace = 3: no such name in a set-up, did you mean requests_per_second",
    ),
    "bad value": ("boot_steps = 0\n", "boot_steps = 0"),
    "length of the day": ("steps_per_episode = 24\n", "steps_per_episode = 24: leave it out"),
    "unknown rule": ('[today]\nrule = "magic"\n', "today.rule = 'magic': must be one of fixed, threshold"),
    "no rule": ("[today]\ntarget = 1\n", "today.rule = None"),
    "setting of another rule": (
        '[today]\nrule = "fixed"\ntarget = 0.5\n',
        "today.target = 0.5: no such setting of fixed. There are rule, instances, hpa, cloudwatch, schedule",
    ),
    "setting that nobody has": (
        f"[today]\n{TRACKING}disable_scale_in = true\n",
        "today.disable_scale_in = True: no such setting of aws-target-tracking. There are rule, target, ",
    ),
    "setting missing": ('[today]\nrule = "fixed"\n', "today: fixed is set by instances; instances is missing"),
    "settings missing": (
        '[today]\nrule = "aws-target-tracking"\ntarget = 0.5\n',
        "today: aws-target-tracking is set by target, scale_out_cooldown and scale_in_cooldown; scale_out_cooldown and "
        "scale_in_cooldown are missing",
    ),
    "part of an instance": (
        '[today]\nrule = "fixed"\ninstances = 2.5\n',
        "today.instances = 2.5: must be a whole number",
    ),
    "part of a step": (
        '[today]\nrule = "kpa"\ntarget = 0.7\nstable_steps = 2.5\n',
        "today.stable_steps = 2.5: must be a whole number",
    ),
    "share for a percentage": (
        f"[today]\n{STEPS}",
        "today: add_percent = 0.1: is in percent; for 10 % write 10",
    ),
    "policies that are none": (
        '[today]\nrule = "hpa-cpu"\ntarget = 0.7\n[today.hpa]\nscaleUp = {policies = 3}\n',
        "today: scaleUp: policies = 3: must be a list of tables",
    ),
    "part of a name": ('[today]\nrule = "hpa"\n', "today.rule = 'hpa': must be one of fixed, threshold, hpa-cpu, "),
    "setting of another kind": (
        '[today]\nrule = "fixed"\ninstances = "many"\n',
        "today.instances = 'many': must be a number",
    ),
    "setting out of range": ('[today]\nrule = "fixed"\ninstances = 500\n', "today: instances = 500"),
    "not a table": ('today = "threshold"\n', "today = 'threshold': must be a table"),
    "unknown limit": ("[limits]\nlate = 1\n", "limits.late = 1: no such limit. There are fewer_in_time, dropped, "),
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


HPA = '[today]\nrule = "hpa-cpu"\ntarget = 0.7\n'
SLIPS = {
    "min_instance = 3\n": "min_instance = 3: no such name in a set-up, did you mean min_instances?",
    "[limit]\ndropped = 0\n": "limit: no such name in a set-up, did you mean limits?",
    "target = 0.7\n": "target: is a setting of hpa-cpu, hpa-demand, kpa, aws-target-tracking or target",
    f"{HPA}targt = 1\n": "today.targt = 1: no such setting of hpa-cpu, did you mean target? There are rule, ",
    '[today]\nrul = "fixed"\n': "today.rul = 'fixed': no such setting of a rule, did you mean rule?",
    f"{HPA}max_instances = 9\n": "today.max_instances: belongs to no table; write it above all lines such as",
    f"{HPA}[today.hpa]\nsync = 9\n": "today: sync = 9: no such setting of HPA, did you mean sync_seconds?",
    f"{HPA}hpa = {{scaleUp = {{tolerence = 0}}}}\n": "today: scaleUp: tolerence = 0: no such setting, did you",
    f"[today]\n{TRACKING}cloudwatch = {{high_period = 1}}\n": "today: cloudwatch.high_period = 1: no such setting",
    f"{HPA}schedule = [{{form = 1}}]\n": "today: schedule: form = 1: no such name, did you mean from?",
    "[limits]\ndroped = 0\n": "limits.droped = 0: no such limit, did you mean dropped?",
    "[objective]\nserved_on_time = 0.9\n": "objective.served_on_time = 0.9: no such name, did you mean served_in_time?",
}


def test_a_misspelt_name_of_a_set_up_is_answered_with_the_name_that_was_meant_at_every_level(setup_of):
    for text, message in SLIPS.items():
        with pytest.raises(ValueError) as error:
            setup_of(text)
        assert str(error.value).partition("service.toml: ")[2].startswith(message), text


def test_a_syntax_error_names_its_line(setup_of):
    with pytest.raises(ValueError, match="line 2"):
        setup_of("boot_steps = 1\nname = \n")


def test_what_the_template_sets_is_plain_toml():
    assert tomllib.loads(template())["fleet_changes"] == [-10, -5, -2, -1, 0, 1, 2, 5, 10]


def test_a_set_up_too_large_for_the_usual_step_is_read_with_the_shorter_one_that_the_message_names(tmp_path):
    path = tmp_path / "service.toml"
    path.write_text("requests_per_second_per_instance = 2000\nboot_seconds = 60\nmax_instances = 200\n")
    with pytest.raises(ValueError, match=r"give max_instances = 139 or step_seconds = 30 "):  # 400,000 a second
        Setup.from_toml(path)
    assert Setup.from_toml(path, 30).step_for(300) == 30


def test_free_instances_and_a_percent_sign_are_refused_in_one_line():
    with pytest.raises(
        ValueError, match=r"^instance_price_per_hour = 0: must be above 0; where instances cost nothing"
    ):
        Setup(fields={"instance_price_per_hour": 0})
    with pytest.raises(ValueError, match=r"^today.target = '60 ?%': must be a number; for 60 % write 0.6$"):
        Setup(today={"rule": "hpa-cpu", "target": "60%"})
