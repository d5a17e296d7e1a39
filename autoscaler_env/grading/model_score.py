"""Grade the models of a submission: does each work, and what does it cost?"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from autoscaler_env.policies.registry import MODEL_ENDINGS
from autoscaler_env.grading.bills import play, rule_bill
from autoscaler_env.grading.notebooks import one_line
from autoscaler_env.grading.report import Item
from autoscaler_env.grading.rubric import Rubric
from autoscaler_env.grading.submission import Submission
from autoscaler_env.verification.workers import Children
from autoscaler_env.verification.report import verify

VERIFY_SECONDS = 60
"""Time for the check of one file: more than `autoscaler verify` gives, as several submissions are graded at once."""


def grade_models(
    submission: Submission, rubric: Rubric, seed: int, own: Path
) -> tuple[tuple[Item, ...], tuple[Item, ...], dict[str, str]]:
    """Return an item per expected model for whether it works, one for its bill, and what shows copies.

    Args:
        submission: What was handed in.
        rubric: What earns points.
        seed: Which days the models are billed on.
        own: The folder of the models that the course ships.

    Returns:
        The two lists of items; by model, a hash of how it acts, but for those that act as the course's own.
    """
    files = _models(submission.folder / "models", rubric.models.expected)
    worth, billed = (rubric.worth(part, rubric.models.expected) for part in ("models", "bills"))
    models, bills = [], []
    acts: dict[str, str] = {}
    with Children() as children:
        for name in rubric.models.expected:
            works, state = ("not handed in", ""), ("not handed in", "")
            share = share_of_bill = 0.0
            if name in files:
                found = play(files[name], seed, rubric.bills.days)
                own_acts = set() if rubric.models.course_models else _own_acts(own, name, seed, rubric.bills.days)
                if found.get("acts") in own_acts:
                    works = "the course's own", "it acts exactly as the model that the course ships"
                    state = "the course's own", ""
                else:
                    acts |= {f"how {name} acts": found["acts"]} if "acts" in found else {}
                    works, share = _check(files[name], rubric, children)
                    state, share_of_bill = _bill(found, rubric, seed)
                    share_of_bill *= works[0] != "broken"
            models.append(Item(name, *works, share * worth[name], worth[name]))
            bills.append(Item(name, *state, share_of_bill * billed[name], billed[name]))
    return tuple(models), tuple(bills), acts


def _models(folder: Path, expected: tuple[str, ...]) -> dict[str, Path]:
    """Return the file of each expected model that is there."""
    paths = [folder / f"{name}{ending}" for name in expected for ending in MODEL_ENDINGS]
    return {path.stem: path for path in reversed(paths) if path.is_file()}


def _check(path: Path, rubric: Rubric, children: Children) -> tuple[tuple[str, str], float]:
    """Return what `verify` says of a file, and which share of the points that is."""
    (verdict,) = verify(path, progress=False, seconds=VERIFY_SECONDS, children=children)
    share = {"ok": 1.0, "poor": rubric.models.poor, "broken": 0.0}[verdict.status]
    return (verdict.status, one_line(verdict.reason)), share


def _bill(found: dict[str, Any], rubric: Rubric, seed: int) -> tuple[tuple[str, str], float]:
    """Return what a model's bill is, and which share of the points that earns."""
    if "error" in found:
        return ("no bill", one_line(found["error"])), 0.0
    zero, full = (rule_bill(rule, seed, rubric.bills.days) for rule in (rubric.bills.zero_at, rubric.bills.full_at))
    days = f"{rubric.bills.days} days of each pattern"
    told = f"{rubric.bills.zero_at} ${zero:.2f}, {rubric.bills.full_at} ${full:.2f}, on {days}"
    return (f"${found['bill']:.2f} a day", told), rubric.bills.share(found["bill"], zero, full)


@functools.cache
def _own_acts(own: Path, name: str, seed: int, days: int) -> set[str]:
    """Return how the course's own model of a name acts."""
    paths = [own / f"{name}{ending}" for ending in MODEL_ENDINGS]
    return {play(path, seed, days).get("acts", "") for path in paths if path.is_file()}
