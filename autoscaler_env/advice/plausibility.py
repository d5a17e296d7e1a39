"""Doubt a set-up before any work: prices and sizes that make no sense together, with the likely meaning."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from autoscaler_env.service import Service
from autoscaler_env.text import dollars, duration, percent, small_dollars

if TYPE_CHECKING:
    from autoscaler_env.traffic.trace import Trace

HOURS_A_MONTH = 730

DEAR_HOUR = 5.0
"""Dollars an hour from which on a price for one instance looks like a price per month."""

DEAR_MONTH = 500.0
"""Dollars from which on a price that is too high for an hour may also be one per year."""

DEAR_GPU_HOUR = 100.0
"""The same for an instance that may have GPUs; servers with eight of them are offered for less."""

GPU_BOOT_SECONDS = 120
"""An instance with GPUs boots at least so long: a machine is ordered, and gigabytes of weights are loaded."""

GPU_REQUESTS_PER_SECOND = 10
"""An instance with GPUs serves at most so many requests, since each takes it seconds of work."""

CHEAP_HOUR = 0.001
"""Dollars an hour below which a price for one instance looks like a price per second."""

HIGHEST_SHARES = {
    "threshold": {"add_above": 1.0, "remove_below": 1.0},
    "hpa-cpu": {"target": 2.0},
    "hpa-demand": {"target": 2.0},
    "kpa": {"target": 2.0},
    "target-tracking": {"target": 5.0},
    "aws-target-tracking": {"target": 1.0},
    "aws-step-scaling": dict.fromkeys(("add_above", "jump_above", "remove_below", "drop_below"), 1.0),
}
"""The highest share that each setting of a rule can mean; a number above it is taken for a percentage."""

MANY_DROPPED = 0.01
"""Share of dropped requests from which on a simulation of today's rule is doubted."""


def check_shares(rule: str, settings: Mapping[str, float]) -> None:
    """Refuse percentages where shares are meant, and shares where percentages are.

    Args:
        rule: The kind of rule.
        settings: Its settings, numbers by name.

    Raises:
        ValueError: A share is so high that it must be a percentage, or a percentage so low that it must be a share; the
            message has the likely meaning.

    Example:
        >>> check_shares("hpa-cpu", {"target": 70})
        Traceback (most recent call last):
        ValueError: target = 70: is a share of an instance's capacity, so this is 7,000 %; for 70 % write 0.7
    """
    for name, highest in HIGHEST_SHARES.get(rule, {}).items():
        value = settings.get(name, 0)
        if value > highest:
            meaning = f"; for {value:g} % write {value / 100:g}" if value <= 100 * highest else ""
            raise ValueError(
                f"{name} = {value:g}: is a share of an instance's capacity, so this is {100 * value:,.0f} %{meaning}"
            )
    for name, value in settings.items():
        if name.endswith("_percent") and 0 < value < 1:
            raise ValueError(f"{name} = {value:g}: is in percent; for {100 * value:g} % write {100 * value:g}")


def serving_price(service: Service) -> float:
    """Return what it costs to serve one request with an instance in full use, in dollars.

    Example:
        >>> round(serving_price(Service()), 6)  # 0.192 dollars an hour, 87 requests in 5 minutes
        0.000184
    """
    return service.instance_price / service.capacity_per_instance


def losing_is_cheaper(service: Service) -> str:
    """Return a warning if serving a request costs more than dropping it; an empty text otherwise.

    Serving it late costs more than dropping it where that holds for a wait of a minute, or of a step if that is
    shorter. In long steps a request seems to wait longer than it does, so their price of a wait says less: see
    `doubts`.
    """
    serving, dropping = serving_price(service), small_dollars(service.drop_price)
    if serving > service.drop_price:
        return (
            f"With these prices it is cheaper to lose requests: {small_dollars(serving)} to serve one, "
            f"{dropping} to drop one. {OTHER_PRICES}"
        )
    seconds = min(service.step_seconds, 60)
    waiting = service.late_price * seconds / service.step_seconds
    if waiting > service.drop_price:
        return (
            f"With these prices it is cheaper to lose requests than to serve them late: {small_dollars(waiting)} to "
            f"let one wait for {duration(seconds)}, {dropping} to drop one. {OTHER_WAITS}"
        )
    return ""


OTHER_PRICES = (
    "Give other prices of an instance and of a drop, or another capacity of an instance: a saving in dollars means "
    "nothing here."
)
"""What to do where losing a request is cheaper than serving it."""

OTHER_WAITS = "Give other prices of a wait and of a drop: a saving in dollars means nothing here."
"""What to do where losing a request is cheaper than serving it late."""


def significant(value: float) -> str:
    """Return a number with three significant digits, written out.

    Example:
        >>> significant(1208.3), significant(37_812), significant(0.2899), significant(28.46)
        ('1,210', '37,800', '0.29', '28.5')
    """
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if rounded >= 1000 else f"{rounded:g}"


def doubts(service: Service, days: Trace, written: Mapping[str, Any] = MappingProxyType({})) -> list[str]:
    """Return what is hard to believe about a service and its traffic, a line each, with the likely meaning.

    Args:
        service: The service.
        days: The traffic.
        written: What the user wrote in the set-up, by name: a doubt names the capacity as it is written there.
    """
    capacity = _capacity(service, days, written.get("requests_per_second_per_instance"))
    return [*filter(None, [losing_is_cheaper(service)]), *_odd_hour(service), *_dear_wait(service), *capacity]


def may_have_gpus(service: Service) -> bool:
    """Return whether an instance boots as long, and serves as few requests, as one with GPUs does.

    Many small machines do so too. So a request must also be worth more than it costs to serve: with a price per month
    taken for one per hour it hardly ever is.
    """
    few = service.capacity_per_instance <= GPU_REQUESTS_PER_SECOND * service.step_seconds
    return service.boot_delay >= GPU_BOOT_SECONDS and few and serving_price(service) <= service.drop_price


def _odd_hour(service: Service) -> Iterator[str]:
    price = service.instance_price_per_hour
    if price >= (DEAR_GPU_HOUR if may_have_gpus(service) else DEAR_HOUR):
        yearly = f"; if per year, {price / (12 * HOURS_A_MONTH):.3g}" if price >= DEAR_MONTH else ""
        yield (
            f"instance_price_per_hour = {price:g} is a high price. If it is a price per month, write "
            f"{price / HOURS_A_MONTH:.3g}{yearly}."
        )
    elif 0 < price < CHEAP_HOUR:
        yield (
            f"instance_price_per_hour = {price:g} is a low price. If it is a price per second, write "
            f"{3600 * price:.3g}."
        )


def _dear_wait(service: Service) -> Iterator[str]:
    if service.late_price > service.drop_price and not losing_is_cheaper(service):
        yield (
            f"A request that waits for a step of {duration(service.step_seconds)} costs "
            f"{small_dollars(service.late_price)}, one that is dropped {small_dollars(service.drop_price)}: with these "
            "prices it is better to lose a request than to serve it late."
        )


def _capacity(service: Service, days: Trace, per_second: float | None) -> Iterator[str]:
    capacity, step = service.capacity_per_instance, service.step_seconds
    mean, peak = float(days.requests.mean()), int(days.requests.max())
    name, unit = f"capacity_per_instance = {capacity}", f"per step of {step} s"
    if per_second is not None:
        name, unit = f"requests_per_second_per_instance = {per_second:g}", "per second"
    if mean > capacity * service.max_instances:
        text = (
            f"{name}: the average traffic needs {mean / capacity:,.0f} instances, but max_instances is "
            f"{service.max_instances:,}."
        )
        if per_second is None and mean <= capacity * step * service.max_instances:
            text += f" The capacity is {unit}: if {capacity} is per second, write {capacity * step}."
        yield text
    elif peak > capacity * service.max_instances:
        yield (f"The peak needs {math.ceil(peak / capacity):,} instances, max_instances is {service.max_instances:,}.")
    elif peak < capacity:
        text = f"{name}: one instance serves the highest step of the traffic alone, {peak:,} requests."
        if per_second is not None:
            text += (
                f" The capacity is {unit}: if {per_second:g} is per minute, write {per_second / 60:.3g}; if it is per "
                f"hour, {per_second / 3600:.3g}."
            )
        elif step < 3600:
            hourly = max(round(capacity * step / 3600), 1)
            text += f" The capacity is {unit}: if {capacity} is per hour, write {hourly}."
        yield text


def plausibility(service: Service, days: Trace, cost: float, late_share: float, drop_share: float) -> str:
    """Return one line that shows whether the numbers fit: traffic, capacity, fleet, today's cost and service.

    Args:
        service: The service.
        days: The traffic.
        cost: Of today's rule on the held-out days, dollars a day.
        late_share: Share of the requests that today's rule serves late there.
        drop_share: Share of the requests that it drops there.
    """
    capacity, step = service.capacity_per_instance, service.step_seconds
    mean, peak = float(days.requests.mean()), int(days.requests.max())
    return (
        f"Traffic: {significant(mean / step)} requests per second on average, {significant(peak / step)} at the peak. "
        f"One instance serves {significant(capacity / step)} per second, so the traffic needs "
        f"{significant(mean / capacity)} instances on average, {significant(peak / capacity)} at the peak. Today's "
        f"rule costs {dollars(cost)} a day in the simulation; {percent(late_share, 2)} of the requests are late, "
        f"{percent(drop_share, 2)} are dropped."
    )


def assumptions(service: Service) -> str:
    """Return in sentences what the simulation takes for true about a service.

    Example:
        >>> text = assumptions(Service())
        >>> text[:72]
        'Each instance serves 0.29 requests per second, whatever the requests are'
        >>> text[-76:]
        ' 1,000 requests that wait a minute cost $0.05, 1,000 dropped ones cost $2.5.'
    """
    minute, serves = 60 / service.step_seconds, service.capacity_per_instance / service.step_seconds
    hourly, late, dropped = (
        f"${price:.3g}"
        for price in (service.instance_price_per_hour, 1000 * minute * service.late_price, 1000 * service.drop_price)
    )
    waits = f"1,000 requests that wait a minute cost {late}" if service.late_price else "Late requests cost nothing"
    return (
        f"Each instance serves {significant(serves)} requests per second, whatever the requests are. It costs {hourly} "
        f"an hour, serves {duration(service.boot_delay)} after it was ordered, and stops at once. There are "
        f"{service.min_instances:,} to {service.max_instances:,} instances. At most {service.queue_limit:,} requests "
        f"wait; more are dropped. {waits}, 1,000 dropped ones cost {dropped}."
    )


_HIGH_LIMITS = {"fewer_in_time": 0.02, "dropped": 0.02, "least_saving": 0.5}
"""Shares of `[limits]` above which a percentage is likely to be meant."""


def setting_doubts(today: Mapping[str, float], limits: Mapping[str, float]) -> Iterator[str]:
    """Yield what is hard to believe about the settings of today's rule and about the limits, a line each.

    Args:
        today: The settings of today's rule, by name.
        limits: The shares of the table `[limits]`, by name.

    Example:
        >>> next(setting_doubts({}, {"fewer_in_time": 0.1}))
        'limits.fewer_in_time = 0.1 means 10 % of the requests; for 0.1 % write 0.001.'
    """
    target = today.get("target", 0)
    if target > 1:
        yield (
            f"target = {target:g} is {percent(target)} of capacity; if you mean the CPU request, write the share of "
            "what an instance can serve."
        )
    for name, highest in _HIGH_LIMITS.items():
        value = limits.get(name, 0)
        if value > highest:
            whole = "today's cost" if name == "least_saving" else "the requests"
            yield (
                f"limits.{name} = {value:g} means {percent(value)} of {whole}; for {value:g} % write {value / 100:g}."
            )


def today_drops(drop_share: float) -> Iterator[str]:
    """Yield a warning if today's rule drops many requests in the simulation."""
    if drop_share >= MANY_DROPPED:
        yield (
            f"In the simulation, today's rule drops {percent(drop_share)} of the requests. If your service does not, "
            "its rule, its capacity or its queue is not as the set-up says."
        )
