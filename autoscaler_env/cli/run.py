"""`autoscaler run`: the whole course, headless."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import arg

from autoscaler_env.paths import Folders, checkout_root
from autoscaler_env.text import shown

if TYPE_CHECKING:
    from autoscaler_env.course import Executed


@dataclass(frozen=True)
class Run:
    """Run the whole course headlessly: models, figures, tables, executed notebooks and HTML pages."""

    profile: Literal["quick", "full"] = "full"
    """full: the published budgets, written under build/course. quick: tiny budgets, written under build/quick."""
    only: Annotated[tuple[str, ...], arg(metavar="NAME ...", help_behavior_hint="(all)")] = ()
    """Notebooks to run, without ending, such as 06_compare_policies."""
    workers: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: one per processor, at most 4)")] = (
        None
    )
    """Notebooks that run side by side."""
    refresh: bool = False
    """For maintainers: make the committed models, figures, results, executed notebooks and documents anew."""
    output: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="(build/course or build/quick)")] = None
    """Folder for models, figures, results, executed notebooks and HTML pages."""

    def run(self) -> int:
        """Run, and say how each notebook ended; 1 if one failed."""
        from autoscaler_env.course import default_output, run_course

        if self.workers is not None and self.workers < 1:
            raise ValueError(f"workers = {self.workers}: must be at least 1")
        if self.refresh and (self.profile == "quick" or self.output is not None):
            raise ValueError("--refresh: makes the committed files anew; leave out --profile quick and --output")
        folders = Folders(checkout_root("--refresh") if self.refresh else self.output or default_output(self.profile))
        if self.refresh:
            from autoscaler_env.address import refresh_address

            refresh_address(folders.root)  # before the notebooks run: their executed copies have the same cells
        print(f"Running the course ({self.profile}); outputs go to {folders.root}.", flush=True)
        executed = run_course(self.profile, self.only, folders.root, self.workers)
        failed = any(notebook.error for notebook in executed)
        if self.refresh and not failed:
            from autoscaler_env.documents import refresh_documents

            refresh_documents(folders, executed if not self.only else ())
        print("\n" + course_report(executed, folders))
        return 1 if failed else 0


def course_report(ended: Sequence[Executed], folders: Folders) -> str:
    """Return how each notebook ended, the mean cost of each policy, and where everything lies."""
    import pandas

    from autoscaler_env.evaluation.report import cost_table

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
