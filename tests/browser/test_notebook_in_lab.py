"""The control room in JupyterLab: a person plays in notebook 7, deletes a cell and restarts the kernel."""

import os
import re
import shutil
import signal

import nbformat
import pytest
from playwright.sync_api import expect

from autoscaler_env.paths import Folders, notebook_sources

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("default")]

KERNEL_READY = """(name) => {
    const { session } = window.jupyterapp?.shell.currentWidget?.sessionContext ?? {};
    const kernel = session?.name === name ? session.kernel : null;
    return kernel?.connectionStatus === "connected" && kernel.status === "idle";
}"""

LAST_CELL_RAN = """() => {
    const cells = jupyterapp.shell.currentWidget.content.widgets.filter((cell) => cell.model.type === "code");
    const outputs = cells.flatMap((cell) => cell.model.outputs.toJSON());
    const error = outputs.find((output) => output.output_type === "error");
    if (error) throw new Error(`${error.ename}: ${error.evalue}`);
    return cells.at(-1).model.executionCount !== null;
}"""

ASK_KERNEL = """async (code) => {
    const kernel = jupyterapp.shell.currentWidget.sessionContext.session.kernel;
    const asked = kernel.requestExecute({ code: `print(${code})`, store_history: false });
    let answer = "";
    asked.onIOPub = (message) => {
        if (message.header.msg_type === "stream") answer += message.content.text;
        if (message.header.msg_type === "error") answer += message.content.evalue;
    };
    await asked.done;
    return answer.trim();
}"""

SHOW_CELL = """async (name) => {
    const notebook = jupyterapp.shell.currentWidget.content;
    const index = notebook.widgets.findIndex((cell) => cell.model.sharedModel.source.startsWith(name + " ="));
    notebook.activeCellIndex = index;
    await notebook.scrollToItem(index, "start");
}"""

DRAWN_IN = """([canvas, [red, green, blue]]) => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    for (let at = 0; at < data.length; at += 4) {
        if (data[at] === red && data[at + 1] === green && data[at + 2] === blue && data[at + 3] === 255) return true;
    }
    return false;
}"""


@pytest.fixture(scope="module")
def notebook_7(lab, shared_window, tmp_path_factory):
    """Return a page with notebook 7 after all its cells have run, once for all tests; it writes to a temporary folder.

    Its two control rooms, `panel` and `game`, are paused when a test starts; an earlier test may have played them.
    """
    name, folder = "seven.ipynb", tmp_path_factory.mktemp("seven")
    notebook = nbformat.read(notebook_sources() / "07_scaling_demo.ipynb", as_version=4)
    (parameters,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    parameters.source = parameters.source.replace('output = ""', f"output = {str(folder)!r}")
    shutil.copytree(Folders().models, folder / "models", ignore=shutil.ignore_patterns("checkpoints", "best"))
    nbformat.write(notebook, lab.notebooks / name)
    page = shared_window(1280, 1000)
    page.goto(f"{lab.address}lab/tree/{name}?reset")
    page.wait_for_function(KERNEL_READY, arg=name)
    page.evaluate("void jupyterapp.commands.execute('notebook:run-all-cells')")
    page.wait_for_function(LAST_CELL_RAN)
    return page


def control_room(page, name):
    """Scroll to the control room in a variable of the notebook and return it."""
    page.evaluate(SHOW_CELL, name)
    room = page.locator(".jp-Cell.jp-mod-active .asr")
    expect(room.locator("canvas")).to_have_attribute("data-frame", re.compile(r"\d"))
    return room


def play(room):
    """Press Play and wait until the first step is over."""
    room.get_by_role("button", name="Play", exact=True).click()
    expect(room.locator("canvas")).to_have_attribute("data-elapsed-steps", re.compile(r"[1-9]"))


def test_a_person_watches_and_plays_in_notebook_7(notebook_7, screenshots):
    page = notebook_7

    def kernel(code):
        return page.evaluate(ASK_KERNEL, code)

    panel = control_room(page, "panel")
    canvas = panel.locator("canvas")
    play(panel)
    panel.get_by_role("combobox", name="second policy").select_option("static")
    expect(panel.locator(".asr-why")).to_contain_text("static")
    panel.get_by_role("button", name="Pause").click()
    expect(panel.get_by_role("button", name="Play")).to_be_visible()
    page.screenshot(path=screenshots / "lab_panel.png")
    assert kernel("panel.room.lanes.choices[1], panel.room.playing") == "static False"
    assert kernel("panel.room.elapsed_steps") == canvas.get_attribute("data-elapsed-steps")
    assert (
        0
        < int(kernel("panel.room.lanes.all[1].handovers[0]['elapsed_steps']"))
        < int(kernel("panel.room.elapsed_steps"))
    )

    panel.get_by_role("textbox", name="day").fill("tomorrow")
    panel.get_by_role("textbox", name="day").press("Enter")
    expect(panel.locator(".asr-error[data-control=seed]")).to_contain_text("must be a whole number")

    game = control_room(page, "game")
    game.get_by_role("combobox", name="length").select_option("24")
    game.get_by_role("combobox", name="speed").select_option("40")
    expect(game.locator(".asr-bar strong")).to_contain_text("00:30")
    game.focus()
    active = page.evaluate("jupyterapp.shell.currentWidget.content.activeCellIndex")
    for step, key in enumerate(("ArrowUp", "ArrowUp", "ArrowDown"), start=7):
        page.keyboard.press(key)
        expect(game.locator("canvas")).to_have_attribute("data-elapsed-steps", str(step))
    assert kernel("game.room.lanes.all[0].session.history['action'][6:]") == "[2, 2, 0]"
    assert page.evaluate("jupyterapp.shell.currentWidget.content.activeCellIndex") == active
    play(game)
    score = game.locator(".asr-score")
    expect(score.get_by_role("columnheader", name="optimum")).to_be_visible()
    cost = score.get_by_role("row", name="Cost").get_by_role("cell").first
    shown = float((cost.text_content() or "").replace("$", "").replace(",", ""))
    # A page and Python round half a cent differently.
    assert shown == pytest.approx(float(kernel("float(game.room.lanes.all[0].session.state.cost)")), abs=0.0051)
    score.scroll_into_view_if_needed()
    page.screenshot(path=screenshots / "lab_score.png")


def restart_panel(page):
    """Scroll to the first control room, let the person play in it, and return it at 00:00."""
    panel = control_room(page, "panel")
    panel.get_by_role("combobox", name="first policy").select_option("you")
    panel.get_by_role("button", name="Restart").click()
    expect(panel.locator("canvas")).to_have_attribute("data-elapsed-steps", "0")
    return panel


def test_the_person_sees_the_first_arrivals_at_midnight(notebook_7):
    panel = restart_panel(notebook_7)
    arrivals = int(notebook_7.evaluate(ASK_KERNEL, "panel.room.lanes.first_arrivals"))
    expect(panel.locator(".asr-now").first).to_have_text(f"25 ready, {arrivals:,} requests in the first step")
    expect(panel.locator(".asr-call")).to_contain_text(f"{arrivals:,} requests arrive in the first step")


def test_keys_beside_the_card_play_and_keys_in_other_cells_do_not(notebook_7):
    page = notebook_7
    panel = restart_panel(page)
    canvas = panel.locator("canvas")
    cell = page.locator(".jp-Cell.jp-mod-active")
    index = "jupyterapp.shell.currentWidget.content.activeCellIndex"
    active = page.evaluate(index)
    cell.locator(".jp-InputPrompt").click()
    page.keyboard.press("ArrowUp")
    expect(canvas).to_have_attribute("data-elapsed-steps", "1")
    assert page.evaluate(index) == active, "the notebook took the key too"

    page.evaluate(f"{index} += 1")
    other = page.locator(".jp-Cell.jp-mod-active")
    other.locator(".jp-InputPrompt").click()
    page.keyboard.press("ArrowUp")
    page.wait_for_function(f"(active) => {index} === active", arg=active)
    other.locator(".cm-content").click()
    page.keyboard.press("ArrowRight")
    page.keyboard.press(".")
    expect(other.locator(".cm-content")).to_contain_text(".")
    page.keyboard.press("Backspace")
    assert page.evaluate(ASK_KERNEL, "panel.room.elapsed_steps") == "1"


def test_the_control_room_says_that_the_kernel_is_busy_until_the_answer_comes(notebook_7):
    page = notebook_7
    panel = restart_panel(page)
    # A cell that runs keeps some kernels from answering, others answer in a second thread: this one is stopped.
    kernel = int(page.evaluate(ASK_KERNEL, "__import__('os').getpid()"))
    os.kill(kernel, signal.SIGSTOP)
    panel.get_by_role("button", name="Step").click()
    note = panel.locator(".asr-busy-note")
    expect(note).to_contain_text("The kernel is busy, perhaps with another cell.")
    expect(panel.locator("canvas")).to_have_attribute("data-elapsed-steps", "0")
    os.kill(kernel, signal.SIGCONT)
    expect(note.locator("span")).to_be_empty()
    expect(panel.locator("canvas")).to_have_attribute("data-elapsed-steps", "1")


def test_the_chart_follows_the_theme_of_jupyterlab(notebook_7, screenshots):
    page = notebook_7
    panel = control_room(page, "panel")
    canvas = panel.locator("canvas").element_handle()
    grid = {"light": [225, 229, 233], "dark": [58, 65, 73]}
    assert page.evaluate(DRAWN_IN, [canvas, grid["light"]])
    page.evaluate("jupyterapp.commands.execute('apputils:change-theme', { theme: 'JupyterLab Dark' })")
    expect(panel).to_have_attribute("data-theme", "dark")
    page.wait_for_function(DRAWN_IN, arg=[canvas, grid["dark"]])
    assert not page.evaluate(DRAWN_IN, [canvas, grid["light"]])
    page.screenshot(path=screenshots / "lab_dark.png")


def test_the_clock_stops_without_a_view(notebook_7):
    page = notebook_7

    def kernel(code):
        return page.evaluate(ASK_KERNEL, code)

    untouched = kernel("game.room.counter, game.room.elapsed_steps")
    panel = control_room(page, "panel")
    play(panel)
    assert kernel("game.room.counter, game.room.elapsed_steps") == untouched, (
        "two control rooms do not disturb each other"
    )
    element = panel.element_handle()
    page.evaluate("void jupyterapp.commands.execute('notebook:delete-cell')")
    page.wait_for_function("(element) => !element.isConnected", arg=element)
    before = kernel("panel.room.counter, panel.room.playing")
    for _ in range(20):
        kernel("0")
    assert kernel("panel.room.counter, panel.room.playing") == before and before.endswith("True")

    game = control_room(page, "game")
    game.get_by_role("combobox", name="length").select_option("288")
    game.get_by_role("combobox", name="speed").select_option("5")
    expect(game.locator("canvas")).to_have_attribute("data-elapsed-steps", "24")
    play(game)
    page.evaluate("jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    assert kernel("'game' in globals()") == "False"
    stopped = game.locator("canvas").get_attribute("data-frame")
    assert int(game.locator("canvas").get_attribute("data-elapsed-steps")) < 288
    for _ in range(20):
        kernel("0")
    assert game.locator("canvas").get_attribute("data-frame") == stopped
