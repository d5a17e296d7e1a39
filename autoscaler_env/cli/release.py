"""`autoscaler release`: the students' version of the course."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from autoscaler_env.storage.files import check_new_folder
from autoscaler_env.text import counted, listed, shown


@dataclass(frozen=True)
class Release:
    """Make the students' version of the course: no solutions, no outputs, checks that do not show the answers.

    `autoscaler grade` in your own checkout takes what students made of it. A student who reads the package finds the
    reference functions of the code exercises: docs/threat_model.md says what is hidden and what is not.
    """

    folder: Annotated[Positional[Path], arg(metavar="FOLDER")]
    """A new or an empty folder. It is written completely or not at all."""

    def run(self) -> int:
        """Write the folder, and say what became of the checks."""
        check_new_folder(self.folder)
        from autoscaler_env.grading.release import release  # slow to import

        released = release(self.folder)
        for exercises, what in (
            (released.hidden_inputs, "call the package on hidden inputs, as before"),
            (released.sealed, "compare with hashes of the answers"),
            (released.noted, "only note the answer; the grader judges it"),
        ):
            print(f"{counted(len(exercises), 'check')} {what}: {listed(exercises) or 'none'}")
        print(f"The students' version is in {shown(self.folder.absolute())}.")
        return 0
