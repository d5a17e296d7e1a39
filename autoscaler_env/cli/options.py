"""Options that several commands share, and what they stand for."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import arg

from autoscaler_env.service import Service
from autoscaler_env.text import not_a_choice
from autoscaler_env.traffic.workload import MIXED, PATTERNS, Workload

if TYPE_CHECKING:
    from autoscaler_env.evaluation.objective import Objective

FOLDER_HELP = "Folder for models, logs and results; by default the checkout you stand in, or else the current folder."
PATTERN_HELP = f"{', '.join(PATTERNS)}, or {MIXED}: one of the six for each day."
OWN_HELP = f"{PATTERN_HELP} Or module:Class, a workload of your own."

ServiceFile = Annotated[
    Path | None,
    arg(
        metavar="FILE.toml",
        help="Sizes and prices of the service, such as the file that `autoscaler advise --init` writes.",
        help_behavior_hint="(reference service)",
    ),
]
TraceFile = Annotated[
    Path | None,
    arg(
        metavar="FILE.csv",
        help="Recorded traffic instead of a pattern: columns step (or timestamp) and requests, a row per step.",
        help_behavior_hint="(none)",
    ),
]
Smooth = Annotated[
    int,
    arg(metavar="N", help="Centred moving average over the trace, in steps.", help_behavior_hint="(default: 1, none)"),
]
Rescale = Annotated[
    Literal["peak"] | int | None,
    arg(
        metavar="{peak,N}",
        help="Scale the trace so that its 99th percentile is N requests a step, or the service's peak_arrivals.",
        help_behavior_hint="(default: as it is)",
    ),
]
PatternName = Annotated[str | None, arg(metavar="PATTERN", help=OWN_HELP, help_behavior_hint=f"(default: {MIXED})")]
Output = Annotated[Path | None, arg(metavar="FOLDER", help=FOLDER_HELP, help_behavior_hint="")]


def service_of(path: Path | None) -> Service:
    """Return the service that the option --service names.

    Raises:
        ValueError: The file has a fault, be it in the tables `[today]` and `[limits]`, which only `advise` uses.
    """
    if path is None:
        return Service()
    from autoscaler_env.advice.setup import Setup

    service = Service.from_toml(path)
    if {"today", "limits"} & tomllib.loads(path.read_text(encoding="utf-8")).keys():
        Setup.from_toml(path)
    return service


def objective_of(path: Path | None) -> Objective | None:
    """Return the objective in the file that the option --service names; `None` if there is none."""
    if path is None:
        return None
    from autoscaler_env.evaluation.objective import Objective

    return Objective.from_toml(path)


def workload_of(
    pattern: str | None,
    trace: Path | None,
    smooth: int,
    service: Service,
    rescale: Literal["peak"] | int | None = None,
) -> str | Workload:
    """Return the workload that the options --pattern, --trace, --smooth and --rescale name.

    Where a trace is smoothed or rescaled, a line on stdout says so.

    Raises:
        ValueError: The pattern is unknown, the trace malformed, or the options contradict each other.
    """
    if trace is None:
        for option, given in (("--smooth", smooth != 1), ("--rescale", rescale is not None)):
            if given:
                raise ValueError(f"{option}: is for --trace only")
        if pattern is not None and ":" in pattern:
            from autoscaler_env.policies.own import own_workload

            return own_workload(pattern, service)
        name = (pattern or MIXED).upper()
        known = (*PATTERNS, MIXED)
        if name not in known:
            raise ValueError(not_a_choice("pattern", pattern, (*known, "module:Class of a workload")))
        return name
    if pattern is not None:
        raise ValueError("--pattern and --trace: only one of them")
    if rescale is not None and rescale != "peak" and rescale < 1:
        raise ValueError(f"rescale = {rescale}: must be peak, or a number of requests a step, at least 1")
    if not trace.exists():
        raise ValueError(f"{trace}: No such file or directory")
    from autoscaler_env.traffic.trace import Trace  # slow to import: after all that may be refused

    scale = True if rescale == "peak" else False if rescale is None else rescale
    recorded = Trace.from_csv(trace, service, smooth=smooth, rescale=scale)
    if recorded.notes:
        print(f"{recorded.name}: {' '.join(recorded.notes)}")
    return recorded
