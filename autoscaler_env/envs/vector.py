"""Many services at once for gymnasium: `gymnasium.make_vec("Autoscaler-v0", num_envs=1024)`."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from autoscaler_env import dynamics
from autoscaler_env.compiled import entry_point
from autoscaler_env.envs.single import check_days, with_episode_length
from autoscaler_env.service import Service, as_service
from autoscaler_env.traffic.patterns import MIXED, Pattern, Workload, as_workload, random_training_seeds

REPORTED = ("ready", "booting", "queue", "arrivals", "served", "dropped", "scaled", "refused")
"""The counts of a step, in the order of the first rows of the state."""


class AutoscalerVectorEnv(gymnasium.vector.VectorEnv[NDArray[np.float32], NDArray[np.int64], NDArray[Any]]):
    """A batch of services in one compiled loop; each is an `AutoscalerEnv`, step for step.

    When a day is over, the next one starts in the same step (`AutoresetMode.SAME_STEP`), as in Gymnasium's own vector
    environments: the step returns the first observations of the new days and their `day_seed`; `infos["final_obs"]` and
    `infos["final_info"]` hold the last observations and the info of the old days. As there, each key of an info has a
    mask, true for the services that it is about, under the key with `_` in front.

    Four differences keep a step fast, or come from the batch:

    - All services start together, so all days end in the same step and every mask is true everywhere.
    - Infos hold the counts of a step but not its costs, which are counts times prices of `service`. In the last step
      of a day the counts are in `final_info`, and at the top level as well.
    - One seed seeds the days of the whole batch; a list of seeds is refused.
    - Options choose the days by `day_seeds`, one for each service.

    Args:
        num_envs: How many services.
        pattern: A name from `PATTERNS`, `MIXED`, or a workload such as a `Trace`.
        service: Sizes and prices; the reference service by default.
        render_mode: Must be `None`: a batch is not rendered.

    Raises:
        ValueError: `num_envs` is no integer of at least 1, the pattern is unknown, the service is no `Service`, or a
            render mode is asked for.
    """

    metadata: dict[str, Any] = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_modes": []}  # noqa: RUF012 - as gymnasium

    def __init__(
        self,
        num_envs: int = 1,
        pattern: str | Workload = MIXED,
        service: Service | None = None,
        render_mode: None = None,
    ) -> None:
        if not isinstance(num_envs, int | np.integer) or num_envs < 1:
            raise ValueError(f"num_envs = {num_envs!r}: must be an integer of at least 1")
        if render_mode is not None:
            raise ValueError(
                f"render_mode = {render_mode!r}: must be None, a batch is not rendered; watch one service, made with "
                "gymnasium.make"
            )
        self.num_envs = int(num_envs)
        self.service = as_service(service)
        self._spec: EnvSpec | None = None
        self.workload = as_workload(pattern, self.service)
        self.render_mode = None
        self.single_observation_space = gymnasium.spaces.Box(dynamics.OBSERVATION_LOW, dynamics.OBSERVATION_HIGH)
        self.single_action_space = gymnasium.spaces.Discrete(len(self.service.fleet_changes))
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._constants = dynamics.constants_of(self.service)
        self._fleet_changes = np.array(self.service.fleet_changes, dtype=np.int64)
        self._state = dynamics.new_state(self.service, num_envs)
        self.arrivals = np.empty((0, num_envs), dtype=np.int32)
        """Arrivals of the days being played, int32 of shape (steps, num_envs)."""
        self._step = 0
        self._prepare_steps()
        self._everyone = np.ones(self.num_envs, dtype=bool)
        self._everyone.flags.writeable = False  # shared by all infos
        self._masks = {f"_{name}": self._everyone for name in REPORTED}

    def _prepare_steps(self) -> None:
        """Make what is looked up once, since a step of a small batch takes microseconds."""
        self._reported = self._state[: len(REPORTED)]
        n, counts, changes = self.num_envs, self._state[0], self._fleet_changes
        actions, columns, rewards = np.zeros(n, dtype=np.int64), np.empty((7, n), dtype=np.float32), np.empty(n)
        arguments = (self._state, 0, actions, changes, counts, self._constants, columns, rewards)
        self._advance = entry_point(dynamics.advance_all, *arguments)

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy needs: all attributes but the view into the state and the machine code."""
        return {name: value for name, value in vars(self).items() if name not in ("_reported", "_advance")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the attributes of a copy."""
        vars(self).update(state)
        self._prepare_steps()

    @property
    def spec(self) -> EnvSpec | None:
        """How gymnasium made this environment; `max_episode_steps` is that of the service."""
        return self._spec

    @spec.setter
    def spec(self, spec: EnvSpec | None) -> None:
        self._spec = with_episode_length(spec, self.service)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start a day in every service.

        Args:
            seed: One seed for the whole batch: it seeds the draw of training days.
            options: `{"day_seeds": seeds}` to choose the first days, uint64 of shape (num_envs,).

        Returns:
            Observations, float32 of shape (num_envs, 7), and `{"day_seed": seeds, "_day_seed": all true}`.

        Raises:
            ValueError: An option is unknown, or there is not one day seed per service.
        """
        if isinstance(seed, list):
            raise ValueError("seed: must be one integer or None; the services of a batch share one stream of days")
        super().reset(seed=seed)
        options = options or {}
        if set(options) - {"day_seeds"}:
            raise ValueError(f"options = {options!r}: must hold 'day_seeds', nothing else")
        seeds = options.get("day_seeds")
        if seeds is not None:
            seeds = np.asarray(seeds)
            if seeds.shape != (self.num_envs,) or seeds.dtype.kind not in "iu" or seeds.min() < 0:
                raise ValueError(
                    f"day_seeds of shape {seeds.shape}, {seeds.dtype}: must be {self.num_envs} whole numbers, one per "
                    "service, each from 0 to 2**64 - 1"
                )
        return self._start(seeds)

    def step(
        self, actions: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Move every service by one step.

        Args:
            actions: Indices into `service.fleet_changes`, integers of shape (num_envs,).

        Returns:
            Observations (num_envs, 7), rewards (num_envs,) in dollars, terminated (all false), truncated, and the
            step's counts, each of shape (num_envs,), with their masks; after the last step of a day also `final_obs`,
            `final_info` and the new `day_seed`.

        Raises:
            ValueError: The shape does not fit or an action is out of range; then nothing has moved.
            RuntimeError: `reset` was never called.
        """
        if len(self.arrivals) == 0:
            raise RuntimeError("the days were never started: call reset() before step()")
        actions = np.asarray(actions)
        if actions.shape != (self.num_envs,) or actions.dtype.kind not in "iu":
            raise ValueError(
                f"actions of shape {actions.shape}, {actions.dtype}: must be integers of shape ({self.num_envs},)"
            )
        actions = np.ascontiguousarray(actions, dtype=np.int64)
        columns = np.empty((7, self.num_envs), dtype=np.float32)
        rewards = np.empty(self.num_envs)
        arriving = self.arrivals[self._step]
        bad = self._advance(
            self._state, self._step, actions, self._fleet_changes, arriving, self._constants, columns, rewards
        )
        if bad >= 0:
            raise ValueError(f"actions[{bad}] = {actions[bad]}: must be from 0 to {len(self._fleet_changes) - 1}")
        observations = columns.T
        infos: dict[str, Any] = self._masks.copy()
        infos.update(zip(REPORTED, self._reported.copy(), strict=True))
        self._step += 1
        ended = self._step == len(self.arrivals)
        if ended:
            final = {"final_obs": observations, "final_info": infos.copy()}
            observations, started = self._start(None)
            infos |= final | {f"_{name}": self._everyone for name in final} | started
        truncated = np.zeros(self.num_envs, dtype=bool)
        if ended:
            truncated[:] = True
        return observations, rewards, np.zeros(self.num_envs, dtype=bool), truncated, infos

    def action_masks(self) -> NDArray[np.bool_]:
        """Return which actions the next step would not refuse, shape (num_envs, n_actions)."""
        return dynamics.allowed_actions(self._state, self._step, self.service)

    def start_days(self, arrivals: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
        """Start given days in every service.

        Args:
            arrivals: Requests, integers of shape (steps, num_envs), at most `LARGEST_COUNT`: those of a step lie side
                by side, as steps read them. They are not copied if they are int32.

        Returns:
            Observations, float32 of shape (num_envs, 7).
        """
        self.arrivals = _rows(arrivals)
        self._step = 0
        columns = np.empty((7, self.num_envs), dtype=np.float32)
        dynamics.start_all(self._state, self.arrivals[0], self._constants, columns)
        return columns.T

    def state(self) -> dict[str, Any]:
        """Return the whole state between two steps, for `restore`: arrays, and values that JSON can hold."""
        return {
            "services": self._state.copy(),
            "arrivals": self.arrivals.copy(),
            "step": self._step,
            "generator": self.np_random.bit_generator.state,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned, of a batch of equal size, pattern and service."""
        self._state[:] = state["services"]
        self.arrivals = _rows(state["arrivals"])
        self._step = state["step"]
        self.np_random.bit_generator.state = state["generator"]

    def _start(self, seeds: NDArray[Any] | None) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start the days of these seeds, or new training days; return observations and info."""
        if seeds is None:
            seeds = random_training_seeds(self.np_random, self.num_envs)
        seeds = np.array(seeds, dtype=np.uint64)
        info = {"day_seed": seeds, "_day_seed": self._everyone}
        if isinstance(self.workload, Pattern):
            return self.start_days(self.workload.draw_by_step(seeds)), info
        return self.start_days(check_days(self.workload.draw(seeds), self.service).T), info


def _rows(arrivals: NDArray[np.integer[Any]]) -> NDArray[np.int32]:
    """Return arrivals of shape (steps, n) as int32 with contiguous rows, as compiled code reads them."""
    rows = arrivals.astype(np.int32, copy=False)
    return rows if rows.strides[1] == rows.itemsize else np.ascontiguousarray(rows)
