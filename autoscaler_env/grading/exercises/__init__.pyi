from . import dqn as dqn
from . import ppo as ppo

__all__ = ["dqn", "ppo"]
