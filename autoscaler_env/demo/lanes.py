"""Two policies side by side on the same day, and who takes over from whom."""

from __future__ import annotations

import dataclasses
from typing import Any

from autoscaler_env.demo.controls import NOBODY, policy_for
from autoscaler_env.demo.session import PERSON, Person, Session, demo_days
from autoscaler_env.paths import Folders
from autoscaler_env.policies.oracle import OPTIMUM
from autoscaler_env.policies.registry import label_of
from autoscaler_env.service import Service
from autoscaler_env.traffic.patterns import Workload


class Lane:
    """A policy at work, and who has taken over while the day ran.

    Args:
        choice: What was chosen: `you`, or a policy as `find_policy` takes it.
        session: The policy on the day.
        note: What is to be said about the policy.
    """

    def __init__(self, choice: str, session: Session, note: str) -> None:
        self.choice = choice
        self.session = session
        self.note = note
        self.handovers: list[dict[str, Any]] = []
        """Step and name of each policy that took over while the day ran."""
        self._first = choice

    @property
    def label(self) -> str:
        """Who has acted in it, in order."""
        names = [label_of(self._first), *(handover["label"] for handover in self.handovers)]
        return ", then ".join(name for i, name in enumerate(names) if i == 0 or name != names[i - 1])


class Lanes:
    """One or two lanes on the first steps of an evaluation day.

    Args:
        choices: Who acts in each lane.
        pattern: The pattern, or a workload such as a trace.
        seed: Number of the evaluation day.
        steps: Steps that are played, from the start of the day.
        service: The service to scale, with the steps of a whole day.
        folders: Where models lie.

    Raises:
        ValueError: A policy cannot be found or built, or the day cannot be drawn.
    """

    def __init__(
        self,
        choices: list[str],
        pattern: str | Workload,
        *,
        seed: int,
        steps: int,
        service: Service,
        folders: Folders,
    ) -> None:
        self.steps = steps
        self._service, self._folders = service, folders
        self._days = demo_days(pattern, seed=seed, count=1, service=service)[:, :steps]
        self._short = dataclasses.replace(service, steps_per_episode=steps)
        self.all = [self._lane(choice) for choice in choices]
        """The lanes, the first one first."""

    @property
    def choices(self) -> list[str]:
        """Who acts in each lane."""
        return [lane.choice for lane in self.all]

    @property
    def elapsed_steps(self) -> int:
        """Steps of the day that have passed."""
        return self.all[0].session.state.elapsed_steps

    @property
    def person(self) -> Person | None:
        """The person, if one plays."""
        return next((lane.session.policy for lane in self.all if isinstance(lane.session.policy, Person)), None)

    def advance(self, steps: int) -> None:
        """Let steps pass in every lane, at most until the day is over.

        Raises:
            ValueError: A policy failed; the line names it.
        """
        for _ in range(min(steps, self.steps - self.elapsed_steps)):
            for lane in self.all:
                try:
                    lane.session.step()
                except Exception as error:  # a policy of the user's own raises anything
                    raise ValueError(f"{lane.choice} failed: {type(error).__name__}: {error}") from error

    def seat(self, number: int, choice: str) -> None:
        """Let somebody else act in a lane, from the next step on; a lane that was empty first catches up.

        Args:
            number: 0 or 1.
            choice: Who; `NOBODY` empties the second lane.

        Raises:
            ValueError: The choice is not possible now.
        """
        if choice == NOBODY and number == 1:
            del self.all[1:]
            return
        if choice == PERSON and self.person is not None:
            raise ValueError(f"policy = {PERSON!r}: you play in a lane already")
        if number == len(self.all):
            lane = self._lane(choice)
            lane.session.run(self.elapsed_steps)
            self.all.append(lane)
            return
        if choice == OPTIMUM and 0 < self.elapsed_steps < self.steps:
            raise ValueError(f"policy = {OPTIMUM!r}: plans a day from its start; restart, then choose it")
        policy, note = policy_for(choice, self._service, self._folders)
        lane = self.all[number]
        lane.session.hand_over(policy)
        lane.choice, lane.note = choice, note
        if self.elapsed_steps == 0:
            self.all[number] = Lane(choice, lane.session, note)
        elif self.elapsed_steps < self.steps:
            lane.handovers.append({"elapsed_steps": self.elapsed_steps, "label": label_of(choice)})

    def finished_copies(self) -> list[Session]:
        """Return what the policies come to on the whole day, apart from the lanes; instead of a person, a rule."""
        sessions = []
        for choice in dict.fromkeys("threshold" if choice == PERSON else choice for choice in self.choices):
            session = self._lane(choice).session
            session.run(self.steps)
            sessions.append(session)
        return sessions

    def _lane(self, choice: str) -> Lane:
        policy, note = policy_for(choice, self._service, self._folders)
        return Lane(choice, Session(policy, self._days, self._short), note)
