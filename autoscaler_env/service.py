"""The service that is scaled: its sizes and its prices."""

from __future__ import annotations

import dataclasses
import math
import numbers
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoscaler_env.text import check_names, listed

LARGEST_COUNT = 2**30
"""Most arrivals of a step that can be simulated; with a queue on top they still fit an int32."""

LARGEST_OBSERVABLE_COUNT = 2**24
"""The largest count that a float32 observation in [-1, 1] carries exactly (24-bit significand)."""


@dataclass(frozen=True)
class Service:
    """Sizes and prices of one cloud service; the defaults are the course's reference service.

    An episode is one day of `steps_per_episode` steps. Every field is validated; a bad one raises `ValueError` with
    its name, its value and what is allowed. Numbers of numpy are converted to Python's own.

    Example:
        >>> Service().instance_price
        0.016
        >>> Service(boot_steps=0)
        Traceback (most recent call last):
        ValueError: boot_steps = 0: must be an integer of at least 1
    """

    step_seconds: int = 300
    """Length of one step, in seconds."""
    steps_per_episode: int = 288
    """Steps in one episode, which is one day."""
    min_instances: int = 2
    """Fewest ready instances; no action removes more. With 0, requests may wait for the first boot."""
    max_instances: int = 100
    """Most instances, ready and booting together."""
    initial_instances: int = 25
    """Ready instances at the start of a day."""
    capacity_per_instance: int = 87
    """Requests that one ready instance serves in a step."""
    boot_steps: int = 1
    """Steps from ordering an instance until it is ready; with `boot_seconds`, that time rounded up to whole steps."""
    queue_limit: int = 4_350
    """Requests that may wait; more are dropped."""
    instance_price_per_hour: float = 0.192
    """Dollars for one instance, ready or booting, for an hour."""
    late_price: float = 0.00025
    """Dollars for each request that waits at the end of a step, once per step."""
    drop_price: float = 0.0025
    """Dollars for each dropped request."""
    peak_arrivals: int = 4_350
    """The level P that patterns are scaled by, in requests per step."""
    fleet_changes: tuple[int, ...] = (-1, 0, 1)
    """What each action asks for, in instances; contains 0."""
    boot_seconds: float | None = None
    """Seconds from ordering an instance until it is ready, at least 0, instead of `boot_steps`.

    An instance serves from then on, in the rest of that step too. A whole number of steps is kept as `boot_steps`, and
    this field is then `None`.
    """

    def __post_init__(self) -> None:
        for name, least in _LEAST_INTEGER.items():
            value = getattr(self, name)
            if name == "boot_steps" and _is_integer(value) and value == 0 == self.boot_seconds:
                continue  # a copy of a service whose instances serve at once
            if not _is_integer(value) or value < least:
                raise ValueError(f"{name} = {value!r}: must be an integer of at least {least}")
            object.__setattr__(self, name, int(value))
        self._set_boot()
        for name in ("instance_price_per_hour", "late_price", "drop_price"):
            value = getattr(self, name)
            if not _is_number(value) or not 0 <= value < float("inf"):
                raise ValueError(f"{name} = {value!r}: must be a finite number of at least 0")
            object.__setattr__(self, name, _plain(value))
        if self.max_instances < self.min_instances:
            raise ValueError(
                f"max_instances = {self.max_instances}: must be at least min_instances = {self.min_instances}"
            )
        if not self.min_instances <= self.initial_instances <= self.max_instances:
            raise ValueError(
                f"initial_instances = {self.initial_instances}: must lie between min_instances = {self.min_instances} "
                f"and max_instances = {self.max_instances}"
            )
        self._check_fleet_changes()
        for name, value, remedy in (
            ("capacity_per_instance x max_instances + queue_limit", self.spare_capacity_scale, self._smaller),
            (
                "2 x peak_arrivals",
                self.arrivals_scale,
                lambda: f"peak_arrivals = {LARGEST_OBSERVABLE_COUNT // 2}",
            ),
        ):
            if value > LARGEST_OBSERVABLE_COUNT:
                raise ValueError(
                    f"{name} = {value}: must be at most {LARGEST_OBSERVABLE_COUNT}, so that observations stay exact; "
                    f"give {remedy()}"
                )
        for name, most in _MOST_STEPS.items():
            if getattr(self, name) > most:
                raise ValueError(f"{name} = {getattr(self, name)}: must be at most {most}, to fit into memory")

    def _set_boot(self) -> None:
        """Check `boot_seconds`, and keep a boot in the one form that the fields describe."""
        seconds = self.boot_seconds
        if seconds is None:
            return
        if not _is_number(seconds) or not 0 <= seconds < float("inf"):
            raise ValueError(f"boot_seconds = {seconds!r}: must be a finite number of at least 0")
        steps = math.ceil(seconds / self.step_seconds)
        if self.boot_steps not in (type(self).boot_steps, steps):
            raise ValueError(
                f"boot_seconds = {seconds!r} and boot_steps = {self.boot_steps}: two forms of one quantity; write only "
                f"one of them (boot_steps = {type(self).boot_steps} if it must be written)"
            )
        whole = steps > 0 and seconds == steps * self.step_seconds
        object.__setattr__(self, "boot_steps", steps)
        object.__setattr__(self, "boot_seconds", None if whole else _plain(seconds))

    def _smaller(self) -> str:
        """Return the changes each of which makes capacity and queue small enough together."""
        fleet, most = self.capacity_per_instance * self.max_instances, LARGEST_OBSERVABLE_COUNT
        instances = (most - self.queue_limit) // self.capacity_per_instance
        seconds = (most - self.queue_limit) * self.step_seconds // fleet
        step = next((step for step in _STEPS if step <= seconds), 0)
        ways = [
            f"queue_limit = {most - fleet}" * (fleet < most),
            f"max_instances = {instances}" * (instances >= self.initial_instances),
            f"step_seconds = {step} (with the capacity of such a step)" * (step > 0),
        ]
        last = "queue_limit and lower step_seconds" if self.capacity_per_instance < most else "capacity of an instance"
        return listed([way for way in ways if way] or [f"a lower {last}"], "or")

    def _check_fleet_changes(self) -> None:
        changes = self.fleet_changes
        sound = isinstance(changes, tuple | list) and all(_is_integer(change) for change in changes)
        if not sound or 0 not in changes or len(set(changes)) != len(changes):
            raise ValueError(f"fleet_changes = {changes!r}: must be a tuple of distinct integers that contains 0")
        object.__setattr__(self, "fleet_changes", tuple(int(change) for change in changes))

    @property
    def instance_price(self) -> float:
        """Dollars for one instance in one step."""
        return self.instance_price_per_hour * self.step_seconds / 3600

    @property
    def boot_delay(self) -> float:
        """Seconds from ordering an instance until it is ready, in whichever form it was given."""
        return self.boot_steps * self.step_seconds if self.boot_seconds is None else self.boot_seconds

    @property
    def arrivals_scale(self) -> int:
        """Arrivals that an observed 1 stands for, in requests per step: twice the peak."""
        return 2 * self.peak_arrivals

    @property
    def spare_capacity_scale(self) -> int:
        """Spare capacity that an observed 1 stands for, in requests: all capacity plus a full queue."""
        return self.capacity_per_instance * self.max_instances + self.queue_limit

    @property
    def hold(self) -> int:
        """The action that leaves the fleet as it is."""
        return self.fleet_changes.index(0)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain values, as they are written to JSON or TOML; a boot in one of its two forms."""
        values = dataclasses.asdict(self) | {"fleet_changes": list(self.fleet_changes)}
        del values["boot_seconds" if self.boot_seconds is None else "boot_steps"]
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Service:
        """Build a service from field values; missing fields keep the reference value.

        Raises:
            ValueError: A name is unknown or a value is not allowed.
        """
        check_names(values, [field.name for field in dataclasses.fields(cls)], "field of a service")
        if isinstance(values.get("fleet_changes"), list):
            values = values | {"fleet_changes": tuple(values["fleet_changes"])}
        return cls(**values)

    @classmethod
    def from_toml(cls, path: str | Path) -> Service:
        """Read a service from a TOML file of `field = value` lines.

        The file that `autoscaler advise --init` writes is accepted: quantities in natural units are converted to those
        of a step. Its `name`, its `row_seconds` and its tables `[today]` and `[limits]`, which describe the traffic,
        the present rule and what advice may change, are ignored. With a table `[objective]`, lateness costs nothing:
        see `evaluation.objective`. Where such a file leaves `initial_instances` out, the reference value is moved into
        the limits of the fleet.

        Raises:
            ValueError: The file cannot be read, is not TOML, or holds a bad value; the message names the file.
        """
        try:
            values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
            for name in ("name", "row_seconds"):
                values.pop(name, None)
            for table in ("today", "limits"):
                if isinstance(values.get(table), dict):
                    del values[table]
            without_price = {}
            if "objective" in values:
                objective = values.pop("objective")
                if not isinstance(objective, dict):
                    raise ValueError(f"objective = {objective!r}: must be a table of served_in_time and within_seconds")
                refuse_late_price(values)
                without_price = {"late_price": 0.0}
            least, most = (values.get(name, getattr(cls, name)) for name in ("min_instances", "max_instances"))
            if "initial_instances" not in values and _is_integer(least) and _is_integer(most) and least <= most:
                values["initial_instances"] = min(max(cls.initial_instances, least), most)
            return cls.from_dict(fields_per_step(values, values.get("step_seconds", cls.step_seconds)) | without_price)
        except OSError as error:
            raise ValueError(f"{path}: {error.strerror or error}") from None
        except UnicodeDecodeError:
            raise ValueError(f"{path}: not UTF-8 text") from None
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"{path}: not TOML: {error}") from None
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None


def as_service(service: Service | None) -> Service:
    """Return a service as it is, and the reference service for `None`.

    Raises:
        ValueError: It is anything else, such as a dict of fields.

    Example:
        >>> as_service(None) == Service()
        True
    """
    if service is None:
        return Service()
    if not isinstance(service, Service):
        raise ValueError(
            f"service = {service!r}: must be a Service; Service.from_dict reads a dict, Service.from_toml a file"
        )
    return service


NATURAL_UNITS = {
    "requests_per_second_per_instance": "capacity_per_instance",
    "queue_seconds": "queue_limit",
    "late_price_per_1000_per_minute": "late_price",
    "drop_price_per_1000": "drop_price",
}
"""The field of a service that each quantity in natural units stands for."""

REFERENCE_RATE = 0.29
"""Requests per second that an instance of the reference service serves: 87 in 5 minutes."""

_PER_STEP = ("capacity_per_instance", "boot_steps", "late_price", "peak_arrivals")


def counts_per_step(values: Mapping[str, Any]) -> tuple[str, ...]:
    """Return those of the values whose meaning changes with the length of a step, by name.

    Example:
        >>> counts_per_step({"capacity_per_instance": 87, "boot_seconds": 90})
        ('capacity_per_instance',)
    """
    return tuple(name for name in _PER_STEP if name in values)


def fields_per_step(values: Mapping[str, Any], step_seconds: int) -> dict[str, Any]:
    """Return values in natural units as fields of a service with steps of this length.

    An instance serves a whole number of requests in a step, at least 1. If no value counts per step, what is left out
    is that of the reference service for the same time; else that for a step.

    Args:
        values: Fields of `Service`, or quantities of `NATURAL_UNITS`: `requests_per_second_per_instance`,
            `queue_seconds` (seconds of work of `max_instances` instances),
            `late_price_per_1000_per_minute` (dollars for 1,000 requests that wait a minute) and
            `drop_price_per_1000` (dollars).
        step_seconds: Length of a step.

    Raises:
        ValueError: A value is no number or out of range, or one quantity is given in both forms.

    Example:
        >>> fields_per_step({"requests_per_second_per_instance": 0.5, "boot_seconds": 90, "late_price": 0.1}, 60)
        {'boot_seconds': 90, 'late_price': 0.1, 'capacity_per_instance': 30}
    """
    for name, field in {**NATURAL_UNITS, "boot_seconds": "boot_steps"}.items():
        if name in values and field in values:
            raise ValueError(f"{name} and {field}: two forms of one quantity; write only one of them")
        if name in values:
            _check_natural(name, values[name])
    if not _is_integer(step_seconds) or step_seconds < 1:
        raise ValueError(f"step_seconds = {step_seconds!r}: must be an integer of at least 1")
    if not counts_per_step(values):
        reference = {
            "requests_per_second_per_instance": REFERENCE_RATE,
            "boot_seconds": Service.boot_steps * Service.step_seconds,
            "late_price_per_1000_per_minute": Service.late_price * 1000 * 60 / Service.step_seconds,
        }
        values = reference | dict(values)
    fields = {name: value for name, value in values.items() if name not in NATURAL_UNITS}
    if (rate := values.get("requests_per_second_per_instance")) is not None:
        fields["capacity_per_instance"] = max(round(rate * step_seconds), 1)
    if (seconds := values.get("queue_seconds")) is not None:
        capacity, most = (
            fields.get(name, getattr(Service, name)) for name in ("capacity_per_instance", "max_instances")
        )
        if _is_integer(capacity) and _is_integer(most):  # else `Service` refuses them
            fields["queue_limit"] = round(seconds / step_seconds * capacity * most)
    if (price := values.get("late_price_per_1000_per_minute")) is not None:
        fields["late_price"] = _decimal(price * step_seconds / 60_000)
    if (price := values.get("drop_price_per_1000")) is not None:
        fields["drop_price"] = _decimal(price / 1000)
    return fields


def refuse_late_price(values: Mapping[str, Any]) -> None:
    """Refuse a late price beside an objective.

    Raises:
        ValueError: The values of a set-up with an objective hold a late price.
    """
    for name in ("late_price", "late_price_per_1000_per_minute"):
        if name in values:
            raise ValueError(
                f"objective and {name}: two ways to say what a late request may cost; write only one of them"
            )


def _check_natural(name: str, value: Any) -> None:
    positive = name == "requests_per_second_per_instance"
    if not _is_number(value) or not 0 <= value < float("inf") or (positive and value == 0):
        raise ValueError(f"{name} = {value!r}: must be a finite number {'above' if positive else 'of at least'} 0")


def _decimal(value: float) -> float:
    """Return a number without the digits that binary fractions leave at its end.

    Example:
        >>> _decimal(0.1 + 0.2)
        0.3
    """
    return float(f"{value:.12g}")


_STEPS = (300, 60, 30, 20, 15, 12, 10, 6, 5, 4, 3, 2, 1)
"""Lengths of a step in seconds that fit rows of a minute, of five minutes and of an hour, the longest first."""

_MOST_STEPS = {"steps_per_episode": 86_400, "boot_steps": 1_000}

_LEAST_INTEGER = {
    "step_seconds": 1,
    "steps_per_episode": 1,
    "min_instances": 0,
    "max_instances": 1,
    "initial_instances": 0,
    "capacity_per_instance": 1,
    "boot_steps": 1,
    "queue_limit": 0,
    "peak_arrivals": 1,
}


def _is_integer(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)  # numpy's integers are Integral too


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _plain(value: Any) -> int | float:
    """Return a number as Python's own."""
    return value if isinstance(value, int) else float(value)
