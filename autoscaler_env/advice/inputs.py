"""What the user gives to `advise`, read and checked before slow imports: numbers, the folder, set-up and traffic."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from autoscaler_env.advice.setup import Setup
from autoscaler_env.traffic.columns import Reading
from autoscaler_env.traffic.reading import DAY, Source, read_traffic

if TYPE_CHECKING:
    from autoscaler_env.traffic.trace import Trace


def read_inputs(
    traffic: Source,
    service: str | Path,
    output: str | Path,
    *,
    seed: int = 0,
    how: Reading = Reading(),  # noqa: B008
    step_seconds: int | None = None,
    smooth: int = 1,
    rescale: int | None = None,
    last_days: int | None = None,
) -> tuple[Setup, Trace]:
    """Read the set-up and the traffic; the arguments are those of `advice.advise.advise`.

    Raises:
        ValueError: An argument is out of range, a file cannot be read or does not fit, or the folder is a file.
    """
    for name, value, least in (
        ("seed", seed, 0),
        ("smooth", smooth, 1),
        ("rescale", rescale, 1),
        ("days", last_days, 2),
        ("step_seconds", step_seconds, 1),
        ("row_seconds", how.row_seconds, 1),
    ):
        if value is not None and value < least:
            raise ValueError(f"{name} = {value}: must be at least {least}")
    if step_seconds is not None and DAY % step_seconds:
        raise ValueError(f"step_seconds = {step_seconds}: a day must be whole steps, such as 60, 300 or 3600")
    output = Path(output)
    for folder in (output, *output.parents):
        if folder.exists() and not folder.is_dir():
            raise ValueError(f"output = {str(output)!r}: {folder} is a file; name a folder")
    setup = Setup.from_toml(service, step_seconds).with_step(step_seconds)
    how = dataclasses.replace(how, row_seconds=how.row_seconds or setup.row_seconds)
    days = setup.cut(read_traffic(traffic, setup.step_seconds, how=how), smooth=smooth, rescale=rescale)
    if last_days is not None:
        days = _last(days, last_days)
    setup.service_for(days)  # sizes that do not fit the traffic are told here, and not after slow imports
    return setup, days


def _last(days: Trace, count: int) -> Trace:
    """Return the last of the days; all, if there are no more."""
    if count >= len(days.requests):
        return days
    return type(days)(
        days.name,
        days.requests[-count:],
        days.step_seconds,
        labels=days.labels[-count:],
        weekdays=days.weekdays[-count:],
        notes=(*days.notes, f"Only the last {count} of {len(days.requests)} days are used, as asked."),
        doubts=days.doubts,
    )
