"""The environment for one service: `gymnasium.make("Autoscaler-v0")`."""

from __future__ import annotations

import copy
import operator
from typing import Any, SupportsFloat

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from numpy.typing import NDArray

from autoscaler_env import dynamics
from autoscaler_env.compiled import entry_point
from autoscaler_env.dynamics import LARGEST_COUNT
from autoscaler_env.envs.rendering import DayRecord, RenderMode, render_day
from autoscaler_env.service import Service, as_service
from autoscaler_env.traffic.patterns import MIXED, Workload, as_workload, random_training_seeds


class AutoscalerEnv(gymnasium.Env[NDArray[np.float32], np.int64]):
    """Scale a fleet of instances, step by step, through one day of traffic.

    ## Description
    Requests arrive in steps of five minutes. Ready instances serve them, the rest wait in a queue, and requests that
    find the queue full are dropped. Instances cost money from the moment they are ordered, but serve only after they
    have booted: from the next step on, or within a step, for its rest (`boot_seconds`). The agent changes the fleet by
    one instance per step and pays for instances, lateness and drops, in dollars.

    ## Actions
    `Discrete(len(service.fleet_changes))`. For the reference service: 0 removes an instance, 1 holds, 2 adds one. An
    addition beyond the maximum fleet and a removal below the minimum of ready instances are refused: nothing changes,
    `info["refused"]` is 1, and the action does not count as a scaling action. `action_masks()` returns which actions
    would not be refused.

    ## Observations
    `Box` of seven float32 numbers, what an operator sees at the end of a step:

    | index | name | quantity | min | max | 1 stands for |
    |---|---|---|---|---|---|
    | 0 | ready | ready instances | 0 | 1 | max_instances |
    | 1 | booting | booting instances | 0 | 1 | max_instances |
    | 2 | utilisation | requests served / capacity of the step | 0 | 1 | full use |
    | 3 | queue | requests waiting | 0 | 1 | queue_limit |
    | 4 | arrivals | arrivals of the step | 0 | 1 | 2 x peak_arrivals |
    | 5 | change | arrivals minus that of the step before | -1 | 1 | 2 x peak_arrivals |
    | 6 | spare_capacity | capacity of the fleet minus arrivals and queue | -1 | 1 | all capacity + queue_limit |

    With `min_instances` = 0 a service may have no ready instance. Without capacity the utilisation is 1 if requests
    came in or wait, else 0, so that a rule on utilisation starts an instance where one is needed. The spare capacity is
    then the capacity of what boots, minus the arrivals and the queue.

    Each entry but the utilisation is a count divided by its scale, so `policies.base.decode` recovers the counts
    exactly. Where the arrivals exceed their scale, the observation is clipped; the arrivals themselves never are.

    ## Rewards
    Minus the step's cost in dollars: `instance_price * (ready + booting) + late_price * queue + drop_price * dropped`,
    with weights $0.016, $0.00025 and $0.0025 for the reference service.

    ## Starting state
    `initial_instances` ready, none booting, an empty queue. The first observation shows the arrivals of the first step
    as if they had come in the step before, with change 0.

    ## Episode end
    By the clock alone: after `steps_per_episode` steps this class sets `truncated`, without a TimeLimit wrapper;
    `spec.max_episode_steps` is `steps_per_episode`. `terminated` is never true, so learners should bootstrap from the
    last observation.

    ## Arguments
    Args:
        pattern: A name from `PATTERNS`, `MIXED`, or a workload such as a `Trace`.
        service: Sizes and prices; the reference service by default.
        render_mode: `None`, `"rgb_array"` (the day so far, uint8 of shape (height, width, 3)) or `"ansi"` (text).
            gymnasium's wrappers `RecordVideo` and `HumanRendering` take `"rgb_array"` and need the extra `video`.

    `reset(seed=...)` seeds the draw of training days. `reset(options={"day_seed": s})` starts the day of that seed, and
    `options={"day": arrivals}` a given day, int64 of shape (steps,).

    ## Versions
    v0: first version.

    Example:
        >>> env = gymnasium.make("Autoscaler-v0", pattern="STEADY")
        >>> observation, info = env.reset(seed=0)
        >>> observation, reward, terminated, truncated, info = env.step(2)
        >>> info["booting"], abs(reward + info["instance_cost"] + info["late_cost"] + info["drop_cost"]) < 1e-9
        (1, True)
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array", "ansi"], "render_fps": 20}  # noqa: RUF012 - as gymnasium declares it

    def __init__(
        self, pattern: str | Workload = MIXED, service: Service | None = None, render_mode: RenderMode | None = None
    ) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(
                f"render_mode = {render_mode!r}: must be None, 'rgb_array' or 'ansi'; gymnasium's HumanRendering and "
                "RecordVideo show 'rgb_array', and need the extra: pip install 'smart-autoscaler[video]'"
            )
        self.service = as_service(service)
        self._spec: EnvSpec | None = None
        self.workload = as_workload(pattern, self.service)
        self.render_mode = render_mode
        self.observation_space = gymnasium.spaces.Box(dynamics.OBSERVATION_LOW, dynamics.OBSERVATION_HIGH)
        self.action_space = gymnasium.spaces.Discrete(len(self.service.fleet_changes))
        self._constants = dynamics.constants_of(self.service)
        self._state = dynamics.new_state(self.service, 1)
        # Looked up once: a step takes a microsecond, and attributes of attributes would be a good part of it.
        self._blank = np.zeros(7, dtype=np.float32)  # copying it is faster than a new allocation
        self._changes = self.service.fleet_changes
        self._late_price = self.service.late_price
        self._drop_price = self.service.drop_price
        self._arrivals: list[int] = []
        self._step = 0
        self._record = DayRecord(self.service)
        self._prepare_steps()

    def _prepare_steps(self) -> None:
        self._reported = self._state[: dynamics.CHANGE, 0]
        self._advance = entry_point(dynamics.advance_one, self._state, 0, 0, 0, self._constants, self._blank)

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy needs: all attributes but the view into the state and the machine code."""
        return {name: value for name, value in vars(self).items() if name not in ("_reported", "_advance")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the attributes of a copy."""
        vars(self).update(state)
        self._prepare_steps()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start a day.

        Args:
            seed: Seeds the draw of training days, as in gymnasium.
            options: `{"day_seed": s}` or `{"day": arrivals}` to choose the day.

        Returns:
            The first observation and `{"day_seed": s}` (`None` for a given day).

        Raises:
            ValueError: An option is unknown or the day does not fit the service.
        """
        super().reset(seed=seed)
        day_seed, day = self._choose_day(options or {})
        observation = np.empty((7, 1), dtype=np.float32)
        dynamics.start_all(self._state, day[:1], self._constants, observation)
        self._arrivals = day.tolist()
        self._step = 0
        self._record.clear()
        return observation[:, 0], {"day_seed": day_seed}

    def action_masks(self) -> NDArray[np.bool_]:
        """Return which actions the next step would not refuse, shape (n_actions,)."""
        return dynamics.allowed_actions(self._state, self._step, self.service)[0]

    @property
    def spec(self) -> EnvSpec | None:
        """How gymnasium made this environment; `max_episode_steps` is that of the service."""
        return self._spec

    @spec.setter
    def spec(self, spec: EnvSpec | None) -> None:
        self._spec = with_episode_length(spec, self.service)

    def step(self, action: Any) -> tuple[NDArray[np.float32], SupportsFloat, bool, bool, dict[str, Any]]:
        """Move by one step.

        Args:
            action: An index into `service.fleet_changes`.

        Returns:
            Observation, reward (minus the step's cost, $), terminated (never), truncated (the day is over) and the
            step's counts and costs.

        Raises:
            ValueError: The action is out of range.
            RuntimeError: The day has not been started, or is over.
        """
        changes = self._changes
        try:
            index = operator.index(action)
        except TypeError:
            index = -1
        if not 0 <= index < len(changes):
            raise ValueError(f"action = {action!r}: must be an integer from 0 to {len(changes) - 1}")
        if self._step == len(self._arrivals):
            raise RuntimeError("the day is over or was never started: call reset() before step()")
        observation = self._blank.copy()
        arriving = self._arrivals[self._step]
        cost = self._advance(self._state, self._step, changes[index], arriving, self._constants, observation)
        self._step += 1
        ready, booting, queue, arrivals, served, dropped, scaled, refused = self._reported.tolist()
        late_cost = self._late_price * queue
        drop_cost = self._drop_price * dropped
        info = {
            "ready": ready,
            "booting": booting,
            "queue": queue,
            "arrivals": arrivals,
            "served": served,
            "dropped": dropped,
            "scaled": scaled,
            "refused": refused,
            "instance_cost": cost - late_cost - drop_cost,
            "late_cost": late_cost,
            "drop_cost": drop_cost,
        }
        if self.render_mode is not None:
            self._record.append(info)
        return observation, -cost, False, self._step == len(self._arrivals), info

    def render(self) -> Any:
        """Show the day so far: fleet, demand, queue and cost, as pixels or text by `render_mode`."""
        if self.render_mode is None:
            gymnasium.logger.warn('render() without render_mode; make the environment with "rgb_array" or "ansi"')
            return None
        return render_day(self._record, "ansi" if self.render_mode == "ansi" else "rgb_array")

    def _choose_day(self, options: dict[str, Any]) -> tuple[int | None, NDArray[np.int64]]:
        unknown = set(options) - {"day_seed", "day"}
        if unknown or len(options) > 1:
            raise ValueError(f"options = {options!r}: must hold 'day_seed' or 'day' and nothing else")
        if "day" in options:
            return None, check_days(np.asarray(options["day"])[np.newaxis], self.service)[0]
        if "day_seed" in options:
            seed = operator.index(options["day_seed"])
            if not 0 <= seed < 2**64:
                raise ValueError(f"day_seed = {seed}: must be from 0 to 2**64 - 1")
            seeds = np.array([seed], dtype=np.uint64)
        else:
            seeds = random_training_seeds(self.np_random, 1)
        return int(seeds[0]), check_days(self.workload.draw(seeds), self.service)[0]


def with_episode_length(spec: EnvSpec | None, service: Service) -> EnvSpec | None:
    """Return a copy of what gymnasium registered in which `max_episode_steps` is the service's.

    Gymnasium's wrappers, such as TimeAwareObservation, read it there. Registering it instead would let gymnasium add a
    TimeLimit wrapper, which slows every step down, to an environment that ends its episodes itself.
    """
    if spec is None:
        return None
    copied = copy.copy(spec)
    copied.max_episode_steps = service.steps_per_episode
    return copied


def check_days(days: NDArray[Any], service: Service) -> NDArray[np.int64]:
    """Return days as compiled code reads them: int64, contiguous, of shape (n, steps_per_episode).

    Raises:
        ValueError: The shape does not fit the service, or an arrival is not a whole number of at least 0.
    """
    if days.ndim != 2 or days.shape[1] != service.steps_per_episode:
        raise ValueError(
            f"days of shape {days.shape}: must be (n, {service.steps_per_episode}), the steps of an episode"
        )
    if not np.issubdtype(days.dtype, np.integer) or (days.size and not 0 <= days.min() <= days.max() <= LARGEST_COUNT):
        raise ValueError(f"days: arrivals must be whole numbers of at least 0 and at most {LARGEST_COUNT}")
    return np.ascontiguousarray(days, dtype=np.int64)
