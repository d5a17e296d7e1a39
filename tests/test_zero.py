"""Rules that go to zero and come back."""

import kubernetes_validate
import numpy as np
import yaml
from cases import cases

from autoscaler_env.advice.delivered import hpa_from_manifest
from autoscaler_env.advice.deploy import hpa_manifest
from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.policies.aws import AwsStepScaling, AwsTargetTracking
from autoscaler_env.policies.behaviour import Behaviour
from autoscaler_env.policies.knative import Kpa
from autoscaler_env.policies.kubernetes import HpaCpu, HpaDemand
from autoscaler_env.service import Service

NIGHT = Service(
    step_seconds=60,
    steps_per_episode=240,
    min_instances=0,
    initial_instances=4,
    capacity_per_instance=20,
    fleet_changes=tuple(range(-99, 100)),
    peak_arrivals=400,
)
"""It may sleep: an hour of traffic, two hours of none, another of traffic."""

DAY = np.repeat([60, 0, 0, 60], 60)[np.newaxis]


def fleet(rule):
    return simulate(rule, DAY, NIGHT).fleet[0]


def test_hpa_on_demand_sleeps_after_its_window_and_wakes_with_the_first_requests():
    # 60 requests are 3.75 pods at 80 %. The first sync without demand is at 61 min 30 s, 30 s after the fact; the
    # proposals of four pods leave the window of 300 s by 66 min.
    pods = fleet(HpaDemand(NIGHT, behaviour=Behaviour()))
    assert pods[60:66].min() == 4 and pods[66:180].max() == 0
    # minute 180 has requests, the order comes at its end: 60 wait, then 120 are there in a minute
    assert pods[181] >= 4 and pods[-1] in (4, 5)


def test_kpa_sleeps_after_its_stable_window_and_the_grace_period():
    pods = fleet(Kpa(NIGHT, stable_steps=1))
    asleep = np.flatnonzero(pods == 0)
    assert asleep[0] > 61 and asleep[-1] == 180 and (pods[asleep[0] : 180] == 0).all(), asleep
    assert pods[asleep[0] - 2 : asleep[0]].tolist() == [1, 1], "a minute for the grace period of 30 s"
    longer = fleet(Kpa(NIGHT, stable_steps=1, grace_seconds=600))
    assert np.flatnonzero(longer == 0)[0] - asleep[0] == 9


@cases("rule", [HpaCpu(NIGHT, behaviour=Behaviour()), AwsTargetTracking(NIGHT), AwsStepScaling(NIGHT)])
def test_rules_on_utilisation_keep_one(rule):
    assert fleet(rule).min() == 1


def test_without_traffic_nothing_wakes():
    asleep = Service(**NIGHT.as_dict() | {"initial_instances": 0, "fleet_changes": NIGHT.fleet_changes})
    for rule in (HpaDemand(asleep, behaviour=Behaviour()), HpaDemand(asleep), Kpa(asleep)):
        assert simulate(rule, 0 * DAY, asleep).fleet.max() == 0
    assert simulate(Kpa(asleep), 0 * DAY, asleep).cost.sum() == 0


@cases(("maker", "least"), [(HpaCpu, 1), (HpaDemand, 0)])
def test_a_manifest_goes_to_zero_only_on_demand(maker, least):
    manifest = yaml.safe_load(hpa_manifest("shop", maker.name, 0.7, NIGHT, Behaviour()))
    assert kubernetes_validate.validate(manifest, "1.37", strict=True) == "1.37"
    assert manifest["spec"]["minReplicas"] == least
    simulated, read = maker(NIGHT, 0.7, behaviour=Behaviour()), hpa_from_manifest(manifest, NIGHT)
    assert np.array_equal(fleet(simulated), fleet(read))
