"""Figures of the distance to what is possible: cost items, foresight, the best actions, and lateness against cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from autoscaler_env.plotting.comparison import names_in, policy_panels
from autoscaler_env.plotting.style import (
    ACTION_COLOURS,
    DEMAND_COLOUR,
    ITEM_COLOURS,
    ITEM_LABELS,
    colour_of,
    new_figure,
    shade,
    themed,
)
from autoscaler_env.policies.oracle import Optimum
from autoscaler_env.policies.registry import CALIBRATED, label_of
from autoscaler_env.service import Service

_LINE = 0.075
"""The height of a label beside a scatter plot, as a share of the panel's height."""


@themed
def plot_losses(
    losses: pd.DataFrame, regrets: pd.DataFrame, title: str = "Daily cost above the optimum, by item"
) -> Figure:
    """Draw the daily cost of each policy above the optimum by item, a panel per pattern.

    Args:
        losses: The result of `losses`.
        regrets: The result of `regret` for the same days.
        title: The title of the figure; it should state the finding.

    Returns:
        The figure. An item lies to the right of zero if the policy pays more for it than the optimum, and to the left
        if it pays less. The diamond and the number are the regret, with its 95 % interval over days.
    """
    patterns = names_in(losses, "pattern")
    figure, panels = policy_panels(len(patterns), names_in(losses, "policy"), title, sharex=True)
    farthest = 0.0
    for axes, pattern in zip(panels, patterns, strict=True):
        rows = _of(losses, pattern)
        _stack(axes, rows)
        totals = _of(regrets, pattern).loc[rows.index]
        places = np.arange(len(totals))
        ends = [totals["regret"] - totals["low"], totals["high"] - totals["regret"]]
        style: dict[str, Any] = {"fmt": "D", "color": "black", "markersize": 3.5, "capsize": 2, "linewidth": 1}
        axes.errorbar(totals["regret"], places, xerr=ends, label="regret, 95 % interval", **style)
        beyond = np.maximum(rows.clip(lower=0).sum(axis=1), totals["high"])
        farthest = max(farthest, float(beyond.max()))
        for place, end, total in zip(places, beyond, totals["regret"], strict=True):
            axes.annotate(f"{total:.1f}", (end, place), (4, 0), textcoords="offset points", va="center", fontsize=8)
        axes.axvline(0, color="#444444", linewidth=1)
        axes.set_title("" if len(patterns) == 1 else pattern)
    panels[0].set_xlim(right=1.2 * farthest)
    lowest = panels[-3:]
    lowest[len(lowest) // 2].set_xlabel("daily cost above the optimum ($)")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


@themed
def plot_decisions(actions: NDArray[np.int64], service: Service, title: str = "The cheapest action") -> Figure:
    """Draw the cheapest action by the last arrivals and the instances that are ready.

    Args:
        actions: Indices into `service.fleet_changes`, which are -1, 0 and 1; shape (arrivals, instances), from 0 on.
        service: Says how many requests an instance serves, and which fleets there are.
        title: The title of the figure; it should state the finding.

    Returns:
        The figure. On the dashed line the instances can serve exactly as many requests as came last.
    """
    figure = new_figure(7.0, 4.2)
    axes = figure.subplots()
    colours = ListedColormap(list(ACTION_COLOURS.values()))
    axes.imshow(actions.T, origin="lower", cmap=colours, vmin=0, vmax=2, aspect="auto")
    arrivals = np.arange(len(actions))
    demand = arrivals / service.capacity_per_instance
    axes.plot(arrivals, demand, color=shade(DEMAND_COLOUR), linestyle="--", label="demand")
    handles = [Patch(color=colour, label=name) for name, colour in ACTION_COLOURS.items()]
    figure.legend(handles=[*handles, *axes.get_lines()], loc="outside lower center", ncols=4)
    axes.set(xlabel="requests in the last step", ylabel="instances that are ready", title=title)
    axes.set_ylim(service.min_instances - 0.5, service.max_instances + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(visible=False)
    return figure


BRANCH_COLOURS = ACTION_COLOURS | {"hold": "#777777"}
"""A colour per branch: those of the actions, but a line needs a darker grey."""


@themed
def plot_branches(
    scenes: Mapping[str, NDArray[np.float64]], first: int, service: Service, title: str = "One step, three actions"
) -> Figure:
    """Draw what follows three actions in one step of a day, a column for each scene.

    Args:
        scenes: By the title of the column: fleet, queue, cost ($) and arrivals of each step, shape (4, actions, steps);
            the actions are remove, hold and add.
        first: The step in which they differ.
        service: Says how long a step is.
        title: The title of the figure; it should state the finding.

    Returns:
        The figure: fleets above, arrivals below, from an hour before the step to four hours after it. The legend of a
        column has what each branch costs more than hold until the end of the day.
    """
    figure = new_figure(5.0 * len(scenes) + 0.5, 5.2)
    panels = figure.subplots(2, len(scenes), sharex=True, sharey="row", squeeze=False)
    hour = 3600 / service.step_seconds
    shown = slice(max(first - round(hour), 0), first + round(4 * hour))
    for (above, below), (name, (fleet, _, cost, arrivals)) in zip(panels.T, scenes.items(), strict=True):
        hours = np.arange(fleet.shape[1])[shown] / hour
        more = cost.sum(axis=1) - cost[1].sum()
        for action, (word, colour) in enumerate(BRANCH_COLOURS.items()):
            label = word if action == 1 else f"{word}: {'+' if more[action] > 0 else '-'}\\${abs(more[action]):.2f}"
            style = {"drawstyle": "steps-post", "color": shade(colour), "label": label, "linewidth": 1.8 - 0.4 * action}
            above.plot(hours, fleet[action, shown], **style)
            below.plot(hours, arrivals[action, shown], **style)
        above.axvline(first / hour, color="#999999", linestyle=":", linewidth=1)
        above.legend(title="cost against hold", loc="upper left")
        above.set_title(name)
        below.set_xlabel("hour of the day")
    panels[0, 0].set_ylabel("fleet (instances)")
    panels[1, 0].set_ylabel("requests that come in")
    figure.suptitle(title, x=0.01, ha="left")
    return figure


def _of(table: pd.DataFrame, pattern: str) -> pd.DataFrame:
    """Return the rows of a pattern, by policy."""
    return table[table.index.get_level_values("pattern") == pattern].droplevel("pattern")


def _stack(axes: Axes, rows: pd.DataFrame) -> None:
    """Draw the items of each row as stacked bars: positive items from zero to the right, negative ones to the left."""
    right, left = np.zeros(len(rows)), np.zeros(len(rows))
    for item, colour in ITEM_COLOURS.items():
        widths = rows[item].to_numpy()
        starts = np.where(widths >= 0, right, left)
        axes.barh(range(len(rows)), widths, left=starts, color=colour, height=0.7, label=ITEM_LABELS[item])
        right, left = right + widths.clip(min=0), left + widths.clip(max=0)


@themed
def plot_frontier(summary: pd.DataFrame, title: str = "Lateness and cost") -> Figure:
    """Draw the daily cost of each policy against the share of requests that are late or dropped, a panel per pattern.

    Args:
        summary: The result of `summarise`. The policy `optimum` is drawn as a star and is not part of the frontier,
            because it needs the whole day in advance.
        title: The title of the figure; it should state the finding.

    Returns:
        The figure; the cost has its 95 % interval over days. Squares are rules calibrated once for all patterns, which
        have the colour of the rule with its usual setting. The dashed line joins the Pareto-optimal policies: no
        other policy is both cheaper and less late.
    """
    patterns = names_in(summary, "pattern")
    columns = min(2, len(patterns))
    lines = -(-len(patterns) // columns)
    figure = new_figure(8.0 if columns == 1 else 11.0, 4.2 * lines + 0.4)
    panels = list(figure.subplots(lines, columns, squeeze=False).flat)
    for axes in panels[len(patterns) :]:
        axes.remove()
    for axes, pattern in zip(panels, patterns, strict=False):
        _scatter(axes, _of(summary, pattern))
        axes.set_title("" if len(patterns) == 1 else pattern)
    for axes in panels[: len(patterns) : columns]:
        axes.set_ylabel("mean daily cost ($)")
    figure.supxlabel("late or dropped (% of the requests); squares: one calibrated setting", fontsize=10)
    figure.suptitle(title, x=0.01, ha="left")
    return figure


def _scatter(axes: Axes, rows: pd.DataFrame) -> None:
    """Draw a point per policy with its label beside the panel, and the line through the Pareto-optimal policies."""
    late = 100 * (1 - rows["in_time"])
    deployable = [policy for policy in rows.index if policy != Optimum.name]
    best = frontier(late[deployable], rows["cost"][deployable])
    axes.plot(late[best], rows["cost"][best], color="#444444", linestyle="--", linewidth=1, zorder=1)
    for policy in rows.index:
        row = rows.loc[policy]
        ends = [[row["cost"] - row["cost_low"]], [row["cost_high"] - row["cost"]]]
        marker, size = ("*", 13) if policy == Optimum.name else ("s", 6) if _is_one_setting(policy) else ("o", 7)
        axes.errorbar(
            late[policy], row["cost"], yerr=ends, fmt=marker, color=colour_of(policy), markersize=size,
            markeredgecolor="white", markeredgewidth=0.6, capsize=2, linewidth=1,
        )  # fmt: skip
    axes.margins(0.08)
    axes.autoscale_view()
    axes.set_xlim(left=0)
    bottom, top = axes.get_ylim()
    heights = ((rows["cost"] - bottom) / (top - bottom)).sort_values()
    for policy, height in zip(heights.index, spread(heights.to_numpy(), _LINE), strict=True):
        colour = colour_of(policy)
        axes.annotate(
            label_of(policy), (late[policy], rows["cost"][policy]), (1.04, height), textcoords="axes fraction",
            va="center", fontsize=9, fontweight="bold" if policy in best else "normal",
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.8, "shrinkB": 4, "relpos": (0, 0.5)},
        )  # fmt: skip


def _is_one_setting(policy: str) -> bool:
    """Return whether a policy is a rule calibrated once for all patterns, which has the colour of the usual rule."""
    return policy.removesuffix("-mixed") in CALIBRATED and policy.endswith("-mixed")


def frontier(late: pd.Series, cost: pd.Series) -> list[str]:
    """Return the Pareto-optimal policies, by lateness: no other policy is both cheaper and less late.

    Args:
        late: Share of late or dropped requests by policy; lower is better.
        cost: Cost by policy; lower is better.

    Example:
        >>> names = ["prompt", "cheap", "late and expensive"]
        >>> frontier(pd.Series([1, 5, 6], names), pd.Series([9.0, 3.0, 4.0], names))
        ['prompt', 'cheap']
    """
    table = pd.DataFrame({"late": late, "cost": cost}).sort_values(["late", "cost"])
    cheaper_than_all_before = table["cost"] < table["cost"].cummin().shift(fill_value=float("inf"))
    return list(table.index[cheaper_than_all_before])


def spread(places: Sequence[float] | NDArray[np.float64], gap: float) -> NDArray[np.float64]:
    """Move positions apart until neighbours keep a distance, with the least sum of squared movements.

    Args:
        places: The positions, in rising order.
        gap: The least distance between neighbours, in the same unit.

    Example:
        >>> spread([0.0, 1.0, 1.0], 0.2).round(2).tolist()
        [0.0, 0.9, 1.1]
    """
    offsets = gap * np.arange(len(places))
    return np.asarray(isotonic_regression(np.asarray(places) - offsets).x) + offsets
