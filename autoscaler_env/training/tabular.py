"""Train Q-learning."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from autoscaler_env.paths import Folders
from autoscaler_env.policies.presets import QLearningPreset
from autoscaler_env.policies.q_learning import QTable, learn
from autoscaler_env.storage import save_q_table
from autoscaler_env.training.record import EVALUATIONS, Judge, finish
from autoscaler_env.training.run import Trained, TrainingRun
from autoscaler_env.workloads import Workload, as_workload, random_training_seeds

DAYS_AT_ONCE = 500
"""Days that are drawn, and learned from, in one compiled call."""


def train_q_learning(run: TrainingRun, folders: Folders, progress: bool) -> Trained:
    """Fill a Q-table; see `train`."""
    preset = run.preset
    assert isinstance(preset, QLearningPreset)
    table = QTable.zeros(run.service)
    table.name = run.model_name
    judge = Judge(run)
    judge.judge(table, 0)
    best = folders.best / run.model_name / "best_model.pkl"
    workload = as_workload(run.pattern, run.service)
    with tqdm(total=preset.episodes, desc=run.model_name, unit="day", disable=not progress) as bar:
        for episodes in fill_table(table, preset, workload, np.random.default_rng(run.seed)):
            bar.update(episodes - bar.n)
            if episodes not in tenths_of(preset.episodes):
                continue
            steps = episodes * run.service.slots_per_episode
            save_q_table(table, folders.checkpoints / f"{run.model_name}_{steps}_steps.pkl")
            if judge.judge(table, steps):
                save_q_table(table, best)
    save_q_table(table, run.model_path(folders))
    return finish(run, folders, table, judge, preset.episodes * run.service.slots_per_episode, "cpu")


def tenths_of(episodes: int) -> NDArray[np.int64]:
    """Return the numbers of days at which a training is judged, from 0 to `episodes`."""
    return np.linspace(0, episodes, EVALUATIONS + 1).astype(np.int64)


def fill_table(table: QTable, preset: QLearningPreset, workload: Workload, rng: np.random.Generator) -> Iterator[int]:
    """Train a table, some days at a time.

    Args:
        table: Changed in place.
        preset: How it is filled.
        workload: What the training days are drawn from.
        rng: Draws the days and the exploration.

    Yields:
        The number of days so far: at each tenth of the training, and in between.
    """
    epsilon = preset.epsilon(preset.episodes)
    ends = np.unique([*tenths_of(preset.episodes), *range(0, preset.episodes, DAYS_AT_ONCE)])
    for first, last in pairwise(ends.tolist()):
        days = workload.draw(random_training_seeds(rng, last - first))
        learn(table, days, epsilon[first:last], preset.rate_exponent, preset.discount, rng)
        yield last
