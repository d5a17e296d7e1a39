"""The names of policies: what tables call them, what figures call them, and how to find the one that a user names."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from autoscaler_env.paths import Folders
from autoscaler_env.policies.aws import AwsStepScaling, AwsTargetTracking
from autoscaler_env.policies.base import FORECAST, OPTIMUM, RECOGNISE, Policy
from autoscaler_env.policies.behaviour import Behaviour
from autoscaler_env.policies.knative import Kpa
from autoscaler_env.policies.kubernetes import HpaCpu, HpaDemand
from autoscaler_env.policies.own import own_policy
from autoscaler_env.policies.rules import RULES
from autoscaler_env.service import Service
from autoscaler_env.storage.foreign import OTHER_ENDINGS
from autoscaler_env.text import listed, not_a_choice, shown, suggestion
from autoscaler_env.traffic.trace import Trace
from autoscaler_env.traffic.workload import MIXED, PATTERNS, Workload

CALIBRATED = ("target-tracking", "threshold", "hpa-cpu", "hpa-demand", "kpa")
"""The rules that are calibrated. To their name a pattern's name is added, in small letters, or `calibrated`."""

VENDOR_RULES = ("kubernetes-hpa-cpu", "kubernetes-hpa-demand", AwsTargetTracking.name, AwsStepScaling.name)
"""The rules as vendors run them, with their own clocks: calibrated when a user names them, as `CALIBRATED`."""

USUAL = tuple(rule for rule in CALIBRATED if rule != "target-tracking")
"""The rules that people run, with the settings that most of them keep."""

PER_PATTERN_ENDING = "-per-pattern"
"""Ends the name of a rule whose setting is the one calibrated for the pattern of the day."""

LEARNERS = ("q-learning", "dqn", "ppo", "policy-iteration")
"""The algorithms. The name of a model is the stem of its file: the algorithm, `_`, and what it was trained on."""

DECISION = "decision"
"""Ends the name of a model that sees the inputs that a decision needs, as `TrainingConfig` names it."""

REFERENCE_MODELS = ("q_learning_mixed", "dqn_mixed", "ppo_mixed")
"""The models that the project ships."""

MODEL_ENDINGS = (".pkl", ".zip")
"""Endings of model files: a Q-table, a network."""


def _optimum(service: Service) -> Policy:
    from autoscaler_env.policies.oracle import Optimum  # here: it compiles functions, which no name needs

    return Optimum(service)


BASELINES: dict[str, Callable[[Service], Policy]] = {
    **RULES,
    **{policy.name: policy for policy in (HpaCpu, HpaDemand, Kpa, AwsTargetTracking, AwsStepScaling)},
    OPTIMUM: _optimum,
    "kubernetes-hpa-cpu": lambda service: HpaCpu(service, name="kubernetes-hpa-cpu", behaviour=Behaviour()),
    "kubernetes-hpa-demand": lambda service: HpaDemand(service, name="kubernetes-hpa-demand", behaviour=Behaviour()),
}
"""Policies that need no file and no calibration, by the names that users type."""

POLICY_LABELS = {
    "random": "random",
    "static": "static",
    "fixed": "fixed fleet",
    "today": "today's rule",
    "threshold": "threshold",
    "hpa-cpu": "HPA on CPU",
    "hpa-demand": "HPA on demand",
    "kpa": "Knative KPA",
    "kubernetes-hpa-cpu": "Kubernetes HPA on CPU",
    "kubernetes-hpa-demand": "Kubernetes HPA on demand",
    "aws-target-tracking": "AWS target tracking",
    "aws-step-scaling": "AWS step scaling",
    "ideal-target-tracking": "ideal target tracking",
    "target-tracking": "ideal target tracking",
    "forecast": "forecast",
    "recognise": "recognise, then act",
    "q-learning": "Q-learning",
    "dqn": "DQN",
    "ppo": "PPO",
    "policy-iteration": "policy iteration",
    "optimum": "optimum",
}
"""What figures and pages call a policy, or a learner that was trained on `MIXED`."""

POLICY_LABELS |= {f"{rule}-mixed": f"{POLICY_LABELS[rule]}, one setting" for rule in (*CALIBRATED, *VENDOR_RULES)}
POLICY_LABELS |= {rule + PER_PATTERN_ENDING: f"{POLICY_LABELS[rule]}, per pattern" for rule in CALIBRATED}

_LEARNED = re.compile(rf"({'|'.join(LEARNERS).replace('-', '[-_]?')})(?:[-_](.+))?", re.IGNORECASE)


# --- names -----------------------------------------------------------------------------------------------------------


def learner_of(policy: str) -> str | None:
    """Return the algorithm in a policy's name; `None` for a rule.

    Example:
        >>> learner_of("q_learning_mixed"), learner_of("ppo_spike"), learner_of("static")
        ('q-learning', 'ppo', None)
    """
    match = _LEARNED.fullmatch(without_note(policy))
    return match and _plain(match[1]).replace("_", "-")


def without_note(policy: str) -> str:
    """Return a policy's name without what stands in brackets after it.

    Example:
        >>> without_note("ppo_mixed (as before)"), without_note("ppo_mixed")
        ('ppo_mixed', 'ppo_mixed')
    """
    return re.sub(r" \([^()]*\)$", "", policy)


def label_of(policy: str) -> str:
    """Return what figures and pages call a policy; a learner that was not trained on `MIXED` says on what it was.

    Example:
        >>> label_of("q_learning_mixed"), label_of("ppo_spike"), label_of("my rule")
        ('Q-learning', 'PPO (spike)', 'my rule')
        >>> label_of("ppo_mixed_decision")
        'PPO, decision inputs'
        >>> label_of("kpa (calibrated)")
        'Knative KPA (calibrated)'
    """
    if (plain := without_note(policy)) != policy:
        return label_of(plain) + policy.removeprefix(plain)
    match, learner = _LEARNED.fullmatch(policy), learner_of(policy)
    if match is None or learner is None:
        return POLICY_LABELS.get(policy, policy)
    trained_on, decision = _without_inputs(match[2] or "mixed")
    label = POLICY_LABELS[learner] + (f" ({trained_on})" if trained_on != "mixed" else "")
    return f"{label}, decision inputs" if decision else label


def _without_inputs(workload: str) -> tuple[str, bool]:
    """Return what follows the algorithm in a model's name without the inputs, and whether these are of a decision."""
    plain = re.sub(rf"[-_]{DECISION}$", "", workload, flags=re.IGNORECASE)
    return plain, plain != workload


def model_names(folders: Folders | None = None) -> list[str]:
    """Return the names of the models in the models' folders, without endings, in order."""
    places = (folders or Folders()).model_folders
    return sorted({path.stem for place in places for ending in MODEL_ENDINGS for path in place.glob(f"*{ending}")})


def command_for(model: str) -> str | None:
    """Return the command that makes a model of a usual name; `None` for any other name.

    Example:
        >>> command_for("ppo_mixed"), command_for("q_learning_spike")
        ('autoscaler train ppo --pattern MIXED', 'autoscaler train q-learning --pattern SPIKE')
        >>> command_for("dqn_mixed_decision")
        'autoscaler train dqn --pattern MIXED --inputs decision'
    """
    match, learner = _LEARNED.fullmatch(model), learner_of(model)
    workload, decision = _without_inputs(match[2]) if match and match[2] else ("", False)
    pattern = workload.upper().replace("-", "_")
    if pattern not in (*PATTERNS, MIXED):
        return None
    return f"autoscaler train {learner} --pattern {pattern}" + (f" --inputs {DECISION}" if decision else "")


def _plain(name: str) -> str:
    """Return a name in the one spelling in which names are compared.

    Example:
        >>> {_plain(name) for name in ("qlearning", "Q-Learning", "q_learning")}
        {'q_learning'}
    """
    plain = name.lower().replace("-", "_")
    return plain.replace("qlearning", "q_learning").replace("policyiteration", "policy_iteration")


def _known_names(folders: Folders) -> dict[str, str]:
    """Return the names of all rules and models, by their plain spelling."""
    rules = (*CALIBRATED, *VENDOR_RULES)
    calibrated = [f"{rule}-{name.lower()}" for rule in rules for name in (*PATTERNS, MIXED, "calibrated")]
    return {_plain(name): name for name in (*model_names(folders), *calibrated, FORECAST, RECOGNISE, *BASELINES)}


def _spelled(spec: str, folders: Folders) -> str:
    """Return a name as we spell it, for a name in another case or an older spelling; anything else unchanged.

    The name of an algorithm alone means its model for `MIXED`, unless a model has that very name.
    """
    known = _known_names(folders)
    plain = _plain(spec)
    if plain not in known and plain in [_plain(learner) for learner in LEARNERS]:
        plain = f"{plain}_mixed"
        return known.get(plain, plain)
    return spec if spec in known.values() else known.get(plain, spec)


# --- policies --------------------------------------------------------------------------------------------------------


def find_policy(
    spec: str,
    service: Service | None = None,
    folders: Folders | None = None,
    workload: str | Workload = MIXED,
) -> Policy:
    """Return the policy that a user names.

    Args:
        spec: One of `BASELINES` (`threshold`, `hpa-cpu`, `optimum`), `forecast` (on a trace), `recognise` (trained at
            the first use, in seconds), one of `CALIBRATED` calibrated on a pattern (`target-tracking-mixed`,
            `hpa-demand-spike`) or on the earlier days of `workload` (`threshold-calibrated`), a model's name
            (`ppo_mixed`), a path to a `.pkl` or `.zip`, or `module:Class`. Names are found in any case, and
            `qlearning`, `q_learning` and `q-learning` are the same. The class is called with the service and has
            `reset(days)` and `predict(observations)`, or
            stable-baselines3's `predict(observation, deterministic)`. The code of such a module runs; that of a model
            file never does.
        service: The service to scale; the reference service by default.
        folders: Where models and calibrations lie; the project's folders by default.
        workload: What the policy will be evaluated on: a pattern's name or a trace.

    Returns:
        The policy, with a name for tables.

    Raises:
        ValueError: There is no policy of that name; the message is one line that says what there is.

    Example:
        >>> find_policy("Threshold").name
        'threshold'
    """
    service = service or Service()
    folders = folders or Folders()
    if spec.lower().endswith((*MODEL_ENDINGS, *OTHER_ENDINGS)):
        return _load(_file_of(spec, folders), service, workload)
    name = _spelled(spec, folders)
    if name in BASELINES:
        return BASELINES[name](service)
    if name == FORECAST:
        if not isinstance(workload, Trace):
            raise ValueError(
                f"policy = {spec!r}: needs the days before each day, which only recorded traffic has (--trace FILE.csv)"
            )
        from autoscaler_env.policies.forecast import Forecast

        return Forecast(service, workload)
    if name == RECOGNISE:
        return _recognise(service, folders)
    for rule in (*CALIBRATED, *VENDOR_RULES):
        if name.lower().startswith(f"{rule}-"):
            return _calibrated(rule, name[len(rule) + 1 :], service, folders, workload)
    candidates = [[folder / f"{name}{ending}" for ending in MODEL_ENDINGS] for folder in folders.model_folders]
    files = next((present for paths in candidates if (present := [path for path in paths if path.is_file()])), [])
    if len(files) > 1:
        raise ValueError(f"policy = {spec!r}: {' and '.join(path.name for path in files)} exist; add the ending")
    if files:
        return _load(files[0], service, workload)
    if ":" in spec:
        return _of_the_user(spec, service, folders)
    raise ValueError(f"policy = {spec!r}: {_what_there_is(name, folders)}")


def find_policies(
    specs: Sequence[str],
    service: Service | None = None,
    folders: Folders | None = None,
    workload: str | Workload = MIXED,
) -> list[Policy]:
    """Return the policies that a user names, each with its own name for tables.

    Policies with the same name, such as the `best_model.zip` of two trainings, take the name that the user typed. Our
    target tracking is called `ideal-target-tracking` beside rules as vendors run them.

    Args:
        specs: Policies as `find_policy` takes them, at least one, each once.
        service: The service to scale; the reference service by default.
        folders: Where models and calibrations lie; the project's folders by default.
        workload: What the policies will be evaluated on: a pattern's name or a trace.

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
    if any(policy.name.startswith(VENDOR_RULES) for policy in policies):
        for policy in policies:
            if policy.name.startswith("target-tracking"):
                policy.name = f"ideal-{policy.name}"
    return policies


def showcase(spec: str, service: Service | None = None, folders: Folders | None = None) -> list[Policy]:
    """Return the policies of a demonstration.

    Args:
        spec: Policies as `find_policy` takes them, separated by commas; or `all`: the rules and the reference models.
            A reference model that is missing is left out, with a line on stderr.
        service: The service to scale; the reference service by default.
        folders: Where models lie; the project's folders by default.
    """
    if spec != "all":
        return find_policies([name.strip() for name in spec.split(",") if name.strip()], service, folders)
    folders = folders or Folders()
    present = [name for name in REFERENCE_MODELS if name in model_names(folders)]
    for name in REFERENCE_MODELS:
        if name not in present:
            print(_missing(name, folders, command_for(name)), file=sys.stderr)
    return find_policies([*RULES, *present], service, folders)


def rivals_on(workload: str | Workload, service: Service, folders: Folders) -> Callable[[str], list[Policy]]:
    """Return the policies that others are compared with on a workload, as a function of the pattern's name.

    On the patterns of the reference service they are those of notebook 6: random, static, the rules with their usual
    settings, all rules calibrated once for all patterns and once for each, and the reference models. On other workloads
    and for other services they are the rules alone, calibrated on the workload.

    Args:
        workload: A pattern's name, `MIXED` for the six patterns, or a workload.
        service: The service to scale.
        folders: Where models and calibrations lie. A model that is not there is left out.
    """
    is_reference = service == Service() and isinstance(workload, str)
    usual = find_policies(["random", "static", *USUAL], service)
    scope = "mixed" if is_reference else "calibrated"
    tuned = find_policies([f"{rule}-{scope}" for rule in CALIBRATED], service, folders, workload)
    present = set(model_names(folders)) if is_reference else set()
    models = find_policies(names, service, folders) if (names := sorted(present & set(REFERENCE_MODELS))) else []

    def rivals(pattern: str) -> list[Policy]:
        known = find_policies([f"{rule}-{pattern}" for rule in CALIBRATED], service, folders) if is_reference else []
        for rule, policy in zip(CALIBRATED, known, strict=False):
            policy.name = rule + PER_PATTERN_ENDING
        return [*usual, *tuned, *known, *models]

    return rivals


def _missing(name: str, folders: Folders, command: str | None) -> str:
    """Return where a model was looked for, and the command that makes it."""
    searched = " or ".join(str(folder) for folder in folders.model_folders)
    return f"{name} is missing in {searched}; make it with: {command}{folders.output_option}"


def _what_there_is(name: str, folders: Folders) -> str:
    """Return why there is no policy of a name, what the user may have meant, and what there is."""
    command = command_for(name)
    searched = listed([shown(folder) for folder in folders.model_folders], "or")
    if command is not None:
        return _missing(name, folders, command)
    known, models = _known_names(folders), model_names(folders)
    question = suggestion(_plain(name), known.values()) or "."
    rules = ", ".join((*BASELINES, FORECAST, RECOGNISE))
    return (
        f"no such policy{question} There are rules ({rules}), calibrated rules (RULE-PATTERN or RULE-calibrated, "
        f"RULE from {', '.join((*CALIBRATED, *VENDOR_RULES))}), models in {searched} "
        f"({', '.join(models) or 'none yet'}), model files (.pkl, .zip) and module:Class"
    )


def _calibrated(rule: str, where: str, service: Service, folders: Folders, workload: str | Workload) -> Policy:
    """Return a rule as it was calibrated, or calibrate it now where no setting is saved for the service.

    Args:
        rule: One of `CALIBRATED` or `VENDOR_RULES`.
        where: What it was calibrated on: a pattern, `MIXED`, or `calibrated`, which means the workload.
        service: The service to scale.
        folders: Where the settings are saved.
        workload: What the policy will be evaluated on.
    """
    pattern = where.upper().replace("-", "_")
    if pattern == "CALIBRATED" and not isinstance(workload, str):
        name = f"{rule}-calibrated"
        days = "the earlier days" if isinstance(workload, Trace) else "calibration days"
        print(f"Calibrating {name} on {days} of {workload.name}.", file=sys.stderr)
        return _calibrate_now(rule, workload, service, name)
    if pattern == "CALIBRATED":
        pattern = str(workload)
    name = f"{rule}-{pattern.lower()}"
    if pattern not in (*PATTERNS, MIXED):
        raise ValueError(f"policy = {name!r}: {not_a_choice('pattern', pattern, (*PATTERNS, MIXED))}")
    saved = _saved_setting(rule, pattern, folders, name) if service == Service() else None
    if saved is not None:
        return saved
    print(f"Calibrating {name} on 100 calibration days of each pattern.", file=sys.stderr)
    return _calibrate_now(rule, pattern, service, name)


def _recognise(service: Service, folders: Folders) -> Policy:
    """Return a classifier of patterns with the cheapest calibrated rule of each, or target tracking calibrated now."""
    from autoscaler_env.evaluation.rivals import cheapest_rules
    from autoscaler_env.policies.recognise import Recognise, train_recogniser

    if service == Service() and folders.find("results/calibrated_rules.csv").exists():
        rules: dict[str, Policy] = {pattern: rule.policy() for pattern, rule in cheapest_rules(folders).items()}
    else:
        rules = {pattern: _calibrated("target-tracking", pattern, service, folders, pattern) for pattern in PATTERNS}
    print("Training a classifier on days of each pattern.", file=sys.stderr)
    return Recognise(service, train_recogniser(service), rules)


def _saved_setting(rule: str, pattern: str, folders: Folders, name: str) -> Policy | None:
    """Return a rule with the setting saved for the reference service; `None` if there is none."""
    from autoscaler_env.evaluation.calibration import read_calibrations
    from autoscaler_env.evaluation.rivals import read_calibrated_rules

    if rule == "target-tracking":
        known = read_calibrations(folders) if folders.find("results/calibration.csv").exists() else {}
        return known[pattern].rule(name=name) if pattern in known else None
    tuned = read_calibrated_rules(folders) if folders.find("results/calibrated_rules.csv").exists() else {}
    return tuned[rule][pattern].policy(name=name) if pattern in tuned.get(rule, {}) else None


def _calibrate_now(rule: str, workload: str | Workload, service: Service, name: str) -> Policy:
    """Return a rule calibrated on the calibration days of a pattern, or on the earlier days of a trace."""
    from autoscaler_env.evaluation.calibration import calibrate
    from autoscaler_env.evaluation.rivals import calibrate_rule

    if rule == "target-tracking":
        return calibrate([workload], service).rule(service, name)
    (found,) = calibrate_rule(rule, [workload], service).values()
    return found.policy(service, name)


def _file_of(spec: str, folders: Folders) -> Path:
    """Return the file of a path as a user types it: from the working directory, the root or the models' folder."""
    places = (Path(spec), folders.root / spec, folders.models / spec)
    return next((path for path in places if path.is_file()), Path(spec))


def _load(path: Path, service: Service, workload: str | Workload) -> Policy:
    """Return the policy in a model file; say on stderr if it was trained for an objective or for another service.

    A policy that remembers days is told those of a trace: it sees, before each day, the days before it.
    """
    from autoscaler_env.evaluation.objective import trained_for
    from autoscaler_env.storage.models import load_policy, read_description  # here: torch, which no rule needs

    policy: Any = load_policy(path, service)
    if isinstance(workload, Trace) and getattr(policy, "remembers_days", False):
        policy.remember(workload.requests)
    wanted, description = service.as_dict(), read_description(path) or {}
    theirs = description.get("service", wanted)
    if objective := trained_for(description):
        print(f"{policy.name} was {objective}.", file=sys.stderr)
        theirs = theirs | {"late_price": service.late_price}  # it was searched, and belongs to the objective
    names = dict.fromkeys([*wanted, *theirs])
    other = [f"{name} {theirs.get(name)}" for name in names if wanted.get(name) != theirs.get(name)]
    if other:
        print(
            f"{policy.name} was trained for another service: {', '.join(other)}. Train one for this service.",
            file=sys.stderr,
        )
    found: Policy = policy
    return found


def _of_the_user(spec: str, service: Service, folders: Folders) -> Policy:
    """Return an instance of a user's class, whose name is none of ours."""
    policy = own_policy(spec, service)
    ours = {*_known_names(folders).values(), *REFERENCE_MODELS, *(rule + PER_PATTERN_ENDING for rule in CALIBRATED)}
    if policy.name in ours:
        raise ValueError(f"policy = {spec!r}: its name {policy.name!r} is that of another policy; give it its own name")
    return policy
