"""Decide what an answer to an exercise is, and whether it is right: the one place, for notebooks and for grading.

A check never raises. It returns one line that begins with "right", or with what is wanted instead. Values count by what
they are worth, whatever library made them: `plain` says which.
"""

from __future__ import annotations

import copy
import math
import numbers
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set, ValuesView
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

TOLERANCE = 1e-6
"""Numbers that differ by less, absolutely or relative to the wanted one, are equal."""

MAX_VALUES = 100_000
"""An answer with more values is not taken."""

MAX_DEPTH = 20
"""An answer with more lists within lists is not taken."""

Accepts = Callable[[tuple[Any, ...], NDArray[np.float64]], bool | str]
"""Whether an array is a right result for arguments; a text says what its form lacks, instead of a hint."""

NO_FUNCTION = "a function, please: its name, without brackets or quotes"
"""What is said to an answer that cannot be called."""

_misses: dict[tuple[str, ...], list[str]] = {}
"""The wrong answers to an exercise since this process began; its hints stand for the exercise."""


def judge_number(answer: Any, wanted: float | Iterable[float], *hints: str, within: float = 0.0) -> str:
    """Return whether an answer is a number, and the wanted one.

    Args:
        answer: Anything.
        wanted: The right number, or several of which each is right.
        hints: What to say to a wrong number; the second hint is for the second wrong one and those after it.
        within: How far from the wanted number an answer may be, in its unit; rounding is always allowed.

    Example:
        >>> judge_number(np.float32(2.5), 2.5, "too bad"), judge_number("2.5", 2.5, "too bad")
        ('right', 'a number, please, without quotes')
        >>> judge_number(158, 160, "too far", within=5)
        'right'
    """
    value = as_array(answer)
    if value is None:
        return "a number, please, without quotes" if _is_number_in_quotes(answer) else "a number, please"
    if value.ndim > 0:
        return "a single number, please, not an array"
    rights = [wanted] if isinstance(wanted, (int, float, np.number)) else list(wanted)
    near = any(math.isclose(value, right, rel_tol=TOLERANCE, abs_tol=within + TOLERANCE) for right in rights)
    return "right" if near else miss(answer, *hints)


def judge_numbers(answer: Any, wanted: Iterable[float], *hints: str, within: float = 0.0) -> str:
    """Return whether an answer is a sequence of numbers, and the wanted one.

    Args:
        answer: Anything; a list, an array, a tensor and a table of numbers are sequences.
        wanted: The right numbers, in order; of any shape.
        hints: As for `judge_number`.
        within: As for `judge_number`, for each number.

    Example:
        >>> judge_numbers((1, 2), [1, 2], "too bad"), judge_numbers(1, [1, 2], "too bad")
        ('right', '2 numbers, please, in a list or an array')
    """
    value, right = as_array(answer), np.asarray(wanted, dtype=np.float64)
    if value is None or value.shape != right.shape:
        shape = " x ".join(str(size) for size in right.shape)
        return f"{shape} numbers, please, in a list or an array"
    near = np.allclose(value, right, rtol=TOLERANCE, atol=within + TOLERANCE)
    return "right" if near else miss(value.tolist(), *hints)


def judge_name(answer: Any, wanted: str | Iterable[str], *hints: str) -> str:
    """Return whether an answer is a name, and the wanted one; case, spaces, hyphens and underscores do not matter.

    Args:
        answer: Anything.
        wanted: The right name, or several of which each is right.
        hints: As for `judge_number`.

    Example:
        >>> judge_name("q learning", "Q-learning", "too bad"), judge_name(3, "Q-learning", "too bad")
        ('right', 'a name in quotes, please')
    """
    text = plain_or_none(answer)
    if not isinstance(text, str):
        return "a name in quotes, please"
    rights = [wanted] if isinstance(wanted, str) else list(wanted)
    return "right" if letters(text) in map(letters, rights) else miss(letters(text), *hints)


def judge_names(answer: Any, wanted: Iterable[str], *hints: str) -> str:
    """Return whether an answer is a collection of names, and has the wanted ones in any order.

    Args:
        answer: Anything; a single name counts as a collection of one.
        wanted: The right names.
        hints: As for `judge_number`.

    Example:
        >>> judge_names({"PPO", "dqn"}, ["DQN", "PPO"], "too bad")
        'right'
    """
    value = plain_or_none(answer)
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, (list, tuple)) or not all(isinstance(text, str) for text in texts):
        return "names in quotes, please, in a list"
    given = set(map(letters, texts))
    return "right" if given == set(map(letters, wanted)) else miss(str(sorted(given)), *hints)


def judge_truth(answer: Any, wanted: bool, *hints: str) -> str:
    """Return whether an answer is a truth value, and the wanted one; "yes" and "no" count too.

    Args:
        answer: Anything.
        wanted: The right truth value.
        hints: As for `judge_number`. Of two answers one is right: the hints should ask for the reason.

    Example:
        >>> judge_truth(np.True_, True, "too bad"), judge_truth("No", True, "too bad"), judge_truth(1, True, "")
        ('right', 'not yet: too bad', 'True or False, please')
    """
    words = {"true": True, "yes": True, "false": False, "no": False}
    value = plain_or_none(answer)
    if isinstance(value, np.ndarray) and value.dtype == bool and value.ndim == 0:
        value = bool(value)
    value = words.get(letters(value)) if isinstance(value, str) else value
    if not isinstance(value, bool):
        return "True or False, please"
    return "right" if value == wanted else miss(value, *hints)


def miss(answer: Any, *hints: str) -> str:
    """Return the hint for a wrong answer: the first hint for the first one, the second hint from the second one on.

    The same answer again gets the same hint.

    Args:
        answer: The wrong answer.
        hints: The hints of the exercise, from the vague one to the clear one. None says the answer.
    """
    answers = _misses.setdefault(hints, [])
    try:
        shown = repr(answer)
    except Exception:
        shown = type(answer).__name__
    if shown not in answers:
        answers.append(shown)
    return f"not yet: {hints[min(answers.index(shown), len(hints) - 1)]}"


def forget_misses() -> None:
    """Begin anew with the first hints: for a checker that judges many people's answers."""
    _misses.clear()


def judge_function(answer: Any, cases: Iterable[tuple[Any, ...]], accepts: Accepts, *hints: str) -> str:
    """Return whether an answer is a function whose results are right for all cases.

    Args:
        answer: Anything.
        cases: The arguments of each call; the function gets copies of them.
        accepts: Whether a result, as an array, is right for the arguments.
        hints: As for `judge_number`.

    Example:
        >>> judge_function(lambda x: 2 * x, [(1,), (3,)], equals(lambda x: x + x), "twice as much")
        'right'
        >>> judge_function(5, [], equals(abs), "")
        'a function, please: its name, without brackets or quotes'
    """
    if not callable(answer):
        return NO_FUNCTION
    for case in cases:
        value, problem = call(answer, *copy.deepcopy(case))
        if value is None:
            return problem
        accepted = accepts(case, value)
        if isinstance(accepted, str):
            return f"not yet: {accepted}"
        if not accepted:
            return miss(answer, *hints)
    return "right"


def call(answer: Any, *arguments: Any) -> tuple[NDArray[np.float64] | None, str]:
    """Return what a function returns, as an array; or `None` and what to say instead.

    An array of truth values is one of 1 and 0.

    Example:
        >>> call(lambda x: [x > 1, x > 2], 2), call(lambda x: None, 2)[1]
        ((array([1., 0.]), ''), 'not yet: your function returned None; did you forget `return`?')
    """
    if not callable(answer):
        return None, NO_FUNCTION
    try:
        result = answer(*arguments)
        value = as_array(result, masks=True)
    except (Exception, SystemExit) as error:
        return None, f"not yet: your function raised {type(error).__name__}: {error}"
    if result is None:
        return None, "not yet: your function returned None; did you forget `return`?"
    return value, "" if value is not None else "not yet: your function returns no number; a number or an array, please"


def equals(reference: Callable[..., Any], *faults: tuple[Callable[..., Any], str]) -> Accepts:
    """Return what accepts a result with the shape and the values of the reference's, and names a wrong shape.

    Args:
        reference: The right function; it gets the same arguments.
        faults: Functions with a fault that students make, and the hint for who returns what they return.
    """

    def accepts(case: tuple[Any, ...], value: NDArray[np.float64]) -> bool | str:
        wanted = np.asarray(reference(*copy.deepcopy(case)), dtype=np.float64)
        fault = shape_fault(value, wanted.shape)
        if fault or np.allclose(value, wanted, rtol=TOLERANCE, atol=TOLERANCE):
            return fault or True
        return next((hint for wrong, hint in faults if equals(wrong)(case, value) is True), False)

    return accepts


def shape_fault(value: NDArray[np.float64], wanted: tuple[int, ...]) -> str:
    """Return what to say to a result of another shape than the wanted one; nothing if it has this shape.

    Example:
        >>> shape_fault(np.zeros((2, 3)), (32,)), shape_fault(np.zeros(2), ()), shape_fault(np.zeros(2), (2,))
        ('your result has shape (2, 3); expected (32,)', 'your result has shape (2,); expected a single number', '')
    """
    if value.shape == wanted:
        return ""
    had, expected = (str(shape) if shape else "a single number" for shape in (value.shape, wanted))
    return f"your result {f'has shape {had}' if value.shape else f'is {had}'}; expected {expected}"


def as_array(value: Any, masks: bool = False) -> NDArray[np.float64] | None:
    """Return numbers as an array of floats, an array of floats as itself; `None` for truth values, texts and the rest.

    Args:
        value: Anything.
        masks: Whether an array of truth values is an array of 1 and 0. A single truth value never is a number.

    Example:
        >>> as_array([1, 2]), as_array(range(2)), as_array(True), as_array("7")
        (array([1., 2.]), array([0., 1.]), None, None)
    """
    try:
        array = np.asarray(plain(value))
        number = array.dtype.kind in "iuf" or (masks and array.dtype.kind == "b" and array.ndim > 0)
        return array.astype(np.float64, copy=False) if number else None
    except Exception:
        return None


class NotPlainError(TypeError):
    """A value has no form as plain data, such as a function."""


def plain(value: Any, depth: int = 0) -> Any:
    """Return a value as plain data: what can be handed in as an answer, whatever library made it.

    Numbers, texts, truth values and bytes count by their value, also from numpy, torch, fractions or an own class.
    Arrays, tensors, tables and their columns become numpy arrays, other sequences and sets become lists.

    Args:
        value: Anything.
        depth: How many containers it lies in.

    Raises:
        NotPlainError: It is a function, a class or another object without such a value.

    Example:
        >>> from fractions import Fraction
        >>> plain(Fraction(1, 4)), plain(range(3)), plain(np.str_("ppo"))
        (0.25, [0, 1, 2], 'ppo')
    """
    if depth > MAX_DEPTH:
        raise NotPlainError("it is nested too deeply")
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return value
    if hasattr(type(value), "tolist"):  # an array of texts, a tensor, a column of a table
        return plain(value.tolist(), depth + 1)
    if hasattr(type(value), "__array__"):
        return plain(np.asarray(value), depth + 1)
    for kind in (bool, int, float, str, bytes):
        if isinstance(value, kind):
            return kind(value)  # type: ignore[arg-type]  # mypy joins the kinds
    if value is None:
        return None
    if isinstance(value, (numbers.Real, Decimal)):
        return float(value)
    if isinstance(value, Collection) and len(value) > MAX_VALUES:
        raise NotPlainError(f"it has more than {MAX_VALUES:,} values")
    if isinstance(value, Mapping):
        return {plain(name, depth + 1): plain(item, depth + 1) for name, item in value.items()}
    if isinstance(value, tuple):
        return tuple(plain(item, depth + 1) for item in value)
    if isinstance(value, (Sequence, Set, ValuesView, deque)):
        return [plain(item, depth + 1) for item in value]
    raise NotPlainError(type(value).__name__)


def plain_or_none(value: Any) -> Any:
    """Return a value as plain data; `None` if it has no such form, or if finding it fails."""
    try:
        return plain(value)
    except Exception:
        return None


def _is_number_in_quotes(answer: Any) -> bool:
    """Return whether an answer is a text that Python reads as a number."""
    text = plain_or_none(answer)
    try:
        return isinstance(text, str) and math.isfinite(float(text))
    except ValueError:
        return False


def letters(name: str) -> str:
    """Return a name without what does not matter in it."""
    return "".join(character for character in name.casefold() if character.isalnum())
