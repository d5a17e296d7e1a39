"""The pages of the site that come from files of the repository: front page, course, documents, API reference."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import nbformat

from autoscaler_env.address import INSTALL_TAG, colab_address, repository_address
from autoscaler_env.course import course_notebooks
from autoscaler_env.markdown import read_block
from autoscaler_env.policies.registry import label_of
from autoscaler_env.site.links import Pages, for_site

DOCUMENTS = {
    "docs/results.md": "results.md",
    "docs/engineers.md": "engineers.md",
    "docs/harms.md": "harms.md",
    "docs/instructors.md": "instructors.md",
    "docs/hardware.md": "hardware.md",
    "docs/troubleshooting.md": "troubleshooting.md",
    "docs/threat_model.md": "threat_model.md",
    "docs/glossary.md": "glossary.md",
    "ASSIGNMENT.md": "assignment.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
"""Where the documents of the repository are on the site."""

API_SUBJECTS = {
    "service": "The service",
    "envs": "Environments",
    "traffic": "Workloads",
    "policies": "Policies",
    "evaluation": "Evaluation",
    "training": "Training",
    "study": "Studies",
    "storage": "Model files",
    "advice": "Advice",
    "plotting": "Figures",
    "paths": "Folders",
    "device": "Devices",
}
"""The pages of the API reference: a place of the package, and its heading."""


class Name(NamedTuple):
    """A public name."""

    module: str
    name: str


OTHER_POLICIES = (
    Name("autoscaler_env.policies.deep", "DeepPolicy"),
    Name("autoscaler_env.policies.recognise", "Recognise"),
)
"""Policies that have a page and are no public names, because `find_policy` makes them."""


def place_of_pages() -> dict[str, str]:
    """Return the place on the site of each file of the repository that has one."""
    course = {
        f"{folder}/{path.name}": f"course/{path.name}"
        for path in course_notebooks()
        for folder in ("notebooks", "notebooks/executed")
    }
    return {"README.md": "index.md", "notebooks": "course/index.md"} | DOCUMENTS | course


# --- front page and course -------------------------------------------------------------------------------------------


def section(markdown: str, heading: str) -> str:
    """Return the content of a section of a document, without its heading.

    Raises:
        ValueError: There is no such section.
    """
    match = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", markdown, re.DOTALL | re.MULTILINE)
    if match is None:
        raise ValueError(f"heading = {heading!r}: README.md has no such section")
    return match[1].strip()


def question_of(readme: str) -> str:
    """Return the first paragraph of prose of the README: the question, and who answers it."""
    paragraphs = [part.strip() for part in readme.split("\n\n")]
    return next(part for part in paragraphs if part and part[0] not in "#<[!|`-")


def commands_of(readme: str) -> str:
    """Return the two commands of the README's start."""
    match = re.search(r"```\n(.*?)```", section(readme, "Start"), re.DOTALL)
    if match is None:
        raise ValueError("README.md: the section Start has no commands")
    return match[1].strip()


def answer_of(readme: str) -> str:
    """Return the first and the last point below README's table: who is cheaper on patterns, and on recorded traffic.

    Raises:
        ValueError: Less than two points stand below the table.
    """
    points = re.findall(r"^- (.+)$", read_block(readme, "results"), re.MULTILINE)
    if len(points) < 2:
        raise ValueError("README.md: the block `results` must have two points below its table")
    return f"{points[0]} {points[-1]}"


def with_policy_links(markdown: str, names: Iterable[str]) -> str:
    """Return a document in whose tables a policy that begins a row leads to its page.

    Args:
        markdown: The text; a row may begin with the name or the label of a policy.
        names: The policies that have a page.

    Example:
        >>> with_policy_links("| PPO, 100 timesteps | 147 |", ["ppo"])
        '| [PPO](/policies/ppo.md), 100 timesteps | 147 |'
    """
    pages = {said: name for name in names for said in (name, name.replace("-", "_"), label_of(name))}
    said = "|".join(re.escape(each) for each in sorted(pages, key=len, reverse=True))
    row = re.compile(rf"^\| ({said})(?=[ ,]|[-_](?:mixed|per-pattern)\b)", re.MULTILINE)
    return row.sub(lambda match: f"| [{match[1]}](/policies/{pages[match[1]]}.md)", markdown)


def front_page(root: Path, readme: str, tour: str) -> str:
    """Return the front page: the question, the game, the commands and the one table, as README has them.

    Args:
        root: The checkout.
        readme: README.md, with the links that it has on the site.
        tour: Markdown of the animations.
    """
    address = repository_address(root)
    question, _, rest = question_of(readme).partition("? ")
    first = course_notebooks()[0].stem
    alt = re.search(r'<img src="/?figures/demo.gif"[^>]*alt="([^"]+)"', readme)
    return f"""---
myst:
  html_meta:
    description: {" ".join(question.split())}?
---

# Smart AutoScaler

:::::{{container}} asr-hero
::::{{container}} asr-words
:::{{container}} asr-question
{question}?
:::

{rest}

[Read the first notebook](/course/{first}.ipynb){{.asr-button .asr-primary}}
[Run it in Colab]({colab_address(address, first)}){{.asr-button}}
[Use it on your own traffic](engineers.md){{.asr-button}}

**The short answer.** {answer_of(readme)}
::::
::::{{container}} asr-show
![{alt[1] if alt else "The game."}](/figures/demo.gif){{.asr-film}}
::::
:::::

## Run it

Get the code with `git clone {address}`, then in its folder:

```
{commands_of(readme)}
```

Python 3.11 or newer and GNU make are all you need. [Hardware and installation](hardware.md) says more.

## What a day costs

A day costs what its instances cost, and a price for each request that is late or dropped. A pattern is a kind of day,
such as a day with flash crowds. [The glossary](glossary.md) has the other words.

{read_block(readme, "results")}

All numbers, by pattern and on recorded traffic, are in [the results](results.md). Each of
[the policies](policies/index.md) has a page.

## A tour in pictures

:::{{container}} asr-tour
{tour}
:::

## The course

{section(readme, "The course")}

```{{toctree}}
:hidden:

Course <course/index>
Policies <policies/index>
results
Guides <guides>
API <api/index>
changelog
```
"""


def course_page(readme: str) -> str:
    """Return the page that lists the notebooks."""
    names = "\n".join(path.stem for path in course_notebooks())
    return f"# The course\n\n{section(readme, 'The course')}\n\n```{{toctree}}\n:hidden:\n\n{names}\n```\n"


def guides_page() -> str:
    """Return the page that lists the guides."""
    names = [place.removesuffix(".md") for place in DOCUMENTS.values() if place not in {"results.md", "changelog.md"}]
    listing = "\n".join(names)
    return f"""# Guides

- [For engineers](engineers.md): advice for your own traffic, your own service, workload, policy and learner.
- [What advice once did wrong](harms.md), and what it says now.
- [For instructors](instructors.md): release, grading, leaderboard; [the assignment](assignment.md) and
  [the threat model](threat_model.md).
- [Hardware and installation](hardware.md), [troubleshooting](troubleshooting.md).
- [Glossary](glossary.md): twenty words, each with one meaning.
- [Contributing](contributing.md): the map of the package, and how to add a policy, a workload or a learner.

```{{toctree}}
:hidden:

{listing}
```
"""


def notebook_page(executed: Path, root: Path, pages: Pages) -> nbformat.NotebookNode:
    """Return an executed notebook as a page: with links to Colab and to the file, and a text for each figure.

    Args:
        executed: The executed notebook.
        root: The checkout.
        pages: Where the files of the repository are on the site.

    Raises:
        ValueError: The notebook has not run to its end, a cell has two figures, or a figure has no text.
    """
    notebook = nbformat.read(executed, as_version=4)
    name = executed.stem
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            cell.source = pages.rewrite(cell.source, f"notebooks/{executed.name}")
        elif cell.cell_type == "code" and cell.source.strip():
            if cell.execution_count is None:
                raise ValueError(f"{executed.name}: cell {number} never ran; make it anew with: make refresh")
            _describe_figures(cell, f"{executed.name}, cell {number}")
            _mend_tables(cell)
            if INSTALL_TAG in cell.metadata.get("tags", []):
                cell.metadata.tags.append("remove-cell")
    first = notebook.cells[0]
    title, _, rest = first.source.partition("\n")
    heading = f"# {int(name[:2])} {title.removeprefix('# ')}"
    links = (
        f"[Open in Colab]({colab_address(repository_address(root), name)}){{.asr-button .asr-primary}}\n"
        f'<a class="asr-button" href="../notebooks/{name}.ipynb" download>Download</a>'
    )
    first.source = f"{heading}\n\n:::{{container}} no-search\n{links}\n:::\n{rest}"
    return notebook


def _describe_figures(cell: Any, place: str) -> None:
    """Give the figure of a cell the text for readers who cannot see it, where the page's builder looks for it."""
    figures = [output for output in cell.outputs if "image/png" in output.get("data", {})]
    if len(figures) > 1:
        raise ValueError(f"{place}: has {len(figures)} figures; a text needs one figure in a cell")
    for figure in figures:
        alt = figure.metadata.get("image/png", {}).get("alt")
        if not alt:
            raise ValueError(f"{place}: its figure has no text; save it with plotting.save_figure, then: make refresh")
        cell.metadata["mystnb"] = {"image": {"alt": " ".join(alt.split())}}


def _mend_tables(cell: Any) -> None:
    """Make the empty corner of a table a cell: a heading without a text is read aloud as one."""
    for output in cell.outputs:
        if html := output.get("data", {}).get("text/html"):
            output.data["text/html"] = html.replace("<th></th>", "<td></td>")


# --- documents and reference -----------------------------------------------------------------------------------------


def public_names(stub: Path) -> list[Name]:
    """Return the public names of a package and the module that each comes from, as its `__init__.pyi` lists them.

    Args:
        stub: The `__init__.pyi`.
    """
    package = stub.parent.name if stub.parent.name == "autoscaler_env" else f"autoscaler_env.{stub.parent.name}"
    imports = [node for node in ast.parse(stub.read_text(encoding="utf-8")).body if isinstance(node, ast.ImportFrom)]
    return [Name(f"{package}.{node.module}", alias.name) for node in imports if node.module for alias in node.names]


def api_pages(package: Path) -> dict[str, str]:
    """Return the pages of the API reference by their names, each a list of directives that read the docstrings.

    Args:
        package: The folder of the package.

    Raises:
        ValueError: A public name belongs to no page.
    """
    names = public_names(package / "__init__.pyi")
    subjects: dict[str, list[Name]] = {subject: [] for subject in API_SUBJECTS}
    for name in names:
        subject = name.module.split(".")[1]
        if subject not in subjects:
            raise ValueError(f"{name.module}: must be on a page of the API reference; add its subject to API_SUBJECTS")
        subjects[subject].append(name)
    subjects["plotting"] = public_names(package / "plotting" / "__init__.pyi")
    documented = set(names) | set(subjects["plotting"])
    subjects["policies"] += [name for name in OTHER_POLICIES if name not in documented]
    pages = {}
    for subject, heading in API_SUBJECTS.items():
        origin = "autoscaler_env.plotting" if subject == "plotting" else "autoscaler_env"
        about = f"Import these names from `{origin}`."
        pages[subject] = "\n\n".join([f"# {heading}", about, *map(_directive, subjects[subject])]) + "\n"
    listing = "\n".join(subjects)
    rows = "\n".join(
        f"| [{API_SUBJECTS[subject]}]({subject}.md) | {', '.join(_reference(name) for name in of_subject)} |"
        for subject, of_subject in subjects.items()
    )
    pages["index"] = (
        "# API reference\n\nThe public names of the package, by subject.\n\n"
        f"| subject | names |\n|---|---|\n{rows}\n\n```{{toctree}}\n:hidden:\n\n{listing}\n```\n"
    )
    return pages


def _reference(name: Name) -> str:
    return f"{{py:obj}}`~{name.module}.{name.name}`"


def _directive(name: Name) -> str:
    kind = "autodata" if name.name.isupper() else "autoclass" if name.name[0].isupper() else "autofunction"
    if (name.module, name.name) == ("autoscaler_env.plotting", "study"):
        kind = "automodule"
    options = "\n   :members:" if kind in {"autoclass", "automodule"} else ""
    return f"```{{eval-rst}}\n.. {kind}:: {name.module}.{name.name}{options}\n```"


def document_pages(root: Path, pages: Pages) -> dict[str, str]:
    """Return the documents of the repository by their place on the site, with the links that they have there.

    Args:
        root: The checkout.
        pages: Where the files of the repository are on the site.
    """
    return {
        place: pages.rewrite(for_site((root / document).read_text(encoding="utf-8")), document)
        for document, place in DOCUMENTS.items()
    }
