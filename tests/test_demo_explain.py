"""Explanations of actions: the observation in words, and what the policy prefers as bars."""

import numpy as np
import pytest

from autoscaler_env.demo.explain import explanation
from autoscaler_env.demo.session import Session, demo_days
from autoscaler_env.policies.registry import REFERENCE_MODELS, find_policy


def played(name, steps=30):
    session = Session(find_policy(name), demo_days("SINE_CURVE", seed=0, count=1))
    session.run(steps)
    return session


def test_a_learner_chose_its_longest_bar():
    for name in REFERENCE_MODELS:
        session = played(name, 0)
        for steps in (1, 29, 30):
            session.run(steps)
            why = explanation(session)
            assert len(why["bars"]) == 3
            longest = max(why["bars"], key=lambda bar: bar["end"])
            assert longest["chosen"] and longest["label"] in why["did"], name


def test_the_scale_says_what_the_bars_measure():
    q_learning, dqn, ppo = (explanation(played(name)) for name in REFERENCE_MODELS)
    assert "return" in q_learning["scale"] and "saving" in dqn["scale"] and "Probability" in ppo["scale"]
    assert sum(bar["end"] for bar in ppo["bars"]) == pytest.approx(1)


def test_an_explanation_changes_nothing():
    asked, left_alone = played("ppo_mixed", 0), played("ppo_mixed", 0)
    for _ in range(40):
        asked.step()
        explanation(asked)
    left_alone.run(40)
    assert asked.history == left_alone.history


def test_the_words_hold_the_numbers_of_the_observation():
    session = Session(find_policy("threshold"), np.full((1, 288), 3_000))
    first = explanation(session)
    assert first["saw"].startswith("3,000 requests arrived") and first["bars"] == []
    session.run(2)
    assert explanation(session)["saw"] == (
        "3,000 requests arrived, as many as in the step before. 25 instances are ready and 1 booting, "
        "utilisation 100 %. 825 requests wait. Capacity is short by 1,563."
    )


def test_spare_capacity_says_that_it_counts_booting_instances_and_the_queue():
    session = Session(find_policy("threshold"), np.full((1, 288), 2_180))
    session.run(2)
    saw = explanation(session)["saw"]
    assert saw.endswith("5 requests wait. Spare capacity: 77 requests (with booting instances, after the queue).")


class Stubborn:
    """Wants forty instances at any demand."""

    name = "stubborn"
    wanted = np.array([40])

    def reset(self, days):
        pass

    def predict(self, observations):
        return np.array([2])


def test_a_rule_with_memory_shows_the_fleet_that_it_wanted():
    session = Session(Stubborn(), np.full((1, 288), 1_000))
    session.step()
    assert [bar["text"] for bar in explanation(session)["bars"]] == ["25", "40"]
