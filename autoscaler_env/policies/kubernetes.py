"""Kubernetes' Horizontal Pod Autoscaler (HPA): once a step, or with its own clocks.

The real controller runs every 15 s and sets the number of pods at once. A pod is an instance; an unready pod is an
instance that boots. The service's actions move the fleet: with (-1, 0, +1) by one instance a step, as for every other
policy; with wide steps they almost set the fleet.

With a `Behaviour` the controller acts as in a cluster, for Kubernetes 1.37: at each sync within a step it reads the
metric as old as there, stabilises its proposal by both windows (only proposals younger than a window count), and obeys
the tolerance and the policies of each direction. One step changes the fleet once, so the syncs of a step take effect
together, at its end. Pods are counted as follows:

- Instances that boot are pending pods: unready, and left out when the metric asks for fewer pods.
- A pod that became ready after the newest metric was measured has none: it counts as 0 % when the metric asks for more
  pods, as 100 % (or the target, if that is more) when it asks for fewer. CPU initialisation period (300 s) and initial
  readiness delay (30 s) say which samples of young pods are not used; here young pods have no sample at all, and no
  pod that was ready becomes unready.
- CPU use needs a pod, so with `min_instances = 0` HPA on CPU keeps one. HPA on demand goes to zero and comes back. This
  is beta and on by default since Kubernetes 1.37 (that it becomes stable is a plan); there, tolerance per direction is
  stable.

Without a `Behaviour` the controller runs once a step. Decisions, where a step of 300 s is longer than its clocks:

- The downscale window of 300 s counts proposals with "age <= window", as the controller does where a user sets no
  `behavior`. With "age < window", which it uses otherwise, the proposal of the step before would have just left the
  window, and nothing would be stabilised.
- The rate limits (at most doubling, or 4 pods, per 15 s) never bind, since a step has twenty such periods with the same
  metric. They are left out.

A day begins with a new controller. Its first recommendation is the fleet that it finds, so it does not shrink at once.

The defaults are those of the Kubernetes project. Target, tolerance and window are parameters, which
`evaluation.rivals` calibrates. `HpaCpu` sees the utilisation, which ends at 100 %; `HpaDemand` sees the demand, as
scalers of queues do.

Source: Kubernetes, `pkg/controller/podautoscaler` (`horizontal.go`, `replica_calculator.go`), KEP-853, KEP-2021,
KEP-4951, its documentation and the announcement of 1.37; steps instead of seconds are ours.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.policies.base import Counts, decode, step_toward, ticks
from autoscaler_env.policies.behaviour import Behaviour, Limiter
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
    ratio: NDArray[np.float64],
    tolerance: float | NDArray[np.float64] = TOLERANCE,
    upward: float | NDArray[np.float64] | None = None,
) -> NDArray[np.bool_]:
    """Return which ratios of metric to target change nothing: from 1 - tolerance to 1 + upward, ends included.

    `upward` is the tolerance too if it is not given. Kubernetes before 1.33 tested |1 - ratio| <= tolerance, which is
    false in floats at a ratio of exactly 1.1.
    """
    return (1 - tolerance <= ratio) & (ratio <= 1 + (tolerance if upward is None else upward))


def propose_by_pods(
    ratio: NDArray[np.float64],
    ready: NDArray[np.int64],
    unready: NDArray[np.int64],
    tolerance: float | NDArray[np.float64] = TOLERANCE,
    upward: float | NDArray[np.float64] | None = None,
    missing: NDArray[np.int64] | int = 0,
    whole: float | NDArray[np.float64] | None = None,
) -> NDArray[np.int64]:
    """Return how many pods HPA proposes from a metric of its pods: ceil(ratio x ready pods), with exceptions.

    Unready pods count only when the ratio asks for more pods; they then count as unused. Pods without a metric count as
    unused when it asks for more, and as fully used (or as the target, if that is more) when it asks for fewer. If the
    ratio over all pods that count is within the tolerance or on the other side of 1, nothing changes; otherwise the
    proposal is ceil(that ratio x those pods), unless it goes the other way.

    Args:
        ratio: Mean of the metric over its target, of the ready pods that have one, shape (n,).
        ready: Ready pods that have a metric, shape (n,).
        unready: Pods that are not ready, shape (n,).
        tolerance: Distance of the ratio below 1 within which nothing changes.
        upward: The same above 1; `tolerance` by default.
        missing: Ready pods without a metric, shape (n,).
        whole: The target in percent, where the metric is a utilisation that the controller cuts to whole percent;
            `None` if it is not cut.

    Returns:
        Pods, shape (n,).

    Example:
        >>> propose_by_pods(np.array([1.5, 1.5]), np.array([3, 2]), np.array([1, 2])).tolist()
        [5, 4]
        >>> propose_by_pods(np.array([0.5]), np.array([6]), np.array([0]), missing=np.array([2]), whole=80.0).tolist()
        [6]
    """
    exact, ratio = ratio, _cut(ratio, whole)
    current = ready + unready + missing
    full = 1.0 if whole is None else np.maximum(100, whole) / whole
    below = np.where(missing > 0, (exact * ready + full * missing) / np.maximum(ready + missing, 1), exact)
    above = exact * ready / np.maximum(current, 1)
    spread = _cut(np.where(ratio > 1, above, np.where(ratio < 1, below, exact)), whole)
    counted = np.where(ratio > 1, current, ready + missing)
    proposal = round_up(spread * counted)
    hold = within_tolerance(spread, tolerance, upward)
    hold |= ((ratio > 1) & (spread < 1)) | ((ratio < 1) & (spread > 1))
    hold |= ((spread < 1) & (proposal > current)) | ((spread > 1) & (proposal < current))
    return np.where(hold, current, proposal)


def _cut(ratio: NDArray[np.float64], whole: float | NDArray[np.float64] | None) -> NDArray[np.float64]:
    """Return the ratio of a utilisation to its target with the utilisation cut to whole percent."""
    return ratio if whole is None else np.floor(np.round(ratio * whole, 9)) / whole


def propose_by_total(
    total: NDArray[Any],
    target: float | NDArray[np.float64],
    current: NDArray[np.int64],
    tolerance: float | NDArray[np.float64] = TOLERANCE,
    upward: float | NDArray[np.float64] | None = None,
) -> NDArray[np.int64]:
    """Return how many pods HPA proposes from a total over all pods, such as the length of a queue.

    Args:
        total: The metric, shape (n,).
        target: How much of it each pod should have.
        current: Present pods, ready or not, shape (n,). Where there are none, no tolerance applies.
        tolerance: Distance of total / (target x current) below 1 within which nothing changes.
        upward: The same above 1; `tolerance` by default.

    Returns:
        ceil(total / target) pods, or the current ones, shape (n,).
    """
    hold = (current > 0) & within_tolerance(total / (target * np.maximum(current, 1)), tolerance, upward)
    return np.where(hold, current, round_up(total / target))


def stabilise(current: NDArray[np.int64], lowest: NDArray[np.int64], highest: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the pods that HPA wants, given its recent proposals, the present one included.

    It grows at most to the smallest proposal of its upscale window, shrinks at most to the largest of its downscale
    window, and holds in between.

    Args:
        current: Present pods, shape (n,).
        lowest: The smallest proposal within the upscale window, shape (n,).
        highest: The largest proposal within the downscale window, shape (n,).
    """
    return np.minimum(np.maximum(current, lowest), highest)


def check_target(target: float | NDArray[np.float64]) -> None:
    """Raise `ValueError` unless every target is above 0."""
    if not np.all(np.asarray(target) > 0):  # a positive condition, so that NaN is refused too
        raise ValueError(f"target = {target}: must be above 0; 1 is full use")


def toward(wanted: NDArray[np.int64], fleet: NDArray[np.int64], service: Service) -> NDArray[np.int64]:
    """Return the action that moves the fleet toward what is wanted, within the service's limits."""
    return step_toward(np.clip(wanted, service.min_instances, service.max_instances), fleet, service)


class Window:
    """What a controller remembers of the last values of a number, each younger than a window.

    Args:
        counts: How many values count, the present one included, at least 1; an array of shape (n,) gives each its own.
        largest: Whether it returns the largest of them, or the smallest.
    """

    def __init__(self, counts: NDArray[np.int64] | int, largest: bool) -> None:
        lengths = np.asarray(counts)
        self._pick = np.maximum.reduce if largest else np.minimum.reduce
        # Services with equal windows share a ring; without an array there is one ring for all.
        self._columns = [(int(k), np.flatnonzero(lengths == k) if lengths.ndim else ...) for k in np.unique(lengths)]
        self.clear()

    def clear(self) -> None:
        """Forget all values."""
        self._rings: list[NDArray[np.int64]] = []
        self._count = 0

    def add(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        """Remember values of shape (n,); return the largest or smallest of each in its window, shape (n,)."""
        if not self._rings:
            self._rings = [np.repeat(values[columns][np.newaxis], k, axis=0) for k, columns in self._columns]
        found = np.empty_like(values)
        for (k, columns), ring in zip(self._columns, self._rings, strict=True):
            ring[self._count % k] = values[columns]
            found[columns] = self._pick(ring)
        self._count += 1
        return found


class _Hpa(ABC):
    """The Horizontal Pod Autoscaler, for any metric.

    A setting that is an array of shape (n,) gives each service its own.

    Args:
        service: The service to scale; the reference service by default.
        target: Wanted utilisation, above 0; 1 is full use.
        tolerance: Distance of the ratio of metric to target from 1 within which nothing changes, from 0 to below 1. By
            default that of the behaviour, which may differ by direction, or 0.1.
        downscale_window: Seconds; when it shrinks, it follows the largest of its proposals over them. By default that
            of the behaviour, or 300.
        name: What tables call it.
        behaviour: How it acts in time; `None` for once a step, without rate limits.

    Raises:
        ValueError: An argument is not allowed.
    """

    name: str
    _least = 0
    """The fewest pods with which it still sees its metric."""

    def __init__(
        self,
        service: Service | None = None,
        target: float | NDArray[np.float64] = 0.8,
        tolerance: float | NDArray[np.float64] | None = None,
        downscale_window: float | NDArray[np.float64] | None = None,
        name: str | None = None,
        behaviour: Behaviour | None = None,
    ) -> None:
        self.service = service or Service()
        check_target(target)
        down, up, window = (
            (TOLERANCE, TOLERANCE, DOWNSCALE_WINDOW)
            if behaviour is None
            else (behaviour.down.tolerance, behaviour.up.tolerance, behaviour.down.window_seconds)
        )
        self._tolerance, self._upward = (default if tolerance is None else tolerance for default in (down, up))
        windows = np.asarray(window if downscale_window is None else downscale_window)
        tolerances = np.asarray(self._tolerance)
        if not (np.all((tolerances >= 0) & (tolerances < 1)) and np.all((windows >= 0) & (windows < np.inf))):
            raise ValueError(
                f"tolerance = {tolerance}, downscale_window = {downscale_window}: "
                "must be from 0 to below 1, and a number of seconds, at least 0"
            )
        self.name = name or type(self).name
        self.wanted: NDArray[np.int64] | None = None
        self.target = target
        self.behaviour = behaviour
        if behaviour is None:  # age <= window: so many steps, and now
            self._highest = Window((windows // self.service.step_seconds).astype(np.int64) + 1, largest=True)
            return
        if np.any((windows > 0) & (windows < behaviour.sync_seconds)):
            raise ValueError(
                f"downscale_window = {downscale_window}: must be 0 or at least the sync period of "
                f"{behaviour.sync_seconds} s"
            )
        self._highest = Window(np.maximum(np.ceil(windows / behaviour.sync_seconds), 1).astype(np.int64), largest=True)
        self._windowed = windows > 0
        self._lowest = Window(behaviour.syncs(behaviour.up.window_seconds), largest=False)
        self._limiter = Limiter(behaviour)
        self._seen: deque[Counts] = deque(maxlen=2 + behaviour.metric_delay_seconds // self.service.step_seconds)
        self._step = 0
        self._known: tuple[int, NDArray[np.int64], NDArray[np.int64]] | None = None  # lag, pods, their proposal

    def reset(self, days: NDArray[np.int64]) -> None:
        """Forget past proposals."""
        self._highest.clear()
        self._step = 0
        if self.behaviour is not None:
            self._lowest.clear()
            self._limiter = Limiter(self.behaviour)
            self._seen.clear()

    def predict(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return actions, shape (n,)."""
        counts = decode(observations, self.service)
        fleet = counts.ready + counts.booting
        if self.behaviour is None:
            proposal = self._propose(counts, counts.ready, counts.booting)
            highest = self._highest.add(np.maximum(proposal, fleet) if self._step == 0 else proposal)
            self.wanted = np.maximum(stabilise(fleet, proposal, highest), self._least)
        else:
            self._seen.append(counts)
            self.wanted = self._within(fleet)
            self._known = None
            for before in ticks(self._step, self.service.step_seconds, self.behaviour.sync_seconds):
                self.wanted = self._sync(counts, self.wanted, before)
        self._step += 1
        return toward(self.wanted, fleet, self.service)

    def _sync(self, counts: Counts, pods: NDArray[np.int64], before: int) -> NDArray[np.int64]:
        """Return the pods after a sync.

        Args:
            counts: What there was in the step that has just ended.
            pods: What earlier syncs made of its fleet, shape (n,).
            before: Seconds from the sync to the end of that step.
        """
        assert self.behaviour is not None
        step, delay = self.service.step_seconds, self.behaviour.metric_delay_seconds
        lag = min((before + delay) // step, len(self._seen) - 1)
        seen = self._seen[-1 - lag]
        if self._known is None or lag != self._known[0] or pods is not self._known[1]:
            ready = np.maximum(counts.ready - np.maximum(counts.ready + counts.booting - pods, 0), 0)
            young = np.minimum(self._young(lag), ready)
            proposal = self._propose(seen, ready - young, np.maximum(pods - ready, 0), young)
            self._known = lag, pods, proposal
        proposal = self._known[2]
        high, low = proposal, proposal
        if self._step == 0:  # a new controller first recommends what it finds
            high, low = np.where(self._windowed, np.maximum(proposal, pods), proposal), np.minimum(proposal, pods)
        highest = self._highest.add(high)
        lowest = self._lowest.add(low) if self.behaviour.up.window_seconds else proposal
        wanted = stabilise(pods, lowest, highest)
        allowed = self._limiter.limit(pods, wanted)
        return pods if allowed is pods else self._within(allowed)

    def _within(self, pods: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return pods within the limits of the fleet."""
        return np.clip(pods, max(self.service.min_instances, self._least), self.service.max_instances)

    def _young(self, lag: int) -> NDArray[np.int64]:
        """Return how many pods became ready after a metric of so many steps ago was measured, shape (n,)."""
        ready = [counts.ready for counts in list(self._seen)[-1 - lag :]]
        return np.sum([np.maximum(now - before, 0) for before, now in pairwise(ready)], axis=0, dtype=np.int64)

    @abstractmethod
    def _propose(
        self,
        seen: Counts,
        ready: NDArray[np.int64],
        unready: NDArray[np.int64],
        missing: NDArray[np.int64] | int = 0,
    ) -> NDArray[np.int64]:
        """Return how many pods the metric asks for, before stabilisation: shape (n,).

        Args:
            seen: What the metric was measured on.
            ready: Ready pods that have a metric, shape (n,).
            unready: Pods that are not ready, shape (n,).
            missing: Ready pods without a metric, shape (n,).
        """


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
    _least = 1

    def _propose(
        self,
        seen: Counts,
        ready: NDArray[np.int64],
        unready: NDArray[np.int64],
        missing: NDArray[np.int64] | int = 0,
    ) -> NDArray[np.int64]:
        capacity = self.service.capacity_per_instance * seen.ready
        served = np.rint(seen.utilisation * capacity).astype(np.int64)
        possible, whole = np.maximum(capacity, 1), np.round(100 * self.target, 9)
        if self.behaviour is None:
            return propose_by_pods(percent_used(served, possible) / whole, ready, unready, self._tolerance)
        whole = np.maximum(np.rint(whole), 1)  # a manifest has whole percent
        ratio = 100 * served / possible / whole
        proposal = propose_by_pods(ratio, ready, unready, self._tolerance, self._upward, missing, whole)
        measured = (seen.ready > 0) & (ready > 0)  # else there is no metric, and it holds
        return np.where(measured, proposal, ready + unready + missing)


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

    def _propose(
        self,
        seen: Counts,
        ready: NDArray[np.int64],
        unready: NDArray[np.int64],
        missing: NDArray[np.int64] | int = 0,
    ) -> NDArray[np.int64]:
        each = self.service.capacity_per_instance * self.target
        if self.behaviour is not None:  # a manifest has thousandths of a request per second
            step = self.service.step_seconds
            each = np.maximum(np.rint(1000 * each / step), 1) / 1000 * step
        return propose_by_total(
            seen.arrivals + seen.queue, each, ready + unready + missing, self._tolerance, self._upward
        )
