"""The exercises of notebook 1 accept what is right, and no plausible wrong answer."""

import numpy as np
import pytest
from grader import graded

from autoscaler_env.envs.single import AutoscalerEnv
from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.grading.exercises import environment
from autoscaler_env.policies.rules import Static
from autoscaler_env.service import Service
from autoscaler_env.traffic.patterns import Pattern, day_seeds


def change_fleet(ready, booting, change, least, most):
    ready, booting = ready + booting, 0
    if change > 0 and ready + change <= most:
        booting = change
    if change < 0 and ready + change >= least:
        ready += change
    return ready, booting


def clipped_change(ready, booting, change, least, most):
    return min(max(ready + booting + change, least), most), 0


def change_before_the_boot(ready, booting, change, least, most):
    if not least <= ready + change <= most:
        change = 0
    return ready + booting + min(change, 0), max(change, 0)


def change_without_limits(ready, booting, change, least, most):
    return ready + booting + min(change, 0), max(change, 0)


def queue_of_day(arrivals, capacity, limit):
    queue, queues, drops = 0, [], []
    for arriving, serving in zip(arrivals, capacity, strict=True):
        waiting = max(queue + arriving - serving, 0)
        queue = min(waiting, limit)
        queues.append(queue)
        drops.append(waiting - queue)
    return queues, np.array(drops)


def queue_by_sums(arrivals, capacity, limit):
    waiting = np.maximum(np.cumsum(np.array(arrivals) - capacity), 0)
    return np.minimum(waiting, limit), np.maximum(waiting - limit, 0)


def queue_that_forgets(arrivals, capacity, limit):
    waiting = np.maximum(np.array(arrivals) - capacity, 0)
    return np.minimum(waiting, limit), np.maximum(waiting - limit, 0)


def spare(observation):
    return observation[6] * Service().spare_capacity_scale / Service().capacity_per_instance


def keep_two(observation):
    return 2 if spare(observation) < 1 else 0 if spare(observation) > 2 else 1


CHECKS = [
    (environment.check_change_fleet, change_fleet, [clipped_change, change_before_the_boot, change_without_limits]),
    (environment.check_queue_of_day, queue_of_day, [queue_by_sums, queue_that_forgets]),
    (
        environment.check_policy,
        keep_two,
        [
            lambda observation: 1,
            lambda observation: 2 if observation[2] > 0.7 else 0 if observation[2] < 0.4 else 1,
            lambda observation: 2 if observation[2] > 0.95 else 0 if observation[2] < 0.9 else 1,
            lambda observation: 2 if observation[6] < 1 else 0 if observation[6] > 2 else 1,
            lambda observation: np.int64(3),
            lambda observation: -1,
            lambda observation: 1.5,
        ],
    ),
]


@pytest.mark.parametrize(("check", "right", "wrong"), CHECKS, ids=lambda item: getattr(item, "__name__", None))
def test_an_exercise_accepts_the_right_function_and_no_plausible_wrong_one(check, right, wrong):
    for judge in (check, lambda answer: graded(check, answer)):
        assert judge(right).startswith("right")
        assert [judge(answer)[:7] for answer in wrong] == ["not yet"] * len(wrong)
        assert judge(5) == judge("text") == "a function, please: its name, without brackets or quotes"


def test_the_cost_of_a_step_is_that_of_13_instances_and_256_late_requests():
    right = 13 * 0.016 + 256 * 0.00025
    assert environment.check_step_cost(right) == environment.check_step_cost(0.272) == "right"
    assert environment.check_step_cost(12 * 0.016 + 256 * 0.00025).startswith("not yet")
    for answer in ("$0.272", "0.272", [0.272], True):
        told = environment.check_step_cost(answer)
        assert told.startswith(("a number, please", "a single number, please")), answer


def test_the_cheapest_fleet_is_that_of_a_search_by_the_environment():
    costs = {}
    for size in range(20, 45):
        env = AutoscalerEnv("SPIKE", Service(initial_instances=size))
        env.reset(options={"day_seed": int(day_seeds("evaluation", 1)[0])})
        costs[size] = -sum(env.step(np.int64(1))[1] for _ in range(288))
    best = min(costs, key=costs.get)
    assert 20 < best < 44 and environment.cheapest_fleet() == best
    assert environment.check_fleet_size(np.int64(best)) == "right"
    assert environment.check_fleet_size(25).startswith("not yet")


def test_a_day_that_is_dear_is_told_with_its_cost():
    day = Pattern("SINE_CURVE", Service()).draw(day_seeds("evaluation", 1))
    cost = simulate(Static(), day).cost.sum()
    assert environment.check_policy(lambda observation: 1).endswith(f"(your day costs ${cost:.2f})")
    assert environment.check_policy(keep_two).startswith("right: your day costs $12")


def test_references_are_those_of_hand_worked_cases():
    assert environment.change_fleet(97, 2, 1, 2, 100) == (99, 1)
    assert environment.change_fleet(97, 2, 2, 2, 100) == (99, 0)
    assert environment.change_fleet(2, 1, -1, 2, 100) == (2, 0)
    assert environment.queue_of_day([120, 150, 50], [100, 100, 100], 30) == ([20, 30, 0], [0, 40, 0])
