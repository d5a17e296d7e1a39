"""`autoscaler run`: the whole course, headless."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import arg

from autoscaler_env.cli.console import course_report
from autoscaler_env.cli.options import Output
from autoscaler_env.paths import Folders, project_root


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

        root = project_root() / QUICK["output"] if self.profile == "quick" else None
        folders = Folders(self.output or root)
        ended = run_course(self.profile, self.only, self.output)
        print("\n" + course_report(ended, folders))
        return 1 if any(notebook.error for notebook in ended) else 0
