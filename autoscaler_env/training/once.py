"""Train a learner once, with the late price that its service has."""

from __future__ import annotations

from autoscaler_env.paths import Folders
from autoscaler_env.training.checkpoint import RunFolder, Trained
from autoscaler_env.training.config import TrainingConfig
from autoscaler_env.training.tabular import train_q_learning


def train_once(
    config: TrainingConfig, folders: Folders | None = None, *, progress: bool = True, resume: bool = False
) -> Trained:
    """Train a learner without an objective; arguments, result and errors are those of `training.train.train`."""
    run = RunFolder(config, folders)
    state = None
    if resume:
        state = run.load_state()
        if state is None:
            raise ValueError(f"--resume: there is no unfinished training of {config.model_name}; start it without")
    if config.algorithm == "q-learning":
        return train_q_learning(run, progress, state)
    if config.algorithm == "policy-iteration":
        from autoscaler_env.training.policy_iteration import train_policy_iteration

        return train_policy_iteration(run, progress, state)
    from autoscaler_env.training.deep import train_deep  # imported here: a table needs no torch

    return train_deep(run, progress, state)
