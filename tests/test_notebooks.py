"""The notebooks keep the course's form, and the whole course runs."""

import ast
import json
import re
import statistics
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from autoscaler_env.address import INSTALL_TAG, install_cell, repository_address
from autoscaler_env.course import MEASURED, NOT_KEPT, QUICK, run_course, without_measurements
from autoscaler_env.evaluation.report import cost_table
from autoscaler_env.paths import Folders, notebook_sources, project_root
from autoscaler_env.traffic.patterns import PATTERNS

SOURCES = sorted(notebook_sources().glob("*.ipynb"))
EXECUTED = sorted(Folders.course().executed.glob("[0-9]*.ipynb"))
INSTALL_CELL = install_cell(repository_address(project_root()))
TUNED = ["threshold", "hpa-cpu", "hpa-demand", "kpa"]
POLICIES = [
    *("random", "static", *TUNED),
    *(f"{rule}-mixed" for rule in [*TUNED, "target-tracking"]),
    *(f"{rule}-per-pattern" for rule in [*TUNED, "target-tracking"]),
    *("q_learning_mixed", "dqn_mixed", "ppo_mixed"),
]


FORBIDDEN_WORDS = r"\bslots?\b|\bbills?\b|\bbilled\b|\bheadroom\b|\byardsticks?\b|\bwhoever\b|\bcontest\b|\bexam\b"
"""Words that the project replaced by those of the field; `docs/glossary.md` has the words to use."""

FORBIDDEN_CODE = r"pip.{0,5}install|^!|sys\.path|os\.chdir|filterwarnings|simplefilter|import requests|urllib"

MOST_CELLS, MOST_LINES, MOST_IMPORTS, MOST_DEFINITIONS, MOST_EXERCISES = 45, 20, 10, 3, 8

LONG = ("03", "04", "05", "06")
"""The notebooks that write out a learner, or compare all policies, may have more cells and definitions."""

MOST_CELLS_OF_LONG, MOST_DEFINITIONS_OF_LONG = 61, 12

SHORT = ("08",)
"""A notebook beside the main line of the course may have fewer cells."""

LEAST_CELLS, LEAST_CELLS_OF_SHORT = 25, 18


def read(path):
    return nbformat.read(path, as_version=4)


def code_of(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tagged(notebook, tag):
    return [cell for cell in notebook.cells if tag in cell.metadata.get("tags", [])]


def lesson_code_of(notebook):
    """Return the code cells but the one that installs the course."""
    return [cell for cell in code_of(notebook) if INSTALL_TAG not in cell.metadata.get("tags", [])]


def parsed(cell):
    return ast.parse(re.sub(r"^%.*$", "", cell.source, flags=re.MULTILINE))


def statements(notebook, kind):
    """Return the statements of a kind in all code cells of the lesson, at any depth."""
    return [node for cell in lesson_code_of(notebook) for node in ast.walk(parsed(cell)) if isinstance(node, kind)]


def parameters_of(path):
    (cell,) = tagged(read(path), "parameters")
    return {statement.targets[0].id for statement in ast.parse(cell.source).body}


def is_flat_literal(statement):
    """Return whether a statement assigns one plain number, text or truth value."""
    return isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant | ast.UnaryOp)


def lesson_cells(notebook):
    """Return the cells that are not part of an exercise (its task, its answer, its check) and do not install."""
    cells = notebook.cells
    tags = [set(cell.metadata.get("tags", [])) for cell in cells]
    return [
        cell
        for cell, own, following in zip(cells, tags, [*tags[1:], set()], strict=True)
        if not own & {"exercise", "exercise-check", INSTALL_TAG}
        and not (cell.cell_type == "markdown" and "exercise" in following)
    ]


def form_faults(notebook, most_cells=MOST_CELLS, least_cells=LEAST_CELLS):
    """Return what a notebook lacks of the form that all notebooks of the course share."""
    code, first, lesson = lesson_code_of(notebook), notebook.cells[0], len(lesson_cells(notebook))
    outputs = [cell for cell in code_of(notebook) if cell.outputs or cell.execution_count]
    install = [(cell.source, cell.metadata.get("tags")) for cell in notebook.cells[1:2]]
    lines = [len(cell.source.splitlines()) for cell in code]
    prose = [line for cell in notebook.cells if cell.cell_type == "markdown" for line in cell.source.splitlines()]
    parameters = tagged(notebook, "parameters")
    rows = [row for cell in parameters for row in zip(parsed(cell).body, cell.source.splitlines(), strict=False)]
    last = [ast.unparse(statement) for statement in parsed(code[-1]).body]
    opening = ("minute", r"\breads\b", r"\bwrites\b", r"\?")
    return [
        fault
        for fault, there in {
            "the first cell is no title": first.cell_type != "markdown" or not first.source.startswith("# "),
            "there is more than one title": sum(line.startswith("# ") for line in prose) != 1,
            "the first cell lacks a question, the time, what is read or what is written": not all(
                re.search(word, first.source, re.IGNORECASE) for word in opening
            ),
            "the cell after the title is not the one that installs the course": len(tagged(notebook, INSTALL_TAG)) != 1
            or install != [(INSTALL_CELL, [INSTALL_TAG])],
            "the first code cell of the lesson is not the one parameters cell": parameters != code[:1],
            "a parameter is no flat literal": not all(is_flat_literal(statement) for statement, _ in rows),
            "a parameter has no comment": not all(re.search(r"  # \w", line) for _, line in rows),
            "a code cell has outputs or a count": bool(outputs),
            "the kernel is not python3": notebook.metadata.get("kernelspec")
            != {"display_name": "Python 3", "language": "python", "name": "python3"},
            "the metadata hold something of one machine": not set(notebook.metadata) <= {"kernelspec", "language_info"}
            or notebook.metadata.get("language_info", {"name": "python"}) != {"name": "python"}
            or any(not set(cell.metadata) <= {"tags"} for cell in notebook.cells),
            "two cells have one id": len({cell.id for cell in notebook.cells}) < len(notebook.cells),
            f"there are not {least_cells} to {most_cells} cells": not least_cells <= lesson <= most_cells,
            f"a code cell has more than {MOST_LINES} lines": max(lines) > MOST_LINES,
            "half of the code cells have more than 6 lines": statistics.median(lines) > 6,
            "the last code cell does not end with its one print, or has a tag": not last[-1].startswith("print(")
            or sum(line.startswith("print(") for line in last) != 1
            or bool(code[-1].metadata.get("tags")),
            "a measurement is saved as a figure": any(
                "save_figure" in cell.source for cell in tagged(notebook, MEASURED)
            ),
        }.items()
        if there
    ]


def code_faults(notebook, most_definitions=MOST_DEFINITIONS):
    """Return what the code of a notebook does that a lesson should not."""
    imports = statements(notebook, ast.Import | ast.ImportFrom)
    names = [part for node in imports for alias in node.names for part in alias.name.split(".")]
    names += [part for node in imports if isinstance(node, ast.ImportFrom) for part in node.module.split(".")]
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    definitions = [node for cell in code_of(notebook) for node in parsed(cell).body if isinstance(node, kinds)]
    asserts = statements(notebook, ast.Assert)
    faults = [f"it imports {name}, a private name" for name in names if name.startswith("_")]
    if len(imports) > MOST_IMPORTS:
        faults.append(f"it has {len(imports)} import statements, more than {MOST_IMPORTS}")
    if len(definitions) > most_definitions:
        faults.append(f"it has {len(definitions)} definitions, more than {most_definitions}")
    if len(asserts) < 2 or any(node.msg is None for node in asserts):
        faults.append("it has fewer than two assertions, or one without a message")
    faults += [
        f"cell {cell.id} installs, silences or fetches something"
        for cell in lesson_code_of(notebook)
        if re.search(FORBIDDEN_CODE, cell.source, re.MULTILINE)
    ]
    return faults


def exercise_faults(notebook):
    """Return which exercises are missing, answered, or without a check."""
    cells = notebook.cells
    places = [index for index, cell in enumerate(cells) if "exercise" in cell.metadata.get("tags", [])]
    count = len(places)
    faults = [] if 2 <= count <= MOST_EXERCISES else [f"it has {count} exercises, not 2 to {MOST_EXERCISES}"]
    for place in places:
        answer, check = cells[place], cells[place + 1]
        if not re.search(r"= None( |$)", answer.source, re.MULTILINE):
            faults.append(f"exercise {answer.id} is answered")
        if "exercise-check" not in check.metadata.get("tags", []) or "not attempted" not in check.source:
            faults.append(f"exercise {answer.id} has no check that knows `not attempted`")
    return faults


def word_faults(notebook, influx=0):
    """Return which words a notebook uses that the project has replaced."""
    text = "\n".join(cell.source for cell in notebook.cells)
    links = re.sub(r"\]\([^)]*\)", "]", text)  # the name of a file may keep an old word
    faults = [f"it says {word!r}" for word in re.findall(FORBIDDEN_WORDS, links, re.IGNORECASE)]
    mentions = len(re.findall("influx", text, re.IGNORECASE))
    return faults + ([] if mentions == influx else [f"it says 'influx' {mentions} times, not {influx}"])


def all_faults(notebook, influx=0, long=False, short=False):
    least = LEAST_CELLS_OF_SHORT if short else LEAST_CELLS
    form = form_faults(notebook, MOST_CELLS_OF_LONG if long else MOST_CELLS, least)
    code = code_faults(notebook, MOST_DEFINITIONS_OF_LONG) if long else code_faults(notebook)
    return [*form, *code, *exercise_faults(notebook), *word_faults(notebook, influx)]


def test_course_has_its_notebooks_in_order():
    assert [path.stem[:2] for path in SOURCES] == [f"{number:02}" for number in range(1, 13)]
    assert all(re.fullmatch(r"\d\d(_[a-z]+)+", path.stem) for path in SOURCES)


def test_every_notebook_keeps_the_form_of_the_course():
    faults = []
    for path in SOURCES:
        notebook = read(path)
        nbformat.validate(notebook)
        assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5), path.name
        long, short = path.stem.startswith(LONG), path.stem.startswith(SHORT)
        found = all_faults(notebook, influx=int(path.stem.startswith("01")), long=long, short=short)
        faults += [f"{path.name}: {fault}" for fault in found]
    assert not faults, "\n".join(faults)


def test_every_notebook_is_written_as_json_with_indent_1():
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        assert json.dumps(json.loads(text), indent=1, ensure_ascii=False) + "\n" == text, path.name


def test_no_paragraph_has_two_dollar_signs_that_would_be_read_as_a_formula():
    """Jupyter typesets what stands between two dollar signs of a paragraph."""
    faults = []
    for path in SOURCES:
        cells = [cell for cell in read(path).cells if cell.cell_type == "markdown"]
        for cell in cells:
            paragraphs = re.split(r"\n\s*\n|\n(?=\s*- )", re.sub(r"`[^`]*`", "", cell.source))
            amounts = [re.findall(r"\$\d[\d.,]*", paragraph) for paragraph in paragraphs]
            faults += [f"{path.name}, {cell.id}: {found}" for found in amounts if len(found) > 1]
    assert not faults, "\n".join(faults)


DAMAGES = {
    "the first cell is no title": lambda book: book.cells.pop(0),
    "there is more than one title": lambda book: book.cells[4].update(source="# Another"),
    "the first cell lacks a question": lambda book: book.cells[0].update(
        source="# A\n- Time: a minute. Reads. Writes."
    ),
    "the cell after the title": lambda book: book.cells[1].update(source=INSTALL_CELL.replace("git+", "")),
    "is not the one that installs": lambda book: book.cells[4].metadata.update(tags=[INSTALL_TAG]),
    "the first code cell of the lesson": lambda book: book.cells[2].metadata.clear(),
    "a parameter is no flat literal": lambda book: book.cells[2].update(source="seeds = [1, 2]  # seeds"),
    "a parameter has no comment": lambda book: book.cells[2].update(source="seed = 0"),
    "a code cell has outputs": lambda book: book.cells[3].update(execution_count=1),
    "the metadata hold": lambda book: book.cells[3].metadata.update(tags=[], collapsed=True),
    "the kernel is not python3": lambda book: book.metadata.kernelspec.update(name="mine"),
    "the metadata hold something": lambda book: book.metadata.update(toc={}),
    "two cells have one id": lambda book: book.cells[3].update(id=book.cells[2].id),
    "there are not 25": lambda book: book.cells.__delitem__(slice(3, 31)),
    "a code cell has more than 20 lines": lambda book: book.cells[5].update(source="x = 1\n" * 21),
    "the last code cell": lambda book: book.cells[-1].update(source="print(1)\nprint(2)"),
    "a measurement is saved": lambda book: book.cells[5].update(source="save_figure()", metadata={"tags": [MEASURED]}),
    "it imports _dynamics": lambda book: book.cells[3].update(source="from autoscaler_env import _dynamics"),
    "more than 10": lambda book: book.cells[5].update(source="import math\n" * 8),
    "it has 4 definitions": lambda book: book.cells[5].update(source="def f(): pass"),
    "without a message": lambda book: book.cells[5].update(source="assert True"),
    "installs": lambda book: book.cells[5].update(source="import urllib"),
    "is answered": lambda book: tagged(book, "exercise")[0].update(source="answer_1 = 1"),
    "has no check": lambda book: tagged(book, "exercise-check")[0].update(source="print(1)"),
    "exercises, not 2 to 8": lambda book: [cell.metadata.clear() for cell in tagged(book, "exercise")],
    "it says 'Whoever'": lambda book: book.cells[4].update(source="Whoever reads this"),
    "it says 'influx' 2 times": lambda book: book.cells[4].update(source="The influx is high."),
}


def test_each_fault_of_form_is_found():
    for expected, damage in DAMAGES.items():
        notebook = read(SOURCES[0])
        damage(notebook)
        faults = all_faults(notebook, influx=1)
        assert any(expected in fault for fault in faults), f"{expected}: found {faults}"


def test_figures_are_saved_once_under_the_number_of_the_notebook():
    for path in SOURCES:
        text = "\n".join(cell.source for cell in code_of(read(path)))
        names = re.findall(r"save_figure\(.*?\"(\w+)\"\)", text)
        assert names or path.stem.startswith("08"), path.name
        assert all(name.startswith(f"{path.stem[:2]}_") for name in names), names
        assert len(names) == len(set(names)), names


def test_the_runner_s_parameters_exist_and_every_notebook_has_an_output_folder():
    parameters = {path.stem: parameters_of(path) for path in SOURCES}
    assert set(QUICK) <= set().union(*parameters.values())
    assert not [name for name, names in parameters.items() if "output" not in names]


def test_executed_copies_keep_no_measurement_but_errors_and_all_else():
    outputs = [nbformat.v4.new_output("stream", text=f"{number} ms") for number in range(2)]
    error = nbformat.v4.new_output("error", ename="ValueError", evalue="slow", traceback=[])
    cells = [
        nbformat.v4.new_code_cell("measured", outputs=outputs, metadata={"tags": [MEASURED]}),
        nbformat.v4.new_code_cell("other", outputs=outputs),
        nbformat.v4.new_code_cell("failed", outputs=[*outputs, error], metadata={"tags": [MEASURED]}),
        nbformat.v4.new_code_cell("never ran", metadata={"tags": [MEASURED]}),
    ]
    copy = without_measurements(nbformat.v4.new_notebook(cells=cells))
    shown = [[output.get("text", output.get("ename")) for output in cell.outputs] for cell in copy.cells]
    assert shown == [[NOT_KEPT], ["0 ms", "1 ms"], ["ValueError"], []]


@pytest.mark.parametrize("path", EXECUTED, ids=lambda path: path.stem)
def test_executed_notebook_has_the_source_s_cells(path):
    executed = nbformat.read(path, as_version=4)
    source = nbformat.read(notebook_sources() / path.name, as_version=4)
    assert [(cell.cell_type, cell.source) for cell in executed.cells] == [
        (cell.cell_type, cell.source) for cell in source.cells
    ]


@pytest.mark.parametrize("path", EXECUTED, ids=lambda path: path.stem)
def test_executed_notebook_ran_to_its_end_without_error(path):
    cells = code_of(nbformat.read(path, as_version=4))
    assert all(cell.execution_count is not None for cell in cells)
    assert not [output for cell in cells for output in cell.outputs if output.output_type == "error"]


def saving(notebook):
    """Return the cells that save a figure."""
    return [cell for cell in code_of(notebook) if "save_figure(" in cell.source]


def test_a_cell_that_saves_a_figure_ends_with_it_so_that_the_notebook_shows_it():
    faults = []
    for path in SOURCES:
        last = {cell.id: parsed(cell).body[-1] for cell in saving(read(path))}
        faults += [
            f"{path.name}, {name}"
            for name, statement in last.items()
            if not isinstance(statement, ast.Expr) or "save_figure(" not in ast.unparse(statement)
        ]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("path", EXECUTED, ids=lambda path: path.stem)
def test_executed_notebook_shows_every_figure_that_it_saves(path):
    """A figure of the reader's own data is `None` where there are no data."""
    shown = {
        cell.id: [kind for output in cell.outputs for kind in output.get("data", {})]
        for cell in saving(read(path))
        if " is None else " not in cell.source
    }
    assert not [name for name, kinds in shown.items() if "image/png" not in kinds]


def states(folder):
    """Return size and time of every file below a folder of the project."""
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def quick_course(tmp_path_factory):
    """Run the quick course into a temporary folder; return its folders and how each notebook ended."""
    root = tmp_path_factory.mktemp("course")
    project = Folders.course()
    kept = [project.models, project.figures, project.results, project.executed]
    before = [states(folder) for folder in kept]
    ended = run_course("quick", output=root)
    assert [states(folder) for folder in kept] == before, "the quick course touched the project's own results"
    return Folders(root), ended


# What papermill and nbconvert warn about is theirs.
@pytest.mark.notebook
@pytest.mark.filterwarnings("default")
class TestQuickCourse:
    def test_every_notebook_ends_without_error(self, quick_course):
        _, ended = quick_course
        assert [(one.name, one.error) for one in ended] == [(path.stem, None) for path in SOURCES]

    def test_executed_notebooks_and_reports_are_written(self, quick_course):
        folders, _ = quick_course
        assert sorted(path.name for path in folders.executed.glob("*.ipynb")) == [path.name for path in SOURCES]
        assert sorted(path.stem for path in folders.html.glob("[0-9]*.html")) == [path.stem for path in SOURCES]

    def test_executed_notebooks_keep_their_sources(self, quick_course):
        folders, _ = quick_course
        for path in SOURCES:
            executed = nbformat.read(folders.executed / path.name, as_version=4)
            source = nbformat.read(path, as_version=4)
            assert [cell.source for cell in executed.cells] == [cell.source for cell in source.cells]

    def test_a_second_training_makes_the_same_copies_and_figures(self, quick_course):
        folders, _ = quick_course
        learners = tuple(path.stem for path in SOURCES if "_train_" in path.stem)
        written = [folders.executed / f"{name}.ipynb" for name in learners]
        written += [path for path in folders.figures.glob("*.png") if path.stem[:2] in {name[:2] for name in learners}]
        before = [path.read_bytes() for path in written]
        assert [one.error for one in run_course("quick", learners, folders.root)] == [None] * 3
        assert [path.name for path, old in zip(written, before, strict=True) if path.read_bytes() != old] == []

    def test_exercises_are_not_attempted(self, quick_course):
        folders, _ = quick_course
        for path in SOURCES:
            checks = tagged(nbformat.read(folders.executed / path.name, as_version=4), "exercise-check")
            assert all("not attempted" in "".join(out.get("text", "") for out in cell.outputs) for cell in checks)

    def test_reference_models_are_written_with_their_descriptions(self, quick_course):
        folders, _ = quick_course
        for name in ("q_learning_mixed.pkl", "dqn_mixed.zip", "ppo_mixed.zip"):
            assert (folders.models / name).is_file()
            assert json.loads((folders.models / name).with_suffix(".json").read_text())["seed"] == 0

    def test_own_models_lie_beside_the_reference_with_the_given_seed_and_length(self, quick_course):
        folders, _ = quick_course
        budgets = {"my_q_learning": QUICK["episodes"] * 288, "my_dqn": QUICK["timesteps"], "my_ppo": QUICK["timesteps"]}
        for name, timesteps in budgets.items():
            made = json.loads((folders.own.models / f"{name}.json").read_text())
            assert made["seed"] == 1 and made["budget"]["timesteps"] == timesteps

    def test_json_holds_the_cost_of_every_policy_on_every_pattern(self, quick_course):
        folders, _ = quick_course
        results = json.loads((folders.results / "evaluation_results.json").read_text())
        assert results["episodes"] == QUICK["evaluation_days"]
        assert list(results["mean"]) == POLICIES
        assert list(results["patterns"]) == list(PATTERNS)
        for policies in (results["mean"], *results["patterns"].values()):
            for row in policies.values():
                assert row["cost_low"] <= row["cost"] <= row["cost_high"]
                items = row["instance_cost"] + row["late_cost"] + row["drop_cost"]
                assert items == pytest.approx(row["cost"], abs=0.001)

    def test_mean_is_the_mean_of_the_patterns(self, quick_course):
        folders, _ = quick_course
        results = json.loads((folders.results / "evaluation_results.json").read_text())
        for policy, row in results["mean"].items():
            costs = [results["patterns"][pattern][policy]["cost"] for pattern in PATTERNS]
            assert row["cost"] == pytest.approx(statistics.mean(costs), abs=0.001)

    def test_csv_says_what_the_json_says(self, quick_course):
        folders, _ = quick_course
        table = pd.read_csv(folders.results / "evaluation_summary.csv").set_index(["policy", "pattern"])
        results = json.loads((folders.results / "evaluation_results.json").read_text())
        assert len(table) == len(POLICIES) * (len(PATTERNS) + 1)
        for pattern, policies in (results["patterns"] | {"MEAN": results["mean"]}).items():
            for policy, row in policies.items():
                assert table.loc[(policy, pattern), "cost"] == row["cost"]

    def test_table_at_the_end_names_every_policy(self, quick_course):
        folders, _ = quick_course
        assert all(policy in cost_table(folders) for policy in POLICIES)

    def test_figures_are_pictures(self, quick_course):
        folders, _ = quick_course
        pictures = list(folders.figures.glob("*.png"))
        assert len(pictures) >= 15
        assert all(Path(picture).read_bytes().startswith(b"\x89PNG") for picture in pictures)
