"""A submission belongs to a student only if its name leaves no doubt; a bad row costs one line."""

import pytest

from autoscaler_env.grading.roster import Roster, Student, is_late, read_adjustments

CLASS = Roster(
    [
        Student("s1001", "Ann Lee", "ann@uni.example"),
        Student("s1002", "Bo Müller", canvas="52"),
        Student("s1003", "Anne-Marie O'Neil", file="team-7*"),
        Student("s1004", "Cy Kim", login="ckim99"),
        Student("s1005", "Cy Kim", canvas="53"),
        Student("7", "Ann Marie Lee"),
    ]
)

OWNERS = {
    # Canvas: sortable name, LATE, number of the user, number of the file, the student's own name of it
    "leeann_881_990_work.zip": "s1001",
    "leeann_LATE_881_990_work-1.zip": "s1001",
    "mullerbo_881_990_work.zip": "s1002",
    "müllerbo_881_990_work.zip": "s1002",
    "whoever_52_990_work.zip": "s1002",
    "kimcy_53_990_work.zip": "s1005",
    # Moodle: full name, a number of the assignment, the plug-in
    "Ann Lee_4411_assignsubmission_file_": "s1001",
    "Ann Lee_4411_assignsubmission_file": "s1001",
    "Bo Müller_52_assignsubmission_file_work.zip": "s1002",
    "Anne-Marie O'Neil_5_assignsubmission_file_": "s1003",
    # the column file
    "team-7-final.ZIP": "s1003",
    # numbers, logins and addresses as a whole word
    "s1001": "s1001",
    "S1002-assignment.zip": "s1002",
    "hw_s1004_v2.zip": "s1004",
    "ckim99.zip": "s1004",
    "ann@uni.example.zip": "s1001",
    "7.zip": "7",
    # names
    "ann_lee.zip": "s1001",
    "LeeAnn": "s1001",
    "lee_ann_homework.zip": "s1001",
    "mueller.zip": None,
    "Ann Marie Lee.zip": "7",
}

UNCLEAR = {
    "kimcy_881_990_work.zip": "the name fits Cy Kim (s1004) and Cy Kim (s1005)",
    "Cy Kim_5_assignsubmission_file_": "the name fits Cy Kim (s1004) and Cy Kim (s1005)",
    "s1001_s1002.zip": "a number in it fits Ann Lee (s1001) and Bo Müller (s1002)",
    "s1002_ann_lee.zip": "it has the number of Bo Müller (s1002) and the name of Ann Lee (s1001)",
    "ann_marie_lee_work.zip": "the name fits Ann Lee (s1001) and Ann Marie Lee (7)",
    "work 7.zip": "no student of the roster is named in it",
    "xs1001.zip": "no student of the roster is named in it",
    # what a student called the file says nothing about who handed it in
    "eve_881_990_s1001.zip": "no student of the roster is named in it",
    "Eve Adams_5_assignsubmission_file_s1001.zip": "no student of the roster is named in it",
}


def test_names_of_canvas_moodle_and_people_lead_to_the_student():
    found = {name: CLASS.match(name).student for name in OWNERS}
    assert {name: student.id if student else None for name, student in found.items()} == OWNERS


def test_what_is_not_clear_is_told_and_not_guessed():
    assert {name: CLASS.match(name) for name in UNCLEAR} == {name: (None, why) for name, why in UNCLEAR.items()}


def test_canvas_marks_late_files():
    assert is_late("leeann_LATE_881_990_work.zip")
    assert not is_late("leeann_881_990_LATE_1_2_work.zip")


ROSTERS = {
    "own": "id,name,email\ns1,Ann Lee,a@x.example\n\ns2,Bo Ek,\n",
    "semicolons, and a mark of Excel": "\ufeffID;Name\ns1;Ann Lee\ns2;Bo Ek\n",
    "Canvas": "Student,ID,SIS User ID,SIS Login ID,Section\n    Points Possible,,,,\n"
    '"Lee, Ann",51,s1,ann,A\n"Ek, Bo",52,s2,bo,A\n',
    "Moodle": '"First name","Last name","ID number","Email address"\nAnn,Lee,s1,a@x.example\nBo,Ek,s2,b@x.example\n',
    "Gradescope": "First Name,Last Name,SID,Email,Sections\nAnn,Lee,s1,a@x.example,\nBo,Ek,s2,b@x.example,\n",
}


def test_rosters_of_other_systems_are_read(tmp_path):
    for name, text in ROSTERS.items():
        (tmp_path / "r.csv").write_text(text, encoding="utf-8")
        students = Roster.read(tmp_path / "r.csv").students
        assert [student.id for student in students] == ["s1", "s2"], name
        assert students[0].name in ("Ann Lee", "Lee, Ann"), name
    (tmp_path / "r.csv").write_text(ROSTERS["Canvas"])
    ann = Roster.read(tmp_path / "r.csv").students[0]
    assert (ann.canvas, ann.login, ann.section) == ("51", "ann", "A")


BAD_ROSTERS = {
    "": "row 1: there is no column id",
    "id,email\n1,a": "row 1: there is no column name",
    "id,ful name\n1,a": "student name or full name; column 'ful name', did you mean full name?",
    "id,name": "has no student",
    "id,name\n1,Ann\n,Bo": "row 3: id is empty",
    "id,name\n1,": "row 2: name is empty",
    "id,name\n1,Ann\n1,Bo": "row 3: id = '1': row 2 has it already",
    "id,name\n=1,Ann": "row 2: id = '=1': must not begin like a formula",
    "id,name\n1,Ann,x": "row 2: has 3 cells, and the header has 2",
    'id,name\n1,"Ann" Lee': "is not CSV",
}

BAD_ADJUSTMENTS = {
    "points\n3": "row 1: there is no column id, and none submission",
    "id,point\n1,3": "row 1: column = 'point': must be one of id, submission, points, late_days, comment",
    "id,points\n1,many": "row 2: points = 'many': must be a number",
    "id,points\n1,nan": "row 2: points = 'nan': must be a number",
    "id,late_days\n1,2\n2,-1": "row 3: late_days = '-1': must be a number, at least 0",
    "id,points\n,3": "row 2: must name either an id or a submission",
    "id,submission\n1,ann": "row 2: must name either an id or a submission",
    "id,points\n1,3\n1,4": "row 3: '1': row 2 has it already",
}


@pytest.mark.parametrize(("read", "cases"), [(Roster.read, BAD_ROSTERS), (read_adjustments, BAD_ADJUSTMENTS)])
def test_a_bad_row_costs_one_line_with_file_and_row(read, cases, tmp_path):
    path = tmp_path / "class.csv"
    for text, message in cases.items():
        path.write_text(text)
        with pytest.raises(ValueError) as caught:
            read(path)
        assert message in str(caught.value) and str(path) in str(caught.value), text
        assert "\n" not in str(caught.value), text


def test_a_file_in_another_encoding_or_a_missing_one_costs_one_line(tmp_path):
    (tmp_path / "r.csv").write_bytes("id,name\n1,Müller".encode("cp1252"))
    with pytest.raises(ValueError, match="is not UTF-8; save it as CSV UTF-8"):
        Roster.read(tmp_path / "r.csv")
    with pytest.raises(ValueError, match="No such file"):
        read_adjustments(tmp_path / "none.csv")


def test_an_empty_cell_of_points_is_no_points_and_zero_is_zero(tmp_path):
    (tmp_path / "a.csv").write_text("id,points,late_days,comment\n1,,2,ill\n2,0,,\n3,-1.5,0.5,\n")
    rows = [(each.student, each.points, each.late_days, each.comment) for each in read_adjustments(tmp_path / "a.csv")]
    assert rows == [("1", None, 2, "ill"), ("2", 0, 0, ""), ("3", -1.5, 0.5, "")]
