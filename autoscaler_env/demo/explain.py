"""Why a policy acted: what it saw, in words, and what it made of it, as bars."""

from __future__ import annotations

from typing import Any

import numpy as np

from autoscaler_env.demo.session import PERSON, Session
from autoscaler_env.policies.base import Policy, decode
from autoscaler_env.policies.registry import label_of
from autoscaler_env.policies.rules import Static, TargetTracking, Threshold
from autoscaler_env.service import Service

SCALES = {
    "probabilities": "Probability of each action",
    "returns": "Value of each action: the return it expects of the coming steps, in dollars",
    "savings": "Value of each action: what it expects to save in the coming steps against target tracking, in dollars",
}
"""What the bars of a learner measure, by what it says of itself."""


def action_label(change: int) -> str:
    """Return what an action is called.

    Example:
        >>> action_label(-1), action_label(0), action_label(5)
        ('remove 1', 'hold', 'add 5')
    """
    return "hold" if change == 0 else f"{'add' if change > 0 else 'remove'} {abs(change)}"


def explanation(session: Session) -> dict[str, Any]:
    """Say why a session's policy did what it did in the step that just ended.

    A learner that has `preferences()` shows a number per action; a rule without a memory is asked which fleets it would
    leave as they are; one with a memory shows the fleet it wanted, if it keeps that as `wanted`, shape (n,). Of any
    other policy only what it did is known.

    Returns:
        `who` acted; `saw`, a sentence on the observation; `did`, a sentence on the action; `scale`, what the bars
        measure; `bars`, each with `label`, `start` and `end` (shares of the width, from 0 to 1), `text` and `chosen`.
        Plain values only.
    """
    looked_at, who = session.looked_at, label_of(session.acted.name)
    if looked_at is None:
        return {"who": who, "saw": "The day has not begun.", "did": "", "scale": "", "bars": []}
    action, refused = int(session.history["action"][-1]), bool(session.history["refused"][-1])
    changes = session.service.fleet_changes
    did = f"{'You' if who == PERSON else 'It'} chose: {action_label(changes[action])}."
    if refused:
        did += " Refused: the fleet is at its limit."
    scale, bars = _bars(session, action)
    return {"who": who, "saw": in_words(looked_at, session.service), "did": did, "scale": scale, "bars": bars}


def in_words(observation: np.ndarray, service: Service) -> str:
    """Say what an operator sees.

    Args:
        observation: float32 of shape (7,).
        service: The service observed.

    Example:
        >>> from autoscaler_env.envs.single import AutoscalerEnv
        >>> observation, _ = AutoscalerEnv("STEADY").reset(options={"day": np.full(288, 2_000)})
        >>> in_words(observation, Service())
        '2,000 requests came in, as many as the step before. 25 instances ready, load 92%; nobody waits. The fleet ...'
    """
    counts = decode(observation[np.newaxis], service)
    ready, booting, queue = int(counts.ready[0]), int(counts.booting[0]), int(counts.queue[0])
    arrivals, change, spare_capacity = int(counts.arrivals[0]), int(counts.change[0]), int(counts.spare_capacity[0])
    trend = f"{abs(change):,} {'more' if change > 0 else 'fewer'} than" if change else "as many as"
    fleet = f"{ready} instances ready" + (f" and {booting} booting" if booting else "")
    waiting = f"{queue:,} wait" if queue else "nobody waits"
    room = (
        f"could take {spare_capacity:,} more" if spare_capacity >= 0 else f"is {-spare_capacity:,} requests too small"
    )
    return (
        f"{arrivals:,} requests came in, {trend} the step before. "
        f"{fleet}, load {counts.utilisation[0]:.0%}; {waiting}. The fleet {room}."
    )


def _bars(session: Session, action: int) -> tuple[str, list[dict[str, Any]]]:
    """Return what the bars measure, and the bars."""
    policy, changes = session.acted, session.service.fleet_changes
    in_order = sorted(range(len(changes)), key=lambda i: changes[i])
    if hasattr(policy, "preferences"):
        preferences = np.asarray(policy.preferences(), dtype=float)[0]
        kind = getattr(policy, "preferences_are", "returns")
        if kind == "probabilities":
            return SCALES[kind], [
                _bar(action_label(changes[i]), preferences[i], f"{preferences[i]:.1%}", i == action) for i in in_order
            ]
        behind = preferences - preferences.max()
        longest = max(float(-behind.min()), 1e-9)
        return SCALES[kind], [
            _bar(action_label(changes[i]), 1 + 0.9 * behind[i] / longest, f"{preferences[i]:.3f}", i == action)
            for i in in_order
        ]
    if session.looked_at is not None and (wanted := _wanted(policy, session)) is not None:
        counts = decode(session.looked_at[np.newaxis], session.service)
        has = int(counts.ready[0] + counts.booting[0])
        low, high = wanted
        most = max(has, high, 1)
        text = str(low) if low == high else f"{low} to {high}"
        return "Fleet, in instances: what it has, booting ones too, and what it would keep, were all of it ready", [
            _bar("has", has / most, str(has), False),
            _bar("wants", high / most, text, True, 0.0 if low == high else low / most),
        ]
    return "", []


def _wanted(policy: Policy, session: Session) -> tuple[int, int] | None:
    """Return the smallest and the largest fleet that a rule wants, as far as it can be asked."""
    if isinstance(policy, Static | Threshold | TargetTracking) and session.looked_at is not None:
        counts = decode(session.looked_at[np.newaxis], session.service)
        return content_with(policy, int(counts.arrivals[0]), int(counts.queue[0]), session.service)
    if getattr(policy, "wanted", None) is not None:
        wanted = int(np.asarray(policy.wanted)[0])  # type: ignore[attr-defined]  # asked for above
        return wanted, wanted
    return None


def content_with(policy: Policy, arrivals: int, queue: int, service: Service) -> tuple[int, int] | None:
    """Return the smallest and the largest fleet that a rule without a memory would leave as it is; `None` for none.

    The rule is asked what it would do with each fleet that is allowed, all of it ready.

    Args:
        policy: The rule.
        arrivals: Requests that came in during the last step.
        queue: Requests waiting.
        service: The service scaled.

    Example:
        >>> content_with(TargetTracking(), 2_000, 0, Service())
        (24, 24)
        >>> content_with(Threshold(), 2_000, 0, Service())
        (33, 57)
    """
    ready = np.arange(service.min_instances, service.max_instances + 1)
    capacity = service.capacity_per_instance * ready
    observations = np.zeros((len(ready), 7))
    observations[:, 0] = ready / service.max_instances
    observations[:, 2] = np.minimum(arrivals + queue, capacity) / capacity
    observations[:, 3] = queue / max(service.queue_limit, 1)
    observations[:, 4] = min(arrivals / service.arrivals_scale, 1.0)
    observations[:, 6] = np.maximum((capacity - arrivals - queue) / service.spare_capacity_scale, -1.0)
    holds = ready[policy.predict(observations.astype(np.float32)) == service.hold]
    return (int(holds[0]), int(holds[-1])) if len(holds) else None


def _bar(label: str, end: float, text: str, chosen: bool, start: float = 0.0) -> dict[str, Any]:
    """Return a bar from `start` to `end`, shares of the width from 0 to 1."""
    start, end = (float(np.clip(share, 0.0, 1.0)) for share in (start, end))
    return {"label": label, "start": start, "end": end, "text": text, "chosen": bool(chosen)}
