"""Decide what an answer to an exercise is, and whether it is right: the one place, for notebooks and for grading.

A check never raises. It returns one line that begins with "right", or with what is wanted instead. Any numeric type
counts as a number; lists, numpy arrays and tensors count as arrays.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

TOLERANCE = 1e-6
"""Numbers that differ by less, absolutely or relative to the wanted one, are equal."""

Accepts = Callable[[tuple[Any, ...], NDArray[np.float64]], bool]
"""Whether an array is a right result for arguments."""


def judge_number(answer: Any, wanted: float, hint: str) -> str:
    """Return whether an answer is a number, and the wanted one.

    Args:
        answer: Anything.
        wanted: The right number.
        hint: What to say to a wrong number.

    Example:
        >>> judge_number(np.float32(2.5), 2.5, "too bad"), judge_number("2.5", 2.5, "too bad")
        ('right', 'a number, please')
    """
    value = as_array(answer)
    if value is None or value.ndim > 0:
        return "a number, please"
    return "right" if math.isclose(float(value), wanted, rel_tol=TOLERANCE, abs_tol=TOLERANCE) else f"not yet: {hint}"


def judge_function(answer: Any, cases: Iterable[tuple[Any, ...]], accepts: Accepts, hint: str) -> str:
    """Return whether an answer is a function whose results are right for all cases.

    Args:
        answer: Anything.
        cases: The arguments of each call; the function gets copies of them.
        accepts: Whether a result, as an array, is right for the arguments.
        hint: What to say to a wrong result.

    Example:
        >>> judge_function(lambda x: 2 * x, [(1,), (3,)], equals(lambda x: x + x), "twice as much")
        'right'
        >>> judge_function(5, [], equals(abs), "")
        'a function, please'
    """
    if not callable(answer):
        return "a function, please"
    for case in cases:
        value, problem = call(answer, *copy.deepcopy(case))
        if value is None:
            return problem
        if not accepts(case, value):
            return f"not yet: {hint}"
    return "right"


def call(answer: Any, *arguments: Any) -> tuple[NDArray[np.float64] | None, str]:
    """Return what a function returns, as an array; or `None` and what to say instead."""
    if not callable(answer):
        return None, "a function, please"
    try:
        value = as_array(answer(*arguments))
    except (Exception, SystemExit) as error:
        return None, f"not yet: your function raised {type(error).__name__}: {error}"
    return value, "" if value is not None else "not yet: your function returns no number; a number or an array, please"


def equals(reference: Callable[..., Any]) -> Accepts:
    """Return what accepts a result if it has the shape and the values of the reference's.

    Args:
        reference: The right function; it gets the same arguments.
    """

    def accepts(case: tuple[Any, ...], value: NDArray[np.float64]) -> bool:
        wanted = np.asarray(reference(*copy.deepcopy(case)), dtype=np.float64)
        return value.shape == wanted.shape and bool(np.allclose(value, wanted, rtol=TOLERANCE, atol=TOLERANCE))

    return accepts


def as_array(value: Any) -> NDArray[np.float64] | None:
    """Return numbers as an array of floats, an array of floats as itself; `None` for truth values, texts and the rest.

    Example:
        >>> as_array([1, 2]), as_array(True), as_array("7")
        (array([1., 2.]), None, None)
    """
    try:
        if not isinstance(value, (int, float, list, tuple, np.ndarray, np.generic)):
            value = value.tolist()  # a tensor
        array = np.asarray(value)
        return array.astype(np.float64, copy=False) if array.dtype.kind in "iuf" else None
    except Exception:
        return None
