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

    traffic: Annotated[Positional[tuple[str, ...]], arg(metavar="FILE ...", help_behavior_hint="")] = ()
    """Request counts: CSV, JSON of a monitoring system, or an access log, plain or .gz; - for standard input. Several
    files are joined in time. With --init, the set-up to write."""
    service: Annotated[Path | None, arg(metavar="FILE.toml", help_behavior_hint="(required)")] = None
    """Your service, its prices and today's rule; `autoscaler advise --init FILE.toml` writes one with comments."""
    init: bool = False
    """Write a set-up to fill in, to FILE or service.toml."""
    quick: bool = False
    """Small training budgets: an answer in about a minute of an idle core. Then no learner is recommended."""
    output: Annotated[Path, arg(metavar="FOLDER")] = Path("advice")
    """Folder for advice.html, advice.json and the files that the recommended policy needs."""
    no_learners: bool = False
    """Compare rules only: an answer in seconds to a minute, by the length of the traffic."""
    all_rules: bool = False
    """Compare AWS' target tracking and step scaling and Knative's KPA too, whatever runs today."""
    json: bool = False
    """Print the answer as JSON on standard output; everything else goes to standard error."""
    days: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: all; of Prometheus 30)")] = None
    """Use the last N days of the traffic only."""
    prometheus: Annotated[str | None, arg(metavar="URL", help_behavior_hint="(none)")] = None
    """Read the traffic from this Prometheus instead of a file, such as http://localhost:9090; nothing is written there.
    """
    query: Annotated[str | None, arg(metavar="QUERY", help_behavior_hint="(with --prometheus)")] = None
    """What to ask Prometheus, such as 'sum(rate(http_requests_total[5m]))'."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """Seeds the trainings, at least 0; the same seed gives the same page."""
    column: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="(default: found)")] = None
    """Column of the traffic that counts; A+B adds up two columns, all adds up every column of numbers, rows counts the
    rows, each of which is a request."""
    where: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="COLUMN=VALUE", help_behavior_hint="")] = ()
    """Rows of the traffic to keep, as in --where service=web; several conditions must all hold."""
    sum: bool = False
    """Add up rows of the same time, such as those of several services."""
    unit: Annotated[
        Literal["count", "per-second", "per-minute", "per-hour", "counter"] | None,
        arg(help_behavior_hint="(default: found)"),
    ] = None
    """What the numbers are: requests in a row's interval, rates, or a counter since a start."""
    zone: Annotated[str | None, arg(metavar="ZONE", help_behavior_hint="(default: the clock of the file)")] = None
    """Time zone of the days, as in Europe/Berlin; it tells where clocks change."""
    dates: Annotated[Literal["us", "european"] | None, arg(help_behavior_hint="(default: found)")] = None
    """Order of dates such as 3/2/2026, where the whole column leaves it open."""
    decimal: Annotated[Literal["point", "comma"] | None, arg(help_behavior_hint="(default: found)")] = None
    """Decimal mark, where the whole column leaves it open."""
    repeats: Annotated[Literal["drop", "count"] | None, arg(help_behavior_hint="(default: found)")] = None
    """What is done with rows that equal a row before in every cell, where the file leaves it open."""
    row_seconds: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: found)")] = None
    """Seconds from row to row, where the file has steps and no times; the lines of an access log, and rows that are
    requests, are counted over them."""
    step_seconds: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: 60, or what the rows need)")] = (
        None
    )
    """Length of a simulated step; shorter rows are added up to it."""
    smooth: Annotated[int, arg(metavar="N", help_behavior_hint="(default: 1, none)")] = 1
    """Centred moving average over the traffic, in steps."""
    rescale: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: none)")] = None
    """Scale the traffic so that its 99th percentile is this many requests a step."""

    def run(self) -> int:
        """Write a set-up, or the answer."""
        if self.init:
            from autoscaler_env.advice.setup import write_template

            if len(self.traffic) > 1:
                raise ValueError("FILE: only one set-up is written at a time")
            path = Path(self.traffic[0]) if self.traffic else self.service or Path("service.toml")
            write_template(path)
            print(f"Wrote {path}. Fill it in, then run: autoscaler advise TRAFFIC.csv --service {path}")
            return 0
        if (self.prometheus is None) != (self.query is None):
            raise ValueError("--prometheus and --query: give both, or a file")
        if not self.traffic and self.prometheus is None:
            raise ValueError("FILE: the traffic is missing, a CSV of request counts")
        if self.traffic and self.prometheus is not None:
            raise ValueError("FILE and --prometheus: only one of them")
        if self.service is None:
            raise ValueError(
                "--service: the set-up is missing; autoscaler advise --init FILE.toml writes one to fill in"
            )
        from autoscaler_env.advice.inputs import read_inputs
        from autoscaler_env.text import shown
        from autoscaler_env.traffic.columns import Reading
        from autoscaler_env.traffic.prometheus import Query
        from autoscaler_env.traffic.reading import Source

        source: Source = self.traffic
        if self.prometheus is not None and self.query is not None:
            source = Query(self.prometheus, self.query, self.days or 30, self.row_seconds)
        setup, days = read_inputs(
            source,
            self.service,
            self.output,
            seed=self.seed,
            how=Reading(
                column=self.column,
                where=self.where,
                sum=self.sum,
                unit=self.unit,
                zone=self.zone,
                dates=self.dates,
                decimal=self.decimal,
                repeats=self.repeats,
                row_seconds=self.row_seconds,
            ),
            step_seconds=self.step_seconds,
            smooth=self.smooth,
            rescale=self.rescale,
            last_days=self.days,
        )
        from tqdm import tqdm

        from autoscaler_env.advice.advise import advise_on_days  # slow to import: after all that may be refused

        def say(line: str) -> None:
            tqdm.write(line, file=sys.stderr if self.json else sys.stdout)  # above the progress bar

        answer, paths = advise_on_days(
            setup,
            days,
            self.output,
            quick=self.quick,
            seed=self.seed,
            learners=not self.no_learners,
            all_rules=self.all_rules,
            progress=True,
            report=say,
        )
        if self.json:
            print(json.dumps(answer.as_dict()))
        say(f"\n{answer.text}")
        say(f"Wrote {', '.join(shown(path.absolute()) for path in paths)}.")
        return 0
