"""Train a learner once, with the late price that its service has.

`training.train.train` calls this for a training with a late price. One with an objective runs it several times, with a
price that is searched: see `training.objective`. Each learner has a module, which is imported only if it is needed:
`tabular` for Q-learning, `deep` for DQN and PPO, `policy_iteration`.
"""

from __future__ import annotations

from autoscaler_env.paths import Folders
from autoscaler_env.training.checkpoint import RunFolder, Trained
from autoscaler_env.training.config import TrainingConfig
from autoscaler_env.training.tabular import train_q_learning


def train_once(
    config: TrainingConfig, folders: Folders | None = None, *, progress: bool = True, resume: bool = False
) -> Trained:
    """Train a learner without an objective, from the start or from its saved state, and write its files.

    With `config.start` the weights are those of an earlier model; a saved state has its own.

    Args:
        config: The training; it has no objective.
        folders: The root of the outputs; `paths.output_root()` by default.
        progress: Whether to show a progress bar.
        resume: Continue this training from its last saved state.

    Returns:
        The trained policy, its description and its learning curve.

    Raises:
        ValueError: The device is not available; or there is no state to resume, or only that of another training.
        OSError: The disk is full, or a folder cannot be written. The last saved state is whole.
        KeyboardInterrupt: After the first Ctrl-C, when the state is saved.
    """
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
