"""Why did it scale? The most important decisions of a policy on a day, a sentence each."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.advice.compare import Candidate
from autoscaler_env.evaluation.simulation import simulate_through
from autoscaler_env.policies.base import Policy, decode
from autoscaler_env.policies.explain import wanted_fleets
from autoscaler_env.policies.registry import LEARNERS, label_of
from autoscaler_env.service import Service
from autoscaler_env.text import capital, counted, percent

MOST = 4
"""Changes of the fleet that are explained."""

PAUSE_SECONDS = 900
"""Changes in the same direction are one decision if the fleet holds for at most so long between them."""


class _Watched:
    """A policy whose observations and wishes are recorded.

    Args:
        policy: The policy.
        service: The service it scales.
    """

    def __init__(self, policy: Policy, service: Service) -> None:
        self.name = policy.name
        self._policy, self._service = policy, service
        self.seen: list[NDArray[np.float32]] = []
        self.wanted: list[tuple[int, int] | None] = []

    def reset(self, days: NDArray[np.int64]) -> None:
        """Prepare the policy for days in a row."""
        self._policy.reset(days)

    def predict(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the policy's actions, shape (n,)."""
        actions = self._policy.predict(observations)
        self.seen.append(observations[0])
        remembers = getattr(self._policy, "wanted", None) is not None
        self.wanted.append(wanted_fleets(self._policy, observations[0], self._service) if remembers else None)
        return actions

    def wants(self, step: int) -> tuple[int, int] | None:
        """Return the smallest and the largest fleet that the policy wanted in a step; `None` if it does not tell."""
        return self.wanted[step] or wanted_fleets(self._policy, self.seen[step], self._service)


class _Move(NamedTuple):
    """A change of the fleet in one direction."""

    first: int
    """The step of the day in which it begins."""
    last: int
    """The step in which it ends."""
    change: int
    """Instances added (positive) or removed."""
    largest: int
    """The step with the largest part of it ..."""
    part: int
    """... and that part, in instances."""


def decisions(candidate: Candidate, days: NDArray[np.int64], day: int, service: Service) -> list[str]:
    """Explain the largest changes of the fleet on a day, in the order of time, and the longest queue.

    Args:
        candidate: The policy. It is simulated once more, and what it saw is recorded.
        days: Arrivals of the held-out days, shape (n, steps).
        day: Which of them.
        service: The service.

    Returns:
        A sentence for each of at most `MOST` changes, and one for the longest queue if requests waited.
    """
    watched = _Watched(candidate.policy, service)
    simulate_through(watched, days[: day + 1], service)
    start = day * service.steps_per_episode
    moves = sorted(_moves(candidate, day, service), key=lambda move: -abs(move.change))[:MOST]
    texts = [_sentence(watched, start, move, service, candidate.name) for move in sorted(moves)]
    if not texts:
        texts = [f"{capital(label_of(candidate.name))} did not change the fleet on this day."]
    return texts + _longest_queue(candidate, day, service)


def _moves(candidate: Candidate, day: int, service: Service) -> list[_Move]:
    """Return the changes of the fleet on a day; neighbours in the same direction are one."""
    fleet = candidate.trajectory.fleet.reshape(-1)
    start = day * service.steps_per_episode
    before = np.concatenate([[service.initial_instances], fleet[:-1]])
    changes = (fleet - before)[start : start + service.steps_per_episode]
    pause, moves = PAUSE_SECONDS // service.step_seconds, list[_Move]()
    for step in np.flatnonzero(changes).tolist():
        change = int(changes[step])
        if moves and step - moves[-1].last <= 1 + pause and (change > 0) == (moves[-1].change > 0):
            first, _, total, before_it, _ = moves[-1]
            largest = max(before_it, step, key=lambda each: abs(changes[each]))
            moves[-1] = _Move(first, step, total + change, largest, int(changes[largest]))
        else:
            moves.append(_Move(step, step, change, step, change))
    return moves


def _sentence(watched: _Watched, start: int, move: _Move, service: Service, name: str) -> str:
    """Return when and how the fleet changed, and what the policy saw and wanted at that time."""
    counts = decode(watched.seen[start + move.largest][np.newaxis], service)
    fleet = int(counts.ready[0] + counts.booting[0])
    arrivals, queue = int(counts.arrivals[0]), int(counts.queue[0])
    time = clock(move.first, service)
    if move.last > move.first:
        time += f" to {clock(move.last, service)}"
    verb = "adds" if move.change > 0 else "removes"
    waited = f" and {counted(queue, 'request')} waited" if queue else ""
    text = (
        f"{time}: {label_of(name)} {verb} {counted(abs(move.change), 'instance')}. At {clock(move.largest, service)}, "
        f"{counted(arrivals, 'request')} had arrived in the last step{waited}, the work of "
        f"{(arrivals + queue) / service.capacity_per_instance:.1f} instances; utilisation was "
        f"{percent(counts.utilisation[0], 0)}, and the fleet was {fleet}"
    )
    wants = watched.wants(start + move.largest)
    if wants is not None:
        low, high = wants
        nearest = ""
        able = min(max(low, service.min_instances), service.max_instances)
        if low == high and able != fleet + move.part:
            closest = min(abs(change - (able - fleet)) for change in service.fleet_changes)
            limited = closest == abs(move.part - (able - fleet))
            nearest = f"; the nearest allowed change is {move.part:+d} (fleet_changes)" if limited else ""
            nearest = nearest or f"; in this step it changes the fleet by {move.part:+d}"
        return f"{text}. The rule wanted {low if low == high else f'{low} to {high}'}{nearest}."
    return f"{text}. A learned policy gives no other reason." if name in LEARNERS else f"{text}."


def _longest_queue(candidate: Candidate, day: int, service: Service) -> list[str]:
    """Return a sentence about the step of the day in which most requests waited; none if no request did."""
    trajectory = candidate.trajectory
    step = int(trajectory.queue[day].argmax())
    queue = int(trajectory.queue[day, step])
    if queue == 0:
        return []
    ready, booting = int(trajectory.ready[day, step]), int(trajectory.booting[day, step])
    ordered = f"; {booting} more {'was' if booting == 1 else 'were'} booting" if booting else ""
    return [
        f"The longest queue: {counted(queue, 'request')}, at {clock(step, service)}. In this step "
        f"{int(trajectory.arrivals[day, step]):,} arrived, and {counted(ready, 'ready instance')} could serve "
        f"{ready * service.capacity_per_instance:,}{ordered}."
    ]


def clock(step: int, service: Service) -> str:
    """Return the time of the day at which a step begins.

    Example:
        >>> clock(97, Service())
        '08:05'
    """
    minutes, seconds = divmod(step * service.step_seconds, 60)
    time = f"{minutes // 60:02d}:{minutes % 60:02d}"
    return f"{time}:{seconds:02d}" if seconds else time
