"""Rows of one time: repeats count once, requests and series of their own all count, and the rest is asked about."""

from __future__ import annotations

import shlex
from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.text import counted
from autoscaler_env.traffic.columns import LIKELY, Reading, Series
from autoscaler_env.traffic.doubts import Question
from autoscaler_env.traffic.names import LABEL_NAMES, METRIC_NAMES, plain_name


def without_repeats(series: Series, name: str, how: Reading) -> Series:
    """Leave out rows that repeat another row: the same time, the same labels and the same numbers.

    A row that two files hold is taken as often as the file that has it most often. Rows that are equal within a file
    are repeats if nothing but them makes two rows of one time and series. They are series of their own if only with
    them every time has the same number of rows. Rows of steps, and rows that are counted, are never repeats.

    Args:
        series: The rows.
        name: The file, for messages.
        how: What the user says; `repeats` is believed.

    Raises:
        ValueError: It is open whether equal rows are repeats; the message names the option.
    """
    if series.times.kind == "step" or not series.cells:
        return series
    places: dict[tuple[str, ...], list[int]] = {}
    for i, cells in enumerate(series.cells):
        places.setdefault(tuple(cells), []).append(i)
    if len(places) == len(series.cells):
        return series
    files = [str(number).partition(" of ")[2] for number in series.numbers]
    copies = {cells: _most_often(equal, files) for cells, equal in places.items()}
    firsts = sorted(equal[0] for equal in copies.values())
    everything = sorted(i for equal in copies.values() for i in equal)
    keep = everything if len(firsts) < len(everything) and _all_count(series, firsts, everything, name, how) else firsts
    return series._replace(
        times=series.times._replace(
            seconds=series.times.seconds[keep],
            offsets=None if series.times.offsets is None else series.times.offsets[keep],
        ),
        values=series.values[keep],
        keys=[series.keys[i] for i in keep],
        numbers=[series.numbers[i] for i in keep],
        cells=[series.cells[i] for i in keep],
        dropped=len(series.cells) - len(keep),
        equal=len(keep) - len(firsts),
    )


def _most_often(equal: list[int], files: list[str]) -> list[int]:
    """Return those of equal rows that stand in the file that has most of them."""
    most, _ = Counter(files[i] for i in equal).most_common(1)[0]
    return [i for i in equal if files[i] == most]


def _all_count(series: Series, firsts: list[int], everything: list[int], name: str, how: Reading) -> bool:
    """Return whether equal rows of one file all count.

    Args:
        series: All rows.
        firsts: The places of the rows without those that are equal to a row before.
        everything: The places of the rows with them.
        name: The file, for messages.
        how: What the user says.
    """
    if how.repeats is not None:
        return how.repeats == "count"
    seconds = series.times.seconds
    again = len(everything) - len(firsts)
    values = series.values[np.isfinite(series.values)]
    if (values == 1).all():
        raise Question(
            f"{name}: {series.column} is always 1, and {counted(again, 'row')} equal to a row before: if each row is a "
            "request, say --column rows; if the file holds them twice, --repeats drop",
            column="rows",
        )
    one_each = max(Counter((seconds[i], series.keys[i]) for i in firsts).values()) == 1
    if one_each or not how.sum:  # without a sum, rows of one time are asked about
        return False
    alike = [len(set(_sizes(seconds, rows))) == 1 for rows in (firsts, everything)]
    if alike[0] != alike[1]:
        return alike[1]
    kept = set(firsts)
    row = series.numbers[next(i for i in everything if i not in kept)]
    raise Question(
        f"{name}, row {row}: the same as a row before in every cell, as {counted(again, 'row')} in all: say --repeats "
        "count if each of them counts, or --repeats drop if the file holds them twice",
        repeats="count",
    )


def _sizes(seconds: NDArray[np.float64], rows: list[int]) -> list[int]:
    """Return how many of the rows each time has."""
    return np.unique(seconds[rows], return_counts=True)[1].tolist()


def rows_of_one_time(
    series: Series, order: NDArray[np.int64], seconds: NDArray[np.float64], name: str, how: Reading
) -> ValueError:
    """Return the question about rows of the same time.

    Args:
        series: The rows.
        order: Their places, in the order of time.
        seconds: The time of each row, in this order, shape (rows,).
        name: The file, for messages.
        how: What the user says.
    """
    late = int(np.flatnonzero(np.diff(seconds) == 0)[0]) + 1
    row = series.numbers[max(order[late], order[late - 1])]
    texts_first = sorted(range(len(series.labels)), key=lambda i: plain_name(series.labels[i]) in LABEL_NAMES)
    for i in texts_first:
        label, values = series.labels[i], sorted({key[i] for key in series.keys})
        if len(values) > 1:
            some = f"{', '.join(values[:5])}{', ...' * (len(values) > 5)}"
            likely = next((value for value in values if LIKELY.search(value)), values[-1])
            answer: dict[str, Any] = {"sum": True}
            if plain_name(label) in METRIC_NAMES:  # metrics have no sum that is worth further questions
                answer = {"where": (*how.where, f"{label}={likely}")}
            return Question(
                f"{name}, row {row}: the same time as another row, since {label} is {some}; choose with --where "
                f"{shlex.quote(f'{label}={likely}')}, or add them up with --sum",
                **answer,
            )
    remedy = "add them up with --sum, or leave out one"
    rows = [str(series.numbers[order[i]]).partition(" of ")[2] for i in (late - 1, late)]
    if rows[0] != rows[1]:
        remedy = f"{rows[0]} and {rows[1]} overlap and disagree: leave out one"
    if series.times.kind == "time without a zone" and how.zone:
        remedy += f"; is {how.zone} the zone of the file? Its clocks do not show this hour"
    elif series.times.kind == "time without a zone":
        remedy += "; if clocks were put back here, name the zone, as in --zone Europe/Berlin"
    return Question(f"{name}, row {row}: the same time as another row, with other numbers; {remedy}", sum=True)
