"""Which damage the code exercise of notebook 8 accepts."""

import functools
import pickletools

import pytest
from grader import graded

from autoscaler_env.grading.exercises import verification
from autoscaler_env.grading.judging import forget_misses
from autoscaler_env.policies.q_learning import QTable
from autoscaler_env.storage.models import save_q_table
from autoscaler_env.verification.workers import Workers


@pytest.fixture(scope="module")
def workers():
    with Workers(networks=False) as processes:
        yield processes


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "table.pkl"
    save_q_table(QTable.zeros(), path)
    return path.read_bytes()


def with_other_last_bit(content):
    """Return a table with another last bit in one number."""
    number = next(place for operation, _, place in pickletools.genops(content) if operation.name == "BINFLOAT")
    return content[: number + 8] + bytes([content[number + 8] ^ 1]) + content[number + 9 :]


def test_a_changed_bit_that_nobody_notices_is_accepted_and_a_file_that_does_not_load_is_not(content, workers):
    for judge in (verification.check_damage, functools.partial(graded, verification.check_damage)):
        assert judge(with_other_last_bit, content, workers).startswith("right: verify says poor: not cheaper than")
        for wrong in (lambda old: old[: len(old) // 2], lambda old: b"", lambda old: b"a model, honestly"):
            told = judge(wrong, content, workers)
            assert told.startswith("not yet: ") and "(verify says broken: not a " in told and "\n" not in told


def test_what_damages_nothing_is_told_so(content, workers):
    for judge in (verification.check_damage, functools.partial(graded, verification.check_damage)):
        for answer in (5, "xor"):
            assert judge(answer, content, workers) == "a function, please: its name, without brackets or quotes"
        assert judge(bytes, content, workers).startswith("not yet: the bytes are those of the sound table")
        assert judge(len, content, workers) == "not yet: your function returns no bytes"
        assert judge(lambda: b"", content, workers).startswith("not yet: your function raised ")


def test_the_second_hint_comes_with_the_second_miss(content, workers):
    forget_misses()
    first, second = (verification.check_damage(lambda old, n=n: old[:n], content, workers) for n in (9, 99))
    assert "neither its form nor a name" in first and "the last bit of a number" in second
