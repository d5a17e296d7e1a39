"""The command line: reads arguments, runs a command, turns what goes wrong into one line and an exit status."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any, Union

import tyro
from tyro.conf import subcommand

from autoscaler_env.cli.advise import Advise
from autoscaler_env.cli.console import one_line
from autoscaler_env.cli.demo import Demo
from autoscaler_env.cli.devices import Devices
from autoscaler_env.cli.evaluate import Evaluate
from autoscaler_env.cli.grade import Grade
from autoscaler_env.cli.run import Run
from autoscaler_env.cli.study import Study
from autoscaler_env.cli.train import Train
from autoscaler_env.cli.verify import Verify

COMMANDS: dict[str, Any] = {
    "train": Train,
    "evaluate": Evaluate,
    "demo": Demo,
    "verify": Verify,
    "devices": Devices,
    "run": Run,
    "advise": Advise,
    "grade": Grade,
    "study": Study,
}
"""The commands, by the names that users type."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: Those of the command line by default.

    Returns:
        The exit status: 0, 1 if what was checked or run failed, 2 for a bad argument, 130 if interrupted.
    """
    try:
        status: int = parse(sys.argv[1:] if arguments is None else list(arguments)).run()
        return status
    except BrokenPipeError:  # whoever read the output has seen enough, as in `autoscaler verify | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, OSError) as error:
        print(f"autoscaler: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("autoscaler: interrupted", file=sys.stderr)
        return 130


def parse(arguments: list[str]) -> Any:
    """Return the command that the arguments describe.

    Args:
        arguments: Those of the command line, the command's name first.

    Raises:
        ValueError: They describe none; the message is one line.
        SystemExit: Help was asked for, and has been printed.
    """
    choices: Any = Union[tuple(Annotated[command, subcommand(name)] for name, command in COMMANDS.items())]  # noqa: UP007
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
    name = " ".join(["autoscaler", *(word for word in arguments[:1] if word in COMMANDS)])
    raise ValueError(f"{one_line(complaint.getvalue())} (see: {name} --help)")


if __name__ == "__main__":
    sys.exit(main())
