"""Train Q-learning."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from autoscaler_env.paths import Folders
from autoscaler_env.policies.q_learning import QTable, learn
from autoscaler_env.storage.models import save_q_table
from autoscaler_env.traffic.patterns import Workload, as_workload, random_training_seeds
from autoscaler_env.training.checkpoint import EVALUATIONS, Interruption, Judge, Unfinished, clear, describe, finish
from autoscaler_env.training.config import QLearningPreset, Trained, TrainingConfig

DAYS_AT_ONCE = 500
"""Days that are drawn, and learned from, in one compiled call."""

STATE_SECONDS = 1.0
"""Seconds between two saved states, at least: a table learns a million timesteps in less."""


def train_q_learning(
    run: TrainingConfig, folders: Folders, progress: bool, saved: dict[str, Any] | None = None
) -> Trained:
    """Fill a Q-table, from the start or from a saved state; see `train`."""
    preset = run.preset
    assert isinstance(preset, QLearningPreset)
    table = QTable.zeros(run.service)
    table.name = run.model_name
    rng = np.random.default_rng(run.seed)
    judge = Judge(run)
    unfinished = Unfinished(run, folders)
    if saved is None:
        clear(run, folders)
        done = 0
        judge.judge(table, 0)
    else:
        done = saved["days"]
        table.values[:], table.visits[:] = saved["values"], saved["visits"]
        rng.bit_generator.state = saved["generator"]
        judge.restore(saved["judge"], run.best_path(folders))

    def keep(path: Path, timesteps: int) -> None:
        save_q_table(table, path)
        describe(path, run, judge, timesteps, "cpu")

    def save(days: int) -> float:
        progress = {"timesteps": days * run.service.steps_per_episode, "of": run.timesteps, "days": days}
        learned = {"values": table.values, "visits": table.visits, "generator": rng.bit_generator.state}
        unfinished.save(progress | learned | {"judge": judge.state()})
        return time.perf_counter()

    workload = as_workload(run.pattern, run.service)
    with (
        Interruption() as interruption,
        tqdm(total=preset.episodes, initial=done, desc=run.model_name, unit="day", disable=not progress) as bar,
    ):
        saved_at = save(done)
        for episodes in fill_table(table, preset, workload, rng, done):
            bar.update(episodes - bar.n)
            if episodes in tenths_of(preset.episodes):
                timesteps = episodes * run.service.steps_per_episode
                if judge.judge(table, timesteps):
                    keep(run.best_path(folders), timesteps)
                keep(run.checkpoint_path(folders, timesteps), timesteps)
            if interruption.asked or time.perf_counter() - saved_at > STATE_SECONDS:
                saved_at = save(episodes)
            if interruption.asked:
                raise KeyboardInterrupt
    save_q_table(table, run.model_path(folders))
    trained = finish(run, folders, table, judge, run.timesteps, "cpu")
    unfinished.remove()
    return trained


def tenths_of(episodes: int) -> NDArray[np.int64]:
    """Return the numbers of days at which a training is judged, from 0 to `episodes`."""
    return np.linspace(0, episodes, EVALUATIONS + 1).astype(np.int64)


def fill_table(
    table: QTable, preset: QLearningPreset, workload: Workload, rng: np.random.Generator, done: int = 0
) -> Iterator[int]:
    """Train a table, some days at a time.

    Args:
        table: Changed in place.
        preset: How it is filled.
        workload: What the training days are drawn from.
        rng: Draws the days and the exploration.
        done: Days that the table has been trained for already: a number that was yielded then.

    Yields:
        The number of days so far: at each tenth of the training, and in between.
    """
    epsilon = preset.epsilon(preset.episodes)
    ends = np.unique([*tenths_of(preset.episodes), *range(0, preset.episodes, DAYS_AT_ONCE)])
    for first, last in pairwise(ends[ends >= done].tolist()):
        days = workload.draw(random_training_seeds(rng, last - first))
        learn(table, days, epsilon[first:last], preset.rate_exponent, preset.discount, rng)
        yield last
