"""`autoscaler train` trains a learner; `autoscaler devices` lists the devices that networks can be trained on."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from autoscaler_env.cli.options import (
    Output,
    Rescale,
    ServiceFile,
    Smooth,
    TraceFile,
    objective_of,
    service_of,
    workload_of,
)
from autoscaler_env.evaluation.objective import trained_for
from autoscaler_env.paths import Folders
from autoscaler_env.service import Service
from autoscaler_env.text import shown
from autoscaler_env.traffic.workload import MIXED, PATTERNS, Workload
from autoscaler_env.training.config import TrainingConfig, command_options
from autoscaler_env.training.presets import PRESETS, IterationPreset, QLearningPreset

if TYPE_CHECKING:
    from autoscaler_env.evaluation.objective import Objective
    from autoscaler_env.training.checkpoint import RunFolder, Trained


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

    choices = {
        "q-learning": "cpu: a table needs no other device",
        "policy-iteration": "cpu: compiled code plays the days",
    }
    for algorithm, preset in PRESETS.items():
        device = choose_device("auto", weights=weights_of_preset(preset, Service()), batch_size=preset.batch_size)
        choices[algorithm] = f"{device.name}: {device.reason}"
    tables = []
    for rows in (available_devices(), choices):
        table = pandas.Series(rows).to_frame("device")
        width = int(table["device"].str.len().max())
        tables.append(table.to_string(header=False, formatters={"device": f"{{:<{width}}}".format}))
    return "\n\nauto chooses:\n".join(tables)


EVAL_DAYS = 10
"""Evaluation days of each pattern with --eval."""


@dataclass(frozen=True)
class Train:
    """Train a learner; write the model, its checkpoints, its best version and its learning curve."""

    config: Annotated[TrainingConfig, arg(name="")]
    trace: TraceFile = None
    smooth: Smooth = 1
    rescale: Rescale = None
    service: ServiceFile = None
    eval: bool = False
    """After the training, evaluate the model on 10 evaluation days of each pattern."""
    resume: bool = False
    """Continue an unfinished training from its last saved state, after a kill or Ctrl-C; give the same options."""
    overwrite: bool = False
    """Replace a model of the same name that was made differently; start an unfinished training again."""
    output: Output = None

    def run(self) -> int:
        """Train, and print what was written."""
        config = self.training_config()
        from autoscaler_env.training.train import folder_of, train

        run = folder_of(config, Folders(self.output))
        if self.resume and not self._can_resume(run):
            print(f"{shown(run.model)} is finished: there is nothing to resume.")
            return 0
        if not self.resume and not self.overwrite:
            refuse_to_replace(run)
        print(training_plan(run), flush=True)
        if config.objective is not None:
            print(search_plan(config.objective), flush=True)
        if self.resume:
            print(run.resume_message(), flush=True)
        try:
            if config.objective is None:
                trained = train(config, run.folders, resume=self.resume)
            else:
                from autoscaler_env.training.objective import train_to_keep

                trained = train_to_keep(config, run.folders, resume=self.resume, report=print)
        except KeyboardInterrupt:
            progress = run.progress()
            if progress is None:
                raise
            print(f"autoscaler: interrupted after {progress}; resume with: {self.resume_command()}", file=sys.stderr)
            return 130
        except OSError as error:
            file = f"{shown(Path(error.filename))}: " if error.filename else ""
            progress = run.progress()
            saved = (
                f"{progress} are saved; resume with: {self.resume_command()}" if progress else "nothing is saved yet"
            )
            raise OSError(f"{file}{error.strerror or error}; {saved}") from error
        print(f"Wrote {shown(run.model)} after {trained.description['timesteps']:,} timesteps.")
        trained_to = trained_for(trained.description)
        print(f"It was {trained_to}." if trained_to else selection_report(run, trained))
        if self.eval:
            from autoscaler_env.evaluation.metrics import evaluate_patterns
            from autoscaler_env.evaluation.report import cost_report, objective_report

            workloads: list[str | Workload] = list(PATTERNS)
            workloads += [] if isinstance(config.pattern, str) else [config.pattern]
            episodes = evaluate_patterns(
                lambda _: [trained.policy], workloads, EVAL_DAYS, config.service, objective=config.objective
            )
            print(cost_report(episodes))
            if config.objective is not None:
                print(f"\nLateness costs nothing by itself. {objective_report(episodes, config.objective)}")
        return 0

    def training_config(self) -> TrainingConfig:
        """Return the training that the options describe, with its service and its trace read from their files."""
        service = service_of(self.service)
        named = None if self.config.pattern == MIXED else str(self.config.pattern)
        workload = workload_of(named, self.trace, self.smooth, service, self.rescale)
        objective = objective_of(self.service)
        return dataclasses.replace(self.config, pattern=workload, service=service, objective=objective)

    def resume_command(self) -> str:
        """Return the command that resumes this training."""
        options = command_options(self, without=("resume", "overwrite"))
        words = ["autoscaler", "train", self.config.algorithm, *command_options(self.config), *options, "--resume"]
        return shlex.join(words)

    def _can_resume(self, run: RunFolder) -> bool:
        """Return whether the training is unfinished; false if it is finished.

        Raises:
            ValueError: It was never started, another training of the name is unfinished, or the options contradict.
        """
        if self.overwrite:
            raise ValueError("--resume and --overwrite: give only one; --resume continues, --overwrite starts again")
        if run.load_state() is not None:
            return True
        if not run.model.exists() or run.difference():
            name = run.config.model_name
            raise ValueError(f"--resume: there is no unfinished training of {name}; leave it out to start one")
        return False


def refuse_to_replace(run: RunFolder) -> None:
    """Refuse to replace files that a user may want to keep.

    Raises:
        ValueError: A training of the name is unfinished, or a model of the name was made differently.
    """
    progress = run.progress()
    if progress is not None:
        raise ValueError(
            f"{run.config.model_name} is unfinished: {progress} are done; give --resume to continue, or --overwrite to "
            "start again"
        )
    difference = run.difference()
    if difference is not None:
        raise ValueError(
            f"{shown(run.model)} exists and was made differently ({difference}); give --overwrite to replace it, or "
            "another --name"
        )


def training_plan(run: RunFolder) -> str:
    """Return in one line what a training will do: learner, length, seed, device and its reason, files and folder.

    Raises:
        ValueError: The device is not available.
    """
    config = run.config
    preset = config.preset
    steps = config.service.steps_per_episode
    if isinstance(preset, QLearningPreset):
        length = f"{preset.episodes:,} days ({preset.episodes * steps:,} timesteps)"
        device = "cpu (a table)"
    elif isinstance(preset, IterationPreset):
        length = f"{preset.iterations} iterations of {preset.days:,} days ({config.total_timesteps:,} timesteps)"
        device = "cpu (compiled code plays the days)"
    else:
        from autoscaler_env.device import choose_device
        from autoscaler_env.training.deep import weights_of_preset

        rounded = preset.whole_rollouts(steps)
        length = f"{rounded:,} timesteps"
        if rounded != preset.timesteps:
            length += f" ({preset.timesteps:,} rounded up to whole rollouts of {preset.rollout:,})"
        if preset.imitation_days:
            length += f", {preset.imitated_timesteps(steps):,} of them in imitation of calibrated rules"
        weights = weights_of_preset(preset, config.service)
        chosen = choose_device(config.device, weights=weights, batch_size=preset.batch_size)
        device = f"{chosen.name} ({chosen.reason})"
    return (
        f"Training {config.algorithm} on {config.pattern_name}: {length}, seed {config.seed}, device {device}; writes "
        f"{run.folders.shown(run.model)}, its .json, checkpoints/, best/ and logs/{config.model_name}/ in "
        f"{run.folders.root}."
    )


def search_plan(objective: Objective) -> str:
    """Return in one line how a late price that keeps an objective is searched."""
    from autoscaler_env.training.objective import PART, TRAININGS

    return (
        f"The objective is {objective}. Up to {TRAININGS} trainings search a late price that keeps it: the "
        f"first has the whole length, each of the others 1/{PART} of it and the weights of the one before."
    )


def selection_report(run: RunFolder, trained: Trained) -> str:
    """Return the result on selection days at the end, and the file of a better earlier version if there is one."""
    curve = trained.description["curve"]
    last, best = curve[-1], max(curve[1:], key=lambda point: point["mean_return"])
    report = f"On selection days it costs ${-last['mean_return']:.1f} a day."
    if best["timesteps"] != last["timesteps"]:
        report += f" At {best['timesteps']:,} timesteps it cost ${-best['mean_return']:.1f}: {shown(run.best)}."
    return report
