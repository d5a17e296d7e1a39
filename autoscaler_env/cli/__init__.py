"""The commands of `autoscaler`, a module each: a dataclass of options that knows how to `run`.

What a command needs beyond its options is imported inside `run`: `--help`, and training a table, should not wait for
torch.
"""

from __future__ import annotations

from typing import Any

from autoscaler_env.cli.main.advise import Advise
from autoscaler_env.cli.main.demo import Demo
from autoscaler_env.cli.main.devices import Devices
from autoscaler_env.cli.main.evaluate import Evaluate
from autoscaler_env.cli.main.grade import Grade
from autoscaler_env.cli.main.run import Run
from autoscaler_env.cli.main.study import Study
from autoscaler_env.cli.main.train import Train
from autoscaler_env.cli.main.verify import Verify

COMMANDS: dict[str, Any] = {
    "train": Train,
    "evaluate": Evaluate,
    "demo": Demo,
    "verify": Verify,
    "devices": Devices,
    "run": Run,
    "advise": Advise,
    "grade": Grade,
    "study": Study,
}
"""The commands, by the names that users type."""
