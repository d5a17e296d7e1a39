"""Knative's pod autoscaler (KPA), step by step.

The real controller runs every 2 s and averages over two windows: a stable window of 60 s, and a panic window of a tenth
of it. When the panic window asks for twice the ready pods, the controller panics: it follows the larger of the two
windows and does not shrink. Here it runs once a step, and the service's actions move the fleet, as with HPA
(`kubernetes.py`).

Decisions, where a step of 300 s is longer than the controller's clocks:

- The stable window is given in steps: 3, the smallest suitable number (3 to 12), which is nearest to 60 s. The panic
  window is the last step.
- The rate limits (1000 times up, 2 times down) apply once a step.
- A day begins with a new controller: with more than one pod it begins in panic, so it does not shrink at once.
- With `min_instances = 0` it goes to zero as Knative does by default: when the stable window has no traffic, and not
  before it has wanted zero for the grace period of 30 s. From zero, waiting requests count as demand, as those that
  Knative's activator holds.

The defaults are those of the Knative project. Target and stable window are parameters, which `evaluation.rivals`
calibrates.

Source: knative/serving `pkg/autoscaler/scaling/autoscaler.go` and `config/core/configmaps/autoscaler.yaml`; steps
instead of seconds are ours.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.policies.base import decode
from autoscaler_env.policies.kubernetes import check_target, round_up, toward
from autoscaler_env.service import Service


def propose_by_windows(
    stable: NDArray[Any],
    panic: NDArray[Any],
    ready: NDArray[np.int64],
    target: float | NDArray[np.float64],
    max_up: float = 1000.0,
    max_down: float = 2.0,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return how many pods KPA proposes from the total metric over its two windows.

    Args:
        stable: Mean over the stable window, shape (n,).
        panic: Mean over the panic window, shape (n,).
        ready: Pods that are ready, shape (n,).
        target: How much of the metric each pod should have.
        max_up: The largest factor by which the pods may grow, over the ready pods; the result is rounded up.
        max_down: The largest factor by which the pods may shrink; the result is rounded down.

    Returns:
        Pods by the stable window, pods by the panic window, and the latter, before its limits, divided by the ready
        pods; each of shape (n,).
    """
    ready = np.maximum(ready, 1)
    low, high = np.floor(ready / max_down).astype(np.int64), round_up(ready * max_up)
    by_stable, by_panic = round_up(stable / target), round_up(panic / target)
    return np.clip(by_stable, low, high), np.clip(by_panic, low, high), by_panic / ready


class PanicMode:
    """KPA's memory: in panic it never shrinks, until a stable window has passed without a new reason to panic.

    Args:
        ready: Pods at the start, shape (n,); with more than one it begins in panic.
        window: The stable window, in ticks; an array of shape (n,) gives each its own.
        threshold: It panics where the panic window asks for at least this many times the ready pods.
    """

    def __init__(self, ready: NDArray[np.int64], window: float | NDArray[np.int64], threshold: float = 2.0) -> None:
        self._window = window
        self._threshold = threshold
        self._now = 0
        self._since = np.where(ready > 1, 0.0, -np.inf)
        self._most = np.where(ready > 1, ready, 0)

    def decide(
        self, stable: NDArray[np.int64], panic: NDArray[np.int64], over: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Return the wanted pods at this tick, from what `propose_by_windows` returns; each of shape (n,)."""
        self._since = np.where(over >= self._threshold, self._now, self._since)
        panicking = self._since + self._window >= self._now
        self._most = np.where(panicking, np.maximum(self._most, np.maximum(stable, panic)), 0)
        self._now += 1
        return np.where(panicking, self._most, stable)


class Kpa:
    r"""Knative's pod autoscaler on the demand, arrivals and queue: 70 % of an instance's capacity by default.

    It averages over a window, and follows the last step alone in a panic: when the last step asks for twice the ready
    instances. A setting that is an array of shape (n,) gives each service its own.

    Args:
        service: The service to scale; the reference service by default.
        target: Wanted utilisation, above 0; 1 is full use.
        stable_steps: The stable window, in whole steps, at least 1; the panic window is the last step.
        name: What tables call it.
        grace_seconds: Seconds for which it wants zero before the last pod goes (`scale-to-zero-grace-period`), at least
            0.

    Equation:
        \text{wanted}_t = \left\lceil
        \frac{\text{mean}_{\text{stable window}} (\text{arrivals} + \text{queue})}
        {\text{capacity per instance} \cdot \text{target}} \right\rceil

        \text{in a panic:} \quad \text{wanted}_t = \max\left( \text{wanted}_{t-1}, \text{wanted}_t,
        \left\lceil \frac{\text{arrivals}_t + \text{queue}_t}
        {\text{capacity per instance} \cdot \text{target}} \right\rceil \right)

    Raises:
        ValueError: An argument is not allowed.
    """

    name = "kpa"

    def __init__(
        self,
        service: Service | None = None,
        target: float | NDArray[np.float64] = 0.7,
        stable_steps: int | NDArray[np.float64] = 3,
        name: str | None = None,
        grace_seconds: float = 30,
    ) -> None:
        self.service = service or Service()
        check_target(target)
        if not 0 <= grace_seconds < np.inf:
            raise ValueError(f"grace_seconds = {grace_seconds}: must be a number of seconds, at least 0")
        if not np.all(np.asarray(stable_steps) >= 1):
            raise ValueError(f"stable_steps = {stable_steps}: must be at least 1")
        self.name = name or Kpa.name
        self.target = target
        self._window = np.asarray(stable_steps).astype(np.int64)
        self._lately: deque[NDArray[np.int64]] = deque(maxlen=int(self._window.max()))
        self._mode: PanicMode | None = None
        self._grace = grace_seconds
        self._idle: NDArray[np.int64] | int = 0

    def reset(self, days: NDArray[np.int64]) -> None:
        """Begin with a new controller."""
        self._lately.clear()
        self._mode = None
        self._idle = 0

    def predict(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return actions, shape (n,)."""
        counts = decode(observations, self.service)
        demand = counts.arrivals + counts.queue
        self._lately.append(demand)
        self._mode = self._mode or PanicMode(counts.ready, self._window)
        age = np.arange(len(self._lately))[::-1, np.newaxis]
        total = np.where(age < self._window, np.array(self._lately), 0).sum(axis=0)
        mean = total / np.minimum(len(self._lately), self._window)
        each = self.service.capacity_per_instance * self.target
        wanted = self._mode.decide(*propose_by_windows(mean, demand, counts.ready, each))
        fleet = counts.ready + counts.booting
        keeps_one = (wanted == 0) & (fleet > 0) & (self._idle * self.service.step_seconds < self._grace)
        self._idle = np.where(wanted == 0, self._idle + 1, 0)
        return toward(np.where(keeps_one, 1, wanted), fleet, self.service)
