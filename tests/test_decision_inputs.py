"""The inputs that a decision needs: worked by hand, and the same in training, evaluation and use."""

import numpy as np
import pytest

from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.policies.decision_inputs import (
    ARRIVALS_INPUTS,
    DECISION_INPUTS,
    FLEET_INPUTS,
    DecisionInputs,
    outlook_on,
)
from autoscaler_env.policies.inputs import Inputs
from autoscaler_env.policies.recognise import Recogniser
from autoscaler_env.policies.rules import Static, TargetTracking
from autoscaler_env.service import Service
from autoscaler_env.traffic.patterns import Pattern, day_seeds

SERVICE = Service()
PAST, CLOCK, CYCLES, CALM = slice(0, 40), slice(40, 42), slice(42, 47), slice(47, 51)
UNSURE = Recogniser((np.zeros((ARRIVALS_INPUTS, 6), dtype=np.float32),), (np.zeros(6, dtype=np.float32),))
FAST = Service(step_seconds=150, steps_per_episode=576)


class Watcher(TargetTracking):
    """Track the demand, and remember inputs."""

    def reset(self, days):
        self.inputs, self.plain = DecisionInputs(self.service, UNSURE), Inputs(self.service, levels=True)
        self.inputs.start()
        self.seen, self.before = [], []

    def predict(self, observations):
        self.seen.append(self.inputs(observations))
        self.before.append(self.plain(observations))
        return super().predict(observations)


def test_what_a_policy_sees_is_what_training_computes_from_a_day():
    days = np.concatenate([Pattern(name, SERVICE).draw(day_seeds("training", 2)) for name in ("SPIKE", "SINUSOIDAL")])
    watcher = Watcher(SERVICE)
    simulate(watcher, days, SERVICE)
    known, _ = outlook_on(SERVICE, days)
    seen = np.stack(watcher.seen, axis=1)
    assert seen.shape == (4, 288, DECISION_INPUTS)
    assert np.array_equal(seen[:, :, FLEET_INPUTS:-6], known)
    assert np.array_equal(known[:, :, PAST], np.stack(watcher.before, axis=1)[:, :, 5:])
    assert (seen[:, :, -6:] == np.float32(1 / 6)).all()
    assert np.isfinite(seen).all() and np.abs(seen).max() < 20


def test_fleet_and_queue_are_held_against_what_is_expected():
    days = np.full((1, 288), 1_740)  # twenty instances' worth
    watcher = Watcher(SERVICE, 1.0, 3.0)
    simulate(watcher, days, SERVICE)
    last = watcher.seen[-1][0, :FLEET_INPUTS]
    # 23 instances, 3 more than needed now and expected later; 3 / (1 + 3) = 0.75
    assert last[:5] == pytest.approx([0.3, 0.75, 0, 0, 23 * 87 / 4_350], abs=1e-3)
    assert last[5:] == pytest.approx([0.3, 0.75] * 6, abs=0.01)
    first = watcher.seen[0][0, :5]
    assert first == pytest.approx([0.5, 5 / 6, 0, 0, 0.5], abs=1e-3)


def test_cycles_of_a_day_are_forecast_once_they_were_seen_for_some_hours():
    angle = 2 * np.pi * np.arange(288) / 288
    days = np.rint(2_000 + 900 * np.sin(angle + 1) + 400 * np.cos(3 * angle))[np.newaxis].astype(np.int64)
    _, expected = outlook_on(SERVICE, days)
    for step in range(144, 270):
        soon, later = expected[0, step, 1:3] * 87
        assert soon == pytest.approx(days[0, step + 1], abs=30) and later == pytest.approx(days[0, step + 5], abs=60)


def test_a_climb_that_is_too_steep_to_follow_is_announced():
    angle = 2 * np.pi * np.arange(288) / 288
    days = np.rint(2_175 * (1 + 0.9 * np.sin(3 * angle)))[np.newaxis].astype(np.int64)
    _, expected = outlook_on(SERVICE, days)
    demand = days[0] / 87
    for step in (100, 150, 200):
        needed = max(demand[step + 1 + ahead] - ahead for ahead in range(25))
        wasted = min(demand[step + 1 + ahead] + ahead for ahead in range(25))
        assert expected[0, step, 4:6] == pytest.approx([needed, wasted], abs=0.7)
    assert (expected[0, 150:200, 4] - expected[0, 150:200, 1]).max() > 1


def test_the_clock_knows_how_much_of_the_day_is_left():
    known, _ = outlook_on(SERVICE, np.full((1, 288), 900))
    assert known[0, [0, 72, 276, 287], CLOCK] == pytest.approx(
        np.array([[0, 1], [0.25, 1], [276 / 288, 0.5], [287 / 288, 1 / 24]])
    )


def test_the_time_since_the_calm_ended_is_counted_until_it_returns():
    days = np.full((1, 288), 1_740)
    days[0, 100:120] += 870  # a crowd worth ten instances
    known, expected = outlook_on(SERVICE, days)
    since = np.rint(np.expm1(4 * known[0, :, 48])).astype(int)
    assert since[:101].max() == 0 and since[101:121].tolist() == list(range(1, 21)) and since[121:].max() == 0
    assert known[0, 105, [47, 49]] == pytest.approx([2.5 / 3.5, 1.25 / 2.25])  # 10 / 4 and 10 / 8, bent
    assert known[0, 101, 50] == pytest.approx((10 / 3) / (1 + 10 / 3))
    assert expected[0, 101, 6] == pytest.approx(30 + 2 * 10 / 3, rel=1e-3)


def test_after_a_change_that_stays_there_is_a_new_calm():
    days = np.full((1, 288), 1_740)
    days[0, 50:] = 2_610
    known, _ = outlook_on(SERVICE, days)
    assert known[0, 140, 48] > 1 and known[0, 160, 48] == 0 and abs(known[0, 160, 47]) < 0.01


def test_memory_can_be_saved_and_days_do_not_mix():
    days = Pattern("RANDOM", FAST).draw(day_seeds("training", 2))
    known, _ = outlook_on(FAST, days)
    alone, _ = outlook_on(FAST, days[1:])
    assert np.array_equal(known[1:], alone)
    one, other = DecisionInputs(SERVICE, UNSURE), DecisionInputs(SERVICE, UNSURE)
    rng = np.random.default_rng(0)
    observations = rng.random((6, 2, 7), dtype=np.float32)
    for each in observations[:4]:
        one(each)
    other.restore(one.state())
    assert np.array_equal(one(observations[4]), other(observations[4]))
    one.start()
    fresh = DecisionInputs(SERVICE, UNSURE)
    assert np.array_equal(one(observations[5]), fresh(observations[5]))


def test_a_fleet_that_never_changes_sees_the_same_arrivals():
    days = Pattern("SPIKE", SERVICE).draw(day_seeds("training", 1))

    class Idle(Watcher):
        def predict(self, observations):
            super().predict(observations)
            return Static.predict(self, observations)

    moving, idle = Watcher(SERVICE), Idle(SERVICE)
    simulate(moving, days, SERVICE)
    simulate(idle, days, SERVICE)
    for one, other in zip(moving.seen, idle.seen, strict=True):
        assert np.array_equal(one[:, FLEET_INPUTS:], other[:, FLEET_INPUTS:])
