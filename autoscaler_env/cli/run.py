"""`autoscaler run`: the whole course, headless."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import arg

from autoscaler_env.cli.options import Output
from autoscaler_env.paths import Folders, output_root
from autoscaler_env.text import shown

if TYPE_CHECKING:
    from autoscaler_env.course import Executed


@dataclass(frozen=True)
class Run:
    """Run the whole course headlessly: every notebook in order; models, figures, tables and a report."""

    profile: Literal["quick", "full"] = "full"
    """full: published budgets, replaces the project's models and results. quick: tiny budgets, below build/quick."""
    only: Annotated[tuple[str, ...], arg(metavar="NAME ...", help_behavior_hint="(all)")] = ()
    """Notebooks to run, without ending, such as 06_compare_policies."""
    output: Output = None

    def run(self) -> int:
        """Run, and say how each notebook ended; 1 if one failed."""
        from autoscaler_env.course import QUICK, run_course

        root = output_root() / QUICK["output"] if self.profile == "quick" else None
        folders = Folders(self.output or root)
        print(f"Running the course ({self.profile}); outputs go to {folders.root}.", flush=True)
        ended = run_course(self.profile, self.only, self.output)
        print("\n" + course_report(ended, folders))
        return 1 if any(notebook.error for notebook in ended) else 0


def course_report(ended: Sequence[Executed], folders: Folders) -> str:
    """Return how each notebook ended, the mean cost of each policy, and where everything lies."""
    import pandas

    from autoscaler_env.readme import cost_table

    rows = {each.name: (each.seconds, each.error or "ran to its end") for each in ended}
    table = pandas.DataFrame.from_dict(rows, orient="index", columns=["seconds", "ended"])
    table = table.rename_axis(columns="notebook")
    width = int(table["ended"].str.len().max())
    formatters = {"seconds": "{:.1f}".format, "ended": f"{{:<{width}}}".format}
    lines = [table.to_string(formatters=formatters)]
    try:
        lines += ["", cost_table(folders), ""]
    except FileNotFoundError as missing:
        lines += ["", str(missing), ""]
    names = ("models", "figures", "results", "executed", "html")
    return "\n".join([*lines, *(f"{name:<9} {shown(getattr(folders, name))}" for name in names)])
