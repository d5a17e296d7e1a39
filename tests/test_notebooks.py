"""The notebooks keep the course's form, and the whole course runs."""

import ast
import json
import re
import statistics
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from autoscaler_env.readme import cost_table

from autoscaler_env.course import MEASURED, NOT_KEPT, QUICK, run_course, without_measurements
from autoscaler_env.paths import Folders, notebook_sources
from autoscaler_env.traffic.patterns import PATTERNS

SOURCES = sorted(notebook_sources().glob("*.ipynb"))
EXECUTED = sorted(Folders.course().executed.glob("[0-9]*.ipynb"))
POLICIES = [
    "random",
    "static",
    "threshold",
    "hpa-cpu",
    "hpa-demand",
    "kpa",
    "target-tracking-mixed",
    "target-tracking-per-pattern",
    "q_learning_mixed",
    "dqn_mixed",
    "ppo_mixed",
]


@pytest.fixture(params=SOURCES, ids=lambda path: path.stem)
def notebook(request):
    """Return one notebook of the course; the test runs on each of them."""
    return nbformat.read(request.param, as_version=4)


def code_of(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tagged(notebook, tag):
    return [cell for cell in notebook.cells if tag in cell.metadata.get("tags", [])]


def parameters_of(path):
    (cell,) = tagged(nbformat.read(path, as_version=4), "parameters")
    return {statement.targets[0].id for statement in ast.parse(cell.source).body}


def test_course_has_its_notebooks_in_order():
    assert [path.stem[:2] for path in SOURCES] == [f"{number:02}" for number in range(1, 11)]
    assert all(re.fullmatch(r"\d\d(_[a-z]+)+", path.stem) for path in SOURCES)


def test_first_cell_has_title_question_time_and_files(notebook):
    first = notebook.cells[0]
    assert first.cell_type == "markdown" and first.source.startswith("# ")
    assert "?" in first.source
    assert all(re.search(word, first.source, re.IGNORECASE) for word in ("minute", r"\breads\b", r"\bwrites\b"))
    titles = [line for cell in notebook.cells if cell.cell_type == "markdown" for line in cell.source.splitlines()]
    assert len([line for line in titles if line.startswith("# ")]) == 1


def test_one_parameters_cell_of_literals_with_comments(notebook):
    (cell,) = tagged(notebook, "parameters")
    assert cell is code_of(notebook)[0]
    for statement, line in zip(ast.parse(cell.source).body, cell.source.splitlines(), strict=True):
        assert isinstance(statement, ast.Assign) and not isinstance(
            ast.literal_eval(statement.value), list | dict | set
        )
        assert re.search(r"  # \w", line), line


def test_sources_hold_no_outputs(notebook):
    assert all(not cell.outputs and cell.execution_count is None for cell in code_of(notebook))


def test_sources_hold_nothing_of_one_machine(notebook):
    assert notebook.metadata.kernelspec.name == "python3"
    assert notebook.metadata.kernelspec.display_name == "Python 3"
    assert set(notebook.metadata) <= {"kernelspec", "language_info"}
    assert notebook.metadata.get("language_info", {"name": "python"}) == {"name": "python"}
    assert all(set(cell.metadata) <= {"tags"} for cell in notebook.cells)


def test_format_is_valid_with_one_id_per_cell(notebook):
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)


def test_cells_are_few_and_short(notebook):
    lines = [len(cell.source.splitlines()) for cell in code_of(notebook)]
    assert 25 <= len(notebook.cells) <= 45
    assert max(lines) <= 20
    assert statistics.median(lines) <= 6


def test_definitions_are_few(notebook):
    cells = [ast.parse(re.sub(r"^%.*$", "", cell.source, flags=re.MULTILINE)) for cell in code_of(notebook)]
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    assert sum(isinstance(statement, kinds) for cell in cells for statement in cell.body) <= 3


def test_nothing_is_installed_or_silenced(notebook):
    forbidden = r"pip install|^!|sys\.path|os\.chdir|filterwarnings|simplefilter|import requests|urllib"
    assert not [cell.id for cell in code_of(notebook) if re.search(forbidden, cell.source, flags=re.MULTILINE)]


def test_exercises_are_left_open_and_checked(notebook):
    cells = notebook.cells
    places = [index for index, cell in enumerate(cells) if "exercise" in cell.metadata.get("tags", [])]
    assert 2 <= len(places) <= 3
    for place in places:
        answer, check = cells[place], cells[place + 1]
        assert "exercise-check" in check.metadata.tags
        assert re.search(r"= (None|\.\.\.)( |$)", answer.source, flags=re.MULTILINE)
        assert "not attempted" in check.source


def test_claims_are_asserted(notebook):
    claims = [
        statement
        for cell in code_of(notebook)
        for statement in ast.walk(ast.parse(cell.source))
        if isinstance(statement, ast.Assert)
    ]
    assert len(claims) >= 2
    assert all(claim.msg is not None for claim in claims)


def test_last_code_cell_prints_one_closing_line(notebook):
    last = code_of(notebook)[-1]
    prints = [ast.unparse(statement).startswith("print(") for statement in ast.parse(last.source).body]
    assert prints[-1] and sum(prints) == 1
    assert not last.metadata.get("tags")


def test_figures_are_saved_under_the_notebook_s_number():
    for path in SOURCES:
        text = "\n".join(cell.source for cell in code_of(nbformat.read(path, as_version=4)))
        names = re.findall(r"save_figure\(.*?\"(\w+)\"\)", text)
        assert all(name.startswith(f"{path.stem[:2]}_") for name in names), names
        assert len(names) == len(set(names))


def test_quick_profile_gives_parameters_that_exist():
    known = set().union(*(parameters_of(path) for path in SOURCES))
    assert set(QUICK) <= known


def test_every_notebook_can_be_sent_elsewhere():
    assert not [path.stem for path in SOURCES if "output" not in parameters_of(path)]


def test_no_measurement_is_saved_as_a_figure(notebook):
    assert not [cell.id for cell in tagged(notebook, MEASURED) if "save_figure" in cell.source]


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
