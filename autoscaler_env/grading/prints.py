"""Tell which files of submissions are the same, a copy with other comments too."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from autoscaler_env.grading.notebooks import read_cells


def prints(files: Mapping[str, Path], given: Iterable[Path]) -> dict[str, str]:
    """Return a hash of what each file of a submission holds, by its name there.

    Of a notebook it is a hash of what its code does: comments, layout, texts and outputs do not count.

    Args:
        files: The submission's files by name. Descriptions of models, `.json`, are passed over.
        given: The files of the course itself. What a submission holds unchanged is left out.
    """
    own = {path.name: _print(path) for path in given}
    found = {name: _print(path) for name, path in files.items() if not name.endswith(".json")}
    return {name: print_ for name, print_ in found.items() if own.get(Path(name).name) != print_}


def _print(path: Path) -> str:
    content = path.read_bytes()
    if path.suffix == ".ipynb":
        with contextlib.suppress(ValueError):
            content = json.dumps([does for cell in read_cells(content) if (does := cell.does)]).encode()
    return hashlib.sha256(content).hexdigest()
