"""Check one model file: read it, ask it for actions and play test days with it.

A file may contain anything, so `report` makes each check in a process with limits (`workers`).
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.evaluation.objective import trained_for
from autoscaler_env.evaluation.simulation import Trajectory, simulate, wait_percentiles
from autoscaler_env.policies.base import Policy
from autoscaler_env.policies.rules import RULES
from autoscaler_env.service import Service
from autoscaler_env.storage.models import fits, missing_fields, read_description, read_model
from autoscaler_env.text import listed, printable
from autoscaler_env.traffic.patterns import PATTERNS, Pattern, day_seeds

EPISODES = 5
"""Test days of each pattern by default: the first evaluation days."""

BASELINES = ("random", "threshold")
"""The rules that a model must be cheaper than."""

Status = Literal["ok", "poor", "broken"]
"""ok: it works and is cheaper than the baselines. poor: it works and is not cheaper. broken: do not use it."""

Place = Literal["final", "best", "checkpoint", "other"]
"""Where a file lies: in the folder itself, in `best/`, in `checkpoints/`, or in another folder."""


@dataclass
class Verdict:
    """The result of the check of one file.

    A check fills it in step by step. If the file breaks off the check, the verdict holds the results until then.
    """

    file: str
    """Its path below the folder that was verified; characters that cannot be printed are escaped."""
    status: Status = "broken"
    """ok, poor or broken."""
    reason: str = ""
    """The reason for the status, in one line."""
    cost: float | None = None
    """Mean over the patterns, dollars a day; `None` if no day could be played."""
    random: float | None = None
    """The cost of random actions on the same days."""
    threshold: float | None = None
    """The cost of the threshold rule on the same days."""
    place: Place = "final"
    """final, best, checkpoint or other."""
    kind: str | None = None
    """What it is, such as `PPO 20-64-64-3` or `Q-table of 135 cells x 3 actions`; `None` if it could not be read."""
    timesteps: int | None = None
    """How many timesteps it was trained for; `None` if nothing says so."""
    costs: dict[str, float] = field(default_factory=dict)
    """The cost on each pattern, dollars a day."""
    unused: tuple[int, ...] = ()
    """Actions that it never chose on the test days, as fleet changes in instances."""
    notes: tuple[str, ...] = ()
    """Other results, one sentence each: problems of its `.json`, unused actions."""

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Verdict:
        """Return the verdict that `dataclasses.asdict` turned into a dictionary, possibly by way of JSON.

        Raises:
            TypeError: A field does not exist.
        """
        return cls(**fields | {name: tuple(fields.get(name, ())) for name in ("unused", "notes")})


def check(path: str, place: Place, episodes: int) -> dict[str, Any]:
    """Return the verdict on a file as a dictionary, whatever the file contains.

    Args:
        path: The file.
        place: Where it lies. It decides which description names its service.
        episodes: Test days of each pattern.
    """
    file = Path(path)
    verdict = Verdict(printable(file.name), place=place)
    try:
        _check(file, episodes, verdict)
    except MemoryError:
        verdict.status, verdict.reason = "broken", "it needs more memory than a check may use"
    except Exception as error:  # a file may contain anything
        verdict.status, verdict.reason = "broken", error_message(error, file)
    verdict.reason = "; ".join([verdict.reason, *verdict.notes])
    return vars(verdict)


def error_message(error: Exception, path: Path) -> str:
    """Return what an error of a reader says about a file, without the path of the file in front."""
    return printable(str(error).removeprefix(f"{printable(path)}: ") or type(error).__name__)


def _check(path: Path, episodes: int, verdict: Verdict) -> None:
    described_file, description = _description(path, verdict)
    service = _service(described_file, description, verdict)
    model = read_model(path, service)
    verdict.kind = model.kind
    verdict.notes += tuple(model.notes)
    own_description = description if described_file == path else {}
    verdict.timesteps = _timesteps(path, model.timesteps, own_description)
    if objective := trained_for(own_description):
        verdict.notes += (objective,)
    if own_description and not fits(own_description, model.sha256):
        verdict.notes += (f"{_json_of(path)} is stale: it describes another file (SHA-256 differs)",)
    trajectory = play(model.policy, service, episodes)
    costs = trajectory.cost.sum(axis=1).reshape(len(PATTERNS), episodes).mean(axis=1)
    verdict.costs = dict(zip(PATTERNS, costs.tolist(), strict=True))
    verdict.cost = float(costs.mean())
    verdict.random, verdict.threshold = baseline_costs(service, episodes)
    used = set(np.unique(trajectory.actions).tolist())
    verdict.unused = tuple(change for action, change in enumerate(service.fleet_changes) if action not in used)
    if verdict.unused:
        verdict.notes += (f"unused actions: {', '.join(f'{change:+d}' for change in verdict.unused)} instances",)
    trained = "" if verdict.timesteps is None else f", {verdict.timesteps:,} timesteps"
    baselines = f"random ${verdict.random:.2f}, threshold ${verdict.threshold:.2f}"
    verdict.reason = f"{verdict.kind}{trained}, ${verdict.cost:.2f} a day ({baselines})"
    cheaper = [name for name in BASELINES if getattr(verdict, name) <= verdict.cost]
    verdict.status = "poor" if cheaper else "ok"
    if cheaper:
        verdict.reason = f"not cheaper than {listed(cheaper)}: {verdict.reason}"


def _description(path: Path, verdict: Verdict) -> tuple[Path, dict[str, Any]]:
    """Return the description of a file, or of the model that it is a version of, and which of the two it describes."""
    for model in (path, _owner_of(path, verdict.place)):
        try:
            description = read_description(model)
        except ValueError as error:
            verdict.notes += (f"{_json_of(model)} is damaged: {str(error).partition(': ')[2]}",)
            break
        if description is not None:
            if model == path and (missing := missing_fields(description)):
                verdict.notes += (f"{_json_of(model)} does not say: {', '.join(missing)}",)
            return model, description
    return path, {}


def _owner_of(path: Path, place: Place) -> Path:
    """Return the final model that a checkpoint or a best version belongs to, or the file itself."""
    if place == "checkpoint":
        return path.parent.parent / (re.sub(r"_\d+_steps$", "", path.stem) + path.suffix)
    if place == "best" and path.parent.parent.name == "best":
        return path.parent.parent.parent / f"{path.parent.name}{path.suffix}"
    return path


def _service(model: Path, description: dict[str, Any], verdict: Verdict) -> Service:
    """Return the service that a model was trained for; the reference service if no valid description names one."""
    try:
        return Service.from_dict(description.get("service", {}))
    except (ValueError, TypeError, AttributeError) as error:
        verdict.notes += (f"{_json_of(model)} is damaged: {printable(error)}",)
        return Service()


def _json_of(model: Path) -> str:
    return printable(f"{model.stem}.json")


def _timesteps(path: Path, stated: int | None, description: dict[str, Any]) -> int | None:
    """Return how long a model was trained according to the file, its name, or its description, in this order."""
    if stated is not None:
        return stated
    if match := re.search(r"_(\d{1,15})_steps$", path.stem):
        return int(match[1])
    timesteps = description.get("timesteps")
    return timesteps if type(timesteps) is int else None


def play(policy: Policy, service: Service, episodes: int) -> Trajectory:
    """Play the test days with a policy, check every number, and return the trajectory.

    Raises:
        ValueError: The policy chose an action that does not exist, or a number is impossible.
    """
    _check_predictions(policy, service)
    trajectory = simulate(policy, _test_days(service, episodes), service)
    _check_metrics(trajectory)
    return trajectory


def _check_predictions(policy: Policy, service: Service) -> None:
    """Ask for actions on observations from the whole observation space; raise `ValueError` at a bad one."""
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


@functools.lru_cache(maxsize=4)
def baseline_costs(service: Service, episodes: int) -> tuple[float, ...]:
    """Return the mean costs of the baselines on the test days, dollars a day."""
    days = _test_days(service, episodes)
    trajectories = [simulate(RULES[name](service), days, service) for name in BASELINES]
    return tuple(float(trajectory.cost.sum(axis=1).mean()) for trajectory in trajectories)


def prepare_baselines(episodes: int) -> None:
    """Cache the costs of the baselines for the reference service."""
    baseline_costs(Service(), episodes)


def warm_up(networks: bool) -> None:
    """Import what a check needs, and call what is compiled at its first call.

    Args:
        networks: Whether to do it for neural networks too.
    """
    from autoscaler_env.policies.q_learning import QTable

    policies: list[Policy] = [QTable.zeros()]
    if networks:
        from autoscaler_env.policies.deep import DeepPolicy, build_network
        from autoscaler_env.policies.inputs import INPUTS

        policies += [DeepPolicy(build_network(name, INPUTS, 3, [4]), Service(), name) for name in ("dqn", "ppo")]
    for policy in policies:
        play(policy, Service(), 1)
