from . import dqn as dqn
from . import own as own
from . import ppo as ppo

__all__ = ["dqn", "own", "ppo"]
