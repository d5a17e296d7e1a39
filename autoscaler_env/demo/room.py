"""The control room: two lanes on the same day and the requests of a person, without a screen or a browser.

A view sends messages (plain dictionaries) to `Room.handle` and shows what `Room.changes` returns. The room has no
clock: the view asks for each step when it is due (`tick`), so nothing runs without a view.
"""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from autoscaler_env.demo.controls import (
    LAST_DAY,
    NO_POLICY,
    SLIDERS,
    SPEEDS,
    length_choices,
    policy_choices,
    read_choice,
    read_number,
    read_service,
    read_trace,
)
from autoscaler_env.demo.explain import explanation
from autoscaler_env.demo.figures import draw_score
from autoscaler_env.demo.lanes import Lanes
from autoscaler_env.demo.score import score_card, with_optimum
from autoscaler_env.demo.session import PERSON, day_title, unseen_day
from autoscaler_env.demo.view import frame_of, scene_of
from autoscaler_env.paths import Folders
from autoscaler_env.service import Service
from autoscaler_env.text import not_a_choice
from autoscaler_env.traffic.patterns import MIXED, PATTERNS, Workload

MOST_STEPS = 50
"""The most steps that one message can ask for."""


class Room:
    """Two lanes on the same day.

    Args:
        first: The policy of the first lane: `you`, `optimum`, or a policy as `find_policy` takes it.
        second: The policy of the second lane; empty for one lane only.
        pattern: A pattern's name, or a workload such as a trace.
        seed: Number of the evaluation day; `None` draws a day that nobody has seen, from `GAME_DAYS`.
        steps: Steps of the day, from its start; the whole day by default.
        played_steps: Steps that are already played when a day starts, at most a quarter of the day. A person takes over
            from the policy of the other lane.
        speed: Steps per second, one of `SPEEDS`.
        service: The service; the reference service by default.
        folders: Folders with the models; the project's folders by default.

    Raises:
        ValueError: An argument is not allowed.

    Example:
        >>> room = Room("threshold", "static", "STEADY")
        >>> room.handle({"do": "step"})
        >>> [lane.session.state.elapsed_steps for lane in room.lanes.all]
        [1, 1]
    """

    def __init__(
        self,
        first: str = "ppo_mixed",
        second: str = "threshold",
        pattern: str | Workload = "SINE_CURVE",
        *,
        seed: int | None = 0,
        steps: int | None = None,
        played_steps: int = 0,
        speed: int = 10,
        service: Service | None = None,
        folders: Folders | None = None,
    ) -> None:
        self.service = self._reference = service or Service()
        self.folders = folders or Folders()
        self.workloads: dict[str, Workload] = {}
        """The uploaded traces, by name."""
        if not isinstance(pattern, str):
            self.workloads[pattern.name] = pattern
            pattern = pattern.name
        self.pattern = read_choice("pattern", pattern, self.patterns)
        self.seed = read_number("seed", unseen_day() if seed is None else seed, 0, LAST_DAY, whole=True)
        whole = self.service.steps_per_episode
        self.steps = whole if steps is None else read_number("steps", steps, 1, whole, whole=True)
        self.played_steps = read_number("played_steps", played_steps, 0, whole, whole=True)
        self.speed = int(read_choice("speed", str(speed), [str(choice) for choice in SPEEDS]))
        self.policies = policy_choices(self.folders, (first, second))
        self.lengths = length_choices(self.service, self.steps)
        self.playing = False
        """Whether the view should ask for steps."""
        self.counter = 0
        """Messages received so far."""
        self.run = 0
        """Days started so far."""
        self.errors: dict[str, str] = {}
        """The error message of each control whose last request was refused."""
        self.card: dict[str, Any] | None = None
        """The score card, once the day is over and the view has asked for it."""
        self._sent: dict[str, Any] = {}
        self._start_day([name for name in (first, second) if name != NO_POLICY])

    @property
    def patterns(self) -> list[str]:
        """The patterns and traces on offer."""
        return [*PATTERNS, MIXED, *self.workloads]

    @property
    def title(self) -> str:
        """The workload and the day."""
        return day_title(self.pattern, self.seed)

    @property
    def elapsed_steps(self) -> int:
        """Steps of the day that are over."""
        return self.lanes.elapsed_steps

    @property
    def finished(self) -> bool:
        """Whether the day is over."""
        return self.elapsed_steps == self.steps

    def handle(self, message: Any) -> None:
        """Carry out the request of a view. A request that is not allowed goes to `errors` and changes nothing else.

        Args:
            message: A dictionary with the request, `do`, and its arguments:
                play, pause, step, restart: control the clock;
                fresh: start a day that nobody has seen;
                reference: reset the service;
                score, optimum: make the score card at the end of the day;
                tick: advance by `steps` if `run` and `elapsed_steps` are those of the room;
                act: take the person's `action`;
                set: set the control `name` to `value`;
                trace: play the file `name` with the content `text`.
        """
        self.counter += 1
        request = message if isinstance(message, dict) else {}
        do = request.get("do")
        control = {"set": str(request.get("name")), "trace": "pattern"}.get(str(do), "play")
        try:
            handlers = {
                "play": self._play,
                "pause": self._pause,
                "step": self._step,
                "restart": self._restart,
                "fresh": self._fresh_day,
                "reference": self._reset_service,
                "score": self._score,
                "optimum": self._optimum,
                "tick": self._tick,
                "act": self._act,
                "set": self._set,
                "trace": self._trace,
            }
            if not isinstance(do, str) or do not in handlers:
                raise ValueError(not_a_choice("do", str(do)[:40], handlers))
            handlers[do](request)
            self.errors.pop(control, None)
        except ValueError as error:
            self.errors[control] = str(error)

    def changes(self) -> dict[str, Any]:
        """Return the parts that changed since the last call, by name: `frame` (bytes), `scene`, `why`, `card`."""
        current = {
            "frame": frame_of(self),
            "scene": scene_of(self),
            "why": [explanation(lane.session) for lane in self.lanes.all],
            "card": self.card,
        }
        sent, self._sent = self._sent, current
        return {name: value for name, value in current.items() if name not in sent or value != sent[name]}

    def figure(self) -> Figure:
        """Draw the finished day; a copy of it is played, with the threshold rule in the place of a person."""
        return draw_score(self.lanes.finished_copies(), self.title)

    # --- requests ----------------------------------------------------------------------------------------------------

    def _play(self, request: dict[str, Any]) -> None:
        if self.finished:
            self._restart(request)
        self.playing = True

    def _pause(self, request: dict[str, Any]) -> None:
        self.playing = False

    def _step(self, request: dict[str, Any]) -> None:
        self.playing = False
        self._advance(1)

    def _restart(self, request: dict[str, Any]) -> None:
        self._start_day(self.lanes.choices)
        self.errors = {name: text for name, text in self.errors.items() if name in ("seed", *SLIDERS)}

    def _fresh_day(self, request: dict[str, Any]) -> None:
        """Start a day that nobody has seen."""
        self.playing = False
        self._change(seed=unseen_day())
        self.errors.pop("seed", None)

    def _tick(self, request: dict[str, Any]) -> None:
        """Advance, unless the view is out of date: another view was faster, or the day was restarted."""
        if self.playing and (request.get("run"), request.get("elapsed_steps")) == (self.run, self.elapsed_steps):
            self._advance(read_number("steps", request.get("steps", 1), 1, MOST_STEPS, whole=True))

    def _act(self, request: dict[str, Any]) -> None:
        """Take the person's action for the next step; if the day is paused, play that step now."""
        person = self.lanes.person
        if person is None:
            raise ValueError(f"no person plays: choose {PERSON!r} as a policy first")
        person.choose(request.get("action"))
        if not self.playing:
            self._advance(1)

    def _score(self, request: dict[str, Any]) -> None:
        if self.finished and self.card is None:
            lanes = self.lanes.all
            self.card = score_card([lane.session for lane in lanes], [lane.label for lane in lanes])

    def _optimum(self, request: dict[str, Any]) -> None:
        if self.card is not None and self.card["pending"]:
            self.card = with_optimum(self.card, self.lanes.all[0].session)

    def _reset_service(self, request: dict[str, Any]) -> None:
        self.service = self._reference
        self.errors.clear()
        self._restart(request)

    def _set(self, request: dict[str, Any]) -> None:
        name, value = request.get("name"), request.get("value")
        if name == "speed":
            self.speed = int(read_choice("speed", str(value), [str(speed) for speed in SPEEDS]))
        elif name in ("lane1", "lane2"):
            allowed = [policy["value"] for policy in self.policies] + ([NO_POLICY] if name == "lane2" else [])
            self.lanes.assign(int(name[-1]) - 1, read_choice("policy", value, allowed))
        elif name == "pattern":
            self._change(pattern=read_choice("pattern", value, self.patterns))
        elif name == "seed":
            self._change(seed=read_number("day", value, 0, LAST_DAY, whole=True))
        elif name == "steps":
            self._change(steps=int(read_choice("length", str(value), [str(steps) for steps in self.lengths])))
        else:
            self._change(service=read_service(self.service, str(name), value))

    def _trace(self, request: dict[str, Any]) -> None:
        """Read an uploaded trace and play it."""
        trace = read_trace(str(request.get("name", "trace.csv")), str(request.get("text", "")), self.service)
        self.workloads[trace.name] = trace
        self._change(pattern=trace.name)

    # --- effects -----------------------------------------------------------------------------------------------------

    def _change(self, **values: Any) -> None:
        """Restart the day with other values of some attributes; if that fails, nothing changes."""
        before = {name: getattr(self, name) for name in values}
        for name, value in values.items():
            setattr(self, name, value)
        try:
            self._start_day(self.lanes.choices)
        except ValueError:
            for name, value in before.items():
                setattr(self, name, value)
            raise

    def _start_day(self, choices: list[str]) -> None:
        """Start the day, with these policies in the lanes."""
        self.lanes = Lanes(
            choices,
            self.workloads.get(self.pattern, self.pattern),
            seed=self.seed,
            steps=self.steps,
            played_steps=self.played_steps,
            service=self.service,
            folders=self.folders,
        )
        self.card = None
        self.run += 1

    def _advance(self, steps: int) -> None:
        """Advance by some steps; stop the clock at the end of the day or if a policy fails."""
        try:
            self.lanes.advance(steps)
        except ValueError:
            self.playing = False
            raise
        if self.finished:
            self.playing = False
