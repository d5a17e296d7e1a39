"""What earns points: a rubric, read from TOML."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from autoscaler_env.course import course_notebooks
from autoscaler_env.grading.sandbox import Limits
from autoscaler_env.policies.rules import RULES
from autoscaler_env.text import check_names, not_a_choice

DEFAULT = Path(__file__).with_name("rubric.toml")
"""The rubric of the course. Its comments explain each value."""

PARTS = ("notebooks", "exercises", "models", "costs")
"""The parts of a submission that earn points."""


def _check_share(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"{name} = {value!r}: must be a number from 0 to 1")


def _check_points(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise ValueError(f"{name} = {value!r}: must be a number, at least 0")


@dataclass(frozen=True)
class Points:
    """Points of each part."""

    notebooks: float = 10
    exercises: float = 50
    models: float = 15
    costs: float = 25

    def __post_init__(self) -> None:
        for part in PARTS:
            _check_points(part, getattr(self, part))

    @property
    def total(self) -> float:
        """Points of all parts together."""
        return float(sum(getattr(self, part) for part in PARTS))


@dataclass(frozen=True)
class Models:
    """Which models are expected, and which share of its points a poor one earns."""

    expected: tuple[str, ...] = ("q_learning_mixed", "dqn_mixed", "ppo_mixed")
    poor: float = 0.5
    course_models: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.expected, list | tuple) or not all(isinstance(name, str) for name in self.expected):
            raise ValueError(f"expected = {self.expected!r}: must be a list of names")
        object.__setattr__(self, "expected", tuple(self.expected))
        _check_share("poor", self.poor)
        if not isinstance(self.course_models, bool):
            raise ValueError(f"course_models = {self.course_models!r}: must be true or false")


@dataclass(frozen=True)
class Costs:
    """The scale for the cost of a model."""

    days: int = 200
    zero_at: str = "threshold"
    full_at: str = "target-tracking"
    enough: float = 0.9
    seed: int | None = None

    def __post_init__(self) -> None:
        if type(self.days) is not int or not 1 <= self.days <= 100_000:
            raise ValueError(f"days = {self.days!r}: must be a whole number from 1 to 100000")
        for name in ("zero_at", "full_at"):
            if getattr(self, name) not in RULES:
                raise ValueError(not_a_choice(name, getattr(self, name), RULES))
        _check_share("enough", self.enough)
        if self.enough == 0:
            raise ValueError("enough = 0: must be above 0")
        if self.seed is not None and (type(self.seed) is not int or not 0 <= self.seed < 2**61):
            raise ValueError(f"seed = {self.seed!r}: must be a whole number from 0 to {2**61 - 1}")

    def share(self, cost: float, zero: float, full: float) -> float:
        """Return the share of its points that a cost earns, from 0 to 1.

        Args:
            cost: The cost of the model, dollars a day.
            zero: The cost of the rule that earns no points.
            full: The cost of the rule that earns all points.

        Example:
            >>> [round(Costs().share(cost, 200, 150), 2) for cost in (210, 177.5, 155, 140)]
            [0.0, 0.5, 1.0, 1.0]
        """
        if zero <= full:  # on these days the first rule is the cheaper one, so there is no scale
            return float(cost <= full)
        return min(max((zero - cost) / (zero - full) / self.enough, 0.0), 1.0)


@dataclass(frozen=True)
class Late:
    """What late days cost; `autoscaler grade --adjust` says who was late."""

    points_per_day: float = 0

    def __post_init__(self) -> None:
        _check_points("points_per_day", self.points_per_day)


@dataclass(frozen=True)
class Rubric:
    """How many points each part and item earns, and what a notebook may use."""

    points: Points = field(default_factory=Points)
    weights: Mapping[str, float] = field(default_factory=dict)
    models: Models = field(default_factory=Models)
    costs: Costs = field(default_factory=Costs)
    late: Late = field(default_factory=Late)
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        for name, weight in self.weights.items():
            _check_points(name, weight)

    @classmethod
    def read(cls, path: Path = DEFAULT) -> Self:
        """Return the rubric in a TOML file.

        Raises:
            ValueError: It cannot be read, or contains a name or a value that is not allowed; the message is one line.
        """
        try:
            content = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ValueError(f"rubric = {str(path)!r}: {error}") from None
        tables: dict[str, Any] = {"points": Points, "weights": dict, "models": Models, "costs": Costs}
        tables |= {"late": Late, "limits": Limits}
        where = f"rubric = {str(path)!r}: "
        check_names(content, tables, "table", where)
        arguments: dict[str, Any] = {}
        for name, values in content.items():
            if not isinstance(values, dict):
                raise ValueError(f"{where}{name} must be a table, [{name}]")
            if name != "weights":
                check_names(values, [known.name for known in fields(tables[name])], "value", f"{where}{name}.")
            try:
                arguments[name] = tables[name](**values)
            except ValueError as error:
                raise ValueError(f"{where}{name}.{error}") from None
        try:
            return cls(**arguments)
        except ValueError as error:
            raise ValueError(f"{where}weights.{error}") from None

    def check_weights(self) -> None:
        """Refuse a weight that no item of the course has: it would change nothing.

        Raises:
            ValueError: A name is neither that of a notebook nor of an exercise nor of an expected model.
        """
        if not self.weights:
            return
        items = []
        for path in course_notebooks():
            cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
            count = sum("exercise" in cell["metadata"].get("tags", []) for cell in cells)
            items += [path.stem, *(f"{path.stem.split('_')[0]}.{i}" for i in range(1, count + 1))]
        check_names(self.weights, [*items, *self.models.expected], "item", "weights.")

    def worth(self, part: str, names: Iterable[str]) -> dict[str, float]:
        """Return the points of each item of a part, by weight; their sum is the points of the part.

        Example:
            >>> Rubric(weights={"01.3": 2}).worth("exercises", ["01.1", "01.2", "01.3"])
            {'01.1': 12.5, '01.2': 12.5, '01.3': 25.0}
        """
        weights = {name: float(self.weights.get(name, 1)) for name in names}
        total = sum(weights.values())
        return {name: getattr(self.points, part) * weight / total if total else 0.0 for name, weight in weights.items()}

    @property
    def fingerprint(self) -> str:
        """A short hash of all values that a report depends on: late days count in the gradebook only."""
        values = asdict(self) | {"weights": dict(self.weights)}
        del values["late"]
        text = json.dumps(values, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]
