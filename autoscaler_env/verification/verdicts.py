"""What was found about model files, and how it is told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pandas as pd

Status = Literal["ok", "poor", "broken"]
"""ok: works, and is cheaper than random and threshold. poor: works, but is not. broken: do not use it."""

Place = Literal["final", "best", "checkpoint", "other"]
"""Where a file lies: beside the others, in `best/`, in `checkpoints/`, or in another folder."""


@dataclass(frozen=True)
class Verdict:
    """What was found about one file."""

    file: str
    """Its path below the folder that was verified; what cannot be printed is escaped."""
    status: Status
    """ok, poor or broken."""
    reason: str
    """Why, in one line."""
    bill: float | None = None
    """Mean over the patterns, dollars a day; `None` where no day could be played."""
    random: float | None = None
    """The bill of random actions on the same days."""
    threshold: float | None = None
    """The bill of the threshold rule on the same days."""
    place: Place = "final"
    """final, best, checkpoint or other."""
    kind: str | None = None
    """What it is, as in `PPO 20-64-64-3` or `Q-table of 135 cells x 3 actions`; `None` if it could not be read."""
    slots: int | None = None
    """Slots it was trained for; `None` where nothing says so."""
    bills: dict[str, float] = field(default_factory=dict)
    """The bill on each pattern, dollars a day."""
    unused: tuple[int, ...] = ()
    """Fleet changes that it could ask for and never did on the test days, in instances."""
    notes: tuple[str, ...] = ()
    """What else should be known, a sentence each: of its `.json`, of actions it never takes."""


def overall(verdicts: Iterable[Verdict]) -> tuple[bool, str]:
    """Return whether there are files and none is broken, and say so in one line."""
    verdicts = list(verdicts)
    if not verdicts:
        return False, "FAIL: No model files found."
    broken = [verdict.file for verdict in verdicts if verdict.status == "broken"]
    finals = [verdict for verdict in verdicts if verdict.place == "final"]
    others = [verdict for verdict in verdicts if verdict.place != "final"]
    told = f"{len(verdicts)} model files; final: {_counted(finals)}; best, checkpoints and others: {_counted(others)}."
    if not broken:
        return True, f"PASS: {told}"
    named = ", ".join(broken[:3]) + (f" and {len(broken) - 3} more" if len(broken) > 3 else "")
    return False, f"FAIL: {told} Broken: {named}."


def _counted(verdicts: list[Verdict]) -> str:
    counts = {status: sum(verdict.status == status for verdict in verdicts) for status in ("ok", "poor", "broken")}
    return ", ".join(f"{count} {status}" for status, count in counts.items() if count) or "none"


def summary(verdicts: Iterable[Verdict]) -> str:
    """Return a table of the final models as text: a line each, so that they do not get lost among checkpoints."""
    finals = [verdict for verdict in verdicts if verdict.place == "final"]
    if not finals:
        return "No final models."
    rows: list[tuple[str, ...]] = [
        ("final model", "status", "what it is", "slots", "$ a day", "random", "threshold", "never asks for")
    ]
    for each in finals:
        money = ["" if bill is None else f"{bill:.2f}" for bill in (each.bill, each.random, each.threshold)]
        slots = "" if each.slots is None else f"{each.slots:,}"
        never = " ".join(f"{change:+d}" for change in each.unused)
        rows.append((_shortened(each.file), each.status, each.kind or "", slots, *money, never))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    aligned = ("<", "<", "<", ">", ">", ">", ">", "<")
    return "\n".join(
        "  ".join(f"{text:{side}{width}}" for text, side, width in zip(row, aligned, widths, strict=True)).rstrip()
        for row in rows
    )


def _shortened(name: str, most: int = 48) -> str:
    return name if len(name) <= most else f"{name[: most // 2 - 2]}...{name[1 - most // 2 :]}"


def as_table(verdicts: Iterable[Verdict]) -> pd.DataFrame:
    """Return the verdicts as a table, indexed by file."""
    import pandas

    columns = ["file", "place", "status", "kind", "slots", "bill", "random", "threshold", "reason"]
    table = pandas.DataFrame([vars(verdict) for verdict in verdicts], columns=columns).set_index("file")
    return table.astype({"slots": "Int64"})
