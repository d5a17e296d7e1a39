"""A day as a film: what sessions did, written as a GIF."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from PIL import Image
from tqdm.auto import tqdm

from autoscaler_env.demo.session import Session
from autoscaler_env.plotting.style import DEMAND_COLOUR, colour_of, label_of, new_figure, themed
from autoscaler_env.storage.files import write_atomically

FRAMES = 80
"""Most pictures in a film; where there are more slots, some are skipped."""

FRAME_MILLISECONDS = 80
LAST_FRAME_MILLISECONDS = 2_500


@themed
def save_gif(sessions: Sequence[Session], path: Path, *, title: str, progress: bool = True) -> None:
    """Write what the sessions have done so far as a film.

    Args:
        sessions: On the same days, after the same number of steps, at least one.
        path: The file, which must end in `.gif`.
        title: What stands above: the load pattern, say.
        progress: Whether to show a progress bar.

    Raises:
        ValueError: The name does not end in `.gif`, or nothing has happened yet.
    """
    check_gif(path)
    steps = len(sessions[0].history["bill"])
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
    hours = np.arange(steps + 1) * service.slot_seconds / 3600
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
        add(panels[2], np.insert(np.cumsum(kept["bill"]), 0, 0.0), colour, label, 2.0)
    arrivals = np.array(sessions[0].history["arrivals"], dtype=float) / service.capacity_per_instance
    add(panels[0], np.insert(arrivals, 0, arrivals[0]), DEMAND_COLOUR, "demand", 1.0)
    for axes, label in zip(panels, ("instances", "queue\n(requests)", "bill so far ($)"), strict=True):
        axes.set_ylabel(label)
        axes.set_ylim(0, max(1.05 * axes.get_ylim()[1], 1.0))
    panels[2].set(xlabel="hour", xlim=(0, hours[-1]))
    panels[2].xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 3, 6, 10]))
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    figure.suptitle(title, x=0.01, ha="left")
    figure.align_ylabels()
    return figure, lines
