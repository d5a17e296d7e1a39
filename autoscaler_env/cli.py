"""The command line: reads arguments, calls the package, prints what comes back."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

from autoscaler_env.catalog import find_policies, showcase
from autoscaler_env.console import (
    bill_report,
    course_report,
    device_report,
    evaluate_all,
    selection_report,
    shown,
    training_plan,
    verdicts,
)
from autoscaler_env.options import (
    PATTERN_HELP,
    Output,
    PatternName,
    ServiceFile,
    Smooth,
    TraceFile,
    parse,
    service_of,
    workload_of,
)
from autoscaler_env.paths import Folders, project_root
from autoscaler_env.workloads import MIXED, PATTERNS, Workload

if TYPE_CHECKING:
    from autoscaler_env.training import TrainingRun

# What a command needs beyond this is imported inside it: `--help`, and training a table, should not wait for torch.


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


@dataclass(frozen=True)
class Evaluate:
    """Let policies scale the same evaluation days; print what they cost, in dollars a day."""

    policies: Annotated[Positional[tuple[str, ...]], arg(metavar="POLICY ...", help_behavior_hint="(one or more)")]
    """random, static, threshold, target-tracking, target-tracking-PATTERN (calibrated on it),
    target-tracking-calibrated (on the pattern, or the earlier days of the trace), a model's name or file, or
    module:Class. The last one is what the others are compared with."""
    pattern: PatternName = None
    trace: TraceFile = None
    smooth: Smooth = 1
    episodes: Annotated[int, arg(metavar="N")] = 2_000
    """Evaluation days of each pattern; of a trace, at most those it has."""
    service: ServiceFile = None
    csv: Annotated[Path | None, arg(metavar="FILE.csv", help_behavior_hint="(none)")] = None
    """Write one row per policy and day to this file."""
    output: Output = None

    def run(self) -> int:
        """Evaluate and print the table."""
        service = service_of(self.service)
        workload = workload_of(self.pattern, self.trace, self.smooth, service)
        if self.episodes < 1:
            raise ValueError(f"episodes = {self.episodes}: must be at least 1")
        if self.csv is not None and not self.csv.absolute().parent.is_dir():
            raise ValueError(f"csv = {str(self.csv)!r}: there is no such folder")
        policies = find_policies(self.policies, service, Folders(self.output), workload)
        episodes = evaluate_all(policies, PATTERNS if workload == MIXED else [workload], self.episodes, service)
        print(bill_report(episodes))
        print(verdicts(episodes))
        if self.csv is not None:
            episodes.to_csv(self.csv, index=False)
            print(f"Wrote {len(episodes):,} rows to {self.csv}.")
        return 0


@dataclass(frozen=True)
class Demo:
    """Watch policies scale the same days, side by side, in the terminal."""

    policy: Annotated[str, arg(metavar="POLICY")] = "all"
    """A policy as `evaluate` takes it, several with commas between, or all: the rules and the reference models."""
    steps: Annotated[int, arg(metavar="N")] = 200
    """Slots of 5 minutes; beyond a day they go on into the next day, which starts afresh."""
    load_pattern: Annotated[str, arg(metavar="PATTERN", help=PATTERN_HELP)] = "SINE_CURVE"
    delay: Annotated[float, arg(metavar="SECONDS")] = 0.05
    """Seconds between two slots."""
    no_render: bool = False
    """Draw nothing; print the closing table only."""
    save: Annotated[Path | None, arg(metavar="FILE.gif", help_behavior_hint="(none)")] = None
    """Write the demonstration as a film."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """Number of the first evaluation day, at least 0."""
    service: ServiceFile = None
    output: Output = None

    def run(self) -> int:
        """Play, and print the closing table."""
        from autoscaler_env.demo import terminal
        from autoscaler_env.demo.session import Session, demo_days

        if self.steps < 1 or not 0 <= self.delay < float("inf"):
            raise ValueError(
                f"steps = {self.steps}, delay = {self.delay}: must be at least 1 slot and at least 0 seconds"
            )
        if self.save is not None and self.save.suffix.lower() != ".gif":
            raise ValueError(f"save = {str(self.save)!r}: must end in .gif")
        if self.save is not None and not self.save.absolute().parent.is_dir():
            raise ValueError(f"save = {str(self.save)!r}: there is no such folder")
        service = service_of(self.service)
        pattern = self.load_pattern.upper()
        count = -(-self.steps // service.slots_per_episode)
        days = demo_days(pattern, seed=self.seed, count=count, service=service)
        policies = showcase(self.policy, service, Folders(self.output))
        sessions = [Session(policy, days, service) for policy in policies]
        title = f"{pattern}, evaluation day {self.seed}"
        terminal.play(sessions, self.steps, title=title, delay=self.delay, render=not self.no_render)
        print(terminal.closing_table(sessions))
        if self.save is not None:
            from autoscaler_env.demo.gif import save_gif

            save_gif(sessions, self.save, title=title)
            print(f"Wrote {self.save}.")
        return 0


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


@dataclass(frozen=True)
class Devices:
    """List the devices that are there, and which of them `auto` would choose for each learner, and why."""

    def run(self) -> int:
        """Print devices and choices."""
        print(device_report())
        return 0


@dataclass(frozen=True)
class Run:
    """Run the whole course headlessly: every notebook in order; models, figures, tables and a report."""

    profile: Literal["quick", "full"] = "full"
    """full: published budgets, replaces the project's models and results. quick: tiny budgets, below build/quick."""
    only: Annotated[tuple[str, ...], arg(metavar="NAME ...", help_behavior_hint="(all)")] = ()
    """Notebooks to run, without ending, such as 06_compare_policies."""
    output: Output = None

    def run(self) -> int:
        """Run, and say how each notebook ended; 1 if one failed."""
        from autoscaler_env.course import QUICK, run_course

        root = project_root() / QUICK["output"] if self.profile == "quick" else None
        folders = Folders(self.output or root)
        ended = run_course(self.profile, self.only, self.output)
        print("\n" + course_report(ended, folders))
        return 1 if any(notebook.error for notebook in ended) else 0


COMMANDS: dict[str, Any] = {
    "train": Train,
    "evaluate": Evaluate,
    "demo": Demo,
    "verify": Verify,
    "devices": Devices,
    "run": Run,
}
"""The commands, by the names that users type."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: Those of the command line by default.

    Returns:
        The exit status: 0, 1 if what was checked or run failed, 2 for a bad argument, 130 if interrupted.
    """
    try:
        status: int = parse(COMMANDS, sys.argv[1:] if arguments is None else list(arguments)).run()
        return status
    except BrokenPipeError:  # whoever read the output has seen enough, as in `autoscaler verify | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, OSError) as error:
        print(f"autoscaler: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("autoscaler: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
