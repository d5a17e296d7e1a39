"""`autoscaler study`: many trainings, many workloads, tables with intervals over seeds."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from autoscaler_env.cli.options import Output
from autoscaler_env.paths import Folders, output_root
from autoscaler_env.text import shown


@dataclass(frozen=True)
class Study:
    """Train every learner many times, on Dask; compare on the same days; write results/study_*.csv.

    What is done already is not done again. An interrupted study goes on where it was; a run whose worker dies is done
    again.
    """

    names: Annotated[Positional[tuple[str, ...]], arg(metavar="NAME ...", help_behavior_hint="(one or more)")] = ()
    """budgets (the three learners on MIXED, published budgets), long (PPO on MIXED, a million timesteps), patterns (each
    learner on each single pattern), wide (PPO with wide steps), opponents (rules and the optimum), traces (what was
    trained on MIXED, on recorded traffic), or all of them (traces only with --traces)."""
    seeds: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: 10; patterns and wide 5)")] = None
    """Trainings of each learner on each pattern: seeds 0 to N - 1."""
    workers: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: one per processor)")] = None
    """Processes on this machine."""
    scheduler: Annotated[str | None, arg(metavar="ADDRESS", help_behavior_hint="(none)")] = None
    """A running Dask scheduler instead, such as tcp://192.168.0.5:8786; its workers need this package and one thread
    each, and no shared disk."""
    traces: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="(none)")] = None
    """Holds recorded traffic: CSV files as `evaluate --trace` takes them."""
    figures: bool = False
    """Draw every figure of the study from the tables that are there; alone, it trains nothing."""
    profile: Literal["quick", "full"] = "full"
    """full: replaces the project's tables. quick: tiny budgets and few days, below build/quick."""
    output: Output = None

    def run(self) -> int:
        """Complete the study, print what it found; 1 if a run failed."""
        from autoscaler_env.study.analysis import report
        from autoscaler_env.study.cluster import RunsFailed
        from autoscaler_env.study.run import NAMES, TRACES, conduct

        names = list(dict.fromkeys(self.names))
        if not names and not self.figures:
            raise ValueError(f"study: name one or more of {', '.join(NAMES)}, or all; or give --figures")
        if "all" in names:
            names = [name for name in NAMES if name != TRACES or self.traces is not None]
            if self.traces is None:
                print("No --traces FOLDER given: the study of traces is left out.", file=sys.stderr)
        folders = Folders(self.output or (output_root() / "build" / "quick" if self.profile == "quick" else None))
        print(f"Tables go to {folders.results}.", flush=True)
        try:
            written = conduct(
                names,
                folders,
                seeds=self.seeds,
                quick=self.profile == "quick",
                workers=self.workers,
                scheduler=self.scheduler,
                traces=self.traces,
            )
        except RunsFailed as failure:
            print(f"autoscaler: {' '.join(str(failure).split())}", file=sys.stderr)
            return 1
        if self.figures:
            from autoscaler_env.plotting.study import draw_figures

            written = [*written, *draw_figures(folders)]
        for path in written:
            print(f"Wrote {shown(path)}.")
        for name in names:
            print(report(name, folders), end="")
        return 0
