"""Read pickles without unpickling: token by token, building plain values and what we are given names for.

A pickle is a program for a small stack machine, and its tokens can name and call any function. The machine here knows
few tokens. It has no import and calls nothing but functions that its caller handed in, so there is nothing in it that
a file could turn into running code. `pickletools` splits the file into tokens, and runs nothing either.

Check the pickles that nobody is going to read: those in the `data` of a DQN or PPO model, and beside its weights.

No safety depends on this: they are never unpickled. It tells an instructor what a file would do elsewhere. Which names
stable-baselines3 writes is known. Functions and classes of the maker's own, such as a learning rate, and of other
libraries are noted. But a file that names anything else of Python, numpy or torch was made to do something when a
default loader reads it, and is refused.
"""

from __future__ import annotations

import pickletools
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from autoscaler_env.text import printable

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


_TYPE = "cloudpickle.cloudpickle _builtin_type"
_NUMPY = ("multiarray scalar", "multiarray _reconstruct", "numeric _frombuffer")

IN_DATA = frozenset(
    {f"numpy.{core}.{name}" for core in ("core", "_core") for name in _NUMPY}
    | {
        "numpy dtype",
        "numpy ndarray",
        "numpy.random._pickle __generator_ctor",
        "numpy.random._pickle __bit_generator_ctor",
        "numpy.random._pcg64 PCG64",
        "numpy.random.bit_generator SeedSequence",
        "numpy.random.bit_generator __pyx_unpickle_SeedSequence",
        "collections deque",
        "collections OrderedDict",
        "gymnasium.spaces.box Box",
        "gymnasium.spaces.discrete Discrete",
        "stable_baselines3.common.buffers ReplayBuffer",
        "stable_baselines3.common.buffers RolloutBuffer",
        "stable_baselines3.common.policies ActorCriticPolicy",
        "stable_baselines3.dqn.policies DQNPolicy",
        "stable_baselines3.common.type_aliases TrainFreq",
        "stable_baselines3.common.type_aliases TrainFrequencyUnit",
        "stable_baselines3.common.utils ConstantSchedule",
        "stable_baselines3.common.utils FloatSchedule",
        "stable_baselines3.common.utils LinearSchedule",
        "torch.nn.modules.activation ReLU",
        "torch.nn.modules.activation Tanh",
        "torch.optim.adam Adam",
        "torch.optim.adamw AdamW",
        "torch.optim.rmsprop RMSprop",
        "torch.optim.sgd SGD",
        "stable_baselines3.common.sb2_compat.rmsprop_tf_like RMSpropTFLike",
        # Learning rates and other schedules that are functions: made by these, called only by who goes on training.
        "functools partial",
        "_operator mul",
        _TYPE,
        "cloudpickle.cloudpickle _function_setstate",
        "cloudpickle.cloudpickle _make_cell",
        "cloudpickle.cloudpickle _make_empty_cell",
        "cloudpickle.cloudpickle _make_function",
    }
)
"""What stable-baselines3 names in `data`, as `module name`; where numpy's versions differ, in the words of each."""

_NOTED = frozenset(
    f"cloudpickle.cloudpickle {name}" for name in ("subimport", "_make_skeleton_class", "_class_setstate")
)
"""Of cloudpickle, what it needs for functions that use modules, and for classes."""

_REFUSED_ROOTS = sys.stdlib_module_names | {"numpy", "torch", "cloudpickle", "__builtin__", "copy_reg", "commands"}
"""Packages of which nothing else is let pass; the last three are Python 2's, which old pickles may say."""

_MARK, _BLANK, _NAME = object(), object(), object()
_REFUSED = {"INST", "OBJ", "EXT1", "EXT2", "EXT4", "PERSID", "NEXT_BUFFER", "READONLY_BUFFER"}
_CALLED = {"REDUCE": 1, "NEWOBJ": 1, "NEWOBJ_EX": 2}
"""Tokens that call something, and how far below the top of the stack it lies."""


def check_names(content: bytes, allowed: frozenset[str], *, references: bool = False) -> set[str]:
    """Check that a pickle names nothing that it has no business with, and calls nothing but what it names.

    It follows texts and names over the stack and lets everything else be a blank.

    Args:
        content: The pickle.
        allowed: What it may name, as `module name`.
        references: Whether it is of tensors, which refer to data outside of it and name nothing else.

    Returns:
        The other names that were let pass: those of its maker, and of other libraries, as `module.name`.

    Raises:
        ValueError: It names something else of Python, numpy or torch, calls something that it made, or has a token that
            no sound file has; or it is no pickle.
    """
    follower = _Follower(allowed, references)
    try:
        for token, argument, position in tokens(content):
            follower.step(token, argument, position)
    except (IndexError, KeyError, TypeError, OverflowError):
        raise ValueError(DAMAGED) from None
    return follower.noted


class _Follower:
    """A stack machine of texts, names and blanks."""

    def __init__(self, allowed: frozenset[str], references: bool) -> None:
        self._allowed = allowed
        self._references = references
        self._stack: list[Any] = []
        self._memory: dict[int, Any] = {}
        self.noted: set[str] = set()

    def step(self, token: Any, argument: Any, position: int) -> None:
        """Follow one token."""
        name = token.name
        if name in _REFUSED:
            raise ValueError(refusal(name, argument, position))
        if name in ("MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT"):
            self._memory[len(self._memory) if name == "MEMOIZE" else argument] = self._stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            self._stack.append(self._memory[argument])
        elif name == "DUP":
            self._stack.append(self._stack[-1])
        else:
            made = self._made(name, argument, position, self._take(token))
            self._stack += [_MARK if each is pickletools.markobject else made for each in token.stack_after]

    def _take(self, token: Any) -> list[Any]:
        """Take from the stack what a token uses; return it, the topmost first, without what lies above a mark."""
        taken = []
        for wanted in reversed(token.stack_before):
            if wanted is pickletools.stackslice:
                while self._stack[-1] is not _MARK:
                    self._stack.pop()
            else:
                taken.append(self._stack.pop())
        return taken

    def _made(self, name: str, argument: Any, position: int, taken: list[Any]) -> Any:
        """Return what a token puts on the stack."""
        if name in ("GLOBAL", "STACK_GLOBAL"):
            named = argument if name == "GLOBAL" else f"{taken[1]} {taken[0]}"
            self._look_at(named)
            return named if named == _TYPE else _NAME
        if name in _CALLED:
            called = taken[_CALLED[name]]
            if called == _TYPE and taken[0] == ("CodeType",):  # a function: made here, called by who trains on
                return _NAME
            if called not in (_NAME, _TYPE):
                raise ValueError(f"it calls what it has made ({name} at byte {position:,})")
        if name == "BINPERSID" and not (self._references and taken[0] is _BLANK):
            raise ValueError(refusal(name, argument, position))
        if name == "TUPLE1" and isinstance(taken[0], str):
            return (taken[0],)
        return argument if isinstance(argument, str) else _BLANK

    def _look_at(self, named: str) -> None:
        """Let a name pass, note it, or refuse it."""
        if named in self._allowed:
            return
        root = named.partition(" ")[0].partition(".")[0]
        if self._references or (root in _REFUSED_ROOTS and named not in _NOTED):
            raise ValueError(refusal("GLOBAL", named))
        if root != "autoscaler_env":
            self.noted.add(printable(named.replace(" ", ".")))
