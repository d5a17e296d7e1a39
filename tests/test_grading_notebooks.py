"""A submitted notebook runs with its own cells, without its checks, and passes only if every cell ran."""

import sys
from dataclasses import replace

import nbformat
import pytest

from autoscaler_env.course import course_notebooks
from autoscaler_env.grading.cells import MAX_CELLS, read_cells
from autoscaler_env.grading.notebooks import CourseNotebook, failures, for_the_student, judge, prepare, sent_answers
from autoscaler_env.grading.supervisor import KERNEL_ENDED, NotebookRun

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
    return prepare(read_cells(nbformat.writes(notebook or submitted(course)).encode()), course, set(needed))


def test_every_exercise_of_the_course_has_an_answer_and_a_check():
    for course in COURSE:
        assert 2 <= len(course.exercises) <= 8, course.name
        for number, exercise in enumerate(course.exercises, start=1):
            assert exercise.variables == (f"answer_{number}",), exercise.name
            assert "not attempted" in exercise.check.source, exercise.name


def test_the_bare_course_has_no_problem_and_loses_its_checks():
    for course in COURSE:
        ready = prepared(course, needed=course.parameters)
        sources = [cell.source for cell in ready.notebook.cells]
        assert ready.problem is None, course.name
        assert not {exercise.check.source for exercise in course.exercises} & set(sources), course.name
        assert list(ready.answer_cells) == [exercise.name for exercise in course.exercises]


def test_comments_and_layout_of_the_course_s_cells_may_change():
    (cell,) = [cell for cell in COURSE[0].cells if cell.id == "play"]
    notebook = submitted(COURSE[0], play=f"# mine\n{cell.source}\n\n")
    assert prepared(COURSE[0], notebook).problem is None


def test_a_cell_of_the_course_that_was_emptied_keeps_the_notebook_from_passing():
    for source in ("pass", None, "raise SystemExit"):
        assert "changed, moved or removed" in prepared(COURSE[0], submitted(COURSE[0], play=source)).problem, source


def test_the_cell_that_installs_the_course_may_be_changed_or_left_out():
    for source in (None, "!pip install something"):
        assert prepared(COURSE[0], submitted(COURSE[0], colab=source)).problem is None


def test_missing_parameters_are_named():
    notebook = submitted(COURSE[0], parameters="seed = 0")
    assert prepared(COURSE[0], notebook, {"seed", "output"}).problem == "its parameters lack output"


def sent_value(made):
    """Run the code of a prepared notebook here, up to the first answer; return the value that is sent for 01.1."""
    sent = next(index for index, cell in enumerate(made.notebook.cells) if cell.id == made.answer_cells["01.1"])
    values = {}
    for cell in made.notebook.cells[:sent]:
        for line in cell.source.splitlines() if cell.cell_type == "code" else ():
            if line.strip().startswith("answer_1 ="):
                exec(line.strip(), values)
    return values.get("answer_1")


def changed(change, answer="answer_1 = 12"):
    """Return the first course notebook, answered, after a change of its list of cells."""
    exercise = COURSE[0].exercises[0]
    notebook = submitted(COURSE[0], **{exercise.answer.id: answer})
    at = next(index for index, cell in enumerate(notebook.cells) if cell.id == exercise.answer.id)
    change(notebook.cells, at)
    return notebook


def without_marks(cells, at):
    for cell in cells:
        cell.pop("id", None)
        cell.metadata.pop("tags", None)


def retyped_after(cells, at):
    cells[at].source = "answer_1 = None"
    cells.insert(at + 2, nbformat.v4.new_code_cell("answer_1 = 12"))


def retyped_in_check(cells, at):
    cells[at].source = "answer_1 = None"
    cells[at + 1].source = "answer_1 = 12\n" + cells[at + 1].source


def merged_with_check(cells, at):
    cells[at].source += "\n" + cells.pop(at + 1).source


def split(cells, at):
    cells.insert(at + 1, nbformat.v4.new_code_cell("answer_1 = 12"))
    cells[at].source = "value = 10"


def another_cell_between(cells, at):
    cells[at].source = "answer_1 = 3"
    cells.insert(at + 1, nbformat.v4.new_code_cell("answer_1 = 12"))


def check_removed(cells, at):
    del cells[at + 1]


def all_checks_removed_and_answers_gathered(cells, at):
    for index in reversed(range(at, len(cells))):
        if {"exercise", "exercise-check"} & set(cells[index].metadata.get("tags", [])):
            del cells[index]
    cells.append(nbformat.v4.new_code_cell("answer_1 = 12\nanswer_2 = 5"))


@pytest.mark.parametrize(
    "change",
    [
        without_marks,
        retyped_after,
        retyped_in_check,
        merged_with_check,
        split,
        another_cell_between,
        check_removed,
        all_checks_removed_and_answers_gathered,
    ],
    ids=lambda change: change.__name__,
)
def test_an_answer_counts_wherever_an_editor_or_a_student_has_put_it(change):
    notebook = changed(change)
    if change is without_marks:
        notebook.nbformat_minor = 4
    made = prepared(COURSE[0], notebook, COURSE[0].parameters)
    assert sent_value(made) == 12
    assert set(made.answer_cells) == {exercise.name for exercise in COURSE[0].exercises}
    assert made.problem is None


def test_an_experiment_after_the_check_does_not_change_the_answer():
    def experiment(cells, at):
        cells.insert(at + 2, nbformat.v4.new_code_cell("answer_1 = 99"))

    assert sent_value(prepared(COURSE[0], changed(experiment))) == 12


def test_a_course_cell_may_be_split_or_merged_with_another():
    def rearranged(cells, at):
        (index,) = [number for number, cell in enumerate(cells) if cell.id == "play"]
        first, _, rest = cells[index].source.partition("\n")
        cells[index].source = first
        cells.insert(index + 1, nbformat.v4.new_code_cell("%matplotlib inline\n" + rest))

    assert prepared(COURSE[0], changed(rearranged)).problem is None


def test_a_cell_that_python_runs_is_never_a_reason_not_to_grade():
    for source in ("total = " + " + ".join(["1"] * 5_000), "x = 1\n" * 30_000, "%timeit -n 1 sum([1])", "!ls", "??"):
        made = prepared(COURSE[0], changed(lambda cells, at: cells.insert(0, nbformat.v4.new_code_cell(source))))  # noqa: B023
        assert made.problem is None and sent_value(made) == 12


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
    (b'{"nbformat": 4, "cells": [' + b",".join([b"{}"] * (MAX_CELLS + 1)) + b"]}", "2,001 cells"),
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

    error = nbformat.v4.new_output("error", ename="NameError", evalue="no x", traceback=[])
    other = nbformat.v4.new_output("stream", text="another word")
    assert flawed(lambda run, made, code: (replace(run, error="it took longer than 3 s"), made))
    assert flawed(lambda run, made, code: (replace(run, notebook=None), made))
    assert flawed(not_executed)
    assert "NameError: no x" in flawed(lambda run, made, code: with_output(run, made, code[3], error))
    assert flawed(lambda run, made, code: with_output(run, made, code[-1], other))
    assert flawed(lambda run, made, code: (run, replace(made, problem="a cell was changed")))


def test_a_notebook_that_dies_after_a_failed_cell_is_told_both():
    made = prepared(COURSE[0])
    run = ran(made, error="it took longer than 3 s")
    made.notebook.cells[3].outputs = [nbformat.v4.new_output("error", ename="MemoryError", evalue="", traceback=[])]
    told = judge(run, made)
    assert "MemoryError; the cell" in told and told.endswith("later it was stopped: it took longer than 3 s")


def test_a_notebook_whose_kernel_ended_is_told_in_which_cell():
    made = prepared(COURSE[0])
    run = ran(made, error=KERNEL_ENDED)
    code = [cell for cell in made.notebook.cells if cell.cell_type == "code"]
    for cell in code[:4]:
        cell.metadata["papermill"] = {"start_time": "2026-11-29T10:00:00"}
    code[3].source = "import os\nos._exit(0)"
    assert judge(run, made) == f"{KERNEL_ENDED}; the last cell that ran begins with 'import os'"


def test_answers_are_read_from_our_own_cells_alone():
    made = prepared(COURSE[0])
    forged = {"application/vnd.autoscaler.answers+json": {"answer_1": {"value": {"number": "3"}}}}
    run = ran(made)
    made.notebook.cells[3].outputs = [nbformat.v4.new_output("display_data", data=forged)]
    assert sent_answers(run, made) == {}


def test_a_student_gets_the_executed_notebook_without_our_cells_and_paths():
    made = prepared(COURSE[0])
    run = ran(made)
    trace = [f"\x1b[0;31mFile {sys.prefix}/lib/x.py:3\x1b[0m", "NameError: no x"]
    made.notebook.cells[3].outputs = [
        nbformat.v4.new_output("error", ename="NameError", evalue="no x", traceback=trace),
        nbformat.v4.new_output("stream", text="\udcff"),  # no file can hold it
    ]
    given = nbformat.writes(for_the_student(run.notebook, made))
    assert made.password not in given and "_answers.collect" not in given and sys.prefix not in given
    given.encode()
    assert failures(run.notebook) == [(made.notebook.cells[3].source, "File <python>/lib/x.py:3\nNameError: no x")]


def test_every_exercise_has_a_title_for_the_report():
    for course in COURSE:
        for exercise in course.exercises:
            assert 20 <= len(exercise.title) <= 120 and "\n" not in exercise.title, exercise
