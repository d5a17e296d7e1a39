"""Figures of learning: learning curves, the policy of a Q-table, and the ideas behind DQN and PPO."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from autoscaler_env.evaluation.statistics import mean_interval
from autoscaler_env.plotting.style import ACTION_COLOURS, colour_of, new_figure, themed
from autoscaler_env.policies.q_learning import DecisionCells, QTable
from autoscaler_env.policies.registry import label_of
from autoscaler_env.traffic.workload import PATTERNS

_DASHES = ("--", ":", "-.")
"""The lines of rules: two settings of one rule have one colour, and other dashes."""

_AXES = {"timesteps": "timesteps", "seconds": "training time (seconds)"}


@themed
def plot_learning_curves(
    curves: Mapping[str, Sequence[pd.DataFrame]],
    references: Mapping[str, float] | None = None,
    title: str = "Learning curve",
    against: Sequence[str] = ("timesteps", "seconds"),
) -> Figure:
    """Draw the cost on selection days during training, in a panel against timesteps and one against seconds.

    The cost is minus the mean return of the curve. Several seeds of a learner are drawn as their mean with its 95 %
    interval, and each seed as a thin line. The axis of the costs covers the rules and the ends of the trainings. A
    first point far above them is left out and given as text, because it would hide the differences at the end.

    Args:
        curves: For each policy's name the curve of each seed (`Trained.curve`), all at the same timesteps.
        references: The cost of a rule on the same days by the rule's name, in dollars a day.
        title: The title of the figure; it should state the finding.
        against: The panels: `timesteps`, `seconds` or both.

    Returns:
        The figure.

    Raises:
        ValueError: There is no curve, a panel is unknown, or the seeds of a learner have different timesteps.
    """
    if not curves or not all(curves.values()) or not against or set(against) - set(_AXES):
        raise ValueError(
            f"curves of {list(curves)} against {list(against)}: must be at least one curve of each policy, against "
            "timesteps or seconds"
        )
    references = references or {}
    figure = new_figure(max(4.6 * len(against) + 0.4, 7.4), 3.8)  # the legend of a single panel needs this width
    panels = list(figure.subplots(1, len(against), sharey=True, squeeze=False).flat)
    ends = [-curve["mean_return"].iloc[1:] for seeds in curves.values() for curve in seeds if len(curve) > 1]
    floor, ceiling = _range_of([*references.values()], ends, len(curves))
    for axes, column in zip(panels, against, strict=True):
        for policy, seeds in curves.items():
            _draw_curves(axes, policy, seeds, column, ceiling)
        for (rule, mean), dashes in zip(references.items(), cycle(_DASHES), strict=False):
            axes.axhline(mean, color=colour_of(rule), linestyle=dashes, label=label_of(rule))
        axes.set_xlabel(_AXES[column])
        axes.margins(x=0.04)
        axes.set_xlim(left=0)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
        axes.locator_params(axis="x", nbins=5)
    panels[0].set_ylim(floor, ceiling)
    panels[0].set_ylabel("mean daily cost ($)")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels) if len(labels) < 4 else 2)
    figure.suptitle(title, x=0.01, ha="left")
    return figure


def _range_of(references: Sequence[float], ends: Sequence[pd.Series], starts: int) -> tuple[float | None, float | None]:
    """Return the ends of the axis, from the rules and the trained models; `None` without any of them.

    Above the rules there is space for the texts of some starts.
    """
    lows = [*references, *(float(end.min()) for end in ends)]
    highs = [*references, *(float(end.iloc[-1]) for end in ends)]
    if not lows:
        return None, None
    low, high = min(lows), max(highs)
    room = max(high - low, 0.05 * abs(high), 1e-9)
    return low - 0.15 * room, high + max(0.35, 0.2 * starts) * room


def _draw_curves(axes: Axes, policy: str, seeds: Sequence[pd.DataFrame], column: str, ceiling: float | None) -> None:
    timesteps = seeds[0]["timesteps"].to_numpy()
    if any(not np.array_equal(curve["timesteps"], timesteps) for curve in seeds):
        raise ValueError(f"curves of {policy!r}: all seeds must have the same timesteps")
    costs = -np.array([curve["mean_return"] for curve in seeds])
    x = np.mean([curve[column] for curve in seeds], axis=0)
    colour = colour_of(policy)
    _, means, lows, highs = np.array([mean_interval(column) for column in costs.T]).T
    if len(seeds) > 1:
        axes.fill_between(x, lows, highs, color=colour, alpha=0.2, linewidth=0)
        for curve, values in zip(seeds, costs, strict=True):
            axes.plot(curve[column], values, color=colour, linewidth=0.7, alpha=0.6)
    label = label_of(policy) + (f", mean of {len(seeds)} seeds, 95 % interval" if len(seeds) > 1 else "")
    axes.plot(x, means, color=colour, marker="o", markersize=4, linewidth=2, label=label)
    if ceiling is not None and means[0] > ceiling:
        axes.annotate(
            f"{label_of(policy)} untrained: {means[0]:,.0f}",
            (1, 1),
            (-6, -6 - 12 * len(axes.texts)),
            xycoords="axes fraction",
            textcoords="offset points",
            ha="right",
            va="top",
            color=colour,
            fontsize=9,
            zorder=4,
        )


@themed
def plot_q_policy(
    table: QTable, visits: NDArray[np.float64] | None = None, title: str = "Policy of the Q-table"
) -> Figure:
    """Draw the action of a Q-table in each cell, spare capacity against change of arrivals.

    Args:
        table: The table. If it also distinguishes levels of arrivals, or patterns, there is a column of panels for
            each. One over what a decision needs has the expected spare capacity in place of the change.
        visits: The number of visits of each cell, shape (cells,). Cells without a visit are blank, and a second row of
            panels shows the share of visits of the others. Without this argument every cell shows its action.
        title: The title of the figure; it should state the finding.

    Returns:
        The figure. All cells have the same size; the numbers at their borders are the limits of the cells.
    """
    grid = table.discretisation
    rows, columns, levels = grid.shape
    column_edges, column_label = (
        (grid.expected_spares, "fleet minus expected demand (instances)")
        if isinstance(grid, DecisionCells)
        else (grid.changes, "change of demand (instances)")
    )
    actions = np.argmax(table.values, axis=1).reshape(grid.shape)
    counts = None if visits is None else np.asarray(visits, dtype=np.float64).reshape(grid.shape)
    panels_down = 1 if counts is None else 2
    if levels == 1:  # side by side
        figure = new_figure(5.4 * panels_down, 5.2)
        panels = figure.subplots(1, panels_down, sharex=True, sharey=True, squeeze=False).T
    else:
        figure = new_figure(3.6 * levels + 1.0, 4.4 * panels_down)
        panels = figure.subplots(panels_down, levels, sharex=True, sharey=True, squeeze=False)
    for level in range(levels):
        seen = np.ones((rows, columns), dtype=bool) if counts is None else counts[:, :, level] > 0
        _draw_actions(panels[0, level], table, actions[:, :, level], seen)
        panels[0, level].set_title(_level_name(table, level) or "action (change of the fleet in instances)")
        if counts is not None:
            shares = 100 * counts / max(counts.sum(), 1)
            mesh = _draw_shares(panels[1, level], shares[:, :, level], shares)
            panels[1, level].set_title("" if levels > 1 else "share of steps in each cell")
            if level == levels - 1:
                figure.colorbar(mesh, ax=panels[1, level], label="share of steps (%)", format="{x:g}")
    for axes in panels.flat:
        axes.set_xticks(np.arange(1, columns), [f"{edge:g}" for edge in column_edges], fontsize=8)
        axes.set_yticks(np.arange(1, rows), [f"{edge:g}" for edge in grid.spare_capacities], fontsize=8)
        axes.tick_params(length=0)
        axes.grid(visible=False)
        axes.set_xlabel(column_label)
    for axes in panels[:, 0] if levels > 1 else panels[0]:
        axes.set_ylabel("spare capacity (instances)")
    handles = [Patch(color=colour, label=name) for name, colour in ACTION_COLOURS.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    figure.suptitle(title, x=0.01, ha="left")
    return figure


def _level_name(table: QTable, level: int) -> str:
    if isinstance(table.discretisation, DecisionCells):
        return PATTERNS[level]
    edges = table.discretisation.levels
    if not edges:
        return ""
    if level == 0:
        return f"arrivals below {100 * edges[0]:g} % of P"
    if level == len(edges):
        return f"arrivals from {100 * edges[-1]:g} % of P"
    return f"arrivals {100 * edges[level - 1]:g} to {100 * edges[level]:g} % of P"


def _draw_actions(axes: Axes, table: QTable, actions: NDArray[np.int64], seen: NDArray[np.bool_]) -> None:
    changes = np.array(table.service.fleet_changes)[actions]
    kinds = np.ma.masked_where(~seen, np.sign(changes) + 1)
    axes.pcolormesh(
        kinds, cmap=ListedColormap(list(ACTION_COLOURS.values())), vmin=0, vmax=2, edgecolor="white", linewidth=0.8
    )
    for (row, column), change in np.ndenumerate(changes):
        if seen[row, column]:
            text = f"{change:+d}" if change else "0"
            colour = "#555555" if change == 0 else "white"
            axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=8, color=colour)


def _draw_shares(axes: Axes, shares: NDArray[np.float64], everywhere: NDArray[np.float64]) -> QuadMesh:
    present = everywhere[everywhere > 0]
    low, high = (float(present.min()), float(present.max())) if len(present) else (0.1, 1.0)
    norm = LogNorm(min(low, 0.99 * high), high)
    greys = ListedColormap(colormaps["Greys"](np.linspace(0.12, 1, 256)))  # white is reserved for cells without a visit
    return axes.pcolormesh(np.ma.masked_less_equal(shares, 0), cmap=greys, norm=norm, edgecolor="white", linewidth=0.8)


@themed
def plot_reward_spread(rewards: Mapping[str, NDArray[np.float64]], title: str = "Spread of the rewards") -> Figure:
    """Draw histograms of rewards below each other, on one scale.

    Args:
        rewards: Rewards in dollars by a label, in arrays of any shape.
        title: The title of the figure; it should state the finding.

    Returns:
        The figure; the title of each panel has the standard deviation.
    """
    figure = new_figure(8.0, 1.7 * len(rewards) + 0.8)
    panels = list(figure.subplots(len(rewards), 1, sharex=True, squeeze=False).flat)
    everything = np.concatenate([np.ravel(values) for values in rewards.values()])
    bins = np.linspace(everything.min(), everything.max(), 61)
    for axes, (name, values) in zip(panels, rewards.items(), strict=True):
        weights = np.full(np.size(values), 100 / np.size(values))
        axes.hist(np.ravel(values), bins, weights=weights, color="#44546A")
        axes.set_title(f"{name}: standard deviation ${np.std(values):.2f}", fontsize=10)
        axes.set_ylabel("share (%)")
    panels[-1].set_xlabel("sum of the rewards of a day ($)")
    figure.suptitle(title, x=0.01, ha="left")
    return figure


@themed
def plot_clipped_objective(
    ratios: NDArray[np.float64],
    objectives: Mapping[float, NDArray[np.float64]],
    clip: float,
    title: str = "PPO's clipped objective",
) -> Figure:
    """Draw PPO's objective for one action against the ratio of its new to its old probability.

    Args:
        ratios: New probability over old probability, shape (n,).
        objectives: The objective at each ratio, shape (n,), by the action's advantage.
        clip: The clip range: the objective stops rewarding a change of the ratio beyond 1 - clip or 1 + clip.
        title: The title of the figure; it should state the finding.

    Returns:
        The figure; a panel per advantage, with the unclipped objective as a dashed line.
    """
    figure = new_figure(4.2 * len(objectives), 3.4)
    panels = list(figure.subplots(1, len(objectives), sharex=True, squeeze=False).flat)
    for axes, (advantage, values) in zip(panels, objectives.items(), strict=True):
        axes.axvspan(1 - clip, 1 + clip, color="#EFEFEF", zorder=0)
        axes.plot(ratios, ratios * advantage, color="#888888", linestyle="--", label="ratio x advantage")
        axes.plot(ratios, values, color=colour_of("ppo"), linewidth=2.2, label="clipped")
        axes.plot([1], [advantage], "o", color="#222222", markersize=5)
        axes.set_title(f"advantage {advantage:+g}: a {'better' if advantage > 0 else 'worse'} action than usual")
        axes.set_xlabel("new probability / old probability")
    panels[0].set_ylabel("objective")
    panels[0].legend(loc="upper left")
    figure.suptitle(title, x=0.01, ha="left")
    return figure


@themed
def plot_tried_values(trials: pd.DataFrame, setting: str, title: str = "Trials") -> Figure:
    """Draw what trainings with several values of one setting cost: a point for each training, a line for their means.

    Args:
        trials: What `training.lab.try_values` returns.
        setting: The name of the setting, for the axis.
        title: The title of the figure; it should state the finding.

    Returns:
        The figure; the values are at equal distances, in their order.
    """
    figure = new_figure(6.4, 3.6)
    axes = figure.subplots()
    values = trials["value"].unique().tolist()
    groups = [trials.loc[trials["value"] == value, "cost"].to_numpy() for value in values]
    for place, costs in enumerate(groups):
        axes.plot(np.full(len(costs), place), costs, "o", color="#44546A", label="one training" if not place else None)
    means = [costs.mean() for costs in groups]
    axes.plot(range(len(means)), means, "_-", color=colour_of("ppo"), markersize=24, label="mean")
    axes.set_xticks(range(len(means)), [f"{value:g}" for value in values])
    axes.margins(x=0.15)
    axes.set_xlabel(setting)
    axes.set_ylabel("daily cost at the end ($)")
    axes.legend()
    axes.set_title(title)
    return figure


@themed
def plot_update_times(times: pd.DataFrame, title: str = "Time of one update") -> Figure:
    """Draw the time of one update on each device, by the width of the network.

    Args:
        times: Columns device, width (units of a hidden layer) and milliseconds (of one update).
        title: The title of the figure; it should state the finding.

    Returns:
        The figure; both axes are logarithmic.
    """
    figure = new_figure(6.4, 3.6)
    axes = figure.subplots()
    for (device, rows), marker in zip(times.groupby("device", sort=False), "osD^", strict=False):
        axes.plot(rows["width"], rows["milliseconds"], marker=marker, label=device)
        for row in rows.itertuples():
            note = f"{row.milliseconds:,.3g}"
            axes.annotate(note, (row.width, row.milliseconds), (6, -11), textcoords="offset points", fontsize=8)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(times["width"].unique(), [f"{width:,}" for width in times["width"].unique()])
    axes.minorticks_off()
    axes.margins(x=0.12, y=0.15)
    axes.set_xlabel("width of the two hidden layers (units)")
    axes.set_ylabel("time of one update (milliseconds)")
    axes.legend(title="device")
    axes.set_title(title)
    return figure
