"""The score card: items, uses and the optimum of a finished day."""

import numpy as np
import pytest

from autoscaler_env.demo.score import WHERE, score_card, with_optimum
from autoscaler_env.demo.session import Session, demo_days
from autoscaler_env.evaluation.lower_bound import lower_bounds
from autoscaler_env.policies.registry import find_policy
from autoscaler_env.service import Service

SHORT = Service(steps_per_episode=24)


def finished(*names, service=SHORT):
    """Return sessions of some policies after the same short day."""
    days = demo_days("SPIKE", seed=0, count=1, service=service)
    sessions = [Session(find_policy(name, service), days, service) for name in names]
    for session in sessions:
        session.run(24)
    return sessions


@pytest.fixture(scope="module")
def sessions():
    """Return two rules after the same short day."""
    return finished("static", "threshold")


@pytest.fixture(scope="module")
def card(sessions):
    """Return their score card, with the optimum."""
    card = score_card(sessions, ["static", "threshold"])
    assert card["pending"] and card["optimum"] is None and card["reason"]
    return with_optimum(card, sessions[0])


def test_a_cost_is_the_sum_of_its_items_and_of_where_the_money_goes(card, sessions):
    for lane, session in zip(card["lanes"], sessions, strict=True):
        assert lane["cost"] == pytest.approx(session.state.cost)
        assert sum(lane["items"].values()) == pytest.approx(session.state.cost)
        assert sum(lane["where"].values()) == pytest.approx(session.state.cost)


def test_no_policy_costs_less_than_the_optimum(card):
    assert not card["pending"] and card["optimum"]["cost"] <= min(lane["cost"] for lane in card["lanes"])
    assert len(card["optimum"]["fleet"]) == 24


def test_the_verdict_names_the_cheaper_policy_and_the_gap_to_the_optimum(card):
    static, threshold = (lane["cost"] for lane in card["lanes"])
    cheaper, other = ("Static", "threshold") if static < threshold else ("Threshold", "static")
    assert card["verdict"].startswith(f"{cheaper} paid ${abs(static - threshold):,.2f} less than {other} on this day.")
    assert (
        f"costs ${card['optimum']['cost']:,.2f}: static paid ${static - card['optimum']['cost']:,.2f} more, mostly"
        in (card["verdict"])
    )


def test_idle_instances_cost_what_arithmetic_by_hand_says():
    service = Service(steps_per_episode=2, capacity_per_instance=10, initial_instances=4, min_instances=1)
    session = Session(find_policy("static", service), np.array([[20, 20]]), service)
    session.run(2)
    where = score_card([session], ["static"])["lanes"][0]["where"]
    assert where == pytest.approx({"worked": 4 * 0.016, "idle": 4 * 0.016, "booting": 0, "late": 0, "dropped": 0})
    assert list(where) == list(WHERE)


def test_without_an_optimum_the_card_gives_the_reason():
    (session,) = finished("static", service=Service(steps_per_episode=24, boot_steps=12))
    card = with_optimum(score_card([session], ["static"]), session)
    assert card["optimum"] is None and not card["pending"] and "boot_steps = 12" in card["reason"]
    (bound,) = lower_bounds(session.days[:1], session.service)
    assert f"A lower bound is ${bound:.2f}: no plan costs less." in card["reason"]
