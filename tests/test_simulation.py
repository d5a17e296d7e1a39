"""Simulation: the dynamics of the environment, policies that misbehave, days in a row, and waits."""

import dataclasses
from collections import deque

import numpy as np
import pytest
from cases import SERVICES, cases, every_service

from autoscaler_env.dynamics import LARGEST_COUNT
from autoscaler_env.envs.single import AutoscalerEnv
from autoscaler_env.evaluation.simulation import (
    ResetDaily,
    by_day,
    served_within,
    simulate,
    simulate_through,
    wait_percentiles,
)
from autoscaler_env.policies.base import decode
from autoscaler_env.policies.rules import Random, Static, TargetTracking
from autoscaler_env.service import Service
from autoscaler_env.traffic.patterns import Pattern, day_seeds

SHORT = Service(steps_per_episode=5)
COUNTS = ("ready", "booting", "queue", "served", "dropped", "scaled", "refused")


class Watcher:
    """A policy that holds and remembers what it was shown."""

    name = "watcher"

    def __init__(self):
        self.days = []
        self.seen = []

    def reset(self, days):
        self.days.append(days)

    def predict(self, observations):
        self.seen.append(observations.copy())
        return np.ones(len(observations), dtype=np.int64)


class Answer:
    """A policy that always answers the same."""

    name = "stubborn"

    def __init__(self, answer):
        self._answer = answer

    def reset(self, days):
        pass

    def predict(self, observations):
        return self._answer


@every_service
def test_a_trajectory_equals_the_scalar_environment(any_service, play_env):
    days = Pattern("SPIKE", any_service).draw(day_seeds("training", 3))
    trajectory = simulate(Random(any_service, seed=5), days, any_service)
    for i in range(3):
        _, rewards, infos = play_env(AutoscalerEnv("SPIKE", any_service), trajectory.actions[i], day=days[i])
        assert all(getattr(trajectory, name)[i].tolist() == [info[name] for info in infos] for name in COUNTS)
        assert trajectory.cost[i] == pytest.approx(-rewards, rel=1e-12)


def test_a_policy_sees_the_observations_of_the_scalar_environment(play_env):
    days, watcher = Pattern("SPIKE", Service()).draw(day_seeds("training", 2)), Watcher()
    simulate(watcher, days)
    for i in range(2):
        observations, _, _ = play_env(AutoscalerEnv("SPIKE"), [1] * 288, day=days[i])
        assert np.array_equal([seen[i] for seen in watcher.seen], observations[:-1])


def test_a_policy_is_reset_once_and_with_the_days():
    watcher, days = Watcher(), np.arange(10).reshape(2, 5)
    simulate(watcher, days, SHORT)
    assert len(watcher.days) == 1 and np.array_equal(watcher.days[0], days) and len(watcher.seen) == 5


def test_equal_trajectories_of_a_random_policy_are_equal():
    days, policy = Pattern("SPIKE", SHORT).draw(day_seeds("training", 4)), Random(SHORT)
    assert np.array_equal(simulate(policy, days, SHORT).cost, simulate(policy, days, SHORT).cost)


def test_every_column_has_a_row_per_day_and_a_column_per_step():
    trajectory = simulate(Static(SHORT), np.ones((3, 5), dtype=int), SHORT)
    names = (*COUNTS, "arrivals", "actions", "fleet", "cost", "utilisation", "instance_cost", "late_cost", "drop_cost")
    assert {getattr(trajectory, name).shape for name in names} == {(3, 5)}


def test_the_cost_and_its_items_by_hand():
    # 25 ready, 9,000 arrive: 2,175 served, 4,350 wait, 2,475 dropped
    trajectory = simulate(Static(SHORT), np.array([[9000, 0, 0, 0, 0]]), SHORT)
    assert trajectory.instance_cost[0] == pytest.approx([0.4] * 5)
    assert trajectory.late_cost[0] == pytest.approx([1.0875, 0.54375, 0, 0, 0])
    assert trajectory.drop_cost[0] == pytest.approx([6.1875, 0, 0, 0, 0])
    assert trajectory.cost[0] == pytest.approx([7.675, 0.94375, 0.4, 0.4, 0.4])


def test_the_utilisation_by_hand():
    trajectory = simulate(Static(SHORT), np.array([[0, 1740, 2175, 5000, 0]]), SHORT)
    # the last two steps serve 2,175 of 5,000 and then 2,175 of the 2,825 that waited
    assert trajectory.utilisation[0].tolist() == [0, 0.8, 1, 1, 1]


def test_the_days_are_not_changed():
    days = np.arange(10).reshape(2, 5)
    simulate(TargetTracking(SHORT), days, SHORT)
    assert np.array_equal(days, np.arange(10).reshape(2, 5))


@cases("dtype", [np.int32, np.uint16, np.uint64])
def test_days_of_any_integer_type_are_accepted(dtype):
    days = np.arange(10).reshape(2, 5)
    one, other = (simulate(Static(SHORT), each, SHORT) for each in (days, np.asfortranarray(days.astype(dtype))))
    assert np.array_equal(one.served, other.served)


@cases("days", [np.ones(5, dtype=int), np.ones((2, 4), dtype=int), np.ones((1, 2, 5), dtype=int)])
def test_days_of_another_shape_are_refused(days):
    with pytest.raises(ValueError, match=r"days of shape .*\(n, 5\)"):
        simulate(Static(SHORT), days, SHORT)


@cases("days", [np.ones((1, 5)), np.full((1, 5), -1), np.full((1, 5), np.nan), np.ones((1, 5), bool)])
def test_arrivals_that_are_no_counts_are_refused(days):
    with pytest.raises(ValueError, match="whole numbers of at least 0"):
        simulate(Static(SHORT), days, SHORT)


@cases("answer", [[3, 1], [1, -1], [1], [1, 1, 1], [[1, 1]], [1.0, 1.0], 1, None, ["1", "1"]])
def test_a_policy_whose_actions_do_not_exist_is_refused_by_name(answer):
    with pytest.raises(ValueError, match="policy 'stubborn'"):
        simulate(Answer(answer), np.ones((2, 5), dtype=int), SHORT)


@cases("dtype", [np.int8, np.int32, np.uint8])
def test_actions_of_any_integer_type_are_accepted(dtype):
    trajectory = simulate(Answer(np.array([0, 2], dtype=dtype)), np.ones((2, 5), dtype=int), SHORT)
    assert trajectory.fleet[:, 0].tolist() == [24, 26]


def test_actions_may_be_a_list():
    assert simulate(Answer([0, 2]), np.ones((2, 5), dtype=int), SHORT).fleet[:, 0].tolist() == [24, 26]


def test_a_policy_may_write_into_what_it_returned():
    actions = np.array([0])

    class Flipping(Answer):
        def predict(self, observations):
            actions[0] = 2 - actions[0]
            return actions

    assert simulate(Flipping(None), np.ones((1, 5), dtype=int), SHORT).actions[0].tolist() == [2, 0, 2, 0, 2]


def test_a_policy_that_overwrites_its_observations_changes_nothing():
    class Scribbler(Watcher):
        def predict(self, observations):
            counts = decode(observations, SHORT)
            observations[:] = 0
            return np.where(counts.arrivals > 0, 2, 0)

    trajectory = simulate(Scribbler(), np.array([[9, 9, 0, 0, 9]]), SHORT)
    assert trajectory.actions[0].tolist() == [2, 2, 2, 0, 0] and trajectory.served[0].tolist() == [9, 9, 0, 0, 9]


def test_observations_that_a_policy_stores_are_not_overwritten():
    class Keeper(Watcher):
        def predict(self, observations):
            self.seen.append(observations)
            return np.array([1])

    keeper = Keeper()
    simulate(keeper, np.array([[10, 20, 30, 40, 50]]), SHORT)
    assert [decode(seen, SHORT).arrivals[0] for seen in keeper.seen] == [10, 10, 20, 30, 40]


def test_the_largest_arrivals_are_counted_exactly():
    days = np.full((1, 288), LARGEST_COUNT)
    trajectory = simulate(Static(), days)
    assert (trajectory.served + trajectory.dropped).sum() + trajectory.queue[0, -1] == 288 * LARGEST_COUNT


# --- days in a row ---------------------------------------------------------------------------------------------------


def test_fleet_and_queue_pass_midnight_unchanged():
    days = Pattern("SPIKE", SHORT).draw(day_seeds("training", 4))
    through = simulate_through(TargetTracking(SHORT), days, SHORT)
    cut = by_day(through, SHORT)
    assert through.cost.shape == (1, 20) and cut.cost.shape == (4, 5)
    assert np.array_equal(cut.fleet[0], simulate(TargetTracking(SHORT), days[:1], SHORT).fleet[0])
    asked = np.array(SHORT.fleet_changes)[through.actions[0, 1:]]
    assert np.array_equal(np.diff(through.fleet[0]), asked) and np.array_equal(cut.fleet.ravel(), through.fleet[0])


def test_a_policy_is_reset_at_each_midnight_with_its_day():
    watcher, days = Watcher(), np.arange(15).reshape(3, 5)
    simulate_through(ResetDaily(watcher, 5), days, SHORT)
    assert [seen.tolist() for seen in watcher.days] == [[day] for day in days.tolist()] and len(watcher.seen) == 15


def test_more_steps_than_can_be_simulated_without_a_break_are_refused_in_one_line():
    with pytest.raises(ValueError, match=r"^61 days of 1,440 steps are 87,840 steps; [^\n]*set step_seconds[^\n]*$"):
        simulate_through(Static(), np.ones((61, 1440), dtype=np.int64), Service(steps_per_episode=1440))


# --- waits -----------------------------------------------------------------------------------------------------------

PERCENTILES = (50.0, 95.0, 99.0, 100.0)


def wait_of_each(arrivals, served, dropped):
    """Let single requests stand in line; return the steps that each of them waited."""
    line, waits = deque(), []
    for step, (coming, serving, lost) in enumerate(zip(arrivals, served, dropped, strict=True)):
        line.extend([step] * int(coming - lost))
        waits += [step - line.popleft() for _ in range(serving)]
    return waits + [len(arrivals) - step for step in line]


def one_day(arrivals, served, dropped=None, **options):
    """Return the percentiles of one day."""
    lost = [0] * len(arrivals) if dropped is None else dropped
    return wait_percentiles(*(np.array([row]) for row in (arrivals, served, lost)), 300, **options)[0].tolist()


@cases("name", [name for name in SERVICES if name != "huge"])
@cases("seed", range(3))
def test_percentiles_equal_those_of_requests_that_stand_in_line(name, random_trajectory, seed):
    service = SERVICES[name]
    trajectory = random_trajectory(service, days=4, seed=seed)
    rows = trajectory.arrivals, trajectory.served, trajectory.dropped
    found = wait_percentiles(*rows, service.step_seconds, PERCENTILES)
    for day, row in enumerate(zip(*rows, strict=True)):
        waits = np.array(wait_of_each(*row)) * service.step_seconds
        wanted = np.percentile(waits, PERCENTILES, method="inverted_cdf")
        assert found[day].tolist() == wanted.tolist()


def test_a_request_served_in_the_step_of_its_arrival_does_not_wait():
    assert one_day([100, 100], [100, 100]) == [0, 0]


def test_waits_by_hand():
    # of 100 requests 94 are served at once, 4 a step later, 2 two steps later
    assert one_day([100, 0, 0], [94, 4, 2], percentiles=(94.0, 95.0, 98.0, 99.0)) == [0, 300, 300, 600]


def test_the_oldest_are_served_first():
    # 10 of the first step wait through the second, whose own 10 then wait one step each
    assert one_day([20, 10, 0], [10, 10, 10], percentiles=(25.0, 100.0)) == [0, 300]


def test_dropped_requests_do_not_count():
    assert one_day([100, 0], [50, 10], [40, 0], percentiles=(80.0, 100.0)) == [0, 300]


def test_a_request_that_waits_at_the_end_counts_with_its_wait_so_far():
    assert one_day([10, 10], [0, 0], percentiles=(50.0, 100.0)) == [300, 600]


def test_a_day_without_requests_has_no_wait():
    assert one_day([0, 0], [0, 0]) == [0, 0]


def test_days_do_not_touch_each_other():
    arrivals = np.array([[9, 0], [0, 9], [9, 9]])
    served = np.array([[0, 9], [0, 9], [9, 9]])
    assert wait_percentiles(arrivals, served, np.zeros_like(arrivals), 60).tolist() == [[60, 60], [0, 0], [0, 0]]


def within(arrivals, capacity, seconds, **sizes):
    """Return the requests of each step that one instance serves within some seconds; steps of 60 s."""
    one = {"step_seconds": 60, "min_instances": 1, "initial_instances": 1, "fleet_changes": (0,), "queue_limit": 1000}
    service = Service(**one | {"steps_per_episode": len(arrivals), "capacity_per_instance": capacity} | sizes)
    # a millionth of a request may be in time or not
    return served_within(simulate(Static(service), np.array([arrivals]), service), seconds)[0].round(4)


def test_waits_shorter_than_a_step_by_hand():
    # 20 come in evenly over 60 s, 10 a minute are served: number n comes at 3 n s, is served at 6 n s, waits 3 n s
    assert within([20, 0, 0], 10, 15).tolist() == [5, 0, 0] and within([20, 0, 0], 10, 45).tolist() == [15, 0, 0]
    assert within([20, 0, 0], 10, 0).tolist() == [0, 0, 0] and within([20, 0, 0], 10, 60).tolist() == [20, 0, 0]
    # 100 wait; 1,000 a minute are served and 500 come in: who comes at x of the step waits 0.1 - 0.5 x of it
    found = {seconds: within([1100, 500], 1000, seconds)[1] for seconds in (0, 3, 6)}
    assert found == {0: 400, 3: 450, 6: 500}


def test_what_is_not_served_is_not_in_time():
    # 10 of 30 are served and 5 may wait: the newest 15 are dropped, in the second half of the step
    assert within([30, 0], 10, 6000, queue_limit=5).tolist() == [15, 0]
    assert within([30], 10, 6000).tolist() == [10], "the other 20 still wait at the end"
    assert within([0, 0], 10, 60).tolist() == [0, 0]


def test_requests_that_waited_before_the_first_step_are_served_first():
    service = Service(steps_per_episode=4, step_seconds=60, min_instances=1, initial_instances=1, fleet_changes=(0,))
    service = dataclasses.replace(service, capacity_per_instance=10, queue_limit=1000)
    through = simulate_through(Static(service), np.array([[10, 10, 10, 30], [5, 5, 0, 0]]), service)
    whole, days = served_within(through, 75)[0], served_within(by_day(through, service), 75)
    assert days[1] == pytest.approx(whole[4:]), "the second day knows of its queue"
    # of the 30, number n comes at 2 n s and is served at 6 n s
    assert whole[3] == pytest.approx(18.75) and days[0, 3] == pytest.approx(10), (
        "the first day does not know the second"
    )


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf")])
def test_a_wait_that_is_none_is_refused(seconds):
    with pytest.raises(ValueError, match=r"^seconds = .*: must be a finite number of at least 0$"):
        within([1], 1, seconds)


def in_time_of_each(day, seconds):
    """Serve single requests in turn, each by the capacity of one; return how many of each step are in time."""
    step_seconds, found, free = day.service.step_seconds, np.zeros(day.arrivals.shape[1]), 0.0
    ends = np.concatenate([[0.0], np.cumsum(day.capacity[0])])  # capacity so far, at the end of each step

    def capacity_at(time):
        return np.interp(time / step_seconds, np.arange(len(ends)), ends)

    for step, (arrivals, dropped) in enumerate(zip(day.arrivals[0], day.dropped[0], strict=True)):
        for number in range(arrivals - dropped):
            came = (step + (number + 0.5) / arrivals) * step_seconds
            free = max(free, capacity_at(came)) + 1  # what is not used when nobody waits is lost
            # half of its own work counts: a fluid has no last drop
            found[step] += free - 0.5 <= capacity_at(came + seconds) + 0.5
    return found


@cases(("name", "peak"), [("reference", 600), ("from zero, boots within a step", 110), ("no queue", 600)])
def test_a_fluid_serves_as_many_in_time_as_single_requests(name, peak, random_trajectory):
    # a request more or less at each edge of an interval
    service = dataclasses.replace(SERVICES[name], capacity_per_instance=40)
    day = random_trajectory(dataclasses.replace(service, peak_arrivals=peak, steps_per_episode=30), days=1, seed=4)
    for seconds in (10, 100, 450):
        wanted = in_time_of_each(day, seconds)
        found = served_within(day, seconds)[0]
        assert found.sum() < day.arrivals.sum() and np.abs(found - wanted).max() <= 6
        assert abs(found.sum() - wanted.sum()) < 0.01 * day.arrivals.sum()
    assert 0.02 < found.sum() / day.arrivals.sum() < 0.98
