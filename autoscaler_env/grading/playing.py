"""Play a policy or draw a workload that a student wrote: what is wrong with it becomes the line that the check says.

A policy decides from its observations alone: its `reset` gets days without arrivals.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.grading.judging import call
from autoscaler_env.policies.base import Policy
from autoscaler_env.service import Service
from autoscaler_env.text import one_line


class RefusedError(Exception):
    """An answer cannot be used; the message is what the check says."""


def made(answer: Any, *arguments: Any) -> Any:
    """Return the object that a class makes.

    Raises:
        RefusedError: It is no class, or it raises an exception.
    """
    if not callable(answer):
        raise RefusedError("a class, please: its name, without brackets")
    try:
        return answer(*arguments)
    except (Exception, SystemExit) as error:
        raise RefusedError(f"not yet: your class raised {type(error).__name__}: {one_line(error)}") from None


def whole_numbers(owner: Any, method: str, *arguments: Any) -> NDArray[np.int64]:
    """Return the whole numbers that a method of an answer returns.

    Raises:
        RefusedError: There is no such method, or it returns something else.
    """
    value, problem = call(_method(owner, method), *arguments)
    if value is None:
        raise RefusedError(problem)
    if not np.array_equal(value, np.rint(value)):
        raise RefusedError(f"not yet: {method} must return whole numbers")
    return value.astype(np.int64)


def _method(owner: Any, name: str) -> Callable[..., Any]:
    try:
        function = getattr(owner, name)
    except (Exception, SystemExit):
        function = None
    if not callable(function):
        raise RefusedError(f"not yet: a method {name} is missing")
    method: Callable[..., Any] = function
    return method


def attribute(answer: Any, name: str) -> Any:
    """Return an attribute of a class.

    Raises:
        RefusedError: There is none.
    """
    try:
        return getattr(answer, name)
    except (Exception, SystemExit):
        raise RefusedError(f"not yet: your class needs the attribute {name}") from None


class Answered:
    """A student's policy, as `simulate` uses it.

    Args:
        policy: Has `reset(days)` and `predict(observations)`.
        service: The service that it scales; the reference service by default.
    """

    name = "your policy"

    def __init__(self, policy: Any, service: Service | None = None) -> None:
        self._policy = policy
        self._actions = len((service or Service()).fleet_changes)

    def reset(self, days: NDArray[np.int64]) -> None:
        """Reset the policy; it gets the shape of the days, and no arrivals."""
        reset = _method(self._policy, "reset")
        try:
            reset(np.zeros_like(days))
        except (Exception, SystemExit) as error:
            raise RefusedError(f"not yet: your reset raised {type(error).__name__}: {one_line(error)}") from None

    def predict(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the policy's actions, shape (n,)."""
        actions = whole_numbers(self._policy, "predict", observations.copy())
        if actions.shape != (len(observations),):
            raise RefusedError(
                f"not yet: predict got {len(observations)} rows, one for each service, and must return as many "
                f"actions; yours has the shape {actions.shape}"
            )
        wrong = actions[(actions < 0) | (actions >= self._actions)]
        if len(wrong):
            raise RefusedError(
                f"not yet: an action is an index of service.fleet_changes, from 0 to {self._actions - 1}; yours "
                f"returned {wrong[0]}: `step_toward` makes actions of fleet sizes"
            )
        return actions


def daily_costs(policy: Policy, days: NDArray[np.int64], service: Service) -> NDArray[np.float64]:
    """Return what each day costs under a policy, in dollars: shape (n,).

    Raises:
        RefusedError: The days cannot be simulated.
    """
    try:
        costs: NDArray[np.float64] = simulate(policy, days, service).cost.sum(axis=1)
        return costs
    except ValueError as error:
        raise RefusedError(f"not yet: {one_line(error)}") from None
