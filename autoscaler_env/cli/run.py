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
    output: Output = None

    def run(self) -> int:
        """Run, and say how each notebook ended; 1 if one failed."""
        from autoscaler_env.course import default_output, run_course
        from autoscaler_env.documents import refresh_documents

        if self.workers is not None and self.workers < 1:
            raise ValueError(f"workers = {self.workers}: must be at least 1")
        if self.refresh and (self.profile == "quick" or self.output is not None):
            raise ValueError("--refresh: makes the committed files anew; leave out --profile quick and --output")
        folders = Folders(project_root() if self.refresh else self.output or default_output(self.profile))
        executed = run_course(self.profile, self.only, folders.root, self.workers)
        failed = any(notebook.error for notebook in executed)
        if self.refresh and not failed:
            refresh_documents(folders, executed if not self.only else ())
        print("\n" + course_report(executed, folders))
        return 1 if failed else 0
