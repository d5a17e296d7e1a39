"""Rank the models of a class by their cost on hidden days.

Every model plays the same days in a process with limits. A difference between two models is measured day by day: days
differ much more than models do. A day's cost is the mean over the patterns.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from autoscaler_env.evaluation.statistics import Interval, mean_interval
from autoscaler_env.grading.entries import UnreadableError
from autoscaler_env.grading.model_score import model_files, refusal_of, rule_costs, score
from autoscaler_env.grading.rubric import Rubric
from autoscaler_env.grading.submission import find_work
from autoscaler_env.text import printable
from autoscaler_env.verification.workers import Workers

EQUAL_DOLLARS = 0.005
"""Models whose mean costs differ by less share a rank: the table shows cents."""


@dataclass(frozen=True)
class Entry:
    """A model that played, or a rule."""

    name: str
    """The submission; empty for a rule, which has no rank."""
    policy: str
    """The name of the model or of the rule."""
    daily: NDArray[np.float64]
    """Cost of each day in dollars, shape (days,)."""

    @property
    def cost(self) -> float:
        """Mean cost, dollars a day."""
        return float(self.daily.mean())


@dataclass(frozen=True)
class Row:
    """A row of the leaderboard."""

    rank: int | None
    """1 for the cheapest model; `None` for a rule."""
    entry: Entry
    cost: Interval
    """Dollars a day."""
    behind: Interval
    """Dollars a day more than the cheapest model, on the same days."""

    @property
    def is_as_good(self) -> bool:
        """Whether the days cannot tell this model from the cheapest."""
        return self.behind.low <= 0


def measure(
    sources: Sequence[Path], names: Sequence[str], rubric: Rubric, seed: int, course_models: Path, workers: Workers
) -> tuple[list[Entry], list[tuple[str, str, str]]]:
    """Play the models of a class.

    Args:
        sources: The submissions.
        names: Their names.
        rubric: Which models are expected, and how many days of each pattern are played.
        seed: Which days.
        course_models: The folder with the models that the course ships: they have no rank.
        workers: The processes that read and play model files.

    Returns:
        The models that have a rank; and those that have none, each as submission, model and reason.
    """
    entries: list[Entry] = []
    refused: list[tuple[str, str, str]] = []
    for source, name in tqdm(list(zip(sources, names, strict=True)), unit="submission", disable=None):
        with tempfile.TemporaryDirectory(prefix="leaderboard-") as place:
            try:
                work = find_work(source, Path(place), (), rubric.models.expected, course_models, workers)
            except UnreadableError as error:
                refused.append((name, "", str(error).rpartition(": ")[2]))  # without the path, which has the name
                continue
            played: dict[str, str] = {}
            for model, path in work.models.items():
                own = [] if rubric.models.course_models else model_files(course_models)
                result = score(workers, path, seed, rubric.costs.days, own)
                twin = next((other for other, actions in played.items() if actions == result.actions), None)
                if result.cost is None:
                    refused.append((name, model, printable(result.error)))
                elif refusal := refusal_of(result, model, twin):
                    refused.append((name, model, refusal[1]))
                else:
                    played[model] = result.actions
                    entries.append(Entry(name, model, np.array(result.daily)))
    return entries, refused


def rules(rubric: Rubric, seed: int) -> list[Entry]:
    """Return the two rules of the rubric's scale, on the same days: they have no rank."""
    names = dict.fromkeys((rubric.costs.zero_at, rubric.costs.full_at))
    return [Entry("", name, rule_costs(name, seed, rubric.costs.days)) for name in names]


def rank(entries: Sequence[Entry]) -> list[Row]:
    """Return models and rules by their cost, the cheapest first.

    Models with equal costs share a rank, and the next rank counts them all: 1, 2, 2, 4.
    """
    models = sorted((entry for entry in entries if entry.name), key=lambda entry: entry.cost)
    best = models[0].daily if models else np.zeros(1)
    ranks: dict[int, int] = {}
    for place, entry in enumerate(models, start=1):
        equal = place > 1 and entry.cost - models[place - 2].cost < EQUAL_DOLLARS
        ranks[id(entry)] = ranks[id(models[place - 2])] if equal else place
    return [
        Row(
            ranks.get(id(entry)),
            entry,
            mean_interval(entry.daily, independent=True),
            mean_interval(entry.daily - best, independent=True),
        )
        for entry in sorted(entries, key=lambda entry: (entry.cost, entry.name, entry.policy))
    ]


def anonymous(entries: Sequence[Entry], seed: int) -> Iterator[Entry]:
    """Yield the entries with codes in place of names; only who knows the seed can compute them."""
    for entry in entries:
        yield replace(entry, name=code(entry.name, seed)) if entry.name else entry


def code(name: str, seed: int) -> str:
    """Return the code of a submission."""
    return hashlib.sha256(f"{seed} {name}".encode()).hexdigest()[:8]
