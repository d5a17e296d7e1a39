"""`autoscaler demo`: policies on the same days, in the terminal, as an animation or on a web page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from autoscaler_env.cli.options import PATTERN_HELP, Output, ServiceFile, service_of
from autoscaler_env.paths import Folders
from autoscaler_env.service import Service
from autoscaler_env.traffic.workload import check_workload


@dataclass(frozen=True)
class Demo:
    """Watch policies scale the same days side by side in the terminal, or play against them on a web page."""

    policy: Annotated[str, arg(metavar="POLICY")] = "all"
    """A policy as `evaluate` takes it, several separated by commas, or all: the rules and the reference models."""
    steps: Annotated[int, arg(metavar="N")] = 200
    """Steps to play (the reference service has 288 a day). Each day starts with the initial fleet."""
    load_pattern: Annotated[str, arg(metavar="PATTERN", help=PATTERN_HELP, aliases=["--pattern"])] = "SINE_CURVE"
    delay: Annotated[float, arg(metavar="SECONDS")] = 0.05
    """Seconds between two steps."""
    no_render: bool = False
    """Do not draw the day; print the closing table only."""
    save: Annotated[Path | None, arg(metavar="FILE.gif", help_behavior_hint="(none)")] = None
    """Write an animation of the steps to this file."""
    seed: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: 0, with --web a new day)")] = None
    """Number of the first evaluation day, at least 0."""
    web: bool = False
    """Play against a policy on a web page on this machine, 127.0.0.1, until Ctrl+C."""
    port: Annotated[int, arg(metavar="N")] = 8866
    """Port of --web; if it is in use, a free port is chosen and printed."""
    service: ServiceFile = None
    output: Output = None

    def run(self) -> int:
        """Play the steps and print the closing table."""
        if self.steps < 1 or not 0 <= self.delay < float("inf"):
            raise ValueError(
                f"steps = {self.steps}, delay = {self.delay}: must be at least 1 step and at least 0 seconds"
            )
        if self.seed is not None and self.seed < 0:
            raise ValueError(f"seed = {self.seed}: must be at least 0")
        service = service_of(self.service)
        pattern = self.load_pattern.upper()
        check_workload(pattern)
        if self.save is not None:
            from autoscaler_env.demo.figures import check_gif

            check_gif(self.save)
        if self.web:
            return self._serve(pattern, service)
        count = -(-self.steps // service.steps_per_episode)
        seed = self.seed or 0
        from autoscaler_env.policies.registry import showcase

        policies = showcase(self.policy, service, Folders(self.output))
        from autoscaler_env.demo import terminal  # after all that may be refused: to draw days is slow
        from autoscaler_env.demo.session import Session, day_title, demo_days

        days = demo_days(pattern, seed=seed, count=count, service=service)
        sessions = [Session(policy, days, service) for policy in policies]
        title = day_title(pattern, seed)
        terminal.play(sessions, self.steps, title=title, delay=self.delay, render=not self.no_render)
        print(terminal.closing_table(sessions))
        if self.save is not None:
            from autoscaler_env.demo.figures import save_gif

            save_gif(sessions, self.save, title=title)
            print(f"Wrote {self.save}.")
        return 0

    def _serve(self, pattern: str, service: Service) -> int:
        """Serve the control room, with the chosen policies in its lanes, by default a person and the threshold rule."""
        from autoscaler_env.demo.room import Room
        from autoscaler_env.demo.server import serve
        from autoscaler_env.demo.session import PERSON

        folders = Folders(self.output)
        names = [name.strip() for name in self.policy.split(",") if name.strip()]
        if self.policy == "all":
            names = [PERSON, "threshold"]
        if not 1 <= len(names) <= 2:
            raise ValueError(f"policy = {self.policy!r}: must be one or two policies for --web, which has two lanes")
        first, second = names if len(names) == 2 else (names[0], "")
        played = service.steps_per_episode // 4

        def room() -> Room:
            return Room(
                first, second, pattern, seed=self.seed, played_steps=played, speed=5, service=service, folders=folders
            )

        serve(room, self.port)
        return 0
