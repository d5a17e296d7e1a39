"""HPA with its own clocks: worked examples of Kubernetes' algorithm, by hand and by an independent script."""

import math
from fractions import Fraction
from itertools import pairwise, product

import numpy as np
import pytest
from cases import cases
from test_kubernetes import observe

from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.policies.base import Counts, decode
from autoscaler_env.policies.behaviour import Behaviour
from autoscaler_env.policies.kubernetes import HpaCpu, HpaDemand, propose_by_pods, propose_by_total
from autoscaler_env.service import Service

NOW = {"metric_delay_seconds": 0}
ANY = tuple(range(-100, 101))


def service(step_seconds):
    """Return a service that reaches any fleet in one step."""
    return Service(step_seconds=step_seconds, fleet_changes=ANY, min_instances=1)


def policy(kind, value, period):
    return {"type": kind, "value": value, "periodSeconds": period}


def follow(proposals, start, behaviour, step_seconds=15, maker=HpaDemand):
    """Return the pods after each step, whose demand makes HPA at 70 % propose so many; all pods are ready at once."""
    scaled = service(step_seconds)
    rule, pods, fleets = maker(scaled, target=0.7, behaviour=Behaviour.from_tables(NOW | behaviour)), start, []
    rule.reset(np.zeros((1, len(proposals)), dtype=np.int64))
    for proposal in proposals:
        seen = observe(ready=pods, arrivals=int(60.9 * proposal), service=scaled)
        pods += scaled.fleet_changes[rule.predict(seen)[0]]
        fleets.append(pods)
    return fleets


def once(start, proposal, behaviour=None):
    return follow([proposal], start, behaviour or {})[0]


# --- rate limits -----------------------------------------------------------------------------------------------------


def test_by_default_the_pods_double_in_a_sync_or_four_are_added():
    assert [once(start, 50) for start in (1, 3, 10)] == [5, 7, 20]
    assert follow([100] * 5, 10, {}) == [20, 40, 80, 100, 100]


def test_a_policy_limits_what_changes_within_its_period():
    up = {"scaleUp": {"policies": [policy("Pods", 4, 60)]}}
    assert follow([40] * 13, 10, up) == [14] * 4 + [18] * 4 + [22] * 4 + [26]


def test_select_takes_the_largest_or_the_smallest_change_or_none():
    down = {"stabilizationWindowSeconds": 0, "policies": [policy("Pods", 4, 60), policy("Percent", 10, 60)]}
    fleets = follow([10] * 12, 80, {"scaleDown": down, "sync_seconds": 60}, 60)
    assert fleets == [72, 64, 57, 51, 45, 40, 36, 32, 28, 24, 20, 16]
    down["policies"] = [policy("Percent", 10, 60), policy("Pods", 5, 60)]
    fleets = follow([10] * 4, 80, {"scaleDown": down | {"selectPolicy": "Min"}, "sync_seconds": 60}, 60)
    assert fleets == [75, 70, 65, 60]
    assert once(80, 10, {"scaleDown": {"selectPolicy": "Disabled", "stabilizationWindowSeconds": 0}}) == 80
    assert once(10, 50, {"scaleUp": {"selectPolicy": "Disabled"}}) == 10


def test_the_syncs_of_a_step_act_one_after_another():
    # four in a minute: 10, 20, 40, 80, 100; the first step of a day has the first sync alone
    assert follow([10, 100, 100], 10, NOW, step_seconds=60) == [10, 100, 100]
    # a metric 30 s old shows the new demand to the last two of them, one that is 60 s old to none
    assert follow([10, 100, 100], 10, {"metric_delay_seconds": 30}, 60) == [10, 40, 100]
    assert follow([10, 100, 100], 10, {"metric_delay_seconds": 60}, 60) == [10, 10, 100]


# --- windows and tolerances ------------------------------------------------------------------------------------------


def test_shrinking_waits_for_proposals_younger_than_the_window():
    # a sync every minute; the one 300 s ago has left the window of 300 s
    assert follow([20, 12, 15, 9, 9, 9, 9, 9], 20, {"sync_seconds": 60}, 60) == [20, 20, 20, 20, 20, 15, 15, 9]


def test_growing_waits_for_the_smallest_proposal_of_its_window():
    # the last sync wants 30 and may double
    assert follow([10, 30, 14, 30, 30, 30, 30], 10, {"scaleUp": {"stabilizationWindowSeconds": 60}}) == [
        *(10, 10, 10, 10, 14, 14, 28)
    ]


def test_without_a_downscale_window_the_pods_go_at_once_even_from_the_first_sync():
    assert once(25, 10, {"scaleDown": {"stabilizationWindowSeconds": 0}}) == 10 and once(25, 10) == 25


def test_each_direction_has_its_tolerance():
    both = {"scaleUp": {"tolerance": "0.05"}, "scaleDown": {"tolerance": "200m", "stabilizationWindowSeconds": 0}}
    assert [once(50, wanted, both) for wanted in (40, 39, 53, 54)] == [50, 39, 53, 54]


# --- pods ------------------------------------------------------------------------------------------------------------


@cases(
    ("ratio", "ready", "unready", "missing", "proposal"),
    [
        (0.5, 6, 0, 2, 6),  # at 40 % of 80 with two at 100 %: 55 %, 0.6875 x 8
        (0.5, 6, 3, 2, 6),  # unready pods do not count on the way down
        (0.9, 4, 0, 4, 8),  # 72 % with four at 100 %: 86 %, the other direction
        (1.25, 4, 0, 4, 8),  # 100 % with four at 0 %: 50 %, the other direction
        (1.25, 10, 1, 0, 13),  # 90.9 % is cut to 90: 1.125 x 11 = 12.4
        (1.25, 9, 2, 0, 11),  # 81.8 %, cut to 81, is within the tolerance
    ],
)
def test_pods_without_a_metric_count_against_the_change(ratio, ready, unready, missing, proposal):
    numbers = (np.array([number]) for number in (ready, unready))
    assert propose_by_pods(np.array([ratio]), *numbers, missing=np.array([missing]), whole=80.0).tolist() == [proposal]


def test_new_pods_count_as_idle_until_they_have_a_metric():
    scaled = service(60)
    rule = HpaCpu(scaled, target=0.5, behaviour=Behaviour(metric_delay_seconds=60))
    rule.reset(np.zeros((1, 4), dtype=np.int64))
    full = observe(ready=10, arrivals=870, service=scaled)
    fleets = [10 + ANY[rule.predict(full)[0]]]
    # ten boot: 100 % of ten are 50 % of twenty
    fleets.append(20 + ANY[rule.predict(observe(ready=10, booting=10, arrivals=870, service=scaled))[0]])
    # they are ready and take half: the metric is still that of the ten, and the others have none
    for _ in range(2):
        fleets.append(20 + ANY[rule.predict(observe(ready=20, arrivals=870, service=scaled))[0]])
    assert fleets == [20] * 4, "not 40"


def fleet_after_boots(utilisation, boot_seconds, **clocks):
    """Return the pods that HPA at 50 % wants when ten new pods are ready, and the metric is of ten others alone."""
    scaled = Service(step_seconds=60, boot_seconds=boot_seconds, fleet_changes=ANY, min_instances=1)
    clocks |= {"scaleDown": {"stabilizationWindowSeconds": 0}, "metric_delay_seconds": 60, "sync_seconds": 60}
    rule = HpaCpu(scaled, target=0.5, behaviour=Behaviour.from_tables(clocks))
    rule.reset(np.zeros((1, 4), dtype=np.int64))
    booting = 10 if boot_seconds >= 60 else 0
    before = observe(ready=10, booting=booting, arrivals=round(870 * utilisation), service=scaled)
    rule.predict(before)
    rule.predict(before)
    return 20 + ANY[rule.predict(observe(ready=20, arrivals=870, service=scaled))[0]]


def test_samples_of_a_boot_are_set_aside_until_the_cpu_initialisation_period_is_over():
    # 48 % of ten are within the tolerance of 50 %: the others, which started 120 s ago, are set aside
    assert fleet_after_boots(0.48, 120) == 20
    # where the period ends earlier they count as unused: 48 % of ten are 24 % of twenty, and ceil(0.48 x 20) = 10
    assert fleet_after_boots(0.48, 120, cpu_initialisation_seconds=120) == 10
    # boots as long as the default of 300 s: the same
    assert fleet_after_boots(0.48, 300) == 10 and fleet_after_boots(0.48, 300, cpu_initialisation_seconds=301) == 20
    # 30 % of ten ask for six pods; only pods without any sample, which count as 100 %, speak against it
    assert fleet_after_boots(0.3, 120) == 6 and fleet_after_boots(0.3, 30) == 20


def test_pods_that_boot_longer_count_only_without_an_initial_readiness_delay():
    scaled = Service(step_seconds=60, boot_steps=10, fleet_changes=ANY, min_instances=1)
    wanted = []
    for delay in (30, 1, 0):
        tables = {"metric_delay_seconds": 0, "initial_readiness_seconds": delay, "sync_seconds": 60}
        tables["scaleDown"] = {"stabilizationWindowSeconds": 0}
        rule = HpaCpu(scaled, target=0.5, behaviour=Behaviour.from_tables(tables))
        rule.reset(np.zeros((1, 9), dtype=np.int64))
        rule.predict(observe(ready=10, arrivals=435, service=scaled))  # 50 %: it holds
        fleets = [
            20 + ANY[rule.predict(observe(ready=10, booting=10, arrivals=418, service=scaled))[0]] for _ in range(6)
        ]
        wanted.append(fleets)
    # 48 % of ten: within the tolerance. With the ten that boot, from 300 s on: 24 %, and ceil(0.48 x 20) = 10
    assert wanted == [[20] * 6, [20] * 6, [20] * 5 + [10]]


def test_from_zero_only_demand_brings_pods_back():
    totals, none = np.array([0, 1, 100]), np.zeros(3, dtype=int)
    assert propose_by_total(totals, 60.9, none).tolist() == [0, 1, 2]
    # 0.1 of a pod's share is 90 % below the target: no tolerance keeps the last pod of an idle service
    assert propose_by_total(np.array([0, 6]), 60.9, np.array([1, 1])).tolist() == [0, 1]


# --- both forms of one controller ------------------------------------------------------------------------------------


@cases("maker", [HpaCpu, HpaDemand])
def test_with_one_free_sync_a_step_it_decides_as_once_a_step(maker):
    # a window of two syncs is "age <= one step"; no policy binds; percentages of pods that boot are not cut there
    free = service(300)
    days = np.random.default_rng(0).integers(0, 8000, (20, 288))
    policies = [policy("Pods", 1000, 300)]
    clocks = {"sync_seconds": 300, "metric_delay_seconds": 0, "scaleUp": {"policies": policies}}
    clocks["scaleDown"] = {"policies": policies, "stabilizationWindowSeconds": 600}
    acting = simulate(maker(free, behaviour=Behaviour.from_tables(clocks)), days, free)
    stepwise = simulate(maker(free, downscale_window=300), days, free)
    same = acting.fleet == stepwise.fleet
    assert same.all() if maker is HpaDemand else same.mean() > 0.9


def test_settings_side_by_side_act_as_each_alone():
    days = np.random.default_rng(1).integers(0, 4000, (1, 288))
    settings = {
        "target": np.array([0.5, 0.9]),
        "tolerance": np.array([0.0, 0.2]),
        "downscale_window": np.array([0, 900]),
    }
    together = simulate(HpaCpu(behaviour=Behaviour(), **settings), np.repeat(days, 2, axis=0)).actions
    for row, actions in enumerate(together):
        alone = HpaCpu(behaviour=Behaviour(), **{name: values[row] for name, values in settings.items()})
        assert np.array_equal(simulate(alone, days).actions[0], actions)


# --- against the algorithm, pod by pod -------------------------------------------------------------------------------


class Controller:
    """Kubernetes' controller for one HPA, pod by pod and event by event, as its source reads."""

    def __init__(self, rule, scaled, cpu):
        self.rule, self.service, self.cpu = rule, scaled, cpu
        self.recommendations, self.events = [], []

    def replicas(self, seen, ready, unused, unready, missing, current):
        """Return the proposal from the metric of a step that was seen, for pods of four kinds."""
        up, down = self.rule.behaviour.up.tolerance, self.rule.behaviour.down.tolerance
        capacity, step = self.service.capacity_per_instance, self.service.step_seconds
        if not self.cpu:
            target = Fraction(round(1000 * capacity * self.rule.target / step), 1000) * step
            ratio = float((seen.arrivals + seen.queue) / (target * current))
            return current if 1 - down <= ratio <= 1 + up else math.ceil((seen.arrivals + seen.queue) / target)
        target = round(100 * self.rule.target)
        each = Fraction(round(seen.utilisation * capacity * seen.ready), max(seen.ready, 1))

        def ratio_of(usages):
            return math.floor(100 * sum(usages) / (capacity * len(usages))) / target

        usages = [each] * ready + [0] * unused
        ratio = ratio_of(usages)
        if not missing and not (unready and ratio > 1):
            return current if 1 - down <= ratio <= 1 + up else math.ceil(round(ratio * len(usages), 9))
        if ratio != 1:
            usages += [Fraction(capacity * max(100, target), 100) if ratio < 1 else 0] * missing
        usages += [0] * (unready if ratio > 1 else 0)
        again = ratio_of(usages)
        if 1 - down <= again <= 1 + up or (ratio < 1 < again) or (ratio > 1 > again):
            return current
        replicas = math.ceil(round(again * len(usages), 9))
        return current if (again < 1 and replicas > current) or (again > 1 and replicas < current) else replicas

    def limit(self, now, current, rules, growing):
        if rules.select == "Disabled":
            return current
        results = []
        for policy in rules.policies:
            start = current - sum(change for time, change in self.events if time > now - policy.period_seconds)
            share = policy.value / 100
            if policy.type == "Pods":
                results.append(start + policy.value if growing else start - policy.value)
            else:
                results.append(math.ceil(start * (1 + share)) if growing else int(start * (1 - share)))
        return (max if growing == (rules.select == "Max") else min)(results)

    def sync(self, now, proposal, current):
        """Return the pods after a sync at a time in seconds."""
        behaviour = self.rule.behaviour
        self.recommendations = self.recommendations or [(now - 1e-6, current)]
        recent = {
            window: [pods for time, pods in self.recommendations if time > now - window]
            for window in (behaviour.up.window_seconds, behaviour.down.window_seconds)
        }
        low = min([proposal, *recent[behaviour.up.window_seconds]])
        high = max([proposal, *recent[behaviour.down.window_seconds]])
        self.recommendations.append((now, proposal))
        wanted = min(max(current, low), high)
        if wanted > current:
            wanted = min(wanted, max(self.limit(now, current, behaviour.up, True), current))
        elif wanted < current:
            wanted = max(wanted, min(self.limit(now, current, behaviour.down, False), current))
        wanted = min(max(wanted, self.service.min_instances), self.service.max_instances)
        if wanted != current:
            self.events.append((now, wanted - current))
        return wanted

    def step(self, number, history):
        """Return the pods after the syncs of the step that ended last; the history has all steps so far."""
        seconds, delay = self.service.step_seconds, self.rule.behaviour.metric_delay_seconds
        counts, period = history[-1], self.rule.behaviour.sync_seconds
        pods, now = counts.ready + counts.booting, number * seconds
        times = range(now - seconds + period - (now - seconds) % period, now + 1, period) if number else [0]
        for time in times:
            lag = min((now - time + delay) // seconds, len(history) - 1)
            before, after = history[-1 - lag], history[len(history) - 1 - lag :]
            removed = max(counts.ready + counts.booting - pods, 0)
            ready = max(counts.ready - removed, 0)
            ages = []  # seconds since the start of each pod that became ready after the metric, the oldest first
            for ago, (a, b) in zip(range(lag - 1, -1, -1), pairwise(after), strict=True):
                ages += [self.service.boot_delay + ago * seconds] * max(b.ready - a.ready, 0)
            ages = ages[: max(len(ages) - removed, 0)][:ready]  # the youngest go first
            sampled = ages[: before.booting]
            aside = sum(age < self.rule.behaviour.cpu_initialisation_seconds for age in sampled)
            unused, missing = len(sampled) - aside, len(ages) - len(sampled)
            proposal, measured = pods, ready - len(ages)
            if not self.cpu or (measured and before.ready) or (not measured and unused):
                proposal = self.replicas(before, measured, unused, pods - ready + aside, missing, pods)
            pods = self.sync(time, proposal, pods)
        return pods


SPECS = (
    {},
    {"scaleUp": {"stabilizationWindowSeconds": 90, "tolerance": "0"}, "metric_delay_seconds": 75},
    {
        "scaleUp": {"selectPolicy": "Min", "policies": [policy("Pods", 6, 45), policy("Percent", 30, 120)]},
        "scaleDown": {"policies": [policy("Percent", 10, 60), policy("Pods", 2, 90)], "tolerance": "0.2"},
        "sync_seconds": 20,
    },
    {"metric_delay_seconds": 100, "cpu_initialisation_seconds": 150},
)


@cases("maker", [HpaCpu, HpaDemand])
def test_it_decides_as_the_source_reads_pod_by_pod(maker):
    rng, decided = np.random.default_rng(0), 0
    for step_seconds, tables in product((60, 150), SPECS):
        scaled = Service(step_seconds=step_seconds, steps_per_episode=300, boot_steps=2, fleet_changes=ANY)
        levels = rng.uniform(500, 6000, (3, 30)).repeat(10, axis=1)
        days = rng.poisson(levels * rng.uniform(0.8, 1.2, (3, 300)))
        rule = maker(scaled, target=0.73, behaviour=Behaviour.from_tables(tables))
        seen, wanted = [], []

        class Watched:
            name = "watched"
            reset = rule.reset

            def predict(self, observations, rule=rule, seen=seen, wanted=wanted, scaled=scaled):
                actions = rule.predict(observations)
                seen.append(decode(observations, scaled))
                wanted.append(rule.wanted)
                return actions

        simulate(Watched(), days, scaled)
        for row in range(len(days)):
            controller, history = Controller(rule, scaled, maker is HpaCpu), []
            for number, counts in enumerate(seen):
                history.append(Counts(*(column[row].item() for column in counts)))
                assert controller.step(number, history) == wanted[number][row], (tables, row, number)
                decided += 1
    assert decided == 7_200 and len(np.unique(wanted)) > 20


# --- what is refused -------------------------------------------------------------------------------------------------


@cases(
    ("tables", "message"),
    [
        ({"sync": 15}, r"sync = 15: no such setting of HPA, did you mean sync_seconds\? There are scaleUp"),
        ({"scaleUp": {"window": 15}}, "scaleUp: window = 15: no such setting"),
        ({"scaleDown": {"stabilizationWindowSeconds": 10}}, "must be 0 or at least the sync period of 15 s"),
        ({"scaleDown": {"stabilizationWindowSeconds": 3601}}, "must be an integer from 0 to 3600"),
        ({"scaleUp": {"policies": [policy("Pods", 4, 0)]}}, "periodSeconds = 0: must be an integer from 1 to 1800"),
        ({"scaleUp": {"policies": [policy("Pods", 0, 15)]}}, "value = 0: must be an integer of at least 1"),
        ({"scaleUp": {"policies": [policy("Cores", 1, 15)]}}, "type = 'Cores': must be one of Pods, Percent"),
        ({"scaleUp": {"policies": [{"type": "Pods"}]}}, "must have type, value, periodSeconds"),
        ({"scaleUp": {"policies": []}}, "at least one is needed, or selectPolicy = Disabled"),
        ({"scaleUp": {"selectPolicy": "Mean"}}, "selectPolicy = 'Mean': must be one of Max, Min, Disabled"),
        ({"scaleUp": {"tolerance": "1"}}, "tolerance = 1.0: must be from 0 to below 1"),
        ({"sync_seconds": 0}, "sync_seconds = 0: must be an integer of at least 1"),
        ({"cpu_initialisation_seconds": -1}, "cpu_initialisation_seconds = -1: must be an integer of at least 0"),
        ({"initial_readiness_seconds": 0.5}, "initial_readiness_seconds = 0.5: must be an integer of at least 0"),
    ],
)
def test_a_bad_behaviour_costs_one_clear_line(tables, message):
    with pytest.raises(ValueError, match=message) as caught:
        Behaviour.from_tables(tables)
    assert "\n" not in str(caught.value)


def test_what_a_manifest_says_is_read_back():
    behaviour = Behaviour.from_tables({"scaleUp": {"policies": [policy("Pods", 2, 60)], "tolerance": "0.05"}})
    assert Behaviour.from_tables(behaviour.tables()) == behaviour
