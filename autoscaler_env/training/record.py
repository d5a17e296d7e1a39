"""Judge a model while it trains, and write down how it was made."""

from __future__ import annotations

import functools
import hashlib
import platform
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from autoscaler_env.paths import Folders, project_root
from autoscaler_env.policies.base import Policy
from autoscaler_env.evaluation.metrics.simulation import roll_out
from autoscaler_env.storage.descriptions import fits, read_description, save_description
from autoscaler_env.storage.models import load_policy
from autoscaler_env.storage.files import write_text
from autoscaler_env.training.config import Trained, TrainingRun
from autoscaler_env.training.checkpoint import identity, versions
from autoscaler_env.traffic.patterns import MIXED, PATTERNS, Workload, as_workload, day_seeds

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
        self._began = time.perf_counter()
        self._judging = 0.0
        self.rows: list[dict[str, float]] = []
        self.best = -np.inf
        """Mean return of the best model, dollars a day."""

    def judge(self, policy: Policy, steps: int) -> bool:
        """Add a point to the curve; return whether the policy is the best so far."""
        begun = time.perf_counter()
        mean_return = self._mean_return(policy)
        seconds = begun - self._began - self._judging
        self._judging += time.perf_counter() - begun
        self.rows.append({"steps": steps, "seconds": round(seconds, 3), "mean_return": round(mean_return, 3)})
        if steps == 0 or mean_return <= self.best:  # an untrained policy begins the curve; it is never the best
            return False
        self.best = mean_return
        return True

    def state(self) -> dict[str, Any]:
        """Return the curve, and the seconds that training has taken, for `restore`."""
        return {"rows": self.rows, "seconds": time.perf_counter() - self._began - self._judging}

    def restore(self, state: dict[str, Any], best: Path) -> None:
        """Go on with a curve.

        Args:
            state: What `state` returned.
            best: The best model so far. It may have been found after the state was saved, so it is judged again: only
                a better one replaces it, unless it is damaged.
        """
        if best.exists():
            try:
                self.best = self._mean_return(load_policy(best, self._service))
                if not is_described(best):  # killed between the two files: found again, it is written again
                    self.best = np.nextafter(self.best, -np.inf)
            except ValueError as error:
                print(f"{error}; the next one judged replaces it.")
        self.rows = state["rows"]
        self._began, self._judging = time.perf_counter() - state["seconds"], 0.0

    def evaluation(self, steps: int) -> dict[str, Any]:
        """Return how the model did on selection days after some slots, and the best so far, as descriptions hold it.

        Args:
            steps: Slots of training; where it was not judged then, its return is `None`.
        """
        judged = {row["steps"]: row["mean_return"] for row in self.rows}
        best = max(self.rows[1:], key=lambda row: row["mean_return"], default=self.rows[0])
        return {
            "purpose": "selection",
            "days": len(self._days),
            "mean_return": judged.get(steps),
            "best_mean_return": best["mean_return"],
            "best_steps": best["steps"],
        }

    def _mean_return(self, policy: Policy) -> float:
        return -float(roll_out(policy, self._days, self._service).bill.sum(axis=1).mean())


def describe(path: Path, run: TrainingRun, judge: Judge, steps: int, device: str) -> dict[str, Any]:
    """Write beside a model how it was made, with the hash of its file; return it.

    Args:
        path: The model.
        run: What it was trained by.
        judge: Knows how it does on selection days.
        steps: Slots that it was trained for.
        device: Where.
    """
    description = identity(run) | {
        "budget": {"slots": run.slots},
        "steps": steps,
        "device": device,
        "command": run.command(),
        "date": datetime.now(UTC).date().isoformat(),
        "commit": _commit(),
        "versions": {"python": platform.python_version()} | versions(),
        "evaluation": judge.evaluation(steps),
        "curve": judge.rows,
    }
    save_description(path, description)
    return description


def is_described(path: Path) -> bool:
    """Return whether what stands beside a model is of the file that lies there.

    Raises:
        ValueError: Something stands there that is no description.
    """
    return fits(read_description(path) or {}, hashlib.sha256(path.read_bytes()).hexdigest())


def finish(run: TrainingRun, folders: Folders, policy: Policy, judge: Judge, steps: int, device: str) -> Trained:
    """Write the learning curve and the final model's description."""
    lines = [",".join(judge.rows[0])] + [",".join(str(value) for value in row.values()) for row in judge.rows]
    log = folders.logs / run.model_name / "selection.csv"
    write_text(log, "\n".join(lines) + "\n")
    return Trained(policy, describe(run.model_path(folders), run, judge, steps, device))


@functools.cache
def _commit() -> str | None:
    """Return the commit of the checkout; `None` outside one."""
    try:
        command = ["git", "rev-parse", "--short", "HEAD"]
        return subprocess.run(command, cwd=project_root(), capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
