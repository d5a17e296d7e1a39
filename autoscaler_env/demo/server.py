"""The control room as a web page on this machine: a small server with one room per open page.

The page shows the same view as the notebook; a socket takes the place of the kernel. The page loads nothing from other
machines, and its room ends when the page closes.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, HTTPError, RequestHandler
from tornado.websocket import WebSocketHandler

from autoscaler_env.demo.controls import LARGEST_TRACE
from autoscaler_env.demo.room import Room
from autoscaler_env.demo.widget import script, style_sheet

HOST = "127.0.0.1"
"""The address of this machine only: no other machine can reach the server."""


class _Local:
    """Refuses requests whose host is not this machine, so the pages of other sites cannot reach the server."""

    request: Any
    settings: dict[str, Any]

    def prepare(self) -> None:
        if self.request.host not in self.settings["hosts"]:
            raise HTTPError(403)


class _File(_Local, RequestHandler):
    """One of the three files of the page."""

    def initialize(self, content: str, kind: str) -> None:
        self._content, self._kind = content, kind

    def get(self) -> None:
        self.set_header("Content-Type", f"{self._kind}; charset=utf-8")
        self.set_header("Cache-Control", "no-store")
        self.set_header(
            "Content-Security-Policy",
            "default-src 'self'; img-src data:; style-src 'self' 'unsafe-inline'; script-src 'self' 'unsafe-inline'; "
            f"connect-src 'self' ws://{self.request.host}; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
        )
        self.finish(self._content)


class _Socket(_Local, WebSocketHandler):
    """A room that exists as long as its page is open."""

    def initialize(self, build: Callable[[], Room], rooms: set[Any]) -> None:
        self._build, self._rooms = build, rooms

    def check_origin(self, origin: str) -> bool:
        return origin.removeprefix("http://") in self.settings["hosts"]

    def open(self, *_: str) -> None:
        self._room = self._build()
        self._rooms.add(self)
        self._send_changes()

    def on_message(self, message: str | bytes) -> None:
        try:
            request = json.loads(message)
        except ValueError:
            request = None
        self._room.handle(request)
        self._send_changes()

    def on_close(self) -> None:
        self._rooms.discard(self)

    def _send_changes(self) -> None:
        changes = self._room.changes()
        frame = changes.pop("frame", None)
        if changes:
            self.write_message(json.dumps(changes))
        if frame is not None:
            self.write_message(frame, binary=True)


def application(build: Callable[[], Room], port: int) -> Application:
    """Return the web application with the page, its script, its style sheet and its socket.

    Args:
        build: Builds the room of a page.
        port: The port of the server; requests for another host or port are refused.
    """
    page = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
    files = {
        "/": (page, "text/html"),
        "/widget.js": (script(), "text/javascript"),
        "/widget.css": (style_sheet(), "text/css"),
    }
    handlers: list[Any] = [(path, _File, {"content": text, "kind": kind}) for path, (text, kind) in files.items()]
    rooms: set[Any] = set()
    handlers.append(("/socket", _Socket, {"build": build, "rooms": rooms}))
    return Application(
        handlers,
        hosts={f"{HOST}:{port}", f"localhost:{port}"},
        rooms=rooms,
        websocket_max_message_size=2 * LARGEST_TRACE,
        log_function=lambda handler: None,
    )


def serve(build: Callable[[], Room], port: int) -> None:
    """Print the address of the control room and serve it on this machine until Ctrl+C.

    Args:
        build: Builds the room of a page.
        port: The port; for 0, or if the port is in use, a free port is chosen.

    Raises:
        ValueError: The port is out of range, or a room cannot be built.
    """
    if not 0 <= port <= 65_535:
        raise ValueError(f"port = {port}: must be from 0 to 65,535")
    build()  # errors show here rather than in a page, and everything is imported and compiled before the first page
    try:
        asyncio.run(_serve(build, port))
    except KeyboardInterrupt:
        print("\nStopped.")


async def _serve(build: Callable[[], Room], port: int) -> None:
    try:
        sockets = bind_sockets(port, HOST)
    except OSError:
        sockets = bind_sockets(0, HOST)
    port = sockets[0].getsockname()[1]
    HTTPServer(application(build, port)).add_sockets(sockets)
    print(f"The control room is at http://{HOST}:{port}/ (Ctrl+C stops it)", flush=True)
    await asyncio.Event().wait()
