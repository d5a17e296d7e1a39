"""What a view of the control room is sent: numbers as one block of float32, everything else as plain values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from autoscaler_env.demo.controls import NOBODY, SLIDERS, SPEEDS
from autoscaler_env.demo.explain import action_label
from autoscaler_env.demo.session import PERSON, Person
from autoscaler_env.plotting.style import ITEM_COLOURS, QUEUE_COLOUR, colour_of
from autoscaler_env.policies.registry import label_of
from autoscaler_env.traffic.patterns import MIXED, PATTERN_MEANING

if TYPE_CHECKING:
    from autoscaler_env.demo.lanes import Lane
    from autoscaler_env.demo.room import Room

HEAD = ("counter", "run", "steps", "lanes")
"""What a frame begins with: messages heard, days begun, steps passed, lanes."""

ROWS = ("ready", "booting", "queue", "dropped", "cost")
"""What follows the arrivals for each lane, one value per step that has passed; the cost is dollars so far."""

PERSON_COLOUR = "#7B3FA0"
"""The person's, apart from every policy's."""


def frame_of(room: Room) -> bytes:
    """Pack the day so far: the head, arrivals, then the rows of each lane, all float32 in the machine's order.

    Every frame holds the whole day so far (15 kB at its end), so that a view may miss any number of them.
    """
    history = room.lanes.all[0].session.history
    blocks: list[Any] = [
        [room.counter % 2**24, room.run % 2**24, room.elapsed_steps, len(room.lanes.all)],
        history["arrivals"],
    ]
    for lane in room.lanes.all:
        kept = lane.session.history
        blocks += [np.cumsum(kept[name]) if name == "cost" else kept[name] for name in ROWS]
    return np.concatenate([np.asarray(block, dtype=np.float32) for block in blocks]).tobytes()


def scene_of(room: Room) -> dict[str, Any]:
    """Return what a view shows besides the numbers of the steps: choices, values, labels, what was refused."""
    service = room.service
    person = room.lanes.person
    return {
        "title": room.title,
        "caption": _caption(room),
        "run": room.run,
        "steps": room.steps,
        "step_seconds": service.step_seconds,
        "capacity": service.capacity_per_instance,
        "peak": service.peak_arrivals,
        "initial": service.initial_instances,
        "playing": room.playing,
        "finished": room.finished,
        "lanes": [_lane(lane) for lane in room.lanes.all],
        "actions": [{"change": change, "label": action_label(change)} for change in service.fleet_changes],
        "person": None if person is None else person.next,
        "policies": room.policies,
        "patterns": room.patterns,
        "lengths": [{"value": str(steps), "label": label} for steps, label in room.lengths.items()],
        "speeds": list(SPEEDS),
        "sliders": {
            name: {
                "label": slider.label,
                "unit": slider.unit,
                "low": slider.low,
                "high": slider.high,
                "step": slider.step,
            }
            for name, slider in SLIDERS.items()
        },
        "values": {
            "pattern": room.pattern,
            "seed": room.seed,
            "steps": str(room.steps),
            "speed": room.speed,
            "lane1": room.lanes.choices[0],
            "lane2": [*room.lanes.choices, NOBODY][1],
            **{name: slider.shown(getattr(service, name)) for name, slider in SLIDERS.items()},
        },
        "errors": dict(room.errors),
        "colours": {"queue": QUEUE_COLOUR, **ITEM_COLOURS},
    }


def _caption(room: Room) -> str:
    """Say what the traffic stands for and how the chart measures it."""
    service = room.service
    others = {MIXED: "a day of one of the patterns, drawn by chance"}
    meaning = PATTERN_MEANING.get(room.pattern) or others.get(room.pattern, "recorded traffic")
    return (
        f"{room.pattern}: {meaning}. A step is {service.step_seconds / 60:g} minutes. Demand is the number of "
        f"instances that a step's requests need, {service.capacity_per_instance} each. "
        "Point at the chart to read a step."
    )


def _lane(lane: Lane) -> dict[str, Any]:
    mine = isinstance(lane.session.policy, Person)
    return {
        "label": PERSON if mine else label_of(lane.choice),
        "colour": PERSON_COLOUR if mine else colour_of(lane.choice),
        "person": mine,
        "note": lane.note,
        "handovers": list(lane.handovers),
    }
