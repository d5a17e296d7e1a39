"""What was handed in is found by content, whatever its names; what was not used is listed with the reason."""

import json
import os
import shutil
import stat
import zipfile

import nbformat
import pytest
from test_grading_notebooks import COURSE, submitted

from autoscaler_env.grading import entries, submission
from autoscaler_env.grading.notebooks import prepare
from autoscaler_env.grading.submission import find_work
from autoscaler_env.paths import Folders
from autoscaler_env.storage.models import load_policy, save_q_table
from autoscaler_env.verification.workers import Workers

SHIPPED = Folders.course().models
EXPECTED = ("q_learning_mixed", "dqn_mixed", "ppo_mixed")
FIRST = COURSE[0].name


@pytest.fixture(scope="module")
def workers():
    """Return the process that all tests share."""
    with Workers(networks=False) as shared:
        yield shared


@pytest.fixture
def find(tmp_path, workers):
    """Return a function that finds the work in a submission."""

    def found(source, expected=EXPECTED):
        folder = tmp_path / "copy"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return find_work(source, folder, COURSE, expected, SHIPPED, workers)

    return found


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Return the bytes of a student's own Q-table."""
    policy = load_policy(SHIPPED / "q_learning_mixed.pkl")
    policy.values[:, 0] += 0.01
    path = tmp_path_factory.mktemp("own") / "own.pkl"
    save_q_table(policy, path)
    return path.read_bytes()


def notebook(answer="answer_1 = 12", course=COURSE[0], **changed):
    """Return the bytes of a course notebook with an answer to its first exercise."""
    return nbformat.writes(submitted(course, **{course.exercises[0].answer.id: answer}, **changed)).encode()


def packed(path, *files):
    """Write a zip; a file is a name and bytes, or a `ZipInfo` and bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return path


def written(folder, **files):
    """Write files into a folder, by path."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def answers(found, name=FIRST):
    return [cell.source for cell in found.notebooks[name] if cell.id == COURSE[0].exercises[0].answer.id]


NAMES = [
    f"notebooks/{FIRST}.ipynb",
    f"{FIRST}.ipynb",
    f"Copy of {FIRST}.ipynb",
    f"homework/week 1/{FIRST} (1).ipynb",
    f"ann/notebooks/notebooks/{FIRST}-Copy1.ipynb",
    f"notebooks/{FIRST}_ann.IPYNB",
    f".{FIRST}.ipynb",
    "my first notebook.ipynb",
    f"{FIRST}.ipynb.txt",
    f"{FIRST} (1).IPYNB.json",
    f"Übung 1\n{FIRST} Müller.ipynb",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_found_under_any_name_in_a_folder_a_zip_and_a_zip_within(find, tmp_path, name):
    inner = packed(tmp_path / "inner.zip", (name, notebook())).read_bytes()
    sources = [
        written(tmp_path / "folder", **{name: notebook()}),
        packed(tmp_path / "ann.ZIP", (f"top/{name}", notebook()), ("__MACOSX/._x.ipynb", b"x")),
        packed(tmp_path / "outer.zip", ("Homework.ZIP", inner)),
        written(tmp_path / "nested", **{"hand-in/work.zip": inner}),
    ]
    for source in sources:
        found = find(source)
        assert answers(found) == ["answer_1 = 12"], source
        assert not [note for note in found.notes if "not used" in note], source


def test_a_checkout_with_its_tools_counts_only_what_may_be_taken(find, tmp_path, monkeypatch):
    monkeypatch.setattr(submission, "MAX_CANDIDATES", 5)
    files = {f".venv/lib/python3/site-packages/x{number}.ipynb": b"{}" for number in range(20)}
    files |= {".git/objects/a.zip": b"x", f"notebooks/.ipynb_checkpoints/{FIRST}-checkpoint.ipynb": notebook("old")}
    files |= {f"figures/{number}.png": b"x" for number in range(50)} | {f"notebooks/{FIRST}.ipynb": notebook()}
    for source in (written(tmp_path / "ann", **files), packed(tmp_path / "ann.zip", *files.items())):
        found = find(source)
        assert answers(found) == ["answer_1 = 12"]
        unused = dict(found.unused)
        assert {".venv", ".git", "notebooks/.ipynb_checkpoints"} <= set(unused)
        assert unused["figures/: 50 files"] == "neither notebook nor model" and found.notes == ()


def test_of_two_copies_the_one_with_more_answers_counts_and_the_other_is_named(find, tmp_path):
    other = COURSE[0].exercises[1].answer.id
    files = {
        f"notebooks/{FIRST}.ipynb": notebook("answer_1 = 3"),
        f"{FIRST}-Copy1.ipynb": notebook(**{other: "answer_2 = 5"}),
    }
    found = find(written(tmp_path / "ann", **files))
    assert answers(found) == ["answer_1 = 12"]
    assert any(f"notebooks/{FIRST}.ipynb' was not used" in note and "more" in note for note in found.notes)


def test_saved_outputs_do_not_count_toward_any_limit(find, tmp_path):
    content = json.loads(notebook())
    code = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
    code[0]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "x" * 12_000_000}]
    found = find(written(tmp_path / "ann", **{f"notebooks/{FIRST}.ipynb": json.dumps(content).encode()}))
    assert answers(found) == ["answer_1 = 12"]


@pytest.mark.parametrize(
    "name",
    [
        "models/q_learning_mixed.pkl",
        "q_learning_mixed (1).pkl",
        "Copy of Q_Learning_MIXED.PKL",
        "a/b/ann_q_learning_mixed.pkl",
        "best.pkl",
    ],
)
def test_a_model_is_found_by_its_name_or_by_what_it_holds(find, tmp_path, table, name):
    shipped = {f"models/{path.name}": path.read_bytes() for path in SHIPPED.glob("q_learning_mixed.*")}
    for others in ({}, {} if name in shipped else shipped):  # a whole checkout has the course's own models, too
        found = find(packed(tmp_path / "ann.zip", *(others | {name: table}).items()))
        assert found.models["q_learning_mixed"].read_bytes() == table


def test_two_models_of_one_kind_without_its_name_are_not_guessed_among(find, tmp_path, table):
    found = find(packed(tmp_path / "ann.zip", ("a.pkl", table), ("b.pkl", table)))
    assert found.models == {} and "'a.pkl' and 'b.pkl' could be q_learning_mixed" in " ".join(found.notes)


def test_the_checkpoints_of_a_training_are_listed_and_one_note_counts_them(find, tmp_path, table):
    files = {f"models/checkpoints/q_learning_mixed_{number}_steps.pkl": table for number in range(10, 15)}
    found = find(written(tmp_path / "ann", **files, **{"models/q_learning_mixed.pkl": table}))
    reason = "'models/q_learning_mixed.pkl' was taken for q_learning_mixed"
    assert found.notes == (f"5 files of such a name were not used: {reason}",)
    assert found.unused == tuple((name, reason) for name in files)


def test_work_in_another_form_is_named_and_nothing_is_passed_over(find, tmp_path):
    files = {
        f"{FIRST}.html": b"<html>",
        f"{FIRST}.py": b"pass",
        "all.RAR": b"Rar!",
        "b.tar.gz": b"x",
        "mine.json": b"{}",
    }
    found = find(written(tmp_path / "ann", **files))
    assert found.notes == (
        "'all.RAR' and 'b.tar.gz' were not unpacked: only zips are",
        f"'{FIRST}.html' and '{FIRST}.py' were not used: only notebooks (.ipynb) are graded, no exports of them",
    )
    assert {row.split(":")[0] for row, _ in found.unused} == {*files}
    found = find(written(tmp_path / "bob", **{f"{FIRST}.ipynb": notebook(), f"{FIRST}.html": b"<html>"}))
    assert found.notes == () and [path for path, _ in found.unused] == [f"{FIRST}.html"]


def test_a_submission_without_any_work_says_so(find, tmp_path):
    assert find(written(tmp_path / "ann", **{"letter.txt": b"dear"})).notes == (
        "no notebook of the course and no model was found in it",
    )


def test_links_and_pipes_are_left_out_with_the_reason(find, tmp_path):
    folder = tmp_path / "eve" / "notebooks"
    folder.mkdir(parents=True)
    (tmp_path / "secret.ipynb").write_bytes(notebook())
    (folder / "01_link.ipynb").symlink_to(tmp_path / "secret.ipynb")
    (tmp_path / "eve" / "models").symlink_to(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "02_pipe.ipynb")
    found = find(tmp_path / "eve")
    assert found.notebooks == found.models == {}
    assert {reason for _, reason in found.unused} == {"not a plain file", "not a plain folder"}


def test_zip_entries_that_lead_out_of_the_zip_are_left_out(find, tmp_path):
    link = zipfile.ZipInfo("notebooks/04_link.ipynb")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    names = ["../notebooks/01.ipynb", "/notebooks/02.ipynb", "C:\\notebooks\\03.ipynb", "notebooks\\..\\..\\05.ipynb"]
    found = find(packed(tmp_path / "eve.zip", *((name, notebook()) for name in names), (link, b"/etc/passwd")))
    assert found.notebooks == {} and len(found.unused) == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "eve.zip"]


def test_a_zip_that_grows_beyond_the_limits_is_cut_even_if_it_states_small_sizes(find, tmp_path, monkeypatch):
    monkeypatch.setattr(submission, "MAX_MODEL_MB", 2)
    monkeypatch.setattr(submission, "MAX_SUBMISSION_MB", 3)
    zeros = b"\0" * 2**20
    found = find(
        packed(
            tmp_path / "bomb.zip",
            *((f"models/{number}.pkl", 3 * zeros if number == 0 else zeros) for number in range(9)),
        )
    )
    copied = sum(path.stat().st_size for path in (tmp_path / "copy").iterdir())
    assert copied <= 3 * 2**20 and "larger than 2 MB" in found.notes[0] and "3 MB together" in found.notes[-1]
    liar = packed(tmp_path / "liar.zip", ("notebooks/03.ipynb", 3 * zeros))
    liar.write_bytes(liar.read_bytes().replace((3 * 2**20).to_bytes(4, "little"), (100).to_bytes(4, "little")))
    assert len(find(liar).notes) == 1


def test_a_zip_with_a_huge_list_of_entries_is_refused_before_it_is_read(find, tmp_path, monkeypatch):
    source = packed(tmp_path / "many.zip", *((f"x{number}", b"") for number in range(30_000)))
    monkeypatch.setattr(entries, "MAX_DIRECTORY_MB", 1)
    with pytest.raises(ValueError, match=r"many\.zip.*the list of its entries is larger than 1 MB"):
        find(source)


def test_all_zips_of_a_submission_share_one_limit_of_entries_and_the_report_has_few_rows(find, tmp_path, monkeypatch):
    inner = packed(tmp_path / "inner.zip", *((f"{number}/x", b"") for number in range(2_000))).read_bytes()
    source = packed(tmp_path / "many.zip", *((f"{number}.zip", inner) for number in range(5)))
    monkeypatch.setattr(entries, "MAX_ZIP_ENTRIES", 6_500)
    found = find(source)
    assert [note[:7] for note in found.notes if "6,500 entries together" in note] == ["'3.zip'", "'4.zip'"]
    rows = dict(found.unused)
    assert len(rows) == submission.MAX_UNUSED + 3 and rows["and 5,500 other files"] == "not listed"


def test_a_file_that_is_no_notebook_costs_one_line_and_harms_no_other(find, tmp_path):
    bad = {"02_bad.ipynb": b"[" * 100_000, "03_bad.ipynb": b"\xff", "04_web.ipynb": b"<html>", "05_zip.zip": b"PK\3\4"}
    found = find(written(tmp_path / "ann", **bad, **{f"{FIRST}.ipynb": notebook()}))
    assert list(found.notebooks) == [FIRST]
    assert len(found.notes) == 3 and all("\n" not in note for note in found.notes)
    assert set(bad) == {path for path, _ in found.unused}


def test_a_fault_of_the_machine_is_not_blamed_on_a_file(find, tmp_path, monkeypatch, table):
    source = written(tmp_path / "ann", **{f"{FIRST}.ipynb": notebook(), "q_learning_mixed.pkl": table})

    def full(*_, **__):
        raise OSError("No space left on device")

    for place, name in ((submission.tempfile, "TemporaryDirectory"), (Workers, "call")):
        with monkeypatch.context() as patch:
            patch.setattr(place, name, full)
            with pytest.raises(OSError, match="No space left"):
                find(source)
    assert answers(find(source)) == ["answer_1 = 12"]


def test_a_file_that_is_neither_folder_nor_zip_is_refused_in_one_line(find, tmp_path):
    for content in (b"", b"PK\3\4 broken", b"text"):
        (tmp_path / "ann.zip").write_bytes(content)
        with pytest.raises(ValueError, match=r"ann\.zip"):
            find(tmp_path / "ann.zip")


def test_the_fingerprint_depends_on_code_and_models_and_not_on_outputs(find, tmp_path, table):
    with_output = json.loads(notebook())
    with_output["cells"][2]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "seen"}]
    contents = [notebook(), json.dumps(with_output).encode(), notebook("answer_1 = 13")]
    prints = []
    for model in (table, table + b" "):
        for number, content in enumerate(contents):
            files = ((f"{FIRST}.ipynb", content), ("q_learning_mixed.pkl", model))
            prints.append(find(packed(tmp_path / f"{number}.zip", *files)).fingerprint)
    assert prints[0] == prints[1] and len(set(prints)) == 4


def test_characters_that_no_file_can_hold_are_read_as_escapes_and_a_note_says_so(find, tmp_path):
    content = json.loads(notebook('answer_1 = "HERE"').replace(b"HERE", rb"\udcff"))
    content["cells"][0] |= {"id": "\ud800", "metadata": {"tags": ["\udcff"]}}
    found = find(written(tmp_path / "ann", **{"\udcff.ipynb": json.dumps(content).encode()}))
    assert answers(found) == [r'answer_1 = "\udcff"']
    assert any("invalid characters" in note for note in found.notes)
    nbformat.writes(prepare(found.notebooks[FIRST], COURSE[0], set()).notebook).encode()
    "".join((*found.notes, *(cell.id + "".join(cell.tags) for cell in found.notebooks[FIRST]))).encode()
