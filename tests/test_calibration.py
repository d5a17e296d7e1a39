"""Calibration: settings simulated side by side cost what they cost alone, and the search finds the cheapest."""

import dataclasses

import numpy as np
import pytest
from cases import cases

from autoscaler_env.evaluation import calibration
from autoscaler_env.evaluation.calibration import (
    Calibration,
    calibrate,
    calibrated_rule,
    cheapest_setting,
    read_calibrations,
    save_calibrations,
)
from autoscaler_env.evaluation.grids import RULE_GRIDS, forecast_grid
from autoscaler_env.evaluation.simulation import simulate, simulate_through
from autoscaler_env.paths import Folders
from autoscaler_env.policies.rules import TargetTracking
from autoscaler_env.service import Service
from autoscaler_env.traffic.patterns import Pattern, day_seeds, purpose_of
from autoscaler_env.traffic.trace import Trace


def separate_trajectories(patterns, service, days):
    """Play every setting of the grid by itself; return the mean cost of each."""
    costs = {}
    for target in calibration.TARGETS:
        for reserve in calibration.RESERVES:
            rule = TargetTracking(service, float(target), float(reserve))
            drawn = [Pattern(name, service).draw(day_seeds("calibration", days)) for name in patterns]
            costs[target, reserve] = np.mean([simulate(rule, each, service).cost.sum(axis=1).mean() for each in drawn])
    return costs


@pytest.fixture
def small_grid(monkeypatch):
    """Let `calibrate` try two targets and three reserves."""
    monkeypatch.setattr(calibration, "TARGETS", np.array([0.8, 1.0]))
    monkeypatch.setattr(calibration, "RESERVES", np.array([0, 1, 6]))


@cases("patterns", [["SPIKE"], ["STEADY", "RANDOM"]])
def test_the_grid_equals_separate_trajectories(small_grid, patterns):
    service = Service(steps_per_episode=60, boot_steps=2)
    costs = separate_trajectories(patterns, service, 3)
    best = calibrate(patterns, service, 3)
    assert (best.target, best.reserve) == min(costs, key=costs.get)
    assert best.cost == pytest.approx(min(costs.values()), rel=1e-12)


def test_the_grid_is_the_published_one():
    assert (calibration.TARGETS.min(), calibration.TARGETS.max()) == (0.8, 1.2)
    assert calibration.RESERVES.tolist() == list(range(17))


def test_another_grid_has_its_own_settings_and_the_costs_of_the_published_one():
    service = Service(steps_per_episode=40)
    other = calibration.calibration_grid(["SPIKE"], service, 2, [1.0, 2.0], range(0, 5, 2))
    assert (list(other.index), list(other.columns)) == ([1.0, 2.0], [0, 2, 4])
    published = calibration.calibration_grid(["SPIKE"], service, 2)
    assert other.loc[1.0].tolist() == published.loc[1.0, [0, 2, 4]].tolist()
    with pytest.raises(ValueError, match=r"^targets = \[\], reserves = \[0\]: must be at least one of each$"):
        calibration.calibration_grid(["SPIKE"], service, 2, [], [0])


def test_flash_crowds_want_more_reserve_than_steady_traffic():
    assert calibrate(["SPIKE"], days=5).reserve > calibrate(["STEADY"], days=5).reserve


def test_calibration_plays_calibration_days_only():
    asked = []

    class Recorder(Pattern):
        def draw(self, seeds):
            asked.extend(purpose_of(seed) for seed in seeds)
            return super().draw(seeds)

    service = Service(steps_per_episode=5)
    calibrate([Recorder("STEADY", service)], service, 3)
    assert asked == ["calibration"] * 3


def test_saved_settings_are_read_back(tmp_path):
    settings = {"SPIKE": Calibration(1.1, 12.0, 167.123), "MIXED": Calibration(0.95, 3.0, 148.0)}
    save_calibrations(settings, Folders(tmp_path))
    assert read_calibrations(Folders(tmp_path)) == settings


def test_a_calibrated_rule_has_the_setting_and_a_name(tmp_path):
    save_calibrations({"SPIKE": Calibration(1.1, 12.0, 167.0)}, Folders(tmp_path))
    rule = calibrated_rule("SPIKE", Folders(tmp_path))
    assert (rule.target, rule.reserve, rule.name) == (1.1, 12.0, "target-tracking-spike")
    assert calibrated_rule("SPIKE", Folders(tmp_path), name="mine").name == "mine"


def test_a_missing_table_names_the_command_that_makes_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"calibration.csv is missing; make it with: autoscaler run .*02_"):
        read_calibrations(Folders(tmp_path))


def test_calibrating_again_gives_the_committed_settings_to_the_last_digit():
    committed = read_calibrations(Folders.course())
    assert calibrate(["SPIKE"]) == committed["SPIKE"]


def test_many_settings_are_simulated_in_parts_that_change_nothing(monkeypatch):
    grid, service = RULE_GRIDS["threshold"], Service(steps_per_episode=20)
    days = Pattern("SPIKE", service).draw(day_seeds("calibration", 3))
    whole = calibration.setting_costs(grid, grid.grid(service), days, service)
    monkeypatch.setattr(calibration, "_CELLS", 700)
    assert np.array_equal(calibration.setting_costs(grid, grid.grid(service), days, service), whole)


# --- any rule on days in a row ---------------------------------------------------------------------------------------

SHOP = Service(
    steps_per_episode=24,
    step_seconds=3600,
    capacity_per_instance=100,
    fleet_changes=(-16, -4, -1, 0, 1, 4, 16),
    max_instances=40,
    queue_limit=2000,
    initial_instances=5,
)


def shop_days(count=4):
    """Return days with a smooth daily course, shape (count, 24)."""
    levels = np.random.default_rng(0).uniform(800, 1200, (count, 1))
    return np.rint(levels * (1 + 0.6 * np.sin(np.arange(24) * np.pi / 12))).astype(np.int64)


def grid_of(name, days):
    return forecast_grid(Trace("shop", days)) if name == "forecast" else RULE_GRIDS[name]


@cases("name", [*RULE_GRIDS, "forecast"])
def test_the_search_finds_what_trying_one_by_one_finds(name):
    days = shop_days()
    grid = grid_of(name, days)
    every_ninth = dataclasses.replace(grid, grid=lambda service: grid.grid(service)[::9])
    settings, cost = cheapest_setting(every_ninth, days[1:], SHOP)

    def cost_of(values):
        rule = grid.policy(SHOP, dict(zip(grid.settings, values, strict=True)))
        return simulate_through(rule, days[1:], SHOP).cost.sum() / 3

    coarse = min(every_ninth.grid(SHOP), key=cost_of)
    fine = min(grid.near(SHOP, dict(zip(grid.settings, coarse, strict=True))), key=cost_of)
    assert cost == pytest.approx(min(cost_of(coarse), cost_of(fine))) == cost_of(tuple(settings.values()))


@cases("name", [*RULE_GRIDS, "forecast"])
def test_every_setting_of_a_grid_and_near_it_is_allowed_and_described(name):
    grid = grid_of(name, shop_days())
    for values in (*grid.grid(SHOP)[::7], *grid.near(SHOP, dict(zip(grid.settings, grid.grid(SHOP)[0], strict=True)))):
        settings = dict(zip(grid.settings, values, strict=True))
        assert grid.policy(SHOP, settings).name == name
        assert all(
            f"{100 * value:g}" in grid.describe(settings) or f"{value:g}" in grid.describe(settings) for value in values
        )


def test_a_rule_with_unknown_or_missing_settings_is_refused():
    for settings in ({}, {"target": 1}, {"instances": 3, "target": 1}):
        with pytest.raises(ValueError, match="fixed is set by instances, not by"):
            RULE_GRIDS["fixed"].policy(SHOP, settings)
