"""The figures of an answer: cost against service, and the worst day of today's rule; for light or dark paper."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray

from autoscaler_env.evaluation.simulation import Trajectory
from autoscaler_env.plotting.days import MANY_DOLLARS, plot_side_by_side
from autoscaler_env.plotting.style import DEMAND_COLOUR, Theme, colour_of, new_figure, shade, theme, themed
from autoscaler_env.policies.registry import LEARNERS
from autoscaler_env.text import percent

NARROW = 6.0
"""Width in inches below which a figure is for a phone."""

_LETTERS_PER_INCH = 10.5
"""Letters of a title that fit into an inch, at the size of titles."""


def plot_cost_and_service(
    policies: pd.DataFrame,
    sweeps: Mapping[str, NDArray[np.float64]],
    limit: float,
    recommended: str | None = None,
    title: str = "What each policy costs, and what it does to the requests",
    width: float = 9.0,
    paper: Theme = "light",
) -> Figure:
    """Draw what each policy costs against the share of the requests that it serves in time.

    Args:
        policies: Indexed by policy: label (text), cost ($ a day), in_time (share of the requests), keeps (whether it
            keeps today's service; if not, its mark is open).
        sweeps: By policy: costs and shares in time, shape (k, 2). Of a rule these are other settings, drawn as a faint
            line; of a learner its trainings, drawn as faint points.
        limit: The share in time that a policy should keep; a line, with the shares below it shaded.
        recommended: The policy whose label is bold.
        title: The title; it is wrapped to the width.
        width: Width of the figure, in inches; below `NARROW` it suits a phone.
        paper: The theme.

    Returns:
        The figure. Shares in time are on a logarithmic scale of what they lack of 100 %, linear below 0.01 %. A policy
        that costs more than `FARTHEST` times the dearer of today's rule and the recommended one stands at the right
        end, with its cost in its label.
    """
    with theme(paper):
        return _plot_cost_and_service(policies, sweeps, limit, recommended, title, width)


FARTHEST = 2.0
"""Costs up to so many times that of today's rule, or of the recommended policy, are on the scale."""

_FAR_BELOW = 0.003
"""Where every setting serves fewer requests in time than 1 minus this share, the scale ends below 100 %."""

_NINES = {0.0: "100 %", 1e-4: "99.99 %", 1e-3: "99.9 %", 1e-2: "99 %", 0.1: "90 %", 1.0: "0 %"}
"""Marks of the axis of shares in time, by the share that is late or dropped."""


@themed
def _plot_cost_and_service(
    policies: pd.DataFrame,
    sweeps: Mapping[str, NDArray[np.float64]],
    limit: float,
    recommended: str | None,
    title: str,
    width: float,
) -> Figure:
    figure = new_figure(width, 4.9 if width < NARROW else 4.3)
    axes = figure.subplots()
    costs, lacking = policies["cost"], 1 - policies["in_time"]
    basis = [name for name in policies.index if name in ("today", recommended)]
    farthest = FARTHEST * max((float(costs[name]) for name in basis), default=float(costs.max()))
    shown = costs.clip(upper=farthest)
    room = 0.08 * float(shown.max() - shown.min() or shown.max() or 1)
    lowest = 2 * max(float(lacking.max()), 1 - limit, 5e-3)
    axes.set_yscale("symlog", linthresh=1e-4, linscale=0.6)
    left, right = float(shown.min()) - room, float(shown.max()) + room
    drawn = np.concatenate([np.empty((0, 2)), *sweeps.values()])
    drawn = drawn[(left <= drawn[:, 0]) & (drawn[:, 0] <= right), 1]
    best = min([float(lacking.min()), *(1 - drawn)])
    axes.set(xlim=(left, right), ylim=(min(lowest, 1.3), best / 3 if best > _FAR_BELOW else -4e-5))
    ticks = [lack for lack in _NINES if axes.get_ylim()[1] <= lack <= lowest]
    axes.set_yticks(ticks, [_NINES[lack] for lack in ticks])
    axes.yaxis.set_minor_locator(NullLocator())
    axes.axhspan(max(1 - limit, 0), 2, color=shade(DEMAND_COLOUR), alpha=0.06, linewidth=0)
    axes.axhline(max(1 - limit, 0), color=shade(DEMAND_COLOUR), linewidth=1, linestyle=":")
    for name, points in sweeps.items():
        style = ("o", "none") if name in LEARNERS else ("", "-")
        marker, line = style
        axes.plot(
            points[:, 0],
            1 - points[:, 1],
            marker=marker,
            linestyle=line,
            color=colour_of(name),
            alpha=0.4,
            markersize=4,
        )
    for name in policies.index:
        marker = {"today": "s", "optimum": "*"}.get(name, "D" if name in LEARNERS else "o")
        size = (11 if name == "optimum" else 8) + (2 if name == recommended else 0)
        axes.plot(
            shown[name],
            lacking[name],
            marker=marker,
            markersize=size,
            markerfacecolor=colour_of(name) if policies["keeps"][name] else "none",
            markeredgecolor=shade(DEMAND_COLOUR) if policies["keeps"][name] else colour_of(name),
            markeredgewidth=0.5 if policies["keeps"][name] and name != recommended else 1.6,
            clip_on=False,
            zorder=3,
        )
    axes.set(xlabel="mean cost ($ a day)", ylabel="requests served in time")
    if farthest >= MANY_DOLLARS:
        axes.xaxis.set_major_formatter("{x:,.10g}")
    figure.suptitle(_wrapped(title, width), x=0.01, ha="left")
    places = {name: (float(shown[name]), float(lacking[name])) for name in policies.index}
    texts = {
        name: f"{policies['label'][name]} ${costs[name]:,.0f}" if costs[name] > farthest else policies["label"][name]
        for name in policies.index
    }
    if recommended is not None and width >= NARROW:
        texts[recommended] += " (stays)" if recommended == "today" else " (recommended)"
    _label_points(axes, places, texts, 1 - limit, recommended)
    return figure


def _label_points(
    axes: Axes,
    places: Mapping[str, tuple[float, float]],
    texts: Mapping[str, str],
    limit: float,
    bold: str | None,
) -> None:
    """Write a label beside each point, where it covers no other point and no other label.

    Args:
        axes: Its limits are final.
        places: The points, in data coordinates, by policy.
        texts: Their labels.
        limit: Where a horizontal line stands; it gets a label at the right, below it.
        bold: The policy whose label is bold.
    """
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()  # the layout is final from here on
    inside = axes.get_window_extent()
    points = {name: axes.transData.transform(place) for name, place in places.items()}
    line = float(axes.transData.transform((0, limit))[1])
    taken = np.array([(x - 7, y - 7, x + 7, y + 7) for x, y in points.values()])
    note = axes.annotate(
        f"limit: {percent(1 - limit, 2)} in time",
        (1, limit),
        (0, -4),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        ha="right",
        va="top",
        fontsize=8,
        in_layout=False,
    )
    for place in (1.0, 0.85, 0.7, 0.55, 0.4):
        note.xy = (place, limit)
        if not _overlaps(np.array([note.get_window_extent().extents]), taken).any():
            break
    taken = np.vstack([taken, note.get_window_extent().extents, (inside.x0, line - 1, inside.x1, line + 1)])
    scale = figure.dpi / 72
    for name in sorted(points, key=lambda each: (each != bold, points[each][0])):
        label = axes.annotate(
            texts[name],
            places[name],
            (0, 0),
            textcoords="offset points",
            fontsize=9,
            weight="bold" if name == bold else "normal",
            ha="center",
            va="center",
            in_layout=False,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "linewidth": 0.6, "color": shade(DEMAND_COLOUR), "shrinkA": 0, "shrinkB": 4},
        )
        size = label.get_window_extent()
        half = np.array([size.width, size.height]) / 2
        moves = np.vstack([_DIRECTIONS * (distance * scale + half) for distance in _DISTANCES])
        boxes = np.hstack([points[name] + moves - half, points[name] + moves + half])
        beyond = np.hstack([inside.min - boxes[:, :2], boxes[:, 2:] - inside.max]).max(axis=1)
        worse = 100 * _overlaps(boxes, taken) + 50 * np.maximum(beyond, 0) + np.repeat(_DISTANCES, len(_DIRECTIONS))
        others = np.array([place for other, place in points.items() if other != name]).reshape(-1, 2)
        best = int((worse + 1000 * _passed(moves, others - points[name])).argmin())
        label.set_position(tuple(moves[best] / scale))
        if label.arrow_patch and best < 4:  # right beside the point: no line is needed
            label.arrow_patch.set_visible(False)
        taken = np.vstack([taken, boxes[best]])


_ANGLES = np.radians((0, 180, 90, 270, 45, 135, 225, 315, 20, 160, 200, 340, 70, 110, 250, 290))
_DIRECTIONS = np.column_stack([np.cos(_ANGLES), np.sin(_ANGLES)])
"""Where a label may stand, seen from its point; the first four are right beside it."""

_DISTANCES = (9, 14, 22, 32, 44, 58, 74, 92)
"""How far from its point it may stand, in typographic points."""


def _overlaps(boxes: NDArray[np.float64], taken: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the area that each box shares with others: boxes of shape (n, 4) and (k, 4), from corner to corner."""
    shared = np.minimum(boxes[:, np.newaxis, 2:], taken[:, 2:]) - np.maximum(boxes[:, np.newaxis, :2], taken[:, :2])
    return np.asarray(np.maximum(shared, 0).prod(axis=2).sum(axis=1))


def _passed(moves: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return how many other points a line along each move passes closely; shapes (n, 2) and (k, 2), from its start."""
    along = np.clip((others @ moves.T) / (moves**2).sum(axis=1), 0, 1).T
    gaps = others - along[:, :, np.newaxis] * moves[:, np.newaxis]
    return np.asarray((np.hypot(gaps[..., 0], gaps[..., 1]) < 9).sum(axis=1))


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
