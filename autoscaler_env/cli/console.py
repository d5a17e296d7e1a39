"""What the commands say: plans, tables and complaints, as lines of text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm.auto import tqdm

from autoscaler_env.paths import Folders
from autoscaler_env.policies.base import Policy
from autoscaler_env.service import Service
from autoscaler_env.traffic.patterns import Workload
from autoscaler_env.training.config import PRESETS, QLearningPreset

if TYPE_CHECKING:
    import pandas as pd

    from autoscaler_env.course import Executed
    from autoscaler_env.training.config import Trained, TrainingConfig

_COLUMNS = {
    "cost": ("cost", 8, ".2f"),
    "interval": ("95 % interval", 18, ""),
    "instance_cost": ("instances", 9, ".2f"),
    "late_cost": ("lateness", 8, ".2f"),
    "drop_cost": ("drops", 7, ".2f"),
    "in_time": ("in time", 7, ".1%"),
    "wait_p95": ("p95 (s)", 7, ".0f"),
    "wait_p99": ("p99 (s)", 7, ".0f"),
    "peak_queue": ("peak queue", 10, ",.0f"),
    "mean_fleet": ("fleet", 5, ".1f"),
    "utilisation": ("utilisation", 6, ".1%"),
    "scaling_actions": ("actions", 7, ".1f"),
}
"""Columns of the table of costs: heading, width, format."""


def training_plan(run: TrainingConfig, folders: Folders) -> str:
    """Say in one line what a training will do: learner, days, budget, seed, device and why, files.

    Raises:
        ValueError: The device asked for is not there.
    """
    preset = run.preset
    steps = run.service.steps_per_episode
    if isinstance(preset, QLearningPreset):
        budget = f"{preset.episodes:,} days ({preset.episodes * steps:,} steps)"
        device = "cpu (a table)"
    else:
        from autoscaler_env.device import choose_device
        from autoscaler_env.training.deep import weights_of_preset

        true = preset.whole_rollouts(steps)
        budget = f"{true:,} steps"
        if true != preset.timesteps:
            budget += f" ({preset.timesteps:,} rounded up to whole rollouts of {preset.rollout:,})"
        if preset.imitation_days:
            budget += f", of which {preset.imitated_timesteps(steps):,} imitate calibrated rules"
        weights = weights_of_preset(preset, run.service)
        chosen = choose_device(run.device, weights=weights, batch_size=preset.batch_size)
        device = f"{chosen.name} ({chosen.reason})"
    path = shown(run.model_path(folders))
    return (
        f"Training {run.algorithm} on {run.pattern_name}: {budget}, seed {run.seed}, device {device}; "
        f"writes {path}, its .json, checkpoints/, best/ and logs/{run.model_name}/."
    )


def evaluate_all(
    policies: Sequence[Policy], workloads: Sequence[str | Workload], episodes: int, service: Service
) -> pd.DataFrame:
    """Evaluate every policy on every workload, with a progress bar; return what `evaluation.evaluate` returns."""
    import pandas

    from autoscaler_env.evaluation.metrics import evaluate

    pairs = [(policy, workload) for workload in workloads for policy in policies]
    bar = tqdm(pairs, unit="evaluation", delay=1, leave=False, disable=None)
    return pandas.concat(
        [evaluate([policy], workload, episodes, service) for policy, workload in bar], ignore_index=True
    )


def verdicts(episodes: pd.DataFrame) -> str:
    """Return what each policy saves against the last one, paired on the same days: a sentence each.

    Args:
        episodes: What `evaluation.evaluate` returns, for one or more patterns.
    """
    from autoscaler_env.evaluation.metrics import verdict

    *others, last = episodes["policy"].unique()
    return "\n".join(verdict(episodes, policy, last) for policy in others)


def selection_report(run: TrainingConfig, trained: Trained, folders: Folders) -> str:
    """Return how a model did on selection days at its end, and where a better version of it lies, if one does."""
    curve = trained.description["curve"]
    last, best = curve[-1], max(curve[1:], key=lambda point: point["mean_return"])
    report = f"On selection days it returns {last['mean_return']:.1f} $ a day."
    if best["timesteps"] != last["timesteps"]:
        path = shown(run.best_path(folders))
        report += f" At {best['timesteps']:,} steps it was {best['mean_return']:.1f}: {path}."
    return report


def cost_report(episodes: pd.DataFrame) -> str:
    """Return the costs as a table: a block per pattern, and one for their mean where there are several.

    Args:
        episodes: What `evaluation.evaluate` returns, for one or more patterns.
    """
    import pandas

    from autoscaler_env.evaluation.metrics import MEAN, mean_over_patterns, summarise

    days = episodes.groupby("pattern", sort=False)["episode"].nunique()
    if len(days) > 1:
        episodes = pandas.concat([episodes, mean_over_patterns(episodes)], ignore_index=True)
    summary = summarise(episodes)
    names = max(10, *(len(name) for name in episodes["policy"].unique()))
    heading = " ".join(f"{title:>{width}}" for title, width, _ in _COLUMNS.values())
    lines = ["Mean of a day: cost and its three items in dollars, share served in time, wait, requests, instances."]
    for pattern in episodes["pattern"].unique():
        told = f"mean of {len(days)} patterns" if pattern == MEAN else f"{pattern}, {days[pattern]:,} evaluation days"
        lines += ["", told, f"{'policy':<{names}} {heading}"]
        for policy, row in summary.xs(pattern, level="pattern").iterrows():
            cells = row.to_dict() | {"interval": f"{row['cost_low']:.2f} to {row['cost_high']:.2f}"}
            text = " ".join(f"{format(cells[name], form):>{width}}" for name, (_, width, form) in _COLUMNS.items())
            lines.append(f"{policy:<{names}} {text}")
    return "\n".join(lines)


def device_report() -> str:
    """Return the devices that are there, and what `auto` would choose for each learner, and why."""
    from autoscaler_env.device import available_devices, choose_device
    from autoscaler_env.training.deep import weights_of_preset

    lines = [f"{name:<11} {description}" for name, description in available_devices().items()]
    lines += ["", "auto would choose:", "q-learning  cpu: a table needs no other device"]
    for algorithm, preset in PRESETS.items():
        device = choose_device("auto", weights=weights_of_preset(preset, Service()), batch_size=preset.batch_size)
        lines.append(f"{algorithm:<11} {device.name}: {device.reason}")
    return "\n".join(lines)


def course_report(ended: Sequence[Executed], folders: Folders) -> str:
    """Return how each notebook ended, the mean cost per policy, and where everything lies."""
    from autoscaler_env.readme import cost_table

    lines = [f"{'notebook':<28} {'seconds':>8}"]
    lines += [f"{each.name:<28} {each.seconds:>8.1f}  {each.error or 'ran to its end'}" for each in ended]
    try:
        lines += ["", cost_table(folders), ""]
    except FileNotFoundError as missing:
        lines += ["", str(missing), ""]
    lines += [
        f"{what:<9} {shown(getattr(folders, what))}" for what in ("models", "figures", "results", "executed", "html")
    ]
    return "\n".join(lines)


def shown(path: Path) -> str:
    """Return a path as a person reads it: from the working directory where it lies below."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def one_line(box: str) -> str:
    """Return what tyro complains about, which it frames in a box of several lines, as one line."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", box)
    rows = [line.strip("│ \t") for line in plain.splitlines() if not line.startswith("╰")]
    if any(rows):
        rows = rows[1:]  # the title, which says less than what follows; a rule is below it where boxes are ASCII
    blocks = [block.split() for block in re.split(r"^(?:[─-]+|)$", "\n".join(rows), flags=re.MULTILINE)]
    texts = [" ".join(words) for words in blocks if words]
    kept = [text for text in texts[:2] if not text.startswith(("For full helptext", "Argument helptext", "Got errors"))]
    line = "; ".join(kept) or "the arguments are not understood"
    return re.sub(r"no type matching \S+ could be instantiated from \['(.*?)'\]", r"'\1' is not a number", line)
