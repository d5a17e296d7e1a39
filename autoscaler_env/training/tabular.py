"""Train Q-learning."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.policies.decision_inputs import fit_recogniser_of_outlooks
from autoscaler_env.policies.q_learning import DecisionCells, QTable, learn
from autoscaler_env.policies.recognise import Recogniser
from autoscaler_env.policies.rules import TargetTracking
from autoscaler_env.service import Service
from autoscaler_env.storage.models import load_policy, save_q_table
from autoscaler_env.traffic.patterns import Workload, as_workload, random_training_seeds
from autoscaler_env.training.checkpoint import (
    EVALUATIONS,
    Interruption,
    RunFolder,
    SelectionEvaluator,
    Trained,
)
from autoscaler_env.training.presets import DECISION, QLearningPreset

DAYS_AT_ONCE = 500
"""Days that are drawn, and learned from, in one compiled call."""

STATE_SECONDS = 1.0
"""Seconds between two saved states, at least: a table learns a million timesteps in less."""


def train_q_learning(run: RunFolder, progress: bool, state: dict[str, Any] | None = None) -> Trained:
    """Train a Q-table, from the start or from a saved state; see `train`."""
    config = run.config
    preset = config.preset
    assert isinstance(preset, QLearningPreset)
    steps_per_day = config.service.steps_per_episode
    begun = time.process_time() - (state["cpu_seconds"] if state is not None else 0.0)
    known = Recogniser.from_state(state["recogniser"]) if state is not None and "recogniser" in state else None
    table = untrained_table(config.service, preset, config.seed, known)
    table.name = config.model_name
    rng = np.random.default_rng(config.seed)
    evaluator = SelectionEvaluator(config)
    if config.start is not None and state is None:
        table.values[:] = cast(QTable, load_policy(config.start.path, config.service)).values
    if state is None:
        run.start()
        done = 0
        evaluator.evaluate(table, 0)
    else:
        done = state["days"]
        table.values[:], table.visits[:] = state["values"], state["visits"]
        rng.bit_generator.state = state["generator"]
        evaluator.restore(state["evaluator"], run.best)

    def save(path: Path) -> None:
        save_q_table(table, path)

    def save_state(days: int) -> float:
        progress = {"timesteps": days * steps_per_day, "of": config.total_timesteps, "days": days}
        learned = {"values": table.values, "visits": table.visits, "generator": rng.bit_generator.state}
        if isinstance(table.discretisation, DecisionCells):
            learned["recogniser"] = table.discretisation.recogniser.state()
        spent = {"cpu_seconds": time.process_time() - begun}
        run.save_state(progress | spent | learned | {"evaluator": evaluator.state()})
        return time.perf_counter()

    workload = as_workload(config.pattern, config.service)
    with (
        Interruption() as interruption,
        tqdm(total=preset.episodes, initial=done, desc=config.model_name, unit="day", disable=not progress) as bar,
    ):
        saved_at = save_state(done)
        for days in fill_table(table, preset, workload, rng, done):
            bar.update(days - bar.n)
            if days in tenths_of(preset.episodes):
                timesteps = days * steps_per_day
                if evaluator.evaluate(table, timesteps):
                    run.save_best(save, timesteps, evaluator, "cpu")
                run.save_checkpoint(save, timesteps, evaluator, "cpu")
            if interruption.requested or time.perf_counter() - saved_at > STATE_SECONDS:
                saved_at = save_state(days)
            if interruption.requested:
                raise KeyboardInterrupt
    timesteps = config.total_timesteps
    counted = None
    if preset.inputs == DECISION:
        counted = {"simulated": config.simulated_timesteps(timesteps), "cpu_seconds": time.process_time() - begun}
    return run.finish(table, save, timesteps, evaluator, "cpu", counted)


def untrained_table(
    service: Service, preset: QLearningPreset, seed: int, recogniser: Recogniser | None = None
) -> QTable:
    """Return a table that has not learned anything yet, with the cells that a preset names.

    Args:
        service: The service to scale.
        preset: The settings.
        seed: Seeds the recogniser.
        recogniser: The recogniser of patterns, where the cells need one; by default it is trained.
    """
    if preset.inputs != DECISION:
        return QTable.zeros(service)
    recogniser = recogniser or fit_recogniser_of_outlooks(service, seed, preset.recogniser_days)
    return QTable.zeros(service, DecisionCells(recogniser))


def tenths_of(episodes: int) -> NDArray[np.int64]:
    """Return the numbers of days after which a table is evaluated, from 0 to `episodes`."""
    return np.linspace(0, episodes, EVALUATIONS + 1).astype(np.int64)


def fill_table(
    table: QTable, preset: QLearningPreset, workload: Workload, rng: np.random.Generator, done: int = 0
) -> Iterator[int]:
    """Train a table, some days at a time.

    Args:
        table: The table; changed in place.
        preset: The settings of Q-learning.
        workload: The workload that the training days are drawn from.
        rng: Draws the days and the exploration.
        done: Days that the table has been trained for already: a number that an earlier call has yielded.

    Yields:
        The number of days so far: at each tenth of the training, and in between.
    """
    epsilon = preset.epsilon(preset.episodes)
    ends = np.unique([*tenths_of(preset.episodes), *range(0, preset.episodes, DAYS_AT_ONCE)])
    for first, last in pairwise(ends[ends >= done].tolist()):
        days = workload.draw(random_training_seeds(rng, last - first))
        rule_costs = None
        if preset.inputs == DECISION:
            rule_costs = simulate(TargetTracking(table.service), days, table.service).cost
        learn(table, days, epsilon[first:last], preset.rate_exponent, preset.discount, rng, rule_costs)
        yield last
