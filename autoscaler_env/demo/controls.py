"""What the controls of the control room allow: choices, ranges, and how what a person typed is read."""

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
from autoscaler_env.traffic.trace import Trace

NOBODY = ""
"""The choice of the second lane that leaves it out."""

SPEEDS = (1, 2, 5, 10, 20, 40, 100)
"""Steps a second."""

HOURS = (8, 4, 2)
"""Lengths of a shortened day that are offered, in hours from its start."""

LARGEST_TRACE = 4_000_000
"""Characters of a trace that a person may hand in."""

LAST_DAY = 999_999_999
"""The largest number of an evaluation day."""


@dataclass(frozen=True)
class Slider:
    """A number of the service that a person may move."""

    label: str
    unit: str
    low: float
    high: float
    step: float
    scale: float = 1.0
    """What one of the shown unit is in the service's own."""
    whole: bool = False

    def read(self, value: Any) -> float:
        """Return a value of the service's field from what was typed, in the shown unit.

        Raises:
            ValueError: It is no number, or out of range.
        """
        number = read_number(self.label, value, self.low, self.high, whole=self.whole)
        return number if self.whole else number * self.scale

    def shown(self, value: float) -> float:
        """Return a value of the field in the shown unit."""
        return round(value / self.scale, 9)


SLIDERS = {
    "boot_steps": Slider("boot delay", "steps", 1, 12, 1, whole=True),
    "capacity_per_instance": Slider("capacity of an instance", "requests / step", 20, 200, 1, whole=True),
    "instance_price_per_hour": Slider("instance price", "$ / hour", 0, 1, 0.001),
    "late_price": Slider("lateness price", "$ / 1,000 requests waiting, each step", 0, 2, 0.01, scale=0.001),
    "drop_price": Slider("drop price", "$ / 1,000 requests dropped", 0, 20, 0.1, scale=0.001),
}
"""The sliders, by the names of the service's fields."""


def read_number(name: str, value: Any, low: float, high: float, *, whole: bool = False) -> Any:
    """Return a number that a person typed.

    Raises:
        ValueError: It is none, or out of range; one line names the control, the value and what is allowed.
    """
    kind = "a whole number" if whole else "a number"
    try:
        number = int(str(value).strip()) if whole else float(str(value).strip())
    except ValueError:
        number = math.nan
    if not low <= number <= high:
        raise ValueError(f"{name} = {str(value)[:40]!r}: must be {kind} from {low:,} to {high:,}")
    return number


def read_choice(name: str, value: Any, allowed: Sequence[str]) -> str:
    """Return a choice among what is there.

    Raises:
        ValueError: It is not among them.
    """
    if value not in allowed:
        raise ValueError(f"{name} = {str(value)[:40]!r}: must be one of {', '.join(word for word in allowed if word)}")
    return str(value)


def read_service(service: Service, field: str, value: Any) -> Service:
    """Return the service with one number changed to what was typed.

    Raises:
        ValueError: There is no such slider, the value is out of its range, or the service does not allow it.
    """
    slider = SLIDERS[read_choice("slider", field, list(SLIDERS))]
    return Service.from_dict(service.as_dict() | {field: slider.read(value)})


def read_trace(name: str, text: str, service: Service) -> Trace:
    """Return the trace that a person handed in.

    Args:
        name: What its file was called.
        text: What the file held.
        service: The service that will serve it.

    Raises:
        ValueError: It is too long or malformed; the message begins with the file's name.
    """
    if len(text) > LARGEST_TRACE:
        raise ValueError(f"{name}: {len(text):,} characters; at most {LARGEST_TRACE:,} are read")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / (Path(name).stem[:60] + ".csv")
        path.write_text(text, encoding="utf-8")
        try:
            return Trace.from_csv(path, service, rescale=True)
        except ValueError as error:
            raise ValueError(str(error).replace(str(path), name)) from None


def policy_choices(folders: Folders, more: Sequence[str] = ()) -> list[dict[str, str]]:
    """Return what may act in a lane: the person, the rules, the models that are there, the optimum.

    Args:
        folders: Where models lie.
        more: Further policies, as `find_policy` takes them.

    Returns:
        A `value` and a `label` for each, in a `group`.
    """
    groups = {
        "a person": [PERSON],
        "rules": [name for name in (*RULES, "target-tracking-mixed", *BASELINES) if name != OPTIMUM],
        "learners": model_names(folders),
        "has read the day": [OPTIMUM],
    }
    groups["rules"] = list(dict.fromkeys(groups["rules"]))
    known = [name for names in groups.values() for name in names]
    groups["more"] = [name for name in dict.fromkeys(more) if name not in known and name != NOBODY]
    return [
        {"value": name, "label": label_of(name), "group": group} for group, names in groups.items() for name in names
    ]


def length_choices(service: Service, steps: int) -> dict[int, str]:
    """Return how long a day may be, in steps, with what to call it; `steps` is among them."""
    hour = 3600 / service.step_seconds
    whole = service.steps_per_episode
    lengths = {whole: "the whole day"}
    lengths |= {int(h * hour): f"its first {h} hours" for h in HOURS if h * hour < whole}
    return lengths | {steps: lengths.get(steps, f"its first {steps} steps")}


def policy_for(name: str, service: Service, folders: Folders) -> tuple[Policy, str]:
    """Return the policy of a choice, and what is to be said about it.

    Args:
        name: A value of `policy_choices`.
        service: The service to scale.
        folders: Where models lie.

    Raises:
        ValueError: The policy cannot be found or built.
    """
    if name == PERSON:
        return Person(service), ""
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        policy = find_policy(name, service, folders)
    return policy, "Has read the day." if name == OPTIMUM else " ".join(said.getvalue().split())
