"""Which device a network trains on, and the reason."""

import pytest
import torch

from autoscaler_env import device
from autoscaler_env.device import LARGE_UPDATE, available_devices, choose_device, is_out_of_memory


@pytest.fixture
def machine(monkeypatch):
    """Return a function that sets the devices of this machine."""

    def has(*names):
        monkeypatch.setattr(device, "available_devices", lambda: {name: f"some {name}" for name in names})

    return has


def test_there_is_always_a_cpu():
    assert next(iter(available_devices())) == "cpu"


def test_auto_takes_an_accelerator_for_large_updates_only(machine):
    for accelerator in ("cuda", "mps"):
        machine("cpu", accelerator)
        small = choose_device("auto", weights=5_000, batch_size=512)
        assert small.name == "cpu" and "5,000 weights x batches of 512 are small" in small.reason
        large = choose_device("auto", weights=4_000_000, batch_size=512)
        assert large.name == accelerator and "enough work" in large.reason
        assert choose_device("auto", weights=LARGE_UPDATE, batch_size=1).name == accelerator
        assert choose_device("auto", weights=LARGE_UPDATE - 1, batch_size=1).name == "cpu"


def test_without_an_accelerator_auto_takes_the_cpu(machine):
    machine("cpu")
    assert choose_device("auto", weights=10**9, batch_size=10**3) == ("cpu", "no accelerator on this machine")


def test_an_available_device_is_taken_on_request_and_another_is_refused(machine):
    machine("cpu", "cuda")
    for name in ("cpu", "cuda"):
        assert choose_device(name, weights=1, batch_size=1) == (name, "as asked")
    with pytest.raises(ValueError, match="device = 'mps': not on this machine; available are cpu, cuda"):
        choose_device("mps")
    with pytest.raises(ValueError, match="device = 'tpu': must be one of auto, cpu, cuda, mps, did you mean cpu"):
        choose_device("tpu")


def test_a_full_memory_is_distinguished_from_other_errors():
    for error, expected in (
        (torch.OutOfMemoryError("CUDA"), True),
        (RuntimeError("MPS backend out of memory"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ):
        assert is_out_of_memory(error) is expected, error
