"""The code exercise of notebook 8: damage that a check of model files does not notice."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from autoscaler_env.grading.judging import NO_FUNCTION, miss
from autoscaler_env.verification.check import Verdict
from autoscaler_env.verification.report import verify
from autoscaler_env.verification.workers import Workers


def check_damage(answer: Any, content: bytes, workers: Workers | None = None) -> str:
    """Return whether a function damages a Q-table in a way that `verify` does not notice; the verdict stands behind it.

    Args:
        answer: Anything; asked for is a function from bytes to bytes. It is called once.
        content: The bytes of a sound Q-table.
        workers: The processes that check the damaged file; own ones by default.

    Returns:
        One line. After "right" or the hint stands what `verify` says about the file, with its reason.
    """
    if not callable(answer):
        return NO_FUNCTION
    try:
        damaged = answer(content)
    except (Exception, SystemExit) as error:
        return f"not yet: your function raised {type(error).__name__}: {error}"
    if not isinstance(damaged, bytes):
        return "not yet: your function returns no bytes"
    if damaged == content:
        return "not yet: the bytes are those of the sound table; change at least one"
    verdict = _verdict_on(damaged, workers)
    said = f"verify says {verdict.status}: {verdict.reason}"
    if verdict.status != "broken":
        return f"right: {said}"
    hints = "which bytes of the file are neither its form nor a name?", "what if only the last bit of a number changes?"
    return f"{miss(damaged, *hints)} ({said})"


def _verdict_on(content: bytes, workers: Workers | None) -> Verdict:
    """Return what `verify` says about the bytes of a Q-table without a description."""
    with tempfile.TemporaryDirectory(prefix="verify_models_") as folder:
        path = Path(folder) / "yours.pkl"
        path.write_bytes(content)
        (verdict,) = verify(path, progress=False, workers=workers)
    return verdict
