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

from autoscaler_env.verification.workers import MEGABYTES, SECONDS, missing_safeguards, no_such_folder

if TYPE_CHECKING:
    from autoscaler_env.verification.check import Verdict


@dataclass(frozen=True)
class Verify:
    """Check all model files in a folder, including untrusted ones: integrity, type, timesteps, cost on test days.

    No code in a file is run, links are not followed, and each file is read in a process with limits.
    The exit status is 1 if a file is broken or there is no file.
    """

    folder: Annotated[Positional[Path | None], arg(metavar="FOLDER", help_behavior_hint="(the project's models)")] = (
        None
    )
    """Folder of models, with best/ and checkpoints/ if they exist; or one file."""
    json: bool = False
    """Print the verdicts as JSON."""
    seconds: Annotated[float, arg(metavar="S")] = SECONDS
    """Time limit for the check of one file, in seconds."""
    megabytes: Annotated[int, arg(metavar="MB")] = MEGABYTES
    """Memory that the check of one file may use, in megabytes."""

    def run(self) -> int:
        """Print each verdict as soon as it is ready, then a table of the final models and one line for all files."""
        if self.folder is not None and not (self.folder.is_symlink() or self.folder.exists()):
            raise ValueError(no_such_folder(self.folder))
        from autoscaler_env.verification.report import overall, summary

        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # a terminal may lack some letters of a file's name
        verdicts = self._verdicts()
        sound, message = overall(verdicts)
        if self.json:
            files = [dataclasses.asdict(verdict) for verdict in verdicts]
            print(json.dumps({"sound": sound, "verdict": message, "files": files}, indent=2))
        else:
            print(f"\n{summary(verdicts)}\n\n{message}" if verdicts else message)
        return 0 if sound else 1

    def _verdicts(self) -> list[Verdict]:
        from autoscaler_env.verification.report import verify_one_by_one

        verdicts = []
        results = verify_one_by_one(self.folder, seconds=self.seconds, megabytes=self.megabytes)
        limits = (
            f"Each file is checked in a process of its own, limited to {self.seconds:g} s and {self.megabytes:,} MB."
        )
        print(*(missing_safeguards() or [limits]), file=sys.stderr, flush=True)
        with contextlib.closing(results):  # an interruption ends the processes too
            for verdict in results:
                if not self.json:
                    print(f"{verdict.status:<7} {verdict.file}: {verdict.reason}", flush=True)
                verdicts.append(verdict)
        return verdicts
