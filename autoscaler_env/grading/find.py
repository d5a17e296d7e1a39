"""Find the wall to grade behind: the strongest that works on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace

from autoscaler_env.grading.limits import Limits
from autoscaler_env.grading.sandbox import NO_WALL, Wall, place_for_kernel

PROBE_SECONDS = 300
"""A wall that takes longer than this to start a Python does not work."""


def find_wall(container: str | None = None, trusted: bool = False) -> Wall:
    """Return the wall to grade behind.

    Args:
        container: An image with the course's dependencies; bubblewrap where it is `None`.
        trusted: Whether to do without a wall where none works.

    Raises:
        ValueError: No wall works here, and the code is not trusted; or there is nothing to run containers.
    """
    if container is not None:
        programs = [program for name in ("docker", "podman") if (program := shutil.which(name))]
        if not programs:
            raise ValueError(f"container = {container!r}: neither docker nor podman is installed")
        told = f"Wall: a container of {container}, without network, its file system read-only, processes of its own."
        return working([Wall("container", told, program, container) for program in programs])
    try:
        return working(bubblewraps())
    except ValueError as reason:
        if trusted:
            return replace(NO_WALL, told=f"{NO_WALL.told} ({reason})")
        raise ValueError(
            f"{reason}. Nothing would stand between the notebooks and this machine: install bubblewrap 0.7 or newer "
            "(Linux), name a --container, or say --i-trust-this-code"
        ) from None


def bubblewraps() -> list[Wall]:
    """Return the ways to start bubblewrap, the strongest first.

    Raises:
        ValueError: It is not here.
    """
    if sys.platform != "linux":
        raise ValueError(f"bubblewrap is for Linux only, and this is {sys.platform}")
    program = shutil.which("bwrap")
    if program is None:
        raise ValueError("bubblewrap is not installed")
    told = "Wall: bubblewrap; no network, the system read-only, writes to a scratch folder only, processes of its own"
    as_root = Wall("bubblewrap", f"{told}, a user id of its own.", program, as_root=True)
    return [*([as_root] if os.geteuid() == 0 else []), Wall("bubblewrap", f"{told}.", program)]


def working(walls: list[Wall]) -> Wall:
    """Return the first wall behind which a kernel's program starts.

    Raises:
        ValueError: None does; the message has what the last one said.
    """
    said = ""
    for wall in walls:
        with place_for_kernel() as place:
            enclosed = wall.around(place, Limits(), probe=True)
            place.give_to(enclosed.user)
            try:
                done = subprocess.run(
                    enclosed.command,
                    env=enclosed.environment,
                    capture_output=True,
                    text=True,
                    errors="replace",
                    timeout=PROBE_SECONDS,
                    check=False,
                )
            except (OSError, subprocess.TimeoutExpired) as error:
                said = type(error).__name__
                continue
        if done.returncode == 0:
            return wall
        said = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
    raise ValueError(f"{walls[-1].kind} is here but does not work: {said}")
