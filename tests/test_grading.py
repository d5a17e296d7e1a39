"""What is handed in is taken with care, answers cross as data, and points are what the rubric says."""

import csv
import json
import math
import os
import stat
import zipfile
from dataclasses import replace
from pathlib import Path

import nbformat
import numpy as np
import pytest

from autoscaler_env.cli.main import main
from autoscaler_env.course import course_notebooks
from autoscaler_env.grading.answers import Replay, decode, encode, received, tell
from autoscaler_env.grading.grade import Course, Grading
from autoscaler_env.grading.notebooks import CourseNotebook, judge, one_line, prepare, read_cells, told_answers
from autoscaler_env.grading.report import Item, Report, identical, prints, read_report, write_gradebook, write_report
from autoscaler_env.grading.rubric import DEFAULT, Costs, Models, Rubric
from autoscaler_env.grading.sandbox import NO_WALL, Limits
from autoscaler_env.grading.submission import MOST_FILES, find_wall, take_in
from autoscaler_env.grading.supervisor import Run

COURSE = [CourseNotebook(path) for path in course_notebooks()]


# --- answers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [None, True, 3, -2.5, 10**30, math.inf, "text", b"\0\1", [1, [2.0]], (1, "a"), {"a": (1,), 2: None}],
    ids=repr,
)
def test_plain_values_cross_unchanged_with_their_types(value):
    crossed = decode(json.loads(json.dumps(encode(value))))
    assert crossed == value and type(crossed) is type(value)


def test_arrays_cross_unchanged():
    array = np.array([[1, 2], [3, 4]], dtype=np.int32)
    crossed = decode(json.loads(json.dumps(encode(array))))
    assert crossed.dtype == array.dtype and (crossed == array).all()


@pytest.mark.parametrize(
    "told",
    [
        [],
        1,
        {},
        {"number": "x"},
        {"number": "9" * 5_000},
        {"list": 3},
        {"bytes": "?"},
        {"array": {"list": []}, "dtype": "O"},
        {"array": {"list": []}, "dtype": "nonsense"},
        {"dict": [[{"list": []}, None]]},
        {"pickle": "x"},
    ],
    ids=repr,
)
def test_anything_else_is_no_answer(told):
    with pytest.raises(ValueError):
        decode(told)


def test_an_answer_nested_without_end_is_refused():
    told = None
    for _ in range(100_000):
        told = {"list": [told]}
    with pytest.raises(ValueError):
        decode(told)


def test_an_answer_of_too_many_values_is_refused():
    with pytest.raises(ValueError, match="100,000 values"):
        decode({"list": [None] * 100_001})


def test_an_object_that_equals_everything_does_not_cross():
    class Any:
        def __eq__(self, other):
            return True

    told = tell({"answer_1": Any()}, ["answer_1"], "assert answer_1 == 3")
    assert "value" not in told["answer_1"]
    assert received(told["answer_1"]) != 3


def test_a_number_of_a_class_of_their_own_does_not_cross_as_a_number():
    class Cheat(float):
        def __sub__(self, other):
            return 0.0

    told = tell({"answer_1": Cheat(7)}, ["answer_1"], "abs(answer_1 - 3)")
    with pytest.raises(TypeError):
        received(told["answer_1"]) - 3


CHECK = "found = [answer_1(number) for number in (1, 2, 3)]"


def replayed(answer, check):
    """Record what an answer returns to a check, carry that across as JSON, and return what the check finds there."""
    told = json.loads(json.dumps(tell({"answer_1": answer}, ["answer_1"], check)))
    namespace = {"answer_1": received(told["answer_1"])}
    exec(check, namespace)
    return namespace["found"]


def test_a_function_is_replayed_call_by_call():
    assert replayed(lambda number: number**2, CHECK) == [1, 4, 9]


def test_an_object_is_replayed_with_its_methods_and_names():
    class Policy:
        name = "mine"

        def __init__(self, service):
            self.step = service

        def predict(self, observations):
            return np.full(len(observations), self.step)

    check = "made = answer_1(2)\nfound = made.name, made.predict([0, 0]).tolist()"
    assert replayed(Policy, check) == ("mine", [2, 2])


def test_a_function_that_changes_the_check_changes_it_behind_the_wall_only():
    check = "secret = 5\nfound = answer_1() == secret"

    def cheat():
        import sys

        sys._getframe(2).f_globals["secret"] = 1
        return 1

    assert replayed(cheat, check) is False


def test_an_error_of_an_answer_is_raised_again():
    def fails():
        raise KeyError("mine")

    with pytest.raises(RuntimeError, match="the answer raised KeyError: 'mine'"):
        replayed(fails, "found = answer_1()")


def test_a_forged_record_runs_out_or_is_refused():
    for log in ([], [{"plain": {"evil": 1}}], [7], [{"plain": []}]):
        with pytest.raises((RuntimeError, ValueError)):
            Replay(log)()


# --- notebooks -------------------------------------------------------------------------------------------------------


def handed_in(course, **changed):
    """Return a course notebook as a student hands it in: cells by id with another source, or left out (`None`)."""
    notebook = nbformat.read(course.path, as_version=4)
    for cell in list(notebook.cells):
        if cell.id in changed:
            if changed[cell.id] is None:
                notebook.cells.remove(cell)
            else:
                cell.source = changed[cell.id]
    return notebook


def prepared(course, notebook=None, needed=frozenset()):
    return prepare(nbformat.writes(notebook or handed_in(course)).encode(), course, set(needed))


@pytest.mark.parametrize("course", COURSE, ids=lambda course: course.name)
def test_every_exercise_of_the_course_has_an_answer_to_tell_and_a_check(course):
    assert 2 <= len(course.exercises) <= 3
    for number, exercise in enumerate(course.exercises, start=1):
        assert exercise.variables == (f"answer_{number}",)
        assert "not attempted" in exercise.check


@pytest.mark.parametrize("course", COURSE, ids=lambda course: course.name)
def test_the_bare_course_has_no_problem_and_loses_its_checks(course):
    made = prepared(course, needed=course.parameters)
    sources = [cell.source for cell in made.notebook.cells]
    assert made.problem is None
    assert not {exercise.check for exercise in course.exercises} & set(sources)
    assert list(made.telling) == [exercise.name for exercise in course.exercises]


def test_comments_and_layout_of_the_course_s_cells_may_change():
    (cell,) = [cell for cell in COURSE[0].cells if cell.identity == "play"]
    notebook = handed_in(COURSE[0], play=f"# mine\n{cell.source}\n\n")
    assert prepared(COURSE[0], notebook).problem is None


@pytest.mark.parametrize("source", ["pass", None, "raise SystemExit"])
def test_a_cell_of_the_course_that_was_emptied_keeps_the_notebook_from_passing(source):
    assert "changed, moved or removed" in prepared(COURSE[0], handed_in(COURSE[0], play=source)).problem


def test_missing_parameters_are_named():
    notebook = handed_in(COURSE[0], parameters="seed = 0")
    assert prepared(COURSE[0], notebook, {"seed", "output"}).problem == "its parameters lack output"


def test_answers_are_found_by_their_tags_where_ids_were_lost():
    notebook = handed_in(COURSE[0])
    for cell in notebook.cells:
        del cell["id"]
    notebook.nbformat_minor = 4
    assert list(prepared(COURSE[0], notebook).telling) == ["01.1", "01.2", "01.3"]


def test_checks_of_the_submission_are_not_run():
    notebook = handed_in(COURSE[0], **{"exercise-1-check": "print('right')"})
    assert "print('right')" not in [cell.source for cell in prepared(COURSE[0], notebook).notebook.cells]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no JSON"),
        (b"\xff\xfe\x00", "no "),
        (b"[]", "no notebook"),
        (b"{}", "no notebook"),
        (b"[" * 100_000, "no notebook"),
        (b'{"nbformat": 3, "worksheets": []}', "format is 3"),
        (b'{"nbformat": 99, "cells": []}', "format is 99"),
        (b'{"nbformat": 4, "cells": 7}', "no notebook"),
        (b'{"nbformat": 4, "cells": [{"cell_type": "code"}]}', "no notebook"),
        (b'{"nbformat": 4, "cells": [{"cell_type": "evil", "source": ""}]}', "type 'evil'"),
        (b'{"nbformat": 4, "cells": [' + b",".join([b"{}"] * 600) + b"]}", "600 cells"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_file_that_is_no_notebook_costs_one_line(content, said):
    with pytest.raises(ValueError, match=said) as caught:
        read_cells(content)
    assert "\n" not in str(caught.value)


def ran(made, error=None, **outputs):
    """Return a run in which every cell was executed, and its last one printed its word."""
    for number, cell in enumerate(made.notebook.cells):
        if cell.cell_type == "code":
            cell.execution_count = number + 1
            cell.outputs = [nbformat.v4.new_output("stream", text=outputs.get(cell.id, ""))]
    made.notebook.cells[-1].outputs[0].text = made.word
    return Run(error, made.notebook, 1.0)


def test_a_notebook_passes_if_every_cell_ran_to_the_last():
    made = prepared(COURSE[0])
    assert judge(ran(made), made) is None


@pytest.mark.parametrize("flaw", ["stopped", "no notebook", "not executed", "error output", "no word", "problem"])
def test_a_notebook_with_a_flaw_does_not_pass(flaw):
    made = prepared(COURSE[0])
    run = ran(made)
    cell = [cell for cell in made.notebook.cells if cell.cell_type == "code"][3]
    if flaw == "stopped":
        run = replace(run, error="it took longer than 3 s")
    elif flaw == "no notebook":
        run = replace(run, notebook=None)
    elif flaw == "not executed":
        cell.execution_count = None
    elif flaw == "error output":
        cell.outputs = [nbformat.v4.new_output("error", ename="E", evalue="", traceback=[])]
    elif flaw == "no word":
        made.notebook.cells[-1].outputs[0].text = "another word"
    else:
        made = replace(made, problem="a cell was changed")
    assert judge(run, made)


def test_answers_are_read_from_our_own_cells_alone():
    made = prepared(COURSE[0])
    forged = {"application/vnd.autoscaler.answers+json": {"answer_1": {"value": {"number": "3"}}}}
    run = ran(made)
    made.notebook.cells[3].outputs = [nbformat.v4.new_output("display_data", data=forged)]
    assert told_answers(run, made) == {}


def test_text_of_a_submission_becomes_one_printable_line():
    assert one_line("a\n\x1b[31mb\u202e") == "a \\x1b[31mb\\x202e"
    assert len(one_line("x" * 1_000)) == 300


# --- submissions -----------------------------------------------------------------------------------------------------


@pytest.fixture
def take(tmp_path):
    """Return a function that takes a submission in, and returns it."""

    def take_one(source):
        (tmp_path / "copy").mkdir()
        return take_in(source, tmp_path / "copy")

    return take_one


def packed(path, *entries):
    """Write a zip; an entry is a name and bytes, or a `ZipInfo` and bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return path


def test_notebooks_and_models_are_taken_from_a_folder(take, tmp_path):
    for name in ("notebooks/01_a.ipynb", "models/m.zip", "models/m.json", "models/notes.txt", "secret.txt"):
        path = tmp_path / "ann" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    assert list(take(tmp_path / "ann").files) == ["models/m.json", "models/m.zip", "notebooks/01_a.ipynb"]


@pytest.mark.parametrize("wrapper", ["", "ann-homework/"])
def test_notebooks_and_models_are_taken_from_a_zip(take, tmp_path, wrapper):
    names = ["notebooks/01_a.ipynb", "models/m.pkl"]
    source = packed(tmp_path / "ann.ZIP", *((wrapper + name, b"x") for name in names), ("__MACOSX/a.ipynb", b"x"))
    taken = take(source)
    assert sorted(taken.files) == sorted(names)
    assert taken.name == "ann"


def test_links_and_pipes_are_left_out_and_said(take, tmp_path):
    folder = tmp_path / "eve" / "notebooks"
    folder.mkdir(parents=True)
    (tmp_path / "secret.ipynb").write_text("secret")
    (folder / "01_link.ipynb").symlink_to(tmp_path / "secret.ipynb")
    (tmp_path / "eve" / "models").symlink_to(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "02_pipe.ipynb")
    taken = take(tmp_path / "eve")
    assert taken.files == {}
    assert all("no plain file" in note for note in taken.notes)


def test_zip_entries_that_lead_elsewhere_are_left_out(take, tmp_path):
    link = zipfile.ZipInfo("notebooks/04_link.ipynb")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    names = ["../notebooks/01.ipynb", "/notebooks/02.ipynb", "C:\\notebooks\\03.ipynb", "notebooks\\..\\..\\05.ipynb"]
    taken = take(packed(tmp_path / "eve.zip", *((name, b"x") for name in names), (link, b"/etc/passwd")))
    assert taken.files == {} and len(taken.notes) == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "eve.zip"]


def test_a_zip_bomb_is_left_out_without_being_unpacked(take, tmp_path):
    taken = take(
        packed(tmp_path / "bomb.zip", ("notebooks/01.ipynb", b"\0" * (11 * 2**20)), ("notebooks/02.ipynb", b""))
    )
    assert list(taken.files) == ["notebooks/02.ipynb"]
    assert "larger than 10 MB" in taken.notes[0]


def test_a_zip_that_lies_about_a_size_is_not_believed(take, tmp_path):
    source = packed(tmp_path / "liar.zip", ("notebooks/01.ipynb", b"\0" * (11 * 2**20)))
    content = source.read_bytes()
    true, lie = (size.to_bytes(4, "little") for size in (11 * 2**20, 100))
    source.write_bytes(content.replace(true, lie))
    taken = take(source)
    assert taken.files == {} and len(taken.notes) == 1


def test_duplicates_in_a_zip_are_said(take, tmp_path):
    entries = [("a/notebooks/01.ipynb", b"first"), ("b/notebooks/01.ipynb", b"second")]
    taken = take(packed(tmp_path / "twice.zip", *entries))
    assert taken.files["notebooks/01.ipynb"].read_bytes() == b"first"
    assert "twice" in taken.notes[0]


def test_a_submission_of_too_many_files_is_cut_short(take, tmp_path):
    taken = take(packed(tmp_path / "many.zip", *((f"x{number}", b"") for number in range(MOST_FILES + 1))))
    assert "more than 2,000 files" in taken.notes[0]


@pytest.mark.parametrize("content", [b"", b"PK\3\4 broken", b"text"])
def test_what_is_neither_folder_nor_zip_is_refused_in_one_line(take, tmp_path, content):
    (tmp_path / "ann.zip").write_bytes(content)
    with pytest.raises(ValueError, match=r"ann\.zip"):
        take(tmp_path / "ann.zip")


def test_the_fingerprint_is_that_of_the_content(tmp_path):
    prints = []
    for number, (name, content) in enumerate(
        [("01.ipynb", b"x"), ("01.ipynb", b"x"), ("01.ipynb", b"y"), ("02.ipynb", b"x")]
    ):
        copy = tmp_path / str(number)
        copy.mkdir()
        prints.append(take_in(packed(tmp_path / f"{number}.zip", (f"notebooks/{name}", content)), copy).fingerprint)
    assert prints[0] == prints[1] and len(set(prints)) == 3


# --- rubric ----------------------------------------------------------------------------------------------------------


def test_the_file_of_the_default_rubric_says_what_the_code_takes_for_granted():
    assert Rubric.read(DEFAULT) == Rubric()


def test_points_of_a_part_are_shared_by_weight():
    worth = Rubric(weights={"b": 3, "c": 0}).worth("costs", ["a", "b", "c"])
    assert worth == {"a": 6.25, "b": 18.75, "c": 0}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("points = 3", "points must be a table"),
        ("[marks]", "marks: must be one of points"),
        ("[points]\nnotebook = 3", "points.notebook: must be one of"),
        ("[points]\ncosts = -1", "points.costs = -1: must be a number, at least 0"),
        ("[points]\ncosts = nan", "points.costs = nan"),
        ("[costs]\ndays = 0", "costs.days = 0"),
        ("[costs]\nfull_at = 'magic'", "costs.full_at = 'magic': must be one of random"),
        ("[models]\npoor = 2", "models.poor = 2"),
        ("[models]\nexpected = 'ppo'", "models.expected = 'ppo'"),
        ("[limits]\nseconds = 1.5", "limits.seconds = 1.5"),
        ("[weights]\n'01.1' = 'much'", "weights.01.1 = 'much'"),
        ("[points", "rubric = "),
    ],
)
def test_a_bad_rubric_costs_one_line_that_names_the_value(tmp_path, text, said):
    (tmp_path / "rubric.toml").write_text(text)
    with pytest.raises(ValueError) as caught:
        Rubric.read(tmp_path / "rubric.toml")
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_another_rubric_has_another_fingerprint():
    assert Rubric().fingerprint == Rubric().fingerprint
    assert Rubric().fingerprint != Rubric(limits=Limits(seconds=3)).fingerprint != Rubric(weights={"a": 2}).fingerprint


def test_a_cost_beyond_the_rules_earns_no_more_and_no_less():
    assert [Costs(enough=1).share(cost, 200, 100) for cost in (300, 200, 150, 100, 50)] == [0, 0, 0.5, 1, 1]


# --- reports ---------------------------------------------------------------------------------------------------------

EVIL = "<script>alert('x')</script>"


def report(name="ann", **fields):
    items = (Item("01_a", "passed", EVIL, 2.5, 5.0), Item("02_b", "failed", "late", 0, 5.0))
    return Report(name, "ann.zip", {"a": "b"}, "a wall", "quick", {"notebooks": items}, **fields)


def test_a_report_is_read_as_it_was_written(tmp_path):
    write_report(report(notes=(EVIL,), prints={"a": "1"}), tmp_path)
    assert read_report(tmp_path) == report(notes=(EVIL,), prints={"a": "1"})
    assert json.loads((tmp_path / "report.json").read_text())["points"] == 2.5


def test_html_holds_every_item_and_no_markup_of_the_submission(tmp_path):
    write_report(report(notes=(EVIL,)), tmp_path)
    html = (tmp_path / "report.html").read_text()
    assert "<script" not in html and html.count("&lt;script&gt;") == 2
    assert all(text in html for text in ("01_a", "02_b", "2.5 of 5.0", "a wall"))
    assert "http" not in html


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"points": 1, "of": 2, "parts": 3}'])
def test_a_damaged_report_is_no_report(tmp_path, content):
    (tmp_path / "report.json").write_text(content)
    assert read_report(tmp_path) is None


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_gradebook_has_a_row_for_each_with_its_points(tmp_path):
    write_gradebook(
        [report("ann"), Report("bob", "b.zip", {}, "", "quick", notes=("not graded: x",))], tmp_path / "g.csv"
    )
    ann, bob = rows(tmp_path / "g.csv")
    assert (ann["submission"], ann["points"], ann["of"], ann["notebooks"]) == ("ann", "2.50", "10.00", "2.50")
    assert (bob["points"], bob["notes"]) == ("0.00", "not graded: x")


def test_identical_files_are_named_on_both_sides_and_no_others():
    reports = [
        report("ann", prints={"models/ppo.zip": "1", "notebooks/01.ipynb": "2", "notebooks/02.ipynb": "5"}),
        report("bob", prints={"models/ppo.zip": "1", "notebooks/01.ipynb": "3", "notebooks/02.ipynb": "5"}),
        report("cy", prints={"models/ppo.zip": "4", "notebooks/01.ipynb": "3"}),
    ]
    assert identical(reports) == {
        "ann": ["models/ppo.zip, notebooks/02.ipynb as in bob"],
        "bob": ["models/ppo.zip, notebooks/02.ipynb as in ann", "notebooks/01.ipynb as in cy"],
        "cy": ["notebooks/01.ipynb as in bob"],
    }


def test_a_copied_notebook_is_known_by_what_its_code_does(tmp_path):
    def handed(name, **changed):
        (tmp_path / name).mkdir()
        path = tmp_path / name / COURSE[0].path.name
        nbformat.write(handed_in(COURSE[0], **changed), path)
        return prints({f"notebooks/{path.name}": path}, [COURSE[0].path])

    answer = COURSE[0].exercises[0].cell
    first = handed("first", **{answer: "answer_1 = 12"})
    assert list(first) == [f"notebooks/{COURSE[0].path.name}"]
    assert handed("disguised", **{answer: "# my own work\n\nanswer_1  =  12  # indeed\n"}) == first
    assert handed("another", **{answer: "answer_1 = 13"}) != first
    assert handed("unanswered", **{answer: "answer_1 = None  # I do not know"}) == {}


def test_a_file_that_half_a_class_holds_costs_a_short_warning():
    names = [f"s{number:02}" for number in range(50)]
    warnings = identical([report(name, prints={"notebooks/03.ipynb": "1"}) for name in names])
    assert warnings["s00"] == ["notebooks/03.ipynb as in s01, s02, s03, s04, s05 and 44 more"]
    assert list(warnings) == names


def test_late_submissions_come_into_one_gradebook_with_those_graded_alike_before(tmp_path):
    course = Course((COURSE[0].path,), tmp_path / "no models")

    def others_with(name, rubric):
        grading = Grading(tmp_path / "out", rubric, NO_WALL, course=course)
        reports = grading.run([packed(tmp_path / f"{name}.zip", ("notes.txt", b""))], progress=False)
        return [report.name for report in grading.earlier(reports)]

    rubric = Rubric(models=Models(expected=()), costs=Costs(seed=1))
    assert others_with("made_otherwise", replace(rubric, weights={"01.1": 2})) == []
    assert others_with("bob", rubric) == []
    assert others_with("ann", rubric) == ["bob"]
    assert others_with("late", rubric) == ["ann", "bob"]


def test_a_name_cannot_become_a_formula_in_the_gradebook(tmp_path):
    write_gradebook([report("=cmd()")], Path(tmp_path / "g.csv"))
    assert rows(tmp_path / "g.csv")[0]["submission"] == "'=cmd()"


# --- walls -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def no_programs(monkeypatch):
    """Let no program be found."""
    monkeypatch.setattr("shutil.which", lambda name: None)


def test_without_a_wall_grading_refuses_and_says_what_to_do(no_programs, tmp_path, capsys):
    (tmp_path / "ann").mkdir()
    assert main(["grade", str(tmp_path / "ann"), "--output", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert "bubblewrap" in said and "--i-trust-this-code" in said and "--container" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_elsewhere_than_on_linux_only_trust_goes_on_and_says_so(monkeypatch, platform):
    monkeypatch.setattr("sys.platform", platform)
    with pytest.raises(ValueError, match=f"bubblewrap is for Linux only, and this is {platform}"):
        find_wall()
    wall = find_wall(trusted=True)
    assert wall.kind == "none" and wall.told.startswith("No wall") and platform in wall.told


def test_a_container_needs_a_program_that_runs_it(no_programs):
    with pytest.raises(ValueError, match="neither docker nor podman"):
        find_wall("image", trusted=True)


def test_a_wall_that_does_not_work_is_no_wall(monkeypatch, tmp_path):
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'No permissions to create new namespace' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("shutil.which", lambda name: str(broken))
    with pytest.raises(ValueError, match="does not work: No permissions to create new namespace"):
        find_wall()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["x", "--workers", "0"], "workers = 0"),
        (["x", "--rubric", "none.toml"], "none.toml"),
        ([], "submissions"),
    ],
)
def test_a_bad_option_costs_one_line(options, said, capsys):
    assert main(["grade", *options]) == 2
    error = capsys.readouterr().err
    assert said in error and len(error.splitlines()) == 1
