"""Importing the package is cheap and has no side effects, and its modules import each other in one direction."""

import ast
import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "autoscaler_env"

ORDER = [
    *(
        "text",
        "markdown",
        "compiled",
        "threads",
        "cluster",
        "paths",
        "device",
        "service",
        "dynamics",
        "traffic",
        "envs",
        "policies",
    ),
    *("storage", "evaluation", "policies.registry", "training", "study", "verification", "plotting", "address"),
    *("course", "documents", "site", "advice", "demo", "grading", "cli"),
]
"""The places of the package, modules and folders: each imports from itself and from those before it only."""

HEAVY = {"torch", "matplotlib", "pandas", "stable_baselines3", "seaborn", "IPython"}


def run(code, **options):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, **options)


def module_name(path):
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(path): path for path in PACKAGE.rglob("*.py")}


def imported_by(path):
    """Return the modules of the package that a module imports, wherever in it the import stands."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports must be absolute"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    inside = [name.removeprefix("autoscaler_env").lstrip(".") for name in names if name.split(".")[0] == PACKAGE.name]
    modules = set()
    for name in inside:  # the longest part of the name that is a module
        while name and name not in MODULES:
            name = name.rpartition(".")[0]
        modules.add(name)
    return modules - {"", "__init__"}


def place_of(module):
    """Return where a module stands in the order: as itself, or as its folder."""
    return ORDER.index(module if module in ORDER else module.split(".")[0])


def missing_names(code):
    """Return the names that code takes from the package and that do not exist: imported, or read from a module."""
    tree, modules, missing = ast.parse(code), {}, []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == PACKAGE.name:
            for alias in node.names:
                try:
                    value = getattr(importlib.import_module(node.module), alias.name, None)
                    value = value or importlib.import_module(f"{node.module}.{alias.name}")
                except ImportError:
                    missing.append(f"{node.module}.{alias.name}")
                    continue
                if type(value) is type(ast):
                    modules[alias.asname or alias.name] = value
    read = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)]
    return missing + [
        f"{node.value.id}.{node.attr}"
        for node in read
        if node.value.id in modules and not hasattr(modules[node.value.id], node.attr)
    ]


def test_notebooks_benchmarks_examples_and_solutions_take_names_that_exist():
    root = PACKAGE.parent
    sources = {
        path.name: path.read_text() for place in ("benchmarks", "examples") for path in root.glob(f"{place}/*.py")
    }
    for path in (root / "notebooks").glob("*.ipynb"):
        cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
        code = "\n".join("".join(cell["source"]) for cell in cells)
        solution = root / "solutions" / f"{path.stem}.py"
        sources[path.name] = re.sub(r"^[%!].*$", "", code, flags=re.MULTILINE) + "\n" + solution.read_text()
    assert {name: missing for name, code in sources.items() if (missing := missing_names(code))} == {}
    assert missing_names("from autoscaler_env.policies import deep\ndeep.nothing()") == ["deep.nothing"]
    assert missing_names("from autoscaler_env import Nothing") == ["autoscaler_env.Nothing"]


def test_importing_the_package_loads_nothing_heavy_and_says_nothing():
    result = run("import sys, autoscaler_env; print(*sys.modules, file=sys.stderr)")
    assert result.returncode == 0 and result.stdout == ""
    loaded = set(result.stderr.split())
    assert "autoscaler_env" in loaded and not loaded & HEAVY
    assert run("import autoscaler_env").stderr == ""


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


def test_every_public_name_exists_and_is_typed():
    import autoscaler_env

    assert len(set(autoscaler_env.__all__)) == len(autoscaler_env.__all__) >= 30
    assert not [name for name in autoscaler_env.__all__ if not hasattr(autoscaler_env, name)]
    stub = (PACKAGE / "__init__.pyi").read_text()
    assert not [name for name in autoscaler_env.__all__ if f'"{name}"' not in stub]
    assert (PACKAGE / "py.typed").is_file()


def test_a_name_that_does_not_exist_is_an_attribute_error():
    result = run("from autoscaler_env import Nothing")
    assert result.returncode == 1 and "cannot import name 'Nothing'" in result.stderr


def test_a_typed_program_sees_the_types_of_public_names(tmp_path):
    program = tmp_path / "program.py"
    program.write_text("from autoscaler_env import Service\nreveal_type(Service().instance_price)\n")
    command = [sys.executable, "-m", "mypy", "--config-file=", "--cache-dir", str(tmp_path), str(program)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=PACKAGE.parent, check=False)
    assert 'Revealed type is "' in result.stdout and "float" in result.stdout, result.stdout + result.stderr


def test_every_module_has_its_place_in_the_order():
    places = {module.split(".")[0] for module in MODULES if module != "__init__"}
    assert places == {name.split(".")[0] for name in ORDER}


def test_imports_go_one_way():
    upward = {
        module: wrong
        for module, path in MODULES.items()
        if module and (wrong := {other for other in imported_by(path) if place_of(other) > place_of(module)})
    }
    assert not upward


def test_no_modules_import_each_other_in_a_circle():
    imports = {module: imported_by(path) - {module} for module, path in MODULES.items() if module}
    while free := {module for module, needed in imports.items() if not needed & imports.keys()}:
        imports = {module: needed for module, needed in imports.items() if module not in free}
    assert not imports


def test_the_map_in_contributing_is_this_order():
    lines = (
        (PACKAGE.parent / "CONTRIBUTING.md").read_text().split("## Map of the package")[1].split("## ")[0].splitlines()
    )
    cells = [line.split("|")[1] for line in lines if line.startswith("| `")]
    assert [name.strip(" `/").replace("/", ".") for cell in cells for name in cell.split(",")] == ORDER
