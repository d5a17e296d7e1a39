"""The code exercises of notebook 7: the reference obeys the service, and the checks tell right from wrong."""

import numpy as np
import pytest

from autoscaler_env import AutoscalerEnv, Service
from autoscaler_env.grading.exercises import scaling
from autoscaler_env.grading.judging import forget_misses
from autoscaler_env.paths import notebook_sources
from autoscaler_env.policies.base import decode, step_toward
from autoscaler_env.policies.rules import TargetTracking, Threshold


@pytest.mark.parametrize(("need", "fleet", "boot_steps"), [(26, 25, 1), (30, 25, 1), (30, 25, 4), (25, 25, 3)])
def test_orders_that_go_out_at_the_time_of_the_reference_are_ready_in_time_and_not_earlier(need, fleet, boot_steps):
    service = Service(initial_instances=fleet, boot_steps=boot_steps)
    step, add = 40, service.fleet_changes.index(1)
    first = step - scaling.first_order(need, fleet, boot_steps)
    for start, ready_in_time in ((first, True), (first + 1, need <= fleet)):
        env = AutoscalerEnv("STEADY", service=service)
        env.reset(options={"day": np.full(service.steps_per_episode, 100)})
        for number in range(step + 1):
            ordered = start <= number < start + need - fleet
            info = env.step(add if ordered else service.hold)[4]
        assert (info["ready"] >= need) == ready_in_time


def test_the_function_is_judged_on_hidden_inputs():
    assert scaling.check_first_order(scaling.first_order) == "right"
    assert scaling.check_first_order(lambda need, fleet, boot_steps: need - fleet + boot_steps).startswith(
        "not yet: the"
    )
    assert scaling.check_first_order(lambda need, fleet, boot_steps: 1 / 0).endswith(
        "ZeroDivisionError: division by zero"
    )
    assert scaling.check_first_order(25) == "a function, please: its name, without brackets or quotes"


class Reserve:
    """A rule that follows the demand with a reserve of six instances."""

    reserve = 6

    def __init__(self, service):
        self.service = service

    def reset(self, days):
        assert not days.any(), "the arrivals of the day are shown"

    def predict(self, observations):
        counts = decode(observations, self.service)
        wanted = np.ceil((counts.arrivals + counts.queue) / self.service.capacity_per_instance) + self.reserve
        return step_toward(wanted, counts.ready + counts.booting, self.service)


def test_a_rule_with_a_reserve_is_right_without_being_shown_the_days():
    assert scaling.check_policy(Reserve).startswith("right: $1")


def test_rules_that_make_one_of_the_two_mistakes_are_not_right_and_hear_on_which_days():
    forget_misses()
    first, second = (scaling.check_policy(rule) for rule in (Threshold, TargetTracking))
    assert first.startswith("not yet: which of the two mistakes") and first.endswith("a day on SINE_CURVE)")
    assert second.startswith("not yet: follow the demand") and second.endswith("a day on SPIKE)")


def test_an_answer_that_is_no_policy_hears_what_is_wrong():
    class Silent(Reserve):
        def predict(self, observations):
            return None

    assert scaling.check_policy(3) == "a class, please: its name, without brackets"
    assert scaling.check_policy(Reserve(Service())) == "a class, please: its name, without brackets"
    assert scaling.check_policy(lambda service: 7).startswith("not yet: a method reset is missing")
    assert scaling.check_policy(Silent).startswith("not yet: your function returned None")


def test_the_task_names_the_bound_of_the_check():
    notebook = (notebook_sources() / "07_scaling_demo.ipynb").read_text(encoding="utf-8")
    assert f"must cost less than ${scaling.BOUND:.0f} a day on smooth days" in notebook
