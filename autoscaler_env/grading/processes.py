"""Find and end what a process has started."""

from __future__ import annotations

import psutil


def descendants(process: psutil.Process) -> list[psutil.Process]:
    """Return the processes that one has started, and those that they have; none where it has ended."""
    try:
        return list(process.children(recursive=True))
    except psutil.Error:
        return []


def memory(process: psutil.Process) -> int:
    """Return the memory that a process occupies, in bytes; 0 where it has ended."""
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def end_descendants(process: psutil.Process) -> None:
    """End all that a process has started, however fast that starts more."""
    for _ in range(100):
        found = descendants(process)
        if not found:
            return
        for each in found:
            end(each)
        psutil.wait_procs(found, timeout=1)


def end(process: psutil.Process) -> None:
    """End a process at once."""
    try:
        process.kill()
    except psutil.Error:  # it has ended
        return
