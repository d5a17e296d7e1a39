"""The exercises of notebook 2 accept what is right, and no plausible wrong answer."""

import numpy as np
import pytest
from grader import graded

from autoscaler_env.evaluation.calibration import calibrate
from autoscaler_env.evaluation.rivals import read_calibrated_rules
from autoscaler_env.grading.exercises import baselines
from autoscaler_env.paths import Folders, project_root
from autoscaler_env.policies.oracle import Optimum
from autoscaler_env.policies.rules import TargetTracking, Threshold
from autoscaler_env.service import Service


def wanted(arrivals, queue, capacity, target, reserve):
    return np.ceil((arrivals + queue) / (capacity * target) + reserve)


class Rule:
    """A rule that keeps its spare capacity between two numbers of instances."""

    name = "mine"
    low, high = 1.0, 3.0

    def reset(self, days):
        pass

    def predict(self, observations):
        spare = observations[:, 6].astype(float) * Service().spare_capacity_scale / Service().capacity_per_instance
        return np.where(spare < self.low, 2, np.where(spare > self.high, 0, 1))


class Close(Rule):
    high = 2.0


class Wide(Rule):
    low, high = 3.0, 6.0


class Unscaled(Rule):
    def predict(self, observations):
        return np.where(observations[:, 6] < 1, 2, np.where(observations[:, 6] > 3, 0, 1))


class Reversed(Rule):
    def predict(self, observations):
        return 2 - super().predict(observations)


class OneForAll(Rule):
    def predict(self, observations):
        return 1


class NoAction(Rule):
    def predict(self, observations):
        return np.full(len(observations), 3)


class NoPredict:
    name = "mine"


class WithoutReset(Close):
    reset = None


def of_rule(rule):
    """Return a class that plays a rule of the package."""
    return type("Mine", (), {"name": "mine", "reset": rule.reset, "predict": rule.predict})


CHECKS = [
    (
        baselines.check_wanted,
        wanted,
        [
            lambda n, q, c, t, r: np.ceil((n + q) * t / c + r),
            lambda n, q, c, t, r: np.ceil((n + q) / (c * t)) + r,
            lambda n, q, c, t, r: np.ceil(n / (c * t) + r),
            lambda n, q, c, t, r: np.floor((n + q) / (c * t) + r),
        ],
        "a function, please: its name, without brackets or quotes",
    ),
    (
        baselines.check_band,
        Rule,
        [Unscaled, Reversed, Close, OneForAll, NoAction, NoPredict],
        "a class, please: its name, without brackets",
    ),
    (
        baselines.check_rule,
        Close,
        [Rule, Wide, Unscaled, Reversed, OneForAll, NoAction, NoPredict, WithoutReset],
        "a class, please: its name, without brackets",
    ),
]


@pytest.mark.parametrize(("check", "right", "wrong", "kind"), CHECKS, ids=lambda item: getattr(item, "__name__", None))
def test_an_exercise_accepts_the_right_answer_and_no_plausible_wrong_one(check, right, wrong, kind):
    for judge in (check, lambda answer: graded(check, answer)):
        assert judge(right).startswith("right")
        assert [judge(answer)[:7] for answer in wrong] == ["not yet"] * len(wrong)
        assert judge(5) == judge("text") == kind


def test_a_number_by_hand_and_a_direction():
    assert baselines.check_wanted_by_hand(np.ceil(2_300 / (87 * 0.9) + 2)) == "right"
    assert baselines.check_wanted_by_hand(28).startswith("not yet")  # without the queue
    assert baselines.check_wanted_by_hand("32") == "a number, please, without quotes"
    assert baselines.check_direction("More") == "right"
    assert baselines.check_direction("less").startswith("not yet")
    assert baselines.check_direction(5) == "a name in quotes, please"


def test_dearer_lateness_does_ask_for_more_instances():
    usual, dear = (calibrate(["SINUSOIDAL"], Service(late_price=price), 10) for price in (0.00025, 0.0025))
    assert 2_175 / (87 * dear.target) + dear.reserve > 2_175 / (87 * usual.target) + usual.reserve


def test_the_rule_to_beat_is_the_calibrated_threshold_rule():
    settings = read_calibrated_rules(Folders(project_root()))["threshold"]["MIXED"].settings
    assert (settings["add_above"], settings["remove_below"]) == baselines.CALIBRATED
    itself = baselines.check_rule(of_rule(Threshold(Service(), *baselines.CALIBRATED)))
    assert itself.startswith("not yet") and baselines.check_rule(of_rule(Threshold())).startswith("not yet")
    assert baselines.check_rule(of_rule(TargetTracking(None, 1.05, 2.0))).startswith("right")


def test_a_rule_that_knows_the_day_in_advance_is_shown_an_empty_one():
    assert baselines.check_rule(of_rule(Optimum(Service()))).startswith("not yet")


def test_references_are_those_of_hand_worked_cases():
    assert baselines.wanted(np.array([870.0, 871.0]), np.array([0.0, 0.0]), 87, 1.0, 0.5).tolist() == [11, 11]
    observations = np.zeros((3, 7), dtype=np.float32)
    observations[:, 6] = np.array([0.5, 2, 3.5]) * 87 / (87 * 100 + 4_350)
    assert baselines.band(observations).tolist() == [2, 1, 0]
