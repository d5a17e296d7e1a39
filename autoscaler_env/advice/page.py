"""The page: one HTML file that needs nothing else.

Turn figures into SVG that is part of a page: the same bytes each time, in the page's own colours.

Write an answer: the page, the JSON, and what is needed to do what it recommends.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from autoscaler_env.advice.compare import Entry
from autoscaler_env.advice.deploy import how_to, hpa_manifest, model_file
from autoscaler_env.advice.recommend import ORDER, bootstrap_interval
from autoscaler_env.advice.report import Answer, as_plain, interval_of, method_of
from autoscaler_env.advice.setup import TODAY
from autoscaler_env.advice.text import between, dollars
from autoscaler_env.plotting.advice import plot_offer
from autoscaler_env.plotting.days import plot_day, plot_side_by_side
from autoscaler_env.policies.oracle import OPTIMUM
from autoscaler_env.policies.registry import label_of
from autoscaler_env.service import Service
from autoscaler_env.storage.files import write_atomically, write_json
from autoscaler_env.text import counted

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


def page(found: Answer) -> str:
    """Return the page of an answer: HTML with its styles and figures inside. The same answer gives the same page."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    template = files("autoscaler_env.advice").joinpath("page.html").read_text(encoding="utf-8")
    return environment.from_string(template).render(_content(found))


def _content(found: Answer) -> dict[str, Any]:
    contest, chosen = found.contest, found.recommendation.policy
    days, held_out = contest.days, len(contest.days.later)
    worst, beside = found.worst_day, found.beside
    trajectories = {name: contest.entries[name].trajectory for name in (TODAY, beside)}
    label = days.labels[days.first_days + worst]
    costs = {name: dollars(float(contest.entries[name].costs[worst])) for name in (TODAY, beside)}
    shown = f"The worst day for today's rule, {label}: {costs[TODAY]}; with {label_of(beside)} {costs[beside]}."
    how, code = how_to(contest, chosen)
    return {
        "name": contest.setup.name,
        "basis": (
            f"{counted(len(days.requests), 'day')} of traffic ({days.labels[0]} to {days.labels[-1]}) in steps of "
            f"{days.step_seconds / 60:g} min: {days.first_days} to learn from, {held_out} held out to judge on"
        ),
        "headline": _unbroken(found.headline),
        "reason": _unbroken(found.reason),
        "tiles": _tiles(found),
        "offer_wide": _svg(lambda: _offer(found, 9.0), "costs", "Bars: mean cost of each policy."),
        "offer_narrow": _svg(lambda: _offer(found, 5.2), "costsn", "Bars: mean cost of each policy."),
        "rows": _rows(found),
        "worst_title": f"The worst day: {label}",
        "worst_wide": _svg(
            lambda: plot_side_by_side(trajectories, worst, f"{label} under both policies"), "worst", shown, (9.6, 5.0)
        ),
        "worst_narrow": [
            _svg(lambda name=name: plot_day(trajectories[name], name, worst), f"worstn{i}", shown, (5.2, 4.6))
            for i, name in enumerate(trajectories)
        ],
        "worst_caption": (
            f"{shown} Demand and fleet in instances, requests waiting, and the cost as it grows: "
            f"first {label_of(TODAY)}, then {label_of(beside)}{' (recommended)' if beside == chosen else ''}."
        ),
        "how": how,
        "code": code,
        "limits": [_unbroken(limit) for limit in found.limits]
        or ["None was found in the traffic; the simulation is still a simulation."],
        "method": method_of(contest),
        "notes": list(days.notes),
    }


def _unbroken(text: str) -> str:
    """Return a text in which no line ends between a number and its percent sign."""
    return text.replace(" %", "\u00a0%")


def _svg(draw: Any, name: str, description: str, size: tuple[float, float] | None = None) -> str:
    return svg_of(draw, name, description, size)


def _offer(found: Answer, width: float) -> Figure:
    contest, chosen = found.contest, found.recommendation.policy
    rows = {}
    for name in sorted(contest.entries, key=lambda each: -float(contest.entries[each].costs.mean())):
        cost = interval_of(contest.entries[name], found.seed)
        rows[name] = {"label": label_of(name), "cost": cost.mean, "low": cost.low, "high": cost.high}
    table = pd.DataFrame.from_dict(rows, orient="index")
    if len(contest.days.later) == 1:
        table["low"] = table["high"] = table["cost"]
    optimum = None if contest.optimum is None else float(contest.optimum.costs.mean())
    title = f"{label_of(found.recommendation.cheapest)} was the cheapest, {label_of(chosen)} is recommended"
    if chosen == found.recommendation.cheapest:
        title = f"{label_of(chosen)} was the cheapest, and is recommended"
    return plot_offer(table, optimum, chosen, title[0].upper() + title[1:], width)


def _tiles(found: Answer) -> list[dict[str, str]]:
    """Return the four numbers that matter: today's rule, its best setting, what is recommended, the optimum."""
    contest, chosen, best = found.contest, found.recommendation.policy, found.best_setting()
    shown = [("Today's rule", contest.entries[TODAY]), ("Its best setting", contest.entries[best])]
    if chosen not in (TODAY, best):
        shown.append(("Recommended", contest.entries[chosen]))
    if contest.optimum is not None:
        shown.append(("Optimum, knowing the traffic", contest.optimum))
    tiles = []
    for what, entry in shown:
        cost = interval_of(entry, found.seed)
        year = f"{dollars(cost.yearly.mean, 0)} a year"
        tiles.append({"what": what, "value": dollars(cost.mean), "year": year, "interval": between(cost.yearly, 0)})
    return tiles


def _rows(found: Answer) -> list[dict[str, str]]:
    contest = found.contest
    named = [(name, contest.entries[name]) for name in ORDER if name in contest.entries]
    rows = [_row(found, name, entry) for name, entry in named]
    return rows + ([_row(found, OPTIMUM, contest.optimum)] if contest.optimum else [])


def _row(found: Answer, name: str, entry: Entry) -> dict[str, str]:
    contest = found.contest
    cost = interval_of(entry, found.seed)
    saved = bootstrap_interval(contest.entries[TODAY].costs - entry.costs, found.seed).yearly
    above = entry.costs.mean() / contest.optimum.costs.mean() - 1 if contest.optimum else float("nan")
    chosen = name == found.recommendation.policy
    return {
        "kind": "chosen" if chosen else "bound" if name == OPTIMUM else "",
        "label": label_of(name) + (" (recommended)" if chosen else ""),
        "setting": _unbroken(entry.setting),
        "cost": dollars(cost.mean),
        "cost_interval": between(cost),
        "saved": "-" if name == TODAY else dollars(saved.mean, 0),
        "saved_interval": "" if name == TODAY else between(saved, 0),
        "above": f"{above:.1%}" if contest.optimum and name != OPTIMUM else "-",
        "late": f"{entry.late_share:.2%}",
        "dropped": f"{entry.drop_share:.2%}",
        "wait": f"{entry.wait_p95:,.0f} s",
        "actions": f"{entry.actions:.0f}",
    }


def deliver(found: Answer, folder: Path) -> list[Path]:
    """Write `advice.html` and `advice.json`; with HPA `hpa.yaml`, with a learner its model and `service.toml`.

    Args:
        found: The answer.
        folder: Made if it is missing; files of the same names are replaced.

    Returns:
        The files written, the page first.
    """
    contest, policy = found.contest, found.recommendation.policy
    files = {"advice.html": page(found).encode()}
    if policy in ("hpa-cpu", "hpa-demand"):
        target = contest.entries[policy].settings["target"]
        files["hpa.yaml"] = hpa_manifest(contest.setup.name, policy, target, contest.service).encode()
    model = contest.entries[policy].model
    if model is not None:
        files[model_file(policy)] = model
        files["service.toml"] = service_toml(contest.service).encode()
    paths = []
    for name, content in files.items():
        paths.append(folder / name)
        write_atomically(paths[-1], lambda file, content=content: file.write(content))  # type: ignore[misc]
    write_json(folder / "advice.json", as_plain(found))
    return [paths[0], folder / "advice.json", *paths[1:]]


def service_toml(service: Service) -> str:
    """Return a service as TOML.

    Example:
        >>> print(service_toml(Service()).splitlines()[0])
        step_seconds = 300
    """
    return "".join(f"{name} = {value!r}\n" for name, value in service.as_dict().items())
