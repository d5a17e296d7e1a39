"""What pyproject.toml cannot say: the wheel carries the course's files, of which the repository has one copy."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

COURSE_FILES = ("ASSIGNMENT.md", "notebooks/[0-9][0-9]_*.ipynb", "models/*.*", "results/*.*", "figures/tour*")
"""What an installed package needs to run the notebooks. `autoscaler_env/paths.py` knows the folder that they go to."""


class BuildWithCourse(build_py):
    """Builds the package, and puts the course's files into it."""

    def run(self) -> None:
        """Build; an editable install reads the files of its checkout and gets no copies."""
        super().run()
        if self.editable_mode:
            return
        carried = Path(self.build_lib) / "autoscaler_env" / "course_files"
        for source in sorted(path for pattern in COURSE_FILES for path in Path().glob(pattern)):
            (carried / source).parent.mkdir(parents=True, exist_ok=True)
            self.copy_file(str(source), str(carried / source))


setup(cmdclass={"build_py": BuildWithCourse})
