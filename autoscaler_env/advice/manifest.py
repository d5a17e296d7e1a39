"""Kubernetes' Horizontal Pod Autoscaler with the numbers of an answer: an `autoscaling/v2` manifest."""

from __future__ import annotations

import re

from autoscaler_env.policies.kubernetes import DOWNSCALE_WINDOW, TOLERANCE
from autoscaler_env.service import Service

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
    per_second = service.capacity_per_instance / service.slot_seconds
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
