"""DQN, PPO and their like as policies: stable-baselines3 networks with the memory that their inputs need."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, cast

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.dqn.policies import DQNPolicy

from autoscaler_env.dynamics import OBSERVATION_HIGH, OBSERVATION_LOW
from autoscaler_env.policies.decision_inputs import DecisionInputs
from autoscaler_env.policies.inputs import INPUTS, INPUTS_WITH_LEVELS, Inputs
from autoscaler_env.policies.recognise import Recogniser
from autoscaler_env.policies.recorded_inputs import RecordedInputs, Recording
from autoscaler_env.service import Service
from autoscaler_env.threads import one_thread

DQN = "dqn"
r"""Deep Q-learning: a network in place of the table of Q-learning.

The network learns from random samples of past transitions. The target of an update comes from an older copy of the
network, so that it does not run after itself. Its rewards are measured against target tracking on the same days.

Equation:
    L(\theta) = E\left[ \left( r + \gamma \max_{a'} Q_{\text{target}}(s', a') - Q_\theta(s, a) \right)^2 \right]

    a_t = \arg\max_a Q_\theta(s_t, a)

Source:
    Mnih et al., "Human-level control through deep reinforcement learning", Nature 518, 2015. The implementation is that
    of stable-baselines3, which replaces the square by Huber's loss.
"""

PPO = "ppo"
r"""Proximal policy optimisation: learn the policy itself, in steps that are clipped.

A network gives the probability of each action. Actions that earned more than expected become more probable, but no step
gains from a probability that changes by more than the clip range. It learns from whole rollouts of many services side
by side, and its rewards are measured against target tracking on the same days.

Equation:
    L(\theta) = E\left[ \min\left( \rho_t A_t,\ \text{clip}(\rho_t, 1 - \epsilon, 1 + \epsilon) A_t \right) \right],
    \qquad \rho_t = \frac{\pi_\theta(a_t \mid s_t)}{\pi_{\text{old}}(a_t \mid s_t)}

Source:
    Schulman et al., "Proximal policy optimization algorithms", 2017 (arXiv:1707.06347), with the advantages of Schulman
    et al., "High-dimensional continuous control using generalized advantage estimation", ICLR 2016. The implementation
    is that of stable-baselines3.
"""


POLICY_ITERATION = "policy-iteration"
r"""Policy iteration with exact advantages: try every action on the day's own future.

Arrivals do not react to actions, and training days are recorded. So in some steps of a day every action is tried, and
the rest of the same day is played with the present policy until nothing differs any more. The difference in cost is the
exact advantage of an action on this day. No critic estimates it. The network sees only what it always sees.

Equation:
    A_t(a) = C_t(a) - \frac{1}{|\mathcal{A}|} \sum_{a'} C_t(a')

    L(\theta) = E\left[ \sum_a \pi_\theta(a \mid s_t)\, A_t(a) \right]
    + \beta\, E\left[ \text{KL}(\pi_\theta \,\|\, \pi_{\text{old}}) \right]

Source:
    Sinclair et al., "Hindsight learning for MDPs with exogenous inputs", ICML 2023; Temizöz et al., "Deep controlled
    learning for inventory control" (arXiv:2011.15122); Bertsekas, "Rollout, policy iteration, and distributed
    reinforcement learning", 2020.
"""


class DeepPolicy:
    """A trained network as a policy: the network, and the memory that its inputs need.

    Args:
        network: stable-baselines3's policy network, over a learner's inputs or over the plain observation.
        service: The service to scale.
        name: What tables call it.
        knowledge: What belongs to a network over the inputs that a decision needs: a recogniser of patterns, or a
            recording; `None` for others.
    """

    def __init__(
        self, network: BasePolicy, service: Service, name: str, knowledge: Recogniser | Recording | None = None
    ) -> None:
        one_thread()
        self.name = name
        self.network = network
        self.knowledge = knowledge
        """The recogniser or the recording that some of its inputs come from."""
        width = network.observation_space.shape
        plain = width == OBSERVATION_LOW.shape
        self._inputs: Inputs | DecisionInputs | RecordedInputs | None = None
        if isinstance(knowledge, Recording):
            self._inputs = RecordedInputs(service, knowledge)
        elif knowledge is not None:
            self._inputs = DecisionInputs(service, knowledge)
        elif not plain:
            self._inputs = Inputs(service, levels=width == (INPUTS_WITH_LEVELS,))
        self._looked_at = np.zeros((0, 0), dtype=np.float32)

    def reset(self, days: NDArray[np.int64]) -> None:
        """Clear the memory."""
        if isinstance(self._inputs, RecordedInputs):
            self._inputs.start(days)
        elif self._inputs is not None:
            self._inputs.start()

    def remember(self, days: NDArray[np.int64]) -> None:
        """Tell a policy that remembers days which days were before which; see `RecordedInputs.remember`."""
        if isinstance(self._inputs, RecordedInputs):
            self._inputs.remember(days)

    @property
    def remembers_days(self) -> bool:
        """Whether the memory goes on at midnight: true for a network that was trained on recorded days in a row."""
        return isinstance(self._inputs, RecordedInputs)

    def start_at(self, step: int) -> None:
        """Bring the memory of a policy that remembers days to a step of the day; see `RecordedInputs.start_at`."""
        if isinstance(self._inputs, RecordedInputs):
            self._inputs.start_at(step)

    def predict(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the most probable (PPO) or most valuable (DQN) actions, shape (n,)."""
        inputs = observations if self._inputs is None else self._inputs(observations)
        self._looked_at = np.ascontiguousarray(inputs)
        actions: NDArray[np.int64] = self._scores().argmax(dim=1).cpu().numpy()
        return actions

    @property
    def preferences_are(self) -> str:
        """The quantity that `preferences` returns.

        `probabilities` for PPO. For DQN dollars: expected `savings` against target tracking, on which our models are
        trained, or `returns` for a model that sees plain observations, such as one trained elsewhere.
        """
        if isinstance(self.network, ActorCriticPolicy):
            return "probabilities"
        return "returns" if self._inputs is None else "savings"

    def preferences(self) -> NDArray[np.float64]:
        """Return the value or probability of each action in the last `predict`, shape (n, actions)."""
        return self._scores().double().cpu().numpy()

    def _scores(self) -> torch.Tensor:
        """Return what `preferences` returns, as a tensor of the network.

        The library's own `predict` spends most of its time on other kinds of observations and actions.
        """
        network: Any = self.network
        with torch.no_grad():
            looked_at = torch.from_numpy(self._looked_at).to(network.device)
            if not isinstance(network, ActorCriticPolicy):
                scores: torch.Tensor = network.q_net(looked_at)
                return scores
            features: Any = network.extract_features(looked_at, network.pi_features_extractor)
            logits: torch.Tensor = network.action_net(network.mlp_extractor.forward_actor(features))
            return torch.softmax(logits - logits.logsumexp(dim=1, keepdim=True), dim=1)


class NetworkPolicy:
    """A torch network of one's own as a policy: it takes the action with the largest output.

    Args:
        network: From a learner's inputs, or from the seven observations, to one number for each action.
        name: What tables call it.
        service: The service to scale; the reference service by default.
        inputs: Whether the network was trained on a learner's inputs, or on the observations as they are.
    """

    def __init__(
        self, network: torch.nn.Module, name: str, service: Service | None = None, inputs: bool = True
    ) -> None:
        self.name = name
        self.network = network
        self._inputs = Inputs(service or Service()) if inputs else None

    def reset(self, days: NDArray[np.int64]) -> None:
        """Clear the memory."""
        if self._inputs is not None:
            self._inputs.start()

    def predict(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the actions of the largest outputs, shape (n,)."""
        inputs = observations if self._inputs is None else self._inputs(observations)
        with torch.no_grad():
            outputs: torch.Tensor = self.network(torch.as_tensor(np.ascontiguousarray(inputs)))
        return outputs.argmax(dim=1).numpy()


def build_network(
    algorithm: str, inputs: int, actions: int, widths: list[int], activation: str | None = None
) -> BasePolicy:
    """Return an untrained policy network of stable-baselines3, on the CPU, into which weights can be loaded.

    It has no optimiser: stable-baselines3's learners, which train networks, make their own.

    Args:
        algorithm: `dqn`, or another learner with a network of actions and one of values, such as `ppo` and `a2c`.
        inputs: `INPUTS`, `INPUTS_WITH_LEVELS`, `DECISION_INPUTS`, `RECORDED_INPUTS`, or 7 for a network over the plain
            observation.
        actions: How many actions.
        widths: Units of the hidden layers.
        activation: A class of `torch.nn` that needs no arguments; by default ReLU for DQN, Tanh for the others.
    """
    if inputs == len(OBSERVATION_LOW):
        observation_space = gymnasium.spaces.Box(OBSERVATION_LOW, OBSERVATION_HIGH)
    else:
        observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (inputs,), np.float32)
    action_space = gymnasium.spaces.Discrete(actions)
    network_class = DQNPolicy if algorithm == DQN else ActorCriticPolicy
    activation_fn = getattr(torch.nn, activation or ("ReLU" if algorithm == DQN else "Tanh"))
    return network_class(
        observation_space,
        action_space,
        lambda progress: 0.0,
        net_arch=widths,
        activation_fn=activation_fn,
        optimizer_class=cast("type[torch.optim.Optimizer]", _NoOptimiser),
    )


class _NoOptimiser:
    """Takes the place of an optimiser: the first one of a process loads torch's compiler, which takes over a second."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass


def count_weights(widths: tuple[int, ...], actions: int, inputs: int = INPUTS) -> int:
    """Return the number of weights of a network with these hidden layers."""
    sizes = (inputs, *widths, actions)
    return sum((before + 1) * after for before, after in pairwise(sizes))
