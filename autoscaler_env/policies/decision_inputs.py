"""The inputs that a decision needs: what the arrivals so far say about the day, and the fleet against what is expected.

The inputs of `policies/inputs.py` show what happened. These add what follows from it, each computed from observations
alone, in the same way in training, evaluation and use:

| inputs | number | content |
|---|---|---|
| fleet and queue | 5 | spare capacity, coarse and fine; queue (logarithm); booting; ready |
| fleet against expectations | 12 | fleet minus each of the six `EXPECTED`, coarse and fine |
| arrivals | 40 | the level, the memory and the bumps of `Inputs` with levels |
| clock | 2 | share of the day that has passed; whether its end is near |
| cycles | 5 | what the cycles expect beyond the level, soon and later; their error so far, its size and its sign |
| calm | 4 | distance from the calm level; time since the calm ended; largest distance since; trend |
| chances | 6 | how likely each of `PATTERNS` is, from a recogniser |

The first two groups depend on the service, the others on the arrivals alone: a day's arrivals give them once, whatever
is tried on that day.

*Cycles* are a regression of the day so far on a mean and its cycles of a day, half a day, ... a sixth of a day, with a
prior that expects slow cycles to be larger. Time alone decides its gains (a Kalman filter whose state does not move),
so a service remembers 13 coefficients. *Calm* is the mean of the arrivals that lie near it; it ends when they leave it.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.compiled import compiled
from autoscaler_env.dynamics import OBSERVATION_NAMES
from autoscaler_env.policies.inputs import AVERAGES, INPUTS_WITH_LEVELS, MEMORY, input_scales, look, observed_arrivals
from autoscaler_env.policies.recognise import DAYS, Recogniser, days_of_patterns, fit_recogniser
from autoscaler_env.service import Service
from autoscaler_env.traffic.patterns import PATTERNS

EXPECTED = ("order ready", "order ready + 4", "order ready + 12", "climb ahead", "fall ahead", "trend")
"""Demands that the fleet is compared with, in instances' worth of requests.

The first three are what the cycles expect in the step in which an instance ordered now serves first, 4 steps later, and
12. *Climb ahead* is the fleet that is needed then so that a fleet which grows as fast as it can meets all demand of
the next 24 steps; *fall ahead* the fleet from which one that shrinks as fast as it can wastes nothing. *Trend* goes on
from the last arrivals as the last few changes did.
"""

_FLEET = 5 + 2 * len(EXPECTED)
_PAST = INPUTS_WITH_LEVELS - 5
_OUTLOOK = 11
FLEET_INPUTS = _FLEET
"""Number of inputs that depend on fleet and queue; they come first."""

ARRIVALS_INPUTS = _PAST + _OUTLOOK
"""Number of inputs that depend on the arrivals, without the chances."""

DECISION_INPUTS = FLEET_INPUTS + ARRIVALS_INPUTS + len(PATTERNS)
"""Number of inputs for each service."""

GROUPS: dict[str, tuple[int, ...]] = {
    "fleet and queue": tuple(range(5)),
    "fleet against expectations": tuple(range(5, _FLEET)),
    "arrivals": tuple(range(_FLEET, _FLEET + _PAST)),
    "clock": (_FLEET + _PAST, _FLEET + _PAST + 1),
    "cycles": tuple(range(_FLEET + _PAST + 2, _FLEET + _PAST + 7)),
    "calm": tuple(range(_FLEET + _PAST + 7, _FLEET + _PAST + 11)),
    "chances": tuple(range(_FLEET + _PAST + _OUTLOOK, DECISION_INPUTS)),
}
"""The places of the inputs of each group, in the order of the table above."""

CYCLES = 6
"""The fastest cycle is a sixth of a day."""

_COEFFICIENTS = 1 + 2 * CYCLES
_AHEAD = 24  # steps that `climb ahead` and `fall ahead` look beyond a boot
_PRIOR_MEAN, _PRIOR_LEVEL, _PRIOR_CYCLE, _ERROR = 0.5, 0.5, 0.4, 0.015  # of the peak
# A service remembers the coefficients, and then:
_SIZE, _SIGN, _TREND, _CALM, _CALM_STEPS, _SINCE, _HIGHEST = range(_COEFFICIENTS, _COEFFICIENTS + 7)
_REMEMBERED = _COEFFICIENTS + 7
_LONGEST_EVENT = 96.0  # steps after which what followed the calm is taken as a new calm
_FLEET_AND_QUEUE = [OBSERVATION_NAMES.index(name) for name in ("ready", "booting", "queue")]


class DecisionInputs:
    """Turn the observations of a batch of services, step after step, into the inputs that a decision needs.

    Args:
        service: The service to scale.
        recogniser: Gives the chances of the patterns, from the inputs that depend on the arrivals.
    """

    count = DECISION_INPUTS
    """Number of inputs for each service."""

    def __init__(self, service: Service, recogniser: Recogniser) -> None:
        self._service, self._recogniser = service, recogniser
        self._outlook = Outlook(service)

    def start(self) -> None:
        """Clear the memory: the next observations are the first of a day."""
        self._outlook.start()

    def state(self) -> dict[str, Any]:
        """Return the memory, for `restore`."""
        return self._outlook.state()

    def restore(self, state: dict[str, Any]) -> None:
        """Continue with the memory that `state` returned."""
        self._outlook.restore(state)

    def __call__(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        """Add observations, shape (n, 7), to the memory; return the inputs, float32 of shape (n, count)."""
        inputs = np.empty((len(observations), DECISION_INPUTS), dtype=np.float32)
        arrivals = np.empty((len(observations), ARRIVALS_INPUTS), dtype=np.float32)
        expected = np.empty((len(observations), 1 + len(EXPECTED)), dtype=np.float32)
        self._outlook(observations, arrivals, expected)
        scales = self._outlook.scales
        states = np.rint(observations[:, _FLEET_AND_QUEUE] * scales[_FLEET_AND_QUEUE]).astype(np.int64)
        look_at_fleets(states, expected, scales, inputs)
        inputs[:, FLEET_INPUTS : FLEET_INPUTS + ARRIVALS_INPUTS] = arrivals
        inputs[:, FLEET_INPUTS + ARRIVALS_INPUTS :] = self._recogniser.chances_of(arrivals)
        return inputs


class Outlook:
    """What a batch of services remembers of the arrivals, and expects.

    Args:
        service: The service to scale.
    """

    def __init__(self, service: Service) -> None:
        self.scales = np.append(input_scales(service), float(service.capacity_per_instance))
        """The factors of `inputs.input_scales`, and the capacity of an instance."""
        self._weights = 1.0 / np.array(AVERAGES)
        self._waves, self._gains = _cycles_of(service.steps_per_episode)
        boot = math.ceil(service.boot_delay / service.step_seconds)
        self._pace = np.array([boot, max(service.fleet_changes), -min(service.fleet_changes)], dtype=np.float64)
        self.start()

    def start(self) -> None:
        """Clear the memory."""
        self._step = 0
        self._past = np.zeros((0, MEMORY))
        self._memory = np.zeros((0, _REMEMBERED))

    def state(self) -> dict[str, Any]:
        """Return the memory, for `restore`."""
        return {"step": self._step, "past": self._past.copy(), "memory": self._memory.copy()}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue with the memory that `state` returned."""
        self._step, self._past, self._memory = state["step"], state["past"], state["memory"]

    def __call__(
        self, observations: NDArray[np.float32], inputs: NDArray[np.float32], expected: NDArray[np.float32]
    ) -> None:
        """Add observations to the memory.

        Args:
            observations: One of each service, shape (n, 7); of these, arrivals and their change are used.
            inputs: Written: the inputs that depend on the arrivals, shape (n, ARRIVALS_INPUTS).
            expected: Written: the arrivals, and what is `EXPECTED`, in instances, shape (n, 7).
        """
        n = len(observations)
        if len(self._past) != n:
            self._step = 0
        if self._step == 0:
            self._past, self._memory = np.zeros((n, MEMORY)), np.zeros((n, _REMEMBERED))
        looked_at = np.empty((n, INPUTS_WITH_LEVELS), dtype=np.float32)
        look(observations, self._step == 0, self.scales, self._weights, self._past, looked_at)
        _look_ahead(
            observations, self._step, self.scales, self._waves, self._gains, self._pace, self._memory, looked_at,
            inputs, expected,
        )  # fmt: skip
        self._step += 1


def outlook_on(service: Service, days: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return what a policy knows of the arrivals before each step of some days.

    Args:
        service: Gives the scale of the arrivals.
        days: Arrivals, shape (n, steps).

    Returns:
        The inputs that depend on the arrivals, float32 of shape (n, steps, ARRIVALS_INPUTS); and the arrivals last seen
        with what is `EXPECTED`, in instances, float32 of shape (n, steps, 7).
    """
    n, steps = days.shape
    inputs = np.empty((n, steps, ARRIVALS_INPUTS), dtype=np.float32)
    expected = np.empty((n, steps, 1 + len(EXPECTED)), dtype=np.float32)
    outlook = Outlook(service)
    for step, seen in enumerate(observed_arrivals(service, days)):
        outlook(seen, inputs[:, step], expected[:, step])
    return inputs, expected


def fit_recogniser_of_outlooks(service: Service, seed: int = 0, days: int = DAYS) -> Recogniser:
    """Train a recogniser on the inputs that depend on the arrivals: seconds on one core; equal seeds, equal weights.

    Args:
        service: Gives the scale of the patterns.
        seed: Seeds the days, the first weights and the order of the steps.
        days: Training days, as for `days_of_patterns`.

    Raises:
        ValueError: There are too few days.
    """
    arrivals = days_of_patterns(service, days, seed)
    inputs, _ = outlook_on(service, arrivals)
    labels = np.repeat(np.arange(len(PATTERNS)), arrivals.size // len(PATTERNS))
    return fit_recogniser(inputs.reshape(-1, ARRIVALS_INPUTS), labels, seed)


recogniser_of_outlooks = functools.cache(fit_recogniser_of_outlooks)
"""The same, trained once in a process."""


@functools.cache
def _cycles_of(steps: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the cycles at each step of a day, and the gain of each coefficient there, both of shape (steps, 13)."""
    angle = 2.0 * np.pi * np.arange(steps) / steps
    cycles = [wave(k * angle) for k in range(1, CYCLES + 1) for wave in (np.cos, np.sin)]
    waves = np.stack([np.ones(steps), *cycles], axis=1)
    spread = np.diag([_PRIOR_LEVEL**2, *((_PRIOR_CYCLE / k) ** 2 for k in range(1, CYCLES + 1) for _ in range(2))])
    gains = np.empty_like(waves)
    for step, wave in enumerate(waves):
        gains[step] = spread @ wave / (wave @ spread @ wave + _ERROR**2)
        spread = spread - np.outer(gains[step], wave @ spread)
    return waves, gains


@compiled
def _bent(x):
    """Return x bent into (-1, 1), steepest at 0."""
    return x / (1.0 + abs(x))


@compiled
def _look_ahead(observations, step, scales, waves, gains, pace, memory, looked_at, inputs, expected):
    """Update the memory with observations; write the inputs that depend on the arrivals, and the expectations."""
    steps = waves.shape[0]
    peak_fleet = scales[7]
    boot, climb, fall = int(pace[0]), pace[1], pace[2]
    shown = min(max(step - 1, 0), steps - 1)  # the step whose arrivals are seen now
    for i in range(observations.shape[0]):
        level = observations[i, 4] * scales[4]
        change = observations[i, 5] * scales[5]
        m = memory[i]
        if step == 0:
            m[:] = 0.0
            m[0] = _PRIOR_MEAN * peak_fleet
            m[_CALM] = level
        if step != 1:  # the first two observations show the same step
            error = level
            for k in range(_COEFFICIENTS):
                error -= waves[shown, k] * m[k]
            for k in range(_COEFFICIENTS):
                m[k] += gains[shown, k] * error
            if step > 1:
                m[_SIZE] += (abs(error) - m[_SIZE]) / 16.0
                m[_SIGN] += (error - m[_SIGN]) / 8.0
        m[_TREND] += (change - m[_TREND]) / 3.0
        distance = level - m[_CALM]
        if abs(distance) < max(2.0, 0.12 * m[_CALM]) or m[_SINCE] >= _LONGEST_EVENT:
            if m[_SINCE] >= _LONGEST_EVENT:
                m[_CALM], m[_CALM_STEPS], distance = level, 0.0, 0.0
            m[_CALM_STEPS] = min(m[_CALM_STEPS] + 1.0, 24.0)
            m[_CALM] += distance / (m[_CALM_STEPS] + 1.0)
            m[_SINCE] = 0.0
            m[_HIGHEST] = 0.0
        else:
            m[_SINCE] += 1.0
            if abs(distance) > abs(m[_HIGHEST]):
                m[_HIGHEST] = distance

        soon = 0.0
        later = 0.0
        last = 0.0
        needed = -1e9
        wasted = 1e9
        for ahead in range(_AHEAD + 1):
            at = (step + boot + ahead) % steps
            demand = 0.0
            for k in range(_COEFFICIENTS):
                demand += waves[at, k] * m[k]
            demand = max(demand, 0.0)
            if ahead == 0:
                soon = demand
            elif ahead == 4:
                expected[i, 2] = demand
            elif ahead == 12:
                later = demand
            last = demand
            needed = max(needed, demand - climb * ahead)
            wasted = min(wasted, demand + fall * ahead)
        expected[i, 0] = level
        expected[i, 1] = soon
        expected[i, 3] = later
        expected[i, 4] = needed
        expected[i, 5] = wasted
        expected[i, 6] = max(level + m[_TREND] * (boot + 1), 0.0)

        for k in range(_PAST):
            inputs[i, k] = looked_at[i, 5 + k]
        inputs[i, _PAST] = step / steps
        inputs[i, _PAST + 1] = min(max(steps - step, 0) / 24.0, 1.0)
        inputs[i, _PAST + 2] = _bent((soon - level) / 2.0)
        inputs[i, _PAST + 3] = _bent((later - level) / 4.0)
        inputs[i, _PAST + 4] = _bent((last - level) / 8.0)
        inputs[i, _PAST + 5] = math.log1p(m[_SIZE])
        inputs[i, _PAST + 6] = _bent(m[_SIGN])
        inputs[i, _PAST + 7] = _bent(distance / 4.0)
        inputs[i, _PAST + 8] = math.log1p(m[_SINCE]) / 4.0
        inputs[i, _PAST + 9] = _bent(m[_HIGHEST] / 8.0)
        inputs[i, _PAST + 10] = _bent(m[_TREND])


@compiled
def look_at_fleet(ready, booting, queue, expected, scales, inputs):
    """Write the inputs of one service that depend on fleet and queue.

    Args:
        ready: Instances that serve.
        booting: Instances ordered and not ready yet.
        queue: Requests waiting.
        expected: The arrivals, and what is `EXPECTED`, in instances, shape (7,).
        scales: The scales of `Outlook`.
        inputs: Its first `FLEET_INPUTS` entries are written.
    """
    fleet = ready + booting
    spare = fleet - expected[0] - queue / scales[8]
    inputs[0] = min(max(spare / 10.0, -3.0), 3.0)
    inputs[1] = _bent(spare)
    inputs[2] = math.log1p(float(queue)) / 4.0 if queue > 0 else 0.0
    inputs[3] = booting
    inputs[4] = ready / scales[7]
    for k in range(1, expected.shape[0]):
        spare = fleet - expected[k]
        inputs[3 + 2 * k] = min(max(spare / 10.0, -3.0), 3.0)
        inputs[4 + 2 * k] = _bent(spare)


@compiled
def look_at_fleets(states, expected, scales, inputs):
    """Write the inputs that depend on fleet and queue, of a batch of services.

    Args:
        states: Ready and booting instances, and waiting requests, in the first three columns; integers, shape (n, k).
        expected: As in `look_at_fleet`, shape (n, 7).
        scales: The scales of `Outlook`.
        inputs: The first `FLEET_INPUTS` columns are written.
    """
    for i in range(states.shape[0]):
        look_at_fleet(states[i, 0], states[i, 1], states[i, 2], expected[i], scales, inputs[i])
