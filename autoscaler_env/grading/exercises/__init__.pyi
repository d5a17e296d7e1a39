from . import baselines as baselines
from . import dqn as dqn
from . import environment as environment
from . import meter as meter
from . import ppo as ppo
from . import scaling as scaling

__all__ = ["baselines", "dqn", "environment", "meter", "ppo", "scaling"]
