"""The rules that `advise` compares on a service, and what is tried of each; it depends on what runs today."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial

from autoscaler_env.evaluation.grids import RULE_GRIDS, RuleGrid, Settings
from autoscaler_env.evaluation.rivals import RIVAL_GRIDS, VENDOR_GRIDS
from autoscaler_env.policies.aws import Alarms
from autoscaler_env.policies.base import Policy
from autoscaler_env.policies.behaviour import Behaviour
from autoscaler_env.policies.schedule import Minimum, Scheduled
from autoscaler_env.service import Service

IDEAL = "ideal-target-tracking"
"""What our target tracking is called where AWS' rule of that name stands beside it."""


VENDOR_RULES = ("kpa", "aws-step-scaling", "aws-target-tracking")
"""The rules that are compared only where one of them runs today, or where all rules are asked for."""


def rule_grids(own: str, behaviour: Behaviour | None, alarms: Alarms, *, every: bool = False) -> dict[str, RuleGrid]:
    """Return the kinds of rule to compare, by name, today's kind among them.

    If the service runs a rule of AWS or Knative today, this kind is compared too; beside AWS' rules our target tracking
    is called ideal.

    Args:
        own: The kind of today's rule.
        behaviour: How HPA acts in time; `None` for once a step.
        alarms: The alarms of a rule of AWS.
        every: Whether all rules of AWS and Knative are compared, whatever runs today. HPA then acts by Kubernetes'
            clocks, unless it runs today and once a step.
    """
    grids = dict(RULE_GRIDS)
    if every and behaviour is None and not own.startswith("hpa-"):
        behaviour = Behaviour()
    if behaviour is not None:
        for name in ("hpa-cpu", "hpa-demand"):
            grids[name] = acting(grids[name], behaviour)
    for name in VENDOR_RULES if every else (own,):
        if name in VENDOR_GRIDS:
            grids[name] = dataclasses.replace(VENDOR_GRIDS[name], make=partial(VENDOR_GRIDS[name].make, alarms=alarms))
        elif name not in grids:
            grids[name] = RIVAL_GRIDS[name]
    if own != "target-tracking" and any(name in VENDOR_GRIDS for name in grids):
        ideal = grids.pop("target-tracking")
        grids[IDEAL] = dataclasses.replace(ideal, name=IDEAL)
    return grids


def acting(grid: RuleGrid, behaviour: Behaviour) -> RuleGrid:
    """Return the grid of an HPA that acts in time."""

    def describe(settings: Settings) -> str:
        return f"{grid.describe(settings)}, every {behaviour.sync_seconds} s"

    return dataclasses.replace(grid, make=partial(grid.make, behaviour=behaviour), describe=describe)


def scheduled(grid: RuleGrid, schedule: Sequence[Minimum], weekdays: Mapping[bytes, int] | None) -> RuleGrid:
    """Return the grid of a rule inside a schedule, which stays as it is.

    Args:
        grid: The kind of rule.
        schedule: The entries.
        weekdays: As for `Scheduled`.
    """

    def make(service: Service, **settings: float) -> Policy:
        return Scheduled(grid.make(service, **settings), service, schedule, weekdays)

    def describe(settings: Settings) -> str:
        return f"{grid.describe(settings)}, with its schedule"

    return dataclasses.replace(grid, make=make, describe=describe)
