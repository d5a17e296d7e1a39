"""How long requests wait: against a queue of single requests, and by hand."""

from collections import deque

import numpy as np
import pytest

from autoscaler_env.evaluation.simulation import wait_percentiles

PERCENTILES = (50.0, 95.0, 99.0, 100.0)


def wait_of_each(arrivals, served, dropped):
    """Let every single request stand in line; return the steps that each of them waited."""
    line, waits = deque(), []
    for step, (coming, serving, lost) in enumerate(zip(arrivals, served, dropped, strict=True)):
        line.extend([step] * int(coming - lost))
        waits += [step - line.popleft() for _ in range(serving)]
    return waits + [len(arrivals) - step for step in line]


def one_day(arrivals, served, dropped=None, **options):
    """Return the percentiles of one day."""
    lost = [0] * len(arrivals) if dropped is None else dropped
    return wait_percentiles(*(np.array([row]) for row in (arrivals, served, lost)), 300, **options)[0].tolist()


@pytest.mark.parametrize("any_service", ["reference", "slow boot", "wide", "odd", "no queue"], indirect=True)
@pytest.mark.parametrize("seed", range(3))
def test_percentiles_equal_those_of_requests_that_stand_in_line(any_service, random_trajectory, seed):
    trajectory = random_trajectory(any_service, days=4, seed=seed)
    rows = trajectory.arrivals, trajectory.served, trajectory.dropped
    found = wait_percentiles(*rows, any_service.step_seconds, PERCENTILES)
    for day, row in enumerate(zip(*rows, strict=True)):
        waits = np.array(wait_of_each(*row)) * any_service.step_seconds
        wanted = np.percentile(waits, PERCENTILES, method="inverted_cdf")
        assert found[day].tolist() == wanted.tolist()


def test_what_is_served_in_its_step_has_not_waited():
    assert one_day([100, 100], [100, 100]) == [0, 0]


def test_waits_by_hand():
    # of 100 requests 94 are served at once, 4 a step later, 2 two steps later
    assert one_day([100, 0, 0], [94, 4, 2], percentiles=(94.0, 95.0, 98.0, 99.0)) == [0, 300, 300, 600]


def test_the_oldest_are_served_first():
    # 10 of the first step wait through the second, whose own 10 then wait one step each
    assert one_day([20, 10, 0], [10, 10, 10], percentiles=(25.0, 100.0)) == [0, 300]


def test_dropped_requests_do_not_count():
    assert one_day([100, 0], [50, 10], [40, 0], percentiles=(80.0, 100.0)) == [0, 300]


def test_what_still_waits_at_the_end_counts_with_its_wait_so_far():
    assert one_day([10, 10], [0, 0], percentiles=(50.0, 100.0)) == [300, 600]


def test_a_day_without_requests_has_no_wait():
    assert one_day([0, 0], [0, 0]) == [0, 0]


def test_days_do_not_touch_each_other():
    arrivals = np.array([[9, 0], [0, 9], [9, 9]])
    served = np.array([[0, 9], [0, 9], [9, 9]])
    assert wait_percentiles(arrivals, served, np.zeros_like(arrivals), 60).tolist() == [[60, 60], [0, 0], [0, 0]]
