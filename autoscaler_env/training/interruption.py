"""End a training where it can be saved."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType


class Interruption:
    """While it is entered, the first Ctrl-C only asks; the training stops where its state can be saved.

    The second Ctrl-C interrupts at once, as ever. Elsewhere than in the main thread, or where somebody else handles the
    signal, it changes nothing.
    """

    def __init__(self) -> None:
        self.asked = False
        """Whether the training should stop."""
        self._ours = False

    def __enter__(self) -> Interruption:
        in_main = threading.current_thread() is threading.main_thread()
        self._ours = in_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._ours:
            signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
