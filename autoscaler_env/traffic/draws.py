"""Random draws in compiled code: uniform, normal and Poisson numbers from a generator of eight bytes.

The generator is SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014): its
state is a counter, so that a day needs no set-up, and every 64-bit seed is a good one.

A counter can be read ahead: normal and Poisson numbers come from `TRIES` tries of a rejection method at once, which the
processor computes side by side. The generator moves on by the tries that were used, so that one try at a time would
draw the same numbers. Logarithms are computed here too, eight at once, instead of one by one in the C library.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.compiled import compiled

TRIES = 96
"""Tries of a rejection method that are computed at once."""

GAMMA = np.uint64(0x9E3779B97F4A7C15)
"""What the generator adds to its state for each draw."""

_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_SHIFT_30, _SHIFT_27, _SHIFT_31, _SHIFT_11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)

_ZERO, _ONE_MORE, _ALL = np.uint64(0), np.uint64(1), np.uint64(TRIES)

_HALF_LOG_2_PI = 0.5 * math.log(2.0 * math.pi)
_DECIDED = 1e-5
"""A difference of two log densities that is too large to come from rounding."""

_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_SQRT_HALF, _ONE = np.int64(0x3FE6A09E00000000), np.int64(0x3FF0000000000000)  # as the bits of a float64
_FRACTION = np.int64(0x000FFFFFFFFFFFFF)


def new_scratch() -> NDArray[np.float64]:
    """Allocate what `normals` and `poissons` compute in, shape (9, `TRIES`): once for many days."""
    return np.ones((9, TRIES))


@compiled
def mix(z):
    """Return the draw that belongs to a state of the generator, a uint64."""
    z = (z ^ (z >> _SHIFT_30)) * _MIX_1
    z = (z ^ (z >> _SHIFT_27)) * _MIX_2
    return z ^ (z >> _SHIFT_31)


@compiled
def _fraction(state):
    """Return the number from [0, 1) that belongs to a state of the generator."""
    return (mix(state) >> _SHIFT_11) * 2.0**-53


@compiled
def uniform(rng):
    """Draw from [0, 1)."""
    rng[0] += GAMMA
    return _fraction(rng[0])


@compiled
def _split(bits, mantissa_bits, exponents):
    """Write each number as a mantissa from sqrt(1/2) to sqrt(2), by its bits, and a power of two."""
    for i in range(exponents.shape[0]):
        shifted = bits[i] + (_ONE - _SQRT_HALF)
        exponents[i] = (shifted >> 52) - 1023
        mantissa_bits[i] = (shifted & _FRACTION) + _SQRT_HALF


@compiled
def _log_of_parts(mantissas, exponents, out):
    for i in range(out.shape[0]):
        f = mantissas[i] - 1.0
        s = f / (2.0 + f)
        z = s * s
        w = z * z
        even = w * (3.999999999940941908e-01 + w * (2.222219843214978396e-01 + w * 1.531383769920937332e-01))
        odd = z * (
            6.666666666666735130e-01
            + w * (2.857142874366239149e-01 + w * (1.818357216161805012e-01 + w * 1.479819860511658591e-01))
        )
        half = 0.5 * f * f
        out[i] = s * (half + even + odd) + exponents[i] * _LN2_LOW - half + f + exponents[i] * _LN2_HIGH


@compiled
def _points(state, x, y, square):
    """Write points of the square from -1 to 1, and their squared distances from its centre."""
    for k in range(square.shape[0]):
        first = state + np.uint64(2 * k + 1) * GAMMA
        a = 2.0 * _fraction(first) - 1.0
        b = 2.0 * _fraction(first + GAMMA) - 1.0
        x[k], y[k], square[k] = a, b, a * a + b * b


@compiled
def _scale_points(x, y, square, log_square, inside):
    """Scale the points inside the circle to normal numbers, and write 2 for them, and 0 for those outside."""
    for k in range(square.shape[0]):
        scale = math.sqrt(-2.0 * log_square[k] / square[k])
        x[k] *= scale
        y[k] *= scale
        inside[k] = 2 * ((square[k] > 0.0) & (square[k] < 1.0))


@compiled
def normals(rng, n, out, scratch):
    """Write `n` standard normal draws to `out`, of length n + 1 (Marsaglia's polar method, two at a time)."""
    x, y, square, mantissas, exponents, log_square = (
        scratch[0],
        scratch[1],
        scratch[2],
        scratch[3],
        scratch[4],
        scratch[5],
    )
    bits, mantissa_bits, inside = square.view(np.int64), mantissas.view(np.int64), scratch[6].view(np.uint64)
    n, i = np.uint64(n), _ZERO
    while i < n:
        _points(rng[0], x, y, square)
        _split(bits, mantissa_bits, exponents)
        _log_of_parts(mantissas, exponents, log_square)
        _scale_points(x, y, square, log_square, inside)
        used = _ZERO
        while used < _ALL and i < n:  # without a branch for points outside, which would often be predicted wrongly
            out[i], out[i + _ONE_MORE] = x[used], y[used]
            i += inside[used]
            used += _ONE_MORE
        rng[0] += (used + used) * GAMMA


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
def _try_counts(state, mean, a, b, inverse_alpha, counts, us, v, bounds, following):
    """Write tries of PTRS: counts with their u and v, the bound of each one's density, and the count after it."""
    for k in range(counts.shape[0]):
        first = state + np.uint64(2 * k + 1) * GAMMA
        u = _fraction(first) - 0.5
        v[k] = _fraction(first + GAMMA)
        us[k] = 0.5 - abs(u)
        counts[k] = np.floor((2.0 * a / us[k] + b) * u + mean + 0.43)
        bounds[k] = v[k] * inverse_alpha / (a / (us[k] * us[k]) + b)
        following[k] = counts[k] + 1.0


@compiled
def _judge(counts, us, v, v_r, mean, log_mean, log_bounds, log_following, accepted):
    """Write 1 for each try that is accepted and 0 for the others; -1 if rounding could decide; return if any is -1.

    The log density comes from Stirling's series, which is exact enough for counts above 1.
    """
    unsure = False
    for k in range(counts.shape[0]):
        count = counts[k]
        z = count + 1.0
        inverse = 1.0 / z
        square = inverse * inverse
        series = inverse * (1.0 / 12.0 - square * (1.0 / 360.0 - square * (1.0 / 1260.0)))
        log_factorial = (z - 0.5) * log_following[k] - z + _HALF_LOG_2_PI + series
        margin = count * log_mean - mean - log_factorial - log_bounds[k]
        inside = (us[k] >= 0.07) & (v[k] <= v_r)
        outside = (count < 0.0) | ((us[k] < 0.013) & (v[k] > us[k]))
        close = (abs(margin) <= _DECIDED) | (count <= 1.0)
        by_density = -1 if close else (1 if margin > 0.0 else 0)
        accepted[k] = 1 if inside else (0 if outside else by_density)
        unsure |= accepted[k] < 0
    return unsure


@compiled
def _is_below_density(count, us, v, mean, log_mean, a, b, inverse_alpha):
    """Return whether PTRS accepts a count: the rule itself, for densities that are close."""
    log_density = count * log_mean - mean - math.lgamma(count + 1.0)
    return math.log(v) + math.log(inverse_alpha) - math.log(a / (us * us) + b) <= log_density


@compiled
def poissons(rng, mean, n, out, scratch):
    """Write `n` Poisson numbers to `out`: by counting for small means, else by PTRS (Hoermann 1993), as numpy does."""
    if mean < 10.0:
        for i in range(n):
            out[i] = poisson_small(rng, mean)
        return
    log_mean = math.log(mean)
    b = 0.931 + 2.53 * math.sqrt(mean)
    a = -0.059 + 0.02483 * b
    inverse_alpha = 1.1239 + 1.1328 / (b - 3.4)
    v_r = 0.9277 - 3.6224 / (b - 2.0)
    counts, us, v, bounds, following = scratch[0], scratch[1], scratch[2], scratch[3], scratch[4]
    mantissas, exponents, log_bounds, log_following = scratch[5], scratch[6], scratch[7], scratch[3]
    bounds_bits, following_bits, mantissa_bits = (
        bounds.view(np.int64),
        following.view(np.int64),
        mantissas.view(np.int64),
    )
    accepted, steps = scratch[8].view(np.int64), scratch[8].view(np.uint64)
    n, i = np.uint64(n), _ZERO
    while i < n:
        _try_counts(rng[0], mean, a, b, inverse_alpha, counts, us, v, bounds, following)
        _split(bounds_bits, mantissa_bits, exponents)
        _log_of_parts(mantissas, exponents, log_bounds)
        _split(following_bits, mantissa_bits, exponents)
        _log_of_parts(mantissas, exponents, log_following)
        if _judge(counts, us, v, v_r, mean, log_mean, log_bounds, log_following, accepted):
            for k in range(TRIES):
                if accepted[k] < 0:
                    accepted[k] = _is_below_density(counts[k], us[k], v[k], mean, log_mean, a, b, inverse_alpha)
        used = _ZERO
        while used < _ALL and i < n:
            out[i] = counts[used]
            i += steps[used]
            used += _ONE_MORE
        rng[0] += (used + used) * GAMMA
