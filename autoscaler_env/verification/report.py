"""Verify a folder of model files."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from autoscaler_env.paths import Folders
from autoscaler_env.text import printable
from autoscaler_env.verification.check import EPISODES, Found, Verdict, find
from autoscaler_env.verification.workers import MEGABYTES, SECONDS, Children


def verify(
    folder: str | Path | None = None,
    *,
    episodes: int = EPISODES,
    progress: bool = True,
    seconds: float = SECONDS,
    megabytes: int = MEGABYTES,
    children: Children | None = None,
) -> list[Verdict]:
    """Check every model file below a folder; a broken one costs a line, never the run.

    A file is played on the service that its `.json` names (a checkpoint or best version: that of its model), else on
    the reference service. No code that a file may carry is run. Links are not followed.

    Args:
        folder: Holds models, and `best/` and `checkpoints/` with more of them; or a folder `models` that does; or one
            file. The project's models by default.
        episodes: Test days of each pattern.
        progress: Whether to show a progress bar.
        seconds: Time that the check of one file may take.
        megabytes: Memory that it may use on top of what it starts with.
        children: Who checks, for several folders one after another; by default they are started and ended here.

    Returns:
        A verdict per file: final models, best ones, checkpoints, others.

    Raises:
        ValueError: There is no such folder, or a number is not allowed.
    """
    root, found = _find(folder, episodes, seconds, megabytes)
    verdicts = _one_by_one(root, found, episodes, children, seconds, megabytes)
    with tqdm(verdicts, total=len(found), unit="file", disable=None if progress else True) as bar:
        return list(bar)


def verify_one_by_one(
    folder: str | Path | None = None,
    *,
    episodes: int = EPISODES,
    seconds: float = SECONDS,
    megabytes: int = MEGABYTES,
    children: Children | None = None,
) -> Generator[Verdict, None, None]:
    """Yield the verdicts as `verify` returns them, each as soon as it is there."""
    return _one_by_one(*_find(folder, episodes, seconds, megabytes), episodes, children, seconds, megabytes)


def _find(folder: str | Path | None, episodes: int, seconds: float, megabytes: int) -> tuple[Path, list[Found]]:
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
        return root.parent, [Found(root, "final")]
    raise ValueError(
        f"folder = {printable(repr(str(root)))}: no such folder; "
        "train a model first, as in: autoscaler train q-learning"
    )


def _one_by_one(
    root: Path, found: list[Found], episodes: int, children: Children | None, seconds: float, megabytes: int
) -> Generator[Verdict, None, None]:
    with contextlib.ExitStack() as ends:
        if children is None:
            networks = any(each.path.suffix == ".zip" for each in found)
            children = ends.enter_context(Children(networks=networks))
            if found:
                children.start()
        for path, place, problem in found:
            file = printable(path.relative_to(root).as_posix())
            findings: dict[str, Any] = {"status": "broken", "reason": problem}
            if problem is None:
                findings = children.check(path, place, episodes, seconds=seconds, megabytes=megabytes)
            findings |= {name: tuple(findings.get(name, ())) for name in ("unused", "notes")}
            yield Verdict(file, place=place, **findings)
