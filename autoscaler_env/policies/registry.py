"""Find the policy that a user names: a rule, a model, a model file, or a class of their own."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from autoscaler_env.paths import Folders
from autoscaler_env.policies.base import ForeignPolicy, Policy
from autoscaler_env.policies.forecast import Forecast
from autoscaler_env.policies.knative import Kpa
from autoscaler_env.policies.kubernetes import HpaCpu, HpaDemand
from autoscaler_env.policies.oracle import Optimum
from autoscaler_env.policies.rules import RULES, TargetTracking
from autoscaler_env.service import Service
from autoscaler_env.storage.models import load_policy, read_description
from autoscaler_env.traffic.patterns import MIXED, PATTERNS, Workload
from autoscaler_env.traffic.trace import Trace

CALIBRATED = "target-tracking-"
"""What the name of a calibrated rule begins with; a pattern's name follows, in small letters, or `calibrated`."""

LEARNERS = ("q-learning", "dqn", "ppo")
"""How the names of learned policies begin; what they were trained on may follow."""

REFERENCE_MODELS = ("q_learning_mixed", "dqn_mixed", "ppo_mixed")
"""The models that the project ships."""

MODEL_ENDINGS = (".pkl", ".zip")
"""Endings of model files: a Q-table, a network."""

OPPONENTS: dict[str, Callable[[Service], Policy]] = {
    **RULES,
    **{each.name: each for each in (HpaCpu, HpaDemand, Kpa, Optimum)},
}
"""Policies that need no file and no calibration, by the names that users type."""

_TRAINED_NAME = re.compile(rf"({'|'.join(LEARNERS)})_({'|'.join(name.lower() for name in (*PATTERNS, MIXED))})")


def find_policy(
    spec: str,
    service: Service | None = None,
    folders: Folders | None = None,
    workload: str | Workload = MIXED,
) -> Policy:
    """Return the policy that a user means.

    Args:
        spec: One of `OPPONENTS` (`threshold`, `hpa-cpu`, `optimum`), `forecast` (on a trace), target tracking
            calibrated on a pattern (`target-tracking-mixed`) or on the earlier days of `workload`
            (`target-tracking-calibrated`), a model's name (`ppo_mixed`), a path to a `.pkl` or `.zip`, or
            `module:Class`. The class is called with the service and has `reset(days)` and `predict(observations)`, or
            stable-baselines3's `predict(observation, deterministic)`. The code of such a module runs; that of a model
            file never does.
        service: The service to scale; the reference service by default.
        folders: Where models and calibrations lie; the project's folders by default.
        workload: What it will be evaluated on: a pattern's name or a trace.

    Returns:
        The policy, with a name for tables.

    Raises:
        ValueError: Nothing of the name is there, or it is no policy; one line says what there is.

    Example:
        >>> find_policy("threshold").name
        'threshold'
    """
    service = service or Service()
    folders = folders or Folders()
    if spec in OPPONENTS:
        return OPPONENTS[spec](service)
    if spec == Forecast.name:
        if not isinstance(workload, Trace):
            raise ValueError(
                f"policy = {spec!r}: needs the days before each day, which only recorded traffic has (--trace FILE.csv)"
            )
        return Forecast(service, workload)
    if spec.lower().startswith(CALIBRATED):
        return _calibrated(spec, service, folders, workload)
    if spec.endswith(MODEL_ENDINGS):
        return _load(_file_of(spec, folders), service)
    candidates = [[folder / f"{spec}{ending}" for ending in MODEL_ENDINGS] for folder in folders.model_folders]
    found = next((present for paths in candidates if (present := [path for path in paths if path.is_file()])), [])
    if len(found) > 1:
        raise ValueError(f"policy = {spec!r}: {' and '.join(path.name for path in found)} are there; add the ending")
    if found:
        return _load(found[0], service)
    if ":" in spec:
        return _import(spec, service)
    raise ValueError(f"policy = {spec!r}: {_what_there_is(spec, folders)}")


def find_policies(
    specs: Sequence[str],
    service: Service | None = None,
    folders: Folders | None = None,
    workload: str | Workload = MIXED,
) -> list[Policy]:
    """Return the policies that a user means, each under a name of its own.

    Two of one name, such as the `best_model.zip` of two trainings, are called what the user called them.

    Raises:
        ValueError: As `find_policy`; or there is none, or one of them twice.
    """
    if not specs:
        raise ValueError("policies: at least one is needed, such as threshold or ppo_mixed")
    if len(set(specs)) != len(specs):
        raise ValueError(f"policies = {' '.join(specs)}: each only once")
    policies = [find_policy(spec, service, folders, workload) for spec in specs]
    names = [policy.name for policy in policies]
    for spec, policy in zip(specs, policies, strict=True):
        if names.count(policy.name) > 1:
            policy.name = spec
    return policies


def showcase(spec: str, service: Service | None = None, folders: Folders | None = None) -> list[Policy]:
    """Return the policies of a demonstration.

    Args:
        spec: Policies as `find_policy` takes them, with commas between; or `all`: the rules and the reference models.
            A reference model that is missing is left out, and said on stderr.
        service: The service to scale; the reference service by default.
        folders: Where models lie; the project's folders by default.
    """
    if spec != "all":
        return find_policies([name.strip() for name in spec.split(",") if name.strip()], service, folders)
    folders = folders or Folders()
    present = [name for name in REFERENCE_MODELS if name in model_names(folders)]
    for name in REFERENCE_MODELS:
        if name not in present:
            print(f"{name} is missing; make it with: {command_for(name)}", file=sys.stderr)
    return find_policies([*RULES, *present], service, folders)


def model_names(folders: Folders | None = None) -> list[str]:
    """Return the names of the models that are there, without endings, in order."""
    places = (folders or Folders()).model_folders
    return sorted({path.stem for place in places for ending in MODEL_ENDINGS for path in place.glob(f"*{ending}")})


def command_for(model: str) -> str | None:
    """Return the command that makes a model of a usual name; `None` for any other name.

    Example:
        >>> command_for("ppo_mixed")
        'autoscaler train ppo --pattern MIXED'
    """
    match = _TRAINED_NAME.fullmatch(model)
    return match and f"autoscaler train {match[1].replace('_', '-')} --pattern {match[2].upper()}"


def _what_there_is(spec: str, folders: Folders) -> str:
    command = command_for(spec)
    if command is not None:
        return f"the model is missing; make it with: {command}"
    models = ", ".join(model_names(folders)) or f"none in {folders.shown(folders.models)} yet"
    rules = ", ".join((*OPPONENTS, Forecast.name, f"{CALIBRATED}PATTERN", f"{CALIBRATED}calibrated"))
    return f"no such policy; there are rules ({rules}), models ({models}), model files (.pkl, .zip) and module:Class"


def _calibrated(spec: str, service: Service, folders: Folders, workload: str | Workload) -> TargetTracking:
    """Return target tracking as it was calibrated, or calibrated now if it was not, or for another service."""
    from autoscaler_env.evaluation.calibration import (  # here: it imports pandas, which no rule needs
        calibrate,
        read_calibrations,
    )

    if spec.lower() == f"{CALIBRATED}calibrated" and not isinstance(workload, str):
        print(f"Calibrating {spec} on the earlier days of {workload.name}.", file=sys.stderr)
        return calibrate([workload], service).rule(service, f"{CALIBRATED}calibrated")
    pattern = spec[len(CALIBRATED) :].upper().replace("-", "_")
    if pattern == "CALIBRATED":
        pattern = str(workload)
    if pattern not in (*PATTERNS, MIXED):
        raise ValueError(f"policy = {spec!r}: {pattern!r} must be one of {', '.join((*PATTERNS, MIXED))}")
    name = f"{CALIBRATED}{pattern.lower()}"
    known = {}
    if service == Service() and (folders.results / "calibration.csv").exists():
        known = read_calibrations(folders)
    if pattern not in known:
        print(f"Calibrating {name} on 100 calibration days of each pattern.", file=sys.stderr)
        known[pattern] = calibrate((pattern,), service)
    return known[pattern].rule(service, name)


def _file_of(spec: str, folders: Folders) -> Path:
    """Return the file of a path as a user types it: from the working directory, the root or the models' folder."""
    places = (Path(spec), folders.root / spec, folders.models / spec)
    return next((path for path in places if path.is_file()), Path(spec))


def _load(path: Path, service: Service) -> Policy:
    policy = load_policy(path, service)
    trained_for = (read_description(path) or {}).get("service", service.as_dict())
    other = [
        f"{name} {trained_for.get(name)}" for name, value in service.as_dict().items() if value != trained_for.get(name)
    ]
    if other:
        print(
            f"{policy.name} was trained for another service: {', '.join(other)}. Train one for this.", file=sys.stderr
        )
    return policy


def _import(spec: str, service: Service) -> Policy:
    """Return an instance of a user's class; their module is looked for in the working directory too."""
    module_name, _, class_name = spec.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        target = getattr(importlib.import_module(module_name), class_name)
        made = target(service) if callable(target) else target
    except Exception as error:  # a user's module raises anything
        raise ValueError(f"policy = {spec!r}: {type(error).__name__}: {' '.join(str(error).split())}") from error
    return as_policy(made, class_name)


def as_policy(made: Any, name: str) -> Policy:
    """Return anything that predicts as one of our policies.

    Args:
        made: Has `reset(days)` and `predict(observations)`, or `predict(observation, deterministic)`.
        name: What tables call it if it has no name of its own.

    Raises:
        ValueError: It has neither.
    """
    predict = getattr(made, "predict", None)
    if callable(predict) and "deterministic" in inspect.signature(predict).parameters:
        return ForeignPolicy(made, name)
    if not callable(predict) or not callable(getattr(made, "reset", None)):
        raise ValueError(
            f"policy = {name!r}: must have reset(days) and predict(observations), "
            "or stable-baselines3's predict(observation, deterministic)"
        )
    if not isinstance(getattr(made, "name", None), str):
        made.name = name
    return made
