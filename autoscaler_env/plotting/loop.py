"""The picture of the agent-environment loop, with the numbers of a service."""

from __future__ import annotations

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from autoscaler_env.plotting.style import ITEM_COLOURS, POLICY_COLOURS, Picture, new_figure, shade, themed
from autoscaler_env.service import Service, as_service

_Point = tuple[float, float]


@themed
def plot_loop(
    service: Service | None = None, title: str = "One step of the loop between agent and environment"
) -> Picture:
    """Draw what passes between the agent and the environment in one step, and what stays hidden from the agent.

    Args:
        service: Gives the number of steps in a day and the changes of the fleet; the reference service by default.
        title: The title of the figure.

    Returns:
        The figure; its `alt` says the same in words.
    """
    service = as_service(service)
    changes = " / ".join(f"{change:+d}" if change else "0" for change in service.fleet_changes)
    figure = new_figure(9.0, 3.6)
    axes = figure.subplots()
    axes.set(xlim=(0, 10), ylim=(0, 4), title=title)
    axes.axis("off")
    ink, hidden = mpl.rcParams["text.color"], shade(ITEM_COLOURS["drop_cost"])
    _box(axes, (0.1, 0.9), (1.9, 2.3), POLICY_COLOURS["forecast"])
    _box(axes, (5.3, 0.5), (2.9, 3.0), POLICY_COLOURS["ppo"])
    axes.text(1.05, 2.05, "agent\n(policy)", ha="center", va="center", fontsize=12)
    axes.text(6.75, 3.15, "environment (service)", ha="center", va="center", fontsize=12)
    axes.text(6.75, 2.35, "observed:\nready, booting, queue,\nlast arrivals", ha="center", va="center")
    axes.text(
        6.75, 1.15, "hidden:\npattern, phase of the cycle,\nwhether a crowd has begun",
        ha="center", va="center", color=hidden,
    )  # fmt: skip
    for start, end, label in (
        ((2.1, 2.85), (5.2, 2.85), f"action: {changes} instances"),
        ((5.2, 1.95), (2.1, 1.95), "observation: seven numbers"),
        ((5.2, 1.25), (2.1, 1.25), "reward: minus the step's cost ($)"),
    ):
        _arrow(axes, start, end, ink)
        axes.text((start[0] + end[0]) / 2, start[1] + 0.08, label, ha="center", va="bottom")
    _arrow(axes, (9.9, 2.05), (8.3, 2.05), ink)
    axes.text(9.12, 2.13, "arrivals", ha="center", va="bottom")
    axes.text(9.12, 1.95, "(no action\nchanges them)", ha="center", va="top", fontsize=9)
    axes.text(3.65, 0.55, f"{service.steps_per_episode} steps make a day", ha="center", va="center", fontsize=9)
    figure.alt = (
        "Two boxes, agent and environment. An arrow from the agent to the environment is the action: a change of the "
        f"fleet by {changes} instances. Two arrows go back: the observation, seven numbers, and the reward, minus the "
        "cost of the step in dollars. Arrivals enter the environment from outside; no action changes them. The agent "
        "sees ready and booting instances, the queue and the last arrivals. Hidden are the pattern, the phase of its "
        "cycle, and whether a crowd has begun."
    )
    return figure


def _box(axes: Axes, corner: _Point, size: _Point, colour: str) -> None:
    """Draw a box with round corners and a thin filling."""
    style = "round,pad=0,rounding_size=0.12"
    axes.add_patch(
        FancyBboxPatch(corner, *size, boxstyle=style, facecolor=f"{colour}22", edgecolor=colour, linewidth=2)
    )


def _arrow(axes: Axes, start: _Point, end: _Point, colour: str) -> None:
    axes.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=14, linewidth=1.5, color=colour))
