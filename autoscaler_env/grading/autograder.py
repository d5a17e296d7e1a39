"""The zip with which Gradescope grades submissions of the course by itself.

Its form is that of https://gradescope-autograders.readthedocs.io/en/latest/specs/. `setup.sh` prepares an image once.
`run_autograder` runs as root in a container of its own for each submission. In such a container no other sandbox may
start. Then notebooks run with a user id of their own, and the container is thrown away, as
https://gradescope-autograders.readthedocs.io/en/latest/best_practices/ advises.
"""

from __future__ import annotations

import io
import json
import secrets
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

from autoscaler_env.grading.rubric import Rubric
from autoscaler_env.paths import checkout_root
from autoscaler_env.storage.files import write_atomically

_PLACES = """\
set -uo pipefail
place=${AUTOGRADER:-/autograder}
course=${COURSE:-/opt/smart-autoscaler}
grades=${GRADES:-/opt/grades}
grade() {
    "$course/.venv/bin/autoscaler" grade "$1" --rubric "$place/source/rubric.toml" --output "$grades" --workers 1 \\
        --own-user --format gradescope
}
"""

_SETUP = f"""\
#!/usr/bin/env bash
# Prepares the image: installs the course, and runs its notebooks once as the answer key.
{_PLACES}
set -e
apt-get update
apt-get install -y --no-install-recommends bubblewrap util-linux
for python in python3.13 python3.12 python3.11; do  # Ubuntu 22.04 has 3.11, 24.04 has 3.12
    if apt-get install -y --no-install-recommends "$python" "$python-venv"; then break; fi
done
rm -rf "$course"
mv "$place/source/course" "$course"
"$python" -m venv "$course/.venv"
"$course/.venv/bin/pip" install --no-cache-dir -c "$course/constraints.txt" -e "$course"
chmod -R a+rX,go-w "$course"
chmod -R go= "$place/source"  # the rubric has the number of the secret days
mkdir -p "$grades" /tmp/empty
grade /tmp/empty
rm -r "$grades/empty"
"""

_RUN = f"""\
#!/usr/bin/env bash
# Grades one submission. If the grader itself has a fault, there is no results.json, and so no mark.
{_PLACES}
mkdir -p "$place/results"
chmod -R go= "$place/source" "$place/results" "$place/submission"
rm -rf "$place/results/results.json" "$grades/submission"
grade "$place/submission"
status=$?
[ "$status" -le 1 ] || exit "$status"
cp "$grades/submission/results.json" "$place/results/results.json"
"""


def write_autograder(path: Path, rubric: Rubric) -> None:
    """Write the zip for Gradescope's "Configure Autograder".

    It has everything of the course but the solutions. All submissions get the same secret days: if the rubric names
    none, they are drawn now, so keep the zip secret.

    Args:
        path: The zip.
        rubric: What earns points.

    Raises:
        ValueError: The package was installed without the rest of the course.
    """
    if rubric.costs.seed is None:
        rubric = replace(rubric, costs=replace(rubric.costs, seed=secrets.randbelow(2**61)))
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in (("setup.sh", _SETUP), ("run_autograder", _RUN), ("rubric.toml", rubric_toml(rubric))):
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (0o644 if name.endswith(".toml") else 0o755) << 16
            archive.writestr(entry, text, zipfile.ZIP_DEFLATED)
        for file, name in _course_files():
            archive.write(file, f"course/{name}")
    write_atomically(path, lambda file: file.write(content.getvalue()))


def _course_files() -> Iterator[tuple[Path, str]]:
    """Yield the files of the course that a grader needs, each with its name in the course."""
    root = checkout_root("autograder")
    texts = ("*.toml", "*.txt", "README.md", "LICENSE")
    for pattern in (*texts, "notebooks/*.ipynb", "models/*.*", "results/*.*", "figures/tour*"):
        yield from ((file, file.relative_to(root).as_posix()) for file in sorted(root.glob(pattern)) if file.is_file())
    for file in sorted((root / "autoscaler_env").rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts:
            yield file, file.relative_to(root).as_posix()


def rubric_toml(rubric: Rubric) -> str:
    """Return a rubric as TOML.

    Example:
        >>> print(rubric_toml(Rubric())[:26])
        [points]
        "notebooks" = 10
    """
    lines = []
    for table, values in (asdict(rubric) | {"weights": dict(rubric.weights)}).items():
        lines.append(f"[{table}]")
        given = {name: value for name, value in values.items() if value is not None}
        lines += [f"{json.dumps(name)} = {json.dumps(value)}" for name, value in given.items()]
    return "\n".join(lines) + "\n"
