from . import baselines as baselines
from . import comparison as comparison
from . import dqn as dqn
from . import environment as environment
from . import limits as limits
from . import meter as meter
from . import own as own
from . import ppo as ppo
from . import presets as presets
from . import q_learning as q_learning
from . import scaling as scaling
from . import study as study
from . import verification as verification

__all__ = [
    "baselines",
    "comparison",
    "dqn",
    "environment",
    "limits",
    "meter",
    "own",
    "ppo",
    "presets",
    "q_learning",
    "scaling",
    "study",
    "verification",
]
