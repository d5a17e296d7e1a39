"""Figures of finished days, and animations of them as GIF files.

A document without a kernel shows the figure instead of the control room.
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
from autoscaler_env.text import dollars

BASELINE = "threshold"
"""The policy that is drawn beside the chosen one by default."""

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
    baseline: str = BASELINE,
    service: Service | None = None,
    folders: Folders | None = None,
) -> Figure:
    """Play and draw one day under two policies.

    Args:
        policy: The policy, as `find_policy` takes it.
        pattern: The pattern's name.
        seed: Number of the evaluation day, at least 0.
        baseline: The policy drawn beside it; with the same policy twice, it is drawn alone.
        service: The service; the reference service by default.
        folders: Folders with the models; the project's folders by default.

    Returns:
        The figure: demand and fleet, queue, and cost so far, a column per policy. The title names the cheaper policy.

    Raises:
        ValueError: A name is unknown, or the seed is negative.
    """
    service = service or Service()
    days = demo_days(pattern, seed=seed, count=1, service=service)
    trajectories = {}
    for spec in dict.fromkeys((policy, baseline)):
        played = find_policy(spec, service, folders)
        trajectories[played.name] = simulate(played, days, service)
    costs = {label_of(name): float(trajectory.cost.sum()) for name, trajectory in trajectories.items()}
    return plot_side_by_side(trajectories, title=_finding(f"{pattern}, evaluation day {seed}", costs))


@themed
def draw_score(sessions: Sequence[Session], title: str) -> Figure:
    """Draw the score card of sessions that have finished the same day.

    Args:
        sessions: One or two, each after the last step of its first day.
        title: The first words of the title, such as the pattern and the day.

    Returns:
        The figure. Above: demand and the fleets, with the fleet of the clairvoyant optimum if it is known. Below: the
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
        style: dict[str, Any] = {"color": colour_of(session.name), "baseline": None, "linestyle": line}
        fleet = np.add(session.history["ready"], session.history["booting"])
        fleets.stairs(fleet, hours, linewidth=2, label=label, **style)
        queues.stairs(session.history["queue"], hours, linewidth=1.6, **style)
    demand = np.divide(sessions[0].history["arrivals"], service.capacity_per_instance)
    fleets.stairs(demand, hours, baseline=None, color=DEMAND_COLOUR, linewidth=1.1, label="demand")
    fleets.set(ylabel="fleet (instances)", ylim=(0, None), xlim=(0, hours[-1]))
    fleets.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 3, 6, 10]))
    fleets.legend(loc="upper left", ncols=4)
    queues.set(ylabel="queue (requests)", xlabel="hour of the day")
    queues.set_ylim(0, max(100.0, 1.1 * queues.dataLim.y1))
    _draw_money(money, card)
    figure.suptitle(_finding(title, {lane["label"]: lane["cost"] for lane in card["lanes"]}), x=0.01, ha="left")
    return figure


def _draw_money(axes: Axes, card: dict[str, Any]) -> None:
    """Draw a bar per lane, split by where the money went."""
    accounts = card["lanes"] + ([card["optimum"]] if card["optimum"] else [])
    for row, account in enumerate(accounts):
        left = 0.0
        for name, words in WHERE.items():
            axes.barh(row, account["where"][name], left=left, label=words if row == 0 else None, **_WHERE_STYLE[name])
            left += account["where"][name]
        axes.annotate(dollars(account["cost"]), (left, row), (4, 0), textcoords="offset points", va="center")
    axes.set_yticks(range(len(accounts)), [account["label"] for account in accounts])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlim(0, 1.25 * max(account["cost"] for account in accounts))
    axes.set_xlabel("where the money went ($)")
    axes.legend(loc="upper center", bbox_to_anchor=(0.4, -0.38), ncols=3, fontsize=8, columnspacing=1.0)


def _finding(title: str, costs: dict[str, float]) -> str:
    """Return a title that names the cheaper policy and the difference."""
    if len(costs) < 2:
        return title
    cheapest = min(costs, key=lambda label: costs[label])
    return f"{title}: {cheapest} is cheaper by {dollars(max(costs.values()) - costs[cheapest])}"


FRAMES = 80
"""The most frames of an animation; with more steps than that, some steps have no frame."""

FRAME_MILLISECONDS, LAST_FRAME_MILLISECONDS = 80, 2_500
"""How long a frame is shown, and the last frame."""


@themed
def save_gif(sessions: Sequence[Session], path: Path, *, title: str, progress: bool = True) -> None:
    """Write the steps of the sessions so far as an animation.

    Args:
        sessions: One or more, on the same days, after the same number of steps, at least one.
        path: The file, which must end in `.gif`.
        title: The title above the panels, such as the pattern and the day.
        progress: Whether to show a progress bar.

    Raises:
        ValueError: The path is not usable, or no step was played.
    """
    check_gif(path)
    steps = len(sessions[0].history["cost"])
    if steps == 0:
        raise ValueError("steps = 0: must be at least 1 to draw an animation")
    figure, lines = _animation_axes(sessions, steps, title)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    figure.set_layout_engine("none")  # a fixed layout: nothing moves between frames, and drawing is faster
    pictures: list[Image.Image] = []
    shown = np.unique(np.linspace(1, steps, min(steps, FRAMES)).astype(int))
    for step in tqdm(shown, desc=path.name, unit="frame", disable=None if progress else True):
        for line, hours, values in lines:
            line.set_data(hours[: step + 1], values[: step + 1])
        canvas.draw()
        pictures.append(Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy()))
    palette = pictures[-1].quantize(64)  # all colours occur in the last picture
    frames = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    times = [FRAME_MILLISECONDS] * (len(frames) - 1) + [LAST_FRAME_MILLISECONDS]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], duration=times, loop=0, optimize=False)
    write_atomically(path, lambda file: file.write(buffer.getvalue()))


def check_gif(path: Path) -> None:
    """Check that an animation can be written to a path.

    Raises:
        ValueError: The path does not end in `.gif`, is a folder, or its folder does not exist.
    """
    if path.suffix.lower() != ".gif":
        raise ValueError(f"save = {str(path)!r}: must end in .gif")
    if path.is_dir():
        raise ValueError(f"save = {str(path)!r}: must be a file, this is a folder")
    if not path.absolute().parent.is_dir():
        raise ValueError(f"save = {str(path)!r}: must lie in an existing folder")


def _animation_axes(
    sessions: Sequence[Session], steps: int, title: str
) -> tuple[Figure, list[tuple[Line2D, NDArray[np.float64], NDArray[np.float64]]]]:
    """Draw axes that fit the whole animation; return the figure, and each line with its final hours and values."""
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
        history = {name: np.array(values, dtype=float) for name, values in session.history.items()}
        colour, label = colour_of(session.name), label_of(session.name)
        fleet = np.insert(history["ready"] + history["booting"], 0, service.initial_instances)
        add(panels[0], fleet, colour, label, 2.0)
        add(panels[1], np.insert(history["queue"], 0, 0.0), colour, label, 1.4)
        add(panels[2], np.insert(np.cumsum(history["cost"]), 0, 0.0), colour, label, 2.0)
    arrivals = np.array(sessions[0].history["arrivals"], dtype=float) / service.capacity_per_instance
    add(panels[0], np.insert(arrivals, 0, arrivals[0]), DEMAND_COLOUR, "demand", 1.0)
    for axes, label in zip(panels, ("fleet\n(instances)", "queue\n(requests)", "cost so far ($)"), strict=True):
        axes.set_ylabel(label)
        axes.set_ylim(0, max(1.05 * axes.get_ylim()[1], 1.0))
    panels[2].set(xlabel="hours since the start", xlim=(0, hours[-1]))
    panels[2].xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 3, 6, 10]))
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    figure.suptitle(title, x=0.01, ha="left")
    figure.align_ylabels()
    return figure, lines
