"""Imitation: a network learns what calibrated rules do before it learns from rewards.

PPO's network, which gives probabilities, is trained to choose as the rules do (behavioural cloning). DQN's network,
which gives values, learns from the rules' rewards, and that the rule's action is the best of all (DQfD: Hester et al.,
"Deep Q-learning from demonstrations", AAAI 2018). The timesteps that the rules play count as timesteps.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure
from torch.distributions import Categorical

from autoscaler_env.envs.sb3 import AutoscalerVecEnv
from autoscaler_env.evaluation.calibration import calibrate
from autoscaler_env.policies.decision_inputs import DecisionInputs
from autoscaler_env.policies.recognise import Recogniser
from autoscaler_env.policies.rules import TargetTracking
from autoscaler_env.service import Service
from autoscaler_env.traffic.patterns import MIXED, PATTERNS, Workload, as_workload
from autoscaler_env.training.learner_env import LearnerVecEnv
from autoscaler_env.training.presets import DeepPreset

EPOCHS = 10
"""How often PPO's network is trained on each step of the rules' days."""

EXPLORED = 0.1
"""Share of random actions on these days. They lead to situations that the rule alone does not reach."""

LABEL_SMOOTHING = 0.1
"""Probability that PPO's network keeps for actions that the rule did not choose: it must go on exploring."""

MARGIN = 0.05
"""Dollars by which DQN's value of the rule's action should exceed that of every other action.

Without `Teacher`'s updates beside its own, DQN forgot the reserve that `SPIKE` needs, in single trainings. Margins from
0.02 to 0.3 differed by less than two trainings with different seeds.
"""


class Demonstration(NamedTuple):
    """Steps that a rule played, in order, in some services side by side."""

    inputs: NDArray[np.float32]
    """What a learner saw before each step, shape (steps, services, inputs)."""
    actions: NDArray[np.int64]
    """The rule's action, shape (steps, services)."""
    taken: NDArray[np.int64]
    """The action that was taken, the rule's or a random one, shape (steps, services)."""
    rewards: NDArray[np.float32]
    """The rewards, as in `LearnerVecEnv`, in dollars, shape (steps, services)."""
    next_inputs: NDArray[np.float32]
    """What a learner saw after each step, on the same day, shape (steps, services, inputs)."""
    ends: NDArray[np.bool_]
    """Whether a day ended with the step, shape (steps, services)."""


def calibrated_rules(pattern: str | Workload, service: Service) -> list[tuple[Workload, TargetTracking]]:
    """Return the rules to imitate: each workload with target tracking calibrated for it.

    On `MIXED` there are six, one for each pattern. They know the pattern of a day. The network does not, and has to
    learn to recognise it.

    Args:
        pattern: The workload that the network is trained on.
        service: The service to scale.
    """
    workloads = [as_workload(each, service) for each in (PATTERNS if pattern == MIXED else (pattern,))]
    return [(workload, calibrate([workload], service).rule(service)) for workload in workloads]


def rule_to_beat(rules: list[tuple[Workload, TargetTracking]]) -> TargetTracking | None:
    """Return the rule that rewards are measured against, the imitated rule if it is only one; see `LearnerVecEnv`."""
    return rules[0][1] if len(rules) == 1 else None


def imitate(
    model: PPO,
    rules: list[tuple[Workload, TargetTracking]],
    preset: DeepPreset,
    seed: int,
    recogniser: Recogniser | None = None,
) -> None:
    """Train the network of PPO to act as rules do (behavioural cloning).

    Rewards then need to teach only what is better than the rules. Without imitation, a training of a million timesteps
    may not find fleets as large as rare events need.

    Args:
        model: An untrained learner; its network and its number of timesteps are changed.
        rules: Workloads and their rules, as `calibrated_rules` returns them.
        preset: The number of services, which the rules share, and the number of days.
        seed: Seeds the days and the random actions.
        recogniser: The recogniser of a network over the inputs that a decision needs; `None` for others.
    """
    shown = play_rules(rules, preset, seed, recogniser, paired=False)
    inputs, actions = _flattened(shown, model.device)
    # An optimiser of its own: the one that learns from rewards starts from zero.
    optimiser = torch.optim.Adam(model.policy.parameters(), preset.learning_rate)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(actions)).to(model.device).split(preset.batch_size):
            distribution = cast(Categorical, model.policy.get_distribution(inputs[batch]).distribution)
            loss = torch.nn.functional.cross_entropy(
                distribution.logits, actions[batch], label_smoothing=LABEL_SMOOTHING
            )
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    model.num_timesteps = len(actions)


class Teacher(BaseCallback):
    """Keeps DQN's network near what rules do: first in a pre-training, then beside its own updates.

    Before each time that stable-baselines3 updates the network on the replay buffer, as many updates on the rules'
    steps lower `margin_loss`. DQfD adds this loss to that of the same update. Here both take turns, so that the learner
    stays stable-baselines3's own.

    Args:
        model: An untrained or restored learner.
        shown: What `play_rules` returned.
        preset: The settings of the learner.
    """

    def __init__(self, model: DQN, shown: list[Demonstration], preset: DeepPreset) -> None:
        super().__init__()
        self._learner, self._shown = model, shown
        self._inputs, self._actions = _flattened(shown, model.device)
        self._batch_size = preset.batch_size
        self._normaliser = model.get_vec_normalize_env()

    def begin(self) -> None:
        """Put the rules' steps into the replay buffer, and train the network on them.

        The network is trained as often as if it had learned while the rules played. The rules' steps stay in the buffer
        until newer ones need their places, so that the learner goes on to compare its own actions with them. Where
        rewards are normalised, the returns of these steps are the first that decide what they are divided by.
        """
        model, together = self._learner, [np.concatenate(arrays, axis=1) for arrays in zip(*self._shown, strict=True)]
        assert model.replay_buffer is not None
        inputs, _, taken, rewards, next_inputs, ends = together
        rows = list(zip(inputs, next_inputs, taken, rewards, ends, strict=True))
        if self._normaliser is not None:
            returns = np.zeros(rewards.shape[1])
            for reward, end in zip(rewards, ends, strict=True):
                returns = returns * self._normaliser.gamma + reward
                self._normaliser.ret_rms.update(returns)
                returns[end] = 0.0
        for seen, after, action, reward, end in rows:
            infos = [{"TimeLimit.truncated": bool(each)} for each in end]
            model.replay_buffer.add(seen, after, action, reward, end, infos)
        model.set_logger(configure(None, []))
        for row in range(1, len(rows) + 1):
            self._on_rollout_end()
            model.train(model.gradient_steps, self._batch_size)
            if row % max(model.target_update_interval // model.n_envs, 1) == 0:
                model.q_net_target.load_state_dict(model.q_net.state_dict())
        model.q_net_target.load_state_dict(model.q_net.state_dict())
        model.num_timesteps = len(self._actions)

    def _on_rollout_end(self) -> None:
        net, optimiser = self._learner.q_net, self._learner.policy.optimizer
        unit = 1.0 if self._normaliser is None else float(np.sqrt(self._normaliser.ret_rms.var))
        for _ in range(self._learner.gradient_steps):
            batch = torch.randint(len(self._actions), (self._batch_size,)).to(self._actions.device)
            loss = margin_loss(net(self._inputs[batch]), self._actions[batch], MARGIN / unit)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self._learner.policy.parameters(), self._learner.max_grad_norm)
            optimiser.step()

    def _on_step(self) -> bool:
        return True


def margin_loss(values: torch.Tensor, actions: torch.Tensor, margin: float = MARGIN) -> torch.Tensor:
    """Return by how much the values of a rule's actions fall short of the others' and the margin, in units of values.

    It is the mean of max_a [Q(s, a) + m(a)] - Q(s, a_rule), where m(a) is 0 for the rule's action and the margin for
    the others: 0 where the rule's action is better than all others by the margin (Hester et al., equation 2).

    Args:
        values: The value of each action, shape (steps, actions).
        actions: The rule's action, int64 of shape (steps,).
        margin: The margin, in the same units.

    Example:
        >>> values = torch.tensor([[0.02, 0.0], [0.02, 0.3]])
        >>> round(margin_loss(values, torch.tensor([1, 1])).item(), 3)  # (0.02 + 0.05 - 0) / 2, and nothing
        0.035
    """
    chosen = actions[:, None]
    margins = torch.full_like(values, margin).scatter(1, chosen, 0.0)
    return ((values + margins).max(dim=1).values - values.gather(1, chosen)[:, 0]).mean()


def play_rules(
    rules: list[tuple[Workload, TargetTracking]],
    preset: DeepPreset,
    seed: int,
    recogniser: Recogniser | None = None,
    *,
    paired: bool = True,
) -> list[Demonstration]:
    """Let rules play a preset's days of imitation; they share its services.

    Args:
        rules: Workloads and their rules, as `calibrated_rules` returns them.
        preset: The number of services and the number of days.
        seed: Seeds the days and the random actions.
        recogniser: As in `imitate`.
        paired: Whether rewards are measured against a rule on the same days, as in `LearnerVecEnv`.

    Returns:
        One demonstration for each rule that has a service.
    """
    rng = np.random.default_rng(seed)
    shares = [len(part) for part in np.array_split(np.arange(preset.environments), len(rules))]
    beaten = rule_to_beat(rules)
    return [
        play(workload, rule, share, preset.imitation_days, preset.levels, rng, recogniser, paired=paired, beaten=beaten)
        for (workload, rule), share in zip(rules, shares, strict=True)
        if share
    ]


def demonstrate(
    workload: Workload,
    rule: TargetTracking,
    services: int,
    days: int,
    levels: bool,
    rng: np.random.Generator,
    recogniser: Recogniser | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Let a rule scale services, with some random actions in between; the arguments are those of `play`.

    Returns:
        The inputs of a learner, shape (steps, inputs), and the rule's action for each, shape (steps,).
    """
    shown = play(workload, rule, services, days, levels, rng, recogniser)
    return np.concatenate(shown.inputs), np.concatenate(shown.actions)


def play(
    workload: Workload,
    rule: TargetTracking,
    services: int,
    days: int,
    levels: bool,
    rng: np.random.Generator,
    recogniser: Recogniser | None = None,
    *,
    paired: bool = False,
    beaten: TargetTracking | None = None,
) -> Demonstration:
    """Let a rule scale services, with some random actions in between.

    Args:
        workload: The workload; training days are drawn from it.
        rule: The rule.
        services: Number of services side by side.
        days: Number of days of each service.
        levels: As in `Inputs`.
        rng: Draws the days and the random actions.
        recogniser: As in `imitate`.
        paired: As in `play_rules`.
        beaten: The rule that rewards are measured against; target tracking with its defaults if not given.
    """
    service = rule.service
    batch = AutoscalerVecEnv(services, workload, service)
    inputs = True if recogniser is None else DecisionInputs(service, recogniser)
    env = LearnerVecEnv(batch, levels, beaten, paired, inputs)
    played = []
    for _ in range(days):
        batch.seed(int(rng.integers(2**31)))
        seen = env.reset()
        for _ in range(service.steps_per_episode):
            actions = rule.predict(env.observations)
            explored = rng.random(services) < EXPLORED
            taken = np.where(explored, rng.integers(len(service.fleet_changes), size=services), actions)
            env.step_async(taken)
            after, rewards, ends, infos = env.step_wait()
            last = np.array([info["terminal_observation"] for info in infos]) if ends[0] else after
            played.append(Demonstration(seen, actions, taken, rewards, last, ends.copy()))
            seen = after
    return Demonstration(*(np.stack(arrays) for arrays in zip(*played, strict=True)))


def _flattened(shown: list[Demonstration], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the inputs of all steps, shape (n, inputs), and the rules' actions, shape (n,)."""
    inputs = np.concatenate([each.inputs.reshape(-1, each.inputs.shape[-1]) for each in shown])
    actions = np.concatenate([each.actions.ravel() for each in shown])
    return torch.as_tensor(inputs, device=device), torch.as_tensor(actions, device=device)
