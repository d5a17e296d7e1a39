"""`autoscaler devices`: the devices that networks can be trained on."""

from __future__ import annotations

from dataclasses import dataclass

from autoscaler_env.service import Service
from autoscaler_env.training.config import PRESETS


@dataclass(frozen=True)
class Devices:
    """List the available devices, and the one that `auto` chooses for each learner, with the reason."""

    def run(self) -> int:
        """Print devices and choices."""
        print(device_report())
        return 0


def device_report() -> str:
    """Return the available devices, and the choice of `auto` for each learner with its reason."""
    import pandas

    from autoscaler_env.device import available_devices, choose_device
    from autoscaler_env.training.deep import weights_of_preset

    choices = {"q-learning": "cpu: a table needs no other device"}
    for algorithm, preset in PRESETS.items():
        device = choose_device("auto", weights=weights_of_preset(preset, Service()), batch_size=preset.batch_size)
        choices[algorithm] = f"{device.name}: {device.reason}"
    tables = []
    for rows in (available_devices(), choices):
        table = pandas.Series(rows).to_frame("device")
        width = int(table["device"].str.len().max())
        tables.append(table.to_string(header=False, formatters={"device": f"{{:<{width}}}".format}))
    return "\n\nauto chooses:\n".join(tables)
