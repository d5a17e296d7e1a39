"""Grade the models of a submission: does each work, and what does it cost?

Play models on days that nobody has seen; a process of its own, since a model file may hold anything.

No notebook runs when this does, and no code of a model file is run. The days belong to the evaluation set, and which of
its 2**62 days they are is drawn when grading begins.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.grading.kernel import hold
from autoscaler_env.grading.notebooks import one_line
from autoscaler_env.grading.report import Item
from autoscaler_env.grading.rubric import Rubric
from autoscaler_env.grading.sandbox import MEGABYTE
from autoscaler_env.grading.submission import Submission
from autoscaler_env.policies.base import Policy
from autoscaler_env.policies.registry import MODEL_ENDINGS
from autoscaler_env.policies.rules import RULES
from autoscaler_env.service import Service
from autoscaler_env.traffic.patterns import PATTERNS, Pattern, day_seeds
from autoscaler_env.verification.report import verify
from autoscaler_env.verification.workers import Children

SECONDS = 300
"""Time for one model file."""

MEMORY_MB = 4_096
"""Memory for one model file."""


def play(model: Path, seed: int, days: int) -> dict[str, Any]:
    """Return what a model costs on secret days, in a process with limits.

    Args:
        model: The file.
        seed: Which days, from 0 to 2**61 - 1.
        days: How many of each pattern.

    Returns:
        `cost` (mean over the patterns, dollars a day) and `acts` (a hash of the costs of all days: equal for models
        that act alike), or `error`, one line.
    """
    job = {"model": str(model), "seed": seed, "days": days}
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "autoscaler_env.grading.model_score"],
            input=json.dumps(job),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            env=dict(os.environ) | {"OMP_NUM_THREADS": "1"},
            check=False,
        )
        found: dict[str, Any] = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        return {"error": f"it took longer than {SECONDS} s"}
    except ValueError:
        return {"error": f"what plays it ended (exit status {done.returncode})"}
    return found


@functools.cache
def rule_cost(rule: str, seed: int, days: int) -> float:
    """Return what a rule costs on the same days, dollars a day."""
    return float(_costs(RULES[rule](Service()), seed, days).mean())


def _costs(policy: Policy, seed: int, days: int) -> np.ndarray:
    """Return the cost of every day, dollars, the patterns one after the other."""
    service = Service()
    seeds = day_seeds("evaluation", days, first=seed)
    drawn = np.vstack([Pattern(name, service).draw(seeds) for name in PATTERNS])
    costs: np.ndarray = simulate(policy, drawn, service).cost.sum(axis=1)
    return costs


def main() -> None:
    """Read a job from standard input; write what was found to standard output."""
    hold({"RLIMIT_DATA": MEMORY_MB * MEGABYTE, "RLIMIT_CPU": SECONDS, "RLIMIT_CORE": 0})
    from autoscaler_env.storage.models import load_policy

    job = json.load(sys.stdin)
    try:
        costs = _costs(load_policy(Path(job["model"])), job["seed"], job["days"])
        acts = hashlib.sha256(costs.round(6).tobytes()).hexdigest()
        found: dict[str, Any] = {"cost": float(costs.mean()), "acts": acts}
    except Exception as error:  # a file may hold anything
        found = {"error": " ".join(str(error).split()).removeprefix(f"{job['model']}: ") or type(error).__name__}
    print(json.dumps(found))


if __name__ == "__main__":
    main()


VERIFY_SECONDS = 60
"""Time for the check of one file: more than `autoscaler verify` gives, as several submissions are graded at once."""


def grade_models(
    submission: Submission, rubric: Rubric, seed: int, own: Path
) -> tuple[tuple[Item, ...], tuple[Item, ...], dict[str, str]]:
    """Return an item per expected model for whether it works, one for its cost, and what shows copies.

    Args:
        submission: What was handed in.
        rubric: What earns points.
        seed: Which days the models are charged on.
        own: The folder of the models that the course ships.

    Returns:
        The two lists of items; by model, a hash of how it acts, but for those that act as the course's own.
    """
    files = _models(submission.folder / "models", rubric.models.expected)
    worth, charged = (rubric.worth(part, rubric.models.expected) for part in ("models", "costs"))
    models, costs = [], []
    acts: dict[str, str] = {}
    with Children() as children:
        for name in rubric.models.expected:
            works, state = ("not handed in", ""), ("not handed in", "")
            share = share_of_cost = 0.0
            if name in files:
                found = play(files[name], seed, rubric.costs.days)
                own_acts = set() if rubric.models.course_models else _own_acts(own, name, seed, rubric.costs.days)
                if found.get("acts") in own_acts:
                    works = "the course's own", "it acts exactly as the model that the course ships"
                    state = "the course's own", ""
                else:
                    acts |= {f"how {name} acts": found["acts"]} if "acts" in found else {}
                    works, share = _check(files[name], rubric, children)
                    state, share_of_cost = _cost(found, rubric, seed)
                    share_of_cost *= works[0] != "broken"
            models.append(Item(name, *works, share * worth[name], worth[name]))
            costs.append(Item(name, *state, share_of_cost * charged[name], charged[name]))
    return tuple(models), tuple(costs), acts


def _models(folder: Path, expected: tuple[str, ...]) -> dict[str, Path]:
    """Return the file of each expected model that is there."""
    paths = [folder / f"{name}{ending}" for name in expected for ending in MODEL_ENDINGS]
    return {path.stem: path for path in reversed(paths) if path.is_file()}


def _check(path: Path, rubric: Rubric, children: Children) -> tuple[tuple[str, str], float]:
    """Return what `verify` says of a file, and which share of the points that is."""
    (verdict,) = verify(path, progress=False, seconds=VERIFY_SECONDS, children=children)
    share = {"ok": 1.0, "poor": rubric.models.poor, "broken": 0.0}[verdict.status]
    return (verdict.status, one_line(verdict.reason)), share


def _cost(found: dict[str, Any], rubric: Rubric, seed: int) -> tuple[tuple[str, str], float]:
    """Return what a model's cost is, and which share of the points that earns."""
    if "error" in found:
        return ("no cost", one_line(found["error"])), 0.0
    zero, full = (rule_cost(rule, seed, rubric.costs.days) for rule in (rubric.costs.zero_at, rubric.costs.full_at))
    days = f"{rubric.costs.days} days of each pattern"
    told = f"{rubric.costs.zero_at} ${zero:.2f}, {rubric.costs.full_at} ${full:.2f}, on {days}"
    return (f"${found['cost']:.2f} a day", told), rubric.costs.share(found["cost"], zero, full)


@functools.cache
def _own_acts(own: Path, name: str, seed: int, days: int) -> set[str]:
    """Return how the course's own model of a name acts."""
    paths = [own / f"{name}{ending}" for ending in MODEL_ENDINGS]
    return {play(path, seed, days).get("acts", "") for path in paths if path.is_file()}
