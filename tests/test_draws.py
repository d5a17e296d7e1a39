"""The draws: computed many at once, they are those of one try after another, written here in plain Python."""

import math

import numpy as np
import pytest
from cases import cases

from autoscaler_env.traffic import draws

ALL_BITS = 2**64 - 1


class Generator:
    """SplitMix64 as its authors wrote it."""

    def __init__(self, state):
        self.state = state

    def uniform(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & ALL_BITS
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & ALL_BITS
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & ALL_BITS
        return ((z ^ (z >> 31)) >> 11) * 2.0**-53


def polar_normals(generator, count):
    normals = []
    while len(normals) < count:
        x, y = 2 * generator.uniform() - 1, 2 * generator.uniform() - 1
        square = x * x + y * y
        if 0 < square < 1:
            scale = math.sqrt(-2 * math.log(square) / square)
            normals += [scale * x, scale * y]
    return normals[:count]


def rejected_poissons(generator, mean, count):
    """PTRS, as in numpy's `random_poisson_ptrs`."""
    b = 0.931 + 2.53 * math.sqrt(mean)
    a = -0.059 + 0.02483 * b
    inverse_alpha, v_r = 1.1239 + 1.1328 / (b - 3.4), 0.9277 - 3.6224 / (b - 2)
    numbers = []
    while len(numbers) < count:
        u, v = generator.uniform() - 0.5, generator.uniform()
        us = 0.5 - abs(u)
        k = math.floor((2 * a / us + b) * u + mean + 0.43)
        if not (us >= 0.07 and v <= v_r):
            if k < 0 or (us < 0.013 and v > us):
                continue
            bound = math.log(v) + math.log(inverse_alpha) - math.log(a / (us * us) + b)
            if bound > k * math.log(mean) - mean - math.lgamma(k + 1):
                continue
        numbers.append(k)
    return numbers


@cases("count", [1, 2, 97, 288, 1001])
def test_normal_numbers_are_those_of_one_try_after_another(count):
    for seed in range(20):
        rng, out = np.array([seed], dtype=np.uint64), np.empty(count + 1)
        draws.normals(rng, count, out, draws.new_scratch())
        generator = Generator(seed)
        assert out[:count] == pytest.approx(polar_normals(generator, count), rel=1e-14, abs=0)
        assert int(rng[0]) == generator.state


@cases("mean", [10.0, 10.7, 40.0, 1740.0, 3480.5, 6.7e6])
def test_poisson_numbers_are_those_of_one_try_after_another(mean):
    for seed, count in enumerate((1, 2, 97, 288, 5000)):
        rng, out = np.array([seed], dtype=np.uint64), np.empty(count)
        draws.poissons(rng, mean, count, out, draws.new_scratch())
        generator = Generator(seed)
        assert out.tolist() == rejected_poissons(generator, mean, count)
        assert int(rng[0]) == generator.state
