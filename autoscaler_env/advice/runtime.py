"""Run a learned policy on a real service: what is counted goes in, a change of the fleet comes out."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from autoscaler_env import dynamics
from autoscaler_env.service import Service
from autoscaler_env.storage.models import load_policy


class Autoscaler:
    """A model and the service it was trained for, asked once a slot.

    The network's memory starts anew after each day's worth of slots, as it did in training.

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
        self._influx: int | None = None
        self._slot = 0

    def decide(self, *, ready: int, booting: int, queue: int, influx: int) -> int:
        """Return how many instances to add (positive) or to remove (negative) now.

        Args:
            ready: Instances that serve, at least 1.
            booting: Instances ordered and not ready yet.
            queue: Requests waiting at the end of the slot that just ended.
            influx: Requests that came in during that slot.

        Raises:
            ValueError: A count is negative, or no instance is ready.
        """
        for name, value, least in (
            ("ready", ready, 1),
            ("booting", booting, 0),
            ("queue", queue, 0),
            ("influx", influx, 0),
        ):
            if value < least:
                raise ValueError(f"{name} = {value}: must be at least {least}")
        if self._slot % self.service.slots_per_episode == 0:
            self._policy.reset(np.zeros((1, self.service.slots_per_episode), dtype=np.int64))
        self._slot += 1
        state = dynamics.new_state(self.service, 1)
        capacity = ready * self.service.capacity_per_instance
        state[dynamics.READY], state[dynamics.BOOTING] = ready, booting
        state[dynamics.QUEUE], state[dynamics.INFLUX] = queue, influx
        state[dynamics.SERVED] = capacity if queue else min(influx, capacity)
        state[dynamics.CHANGE] = influx - (influx if self._influx is None else self._influx)
        self._influx = influx
        columns = np.empty((7, 1), dtype=np.float32)
        dynamics.observe_all(state, dynamics.law_of(self._constants), columns)  # the one place that knows the scales
        return int(self.service.fleet_changes[int(self._policy.predict(columns.T)[0])])
