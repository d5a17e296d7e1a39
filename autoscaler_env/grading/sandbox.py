"""What stands between a submission's code and this machine: bubblewrap, a container, or nothing.

Behind bubblewrap a kernel has no network, sees this Python, the package and a scratch folder in memory, and nothing
else of the machine: no home folder, no other submission, no process but its own. It runs in process and mount
namespaces of its own, which end with it, so that nothing it starts outlives it. Where we are root it also changes to a
user id that nobody has.

What a submission may use.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import autoscaler_env
from autoscaler_env.paths import project_root

MEGABYTE = 2**20


@dataclass(frozen=True)
class Limits:
    """What one notebook of a submission may use.

    Raises:
        ValueError: A limit is not a positive whole number.
    """

    seconds: int = 600
    """From the start of its kernel to its last cell."""
    memory_mb: int = 4_096
    """Memory of the kernel and of every process that it starts, together."""
    disk_mb: int = 512
    """What it writes to its scratch folder, which is in memory; as much again to each of `/tmp` and `/dev/shm`."""
    output_mb: int = 20
    """What its cells print and display."""
    processes: int = 256
    """Processes and threads, its own among them."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if type(value) is not int or value < 1:
                raise ValueError(f"{field.name} = {value!r}: must be a whole number, at least 1")


_SYSTEM = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store")
_SETTINGS = ("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime", "/etc/fonts")
"""All that is visible of `/etc`: where libraries and fonts are."""


@dataclass(frozen=True)
class Place:
    """The folders that a kernel behind a wall shares with us."""

    sockets: Path
    """Its connection file and its sockets; the one folder of ours that it writes to."""
    reference: Path | None = None
    """What the course has written so far; it gets a copy."""

    @property
    def connection(self) -> Path:
        """The file with the kernel's addresses and its key."""
        return self.sockets / "kernel.json"

    def give_to(self, user: int | None) -> None:
        """Let another user write sockets here; nothing to do for our own."""
        if user is not None:
            self.sockets.chmod(0o711)  # root inside the wall has to pass, and has no special rights there
            os.chown(self.sockets, user, user)


@contextlib.contextmanager
def place_for_kernel(reference: Path | None = None) -> Iterator[Place]:
    """Make the folder that a kernel shares with us; its path is short, as those of sockets must be.

    Args:
        reference: What the course has written so far.
    """
    folder = Path(tempfile.mkdtemp(prefix="grade-")).resolve()
    try:
        place = Place(folder, reference.resolve() if reference else None)
        place.connection.write_text("{}", encoding="utf-8")
        yield place
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class Enclosed:
    """How to start a kernel behind a wall."""

    command: list[str]
    """The command line."""
    environment: dict[str, str] | None = None
    """Its environment; ours where it is `None`."""
    user: int | None = None
    """The user that the kernel changes to, and that has to be able to write its sockets."""
    afterwards: list[str] | None = None
    """A command that ends what may be left."""
    apart: bool = True
    """Whether its scratch folder is out of our sight."""


@dataclass(frozen=True)
class Wall:
    """What surrounds a kernel.

    Args:
        kind: bubblewrap, container or none.
        told: Which wall is in force, in a sentence for people.
        program: The program that makes it.
        image: Of a container.
        as_root: Whether bubblewrap is started by root, without a user namespace.
    """

    kind: str
    told: str
    program: str = ""
    image: str = ""
    as_root: bool = False

    def around(self, place: Place, limits: Limits, *, probe: bool = False) -> Enclosed:
        """Return how to start a kernel behind this wall.

        Args:
            place: The folders that it shares with us.
            limits: What it may use.
            probe: Whether to end before the kernel begins.
        """
        scratch = self.scratch(place)
        if self.kind == "bubblewrap":
            user = 2**20 + secrets.randbelow(2**30) if self.as_root else None
            inner = [sys.executable, "-P", *_kernel(_package(), place, scratch, limits, user, probe)]
            return Enclosed([self.program, *self._bubblewrap(place, limits), "--", *inner], {}, user)
        if self.kind == "container":
            name = f"autoscaler-grade-{secrets.token_hex(8)}"
            inner = ["python", "-P", *_kernel(Path("/course/autoscaler_env"), place, scratch, limits, None, probe)]
            command = [self.program, *self._container(place, limits, name), self.image, *inner]
            return Enclosed(command, None, None, [self.program, "rm", "--force", name])
        inner = [sys.executable, "-P", *_kernel(_package(), place, scratch, limits, None, probe)]
        return Enclosed(inner, dict(os.environ) | _variables(scratch), apart=False)

    def scratch(self, place: Place) -> Path:
        """Return the folder that the kernel writes to, by the name it has there."""
        return place.sockets / "scratch" if self.kind == "none" else Path("/scratch")

    def _bubblewrap(self, place: Place, limits: Limits) -> list[str]:
        """Return bubblewrap's options; it carries them out in their order."""
        options = ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
        if self.as_root:
            options += ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
        else:
            options += ["--unshare-user", "--uid", "65534", "--gid", "65534"]
        options += ["--die-with-parent", "--new-session", "--clearenv"]
        for name, value in _variables(Path("/scratch")).items():
            options += ["--setenv", name, value]
        options += ["--proc", "/proc", "--dev", "/dev"]
        for folder in ("/scratch", "/tmp", "/dev/shm"):
            options += ["--perms", "1777", "--size", str(limits.disk_mb * MEGABYTE), "--tmpfs", folder]
        for path in map(Path, _SYSTEM):
            if path.is_symlink():
                options += ["--symlink", str(path.readlink()), str(path)]
            elif path.exists():
                options += _bind(path)
        for path in (Path("/usr"), *map(Path, _SETTINGS), *_python_and_package()):
            options += _bind(path) if path.exists() else []
        options += _bind(place.reference) if place.reference else []
        options += _bind(place.sockets, "--bind")
        # Last: what bubblewrap itself made to mount on.
        return [*options, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/scratch"]

    def _container(self, place: Place, limits: Limits, name: str) -> list[str]:
        options = ["run", "--rm", "--name", name, "--network", "none", "--read-only", "--cap-drop", "ALL"]
        options += ["--security-opt", "no-new-privileges", "--user", f"{_user()}:{_user()}"]
        options += ["--pids-limit", str(limits.processes), "--memory", f"{limits.memory_mb}m"]
        for folder in ("/scratch", "/tmp"):
            options += ["--tmpfs", f"{folder}:rw,mode=1777,size={limits.disk_mb}m"]
        for variable, value in (_variables(Path("/scratch")) | {"PYTHONPATH": "/course"}).items():
            if variable != "PATH":
                options += ["--env", f"{variable}={value}"]
        options += [
            "--volume",
            f"{_package()}:/course/autoscaler_env:ro",
            "--volume",
            f"{place.sockets}:{place.sockets}",
        ]
        options += ["--volume", f"{place.reference}:{place.reference}:ro"] if place.reference else []
        return [*options, "--workdir", "/scratch"]


NO_WALL = Wall(
    "none",
    "No wall: notebooks run with your own rights. They can read and change your files and use the network, "
    "and what they leave running is ended as far as it is found.",
)


def _kernel(package: Path, place: Place, scratch: Path, limits: Limits, user: int | None, probe: bool) -> list[str]:
    """Return the part of a command line that starts the kernel's program.

    Args:
        package: Where the package lies, as the kernel sees it.
        place: The shared folders.
        scratch: The folder that it writes to.
        limits: What it may use.
        user: The user id that it changes to; nobody else has it, so that the system can count its processes.
        probe: Whether to end before the kernel begins.
    """
    held = {
        "RLIMIT_DATA": limits.memory_mb * MEGABYTE,
        "RLIMIT_CPU": 2 * limits.seconds,
        "RLIMIT_NOFILE": 1_024,
        "RLIMIT_CORE": 0,
    }
    told = {
        "connection": str(place.connection),
        "scratch": str(scratch),
        "reference": str(place.reference) if place.reference else None,
        "user": user,
        "limits": held | ({"RLIMIT_NPROC": limits.processes} if user is not None else {}),
        "probe": probe,
    }
    return [str(package / "grading" / "kernel.py"), json.dumps(told)]


def _variables(scratch: Path) -> dict[str, str]:
    """Return the environment of a kernel; nothing of ours goes in."""
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin" if os.name == "posix" else os.environ.get("PATH", ""),
        "HOME": str(scratch),
        "LANG": "C.UTF-8",
        "MPLCONFIGDIR": str(scratch / ".matplotlib"),
        "NUMBA_CACHE_DIR": str(scratch / ".numba"),
        "IPYTHONDIR": str(scratch / ".ipython"),
        "JUPYTER_PLATFORM_DIRS": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _bind(path: Path, how: str = "--ro-bind") -> list[str]:
    """Return the options that show a path at its own place; the folders above it are made, readable by all."""
    above = [str(folder) for folder in reversed(path.parents) if folder != Path("/")]
    made = [word for folder in above for word in ("--perms", "0755", "--dir", folder)]
    return [*made, how, str(path), str(path)]


def _python_and_package() -> list[Path]:
    """Return what this Python consists of, and what notebooks need of the project."""
    root = project_root()
    own = [_package()]
    if (root / "pyproject.toml").exists():
        own += [root / "pyproject.toml", root / "results", root / "models"]
    shown: list[Path] = []
    for path in (*map(Path, dict.fromkeys((sys.base_prefix, sys.prefix))), *own):
        if not any(path == before or before in path.parents for before in (Path("/usr"), *shown)):
            shown.append(path)
    return shown


def _package() -> Path:
    return Path(autoscaler_env.__file__).resolve().parent


def _user() -> int:
    """Return a user id for a container: our own where we have one, so that it can write its sockets."""
    return os.getuid() if hasattr(os, "getuid") else 1000
