"""Recorded traffic as a workload: a CSV file, read strictly, split by time."""

from __future__ import annotations

import csv
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.service import Service
from autoscaler_env.traffic.patterns import purpose_of

TRAINING_SHARE = 0.6
"""Share of the days, counted from the first, that training, calibration and selection may use."""


LARGEST_COUNT = 2**30
"""Requests in a step beyond which a count is surely an error; with a queue on top it still fits an int32."""


class Trace:
    """Days cut from recorded request counts.

    The first 60 % of the days are for training, calibration and selection, the rest for evaluation: split by time,
    since days drawn at random would let a policy train on the neighbours of the days it is evaluated on.

    Args:
        name: What tables call it.
        days: Arrivals in requests, int64 of shape (days, steps), in the order of time.

    Raises:
        ValueError: There are fewer than two days, so that nothing could be held out.
    """

    def __init__(self, name: str, days: NDArray[np.int64]) -> None:
        if len(days) < 2:
            raise ValueError(
                f"{name}: {len(days)} whole days; at least 2 are needed, to train on one and evaluate on another"
            )
        self.name = name
        cut = max(1, math.floor(TRAINING_SHARE * len(days)))
        self.earlier, self.later = days[:cut], days[cut:]

    @classmethod
    def from_csv(cls, path: str | Path, service: Service, *, smooth: int = 1, rescale: bool = True) -> Trace:
        """Read a trace: one row per step, columns `step,requests` or `timestamp,requests`.

        Args:
            path: The CSV file, UTF-8, with a header.
            service: Gives the steps of a day, their length, and the peak that the trace is scaled to.
            smooth: Steps of a centred moving average (an even number reaches half a step further back); 1 for none.
                Smooth counts that are small before scaling them up: their counting noise grows with the scale.
            rescale: Whether to scale the trace so that its 99th percentile is the service's peak.

        Raises:
            ValueError: The file is malformed; the message names file, row and reason.
        """
        if smooth < 1:
            raise ValueError(f"smooth = {smooth}: must be a number of steps, at least 1")
        requests = _read_requests(Path(path), service.step_seconds)
        steps = service.steps_per_episode
        if len(requests) < 2 * steps:
            raise ValueError(f"{path}: {len(requests)} rows are too short; two days of {steps} steps are needed")
        if smooth > len(requests):
            raise ValueError(f"smooth = {smooth}: must be at most the {len(requests)} rows of {path}")
        if smooth > 1:
            weights = np.ones(smooth)
            # At the ends the average covers the steps that exist.
            requests = np.convolve(requests, weights, "same") / np.convolve(np.ones_like(requests), weights, "same")
        if rescale:
            high = float(np.percentile(requests, 99))
            if high == 0:
                raise ValueError(
                    f"{path}: the 99th percentile of its requests is 0, so it cannot be scaled to the peak"
                )
            requests = requests * (service.peak_arrivals / high)
        if requests.max() > LARGEST_COUNT:
            raise ValueError(
                f"{path}: {requests.max():.3g} requests in a step; at most {LARGEST_COUNT} can be simulated"
            )
        whole_days = len(requests) // steps
        days = np.rint(requests[: whole_days * steps]).astype(np.int64).reshape(whole_days, steps)
        return cls(Path(path).stem, days)

    def draw(self, seeds: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the day that each day seed stands for: shape (n, steps).

        An evaluation seed stands for a later day, any other for an earlier one.
        """
        days = np.empty((len(seeds), self.earlier.shape[1]), dtype=np.int64)
        for i, seed in enumerate(seeds):
            pool = self.later if purpose_of(seed) == "evaluation" else self.earlier
            days[i] = pool[int(seed) % 2**62 % len(pool)]
        return days

    def evaluation_days(self, episodes: int) -> NDArray[np.int64]:
        """Return the later days, each once and in order, at most `episodes` of them: shape (n, steps)."""
        return self.later[:episodes]


def _read_requests(path: Path, step_seconds: int) -> NDArray[np.float64]:
    """Read the column of requests, checking every row; raise `ValueError` with file, row and reason."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file))
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 text (byte {error.start})") from None
    except csv.Error as error:
        raise ValueError(f"{path}: not CSV: {error}") from None
    if not rows:
        raise ValueError(f"{path}: the file is empty")
    header = [name.strip().lower() for name in rows[0]]
    clock = next((name for name in ("step", "timestamp") if name in header), None)
    if clock is None or "requests" not in header:
        raise ValueError(f"{path}, row 1: the columns are {header}; needed are step or timestamp, and requests")
    clock_column, requests_column = header.index(clock), header.index("requests")
    requests = np.empty(len(rows) - 1)
    previous: int | datetime | None = None
    step = 1 if clock == "step" else timedelta(seconds=step_seconds)
    for number, row in enumerate(rows[1:], start=2):
        where = f"{path}, row {number}"
        if len(row) != len(header):
            raise ValueError(f"{where}: {len(row)} fields; the header has {len(header)}")
        now = _moment(row[clock_column], clock, where)
        if previous is not None and now - previous != step:  # type: ignore[operator]
            raise ValueError(
                f"{where}: {clock} {row[clock_column]} is not one step of {step_seconds} s after the row before"
            )
        previous = now
        requests[number - 2] = _count(row[requests_column], where)
    return requests


def _moment(text: str, clock: str, where: str) -> int | datetime:
    """Return when a row is: its step, or its time."""
    try:
        if clock == "step":
            return int(text)
        moment = datetime.fromisoformat(text.strip())
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)  # no zone given: no daylight saving either
        return moment
    except ValueError:
        kind = "a whole number" if clock == "step" else "an ISO 8601 time"
        raise ValueError(f"{where}: {clock} {text!r} is not {kind}") from None


def _count(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{where}: requests {text!r} is not a number") from None
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"{where}: requests {text!r} must be finite and not negative")
    return value
