"""Why a policy acted: its observation in words, and its preferences as bars."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.demo.session import PERSON, Session
from autoscaler_env.policies.base import Policy, decode
from autoscaler_env.policies.explain import wanted_fleets
from autoscaler_env.policies.registry import label_of
from autoscaler_env.service import Service
from autoscaler_env.text import counted, percent

SCALES = {
    "probabilities": "Probability of each action",
    "returns": "Value of each action: the expected return of the coming steps, in dollars",
    "savings": "Value of each action: the expected saving in the coming steps against target tracking, in dollars",
}
"""What the bars of a learner measure, by the learner's attribute `preferences_are`."""

FLEETS = "Fleet in instances, ready or booting: what the service has, and what the policy wants"
"""What the bars of a rule measure."""


def action_label(change: int) -> str:
    """Return the label of an action.

    Example:
        >>> action_label(-1), action_label(0), action_label(5)
        ('remove 1', 'hold', 'add 5')
    """
    return "hold" if change == 0 else f"{'add' if change > 0 else 'remove'} {abs(change)}"


def explanation(session: Session) -> dict[str, Any]:
    """Explain the last action of a session.

    A learner with `preferences()` gets a bar per action. A rule without memory is asked which fleets it would keep. A
    rule with memory shows the fleet it wanted, if it has the attribute `wanted`, shape (n,). For any other policy, only
    the observation and the action are known.

    Before the first action, only the first observation is known.

    Returns:
        Plain values: `who` acted; `saw`, the observation in words; `did`, the action in words; `scale`, what the bars
        measure; `bars`, each with `label`, `start` and `end` (shares of the width, from 0 to 1), `text` and `chosen`.
    """
    observation, who = session.last_observation, label_of(session.last_policy.name)
    if observation is None:
        saw = in_words(session.observation, session.service)
        return {"who": who, "saw": saw, "did": "The first action is still to come.", "scale": "", "bars": []}
    action, refused = int(session.history["action"][-1]), bool(session.history["refused"][-1])
    did = f"{'You' if who == PERSON else 'It'} chose: {action_label(session.service.fleet_changes[action])}."
    if refused:
        did += " The action had no effect: the fleet is at its limit."
    scale, bars = _bars(session.last_policy, observation, action, session.service)
    return {"who": who, "saw": in_words(observation, session.service), "did": did, "scale": scale, "bars": bars}


def in_words(observation: NDArray[np.float32], service: Service) -> str:
    """Describe an observation as an operator would read it.

    Args:
        observation: float32 of shape (7,).
        service: The service observed.

    Example:
        >>> from autoscaler_env.envs.single import AutoscalerEnv
        >>> observation, _ = AutoscalerEnv("STEADY").reset(options={"day": np.full(288, 2_000)})
        >>> in_words(observation, Service())
        '2,000 requests arrived, as many as in the step before. 25 instances are ready, utilisation 92 %. No ...'
    """
    counts = decode(observation[np.newaxis], service)
    ready, booting, queue = int(counts.ready[0]), int(counts.booting[0]), int(counts.queue[0])
    change, spare = int(counts.change[0]), int(counts.spare_capacity[0])
    trend = f"{abs(change):,} {'more' if change > 0 else 'fewer'} than" if change else "as many as"
    fleet = f"{counted(ready, 'instance')} {'is' if ready == 1 else 'are'} ready"
    waiting = f"{counted(queue, 'request')} {'waits' if queue == 1 else 'wait'}" if queue else "No request waits"
    parts = [*(["with booting instances"] if booting else []), *(["after the queue"] if queue else [])]
    counts_in = f" ({', '.join(parts)})" if parts else ""
    return (
        f"{counted(int(counts.arrivals[0]), 'request')} arrived, {trend} in the step before. "
        f"{fleet}{f' and {booting} booting' if booting else ''}, utilisation {percent(counts.utilisation[0], 0)}. "
        f"{waiting}. "
        + (
            f"Spare capacity: {counted(spare, 'request')}{counts_in}."
            if spare >= 0
            else f"Capacity is short by {-spare:,}."
        )
    )


def _bars(
    policy: Policy, observation: NDArray[np.float32], action: int, service: Service
) -> tuple[str, list[dict[str, Any]]]:
    """Return what the bars measure, and the bars."""
    changes = service.fleet_changes
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
    wanted = wanted_fleets(policy, observation, service)
    if wanted is None:
        return "", []
    low, high = wanted
    counts = decode(observation[np.newaxis], service)
    fleet = int(counts.ready[0] + counts.booting[0])
    largest = max(fleet, high, 1)
    text = str(low) if low == high else f"{low} to {high}"
    return FLEETS, [
        _bar("has", fleet / largest, str(fleet), False),
        _bar("wants", high / largest, text, True, 0.0 if low == high else low / largest),
    ]


def _bar(label: str, end: float, text: str, chosen: bool, start: float = 0.0) -> dict[str, Any]:
    """Return a bar from `start` to `end`, shares of the width from 0 to 1."""
    start, end = (float(np.clip(share, 0.0, 1.0)) for share in (start, end))
    return {"label": label, "start": start, "end": end, "text": text, "chosen": bool(chosen)}
