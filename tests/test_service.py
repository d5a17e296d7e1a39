"""The service: what is allowed, what an error says, and how a file is read."""

import dataclasses
import json
import pickle

import gymnasium
import numpy as np
import pytest
from cases import cases, every_service

from autoscaler_env.advice.setup import template
from autoscaler_env.service import Service, as_service

LEAST = {
    "step_seconds": 1,
    "steps_per_episode": 1,
    "min_instances": 0,
    "max_instances": 1,
    "initial_instances": 0,
    "capacity_per_instance": 1,
    "boot_steps": 1,
    "queue_limit": 0,
    "peak_arrivals": 1,
}
PRICES = ("instance_price_per_hour", "late_price", "drop_price")


def as_toml(service):
    return "\n".join(f"{name} = {value!r}" for name, value in service.as_dict().items())


def refusal(call, *arguments, **named):
    """Return the message of the ValueError, which must be one line."""
    with pytest.raises(ValueError, match=":") as caught:
        call(*arguments, **named)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_reference_values_are_those_of_the_design():
    expected = {
        "step_seconds": 300,
        "steps_per_episode": 288,
        "min_instances": 2,
        "max_instances": 100,
        "initial_instances": 25,
        "capacity_per_instance": 87,
        "boot_steps": 1,
        "queue_limit": 4350,
        "instance_price_per_hour": 0.192,
        "late_price": 0.00025,
        "drop_price": 0.0025,
        "peak_arrivals": 4350,
        "fleet_changes": (-1, 0, 1),
        "boot_seconds": None,
    }
    assert dataclasses.asdict(Service()) == expected


def test_instance_price_is_that_of_a_step():
    assert Service().instance_price == pytest.approx(0.192 / 12, rel=1e-15)
    assert Service(step_seconds=1800, instance_price_per_hour=3.0).instance_price == 1.5


def test_peak_arrivals_is_fifty_reference_instances():
    assert Service().peak_arrivals == 50 * Service().capacity_per_instance


def test_service_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Service().boot_steps = 2


@cases(("name", "least"), LEAST.items())
def test_integer_below_its_least_value_is_refused(name, least):
    message = refusal(Service, **{name: least - 1})
    assert name in message and str(least - 1) in message and f"at least {least}" in message


@cases("name", LEAST)
@cases("value", [2.0, 2.5, "2", True, None])
def test_a_value_that_is_no_integer_is_refused(name, value):
    message = refusal(Service, **{name: value})
    assert name in message and repr(value) in message and "integer" in message


@cases("name", PRICES)
@cases("value", [-0.01, float("nan"), float("inf"), "0.1", True, None])
def test_bad_price_is_refused(name, value):
    message = refusal(Service, **{name: value})
    assert name in message and repr(value) in message and "at least 0" in message


@cases("kind", [np.int64, np.int32, np.uint8])
def test_integers_of_numpy_are_integers(kind):
    service = Service(boot_steps=kind(3), fleet_changes=(kind(0), kind(2)))
    assert service == Service(boot_steps=3, fleet_changes=(0, 2))
    assert json.loads(json.dumps(service.as_dict())) == service.as_dict()


def test_prices_of_numpy_are_numbers():
    service = Service(late_price=np.float32(0.5), drop_price=np.int64(2))
    assert (service.late_price, service.drop_price) == (0.5, 2)
    assert json.loads(json.dumps(service.as_dict())) == service.as_dict()


@cases("value", [np.bool_(True), np.float64(2), np.array(2), np.array([2, 3])])
def test_a_numpy_value_that_is_no_integer_is_refused(value):
    assert "boot_steps" in refusal(Service, boot_steps=value)


@cases("make", [gymnasium.make, gymnasium.make_vec])
@cases("service", [{"boot_steps": 2}, {}, "service.toml", Service])
def test_an_environment_explains_how_to_make_a_service(make, service):
    message = refusal(make, "Autoscaler-v0", service=service)
    assert message.startswith("service = ") and "Service.from_dict" in message and "Service.from_toml" in message


def test_no_service_is_the_reference_service():
    own = Service(boot_steps=2)
    assert as_service(None) == Service() and as_service(own) is own


@cases("name", PRICES)
def test_a_price_may_be_zero(name):
    assert getattr(Service(**{name: 0}), name) == 0


def test_maximum_below_minimum_is_refused():
    message = refusal(Service, min_instances=10, max_instances=9, initial_instances=10)
    assert "max_instances = 9" in message and "min_instances = 10" in message


@cases("initial", [1, 101])
def test_initial_fleet_outside_the_limits_is_refused(initial):
    message = refusal(Service, initial_instances=initial)
    assert f"initial_instances = {initial}" in message and "2" in message and "100" in message


def test_smallest_service_is_allowed():
    assert Service(min_instances=1, max_instances=1, initial_instances=1, queue_limit=0, peak_arrivals=1)


@cases("changes", [(), (1, -1), (0, 0), (-1, 0, 0.5), (0, True), "0", 0, None, {0, 1}])
def test_bad_fleet_changes_are_refused(changes):
    message = refusal(Service, fleet_changes=changes)
    assert "fleet_changes" in message and repr(changes) in message and "contains 0" in message


@cases(("changes", "hold"), [((-1, 0, 1), 1), ((0,), 0), ((5, -5, 0), 2)])
def test_hold_is_the_action_of_change_zero(changes, hold):
    assert Service(fleet_changes=changes).hold == hold


def test_counts_too_large_for_a_float32_observation_are_refused():
    assert Service(capacity_per_instance=1, queue_limit=2**24 - 100)
    assert str(2**24) in refusal(Service, capacity_per_instance=1, queue_limit=2**24 - 99)


def test_a_peak_too_large_for_a_float32_observation_is_refused():
    assert Service(peak_arrivals=2**23)
    assert "peak_arrivals" in refusal(Service, peak_arrivals=2**23 + 1)


@every_service
def test_dictionary_round_trip(any_service):
    assert Service.from_dict(any_service.as_dict()) == any_service


@every_service
def test_toml_round_trip(any_service, tmp_path):
    path = tmp_path / "service.toml"
    path.write_text(as_toml(any_service), encoding="utf-8")
    assert Service.from_toml(path) == any_service


def test_a_boot_of_whole_steps_is_kept_as_steps():
    assert Service(boot_seconds=300) == Service() and Service(boot_seconds=600.0) == Service(boot_steps=2)
    assert [Service(boot_seconds=seconds).boot_steps for seconds in (0, 90, 300, 390)] == [0, 1, 1, 2], "rounded up"
    assert [Service(boot_seconds=seconds).boot_delay for seconds in (0, 90, 300, 390)] == [0, 90, 300, 390]
    assert "boot_seconds" not in Service().as_dict() and "boot_steps" not in Service(boot_seconds=90).as_dict()


@cases("seconds", [0, 90, 390])
def test_a_service_of_any_boot_can_be_copied_with_a_change(seconds):
    service = Service(boot_seconds=seconds)
    assert dataclasses.replace(service, max_instances=30) == Service(boot_seconds=seconds, max_instances=30)
    assert pickle.loads(pickle.dumps(service)) == service


@cases("seconds", [-1, float("nan"), float("inf"), "90", True])
def test_a_bad_boot_in_seconds_is_refused(seconds):
    message = refusal(Service, boot_seconds=seconds)
    assert message == f"boot_seconds = {seconds!r}: must be a finite number of at least 0"


def test_a_boot_in_both_forms_is_refused():
    assert "two forms of one quantity" in refusal(Service, boot_steps=3, boot_seconds=90)
    assert "two forms of one quantity" in refusal(dataclasses.replace, Service(boot_steps=3), boot_seconds=90)


def test_missing_fields_of_a_toml_file_keep_the_reference_value(tmp_path):
    path = tmp_path / "service.toml"
    path.write_text("boot_steps = 3\nfleet_changes = [-2, 0, 2]\n", encoding="utf-8")
    assert Service.from_toml(path) == Service(boot_steps=3, fleet_changes=(-2, 0, 2))


def test_unknown_field_is_refused_with_the_known_ones():
    message = refusal(Service.from_dict, {"boot_step": 3})
    assert "boot_step" in message and "3" in message and "boot_steps" in message


@cases(
    ("content", "reason"),
    [
        (b"boot_steps = = 3", "TOML"),
        (b"boot_steps = \xff", "UTF-8"),
        (b"boot_step = 3", "boot_step"),
        (b"boot_steps = 0", "boot_steps = 0"),
        (b"boot_steps = 1.5", "boot_steps = 1.5"),
        (b"boot_steps = 2024-01-01", "boot_steps"),
        (b"late_price = nan", "late_price"),
        (b"fleet_changes = [1, 2]", "fleet_changes"),
        (b"fleet_changes = [[0], 1]", "fleet_changes"),
        (b"[service]\nboot_steps = 3", "service"),
        (b"max_instances = 1", "max_instances"),
    ],
)
def test_bad_toml_is_refused_in_one_line_with_file_and_reason(tmp_path, content, reason):
    path = tmp_path / "my service.toml"
    path.write_bytes(content)
    message = refusal(Service.from_toml, path)
    assert str(path) in message and reason in message


@cases("name", ["nowhere.toml", "."])
def test_a_missing_file_and_a_folder_are_refused_by_name(tmp_path, name):
    assert str(tmp_path / name) in refusal(Service.from_toml, tmp_path / name)


def test_the_file_that_advise_writes_is_a_service(tmp_path):
    path = tmp_path / "service.toml"
    path.write_text(template(), encoding="utf-8")
    changes = (-10, -5, -2, -1, 0, 1, 2, 5, 10)
    assert Service.from_toml(path) == Service(fleet_changes=changes)
    path.write_text(template().replace("max_instances = 100", "max_instances = 12"), encoding="utf-8")
    assert Service.from_toml(path) == Service(fleet_changes=changes, max_instances=12, initial_instances=12)


def test_natural_units_are_converted_to_the_step_of_the_file(tmp_path):
    path = tmp_path / "service.toml"
    path.write_text("step_seconds = 600\nsteps_per_episode = 144\nrow_seconds = 60\nboot_seconds = 601\n")
    # 0.29 requests per second of the reference service, $0.05 for 1,000 requests and minute
    wanted = Service(600, 144, capacity_per_instance=174, boot_seconds=601, late_price=0.0005)
    assert Service.from_toml(path) == wanted
    path.write_text("boot_seconds = 601\nboot_steps = 2\n")
    assert "boot_seconds and boot_steps: two forms of one quantity" in refusal(Service.from_toml, path)


@cases("line", ["todays = 1", "names = 'x'", "[yesterday]\nrule = 'fixed'"])
def test_other_keys_beside_those_of_advise_are_refused(tmp_path, line):
    path = tmp_path / "service.toml"
    path.write_text(f"name = 'shop'\n{line}\n", encoding="utf-8")
    assert "no such field of a service" in refusal(Service.from_toml, path)


@cases(("name", "most"), [("boot_steps", 1_000), ("steps_per_episode", 86_400)])
def test_steps_that_would_not_fit_into_memory_are_refused(name, most):
    assert getattr(Service(**{name: most}), name) == most
    with pytest.raises(ValueError, match=f"{name} = {most + 1}: must be at most {most}"):
        Service(**{name: most + 1})


@pytest.mark.parametrize(
    ("fields", "remedies"),
    [
        ({"queue_limit": 20_000_000}, [{"queue_limit": 16_768_516}]),
        # 300,000 in 5 minutes are 60,000 in a minute
        (
            {"capacity_per_instance": 300_000},
            [{"max_instances": 55}, {"step_seconds": 60, "capacity_per_instance": 60_000}],
        ),
        ({"peak_arrivals": 9_000_000}, [{"peak_arrivals": 8_388_608}]),
    ],
)
def test_numbers_too_large_to_be_observed_come_with_a_remedy_that_works(fields, remedies):
    message = refusal(Service, **fields)
    for remedy in remedies:
        for name, value in list(remedy.items())[:1]:
            assert f"{name} = {value}" in message.partition("; give ")[2]
        Service(**(fields | remedy))
