"""One browser for all tests, and the servers on this machine that it visits."""

import importlib.util
import shutil
import sys
from contextlib import contextmanager

import pytest
from needs import is_missing
from playwright.sync_api import expect

from autoscaler_env.paths import project_root


def load_benchmark(name):
    """Import a script from `benchmarks`; readme_pictures imports bench_demo by its name."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, project_root() / "benchmarks" / f"{name}.py")
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]


# The tests use the browser and the servers of the benchmark: one way to start them, tested by every test here.
bench_demo = load_benchmark("bench_demo")


@pytest.fixture(scope="session")
def benchmark_module():
    """Return a function that imports a script from `benchmarks`."""
    return load_benchmark


@pytest.fixture(scope="session")
def screenshots():
    """Return the folder of screenshots."""
    folder = project_root() / "build" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def browser():
    """Return the system's chromium; skip the test without it, or fail where CI promises it."""
    expect.set_options(timeout=1000 * bench_demo.PATIENCE)
    try:
        with bench_demo.chromium() as browser:
            yield browser
    except FileNotFoundError as missing:
        is_missing(str(missing))


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
                bypass_csp=True,  # for the scripts of the tests; test_page checks the page's policy in its headers
            )
        )
        contexts[-1].set_default_timeout(1000 * bench_demo.PATIENCE)
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
    """Return a function that opens a window for the tests of a module."""
    with windows(browser) as open_window:
        yield open_window


@pytest.fixture(scope="session")
def violations():
    """Return a function that has axe-core check a page: what is serious or critical, a line for each kind."""
    script = project_root() / "build" / "axe" / "node_modules" / "axe-core" / "axe.min.js"
    if not script.is_file():
        is_missing(f"axe-core is not installed: make {script.relative_to(project_root())}")

    def check(page):
        page.evaluate(script.read_text(encoding="utf-8"))
        found = page.evaluate("async () => (await axe.run(document, { resultTypes: ['violations'] })).violations")
        return [
            f"{each['id']}: {each['nodes'][0]['html']}" for each in found if each["impact"] in {"serious", "critical"}
        ]

    return check


@pytest.fixture(scope="session")
def demo_page(tmp_path_factory):
    """Return the address that `make demo` prints, at a free port."""
    make, root = shutil.which("make"), project_root()
    if make is None or not (root / ".venv" / "bin" / "autoscaler").exists():
        is_missing("needs make and the project's .venv")
    command = [make, f"--directory={root}", "--assume-old=.venv/.course", "demo", "ARGS=--port 0"]
    with bench_demo.demo_server(tmp_path_factory.mktemp("demo"), command) as address:
        yield address


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """Return a running JupyterLab: its `address` and its folder of `notebooks`."""
    with bench_demo.jupyter_lab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab
