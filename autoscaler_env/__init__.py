"""Smart AutoScaler: a simulated cloud service, the policies that scale it, and what each of them costs in dollars.

Every public name comes from here: `from autoscaler_env import Service, train`. A name is imported at its first use, so
importing the package registers the environment `Autoscaler-v0` with gymnasium and loads neither torch nor matplotlib
nor pandas.
"""

import gymnasium
import lazy_loader

__version__ = "0.2.0"

# The names, and the module of each, stand in `__init__.pyi`.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

# The environment checks order and actions and ends its episodes itself; gymnasium's wrappers for that would only
# make a step slower. Its `spec` has the right max_episode_steps all the same (`envs.single.with_episode_length`).
gymnasium.register(
    id="Autoscaler-v0",
    entry_point="autoscaler_env.envs.single:AutoscalerEnv",
    vector_entry_point="autoscaler_env.envs.vector:AutoscalerVectorEnv",
    disable_env_checker=True,
    order_enforce=False,
)
