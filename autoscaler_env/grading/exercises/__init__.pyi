from . import comparison as comparison
from . import dqn as dqn
from . import ppo as ppo
from . import study as study
from . import verification as verification

__all__ = ["comparison", "dqn", "ppo", "study", "verification"]
