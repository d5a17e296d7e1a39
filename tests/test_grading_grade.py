"""The grader keeps its secret, grades again only what has changed, and refuses bad options in one line."""

import hashlib
import json
import os
import stat
import zipfile
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest

from autoscaler_env.cli.main import main
from autoscaler_env.grading import execution
from autoscaler_env.grading import grade as module
from autoscaler_env.grading.answer_key import AnswerKey, GraderError
from autoscaler_env.grading.grade import Course, Grading, report_names, secret_seed
from autoscaler_env.grading.report import Report
from autoscaler_env.grading.rubric import Costs, Models, Rubric
from autoscaler_env.grading.sandbox import NO_SANDBOX

RUBRIC = Rubric(models=Models(expected=()), costs=Costs(seed=1))


@pytest.fixture
def grade(tmp_path):
    """Return a function that grades submissions of one text file by name; no notebook runs."""
    course = Course((), tmp_path / "no models")

    def grade_all(names, rubric=RUBRIC, again=()):
        sources = [tmp_path / f"{name}.zip" for name in names]
        grading = Grading(tmp_path / "out", rubric, NO_SANDBOX, course=course)
        return grading, grading.run(sources, again=again, progress=False)

    return grade_all


def submit(path, content=b""):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notebooks/01_mine.ipynb", content)


def failing(message):
    """Return a function that raises an error of the operating system."""

    def fail(*_, **__):
        raise OSError(message)

    return fail


@pytest.mark.skipif(os.name == "nt", reason="needs modes of files")
def test_thesecret_seed_is_never_readable_by_others(tmp_path, monkeypatch):
    modes = []
    real = os.fsync

    def fsync(descriptor):
        modes.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "chmod", lambda *_: pytest.fail("the mode is set too late"))
    old = os.umask(0)
    try:
        seed = secret_seed(tmp_path / "out")
    finally:
        os.umask(old)
    assert modes == [0o600] and stat.S_IMODE((tmp_path / "out" / "secret_days.json").stat().st_mode) == 0o600
    assert secret_seed(tmp_path / "out") == seed


def test_thesecret_seed_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing("no space"))
        with pytest.raises(OSError, match="no space"):
            secret_seed(tmp_path)
    assert list(tmp_path.iterdir()) == []
    seed = secret_seed(tmp_path)
    with monkeypatch.context() as patch:  # another grader has not seen the file yet
        patch.setattr(Path, "exists", lambda _: False)
        assert secret_seed(tmp_path) == seed
    assert [path.name for path in tmp_path.iterdir()] == ["secret_days.json"]


def test_without_hard_links_thesecret_seed_is_written_too(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", failing("not supported"))
    assert secret_seed(tmp_path) == json.loads((tmp_path / "secret_days.json").read_text())["seed"]


def test_a_damagedsecret_seed_is_refused(tmp_path):
    for content in ("", "{}", '{"seed": -1}', '{"seed": true}'):
        (tmp_path / "secret_days.json").write_text(content)
        with pytest.raises(ValueError, match="does not contain the number of the evaluation days"):
            secret_seed(tmp_path)


def test_only_a_submission_or_a_report_that_changed_is_graded_again(grade, tmp_path):
    names = ["ann", "bob", "cy"]
    for name in names:
        submit(tmp_path / f"{name}.zip")
    grade(names)
    paths = {name: tmp_path / "out" / name / "report.json" for name in names}
    (tmp_path / "out" / "bob" / "report.json").write_text("cut off in the midd")
    submit(tmp_path / "cy.zip", b"[]")
    times = {name: path.stat().st_mtime_ns for name, path in paths.items()}
    _, reports = grade(names)
    assert {name for name, path in paths.items() if path.stat().st_mtime_ns != times[name]} == {"bob", "cy"}
    assert [bool(report.key) for report in reports] == [True] * 3


def test_late_submissions_join_the_gradebook_of_those_with_the_same_settings(grade, tmp_path):
    def others_with(name, rubric=RUBRIC):
        submit(tmp_path / f"{name}.zip")
        grading, reports = grade([name], rubric)
        return [report.name for report in grading.earlier({report.name for report in reports})]

    assert others_with("other_settings", replace(RUBRIC, weights={"01.1": 2})) == []
    assert others_with("bob") == []
    grading, _ = grade(["bob"])
    assert grading.earlier({"bob"}) == [] and [*grading.left_out] == ["other_settings"]
    assert others_with("ann") == ["bob"]
    assert others_with("late") == ["ann", "bob"]


def test_a_report_that_is_asked_for_again_is_made_anew_and_the_reason_is_said(grade, tmp_path):
    for name in ("ann", "bob", "cy"):
        submit(tmp_path / f"{name}.zip")
    grade(["ann", "bob", "cy"])
    (tmp_path / "out" / "cy" / "report.json").write_text("{")
    submit(tmp_path / "bob.zip", b"[]")
    grading, _ = grade(["ann", "bob", "cy"], again=["ann"])
    assert sorted(grading.remarks) == [
        "ann: graded again: as you asked",
        "bob: graded again: submission changed",
        "cy: graded again: its report was damaged",
    ]
    with pytest.raises(ValueError, match=r"again = 'eve': must be one of ann, bob, cy"):
        grade(["ann", "bob", "cy"], again=["eve"])


def test_a_kept_run_that_others_can_reach_is_not_used(tmp_path):
    def folder():
        with AnswerKey([], {}, tmp_path / "kept") as key:
            return key.workspace().parent

    half_made = tmp_path / "kept" / f"{'0' * 16}-{'1' * 16}"
    (half_made / "variables").mkdir(parents=True)
    first = folder()
    assert folder() == first and not half_made.exists()
    (first / "variables").chmod(0o755)
    assert folder() != first


def test_a_fault_of_the_grader_is_no_mark(grade, tmp_path, monkeypatch):
    submit(tmp_path / "ann.zip")
    monkeypatch.setattr(execution, "grade_models", failing("No space left on device"))
    with pytest.raises(GraderError, match="ann: OSError: No space left on device"):
        grade(["ann"])
    assert not (tmp_path / "out" / "ann").exists()


@pytest.mark.slow
@pytest.mark.notebook
@pytest.mark.filterwarnings("default")  # papermill's warnings are not ours
def test_a_course_that_cannot_be_graded_here_stops_the_grader_with_status_3(tmp_path, monkeypatch, capsys):
    cells = [
        nbformat.v4.new_code_cell("import sys\nassert 'ipykernel' not in sys.modules, 'no kernel works here'"),
        nbformat.v4.new_code_cell("answer_1 = None", metadata={"tags": ["exercise"]}),
        nbformat.v4.new_code_cell("print('not attempted')", metadata={"tags": ["exercise-check"]}),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "01_tiny.ipynb")
    monkeypatch.setattr(module, "course_notebooks", lambda: [tmp_path / "01_tiny.ipynb"])
    monkeypatch.setattr("autoscaler_env.grading.sandbox.find_sandbox", lambda *_: NO_SANDBOX)
    submit(tmp_path / "ann.zip")
    assert main(["grade", str(tmp_path / "ann.zip"), "--output", str(tmp_path / "out")]) == 3
    error = capsys.readouterr().err
    assert "the grader failed, not a submission: the course's own notebook 01_tiny cannot be graded here" in error
    assert "no kernel works here" in error and not (tmp_path / "out" / "ann").exists()


def test_a_bad_option_costs_one_line(capsys):
    cases = {
        "workers = 0": ["x", "--workers", "0"],
        "none.toml": ["x", "--rubric", "none.toml"],
        "submission = 'x': there is no such file or folder": ["x"],
        "submissions": [],
    }
    for message, options in cases.items():
        assert main(["grade", *options]) == 2
        error = capsys.readouterr().err
        assert message in error and len(error.splitlines()) == 1


def test_no_submission_gets_the_name_of_a_file_of_the_grader():
    sources = [Path(name) for name in ("secret_days.json.zip", "Gradebook.CSV", "REFERENCE", "locks.zip", "roster.csv")]
    names = report_names(sources)
    assert names == ["secret_days.json-2", "Gradebook.CSV-2", "REFERENCE-2", "locks-2", "roster.csv-2"]


def test_a_report_tells_a_student_neither_the_days_nor_a_folder_of_the_grader(grade, tmp_path):
    submit(tmp_path / "s0.zip")
    (tmp_path / "s1.zip").write_bytes(b"no zip")
    _, reports = grade(["s0", "s1"])
    for report in reports:
        written = "".join((tmp_path / "out" / report.name / f"report.{kind}").read_text() for kind in ("json", "html"))
        assert str(tmp_path) not in written and report.source == f"{report.name}.zip"
        assert RUBRIC.fingerprint not in written
        assert hashlib.sha256(str(RUBRIC.costs.seed).encode()).hexdigest()[:16] not in written


def test_the_time_left_has_its_unit():
    done = module._Done(Report("ann", "ann.zip", {"a": "b"}, "", "quick"), is_new=True)
    lines = [module._progress_line(done, 1, 3, left) for left in (55.4, 333.0, None)]
    assert [line.partition("; ")[2] for line in lines] == ["about 55 s left", "about 6 min left", ""]


def test_reports_of_other_code_are_stale(monkeypatch):
    before = Course().fingerprint
    monkeypatch.setattr(module, "package_fingerprint", lambda: "other checks")
    assert Course().fingerprint != before
