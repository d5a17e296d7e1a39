"""The figures of an answer: what each policy costs, and the worst day of today's rule; for light or dark paper."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from autoscaler_env.evaluation.simulation import Trajectory
from autoscaler_env.plotting.days import plot_side_by_side
from autoscaler_env.plotting.style import DEMAND_COLOUR, Theme, colour_of, new_figure, shade, theme, themed

NARROW = 6.0
"""Width in inches below which a figure is for a phone."""

_LETTERS_PER_INCH = 10.5
"""Letters of a title that fit into an inch, at the size of titles."""


def plot_policy_costs(
    costs: pd.DataFrame,
    optimum: float | None = None,
    recommended: str | None = None,
    title: str = "What a day would cost",
    width: float = 9.0,
    paper: Theme = "light",
) -> Figure:
    """Draw the mean cost of each policy as a bar with its 95 % interval, and the optimum as a line.

    Args:
        costs: Indexed by policy, from the top: label (text), cost, low, high ($ a day).
        optimum: The cost of the optimum, in $ a day; no line by default.
        recommended: The policy whose label and number are bold.
        title: The title; it is wrapped to the width.
        width: Width of the figure, in inches; below `NARROW` it suits a phone.
        paper: The theme.

    Returns:
        The figure; dollars a day.
    """
    with theme(paper):
        return _plot_policy_costs(costs, optimum, recommended, title, width)


@themed
def _plot_policy_costs(
    costs: pd.DataFrame, optimum: float | None, recommended: str | None, title: str, width: float
) -> Figure:
    narrow = width < NARROW
    figure = new_figure(width, 1.25 + 0.3 * len(costs) + (0.2 if narrow else 0))
    axes = figure.subplots()
    places = range(len(costs))
    ends = [costs["cost"] - costs["low"].clip(lower=0), costs["high"] - costs["cost"]]
    axes.barh(
        places,
        costs["cost"],
        xerr=ends,
        color=[colour_of(name) for name in costs.index],
        height=0.68,
        error_kw={"ecolor": shade(DEMAND_COLOUR), "linewidth": 1.2, "capsize": 2.5},
    )
    longest = float(costs["high"].max())
    for place, (name, row) in zip(places, costs.iterrows(), strict=True):
        weight = "bold" if name == recommended else "normal"
        axes.text(row["high"] + 0.02 * longest, place, f"${row['cost']:,.2f}", va="center", fontsize=9, weight=weight)
    axes.set_yticks(places, costs["label"])
    for tick, name in zip(axes.get_yticklabels(), costs.index, strict=True):
        tick.set_fontweight("bold" if name == recommended else "normal")
    if optimum is not None:
        axes.axvline(
            optimum, color=shade(DEMAND_COLOUR), linestyle="--", linewidth=1.2, label=f"optimum ${optimum:,.2f}"
        )
        figure.legend(loc="outside lower center" if narrow else "outside upper right", fontsize=9)
    axes.set(ylim=(len(costs) - 0.4, -0.6), xlim=(0, (1.4 if narrow else 1.16) * longest))
    axes.set_xlabel(
        "mean cost ($ a day), 95 % interval" if narrow else "mean cost ($ a day), with its 95 % interval over days"
    )
    axes.grid(axis="y", visible=False)
    # On a wide figure the legend stands beside the title, and takes about two inches.
    room = width if narrow or optimum is None else width - 2
    figure.suptitle(_wrapped(title, room), x=0.01, ha="left")
    return figure


def plot_worst_day(
    trajectories: Mapping[str, Trajectory],
    day: int,
    title: str,
    width: float = 9.6,
    height: float = 5.6,
    paper: Theme = "light",
) -> Figure:
    """Draw the worst day of today's rule, a column per policy.

    Args:
        trajectories: What happened, by the policy's name in tables; one or two.
        day: Which day of the trajectories.
        title: The title; it is wrapped to the width.
        width: Width of the figure, in inches.
        height: Height of the figure, in inches.
        paper: The theme.

    Returns:
        The figure of `plot_side_by_side`, in this size.
    """
    with theme(paper):
        return _plot_worst_day(trajectories, day, title, width, height)


@themed
def _plot_worst_day(
    trajectories: Mapping[str, Trajectory], day: int, title: str, width: float, height: float
) -> Figure:
    figure = plot_side_by_side(trajectories, day, _wrapped(title, width))
    figure.set_size_inches(width, height)
    if width < NARROW:  # the legend of the fleet is wider than the panel
        fleet = figure.axes[0]
        if (legend := fleet.get_legend()) is not None:
            legend.remove()
        figure.legend(*fleet.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=9)
    return figure


def _wrapped(title: str, width: float) -> str:
    return textwrap.fill(title, int(_LETTERS_PER_INCH * width))
