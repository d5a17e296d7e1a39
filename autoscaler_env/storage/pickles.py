"""Read pickles without unpickling: token by token, building plain values and what we are given names for.

A pickle is a program for a small stack machine, and its tokens can name and call any function. The machine here knows
few tokens. It has no import and calls nothing but functions that its caller handed in, so there is nothing in it that
a file could turn into running code. `pickletools` splits the file into tokens, and runs nothing either.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from autoscaler_env.storage.reading import printable

MOST_CONTAINERS = 200_000
"""Lists, tuples, dictionaries and marks in a pickle, at most: one byte of file makes sixty of memory."""

MOST_TOKENS = 500_000
"""Tokens of a pickle, at most: a second or two of reading."""

DAMAGED = "no pickle, or one that is damaged or cut off"
"""What is said of bytes that make no sense."""

_VALUES = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "SHORT_BINUNICODE", "BINUNICODE"}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: dict[str, Callable[[], Any]] = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_TUPLE": tuple, "MARK": list}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_IGNORED = {"PROTO", "FRAME", "STOP"}
_MEMO_WRITES = {"MEMOIZE", "BINPUT", "LONG_BINPUT"}
_MEMO_READS = {"BINGET", "LONG_BINGET"}


def read_values(
    content: bytes,
    names: Mapping[str, Callable[..., Any]] | None = None,
    persistent: Callable[[Any], Any] | None = None,
) -> Any:
    """Return the values in a pickle: numbers, texts, lists, tuples and dictionaries with texts as keys.

    Args:
        content: The pickle.
        names: What the pickle may call, as `module name`, and the function of ours that stands in for it; `None`: it
            may name nothing, and refer to nothing twice, so that it cannot unfold into more than its size.
        persistent: Resolves the pickle's references to data outside of it; `None`: there may be none.

    Raises:
        ValueError: There is anything else in it, or after its end.
    """
    machine = _Machine(names, persistent)
    try:
        for token, argument, position in tokens(content):
            machine.step(token.name, argument, position)
        if len(machine.stack) != 1:
            raise ValueError(DAMAGED)
    except (IndexError, TypeError, AttributeError, KeyError, OverflowError, UnicodeError):
        raise ValueError(DAMAGED) from None
    return machine.stack[0]


def tokens(content: bytes) -> Iterator[tuple[Any, Any, int]]:
    """Yield the tokens of a pickle: what it is, its argument, its place in bytes.

    Raises:
        ValueError: It is none, or has too many, or bytes follow its end.
    """
    count = end = 0
    try:
        for token, argument, position in pickletools.genops(content):
            if (count := count + 1) > MOST_TOKENS:
                break
            yield token, argument, position or 0
            end = (position or 0) + 1
    except ValueError as error:
        raise ValueError(f"{DAMAGED}: {error}") from None
    if count > MOST_TOKENS:
        raise ValueError(f"a pickle of more than {MOST_TOKENS:,} tokens")
    if end != len(content):
        raise ValueError("something follows the end of the pickle")


class _Machine:
    """The stack machine: a stack, the marks on it, and a memory."""

    def __init__(self, names: Mapping[str, Callable[..., Any]] | None, persistent: Callable[[Any], Any] | None) -> None:
        self.stack: list[Any] = []
        self._below: list[list[Any]] = []
        self._memory: dict[int, Any] = {}
        self._names = names
        self._persistent = persistent
        self._containers = 0

    def step(self, token: str, argument: Any, position: int) -> None:
        """Carry out one token."""
        if token in _VALUES:
            self.stack.append(argument)
        elif token in _IGNORED:
            pass
        elif token in _MEMO_WRITES:
            if self._names is not None:
                self._memory[len(self._memory) if token == "MEMOIZE" else argument] = self.stack[-1]
        elif token in _CONSTANTS:
            self.stack.append(_CONSTANTS[token])
        elif token in _EMPTY or token in _TUPLES or token == "TUPLE":
            self._contain(token)
        elif token in ("APPEND", "APPENDS", "SETITEM", "SETITEMS"):
            self._fill(token)
        elif token in ("GLOBAL", "STACK_GLOBAL"):
            self._name(token, argument)
        elif self._names is None or not self._call(token, argument):
            raise ValueError(refusal(token, argument, position))

    def _contain(self, token: str) -> None:
        self._containers += 1
        if self._containers > MOST_CONTAINERS:
            raise ValueError(f"a pickle of more than {MOST_CONTAINERS:,} lists")
        if token == "MARK":
            self._below.append(self.stack)
            self.stack = []
        elif token in _EMPTY:
            self.stack.append(_EMPTY[token]())
        elif token == "TUPLE":
            taken = self._since_mark()  # first: it changes which list the stack is
            self.stack.append(tuple(taken))
        else:
            taken = [self.stack.pop() for _ in range(_TUPLES[token])]
            self.stack.append(tuple(reversed(taken)))

    def _since_mark(self) -> list[Any]:
        """Return what lies above the last mark, and take both away."""
        taken, self.stack = self.stack, self._below.pop()
        return taken

    def _fill(self, token: str) -> None:
        if token.endswith("S"):
            items = self._since_mark()
        else:
            items = [self.stack.pop() for _ in range(1 if token == "APPEND" else 2)][::-1]
        target = self.stack[-1]
        if token.startswith("APPEND"):
            if type(target) is not list:
                raise TypeError
            target.extend(items)
            return
        if type(target) is not dict or len(items) % 2:
            raise TypeError
        for key, value in zip(items[::2], items[1::2], strict=True):
            if type(key) is not str:  # numbers can be chosen so that looking them up takes for ever
                raise ValueError("a dictionary with keys that are no texts")
            target[key] = value

    def _name(self, token: str, argument: Any) -> None:
        """Put what a name stands for on the stack."""
        name = argument if token == "GLOBAL" else " ".join(reversed([self.stack.pop(), self.stack.pop()]))
        if name not in (self._names or {}):
            raise ValueError(refusal("GLOBAL", name))
        assert self._names is not None
        self.stack.append(self._names[name])

    def _call(self, token: str, argument: Any) -> bool:
        """Carry out a token that calls or refers; return whether it is one that is known."""
        assert self._names is not None
        if token in _MEMO_READS:
            self.stack.append(self._memory[argument])
        elif token == "REDUCE":
            arguments, function = self.stack.pop(), self.stack.pop()
            if not any(function is ours for ours in self._names.values()) or type(arguments) is not tuple:
                raise TypeError
            self.stack.append(function(*arguments))
        elif token == "BUILD":
            self.stack.pop()  # the attributes of an object; plain values have none
        elif token == "BINPERSID" and self._persistent:
            self.stack.append(self._persistent(self.stack.pop()))
        else:
            return False
        return True


def refusal(token: str, argument: Any, position: int | None = None) -> str:
    """Say what was found in a pickle that a sound one has not, and where."""
    if token in ("GLOBAL", "INST"):
        return f"it names {printable(str(argument).replace(' ', '.'))}, which a sound file does not"
    return f"it holds {token} at byte {position:,}, which a sound file does not"
