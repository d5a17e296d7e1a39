"""Seal the right answers to exercises, so that a check in the students' notebooks does not show them.

A seal is a slow, salted hash of an answer. Who reads a sealed check sees hashes, not the answer; who tries many answers
can still find it. A number is right within a tolerance, which a hash does not know. So a number is rounded before it is
hashed, and there is a seal for each rounded number within the tolerance.
"""

from __future__ import annotations

import hashlib
import math
import secrets
from collections.abc import Collection, Iterator
from typing import Any

from autoscaler_env.grading.judging import (
    TOLERANCE,
    as_array,
    judge_name,
    judge_names,
    judge_number,
    judge_truth,
    letters,
    miss,
    plain_or_none,
)
from autoscaler_env.text import not_a_choice, one_line, printable

KINDS = ("number", "name", "names", "truth")
"""The kinds of answers that can be sealed, as in the names of the functions in `judging`."""

ROUNDS = 100_000
"""Rounds of the hash: one answer takes some hundredths of a second, ten thousand answers take minutes."""

_CELLS = 20
"""A tolerance is divided into so many parts: nearer to the edge than one part, a right number may be refused."""

_CHARACTERS = 16


def seal(kind: str, wanted: Any, within: float = 0.0) -> tuple[str, tuple[str, ...]]:
    """Return a new salt and the seals of all right answers.

    Args:
        kind: One of `KINDS`.
        wanted: As for the function of the kind in `judging`.
        within: As for `judging.judge_number`.

    Raises:
        ValueError: The kind is unknown.
    """
    if kind not in KINDS:
        raise ValueError(not_a_choice("kind", kind, KINDS))
    several = kind in ("number", "name") and not isinstance(wanted, str) and hasattr(wanted, "__iter__")
    rights = list(wanted) if several else [wanted]
    texts = {text for right in rights for text in _right_texts(kind, right, within)}
    salt = secrets.token_hex(8)
    return salt, tuple(sorted(_hash(salt, text) for text in texts))


def judge_sealed(answer: Any, kind: str, salt: str, seals: Collection[str], *hints: str, within: float = 0.0) -> str:
    """Return whether an answer has the form that is wanted, and one of the seals.

    Args:
        answer: Anything.
        kind: One of `KINDS`.
        salt: What `seal` returned.
        seals: What `seal` returned.
        hints: As for `judging.judge_number`.
        within: The number that the answer was sealed with.

    Example:
        >>> salt, seals = seal("number", 2.4)
        >>> [judge_sealed(answer, "number", salt, seals, "too bad") for answer in (2.4000001, 2.41, "many")]
        ['right', 'not yet: too bad', 'a number, please']
    """
    if problem := _wrong_form(answer, kind):
        return problem
    return "right" if _hash(salt, _text(kind, answer, within)) in seals else miss(answer, *hints)


def note(answer: Any, kind: str = "") -> str:
    """Return that an answer is noted, or what form is wanted: for answers that only the grader can judge.

    Args:
        answer: Anything.
        kind: One of `KINDS`, or an empty text for any form.

    Example:
        >>> note(3, "number"), note("three", "number")
        ('noted: 3; only the grader judges this exercise', 'a number, please')
    """
    shown = printable(one_line(repr(answer)), 60)
    return _wrong_form(answer, kind) or f"noted: {shown}; only the grader judges this exercise"


def _wrong_form(answer: Any, kind: str) -> str:
    """Return which form is wanted; an empty text if the answer has it."""
    judges = {
        "number": lambda: judge_number(answer, math.nan, ""),
        "name": lambda: judge_name(answer, (), ""),
        "names": lambda: judge_names(answer, (), ""),
        "truth": lambda: judge_truth(answer, True, ""),
    }
    result = judges[kind]() if kind else "right"
    return "" if result.startswith(("right", "not yet")) else result


def _right_texts(kind: str, wanted: Any, within: float) -> Iterator[str]:
    """Yield the texts of all right answers."""
    yield _text(kind, wanted, within)
    if kind != "number":
        return
    right = float(wanted)
    if within:
        step = within / _CELLS
        middle = round(right / step)
        near = (step * (middle + offset) for offset in range(-_CELLS - 1, _CELLS + 2))
        yield from (_text(kind, value, within) for value in near if abs(value - right) + step / 2 <= within)
    else:
        for share in (-1, 1):  # the neighbours in the last digit, if they are right too
            value = float(f"{right:.6e}") + share * 10.0 ** (math.floor(math.log10(abs(right) or 1)) - 6)
            if abs(value - right) <= max(abs(right), 1) * TOLERANCE / 2:
                yield _text(kind, value, within)


def _text(kind: str, answer: Any, within: float) -> str:
    """Return the text of an answer of the right form: equal for answers that count as the same."""
    if kind == "number":
        number = float(as_array(answer))  # type: ignore[arg-type]  # its form was checked
        if not math.isfinite(number):
            return str(number)
        rounded = 0.0 if abs(number) <= TOLERANCE else number
        return str(round(number / within * _CELLS)) if within else f"{rounded:.6e}"
    value = plain_or_none(answer)
    if kind == "names":
        return " ".join(sorted({letters(name) for name in ([value] if isinstance(value, str) else value)}))
    return {"true": "yes", "false": "no"}.get(letters(str(value)), letters(str(value)))


def _hash(salt: str, text: str) -> str:
    return hashlib.pbkdf2_hmac("sha256", text.encode(), bytes.fromhex(salt), ROUNDS).hex()[:_CHARACTERS]
