"""An installed package carries the course: its notebooks run without a checkout, and it has no solutions."""

import os
import re
import shutil
import subprocess
import sys
import zipfile

import nbformat
import pytest

from autoscaler_env.address import (
    BADGE,
    badge_line,
    colab_address,
    install_cell,
    repository_address,
    set_address,
)
from autoscaler_env.cli.main import main
from autoscaler_env.course import course_notebooks
from autoscaler_env.paths import project_root

ROOT = project_root()
CARRIED = "autoscaler_env/course_files"
TEXTS = {
    ".cfg",
    ".css",
    ".csv",
    ".html",
    ".ipynb",
    ".js",
    ".json",
    ".md",
    ".py",
    ".pyi",
    ".toml",
    ".txt",
    ".yaml",
    ".yml",
}
LEFT_OUT = (".*", "build", "executed", "checkpoints", "best", "logs", "*.egg-info", "__pycache__")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Return the folder of a package that was built as a wheel from a copy of the project, and unpacked."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT, folder / "copy", ignore=shutil.ignore_patterns(*LEFT_OUT))
    options = ["--no-deps", "--no-index", "--no-build-isolation", "--quiet", "--wheel-dir", folder]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, folder / "copy"], check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(folder / "site")
    return folder / "site"


def in_package(installed, *arguments, cwd):
    """Run Python with the installed package, away from any checkout."""
    environment = os.environ | {"PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-W", "ignore", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=600, check=False)


def names_in(folder, pattern="*"):
    return sorted(path.name for path in folder.glob(pattern))


def test_the_wheel_carries_the_course_and_neither_solutions_nor_tests(installed):
    carried = installed / CARRIED
    assert names_in(carried) == ["ASSIGNMENT.md", "figures", "models", "notebooks", "results"]
    assert names_in(carried / "notebooks") == [path.name for path in course_notebooks()]
    for folder in ("models", "results"):
        assert names_in(carried / folder) == [path.name for path in sorted((ROOT / folder).glob("*.*"))]
    assert [name for name in names_in(installed) if not name.endswith(".dist-info")] == ["autoscaler_env"]
    assert not [
        path
        for path in installed.rglob("*")
        if re.search(r"solution|(^|/)tests?(/|_)", str(path.relative_to(installed)))
    ]
    modules = [path.relative_to(ROOT) for path in (ROOT / "autoscaler_env").rglob("*.py")]
    assert not [path for path in modules if not (installed / path).is_file()]


def test_a_notebook_runs_from_an_empty_folder_and_writes_only_there(installed, tmp_path):
    before = sorted(installed.rglob("*.*"))
    source = installed / CARRIED / "notebooks" / "09_study_generalisation.ipynb"
    options = ["--cwd", tmp_path, "-p", "evaluation_days", "2", "--no-progress-bar"]
    result = in_package(installed, "-m", "papermill", source, tmp_path / "done.ipynb", *options, cwd=tmp_path)
    assert result.returncode == 0, result.stderr[-2_000:]
    assert names_in(tmp_path) == ["build", "done.ipynb"]
    assert "09_wide.png" in names_in(tmp_path / "build" / "course" / "figures")
    assert [path for path in sorted(installed.rglob("*.*")) if path.suffix not in (".nbi", ".nbc")] == before
    (install,) = [cell for cell in nbformat.read(tmp_path / "done.ipynb", 4).cells if cell.id == "colab"]
    assert install.outputs == [], "where the package is installed, the cell says and does nothing"


def test_course_copies_what_the_package_carries_and_says_what_to_do_next(installed, tmp_path):
    result = in_package(installed, "-m", "autoscaler_env.cli.main", "course", "my course", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [
        "Copied 12 notebooks and ASSIGNMENT.md into my course.",
        "Open the first one: jupyter lab 'my course/notebooks/01_build_environment.ipynb'",
        "Check your answers: autoscaler check 'my course'",
    ]
    copied = tmp_path / "my course"
    assert names_in(copied) == ["ASSIGNMENT.md", "notebooks"]
    for path in course_notebooks():
        assert (copied / "notebooks" / path.name).read_bytes() == path.read_bytes()
    assert "solutions/" not in (copied / "ASSIGNMENT.md").read_text()


def test_the_checkout_that_one_stands_in_comes_before_what_the_package_carries(installed, tmp_path):
    program = "from autoscaler_env.paths import Folders, project_root; print(project_root(), Folders().root, sep='\\n')"
    seen = [in_package(installed, "-c", program, cwd=tmp_path).stdout.split()]
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "smart-autoscaler"\n')
    seen.append(in_package(installed, "-c", program, cwd=tmp_path).stdout.split())
    assert seen == [[str(installed / CARRIED), str(tmp_path)], [str(tmp_path), str(tmp_path)]]


def test_what_needs_a_checkout_says_so(installed, tmp_path):
    for arguments in (["release", "students"], ["run", "--refresh"]):
        result = in_package(installed, "-m", "autoscaler_env.cli.main", *arguments, cwd=tmp_path)
        assert result.returncode == 2 and "needs a checkout of the course" in result.stderr, result.stderr
        assert len(result.stderr.splitlines()) == 1 and names_in(tmp_path) == []


def test_course_changes_no_file_that_exists(tmp_path, capsys):
    mine = tmp_path / "notebooks" / "03_train_q_learning.ipynb"
    mine.parent.mkdir()
    mine.write_text("mine")
    assert main(["course", str(tmp_path)]) == 2
    message = capsys.readouterr().err
    assert "has notebooks/03_train_q_learning.ipynb, and is left as it is" in message and message.count("\n") == 1
    assert mine.read_text() == "mine" and [path.name for path in tmp_path.rglob("*.*")] == [mine.name]


def test_without_the_package_the_cell_installs_it_from_the_address(tmp_path):
    """Python without its site packages lacks the course; a pip of ours notes what it is asked for."""
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip" / "__init__.py").touch()
    (tmp_path / "pip" / "__main__.py").write_text("import sys; print(*sys.argv[1:])")
    cell = install_cell(repository_address(ROOT))
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-S", "-c", cell]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["install", "--quiet", f"git+{repository_address(ROOT)}"]


def test_the_address_stands_in_the_settings_and_else_only_where_one_command_writes_it():
    address = repository_address(ROOT)
    assert badge_line(address) in (ROOT / "README.md").read_text().splitlines()
    assert (ROOT / BADGE).is_file()
    assert (ROOT / "pyproject.toml").read_text().count(address) == 1
    place = address.removeprefix("https://github.com/")
    folders = ("autoscaler_env", "benchmarks", "docs", "examples", "notebooks", "solutions", "tests", ".github")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.suffix in TEXTS]
    files += [path for path in ROOT.iterdir() if path.suffix in TEXTS or path.name == "Makefile"]
    naming = {path.relative_to(ROOT).as_posix() for path in files if place in path.read_text(encoding="utf-8")}
    both = ("notebooks", "notebooks/executed")
    written = {f"{folder}/{path.name}" for folder in both for path in course_notebooks()} | {"README.md"}
    assert naming - {"autoscaler_env/address.py"} == written | {"pyproject.toml"}  # that module has the placeholder


def test_another_address_is_written_everywhere(tmp_path):
    old, new = repository_address(ROOT), "https://github.com/us/ours"
    names = ["README.md", "pyproject.toml", "notebooks/11_make_it_yours.ipynb"]
    names.append("notebooks/executed/11_make_it_yours.ipynb")
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    for wrong in ("us/ours", "https://gitlab.com/us/ours", "https://github.com/us"):
        with pytest.raises(ValueError, match=rf"^address = '{wrong}': must be like https://github.com/OWNER/NAME$"):
            set_address(tmp_path, wrong)
    set_address(tmp_path, new)
    for name in names:
        text = (tmp_path / name).read_text(encoding="utf-8")
        course = colab_address(old, "01_build_environment"), colab_address(new, "01_build_environment")
        assert text == (ROOT / name).read_text(encoding="utf-8").replace(*course).replace(old, new), name
    assert f"{new}/blob/main/docs/engineers.md" in text
