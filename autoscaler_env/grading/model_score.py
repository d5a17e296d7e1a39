"""Grade the models of a submission: does each model work, and what does it cost on secret days?

A model file may contain anything, so it is read and played in a process with limits (`verification.workers`). The days
belong to the evaluation set. The days are drawn when grading begins.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.grading.report import Item
from autoscaler_env.grading.rubric import Rubric
from autoscaler_env.grading.submission import Submission, kind_of
from autoscaler_env.policies.base import Policy
from autoscaler_env.policies.registry import MODEL_ENDINGS
from autoscaler_env.policies.rules import RULES
from autoscaler_env.service import Service
from autoscaler_env.storage.models import load_policy
from autoscaler_env.text import dollars, one_line, percent, printable
from autoscaler_env.traffic.patterns import PATTERNS, Pattern, day_seeds
from autoscaler_env.verification.check import error_message
from autoscaler_env.verification.report import verify
from autoscaler_env.verification.workers import MAX_ANSWER_BYTES, WorkerError, Workers

SCORE_SECONDS = 300
"""Time limit for the secret days of one model."""

SCORE_MEGABYTES = 4_096
"""Memory limit for the secret days of one model."""

ALIKE = 0.95
"""A model that acts like one of the course's own in this share of the steps is taken for a copy of it.

It is compared with each of them, because the weights of a network fit into a file of another algorithm. Two models of
one submission that act alike so often count as one.

Nine trainings with the course's budgets (three seeds of each learner) agreed with each other in 54 to 89 % of the steps
of 20 days of each pattern. Copies with 0.1 % of noise on every number agreed in 97 % (Q-table, DQN) and 99.97 % (PPO).
More noise cannot be told from a training: at 1 % a DQN agrees in 80 %, at 40 % a PPO in 87 %.
"""

KIN = 0.5
"""Correlation of the weights of two networks from which a report says that they have one origin.

Six trainings with other seeds (three of DQN, three of PPO) correlated with the course's by at most 0.14, and with each
other by at most 0.18. With the course's seed and half the budget it was 0.94 (DQN) and 0.99 (PPO): those are honest
trainings, so no points depend on this. A copy with noise of a share s of each weight has 1 / sqrt(1 + s * s): 0.93 at
40 %, 0.5 at 170 %. It tells nothing about Q-tables, because all good ones hold nearly the same values.
"""

_LEAST_COMPARED = 500
"""Numbers of a matrix that is compared: two of few numbers correlate by chance."""

_DAY_BYTES = 25
"""Bytes of an answer that the cost of one day takes."""

_ORIGIN = (
    "its weights correlate with those of the course's model by {:.2f}, as with the same seed, after a training that "
    "went on from that model, or in a copy with noise: ask, no points depend on it"
)

VERIFY_SECONDS = 60
"""Time limit for the check of one file: more than in `autoscaler verify`, because several submissions run at once."""


@dataclass(frozen=True)
class Score:
    """What a model does on secret days."""

    cost: float | None = None
    """Mean over the patterns, dollars a day; `None` if it could not be played."""
    daily: tuple[float, ...] = ()
    """Cost of each day, mean over the patterns, dollars."""
    actions: str = ""
    """A hash of the costs of all days. It is equal for models that act alike."""
    algorithm: str = ""
    """q_learning, dqn, ppo or a2c; empty if the file cannot be read."""
    alike: float = 0.0
    """The largest share of steps, from 0 to 1, in which it acts as one of the course's own models does."""
    original: str = ""
    """The name of that model of the course."""
    twin: str = ""
    """The first model of the same submission that acts alike in at least `ALIKE` of the steps; empty if none does."""
    twin_alike: float = 0.0
    """The share of steps in which that one does, from 0 to 1."""
    kin: float = 0.0
    """The largest correlation of its weights with those of one of the course's own networks (`kinship`)."""
    error: str = ""
    """Why it could not be played, in one line."""


def score(
    workers: Workers, path: Path, seed: int, days: int, others: Sequence[Path] = (), earlier: Sequence[Path] = ()
) -> Score:
    """Return the score of a model, which a process with limits reads and plays.

    Args:
        workers: The processes with limits.
        path: The file.
        seed: Which days, from 0 to 2**61 - 1.
        days: How many days of each pattern.
        others: The course's own models.
        earlier: The models of the same submission that count already.
    """
    compared = ([str(other.resolve()) for other in paths] for paths in (others, earlier))
    arguments = (str(path.resolve()), seed, days, *compared)
    prepare = functools.partial(_secret_days, seed, days)  # the children share the days
    limits = {"megabytes": SCORE_MEGABYTES, "answer_bytes": MAX_ANSWER_BYTES + _DAY_BYTES * days}
    try:
        fields = workers.call(play, *arguments, prepare=prepare, seconds=SCORE_SECONDS, **limits)
        return Score(**fields | {"daily": tuple(fields.get("daily", ()))})
    except WorkerError as error:  # a limit: what the file holds is known without its days
        return Score(error=str(error), algorithm=_algorithm(workers, path))


def _algorithm(workers: Workers, path: Path) -> str:
    """Return the algorithm of a model file; an empty text if it cannot be read."""
    with contextlib.suppress(WorkerError):
        kind: dict[str, str] = workers.call(kind_of, str(path.resolve()), seconds=SCORE_SECONDS)
        return kind.get("algorithm", "")
    return ""


def play(path: str, seed: int, days: int, others: Sequence[str], earlier: Sequence[str]) -> dict[str, Any]:
    """Return the fields of a `Score`. This runs in the process with limits."""
    kind = kind_of(path)
    if "problem" in kind:
        return {"error": kind["problem"]}
    algorithm = kind["algorithm"]
    try:
        costs = _costs(load_policy(Path(path)), seed, days)
        alike, original = max(_shares(path, others, seed, days), default=(0.0, ""))
        twins = (pair for pair in _shares(path, earlier, seed, days) if pair[0] >= ALIKE)
        twin_alike, twin = next(twins, (0.0, ""))
        kin = max((kinship(load_policy(Path(path)), load_policy(Path(other))) for other in others), default=0.0)
    except Exception as error:  # a file may contain anything
        return {"error": error_message(error, Path(path)), "algorithm": algorithm}
    actions = hashlib.sha256(costs.round(6).tobytes()).hexdigest()
    daily = costs.reshape(len(PATTERNS), days).mean(axis=0).tolist()
    fields = {"cost": float(costs.mean()), "daily": daily, "actions": actions, "algorithm": algorithm}
    return fields | {"alike": alike, "original": original, "twin": twin, "twin_alike": twin_alike, "kin": kin}


def _shares(path: str, others: Sequence[str], seed: int, days: int) -> Iterator[tuple[float, str]]:
    """Yield for each other model the share of steps in which a model acts alike, and the other's name."""
    for other in map(Path, others):
        yield likeness(load_policy(Path(path)), load_policy(other), seed, days), other.stem


def likeness(policy: Policy, other: Policy, seed: int, days: int) -> float:
    """Return the share of steps, from 0 to 1, in which two policies choose the same action.

    Both see the same observations: those of secret days on which the other policy acts.
    """
    pair = _Pair(other, policy)
    simulate(pair, _secret_days(seed, days), Service())
    return pair.equal / max(pair.asked, 1)


def kinship(policy: Policy, other: Policy) -> float:
    """Return the largest correlation of a matrix of weights of one network with one of the other, from 0 to 1.

    Matrices of equal shape are compared, whatever algorithm and whatever part of its network they belong to. It is 0
    for Q-tables, and for networks without such a pair.
    """
    pairs = [(one, two) for one in _matrices(policy) for two in _matrices(other) if one.shape == two.shape]
    correlations = [float(np.nan_to_num(np.corrcoef(one.ravel(), two.ravel())[0, 1])) for one, two in pairs]
    return max(correlations, default=0.0)


def _matrices(policy: Policy) -> list[NDArray[np.float64]]:
    """Return the matrices of weights of a network, without its copy that DQN learns from; none for a Q-table."""
    network: Any = getattr(policy, "network", None)
    named = network.state_dict().items() if network is not None else ()
    values = [value.double().numpy() for name, value in named if not name.startswith("q_net_target.")]
    return [value for value in values if value.ndim == 2 and value.size >= _LEAST_COMPARED]


class _Pair:
    """A policy that acts as the first of two, and counts how often the second would act alike."""

    def __init__(self, first: Policy, second: Policy) -> None:
        self.name = first.name
        self.equal = self.asked = 0
        self._first, self._second = first, second

    def reset(self, days: NDArray[np.int64]) -> None:
        self._first.reset(days)
        self._second.reset(days)

    def predict(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        actions = self._first.predict(observations)
        self.equal += int((actions == self._second.predict(observations)).sum())
        self.asked += len(actions)
        return actions


@functools.cache
def rule_cost(rule: str, seed: int, days: int) -> float:
    """Return the cost of a rule on the same days, dollars a day."""
    return float(rule_costs(rule, seed, days).mean())


def rule_costs(rule: str, seed: int, days: int) -> NDArray[np.float64]:
    """Return the cost of a rule on each of the same days, mean over the patterns, in dollars."""
    costs: NDArray[np.float64] = _costs(RULES[rule](Service()), seed, days).reshape(len(PATTERNS), days).mean(axis=0)
    return costs


@functools.lru_cache(maxsize=1)
def _secret_days(seed: int, days: int) -> NDArray[np.int64]:
    """Return the arrivals of the secret days, shape (patterns x days, steps)."""
    seeds = day_seeds("evaluation", days, first=seed)
    return np.vstack([Pattern(name, Service()).draw(seeds) for name in PATTERNS])


def _costs(policy: Policy, seed: int, days: int) -> NDArray[np.float64]:
    """Return the cost of every day in dollars, one pattern after the other."""
    costs: NDArray[np.float64] = simulate(policy, _secret_days(seed, days), Service()).cost.sum(axis=1)
    return costs


def grade_models(
    submission: Submission, rubric: Rubric, seed: int, course_models: Path, workers: Workers
) -> tuple[tuple[Item, ...], tuple[Item, ...], dict[str, str]]:
    """Grade the expected models of a submission.

    Args:
        submission: The submission.
        rubric: What earns points.
        seed: Which secret days the models play.
        course_models: The folder with the models that the course ships.
        workers: The processes that read model files.

    Returns:
        For each expected model one item for whether it works, one item for its cost; and by model a hash of its
        actions, except for models that act like the course's own.
    """
    model_points, cost_points = (rubric.worth(part, rubric.models.expected) for part in ("models", "costs"))
    models, costs = [], []
    fingerprints: dict[str, str] = {}
    counting: list[Path] = []
    for name in rubric.models.expected:
        works, cost = ("not submitted", submission.reason_without(name)), ("not submitted", "")
        works_share = cost_share = 0.0
        if path := submission.models.get(name):
            own = [] if rubric.models.course_models else model_files(course_models)
            result = score(workers, path, seed, rubric.costs.days, own, counting)
            if refusal := refusal_of(result, name):
                works, cost = refusal, (refusal[0], "")
            else:
                counting += [path] if result.actions else []
                fingerprints |= {f"actions of {name}": result.actions} if result.actions else {}
                works, works_share = _check(path, rubric, workers)
                if result.kin >= KIN:
                    works = works[0], f"{works[1]}; {_ORIGIN.format(result.kin)}"
                cost, cost_share = _cost(result, rubric, seed)
                cost_share *= works[0] != "broken"
        models.append(Item(name, *works, works_share * model_points[name], model_points[name]))
        costs.append(Item(name, *cost, cost_share * cost_points[name], cost_points[name]))
    return tuple(models), tuple(costs), fingerprints


def refusal_of(result: Score, name: str) -> tuple[str, str] | None:
    """Return why a model earns no points whatever it costs, as a state and a reason; `None` if it may earn some."""
    if result.alike >= ALIKE:
        share = percent(result.alike, 2)
        reason = f"it acts like the {result.original} that the course ships in {share} of the steps of secret days"
        return "the course's own", reason
    if result.algorithm and not name.startswith(result.algorithm):
        held = "Q-learning" if result.algorithm == "q_learning" else result.algorithm.upper()
        return "another algorithm", f"the file holds a model of {held}"
    if result.twin:
        share = percent(result.twin_alike, 2)
        reason = f"it acts like the {result.twin} of this submission in {share} of the steps of secret days"
        return "handed in twice", f"{reason}; that one counts"
    return None


def _check(path: Path, rubric: Rubric, workers: Workers) -> tuple[tuple[str, str], float]:
    """Return the verdict of `verify` on a file with its reason, and its share of the points."""
    (verdict,) = verify(path, progress=False, seconds=VERIFY_SECONDS, workers=workers)
    share = {"ok": 1.0, "poor": rubric.models.poor, "broken": 0.0}[verdict.status]
    return (verdict.status, printable(one_line(verdict.reason))), share


def _cost(result: Score, rubric: Rubric, seed: int) -> tuple[tuple[str, str], float]:
    """Return the cost of a model with the scale that it lies on, and its share of the points."""
    if result.cost is None:
        return ("no cost", printable(one_line(result.error))), 0.0
    costs = rubric.costs
    zero, full = (rule_cost(rule, seed, costs.days) for rule in (costs.zero_at, costs.full_at))
    scale = f"{costs.zero_at} {dollars(zero)}, {costs.full_at} {dollars(full)}, on {costs.days} days of each pattern"
    return (f"{dollars(result.cost)} a day", scale), costs.share(result.cost, zero, full)


def model_files(folder: Path) -> list[Path]:
    """Return the model files in a folder."""
    return sorted(path for path in folder.glob("*.*") if path.suffix in MODEL_ENDINGS)
