"""Read pickles without unpickling them, and check the pickles that are not needed.

A pickle is a program for a small stack machine, and its tokens can name and call any function. `read_values` is such a
machine with few tokens. It has no import, and it calls only functions that its caller passes in, so a file cannot make
it run other code. `pickletools` splits the file into tokens and runs nothing either.

`check_names` checks the pickles in the `data` of a DQN or PPO model and beside its weights. They are never unpickled,
so no safety depends on it: it tells an instructor what a file would do in another loader. The names that
stable-baselines3 writes are known. Other functions and classes, of the author of the file or of other libraries, are
reported as notes. A file that names anything else of Python, numpy or torch runs code in a default loader, and is
refused.

Scanners of pickles cannot do this check. picklescan 1.0.5 and fickling 0.1.12 were tried on the files of
`tests/bad_networks.py` and on 8 sound networks of stable-baselines3. Given each pickle in a file, both refuse the 89
files with code, but they also refuse or suspect all 8 sound networks, because these name functions of cloudpickle and
classes of stable-baselines3. Given the file as it is, picklescan does not look into the base64 text in `data` or the
zips in the zip, and passes 82 of the 89.
"""

from __future__ import annotations

import pickletools
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from autoscaler_env.text import printable

MOST_CONTAINERS = 200_000
"""Largest number of lists, tuples, dictionaries and marks in a pickle: one byte of a file makes sixty of memory."""

MOST_TOKENS = 500_000
"""Largest number of tokens of a pickle: a second or two of reading."""

DAMAGED = "no pickle, or a damaged or truncated one"
"""The message about bytes that are no pickle."""

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
        names: The functions that the pickle may call, as `module name`, and our own function in place of each. `None`:
            it may name nothing, and refer to nothing twice, so that its values cannot be larger than the file allows.
        persistent: Resolves the pickle's references to data outside of it; `None`: there may be none.

    Raises:
        ValueError: The pickle holds anything else, or bytes follow its end.
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
    """Yield the tokens of a pickle: the token, its argument, its position in bytes.

    Raises:
        ValueError: The content is no pickle, or has too many tokens, or bytes follow its end.
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
        raise ValueError("bytes follow the end of the pickle")


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
        """Execute one token."""
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
            taken = self._since_mark()  # first: it changes the stack
            self.stack.append(tuple(taken))
        else:
            taken = [self.stack.pop() for _ in range(_TUPLES[token])]
            self.stack.append(tuple(reversed(taken)))

    def _since_mark(self) -> list[Any]:
        """Remove the last mark and the values above it; return the values."""
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
            if type(key) is not str:  # with chosen numbers, every lookup could take very long
                raise ValueError("a dictionary whose keys are no texts")
            target[key] = value

    def _name(self, token: str, argument: Any) -> None:
        """Put our function for a name on the stack."""
        name = argument if token == "GLOBAL" else " ".join(reversed([self.stack.pop(), self.stack.pop()]))
        if name not in (self._names or {}):
            raise ValueError(refusal("GLOBAL", name))
        assert self._names is not None
        self.stack.append(self._names[name])

    def _call(self, token: str, argument: Any) -> bool:
        """Execute a token that calls a function or refers to a value; return whether the token is known."""
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
    """Return the message about a token that no sound pickle holds, with its position."""
    if token in ("GLOBAL", "INST"):
        return f"it names {printable(str(argument).replace(' ', '.'))}, which a sound file does not"
    return f"it holds {token} at byte {position:,}, which a sound file does not"


_TYPE = "cloudpickle.cloudpickle _builtin_type"
_NUMPY = ("multiarray scalar", "multiarray _reconstruct", "numeric _frombuffer")

ACTIVATIONS = (
    *("ReLU", "Tanh", "GELU", "ELU", "SELU", "CELU", "SiLU", "Mish", "LeakyReLU", "ReLU6", "Sigmoid", "Softplus"),
    *("Softsign", "Hardswish", "Hardtanh", "Hardsigmoid", "LogSigmoid", "Tanhshrink", "Softshrink", "Hardshrink"),
)
"""Activations of torch that have no weights, no chance and no settings that must be given."""

_OTHER_ACTIVATIONS = ("PReLU", "RReLU", "GLU", "Softmax", "Softmin", "Threshold")

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
        *(f"torch.nn.modules.activation {name}" for name in (*ACTIVATIONS, *_OTHER_ACTIVATIONS)),
        "torch.optim.adam Adam",
        "torch.optim.adamw AdamW",
        "torch.optim.rmsprop RMSprop",
        "torch.optim.sgd SGD",
        "stable_baselines3.common.sb2_compat.rmsprop_tf_like RMSpropTFLike",
        # Learning rates and other schedules that are functions: these make them, and only further training calls them.
        "functools partial",
        "_operator mul",
        _TYPE,
        "cloudpickle.cloudpickle _function_setstate",
        "cloudpickle.cloudpickle _make_cell",
        "cloudpickle.cloudpickle _make_empty_cell",
        "cloudpickle.cloudpickle _make_function",
    }
)
"""Names that stable-baselines3 writes into `data`, as `module name`, for all supported versions of numpy."""

IN_OTHER_DATA = IN_DATA | {"torch._utils _rebuild_tensor_v2", "torch.storage _load_from_bytes"}
"""Names in `data` of learners that keep tensors there. Their files are refused anyway, by the name of the learner."""

_NOTED = frozenset(
    f"cloudpickle.cloudpickle {name}" for name in ("subimport", "_make_skeleton_class", "_class_setstate")
)
"""Names that cloudpickle needs for functions that use modules, and for classes."""

_REFUSED_ROOTS = sys.stdlib_module_names | {"numpy", "torch", "cloudpickle", "__builtin__", "copy_reg", "commands"}
"""Packages whose other names are refused; the last three are names of Python 2 in old pickles."""

_MARK, _BLANK, _NAME = object(), object(), object()
_REFUSED = {"INST", "OBJ", "EXT1", "EXT2", "EXT4", "PERSID", "NEXT_BUFFER", "READONLY_BUFFER"}
_CALLED = {"REDUCE": 1, "NEWOBJ": 1, "NEWOBJ_EX": 2}
"""Tokens that call a function, and the depth of the function on the stack."""


def check_names(content: bytes, allowed: frozenset[str], *, references: bool = False) -> set[str]:
    """Check that a pickle contains only allowed names, and calls only functions that it names.

    It follows texts and names on the stack and treats everything else as a blank.

    Args:
        content: The pickle.
        allowed: Allowed names, as `module name`.
        references: Whether it is a pickle of tensors, which refers to data outside of it and has no further names.

    Returns:
        Further names that were not refused, as `module.name`: those of other libraries and of the author's own code.

    Raises:
        ValueError: It has a further name of Python, numpy or torch, calls a value that it made, or has a token that no
            sound file has; or it is no pickle.
    """
    return _Follower(allowed, references).follow(content)


def names_in(content: bytes) -> set[str]:
    """Return the names in a pickle, as `module name`, whatever they are; it is not unpickled.

    Raises:
        ValueError: It is no pickle, or has a token that no sound file has.
    """
    return _Collector(frozenset(), references=False).follow(content)


class _Follower:
    """A stack machine with texts, names and blanks."""

    def __init__(self, allowed: frozenset[str], references: bool) -> None:
        self._allowed = allowed
        self._references = references
        self._stack: list[Any] = []
        self._memory: dict[int, Any] = {}
        self.noted: set[str] = set()

    def follow(self, content: bytes) -> set[str]:
        """Follow a pickle; return the names that were noted."""
        try:
            for token, argument, position in tokens(content):
                self.step(token, argument, position)
        except (IndexError, KeyError, TypeError, OverflowError):
            raise ValueError(DAMAGED) from None
        return self.noted

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
        """Remove the values that a token uses from the stack; return them, top first, without those above a mark."""
        taken = []
        for wanted in reversed(token.stack_before):
            if wanted is pickletools.stackslice:
                while self._stack[-1] is not _MARK:
                    self._stack.pop()
            else:
                taken.append(self._stack.pop())
        return taken

    def _made(self, name: str, argument: Any, position: int, taken: list[Any]) -> Any:
        """Return the value that a token puts on the stack."""
        if name in ("GLOBAL", "STACK_GLOBAL"):
            named = argument if name == "GLOBAL" else f"{taken[1]} {taken[0]}"
            self._check_name(named)
            return named if named == _TYPE else _NAME
        if name in _CALLED:
            called = taken[_CALLED[name]]
            if called == _TYPE and taken[0] == ("CodeType",):  # a function that only further training calls
                return _NAME
            if called not in (_NAME, _TYPE):
                raise ValueError(f"it calls a value that it has made ({name} at byte {position:,})")
        if name == "BINPERSID" and not (self._references and taken[0] is _BLANK):
            raise ValueError(refusal(name, argument, position))
        if name == "TUPLE1" and isinstance(taken[0], str):
            return (taken[0],)
        return argument if isinstance(argument, str) else _BLANK

    def _check_name(self, named: str) -> None:
        """Allow a name, note it, or refuse it."""
        if named in self._allowed:
            return
        root = named.partition(" ")[0].partition(".")[0]
        if self._references or (root in _REFUSED_ROOTS and named not in _NOTED):
            raise ValueError(refusal("GLOBAL", named))
        if root != "autoscaler_env":
            self.noted.add(printable(named.replace(" ", ".")))


class _Collector(_Follower):
    """A follower that allows all names and notes them as they are."""

    def _check_name(self, named: str) -> None:
        self.noted.add(named)
