"""Calibrating target tracking: the grid in one rollout is the grid in many."""

import numpy as np
import pytest

from autoscaler_env.evaluation.calibration import (
    Calibration,
    calibrate,
    calibrated_rule,
    read_calibrations,
    save_calibrations,
)
from autoscaler_env.evaluation import calibration
from autoscaler_env.evaluation.simulation import roll_out
from autoscaler_env.paths import Folders
from autoscaler_env.policies.rules import TargetTracking
from autoscaler_env.service import Service
from autoscaler_env.traffic.patterns import Pattern, day_seeds, purpose_of


def separate_rollouts(patterns, service, days):
    """Play every setting of the grid by itself; return the mean bill of each."""
    bills = {}
    for target in calibration.TARGETS:
        for headroom in calibration.HEADROOMS:
            rule = TargetTracking(service, float(target), float(headroom))
            drawn = [Pattern(name, service).draw(day_seeds("calibration", days)) for name in patterns]
            bills[target, headroom] = np.mean([roll_out(rule, each, service).bill.sum(axis=1).mean() for each in drawn])
    return bills


@pytest.mark.parametrize("patterns", [["SPIKE"], ["STEADY", "RANDOM"]])
def test_the_grid_equals_separate_rollouts(monkeypatch, patterns):
    monkeypatch.setattr(calibration, "TARGETS", np.array([0.8, 1.0]))
    monkeypatch.setattr(calibration, "HEADROOMS", np.array([0, 1, 6]))
    service = Service(slots_per_episode=60, boot_slots=2)
    bills = separate_rollouts(patterns, service, 3)
    found = calibrate(patterns, service, 3)
    assert (found.target, found.headroom) == min(bills, key=bills.get)
    assert found.bill == pytest.approx(min(bills.values()), rel=1e-12)


def test_the_grid_is_the_published_one():
    assert (calibration.TARGETS.min(), calibration.TARGETS.max()) == (0.8, 1.2)
    assert calibration.HEADROOMS.tolist() == list(range(17))


def test_flash_crowds_want_more_headroom_than_steady_traffic():
    assert calibrate(["SPIKE"], days=5).headroom > calibrate(["STEADY"], days=5).headroom


def test_calibration_plays_calibration_days_only():
    asked = []

    class Recorder(Pattern):
        def draw(self, seeds):
            asked.extend(purpose_of(seed) for seed in seeds)
            return super().draw(seeds)

    service = Service(slots_per_episode=5)
    calibrate([Recorder("STEADY", service)], service, 3)
    assert asked == ["calibration"] * 3


def test_settings_come_back_as_they_were_saved(tmp_path):
    settings = {"SPIKE": Calibration(1.1, 12.0, 167.123), "MIXED": Calibration(0.95, 3.0, 148.0)}
    save_calibrations(settings, Folders(tmp_path))
    assert read_calibrations(Folders(tmp_path)) == settings


def test_a_calibrated_rule_has_the_setting_and_a_name(tmp_path):
    save_calibrations({"SPIKE": Calibration(1.1, 12.0, 167.0)}, Folders(tmp_path))
    rule = calibrated_rule("SPIKE", Folders(tmp_path))
    assert (rule.target, rule.headroom, rule.name) == (1.1, 12.0, "target-tracking-spike")
    assert calibrated_rule("SPIKE", Folders(tmp_path), name="mine").name == "mine"


def test_missing_calibrations_say_what_makes_them(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"calibration.csv is missing; make it with: autoscaler run .*02_"):
        read_calibrations(Folders(tmp_path))
