"""The exercises of notebook 10 accept what is right, and no plausible wrong answer."""

import numpy as np
import pytest
from grader import graded

from autoscaler_env.grading.exercises import meter


def lost(arrivals, served, dropped, queue):
    return arrivals - served - dropped - np.diff(queue, prepend=0)


DAY = [25] * 288


def probe(count):
    """Compare the dollars of an hour for a steady fleet, exchanged instances, and one that lives half an hour."""
    fleets = (DAY, [25, 26] * 144, [25] * 100 + [26] * 6 + [25] * 182)
    prices = [sum(count(fleet)) / sum(fleet) for fleet in fleets]
    return bool(np.allclose(prices, prices[0]))


CHECKS = [
    (
        meter.check_lost,
        lost,
        [
            lambda n, s, d, q: n - s - d,
            lambda n, s, d, q: n - s - d - q,
            lambda n, s, d, q: n - s - d - np.diff(q, append=0),
            lambda n, s, d, q: (n - s - d - np.diff(q, prepend=0)).sum(),
            lambda n, s, d, q: n - s - d + np.diff(q, prepend=0),
        ],
    ),
    (
        meter.check_probe,
        probe,
        [
            lambda count: True,
            lambda count: False,
            lambda count: bool(np.isclose(sum(count(DAY)), 25 * 24 * 0.192)),
            lambda count: bool(np.isclose(sum(count([0] * 288)), 0)),
            lambda count: bool(np.isclose(sum(count(DAY)), 2 * sum(count(DAY[:144])))),
            lambda count: 7,
        ],
    ),
]


@pytest.mark.parametrize(("check", "right", "wrong"), CHECKS, ids=lambda item: getattr(item, "__name__", None))
def test_an_exercise_accepts_the_right_function_and_no_plausible_wrong_one(check, right, wrong):
    for judge in (check, lambda answer: graded(check, answer)):
        assert judge(right) == "right"
        assert [judge(answer)[:7] for answer in wrong] == ["not yet"] * len(wrong)
        assert judge(5) == judge("text") == "a function, please: its name, without brackets or quotes"


def test_a_wrong_sign_and_a_wrong_shape_have_hints_of_their_own():
    assert "which sign" in meter.check_lost(lambda *day: -lost(*day))
    assert "your result is a single number; expected (40,)" in meter.check_lost(lambda *day: lost(*day).sum())


def test_a_lifetime_by_hand_counts_each_full_hour_again():
    assert meter.check_lifetime(0.192 * (1 + 2 + 3 + 4 + 5)) == "right"
    for wrong in (0.192 * 5, 0.192 * 21, 0):
        assert meter.check_lifetime(wrong).startswith("not yet")
    assert meter.check_lifetime("$2.88") == "a number, please"


def test_actions_are_288_of_three_kinds():
    for answer in ([1], [1] * 287, [3] * 288, [0.5] * 288, ["add"] * 288, 5, None, [[1] * 288]):
        assert meter.check_actions(answer) == "288 actions, please, in a list or an array; each is 0, 1 or 2", answer
    assert meter.check_actions([1] * 288).startswith("not yet") and meter.check_actions([2, 0] * 144)[:7] == "not yet"
    for answer in ([0] * 24 + [2, 0] * 132, np.array([0] * 24 + [2, 0] * 132)):
        told = meter.check_actions(answer)
        assert told.startswith("right: ") and told.count("$") == 3


def test_the_broken_meter_is_that_of_hand_worked_cases():
    counted = meter.Ages(at_start=0)([1] * 24)
    assert counted.nonzero()[0].tolist() == [11, 23]
    assert counted[[11, 23]] == pytest.approx([0.192, 2 * 0.192])
    assert meter.Ages()([25] * 12).sum() == pytest.approx(25 * 87)
    assert meter.sound_meter(1.2)([2, 0]).tolist() == pytest.approx([0.2, 0.0])
    missing = meter.lost_requests(np.array([5.0, 5]), np.array([3.0, 5]), np.zeros(2), np.array([1.0, 2]))
    assert missing.tolist() == [1, -1]
