"""Each check works on the variables as the course left them, whatever earlier checks did."""

import nbformat
import pytest

from autoscaler_env.grading import checker as module
from autoscaler_env.grading.answers import collect
from autoscaler_env.grading.checker import Checker

CELLS = [
    ("parameters", "days = 7"),
    (None, "queue = [1, 2]\nclass Fleet:\n    def __init__(self): self.sizes = {'web': 3}\nfleet = Fleet()"),
    ("exercise", "answer_1 = None"),
    (
        "exercise-check",
        "queue.append(answer_1)\nfleet.sizes['web'] += 1\ndays += 1\n"
        "print('right:' if queue == [1, 2, 3] and fleet.sizes['web'] == 4 else 'not yet:')\n"
        "print(days, 'days')",
    ),
    ("exercise", "answer_2 = None"),
    (
        "exercise-check",
        "import os, time\nwhile answer_2 == 'endless': time.sleep(1)\nif answer_2 == 'dies': os._exit(0)",
    ),
]


@pytest.fixture(scope="module")
def checker(tmp_path_factory):
    """Return a checker that has run a small notebook."""
    path = tmp_path_factory.mktemp("course") / "01_small.ipynb"
    cells = [
        nbformat.v4.new_code_cell(source, metadata={"tags": [tag] if tag else []}, id=f"cell-{number}")
        for number, (tag, source) in enumerate(CELLS)
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    checker = Checker({"days": 5, "unknown": 1})
    assert checker.run(path) is None
    return checker


def check(checker, exercise, answer):
    """Return the result of a check for a plain answer."""
    variable = f"answer_{exercise[-1]}"
    return checker.check("01_small", exercise, collect({variable: answer}, [variable], ""))


@pytest.mark.parametrize("forks", [True, False])
def test_a_check_that_changes_a_list_in_place_does_not_change_the_next_check(checker, forks, monkeypatch):
    if not forks:
        monkeypatch.setattr(module, "can_fork", lambda: False)
    wrong = check(checker, "01.1", 4)
    assert wrong == "not yet: 6 days"
    assert [check(checker, "01.1", 3) for _ in range(2)] == ["right: 6 days"] * 2


def test_a_check_that_dies_or_does_not_end_costs_one_answer(checker, monkeypatch):
    monkeypatch.setattr(module, "CHECK_SECONDS", 1)
    assert check(checker, "01.2", "endless") == "not yet: the check failed: it took longer than 1 s"
    assert check(checker, "01.2", "dies").startswith("not yet: the check failed")
    monkeypatch.setattr(module, "CHECK_SECONDS", 60)
    assert check(checker, "01.1", 3) == "right: 6 days"


def test_an_error_in_a_check_and_a_forged_answer_are_no_right_answers(checker):
    assert check(checker, "01.1", "text").startswith("not yet")
    assert checker.check("01_small", "01.1", {}).startswith("not yet")
    assert checker.check("01_small", "01.1", {"answer_1": {"pickle": "x"}}) == "not yet: not an answer: unknown form"
