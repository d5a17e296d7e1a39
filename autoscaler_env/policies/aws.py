"""AWS' target tracking and step scaling: they act on alarms of CloudWatch, which see the utilisation late.

AWS documents these rules in words and keeps the algorithm to itself. What is documented, or seen by many users:

- CloudWatch makes one datapoint of the mean utilisation for each period, 60 s. An alarm breaches when all of so many
  datapoints in a row do: three to scale out, fifteen to scale in. Of target tracking these numbers are fixed.
- Target tracking scales out in proportion to the metric, as fast as it can, and scales in more slowly. Its low alarm
  stands at 90 % of the target for ECS services, and at 70 % for EC2 Auto Scaling groups.
- Step scaling adds or removes a percentage that depends on how far the metric is past the threshold. It rounds toward
  zero, but changes at least one instance.
- For a cooldown (on EC2 the warm-up of an instance) what was added counts as part of what the alarm asks for next: only
  more than that is added. A scale-in blocks others for its cooldown; a scale-out happens at once and ends it.

What is assumed:

- A datapoint can be used `metric_delay_seconds` after its period. With 150 s a rise is noticed after 360 s; AWS'
  own benchmark says 363 s, and 86 s for the metrics of 20 s that ECS has since June 2026 (periods of 20 s, a delay of
  20 s).
- Scaling out is computed from the newest datapoint of the alarm, scaling in from the highest of them. Alarms are
  evaluated once a period, and act in each one in which they breach.
- While what was added still counts, nothing is removed.
- Instances whose boot has ended count in the metric at once. With none ready there is no datapoint, and so no action:
  these rules keep at least one instance.
- The orders of a step take effect together, at its end.

Source: user guides of Application Auto Scaling and EC2 Auto Scaling; aws/containers-roadmap issues 1208 and 2113.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.policies.base import decode, ticks
from autoscaler_env.policies.kubernetes import check_target, columns, toward
from autoscaler_env.service import Service
from autoscaler_env.text import check_names

COOLDOWN = 300
"""Seconds of a cooldown where a user sets none, as for an ECS service."""

Number = float | NDArray[np.float64]
"""A setting: one for all services of a batch, or one for each, shape (n,)."""


@dataclass(frozen=True)
class Alarms:
    """The alarms of CloudWatch; the defaults are those of target tracking for an ECS service.

    Raises:
        ValueError: A value is not allowed.
    """

    period_seconds: int = 60
    """What one datapoint covers, at least 1."""
    metric_delay_seconds: int = 150
    """From the end of a period until its datapoint can be used, at least 0."""
    high_periods: int = 3
    """Datapoints in a row above the threshold that scale out, at least 1."""
    low_periods: int = 15
    """Datapoints in a row below the threshold that scale in, at least 1."""
    low_share: float = 0.9
    """Threshold of target tracking's low alarm over its target, above 0 and at most 1: 0.9 for ECS, 0.7 for EC2."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            whole = name != "low_share"
            least = 0 if name == "metric_delay_seconds" else 1
            if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
                raise ValueError(f"{name} = {value!r}: must be {'an integer' if whole else 'a number'}")
            if whole and value < least:
                raise ValueError(f"{name} = {value!r}: must be an integer of at least {least}")
        if not 0 < self.low_share <= 1:
            raise ValueError(f"low_share = {self.low_share!r}: must be above 0 and at most 1")

    @classmethod
    def from_table(cls, table: Mapping[str, Any]) -> Alarms:
        """Read alarms by the names above; what is left out has its default.

        Raises:
            ValueError: A name is unknown, or a value is not allowed.
        """
        if not isinstance(table, Mapping):
            raise ValueError(f"cloudwatch = {table!r}: must be a table")
        check_names(table, cls.__dataclass_fields__, "setting of alarms", "cloudwatch.")
        return cls(**table)


class _Datapoints:
    """The datapoints of CloudWatch: the mean utilisation in each period, from that of steps of any length.

    Args:
        period: Seconds of a period.
        kept: How many of the last datapoints are kept.
        n: How many services there are.
    """

    def __init__(self, period: int, kept: int, n: int) -> None:
        self.ring = np.full((kept, n), np.nan)
        """Datapoint number k, from 0 on, is in the row k modulo the rows: shape (kept, n)."""
        self._period = period
        self._count = 0
        self._now = 0
        self._partial: NDArray[np.float64] | float = 0.0

    def add(self, utilisation: NDArray[np.float64], seconds: int) -> None:
        """Add a step of so many seconds with this utilisation, shape (n,)."""
        end = self._now + seconds
        while (self._count + 1) * self._period <= end:
            until = (self._count + 1) * self._period
            self.ring[self._count % len(self.ring)] = (self._partial + utilisation * (until - self._now)) / self._period
            self._partial, self._now, self._count = 0.0, until, self._count + 1
        self._partial = self._partial + utilisation * (end - self._now)
        self._now = end


class _CloudWatch:
    """A rule that acts on two alarms on the utilisation.

    Args:
        service: The service to scale.
        alarms: The alarms.
        cooldowns: Seconds out and in, each at least 0.
        name: What tables call it.
        settings: What `loops.evaluate_all` needs beside the cooldowns: the thresholds of both alarms, and what to do.
    """

    name: str
    _tracking: bool
    """Whether it is target tracking; else it is step scaling."""

    def __init__(
        self,
        service: Service | None,
        alarms: Alarms,
        cooldowns: tuple[Number, Number],
        name: str | None,
        settings: Sequence[Number],
    ) -> None:
        self.service = service or Service()
        self.alarms = alarms
        self.name = name or type(self).name
        self.wanted: NDArray[np.int64] | None = None
        for which, seconds in zip(("scale_out_cooldown", "scale_in_cooldown"), cooldowns, strict=True):
            if not np.all((np.asarray(seconds) >= 0) & (np.asarray(seconds) < np.inf)):
                raise ValueError(f"{which} = {seconds}: must be a number of seconds, at least 0")
        self._values = (*settings[:2], *cooldowns, *settings[2:])
        self._watch: tuple[NDArray[Any], ...] | None = None
        self._step = 0

    def reset(self, days: NDArray[np.int64]) -> None:
        """Forget the datapoints and end the cooldowns."""
        self._watch, self._step = None, 0

    def predict(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return actions, shape (n,)."""
        from autoscaler_env.policies.loops import evaluate_all  # here: numba, which a refused set-up need not load

        counts = decode(observations, self.service)
        fleet = counts.ready + counts.booting
        alarms, step = self.alarms, self.service.step_seconds
        if self._watch is None:
            self._watch = self._new(len(fleet))
        if self._step:  # the first observation is of no step
            # without ready instances there is no datapoint: NaN breaches no alarm
            self._datapoints.add(np.where(counts.ready > 0, counts.utilisation, np.nan), step)
        before = np.array(ticks(self._step, step, alarms.period_seconds), dtype=np.int64)
        self.wanted = fleet.copy()
        settings, base, out_until, in_until = self._watch
        periods = (alarms.period_seconds, alarms.metric_delay_seconds, alarms.high_periods, alarms.low_periods)
        limits = (max(self.service.min_instances, 1), self.service.max_instances)
        evaluate_all(
            *(
                self._tracking,
                self._step * step - before,
                self.wanted,
                settings,
                self._datapoints.ring,
                periods,
                limits,
            ),
            *(base, out_until, in_until),
        )
        self._step += 1
        return toward(self.wanted, fleet, self.service)

    def _new(self, n: int) -> tuple[NDArray[Any], ...]:
        """Return the settings of each service and what is remembered of it; begin with new datapoints."""
        alarms, step = self.alarms, self.service.step_seconds
        kept = max(alarms.high_periods, alarms.low_periods)
        kept += (alarms.metric_delay_seconds + step) // alarms.period_seconds + 2
        self._datapoints = _Datapoints(alarms.period_seconds, kept, n)
        return np.array(columns(n, np.float64, *self._values)), np.zeros(n, dtype=np.int64), np.zeros(n), np.zeros(n)


class AwsTargetTracking(_CloudWatch):
    r"""AWS' target tracking on the mean utilisation, such as `ECSServiceAverageCPUUtilization`.

    It grows in proportion to the utilisation while the high alarm breaches, and shrinks while the low alarm does. A
    setting that is an array of shape (n,) gives each service its own.

    Args:
        service: The service to scale; the reference service by default.
        target: Wanted utilisation, above 0; 1 is full use.
        scale_out_cooldown: Seconds in which what was added counts, on EC2 the warm-up of an instance; at least 0.
        scale_in_cooldown: Seconds from one scale-in to the next, at least 0.
        alarms: The alarms; those of an ECS service by default.
        name: What tables call it.

    Equation:
        \text{wanted}_t = \left\lceil \text{capacity}_t \cdot
        \frac{\text{utilisation}_t}{\text{target}} \right\rceil

    Raises:
        ValueError: An argument is not allowed.
    """

    name = "aws-target-tracking"
    _tracking = True

    def __init__(
        self,
        service: Service | None = None,
        target: Number = 0.7,
        scale_out_cooldown: Number = COOLDOWN,
        scale_in_cooldown: Number = COOLDOWN,
        alarms: Alarms | None = None,
        name: str | None = None,
    ) -> None:
        check_target(target)
        alarms, self.target = alarms or Alarms(), target
        settings = (target, alarms.low_share * np.asarray(target), target)
        super().__init__(service, alarms, (scale_out_cooldown, scale_in_cooldown), name, settings)


def adjusted(capacity: NDArray[np.int64], percent: Number) -> NDArray[np.int64]:
    """Return how many instances a percentage of a capacity is to AWS: rounded toward zero, but at least 1.

    Example:
        >>> adjusted(np.array([10, 11, 14, 4]), np.array([10, 30, 10, 0])).tolist()
        [1, 3, 1, 0]
    """
    from autoscaler_env.policies.loops import percents_of

    (percents,) = columns(len(capacity), np.float64, percent)
    adjustments: NDArray[np.int64] = percents_of(capacity, percents)
    return adjustments


class AwsStepScaling(_CloudWatch):
    r"""AWS' step scaling on the mean utilisation, with two steps out and two steps in, in percent of the capacity.

    How far the utilisation is past the alarm's threshold decides how many percent are added or removed. The defaults
    are the example of AWS' user guide. A setting that is an array of shape (n,) gives each service its own.

    Args:
        service: The service to scale; the reference service by default.
        add_above: Utilisation from which `add_percent` are added, from 0 to 1.
        add_percent: Percent of the capacity, at least 0.
        jump_above: Utilisation from which `jump_percent` are added, at least `add_above`.
        jump_percent: Percent of the capacity, at least 0.
        remove_below: Utilisation down from which `remove_percent` are removed, below `add_above`.
        remove_percent: Percent of the capacity, from 0 to 100.
        drop_below: Utilisation down from which `drop_percent` are removed, at most `remove_below`.
        drop_percent: Percent of the capacity, from 0 to 100.
        scale_out_cooldown: As in `AwsTargetTracking`.
        scale_in_cooldown: As in `AwsTargetTracking`.
        alarms: The alarms; `low_share` means nothing here.
        name: What tables call it.

    Equation:
        \text{change}_t = \begin{cases}
        +\text{jump percent} & \text{utilisation}_t \ge \text{jump above} \\
        +\text{add percent} & \text{utilisation}_t \ge \text{add above} \\
        -\text{drop percent} & \text{utilisation}_t \le \text{drop below} \\
        -\text{remove percent} & \text{utilisation}_t \le \text{remove below} \\
        0 & \text{otherwise}
        \end{cases}

    Raises:
        ValueError: An argument is not allowed.
    """

    name = "aws-step-scaling"
    _tracking = False

    def __init__(
        self,
        service: Service | None = None,
        add_above: Number = 0.6,
        add_percent: Number = 10,
        jump_above: Number = 0.7,
        jump_percent: Number = 30,
        remove_below: Number = 0.4,
        remove_percent: Number = 10,
        drop_below: Number = 0.3,
        drop_percent: Number = 30,
        scale_out_cooldown: Number = COOLDOWN,
        scale_in_cooldown: Number = COOLDOWN,
        alarms: Alarms | None = None,
        name: str | None = None,
    ) -> None:
        thresholds = [np.asarray(each) for each in (0, drop_below, remove_below, add_above, jump_above)]
        ordered = [np.all(low <= high) for low, high in pairwise(thresholds)]
        if not (all(ordered) and np.all(thresholds[2] < thresholds[3]) and np.all(thresholds[3] <= 1)):
            raise ValueError(
                f"drop_below = {drop_below}, remove_below = {remove_below}, add_above = {add_above}, jump_above = "
                f"{jump_above}: need 0 <= drop_below <= remove_below < add_above <= jump_above, and add_above <= 1"
            )
        for which, percent, most in (
            ("add_percent", add_percent, np.inf),
            ("jump_percent", jump_percent, np.inf),
            ("remove_percent", remove_percent, 100),
            ("drop_percent", drop_percent, 100),
        ):
            if not np.all((np.asarray(percent) >= 0) & (np.asarray(percent) <= most)):
                raise ValueError(
                    f"{which} = {percent}: must be at least 0" + (" and at most 100" if most == 100 else "")
                )
        settings = (
            add_above,
            remove_below,
            add_percent,
            jump_above,
            jump_percent,
            remove_percent,
            drop_below,
            drop_percent,
        )
        super().__init__(service, alarms or Alarms(), (scale_out_cooldown, scale_in_cooldown), name, settings)
