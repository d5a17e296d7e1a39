"""What is delivered fits the vendors' published schemas, and read back it is the rule that was simulated."""

import json
import shutil
import subprocess

import botocore.session
import kubernetes_validate
import pytest
import yaml
from advice_cases import WIDE, answer_for, wavy
from botocore.validate import ParamValidator
from cases import cases
from needs import is_missing

from autoscaler_env.advice.delivered import (
    aws_from_policy,
    aws_step_scaling,
    aws_target_tracking,
    forecast_from_promql,
    forecast_promql,
    hpa_from_manifest,
    kpa_annotations,
    kpa_from_annotations,
)
from autoscaler_env.advice.deploy import deployment_files, how_to, hpa_manifest
from autoscaler_env.evaluation.rivals import VENDOR_GRIDS
from autoscaler_env.evaluation.simulation import simulate_through
from autoscaler_env.policies.aws import Alarms, AwsStepScaling, AwsTargetTracking
from autoscaler_env.policies.behaviour import Behaviour
from autoscaler_env.policies.forecast import Forecast
from autoscaler_env.policies.knative import Kpa
from autoscaler_env.policies.kubernetes import HpaCpu, HpaDemand
from autoscaler_env.service import Service
from autoscaler_env.traffic.trace import Trace

KUBERNETES = "1.37"
"""The newest version whose schemas the package kubernetes-validate brings."""

QUARTERS = Service(**WIDE | {"step_seconds": 900, "steps_per_episode": 96, "fleet_changes": tuple(range(-38, 39))})
DAYS = wavy(2, 96)

STRICT = {
    "scaleUp": {
        "stabilizationWindowSeconds": 30,
        "tolerance": "0.05",
        "selectPolicy": "Min",
        "policies": [
            {"type": "Pods", "value": 1, "periodSeconds": 600},
            {"type": "Percent", "value": 50, "periodSeconds": 60},
        ],
    },
    "scaleDown": {"selectPolicy": "Max", "policies": [{"type": "Pods", "value": 1, "periodSeconds": 1200}]},
}


def cost(rule, service=QUARTERS, days=DAYS):
    """Return what a rule costs on days in a row, exactly."""
    return simulate_through(rule, days, service).cost.sum()


def check_aws(service, operation, parameters):
    """Check the input of a call against botocore's model of the service: types, ranges, names and enumerations."""
    shape = botocore.session.get_session().get_service_model(service).operation_model(operation).input_shape
    report = ParamValidator().validate(parameters, shape)
    assert not report.has_errors(), report.generate_report()

    def check(value, shape):
        if shape.type_name == "structure":
            for name, each in value.items():
                check(each, shape.members[name])
        elif shape.type_name == "list":
            for each in value:
                check(each, shape.member)
        elif getattr(shape, "enum", None):
            assert value in shape.enum

    check(parameters, shape)


def check_kubernetes(manifest):
    assert kubernetes_validate.validate(manifest, KUBERNETES, strict=True) == KUBERNETES


@cases("maker", [HpaCpu, HpaDemand])
def test_a_manifest_carries_the_behaviour_and_is_read_back(maker):
    behaviour = Behaviour.from_tables(STRICT)
    text = hpa_manifest("My Shop", maker.name, 0.73, QUARTERS, behaviour)
    manifest = yaml.safe_load(text)
    check_kubernetes(manifest)
    assert manifest["spec"]["behavior"]["scaleUp"] == STRICT["scaleUp"]
    rule = hpa_from_manifest(manifest, QUARTERS)
    assert rule.behaviour == behaviour and type(rule) is maker
    simulated = cost(maker(QUARTERS, 0.73, behaviour=behaviour))
    assert cost(rule) == simulated != cost(maker(QUARTERS, 0.73, behaviour=Behaviour()))
    assert max(map(len, text.splitlines())) <= 44, "no line is wider than a phone"
    with pytest.raises(ValueError, match="minReplicas, maxReplicas = 2, 40: must be those of the service, 2 and 100"):
        hpa_from_manifest(manifest, Service())


def test_a_misspelled_manifest_does_not_fit_the_schema():
    manifest = yaml.safe_load(hpa_manifest("shop", "hpa-cpu", 0.7, QUARTERS, Behaviour()))
    manifest["spec"]["behavior"]["scaleUp"]["window"] = 30
    with pytest.raises(kubernetes_validate.ValidationError):
        check_kubernetes(manifest)


def test_target_tracking_of_aws_is_read_back():
    settings = {"target": 0.615, "scale_out_cooldown": 120.0, "scale_in_cooldown": 900.0}
    policy = aws_target_tracking("shop", settings)
    check_aws("application-autoscaling", "PutScalingPolicy", policy)
    rule = aws_from_policy(json.loads(json.dumps({"PutScalingPolicy": [policy]})), QUARTERS)
    assert cost(rule) == cost(AwsTargetTracking(QUARTERS, **settings)) != cost(AwsTargetTracking(QUARTERS))


def test_step_scaling_of_aws_is_read_back():
    grid = VENDOR_GRIDS[AwsStepScaling.name]
    settings = dict(zip(grid.settings, grid.grid(QUARTERS)[40], strict=True))
    alarms = Alarms(high_periods=2, low_periods=10)
    delivered = json.loads(json.dumps(aws_step_scaling("shop", settings, alarms, (60, 600))))
    for policy in delivered["PutScalingPolicy"]:
        check_aws("application-autoscaling", "PutScalingPolicy", policy)
    for alarm in delivered["PutMetricAlarm"]:
        check_aws("cloudwatch", "PutMetricAlarm", alarm)
    cooldowns = {"scale_out_cooldown": 60, "scale_in_cooldown": 600}
    simulated = cost(AwsStepScaling(QUARTERS, **settings, **cooldowns, alarms=alarms))
    assert cost(aws_from_policy(delivered, QUARTERS)) == simulated != cost(AwsStepScaling(QUARTERS, **settings))
    with pytest.raises(ValueError, match="must be a policy of target tracking or step scaling"):
        aws_from_policy({"PutScalingPolicy": [{}]}, QUARTERS)


def test_step_scaling_with_equal_thresholds_has_one_step_and_a_policy_that_is_not_simulated_is_refused():
    settings = TODAY["aws-step-scaling"] | {"jump_above": 0.6, "drop_below": 0.4}
    delivered = aws_step_scaling("shop", settings, Alarms())
    steps = [each["StepScalingPolicyConfiguration"]["StepAdjustments"] for each in delivered["PutScalingPolicy"]]
    assert steps == [
        [{"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": 30}],
        [{"MetricIntervalUpperBound": 0.0, "ScalingAdjustment": -30}],
    ]
    assert cost(aws_from_policy(delivered, QUARTERS)) == cost(AwsStepScaling(QUARTERS, **settings))
    delivered["PutScalingPolicy"][0]["StepScalingPolicyConfiguration"]["AdjustmentType"] = "ChangeInCapacity"
    with pytest.raises(ValueError, match="AdjustmentType = 'ChangeInCapacity': must be PercentChangeInCapacity"):
        aws_from_policy(delivered, QUARTERS)
    policy = aws_target_tracking("shop", TODAY["aws-target-tracking"])
    policy["TargetTrackingScalingPolicyConfiguration"]["DisableScaleIn"] = True
    with pytest.raises(ValueError, match="DisableScaleIn = True: must be False"):
        aws_from_policy({"PutScalingPolicy": [policy]}, QUARTERS)


def test_annotations_of_knative_are_read_back():
    for target, steps in ((0.725, 3), (1.1, 1)):
        annotations = kpa_annotations({"target": target, "stable_steps": steps}, QUARTERS)
        assert annotations["autoscaling.knative.dev/window"] == f"{900 * steps}s"
        assert float(annotations["autoscaling.knative.dev/target-utilization-percentage"]) <= 100, "Knative's limit"
        panic = float(annotations["autoscaling.knative.dev/panic-window-percentage"])
        assert panic * 9 * steps == pytest.approx(900, rel=1e-4), "the last step, as simulated"
        assert cost(kpa_from_annotations(annotations, QUARTERS)) == cost(Kpa(QUARTERS, target, steps))
    with pytest.raises(ValueError, match="must be those that were delivered for this service"):
        kpa_from_annotations(annotations, Service())
    with pytest.raises(ValueError, match="stable_steps: 10800 s: Knative's stable window must be from 6 s to 3600 s"):
        kpa_annotations({"target": 0.7, "stable_steps": 12}, QUARTERS)


def test_a_forecast_is_an_expression_that_promtool_takes_and_is_read_back(tmp_path):
    trace = Trace("shop", DAYS, 900)
    expression = forecast_promql({"target": 0.95, "reserve": 1.25}, QUARTERS)
    rule = {"record": "instances_wanted", "expr": expression}
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "shop", "rules": [rule]}]}))
    if shutil.which("promtool") is None:
        is_missing("promtool is not installed")
    checked = subprocess.run(["promtool", "check", "rules", tmp_path / "rules.yml"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    read = forecast_from_promql(expression, QUARTERS, trace)
    assert cost(read, days=DAYS[1:]) == cost(Forecast(QUARTERS, trace, 0.95, 1.25), days=DAYS[1:])
    with pytest.raises(ValueError, match="must be one that was delivered for this service"):
        forecast_from_promql(expression, Service(), trace)


# --- the whole way ---------------------------------------------------------------------------------------------------


CLOCKS = {"sync_seconds": 30, "cpu_initialisation_seconds": 60}


def delivered_rule(comparison, policy, days):
    """Return the rule in the files that a comparison delivers for a policy."""
    ((name, content),) = deployment_files(comparison, policy).items()
    if name == "hpa.yaml":
        for line in ("sync period 30 s", "CPU initialization period 60 s", "initial readiness delay 30 s"):
            assert line in content.decode(), "a manifest cannot carry flags of the controller"
        return hpa_from_manifest(yaml.safe_load(content), comparison.service, **CLOCKS)
    if name == "forecast.promql":
        return forecast_from_promql(content.decode(), comparison.service, days)
    return aws_from_policy(json.loads(content), comparison.service, comparison.setup.alarms)


TODAY = {
    "aws-target-tracking": {"target": 0.5, "scale_out_cooldown": 300, "scale_in_cooldown": 300},
    "aws-step-scaling": {
        "add_above": 0.6,
        "add_percent": 10,
        "jump_above": 0.8,
        "jump_percent": 30,
        "remove_below": 0.4,
        "remove_percent": 10,
        "drop_below": 0.2,
        "drop_percent": 30,
    },
    "hpa-cpu": {"target": 0.5},
}


@cases("own", TODAY)
def test_what_advise_delivers_costs_what_its_table_says(own):
    aws = own.startswith("aws")
    tables = {"cloudwatch": {"metric_delay_seconds": 60}} if aws else {"hpa": STRICT | CLOCKS}
    comparison = answer_for(wavy(5, 48), today={"rule": own, **TODAY[own], **tables}).comparison
    assert ("target-tracking" in comparison.candidates) != aws, "beside AWS' rules ours is ideal"
    for policy in (own, "forecast") if aws else ("hpa-cpu", "hpa-demand"):
        candidate = comparison.candidates[policy]
        rule = delivered_rule(comparison, policy, comparison.days)
        costs = cost(rule, comparison.service, comparison.days.later), candidate.trajectory.cost.sum()
        assert round(costs[0] - costs[1], 6) == 0, policy
        shown = how_to(comparison, policy).code.encode() in deployment_files(comparison, policy).values()
        assert shown or policy == "forecast", "the page has a formula for a control loop of one's own"
    rules = [name for name in comparison.candidates if name not in ("today", "fixed")]
    assert all(how_to(comparison, name).code for name in rules)


def test_today_runs_knative_with_a_schedule():
    today = {"rule": "kpa", "target": 0.6, "stable_steps": 2}
    today["schedule"] = [{"from": "08:00", "to": "20:00", "minimum": 30}]
    comparison = answer_for(wavy(5, 96), today=today).comparison
    fleet = comparison.candidates["today"].trajectory.fleet
    assert fleet[:, 34:80].min() >= 29 and fleet[:, :30].min() < 30
    assert comparison.candidates["kpa"].trajectory.fleet[:, 34:80].min() >= 30, "its best setting keeps the schedule"
    assert "with its schedule" in comparison.candidates["today"].description
    assert 'target: "' in how_to(comparison, "kpa").code
    assert how_to(comparison, "kpa").text.endswith("Keep your schedule: it was simulated with it.")
    assert how_to(comparison, "hpa-cpu").text.endswith("Remove your schedule: it was simulated without.")


BAD = (
    (
        {"hpa": {"scaleDown": {"stabilizationWindowSeconds": 10}}},
        "today: scaleDown: stabilizationWindowSeconds = 10: mu",
    ),
    (
        {"schedule": [{"from": "08:00", "to": "20:00", "minimum": 41}]},
        "minimum = 41: must be at most max_instances = 40",
    ),
    ({"cloudwatch": {"period_seconds": 60}}, "today.cloudwatch: threshold has no alarms"),
)


@cases("bad", BAD)
def test_a_bad_table_of_today_costs_one_clear_line(bad):
    tables, message = bad
    with pytest.raises(ValueError, match=message) as caught:
        answer_for(wavy(8, 96), today={"rule": "threshold", "add_above": 0.7, "remove_below": 0.4} | tables)
    assert "\n" not in str(caught.value)
