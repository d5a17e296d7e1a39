"""What an instructor knows about a class: the students, which submission is whose, late days and manual points.

Both come as CSV files. A roster may be what Canvas, Moodle or Gradescope export. A submission belongs to a student only
if its name leaves no doubt; what is not clear is told and never guessed.
"""

from __future__ import annotations

import csv
import fnmatch
import io
import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from autoscaler_env.text import counted, listed, not_a_choice, printable, suggestion

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""A spreadsheet may take a text that begins with one of these for a formula."""

SHORTEST_ID = 4
"""A shorter number of a student is not looked for within a longer name: "assignment 2" is not the work of student 2."""

# Names of files in the zip that Canvas makes of all submissions ("Download Submissions"), from lib/content_zipper.rb of
# instructure/canvas-lms: sortable name without what is no letter, "LATE", number of the user, number of the file.
_CANVAS = re.compile(r"(?P<name>[^\W_]\w*?)(?P<late>_LATE)?_(?P<user>\d+)_(?P<file>\d+)_.+", re.DOTALL)

# Names of folders and files in Moodle's "Download all submissions", from mod/assign/locallib.php of moodle/moodle: full
# name, a number that only this assignment knows, the plug-in.
_MOODLE = re.compile(r"(?P<name>.+?)_(?P<user>\d+)_assignsubmission_file.*", re.DOTALL)

_COLUMNS = {
    "id": ("id", "student id", "id number", "idnumber", "student number", "sid", "sis user id"),
    "name": ("name", "student", "student name", "full name"),
    "first": ("first name", "firstname"),
    "last": ("last name", "lastname", "surname"),
    "email": ("email", "email address", "e-mail"),
    "login": ("sis login id", "login", "username"),
    "section": ("section",),
    "canvas": ("canvas id",),
    "file": ("file", "folder", "submission"),
}
"""Names of the columns of a roster, in small letters, by what they hold."""

_ADJUSTMENTS = ("id", "submission", "points", "late_days", "comment")


@dataclass(frozen=True)
class Student:
    """A student of the roster."""

    id: str
    """The university's number, unique in the roster."""
    name: str
    email: str = ""
    login: str = ""
    section: str = ""
    canvas: str = ""
    """The number of the user in Canvas."""
    file: str = ""
    """A pattern for the name of the submission, such as `team-7*`; empty if it follows from number or name."""

    def __str__(self) -> str:
        return f"{self.name} ({self.id})"


class Match(NamedTuple):
    """Whose a submission is."""

    student: Student | None
    problem: str = ""
    """Why nobody's, in a few words."""


class Roster:
    """The students of a class.

    Args:
        students: Each with an own id.
    """

    def __init__(self, students: Iterable[Student]) -> None:
        self.students = list(students)
        self.by_id = {student.id: student for student in self.students}
        self._words = {student: _words(student.name) for student in self.students}
        self._marks = {student: _marks(student) for student in self.students}
        self._spelled: dict[str, list[Student]] = {}
        for student in self.students:
            for spelling in _spellings(student.name):
                self._spelled.setdefault(spelling, []).append(student)

    @classmethod
    def read(cls, path: Path) -> Roster:
        """Return the roster in a CSV file with the columns id and name, and perhaps email and file.

        Raises:
            ValueError: It cannot be read, or a row has an error; the message is one line that names the row.
        """
        students: dict[str, Student] = {}
        seen: dict[str, int] = {}
        for number, row in _rows(path, "roster", _roster_columns):
            if row.get("name", "").strip().startswith("Points Possible"):  # the second row of Canvas's gradebook
                continue
            student = _student(row)
            where = f"roster = {str(path)!r}, row {number}"
            for column, text in (("id", student.id), ("name", student.name)):
                if not text:
                    raise ValueError(f"{where}: {column} is empty")
            for column, text in (("id", student.id), ("email", student.email), ("login", student.login)):
                if text.startswith(FORMULA):
                    raise ValueError(f"{where}: {column} = {text!r}: must not begin like a formula of a spreadsheet")
            if student.id in students:
                raise ValueError(f"{where}: id = {student.id!r}: row {seen[student.id]} has it already")
            students[student.id], seen[student.id] = student, number
        if not students:
            raise ValueError(f"roster = {str(path)!r}: has no student")
        return cls(students.values())

    def match(self, name: str) -> Match:
        """Return whose submission has a file name.

        The first of these that says somebody decides: the column file of the roster; the number or name that Canvas or
        Moodle put in front; else a number, login or e-mail address within the name; else a student's full name.

        Args:
            name: The name of a folder or zip, with its ending.

        Example:
            >>> roster = Roster([Student("s1001", "Ann Lee"), Student("s1002", "Bo Ek", canvas="52")])
            >>> str(roster.match("ek_LATE_52_990_work.zip").student), roster.match("work.zip").problem
            ('Bo Ek (s1002)', 'no student of the roster is named in it')
        """
        stem = re.sub(r"\.zip$", "", name, flags=re.IGNORECASE)
        if owners := [each for each in self.students if each.file and _fits(name, stem, each.file)]:
            return _one(owners, "the column file of the roster")
        if found := _MOODLE.fullmatch(name):
            return self._by_name(found["name"], whole=True)
        if found := _CANVAS.fullmatch(name):
            owners = [each for each in self.students if each.canvas == found["user"]]
            return _one(owners, "its number") if owners else self._by_name(found["name"], whole=True)
        named = self._by_name(stem, whole=False)
        folded = stem.casefold()
        owners = [student for student, marks in self._marks.items() if any(_has(folded, mark) for mark in marks)]
        if not owners:
            return named
        numbered = _one(owners, "a number in it")
        if numbered.student and named.student and numbered.student != named.student:
            return Match(None, f"it has the number of {numbered.student} and the name of {named.student}")
        return numbered

    def _by_name(self, text: str, whole: bool) -> Match:
        """Return whose full name a text is; or, unless it must be the whole text, whose name is in it."""
        owners = self._spelled.get(_letters(text), [])
        if not owners and not whole:
            words = _words(text)
            owners = [student for student, name in self._words.items() if len(name) > 1 and name <= words]
        return _one(owners, "the name")


def is_late(name: str) -> bool:
    """Return whether Canvas marked a file as late."""
    found = _CANVAS.fullmatch(name)
    return bool(found and found["late"])


@dataclass(frozen=True)
class Adjustment:
    """What an instructor adds to the points of a submission."""

    where: str
    """The file and the row."""
    student: str = ""
    """The id of a student of the roster; empty if the row names a submission."""
    submission: str = ""
    """The name of a submission in the gradebook."""
    points: float | None = None
    """Points that are added, below 0 taken away; `None` if the cell is empty. With 0, who handed in nothing has 0."""
    late_days: float = 0.0
    comment: str = ""


def read_adjustments(path: Path) -> list[Adjustment]:
    """Return the rows of a CSV file with the columns id or submission, points, late_days and comment.

    Raises:
        ValueError: It cannot be read, or a row has an error; the message is one line that names the row.
    """
    adjustments: list[Adjustment] = []
    rows: dict[tuple[str, str], int] = {}
    for number, row in _rows(path, "adjust", _adjustment_columns):
        where = f"adjust = {str(path)!r}, row {number}"
        target = row.get("id", ""), row.get("submission", "")
        if bool(target[0]) == bool(target[1]):
            raise ValueError(f"{where}: must name either an id or a submission")
        if target in rows:
            raise ValueError(f"{where}: {target[0] or target[1]!r}: row {rows[target]} has it already")
        rows[target] = number
        points = _number(where, "points", row["points"], -math.inf) if row.get("points") else None
        late_days = _number(where, "late_days", row.get("late_days") or "0", 0)
        adjustments.append(Adjustment(where, *target, points, late_days, row.get("comment", "")))
    return adjustments


def _number(where: str, column: str, text: str, least: float) -> float:
    """Return the number in a cell."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < least:
        allowed = "a number" if least == -math.inf else f"a number, at least {least:g}"
        raise ValueError(f"{where}: {column} = {text!r}: must be {allowed}")
    return value


def _rows(
    path: Path, option: str, columns: Callable[[Sequence[str]], Mapping[str, int]]
) -> Iterable[tuple[int, dict[str, str]]]:
    """Yield the rows of a CSV file that have content, each with its number; the header is row 1.

    Args:
        path: The file, separated by commas, semicolons or tabs.
        option: The name of the option, for messages.
        columns: Returns where each column is, given the header; raises ValueError if one that is needed is missing.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{option} = {str(path)!r}: is not UTF-8; save it as CSV UTF-8") from None
    except OSError as error:
        raise ValueError(f"{option} = {str(path)!r}: {error.strerror or error}") from None
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    try:
        table = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise ValueError(f"{option} = {str(path)!r}: is not CSV: {error}") from None
    try:
        places = columns([" ".join(cell.split()).casefold() for cell in table[0]] if table else [])
    except ValueError as error:
        raise ValueError(f"{option} = {str(path)!r}, row 1: {error}") from None
    for number, cells in enumerate(table[1:], start=2):
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) > len(table[0]):
            message = f"has {counted(len(cells), 'cell')}, and the header has {len(table[0])}"
            raise ValueError(f"{option} = {str(path)!r}, row {number}: {message}")
        yield number, {name: cells[at].strip() for name, at in places.items() if at < len(cells)}


def _roster_columns(header: Sequence[str]) -> dict[str, int]:
    """Return where the columns of a roster are."""
    names = {name: at for at, name in reversed(list(enumerate(header)))}
    if "sis user id" in names or "sis login id" in names:  # in Canvas's own files the column ID is Canvas's number
        names["canvas id"] = names.pop("id", names.get("canvas id", -1))
        names = {name: at for name, at in names.items() if at >= 0}
    places = {
        what: next(names[known] for known in knowns if known in names)
        for what, knowns in _COLUMNS.items()
        if any(known in names for known in knowns)
    }
    if not {"id", "login", "canvas"} & places.keys():
        raise ValueError(_no_column("id", header))
    if "name" not in places and not {"first", "last"} <= places.keys():
        raise ValueError(_no_column("name", header))
    return places


def _no_column(what: str, header: Sequence[str]) -> str:
    """Return the message about a column that is missing, with the column that may be it under a misspelt name."""
    close = ((name, suggestion(name, _COLUMNS[what])) for name in header if name)
    meant = next((f"; column {printable(name)!r}{question}" for name, question in close if question), "")
    return f"there is no column {what}; it may be called {listed(_COLUMNS[what], 'or')}{meant}"


def _adjustment_columns(header: Sequence[str]) -> dict[str, int]:
    """Return where the columns of adjustments are."""
    for name in header:
        if name.replace(" ", "_") not in _ADJUSTMENTS:
            raise ValueError(not_a_choice("column", printable(name), _ADJUSTMENTS))
    places = {name.replace(" ", "_"): at for at, name in enumerate(header)}
    if not {"id", "submission"} & places.keys():
        raise ValueError("there is no column id, and none submission")
    return places


def _student(row: Mapping[str, str]) -> Student:
    """Return the student in a row of a roster."""
    name = row.get("name") or f"{row.get('first', '')} {row.get('last', '')}".strip()
    number = row.get("id") or row.get("login") or row.get("canvas") or ""
    others = {field: row.get(field, "") for field in ("email", "login", "section", "canvas", "file")}
    return Student(number, " ".join(name.split()), **others)


def _fits(name: str, stem: str, pattern: str) -> bool:
    """Return whether a name, with or without its ending, fits a pattern; capitals do not matter."""
    return any(fnmatch.fnmatchcase(each.casefold(), pattern.casefold()) for each in (name, stem))


def _one(owners: Sequence[Student], what: str) -> Match:
    """Return the only owner; nobody if there are several or none."""
    if len(owners) == 1:
        return Match(owners[0])
    if not owners:
        return Match(None, "no student of the roster is named in it")
    several = listed([str(owner) for owner in owners[:5]]) + (" and more" if len(owners) > 5 else "")
    return Match(None, f"{what} fits {several}")


def _marks(student: Student) -> list[str]:
    """Return the number, login and e-mail address of a student in small letters."""
    return [mark.casefold() for mark in (student.id, student.login, student.email) if mark]


def _has(folded: str, mark: str) -> bool:
    """Return whether a name in small letters has a mark of a student as a whole word."""
    if folded == mark:
        return True
    found = mark in folded and re.search(rf"(?<![^\W_]){re.escape(mark)}(?![^\W_])", folded)
    return len(mark) >= SHORTEST_ID and bool(found)


def _words(text: str) -> set[str]:
    """Return the words of a text without accents and capitals."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    return set(re.findall(r"[^\W_]+", "".join(char for char in plain if not unicodedata.combining(char))))


def _letters(text: str) -> str:
    """Return the letters and digits of a text without accents and capitals."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    return "".join(char for char in plain if char.isalnum())


def _spellings(name: str) -> set[str]:
    """Return the letters of a full name in the orders that systems write it: first name first, and last name first.

    Example:
        >>> sorted(_spellings("Lee, Ann Marie")), sorted(_spellings("Ann Marie Lee"))
        (['annmarielee', 'leeannmarie'], ['annmarielee', 'leeannmarie', 'marieleeann'])
    """
    last, comma, first = name.partition(",")
    if comma:
        return {_letters(last + first), _letters(first + last)} - {""}
    words = name.split()
    return {_letters("".join(words[at:] + words[:at])) for at in range(len(words))} - {""}
