"""The control room in a notebook: a widget that passes messages between a `Room` and the browser."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import anywidget
import traitlets
from IPython import get_ipython

from autoscaler_env.demo.room import Room
from autoscaler_env.demo.session import GAME_DAYS
from autoscaler_env.plotting.style import png_metadata, png_of

_HERE = Path(__file__).parent
_SCRIPTS = ("chart.js", "dom.js", "clock.js", "controls.js", "app.js")


def script() -> str:
    """Return the JavaScript of the view as one module: its files, one after another, without a build step."""
    return "".join((_HERE / name).read_text(encoding="utf-8") for name in _SCRIPTS)


def style_sheet() -> str:
    """Return the CSS of the view."""
    return (_HERE / "widget.css").read_text(encoding="utf-8")


def is_interactive() -> bool:
    """Return whether a person can use the notebook; papermill and nbconvert execute it without input."""
    kernel = getattr(get_ipython(), "kernel", None)
    return bool(getattr(kernel, "_allow_stdin", True))


class ControlRoom(anywidget.AnyWidget):
    """Two policies live on the same day, with controls.

    The browser asks for each step when it is due. Without a browser the day stands still: after its cell is deleted,
    the page is closed or the kernel is restarted. A document without a kernel (an executed notebook, an HTML page)
    shows a figure of the finished day instead. Where a person can play, no figure is made of a day that the person is
    going to play; where nobody can, `seed=None` means the first of `GAME_DAYS`, so that documents repeat themselves.

    Args:
        arguments: The arguments of `Room`.
        named: The arguments of `Room`.

    Example:
        >>> panel = ControlRoom("threshold", "static", "STEADY")
        >>> panel.room.handle({"do": "step"})
        >>> panel.room.elapsed_steps
        1
    """

    _esm = script()
    _css = style_sheet()
    frame = traitlets.Bytes().tag(sync=True)
    scene = traitlets.Dict().tag(sync=True)
    why: Any = traitlets.List().tag(sync=True)
    card = traitlets.Dict(allow_none=True, default_value=None).tag(sync=True)

    def __init__(self, *arguments: Any, **named: Any) -> None:
        if "seed" in named and named["seed"] is None and not is_interactive():
            named["seed"] = GAME_DAYS.start
        self.room = Room(*arguments, **named)
        super().__init__(**self.room.changes())
        self.on_msg(self._receive)

    def _receive(self, _widget: Any, message: Any, _buffers: Any) -> None:
        """Handle a message of the browser, and send everything that changed in one message."""
        self.room.handle(message)
        with self.hold_sync():
            for name, value in self.room.changes().items():
                setattr(self, name, value)

    def _repr_mimebundle_(self, **options: Any) -> Any:
        """Return the view if a person can use it, and a figure for documents that cannot show the view."""
        data, about = {"text/plain": f"Control room: {self.room.title}"}, {}
        if self.room.lanes.person is None or not is_interactive():
            figure = self.room.figure()
            data["image/png"] = base64.b64encode(png_of(figure)).decode()
            about["image/png"] = png_metadata(figure)
        if not is_interactive():
            return data, about
        bundle = super()._repr_mimebundle_(**options)
        view, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        return (view or {}) | data, metadata | about
