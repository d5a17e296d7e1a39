"""What counts as an answer, and which functions the code exercises of notebook 4 accept."""

import numpy as np
import pytest
import torch
from grader import graded

from autoscaler_env.grading.exercises import dqn, ppo
from autoscaler_env.grading.judging import (
    as_array,
    equals,
    forget_misses,
    judge_function,
    judge_name,
    judge_names,
    judge_number,
    judge_numbers,
    judge_truth,
)


def test_any_numeric_type_is_a_number():
    for answer in (3, 3.0, np.int64(3), np.float32(3), np.array(3), torch.tensor(3.0), 3 + 1e-9):
        assert judge_number(answer, 3, "hint") == "right", type(answer)
    assert judge_number(4, 3, "hint") == judge_number(float("nan"), 3, "hint") == "not yet: hint"


def test_what_is_no_number_is_asked_for_one():
    for answer in ("three", "$3", "nan", b"3", True, np.True_, {}, print, object(), 3j):
        assert judge_number(answer, 3, "hint") == "a number, please", answer
    for answer in ("3", " 2.5 ", np.str_("1e3")):
        assert judge_number(answer, 3, "hint") == "a number, please, without quotes", answer
    for answer in ([3], (), np.array([3]), torch.tensor([3.0, 4.0])):
        assert judge_number(answer, 3, "hint") == "a single number, please, not an array", answer


def test_lists_arrays_and_tensors_are_arrays():
    for value in ([1, 2], (1, 2), np.array([1, 2]), torch.tensor([1.0, 2.0], requires_grad=True)):
        assert np.array_equal(as_array(value), [1.0, 2.0])
    for value in ("12", ["a"], [[1], [1, 2]], None, [True]):
        assert as_array(value) is None


def test_an_answer_of_another_kind_is_told_the_kind_and_no_hint():
    strange = [3, 3j, b"x", {}, print, object(), [[1], [1, 2]], None]
    assert {judge_numbers(answer, [1, 2], "hint") for answer in strange} == {"2 numbers, please, in a list or an array"}
    assert {judge_name(answer, "ppo", "hint") for answer in strange} == {"a name in quotes, please"}
    assert {judge_names(answer, ["ppo"], "hint") for answer in strange if answer != {}} == {
        "names in quotes, please, in a list"
    }
    assert {judge_truth(answer, True, "hint") for answer in [*strange, 1, 0, "maybe"]} == {"True or False, please"}


def test_names_are_equal_whatever_their_case_and_spelling():
    for name in ("q_learning", "Q-Learning", "q learning", np.str_("QLearning")):
        assert judge_name(name, "q-learning", "hint") == judge_names([name], ["q-learning"], "hint") == "right"
    assert judge_names(["dqn", "ppo", "dqn"], ("PPO", "DQN"), "hint") == "right"
    assert judge_names(["dqn"], ("PPO", "DQN"), "hint") == judge_name("dqn", "ppo", "hint") == "not yet: hint"


def test_the_second_hint_comes_with_the_second_different_miss():
    forget_misses()
    told = [judge_number(answer, 4, "vague", "clear") for answer in (1, 1, "two", 2, 1, 3, 4)]
    assert told == [
        "not yet: vague",
        "not yet: vague",
        "a number, please",
        "not yet: clear",
        "not yet: vague",
        "not yet: clear",
        "right",
    ]
    assert judge_number(1, 4, "another", "exercise") == "not yet: another"


def stop():
    raise SystemExit


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("2 * x", "a function, please: its name, without brackets or quotes"),
        (lambda: 1, "not yet: your function raised TypeError"),
        (lambda x: stop(), "not yet: your function raised SystemExit"),
        (lambda x: "two", "not yet: your function returns no number"),
        (lambda x: print(end=""), "not yet: your function returned None; did you forget `return`?"),
        (lambda x: True, "not yet: your function returns no number"),
        (lambda x: [2 * x], "not yet: your result has shape (1,); expected a single number"),
        (lambda x: x, "not yet: hint"),
        (lambda x: 2 * x, "right"),
    ],
)
def test_a_check_answers_every_function_in_one_line(answer, told):
    result = judge_function(answer, [(1,), (3,)], equals(lambda x: x + x), "hint")
    assert result.startswith(told) and "\n" not in result


def test_a_result_of_another_shape_is_told_both_shapes_and_no_hint():
    same = equals(lambda values: values)
    for answer, told in [
        (lambda values: values[:, None], "not yet: your result has shape (32, 1); expected (32,)"),
        (lambda values: values.sum(), "not yet: your result is a single number; expected (32,)"),
        (lambda values: 2 * values, "not yet: hint"),
    ]:
        assert judge_function(answer, [(np.ones(32),)], same, "hint") == told


def flat_mask(ratio, advantage, clip_range):
    return ((advantage > 0) & (ratio > 1 + clip_range)) | ((advantage < 0) & (ratio < 1 - clip_range))


def test_a_mask_is_a_result_of_ones_and_zeros_and_is_no_answer():
    above = equals(lambda values: (values > 0).astype(float))
    for answer in (lambda values: values > 0, lambda values: [bool(value > 0) for value in values]):
        assert judge_function(answer, [(np.array([-1.0, 1.0]),)], above, "hint") == "right"
    assert graded(ppo.check_flat, flat_mask) == ppo.check_flat(flat_mask) == "right"
    assert as_array(np.array([True, False])) is None and judge_numbers([True], [1], "hint").startswith("1 numbers")


def test_a_function_cannot_change_what_it_is_compared_with():
    def spoil(values):
        values[:] = 0
        return values

    assert judge_function(spoil, [(np.ones(3),)], equals(lambda values: values), "hint") == "not yet: hint"


CHECKS = [
    (
        dqn.check_td_target,
        lambda r, v, end, cut, g: torch.tensor(r + g * (1 - end) * v.max(axis=1)),
        [
            lambda r, v, end, cut, g: r + g * (1 - end) * (1 - cut) * v.max(axis=1),
            lambda r, v, end, cut, g: r + g * (1 - cut) * v.max(axis=1),
            lambda r, v, end, cut, g: r + g * (1 - end) * v.max(),
            lambda r, v, end, cut, g: r + g * v.max(axis=1),
        ],
    ),
    (
        dqn.check_epsilon,
        lambda t, turns, first, last, share: np.interp(t, [0, share * turns], [first, last]),
        [
            lambda t, turns, first, last, share: first + t / turns * (last - first),
            lambda t, turns, first, last, share: first + t / (share * turns) * (last - first),
        ],
    ),
    (
        dqn.check_refresh,
        lambda w, old, update, every: old if update % every else np.array(w),
        [
            lambda w, old, update, every: old if update % every else w,
            lambda w, old, update, every: old if (update + 1) % every else w.copy(),
            lambda w, old, update, every: w.copy(),
        ],
    ),
    (
        dqn.check_sample,
        lambda added, size, n, rng: rng.integers(min(added, size), size=n),
        [
            lambda added, size, n, rng: rng.integers(size, size=n),
            lambda added, size, n, rng: rng.integers(added, size=n),
            lambda added, size, n, rng: np.arange(n) % 5 % min(added, size),
            lambda added, size, n, rng: rng.random(n) * min(added, size),
        ],
    ),
    (
        dqn.check_double_target,
        lambda r, v, w, g: r + g * np.take_along_axis(w, v.argmax(axis=1)[:, None], axis=1)[:, 0],
        [lambda r, v, w, g: r + g * w.max(axis=1), lambda r, v, w, g: r + g * v.max(axis=1)],
    ),
]


@pytest.mark.parametrize(("check", "right", "wrong"), CHECKS, ids=lambda item: getattr(item, "__name__", None))
def test_an_exercise_accepts_the_right_function_and_no_plausible_wrong_one(check, right, wrong):
    for judge in (check, lambda answer: graded(check, answer)):
        assert judge(right) == "right"
        assert [judge(answer)[:7] for answer in wrong] == ["not yet"] * len(wrong)
        assert judge(5) == "a function, please: its name, without brackets or quotes"


@pytest.mark.parametrize(("check", "right", "wrong"), CHECKS, ids=lambda item: getattr(item, "__name__", None))
def test_a_second_miss_gets_a_clearer_hint(check, right, wrong):
    forget_misses()
    told = [check(wrong[0]), check(wrong[-1]), check(wrong[0])]
    assert told[0] == told[2] != told[1]


def test_references_are_those_of_hand_worked_cases():
    target = dqn.td_target(np.zeros(3) - 1, np.array([[1.0, 2.0]] * 3), np.array([0, 1, 0]), np.array([0, 0, 1]), 0.5)
    assert target.tolist() == [0.0, -1.0, 0.0]
    assert dqn.double_target(np.array([1.0]), np.array([[0, 9.0]]), np.array([[8.0, 2]]), 0.5).tolist() == [2.0]
    assert [dqn.epsilon_at(turn, 100, 1.0, 0.2, 0.5) for turn in (0, 25, 50, 99)] == pytest.approx([1, 0.6, 0.2, 0.2])
