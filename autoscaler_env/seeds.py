"""Read what a study found: many trainings, with intervals over training seeds."""

from __future__ import annotations

import pandas as pd

from autoscaler_env.evaluation import mean_interval
from autoscaler_env.paths import Folders


def read_study(name: str, folders: Folders) -> pd.DataFrame:
    """Return the table of a study: a row per run and tested pattern.

    Raises:
        FileNotFoundError: The study has not been run; the message has the command that does.
    """
    return _read(f"study_{name}.csv", name, folders)


def read_curves(name: str, algorithm: str, folders: Folders) -> list[pd.DataFrame]:
    """Return the learning curves of one learner in a study, one per training seed.

    Args:
        name: The study.
        algorithm: q-learning, dqn or ppo.
        folders: Where the tables lie.

    Returns:
        Per seed: steps (slots), seconds, mean_return ($ a day on selection days).

    Raises:
        FileNotFoundError: The study has not been run; the message has the command that does.
    """
    points = _read(f"study_{name}_curves.csv", name, folders)
    points = points[points["algorithm"] == algorithm].drop(columns="steps").rename(columns={"at": "steps"})
    return [curve[["steps", "seconds", "mean_return"]].reset_index(drop=True) for _, curve in points.groupby("seed")]


def _read(file: str, name: str, folders: Folders) -> pd.DataFrame:
    path = folders.results / file
    if not path.exists():
        raise FileNotFoundError(f"{folders.shown(path)} is missing; make it with: autoscaler study {name}")
    return pd.read_csv(path)


def savings_over_seeds(study: pd.DataFrame, against: str) -> pd.DataFrame:
    """Return what each learner saves a day against a calibrated rule, with the interval over training seeds.

    A run trained on `MIXED` counts by its mean over the six patterns. Policy and rule played the same days, so a run's
    saving is paired; the interval is Student's, over runs.

    Args:
        study: The table of `gather`.
        against: `one_setting_bill` or `per_pattern_bill`.

    Returns:
        Indexed by algorithm, trained_on and steps: seeds, bill, rule, saving, low, high ($ a day).
    """
    keys = ["algorithm", "trained_on", "steps"]
    runs = study.groupby([*keys, "seed"], sort=False)[["bill", against]].mean()
    rows = {}
    for key, group in runs.groupby(level=keys, sort=False):
        saving, low, high = mean_interval((group[against] - group["bill"]).to_numpy())
        bills = {"seeds": len(group), "bill": group["bill"].mean(), "rule": group[against].mean()}
        rows[key] = bills | {"saving": saving, "low": low, "high": high}
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.index = pd.MultiIndex.from_tuples(table.index, names=keys)
    return table
