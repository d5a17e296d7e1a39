"""Compile functions with numba, and cache them safely.

Numba caches a compiled function beside its source and compiles it again when that source changes. It does not notice
a change in a *function that it calls* from another file: after an edit of the dynamics, callers would silently run the
old code. `compiled` therefore adds a fingerprint of all compiled sources of the package to the name of each cached
function: any change makes new names, and old caches are never read again.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba


def _fingerprint() -> str:
    """Hash the sources of all modules that hold compiled functions."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        source = path.read_bytes()
        if b"@compiled" in source:
            digest.update(source)
    return digest.hexdigest()[:12]


_FINGERPRINT = _fingerprint()


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function at its first call; keep the machine code for later processes.

    Args:
        function: A function of numbers and numpy arrays, in numba's nopython subset.

    Returns:
        The compiled function; its attribute `py_func` is the Python original.
    """
    function.__qualname__ = f"{function.__qualname__}_{_FINGERPRINT}"
    return numba.njit(cache=True, nogil=True, error_model="numpy")(function)


def entry_point(function: Callable[..., Any], *arguments: Any) -> Callable[..., Any]:
    """Return the machine code of a compiled function for arguments of these types.

    A call of it does not check the type of each argument, which saves a quarter of the cost of a call: worth it where
    the call is most of the work. All calls must pass arguments of exactly these types.

    Args:
        function: What `compiled` returned.
        arguments: Examples of what it will be called with.
    """
    signature = tuple(numba.typeof(argument) for argument in arguments)
    machine_code: Callable[..., Any] = function.compile(signature)  # type: ignore[attr-defined]
    return machine_code


@functools.cache
def code_fingerprint() -> str:
    """Return twelve characters that identify the code that decides what a training learns and what a policy costs.

    Saved results carry it, so that an edit of the simulator, a workload, a policy or a learner makes them stale.
    """
    package = Path(__file__).parent
    digest = hashlib.sha256()
    for place in ("compiled.py", "service.py", "dynamics.py", "traffic", "envs", "policies", "evaluation", "training"):
        for path in sorted((package / place).rglob("*.py")) or [package / place]:
            digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


@functools.cache
def package_fingerprint() -> str:
    """Return sixteen characters that identify all code of the package."""
    package = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
