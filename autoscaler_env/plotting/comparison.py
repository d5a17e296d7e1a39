"""Figures that compare policies: costs, savings, spread over days, operating regions and scaling actions."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from autoscaler_env.evaluation.simulation import Trajectory
from autoscaler_env.plotting.style import ITEM_COLOURS, ITEM_LABELS, colour_of, new_figure, themed
from autoscaler_env.policies.registry import label_of


@themed
def plot_costs(summary: pd.DataFrame, title: str = "Mean daily cost") -> Figure:
    """Draw the mean daily cost of each policy as a bar with its 95 % interval over days, a panel per pattern.

    Args:
        summary: The result of `summarise`.
        title: The title of the figure; it should state the finding.

    Returns:
        The figure; the policies are in the order of the summary.
    """
    patterns = names_in(summary, "pattern")
    figure, panels = policy_panels(len(patterns), names_in(summary, "policy"), title, sharex=True)
    for axes, pattern in zip(panels, patterns, strict=True):
        rows = summary.xs(pattern, level="pattern")
        _bars(axes, rows["cost"], rows["cost_low"], rows["cost_high"], "${:,.1f}")
        axes.set_title("" if len(patterns) == 1 else pattern)
    figure.supxlabel("mean daily cost ($), with its 95 % interval over days", fontsize=10)
    return figure


@themed
def plot_cost_items(summary: pd.DataFrame, title: str = "Where the dollars go") -> Figure:
    """Draw the daily cost of each policy as stacked bars of instances, lateness and drops, a panel per pattern.

    Args:
        summary: The result of `summarise`.
        title: The title of the figure; it should state the finding.

    Returns:
        The figure.
    """
    patterns = names_in(summary, "pattern")
    figure, panels = policy_panels(len(patterns), names_in(summary, "policy"), title, sharex=True)
    for axes, pattern in zip(panels, patterns, strict=True):
        rows = summary.xs(pattern, level="pattern")
        left = np.zeros(len(rows))
        for item, colour in ITEM_COLOURS.items():
            axes.barh(range(len(rows)), rows[item], left=left, color=colour, height=0.7, label=ITEM_LABELS[item])
            left += rows[item].to_numpy()
        axes.set_title("" if len(patterns) == 1 else pattern)
    handles, labels = panels[0].get_legend_handles_labels()
    for axes in panels[-3:]:
        axes.set_xlabel("mean daily cost ($)")
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


@themed
def plot_savings(savings: pd.DataFrame, against: str, title: str = "Daily saving", apart: Sequence[str] = ()) -> Figure:
    """Draw the daily saving of each policy against another one as points with 95 % intervals, a row per pattern.

    Args:
        savings: The result of `savings`; `pandas.concat` stacks several of them.
        against: The name of the policy that the others are compared with.
        title: The title of the figure; it should state the finding.
        apart: Patterns for a panel of their own below the others, with its own scale: those with far larger savings.

    Returns:
        The figure; points to the right of zero are cheaper than the other policy.
    """
    policies, patterns = names_in(savings, "policy"), names_in(savings, "pattern")
    groups = [[name for name in patterns if (name in apart) == is_apart] for is_apart in (False, True)]
    groups = [group for group in groups if group]
    figure = new_figure(9.0, 1.1 + 0.5 * len(groups) + 0.17 * len(policies) * len(patterns))
    panels = figure.subplots(len(groups), height_ratios=[len(group) for group in groups], squeeze=False).flat
    offsets = np.linspace(-0.32, 0.32, len(policies)) if len(policies) > 1 else [0.0]
    for axes, group in zip(panels, groups, strict=True):
        for policy, offset in zip(policies, offsets, strict=True):
            rows = savings.xs(policy, level="policy").reindex(group)
            ends = [rows["saving"] - rows["low"], rows["high"] - rows["saving"]]
            style: dict[str, Any] = {"fmt": "o", "markersize": 4, "capsize": 2.5, "linewidth": 1.3}
            rows_at = np.arange(len(group)) + offset
            axes.errorbar(rows["saving"], rows_at, xerr=ends, color=colour_of(policy), label=label_of(policy), **style)
        axes.axvline(0, color="#444444", linewidth=1)
        for line in range(len(group) - 1):
            axes.axhline(line + 0.5, color="#E2E2E2", linewidth=0.7)
        axes.grid(axis="y", visible=False)
        axes.set_yticks(range(len(group)), group)
        axes.set_ylim(len(group) - 0.5, -0.5)
    axes.set_xlabel(f"daily saving against {label_of(against)} ($), with its 95 % interval")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=min(4, len(policies)))
    figure.suptitle(title, x=0.01, ha="left")
    return figure


@themed
def plot_variants(savings: pd.DataFrame, policy: str, title: str = "What it saves, by pattern") -> Figure:
    """Draw what the variants of one policy save a day, a panel for each below the other, with their own scales.

    Args:
        savings: Indexed by variant (text for the panel's title) and pattern; columns saving, low and high, in $ a day.
        policy: The policy, which decides the colour.
        title: The title of the figure.

    Returns:
        The figure, narrow enough for a phone; to the right of zero is cheaper than the policy compared with.
    """
    variants, patterns = names_in(savings, "variant"), names_in(savings, "pattern")
    titles = [textwrap.fill(variant, 62) for variant in variants]
    lines = sum(title.count("\n") for title in titles)
    figure = new_figure(6.0, 0.9 + 0.2 * lines + len(variants) * (0.6 + 0.22 * len(patterns)))
    panels = figure.subplots(len(variants), squeeze=False).flat
    for axes, variant, line in zip(panels, variants, titles, strict=True):
        rows = savings.xs(variant, level="variant").reindex(patterns)
        ends = [rows["saving"] - rows["low"], rows["high"] - rows["saving"]]
        places = range(len(patterns))
        axes.errorbar(rows["saving"], places, xerr=ends, fmt="o", markersize=5, capsize=3, color=colour_of(policy))
        axes.axvline(0, color=axes.xaxis.label.get_color(), linewidth=1)
        axes.grid(axis="y", visible=False)
        axes.set_yticks(places, patterns)
        axes.set_ylim(len(patterns) - 0.5, -0.5)
        axes.set_title(line, fontsize=10)
    figure.supxlabel("saved ($ a day), with its 95 % interval", fontsize=10)
    figure.suptitle(title, x=0.01, ha="left")
    return figure


@themed
def plot_cost_spread(episodes: pd.DataFrame, title: str = "Spread of the daily cost") -> Figure:
    """Draw the spread of the daily cost of each policy as box plots, a panel per pattern.

    Args:
        episodes: The result of `evaluate`.
        title: The title of the figure; it should state the finding.

    Returns:
        The figure; a box holds the middle half of the days, the whiskers reach from the 5th to the 95th percentile, and
        the diamond is the mean.
    """
    patterns = list(episodes["pattern"].unique())
    policies = list(episodes["policy"].unique())
    figure, panels = policy_panels(len(patterns), policies, title, sharex=True)
    for axes, pattern in zip(panels, patterns, strict=True):
        _boxes(axes, episodes[episodes["pattern"] == pattern], "cost", policies)
        axes.set_title("" if len(patterns) == 1 else pattern)
    figure.supxlabel("daily cost ($): median, middle half, 5th to 95th percentile; diamond: mean", fontsize=10)
    return figure


@themed
def plot_scaling_actions(episodes: pd.DataFrame, title: str = "Scaling actions") -> Figure:
    """Draw the number of scaling actions a day of each policy as box plots over days.

    Args:
        episodes: The result of `evaluate`; the days of all patterns have the same weight.
        title: The title of the figure; it should state the finding.

    Returns:
        The figure; a scaling action is a change of the fleet.
    """
    policies = list(episodes["policy"].unique())
    figure, (axes,) = policy_panels(1, policies, title)
    _boxes(axes, episodes, "scaling_actions", policies)
    axes.set(
        xlabel="scaling actions a day: median, middle half, 5th to 95th percentile; diamond: mean", xlim=(-5, None)
    )
    return figure


@themed
def plot_operating_regions(trajectories: Mapping[str, Trajectory], title: str = "Operating regions") -> Figure:
    """Draw the share of steps that each policy spends at each utilisation and fleet, a panel per policy.

    Args:
        trajectories: The result of `simulate` by the policy's name in tables.
        title: The title of the figure; it should state the finding.

    Returns:
        The figure. A darker colour is a larger share, on one scale for all panels. The cross marks the mean, the dashed
        line full utilisation.
    """
    columns = min(3 if len(trajectories) <= 6 else 4, len(trajectories))
    rows = -(-len(trajectories) // columns)
    figure = new_figure(2.4 * columns + 1.0, 2.5 * rows + 0.7)
    panels = list(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat)
    widest = max(int(trajectory.fleet.max()) for trajectory in trajectories.values())
    bins = [np.arange(0.5, widest + 3, 2), np.linspace(0, 1.0001, 26)]
    norm = LogNorm(1e-4, 0.3)
    for axes, (policy, trajectory) in zip(panels, trajectories.items(), strict=False):
        counts, x_edges, y_edges = np.histogram2d(trajectory.fleet.ravel(), trajectory.utilisation.ravel(), bins=bins)
        share = np.ma.masked_equal(counts.T / counts.sum(), 0)
        mesh = axes.pcolormesh(x_edges, y_edges, share, norm=norm, cmap="cividis_r", rasterized=True)
        axes.plot(
            trajectory.fleet.mean(),
            trajectory.utilisation.mean(),
            "P",
            color="white",
            markeredgecolor="black",
            markersize=8,
        )
        axes.axhline(1.0, color="#444444", linestyle="--", linewidth=0.8)
        axes.set_title(label_of(policy).replace(", ", ",\n"), fontsize=10)
        axes.set_ylim(0, 1.05)
    for axes in panels[len(trajectories) :]:
        axes.remove()
    for axes in panels[max(len(trajectories) - columns, 0) : len(trajectories)]:
        axes.tick_params(labelbottom=True)  # also where the panel below was removed
    figure.colorbar(mesh, ax=figure.axes, label="share of steps", extend="both", pad=0.02)
    figure.supxlabel("fleet, ready or booting (instances)", fontsize=10)
    figure.supylabel("utilisation (share of ready capacity in use)", fontsize=10)
    figure.suptitle(title, x=0.01, ha="left")
    return figure


@themed
def plot_calibration(grid: pd.DataFrame, title: str = "Daily cost of each setting") -> Figure:
    """Draw the mean daily cost of each setting of target tracking as a heat map, with a frame around the cheapest.

    Args:
        grid: The result of `calibration_grid`: the mean daily cost in dollars, targets by reserves.
        title: The title of the figure; it should state the finding.

    Returns:
        The figure; the colours end at 1.5 times the cheapest cost, so that small differences near it are visible.
    """
    import seaborn as sns  # imported here: it loads scipy's statistics, which takes longer than most figures

    figure = new_figure(9.0, 3.6)
    axes = figure.subplots()
    cheapest = float(grid.to_numpy().min())
    text = {"size": 7}
    sns.heatmap(
        grid, ax=axes, cmap="cividis_r", vmin=cheapest, vmax=1.5 * cheapest, annot=True, fmt=".0f", annot_kws=text,
        cbar_kws={"label": "mean daily cost ($)", "extend": "max"}, linewidths=0.5,
    )  # fmt: skip
    row, column = np.unravel_index(int(np.argmin(grid.to_numpy())), grid.shape)
    axes.add_patch(Rectangle((float(column), float(row)), 1, 1, fill=False, edgecolor="#D55E00", linewidth=2.5))
    axes.grid(visible=False)
    axes.set(xlabel="reserve (instances)", ylabel="target utilisation", title=title)
    axes.tick_params(axis="y", rotation=0)
    return figure


def names_in(table: pd.DataFrame, level: str) -> list[str]:
    """Return the names in a level of the index, in their order of appearance."""
    return list(table.index.get_level_values(level).unique())


def policy_panels(panels: int, policies: Sequence[str], title: str, sharex: bool = False) -> tuple[Figure, list[Axes]]:
    """Make a figure with some panels and a row per policy in each of them; return the figure and its panels."""
    columns = min(3, panels)
    rows = -(-panels // columns)
    figure = new_figure(9.0 if panels > 1 else 8.0, rows * (0.7 + 0.26 * len(policies)) + 0.8)
    drawn = list(figure.subplots(rows, columns, sharex=sharex, sharey=True, squeeze=False).flat)
    for axes in drawn[panels:]:
        axes.remove()
    drawn[0].set_yticks(range(len(policies)), [label_of(policy) for policy in policies])
    drawn[0].set_ylim(len(policies) - 0.4, -0.6)
    for axes in drawn:
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
    figure.suptitle(title, x=0.01, ha="left")
    return figure, drawn[:panels]


def _bars(axes: Axes, means: pd.Series, lows: pd.Series, highs: pd.Series, form: str) -> None:
    """Draw a horizontal bar with its interval and its number for each policy of the index."""
    places = range(len(means))
    colours = [colour_of(policy) for policy in means.index]
    ends = [means - lows, highs - means]
    axes.barh(places, means, xerr=ends, color=colours, height=0.7, error_kw={"linewidth": 1.2, "capsize": 2.5})
    longest = highs.max()
    for place, mean, high in zip(places, means, highs, strict=True):
        axes.text(high + 0.02 * longest, place, form.format(mean), va="center", fontsize=8)
    axes.set_xlim(0, max(axes.get_xlim()[1], 1.25 * longest))


def _boxes(axes: Axes, episodes: pd.DataFrame, column: str, policies: Sequence[str]) -> None:
    """Draw a box per policy, with the mean as a diamond."""
    import seaborn as sns  # see `plot_calibration`

    means = {"marker": "D", "markerfacecolor": "white", "markeredgecolor": "black", "markersize": 4}
    with warnings.catch_warnings():
        # seaborn 0.13.2 uses an argument that matplotlib 3.11 has renamed.
        warnings.filterwarnings("ignore", "vert: bool was deprecated")
        sns.boxplot(
            episodes,
            x=column,
            y="policy",
            hue="policy",
            order=list(policies),
            hue_order=list(policies),
            palette={policy: colour_of(policy) for policy in policies},
            whis=(5, 95),
            showfliers=False,
            showmeans=True,
            meanprops=means,
            saturation=1,
            linewidth=1,
            width=0.7,
            legend=False,
            ax=axes,
        )
    axes.set(xlabel="", ylabel="")
    axes.set_yticks(range(len(policies)), [label_of(policy) for policy in policies])
