"""The address of the project's repository, and what is made from it: the notebooks' first cell and the badges.

The address stands once, in pyproject.toml under `[project.urls]`. Change it there, then `python -m
autoscaler_env.documents` writes it wherever else it is needed.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from autoscaler_env.storage.files import write_text

INSTALL_TAG = "colab"
"""The tag of the cell that installs the package where a notebook runs without a checkout."""

BADGE = "figures/open_in_colab.svg"
"""The picture of the badges, from the root of the checkout: our own, so that no page asks another host for one."""

_INSTALL_CELL = """\
# Colab, Kaggle, JupyterHub: install the course. Where it is installed already, this cell does nothing.
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("autoscaler_env") is None:
    course = "git+{address}"
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", course], check=True)"""


def repository_address(root: Path) -> str:
    """Return the address of the repository, without a slash at its end.

    Args:
        root: The checkout.
    """
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["urls"]["Repository"]).rstrip("/")


def install_cell(address: str) -> str:
    """Return the source of the cell tagged `colab`, which is the same in every notebook.

    Args:
        address: As `repository_address` returns it.
    """
    return _INSTALL_CELL.format(address=address)


def colab_address(address: str, notebook: str) -> str:
    """Return the address that opens a notebook in Colab.

    Args:
        address: As `repository_address` returns it, on GitHub: Colab opens notebooks from there.
        notebook: The name of the notebook, without ending.

    Example:
        >>> colab_address("https://github.com/me/course", "01_build_environment")
        'https://colab.research.google.com/github/me/course/blob/main/notebooks/01_build_environment.ipynb'
    """
    place = address.removeprefix("https://github.com/")
    return f"https://colab.research.google.com/github/{place}/blob/main/notebooks/{notebook}.ipynb"


def badge_line(address: str) -> str:
    """Return the README's line with the badge, which opens the first notebook."""
    return f"[![Open in Colab]({BADGE})]({colab_address(address, '01_build_environment')})"


def refresh_address(root: Path) -> None:
    """Write the address into the README's badge and into the cell of every notebook that has one.

    Args:
        root: The checkout.
    """
    import nbformat

    address, readme = repository_address(root), root / "README.md"
    text = readme.read_text(encoding="utf-8")
    write_text(readme, re.sub(r"^\[!\[Open in Colab\].*$", lambda _: badge_line(address), text, flags=re.MULTILINE))
    for path in sorted((root / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            if INSTALL_TAG in cell.metadata.get("tags", []):
                cell.source = install_cell(address)
        write_text(path, nbformat.writes(notebook) + "\n")
