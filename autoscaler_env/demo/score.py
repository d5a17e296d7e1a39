"""The score card of a finished day: the cost of each lane, its items, and the cost of the clairvoyant optimum."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.demo.session import Session
from autoscaler_env.evaluation.lower_bound import lower_bounds
from autoscaler_env.evaluation.simulation import ITEMS
from autoscaler_env.policies.oracle import Optimum
from autoscaler_env.service import Service
from autoscaler_env.text import dollars

SEARCHING = "Searching for the cheapest plan of this day. The first search on a machine takes up to a minute."
"""The note on the card until the optimum is known."""

WHERE = {
    "worked": "instances at work",
    "idle": "idle instances",
    "booting": "booting instances",
    "late": "waiting requests",
    "dropped": "dropped requests",
}
"""Where the money goes, with the labels in figures."""

_SAME = 0.005
"""Costs that differ by less than this are shown as equal, in dollars."""


def score_card(sessions: list[Session], labels: list[str]) -> dict[str, Any]:
    """Return the score card of sessions that have finished the same day, without the optimum.

    Args:
        sessions: One or more, each after the last step of its first day.
        labels: A label for each session.

    Returns:
        Plain values. `lanes`: for each session `label`, `cost`, `items` and `where` (dollars by item, and by the keys
        of `WHERE`), `most_expensive_hour` (`hour` and `cost`), `peak_queue`, `scaling_actions`. `optimum`: `None`, with
        a `reason`. `pending`: true until `with_optimum` has run. `verdict`: one to three sentences. `words`: `WHERE`.
    """
    lanes = [_account(session, label) for session, label in zip(sessions, labels, strict=True)]
    return {
        "lanes": lanes,
        "optimum": None,
        "reason": SEARCHING,
        "pending": True,
        "verdict": _verdict(lanes, None),
        "words": WHERE,
    }


def with_optimum(card: dict[str, Any], played: Session) -> dict[str, Any]:
    """Return a score card with the cheapest plan of its day as one more lane, with its `fleet` (instances per step).

    If a service has too many states for the search, `optimum` stays `None` and `reason` says so.

    Args:
        card: What `score_card` returned.
        played: One of its sessions.
    """
    try:
        plan = Session(Optimum(played.service), played.days[:1], played.service)
    except ValueError as error:
        (bound,) = lower_bounds(played.days[:1], played.service)
        return card | {"reason": f"{error}. A lower bound is {dollars(bound)}: no plan costs less.", "pending": False}
    plan.run(plan.service.steps_per_episode)
    best = _account(plan, "optimum")
    best["fleet"] = [int(fleet) for fleet in _column(plan, "ready") + _column(plan, "booting")]
    return card | {"optimum": best, "reason": "", "pending": False, "verdict": _verdict(card["lanes"], best)}


def _account(session: Session, label: str) -> dict[str, Any]:
    cost = _column(session, "cost")
    return {
        "label": label,
        "cost": float(cost.sum()),
        "items": {item: float(_column(session, item).sum()) for item in ITEMS},
        "where": _where(session),
        "most_expensive_hour": _most_expensive_hour(cost, session.service),
        "peak_queue": session.state.peak_queue,
        "scaling_actions": session.state.scaling_actions,
    }


def _where(session: Session) -> dict[str, float]:
    """Split a cost by where the money goes, in dollars; instances by the share of them that worked."""
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


def _most_expensive_hour(cost: NDArray[np.float64], service: Service) -> dict[str, Any]:
    """Return the `hour` of the day (its number) with the highest `cost` (dollars)."""
    hours = (np.arange(len(cost)) * service.step_seconds) // 3600
    costs = np.bincount(hours, weights=cost)
    return {"hour": int(costs.argmax()), "cost": float(costs.max())}


def _verdict(lanes: list[dict[str, Any]], best: dict[str, Any] | None) -> str:
    """Say which lane cost less, and what the first lane's cost above the optimum paid for."""
    first = lanes[0]
    sentences = []
    if len(lanes) > 1:
        gap = lanes[1]["cost"] - first["cost"]
        if math.isclose(gap, 0, abs_tol=_SAME):
            sentences.append(f"{first['label']} and {lanes[1]['label']} paid the same.")
        else:
            cheaper, other = (first, lanes[1]) if gap > 0 else (lanes[1], first)
            sentences.append(f"{cheaper['label']} paid {dollars(abs(gap))} less than {other['label']} on this day.")
    if best is not None:
        above = first["cost"] - best["cost"]
        extra = {name: first["where"][name] - best["where"][name] for name in WHERE}
        largest = max(extra, key=lambda name: extra[name])
        sentence = (
            f"The cheapest plan, made with the whole day known, costs {dollars(best['cost'])}: "
            f"{first['label']} paid {dollars(above)} more"
        )
        sentences.append(f"{sentence}, mostly for {WHERE[largest]}." if above > _SAME else f"{sentence}.")
    sentences.append("One day is not enough to rank policies.")
    return " ".join(sentence[0].upper() + sentence[1:] for sentence in sentences)


def _column(session: Session, name: str) -> NDArray[np.float64]:
    return np.array(session.history[name], dtype=float)
