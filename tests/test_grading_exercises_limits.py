"""The exercises of notebook 12 accept what is right, and no plausible wrong answer."""

import numpy as np
import pytest
from grader import graded

from autoscaler_env.grading.exercises import limits


def softmax(preferences):
    return np.exp(preferences) / np.exp(preferences).sum()


def gradient(preferences, costs):
    """Write the derivative of a softmax out: the probability of an action, for each preference."""
    chosen = softmax(preferences)
    return (np.diag(chosen) - np.outer(chosen, chosen)) @ costs


CHECKS = [
    (
        limits.check_cheapest_before,
        lambda chances, outcomes: [min(sum(row * cost) for cost in outcomes) for row in chances],
        [
            lambda chances, outcomes: chances @ outcomes.min(axis=0),
            lambda chances, outcomes: (chances @ outcomes.T).max(axis=1),
            lambda chances, outcomes: (chances @ outcomes.T).argmin(axis=1),
            lambda chances, outcomes: (chances @ outcomes.T).mean(axis=1),
            lambda chances, outcomes: np.full(len(chances), outcomes.mean(axis=1).min()),
        ],
    ),
    (
        limits.check_exact_gradient,
        gradient,
        [
            lambda h, c: softmax(h) * c,
            lambda h, c: softmax(h) * (c - c.mean()),
            lambda h, c: -gradient(h, c),
            lambda h, c: c - softmax(h) @ c,
            lambda h, c: softmax(h) @ c,
        ],
    ),
]


@pytest.mark.parametrize(("check", "right", "wrong"), CHECKS, ids=lambda item: getattr(item, "__name__", None))
def test_an_exercise_accepts_the_right_function_and_no_plausible_wrong_one(check, right, wrong):
    for judge in (check, lambda answer: graded(check, answer)):
        assert judge(right) == "right"
        assert [judge(answer)[:7] for answer in wrong] == ["not yet"] * len(wrong)
        assert judge(5) == judge("text") == "a function, please: its name, without brackets or quotes"


def test_the_clairvoyant_s_order_and_the_wrong_mean_have_hints_of_their_own():
    assert "after you have seen the arrivals" in limits.check_cheapest_before(CHECKS[0][2][0])
    assert "which mean makes the sum" in limits.check_exact_gradient(CHECKS[1][2][1])


def test_the_references_are_those_of_hand_worked_cases():
    # one action is right if nothing comes, the other if something does; to wait for the arrivals would cost nothing
    chances, outcomes = np.array([[0.5, 0.5], [0.9, 0.1]]), np.array([[0.0, 4.0], [2.0, 0.0]])
    assert limits.cheapest_before(chances, outcomes) == pytest.approx([1.0, 0.4])
    assert limits.knows_before(chances, outcomes) == pytest.approx([0.0, 0.0])
    assert limits.exact_gradient(np.zeros(2), np.array([3.0, 5.0])) == pytest.approx([-0.5, 0.5])


def test_inputs_that_do_not_react_are_those_of_the_market_and_the_warehouse():
    assert limits.check_exogenous(["a", "d"]) == limits.check_exogenous({"D", "A"}) == "right"
    for wrong in ("a", ["a", "b", "d"], ["a", "c", "d"], ["b", "c"], []):
        assert limits.check_exogenous(wrong).startswith("not yet"), wrong
    assert limits.check_exogenous(2) == "names in quotes, please, in a list"
