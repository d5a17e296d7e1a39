"""Smart AutoScaler: a cloud service to scale, and what scales it.

Importing the package registers the environment `Autoscaler-v0` with gymnasium and loads neither torch nor matplotlib
nor pandas.
"""

import gymnasium

from autoscaler_env.envs.single import AutoscalerEnv
from autoscaler_env.envs.vector import AutoscalerVectorEnv
from autoscaler_env.service import Service
from autoscaler_env.traffic.patterns import MIXED, PATTERNS, Pattern
from autoscaler_env.traffic.trace import Trace

__version__ = "0.1.0"
__all__ = ["MIXED", "PATTERNS", "AutoscalerEnv", "AutoscalerVectorEnv", "Pattern", "Service", "Trace"]

# The environment checks order and actions and ends its episodes itself; gymnasium's wrappers for that would only
# make a step slower.
gymnasium.register(
    id="Autoscaler-v0",
    entry_point="autoscaler_env.envs.single:AutoscalerEnv",
    vector_entry_point="autoscaler_env.envs.vector:AutoscalerVectorEnv",
    disable_env_checker=True,
    order_enforce=False,
)
