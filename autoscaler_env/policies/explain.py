"""Why a rule acted: which fleets it wants for what it saw."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.policies.base import Policy, decode
from autoscaler_env.policies.rules import Static, TargetTracking, Threshold
from autoscaler_env.service import Service


def wanted_fleets(policy: Policy, observation: NDArray[np.float32], service: Service) -> tuple[int, int] | None:
    """Return the smallest and the largest fleet that a rule wants; `None` if the rule does not tell.

    A rule without memory is asked which fleets it would keep. A rule with memory shows the fleet it wanted in its last
    step, if it has the attribute `wanted`, shape (n,).

    Args:
        policy: The rule.
        observation: What it saw, float32 of shape (7,).
        service: The service observed.
    """
    if isinstance(policy, Static | Threshold | TargetTracking):
        counts = decode(observation[np.newaxis], service)
        return fleets_kept(policy, int(counts.arrivals[0]), int(counts.queue[0]), service)
    if getattr(policy, "wanted", None) is not None:
        wanted = int(np.asarray(policy.wanted)[0])  # type: ignore[attr-defined]  # the line above checks it
        return wanted, wanted
    return None


def fleets_kept(policy: Policy, arrivals: int, queue: int, service: Service) -> tuple[int, int] | None:
    """Return the smallest and the largest fleet that a rule without memory would keep; `None` if there is none.

    The rule is asked for its action at every allowed fleet, with all instances ready.

    Args:
        policy: The rule.
        arrivals: Requests that arrived in the last step.
        queue: Requests that wait.
        service: The service.

    Example:
        >>> fleets_kept(TargetTracking(), 2_000, 0, Service())
        (24, 24)
        >>> fleets_kept(Threshold(), 2_000, 0, Service())
        (33, 57)
    """
    ready = np.arange(service.min_instances, service.max_instances + 1)
    capacity = service.capacity_per_instance * ready
    observations = np.zeros((len(ready), 7))
    observations[:, 0] = ready / service.max_instances
    without = np.full(len(ready), float(arrivals + queue > 0))
    observations[:, 2] = np.divide(np.minimum(arrivals + queue, capacity), capacity, out=without, where=capacity > 0)
    observations[:, 3] = queue / max(service.queue_limit, 1)
    observations[:, 4] = min(arrivals / service.arrivals_scale, 1.0)
    observations[:, 6] = np.maximum((capacity - arrivals - queue) / service.spare_capacity_scale, -1.0)
    holds = ready[policy.predict(observations.astype(np.float32)) == service.hold]
    return (int(holds[0]), int(holds[-1])) if len(holds) else None
