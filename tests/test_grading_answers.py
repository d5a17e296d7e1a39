"""Answers leave the sandbox as data; no answer brings code or a forged value into a check."""

import collections
import decimal
import fractions
import json
import math

import numpy as np
import pytest

from autoscaler_env.grading.answers import Replay, collect, decode, encode, restore


def test_plain_values_arrive_unchanged_with_their_types():
    values = [None, True, 3, -2.5, 10**30, math.inf, "text", b"\0\1", [1, [2.0]], (1, "a"), {"a": (1,), 2: None}]
    for value in values:
        arrived = decode(json.loads(json.dumps(encode(value))))
        assert arrived == value and type(arrived) is type(value), value


def test_arrays_arrive_unchanged():
    numbers = np.array([[1, 2, 0], [3, math.inf, -0.5]])
    strided = numbers.T[::2]
    for array in (numbers.astype(np.float32), strided, numbers > 1, np.array(3.0), np.zeros((0, 3), int)):
        arrived = decode(json.loads(json.dumps(encode(array))))
        assert arrived.dtype == array.dtype and arrived.shape == array.shape and (arrived == array).all()
        arrived += arrived  # a check may change what it gets
    assert len(json.dumps(encode(np.zeros(3_000)))) < 11 * 3_000  # bytes: what a notebook sends is copied several times


def test_other_json_is_refused():
    deep = None
    for _ in range(100_000):
        deep = {"list": [deep]}
    forged = [
        [],
        1,
        {},
        {"number": "x"},
        {"number": "9" * 5_000},
        {"list": 3},
        {"bytes": "?"},
        *(
            {"array": "AAAAAAAAAAA=", "dtype": name, "shape": [1]}
            for name in ("O", "nonsense", "V8", "f4,f4", "(1,)f8")
        ),
        *({"array": "AAAAAAAAAAA=", "dtype": "<f8", "shape": shape} for shape in ([2], [-1], [1.0], [True], ["1"])),
        {"array": "AAAAAAAAAAA=", "dtype": "<f8", "shape": [1] * 100},
        {"array": "", "dtype": "<f8", "shape": [2**40, 2**40, 0]},
        {"dict": [[{"list": []}, None]]},
        {"pickle": "x"},
        deep,
    ]
    for content in forged:
        try:
            decode(content)
        except ValueError:
            continue
        pytest.fail(f"accepted: {str(content)[:60]}")
    with pytest.raises(ValueError, match="100,000 values"):
        decode({"list": [None] * 100_001})
    with pytest.raises(ValueError, match="100,000 values"):
        decode({"list": [encode(np.zeros(60_000))] * 2})
    assert decode({"array": "Agf/", "dtype": "|b1", "shape": [3]}).tobytes() == b"\1\1\1"


def test_an_object_that_equals_everything_does_not_arrive():
    class Any:
        def __eq__(self, other):
            return True

    sent = collect({"answer_1": Any()}, ["answer_1"], "assert answer_1 == 3")
    assert "value" not in sent["answer_1"]
    assert restore(sent["answer_1"]) != 3


def test_a_number_of_a_student_s_own_class_arrives_as_the_plain_number():
    class Cheat(float):
        def __sub__(self, other):
            return 0.0

    sent = collect({"answer_1": Cheat(7)}, ["answer_1"], "abs(answer_1 - 3)")
    assert restore(sent["answer_1"]) - 3 == 4


def test_values_of_every_library_arrive_by_value():
    import pandas
    import torch

    Point = collections.namedtuple("Point", "x y")
    table = pandas.DataFrame({"cost": [1.5, 2.5]})
    cases = [
        (np.float32(0.5), 0.5),
        (np.str_("ppo"), "ppo"),
        (np.bool_(True), True),
        (torch.tensor(3), 3),
        (torch.ones(2, requires_grad=True), [1.0, 1.0]),
        (table["cost"], [1.5, 2.5]),
        (table["cost"].max(), 2.5),
        (pandas.Index(["a", "b"]), ["a", "b"]),
        (fractions.Fraction(1, 4), 0.25),
        (decimal.Decimal("0.1"), 0.1),
        (range(3), [0, 1, 2]),
        (collections.deque([1]), [1]),
        (Point(1, 2), (1, 2)),
        ({"a": 1}.keys(), ["a"]),
        ({"a": 1}.values(), [1]),
        ({3}, [3]),
    ]
    for value, wanted in cases:
        arrived = decode(json.loads(json.dumps(encode(value))))
        assert arrived == wanted and type(arrived) is type(wanted), value
    assert decode(encode(table)).tolist() == [[1.5], [2.5]]


def test_a_forged_record_gives_no_answer_to_names_that_libraries_ask_for():
    memory = {"plain": {"dict": [["data", {"tuple": [{"number": "4096"}, False]}]]}}
    forged = Replay([memory] * 5)
    for name in ("__array_interface__", "__array_struct__", "__array__", "__index__", "__float__"):
        assert not hasattr(forged, name), name
    with pytest.raises(TypeError):
        np.asarray(forged, dtype=float)


def replayed(answer, check):
    """Record what an answer returns to a check, send it as JSON, and return the result of the check there."""
    sent = json.loads(json.dumps(collect({"answer_1": answer}, ["answer_1"], check)))
    namespace = {"answer_1": restore(sent["answer_1"])}
    exec(check, namespace)
    return namespace["result"]


def test_a_function_is_replayed_call_by_call():
    assert replayed(lambda number: number**2, "result = [answer_1(number) for number in (1, 2, 3)]") == [1, 4, 9]


def test_an_object_is_replayed_with_its_methods_and_attributes():
    class Policy:
        name = "mine"

        def __init__(self, service):
            self.step = service

        def predict(self, observations):
            return np.full(len(observations), self.step)

    check = "policy = answer_1(2)\nresult = policy.name, policy.predict([0, 0]).tolist()"
    assert replayed(Policy, check) == ("mine", [2, 2])


def test_a_function_that_changes_the_check_changes_it_only_in_the_sandbox():
    def cheat():
        import sys

        sys._getframe(2).f_globals["secret"] = 1
        return 1

    assert replayed(cheat, "secret = 5\nresult = answer_1() == secret") is False


def test_an_error_of_an_answer_is_raised_again():
    def fails():
        raise KeyError("mine")

    with pytest.raises(RuntimeError, match="the answer raised KeyError: 'mine'"):
        replayed(fails, "result = answer_1()")


def test_a_forged_record_ends_or_is_refused():
    for log in ([], [{"plain": {"evil": 1}}], [7], [{"plain": []}]):
        with pytest.raises((RuntimeError, ValueError)):
            Replay(log)()
