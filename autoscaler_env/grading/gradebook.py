"""The gradebook: reports, roster, late days and manual points, joined to one row per submission."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autoscaler_env.grading.report import Report, find_similarities
from autoscaler_env.grading.roster import FORMULA, Adjustment, Match, Roster, Student, is_late
from autoscaler_env.grading.rubric import PARTS, Late
from autoscaler_env.storage.files import write_atomically
from autoscaler_env.text import listed

GRADED, NOT_GRADED, NOT_SUBMITTED, WAITING = "graded", "not graded", "not submitted", "waiting"
"""States of a row: it has a report; its submission cannot be read; there is no submission; its turn has not come."""


@dataclass(frozen=True)
class Row:
    """A submission, or a student who handed in nothing."""

    submission: str
    """Its name; empty if there is none."""
    state: str
    report: Report | None = None
    student: Student | None = None
    notes: tuple[str, ...] = ()
    """Why it is not graded, why it is nobody's, and what else a person should know."""
    manual: float | None = None
    """Points of the instructor; `None` if there are none."""
    late_days: float = 0.0
    late_points: float = 0.0
    """Points that the late days cost."""
    comment: str = ""
    """Words of the instructor."""

    @property
    def total(self) -> float | None:
        """All points, at least 0; `None` if nobody gave any, or the grader still will."""
        if self.state == WAITING:
            return None
        graded = self.report.points() if self.report is not None and self.state == GRADED else None
        if graded is None and self.manual is None:
            return None
        return max(round((graded or 0.0) + (self.manual or 0.0) - self.late_points, 6), 0.0)

    @property
    def who(self) -> str:
        """The student if one is known, else the submission."""
        return str(self.student) if self.student else self.submission


class Gradebook:
    """Joins reports with what an instructor knows.

    Args:
        late: What late days cost.
        roster: The students; `None` if there is no roster.
        adjustments: Late days and manual points.

    Raises:
        ValueError: An adjustment names a student whom the roster does not have.
    """

    def __init__(self, late: Late, roster: Roster | None = None, adjustments: Iterable[Adjustment] = ()) -> None:
        self._late = late
        self._roster = roster
        self._adjustments = list(adjustments)
        self._matches: dict[str, Match] = {}
        self._of_student: dict[str, list[Adjustment]] = defaultdict(list)
        self._of_submission: dict[str, list[Adjustment]] = defaultdict(list)
        for adjustment in self._adjustments:
            if adjustment.student and roster is None:
                raise ValueError(f"{adjustment.where}: id = {adjustment.student!r}: an id needs --roster")
            if adjustment.student and roster is not None and adjustment.student not in roster.by_id:
                raise ValueError(f"{adjustment.where}: id = {adjustment.student!r}: the roster has no such student")
            if adjustment.student:
                self._of_student[adjustment.student].append(adjustment)
            else:
                self._of_submission[adjustment.submission].append(adjustment)

    def rows(self, reports: Sequence[Report], waiting: Mapping[str, Path] | None = None) -> list[Row]:
        """Return a row for each report, each waiting submission, and each student who handed in nothing.

        With a roster they are in its order, and submissions that belong to nobody come last.

        Args:
            reports: One per submission.
            waiting: Folders or zips without a report that counts, by the name of the submission.
        """
        rows = [self._row(report.name, Path(report.source), report) for report in reports]
        rows += [self._row(name, source, None) for name, source in (waiting or {}).items()]
        if self._roster is None:
            return rows
        by_student: dict[str, list[Row]] = defaultdict(list)
        for row in rows:
            by_student[row.student.id if row.student else ""].append(row)
        ordered: list[Row] = []
        for student in self._roster.students:
            absent = self._adjusted("", "", student, NOT_SUBMITTED, None, ["nothing was handed in"])
            ordered += by_student[student.id] or [absent]
        return ordered + by_student[""]

    def problems(self, rows: Sequence[Row]) -> list[str]:
        """Return what an instructor must look at, one line each.

        These are submissions of nobody, students with several submissions, adjustments of submissions that do not
        exist, and marks of Canvas for late work without late days.
        """
        lines = [f"belongs to no student: {row.submission}: {row.notes[0]}" for row in rows if self._is_nobodys(row)]
        for student, names in _several(rows).items():
            few = listed([repr(name) for name in names])
            lines.append(f"several submissions: {student}: {few}; remove the reports of those that do not count")
        known = {name for row in rows if row.submission for name in _names(row.submission, row.report)}
        for adjustment in self._adjustments:
            if adjustment.submission and adjustment.submission not in known:
                lines.append(f"{adjustment.where}: submission = {adjustment.submission!r}: there is none of this name")
        for row in rows:
            if row.report and is_late(Path(row.report.source).name) and not row.late_days:
                lines.append(f"late: {row.who}: Canvas marked the file as late, and no late_days are given")
        return lines

    def _is_nobodys(self, row: Row) -> bool:
        return self._roster is not None and row.student is None

    def _row(self, name: str, source: Path, report: Report | None) -> Row:
        match = self._match(source.name)
        state = WAITING if report is None else GRADED if report.key else NOT_GRADED
        notes = [match.problem] if match.problem else []
        notes += report.notes if report is not None else ["it is not graded yet"]
        return self._adjusted(name, source.name, match.student, state, report, notes)

    def _match(self, file: str) -> Match:
        """Return whose a file is; nobody's without a roster."""
        if self._roster is None:
            return Match(None)
        if file not in self._matches:
            self._matches[file] = self._roster.match(file)
        return self._matches[file]

    def _adjusted(
        self, name: str, file: str, student: Student | None, state: str, report: Report | None, notes: Sequence[str]
    ) -> Row:
        """Return a row with the adjustments that are for its student or its submission."""
        fitting = [*self._of_student.get(student.id, [])] if student is not None else []
        fitting += [each for known in {name, file} for each in self._of_submission.get(known, [])]
        points = [each.points for each in fitting if each.points is not None]
        days = sum(each.late_days for each in fitting)
        comment = "; ".join(each.comment for each in fitting if each.comment)
        manual = sum(points) if points else None
        return Row(name, state, report, student, tuple(notes), manual, days, days * self._late.points_per_day, comment)


def only_rows(rows: Sequence[Row]) -> list[Row]:
    """Return the rows of students who have one row: of several submissions nobody but a person can choose."""
    several = _several(rows)
    return [row for row in rows if row.student and row.student not in several]


def _several(rows: Sequence[Row]) -> dict[Student, list[str]]:
    """Return the students with several submissions, and the names of these."""
    by_student: dict[Student, list[str]] = defaultdict(list)
    for row in rows:
        if row.student:
            by_student[row.student].append(row.submission)
    return {student: names for student, names in by_student.items() if len(names) > 1}


def _names(name: str, report: Report | None) -> set[str]:
    """Return the names by which an adjustment may call a submission."""
    return {name, Path(report.source).name} if report is not None else {name}


def write_gradebook(rows: Sequence[Row], path: Path) -> None:
    """Write the gradebook as CSV, whole or not at all.

    A column for the points of each part and of each item. Where nothing was graded, the cells of points are empty: only
    an answer, a notebook or a model that was looked for and earned nothing has 0.00.

    Args:
        rows: Submissions and students.
        path: The file.
    """
    reports = [row.report for row in rows if row.report is not None and row.state == GRADED]
    similarities = find_similarities(reports)
    items = dict.fromkeys((part, item.name) for part in PARTS for each in reports for item in each.parts.get(part, ()))
    head = ["submission", "id", "name", "state", "total", "of", "points", "manual_points", "late_days", "late_points"]
    table = [[*head, *PARTS, *(f"{part}: {name}" for part, name in items), "comment", "identical", "notes"]]
    for row in rows:
        student = [row.student.id, row.student.name] if row.student else ["", ""]
        cells = [*map(plain_cell, (row.submission, *student)), row.state, number_cell(row.total)]
        report = row.report if row.state == GRADED else None
        sums = [report.of(), report.points()] if report else [None, None]
        adjusted = [row.manual, row.late_days or None, -row.late_points or None]
        parts = [report.points(part) if report else None for part in PARTS]
        earned = {
            (part, item.name): item.points for part in PARTS for item in (report.parts.get(part, ()) if report else ())
        }
        cells += map(number_cell, [*sums, *adjusted, *parts, *(earned.get(item) for item in items)])
        texts = [row.comment, "; ".join(similarities.get(row.submission, [])), "; ".join(row.notes)]
        table.append([*cells, *map(plain_cell, texts)])
    write_csv(table, path)


def write_csv(table: Sequence[Sequence[str]], path: Path) -> None:
    """Write a table as CSV, whole or not at all."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(table)
    write_atomically(path, lambda file: file.write(text.getvalue().encode(errors="backslashreplace")))


def plain_cell(text: str) -> str:
    """Return a text as a cell: what a spreadsheet would read as a formula gets an apostrophe in front.

    Example:
        >>> plain_cell("=cmd()"), plain_cell("Ann")
        ("'=cmd()", 'Ann')
    """
    return f"'{text}" if text.startswith(FORMULA) else text


def number_cell(value: float | None) -> str:
    """Return a number as a cell, with two digits after the point; an empty cell for `None`."""
    return "" if value is None else f"{value:.2f}"
