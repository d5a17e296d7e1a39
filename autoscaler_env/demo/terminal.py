"""Policies on the same days, drawn as text in a terminal."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Sequence
from typing import TextIO

from tqdm.auto import tqdm

from autoscaler_env.demo.session import Session
from autoscaler_env.text import dollars

SPARKS, PLAIN_SPARKS = "▁▂▃▄▅▆▇█", "_.-=+*#@"
"""Characters of the arrivals line, from few to many arrivals; the second ones are ASCII."""

STEPS_PER_SPARK = 6
"""Steps for each character of the arrivals line."""

STILLS = 6
"""Pictures that are printed if the output is not a terminal."""


def play(sessions: Sequence[Session], steps: int, *, title: str, delay: float = 0.05, render: bool = True) -> None:
    """Play some steps of every session, and draw the sessions below each other.

    Args:
        sessions: One or more, on the same days.
        steps: The number of steps.
        title: The first words of the picture, such as the pattern and the day.
        delay: Seconds between two pictures on a terminal.
        render: Whether to draw; without drawing, a progress bar is shown. If the output is not a terminal, a few
            pictures are printed.
    """
    live = render and sys.stdout.isatty()
    stills = {-(-steps * number // STILLS) for number in range(1, STILLS + 1)}
    lines = 0
    for step in tqdm(range(1, steps + 1), unit="step", disable=None if not render else True, delay=1):
        for session in sessions:
            session.step()
        if live:
            lines = _redraw(sessions, title, lines)
            time.sleep(delay)
        elif render and step in stills:
            print(picture(sessions, title, plain=not _can_print_blocks(sys.stdout)), end="\n\n")


def picture(sessions: Sequence[Session], title: str, *, width: int = 110, plain: bool = False) -> str:
    """Draw the state of the sessions: the arrivals of the day, and fleet, queue and cost of each policy.

    Args:
        sessions: One or more, on the same days, after the same number of steps.
        title: The first words.
        width: Columns of the terminal.
        plain: Whether to use ASCII only.

    Returns:
        Lines of text. A fleet is drawn as ready and booting instances, with a mark at the demand.
    """
    state, service = sessions[0].state, sessions[0].service
    minutes = state.elapsed_steps * service.step_seconds // 60
    demand = state.arrivals / service.capacity_per_instance
    names = max(10, *(len(session.name) for session in sessions))
    bar = max(10, min(60, width - names - 44))
    scale = bar / max(1.2 * service.peak_arrivals / service.capacity_per_instance, demand, service.initial_instances)
    ready, booting, mark = ("#", "+", "|") if plain else ("█", "▒", "┃")
    lines = [
        f"{title}   day {state.day + 1}, {minutes // 60:02d}:{minutes % 60:02d}, "
        f"step {state.elapsed_steps} of {service.steps_per_episode}",
        f"arrivals  {_sparkline(sessions[0], plain)}  "
        f"{state.arrivals:,} requests in this step, demand {demand:.1f} instances",
        "",
        f"{'policy':<{names}}  {f'fleet: {ready} ready {booting} booting, {mark} demand':<{bar}}  "
        f"{'ready':>5} {'boot':>4} {'waiting':>8} {'dropped':>8} {'cost':>10}",
    ]
    for session in sessions:
        now = session.state
        cells = list((ready * round(now.ready * scale) + booting * round(now.booting * scale)).ljust(bar)[:bar])
        cells[min(round(demand * scale), bar - 1)] = mark
        lines.append(
            f"{session.name:<{names}}  {''.join(cells)}  {now.ready:>5} {now.booting:>4} {now.queue:>8,} "
            f"{now.dropped:>8,} {dollars(now.cost):>10}"
        )
    return "\n".join(line[:width].rstrip() for line in lines)


def closing_table(sessions: Sequence[Session]) -> str:
    """Return a table of the sessions, the cheapest first: return, cost, peak queue, scaling actions."""
    names = max(10, *(len(session.name) for session in sessions))
    lines = [f"{'policy':<{names}} {'return ($)':>12} {'cost ($)':>10} {'peak queue':>11} {'scaling actions':>16}"]
    for session in sorted(sessions, key=lambda session: session.state.cost):
        end = session.state
        lines.append(
            f"{session.name:<{names}} {-end.cost:>12.2f} {end.cost:>10.2f} {end.peak_queue:>11,} "
            f"{end.scaling_actions:>16}"
        )
    return "\n".join(lines)


def _sparkline(session: Session, plain: bool) -> str:
    """Return the arrivals of the day so far, a character for every few steps, padded to the width of a whole day."""
    service, step = session.service, session.state.elapsed_steps
    sparks = PLAIN_SPARKS if plain else SPARKS
    today = session.history["arrivals"][-step:] if step else []
    columns = [today[first : first + STEPS_PER_SPARK] for first in range(0, len(today), STEPS_PER_SPARK)]
    levels = [sum(column) / len(column) / service.peak_arrivals for column in columns]
    line = "".join(sparks[min(int(level * len(sparks)), len(sparks) - 1)] for level in levels)
    return line.ljust(-(-service.steps_per_episode // STEPS_PER_SPARK))


def _redraw(sessions: Sequence[Session], title: str, lines: int) -> int:
    """Draw over the picture of `lines` lines above; return the number of lines of the new picture."""
    if os.name == "nt" and lines == 0:
        os.system("")  # makes older Windows consoles interpret the codes below
    width = shutil.get_terminal_size((110, 24)).columns - 1
    text = picture(sessions, title, width=width, plain=not _can_print_blocks(sys.stdout))
    up = f"\x1b[{lines}A" if lines else ""
    sys.stdout.write(up + "".join(f"{line}\x1b[K\n" for line in text.split("\n")))
    sys.stdout.flush()
    return text.count("\n") + 1


def _can_print_blocks(stream: TextIO) -> bool:
    """Return whether the stream's encoding has the block characters."""
    try:
        (SPARKS + "▒┃").encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
