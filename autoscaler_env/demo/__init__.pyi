"""The public names, and the module that each comes from."""

from .explain import explanation
from .figures import draw_day, draw_score, save_gif
from .room import Room
from .score import score_card, with_optimum
from .server import serve
from .session import Person, Session, demo_days
from .terminal import closing_table
from .widget import ControlRoom

__all__ = [
    "ControlRoom",
    "Person",
    "Room",
    "Session",
    "closing_table",
    "demo_days",
    "draw_day",
    "draw_score",
    "explanation",
    "save_gif",
    "score_card",
    "serve",
    "with_optimum",
]
