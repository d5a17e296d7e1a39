"""The sandbox of a kernel: bubblewrap, a container, a user of its own, or none; and the limits of what it may use.

In bubblewrap a kernel has no network and sees this Python, the package and a scratch folder in memory, but nothing else
of the machine: no home folder, no other submission, no process except its own. Its process and mount namespaces end
with it, so nothing that it starts survives; it can make no others (`kernel.forbid_namespaces`). If the grader runs as
root, the kernel also changes to a user id that no other user has.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path

import autoscaler_env
from autoscaler_env.paths import project_root

MEGABYTE = 2**20

_WORKSPACE = Path("/workspace")
"""Where a sandbox shows what the course's notebooks have written."""

PROBE_SECONDS = 300
"""A sandbox that needs more time than this to start Python does not work."""


@dataclass(frozen=True)
class Limits:
    """What one notebook of a submission may use.

    Raises:
        ValueError: A limit is not a positive whole number.
    """

    seconds: int = 600
    """Time from the start of its kernel to the end of its last cell."""
    memory_mb: int = 4_096
    """Memory of the kernel and of all processes that it starts, together."""
    disk_mb: int = 512
    """Files in its scratch folder, which is in memory; the same limit holds for `/tmp` and for `/dev/shm`."""
    output_mb: int = 20
    """What its cells print and display."""
    processes: int = 256
    """Processes and threads, including its own."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if type(value) is not int or value < 1:
                raise ValueError(f"{field.name} = {value!r}: must be a whole number, at least 1")


_SYSTEM = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store")
_SETTINGS = ("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime", "/etc/fonts")
"""The visible part of `/etc`: where libraries and fonts are."""


@dataclass(frozen=True)
class SharedFolders:
    """The folders outside the sandbox that a kernel can see."""

    sockets: Path
    """Its connection file and its sockets; the only folder outside the sandbox that it can write to."""
    workspace: Path | None = None
    """What the course's notebooks have written so far; the kernel gets a copy."""

    @property
    def connection(self) -> Path:
        """The file with the addresses and the key of the kernel."""
        return self.sockets / "kernel.json"

    def give_to(self, user: int | None) -> None:
        """Let another user write sockets here; `None` is the current user, who may do so already."""
        if user is not None:
            self.sockets.chmod(0o711)  # root in the sandbox must pass through it, and has no special rights there
            os.chown(self.sockets, user, user)


@contextlib.contextmanager
def shared_folders(workspace: Path | None = None) -> Iterator[SharedFolders]:
    """Make the folder for the sockets of a kernel. Its path is short, because the path of a socket must be short.

    Args:
        workspace: What the course's notebooks have written so far.
    """
    folder = Path(tempfile.mkdtemp(prefix="grade-")).resolve()
    try:
        shared = SharedFolders(folder, workspace.resolve() if workspace else None)
        shared.connection.write_text("{}", encoding="utf-8")
        yield shared
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class Launch:
    """How to start a kernel in a sandbox."""

    command: list[str]
    """The command line."""
    environment: dict[str, str] | None = None
    """Its environment variables; those of this process if `None`."""
    user: int | None = None
    """The user id that the kernel changes to, and that must be able to write its sockets."""
    cleanup: list[str] | None = None
    """A command that ends what may still run."""
    hidden_scratch: bool = True
    """Whether its scratch folder is invisible from outside."""


@dataclass(frozen=True)
class Sandbox:
    """What surrounds a kernel.

    Args:
        kind: bubblewrap, container, user or none.
        description: One sentence for people.
        program: The program that makes the sandbox.
        image: The image of a container.
        as_root: Whether root starts bubblewrap, without a user namespace.
    """

    kind: str
    description: str
    program: str = ""
    image: str = ""
    as_root: bool = False

    def launch(self, shared: SharedFolders, limits: Limits, *, probe: bool = False) -> Launch:
        """Return how to start a kernel in this sandbox.

        Args:
            shared: The folders that it can see.
            limits: What it may use.
            probe: Whether to end before the kernel starts.
        """
        scratch = self.scratch(shared)
        own_view = self.kind in ("bubblewrap", "container")  # of the files of this machine
        workspace = _WORKSPACE if shared.workspace and own_view else shared.workspace
        if self.kind == "bubblewrap":
            user = _new_user() if self.as_root else None
            inner = [sys.executable, "-P", *_kernel(_package(), shared, scratch, workspace, limits, user, probe)]
            return Launch([self.program, *self._bubblewrap(shared, limits), "--", *inner, "no-namespaces"], {}, user)
        if self.kind == "container":
            name = f"autoscaler-grade-{secrets.token_hex(8)}"
            inner = [
                "python",
                "-P",
                *_kernel(Path("/course/autoscaler_env"), shared, scratch, workspace, limits, None, probe),
            ]
            command = [self.program, *self._container(shared, limits, name), self.image, *inner]
            return Launch(command, None, None, [self.program, "rm", "--force", name])
        user = _new_user() if self.kind == "user" else None
        inner = [sys.executable, "-P", *_kernel(_package(), shared, scratch, workspace, limits, user, probe)]
        if self.kind == "user":
            return Launch([self.program, "--no-new-privs", "--", *inner], _variables(scratch), user, None, False)
        return Launch(inner, dict(os.environ) | _variables(scratch), hidden_scratch=False)

    def scratch(self, shared: SharedFolders) -> Path:
        """Return the folder that the kernel writes to, by its path in the sandbox."""
        return Path("/scratch") if self.kind in ("bubblewrap", "container") else shared.sockets / "scratch"

    def _bubblewrap(self, shared: SharedFolders, limits: Limits) -> list[str]:
        """Return the options of bubblewrap, in the order in which it applies them."""
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
        options += ["--ro-bind", str(shared.workspace), str(_WORKSPACE)] if shared.workspace else []
        options += _bind(shared.sockets, "--bind")
        # Last, because bubblewrap itself makes the folders that it mounts on.
        return [*options, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/scratch"]

    def _container(self, shared: SharedFolders, limits: Limits, name: str) -> list[str]:
        """Return the options of docker or podman."""
        options = ["run", "--rm", "--name", name, "--network", "none", "--read-only", "--cap-drop", "ALL"]
        options += ["--security-opt", "no-new-privileges", "--user", f"{_user()}:{_user()}"]
        options += ["--pids-limit", str(limits.processes), "--memory", f"{limits.memory_mb}m"]
        for folder in ("/scratch", "/tmp"):
            options += ["--tmpfs", f"{folder}:rw,mode=1777,size={limits.disk_mb}m"]
        for variable, value in (_variables(Path("/scratch")) | {"PYTHONPATH": "/course"}).items():
            if variable != "PATH":
                options += ["--env", f"{variable}={value}"]
        for path in _project():
            options += ["--volume", f"{path}:/course/{path.name}:ro"] if path.exists() else []
        options += ["--volume", f"{shared.sockets}:{shared.sockets}"]
        options += ["--volume", f"{shared.workspace}:{_WORKSPACE}:ro"] if shared.workspace else []
        return [*options, "--workdir", "/scratch"]


NO_SANDBOX = Sandbox(
    "none",
    "No sandbox: notebooks run with your own rights. They can read and change your files and use the network. "
    "Processes that they leave behind are ended as far as they are found.",
)


def find_sandbox(container: str | None = None, trusted: bool = False, own_user: bool = False) -> Sandbox:
    """Return the strongest sandbox that works on this machine.

    Args:
        container: An image that contains the course's dependencies; bubblewrap is used if it is `None`.
        trusted: Whether to go on without a sandbox if none works.
        own_user: Whether to go on with user ids of their own for the notebooks if bubblewrap does not work: for a
            container that is thrown away after one submission.

    Raises:
        ValueError: No sandbox works here and the code is not trusted; or no program for containers is installed.
    """
    if container is not None:
        programs = [program for name in ("docker", "podman") if (program := shutil.which(name))]
        if not programs:
            raise ValueError(f"container = {container!r}: neither docker nor podman is installed")
        description = (
            f"Sandbox: a container of {container}; no network, a read-only file system, a process namespace of its own."
        )
        return first_working([Sandbox("container", description, program, container) for program in programs])
    try:
        return first_working(bubblewrap_sandboxes())
    except ValueError as reason:
        if own_user:
            return first_working([_own_user()])
        if trusted:
            return replace(NO_SANDBOX, description=f"{NO_SANDBOX.description} ({reason})")
        raise ValueError(
            f"{reason}. Without a sandbox the notebooks could do anything on this machine: install bubblewrap 0.7 or "
            "newer (Linux), name a --container, or say --i-trust-this-code"
        ) from None


def _own_user() -> Sandbox:
    """Return the sandbox that is only a user id of its own.

    Raises:
        ValueError: This process is not root on Linux, or lacks the program; or other users cannot reach Python or the
            package.
    """
    program = shutil.which("setpriv") if sys.platform == "linux" and os.geteuid() == 0 else None
    if program is None:
        raise ValueError("own_user: needs root on Linux, and setpriv of util-linux")
    for path in (Path(sys.base_prefix), Path(sys.prefix), _package()):
        if closed := closed_folder(path):
            raise ValueError(f"own_user: {path} is in {closed}, which only its owner can pass: install it elsewhere")
    description = (
        "Own user: notebooks run with a user id of their own, without rights that root has. They cannot read or change "
        "the grader, its answers, its secret days or its results. They can read what all users can read, and use the "
        "network as far as the container has one. Only the container protects the machine."
    )
    return Sandbox("user", description, program)


def closed_folder(path: Path) -> Path | None:
    """Return the first folder on the way to a folder, or itself, that not all users can pass; `None` if they can."""
    path = path.resolve()
    return next((each for each in (*reversed(path.parents), path) if not each.stat().st_mode & stat.S_IXOTH), None)


def bubblewrap_sandboxes() -> list[Sandbox]:
    """Return the ways to start bubblewrap, the strongest first.

    Raises:
        ValueError: It is not installed, or this system is not Linux.
    """
    if sys.platform != "linux":
        raise ValueError(f"bubblewrap is for Linux only, and this is {sys.platform}")
    program = shutil.which("bwrap")
    if program is None:
        raise ValueError("bubblewrap is not installed")
    description = (
        "Sandbox: bubblewrap; no network, a read-only system, a scratch folder, a process namespace of its own, "
        "no way to make another"
    )
    ordinary = Sandbox("bubblewrap", f"{description}.", program)
    if os.geteuid() != 0:
        return [ordinary]
    return [Sandbox("bubblewrap", f"{description}, a user id of its own.", program, as_root=True), ordinary]


def first_working(sandboxes: list[Sandbox]) -> Sandbox:
    """Return the first sandbox in which the program of a kernel starts.

    Raises:
        ValueError: None works; the message ends with the last error.
    """
    problem = ""
    for sandbox in sandboxes:
        with shared_folders() as shared:
            launch = sandbox.launch(shared, Limits(), probe=True)
            shared.give_to(launch.user)
            try:
                done = subprocess.run(
                    launch.command,
                    env=launch.environment,
                    capture_output=True,
                    text=True,
                    errors="replace",
                    timeout=PROBE_SECONDS,
                    check=False,
                )
            except (OSError, subprocess.TimeoutExpired) as error:
                problem = type(error).__name__
                continue
        if done.returncode == 0:
            return sandbox
        problem = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
    raise ValueError(f"{sandboxes[-1].kind} is installed but does not work: {problem}")


def _kernel(
    package: Path,
    shared: SharedFolders,
    scratch: Path,
    workspace: Path | None,
    limits: Limits,
    user: int | None,
    probe: bool,
) -> list[str]:
    """Return the part of a command line that starts the program of the kernel.

    Args:
        package: The folder of the package, by its path in the sandbox.
        shared: The folders that the kernel can see.
        scratch: The folder that it writes to.
        workspace: What the course's notebooks have written, by its path in the sandbox.
        limits: What it may use.
        user: The user id that it changes to. No other user has it, so the system can count its processes.
        probe: Whether to end before the kernel starts.
    """
    resources = {
        "RLIMIT_DATA": limits.memory_mb * MEGABYTE,
        "RLIMIT_CPU": 2 * limits.seconds,
        "RLIMIT_NOFILE": 1_024,
        "RLIMIT_CORE": 0,
    }
    specification = {
        "connection": str(shared.connection),
        "scratch": str(scratch),
        "workspace": str(workspace) if workspace else None,
        "user": user,
        "limits": resources | ({"RLIMIT_NPROC": limits.processes} if user is not None else {}),
        "probe": probe,
    }
    return [str(package / "grading" / "kernel.py"), json.dumps(specification)]


def _variables(scratch: Path) -> dict[str, str]:
    """Return the environment variables of a kernel; none of this process's variables is passed on."""
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


def _bind(path: Path, mode: str = "--ro-bind") -> list[str]:
    """Return the options that show a path in the sandbox; all users can read the folders above it."""
    parents = [str(folder) for folder in reversed(path.parents) if folder != Path("/")]
    options = [word for folder in parents for word in ("--perms", "0755", "--dir", folder)]
    return [*options, mode, str(path), str(path)]


def _python_and_package() -> list[Path]:
    """Return the folders of this Python, and the files of the project that notebooks need."""
    visible: list[Path] = []
    for path in (*map(Path, dict.fromkeys((sys.base_prefix, sys.prefix))), *_project()):
        if not any(path == folder or folder in path.parents for folder in (Path("/usr"), *visible)):
            visible.append(path)
    return visible


def _project() -> list[Path]:
    """Return the files of the project that notebooks need: the package, and those of a checkout beside it."""
    root = project_root()
    beside = ("pyproject.toml", "results", "models", "figures") if (root / "pyproject.toml").exists() else ()
    return [_package(), *(root / name for name in beside)]


def _package() -> Path:
    return Path(autoscaler_env.__file__).resolve().parent


def _new_user() -> int:
    """Return a user id that nobody has."""
    return 2**20 + secrets.randbelow(2**30)


def _user() -> int:
    """Return the user id for a container: the current one if the system has user ids, so that it can write sockets."""
    return os.getuid() if hasattr(os, "getuid") else 1000
