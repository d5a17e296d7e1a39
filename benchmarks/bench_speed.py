"""Measure the speed of environments and learners, beside what one would use instead, in one run.

`make bench` prints the table and saves it as `results/benchmark_speed.csv`. All times are CPU seconds of one process
with one torch thread. Rates are medians of repetitions in turns, ours and theirs, so that a busy machine slows both
down. `--quick` shows in half a minute that everything runs; its numbers mean little.
"""

from __future__ import annotations

import argparse
import ctypes
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import gymnasium
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm

import autoscaler_env
from autoscaler_env import dynamics
from autoscaler_env.compiled import entry_point
from autoscaler_env.dynamics import constants_of
from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.paths import Folders
from autoscaler_env.policies.base import ForeignPolicy, Policy
from autoscaler_env.policies.deep import DeepPolicy
from autoscaler_env.policies.q_learning import QTable, learn_days
from autoscaler_env.service import Service
from autoscaler_env.storage.files import write_text
from autoscaler_env.traffic.patterns import MIXED, PATTERNS, Pattern, day_seeds
from autoscaler_env.training.deep import build_learner
from autoscaler_env.training.presets import PRESETS, QLearningPreset
from autoscaler_env.training.tabular import fill_table

SERVICE = Service()

KERNEL_ROWS = (
    dynamics.READY,
    dynamics.BOOTING,
    dynamics.QUEUE,
    dynamics.STATE_ROWS,
    dynamics.ARRIVALS,
    dynamics.SERVED,
    dynamics.DROPPED,
    dynamics.SCALED,
    dynamics.REFUSED,
    dynamics.CHANGE,
)
"""Rows of the state in the order of the arguments of `kernel.c`."""


@dataclass(frozen=True)
class Row:
    """One comparison: what was measured, our value and that of the alternative, in the same unit."""

    what: str
    ours: float
    alternative: float
    unit: str
    against: str

    @property
    def ratio(self) -> float:
        """How many times better ours is: rates are higher, times lower."""
        higher_is_better = self.unit.endswith("/s")
        return self.ours / self.alternative if higher_is_better else self.alternative / self.ours


def cpu_seconds(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def interleaved(ours: Callable[[], object], theirs: Callable[[], object], repetitions: int) -> tuple[float, float]:
    """Return the median CPU seconds of each, measured in turns; the first turn is a warm-up and does not count."""
    turns = [(cpu_seconds(ours), cpu_seconds(theirs)) for _ in range(repetitions + 1)][1:]
    return median(turn[0] for turn in turns), median(turn[1] for turn in turns)


def scalar_steps(name: str, steps: int) -> Callable[[], None]:
    env = gymnasium.make(name)
    env.reset(seed=0)
    env.action_space.seed(0)
    actions = [int(env.action_space.sample()) for _ in range(steps)]

    def work() -> None:
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()

    return work


def batch_steps(name: str, environments: int, steps: int) -> Callable[[], None]:
    env = gymnasium.make_vec(name, num_envs=environments, vectorization_mode="vector_entry_point")
    env.reset(seed=0)
    env.action_space.seed(0)
    actions = [np.asarray(env.action_space.sample()) for _ in range(20)]

    def work() -> None:
        for step in range(steps):
            env.step(actions[step % 20])

    return work


def environment_rows(quick: bool) -> list[Row]:
    steps = 2_000 if quick else 28_800
    ours, theirs = interleaved(scalar_steps("Autoscaler-v0", steps), scalar_steps("CartPole-v1", steps), 7)
    rows = [Row("gymnasium.make, 1 service", steps / ours, steps / theirs, "steps/s", "CartPole-v1")]
    for environments in (1, 64, 1_024, 16_384):
        # Whole days, so that resets and new days count too.
        days = 1 if quick else max(1, min(40, 16_384 * 4 // environments))
        steps = 288 * days
        ours, theirs = interleaved(
            batch_steps("Autoscaler-v0", environments, steps), batch_steps("CartPole-v1", environments, steps), 5
        )
        total = steps * environments
        what = f"gymnasium.make_vec, {environments:,} services, MIXED"
        rows.append(Row(what, total / ours, total / theirs, "steps/s", "CartPole-v1, vectorised"))
    return rows


def kernel_rows(quick: bool) -> list[Row]:
    """Compare the transition function alone, without environment, with the same step in plain C (`kernel.c`)."""
    compiler = shutil.which("cc")
    if compiler is None:
        print("no C compiler (cc): the rows of plain C are left out", flush=True)
        return []
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "kernel.so"
        source = Path(__file__).with_name("kernel.c")
        subprocess.run([compiler, "-O3", "-march=native", "-shared", "-fPIC", "-o", library, source], check=True)
        kernel = ctypes.CDLL(str(library)).advance
    services, steps = 1_024, 280 if quick else 11_200
    ours, in_c = Batch(services), Batch(services)
    our_time, their_time = interleaved(lambda: ours.play(steps), lambda: in_c.play_in_c(steps, kernel), 7)
    if not (np.array_equal(ours.state, in_c.state) and np.array_equal(ours.observations, in_c.observations)):
        raise AssertionError("kernel.c: not the transition function of `dynamics`")
    total = steps * services
    what = f"transition function alone, {services:,} services"
    return [Row(what, total / our_time, total / their_time, "steps/s", "plain C, cc -O3 -march=native")]


class Batch:
    """Services that are advanced without an environment, by `dynamics` or by a function compiled from `kernel.c`."""

    def __init__(self, services: int) -> None:
        days = Pattern(MIXED, SERVICE).draw_by_step(day_seeds("training", services))
        self.arrivals = np.ascontiguousarray(days)
        rng = np.random.default_rng(0)
        self.fleet_changes = np.array(SERVICE.fleet_changes, dtype=np.int64)
        self.actions = rng.integers(0, len(self.fleet_changes), (20, services))
        self.constants = constants_of(SERVICE)
        self.state = dynamics.new_state(SERVICE, services)
        self.observations, self.rewards = np.empty((7, services), dtype=np.float32), np.empty(services)
        dynamics.start_all(self.state, self.arrivals[0], self.constants, self.observations)
        self.sizes = np.array(
            [
                SERVICE.min_instances,
                SERVICE.max_instances,
                SERVICE.capacity_per_instance,
                SERVICE.queue_limit,
                SERVICE.arrivals_scale,
                SERVICE.spare_capacity_scale,
            ],
            dtype=np.int32,
        )
        self.prices = np.array([SERVICE.instance_price, SERVICE.late_price, SERVICE.drop_price])

    def play(self, steps: int) -> None:
        arguments = (self.fleet_changes, self.arrivals[0], self.constants, self.observations, self.rewards)
        advance = entry_point(dynamics.advance_all, self.state, 0, self.actions[0], *arguments)
        arrivals, actions, state, changes = self.arrivals, self.actions, self.state, self.fleet_changes
        constants, observations, rewards = self.constants, self.observations, self.rewards
        for step in range(steps):
            day_step = step % len(arrivals)
            arriving = arrivals[day_step]
            advance(state, day_step, actions[step % 20], changes, arriving, constants, observations, rewards)

    def play_in_c(self, steps: int, advance: Callable[..., object]) -> None:
        n = self.state.shape[1]
        stride = n + 16
        state, observations = np.empty((len(self.state), stride), dtype=np.int32), np.empty((7, stride), np.float32)
        state[:, :n] = self.state
        changing = [pointer(state[row]) for row in KERNEL_ROWS]
        after = [pointer(array) for array in (observations, self.rewards, self.sizes, self.prices)]
        actions, arrivals = [pointer(row) for row in self.actions], [pointer(row) for row in self.arrivals]
        before = (ctypes.c_int64(n), ctypes.c_int64(stride), *changing)
        changes = pointer(self.fleet_changes)
        for step in range(steps):
            advance(*before, actions[step % 20], changes, arrivals[step % len(arrivals)], *after)
        self.state[:], self.observations[:] = state[:, :n], observations[:, :n]


def pointer(array: NDArray[Any]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def q_learning(episodes: int) -> None:
    table = QTable.zeros(SERVICE)
    for _ in fill_table(table, QLearningPreset(episodes=episodes), Pattern(MIXED, SERVICE), np.random.default_rng(0)):
        pass


def q_learning_uncompiled(episodes: int) -> None:
    """Run the same code in the Python interpreter; what it calls stays compiled, so the ratio is a bound."""
    preset = QLearningPreset()
    table = QTable.zeros(SERVICE)
    cells = table.discretisation
    days = Pattern(MIXED, SERVICE).draw(day_seeds("training", episodes))
    learn_days.py_func(
        table.values,
        table.visits,
        days,
        np.random.default_rng(0).random((*days.shape, 2)),
        preset.epsilon(episodes),
        preset.rate_exponent,
        preset.discount,
        np.array(SERVICE.fleet_changes),
        constants_of(SERVICE),
        cells.edges(cells.spare_capacities, SERVICE),
        cells.of_arrivals(days, SERVICE),
        np.zeros(days.shape),
        np.empty(episodes),
    )


def q_learning_loop(episodes: int) -> None:
    """Learn as a student would write it: a loop over the gymnasium environment, one step at a time."""
    env = gymnasium.make("Autoscaler-v0")
    table = QTable.zeros(SERVICE)
    rng = np.random.default_rng(0)
    for _ in range(episodes):
        observation, _ = env.reset()
        cell = int(table.discretisation.cells(observation[np.newaxis], SERVICE)[0])
        truncated = False
        while not truncated:
            greedy = int(np.argmax(table.values[cell]))
            action = int(rng.integers(3)) if rng.random() < 0.1 else greedy
            observation, reward, _, truncated, _ = env.step(action)
            following = int(table.discretisation.cells(observation[np.newaxis], SERVICE)[0])
            target = float(reward) + 0.9 * table.values[following].max()
            table.values[cell, action] += 0.1 * (target - table.values[cell, action])
            cell = following


def q_learning_rows(quick: bool) -> list[Row]:
    q_learning(10)
    episodes = 1_000 if quick else 10_000
    ours = median(cpu_seconds(lambda: q_learning(episodes)) for _ in range(3)) * 10_000 / episodes
    few = 2 if quick else 20
    uncompiled = cpu_seconds(lambda: q_learning_uncompiled(few)) * 10_000 / few
    loop = cpu_seconds(lambda: q_learning_loop(few)) * 10_000 / few
    what = "Q-learning, 10,000 episodes"
    return [
        Row(what, ours, uncompiled, "s", f"uncompiled (from {few} episodes)"),
        Row(what, ours, loop, "s", f"a loop over gymnasium (from {few} episodes)"),
    ]


def mean_cost(policy: Policy, days: int) -> float:
    seeds = day_seeds("selection", days)
    costs = [simulate(policy, Pattern(name, SERVICE).draw(seeds), SERVICE).cost.sum(axis=1).mean() for name in PATTERNS]
    return float(np.mean(costs))


def deep_rows(quick: bool) -> list[Row]:
    rows = []
    steps = 4_096 if quick else 100_000
    classes: dict[str, type[BaseAlgorithm]] = {"ppo": PPO, "dqn": DQN}
    for name, library_class in classes.items():
        preset = PRESETS[name]
        ours = build_learner(name, preset, "MIXED", SERVICE, seed=0, device="cpu")
        stock = library_class("MlpPolicy", gymnasium.make("Autoscaler-v0"), seed=0, device="cpu")
        our_time = cpu_seconds(lambda model=ours: model.learn(steps))
        stock_time = cpu_seconds(lambda model=stock: model.learn(steps))
        against = "stable-baselines3's defaults"
        rows.append(Row(f"{name.upper()}, {steps:,} timesteps: training", our_time, stock_time, "s", against))
        days = 10 if quick else 200
        our_cost = mean_cost(DeepPolicy(ours.policy, SERVICE, "ours"), days)
        stock_cost = mean_cost(ForeignPolicy(stock, "stock"), days)
        rows.append(Row(f"{name.upper()}, {steps:,} timesteps: cost a day", our_cost, stock_cost, "$", against))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="show that it runs; numbers mean little")
    parser.add_argument("--output", help="folder whose results/ the table is written to; the project by default")
    arguments = parser.parse_args()
    quick = arguments.quick
    torch.set_num_threads(1)
    print(f"autoscaler_env {autoscaler_env.__version__}, torch {torch.__version__}, one thread, CPU time", flush=True)
    rows: list[Row] = []
    for measure in (environment_rows, kernel_rows, q_learning_rows, deep_rows):
        for row in measure(quick):
            rows.append(row)
            print(
                f"{row.what:<44} {row.ours:>14,.2f} {row.unit:<8} {row.alternative:>14,.2f} {row.unit:<8}"
                f"{row.ratio:>9.2f} x  against {row.against}",
                flush=True,
            )
    table = pd.DataFrame([vars(row) | {"ratio": row.ratio} for row in rows])
    folders = Folders(arguments.output or ("build/quick" if quick else None))
    path = folders.results / "benchmark_speed.csv"
    write_text(path, table.to_csv(index=False, float_format="%.4g"))
    print(f"saved {folders.shown(path)}")


if __name__ == "__main__":
    main()
