"""Say what is being done, how far it is, and how long the rest will take."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping


class Progress:
    """Steps, done one after another; each is announced with the time left.

    The time left starts from guesses, which only say how long the steps take in proportion; what the steps so far took
    corrects them.

    Args:
        seconds: How long each step may take, by its name, in the order of the steps.
        show: Whether to say anything.
    """

    def __init__(self, seconds: Mapping[str, float], show: bool = True) -> None:
        self._seconds = dict(seconds)
        self._show = show
        self._started = time.perf_counter()
        self._done: list[str] = []

    def begin(self, step: str) -> None:
        """Announce a step; those before it are done.

        Raises:
            KeyError: There is no such step.
        """
        names = list(self._seconds)
        number = names.index(step) if step in names else -1
        if number < 0:
            raise KeyError(step)
        passed = time.perf_counter() - self._started
        guessed = sum(self._seconds[name] for name in names[:number])
        left = sum(self._seconds[name] for name in names[number:])
        pace = (passed + 5) / (guessed + 5)  # as if five seconds had gone as guessed: the first step says little
        self._say(f"[{number + 1}/{len(names)}] {step}; about {in_words(left * pace)} left")

    def end(self) -> None:
        """Say how long all of it took."""
        self._say(f"Done in {in_words(time.perf_counter() - self._started)}.")

    def _say(self, text: str) -> None:
        if self._show:
            print(text, file=sys.stderr, flush=True)


def in_words(seconds: float) -> str:
    """Return a time as a person says it.

    Example:
        >>> in_words(8.4), in_words(75), in_words(240)
        ('8 s', '1 min 15 s', '4 min')
    """
    whole = max(round(seconds), 1)
    minutes, rest = divmod(whole, 60)
    return f"{rest} s" if not minutes else f"{minutes} min" + (f" {rest} s" if rest else "")
