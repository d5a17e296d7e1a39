"""Start the kernel of a notebook: the program that runs in the sandbox, before any code of the submission.

It sets the limits, gives up its rights, copies the workspace of the course to its scratch folder, and then becomes the
kernel. It runs as a file and imports nothing of the package, because that would happen before it gives up its rights.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any


def set_limits(limits: dict[str, int]) -> None:
    """Set limits of the operating system for this process and its children, as far as the system has them.

    They stop one process that demands too much. The supervisor watches what all processes use together.

    Args:
        limits: By the names of Python's module `resource`, such as `{"RLIMIT_DATA": 2**30}`; bytes, or a count.
    """
    if sys.platform == "win32":  # it has no such module
        return
    import resource

    for name, limit in limits.items():
        kind: Any = getattr(resource, name, None)
        if kind is None:
            continue
        _, hard = resource.getrlimit(kind)
        allowed = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        with contextlib.suppress(ValueError, OSError):  # macOS refuses some of them
            resource.setrlimit(kind, (allowed, allowed))


def main(specification: str) -> None:
    """Become the kernel.

    Args:
        specification: JSON with `connection` (the file with the addresses and the key of the kernel), `scratch` (a
            folder to write to), `workspace` (a folder with what the course has written, or null), `user` (a user id to
            change to, or null), `limits` (see `set_limits`) and `probe` (true: end before the kernel starts).
    """
    settings = json.loads(specification)
    connection = Path(settings["connection"]).read_bytes()  # now, because the file belongs to the present user
    set_limits(settings["limits"])
    if settings["user"] is not None:
        os.setgroups([])
        os.setresgid(settings["user"], settings["user"], settings["user"])
        os.setresuid(settings["user"], settings["user"], settings["user"])
    scratch = Path(settings["scratch"])
    scratch.mkdir(exist_ok=True)
    for path in Path(settings["workspace"]).iterdir() if settings["workspace"] is not None else ():
        if path.is_dir():
            shutil.copytree(path, scratch / path.name)
        else:
            shutil.copy(path, scratch)
    work = scratch / "notebooks"
    work.mkdir(exist_ok=True)
    os.chdir(work)
    own_connection = scratch / ".connection.json"
    own_connection.write_bytes(connection)
    own_connection.chmod(0o600)

    from ipykernel.kernelapp import IPKernelApp

    if settings["probe"]:
        return
    sys.argv[1:] = []
    IPKernelApp.launch_instance(
        argv=["-f", str(own_connection), "--IPKernelApp.log_level=50", "--HistoryManager.enabled=False"],
    )


if __name__ == "__main__":
    main(sys.argv[1])
