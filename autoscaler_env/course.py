"""Run the whole course headlessly: every notebook through papermill, independent ones side by side."""

from __future__ import annotations

import ast
import os
import re
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tqdm.auto import tqdm

from autoscaler_env.paths import Folders, notebook_sources, project_root
from autoscaler_env.storage.files import write_text
from autoscaler_env.text import not_a_choice

if TYPE_CHECKING:
    import nbformat

Profile = Literal["quick", "full"]

QUICK: dict[str, Any] = {
    "retrain": True,
    "episodes": 400,
    "timesteps": 4_096,
    "lab_timesteps": 64,
    "evaluation_days": 40,
    "calibration_days": 10,
}
"""What the quick profile gives to each notebook that has a parameter of the name: it shows that everything runs."""

FULL: dict[str, Any] = {"retrain": True}
"""The full profile: the notebooks' own budgets, with models trained anew."""

NEEDS: dict[str, tuple[str, ...]] = {
    "03": ("02",),
    "04": ("02",),
    "05": ("02", "03", "04"),
    "06": ("02", "03", "04", "05"),
    "07": ("02", "03", "04", "05"),
    "08": ("03", "04", "05"),
}
"""The notebooks whose models or results each one reads; those that need nothing of each other run side by side."""

MOST_WORKERS = 4
"""Notebooks that run side by side, at most: each holds some 600 MB."""

MEASURED = "measured"
"""The tag of a cell that shows seconds, or what comes from them: its outputs differ from run to run."""

NOT_KEPT = "Measured on the machine that runs this notebook, so not kept in this copy.\n"
"""What an executed copy shows in place of the outputs of such a cell."""

NOTEBOOK_SECONDS = 1_800
"""A notebook that takes longer than this has hung."""


@dataclass(frozen=True)
class Executed:
    """How one notebook ended."""

    name: str
    seconds: float
    error: str | None
    """What stopped it, in one line; `None` if every cell ran."""
    ended: float
    """When it ended, in seconds of the clock that all notebooks of the run share."""


def course_notebooks(only: tuple[str, ...] = ()) -> list[Path]:
    """Return the course's notebooks in order, or those of them that are named.

    Raises:
        ValueError: A name is none of the course's.
    """
    notebooks = sorted(notebook_sources().glob("[0-9][0-9]_*.ipynb"))
    names = [path.stem for path in notebooks]
    for name in only:
        if name not in names:
            raise ValueError(not_a_choice("notebook", name, names))
    return [path for path in notebooks if not only or path.stem in only]


def notebook_definitions(path: Path) -> dict[str, Any]:
    """Return the functions, classes and CONSTANTS that a notebook defines, by name, with what it imports.

    A measurement or a test of a learner that a notebook writes out uses the lines that the reader sees. Nothing else of
    the notebook runs, and its exercises are left out.

    Args:
        path: The notebook.
    """
    import nbformat

    kinds = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    sources = [cell.source for cell in cells if not {"exercise", "exercise-check"} & set(cell.metadata.get("tags", []))]
    nodes = [node for source in sources for node in ast.parse(source).body]
    body = [node for node in nodes if isinstance(node, kinds) or _is_constant(node)]
    namespace: dict[str, Any] = {}
    exec(compile(ast.Module(body, []), path.name, "exec"), namespace)
    return namespace


def _is_constant(node: ast.stmt) -> bool:
    """Return whether a statement gives a value to a name in capitals."""
    return isinstance(node, ast.Assign) and all(isinstance(to, ast.Name) and to.id.isupper() for to in node.targets)


def run_course(
    profile: Profile = "full",
    only: tuple[str, ...] = (),
    output: str | Path | None = None,
    workers: int | None = None,
) -> list[Executed]:
    """Execute the course; write the executed notebooks and their HTML, and go on with the others if one fails.

    Notebooks that do not depend on each other (`NEEDS`) run side by side.

    Args:
        profile: `full` trains with the published budgets, `quick` with tiny ones.
        only: Names of notebooks, without ending; all by default.
        output: The folder to write under; `build/course` or `build/quick` in the checkout by default.
        workers: Notebooks that run side by side; one for each processor by default, at most `MOST_WORKERS`.

    Returns:
        How each notebook ended, in the order of the course.
    """
    folders = Folders(output or default_output(profile))
    given = (QUICK if profile == "quick" else FULL) | {"output": str(folders.root)}
    sources = {source.stem[:2]: source for source in course_notebooks(only)}
    order = TopologicalSorter({number: set(NEEDS.get(number, ())) & set(sources) for number in sources})
    order.prepare()
    ended: dict[str, Executed] = {}
    with tqdm(total=len(sources), unit="notebook") as bar, ThreadPoolExecutor(workers or processors()) as pool:
        running: dict[Future[Executed], str] = {}
        try:
            while order.is_active():
                for number in sorted(order.get_ready()):
                    running[pool.submit(_execute_in_thread, sources[number], given, folders)] = number
                bar.set_description(" ".join(sorted(running.values())))
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    number = running.pop(future)
                    ended[number] = future.result()
                    order.done(number)
                    bar.update()
        except BaseException:  # a Ctrl-C reaches the kernels too, and ends the notebooks that run
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [ended[number] for number in sources]


def _execute_in_thread(source: Path, given: dict[str, Any], folders: Folders) -> Executed:
    """Execute one notebook, and close the event loop that its client opened for this thread."""
    from jupyter_core.utils import ensure_event_loop

    try:
        return execute(source, given, folders)
    finally:
        ensure_event_loop().close()


def default_output(profile: Profile) -> Path:
    """Return the folder that a run writes under unless told otherwise; git ignores it."""
    return Folders().root / "build" / ("quick" if profile == "quick" else "course")


def processors() -> int:
    """Return how many notebooks run side by side unless told otherwise."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(available, MOST_WORKERS)


def execute(source: Path, given: dict[str, Any], folders: Folders) -> Executed:
    """Execute one notebook with those of the given parameters that it has."""
    import nbformat
    import papermill
    from nbconvert import HTMLExporter

    target = folders.executed / source.name
    target.parent.mkdir(parents=True, exist_ok=True)
    known = papermill.inspect_notebook(str(source))
    parameters = {name: value for name, value in given.items() if name in known}
    started = time.perf_counter()
    error = None
    raw = target.with_suffix(".running.ipynb")
    try:
        papermill.execute_notebook(
            str(source),
            str(raw),
            parameters,
            progress_bar=False,
            # Where the kernel starts. Papermill's own `cwd` would move this process, in which other notebooks run too.
            resources={"metadata": {"path": str(source.parent)}},
            execution_timeout=NOTEBOOK_SECONDS,
            # A kernel of ours, on this machine: that its connection is not encrypted, and that it was interrupted in
            # order to end, says nothing. What fails in a cell is told by papermill.
            extra_arguments=["--IPKernelApp.log_level=50"],
        )
    except papermill.PapermillExecutionError as failure:
        error = f"cell {failure.exec_count}: {failure.ename}: {failure.evalue}".splitlines()[0]
    except Exception as failure:  # a dead kernel, a time-out: whatever it is, the next notebook has its turn
        error = f"{type(failure).__name__}: {failure}".splitlines()[0]
    seconds = time.perf_counter() - started
    if raw.exists():
        notebook = clean(nbformat.read(raw, as_version=4))
        error = error or unexecuted(notebook)
        html, _ = HTMLExporter().from_notebook_node(notebook)
        write_text(folders.html / f"{source.stem}.html", html)
        write_text(target, nbformat.writes(without_measurements(notebook)))
        raw.unlink()
    return Executed(source.stem, seconds, error, started + seconds)


def unexecuted(notebook: nbformat.NotebookNode) -> str | None:
    """Return what shows that a notebook did not run to its end; `None` if every code cell ran.

    A cell that leaves the kernel (`sys.exit(0)`, a kernel that dies) ends a run without an exception, and the cells
    after it have no execution count.
    """
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "code" and cell.source.strip() and cell.execution_count is None:
            return f"cell {number} never ran"
    return None


def clean(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Strip from an executed notebook what only the run knows: papermill's cell and records, progress bars, paths."""
    injected = "injected-parameters"
    notebook.cells = [cell for cell in notebook.cells if injected not in cell.metadata.get("tags", [])]
    notebook.metadata.pop("papermill", None)
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        for key in ("papermill", "execution", "exception"):
            cell.metadata.pop(key, None)
        if cell.cell_type != "code":
            continue
        cell.outputs = [output for output in cell.outputs if not _is_transient(output)]
        cell.outputs = _merge_streams(cell.outputs)
        for output in cell.outputs:
            if output.output_type == "stream":
                output.text = output.text.replace(str(project_root()) + "/", "")
    # Execution counts as a person has them: in order, without the injected cell.
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for number, cell in enumerate(code, start=1):
        if cell.execution_count is not None:
            cell.execution_count = number
            for output in cell.outputs:
                if output.output_type == "execute_result":
                    output.execution_count = number
    return notebook


def without_measurements(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Put one line in place of what cells tagged `measured` show, so that equal results make equal copies.

    Errors are kept: they are no measurement.
    """
    import nbformat

    for cell in notebook.cells:
        if MEASURED in cell.metadata.get("tags", []) and cell.outputs:
            errors = [output for output in cell.outputs if output.output_type == "error"]
            cell.outputs = errors or [nbformat.v4.new_output("stream", name="stdout", text=NOT_KEPT)]
    return notebook


def _merge_streams(outputs: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """Join what one stream printed in pieces: where it was cut is chance."""
    merged: list[nbformat.NotebookNode] = []
    for output in outputs:
        before = merged[-1] if merged else None
        if before is not None and output.output_type == before.output_type == "stream" and output.name == before.name:
            before.text += output.text
        else:
            merged.append(output)
    return merged


def _is_transient(output: nbformat.NotebookNode) -> bool:
    """Return whether an output means nothing once its kernel has gone: a progress bar, or controls."""
    if "application/vnd.jupyter.widget-view+json" in output.get("data", {}):
        return True
    text = output.text if output.output_type == "stream" else str(output.get("data", {}).get("text/plain", ""))
    return re.search(r"\d+%\|", text) is not None
