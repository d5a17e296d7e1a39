"""Files are written completely or not at all, even by killed writers, and their temporary files are removed."""

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


def test_a_full_disk_names_the_file_that_was_not_written(tmp_path):
    def write_to_a_full_disk(file):
        with Path("/dev/full").open("wb", buffering=0) as full:
            full.write(b"x")

    with pytest.raises(OSError, match=rf"\[Errno {errno.ENOSPC}\] .*: '.*advice\.html'"):
        write_atomically(tmp_path / "advice.html", write_to_a_full_disk)
    assert not list(tmp_path.iterdir())


def test_writing_replaces_the_old_file_and_makes_folders(tmp_path):
    path = tmp_path / "deep" / "down" / "model.pkl"
    for content in (b"old, and longer", b"new"):
        write_atomically(path, lambda file, content=content: file.write(content))
    assert path.read_bytes() == b"new" and list(path.parent.iterdir()) == [path]


def test_json_and_texts_are_written_without_changes(tmp_path):
    content = {"a": [1, 2.5, None], "b": {"c": "ü"}}
    write_json(tmp_path / "x.json", content)
    assert json.loads((tmp_path / "x.json").read_text(encoding="utf-8")) == content
    write_text(tmp_path / "x.csv", "a,b\r\n1,ü\n")
    assert (tmp_path / "x.csv").read_bytes() == b"a,b\r\n1,\xc3\xbc\n"


def abandoned(folder):
    """Leave a temporary file like a killed writer; return its path."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "unlink", lambda *_, **__: None)
        with pytest.raises(ZeroDivisionError):
            write_atomically(folder / "model.pkl", lambda file: 1 / 0)
    (left,) = folder.glob(".*")
    return left


def test_the_temporary_file_of_a_killed_writer_is_removed_and_nothing_else(tmp_path):
    left = abandoned(tmp_path)
    others = [tmp_path / name for name in (".hidden.tmp", "model.zip", ".other")]
    for path in others:
        path.touch()
    assert left.exists() and sweep(tmp_path) == 1
    assert sorted(tmp_path.iterdir()) == sorted(others)


def test_the_temporary_file_of_a_running_writer_is_not_removed(tmp_path):
    seen = []
    write_atomically(tmp_path / "model.pkl", lambda file: seen.append(sweep(tmp_path)) or file.write(b"new"))
    assert seen == [0] and (tmp_path / "model.pkl").read_bytes() == b"new"


def test_the_first_write_into_a_folder_removes_old_temporary_files(tmp_path):
    left = abandoned(tmp_path)
    write = "import sys; from pathlib import Path; from autoscaler_env.storage.files import write_json; "
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


def test_a_folder_that_cannot_be_synced_is_one_warning_and_the_file_is_written(tmp_path, monkeypatch, capsys):
    real = os.fsync

    def fsync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    for content in (1, 2):
        write_json(tmp_path / "x.json", content)
    assert (tmp_path / "x.json").read_text() == "2\n"
    assert capsys.readouterr().err.count("cannot be synced (Invalid argument): files survive a kill, but") == 1


def test_without_locks_and_folder_sync_files_are_written_with_a_warning(tmp_path, monkeypatch, capsys):
    """As on Windows."""
    monkeypatch.setattr(files, "fcntl", None)
    monkeypatch.delattr(os, "O_DIRECTORY")
    files._warn_once.cache_clear()
    write_json(tmp_path / "deep" / "x.json", {})
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["x.json"]
    assert "this system does not sync folders" in capsys.readouterr().err


# Forks a writer, waits until it writes, kills it after a random time, looks at its file; again and again. It needs a
# process of its own, because the process that runs the tests has threads.
KILLER = """
import json, os, random, signal, sys, time
from pathlib import Path
from autoscaler_env.policies.q_learning import QTable
from autoscaler_env.storage.files import sweep, write_atomically
from autoscaler_env.storage.models import load_policy, read_description, save_description, save_q_table

folder, kind, kills = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
tables = [QTable.zeros() for _ in range(2)]
tables[1].values += 1.0
blocks = [[bytes([number]) * 2**14] * 64 for number in range(2)]

def in_blocks(file, number):
    for block in blocks[number]:
        file.write(block)

def save(number):
    if kind == "table":
        save_q_table(tables[number], folder / "model.pkl")
        save_description(folder / "model.pkl", {"seed": number})
    elif kind == "blocks":
        write_atomically(folder / "model.zip", lambda file: in_blocks(file, number))
    elif kind == "in place":
        with (folder / "model.zip").open("wb", buffering=0) as file:
            in_blocks(file, number)
    else:
        write_atomically(folder / "model.zip", learners[number].save)

def is_whole():
    if kind == "table":
        values = load_policy(folder / "model.pkl").values
        return read_description(folder / "model.pkl")["seed"] in (0, 1) and (values == values[0, 0]).all()
    if kind in ("blocks", "in place"):
        return (folder / "model.zip").read_bytes() in [b"".join(block) for block in blocks]
    return load_policy(folder / "model.zip") is not None

if kind == "network":
    from autoscaler_env.training.deep import build_learner
    from autoscaler_env.training.presets import PRESETS
    from autoscaler_env.service import Service
    learners = [build_learner("ppo", PRESETS["ppo"], "SPIKE", Service(), seed=seed, device="cpu") for seed in (0, 1)]
rng, broken, left = random.Random(0), 0, 0
save(0)
for kill in range(kills):
    started, starts = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(starts, b"x")
        while True:
            save(0)
            save(1)
    os.read(started, 1)
    time.sleep(rng.uniform(0.001, 0.04))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(started)
    os.close(starts)
    try:
        broken += not is_whole()
    except ValueError:
        broken += 1
left = len([path for path in folder.iterdir() if path.name.startswith(".")])
swept = sweep(folder)
print(json.dumps({"broken": broken, "left": left, "swept": swept, "files": sorted(os.listdir(folder))}))
"""


def kill_writers(folder, kind, kills):
    """Kill writers; return the numbers of broken, left and removed files, and the names of the others."""
    command = [sys.executable, "-c", KILLER, str(folder), kind, str(kills)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_ten_kills_break_no_file_and_leave_only_temporary_files(tmp_path):
    result = kill_writers(tmp_path, "table", 10)
    assert result["broken"] == 0 and result["swept"] == result["left"]
    assert result["files"] == ["model.json", "model.pkl"]


@pytest.mark.corpus
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("kind", ["table", "blocks", "network"])
def test_eighty_kills_break_no_file(tmp_path, kind):
    result = kill_writers(tmp_path, kind, 80)
    assert result["broken"] == 0 and result["swept"] == result["left"] > 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_kills_break_a_file_that_is_written_in_place(tmp_path):
    assert kill_writers(tmp_path, "in place", 20)["broken"] > 0
