"""A submitted notebook runs with its own cells, without its checks, and passes only if every cell ran."""

from dataclasses import replace

import nbformat
import pytest

from autoscaler_env.course import course_notebooks
from autoscaler_env.grading.notebooks import CourseNotebook, judge, prepare, read_cells, sent_answers
from autoscaler_env.grading.supervisor import NotebookRun

COURSE = [CourseNotebook(path) for path in course_notebooks()]


def submitted(course, **changed):
    """Return a course notebook as a student submits it: cells by id with another source, or left out (`None`)."""
    notebook = nbformat.read(course.path, as_version=4)
    for cell in list(notebook.cells):
        if cell.id in changed:
            if changed[cell.id] is None:
                notebook.cells.remove(cell)
            else:
                cell.source = changed[cell.id]
    return notebook


def prepared(course, notebook=None, needed=frozenset()):
    return prepare(nbformat.writes(notebook or submitted(course)).encode(), course, set(needed))


def test_every_exercise_of_the_course_has_an_answer_and_a_check():
    for course in COURSE:
        assert 2 <= len(course.exercises) <= 8, course.name
        for number, exercise in enumerate(course.exercises, start=1):
            assert exercise.variables == (f"answer_{number}",), exercise.name
            assert "not attempted" in exercise.check, exercise.name


def test_the_bare_course_has_no_problem_and_loses_its_checks():
    for course in COURSE:
        ready = prepared(course, needed=course.parameters)
        sources = [cell.source for cell in ready.notebook.cells]
        assert ready.problem is None, course.name
        assert not {exercise.check for exercise in course.exercises} & set(sources), course.name
        assert list(ready.answer_cells) == [exercise.name for exercise in course.exercises]


def test_comments_and_layout_of_the_course_s_cells_may_change():
    (cell,) = [cell for cell in COURSE[0].cells if cell.id == "play"]
    notebook = submitted(COURSE[0], play=f"# mine\n{cell.source}\n\n")
    assert prepared(COURSE[0], notebook).problem is None


def test_a_cell_of_the_course_that_was_emptied_keeps_the_notebook_from_passing():
    for source in ("pass", None, "raise SystemExit"):
        assert "changed, moved or removed" in prepared(COURSE[0], submitted(COURSE[0], play=source)).problem, source


def test_missing_parameters_are_named():
    notebook = submitted(COURSE[0], parameters="seed = 0")
    assert prepared(COURSE[0], notebook, {"seed", "output"}).problem == "its parameters lack output"


def test_answers_are_found_by_their_tags_where_ids_were_lost():
    notebook = submitted(COURSE[0])
    for cell in notebook.cells:
        del cell["id"]
    notebook.nbformat_minor = 4
    assert list(prepared(COURSE[0], notebook).answer_cells) == [f"01.{number}" for number in range(1, 6)]


def test_checks_of_the_submission_are_not_run():
    notebook = submitted(COURSE[0], **{"exercise-1-check": "print('right')"})
    assert "print('right')" not in [cell.source for cell in prepared(COURSE[0], notebook).notebook.cells]


BAD = [
    (b"", "not JSON"),
    (b"\xff\xfe\x00", "not "),
    (b"[]", "not a notebook"),
    (b"{}", "not a notebook"),
    (b"[" * 100_000, "not a notebook"),
    (b'{"nbformat": 3, "worksheets": []}', "format is 3"),
    (b'{"nbformat": 99, "cells": []}', "format is 99"),
    (b'{"nbformat": 4, "cells": 7}', "not a notebook"),
    (b'{"nbformat": 4, "cells": [{"cell_type": "code"}]}', "not a notebook"),
    (b'{"nbformat": 4, "cells": [{"cell_type": "evil", "source": ""}]}', "type 'evil'"),
    (b'{"nbformat": 4, "cells": [' + b",".join([b"{}"] * 600) + b"]}", "600 cells"),
]


def test_a_file_that_is_not_a_notebook_costs_one_line():
    for content, message in BAD:
        with pytest.raises(ValueError) as caught:
            read_cells(content)
        assert message in str(caught.value) and "\n" not in str(caught.value), content[:60]


def ran(made, error=None, **outputs):
    """Return a run in which every cell was executed, and its last one printed the password."""
    for number, cell in enumerate(made.notebook.cells):
        if cell.cell_type == "code":
            cell.execution_count = number + 1
            cell.outputs = [nbformat.v4.new_output("stream", text=outputs.get(cell.id, ""))]
    made.notebook.cells[-1].outputs[0].text = made.password
    return NotebookRun(error, made.notebook, 1.0)


def test_a_notebook_passes_if_every_cell_ran_to_the_last():
    made = prepared(COURSE[0])
    assert judge(ran(made), made) is None


def test_a_notebook_with_a_flaw_does_not_pass():
    def flawed(change):
        made = prepared(COURSE[0])
        run = ran(made)
        return judge(*change(run, made, [cell for cell in made.notebook.cells if cell.cell_type == "code"]))

    def with_output(run, made, cell, output):
        cell.outputs = [output]
        return run, made

    def not_executed(run, made, code):
        code[3].execution_count = None
        return run, made

    error = nbformat.v4.new_output("error", ename="E", evalue="", traceback=[])
    other = nbformat.v4.new_output("stream", text="another word")
    assert flawed(lambda run, made, code: (replace(run, error="it took longer than 3 s"), made))
    assert flawed(lambda run, made, code: (replace(run, notebook=None), made))
    assert flawed(not_executed)
    assert flawed(lambda run, made, code: with_output(run, made, code[3], error))
    assert flawed(lambda run, made, code: with_output(run, made, code[-1], other))
    assert flawed(lambda run, made, code: (run, replace(made, problem="a cell was changed")))


def test_answers_are_read_from_our_own_cells_alone():
    made = prepared(COURSE[0])
    forged = {"application/vnd.autoscaler.answers+json": {"answer_1": {"value": {"number": "3"}}}}
    run = ran(made)
    made.notebook.cells[3].outputs = [nbformat.v4.new_output("display_data", data=forged)]
    assert sent_answers(run, made) == {}
