"""Reports of submissions as JSON and HTML, and the similarity of submissions."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import jinja2

from autoscaler_env.storage.files import write_atomically, write_json

UNREACHED = ("not reached", "not submitted")
"""States that many exercises have for one reason."""

MAX_NAMES = 5
"""Other submissions that a similarity warning names. If an answer is a number, half a class may submit the same."""


@dataclass(frozen=True)
class Item:
    """The result of one notebook, exercise, model or cost."""

    name: str
    state: str
    """The result in a word or two."""
    reason: str
    """Why, or how much; one line, possibly with words from the submission."""
    points: float
    of: float
    """The points that it could earn."""
    title: str = ""
    """What an exercise asks for, in a sentence."""
    answer: str = ""
    """What a student answered; one line, with words from the submission."""


@dataclass(frozen=True)
class Failure:
    """A cell of a submission that ended in an error; its texts come from the submission."""

    notebook: str
    source: str
    traceback: str


@dataclass(frozen=True)
class Report:
    """The results of one submission."""

    name: str
    source: str
    """The path of the submission."""
    key: dict[str, str]
    """What the results depend on: a submission with the same key is not graded again. Empty if grading failed."""
    sandbox: str
    """The sandbox that was used."""
    profile: str
    parts: dict[str, tuple[Item, ...]] = field(default_factory=dict)
    """Items by part, in the order of the rubric."""
    notes: tuple[str, ...] = ()
    """Other facts that a person should know."""
    fingerprints: dict[str, str] = field(default_factory=dict)
    """Hashes of what a student could copy, by name: files and the actions of models, without what the course gave."""
    unused: tuple[tuple[str, str], ...] = ()
    """The paths in the submission that were not used, each with the reason."""
    failures: tuple[Failure, ...] = ()
    """The cells that failed."""

    def points(self, part: str | None = None) -> float:
        """Return the points of one part, or of all parts."""
        earned = (item.points for name, items in self.parts.items() if part in (None, name) for item in items)
        return round(sum(earned), 6)  # the sum of three thirds is slightly less than one

    def of(self, part: str | None = None) -> float:
        """Return the points that one part, or all parts, could earn."""
        possible = (item.of for name, items in self.parts.items() if part in (None, name) for item in items)
        return round(sum(possible), 6)


def write_report(report: Report, folder: Path) -> None:
    """Write `report.json` and `report.html`."""
    lines = {part: list(_lines(items)) for part, items in report.parts.items()}
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(
        Path(__file__).with_name("report.html").read_text(encoding="utf-8")
    )
    html = template.render(report=report, lines=lines)
    write_atomically(folder / "report.html", lambda file: file.write(html.encode(errors="backslashreplace")))
    content = {"points": report.points(), "of": report.of()} | asdict(report)
    write_json(folder / "report.json", content | {"sha256": _digest(content)})  # last: then the report is complete


def _digest(content: dict[str, Any]) -> str:
    """Return a hash of a report, which shows that it was damaged or edited."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _lines(items: Sequence[Item]) -> Iterator[Item]:
    """Yield items, neighbours that were not reached for one reason as one."""
    for (state, reason), group in itertools.groupby(items, key=lambda item: (item.state, item.reason)):
        same = list(group)
        if state not in UNREACHED or len(same) == 1:
            yield from same
            continue
        name = f"{same[0].name} to {same[-1].name}"
        yield Item(name, state, reason, sum(item.points for item in same), sum(item.of for item in same))


def read_report(folder: Path) -> Report | None:
    """Return the report in a folder; `None` if there is none, or it is not as it was written."""
    try:
        content = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        if content.pop("sha256") != _digest(content):
            return None
        for total in ("points", "of"):
            del content[total]
        content["parts"] = {part: tuple(Item(**item) for item in items) for part, items in content["parts"].items()}
        lists = {"notes": tuple(content["notes"]), "unused": tuple(map(tuple, content["unused"]))}
        lists["failures"] = tuple(Failure(**failure) for failure in content["failures"])
        return Report(**content | lists)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def find_similarities(reports: Sequence[Report]) -> dict[str, list[str]]:
    """Return, by submission, what it has in common with others; one line for each set of others.

    What the course itself gave does not count.
    """
    owners: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for report in reports:
        for what, fingerprint in report.fingerprints.items():
            owners[fingerprint].append((report.name, what))
    shared: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for holders in owners.values():
        for name, what in holders:
            others = sorted({other for other, _ in holders if other != name})
            if others:
                more = f" and {len(others) - MAX_NAMES} more" if len(others) > MAX_NAMES else ""
                shared[name][f"{', '.join(others[:MAX_NAMES])}{more}"].append(what)
    return {
        name: [f"{', '.join(items)} as in {others}" for others, items in by_others.items()]
        for name, by_others in shared.items()
    }
