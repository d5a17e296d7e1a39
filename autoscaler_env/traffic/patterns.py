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
        _draw_days(self._code, seeds, self._peak, days)
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
        _draw_expected(self._code, seeds, self._peak, days)
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
    """Return day seeds `first` to `first + count - 1` of one purpose.

    Example:
        >>> set(day_seeds("training", 1000)) & set(day_seeds("evaluation", 1000))
        set()
    """
    return _purpose_bits(purpose) + np.arange(first, first + count, dtype=np.uint64)


def random_training_seeds(rng: np.random.Generator, count: int) -> NDArray[np.uint64]:
    """Draw day seeds for training, from 2**62; none is a calibration, selection or evaluation seed."""
    return _purpose_bits("training") + rng.integers(0, 2**62, size=count, dtype=np.uint64)


def purpose_of(seed: int) -> Purpose:
    """Return the purpose of a day seed, which is in its two highest bits."""
    return get_args(Purpose)[int(seed) >> 62]


def _purpose_bits(purpose: Purpose) -> np.uint64:
    purposes = get_args(Purpose)
    if purpose not in purposes:
        raise ValueError(f"purpose = {purpose!r}: must be one of {', '.join(purposes)}")
    return np.uint64(purposes.index(purpose) << 62)


# --- drawing, compiled -----------------------------------------------------------------------------------------------
# The generator is SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014):
# eight bytes of state, so that a day needs no set-up, and every 64-bit seed is a good one.

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_TRIES = 32  # points that are computed at once
_SHIFT_30, _SHIFT_27, _SHIFT_31, _SHIFT_11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)


@compiled
def _mix(z):
    z = (z ^ (z >> _SHIFT_30)) * _MIX_1
    z = (z ^ (z >> _SHIFT_27)) * _MIX_2
    return z ^ (z >> _SHIFT_31)


@compiled
def uniform(rng):
    """Draw from [0, 1)."""
    rng[0] += _GAMMA
    return (_mix(rng[0]) >> _SHIFT_11) * 2.0**-53


@compiled
def _normals(rng, out):
    """Fill `out` with standard normal draws (Marsaglia's polar method, two at a time).

    The generator counts, so that the points of many tries are computed at once; it moves on by those that were used.
    """
    n = out.shape[0]
    x, y, square = np.empty(_TRIES), np.empty(_TRIES), np.empty(_TRIES)
    inside = np.empty(_TRIES, dtype=np.int64)
    i = 0
    while i < n:
        for k in range(_TRIES):
            first = rng[0] + np.uint64(2 * k + 1) * _GAMMA
            x[k] = 2.0 * ((_mix(first) >> _SHIFT_11) * 2.0**-53) - 1.0
            y[k] = 2.0 * ((_mix(first + _GAMMA) >> _SHIFT_11) * 2.0**-53) - 1.0
            square[k] = x[k] * x[k] + y[k] * y[k]
        count = 0
        for k in range(_TRIES):  # without branches, which would often be predicted wrongly
            inside[count] = k
            count += (square[k] > 0.0) & (square[k] < 1.0)
        used = _TRIES
        for j in range(count):
            k = inside[j]
            scale = math.sqrt(-2.0 * math.log(square[k]) / square[k])
            out[i] = scale * x[k]
            if i + 1 < n:
                out[i + 1] = scale * y[k]
            i += 2
            if i >= n:
                used = k + 1
                break
        rng[0] += np.uint64(2 * used) * _GAMMA


@compiled
def _noise(rng, out, noisy):
    """Fill `out` with standard normal draws, or with as many zeros for draws that are left out."""
    _normals(rng, out)
    if not noisy:
        out[:] = 0.0


@compiled
def poisson_small(rng, mean):
    """Draw a Poisson number by counting: for small means."""
    limit = math.exp(-mean)
    count = 0
    product = uniform(rng)
    while product > limit:
        count += 1
        product *= uniform(rng)
    return count


@compiled
def _poissons(rng, mean, out):
    """Fill `out` with Poisson numbers: by counting for small means, else by PTRS (Hoermann 1993), as numpy does."""
    if mean < 10.0:
        for i in range(out.shape[0]):
            out[i] = poisson_small(rng, mean)
        return
    log_mean = math.log(mean)
    b = 0.931 + 2.53 * math.sqrt(mean)
    a = -0.059 + 0.02483 * b
    inverse_alpha = 1.1239 + 1.1328 / (b - 3.4)
    v_r = 0.9277 - 3.6224 / (b - 2.0)
    for i in range(out.shape[0]):
        while True:
            u = uniform(rng) - 0.5
            v = uniform(rng)
            us = 0.5 - abs(u)
            count = math.floor((2.0 * a / us + b) * u + mean + 0.43)
            if us >= 0.07 and v <= v_r:
                break
            if count < 0 or (us < 0.013 and v > us):
                continue
            log_density = count * log_mean - mean - math.lgamma(count + 1.0)
            if math.log(v) + math.log(inverse_alpha) - math.log(a / (us * us) + b) <= log_density:
                break
        out[i] = count


@compiled
def _draw_steady(rng, peak, arrivals):
    arrivals[:] = (0.3 + 0.5 * uniform(rng)) * peak


@compiled
def _draw_sine_curve(rng, peak, arrivals, sine, cosine):
    phase = 2.0 * math.pi * uniform(rng)
    s_1, c_1 = math.sin(phase), math.cos(phase)
    for t in range(arrivals.shape[0]):
        arrivals[t] = 0.5 * peak * (1.0 + sine[t] * c_1 + cosine[t] * s_1)


@compiled
def _draw_sinusoidal(rng, peak, arrivals, sine, cosine, noisy):
    steps = arrivals.shape[0]
    daily = 2.0 * math.pi * uniform(rng)
    eight_hourly = 2.0 * math.pi * uniform(rng)
    four_hourly = 2.0 * math.pi * uniform(rng)
    _noise(rng, arrivals, noisy)
    # sin(a + b) = sin a cos b + cos a sin b: the cycles come from one table of a day's sines, several times faster.
    s_1, c_1 = 0.25 * math.sin(daily), 0.25 * math.cos(daily)
    s_3, c_3 = 0.12 * math.sin(eight_hourly), 0.12 * math.cos(eight_hourly)
    s_6, c_6 = 0.08 * math.sin(four_hourly), 0.08 * math.cos(four_hourly)
    t_3, t_6 = 0, 0  # 3 t and 6 t, modulo the steps: counting is faster than dividing
    for t in range(steps):
        cycles = sine[t] * c_1 + cosine[t] * s_1
        cycles += sine[t_3] * c_3 + cosine[t_3] * s_3
        cycles += sine[t_6] * c_6 + cosine[t_6] * s_6
        arrivals[t] = peak * (0.5 + cycles) * (1.0 + NOISE * arrivals[t])
        t_3, t_6 = t_3 + 3, t_6 + 6
        while t_3 >= steps:
            t_3 -= steps
        while t_6 >= steps:
            t_6 -= steps


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
def _draw_spike(rng, peak, arrivals, noisy):
    steps = arrivals.shape[0]
    noise = np.empty(steps)
    _noise(rng, noise, noisy)
    arrivals[:] = CALM * peak
    for _ in range(poisson_small(rng, CROWDS)):
        add_crowd(rng, peak, int(uniform(rng) * steps), arrivals)
    for t in range(steps):
        arrivals[t] *= 1.0 + NOISE * noise[t]


@compiled
def _draw_poisson(rng, peak, arrivals, noisy):
    level = (0.3 + 0.5 * uniform(rng)) * peak
    if noisy:
        _poissons(rng, level, arrivals)
    else:
        arrivals[:] = level


@compiled
def _draw_random(rng, peak, arrivals, noisy):
    level = (0.3 + 0.4 * uniform(rng)) * peak
    _noise(rng, arrivals, noisy)
    for t in range(arrivals.shape[0]):
        if t > 0:
            level = min(max(level + WALK * peak * arrivals[t], LOWEST * peak), peak)
        arrivals[t] = level


@compiled
def _draw_day(pattern, seed, peak, arrivals, sine, cosine, rng, noisy):
    """Draw the day of a seed into `arrivals`, float64 of shape (steps,); `sine` and `cosine` are those of a day."""
    rng[0] = _mix(seed + _GAMMA)
    choice = int(uniform(rng) * 6.0)  # always drawn, so that a MIXED day equals a day of its pattern bit for bit
    if pattern != _MIXED:
        choice = pattern
    if choice == _STEADY:
        _draw_steady(rng, peak, arrivals)
    elif choice == _SINE_CURVE:
        _draw_sine_curve(rng, peak, arrivals, sine, cosine)
    elif choice == _SINUSOIDAL:
        _draw_sinusoidal(rng, peak, arrivals, sine, cosine, noisy)
    elif choice == _SPIKE:
        _draw_spike(rng, peak, arrivals, noisy)
    elif choice == _POISSON:
        _draw_poisson(rng, peak, arrivals, noisy)
    else:
        _draw_random(rng, peak, arrivals, noisy)


@compiled
def _draw_days(pattern, seeds, peak, days):
    """Draw the day of each seed into `days`, int64 of shape (n, steps): rounded, never negative."""
    rng = np.empty(1, dtype=np.uint64)
    arrivals = np.empty(days.shape[1])
    angle = 2.0 * math.pi * np.arange(days.shape[1]) / days.shape[1]
    sine, cosine = np.sin(angle), np.cos(angle)
    for i in range(days.shape[0]):
        _draw_day(pattern, seeds[i], peak, arrivals, sine, cosine, rng, True)
        for t in range(days.shape[1]):
            days[i, t] = max(math.floor(arrivals[t] + 0.5), 0)


@compiled
def _draw_expected(pattern, seeds, peak, days):
    """Draw the day of each seed without its noise into `days`, float64 of shape (n, steps)."""
    rng = np.empty(1, dtype=np.uint64)
    angle = 2.0 * math.pi * np.arange(days.shape[1]) / days.shape[1]
    sine, cosine = np.sin(angle), np.cos(angle)
    for i in range(days.shape[0]):
        _draw_day(pattern, seeds[i], peak, days[i], sine, cosine, rng, False)
