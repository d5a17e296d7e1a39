"""A service-level objective: which share of the requests must be served within how many seconds of their arrival.

Whoever does not know what a late request costs may state an objective instead of a late price. Its lateness then costs
nothing by itself; a policy has to keep the objective.
"""

from __future__ import annotations

import dataclasses
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.evaluation.statistics import Interval, mean_interval
from autoscaler_env.service import Service
from autoscaler_env.text import check_names, duration, small_dollars

if TYPE_CHECKING:
    from autoscaler_env.evaluation.simulation import Trajectory

DAY_SECONDS = 86_400
"""The longest wait that an objective may allow: policies are compared day by day."""

Verdict = Literal["kept", "in doubt", "missed"]
"""What an interval says about an objective: it lies above, it holds the objective, or it lies below."""


@dataclass(frozen=True)
class Objective:
    """The share of the requests that must be served in time, and what in time means.

    Example:
        >>> str(Objective(0.99, 60))
        '99 % of the requests within 60 s'
        >>> Objective(99, 60)
        Traceback (most recent call last):
        ValueError: objective.served_in_time = 99: must be a share above 0 and below 1; for 99 % write 0.99
    """

    served_in_time: float = 0.99
    """Share of the requests that must be served in time, above 0 and below 1. A dropped request is not served."""
    within_seconds: float = 60
    """Seconds from its arrival within which a request must be served, from 0 to a day; they may be fewer than a step
    has. With 0, only requests that find free capacity count."""

    def __post_init__(self) -> None:
        share, seconds = self.served_in_time, self.within_seconds
        if not (_is_number(share) and 0 < share < 1):
            raise ValueError(
                f"objective.served_in_time = {share!r}: must be a share above 0 and below 1{_share_meant(share)}"
            )
        if not (_is_number(seconds) and 0 <= seconds <= DAY_SECONDS):
            raise ValueError(
                f"objective.within_seconds = {seconds!r}: must be a number from 0 to {DAY_SECONDS}, a day"
                f"{_seconds_meant(seconds)}"
            )

    def __str__(self) -> str:
        """Return the objective in words."""
        return f"{100 * self.served_in_time:.6g} % of the requests within {duration(self.within_seconds)}"

    @classmethod
    def from_dict(cls, values: Any) -> Objective:
        """Build an objective from the table `[objective]` of a set-up.

        Raises:
            ValueError: It is no table, lacks a value, or has another one.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        if isinstance(values, Mapping):
            check_names(values, names, "name", "objective.")
        if not isinstance(values, Mapping) or len(values) < len(names):
            raise ValueError(f"objective = {values!r}: must be a table of {' and '.join(names)}")
        return cls(**values)

    @classmethod
    def from_toml(cls, path: str | Path) -> Objective | None:
        """Return the objective of a set-up that `Service.from_toml` can read; `None` if it has none.

        Raises:
            ValueError: The objective is not one; the message names the file.
        """
        values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        try:
            return cls.from_dict(values["objective"]) if "objective" in values else None
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    def check_service(self, service: Service) -> None:
        """Check that a service leaves lateness to the objective.

        Raises:
            ValueError: The service has a late price, or its days are shorter than `within_seconds`.
        """
        if service.late_price > 0:
            raise ValueError(
                f"objective and late_price = {service.late_price:g}: two ways to say what a late request may cost; "
                "give the service a late_price of 0"
            )
        if self.within_seconds > (seconds := service.step_seconds * service.steps_per_episode):
            raise ValueError(
                f"objective.within_seconds = {self.within_seconds:g}: must be at most {seconds}, a day of the service"
            )

    def in_time(self, trajectory: Trajectory) -> NDArray[np.float64]:
        """Return how many requests that arrived in each step were served in time, shape (n, steps)."""
        from autoscaler_env.evaluation.simulation import served_within  # here: numba, which no set-up needs

        return served_within(trajectory, self.within_seconds)

    def share(self, trajectory: Trajectory, *, independent: bool = False) -> Interval:
        """Return the share of the requests served in time, with its interval over the days: one row is one day.

        Args:
            trajectory: What happened.
            independent: As for `statistics.mean_interval`.
        """
        in_time = self.in_time(trajectory).sum(axis=1)
        return share_interval(in_time, trajectory.arrivals.sum(axis=1), independent=independent)

    def verdict(self, share: Interval) -> Verdict:
        """Return whether a share in time keeps the objective.

        Example:
            >>> Objective(0.99, 60).verdict(Interval(9, 0.995, 0.992, 0.998))
            'kept'
            >>> Objective(0.99, 60).verdict(Interval(9, 0.985, 0.979, 0.991))
            'in doubt'
        """
        if share.low >= self.served_in_time:
            return "kept"
        return "missed" if share.high < self.served_in_time else "in doubt"

    @property
    def slack(self) -> float:
        """Differences of shares that do not count where nothing keeps the objective: a tenth of what may miss it."""
        return (1 - self.served_in_time) / 10

    def surely(self, share: Interval) -> float:
        """Return the share that calibration compares with the objective, so that it is likely to hold on later days.

        It is the lower end of the interval over days, or the share less half of what may miss the objective, whichever
        is higher: a few days have an interval that no setting could keep.
        """
        return max(share.low, share.mean - (1 - self.served_in_time) / 2)


def price_in_words(late_price: float, service: Service) -> str:
    """Return a late price in the unit of the set-up.

    Args:
        late_price: Dollars for a request that waits at the end of a step.
        service: Its steps.

    Example:
        >>> price_in_words(0.00025, Service())  # steps of five minutes
        '$0.05 for 1,000 requests that wait a minute'
    """
    return f"{small_dollars(late_price * per_1000_and_minute(service))} for 1,000 requests that wait a minute"


def trained_for(description: Mapping[str, Any]) -> str:
    """Return which objective a model was trained for, and with which late price; empty if it has none.

    Args:
        description: The description of the model; what it says may be untrue or senseless.
    """
    try:
        objective, service = Objective.from_dict(description["objective"]), Service.from_dict(description["service"])
    except (KeyError, TypeError, ValueError):
        return ""
    missed = ", which it missed on the days of the search" if description.get("keeps_objective") is False else ""
    return f"trained to keep {objective}{missed}, with a late price of {price_in_words(service.late_price, service)}"


def per_1000_and_minute(service: Service) -> float:
    """Return by what a late price of a step is multiplied to give dollars for 1,000 requests that wait a minute."""
    return 60_000 / service.step_seconds


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _share_meant(value: Any) -> str:
    """Return what somebody who wrote another value may have meant, as the end of a message."""
    text = value.strip().removesuffix("%").strip() if isinstance(value, str) else value
    try:
        number = math.nan if isinstance(value, bool) else float(text)
    except (TypeError, ValueError):
        return ""
    if 1 < number < 100:
        return f"; for {number:g} % write {number / 100:.12g}"
    if number in (1, 100):
        return "; no service can promise it for every request: write 0.999 if one of 1,000 may miss it"
    return ""


def _seconds_meant(value: Any) -> str:
    """Return what somebody who wrote another value may have meant, as the end of a message."""
    text = value.strip().removesuffix("s").strip() if isinstance(value, str) else ""
    try:
        return f"; write {float(text):g}, without quotes or unit"
    except ValueError:
        return ""


def share_interval(
    in_time: NDArray[np.float64] | NDArray[np.int64], arrivals: NDArray[np.int64], *, independent: bool = False
) -> Interval:
    """Return the share of all requests that were in time, with its interval over days.

    A day counts by its requests: the interval is that of the ratio of two means, by linearisation.

    Args:
        in_time: Requests served in time on each day, shape (n,), or for each of several trainings, (trainings, n).
        arrivals: Requests of each day, shape (n,).
        independent: As for `statistics.mean_interval`.

    Returns:
        A share from 0 to 1; its ends are limited to that range. Without requests it is 1.

    Example:
        >>> [round(x, 3) for x in share_interval(np.array([99, 98, 100]), np.array([100, 100, 100]))]
        [3, 0.99, 0.965, 1.0]
    """
    total = float(arrivals.sum())
    if total == 0:
        return Interval(len(arrivals), 1.0, 1.0, 1.0)
    share = float(np.mean(in_time.sum(axis=-1))) / total
    values = share + (in_time - share * arrivals) / arrivals.mean()
    interval = mean_interval(values, independent=independent) if values.ndim == 1 else mean_interval(values)
    return Interval(interval.n, share, max(interval.low, 0.0), min(interval.high, 1.0))
