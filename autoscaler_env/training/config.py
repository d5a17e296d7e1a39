"""What a training is: the learner, its settings, its workload and its seed.

`TrainingConfig` is also the list of options of `autoscaler train`: a new field is a new option.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import shlex
from collections.abc import Callable, Collection, Mapping
from dataclasses import KW_ONLY, MISSING, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args

import numpy as np
from tyro.conf import Positional, Suppress, arg
from tyro.constructors import PrimitiveConstructorSpec

from autoscaler_env.device import DEVICES
from autoscaler_env.evaluation.objective import Objective
from autoscaler_env.service import Service
from autoscaler_env.text import listed, not_a_choice, suggestion
from autoscaler_env.traffic.workload import MIXED, PATTERNS, Workload, check_workload
from autoscaler_env.training.presets import (
    DECISION,
    USUAL,
    DeepPreset,
    GeneratedPreset,
    IterationPreset,
    QLearningPreset,
    RecordedPreset,
    deep_preset,
    q_learning_preset,
)

Algorithm = Literal["q-learning", "dqn", "ppo", "policy-iteration"]

LENGTH: dict[str, str] = {
    "q-learning": "episodes",
    "dqn": "timesteps",
    "ppo": "timesteps",
    "policy-iteration": "iterations",
}
"""The field that holds the length of a training, by algorithm."""


class _Limits(NamedTuple):
    """Which learners have a setting, and which values it may have."""

    learners: tuple[str, ...]
    allowed: str
    """The rest of a message, after "must be"."""
    is_allowed: Callable[[Any], bool]


def _setting(allowed: str, is_allowed: Callable[[Any], bool], *learners: Algorithm) -> Any:
    """Return a field of `TrainingConfig` that replaces a preset's setting of the same name.

    The name is that of a field of `QLearningPreset` or `DeepPreset`, or that of an argument of the learner's class in
    stable-baselines3. Nothing else needs to know the field: it is an option of `autoscaler train`, it is checked, it
    changes the preset, and it is written into the command that makes the model.

    Args:
        allowed: What a value must be, for the message.
        is_allowed: Returns whether a value is allowed.
        learners: The learners that have the setting.
    """
    return field(default=None, metadata={"limits": _Limits(learners, allowed, is_allowed)})


def _is_count(least: int) -> Callable[[Any], bool]:
    """Return a function that says whether a value is a whole number of at least `least`."""
    return lambda value: type(value) is int and value >= least


def _is_share(value: Any) -> bool:
    """Return whether a value is a number from 0 to 1."""
    return _is_number(value) and 0 <= value <= 1


def _is_number(value: Any) -> bool:
    """Return whether a value is a finite number."""
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool) and bool(np.isfinite(value))


def _number(metavar: str, default: str = "(the preset's)") -> Any:
    """Return how an option is shown in the help."""
    return arg(metavar=metavar, help_behavior_hint=default)


def _parse_algorithm(words: list[str]) -> str:
    """Return the algorithm that a user types: in any case, and Q-learning in older spellings too."""
    name = words[0].lower()
    return "q-learning" if name in ("qlearning", "q_learning") else name.replace("_", "-")


_AlgorithmOption = PrimitiveConstructorSpec(
    nargs=1,
    metavar="{q-learning,dqn,ppo,policy-iteration}",
    instance_from_str=_parse_algorithm,
    is_instance=lambda value: isinstance(value, str),
    str_from_instance=lambda value: [value],
)
_PatternOption = PrimitiveConstructorSpec(
    nargs=1,
    metavar="PATTERN",
    instance_from_str=lambda words: words[0].upper(),
    is_instance=lambda value: isinstance(value, (str, Workload)),
    str_from_instance=lambda value: [value if isinstance(value, str) else value.name],
)


@dataclass(frozen=True)
class WarmStart:
    """The model whose weights a training starts from."""

    path: Path
    """Its file."""
    sha256: str
    """The hash of the file: another model gives another training."""

    @classmethod
    def of(cls, path: Path) -> WarmStart:
        """Return the warm start from a model file."""
        return cls(path, hashlib.sha256(path.read_bytes()).hexdigest())


@dataclass(frozen=True)
class TrainingConfig:
    """One training, completely described: the same configuration gives the same model, bit for bit.

    That holds on one machine, on the CPU, with the same versions of the libraries. Another processor gives another DQN
    and another PPO from the same seed (it adds numbers in another order), and the same Q-table.

    Raises `ValueError` with the field, its value and what is allowed.

    Example:
        >>> TrainingConfig("ppo", "SPIKE", timesteps=50_000, seed=3).command()
        'autoscaler train ppo --pattern SPIKE --timesteps 50000 --seed 3'
    """

    algorithm: Annotated[Positional[Algorithm], _AlgorithmOption]
    """The learner."""
    pattern: Annotated[
        str | Workload, _PatternOption, arg(help=f"{', '.join(PATTERNS)}, or {MIXED}: one of the six for each day.")
    ] = MIXED
    """The workload: the name of a pattern, or a workload such as a `Trace`."""
    _: KW_ONLY
    episodes: Annotated[int | None, _number("N", "(default: 10000)")] = _setting(
        "an integer of at least 1", _is_count(1), "q-learning"
    )
    """Length of a training of q-learning, in days."""
    timesteps: Annotated[int | None, _number("N", "(default: 100000)")] = _setting(
        "an integer of at least 1", _is_count(1), "dqn", "ppo"
    )
    """Length of a training of dqn or ppo, in timesteps; rounded up to whole rollouts."""
    iterations: Annotated[int | None, _number("N", "(default: 24)")] = _setting(
        "an integer of at least 1", _is_count(1), "policy-iteration"
    )
    """Length of a training of policy-iteration, in iterations."""
    name: Annotated[str | None, _number("NAME", "(default: ALGORITHM_PATTERN)")] = None
    """Name of the model."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """Seed of all random numbers, at least 0. The same seed gives the same model, bit for bit, on the same machine; on
    another processor it gives another dqn or ppo, and the same table of q-learning."""
    device: Annotated[str, arg(metavar="{auto,cpu,cuda,mps}")] = "auto"
    """Where dqn and ppo train."""
    inputs: Annotated[str | None, _number("{usual,decision}", "(default: usual)")] = _setting(
        f"{USUAL} or {DECISION}", lambda inputs: inputs in (USUAL, DECISION), "q-learning", "dqn", "ppo"
    )
    """What q-learning, dqn or ppo sees: its usual inputs, or those that a decision needs (chances of the patterns,
    forecast, fleet against the demand that is expected). With these its preset is another, and a recogniser of patterns
    is trained first. policy-iteration always has them."""
    learning_rate: Annotated[float | None, _number("X")] = _setting(
        "above 0 and below 1", lambda rate: _is_number(rate) and 0 < rate < 1, "dqn", "ppo", "policy-iteration"
    )
    """Step size of the first update, for dqn, ppo and policy-iteration; falls linearly to 0."""
    batch_size: Annotated[int | None, _number("N")] = _setting(
        "at least 2", lambda size: size >= 2, "dqn", "ppo", "policy-iteration"
    )
    """Transitions in one update of dqn and ppo; steps in one of policy-iteration."""
    discount: Annotated[float | None, _number("X")] = _setting(
        "at least 0 and below 1",
        lambda discount: _is_number(discount) and 0 <= discount < 1,
        "q-learning",
        "dqn",
        "ppo",
    )
    """Weight of the next step's value; at least 0 and below 1."""
    imitation_days: Annotated[int | None, _number("N", "(default: 0; 2 with inputs decision)")] = _setting(
        "at least 0", lambda days: days >= 0, "dqn", "ppo"
    )
    """Days that calibrated rules play in each environment; dqn and ppo imitate them before they play themselves."""
    widths: Annotated[tuple[int, ...] | None, _number("N ...")] = _setting(
        "one or more layers of at least 1 unit",
        lambda widths: bool(widths) and min(widths) >= 1,
        "dqn",
        "ppo",
        "policy-iteration",
    )
    """Units of each hidden layer; policy-iteration has two layers."""
    clip_range: Annotated[float | None, _number("X", "(default: 0.2)")] = _setting(
        "a number above 0", lambda limit: _is_number(limit) and limit > 0, "ppo"
    )
    """How far an update of ppo may move the ratio of probabilities from 1 before the gain is clipped."""
    ent_coef: Annotated[float | None, _number("X")] = _setting(
        "a number of at least 0", lambda weight: _is_number(weight) and weight >= 0, "ppo"
    )
    """Weight of the entropy in the loss of ppo: more of it keeps actions random for longer."""
    gae_lambda: Annotated[float | None, _number("X")] = _setting("a number from 0 to 1", _is_share, "ppo")
    """Lambda of generalised advantage estimation, for ppo: 0 trusts the critic, 1 the rewards of the rollout."""
    n_steps: Annotated[int | None, _number("N")] = _setting("an integer of at least 1", _is_count(1), "ppo")
    """Steps in each environment between two updates of ppo."""
    n_epochs: Annotated[int | None, _number("N")] = _setting("an integer of at least 1", _is_count(1), "ppo")
    """How often ppo goes through each rollout."""
    buffer_size: Annotated[int | None, _number("N")] = _setting("an integer of at least 1", _is_count(1), "dqn")
    """Transitions that dqn's replay buffer holds, over all environments."""
    target_update_interval: Annotated[int | None, _number("N")] = _setting(
        "an integer of at least 1", _is_count(1), "dqn"
    )
    """Timesteps between two copies of dqn's network to its target network."""
    gradient_steps: Annotated[int | None, _number("N")] = _setting("an integer of at least 1", _is_count(1), "dqn")
    """Updates of dqn after each step of all environments."""
    first_epsilon: Annotated[float | None, _number("X")] = _setting("a number from 0 to 1", _is_share, "q-learning")
    """Share of random actions of q-learning on the first day."""
    last_epsilon: Annotated[float | None, _number("X")] = _setting("a number from 0 to 1", _is_share, "q-learning")
    """Share of random actions of q-learning on the last day."""
    days: Annotated[int | None, _number("N")] = _setting("an integer of at least 6", _is_count(6), "policy-iteration")
    """Days that policy-iteration plays in an iteration."""
    labels: Annotated[int | None, _number("N")] = _setting("an integer of at least 1", _is_count(1), "policy-iteration")
    """Steps of each of these days at which policy-iteration tries every action."""
    rule_iterations: Annotated[int | None, _number("N")] = _setting(
        "an integer of at least 0", _is_count(0), "policy-iteration"
    )
    """Iterations of policy-iteration in which the calibrated rule goes on after a tried action, not the network."""
    kl_weight: Annotated[float | None, _number("X")] = _setting(
        "a number above 0", lambda weight: _is_number(weight) and weight > 0, "policy-iteration"
    )
    """What keeps policy-iteration near its last policy: dollars for a unit of KL divergence."""
    rate_exponent: Annotated[float | None, _number("X")] = _setting("a number from 0 to 1", _is_share, "q-learning")
    """The n-th update of an entry of q-learning's table has a step size of n to the minus this."""
    recogniser_days: Annotated[int | None, _number("N")] = _setting(
        "an integer of at least 6", _is_count(6), *get_args(Algorithm)
    )
    """Days that the recogniser of patterns learns from, for policy-iteration and for inputs of a decision."""
    service: Suppress[Service] = field(default_factory=Service)
    """The service to scale."""
    objective: Suppress[Objective | None] = None
    """What the learner must keep instead of a late price, which is then 0 in the service and is searched: see
    `training.objective`."""
    start: Suppress[WarmStart | None] = None
    """The model of the same learner, of the same shape, whose weights the training starts from; by default none."""

    def __post_init__(self) -> None:
        if self.algorithm not in get_args(Algorithm):
            raise ValueError(not_a_choice("algorithm", self.algorithm, get_args(Algorithm)))
        check_workload(self.pattern)
        for name, value in self._given().items():
            learners, allowed, is_allowed = _LIMITS[name]
            if self.algorithm not in learners:
                instead = f"; give {LENGTH[self.algorithm]}" if name in LENGTH.values() else ""
                raise ValueError(f"{name} = {value!r}: is for {listed(learners)}, not for {self.algorithm}{instead}")
            if not is_allowed(value):
                meant = suggestion(value, allowed.split(" or ")) if isinstance(value, str) else ""
                raise ValueError(f"{name} = {value!r}: must be {allowed}{meant}")
        if not isinstance(self.seed, int) or self.seed < 0:
            raise ValueError(f"seed = {self.seed!r}: must be an integer of at least 0")
        if self.device not in DEVICES:
            raise ValueError(not_a_choice("device", self.device, DEVICES))
        if self.algorithm in ("q-learning", "policy-iteration") and self.device not in ("auto", "cpu"):
            what = "a table" if self.algorithm == "q-learning" else self.algorithm
            raise ValueError(f"device = {self.device!r}: must be auto or cpu; {what} is trained on the CPU")
        if self.name is not None and (not self.name or Path(self.name).name != self.name or self.name.startswith(".")):
            raise ValueError(f"name = {self.name!r}: must be a plain file name without an ending")
        if self.objective is not None:
            self.objective.check_service(self.service)
        preset = self.preset
        if isinstance(preset, IterationPreset):
            self._check_iterations(preset)
        elif self.recogniser_days is not None and preset.inputs != DECISION:
            raise ValueError(f"recogniser_days = {self.recogniser_days}: needs inputs = {DECISION!r}")
        if self.algorithm == "ppo" and isinstance(preset, DeepPreset) and preset.rollout % preset.batch_size:
            raise ValueError(
                f"batch_size = {preset.batch_size}: must divide the transitions of a rollout of ppo, n_steps x "
                f"{preset.environments} = {preset.rollout}"
            )

    def _check_iterations(self, preset: IterationPreset) -> None:
        if len(preset.widths) != 2:
            raise ValueError(f"widths = {preset.widths}: policy-iteration has two hidden layers")
        if preset.labels > self.service.steps_per_episode:
            raise ValueError(
                f"labels = {preset.labels}: must be at most the steps of a day, {self.service.steps_per_episode}"
            )

    def _given(self) -> dict[str, Any]:
        """Return the settings that replace those of the preset."""
        return {name: value for name in _LIMITS if (value := getattr(self, name)) is not None}

    @property
    def pattern_name(self) -> str:
        """The name of the pattern or trace."""
        return self.pattern if isinstance(self.pattern, str) else self.pattern.name

    @property
    def model_name(self) -> str:
        """The model's file name, without its ending."""
        ending = f"_{DECISION}" if self.inputs == DECISION else ""
        return self.name or f"{self.algorithm.replace('-', '_')}_{self.pattern_name.lower()}{ending}"

    @property
    def ending(self) -> str:
        """The ending of its model files."""
        return ".pkl" if self.algorithm == "q-learning" else ".zip"

    @property
    def preset(self) -> QLearningPreset | DeepPreset | IterationPreset:
        """All settings of the learner: those of the preset, with the settings given here in their place."""
        if self.algorithm == "q-learning":
            return dataclasses.replace(q_learning_preset(self.inputs), **self._given())
        if self.algorithm == "policy-iteration":
            return dataclasses.replace(self._iteration_preset(), **self._given())
        return _with_settings(deep_preset(self.algorithm, self.timesteps, self.inputs), self._given())

    def _iteration_preset(self) -> IterationPreset:
        if isinstance(self.pattern, str):
            return IterationPreset()
        from autoscaler_env.traffic.generated import GeneratedDays  # here: options need no compiler
        from autoscaler_env.traffic.trace import recorded_days

        if isinstance(self.pattern, GeneratedDays):
            return GeneratedPreset()
        recorded = recorded_days(self.pattern, self.service.boot_steps) is not None
        return RecordedPreset() if recorded else IterationPreset()

    @property
    def total_timesteps(self) -> int:
        """Length of the training in timesteps, before it is rounded up to whole rollouts."""
        preset = self.preset
        if isinstance(preset, QLearningPreset):
            return preset.episodes * self.service.steps_per_episode
        if isinstance(preset, IterationPreset):
            return preset.visited_timesteps(self.service.steps_per_episode)
        return preset.timesteps

    def simulated_timesteps(self, timesteps: int) -> int:
        """Return how many steps are simulated in so many timesteps; without the branches of policy iteration.

        Where rewards are measured against a rule, it plays the same days beside the learner. Days of which ppo needs no
        rewards, as it only imitates what was done, count once.
        """
        preset = self.preset
        if isinstance(preset, IterationPreset) or (isinstance(preset, QLearningPreset) and preset.inputs != DECISION):
            return timesteps
        imitated = 0
        if isinstance(preset, DeepPreset) and self.algorithm == "ppo":
            imitated = preset.imitated_timesteps(self.service.steps_per_episode)
        return 2 * timesteps - imitated

    def identity(self) -> dict[str, Any]:
        """Return everything that decides what the training gives, in the form that JSON holds."""
        return _identity(self)

    def fingerprint(self) -> str:
        """Return twelve characters that stand for this training: its identity, and the code that decides its result."""
        from autoscaler_env.compiled import code_fingerprint  # here, as below: options need no compiler

        content = json.dumps([self.identity(), code_fingerprint()], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:12]

    def command(self) -> str:
        """Return the command line that makes this model.

        A trace or a service that was read from a file stands in it as TRACE.csv or SERVICE.toml: the configuration does
        not know the files. The objective stands in the file of the service.
        """
        options = command_options(self, always=("pattern", "seed"), without=("objective", "start"))
        return shlex.join(["autoscaler", "train", self.algorithm, *options])


_LIBRARY_DEFAULTS = {"clip_range": 0.2}
"""Settings that no preset has, and their values in stable-baselines3: to give such a value changes nothing."""


def _with_settings(preset: DeepPreset, given: Mapping[str, Any]) -> DeepPreset:
    """Return a preset with some settings replaced; what is no field of it is an argument of stable-baselines3."""
    own = {each.name for each in dataclasses.fields(preset)}
    library = {
        name: value
        for name, value in given.items()
        if name not in own and (name in preset.settings or _LIBRARY_DEFAULTS.get(name) != value)
    }
    changes = {name: value for name, value in given.items() if name in own}
    return dataclasses.replace(preset, settings=preset.settings | library, **changes)


_LIMITS: dict[str, _Limits] = {
    each.name: each.metadata["limits"] for each in dataclasses.fields(TrainingConfig) if "limits" in each.metadata
}
"""The limits of every setting that replaces one of the preset's, by name."""


def settings_of(algorithm: str) -> tuple[str, ...]:
    """Return the names of a learner's settings, without the length of the training.

    Example:
        >>> settings_of("q-learning")
        ('inputs', 'discount', 'first_epsilon', 'last_epsilon', 'rate_exponent', 'recogniser_days')
    """
    return tuple(name for name, each in _LIMITS.items() if algorithm in each.learners and name not in LENGTH.values())


def command_options(config: Any, *, always: Collection[str] = (), without: Collection[str] = ()) -> list[str]:
    """Return the words on the command line that give the fields of a dataclass their values.

    Args:
        config: The dataclass; fields without a default are positional, and left out.
        always: Fields that are written even if they have their default.
        without: Fields that are left out.
    """
    words = []
    for each in dataclasses.fields(config):
        value = getattr(config, each.name)
        default = each.default_factory() if each.default_factory is not MISSING else each.default
        if each.name in without or default is MISSING or (value == default and each.name not in always):
            continue
        match value:
            case Service():
                words += ["--service", "SERVICE.toml"]
            case Workload():
                words += ["--trace", f"{value.name}.csv"]
            case _:
                values = value if isinstance(value, tuple) else () if value is True else (value,)
                words += [f"--{each.name.replace('_', '-')}", *map(str, values)]
    return words


_FINGERPRINT_DAYS = 64
"""Training days whose hash tells one workload from another."""


@functools.lru_cache(maxsize=8)
def _identity(config: TrainingConfig) -> dict[str, Any]:
    from autoscaler_env.traffic.patterns import as_workload, day_seeds

    days = as_workload(config.pattern, config.service).draw(day_seeds("training", _FINGERPRINT_DAYS))
    identity = {
        "algorithm": config.algorithm,
        "pattern": config.pattern_name,
        "seed": config.seed,
        "preset": dataclasses.asdict(config.preset),
        "service": config.service.as_dict(),
        "traffic": hashlib.sha256(days.tobytes()).hexdigest()[:12],
    }
    if config.objective is not None:  # the late price is searched
        identity["service"] = {name: value for name, value in config.service.as_dict().items() if name != "late_price"}
        identity["objective"] = dataclasses.asdict(config.objective)
    if config.start is not None:
        identity["start"] = config.start.sha256
    plain: dict[str, Any] = json.loads(json.dumps(identity))
    return plain
