"""What was measured of `autoscaler advise`: harms tried again, CPU seconds, objectives on recorded traffic."""

from __future__ import annotations

import pandas as pd

from autoscaler_env.evaluation.objective import Objective
from autoscaler_env.markdown import markdown_table
from autoscaler_env.paths import Folders

OBJECTIVE = "python benchmarks/advise_traces.py TRACES --objective 0.99 60 --quick --seeds 2"
"""Makes the table of objectives."""


def harms_block(folders: Folders) -> str:
    """Return what `advise` once did wrong, and what it says now: a row for each harm, or for a part of one.

    Raises:
        FileNotFoundError: The benchmark has not been run; the message has the command that does.
    """
    table = pd.read_csv(folders.made(folders.results / "advice_harms.csv", "python benchmarks/advise_harms.py"))
    table["command"] = "`" + table["command"] + "`"
    table["number"] = table["number"].astype(str)
    return markdown_table(table.rename(columns={"number": "harm", "harm": "what it did", "before": "what it said"}))


def seconds_block(folders: Folders) -> str:
    """Return how many CPU seconds `advise` takes on recorded traffic, a row per trace.

    Raises:
        FileNotFoundError: The benchmark has not been run; the message has the command that does.
    """
    command = "python benchmarks/advise_traces.py TRACES --seconds"
    table = pd.read_csv(folders.made(folders.results / "advice_seconds.csv", command))
    rows = {
        "trace": table["trace"],
        "days": table["days"].astype(str),
        "until the rules' answer": table["rules_cpu_seconds"].map("{:.1f} s".format),
        "until the end, with learners": table["whole_cpu_seconds"].map("{:.0f} s".format),
    }
    return markdown_table(pd.DataFrame(rows))


def objective_block(folders: Folders) -> str:
    """Return which policies kept an objective on recorded traffic, a row per policy and a column per trace.

    Raises:
        FileNotFoundError: The benchmark has not been run; the message has the command that does.
    """
    table = pd.read_csv(folders.made(folders.results / "objective_traces.csv", OBJECTIVE))
    first, verdicts = table.iloc[0], table["verdict"].value_counts()
    days = ", ".join(f"{trace} {count} days" for trace, count in table.groupby("trace")["days"].first().items())
    kept, missed, doubt = (verdicts.get(verdict, 0) for verdict in ("kept", "missed", "in doubt"))
    intro = (
        f"The objective is {Objective(first['served_in_time'], first['within_seconds'])}; {days}; "
        f"{table['trainings'].max()} trainings of each learner. A cell is the share in time, what its 95 % interval "
        f"over days says, and dollars a day. Of {len(table)} cells {kept} are kept and {missed} missed beyond doubt; "
        f"{doubt} are in doubt."
    )
    shown = [f"{row.share:.2%} {row.verdict}, {row.cost:.2f}" for row in table.itertuples()]
    cells = table.assign(cell=shown).pivot(index="policy", columns="trace", values="cell")
    rows = cells.loc[table["policy"].unique()].rename_axis(columns=None).reset_index()
    return f"{intro}\n\n{markdown_table(rows)}"
