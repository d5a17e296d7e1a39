"""Watch policies scale the same days, as text."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Sequence
from typing import TextIO

from tqdm.auto import tqdm

from autoscaler_env.demo.session import Session

SPARKS = "▁▂▃▄▅▆▇█"
PLAIN_SPARKS = "_.-=+*#@"
TRAFFIC_STEPS = 6
"""Steps that one column of the traffic line stands for."""

STILLS = 6
"""Pictures that are printed where there is no terminal to redraw."""


def play(sessions: Sequence[Session], steps: int, *, title: str, delay: float = 0.05, render: bool = True) -> None:
    """Let every session run, side by side, and show it.

    Args:
        sessions: On the same days.
        steps: Steps.
        title: First words of the picture: the pattern, say.
        delay: Seconds between two pictures on a terminal.
        render: Whether to draw; a progress bar is shown if not. Where stdout is no terminal, a few stills are printed.
    """
    live = render and sys.stdout.isatty()
    stills = {-(-steps * number // STILLS) for number in range(1, STILLS + 1)}
    lines = 0
    for step in tqdm(range(1, steps + 1), unit="elapsed_steps", disable=None if not render else True, delay=1):
        for session in sessions:
            session.step()
        if live:
            lines = _redraw(sessions, title, lines)
            time.sleep(delay)
        elif render and step in stills:
            print(picture(sessions, title, plain=not _speaks_blocks(sys.stdout)), end="\n\n")


def picture(sessions: Sequence[Session], title: str, *, width: int = 110, plain: bool = False) -> str:
    """Draw where the sessions stand: traffic of the day, and fleet, queue and cost of each policy.

    Args:
        sessions: On the same days, after the same number of steps, at least one.
        title: First words.
        width: Columns of the terminal.
        plain: Whether to use ASCII only.

    Returns:
        Lines of text. A fleet is drawn as ready and booting instances, with a mark where the demand is.
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
        f"traffic  {_sparkline(sessions[0], plain)}  "
        f"{state.arrivals:,} requests a step: work for {demand:.1f} instances",
        "",
        f"{'policy':<{names}}  {f'fleet: {ready} ready {booting} booting, {mark} demand':<{bar}}  "
        f"{'ready':>5} {'boot':>4} {'waiting':>8} {'dropping':>8} {'cost':>10}",
    ]
    for session in sessions:
        now = session.state
        cells = list((ready * round(now.ready * scale) + booting * round(now.booting * scale)).ljust(bar)[:bar])
        cells[min(round(demand * scale), bar - 1)] = mark
        lines.append(
            f"{session.name:<{names}}  {''.join(cells)}  {now.ready:>5} {now.booting:>4} {now.queue:>8,} "
            f"{now.dropped:>8,} {f'${now.cost:,.2f}':>10}"
        )
    return "\n".join(line[:width].rstrip() for line in lines)


def closing_table(sessions: Sequence[Session]) -> str:
    """Return what each session came to, cheapest first: return, cost, peak queue, scaling actions."""
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
    """Return the traffic of the day so far, a character for every few steps; the width is that of a whole day."""
    service, step = session.service, session.state.elapsed_steps
    sparks = PLAIN_SPARKS if plain else SPARKS
    today = session.history["arrivals"][-step:] if step else []
    columns = [today[first : first + TRAFFIC_STEPS] for first in range(0, len(today), TRAFFIC_STEPS)]
    levels = [sum(column) / len(column) / service.peak_arrivals for column in columns]
    line = "".join(sparks[min(int(level * len(sparks)), len(sparks) - 1)] for level in levels)
    return line.ljust(-(-service.steps_per_episode // TRAFFIC_STEPS))


def _redraw(sessions: Sequence[Session], title: str, lines: int) -> int:
    """Draw over the picture of `lines` lines above; return how many lines this one has."""
    if os.name == "nt" and lines == 0:
        os.system("")  # lets older Windows consoles understand the codes below
    width = shutil.get_terminal_size((110, 24)).columns - 1
    text = picture(sessions, title, width=width, plain=not _speaks_blocks(sys.stdout))
    up = f"\x1b[{lines}A" if lines else ""
    sys.stdout.write(up + "".join(f"{line}\x1b[K\n" for line in text.split("\n")))
    sys.stdout.flush()
    return text.count("\n") + 1


def _speaks_blocks(stream: TextIO) -> bool:
    """Return whether a stream can write block characters."""
    try:
        (SPARKS + "▒┃").encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
