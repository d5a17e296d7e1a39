"""The set-up of a user's service: sizes, prices, and the rule that scales it today.

A wrong set-up is refused at once: this module loads neither torch, numba nor scipy before it is needed.
"""

from __future__ import annotations

import dataclasses
import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autoscaler_env.advice.plausibility import check_shares
from autoscaler_env.evaluation.objective import Objective
from autoscaler_env.evaluation.statistics import MINIMUM_EFFECT
from autoscaler_env.policies.aws import Alarms, AwsStepScaling, AwsTargetTracking
from autoscaler_env.policies.base import Policy
from autoscaler_env.policies.behaviour import Behaviour
from autoscaler_env.policies.knative import Kpa
from autoscaler_env.policies.kubernetes import HpaCpu, HpaDemand
from autoscaler_env.policies.rules import FixedFleet, TargetTracking, Threshold
from autoscaler_env.policies.schedule import Minimum, read_schedule, weekdays_of
from autoscaler_env.service import (
    LARGEST_OBSERVABLE_COUNT,
    NATURAL_UNITS,
    REFERENCE_RATE,
    Service,
    counts_per_step,
    fields_per_step,
    refuse_late_price,
)
from autoscaler_env.storage.files import write_atomically
from autoscaler_env.text import check_names, counted, duration, listed, not_a_choice, small_dollars
from autoscaler_env.traffic.reading import DAY, Traffic

if TYPE_CHECKING:
    from autoscaler_env.evaluation.calibration import ServiceLevel
    from autoscaler_env.evaluation.grids import RuleGrid
    from autoscaler_env.traffic.trace import Trace

TODAY = "today"
"""The name of today's rule in tables."""

USUAL_STEP = 60
"""Seconds of a step where rows are as short and nothing asks for longer steps."""

FEWEST_SERVED = 20
"""Requests that an instance serves in a step, at least: with fewer, whole numbers of them would be too coarse."""

LONGEST_STEP = 3600
"""Seconds that a step may grow to, for the sake of those."""

TODAY_RULES: Mapping[str, tuple[type[Policy], tuple[str, ...]]] = {
    "fixed": (FixedFleet, ("instances",)),
    "threshold": (Threshold, ("add_above", "remove_below")),
    "hpa-cpu": (HpaCpu, ("target",)),
    "hpa-demand": (HpaDemand, ("target",)),
    "kpa": (Kpa, ("target", "stable_steps")),
    "aws-target-tracking": (AwsTargetTracking, ("target", "scale_out_cooldown", "scale_in_cooldown")),
    "aws-step-scaling": (
        AwsStepScaling,
        (
            *("add_above", "add_percent", "jump_above", "jump_percent"),
            *("remove_below", "remove_percent", "drop_below", "drop_percent"),
        ),
    ),
    "target-tracking": (TargetTracking, ("target", "reserve")),
}
"""What today's rule can be, and its settings: those of its grid in `advice.rule_grids`."""

WHOLE = ("instances", "stable_steps")
"""The settings that are whole numbers."""

TODAY_TABLES = ("hpa", "cloudwatch", "schedule")
"""What `[today]` may have besides: how HPA acts, the alarms of a rule of AWS, and a schedule around the rule."""

TABLES = ("today", "limits", "objective")
"""The tables of a set-up."""

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

    def level(self, in_time: float, dropped: float, part: float = 1.0) -> ServiceLevel:
        """Return the service that a policy must keep where today's rule has these shares in time and dropped.

        Args:
            in_time: Share of the requests that today's rule serves in the step of their arrival.
            dropped: Share of the requests that it drops.
            part: Share of the limits that may be used, from 0 to 1.
        """
        from autoscaler_env.evaluation.calibration import ServiceLevel

        return ServiceLevel(max(in_time - part * self.fewer_in_time, 0.0), max(part * self.dropped, dropped))


@dataclass(frozen=True)
class Setup:
    """A service as its user describes it, before its traffic is known."""

    name: str = "my-service"
    """Name of the service, on the page and in the manifest."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """What the user set: fields of `Service`, or the quantities of `service.NATURAL_UNITS`."""
    today: Mapping[str, Any] = field(default_factory=lambda: dict(DEFAULT_RULE))
    """Today's rule and its settings."""
    limits: Limits = field(default_factory=Limits)
    """What a change may do to the requests, and what it must save."""
    objective: Objective | None = None
    """What every recommended policy must keep, instead of a late price and of today's service."""
    row_seconds: int | None = None
    """Seconds of a row of the traffic, where its file states no times."""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise ValueError(f"name = {self.name!r}: must be a text that is not empty")
        self._check_names()
        if self.objective is not None:
            refuse_late_price(self.fields)
        rows = self.row_seconds
        if rows is not None and (isinstance(rows, bool) or not isinstance(rows, int) or rows < 1):
            raise ValueError(f"row_seconds = {rows!r}: must be an integer of at least 1")
        least = self.fields.get("min_instances", Service.min_instances)
        service = Service.from_dict({"initial_instances": least} | self._per_step(USUAL_STEP))
        if service.instance_price_per_hour == 0:
            raise ValueError(
                "instance_price_per_hour = 0: must be above 0; where instances cost nothing, no rule can save anything"
            )
        step = self.fields.get("step_seconds", Service.step_seconds)
        if "steps_per_episode" in self.fields and service.steps_per_episode * step != DAY:
            raise ValueError(
                f"steps_per_episode = {service.steps_per_episode}: leave it out; it follows from step_seconds, since "
                "an episode is a day"
            )
        self._check_today(service)

    def _check_names(self) -> None:
        """Refuse names that a set-up does not have."""
        allowed = [each.name for each in dataclasses.fields(Service)] + list(NATURAL_UNITS)
        written = list(dict.fromkeys(re.findall(r"^(?:# )?(\w+) = ", template().partition("[today]")[0], re.M)))
        known = [*written, *(name for name in allowed if name not in written), *TABLES]
        for name in self.fields:
            if name not in allowed:
                settings = [rule for rule, (_, names) in TODAY_RULES.items() if name in names]
                if settings:
                    raise ValueError(f"{name}: is a setting of {listed(settings, 'or')}; write it below [today]")
                check_names({name: self.fields[name]}, known, "name in a set-up")

    def _check_today(self, service: Service) -> None:
        """Refuse a rule or a setting that is unknown, missing or out of range."""
        rule, settings = self.today.get("rule"), self.today_settings
        if "rule" not in self.today:  # perhaps under a misspelt name
            every = dict.fromkeys(name for _, names in TODAY_RULES.values() for name in names)
            _check_table(settings, ("rule", *every, *TODAY_TABLES), "setting of a rule", "today")
        if not isinstance(rule, str) or rule not in TODAY_RULES:
            raise ValueError(not_a_choice("today.rule", rule, TODAY_RULES))
        make, names = TODAY_RULES[rule]
        _check_table(settings, ("rule", *names, *TODAY_TABLES), f"setting of {rule}", "today")
        if missing := [name for name in names if name not in settings]:
            lacking = f"{listed(missing)} {'are' if missing[1:] else 'is'} missing"
            raise ValueError(f"today: {rule} is set by {listed(names)}; {lacking}")
        for name, value in settings.items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                share = re.fullmatch(r"\s*(\d+\.?\d*)\s*%\s*", value) if isinstance(value, str) else None
                meaning = f"; for {float(share[1]):g} % write {float(share[1]) / 100:g}" if share else ""
                raise ValueError(f"today.{name} = {value!r}: must be a number{meaning}")
            if name in WHOLE and value != round(value):
                raise ValueError(f"today.{name} = {value!r}: must be a whole number")
        if "cloudwatch" in self.today and not rule.startswith("aws-"):
            raise ValueError(f"today.cloudwatch: {rule} has no alarms; aws-target-tracking and aws-step-scaling have")
        try:
            check_shares(rule, settings)
            make(service, **settings)  # type: ignore[call-arg]
            _ = self.behaviour, self.alarms  # read them: they may be wrong
            for entry in self.schedule:
                if entry.instances > service.max_instances:
                    most = service.max_instances
                    raise ValueError(f"schedule: minimum = {entry.instances}: must be at most max_instances = {most}")
        except ValueError as error:
            raise ValueError(f"today: {error}") from None

    @classmethod
    def from_toml(cls, path: str | Path, step_seconds: int | None = None) -> Setup:
        """Read a set-up; `template()` returns one with comments.

        Args:
            path: The file.
            step_seconds: Length of a step, where the file names none and counts nothing per step.

        Raises:
            ValueError: The file cannot be read, is not TOML, or holds a bad value; the message names the file.
        """
        try:
            values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
            name, today = values.pop("name", cls.name), values.pop("today", dict(DEFAULT_RULE))
            if not isinstance(today, dict):
                raise ValueError(f'today = {today!r}: must be a table, as in [today] and rule = "fixed" below it')
            limits, row_seconds = values.pop("limits", {}), values.pop("row_seconds", None)
            objective = Objective.from_dict(values.pop("objective")) if "objective" in values else None
            known = [each.name for each in dataclasses.fields(Limits)]
            if not isinstance(limits, dict):
                raise ValueError(f"limits = {limits!r}: must be a table of {', '.join(known)}")
            _check_table(limits, known, "limit", "limits")
            if objective is not None and (both := sorted(set(limits) & {"fewer_in_time", "dropped"})):
                raise ValueError(f"objective and limits.{both[0]}: an objective stands instead of it; write only one")
            if step_seconds is not None and not counts_per_step(values):
                values.setdefault("step_seconds", step_seconds)
            return cls(name, values, today, Limits(**limits), objective, row_seconds)
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
        return {name: value for name, value in self.today.items() if name not in ("rule", *TODAY_TABLES)}

    @property
    def behaviour(self) -> Behaviour | None:
        """How HPA acts in time, from `[today.hpa]`; `None` for once a step.

        Raises:
            ValueError: A name or a value is not allowed.
        """
        return Behaviour.from_tables(self.today["hpa"]) if "hpa" in self.today else None

    @property
    def alarms(self) -> Alarms:
        """The alarms of a rule of AWS, from `[today.cloudwatch]`.

        Raises:
            ValueError: A name or a value is not allowed.
        """
        return Alarms.from_table(self.today.get("cloudwatch", {}))

    @property
    def schedule(self) -> tuple[Minimum, ...]:
        """The schedule around today's rule; empty if there is none.

        Raises:
            ValueError: A name or a value is not allowed.
        """
        return read_schedule(self.today["schedule"]) if "schedule" in self.today else ()

    def with_step(self, step_seconds: int | None) -> Setup:
        """Return the set-up with steps of another length; with `None` it stays as it is.

        Raises:
            ValueError: The length is below 1, or the set-up counts per step of another length.
        """
        counts = counts_per_step(self.fields)
        if step_seconds is None or step_seconds == self.step_seconds:
            return self
        if counts and self.step_seconds is not None:
            raise ValueError(
                f"step_seconds = {step_seconds}: the set-up counts per step of {self.step_seconds} s "
                f"({', '.join(counts)}); give natural units there, such as requests_per_second_per_instance"
            )
        return dataclasses.replace(self, fields=dict(self.fields) | {"step_seconds": step_seconds})

    def step_for(self, row_seconds: int) -> int:
        """Return the length of a step for rows of this length, in seconds.

        It is what the user set. Else, if the set-up counts per step, a step is a row. Else it is a minute, or a row if
        that is longer, and grows by whole rows (whole minutes, if rows fit into them) until an instance serves
        `FEWEST_SERVED` requests in it.
        """
        if self.step_seconds is not None:
            return self.step_seconds
        steps = [step for step in range(row_seconds, LONGEST_STEP + 1, row_seconds) if DAY % step == 0]
        minutes = USUAL_STEP % row_seconds == 0
        steps = [step for step in steps if step >= USUAL_STEP and (step % USUAL_STEP == 0 or not minutes)]
        if counts_per_step(self.fields) or not steps:
            return row_seconds
        return next((step for step in steps if self._rate * step >= FEWEST_SERVED), steps[-1])

    @property
    def _rate(self) -> float:
        """Requests per second that an instance serves, where the set-up does not count per step."""
        return float(self.fields.get("requests_per_second_per_instance", REFERENCE_RATE))

    def cut(self, traffic: Traffic, *, smooth: int = 1, rescale: int | None = None) -> Trace:
        """Return the days of the traffic in the steps of this set-up; see `traffic.trace.cut_days`.

        The notes of the days say how long a step is, what that hides, and what natural units mean in a step.
        """
        from autoscaler_env.traffic.trace import cut_days

        step = self.step_for(traffic.interval)
        days = cut_days(traffic, step, smooth=smooth, rescale=rescale)
        days.notes = (*days.notes, *self.notes(traffic.interval))
        return days

    def notes(self, row_seconds: int) -> list[str]:
        """Return what a step hides, and what quantities in natural units mean in a step, a sentence each."""
        fields, counts = self._per_step(row_seconds), counts_per_step(self.fields)
        step = fields["step_seconds"]
        if self.step_seconds is not None:
            why = "the length is set by step_seconds"
        elif counts:
            why = f"a step is a row, since the set-up counts per step ({listed(counts)})"
        elif step == row_seconds:
            why = "a step is a row"
        elif step > USUAL_STEP and self._rate * USUAL_STEP < FEWEST_SERVED:
            why = f"in shorter ones an instance would serve fewer than {FEWEST_SERVED} requests"
        else:
            why = "shorter rows are added up to them"
        notes = [f"Steps of {duration(step)} hide bursts that are shorter; {why}."]
        if "capacity_per_instance" not in counts and self._rate * step < FEWEST_SERVED:
            notes.append(
                f"An instance serves only {self._rate * step:.3g} requests in a step, counted as "
                f"{fields['capacity_per_instance']}: costs are rough."
            )
        if meanings := [self._meaning(name, fields) for name in NATURAL_UNITS if name in self.fields]:
            notes.append(f"In a step, {'; '.join(meanings)}.")
        return notes

    def _meaning(self, name: str, fields: Mapping[str, Any]) -> str:
        """Return what a quantity in natural units means in a step, and how the user wrote it."""
        value = fields[NATURAL_UNITS[name]]
        text = {
            "requests_per_second_per_instance": f"an instance serves {counted(value, 'request')}",
            "queue_seconds": f"at most {counted(value, 'request')} wait",
            "late_price_per_1000_per_minute": f"a request that waits costs {small_dollars(value)}",
            "drop_price_per_1000": f"a dropped request costs {small_dollars(value)}",
        }[name]
        return f"{text} ({name} = {self.fields[name]:g})"

    def _per_step(self, row_seconds: int) -> dict[str, Any]:
        """Return the fields of the service for rows of this length."""
        for name in NATURAL_UNITS:  # checked before the step is computed with them
            if name in self.fields:
                fields_per_step({name: self.fields[name]}, 1)
        step = self.step_for(row_seconds)
        return fields_per_step(self.fields, step) | {"step_seconds": step} | self._without_price

    @property
    def _without_price(self) -> dict[str, float]:
        """The late price of a set-up that has an objective instead."""
        return {} if self.objective is None else {"late_price": 0.0}

    def service_for(self, days: Trace) -> Service:
        """Return the service that fits the traffic.

        A step is as long as a step of the traffic, and an episode is a day. Unless the user set them, `peak_arrivals`
        is the highest number of arrivals in the first part, and `initial_instances` is what the first step of a day
        usually needs.

        Raises:
            ValueError: The traffic is too large to be observed exactly.
        """
        fields = {"peak_arrivals": max(int(days.earlier.max()), 1)} | fields_per_step(self.fields, days.step_seconds)
        fields |= {"step_seconds": days.step_seconds, "steps_per_episode": DAY // days.step_seconds}
        fields |= self._without_price
        if "initial_instances" not in fields:
            capacity, least, most = (
                fields.get(name, getattr(Service, name))
                for name in ("capacity_per_instance", "min_instances", "max_instances")
            )
            needed = math.ceil(np.median(days.earlier[:, 0]) / capacity)
            fields["initial_instances"] = min(max(needed, least), most)
        if 2 * int(days.earlier.max()) > LARGEST_OBSERVABLE_COUNT and "peak_arrivals" not in self.fields:
            raise ValueError(_too_high(days))
        return Service.from_dict(fields)

    def grids(self, days: Trace | None = None, *, every: bool = False) -> dict[str, RuleGrid]:
        """Return the kinds of rule to compare, by name, today's kind among them; it keeps its schedule.

        Args:
            days: The traffic, which knows weekdays; needed if the schedule does.
            every: Whether the rules of AWS and Knative are compared whatever runs today; see `rule_grids`.
        """
        from autoscaler_env.advice.rule_grids import rule_grids, scheduled

        own = self.today["rule"]
        grids = rule_grids(own, self.behaviour, self.alarms, every=every)
        if self.schedule:
            grids[own] = scheduled(grids[own], self.schedule, None if days is None else weekdays_of(days))
        return grids

    def policy(self, service: Service, days: Trace | None = None) -> Policy:
        """Return the rule that scales the service today, with its schedule.

        Args:
            service: The service to scale.
            days: As for `grids`.
        """
        return self.grids(days)[self.today["rule"]].policy(service, self.today_settings, TODAY)


def _check_table(table: Mapping[str, Any], known: Sequence[str], what: str, name: str) -> None:
    """Refuse names that a table of a set-up does not have; TOML gives it all lines down to the next table."""
    above = {each.name for each in dataclasses.fields(Service)} | {*NATURAL_UNITS, "name", "row_seconds"}
    for key in table:
        if key not in known and key in above:
            raise ValueError(f"{name}.{key}: belongs to no table; write it above all lines such as [{name}]")
    check_names(table, known, what, f"{name}.")


def _too_high(days: Trace) -> str:
    """Return why the highest step of the traffic is more than can be observed exactly, and what to do."""
    highest, usual = int(days.earlier.max()), max(float(np.percentile(days.earlier, 99)), 1.0)
    day = days.labels[int(days.earlier.max(axis=1).argmax())]
    remedy = ""
    if days.step_seconds > USUAL_STEP:
        remedy = f" If it is right, shorten the step: --step-seconds {USUAL_STEP}."
    return (
        f"{days.name}: the highest step holds {highest:,} requests ({day}), {highest / usual:,.0f} times the 99th "
        f"percentile: an outlier, or bytes? At most {LARGEST_OBSERVABLE_COUNT // 2:,} can be observed exactly."
        f"{remedy}"
    )


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
