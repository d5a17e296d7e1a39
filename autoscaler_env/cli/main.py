"""The command line: reads the arguments, runs a command, and turns errors into one line and an exit status."""

from __future__ import annotations

import _thread
import contextlib
import importlib
import io
import os
import re
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import tyro

from autoscaler_env import __version__
from autoscaler_env.text import not_a_choice, one_line, suggestion

COMMANDS = {
    "train": "train.Train",
    "evaluate": "evaluate.Evaluate",
    "demo": "demo.Demo",
    "verify": "verify.Verify",
    "devices": "train.Devices",
    "run": "run.Run",
    "advise": "advise.Advise",
    "check": "check.Check",
    "grade": "grade.Grade",
    "course": "course.Course",
    "release": "release.Release",
    "leaderboard": "leaderboard.Leaderboard",
    "study": "study.Study",
}
"""The module, beside this one, and the class of each command, by the name that users type."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: The arguments; those of the command line by default.

    Returns:
        The exit status: 0; 1 if a check or a run failed; 2 for a bad argument; 3 if the grader itself failed; 130 after
        Ctrl-C.
    """
    try:
        with _interruptible():
            command = parse(sys.argv[1:] if arguments is None else list(arguments))
            status: int = command.run()
        return status
    except BrokenPipeError:  # the reader of the output has ended, as in `autoscaler verify | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, OSError) as error:
        print(f"autoscaler: {one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("autoscaler: interrupted", file=sys.stderr)
        return 130


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Interrupt also where a Ctrl-C comes while foreign code calls Python, as the compiler does.

    Python cannot raise it there: it prints a traceback, and the foreign code fails or goes on.
    """
    hook = sys.unraisablehook
    again: list[threading.Timer] = []

    def note(event: sys.UnraisableHookArgs) -> None:
        if not issubclass(event.exc_type, KeyboardInterrupt):
            hook(event)
            return
        again.append(threading.Timer(0.1, _thread.interrupt_main))  # raised here, it would be lost again
        again[-1].start()

    sys.unraisablehook = note
    try:
        yield
    except Exception:
        if again:  # what the foreign code failed with
            raise KeyboardInterrupt from None
        raise
    finally:
        sys.unraisablehook = hook
        for timer in again:
            timer.cancel()


def parse(arguments: list[str]) -> Any:
    """Return the command that the arguments describe.

    Only the module of this command is imported, so that a wrong argument is reported at once.

    Args:
        arguments: The name of the command and its options.

    Raises:
        ValueError: The arguments are wrong; the message is one line.
        SystemExit: Help or the version was asked for, and is printed.
    """
    name, *options = arguments or [""]
    if name == "--version":
        print(f"autoscaler {__version__}")
        raise SystemExit(0)
    if name in ("-h", "--help"):
        _print_help()
    if name not in COMMANDS:
        wrong = f"{name!r} is not a command{suggestion(name, COMMANDS)}" if name else "a command is needed"
        raise ValueError(f"{wrong}; commands are {', '.join(COMMANDS)} (see: autoscaler --help)")
    return _parse_command(name, options)


def _parse_command(name: str, options: list[str]) -> Any:
    """Return a command with its options."""
    kind, prog = _command(name), f"autoscaler {name}"
    box = io.StringIO()
    try:
        with contextlib.redirect_stderr(box):
            command, unknown = tyro.cli(
                kind, prog=prog, args=options, config=(tyro.conf.FlagCreatePairsOff,), return_unknown_args=True
            )
    except SystemExit as end:
        if not end.code:
            raise
        known, given = _options(kind), [word.partition("=")[0] for word in options if word.startswith("--")]
        wrong = next((word for word in given if word.replace("_", "-") not in known), None)
        problem = _not_an_option(wrong, known) if wrong else _problem(box.getvalue(), kind)
        raise ValueError(f"{problem} (see: {prog} --help)") from None
    if unknown:
        wrong = next((word for word in unknown if word.startswith("-")), unknown[0])
        raise ValueError(f"{_not_an_option(wrong, _options(kind))} (see: {prog} --help)")
    return command


def _not_an_option(word: str, known: Sequence[str]) -> str:
    """Return a message about an unknown option, or a word too many."""
    if not word.startswith("-"):
        return f"{word!r} is a word too many"
    name = word.partition("=")[0]
    return f"{name!r} is not an option{suggestion(name, known)}"


def _command(name: str) -> Any:
    """Return the class of a command."""
    module, _, kind = COMMANDS[name].partition(".")
    return getattr(importlib.import_module(f"autoscaler_env.cli.{module}"), kind)


def _options(kind: Any) -> list[str]:
    """Return the options that the help of a command names."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        tyro.cli(kind, args=["--help"], config=(tyro.conf.FlagCreatePairsOff,))
    return re.findall(r"--[a-z][a-z-]*", text.getvalue())


def _print_help() -> None:
    """Print the list of commands, and exit."""
    choices: Any = Union[tuple(Annotated[_command(name), tyro.conf.subcommand(name)] for name in COMMANDS)]  # noqa: UP007
    description = (
        "Does reinforcement learning beat the autoscaler you already run, in dollars? `autoscaler --version` prints "
        "the version."
    )
    tyro.cli(choices, prog="autoscaler", description=description, args=["--help"])


def _problem(box: str, kind: Any) -> str:
    """Return what tyro found wrong; choices, which it names in a new order each time, in that of their declaration."""
    message = _first_sentence(box)
    wrong = re.search(r"invalid choice '(?P<value>.*?)' for argument '--(?P<name>[a-z-]+)'", message) or re.search(
        r"--(?P<name>[a-z-]+): '(?P<value>.*?)' is not a number", message
    )
    hint = get_type_hints(kind).get(wrong["name"].replace("-", "_")) if wrong else None
    choices = [choice for part in (hint, *get_args(hint)) if get_origin(part) is Literal for choice in get_args(part)]
    if not wrong or not choices:
        return message
    return not_a_choice(wrong["name"], wrong["value"], [*choices, "a number"] if int in get_args(hint) else choices)


def _first_sentence(box: str) -> str:
    """Return the message of tyro, which it prints in a box of several lines, as one line."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", box)
    rows = [line.strip("│ \t") for line in plain.splitlines() if not line.startswith("╰")]
    if any(rows):
        rows = rows[1:]  # the title, which repeats the message in short; in ASCII, a rule follows it
    blocks = [one_line(block) for block in re.split(r"^(?:[─-]+|)$", "\n".join(rows), flags=re.MULTILINE)]
    message = next((block for block in blocks if block), "the arguments are not understood")
    message = re.sub(r"invalid literal for int\(\) with base 10: ('.*?')", r"\1 is not a whole number", message)
    return re.sub(r"no type matching \S+ could be instantiated from \['(.*?)'\]", r"'\1' is not a number", message)


if __name__ == "__main__":
    sys.exit(main())
