from . import dqn as dqn
from . import ppo as ppo
from . import q_learning as q_learning

__all__ = ["dqn", "ppo", "q_learning"]
