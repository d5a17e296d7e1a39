"""A policy at work, step by step, in plain numbers: no screen, no browser.

A person as a policy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.envs.single import AutoscalerEnv
from autoscaler_env.evaluation.simulation import check_actions
from autoscaler_env.policies.base import Policy
from autoscaler_env.service import Service
from autoscaler_env.traffic.patterns import Workload, as_workload, day_seeds

PERSON = "you"
"""What tables and menus call the person."""


class Person:
    """Does what was asked for last, once, and holds otherwise.

    Args:
        service: Gives the actions.

    Example:
        >>> person = Person(Service())
        >>> person.ask(2)
        >>> [int(person.predict(np.zeros((1, 7), dtype=np.float32))[0]) for _ in range(2)]
        [2, 1]
    """

    name = PERSON

    def __init__(self, service: Service) -> None:
        self._service = service
        self.next = service.hold
        """The action of the next step, an index into `service.fleet_changes`."""

    def ask(self, action: Any) -> None:
        """Say what to do in the next step.

        Raises:
            ValueError: There is no such action.
        """
        actions = len(self._service.fleet_changes)
        if isinstance(action, bool) or not isinstance(action, int) or not 0 <= action < actions:
            raise ValueError(f"action = {action!r}: must be a whole number from 0 to {actions - 1}")
        self.next = action

    def reset(self, days: NDArray[np.int64]) -> None:
        """Forget what was asked for."""
        self.next = self._service.hold

    def predict(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return what was asked for, for each of the services: shape (n,)."""
        action, self.next = self.next, self._service.hold
        return np.full(len(observations), action)


ITEMS = ("instance_cost", "late_cost", "drop_cost")
"""What the cost of a step is made of, in dollars."""

QUANTITIES = ("ready", "booting", "arrivals", "queue", "served", "dropped", "scaled", "refused", *ITEMS)
"""What a session keeps of each step as the environment reports it: instances, requests, 0 or 1, and dollars."""


@dataclass(frozen=True)
class State:
    """Where a session stands, after the step that just ended."""

    day: int
    """Days that have been completed before this one."""
    elapsed_steps: int
    """Steps of this day that have passed."""
    ready: int
    """Instances that serve."""
    booting: int
    """Instances on their way."""
    arrivals: int
    """Requests that came in during the step."""
    queue: int
    """Requests waiting at its end."""
    dropped: int
    """Requests dropped in the step."""
    cost: float
    """Dollars since the session started."""
    peak_queue: int
    """Most requests that waited at the end of a step, since the session started."""
    scaling_actions: int
    """Changes of the fleet since the session started."""


class Session:
    """One policy on one service, one step after another; after the last step of a day, the next day.

    Each day starts as every day of the project does, with the service's initial fleet and an empty queue, so that the
    cost of a whole day is the one that `evaluate` reports for it.

    Args:
        policy: The policy to watch.
        days: Arrivals, whole numbers of shape (days, steps_per_episode). After the last day comes the first again.
        service: The reference service by default.

    Raises:
        ValueError: The days do not fit the service.

    Example:
        >>> from autoscaler_env.policies.rules import Static
        >>> session = Session(Static(), demo_days("STEADY", seed=0, count=1))
        >>> state = session.step()
        >>> state.elapsed_steps, state.ready, round(session.state.cost, 3) >= 0.4
        (1, 25, True)
    """

    def __init__(self, policy: Policy, days: NDArray[np.int64], service: Service | None = None) -> None:
        self.policy = self.acted = policy
        self.service = service or Service()
        self.days = days
        self._env = AutoscalerEnv(service=self.service)
        self._observation: NDArray[np.float32]
        self._seen: list[NDArray[np.float32]]
        self.start()

    @property
    def name(self) -> str:
        """The policy's name."""
        return self.policy.name

    def start(self) -> State:
        """Go back to the start of the first day; return that state."""
        self.history: dict[str, list[float]] = {name: [] for name in (*QUANTITIES, "cost", "action")}
        """What happened in each step so far, by quantity, over all days; `action` as an index of fleet changes."""
        self.state = State(0, 0, self.service.initial_instances, 0, int(self.days[0, 0]), 0, 0, 0.0, 0, 0)
        self._start_day(0)
        return self.state

    def step(self) -> State:
        """Let the policy act once and one step pass; return the state after it.

        Raises:
            ValueError: The policy chose an action that does not exist.
        """
        before = self.state
        day, step = before.day, before.elapsed_steps
        if step == self.service.steps_per_episode:
            day, step = day + 1, 0
            self._start_day(day)
        self.acted = self.policy
        self._seen.append(self._observation)
        action = int(check_actions(self.policy, self.policy.predict(self._observation[np.newaxis]), 1)[0])
        self._observation, reward, _, _, info = self._env.step(action)
        cost = -float(reward)
        for name in QUANTITIES:
            self.history[name].append(info[name])
        self.history["cost"].append(cost)
        self.history["action"].append(action)
        self.state = State(
            day=day,
            elapsed_steps=step + 1,
            ready=info["ready"],
            booting=info["booting"],
            arrivals=info["arrivals"],
            queue=info["queue"],
            dropped=info["dropped"],
            cost=before.cost + cost,
            peak_queue=max(before.peak_queue, info["queue"]),
            scaling_actions=before.scaling_actions + info["scaled"],
        )
        return self.state

    def run(self, steps: int) -> State:
        """Let so many steps pass; return the state after them."""
        for _ in range(steps):
            self.step()
        return self.state

    def hand_over(self, policy: Policy) -> None:
        """Let another policy act from the next step on.

        It is shown what has been seen of the day, so that it remembers as much as if it had watched from the start.

        Args:
            policy: The successor.
        """
        policy.reset(self._today()[np.newaxis])
        for observation in self._seen:
            policy.predict(observation[np.newaxis])
        self.policy = policy

    @property
    def looked_at(self) -> NDArray[np.float32] | None:
        """What the policy saw before it last acted, float32 of shape (7,); `None` at the start of a day."""
        return self._seen[-1] if self._seen else None

    def _today(self) -> NDArray[np.int64]:
        return self.days[self.state.day % len(self.days)]

    def _start_day(self, day: int) -> None:
        arrivals = self.days[day % len(self.days)]
        self._seen = []
        self.policy.reset(arrivals[np.newaxis])
        self._observation, _ = self._env.reset(options={"day": arrivals})


def demo_days(pattern: str | Workload, *, seed: int, count: int, service: Service | None = None) -> NDArray[np.int64]:
    """Return evaluation days number `seed` to `seed + count - 1` of a pattern: arrivals, shape (count, steps).

    The demonstration shows days that no learner was trained on; number 0 is the first episode of `evaluate`.

    Raises:
        ValueError: The seed is negative, or the pattern unknown.
    """
    if seed < 0:
        raise ValueError(f"seed = {seed}: must be at least 0")
    return as_workload(pattern, service or Service()).draw(day_seeds("evaluation", count, first=seed))
