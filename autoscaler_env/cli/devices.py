"""`autoscaler devices`: what there is to train on."""

from __future__ import annotations

from dataclasses import dataclass

from autoscaler_env.cli.console import device_report


@dataclass(frozen=True)
class Devices:
    """List the devices that are there, and which of them `auto` would choose for each learner, and why."""

    def run(self) -> int:
        """Print devices and choices."""
        print(device_report())
        return 0
