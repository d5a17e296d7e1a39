"""Build the site: `python -m autoscaler_env.site.build [FOLDER]`, or `make site`.

The sources are written to a folder of their own below `build/`, then Sphinx makes the pages, and every link of them is
checked. A warning, a dead link, a picture without a text and a request to another host each end the build with an
error. No notebook is executed: the committed executed ones are shown.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat

from autoscaler_env.address import PLACEHOLDER, repository_address
from autoscaler_env.course import course_notebooks
from autoscaler_env.paths import Folders, project_root
from autoscaler_env.site.figures import copy_film, draw_figures, tour_of
from autoscaler_env.site.links import Pages, faults_of, for_site
from autoscaler_env.site.pages import (
    api_pages,
    course_page,
    document_pages,
    front_page,
    guides_page,
    notebook_page,
    place_of_pages,
    with_policy_links,
)
from autoscaler_env.site.policies import list_of, page_of, subjects
from autoscaler_env.text import duration

FILMS = (".gif", ".webp")
"""Endings of pictures that move."""


def write_sources(root: Path, source: Path, extra: Path) -> None:
    """Write everything that Sphinx reads.

    Args:
        root: The checkout.
        source: The folder for the sources; it does not exist yet.
        extra: The folder for files that the site carries as they are; likewise.

    Raises:
        ValueError: A notebook did not run to its end, or a link leads nowhere.
    """
    folders = Folders(root)
    (source / "figures").mkdir(parents=True)
    (extra / "notebooks").mkdir(parents=True)
    shutil.copytree(root / "docs" / "site" / "static", source / "static")
    shutil.copy(root / "docs" / "site" / "404.html", extra)
    pages = Pages(root, place_of_pages() | _pictures(root, source, extra))
    policies = subjects()
    names = [subject.name for subject in policies]
    readme = pages.rewrite(for_site((root / "README.md").read_text(encoding="utf-8")), "README.md")
    readme = with_policy_links(readme, names)
    texts = {
        "index.md": front_page(root, readme, tour_of(root, source, extra)),
        "course/index.md": course_page(readme),
        "guides.md": guides_page(),
        **document_pages(root, pages),
        **{f"api/{name}.md": text for name, text in api_pages(root / "autoscaler_env").items()},
    }
    texts["results.md"] = with_policy_links(texts["results.md"], names)
    texts["policies/index.md"] = list_of(policies)
    for subject in policies:
        figures = draw_figures(subject.name, folders, source)
        texts[f"policies/{subject.name}.md"] = page_of(subject, folders, figures)
    for place, text in texts.items():
        (source / place).parent.mkdir(parents=True, exist_ok=True)
        (source / place).write_text(text, encoding="utf-8")
    for notebook in course_notebooks():
        page = notebook_page(folders.executed / notebook.name, root, pages)
        (source / "course" / notebook.name).write_text(nbformat.writes(page), encoding="utf-8")
        shutil.copy(notebook, extra / "notebooks")


def _pictures(root: Path, source: Path, extra: Path) -> dict[str, str]:
    """Copy the pictures that README shows, with a still of each film; return their places on the site."""
    readme = (root / "README.md").read_text(encoding="utf-8")
    shown = [path for path in sorted((root / "figures").iterdir()) if f"figures/{path.name}" in readme]
    for picture in shown:
        if picture.suffix in FILMS:
            copy_film(picture, picture.stem, source, extra)
        else:
            shutil.copy(picture, source / "figures")
    return {f"figures/{path.name}": f"figures/{path.name}" for path in shown}


def build(root: Path, site: Path) -> list[str]:
    """Build the site and check it. Several builds at once do not disturb each other.

    Args:
        root: The checkout.
        site: The folder of the site. An older site in it is replaced, once the new one is right.

    Returns:
        What is wrong, a line for each fault; empty for a site that is right.
    """
    if site.exists() and not _may_replace(site):
        return [f"{site} holds something else than a site; choose a new or an empty folder"]
    (root / "build").mkdir(exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="site-", dir=root / "build"))
    write_sources(root, work / "source", work / "extra")
    made = work / "html"
    command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet", "--jobs", "2"]
    places = ["-c", root / "docs" / "site", "-d", work / "doctrees", work / "source", made]
    done = subprocess.run([*command, *map(str, places)], env=_environment(root), check=False)
    if done.returncode != 0:
        return [f"sphinx ended with status {done.returncode}; its sources are in {work}"]
    shutil.copytree(work / "extra", made, dirs_exist_ok=True)
    for name in (".buildinfo", "objects.inv", "_static/webpack-macros.html"):  # of use to builders only
        (made / name).unlink(missing_ok=True)
    if not (faults := list(faults_of(made))):
        _put(made, site)
        shutil.rmtree(work)
    return faults


def _may_replace(site: Path) -> bool:
    """Return whether a folder is empty, or a site that Sphinx has built."""
    return site.is_dir() and ((site / "searchindex.js").exists() or not any(site.iterdir()))


def _put(made: Path, site: Path) -> None:
    """Put a site into its place, where nobody sees half of it; an older site there goes."""
    site.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{site.name}-", dir=site.parent))
    shutil.move(made, beside / "new")  # perhaps to another disk, which takes a while
    with contextlib.suppress(FileNotFoundError):
        site.rename(beside / "old")
    (beside / "new").rename(site)
    shutil.rmtree(beside)


def _environment(root: Path) -> dict[str, str]:
    """Return the environment of Sphinx, in which the package is the one of the checkout."""
    before = os.environ.get("PYTHONPATH")
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (str(root), before)))}


def main(arguments: list[str] | None = None) -> int:
    """Build the site into a folder, `site/` by default; print its size and the time, or what is wrong with it."""
    started = time.perf_counter()
    root = project_root()
    parser = argparse.ArgumentParser(description="Build the project's site.")
    parser.add_argument("folder", type=Path, nargs="?", default=root / "site", help="the folder to write it to")
    site = parser.parse_args(arguments).folder.resolve()
    faults = build(root, site)
    if faults:
        print(*faults, sep="\n", file=sys.stderr)
        return 1
    files = [path for path in site.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files) / 1e6
    print(f"{site}: {len(files)} files, {size:.1f} MB, in {duration(time.perf_counter() - started)}")
    if repository_address(root) == PLACEHOLDER:
        print("Its links to Colab and the repository lead nowhere yet: python -m autoscaler_env.address ADDRESS")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
