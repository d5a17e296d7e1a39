"""A real browser, and servers on this machine for it to look at."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager, suppress
from types import SimpleNamespace

import pytest
from needs import is_missing
from playwright.sync_api import expect, sync_playwright

from autoscaler_env.paths import project_root

PATIENCE = 180
"""Seconds until something that should happen counts as not happening."""


@pytest.fixture(scope="session")
def screenshots():
    """Return the folder of screenshots."""
    folder = project_root() / "build" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def browser():
    """Return the system's chromium; skip aloud without it, and fail where it was promised."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        is_missing("chromium is not installed")
    with sync_playwright() as playwright:
        expect.set_options(timeout=1000 * PATIENCE)
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def windows(browser):
    """Give a function that opens a window: `window(width=1280, dark=False)` returns its page."""
    contexts = []

    def open_window(width=1280, height=1000, *, dark=False, density=1):
        contexts.append(
            browser.new_context(
                viewport={"width": width, "height": height},
                color_scheme="dark" if dark else "light",
                device_scale_factor=density,
                bypass_csp=True,  # the test's own scripts; the page's are checked without it
            )
        )
        contexts[-1].set_default_timeout(1000 * PATIENCE)
        return contexts[-1].new_page()

    yield open_window
    for context in contexts:
        context.close()


@pytest.fixture
def window(browser):
    """Return a function that opens a window for a test."""
    with windows(browser) as open_window:
        yield open_window


@pytest.fixture(scope="module")
def shared_window(browser):
    """Return a function that opens a window for the tests of a file."""
    with windows(browser) as open_window:
        yield open_window


def free_port():
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def running(command, log, **options):
    """Run a command with all that it starts, its output in a file, and end it as closing its terminal would."""
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True, **options)
    try:
        yield process
    finally:
        for number, seconds in ((signal.SIGTERM, 10), (signal.SIGKILL, 10)):
            if process.poll() is None:
                os.killpg(process.pid, number)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(seconds)


def wait_for(condition, what, log):
    """Wait until a condition holds, and return what it returned; else say what is missing, with the end of the log."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if found := condition():
            return found
        time.sleep(0.1)
    pytest.fail(f"{what} after {PATIENCE} s:\n{log.read_text()[-2000:]}")


@pytest.fixture(scope="session")
def demo_page(tmp_path_factory):
    """Return the address that `make demo` says, at a free port."""
    make, root = shutil.which("make"), project_root()
    if make is None or not (root / ".venv" / "bin" / "autoscaler").exists():
        is_missing("needs make and the project's .venv")
    log = tmp_path_factory.mktemp("demo") / "server.log"
    with running([make, "--assume-old=.venv/.course", "demo", "ARGS=--port 0"], log, cwd=root):
        said = wait_for(lambda: re.search(r"http://127\.0\.0\.1:\d+/", log.read_text()), "make demo says nothing", log)
        yield said.group()


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """Return the `address` of JupyterLab, without a token, and the `folder` whose notebooks it shows."""
    root = tmp_path_factory.mktemp("lab")
    quiet = root / "settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    quiet.parent.mkdir(parents=True)
    quiet.write_text('{"fetchNews": "false", "checkForUpdates": false}')
    folder = root / "notebooks"
    folder.mkdir()
    port = free_port()
    homes = {f"JUPYTER_{name}_DIR": str(root / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    homes |= {"JUPYTERLAB_SETTINGS_DIR": str(root / "settings"), "IPYTHONDIR": str(root / "ipython")}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}"]
    command += ["--IdentityProvider.token=", "--ServerApp.port_retries=0", f"--notebook-dir={folder}"]
    command += ["--LabApp.expose_app_in_browser=True"]
    address, log = f"http://127.0.0.1:{port}", root / "lab.log"

    def answers():
        with suppress(OSError):
            urllib.request.urlopen(f"{address}/api/status", timeout=5).close()
            return True

    with running(command, log, cwd=root, env=os.environ | homes):
        wait_for(answers, "JupyterLab does not answer", log)
        yield SimpleNamespace(address=address, folder=folder)
