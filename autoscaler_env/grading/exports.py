"""Exports of the gradebook in the published formats of Canvas, Moodle and Gradescope.

Only totals leave the gradebook, and only for students with one submission that was graded or got manual points. Canvas
and Moodle keep what they have for students who are not in a file. An empty cell would remove a mark there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from autoscaler_env.grading.gradebook import GRADED, Row, number_cell, only_rows, plain_cell, write_csv
from autoscaler_env.grading.report import Item
from autoscaler_env.grading.rubric import PARTS
from autoscaler_env.storage.files import write_json
from autoscaler_env.text import counted, listed, one_line

ASSIGNMENT = "Smart AutoScaler"
"""The name of the assignment unless the instructor has another one."""

MAX_NAMES = 10
"""Names in one line for the terminal; the gradebook has all."""

MOODLE_MOST = 100
"""Moodle refuses a whole file with a higher grade, unless the site allows it (insert_grade_record, as below)."""

# From lib/gradebook_importer.rb of instructure/canvas-lms: a column whose name has one of these is no assignment.
_NO_ASSIGNMENT = re.compile(r"(Current|Final) (Score|Points|Grade)|Override (Score|Grade|Status)")
_RESERVED = {"Student", "LastName", "FirstName", "ID", "SIS User ID", "SIS Login ID", "Section", "Integration ID"}


def check_assignment(name: str) -> None:
    """Check that Canvas and Moodle take a name as the title of a column of grades.

    Raises:
        ValueError: They do not.
    """
    if not name.strip() or name != one_line(name) or _NO_ASSIGNMENT.search(name) or name in _RESERVED:
        raise ValueError(f"assignment = {name!r}: must be one line, and no title that Canvas uses itself")
    if name != plain_cell(name):
        raise ValueError(f"assignment = {name!r}: must not begin like a formula of a spreadsheet")


def export(rows: Sequence[Row], kind: str, folder: Path, of: float, assignment: str = ASSIGNMENT) -> list[str]:
    """Write the gradebook in another format, and return what a person should know, one line each.

    Args:
        rows: Submissions and students.
        kind: canvas, moodle, gradescope, or csv, which is the gradebook itself and writes nothing more.
        folder: Where canvas.csv or moodle.csv is written; results.json of Gradescope is written beside each report.
        of: The points that a submission can earn.
        assignment: The name of the assignment; `Name (id)`, as Canvas exports it, if it exists there.
    """
    if kind == "gradescope":
        for row in rows:
            if row.report is not None:
                write_json(folder / row.submission / "results.json", gradescope_results(row))
        return []
    if kind == "csv":
        return []
    graded = [row for row in only_rows(rows) if row.total is not None]
    table = canvas_table(graded, of, assignment) if kind == "canvas" else moodle_table(graded, assignment)
    write_csv(table, folder / f"{kind}.csv")
    left = _few(row.who for row in rows if row not in graded)
    lines = [f"{kind}.csv: {counted(len(graded), 'student')}"]
    lines += [f"{kind}.csv: not in it, because without a mark that is certain: {left}"] if left else []
    high = _few(row.who for row in graded if (row.total or 0) > MOODLE_MOST)
    if kind == "moodle" and high:
        lines.append(f"{kind}.csv: Moodle refuses grades above {MOODLE_MOST} unless its site allows them: {high}")
    return lines


def _few(names: Iterable[str]) -> str:
    """Return the first of many names as a list in words, each once."""
    different = list(dict.fromkeys(names))
    more = [f"{len(different) - MAX_NAMES} more"] if len(different) > MAX_NAMES else []
    return listed([*different[:MAX_NAMES], *more])


def canvas_table(rows: Sequence[Row], of: float, assignment: str = ASSIGNMENT) -> list[list[str]]:
    """Return the table that Canvas imports in its gradebook.

    The format is that of Canvas's own export ("How do I import grades in the Gradebook?", Canvas instructor guide), as
    lib/gradebook_importer.rb of instructure/canvas-lms reads it. The first columns are in a fixed order and end with
    Section. The second row says `Points Possible`. A student is found by ID, else SIS User ID, else SIS Login ID, else
    name. A column `Name (id)` is the assignment with this id; another name makes a new one.

    Args:
        rows: Students, each with one total.
        of: The points of the assignment.
        assignment: The title of the column.
    """
    head = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", assignment]
    table = [head, ["    Points Possible", "", "", "", "", number_cell(of)]]
    for row in rows:
        assert row.student is not None
        own = row.student.id if row.student.id not in (row.student.canvas, row.student.login) else ""
        cells = [row.student.name, row.student.canvas, own, row.student.login, row.student.section]
        table.append([*map(plain_cell, cells), number_cell(row.total)])
    return table


def moodle_table(rows: Sequence[Row], assignment: str = ASSIGNMENT) -> list[list[str]]:
    """Return the table that Moodle imports in its gradebook.

    The format is "CSV import" of https://docs.moodle.org/en/Grade_import, as grade/import/csv/classes/load_data.php of
    moodle/moodle reads it: a person says which column names the student, which is the grade, and which is the feedback
    to it. A grade and its feedback come together, because feedback alone removes grades. No cell of the column that
    names a student may be empty: Moodle would give the row to the student of the row before. So the column of e-mail
    addresses is there only if all students have one.

    Args:
        rows: Students, each with one total.
        assignment: The title of the column of grades.
    """
    emails = all(row.student is not None and row.student.email for row in rows)
    table = [["ID number", *(["Email address"] if emails else []), "Full name", assignment, f"{assignment}: feedback"]]
    for row in rows:
        assert row.student is not None
        known = [row.student.id, *([row.student.email] if emails else []), row.student.name]
        table.append([*map(plain_cell, known), number_cell(row.total), plain_cell(feedback(row))])
    return table


def feedback(row: Row) -> str:
    """Return the points of a row in words, in one line."""
    words = []
    if row.report is not None and row.state == GRADED:
        words = [f"{part} {row.report.points(part):.1f} of {row.report.of(part):.1f}" for part in PARTS]
    words += [f"manual points {row.manual:+.1f}"] if row.manual is not None else []
    late = f"{row.late_days:g} late {'day' if row.late_days == 1 else 'days'}: -{row.late_points:.1f}"
    words += [late] if row.late_days else []
    return "; ".join([*words, *([one_line(row.comment)] if row.comment else [])])


def gradescope_results(row: Row) -> dict[str, Any]:
    """Return the content of results.json, which an autograder of Gradescope leaves behind.

    The format is "Output format" of https://gradescope-autograders.readthedocs.io/en/latest/specs/. The score of the
    whole overrides the sum of the tests, because late days and manual points count too.

    Args:
        row: A row with a report.
    """
    assert row.report is not None
    report = row.report
    tests = [_test(part, item) for part in PARTS for item in report.parts.get(part, ())]
    notes = [*row.notes, *([feedback(row)] if row.total is not None else [])]
    return {
        "score": row.total or 0.0,
        "output": "\n".join([*notes, report.sandbox]),
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "tests": tests,
    }


def _test(part: str, item: Item) -> dict[str, Any]:
    """Return an item of a report as a test of Gradescope."""
    lines = [f"{item.state}: {item.reason}" if item.reason else item.state]
    lines += [f"your answer: {item.answer}"] if item.answer else []
    return {
        "score": round(item.points, 6),
        "max_score": round(item.of, 6),
        "name": f"{part}: {item.name}" + (f" {item.title}" if item.title else ""),
        "output": "\n".join(lines),
        "tags": [part],
    }
