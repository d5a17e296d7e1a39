"""Carry answers across the wall: plain values as they are, functions and objects as a record of what they returned.

A check must not run where a submission's code runs: that code could change what the check compares with, or answer with
an object that equals everything. So the kernel behind the wall only *tells* answers, as JSON, and our checks run
elsewhere. Where an answer is a function or a class, the check runs behind the wall too, and what the answer returns to
it, call by call, is recorded; outside, a `Replay` returns the same to our own check, which decides. Both sides of that
are here.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import io
from typing import Any

import numpy as np

MIME = "application/vnd.autoscaler.answers+json"
"""The type under which a kernel displays the answers that it tells."""

MOST_VALUES = 100_000
"""Values in the answer to one exercise; more is no answer."""

_PLAIN = (type(None), bool, int, float, str)
_ARRAY_KINDS = "biuf"


class _NotPlain(Exception):
    """A value is more than data."""


def encode(value: Any) -> Any:
    """Return a plain value as JSON can hold it, its Python type kept.

    Raises:
        _NotPlain: It is no number, string, bytes, array, list, tuple or dictionary of such.
    """
    if type(value) in (float, int):
        return {"number": repr(value)}  # JSON knows neither NaN nor infinity
    if type(value) in _PLAIN:
        return value
    if type(value) is bytes:
        return {"bytes": base64.b64encode(value).decode()}
    if isinstance(value, np.generic) and value.dtype.kind in _ARRAY_KINDS:
        return encode(value.item())
    if type(value) is np.ndarray and value.dtype.kind in _ARRAY_KINDS:
        return {"array": encode(value.tolist()), "dtype": value.dtype.str}
    if type(value) in (list, tuple):
        return {type(value).__name__: [encode(item) for item in value]}
    if type(value) is dict:
        return {"dict": [[encode(name), encode(item)] for name, item in value.items()]}
    raise _NotPlain(type(value).__name__)


def decode(told: Any) -> Any:
    """Return the plain value that a kernel told.

    Args:
        told: JSON of any origin.

    Raises:
        ValueError: It is nothing that `encode` returns, or too much.
    """
    try:
        return _decode(told, [MOST_VALUES])
    except (TypeError, KeyError, RecursionError, OverflowError, MemoryError, binascii.Error) as error:
        raise ValueError(f"not an answer: {type(error).__name__}") from None


def _decode(told: Any, left: list[int]) -> Any:
    left[0] -= 1
    if left[0] < 0:
        raise ValueError(f"not an answer: it has more than {MOST_VALUES:,} values")
    if told is None or type(told) in (bool, str):
        return told
    if type(told) is not dict:
        raise ValueError("not an answer: of no known form")
    match told:
        case {"number": str(text)} if len(text) <= 400:
            return int(text) if text.lstrip("-").isdigit() else float(text)
        case {"bytes": str(text)}:
            return base64.b64decode(text, validate=True)
        case {"array": dict(items), "dtype": str(name)}:
            kind = np.dtype(name)
            if kind.kind not in _ARRAY_KINDS:
                raise ValueError("not an answer: an array of something other than numbers")
            return np.array(_decode(items, left), dtype=kind)
        case {"list": list(items)}:
            return [_decode(item, left) for item in items]
        case {"tuple": list(items)}:
            return tuple(_decode(item, left) for item in items)
        case {"dict": list(items)}:
            return {_decode(name, left): _decode(item, left) for name, item in items}
    raise ValueError("not an answer: of no known form")


def tell(namespace: dict[str, Any], names: list[str], check: str) -> dict[str, Any]:
    """Return the answers to one exercise, for the way across the wall.

    Args:
        namespace: The notebook's variables.
        names: Those that hold the answers.
        check: The source of the check, run here only where an answer is no plain value.

    Returns:
        By name: `{"value": ...}` or `{"returned": [...]}`; a name that is not there is left out.
    """
    told: dict[str, Any] = {}
    recorders: dict[str, Recorder] = {}
    for name in names:
        if name not in namespace:
            continue
        try:
            told[name] = {"value": encode(namespace[name])}
        except (_NotPlain, RecursionError):
            recorders[name] = Recorder(namespace[name], [])
    if recorders:
        with contextlib.suppress(Exception), contextlib.redirect_stdout(io.StringIO()):
            exec(compile(check, "check", "exec"), namespace | recorders)
    return told | {name: {"returned": recorder._log} for name, recorder in recorders.items()}


def received(told: Any) -> Any:
    """Return an answer as our check is given it: a plain value, or something that returns what was recorded.

    Raises:
        ValueError: It is no answer.
    """
    match told:
        case {"value": value}:
            return decode(value)
        case {"returned": list(log)}:
            return Replay(log)
    raise ValueError("not an answer: of no known form")


class Recorder:
    """Stands for an answer behind the wall: passes calls on to it, and keeps what it returns."""

    def __init__(self, answer: Any, log: list[Any]) -> None:
        self.__dict__ |= {"_answer": answer, "_log": log}

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Call the answer."""
        try:
            return self._note(self._answer(*arguments, **named))
        except Exception as error:
            self._log.append({"raised": f"{type(error).__name__}: {error}"[:500]})
            raise

    def __getattr__(self, name: str) -> Any:
        try:
            return self._note(getattr(self._answer, name))
        except AttributeError:
            self._log.append({"missing": name})
            raise

    def _note(self, value: Any) -> Any:
        """Keep a value, or stand for it too where it is more than data."""
        try:
            self._log.append({"plain": encode(value)})
        except (_NotPlain, RecursionError):
            self._log.append({"object": True})
            return Recorder(value, self._log)
        return value


class Replay:
    """Stands for an answer outside: returns what was recorded, in the same order, whatever it is asked.

    Args:
        log: What a `Recorder` kept, of any origin.
    """

    def __init__(self, log: list[Any]) -> None:
        self.__dict__ |= {"_left": iter(log)}

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Return what the answer returned."""
        return self._next()

    def __getattr__(self, name: str) -> Any:
        return self._next()

    def _next(self) -> Any:
        match next(self._left, None):
            case {"plain": value}:
                return decode(value)
            case {"object": True}:
                again = Replay([])
                again.__dict__ |= {"_left": self._left}
                return again
            case {"raised": str(said)}:
                raise RuntimeError(f"the answer raised {said}")
            case {"missing": str(name)}:
                raise AttributeError(name)
        raise RuntimeError("the answer was not asked for this when it ran")
