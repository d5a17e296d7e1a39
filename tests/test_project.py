"""The project's own files agree with each other, and hold nothing that belongs to one machine."""

import ast
import inspect
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from gymnasium.wrappers import rendering
from needs import is_missing
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ENVIRONMENT = yaml.safe_load((ROOT / "environment.yml").read_text())
TARGETS = set(re.findall(r"^([a-z-]+):.* ## ", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "ASSIGNMENT.md",
    *sorted((ROOT / "docs").glob("*.md")),
]

MACHINE_PATH = re.compile(r"(?<![\w./:+=-])/(?:home|root|Users|work|opt|mnt)/\w|[A-Z]:\\+Users")
REGISTRY = re.compile("|".join(("pypi[.]org", "python" + "hosted", "anaconda[.]org", "pytorch[.]org/whl")))


def need(program):
    """Return the path of a program; skip aloud without it, and fail where it was promised."""
    path = shutil.which(program)
    if path is None:
        is_missing(f"{program} is not installed")
    return path


def requirements():
    """Return every requirement of the project and its extras, but for those that the tested set leaves out."""
    left_out = ("video", "parquet")
    extras = [texts for name, texts in PROJECT["optional-dependencies"].items() if name not in left_out]
    named = [Requirement(text) for texts in (PROJECT["dependencies"], *extras) for text in texts]
    return [requirement for requirement in named if requirement.name != PROJECT["name"]]


def pins():
    """Return the tested version of each package."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


@pytest.fixture(scope="module")
def tracked_texts():
    """Return the text of every tracked file that is text, by its path."""
    need("git")
    if not (ROOT / ".git").exists():
        is_missing("not a git checkout: no list of tracked files")
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    texts = {}
    for name in filter(None, listing.split("\0")):
        content = (ROOT / name).read_bytes() if (ROOT / name).is_file() else b"\0"
        if b"\0" not in content:
            texts[name] = content.decode(errors="replace")
    return texts


def test_environment_has_the_name_and_the_python_of_the_project():
    python = [text for text in ENVIRONMENT["dependencies"] if isinstance(text, str) and text.startswith("python")]
    assert ENVIRONMENT["name"] == PROJECT["name"]
    assert python == ["python" + PROJECT["requires-python"]]


def test_environment_installs_this_project_with_the_tested_set():
    *conda, last = ENVIRONMENT["dependencies"]
    assert ENVIRONMENT["channels"] == ["conda-forge"]
    assert "pip" in conda
    assert last == {"pip": ["-c constraints.txt", "-e ."]}


def test_requirements_are_one_line_that_installs_this_project():
    assert (ROOT / "requirements.txt").read_text() == "-e .\n"


def test_tested_versions_lie_in_their_ranges():
    tested = pins()
    outside = [
        str(each) for each in requirements() if not each.specifier.contains(tested[canonicalize_name(each.name)])
    ]
    assert not outside


def test_the_extra_video_brings_what_the_wrappers_of_gymnasium_import():
    source = inspect.getsource(rendering)
    recorder, window = (
        source[source.index(f"class {name}(") :].split("\nclass ")[0] for name in ("RecordVideo", "HumanRendering")
    )
    needed = {"moviepy": "moviepy", "pygame": "pygame-ce"}  # modules, and the packages that bring them
    assert "import moviepy" in recorder and "import pygame" in window
    extra = {Requirement(text).name for text in PROJECT["optional-dependencies"]["video"]}
    assert extra == set(needed.values())


def test_pins_have_canonical_names_and_no_local_labels():
    assert list(pins()) == [canonicalize_name(name) for name in pins()]
    assert not [version for version in pins().values() if "+" in version]


def test_makefile_has_the_targets():
    wanted = {"run", "quick", "refresh", "lab", "test", "test-all", "lint", "format", "setup", "bench", "clean", "help"}
    assert wanted <= TARGETS


def test_documents_name_targets_that_exist():
    text = "\n".join(document.read_text() for document in DOCUMENTS)
    named = set(re.findall(r"(?:`|^ *\$? ?)make ([a-z-]+)", text, flags=re.MULTILINE))
    assert named and named <= TARGETS


def test_documents_name_every_target():
    text = "\n".join(document.read_text() for document in DOCUMENTS)
    assert not [target for target in TARGETS if f"make {target}" not in text]


@pytest.mark.parametrize("answer", ["Python 3.8.10", "Python 2.7.18", "Python 3.10.13"])
def test_old_python_is_named_in_one_line(answer, tmp_path):
    shutil.copy(ROOT / "Makefile", tmp_path)
    python = tmp_path / "python3"
    python.write_text(f"#!/bin/sh\necho '{answer}'\n")
    python.chmod(0o755)
    command = [need("make"), "setup", f"PYTHON={python}"]
    outer = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(command, cwd=tmp_path, env=outer, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert len((done.stdout + done.stderr).splitlines()) == 1
    assert f"{answer}: the course needs Python 3.11 or newer" in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_no_tracked_file_names_a_path_of_one_machine(tracked_texts):
    assert not {name: MACHINE_PATH.findall(text) for name, text in tracked_texts.items() if MACHINE_PATH.search(text)}


def test_no_tracked_file_names_a_registry(tracked_texts):
    # This page says where torch without CUDA is found.
    texts = {name: text for name, text in tracked_texts.items() if name != "docs/hardware.md"}
    assert not {name: REGISTRY.findall(text) for name, text in texts.items() if REGISTRY.search(text)}


def test_only_compiled_functions_lack_annotations():
    bare = []
    for path in sorted((ROOT / "autoscaler_env").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.returns is None:
                compiled = "compiled" in map(ast.unparse, node.decorator_list)
                bare += [] if compiled else [f"{path.name}:{node.lineno} {node.name}"]
    assert not bare


SMALL_FOR_A_REASON = {"cli", "paths.py", "device.py"}
"""A module per command; what knows folders; what knows devices."""


def test_a_module_is_one_subject_neither_a_drawer_nor_a_scrap():
    package = ROOT / "autoscaler_env"
    lengths = {path.relative_to(package): len(path.read_text().splitlines()) for path in package.rglob("*.py")}
    assert not {path: length for path, length in lengths.items() if length > 500}
    scraps = {path for path, length in lengths.items() if length < 50 and path.name != "__init__.py"}
    assert not {path for path in scraps if path.parts[0] not in SMALL_FOR_A_REASON}


def test_readme_fits_one_page_and_the_glossary_has_twenty_words():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120
    rows = [line for line in (ROOT / "docs" / "glossary.md").read_text().splitlines() if line.startswith("| ")]
    assert len(rows) - 1 <= 20


def test_links_and_pictures_of_the_documents_exist():
    missing = []
    for document in DOCUMENTS:
        text = document.read_text()
        places = re.findall(r"\]\(([^)#\s]+)", text) + re.findall(r'src="([^"]+)"', text)
        missing += [
            f"{document.name}: {place}"
            for place in places
            if "://" not in place and not (document.parent / place).exists()
        ]
    assert not missing
