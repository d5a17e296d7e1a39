"""Write the points of many submissions as a table, and say which of them hold the same."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from autoscaler_env.grading.report import Report
from autoscaler_env.grading.rubric import PARTS
from autoscaler_env.storage.files import write_atomically

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
