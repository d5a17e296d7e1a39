"""The address of the project's repository, and what is made from it: badges, the notebooks' first cell and links.

The address stands once, in pyproject.toml under `[project.urls]`. This writes another one there and wherever else it is
needed:

    python -m autoscaler_env.address https://github.com/OWNER/NAME
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

from autoscaler_env.paths import checkout_root
from autoscaler_env.storage.files import write_text

PLACEHOLDER = "https://github.com/YOUR_ORGANISATION/smart-autoscaler"
"""What stands in place of the address as long as the repository has none: no host has it."""

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


def files_address(address: str) -> str:
    """Return what the address of each file of the repository begins with.

    A notebook is read in many places: here, executed, copied by `autoscaler course`, on Colab, on the site. A link in
    it to a file that is no notebook begins like this, because no relative link is right in all of them.

    Args:
        address: As `repository_address` returns it.

    Example:
        >>> files_address("https://github.com/me/course")
        'https://github.com/me/course/blob/main/'
    """
    return f"{address}/blob/main/"


def refresh_address(root: Path) -> None:
    """Write the address into the README's badge, and into cell and links of every notebook and executed notebook.

    Args:
        root: The checkout.
    """
    address, readme = repository_address(root), root / "README.md"
    text = readme.read_text(encoding="utf-8")
    write_text(readme, re.sub(r"^\[!\[Open in Colab\].*$", lambda _: badge_line(address), text, flags=re.MULTILINE))
    for path in sorted((root / "notebooks").glob("**/[0-9][0-9]_*.ipynb")):
        _refresh_notebook(path, address)


def _refresh_notebook(path: Path, address: str) -> None:
    """Write the address into a notebook in place of the one that its first cell installs from."""
    import nbformat

    text = path.read_text(encoding="utf-8")
    notebook = nbformat.reads(text, as_version=4)
    for cell in notebook.cells:
        if INSTALL_TAG in cell.metadata.get("tags", []):
            before = re.search(r'git\+([^"]+)"', cell.source)
            cell.source = install_cell(address)
            old = files_address(before[1] if before else address)
            for other in (each for each in notebook.cells if each.cell_type == "markdown"):
                other.source = other.source.replace(old, files_address(address))
    write_text(path, nbformat.writes(notebook) + ("\n" if text.endswith("\n") else ""))


def set_address(root: Path, address: str) -> None:
    """Write another address of the repository into pyproject.toml and wherever else it is needed.

    Args:
        root: The checkout.
        address: Such as `https://github.com/OWNER/NAME`: Colab opens notebooks from GitHub only.

    Raises:
        ValueError: It is no address of a repository at GitHub.
    """
    if not re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+", address):
        raise ValueError(f"address = {address!r}: must be like https://github.com/OWNER/NAME")
    settings = root / "pyproject.toml"
    text = settings.read_text(encoding="utf-8")
    write_text(settings, text.replace(f'"{repository_address(root)}"', f'"{address}"'))
    refresh_address(root)


def main(arguments: list[str] | None = None) -> int:
    """Write the given address everywhere; print one line that says so, or what is wrong with it."""
    given = sys.argv[1:] if arguments is None else arguments
    if len(given) != 1:
        print("usage: python -m autoscaler_env.address https://github.com/OWNER/NAME", file=sys.stderr)
        return 2
    try:
        set_address(checkout_root("autoscaler_env.address"), given[0])
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"The address of the repository is {given[0]} now: in pyproject.toml, the README and all notebooks.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
