"""The two hosts of the control room: the widget in a notebook and the page of the server."""

import asyncio
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.websocket import websocket_connect

from autoscaler_env import demo
from autoscaler_env.demo.room import Room
from autoscaler_env.demo.server import application, serve
from autoscaler_env.demo.session import GAME_DAYS
from autoscaler_env.demo.view import HEAD
from autoscaler_env.demo.widget import ControlRoom


def test_the_package_offers_its_names_and_imports_them_at_their_first_use():
    code = "import sys\nfrom autoscaler_env import demo\nassert 'anywidget' not in sys.modules\nassert demo.Room.handle"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert all(hasattr(demo, name) for name in demo.__all__)


def test_a_widget_handles_messages_sends_changes_and_leaves_other_widgets_alone():
    panel, other = (ControlRoom("threshold", "static", "STEADY") for _ in range(2))
    before = panel.frame
    panel._handle_custom_msg({"do": "step"}, [])
    assert panel.room.elapsed_steps == 1 and panel.frame != before and panel.why[0]["did"]
    assert other.room.elapsed_steps == 0 and other.frame == before


def test_a_document_gets_a_figure_beside_the_view_and_only_the_figure_if_nobody_can_use_it(monkeypatch):
    panel = ControlRoom("static", "threshold", "STEADY", steps=24)
    data, _ = panel._repr_mimebundle_()
    assert data["image/png"].startswith("iVBOR") and "widget-view" in str(list(data))
    monkeypatch.setattr("autoscaler_env.demo.widget.is_interactive", lambda: False)
    data, _ = panel._repr_mimebundle_()
    assert list(data) == ["text/plain", "image/png"]


def test_nothing_is_drawn_of_a_day_before_a_person_plays_it(monkeypatch):
    game = ControlRoom("you", "threshold", "STEADY", seed=None, steps=24)
    data, _ = game._repr_mimebundle_()
    assert "image/png" not in data and "widget-view" in str(list(data)) and game.room.seed > GAME_DAYS.start
    monkeypatch.setattr("autoscaler_env.demo.widget.is_interactive", lambda: False)
    document = ControlRoom("you", "threshold", "STEADY", seed=None, steps=24)
    assert document.room.seed == GAME_DAYS.start and "image/png" in document._repr_mimebundle_()[0]


@pytest.mark.notebook
@pytest.mark.filterwarnings("default")
def test_an_executed_notebook_holds_the_figure_and_no_view():
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    code = "from autoscaler_env.demo import ControlRoom\nControlRoom('threshold', 'static', 'STEADY')"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)], metadata=kernel)
    NotebookClient(notebook).execute()
    (output,) = notebook.cells[0].outputs
    assert set(output.data) == {"text/plain", "image/png"}
    assert "fleet (instances)" in output.metadata["image/png"]["alt"]


def test_the_view_loads_nothing_from_other_machines():
    assert "//" not in ControlRoom._css.replace("/*", "")
    addresses = [line for line in ControlRoom._esm.splitlines() if "http" in line]
    assert all("www.w3.org/2000/svg" in line for line in addresses)


def visit(check):
    """Run `check(address, rooms)` while the server of the page listens."""

    async def serve_and_check():
        (listening,) = bind_sockets(0, "127.0.0.1")
        port = listening.getsockname()[1]
        app = application(lambda: Room("threshold", "static"), port)
        server = HTTPServer(app)
        server.add_sockets([listening])
        await check(f"127.0.0.1:{port}", app.settings["rooms"])
        server.stop()
        await server.close_all_connections()

    with ThreadPoolExecutor(1) as pool:  # in a thread of its own: a browser's event loop can run in that of the tests
        pool.submit(asyncio.run, asyncio.wait_for(serve_and_check(), 180)).result()


def test_a_page_has_its_own_room_until_it_closes():
    async def check(address, rooms):
        pages = [await websocket_connect(f"ws://{address}/socket") for _ in range(2)]
        for page in pages:
            assert set(json.loads(await page.read_message())) == {"scene", "why", "card"}
            assert isinstance(await page.read_message(), bytes)
        await pages[0].write_message("no JSON")
        assert "errors" in json.loads(await pages[0].read_message())["scene"]
        await pages[0].read_message()
        await pages[0].write_message(json.dumps({"do": "step"}))
        assert "why" in json.loads(await pages[0].read_message())
        frame = np.frombuffer(await pages[0].read_message(), dtype=np.float32)
        assert frame[HEAD.index("elapsed_steps")] == 1
        assert len(rooms) == 2
        for page in pages:
            page.close()
        while rooms:
            await asyncio.sleep(0.01)

    visit(check)


def test_a_page_of_another_site_is_refused():
    async def check(address, rooms):
        for headers in ({"Origin": "http://example.com"}, {"Host": "example.com"}):
            with pytest.raises(HTTPClientError, match="403"):
                await websocket_connect(HTTPRequest(f"ws://{address}/socket", headers=headers))
            assert not rooms

    visit(check)


def test_a_port_out_of_range_is_refused():
    with pytest.raises(ValueError, match="port = 70000: must be from 0 to 65,535"):
        serve(Room, 70_000)
