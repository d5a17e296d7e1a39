"""The files of a training: its state, checkpoints, best model, learning curve and final model.

`RunFolder` owns them; `SelectionEvaluator` evaluates a model on selection days while it trains.
"""

from __future__ import annotations

import functools
import platform
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.paths import Folders, checkout_root
from autoscaler_env.policies.base import Policy
from autoscaler_env.storage.files import read_tree, write_text, write_tree
from autoscaler_env.storage.models import is_described, load_policy, read_description, save_description
from autoscaler_env.traffic.patterns import MIXED, PATTERNS, Workload, as_workload, day_seeds
from autoscaler_env.training.config import TrainingConfig

if TYPE_CHECKING:
    import pandas as pd


SELECTION_DAYS = 20
"""Selection days of each pattern on which a model is evaluated while it trains."""

EVALUATIONS = 10
"""Number of evaluations during a training."""


class SelectionEvaluator:
    """Evaluates a policy on selection days as it trains, and keeps the learning curve.

    Args:
        config: The training; on MIXED, the selection days are those of all six patterns.
        measure: Returns the mean return of a policy in dollars a day, for one that needs its days in a row; by default
            days are played side by side.
    """

    clock = staticmethod(time.perf_counter)
    """Gives the seconds of the curve; `benchmarks/learning_curves.py` sets one that counts CPU time."""

    def __init__(self, config: TrainingConfig, measure: Callable[[Any], float] | None = None) -> None:
        workload = as_workload(config.pattern, config.service)
        workloads: list[str | Workload] = list(PATTERNS) if config.pattern == MIXED else [workload]
        seeds = day_seeds("selection", SELECTION_DAYS)
        self._days = np.vstack([as_workload(each, config.service).draw(seeds) for each in workloads])
        self._service = config.service
        self._measure = measure
        self._start = self.clock()
        self._evaluating = 0.0
        self.curve: list[dict[str, float]] = []
        """The learning curve: timesteps, seconds of training, mean return in dollars a day."""
        self.best = -np.inf
        """Mean return of the best model, dollars a day."""

    def evaluate(self, policy: Policy, timesteps: int) -> bool:
        """Add a point to the learning curve; return whether the policy is the best so far."""
        start = self.clock()
        mean_return = self._mean_return(policy)
        seconds = start - self._start - self._evaluating
        self._evaluating += self.clock() - start
        self.curve.append({"timesteps": timesteps, "seconds": round(seconds, 3), "mean_return": round(mean_return, 3)})
        if timesteps == 0 or mean_return <= self.best:  # the untrained policy starts the curve; it is never the best
            return False
        self.best = mean_return
        return True

    def summary(self, timesteps: int) -> dict[str, Any]:
        """Return the result after some timesteps, and the best result so far, for the model's description.

        Args:
            timesteps: Timesteps; if the model was not evaluated then, its mean return is `None`.
        """
        returns = {point["timesteps"]: point["mean_return"] for point in self.curve}
        best = max(self.curve[1:], key=lambda point: point["mean_return"], default=self.curve[0])
        return {
            "purpose": "selection",
            "days": len(self._days),
            "mean_return": returns.get(timesteps),
            "best_mean_return": best["mean_return"],
            "best_timesteps": best["timesteps"],
        }

    def state(self) -> dict[str, Any]:
        """Return the learning curve and the seconds of training so far, for `restore`."""
        return {"curve": self.curve, "seconds": self.clock() - self._start - self._evaluating}

    def restore(self, state: dict[str, Any], best: Path) -> None:
        """Continue a learning curve.

        Args:
            state: What `state` returned.
            best: The best model so far. It may be newer than the state, so it is evaluated again: only a better model
                replaces it, unless it is damaged.
        """
        if best.exists():
            try:
                self.best = self._mean_return(load_policy(best, self._service))
                if not is_described(best):  # the run was killed between the two files: an equal model replaces both
                    self.best = np.nextafter(self.best, -np.inf)
            except ValueError as error:
                print(f"{error}; the next evaluated model replaces it.")
        self.curve = state["curve"]
        self._start, self._evaluating = self.clock() - state["seconds"], 0.0

    def _mean_return(self, policy: Policy) -> float:
        if self._measure is not None:
            return self._measure(policy)
        return -float(simulate(policy, self._days, self._service).cost.sum(axis=1).mean())


FORMAT = 3
"""Format of a saved state. It changes when older states can no longer be read."""


@dataclass(frozen=True)
class Trained:
    """The result of a training."""

    policy: Policy
    """The final model."""
    description: dict[str, Any]
    """How the model was made, as in the `.json` beside it."""

    @property
    def curve(self) -> pd.DataFrame:
        """Results on selection days during the training: timesteps, seconds, mean_return ($ a day)."""
        import pandas  # imported here: training a table should not wait for it

        return pandas.DataFrame(self.description["curve"])


class RunFolder:
    """All files of one training. Only this class knows where they lie and when they are removed.

    | file, below the root | content |
    |---|---|
    | `models/NAME.zip` or `.pkl` | the final model |
    | `models/checkpoints/NAME_N_steps.zip` | the model after N timesteps |
    | `models/best/NAME/best_model.zip` | the model with the best result on selection days |
    | `logs/NAME/selection.csv` | the learning curve |
    | `logs/NAME/progress.csv` | the log of stable-baselines3 |
    | `logs/NAME/state/` | the state of an unfinished training |

    Each model has a `.json` beside it that describes how it was made. The state is one file of arrays and JSON, which
    is always replaced as a whole. A replay buffer is too large to be written again and again: it lies beside the state
    in parts that are written once, and the state lists the parts that count. The state is removed when the training
    ends.

    Args:
        config: The training.
        folders: The root of the outputs; `paths.output_root()` by default.
    """

    def __init__(self, config: TrainingConfig, folders: Folders | None = None) -> None:
        folders = folders or Folders()
        name = config.model_name
        self.config = config
        self.folders = folders
        self.model = folders.models / f"{name}{config.ending}"
        """The final model."""
        self.best = folders.best / name / f"best_model{config.ending}"
        """The best model."""
        self.logs = folders.logs / name
        """The folder of the logs."""
        self.state_folder = self.logs / "state"
        self.state_file = self.state_folder / "state.npz"

    def checkpoint(self, timesteps: int) -> Path:
        """Return the path of the checkpoint after some timesteps."""
        return self.folders.checkpoints / f"{self.config.model_name}_{timesteps}_steps{self.config.ending}"

    # --- the state of an unfinished training --------------------------------------------------------------------------

    def save_state(self, state: dict[str, Any], parts: tuple[str, ...] = ()) -> None:
        """Replace the state; a kill at any moment leaves the old state or the new one.

        Args:
            state: Arrays, plain values that JSON holds, and dicts of them, by name; `timesteps` and `of` among them.
            parts: Names of further files in the folder that the state needs; all others are removed.

        Raises:
            OSError: The disk is full, or the folder cannot be written; the old state is unchanged.
        """
        header = {"format": FORMAT, "run": self.config.identity(), "versions": library_versions(), "parts": parts}
        write_tree(self.state_file, header | {"state": state})
        for path in self.state_folder.iterdir():
            if path != self.state_file and path.name not in parts:
                path.unlink()

    def load_state(self) -> dict[str, Any] | None:
        """Return the saved state; `None` if there is no unfinished training of this name.

        Raises:
            ValueError: The state belongs to another training or version, or is damaged; the message says what differs.
        """
        if not self.state_file.exists():
            return None
        content = self._read_state_file()
        difference = differences(content["run"], self.config.identity())
        if difference:
            raise ValueError(f"--resume: the unfinished {self.config.model_name} is another training: {difference}")
        state: dict[str, Any] = content["state"]
        return state

    def progress(self) -> str | None:
        """Return how far the saved training is, such as "100 of 500 timesteps"; `None` if there is no state."""
        if not self.state_file.exists():
            return None
        state = self._read_state_file()["state"]
        return f"{state['timesteps']:,} of {state['of']:,} timesteps"

    def resume_message(self) -> str:
        """Return where a saved training continues, and which libraries have changed since the state was saved."""
        now = library_versions()
        saved = self._read_state_file()["versions"]
        changed = [f"{name} {before}" for name, before in saved.items() if now.get(name) != before]
        warning = f" It was saved with {', '.join(changed)}: the last digits may differ." if changed else ""
        return f"Resuming after {self.progress()}.{warning}"

    def _read_state_file(self) -> dict[str, Any]:
        shown = self.folders.shown(self.state_file)
        content = read_tree(self.state_file, shown)
        if content.get("format") != FORMAT:
            raise ValueError(f"{shown}: another version of this program saved it; give --overwrite to start again")
        return content

    # --- models -------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Remove what earlier trainings of this name left and this one writes again: state, checkpoints, best model.

        The old final model stays until this training has another.
        """
        self._remove_state()
        _remove(self.best.parent, r"best_model\..*")
        _remove(self.folders.checkpoints, rf"{re.escape(self.config.model_name)}_\d+_steps\..*")

    def save_checkpoint(
        self, save: Callable[[Path], None], timesteps: int, evaluator: SelectionEvaluator, device: str
    ) -> None:
        """Write a checkpoint and its description.

        Args:
            save: Writes the model to a path.
            timesteps: Timesteps so far.
            evaluator: Has the learning curve.
            device: Where the model is trained.
        """
        self._save_model(self.checkpoint(timesteps), save, timesteps, evaluator, device)

    def save_best(
        self, save: Callable[[Path], None], timesteps: int, evaluator: SelectionEvaluator, device: str
    ) -> None:
        """Write the best model and its description; arguments as in `save_checkpoint`."""
        self._save_model(self.best, save, timesteps, evaluator, device)

    def finish(
        self,
        policy: Policy,
        save: Callable[[Path], None],
        timesteps: int,
        evaluator: SelectionEvaluator,
        device: str,
        counted: dict[str, float] | None = None,
    ) -> Trained:
        """Write the final model, the learning curve and the description; remove the state.

        Args:
            policy: The final model as a policy.
            save: As in `save_checkpoint`, and so are the others.
            timesteps: Timesteps of the training.
            evaluator: Has the learning curve.
            device: Where the model was trained.
            counted: What else the training took, by name, for the description.
        """
        save(self.model)
        lines = [",".join(map(str, row)) for row in (evaluator.curve[0], *(row.values() for row in evaluator.curve))]
        write_text(self.logs / "selection.csv", "\n".join(lines) + "\n")
        description = self._describe(self.model, timesteps, evaluator, device, counted)
        self._remove_state()
        return Trained(policy, description)

    def difference(self) -> str | None:
        """Return how the final model on disk was made differently; `None` if this training would give the same.

        If no model is there, nothing can be lost: `None` too.
        """
        if not self.model.exists():
            return None
        try:
            description = read_description(self.model)
        except ValueError:
            description = None
        if description is None:
            return "it has no description"
        if not is_described(self.model):
            return "its description is of another file"
        return differences(description, self.config.identity()) or None

    def _save_model(
        self, path: Path, save: Callable[[Path], None], timesteps: int, evaluator: SelectionEvaluator, device: str
    ) -> None:
        save(path)
        self._describe(path, timesteps, evaluator, device)

    def _describe(
        self,
        path: Path,
        timesteps: int,
        evaluator: SelectionEvaluator,
        device: str,
        counted: dict[str, float] | None = None,
    ) -> dict[str, Any]:
        """Write the description of a model beside it; return it."""
        description = (
            self.config.identity()
            | {
                "budget": {"timesteps": self.config.total_timesteps},
                "timesteps": timesteps,
                "device": device,
                "command": self.config.command(),
                "date": datetime.now(UTC).date().isoformat(),
                "commit": _commit(),
                "versions": {"python": platform.python_version()} | library_versions(),
                "evaluation": evaluator.summary(timesteps),
                "curve": evaluator.curve,
            }
            | ({"counted": counted} if counted else {})
        )
        save_description(path, description)
        return description

    def _remove_state(self) -> None:
        if self.state_folder.exists():
            shutil.rmtree(self.state_folder)


def _remove(folder: Path, names: str) -> None:
    for path in folder.iterdir() if folder.is_dir() else []:
        if re.fullmatch(names, path.name):
            path.unlink()


def differences(before: dict[str, Any], now: dict[str, Any]) -> str:
    """Return in one line how a training differs from another.

    Args:
        before: The identity of the other training, or a model's description. Missing keys are ignored.
        now: The identity of the training.

    Example:
        >>> differences({"seed": 0, "preset": {"discount": 0.9}}, {"seed": 1, "preset": {"discount": 0.9}})
        'seed 0, now 1'
    """
    changes = []
    for name, value in now.items():
        old = before.get(name)
        if isinstance(value, dict) and isinstance(old, dict):
            changes.append(differences(old, value))
        elif name in before and old != value:
            changes.append("other arrivals" if name == "traffic" else f"{name} {old}, now {value}")
    return "; ".join(filter(None, changes))


@functools.cache
def library_versions() -> dict[str, str]:
    """Return the versions of the libraries that decide the result of a training to the last bit."""
    return {name: version(name) for name in ("numpy", "numba", "gymnasium", "stable-baselines3", "torch")}


@functools.cache
def _commit() -> str | None:
    """Return the commit of the checkout; `None` outside a checkout."""
    try:
        command, root = ["git", "rev-parse", "--short", "HEAD"], checkout_root("the commit")
        return subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, ValueError, subprocess.CalledProcessError):
        return None


class Interruption:
    """A context in which the first Ctrl-C is only a request: the training stops where its state can be saved.

    The second Ctrl-C interrupts at once. Outside the main thread, and if other code handles the signal, the context
    changes nothing.
    """

    def __init__(self) -> None:
        self.requested = False
        """Whether the training should stop."""
        self._ours = False

    def __enter__(self) -> Interruption:
        in_main = threading.current_thread() is threading.main_thread()
        self._ours = in_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._ours:
            signal.signal(signal.SIGINT, self._request)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
