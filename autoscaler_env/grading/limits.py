"""What a submission may use."""

from __future__ import annotations

from dataclasses import dataclass, fields

MEGABYTE = 2**20


@dataclass(frozen=True)
class Limits:
    """What one notebook of a submission may use.

    Raises:
        ValueError: A limit is not a positive whole number.
    """

    seconds: int = 600
    """From the start of its kernel to its last cell."""
    memory_mb: int = 4_096
    """Memory of the kernel and of every process that it starts, together."""
    disk_mb: int = 512
    """What it writes to its scratch folder, which is in memory; as much again to each of `/tmp` and `/dev/shm`."""
    output_mb: int = 20
    """What its cells print and display."""
    processes: int = 256
    """Processes and threads, its own among them."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if type(value) is not int or value < 1:
                raise ValueError(f"{field.name} = {value!r}: must be a whole number, at least 1")
