from . import dqn as dqn
from . import environment as environment
from . import meter as meter
from . import ppo as ppo
from . import yardsticks as yardsticks

__all__ = ["dqn", "environment", "meter", "ppo", "yardsticks"]
