"""Finished days as pictures: what a document without a kernel shows instead of the control room.

A day as a film: what sessions did, written as a GIF.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from PIL import Image
from tqdm.auto import tqdm

from autoscaler_env.demo.score import WHERE, score_card, with_optimum
from autoscaler_env.demo.session import Session, demo_days
from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.paths import Folders
from autoscaler_env.plotting.days import plot_side_by_side
from autoscaler_env.plotting.style import DEMAND_COLOUR, ITEM_COLOURS, colour_of, new_figure, themed
from autoscaler_env.policies.oracle import OPTIMUM
from autoscaler_env.policies.registry import find_policy, label_of
from autoscaler_env.service import Service
from autoscaler_env.storage.files import write_atomically

RIVAL = "threshold"
"""The policy that is drawn beside the chosen one, unless told otherwise."""

_WHERE_STYLE: dict[str, dict[str, Any]] = {
    "worked": {"color": ITEM_COLOURS["instance_cost"]},
    "idle": {"color": ITEM_COLOURS["instance_cost"], "alpha": 0.45},
    "booting": {"facecolor": "white", "edgecolor": ITEM_COLOURS["instance_cost"], "hatch": "////", "linewidth": 0},
    "late": {"color": ITEM_COLOURS["late_cost"]},
    "dropped": {"color": ITEM_COLOURS["drop_cost"]},
}
_LINES = ("-", (0, (5, 2)))


def draw_day(
    policy: str,
    pattern: str,
    seed: int,
    *,
    rival: str = RIVAL,
    service: Service | None = None,
    folders: Folders | None = None,
) -> Figure:
    """Draw one finished day under two policies; names and a number in, a figure out.

    Args:
        policy: What `catalog.find_policy` understands.
        pattern: The pattern.
        seed: Number of the evaluation day, at least 0.
        rival: The policy drawn beside it; if it is the same one, that policy is drawn alone.
        service: The reference service by default.
        folders: Where models lie; the project's folders by default.

    Returns:
        Demand and fleet, queue, and cost so far, a column per policy.

    Raises:
        ValueError: A name is unknown, or the seed negative.
    """
    service = service or Service()
    days = demo_days(pattern, seed=seed, count=1, service=service)
    trajectories = {}
    for name in dict.fromkeys((policy, rival)):
        found = find_policy(name, service, folders)
        trajectories[found.name] = simulate(found, days, service)
    costs = {label_of(name): float(trajectory.cost.sum()) for name, trajectory in trajectories.items()}
    return plot_side_by_side(trajectories, title=_finding(f"{pattern}, evaluation day {seed}", costs))


@themed
def draw_score(sessions: Sequence[Session], title: str) -> Figure:
    """Draw the score card of sessions that have finished the same day.

    Args:
        sessions: One or two, each after the last step of its first day.
        title: First words: the pattern, say.

    Returns:
        Above, demand and the fleets overlaid, with the fleet of the clairvoyant optimum where there is one; below, the
        queues, and where the money went.
    """
    labels = [label_of(session.name) for session in sessions]
    card = with_optimum(score_card(list(sessions), labels), sessions[0])
    figure = new_figure(10.5, 5.6)
    spaces = figure.add_gridspec(2, 2, height_ratios=[2.1, 1], width_ratios=[1.35, 1])
    fleets = figure.add_subplot(spaces[0, :])
    queues, money = figure.add_subplot(spaces[1, 0], sharex=fleets), figure.add_subplot(spaces[1, 1])
    service = sessions[0].service
    hours = np.arange(service.steps_per_episode + 1) * service.step_seconds / 3600
    if card["optimum"] is not None:
        fleets.stairs(
            card["optimum"]["fleet"], hours, baseline=None, color=colour_of(OPTIMUM), lw=1.5, ls=":", label=OPTIMUM
        )
    for session, label, line in zip(sessions, labels, _LINES, strict=False):
        look: dict[str, Any] = {"color": colour_of(session.name), "baseline": None, "linestyle": line}
        fleet = np.add(session.history["ready"], session.history["booting"])
        fleets.stairs(fleet, hours, linewidth=2, label=label, **look)
        queues.stairs(session.history["queue"], hours, linewidth=1.6, **look)
    demand = np.divide(sessions[0].history["arrivals"], service.capacity_per_instance)
    fleets.stairs(demand, hours, baseline=None, color=DEMAND_COLOUR, linewidth=1.1, label="demand")
    fleets.set(ylabel="instances", ylim=(0, None), xlim=(0, hours[-1]))
    fleets.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 3, 6, 10]))
    fleets.legend(loc="upper left", ncols=4)
    queues.set(ylabel="queue (requests)", xlabel="hour of the day")
    queues.set_ylim(0, max(100.0, 1.1 * queues.dataLim.y1))
    _draw_money(money, card)
    figure.suptitle(_finding(title, {lane["label"]: lane["cost"] for lane in card["lanes"]}), x=0.01, ha="left")
    return figure


def _draw_money(axes: Axes, card: dict[str, Any]) -> None:
    """Draw a bar per cost, in pieces by what the money bought."""
    accounts = card["lanes"] + ([card["optimum"]] if card["optimum"] else [])
    for row, account in enumerate(accounts):
        left = 0.0
        for name, words in WHERE.items():
            axes.barh(row, account["where"][name], left=left, label=words if row == 0 else None, **_WHERE_STYLE[name])
            left += account["where"][name]
        axes.annotate(f"${account['cost']:,.2f}", (left, row), (4, 0), textcoords="offset points", va="center")
    axes.set_yticks(range(len(accounts)), [account["label"] for account in accounts])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlim(0, 1.25 * max(account["cost"] for account in accounts))
    axes.set_xlabel("where the money went ($)")
    axes.legend(loc="upper center", bbox_to_anchor=(0.4, -0.38), ncols=3, fontsize=8, columnspacing=1.0)


def _finding(title: str, costs: dict[str, float]) -> str:
    """Return a title that says who is cheaper."""
    if len(costs) < 2:
        return title
    cheapest = min(costs, key=lambda label: costs[label])
    return f"{title}: {cheapest} is cheaper by ${max(costs.values()) - costs[cheapest]:,.2f}"


FRAMES = 80
"""Most pictures in a film; where there are more steps, some are skipped."""

FRAME_MILLISECONDS = 80
LAST_FRAME_MILLISECONDS = 2_500


@themed
def save_gif(sessions: Sequence[Session], path: Path, *, title: str, progress: bool = True) -> None:
    """Write what the sessions have done so far as a film.

    Args:
        sessions: On the same days, after the same number of steps, at least one.
        path: The file, which must end in `.gif`.
        title: What stands above: the pattern, say.
        progress: Whether to show a progress bar.

    Raises:
        ValueError: The name does not end in `.gif`, or nothing has happened yet.
    """
    check_gif(path)
    steps = len(sessions[0].history["cost"])
    if steps == 0:
        raise ValueError("steps = 0: there is nothing to show yet")
    figure, lines = _stage(sessions, steps, title)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    figure.set_layout_engine("none")  # the layout stays as it is: no frame moves, and drawing is faster
    pictures: list[Image.Image] = []
    shown = np.unique(np.linspace(1, steps, min(steps, FRAMES)).astype(int))
    for step in tqdm(shown, desc=path.name, unit="frame", disable=None if progress else True):
        for line, hours, values in lines:
            line.set_data(hours[: step + 1], values[: step + 1])
        canvas.draw()
        pictures.append(Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy()))
    palette = pictures[-1].quantize(64)  # the last picture has every colour
    frames = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    times = [FRAME_MILLISECONDS] * (len(frames) - 1) + [LAST_FRAME_MILLISECONDS]
    film = io.BytesIO()
    frames[0].save(film, "GIF", save_all=True, append_images=frames[1:], duration=times, loop=0, optimize=False)
    write_atomically(path, lambda file: file.write(film.getvalue()))


def check_gif(path: Path) -> None:
    """Raise `ValueError` if a film cannot be written there."""
    if path.suffix.lower() != ".gif":
        raise ValueError(f"save = {str(path)!r}: must end in .gif")
    if path.is_dir():
        raise ValueError(f"save = {str(path)!r}: is a folder")
    if not path.absolute().parent.is_dir():
        raise ValueError(f"save = {str(path)!r}: there is no such folder")


def _stage(
    sessions: Sequence[Session], steps: int, title: str
) -> tuple[Figure, list[tuple[Line2D, NDArray[np.float64], NDArray[np.float64]]]]:
    """Set up axes that fit the whole film; return each line with the hours and values that it will show."""
    service = sessions[0].service
    hours = np.arange(steps + 1) * service.step_seconds / 3600
    figure = new_figure(9.0, 5.4)
    figure.set_dpi(80)
    panels: list[Axes] = list(figure.subplots(3, 1, sharex=True, height_ratios=[3, 1.2, 1.6]))
    lines: list[tuple[Line2D, NDArray[np.float64], NDArray[np.float64]]] = []

    def add(axes: Axes, values: NDArray[np.float64], colour: str, label: str, width: float) -> None:
        (line,) = axes.plot(hours, values, color=colour, label=label, linewidth=width)
        lines.append((line, hours, values))

    for session in sessions:
        kept = {name: np.array(values, dtype=float) for name, values in session.history.items()}
        colour, label = colour_of(session.name), label_of(session.name)
        fleet = np.insert(kept["ready"] + kept["booting"], 0, service.initial_instances)
        add(panels[0], fleet, colour, label, 2.0)
        add(panels[1], np.insert(kept["queue"], 0, 0.0), colour, label, 1.4)
        add(panels[2], np.insert(np.cumsum(kept["cost"]), 0, 0.0), colour, label, 2.0)
    arrivals = np.array(sessions[0].history["arrivals"], dtype=float) / service.capacity_per_instance
    add(panels[0], np.insert(arrivals, 0, arrivals[0]), DEMAND_COLOUR, "demand", 1.0)
    for axes, label in zip(panels, ("instances", "queue\n(requests)", "cost so far ($)"), strict=True):
        axes.set_ylabel(label)
        axes.set_ylim(0, max(1.05 * axes.get_ylim()[1], 1.0))
    panels[2].set(xlabel="hour", xlim=(0, hours[-1]))
    panels[2].xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 3, 6, 10]))
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    figure.suptitle(title, x=0.01, ha="left")
    figure.align_ylabels()
    return figure, lines
