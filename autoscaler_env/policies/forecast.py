"""Predictive scaling: set the capacity by a forecast from earlier days, for workloads that repeat themselves."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.policies.base import FORECAST, decode
from autoscaler_env.policies.kubernetes import check_target, round_up, toward
from autoscaler_env.policies.seasonal import usual_at
from autoscaler_env.service import Service
from autoscaler_env.traffic.trace import Trace

LEVEL_SECONDS = 3600
"""How far back today's level is measured, in seconds."""


class Forecast:
    r"""Forecast arrivals from the day before and the week before, and order capacity a boot in advance.

    The mean of the two days gives the course of the day (in a trace's first week, the day before alone). The level
    scales it: the arrivals of the last hour, divided by those of the same hour in that mean. The largest forecast from
    now until an order would be ready counts, and the queue is added. The fleet moves one step toward the result.

    The rule knows the date but not the day: `reset` finds the date of each day in the trace and reads only the days
    before it. Target and reserve default to those of target tracking before calibration.

    Args:
        service: The service to scale.
        trace: The recorded days; those before the day in play are the history.
        target: Wanted utilisation, above 0; 1 is full use.
        reserve: Instances kept beyond the demand, at least 0.
        name: What tables call it.

    Equation:
        \text{forecast}_t = \text{level}_t \cdot \frac{\text{yesterday}_t + \text{last week}_t}{2}

        \text{wanted}_t = \left\lceil \frac{\max_{t \le k \le t + \text{boot}} \text{forecast}_k + \text{queue}_t}
        {\text{capacity per instance} \cdot \text{target}} + \text{reserve} \right\rceil

    Source:
        The seasonal naive forecast (Hyndman and Athanasopoulos, "Forecasting: principles and practice", third edition,
        2021); the level and the use of two days are ours.

    Raises:
        ValueError: An argument is not allowed; at `reset`, a day is not in the trace, or is its first day, which has no
            history.
    """

    name = FORECAST

    def __init__(
        self, service: Service, trace: Trace, target: float = 1.0, reserve: float = 1.0, name: str | None = None
    ) -> None:
        check_target(target)
        if not reserve >= 0:
            raise ValueError(f"reserve = {reserve}: must be at least 0 instances")
        self.service = service
        self.name = name or Forecast.name
        self.wanted: NDArray[np.int64] | None = None
        self.target = target
        self.reserve = reserve
        self._trace = trace.name
        self._days = np.concatenate([trace.earlier, trace.later])
        self._dates = {day.tobytes(): date for date, day in enumerate(self._days)}
        self._usual = np.empty((0, 0))
        self._step = 0
        self._recent: deque[NDArray[np.float64]] = deque(maxlen=max(1, LEVEL_SECONDS // service.step_seconds))

    def reset(self, days: NDArray[np.int64]) -> None:
        """Find the days before each of the days, shape (n, steps)."""
        usual, line = list[NDArray[np.float64]](), self._days.reshape(-1)
        known: dict[int, NDArray[np.float64]] = {}  # many services may have the same day
        for i, day in enumerate(np.ascontiguousarray(days, dtype=np.int64)):
            date = self._dates.get(day.tobytes())
            if not date:
                position = "the first of its days" if date == 0 else "none of its days"
                raise ValueError(
                    f"forecast: day {i} is {position} in {self._trace}; needed are days with a day before them"
                )
            steps = len(day)
            if date not in known:
                today = range(date * steps, (date + 1) * steps)
                known[date] = np.array([usual_at(line, step, steps) for step in today])
            usual.append(known[date])
        self._usual = np.array(usual)
        self._step = 0
        self._recent.clear()

    def predict(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return actions, shape (n,)."""
        counts = decode(observations, self.service)
        # The first two observations both show the first step.
        if self._step != 1:
            self._recent.append(np.array([counts.arrivals, self._usual[:, max(self._step - 1, 0)]]))
        came, usual = np.sum(self._recent, axis=0)
        level = np.where(usual > 0, came / np.maximum(usual, 1), 1.0)
        ahead = self._usual[:, self._step : self._step + self.service.boot_steps + 1].max(axis=1)
        self._step += 1
        each = self.service.capacity_per_instance * self.target
        self.wanted = round_up((level * ahead + counts.queue) / each + self.reserve)
        return toward(self.wanted, counts.ready + counts.booting, self.service)
