"""Train a model, resume an interrupted training, or use the model that is there."""

from __future__ import annotations

from autoscaler_env.paths import Folders
from autoscaler_env.storage.models import load_policy, read_description
from autoscaler_env.training.checkpoint import RunFolder, Trained
from autoscaler_env.training.config import TrainingConfig
from autoscaler_env.training.once import train_once


def train(
    config: TrainingConfig, folders: Folders | None = None, *, progress: bool = True, resume: bool = False
) -> Trained:
    """Train a model and write it, its description, its checkpoints, its best version and its learning curve.

    An older model of the same name is replaced. During the training the state is saved at every checkpoint, in
    `logs/NAME/state/`, so that a killed training can be resumed.

    On one machine, on the CPU and with the same versions of the libraries, the same configuration gives the same model,
    bit for bit, whether the training was interrupted or not. Another processor gives another DQN or PPO, and the same
    Q-table.

    With an objective, the late price that makes the learner keep it is searched: see
    `training.objective.train_to_keep`, which also reports each training of the search.

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
    if config.objective is not None:
        from autoscaler_env.training.objective import train_to_keep

        return train_to_keep(config, folders, progress=progress, resume=resume)
    return train_once(config, folders, progress=progress, resume=resume)


def folder_of(config: TrainingConfig, folders: Folders | None = None) -> RunFolder:
    """Return the files of a training, and of its search if it has an objective."""
    if config.objective is None:
        return RunFolder(config, folders)
    from autoscaler_env.training.objective import SearchFolder

    return SearchFolder(config, folders)


class Interrupted(KeyboardInterrupt):
    """A training was interrupted; the message says in one line what is saved, and how to go on.

    A notebook shows this line and no traceback: IPython asks an exception for `_render_traceback_`.
    """

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


def train_own(config: TrainingConfig, folders: Folders, *, progress: bool = True) -> Trained:
    """Train a model of the reader's own, or go on with its interrupted training; print what is trained, and where.

    Own models lie below `folders.own`, apart from the reference models, and replace only an own model of their name.

    Args:
        config: The training.
        folders: The folders of the notebook.
        progress: Whether to show a progress bar.

    Raises:
        Interrupted: After the first Ctrl-C, when the state is saved, or at once after the second.
    """
    run = folder_of(config, folders.own)
    name, resume = config.model_name, False
    try:
        resume = run.load_state() is not None
        if resume:
            print(run.resume_message())
    except ValueError as error:
        print(f"{str(error).removeprefix('--resume: ')}; starting again.")
    try:
        trained = train(config, run.folders, progress=progress, resume=resume)
    except KeyboardInterrupt:
        done = run.progress()
        what = f"{done} of {name} are saved; run this cell again to go on" if done else f"nothing of {name} is saved"
        raise Interrupted(f"Interrupted: {what}.") from None
    length = f"{trained.description['timesteps']:,} timesteps"
    print(f"Trained {name} with seed {config.seed} for {length}: {run.model}")
    return trained


def obtain(
    config: TrainingConfig, folders: Folders | None = None, *, retrain: bool = False, progress: bool = True
) -> Trained:
    """Return the model that is there, or train it if `retrain`; print which.

    Raises:
        FileNotFoundError: There is no such model and `retrain` is false; the message has the files that were looked
            for, and the command that makes it.
    """
    run = folder_of(config, folders)
    if retrain:
        return train(config, run.folders, progress=progress)
    place = f"models/{run.model.name}"
    path = run.folders.find(place)
    description = read_description(path)
    if not path.exists() or description is None:
        searched = " or ".join(str(each / place) for each in run.folders.reads)
        raise FileNotFoundError(f"there is no {searched}; make it with: {config.command()}{run.folders.output_option}")
    seed, length = description["seed"], f"{description['timesteps']:,} timesteps"
    print(f"Using {run.folders.shown(path)}, trained {description['date']} with seed {seed} for {length}.")
    return Trained(load_policy(path, config.service), description)
