"""Write what was found about a submission: JSON for programs, HTML for people."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import jinja2

from autoscaler_env.storage.files import write_atomically, write_json


@dataclass(frozen=True)
class Item:
    """What one notebook, exercise, model or bill earned."""

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
