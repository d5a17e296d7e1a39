"""Find the notebooks and models in what was handed in: a folder or a zip that may contain anything.

Names, folders and endings may differ from those that were asked for: notebooks are known by their code, models by their
names or by what they hold. Every file that was not used is listed with the reason. Only the models are copied, and of
the notebooks only cells leave the process with limits that reads them.
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from autoscaler_env.grading.cells import MAX_SOURCE_BYTES, Cell, cells_as_data, cells_from_data
from autoscaler_env.grading.entries import Entry, LimitError, Zips, chunks_of, entries_of, entries_of_zip, quoted
from autoscaler_env.grading.notebooks import CourseNotebook, attempted, resemblance
from autoscaler_env.grading.sandbox import MEGABYTE
from autoscaler_env.policies.registry import MODEL_ENDINGS
from autoscaler_env.storage.foreign import HEAD_BYTES, OTHER_ENDINGS, other_file
from autoscaler_env.storage.models import read_model
from autoscaler_env.text import counted, listed, one_line, printable
from autoscaler_env.verification.check import error_message
from autoscaler_env.verification.workers import WorkerError, Workers

MAX_CANDIDATES = 300
"""Files that may be notebooks or models, of which more are not looked at."""

MAX_NOTEBOOK_MB = 100
"""A larger notebook is left out. Only outputs make a notebook so large, and they do not count."""

MAX_MODEL_MB = 50
"""A larger model is left out; the course's own have less than one megabyte."""

MAX_SUBMISSION_MB = 200
"""Models and notebooks of one submission that are read, together."""

MAX_UNUSED = 500
"""Rows for files that are no work, in a report; a row with their count stands for the others."""

_MOST_OF_FOLDER = 3
"""Files of one folder that are no work and have a row each; of more, one row has the count."""

_NO_WORK = "neither notebook nor model"

_ARCHIVE = "not unpacked: only zips are"
_ARCHIVE_ENDINGS = (".rar", ".7z", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst")

_EXPORT_ENDINGS = (".py", ".html", ".htm", ".pdf", ".md", ".docx")
"""What notebooks are exported to; only the notebooks themselves are graded."""

MAX_ZIPS = 20
"""Zips within a submission that are opened."""

RESEMBLES = 0.3
"""A notebook that has this share of the statements of a course notebook is taken for it."""

_READ_SECONDS = 60
_READ_MEGABYTES = 2_048
_NETWORKS = ({"data", "policy.pth"}, {"data.pkl", "version"})
"""Files that lie together in the zip of a network of stable-baselines3, and in a file of torch, which is a zip too."""


@dataclass(frozen=True)
class Submission:
    """The work of one student."""

    name: str
    """The name of the folder or zip, without ending."""
    source: Path
    """The folder or zip."""
    notebooks: dict[str, list[Cell]]
    """The cells of its notebooks, by the name of the course's notebook."""
    models: dict[str, Path]
    """Copies of its models, by the name of the expected model."""
    notes: tuple[str, ...] = ()
    """What a person should know about how they were found, one line each."""
    unused: tuple[tuple[str, str], ...] = ()
    """The paths that were not used, each with the reason: `MAX_UNUSED` and those of work, and a row for the rest."""

    @property
    def fingerprint(self) -> str:
        """A hash of the cells of its notebooks, the contents of its models and what was not used."""
        digest = hashlib.sha256()
        for name, cells in sorted(self.notebooks.items()):
            digest.update(json.dumps([name, [[cell.kind, cell.source, cell.tags, cell.id] for cell in cells]]).encode())
        for name, path in sorted(self.models.items()):
            content = path.read_bytes()
            digest.update(f"{name}{path.suffix} {len(content)} ".encode() + content)
        digest.update(json.dumps([self.notes, self.unused]).encode())
        return digest.hexdigest()

    def reason_without(self, name: str) -> str:
        """Return why there is no file of a name, if one was handed in; else an empty text."""
        told = (f"{quoted(path)}: {reason}" for path, reason in self.unused if is_named(PurePosixPath(path).stem, name))
        return next(told, "")


@dataclass
class _Notebook:
    entry: Entry
    cells: list[Cell]


@dataclass
class _Model:
    entry: Entry
    path: Path
    sha256: str


def find_work(
    source: Path,
    folder: Path,
    course: Sequence[CourseNotebook],
    expected: Sequence[str],
    course_models: Path,
    workers: Workers,
) -> Submission:
    """Find the notebooks and models of a submission.

    Args:
        source: A folder or a zip.
        folder: An empty folder for copies of the models.
        course: The course's notebooks.
        expected: The names of the models that are asked for; each begins with the name of its algorithm.
        course_models: The folder of the models that the course ships: a student may hand them in beside own ones.
        workers: The process that reads files with limits.

    Raises:
        UnreadableError: The source is neither folder nor zip, or cannot be read.
    """
    workers.start()  # what fails then is a fault of this machine, not of the submission
    with ExitStack() as stack:
        search = _Search(folder, workers, stack)
        search.read(entries_of(source, search.skip, stack, search.zips))
    notebooks = search.choose_notebooks(course)
    search.tell_of_others([own.name for own in course if own.name not in notebooks])
    models = search.choose_models(expected, {_sha256(path) for path in course_models.glob("*.*")})
    if not notebooks and not models and not search.notes:
        search.notes.append("no notebook of the course and no model was found in it")
    name = source.resolve().name
    name = name[:-4] if name.lower().endswith(".zip") else name
    return Submission(name, source, notebooks, models, tuple(search.notes), tuple(search.rows()))


def fingerprints(submission: Submission, course: Sequence[CourseNotebook], course_models: Path) -> dict[str, str]:
    """Return a hash of each notebook and model of a submission, without those that the course gave.

    The hash of a notebook covers only its code: comments, layout, texts and outputs do not count.
    """
    given = {_code(own.cells) for own in course} | {_sha256(path) for path in course_models.glob("*.*")}
    hashes = {f"notebooks/{name}.ipynb": _code(cells) for name, cells in submission.notebooks.items()}
    hashes |= {f"models/{path.name}": _sha256(path) for path in submission.models.values()}
    return {name: value for name, value in hashes.items() if value not in given}


def _code(cells: Sequence[Cell]) -> str:
    statements = [statement for cell in cells for statement in cell.statements]
    return hashlib.sha256(json.dumps(statements).encode()).hexdigest()


class _Search:
    """Reads the files that may be work, and chooses among them.

    Args:
        folder: An empty folder for copies of the models.
        workers: The process that reads files with limits.
        stack: Keeps the zips open that are read.
    """

    def __init__(self, folder: Path, workers: Workers, stack: ExitStack) -> None:
        self.notes: list[str] = []
        self.zips = Zips(workers)
        self._unused: list[tuple[str, str]] = []
        self._no_work: dict[str, list[str]] = {}
        self._counts: Counter[str] = Counter()
        self._archives: list[str] = []
        self._exports: list[PurePosixPath] = []
        self._rest = 0
        self._folder = folder
        self._workers = workers
        self._stack = stack
        self._notebooks: list[_Notebook] = []
        self._models: list[_Model] = []
        self._descriptions: dict[Any, Path] = {}
        self._candidates = 0
        self._zips = 0
        self._bytes_left = MAX_SUBMISSION_MB * MEGABYTE

    def skip(self, path: object, reason: str) -> None:
        """Note a path that is not used, and that is no work."""
        text, folder = printable(one_line(path), 200), printable(one_line(PurePosixPath(str(path)).parent), 200)
        is_full = len(self._unused) + len(self._no_work) >= MAX_UNUSED
        if is_full and (reason != _NO_WORK or folder not in self._no_work):
            self._rest += 1
        elif reason != _NO_WORK:
            self._unused.append((text, reason))
        else:
            self._counts[folder] += 1
            if self._counts[folder] <= _MOST_OF_FOLDER:
                self._no_work.setdefault(folder, []).append(text)

    def leave(self, path: object, reason: str) -> None:
        """Note a notebook or model that is not used; there are at most `MAX_CANDIDATES`."""
        self._unused.append((printable(one_line(path), 200), reason))

    def tell(self, path: object, reason: str) -> None:
        """Note a file that could have been work and is not used; the notes of the report name it too."""
        self.leave(path, reason)
        self.notes.append(f"{quoted(path)} was not used: {reason}")

    def rows(self) -> Iterator[tuple[str, str]]:
        """Yield the paths that were not used, each with the reason, and what stands for more of them."""
        yield from self._unused
        for folder, paths in self._no_work.items():
            count = self._counts[folder]
            rows = paths if count <= _MOST_OF_FOLDER else [f"{folder}/: {counted(count, 'file')}"]
            yield from ((row, _NO_WORK) for row in rows)
        if self._rest:
            yield f"and {counted(self._rest, 'other file')}", "not listed"

    def read(self, entries: Sequence[Entry]) -> None:
        """Read the files that may be notebooks, models or zips of them."""
        for entry in entries:
            ending = entry.path.suffix.lower()
            if ending in OTHER_ENDINGS and not entry.path.name.startswith("._"):
                self.skip(entry.path, self._what_it_is(entry))
                continue
            if entry.path.name.lower().endswith((".ipynb.txt", ".ipynb.json")):
                ending = ".ipynb"  # browsers save a notebook so
            if entry.path.name.startswith("._") or ending not in (".ipynb", ".json", *MODEL_ENDINGS):
                self._leave_other(entry.path, ending)
                continue
            self._candidates += 1
            if self._candidates > MAX_CANDIDATES:
                say = self.tell if self._candidates == MAX_CANDIDATES + 1 else self.skip
                say(entry.path, f"there are more than {MAX_CANDIDATES} notebooks and models")
                continue
            try:
                if ending == ".ipynb":
                    self._read_notebook(entry)
                elif ending == ".zip" and (inner := self._inner(entry)) is not None:
                    self.read(inner)
                else:
                    self._copy_model(entry, ending)
            except (ValueError, WorkerError) as error:  # what else is raised is a fault of this machine, and no mark
                self.tell(entry.path, printable(one_line(error), 160))

    def _leave_other(self, path: PurePosixPath, ending: str) -> None:
        """Leave a file that is neither notebook nor model; remember it if it may hold work in another form."""
        if path.name.startswith("._"):  # what macOS keeps beside each file
            self.skip(path, _NO_WORK)
        elif ending in _ARCHIVE_ENDINGS:
            self.skip(path, _ARCHIVE)
            self._archives.append(quoted(path))
        else:
            self.skip(path, _NO_WORK)
            if ending in _EXPORT_ENDINGS:
                self._exports.append(path)

    def tell_of_others(self, missing: Sequence[str]) -> None:
        """Note archives that were not unpacked, and exports of notebooks that are missing.

        Args:
            missing: The names of the course's notebooks of which none was found.
        """
        if self._archives:
            self.notes.append(f"{_some(self._archives)} {_ARCHIVE}")
        exports = [quoted(path) for path in self._exports if any(is_named(path.stem, name) for name in missing)]
        if exports:
            self.notes.append(f"{_some(exports)} not used: only notebooks (.ipynb) are graded, no exports of them")

    def _what_it_is(self, entry: Entry) -> str:
        """Return what a file of another program is, in the words of the loader of models."""
        try:
            return other_file(b"".join(chunks_of(entry, HEAD_BYTES)), entry.path.name) or _NO_WORK
        except ValueError as error:
            return printable(one_line(error), 160)

    def choose_notebooks(self, course: Sequence[CourseNotebook]) -> dict[str, list[Cell]]:
        """Return the cells of the notebook for each of the course's: of several, the one with most answers."""
        found: dict[str, list[_Notebook]] = {}
        for notebook in self._notebooks:
            likeness = {own.name: resemblance(notebook.cells, own) for own in course}
            best = max(likeness, key=lambda name: likeness[name], default="")
            named = [own.name for own in course if is_named(notebook.entry.path.stem, own.name)]
            if likeness and likeness[best] >= RESEMBLES:
                found.setdefault(best, []).append(notebook)
            elif named:
                found.setdefault(named[0], []).append(notebook)
            else:
                self.tell(notebook.entry.path, "it resembles no notebook of the course")
        chosen: dict[str, list[Cell]] = {}
        for own in course:
            candidates = found.get(own.name, [])

            def rank(notebook: _Notebook, own: CourseNotebook = own) -> tuple[int, bool, bool, int]:
                entry = notebook.entry
                exact = entry.path.name == f"{own.name}.ipynb"
                in_place = entry.path.parent.name == "notebooks"
                return attempted(notebook.cells, own), exact, in_place, -len(entry.path.parts)

            for notebook in sorted(candidates, key=rank, reverse=True):
                if own.name not in chosen:
                    chosen[own.name], used = notebook.cells, notebook.entry
                    if used.path.name != f"{own.name}.ipynb":
                        self.notes.append(f"{quoted(used.path)} was taken for {own.name}")
                    continue
                answers = attempted(notebook.cells, own)
                say = self.tell if answers else self.leave
                say(notebook.entry.path, f"{quoted(used.path)} was taken for {own.name}, with as many answers or more")
        return chosen

    def choose_models(self, expected: Sequence[str], course_models: set[str]) -> dict[str, Path]:
        """Return the file of each expected model.

        It is one of the student's own with its name, else the only own one of its algorithm, else the course's.
        """
        own = [model for model in self._models if model.sha256 not in course_models]
        chosen: dict[str, _Model] = {}
        for name in expected:
            named = [model for model in own if is_named(model.entry.path.stem, name)]
            if named:
                chosen[name] = model = min(named, key=lambda model: _distance(model, name))
                reason = f"{quoted(model.entry.path)} was taken for {name}"
                others = [other.entry.path for other in named if other is not model]
                if len(others) > _MOST_OF_FOLDER:  # such as the checkpoints of a training
                    self.notes.append(f"{counted(len(others), 'file')} of such a name were not used: {reason}")
                for path in others:
                    (self.leave if len(others) > _MOST_OF_FOLDER else self.tell)(path, reason)
            own = [model for model in own if model not in named]
        kinds = {id(model): self._kind(model) for model in own} if len(chosen) < len(expected) else {}
        for name in (name for name in expected if name not in chosen):
            fitting = [model for model in own if name.startswith(kinds[id(model)].get("algorithm", "?"))]
            shipped = [model for model in self._models if model.sha256 in course_models]
            same = [model for model in shipped if is_named(model.entry.path.stem, name)]
            if len(fitting) == 1:
                chosen[name] = fitting[0]
                self.notes.append(f"{quoted(fitting[0].entry.path)} was taken for {name}: it holds such a model")
                own.remove(fitting[0])
            elif fitting:
                several = listed([quoted(model.entry.path) for model in fitting])
                self.notes.append(f"{several} could be {name}, and none is named so")
            elif same:
                chosen[name] = same[0]
        for model in own:
            kind = kinds.get(id(model)) or (self._kind(model) if model.path.suffix == ".pkl" else {})
            self.leave(model.entry.path, kind.get("problem", "no such model is asked for"))
        for model in self._models:
            if model.sha256 in course_models and model not in chosen.values():
                self.leave(model.entry.path, "a model of the course")
        return self._keep(chosen)

    def _keep(self, chosen: dict[str, _Model]) -> dict[str, Path]:
        """Give the chosen models and their descriptions the expected names; remove the other copies."""
        kept = {name: model.path.rename(self._folder / f"{name}{model.path.suffix}") for name, model in chosen.items()}
        for name, model in chosen.items():
            if description := self._descriptions.pop(model.entry.path.with_suffix(""), None):
                description.rename(self._folder / f"{name}.json")
        for name in self._descriptions:
            if not any(model.entry.path.with_suffix("") == name for model in self._models):
                self.skip(f"{name}.json", _NO_WORK)
        for path in (*(model.path for model in self._models), *self._descriptions.values()):
            path.unlink(missing_ok=True)
        return kept

    def _inner(self, entry: Entry) -> list[Entry] | None:
        """Return the files of a zip that is no model; `None` for a model or for what is no zip."""
        if entry.size > MAX_MODEL_MB * MEGABYTE and self._zips >= MAX_ZIPS:
            return None
        skipped: list[tuple[object, str]] = []
        with ExitStack() as stack:
            try:
                inner = entries_of_zip(entry, lambda path, reason: skipped.append((path, reason)), stack, self.zips)
            except LimitError:
                raise
            except ValueError:
                return None  # whatever it is, the loader of models says what is wrong with it
            together: dict[PurePosixPath, set[str]] = defaultdict(set)
            for each in inner:
                together[each.path.parent].add(each.path.name)
            if not inner or any(names >= network for names in together.values() for network in _NETWORKS):
                return None
            self._zips += 1
            if self._zips > MAX_ZIPS:
                raise LimitError(f"there are more than {MAX_ZIPS} zips")
            self._stack.enter_context(stack.pop_all())
        for path, reason in skipped:
            self.skip(path, reason)
        return inner

    def _read_notebook(self, entry: Entry) -> None:
        with tempfile.TemporaryDirectory(prefix="notebook-") as place:
            path = Path(place, "notebook.ipynb")
            self._copy(entry, path, MAX_NOTEBOOK_MB)
            rows = self._workers.call(
                cells_as_data,
                str(path),
                seconds=_READ_SECONDS,
                megabytes=_READ_MEGABYTES,
                answer_bytes=16 * MAX_SOURCE_BYTES,
            )
        cells = cells_from_data(rows)
        if any(cell.repaired for cell in cells):
            self.notes.append(f"{quoted(entry.path)} has invalid characters (lone surrogates): read as escapes")
        self._notebooks.append(_Notebook(entry, cells))

    def _copy_model(self, entry: Entry, ending: str) -> None:
        path = self._folder / f".{self._candidates}{ending}"
        self._copy(entry, path, MAX_MODEL_MB)
        if ending == ".json":
            self._descriptions[entry.path.with_suffix("")] = path
        else:
            self._models.append(_Model(entry, path, _sha256(path)))

    def _copy(self, entry: Entry, target: Path, limit_mb: int) -> None:
        """Copy a file within the limits. Its stated size is not trusted."""
        left = limit_mb * MEGABYTE
        with target.open("xb") as file:
            for chunk in chunks_of(entry, left + 1):
                left -= len(chunk)
                self._bytes_left -= len(chunk)
                if left < 0 or self._bytes_left < 0:
                    file.close()
                    target.unlink()
                    both = f"the files before it have {MAX_SUBMISSION_MB} MB together"
                    raise ValueError(f"it is larger than {limit_mb} MB" if left < 0 else both)
                file.write(chunk)

    def _kind(self, model: _Model) -> dict[str, str]:
        try:
            kind: dict[str, str] = self._workers.call(kind_of, str(model.path), seconds=_READ_SECONDS)
            return kind
        except WorkerError as error:
            return {"problem": str(error)}


def kind_of(path: str) -> dict[str, str]:
    """Return the `algorithm` of a model file: q_learning, dqn, ppo or a2c; or the `problem` if it is none.

    It runs in a process with limits.
    """
    try:
        kind = read_model(Path(path)).kind
    except ValueError as error:
        return {"problem": error_message(error, Path(path))}
    return {"algorithm": "q_learning" if kind.startswith("Q-table") else kind.split()[0].lower()}


def _some(files: Sequence[str]) -> str:
    """Return the first files of several in words, with their verb."""
    rest = len(files) - _MOST_OF_FOLDER
    shown = [*files[:_MOST_OF_FOLDER], *([counted(rest, "other file")] if rest > 0 else [])]
    return f"{listed(shown)} {'was' if len(files) == 1 else 'were'}"


def _distance(model: _Model, name: str) -> tuple[bool, bool, int]:
    """Return how far a file's name and place are from those that were asked for."""
    path = model.entry.path
    return path.stem != name, path.parent.name != "models", len(path.parts)


def is_named(stem: str, name: str) -> bool:
    """Return whether a file's name without ending is a name, perhaps with what systems and people add to it.

    Systems add "Copy of", "(1)", "-Copy1" and another case; people add their own name.
    """
    return _letters(name) in _letters(stem)


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
