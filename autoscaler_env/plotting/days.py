"""Figures of single days: the arrivals, and the fleet, the queue and the cost under a policy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from autoscaler_env.evaluation.simulation import Trajectory
from autoscaler_env.plotting.style import (
    DEMAND_COLOUR,
    ITEM_COLOURS,
    ITEM_LABELS,
    QUEUE_COLOUR,
    colour_of,
    new_figure,
    shade,
    themed,
)
from autoscaler_env.policies.registry import label_of
from autoscaler_env.service import Service
from autoscaler_env.traffic.patterns import PATTERN_MEANING

MANY_DOLLARS = 10_000
"""Costs from which on an axis writes them out with commas, and not as a multiple of a power of ten."""

_DAY_COLOURS = ("#222222", "#0072B2", "#E69F00", "#009E73", "#CC79A7")


@themed
def plot_patterns(days: Mapping[str, NDArray[np.int64]], service: Service, title: str = "Patterns") -> Figure:
    """Draw a few days of each pattern, a panel per pattern.

    Args:
        days: Arrivals by the pattern's name, shape (n, steps); one to five days per pattern look best.
        service: Defines the length of a step and P, the level that patterns are scaled by.
        title: The title of the figure; it should state the finding.

    Returns:
        The figure; arrivals against the hour of the day, with a dotted line at P.
    """
    columns = min(3, len(days))
    rows = -(-len(days) // columns)
    figure = new_figure(3.2 * columns, 2.3 * rows + 0.5)
    panels = list(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat)
    for axes, (name, drawn) in zip(panels, days.items(), strict=False):
        for day, colour in zip(drawn, _DAY_COLOURS * len(drawn), strict=False):
            axes.stairs(day, _hours(service), color=colour, linewidth=1.1, baseline=None)
        axes.axhline(service.peak_arrivals, color="#888888", linestyle=":", linewidth=1)
        axes.set_title(f"{name}\n{PATTERN_MEANING.get(name, '')}".rstrip(), fontsize=10)
        _hour_axis(axes, service, label=False)
    panels[0].yaxis.set_major_formatter("{x:,.0f}")
    for axes in panels[len(days) :]:
        axes.remove()
    figure.suptitle(title, x=0.01, ha="left")
    figure.supxlabel("hour of the day", fontsize=10)
    figure.supylabel("arrivals (requests per step); dotted: P = peak_arrivals", fontsize=9)
    return figure


@themed
def plot_day(trajectory: Trajectory, policy: str, day: int = 0, title: str | None = None) -> Figure:
    """Draw one day of one policy: demand and fleet, queue, and cost so far by item.

    Args:
        trajectory: The result of `simulate`.
        policy: The policy's name in tables.
        day: The number of the day in the trajectory.
        title: The title of the figure; it should state the finding. The policy's label by default.

    Returns:
        The figure; three panels over the hours of the day.
    """
    return plot_side_by_side({policy: trajectory}, day, title or f"One day with {label_of(policy)}")


@themed
def plot_side_by_side(trajectories: Mapping[str, Trajectory], day: int = 0, title: str = "The same day") -> Figure:
    """Draw the same day under several policies, a column per policy, with one scale per row.

    Args:
        trajectories: The result of `simulate` by the policy's name in tables; two or three policies fit.
        day: The number of the day in the trajectories.
        title: The title of the figure; it should state the finding.

    Returns:
        The figure; the rows are demand and fleet (instances), queue (requests), and cost so far by item ($).

    Raises:
        ValueError: The arrivals of the day differ between the policies.
    """
    arrivals = [trajectory.arrivals[day] for trajectory in trajectories.values()]
    if not all(np.array_equal(others, arrivals[0]) for others in arrivals):
        raise ValueError(f"day = {day}: the policies have different arrivals; simulate all of them on the same days")
    width = 9.0 if len(trajectories) == 1 else 1 + 4.3 * len(trajectories)
    figure = new_figure(width, 5.6)
    panels = figure.subplots(
        3, len(trajectories), sharex=True, sharey="row", squeeze=False, height_ratios=[3, 1.3, 1.6]
    )
    for column, (policy, trajectory) in enumerate(trajectories.items()):
        _draw_fleet(panels[0, column], trajectory, day, policy)
        _draw_queue(panels[1, column], trajectory, day)
        _draw_cost(panels[2, column], trajectory, day)
        if len(trajectories) > 1:
            panels[0, column].set_title(f"{label_of(policy)}: ${trajectory.cost[day].sum():,.0f}")
        panels[0, column].legend(loc="upper left", ncols=2, fontsize=9)
        panels[2, column].set_xlabel("hour of the day")
    panels[2, 0].legend(loc="upper left", fontsize=9)
    panels[0, 0].set(ylim=(0, 1.18 * max(_highest(trajectories.values(), day))))
    longest = max(int(trajectory.queue[day].max()) for trajectory in trajectories.values())
    highest_cost = max(float(trajectory.cost[day].sum()) for trajectory in trajectories.values())
    panels[1, 0].set_ylim(0, max(100, 1.1 * longest))
    panels[2, 0].set_ylim(0, max(1, 1.1 * highest_cost))
    for axes, label in zip(panels[:, 0], ("fleet\n(instances)", "queue\n(requests)", "cost so far ($)"), strict=True):
        axes.set_ylabel(label)
    panels[1, 0].yaxis.set_major_formatter("{x:,.0f}")
    if highest_cost >= MANY_DOLLARS:
        panels[2, 0].yaxis.set_major_formatter("{x:,.10g}")
    figure.align_ylabels()
    figure.suptitle(title, x=0.01, ha="left")
    return figure


def _hours(service: Service) -> NDArray[np.float64]:
    """Return the hours at which the steps of a day start and end, shape (steps + 1,)."""
    return np.arange(service.steps_per_episode + 1) * service.step_seconds / 3600


def _hour_axis(axes: Axes, service: Service, label: bool = True) -> None:
    hours = _hours(service)[-1]
    axes.set_xlim(0, hours)
    if hours == 24:
        axes.set_xticks(range(0, 25, 6))
    if label:
        axes.set_xlabel("hour of the day")


def _highest(trajectories: Iterable[Trajectory], day: int) -> list[float]:
    """Return, per trajectory, the highest demand or fleet of the day, in instances."""
    return [
        float(
            max(
                trajectory.fleet[day].max(),
                (trajectory.arrivals[day] / trajectory.service.capacity_per_instance).max(),
                1,
            )
        )
        for trajectory in trajectories
    ]


def _draw_fleet(axes: Axes, trajectory: Trajectory, day: int, policy: str) -> None:
    hours = _hours(trajectory.service)
    demand = trajectory.arrivals[day] / trajectory.service.capacity_per_instance
    axes.stairs(trajectory.fleet[day], hours, color=colour_of(policy), alpha=0.25, fill=True)
    axes.stairs(trajectory.fleet[day], hours, color=colour_of(policy), linewidth=1.6, label="fleet, ready or booting")
    axes.stairs(demand, hours, color=shade(DEMAND_COLOUR), linewidth=1.0, baseline=None, label="demand, in instances")
    _hour_axis(axes, trajectory.service, label=False)


def _draw_queue(axes: Axes, trajectory: Trajectory, day: int) -> None:
    axes.stairs(trajectory.queue[day], _hours(trajectory.service), color=QUEUE_COLOUR, fill=True)


def _draw_cost(axes: Axes, trajectory: Trajectory, day: int) -> None:
    items = [np.insert(np.cumsum(getattr(trajectory, item)[day]), 0, 0.0) for item in ITEM_COLOURS]
    colours = [shade(colour) for colour in ITEM_COLOURS.values()]
    axes.stackplot(_hours(trajectory.service), items, colors=colours, labels=list(ITEM_LABELS.values()))
    axes.set_ylim(bottom=0)
