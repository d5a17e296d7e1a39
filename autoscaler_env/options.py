"""Read a command line: options that several commands have, what they mean, and what is wrong with them."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Annotated, Any, Union

import tyro
from tyro.conf import arg, subcommand

from autoscaler_env.console import one_line
from autoscaler_env.service import Service
from autoscaler_env.workloads import MIXED, PATTERNS, Workload

FOLDER_HELP = "Folder for models, logs and results; the project's own by default."
PATTERN_HELP = f"{', '.join(PATTERNS)}, or {MIXED}: one of the six for each day."

ServiceFile = Annotated[
    Path | None,
    arg(metavar="FILE.toml", help="Sizes and prices of the service.", help_behavior_hint="(reference service)"),
]
TraceFile = Annotated[
    Path | None,
    arg(
        metavar="FILE.csv",
        help="Recorded traffic instead of a pattern: columns step (or timestamp) and requests, a row per slot.",
        help_behavior_hint="(none)",
    ),
]
Smooth = Annotated[
    int,
    arg(metavar="N", help="Centred moving average over the trace, in slots.", help_behavior_hint="(default: 1, none)"),
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
    from autoscaler_env.traces import Trace

    return Trace.from_csv(trace, service, smooth=smooth)


def parse(commands: dict[str, Any], arguments: list[str]) -> Any:
    """Return the command that the arguments describe.

    Args:
        commands: Dataclasses by the names that users type.
        arguments: Those of the command line, the command's name first.

    Raises:
        ValueError: They describe none; the message is one line.
        SystemExit: Help was asked for, and has been printed.
    """
    choices: Any = Union[tuple(Annotated[command, subcommand(name)] for name, command in commands.items())]  # noqa: UP007
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(
                choices,
                prog="autoscaler",
                description="Does reinforcement learning beat the autoscaler you already run, in dollars?",
                args=arguments,
                config=(tyro.conf.FlagCreatePairsOff,),
            )
    except SystemExit as end:
        if not end.code:
            raise
    name = " ".join(["autoscaler", *(word for word in arguments[:1] if word in commands)])
    raise ValueError(f"{one_line(complaint.getvalue())} (see: {name} --help)")
