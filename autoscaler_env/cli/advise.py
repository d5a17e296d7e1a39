"""`autoscaler advise`: what to deploy for one's own traffic."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, UseAppendAction, arg


@dataclass(frozen=True)
class Advise:
    """Recommend what to deploy for your own traffic and prices: a page to send on, and JSON.

    Rules are calibrated and learners trained on the first 60 % of the days; all are compared on the rest. A change is
    recommended only if it keeps today's service and is certain to save at least 1 % of today's cost.
    """

    traffic: Annotated[Positional[str | None], arg(metavar="FILE", help_behavior_hint="")] = None
    """Request counts: CSV, JSON of a monitoring system, or an access log; - for standard input. With --init, the set-up
    to write."""
    service: Annotated[Path | None, arg(metavar="FILE.toml", help_behavior_hint="(required)")] = None
    """Your service, its prices and today's rule; `autoscaler advise --init FILE.toml` writes one with comments."""
    init: bool = False
    """Write a set-up to fill in, to FILE or service.toml."""
    quick: bool = False
    """Small training budgets: a first answer within a minute. Then no learner is recommended."""
    output: Annotated[Path, arg(metavar="FOLDER")] = Path("advice")
    """Folder for advice.html, advice.json and the files that the recommended policy needs."""
    no_learners: bool = False
    """Compare rules only: an answer within seconds."""
    json: bool = False
    """Print the answer as JSON on standard output; everything else goes to standard error."""
    days: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: all)")] = None
    """Use the last N days of the traffic only."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """Seeds the trainings, at least 0; the same seed gives the same page."""
    column: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="(default: found)")] = None
    """Column of the traffic that counts; A+B adds up two columns, all adds up every column of numbers."""
    where: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="COLUMN=VALUE", help_behavior_hint="")] = ()
    """Rows of the traffic to keep, as in --where service=web; several conditions must all hold."""
    sum: bool = False
    """Add up rows of the same time, such as those of several services."""
    unit: Annotated[
        Literal["count", "per-second", "per-minute", "counter"] | None, arg(help_behavior_hint="(default: found)")
    ] = None
    """What the numbers are: requests in a row's interval, rates, or a counter since a start."""
    zone: Annotated[str | None, arg(metavar="ZONE", help_behavior_hint="(default: the clock of the file)")] = None
    """Time zone of the days, as in Europe/Berlin; it tells where clocks change."""
    dates: Annotated[Literal["us", "european"] | None, arg(help_behavior_hint="(default: found)")] = None
    """Order of dates such as 3/2/2026, where the whole column leaves it open."""
    decimal: Annotated[Literal["point", "comma"] | None, arg(help_behavior_hint="(default: found)")] = None
    """Decimal mark, where the whole column leaves it open."""
    row_seconds: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: found)")] = None
    """Seconds from row to row, where the file has steps and no times; an access log is counted over them."""
    smooth: Annotated[int, arg(metavar="N", help_behavior_hint="(default: 1, none)")] = 1
    """Centred moving average over the traffic, in steps."""
    rescale: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: none)")] = None
    """Scale the traffic so that its 99th percentile is this many requests a step."""

    def run(self) -> int:
        """Write a set-up, or the answer."""
        if self.init:
            from autoscaler_env.advice.setup import write_template

            path = Path(self.traffic) if self.traffic else self.service or Path("service.toml")
            write_template(path)
            print(f"Wrote {path}. Fill it in, then run: autoscaler advise TRAFFIC.csv --service {path}")
            return 0
        if self.traffic is None:
            raise ValueError("FILE: the traffic is missing, a CSV of request counts")
        if self.service is None:
            raise ValueError(
                "--service: the set-up is missing; autoscaler advise --init FILE.toml writes one to fill in"
            )
        for name in (self.traffic, str(self.service)):
            if name != "-" and not Path(name).exists():  # told before slow imports
                raise ValueError(f"{name}: No such file or directory")
        from tqdm import tqdm

        from autoscaler_env.advice.advise import advise
        from autoscaler_env.text import shown
        from autoscaler_env.traffic.columns import Reading

        def say(line: str) -> None:
            tqdm.write(line, file=sys.stderr if self.json else sys.stdout)  # above the progress bar

        answer, paths = advise(
            self.traffic,
            self.service,
            self.output,
            quick=self.quick,
            seed=self.seed,
            how=Reading(
                column=self.column,
                where=self.where,
                sum=self.sum,
                unit=self.unit,
                zone=self.zone,
                dates=self.dates,
                decimal=self.decimal,
                row_seconds=self.row_seconds,
            ),
            smooth=self.smooth,
            rescale=self.rescale,
            last_days=self.days,
            learners=not self.no_learners,
            progress=True,
            report=say,
        )
        if self.json:
            print(json.dumps(answer.as_dict()))
        say(f"\n{answer.text}")
        say(f"Wrote {', '.join(shown(path.absolute()) for path in paths)}.")
        return 0
