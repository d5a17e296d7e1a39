"""The control room: two lanes on the same day, and what a person may do with them. No screen, no browser.

A view sends messages, plain dictionaries, to `handle`, and shows what `news` returns. The room keeps no clock: a view
asks for the next step when it is due (`tick`), so that nothing runs where nobody looks.
"""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from autoscaler_env.demo.controls import (
    LAST_DAY,
    NOBODY,
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
from autoscaler_env.demo.session import PERSON
from autoscaler_env.demo.view import frame_of, scene_of
from autoscaler_env.paths import Folders
from autoscaler_env.service import Service
from autoscaler_env.traffic.patterns import MIXED, PATTERNS, Workload

MOST_STEPS = 50
"""Steps that one message may ask for."""


class Room:
    """Two lanes on the same day.

    Args:
        first: Who acts in the first lane: `you`, `optimum`, or a policy as `find_policy` takes it.
        second: Who acts in the second; empty for nobody.
        pattern: A pattern's name, or a workload such as a trace.
        seed: Number of the evaluation day.
        steps: Steps of the day that are played, from its start; all by default.
        speed: Steps a second, one of `SPEEDS`.
        service: The reference service by default.
        folders: Where models lie; the project's folders by default.

    Raises:
        ValueError: One of them is not allowed.

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
        seed: int = 0,
        steps: int | None = None,
        speed: int = 10,
        service: Service | None = None,
        folders: Folders | None = None,
    ) -> None:
        self.service = self._reference = service or Service()
        self.folders = folders or Folders()
        self.workloads: dict[str, Workload] = {}
        """Traces, by their names."""
        if not isinstance(pattern, str):
            self.workloads[pattern.name] = pattern
            pattern = pattern.name
        self.pattern = read_choice("pattern", pattern, self.patterns)
        self.seed = read_number("seed", seed, 0, LAST_DAY, whole=True)
        whole = self.service.steps_per_episode
        self.steps = whole if steps is None else read_number("steps", steps, 1, whole, whole=True)
        self.speed = int(read_choice("speed", str(speed), [str(each) for each in SPEEDS]))
        self.policies = policy_choices(self.folders, (first, second))
        self.lengths = length_choices(self.service, self.steps)
        self.playing = False
        self.counter = 0
        """Messages heard so far."""
        self.run = 0
        """Days begun so far."""
        self.errors: dict[str, str] = {}
        """What was refused, by the control that asked for it."""
        self.card: dict[str, Any] | None = None
        self._told: dict[str, Any] = {}
        self._begin([name for name in (first, second) if name != NOBODY])

    @property
    def patterns(self) -> list[str]:
        """The patterns and traces that may be chosen."""
        return [*PATTERNS, MIXED, *self.workloads]

    @property
    def title(self) -> str:
        """What is played: pattern and day."""
        return f"{self.pattern}, evaluation day {self.seed}"

    @property
    def elapsed_steps(self) -> int:
        """Steps of the day that have passed."""
        return self.lanes.elapsed_steps

    @property
    def finished(self) -> bool:
        """Whether the day is over."""
        return self.elapsed_steps == self.steps

    def handle(self, message: Any) -> None:
        """Do what a view asks for; a request that is not allowed is kept in `errors` and changes nothing else.

        Args:
            message: A dictionary with `do`, the request, and what it needs:
                play, pause, step, restart; reference: the service as it was first; score, optimum: at the day's end;
                tick: `run`, `step` (where the view believes to stand) and `steps` (how many are due);
                act: `action`; set: `name`, `value`; trace: `name`, `text`.
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
                "reference": self._reset_service,
                "score": self._score,
                "optimum": self._optimum,
                "tick": self._tick,
                "act": self._act,
                "set": self._set,
                "trace": self._trace,
            }
            if not isinstance(do, str) or do not in handlers:
                raise ValueError(f"do = {str(do)[:40]!r}: must be one of {', '.join(handlers)}")
            handlers[do](request)
            self.errors.pop(control, None)
        except ValueError as error:
            self.errors[control] = str(error)

    def news(self) -> dict[str, Any]:
        """Return what has changed since the last call, by name: `frame` (bytes), `scene`, `why`, `card`."""
        now = {
            "frame": frame_of(self),
            "scene": scene_of(self),
            "why": [explanation(lane.session) for lane in self.lanes.all],
            "card": self.card,
        }
        news = {name: value for name, value in now.items() if name not in self._told or value != self._told[name]}
        self._told = now
        return news

    def picture(self) -> Figure:
        """Play the day to its end, apart from the lanes, and draw it; instead of a person, the threshold rule."""
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
        self._begin(self.lanes.choices)
        self.errors = {name: text for name, text in self.errors.items() if name in ("seed", *SLIDERS)}

    def _tick(self, request: dict[str, Any]) -> None:
        """Let time pass, unless the view is not where the room is: another view was faster, or the day began anew."""
        if self.playing and (request.get("run"), request.get("elapsed_steps")) == (self.run, self.elapsed_steps):
            self._advance(read_number("steps", request.get("steps", 1), 1, MOST_STEPS, whole=True))

    def _act(self, request: dict[str, Any]) -> None:
        """Take a person's action: for the next step if time passes by itself, else time passes now."""
        person = self.lanes.person
        if person is None:
            raise ValueError(f"nobody plays: choose {PERSON!r} in a lane first")
        person.ask(request.get("action"))
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
            allowed = [policy["value"] for policy in self.policies] + ([NOBODY] if name == "lane2" else [])
            self.lanes.seat(int(name[-1]) - 1, read_choice("policy", value, allowed))
        elif name == "pattern":
            self._change(pattern=read_choice("pattern", value, self.patterns))
        elif name == "seed":
            self._change(seed=read_number("day", value, 0, LAST_DAY, whole=True))
        elif name == "steps":
            self._change(steps=int(read_choice("length", str(value), [str(steps) for steps in self.lengths])))
        else:
            self._change(service=read_service(self.service, str(name), value))

    def _trace(self, request: dict[str, Any]) -> None:
        """Read a trace that a person handed in, and play it."""
        trace = read_trace(str(request.get("name", "trace.csv")), str(request.get("text", "")), self.service)
        self.workloads[trace.name] = trace
        self._change(pattern=trace.name)

    # --- what they come to -------------------------------------------------------------------------------------------

    def _change(self, **values: Any) -> None:
        """Begin the day anew with other values; if that is not possible, everything stays as it was."""
        before = {name: getattr(self, name) for name in values}
        for name, value in values.items():
            setattr(self, name, value)
        try:
            self._begin(self.lanes.choices)
        except ValueError:
            for name, value in before.items():
                setattr(self, name, value)
            raise

    def _begin(self, choices: list[str]) -> None:
        """Begin the day, with these policies in the lanes."""
        self.lanes = Lanes(
            choices,
            self.workloads.get(self.pattern, self.pattern),
            seed=self.seed,
            steps=self.steps,
            service=self.service,
            folders=self.folders,
        )
        self.card = None
        self.run += 1

    def _advance(self, steps: int) -> None:
        """Let steps pass; at the end of the day, or where a policy fails, time stops."""
        try:
            self.lanes.advance(steps)
        except ValueError:
            self.playing = False
            raise
        if self.finished:
            self.playing = False
