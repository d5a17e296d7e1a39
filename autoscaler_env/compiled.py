"""Compile functions with numba, and cache them safely.

Numba caches a compiled function beside its source and compiles anew when that source changes. It does not notice a
change in a *function that it calls* when that one lives in another file, so an edited law of motion would silently go
on running in its old form. `compiled` therefore names each cached function after a fingerprint of every compiled
source in the package: any change makes new names, and old caches are never read again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit


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
        The compiled function; the Python original stays reachable as its `py_func`.
    """
    function.__qualname__ = f"{function.__qualname__}_{_FINGERPRINT}"
    return njit(cache=True, nogil=True, error_model="numpy")(function)
