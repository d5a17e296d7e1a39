"""Train Q-learning."""

from __future__ import annotations

import numpy as np
from tqdm.auto import tqdm

from autoscaler_env.paths import Folders
from autoscaler_env.policies.presets import QLearningPreset
from autoscaler_env.policies.q_learning import QTable, learn
from autoscaler_env.storage import save_q_table
from autoscaler_env.training.record import EVALUATIONS, Judge, finish
from autoscaler_env.training.run import Trained, TrainingRun
from autoscaler_env.workloads import as_workload, random_training_seeds


def train_q_learning(run: TrainingRun, folders: Folders, progress: bool) -> Trained:
    """Fill a Q-table; see `train`."""
    preset = run.preset
    assert isinstance(preset, QLearningPreset)
    rng = np.random.default_rng(run.seed)
    workload = as_workload(run.pattern, run.service)
    table = QTable.zeros(run.service)
    table.name = run.model_name
    judge = Judge(run)
    judge.judge(table, 0)
    epsilon = preset.epsilon(preset.episodes)
    ends = np.unique(np.linspace(0, preset.episodes, EVALUATIONS + 1).astype(int)[1:])
    best = folders.best / run.model_name / "best_model.pkl"
    with tqdm(total=preset.episodes, desc=run.model_name, unit="day", disable=not progress) as bar:
        begin = 0
        for end in ends:
            for first in range(begin, end, 500):
                last = min(first + 500, end)
                days = workload.draw(random_training_seeds(rng, last - first))
                learn(table, days, epsilon[first:last], preset.rate_exponent, preset.discount, rng)
                bar.update(last - first)
            begin = end
            steps = int(end) * run.service.slots_per_episode
            save_q_table(table, folders.checkpoints / f"{run.model_name}_{steps}_steps.pkl")
            if judge.judge(table, steps):
                save_q_table(table, best)
    save_q_table(table, run.model_path(folders))
    return finish(run, folders, table, judge, preset.episodes * run.service.slots_per_episode, "cpu")
