"""Check one model file: read it, ask it for actions, let it scale test days. Meant to run in a limited process."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.policies.base import Policy
from autoscaler_env.policies.rules import RULES
from autoscaler_env.evaluation.metrics.simulation import Rollout, roll_out
from autoscaler_env.service import Service
from autoscaler_env.storage.descriptions import fits, missing_fields, read_description
from autoscaler_env.storage.reading import printable
from autoscaler_env.storage.models import read_model
from autoscaler_env.verification.finding import owner_of
from autoscaler_env.verification.verdicts import Place, Status
from autoscaler_env.waits import wait_percentiles
from autoscaler_env.traffic.patterns import PATTERNS, Pattern, day_seeds

EPISODES = 5
"""Test days of each pattern, the first evaluation days."""

YARDSTICKS = ("random", "threshold")
"""The rules that a model's bill is held against."""


@dataclass
class Findings:
    """What a check found: the fields of a `Verdict`, as far as the file let it come."""

    status: Status = "broken"
    reason: str = ""
    kind: str | None = None
    slots: int | None = None
    bill: float | None = None
    random: float | None = None
    threshold: float | None = None
    bills: dict[str, float] = field(default_factory=dict)
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
    findings.slots = _slots(path, model.slots, described if about == path else {})
    if described and about == path and not fits(described, model.sha256):
        findings.notes.append(f"{_json_of(path)} is stale: it describes another file (SHA-256 differs)")
    rollout = play(model.policy, service, episodes)
    bills = rollout.bill.sum(axis=1).reshape(len(PATTERNS), episodes).mean(axis=1)
    findings.bills = dict(zip(PATTERNS, bills.tolist(), strict=True))
    findings.bill = float(bills.mean())
    findings.random, findings.threshold = (yardstick(name, service, episodes) for name in YARDSTICKS)
    used = set(np.unique(rollout.actions).tolist())
    findings.unused = [change for action, change in enumerate(service.fleet_changes) if action not in used]
    if findings.unused:
        findings.notes.append(f"never asks for {', '.join(f'{change:+d}' for change in findings.unused)} instances")
    _judge(findings)


def _judge(findings: Findings) -> None:
    bill, random, threshold = findings.bill, findings.random, findings.threshold
    assert bill is not None and random is not None and threshold is not None
    trained = "" if findings.slots is None else f", {findings.slots:,} slots"
    told = f"{findings.kind}{trained}, ${bill:.2f} a day (random ${random:.2f}, threshold ${threshold:.2f})"
    missed = [name for name, rival in (("random", random), ("threshold", threshold)) if bill >= rival]
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


def _slots(path: Path, stated: int | None, described: dict[str, Any]) -> int | None:
    """Return for how many slots a model was trained, as the file says, its name, or its description."""
    if stated is not None:
        return stated
    if match := re.search(r"_(\d{1,15})_steps$", path.stem):
        return int(match[1])
    steps = described.get("steps")
    return steps if type(steps) is int else None


def play(policy: Policy, service: Service, episodes: int) -> Rollout:
    """Ask a policy for actions, and let it scale the test days; return what happened, each number checked.

    Raises:
        ValueError: It chose an action that does not exist, or a number is impossible.
    """
    _check_predictions(policy, service)
    rollout = roll_out(policy, _test_days(service, episodes), service)
    _check_metrics(rollout)
    return rollout


def _check_predictions(policy: Policy, service: Service) -> None:
    """Ask for actions in situations from everywhere in the observation space; raise `ValueError` at a bad one."""
    rng = np.random.default_rng(0)
    observations = rng.uniform(0, 1, (64, 7)).astype(np.float32)
    observations[:, 5:] = rng.uniform(-1, 1, (64, 2))
    policy.reset(np.zeros((64, service.slots_per_episode), dtype=np.int64))
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


def _check_metrics(rollout: Rollout) -> None:
    """Raise `ValueError` where a number is impossible."""
    service = rollout.service
    waits = wait_percentiles(rollout.arrivals, rollout.served, rollout.dropped, service.slot_seconds)
    ranges: dict[str, tuple[NDArray[Any], float, float]] = {
        "bill": (rollout.bill, 0, np.inf),
        "queue": (rollout.queue, 0, service.queue_limit),
        "fleet": (rollout.fleet, service.min_instances, service.max_instances),
        "load": (rollout.load, 0, 1),
        "wait": (waits, 0, service.slots_per_episode * service.slot_seconds),
    }
    for name, (values, low, high) in ranges.items():
        if not (np.isfinite(values) & (values >= low) & (values <= high)).all():
            raise ValueError(f"{name} lies outside {low:g} to {high:g}")
    if not np.allclose(rollout.bill, rollout.instance_cost + rollout.late_cost + rollout.drop_cost):
        raise ValueError("the bill is not the sum of its items")
    queue_before = np.hstack([np.zeros_like(rollout.queue[:, :1]), rollout.queue[:, :-1]])
    if not np.array_equal(rollout.arrivals, rollout.served + rollout.dropped + rollout.queue - queue_before):
        raise ValueError("requests are not conserved")


@functools.lru_cache(maxsize=4)
def _test_days(service: Service, episodes: int) -> NDArray[np.int64]:
    """Return the test days, shape (patterns x episodes, slots)."""
    seeds = day_seeds("evaluation", episodes)
    return np.vstack([Pattern(name, service).draw(seeds) for name in PATTERNS])


@functools.lru_cache(maxsize=8)
def yardstick(rule: str, service: Service, episodes: int) -> float:
    """Return a rule's mean bill on the test days, dollars a day."""
    rollout = roll_out(RULES[rule](service), _test_days(service, episodes), service)
    return float(rollout.bill.sum(axis=1).mean())
