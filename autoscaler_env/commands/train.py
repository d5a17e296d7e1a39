"""`autoscaler train`: train a learner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from autoscaler_env.commands.options import Output, PatternName, ServiceFile, Smooth, TraceFile, service_of, workload_of
from autoscaler_env.console import bill_report, evaluate_all, selection_report, shown, training_plan
from autoscaler_env.paths import Folders
from autoscaler_env.workloads import PATTERNS, Workload

if TYPE_CHECKING:
    from autoscaler_env.training import TrainingRun


@dataclass(frozen=True)
class Train:
    """Train a learner; write the model, its checkpoints, its best version and its learning curve."""

    algorithm: Annotated[Positional[str], arg(metavar="{q-learning,dqn,ppo}")]
    """The learner."""
    pattern: PatternName = None
    trace: TraceFile = None
    smooth: Smooth = 1
    episodes: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: 10000)")] = None
    """Budget of q-learning, in days."""
    timesteps: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: 100000)")] = None
    """Budget of dqn and ppo, in slots; rounded up to whole rollouts."""
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
    """Slots in one update, of dqn and ppo."""
    service: ServiceFile = None
    overwrite: bool = False
    """Replace a model of the name that is there."""
    output: Output = None

    def run(self) -> int:
        """Train, and say what was written."""
        from autoscaler_env.training import train

        folders = Folders(self.output)
        run = self.training_run()
        path = run.model_path(folders)
        if path.exists() and not self.overwrite:
            raise ValueError(
                f"{folders.shown(path)} is there already; give --overwrite to replace it, or another --name"
            )
        print(training_plan(run, folders), flush=True)
        trained = train(run, folders)
        print(f"Wrote {shown(path)} after {trained.description['steps']:,} slots.")
        print(selection_report(run, trained, folders))
        if self.eval:
            workloads: list[str | Workload] = [*PATTERNS, *([] if isinstance(run.pattern, str) else [run.pattern])]
            print(bill_report(evaluate_all([trained.policy], workloads, 10, run.service)))
        return 0

    def training_run(self) -> TrainingRun:
        """Return the training that these options describe."""
        from autoscaler_env.training import TrainingRun

        algorithm = {"qlearning": "q-learning", "q_learning": "q-learning"}.get(self.algorithm, self.algorithm)
        tabular = algorithm == "q-learning"
        if (self.timesteps if tabular else self.episodes) is not None:
            wrong, right = ("timesteps", "episodes") if tabular else ("episodes", "timesteps")
            raise ValueError(f"--{wrong}: the budget of {algorithm} is given with --{right}")
        if self.seed < 0:
            raise ValueError(f"seed = {self.seed}: must be at least 0")
        service = service_of(self.service)
        return TrainingRun(
            algorithm,  # type: ignore[arg-type]
            workload_of(self.pattern, self.trace, self.smooth, service),
            self.episodes if tabular else self.timesteps,
            self.name,
            self.seed,
            self.device,
            self.learning_rate,
            self.batch_size,
            service=service,
        )
