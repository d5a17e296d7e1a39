"""Only notebooks and models of a submission are copied, whatever else the folder or zip contains."""

import os
import stat
import zipfile

import pytest

from autoscaler_env.grading.submission import MAX_FILES, copy_submission


@pytest.fixture
def copied(tmp_path):
    """Return a function that copies a submission."""

    def copy(source):
        (tmp_path / "copy").mkdir(exist_ok=True)
        return copy_submission(source, tmp_path / "copy")

    return copy


def packed(path, *entries):
    """Write a zip; an entry is a name and bytes, or a `ZipInfo` and bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return path


def test_notebooks_and_models_are_copied_from_a_folder(copied, tmp_path):
    for name in ("notebooks/01_a.ipynb", "models/m.zip", "models/m.json", "models/notes.txt", "secret.txt"):
        path = tmp_path / "ann" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    assert list(copied(tmp_path / "ann").files) == ["models/m.json", "models/m.zip", "notebooks/01_a.ipynb"]


@pytest.mark.parametrize("wrapper", ["", "ann-homework/"])
def test_notebooks_and_models_are_copied_from_a_zip(copied, tmp_path, wrapper):
    names = ["notebooks/01_a.ipynb", "models/m.pkl"]
    source = packed(tmp_path / "ann.ZIP", *((wrapper + name, b"x") for name in names), ("__MACOSX/a.ipynb", b"x"))
    submission = copied(source)
    assert sorted(submission.files) == sorted(names)
    assert submission.name == "ann"


def test_links_and_pipes_are_left_out_with_a_note(copied, tmp_path):
    folder = tmp_path / "eve" / "notebooks"
    folder.mkdir(parents=True)
    (tmp_path / "secret.ipynb").write_text("secret")
    (folder / "01_link.ipynb").symlink_to(tmp_path / "secret.ipynb")
    (tmp_path / "eve" / "models").symlink_to(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "02_pipe.ipynb")
    submission = copied(tmp_path / "eve")
    assert submission.files == {}
    assert submission.notes and all("not a plain file" in note for note in submission.notes)


def test_zip_entries_that_lead_out_of_the_zip_are_left_out(copied, tmp_path):
    link = zipfile.ZipInfo("notebooks/04_link.ipynb")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    names = ["../notebooks/01.ipynb", "/notebooks/02.ipynb", "C:\\notebooks\\03.ipynb", "notebooks\\..\\..\\05.ipynb"]
    submission = copied(packed(tmp_path / "eve.zip", *((name, b"x") for name in names), (link, b"/etc/passwd")))
    assert submission.files == {} and len(submission.notes) == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "eve.zip"]


def test_a_zip_bomb_is_left_out_even_if_it_states_a_small_size(copied, tmp_path):
    large = 11 * 2**20
    source = packed(tmp_path / "bomb.zip", ("notebooks/01.ipynb", b"\0" * large), ("notebooks/02.ipynb", b""))
    submission = copied(source)
    assert list(submission.files) == ["notebooks/02.ipynb"]
    assert "larger than 10 MB" in submission.notes[0]
    liar = packed(tmp_path / "liar.zip", ("notebooks/03.ipynb", b"\0" * large))
    liar.write_bytes(liar.read_bytes().replace(large.to_bytes(4, "little"), (100).to_bytes(4, "little")))
    submission = copied(liar)
    assert list(submission.files) == ["notebooks/02.ipynb"] and len(submission.notes) == 1


def test_of_two_files_with_one_name_the_first_is_copied_with_a_note(copied, tmp_path):
    entries = [("a/notebooks/01.ipynb", b"first"), ("b/notebooks/01.ipynb", b"second")]
    submission = copied(packed(tmp_path / "twice.zip", *entries))
    assert submission.files["notebooks/01.ipynb"].read_bytes() == b"first"
    assert "twice" in submission.notes[0]


def test_a_submission_of_too_many_files_is_cut_short(copied, tmp_path):
    submission = copied(packed(tmp_path / "many.zip", *((f"x{number}", b"") for number in range(MAX_FILES + 1))))
    assert "more than 2,000 files" in submission.notes[0]


def test_a_file_that_is_neither_folder_nor_zip_is_refused_in_one_line(copied, tmp_path):
    for content in (b"", b"PK\3\4 broken", b"text"):
        (tmp_path / "ann.zip").write_bytes(content)
        with pytest.raises(ValueError, match=r"ann\.zip"):
            copied(tmp_path / "ann.zip")


def test_the_fingerprint_depends_on_names_and_contents_only(tmp_path):
    fingerprints = []
    for number, (name, content) in enumerate([("01", b"x"), ("01", b"x"), ("01", b"y"), ("02", b"x")]):
        copy = tmp_path / str(number)
        copy.mkdir()
        source = packed(tmp_path / f"{number}.zip", (f"notebooks/{name}.ipynb", content))
        fingerprints.append(copy_submission(source, copy).fingerprint)
    assert fingerprints[0] == fingerprints[1] and len(set(fingerprints)) == 3
