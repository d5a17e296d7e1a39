"""Generated rows of days: wider traffic than the six patterns, to learn what holds for traffic that nobody has seen.

Each row is the traffic of one made-up service on consecutive days. Its properties are drawn at random, once for the
row; so a policy that is trained on many rows has to find out from the last days what kind of traffic it scales. The
ranges are wide, and come from what is commonly known of web traffic. They were not fitted to any recording.

| part | drawn for each row |
|---|---|
| daily cycle | one to three harmonics, depth and phase of each; one row in eight has none |
| weekend | two days of seven at 0.3 to 1.1 times the level, for three rows in five |
| trend | the level at the end is 0.7 to 1.5 times that at the beginning |
| days | the level of a day differs by up to 20 % |
| steps of level | at random moments, from none to one in five days, by about 30 % up or down |
| slow noise | by up to 40 %, with a memory of 15 minutes to 12 hours |
| fast noise | by 2 to 70 %, without memory |
| flash crowds | from one in 20 days to three a day; 0.3 to 8 times the mean level or more; 5 minutes to 6 hours long |
| jobs | for one row in three, more requests at the same minute of each hour, of some hours or of a day |
| counts | Poisson, of 5 to 5,000 requests a step; then scaled |
| interval | for one row in five, counts of 15 or 30 minutes, spread evenly over the steps |

Like the recordings of the results, a row is scaled so that one step in a hundred has more than a given number of
requests.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.service import Service
from autoscaler_env.traffic.patterns import day_seeds
from autoscaler_env.traffic.reading import DAY

HIGHEST = 50
"""Requests that a step has at most, as a multiple of the 99th percentile of its row."""

_HARMONICS = 3


class GeneratedDays:
    """A workload: days of made-up services, each from a row of days of its own.

    A row is a pure function of a day seed. The day that a seed stands for is the last of its row.

    Args:
        service: Gives the length of a step.
        days: Days of a row, at least 2: the first is history alone for a policy that looks back.
        peak: 99th percentile of each row, in requests a step.

    Raises:
        ValueError: There are too few days, or an episode of the service is no day.

    Example:
        >>> rows = GeneratedDays(Service(), days=14).rows(day_seeds("training", 2))
        >>> rows.shape, int(np.percentile(rows[0], 99).round(-1))
        ((2, 14, 288), 2000)
    """

    name = "GENERATED"

    def __init__(self, service: Service, *, days: int = 16, peak: int = 2_000) -> None:
        if days < 2:
            raise ValueError(f"days = {days}: must be at least 2")
        if service.step_seconds * service.steps_per_episode != DAY:
            raise ValueError(
                f"steps_per_episode = {service.steps_per_episode}: must be a day of {DAY:,} s, in steps of "
                f"{service.step_seconds} s"
            )
        self.days = days
        self._peak = peak
        self._seconds, self._steps = service.step_seconds, service.steps_per_episode

    def rows(self, seeds: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the row of days of each day seed: requests, shape (n, days, steps)."""
        return np.array([self._row(np.random.default_rng(int(seed))) for seed in seeds], dtype=np.int64)

    def draw(self, seeds: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the last day of the row of each day seed: requests, shape (n, steps)."""
        return self.rows(seeds)[:, -1]

    def evaluation_days(self, episodes: int) -> NDArray[np.int64]:
        """Return the first `episodes` evaluation days: shape (episodes, steps)."""
        return self.draw(day_seeds("evaluation", episodes))

    def _row(self, rng: np.random.Generator) -> NDArray[np.int64]:
        days, steps, seconds = self.days, self._steps, self._seconds
        level = np.exp(_cycle(rng, days, steps) + _levels(rng, days, steps) + _slow_noise(rng, days * steps, seconds))
        level /= level.mean()
        level += _crowds(rng, days * steps, days, seconds) + _jobs(rng, days, steps)
        shape = _log_uniform(rng, 0.02, 0.7) ** -2
        level *= rng.gamma(shape, 1 / shape, len(level))
        counts = rng.poisson(_log_uniform(rng, 5, 5_000) * level).astype(np.float64)
        if rng.random() < 1 / 5:
            counts = _spread(counts, int(rng.choice([900, 1_800])) // seconds)
        high = max(float(np.percentile(counts, 99)), 1.0)
        return np.rint(np.minimum(counts / high, HIGHEST) * self._peak).astype(np.int64).reshape(days, steps)


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _cycle(rng: np.random.Generator, days: int, steps: int) -> NDArray[np.float64]:
    """Return the logarithm of the daily cycle, shape (days x steps,)."""
    angle = 2 * np.pi * np.arange(days * steps) / steps
    if rng.random() < 1 / 8:
        return np.zeros(days * steps)
    depth, total = rng.uniform(0.1, 1.3), np.zeros(days * steps)
    for harmonic in range(1, int(rng.integers(1, _HARMONICS + 1)) + 1):
        total += depth * np.cos(harmonic * angle - rng.uniform(0, 2 * np.pi))
        depth *= rng.uniform(0.2, 0.7)
    return total


def _levels(rng: np.random.Generator, days: int, steps: int) -> NDArray[np.float64]:
    """Return the logarithm of weekend, trend, level of each day and steps of level, shape (days x steps,)."""
    by_day = rng.normal(0, rng.uniform(0, 0.2), days)
    if rng.random() < 3 / 5:
        first = rng.integers(7)
        by_day[(np.arange(days) + first) % 7 < 2] += np.log(rng.uniform(0.3, 1.1))
    nights = np.arange(days) * steps + steps / 2
    total = np.interp(np.arange(days * steps), nights, by_day)
    if rng.random() < 0.5:  # the change comes at midnight, not gradually
        total = np.repeat(by_day, steps)
    total += np.linspace(0, np.log(rng.uniform(0.7, 1.5)), days * steps)
    for begin in rng.integers(days * steps, size=rng.poisson(rng.uniform(0, 0.2) * days)):
        total[begin:] += rng.normal(0, 0.3)
    return total


def _slow_noise(rng: np.random.Generator, n: int, step_seconds: int) -> NDArray[np.float64]:
    """Return an autoregressive process of the first order, shape (n,)."""
    spread = rng.uniform(0, 0.4)
    keep = np.exp(-step_seconds / _log_uniform(rng, 900, 43_200))
    shocks = rng.normal(0, spread * np.sqrt(1 - keep**2), n)
    shocks[0] = rng.normal(0, spread)
    noise = np.empty(n)
    before = 0.0
    for i, shock in enumerate(shocks.tolist()):
        before = keep * before + shock
        noise[i] = before
    return noise


def _crowds(rng: np.random.Generator, n: int, days: int, step_seconds: int) -> NDArray[np.float64]:
    """Return what flash crowds add, as a multiple of the mean level, shape (n,): each rises, then decays."""
    total = np.zeros(n)
    height, length = _log_uniform(rng, 0.3, 8), _log_uniform(rng, 300, 21_600) / step_seconds
    rise = rng.uniform(0, 0.3) * length
    for begin in rng.integers(n, size=rng.poisson(_log_uniform(rng, 0.05, 3) * days)):
        own_height, own_length = height * np.exp(rng.normal(0, 0.8)), length * np.exp(rng.normal(0, 0.5))
        past = np.arange(min(n - begin, int(5 * own_length + rise) + 1))
        rising = np.minimum((past + 1) / (rise + 1), 1.0)
        total[begin : begin + len(past)] += own_height * rising * np.exp(-np.maximum(past - rise, 0) / own_length)
    return total


def _jobs(rng: np.random.Generator, days: int, steps: int) -> NDArray[np.float64]:
    """Return what scheduled jobs add, as a multiple of the mean level, shape (days x steps,)."""
    n = days * steps
    total = np.zeros(n)
    if rng.random() < 1 / 3:
        period = max(steps // int(rng.choice([1, 2, 4, 8, 24])), 1)
        begins = np.arange(rng.integers(period), n, period)
        size, lasts = _log_uniform(rng, 0.2, 3), int(rng.integers(1, 7))
        for begin in begins:
            total[begin : begin + lasts] += size * rng.uniform(0.7, 1.3)
    return total


def _spread(counts: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Return counts whose sums over `width` steps are spread evenly over these steps."""
    if width < 2 or len(counts) % width:
        return counts
    return np.repeat(counts.reshape(-1, width).mean(axis=1), width)
