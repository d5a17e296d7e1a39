"""Set capacity by a forecast from the days before: what predictive scalers do where traffic repeats itself."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.policies.base import decode
from autoscaler_env.policies.kubernetes import check_target, round_up, toward
from autoscaler_env.service import Service
from autoscaler_env.traffic.trace import Trace

WEEK = 7
"""Days from a day to the one of the same name before it."""

LEVEL_SECONDS = 3600
"""How far back today's level is measured."""


class Forecast:
    """Expect the same step of a day and a week before, scaled by today's level, and have its capacity booted in time.

    The mean of the two days (of the day before alone in a trace's first week) says how the day goes; what came in over
    the last hour, over what came in then, says how high. Of the steps from now until an order would be ready, the
    largest forecast counts, and what waits is added:
    wanted = ceil((forecast + queue) / (capacity_per_instance x target) + reserve), one step toward it.

    It knows the date, not the day: `reset` looks up which day of the trace it is given and reads nothing but the days
    before that one. It runs at the target and the reserve that target tracking has before it is calibrated.

    Args:
        service: The service to scale.
        trace: The traffic; its days before the one that is played are the history.
        target: Wanted utilisation, above 0; 1 is full use.
        reserve: Instances kept beyond that, at least 0.
        name: What tables call it.

    Raises:
        ValueError: An argument is not allowed; at `reset`, a day is not of the trace, or its first, before which there
            is nothing to forecast from.
    """

    name = "forecast"

    def __init__(
        self, service: Service, trace: Trace, target: float = 1.0, reserve: float = 1.0, name: str | None = None
    ) -> None:
        check_target(target)
        if not reserve >= 0:
            raise ValueError(f"reserve = {reserve}: must be at least 0 instances")
        self.service = service
        self.name = name or Forecast.name
        self.target = target
        self.reserve = reserve
        self._trace = trace.name
        self._days = np.concatenate([trace.earlier, trace.later])
        self._dates = {day.tobytes(): date for date, day in enumerate(self._days)}
        self._usual = np.empty((0, 0))
        self._step = 0
        self._recent: deque[NDArray[np.float64]] = deque(maxlen=max(1, LEVEL_SECONDS // service.step_seconds))

    def reset(self, days: NDArray[np.int64]) -> None:
        """Find what came before each of the days, shape (n, steps)."""
        usual = []
        for i, day in enumerate(np.ascontiguousarray(days, dtype=np.int64)):
            date = self._dates.get(day.tobytes())
            if not date:
                found = "the first of its days" if date == 0 else "none of its days"
                raise ValueError(f"forecast: day {i} is {found} in {self._trace}; needed are days with one before them")
            before = [date - back for back in (1, WEEK) if back <= date]
            usual.append(self._days[before].mean(axis=0))
        self._usual = np.array(usual)
        self._step = 0
        self._recent.clear()

    def predict(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return actions, shape (n,)."""
        counts = decode(observations, self.service)
        # The first observation shows the first step, before it has passed, and so does the second.
        if self._step != 1:
            self._recent.append(np.array([counts.arrivals, self._usual[:, max(self._step - 1, 0)]]))
        came, usual = np.sum(self._recent, axis=0)
        level = np.where(usual > 0, came / np.maximum(usual, 1), 1.0)
        ahead = self._usual[:, self._step : self._step + self.service.boot_steps + 1].max(axis=1)
        self._step += 1
        each = self.service.capacity_per_instance * self.target
        wanted = round_up((level * ahead + counts.queue) / each + self.reserve)
        return toward(wanted, counts.ready + counts.booting, self.service)
