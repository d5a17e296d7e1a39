"""`autoscaler leaderboard`: rank the models of a class."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from autoscaler_env.paths import Folders, output_root
from autoscaler_env.text import counted, shown
from autoscaler_env.verification.workers import Workers, missing_safeguards

if TYPE_CHECKING:
    import pandas as pd

    from autoscaler_env.grading.leaderboard import Row


@dataclass(frozen=True)
class Leaderboard:
    """Rank a class's models by their cost on hidden days, with intervals; print a table and write it as CSV.

    Each model file is read and played in a process with limits; none of its code runs. Policies that students wrote as
    code have no rank: they would need the sandbox of `autoscaler grade` at each step.
    """

    folder: Annotated[Positional[Path], arg(metavar="FOLDER")]
    """The submissions of the class, each a folder or a zip."""
    anonymous: bool = False
    """Codes in place of names; names.csv, which is for you alone, has both."""
    rubric: Annotated[Path | None, arg(metavar="FILE.toml", help_behavior_hint="(the course's)")] = None
    """Which models are expected, and how many days of each pattern are played."""
    output: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="(build/leaderboard)")] = None
    """Folder for leaderboard.csv and for the hidden days, which stay the same for the next time."""

    def run(self) -> int:
        """Measure, print and write; return 1 if no model could be played."""
        from autoscaler_env.grading.entries import submissions_in

        sources = submissions_in(self.folder)
        from autoscaler_env.grading.rubric import DEFAULT, Rubric

        rubric = Rubric.read(self.rubric or DEFAULT)
        from autoscaler_env.grading.grade import report_names, secret_seed  # slow to import, as below
        from autoscaler_env.grading.leaderboard import anonymous, code, measure, rank, rules
        from autoscaler_env.storage.files import write_text

        names = report_names(sources)
        output = (self.output or output_root() / "build" / "leaderboard").absolute()
        seed = secret_seed(output)
        print("".join(f"{sentence}\n" for sentence in missing_safeguards()), end="", file=sys.stderr)
        with Workers() as workers:
            entries, refused = measure(sources, names, rubric, seed, Folders.course().models, workers)
        if self.anonymous:
            entries = list(anonymous(entries, seed))
            refused = [(code(name, seed), model, reason) for name, model, reason in refused]
            rows = "".join(f"{name},{code(name, seed)}\n" for name in names)
            write_text(output / "names.csv", f"name,code\n{rows}")
            (output / "names.csv").chmod(0o600)
        if entries:
            table = table_of(rank([*entries, *rules(rubric, seed)]))
            write_text(output / "leaderboard.csv", table.to_csv(index=False, lineterminator="\n"))
            print(table.to_string(index=False, na_rep=""))
            print(f"Dollars a day with 95 % intervals, on {counted(rubric.costs.days, 'hidden day')} of each pattern.")
            print("`behind` is the difference to the cheapest model, day by day; `=`: the days cannot tell them apart.")
        for name, model, reason in refused:
            print(f"no rank: {name}{f' {model}' if model else ''}: {reason}")
        if entries:
            print(f"The table is in {shown(output / 'leaderboard.csv')}.")
        return 0 if entries else 1


def table_of(rows: list[Row]) -> pd.DataFrame:
    """Return the leaderboard as a table, in cents; a rule has no rank and no name."""
    import pandas as pd

    columns = {
        "rank": [str(row.rank) if row.rank else "" for row in rows],
        "tie": ["=" if row.rank and row.is_as_good else "" for row in rows],
        "name": [row.entry.name for row in rows],
        "policy": [row.entry.policy for row in rows],
    }
    for name, intervals in (("cost", [row.cost for row in rows]), ("behind", [row.behind for row in rows])):
        for end, field in (("", "mean"), ("_low", "low"), ("_high", "high")):
            columns[f"{name}{end}"] = [f"{getattr(interval, field) + 0.0:.2f}" for interval in intervals]
    return pd.DataFrame(columns)
