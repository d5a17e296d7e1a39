"""Importing the package is cheap and has no side effects, and its rooms import each other in one direction."""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "autoscaler_env"
PLACES = """
    compiled service dynamics workloads traces rendering env vector_env __init__ sb3_env
    policies trajectories
    paths device storage calibration catalog
    waits evaluation regret training
    seeds study findings claims verification plotting
    report course demo grading advice
    console commands cli
"""
"""The rooms of the package, modules and folders: each imports from those before it only."""

ORDER = PLACES.split()


def run(code, **options):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, **options)


@pytest.fixture(scope="module")
def loaded():
    """Return the names of all modules that a fresh interpreter holds after importing the package."""
    result = run("import sys, autoscaler_env; print(*sys.modules)")
    assert result.returncode == 0, result.stderr
    return set(result.stdout.split())


@pytest.mark.parametrize("heavy", ["torch", "matplotlib", "pandas", "stable_baselines3", "seaborn", "IPython"])
def test_importing_the_package_leaves_heavy_modules_out(loaded, heavy):
    assert "autoscaler_env.envs.single" in loaded and heavy not in loaded


def test_importing_the_package_says_nothing():
    result = run("import autoscaler_env")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_importing_the_package_leaves_the_global_random_state_alone():
    code = (
        "import random, numpy as np; random.seed(1); np.random.seed(1); import autoscaler_env\n"
        "after = random.random(), np.random.rand(); random.seed(1); np.random.seed(1)\n"
        "assert after == (random.random(), np.random.rand())"
    )
    assert run(code).returncode == 0


def test_importing_the_package_registers_the_environment():
    code = "import gymnasium, autoscaler_env; gymnasium.make('Autoscaler-v0').reset(seed=0)"
    assert run(code).returncode == 0


def test_everything_the_package_names_exists():
    import autoscaler_env

    assert all(hasattr(autoscaler_env, name) for name in autoscaler_env.__all__)


def rooms_imported(path):
    """Return the rooms that a module imports from, wherever in it the import stands."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports must be absolute"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    inside = [name.split(".")[1:] for name in names if name.split(".")[0] == PACKAGE.name]
    return {parts[0] if parts and parts[0] in ORDER else "__init__" for parts in inside}


def test_every_room_has_its_place_in_the_order():
    rooms = [path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()]
    assert sorted(rooms) == sorted(ORDER)


@pytest.mark.parametrize("room", ORDER)
def test_imports_go_one_way(room):
    folder = PACKAGE / room
    allowed = {room, *ORDER[: ORDER.index(room)]}
    upward = {
        str(path.relative_to(PACKAGE)): wrong
        for path in (folder.rglob("*.py") if folder.is_dir() else [PACKAGE / f"{room}.py"])
        if (wrong := rooms_imported(path) - allowed)
    }
    assert not upward


def test_no_module_imports_itself_through_others():
    """Imports inside functions and under TYPE_CHECKING count as well."""
    files = {".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path for path in PACKAGE.rglob("*.py")}
    modules = {name.removesuffix(".__init__"): path for name, path in files.items()}
    imports = {}
    for module, path in modules.items():
        nodes = [
            node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.ImportFrom)
        ]
        names = {(node.module or "", f"{node.module}.{alias.name}") for node in nodes for alias in node.names}
        imports[module] = {name if name in modules else package for package, name in names} & set(modules) - {module}
    graphlib.TopologicalSorter(imports).prepare()  # raises CycleError with the names of the modules
