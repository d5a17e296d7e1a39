"""The gradebook has a row for each submission and student, keeps what is not graded apart from zeros, and grows."""

import csv
import zipfile
from pathlib import Path

import pytest

from autoscaler_env.cli.main import main
from autoscaler_env.grading import execution
from autoscaler_env.grading import grade as module
from autoscaler_env.grading.answer_key import GraderError
from autoscaler_env.grading.gradebook import Gradebook, only_rows, write_gradebook
from autoscaler_env.grading.report import Item, Report
from autoscaler_env.grading.roster import Adjustment, Roster, Student
from autoscaler_env.grading.rubric import Late
from autoscaler_env.grading.sandbox import NO_SANDBOX

ROSTER = Roster([Student("s1001", "Ann Lee"), Student("s1002", "Bo Ek"), Student("s1003", "Cy Kim")])

PARTS = {
    "notebooks": (Item("01_a", "passed", "", 2.5, 5.0), Item("02_b", "failed", "late", 0, 5.0)),
    "exercises": (Item("01.1", "right", "", 10.0, 10.0), Item("01.2", "not yet", "", 0.0, 10.0)),
    "models": (Item("ppo_mixed", "works", "", 5.0, 5.0),),
    "costs": (Item("ppo_mixed", "cheap", "", 7.125, 10.0),),
}


def graded(name, parts=PARTS, **fields):
    return Report(name, f"in/{name}.zip", {"a": "b"}, "a sandbox", "quick", parts, **fields)


def unreadable(name):
    return Report(name, f"in/{name}.zip", {}, "a sandbox", "quick", notes=("not graded: it is no zip",))


def read(path):
    """Return the rows of a CSV file, by submission or name, as a strict reader of another program sees them."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, strict=True))
    assert all(None not in row and None not in row.values() for row in rows)
    return {row["submission"] or row["name"]: row for row in rows}


def test_a_row_has_its_points_by_part_and_a_column_for_each_item(tmp_path):
    write_gradebook(Gradebook(Late()).rows([graded("ann")]), tmp_path / "g.csv")
    ann = read(tmp_path / "g.csv")["ann"]
    parts = {"notebooks": "2.50", "exercises": "10.00", "models": "5.00", "costs": "7.12"}
    items = {
        "notebooks: 01_a": "2.50",
        "notebooks: 02_b": "0.00",
        "exercises: 01.1": "10.00",
        "exercises: 01.2": "0.00",
        "models: ppo_mixed": "5.00",
        "costs: ppo_mixed": "7.12",
    }
    assert parts.items() | items.items() <= ann.items()
    assert (ann["state"], ann["points"], ann["total"], ann["of"]) == ("graded", "24.62", "24.62", "45.00")


def test_what_is_not_graded_has_empty_cells_and_the_reason_and_a_zero_has_zeros(tmp_path):
    zero = graded("cy_kim", {part: tuple(Item(i.name, "x", "", 0, i.of) for i in PARTS[part]) for part in PARTS})
    rows = Gradebook(Late(), ROSTER).rows([unreadable("ann_lee"), zero])
    write_gradebook(rows, tmp_path / "g.csv")
    table = read(tmp_path / "g.csv")
    numbers = [name for name in table["cy_kim"] if ":" in name or name in (*PARTS, "points", "total")]
    assert {table["cy_kim"][name] for name in numbers} == {"0.00"} and len(numbers) == 12
    for who, state, reason in (
        ("ann_lee", "not graded", "not graded: it is no zip"),
        ("Bo Ek", "not submitted", "nothing was handed in"),
    ):
        assert {table[who][name] for name in (*numbers, "of")} == {""}
        assert (table[who]["state"], table[who]["notes"]) == (state, reason)


def test_every_student_has_a_row_in_the_order_of_the_roster_and_strangers_come_last():
    book = Gradebook(Late(), ROSTER)
    rows = book.rows([graded("eve"), graded("s1003")], {"work_s1001": Path("in/work_s1001.zip")})
    assert [(row.submission, row.student and row.student.id, row.state) for row in rows] == [
        ("work_s1001", "s1001", "waiting"),
        ("", "s1002", "not submitted"),
        ("s1003", "s1003", "graded"),
        ("eve", None, "graded"),
    ]
    assert book.problems(rows) == ["belongs to no student: eve: no student of the roster is named in it"]


def test_manual_points_alone_are_no_total_while_the_grader_still_has_to_give_its_own():
    book = Gradebook(
        Late(), ROSTER, [Adjustment("a.csv", "s1001", points=2.5), Adjustment("a.csv", "s1002", points=2.5)]
    )
    waiting, absent, _ = book.rows([], {"work_s1001": Path("in/work_s1001.zip")})
    assert (waiting.total, absent.total) == (None, 2.5)


def test_a_student_with_two_submissions_has_two_rows_and_none_counts_as_the_only_one():
    book = Gradebook(Late(), ROSTER)
    rows = book.rows([graded("s1001"), graded("ann_lee"), graded("s1002")])
    assert [row.submission for row in rows] == ["s1001", "ann_lee", "s1002", ""]
    assert [row.student.id for row in only_rows(rows)] == ["s1002", "s1003"]
    (line,) = book.problems(rows)
    assert line.startswith("several submissions: Ann Lee (s1001): 's1001' and 'ann_lee'; remove")


def test_manual_points_and_late_days_change_the_total_which_is_never_below_zero():
    adjustments = [
        Adjustment("a.csv, row 2", student="s1001", points=3, late_days=2, comment="talk"),
        Adjustment("a.csv, row 3", submission="bo.zip", late_days=99),
        Adjustment("a.csv, row 4", student="s1003", points=0),
        Adjustment("a.csv, row 5", submission="none"),
    ]
    book = Gradebook(Late(points_per_day=4), ROSTER, adjustments)
    rows = book.rows([graded("s1001"), graded("bo")])
    ann, _, cy, bo = rows
    assert (ann.total, ann.late_points, ann.comment) == (24.625 + 3 - 2 * 4, 8, "talk")
    assert (bo.total, cy.total) == (0, 0)
    assert [row.total for row in Gradebook(Late(), ROSTER).rows([])] == [None] * 3
    assert Gradebook(Late(), ROSTER, adjustments[:1]).rows([graded("s1001")])[0].total == 24.625 + 3
    assert "a.csv, row 5: submission = 'none': there is none of this name" in book.problems(rows)


def test_an_adjustment_of_an_unknown_student_is_refused():
    row = Adjustment("adjust = 'a.csv', row 2", student="s9", points=3)
    with pytest.raises(ValueError, match=r"adjust = 'a.csv', row 2: id = 's9': the roster has no such student"):
        Gradebook(Late(), ROSTER, [row])
    with pytest.raises(ValueError, match=r"row 2: id = 's9': an id needs --roster"):
        Gradebook(Late(), None, [row])


def test_a_file_that_canvas_marks_as_late_needs_late_days():
    late = Report("x", "leeann_LATE_1_2_work.zip", {"a": "b"}, "", "quick", PARTS)
    book = Gradebook(Late(), ROSTER)
    assert book.problems(book.rows([late])) == [
        "late: Ann Lee (s1001): Canvas marked the file as late, and no late_days are given"
    ]
    book = Gradebook(Late(), ROSTER, [Adjustment("", student="s1001", late_days=1)])
    assert book.problems(book.rows([late])) == []


def test_no_text_can_become_a_formula(tmp_path):
    roster = Roster([Student("1", "=Ann")])
    report = graded("=cmd()", notes=("@x",))
    rows = Gradebook(Late(1), roster, [Adjustment("", student="1", points=-3, comment="+1")]).rows([report])
    write_gradebook(rows, tmp_path / "g.csv")
    with (tmp_path / "g.csv").open(newline="") as file:
        table = list(csv.reader(file))
    texts = [cell for row in table for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))]
    assert texts == ["-3.00"]  # a number
    assert {"'=cmd()", "'=Ann", "'+1"} <= {cell for row in table for cell in row}


RUBRIC = "[models]\nexpected = []\n[costs]\nseed = 1\n[late]\npoints_per_day = 2\n"


@pytest.fixture
def grade(tmp_path, monkeypatch):
    """Return a function that runs the command on submissions without notebooks."""
    monkeypatch.setattr(module, "course_notebooks", list)
    monkeypatch.setattr("autoscaler_env.grading.sandbox.find_sandbox", lambda *_: NO_SANDBOX)
    (tmp_path / "rubric.toml").write_text(RUBRIC)

    def run(*words):
        paths = [str(tmp_path / word) if word.endswith((".zip", ".csv")) else word for word in words]
        return main(["grade", *paths, "--rubric", str(tmp_path / "rubric.toml"), "--output", str(tmp_path / "out")])

    return run


def submit(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notebooks/01_mine.ipynb", "")


@pytest.mark.slow
def test_the_gradebook_is_complete_after_each_submission(grade, tmp_path, monkeypatch):
    for name in ("ann_lee", "bo_ek"):
        submit(tmp_path / f"{name}.zip")
    (tmp_path / "r.csv").write_text("id,name\n1,Ann Lee\n2,Bo Ek\n3,Cy Kim\n")
    grade_models, states = execution.grade_models, []

    def fails_second(submission, *rest):
        if submission.name == "bo_ek":
            raise GraderError("the disk is full")
        return grade_models(submission, *rest)

    monkeypatch.setattr(execution, "grade_models", fails_second)
    command = ("ann_lee.zip", "bo_ek.zip", "--roster", "r.csv", "--workers", "1")
    assert grade(*command) == 3
    states.append({name: row["state"] for name, row in read(tmp_path / "out" / "gradebook.csv").items()})
    monkeypatch.setattr(execution, "grade_models", grade_models)
    assert grade(*command) == 0
    states.append({name: row["state"] for name, row in read(tmp_path / "out" / "gradebook.csv").items()})
    assert states == [
        {"ann_lee": "graded", "bo_ek": "waiting", "Cy Kim": "not submitted"},
        {"ann_lee": "graded", "bo_ek": "graded", "Cy Kim": "not submitted"},
    ]


@pytest.mark.slow
def test_roster_and_adjustments_survive_a_run_without_them(grade, tmp_path):
    for name in ("ann_lee", "bo_ek"):
        submit(tmp_path / f"{name}.zip")
    (tmp_path / "r.csv").write_text("id,name\n1,Ann Lee\n2,Bo Ek\n")
    (tmp_path / "a.csv").write_text("id,points,late_days,comment\n1,7.5,2,talk\n")
    assert grade("ann_lee.zip", "--roster", "r.csv", "--adjust", "a.csv") == 0
    assert grade("bo_ek.zip", "ann_lee.zip", "--again", "ann_lee") == 0
    ann, bo = read(tmp_path / "out" / "gradebook.csv").values()
    assert (ann["id"], ann["manual_points"], ann["late_days"], ann["late_points"]) == ("1", "7.50", "2.00", "-4.00")
    assert (ann["points"], ann["total"], ann["comment"], bo["total"]) == ("0.00", "3.50", "talk", "0.00")


def test_a_change_of_adjustments_alone_grades_nothing_again(grade, tmp_path):
    submit(tmp_path / "ann_lee.zip")
    (tmp_path / "r.csv").write_text("id,name\n1,Ann Lee\n")
    (tmp_path / "a.csv").write_text("id,points\n1,7.5\n")
    assert grade("ann_lee.zip", "--roster", "r.csv") == 0
    report = tmp_path / "out" / "ann_lee" / "report.json"
    before = report.stat().st_mtime_ns
    (tmp_path / "rubric.toml").write_text(RUBRIC.replace("= 2", "= 3"))
    assert grade("--adjust", "a.csv") == 0
    assert read(tmp_path / "out" / "gradebook.csv")["ann_lee"]["total"] == "7.50"
    assert report.stat().st_mtime_ns == before


def test_bad_files_and_options_cost_one_line_before_anything_is_graded(grade, tmp_path, capsys):
    submit(tmp_path / "ann_lee.zip")
    (tmp_path / "r.csv").write_text("id,name\n1,Ann Lee\n")
    (tmp_path / "a.csv").write_text("id,points\n1,7.5\n9,2\n")
    cases = {
        "row 3: id = '9': the roster has no such student": ("--roster", "r.csv", "--adjust", "a.csv"),
        "format = 'canvas': needs --roster": ("--format", "canvas"),
        "assignment = 'Final Score'": ("--assignment", "Final Score"),
    }
    for message, options in cases.items():
        assert grade("ann_lee.zip", *options) == 2
        error = capsys.readouterr().err
        assert message in error and len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()
