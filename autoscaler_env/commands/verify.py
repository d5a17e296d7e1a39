"""`autoscaler verify`: check model files."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg


@dataclass(frozen=True)
class Verify:
    """Check every model file: does it load, predict, play test days, and is it worth its bill?"""

    folder: Annotated[Positional[Path | None], arg(metavar="FOLDER", help_behavior_hint="(the project's models)")] = (
        None
    )
    """Holds models, best/ and checkpoints/."""
    json: bool = False
    """Print the verdicts as JSON."""

    def run(self) -> int:
        """Print a verdict per file and one overall; 1 if a file is broken or none is there."""
        from autoscaler_env.verification import overall, verify

        verdicts = verify(self.folder)
        sound, told = overall(verdicts)
        if self.json:
            print(
                json.dumps({"sound": sound, "files": [dataclasses.asdict(verdict) for verdict in verdicts]}, indent=2)
            )
        else:
            print("\n".join([*(f"{each.status:<7} {each.file}: {each.reason}" for each in verdicts), told]))
        return 0 if sound else 1
