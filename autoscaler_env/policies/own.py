"""Objects of the user's own: a policy or a workload from `module:Class`, and what is wrong with it in one line."""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.policies.base import ForeignPolicy, Policy
from autoscaler_env.service import Service
from autoscaler_env.text import listed, one_line
from autoscaler_env.traffic.workload import Workload

POLICY = {"reset": "reset(days)", "predict": "predict(observations)"}
"""The methods of a policy, as a user writes them."""

WORKLOAD = {"draw": "draw(seeds)", "evaluation_days": "evaluation_days(episodes)"}
"""The methods of a workload, as a user writes them."""


class OwnPolicy:
    """A policy of the user's own; whatever it raises becomes one line.

    Args:
        made: Has `reset(days)` and `predict(observations)`.
        spec: What the user typed.
    """

    def __init__(self, made: Policy, spec: str) -> None:
        self.name, self._made, self._spec = made.name, made, spec

    def reset(self, days: NDArray[np.int64]) -> None:
        """Reset the user's policy."""
        self._call("reset", days)

    def predict(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the actions of the user's policy.

        Raises:
            ValueError: The policy raises anything; the line says where.
        """
        return np.asarray(self._call("predict", observations))

    def _call(self, method: str, argument: NDArray[Any]) -> Any:
        try:
            return getattr(self._made, method)(argument)
        except Exception as error:  # a user's method may raise anything
            raise ValueError(f"policy = {self._spec!r}: {POLICY[method]} raised {_what_and_where(error)}") from error


def own_policy(spec: str, service: Service) -> Policy:
    """Return an instance of a user's class; the module may lie in the working directory.

    Args:
        spec: `module:Class`; the class is called with the service.
        service: The service to scale.

    Raises:
        ValueError: There is no such class, it cannot be made, or it is no policy.
    """
    policy = as_policy(_made("policy", spec, service), spec.partition(":")[2])
    return OwnPolicy(policy, spec)


def own_workload(spec: str, service: Service) -> Workload:
    """Return an instance of a user's workload, as `own_policy` returns a policy.

    Raises:
        ValueError: There is no such class, it cannot be made, or it is no workload.
    """
    made = _made("pattern", spec, service)
    if problem := lacking(made, WORKLOAD):
        raise ValueError(f"pattern = {spec!r}: {problem}")
    if not isinstance(getattr(made, "name", None), str):
        made.name = spec.partition(":")[2]
    workload: Workload = made
    return workload


def as_policy(made: Any, name: str) -> Policy:
    """Return an object that predicts actions as one of our policies.

    Args:
        made: Has `reset(days)` and `predict(observations)`, or `predict(observation, deterministic)`.
        name: What tables call it if it has no name of its own.

    Raises:
        ValueError: It has neither of the two.
    """
    predict = getattr(made, "predict", None)
    if callable(predict) and "deterministic" in inspect.signature(predict).parameters:
        return ForeignPolicy(made, name)
    if problem := lacking(made, POLICY):
        foreign = "or have predict(observation, deterministic) of stable-baselines3"
        instead = foreign if lacking(made, WORKLOAD) else "this is a workload: use --pattern module:Class"
        raise ValueError(f"policy = {name!r}: {problem}; {instead}")
    if not isinstance(getattr(made, "name", None), str):
        made.name = name
    policy: Policy = made
    return policy


def lacking(made: Any, methods: dict[str, str]) -> str:
    """Return which methods an object must have and lacks; empty if it has all.

    Args:
        made: Any object.
        methods: The name of each method, and how a user writes it.

    Example:
        >>> lacking(object(), WORKLOAD)
        'must have draw(seeds) and evaluation_days(episodes), and lacks both'
        >>> lacking([], {"append": "append(item)"})
        ''
    """
    missing = [written for method, written in methods.items() if not callable(getattr(made, method, None))]
    if not missing:
        return ""
    which = "both" if len(missing) == len(methods) else missing[0]
    return f"must have {listed(list(methods.values()))}, and lacks {which}"


def _made(argument: str, spec: str, service: Service) -> Any:
    """Return what the class of `module:Class` makes from the service.

    Args:
        argument: What an error calls it: `policy` or `pattern`.
        spec: The module and the class.
        service: What the class is called with.
    """
    module_name, _, class_name = spec.partition(":")
    if module_name.endswith(".py"):
        raise ValueError(f"{argument} = {spec!r}: write {module_name.removesuffix('.py')}:{class_name}, without .py")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        target = getattr(importlib.import_module(module_name), class_name)
    except Exception as error:  # a user's module may raise anything
        raise ValueError(f"{argument} = {spec!r}: {type(error).__name__}: {one_line(error)}") from error
    try:
        return target(service) if callable(target) else target
    except Exception as error:
        raise ValueError(
            f"{argument} = {spec!r}: {type(error).__name__}: {one_line(error)} (it is called as {class_name}(service))"
        ) from error


def _what_and_where(error: Exception) -> str:
    """Return an error of a user's method in one line, with the line of code that raised it."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    own = Path(last.filename).name != Path(__file__).name  # else the call itself failed: a wrong signature
    where = f" ({Path(last.filename).name}, line {last.lineno})" if own else ""
    return f"{type(error).__name__}: {one_line(error)}{where}"
