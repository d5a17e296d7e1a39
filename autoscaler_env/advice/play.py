"""Play a user's days with a policy, one running into the next, and find the cheapest setting of a rule on them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.advice.rule_grids import Family
from autoscaler_env.policies.base import Policy
from autoscaler_env.evaluation.metrics.simulation import Rollout, roll_out
from autoscaler_env.service import Service

LONGEST = 86_400
"""Slots that can be played in one piece."""

_CELLS = 4_000_000  # slots of all services that are played side by side: what fits into a few hundred megabytes


class EachDay:
    """A policy that forgets the past at midnight, as a learner does that was trained on single days.

    Args:
        policy: The policy.
        slots: Slots of a day.
    """

    def __init__(self, policy: Policy, slots: int) -> None:
        self.name = policy.name
        self._policy, self._slots = policy, slots
        self._days = np.empty((0, 0), dtype=np.int64)
        self._slot = 0

    def reset(self, days: NDArray[np.int64]) -> None:
        """Prepare for days in a row, shape (n, days x slots)."""
        self._days, self._slot = days, 0

    def predict(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the policy's actions, shape (n,)."""
        if self._slot % self._slots == 0:
            self._policy.reset(self._days[:, self._slot : self._slot + self._slots])
        self._slot += 1
        return self._policy.predict(observations)


def play_through(policy: Policy, days: NDArray[np.int64], service: Service) -> Rollout:
    """Let a policy scale a service through days in a row: fleet and queue go over midnight as they are.

    Args:
        policy: Starts with `initial_instances` on the first day.
        days: Arrivals, shape (n, slots).
        service: Its episode is a day.

    Returns:
        One row that holds all slots, shape (1, n x slots); `by_day` cuts it again.

    Raises:
        ValueError: There are more slots than can be played in one piece.
    """
    if days.size > LONGEST:
        raise ValueError(
            f"{len(days):,} days of {days.shape[1]:,} slots are {days.size:,} slots; at most {LONGEST:,} can be played "
            "in one piece: set slot_seconds to several times what it is, such as 300, and counts are added up"
        )
    return roll_out(policy, days.reshape(1, -1), dataclasses.replace(service, slots_per_episode=days.size))


def by_day(rollout: Rollout, service: Service) -> Rollout:
    """Return days in a row as a row for each day, shape (n, slots)."""
    rows = {
        field.name: getattr(rollout, field.name).reshape(-1, service.slots_per_episode)
        for field in dataclasses.fields(rollout)
        if field.name != "service"
    }
    return Rollout(service, **rows)


def calibrate_family(family: Family, days: NDArray[np.int64], service: Service) -> tuple[dict[str, float], float]:
    """Find the cheapest setting of a rule on days in a row: on its grid, and then in fine steps about the best.

    Args:
        family: The kind of rule.
        days: Arrivals, shape (n, slots).
        service: Its episode is a day.

    Returns:
        The setting, and its bill in dollars a day. Of settings that cost the same the first of the grid.
    """
    settings, bill = _cheapest(family, family.grid(service), days, service)
    finer, lower = _cheapest(family, family.near(service, settings), days, service)
    return (finer, lower) if lower < bill - 1e-9 else (settings, bill)


def _cheapest(
    family: Family, settings: list[tuple[float, ...]], days: NDArray[np.int64], service: Service
) -> tuple[dict[str, float], float]:
    """Return the cheapest of some settings, and its bill in dollars a day; all of them are played side by side."""
    tried = np.array(settings)
    long_service = dataclasses.replace(service, slots_per_episode=days.size)
    line = days.reshape(1, -1)
    bills: list[NDArray[np.float64]] = []
    for some in np.array_split(tried, -(-len(tried) * days.size // _CELLS)):
        values: dict[str, Any] = dict(zip(family.settings, some.T, strict=True))
        rollout = roll_out(family.policy(service, values), np.repeat(line, len(some), axis=0), long_service)
        bills.append(rollout.bill.sum(axis=1))
    totals = np.concatenate(bills)
    best = int(np.argmin(totals))
    return dict(zip(family.settings, tried[best].tolist(), strict=True)), float(totals[best]) / len(days)
