"""Figures of the study, all from its tables: seeds, generalisation, regret, PPO against the rules, traces."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator

from autoscaler_env.evaluation.statistics import estimate, per_training, sample_sizes
from autoscaler_env.paths import Folders
from autoscaler_env.plotting.comparison import policy_panels
from autoscaler_env.plotting.style import colour_of, new_figure, save_figure, themed
from autoscaler_env.policies.oracle import OPTIMUM
from autoscaler_env.policies.registry import label_of
from autoscaler_env.study.analysis import (
    MEAN,
    by_learner,
    foresight,
    generalisation,
    read_mixed,
    regret_table,
    specialists,
    traces_table,
)
from autoscaler_env.study.plan import LEARNERS

SIZES = (3, 5, 7, 10, 15, 20, 30)
"""Numbers of trainings in the studies that `plot_sample_sizes` compares."""

_BASELINE_LABELS = {
    "one_setting_cost": label_of("target-tracking-mixed"),
    "per_pattern_cost": label_of("target-tracking-per-pattern"),
}
"""The policy whose cost is in a column of a study."""

FORESIGHT_COLOUR = "#C9CDD2"
"""The colour of the part of a regret that needs foresight."""

_POINT: dict[str, Any] = {"fmt": "D", "markersize": 6, "capsize": 3, "linewidth": 1.6}


@themed
def plot_seeds(
    study: pd.DataFrame, against: str = "one_setting_cost", title: str = "Within a row only the seed differs"
) -> Figure:
    """Draw what each training saves a day as a point, and the mean with its 95 % interval, a row per learner.

    Args:
        study: What `study.analysis.read_study` returns, or several of these concatenated.
        against: The column with the cost of the baseline.
        title: The title of the figure.

    Returns:
        The figure; dollars a day, to the right of zero is cheaper.
    """
    rows = {
        name: per_training(trainings, against) - per_training(trainings, "cost")
        for name, trainings in by_learner(study)
    }
    figure = new_figure(9.0, 1.2 + 0.55 * len(rows))
    axes = figure.subplots()
    for place, (name, saved) in enumerate(rows.items()):
        mean = estimate(saved)
        colour = colour_of(_learner_in(name))
        axes.plot(saved, np.full(len(saved), place + 0.18), "o", color=colour, alpha=0.45, markersize=5)
        _interval(axes, place - 0.12, mean.mean, mean.low, mean.high, colour)
    axes.axvline(0, color="#444444", linewidth=1)
    axes.set_yticks(range(len(rows)), [_label(row) for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(f"saved against {_BASELINE_LABELS.get(against, against)} ($ a day)")
    figure.suptitle(
        f"{title}\n(circle: one training; diamond: mean of the trainings with its 95 % interval)", x=0.01, ha="left"
    )
    return figure


@themed
def plot_matrix(matrices: Mapping[str, pd.DataFrame], title: str = "Trained on rows, tested on columns") -> Figure:
    """Draw the regret of models on each pattern, by the workload they were trained on, a panel per learner.

    Args:
        matrices: What `study.analysis.generalisation` returns, by the name of the learner.
        title: The title of the figure.

    Returns:
        The figure; dollars a day, the colours on a logarithmic scale that the panels share; the cells of the pattern
        that a model was trained on are framed.
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
        axes.set_title(label_of(name))
        axes.set_xlabel("tested on")
        axes.grid(visible=False)
    panels[0].set_ylabel("trained on")
    figure.colorbar(mesh, ax=panels, label="above the optimum ($ a day)", pad=0.02, format="{x:g}")
    figure.suptitle(title, x=0.01, ha="left")
    return figure


@themed
def plot_regret(table: pd.DataFrame, scene: str = "", most: float = 30.0, foresight: float | None = None) -> Figure:
    """Draw the regret of each policy, the mean of the six patterns, as points with 95 % intervals.

    Args:
        table: What `study.analysis.regret_table` returns.
        scene: The beginning of the title, such as another service; the title goes on with the regret of the best rule
            and of the best learner, above the limit without foresight where it is known.
        most: The end of the axis, $ a day; policies beyond are named below it.
        foresight: The part of the regret that needs foresight, $ a day; `None` where no limit is known.

    Returns:
        The figure; dollars a day; the intervals are over trainings, so rules have none. The grey part, where there is
        one, is foresight: no policy can reach into it.
    """
    near = table[table[MEAN] <= most]
    figure = new_figure(9.0, 1.3 + 0.32 * len(near))
    axes = figure.subplots()
    for place, (policy, row) in enumerate(near.iterrows()):
        _interval(axes, place, row[MEAN], row["low"], row["high"], colour_of(_learner_in(str(policy))))
    axes.set_yticks(range(len(near)), [_label(str(policy)) for policy in near.index])
    axes.set_ylim(-0.6, len(near) - 0.4)
    axes.set_xlim(0, 1.03 * axes.get_xlim()[1])
    if foresight is not None:
        axes.axvspan(0, foresight, color=FORESIGHT_COLOUR, alpha=0.5, linewidth=0, label="foresight")
        axes.annotate(
            "foresight:\nno policy comes here", (foresight / 2, len(near) / 2), ha="center", va="center", fontsize=9
        )
    beyond = ", ".join(
        f"{_label(str(policy))} {row[MEAN]:.0f}" for policy, row in table.drop(index=near.index).iterrows()
    )
    note = textwrap.fill(f"(beyond the axis: {beyond})", width=110) if beyond else ""
    figure.supxlabel(f"above the clairvoyant optimum ($ a day)\n{note}".rstrip(), fontsize="medium")
    rule, learner = (table.loc[table["seeds"].eq(0) == is_rule, MEAN].min() for is_rule in (True, False))
    above, start = ("optimum", 0.0) if foresight is None else ("limit without foresight", foresight)
    title = (
        f"{scene} the best rule costs ${rule - start:.2f} a day above the {above}, "
        f"the best learner ${learner - start:.2f}"
    ).lstrip()
    # Two dollar signs are two prices, not a formula.
    figure.suptitle(title[0].upper() + title[1:], x=0.01, ha="left", parse_math=False)
    return figure


@themed
def plot_split(
    avoidable: pd.DataFrame, foresight: pd.Series, title: str = "Most of the regret is foresight, or nothing is left"
) -> Figure:
    """Draw the regret of policies in two parts, a panel per pattern: foresight, and what may be avoidable.

    Args:
        avoidable: What `study.analysis.avoidable` returns: a row per policy, a column per pattern, $ a day.
        foresight: The part of the regret on each pattern that needs foresight, $ a day.
        title: The title of the figure; it should state the finding.

    Returns:
        The figure. A bar is the regret of a policy: grey up to the limit without foresight, then in the colour of the
        policy; the number is the avoidable part.
    """
    patterns = [name for name in foresight.index if name in avoidable.columns]
    figure, panels = policy_panels(len(patterns), list(avoidable.index), title)
    panels[0].set_yticks(range(len(avoidable)), [_label(str(policy)) for policy in avoidable.index])
    for axes, pattern in zip(panels, patterns, strict=True):
        known, rest = float(foresight[pattern]), avoidable[pattern]
        axes.barh(range(len(rest)), np.full(len(rest), known), color=FORESIGHT_COLOUR, height=0.7, label="foresight")
        colours = [colour_of(_learner_in(name)) for name in rest.index]
        axes.barh(range(len(rest)), rest.clip(lower=0), left=known, color=colours, height=0.7)
        for place, more in enumerate(rest):
            axes.annotate(
                f"{more:.1f}", (known + max(more, 0), place), (4, 0), textcoords="offset points", va="center",
                fontsize=8,
            )  # fmt: skip
        axes.set_xlim(0, 1.2 * (known + float(rest.max())))
        axes.set_title(pattern)
    figure.supxlabel(
        "daily cost above the clairvoyant optimum ($); grey: foresight; the number: avoidable", fontsize=10
    )
    figure.suptitle(title, x=0.01, ha="left")
    return figure


@themed
def plot_ppo_against_rules(table: pd.DataFrame, title: str | None = None) -> Figure:
    """Draw what PPO trained on each pattern saves against the cheapest rule on it, with 95 % intervals.

    Args:
        table: What `study.analysis.specialists` returns.
        title: The title of the figure; by default, on how many patterns PPO is cheaper or dearer.

    Returns:
        The figure; dollars a day; to the right of zero PPO is cheaper; each row names the rule.
    """
    figure = new_figure(9.0, 1.3 + 0.45 * len(table))
    axes = figure.subplots()
    for place, (_, row) in enumerate(table.iterrows()):
        _interval(axes, place, row["saving"], row["low"], row["high"], colour_of("ppo"))
    axes.axvline(0, color="#444444", linewidth=1)
    names = [f"{pattern}\n{_label(rule)}" for pattern, rule in table["rule"].items()]
    axes.set_yticks(range(len(table)), names, fontsize=8)
    axes.set_ylim(len(table) - 0.5, -0.5)
    axes.set_xlabel("saved by PPO ($ a day), with its 95 % interval over trainings")
    cheaper, dearer = (int(table["cheaper"].eq(policy).sum()) for policy in ("learner", "rule"))
    default = f"PPO trained on the pattern against the cheapest rule: cheaper on {cheaper}, dearer on {dearer} of six"
    axes.set_title(title or default)
    return figure


@themed
def plot_sample_sizes(
    sizes: Mapping[str, pd.DataFrame],
    title: str = "More trainings: narrower intervals",
) -> Figure:
    """Draw how wide the intervals of studies of different sizes are, and how often they contain the truth.

    Args:
        sizes: What `evaluation.statistics.sample_sizes` returns, by the name of the learner.
        title: The title of the figure.

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
    panels[1].set(title="Intervals that contain the truth", ylabel="share (%); dashed: nominal", ylim=(None, 100))
    panels[1].axhline(95, color="#444444", linestyle="--", linewidth=1)
    for axes in panels:
        axes.set_xlabel("trainings in the study")
        axes.set_xlim(left=0)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(2, len(labels)))
    figure.suptitle(title, x=0.01, ha="left")
    return figure


@themed
def plot_traces(
    table: pd.DataFrame, title: str = "Recorded traffic; nothing was trained or calibrated on it", most: float = 60.0
) -> Figure:
    """Draw the regret of each policy on recorded traffic, a panel per trace.

    Args:
        table: What `study.analysis.traces_table` returns.
        title: The title of the figure.
        most: Policies with a larger regret on every trace are left out, $ a day.

    Returns:
        The figure; dollars a day; the intervals are over trainings, so rules have none.
    """
    table = table.drop(index=OPTIMUM, level="policy")
    regrets = table["regret"].groupby(level="policy", sort=False)
    policies = [name for name in regrets.mean().sort_values(ascending=False).index if regrets.min()[name] <= most]
    traces = list(table.index.unique("trace"))
    figure = new_figure(2.6 * len(traces) + 3.2, 1.4 + 0.3 * len(policies))
    panels = list(figure.subplots(1, len(traces), sharey=True, squeeze=False).flat)
    for axes, trace in zip(panels, traces, strict=True):
        rows = table.xs(trace, level="trace")
        for place, policy in enumerate(policies):
            row = rows.loc[policy]
            _interval(axes, place, row["regret"], row["low"], row["high"], colour_of(_learner_in(policy)))
        days, smooth = rows["days"].iloc[0], rows["smooth"].iloc[0]
        smoothed = f", moving average of {smooth} steps" if smooth > 1 else ""
        axes.set_title(f"{trace}\n{days} days{smoothed}", fontsize=8, loc="left")
        axes.set_xlim(0, 1.06 * axes.get_xlim()[1])
    panels[0].set_yticks(range(len(policies)), [_label(policy) for policy in policies], fontsize=8)
    panels[0].set_ylim(-0.6, len(policies) - 0.4)
    figure.supxlabel("above the clairvoyant optimum, which knows the future ($ a day)", fontsize=10)
    figure.suptitle(title, x=0.01, ha="left")
    return figure


def _interval(axes: Axes, place: float, mean: float, low: float, high: float, colour: str) -> None:
    """Draw a mean with its interval; a rule has none, and that of a single training is infinite and not drawn."""
    ends = None if not np.isfinite(low) else [[max(mean - low, 0)], [max(high - mean, 0)]]
    axes.errorbar(mean, place, xerr=ends, color=colour, **_POINT)


def _learner_in(name: str) -> str:
    """Return the learner in a name such as `ppo on MIXED, 995,328 timesteps`, as `colour_of` takes it; or the name."""
    return name.split(" on ")[0]


def _label(policy: str) -> str:
    """Return the label of a policy of the tables."""
    learner, _, rest = policy.partition(" on ")
    return f"{label_of(learner)} on {rest}" if rest else label_of(policy)


def savings_against_one_setting(folders: Folders) -> dict[str, pd.Series]:
    """Return what the trainings on `MIXED` save against target tracking with one setting, by learner."""
    return {
        name: per_training(rows, "one_setting_cost") - per_training(rows, "cost")
        for name, rows in by_learner(read_mixed(folders))
    }


FIGURES: dict[str, Callable[[Folders], Figure]] = {
    "09_seeds": lambda folders: plot_seeds(read_mixed(folders)),
    "09_sample_sizes": lambda folders: plot_sample_sizes(
        {name: sample_sizes(saved, SIZES) for name, saved in savings_against_one_setting(folders).items()}
    ),
    "09_regret": lambda folders: plot_regret(
        regret_table(folders), foresight=float(foresight(folders)["foresight"][MEAN])
    ),
    "09_against_rules": lambda folders: plot_ppo_against_rules(specialists(folders)),
    "09_matrix": lambda folders: plot_matrix({name: generalisation(name, folders) for name in LEARNERS}),
    "09_wide": lambda folders: plot_regret(regret_table(folders, "wide"), "With larger fleet changes"),
    "09_traces": lambda folders: plot_traces(traces_table(folders)),
}
"""The figures of the study, by the names of their files."""


def draw(name: str, tables: Folders, folders: Folders) -> Figure | None:
    """Draw one of the `FIGURES` and save it; print one line instead if its table is missing.

    Args:
        name: The name of the figure.
        tables: Folders whose results are read.
        folders: Where the figure is written.

    Returns:
        The figure; `None` if its table is missing.
    """
    try:
        figure = FIGURES[name](tables)
    except FileNotFoundError as missing:
        print(f"{name} is not drawn: {missing}")
        return None
    return save_figure(figure, folders, name)


def draw_figures(folders: Folders) -> list[Path]:
    """Draw every figure of the study whose table exists; return the paths of the pictures."""
    return [folders.figures / f"{name}.png" for name in FIGURES if draw(name, folders, folders) is not None]
