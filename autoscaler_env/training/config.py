"""A training, described, and what it leaves."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from autoscaler_env.paths import Folders
from autoscaler_env.policies.base import Policy
from autoscaler_env.service import Service
from autoscaler_env.training.presets import DeepPreset, QLearningPreset, deep_preset
from autoscaler_env.traffic.patterns import MIXED, Workload, as_workload

if TYPE_CHECKING:
    import pandas as pd

Algorithm = Literal["q-learning", "dqn", "ppo"]


@dataclass(frozen=True)
class TrainingRun:
    """One training, wholly described: the same run gives the same model (CPU, one thread, same versions).

    Raises `ValueError` naming field, value and what is allowed.
    """

    algorithm: Algorithm
    """q-learning, dqn or ppo."""
    pattern: str | Workload = MIXED
    """What it trains on."""
    budget: int | None = None
    """Episodes for Q-learning, slots for DQN and PPO; the preset's by default."""
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
    """Instead of the preset's weight of the next slot's value (DQN, PPO)."""
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
    def slots(self) -> int:
        """Slots of training, before whole rollouts are made of them."""
        preset = self.preset
        if isinstance(preset, QLearningPreset):
            return preset.episodes * self.service.slots_per_episode
        return preset.timesteps

    def model_path(self, folders: Folders) -> Path:
        """Return where the model lies."""
        return folders.models / f"{self.model_name}{self.ending}"

    def best_path(self, folders: Folders) -> Path:
        """Return where the best version of the model lies."""
        return folders.best / self.model_name / f"best_model{self.ending}"

    def checkpoint_path(self, folders: Folders, steps: int) -> Path:
        """Return where the model lies as it was after some slots."""
        return folders.checkpoints / f"{self.model_name}_{steps}_steps{self.ending}"

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


@dataclass(frozen=True)
class Trained:
    """What a training left."""

    policy: Policy
    description: dict[str, Any]
    """How the model was made, as it stands in the `.json` beside it."""

    @property
    def curve(self) -> pd.DataFrame:
        """How it did on selection days while it trained: steps (slots), seconds, mean_return ($ a day)."""
        import pandas  # imported here: training a table should not wait for it

        return pandas.DataFrame(self.description["curve"])
