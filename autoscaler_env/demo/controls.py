"""The controls of the control room: their choices and ranges, and how they read what a person enters."""

from __future__ import annotations

import contextlib
import io
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoscaler_env.demo.session import PERSON, Person
from autoscaler_env.paths import Folders
from autoscaler_env.policies.base import Policy
from autoscaler_env.policies.oracle import OPTIMUM
from autoscaler_env.policies.registry import BASELINES, find_policy, label_of, model_names
from autoscaler_env.policies.rules import RULES
from autoscaler_env.service import Service
from autoscaler_env.text import not_a_choice, one_line
from autoscaler_env.traffic.trace import Trace

NO_POLICY = ""
"""The choice that leaves the second lane empty."""

SPEEDS = (1, 2, 5, 10, 20, 40, 100)
"""Speeds on offer, in steps per second."""

SHORT_DAYS = (8, 4, 2)
"""Lengths of the shortened days on offer, in hours from the start of the day."""

LARGEST_TRACE = 4_000_000
"""The most characters of an uploaded trace."""

LAST_DAY = 999_999_999
"""The largest number of an evaluation day."""

_LONGEST_ENTRY = 40
"""Characters of an entry that a message repeats."""


@dataclass(frozen=True)
class Slider:
    """A number of the service that a person may change."""

    label: str
    unit: str
    """The unit of the service's field: what a person types is what `Service` takes."""
    low: float
    high: float
    step: float
    whole: bool = False


SLIDERS = {
    "boot_steps": Slider("boot delay", "steps", 1, 12, 1, whole=True),
    "capacity_per_instance": Slider("capacity of an instance", "requests per step", 20, 200, 1, whole=True),
    "instance_price_per_hour": Slider("instance price", "$ per instance and hour", 0, 2, 0.001),
    "late_price": Slider("lateness price", "$ per waiting request and step", 0, 0.0025, 0.000025),
    "drop_price": Slider("drop price", "$ per dropped request", 0, 0.025, 0.00025),
}
"""The sliders, by the names of the service's fields, with prices up to ten times the reference price."""


def read_number(name: str, value: Any, low: float, high: float, *, whole: bool = False, unit: str = "") -> Any:
    """Return the number that a person entered.

    Raises:
        ValueError: The entry is not a number or is out of range. The message has one line: the control, the entry and
            the allowed range.
    """
    kind = "a whole number" if whole else "a number"
    try:
        number = int(str(value).strip()) if whole else float(str(value).strip())
    except ValueError:
        number = math.nan
    if not low <= number <= high:
        allowed = f"{kind} from {low:,} to {high:,}{unit and f', in {unit}'}"
        raise ValueError(f"{name} = {str(value)[:_LONGEST_ENTRY]!r}: must be {allowed}")
    return number


def read_choice(name: str, value: Any, allowed: Sequence[str]) -> str:
    """Return a choice if it is allowed.

    Raises:
        ValueError: The choice is not allowed.
    """
    if value not in allowed:
        raise ValueError(not_a_choice(name, str(value)[:_LONGEST_ENTRY], filter(None, allowed)))
    return str(value)


def read_service(service: Service, field: str, value: Any) -> Service:
    """Return a copy of the service with one number changed.

    Args:
        service: The service.
        field: The name of the slider's field.
        value: What a person entered, in the unit of the field.

    Raises:
        ValueError: The slider is unknown, the value is out of its range, or the service does not allow the value.
    """
    slider = SLIDERS[read_choice("slider", field, list(SLIDERS))]
    number = read_number(field, value, slider.low, slider.high, whole=slider.whole, unit=slider.unit)
    values = service.as_dict()
    if field == "boot_steps":
        values.pop("boot_seconds", None)  # the other form of the same quantity
    return Service.from_dict(values | {field: number})


def service_as_code(service: Service) -> str:
    """Return the Python expression of a service.

    Example:
        >>> service_as_code(Service(late_price=0.0025))
        'Service(late_price=0.0025)'
    """
    reference = Service()
    values = {name: getattr(service, name) for name in service.as_dict()}
    changed = [f"{name}={value!r}" for name, value in values.items() if value != getattr(reference, name)]
    return f"Service({', '.join(changed)})"


def read_trace(name: str, text: str, service: Service) -> Trace:
    """Return an uploaded trace.

    Args:
        name: The name of the uploaded file.
        text: The content of the file.
        service: The service that serves the trace.

    Raises:
        ValueError: The file is too long or malformed; the message begins with the file's name.
    """
    if len(text) > LARGEST_TRACE:
        raise ValueError(f"{name}: the file has {len(text):,} characters, must have at most {LARGEST_TRACE:,}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / (Path(name).stem[:60] + ".csv")
        path.write_text(text, encoding="utf-8")
        try:
            return Trace.from_csv(path, service, rescale=True)
        except ValueError as error:
            raise ValueError(str(error).replace(str(path), name)) from None


def policy_choices(folders: Folders, more: Sequence[str] = ()) -> list[dict[str, str]]:
    """Return the policies on offer: the person, the rules, the available models and the optimum.

    Args:
        folders: Folders with the models.
        more: Further policies, as `find_policy` takes them.

    Returns:
        For each policy its `value`, its `label` and its `group` in the menu.
    """
    groups = {
        "a person": [PERSON],
        "rules": [name for name in (*RULES, "target-tracking-mixed", *BASELINES) if name != OPTIMUM],
        "learners": model_names(folders),
        "knows the whole day": [OPTIMUM],
    }
    groups["rules"] = list(dict.fromkeys(groups["rules"]))
    known = [name for names in groups.values() for name in names]
    groups["more"] = [name for name in dict.fromkeys(more) if name not in known and name != NO_POLICY]
    return [
        {"value": name, "label": label_of(name), "group": group} for group, names in groups.items() for name in names
    ]


def length_choices(service: Service, steps: int) -> dict[int, str]:
    """Return the lengths of a day on offer, with a label for each.

    Args:
        service: Defines the length of a step and of a whole day.
        steps: A further length, in steps.

    Returns:
        Labels by the number of steps.
    """
    hour = 3600 / service.step_seconds
    whole = service.steps_per_episode
    lengths = {whole: "the whole day"}
    lengths |= {int(hours * hour): f"its first {hours} hours" for hours in SHORT_DAYS if hours * hour < whole}
    return lengths | {steps: lengths.get(steps, f"its first {steps} steps")}


def build_policy(name: str, service: Service, folders: Folders) -> tuple[Policy, str]:
    """Build the policy of a choice.

    Args:
        name: A value of `policy_choices`.
        service: The service to scale.
        folders: Folders with the models.

    Returns:
        The policy, and a note on it for the person; empty if there is nothing to say.

    Raises:
        ValueError: The policy cannot be found or built.
    """
    if name == PERSON:
        return Person(service), ""
    warnings = io.StringIO()
    with contextlib.redirect_stderr(warnings):
        policy = find_policy(name, service, folders)
    return policy, "Knows the whole day in advance." if name == OPTIMUM else one_line(warnings.getvalue())
