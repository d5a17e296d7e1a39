"""`autoscaler study`: many trainings, many workloads, tables with intervals over trainings."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from autoscaler_env.cli.options import Output
from autoscaler_env.paths import Folders, output_root
from autoscaler_env.text import one_line, shown

# Here rather than in docstrings of the options, whose lines the help would not join.
_NAMES_HELP = (
    "budgets (the three learners on MIXED, published budgets), long (PPO on MIXED, a million timesteps), patterns "
    "(each learner on each single pattern), inputs (as budgets, with the inputs that a decision needs), iteration and "
    "iteration_patterns (policy iteration), wide (PPO with larger fleet changes), baselines (rules and the optimum), "
    "wide_baselines (the same with larger fleet changes), traces (models trained on MIXED, on recorded traffic), or "
    "all (traces only with --traces)."
)
_SCHEDULER_HELP = (
    "Address of a running Dask scheduler, such as tcp://192.168.0.5:8786, to use instead of local processes. Its "
    "workers need this package and one thread each, and no shared disk."
)


@dataclass(frozen=True)
class Study:
    """Train every learner many times, on Dask; compare on the same days; write results/study_*.csv.

    Finished runs are kept, so an interrupted study continues where it stopped; a run whose worker dies is repeated.
    A change of the simulator, a policy or a learner makes kept runs stale.
    """

    names: Annotated[
        Positional[tuple[str, ...]],
        arg(metavar="NAME ...", help=_NAMES_HELP, help_behavior_hint="(one or more)"),
    ] = ()
    seeds: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: 10; patterns and wide 5)")] = None
    """Trainings of each learner on each pattern: seeds 0 to N - 1."""
    workers: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: one per processor)")] = None
    """Processes on this machine."""
    scheduler: Annotated[str | None, arg(metavar="ADDRESS", help=_SCHEDULER_HELP, help_behavior_hint="(none)")] = None
    traces: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="(none)")] = None
    """Folder of recorded traffic: CSV files as `evaluate --trace` takes them."""
    figures: bool = False
    """Draw every figure of the study from the tables that exist; without a NAME nothing is trained."""
    profile: Literal["quick", "full"] = "full"
    """full: replaces the tables of the project. quick: tiny budgets and few days, written to build/quick."""
    output: Output = None

    def run(self) -> int:
        """Run the studies and print what their trainings save; return 1 if a run failed."""
        from autoscaler_env.study.plan import NAMES, TRACES, check_study

        names = list(dict.fromkeys(self.names))
        if not names and not self.figures:
            raise ValueError(f"study: name one or more of {', '.join(NAMES)}, or all; or give --figures")
        if "all" in names:
            names = [name for name in NAMES if name != TRACES or self.traces is not None]
            if self.traces is None:
                print("No --traces FOLDER given: the study of traces is left out.", file=sys.stderr)
        for name in names:
            check_study(name)
        # After all that may be refused: these are slow to import.
        from autoscaler_env.study.cluster import RunsFailed
        from autoscaler_env.study.run import run_studies
        from autoscaler_env.study.summary import savings_report

        folders = Folders(self.output or (output_root() / "build" / "quick" if self.profile == "quick" else None))
        try:
            written = run_studies(
                names,
                folders,
                seeds=self.seeds,
                quick=self.profile == "quick",
                workers=self.workers,
                scheduler=self.scheduler,
                traces=self.traces,
            )
        except RunsFailed as failure:
            print(f"autoscaler: {one_line(failure)}", file=sys.stderr)
            return 1
        if self.figures:
            from autoscaler_env.plotting.study import draw_figures

            written = [*written, *draw_figures(folders)]
        for path in written:
            print(f"Wrote {shown(path)}.")
        for name in names:
            print(savings_report(name, folders), end="")
        return 0
