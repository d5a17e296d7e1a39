"""How smoothly the control room runs in a browser: steps and pictures per second, and the delay of their answers.

`make bench` prints the table and saves it as `results/benchmark_demo.csv`. A browser (the system's chromium, driven by
Playwright) plays a day at several speeds, on the page of `make demo` and in JupyterLab. `--quick` checks that
everything runs; its numbers mean little.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import nbformat
import pandas as pd
from playwright.sync_api import Browser, Page, expect, sync_playwright

from autoscaler_env.demo.controls import SPEEDS
from autoscaler_env.paths import Folders
from autoscaler_env.storage.files import write_atomically

PATIENCE = 180
"""Seconds to wait for an event before it counts as missing."""

DEMO = (sys.executable, "-m", "autoscaler_env.cli.main", "demo", "--web", "--port=0")
"""The command that serves the page."""

KERNEL_READY = """() => {
    const kernel = window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel;
    return kernel?.connectionStatus === "connected" && kernel.status === "idle";
}"""

PLAY = """async ([speed, seconds]) => {
    const canvas = document.querySelector(".asr canvas");
    const elapsedSteps = () => Number(canvas.dataset.elapsedSteps), pictures = () => Number(canvas.dataset.drawn);
    const button = (name) => document.querySelector(`.asr button[title=${name}]`);
    const until = (condition) => new Promise((resolve) => {
        const look = () => (condition() ? resolve() : requestAnimationFrame(look));
        look();
    });
    const paused = canvas.dataset.frame;
    button("Restart").click();
    await until(() => canvas.dataset.frame !== paused);
    const played = elapsedSteps();
    button("Play").click();
    await until(() => elapsedSteps() >= played + Math.min(speed, 10));
    const start = performance.now(), firstStep = elapsedSteps(), firstPicture = pictures();
    const lags = [];
    let worst = 0, before = start;
    await until(() => {
        const now = performance.now();
        worst = Math.max(worst, now - before);
        before = now;
        lags.push(Number(canvas.dataset.lag));
        return (now - start > 1000 * seconds && elapsedSteps() > firstStep) || button("Play");
    });
    const passed = (performance.now() - start) / 1000;
    const result = {
        steps: (elapsedSteps() - firstStep) / passed,
        pictures: (pictures() - firstPicture) / passed,
        lag: lags.sort((a, b) => a - b)[Math.floor(lags.length / 2)],
        worst,
    };
    button("Pause")?.click();
    return result;
}"""


class Lab(NamedTuple):
    """A running JupyterLab."""

    address: str
    notebooks: Path
    """The folder of the notebooks that it shows."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run the system's chromium.

    Raises:
        FileNotFoundError: It is not installed.
    """
    programs = [shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")]
    if not any(programs):
        raise FileNotFoundError("chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=next(filter(None, programs)), args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def server(
    command: Sequence[str], address: Callable[[str], str | None], log: Path, env: dict[str, str] | None = None
) -> Iterator[str]:
    """Run a server until the block ends, and give its address.

    Args:
        command: The command; the processes that it starts end with it.
        address: Returns the server's address once it answers, from the output of the command so far.
        log: A file for the output.
        env: The environment; the present one by default.

    Raises:
        RuntimeError: The server ended or did not answer in time; the message has the end of its output.
    """
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True, env=env)
    try:
        until = time.monotonic() + PATIENCE
        while not (found := address(log.read_text(errors="replace"))):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{' '.join(command)}: the server does not answer\n{log.read_text()[-2000:]}")
            time.sleep(0.1)
        yield found
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            if process.poll() is None:
                os.killpg(process.pid, number)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(10)


@contextmanager
def demo_server(folder: Path, command: Sequence[str] = DEMO) -> Iterator[str]:
    """Run the server of the page and give its address; its output goes to a file in the folder."""

    def printed(log: str) -> str | None:
        match = re.search(r"http://127\.0\.0\.1:\d+/", log)
        return match.group() if match else None

    with server(command, printed, folder / "demo.log") as address:
        yield address


@contextmanager
def jupyter_lab(folder: Path) -> Iterator[Lab]:
    """Run JupyterLab without a token; its settings and its notebooks are in the folder."""
    notebooks = folder / "notebooks"
    notebooks.mkdir()
    settings = folder / "settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    settings.parent.mkdir(parents=True)
    settings.write_text('{"fetchNews": "false", "checkForUpdates": false}')
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}/"
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}"]
    command += ["--IdentityProvider.token=", "--ServerApp.port_retries=0", "--LabApp.expose_app_in_browser=True"]
    command += [f"--notebook-dir={notebooks}"]
    homes = {f"JUPYTER_{name}_DIR": str(folder / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    homes |= {"JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"), "IPYTHONDIR": str(folder / "ipython")}

    def answers(log: str) -> str | None:
        with suppress(OSError):
            urllib.request.urlopen(f"{address}api/status", timeout=5).close()
            return address
        return None

    with server(command, answers, folder / "lab.log", os.environ | homes):
        yield Lab(address, notebooks)


def open_notebook(page: Page, lab: Lab, policies: str) -> None:
    """Open a notebook with a control room of some policies in JupyterLab, and run it."""
    cell = nbformat.v4.new_code_cell(f"from autoscaler_env.demo import ControlRoom\nControlRoom({policies})")
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata=kernel), lab.notebooks / "room.ipynb")
    page.goto(f"{lab.address}lab/tree/room.ipynb?reset")
    page.wait_for_function(KERNEL_READY)
    page.evaluate("void jupyterapp.commands.execute('notebook:run-all-cells')")


def measure(page: Page, place: str, speeds: Sequence[int], seconds: float) -> list[dict[str, object]]:
    """Play the control room of a page at several speeds.

    Args:
        page: The page that shows the control room, or will soon.
        place: The name of the page in the table.
        speeds: Steps per second to ask for.
        seconds: How long to play at each speed.

    Returns:
        A row per speed.
    """
    canvas = page.locator(".asr canvas")
    expect(canvas).to_have_attribute("data-frame", re.compile(r"\d"), timeout=1000 * PATIENCE)
    page.get_by_role("combobox", name="workload").select_option("SINUSOIDAL")
    rows: list[dict[str, object]] = []
    for speed in speeds:
        page.get_by_role("combobox", name="speed").select_option(str(speed))
        seen = page.evaluate(PLAY, [speed, seconds])
        rows.append(
            {
                "place": place,
                "asked_steps_per_s": speed,
                "steps_per_s": round(seen["steps"], 1),
                "pictures_per_s": round(seen["pictures"], 1),
                "median_lag_ms": round(seen["lag"]),
                "longest_pause_ms": round(seen["worst"]),
            }
        )
    return rows


def benchmark(browser: Browser, demo: str, lab: Lab, *, quick: bool = False) -> pd.DataFrame:
    """Measure the control room in each place that shows it.

    Args:
        browser: The browser.
        demo: Address of the page of `make demo`.
        lab: JupyterLab.
        quick: Measure one speed for a moment only, in the notebook with rules, which need no network.

    Returns:
        A row per place and speed.
    """
    speeds, seconds = ([40], 0.2) if quick else ([speed for speed in SPEEDS if speed >= 10], 5.0)
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.set_default_timeout(1000 * PATIENCE)
    page.goto(demo)
    rows = measure(page, "page of make demo", speeds, seconds)
    open_notebook(page, lab, "'target-tracking', 'threshold'" if quick else "")
    rows += measure(page, "JupyterLab", speeds, seconds)
    page.close()
    return pd.DataFrame(rows)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="check that everything runs")
    parser.add_argument("--output", default=None, help="folder for the results; the project by default")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name, chromium() as browser:
        folder = Path(name)
        with demo_server(folder) as demo, jupyter_lab(folder) as lab:
            table = benchmark(browser, demo, lab, quick=options.quick)
    print(table.to_string(index=False))
    content = table.to_csv(index=False).encode()
    write_atomically(Folders(options.output).results / "benchmark_demo.csv", lambda file: file.write(content))


if __name__ == "__main__":
    main()
