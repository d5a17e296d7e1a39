"""Two policies side by side on the same day, and handovers from one policy to another during the day."""

from __future__ import annotations

import dataclasses
from typing import Any

from autoscaler_env.demo.controls import NO_POLICY, build_policy
from autoscaler_env.demo.session import PERSON, Person, Session, demo_days
from autoscaler_env.paths import Folders
from autoscaler_env.policies.oracle import OPTIMUM
from autoscaler_env.policies.registry import label_of
from autoscaler_env.service import Service
from autoscaler_env.traffic.patterns import Workload

STAND_IN = "threshold"
"""The rule that acts where no person is present."""

LARGEST_SHARE = 4
"""At most this part of a day, its first quarter, is played before a person sees it."""


class Lane:
    """One policy on the day, and the policies that took over from it.

    Args:
        choice: The chosen policy: `you`, or a policy as `find_policy` takes it.
        session: The policy on the day.
        note: A note on the policy for the person.
    """

    def __init__(self, choice: str, session: Session, note: str) -> None:
        self.choice = choice
        self.session = session
        self.note = note
        self.handovers: list[dict[str, Any]] = []
        """`elapsed_steps` and `label` of each policy that took over during the day."""
        self._first_choice = choice

    @property
    def label(self) -> str:
        """The names of the policies that acted in the lane, in order."""
        names = [label_of(self._first_choice), *(handover["label"] for handover in self.handovers)]
        return ", then ".join(name for i, name in enumerate(names) if i == 0 or name != names[i - 1])


class Lanes:
    """One or two lanes on the first steps of an evaluation day.

    Args:
        choices: The policy of each lane.
        pattern: The pattern, or a workload such as a trace.
        seed: Number of the evaluation day.
        steps: Steps of the day, from its start.
        played_steps: Steps that are played at once, at most a quarter of the day; in the lane of a person by the policy
            of the other lane, so both have the same fleet and cost when the person takes over.
        service: The service to scale, with the steps of a whole day.
        folders: Folders with the models.

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
        played_steps: int = 0,
        service: Service,
        folders: Folders,
    ) -> None:
        self.steps = steps
        self.played_steps = min(played_steps, steps // LARGEST_SHARE)
        self._service, self._folders = service, folders
        self._days = demo_days(pattern, seed=seed, count=1, service=service)[:, :steps]
        self._short_service = dataclasses.replace(service, steps_per_episode=steps)
        self.all = self._start(choices)
        """The lanes, the first one first."""

    @property
    def choices(self) -> list[str]:
        """The chosen policy of each lane."""
        return [lane.choice for lane in self.all]

    @property
    def elapsed_steps(self) -> int:
        """Steps of the day that are over."""
        return self.all[0].session.state.elapsed_steps

    @property
    def first_arrivals(self) -> int:
        """Requests of the first step: policies see them before they act."""
        return int(self._days[0, 0])

    @property
    def person(self) -> Person | None:
        """The person, if a person plays in one of the lanes."""
        return next((lane.session.policy for lane in self.all if isinstance(lane.session.policy, Person)), None)

    def advance(self, steps: int) -> None:
        """Advance every lane by some steps, at most to the end of the day.

        Raises:
            ValueError: A policy failed; the message names the policy.
        """
        for _ in range(min(steps, self.steps - self.elapsed_steps)):
            for lane in self.all:
                _play(lane, 1)

    def assign(self, number: int, choice: str) -> None:
        """Put another policy into a lane, from the next step on.

        A second lane that was empty is first played up to the current step. Before the first step after `played_steps`,
        the day starts anew with the choice.

        Args:
            number: 0 or 1.
            choice: The policy; `NO_POLICY` empties the second lane.

        Raises:
            ValueError: The choice is not possible now.
        """
        if choice == NO_POLICY and number == 1:
            del self.all[1:]
            return
        if choice in self.choices[number : number + 1]:
            return
        if choice == PERSON and self.person is not None:
            raise ValueError(f"policy = {PERSON!r}: you are already one of the policies")
        if self.elapsed_steps == self.played_steps:
            self.all = self._start([*self.choices[:number], choice, *self.choices[number + 1 :]])
            return
        if number == len(self.all):
            lane = self._lane(choice, STAND_IN)
            _play(lane, self.elapsed_steps - self.played_steps)
            self.all.append(lane)
            return
        if choice == OPTIMUM and self.elapsed_steps < self.steps:
            raise ValueError(f"policy = {OPTIMUM!r}: plans a day from its start; restart the day, then choose it")
        policy, note = build_policy(choice, self._service, self._folders)
        lane = self.all[number]
        lane.session.hand_over(policy)
        lane.choice, lane.note = choice, note
        if self.elapsed_steps < self.steps:
            lane.handovers.append({"elapsed_steps": self.elapsed_steps, "label": label_of(choice)})

    def finished_copies(self) -> list[Session]:
        """Play the whole day with each chosen policy and return the sessions; the lanes stay as they are."""
        sessions = []
        for choice in dict.fromkeys(STAND_IN if choice == PERSON else choice for choice in self.choices):
            lane = self._lane(choice, STAND_IN)
            _play(lane, self.steps - self.played_steps)
            sessions.append(lane.session)
        return sessions

    def _start(self, choices: list[str]) -> list[Lane]:
        """Return a lane for each choice, after `played_steps`."""
        stand_in = next((choice for choice in choices if choice not in (PERSON, OPTIMUM)), STAND_IN)
        return [self._lane(choice, stand_in) for choice in choices]

    def _lane(self, choice: str, stand_in: str) -> Lane:
        """Return a lane after `played_steps`; a person takes over from the policy `stand_in`."""
        first = stand_in if choice == PERSON and self.played_steps else choice
        policy, note = build_policy(first, self._service, self._folders)
        lane = Lane(choice, Session(policy, self._days, self._short_service), note)
        _play(lane, self.played_steps)
        if first != choice:
            lane.session.hand_over(Person(self._service))
            lane.note = ""
            lane.handovers.append({"elapsed_steps": self.played_steps, "label": choice})
        return lane


def _play(lane: Lane, steps: int) -> None:
    """Play some steps of one lane."""
    try:
        lane.session.run(steps)
    except Exception as error:  # a policy of the user's own can raise anything
        raise ValueError(f"{lane.choice} failed: {type(error).__name__}: {error}") from error
