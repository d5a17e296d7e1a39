"""The rules: random and static as lower bounds, a fixed fleet, a threshold, and target tracking."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.policies.base import decode, step_toward
from autoscaler_env.service import Service


class _Rule:
    """What rules have in common: a service, and for most of them no memory."""

    name: str

    def __init__(self, service: Service | None = None) -> None:
        self.service = service or Service()

    def reset(self, days: NDArray[np.int64]) -> None:
        """Do nothing: there is no memory to prepare."""


class Random(_Rule):
    r"""Choose every action with equal probability.

    It knows nothing about the service. A policy that costs more than this one is worse than no policy.

    Args:
        service: The service to scale.
        seed: Seeds the draw; each `reset` starts it again. The actions of a day do not depend on the days after it.

    Equation:
        P(a_t = a) = \frac{1}{|A|} \quad \text{for each action } a \in A

    Source:
        The usual lower bound of comparisons in reinforcement learning.
    """

    name = "random"

    def __init__(self, service: Service | None = None, seed: int = 0) -> None:
        super().__init__(service)
        self._seed = seed
        self._actions = iter(np.empty((0, 0), dtype=np.int64))

    def reset(self, days: NDArray[np.int64]) -> None:
        """Draw the actions of all days."""
        rng = np.random.default_rng(self._seed)
        self._actions = iter(rng.integers(len(self.service.fleet_changes), size=days.shape).T)

    def predict(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return actions, shape (n,)."""
        return next(self._actions)


class Static(_Rule):
    r"""Hold always: the fleet keeps its initial size.

    It shows what a service costs that nobody scales.

    Equation:
        \text{fleet}_{t+1} = \text{fleet}_t

    Source:
        Ours: what happens without an autoscaler.
    """

    name = "static"

    def predict(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return actions, shape (n,)."""
        return np.full(len(observations), self.service.hold)


class FixedFleet(_Rule):
    """Move the fleet to a number of instances and keep it there.

    Args:
        service: The service to scale.
        instances: How many; an array of shape (n,) gives each service its own.

    Raises:
        ValueError: The fleet cannot have that size.
    """

    name = "fixed"

    def __init__(self, service: Service, instances: float | NDArray[np.float64]) -> None:
        super().__init__(service)
        wanted = np.asarray(instances)
        if not np.all((wanted >= service.min_instances) & (wanted <= service.max_instances)):
            raise ValueError(
                f"instances = {instances}: must be from min_instances = {service.min_instances} to max_instances = "
                f"{service.max_instances}"
            )
        self._instances = np.rint(wanted).astype(np.int64)

    def predict(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return actions, shape (n,)."""
        counts = decode(observations, self.service)
        fleet = counts.ready + counts.booting
        return step_toward(np.broadcast_to(self._instances, fleet.shape), fleet, self.service)


class Threshold(_Rule):
    r"""Add above one utilisation, remove below another: the rule that most tutorials show.

    It looks at the last step only and moves by one instance. Utilisation ends at 100 %, so it cannot see how long the
    queue is.

    Args:
        service: The service to scale.
        add_above: Utilisation above which one instance is added, from 0 to 1.
        remove_below: Utilisation below which one instance is removed, from 0 to `add_above`.

    Equation:
        \text{change}_t = \begin{cases}
        +1 & \text{utilisation}_t > \text{add above} \\
        -1 & \text{utilisation}_t < \text{remove below} \\
        0 & \text{otherwise}
        \end{cases}

    Source:
        Lorido-Botran, Miguel-Alonso and Lozano, "A review of auto-scaling techniques for elastic applications in cloud
        environments", Journal of Grid Computing 12, 2014.

    Raises:
        ValueError: The utilisations are not in order.
    """

    name = "threshold"

    def __init__(self, service: Service | None = None, add_above: float = 0.7, remove_below: float = 0.4) -> None:
        super().__init__(service)
        if not 0 <= remove_below <= add_above <= 1:
            raise ValueError(
                f"add_above = {add_above}, remove_below = {remove_below}: need 0 <= remove_below <= add_above <= 1"
            )
        self._add_above = add_above
        self._remove_below = remove_below

    def predict(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return actions, shape (n,)."""
        counts = decode(observations, self.service)
        change = np.where(
            counts.utilisation > self._add_above, 1, np.where(counts.utilisation < self._remove_below, -1, 0)
        )
        fleet = counts.ready + counts.booting
        return step_toward(fleet + change, fleet, self.service)


class TargetTracking(_Rule):
    r"""Follow the demand: keep the fleet that would run at a target utilisation, plus a reserve.

    It divides the demand, arrivals and queue, by what an instance should serve. The fleet, ready and booting, moves one
    step toward the result.

    Args:
        service: The service to scale.
        target: Wanted utilisation, above 0; 1 is full use. An array of shape (n,) gives each service its own.
        reserve: Instances kept beyond that, at least 0; likewise.
        name: What tables call it.

    Equation:
        \text{wanted}_t = \left\lceil \frac{\text{arrivals}_t + \text{queue}_t}
        {\text{capacity per instance} \cdot \text{target}} + \text{reserve} \right\rceil

    Source:
        The target tracking policies of cloud providers; the reserve and the queue in the demand are ours.

    Raises:
        ValueError: The target is not above 0, or the reserve is negative.
    """

    def __init__(
        self,
        service: Service | None = None,
        target: float | NDArray[np.float64] = 1.0,
        reserve: float | NDArray[np.float64] = 1.0,
        name: str = "target-tracking",
    ) -> None:
        super().__init__(service)
        # A positive condition, so that NaN is refused too.
        if not (np.all(np.asarray(target) > 0) and np.all(np.asarray(reserve) >= 0)):
            raise ValueError(f"target = {target}, reserve = {reserve}: target must be above 0, reserve at least 0")
        self.name = name
        self.target = target
        self.reserve = reserve

    def predict(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return actions, shape (n,)."""
        counts = decode(observations, self.service)
        demand = counts.arrivals + counts.queue
        wanted = demand / (self.service.capacity_per_instance * self.target) + self.reserve
        wanted = np.ceil(np.round(wanted, 9))  # a whole number, slightly too large in floats, stays that number
        return step_toward(wanted, counts.ready + counts.booting, self.service)


RULES = {rule.name: rule for rule in (Random, Static, Threshold)} | {"target-tracking": TargetTracking}
"""The rules without further arguments, by the names that users type."""
