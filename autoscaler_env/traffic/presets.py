"""Two services with their traffic: a language model, and a small web service that nobody calls at night.

`examples/` has the same services as set-ups of `advise`, and prints months of their traffic. A day is a pure function
of its seed. Seeds that follow each other are days that follow each other; 0 is a Monday.

Two kinds of clients call the language model. Chats come at random moments around a level that wanders within minutes.
Code assistants come in bursts: one sends about 120 requests in 16 seconds, then nothing for a while. Both are fitted to
one hour of Azure's traffic, in counts of 10 seconds; `python examples/llm_serving.py --measure CHATS.csv CODE.csv`
compares them with such counts. The hour is 18:15 to 19:15 UTC on a Thursday. How traffic differs by hour and weekday
is not in the recording: `LEVELS` and `WEEKEND` are made up.

The web service has visitors from 7 to 22 o'clock, most of them before noon and in the afternoon; at the weekend a third
as many.

Recording: AzureLLMInferenceTrace 2023 (conv and code), Azure/AzurePublicDataset, CC-BY-4.0; Patel et al., "Splitwise",
ISCA 2024. No recorded count is kept here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.service import Service
from autoscaler_env.traffic.patterns import day_seeds

LLM_SERVICE = Service(
    step_seconds=60,
    steps_per_episode=1440,
    min_instances=2,
    max_instances=60,
    initial_instances=5,
    capacity_per_instance=60,
    boot_steps=5,
    queue_limit=7_200,
    instance_price_per_hour=6.0,
    late_price=0.0,
    drop_price=0.05,
    peak_arrivals=1_300,
    fleet_changes=(-10, -5, -2, -1, 0, 1, 2, 5, 10),
)
"""Instances with a GPU, dear and slow to boot. Lateness has no price: the set-up has an objective instead."""

WEB_SERVICE = Service(
    step_seconds=60,
    steps_per_episode=1440,
    min_instances=0,
    max_instances=20,
    initial_instances=0,
    capacity_per_instance=300,
    boot_seconds=20,
    queue_limit=3_000,
    instance_price_per_hour=0.05,
    late_price=0.0001,
    drop_price=0.0025,
    peak_arrivals=2_500,
    fleet_changes=(-5, -2, -1, 0, 1, 2, 5),
)
"""Containers that boot in 20 s and may all be stopped."""

BIN = 10
"""Seconds of a count of requests to the language model."""

BINS = 86_400 // BIN
"""Counts of a day."""

MINUTES = 1440
"""Minutes of a day."""

LEVELS = {0: 0.55, 4: 0.35, 10: 0.3, 14: 0.7, 17: 1.0, 20: 1.0, 24: 0.55}
"""The level by hour of a working day (UTC), 1 in the recorded hour; straight lines lie between."""

WEEKEND = 0.4
"""The level of Saturday and Sunday, as a share of that of a working day."""

CHATS, WANDER, MEMORY = 55.3, 0.26, 60
"""Chats in 10 s at level 1; standard deviation of the logarithm of their level; counts until it forgets itself."""

BURSTS, SIZE, SPREAD, LENGTH = 0.211, 121.0, 0.46, 1.6
"""Bursts that begin in 10 s at level 1; mean of their requests; its coefficient of variation; counts that they last."""

VISITS = {0: 0, 7: 0, 8.5: 900, 11: 1800, 12.5: 1200, 15: 1900, 18: 900, 22: 60, 22.01: 0, 24: 0}
"""Requests to the web service in a minute by hour of a working day; straight lines lie between."""

WEEKEND_VISITS = 1 / 3
"""Requests of Saturday and Sunday, as a share of those of a working day."""


class _Days(ABC):
    """A workload whose days add up counts of a fixed length.

    Args:
        service: Gives the length of a step.

    Raises:
        ValueError: A step is no whole number of counts, or an episode is no day.
    """

    name: str
    _seconds: int
    """Length of a count."""

    def __init__(self, service: Service) -> None:
        step = service.step_seconds
        if step % self._seconds or step * service.steps_per_episode != 86_400:
            raise ValueError(f"step_seconds = {step}: must be a multiple of {self._seconds}, in days of 86,400 s")
        self._counts = step // self._seconds

    def draw(self, seeds: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the days of these day seeds: arrivals in requests, shape (n, steps)."""
        days = np.asarray([self._day(int(seed)) for seed in seeds], dtype=np.int64)
        return days.reshape(len(seeds), -1, self._counts).sum(axis=2)

    def evaluation_days(self, episodes: int) -> NDArray[np.int64]:
        """Return the first `episodes` evaluation days: shape (episodes, steps)."""
        return self.draw(day_seeds("evaluation", episodes))

    @abstractmethod
    def _day(self, seed: int) -> NDArray[np.int64]:
        """Return the counts of a day."""


class LlmDays(_Days):
    """A workload: days of requests to a language model; steps are multiples of 10 s.

    Example:
        >>> LlmDays(LLM_SERVICE).evaluation_days(7).shape
        (7, 1440)
    """

    name = "LLM"
    _seconds = BIN

    def _day(self, seed: int) -> NDArray[np.int64]:
        return np.add(*llm_parts(seed))


class WebDays(_Days):
    """A workload: days of a small web service that nobody calls at night; steps are multiples of a minute.

    Example:
        >>> WebDays(WEB_SERVICE).evaluation_days(1)[0, : 7 * 60].any()
        np.False_
    """

    name = "WEB"
    _seconds = 86_400 // MINUTES

    def _day(self, seed: int) -> NDArray[np.int64]:
        return web_day(np.random.default_rng(seed), seed)


def _is_weekend(seed: int) -> bool:
    return seed % 2**62 % 7 >= 5


def llm_parts(seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the chats and the code requests of a day, in counts of 10 s: each of shape (8640,)."""
    rng = np.random.default_rng(seed)
    level = np.interp(np.arange(BINS) * BIN / 3600, list(LEVELS), list(LEVELS.values()))
    level *= WEEKEND if _is_weekend(seed) else 1
    return _chats(rng, level), _code(rng, level)


def _chats(rng: np.random.Generator, level: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return Poisson counts around a level that wanders: the exponential of an autoregressive process."""
    keep = np.exp(-1 / MEMORY)
    shocks = WANDER * rng.normal(size=BINS) * np.where(np.arange(BINS) == 0, 1, np.sqrt(1 - keep**2))
    wander = np.array(list(accumulate(shocks.tolist(), lambda before, shock: keep * before + shock)))
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


def web_day(rng: np.random.Generator, day: int) -> NDArray[np.int64]:
    """Return the requests to the web service in each minute of a day, shape (1440,).

    Args:
        rng: Draws the day.
        day: The number or the seed of the day, which says whether it is a working day.
    """
    level = np.interp(np.arange(MINUTES) / 60, list(VISITS), list(VISITS.values()))
    busy = np.exp(rng.normal(0, 0.1)) * (WEEKEND_VISITS if _is_weekend(day) else 1)
    return rng.poisson(level * busy * np.exp(rng.normal(0, 0.1, MINUTES)))
