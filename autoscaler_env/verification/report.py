"""Verify a folder of model files: find them, check each one, and sum up the verdicts."""

from __future__ import annotations

import contextlib
import functools
import os
import re
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tqdm.auto import tqdm

from autoscaler_env.paths import Folders
from autoscaler_env.policies.registry import MODEL_ENDINGS
from autoscaler_env.storage.foreign import OTHER_ENDINGS
from autoscaler_env.text import counted, listed, printable
from autoscaler_env.verification.check import EPISODES, Place, Verdict, check, prepare_baselines
from autoscaler_env.verification.workers import MEGABYTES, SECONDS, WorkerError, Workers, no_such_folder

if TYPE_CHECKING:
    import pandas as pd

MAX_FILES = 10_000
"""Model files of a folder that are checked; one line says if there are more."""

_PLACES: dict[str, Place] = {"best": "best", "checkpoints": "checkpoint"}


class Candidate(NamedTuple):
    """A path that may be a model file."""

    path: Path
    place: Place
    problem: str | None = None
    """The reason why the file is not opened; `None` if it is."""


def verify(
    folder: str | Path | None = None,
    *,
    episodes: int = EPISODES,
    progress: bool = True,
    seconds: float = SECONDS,
    megabytes: int = MEGABYTES,
    workers: Workers | None = None,
) -> list[Verdict]:
    """Check every model file in a folder. A broken file gets a verdict and does not stop the check of the others.

    A model plays on the service that its `.json` names (a checkpoint or a best version: the `.json` of its model), or
    on the reference service. No code in a file is run. Links are not followed.

    Args:
        folder: A folder of models, with `best/` and `checkpoints/` if they exist; or a folder that contains a folder
            `models`; or one file. The project's models by default.
        episodes: Test days of each pattern.
        progress: Whether to show a progress bar.
        seconds: Time limit for the check of one file.
        megabytes: Memory that the check of one file may use, in addition to the memory of the prepared process.
        workers: The processes that check. Give them if you verify several folders; by default this call starts its own
            and ends them.

    Returns:
        One verdict per file: final models, best versions, checkpoints, others.

    Raises:
        ValueError: There is no such folder, or a number is not allowed.
    """
    root, candidates = _candidates(folder, episodes, seconds, megabytes)
    verdicts = _one_by_one(root, candidates, episodes, workers, seconds, megabytes)
    with tqdm(verdicts, total=len(candidates), unit="file", disable=None if progress else True) as bar:
        return list(bar)


def verify_one_by_one(
    folder: str | Path | None = None,
    *,
    episodes: int = EPISODES,
    seconds: float = SECONDS,
    megabytes: int = MEGABYTES,
    workers: Workers | None = None,
) -> Generator[Verdict, None, None]:
    """Yield the verdicts that `verify` returns, each one as soon as it is ready."""
    return _one_by_one(*_candidates(folder, episodes, seconds, megabytes), episodes, workers, seconds, megabytes)


def _candidates(
    folder: str | Path | None, episodes: int, seconds: float, megabytes: int
) -> tuple[Path, list[Candidate]]:
    root = Path(folder) if folder is not None else Folders().models
    if episodes < 1:
        raise ValueError(f"episodes = {episodes}: must be at least 1")
    if not seconds > 0:
        raise ValueError(f"seconds = {seconds}: must be above 0")
    if megabytes < 1:
        raise ValueError(f"megabytes = {megabytes}: must be at least 1")
    if root.is_dir():
        return root, find(root)
    if root.is_symlink() or root.exists():
        return root.parent, [Candidate(root, "final")]
    raise ValueError(no_such_folder(root))


def _one_by_one(
    root: Path, candidates: list[Candidate], episodes: int, workers: Workers | None, seconds: float, megabytes: int
) -> Generator[Verdict, None, None]:
    prepare = functools.partial(prepare_baselines, episodes)
    with contextlib.ExitStack() as stack:
        if workers is None:
            networks = any(candidate.path.suffix.lower() == ".zip" for candidate in candidates)
            workers = stack.enter_context(Workers(networks=networks))
            if candidates:
                workers.start()
        for path, place, problem in candidates:
            file = printable(path.relative_to(root).as_posix())
            fields: dict[str, Any] = {"place": place, "reason": problem}
            if problem is None:
                # The working directory of the process that checks may be another one.
                arguments = (os.path.abspath(path), place, episodes)  # noqa: PTH100
                try:
                    fields = workers.call(check, *arguments, prepare=prepare, seconds=seconds, megabytes=megabytes)
                except WorkerError as error:
                    fields["reason"] = str(error)
            yield Verdict.from_dict(fields | {"file": file})


def model_files(folder: Path) -> list[Path]:
    """Return the model files of a folder: final models, `best/`, then `checkpoints/` by their timesteps."""
    return [candidate.path for candidate in find(folder) if candidate.problem is None]


def find(folder: Path) -> list[Candidate]:
    """Return what may be a model file in a folder, or in its folder `models` if it has one.

    Hidden files do not count; interrupted writers leave them. A folder that is a link or cannot be opened gets an
    entry with its problem.
    """
    inner = folder / "models"
    if inner.is_symlink():
        return [Candidate(inner, "other", "a link; links are not followed, name the folder itself")]
    models = inner if inner.is_dir() else folder
    candidates: list[Candidate] = []
    folders = [models]
    while folders:
        current = folders.pop()
        try:
            entries = sorted(os.scandir(current), key=lambda entry: entry.name)
        except OSError as error:
            problem = f"a folder that cannot be opened: {error.strerror or error}"
            candidates.append(Candidate(current, "other", problem))
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            path = current / entry.name
            if path.suffix.lower() in (*MODEL_ENDINGS, *OTHER_ENDINGS):
                candidates.append(Candidate(path, _place(path, models)))
            elif entry.is_symlink() and path.is_dir():
                candidates.append(Candidate(path, "other", "a link to a folder; links are not followed"))
            elif entry.is_dir(follow_symlinks=False):
                folders.append(path)
        if len(candidates) > MAX_FILES:
            del candidates[MAX_FILES:]
            candidates.append(Candidate(current, "other", f"more than {MAX_FILES:,} model files; the rest is skipped"))
            break
    return sorted(candidates, key=lambda candidate: _order(candidate, models))


def _place(path: Path, models: Path) -> Place:
    first, *rest = path.relative_to(models).parts
    return _PLACES.get(first, "other") if rest else "final"


def _order(candidate: Candidate, models: Path) -> tuple[int, str, int, str]:
    """Order by place, then by model, then by timesteps as numbers."""
    places = ("final", "best", "checkpoint", "other")
    path = candidate.path
    match = re.fullmatch(r"(.*)_(\d{1,15})_steps", path.stem)
    name, timesteps = (match[1], int(match[2])) if match else (path.stem, 0)
    parent = str(path.parent.relative_to(models)) if path.is_relative_to(models) and path != models else ""
    return places.index(candidate.place), f"{parent}/{name}", timesteps, path.name


def overall(verdicts: Iterable[Verdict]) -> tuple[bool, str]:
    """Return whether there are files and none is broken, and one line that says it."""
    verdicts = list(verdicts)
    if not verdicts:
        return False, "FAIL: No model files found."
    broken = [verdict.file for verdict in verdicts if verdict.status == "broken"]
    finals = [verdict for verdict in verdicts if verdict.place == "final"]
    others = [verdict for verdict in verdicts if verdict.place != "final"]
    counts = f"final: {_count(finals)}; best, checkpoints and others: {_count(others)}"
    message = f"{counted(len(verdicts), 'model file')}; {counts}."
    if not broken:
        return True, f"PASS: {message}"
    names = [*broken[:3], f"{len(broken) - 3} more"] if len(broken) > 3 else broken
    return False, f"FAIL: {message} Broken: {listed(names)}."


def _count(verdicts: list[Verdict]) -> str:
    counts = {status: sum(verdict.status == status for verdict in verdicts) for status in ("ok", "poor", "broken")}
    return ", ".join(f"{count} {status}" for status, count in counts.items() if count) or "none"


def summary(verdicts: Iterable[Verdict]) -> str:
    """Return a table of the final models as text. Checkpoints are left out, because there are many of them."""
    import pandas

    finals = [verdict for verdict in verdicts if verdict.place == "final"]
    if not finals:
        return "No final models."
    columns: dict[str, list[str]] = {
        "status": [verdict.status for verdict in finals],
        "type": [verdict.kind or "" for verdict in finals],
        "timesteps": ["" if verdict.timesteps is None else f"{verdict.timesteps:,}" for verdict in finals],
    }
    for title, field in {"$ a day": "cost", "random": "random", "threshold": "threshold"}.items():
        costs = [getattr(verdict, field) for verdict in finals]
        columns[title] = ["" if cost is None else f"{cost:.2f}" for cost in costs]
    columns["unused actions"] = [" ".join(f"{change:+d}" for change in verdict.unused) for verdict in finals]
    table = pandas.DataFrame(columns, index=[printable(verdict.file, 48) for verdict in finals])
    return table.rename_axis(columns="final model").to_string()


def as_table(verdicts: Iterable[Verdict]) -> pd.DataFrame:
    """Return the verdicts as a table, indexed by file."""
    import pandas

    columns = ["file", "place", "status", "kind", "timesteps", "cost", "random", "threshold", "reason"]
    table = pandas.DataFrame([vars(verdict) for verdict in verdicts], columns=columns).set_index("file")
    return table.astype({"timesteps": "Int64"})
