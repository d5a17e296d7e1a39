"""Find what keeps an objective: the setting of a rule, or the late price of a learner, since learners know prices only.

A higher late price makes a learner keep a larger fleet, so that fewer requests are late. The search trains a few times
with a part of the budget: it begins at the price that makes calibrated target tracking keep the objective, goes up by
large factors, and halves the interval between a price that does and one that does not, on a logarithmic scale. It does
not go below the first price, where chance decides what a short training keeps. Then it trains with the whole budget,
and raises the price until that training keeps the objective.
"""

from __future__ import annotations

import dataclasses
import math
import tempfile
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from autoscaler_env.evaluation.calibration import RULE_GRIDS, RuleGrid, ServiceLevel, settings_that_keep
from autoscaler_env.evaluation.objective import Objective
from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.paths import Folders
from autoscaler_env.policies.base import Policy
from autoscaler_env.service import Service
from autoscaler_env.traffic.patterns import Workload, as_workload, day_seeds
from autoscaler_env.training.config import LENGTH, TrainingConfig
from autoscaler_env.training.train import train

TRAININGS = 5
"""Trainings of a search with a part of the budget, at most."""

CONFIRMATIONS = 4
"""Trainings with the whole budget, at most, before the search gives up."""

PART = 4
"""A search trains with this part of the budget: a quarter."""

FACTOR = 4.0
"""By how much the price rises until one keeps the objective."""

DAYS = 60
"""Calibration days on which a training must keep the objective, and target tracking is calibrated."""


def rule_that_keeps(
    grid: RuleGrid,
    workloads: Sequence[Workload],
    service: Service,
    objective: Objective,
    name: str | None = None,
    days: int = DAYS,
) -> Policy:
    """Return a rule with the cheapest setting that keeps an objective, with the margin of `Objective.surely`.

    Args:
        grid: The kind of rule.
        workloads: One or more; their calibration days count alike.
        service: The service to scale; its late price should be 0.
        objective: What the rule must keep.
        name: What tables call it; the name of the rule by default.
        days: Calibration days of each workload, at least 1.
    """
    seeds = day_seeds("calibration", days)
    drawn = np.concatenate([workload.draw(seeds) for workload in workloads])
    level = ServiceLevel(objective.served_in_time, 1.0, objective)
    return grid.policy(service, settings_that_keep(grid, drawn, service, level, in_a_row=False).keeping, name)


class Found(NamedTuple):
    """What a search found."""

    price: float
    """Dollars for a request that waits at the end of a step: the lowest price that was tried and keeps the objective.

    If none keeps it, the lowest of those with which about as many requests are in time as with any.
    """
    keeps: bool
    """Whether it keeps the objective on the days of the search."""


def search_price(
    share: Callable[[float], float], objective: Objective, first: float, trainings: int = TRAININGS
) -> Found:
    """Search the lowest late price, from a first one upwards, that keeps an objective.

    Args:
        share: Trains with a price; returns the share in time to compare with the objective, `Objective.surely`.
        objective: What is to be kept.
        first: The price to begin with, above 0.
        trainings: How many prices are tried, at least 1.

    Example:
        >>> tried = []
        >>> found = search_price(lambda price: tried.append(price) or 0.97 + 0.01 * price, Objective(0.995), first=1.0)
        >>> [round(price, 2) for price in tried], round(found.price, 2), found.keeps
        ([1.0, 4.0, 2.0, 2.83, 2.38], 2.83, True)
    """
    low, high, price = 0.0, math.inf, first
    shares: dict[float, float] = {}
    for _ in range(trainings):
        shares[price] = share(price)
        if shares[price] >= objective.served_in_time:
            high = price
        else:
            low = price
        if low == 0.0:
            break
        price = price * FACTOR if high == math.inf else math.sqrt(low * high)
    if high < math.inf:
        return Found(high, True)
    most = max(shares.values()) - objective.slack
    return Found(min(each for each, reached in shares.items() if reached >= most), False)


def price_that_keeps(
    share: Callable[[TrainingConfig], float], config: TrainingConfig, objective: Objective, first: float
) -> Found:
    """Search a late price with a part of the budget, then confirm it with all of it.

    Whether a learner keeps an objective depends on its budget too. So the price that was found is tried with the whole
    budget, and raised by `FACTOR` until that training keeps the objective, in at most `CONFIRMATIONS` trainings.

    Args:
        share: Trains; returns the share in time to compare with the objective, `Objective.surely`.
        config: The training.
        objective: What is to be kept.
        first: The price to begin with, above 0.
    """
    price, _ = search_price(lambda each: share(with_price(shortened(config), each)), objective, first)
    for attempt in range(CONFIRMATIONS):
        if share(with_price(config, price)) >= objective.served_in_time:
            return Found(price, True)
        price *= 1 if attempt == CONFIRMATIONS - 1 else FACTOR
    return Found(price, False)


def late_price_for(
    config: TrainingConfig, objective: Objective, report: Callable[[str], object] = lambda line: None
) -> Found:
    """Find a late price with which a learner keeps an objective on calibration days, with `Objective.surely`'s margin.

    Args:
        config: The training; its service's late price does not matter.
        objective: What the learner must keep.
        report: Called with a line for each training, such as `print`.
    """
    days = as_workload(config.pattern, config.service).draw(day_seeds("calibration", DAYS))
    free = dataclasses.replace(config.service, late_price=0.0)

    def share(training: TrainingConfig) -> float:
        with tempfile.TemporaryDirectory(prefix="objective") as folder:
            policy = train(training, Folders(folder), progress=False).policy
        reached = objective.share(simulate(policy, days, free), independent=True)
        report(
            f"Late price ${training.service.late_price:.3g}, {budget_of(training):,} {LENGTH[training.algorithm]}: "
            f"{100 * reached.mean:.2f} % within {objective.within_seconds:g} s."
        )
        return objective.surely(reached)

    level = ServiceLevel(objective.served_in_time, 1.0, objective)
    implied = settings_that_keep(RULE_GRIDS["target-tracking"], days, free, level, in_a_row=False).late_price
    return price_that_keeps(share, config, objective, first_price(implied, free))


def first_price(implied: float, service: Service) -> float:
    """Return the price to begin with: the one that a rule implies, or what an instance costs for each of its requests.

    Args:
        implied: Dollars for a request that waits at the end of a step; nan or 0 if the rule implies none.
        service: The service to scale.
    """
    if implied > 0:
        return implied
    return max(service.instance_price / service.capacity_per_instance, 1e-9)


def shortened(config: TrainingConfig) -> TrainingConfig:
    """Return the training with the budget of a search."""
    length: dict[str, Any] = {LENGTH[config.algorithm]: max(budget_of(config) // PART, 1)}
    return dataclasses.replace(config, **length)


def budget_of(config: TrainingConfig) -> int:
    """Return the length of a training in the unit of its learner, as `LENGTH` names it."""
    length: int = getattr(config.preset, LENGTH[config.algorithm])
    return length


def with_price(config: TrainingConfig, price: float) -> TrainingConfig:
    """Return the training for the same service with another late price."""
    return dataclasses.replace(config, service=dataclasses.replace(config.service, late_price=price))
