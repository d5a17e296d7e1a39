"""Kubernetes' Horizontal Pod Autoscaler (HPA): once a step, or with its own clocks.

The real controller runs every 15 s and sets the number of pods at once. A pod is an instance; an unready pod is an
instance that boots. The service's actions move the fleet: with (-1, 0, +1) by one instance a step, as for every other
policy; with wide steps they almost set the fleet.

With a `Behaviour` the controller acts as in a cluster, for Kubernetes 1.37: at each sync within a step it reads the
metric as old as there, stabilises its proposal by both windows (only proposals younger than a window count), and obeys
the tolerance and the policies of each direction. One step changes the fleet once, so the syncs of a step take effect
together, at its end. Pods are counted as follows:

- Instances that boot are unready pods, which start when they are ordered. They are left out when the metric asks for
  fewer pods, and count as 0 % when it asks for more. Of the ready pods the youngest are removed first.
- A pod that became ready after the newest metric was measured, and booted then, has a sample of its boot. HPA on CPU
  sets this sample aside, as if the pod was unready, for the CPU initialisation period after the start of the pod: by
  default 300 s. Then it counts, as 0 %, since boots take no CPU here. If the pod was not even ordered then, it has no
  metric: it counts as 0 % when the metric asks for more pods, as 100 % (or the target, if that is more) when it asks
  for fewer.
- A pod that boots for longer than that period is taken for one that was never ready, and set aside, unless it became
  unready later than the initial readiness delay after its start: by default 30 s. Here no pod that was ready becomes
  unready, so any delay above 0 does the same. With 0 such pods count as 0 %. Both periods are documented flags of the
  controller, not plans.
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
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.policies.base import Counts, decode, step_toward, ticks
from autoscaler_env.policies.behaviour import SELECTIONS, Behaviour
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
    from autoscaler_env.policies.loops import pods_asked  # here: numba, which a set-up that is refused need not load

    upward = tolerance if upward is None else upward
    floats, counts = (ratio, tolerance, upward, 0.0 if whole is None else whole), (ready, unready, missing)
    ratios, down, up, cut = columns(len(ratio), np.float64, *floats)
    return pods_asked(ratios, *columns(len(ratio), np.int64, *counts), down, up, cut)


def columns(n: int, kind: type[np.generic], *values: Any) -> tuple[NDArray[Any], ...]:
    """Return each value as an array of shape (n,)."""
    return tuple(np.ascontiguousarray(np.broadcast_to(np.asarray(value, dtype=kind), (n,))) for value in values)


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
    from autoscaler_env.policies.loops import total_asked

    upward = tolerance if upward is None else upward
    totals, targets, down, up = columns(len(total), np.float64, total, target, tolerance, upward)
    return total_asked(totals, targets, *columns(len(total), np.int64, current), down, up)


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
    """What a controller that acts once a step remembers of its last proposals.

    Args:
        counts: How many proposals count, the present one included, at least 1; an array of shape (n,) gives each
            service its own.
    """

    def __init__(self, counts: NDArray[np.int64] | int) -> None:
        lengths = np.asarray(counts)
        # Services with equal windows share a ring; without an array there is one ring for all.
        self._columns = [(int(k), np.flatnonzero(lengths == k) if lengths.ndim else ...) for k in np.unique(lengths)]
        self.clear()

    def clear(self) -> None:
        """Forget all proposals."""
        self._rings: list[NDArray[np.int64]] = []
        self._count = 0

    def add(self, proposals: NDArray[np.int64]) -> NDArray[np.int64]:
        """Remember proposals of shape (n,); return the largest of each in its window, shape (n,)."""
        if not self._rings:
            self._rings = [np.repeat(proposals[columns][np.newaxis], k, axis=0) for k, columns in self._columns]
        largest = np.empty_like(proposals)
        for (k, columns), ring in zip(self._columns, self._rings, strict=True):
            ring[self._count % k] = proposals[columns]
            largest[columns] = ring.max(axis=0)
        self._count += 1
        return largest


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
    _on_cpu = False
    """Whether its metric is the use of CPU."""

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
            self._highest = Window((windows // self.service.step_seconds).astype(np.int64) + 1)
            return
        if np.any((windows > 0) & (windows < behaviour.sync_seconds)):
            raise ValueError(
                f"downscale_window = {downscale_window}: must be 0 or at least the sync period of "
                f"{behaviour.sync_seconds} s"
            )
        self._windows = np.maximum(np.ceil(windows / behaviour.sync_seconds), windows > 0).astype(np.int64)
        self._controller: _Controller | None = None

    def reset(self, days: NDArray[np.int64]) -> None:
        """Forget past proposals."""
        self._step = 0
        if self.behaviour is None:
            self._highest.clear()
        else:
            self._controller = None

    def predict(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return actions, shape (n,)."""
        counts = decode(observations, self.service)
        fleet = counts.ready + counts.booting
        if self.behaviour is None:
            proposal = self._propose(counts)
            highest = self._highest.add(np.maximum(proposal, fleet) if self._step == 0 else proposal)
            self.wanted = np.maximum(stabilise(fleet, proposal, highest), self._least)
        else:
            metric = self._metric(counts)
            if self._controller is None:
                self._controller = self._started(counts, metric)
            self.wanted = self._controller.act(self._step, counts, metric)
        self._step += 1
        return toward(self.wanted, fleet, self.service)

    def _started(self, counts: Counts, metric: NDArray[np.float64]) -> _Controller:
        """Return a new controller, which finds this."""
        assert self.behaviour is not None
        settings = np.array(columns(len(metric), np.float64, self._target(), self._tolerance, self._upward))
        (windows,) = columns(len(metric), np.int64, self._windows)
        return _Controller(self.service, self.behaviour, self._on_cpu, self._least, settings, windows, counts, metric)

    @abstractmethod
    def _propose(self, counts: Counts) -> NDArray[np.int64]:
        """Return how many pods HPA asks for once a step, before stabilisation: shape (n,)."""

    @abstractmethod
    def _metric(self, counts: Counts) -> NDArray[np.float64]:
        """Return the metric as a controller reads it within a step, shape (n,)."""

    @abstractmethod
    def _target(self) -> float | NDArray[np.float64]:
        """Return the target of that metric, as a manifest has it."""


class _Controller:
    """HPA's controller within steps, with all that it remembers of a day.

    Args:
        service: The service to scale.
        behaviour: How it acts in time.
        on_cpu: Whether the metric is the use of CPU; else it is a total.
        least: The fewest pods that it wants.
        settings: Target, tolerance and upward tolerance, shape (3, n).
        windows: Syncs of the downscale window, 0 for none, shape (n,).
        counts: What it finds.
        metric: The metric of that, shape (n,).
    """

    def __init__(
        self,
        service: Service,
        behaviour: Behaviour,
        on_cpu: bool,
        least: int,
        settings: NDArray[np.float64],
        windows: NDArray[np.int64],
        counts: Counts,
        metric: NDArray[np.float64],
    ) -> None:
        n, step = len(metric), service.step_seconds
        self._behaviour, self._step_seconds, self._on_cpu, self._settings = behaviour, step, on_cpu, settings
        upscale = behaviour.syncs(behaviour.up.window_seconds) if behaviour.up.window_seconds else 0
        self._windows = np.array([windows, np.full(n, upscale)])
        self._up, self._down = behaviour.up.rows(behaviour.syncs), behaviour.down.rows(behaviour.syncs)
        longest = max([1, *self._up[:, 2].tolist(), *self._down[:, 2].tolist()])
        self._highest, self._lowest, self._before = (
            np.zeros((length, n), dtype=np.int64) for length in (max(windows.max(), 1), max(upscale, 1), longest)
        )
        self._best = np.zeros((2, n), dtype=np.int64)
        boot, initialisation = service.boot_delay, behaviour.cpu_initialisation_seconds
        selections = (SELECTIONS.index(rules.select) for rules in (behaviour.up, behaviour.down))
        limits = (max(service.min_instances, least), service.max_instances)
        self._clocks = np.array([boot, step, initialisation, *limits, *selections], dtype=np.float64)
        # Samples of pods that boot count from an age on, if they cannot become ready for the first time any more.
        counts_late = boot > initialisation and not behaviour.initial_readiness_seconds
        self._late_from = -(-initialisation // step) if counts_late else None
        kept = max(2 + behaviour.metric_delay_seconds // step, 1 + (self._late_from or 0))
        self._seen = np.repeat(np.array([counts.ready, counts.booting])[:, np.newaxis], kept, axis=1)
        self._metric = np.repeat(metric[np.newaxis], kept, axis=0)
        self._syncs = 0

    def act(self, step: int, counts: Counts, metric: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the pods that are wanted after the syncs of a step.

        Args:
            step: Observations of the day before this one.
            counts: What there was in the step that has just ended.
            metric: The metric of that, shape (n,).
        """
        from autoscaler_env.policies.loops import sync_all

        for kept, newest in ((self._seen[0], counts.ready), (self._seen[1], counts.booting), (self._metric, metric)):
            kept[:-1] = kept[1:].copy()
            kept[-1] = newest
        before = ticks(step, self._step_seconds, self._behaviour.sync_seconds)
        lags = (np.array(before, dtype=np.int64) + self._behaviour.metric_delay_seconds) // self._step_seconds
        pods = np.clip(counts.ready + counts.booting, int(self._clocks[3]), int(self._clocks[4]))
        sync_all(
            *(self._on_cpu, self._syncs, lags, pods, self._seen, self._metric, self._settings, self._clocks),
            *(self._late(), self._windows, self._highest, self._lowest, self._best, self._up, self._down, self._before),
        )
        self._syncs += len(lags)
        return pods

    def _late(self) -> NDArray[np.int64]:
        """Return how many pods boot for longer than CPU initialisation lasts and are not set aside: shape (n,)."""
        booting = self._seen[1, -1]
        if self._late_from is None:
            return np.zeros_like(booting)
        fleets = self._seen[:, -1 - self._late_from :].sum(axis=0)
        return np.maximum(booting - np.maximum(np.diff(fleets, axis=0), 0).sum(axis=0), 0)


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
    _on_cpu = True

    def _propose(self, counts: Counts) -> NDArray[np.int64]:
        served, possible = self._served(counts)
        ratio = percent_used(served, possible) / np.round(100 * self.target, 9)
        return propose_by_pods(ratio, counts.ready, counts.booting, self._tolerance)

    def _metric(self, counts: Counts) -> NDArray[np.float64]:
        served, possible = self._served(counts)
        percent: NDArray[np.float64] = 100 * served / possible
        return percent

    def _target(self) -> float | NDArray[np.float64]:
        return np.maximum(np.rint(np.round(100 * self.target, 9)), 1)  # a manifest has whole percent

    def _served(self, counts: Counts) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return what was served and what could have been, at least 1: each of shape (n,)."""
        capacity = self.service.capacity_per_instance * counts.ready
        return np.rint(counts.utilisation * capacity).astype(np.int64), np.maximum(capacity, 1)


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
        target = self.service.capacity_per_instance * self.target
        return propose_by_total(counts.arrivals + counts.queue, target, counts.ready + counts.booting, self._tolerance)

    def _metric(self, counts: Counts) -> NDArray[np.float64]:
        return (counts.arrivals + counts.queue).astype(np.float64)

    def _target(self) -> float | NDArray[np.float64]:
        step = self.service.step_seconds  # a manifest has thousandths of a request per second
        each = 1000 * (self.service.capacity_per_instance * self.target) / step
        return np.maximum(np.rint(each), 1) / 1000 * step
