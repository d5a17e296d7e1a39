"""`autoscaler check` tells a student what the grader will say, and what is left to do."""

from dataclasses import replace
from pathlib import Path

import nbformat
import pytest

from autoscaler_env.cli.check import given_course, is_right, needed_by, report_lines
from autoscaler_env.cli.main import main
from autoscaler_env.course import course_notebooks
from autoscaler_env.grading.grade import Course
from autoscaler_env.grading.report import Item, Report

PARTS = {
    "notebooks": (Item("01_build", "passed", "in 4 s", 1, 1), Item("02_set", "not submitted", "", 0, 1)),
    "exercises": (
        Item("01.1", "right", "", 1, 1),
        Item("01.2", "not yet", "does the queue count?", 0, 1, "How many?", "7"),
        Item("02.1", "not submitted", "", 0, 1),
    ),
    "models": (Item("dqn_mixed", "ok", "it works", 1, 1), Item("ppo_mixed", "not submitted", "", 0, 1)),
    "costs": (Item("dqn_mixed", "$150.00 a day", "threshold $160", 1, 1), Item("ppo_mixed", "not submitted", "", 0, 1)),
}
REPORT = Report("ann", "ann", {"course": "1"}, "", "quick", PARTS)


def tiny(folder, answer="None", name="01_tiny.ipynb"):
    """Write a course of one notebook with one exercise; return its path."""
    sources = {
        "parameters": "output = ''  # folder",
        "": "secret = 0.25",
        "exercise": f"answer_1 = {answer}",
        "exercise-check": "print('not attempted' if answer_1 is None else "
        "'right' if answer_1 == secret else 'not yet: a quarter')",
    }
    cells = [
        nbformat.v4.new_code_cell(source, id=tag or "compute", metadata={"tags": [tag] if tag else []})
        for tag, source in sources.items()
    ]
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / name)
    return folder / name


def test_there_is_a_line_for_each_notebook_exercise_and_model_and_no_points_are_promised():
    report = replace(REPORT, unused=(("a.txt", "neither"), ("b.txt", "neither"), ("x.pkl", "no such model")))
    assert list(report_lines(report)) == [
        "01_build: passed: in 4 s",
        "  01.1 right",
        "  01.2 not yet: does the queue count? (your answer: 7)",
        "02_set: not found, with 1 exercise",
        "dqn_mixed: ok: it works",
        "  $150.00 a day: threshold $160",
        "ppo_mixed: not found",
        "not used: a.txt and b.txt: neither",
        "not used: x.pkl: no such model",
        "Costs are on ordinary evaluation days. The grader uses hidden days, so no points are promised.",
    ]


def test_of_many_unused_files_only_the_number_is_said():
    report = replace(REPORT, unused=tuple((f"{number}.txt", "neither") for number in range(1_000)))
    assert "not used: 1,000 files: neither" in list(report_lines(report))


def test_all_is_right_only_if_nothing_is_left_to_do():
    done = {part: items[:1] for part, items in PARTS.items()}
    assert is_right(replace(REPORT, parts=done)) and not is_right(REPORT)
    for part, state in (("notebooks", "failed"), ("exercises", "not attempted"), ("models", "broken")):
        left = done | {part: (replace(done[part][0], state=state),)}
        assert not is_right(replace(REPORT, parts=left)), part
    assert is_right(replace(REPORT, parts=done | {"exercises": (Item("01.1", "noted", "3", 0, 1),)}))
    assert not is_right(replace(REPORT, parts={}))


def test_only_notebooks_whose_results_are_read_run_with_those_that_were_named():
    course = Course()
    names = {path.stem[:2]: path for path in course_notebooks()}
    assert [path.stem[:2] for path in needed_by([names["10"]], course).notebooks] == ["10"]
    assert [path.stem[:2] for path in needed_by([names["04"]], course).notebooks] == ["02", "04"]


def test_a_course_with_answers_is_refused_in_one_line(tmp_path, capsys):
    mine = tiny(tmp_path / "mine", "0.25")
    for message, folder in (("exercise 01.1 is answered there", mine.parent), ("has no notebooks", tmp_path)):
        assert main(["check", str(mine), "--course", str(folder)]) == 2
        error = capsys.readouterr().err
        assert message in error and "--course" in error and len(error.splitlines()) == 1
    assert main(["check", "none"]) == 2
    assert "work = 'none': no such file or folder" in capsys.readouterr().err


def test_models_that_a_student_trains_in_place_are_not_those_of_the_course(tmp_path):
    tiny(tmp_path)
    assert given_course(tmp_path).models == Course().models
    (tmp_path / "models").mkdir()
    assert given_course(tmp_path).models == tmp_path / "models"


@pytest.mark.slow
@pytest.mark.notebook
@pytest.mark.filterwarnings("default")  # papermill's warnings are not ours
def test_right_and_wrong_answers_are_told_and_the_exit_status_says_which(tmp_path, capsys):
    options = ["--course", str(tiny(tmp_path / "course").parent), "--output", str(tmp_path / "out")]
    for answer, status, line in (
        ("secret", 0, "  01.1 right"),
        ("0.5", 1, "  01.1 not yet: a quarter (your answer: 0.5)"),
        ("None", 1, "  01.1 not attempted"),
    ):
        assert main(["check", str(tiny(tmp_path / "mine", answer)), *options]) == status
        assert capsys.readouterr().out.splitlines()[1] == line
    assert main(["check", str(Path(tmp_path, "mine")), *options]) == 1  # a folder is a whole submission: no models
    assert "ppo_mixed: not found" in capsys.readouterr().out
