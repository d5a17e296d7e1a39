"""One policy on one service, played step by step and reported in plain numbers; a person can be the policy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.envs.single import AutoscalerEnv
from autoscaler_env.evaluation.simulation import ITEMS, check_actions
from autoscaler_env.policies.base import Policy
from autoscaler_env.service import Service
from autoscaler_env.traffic.patterns import Workload, as_workload, day_seeds

PERSON = "you"
"""The name of the person in tables and menus."""

GAME_DAYS = range(1_000_000, 10_000_000)
"""Numbers of the evaluation days that are kept for people: nothing else in the course draws them."""


class Person:
    """A person as a policy: takes the chosen action once, then holds until the next choice.

    Args:
        service: Defines the actions.

    Example:
        >>> person = Person(Service())
        >>> person.choose(2)
        >>> [int(person.predict(np.zeros((1, 7), dtype=np.float32))[0]) for _ in range(2)]
        [2, 1]
    """

    name = PERSON

    def __init__(self, service: Service) -> None:
        self._service = service
        self.next_action = service.hold
        """The action of the next step, an index into `service.fleet_changes`."""

    def choose(self, action: Any) -> None:
        """Set the action of the next step.

        Raises:
            ValueError: The action does not exist.
        """
        actions = len(self._service.fleet_changes)
        if isinstance(action, bool) or not isinstance(action, int) or not 0 <= action < actions:
            raise ValueError(f"action = {action!r}: must be a whole number from 0 to {actions - 1}")
        self.next_action = action

    def reset(self, days: NDArray[np.int64]) -> None:
        """Discard the chosen action."""
        self.next_action = self._service.hold

    def predict(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the chosen action for each service, shape (n,), and hold from then on."""
        action, self.next_action = self.next_action, self._service.hold
        return np.full(len(observations), action)


QUANTITIES = ("ready", "booting", "arrivals", "queue", "served", "dropped", "scaled", "refused", *ITEMS)
"""Values of each step that a session records from the environment's info: instances, requests, 0 or 1, and dollars."""


@dataclass(frozen=True)
class State:
    """The state of a session after its last step."""

    day: int
    """Days completed before the current one."""
    elapsed_steps: int
    """Steps of the current day that are over."""
    ready: int
    """Instances that serve requests."""
    booting: int
    """Instances that are starting."""
    arrivals: int
    """Requests that arrived during the step."""
    queue: int
    """Requests that wait at the end of the step."""
    dropped: int
    """Requests dropped during the step."""
    cost: float
    """Dollars since the session started."""
    peak_queue: int
    """The longest queue at the end of a step since the session started, in requests."""
    scaling_actions: int
    """Changes of the fleet since the session started."""


class Session:
    """One policy on one service, step by step; the next day follows the last step of a day.

    Each day starts with the service's initial fleet and an empty queue, as everywhere in the project. The cost of a
    whole day is therefore the cost that `evaluate` reports for it.

    Args:
        policy: The policy that scales the service.
        days: Arrivals, whole numbers of shape (days, steps_per_episode). The first day follows the last one.
        service: The service; the reference service by default.

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
        self.policy = policy
        """The policy that acts in the next step."""
        self.last_policy = policy
        """The policy that acted in the last step."""
        self.service = service or Service()
        self.days = days
        self._env = AutoscalerEnv(service=self.service)
        self._observation: NDArray[np.float32]
        self._past_observations: list[NDArray[np.float32]]
        self.start()

    @property
    def name(self) -> str:
        """The policy's name."""
        return self.policy.name

    def start(self) -> State:
        """Go back to the start of the first day and return that state."""
        self.history: dict[str, list[float]] = {name: [] for name in (*QUANTITIES, "cost", "action")}
        """One value per step so far, by quantity, over all days; `action` is an index into `service.fleet_changes`."""
        self.state = State(0, 0, self.service.initial_instances, 0, int(self.days[0, 0]), 0, 0, 0.0, 0, 0)
        self._start_day(0)
        return self.state

    def step(self) -> State:
        """Let the policy act, advance the service by one step and return the new state.

        Raises:
            ValueError: The policy chose an action that does not exist.
        """
        before = self.state
        day, step = before.day, before.elapsed_steps
        if step == self.service.steps_per_episode:
            day, step = day + 1, 0
            self._start_day(day)
        self.last_policy = self.policy
        self._past_observations.append(self._observation)
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
        """Play several steps and return the state after them."""
        for _ in range(steps):
            self.step()
        return self.state

    def hand_over(self, policy: Policy) -> None:
        """Let another policy act from the next step on.

        The new policy first sees all observations of the day so far, so its memory is the same as if it had watched the
        day from the start.

        Args:
            policy: The new policy.
        """
        policy.reset(self._today()[np.newaxis])
        for observation in self._past_observations:
            policy.predict(observation[np.newaxis])
        self.policy = policy

    @property
    def observation(self) -> NDArray[np.float32]:
        """What the policy sees before its next action, float32 of shape (7,)."""
        return self._observation

    @property
    def last_observation(self) -> NDArray[np.float32] | None:
        """The observation before the last action, float32 of shape (7,); `None` at the start of a day."""
        return self._past_observations[-1] if self._past_observations else None

    def _today(self) -> NDArray[np.int64]:
        return self.days[self.state.day % len(self.days)]

    def _start_day(self, day: int) -> None:
        arrivals = self.days[day % len(self.days)]
        self._past_observations = []
        self.policy.reset(arrivals[np.newaxis])
        self._observation, _ = self._env.reset(options={"day": arrivals})


def demo_days(pattern: str | Workload, *, seed: int, count: int, service: Service | None = None) -> NDArray[np.int64]:
    """Return the evaluation days `seed` to `seed + count - 1` of a workload: arrivals, shape (count, steps).

    No learner was trained on these days; day 0 is the first episode of `evaluate`. The days of `GAME_DAYS` are
    for people.

    Raises:
        ValueError: The seed is negative or the pattern is unknown.
    """
    if seed < 0:
        raise ValueError(f"seed = {seed}: must be at least 0")
    return as_workload(pattern, service or Service()).draw(day_seeds("evaluation", count, first=seed))


def unseen_day() -> int:
    """Draw the number of a game day, at random from the operating system: a day that nobody has seen."""
    return int(np.random.default_rng().integers(GAME_DAYS.start, GAME_DAYS.stop))


def day_title(pattern: str, seed: int) -> str:
    """Return what figures and pages call a day.

    Example:
        >>> day_title("SPIKE", 7), day_title("SPIKE", 4_821_733)
        ('SPIKE, evaluation day 7', 'SPIKE, game day 4821733')
    """
    return f"{pattern}, {'game' if seed in GAME_DAYS else 'evaluation'} day {seed}"
