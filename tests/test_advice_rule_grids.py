"""Rules are calibrated on days in a row, on a grid and then in fine steps."""

import dataclasses

import numpy as np
import pytest
from advice_cases import WIDE, wavy

from autoscaler_env.advice.rule_grids import FAMILIES, by_day, calibrate_family, forecast_family, play_through
from autoscaler_env.advice.setup import Setup
from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.policies.rules import Static, TargetTracking
from autoscaler_env.traffic.days import CutDays
from autoscaler_env.traffic.trace import Trace


def test_days_in_a_row_are_one_long_day():
    days = wavy(4)
    service = Setup(fields=WIDE).service_for(CutDays.of(days, 3600))
    through = play_through(TargetTracking(service), days, service)
    single = simulate(TargetTracking(service), days, service)
    cut = by_day(through, service)
    assert np.array_equal(cut.fleet[0], single.fleet[0]) and cut.cost.sum() == pytest.approx(through.cost.sum())
    change = np.minimum(np.array(service.fleet_changes)[cut.actions[1:, 0]], 0)
    carried = cut.ready[:-1, -1] + cut.booting[:-1, -1] + change
    assert np.array_equal(cut.ready[1:, 0], carried), "the fleet carries over midnight"


@pytest.mark.parametrize("name", [*FAMILIES, "forecast"])
def test_calibration_finds_what_trying_one_by_one_finds(name):
    days = wavy(4)
    service = Setup(fields=WIDE).service_for(CutDays.of(days, 3600))
    family = forecast_family(Trace("t", days)) if name == "forecast" else FAMILIES[name]
    some = dataclasses.replace(family, grid=lambda service: family.grid(service)[::9])
    settings, cost = calibrate_family(some, days[1:], service)

    def cost_with(values):
        policy = some.policy(service, dict(zip(some.settings, values, strict=True)))
        return play_through(policy, days[1:], service).cost.sum() / 3

    coarse = min(some.grid(service), key=cost_with)
    fine = min(some.near(service, dict(zip(some.settings, coarse, strict=True))), key=cost_with)
    assert cost == pytest.approx(min(cost_with(coarse), cost_with(fine)))
    assert cost == pytest.approx(cost_with(tuple(settings.values())))


def test_more_than_can_be_played_in_one_piece_costs_one_line():
    service = Setup().service_for(CutDays.of(np.ones((2, 1440)), 60))
    with pytest.raises(ValueError, match="set step_seconds"):
        play_through(Static(service), np.ones((100, 1440), dtype=np.int64), service)
