"""Exports are what Canvas, Moodle and Gradescope publish as their formats, read by programs that are not ours."""

import csv
import json

import jsonschema
import pandas
import pytest
from test_grading_gradebook import PARTS, ROSTER, graded, unreadable

from autoscaler_env.grading.exports import check_assignment, export
from autoscaler_env.grading.gradebook import Gradebook
from autoscaler_env.grading.report import Item
from autoscaler_env.grading.roster import Adjustment, Roster, Student
from autoscaler_env.grading.rubric import Late

CANVAS = Roster(
    [
        Student("u1", "Lee, Ann", login="ann", section='B "late"', canvas="51"),
        Student("u2", "Ek, Bo; jr.", login="bo", canvas="52"),
        Student("u3", "Kim, Cy", canvas="53"),
        Student("u4", "=Dee, Di", canvas="54"),
    ]
)

RESULTS = {  # "Output format" of https://gradescope-autograders.readthedocs.io/en/latest/specs/
    "type": "object",
    "additionalProperties": False,
    "required": ["tests"],
    "properties": {
        "score": {"type": "number"},
        "execution_time": {"type": "number"},
        "output": {"type": "string"},
        "visibility": {"$ref": "#/$defs/visibility"},
        "stdout_visibility": {"$ref": "#/$defs/visibility"},
        "extra_data": {"type": "object"},
        "leaderboard": {"type": "array"},
        "tests": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["score"],
                "properties": {
                    "score": {"type": "number"},
                    "max_score": {"type": "number", "minimum": 0},
                    "name": {"type": "string"},
                    "number": {"type": "string"},
                    "output": {"type": "string"},
                    "tags": {"type": "array", "items": {"type": "string"}},
                    "visibility": {"$ref": "#/$defs/visibility"},
                    "extra_data": {"type": "object"},
                },
            },
        },
    },
    "$defs": {"visibility": {"enum": ["hidden", "after_due_date", "after_published", "visible"]}},
}


def table(path):
    """Return the cells of a CSV file; every row must have as many as the header."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file, dialect=csv.unix_dialect, strict=True))
    assert {len(row) for row in rows} == {len(rows[0])}
    return rows


def test_canvas_finds_its_columns_students_and_assignment(tmp_path):
    rows = Gradebook(Late(), CANVAS).rows([graded("leeann_51_9_x"), graded("ekbo_52_9_x"), graded("deedi_54_9_x")])
    lines = export(rows, "canvas", tmp_path, 45.0, "Project 1 (3399)")
    head, possible, *students = table(tmp_path / "canvas.csv")
    assert head == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "Project 1 (3399)"]
    assert possible == ["    Points Possible", "", "", "", "", "45.00"]
    assert students == [
        ["Lee, Ann", "51", "u1", "ann", 'B "late"', "24.62"],
        ["Ek, Bo; jr.", "52", "u2", "bo", "", "24.62"],
        ["'=Dee, Di", "54", "u4", "", "", "24.62"],
    ]
    assert lines == [
        "canvas.csv: 3 students",
        "canvas.csv: not in it, because without a mark that is certain: Kim, Cy (u3)",
    ]
    frame = pandas.read_csv(tmp_path / "canvas.csv", dtype={"ID": str})
    assert frame["Project 1 (3399)"].tolist() == [45.0, 24.62, 24.62, 24.62]


def test_canvas_reads_what_it_exported_itself(tmp_path):
    source = tmp_path / "from_canvas.csv"
    source.write_text('Student,ID,SIS Login ID,Section,Quiz (7)\n    Points Possible,,,,10\n"Lee, Ann",51,ann,A,9\n')
    rows = Gradebook(Late(), Roster.read(source)).rows([graded("leeann_51_9_x")])
    export(rows, "canvas", tmp_path, 45.0)
    assert table(tmp_path / "canvas.csv")[2] == ["Lee, Ann", "51", "", "ann", "A", "24.62"]


def test_moodle_gets_a_grade_with_its_feedback_for_students_with_a_mark(tmp_path):
    adjustments = [
        Adjustment("", student="s1001", late_days=1, comment="nice\nwork"),
        Adjustment("", student="s1003", points=80),
    ]
    rows = Gradebook(Late(2), ROSTER, adjustments).rows([graded("s1001"), unreadable("s1002")])
    lines = export(rows, "moodle", tmp_path, 45.0, "Project")
    assert table(tmp_path / "moodle.csv") == [
        ["ID number", "Full name", "Project", "Project: feedback"],
        [
            *("s1001", "Ann Lee", "22.62"),
            "notebooks 2.5 of 10.0; exercises 10.0 of 20.0; models 5.0 of 5.0; costs 7.1 of 10.0; "
            "1 late day: -2.0; nice work",
        ],
        ["s1003", "Cy Kim", "80.00", "manual points +80.0"],
    ]
    assert lines[1].endswith("Bo Ek (s1002)")


def test_moodle_gets_addresses_only_if_no_cell_of_them_is_empty(tmp_path):
    for emails, head in ((("a@x.example", "b@x.example"), "Email address"), (("a@x.example", ""), "Full name")):
        roster = Roster([Student(f"s{at}", f"Name {at}", email) for at, email in enumerate(emails)])
        rows = Gradebook(Late(), roster, [Adjustment("", student=f"s{at}", points=1) for at in range(2)]).rows([])
        export(rows, "moodle", tmp_path, 45.0)
        rows = table(tmp_path / "moodle.csv")
        assert rows[0][1] == head and all(row[1] for row in rows)


def test_grades_above_the_most_that_moodle_takes_are_named(tmp_path):
    rows = Gradebook(Late(), ROSTER, [Adjustment("", student="s1001", points=101)]).rows([])
    line = "moodle.csv: Moodle refuses grades above 100 unless its site allows them: Ann Lee (s1001)"
    assert export(rows, "moodle", tmp_path, 45.0)[-1] == line


def test_a_student_with_several_submissions_is_not_exported(tmp_path):
    rows = Gradebook(Late(), ROSTER).rows([graded("s1001"), graded("ann_lee"), graded("s1002")])
    assert export(rows, "canvas", tmp_path, 45.0)[1].endswith("certain: Ann Lee (s1001) and Cy Kim (s1003)")
    assert [row[0] for row in table(tmp_path / "canvas.csv")[2:]] == ["Bo Ek"]


def test_results_of_gradescope_fit_its_schema_and_hold_every_item(tmp_path):
    extra = (Item("03.1", "not yet", "too small", 0, 5, "How many?", "17"),)
    report = graded("s1001", PARTS | {"exercises": extra}, notes=("two models",))
    rows = Gradebook(Late(2), ROSTER, [Adjustment("", student="s1001", points=3, late_days=1)]).rows([report])
    export(rows, "gradescope", tmp_path, 45.0)
    results = json.loads((tmp_path / "s1001" / "results.json").read_text())
    jsonschema.Draft202012Validator(RESULTS).validate(results)
    assert results["score"] == pytest.approx(14.625 + 3 - 2)
    assert results["output"].splitlines()[0] == "two models"
    exercise = next(test for test in results["tests"] if test["tags"] == ["exercises"])
    assert exercise == {
        "score": 0,
        "max_score": 5,
        "name": "exercises: 03.1 How many?",
        "output": "not yet: too small\nyour answer: 17",
        "tags": ["exercises"],
    }
    assert sum(test["score"] for test in results["tests"]) == 14.625


def test_results_of_an_unreadable_submission_say_why(tmp_path):
    export(Gradebook(Late()).rows([unreadable("x")]), "gradescope", tmp_path, 45.0)
    results = json.loads((tmp_path / "x" / "results.json").read_text())
    jsonschema.Draft202012Validator(RESULTS).validate(results)
    assert results["score"] == 0 and results["output"].startswith("not graded: it is no zip")


def test_a_name_that_canvas_uses_itself_is_refused():
    for name in ("", "Final Score", "Unposted Current Points (Fall)", "ID", "two\nlines", "=cmd()"):
        with pytest.raises(ValueError, match="assignment = "):
            check_assignment(name)
    check_assignment("Project 1 (3399)")
