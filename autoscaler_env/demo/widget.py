"""The control room in a notebook: a thin view of `room.Room`."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import anywidget
import traitlets
from IPython import get_ipython

from autoscaler_env.demo.room import Room
from autoscaler_env.plotting.style import png_of

_HERE = Path(__file__).parent
_SCRIPTS = ("chart.js", "parts.js", "clock.js", "controls.js", "widget.js")


def script() -> str:
    """Return the JavaScript of the view: one module, its files one after another, without a build step."""
    return "".join((_HERE / name).read_text(encoding="utf-8") for name in _SCRIPTS)


def style_sheet() -> str:
    """Return the CSS of the view."""
    return (_HERE / "widget.css").read_text(encoding="utf-8")


def somebody_is_there() -> bool:
    """Return whether a person could be asked something: not under papermill or nbconvert, which allow no input."""
    kernel = getattr(get_ipython(), "kernel", None)
    return bool(getattr(kernel, "_allow_stdin", True))


class ControlRoom(anywidget.AnyWidget):
    """Two policies on the same day, live, with controls.

    The browser asks for each step when it is due, so a day stands still where nobody looks: in a deleted cell, a closed
    page, a restarted kernel. A document without a kernel (an executed notebook, an HTML page) shows the picture of the
    finished day instead.

    Args:
        arguments: Those of `Room`.
        named: Those of `Room`.

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
        self.room = Room(*arguments, **named)
        super().__init__(**self.room.news())
        self.on_msg(self._hear)

    def _hear(self, _widget: Any, message: Any, _buffers: Any) -> None:
        """Do what the browser asks for, and tell it in one message what has changed."""
        self.room.handle(message)
        with self.hold_sync():
            for name, value in self.room.news().items():
                setattr(self, name, value)

    def _repr_mimebundle_(self, **options: Any) -> Any:
        """Return the view if somebody is there to use it, and a picture for documents that cannot show it."""
        picture = base64.b64encode(png_of(self.room.picture())).decode()
        data = {"text/plain": f"Control room: {self.room.title}", "image/png": picture}
        if not somebody_is_there():
            return data, {}
        bundle = super()._repr_mimebundle_(**options)
        shown, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        return (shown or {}) | data, metadata
