"""Tests of the generated days, and of what is learned from them alone."""

import numpy as np
import pytest

from autoscaler_env.policies.deep import DeepPolicy
from autoscaler_env.policies.recorded_inputs import fit_recording
from autoscaler_env.service import Service
from autoscaler_env.traffic.generated import GeneratedDays
from autoscaler_env.traffic.patterns import day_seeds
from autoscaler_env.training.config import TrainingConfig
from autoscaler_env.training.policy_iteration import PolicyIteration
from autoscaler_env.training.presets import GeneratedPreset
from autoscaler_env.training.recorded import lines_of

SERVICE = Service(peak_arrivals=50_000)


@pytest.fixture(scope="module")
def rows():
    return GeneratedDays(SERVICE).rows(day_seeds("evaluation", 60))


def test_a_row_is_drawn_from_its_seed_alone_and_scaled_as_recordings_are(rows):
    workload = GeneratedDays(SERVICE)
    assert np.array_equal(workload.rows(day_seeds("evaluation", 1, first=7))[0], rows[7])
    assert np.array_equal(workload.evaluation_days(3), rows[:3, -1])
    assert rows.shape == (60, 16, 288) and rows.min() >= 0
    assert np.percentile(rows, 99, axis=(1, 2)) == pytest.approx(2_000, rel=0.01)


def test_rows_differ_in_level_daily_cycle_noise_and_crowds(rows):
    by_time = rows.mean(axis=1)
    swing = by_time.reshape(60, 24, 12).mean(axis=2)
    swing = swing.min(axis=1) / swing.max(axis=1)
    change = np.abs(np.diff(rows.reshape(60, -1))).mean(axis=1) / rows.mean(axis=(1, 2))
    highest = rows.max(axis=(1, 2)) / 2_000
    level = rows.mean(axis=(1, 2)) / 2_000
    for values, low, high in ((swing, 0.2, 0.7), (change, 0.1, 0.4), (highest, 1.4, 3.5), (level, 0.2, 0.45)):
        assert (values < low).sum() >= 3 and (values > high).sum() >= 3, (low, high, np.sort(values).round(2))


@pytest.fixture(scope="module")
def learner():
    config = TrainingConfig("policy-iteration", GeneratedDays(SERVICE), service=SERVICE, days=90, iterations=4)
    assert isinstance(config.preset, GeneratedPreset)
    return PolicyIteration(config.pattern, SERVICE, config.preset, seed=0)


def test_inputs_fitted_on_rows_forecast_rows_that_were_not_seen_better_than_the_last_count(rows, learner):
    lines = rows[:20].reshape(20, -1)
    expected = lines_of(lines, learner.knowledge, SERVICE).expected  # the last count, and what comes in the next step
    came = np.log1p(lines[:, 288 + SERVICE.boot_steps :] / SERVICE.capacity_per_instance)
    last, forecast = (np.square(np.log1p(expected[:, : -SERVICE.boot_steps, k]) - came).mean() for k in (0, 1))
    assert forecast < 0.9 * last


def test_fitting_rows_together_is_fitting_one_where_there_is_one(rows):
    alone, together = fit_recording(rows[0], SERVICE), fit_recording(rows[:1], SERVICE)
    assert all(np.array_equal(one, other) for one, other in zip(alone, together, strict=True))


def test_it_learns_from_new_rows_what_is_cheaper_on_rows_that_it_never_sees(learner):
    learner.iterate()
    policy = DeepPolicy(learner.model.policy, SERVICE, "generated", learner.knowledge)
    imitated = learner.return_on_rows(policy)
    first = learner._lines()
    for _ in range(3):
        learner.iterate()
    assert not np.array_equal(learner._lines(), first)
    assert learner.return_on_rows(policy) > imitated + 0.5


def test_what_is_no_row_of_days_is_refused():
    with pytest.raises(ValueError, match="days = 1: must be at least 2"):
        GeneratedDays(SERVICE, days=1)
    with pytest.raises(ValueError, match="steps_per_episode = 12: must be a day of 86,400 s"):
        GeneratedDays(Service(steps_per_episode=12))
