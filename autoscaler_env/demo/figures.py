"""Finished days as pictures: what a document without a kernel shows instead of the control room."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from autoscaler_env.policies.registry import find_policy
from autoscaler_env.demo.score import WHERE, score, with_optimum
from autoscaler_env.demo.session import Session, demo_days
from autoscaler_env.paths import Folders
from autoscaler_env.plotting.days import plot_side_by_side
from autoscaler_env.plotting.style import DEMAND_COLOUR, ITEM_COLOURS, colour_of, label_of, new_figure, themed
from autoscaler_env.policies.oracle import OPTIMUM
from autoscaler_env.evaluation.metrics.simulation import roll_out
from autoscaler_env.service import Service

RIVAL = "threshold"
"""The policy that is drawn beside the chosen one, unless told otherwise."""

_WHERE_STYLE: dict[str, dict[str, Any]] = {
    "worked": {"color": ITEM_COLOURS["instance_cost"]},
    "idle": {"color": ITEM_COLOURS["instance_cost"], "alpha": 0.45},
    "booting": {"facecolor": "white", "edgecolor": ITEM_COLOURS["instance_cost"], "hatch": "////", "linewidth": 0},
    "late": {"color": ITEM_COLOURS["late_cost"]},
    "dropped": {"color": ITEM_COLOURS["drop_cost"]},
}
_LINES = ("-", (0, (5, 2)))


def draw_day(
    policy: str,
    pattern: str,
    seed: int,
    *,
    rival: str = RIVAL,
    service: Service | None = None,
    folders: Folders | None = None,
) -> Figure:
    """Draw one finished day under two policies; names and a number in, a figure out.

    Args:
        policy: What `catalog.find_policy` understands.
        pattern: The load pattern.
        seed: Number of the evaluation day, at least 0.
        rival: The policy drawn beside it; if it is the same one, that policy is drawn alone.
        service: The reference service by default.
        folders: Where models lie; the project's folders by default.

    Returns:
        Demand and fleet, queue, and bill so far, a column per policy.

    Raises:
        ValueError: A name is unknown, or the seed negative.
    """
    service = service or Service()
    days = demo_days(pattern, seed=seed, count=1, service=service)
    rollouts = {}
    for name in dict.fromkeys((policy, rival)):
        found = find_policy(name, service, folders)
        rollouts[found.name] = roll_out(found, days, service)
    bills = {label_of(name): float(rollout.bill.sum()) for name, rollout in rollouts.items()}
    return plot_side_by_side(rollouts, title=_finding(f"{pattern}, evaluation day {seed}", bills))


@themed
def draw_score(sessions: Sequence[Session], title: str) -> Figure:
    """Draw the score card of sessions that have finished the same day.

    Args:
        sessions: One or two, each after the last slot of its first day.
        title: First words: the load pattern, say.

    Returns:
        Above, demand and the fleets overlaid, with the fleet of the clairvoyant optimum where there is one; below, the
        queues, and where the money went.
    """
    labels = [label_of(session.name) for session in sessions]
    card = with_optimum(score(list(sessions), labels), sessions[0])
    figure = new_figure(10.5, 5.6)
    spaces = figure.add_gridspec(2, 2, height_ratios=[2.1, 1], width_ratios=[1.35, 1])
    fleets = figure.add_subplot(spaces[0, :])
    queues, money = figure.add_subplot(spaces[1, 0], sharex=fleets), figure.add_subplot(spaces[1, 1])
    service = sessions[0].service
    hours = np.arange(service.slots_per_episode + 1) * service.slot_seconds / 3600
    if card["optimum"] is not None:
        fleets.stairs(
            card["optimum"]["fleet"], hours, baseline=None, color=colour_of(OPTIMUM), lw=1.5, ls=":", label=OPTIMUM
        )
    for session, label, line in zip(sessions, labels, _LINES, strict=False):
        look: dict[str, Any] = {"color": colour_of(session.name), "baseline": None, "linestyle": line}
        fleet = np.add(session.history["ready"], session.history["booting"])
        fleets.stairs(fleet, hours, linewidth=2, label=label, **look)
        queues.stairs(session.history["queue"], hours, linewidth=1.6, **look)
    demand = np.divide(sessions[0].history["arrivals"], service.capacity_per_instance)
    fleets.stairs(demand, hours, baseline=None, color=DEMAND_COLOUR, linewidth=1.1, label="demand")
    fleets.set(ylabel="instances", ylim=(0, None), xlim=(0, hours[-1]))
    fleets.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 3, 6, 10]))
    fleets.legend(loc="upper left", ncols=4)
    queues.set(ylabel="queue (requests)", xlabel="hour of the day")
    queues.set_ylim(0, max(100.0, 1.1 * queues.dataLim.y1))
    _draw_money(money, card)
    figure.suptitle(_finding(title, {lane["label"]: lane["bill"] for lane in card["lanes"]}), x=0.01, ha="left")
    return figure


def _draw_money(axes: Axes, card: dict[str, Any]) -> None:
    """Draw a bar per bill, in pieces by what the money bought."""
    accounts = card["lanes"] + ([card["optimum"]] if card["optimum"] else [])
    for row, account in enumerate(accounts):
        left = 0.0
        for name, words in WHERE.items():
            axes.barh(row, account["where"][name], left=left, label=words if row == 0 else None, **_WHERE_STYLE[name])
            left += account["where"][name]
        axes.annotate(f"${account['bill']:,.2f}", (left, row), (4, 0), textcoords="offset points", va="center")
    axes.set_yticks(range(len(accounts)), [account["label"] for account in accounts])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlim(0, 1.25 * max(account["bill"] for account in accounts))
    axes.set_xlabel("where the money went ($)")
    axes.legend(loc="upper center", bbox_to_anchor=(0.4, -0.38), ncols=3, fontsize=8, columnspacing=1.0)


def _finding(title: str, bills: dict[str, float]) -> str:
    """Return a title that says who is cheaper."""
    if len(bills) < 2:
        return title
    cheapest = min(bills, key=lambda label: bills[label])
    return f"{title}: {cheapest} is cheaper by ${max(bills.values()) - bills[cheapest]:,.2f}"
