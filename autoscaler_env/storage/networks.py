"""Files of DQN, PPO and A2C networks, as stable-baselines3 saves them: write them, and read untrusted ones.

The reader uses the weights only. It reads `data` in the zip as JSON, and the weights as arrays for a network that we
build with the activation that the file names. It checks everything else in the file against what stable-baselines3
writes. A list of dangerous content would never be complete.

The writer leaves dates and memory addresses out, so that equal trainings give equal bytes.

A network over the inputs that a decision needs comes with what some of these inputs come from: a recogniser of
patterns, or a recording if it was trained on recorded traffic. It is one more member of the zip, `recogniser.pt` or
`recording.pt`, named arrays in torch's format; stable-baselines3's own `load` reads the network and ignores it.
"""

from __future__ import annotations

import base64
import functools
import io
import json
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from autoscaler_env.dynamics import OBSERVATION_HIGH, OBSERVATION_LOW, OBSERVATION_NAMES
from autoscaler_env.policies.base import Policy
from autoscaler_env.policies.decision_inputs import ARRIVALS_INPUTS, DECISION_INPUTS
from autoscaler_env.policies.inputs import INPUTS, INPUTS_WITH_LEVELS
from autoscaler_env.policies.recognise import Recogniser
from autoscaler_env.policies.recorded_inputs import HISTORY, LOOKED_BACK, RECORDED_INPUTS, Recording
from autoscaler_env.service import LARGEST_OBSERVABLE_COUNT, Service
from autoscaler_env.storage.files import write_atomically
from autoscaler_env.storage.foreign import OWN_CLASS, other_learner
from autoscaler_env.storage.pickles import ACTIVATIONS, IN_DATA, IN_OTHER_DATA, check_names, tokens
from autoscaler_env.storage.tensors import Array, check_tensors, read_archive, read_tensors
from autoscaler_env.text import one_line, printable
from autoscaler_env.traffic.workload import PATTERNS

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm

MOST_BYTES = 64 * 2**20
"""Largest size of a network's file, in bytes. The course's files have 0.2 MB."""

_MOST_DATA = 2 * 2**20
_MOST_STEPS = 86_400  # of a day
_RECOGNISER, _RECORDING = "recogniser.pt", "recording.pt"
_UNUSED_TENSORS = ("policy.optimizer.pth", "pytorch_variables.pth")
_MEMBERS = re.compile(
    r"data|policy\.pth|policy\.optimizer\.pth|pytorch_variables\.pth|_stable_baselines3_version|system_info\.txt"
    r"|recogniser\.pt|recording\.pt"
)
_HARMLESS = {
    *("net_arch", "activation_fn", "ortho_init", "log_std_init", "optimizer_class", "optimizer_kwargs"),
    *("normalize_images", "share_features_extractor"),
}
"""Settings of a network that are checked, that follow from its weights, or that matter for training only."""


class Network(NamedTuple):
    """The content of a network's file."""

    policy: Policy
    algorithm: str
    """dqn, ppo, a2c, trpo or policy-iteration."""
    sizes: tuple[int, ...]
    """Inputs, units of the hidden layers, actions."""
    timesteps: int | None
    """Number of training timesteps in the file, if there is one."""
    notes: tuple[str, ...]
    """Further remarks about the file, a sentence each."""


def parse_network(content: bytes, service: Service, name: str) -> Network:
    """Return the network in a file's content, as a policy of this name.

    Raises:
        ValueError: The content is no network, or the network does not fit the service.
    """
    try:
        members = read_archive(content, _MEMBERS, MOST_BYTES)
        for needed in ("data", "policy.pth"):
            if needed not in members:
                raise ValueError(f"it has no member {needed}")
        settings, noted = _settings(members["data"])
        _check_unused(members)
        weights = _in("policy.pth", read_tensors, members["policy.pth"])
        recogniser = _in(_RECOGNISER, _parse_recogniser, members[_RECOGNISER]) if _RECOGNISER in members else None
        recording = _in(_RECORDING, _parse_recording, members[_RECORDING]) if _RECORDING in members else None
    except ValueError as error:
        raise ValueError(f"not a model of stable-baselines3: {error}") from None
    if line := other_learner(settings, weights):
        raise ValueError(line)
    timesteps = settings.get("num_timesteps")
    algorithm = _algorithm(settings, weights)
    activation = _activation(settings.get("policy_kwargs"))
    sizes, widths = _sizes(algorithm, weights)
    _check_ends(sizes[0], sizes[-1], service)
    for member, found, inputs in (
        (_RECOGNISER, recogniser, DECISION_INPUTS), (_RECORDING, recording, RECORDED_INPUTS)
    ):  # fmt: skip
        if (found is not None) != (sizes[0] == inputs):
            needs = "needs" if found is None else "has no use for"
            raise ValueError(f"a network of {sizes[0]} inputs {needs} a member {member}")
    knowledge = recogniser or recording
    notes = _check_observations(settings, sizes[0], algorithm)
    policy = _build(algorithm, weights, sizes, widths, activation, service, name, knowledge)
    if knowledge is not None and algorithm != "dqn" and not widths["vf"]:
        algorithm = "policy-iteration"  # it is the only learner without a critic
    names = ", ".join(sorted(noted)[:3]) + (" and more" if len(noted) > 3 else "")
    notes += (f"its data names {names}, which other loaders would import",) if noted else ()
    return Network(policy, algorithm, sizes, timesteps if type(timesteps) is int and timesteps >= 0 else None, notes)


def _in(place: str, read: Any, content: bytes) -> Any:
    """Return the result of `read` for a member of the zip; name the member in an error."""
    try:
        return read(content)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None


def _settings(data: bytes) -> tuple[dict[str, Any], set[str]]:
    """Return the plain JSON in `data`, and unusual names in its pickles, which are checked and not read."""
    if len(data) > _MOST_DATA:
        raise ValueError(f"its data has {len(data):,} bytes; at most {_MOST_DATA:,} are read")
    settings = _in("data", lambda content: json.loads(content.decode()), data)
    if not isinstance(settings, dict):
        raise ValueError("data: no object with names")
    allowed = IN_OTHER_DATA if other_learner(settings) else IN_DATA
    noted: set[str] = set()
    for key, value in settings.items():
        if isinstance(value, dict) and ":serialized:" in value:
            read = functools.partial(_check_serialized, allowed)
            noted |= _in(f"data: {printable(key)}", read, value[":serialized:"])
    return settings, noted


def _check_serialized(allowed: frozenset[str], text: Any) -> set[str]:
    return check_names(_pickle(text), allowed)


def _pickle(text: Any) -> bytes:
    if not isinstance(text, str):
        raise ValueError("not a pickle in base64")
    return base64.b64decode(text, validate=True)


def _algorithm(settings: dict[str, Any], weights: dict[str, Array]) -> str:
    """Return which learner made a model: its settings tell apart those whose networks are alike."""
    if any(key.startswith("q_net.") for key in weights):
        return "dqn"
    if "cg_max_steps" in settings:
        return "trpo"
    return "a2c" if "gae_lambda" in settings and "clip_range" not in settings else "ppo"


def _check_unused(members: dict[str, bytes]) -> None:
    for name in _UNUSED_TENSORS:
        if name in members:
            _in(name, check_tensors, members[name])
    if not re.fullmatch(rb"\d[\w.+-]{0,40}\s*", members.get("_stable_baselines3_version", b"0")):
        raise ValueError("_stable_baselines3_version: no version")
    lines = members.get("system_info.txt", b"").splitlines()
    if not all(line.startswith(b"- ") for line in lines if line):
        raise ValueError("system_info.txt: no list of versions")


def _sizes(algorithm: str, weights: dict[str, Array]) -> tuple[tuple[int, ...], Any]:
    """Return the sizes from inputs to actions, and the hidden layers in the form of stable-baselines3."""
    if algorithm == "dqn":
        layers = _matrices(weights, r"q_net\.q_net\.(\d{1,2})\.weight")
        hidden: Any = [len(layer) for layer in layers[:-1]]
    else:
        actor = _matrices(weights, r"mlp_extractor\.policy_net\.(\d{1,2})\.weight")
        critic = _matrices(weights, r"mlp_extractor\.value_net\.(\d{1,2})\.weight")
        layers = actor + _matrices(weights, r"action_net\.(weight)")
        hidden = {"pi": [len(layer) for layer in actor], "vf": [len(layer) for layer in critic]}
    if not layers:
        raise ValueError(f"not a DQN or PPO network of plain layers: it has none; {OWN_CLASS}")
    return (layers[0].shape[1], *(len(layer) for layer in layers)), hidden


def _matrices(weights: dict[str, Array], pattern: str) -> list[Array]:
    """Return the matrices with matching names, in the order of the numbers in their names."""
    matrices = {match[1]: weights[key] for key in weights if (match := re.fullmatch(pattern, key))}
    if any(layer.ndim != 2 for layer in matrices.values()):
        raise ValueError("not a DQN or PPO network of plain layers: the weights of one are no matrix")
    return [matrices[number] for number in sorted(matrices, key=lambda text: (len(text), text))]


def _build(
    algorithm: str,
    weights: dict[str, Array],
    sizes: tuple[int, ...],
    widths: Any,
    activation: str | None,
    service: Service,
    name: str,
    knowledge: Recogniser | Recording | None,
) -> Policy:
    import torch  # imported here: loading a table should not wait for it

    from autoscaler_env.policies.deep import DeepPolicy, build_network

    network = build_network(algorithm, sizes[0], sizes[-1], cast("list[int]", widths), activation)
    try:
        network.load_state_dict({key: torch.tensor(array) for key, array in weights.items()}, strict=True)
    except RuntimeError as error:
        message = printable(one_line(error))
        raise ValueError(f"not a DQN or PPO network of plain layers: {message}; {OWN_CLASS}") from None
    network.set_training_mode(False)
    return DeepPolicy(network, service, name, knowledge)


def _parse_recogniser(content: bytes) -> Recogniser:
    """Return the recogniser in its member.

    Raises:
        ValueError: The layers do not lead from the inputs that depend on arrivals to the patterns.
    """
    arrays, layers = read_tensors(content), 0
    while f"weights.{layers}" in arrays:
        layers += 1
    names = [f"{kind}.{layer}" for kind in ("weights", "biases") for layer in range(layers)]
    if not layers or set(names) != set(arrays):
        raise ValueError("it must hold weights and biases of layers, numbered from 0")
    weights, biases = (tuple(arrays[f"{kind}.{layer}"] for layer in range(layers)) for kind in ("weights", "biases"))
    return checked_recogniser(weights, biases)


def checked_recogniser(weights: tuple[Array, ...], biases: tuple[Array, ...]) -> Recogniser:
    """Return a recogniser of these weights and biases, one of each for each layer.

    Raises:
        ValueError: The layers do not lead from the inputs that depend on arrivals to the patterns.
    """
    size = ARRIVALS_INPUTS
    for matrix, bias in zip(weights, biases, strict=True):
        if matrix.ndim != 2 or len(matrix) != size or bias.shape != matrix.shape[1:]:
            raise ValueError(f"a layer of shape {matrix.shape} with biases {bias.shape} does not follow {size} numbers")
        size = matrix.shape[1]
    if size != len(PATTERNS):
        raise ValueError(f"it has {size} outputs, not {len(PATTERNS)}")
    return Recogniser(weights, biases)


def _parse_recording(content: bytes) -> Recording:
    """Return the recording in its member.

    Raises:
        ValueError: An array is missing, of another shape, or holds numbers that no recording has.
    """
    arrays = read_tensors(content)
    if set(arrays) != set(Recording._fields):
        raise ValueError(f"it must hold {', '.join(Recording._fields)}")
    recording = Recording(**arrays)
    shapes = {"centre": (LOOKED_BACK,), "spread": (LOOKED_BACK,), "forecasts": (2, LOOKED_BACK + 1), "high": (1,)}
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise ValueError(f"{name} has the shape {arrays[name].shape}, not {shape}")
    history = recording.history
    if history.ndim != 2 or not 1 <= len(history) <= HISTORY or not 2 <= history.shape[1] <= _MOST_STEPS:
        raise ValueError(f"history has the shape {history.shape}: must be 1 to {HISTORY} days of steps")
    if (history < 0).any() or (history > LARGEST_OBSERVABLE_COUNT).any() or (history != np.rint(history)).any():
        raise ValueError("history must hold counts of requests")
    if (recording.spread <= 0).any() or not recording.high[0] >= 0:
        raise ValueError("spread must be above 0, and high at least 0")
    return recording


def _activation(given: Any) -> str | None:
    """Return the activation that the settings of a network name; `None`: the usual one. Check the other settings."""
    if not isinstance(given, dict | None):
        raise ValueError("its policy_kwargs are no object with names")
    activation = None
    for key, value in (given or {}).items():
        if key not in _HARMLESS | {":type:", ":serialized:"}:
            raise ValueError(f"its policy_kwargs set {printable(key)}; only plain layers are read: {OWN_CLASS}")
        if key == "activation_fn":
            match = re.fullmatch(r"<class 'torch\.nn\.modules\.activation\.(\w+)'>", str(value))
            if match is None or match[1] not in ACTIVATIONS:
                kind = match[1] if match else printable(value, 80)
                raise ValueError(f"its activation_fn is {kind}, which is not read here: {OWN_CLASS}")
            activation = match[1]
    return activation


def _check_ends(inputs: int, actions: int, service: Service) -> None:
    if inputs not in (INPUTS, INPUTS_WITH_LEVELS, DECISION_INPUTS, RECORDED_INPUTS, len(OBSERVATION_NAMES)):
        raise ValueError(
            f"it has {inputs} inputs; learners of this version have {INPUTS}, {INPUTS_WITH_LEVELS}, {DECISION_INPUTS} "
            f"or {RECORDED_INPUTS}, observations 7; {OWN_CLASS}"
        )
    if actions != len(service.fleet_changes):
        raise ValueError(f"it chooses among {actions} actions; this service has {len(service.fleet_changes)}")


def _check_observations(settings: dict[str, Any], inputs: int, algorithm: str) -> tuple[str, ...]:
    """Refuse a network that was trained on other observations than those of the environment.

    stable-baselines3 writes the last observation of the training into `data`. Normalised observations leave the range
    of ours: a day begins without booting instances and queue, which is below their mean. PPO and A2C keep the
    observation before it was normalised only if the environment was wrapped in VecNormalize.

    Returns:
        A remark about a model whose rewards alone were normalised.
    """
    wrapped = algorithm != "dqn" and settings.get("_last_original_obs") is not None
    seen = _numbers(settings.get("_last_obs"), inputs)
    known = inputs == len(OBSERVATION_NAMES) and seen is not None
    if seen is not None and known and not np.any((seen < OBSERVATION_LOW - 1e-6) | (seen > OBSERVATION_HIGH + 1e-6)):
        return ("it was trained with VecNormalize, of rewards only as it seems",) if wrapped else ()
    if wrapped or known:
        how = "VecNormalize normalised" if wrapped else "VecNormalize or another wrapper changed"
        raise ValueError(
            f"it was trained on observations that {how}, and its file does not say how: train on raw ones "
            f"(norm_obs=False), or load the statistics too: {OWN_CLASS}"
        )
    return ()


def _numbers(value: Any, inputs: int) -> Array | None:
    """Return the observations in a serialised array of `data`, shape (n, inputs); `None` if there is none."""
    if not isinstance(value, dict) or ":serialized:" not in value:
        return None
    arguments = [argument for _, argument, _ in tokens(_pickle(value[":serialized:"]))]
    rows = max((part for part in arguments if isinstance(part, bytes | bytearray)), key=len, default=b"")
    if "f4" not in arguments or not rows or len(rows) % (4 * inputs):
        return None
    return np.frombuffer(rows, "<f4").reshape(-1, inputs)


_ADDRESS = re.compile(rb" at 0x[0-9a-f]+")

_TEMPORARY = (
    "start_time",
    "_num_timesteps_at_start",
    "ep_info_buffer",
    "ep_success_buffer",
    "_last_obs",
    "_last_original_obs",
    "_last_episode_starts",
)
"""Attributes that belong to a moment of the training and not to the model. stable-baselines3 loads a model without."""


def save_learner(model: BaseAlgorithm, path: Path, knowledge: Recogniser | Recording | None = None) -> None:
    """Write a model of stable-baselines3 atomically; its own `load` can read the file.

    Args:
        model: The model.
        path: The file.
        knowledge: The recogniser or the recording that some of its inputs come from.
    """
    buffer = io.BytesIO()  # in memory first: the message of torch about a full disk is not clear
    model.save(buffer, exclude=_TEMPORARY)
    content = _reproducible(buffer, {} if knowledge is None else _written(knowledge))
    write_atomically(path, lambda file: file.write(content))


def _written(knowledge: Recogniser | Recording) -> dict[str, bytes]:
    """Return the member of a recogniser or a recording: named arrays in the format of torch."""
    import torch

    if isinstance(knowledge, Recording):
        member, arrays = _RECORDING, knowledge._asdict()
    else:
        layers = {"weights": knowledge.weights, "biases": knowledge.biases}
        member, arrays = _RECOGNISER, {f"{kind}.{i}": each for kind in layers for i, each in enumerate(layers[kind])}
    buffer = io.BytesIO()
    torch.save({name: torch.tensor(array) for name, array in arrays.items()}, buffer)
    return {member: buffer.getvalue()}


def _reproducible(saved: io.BytesIO, more: dict[str, bytes]) -> bytes:
    """Return a saved model with more members, without the dates and the memory addresses of stable-baselines3."""
    clean = io.BytesIO()
    with zipfile.ZipFile(saved) as before, zipfile.ZipFile(clean, "w") as after:
        for name, content in ({name: before.read(name) for name in before.namelist()} | more).items():
            plain = _ADDRESS.sub(b"", content) if name == "data" else content
            member = zipfile.ZipInfo(name)  # dated 1980
            member.external_attr = 0o644 << 16
            after.writestr(member, plain)
    return clean.getvalue()
