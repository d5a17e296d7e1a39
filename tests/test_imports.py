"""Importing the package is cheap and has no side effects."""

import subprocess
import sys

import pytest


def run(code, **options):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, **options)


@pytest.fixture(scope="module")
def loaded():
    """Return the names of all modules that a fresh interpreter holds after importing the package."""
    result = run("import sys, autoscaler_env; print(*sys.modules)")
    assert result.returncode == 0, result.stderr
    return set(result.stdout.split())


@pytest.mark.parametrize("heavy", ["torch", "matplotlib", "pandas", "stable_baselines3", "seaborn", "IPython"])
def test_importing_the_package_leaves_heavy_modules_out(loaded, heavy):
    assert "autoscaler_env.env" in loaded and heavy not in loaded


def test_importing_the_package_says_nothing():
    result = run("import autoscaler_env")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_importing_the_package_leaves_the_global_random_state_alone():
    code = (
        "import random, numpy as np; random.seed(1); np.random.seed(1); import autoscaler_env\n"
        "after = random.random(), np.random.rand(); random.seed(1); np.random.seed(1)\n"
        "assert after == (random.random(), np.random.rand())"
    )
    assert run(code).returncode == 0


def test_importing_the_package_registers_the_environment():
    code = "import gymnasium, autoscaler_env; gymnasium.make('Autoscaler-v0').reset(seed=0)"
    assert run(code).returncode == 0


def test_everything_the_package_names_exists():
    import autoscaler_env

    assert all(hasattr(autoscaler_env, name) for name in autoscaler_env.__all__)
