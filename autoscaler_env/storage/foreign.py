"""Recognise files that are no models of this project: what each one is, in one line, and the way out.

Honest people hand in such files: a pointer of Git LFS, the web page instead of the download, a table of numpy, a model
of another learner. `verify`, `evaluate` and `grade` say these lines, because the one reader of models takes them from
here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import chain
from typing import Any

from autoscaler_env.text import listed, printable

OTHER_ENDINGS = (".pt", ".pth", ".npy", ".onnx", ".h5", ".keras", ".safetensors", ".joblib", ".pickle")
"""Endings of files in which other programs keep models or arrays. No file of ours has one."""

HEAD_BYTES = 512
"""What `other_file` needs to know of a file: its first bytes."""

OWN_CLASS = "a class of yours can play a file that you trust (autoscaler evaluate module:Class)"
"""The way out for a model that this project does not read. Its own loader runs code from it, hence the trust."""

SAVE_TABLE = "write a Q-table with save_q_table(table, path)"
"""The way out for a table in another form."""

SAVE_MODEL = "write a network with model.save(path) of stable-baselines3, which makes a .zip"
"""The way out for a network in another form."""

_PART_OF_MODEL = ("policy.pth", "policy.optimizer.pth", "pytorch_variables.pth")


def other_file(head: bytes, name: str) -> str | None:
    """Return what a file is if it is no model file at all, and the way out; `None` if it may be one.

    Args:
        head: Its first `HEAD_BYTES`, or more of it.
        name: Its name: the ending counts where the content says nothing, and the members of a model have fixed names.

    Example:
        >>> other_file(b"<!DOCTYPE html><title>Sign in", "ppo_mixed.zip")
        'a web page (HTML), not a model: the download saved the page; download the file itself again'
    """
    ending = f".{name.rpartition('.')[2].lower()}"
    if head.startswith(b"version https://git-lfs.github.com/spec/"):
        size = re.search(rb"^size (\d{1,15})$", head, re.MULTILINE)
        bytes_ = f" of {int(size[1]):,} bytes" if size else ""
        return f"a pointer of Git LFS, not the file{bytes_} that it stands for: run git lfs pull, and take that file"
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<?xml")):
        return "a web page (HTML), not a model: the download saved the page; download the file itself again"
    if head.startswith(b"\x93NUMPY"):
        return f"an array of numpy, not a Q-table with its cells: {SAVE_TABLE}"
    if name not in _PART_OF_MODEL and re.match(rb"PK\x03\x04.{26}[^/]{1,100}/data\.pkl", head, re.DOTALL):
        return f"a file of torch, not the .zip of a model: {SAVE_MODEL}; {OWN_CLASS}"
    if head.startswith(b"PK") and ending == ".pkl":
        return f"a zip whose name ends in .pkl: the file of a network ends in .zip; {SAVE_MODEL}"
    if head.startswith(b"\x80") and ending == ".zip":
        return "a pickle whose name ends in .zip: the file of a Q-table ends in .pkl"
    if name in _PART_OF_MODEL:
        return "a part of a network's file that was unzipped: the .zip itself is needed, or a zip of all its parts"
    if ending in (".pt", ".pth"):
        return f"a file of torch, not the .zip of a model: {SAVE_MODEL}; {OWN_CLASS}"
    if ending in (".joblib", ".pickle"):
        return f"a {ending} file, not a .pkl or .zip: {SAVE_TABLE}"
    if ending in OTHER_ENDINGS:
        return f"a {ending} file, not a .pkl or .zip: {OWN_CLASS}"
    return None


_STATISTICS = "stable_baselines3.common.vec_env.vec_normalize VecNormalize"

_NUMPY = re.compile(
    r"numpy(\._?core)?(\.(multiarray|numeric))? (_reconstruct|scalar|_frombuffer|dtype|ndarray|float64)"
)
_PLAIN = {
    "_codecs encode",
    *(f"collections {name}" for name in ("OrderedDict", "defaultdict", "deque")),
    *(f"{module} {name}" for module in ("builtins", "__builtin__") for name in ("dict", "float", "int", "list", "set")),
}
"""Names of Python that occur in honest pickles of tables, and make plain containers only."""

_ROOTS = {
    "autoscaler_env": SAVE_TABLE,
    "stable_baselines3": SAVE_MODEL,
    "sb3_contrib": OWN_CLASS,
    "gymnasium": OWN_CLASS,
    "torch": OWN_CLASS,
    "pandas": SAVE_TABLE,
    "sklearn": OWN_CLASS,
    "__main__": SAVE_TABLE,
}
"""Packages whose objects people pickle, and the way out."""


def other_pickle(names: Iterable[str], known: frozenset[str]) -> str | None:
    """Return what a pickle that is no Q-table holds, and the way out; `None` if it names what no honest file does.

    Args:
        names: The names in the pickle, as `module name`.
        known: Names that files of stable-baselines3 have.

    Example:
        >>> other_pickle(["numpy dtype", "numpy ndarray"], frozenset()).partition(":")[0]
        'it holds arrays of numpy, and only lists are read (values.tolist())'
        >>> other_pickle(["numpy dtype", "os system"], frozenset()) is None
        True
    """
    found = set(names)
    classes = {name for name in found if name not in _PLAIN and not _NUMPY.fullmatch(name)}
    if _STATISTICS in classes and classes <= known | {
        _STATISTICS,
        "stable_baselines3.common.running_mean_std RunningMeanStd",
    }:
        return (
            "statistics of VecNormalize, without which a model that was trained with norm_obs is not played; "
            f"{OWN_CLASS}"
        )
    if not found:
        return None
    if found <= _PLAIN:
        shown = listed([name.partition(" ")[2] for name in sorted(found)])
        return f"it holds {shown}, and only plain dictionaries and lists are read: {SAVE_TABLE}"
    if not classes:
        return f"it holds arrays of numpy, and only lists are read (values.tolist()): {SAVE_TABLE}"
    roots = [name.partition(" ")[0].partition(".")[0] for name in sorted(classes)]
    if not set(roots) <= set(_ROOTS):
        return None
    shown = listed([printable(name.replace(" ", "."), 80) for name in sorted(classes)[:2]])
    return f"it holds objects of code ({shown}), which are not made from a file: {_ROOTS[roots[0]]}"


_OTHER_POLICIES = {
    "sb3_contrib.qrdqn.": "QRDQN (a quantile network)",
    "sb3_contrib.ars.": "ARS (without a network of values)",
    "sb3_contrib.common.recurrent.": "RecurrentPPO (a recurrent network)",
    "sb3_contrib.ppo_recurrent.": "RecurrentPPO (a recurrent network)",
    "sb3_contrib.crossq.": "CrossQ",
    "sb3_contrib.tqc.": "TQC",
    "stable_baselines3.sac.": "SAC",
    "stable_baselines3.td3.": "TD3 or DDPG",
}
"""Where the policies of other learners are defined, and the learners."""

_OTHER_WEIGHTS = {"lstm_": "RecurrentPPO (a recurrent network)", "quantile_net": "QRDQN (a quantile network)"}


def other_learner(settings: dict[str, Any], weights: Iterable[str] = ()) -> str | None:
    """Return which learner that is not read made a model of stable-baselines3, and the way out; `None` for others.

    Args:
        settings: The model's `data`.
        weights: The names of its weights.

    Example:
        >>> other_learner({"policy_class": {"__module__": "sb3_contrib.qrdqn.policies"}}).partition(":")[0]
        'a model of QRDQN (a quantile network), which is not read here'
    """
    policy = settings.get("policy_class")
    module = policy.get("__module__") if isinstance(policy, dict) else None
    by_module = (who for where, who in _OTHER_POLICIES.items() if isinstance(module, str) and module.startswith(where))
    by_weights = (who for start, who in _OTHER_WEIGHTS.items() if any(name.startswith(start) for name in weights))
    who = next(chain(by_module, by_weights), None)
    return who and f"a model of {who}, which is not read here: {OWN_CLASS}"
