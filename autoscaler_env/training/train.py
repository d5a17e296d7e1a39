"""Train a learner, keep checkpoints and the best model, go on after a kill, and say how the model was made."""

from __future__ import annotations

from autoscaler_env.paths import Folders
from autoscaler_env.storage.models import load_policy, read_description
from autoscaler_env.training.checkpoint import Unfinished
from autoscaler_env.training.config import Trained, TrainingConfig
from autoscaler_env.training.tabular import train_q_learning


def train(
    run: TrainingConfig, folders: Folders | None = None, *, progress: bool = True, resume: bool = False
) -> Trained:
    """Train a model and write it, its description, its checkpoints, its best version and its learning curve.

    A model of the name that is there is replaced. While it trains, the state of the run is saved at every checkpoint,
    in `logs/NAME/state/`; a run that was killed can go on from there.

    Args:
        run: What to train.
        folders: Where to write; the project's folders by default.
        progress: Whether to show a progress bar.
        resume: Go on with this run where it was saved last. On the CPU, with the same versions, that leaves bit for
            bit what it would have left uninterrupted.

    Returns:
        The trained policy, its description and its learning curve.

    Raises:
        ValueError: The device asked for is not there; or there is nothing to resume, or another run's state.
        OSError: The disk is full, or a folder cannot be written. What was saved before is whole.
        KeyboardInterrupt: After the first Ctrl-C, once the state is saved.
    """
    folders = folders or Folders()
    saved = None
    if resume:
        saved = Unfinished(run, folders).load()
        if saved is None:
            raise ValueError(f"--resume: there is no unfinished run of {run.model_name}; leave it out to begin one")
    if run.algorithm == "q-learning":
        return train_q_learning(run, folders, progress, saved)
    from autoscaler_env.training.deep import train_deep  # imported here: a table needs no torch

    return train_deep(run, folders, progress, saved)


def obtain(
    run: TrainingConfig, folders: Folders | None = None, *, retrain: bool = False, progress: bool = True
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
