"""Start a notebook's kernel: the program that runs behind the wall, before any code of the submission.

It holds itself to the limits, gives up every right it may have, copies what the course has written so far to a scratch
folder of its own, and only then becomes the kernel. It is run as a file and imports nothing of the package: that would
come before the rights are gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any


def hold(limits: dict[str, int]) -> None:
    """Hold this process, and those it starts, to limits of the operating system, as far as that has them.

    They stop a sudden demand; what many processes use together is the business of `watch`.

    Args:
        limits: By the names of Python's module `resource`, such as `{"RLIMIT_DATA": 2**30}`; bytes, or a count.
    """
    if sys.platform == "win32":  # it has no such module
        return
    import resource

    for name, most in limits.items():
        kind: Any = getattr(resource, name, None)
        if kind is None:
            continue
        _, hard = resource.getrlimit(kind)
        wanted = most if hard == resource.RLIM_INFINITY else min(most, hard)
        with contextlib.suppress(ValueError, OSError):  # macOS refuses some of them
            resource.setrlimit(kind, (wanted, wanted))


def main(specification: str) -> None:
    """Become the kernel.

    Args:
        specification: JSON: `connection` (the file with the kernel's addresses and key), `scratch` (a folder to write
            to), `reference` (a folder with what the course has written, or null), `user` (a user id to change to, or
            null), `limits` (as `limits.hold` takes them) and `probe` (true: end before the kernel begins).
    """
    told = json.loads(specification)
    connection = Path(told["connection"]).read_bytes()  # before the rights are gone: it is ours alone
    hold(told["limits"])
    if told["user"] is not None:
        os.setgroups([])
        os.setresgid(told["user"], told["user"], told["user"])
        os.setresuid(told["user"], told["user"], told["user"])
    scratch = Path(told["scratch"])
    scratch.mkdir(exist_ok=True)
    for path in Path(told["reference"]).iterdir() if told["reference"] is not None else ():
        if path.is_dir():
            shutil.copytree(path, scratch / path.name)
        else:
            shutil.copy(path, scratch)
    work = scratch / "notebooks"
    work.mkdir(exist_ok=True)
    os.chdir(work)
    own = scratch / ".connection.json"
    own.write_bytes(connection)
    own.chmod(0o600)

    from ipykernel.kernelapp import IPKernelApp

    if told["probe"]:
        return
    sys.argv[1:] = []
    IPKernelApp.launch_instance(
        argv=["-f", str(own), "--IPKernelApp.log_level=50", "--HistoryManager.enabled=False"],
    )


if __name__ == "__main__":
    main(sys.argv[1])
