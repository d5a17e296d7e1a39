"""Check the pickles that nobody is going to read: those in the `data` of a DQN or PPO model, and beside its weights.

No safety depends on this: they are never unpickled. It tells an instructor what a file would do elsewhere. Which names
stable-baselines3 writes is known. Functions and classes of the maker's own, such as a learning rate, and of other
libraries are noted. But a file that names anything else of Python, numpy or torch was made to do something when a
default loader reads it, and is refused.
"""

from __future__ import annotations

import pickletools
import sys
from typing import Any

from autoscaler_env.storage.pickles import DAMAGED, refusal, tokens
from autoscaler_env.storage.reading import printable

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
