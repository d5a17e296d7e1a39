"""A session plays days as `evaluate` and `simulate` do, also after a handover, and reports plain numbers."""

import dataclasses

import numpy as np
import pytest

from autoscaler_env.demo.session import Session, demo_days
from autoscaler_env.evaluation.metrics import evaluate
from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.policies.registry import find_policy
from autoscaler_env.service import Service
from autoscaler_env.traffic.patterns import Pattern

SHORT = Service(steps_per_episode=24)


@pytest.fixture
def sessions():
    """Return sessions of two rules on two short days."""
    days = demo_days("SPIKE", seed=3, count=2, service=SHORT)
    return [Session(find_policy(name, SHORT), days, SHORT) for name in ("static", "threshold")]


def test_a_session_costs_what_evaluate_reports():
    for name in ("random", "threshold", "target-tracking"):
        session = Session(find_policy(name), demo_days("SINE_CURVE", seed=0, count=1))
        end = session.run(288)
        row = evaluate([find_policy(name)], "SINE_CURVE", 1).iloc[0]
        assert end.cost == pytest.approx(row["cost"]), name
        assert (end.peak_queue, end.scaling_actions) == (row["peak_queue"], row["scaling_actions"]), name


def test_each_step_of_a_session_equals_that_of_simulate(sessions):
    session = sessions[1]
    session.run(24)
    trajectory = simulate(find_policy("threshold", SHORT), session.days[:1], SHORT)
    for name in ("ready", "booting", "queue", "served", "dropped", "scaled"):
        assert session.history[name] == getattr(trajectory, name)[0].tolist(), name


def test_days_follow_each_other_from_the_initial_fleet_and_start_over_after_the_last_one(sessions):
    session = sessions[1]
    session.run(25)
    assert (session.state.day, session.state.elapsed_steps) == (1, 1)
    assert session.state.ready + session.state.booting <= SHORT.initial_instances + 1
    session.run(47)
    assert session.history["arrivals"] == [
        *session.days[0].tolist(),
        *session.days[1].tolist(),
        *session.days[0].tolist(),
    ]


def test_a_restarted_session_repeats_itself(sessions):
    first = sessions[1].run(30)
    sessions[1].start()
    assert sessions[1].run(30) == first


def test_states_and_history_are_plain_numbers(sessions):
    state = sessions[0].run(3)
    assert {type(value) for value in dataclasses.astuple(state)} == {int, float}
    assert {type(value) for values in sessions[0].history.values() for value in values} == {int, float}


def test_demo_days_are_evaluation_days_with_a_number_from_0():
    days = demo_days("STEADY", seed=1, count=2)
    assert np.array_equal(days, Pattern("STEADY", Service()).evaluation_days(3)[1:])
    with pytest.raises(ValueError, match="seed = -1"):
        demo_days("STEADY", seed=-1, count=1)


class Watcher:
    """A policy that holds and records its observations."""

    name = "watcher"

    def reset(self, days):
        self.seen = []

    def predict(self, observations):
        self.seen.append(observations[0].tolist())
        return np.full(len(observations), SHORT.hold)


def test_a_new_policy_first_sees_the_day_so_far(sessions):
    from_the_start = Session(Watcher(), sessions[0].days, SHORT)
    from_the_start.run(9)
    sessions[0].run(5)  # static, which holds as well
    sessions[0].hand_over(successor := Watcher())
    sessions[0].run(4)
    assert successor.seen == from_the_start.policy.seen


def test_a_new_policy_acts_from_the_next_step_on(sessions):
    session = sessions[0]
    session.run(5)
    session.hand_over(find_policy("threshold", SHORT))
    session.run(5)
    assert session.history["action"][:5] == [SHORT.hold] * 5
    assert any(action != SHORT.hold for action in session.history["action"][5:])
    assert session.name == "threshold"
