"""Days of made-up requests to a large language model, as bursty as recorded ones; or a month of them as CSV.

    python examples/llm_serving.py > build/llm.csv
    autoscaler evaluate target-tracking --pattern examples.llm_serving:LlmDays --service examples/llm_serving.toml

Two kinds of clients call the model. Chats come at random moments around a level that wanders within minutes. Code
assistants come in bursts: one sends about 120 requests in 16 seconds, then nothing for a while. Both are fitted to
one hour of Azure's traffic, in counts of 10 seconds; `python examples/llm_serving.py --measure CHATS.csv CODE.csv`
compares them with such counts. The hour is 18:15 to 19:15 UTC on a Thursday. How traffic differs by hour and weekday
is not in the recording: `LEVELS` and `WEEKEND` are made up.

Recording: AzureLLMInferenceTrace 2023 (conv and code), Azure/AzurePublicDataset, CC-BY-4.0; Patel et al., "Splitwise",
ISCA 2024. No recorded count is kept here.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from autoscaler_env import Service, day_seeds

BIN = 10
"""Seconds of a count."""

BINS = 86_400 // BIN

HOUR = slice(6570, 6930)
"""The counts of a day that lie in the recorded hour, 18:15 to 19:15."""

LEVELS = {0: 0.55, 4: 0.35, 10: 0.3, 14: 0.7, 17: 1.0, 20: 1.0, 24: 0.55}
"""The level by hour of a working day (UTC), 1 in the recorded hour; straight lines lie between."""

WEEKEND = 0.4
"""The level of Saturday and Sunday, as a share of that of a working day."""

CHATS, WANDER, MEMORY = 55.3, 0.26, 60
"""Chats in 10 s at level 1; standard deviation of the logarithm of their level; counts until it forgets itself."""

BURSTS, SIZE, SPREAD, LENGTH = 0.211, 121.0, 0.46, 1.6
"""Bursts that begin in 10 s at level 1; mean of their requests; its coefficient of variation; counts that they last."""

START = datetime(2026, 3, 2)
"""First day of the month, a Monday."""


class LlmDays:
    """A workload: days of requests to a language model, a pure function of their seeds.

    Args:
        service: Gives the length of a step: a multiple of 10 s.

    Raises:
        ValueError: A step is no multiple of 10 s, or an episode is no day.

    Example:
        >>> LlmDays(Service(step_seconds=60, steps_per_episode=1440)).evaluation_days(7).shape
        (7, 1440)
    """

    name = "LLM"

    def __init__(self, service: Service) -> None:
        if service.step_seconds % BIN or service.step_seconds * service.steps_per_episode != 86_400:
            raise ValueError(f"step_seconds = {service.step_seconds}: must be a multiple of {BIN}, in days of 86,400 s")
        self._bins = service.step_seconds // BIN

    def draw(self, seeds: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the days of these day seeds: arrivals in requests, shape (n, steps)."""
        days = np.asarray([np.add(*parts(int(seed))) for seed in seeds], dtype=np.int64)
        return days.reshape(len(seeds), BINS // self._bins, self._bins).sum(axis=2)

    def evaluation_days(self, episodes: int) -> NDArray[np.int64]:
        """Return the first `episodes` evaluation days: shape (episodes, steps)."""
        return self.draw(day_seeds("evaluation", episodes))


def parts(seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the chats and the code requests of a day, in counts of 10 s: each of shape (8640,).

    Seeds that follow each other are days that follow each other; 0 is a Monday.
    """
    rng = np.random.default_rng(seed)
    level = np.interp(np.arange(BINS) * BIN / 3600, list(LEVELS), list(LEVELS.values()))
    level *= WEEKEND if seed % 2**62 % 7 >= 5 else 1
    return _chats(rng, level), _code(rng, level)


def _chats(rng: np.random.Generator, level: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return Poisson counts around a level that wanders: the exponential of an autoregressive process."""
    keep = np.exp(-1 / MEMORY)
    shocks = WANDER * rng.normal(size=BINS) * np.where(np.arange(BINS) == 0, 1, np.sqrt(1 - keep**2))
    wander = lfilter([1], [1, -keep], shocks)
    return rng.poisson(CHATS * level * np.exp(wander - WANDER**2 / 2))


def _code(rng: np.random.Generator, level: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return Poisson counts of bursts that begin at random moments and send evenly while they last."""
    begins = rng.uniform(0, BINS, rng.poisson(BURSTS * BINS))
    begins = begins[rng.random(len(begins)) < level[begins.astype(int)]]
    sizes = rng.gamma(SPREAD**-2, SIZE * SPREAD**2, len(begins))
    expected = np.zeros(BINS + 3)
    first = np.floor(begins).astype(int)
    for i in range(3):
        seconds = np.minimum(first + i + 1, begins + LENGTH) - np.maximum(first + i, begins)
        np.add.at(expected, first + i, sizes * np.maximum(seconds, 0) / LENGTH)
    return rng.poisson(expected[:BINS])


def measures(counts: NDArray[np.int64]) -> dict[str, float]:
    """Return mean, burstiness and memory of counts of 10 s, shape (n,), n above 36.

    The index of dispersion is the variance divided by the mean: 1 for independent requests, more for bursts.
    """
    away = counts - counts.mean()
    minutes = counts[: len(counts) // 6 * 6].reshape(-1, 6).sum(axis=1)
    measured = {"mean in 10 s": counts.mean(), "variance in 10 s": counts.var()}
    measured["index of dispersion, 10 s"] = counts.var() / counts.mean()
    measured["index of dispersion, 60 s"] = minutes.var() / minutes.mean()
    for lag in (1, 6, 30):
        measured[f"autocorrelation, {lag * BIN} s"] = np.mean(away[:-lag] * away[lag:]) / counts.var()
    measured["share of empty counts"] = np.mean(counts == 0)
    return {name: float(value) for name, value in measured.items()}


def generated(hours: int = 200) -> list[dict[str, float]]:
    """Return the measures of the chats and of the code requests: means over the recorded hour of working days.

    Args:
        hours: Working days, at least 1.
    """
    days = [parts(seed) for seed in range(2 * hours) if seed % 7 < 5][:hours]
    every = [[measures(day[kind][HOUR]) for day in days] for kind in (0, 1)]
    return [{name: float(np.mean([one[name] for one in kind])) for name in kind[0]} for kind in every]


def print_measures(paths: Sequence[str]) -> None:
    """Print a table of the measures of recorded counts and of the generated ones.

    Args:
        paths: Files of chats and of code requests, with the heading `step,requests` and a row per 10 s.
    """
    recorded = [measures(np.loadtxt(path, delimiter=",", skiprows=1, dtype=np.int64)[:, 1]) for path in paths]
    print("| | chats, recorded | chats, generated | code, recorded | code, generated |\n|---|---|---|---|---|")
    made = generated()
    for name in made[0]:
        row = [f"{of[kind][name]:,.2f}" for kind in (0, 1) for of in (recorded, made)]
        print(f"| {name} | {' | '.join(row)} |")


def print_month(days: int, seed: int) -> None:
    """Print days as CSV: time and requests, a row per 10 s."""
    print("timestamp,requests")
    for day in range(days):
        counts = np.add(*parts(7_000 * seed + day)).tolist()
        for i, count in enumerate(counts):
            print(f"{START + timedelta(days=day, seconds=BIN * i)},{count}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--days", type=int, default=28, help="days to print (default: 28)")
    parser.add_argument("--seed", type=int, default=0, help="another seed gives another month (default: 0)")
    parser.add_argument("--measure", nargs=2, metavar=("CHATS", "CODE"), help="compare with recorded counts instead")
    options = parser.parse_args()
    if options.measure:
        print_measures(options.measure)
    else:
        print_month(options.days, options.seed)
