"""Hostile and broken notebooks do not pass, do not leave the sandbox, leave no process, and do not stop the others."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import nbformat
import psutil
import pytest
from needs import is_missing

from autoscaler_env.cli.main import main
from autoscaler_env.course import course_notebooks
from autoscaler_env.grading.answer_key import GraderError
from autoscaler_env.grading.execution import Executor, Settings
from autoscaler_env.grading.grade import Course, Grading
from autoscaler_env.grading.notebooks import CourseNotebook
from autoscaler_env.grading.report import read_report
from autoscaler_env.grading.rubric import Models, Rubric
from autoscaler_env.grading.sandbox import (
    NO_SANDBOX,
    Limits,
    Sandbox,
    SharedFolders,
    bubblewrap_sandboxes,
    find_sandbox,
    first_working,
)
from autoscaler_env.grading.submission import Submission

executes_notebooks = [
    pytest.mark.slow,
    pytest.mark.notebook,
    pytest.mark.filterwarnings("default"),  # papermill's warnings are not ours
]

LIMITS = Limits(seconds=600, memory_mb=700, disk_mb=64, output_mb=2, processes=64)
"""Enough time for an honest notebook on a machine that has other work too."""

SECONDS = 10
"""For notebooks without end. No honest notebook has this limit."""

WORKERS = 4
"""More than small machines have cores: much of the time a grader waits for a dead or sleeping kernel."""

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
"""It is in the command line of every process that a notebook leaves behind."""

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
    "exits_as_in_ipython": "exit()",
    "dies": "os._exit(0)",
    "kills_itself": "os.kill(os.getpid(), 9)",
    "kills_all": "os.kill(-1, 9)\nos._exit(0)",
    "kills_its_parent": "import signal\nos.kill(os.getppid(), signal.SIGKILL)\nos._exit(0)",
    # without limit
    "fork_bomb": "while True:\n    os.fork()",
    "thread_bomb": "import threading, time\n"
    "while True: threading.Thread(target=time.sleep, args=(600,), daemon=True).start()",
    "memory": "blocks = []\nwhile True: blocks.append(bytearray(50 * 2**20))",
    "shared_memory": "import mmap\n"
    "block = mmap.mmap(-1, 4 * 2**30)\n"
    "for place in range(0, 4 * 2**30, 4096): block[place] = 1\n"
    "raise MemoryError",
    "memory_of_many": "import time\n"
    "for _ in range(20):\n"
    "    if os.fork() == 0:\n"
    "        block = bytearray(os.urandom(2**20)) * 100\n"
    "        time.sleep(600)\n"
    "time.sleep(600)",
    "disk": "for number in range(100):\n    open(f'{output}/{number}', 'wb').write(bytes(2**20))",
    "prints": "import time\nwhile True:\n    print('x' * 100_000)\n    time.sleep(0.02)",
    "floods": "while True: print('x' * 1_000_000)",  # faster than it is read: memory may run out before the output does
    "displays": "from IPython.display import display\nwhile True: display({'text/plain': 'x' * 100_000}, raw=True)",
    "sends_too_much": "answer_1 = list(range(10**6))\nprint('y' * 3 * 2**20)",
    # out of the sandbox
    "network": "import socket\nsocket.create_connection(('127.0.0.1', @port), timeout=5).send(b'out')",
    "internet": "import socket\nsocket.create_connection(('192.0.2.1', 80), timeout=5)",
    "writes_outside": "open('@outside', 'w').write('out')",
    "writes_to_the_package": "import autoscaler_env\nopen(autoscaler_env.__file__, 'a').write('# out')",
    "writes_to_the_course": "open('@reports/course.txt', 'w').write('out')",
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
    "makes_a_namespace": "import subprocess\nsubprocess.run(['unshare', '-Ur', 'true'], check=True)",
    "leaves_processes": LEAVE + "os._exit(0)",
    # against the judgement
    "writes_the_executed_notebook": "import pathlib\n"
    "paths = [path for root in ('/tmp', '/scratch', '/') for path in pathlib.Path(root).glob('*/*.ipynb')]\n"
    "for path in paths: path.write_text('forged')\n"
    "os._exit(0)",
    "swallows_cells": "shell = get_ipython()\n"
    "from IPython.core.interactiveshell import ExecutionResult\n"
    "async def nothing(*arguments, **named): return ExecutionResult(None)\n"
    "shell.run_cell_async = nothing",
    "hides_its_error": "get_ipython()._showtraceback = lambda *words, **named: None\n1 / 0",
    "prints_right": "import builtins\nbuiltins.print = lambda *words, **named: None",
    "breaks_sending": "from autoscaler_env.grading import answers\nanswers.collect = None",
    "breaks_papermill": "import nbformat, papermill\nnbformat.write = papermill.execute_notebook = None\nos._exit(0)",
}

ENDLESS = {
    "loops": "while True: pass",
    "sleeps_through_interrupts": "import signal, time\n"
    "for number in (signal.SIGINT, signal.SIGTERM): signal.signal(number, signal.SIG_IGN)\n"
    "while True: time.sleep(1)",
    "prints_beneath_python": "while True: os.write(1, b'x' * 1_000_000)",
}


SAMPLE = (
    "exits_as_in_ipython",
    "kills_its_parent",
    "fork_bomb",
    "memory",
    "prints",
    "network",
    "writes_outside",
    "reads_the_secret_days",
    "makes_a_namespace",
    "swallows_cells",
    "hides_its_error",
)
"""One notebook of each kind, for the normal run."""

REASONS = {
    "raises": "ZeroDivisionError",
    "exits_as_in_ipython": "SystemExit",
    "asks": "StdinNotImplementedError",
    "prints": "outputs pass 2 MB",
    "memory": "MemoryError",
    "network": "refused",
    "internet": "unreachable",
    "reads_the_secret_days": "FileNotFoundError",
    "reads_another_submission": "FileNotFoundError",
    "writes_outside": "Error",
    "sees_processes": "AssertionError",
    "makes_a_namespace": "CalledProcessError",
    "swallows_cells": "did not come to its end",
    "hides_its_error": "ZeroDivisionError",
}
"""What the report of a notebook says."""


@dataclass
class Outcome:
    """The results of grading several submissions."""

    sandbox: Sandbox
    reports: dict
    outside: Path
    connections: list = field(default_factory=list)


def write(path, **changed):
    """Write the small course, some cells with another source, by id."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = [
        nbformat.v4.new_code_cell(changed.get(name, source), id=name, metadata={"tags": [tag] if tag else []})
        for name, tag, source in CELLS
        if name in changed or name != "mine"
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path.parent.parent


@pytest.fixture(scope="session")
def sandbox():
    """Return the strongest sandbox of this machine; skip aloud without one, and fail where it was promised."""
    if sys.platform != "linux" or shutil.which("bwrap") is None:
        is_missing("bubblewrap is not installed")
    return find_sandbox()


def grade(root, sandbox, hostile, *, limits=LIMITS, port=9, before=False, after=True, others=()):
    """Grade hostile submissions, with an honest one before them, after them, or both."""
    root = root.resolve()
    write(root / "course" / "notebooks" / "01_tiny.ipynb")
    honest = write(root / "in" / "a_honest" / "notebooks" / "01_tiny.ipynb", answer="answer_1 = secret")
    values = {
        "port": port,
        "outside": str(root / "outside"),
        "home": str(Path.home()),
        "reports": root / "out",
        "honest": honest / "notebooks" / "01_tiny.ipynb",
        "token": TOKEN,
    }
    sources = [honest] if before else []
    for name, code in hostile.items():
        for word, value in values.items():
            code = code.replace(f"@{word}", str(value))
        sources.append(write(root / "in" / name / "notebooks" / "01_tiny.ipynb", mine=code, answer="answer_1 = secret"))
    sources += others
    if after:
        sources.append(write(root / "in" / "z_honest" / "notebooks" / "01_tiny.ipynb", answer="answer_1 = 0.25"))
    course = Course((root / "course" / "notebooks" / "01_tiny.ipynb",), root / "no models")
    rubric = Rubric(models=Models(expected=()), limits=limits)
    reports = Grading(root / "out", rubric, sandbox, course=course).run(sources, WORKERS, progress=False)
    return Outcome(sandbox, {report.name: report for report in reports}, root / "outside")


def state(report):
    (item,) = report.parts["notebooks"]
    return item.state, item.reason


def left_over():
    """Return the processes that notebooks left behind."""
    return [process for process in psutil.process_iter(["cmdline"]) if TOKEN in " ".join(process.info["cmdline"] or [])]


def check_that_none_passes(outcome, names):
    """Check that hostile notebooks fail and do no harm, and that the honest ones around them pass."""
    for name in names:
        assert state(outcome.reports[name])[0] == "failed", name
        assert outcome.reports[name].points("notebooks") == 0, name
        assert state(outcome.reports[name])[1].isprintable(), name
        assert REASONS.get(name, "") in state(outcome.reports[name])[1], name
    for name in ("a_honest", "z_honest"):
        if name in outcome.reports:
            assert state(outcome.reports[name])[0] == "passed", outcome.reports[name]
            assert outcome.reports[name].points() == 60
    assert not outcome.connections
    assert not outcome.outside.exists()
    assert not Path("/usr", TOKEN).exists()
    assert not list((outcome.outside.parent / "out").glob("*.txt"))
    assert not left_over()


@pytest.mark.parametrize(
    "names", [pytest.param(SAMPLE, id="sample"), pytest.param(tuple(HOSTILE), id="all", marks=pytest.mark.corpus)]
)
class TestHostileNotebooks:
    pytestmark = executes_notebooks

    def test_no_hostile_notebook_passes_or_does_harm(self, names, sandbox, tmp_path):
        (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04 no zip")
        others = [tmp_path / "none", tmp_path / "broken.zip"]
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.settimeout(0.1)
            hostile = {name: HOSTILE[name] for name in names}
            outcome = grade(tmp_path, sandbox, hostile, port=server.getsockname()[1], before=True, others=others)
            with contextlib.suppress(TimeoutError):
                outcome.connections.append(server.accept())
        check_that_none_passes(outcome, names)
        failing = {"raises", "no_python", "asks", "exits", "exits_as_in_ipython"}  # they cost no answer after them
        for name in failing & set(names):
            assert outcome.reports[name].points("exercises") == 50, outcome.reports[name]
        for name in ("none", "broken"):  # what is not a submission does not stop the others
            assert outcome.reports[name].key == {}
            assert outcome.reports[name].notes[0].startswith("not graded: ")


@pytest.mark.parametrize("names", [("loops",), pytest.param(tuple(ENDLESS), marks=pytest.mark.corpus)])
class TestEndlessNotebooks:
    pytestmark = executes_notebooks

    def test_notebooks_without_end_are_ended(self, names, sandbox, tmp_path):
        endless = {name: ENDLESS[name] for name in names}
        outcome = grade(tmp_path, sandbox, endless, limits=replace(LIMITS, seconds=SECONDS), after=False)
        check_that_none_passes(outcome, names)
        assert state(outcome.reports["loops"])[1] == f"it took longer than {SECONDS} s"


NAMESPACES = """
import ctypes, errno, os, socket, subprocess, threading
from autoscaler_env.grading.kernel import forbid_namespaces
forbid_namespaces()
system = ctypes.CDLL(None, use_errno=True)
for flag in (0x10000000, 0x00020000, 0x40000000):  # user, mount, network
    assert system.unshare(flag) == -1 and ctypes.get_errno() == errno.EPERM
assert subprocess.run(["unshare", "-Ur", "true"], capture_output=True).returncode == 1
assert system.mount(b"none", b"/tmp", b"tmpfs", 0, None) == -1 and ctypes.get_errno() == errno.EPERM
assert system.memfd_create(b"x", 0) == -1 and ctypes.get_errno() == errno.EPERM
for family in (40, 17, 38):  # vsock, packet, alg
    assert system.socket(family, 1, 0) == -1 and ctypes.get_errno() == errno.EAFNOSUPPORT, family
for family in (socket.AF_UNIX, socket.AF_INET):
    socket.socket(family).close()
socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close()
thread = threading.Thread(target=print, args=("a thread",), kwargs={"flush": True})
thread.start()
thread.join()
print(subprocess.run(["echo", "a process"], capture_output=True, text=True).stdout)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the filter is one of Linux")
def test_a_kernel_makes_threads_and_processes_but_no_namespaces():
    done = subprocess.run([sys.executable, "-c", NAMESPACES], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.split() == ["a", "thread", "a", "process"]


GRADER = """
import json, os, sys
from pathlib import Path
sys.path.insert(0, os.environ["TESTS"])
from test_grading_sandbox import Sandbox, grade
sandbox = Sandbox(**json.loads(os.environ["SANDBOX"]))
before = os.environ["SENT"] == "SIGINT"
grade(Path(os.environ["ROOT"]), sandbox, {"sits": os.environ["CODE"]}, before=before, after=False)
"""


DOCKER = """#!{python}
# Takes the place of docker: does with bubblewrap what docker's options demand.
import os, pathlib, sys
log = pathlib.Path({log!r})
words = sys.argv[1:]
log.open("a").write(" ".join(words[:3]) + "\\n")
if words[0] == "rm":
    sys.exit()
assert words.pop(0) == "run"
flags, values = [], {{}}
while words[0].startswith("--"):
    option = words.pop(0)
    if option in ("--rm", "--read-only"):
        flags.append(option)
    else:
        values.setdefault(option, []).append(words.pop(0))
image, program, *rest = words
assert image == "course:1" and program == "python" and flags == ["--rm", "--read-only"]
assert values["--network"] == ["none"] and values["--cap-drop"] == ["ALL"]
command = ["bwrap", "--unshare-pid", "--unshare-net", "--die-with-parent", "--clearenv"]
command += ["--proc", "/proc", "--dev", "/dev"]
for top in pathlib.Path("/").iterdir():
    if top.name not in ("proc", "dev", "tmp", "sys"):
        command += ["--symlink", os.readlink(top), top] if top.is_symlink() else ["--ro-bind", top, top]
for option in values["--tmpfs"]:
    command += ["--perms", "1777", "--tmpfs", option.split(":")[0]]
for folder in {folders!r}:  # an image has its own Python; this one may lie below the folder that is hidden above
    if pathlib.Path(folder).parts[1] == "tmp":
        command += ["--ro-bind", folder, folder]
for option in values["--volume"]:
    outside, inside, *mode = option.split(":")
    command += ["--ro-bind" if mode == ["ro"] else "--bind", outside, inside]
for option in values["--env"]:
    command += ["--setenv", *option.split("=", 1)]
command += ["--chdir", *values["--workdir"], "--", {python!r}, *rest]
os.execvp("bwrap", [str(word) for word in command])
"""


class TestOtherSandboxes:
    pytestmark = executes_notebooks

    @pytest.mark.parametrize("sent", ["SIGINT", "SIGKILL"])
    def test_an_interrupted_grading_leaves_no_process_and_its_finished_reports(self, tmp_path, sandbox, sent):
        variables = {
            "TESTS": str(Path(__file__).parent),
            "ROOT": str(tmp_path),
            "CODE": f"{LEAVE}\nimport time\ntime.sleep(600)",
            "SANDBOX": json.dumps(asdict(sandbox)),
            "SENT": sent,
        }
        first, deadline = tmp_path / "out" / "a_honest" / "report.json", time.monotonic() + LIMITS.seconds
        command = [sys.executable, "-c", GRADER]
        with subprocess.Popen(command, env=os.environ | variables, stderr=subprocess.DEVNULL) as grader:
            while not (left_over() and (first.exists() or sent == "SIGKILL")):
                assert grader.poll() is None and time.monotonic() < deadline
                time.sleep(0.1)
            grader.send_signal(getattr(signal, sent))
            assert grader.wait(LIMITS.seconds) != 0
        while left_over() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not left_over()
        if sent == "SIGINT":
            assert read_report(first.parent).points() == 60
        assert read_report(tmp_path / "out" / "sits") is None

    def test_an_ordinary_user_has_a_sandbox_too(self, tmp_path, sandbox):
        ordinary = first_working(bubblewrap_sandboxes()[-1:])
        assert not ordinary.as_root
        names = ("fork_bomb", "writes_beside_its_sockets", "reads_home")
        check_that_none_passes(grade(tmp_path, ordinary, {name: HOSTILE[name] for name in names}), names)

    @pytest.mark.skipif(sys.platform == "win32", reason="Windows does not show which processes were left behind")
    def test_without_a_sandbox_processes_that_are_left_behind_are_ended(self, tmp_path):
        names = ("leaves_processes",)
        outcome = grade(tmp_path, NO_SANDBOX, {name: HOSTILE[name] for name in names})
        check_that_none_passes(outcome, names)
        assert outcome.reports["z_honest"].sandbox.startswith("No sandbox")

    def test_a_container_is_a_sandbox(self, tmp_path, sandbox, monkeypatch):
        log, program = tmp_path / "log", tmp_path / "bin" / "docker"
        program.parent.mkdir()
        folders = sorted({sys.base_prefix, sys.prefix})
        program.write_text(DOCKER.format(python=sys.executable, log=str(log), folders=folders))
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
        container = find_sandbox("course:1")
        assert "container of course:1" in container.description
        names = ("network", "writes_outside", "raises")
        outcome = grade(tmp_path / "graded", container, {name: HOSTILE[name] for name in names})
        check_that_none_passes(outcome, names)
        assert log.read_text().count("rm --force") == len(outcome.reports) + 1  # one for the course's own notebook


IN_A_CONTAINER = """
import os, sys
from pathlib import Path
sys.path.insert(0, os.environ["TESTS"])
from test_grading_sandbox import HOSTILE, REASONS, check_that_none_passes, find_sandbox, grade
from autoscaler_env.grading.kernel import forbid_namespaces
forbid_namespaces()
sandbox = find_sandbox(own_user=True)
assert sandbox.kind == "user", sandbox
REASONS["reads_the_secret_days"] = "PermissionError"
names = ("kills_all", "writes_to_the_package", "reads_the_secret_days", "leaves_processes")
check_that_none_passes(grade(Path(os.environ["ROOT"]), sandbox, {name: HOSTILE[name] for name in names}), names)
"""


class TestOwnUser:
    pytestmark = executes_notebooks

    @pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="such a container runs as root")
    def test_in_a_container_that_allows_no_sandbox_a_user_of_its_own_protects_the_grader(self, sandbox):
        """The container has the rights that docker leaves to root. All users can read Python and the folder there."""
        assert sandbox.as_root
        command = [sandbox.program, "--unshare-pid", "--dev-bind", "/", "/", "--proc", "/proc"]
        command += ["--perms", "0755", "--tmpfs", str(Path.home())]
        for folder in dict.fromkeys((sys.base_prefix, sys.prefix, str(Path(__file__).parents[1]))):
            above = [path for path in reversed(Path(folder).parents) if Path.home() in path.parents]
            command += [word for path in above for word in ("--perms", "0755", "--dir", str(path))]
            command += ["--bind", folder, folder] if Path.home() in Path(folder).parents else []
        command += ["--cap-drop", "ALL"]
        for right in ("CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "SETGID", "SETUID"):
            command += ["--cap-add", f"CAP_{right}"]
        with tempfile.TemporaryDirectory() as root:
            Path(root).chmod(0o755)
            done = subprocess.run(
                [*command, "--", sys.executable, "-c", IN_A_CONTAINER],
                env=os.environ | {"TESTS": str(Path(__file__).parent), "ROOT": root},
                capture_output=True,
                text=True,
                check=False,
            )
        assert done.returncode == 0, done.stderr[-2_000:]


# Without an installed sandbox; no notebook runs.


@pytest.fixture
def no_programs(monkeypatch):
    """Let no program be found."""
    monkeypatch.setattr("shutil.which", lambda name: None)


def test_without_a_sandbox_grading_refuses_and_names_the_alternatives(no_programs, tmp_path, capsys):
    (tmp_path / "ann").mkdir()
    assert main(["grade", str(tmp_path / "ann"), "--output", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert "bubblewrap" in error and "--i-trust-this-code" in error and "--container" in error
    assert not (tmp_path / "out").exists()


def test_on_other_systems_than_linux_grading_goes_on_only_with_trust_and_reports_it(monkeypatch):
    for platform in ("darwin", "win32"):
        monkeypatch.setattr("sys.platform", platform)
        with pytest.raises(ValueError, match=f"bubblewrap is for Linux only, and this is {platform}"):
            find_sandbox()
        trusted = find_sandbox(trusted=True)
        assert trusted.kind == "none" and trusted.description.startswith("No sandbox")
        assert platform in trusted.description


def test_a_container_needs_a_program_that_runs_it(no_programs):
    with pytest.raises(ValueError, match="neither docker nor podman"):
        find_sandbox("image", trusted=True)


def test_a_sandbox_that_does_not_work_is_not_used(monkeypatch, tmp_path):
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'No permissions to create new namespace' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("shutil.which", lambda name: str(broken))
    with pytest.raises(ValueError, match="does not work: No permissions to create new namespace"):
        find_sandbox()


def test_a_user_of_its_own_is_no_sandbox_unless_asked_for_and_needs_root(monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    with pytest.raises(ValueError, match="bubblewrap is not installed"):
        find_sandbox()
    with pytest.raises(ValueError, match="own_user: needs root on Linux, and setpriv"):
        find_sandbox(own_user=True)
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}" if name == "setpriv" else None)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(ValueError, match="own_user: needs root on Linux"):
        find_sandbox(own_user=True)


def test_a_user_of_its_own_gets_no_rights_and_no_variables_of_the_grader(monkeypatch, tmp_path):
    monkeypatch.setenv("SECRET", "of the grader")
    shared = SharedFolders(tmp_path)
    first, second = (Sandbox("user", "", "/bin/setpriv").launch(shared, LIMITS) for _ in range(2))
    assert first.command[:3] == ["/bin/setpriv", "--no-new-privs", "--"]
    specification = json.loads(first.command[-1])
    assert specification["user"] == first.user >= 2**20 and first.user != second.user
    assert specification["limits"]["RLIMIT_NPROC"] == LIMITS.processes
    assert Path(specification["scratch"]).parent == tmp_path
    assert first.environment and "SECRET" not in first.environment


@pytest.mark.skipif(os.name == "nt", reason="needs modes of files")
def test_a_folder_that_a_user_of_its_own_cannot_pass_is_named_and_no_student_s_fault(tmp_path, monkeypatch):
    output = tmp_path / "out"
    (output / "reference").mkdir(parents=True)
    output.chmod(0o700)
    closed = next(each for each in (*reversed(tmp_path.parents), tmp_path, output) if not each.stat().st_mode & 0o001)
    settings = Settings((CourseNotebook(course_notebooks()[0]),), tmp_path, output / "reference", {}, Rubric(), seed=0)
    with (
        Executor(1, Sandbox("user", "", "/bin/setpriv"), LIMITS) as executor,
        pytest.raises(GraderError, match=f"cannot pass through {re.escape(str(closed))}: let all users pass"),
    ):
        executor.execute(Submission("ann", tmp_path, {}, {}), settings)

    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}" if name == "setpriv" else None)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("sys.base_prefix", str(output))
    with pytest.raises(ValueError, match=f"own_user: .* is in {re.escape(str(closed))}, which only its owner can pass"):
        find_sandbox(own_user=True)
