"""Synthetic patterns: the arrivals of a day, drawn from a day seed.

A day is a pure function of a pattern and one 64-bit day seed, bit for bit; the other days that are drawn with it do not
matter. The two highest bits of the seed are its purpose, so that no day serves two purposes: training, calibration,
selection of models, or evaluation.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.compiled import compiled
from autoscaler_env.service import Service
from autoscaler_env.text import not_a_choice
from autoscaler_env.traffic.draws import GAMMA, mix, new_scratch, normals, poisson_small, poissons, uniform
from autoscaler_env.traffic.workload import MIXED as MIXED
from autoscaler_env.traffic.workload import PATTERN_MEANING as PATTERN_MEANING
from autoscaler_env.traffic.workload import PATTERNS as PATTERNS
from autoscaler_env.traffic.workload import Workload as Workload
from autoscaler_env.traffic.workload import check_workload

_STEADY, _SINE_CURVE, _SINUSOIDAL, _SPIKE, _POISSON, _RANDOM, _MIXED = range(7)

CALM = 0.4
"""Arrivals of SPIKE between flash crowds, as a share of P."""

CROWDS = 4.0
"""Flash crowds that SPIKE expects in a day."""

NOISE = 0.03
"""Standard deviation of the arrivals of SINUSOIDAL and SPIKE, as a share of what is expected of the step."""

WALK = 0.02
"""Standard deviation of a step of RANDOM, as a share of P."""

LOWEST = 0.05
"""Lowest level of RANDOM, as a share of P; the highest is P."""

Purpose = Literal["training", "calibration", "selection", "evaluation"]


class Pattern:
    """One of the six synthetic patterns, or `MIXED`.

    Args:
        name: A name from `PATTERNS`, or `MIXED`.
        service: Gives the number of steps, and the level P by which the pattern is scaled.

    Raises:
        ValueError: There is no such pattern.

    Example:
        >>> day = Pattern("STEADY", Service()).draw(day_seeds("evaluation", 1))
        >>> day.shape, int(day.min()) == int(day.max())
        ((1, 288), True)
    """

    def __init__(self, name: str, service: Service) -> None:
        check_workload(name)
        self.name = name
        self._code = (*PATTERNS, MIXED).index(name)
        self._steps = service.steps_per_episode
        self._peak = float(service.peak_arrivals)

    def draw(self, seeds: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the days of these day seeds: arrivals in requests, shape (n, steps)."""
        seeds = np.asarray(seeds, dtype=np.uint64)
        days = np.empty((len(seeds), self._steps), dtype=np.int64)
        _draw_days(self._code, seeds, self._peak, new_scratch(), days)
        return days

    def draw_by_step(self, seeds: NDArray[np.uint64]) -> NDArray[np.int32]:
        """Return what `draw` returns as a batch of services reads it: int32 of shape (steps, n), each row contiguous.

        Between the rows lies an unused line of the cache: rows at a distance of a power of two would share its sets.
        """
        seeds = np.asarray(seeds, dtype=np.uint64)
        days = np.empty((self._steps, len(seeds) + _TOGETHER), dtype=np.int32)[:, : len(seeds)]
        _draw_days_by_step(self._code, seeds, self._peak, new_scratch(), days)
        return days

    def expected(self, seeds: NDArray[np.uint64]) -> NDArray[np.float64]:
        """Return the same days without their noise: what to expect of each step if all that is drawn once is known.

        That is the level of POISSON, the cycles of SINUSOIDAL, the calm and the flash crowds of SPIKE. STEADY and
        SINE_CURVE have no noise; of RANDOM the first level remains.

        Args:
            seeds: Day seeds, shape (n,).

        Returns:
            Requests, not rounded, shape (n, steps).
        """
        seeds = np.asarray(seeds, dtype=np.uint64)
        days = np.empty((len(seeds), self._steps))
        _draw_expected(self._code, seeds, self._peak, new_scratch(), days)
        return days

    def evaluation_days(self, episodes: int) -> NDArray[np.int64]:
        """Return the first `episodes` evaluation days of the pattern: shape (episodes, steps)."""
        return self.draw(day_seeds("evaluation", episodes))


def as_workload(pattern: str | Workload, service: Service) -> Workload:
    """Return the pattern of a name, or a workload as it is.

    Raises:
        ValueError: There is no such pattern, or the argument is no workload.
    """
    check_workload(pattern)
    return Pattern(pattern, service) if isinstance(pattern, str) else pattern


def day_seeds(purpose: Purpose, count: int, first: int = 0) -> NDArray[np.uint64]:
    """Return day seeds `first` to `first + count - 1` of one purpose, shape (count,).

    Raises:
        ValueError: There is no such purpose; the message has those that there are.

    Example:
        >>> set(day_seeds("training", 1000)) & set(day_seeds("evaluation", 1000))
        set()
    """
    return _purpose_bits(purpose) + np.arange(first, first + count, dtype=np.uint64)


def random_training_seeds(rng: np.random.Generator, count: int) -> NDArray[np.uint64]:
    """Draw day seeds for training, shape (count,), from 2**62; none is a calibration, selection or evaluation seed."""
    return _purpose_bits("training") + rng.integers(0, 2**62, size=count, dtype=np.uint64)


def purpose_of(seed: int) -> Purpose:
    """Return the purpose of a day seed, which is in its two highest bits."""
    return get_args(Purpose)[int(seed) >> 62]


def _purpose_bits(purpose: Purpose) -> np.uint64:
    purposes = get_args(Purpose)
    if purpose not in purposes:
        raise ValueError(not_a_choice("purpose", purpose, purposes))
    return np.uint64(purposes.index(purpose) << 62)


# --- drawing, compiled -----------------------------------------------------------------------------------------------

_TOGETHER = 16
"""Days that are drawn before they are written by step: a line of the cache holds as many int32."""


@compiled
def _noise(rng, out, scratch, noisy):
    """Fill all of `out` but its last entry with standard normal draws; with zeros if they are to be left out."""
    normals(rng, out.shape[0] - 1, out, scratch)
    if not noisy:
        out[:] = 0.0


@compiled
def _cycles(steps):
    """Return sines and cosines of a day with one, three and six cycles, shape (6, steps)."""
    waves = np.empty((6, steps))
    angle = 2.0 * math.pi * np.arange(steps) / steps
    waves[0], waves[1] = np.sin(angle), np.cos(angle)
    for t in range(steps):
        waves[2, t], waves[3, t] = waves[0, 3 * t % steps], waves[1, 3 * t % steps]
        waves[4, t], waves[5, t] = waves[0, 6 * t % steps], waves[1, 6 * t % steps]
    return waves


@compiled
def _draw_steady(rng, peak, arrivals):
    arrivals[:] = (0.3 + 0.5 * uniform(rng)) * peak


@compiled
def _draw_sine_curve(rng, peak, arrivals, waves):
    phase = 2.0 * math.pi * uniform(rng)
    s_1, c_1 = math.sin(phase), math.cos(phase)
    sine, cosine = waves[0], waves[1]
    for t in range(arrivals.shape[0]):
        arrivals[t] = 0.5 * peak * (1.0 + sine[t] * c_1 + cosine[t] * s_1)


@compiled
def _draw_sinusoidal(rng, peak, arrivals, noise, waves, scratch, noisy):
    daily = 2.0 * math.pi * uniform(rng)
    eight_hourly = 2.0 * math.pi * uniform(rng)
    four_hourly = 2.0 * math.pi * uniform(rng)
    _noise(rng, noise, scratch, noisy)
    # sin(a + b) = sin a cos b + cos a sin b: the cycles come from tables of a day's sines, several times faster.
    s_1, c_1 = 0.25 * math.sin(daily), 0.25 * math.cos(daily)
    s_3, c_3 = 0.12 * math.sin(eight_hourly), 0.12 * math.cos(eight_hourly)
    s_6, c_6 = 0.08 * math.sin(four_hourly), 0.08 * math.cos(four_hourly)
    sine_1, cosine_1, sine_3, cosine_3, sine_6, cosine_6 = waves[0], waves[1], waves[2], waves[3], waves[4], waves[5]
    for t in range(arrivals.shape[0]):
        cycles = sine_1[t] * c_1 + cosine_1[t] * s_1
        cycles += sine_3[t] * c_3 + cosine_3[t] * s_3
        cycles += sine_6[t] * c_6 + cosine_6[t] * s_6
        arrivals[t] = peak * (0.5 + cycles) * (1.0 + NOISE * noise[t])


@compiled
def add_crowd(rng, peak, first, arrivals):
    """Draw a flash crowd that starts at step `first`, and add it; return the step after its last."""
    height = (0.2 + 0.3 * uniform(rng)) * peak
    length = 12 + int(uniform(rng) * 24)
    for t in range(first, min(first + length, arrivals.shape[0])):
        rise = min((t - first) / 8.0, 1.0)
        fall = min((first + length - t) / 8.0, 1.0)
        arrivals[t] += height * rise * fall
    return min(first + length, arrivals.shape[0])


@compiled
def _draw_spike(rng, peak, arrivals, noise, scratch, noisy):
    steps = arrivals.shape[0]
    _noise(rng, noise, scratch, noisy)
    arrivals[:] = CALM * peak
    for _ in range(poisson_small(rng, CROWDS)):
        add_crowd(rng, peak, int(uniform(rng) * steps), arrivals)
    for t in range(steps):
        arrivals[t] *= 1.0 + NOISE * noise[t]


@compiled
def _draw_poisson(rng, peak, arrivals, scratch, noisy):
    level = (0.3 + 0.5 * uniform(rng)) * peak
    if noisy:
        poissons(rng, level, arrivals.shape[0], arrivals, scratch)
    else:
        arrivals[:] = level


@compiled
def _draw_random(rng, peak, arrivals, noise, scratch, noisy):
    level = (0.3 + 0.4 * uniform(rng)) * peak
    _noise(rng, noise, scratch, noisy)
    lowest = LOWEST * peak
    arrivals[0] = level
    for t in range(1, arrivals.shape[0]):
        level += WALK * peak * noise[t]
        level = level if level > lowest else lowest
        level = level if level < peak else peak
        arrivals[t] = level


@compiled
def _draw_day(pattern, seed, peak, arrivals, noise, waves, scratch, rng, noisy):
    """Draw the day of a seed into `arrivals`, float64 of shape (steps,); `noise` is a buffer, one longer."""
    rng[0] = mix(seed + GAMMA)
    choice = int(uniform(rng) * 6.0)  # always drawn, so that a MIXED day equals a day of its pattern bit for bit
    if pattern != _MIXED:
        choice = pattern
    if choice == _STEADY:
        _draw_steady(rng, peak, arrivals)
    elif choice == _SINE_CURVE:
        _draw_sine_curve(rng, peak, arrivals, waves)
    elif choice == _SINUSOIDAL:
        _draw_sinusoidal(rng, peak, arrivals, noise, waves, scratch, noisy)
    elif choice == _SPIKE:
        _draw_spike(rng, peak, arrivals, noise, scratch, noisy)
    elif choice == _POISSON:
        _draw_poisson(rng, peak, arrivals, scratch, noisy)
    else:
        _draw_random(rng, peak, arrivals, noise, scratch, noisy)


@compiled
def _round(arrivals, whole):
    """Write arrivals as whole numbers, never negative."""
    for t in range(arrivals.shape[0]):
        whole[t] = max(math.floor(arrivals[t] + 0.5), 0)


@compiled
def _draw_days(pattern, seeds, peak, scratch, days):
    """Draw the day of each seed into `days`, integers of shape (n, steps)."""
    n, steps = days.shape
    rng, arrivals, noise, waves = np.empty(1, dtype=np.uint64), np.empty(steps), np.empty(steps + 1), _cycles(steps)
    for i in range(n):
        _draw_day(pattern, seeds[i], peak, arrivals, noise, waves, scratch, rng, True)
        _round(arrivals, days[i])


@compiled
def _draw_days_by_step(pattern, seeds, peak, scratch, days):
    """Draw what `_draw_days` draws into `days`, int32 of shape (steps, n)."""
    steps, n = days.shape
    rng, arrivals, noise, waves = np.empty(1, dtype=np.uint64), np.empty(steps), np.empty(steps + 1), _cycles(steps)
    some = np.empty((_TOGETHER, steps), dtype=np.int32)
    for first in range(0, n, _TOGETHER):
        count = min(_TOGETHER, n - first)
        for i in range(count):
            _draw_day(pattern, seeds[first + i], peak, arrivals, noise, waves, scratch, rng, True)
            _round(arrivals, some[i])
        if count == _TOGETHER:  # a count that the compiler knows is faster
            for t in range(steps):
                for i in range(_TOGETHER):
                    days[t, first + i] = some[i, t]
        else:
            days[:, first:] = some[:count].T


@compiled
def _draw_expected(pattern, seeds, peak, scratch, days):
    """Draw the day of each seed without its noise into `days`, float64 of shape (n, steps)."""
    n, steps = days.shape
    rng, noise, waves = np.empty(1, dtype=np.uint64), np.empty(steps + 1), _cycles(steps)
    for i in range(n):
        _draw_day(pattern, seeds[i], peak, days[i], noise, waves, scratch, rng, False)
