"""Say how to do what is recommended, with something to copy."""

from __future__ import annotations

from typing import NamedTuple

from autoscaler_env.advice.compare import Contest
from autoscaler_env.advice.manifest import hpa_manifest, kubernetes_name
from autoscaler_env.advice.setup import TODAY
from autoscaler_env.traffic.reading import numbered
from autoscaler_env.policies.registry import LEARNERS


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
            "At the end of each slot, by the utilisation over it:",
            f"above {entry.settings['add_above']:g}: add one instance\n"
            f"below {entry.settings['remove_below']:g}: remove one instance",
        )
    told = "At the end of each slot, want this many instances, and go toward them"
    if policy == "forecast":
        told += (
            ". The forecast is the mean of the same time a day and a week before, times what came in over the last "
            f"hour over what came in then; the largest until {numbered(service.boot_slots, 'slot')} from now counts"
        )
    demand = "forecast" if policy == "forecast" else "arriving"
    share = f"{service.capacity_per_instance} x {entry.settings['target']:g}"
    spare = f" + {entry.settings['headroom']:g}" if entry.settings["headroom"] else ""
    return How(f"{told}:", f"instances = ceil(({demand} + waiting) / ({share}){spare})")


def model_file(policy: str) -> str:
    """Return the name of a learner's model file beside the page.

    Example:
        >>> model_file("q_learning"), model_file("ppo")
        ('q_learning.pkl', 'ppo.zip')
    """
    return f"{policy}{'.pkl' if policy == 'q_learning' else '.zip'}"


def _learned(contest: Contest, policy: str) -> How:
    file = model_file(policy)
    return How(
        f"The model is {file} beside this page, verified: it was read back without running anything in it, and that "
        "file is what was billed here. Three lines run it:",
        f'from autoscaler_env.advice.runtime import Autoscaler\nscaler = Autoscaler("{file}", "service.toml")\n'
        f"change = scaler.decide(ready=12, booting=0, queue=0, influx=900)  # every {contest.service.slot_seconds} s: "
        "instances to add or remove",
    )
