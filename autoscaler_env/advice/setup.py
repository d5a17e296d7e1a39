"""The set-up of a user's service: sizes, prices, and the rule that scales it today."""

from __future__ import annotations

import dataclasses
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from autoscaler_env.advice.plausibility import check_shares
from autoscaler_env.evaluation.calibration import RULE_GRIDS, ServiceLevel
from autoscaler_env.evaluation.statistics import MINIMUM_EFFECT
from autoscaler_env.policies.base import Policy
from autoscaler_env.service import Service
from autoscaler_env.storage.files import write_atomically
from autoscaler_env.traffic.reading import DAY
from autoscaler_env.traffic.trace import Trace

TODAY = "today"
"""The name of today's rule in tables."""

DEFAULT_RULE = {"rule": "threshold", "add_above": 0.7, "remove_below": 0.4}
"""Today's rule if the set-up has none: the one of most tutorials."""


@dataclass(frozen=True)
class Limits:
    """What a recommended policy may do to the requests, and what it must save; the table `[limits]` of a set-up."""

    fewer_in_time: float = 0.001
    """Share of the requests, in time today, that may be late or dropped: 0.001 is 0.1 percentage points."""
    dropped: float = 0.001
    """Share of the requests that may be dropped, or what today's rule drops if that is more."""
    least_saving: float = MINIMUM_EFFECT
    """Share of today's cost that a change must save."""

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
                raise ValueError(f"limits.{name} = {value!r}: must be a share from 0 to 1")

    def level(self, in_time: float, dropped: float) -> ServiceLevel:
        """Return the service that a policy must keep where today's rule has these shares in time and dropped."""
        return ServiceLevel(in_time - self.fewer_in_time, max(self.dropped, dropped))


@dataclass(frozen=True)
class Setup:
    """A service as its user describes it, before its traffic is known."""

    name: str = "my-service"
    """Name of the service, on the page and in the manifest."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """The fields of `Service` that the user set."""
    today: Mapping[str, Any] = field(default_factory=lambda: dict(DEFAULT_RULE))
    """Today's rule and its settings."""
    limits: Limits = field(default_factory=Limits)
    """What a change may do to the requests, and what it must save."""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise ValueError(f"name = {self.name!r}: must be a text that is not empty")
        least = self.fields.get("min_instances", Service.min_instances)
        service = Service.from_dict({"initial_instances": least} | dict(self.fields))
        if "steps_per_episode" in self.fields and service.steps_per_episode * service.step_seconds != DAY:
            raise ValueError(
                f"steps_per_episode = {service.steps_per_episode}: leave it out; it follows from step_seconds, since "
                "an episode is a day"
            )
        self.policy(service)

    @classmethod
    def from_toml(cls, path: str | Path) -> Setup:
        """Read a set-up; `template()` returns one with comments.

        Raises:
            ValueError: The file cannot be read, is not TOML, or holds a bad value; the message names the file.
        """
        try:
            values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
            name, today = values.pop("name", cls.name), values.pop("today", dict(DEFAULT_RULE))
            if not isinstance(today, dict):
                raise ValueError(f'today = {today!r}: must be a table, as in [today] and rule = "fixed" below it')
            limits = values.pop("limits", {})
            known = [each.name for each in dataclasses.fields(Limits)]
            if not isinstance(limits, dict) or set(limits) - set(known):
                raise ValueError(f"limits = {limits!r}: must be a table of {', '.join(known)}")
            return cls(name, values, today, Limits(**limits))
        except OSError as error:
            raise ValueError(f"{path}: {error.strerror or error}") from None
        except UnicodeDecodeError:
            raise ValueError(f"{path}: not UTF-8 text") from None
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"{path}: not TOML: {error}") from None
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    @property
    def step_seconds(self) -> int | None:
        """Length of a step in seconds; `None` if the user did not set it."""
        return self.fields.get("step_seconds")

    @property
    def today_settings(self) -> dict[str, float]:
        """The settings of today's rule, without its name."""
        return {name: value for name, value in self.today.items() if name != "rule"}

    def service_for(self, days: Trace) -> Service:
        """Return the service that fits the traffic.

        A step is as long as a step of the traffic, and an episode is a day. Unless the user set them, `peak_arrivals`
        is the highest number of arrivals in the first part, and `initial_instances` is what the first step of a day
        usually needs.

        Raises:
            ValueError: The traffic is too large to be observed exactly.
        """
        fields = {"peak_arrivals": max(int(days.earlier.max()), 1)} | dict(self.fields)
        fields |= {"step_seconds": days.step_seconds, "steps_per_episode": DAY // days.step_seconds}
        if "initial_instances" not in fields:
            capacity, least, most = (
                fields.get(name, getattr(Service, name))
                for name in ("capacity_per_instance", "min_instances", "max_instances")
            )
            needed = math.ceil(np.median(days.earlier[:, 0]) / capacity)
            fields["initial_instances"] = min(max(needed, least), most)
        return Service.from_dict(fields)

    def policy(self, service: Service) -> Policy:
        """Return the rule that scales the service today.

        Raises:
            ValueError: The rule or one of its settings is unknown, missing or out of range.
        """
        rule = self.today.get("rule")
        if rule not in RULE_GRIDS:
            raise ValueError(f"today.rule = {rule!r}: must be one of {', '.join(RULE_GRIDS)}")
        for name, value in self.today_settings.items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ValueError(f"today.{name} = {value!r}: must be a number")
        try:
            check_shares(rule, self.today_settings)
            return RULE_GRIDS[rule].policy(service, self.today_settings, TODAY)
        except ValueError as error:
            raise ValueError(f"today: {error}") from None


def template() -> str:
    """Return a set-up with comments, to fill in: TOML."""
    return files("autoscaler_env.advice").joinpath("template.toml").read_text(encoding="utf-8")


def write_template(path: Path) -> None:
    """Write the set-up with comments to a file.

    Raises:
        ValueError: The file exists.
    """
    if path.exists():
        raise ValueError(f"{path}: this file exists; give another name, or remove it")
    write_atomically(path, lambda file: file.write(template().encode()))
