"""The score card of a finished day: who paid what, for what, and what the day would have cost a clairvoyant."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.demo.session import ITEMS, Session
from autoscaler_env.policies.oracle import Optimum
from autoscaler_env.service import Service

FINDING = "Looking for the cheapest plan of this day; the first time on a machine that takes up to a minute."
"""What stands on the card until the optimum has been found."""

WHERE = {
    "worked": "instances at work",
    "idle": "idle instances",
    "booting": "booting instances",
    "late": "requests kept waiting",
    "dropped": "requests dropped",
}
"""Where money goes, and what figures call it."""


def score_card(sessions: list[Session], labels: list[str]) -> dict[str, Any]:
    """Return the score card of sessions that have finished the same day, the optimum still to be found.

    Args:
        sessions: One or more, each after the last step of its first day.
        labels: What each is called.

    Returns:
        Plain values. `lanes`: for each session `label`, `cost`, `items` and `where` (dollars), `dearest` (the hour
        that cost most), `peak_queue`, `scaling_actions`. `optimum`: `None`, with a `reason`; `pending`: true, until
        `with_optimum` has been asked. `verdict`: a sentence or two. `words`: what the parts of `where` are called.
    """
    lanes = [_account(session, label) for session, label in zip(sessions, labels, strict=True)]
    verdict = _verdict(lanes, None)
    return {"lanes": lanes, "optimum": None, "reason": FINDING, "pending": True, "verdict": verdict, "words": WHERE}


def with_optimum(card: dict[str, Any], played: Session) -> dict[str, Any]:
    """Return a score card with the cheapest plan of its day, as one more lane with its `fleet` (instances per step).

    Where a service has too many states to go through, `optimum` stays `None` and `reason` says why.

    Args:
        card: What `score` returned.
        played: One of its sessions.
    """
    try:
        plan = Session(Optimum(played.service), played.days[:1], played.service)
    except ValueError as error:
        return card | {"reason": str(error), "pending": False}
    plan.run(plan.service.steps_per_episode)
    best = _account(plan, "optimum")
    best["fleet"] = [int(fleet) for fleet in _column(plan, "ready") + _column(plan, "booting")]
    return card | {"optimum": best, "reason": "", "pending": False, "verdict": _verdict(card["lanes"], best)}


def _account(session: Session, label: str) -> dict[str, Any]:
    cost = _column(session, "cost")
    items = {item: float(_column(session, item).sum()) for item in ITEMS}
    return {
        "label": label,
        "cost": float(cost.sum()),
        "items": items,
        "where": _where(session),
        "dearest": _dearest_hour(cost, session.service),
        "peak_queue": session.state.peak_queue,
        "scaling_actions": session.state.scaling_actions,
    }


def _where(session: Session) -> dict[str, float]:
    """Split a cost by what the money bought, in dollars; the instances' part by how much of them was used."""
    service = session.service
    ready = _column(session, "ready")
    working = _column(session, "served") / service.capacity_per_instance
    return {
        "worked": float(working.sum() * service.instance_price),
        "idle": float((ready - working).sum() * service.instance_price),
        "booting": float(_column(session, "booting").sum() * service.instance_price),
        "late": float(_column(session, "late_cost").sum()),
        "dropped": float(_column(session, "drop_cost").sum()),
    }


def _dearest_hour(cost: NDArray[np.float64], service: Service) -> dict[str, Any]:
    """Return the hour of the day that cost most: `hour` (its number) and `cost` (dollars)."""
    hours = (np.arange(len(cost)) * service.step_seconds) // 3600
    costs = np.bincount(hours, weights=cost)
    return {"hour": int(costs.argmax()), "cost": float(costs.max())}


def _verdict(lanes: list[dict[str, Any]], best: dict[str, Any] | None) -> str:
    """Say who paid less, and what the first lane's money above the optimum went for."""
    first = lanes[0]
    said = []
    if len(lanes) > 1:
        gap = lanes[1]["cost"] - first["cost"]
        if math.isclose(gap, 0, abs_tol=0.005):
            said.append(f"{first['label']} and {lanes[1]['label']} paid the same.")
        else:
            less, more = (first, lanes[1]) if gap > 0 else (lanes[1], first)
            said.append(f"{less['label']} paid ${abs(gap):,.2f} less than {more['label']} on this day.")
    if best is not None:
        above = first["cost"] - best["cost"]
        extra = {name: first["where"][name] - best["where"][name] for name in WHERE}
        most = max(extra, key=lambda name: extra[name])
        text = f"Knowing the day, ${best['cost']:,.2f} would have done: {first['label']} paid ${above:,.2f} more"
        said.append(f"{text}, most of it for {WHERE[most]}." if above > 0.005 else f"{text}.")
    said.append("One day ranks nobody.")
    return " ".join(sentence[0].upper() + sentence[1:] for sentence in said)


def _column(session: Session, name: str) -> NDArray[np.float64]:
    return np.array(session.history[name], dtype=float)
