"""Doubts about a set-up: what makes no sense is refused or doubted, with the likely meaning."""

import dataclasses

import numpy as np
import pytest
from cases import cases

from autoscaler_env import Service
from autoscaler_env.advice.plausibility import (
    check_shares,
    doubts,
    losing_is_cheaper,
    plausibility,
    serving_price,
    setting_doubts,
    today_drops,
)
from autoscaler_env.paths import project_root
from autoscaler_env.traffic.trace import Trace

DEAR = Service(capacity_per_instance=3, instance_price_per_hour=0.2, late_price=0.0003, drop_price=0.003)
"""Twelve steps an hour: 0.2 / 12 dollars a step for 3 requests, 0.0056 dollars each."""


def trace(level):
    return Trace("traffic", np.full((2, 288), level), 300)


def test_prices_that_make_losing_cheaper_than_serving_are_told_with_both_numbers():
    assert serving_price(DEAR) == pytest.approx(0.2 / 12 / 3)
    text = losing_is_cheaper(DEAR)
    assert text.startswith(
        "With these prices it is cheaper to lose requests: $0.0056 to serve one, $0.003 to drop one. Give other prices"
    )
    assert losing_is_cheaper(Service()) == "" and doubts(DEAR, trace(100))[0] == text


def test_a_percentage_for_a_share_is_refused_with_the_share():
    for rule, settings, share in (
        ("hpa-cpu", {"target": 70}, "0.7"),
        ("hpa-demand", {"target": 2.5}, "0.025"),
        ("threshold", {"add_above": 70, "remove_below": 40}, "0.7"),
        ("target-tracking", {"target": 80, "reserve": 30}, "0.8"),
    ):
        with pytest.raises(ValueError, match=f"for [0-9.]+ % write {share}$"):
            check_shares(rule, settings)
    check_shares("target-tracking", {"target": 3, "reserve": 30})
    check_shares("fixed", {"instances": 70})
    check_shares("hpa-cpu", {"target": 1.3})


def test_a_monthly_price_is_doubted_with_the_hourly_one():
    monthly = doubts(Service(instance_price_per_hour=140, drop_price=1), trace(1000))
    assert monthly == ["instance_price_per_hour = 140 is a high price. If it is a price per month, write 0.192."]
    yearly = doubts(Service(instance_price_per_hour=1682, drop_price=10), trace(1000))
    assert yearly[0].endswith("If it is a price per month, write 2.3; if per year, 0.192.")
    assert doubts(Service(), trace(1000)) == []
    by_second = doubts(Service(instance_price_per_hour=0.192 / 3600), trace(1000))
    assert by_second == [
        "instance_price_per_hour = 5.33333e-05 is a low price. If it is a price per second, write 0.192."
    ]


def test_the_price_of_a_server_with_gpus_is_believed_where_boot_capacity_and_drops_fit_one():
    llm = Service.from_toml(project_root() / "examples" / "llm_serving.toml")  # $6 an hour, 1 a second, 5 min of boot
    assert doubts(llm, trace(3000)) == []
    for other in ({"boot_steps": 1, "step_seconds": 60}, {"capacity_per_instance": 6000}, {"drop_price": 0.001}):
        assert any("6 is a high price" in line for line in doubts(dataclasses.replace(llm, **other), trace(9000)))
    assert "140 is a high price" in doubts(dataclasses.replace(llm, instance_price_per_hour=140), trace(3000))[0]


def test_a_fleet_that_cannot_serve_the_peak_is_doubted():
    peak = np.full((2, 288), 870)
    peak[1, 100] = 3001  # 87 for each instance: 34.5 instances
    small = Service(max_instances=20, initial_instances=20)
    assert doubts(small, Trace("traffic", peak, 300)) == ["The peak needs 35 instances, max_instances is 20."]


def test_a_wait_that_costs_more_than_a_drop_is_doubted():
    (text,) = doubts(Service(late_price=0.003), trace(1000))
    assert text.startswith("A request that waits for a step of 5 min costs $0.003, one that is dropped $0.0025: with")
    assert doubts(Service(late_price=0.0025), trace(1000)) == []


def test_a_capacity_in_another_unit_is_doubted_with_the_one_for_a_step():
    per_second = Service(capacity_per_instance=2, drop_price=1)
    (text,) = doubts(per_second, trace(1000))
    assert "needs 500 instances, but max_instances is 100" in text and "if 2 is per second, write 600" in text
    (text,) = doubts(Service(capacity_per_instance=1200), trace(1000))
    assert "one instance serves the highest step of the traffic alone" in text
    assert "if 1200 is per hour, write 100" in text
    (text,) = doubts(Service(max_instances=30), trace(10**6))
    assert "write" not in text, "no unit explains it"
    written = {"requests_per_second_per_instance": 4}
    (text,) = doubts(Service(capacity_per_instance=1200), trace(1000), written)
    assert text.startswith("requests_per_second_per_instance = 4: one instance serves the highest step")
    assert "if 4 is per minute, write 0.0667; if it is per hour, 0.00111" in text


def test_one_line_shows_traffic_capacity_fleet_cost_and_service():
    text = plausibility(Service(), trace(870), 46.08, 0.0123, 0.0001)
    assert text == (
        "Traffic: 2.9 requests per second on average, 2.9 at the peak. One instance serves 0.29 per second, so the "
        "traffic needs 10 instances on average, 10 at the peak. Today's rule costs $46.08 a day in the simulation; "
        "1.23 % of the requests are late, 0.01 % are dropped."
    )


SETTINGS = {  # settings of today's rule, limits; what is doubted
    "a target of the CPU request": (
        {"target": 1.5},
        {},
        "target = 1.5 is 150 % of capacity; if you mean the CPU request, write the share of what an instance can "
        "serve.",
    ),
    "a target of all of the capacity": ({"target": 1.0}, {}, None),
    "points for a share": (
        {},
        {"fewer_in_time": 0.1},
        "limits.fewer_in_time = 0.1 means 10 % of the requests; for 0.1 % write 0.001.",
    ),
    "a percentage for a share": (
        {},
        {"least_saving": 1},
        "limits.least_saving = 1 means 100 % of today's cost; for 1 % write 0.01.",
    ),
    "high limits that may be meant": ({}, {"fewer_in_time": 0.02, "dropped": 0.02, "least_saving": 0.5}, None),
}


@cases("name", SETTINGS)
def test_a_setting_that_is_likely_to_be_a_percentage_is_doubted(name):
    today, limits, text = SETTINGS[name]
    assert list(setting_doubts(today, limits)) == ([text] if text else [])


def test_a_rule_of_today_that_drops_much_is_doubted():
    assert list(today_drops(0.009)) == []
    assert next(today_drops(0.88)).startswith("In the simulation, today's rule drops 88 % of the requests.")


def test_a_late_price_above_the_drop_price_is_told_as_one_that_loses_requests():
    minute = Service(step_seconds=60, steps_per_episode=1440, late_price=0.005)
    assert losing_is_cheaper(minute).startswith(
        "With these prices it is cheaper to lose requests than to serve them late: $0.005 to let one wait for 60 s, "
        "$0.0025 to drop one. Give other prices of a wait and of a drop"
    )
    assert doubts(minute, trace(1000))[0] == losing_is_cheaper(minute)
    hour = Service(step_seconds=3600, steps_per_episode=24, late_price=0.003, capacity_per_instance=1044)
    assert losing_is_cheaper(hour) == "", "a long step alone makes a wait dear"
