"""The page of an answer: one HTML file that needs nothing else, for light and dark screens, phones and paper."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any, get_args
from xml.etree import ElementTree

import jinja2
import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from autoscaler_env.advice.deploy import how_to
from autoscaler_env.advice.plausibility import assumptions
from autoscaler_env.advice.recommend import ORDER
from autoscaler_env.advice.report import Answer
from autoscaler_env.advice.setup import TODAY
from autoscaler_env.advice.text import DAYS_A_YEAR, between, method
from autoscaler_env.plotting.advice import plot_cost_and_service, plot_worst_day
from autoscaler_env.plotting.days import MANY_DOLLARS
from autoscaler_env.plotting.style import Theme
from autoscaler_env.policies.oracle import OPTIMUM
from autoscaler_env.policies.registry import LEARNERS, label_of
from autoscaler_env.text import capital, counted, dollars

WIDTHS = {"wide": 9.0, "narrow": 4.2}
"""Widths of figures in inches, for screens and paper, and for phones."""


def page(answer: Answer) -> str:
    """Return the page of an answer: HTML with its styles and figures inside. The same answer gives the same page."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    template = files("autoscaler_env.advice").joinpath("page.html").read_text(encoding="utf-8")
    return environment.from_string(template).render(_content(answer))


def _content(answer: Answer) -> dict[str, Any]:
    comparison, chosen, beside = answer.comparison, answer.recommendation.policy, answer.beside
    days = comparison.days
    worst_day = days.labels[days.first_days + answer.worst_day]
    costs = {name: dollars(answer.worst_day_cost(name)) for name in (TODAY, beside)}
    caption = (
        f"{capital(worst_day)} is the day that costs most under today's rule: {costs[TODAY]}; with {label_of(beside)} "
        f"it costs {costs[beside]}."
    )
    trained = "; its small points are its trainings" if answer.recommendation.trainings > 1 else ""
    learners = f" A diamond is a learner{trained}." if set(comparison.candidates) & set(LEARNERS) else ""
    optimum = " The optimum knows the traffic, and looks at the cost alone." if comparison.optimum else ""
    kept = "today's service" if comparison.setup.objective is None else "the objective"
    frontier_caption = (
        "To the left is cheaper, up is better for the requests; both are measured on the held-out days. A faint line "
        "shows other settings of the same rule. The bold label is the policy to run; an open mark is a policy "
        f"that does not keep {kept}.{learners}{optimum}"
    )
    headline, because, more = _parted(answer.headline)
    trains = bool(comparison.pending or set(comparison.candidates) & set(LEARNERS))
    instructions, fallback = how_to(comparison, chosen), how_to(comparison, answer.fallback or TODAY)
    return {
        "name": comparison.setup.name,
        "basis": (
            f"{counted(len(days.requests), 'day')} of traffic ({days.labels[0]} to {days.labels[-1]}) in steps of "
            f"{days.step_seconds / 60:g} min: {days.first_days} to calibrate {'and train ' if trains else ''}on, "
            f"{len(days.later)} held out to compare on"
        ),
        "plausibility": _unbroken(comparison.plausibility),
        "doubts": [
            _unbroken(doubt)
            for doubt in (*comparison.doubts, *days.doubts)
            if not doubt.startswith(headline)  # which has said it
        ],
        "pending": f"{answer.pending} Load this page again later." if answer.pending else "",
        "headline": _unbroken(headline),
        "because": _unbroken(because),
        "more": _unbroken(more),
        "reason": _unbroken(answer.reason),
        "requests": _unbroken(answer.requests),
        "sacrifice": _unbroken(answer.sacrifice),
        "no_saving": _unbroken(answer.no_saving),
        "tiles": _tiles(answer),
        "has_optimum": comparison.optimum is not None,
        "saved_per": "" if answer.no_saving else "year" if answer.is_yearly else "day",
        "frontier_figures": _frontier_figures(answer, frontier_caption),
        "frontier_caption": frontier_caption,
        "rows": [_row(answer, name) for name in (*ORDER, OPTIMUM) if name in answer.policies],
        "worst_title": f"The worst day: {worst_day}",
        "worst_figures": _worst_day_figures(answer, worst_day, caption),
        "worst_caption": (
            f"{caption} Demand and fleet are in instances, the queue is in requests, and the cost adds up over the "
            f"day: first {label_of(TODAY)}, then {_marked(beside, answer)}."
        ),
        "why_title": f"Why did it scale? {capital(label_of(chosen))} on this day",
        "why": [_unbroken(each) for each in answer.why],
        "fallback_title": _fallback_title(answer),
        "fallback": fallback.text,
        "fallback_code": fallback.code,
        "how": instructions.text,
        "code": instructions.code,
        "limits": [_unbroken(limit) for limit in answer.limits if limit not in days.doubts]
        or ["The traffic shows none. A real service can still differ from the simulation."],
        "assumptions": _unbroken(assumptions(comparison.service)),
        "method": _unbroken(method(comparison)),
        "notes": list(days.notes),
    }


def _parted(headline: str) -> tuple[str, str, str]:
    """Return the first sentence of a headline, the second, and the others; each of the last two may be empty."""
    first, second, *others = [*re.split(r"(?<=\.) (?=[A-Z])", headline, maxsplit=2), ""]
    return first, second, "".join(others)


def _fallback_title(answer: Answer) -> str:
    """Return the heading above what can be deployed instead; empty if nothing can."""
    if answer.fallback is None:
        return ""
    first = "The best rule" if answer.recommendation.policy in LEARNERS else "Without a new control loop"
    return f"{first}: {label_of(answer.fallback)}"


def _marked(name: str, answer: Answer) -> str:
    """Return the label of a policy, and whether it is recommended; today's rule stays, whatever the doubts."""
    if name != answer.recommendation.policy:
        return label_of(name)
    return f"{label_of(name)} ({'stays' if name == TODAY else 'recommended'})"


def _unbroken(text: str) -> str:
    """Return a text in which no line ends between a number and its percent sign."""
    return text.replace(" %", "\u00a0%")


def _tiles(answer: Answer) -> list[dict[str, Any]]:
    """Return the main numbers: today's rule, its calibrated setting, the recommended policy, the optimum.

    A tile shows first what a policy costs, or, where no saving may be named, what it serves.
    """
    chosen, best = answer.recommendation.policy, str(answer.comparison.setup.today["rule"])
    first = counted(answer.comparison.days.first_days, "day")
    rule = answer.policies[TODAY].description
    titles = {TODAY: f"Today's rule ({rule})", best: f"Today's rule, calibrated on {first}"}
    titles[chosen] = titles.get(chosen, "Recommended")
    titles[OPTIMUM] = "Optimum (knows the traffic)"
    tiles = []
    for name, title in titles.items():
        if name in answer.policies:
            policy, yearly = answer.policies[name], answer.is_yearly
            year = answer.cost_of(name).times(DAYS_A_YEAR if yearly else 1)
            day, in_time = dollars(policy.cost.mean), f"{100 * policy.in_time_share:.2f} %"
            interval = f"95 %: {between(year, 0 if yearly else 2)}"
            lines = [f"{dollars(year.mean, 0)} a year" if yearly else "too few days for a year", interval]
            tile = {"main": day, "unit": "a day", "lines": [*lines, f"{in_time} in time"]}
            if answer.no_saving:
                shares = [f"{100 * policy.late_share:.2f} % late", f"{100 * policy.drop_share:.2f} % dropped"]
                tile = {"main": in_time, "unit": "in time", "lines": [*shares, f"{day} a day"]}
            tile["lines"] = [_unbroken(line) for line in tile["lines"]]
            tiles.append({"title": title, **tile, "main": _unbroken(str(tile["main"]))})
    return tiles


def _row(answer: Answer, name: str) -> dict[str, str]:
    """Return a row of the table of policies."""
    policy, above = answer.policies[name], answer.above_optimum(name)
    yearly = answer.is_yearly
    saved, digits = answer.saved[name].times(DAYS_A_YEAR if yearly else 1), 0 if yearly else 2
    cents = 2 if policy.cost.mean < MANY_DOLLARS else 0
    chosen = name == answer.recommendation.policy
    unsaved = name == TODAY or bool(answer.no_saving)
    cells = {
        "kind": "chosen" if chosen else "bound" if name == OPTIMUM else "",
        "label": _marked(name, answer),
        "setting": policy.description,
        "cost": dollars(policy.cost.mean, cents),
        "cost_interval": between(answer.cost_of(name), cents),
        "saved": "-" if unsaved else dollars(saved.mean, digits),
        "saved_interval": "" if unsaved else between(saved, digits),
        "above": "-" if above is None or name == OPTIMUM else f"{100 * above:.1f} %",
        "in_time": f"{100 * policy.in_time_share:.2f} %",
        "late": f"{100 * policy.late_share:.2f} %",
        "dropped": f"{100 * policy.drop_share:.2f} %",
        "wait": f"{policy.wait_p95:,.0f} s",
        "actions": f"{policy.actions:.0f}",
    }
    return {column: _unbroken(cell) for column, cell in cells.items()}


def _frontier_figures(answer: Answer, description: str) -> list[dict[str, str]]:
    """Return the picture of cost against service, for each width and theme."""
    chosen = answer.recommendation.policy
    rows: dict[str, Any] = {
        name: {
            "label": label_of(name),
            "cost": policy.cost.mean,
            "in_time": policy.in_time_share,
            "keeps": name == OPTIMUM or answer.keeps_service(name),
        }
        for name, policy in answer.policies.items()
    }
    table = pd.DataFrame.from_dict(rows, orient="index")
    sweeps = {name: policy.sweep for name, policy in answer.policies.items() if len(policy.sweep)}
    for name, policy in answer.policies.items():
        if len(policy.trainings) > 1:
            sweeps[name] = np.array([(each.cost.mean, each.in_time_share) for each in policy.trainings])
    title = (
        f"{f'{capital(label_of(TODAY))} stays' if chosen == TODAY else f'Recommended: {label_of(chosen)}'}, "
        f"{dollars(rows[chosen]['cost'])} a day, "
        f"{100 * rows[chosen]['in_time']:.2f} % in time"
    )

    def draw(width: float, paper: Theme) -> Figure:
        return plot_cost_and_service(table, sweeps, answer.least_in_time, chosen, title, width, paper)

    return _figures(draw, WIDTHS, "frontier", description)


def _worst_day_figures(answer: Answer, worst_day: str, description: str) -> list[dict[str, str]]:
    """Return the worst day under both policies, for each theme: side by side, or one below the other on a phone."""
    names = (TODAY, answer.beside)
    trajectories = {name: answer.comparison.candidates[name].trajectory for name in names}
    day = answer.worst_day

    def draw_both(width: float, paper: Theme) -> Figure:
        return plot_worst_day(trajectories, day, f"{worst_day} under both policies", width, paper=paper)

    figures = _figures(draw_both, {"wide": 9.6}, "worst", description)
    for name in names:

        def draw_one(width: float, paper: Theme, name: str = name) -> Figure:
            title = f"{worst_day} with {label_of(name)}: {dollars(answer.worst_day_cost(name))}"
            return plot_worst_day({name: trajectories[name]}, day, title, width, 5.2, paper)

        figures += _figures(draw_one, {"narrow": WIDTHS["narrow"]}, f"worst-{name}", description)
    return figures


def _figures(
    draw: Callable[[float, Theme], Figure], widths: Mapping[str, float], name: str, description: str
) -> list[dict[str, str]]:
    """Return a figure once for each width and theme; the page's styles show one of them."""
    return [
        {"kind": f"{width} {theme}", "svg": svg_of(draw(inches, theme), f"{name}-{width}-{theme}", description)}
        for width, inches in widths.items()
        for theme in get_args(Theme)
    ]


_SVG = "http://www.w3.org/2000/svg"
_HREF = "{http://www.w3.org/1999/xlink}href"


def svg_of(figure: Figure, name: str, description: str) -> str:
    """Return a figure as an `<svg>` element of an HTML page: small, the same bytes each time, without a background.

    Args:
        figure: The figure.
        name: Prefix of the figure's ids, different from that of any other figure on the page.
        description: What it shows, for people who cannot see it.
    """
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.fonttype": "path", "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    ElementTree.register_namespace("", _SVG)
    root = ElementTree.fromstring(buffer.getvalue())
    for metadata in root.findall(f"{{{_SVG}}}metadata"):
        root.remove(metadata)
    del root.attrib["width"], root.attrib["height"]  # the page decides
    root.attrib |= {"role": "img", "aria-label": description}
    for element in root.iter():
        element.tail = None
        if not (element.text or "").strip():
            element.text = None
        if _HREF in element.attrib:
            element.attrib["href"] = element.attrib.pop(_HREF)
        for attribute in ("d", "x", "y"):
            if attribute in element.attrib:
                element.attrib[attribute] = _rounded(element.attrib[attribute])
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', ElementTree.tostring(root, encoding="unicode")))
    for element in root.iter():
        if element.attrib.get("id") not in used:
            element.attrib.pop("id", None)
    text = ElementTree.tostring(root, encoding="unicode")
    return re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", text)


def _rounded(path: str) -> str:
    """Return a path whose coordinates have one decimal: a tenth of a point is finer than a pixel."""
    return re.sub(r"\d+\.\d+", lambda number: f"{float(number[0]):.1f}".removesuffix(".0"), " ".join(path.split()))
