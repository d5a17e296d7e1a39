"""Write what was found about a submission: JSON for programs, HTML for people.

Tell which files of submissions are the same, a copy with other comments too.

Write the points of many submissions as a table, and say which of them hold the same.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import jinja2

from autoscaler_env.grading.notebooks import read_cells
from autoscaler_env.grading.rubric import PARTS
from autoscaler_env.storage.files import write_atomically, write_json


def prints(files: Mapping[str, Path], given: Iterable[Path]) -> dict[str, str]:
    """Return a hash of what each file of a submission holds, by its name there.

    Of a notebook it is a hash of what its code does: comments, layout, texts and outputs do not count.

    Args:
        files: The submission's files by name. Descriptions of models, `.json`, are passed over.
        given: The files of the course itself. What a submission holds unchanged is left out.
    """
    own = {path.name: _print(path) for path in given}
    found = {name: _print(path) for name, path in files.items() if not name.endswith(".json")}
    return {name: print_ for name, print_ in found.items() if own.get(Path(name).name) != print_}


def _print(path: Path) -> str:
    content = path.read_bytes()
    if path.suffix == ".ipynb":
        with contextlib.suppress(ValueError):
            content = json.dumps([does for cell in read_cells(content) if (does := cell.does)]).encode()
    return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True)
class Item:
    """What one notebook, exercise, model or cost earned."""

    name: str
    state: str
    """What became of it, in a word or two."""
    reason: str
    """Why, or how much; one line, possibly with words of the submission."""
    points: float
    of: float
    """What it could have earned."""


@dataclass(frozen=True)
class Report:
    """What was found about one submission."""

    name: str
    source: str
    """Where it was handed in."""
    key: dict[str, str]
    """What it depends on: with the same, it need not be made again. Empty where grading failed."""
    wall: str
    """Which wall was in force."""
    profile: str
    parts: dict[str, tuple[Item, ...]] = field(default_factory=dict)
    """Items by part, in the rubric's order."""
    notes: tuple[str, ...] = ()
    """What a person should know besides."""
    prints: dict[str, str] = field(default_factory=dict)
    """Hashes of what may be a copy: files, and how models act; not what the course gave."""

    def points(self, part: str | None = None) -> float:
        """Return the points of one part, or of all."""
        earned = (item.points for name, items in self.parts.items() if part in (None, name) for item in items)
        return round(sum(earned), 6)  # thirds add up to a hair less than one

    def of(self, part: str | None = None) -> float:
        """Return what could have been earned in one part, or in all."""
        most = (item.of for name, items in self.parts.items() if part in (None, name) for item in items)
        return round(sum(most), 6)


def write_report(report: Report, folder: Path) -> None:
    """Write `report.json` and `report.html`."""
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(
        Path(__file__).with_name("report.html").read_text(encoding="utf-8")
    )
    html = template.render(report=report)
    write_atomically(folder / "report.html", lambda file: file.write(html.encode(errors="backslashreplace")))
    totals = {"points": report.points(), "of": report.of()}
    write_json(folder / "report.json", totals | asdict(report))  # last: it says that all is there


def read_report(folder: Path) -> Report | None:
    """Return the report in a folder; `None` where there is none, or none that can be read."""
    try:
        content = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        for total in ("points", "of"):
            del content[total]
        content["parts"] = {part: tuple(Item(**item) for item in items) for part, items in content["parts"].items()}
        return Report(**content | {"notes": tuple(content["notes"])})
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


MOST_NAMED = 5
"""Other submissions that a warning names: where an answer is a number, half a class may have handed in the same."""


def identical(reports: Sequence[Report]) -> dict[str, list[str]]:
    """Return, by submission, what it holds that others hold too; a line for each set of others.

    What the course itself gave does not count.
    """
    owners: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for report in reports:
        for what, print_ in report.prints.items():
            owners[print_].append((report.name, what))
    shared: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for holders in owners.values():
        for name, what in holders:
            others = sorted({other for other, _ in holders if other != name})
            if others:
                more = f" and {len(others) - MOST_NAMED} more" if len(others) > MOST_NAMED else ""
                shared[name][f"{', '.join(others[:MOST_NAMED])}{more}"].append(what)
    return {
        name: [f"{', '.join(held)} as in {others}" for others, held in by_others.items()]
        for name, by_others in shared.items()
    }


def write_gradebook(reports: Sequence[Report], path: Path) -> None:
    """Write a row per submission: points in all and by part, what could be earned, warnings, notes.

    A text that a spreadsheet would take for a formula gets an apostrophe before it.
    """
    warnings = identical(reports)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["submission", "points", "of", *PARTS, "identical", "notes"])
    for report in reports:
        points = [f"{report.points(part):.2f}" for part in PARTS]
        said = ["; ".join(warnings.get(report.name, [])), "; ".join(report.notes)]
        row = [report.name, f"{report.points():.2f}", f"{report.of():.2f}", *points, *said]
        table.writerow([f"'{cell}" if cell.startswith(("=", "+", "-", "@")) else cell for cell in row])
    write_atomically(path, lambda file: file.write(text.getvalue().encode(errors="backslashreplace")))
