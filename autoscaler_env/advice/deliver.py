"""Write an answer: the page, the JSON, and what is needed to do what it recommends."""

from __future__ import annotations

from pathlib import Path

from autoscaler_env.advice.report import Answer, as_plain
from autoscaler_env.advice.deploy import model_file
from autoscaler_env.advice.manifest import hpa_manifest
from autoscaler_env.advice.page import page
from autoscaler_env.service import Service
from autoscaler_env.storage.files import write_atomically, write_json


def deliver(found: Answer, folder: Path) -> list[Path]:
    """Write `advice.html` and `advice.json`; with HPA `hpa.yaml`, with a learner its model and `service.toml`.

    Args:
        found: The answer.
        folder: Made if it is missing; files of the same names are replaced.

    Returns:
        The files written, the page first.
    """
    contest, policy = found.contest, found.recommendation.policy
    files = {"advice.html": page(found).encode()}
    if policy in ("hpa-cpu", "hpa-demand"):
        target = contest.entries[policy].settings["target"]
        files["hpa.yaml"] = hpa_manifest(contest.setup.name, policy, target, contest.service).encode()
    model = contest.entries[policy].model
    if model is not None:
        files[model_file(policy)] = model
        files["service.toml"] = service_toml(contest.service).encode()
    paths = []
    for name, content in files.items():
        paths.append(folder / name)
        write_atomically(paths[-1], lambda file, content=content: file.write(content))  # type: ignore[misc]
    write_json(folder / "advice.json", as_plain(found))
    return [paths[0], folder / "advice.json", *paths[1:]]


def service_toml(service: Service) -> str:
    """Return a service as TOML.

    Example:
        >>> print(service_toml(Service()).splitlines()[0])
        slot_seconds = 300
    """
    return "".join(f"{name} = {value!r}\n" for name, value in service.as_dict().items())
