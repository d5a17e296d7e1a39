"""The hyperparameter lab: short trainings with several values of one setting, side by side."""

from __future__ import annotations

import dataclasses
import functools
import multiprocessing
import os
import signal
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Any

from autoscaler_env.paths import Folders
from autoscaler_env.text import not_a_choice
from autoscaler_env.training.config import TrainingConfig, settings_of
from autoscaler_env.training.train import train

if TYPE_CHECKING:
    import pandas as pd

WORTH_PROCESSES = 50_000
"""Timesteps, over all trainings, from which on processes save more time than their start takes (some seconds)."""


def try_values(
    config: TrainingConfig, setting: str, values: str | Sequence[Any], seeds: int = 3, processes: int | None = None
) -> pd.DataFrame:
    """Train with several values of one setting, each with the same seeds; keep no model.

    The result does not depend on the number of processes.

    Args:
        config: The training; only the setting and the seed are changed.
        setting: The setting, a field of `TrainingConfig` such as `learning_rate`.
        values: Its values; as a text, numbers with commas between them.
        seeds: Trainings of each value; their seeds are 0, 1, ...
        processes: Trainings side by side; by default one for each processor, or one if all trainings are short.

    Returns:
        A row for each training: value, seed, and cost, the dollars a day on selection days at the end.

    Raises:
        ValueError: The learner has no such setting, or a value is not allowed; nothing is trained then.

    Example:
        >>> try_values(TrainingConfig("ppo"), "clip_range", "0.1, -1")
        Traceback (most recent call last):
        ValueError: clip_range = -1.0: must be a number above 0
    """
    import pandas  # imported here: training a model should not wait for it

    if setting not in settings_of(config.algorithm):
        raise ValueError(not_a_choice(f"setting of {config.algorithm}", setting, settings_of(config.algorithm)))
    if type(seeds) is not int or seeds < 1:
        raise ValueError(f"seeds = {seeds!r}: must be an integer of at least 1")
    numbers = numbers_in(values) if isinstance(values, str) else list(values)
    changes: list[dict[str, Any]] = [{setting: value, "seed": seed} for value in numbers for seed in range(seeds)]
    # Every configuration is checked here, before the first training.
    configs = [dataclasses.replace(config, **change) for change in changes]
    if processes is None:
        short = sum(each.total_timesteps for each in configs) < WORTH_PROCESSES
        processes = 1 if short else min(os.cpu_count() or 1, len(configs))
    table = pandas.DataFrame(changes).rename(columns={setting: "value"})
    return table.assign(cost=_costs(configs, processes))


def numbers_in(text: str) -> list[int | float]:
    """Return the numbers of a text, whole ones as integers.

    Raises:
        ValueError: There is something else between the commas.

    Example:
        >>> numbers_in("24, 48, 1e-3")
        [24, 48, 0.001]
    """
    try:
        return [int(word) if word.strip().isdecimal() else float(word) for word in text.split(",")]
    except ValueError:
        raise ValueError(f"values = {text!r}: must be numbers with commas between them") from None


def _costs(configs: list[TrainingConfig], processes: int) -> list[float]:
    """Return what each training costs at its end."""
    if processes == 1:
        return list(map(_cost, configs))
    # A process of its own for each: torch has one random state for all threads. An interruption is for this process.
    ignore = functools.partial(signal.signal, signal.SIGINT, signal.SIG_IGN)
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), ignore)
    try:
        return list(pool.map(_cost, configs))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _cost(config: TrainingConfig) -> float:
    """Return the cost at the end of a training: dollars a day on selection days."""
    with tempfile.TemporaryDirectory() as scratch:
        curve = train(config, Folders(scratch), progress=False).description["curve"]
    return -float(curve[-1]["mean_return"])
