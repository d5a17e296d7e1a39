"""`autoscaler grade`: grade submissions of students."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from tyro.conf import Positional, arg

from autoscaler_env.paths import output_root
from autoscaler_env.storage.files import write_text
from autoscaler_env.text import printable, shown
from autoscaler_env.verification.workers import missing_safeguards

if TYPE_CHECKING:
    from autoscaler_env.grading.report import Report

T = TypeVar("T")

# Here rather than in the docstring of the option, whose lines the help would not join.
_SCHEDULER_HELP = (
    "Address of a running Dask scheduler, such as tcp://192.168.0.5:8786, on whose workers submissions are executed "
    "instead. Its workers need a checkout of the same version and one thread each, and no shared disk."
)


@dataclass(frozen=True)
class Grade:
    """Grade submissions in a sandbox: run their notebooks, check their models, compare their costs; write reports."""

    submissions: Annotated[Positional[tuple[Path, ...]], arg(metavar="SUBMISSION ...")]
    """Folders or zips as described in ASSIGNMENT.md. Unchanged submissions are not graded again."""
    workers: Annotated[int, arg(metavar="N", help_behavior_hint="(default: half of the cores)")] = max(
        1, (os.cpu_count() or 1) // 2
    )
    """Submissions that are graded at the same time on this machine."""
    scheduler: Annotated[str | None, arg(metavar="ADDRESS", help=_SCHEDULER_HELP, help_behavior_hint="(none)")] = None
    profile: Literal["quick", "full"] = "quick"
    """Budgets that the notebooks run with, as in `autoscaler run`."""
    rubric: Annotated[Path | None, arg(metavar="FILE.toml", help_behavior_hint="(the course's)")] = None
    """What earns points."""
    output: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="(build/grades)")] = None
    """Folder for gradebook.csv and for a report of each submission, as JSON and HTML."""
    roster: Annotated[Path | None, arg(metavar="FILE.csv", help_behavior_hint="(none, or that of the run before)")] = (
        None
    )
    """Students of the class, with columns id and name, or an export of Canvas, Moodle or Gradescope."""
    adjust: Annotated[Path | None, arg(metavar="FILE.csv", help_behavior_hint="(none, or that of the run before)")] = (
        None
    )
    """Late days and manual points: columns id or submission, points, late_days, comment."""
    format: Literal["csv", "canvas", "moodle", "gradescope"] = "csv"
    """Write the gradebook for another system too: canvas.csv, moodle.csv, or results.json beside each report."""
    assignment: Annotated[str, arg(metavar="NAME")] = "Smart AutoScaler"
    """Name of the assignment in Canvas or Moodle; in Canvas `Name (id)`, as its own export has it."""
    i_trust_this_code: bool = False
    """Run notebooks with your own rights if no sandbox works."""
    container: Annotated[str | None, arg(metavar="IMAGE", help_behavior_hint="(none)")] = None
    """Run notebooks in containers of this image, which contains the course's dependencies, instead of bubblewrap."""
    own_user: bool = False
    """Run notebooks with a user id of their own if no bubblewrap works: as root, in containers as Gradescope's."""
    autograder: Annotated[Path | None, arg(metavar="FILE.zip", help_behavior_hint="(none)")] = None
    """Write the zip with which Gradescope grades by itself, with this rubric, and grade nothing."""
    again: Annotated[tuple[str, ...], arg(metavar="NAME ...", help_behavior_hint="(none)")] = ()
    """Grade these submissions anew even if nothing changed: their names in gradebook.csv."""

    def run(self) -> int:
        """Grade, and print a line for each submission; return 1 if one cannot be read, 3 if the grader has a fault."""
        if self.autograder is not None:
            return self._write_autograder(self.autograder)
        if not (self.submissions or self.roster or self.adjust or self.format != "csv"):
            raise ValueError("submissions: at least one is needed, a folder or a zip")
        if self.workers < 1:
            raise ValueError(f"workers = {self.workers}: must be at least 1")
        files = {"rubric": self.rubric, "roster": self.roster, "adjust": self.adjust}
        for name, path in [*files.items(), *(("submission", each) for each in self.submissions)]:
            if path is not None and not path.exists():
                raise ValueError(f"{name} = {str(path)!r}: there is no such file or folder")
        from autoscaler_env.grading.exports import check_assignment, export
        from autoscaler_env.grading.gradebook import Gradebook, write_gradebook
        from autoscaler_env.grading.roster import Roster, read_adjustments
        from autoscaler_env.grading.rubric import DEFAULT, Rubric
        from autoscaler_env.grading.sandbox import find_sandbox

        rubric = Rubric.read(self.rubric or DEFAULT)
        rubric.check_weights()
        output = (self.output or output_root() / "build" / "grades").absolute()
        check_assignment(self.assignment)
        roster = _read(self.roster, output / "roster.csv", Roster.read)
        adjustments = _read(self.adjust, output / "adjust.csv", read_adjustments)
        book = Gradebook(rubric.late, roster, adjustments or ())
        if self.format in ("canvas", "moodle") and roster is None:
            raise ValueError(f"format = {self.format!r}: needs --roster, because it names students and not files")
        sandbox = find_sandbox(self.container, self.i_trust_this_code, self.own_user)
        from autoscaler_env.grading.answer_key import GraderError  # slow to import: after all that may be refused
        from autoscaler_env.grading.grade import Grading, report_names

        _keep(self.roster, output / "roster.csv")
        _keep(self.adjust, output / "adjust.csv")
        print(sandbox.description, *missing_safeguards(), flush=True)
        grading = Grading(output, rubric, sandbox, self.profile)
        sources = dict(zip(report_names(self.submissions), self.submissions, strict=True))
        earlier = grading.earlier(sources)

        def write_rows(reports: Sequence[Report]) -> None:
            done = {report.name for report in reports}
            waiting = {name: source for name, source in sources.items() if name not in done}
            write_gradebook(book.rows([*reports, *earlier], grading.left_out | waiting), output / "gradebook.csv")

        try:
            reports = grading.run(
                self.submissions, self.workers, scheduler=self.scheduler, again=self.again, when_graded=write_rows
            )
        except GraderError as fault:
            print(f"autoscaler: the grader failed, not a submission: {fault}", file=sys.stderr)
            print("No mark was given for this. When it is mended, the same command continues.", file=sys.stderr)
            return 3
        except KeyboardInterrupt:
            message = f"The finished reports are in {shown(output)}; the same command continues with the rest."
            print(f"\n{message}", file=sys.stderr)
            raise
        earlier = grading.earlier(sources)  # another grader may have written to this folder meanwhile
        rows = book.rows([*reports, *earlier], grading.left_out)
        write_gradebook(rows, output / "gradebook.csv")
        of = max((report.of() for report in [*reports, *earlier] if report.key), default=rubric.points.total)
        exported = export(rows, self.format, output, of, self.assignment)
        _print_results(reports, earlier, [*grading.remarks, *book.problems(rows), *exported])
        also = f", with {len(earlier)} graded before," if earlier else ""
        print(f"Reports and gradebook.csv{also} are in {shown(output)}.")
        return 0 if all(report.key for report in reports) else 1

    def _write_autograder(self, path: Path) -> int:
        """Write the zip for Gradescope, and say what protects there."""
        from autoscaler_env.grading.autograder import write_autograder
        from autoscaler_env.grading.rubric import DEFAULT, Rubric

        rubric = Rubric.read(self.rubric or DEFAULT)
        rubric.check_weights()
        write_autograder(path, rubric)
        print(f"{shown(path.absolute())} is for Gradescope's Configure Autograder. Keep it secret: it has the days.")
        print(
            "In its containers notebooks run with a user id of their own. They cannot reach the grader and its results."
        )
        print(
            "They can read the course, and may reach the network. Each container is thrown away after its submission."
        )
        return 0


def _print_results(reports: Sequence[Report], earlier: Sequence[Report], lines: Sequence[str]) -> None:
    """Print a line for each new report, what else a person should know, and what submissions have in common."""
    from autoscaler_env.grading.report import find_similarities

    for report in reports:
        points = f"{report.points():6.1f} of {report.of():.0f}" if report.key else "    -    "
        print("; ".join([f"{points}  {report.name}", *report.notes]))
    print("".join(f"{printable(line, 1_000)}\n" for line in lines), end="")
    for name, similarities in find_similarities([*reports, *earlier]).items():
        print("\n".join(f"identical: {name}: {similarity}" for similarity in similarities))


def _read(given: Path | None, kept: Path, read: Callable[[Path], T]) -> T | None:
    """Return what is in the file that was given, else in the one that an earlier run kept; `None` without both."""
    path = given or kept
    if given is None and not kept.exists():
        return None
    return read(path)


def _keep(given: Path | None, kept: Path) -> None:
    """Keep a copy of a file that was given, so that a run without it does not lose what it says."""
    if given is not None:
        write_text(kept, given.read_text(encoding="utf-8-sig"))
