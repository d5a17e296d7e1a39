"""The exercises of notebook 11 on two services: a language model with an objective, and one that sleeps at night."""

from __future__ import annotations

import dataclasses
from functools import cache
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.evaluation.objective import Objective
from autoscaler_env.evaluation.simulation import served_within, simulate
from autoscaler_env.grading.judging import judge_number, miss
from autoscaler_env.grading.playing import Answered, RefusedError, made
from autoscaler_env.policies.base import decode, step_toward
from autoscaler_env.policies.rules import TargetTracking
from autoscaler_env.service import Service
from autoscaler_env.traffic.patterns import day_seeds
from autoscaler_env.traffic.presets import LLM_SERVICE, WEB_SERVICE, LlmDays, WebDays

OBJECTIVE = Objective(0.99, 60)
"""What the language model must keep, as in `examples/llm_serving.toml`."""

DAYS = 7
"""Evaluation days of the language model."""

IDLE = 10
"""Steps without a request after which the web service sleeps."""

MORNING, EVENING = slice(6 * 60, 8 * 60), slice(21 * 60, 23 * 60)
"""The minutes of a day on which a policy of the web service is checked: it sleeps, wakes up, and sleeps again."""

FIRST_HIDDEN = 70_000
"""The first of the hidden days of the web service."""


def share_in_time(reserve: float) -> float:
    """Return the share of the requests to the language model that are served within the objective's time.

    Args:
        reserve: Instances that target tracking at full use keeps beyond the demand, at least 0.
    """
    days = LlmDays(LLM_SERVICE).evaluation_days(DAYS)
    played = simulate(TargetTracking(LLM_SERVICE, 1.0, reserve), days, LLM_SERVICE)
    return float(served_within(played, OBJECTIVE.within_seconds).sum() / days.sum())


@cache
def smallest_reserve() -> int:
    """Return the smallest whole reserve that keeps the objective of the language model."""
    return next(reserve for reserve in count() if share_in_time(reserve) >= OBJECTIVE.served_in_time)


def check_reserve(answer: Any) -> str:
    """Return whether a number is the smallest whole reserve that keeps the objective of the language model."""
    return judge_number(
        answer,
        smallest_reserve(),
        "count the requests of all days that were served within 60 s, and divide by all requests that came",
        "`served_within(simulate(policy, days, LLM_SERVICE), 60)` counts for each step; try 0, 1, 2, ... in a loop",
    )


class Sleeper:
    """The reference policy: three quarters of the capacity in use, and none after ten steps without a request.

    Args:
        service: The service to scale.
    """

    name = "sleeper"

    def __init__(self, service: Service) -> None:
        self.service = service
        self._idle: NDArray[np.int64] | int = 0

    def reset(self, days: NDArray[np.int64]) -> None:
        """Begin a batch of days: nothing has been idle yet."""
        self._idle = 0

    def predict(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return actions, shape (n,)."""
        counts = decode(observations, self.service)
        demand = counts.arrivals + counts.queue
        self._idle = np.where(demand == 0, self._idle + 1, 0)
        wanted = np.maximum(np.ceil(demand / (0.75 * self.service.capacity_per_instance)), self._idle < IDLE)
        return step_toward(wanted, counts.ready + counts.booting, self.service)


def check_sleeper(answer: Any) -> str:
    """Return whether a class is the policy `Sleeper`, on evenings and mornings of the web service."""
    drawn = WebDays(WEB_SERVICE).draw(day_seeds("evaluation", 4, first=FIRST_HIDDEN))
    days = np.hstack((drawn[:, MORNING], drawn[:, EVENING]))
    service = dataclasses.replace(WEB_SERVICE, steps_per_episode=days.shape[1], initial_instances=1)
    seen: list[NDArray[np.float32]] = []
    wanted: list[list[int]] = []

    class Listener(Sleeper):
        """The reference policy, which writes down what it sees and does."""

        def predict(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
            actions = super().predict(observations)
            seen.append(observations.copy())
            wanted.append(actions.tolist())
            return actions

    simulate(Listener(service), days, service)
    try:
        policy, actions = Answered(made(answer, service), service), []
        for _ in range(2):
            policy.reset(days)
            actions.append([policy.predict(observations).tolist() for observations in seen])
    except RefusedError as refused:
        return str(refused)
    if actions[0] != wanted:
        return miss(
            actions[0],
            "count the steps in a row without arrivals and without a queue, for each service of the batch by itself",
            "one instance is the least that it wants while the count is below ten; then it wants what the demand needs",
        )
    return "right" if actions[1] == wanted else "not yet: reset must begin anew, as if nothing had been seen before"
