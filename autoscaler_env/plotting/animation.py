"""Short animations: a day or a training as it happens, with a still end that says what happened."""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch
from matplotlib.ticker import MultipleLocator
from numpy.typing import NDArray
from PIL import Image

from autoscaler_env.evaluation.simulation import Trajectory
from autoscaler_env.paths import Folders
from autoscaler_env.plotting.style import DEMAND_COLOUR, QUEUE_COLOUR, colour_of, new_figure, shade, themed
from autoscaler_env.policies.registry import label_of
from autoscaler_env.storage.files import write_atomically
from autoscaler_env.text import capital, dollars, not_a_choice

WIDTH = 640
"""Pixels of an animation as pages show it; the file has half as many again, for sharp screens."""

ALTS = "tour.json"
"""The file, beside the animations, with what each shows in words."""

LAST_MILLISECONDS = 4_000
"""How long the last picture stays before the animation begins again."""

_INCHES, _DPI, _MILLISECONDS = (6.4, 4.0), 150, 110

_WITHOUT_CLIP = "#8A8A8A"


@dataclass(frozen=True)
class Animation:
    """A figure that shows one moment after the other."""

    figure: Figure
    moments: Sequence[int]
    """The moments that are shown, in order, such as the steps of a day."""
    show: Callable[[int], None]
    """Lets the figure show a moment."""
    alt: str
    """What it shows, in words and numbers, for readers who cannot see it."""

    def __post_init__(self) -> None:
        """Lay out the figure for the last moment, at which it rests; the layout stays."""
        FigureCanvasAgg(self.figure)
        self.figure.set_dpi(_DPI)
        self.show(self.moments[-1])
        self.figure.canvas.draw()
        self.figure.set_layout_engine("none")

    def pictures(self) -> Iterator[Image.Image]:
        """Yield a picture per moment, as wide as one and a half times `WIDTH` in pixels."""
        canvas = FigureCanvasAgg(self.figure)
        for moment in self.moments:
            self.show(moment)
            canvas.draw()
            yield Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())


@themed
def animate_boot_delay(trajectory: Trajectory, rise: int) -> Animation:
    """Draw how a queue grows while instances boot: demand and fleet above, the queue below.

    Args:
        trajectory: One day of a rule that orders instances when the demand rises.
        rise: The step in which the demand rises.

    Returns:
        The animation, a picture per step.

    Raises:
        ValueError: There is no queue, or it is not empty at the end of the day.
    """
    service, steps = trajectory.service, trajectory.arrivals.shape[1]
    if not trajectory.queue[0].any() or trajectory.queue[0, -1]:
        raise ValueError(f"trajectory: its queue must grow and be empty at the end, not {trajectory.queue[0].tolist()}")
    minutes = np.arange(steps + 1) * service.step_seconds / 60
    demand = trajectory.arrivals[0] / service.capacity_per_instance
    ready, fleet, queue = trajectory.ready[0], trajectory.fleet[0], trajectory.queue[0]
    figure = new_figure(*_INCHES)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[2, 1])
    colour = colour_of("target-tracking")
    rows = [
        _growing(above, minutes, fleet, color=colour, alpha=0.25, fill=True, label="booting"),
        _growing(above, minutes, ready, color=colour, alpha=0.9, fill=True, label="ready"),
        _growing(above, minutes, demand, color=shade(DEMAND_COLOUR), linewidth=2, baseline=None, label="demand"),
        _growing(below, minutes, queue, color=QUEUE_COLOUR, fill=True),
    ]
    above.set(ylabel="instances", ylim=(0, 1.3 * fleet.max()), xlim=(0, minutes[-1]))
    handles, labels = above.get_legend_handles_labels()
    above.legend(handles[::-1], labels[::-1], loc="upper left", ncols=3)
    below.set(ylabel="waiting\nrequests", ylim=(0, 1.25 * queue.max()), xlabel="minutes")
    below.xaxis.set_major_locator(MultipleLocator(30))
    below.yaxis.set_major_formatter("{x:,.0f}")
    figure.align_ylabels()
    title = figure.suptitle("\n", x=0.01, ha="left")
    boot = service.boot_steps * service.step_seconds / 60
    longest, peak = int(queue.argmax()), int(queue.max())
    ordered, first = int(np.argmax(fleet > fleet[0])), int(np.argmax(ready > ready[0]))
    empty = int(np.flatnonzero(queue).max()) + 1
    late = float(trajectory.late_cost.sum())
    waited = minutes[empty] - minutes[rise]
    end = (
        f"An instance boots for {boot:.0f} minutes: a queue of up to {peak:,} requests\n"
        f"lasts for {waited:.0f} minutes and costs {dollars(late)}"
    )

    def show(step: int) -> None:
        for patch, values in rows:
            _grow(patch, values, step + 1)
        booting = fleet[step] - ready[step]
        now = f"minute {minutes[step]:.0f}: {ready[step]} ready, {booting} booting, {queue[step]:,} requests wait"
        start = f"Demand rose at minute {minutes[rise]:.0f}" if step >= rise else "Demand is steady"
        title.set_text(end if step == steps - 1 else f"{start}\n{now}")

    alt = (
        f"Animation. The demand rises from {demand[0]:.0f} to {demand[rise]:.0f} instances at minute "
        f"{minutes[rise]:.0f}. From minute {minutes[ordered]:.0f} the rule orders an instance a step, up to a fleet of "
        f"{fleet.max()}; each boots for {boot:.0f} minutes, and the first is ready at minute {minutes[first]:.0f}. "
        f"Meanwhile a queue grows to {peak:,} requests at minute {minutes[longest + 1]:.0f}; it is empty at minute "
        f"{minutes[empty]:.0f}. The wait costs {dollars(late)}."
    )
    return Animation(figure, range(steps), show, alt)


@themed
def animate_day(
    trajectories: Mapping[str, Trajectory], title: str, day: int = 0, steps_per_picture: int = 4
) -> Animation:
    """Draw the same day under several policies, a column each: demand and fleet, the queue, and the cost so far.

    Args:
        trajectories: The result of `simulate` by the policy's name in tables; three policies fit.
        title: What the day is; the end adds the costs.
        day: The number of the day in the trajectories.
        steps_per_picture: How many steps pass from one picture to the next.

    Returns:
        The animation.
    """
    service, steps = next((each.service, each.arrivals.shape[1]) for each in trajectories.values())
    hours = np.arange(steps + 1) * service.step_seconds / 3600
    figure = new_figure(*_INCHES)
    panels = figure.subplots(2, len(trajectories), sharex=True, sharey="row", squeeze=False, height_ratios=[2, 1])
    rows, totals = [], {}
    for column, (policy, trajectory) in enumerate(trajectories.items()):
        above, below = panels[:, column]
        demand = trajectory.arrivals[day] / service.capacity_per_instance
        colour, fleet = colour_of(policy), trajectory.fleet[day]
        rows += [
            _growing(above, hours, fleet, color=colour, alpha=0.3, fill=True),
            _growing(above, hours, fleet, color=colour, linewidth=1.6, baseline=None),
            _growing(above, hours, demand, color=shade(DEMAND_COLOUR), linewidth=1.0, baseline=None),
            _growing(below, hours, trajectory.queue[day], color=QUEUE_COLOUR, fill=True),
        ]
        above.set(xlim=(0, hours[-1]))
        below.set(xlabel="hour", xticks=range(0, int(hours[-1]) + 1, 6))
        totals[policy] = np.cumsum(trajectory.cost[day])
    highest = max(
        max(each.fleet[day].max(), each.arrivals[day].max() / service.capacity_per_instance)
        for each in trajectories.values()
    )
    longest = max(int(trajectory.queue[day].max()) for trajectory in trajectories.values())
    panels[0, 0].set(ylabel="instances", ylim=(0, 1.05 * highest))
    panels[1, 0].set(ylabel="waiting\nrequests", ylim=(0, 1.1 * max(longest, 1)))
    panels[1, 0].yaxis.set_major_formatter("{x:,.0f}")
    figure.align_ylabels()
    headings = [axes.set_title("\n", fontsize=10) for axes in panels[0]]
    heading = figure.suptitle(title, x=0.01, ha="left")
    cheapest = min(totals, key=lambda policy: float(totals[policy][-1]))

    def show(step: int) -> None:
        for patch, values in rows:
            _grow(patch, values, step + 1)
        for text, (policy, costs) in zip(headings, totals.items(), strict=True):
            text.set_text(f"{_short(policy)}\n{dollars(costs[step])}")
        end = f"Cheapest on this day: {_short(cheapest)}" if step == steps - 1 else "The thin line is the demand"
        heading.set_text(f"{title}. {end}")

    parts = [
        f"{_short(policy)} costs {dollars(trajectory.cost[day].sum())} (instances "
        f"{dollars(trajectory.instance_cost[day].sum())}, late and dropped requests "
        f"{dollars((trajectory.late_cost + trajectory.drop_cost)[day].sum())}), with at most "
        f"{trajectory.fleet[day].max()} instances and {trajectory.queue[day].max():,} waiting requests"
        for policy, trajectory in trajectories.items()
    ]
    alt = f"Animation. {title}: the same day under {len(parts)} policies. {capital('; '.join(parts))}."
    last = [*range(steps_per_picture - 1, steps - 1, steps_per_picture), steps - 1]
    return Animation(figure, last, show, alt)


def clipped_ascent(
    probabilities: Sequence[float], advantage: float, clip: float, step_size: float, steps: int
) -> NDArray[np.float64]:
    """Return a policy's probabilities while gradient steps follow the clipped objective of its first action.

    The policy is a softmax of one number per action. Each step goes up the gradient of `min(ratio * advantage,
    clip(ratio, 1 - clip, 1 + clip) * advantage)`, where the ratio is the probability of the first action over the one
    before the steps.

    Args:
        probabilities: Of each action before the steps; positive, and their sum is 1.
        advantage: Of the first action.
        clip: The clip range; infinity for the objective without a clip.
        step_size: Of the gradient steps; positive.
        steps: How many steps are taken.

    Returns:
        The probabilities before the steps and after each, shape (steps + 1, actions).

    Example:
        >>> plain, clipped = (clipped_ascent([0.25] * 4, 1.0, clip, 0.2, 20)[-1, 0] / 0.25 for clip in (np.inf, 0.2))
        >>> print(f"{plain:.2f} {clipped:.2f}")
        3.69 1.35
    """
    logits = np.log(probabilities)
    old, rows = probabilities[0], [np.asarray(probabilities, dtype=float)]
    for _ in range(steps):
        current = rows[-1]
        ratio = current[0] / old
        flat = ratio >= 1 + clip if advantage > 0 else ratio <= 1 - clip
        if not flat:
            logits = logits + step_size * advantage * ratio * (np.eye(len(logits))[0] - current)
        weights = np.exp(logits - logits.max())
        rows.append(weights / weights.sum())
    return np.array(rows)


@themed
def animate_clipped_step(
    plain: NDArray[np.float64], clipped: NDArray[np.float64], actions: Sequence[str], clip: float
) -> Animation:
    """Draw gradient steps for one good action, with PPO's clip and without it: the objective, and the probabilities.

    Args:
        plain: Probabilities before the steps and after each without the clip, shape (steps + 1, actions); see
            `clipped_ascent`. The first action is the good one, with advantage 1.
        clipped: The same with the clip.
        actions: What each action is called.
        clip: The clip range.

    Returns:
        The animation, a picture per gradient step.
    """
    ratios = {"without clip": plain[:, 0] / plain[0, 0], "with clip": clipped[:, 0] / clipped[0, 0]}
    colours = {"without clip": _WITHOUT_CLIP, "with clip": colour_of("ppo")}
    steps, highest = len(plain) - 1, 1.1 * max(ratios["without clip"])
    figure = new_figure(*_INCHES)
    left, right = figure.subplots(1, 2, width_ratios=[1.25, 1])
    x = np.linspace(0.8, highest, 200)
    left.plot(x, x, color=colours["without clip"], linewidth=1.2)
    left.plot(x, np.minimum(x, 1 + clip), color=colours["with clip"], linewidth=1.8)
    for axis in (left.xaxis, left.yaxis):
        axis.set_major_locator(MultipleLocator(0.2))
    left.axvline(1 + clip, color="#888888", linestyle=":", linewidth=1)
    left.set(xlabel="ratio: new / old probability", ylabel="objective", xlim=(0.8, highest), ylim=(0.8, highest))
    dots = {name: left.plot([], [], "o", color=colour, markersize=11)[0] for name, colour in colours.items()}
    places = np.arange(len(actions))
    bars = {
        name: right.bar(places + offset, plain[0], 0.36, color=colours[name], label=name)
        for name, offset in (("with clip", -0.19), ("without clip", 0.19))
    }
    right.hlines(plain[0], places - 0.45, places + 0.45, color=shade(DEMAND_COLOUR), linewidth=1.4, label="before")
    right.set(ylabel="probability", xticks=places, ylim=(0, 1.35 * plain.max()))
    right.set_xticklabels(actions)
    right.legend(loc="upper right")
    title = figure.suptitle("\n", x=0.01, ha="left")

    def show(step: int) -> None:
        for name, dot in dots.items():
            ratio = float(ratios[name][step])
            dot.set_data([ratio], [min(ratio, 1 + clip) if name == "with clip" else ratio])
        for name, rows in (("with clip", clipped), ("without clip", plain)):
            for bar, value in zip(bars[name], rows[step], strict=True):
                bar.set_height(value)
        now = f"with clip {ratios['with clip'][step]:.2f}, without clip {ratios['without clip'][step]:.2f}"
        first = "One good action, the same gradient steps with and without the clip"
        if step == steps:
            first = f"The clip stops the action at a little more than {1 + clip:g} times its old probability"
        title.set_text(f"{first}\nstep {step} of {steps}: ratio {now}")

    end = {name: float(values[-1]) for name, values in ratios.items()}
    stopped = int(np.argmax(ratios["with clip"] >= 1 + clip))
    alt = (
        f"Animation. An action with probability {plain[0, 0]:.2f} and advantage 1 gets {steps} gradient steps. Without "
        f"the clip its probability becomes {plain[-1, 0]:.2f}, {end['without clip']:.2f} times the old one. With clip "
        f"range {clip:g} the objective is flat beyond {1 + clip:g}: the probability stops at {clipped[-1, 0]:.2f}, "
        f"{end['with clip']:.2f} times the old one, after step {stopped}."
    )
    return Animation(figure, range(steps + 1), show, alt)


@dataclass(frozen=True)
class Shown:
    """An animation in a notebook: as it moves, as its still end for readers who want no motion, or as words."""

    moving: bytes
    """The WebP."""
    still: bytes
    """The PNG of its last picture."""
    alt: str
    """What it shows, in words and numbers."""

    def __repr__(self) -> str:
        return self.alt

    def _repr_html_(self) -> str:
        moving, still = (base64.b64encode(picture).decode() for picture in (self.moving, self.still))
        size = f'width="{WIDTH}" style="max-width: 100%; height: auto"'
        return (
            f'<picture><source media="(prefers-reduced-motion: reduce)" srcset="data:image/png;base64,{still}">'
            f'<img src="data:image/webp;base64,{moving}" {size} alt="{html.escape(self.alt)}"></picture>'
        )


def show_animation(name: str) -> Shown:
    """Return one of the course's animations, for a notebook to show; it needs no network.

    Args:
        name: Such as `boot_delay`.

    Raises:
        ValueError: There is no such animation.
    """
    folder = Folders.course().figures
    alts = json.loads((folder / ALTS).read_text(encoding="utf-8"))
    if name not in alts:
        raise ValueError(not_a_choice("name", name, alts))
    moving, still = ((folder / f"tour_{name}.{kind}").read_bytes() for kind in ("webp", "png"))
    return Shown(moving, still, alts[name])


def save_animation(animation: Animation, folder: Path, name: str) -> int:
    """Write an animation that repeats for ever and rests on its last picture, and that picture; return its bytes.

    Args:
        animation: What to write.
        folder: Gets `tour_NAME.webp`, and `tour_NAME.png` with the last picture.
        name: Such as `boot_delay`.
    """
    first, *others = animation.pictures()
    times = [*[_MILLISECONDS] * len(others), LAST_MILLISECONDS]
    content = io.BytesIO()
    first.save(
        content, "WEBP", save_all=True, append_images=others, duration=times, loop=0, lossless=True, method=6,
        minimize_size=True,
    )  # fmt: skip
    write_atomically(folder / f"tour_{name}.webp", lambda file: file.write(content.getvalue()))
    still = io.BytesIO()
    [first, *others][-1].quantize(256, dither=Image.Dither.NONE).save(still, "PNG", optimize=True)
    write_atomically(folder / f"tour_{name}.png", lambda file: file.write(still.getvalue()))
    return len(content.getvalue())


def _short(policy: str) -> str:
    """Return the label of a policy without the note on its setting."""
    return label_of(policy).split(",")[0]


def _growing(axes: Axes, edges: NDArray[Any], values: NDArray[Any], **style: Any) -> tuple[StepPatch, NDArray[Any]]:
    """Draw steps that `_grow` shows one after the other; return the drawing, and the values."""
    return axes.stairs(np.full(len(values), np.nan), edges, **style), np.asarray(values, dtype=float)


def _grow(patch: StepPatch, values: NDArray[np.float64], shown: int) -> None:
    """Let a drawing show its first steps."""
    patch.set_data(values=np.where(np.arange(len(values)) < shown, values, np.nan))
