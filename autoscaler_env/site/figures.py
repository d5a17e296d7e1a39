"""Pictures of the site: the figures of policies' pages for light and dark paper, and stills of films."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure
from PIL import Image

from autoscaler_env.paths import Folders
from autoscaler_env.plotting import plot_learning_curves, plot_variants
from autoscaler_env.plotting.alt import describe
from autoscaler_env.plotting.animation import ALTS
from autoscaler_env.plotting.style import Theme, theme
from autoscaler_env.policies.registry import LEARNERS, label_of
from autoscaler_env.site.links import without_math
from autoscaler_env.site.policies import Saved, published_curves, savings_of
from autoscaler_env.text import capital

THEMES: tuple[Theme, ...] = ("light", "dark")
"""Each figure is drawn once for each; the page shows the one that fits."""


def draw_figures(name: str, folders: Folders, source: Path) -> dict[str, str]:
    """Draw the figures of a policy's page.

    Args:
        name: The policy.
        folders: Where the committed tables are.
        source: The folder of the site's sources; the figures go to `figures/` in it.

    Returns:
        Markdown of each figure: `savings` where the tables compare the policy, `curve` where it learns.
    """
    figures: dict[str, str] = {}
    saved = savings_of(name, folders)
    if saved:
        figures["savings"] = _both_themes(f"{name}-savings", source, lambda: _savings(name, saved))
    if name in LEARNERS:
        curves = {name: published_curves(name, folders)}
        title = f"{capital(label_of(name))} during training: each line is a seed"
        figures["curve"] = _both_themes(
            f"{name}-curve", source, lambda: plot_learning_curves(curves, title=title, against=("timesteps",))
        )
    return figures


def _savings(name: str, saved: list[Saved]) -> Figure:
    """Draw what each variant of a policy saves, each against its own baseline."""
    rows = [
        {
            "variant": f"{capital(each.label)}, against {label_of(each.against)}",
            "pattern": pattern,
            "saving": interval.mean,
            "low": interval.low,
            "high": interval.high,
        }
        for each in saved
        for pattern, interval in each.by_pattern.items()
    ]
    table = pd.DataFrame(rows).set_index(["variant", "pattern"])
    return plot_variants(table, name, f"What {label_of(name)} saves, by {saved[0].place}")


def _both_themes(name: str, source: Path, draw: Callable[[], Figure]) -> str:
    """Draw a figure for each theme; return Markdown that shows the one that fits the page."""
    parts = []
    for paper in THEMES:
        with theme(paper), rc_context({"svg.hashsalt": name}):
            figure = draw()
            path = source / "figures" / f"{name}-{paper}.svg"
            path.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(path, transparent=True, metadata={"Date": None, "Creator": None})
        parts.append(f"```{{image}} /figures/{path.name}\n:alt: {describe(figure)}\n:class: only-{paper}\n```")
    return "\n\n".join(parts)


def copy_film(film: Path, name: str, source: Path, extra: Path) -> None:
    """Copy a film to the sources, and a still beside the place that it gets, for readers who want no motion.

    Args:
        film: A GIF or WebP. A PNG of its name beside it is the still, else its first picture.
        name: What it is called on the site, without ending.
        source: The folder of the site's sources.
        extra: The folder of files that the site carries as they are.
    """
    shutil.copy(film, source / "figures" / f"{name}{film.suffix}")
    still, target = film.with_suffix(".png"), extra / "_images" / f"{name}.png"
    target.parent.mkdir(exist_ok=True)
    if still.is_file():
        shutil.copy(still, target)
    else:
        with Image.open(film) as pictures:
            pictures.convert("RGB").save(target)


def tour_of(root: Path, source: Path, extra: Path) -> str:
    """Copy the course's animations to the sources; return Markdown that shows each for the theme of the page.

    Args:
        root: The checkout.
        source: The folder of the site's sources.
        extra: The folder of files that the site carries as they are.
    """
    folder = root / "figures"
    parts = []
    for name, alt in json.loads((folder / ALTS).read_text(encoding="utf-8")).items():
        for paper, place in (("light", folder), ("dark", folder / "dark")):
            copy_film(place / f"tour_{name}.webp", f"tour_{name}-{paper}", source, extra)
            parts.append(
                f"```{{image}} /figures/tour_{name}-{paper}.webp\n:alt: {alt}\n:class: asr-film only-{paper}\n"
                ":loading: lazy\n```"
            )
        parts.append(without_math(alt.removeprefix("Animation. ")))
    return "\n\n".join(parts)
