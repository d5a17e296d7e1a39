"""The messages that a control room sends to its view: the numbers as one block of float32, the rest as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from autoscaler_env.demo.controls import NO_POLICY, SLIDERS, SPEEDS, service_as_code
from autoscaler_env.demo.explain import action_label
from autoscaler_env.demo.lanes import Lane, Lanes
from autoscaler_env.demo.session import PERSON, Person
from autoscaler_env.plotting.style import ITEM_COLOURS, QUEUE_COLOUR, colour_of
from autoscaler_env.policies.registry import label_of
from autoscaler_env.service import Service
from autoscaler_env.text import duration
from autoscaler_env.traffic.patterns import MIXED, PATTERN_MEANING

HEAD = ("counter", "run", "elapsed_steps", "lanes")
"""The first values of a frame: messages received, days started, steps that are over, number of lanes."""

ROWS = ("ready", "booting", "queue", "dropped", "cost")
"""The rows of each lane, after the arrivals: one value per step that is over; the cost is cumulative, in dollars."""

PERSON_COLOUR = "#7B3FA0"
"""The colour of the person; no policy has it."""


class RoomState(Protocol):
    """What the messages report of a control room; `room.Room` documents each attribute."""

    counter: int
    run: int
    pattern: str
    seed: int
    steps: int
    speed: int
    service: Service
    lanes: Lanes
    policies: list[dict[str, str]]
    lengths: dict[int, str]
    playing: bool
    errors: dict[str, str]

    @property
    def patterns(self) -> Sequence[str]:
        """The workloads on offer."""

    @property
    def title(self) -> str:
        """The workload and the day."""

    @property
    def elapsed_steps(self) -> int:
        """Steps of the day that are over."""

    @property
    def finished(self) -> bool:
        """Whether the day is over."""


def frame_of(room: RoomState) -> bytes:
    """Pack the day so far: the head, the arrivals, then the rows of each lane, all float32 in the machine's byte order.

    Every frame holds the whole day so far (15 kB at its end), so a view can miss any number of frames.
    """
    lanes = room.lanes.all
    blocks: list[Any] = [
        [room.counter % 2**24, room.run % 2**24, room.elapsed_steps, len(lanes)],
        lanes[0].session.history["arrivals"],
    ]
    for lane in lanes:
        history = lane.session.history
        blocks += [np.cumsum(history[name]) if name == "cost" else history[name] for name in ROWS]
    return np.concatenate([np.asarray(block, dtype=np.float32) for block in blocks]).tobytes()


def scene_of(room: RoomState) -> dict[str, Any]:
    """Return what a view shows besides the numbers of the steps: choices, values, labels and error messages."""
    service = room.service
    person = room.lanes.person
    return {
        "title": room.title,
        "caption": _caption(room.pattern, service),
        "run": room.run,
        "steps": room.steps,
        "step_seconds": service.step_seconds,
        "capacity": service.capacity_per_instance,
        "peak": service.peak_arrivals,
        "initial": service.initial_instances,
        "boot": None if service.boot_seconds is None else duration(service.boot_seconds),
        "first_arrivals": room.lanes.first_arrivals,
        "played_steps": room.lanes.played_steps,
        "service": service_as_code(service),
        "playing": room.playing,
        "finished": room.finished,
        "lanes": [_lane(lane) for lane in room.lanes.all],
        "actions": [{"change": change, "label": action_label(change)} for change in service.fleet_changes],
        "person": None if person is None else person.next_action,
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
            "lane2": [*room.lanes.choices, NO_POLICY][1],
            **{name: plain_number(getattr(service, name)) for name in SLIDERS},
        },
        "errors": dict(room.errors),
        "colours": {"queue": QUEUE_COLOUR, **ITEM_COLOURS},
    }


def plain_number(value: float) -> str:
    """Return a number as a person types it, without an exponent.

    Example:
        >>> plain_number(0.000025), plain_number(87)
        ('0.000025', '87')
    """
    return str(value) if isinstance(value, int) else f"{value:.12f}".rstrip("0").rstrip(".")


_MEANINGS: Mapping[str, str] = {**PATTERN_MEANING, MIXED: "each day follows one of the patterns, drawn at random"}


def _caption(pattern: str, service: Service) -> str:
    """Return what the workload stands for and what the chart's demand means."""
    return (
        f"{pattern}: {_MEANINGS.get(pattern, 'recorded traffic')}. A step is {service.step_seconds / 60:g} minutes. "
        f"Demand is the number of instances that the requests of a step need; an instance serves "
        f"{service.capacity_per_instance} requests per step. Point at the chart to see the values of a step."
    )


def _lane(lane: Lane) -> dict[str, Any]:
    is_person = isinstance(lane.session.policy, Person)
    return {
        "label": PERSON if is_person else label_of(lane.choice),
        "colour": PERSON_COLOUR if is_person else colour_of(lane.choice),
        "person": is_person,
        "note": lane.note,
        "handovers": list(lane.handovers),
    }
