"""Which device a network trains on: the rule, and what it says about itself."""

import pytest
import torch

from autoscaler_env import device
from autoscaler_env.device import LARGE_UPDATE, available_devices, choose_device, is_out_of_memory


@pytest.fixture
def machine(monkeypatch):
    """Return a function that puts devices into this machine."""

    def has(*names):
        monkeypatch.setattr(device, "available_devices", lambda: {name: f"some {name}" for name in names})

    return has


def test_there_is_always_a_cpu():
    assert next(iter(available_devices())) == "cpu"


def test_small_updates_stay_on_the_cpu(machine):
    machine("cpu", "cuda")
    chosen = choose_device("auto", weights=5_000, batch_size=512)
    assert chosen.name == "cpu" and "5000 weights x batches of 512 are small" in chosen.reason


@pytest.mark.parametrize("accelerator", ["cuda", "mps"])
def test_large_updates_go_to_the_accelerator(machine, accelerator):
    machine("cpu", accelerator)
    chosen = choose_device("auto", weights=4_000_000, batch_size=512)
    assert chosen.name == accelerator and "enough work" in chosen.reason


@pytest.mark.parametrize(("below", "name"), [(1, "cpu"), (0, "cuda")])
def test_the_boundary_is_weights_times_batch_size(machine, below, name):
    machine("cpu", "cuda")
    assert choose_device("auto", weights=LARGE_UPDATE - below, batch_size=1).name == name


def test_without_an_accelerator_auto_says_so(machine):
    machine("cpu")
    assert choose_device("auto", weights=10**9, batch_size=10**3) == ("cpu", "no accelerator on this machine")


@pytest.mark.parametrize("name", ["cpu", "cuda"])
def test_a_device_that_is_there_is_taken_as_asked(machine, name):
    machine("cpu", "cuda")
    assert choose_device(name, weights=1, batch_size=1) == (name, "as asked")


def test_a_device_that_is_missing_is_refused_naming_those_that_are_there(machine):
    machine("cpu", "cuda")
    with pytest.raises(ValueError, match="device = 'mps': not on this machine; available are cpu, cuda"):
        choose_device("mps")


def test_an_unknown_device_is_refused(machine):
    machine("cpu")
    with pytest.raises(ValueError, match="device = 'tpu': must be auto, cpu, cuda or mps"):
        choose_device("tpu")


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (torch.OutOfMemoryError("CUDA"), True),
        (RuntimeError("MPS backend out of memory"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
)
def test_running_out_of_memory_is_told_from_other_errors(error, wanted):
    assert is_out_of_memory(error) is wanted
