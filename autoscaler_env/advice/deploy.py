"""Say how to do what is recommended, with something to copy.

Kubernetes' Horizontal Pod Autoscaler with the numbers of an answer: an `autoscaling/v2` manifest.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from autoscaler_env.advice.compare import Contest
from autoscaler_env.advice.setup import TODAY
from autoscaler_env.policies.kubernetes import DOWNSCALE_WINDOW, TOLERANCE
from autoscaler_env.policies.registry import LEARNERS
from autoscaler_env.service import Service
from autoscaler_env.text import counted

_HEAD = """\
# {comment}
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

_CPU = """\
    - type: Resource
      resource:
        name: cpu
        target:
          type: Utilization
          averageUtilization: {percent}   # of the CPU request; assumes that a pod at 100 % serves {capacity}
"""

_DEMAND = """\
    - type: External
      external:
        metric:
          name: requests_per_second   # arriving and waiting; from KEDA or a metrics adapter
        target:
          type: AverageValue
          averageValue: "{each}"   # {percent} % of the {capacity} that a pod can serve
"""

_BEHAVIOUR = """\
  behavior:
    scaleDown:
      stabilizationWindowSeconds: {window}
"""


def hpa_manifest(name: str, metric: str, target: float, service: Service) -> str:
    """Return the manifest of an HPA.

    Args:
        name: Of the service; what Kubernetes does not allow in a name is replaced by hyphens.
        metric: `hpa-cpu` or `hpa-demand`, the rules it stands for.
        target: Share of an instance's capacity that it aims at, above 0.
        service: Gives the limits of the fleet and what an instance can serve.

    Returns:
        YAML. Tolerance (10 %) and the downscale window (300 s) are Kubernetes' defaults, as in the simulation.

    Raises:
        ValueError: There is no such metric.

    Example:
        >>> print(hpa_manifest("Shop", "hpa-cpu", 0.8, Service()).splitlines()[4])
          name: shop
    """
    if metric not in ("hpa-cpu", "hpa-demand"):
        raise ValueError(f"metric = {metric!r}: must be hpa-cpu or hpa-demand")
    per_second = service.capacity_per_instance / service.step_seconds
    values = {
        "comment": f"Tolerance {TOLERANCE:.0%} and a downscale window of {DOWNSCALE_WINDOW} s, as in the simulation.",
        "name": kubernetes_name(name),
        "least": service.min_instances,
        "most": service.max_instances,
        "percent": round(100 * target),
        "capacity": f"{per_second:.3g} requests/s",
        "each": _quantity(per_second * target),
        "window": DOWNSCALE_WINDOW,
    }
    return "".join(part.format(**values) for part in (_HEAD, _CPU if metric == "hpa-cpu" else _DEMAND, _BEHAVIOUR))


def kubernetes_name(name: str) -> str:
    """Return a name that Kubernetes allows (RFC 1123), as near as possible to another.

    Example:
        >>> kubernetes_name("My Shop: checkout!")
        'my-shop-checkout'
    """
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:63].strip("-") or "my-service"


def _quantity(value: float) -> str:
    """Return a number as Kubernetes writes it: in thousandths.

    Example:
        >>> _quantity(0.2726)
        '273m'
    """
    return f"{max(round(value * 1000), 1)}m"


class How(NamedTuple):
    """What to do, and what to copy for it."""

    text: str
    """A sentence or two."""
    code: str
    """A manifest, a command, lines of Python or a formula; empty where there is nothing to do."""


def how_to(contest: Contest, policy: str) -> How:
    """Return how to deploy a policy of the contest.

    Args:
        contest: Holds the policy's settings and the service.
        policy: Its name in tables.
    """
    entry, service = contest.entries[policy], contest.service
    if policy == TODAY:
        return How("Nothing to change.", "")
    if policy in LEARNERS:
        return _learned(contest, policy)
    if policy in ("hpa-cpu", "hpa-demand"):
        manifest = hpa_manifest(contest.setup.name, policy, entry.settings["target"], service)
        return How("Apply this manifest, hpa.yaml beside this page, with: kubectl apply -f hpa.yaml", manifest)
    if policy == "fixed":
        name = kubernetes_name(contest.setup.name)
        command = f"kubectl scale deployment {name} --replicas={entry.settings['instances']:.0f}"
        return How("Remove the autoscaler, and set the size of the fleet; on Kubernetes:", command)
    if policy == "threshold":
        return How(
            "At the end of each step, by the utilisation over it:",
            f"above {entry.settings['add_above']:g}: add one instance\n"
            f"below {entry.settings['remove_below']:g}: remove one instance",
        )
    told = "At the end of each step, want this many instances, and go toward them"
    if policy == "forecast":
        told += (
            ". The forecast is the mean of the same time a day and a week before, times what came in over the last "
            f"hour over what came in then; the largest until {counted(service.boot_steps, 'step')} from now counts"
        )
    demand = "forecast" if policy == "forecast" else "arriving"
    share = f"{service.capacity_per_instance} x {entry.settings['target']:g}"
    spare = f" + {entry.settings['reserve']:g}" if entry.settings["reserve"] else ""
    return How(f"{told}:", f"instances = ceil(({demand} + waiting) / ({share}){spare})")


def model_file(policy: str) -> str:
    """Return the name of a learner's model file beside the page.

    Example:
        >>> model_file("q-learning"), model_file("ppo")
        ('q_learning.pkl', 'ppo.zip')
    """
    return f"{policy}{'.pkl' if policy == 'q-learning' else '.zip'}"


def _learned(contest: Contest, policy: str) -> How:
    file = model_file(policy)
    return How(
        f"The model is {file} beside this page, verified: it was read back without running anything in it, and that "
        "file is what was charged here. Three lines run it:",
        f'from autoscaler_env.advice.runtime import Autoscaler\nscaler = Autoscaler("{file}", "service.toml")\n'
        f"change = scaler.decide(ready=12, booting=0, queue=0, arrivals=900)  # every {contest.service.step_seconds} s: "
        "instances to add or remove",
    )
