"""Docstrings as data: paragraphs, sections, and the texts below the fields of a class."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import Any, NamedTuple

SECTIONS = ("Args", "Returns", "Raises", "Example", "Equation", "Source")
"""Headings of the sections that docstrings may have."""


class Docstring(NamedTuple):
    """A docstring in parts."""

    summary: str
    """The first line, without its full stop."""
    body: str
    """What stands between the summary and the first section, as Markdown."""
    sections: dict[str, str]
    """The content of each section by its heading."""


class Knob(NamedTuple):
    """A setting of a policy."""

    name: str
    default: str
    meaning: str


def parse(text: str | None) -> Docstring:
    r"""Return the parts of a docstring.

    Example:
        >>> parse("Do it.\n\nLike this.\n\nSource: a book.")
        Docstring(summary='Do it', body='Like this.', sections={'Source': 'a book.'})
    """
    lines = inspect.cleandoc(text or "").splitlines() or [""]
    parts: dict[str, list[str]] = {"": []}
    heading = ""
    for line in lines[1:]:
        match = re.fullmatch(rf"({'|'.join(SECTIONS)}):(?: (.*))?", line)
        if match:
            heading = match[1]
            parts[heading] = [match[2] or ""]
        else:
            parts[heading].append(line)
    texts = {name: inspect.cleandoc("\n" + "\n".join(content)).strip() for name, content in parts.items()}
    return Docstring(lines[0].rstrip("."), texts.pop(""), texts)


def items(section: str) -> dict[str, str]:
    r"""Return the items of a section of arguments, each on one line.

    Example:
        >>> items("target: Wanted share,\n    above 0.\nname: What tables call it.")
        {'target': 'Wanted share, above 0.', 'name': 'What tables call it.'}
    """
    found: dict[str, str] = {}
    name = ""
    for line in section.splitlines():
        match = re.match(r"(\w+): (.*)", line)
        if match:
            name = match[1]
            found[name] = match[2]
        elif name:
            found[name] = f"{found[name]} {line.strip()}"
    return found


def knobs_of_class(policy: type) -> list[Knob]:
    """Return the settings of a rule from the arguments of its class, without the service and the name."""
    documented = next(
        (given for kind in policy.__mro__ if (given := items(parse(kind.__doc__).sections.get("Args", "")))), {}
    )
    parameters = inspect.signature(policy).parameters
    skipped = {"service", "name"}
    return [
        Knob(name, _default(parameters[name].default), meaning)
        for name, meaning in documented.items()
        if name in parameters and name not in skipped
    ]


def knobs_of_preset(preset: Any) -> list[Knob]:
    """Return the settings of a learner from the fields of its preset and the texts below them."""
    meanings = attribute_texts(Path(inspect.getfile(type(preset))), type(preset).__name__)
    knobs = [Knob(name, _default(getattr(preset, name)), meanings[name]) for name in meanings if name != "settings"]
    own = getattr(preset, "settings", {})
    return [*knobs, *(Knob(name, _default(value), "stable-baselines3's argument.") for name, value in own.items())]


def attribute_texts(file: Path, owner: str = "") -> dict[str, str]:
    """Return the texts that stand below the names of a module, or of one of its classes.

    Args:
        file: The module.
        owner: The name of the class; empty for the module itself.
    """
    tree: ast.Module | ast.ClassDef = ast.parse(file.read_text(encoding="utf-8"))
    if owner:
        tree = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == owner)
    texts: dict[str, str] = {}
    for node, below in zip(tree.body, tree.body[1:], strict=False):
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str):
            texts |= {
                target.id: inspect.cleandoc(below.value.value) for target in targets if isinstance(target, ast.Name)
            }
    return texts


def _default(value: Any) -> str:
    if value is inspect.Parameter.empty:
        return "-"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
