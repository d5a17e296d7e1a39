"""Kubernetes' Horizontal Pod Autoscaler (HPA), step by step.

The real controller runs every 15 s and sets the number of pods at once. Here it runs once a step, and the service's
actions move the fleet: with (-1, 0, +1) by one instance a step, as for every other policy; with wide steps it almost
sets the fleet. A pod is an instance; an unready pod is an instance that boots.

Decisions, where a step of 300 s is longer than the controller's clocks:

- The downscale window of 300 s counts proposals with "age <= window", as the controller does where a user sets no
  `behavior`. With "age < window", which it uses otherwise, the proposal of the step before would have just left the
  window, and nothing would be stabilised.
- The rate limits (at most doubling, or 4 pods, per 15 s) never bind, since a step has twenty such periods with the same
  metric. They are left out.
- A day begins with a new controller. Its first recommendation is the fleet that it finds, so it does not shrink at
  once.

The defaults are those of the Kubernetes project. Target, tolerance and window are parameters, which
`evaluation.rivals` calibrates. `HpaCpu` sees the utilisation, which ends at 100 %; `HpaDemand` sees the demand, as
scalers of queues do.

Source: Kubernetes, `pkg/controller/podautoscaler` (`horizontal.go`, `replica_calculator.go`) and its documentation;
steps instead of seconds are ours.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.policies.base import Counts, decode, step_toward
from autoscaler_env.service import Service

TOLERANCE = 0.1
"""HPA's default: a ratio of metric to target within this distance of 1 changes nothing."""

DOWNSCALE_WINDOW = 300
"""HPA's default: when it shrinks, it follows the largest of its proposals over so many seconds."""


def round_up(wanted: NDArray[Any]) -> NDArray[np.int64]:
    """Round up to whole instances; a whole number that is slightly too large in floats stays that number."""
    return np.ceil(np.round(wanted, 9)).astype(np.int64)


def percent_used(usage: NDArray[np.int64], request: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return utilisation as HPA sees it: whole percent, truncated.

    Example:
        >>> percent_used(np.array([1699]), np.array([2000])).tolist()  # 84.95 %
        [84]
    """
    return 100 * usage // request


def within_tolerance(
    ratio: NDArray[np.float64], tolerance: float | NDArray[np.float64] = TOLERANCE
) -> NDArray[np.bool_]:
    """Return which ratios of metric to target change nothing: from 1 - tolerance to 1 + tolerance, ends included.

    Kubernetes before 1.33 tested |1 - ratio| <= tolerance, which is false in floats at a ratio of exactly 1.1.
    """
    return (1 - tolerance <= ratio) & (ratio <= 1 + tolerance)


def propose_by_pods(
    ratio: NDArray[np.float64],
    ready: NDArray[np.int64],
    unready: NDArray[np.int64],
    tolerance: float | NDArray[np.float64] = TOLERANCE,
) -> NDArray[np.int64]:
    """Return how many pods HPA proposes from a metric of its pods: ceil(ratio x ready pods), with exceptions.

    Unready pods count only when the ratio asks for more pods; they then count as unused. If the ratio over all pods is
    within the tolerance or on the other side of 1, nothing changes; otherwise the proposal is ceil(that ratio x all
    pods).

    Args:
        ratio: Mean of the ready pods' metric over its target, shape (n,).
        ready: Pods that are ready, shape (n,).
        unready: Pods that are not, shape (n,).
        tolerance: Distance of the ratio from 1 within which nothing changes.

    Returns:
        Pods, shape (n,).

    Example:
        >>> propose_by_pods(np.array([1.5, 1.5]), np.array([3, 2]), np.array([1, 2])).tolist()
        [5, 4]
    """
    current = ready + unready
    spread = np.where(ratio > 1, ratio * ready / np.maximum(current, 1), ratio)
    counted = np.where(ratio > 1, current, ready)
    hold = within_tolerance(spread, tolerance) | ((ratio > 1) & (spread < 1))
    return np.where(hold, current, round_up(spread * counted))


def propose_by_total(
    total: NDArray[Any],
    target: float | NDArray[np.float64],
    current: NDArray[np.int64],
    tolerance: float | NDArray[np.float64] = TOLERANCE,
) -> NDArray[np.int64]:
    """Return how many pods HPA proposes from a total over all pods, such as the length of a queue.

    Args:
        total: The metric, shape (n,).
        target: How much of it each pod should have.
        current: Present pods, ready or not, shape (n,).
        tolerance: Distance of total / (target x current) from 1 within which nothing changes.

    Returns:
        ceil(total / target) pods, or the current ones, shape (n,).
    """
    hold = within_tolerance(total / (target * np.maximum(current, 1)), tolerance)
    return np.where(hold, current, round_up(total / target))


def stabilise(
    current: NDArray[np.int64], lately_up: NDArray[np.int64], lately_down: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the pods that HPA wants, given its recent proposals, the present one included.

    It grows at most to the smallest proposal of its upscale window, shrinks at most to the largest of its downscale
    window, and holds in between.

    Args:
        current: Present pods, shape (n,).
        lately_up: Proposals within the upscale window, shape (k, n).
        lately_down: Proposals within the downscale window, shape (m, n).
    """
    return np.minimum(np.maximum(current, lately_up.min(axis=0)), lately_down.max(axis=0))


def check_target(target: float | NDArray[np.float64]) -> None:
    """Raise `ValueError` unless every target is above 0."""
    if not np.all(np.asarray(target) > 0):  # a positive condition, so that NaN is refused too
        raise ValueError(f"target = {target}: must be above 0; 1 is full use")


def toward(wanted: NDArray[np.int64], fleet: NDArray[np.int64], service: Service) -> NDArray[np.int64]:
    """Return the action that moves the fleet toward what is wanted, within the service's limits."""
    return step_toward(np.clip(wanted, service.min_instances, service.max_instances), fleet, service)


class _Hpa(ABC):
    """The Horizontal Pod Autoscaler, for any metric.

    A setting that is an array of shape (n,) gives each service its own.

    Args:
        service: The service to scale; the reference service by default.
        target: Wanted utilisation, above 0; 1 is full use.
        tolerance: Distance of the ratio of metric to target from 1 within which nothing changes, from 0 to below 1.
        downscale_window: Seconds; when it shrinks, it follows the largest of its proposals over them.
        name: What tables call it.

    Raises:
        ValueError: An argument is not allowed.
    """

    name: str

    def __init__(
        self,
        service: Service | None = None,
        target: float | NDArray[np.float64] = 0.8,
        tolerance: float | NDArray[np.float64] = TOLERANCE,
        downscale_window: float | NDArray[np.float64] = DOWNSCALE_WINDOW,
        name: str | None = None,
    ) -> None:
        self.service = service or Service()
        check_target(target)
        tolerances, windows = np.asarray(tolerance), np.asarray(downscale_window)
        if not (np.all((tolerances >= 0) & (tolerances < 1)) and np.all((windows >= 0) & (windows < np.inf))):
            raise ValueError(
                f"tolerance = {tolerance}, downscale_window = {downscale_window}: "
                "must be from 0 to below 1, and a number of seconds, at least 0"
            )
        self.name = name or type(self).name
        self.wanted: NDArray[np.int64] | None = None
        self.target = target
        self._tolerance = tolerance
        self._window = (windows // self.service.step_seconds).astype(np.int64)  # age <= window: so many steps, and now
        self._lately: deque[NDArray[np.int64]] = deque(maxlen=1 + int(self._window.max()))

    def reset(self, days: NDArray[np.int64]) -> None:
        """Forget past proposals."""
        self._lately.clear()

    def predict(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return actions, shape (n,)."""
        counts = decode(observations, self.service)
        fleet = counts.ready + counts.booting
        proposal = self._propose(counts)
        self._lately.append(proposal if self._lately else np.maximum(proposal, fleet))
        lately = np.array(self._lately)
        age = np.arange(len(lately))[::-1, np.newaxis]
        lately = np.where(age <= self._window, lately, lately[-1])
        self.wanted = stabilise(fleet, proposal[np.newaxis], lately)
        return toward(self.wanted, fleet, self.service)

    @abstractmethod
    def _propose(self, counts: Counts) -> NDArray[np.int64]:
        """Return how many pods the metric asks for, before stabilisation: shape (n,)."""


class HpaCpu(_Hpa):
    r"""HPA on the utilisation of the instances, its most common use: 80 % by default.

    Utilisation ends at 100 %, however long the queue is. So HPA asks for at most 1 / target times the ready instances;
    from a target of 0.91 on, full use is within the tolerance and the fleet never grows.

    Within the tolerance the proposal is the present fleet; when it shrinks, the largest proposal of the window counts.

    Equation:
        \text{proposal}_t = \left\lceil \text{ready}_t \cdot
        \frac{\text{utilisation}_t}{\text{target}} \right\rceil

        \text{wanted}_t = \min\left( \max(\text{fleet}_t, \text{proposal}_t),
        \max_{\text{window}} \text{proposal} \right)
    """

    name = "hpa-cpu"

    def _propose(self, counts: Counts) -> NDArray[np.int64]:
        capacity = self.service.capacity_per_instance * counts.ready
        served = np.rint(counts.utilisation * capacity).astype(np.int64)
        percent = percent_used(served, np.maximum(capacity, 1))
        return propose_by_pods(percent / np.round(100 * self.target, 9), counts.ready, counts.booting, self._tolerance)


class HpaDemand(_Hpa):
    r"""HPA on the demand, arrivals and queue, per instance, as scalers of queues (KEDA) use it.

    Kubernetes has no default target for such a metric; here it is that of `HpaCpu`, 80 % of an instance's capacity.

    Within the tolerance the proposal is the present fleet; when it shrinks, the largest proposal of the window counts.

    Equation:
        \text{proposal}_t = \left\lceil \frac{\text{arrivals}_t + \text{queue}_t}
        {\text{capacity per instance} \cdot \text{target}} \right\rceil

        \text{wanted}_t = \min\left( \max(\text{fleet}_t, \text{proposal}_t),
        \max_{\text{window}} \text{proposal} \right)
    """

    name = "hpa-demand"

    def _propose(self, counts: Counts) -> NDArray[np.int64]:
        each = self.service.capacity_per_instance * self.target
        return propose_by_total(counts.arrivals + counts.queue, each, counts.ready + counts.booting, self._tolerance)
