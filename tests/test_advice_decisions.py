"""Why a policy scaled: the largest changes of the fleet on a day, told with what it saw and wanted."""

import dataclasses

import numpy as np
import pytest
from advice_cases import SHOP, answer_for, shop_answer

from autoscaler_env.advice.compare import _evaluate
from autoscaler_env.advice.decisions import clock, decisions
from autoscaler_env.advice.setup import Setup
from autoscaler_env.policies.kubernetes import HpaCpu
from autoscaler_env.policies.rules import FixedFleet, TargetTracking, Threshold
from autoscaler_env.traffic.trace import Trace

FIELDS = {"capacity_per_instance": 100, "max_instances": 40, "fleet_changes": [-5, -1, 0, 1, 5], "initial_instances": 5}


def told(policy_of, days, day):
    service = Setup(fields=FIELDS).service_for(Trace("traffic", np.concatenate([days, days]), 3600))
    candidate = _evaluate(policy_of(service), "", days, service)
    return decisions(candidate, days, day, service)


def test_a_rush_is_told_with_what_the_rule_saw_and_wanted():
    days = np.full((2, 24), 500)
    days[1, 8:12] = 1_000
    lines = told(lambda service: TargetTracking(service, 1.0, 0.0), days, 1)
    first, *_, queue = lines
    assert first == (
        "09:00 to 11:00: ideal target tracking adds 15 instances. At 09:00, 1,000 requests had arrived in the last "
        "step and 500 requests waited, the work of 15.0 instances; utilisation was 100 %, and the fleet was 5. The "
        "rule wanted 15; the nearest allowed change is +5 (fleet_changes)."
    )
    assert queue == (
        "The longest queue: 1,000 requests, at 09:00. In this step 1,000 arrived, and 5 ready instances could serve "
        "500; 5 more were booting."
    )


def test_a_fleet_that_does_not_change_is_told_and_at_most_four_changes_are():
    days = np.full((1, 24), 400)
    assert told(lambda service: FixedFleet(service, 5), days, 0) == [
        "Fixed fleet did not change the fleet on this day."
    ]
    days[0, ::4] = 1_500
    lines = told(lambda service: TargetTracking(service, 1.0, 0.0), days, 0)
    assert len(lines) == 5 and lines[-1].startswith("The longest queue")
    assert sorted(lines[:-1]) == lines[:-1], "in the order of time"


def test_a_rule_with_memory_tells_what_it_wanted_then():
    days = np.full((1, 24), 500)
    days[0, 12:] = 350
    lines = told(lambda service: HpaCpu(service, 0.5), days, 0)
    assert any("HPA on CPU adds" in line and "The rule wanted 10." in line for line in lines)


def test_every_policy_of_an_answer_can_be_explained_and_its_simulation_is_not_changed():
    answer = shop_answer()
    comparison = answer.comparison
    for name, candidate in comparison.candidates.items():
        lines = decisions(candidate, comparison.days.later, answer.worst_day, comparison.service)
        assert lines and ("gives no other reason" in lines[0]) == (name == "q-learning"), name
    assert answer.why == decisions(
        comparison.candidates[answer.recommendation.policy],
        comparison.days.later,
        answer.worst_day,
        comparison.service,
    )
    again = answer_for(np.asarray(comparison.days.requests), SHOP.fields)
    assert dataclasses.asdict(again.recommendation).keys() == dataclasses.asdict(answer.recommendation).keys()


@pytest.mark.parametrize(("step", "time"), [(0, "00:00"), (23, "23:00")])
def test_a_step_begins_at_its_time_of_the_day(step, time):
    assert clock(step, Setup(fields=FIELDS).service_for(Trace("traffic", np.full((2, 24), 1), 3600))) == time


def test_a_change_that_is_not_what_the_rule_wanted_is_told_with_the_reason():
    days = np.full((1, 24), 1_000)
    days[0, 12:] = 600
    lines = told(lambda service: TargetTracking(service, 1.0, 0.0), days, 0)
    down = next(line for line in lines if "removes 5 instances" in line and "and the fleet was 10" in line)
    assert down.endswith("The rule wanted 6; the nearest allowed change is -5 (fleet_changes).")
    days[0, 12:] = 3_000
    lines = told(lambda service: Threshold(service), days, 0)
    assert any("; in this step it changes the fleet by +1." in line for line in lines), "one at a time is its own way"
