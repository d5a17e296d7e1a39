"""Calibrating target tracking: the grid in one trajectory is the grid in many."""

import numpy as np
import pytest

from autoscaler_env.evaluation import calibration
from autoscaler_env.evaluation.calibration import (
    Calibration,
    calibrate,
    calibrated_rule,
    read_calibrations,
    save_calibrations,
)
from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.paths import Folders
from autoscaler_env.policies.rules import TargetTracking
from autoscaler_env.service import Service
from autoscaler_env.traffic.patterns import Pattern, day_seeds, purpose_of


def separate_trajectories(patterns, service, days):
    """Play every setting of the grid by itself; return the mean cost of each."""
    costs = {}
    for target in calibration.TARGETS:
        for reserve in calibration.RESERVES:
            rule = TargetTracking(service, float(target), float(reserve))
            drawn = [Pattern(name, service).draw(day_seeds("calibration", days)) for name in patterns]
            costs[target, reserve] = np.mean([simulate(rule, each, service).cost.sum(axis=1).mean() for each in drawn])
    return costs


@pytest.mark.parametrize("patterns", [["SPIKE"], ["STEADY", "RANDOM"]])
def test_the_grid_equals_separate_trajectories(monkeypatch, patterns):
    monkeypatch.setattr(calibration, "TARGETS", np.array([0.8, 1.0]))
    monkeypatch.setattr(calibration, "RESERVES", np.array([0, 1, 6]))
    service = Service(steps_per_episode=60, boot_steps=2)
    costs = separate_trajectories(patterns, service, 3)
    found = calibrate(patterns, service, 3)
    assert (found.target, found.reserve) == min(costs, key=costs.get)
    assert found.cost == pytest.approx(min(costs.values()), rel=1e-12)


def test_the_grid_is_the_published_one():
    assert (calibration.TARGETS.min(), calibration.TARGETS.max()) == (0.8, 1.2)
    assert calibration.RESERVES.tolist() == list(range(17))


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


def test_settings_come_back_as_they_were_saved(tmp_path):
    settings = {"SPIKE": Calibration(1.1, 12.0, 167.123), "MIXED": Calibration(0.95, 3.0, 148.0)}
    save_calibrations(settings, Folders(tmp_path))
    assert read_calibrations(Folders(tmp_path)) == settings


def test_a_calibrated_rule_has_the_setting_and_a_name(tmp_path):
    save_calibrations({"SPIKE": Calibration(1.1, 12.0, 167.0)}, Folders(tmp_path))
    rule = calibrated_rule("SPIKE", Folders(tmp_path))
    assert (rule.target, rule.reserve, rule.name) == (1.1, 12.0, "target-tracking-spike")
    assert calibrated_rule("SPIKE", Folders(tmp_path), name="mine").name == "mine"


def test_missing_calibrations_say_what_makes_them(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"calibration.csv is missing; make it with: autoscaler run .*02_"):
        read_calibrations(Folders(tmp_path))
