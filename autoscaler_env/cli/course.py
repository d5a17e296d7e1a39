"""`autoscaler course`: a copy of the course to work in."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from autoscaler_env.text import counted, shown


@dataclass(frozen=True)
class Course:
    """Copy the course into a folder to work in: the notebooks and ASSIGNMENT.md, without solutions.

    It needs no checkout: an installed package carries the course. Models and results stay in the package.
    """

    folder: Annotated[Positional[Path], arg(metavar="FOLDER")]
    """A folder without these files; no file that exists is changed."""

    def run(self) -> int:
        """Copy, and say what to do next."""
        if self.folder.exists() and not self.folder.is_dir():
            raise ValueError(f"folder = {str(self.folder)!r}: is a file; name a folder")
        from autoscaler_env.grading.release import copy_course

        notebooks, folder = copy_course(self.folder.absolute()), shown(self.folder.absolute())
        print(f"Copied {counted(len(notebooks), 'notebook')} and ASSIGNMENT.md into {folder}.")
        print(f"Open the first one: jupyter lab {shlex.quote(shown(notebooks[0]))}")
        print(f"Check your answers: autoscaler check {shlex.quote(folder)}")
        return 0
