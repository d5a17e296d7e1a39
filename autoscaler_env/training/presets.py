"""The settings of each learner: presets, which the fields of `TrainingConfig` change.

The presets for the published training lengths were tuned on selection days by `benchmarks/tune.py`: twelve trials of
two seeds for each learner. PPO's long preset was tuned by single trials on selection days, and its own settings for
MIXED and SPIKE (`study/plan.py`) by eight trials of two seeds each, so PPO has had more attention than the others. The
settings of policy iteration were chosen by eight single trials on selection days; those for recorded traffic by nine
single trials on the last 30 % of the training days of four traces, never on the days held out.

With the inputs that a decision needs (`results/tuning_*_mixed_decision.csv`) each learner had twelve trials of two
seeds. PPO's usual preset won; then four single trainings chose its days of imitation. Before its twelve trials, DQN had
sixteen others and 48 single trainings, without imitation and with several kinds of it: more attention than the others.
Its preset lies within the luck of seeds of the best trial.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

USUAL, DECISION = "usual", "decision"
"""What a learner sees: its usual inputs, or those of `policies/decision_inputs.py`."""


@dataclass(frozen=True)
class QLearningPreset:
    """Settings of Q-learning."""

    episodes: int = 10_000
    """Days of training."""
    rate_exponent: float = 0.7
    """The n-th update of an entry has the step size `n ** -rate_exponent` (Even-Dar and Mansour, JMLR 5, 2003)."""
    discount: float = 0.9
    """Weight of the next step's value."""
    first_epsilon: float = 0.3
    """Share of random actions on the first day."""
    last_epsilon: float = 0.05
    """Share of random actions from `epsilon_days` on."""
    epsilon_days: float = 0.5
    """Share of the training over which epsilon falls."""
    inputs: str = USUAL
    """`usual`: cells of spare capacity and change, and rewards as they are. `decision`: cells of what a decision needs,
    and rewards against target tracking on the same days, as those of the deep learners."""
    recogniser_days: int = 1_500
    """Days that the recogniser of patterns is trained on, where the cells need one."""

    def epsilon(self, episodes: int) -> NDArray[np.float64]:
        """Return the share of random actions on each of `episodes` days, shape (episodes,)."""
        progress = np.arange(episodes) / max(episodes, 1)
        return np.interp(progress, [0, self.epsilon_days], [self.first_epsilon, self.last_epsilon])


@dataclass(frozen=True)
class IterationPreset:
    """Settings of policy iteration; see `training/policy_iteration.py`."""

    iterations: int = 24
    """Iterations: play days, compute advantages, improve the policy."""
    days: int = 1_152
    """Days that are played in an iteration; on `MIXED` equally many of each pattern, rounded down."""
    labels: int = 28
    """Steps of each of these days at which every action is tried: a tenth of the reference service's day."""
    rule_iterations: int = 8
    """Iterations whose branches go on with the calibrated rule instead of the network, which knows nothing yet."""
    reused: int = 3
    """Iterations whose advantages the network learns from: the present one and those before it."""
    epochs: int = 4
    """How often the network goes through them in an iteration."""
    batch_size: int = 512
    """Advantages in one update."""
    learning_rate: float = 1e-3
    """Step size in the first iteration; falls linearly to 0."""
    kl_weight: float = 0.02
    """Dollars that a unit of KL divergence from the policy before counts as much as."""
    explored: float = 0.05
    """Share of random actions while days are played. They lead to states that the policy alone does not reach."""
    widths: tuple[int, ...] = (64, 64)
    """Units of the two hidden layers."""
    recogniser_days: int = 1_500
    """Days that the recogniser of patterns is trained on, before the first iteration."""

    def visited_timesteps(self, steps_per_episode: int) -> int:
        """Return the steps of the days that are played in all iterations, without those of the branches."""
        return self.iterations * self.days * steps_per_episode


@dataclass(frozen=True)
class RecordedPreset(IterationPreset):
    """Settings of policy iteration on recorded traffic; see `training/recorded.py`.

    Recorded days are few, so a training is short, its network small, and it begins with what the calibrated rule does.
    """

    iterations: int = 16
    days: int = 576
    labels: int = 40
    rule_iterations: int = 2
    batch_size: int = 256
    learning_rate: float = 2e-3
    widths: tuple[int, ...] = (32, 32)
    imitation_epochs: int = 2
    """How often the network goes through days of the calibrated rule before the first iteration."""
    swapped: float = 0.5
    """Share of the parts of a training day whose fast changes come from another day."""


@dataclass(frozen=True)
class GeneratedPreset(RecordedPreset):
    """Settings of policy iteration on generated days; see `traffic/generated.py`.

    Each iteration has new services, so a training can be longer than on a recording, and its network larger.
    """

    iterations: int = 24
    widths: tuple[int, ...] = (64, 64)
    swapped: float = 0.0
    """Nothing is exchanged between generated days."""


@dataclass(frozen=True)
class DeepPreset:
    """Settings of DQN or PPO."""

    timesteps: int
    """Timesteps, over all environments."""
    environments: int
    """Services that are simulated side by side."""
    learning_rate: float
    """Step size of the first update; falls linearly to 0."""
    batch_size: int
    """Transitions in one update."""
    discount: float
    """Weight of the next step's value."""
    widths: tuple[int, ...] = (64, 64)
    """Units of the hidden layers."""
    levels: bool = False
    """Whether the usual inputs contain the recent level of the arrivals; see `inputs.Inputs`."""
    inputs: str = USUAL
    """`usual`, those of `inputs.Inputs`; or `decision`, those of `decision_inputs.DecisionInputs`."""
    recogniser_days: int = 1_500
    """Days that the recogniser of patterns is trained on, where the inputs need one."""
    imitation_days: int = 0
    """Days that calibrated rules play in each environment; the learner imitates them before it plays itself."""
    normalise_reward: bool = False
    """Whether rewards are divided by the running standard deviation of the return."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Further arguments of the learner's class in stable-baselines3, by its names."""

    @property
    def rollout(self) -> int:
        """Timesteps, over all environments, that are collected before an update."""
        per_environment: int = self.settings.get("train_freq") or self.settings.get("n_steps", 1)
        return self.environments * per_environment

    def imitated_timesteps(self, steps_per_episode: int) -> int:
        """Return the number of timesteps that calibrated rules play and the learner imitates."""
        return self.imitation_days * self.environments * steps_per_episode

    def whole_rollouts(self, steps_per_episode: int) -> int:
        """Return the timesteps of the training, rounded up as stable-baselines3 does it: it finishes every rollout.

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
"""Many environments and short rollouts: large batches, few updates, the same policy in a fraction of the time.

Two settings tied in `results/tuning_ppo_mixed.csv`; this one trains in three quarters of the other's time.
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
"""Rollouts of a whole day and a longer horizon: what pays on rare flash crowds takes this many timesteps to learn."""

LONG_TRAINING = 300_000
"""Timesteps from which on PPO uses its long preset."""

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
"""The settings of the deep learners for their published budget, by algorithm."""

DECISION_PRESETS = {
    "dqn": dataclasses.replace(
        DQN_PRESET,
        learning_rate=5e-4,
        discount=0.99,
        inputs=DECISION,
        imitation_days=2,
        normalise_reward=True,
        settings=DQN_PRESET.settings | {"gradient_steps": 4, "target_update_interval": 4_000, "n_steps": 10},
    ),
    "ppo": dataclasses.replace(PPO_PRESET, inputs=DECISION, imitation_days=2),
}
"""The same with the inputs that a decision needs.

Both begin by imitating the calibrated rules, for two of their five days in each environment: with the chances of the
patterns among their inputs, they can tell which of them to imitate. DQN learns from returns of ten steps, and from
normalised rewards: its loss (Huber's) grows only linearly beyond 1. In dollars it counted the rare, dear steps of a
flash crowd too little, and forgot the reserve that it had imitated.
"""

DECISION_TABLE = QLearningPreset(
    rate_exponent=0.8, discount=0.99, first_epsilon=0.3, last_epsilon=0.1, epsilon_days=0.9, inputs=DECISION
)
"""The settings of Q-learning with the inputs that a decision needs."""


def q_learning_preset(inputs: str | None = None) -> QLearningPreset:
    """Return the settings of Q-learning, for its usual inputs or for those that a decision needs."""
    return DECISION_TABLE if inputs == DECISION else QLearningPreset()


def deep_preset(algorithm: str, timesteps: int | None = None, inputs: str | None = None) -> DeepPreset:
    """Return the settings of DQN or PPO for a number of timesteps; the published 100,000 by default.

    Args:
        algorithm: `dqn` or `ppo`.
        timesteps: The number of timesteps.
        inputs: `usual` or `decision`; the usual ones by default.
    """
    preset = (DECISION_PRESETS if inputs == DECISION else PRESETS)[algorithm]
    if timesteps is None:
        return preset
    if algorithm == "ppo" and timesteps >= LONG_TRAINING:
        preset = dataclasses.replace(PPO_LONG_PRESET, inputs=inputs or USUAL, levels=inputs != DECISION)
    return dataclasses.replace(preset, timesteps=timesteps)
