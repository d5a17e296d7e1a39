"""Hostile and broken notebooks: none passes, none gets through the wall, none outlives it, none stops the rest."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass, field, replace
from pathlib import Path

import nbformat
import psutil
import pytest
from needs import is_missing

from autoscaler_env.grading.grade import Course, Grading
from autoscaler_env.grading.report import read_report
from autoscaler_env.grading.rubric import Models, Rubric
from autoscaler_env.grading.sandbox import NO_WALL, Limits, Wall
from autoscaler_env.grading.submission import bubblewraps, find_wall, working

pytestmark = [
    pytest.mark.slow,
    pytest.mark.notebook,
    pytest.mark.filterwarnings("default"),  # what papermill warns about is its own
]

LIMITS = Limits(seconds=600, memory_mb=700, disk_mb=64, output_mb=2, processes=64)
"""Enough time for an honest notebook on a machine that has other work too."""

SECONDS = 10
"""For notebooks without end; they are graded at once, and no honest one is held to it."""

WORKERS = 4
"""More than small machines have cores: a kernel that has died is waited for, and so is one that sleeps."""

CELLS = [
    ("parameters", "parameters", "output = ''  # folder"),
    ("compute", None, "import os, sys\nsecret = 0.25"),
    ("mine", None, "pass"),
    ("answer", "exercise", "answer_1 = None"),
    (
        "check",
        "exercise-check",
        "if answer_1 is None:\n"
        "    print('not attempted')\n"
        "else:\n"
        "    print('right' if answer_1 == secret else 'not yet')",
    ),
    ("end", None, "print('the end')"),
]

TOKEN = uuid.uuid4().hex
"""In the command line of every process that a notebook leaves behind."""

LEAVE = f"""
import subprocess
for _ in range(3):
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)  # {TOKEN}"], start_new_session=True)
"""

HOSTILE = {
    # broken
    "raises": "1 / 0",
    "no_python": "this is no python",
    "asks": "input('who are you? ')",
    "exits": "sys.exit(0)",
    "dies": "os._exit(0)",
    "kills_itself": "os.kill(os.getpid(), 9)",
    "kills_all": "os.kill(-1, 9)\nos._exit(0)",
    "kills_its_parent": "import signal\nos.kill(os.getppid(), signal.SIGKILL)\nos._exit(0)",
    # without measure
    "fork_bomb": "while True:\n    os.fork()",
    "thread_bomb": "import threading, time\n"
    "while True: threading.Thread(target=time.sleep, args=(600,), daemon=True).start()",
    "memory": "kept = []\nwhile True: kept.append(bytearray(50 * 2**20))",
    "shared_memory": "import mmap\n"
    "kept = mmap.mmap(-1, 4 * 2**30)\n"
    "for place in range(0, 4 * 2**30, 4096): kept[place] = 1\n"
    "raise MemoryError",
    "memory_of_many": "import time\n"
    "for _ in range(20):\n"
    "    if os.fork() == 0:\n"
    "        kept = bytearray(os.urandom(2**20)) * 100\n"
    "        time.sleep(600)\n"
    "time.sleep(600)",
    "disk": "for number in range(100):\n    open(f'{output}/{number}', 'wb').write(bytes(2**20))",
    "prints": "import time\nwhile True:\n    print('x' * 100_000)\n    time.sleep(0.02)",
    "floods": "while True: print('x' * 1_000_000)",  # faster than it is read: memory may run out before the output does
    "displays": "from IPython.display import display\nwhile True: display({'text/plain': 'x' * 100_000}, raw=True)",
    "tells_too_much": "answer_1 = list(range(10**6))\nprint('y' * 3 * 2**20)",
    # out of the wall
    "network": "import socket\nsocket.create_connection(('127.0.0.1', @port), timeout=5).send(b'out')",
    "internet": "import socket\nsocket.create_connection(('192.0.2.1', 80), timeout=5)",
    "writes_outside": "open('@outside', 'w').write('out')",
    "writes_to_the_package": "import autoscaler_env\nopen(autoscaler_env.__file__, 'a').write('# out')",
    "writes_to_the_reference": "open('@reports/course.txt', 'w').write('out')",
    "writes_beside_its_sockets": "import glob\nopen(glob.glob('/tmp/grade-*')[0] + '/junk', 'w').write('x')",
    "reads_home": "print(os.listdir('@home'))\nassert set(os.listdir('@home')) - {'.pyenv'}, 'empty'",
    "reads_the_secret_days": "print(open('@reports/secret_days.json').read())",
    "reads_another_submission": "print(open('@honest').read())",
    "reads_passwords": "print(open('/etc/passwd').read())",
    "sees_processes": "assert len([name for name in os.listdir('/proc') if name.isdigit()]) > 20",
    "sees_our_environment": "assert 'PYTEST_CURRENT_TEST' in os.environ",
    "becomes_root": "import subprocess\n"
    "subprocess.run(['unshare', '-Urm', 'sh', '-c', "
    "'mount -o remount,rw,bind /usr && touch /usr/@token'], check=True)",
    "leaves_processes": LEAVE + "os._exit(0)",
    # out of the judgement
    "writes_the_executed_notebook": "import pathlib\n"
    "found = [path for root in ('/tmp', '/scratch', '/') for path in pathlib.Path(root).glob('*/*.ipynb')]\n"
    "for path in found: path.write_text('forged')\n"
    "os._exit(0)",
    "swallows_cells": "shell = get_ipython()\n"
    "from IPython.core.interactiveshell import ExecutionResult\n"
    "async def nothing(*arguments, **named): return ExecutionResult(None)\n"
    "shell.run_cell_async = nothing",
    "prints_right": "import builtins\nbuiltins.print = lambda *words, **named: None",
    "breaks_telling": "from autoscaler_env.grading import answers\nanswers.tell = None",
    "breaks_papermill": "import nbformat, papermill\nnbformat.write = papermill.execute_notebook = None\nos._exit(0)",
}

ENDLESS = {
    "loops": "while True: pass",
    "sleeps_through_interrupts": "import signal, time\n"
    "for each in (signal.SIGINT, signal.SIGTERM): signal.signal(each, signal.SIG_IGN)\n"
    "while True: time.sleep(1)",
    "prints_beneath_python": "while True: os.write(1, b'x' * 1_000_000)",
}


@dataclass
class Outcome:
    """What grading all of them came to."""

    wall: Wall
    reports: dict
    outside: Path
    connections: list = field(default_factory=list)


def write(path, **changed):
    """Write the tiny course, cells by id with another source."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = [
        nbformat.v4.new_code_cell(changed.get(name, source), id=name, metadata={"tags": [tag] if tag else []})
        for name, tag, source in CELLS
        if name in changed or name != "mine"
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path.parent.parent


def need_wall():
    """Return the wall of this machine; skip aloud without one, and fail where it was promised."""
    if sys.platform != "linux" or shutil.which("bwrap") is None:
        is_missing("bubblewrap is not installed")
    return find_wall()


def grade(root, wall, hostile, *, limits=LIMITS, port=9, before=False, after=True):
    """Grade hostile submissions, with an honest one before them or after them, or both."""
    root = root.resolve()
    write(root / "course" / "notebooks" / "01_tiny.ipynb")
    honest = write(root / "in" / "a_honest" / "notebooks" / "01_tiny.ipynb", answer="answer_1 = secret")
    known = {
        "port": port,
        "outside": str(root / "outside"),
        "home": str(Path.home()),
        "reports": root / "out",
        "honest": honest / "notebooks" / "01_tiny.ipynb",
        "token": TOKEN,
    }
    sources = [honest] if before else []
    for name, code in hostile.items():
        for word, value in known.items():
            code = code.replace(f"@{word}", str(value))
        sources.append(write(root / "in" / name / "notebooks" / "01_tiny.ipynb", mine=code, answer="answer_1 = secret"))
    if after:
        sources.append(write(root / "in" / "z_honest" / "notebooks" / "01_tiny.ipynb", answer="answer_1 = 0.25"))
    course = Course((root / "course" / "notebooks" / "01_tiny.ipynb",), root / "no models")
    rubric = Rubric(models=Models(expected=()), limits=limits)
    reports = Grading(root / "out", rubric, wall, course=course).run(sources, WORKERS, progress=False)
    return Outcome(wall, {report.name: report for report in reports}, root / "outside")


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    """Grade all of them behind the strongest wall that works here."""
    wall = need_wall()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        root, port = tmp_path_factory.mktemp("hostile"), server.getsockname()[1]
        found = grade(root, wall, HOSTILE, port=port, before=True)
        with contextlib.suppress(TimeoutError):
            found.connections.append(server.accept())
    return found


def state(report):
    (item,) = report.parts["notebooks"]
    return item.state, item.reason


def left_over():
    """Return the processes that notebooks left behind."""
    return [process for process in psutil.process_iter(["cmdline"]) if TOKEN in " ".join(process.info["cmdline"] or [])]


@pytest.mark.parametrize("name", HOSTILE)
def test_no_hostile_notebook_passes(outcome, name):
    assert state(outcome.reports[name])[0] == "failed"
    assert outcome.reports[name].points("notebooks") == 0


@pytest.mark.parametrize("name", ["a_honest", "z_honest"])
def test_the_honest_before_and_after_them_pass(outcome, name):
    assert state(outcome.reports[name])[0] == "passed"
    assert outcome.reports[name].points() == 60


def test_nothing_of_theirs_reaches_this_machine(outcome):
    assert not outcome.connections
    assert not outcome.outside.exists()
    assert not Path("/usr", TOKEN).exists()
    assert not list((outcome.outside.parent / "out").glob("*.txt"))


def test_nothing_of_theirs_outlives_its_notebook(outcome):
    assert not left_over()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("raises", "ZeroDivisionError"),
        ("asks", "StdinNotImplementedError"),
        ("prints", "outputs pass 2 MB"),
        ("memory", "MemoryError"),
        ("network", "refused"),
        ("internet", "unreachable"),
        ("reads_the_secret_days", "FileNotFoundError"),
        ("reads_another_submission", "FileNotFoundError"),
        ("writes_outside", "Error"),
        ("sees_processes", "AssertionError"),
        ("swallows_cells", "did not come to its end"),
    ],
)
def test_a_report_says_what_stopped_it(outcome, name, reason):
    assert reason in state(outcome.reports[name])[1]


def test_what_it_says_is_one_printable_line(outcome):
    assert all(state(report)[1].isprintable() for report in outcome.reports.values())


def test_notebooks_without_end_are_ended(tmp_path):
    found = grade(tmp_path, need_wall(), ENDLESS, limits=replace(LIMITS, seconds=SECONDS), after=False)
    for name in ENDLESS:
        assert state(found.reports[name])[0] == "failed"
    assert state(found.reports["loops"])[1] == f"it took longer than {SECONDS} s"
    assert not left_over()


def test_only_a_submission_that_changed_is_graded_again(tmp_path):
    wall = need_wall()
    first = grade(tmp_path, wall, {"raises": HOSTILE["raises"]}, before=True)
    times = {name: (tmp_path / "out" / name / "report.json").stat().st_mtime_ns for name in first.reports}
    (tmp_path / "out" / "z_honest" / "report.json").write_text("cut off in the midd")
    second = grade(tmp_path, wall, {"raises": "pass"}, before=True)
    again = {name for name in times if (tmp_path / "out" / name / "report.json").stat().st_mtime_ns != times[name]}
    assert again == {"raises", "z_honest"}
    assert state(second.reports["raises"])[0] == "passed"
    assert second.reports["z_honest"].points() == first.reports["z_honest"].points()


GRADER = """
import os, sys
from pathlib import Path
sys.path.insert(0, os.environ["TESTS"])
from test_grading_hostile import find_wall, grade
grade(Path(os.environ["ROOT"]), find_wall(), {"sits": os.environ["CODE"]}, before=True, after=False)
"""


@pytest.mark.parametrize("sent", ["SIGINT", "SIGKILL"])
def test_an_interrupted_grading_leaves_nothing_running_and_keeps_what_it_has_graded(tmp_path, sent):
    need_wall()
    told = {
        "TESTS": str(Path(__file__).parent),
        "ROOT": str(tmp_path),
        "CODE": f"{LEAVE}\nimport time\ntime.sleep(600)",
    }
    first, until = tmp_path / "out" / "a_honest" / "report.json", time.monotonic() + LIMITS.seconds
    with subprocess.Popen([sys.executable, "-c", GRADER], env=os.environ | told, stderr=subprocess.DEVNULL) as grader:
        while not (first.exists() and left_over()):
            assert grader.poll() is None and time.monotonic() < until
            time.sleep(0.1)
        grader.send_signal(getattr(signal, sent))
        assert grader.wait(LIMITS.seconds) != 0
    while left_over() and time.monotonic() < until:
        time.sleep(0.1)
    assert not left_over()
    assert read_report(first.parent).points() == 60
    assert read_report(tmp_path / "out" / "sits") is None


def test_a_submission_that_is_none_does_not_stop_the_rest(tmp_path):
    wall = need_wall()
    write(tmp_path / "course" / "notebooks" / "01_tiny.ipynb")
    honest = write(tmp_path / "in" / "ann" / "notebooks" / "01_tiny.ipynb")
    (tmp_path / "in" / "broken.zip").write_bytes(b"PK\x03\x04 no zip")
    course = Course((tmp_path / "course" / "notebooks" / "01_tiny.ipynb",), tmp_path / "no models")
    grading = Grading(tmp_path / "out", Rubric(models=Models(expected=()), limits=LIMITS), wall, course=course)
    missing, broken, graded = grading.run([tmp_path / "none", tmp_path / "in" / "broken.zip", honest], progress=False)
    assert missing.key == broken.key == {}
    assert missing.notes[0].startswith("not graded: ") and broken.notes[0].startswith("not graded: ")
    assert graded.points() == 10


def test_an_ordinary_user_has_a_wall_too(tmp_path):
    need_wall()
    wall = working(bubblewraps()[-1:])
    names = ("fork_bomb", "network", "writes_outside", "writes_beside_its_sockets", "reads_home", "leaves_processes")
    found = grade(tmp_path, wall, {name: HOSTILE[name] for name in names})
    assert not wall.as_root
    assert [state(report)[0] for report in found.reports.values()] == [*["failed"] * len(names), "passed"]
    assert not left_over() and not found.outside.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not say what a process left behind")
def test_without_a_wall_what_is_left_running_is_ended(tmp_path):
    found = grade(tmp_path, NO_WALL, {"leaves_processes": HOSTILE["leaves_processes"]})
    assert state(found.reports["leaves_processes"])[0] == "failed"
    assert state(found.reports["z_honest"])[0] == "passed"
    assert found.reports["z_honest"].wall.startswith("No wall")
    assert not left_over()


DOCKER = """#!{python}
# Stands for docker: carries out by bubblewrap what docker's options ask for.
import os, pathlib, sys
log = pathlib.Path({log!r})
words = sys.argv[1:]
log.open("a").write(" ".join(words[:3]) + "\\n")
if words[0] == "rm":
    sys.exit()
assert words.pop(0) == "run"
asked, given = [], {{}}
while words[0].startswith("--"):
    option = words.pop(0)
    if option in ("--rm", "--read-only"):
        asked.append(option)
    else:
        given.setdefault(option, []).append(words.pop(0))
image, program, *rest = words
assert image == "course:1" and program == "python" and asked == ["--rm", "--read-only"]
assert given["--network"] == ["none"] and given["--cap-drop"] == ["ALL"]
made = ["bwrap", "--unshare-pid", "--unshare-net", "--die-with-parent", "--clearenv"]
made += ["--proc", "/proc", "--dev", "/dev"]
for top in pathlib.Path("/").iterdir():
    if top.name not in ("proc", "dev", "tmp", "sys"):
        made += ["--symlink", os.readlink(top), top] if top.is_symlink() else ["--ro-bind", top, top]
for each in given["--tmpfs"]:
    made += ["--perms", "1777", "--tmpfs", each.split(":")[0]]
for each in given["--volume"]:
    outside, inside, *how = each.split(":")
    made += ["--ro-bind" if how == ["ro"] else "--bind", outside, inside]
for each in given["--env"]:
    made += ["--setenv", *each.split("=", 1)]
made += ["--chdir", *given["--workdir"], "--", {python!r}, *rest]
os.execvp("bwrap", [str(word) for word in made])
"""


def test_a_container_is_a_wall(tmp_path, monkeypatch):
    need_wall()
    log, program = tmp_path / "log", tmp_path / "bin" / "docker"
    program.parent.mkdir()
    program.write_text(DOCKER.format(python=sys.executable, log=str(log)))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    wall = find_wall("course:1")
    names = ("network", "writes_outside", "raises")
    found = grade(tmp_path / "graded", wall, {name: HOSTILE[name] for name in names})
    assert "container of course:1" in wall.told
    assert [state(report)[0] for report in found.reports.values()] == [*["failed"] * len(names), "passed"]
    assert "refused" in state(found.reports["network"])[1]
    assert log.read_text().count("rm --force") == len(found.reports)
