"""Days to train on, made from the recorded days of a user."""

import numpy as np

from autoscaler_env.traffic.patterns import Workload, day_seeds, random_training_seeds
from autoscaler_env.traffic.trace import ResampledDays, Trace

RECORDED = Trace("traffic", np.arange(10)[:, None] * 1000 + 100 + np.arange(24)[None, :] * 10, 3600)


def test_resampled_days_are_a_workload_and_a_function_of_their_seed():
    workload = ResampledDays("traffic", RECORDED)
    assert isinstance(workload, Workload)
    seeds = random_training_seeds(np.random.default_rng(0), 50)
    drawn = workload.draw(seeds)
    assert np.array_equal(drawn[::-1], workload.draw(seeds[::-1])) and len(np.unique(drawn, axis=0)) == 50


def test_training_days_are_near_the_first_part_and_never_from_the_days_held_out():
    drawn = ResampledDays("traffic", RECORDED).draw(random_training_seeds(np.random.default_rng(0), 300))
    levels = drawn.mean(axis=1)
    assert levels.max() < 5230 * 1.6, "the first part ends at 5,330, the rest begins at 6,100"
    assert abs(np.corrcoef(np.arange(24), np.median(drawn, axis=0))[0, 1]) > 0.5


def test_other_seeds_stand_for_recorded_days():
    recorded = {day.tobytes() for day in RECORDED.earlier}
    for purpose in ("calibration", "selection"):
        drawn = ResampledDays("traffic", RECORDED).draw(day_seeds(purpose, 20))
        assert {day.tobytes() for day in drawn} == recorded, "all of the first part, and nothing else"
    held_out = ResampledDays("traffic", RECORDED).draw(day_seeds("evaluation", 4))
    assert np.array_equal(held_out, RECORDED.later)


def test_a_single_day_is_enough_to_learn_from():
    drawn = ResampledDays("traffic", Trace("traffic", np.full((2, 24), 1000), 3600)).draw(day_seeds("training", 3))
    assert drawn.shape == (3, 24) and (drawn > 0).all()
