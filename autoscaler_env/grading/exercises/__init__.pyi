from . import dqn as dqn
from . import ppo as ppo
from . import scaling as scaling

__all__ = ["dqn", "ppo", "scaling"]
