"""`autoscaler verify`: check model files."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

if TYPE_CHECKING:
    from autoscaler_env.verification.check import Verdict


@dataclass(frozen=True)
class Verify:
    """Check every model file: does it load, predict, play test days, and is it worth its cost?

    No code that a file may carry is run, links are not followed, and each file is read in a process of its own.
    The exit status is 1 if a file is broken or none is there.
    """

    folder: Annotated[Positional[Path | None], arg(metavar="FOLDER", help_behavior_hint="(the project's models)")] = (
        None
    )
    """Holds models, best/ and checkpoints/; or one file."""
    json: bool = False
    """Print the verdicts as JSON."""
    seconds: Annotated[float, arg(metavar="S")] = 8.0
    """Time that the check of one file may take, in seconds."""
    megabytes: Annotated[int, arg(metavar="MB")] = 1_024
    """Memory that the check of one file may use, in megabytes."""

    def run(self) -> int:
        """Print a verdict per file as it comes, a table of the final models, and one verdict overall."""
        from autoscaler_env.verification.check import overall, summary

        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # a terminal may not have every letter of a file's name
        verdicts = self._verdicts()
        sound, told = overall(verdicts)
        if self.json:
            files = [dataclasses.asdict(verdict) for verdict in verdicts]
            print(json.dumps({"sound": sound, "verdict": told, "files": files}, indent=2))
        else:
            print(f"\n{summary(verdicts)}\n\n{told}" if verdicts else told)
        return 0 if sound else 1

    def _verdicts(self) -> list[Verdict]:
        from autoscaler_env.verification.report import verify_one_by_one
        from autoscaler_env.verification.workers import missing_safeguards

        verdicts = []
        coming = verify_one_by_one(self.folder, seconds=self.seconds, megabytes=self.megabytes)
        limits = f"Each file is checked in a process of its own, within {self.seconds:g} s and {self.megabytes:,} MB."
        print(*(missing_safeguards() or [limits]), file=sys.stderr, flush=True)
        with contextlib.closing(coming):  # whatever interrupts us, its processes end
            for verdict in coming:
                if not self.json:
                    print(f"{verdict.status:<7} {verdict.file}: {verdict.reason}", flush=True)
                verdicts.append(verdict)
        return verdicts
