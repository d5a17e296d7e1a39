"""How each learner is trained.

The presets for the published budgets were tuned on selection days by `benchmarks/tune.py`, twelve trials of two seeds
for each learner; PPO's long preset by single trials on selection days, and the settings of its own that it has on MIXED
and on SPIKE (`study/plan.py`) by eight trials of two seeds each, so PPO has had more attention than the others.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class QLearningPreset:
    """How the table of Q-learning is filled."""

    episodes: int = 10_000
    """Days of training."""
    rate_exponent: float = 0.7
    """The n-th update of an entry moves it by n to the minus this (Even-Dar and Mansour, JMLR 5, 2003)."""
    discount: float = 0.9
    """Weight of the next slot's value."""
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
    """Slots of training, over all environments."""
    environments: int
    """Services that are played side by side."""
    learning_rate: float
    """Step size of the first update; falls linearly to 0."""
    batch_size: int
    """Slots in one update."""
    discount: float
    """Weight of the next slot's value."""
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
        """Slots, over all environments, that are collected before an update."""
        per_environment: int = self.settings.get("n_steps") or self.settings.get("train_freq", 1)
        return self.environments * per_environment

    def imitated_slots(self, slots_per_episode: int) -> int:
        """Return how many of the slots rules play, for the learner to imitate."""
        return self.imitation_days * self.environments * slots_per_episode

    def whole_rollouts(self, slots_per_episode: int) -> int:
        """Return how many slots the budget comes to: stable-baselines3 finishes the rollout that it has begun.

        Example:
            >>> DeepPreset(100, 64, 1e-3, 512, 0.9).whole_rollouts(288)
            128
        """
        imitated = self.imitated_slots(slots_per_episode)
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
"""Slots of training from which on PPO is given its long preset."""

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
"""Two updates of 256 slots for each step of 64 environments."""

PRESETS = {"dqn": DQN_PRESET, "ppo": PPO_PRESET}


def deep_preset(algorithm: str, timesteps: int | None = None) -> DeepPreset:
    """Return how DQN or PPO is trained with a budget; the published 100,000 slots by default."""
    if timesteps is None:
        return PRESETS[algorithm]
    preset = PPO_LONG_PRESET if algorithm == "ppo" and timesteps >= LONG_BUDGET else PRESETS[algorithm]
    return dataclasses.replace(preset, timesteps=timesteps)
