"""The code exercises: a module for each notebook, with the reference functions and the checks on hidden inputs.

A notebook imports this package and asks its own module: `exercises.dqn.check_td_target(answer)`. A module is imported
when it is used for the first time.
"""

import lazy_loader

# `__init__.pyi` lists the modules.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
