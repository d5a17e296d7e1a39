"""What is delivered is what was simulated: AWS' policies, Knative's annotations, a forecast, and the way back.

`deploy.hpa_manifest` writes the manifest of an HPA. The readers here take such files, as they were delivered, and
return the rule that was simulated: on the same days it costs the same, to the cent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from autoscaler_env.evaluation.grids import forecast_grid
from autoscaler_env.policies.aws import COOLDOWN, Alarms, AwsStepScaling, AwsTargetTracking
from autoscaler_env.policies.base import Policy
from autoscaler_env.policies.behaviour import Behaviour
from autoscaler_env.policies.forecast import LEVEL_SECONDS
from autoscaler_env.policies.knative import Kpa
from autoscaler_env.policies.kubernetes import HpaCpu, HpaDemand
from autoscaler_env.service import Service
from autoscaler_env.text import counted
from autoscaler_env.traffic.trace import Trace

_ECS = {"ServiceNamespace": "ecs", "ScalableDimension": "ecs:service:DesiredCount"}


# --- HPA -------------------------------------------------------------------------------------------------------------


def hpa_from_manifest(manifest: Mapping[str, Any], service: Service, **clocks: int) -> HpaCpu | HpaDemand:
    """Return the rule that a manifest of an HPA describes.

    Args:
        manifest: The manifest, as a YAML reader returns it.
        service: The service to scale; its limits must be those of the manifest.
        clocks: What a manifest does not say, by the names of `policies.behaviour.CLOCKS`, such as `sync_seconds`: flags
            of the cluster, and how old its metrics are. What is left out has Kubernetes' default.

    Raises:
        ValueError: The limits differ, there is not one metric of a kind that is delivered, or a value is not allowed.
    """
    spec = manifest["spec"]
    metrics = spec.get("metrics", [])
    target = metrics[0].get(str(metrics[0].get("type", "")).lower(), {}).get("target", {}) if len(metrics) == 1 else {}
    least = max(service.min_instances, 1) if target.get("type") == "Utilization" else service.min_instances
    limits = spec.get("minReplicas", 1), spec["maxReplicas"]
    if limits != (least, service.max_instances):
        raise ValueError(
            f"minReplicas, maxReplicas = {limits[0]}, {limits[1]}: must be those of the service, {least} and "
            f"{service.max_instances}"
        )
    behaviour = Behaviour.from_tables({**spec.get("behavior", {}), **clocks})
    if target.get("type") == "Utilization":
        return HpaCpu(service, target["averageUtilization"] / 100, behaviour=behaviour)
    if target.get("type") == "AverageValue":
        each = _quantity(str(target["averageValue"])) * service.step_seconds
        return HpaDemand(service, each / service.capacity_per_instance, behaviour=behaviour)
    raise ValueError(f"metrics = {metrics!r}: must be one, with a target of type Utilization or AverageValue")


def _quantity(text: str) -> float:
    return float(text[:-1]) / 1000 if text.endswith("m") else float(text)


# --- Knative ---------------------------------------------------------------------------------------------------------

_KNATIVE = "autoscaling.knative.dev/"
_WINDOWS = 6, 3600
"""Seconds that Knative allows a stable window."""


def kpa_annotations(settings: Mapping[str, float], service: Service) -> dict[str, str]:
    """Return the annotations of a Knative service's template that describe KPA, on requests per second of a pod.

    Knative takes a utilisation of at most 100 %: above it, the requests per second are raised instead. The panic window
    is one step, as in the simulation, which is more than Knative's default of a tenth of the stable window.

    Args:
        settings: `target` and `stable_steps`.
        service: Gives the limits of the fleet, the capacity of an instance and the length of a step.

    Raises:
        ValueError: Knative does not allow so short or so long a stable window.
    """
    target, window = settings["target"], round(settings["stable_steps"]) * service.step_seconds
    if not _WINDOWS[0] <= window <= _WINDOWS[1]:
        raise ValueError(f"stable_steps: {window} s: Knative's stable window must be from 6 s to 3600 s")
    rate = service.capacity_per_instance / service.step_seconds * max(target, 1.0)
    annotations = {
        "class": "kpa.autoscaling.knative.dev",
        "metric": "rps",
        "target": f"{rate:.6g}",
        "target-utilization-percentage": f"{_percent(min(target, 1.0)):g}",
        "window": f"{window}s",
        "panic-window-percentage": f"{100 * service.step_seconds / window:.6g}",
        "min-scale": str(service.min_instances),
        "max-scale": str(service.max_instances),
    }
    return {_KNATIVE + name: value for name, value in annotations.items()}


def kpa_from_annotations(annotations: Mapping[str, str], service: Service) -> Kpa:
    """Return the rule that delivered annotations describe.

    Args:
        annotations: What `kpa_annotations` returned.
        service: The service to scale.

    Raises:
        ValueError: They are others, or are for another service.
    """
    try:
        rate, share = (float(annotations[f"{_KNATIVE}{name}"]) for name in ("target", "target-utilization-percentage"))
        steps = round(int(annotations[f"{_KNATIVE}window"].removesuffix("s")) / service.step_seconds)
    except (KeyError, ValueError):
        raise ValueError("annotations: must be those that were delivered for this service") from None
    full = service.capacity_per_instance / service.step_seconds
    settings = {"target": share / 100 if share < 100 else round(rate / full, 6), "stable_steps": steps}
    if steps < 1 or dict(annotations) != kpa_annotations(settings, service):
        raise ValueError("annotations: must be those that were delivered for this service")
    return Kpa(service, settings["target"], steps)


# --- AWS -------------------------------------------------------------------------------------------------------------


def aws_target_tracking(name: str, settings: Mapping[str, float]) -> dict[str, Any]:
    """Return the input of Application Auto Scaling's `PutScalingPolicy` for target tracking of an ECS service.

    Args:
        name: Name of the service; `default` stands for its cluster.
        settings: `target`, `scale_out_cooldown` and `scale_in_cooldown`.
    """
    return {
        "PolicyName": f"{name}-target-tracking",
        **_ECS,
        "ResourceId": f"service/default/{name}",
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": {
            "TargetValue": _percent(settings["target"]),
            "PredefinedMetricSpecification": {"PredefinedMetricType": "ECSServiceAverageCPUUtilization"},
            "ScaleOutCooldown": round(settings["scale_out_cooldown"]),
            "ScaleInCooldown": round(settings["scale_in_cooldown"]),
            "DisableScaleIn": False,
        },
    }


def aws_step_scaling(
    name: str, settings: Mapping[str, float], alarms: Alarms, cooldowns: tuple[float, float] = (300, 300)
) -> dict[str, list[dict[str, Any]]]:
    """Return step scaling of an ECS service: inputs of `PutScalingPolicy` and, with its alarms, of `PutMetricAlarm`.

    Args:
        name: Name of the service; `default` stands for its cluster.
        settings: Thresholds and percentages of `AwsStepScaling`.
        alarms: Give periods and how many of them.
        cooldowns: Seconds, out and in.

    Returns:
        `PutScalingPolicy` and `PutMetricAlarm`, each with an input out and one in. The action of an alarm is the ARN
        that AWS returns for its policy; the policy's name stands in its place.
    """
    # Two thresholds that are the same have the second step alone: AWS allows no empty interval.
    out = round(_percent(settings["jump_above"]) - _percent(settings["add_above"]), 6)
    into = round(_percent(settings["drop_below"]) - _percent(settings["remove_below"]), 6)
    steps: dict[str, list[dict[str, Any]]] = {
        "out": [
            {"MetricIntervalLowerBound": 0.0, "MetricIntervalUpperBound": out, "ScalingAdjustment": "add_percent"},
            {"MetricIntervalLowerBound": out, "ScalingAdjustment": "jump_percent"},
        ],
        "in": [
            {"MetricIntervalUpperBound": 0.0, "MetricIntervalLowerBound": into, "ScalingAdjustment": "remove_percent"},
            {"MetricIntervalUpperBound": into, "ScalingAdjustment": "drop_percent"},
        ],
    }
    steps["out"], steps["in"] = steps["out"][not out :], steps["in"][not into :]
    policies, watched = [], []
    for (way, adjustments), cooldown in zip(steps.items(), cooldowns, strict=True):
        sign, high = (1, True) if way == "out" else (-1, False)
        policies.append(
            {
                "PolicyName": f"{name}-{way}",
                **_ECS,
                "ResourceId": f"service/default/{name}",
                "PolicyType": "StepScaling",
                "StepScalingPolicyConfiguration": {
                    "AdjustmentType": "PercentChangeInCapacity",
                    "MinAdjustmentMagnitude": 1,
                    "MetricAggregationType": "Average",
                    "Cooldown": round(cooldown),
                    "StepAdjustments": [
                        each | {"ScalingAdjustment": sign * round(settings[each["ScalingAdjustment"]])}
                        for each in adjustments
                    ],
                },
            }
        )
        periods = alarms.high_periods if high else alarms.low_periods
        watched.append(
            {
                "AlarmName": f"{name}-{way}",
                "Namespace": "AWS/ECS",
                "MetricName": "CPUUtilization",
                "Dimensions": [{"Name": "ClusterName", "Value": "default"}, {"Name": "ServiceName", "Value": name}],
                "Statistic": "Average",
                "Period": alarms.period_seconds,
                "EvaluationPeriods": periods,
                "DatapointsToAlarm": periods,
                "Threshold": _percent(settings["add_above" if high else "remove_below"]),
                "ComparisonOperator": f"{'GreaterThan' if high else 'LessThan'}OrEqualToThreshold",
                "AlarmActions": [f"{name}-{way}"],
            }
        )
    return {"PutScalingPolicy": policies, "PutMetricAlarm": watched}


def aws_from_policy(
    delivered: Mapping[str, Any], service: Service, alarms: Alarms | None = None
) -> AwsTargetTracking | AwsStepScaling:
    """Return the rule that a delivered policy of AWS describes.

    Args:
        delivered: The file: inputs of calls, by the names of the calls.
        service: The service to scale.
        alarms: The alarms of target tracking, which its policy does not name; of step scaling, how late datapoints are.

    Raises:
        ValueError: It is neither of the two, never scales in, or does not scale in percent of the capacity.
    """
    alarms = alarms or Alarms()
    policies = delivered.get("PutScalingPolicy", [{}])
    if tracking := policies[0].get("TargetTrackingScalingPolicyConfiguration"):
        if tracking.get("DisableScaleIn"):
            raise ValueError("DisableScaleIn = True: must be False; the simulated rule also scales in")
        out, into = (tracking.get(name, COOLDOWN) for name in ("ScaleOutCooldown", "ScaleInCooldown"))
        return AwsTargetTracking(service, tracking["TargetValue"] / 100, out, into, alarms)
    if "PutMetricAlarm" not in delivered:
        raise ValueError(f"delivered: has {', '.join(delivered)}; must be a policy of target tracking or step scaling")
    high, low = delivered["PutMetricAlarm"]
    settings: dict[str, Any] = {}
    for policy, alarm, names, bound in (
        (policies[0], high, ("add_above", "jump_above"), "MetricIntervalLowerBound"),
        (policies[1], low, ("remove_below", "drop_below"), "MetricIntervalUpperBound"),
    ):
        content = policy["StepScalingPolicyConfiguration"]
        if content["AdjustmentType"] != "PercentChangeInCapacity":
            raise ValueError(f"AdjustmentType = {content['AdjustmentType']!r}: must be PercentChangeInCapacity")
        first, *others = content["StepAdjustments"]
        for each, name in zip((first, *(others or [first])), names, strict=True):
            settings[name] = round(alarm["Threshold"] + each[bound], 6) / 100
            settings[f"{name.split('_')[0]}_percent"] = abs(each["ScalingAdjustment"])
    waits = [policy["StepScalingPolicyConfiguration"].get("Cooldown", COOLDOWN) for policy in policies]
    counted = Alarms(high["Period"], alarms.metric_delay_seconds, high["EvaluationPeriods"], low["EvaluationPeriods"])
    return AwsStepScaling(service, **settings, scale_out_cooldown=waits[0], scale_in_cooldown=waits[1], alarms=counted)


def _percent(share: float) -> float:
    return round(100 * share, 6)


# --- a forecast in PromQL --------------------------------------------------------------------------------------------

_PROMQL = """\
# Instances wanted, every {step} s. Counter of requests: {counter}; requests that wait: {waiting}.
ceil(
  (
    # today's level: the last hour over the same hour of the day and the week before
    sum(increase({counter}[{level}s]))
    / ((sum(increase({counter}[{level}s] offset 1d)) + sum(increase({counter}[{level}s] offset 1w))) / 2)
    # their highest of the next {steps}, the one that begins now included
    * max_over_time(
      ((sum(increase({counter}[{step}s] offset 1d)) + sum(increase({counter}[{step}s] offset 1w))) / 2)
      [{ahead}s:{step}s] offset -{ahead}s
    )
    + sum({waiting})
  ) / ({capacity} * {target}) + {reserve}
)
"""


def forecast_promql(
    settings: Mapping[str, float],
    service: Service,
    counter: str = "http_requests_total",
    waiting: str = "http_requests_waiting",
) -> str:
    """Return the forecast as an expression in PromQL, with comments.

    Where no day before has requests, the level is no number and the expression is not either; the rule takes 1 there.

    Args:
        settings: `target` and `reserve`.
        service: Gives the length of a step, the capacity of an instance and how long it boots.
        counter: Name of the counter of requests.
        waiting: Name of the gauge of requests that wait.
    """
    return _PROMQL.format(
        step=service.step_seconds,
        level=max(LEVEL_SECONDS, service.step_seconds),
        steps=counted(service.boot_steps + 1, "step"),
        ahead=(service.boot_steps + 1) * service.step_seconds,
        counter=counter,
        waiting=waiting,
        capacity=service.capacity_per_instance,
        target=repr(float(settings["target"])),
        reserve=repr(float(settings["reserve"])),
    )


def forecast_from_promql(expression: str, service: Service, trace: Trace) -> Policy:
    """Return the forecast that a delivered expression describes; it plays single days and days in a row.

    Args:
        expression: What `forecast_promql` returned.
        service: The service to scale; step, boot and capacity must be those of the expression.
        trace: The recorded days.

    Raises:
        ValueError: The expression is another one, or is for another service.
    """
    match = re.search(r"/ \(\d+ \* ([\d.e-]+)\) \+ ([\d.e-]+)\n\)\s*$", expression)
    settings = {"target": float(match[1]), "reserve": float(match[2])} if match else None
    if settings is None or expression != forecast_promql(settings, service):
        raise ValueError("expression: must be one that was delivered for this service")
    return forecast_grid(trace).policy(service, settings)
