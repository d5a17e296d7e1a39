"""Check model files: does each load, predict, play test days, and is its bill worth having?"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from autoscaler_env.catalog import MODEL_ENDINGS
from autoscaler_env.evaluation import measure
from autoscaler_env.paths import Folders
from autoscaler_env.policies.base import Policy
from autoscaler_env.policies.rules import RULES
from autoscaler_env.rollouts import Rollout, roll_out
from autoscaler_env.service import Service
from autoscaler_env.storage import load_policy, read_description
from autoscaler_env.workloads import PATTERNS, Pattern, day_seeds

EPISODES = 5
"""Test days of each pattern, the first evaluation days."""

Status = Literal["ok", "poor", "broken"]
"""ok: works, and is cheaper than random and threshold. poor: works, but is not. broken: do not use it."""


@dataclass(frozen=True)
class Verdict:
    """What was found about one file."""

    file: str
    """Its path below the folder that was verified."""
    status: Status
    """ok, poor or broken."""
    reason: str
    """Why, in one line."""
    bill: float | None = None
    """Mean over the patterns, dollars a day; `None` where no day could be played."""
    random: float | None = None
    """The bill of random actions on the same days."""
    threshold: float | None = None
    """The bill of the threshold rule on the same days."""


def verify(folder: str | Path | None = None, *, episodes: int = EPISODES, progress: bool = True) -> list[Verdict]:
    """Check every model file of a folder; a broken one costs a line, never the run.

    A file is played on the service that its `.json` names (a checkpoint: that of its model), else on the reference
    service. No code that a file may carry is run.

    Args:
        folder: Holds models, and `best/` and `checkpoints/` with more of them; or a folder `models` that does. The
            project's models by default.
        episodes: Test days of each pattern.
        progress: Whether to show a progress bar.

    Returns:
        A verdict per file: final models, best ones, checkpoints.

    Raises:
        ValueError: There is no such folder.
    """
    root = Path(folder) if folder is not None else Folders().models
    if not root.is_dir():
        raise ValueError(
            f"folder = {str(root)!r}: no such folder; train a model first, as in: autoscaler train q-learning"
        )
    files = model_files(root)
    return [_verify_file(path, root, episodes) for path in tqdm(files, unit="file", disable=None if progress else True)]


def model_files(folder: Path) -> list[Path]:
    """Return the model files of a folder: final models, `best/`, then `checkpoints/` by their steps."""
    models = folder / "models" if (folder / "models").is_dir() else folder
    places = (models.glob("*"), models.glob("best/*/*"), models.glob("checkpoints/*"))
    return [path for place in places for path in sorted(_models(place), key=_by_steps)]


def overall(verdicts: list[Verdict]) -> tuple[bool, str]:
    """Return whether there are files and none is broken, and say so in one line."""
    if not verdicts:
        return False, "No model files found."
    counts = {status: sum(verdict.status == status for verdict in verdicts) for status in ("ok", "poor", "broken")}
    told = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    return not counts["broken"], f"{len(verdicts)} model files: {told}."


def as_table(verdicts: list[Verdict]) -> pd.DataFrame:
    """Return the verdicts as a table, indexed by file."""
    columns = ["file", "status", "bill", "random", "threshold", "reason"]
    return pd.DataFrame([vars(verdict) for verdict in verdicts], columns=columns).set_index("file")


def _models(paths: Iterable[Path]) -> list[Path]:
    return [path for path in paths if path.suffix in MODEL_ENDINGS and not path.name.startswith(".")]


def _by_steps(path: Path) -> tuple[str, int, str]:
    match = re.fullmatch(r"(.*)_(\d+)_steps", path.stem)
    return (match[1], int(match[2]), path.name) if match else (str(path), 0, path.name)


def _verify_file(path: Path, root: Path, episodes: int) -> Verdict:
    """Return the verdict on one file, whatever the file does."""
    file = path.relative_to(root).as_posix()
    try:
        service = _service_of(path)
        policy = load_policy(path, service)
        _check_predictions(policy, service)
        bill = _play(policy, service, episodes)
    except Exception as error:  # a file may hold anything
        reason = " ".join(str(error).split()).removeprefix(f"{path}: ") or type(error).__name__
        return Verdict(file, "broken", reason)
    random, threshold = (_yardstick(name, service, episodes) for name in ("random", "threshold"))
    beaten = [name for name, yardstick in (("random", random), ("threshold", threshold)) if bill < yardstick]
    reason = f"${bill:.2f} a day (random ${random:.2f}, threshold ${threshold:.2f})"
    if len(beaten) == 2:
        return Verdict(file, "ok", reason, bill, random, threshold)
    missed = "threshold" if beaten == ["random"] else "random" if beaten else "random and threshold"
    return Verdict(file, "poor", f"not cheaper than {missed}: {reason}", bill, random, threshold)


def _service_of(path: Path) -> Service:
    """Return the service that a model was trained for, as its description says; check that it describes this file.

    Raises:
        ValueError: The description is damaged, or the file is another one than it describes.
    """
    owner = path
    if path.parent.name == "checkpoints":
        owner = path.parent.parent / (re.sub(r"_\d+_steps$", "", path.stem) + path.suffix)
    elif path.parent.parent.name == "best":
        owner = path.parent.parent.parent / f"{path.parent.name}{path.suffix}"
    try:
        description = read_description(owner)
        if description is None:
            return Service()
        service = Service.from_dict(description["service"])
        stated = description["sha256"]
    except Exception as error:  # a damaged JSON raises anything
        raise ValueError(f"{owner.stem}.json is damaged: {type(error).__name__}: {error}") from None
    if owner == path and hashlib.sha256(path.read_bytes()).hexdigest() != stated:
        raise ValueError(f"not the file that {owner.stem}.json describes: its SHA-256 differs")
    return service


def _check_predictions(policy: Policy, service: Service) -> None:
    """Ask for actions in situations from everywhere in the observation space; raise `ValueError` at a bad one."""
    rng = np.random.default_rng(0)
    observations = rng.uniform(0, 1, (64, 7)).astype(np.float32)
    observations[:, 5:] = rng.uniform(-1, 1, (64, 2))
    policy.reset(np.zeros((64, service.slots_per_episode), dtype=np.int64))
    actions = np.asarray(policy.predict(observations))
    if actions.shape != (64,) or not np.isin(actions, np.arange(len(service.fleet_changes))).all():
        raise ValueError(f"predicts actions outside 0 to {len(service.fleet_changes) - 1}")


def _play(policy: Policy, service: Service, episodes: int) -> float:
    """Play the test days; return the mean bill in dollars a day, the metrics checked."""
    rollout = roll_out(policy, _test_days(service, episodes), service)
    _check_metrics(rollout, measure(rollout))
    return float(rollout.bill.sum(axis=1).mean())


def _check_metrics(rollout: Rollout, metrics: pd.DataFrame) -> None:
    """Raise `ValueError` where a number is impossible."""
    service = rollout.service
    day = service.slots_per_episode * service.slot_seconds
    ranges: dict[str, tuple[float, float]] = {
        "bill": (0, np.inf),
        "in_time": (0, 1),
        "wait_p95": (0, day),
        "wait_p99": (0, day),
        "peak_queue": (0, service.queue_limit),
        "mean_fleet": (service.min_instances, service.max_instances),
        "utilisation": (0, 1),
        "scaling_actions": (0, service.slots_per_episode),
    }
    for name, (low, high) in ranges.items():
        values: Any = metrics[name].to_numpy(dtype=float)
        if not (np.isfinite(values) & (values >= low) & (values <= high)).all():
            raise ValueError(f"{name} lies outside {low:g} to {high:g}")
    items = metrics[["instance_cost", "late_cost", "drop_cost"]].sum(axis=1)
    if not np.allclose(metrics["bill"], items):
        raise ValueError("the bill is not the sum of its items")
    if not np.array_equal(metrics["arrivals"], metrics["served"] + metrics["dropped"] + rollout.queue[:, -1]):
        raise ValueError("requests are not conserved")


def _test_days(service: Service, episodes: int) -> np.ndarray:
    seeds = day_seeds("evaluation", episodes)
    return np.vstack([Pattern(name, service).draw(seeds) for name in PATTERNS])


@functools.cache
def _yardstick(rule: str, service: Service, episodes: int) -> float:
    """Return a rule's mean bill on the test days."""
    rollout = roll_out(RULES[rule](service), _test_days(service, episodes), service)
    return float(rollout.bill.sum(axis=1).mean())
