"""Check one model file: read it, ask it for actions, let it scale test days. Meant to run in a limited process.

What was found about model files, and how it is told.

Find the model files below a folder, without following links.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.evaluation.simulation import Trajectory, simulate, wait_percentiles
from autoscaler_env.policies.base import Policy
from autoscaler_env.policies.registry import MODEL_ENDINGS
from autoscaler_env.policies.rules import RULES
from autoscaler_env.service import Service
from autoscaler_env.storage.models import fits, missing_fields, read_description, read_model
from autoscaler_env.text import printable
from autoscaler_env.traffic.patterns import PATTERNS, Pattern, day_seeds

if TYPE_CHECKING:
    import pandas as pd


Status = Literal["ok", "poor", "broken"]
"""ok: works, and is cheaper than random and threshold. poor: works, but is not. broken: do not use it."""

Place = Literal["final", "best", "checkpoint", "other"]
"""Where a file lies: beside the others, in `best/`, in `checkpoints/`, or in another folder."""


@dataclass(frozen=True)
class Verdict:
    """What was found about one file."""

    file: str
    """Its path below the folder that was verified; what cannot be printed is escaped."""
    status: Status
    """ok, poor or broken."""
    reason: str
    """Why, in one line."""
    cost: float | None = None
    """Mean over the patterns, dollars a day; `None` where no day could be played."""
    random: float | None = None
    """The cost of random actions on the same days."""
    threshold: float | None = None
    """The cost of the threshold rule on the same days."""
    place: Place = "final"
    """final, best, checkpoint or other."""
    kind: str | None = None
    """What it is, as in `PPO 20-64-64-3` or `Q-table of 135 cells x 3 actions`; `None` if it could not be read."""
    timesteps: int | None = None
    """Steps it was trained for; `None` where nothing says so."""
    costs: dict[str, float] = field(default_factory=dict)
    """The cost on each pattern, dollars a day."""
    unused: tuple[int, ...] = ()
    """Fleet changes that it could ask for and never did on the test days, in instances."""
    notes: tuple[str, ...] = ()
    """What else should be known, a sentence each: of its `.json`, of actions it never takes."""


def overall(verdicts: Iterable[Verdict]) -> tuple[bool, str]:
    """Return whether there are files and none is broken, and say so in one line."""
    verdicts = list(verdicts)
    if not verdicts:
        return False, "FAIL: No model files found."
    broken = [verdict.file for verdict in verdicts if verdict.status == "broken"]
    finals = [verdict for verdict in verdicts if verdict.place == "final"]
    others = [verdict for verdict in verdicts if verdict.place != "final"]
    told = f"{len(verdicts)} model files; final: {_counted(finals)}; best, checkpoints and others: {_counted(others)}."
    if not broken:
        return True, f"PASS: {told}"
    named = ", ".join(broken[:3]) + (f" and {len(broken) - 3} more" if len(broken) > 3 else "")
    return False, f"FAIL: {told} Broken: {named}."


def _counted(verdicts: list[Verdict]) -> str:
    counts = {status: sum(verdict.status == status for verdict in verdicts) for status in ("ok", "poor", "broken")}
    return ", ".join(f"{count} {status}" for status, count in counts.items() if count) or "none"


def summary(verdicts: Iterable[Verdict]) -> str:
    """Return a table of the final models as text: a line each, so that they do not get lost among checkpoints."""
    finals = [verdict for verdict in verdicts if verdict.place == "final"]
    if not finals:
        return "No final models."
    rows: list[tuple[str, ...]] = [
        ("final model", "status", "what it is", "timesteps", "$ a day", "random", "threshold", "never asks for")
    ]
    for each in finals:
        money = ["" if cost is None else f"{cost:.2f}" for cost in (each.cost, each.random, each.threshold)]
        timesteps = "" if each.timesteps is None else f"{each.timesteps:,}"
        never = " ".join(f"{change:+d}" for change in each.unused)
        rows.append((_shortened(each.file), each.status, each.kind or "", timesteps, *money, never))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    aligned = ("<", "<", "<", ">", ">", ">", ">", "<")
    return "\n".join(
        "  ".join(f"{text:{side}{width}}" for text, side, width in zip(row, aligned, widths, strict=True)).rstrip()
        for row in rows
    )


def _shortened(name: str, most: int = 48) -> str:
    return name if len(name) <= most else f"{name[: most // 2 - 2]}...{name[1 - most // 2 :]}"


def as_table(verdicts: Iterable[Verdict]) -> pd.DataFrame:
    """Return the verdicts as a table, indexed by file."""
    import pandas

    columns = ["file", "place", "status", "kind", "timesteps", "cost", "random", "threshold", "reason"]
    table = pandas.DataFrame([vars(verdict) for verdict in verdicts], columns=columns).set_index("file")
    return table.astype({"timesteps": "Int64"})


MOST_FILES = 10_000
"""Model files that are looked for below a folder; from there on one line says that there are more."""

_PLACES: dict[str, Place] = {"best": "best", "checkpoints": "checkpoint"}


class Found(NamedTuple):
    """What may be a model file."""

    path: Path
    place: Place
    problem: str | None = None
    """Why it is not even looked into; `None` if it is."""


def model_files(folder: Path) -> list[Path]:
    """Return the model files of a folder: final models, `best/`, then `checkpoints/` by their timesteps."""
    return [found.path for found in find(folder) if found.problem is None]


def find(folder: Path) -> list[Found]:
    """Return what may be a model file below a folder, or below its folder `models` if it has one.

    Hidden files, such as killed writers leave them, are none. A folder that is a link or cannot be opened is named.
    """
    inner = folder / "models"
    if inner.is_symlink():
        return [Found(inner, "other", "a link; links are not followed, name the folder itself")]
    models = inner if inner.is_dir() else folder
    found: list[Found] = []
    waiting = [models]
    while waiting:
        here = waiting.pop()
        try:
            entries = sorted(os.scandir(here), key=lambda entry: entry.name)
        except OSError as error:
            found.append(Found(here, "other", f"a folder that cannot be opened: {error.strerror or error}"))
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            path = here / entry.name
            if path.suffix in MODEL_ENDINGS:
                found.append(Found(path, _place(path, models)))
            elif entry.is_symlink() and path.is_dir():
                found.append(Found(path, "other", "a link to a folder; links are not followed"))
            elif entry.is_dir(follow_symlinks=False):
                waiting.append(path)
        if len(found) > MOST_FILES:
            del found[MOST_FILES:]
            found.append(Found(here, "other", f"more than {MOST_FILES:,} model files; the rest was not looked at"))
            break
    return sorted(found, key=lambda each: _order(each, models))


def _place(path: Path, models: Path) -> Place:
    first, *rest = path.relative_to(models).parts
    return _PLACES.get(first, "other") if rest else "final"


def _order(found: Found, models: Path) -> tuple[int, str, int, str]:
    """Order by place, then by model, then by timesteps as numbers."""
    places = ("final", "best", "checkpoint", "other")
    path = found.path
    match = re.fullmatch(r"(.*)_(\d{1,15})_steps", path.stem)
    name, timesteps = (match[1], int(match[2])) if match else (path.stem, 0)
    below = str(path.parent.relative_to(models)) if path.is_relative_to(models) and path != models else ""
    return places.index(found.place), below + "/" + name, timesteps, path.name


def owner_of(path: Path, place: Place) -> Path:
    """Return the final model that a checkpoint or a best version belongs to, or the file itself."""
    if place == "checkpoint":
        return path.parent.parent / (re.sub(r"_\d+_steps$", "", path.stem) + path.suffix)
    if place == "best" and path.parent.parent.name == "best":
        return path.parent.parent.parent / f"{path.parent.name}{path.suffix}"
    return path


EPISODES = 5
"""Test days of each pattern, the first evaluation days."""

YARDSTICKS = ("random", "threshold")
"""The rules that a model's cost is held against."""


@dataclass
class Findings:
    """What a check found: the fields of a `Verdict`, as far as the file let it come."""

    status: Status = "broken"
    reason: str = ""
    kind: str | None = None
    timesteps: int | None = None
    cost: float | None = None
    random: float | None = None
    threshold: float | None = None
    costs: dict[str, float] = field(default_factory=dict)
    unused: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def check(path: Path, place: Place, episodes: int) -> Findings:
    """Return what there is to say about a file, whatever it holds.

    Args:
        path: The file.
        place: Where it lies among the models: that says whose description tells its service.
        episodes: Test days of each pattern.
    """
    findings = Findings()
    try:
        _check(path, place, episodes, findings)
    except MemoryError:
        findings.status, findings.reason = "broken", "it needs more memory than a check may use"
    except Exception as error:  # a file may hold anything
        findings.status = "broken"
        findings.reason = printable(str(error).removeprefix(f"{printable(path)}: ") or type(error).__name__)
    findings.reason = "; ".join([findings.reason, *findings.notes])
    return findings


def _check(path: Path, place: Place, episodes: int, findings: Findings) -> None:
    about, described = _description(path, place, findings)
    service = _service(about, described, findings)
    model = read_model(path, service)
    findings.kind = model.kind
    findings.notes += model.notes
    findings.timesteps = _timesteps(path, model.timesteps, described if about == path else {})
    if described and about == path and not fits(described, model.sha256):
        findings.notes.append(f"{_json_of(path)} is stale: it describes another file (SHA-256 differs)")
    trajectory = play(model.policy, service, episodes)
    costs = trajectory.cost.sum(axis=1).reshape(len(PATTERNS), episodes).mean(axis=1)
    findings.costs = dict(zip(PATTERNS, costs.tolist(), strict=True))
    findings.cost = float(costs.mean())
    findings.random, findings.threshold = (yardstick(name, service, episodes) for name in YARDSTICKS)
    used = set(np.unique(trajectory.actions).tolist())
    findings.unused = [change for action, change in enumerate(service.fleet_changes) if action not in used]
    if findings.unused:
        findings.notes.append(f"never asks for {', '.join(f'{change:+d}' for change in findings.unused)} instances")
    _judge(findings)


def _judge(findings: Findings) -> None:
    cost, random, threshold = findings.cost, findings.random, findings.threshold
    assert cost is not None and random is not None and threshold is not None
    trained = "" if findings.timesteps is None else f", {findings.timesteps:,} timesteps"
    told = f"{findings.kind}{trained}, ${cost:.2f} a day (random ${random:.2f}, threshold ${threshold:.2f})"
    missed = [name for name, rival in (("random", random), ("threshold", threshold)) if cost >= rival]
    findings.status = "poor" if missed else "ok"
    findings.reason = f"not cheaper than {' and '.join(missed)}: {told}" if missed else told


def _description(path: Path, place: Place, findings: Findings) -> tuple[Path, dict[str, Any]]:
    """Return what is said about a file, and which it is said of: the file, or the model that it is a version of."""
    for about in (path, owner_of(path, place)):
        try:
            described = read_description(about)
        except ValueError as error:
            findings.notes.append(f"{_json_of(about)} is damaged: {str(error).partition(': ')[2]}")
            break
        if described is not None:
            if about == path and (missing := missing_fields(described)):
                findings.notes.append(f"{_json_of(about)} does not say: {', '.join(missing)}")
            return about, described
    return path, {}


def _service(about: Path, described: dict[str, Any], findings: Findings) -> Service:
    """Return the service that a model was trained for; the reference service where nothing sound is said."""
    try:
        return Service.from_dict(described.get("service", {}))
    except (ValueError, TypeError, AttributeError) as error:
        findings.notes.append(f"{_json_of(about)} is damaged: {printable(error)}")
        return Service()


def _json_of(model: Path) -> str:
    return printable(f"{model.stem}.json")


def _timesteps(path: Path, stated: int | None, described: dict[str, Any]) -> int | None:
    """Return for how many timesteps a model was trained, as the file says, its name, or its description."""
    if stated is not None:
        return stated
    if match := re.search(r"_(\d{1,15})_steps$", path.stem):
        return int(match[1])
    timesteps = described.get("timesteps")
    return timesteps if type(timesteps) is int else None


def play(policy: Policy, service: Service, episodes: int) -> Trajectory:
    """Ask a policy for actions, and let it scale the test days; return what happened, each number checked.

    Raises:
        ValueError: It chose an action that does not exist, or a number is impossible.
    """
    _check_predictions(policy, service)
    trajectory = simulate(policy, _test_days(service, episodes), service)
    _check_metrics(trajectory)
    return trajectory


def _check_predictions(policy: Policy, service: Service) -> None:
    """Ask for actions in situations from everywhere in the observation space; raise `ValueError` at a bad one."""
    rng = np.random.default_rng(0)
    observations = rng.uniform(0, 1, (64, 7)).astype(np.float32)
    observations[:, 5:] = rng.uniform(-1, 1, (64, 2))
    policy.reset(np.zeros((64, service.steps_per_episode), dtype=np.int64))
    network: Any = getattr(policy, "network", None)
    if network is not None and not np.isfinite(_scores(network, rng)).all():
        raise ValueError("its outputs are not finite: its weights are too large")
    actions = np.asarray(policy.predict(observations))
    if actions.shape != (64,) or not np.isin(actions, np.arange(len(service.fleet_changes))).all():
        raise ValueError(f"predicts actions outside 0 to {len(service.fleet_changes) - 1}")


def _scores(network: Any, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return what a network computes before it takes the best action; an action hides what is not finite."""
    import torch

    with torch.no_grad():
        inputs = torch.from_numpy(rng.uniform(-3, 3, (64, *network.observation_space.shape)).astype(np.float32))
        if hasattr(network, "q_net"):
            return network.q_net.q_net(inputs).numpy()
        return network.action_net(network.mlp_extractor.forward_actor(inputs)).numpy()


def _check_metrics(trajectory: Trajectory) -> None:
    """Raise `ValueError` where a number is impossible."""
    service = trajectory.service
    waits = wait_percentiles(trajectory.arrivals, trajectory.served, trajectory.dropped, service.step_seconds)
    ranges: dict[str, tuple[NDArray[Any], float, float]] = {
        "cost": (trajectory.cost, 0, np.inf),
        "queue": (trajectory.queue, 0, service.queue_limit),
        "fleet": (trajectory.fleet, service.min_instances, service.max_instances),
        "utilisation": (trajectory.utilisation, 0, 1),
        "wait": (waits, 0, service.steps_per_episode * service.step_seconds),
    }
    for name, (values, low, high) in ranges.items():
        if not (np.isfinite(values) & (values >= low) & (values <= high)).all():
            raise ValueError(f"{name} lies outside {low:g} to {high:g}")
    if not np.allclose(trajectory.cost, trajectory.instance_cost + trajectory.late_cost + trajectory.drop_cost):
        raise ValueError("the cost is not the sum of its items")
    queue_before = np.hstack([np.zeros_like(trajectory.queue[:, :1]), trajectory.queue[:, :-1]])
    if not np.array_equal(
        trajectory.arrivals, trajectory.served + trajectory.dropped + trajectory.queue - queue_before
    ):
        raise ValueError("requests are not conserved")


@functools.lru_cache(maxsize=4)
def _test_days(service: Service, episodes: int) -> NDArray[np.int64]:
    """Return the test days, shape (patterns x episodes, steps)."""
    seeds = day_seeds("evaluation", episodes)
    return np.vstack([Pattern(name, service).draw(seeds) for name in PATTERNS])


@functools.lru_cache(maxsize=8)
def yardstick(rule: str, service: Service, episodes: int) -> float:
    """Return a rule's mean cost on the test days, dollars a day."""
    trajectory = simulate(RULES[rule](service), _test_days(service, episodes), service)
    return float(trajectory.cost.sum(axis=1).mean())
