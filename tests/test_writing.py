"""Files are written whole or not at all, and what killed writers leave is swept away."""

import errno
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from autoscaler_env.storage import files
from autoscaler_env.storage.files import sweep, write_atomically, write_json, write_text


def test_a_writer_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "model.pkl"
    path.write_bytes(b"old")

    def fail(file):
        file.write(b"half of the n")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, fail)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_writing_replaces_the_old_file_and_makes_folders(tmp_path):
    path = tmp_path / "deep" / "down" / "model.pkl"
    for content in (b"old, and longer", b"new"):
        write_atomically(path, lambda file, content=content: file.write(content))
    assert path.read_bytes() == b"new" and list(path.parent.iterdir()) == [path]


def test_json_comes_back_as_it_was_written(tmp_path):
    content = {"a": [1, 2.5, None], "b": {"c": "ü"}}
    write_json(tmp_path / "x.json", content)
    assert json.loads((tmp_path / "x.json").read_text(encoding="utf-8")) == content


def test_a_text_is_written_as_it_is(tmp_path):
    write_text(tmp_path / "x.csv", "a,b\r\n1,ü\n")
    assert (tmp_path / "x.csv").read_bytes() == b"a,b\r\n1,\xc3\xbc\n"


def abandoned(folder):
    """Leave a temporary file as a killed writer does; return its path."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "unlink", lambda *_, **__: None)
        with pytest.raises(ZeroDivisionError):
            write_atomically(folder / "model.pkl", lambda file: 1 / 0)
    (left,) = folder.glob(".*")
    return left


def test_what_a_killed_writer_left_is_swept_and_nothing_else(tmp_path):
    left = abandoned(tmp_path)
    others = [tmp_path / name for name in (".hidden.tmp", "model.zip", ".other")]
    for path in others:
        path.touch()
    assert left.exists() and sweep(tmp_path) == 1
    assert sorted(tmp_path.iterdir()) == sorted(others)


def test_the_file_of_a_writer_that_is_alive_is_not_swept(tmp_path):
    seen = []
    write_atomically(tmp_path / "model.pkl", lambda file: seen.append(sweep(tmp_path)) or file.write(b"new"))
    assert seen == [0] and (tmp_path / "model.pkl").read_bytes() == b"new"


def test_the_first_write_into_a_folder_sweeps_it(tmp_path):
    left = abandoned(tmp_path)
    write = "import sys; from pathlib import Path; from autoscaler_env.storage import write_json; "
    subprocess.run([sys.executable, "-c", write + "write_json(Path(sys.argv[1]), 1)", tmp_path / "x.json"], check=True)
    assert not left.exists() and [path.name for path in tmp_path.iterdir()] == ["x.json"]


@pytest.mark.skipif(os.name == "nt", reason="needs modes of files")
def test_a_written_file_has_the_mode_that_the_user_wants(tmp_path):
    old = os.umask(0o027)
    try:
        write_json(tmp_path / "x.json", {})
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "x.json").stat().st_mode) == 0o640


def test_the_folder_is_synced_after_the_file_has_its_name(tmp_path, monkeypatch):
    synced = []

    def fsync(descriptor):
        synced.append((stat.S_ISDIR(os.fstat(descriptor).st_mode), (tmp_path / "x.json").exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    write_json(tmp_path / "x.json", {})
    assert synced == [(False, False), (True, True)]


def test_a_folder_that_cannot_be_synced_is_said_once_and_the_file_is_written(tmp_path, monkeypatch, capsys):
    real = os.fsync

    def fsync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    for content in (1, 2):
        write_json(tmp_path / "x.json", content)
    assert (tmp_path / "x.json").read_text() == "2\n"
    assert capsys.readouterr().err.count("cannot be synced (Invalid argument): files survive a kill whole, but") == 1


def test_without_locks_and_folder_sync_files_are_written_whole_and_that_is_said(tmp_path, monkeypatch, capsys):
    """As on Windows."""
    monkeypatch.setattr(files, "fcntl", None)
    monkeypatch.delattr(os, "O_DIRECTORY")
    files._say_once.cache_clear()
    write_json(tmp_path / "deep" / "x.json", {})
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["x.json"]
    assert "this system does not sync folders" in capsys.readouterr().err
