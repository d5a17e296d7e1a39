"""Which device a network trains on: cpu, cuda or mps."""

from __future__ import annotations

from typing import NamedTuple

from autoscaler_env.text import not_a_choice

DEVICES = ("auto", "cpu", "cuda", "mps")
"""What a device is asked for by."""

LARGE_UPDATE = 2**25
"""Weights times batch size from which on an accelerator is chosen (see `choose_device`)."""


class Device(NamedTuple):
    """A device and the reason it was chosen."""

    name: str
    reason: str


def available_devices() -> dict[str, str]:
    """Return the available devices: a description of each, by the name that users type."""
    import torch  # here: a training's options know the names of devices, and need not wait for torch

    devices = {"cpu": f"{torch.get_num_threads()} torch thread(s)"}
    if torch.cuda.is_available():
        devices["cuda"] = torch.cuda.get_device_name()
    if torch.backends.mps.is_available():
        devices["mps"] = "Apple GPU"
    return devices


def choose_device(requested: str = "auto", *, weights: int = 0, batch_size: int = 0) -> Device:
    """Choose where to train.

    `auto` counts the work of one update: weights x batch size. Below 2**25 (a network of two layers of 64 with a batch
    of 512 has 2**22) the CPU finishes an update in the time that an accelerator needs to launch it: some 60 kernels of
    about 10 microseconds each. So small networks train on the CPU, and larger ones on an accelerator if there is one.
    The threshold is our estimate from these launch times; notebook 5 measures the available devices.

    Args:
        requested: `auto`, `cpu`, `cuda` or `mps`.
        weights: Number of weights of the network.
        batch_size: Rows in one update.

    Returns:
        The device and why.

    Raises:
        ValueError: The device is unknown or not available; the message names the available ones.
    """
    devices = available_devices()
    if requested not in DEVICES:
        raise ValueError(not_a_choice("device", requested, DEVICES))
    if requested != "auto":
        if requested not in devices:
            raise ValueError(f"device = {requested!r}: not on this machine; available are {', '.join(devices)}")
        return Device(requested, "as asked")
    accelerator = next((name for name in devices if name != "cpu"), None)
    if accelerator is None:
        return Device("cpu", "no accelerator on this machine")
    work = weights * batch_size
    if work < LARGE_UPDATE:
        return Device(
            "cpu", f"{weights:,} weights x batches of {batch_size:,} are small: launching on {accelerator} costs more"
        )
    return Device(accelerator, f"{weights:,} weights x batches of {batch_size:,} are enough work for an accelerator")


def is_out_of_memory(error: RuntimeError) -> bool:
    """Return whether a device raised this error because its memory is full."""
    import torch

    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error).lower()
