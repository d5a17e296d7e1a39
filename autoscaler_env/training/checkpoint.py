"""The state of an unfinished training: saved as it goes, so that a killed run goes on as if nothing had happened.

It lies in `logs/NAME/state/`, in one file that is replaced whole: arrays and JSON, nothing that a reader would run. A
replay buffer is too large to write again and again; it lies beside it in parts that are written once, and the file says
which of them count. The folder goes when the run ends.

End a training where it can be saved.

Judge a model while it trains, and write down how it was made.
"""

from __future__ import annotations

import functools
import hashlib
import json
import platform
import re
import shutil
import signal
import subprocess
import threading
import time
import zipfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import numpy as np

from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.paths import Folders, project_root
from autoscaler_env.policies.base import Policy
from autoscaler_env.storage.files import write_atomically, write_text
from autoscaler_env.storage.models import fits, load_policy, read_description, save_description
from autoscaler_env.traffic.patterns import MIXED, PATTERNS, Workload, as_workload, day_seeds
from autoscaler_env.training.config import Trained, TrainingConfig

FORMAT = 1
"""Changes when a state that an earlier version saved can no longer be read."""


class Unfinished:
    """Where the state of a run is kept until the run ends.

    Args:
        run: The run.
        folders: Where it writes.
    """

    def __init__(self, run: TrainingConfig, folders: Folders) -> None:
        self.folder = folders.logs / run.model_name / "state"
        self.path = self.folder / "state.npz"
        self._name = run.model_name
        self._identity = run.identity()
        self._shown = folders.shown(self.path)

    def save(self, state: dict[str, Any], parts: tuple[str, ...] = ()) -> None:
        """Replace the state; a kill at any moment leaves the old one or the new one.

        Args:
            state: Arrays, and plain values that JSON holds, by name; dicts of them too.
            parts: Names of the files beside it that it needs; others are removed.

        Raises:
            OSError: The disk is full, or the folder cannot be written; the old state is whole.
        """
        head = {"format": FORMAT, "run": self._identity, "versions": versions(), "parts": parts}
        write_tree(self.path, head | {"state": state})
        for path in self.folder.iterdir():
            if path != self.path and path.name not in parts:
                path.unlink()

    def load(self) -> dict[str, Any] | None:
        """Return what was saved; `None` where no unfinished run of the name is there.

        Raises:
            ValueError: It was saved by another run or version, or is damaged; the message says what differs.
        """
        if not self.path.exists():
            return None
        saved = self._read()
        different = differences(saved["run"], self._identity)
        if different:
            raise ValueError(f"--resume: the unfinished {self._name} is another run: {different}")
        state: dict[str, Any] = saved["state"]
        return state

    def progress(self) -> str | None:
        """Return how far the run had come when it was saved, in words; `None` if it was not."""
        if not self.path.exists():
            return None
        state = self._read()["state"]
        return f"{state['timesteps']:,} of {state['of']:,} steps"

    def going_on(self) -> str:
        """Say where a saved run goes on, and whether other versions are at work than when it was begun."""
        now = versions()
        changed = [f"{name} {was}" for name, was in self._read()["versions"].items() if now.get(name) != was]
        doubt = f" It was saved by {', '.join(changed)}: the result may differ in the last digits." if changed else ""
        return f"Going on after {self.progress()}.{doubt}"

    def _read(self) -> dict[str, Any]:
        saved = read_tree(self.path, self._shown)
        if saved.get("format") != FORMAT:
            raise ValueError(f"{self._shown}: another version of this program saved it; give --overwrite to begin anew")
        return saved

    def remove(self) -> None:
        """Remove the state: the run has ended, or begins anew."""
        if self.folder.exists():
            shutil.rmtree(self.folder)


def write_tree(path: Path, tree: dict[str, Any]) -> None:
    """Write dicts of arrays and plain values as one `.npz`: an array per array, and the rest as JSON."""
    arrays: list[np.ndarray] = []

    def keep(value: Any) -> dict[str, int]:
        if not isinstance(value, np.ndarray) or value.dtype.hasobject:
            raise TypeError(f"{type(value).__name__}: a state holds arrays of numbers and what JSON holds")
        arrays.append(value)
        return {"array": len(arrays) - 1}

    text = np.frombuffer(json.dumps(tree, default=keep).encode(), dtype=np.uint8)
    write_atomically(path, lambda file: np.savez(file, *arrays, text=text))


def read_tree(path: Path, shown: str) -> dict[str, Any]:
    """Read what `write_tree` wrote; lists stand where tuples did.

    Args:
        path: The file.
        shown: What a message calls it.

    Raises:
        ValueError: The file is damaged.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:

            def restored(value: dict[str, Any]) -> Any:
                return archive[f"arr_{value['array']}"] if value.keys() == {"array"} else value

            tree: dict[str, Any] = json.loads(archive["text"].tobytes(), object_hook=restored)
            return tree
    except FileNotFoundError:
        raise ValueError(f"{shown} is missing; give --overwrite to begin anew") from None
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{shown} is damaged: {reason}; give --overwrite to begin anew") from None


@functools.cache
def versions() -> dict[str, str]:
    """Return the versions of the libraries that decide, to the last bit, what training makes."""
    return {name: version(name) for name in ("numpy", "numba", "gymnasium", "stable-baselines3", "torch")}


def differences(was: dict[str, Any], now: dict[str, Any]) -> str:
    """Say in a line how one run differs from another.

    Args:
        was: What `identity` returned, or a description of it; what it does not hold, differs in nothing.
        now: What `identity` returned.

    Example:
        >>> differences({"seed": 0, "preset": {"discount": 0.9}}, {"seed": 1, "preset": {"discount": 0.9}})
        'seed 0, now 1'
    """
    told = []
    for name, value in now.items():
        before = was.get(name)
        if isinstance(value, dict) and isinstance(before, dict):
            told.append(differences(before, value))
        elif name in was and before != value:
            told.append("other traffic" if name == "traffic" else f"{name} {before}, now {value}")
    return "; ".join(filter(None, told))


def made_otherwise(run: TrainingConfig, folders: Folders) -> str | None:
    """Return how the model that lies where a run would write was made otherwise; `None` if the run would make the same.

    Where no model lies there is nothing to lose: `None` too.
    """
    path = run.model_path(folders)
    if not path.exists():
        return None
    try:
        description = read_description(path)
    except ValueError:
        description = None
    if description is None:
        return "nothing says how"
    if not fits(description, hashlib.sha256(path.read_bytes()).hexdigest()):
        return "its .json describes another file"
    return differences(description, run.identity()) or None


def clear(run: TrainingConfig, folders: Folders) -> None:
    """Remove what earlier runs of the name left and this one makes anew: best model, checkpoints, state.

    The final model stays until this run has another.
    """
    Unfinished(run, folders).remove()
    _remove(folders.best / run.model_name, r"best_model\..*")
    _remove(folders.checkpoints, rf"{re.escape(run.model_name)}_\d+_steps\..*")


def _remove(folder: Path, names: str) -> None:
    for path in folder.iterdir() if folder.is_dir() else []:
        if re.fullmatch(names, path.name):
            path.unlink()


class Interruption:
    """While it is entered, the first Ctrl-C only asks; the training stops where its state can be saved.

    The second Ctrl-C interrupts at once, as ever. Elsewhere than in the main thread, or where somebody else handles the
    signal, it changes nothing.
    """

    def __init__(self) -> None:
        self.asked = False
        """Whether the training should stop."""
        self._ours = False

    def __enter__(self) -> Interruption:
        in_main = threading.current_thread() is threading.main_thread()
        self._ours = in_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._ours:
            signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)


SELECTION_DAYS = 20
"""Selection days of each pattern on which a model is judged while it trains."""

EVALUATIONS = 10
"""How often a model is judged, and a checkpoint kept, in the course of its training."""


class Judge:
    """Judges a policy on selection days as it trains; keeps the curve."""

    def __init__(self, run: TrainingConfig) -> None:
        workload = as_workload(run.pattern, run.service)
        names: list[str | Workload] = list(PATTERNS) if run.pattern == MIXED else [workload]
        seeds = day_seeds("selection", SELECTION_DAYS)
        self._days = np.vstack([as_workload(name, run.service).draw(seeds) for name in names])
        self._service = run.service
        self._began = time.perf_counter()
        self._judging = 0.0
        self.rows: list[dict[str, float]] = []
        self.best = -np.inf
        """Mean return of the best model, dollars a day."""

    def judge(self, policy: Policy, timesteps: int) -> bool:
        """Add a point to the curve; return whether the policy is the best so far."""
        begun = time.perf_counter()
        mean_return = self._mean_return(policy)
        seconds = begun - self._began - self._judging
        self._judging += time.perf_counter() - begun
        self.rows.append({"timesteps": timesteps, "seconds": round(seconds, 3), "mean_return": round(mean_return, 3)})
        if timesteps == 0 or mean_return <= self.best:  # an untrained policy begins the curve; it is never the best
            return False
        self.best = mean_return
        return True

    def state(self) -> dict[str, Any]:
        """Return the curve, and the seconds that training has taken, for `restore`."""
        return {"rows": self.rows, "seconds": time.perf_counter() - self._began - self._judging}

    def restore(self, state: dict[str, Any], best: Path) -> None:
        """Go on with a curve.

        Args:
            state: What `state` returned.
            best: The best model so far. It may have been found after the state was saved, so it is judged again: only
                a better one replaces it, unless it is damaged.
        """
        if best.exists():
            try:
                self.best = self._mean_return(load_policy(best, self._service))
                if not is_described(best):  # killed between the two files: found again, it is written again
                    self.best = np.nextafter(self.best, -np.inf)
            except ValueError as error:
                print(f"{error}; the next one judged replaces it.")
        self.rows = state["rows"]
        self._began, self._judging = time.perf_counter() - state["seconds"], 0.0

    def evaluation(self, timesteps: int) -> dict[str, Any]:
        """Return how the model did on selection days after some timesteps, and the best so far, as descriptions hold it.

        Args:
            timesteps: Timesteps; where it was not judged then, its return is `None`.
        """
        judged = {row["timesteps"]: row["mean_return"] for row in self.rows}
        best = max(self.rows[1:], key=lambda row: row["mean_return"], default=self.rows[0])
        return {
            "purpose": "selection",
            "days": len(self._days),
            "mean_return": judged.get(timesteps),
            "best_mean_return": best["mean_return"],
            "best_timesteps": best["timesteps"],
        }

    def _mean_return(self, policy: Policy) -> float:
        return -float(simulate(policy, self._days, self._service).cost.sum(axis=1).mean())


def describe(path: Path, run: TrainingConfig, judge: Judge, timesteps: int, device: str) -> dict[str, Any]:
    """Write beside a model how it was made, with the hash of its file; return it.

    Args:
        path: The model.
        run: What it was trained by.
        judge: Knows how it does on selection days.
        timesteps: Timesteps that it was trained for.
        device: Where.
    """
    description = run.identity() | {
        "budget": {"timesteps": run.timesteps},
        "timesteps": timesteps,
        "device": device,
        "command": run.command(),
        "date": datetime.now(UTC).date().isoformat(),
        "commit": _commit(),
        "versions": {"python": platform.python_version()} | versions(),
        "evaluation": judge.evaluation(timesteps),
        "curve": judge.rows,
    }
    save_description(path, description)
    return description


def is_described(path: Path) -> bool:
    """Return whether what stands beside a model is of the file that lies there.

    Raises:
        ValueError: Something stands there that is no description.
    """
    return fits(read_description(path) or {}, hashlib.sha256(path.read_bytes()).hexdigest())


def finish(run: TrainingConfig, folders: Folders, policy: Policy, judge: Judge, timesteps: int, device: str) -> Trained:
    """Write the learning curve and the final model's description."""
    lines = [",".join(judge.rows[0])] + [",".join(str(value) for value in row.values()) for row in judge.rows]
    log = folders.logs / run.model_name / "selection.csv"
    write_text(log, "\n".join(lines) + "\n")
    return Trained(policy, describe(run.model_path(folders), run, judge, timesteps, device))


@functools.cache
def _commit() -> str | None:
    """Return the commit of the checkout; `None` outside one."""
    try:
        command = ["git", "rev-parse", "--short", "HEAD"]
        return subprocess.run(command, cwd=project_root(), capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
