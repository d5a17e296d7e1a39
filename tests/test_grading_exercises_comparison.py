"""Which functions the code exercises of notebook 6 accept."""

import numpy as np
import pytest
from grader import graded
from scipy import stats

from autoscaler_env.grading.exercises import comparison


def least_cost(cost, following, start):
    """Return the least cost by asking each state for the next step's, without arrays of all states."""

    def rest(step, state):
        if step == len(cost):
            return 0
        return min(c + rest(step + 1, after) for c, after in zip(cost[step, state], following[state], strict=True))

    return rest(0, start)


def greedy_cost(cost, following, start):
    """Return the cost of the cheapest action of each step, whatever comes after it."""
    paid = 0
    for step in cost:
        action = step[start].argmin()
        paid, start = paid + step[start, action], following[start, action]
    return paid


def forward_cost(cost, following, start):
    rest = np.zeros(len(following))
    for step in cost:
        rest = (step + rest[following]).min(axis=1)
    return rest[start]


def interval(ours, theirs, factor=None, ddof=1):
    difference, n = ours - theirs, len(ours)
    half = (factor or stats.t.ppf(0.975, n - 1)) * difference.std(ddof=ddof) / n**0.5
    return [difference.mean() - half, difference.mean() + half]


def unpaired(ours, theirs):
    n = len(ours)
    half = stats.t.ppf(0.975, n - 1) * ((ours.var(ddof=1) + theirs.var(ddof=1)) / n) ** 0.5
    return ours.mean() - theirs.mean() - half, ours.mean() - theirs.mean() + half


CHECKS = [
    (
        comparison.check_least_cost,
        least_cost,
        [
            greedy_cost,
            forward_cost,
            lambda cost, following, start: cost.min(axis=2).sum(axis=0)[start],
            lambda cost, following, start: cost[:, start].min(axis=1).sum(),
        ],
    ),
    (
        comparison.check_paired_interval,
        interval,
        [
            unpaired,
            lambda ours, theirs: interval(ours, theirs, factor=1.96),
            lambda ours, theirs: interval(ours, theirs, ddof=0),
            lambda ours, theirs: interval(theirs, ours),
            lambda ours, theirs: interval(ours, theirs)[0],
        ],
    ),
]


@pytest.mark.parametrize(("check", "right", "wrong"), CHECKS, ids=lambda item: getattr(item, "__name__", None))
def test_an_exercise_accepts_the_right_function_and_no_plausible_wrong_one(check, right, wrong):
    for judge in (check, lambda answer: graded(check, answer)):
        assert judge(right) == "right"
        assert [judge(answer)[:7] for answer in wrong] == ["not yet"] * len(wrong)
        assert judge(5) == judge("rest") == "a function, please: its name, without brackets or quotes"


def test_a_wrong_sign_order_or_shape_has_a_hint_of_its_own():
    told = comparison.check_paired_interval
    assert "ours minus theirs" in told(lambda ours, theirs: interval(theirs, ours))
    assert "lower end comes first" in told(lambda ours, theirs: interval(ours, theirs)[::-1])
    assert "your result is a single number; expected (2,)" in told(lambda *costs: interval(*costs)[0])


def test_references_are_those_of_hand_worked_cases():
    # Two states: in state 0 it is cheap to leave (1 to go to state 1, 2 to stay), in state 1 a step costs 10.
    cost, following = np.array([[[2.0, 1.0], [10.0, 10.0]]] * 2), np.array([[0, 1], [1, 1]])
    assert comparison.least_cost(cost, following, 0) == 3.0  # stay for 2, then leave for 1
    assert comparison.least_cost(cost, following, 1) == 20.0
    low, high = comparison.paired_interval(np.array([11.0, 22.0, 33.0]), np.array([10.0, 20.0, 30.0]))
    assert (low, high) == pytest.approx((2 - 4.3027 / 3**0.5, 2 + 4.3027 / 3**0.5), abs=1e-4)
