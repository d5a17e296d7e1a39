"""Run a learned policy on a real service: counts go in, a change of the fleet comes out."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoscaler_env import dynamics
from autoscaler_env.service import Service
from autoscaler_env.storage.models import load_policy


class Autoscaler:
    """A model and the service it was trained for; asked for a decision once a step.

    It sees what the simulated service would show for the same counts. The model's memory of the past starts anew at
    midnight, as it did in training. A model that was trained on days in a row remembers the last eight days instead: it
    begins with those in its file, and takes what it did not see for what was usual.

    Args:
        model: The `.pkl` or `.zip` that `advise` wrote; no code in it is run.
        service: The `service.toml` that `advise` wrote beside it.

    Raises:
        ValueError: A file is missing or damaged, or the model does not fit the service.
    """

    def __init__(self, model: str | Path, service: str | Path) -> None:
        self.service = Service.from_toml(service)
        self._policy: Any = load_policy(Path(model), self.service)
        self._constants = dynamics.constants_of(self.service)
        self._last: tuple[int, int] | None = None
        self._day: date | None = None

    def decide(self, *, ready: int, booting: int, queue: int, arrivals: int, now: datetime | None = None) -> int:
        """Return how many instances to add (positive) or to remove (negative) now.

        Args:
            ready: Instances that serve, at least 1, or 0 where the service may have none.
            booting: Instances ordered and not ready yet.
            queue: Requests waiting at the end of the step that just ended.
            arrivals: Requests that arrived during that step.
            now: The time on the clock of the traffic that the policy was trained on; this machine's clock by default.

        Raises:
            ValueError: A count is negative, or no instance is ready though the service always has some.
        """
        observation = self.observe(ready=ready, booting=booting, queue=queue, arrivals=arrivals)
        half_a_step = timedelta(seconds=self.service.step_seconds / 2)  # a call just before midnight is for the new day
        moment = (now or datetime.now()) + half_a_step
        remembers = getattr(self._policy, "remembers_days", False)
        if self._day is None or (moment.date() != self._day and not remembers):
            self._policy.reset(np.zeros((1, self.service.steps_per_episode), dtype=np.int64))
        if remembers:
            seconds = moment.hour * 3600 + moment.minute * 60 + moment.second
            self._policy.start_at(seconds // self.service.step_seconds)
        self._day = moment.date()
        return int(self.service.fleet_changes[int(self._policy.predict(observation)[0])])

    def observe(self, *, ready: int, booting: int, queue: int, arrivals: int) -> NDArray[np.float32]:
        """Return the observation of the step that just ended, and remember its arrivals and queue for the next.

        Counts beyond what the simulated service can hold are clipped: the fleet at `max_instances`, the queue at
        `queue_limit`.

        Args:
            ready: Instances that serve, at least 1, or 0 where the service may have none.
            booting: Instances ordered and not ready yet.
            queue: Requests waiting at the end of the step.
            arrivals: Requests that arrived during the step.

        Returns:
            The observation of `AutoscalerEnv`, float32 of shape (1, 7). In the first call the change of arrivals is 0.

        Raises:
            ValueError: A count is negative, or no instance is ready though the service always has some.
        """
        for name, value, least in (
            ("ready", ready, min(self.service.min_instances, 1)),
            ("booting", booting, 0),
            ("queue", queue, 0),
            ("arrivals", arrivals, 0),
        ):
            if value < least:
                raise ValueError(f"{name} = {value}: must be at least {least}")
        ready = min(ready, self.service.max_instances)
        booting = min(booting, self.service.max_instances - ready)
        queue, arrivals = min(queue, self.service.queue_limit), min(arrivals, dynamics.LARGEST_COUNT)
        queue_before, arrivals_before = self._last or (0, arrivals)
        self._last = queue, arrivals
        capacity = ready * self.service.capacity_per_instance
        state = dynamics.new_state(self.service, 1)
        state[dynamics.READY], state[dynamics.BOOTING] = ready, booting
        state[dynamics.QUEUE], state[dynamics.ARRIVALS] = queue, arrivals
        state[dynamics.SERVED] = capacity if queue else min(queue_before + arrivals, capacity)
        state[dynamics.CHANGE] = arrivals - arrivals_before
        columns = np.empty((7, 1), dtype=np.float32)
        dynamics.observe_all(state, dynamics.parameters_of(self._constants), columns)
        return columns.T
