"""Train a model, resume an interrupted training, or use the model that is there."""

from __future__ import annotations

from autoscaler_env.paths import Folders
from autoscaler_env.storage.models import load_policy, read_description
from autoscaler_env.training.checkpoint import RunFolder, Trained
from autoscaler_env.training.config import TrainingConfig
from autoscaler_env.training.tabular import train_q_learning


def train(
    config: TrainingConfig, folders: Folders | None = None, *, progress: bool = True, resume: bool = False
) -> Trained:
    """Train a model and write it, its description, its checkpoints, its best version and its learning curve.

    An older model of the same name is replaced. During the training the state is saved at every checkpoint, in
    `logs/NAME/state/`, so that a killed training can be resumed.

    On one machine, on the CPU and with the same versions of the libraries, the same configuration gives the same model,
    bit for bit, whether the training was interrupted or not. Another processor gives another DQN or PPO, and the same
    Q-table.

    Args:
        config: The training.
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
    from autoscaler_env.training.deep import train_deep  # imported here: a table needs no torch

    return train_deep(run, progress, state)


def obtain(
    config: TrainingConfig, folders: Folders | None = None, *, retrain: bool = False, progress: bool = True
) -> Trained:
    """Return the model that is there, or train it if `retrain`; print which.

    Raises:
        FileNotFoundError: There is no such model and `retrain` is false; the message has the command that makes it.
    """
    run = RunFolder(config, folders)
    if retrain:
        return train(config, run.folders, progress=progress)
    path = run.folders.find(f"models/{run.model.name}")
    shown = run.folders.shown(path)
    description = read_description(path)
    if not path.exists() or description is None:
        raise FileNotFoundError(f"{shown} is missing; make it with: {config.command()}")
    print(f"Using {shown}, trained {description['date']} with seed {description['seed']}.")
    return Trained(load_policy(path, config.service), description)
