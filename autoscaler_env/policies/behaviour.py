"""How fast Kubernetes' HPA may act: its clocks, its windows, its tolerances and its behaviour policies.

The names in manifests are those of `autoscaling/v2`: `Behaviour.from_tables` reads them, `Behaviour.tables` writes
them.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.text import check_names, not_a_choice

TYPES = ("Pods", "Percent")
"""What a policy counts in."""

SELECTIONS = ("Max", "Min", "Disabled")
"""What `selectPolicy` can be."""

CLOCKS = ("sync_seconds", "metric_delay_seconds", "cpu_initialisation_seconds", "initial_readiness_seconds")
"""What a manifest does not say of how HPA acts: flags of the cluster, and how old its metrics are."""

LONGEST_WINDOW = 3600
"""Seconds that a stabilisation window may last, as Kubernetes checks it."""

LONGEST_PERIOD = 1800
"""Seconds that the period of a policy may last, as Kubernetes checks it."""


@dataclass(frozen=True)
class ScalingPolicy:
    """At most so many pods, or so many percent of them, within a period.

    Raises:
        ValueError: The type is unknown, or a number is not allowed.
    """

    type: str
    """`Pods` or `Percent`."""
    value: int
    """Pods, or percent of the pods at the start of the period; at least 1."""
    period_seconds: int
    """From 1 to 1800."""

    def __post_init__(self) -> None:
        if self.type not in TYPES:
            raise ValueError(not_a_choice("type", self.type, TYPES))
        for name, value, most in (("value", self.value, None), ("periodSeconds", self.period_seconds, LONGEST_PERIOD)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1 or (most and value > most):
                limit = f"from 1 to {most}" if most else "of at least 1"
                raise ValueError(f"{name} = {value!r}: must be an integer {limit}")


@dataclass(frozen=True)
class ScalingRules:
    """What HPA obeys in one direction.

    Raises:
        ValueError: A value is not allowed.
    """

    policies: tuple[ScalingPolicy, ...]
    """At least one, unless nothing may change."""
    select: str = "Max"
    """`Max` takes the policy that allows the largest change, `Min` the smallest; `Disabled` forbids any."""
    window_seconds: int = 0
    """The stabilisation window, from 0 to 3600."""
    tolerance: float = 0.1
    """Distance of the ratio of metric to target from 1 within which nothing changes, from 0 to below 1."""

    def __post_init__(self) -> None:
        if self.select not in SELECTIONS:
            raise ValueError(not_a_choice("selectPolicy", self.select, SELECTIONS))
        if not self.policies and self.select != "Disabled":
            raise ValueError("policies: at least one is needed, or selectPolicy = Disabled")
        window = self.window_seconds
        if isinstance(window, bool) or not isinstance(window, int) or not 0 <= window <= LONGEST_WINDOW:
            raise ValueError(f"stabilizationWindowSeconds = {window!r}: must be an integer from 0 to {LONGEST_WINDOW}")
        tolerance = self.tolerance
        if isinstance(tolerance, bool) or not isinstance(tolerance, int | float) or not 0 <= tolerance < 1:
            raise ValueError(f"tolerance = {tolerance!r}: must be from 0 to below 1")

    def rows(self, syncs: Callable[[int], int]) -> NDArray[np.int64]:
        """Return type (0 for pods, 1 for percent), value and syncs of each policy, shape (policies, 3).

        Args:
            syncs: Returns how many syncs are younger than so many seconds.
        """
        rows = [(int(each.type == "Percent"), each.value, syncs(each.period_seconds)) for each in self.policies]
        return np.array(rows, dtype=np.int64).reshape(-1, 3)

    def table(self) -> dict[str, Any]:
        """Return the rules by the names of `autoscaling/v2`."""
        return {
            "stabilizationWindowSeconds": self.window_seconds,
            "tolerance": f"{self.tolerance:g}",
            "selectPolicy": self.select,
            "policies": [
                {"type": each.type, "value": each.value, "periodSeconds": each.period_seconds} for each in self.policies
            ],
        }


UP = ScalingRules((ScalingPolicy("Pods", 4, 15), ScalingPolicy("Percent", 100, 15)))
"""Kubernetes' defaults on the way up: no window; the pods may double in 15 s, or 4 may be added."""

DOWN = ScalingRules((ScalingPolicy("Percent", 100, 15),), window_seconds=300)
"""Kubernetes' defaults on the way down: a window of 300 s; all pods may go in 15 s."""


@dataclass(frozen=True)
class Behaviour:
    """How HPA acts in time; the defaults are Kubernetes'.

    Raises:
        ValueError: A value is not allowed, or a window is shorter than the sync period.

    Example:
        >>> Behaviour.from_tables({"scaleDown": {"stabilizationWindowSeconds": 10}})
        Traceback (most recent call last):
        ValueError: scaleDown: stabilizationWindowSeconds = 10: must be 0 or at least the sync period of 15 s
    """

    up: ScalingRules = UP
    """How it grows."""
    down: ScalingRules = DOWN
    """How it shrinks."""
    sync_seconds: int = 15
    """How often the controller acts; a flag of the cluster, not of a manifest. At least 1."""
    metric_delay_seconds: int = 30
    """Age of the newest metric when the controller reads it: what the kubelet and the metrics server take, 15 s each.
    At least 0."""
    cpu_initialisation_seconds: int = 300
    """HPA on CPU sets the sample of a pod aside if it was measured before the pod became ready, for so long after its
    start; a flag of the cluster. At least 0."""
    initial_readiness_seconds: int = 30
    """Delay within which a pod is taken to have never been ready; a flag of the cluster. With 0, HPA on CPU uses the
    samples of pods that boot for longer than the CPU initialisation period. At least 0."""

    def __post_init__(self) -> None:
        for name in CLOCKS:
            value, least = getattr(self, name), int(name == "sync_seconds")
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"{name} = {value!r}: must be an integer of at least {least}")
        for direction, rules in (("scaleUp", self.up), ("scaleDown", self.down)):
            if 0 < rules.window_seconds < self.sync_seconds:
                raise ValueError(
                    f"{direction}: stabilizationWindowSeconds = {rules.window_seconds}: must be 0 or at least the sync "
                    f"period of {self.sync_seconds} s"
                )

    @classmethod
    def from_tables(cls, tables: Mapping[str, Any]) -> Behaviour:
        """Read a behaviour: `scaleUp` and `scaleDown` as in a manifest, and `CLOCKS`.

        What is left out has Kubernetes' default.

        Raises:
            ValueError: A name is unknown, or a value is not allowed.
        """
        if not isinstance(tables, Mapping):
            raise ValueError(f"behaviour = {tables!r}: must be a table")
        check_names(tables, ("scaleUp", "scaleDown", *CLOCKS), "setting of HPA")
        clocks = {name: tables[name] for name in CLOCKS if name in tables}
        return cls(_rules("scaleUp", tables, UP), _rules("scaleDown", tables, DOWN), **clocks)

    def tables(self) -> dict[str, Any]:
        """Return what a manifest says of it."""
        return {"scaleUp": self.up.table(), "scaleDown": self.down.table()}

    def replaced(self, tolerance: float | None = None, downscale_window: float | None = None) -> Behaviour:
        """Return a behaviour with another tolerance, in both directions, or another downscale window, in seconds."""
        up, down = self.up, self.down
        if tolerance is not None:
            up, down = (dataclasses.replace(each, tolerance=float(tolerance)) for each in (up, down))
        if downscale_window is not None:
            down = dataclasses.replace(down, window_seconds=int(downscale_window))
        return dataclasses.replace(self, up=up, down=down)

    def syncs(self, seconds: int) -> int:
        """Return how many syncs, the present one included, are younger than so many seconds: at least 1."""
        return max(math.ceil(seconds / self.sync_seconds), 1)


def _rules(direction: str, tables: Mapping[str, Any], default: ScalingRules) -> ScalingRules:
    """Return the rules of a direction; the message of an error begins with its name."""
    table = tables.get(direction, {})
    if not isinstance(table, Mapping):
        raise ValueError(f"{direction} = {table!r}: must be a table")
    try:
        check_names(table, ("stabilizationWindowSeconds", "tolerance", "selectPolicy", "policies"), "setting")
        policies = default.policies
        if "policies" in table:
            if not isinstance(table["policies"], list | tuple):
                raise ValueError(f"policies = {table['policies']!r}: must be a list of tables")
            policies = tuple(_policy(each) for each in table["policies"])
        return ScalingRules(
            policies,
            table.get("selectPolicy", default.select),
            table.get("stabilizationWindowSeconds", default.window_seconds),
            _tolerance(table.get("tolerance", default.tolerance)),
        )
    except ValueError as error:
        raise ValueError(f"{direction}: {error}") from None


def _tolerance(value: Any) -> float:
    """Return a tolerance that a manifest gives as a quantity, such as "0.05" or "50m"."""
    if not isinstance(value, str):
        return value
    try:
        return float(value[:-1]) / 1000 if value.endswith("m") else float(value)
    except ValueError:
        raise ValueError(f"tolerance = {value!r}: must be from 0 to below 1") from None


def _policy(table: Any) -> ScalingPolicy:
    names = ("type", "value", "periodSeconds")
    if isinstance(table, Mapping):
        check_names(table, names, "setting", "policies: ")
    if not isinstance(table, Mapping) or len(table) < len(names):
        raise ValueError(f"policies: {table!r}: must have {', '.join(names)}")
    return ScalingPolicy(*(table[name] for name in names))
