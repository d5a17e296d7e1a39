"""Which functions the code exercises of notebook 9 accept."""

import numpy as np
import pytest
from grader import graded
from scipy import stats

from autoscaler_env.grading.exercises import study


def middle(costs, cut=lambda n: n // 4):
    ordered, left_out = sorted(costs), cut(len(costs))
    return sum(ordered[left_out : len(ordered) - left_out]) / (len(ordered) - 2 * left_out)


CHECKS = [
    (
        study.check_interquartile_mean,
        middle,
        [
            lambda costs: costs[len(costs) // 4 : len(costs) - len(costs) // 4].mean(),
            np.median,
            np.mean,
            lambda costs: middle(costs, lambda n: 1),
            lambda costs: middle(costs, lambda n: round(n / 4)),
            lambda costs: costs[(costs >= np.quantile(costs, 0.25)) & (costs <= np.quantile(costs, 0.75))].mean(),
        ],
    ),
    (
        study.check_share_of_pairs,
        lambda ours, theirs: stats.mannwhitneyu(theirs, ours).statistic / (len(ours) * len(theirs)),
        [
            lambda ours, theirs: np.mean([a < b for a, b in zip(ours, theirs, strict=False)]),
            lambda ours, theirs: np.mean([a < b for a in ours for b in theirs]),
            lambda ours, theirs: np.mean([a <= b for a in ours for b in theirs]),
            lambda ours, theirs: np.mean([a > b for a in ours for b in theirs]),
            lambda ours, theirs: (ours < theirs.mean()).mean(),
        ],
    ),
]


@pytest.mark.parametrize(("check", "right", "wrong"), CHECKS, ids=lambda item: getattr(item, "__name__", None))
def test_an_exercise_accepts_the_right_function_and_no_plausible_wrong_one(check, right, wrong):
    for judge in (check, lambda answer: graded(check, answer)):
        assert judge(right) == "right"
        assert [judge(answer)[:7] for answer in wrong] == ["not yet"] * len(wrong)
        assert judge(5) == judge("costs") == "a function, please: its name, without brackets or quotes"


def test_a_wrong_order_and_ties_have_hints_of_their_own():
    right, with_ties, without_ties = CHECKS[1][1], CHECKS[1][2][2], CHECKS[1][2][1]
    assert "theirs is cheaper" in study.check_share_of_pairs(lambda ours, theirs: right(theirs, ours))
    for answer in (with_ties, without_ties):
        assert "only pairs of equal costs" in study.check_share_of_pairs(answer)


def test_the_reference_is_that_of_a_hand_worked_case():
    # Four pairs: 1 < 2 and 1 < 3 and 2 < 3 win, 2 = 2 is a tie.
    assert study.share_of_pairs(np.array([1.0, 2.0]), np.array([2.0, 3.0])) == 3.5 / 4
