"""Judge a model while it trains, and write down how it was made."""

from __future__ import annotations

import dataclasses
import platform
import subprocess
import time
from datetime import UTC, datetime
from importlib.metadata import version

import numpy as np

from autoscaler_env.paths import Folders, project_root
from autoscaler_env.policies.base import Policy
from autoscaler_env.rollouts import roll_out
from autoscaler_env.storage import save_description, write_atomically
from autoscaler_env.training.run import Trained, TrainingRun
from autoscaler_env.workloads import MIXED, PATTERNS, Workload, as_workload, day_seeds

SELECTION_DAYS = 20
"""Selection days of each pattern on which a model is judged while it trains."""

EVALUATIONS = 10
"""How often a model is judged, and a checkpoint kept, in the course of its training."""


class Judge:
    """Judges a policy on selection days as it trains; keeps the curve."""

    def __init__(self, run: TrainingRun) -> None:
        workload = as_workload(run.pattern, run.service)
        names: list[str | Workload] = list(PATTERNS) if run.pattern == MIXED else [workload]
        seeds = day_seeds("selection", SELECTION_DAYS)
        self._days = np.vstack([as_workload(name, run.service).draw(seeds) for name in names])
        self._service = run.service
        self._started = time.perf_counter()
        self._judging = 0.0
        self.rows: list[dict[str, float]] = []
        self.best = -np.inf

    def judge(self, policy: Policy, steps: int) -> bool:
        """Add a point to the curve; return whether the policy is the best so far."""
        begun = time.perf_counter()
        mean_return = -float(roll_out(policy, self._days, self._service).bill.sum(axis=1).mean())
        seconds = begun - self._started - self._judging
        self._judging += time.perf_counter() - begun
        self.rows.append({"steps": steps, "seconds": round(seconds, 3), "mean_return": round(mean_return, 3)})
        if steps == 0 or mean_return <= self.best:  # an untrained policy begins the curve; it is never the best
            return False
        self.best = mean_return
        return True


def finish(run: TrainingRun, folders: Folders, policy: Policy, judge: Judge, steps: int, device: str) -> Trained:
    """Write the learning curve and the model's description."""
    lines = [",".join(judge.rows[0])] + [",".join(str(value) for value in row.values()) for row in judge.rows]
    log = folders.logs / run.model_name / "selection.csv"
    write_atomically(log, lambda file: file.write(("\n".join(lines) + "\n").encode()))
    description = {
        "algorithm": run.algorithm,
        "pattern": run.pattern_name,
        "steps": steps,
        "seed": run.seed,
        "device": device,
        "preset": dataclasses.asdict(run.preset),
        "service": run.service.as_dict(),
        "command": run.command(),
        "date": datetime.now(UTC).date().isoformat(),
        "commit": _commit(),
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("numpy", "numba", "gymnasium", "stable-baselines3", "torch")},
        "curve": judge.rows,
    }
    save_description(run.model_path(folders), description)
    return Trained(policy, description)


def _commit() -> str | None:
    """Return the commit of the checkout; `None` outside one."""
    try:
        command = ["git", "rev-parse", "--short", "HEAD"]
        return subprocess.run(command, cwd=project_root(), capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
