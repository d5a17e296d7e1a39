"""Recognise, then act: the classifier sees what a policy sees, and the rule of the likeliest pattern acts."""

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from autoscaler_env.evaluation.metrics import evaluate_patterns, mean_over_patterns
from autoscaler_env.evaluation.rivals import cheapest_rules, read_calibrated_rules
from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.paths import Folders
from autoscaler_env.policies import recognise
from autoscaler_env.policies.inputs import Inputs
from autoscaler_env.policies.recognise import Recognise, Recogniser, labelled_days, train_recogniser
from autoscaler_env.policies.registry import find_policy
from autoscaler_env.policies.rules import FixedFleet, Static
from autoscaler_env.service import Service
from autoscaler_env.threads import one_blas_thread
from autoscaler_env.traffic.patterns import PATTERNS, Pattern, day_seeds, random_training_seeds

SERVICE = Service()


class Watcher(Static):
    """Hold always, and remember the inputs of deep learners."""

    def reset(self, days):
        self.inputs, self.seen = Inputs(self.service, levels=True), []

    def predict(self, observations):
        self.seen.append(self.inputs(observations))
        return super().predict(observations)


def always(pattern):
    """Return a recogniser that takes every day for one of the patterns."""
    biases = np.where(np.array(PATTERNS) == pattern, 5, 0).astype(np.float32)
    return Recogniser((np.zeros((40, 6), dtype=np.float32),), (biases,))


def fixed(service=SERVICE):
    return {pattern: FixedFleet(service, 20 + i) for i, pattern in enumerate(PATTERNS)}


def test_the_classifier_is_trained_on_what_a_policy_remembers_of_arrivals():
    inputs, labels = labelled_days(SERVICE, 12, seed=3)
    rng, watcher = np.random.default_rng(3), Watcher(SERVICE)
    days = np.concatenate([Pattern(name, SERVICE).draw(random_training_seeds(rng, 2)) for name in PATTERNS])
    simulate(watcher, days, SERVICE)
    assert np.array_equal(np.concatenate(watcher.seen)[:, 5:], inputs[:, 5:])
    assert labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5] * SERVICE.steps_per_episode


def test_the_rule_of_the_likeliest_pattern_acts():
    days = Pattern("SPIKE", SERVICE).draw(day_seeds("training", 3))
    for i, pattern in enumerate(PATTERNS):
        played = simulate(Recognise(SERVICE, always(pattern), fixed()), days, SERVICE)
        assert np.array_equal(played.fleet, simulate(FixedFleet(SERVICE, 20 + i), days, SERVICE).fleet), pattern


def test_chances_are_those_of_the_network_by_hand():
    # two inputs of arrivals matter: hidden = relu((x, -x)), outputs (hidden_0, hidden_1, 0, 0, 0, 0)
    first, second = np.zeros((40, 2), dtype=np.float32), np.eye(2, 6, dtype=np.float32)
    first[0] = (1, -1)
    recogniser = Recogniser((first, second), (np.zeros(2, dtype=np.float32), np.zeros(6, dtype=np.float32)))
    inputs = np.zeros((2, 45), dtype=np.float32)
    inputs[:, 5] = np.log(3), -np.log(5)
    assert recogniser.chances(inputs) == pytest.approx(np.array([[3, 1, 1, 1, 1, 1], [1, 5, 1, 1, 1, 1]]) / [[8], [10]])


def test_products_of_matrices_use_one_thread_and_leave_the_others_as_they_were():
    def threads():
        return {library["num_threads"] for library in threadpool_info() if "numpy" in library["filepath"]}

    with threadpool_limits(2, "blas"):
        before = threads()
        assert before <= {2} and one_blas_thread(threads)() <= {1} and threads() == before
    assert hasattr(Recogniser.chances_of, "__wrapped__")


def test_equal_seeds_give_equal_weights_and_leave_other_draws_alone():
    import torch

    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    train = recognise.train_recogniser.__wrapped__
    one, same, other = train(SERVICE, 0, 12), train(SERVICE, 0, 12), train(SERVICE, 1, 12)
    assert all(np.array_equal(a, b) for a, b in zip(one.weights, same.weights, strict=True))
    assert not np.array_equal(one.weights[0], other.weights[0])
    assert torch.equal(before, torch.random.get_rng_state())


def test_too_few_days_are_refused():
    with pytest.raises(ValueError, match="days = 5: must be at least 6"):
        train_recogniser(SERVICE, 0, 5)


def test_the_cheapest_rule_of_a_pattern_is_chosen_on_calibration_days():
    rules, all_rules = cheapest_rules(Folders()), read_calibrated_rules(Folders())
    for pattern, rule in rules.items():
        assert rule.cost == min(each[pattern].cost for each in all_rules.values())
    assert list(rules) == list(PATTERNS)


@pytest.mark.slow
def test_it_is_cheaper_than_one_setting_for_all_patterns_and_nearly_as_cheap_as_rules_that_are_told():
    rules = cheapest_rules(Folders())
    policies = lambda pattern: [  # noqa: E731
        find_policy("recognise"),
        find_policy("target-tracking-mixed"),
        rules[pattern].policy(name="told"),
    ]
    means = mean_over_patterns(evaluate_patterns(policies, PATTERNS, 500)).groupby("policy")["cost"].mean()
    assert means["recognise"] < means["target-tracking-mixed"] - 4
    assert means["told"] < means["recognise"] < means["told"] + 1
