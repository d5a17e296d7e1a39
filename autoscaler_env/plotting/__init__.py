"""Figures: each function takes data and returns a matplotlib figure; it computes no result and leaves pyplot alone.

Every public name comes from here: `from autoscaler_env import plotting`, then `plotting.plot_costs(...)`. Matplotlib is
imported when a name is used for the first time.
"""

import lazy_loader

# `__init__.pyi` lists the names and their modules.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
