"""What a figure shows, in words with its numbers, for readers who cannot see it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.category import StrCategoryLocator
from matplotlib.collections import FillBetweenPolyCollection, PathCollection, QuadMesh
from matplotlib.container import BarContainer, ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import StepPatch
from matplotlib.ticker import FixedLocator

MOST_SERIES = 12
"""Series of a panel that the text names; it counts the others."""

MOST_NUMBERS = 8
"""Values of a series up to which the text has each; of a longer one it has both ends, the lowest and the highest."""

MOST_CELLS = 64
"""Cells of a matrix up to which the text has the number of each."""

MOST_LETTERS = 1_500
"""Length of a text; nobody listens to more."""


def describe(figure: Figure) -> str:
    """Return what a figure shows: its title, and for each panel the axes and the numbers of its series.

    The numbers come from what is drawn, so the text cannot contradict the figure.

    Args:
        figure: The figure. A text of its own, `Picture.alt`, is returned as it is.

    Returns:
        Sentences on one line, at most `MOST_LETTERS` letters.

    Example:
        >>> from autoscaler_env.plotting.style import new_figure
        >>> figure = new_figure()
        >>> _ = figure.subplots().plot([0, 1, 2], [5.0, 7.0, 6.0], label="PPO")
        >>> describe(figure)
        'PPO: 5, 7, 6.'
    """
    if written := getattr(figure, "alt", ""):
        return str(written)
    panels = [axes for axes in figure.axes if axes.get_visible() and axes.get_label() != "<colorbar>"]
    shared = ", ".join(_quantities(_plain(figure.get_supxlabel()), _plain(figure.get_supylabel())))
    sentences = [_plain(figure.get_suptitle()), shared, *(_panel(axes, len(panels) > 1) for axes in panels)]
    text = " ".join(f"{sentence.rstrip('.')}." for sentence in sentences if sentence)
    return text if len(text) <= MOST_LETTERS else text[: MOST_LETTERS - 3].rpartition(";")[0] + "..."


def _panel(axes: Axes, is_one_of_several: bool) -> str:
    """Return what one panel shows."""
    title = " ".join(filter(None, (_plain(axes.get_title(loc)) for loc in ("left", "center", "right"))))
    series = list(dict.fromkeys(_series_of(axes)))
    more = len(series) - MOST_SERIES
    shown = "; ".join(series[:MOST_SERIES]) + (f"; and {more} more" if more > 0 else "")
    quantities = _quantities(_plain(axes.get_xlabel()), _plain(axes.get_ylabel()))
    named = title or ("panel" if is_one_of_several else "")
    where = f" ({', '.join(quantities)})" if quantities else ""
    return f"{named}{where}: {shown}".strip(" :") if shown else f"{named}{where}".strip()


def _quantities(across: str, upwards: str) -> list[str]:
    """Return what stands along the axes that have a label."""
    return [f"{way}: {label}" for way, label in (("across", across), ("upwards", upwards)) if label]


def _series_of(axes: Axes) -> Iterator[str]:
    """Yield what each series of a panel shows: bars, points with intervals, lines, point clouds, cells, numbers."""
    inside = set()
    for container in axes.containers:
        inside |= set(map(id, _parts(container)))
        if isinstance(container, BarContainer):
            across = container.orientation == "horizontal"
            sizes = [bar.get_width() if across else bar.get_height() for bar in container]
            centres = [
                bar.get_y() + bar.get_height() / 2 if across else bar.get_x() + bar.get_width() / 2 for bar in container
            ]
            yield _named(container.get_label(), _by_place(axes, centres, sizes, across))
        elif isinstance(container, ErrorbarContainer) and container.lines[0] is not None:
            yield _named(container.get_label(), _points(axes, container.lines[0]))
        elif medians := getattr(container, "medians", None):  # box plots of seaborn
            yield f"median of {', '.join(_median(axes, line) for line in medians)}"
    steps = [patch for patch in axes.patches if isinstance(patch, StepPatch)]
    yield from (_named(patch.get_label(), _values(np.asarray(patch.get_data()[0]))) for patch in steps)
    lines = [line for line in axes.get_lines() if id(line) not in inside and len(np.atleast_1d(line.get_ydata())) > 0]
    named = [line for line in lines if not str(line.get_label()).startswith("_")]
    yield from (_line(axes, line) for line in named or [line for line in lines if _is_series(axes, line)])
    has_cells = False
    for mappable in (*axes.collections, *axes.get_images()):
        label = str(mappable.get_label())
        if isinstance(mappable, (QuadMesh, AxesImage)) and mappable.get_array() is not None:
            has_cells = True
            yield _cells(axes, np.ma.asarray(mappable.get_array()))
        elif isinstance(mappable, PathCollection) and not label.startswith("_"):
            at = np.asarray(mappable.get_offsets())
            yield f"{label}: {len(at)} points, across {_span(at[:, 0])}, upwards {_span(at[:, 1])}"
        elif isinstance(mappable, FillBetweenPolyCollection) and not label.startswith("_"):
            outline = np.concatenate([path.vertices for path in mappable.get_paths()])
            end = outline[outline[:, 0] == outline[:, 0].max(), 1]
            yield f"{label}: {_number(float(np.ptp(end)))} at the right end"
    if not has_cells:  # in a matrix the notes are the numbers of the cells
        yield from (text for text in (_plain(note.get_text()) for note in axes.texts) if text)


def _is_series(axes: Axes, line: Line2D) -> bool:
    """Return whether a line without a name is more than a mark: a curve, or points in a row that has a name."""
    return len(np.atleast_1d(line.get_xdata())) > 2 or (bool(_names(axes, "y")) and not _is_straight(line))


def _is_straight(line: Line2D) -> bool:
    """Return whether a line is the mark of one number: upright or level, through the whole panel."""
    x, y = np.atleast_1d(line.get_xdata()), np.atleast_1d(line.get_ydata())
    return len(y) == 2 and (x[0] == x[1] or y[0] == y[1])


def _names(axes: Axes, which: str) -> dict[float, str]:
    """Return the names along an axis by their places; empty where the axis has numbers."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    if not isinstance(axis.get_major_locator(), (FixedLocator, StrCategoryLocator)):
        return {}
    places = [float(place) for place in axis.get_majorticklocs()]
    texts = map(_plain, axis.get_major_formatter().format_ticks(places))
    names = {at: text for at, text in zip(places, texts, strict=True) if text}
    return names if any(character.isalpha() for name in names.values() for character in name) else {}


def _points(axes: Axes, line: Line2D) -> str:
    """Return the values of points; where the rows have names, the values are those along the other axis."""
    across = bool(_names(axes, "y")) and not _names(axes, "x")
    x, y = np.atleast_1d(line.get_xdata()), np.atleast_1d(line.get_ydata())
    return _by_place(axes, y, x, True) if across else _by_place(axes, x, y, False)


def _median(axes: Axes, line: Line2D) -> str:
    """Return the median of a box, whose line stands across it, with the name of the box."""
    x, y = (np.asarray(values, dtype=np.float64).mean(keepdims=True) for values in (line.get_xdata(), line.get_ydata()))
    return _points(axes, Line2D(x, y))


def _cells(axes: Axes, values: np.ma.MaskedArray) -> str:
    """Return the numbers of a matrix, row by row where rows and columns have names."""
    columns, rows = list(_names(axes, "x").values()), list(_names(axes, "y").values())
    if values.shape != (len(rows), len(columns)) or values.size > MOST_CELLS:
        return f"cells from {_span(values.compressed())}"
    numbers = [", ".join("none" if np.ma.is_masked(cell) else _number(float(cell)) for cell in row) for row in values]
    listing = "; ".join(f"{name}: {row}" for name, row in zip(rows, numbers, strict=True))
    return f"columns {', '.join(columns)}; {listing}"


def _parts(container: tuple[object, ...]) -> Iterator[object]:
    """Yield the artists of a container, however they are nested."""
    for part in container:
        if isinstance(part, tuple):
            yield from _parts(part)
        elif part is not None:
            yield part


def _line(axes: Axes, line: Line2D) -> str:
    """Return what a line shows; one that marks a number has that number."""
    x, y = np.atleast_1d(line.get_xdata()), np.asarray(np.atleast_1d(line.get_ydata()), dtype=np.float64)
    label = str(line.get_label())
    if _is_straight(line):
        return _named(label, _number(float(x[0] if x[0] == x[1] else y[0])))
    if _names(axes, "y"):
        return _named(label, _points(axes, line))
    return _named(label, _values(y))


def _values(values: np.ndarray) -> str:
    """Return values in words: all of a few, of many the ends and the extremes."""
    values = values[np.isfinite(values)]
    if len(values) == 0:
        return "no value"
    if np.ptp(values) == 0:
        return _number(values[0])
    if len(values) <= MOST_NUMBERS:
        return ", ".join(map(_number, values))
    ends = f"from {_number(values[0])} to {_number(values[-1])}"
    return f"{ends}, lowest {_number(values.min())}, highest {_number(values.max())}"


def _by_place(axes: Axes, places: Iterable[float], values: Iterable[float], is_across: bool) -> str:
    """Return values with the names of the places that they stand at, where the axis has names.

    Several values at one place are given once, as their range.
    """
    names = _names(axes, "y" if is_across else "x")
    if not names:
        return _values(np.asarray(list(values), dtype=np.float64))
    at_name: dict[str, list[float]] = {}
    for place, value in zip(places, values, strict=True):
        nearest = min(names, key=lambda at: abs(at - place))
        at_name.setdefault(names[nearest], []).append(float(value))
    return ", ".join(
        f"{name} {_number(group[0]) if len(group) == 1 else _span(np.array(group))}" for name, group in at_name.items()
    )


def _span(values: np.ndarray) -> str:
    values = np.asarray(values, dtype=np.float64)
    values = values[np.isfinite(values)]
    return f"{_number(values.min())} to {_number(values.max())}" if len(values) else "no value"


def _named(label: object, content: str) -> str:
    text = str(label)
    return content if text.startswith("_") or not text else f"{_plain(text)}: {content}"


def _number(value: float) -> str:
    """Return a number with three digits that count, and whole above a thousand.

    Example:
        >>> _number(1234.5), _number(0.01234), _number(143.68)
        ('1,234', '0.0123', '144')
    """
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _plain(text: object) -> str:
    return " ".join(str(text).split())
