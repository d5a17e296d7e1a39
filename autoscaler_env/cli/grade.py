"""`autoscaler grade`: grade submissions of students."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from autoscaler_env.paths import output_root
from autoscaler_env.text import shown
from autoscaler_env.verification.workers import missing_safeguards


@dataclass(frozen=True)
class Grade:
    """Grade submissions in a sandbox: run their notebooks, check their models, compare their costs; write reports."""

    submissions: Annotated[Positional[tuple[Path, ...]], arg(metavar="SUBMISSION ...")]
    """Folders or zips as described in ASSIGNMENT.md. Unchanged submissions are not graded again."""
    workers: Annotated[int, arg(metavar="N", help_behavior_hint="(default: half of the cores)")] = max(
        1, (os.cpu_count() or 1) // 2
    )
    """Submissions that are graded at the same time."""
    profile: Literal["quick", "full"] = "quick"
    """Budgets that the notebooks run with, as in `autoscaler run`."""
    rubric: Annotated[Path | None, arg(metavar="FILE.toml", help_behavior_hint="(the course's)")] = None
    """What earns points."""
    output: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="(build/grades)")] = None
    """Folder for gradebook.csv and for a report of each submission, as JSON and HTML."""
    i_trust_this_code: bool = False
    """Run notebooks with your own rights if no sandbox works."""
    container: Annotated[str | None, arg(metavar="IMAGE", help_behavior_hint="(none)")] = None
    """Run notebooks in containers of this image, which contains the course's dependencies, instead of bubblewrap."""
    again: Annotated[tuple[str, ...], arg(metavar="NAME ...", help_behavior_hint="(none)")] = ()
    """Grade these submissions anew even if nothing changed: their names in gradebook.csv."""

    def run(self) -> int:
        """Grade, and print a line for each submission; return 1 if one cannot be read, 3 if the grader has a fault."""
        if not self.submissions:
            raise ValueError("submissions: at least one is needed, a folder or a zip")
        if self.workers < 1:
            raise ValueError(f"workers = {self.workers}: must be at least 1")
        from autoscaler_env.grading.answer_key import GraderError
        from autoscaler_env.grading.grade import Grading
        from autoscaler_env.grading.report import find_similarities, write_gradebook
        from autoscaler_env.grading.rubric import DEFAULT, Rubric
        from autoscaler_env.grading.sandbox import find_sandbox

        rubric = Rubric.read(self.rubric or DEFAULT)
        sandbox = find_sandbox(self.container, self.i_trust_this_code)
        output = (self.output or output_root() / "build" / "grades").absolute()
        print(sandbox.description, *missing_safeguards(), flush=True)
        grading = Grading(output, rubric, sandbox, self.profile)
        try:
            reports = grading.run(self.submissions, self.workers, again=self.again)
        except GraderError as fault:
            print(f"autoscaler: the grader failed, not a submission: {fault}", file=sys.stderr)
            print("No mark was given for this. When it is mended, the same command continues.", file=sys.stderr)
            return 3
        except KeyboardInterrupt:
            message = f"The finished reports are in {shown(output)}; the same command continues with the rest."
            print(f"\n{message}", file=sys.stderr)
            raise
        earlier = grading.earlier(reports)
        write_gradebook([*reports, *earlier], output / "gradebook.csv")
        for report in reports:
            points = f"{report.points():6.1f} of {report.of():.0f}" if report.key else "    -    "
            print("; ".join([f"{points}  {report.name}", *report.notes]))
        print("".join(f"{remark}\n" for remark in grading.remarks), end="")
        for name, similarities in find_similarities([*reports, *earlier]).items():
            print("\n".join(f"identical: {name}: {similarity}" for similarity in similarities))
        also = f", with {len(earlier)} graded before" if earlier else ""
        print(f"Reports and gradebook.csv{also} are in {shown(output)}.")
        return 0 if all(report.key for report in reports) else 1
