"""Known faults of functions that students write: a wrong shape, sign or case has a hint of its own."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from autoscaler_env.grading.judging import call, equals

Fault = tuple[Callable[..., Any], str]
"""A function with a fault that students make, and what to say about it."""


def known_fault(
    answer: Any, cases: Iterable[tuple[Any, ...]], reference: Callable[..., Any], faults: Sequence[Fault] = ()
) -> str:
    """Return what a check says to a wrong function whose fault it knows; empty if there is none or it is unknown.

    Args:
        answer: Anything; what is no function, or raises an exception, has no known fault.
        cases: The arguments of each call; the function gets copies of them.
        reference: The right function.
        faults: Functions with faults. The answer has one where both are wrong, and their results are equal.

    Example:
        >>> known_fault(lambda x: -x, [(2,)], lambda x: x, [(lambda x: -x, "look at the sign")])
        'not yet: look at the sign'
        >>> known_fault(lambda x: [x, x], [(2,)], lambda x: x)
        'not yet: your function returns an array of shape (2,), wanted is one number'
    """
    for case in cases:
        value, _ = call(answer, *copy.deepcopy(case))
        if value is None:
            return ""
        wanted = np.asarray(reference(*case))
        if value.shape != wanted.shape:
            return f"not yet: your function returns {_shape(value.shape)}, wanted is {_shape(wanted.shape)}"
        if not equals(reference)(case, value):
            return next((f"not yet: {hint}" for fault, hint in faults if equals(fault)(case, value)), "")
    return ""


def _shape(shape: tuple[int, ...]) -> str:
    """Return what an array of a shape is, in words."""
    return f"an array of shape {shape}" if shape else "one number"
