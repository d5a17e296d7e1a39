"""Grade the models of a submission: does each work, and what does it cost?"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from autoscaler_env.catalog import MODEL_ENDINGS
from autoscaler_env.grading.bills import play, rule_bill
from autoscaler_env.grading.handin import one_line
from autoscaler_env.grading.report import Item
from autoscaler_env.grading.rubric import Rubric
from autoscaler_env.grading.submission import Submission

VERIFY_SECONDS = 300
"""Time for `autoscaler verify` on the models of one submission."""


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
    verdicts = _verify(submission.folder / "models") if files else {}
    worth, billed = (rubric.worth(part, rubric.models.expected) for part in ("models", "bills"))
    models, bills, acts = [], [], {}
    for name in rubric.models.expected:
        of, of_bill = worth[name], billed[name]
        path = files.get(name)
        if path is None:
            models.append(Item(name, "not handed in", "", 0, of))
            bills.append(Item(name, "not handed in", "", 0, of_bill))
            continue
        found = play(path, seed, rubric.bills.days)
        if "acts" in found:
            if not rubric.models.course_models and found["acts"] in _own_acts(own, name, seed, rubric.bills.days):
                reason = "it acts exactly as the model that the course ships"
                models.append(Item(name, "the course's own", reason, 0, of))
                bills.append(Item(name, "the course's own", "", 0, of_bill))
                continue
            acts[f"how {name} acts"] = found["acts"]
        verdict = verdicts.get(path.name, {"status": "broken", "reason": "autoscaler verify says nothing about it"})
        share = {"ok": 1.0, "poor": rubric.models.poor}.get(verdict["status"], 0.0)
        models.append(Item(name, verdict["status"], one_line(verdict["reason"]), share * of, of))
        bills.append(_bill(name, found, rubric, seed, of_bill))
    return tuple(models), tuple(bills), acts


def _models(folder: Path, expected: tuple[str, ...]) -> dict[str, Path]:
    """Return the file of each expected model that is there."""
    paths = [folder / f"{name}{ending}" for name in expected for ending in MODEL_ENDINGS]
    return {path.stem: path for path in reversed(paths) if path.is_file()}


def _bill(name: str, found: dict[str, Any], rubric: Rubric, seed: int, of: float) -> Item:
    """Return what a model's bill earns."""
    if "error" in found:
        return Item(name, "no bill", one_line(found["error"]), 0, of)
    zero, full = (rule_bill(rule, seed, rubric.bills.days) for rule in (rubric.bills.zero_at, rubric.bills.full_at))
    share = rubric.bills.share(found["bill"], zero, full)
    reason = f"{rubric.bills.zero_at} ${zero:.2f}, {rubric.bills.full_at} ${full:.2f}, {rubric.bills.days} days each"
    return Item(name, f"${found['bill']:.2f} a day", reason, share * of, of)


@functools.cache
def _own_acts(own: Path, name: str, seed: int, days: int) -> set[str]:
    """Return how the course's own model of a name acts."""
    paths = [own / f"{name}{ending}" for ending in MODEL_ENDINGS]
    return {play(path, seed, days).get("acts", "") for path in paths if path.is_file()}


def _verify(folder: Path) -> dict[str, dict[str, str]]:
    """Return what `autoscaler verify` says about each file, in a process of its own; nothing where it gives up."""
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "autoscaler_env.cli", "verify", str(folder), "--json"],
            capture_output=True,
            text=True,
            timeout=VERIFY_SECONDS,
            env=dict(os.environ) | {"OMP_NUM_THREADS": "1"},
            check=False,
        )
        return {verdict["file"]: verdict for verdict in json.loads(done.stdout)["files"]}
    except (subprocess.TimeoutExpired, ValueError, KeyError, TypeError):
        return {}
