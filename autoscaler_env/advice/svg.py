"""Turn figures into SVG that is part of a page: the same bytes each time, in the page's own colours."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

_PAGE_COLOURS = {
    "#010101": "var(--ink)",  # what is said, see `_SETTINGS`
    "#000000": "var(--plain)",  # a policy that has no colour of its own
    "#222222": "var(--ink)",
    "#444444": "var(--ink)",
    "#332288": "var(--indigo)",  # of HPA; too dark on a dark page
    "#888888": "var(--line)",
    "#e2e2e2": "var(--grid)",
}
"""What the figures' inks are called on the page, which has a light and a dark face."""

_SETTINGS: Any = {
    "axes.facecolor": "none",
    "axes.labelcolor": "#010101",
    "axes.titlecolor": "#010101",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "svg.fonttype": "path",
    "text.color": "#010101",
    "xtick.color": "#888888",
    "xtick.labelcolor": "#010101",
    "ytick.color": "#888888",
    "ytick.labelcolor": "#010101",
}


def svg_of(draw: Callable[[], Figure], name: str, description: str, size: tuple[float, float] | None = None) -> str:
    """Return a figure as an `<svg>` element for an HTML page.

    Args:
        draw: Draws the figure; called with the settings that a page wants.
        name: Of the figure on the page, unlike any other's: letters and digits.
        description: What it shows, for those who cannot see it.
        size: Width and height in inches, where the figure's own do not suit.
    """
    buffer = io.StringIO()
    with mpl.rc_context(_SETTINGS | {"svg.hashsalt": name}):
        figure = draw()
        if size is not None:
            figure.set_size_inches(*size)
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)
    # A hundredth of a point is finer than any screen; of the letters, which are scaled, the numbers stay as they are.
    text = re.sub(r' d="[^"]*"', lambda path: re.sub(r"(\d\.\d\d)\d+", r"\1", path[0]), text)
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", text)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    for colour, page_colour in _PAGE_COLOURS.items():
        text = re.sub(colour, page_colour, text, flags=re.IGNORECASE)
    label = description.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    return text.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
