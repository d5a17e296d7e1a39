"""`autoscaler advise`: what to deploy for one's own traffic."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg


@dataclass(frozen=True)
class Advise:
    """Say what to deploy for your own traffic and prices: a page to send on, and JSON.

    Rules are calibrated and learners trained on the first 60 % of the days; all are charged on the rest.
    """

    traffic: Annotated[Positional[str | None], arg(metavar="TRAFFIC.csv", help_behavior_hint="")] = None
    """Request counts, a row per interval: times (or steps) and requests. - for standard input."""
    service: Annotated[Path | None, arg(metavar="FILE.toml", help_behavior_hint="(needed)")] = None
    """Your service, its prices and today's rule; `autoscaler advise --init` writes one with comments."""
    init: bool = False
    """Write a set-up to fill in, to the file that --service names, or service.toml."""
    quick: bool = False
    """Small budgets for the learners: a first answer within a minute."""
    output: Annotated[Path, arg(metavar="FOLDER")] = Path("advice")
    """Folder for advice.html, advice.json and what the recommendation needs."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """Seeds trainings and intervals, at least 0; the same seed gives the same page."""
    smooth: Annotated[int, arg(metavar="N", help_behavior_hint="(default: 1, none)")] = 1
    """Centred moving average over the traffic, in steps."""
    rescale: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: as it is)")] = None
    """Scale the traffic so that its 99th percentile is this many requests a step."""

    def run(self) -> int:
        """Write the set-up, or the answer."""
        from autoscaler_env.advice.setup import Setup, write_template
        from autoscaler_env.text import shown

        if self.init:
            path = self.service or Path("service.toml")
            write_template(path)
            print(f"Wrote {path}. Fill it in, then: autoscaler advise TRAFFIC.csv --service {path}")
            return 0
        if self.traffic is None or self.service is None:
            missing = "TRAFFIC.csv: the traffic" if self.traffic is None else "--service: a set-up"
            raise ValueError(f"{missing} is needed; autoscaler advise --init writes a set-up to fill in")
        if self.seed < 0 or self.smooth < 1 or (self.rescale is not None and self.rescale < 1):
            raise ValueError(
                f"seed = {self.seed}, smooth = {self.smooth}, rescale = {self.rescale}: must be at least 0, 1 and 1"
            )
        if self.output.exists() and not self.output.is_dir():
            raise ValueError(f"output = {str(self.output)!r}: is a file; name a folder")
        from autoscaler_env.traffic.reading import read_traffic
        from autoscaler_env.traffic.trace import cut_days

        setup = Setup.from_toml(self.service)
        traffic = read_traffic(self.traffic, setup.step_seconds)
        days = cut_days(traffic, setup.step_seconds, smooth=self.smooth, rescale=self.rescale)
        print("\n".join(days.notes), end="\n" if days.notes else "")

        try:  # before minutes are spent on what could not be written
            self.output.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(f"output = {str(self.output)!r}: {error.strerror or error}") from None
        from autoscaler_env.advice.compare import BUDGETS, hold_contest
        from autoscaler_env.advice.page import deliver
        from autoscaler_env.advice.report import answer

        contest = hold_contest(setup, days, budgets=BUDGETS[self.quick], seed=self.seed, progress=True)
        found = answer(contest, self.seed)
        print(f"\n{found.headline}\n{found.reason}")
        paths = deliver(found, self.output)
        print(f"Wrote {', '.join(shown(path.absolute()) for path in paths)}.")
        return 0
