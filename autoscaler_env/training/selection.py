"""Evaluate a model on selection days while it trains, and keep the learning curve."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.policies.base import Policy
from autoscaler_env.storage.models import is_described, load_policy
from autoscaler_env.traffic.patterns import MIXED, PATTERNS, Workload, as_workload, day_seeds
from autoscaler_env.training.config import TrainingConfig

SELECTION_DAYS = 20
"""Selection days of each pattern on which a model is evaluated while it trains."""

EVALUATIONS = 10
"""Number of evaluations during a training."""


class SelectionEvaluator:
    """Evaluates a policy on selection days as it trains, and keeps the learning curve.

    Args:
        config: The training; on MIXED, the selection days are those of all six patterns.
    """

    def __init__(self, config: TrainingConfig) -> None:
        workload = as_workload(config.pattern, config.service)
        workloads: list[str | Workload] = list(PATTERNS) if config.pattern == MIXED else [workload]
        seeds = day_seeds("selection", SELECTION_DAYS)
        self._days = np.vstack([as_workload(each, config.service).draw(seeds) for each in workloads])
        self._service = config.service
        self._start = time.perf_counter()
        self._evaluating = 0.0
        self.curve: list[dict[str, float]] = []
        """The learning curve: timesteps, seconds of training, mean return in dollars a day."""
        self.best = -np.inf
        """Mean return of the best model, dollars a day."""

    def evaluate(self, policy: Policy, timesteps: int) -> bool:
        """Add a point to the learning curve; return whether the policy is the best so far."""
        start = time.perf_counter()
        mean_return = self._mean_return(policy)
        seconds = start - self._start - self._evaluating
        self._evaluating += time.perf_counter() - start
        self.curve.append({"timesteps": timesteps, "seconds": round(seconds, 3), "mean_return": round(mean_return, 3)})
        if timesteps == 0 or mean_return <= self.best:  # the untrained policy starts the curve; it is never the best
            return False
        self.best = mean_return
        return True

    def summary(self, timesteps: int) -> dict[str, Any]:
        """Return the result after some timesteps, and the best result so far, for the model's description.

        Args:
            timesteps: Timesteps; if the model was not evaluated then, its mean return is `None`.
        """
        returns = {point["timesteps"]: point["mean_return"] for point in self.curve}
        best = max(self.curve[1:], key=lambda point: point["mean_return"], default=self.curve[0])
        return {
            "purpose": "selection",
            "days": len(self._days),
            "mean_return": returns.get(timesteps),
            "best_mean_return": best["mean_return"],
            "best_timesteps": best["timesteps"],
        }

    def state(self) -> dict[str, Any]:
        """Return the learning curve and the seconds of training so far, for `restore`."""
        return {"curve": self.curve, "seconds": time.perf_counter() - self._start - self._evaluating}

    def restore(self, state: dict[str, Any], best: Path) -> None:
        """Continue a learning curve.

        Args:
            state: What `state` returned.
            best: The best model so far. It may be newer than the state, so it is evaluated again: only a better model
                replaces it, unless it is damaged.
        """
        if best.exists():
            try:
                self.best = self._mean_return(load_policy(best, self._service))
                if not is_described(best):  # the run was killed between the two files: an equal model replaces both
                    self.best = np.nextafter(self.best, -np.inf)
            except ValueError as error:
                print(f"{error}; the next evaluated model replaces it.")
        self.curve = state["curve"]
        self._start, self._evaluating = time.perf_counter() - state["seconds"], 0.0

    def _mean_return(self, policy: Policy) -> float:
        return -float(simulate(policy, self._days, self._service).cost.sum(axis=1).mean())
