"""Colours, theme and saving of all figures."""

from __future__ import annotations

import contextlib
import functools
import io
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, Literal, ParamSpec, TypeVar, get_args

import matplotlib as mpl
from cycler import cycler
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from autoscaler_env.paths import Folders
from autoscaler_env.plotting.alt import describe
from autoscaler_env.policies.registry import CALIBRATED, learner_of, without_note
from autoscaler_env.storage.files import write_atomically
from autoscaler_env.text import not_a_choice

_P = ParamSpec("_P")
_R = TypeVar("_R")

POLICY_COLOURS = {
    "random": "#B0B0B0",
    "static": "#8C6D31",
    "fixed": "#8C6D31",
    "today": "#6E7680",
    "threshold": "#E69F00",
    "hpa-cpu": "#999933",
    "hpa-demand": "#332288",
    "kpa": "#882255",
    "forecast": "#0072B2",
    "target-tracking": "#56B4E9",
    "ideal-target-tracking": "#56B4E9",
    "kubernetes-hpa-cpu": "#999933",
    "kubernetes-hpa-demand": "#332288",
    "aws-target-tracking": "#AA4499",
    "aws-step-scaling": "#117733",
    "target-tracking-per-pattern": "#0072B2",
    "q-learning": "#CC79A7",
    "dqn": "#D55E00",
    "ppo": "#009E73",
    "policy-iteration": "#AA4499",
    "optimum": "#3A3A3A",
}
"""A fixed colour per rule, and per learner for all its training workloads (Okabe and Ito's set, grey and brown;
Tol's muted olive, indigo and wine for Kubernetes and Knative)."""

POLICY_COLOURS |= {f"{rule}-mixed": POLICY_COLOURS[rule] for rule in CALIBRATED}
POLICY_COLOURS = {f"{rule}-per-pattern": POLICY_COLOURS[rule] for rule in CALIBRATED} | POLICY_COLOURS

UNKNOWN_COLOUR = "#000000"
"""The colour of all other policies."""

ITEM_COLOURS = {"instance_cost": "#44546A", "late_cost": "#E8B54A", "drop_cost": "#A4243B"}
"""A colour per item of the cost: dark, light and red, which also differ in grey."""

ITEM_LABELS = {"instance_cost": "instances", "late_cost": "lateness", "drop_cost": "drops"}
"""The label of each item of the cost in figures."""

DEMAND_COLOUR = "#222222"
"""The colour of the demand, for every policy."""

QUEUE_COLOUR = ITEM_COLOURS["late_cost"]
"""The colour of the queue, for every policy: that of the lateness cost, which waiting requests cause."""

ACTION_COLOURS = {"remove": "#0072B2", "hold": "#E5E5E5", "add": "#D55E00"}
"""A colour per kind of action."""

THEME: Any = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#888888",
    "axes.grid": True,
    "axes.labelsize": 10,
    "axes.prop_cycle": cycler(color=["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#5F5F5F"]),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "figure.constrained_layout.h_pad": 0.06,
    "figure.constrained_layout.w_pad": 0.06,
    "figure.dpi": 100,
    "figure.titlesize": 12,
    "font.size": 10,
    "grid.color": "#E2E2E2",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
}
"""Matplotlib's settings for every figure; `themed` applies them and restores the user's settings afterwards."""

Theme = Literal["light", "dark"]
"""The paper that figures are drawn for."""

DARK: Any = {
    "axes.edgecolor": "#77818C",
    "axes.facecolor": "#12171D",
    "axes.labelcolor": "#E6EAEE",
    "figure.facecolor": "#12171D",
    "grid.color": "#2A323B",
    "text.color": "#E6EAEE",
    "xtick.color": "#77818C",
    "xtick.labelcolor": "#E6EAEE",
    "ytick.color": "#77818C",
    "ytick.labelcolor": "#E6EAEE",
}
"""What the settings change for dark paper: text, lines and background."""

_ON_DARK = {
    DEMAND_COLOUR: "#E6EAEE",
    UNKNOWN_COLOUR: "#B0B8C0",
    POLICY_COLOURS["today"]: "#98A2AD",
    POLICY_COLOURS["optimum"]: "#C8CED4",
    POLICY_COLOURS["hpa-demand"]: "#8D7FE0",
    POLICY_COLOURS["kpa"]: "#C9699B",
    ITEM_COLOURS["instance_cost"]: "#71869F",
    ITEM_COLOURS["drop_cost"]: "#D9586A",
}
"""Colours that cannot be seen on dark paper, and what takes their place there."""

_theme: ContextVar[Theme] = ContextVar("theme", default="light")


class Picture(Figure):
    """A figure that notebooks display without pyplot, with any backend."""

    alt: str = ""
    """What the figure shows, in words, where the numbers that are drawn do not say it; see `alt.describe`."""

    last_png: tuple[int, str, bytes] | None = None
    """Pixels per inch, words and bytes of its last PNG."""

    def _repr_png_(self) -> tuple[bytes, dict[str, Any]]:
        return png_of(self), png_metadata(self)


def new_figure(width: float = 9.0, height: float = 4.0) -> Picture:
    """Make an empty figure whose layout leaves space for all labels; sizes in inches."""
    figure = Picture(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def themed(draw: Callable[_P, _R]) -> Callable[_P, _R]:
    """Decorate a drawing function: it uses `THEME`, and matplotlib's settings stay as they were."""

    @functools.wraps(draw)
    def drawn(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with mpl.rc_context(THEME | (DARK if _theme.get() == "dark" else {})):
            return draw(*args, **kwargs)

    return drawn


@contextlib.contextmanager
def theme(name: Theme) -> Iterator[None]:
    """Let figures be drawn for light or dark paper while this lasts; light is the default.

    Raises:
        ValueError: There is no such theme.
    """
    if name not in get_args(Theme):
        raise ValueError(not_a_choice("theme", name, get_args(Theme)))
    token = _theme.set(name)
    try:
        yield
    finally:
        _theme.reset(token)


def shade(colour: str) -> str:
    """Return a colour as it can be seen on the paper of the current theme.

    Example:
        >>> with theme("dark"):
        ...     shade(DEMAND_COLOUR)
        '#E6EAEE'
    """
    return _ON_DARK.get(colour, colour) if _theme.get() == "dark" else colour


def colour_of(policy: str) -> str:
    """Return the fixed colour of a policy by its name in tables; black for an unknown policy.

    Example:
        >>> colour_of("ppo_mixed") == colour_of("ppo_spike (as before)") == "#009E73"
        True
    """
    return shade(POLICY_COLOURS.get(learner_of(policy) or without_note(policy), UNKNOWN_COLOUR))


COLOURS_OF_PNG = 256
"""Colours of a PNG. Figures have a few, and the shades between them; with a palette a sharp picture is a small file."""


def png_of(figure: Figure, dpi: int = 200) -> bytes:
    """Return a figure as the bytes of a PNG that says in words what it shows.

    Args:
        figure: The figure.
        dpi: Pixels per inch; the default is sharp on screens with two pixels for one.
    """
    words = describe(figure)
    if isinstance(figure, Picture) and figure.last_png is not None and not figure.stale:
        *made_for, content = figure.last_png  # a notebook displays what it has just saved: drawing takes long
        if made_for == [dpi, words]:
            return content
    drawn, buffer = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="raw", dpi=dpi)
    width, height = (int(inches * dpi) for inches in figure.get_size_inches())
    about = PngInfo()
    about.add_itxt("Description", words)
    picture = Image.frombytes("RGBA", (width, height), drawn.getvalue()).convert("RGB")
    few = picture.quantize(COLOURS_OF_PNG, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    few.save(buffer, "PNG", optimize=True, pnginfo=about)
    if isinstance(figure, Picture):
        figure.last_png = dpi, words, buffer.getvalue()
        figure.stale = False  # every change of what is drawn sets it again
    return buffer.getvalue()


def png_metadata(figure: Figure) -> dict[str, Any]:
    """Return what a notebook needs to know of a figure: its text for readers who cannot see it, and its width."""
    return {"alt": describe(figure), "width": round(100 * figure.get_figwidth())}


_Figure = TypeVar("_Figure", bound=Figure)


def save_figure(figure: _Figure, folders: Folders, name: str) -> _Figure:
    """Write a figure to `figures/NAME.png` and return it; a notebook displays it if this call ends the cell.

    Args:
        figure: The figure.
        folders: The folders of the run.
        name: The file name without ending; in the course it starts with the notebook's number, as in `06_costs`.

    Raises:
        ValueError: The name contains a folder or an ending.
    """
    if not name or any(character in name for character in "/\\."):
        raise ValueError(f"name = {name!r}: must be a plain file name without an ending")
    picture = png_of(figure)
    write_atomically(folders.figures / f"{name}.png", lambda file: file.write(picture))
    return figure
