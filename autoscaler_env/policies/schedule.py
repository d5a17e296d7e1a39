"""A schedule around a rule: the fewest instances by time of day and weekday.

KEDA's cron scaler and AWS' scheduled actions do this: the rule goes on, but not below the minimum. Of entries that
apply at the same time the largest counts. Instances are ordered at the beginning of an entry; they boot after it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.policies.base import Policy, decode
from autoscaler_env.policies.kubernetes import toward
from autoscaler_env.service import Service
from autoscaler_env.text import check_names

if TYPE_CHECKING:
    from autoscaler_env.traffic.trace import Trace

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
"""The weekdays, as a schedule names them."""

_DAY = 86_400


@dataclass(frozen=True)
class Minimum:
    """An entry of a schedule: so many instances at least, on some weekdays, from one time to another.

    Example:
        >>> Minimum.from_table({"days": "fri-mon", "from": "22:00", "to": "06:00", "minimum": 3}).days
        (0, 4, 5, 6)
        >>> Minimum.from_table({"from": "08:00", "to": "20:00", "minimum": -1})
        Traceback (most recent call last):
        ValueError: schedule: minimum = -1: must be an integer of at least 0
    """

    days: tuple[int, ...]
    """The weekdays on which it begins; Monday is 0."""
    first: int
    """Seconds after midnight at which it begins."""
    last: int
    """Seconds after midnight at which it ends; if not after `first`, on the next day."""
    instances: int
    """The fewest instances."""

    @classmethod
    def from_table(cls, table: Mapping[str, Any]) -> Minimum:
        """Read an entry: `minimum`, `from` and `to` (hours and minutes), and `days` (all of them by default).

        Raises:
            ValueError: A name is unknown or missing, or a value is not allowed.
        """
        names = ("days", "from", "to", "minimum")
        if isinstance(table, Mapping):
            check_names(table, names, "name", "schedule: ")
        if not isinstance(table, Mapping) or not set(table) >= set(names[1:]):
            raise ValueError(f"schedule: {table!r}: an entry has from, to and minimum, and may have days")
        instances = table["minimum"]
        if isinstance(instances, bool) or not isinstance(instances, int) or instances < 0:
            raise ValueError(f"schedule: minimum = {instances!r}: must be an integer of at least 0")
        first, last = (_seconds(name, table[name]) for name in ("from", "to"))
        return cls(_weekdays(table.get("days", "mon-sun")), first, last, instances)

    def applies(self, weekday: int, seconds: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return whether it applies at times of a weekday, in seconds after midnight, shape (k,)."""
        today, yesterday = weekday in self.days, (weekday - 1) % 7 in self.days
        if self.first < self.last:
            return today & (self.first <= seconds) & (seconds < self.last)
        return (today & (self.first <= seconds)) | (yesterday & (seconds < self.last))


def _seconds(name: str, value: Any) -> int:
    match = re.fullmatch(r"(\d\d?):(\d\d)", value) if isinstance(value, str) else None
    if match is None or int(match[1]) * 60 + int(match[2]) > 24 * 60 or int(match[2]) > 59:
        raise ValueError(f'schedule: {name} = {value!r}: must be a time from "00:00" to "24:00"')
    return int(match[1]) * 3600 + int(match[2]) * 60


def _weekdays(text: Any) -> tuple[int, ...]:
    days: set[int] = set()
    for part in text.lower().replace(" ", "").split(",") if isinstance(text, str) else [""]:
        first, _, last = part.partition("-")
        if first not in WEEKDAYS or (last or first) not in WEEKDAYS:
            raise ValueError(f'schedule: days = {text!r}: must be weekdays such as "mon-fri" or "sat, sun"')
        start, end = WEEKDAYS.index(first), WEEKDAYS.index(last or first)
        days |= {(start + i) % 7 for i in range((end - start) % 7 + 1)}
    return tuple(sorted(days))


def read_schedule(tables: Any) -> tuple[Minimum, ...]:
    """Return the entries of a schedule, as a set-up has them: a list of tables, one at least.

    Raises:
        ValueError: As `Minimum.from_table`; or it is no such list.
    """
    if isinstance(tables, str) or not isinstance(tables, Sequence) or not tables:
        raise ValueError(f"schedule = {tables!r}: must be a list of tables with days, from, to and minimum")
    return tuple(Minimum.from_table(table) for table in tables)


def weekdays_of(trace: Trace) -> dict[bytes, int]:
    """Return the weekday of each day of a trace whose label is a date, by the bytes of its arrivals; Monday is 0.

    Days with equal arrivals and different weekdays are left out.
    """
    found: dict[bytes, int] = {}
    doubtful = set()
    for label, day in zip(trace.labels, trace.requests, strict=True):
        try:
            weekday = date.fromisoformat(label[:10]).weekday()
        except ValueError:
            continue
        key = np.ascontiguousarray(day, dtype=np.int64).tobytes()
        if found.setdefault(key, weekday) != weekday:
            doubtful.add(key)
    return {key: weekday for key, weekday in found.items() if key not in doubtful}


class Scheduled:
    """A rule with a schedule: it never leaves the fleet below the minimum of the time.

    A rule sees how many steps have passed since midnight, and the weekday if the traffic has dates.

    Args:
        rule: The rule; it observes what it always does.
        service: The service to scale; an episode is a day.
        schedule: The entries.
        weekdays: The weekday of each day, by the bytes of its arrivals (int64), as `weekdays_of` returns them. Needed
            if the entries are not the same on all weekdays.

    Raises:
        ValueError: A minimum is above `max_instances`; at `reset`, a weekday is needed and unknown.
    """

    def __init__(
        self,
        rule: Policy,
        service: Service,
        schedule: Sequence[Minimum],
        weekdays: Mapping[bytes, int] | None = None,
    ) -> None:
        for entry in schedule:
            if entry.instances > service.max_instances:
                raise ValueError(
                    f"schedule: minimum = {entry.instances}: must be at most max_instances = {service.max_instances}"
                )
        self.name = rule.name
        self.rule = rule
        self.service = service
        self.wanted: NDArray[np.int64] | None = None
        self._weekdays = weekdays or {}
        seconds = np.arange(service.steps_per_episode) * service.step_seconds % _DAY
        minima = [np.zeros((7, len(seconds)), dtype=np.int64)]
        minima += [
            np.array([entry.instances * entry.applies(weekday, seconds) for weekday in range(7)]) for entry in schedule
        ]
        self._minima = np.max(minima, axis=0)
        self._same = bool((self._minima == self._minima[0]).all())
        self._least = np.empty((0, 0), dtype=np.int64)
        self._step = 0

    def reset(self, days: NDArray[np.int64]) -> None:
        """Find the minimum of each step of the days, shape (n, steps); a row may hold several days of the service."""
        self.rule.reset(days)
        steps, self._step = self.service.steps_per_episode, 0
        rows = []
        for row in np.asarray(days, dtype=np.int64):
            parts = [row[first : first + steps] for first in range(0, len(row), steps)]
            rows.append(np.concatenate([self._minima[self._weekday(part)][: len(part)] for part in parts]))
        self._least = np.array(rows)

    def _weekday(self, day: NDArray[np.int64]) -> int:
        if self._same:
            return 0
        weekday = self._weekdays.get(np.ascontiguousarray(day).tobytes())
        if weekday is None:
            raise ValueError(
                "schedule: its days differ, and the weekday of a day is unknown; needed is traffic with dates, or a "
                "schedule that is the same on all days"
            )
        return weekday

    def predict(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return actions, shape (n,)."""
        actions = self.rule.predict(observations)
        counts = decode(observations, self.service)
        fleet = counts.ready + counts.booting
        after = fleet + np.array(self.service.fleet_changes)[actions]
        least = self._least[:, self._step]
        wanted = getattr(self.rule, "wanted", None)
        self.wanted = None if wanted is None else np.maximum(wanted, least)
        self._step += 1
        return np.where(after < least, toward(np.maximum(after, least), fleet, self.service), actions)
