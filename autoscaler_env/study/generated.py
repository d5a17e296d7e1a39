"""What was learned from generated traffic alone: the table of `benchmarks/generated_traffic.py`."""

from __future__ import annotations

import pandas as pd

from autoscaler_env.markdown import markdown_table
from autoscaler_env.paths import Folders

COMMAND = "python benchmarks/generated_traffic.py TRACES"
"""Makes the table."""

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


def _counts(table: pd.DataFrame, kind: str) -> str:
    part = table.xs(kind, level="calibrated_on")
    certain, dearer = (part["saved_low"] > 0).sum(), (part["saved_high"] < 0).sum()
    no_dearer = (part["saved"] >= 0).sum()
    return f"{no_dearer} of {len(part)} traces (beyond doubt cheaper on {certain}, beyond doubt dearer on {dearer})"


def _saved(row: pd.Series) -> str:
    return f"{row['saved']:+.2f} ({row['saved_low']:+.2f} to {row['saved_high']:+.2f})"
