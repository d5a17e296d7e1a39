"""`autoscaler train`: train a learner."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from autoscaler_env.cli.console import cost_report, evaluate_all, selection_report, shown, training_plan
from autoscaler_env.cli.options import (
    Output,
    PatternName,
    Rescale,
    ServiceFile,
    Smooth,
    TraceFile,
    service_of,
    workload_of,
)
from autoscaler_env.paths import Folders
from autoscaler_env.traffic.patterns import PATTERNS, Workload

if TYPE_CHECKING:
    from autoscaler_env.training.checkpoint import Unfinished
    from autoscaler_env.training.config import TrainingConfig


@dataclass(frozen=True)
class Train:
    """Train a learner; write the model, its checkpoints, its best version and its learning curve."""

    algorithm: Annotated[Positional[str], arg(metavar="{q-learning,dqn,ppo}")]
    """The learner."""
    pattern: PatternName = None
    trace: TraceFile = None
    smooth: Smooth = 1
    rescale: Rescale = None
    episodes: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: 10000)")] = None
    """Budget of q-learning, in days."""
    timesteps: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: 100000)")] = None
    """Budget of dqn and ppo, in timesteps; rounded up to whole rollouts."""
    name: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="(default: ALGORITHM_PATTERN)")] = None
    """Name of the model."""
    eval: bool = False
    """Play 10 evaluation days of each pattern when the training is over."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """Seeds everything that is drawn, at least 0."""
    device: Annotated[str, arg(metavar="{auto,cpu,cuda,mps}")] = "auto"
    """Where dqn and ppo train."""
    learning_rate: Annotated[float | None, arg(metavar="X", help_behavior_hint="(the preset's)")] = None
    """Step size of the first update, of dqn and ppo; falls to 0."""
    batch_size: Annotated[int | None, arg(metavar="N", help_behavior_hint="(the preset's)")] = None
    """Transitions in one update, of dqn and ppo."""
    discount: Annotated[float | None, arg(metavar="X", help_behavior_hint="(the preset's)")] = None
    """Weight of the next step's value, of dqn and ppo; at least 0 and below 1."""
    imitation_days: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: 0)")] = None
    """Days that calibrated rules play in each environment for ppo to imitate before it learns from rewards."""
    widths: Annotated[tuple[int, ...] | None, arg(metavar="N ...", help_behavior_hint="(the preset's)")] = None
    """Units of each hidden layer, of dqn and ppo."""
    service: ServiceFile = None
    resume: bool = False
    """Go on with this very run where it was saved last, after a kill or Ctrl-C; give the same options."""
    overwrite: bool = False
    """Replace a model of the name that was made otherwise; begin anew where a run is unfinished."""
    output: Output = None

    def run(self) -> int:
        """Train, and say what was written."""
        from autoscaler_env.training.checkpoint import Unfinished
        from autoscaler_env.training.train import train

        folders = Folders(self.output)
        run = self.training_run()
        path = run.model_path(folders)
        unfinished = Unfinished(run, folders)
        if self.resume and not self.has_something_to_resume(run, folders, unfinished):
            print(f"{shown(path)} is finished: there is nothing to resume.")
            return 0
        if not self.resume and not self.overwrite:
            refuse_to_lose(run, folders, unfinished)
        print(training_plan(run, folders), flush=True)
        if self.resume:
            print(unfinished.going_on(), flush=True)
        try:
            trained = train(run, folders, resume=self.resume)
        except KeyboardInterrupt:
            progress = unfinished.progress()
            if progress is None:
                raise
            print(f"autoscaler: interrupted after {progress}; go on with: {self.to_resume()}", file=sys.stderr)
            return 130
        except OSError as error:
            file = f"{shown(Path(error.filename))}: " if error.filename else ""
            progress = unfinished.progress()
            saved = f"saved are {progress}; go on with: {self.to_resume()}" if progress else "nothing was saved yet"
            raise OSError(f"{file}{error.strerror or error}; {saved}") from error
        print(f"Wrote {shown(path)} after {trained.description['timesteps']:,} steps.")
        print(selection_report(run, trained, folders))
        if self.eval:
            workloads: list[str | Workload] = [*PATTERNS, *([] if isinstance(run.pattern, str) else [run.pattern])]
            print(cost_report(evaluate_all([trained.policy], workloads, 10, run.service)))
        return 0

    def training_run(self) -> TrainingConfig:
        """Return the training that these options describe."""
        from autoscaler_env.training.config import TrainingConfig

        algorithm = {"qlearning": "q-learning", "q-learning": "q-learning"}.get(self.algorithm, self.algorithm)
        tabular = algorithm == "q-learning"
        if (self.timesteps if tabular else self.episodes) is not None:
            wrong, right = ("timesteps", "episodes") if tabular else ("episodes", "timesteps")
            raise ValueError(f"--{wrong}: the budget of {algorithm} is given with --{right}")
        if self.seed < 0:
            raise ValueError(f"seed = {self.seed}: must be at least 0")
        service = service_of(self.service)
        return TrainingConfig(
            algorithm,  # type: ignore[arg-type]
            workload_of(self.pattern, self.trace, self.smooth, service, self.rescale),
            self.episodes if tabular else self.timesteps,
            self.name,
            self.seed,
            self.device,
            self.learning_rate,
            self.batch_size,
            self.discount,
            self.imitation_days,
            self.widths,
            service,
        )

    def has_something_to_resume(self, run: TrainingConfig, folders: Folders, unfinished: Unfinished) -> bool:
        """Return whether the run is unfinished; false if it is finished.

        Raises:
            ValueError: It was never begun, another run of the name is unfinished, or the options contradict each other.
        """
        from autoscaler_env.training.checkpoint import made_otherwise

        if self.overwrite:
            raise ValueError("--resume and --overwrite: only one of them; the one goes on, the other begins anew")
        if unfinished.load() is not None:
            return True
        if not run.model_path(folders).exists() or made_otherwise(run, folders):
            raise ValueError(f"--resume: there is no unfinished run of {run.model_name}; leave it out to begin one")
        return False

    def to_resume(self) -> str:
        """Return the command that goes on with this run."""
        words = ["autoscaler", "train", self.algorithm]
        for field in dataclasses.fields(self)[1:]:
            value = getattr(self, field.name)
            if value != field.default and field.name not in ("resume", "overwrite"):
                values = value if isinstance(value, tuple) else () if value is True else (value,)
                words += [f"--{field.name.replace('_', '-')}", *map(str, values)]
        return shlex.join([*words, "--resume"])


def refuse_to_lose(run: TrainingConfig, folders: Folders, unfinished: Unfinished) -> None:
    """Refuse to replace what somebody may want to keep.

    Raises:
        ValueError: A run of the name is unfinished, or a model of the name was made otherwise.
    """
    from autoscaler_env.training.checkpoint import made_otherwise

    progress = unfinished.progress()
    if progress is not None:
        raise ValueError(
            f"{run.model_name} is unfinished, {progress} are done; give --resume to go on, or --overwrite to begin anew"
        )
    otherwise = made_otherwise(run, folders)
    if otherwise is not None:
        raise ValueError(
            f"{shown(run.model_path(folders))} is there already, made otherwise ({otherwise}); give "
            "--overwrite to replace it, or another --name"
        )
