"""The page: one HTML file that needs nothing else."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import jinja2
import pandas as pd
from matplotlib.figure import Figure

from autoscaler_env.advice.answer import Answer, interval_of
from autoscaler_env.advice.contest import OPTIMUM, Entry
from autoscaler_env.advice.manifest import hpa_manifest
from autoscaler_env.advice.recommend import ORDER, bootstrap_interval
from autoscaler_env.advice.setup import TODAY
from autoscaler_env.advice.svg import svg_of
from autoscaler_env.advice.traffic import numbered
from autoscaler_env.advice.words import LABELS, LEARNED, between, dollars
from autoscaler_env.plotting.advice import plot_offer
from autoscaler_env.plotting.days import plot_day, plot_side_by_side

METHOD = (
    "The days were split by time. On the first {first}, every setting of a fixed fleet, a threshold, HPA, target "
    "tracking and a forecast was tried, and {learners} were trained on days drawn from them, shifted and perturbed. "
    "All policies then ran through the {held_out} days held out, one day after the other, on the same simulated "
    "service: fleet and queue go over midnight. The optimum knew that traffic beforehand: nothing can cost less. "
    "Intervals are 95 % bootstrap intervals over the held-out days; of differences, paired by day. A year is 365 such "
    "days. Recommended is the simplest policy whose bill cannot be told from the cheapest, in the order: {order}."
)


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
    how, code = _how(found)
    learners = [LABELS[name] for name in LEARNED if name in contest.entries]
    return {
        "name": contest.setup.name,
        "basis": (
            f"{numbered(len(days.requests), 'day')} of traffic ({days.labels[0]} to {days.labels[-1]}) in slots of "
            f"{days.slot_seconds / 60:g} min: {days.first_days} to learn from, {held_out} held out to judge on"
        ),
        "headline": found.headline,
        "reason": found.reason,
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
        "limits": found.limits or ["None was found in the traffic; the simulation is still a simulation."],
        "method": METHOD.format(
            first=days.first_days,
            held_out=held_out,
            learners=" and ".join([", ".join(learners[:-1]), learners[-1]]).removeprefix(" and ") or "no learner",
            order=", ".join(LABELS[name] for name in ORDER if name in contest.entries),
        ),
        "notes": list(days.notes),
    }


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
    contest, chosen = found.contest, found.recommendation
    best = found.best_setting()

    def tile(what: str, name: str) -> dict[str, str]:
        bill = interval_of(contest.entries[name], found.seed)
        return {
            "what": what,
            "value": dollars(bill.mean),
            "more": f"{dollars(bill.yearly.mean, 0)} a year ({between(bill.yearly, 0)})",
        }

    tiles = [tile("Today's rule", TODAY), tile("Its best setting", best)]
    if chosen.policy not in (TODAY, best):
        tiles.append(tile(f"Recommended: {LABELS[chosen.policy]}", chosen.policy))
    if contest.optimum is not None:
        bill = interval_of(contest.optimum, found.seed)
        tiles.append(
            {
                "what": "Optimum, knowing the future",
                "value": dollars(bill.mean),
                "more": f"{dollars(bill.yearly.mean, 0)} a year ({between(bill.yearly, 0)})",
            }
        )
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
        "setting": entry.setting,
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


def _how(found: Answer) -> tuple[str, str]:
    """Return how to do what is recommended: a sentence, and what to copy."""
    contest, policy = found.contest, found.recommendation.policy
    entry, service = contest.entries[policy], contest.service
    if policy == TODAY:
        return "Nothing to change.", ""
    if policy in ("hpa-cpu", "hpa-demand"):
        manifest = hpa_manifest(contest.setup.name, policy, entry.settings["target"], service)
        return "Apply this manifest (hpa.yaml beside this page): kubectl apply -f hpa.yaml", manifest
    if policy in LEARNED:
        file = f"{policy}{'.pkl' if policy == 'q_learning' else '.zip'}"
        lines = (
            f'from autoscaler_env.advice.live import Autoscaler\nscaler = Autoscaler("{file}", "service.toml")\n'
            f"change = scaler.decide(ready=12, booting=0, queue=0, influx=900)  # every {service.slot_seconds} s: "
            "instances to add or remove"
        )
        return (
            f"The model is {file} beside this page, verified: it was read back without running anything in it, and "
            "that file is what was billed here. Three lines run it:"
        ), lines
    if policy in ("target-tracking", "forecast"):
        expected = "arriving" if policy == "target-tracking" else "forecast"
        told = "Every slot, want this many instances, and go toward it"
        if policy == "forecast":
            told += (
                ". The forecast is the mean of the same time a day and a week before, times what came in over the last "
                f"hour over what came in then; the largest until {numbered(service.boot_slots, 'slot')} from now counts"
            )
        return f"{told}:", (
            f"instances = ceil(({expected} + waiting) / ({service.capacity_per_instance} x "
            f"{entry.settings['target']:g}) + {entry.settings['headroom']:g})"
        )
    settings = "\n".join(f"{name} = {value:g}" for name, value in entry.settings.items())
    return "Set your rule so; as a table of the set-up file:", f'[today]\nrule = "{policy}"\n{settings}'
