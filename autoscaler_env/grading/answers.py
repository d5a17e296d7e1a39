"""Carry answers out of the sandbox: plain values as JSON, functions and objects as a record of what they returned.

A check must not run where the code of a submission runs: that code could change the values that the check compares
with, or answer with an object that equals everything. So the kernel in the sandbox only *sends* answers, as JSON, and
the checks run outside. If an answer is a function or a class, the check runs in the sandbox too, and a `Recorder`
records what the answer returns to it, call by call. Outside, a `Replay` returns the same values to the trusted check,
and only this check decides. This module has both sides.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import io
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.grading.judging import MAX_DEPTH, MAX_VALUES, NotPlainError, plain
from autoscaler_env.text import one_line, printable

MIME = "application/vnd.autoscaler.answers+json"
"""The type of the outputs with which a kernel sends answers."""

_ARRAY_KINDS = "biuf"


def encode(value: Any) -> Any:
    """Return a value in a form that JSON can hold: what counts as plain data, by its value (`judging.plain`).

    Raises:
        NotPlainError: It is no plain data.
    """
    return _encode(plain(value))


def _encode(value: Any) -> Any:
    if type(value) in (float, int):
        return {"number": repr(value)}  # JSON has neither NaN nor infinity
    if value is None or type(value) in (bool, str):
        return value
    if type(value) is bytes:
        return {"bytes": base64.b64encode(value).decode()}
    if type(value) is np.ndarray:
        return {"array": base64.b64encode(value.tobytes()).decode(), "dtype": value.dtype.str, "shape": [*value.shape]}
    if type(value) is dict:
        return {"dict": [[_encode(name), _encode(item)] for name, item in value.items()]}
    return {type(value).__name__: [_encode(item) for item in value]}


def decode(content: Any) -> Any:
    """Return the plain value that `encode` turned into JSON.

    Args:
        content: JSON, possibly forged.

    Raises:
        ValueError: `encode` cannot have returned it, or it has too many values.
    """
    try:
        return _decode(content, [MAX_VALUES])
    except (TypeError, KeyError, RecursionError, OverflowError, MemoryError, binascii.Error) as error:
        raise ValueError(f"not an answer: {type(error).__name__}") from None


def _decode(content: Any, values_left: list[int]) -> Any:
    values_left[0] -= 1
    if values_left[0] < 0:
        raise ValueError(f"not an answer: it has more than {MAX_VALUES:,} values")
    if content is None or type(content) in (bool, str):
        return content
    if not isinstance(content, dict):  # nbformat has its own kind of dict
        raise ValueError("not an answer: unknown form")
    match content:
        case {"number": str(text)} if len(text) <= 400:
            return int(text) if text.lstrip("-").isdigit() else float(text)
        case {"bytes": str(text)}:
            return base64.b64decode(text, validate=True)
        case {"array": str(text), "dtype": str(name), "shape": list(shape)}:
            return _array(text, name, shape, values_left)
        case {"list": list(items)}:
            return [_decode(item, values_left) for item in items]
        case {"tuple": list(items)}:
            return tuple(_decode(item, values_left) for item in items)
        case {"dict": list(items)}:
            return {_decode(name, values_left): _decode(item, values_left) for name, item in items}
    raise ValueError("not an answer: unknown form")


def _array(text: str, dtype: str, shape: list[Any], values_left: list[int]) -> NDArray[Any]:
    """Return the array of these bytes; a byte of a truth value may be forged, so it becomes 0 or 1."""
    kind = np.dtype(dtype)
    if kind.kind not in _ARRAY_KINDS:
        raise ValueError("not an answer: an array that does not hold numbers")
    if len(shape) > MAX_DEPTH or not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError("not an answer: an array without a shape")
    content = base64.b64decode(text, validate=True)
    if len(content) != math.prod(shape) * kind.itemsize:
        raise ValueError("not an answer: an array of another size than its shape")
    values_left[0] -= math.prod(shape)
    if values_left[0] < 0:
        raise ValueError(f"not an answer: it has more than {MAX_VALUES:,} values")
    if kind.kind == "b":
        return np.frombuffer(content, dtype=np.uint8).reshape(shape) != 0
    return np.frombuffer(content, dtype=kind).reshape(shape).copy()


def collect(namespace: dict[str, Any], names: list[str], check: str) -> dict[str, Any]:
    """Return the answers to one exercise as JSON. A notebook calls this in the sandbox.

    Args:
        namespace: The variables of the notebook.
        names: The variables that hold the answers.
        check: The source of the check. It runs here only if an answer is not plain data.

    Returns:
        By name: `{"value": ...}` or `{"returned": [...]}`; a variable that does not exist is left out.
    """
    collected: dict[str, Any] = {}
    recorders: dict[str, Recorder] = {}
    for name in names:
        if name not in namespace:
            continue
        try:
            collected[name] = {"value": encode(namespace[name])}
        except (NotPlainError, RecursionError):
            recorders[name] = Recorder(namespace[name], [])
    if recorders:
        with contextlib.suppress(Exception), contextlib.redirect_stdout(io.StringIO()):
            exec(compile(check, "check", "exec"), namespace | recorders)
    return collected | {name: {"returned": recorder._log} for name, recorder in recorders.items()}


def restore(content: Any) -> Any:
    """Return an answer for the trusted check: a plain value, or an object that returns what was recorded.

    Args:
        content: What `collect` returned for one variable, possibly forged.

    Raises:
        ValueError: It is not an answer.
    """
    match content:
        case {"value": value}:
            return decode(value)
        case {"returned": list(log)}:
            return Replay(log)
    raise ValueError("not an answer: unknown form")


def shown_answer(sent: dict[str, Any]) -> str:
    """Return what a submission answered, in one short line.

    Args:
        sent: What `collect` returned, possibly forged.
    """
    shown = []
    for name, content in sorted(sent.items()):
        try:
            value = restore(content)
            text = "a function or an object" if isinstance(value, Replay) else repr(value)
        except ValueError:
            text = "unreadable"
        shown.append(text if len(sent) == 1 else f"{name} = {text}")
    return printable(one_line(", ".join(shown)), 160)


class Recorder:
    """Takes the place of an answer in the sandbox: passes calls on to it, and records what it returns."""

    def __init__(self, answer: Any, log: list[Any]) -> None:
        self.__dict__ |= {"_answer": answer, "_log": log}

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Call the answer."""
        try:
            return self._record(self._answer(*arguments, **named))
        except Exception as error:
            self._log.append({"raised": f"{type(error).__name__}: {error}"[:500]})
            raise

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)  # Python and libraries ask for these: a record of them could lie to them
        try:
            return self._record(getattr(self._answer, name))
        except AttributeError:
            self._log.append({"missing": name})
            raise

    def _record(self, value: Any) -> Any:
        """Record a value and return it. A value that is not plain data gets a recorder too."""
        try:
            self._log.append({"plain": encode(value)})
        except (NotPlainError, RecursionError):
            self._log.append({"object": True})
            return Recorder(value, self._log)
        return value


class Replay:
    """Takes the place of an answer outside the sandbox: returns the recorded values in the recorded order.

    Args:
        log: What a `Recorder` recorded, possibly forged.
    """

    def __init__(self, log: list[Any]) -> None:
        self.__dict__ |= {"_rest": iter(log)}

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Return what the answer returned."""
        return self._next()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._next()

    def _next(self) -> Any:
        match next(self._rest, None):
            case {"plain": value}:
                return decode(value)
            case {"object": True}:
                replay = Replay([])
                replay.__dict__ |= {"_rest": self._rest}
                return replay
            case {"raised": str(error)}:
                raise RuntimeError(f"the answer raised {error}")
            case {"missing": str(name)}:
                raise AttributeError(name)
        raise RuntimeError("the answer was not used in this way when it ran in the sandbox")
