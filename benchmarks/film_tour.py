"""Make the three short animations of the tour: `python benchmarks/film_tour.py` (or `make animations`).

Each is drawn for light and for dark paper. `figures/` gets the light ones, their last pictures, and `tour.json` with
what each shows in words; `figures/dark/` gets the dark ones.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np

from autoscaler_env import Folders, Pattern, Service, TargetTracking, find_policies, simulate
from autoscaler_env.plotting.animation import (
    ALTS,
    Animation,
    animate_boot_delay,
    animate_clipped_step,
    animate_day,
    clipped_ascent,
    save_animation,
)
from autoscaler_env.plotting.style import Theme, theme
from autoscaler_env.storage.files import write_json

LARGEST = 1_000_000
"""The most bytes of an animation."""

DAY = 170
"""The evaluation day of SPIKE whose costs are near the means of all three policies, and in the same order."""

POLICIES = ("threshold", "target-tracking-mixed", "ppo_mixed")

CLIP_RANGE, STEP_SIZE, GRADIENT_STEPS = 0.2, 0.05, 40


def boot_delay() -> Animation:
    """A rise of the demand by five instances, for a service whose instances boot for 15 minutes."""
    service = Service(boot_steps=3, initial_instances=5, steps_per_episode=30)
    rise, capacity = 6, service.capacity_per_instance
    arrivals = np.full((1, service.steps_per_episode), 4 * capacity)
    arrivals[:, rise:] = 9 * capacity
    return animate_boot_delay(simulate(TargetTracking(service), arrivals, service), rise)


def flash_crowd() -> Animation:
    """A day of flash crowds under a rule as most people run it, a calibrated rule and a learner."""
    service = Service()
    arrivals = Pattern("SPIKE", service).evaluation_days(DAY + 1)[DAY:]
    policies = find_policies(POLICIES, service, Folders.course())
    return animate_day({policy.name: simulate(policy, arrivals, service) for policy in policies}, "Three flash crowds")


def clipped_step() -> Animation:
    """Gradient steps for one good action of three, with the clip and without it."""
    probabilities = [0.4, 0.35, 0.25]
    plain, clipped = (
        clipped_ascent(probabilities, 1.0, clip, STEP_SIZE, GRADIENT_STEPS) for clip in (np.inf, CLIP_RANGE)
    )
    return animate_clipped_step(plain, clipped, ["add 1", "hold", "remove 1"], CLIP_RANGE)


TOUR: dict[str, Callable[[], Animation]] = {
    "boot_delay": boot_delay,
    "flash_crowd": flash_crowd,
    "clipped_step": clipped_step,
}
"""The animations by name."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Folders().figures, help="the folder of the animations")
    options = parser.parse_args()
    alts = {}
    for paper in get_args(Theme):
        folder = options.output / "dark" if paper == "dark" else options.output
        for name, make in TOUR.items():
            with theme(paper):
                animation = make()
            size = save_animation(animation, folder, name)
            if size > LARGEST:
                sys.exit(f"tour_{name}.webp: {size:,} bytes, more than {LARGEST:,}")
            print(f"Wrote {Folders().shown(folder)}/tour_{name}.webp: {size:,} bytes")
            alts[name] = animation.alt
    write_json(options.output / ALTS, alts)


if __name__ == "__main__":
    main()
