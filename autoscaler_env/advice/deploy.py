"""How to deploy what is recommended: instructions, and files to copy.

For Kubernetes' Horizontal Pod Autoscaler an `autoscaling/v2` manifest, for a rule of AWS the JSON of its policy, for a
forecast its expression in PromQL, for a learner its model and three lines of Python. `advice.delivered` reads the files
back into the rule that was simulated.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from autoscaler_env.advice.compare import Candidate, Comparison
from autoscaler_env.advice.delivered import aws_step_scaling, aws_target_tracking, forecast_promql, kpa_annotations
from autoscaler_env.advice.setup import TODAY
from autoscaler_env.policies.behaviour import Behaviour, ScalingRules
from autoscaler_env.policies.kubernetes import DOWNSCALE_WINDOW, TOLERANCE
from autoscaler_env.policies.registry import LEARNERS
from autoscaler_env.service import NATURAL_UNITS, Service
from autoscaler_env.text import dollars, duration
from autoscaler_env.traffic.doubts import HIGHEST

HPA = ("hpa-cpu", "hpa-demand")
"""The rules that are a Horizontal Pod Autoscaler."""

AWS = {"aws-target-tracking": "target_tracking.json", "aws-step-scaling": "step_scaling.json"}
"""The rules of AWS, and the file that deploys each."""

FEW_DAYS = 6
"""Held-out days below which nothing says that there is nothing to change."""

_OTHERS = """\
# Delete any other HPA of this
# Deployment first (kubectl get hpa):
# two of them work against each other.
"""

_TO_ZERO = """\
# minReplicas: 0 needs the feature gate
# HPAScaleToZero.
"""

_STEPWISE = """\
# Tolerance {tolerance} and a downscale
# window of {window} s, as simulated.
# Other limits than in the simulation:
# - There the metric is read and the
#   fleet changed every {step} s, here
#   every 15 s.
{changes}# - There a new pod serves after
#   {boot} s, here after its own start.
"""

_CLOCKED = """\
# As simulated: what is below, metrics
# that are {delay} s old, and these flags
# of the cluster's controller, which no
# manifest can carry: sync period {sync} s,
# CPU initialization period {initialisation} s,
# initial readiness delay {readiness} s.
# Other than in the simulation:
# - There the fleet changes once in a
#   step of {step} s.
{changes}# - There a new pod serves after
#   {boot} s, here after its own start.
"""

_HEAD = """\
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {name}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: {name}   # your Deployment
  minReplicas: {least}
  maxReplicas: {most}
  metrics:
"""

_CHANGES = """\
# - There at most {most} pods are added
#   and {fewest} removed at a time; here
#   {instead}.
"""

_CPU = """\
    # Percent of the CPU request; a
    # pod at 100 % should serve
    # {capacity}.
    - type: Resource
      resource:
        name: cpu
        target:
          type: Utilization
          averageUtilization: {percent}
"""

_DEMAND = """\
    # From KEDA or a metrics adapter:
    # (sum(increase(
    #   http_requests_total[{step}s]))
    #  + sum(http_requests_waiting))
    # / {step}   # put your metrics there
    # {percent} % of the {capacity}
    # that a pod serves.
    - type: External
      external:
        metric:
          name: requests_per_second
        target:
          type: AverageValue
          averageValue: "{each}"
"""

_BEHAVIOUR = """\
  behavior:
    scaleDown:
      stabilizationWindowSeconds: {window}
"""


def hpa_manifest(name: str, metric: str, target: float, service: Service, behaviour: Behaviour | None = None) -> str:
    """Return the manifest of an HPA.

    Args:
        name: Name of the service; characters that Kubernetes does not allow are replaced by hyphens.
        metric: The rule, `hpa-cpu` or `hpa-demand`.
        target: Target utilisation: a share of an instance's capacity, above 0.
        service: Gives the limits of the fleet and the capacity of an instance. On CPU the fewest pods are 1 at least:
            Kubernetes goes to zero only on a metric from outside of the pods.
        behaviour: How it was simulated in time; `None` for once a step.

    Returns:
        YAML. With a behaviour it carries the windows, tolerances and policies that the simulation obeyed. Without one,
        tolerance (10 %) and the downscale window (300 s) are Kubernetes' defaults, as in the simulation.

    Raises:
        ValueError: The metric is neither of the two.

    Example:
        >>> [line for line in hpa_manifest("Shop", "hpa-cpu", 0.8, Service()).splitlines() if "averageU" in line]
        ['          averageUtilization: 80']
    """
    if metric not in HPA:
        raise ValueError(f"metric = {metric!r}: must be hpa-cpu or hpa-demand")
    per_second = service.capacity_per_instance / service.step_seconds
    most, fewest = max(service.fleet_changes), min(service.fleet_changes)
    limited = max(most, -fewest) < service.max_instances - service.min_instances
    instead = "at most the fleet is doubled, or 4\n#   added, every 15 s" if behaviour is None else "as below"
    values = {
        "step": service.step_seconds,
        "changes": _CHANGES.format(most=most, fewest=-fewest, instead=instead) if limited else "",
        "boot": f"{service.boot_delay:g}",
        "tolerance": f"{TOLERANCE:.0%}",
        "name": kubernetes_name(name),
        "least": max(service.min_instances, 1) if metric == "hpa-cpu" else service.min_instances,
        "most": service.max_instances,
        "percent": round(100 * target),
        "capacity": f"{per_second:.3g} requests/s",
        "each": _quantity(per_second * target),
        "window": DOWNSCALE_WINDOW,
    }
    first = _OTHERS + ("" if values["least"] else _TO_ZERO)
    parts = [first + _STEPWISE, _HEAD, _CPU if metric == "hpa-cpu" else _DEMAND, _BEHAVIOUR]
    if behaviour is not None:
        values |= {"sync": behaviour.sync_seconds, "delay": behaviour.metric_delay_seconds}
        values["initialisation"] = behaviour.cpu_initialisation_seconds
        values["readiness"] = behaviour.initial_readiness_seconds
        rules = (("scaleUp", behaviour.up), ("scaleDown", behaviour.down))
        parts = [first + _CLOCKED, *parts[1:3], "  behavior:\n", *(_rules_yaml(*each) for each in rules)]
    return "".join(part.format(**values) for part in parts)


def _rules_yaml(direction: str, rules: ScalingRules) -> str:
    """Return the rules of a direction as lines of a manifest."""
    table = rules.table()
    lines = [f"{direction}:"]
    lines += [f"  {name}: {json.dumps(table[name])}" for name in ("stabilizationWindowSeconds", "tolerance")]
    lines += [f"  selectPolicy: {table['selectPolicy']}"]
    if table["policies"]:
        lines.append("  policies:")
    for policy in table["policies"]:
        first, *others = (f"{name}: {value}" for name, value in policy.items())
        lines += [f"    - {first}", *(f"      {other}" for other in others)]
    return "".join(f"    {line}\n" for line in lines)


def kubernetes_name(name: str) -> str:
    """Return the name that Kubernetes allows (RFC 1123) and that is nearest to another.

    Example:
        >>> kubernetes_name("My Shop: checkout!")
        'my-shop-checkout'
    """
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:63].strip("-") or "my-service"


def _quantity(value: float) -> str:
    """Return a number in Kubernetes' notation: in thousandths.

    Example:
        >>> _quantity(0.2726)
        '273m'
    """
    return f"{max(round(value * 1000), 1)}m"


class HowTo(NamedTuple):
    """Instructions, and what to copy."""

    text: str
    """A sentence or two."""
    code: str
    """A manifest, a command, lines of Python or a formula; empty if there is nothing to do."""


def how_to(comparison: Comparison, policy: str) -> HowTo:
    """Return how to deploy a policy of the comparison.

    Args:
        comparison: Holds the policy's settings and the service.
        policy: Its name in tables.
    """
    instructions = _how_to(comparison, policy)
    if more := larger_fleet(comparison):
        instructions = instructions._replace(text=more if policy == TODAY else f"{more} {instructions.text}")
    if not comparison.setup.schedule or policy == TODAY:
        return instructions
    own = policy == comparison.setup.today["rule"]
    note = "Keep your schedule: it was simulated with it." if own else "Remove your schedule: it was simulated without."
    return instructions._replace(text=f"{instructions.text} {note}")


def larger_fleet(comparison: Comparison) -> str:
    """Return what to do first where `max_instances` cannot serve the peak, in a sentence; else nothing."""
    service = comparison.service
    needed = math.ceil(int(comparison.days.requests.max()) / service.capacity_per_instance)
    if needed <= service.max_instances:
        return ""
    text = (
        f"Raise max_instances to at least {needed:,}, which the peak needs, then run this again: "
        f"{service.max_instances:,} cannot serve it."
    )
    if any(doubt.startswith(HIGHEST) for doubt in comparison.days.doubts):
        first = "Check the highest count first: correct it, and run this again."
        return f"{first} If it is right: {text[0].lower()}{text[1:]}"
    return text


def _how_to(comparison: Comparison, policy: str) -> HowTo:
    """Return how to deploy a policy, whatever the schedule around today's rule."""
    settings, service = comparison.candidates[policy].settings, comparison.service
    name = kubernetes_name(comparison.setup.name)
    if policy == TODAY:
        if len(comparison.days.later) == 1:
            return HowTo("Change nothing yet: one held-out day proves nothing.", "")
        if (days := len(comparison.days.later)) < FEW_DAYS:
            return HowTo(f"Change nothing yet: {days} held-out days prove little.", "")
        return HowTo("There is nothing to change.", "")
    if policy in LEARNERS:
        return HowTo(
            "This is an experiment: run it beside your present rule and watch it, not unattended. "
            f"The model is in {model_file(policy)} beside this page. The file is verified: it was read back without "
            f"running any code in it{_cost_of_the_file(comparison.candidates[policy])}. Three lines run it:",
            "from autoscaler_env import Autoscaler\n"
            f'scaler = Autoscaler("{model_file(policy)}", "service.toml")\n'
            "change = scaler.decide(ready=12, booting=0, queue=0, arrivals=900)  "
            f"# every {service.step_seconds} s: instances to add or remove",
        )
    if policy in HPA:
        return HowTo(
            "Save what runs now, so that you can go back: kubectl get hpa -o yaml > before.yaml. "
            "Delete any other HPA of this Deployment first (kubectl get hpa): two HPAs on one Deployment work against "
            "each other. Apply this manifest, hpa.yaml beside this page, with: kubectl apply -f hpa.yaml. Its comments "
            "name the limits that differ from the simulation: a cluster can react faster, and so cost and service can "
            "differ."
            + (
                " A table [today.hpa] in the set-up simulates its clocks." if comparison.setup.behaviour is None else ""
            ),
            _file_of(comparison, policy).decode(),
        )
    if policy in AWS:
        return HowTo(
            f"Replace the policy of your ECS service by {AWS[policy]} beside this page: each object is the input of "
            "the call that stands above it. AWS publishes no algorithm: the simulation acts on what it documents, and "
            "on assumptions that autoscaler_env/policies/aws.py lists.",
            _file_of(comparison, policy).decode(),
        )
    if policy == "kpa":
        text = "Annotate the template of your Knative service. The target is in requests per second of a pod."
        try:
            lines = [f'{name}: "{value}"' for name, value in kpa_annotations(settings, service).items()]
        except ValueError as error:
            return HowTo(f"Knative cannot do this as simulated ({error}).", "")
        return HowTo(text, "\n".join(lines))
    if policy == "fixed":
        command = f"kubectl scale deployment {name} --replicas={settings['instances']:.0f}"
        return HowTo("Remove the autoscaler and set the size of the fleet; on Kubernetes:", command)
    if policy == "threshold":
        return HowTo(
            f"At the end of each step of {duration(service.step_seconds)}, compare the utilisation of the step with "
            f"two thresholds.{_own_loop(comparison, policy)}",
            f"above {settings['add_above']:g}: add one instance\n"
            f"below {settings['remove_below']:g}: remove one instance",
        )
    text = (
        f"At the end of each step of {duration(service.step_seconds)}, compute how many instances are wanted, and go "
        "toward that number"
    )
    if policy == "forecast":
        text += (
            ". The forecast is the mean of the same time a day before and a week before, times the arrivals of the "
            "last hour over the arrivals of the same hour then"
        )
        ahead = service.boot_steps + 1
        if ahead == 1:
            text += "; forecast the step that begins now"
        else:
            text += f"; take the largest of the forecasts for the next {ahead} steps, the one that begins now included"
    demand = "forecast" if policy == "forecast" else "arriving"
    share = f"{service.capacity_per_instance} x {settings['target']:g}"
    spare = f" + {settings['reserve']:g}" if settings["reserve"] else ""
    unit = " Count the requests of that step, not of a second."
    if policy == "forecast":
        unit += " The file forecast.promql beside this page has the same as an expression for Prometheus."
    return HowTo(
        f"{text}.{unit}{_own_loop(comparison, policy)}",
        f"instances = ceil(({demand} + waiting) / ({share}){spare})",
    )


def _own_loop(comparison: Comparison, policy: str) -> str:
    """Return that a rule needs a control loop of one's own, unless it is the rule of today."""
    if comparison.setup.today["rule"] == policy:
        return ""
    return (
        " Kubernetes' HPA does not do this: it needs a control loop of your own. Switch today's autoscaler off first: "
        "two of them work against each other."
    )


def _cost_of_the_file(learner: Candidate) -> str:
    """Return what the training to deploy costs, where the numbers of a learner are means over several."""
    if len(learner.trainings) < 2:
        return ", and the costs here are those of that file"
    cost = dollars(float(learner.trajectory.cost.sum(axis=1).mean()))
    return f". It is the training that did best on the first part of the days; it costs {cost} a day on the others"


def deployment_files(comparison: Comparison, policy: str) -> dict[str, bytes]:
    """Return the files that deploying a policy needs, by name: a manifest, or a learner's model and its service.

    Args:
        comparison: Holds the policy's settings and the service.
        policy: Its name in tables.
    """
    candidate, service = comparison.candidates[policy], comparison.service
    name = "hpa.yaml" if policy in HPA else "forecast.promql" if policy == "forecast" else AWS.get(policy)
    if name is not None:
        return {name: _file_of(comparison, policy)}
    if candidate.model is not None:
        return {
            model_file(policy): candidate.model,
            "service.toml": service_toml(service, comparison.setup.fields).encode(),
        }
    return {}


def _file_of(comparison: Comparison, policy: str) -> bytes:
    """Return the file that deploys a rule of Kubernetes or AWS, or a forecast."""
    setup, settings, service = comparison.setup, comparison.candidates[policy].settings, comparison.service
    name = kubernetes_name(setup.name)
    if policy in HPA:
        return hpa_manifest(setup.name, policy, settings["target"], service, setup.behaviour).encode()
    if policy == "forecast":
        return forecast_promql(settings, service).encode()
    tracking = policy == "aws-target-tracking"
    content = aws_target_tracking(name, settings) if tracking else aws_step_scaling(name, settings, setup.alarms)
    return f"{json.dumps({'PutScalingPolicy': [content]} if tracking else content, indent=1)}\n".encode()


def model_file(policy: str) -> str:
    """Return the name of a learner's model file beside the page.

    Example:
        >>> model_file("q-learning"), model_file("ppo")
        ('q_learning.pkl', 'ppo.zip')
    """
    return f"{policy.replace('-', '_')}{'.pkl' if policy == 'q-learning' else '.zip'}"


def service_toml(service: Service, written: Mapping[str, Any] = MappingProxyType({})) -> str:
    """Return a service as TOML: the numbers of a step, each beside the quantity in natural units that it comes from.

    Args:
        service: The service.
        written: What the user wrote in the set-up, by name.

    Example:
        >>> service = service_toml(Service(boot_seconds=90), {"drop_price_per_1000": 2.5})
        >>> [line for line in service.splitlines() if line[:4] in ("boot", "drop")]
        ['drop_price = 0.0025  # drop_price_per_1000 = 2.5', 'boot_seconds = 90']
    """
    natural = {field: name for name, field in NATURAL_UNITS.items() if name in written}
    notes = {field: f"  # {name} = {written[name]!r}" for field, name in natural.items()}
    return "".join(f"{name} = {value!r}{notes.get(name, '')}\n" for name, value in service.as_dict().items())
