"""Run a learned policy on a real service: what is counted goes in, a change of the fleet comes out."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from autoscaler_env import dynamics
from autoscaler_env.service import Service
from autoscaler_env.storage.models import load_policy


class Autoscaler:
    """A model and the service it was trained for, asked once a step.

    The network's memory starts anew after each day's worth of steps, as it did in training.

    Args:
        model: The `.pkl` or `.zip` that `advise` wrote; read without running anything in it.
        service: The `service.toml` that `advise` wrote beside it.

    Raises:
        ValueError: A file is missing or damaged, or the model does not fit the service.
    """

    def __init__(self, model: str | Path, service: str | Path) -> None:
        self.service = Service.from_toml(service)
        self._policy = load_policy(Path(model), self.service)
        self._constants = dynamics.constants_of(self.service)
        self._arrivals: int | None = None
        self._step = 0

    def decide(self, *, ready: int, booting: int, queue: int, arrivals: int) -> int:
        """Return how many instances to add (positive) or to remove (negative) now.

        Args:
            ready: Instances that serve, at least 1.
            booting: Instances ordered and not ready yet.
            queue: Requests waiting at the end of the step that just ended.
            arrivals: Requests that came in during that step.

        Raises:
            ValueError: A count is negative, or no instance is ready.
        """
        for name, value, least in (
            ("ready", ready, 1),
            ("booting", booting, 0),
            ("queue", queue, 0),
            ("arrivals", arrivals, 0),
        ):
            if value < least:
                raise ValueError(f"{name} = {value}: must be at least {least}")
        if self._step % self.service.steps_per_episode == 0:
            self._policy.reset(np.zeros((1, self.service.steps_per_episode), dtype=np.int64))
        self._step += 1
        state = dynamics.new_state(self.service, 1)
        capacity = ready * self.service.capacity_per_instance
        state[dynamics.READY], state[dynamics.BOOTING] = ready, booting
        state[dynamics.QUEUE], state[dynamics.ARRIVALS] = queue, arrivals
        state[dynamics.SERVED] = capacity if queue else min(arrivals, capacity)
        state[dynamics.CHANGE] = arrivals - (arrivals if self._arrivals is None else self._arrivals)
        self._arrivals = arrivals
        columns = np.empty((7, 1), dtype=np.float32)
        dynamics.observe_all(
            state, dynamics.parameters_of(self._constants), columns
        )  # the one place that knows the scales
        return int(self.service.fleet_changes[int(self._policy.predict(columns.T)[0])])
