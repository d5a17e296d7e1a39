"""The page: one HTML file that needs nothing else."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import jinja2
import pandas as pd
from matplotlib.figure import Figure

from autoscaler_env.advice.report import Answer, interval_of, method_of
from autoscaler_env.advice.compare import Entry
from autoscaler_env.advice.deploy import how_to
from autoscaler_env.advice.recommend import ORDER, bootstrap_interval
from autoscaler_env.advice.setup import TODAY
from autoscaler_env.advice.svg import svg_of
from autoscaler_env.traffic.reading import numbered
from autoscaler_env.advice.text import LABELS, between, dollars
from autoscaler_env.plotting.advice import plot_offer
from autoscaler_env.plotting.days import plot_day, plot_side_by_side
from autoscaler_env.policies.oracle import OPTIMUM


def page(found: Answer) -> str:
    """Return the page of an answer: HTML with its styles and figures inside. The same answer gives the same page."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    template = files("autoscaler_env.advice").joinpath("page.html").read_text(encoding="utf-8")
    return environment.from_string(template).render(_content(found))


def _content(found: Answer) -> dict[str, Any]:
    contest, chosen = found.contest, found.recommendation.policy
    days, held_out = contest.days, len(contest.days.later)
    worst, beside = found.worst_day, found.beside
    rollouts = {name: contest.entries[name].rollout for name in (TODAY, beside)}
    label = days.labels[days.first_days + worst]
    costs = {name: dollars(float(contest.entries[name].bills[worst])) for name in (TODAY, beside)}
    shown = f"The worst day for today's rule, {label}: {costs[TODAY]}; with {LABELS[beside]} {costs[beside]}."
    how, code = how_to(contest, chosen)
    return {
        "name": contest.setup.name,
        "basis": (
            f"{numbered(len(days.requests), 'day')} of traffic ({days.labels[0]} to {days.labels[-1]}) in slots of "
            f"{days.slot_seconds / 60:g} min: {days.first_days} to learn from, {held_out} held out to judge on"
        ),
        "headline": _unbroken(found.headline),
        "reason": _unbroken(found.reason),
        "tiles": _tiles(found),
        "offer_wide": _svg(lambda: _offer(found, 9.0), "bills", "Bars: mean bill of each policy."),
        "offer_narrow": _svg(lambda: _offer(found, 5.2), "billsn", "Bars: mean bill of each policy."),
        "rows": _rows(found),
        "worst_title": f"The worst day: {label}",
        "worst_wide": _svg(
            lambda: plot_side_by_side(rollouts, worst, f"{label} under both policies"), "worst", shown, (9.6, 5.0)
        ),
        "worst_narrow": [
            _svg(lambda name=name: plot_day(rollouts[name], name, worst), f"worstn{i}", shown, (5.2, 4.6))
            for i, name in enumerate(rollouts)
        ],
        "worst_caption": (
            f"{shown} Demand and fleet in instances, requests waiting, and the bill as it grows: "
            f"first {LABELS[TODAY]}, then {LABELS[beside]}{' (recommended)' if beside == chosen else ''}."
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
    for name in sorted(contest.entries, key=lambda each: -float(contest.entries[each].bills.mean())):
        bill = interval_of(contest.entries[name], found.seed)
        rows[name] = {"label": LABELS[name], "bill": bill.mean, "low": bill.low, "high": bill.high}
    table = pd.DataFrame.from_dict(rows, orient="index")
    if len(contest.days.later) == 1:
        table["low"] = table["high"] = table["bill"]
    optimum = None if contest.optimum is None else float(contest.optimum.bills.mean())
    title = f"{LABELS[found.recommendation.cheapest]} was the cheapest, {LABELS[chosen]} is recommended"
    if chosen == found.recommendation.cheapest:
        title = f"{LABELS[chosen]} was the cheapest, and is recommended"
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
        bill = interval_of(entry, found.seed)
        year = f"{dollars(bill.yearly.mean, 0)} a year"
        tiles.append({"what": what, "value": dollars(bill.mean), "year": year, "interval": between(bill.yearly, 0)})
    return tiles


def _rows(found: Answer) -> list[dict[str, str]]:
    contest = found.contest
    named = [(name, contest.entries[name]) for name in ORDER if name in contest.entries]
    rows = [_row(found, name, entry) for name, entry in named]
    return rows + ([_row(found, OPTIMUM, contest.optimum)] if contest.optimum else [])


def _row(found: Answer, name: str, entry: Entry) -> dict[str, str]:
    contest = found.contest
    bill = interval_of(entry, found.seed)
    saved = bootstrap_interval(contest.entries[TODAY].bills - entry.bills, found.seed).yearly
    above = entry.bills.mean() / contest.optimum.bills.mean() - 1 if contest.optimum else float("nan")
    chosen = name == found.recommendation.policy
    return {
        "kind": "chosen" if chosen else "bound" if name == OPTIMUM else "",
        "label": LABELS[name] + (" (recommended)" if chosen else ""),
        "setting": _unbroken(entry.setting),
        "bill": dollars(bill.mean),
        "bill_interval": between(bill),
        "saved": "-" if name == TODAY else dollars(saved.mean, 0),
        "saved_interval": "" if name == TODAY else between(saved, 0),
        "above": f"{above:.1%}" if contest.optimum and name != OPTIMUM else "-",
        "late": f"{entry.late_share:.2%}",
        "dropped": f"{entry.drop_share:.2%}",
        "wait": f"{entry.wait_p95:,.0f} s",
        "actions": f"{entry.actions:.0f}",
    }
