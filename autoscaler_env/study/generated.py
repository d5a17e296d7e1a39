"""What was learned from generated traffic alone, and what policy iteration on a trace gains by a start from it.

The tables are those of `benchmarks/generated_traffic.py`, `advise_traces.py` and `started_traces.py`.
"""

from __future__ import annotations

import pandas as pd

from autoscaler_env.evaluation.statistics import mean_interval
from autoscaler_env.markdown import markdown_table
from autoscaler_env.paths import Folders
from autoscaler_env.text import percent

COMMAND = "python benchmarks/generated_traffic.py TRACES"
"""Makes the table of what was learned from generated traffic alone."""

STARTED_COMMAND = "python benchmarks/started_traces.py TRACES"
FLIGHTS = "advice_flights.csv"
ADVICE_COMMAND = "python benchmarks/advise_traces.py TRACES"
"""Makes the table of starts."""

FIRST_DAYS, GENERATED_DAYS = "first days", "generated days"
"""What rules are calibrated on: the first days of the trace, or generated days."""


def generated_on_traces(folders: Folders) -> pd.DataFrame:
    """Return policy iteration, trained on generated traffic alone, against the cheapest rules on each recorded trace.

    Returns:
        Indexed by trace and calibrated_on (`FIRST_DAYS`, `GENERATED_DAYS`): days, trainings, rule, rule_cost, cost,
        optimum_cost, saved, saved_low, saved_high; in dollars a day.

    Raises:
        FileNotFoundError: The benchmark has not been run; the message has the command that does.
    """
    path = folders.made(folders.results / "generated_traces.csv", COMMAND)
    return pd.read_csv(path).set_index(["trace", "calibrated_on"])


def generated_block(folders: Folders) -> str:
    """Return on how many traces it is no dearer than each kind of rule, and a row per trace."""
    table = generated_on_traces(folders)
    rows = []
    for trace, pair in table.groupby(level="trace", sort=False):
        harder, fair = (pair.xs(kind, level="calibrated_on").iloc[0] for kind in (FIRST_DAYS, GENERATED_DAYS))
        rows.append(
            {
                "trace": trace,
                "days": harder["days"],
                "policy iteration's cost": f"{harder['cost']:.2f}",
                "cheapest rule, calibrated on first days": f"{harder['rule']} {harder['rule_cost']:.2f}",
                "saved": _saved(harder),
                "cheapest rule, calibrated on generated days": f"{fair['rule']} {fair['rule_cost']:.2f}",
                "saved ": _saved(fair),
                "optimum (knows the future)": f"{harder['optimum_cost']:.2f}",
            }
        )
    counts = (
        f"{table['trainings'].max()} trainings. Policy iteration is no dearer than the cheapest rule calibrated on the "
        f"trace's first days on {_counts(table, FIRST_DAYS)}, and no dearer than the cheapest rule calibrated on "
        f"generated days on {_counts(table, GENERATED_DAYS)}."
    )
    return f"{counts}\n\n{markdown_table(pd.DataFrame(rows))}"


def generated_sentence(folders: Folders) -> str:
    """Return on how many traces it is cheaper or dearer, beyond doubt, than the cheapest rule made for the trace."""
    part = generated_on_traces(folders).xs(FIRST_DAYS, level="calibrated_on")
    cheaper, dearer = (part["saved_low"] > 0).sum(), (part["saved_high"] < 0).sum()
    return (
        "Trained on wider generated traffic alone, policy iteration costs less, beyond doubt, than the cheapest rule "
        f"calibrated on the trace's first days on {cheaper} of {len(part)}, and more, beyond doubt, on {dearer}."
    )


def saved_over_days(folders: Folders, table: str = "advice_days.csv", command: str = ADVICE_COMMAND) -> pd.DataFrame:
    """Return what policy iteration, trained on a trace's first days, saves against the cheapest rule on the others.

    Args:
        folders: Where results are.
        table: The table of results with a row per trace, seed and day.
        command: What makes it.

    Returns:
        Indexed by trace: saved, low, high, interval; dollars a day, the 95 % interval over trainings and days, as
        numbers and in words.

    Raises:
        FileNotFoundError: The benchmark has not been run; the message has the command that does.
    """
    rows = {}
    for trace, part in pd.read_csv(folders.made(folders.results / table, command)).groupby("trace", sort=False):
        saved = part.assign(saved=part["rule_cost"] - part["cost"]).pivot(index="seed", columns="day", values="saved")
        interval = mean_interval(saved.to_numpy())
        words = f"{interval.low:+.2f} to {interval.high:+.2f}"
        rows[trace] = {"saved": interval.mean, "low": interval.low, "high": interval.high, "interval": words}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("trace")


def started_on_traces(folders: Folders) -> pd.DataFrame:
    """Return what a start from generated traffic is worth, within the first days of each trace.

    Returns:
        Indexed by trace and start, the columns of `benchmarks/started_traces.py`.

    Raises:
        FileNotFoundError: The benchmark has not been run; the message has the command that does.
    """
    path = folders.made(folders.results / "started_traces.csv", STARTED_COMMAND)
    return pd.read_csv(path).set_index(["trace", "start"])


def started_block(folders: Folders) -> str:
    """Return which share of the way to the optimum each start goes, a row per trace."""
    table = started_on_traces(folders)
    ways = table["way"].map(lambda way: percent(way, 0)).unstack("start", sort=False)
    first = table.groupby(level="trace", sort=False)[["days", "rule"]].first()
    rows = first.rename(columns={"rule": "cheapest rule"}).join(ways).reset_index()
    return markdown_table(rows)


def saved_on_flights(folders: Folders) -> pd.Series:
    """Return what policy iteration saves on flights, a recording from elsewhere, as `saved_over_days` does."""
    return saved_over_days(folders, FLIGHTS, "python benchmarks/flights.py flights-3m.parquet").iloc[0]


def flights_sentence(folders: Folders) -> str:
    """Return what policy iteration costs on flights, a recording from elsewhere, beside the cheapest rule."""
    saved = saved_on_flights(folders)
    table = pd.read_csv(folders.results / FLIGHTS)
    rule, cost, optimum = (table[column].mean() for column in ("rule_cost", "cost", "optimum_cost"))
    return (
        f"On {table['day'].nunique()} held-out days {table['rule'][0]}, the cheapest rule, costs ${rule:.2f} a day, "
        f"policy iteration ${cost:.2f} and the optimum, which knows the future, ${optimum:.2f}. Policy iteration "
        f"saves {saved['saved']:+.2f} dollars a day ({saved['interval']}, over {table['seed'].nunique()} trainings and "
        f"days): {percent((rule - cost) / (rule - optimum), 0)} of the way to the optimum."
    )


def _counts(table: pd.DataFrame, kind: str) -> str:
    part = table.xs(kind, level="calibrated_on")
    certain, dearer = (part["saved_low"] > 0).sum(), (part["saved_high"] < 0).sum()
    no_dearer = (part["saved"] >= 0).sum()
    return f"{no_dearer} of {len(part)} traces (beyond doubt cheaper on {certain}, beyond doubt dearer on {dearer})"


def _saved(row: pd.Series) -> str:
    return f"{row['saved']:+.2f} ({row['saved_low']:+.2f} to {row['saved_high']:+.2f})"
