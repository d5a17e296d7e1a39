"""Train a learner, keep checkpoints and the best model, and say how it was made."""

from __future__ import annotations

from autoscaler_env.paths import Folders
from autoscaler_env.storage import load_policy, read_description
from autoscaler_env.training.run import Algorithm, Trained, TrainingRun
from autoscaler_env.training.tabular import train_q_learning

__all__ = ["Algorithm", "Trained", "TrainingRun", "obtain", "train"]


def train(run: TrainingRun, folders: Folders | None = None, *, progress: bool = True) -> Trained:
    """Train a model and write it, its description, its checkpoints, its best version and its learning curve.

    Args:
        run: What to train.
        folders: Where to write; the project's folders by default.
        progress: Whether to show a progress bar.

    Returns:
        The trained policy, its description and its learning curve.

    Raises:
        ValueError: The device asked for is not there.
    """
    folders = folders or Folders()
    if run.algorithm == "q-learning":
        return train_q_learning(run, folders, progress)
    from autoscaler_env.training.deep import train_deep  # imported here: a table needs no torch

    return train_deep(run, folders, progress)


def obtain(
    run: TrainingRun, folders: Folders | None = None, *, retrain: bool = False, progress: bool = True
) -> Trained:
    """Return the model that is there, or train it if `retrain`; say which.

    Raises:
        FileNotFoundError: There is no such model and `retrain` is false; the message has the command for it.
    """
    folders = folders or Folders()
    if retrain:
        return train(run, folders, progress=progress)
    path = run.model_path(folders)
    description = read_description(path)
    if not path.exists() or description is None:
        raise FileNotFoundError(f"{folders.shown(path)} is missing; make it with: {run.command()}")
    print(f"Using {folders.shown(path)}, trained {description['date']} with seed {description['seed']}.")
    return Trained(load_policy(path, run.service), description)
