"""The exercises of notebook 11: which workloads and policies count, and how open claims are measured."""

from types import SimpleNamespace

import numpy as np
import pytest
from grader import graded

from autoscaler_env.evaluation.metrics import evaluate
from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.grading.exercises import own
from autoscaler_env.grading.judging import forget_misses
from autoscaler_env.policies.base import decode, step_toward
from autoscaler_env.policies.rules import Static, TargetTracking
from autoscaler_env.service import Service
from autoscaler_env.traffic.patterns import Pattern, day_seeds


def sale(**changed):
    """Return the reference workload with other parts."""
    return type("Changed", (own.Sale,), changed)


def shared_generator(self, seeds):
    rng = np.random.default_rng(int(seeds[0]))
    return np.stack([self._day(rng) for _ in seeds])


def long_sale(self, rng):
    day = own.Sale._day(self, rng)
    day[:24] = rng.poisson(3_000, 24)
    return day


def always_at_noon(self, rng):
    mean = np.full(288, 1_000)
    mean[144:168] = 3_000
    return rng.poisson(mean)


def without_noise(self, rng):
    return np.where(own.Sale._day(self, rng) > 2_000, 3_000, 1_000)


def twenty_of_the_same(self, episodes):
    return self.draw(day_seeds("training", episodes))


WRONG_WORKLOADS = [
    sale(draw=shared_generator),
    sale(_day=long_sale),
    sale(_day=always_at_noon),
    sale(_day=without_noise),
    sale(_day=lambda self, rng: own.Sale._day(self, rng) * 2),
    sale(_day=lambda self, rng: own.Sale._day(self, rng)[:100]),
    sale(_day=lambda self, rng: own.Sale._day(self, rng) / 7),
    sale(_day=lambda self, rng: own.Sale._day(self, rng).astype(float)),
    sale(name=None),
    sale(name="office-day"),
    sale(evaluation_days=twenty_of_the_same),
    sale(draw=None),
    lambda service: object(),
    lambda: own.Sale(Service()),
]


def trend(expected):
    """Return a policy that differs from the reference in the demand that it expects."""

    class Changed(own.Trend):
        def predict(self, observations):
            counts = decode(observations, self.service)
            wanted = np.ceil(expected(counts, self.service) / self.service.capacity_per_instance) + 1
            return step_toward(wanted, counts.ready + counts.booting, self.service)

    return Changed


WRONG_POLICIES = [
    trend(lambda counts, service: counts.arrivals + counts.queue),
    trend(lambda counts, service: counts.arrivals + counts.queue + counts.change),
    trend(lambda counts, service: counts.arrivals + service.boot_steps * counts.change),
    trend(lambda counts, service: counts.arrivals + counts.queue + service.boot_steps * np.maximum(counts.change, 0)),
    lambda service: SimpleNamespace(predict=lambda observations: [1] * len(observations)),
    lambda service: SimpleNamespace(reset=print, predict=lambda observations: "hold"),
    lambda service: 1 / 0,
]


@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [(own.check_workload, own.Sale, WRONG_WORKLOADS), (own.check_policy, own.Trend, WRONG_POLICIES)],
    ids=["workload", "policy"],
)
def test_an_exercise_accepts_the_right_class_and_no_plausible_wrong_one(check, right, wrong):
    for judge in (check, lambda answer: graded(check, answer)):
        assert judge(right) == "right"
        assert [judge(answer)[:7] for answer in wrong] == ["not yet"] * len(wrong)
        assert judge(5) == judge("Sale") == "a class, please: its name, without brackets"


def test_a_policy_gets_two_hints_and_neither_is_the_program():
    forget_misses()
    first, second = (own.check_policy(answer) for answer in WRONG_POLICIES[:2])
    assert first != second and first == own.check_policy(WRONG_POLICIES[0])


def test_the_reference_workload_has_one_sale_of_two_hours():
    days = own.Sale(Service()).draw(day_seeds("evaluation", 50))
    assert days.shape == (50, 288) and ((days > 2_000).sum(axis=1) == 24).all()
    assert days.mean() == pytest.approx((264 * 1_000 + 24 * 3_000) / 288, rel=0.005)


def test_the_reference_policy_orders_for_the_time_when_the_instances_are_ready():
    service = Service(boot_steps=3, fleet_changes=(-5, -1, 0, 1, 5))
    policy, day = own.Trend(service), np.array([[870, 957] + [957] * 286])  # 10 and 11 instances' worth
    seen = []
    listener = own._Listener(service)
    simulate(listener, day, service)
    for observations, _ in listener.seen[:2]:
        seen.append(policy.predict(observations).tolist())
    # 25 instances: wanted are 10 + 1; then (957 + 3 x 87) / 87 + 1 = 15.
    assert seen == [[0], [0]]


def test_a_policy_must_beat_ppo_on_hidden_days_and_never_gets_their_arrivals():
    looked_at = []

    class Peeks(Static):
        def reset(self, days):
            looked_at.append(days.sum())

    assert own.check_cheaper_than_ppo(Peeks).startswith("not yet: yours costs $")
    assert len(looked_at) == 6 and not any(looked_at)
    assert own.check_cheaper_than_ppo(3) == "a class, please: its name, without brackets"


def with_learner(learner):
    return type("Learned", (own.Sale,), {"learner": learner})


def ahead(**changes):
    return type("Ahead", (own.Trend,), {"changes": changes})


def test_learning_must_pay_a_tenth_against_calibrated_rules():
    told = own.check_learning_pays(with_learner(TargetTracking(Service(), 1.2, 10.0)))
    assert told.startswith("not yet: yours costs $") and "calibrated on your workload" in told
    assert own.check_learning_pays(5) == "a class, please: its name, without brackets"
    assert own.check_learning_pays(own.Sale) == "not yet: your class needs the attribute learner"
    assert own.check_learning_pays(with_learner(None)).startswith("not yet: a method reset is missing")


def test_a_rule_that_looks_ahead_wins_where_instances_boot_for_an_hour_and_not_on_the_reference_service():
    assert own.check_rule_wins(ahead(boot_steps=12)).startswith("right: yours costs $")
    assert own.check_rule_wins(ahead()).startswith("not yet: yours costs $")
    for answer, told in (
        (5, "a class, please: its name, without brackets"),
        (own.Trend, "not yet: your class needs the attribute changes"),
        (type("Ahead", (own.Trend,), {"changes": 12}), "not yet: changes must be a dictionary of fields of Service"),
        (ahead(boots=2), "not yet: boots = 2: no such field"),
        (ahead(boot_steps=0), "not yet: boot_steps = 0: must be"),
        (ahead(steps_per_episode=289), "not yet: steps_per_episode = 289: must be at most 288 here"),
    ):
        assert own.check_rule_wins(answer).startswith(told)


def test_claims_are_measured_in_the_grader_as_in_the_notebook():
    for check, answer in (
        (own.check_rule_wins, ahead(boot_steps=12)),
        (own.check_learning_pays, with_learner(Static())),
        (own.check_cheaper_than_ppo, Static),
    ):
        assert graded(check, answer) == check(answer)


def test_what_a_claim_reports_is_what_an_evaluation_of_the_same_days_finds():
    service = Service(boot_steps=12)
    workload = Pattern("SINE_CURVE", service)
    days = SimpleNamespace(
        name="hidden",
        draw=workload.draw,
        evaluation_days=lambda episodes: workload.draw(day_seeds("evaluation", episodes, first=own.HIDDEN)),
    )
    cost = evaluate([own.Trend(service)], days, own.EVALUATION_DAYS, service)["cost"].mean()
    assert f"yours costs ${cost:.2f} a day" in own.check_rule_wins(ahead(boot_steps=12))


@pytest.mark.parametrize(
    ("actions", "says"),
    [
        (lambda n: np.full(n, 26), "an action is an index of service.fleet_changes, from 0 to 2; yours returned 26"),
        (lambda n: np.full(n, 7), "from 0 to 2; yours returned 7"),
        (lambda n: [1], "predict got 8 rows, one for each service, and must return as many actions"),
    ],
    ids=["a fleet size", "no action", "one action"],
)
def test_what_is_no_action_is_told_apart_from_a_wrong_action(actions, says):
    policy = type("Mine", (own.Trend,), {"predict": lambda self, observations: actions(len(observations))})
    assert says in own.check_policy(policy)
