"""Policy iteration with exact advantages.

An iteration plays days with the present policy, tries every action in some of their steps (`training/branches.py`), and
moves the network toward the cheaper actions: it lowers the mean over these steps of the sum of probability x advantage,
in dollars, plus the KL divergence from the policy before. No critic estimates anything, no reward is discounted, and
the network sees only what it always sees; the future of a day stands in the label alone. In the first iterations the
branches go on with the calibrated rule of the day's pattern, as a rollout does (Bertsekas, "Rollout, policy iteration,
and distributed reinforcement learning", 2020).

That is allowed because arrivals do not react to actions and the days are recorded (Sinclair et al., "Hindsight learning
for MDPs with exogenous inputs", ICML 2023; Temizöz et al., "Deep controlled learning", arXiv 2011.15122). Labels are
never clipped: the rare large ones pay for a reserve. Few steps of many days are better than many of a few days, because
the steps of a day share its luck. The label of one future is noisy but not biased, as long as it enters the loss
linearly; "the best action on this day" would be biased toward foresight.

The network is a stock actor of stable-baselines3's PPO, over the inputs that a decision needs: those of
`policies/decision_inputs`, or for recorded traffic those of `policies/recorded_inputs`. There it plays days in a row,
and begins by imitating the calibrated rule. On generated traffic (`traffic/generated`) it plays new rows of days in
each iteration, each of another service: so it learns what to do on traffic that it has never seen. A training on
recorded days can start from such a network (`advice/learners`).
"""

from __future__ import annotations

import dataclasses
import time
from collections import deque
from pathlib import Path
from typing import Any, cast

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3 import PPO
from stable_baselines3.common.policies import ActorCriticPolicy
from tqdm.auto import tqdm

from autoscaler_env import dynamics
from autoscaler_env.policies.decision_inputs import (
    ARRIVALS_INPUTS,
    DECISION_INPUTS,
    FLEET_INPUTS,
    Outlook,
    look_at_fleets,
    outlook_on,
    recogniser_of_outlooks,
)
from autoscaler_env.policies.deep import DeepPolicy
from autoscaler_env.policies.recognise import Recogniser
from autoscaler_env.policies.recorded_inputs import HISTORY, RECORDED_INPUTS, Recording, fit_recording, scales_of
from autoscaler_env.service import Service
from autoscaler_env.storage.models import load_policy
from autoscaler_env.storage.networks import load_weights, save_learner
from autoscaler_env.threads import one_blas_thread, one_thread
from autoscaler_env.traffic.generated import GeneratedDays
from autoscaler_env.traffic.patterns import Workload, day_seeds, random_training_seeds
from autoscaler_env.traffic.trace import recorded_days
from autoscaler_env.training.branches import (
    Actor,
    Days,
    actions_of_rules,
    advantages,
    branch,
    entries_of_state,
    visit,
)
from autoscaler_env.training.checkpoint import EVALUATIONS, Interruption, RunFolder, SelectionEvaluator, Trained
from autoscaler_env.training.imitation import EXPLORED, LABEL_SMOOTHING, calibrated_rules
from autoscaler_env.training.presets import IterationPreset, RecordedPreset
from autoscaler_env.training.recorded import lines_of, varied

Labelled = tuple[torch.Tensor, torch.Tensor]
"""Inputs, shape (m, inputs), and advantages in dollars, shape (m, actions), of the steps of an iteration."""

FITTED_ROWS = 60
"""Generated rows of days that the inputs are fitted on, and as many others that the best version is selected on."""

_COUNTED = ("visited", "branched", "labels")
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # in the order of torch: equal states give equal files


class PolicyIteration:
    """A network that improves by exact advantages.

    Args:
        pattern: The workload to train on: a pattern's name or a workload.
        service: The service to scale.
        preset: The settings.
        seed: Seeds the network, the days, the steps that are labelled, and the exploration.
        knowledge: What some inputs come from; by default it is made first. For a workload with a calendar, such as a
            trace, it is a `Recording` of its training days; for generated days, of rows of their own. For others it is
            a recogniser of patterns, trained with the same seed.
    """

    def __init__(
        self,
        pattern: str | Workload,
        service: Service,
        preset: IterationPreset,
        seed: int,
        knowledge: Recogniser | Recording | None = None,
    ) -> None:
        one_thread()
        self.service, self.preset = service, preset
        self._recorded = recorded_days(pattern, service.boot_steps)
        self._generated = pattern if isinstance(pattern, GeneratedDays) else None
        if knowledge is None and self._recorded is not None:
            knowledge = fit_recording(self._recorded, service)
        elif knowledge is None and self._generated is not None:
            knowledge = fit_recording(self._rows(day_seeds("calibration", FITTED_ROWS)), service)
        self.knowledge = knowledge or recogniser_of_outlooks(service, seed, preset.recogniser_days)
        """The recogniser or the recording that some of the inputs come from; it belongs into the model's file."""
        self.model = _untrained(service, preset, seed, RECORDED_INPUTS if self._is_recorded else DECISION_INPUTS)
        """The network, as stable-baselines3 saves it."""
        self.done = 0
        """Iterations so far."""
        self.visited = 0
        """Steps of the days that were played, without branches."""
        self.branched = 0
        """Steps that branches played."""
        self.labels = 0
        """Steps in which every action was tried."""
        self._rules = calibrated_rules(pattern, service)
        self._rng = np.random.default_rng(seed)
        self._labelled: deque[Labelled] = deque(maxlen=preset.reused)
        self._fleet_changes = np.array(service.fleet_changes, dtype=np.int64)
        known = self.knowledge
        scales = scales_of(service, known) if isinstance(known, Recording) else Outlook(service).scales
        self._fixed = scales, self._fleet_changes, dynamics.constants_of(service)

    @property
    def _is_recorded(self) -> bool:
        return isinstance(self.knowledge, Recording)

    def iterate(self) -> None:
        """Play days, try actions, and improve the policy."""
        if self.done == 0 < self.preset.rule_iterations and isinstance(self.preset, RecordedPreset):
            self._imitate(self.preset)
        preset = self.preset
        arrivals, known, expected, rules = self._draw()
        n, steps = arrivals.shape
        labels = preset.labels if not self._is_recorded else max(preset.days * preset.labels // n, 1)
        labels = min(labels, steps)
        actor, days = self.compiled(arrivals, known, expected, rules)
        random_actions = self._rng.integers(len(self._fleet_changes), size=(n, steps))
        explored = np.where(self._rng.random((n, steps)) < preset.explored, random_actions, -1)
        all_steps = np.tile(np.arange(steps), (n, 1))
        chosen = np.sort(self._rng.permuted(all_steps, axis=1)[:, :labels], axis=1)
        states = np.empty((n, labels, entries_of_state(self.service)), dtype=np.int64)
        counts = np.empty((n, labels, len(self._fleet_changes), 3), dtype=np.int64)
        visit(days, actor, *self._fixed, self.done == 0 < preset.rule_iterations, explored, chosen, states)
        by_rule = self.done < preset.rule_iterations
        self.branched += branch(days, actor, *self._fixed, by_rule, chosen, states, counts)
        self.visited += arrivals.size
        self.labels += chosen.size
        inputs = self._inputs_at(chosen, states, known, expected)
        exact = advantages(counts, self.service).reshape(chosen.size, -1).astype(np.float32)
        self._labelled.append((torch.from_numpy(inputs), torch.from_numpy(exact)))
        self._improve()
        self.done += 1
        self.model.num_timesteps = self.visited

    def _inputs_at(
        self,
        chosen: NDArray[np.int64],
        states: NDArray[np.int64],
        known: NDArray[np.float32],
        expected: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """Return all inputs in the chosen steps of each day, shape (chosen.size, inputs)."""
        rows = np.arange(len(chosen))[:, np.newaxis]
        inputs = np.empty((chosen.size, FLEET_INPUTS + known.shape[2]), dtype=np.float32)
        look_at_fleets(
            states.reshape(chosen.size, -1), expected[rows, chosen].reshape(chosen.size, -1), self._fixed[0], inputs
        )
        inputs[:, FLEET_INPUTS:] = known[rows, chosen].reshape(chosen.size, -1)
        return inputs

    def _draw(self) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32], NDArray[np.float64]]:
        """Draw training days, equally many of each workload, or lines of a recording.

        Returns:
            Arrivals; the inputs that depend on them; what is expected; the settings of each day's rule.
        """
        settings = [(float(rule.target), float(rule.reserve)) for _, rule in self._rules]
        if isinstance(self.knowledge, Recording):
            lines = self._lines()
            return *lines_of(lines, self.knowledge, self.service), np.tile(settings, (len(lines), 1))
        assert isinstance(self.knowledge, Recogniser)
        each = max(self.preset.days // len(self._rules), 1)
        days = [workload.draw(random_training_seeds(self._rng, each)) for workload, _ in self._rules]
        arrivals = np.concatenate(days)
        known, expected = outlook_on(self.service, arrivals)
        chances = self.knowledge.chances_of(known.reshape(-1, ARRIVALS_INPUTS))
        known = np.concatenate([known, chances.reshape(*arrivals.shape, -1)], axis=2)
        return arrivals, known, expected, np.repeat(np.array(settings), each, axis=0)

    def _lines(self) -> NDArray[np.int64]:
        """Draw training days in a row, shape (n, days x steps)."""
        if self._generated is not None:
            count = max(self.preset.days // (self._generated.days - 1), 1)
            return self._rows(random_training_seeds(self._rng, count)).reshape(count, -1)
        assert self._recorded is not None
        line = self._recorded.size - self.service.steps_per_episode
        count = max(self.preset.days * self.service.steps_per_episode // line, 1)
        return varied(self._recorded, count, getattr(self.preset, "swapped", 0.0), self.service, self._rng)

    def _rows(self, seeds: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return generated rows of days as they are observed, shape (n, days, steps)."""
        assert self._generated is not None
        return np.minimum(self._generated.rows(seeds), self.service.arrivals_scale)

    @one_blas_thread
    def compiled(
        self,
        arrivals: NDArray[np.int64],
        known: NDArray[np.float32],
        expected: NDArray[np.float32],
        rules: NDArray[np.float64],
        network: ActorCriticPolicy | None = None,
    ) -> tuple[Actor, Days]:
        """Return the network and days as compiled code plays them.

        Args:
            arrivals: Requests, shape (n, steps).
            known: The inputs that depend on the arrivals, with the chances, shape (n, steps, inputs).
            expected: What `outlook_on` returns.
            rules: Target and reserve of each day's rule, shape (n, 2).
            network: The network; its own by default.
        """
        network = self.model.policy if network is None else network
        layers = [layer for layer in network.mlp_extractor.policy_net if isinstance(layer, torch.nn.Linear)]
        layers.append(cast(torch.nn.Linear, network.action_net))
        weights = [np.ascontiguousarray(layer.weight.detach().numpy().T) for layer in layers]
        first, *biases = (layer.bias.detach().numpy() for layer in layers)
        hidden = known.reshape(-1, known.shape[2]) @ weights[0][FLEET_INPUTS:] + first
        actor = Actor(weights[0][:FLEET_INPUTS].copy(), weights[1], biases[0], weights[2], biases[1])
        return actor, Days(arrivals, expected, hidden.reshape(*arrivals.shape, -1), rules)

    def return_on_rows(self, policy: DeepPolicy) -> float:
        """Return the mean return of a network on days in a row, but the first of each row: dollars a day.

        The days are the recorded training days, or generated rows that are for selection alone.
        """
        assert isinstance(self.knowledge, Recording)
        if self._generated is not None:
            lines = self._rows(day_seeds("selection", FITTED_ROWS)).reshape(FITTED_ROWS, -1)
        else:
            assert self._recorded is not None
            lines = np.minimum(self._recorded.reshape(1, -1), self.service.arrivals_scale)
        arrivals, known, expected = lines_of(lines, self.knowledge, self.service)
        network, n = cast(ActorCriticPolicy, policy.network), len(lines)
        actor, days = self.compiled(arrivals, known, expected, np.ones((n, 2)), network)
        nothing = np.full(arrivals.shape, -1, dtype=np.int64)
        states = np.empty((n, 0, entries_of_state(self.service)), dtype=np.int64)
        cost: float = visit(days, actor, *self._fixed, False, nothing, np.empty((n, 0), dtype=np.int64), states)
        return -cost / (arrivals.size // self.service.steps_per_episode)

    def _imitate(self, preset: RecordedPreset) -> None:
        """Teach the network what the calibrated rule does in the states that it reaches, before the first iteration."""
        arrivals, known, expected, rules = self._draw()
        n, steps = arrivals.shape
        actor, days = self.compiled(arrivals, known, expected, rules)
        explored = np.where(
            self._rng.random((n, steps)) < EXPLORED, self._rng.integers(len(self._fleet_changes), size=(n, steps)), -1
        )
        chosen = np.tile(np.arange(1, steps), (n, 1))
        states = np.empty((n, steps - 1, entries_of_state(self.service)), dtype=np.int64)
        visit(days, actor, *self._fixed, True, explored, chosen, states)
        inputs = torch.from_numpy(self._inputs_at(chosen, states, known, expected))
        actions = np.empty((n, steps - 1), dtype=np.int64)
        actions_of_rules(days, *self._fixed[1:], states, actions)
        wanted, policy = torch.from_numpy(actions.reshape(-1)), self.model.policy
        optimiser = torch.optim.Adam(policy.parameters(), preset.learning_rate)
        generator = torch.Generator().manual_seed(int(self._rng.integers(2**31)))
        for _ in range(preset.imitation_epochs):
            for batch in torch.randperm(len(wanted), generator=generator).split(preset.batch_size):
                logits = policy.action_net(policy.mlp_extractor.forward_actor(inputs[batch]))
                loss = torch.nn.functional.cross_entropy(logits, wanted[batch], label_smoothing=LABEL_SMOOTHING)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()

    def _improve(self) -> None:
        """Lower the expected cost of the labelled steps, near the policy before."""
        preset, optimiser = self.preset, self.model.policy.optimizer
        inputs, advantage = (torch.cat(parts) for parts in zip(*self._labelled, strict=True))
        generator = torch.Generator().manual_seed(int(self._rng.integers(2**31)))
        for group in optimiser.param_groups:
            group["lr"] = preset.learning_rate * (1 - self.done / preset.iterations)
        with torch.no_grad():
            before = self._log_probabilities(inputs)
        for _ in range(preset.epochs):
            for batch in torch.randperm(len(inputs), generator=generator).split(preset.batch_size):
                log_probabilities = self._log_probabilities(inputs[batch])
                moved = log_probabilities - before[batch]
                cost = log_probabilities.exp() * (advantage[batch] + preset.kl_weight * moved)
                optimiser.zero_grad()
                cost.sum(dim=1).mean().backward()
                optimiser.step()

    def _log_probabilities(self, inputs: torch.Tensor) -> torch.Tensor:
        policy = self.model.policy
        return torch.log_softmax(policy.action_net(policy.mlp_extractor.forward_actor(inputs)), dim=1)

    def save(self, path: Path) -> None:
        """Write the network with its recogniser or recording."""
        save_learner(self.model, path, self.knowledge)

    def state(self) -> dict[str, Any]:
        """Return the complete state between two iterations, for `restore`: arrays, and values that JSON holds."""
        optimiser = self.model.policy.optimizer.state_dict()["state"]
        return {
            "counted": {name: getattr(self, name) for name in ("done", *_COUNTED)},
            "network": {name: tensor.numpy() for name, tensor in self.model.policy.state_dict().items()},
            "moments": {
                str(index): {name: moments[name].numpy() for name in _MOMENTS} for index, moments in optimiser.items()
            },
            "labelled": [[part.numpy() for part in labelled] for labelled in self._labelled],
            "recogniser": self.knowledge.state() if isinstance(self.knowledge, Recogniser) else [],
            "generator": self._rng.bit_generator.state,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned."""
        for name, value in state["counted"].items():
            setattr(self, name, value)
        policy = self.model.policy
        policy.load_state_dict({name: torch.from_numpy(array) for name, array in state["network"].items()})
        moments = {
            int(index): {name: torch.from_numpy(array) for name, array in each.items()}
            for index, each in state["moments"].items()
        }
        policy.optimizer.load_state_dict(policy.optimizer.state_dict() | {"state": moments})
        self._labelled.extend(
            (torch.from_numpy(inputs), torch.from_numpy(labels)) for inputs, labels in state["labelled"]
        )
        self._rng.bit_generator.state = state["generator"]
        self.model.num_timesteps = self.visited


def _untrained(service: Service, preset: IterationPreset, seed: int, inputs: int) -> PPO:
    """Return PPO's untrained network, without an environment: its critic has no layers, and nothing uses it."""
    kwargs = {"net_arch": {"pi": list(preset.widths), "vf": []}}
    # stable-baselines3 itself loads a model in this way, and sets it up when the spaces are known.
    model = PPO(
        "MlpPolicy", cast(Any, None), preset.learning_rate, policy_kwargs=kwargs, seed=seed, device="cpu",
        _init_setup_model=False,
    )  # fmt: skip
    model.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (inputs,), np.float32)
    model.action_space = gymnasium.spaces.Discrete(len(service.fleet_changes))
    model.n_envs = 1
    model._setup_model()
    return model


def train_policy_iteration(run: RunFolder, progress: bool, state: dict[str, Any] | None = None) -> Trained:
    """Train by policy iteration, from the start or from a saved state; see `train`."""
    config = run.config
    preset = config.preset
    assert isinstance(preset, IterationPreset)
    begun = time.process_time() - (state["cpu_seconds"] if state is not None else 0.0)
    knowledge: Recogniser | Recording | None = None  # a recording is not saved: the same days give it again
    if config.start is not None:  # its network needs no rule to go on
        preset = dataclasses.replace(preset, rule_iterations=0)
        known = cast(DeepPolicy, load_policy(config.start.path, config.service)).knowledge
        days = recorded_days(config.pattern, config.service.boot_steps)
        if isinstance(known, Recording) and days is not None and not np.array_equal(known.history, days[-HISTORY:]):
            known = fit_recording(days, config.service, near=known)  # it was trained on other traffic
        knowledge = known
    if state is not None and state["learner"]["recogniser"]:
        knowledge = Recogniser.from_state(state["learner"]["recogniser"])
    learner = PolicyIteration(config.pattern, config.service, preset, config.seed, knowledge)
    policy = DeepPolicy(learner.model.policy, config.service, config.model_name, learner.knowledge)
    recorded = isinstance(learner.knowledge, Recording)
    evaluator = SelectionEvaluator(config, learner.return_on_rows if recorded else None)
    if state is None:
        run.start()
        if config.start is not None:
            load_weights(learner.model, config.start.path)
        evaluator.evaluate(policy, 0)
    else:
        learner.restore(state["learner"])
        evaluator.restore(state["evaluator"], run.best)

    def save_state() -> None:
        progress = {"timesteps": learner.visited, "of": config.total_timesteps}
        spent = {"cpu_seconds": time.process_time() - begun}
        run.save_state(progress | spent | {"learner": learner.state(), "evaluator": evaluator.state()})

    interval = max(preset.iterations // EVALUATIONS, 1)
    with (
        Interruption() as interruption,
        tqdm(
            total=preset.iterations, initial=learner.done, desc=config.model_name, unit="iteration",
            disable=not progress,
        ) as bar,
    ):  # fmt: skip
        while learner.done < preset.iterations:
            save_state()
            if interruption.requested:
                raise KeyboardInterrupt
            learner.iterate()
            bar.update()
            if learner.done % interval == 0 or learner.done == preset.iterations:
                if evaluator.evaluate(policy, learner.visited):
                    run.save_best(learner.save, learner.visited, evaluator, "cpu")
                run.save_checkpoint(learner.save, learner.visited, evaluator, "cpu")
    counted = {name: getattr(learner, name) for name in _COUNTED} | {"cpu_seconds": time.process_time() - begun}
    return run.finish(policy, learner.save, learner.visited, evaluator, "cpu", counted)
