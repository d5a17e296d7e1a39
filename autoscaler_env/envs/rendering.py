"""Render one day as pixels or text."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.service import Service

RenderMode = Literal["rgb_array", "ansi"]

_ROWS = {"capacity": "#0072B2", "demand": "#D55E00", "queue": "#CC79A7", "cost": "#009E73"}


class DayRecord:
    """The steps of one day so far.

    Args:
        service: Whose day it is.
    """

    def __init__(self, service: Service) -> None:
        self.service = service
        self._steps: list[tuple[float, ...]] = []

    def clear(self) -> None:
        """Forget the day."""
        self._steps.clear()

    def append(self, info: dict[str, Any]) -> None:
        """Add the step that an environment's `info` describes."""
        cost = info["instance_cost"] + info["late_cost"] + info["drop_cost"]
        self._steps.append((info["ready"], info["booting"], info["arrivals"], info["queue"], cost))

    def columns(self) -> dict[str, NDArray[np.float64]]:
        """Return ready, booting, arrivals, queue and cost ($ so far), each of shape (steps so far,)."""
        table = np.array(self._steps, dtype=float).reshape(len(self._steps), 5)
        names = ("ready", "booting", "arrivals", "queue", "cost")
        columns = dict(zip(names, table.T, strict=True))
        columns["cost"] = np.cumsum(columns["cost"])
        return columns


def render_day(record: DayRecord, mode: RenderMode) -> NDArray[np.uint8] | str:
    """Show a day so far: as an image, uint8 of shape (height, width, 3), or as text."""
    return _as_text(record) if mode == "ansi" else _as_pixels(record)


def _as_text(record: DayRecord) -> str:
    columns = record.columns()
    service = record.service
    steps = len(columns["ready"])
    if steps == 0:
        return f"step 0 of {service.steps_per_episode}: {service.initial_instances} instances, nothing has arrived yet"
    now = {name: values[-1] for name, values in columns.items()}
    bars = [
        ("fleet", now["ready"] + now["booting"], service.max_instances, "instances"),
        ("demand", now["arrivals"], service.arrivals_scale, "requests/step"),
        ("queue", now["queue"], max(service.queue_limit, 1), "requests"),
    ]
    lines = [f"step {steps} of {service.steps_per_episode}"]
    for name, value, most, unit in bars:
        filled = min(40, round(40 * value / most))
        lines.append(f"{name:<7}|{'#' * filled}{'.' * (40 - filled)}| {value:,.0f} {unit}")
    lines.append(f"cost    ${now['cost']:.2f}")
    return "\n".join(lines)


def _as_pixels(record: DayRecord) -> NDArray[np.uint8]:
    # Imported here: a program that never renders should not pay for matplotlib.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    service = record.service
    columns = record.columns()
    hours = np.arange(1, len(columns["ready"]) + 1) * service.step_seconds / 3600
    figure = Figure(figsize=(8, 4.8), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    fleet_axes, queue_axes, cost_axes = figure.subplots(3, 1, sharex=True, height_ratios=[3, 1, 1])
    fleet = columns["ready"] + columns["booting"]
    fleet_axes.plot(hours, columns["arrivals"] / service.capacity_per_instance, color=_ROWS["demand"], label="demand")
    fleet_axes.step(hours, fleet, color=_ROWS["capacity"], label="fleet, ready or booting")
    fleet_axes.set(
        ylabel="instances", ylim=(0, None), xlim=(0, service.steps_per_episode * service.step_seconds / 3600)
    )
    fleet_axes.legend(loc="upper right", ncols=2, frameon=False)
    queue_axes.fill_between(hours, columns["queue"], color=_ROWS["queue"])
    queue_axes.set(ylabel="queue\n(requests)", ylim=(0, max(100.0, 1.1 * columns["queue"].max(initial=0))))
    cost_axes.plot(hours, columns["cost"], color=_ROWS["cost"])
    cost_axes.set(ylabel="cost ($)", xlabel="hour of the day", ylim=(0, max(1.0, 1.1 * columns["cost"].max(initial=0))))
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
