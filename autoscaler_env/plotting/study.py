"""Figures of the study: seeds, the generalisation matrix, regret, traces; all from its tables."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator

from autoscaler_env.evaluation.statistics import estimate, per_training, read_study, sample_sizes
from autoscaler_env.paths import Folders
from autoscaler_env.plotting.style import colour_of, new_figure, save_figure, themed
from autoscaler_env.policies.oracle import OPTIMUM
from autoscaler_env.policies.registry import label_of
from autoscaler_env.study.analysis import MEAN, duels, each_learner, generalisation, on_traces, regret_table
from autoscaler_env.training.config import Algorithm

SIZES = (3, 5, 7, 10, 15, 20, 30)
"""Numbers of trainings whose studies are compared."""

_OPPONENTS = {
    "one_setting_cost": label_of("target-tracking-mixed"),
    "per_pattern_cost": label_of("target-tracking-per-pattern"),
}
"""Whose cost a column of a study holds."""

_POINT: dict[str, Any] = {"fmt": "D", "markersize": 6, "capsize": 3, "linewidth": 1.6}


@themed
def plot_seeds(
    study: pd.DataFrame, against: str = "one_setting_cost", title: str = "In a row nothing differs but the seed"
) -> Figure:
    """Draw what each training saves a day as a point, and their mean with its 95 % interval, a row per learner.

    Args:
        study: What `seeds.read_study` returns, or several of them together.
        against: The column with the cost of the policy that is compared with.
        title: What the figure says.

    Returns:
        The figure; dollars a day, to the right of zero is cheaper.
    """
    rows = {
        name: per_training(trainings, against) - per_training(trainings, "cost")
        for name, trainings in each_learner(study)
    }
    figure = new_figure(9.0, 1.2 + 0.55 * len(rows))
    axes = figure.subplots()
    for place, (name, saved) in enumerate(rows.items()):
        found = estimate(saved)
        colour = colour_of(_learner_in(name))
        axes.plot(saved, np.full(len(saved), place + 0.18), "o", color=colour, alpha=0.45, markersize=5)
        _interval(axes, place - 0.12, found.mean, found.low, found.high, colour)
    axes.axvline(0, color="#444444", linewidth=1)
    axes.set_yticks(range(len(rows)), [_label(row) for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(f"saved against {_OPPONENTS.get(against, against)} ($ a day)")
    figure.suptitle(f"{title}\n(circle: a training; diamond: their mean, with its 95 % interval)", x=0.01, ha="left")
    return figure


@themed
def plot_matrix(matrices: Mapping[str, pd.DataFrame], title: str = "Trained on rows, tested on columns") -> Figure:
    """Draw what models pay above the optimum on each pattern, by what they were trained on, a panel per learner.

    Args:
        matrices: By the learner's name, what `findings.generalisation` returns.
        title: What the figure says.

    Returns:
        The figure; dollars a day, the colours on a logarithmic scale that the panels share; what a model was trained on
        is framed.
    """
    values = np.concatenate([matrix.to_numpy().ravel() for matrix in matrices.values()])
    norm = LogNorm(max(float(values.min()), 0.1), float(values.max()))
    width = 3.6 * len(matrices) + 1.8
    figure = new_figure(width, 4.1)
    panels = list(figure.subplots(1, len(matrices), sharey=True, squeeze=False).flat)
    for axes, (name, matrix) in zip(panels, matrices.items(), strict=True):
        mesh = axes.imshow(matrix.clip(lower=norm.vmin), norm=norm, cmap="cividis_r", aspect="auto")
        for (row, column), value in np.ndenumerate(matrix.to_numpy()):
            colour = "white" if norm(max(value, norm.vmin or 0.1)) > 0.55 else "black"
            text = f"{value:.1f}" if value < 100 else f"{value:,.0f}"
            axes.text(column, row, text, ha="center", va="center", fontsize=8, color=colour)
            if matrix.index[row] == matrix.columns[column]:
                axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor="#D55E00", linewidth=2))
        axes.set_xticks(range(len(matrix.columns)), list(matrix.columns), rotation=45, ha="right", fontsize=8)
        axes.set_yticks(range(len(matrix.index)), list(matrix.index), fontsize=8)
        axes.set_title(label_of(name.replace("-", "_")))
        axes.set_xlabel("tested on")
        axes.grid(visible=False)
    panels[0].set_ylabel("trained on")
    figure.colorbar(mesh, ax=panels, label="above the optimum ($ a day)", pad=0.02, format="{x:g}")
    figure.suptitle(title, x=0.01, ha="left")
    return figure


@themed
def plot_regret(table: pd.DataFrame, scene: str = "", most: float = 30.0) -> Figure:
    """Draw what each policy pays above the optimum, the mean of the six patterns, as points with 95 % intervals.

    Args:
        table: What `findings.regret_table` returns.
        scene: What the title says before it tells how far the best rule and the best learner are, such as another
            service.
        most: Where the axis ends, $ a day; policies beyond are named below it.

    Returns:
        The figure; dollars a day; intervals are over trainings, so rules have none.
    """
    near = table[table[MEAN] <= most]
    figure = new_figure(9.0, 1.3 + 0.32 * len(near))
    axes = figure.subplots()
    for place, (policy, row) in enumerate(near.iterrows()):
        _interval(axes, place, row[MEAN], row["low"], row["high"], colour_of(_learner_in(str(policy))))
    axes.set_yticks(range(len(near)), [_label(str(policy)) for policy in near.index])
    axes.set_ylim(-0.6, len(near) - 0.4)
    axes.set_xlim(0, 1.03 * axes.get_xlim()[1])
    beyond = ", ".join(
        f"{_label(str(policy))} {row[MEAN]:.0f}" for policy, row in table.drop(index=near.index).iterrows()
    )
    note = textwrap.fill(f"(beyond the axis: {beyond})", width=110) if beyond else ""
    figure.supxlabel(f"above the clairvoyant optimum ($ a day)\n{note}".rstrip(), fontsize="medium")
    rule, learner = (table.loc[table["seeds"].eq(0) == is_rule, MEAN].min() for is_rule in (True, False))
    title = f"{scene} the best rule pays ${rule:.2f} a day above the optimum, the best learner ${learner:.2f}".lstrip()
    # Two dollar signs are two prices, not a formula.
    figure.suptitle(title[0].upper() + title[1:], x=0.01, ha="left", parse_math=False)
    return figure


@themed
def plot_duels(table: pd.DataFrame, title: str | None = None) -> Figure:
    """Draw what PPO trained on each pattern saves against the cheapest rule on it, with 95 % intervals.

    Args:
        table: What `findings.duels` returns.
        title: What the figure says; on how many patterns who is cheaper, by default.

    Returns:
        The figure; dollars a day, to the right of zero PPO is cheaper; each row names the rule.
    """
    figure = new_figure(9.0, 1.3 + 0.45 * len(table))
    axes = figure.subplots()
    for place, (_, row) in enumerate(table.iterrows()):
        _interval(axes, place, row["saving"], row["low"], row["high"], colour_of("ppo"))
    axes.axvline(0, color="#444444", linewidth=1)
    names = [f"{pattern}\n{_label(rule)}" for pattern, rule in table["rule"].items()]
    axes.set_yticks(range(len(table)), names, fontsize=8)
    axes.set_ylim(len(table) - 0.5, -0.5)
    axes.set_xlabel("saved by PPO ($ a day), with its 95 % bootstrap interval over trainings")
    won, lost = (int(table["cheaper"].eq(who).sum()) for who in ("ppo", "rule"))
    by_default = (
        f"PPO trained on the pattern against the cheapest rule there: cheaper on {won}, dearer on {lost} of six"
    )
    axes.set_title(title or by_default)
    return figure


@themed
def plot_sample_sizes(
    sizes: Mapping[str, pd.DataFrame],
    title: str = "More seeds: narrower intervals, and intervals that keep their promise",
) -> Figure:
    """Draw what studies of different sizes would have found: how wide their intervals are, and what these hold.

    Args:
        sizes: By the learner, what `seeds.sample_sizes` returns.
        title: What the figure says.

    Returns:
        The figure, two panels against the number of trainings.
    """
    figure = new_figure(9.0, 4.0)
    panels = list(figure.subplots(1, 2))
    for (name, table), marker in zip(sizes.items(), "osD^v", strict=False):
        style = {"marker": marker, "markersize": 5, "color": colour_of(_learner_in(name)), "label": name}
        panels[0].plot(table.index, table["half_width"], **style)
        panels[1].plot(table.index, 100 * table["covered"], **style)
    panels[0].set(title="Half width of the 95 % interval", ylabel="half width ($ a day)", yscale="log")
    panels[0].yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panels[0].yaxis.set_major_formatter("{x:g}")
    panels[0].minorticks_off()
    panels[1].set(title="Intervals that hold the truth", ylabel="share (%); dashed: the promise", ylim=(None, 100))
    panels[1].axhline(95, color="#444444", linestyle="--", linewidth=1)
    for axes in panels:
        axes.set_xlabel("trainings in the study")
        axes.set_xlim(left=0)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(2, len(labels)))
    figure.suptitle(title, x=0.01, ha="left")
    return figure


@themed
def plot_traces(table: pd.DataFrame, title: str = "On recorded traffic", most: float = 60.0) -> Figure:
    """Draw what each policy pays above the optimum on recorded traffic, a panel per trace.

    Args:
        table: What `findings.on_traces` returns.
        title: What the figure says.
        most: Policies that pay more than this on every trace are left out, $ a day.

    Returns:
        The figure; dollars a day; intervals are over trainings, so rules have none.
    """
    table = table.drop(index=OPTIMUM, level="policy")
    regrets = table["regret"].groupby(level="policy", sort=False)
    policies = [name for name in regrets.mean().sort_values(ascending=False).index if regrets.min()[name] <= most]
    traces = list(table.index.unique("trace"))
    figure = new_figure(2.6 * len(traces) + 3.2, 1.4 + 0.3 * len(policies))
    panels = list(figure.subplots(1, len(traces), sharey=True, squeeze=False).flat)
    for axes, trace in zip(panels, traces, strict=True):
        there = table.xs(trace, level="trace")
        for place, policy in enumerate(policies):
            row = there.loc[policy]
            _interval(axes, place, row["regret"], row["low"], row["high"], colour_of(_learner_in(policy)))
        days, smooth = there["days"].iloc[0], there["smooth"].iloc[0]
        smoothed = f", mean of {smooth} steps" if smooth > 1 else ""
        axes.set_title(f"{trace}\n{days} days{smoothed}", fontsize=8, loc="left")
        axes.set_xlim(0, 1.06 * axes.get_xlim()[1])
    panels[0].set_yticks(range(len(policies)), [_label(policy) for policy in policies], fontsize=8)
    panels[0].set_ylim(-0.6, len(policies) - 0.4)
    figure.supxlabel("above the clairvoyant optimum ($ a day)", fontsize=10)
    figure.suptitle(title, x=0.01, ha="left")
    return figure


def _interval(axes: Axes, place: float, mean: float, low: float, high: float, colour: str) -> None:
    """Draw a mean with its interval, if it has one."""
    ends = None if np.isnan(low) else [[max(mean - low, 0)], [max(high - mean, 0)]]
    axes.errorbar(mean, place, xerr=ends, color=colour, **_POINT)


def _learner_in(name: str) -> str:
    """Return the learner that a table's name for one begins with, as colours are known by; a rule's name as it is."""
    return name.split(" on ")[0].replace("-", "_") if " on " in name else name


def _label(policy: str) -> str:
    """Return what figures call a policy of the tables."""
    learner, _, rest = policy.partition(" on ")
    return f"{label_of(learner.replace('-', '_'))} on {rest}" if rest else label_of(policy)


def savings_against_one_setting(folders: Folders) -> dict[str, pd.Series]:
    """Return what the trainings on `MIXED` save against target tracking with one setting, by learner."""
    studies = pd.concat([read_study(name, folders) for name in ("budgets", "long")])
    return {
        name: per_training(rows, "one_setting_cost") - per_training(rows, "cost")
        for name, rows in each_learner(studies)
    }


FIGURES: dict[str, Callable[[Folders], Figure]] = {
    "09_seeds": lambda folders: plot_seeds(pd.concat([read_study(name, folders) for name in ("budgets", "long")])),
    "09_sample_sizes": lambda folders: plot_sample_sizes(
        {name: sample_sizes(saved, SIZES) for name, saved in savings_against_one_setting(folders).items()}
    ),
    "09_regret": lambda folders: plot_regret(regret_table(folders)),
    "09_duels": lambda folders: plot_duels(duels(folders)),
    "09_matrix": lambda folders: plot_matrix({name: generalisation(name, folders) for name in get_args(Algorithm)}),
    "09_wide": lambda folders: plot_regret(regret_table(folders, "wide"), "With wide steps"),
    "09_traces": lambda folders: plot_traces(on_traces(folders)),
}
"""The figures of the study, by the names of their files."""


def draw(name: str, tables: Folders, folders: Folders) -> Figure | None:
    """Draw one of the `FIGURES` and save it; say in one line if its table is not there yet.

    Args:
        name: The figure's name.
        tables: Folders whose results are read.
        folders: Where the figure is written.

    Returns:
        The figure; `None` without its table.
    """
    try:
        figure = FIGURES[name](tables)
    except FileNotFoundError as missing:
        print(f"{name} is not drawn: {missing}")
        return None
    return save_figure(figure, folders, name)


def draw_figures(folders: Folders) -> list[Path]:
    """Draw every figure of the study whose table is there; return the pictures written."""
    return [folders.figures / f"{name}.png" for name in FIGURES if draw(name, folders, folders) is not None]
