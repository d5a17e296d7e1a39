"""Options that several commands have, and what they mean."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from autoscaler_env.service import Service
from autoscaler_env.traffic.patterns import MIXED, PATTERNS, Workload

FOLDER_HELP = "Folder for models, logs and results; by default the checkout you stand in, or else the current folder."
PATTERN_HELP = f"{', '.join(PATTERNS)}, or {MIXED}: one of the six for each day."

ServiceFile = Annotated[
    Path | None,
    arg(metavar="FILE.toml", help="Sizes and prices of the service.", help_behavior_hint="(reference service)"),
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
PatternName = Annotated[str | None, arg(metavar="PATTERN", help=PATTERN_HELP, help_behavior_hint=f"(default: {MIXED})")]
Output = Annotated[Path | None, arg(metavar="FOLDER", help=FOLDER_HELP, help_behavior_hint="")]


def service_of(path: Path | None) -> Service:
    """Return the service that the option --service means."""
    return Service() if path is None else Service.from_toml(path)


def workload_of(pattern: str | None, trace: Path | None, smooth: int, service: Service) -> str | Workload:
    """Return what the options --pattern, --trace and --smooth mean.

    Raises:
        ValueError: The pattern is unknown, the trace malformed, or the options contradict each other.
    """
    if trace is None:
        if smooth != 1:
            raise ValueError("--smooth: is for --trace only")
        name = (pattern or MIXED).upper()
        if name not in (*PATTERNS, MIXED):
            raise ValueError(f"pattern = {pattern!r}: must be one of {', '.join((*PATTERNS, MIXED))}")
        return name
    if pattern is not None:
        raise ValueError("--pattern and --trace: only one of them")
    from autoscaler_env.traffic.trace import Trace

    return Trace.from_csv(trace, service, smooth=smooth)
