"""The dynamics: hand arithmetic, conservation, monotonicity, and a slow second implementation.

The small service of `play`: 10 requests per instance and step, 3 instances to start with, from 2 to 5, 20 may wait.
"""

import numpy as np
import pytest
from cases import every_service

from autoscaler_env import dynamics
from autoscaler_env.envs.single import AutoscalerEnv
from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.service import LARGEST_OBSERVABLE_COUNT, Service

ZERO = {
    "capacity_per_instance": 10,
    "min_instances": 0,
    "max_instances": 5,
    "initial_instances": 0,
    "queue_limit": 20,
    "steps_per_episode": 5,
}

# --- hand arithmetic -------------------------------------------------------------------------------------------------


def test_an_instance_is_ready_one_step_after_its_order(play):
    day = play([0, 0, 0], [1, 0, 0], boot_steps=1)
    assert (day["ready"], day["booting"]) == ([3, 4, 4], [1, 0, 0])


def test_an_instance_is_ready_three_steps_after_its_order(play):
    day = play([0, 0, 0, 0, 0], [1, 0, 0, 0, 0], boot_steps=3)
    assert (day["ready"], day["booting"]) == ([3, 3, 3, 4, 4], [1, 1, 1, 0, 0])


def test_orders_of_different_steps_become_ready_in_turn(play):
    day = play([0] * 6, [1, 0, 1, 0, 0, 0], boot_steps=3)
    assert (day["ready"], day["booting"]) == ([3, 3, 3, 4, 4, 5], [1, 1, 2, 1, 1, 0])


def test_a_booted_instance_serves_in_the_step_it_becomes_ready(play):
    assert play([0, 40], [1, 0])["served"] == [0, 40]


def test_a_booting_instance_does_not_serve(play):
    assert play([40], [1])["served"] == [30]


def test_a_removed_instance_does_not_serve_in_its_last_step(play):
    day = play([30], [-1])
    assert (day["served"], day["queue"]) == ([20], [10])


def test_adding_is_refused_at_the_maximum(play):
    day = play([0, 0], [1, 0], initial_instances=5)
    assert (day["ready"], day["booting"], day["refused"]) == ([5, 5], [0, 0], [1, 0])


def test_booting_instances_count_towards_the_maximum(play):
    day = play([0, 0], [1, 1], initial_instances=4, boot_steps=3)
    assert (day["booting"], day["refused"]) == ([1, 1], [0, 1])


def test_the_last_instance_below_the_maximum_may_be_ordered(play):
    assert play([0], [1], initial_instances=4)["refused"] == [0]


def test_an_instance_serves_for_the_rest_of_the_step_in_which_its_boot_ends(play):
    # 90 s of 300 s are lost: an instance serves 7 of 10, and three together 21; 10 s longer, 6 and 20
    for boot_seconds, one, three in ((90, 7, 21), (100, 6, 20), (0, 10, 30), (299, 0, 0)):
        sizes = {"boot_seconds": boot_seconds, "initial_instances": 2, "fleet_changes": (0, 1, 3)}
        day = play([50, 0], [1, 0], **sizes)
        assert (day["ready"], day["booting"], day["served"][0]) == ([3, 3], [0, 0], 20 + one)
        assert play([90], [3], **sizes)["served"] == [20 + three]


def test_a_boot_may_end_within_a_later_step(play):
    day = play([60, 60, 60, 60], [1, 0, 0, 0], boot_seconds=390)
    assert (day["ready"], day["booting"]) == ([3, 4, 4, 4], [1, 0, 0, 0])
    assert day["served"] == [30, 37, 40, 40]


def test_an_instance_that_boots_within_the_step_cannot_be_removed_in_it(play):
    # what is removed must be ready when the action is taken
    day = play([0, 0, 0], [1, -1, -1], boot_seconds=390, initial_instances=2)
    assert (day["refused"], day["ready"]) == ([0, 1, 0], [2, 3, 2])


def test_without_instances_requests_wait_for_the_first_boot(play):
    sizes = {"min_instances": 0, "initial_instances": 0}
    day = play([15, 0, 0], [1, 0, 0], **sizes)
    assert (day["served"], day["queue"], day["ready"]) == ([0, 10, 5], [15, 5, 0], [0, 1, 1])
    assert day["cost"][0] == pytest.approx(0.016 + 15 * 0.00025), "the instance costs from its order on"
    day = play([15, 0, 5], [1, 0, -1], **sizes, boot_seconds=90)
    assert (day["served"], day["queue"], day["ready"]) == ([7, 8, 0], [8, 0, 5], [1, 1, 0])


def test_utilisation_without_capacity_is_full_use_where_requests_come_in_or_wait_and_else_none(script):
    service = Service(**ZERO, boot_seconds=90, fleet_changes=(0, 1, -1))
    day = simulate(script([[0, 0, 1, 0, 2]]), np.array([[0, 4, 0, 9, 0]]), service)
    assert day.capacity[0].tolist() == [0, 0, 7, 10, 0]
    assert day.utilisation[0].tolist() == [0, 1, 4 / 7, 0.9, 0]
    env = AutoscalerEnv("STEADY", service)
    env.reset(options={"day": day.arrivals[0]})
    seen = [env.step(action)[0] for action in day.actions[0]]
    assert [observation[2] for observation in seen] == pytest.approx(day.utilisation[0])
    # spare capacity is what will be ready, minus arrivals and queue
    assert np.array(seen)[:, 6] * service.spare_capacity_scale == pytest.approx([0, -8, 10, 1, 0], abs=1e-6)


def test_removing_is_refused_at_the_minimum(play):
    day = play([0], [-1], initial_instances=2)
    assert (day["ready"], day["refused"]) == ([2], [1])


def test_booting_instances_do_not_count_towards_the_minimum(play):
    day = play([0, 0], [1, -1], initial_instances=2, boot_steps=3)
    assert (day["ready"], day["booting"], day["refused"]) == ([2, 2], [1, 1], [0, 1])


def test_instances_become_ready_before_the_action(play):
    day = play([0, 0], [1, -1], initial_instances=2, boot_steps=1)
    assert (day["ready"], day["refused"]) == ([2, 2], [0, 0])


def test_a_wide_change_is_refused_whole(play):
    day = play([0, 0], [3, -2], fleet_changes=(-2, 0, 3))
    assert (day["ready"], day["booting"], day["refused"]) == ([3, 3], [0, 0], [1, 1])


def test_a_wide_change_is_made_whole(play):
    day = play([0, 0, 0], [2, 0, -3], fleet_changes=(-3, 0, 2))
    assert (day["ready"], day["booting"], day["refused"]) == ([3, 5, 2], [2, 0, 0], [0, 0, 0])


def test_only_accepted_changes_are_scaling_actions(play):
    day = play([0] * 5, [1, 1, 1, 0, -1])
    assert (day["refused"], day["scaled"]) == ([0, 0, 1, 0, 0], [1, 1, 0, 0, 1])


def test_what_is_not_served_waits_and_is_served_next(play):
    day = play([40, 10], [0, 0])
    assert (day["served"], day["queue"]) == ([30, 20], [10, 0])


def test_requests_beyond_the_queue_limit_are_dropped(play):
    day = play([60], [0])
    assert (day["served"], day["queue"], day["dropped"]) == ([30], [20], [10])


def test_a_queue_exactly_full_drops_nothing(play):
    day = play([50, 30, 31], [0, 0, 0])
    assert (day["queue"], day["dropped"]) == ([20, 20, 20], [0, 0, 1])


def test_without_a_queue_everything_unserved_is_dropped(play):
    day = play([31], [0], queue_limit=0)
    assert (day["served"], day["queue"], day["dropped"]) == ([30], [0], [1])


def test_the_cost_has_instances_lateness_and_drops(play):
    # 3 ready + 1 booting at $0.016, 20 waiting at $0.00025, 10 dropped at $0.0025
    assert play([60], [1])["cost"] == pytest.approx([0.064 + 0.005 + 0.025], abs=1e-15)


def test_a_waiting_request_is_paid_in_each_step_again(play):
    free = {"instance_price_per_hour": 0, "drop_price": 0}
    assert play([50, 30, 20], [0, 0, 0], **free)["cost"] == pytest.approx([0.005, 0.005, 0.0025], abs=1e-15)


def test_a_removed_instance_is_not_paid_in_the_step_of_its_removal(play):
    assert play([0, 0], [-1, 0])["cost"] == pytest.approx([0.032, 0.032], abs=1e-15)


def test_the_hourly_price_is_paid_by_the_length_of_a_step(play):
    assert play([0], [0], step_seconds=1200, instance_price_per_hour=0.3)["cost"] == pytest.approx([0.3], abs=1e-15)


def test_a_quiet_reference_day_costs_its_fleet(script):
    # 288 steps x 25 instances x $0.016
    trajectory = simulate(script(np.ones((1, 288), dtype=int)), np.zeros((1, 288), dtype=int))
    assert trajectory.cost.sum() == pytest.approx(115.2)


# --- what holds on every day -------------------------------------------------------------------------------------


@every_service
def test_requests_are_conserved_in_every_step(any_service, random_trajectory):
    day = random_trajectory(any_service)
    before = np.pad(day.queue, ((0, 0), (1, 0)))[:, :-1]
    assert np.array_equal(day.arrivals, day.served + day.dropped + day.queue - before)


@every_service
def test_requests_are_conserved_over_the_day(any_service, random_trajectory):
    day = random_trajectory(any_service, seed=1)
    assert np.array_equal(day.arrivals.sum(axis=1), (day.served + day.dropped).sum(axis=1) + day.queue[:, -1])


@every_service
def test_the_cost_is_the_sum_of_its_items_at_their_prices(any_service, random_trajectory):
    day = random_trajectory(any_service)
    hours = any_service.step_seconds / 3600
    by_hand = any_service.instance_price_per_hour * hours * (day.ready + day.booting).sum(axis=1)
    by_hand += any_service.late_price * day.queue.sum(axis=1) + any_service.drop_price * day.dropped.sum(axis=1)
    assert day.cost.sum(axis=1) == pytest.approx(by_hand, rel=1e-12)


@every_service
def test_instances_never_exceed_max(any_service, random_trajectory):
    for seed in range(5):
        assert random_trajectory(any_service, seed=seed).fleet.max() <= any_service.max_instances


@every_service
def test_ready_instances_never_fall_below_min(any_service, random_trajectory):
    for seed in range(5):
        assert random_trajectory(any_service, seed=seed).ready.min() >= any_service.min_instances


@every_service
def test_queue_never_exceeds_its_limit(any_service, random_trajectory):
    day = random_trajectory(any_service)
    assert day.queue.min() >= 0 and day.queue.max() == any_service.queue_limit


@every_service
def test_drops_happen_only_at_a_full_queue(any_service, random_trajectory):
    day = random_trajectory(any_service)
    assert day.dropped.any() and np.all(day.queue[day.dropped > 0] == any_service.queue_limit)


@every_service
def test_served_never_exceeds_the_capacity_of_ready_instances(any_service, random_trajectory):
    day = random_trajectory(any_service)
    assert np.all(day.served <= day.capacity)
    assert np.all(day.capacity <= any_service.capacity_per_instance * day.ready)


@every_service
def test_an_accepted_change_moves_the_fleet_by_what_it_asked_for(any_service, random_trajectory):
    day = random_trajectory(any_service)
    before = np.pad(day.fleet, ((0, 0), (1, 0)), constant_values=any_service.initial_instances)[:, :-1]
    asked = np.array(any_service.fleet_changes)[day.actions]
    assert np.array_equal(day.fleet - before, np.where(day.refused == 1, 0, asked))


@every_service
def test_a_refused_action_is_not_a_scaling_action(any_service, random_trajectory):
    day = random_trajectory(any_service)
    asked = np.array(any_service.fleet_changes)[day.actions]
    assert day.refused.any() and np.array_equal(day.scaled, (asked != 0) & (day.refused == 0))


@every_service
def test_a_hold_is_never_refused(any_service, random_trajectory):
    day = random_trajectory(any_service)
    assert not day.refused[day.actions == any_service.hold].any()


@every_service
def test_more_arrivals_never_means_less_queue_or_fewer_drops(any_service, random_trajectory, script):
    day = random_trajectory(any_service)
    more = day.arrivals + np.random.default_rng(5).integers(0, 3, day.arrivals.shape) * any_service.peak_arrivals // 9
    busier = simulate(script(day.actions), more, any_service)
    assert np.all(busier.queue >= day.queue)
    assert np.all(busier.dropped.cumsum(axis=1) >= day.dropped.cumsum(axis=1))


@every_service
def test_more_arrivals_never_means_a_smaller_cost(any_service, random_trajectory, script):
    day = random_trajectory(any_service)
    busier = simulate(script(day.actions), day.arrivals + 1, any_service)
    assert np.all(busier.cost >= day.cost - 1e-9 * day.cost)


# --- a second implementation -----------------------------------------------------------------------------------------


def slow_day(service, arrivals, changes):
    """Yield (ready, booting, queue, served, dropped, refused, cost) of each step: one clock per instance ordered."""
    ready, queue, ends = service.initial_instances, 0, []
    for step, (arriving, change) in enumerate(zip(arrivals, changes, strict=True)):
        begin, following = step * service.step_seconds, (step + 1) * service.step_seconds
        ready += sum(end <= begin for end in ends)
        ends = [end for end in ends if end > begin]
        refused = ready + len(ends) + change > service.max_instances if change > 0 else False
        refused = ready + change < service.min_instances if change < 0 else refused
        if change > 0 and not refused:
            ends += [begin + service.boot_delay] * change
        if change < 0 and not refused:
            ready += change
        seconds = ready * service.step_seconds + sum(following - end for end in ends if end < following)
        ready += sum(end < following for end in ends)
        ends = [end for end in ends if end >= following]
        capacity, demand = service.capacity_per_instance * seconds // service.step_seconds, queue + arriving
        served = capacity if demand > capacity else demand
        queue = demand - served
        dropped = queue - service.queue_limit if queue > service.queue_limit else 0
        queue -= dropped
        dollars = service.instance_price_per_hour * service.step_seconds / 3600 * (ready + len(ends))
        dollars += service.late_price * queue + service.drop_price * dropped
        yield ready, len(ends), queue, served, dropped, int(refused), dollars


@every_service
def test_compiled_dynamics_equal_slow_ones_in_every_step(any_service, random_trajectory):
    trajectory = random_trajectory(any_service, days=6, seed=3)
    names = ("ready", "booting", "queue", "served", "dropped", "refused", "cost")
    fast = np.stack([getattr(trajectory, name) for name in names], axis=-1)
    for day, actions, steps in zip(trajectory.arrivals.tolist(), trajectory.actions.tolist(), fast, strict=True):
        changes = [any_service.fleet_changes[action] for action in actions]
        slow = np.array(list(slow_day(any_service, day, changes)))
        assert np.array_equal(steps[:, :-1], slow[:, :-1])
        assert steps[:, -1] == pytest.approx(slow[:, -1], rel=1e-12)


def test_days_of_a_batch_do_not_touch_each_other(random_trajectory, script):
    service = Service(boot_steps=3, steps_per_episode=120)
    together = random_trajectory(service, days=7)
    for i in range(7):
        alone = simulate(script(together.actions[i : i + 1]), together.arrivals[i : i + 1], service)
        assert np.array_equal(alone.queue[0], together.queue[i]) and np.array_equal(alone.cost[0], together.cost[i])


def test_observations_are_the_rounded_exact_quotients_up_to_the_largest_counts():
    capacity, most = 97, 21_001
    service = Service(
        capacity_per_instance=capacity,
        max_instances=most,
        min_instances=1,
        initial_instances=1,
        queue_limit=LARGEST_OBSERVABLE_COUNT - capacity * most,
        peak_arrivals=LARGEST_OBSERVABLE_COUNT // 2,
    )
    rng, n = np.random.default_rng(0), 20_000
    state = dynamics.new_state(service, n)
    state[dynamics.READY], state[dynamics.BOOTING] = rng.integers(1, 10_500, (2, n))
    state[dynamics.QUEUE] = rng.integers(0, service.queue_limit + 1, n)
    state[dynamics.ARRIVALS], state[dynamics.CHANGE] = 2 ** (30 * rng.random((2, n))) * [[1], [-1]]
    state[dynamics.SERVED] = rng.random(n) * capacity * state[dynamics.READY]
    seen = np.empty((7, n), dtype=np.float32)
    dynamics.observe_all(state, dynamics.parameters_of(dynamics.constants_of(service)), seen)
    ready, booting, queue, arrivals, served, change = state[[0, 1, 2, 3, 4, 8]].astype(np.float64)
    exact = np.stack(
        [
            ready / most,
            booting / most,
            served / (capacity * ready),
            queue / service.queue_limit,
            np.minimum(arrivals / service.arrivals_scale, 1),
            np.maximum(change / service.arrivals_scale, -1),
            np.maximum((capacity * (ready + booting) - arrivals - queue) / service.spare_capacity_scale, -1),
        ]
    )
    assert np.array_equal(seen, exact.astype(np.float32))
