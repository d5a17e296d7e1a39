"""A training, described, and what it leaves.

How each learner is trained.

The presets for the published budgets were tuned on selection days by `benchmarks/tune.py`, twelve trials of two seeds
for each learner; PPO's long preset by single trials on selection days, and the settings of its own that it has on MIXED
and on SPIKE (`study/plan.py`) by eight trials of two seeds each, so PPO has had more attention than the others.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.compiled import code_fingerprint
from autoscaler_env.paths import Folders
from autoscaler_env.policies.base import Policy
from autoscaler_env.service import Service
from autoscaler_env.traffic.patterns import MIXED, Workload, as_workload, day_seeds

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class QLearningPreset:
    """How the table of Q-learning is filled."""

    episodes: int = 10_000
    """Days of training."""
    rate_exponent: float = 0.7
    """The n-th update of an entry moves it by n to the minus this (Even-Dar and Mansour, JMLR 5, 2003)."""
    discount: float = 0.9
    """Weight of the next step's value."""
    first_epsilon: float = 0.3
    """Share of random actions on the first day."""
    last_epsilon: float = 0.05
    """Share of random actions from `epsilon_days` on."""
    epsilon_days: float = 0.5
    """Share of the training over which epsilon falls."""

    def epsilon(self, episodes: int) -> NDArray[np.float64]:
        """Return the share of random actions on each of `episodes` days, shape (episodes,)."""
        progress = np.arange(episodes) / max(episodes, 1)
        return np.interp(progress, [0, self.epsilon_days], [self.first_epsilon, self.last_epsilon])


@dataclass(frozen=True)
class DeepPreset:
    """How a deep learner is trained."""

    timesteps: int
    """Timesteps, over all environments."""
    environments: int
    """Services that are played side by side."""
    learning_rate: float
    """Step size of the first update; falls linearly to 0."""
    batch_size: int
    """Transitions in one update."""
    discount: float
    """Weight of the next step's value."""
    widths: tuple[int, ...] = (64, 64)
    """Units of the hidden layers."""
    levels: bool = False
    """Whether the inputs say where the level of traffic lies; see `inputs.Inputs`."""
    imitation_days: int = 0
    """Days that calibrated rules play in each environment, for PPO to imitate before it learns from rewards."""
    normalise_reward: bool = False
    """Whether rewards are divided by the running spread of the return."""
    settings: dict[str, Any] = field(default_factory=dict)
    """What else the library's class is given, by the library's names."""

    @property
    def rollout(self) -> int:
        """Timesteps, over all environments, that are collected before an update."""
        per_environment: int = self.settings.get("n_steps") or self.settings.get("train_freq", 1)
        return self.environments * per_environment

    def imitated_timesteps(self, steps_per_episode: int) -> int:
        """Return how many of the timesteps rules play, for the learner to imitate."""
        return self.imitation_days * self.environments * steps_per_episode

    def whole_rollouts(self, steps_per_episode: int) -> int:
        """Return how many timesteps the budget comes to: stable-baselines3 finishes the rollout that it has begun.

        Example:
            >>> DeepPreset(100, 64, 1e-3, 512, 0.9).whole_rollouts(288)
            128
        """
        imitated = self.imitated_timesteps(steps_per_episode)
        rewarded = max(self.timesteps - imitated, 0)
        return imitated + -(-rewarded // self.rollout) * self.rollout


PPO_PRESET = DeepPreset(
    timesteps=100_000,
    environments=64,
    learning_rate=1e-3,
    batch_size=1_024,
    discount=0.98,
    settings={"n_steps": 48, "n_epochs": 10, "gae_lambda": 0.98, "ent_coef": 0.005},
)
"""Many environments and short rollouts: large batches, few updates, the same policy for a fraction of the time.

Of the two settings that tied in `results/tuning_ppo_mixed.csv`, the one that trains in three quarters of the time.
"""

PPO_LONG_PRESET = DeepPreset(
    timesteps=1_000_000,
    environments=64,
    learning_rate=1e-3,
    batch_size=1_152,
    discount=0.98,
    levels=True,
    normalise_reward=True,
    settings={"n_steps": 288, "n_epochs": 10, "gae_lambda": 0.97, "ent_coef": 0.001},
)
"""Rollouts of a whole day and a longer horizon: what pays on rare events, flash crowds, takes this much to learn."""

LONG_BUDGET = 300_000
"""Timesteps from which on PPO is given its long preset."""

DQN_PRESET = DeepPreset(
    timesteps=100_000,
    environments=64,
    learning_rate=2e-3,
    batch_size=256,
    discount=0.9,
    settings={
        "buffer_size": 100_000,
        "learning_starts": 2_048,
        "train_freq": 1,
        "gradient_steps": 2,
        "target_update_interval": 1_000,
        "exploration_fraction": 0.3,
        "exploration_final_eps": 0.01,
    },
)
"""Two updates of 256 transitions for each step of 64 environments."""

PRESETS = {"dqn": DQN_PRESET, "ppo": PPO_PRESET}


def deep_preset(algorithm: str, timesteps: int | None = None) -> DeepPreset:
    """Return how DQN or PPO is trained with a budget; the published 100,000 timesteps by default."""
    if timesteps is None:
        return PRESETS[algorithm]
    preset = PPO_LONG_PRESET if algorithm == "ppo" and timesteps >= LONG_BUDGET else PRESETS[algorithm]
    return dataclasses.replace(preset, timesteps=timesteps)


_FINGERPRINT_DAYS = 64
"""Training days that tell one traffic from another."""

Algorithm = Literal["q-learning", "dqn", "ppo"]


@dataclass(frozen=True)
class TrainingConfig:
    """One training, wholly described: the same run gives the same model (CPU, one thread, same versions).

    Raises `ValueError` naming field, value and what is allowed.
    """

    algorithm: Algorithm
    """q-learning, dqn or ppo."""
    pattern: str | Workload = MIXED
    """What it trains on."""
    budget: int | None = None
    """Episodes for Q-learning, timesteps for DQN and PPO; the preset's by default."""
    name: str | None = None
    """Name of the model; ALGORITHM_PATTERN by default."""
    seed: int = 0
    """Seeds everything that is drawn."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    learning_rate: float | None = None
    """Instead of the preset's (DQN, PPO)."""
    batch_size: int | None = None
    """Instead of the preset's (DQN, PPO)."""
    discount: float | None = None
    """Instead of the preset's weight of the next step's value (DQN, PPO)."""
    imitation_days: int | None = None
    """Instead of the preset's days of imitation (PPO)."""
    widths: tuple[int, ...] | None = None
    """Instead of the preset's hidden layers (DQN, PPO)."""
    service: Service = field(default_factory=Service)
    """The service to scale."""

    def __post_init__(self) -> None:
        if self.algorithm not in get_args(Algorithm):
            raise ValueError(f"algorithm = {self.algorithm!r}: must be one of {', '.join(get_args(Algorithm))}")
        as_workload(self.pattern, self.service)
        if self.budget is not None and (not isinstance(self.budget, int) or self.budget < 1):
            raise ValueError(f"budget = {self.budget!r}: must be an integer of at least 1")
        if not isinstance(self.seed, int) or self.seed < 0:
            raise ValueError(f"seed = {self.seed!r}: must be an integer of at least 0")
        if self.device not in ("auto", "cpu", "cuda", "mps"):
            raise ValueError(f"device = {self.device!r}: must be auto, cpu, cuda or mps")
        if self.algorithm == "q-learning" and self.device not in ("auto", "cpu"):
            raise ValueError(f"device = {self.device!r}: a table is trained on the CPU; give auto or cpu")
        if self.learning_rate is not None and not 0 < self.learning_rate < 1:
            raise ValueError(f"learning_rate = {self.learning_rate}: must lie between 0 and 1")
        if self.batch_size is not None and self.batch_size < 2:
            raise ValueError(f"batch_size = {self.batch_size}: must be at least 2")
        if self.discount is not None and not 0 <= self.discount < 1:
            raise ValueError(f"discount = {self.discount}: must be at least 0 and below 1")
        if self.widths is not None and (not self.widths or min(self.widths) < 1):
            raise ValueError(f"widths = {self.widths}: must be one or more layers of at least 1 unit")
        if self.imitation_days is not None and self.imitation_days < 0:
            raise ValueError(f"imitation_days = {self.imitation_days}: must be at least 0")
        if self.imitation_days is not None and self.algorithm != "ppo":
            raise ValueError(f"imitation_days = {self.imitation_days}: is for ppo, not for {self.algorithm}")
        own = (self.learning_rate, self.batch_size, self.discount, self.widths)
        if self.algorithm == "q-learning" and any(setting is not None for setting in own):
            raise ValueError("learning_rate, batch_size, discount and widths are for dqn and ppo, not for q-learning")
        if self.name is not None and (not self.name or Path(self.name).name != self.name or self.name.startswith(".")):
            raise ValueError(f"name = {self.name!r}: must be a plain file name without an ending")

    @property
    def pattern_name(self) -> str:
        """The name of the pattern or trace."""
        return self.pattern if isinstance(self.pattern, str) else self.pattern.name

    @property
    def model_name(self) -> str:
        """The model's file name, without its ending."""
        return self.name or f"{self.algorithm.replace('-', '_')}_{self.pattern_name.lower()}"

    @property
    def preset(self) -> QLearningPreset | DeepPreset:
        """How the learner is trained, this run's own settings included."""
        if self.algorithm == "q-learning":
            return QLearningPreset() if self.budget is None else QLearningPreset(episodes=self.budget)
        changed: dict[str, Any] = {
            "learning_rate": self.learning_rate,
            "batch_size": self.batch_size,
            "discount": self.discount,
            "imitation_days": self.imitation_days,
            "widths": self.widths,
        }
        preset = deep_preset(self.algorithm, self.budget)
        return dataclasses.replace(preset, **{name: value for name, value in changed.items() if value is not None})

    @property
    def ending(self) -> str:
        """The ending of its model files."""
        return ".pkl" if self.algorithm == "q-learning" else ".zip"

    @property
    def timesteps(self) -> int:
        """Timesteps, before whole rollouts are made of them."""
        preset = self.preset
        if isinstance(preset, QLearningPreset):
            return preset.episodes * self.service.steps_per_episode
        return preset.timesteps

    def identity(self) -> dict[str, Any]:
        """Return what makes this training what it is, as JSON holds it: other values, another model."""
        return _identity(self)

    def fingerprint(self) -> str:
        """Return twelve characters that stand for this training: its identity, and the code that decides its result."""
        content = json.dumps([self.identity(), code_fingerprint()], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:12]

    def model_path(self, folders: Folders) -> Path:
        """Return where the model lies."""
        return folders.models / f"{self.model_name}{self.ending}"

    def best_path(self, folders: Folders) -> Path:
        """Return where the best version of the model lies."""
        return folders.best / self.model_name / f"best_model{self.ending}"

    def checkpoint_path(self, folders: Folders, timesteps: int) -> Path:
        """Return where the model lies as it was after some timesteps."""
        return folders.checkpoints / f"{self.model_name}_{timesteps}_steps{self.ending}"

    def command(self) -> str:
        """Return the command line that makes this model.

        A trace and a service of one's own stand in it by names: the run does not know the files that they came from.
        """
        traffic = f"--pattern {self.pattern}" if isinstance(self.pattern, str) else f"--trace {self.pattern.name}.csv"
        options = {
            "episodes" if self.algorithm == "q-learning" else "timesteps": self.budget,
            "name": self.name,
            "learning-rate": self.learning_rate,
            "batch-size": self.batch_size,
            "discount": self.discount,
            "imitation-days": self.imitation_days,
            "widths": None if self.widths is None else " ".join(map(str, self.widths)),
            "device": None if self.device == "auto" else self.device,
            "service": None if self.service == Service() else "SERVICE.toml",
        }
        given = "".join(f" --{name} {value}" for name, value in options.items() if value is not None)
        return f"autoscaler train {self.algorithm} {traffic}{given} --seed {self.seed}"


@functools.lru_cache(maxsize=8)
def _identity(run: TrainingConfig) -> dict[str, Any]:
    days = as_workload(run.pattern, run.service).draw(day_seeds("training", _FINGERPRINT_DAYS))
    what = {
        "algorithm": run.algorithm,
        "pattern": run.pattern_name,
        "seed": run.seed,
        "preset": dataclasses.asdict(run.preset),
        "service": run.service.as_dict(),
        "traffic": hashlib.sha256(days.tobytes()).hexdigest()[:12],
    }
    plain: dict[str, Any] = json.loads(json.dumps(what))
    return plain


@dataclass(frozen=True)
class Trained:
    """What a training left."""

    policy: Policy
    description: dict[str, Any]
    """How the model was made, as it stands in the `.json` beside it."""

    @property
    def curve(self) -> pd.DataFrame:
        """How it did on selection days while it trained: timesteps, seconds, mean_return ($ a day)."""
        import pandas  # imported here: training a table should not wait for it

        return pandas.DataFrame(self.description["curve"])
