"""Play models on days that nobody has seen; a process of its own, since a model file may hold anything.

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

from autoscaler_env.grading.kernel import hold
from autoscaler_env.grading.limits import MEGABYTE
from autoscaler_env.policies.base import Policy
from autoscaler_env.policies.rules import RULES
from autoscaler_env.evaluation.metrics.simulation import roll_out
from autoscaler_env.service import Service
from autoscaler_env.traffic.patterns import PATTERNS, Pattern, day_seeds

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
        `bill` (mean over the patterns, dollars a day) and `acts` (a hash of the bills of all days: equal for models
        that act alike), or `error`, one line.
    """
    job = {"model": str(model), "seed": seed, "days": days}
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "autoscaler_env.grading.bills"],
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
def rule_bill(rule: str, seed: int, days: int) -> float:
    """Return what a rule costs on the same days, dollars a day."""
    return float(_bills(RULES[rule](Service()), seed, days).mean())


def _bills(policy: Policy, seed: int, days: int) -> np.ndarray:
    """Return the bill of every day, dollars, the patterns one after the other."""
    service = Service()
    seeds = day_seeds("evaluation", days, first=seed)
    drawn = np.vstack([Pattern(name, service).draw(seeds) for name in PATTERNS])
    bills: np.ndarray = roll_out(policy, drawn, service).bill.sum(axis=1)
    return bills


def main() -> None:
    """Read a job from standard input; write what was found to standard output."""
    hold({"RLIMIT_DATA": MEMORY_MB * MEGABYTE, "RLIMIT_CPU": SECONDS, "RLIMIT_CORE": 0})
    from autoscaler_env.storage.models import load_policy

    job = json.load(sys.stdin)
    try:
        bills = _bills(load_policy(Path(job["model"])), job["seed"], job["days"])
        acts = hashlib.sha256(bills.round(6).tobytes()).hexdigest()
        found: dict[str, Any] = {"bill": float(bills.mean()), "acts": acts}
    except Exception as error:  # a file may hold anything
        found = {"error": " ".join(str(error).split()).removeprefix(f"{job['model']}: ") or type(error).__name__}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
