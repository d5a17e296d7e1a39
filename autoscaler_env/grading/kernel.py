"""Start the kernel of a notebook: the program that runs in the sandbox, before any code of the submission.

It sets the limits, gives up its rights, copies the workspace of the course to its scratch folder, and then becomes the
kernel. It runs as a file and imports nothing of the package, because that would happen before it gives up its rights.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import platform
import shutil
import struct
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


_ALLOCATIONS = 50_000
"""New objects after which a kernel looks for garbage. With Python's own 700, its imports take a quarter longer."""

_NO_EXIT = "from sys import exit, exit as quit"
"""The first cell of a kernel. IPython's `exit` would end it, and the notebook with it; Python's makes a cell fail."""

_NEW_NAMESPACES = 0x7E02_0000
"""The flags of `clone` that make a namespace: mount, cgroup, UTS, IPC, user, process, network."""

_MACHINES = {"x86_64": 0xC000_003E, "aarch64": 0xC000_00B7}
"""The numbers of machines in a filter of system calls."""

_CLONE, _CLONE3 = (56, 220), (435, 435)
"""The numbers of the calls that make processes, for each of the machines."""

_SOCKET = (41, 198)
"""The numbers of the call that makes a socket, for each of the machines."""

_FAMILIES = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10, "AF_NETLINK": 16}
"""The families of sockets that may be made. Others, such as vsock, can reach out of a network namespace."""

_REFUSED = {
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kexec_load": (246, 104),
    "memfd_create": (319, 279),  # its memory belongs to no process, so no limit would count it
}
"""The numbers of the calls that are refused, for each of the machines."""


def forbid_namespaces() -> None:
    """Forbid this process and its children to make namespaces, to mount, and to use rare parts of the system.

    Sockets are of the usual families only, and no memory lies outside the processes that use it.

    In a new user namespace a process has all rights within it, and so reaches code of the system that ordinary users
    cannot reach. A filter of the system (seccomp) refuses these calls; no process can take it off.

    Raises:
        OSError: The system has no such filter, or the machine is unknown.
    """
    if platform.machine() not in _MACHINES:
        raise OSError(f"no filter of system calls for {platform.machine()}; one exists for {', '.join(_MACHINES)}")
    at = list(_MACHINES).index(platform.machine())
    load, equal, above, any_bit, give = 0x20, 0x15, 0x35, 0x45, 0x06  # instructions of the filter
    allow, refuse, unknown = 0x7FFF_0000, 0x0005_0001, 0x0005_0026  # results: allowed, EPERM, ENOSYS
    no_family = 0x0005_0061  # result: EAFNOSUPPORT
    filters = [
        (load, 0, 0, 4),  # the machine: a program of 32 bits would have other numbers
        (equal, 1, 0, _MACHINES[platform.machine()]),
        (give, 0, 0, refuse),
        (load, 0, 0, 0),  # the number of the call
        (above, 0, 1, 0x4000_0000),  # the numbers of x32
        (give, 0, 0, refuse),
        (equal, 0, 1, _CLONE3[at]),  # its flags cannot be seen; a C library then uses `clone`
        (give, 0, 0, unknown),
    ]
    for numbers in _REFUSED.values():
        filters += [(equal, 0, 1, numbers[at]), (give, 0, 0, refuse)]
    filters += [(equal, 0, len(_FAMILIES) + 3, _SOCKET[at]), (load, 0, 0, 16)]
    filters += [
        (equal, left, 0, family) for left, family in zip(range(len(_FAMILIES), 0, -1), _FAMILIES.values(), strict=True)
    ]
    filters += [
        (give, 0, 0, no_family),
        (give, 0, 0, allow),
        (equal, 0, 3, _CLONE[at]),
        (load, 0, 0, 16),  # its flags
        (any_bit, 0, 1, _NEW_NAMESPACES),
        (give, 0, 0, refuse),
        (give, 0, 0, allow),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *filter) for filter in filters))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(filters), ctypes.addressof(code)))
    system = ctypes.CDLL(None, use_errno=True)
    system.prctl.argtypes = [ctypes.c_int, *4 * [ctypes.c_ulong]]
    no_new_privileges, set_filter, mode = 38, 22, 2
    for option in ((no_new_privileges, 1, 0, 0, 0), (set_filter, mode, ctypes.addressof(program), 0, 0)):
        if system.prctl(*option):
            raise OSError(ctypes.get_errno(), f"no filter of system calls: {os.strerror(ctypes.get_errno())}")


def main(specification: str, *options: str) -> None:
    """Become the kernel.

    Args:
        specification: JSON with `connection` (the file with the addresses and the key of the kernel), `scratch` (a
            folder to write to), `workspace` (a folder with what the course has written, or null), `user` (a user id to
            change to, or null), `limits` (see `set_limits`) and `probe` (true: end before the kernel starts).
        options: `no-namespaces` calls `forbid_namespaces`.
    """
    settings = json.loads(specification)
    connection = Path(settings["connection"]).read_bytes()  # now, because the file belongs to the present user
    set_limits(settings["limits"])
    if settings["user"] is not None:
        os.setgroups([])
        os.setresgid(settings["user"], settings["user"], settings["user"])
        os.setresuid(settings["user"], settings["user"], settings["user"])
    if "no-namespaces" in options:
        forbid_namespaces()
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

    gc.set_threshold(_ALLOCATIONS)
    from ipykernel.kernelapp import IPKernelApp

    if settings["probe"]:
        return
    sys.argv[1:] = []
    IPKernelApp.launch_instance(
        argv=[
            "-f",
            str(own_connection),
            "--IPKernelApp.log_level=50",
            "--HistoryManager.enabled=False",
            f"--IPKernelApp.exec_lines={_NO_EXIT}",
        ],
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
