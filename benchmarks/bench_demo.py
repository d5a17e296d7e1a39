"""How smoothly the control room runs, as a browser sees it: steps and pictures a second, and how far they lag behind.

`make bench` prints the table and saves it as `results/benchmark_demo.csv`. A browser (the system's chromium, driven by
Playwright) plays a day at several speeds, on the page of `make demo` and in JupyterLab. `--quick` shows that everything
runs; its numbers mean little.
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
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import nbformat
import pandas as pd
from playwright.sync_api import Browser, Page, expect, sync_playwright

from autoscaler_env.demo.controls import SPEEDS
from autoscaler_env.paths import Folders
from autoscaler_env.storage.files import write_atomically

PATIENCE = 180_000
"""Milliseconds until something that should happen counts as not happening."""

KERNEL_READY = """() => {
    const kernel = window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel;
    return kernel?.connectionStatus === "connected" && kernel.status === "idle";
}"""

PLAY = """async ([speed, seconds]) => {
    const canvas = document.querySelector(".asr canvas");
    const button = (name) => document.querySelector(`.asr button[title=${name}]`);
    const until = (condition) => new Promise((resolve) => {
        const look = () => (condition() ? resolve() : requestAnimationFrame(look));
        look();
    });
    button("Restart").click();
    await until(() => canvas.dataset.elapsedSteps === "0");
    button("Play").click();
    await until(() => Number(canvas.dataset.elapsedSteps) >= Math.min(speed, 10));
    const begun = performance.now(), step = Number(canvas.dataset.elapsedSteps), drawn = Number(canvas.dataset.drawn);
    const lags = [];
    let worst = 0, before = begun;
    await until(() => {
        const now = performance.now();
        worst = Math.max(worst, now - before);
        before = now;
        lags.push(Number(canvas.dataset.lag));
        return now - begun > 1000 * seconds || button("Play");
    });
    const passed = (performance.now() - begun) / 1000;
    const result = {
        steps: (Number(canvas.dataset.elapsedSteps) - step) / passed,
        pictures: (Number(canvas.dataset.drawn) - drawn) / passed,
        lag: lags.sort((a, b) => a - b)[Math.floor(lags.length / 2)],
        worst,
    };
    button("Pause")?.click();
    return result;
}"""


def answers(address: str) -> bool:
    """Return whether somebody listens: JupyterLab says its address before it does."""
    host, port = address.removeprefix("http://").strip("/").split(":")
    with suppress(OSError), socket.create_connection((host, int(port)), timeout=5):
        return True
    return False


@contextmanager
def running(command: list[str], says: str, **options: object) -> Iterator[str]:
    """Run a server with all that it starts until the block ends; give its address, which matches `says`."""
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, text=True, start_new_session=True, **options)  # type: ignore[call-overload]
        try:
            for _ in range(PATIENCE // 100):
                log.seek(0)
                if (found := re.search(says, log.read())) and answers(found.group()):
                    yield found.group()
                    return
                time.sleep(0.1)
            log.seek(0)
            raise RuntimeError(f"{' '.join(command)}: does not start\n{log.read()}")
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()


def open_page(browser: Browser, folder: Path) -> Iterator[tuple[str, Page]]:
    """Give the control room in each of the places it runs in, and what the place is called."""
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.set_default_timeout(PATIENCE)
    with running(
        [sys.executable, "-m", "autoscaler_env.cli.main", "demo", "--web", "--port=0"], r"http://[\d.:]+/"
    ) as address:
        page.goto(address)
        yield "page of make demo", page
    cell = nbformat.v4.new_code_cell("from autoscaler_env.demo.widget import ControlRoom\nControlRoom()")
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata=kernel), folder / "room.ipynb")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}"]
    command += ["--IdentityProvider.token=", "--LabApp.expose_app_in_browser=True", f"--notebook-dir={folder}"]
    homes = {f"JUPYTER_{name}_DIR": str(folder / name) for name in ("CONFIG", "DATA", "RUNTIME")}
    homes["JUPYTERLAB_SETTINGS_DIR"] = str(folder / "settings")
    with running(command, rf"http://127\.0\.0\.1:{port}/", env=os.environ | homes) as address:
        page.goto(f"{address}lab/tree/room.ipynb")
        page.wait_for_function(KERNEL_READY)
        page.evaluate("void jupyterapp.commands.execute('notebook:run-all-cells')")
        yield "JupyterLab", page
    page.close()


def measure(browser: Browser, speeds: list[int], seconds: float) -> pd.DataFrame:
    """Play in each place at each speed; a row for each."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for place, page in open_page(browser, Path(folder)):
            expect(page.locator(".asr canvas")).to_have_attribute("data-frame", re.compile(r"\d"), timeout=PATIENCE)
            page.get_by_role("combobox", name="traffic").select_option("SINUSOIDAL")
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
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="show that everything runs")
    parser.add_argument("--output", default=None, help="folder for results; the project's own by default")
    options = parser.parse_args()
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        sys.exit("chromium is not installed: the frame rate is measured in a browser")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        speeds = [20] if options.quick else [speed for speed in SPEEDS if speed >= 10]
        table = measure(browser, speeds, 1 if options.quick else 5)
        browser.close()
    print(table.to_string(index=False))
    content = table.to_csv(index=False).encode()
    write_atomically(Folders(options.output).results / "benchmark_demo.csv", lambda file: file.write(content))


if __name__ == "__main__":
    main()
