"""Figures that compare cost meters: two ways to compute the cost of the same service."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from autoscaler_env.plotting.style import colour_of, new_figure, themed
from autoscaler_env.policies.registry import label_of

BY_HAND = "by hand"
"""The name of a reading that was computed by hand; it is a dashed line over the others."""

_METER_COLOURS = ("#44546A", "#A4243B", "#8C6D31")


@themed
def plot_readings(
    readings: Mapping[str, NDArray[np.float64]],
    step_seconds: int,
    title: str = "Readings of the meters",
    xlabel: str = "hour of the day",
    log: bool = False,
) -> Figure:
    """Draw the cost so far by each meter as a step function.

    Args:
        readings: The cost so far at the end of each step in dollars, shape (steps,), by the meter's name. The reading
            `BY_HAND` is dashed and on top.
        step_seconds: Length of a step, in seconds.
        title: The title of the figure; it should state the finding.
        xlabel: The label of the hours.
        log: Whether the axis of the dollars is logarithmic; it starts at the smallest reading above 0.

    Returns:
        The figure; dollars against hours. A logarithmic axis has no readings of 0.

    Raises:
        ValueError: There is no reading, or the readings differ in length.
    """
    lengths = {len(dollars) for dollars in readings.values()}
    if len(lengths) != 1:
        raise ValueError(f"readings of {list(readings)}: must be at least one, all of the same length")
    hours = np.arange(lengths.pop() + 1) * step_seconds / 3600
    figure = new_figure(8.0, 3.8)
    axes = figure.subplots()
    colours = iter(_METER_COLOURS * len(readings))
    for name, dollars in readings.items():
        counted = np.concatenate([[0.0], dollars])
        shown = np.ma.masked_less_equal(counted, 0) if log else counted
        if name == BY_HAND:
            axes.plot(hours, shown, color="#222222", linestyle="--", linewidth=1.3, label=name, zorder=3)
        else:
            axes.step(hours, shown, where="post", color=next(colours), linewidth=2.2, label=name)
    if log:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    else:
        axes.set_ylim(bottom=0)
    axes.set_xlim(0, hours[-1])
    if hours[-1] == 24:
        axes.set_xticks(range(0, 25, 6))
    axes.set(xlabel=xlabel, ylabel="cost so far ($)")
    axes.set_title(title, parse_math=False)  # two dollar signs are two prices, not a formula
    axes.legend(loc="upper left")
    return figure


@themed
def plot_rankings(summaries: Mapping[str, pd.DataFrame], title: str = "Ranking of the policies by meter") -> Figure:
    """Draw the mean daily cost of each policy by each meter, a panel per meter with its own scale.

    Args:
        summaries: The result of `summarise` for one pattern or the mean, by the meter's name. Each has the same
            policies in the same order, which is also the order of the figure.
        title: The title of the figure; it should state the finding.

    Returns:
        The figure; each bar has its 95 % interval over days and its rank; the cheapest policy has rank 1.

    Raises:
        ValueError: The summaries have different policies or orders.
    """
    policies = [list(summary.index.get_level_values("policy")) for summary in summaries.values()]
    if not policies or any(names != policies[0] for names in policies):
        raise ValueError(f"summaries of {list(summaries)}: must have the same policies, in the same order")
    figure = new_figure(4.4 * len(summaries) + 0.6, 0.42 * len(policies[0]) + 1.4)
    panels = list(figure.subplots(1, len(summaries), sharey=True, squeeze=False).flat)
    places = range(len(policies[0]))
    for axes, (meter, summary) in zip(panels, summaries.items(), strict=True):
        ends = [summary["cost"] - summary["cost_low"], summary["cost_high"] - summary["cost"]]
        colours = [colour_of(policy) for policy in policies[0]]
        axes.barh(places, summary["cost"], xerr=ends, color=colours, height=0.7, error_kw={"capsize": 2.5})
        longest = summary["cost_high"].max()
        ranks = summary["cost"].rank().astype(int)
        for place, cost, high, rank in zip(places, summary["cost"], summary["cost_high"], ranks, strict=True):
            axes.text(high + 0.02 * longest, place, f"{rank}:  ${cost:,.0f}", va="center", fontsize=9)
        axes.set_xlim(0, 1.32 * longest)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
        axes.locator_params(axis="x", nbins=4)
        axes.grid(axis="y", visible=False)
        axes.set_title(meter)
    panels[0].set_yticks(places, [label_of(policy) for policy in policies[0]])
    panels[0].set_ylim(len(policies[0]) - 0.4, -0.6)
    figure.supxlabel("rank (1: the cheapest) and mean daily cost ($), with its 95 % interval over days", fontsize=10)
    figure.suptitle(title, x=0.01, ha="left", parse_math=False)
    return figure
