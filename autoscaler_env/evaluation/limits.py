"""The limit without foresight: what no policy can undercut that does not know the future.

    python -m autoscaler_env.evaluation.limits [PATTERN ...]

finds it on the evaluation days of each pattern for the reference service and writes `results/limits.csv`, in about five
minutes of processor time; named patterns replace their rows.

The clairvoyant optimum knows what nobody can know. Information relaxation tells a policy more than it has, but not
that, and finds the cheapest way to use it (Brown, Smith and Sun, "Information relaxations and duality in stochastic
dynamic programs", Operations Research 58, 2010). Every real policy could also be played with more information, so none
is cheaper on average. What a policy costs above the limit may be avoidable; what the limit costs above the clairvoyant
optimum is foresight.

| pattern | told before the day | not told |
|---|---|---|
| STEADY, SINE_CURVE | everything: after a few steps nothing is hidden | nothing: the limit is the clairvoyant optimum |
| SINUSOIDAL | the three cycles | the noise |
| POISSON | the level | the numbers |
| RANDOM | nothing: each step depends on the last level only, which everybody sees | the walk |
| SPIKE | the rate of flash crowds; once one is seen, all to expect until calm returns | the noise, and when calm ends |

Everybody sees the arrivals of the first step before the first action, and knows the pattern: on `MIXED` the limit is
the mean over the patterns. Of recorded traffic the distribution is unknown; there the clairvoyant optimum remains.

Two numbers enclose the limit. `high` is what the program's own policy pays on the evaluation days, simulated. `low` is
lower by all that this policy may lose: for the lattice, whose narrower distribution makes costs too low (see
`evaluation.expectation`), and on SPIKE for the sample of crowds.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autoscaler_env.evaluation.expectation import NARROWER
from autoscaler_env.evaluation.metrics import EPISODES, MEAN
from autoscaler_env.evaluation.relaxed import known_means, play_crowds, play_walk, solve_crowds, solve_walk
from autoscaler_env.paths import Folders
from autoscaler_env.policies.oracle import cheapest_plan
from autoscaler_env.service import Service
from autoscaler_env.storage.files import write_text
from autoscaler_env.text import not_a_choice
from autoscaler_env.traffic.patterns import NOISE, PATTERNS, Pattern, day_seeds

COMMAND = "python -m autoscaler_env.evaluation.limits"
"""The command that makes `results/limits.csv`."""


class Effort(NamedTuple):
    """How finely limits are computed."""

    units: int = 3
    """Units of the lattice in one instance's worth of requests."""
    walk_units: int = 6
    """The same for the values of RANDOM; its policy has half as many."""
    walk_days: int = 300_000
    """Days on which the policy of RANDOM is compared with its values."""
    crowd_units: int = 3
    """Units of SPIKE."""
    scenarios: int = 32
    """Runs of crowds that may begin in each step, for the policy of SPIKE and for what it may lose."""


class Limit(NamedTuple):
    """The limit without foresight on a pattern's evaluation days, in dollars a day."""

    pattern: str
    days: int
    low: float
    """No policy without foresight costs less, on average."""
    high: float
    """What the program's policy pays on these days, with the information of the relaxation."""
    seconds: float
    """Processor seconds that the limit took."""


def find_limit(
    pattern: str, days: int = EPISODES, service: Service | None = None, effort: Effort | None = None
) -> Limit:
    """Find the limit without foresight on a pattern.

    Args:
        pattern: One of `PATTERNS`.
        days: Evaluation days, from the first on.
        service: The reference service by default; one whose instances boot in one step.
        effort: How finely; as for the committed table by default.

    Raises:
        ValueError: There is no such pattern, or instances boot for longer than a step.
    """
    if pattern not in PATTERNS:
        raise ValueError(not_a_choice("pattern", pattern, PATTERNS))
    service, effort = service or Service(), effort or Effort()
    begin = time.process_time()
    seeds, workload = day_seeds("evaluation", days), Pattern(pattern, service)
    drawn = workload.draw(seeds)
    if pattern in ("STEADY", "SINE_CURVE"):
        low = high = cheapest_plan(drawn, service).costs.mean()
    elif pattern == "RANDOM":
        low, high = _walk_limit(drawn, service, effort)
    elif pattern == "SPIKE":
        low, high = _crowds_limit(drawn, workload.expected(seeds), service, effort)
    else:
        noise = NOISE if pattern == "SINUSOIDAL" else None
        means = workload.expected(seeds)
        high = known_means(drawn, means, noise, service, effort.units).played.mean()
        low = known_means(drawn, means, noise, service, effort.units, NARROWER).expected.mean()
    return Limit(pattern, days, float(low), float(high), time.process_time() - begin)


def _walk_limit(days: NDArray[np.int64], service: Service, effort: Effort) -> tuple[float, float]:
    """Return both ends on RANDOM: what its policy may lose is measured on many other days."""
    policy = solve_walk(service, effort.walk_units // 2)
    values = solve_walk(service, effort.walk_units, NARROWER)
    lost, chunk = 0.0, min(effort.walk_days, 50_000)
    for first in range(0, effort.walk_days, chunk):
        others = Pattern("RANDOM", service).draw(day_seeds("training", chunk, first))
        lost += (play_walk(policy, others, service).played - play_walk(values, others, service).expected).sum()
    high = play_walk(policy, days, service).played.mean()
    return high - max(lost / (effort.walk_days // chunk * chunk), 0.0), high


def _crowds_limit(
    days: NDArray[np.int64], means: NDArray[np.float64], service: Service, effort: Effort
) -> tuple[float, float]:
    """Return both ends on SPIKE: what its policy may lose is measured on another sample of crowds."""
    units, scenarios = effort.crowd_units, effort.scenarios
    policy = solve_crowds(service, units, scenarios, seed=0)
    guided = solve_crowds(service, units, scenarios, 1, guide=policy)
    narrow = solve_crowds(service, units, scenarios, 1, NARROWER)
    lost = play_crowds(guided, days[:1], means[:1], service).expected
    lost = lost - play_crowds(narrow, days[:1], means[:1], service).expected
    high = play_crowds(policy, days, means, service).played.mean()
    return high - float(lost.mean()), high


def save_limits(limits: list[Limit], folders: Folders) -> Path:
    """Write limits to `results/limits.csv`, with their mean over the patterns; return its path.

    Rows of other patterns stay.
    """
    path = folders.results / "limits.csv"
    table = pd.DataFrame(limits)
    if path.exists():
        table = pd.concat([pd.read_csv(path), table]).drop_duplicates("pattern", keep="last")
    table = table.set_index("pattern").reindex(PATTERNS).dropna().astype({"days": int}).reset_index()
    mean = table[["low", "high"]].mean().to_dict()
    total = {"pattern": MEAN, "days": table["days"].min(), **mean, "seconds": table["seconds"].sum()}
    table = pd.concat([table, pd.DataFrame([total])], ignore_index=True)
    write_text(path, table.round({"low": 4, "high": 4, "seconds": 1}).to_csv(index=False))
    return path


def read_limits(folders: Folders) -> pd.DataFrame:
    """Return the limits of the reference service, indexed by pattern and `MEAN`: days, low, high, seconds.

    Raises:
        FileNotFoundError: The file is missing; the message has the command that makes it.
    """
    return pd.read_csv(folders.made(folders.find("results/limits.csv"), COMMAND)).set_index("pattern")


def main() -> None:
    """Find and write the limits of the reference service; print both ends and the time of each."""
    folders = Folders()
    for pattern in sys.argv[1:] or PATTERNS:
        one = find_limit(pattern)
        path = save_limits([one], folders)
        print(f"{pattern:<12} {one.low:8.2f} to {one.high:.2f} $ a day, {one.seconds:.0f} s", flush=True)
    print(f"Wrote {folders.shown(path)}.")


if __name__ == "__main__":
    main()
